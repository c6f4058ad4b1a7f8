"""A Host with one interface, and a scapy peer: what tests of TCP need that want whole packets."""

import random

from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from stack.config import NEVER, SECOND, HostConfig, IpConfig, TcpConfig
from stack.host.host import Host
from stack.tcp.state import ESTABLISHED
from stack.wire import accel
from stack.wire.addr import parse_addr, parse_mac
from stack.wire.burst import Burst
from tests.support.ip_subject import BROADCAST, OUR_IP, OUR_MAC, PEER_IP, PEER_MAC, ListSink, check

PORT, RPORT = 80, 1000
SEQ = 0xFFFFFF00


class Net:
    """A Host with one interface; a scapy peer whose link address is known."""

    def __init__(self, **settings):
        self.now = SECOND
        self.sink = ListSink()
        config = HostConfig(tcp=TcpConfig(**settings), ip=IpConfig(arp_probe=False))
        self.host = Host(config, random.Random(5), self.now)
        self.host.add_interface("tap0", self.sink, parse_mac(OUR_MAC), 1500, self.now)
        self.host.add_address(1, parse_addr(OUR_IP), 24, self.now)
        self.advance(5)
        self.take()

    def frame(self, packet):
        burst = Burst()
        accel.load_burst(burst, [(bytes(packet), 0, 0, 0, 0, 0)], parse_mac(OUR_MAC))
        self.host.receive(1, burst, self.now)
        self.send()

    def burst(self, *segments):
        """Segments that arrive together, as (flags, seq, ack, data); what is answered."""
        frames = [
            Ether(dst=OUR_MAC, src=PEER_MAC)
            / IP(src=PEER_IP, dst=OUR_IP)
            / TCP(sport=RPORT, dport=PORT, flags=flags, seq=seq, ack=ack, window=60_000)
            / Raw(data)
            for flags, seq, ack, data in segments
        ]
        burst = Burst()
        accel.load_burst(burst, [(bytes(f), 0, 0, 0, 0, 0) for f in frames], parse_mac(OUR_MAC))
        self.host.receive(1, burst, self.now)
        self.send()
        return self.take()

    def send(self):
        while self.host.poll_transmit(self.now):
            self.host.poll_events()

    def rx(self, packet, *, dst=OUR_MAC):
        """A packet for us; what is answered."""
        self.frame(Ether(dst=dst, src=PEER_MAC) / packet)
        return self.take()

    def tcp(self, flags, seq=SEQ, ack=0, data=b"", **fields):
        """A segment from the peer; what is answered."""
        ip = IP(src=fields.pop("src", PEER_IP), dst=fields.pop("dst", OUR_IP), options=fields.pop("ip_options", []))
        segment = ip / TCP(
            **{"sport": RPORT, "dport": PORT, "flags": flags, "seq": seq, "ack": ack, "window": 60_000, **fields}
        )
        return self.rx(segment / Raw(data) if data else segment)

    def take(self):
        """The TCP segments sent since the last call; each is checked against scapy's checksums."""
        packets = [Ether(data)[IP] for data in self.sink.frames if TCP in Ether(data)]
        self.sink.raw.clear()
        for packet in packets:
            check(packet)
        return [p[TCP] for p in packets]

    def advance(self, seconds):
        end = self.now + round(seconds * SECOND)
        while self.host.deadline <= end:
            assert self.host.deadline != NEVER
            self.now = max(self.now, self.host.deadline)
            self.host.on_timer(self.now)
            self.send()
        self.now = end
        # the peer stays known
        self.frame(Ether(dst=BROADCAST, src=PEER_MAC) / ARP(op=1, hwsrc=PEER_MAC, psrc=PEER_IP, pdst=OUR_IP))

    def accepted(self, listener, data=b"", **fields):
        """Handshake; (connection, our ISS)."""
        [syn_ack] = self.tcp("S", options=[("MSS", 1460)], **fields)
        self.tcp("A", seq=SEQ + 1, ack=syn_ack.seq + 1, data=data, **fields)
        conn = listener.accept()
        assert conn.state == ESTABLISHED
        return conn, syn_ack.seq

    def time_wait(self, listener):
        """A connection that we closed first; our ISS."""
        conn, iss = self.accepted(listener)
        conn.close(self.now)
        self.host.wake(conn)
        self.send()
        self.take()
        [ack] = self.tcp("FA", seq=SEQ + 1, ack=iss + 2)
        assert (ack.flags, ack.seq, ack.ack) == ("A", iss + 2, SEQ + 2)
        return iss


def drops(net, reason):
    """How many were dropped for it."""
    return net.host.stats.drops[reason]
