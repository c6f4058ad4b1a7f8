"""Frames for the tests of the core: well-formed ones by scapy, and strategies that spoil them."""

import struct

from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw as Text

OURS = bytes.fromhex("020000000002")
PEER = "02:00:00:00:00:01"


def ether(payload, dst=OURS, **fields):
    return bytes(Ether(dst=dst.hex(":"), src=PEER, **fields) / payload)


def ip(**fields):
    return IP(src="198.18.0.1", dst="198.18.0.2", **fields)


SEEDS = [
    ether(ARP(pdst="198.18.0.2")) + bytes(18),
    ether(ip() / TCP(sport=1000, dport=80, flags="S", options=[("MSS", 1460), ("WScale", 7), ("SAckOK", b"")])),
    ether(
        ip(tos=2)
        / TCP(
            sport=1,
            dport=2,
            seq=2**32 - 1,
            ack=7,
            flags="PA",
            options=[("NOP", 0), ("NOP", 0), ("Timestamp", (11, 22))],
        )
        / Text(b"x" * 1448)
    ),
    ether(ip(tos=3) / TCP(flags="A", options=[("Timestamp", (1, 2)), ("SAck", (5, 9))])),
    ether(ip() / TCP(flags="A")) + bytes(6),
    ether(ip() / UDP(sport=53, dport=4000) / Text(b"hello!!")),
    ether(ip() / UDP(sport=53, dport=4000, chksum=0) / Text(b"none")),
    ether(ip() / ICMP() / Text(b"ping" * 8)),
    ether(ip(options=[IPOption(b"\x94\x04\x00\x00")]) / TCP(dport=9)),
    ether(ip(flags="MF", id=77, frag=0) / Text(b"f" * 64)),
    ether(ip(id=77, frag=8, proto=17) / Text(b"f" * 33)),
    ether(ip(proto=47) / Text(b"gre")),
    ether(bytes(46), type=0x86DD),
    ether(bytes(46), type=0x0100),
    ether(ip() / TCP(), dst=b"\xff" * 6),
    ether(ip() / TCP(), dst=bytes.fromhex("020000000009")),
]


@st.composite
def spoiled(draw):
    """A seed with some bytes changed, cut or lengthened; its IP checksum is often made right again."""
    frame = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(0, 4))):
        frame[draw(st.integers(0, min(len(frame), 80) - 1))] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        del frame[draw(st.integers(0, len(frame))) :]
    frame += bytes(draw(st.integers(0, 20)))
    if draw(st.booleans()) and len(frame) >= 34:
        mend_ip(frame)
    return bytes(frame)


def mend_ip(frame):
    end = min(14 + (frame[14] & 15) * 4, len(frame) & ~1)
    if end >= 34:
        frame[24:26] = b"\0\0"
        total = sum(struct.unpack(f"!{(end - 14) // 2}H", frame[14:end]))
        while total >> 16:
            total = (total & 0xFFFF) + (total >> 16)
        frame[24:26] = struct.pack("!H", ~total & 0xFFFF)


vnet = st.one_of(
    st.just((0, 0, 0, 0, 0)),
    st.tuples(
        st.integers(0, 3),
        st.sampled_from([0, 1, 3, 4, 5, 0x81, 7]),
        st.sampled_from([0, 1, 7, 536, 1448, 65535]),
        st.sampled_from([0, 34, 38, 54, 2000, 65535]),
        st.sampled_from([0, 6, 16, 65535]),
    ),
)
