"""Frames of every protocol the stack speaks, and seeded damage to them."""

import random
from collections.abc import Iterator

from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, IPOption_RR, IPOption_Timestamp, fragment
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import ARP, LLC, Dot1Q, Dot3, Ether
from scapy.packet import Raw


def originals(source_mac: bytes, target_mac: bytes, source: str, target: str) -> list[bytes]:
    """Sound frames to `target`, and a few that only resemble one."""
    link = Ether(src=source_mac.hex(":"), dst=target_mac.hex(":"))
    flood = Ether(src=source_mac.hex(":"), dst="ff:ff:ff:ff:ff:ff")
    ip = IP(src=source, dst=target)
    options = [("MSS", 1460), ("SAckOK", b""), ("Timestamp", (1, 0)), ("NOP", None), ("WScale", 7)]
    sack = [("NOP", None), ("NOP", None), ("SAck", (1, 2, 5, 9, 100, 1000))]
    quoted = IPerror(src=target, dst=source) / TCP(sport=80, dport=4000, seq=1)
    frames = [
        flood / ARP(op=1, hwsrc=source_mac.hex(":"), psrc=source, pdst=target),
        link / ARP(op=2, hwsrc=source_mac.hex(":"), psrc=source, hwdst=target_mac.hex(":"), pdst=target),
        link / ip / ICMP() / Raw(b"p" * 56),
        link / ip / ICMP(type=3, code=4, nexthopmtu=576) / quoted,
        link / ip / ICMP(type=3, code=3) / quoted,
        link / ip / ICMP(type=11) / quoted,
        link / ip / ICMP(type=5, gw=source) / quoted,
        link / ip / ICMP(type=12, ptr=20) / quoted,
        link / ip / UDP(sport=4000, dport=7) / Raw(b"u" * 100),
        link / ip / UDP(sport=4000, dport=60000) / Raw(b"u" * 10),
        link / ip / UDP(sport=4000, dport=53) / DNS(qd=DNSQR(qname="example.org")),
        link / IP(src=source, dst=target, options=[IPOption_RR(length=11, routers=["0.0.0.0"] * 2)]) / ICMP(),
        link / IP(src=source, dst=target, options=[IPOption_Timestamp(length=12)]) / TCP(dport=80, flags="S"),
        link / ip / TCP(sport=4001, dport=80, flags="S", options=options),
        link / ip / TCP(sport=4002, dport=80, flags="S"),
        link / ip / TCP(sport=4003, dport=80, flags="A", ack=1, options=sack),
        link / ip / TCP(sport=4004, dport=80, flags="PA", ack=1) / Raw(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        link / ip / TCP(sport=4005, dport=81, flags="FA", ack=1),
        link / ip / TCP(sport=4006, dport=80, flags="R"),
        link / ip / TCP(sport=4007, dport=80, flags="SFRPAUEC", urgptr=9) / Raw(b"xmas"),
        link / Dot1Q(vlan=5) / ip / ICMP(),
        link / IPv6(dst="ff02::1") / Raw(b"v6"),
        Dot3(src=source_mac.hex(":"), dst=target_mac.hex(":")) / LLC() / Raw(b"802.3"),
        link / Raw(b""),
    ]
    frames += [link / piece for piece in fragment(ip / UDP(sport=4000, dport=7) / Raw(b"f" * 3000), 1000)]
    return [bytes(frame) for frame in frames]


def mutated(frames: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    """`count` damaged copies: bits flipped, bytes set to extremes, cut, extended, mixed.  At most 1514 bytes."""
    rng = random.Random(seed)
    for _ in range(count):
        frame = bytearray(rng.choice(frames))
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            # mostly behind the addresses of the link, or nearly all would be for somebody else
            at = rng.randrange(12 if len(frame) > 12 and rng.random() < 0.95 else 0, len(frame))
            how = rng.randrange(6)
            if how < 2:
                frame[at] ^= 1 << rng.randrange(8)
            elif how == 2:
                frame[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF))
            elif how == 3:
                del frame[max(at, 14) :]
            elif how == 4:
                frame[at:at] = rng.randbytes(rng.randrange(1, 40))
            else:
                frame[at:] = rng.choice(frames)[at:]
        yield bytes(frame[:1514].ljust(14, b"\0"))
