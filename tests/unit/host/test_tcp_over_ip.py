"""What TCP wants of IP (RFC 9293 §3.9.2), through a whole Host."""

import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP, IPOption
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from stack.config import HostConfig, IpConfig, TcpConfig
from stack.errors import ConnectionRefused, HostUnreachable, NetworkUnreachable
from stack.host.host import Host
from stack.stats import DropReason
from stack.tcp import state
from stack.wire import accel
from stack.wire.addr import parse_addr, parse_mac
from stack.wire.burst import Burst
from tests.support.ip_subject import BROADCAST, OUR_IP, OUR_MAC, PEER_IP, PEER_MAC, ListSink, peer_ip
from tests.support.rfc import rfc

PEER = parse_addr(PEER_IP)


class Subject:
    def __init__(self):
        self.sink = ListSink()
        self.now = 100_000_000
        self.host = Host(HostConfig(ip=IpConfig(arp_probe=False)), random.Random(1), self.now)
        self.host.add_interface("tap0", self.sink, parse_mac(OUR_MAC), 1500, self.now)
        self.host.add_address(1, parse_addr(OUR_IP), 24, self.now)
        self.rx(Ether(dst=BROADCAST, src=PEER_MAC) / ARP(hwsrc=PEER_MAC, psrc=PEER_IP, pdst=OUR_IP))
        self.take()

    def rx(self, packet, dst=OUR_MAC):
        frame = packet if isinstance(packet, Ether) else Ether(dst=dst, src=PEER_MAC) / packet
        burst = Burst()
        accel.load_burst(burst, [(bytes(frame), 0, 0, 0, 0, 0)], parse_mac(OUR_MAC))
        self.host.receive(1, burst, self.now)
        self.host.poll_transmit(self.now)

    def take(self):
        packets = [Ether(data)[IP] for data in self.sink.frames if IP in Ether(data)]
        self.sink.raw.clear()
        return packets

    def connect(self, **config):
        """A connection whose SYN has gone out, and that SYN."""
        conn = self.host.connect(PEER, 80, config=TcpConfig(**config), now=self.now)
        self.host.poll_transmit(self.now)
        [syn] = self.take()
        return conn, syn

    def error_about(self, syn, icmp_type, code):
        self.rx(peer_ip() / ICMP(type=icmp_type, code=code) / bytes(syn)[:28])


@pytest.fixture
def s():
    return Subject()


@rfc("9293", "3.9.2", "MUST-49")
def test_ttl_and_dscp_of_segments_are_those_of_the_connection(s):
    _, syn = s.connect(ttl=17, dscp=46)
    assert (syn.ttl, syn.tos) == (17, 46 << 2)


@rfc("9293", "3.9.2.2", "MUST-54")
def test_a_port_unreachable_refuses_the_connection_it_quotes_and_no_other(s):
    conn, syn = s.connect()
    other, _ = s.connect()
    s.error_about(syn, 3, 3)
    assert isinstance(conn.error, ConnectionRefused)
    assert (other.error, other.state) == (None, state.SYN_SENT)


@rfc("9293", "3.9.2.2", "MUST-54")
def test_an_error_that_quotes_a_sequence_number_we_did_not_send_is_dropped(s):
    conn, syn = s.connect()
    syn[TCP].seq ^= 0x4000_0000
    s.error_about(syn, 3, 3)
    assert conn.state == state.SYN_SENT
    assert s.host.stats.drops[DropReason.ICMP_NO_MATCH] == 1


@rfc("1122", "2.4", "ARP-7")
def test_a_peer_that_has_no_link_address_is_unreachable_in_the_end():
    s = Subject()
    gone = s.host.connect(parse_addr("198.18.0.77"), 80, now=s.now)
    s.host.poll_transmit(s.now)
    end = s.now + 300_000_000
    while gone.state != state.CLOSED and s.host.deadline < end:
        s.now = max(s.now, s.host.deadline)
        s.host.on_timer(s.now)
        s.host.poll_transmit(s.now)
    assert isinstance(gone.error, HostUnreachable)
    assert s.take() == []


@rfc("9293", "3.9.2.1", "MUST-50")
def test_a_syn_with_ip_options_is_answered_without(s):
    s.host.listen(0, 80, now=s.now)
    s.rx(peer_ip(options=[IPOption(b"\x94\x04\x00\x00")]) / TCP(sport=1000, dport=80, flags="S"))
    [answer] = s.take()
    assert answer[TCP].flags == "SA"
    assert answer.ihl == 5


@rfc("9293", "3.9.2.3", "MUST-57")
@rfc("9293", "3.9.2.3", "MUST-63")
def test_syns_from_or_to_groups_are_not_answered(s):
    s.host.listen(0, 80, now=s.now)
    syn = TCP(sport=1000, dport=80, flags="S")
    for dst in ("255.255.255.255", "198.18.0.255", "224.0.0.1"):
        s.rx(peer_ip(dst=dst) / syn, BROADCAST)
        s.rx(peer_ip(dst=dst) / syn)
    for src in ("255.255.255.255", "198.18.0.255", "224.0.0.1", "127.0.0.1", OUR_IP):
        s.rx(peer_ip(src=src) / syn)
    assert s.take() == []
    s.rx(peer_ip() / syn)  # the control
    assert len(s.take()) == 1


@rfc("9293", "3.9.2.3", "MUST-46")
@pytest.mark.parametrize("dst", ["255.255.255.255", "198.18.0.255", "224.0.0.1"])
def test_connecting_to_a_group_is_refused(s, dst):
    with pytest.raises(NetworkUnreachable):
        s.host.connect(parse_addr(dst), 80, now=s.now)


def test_a_connection_to_ourselves(s):
    listener = s.host.listen(0, 80, now=s.now)
    conn = s.host.connect(parse_addr(OUR_IP), 80, now=s.now)
    for _ in range(5):
        s.host.poll_transmit(s.now)
    assert conn.state == state.ESTABLISHED
    served = listener.accept()
    conn.send(bytes(50_000), s.now)
    s.host.wake(conn)
    got = bytearray()
    for _ in range(100):
        s.host.poll_transmit(s.now)
        s.now += 1000
        s.host.on_timer(s.now)
        for chunk in served.recv_chunks():
            got += chunk
        s.host.wake(served)
    assert got == bytes(50_000)
    assert s.take() == []  # nothing of it on the wire


def test_a_segment_in_fragments_reaches_its_connection(s):
    conn, syn = s.connect()
    s.rx(peer_ip() / TCP(sport=80, dport=syn[TCP].sport, flags="SA", seq=100, ack=syn[TCP].seq + 1))
    s.take()
    data = bytes(range(250)) * 8
    whole = peer_ip(id=9) / TCP(sport=80, dport=syn[TCP].sport, flags="A", seq=101, ack=syn[TCP].seq + 1) / Raw(data)
    segment = bytes(IP(bytes(whole)).payload)
    for at in (2000, 1000, 0):
        more = "MF" if at + 1000 < len(segment) else 0
        s.rx(peer_ip(id=9, proto=6, frag=at // 8, flags=more) / Raw(segment[at : at + 1000 if more else None]))
    assert conn.recv(10_000) == data
