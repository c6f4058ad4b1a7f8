"""A source that no route leads back to is a fault of the peer: nothing may be raised on the way in."""

import random

import pytest
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import Ether

from stack.config import HostConfig
from stack.host.host import Host
from stack.stats import DropReason
from stack.wire import accel
from stack.wire.addr import parse_addr, parse_mac
from stack.wire.burst import Burst
from tests.support.ip_subject import OUR_IP, OUR_MAC, PEER_MAC, ListSink, ping, tcp, udp

FAR = "8.8.8.8"


def receive(host, packet):
    burst = Burst()
    frame = bytes(Ether(dst=OUR_MAC, src=PEER_MAC) / packet)
    accel.load_burst(burst, [(frame, 0, 0, 0, 0, 0)], parse_mac(OUR_MAC))
    host.receive(1, burst, 1)
    host.poll_transmit(1)


@pytest.mark.parametrize(
    "packet",
    [
        tcp(src=FAR, flags="S"),
        tcp(src=FAR, flags="A"),
        tcp(src=FAR, flags="R"),
        tcp(src=FAR, flags="S", dport=81),
        ping(src=FAR),
        udp(1, 2, src=FAR),
    ],
    ids=["SYN", "ACK", "RST", "closed", "ping", "udp"],
)
def test_no_way_back(packet):
    sink = ListSink()
    host = Host(HostConfig(), random.Random(1))
    host.add_interface("tap0", sink, parse_mac(OUR_MAC), 1500, 0)
    host.add_address(1, parse_addr(OUR_IP), 24, 0)
    host.listen(0, 80, now=0)
    receive(host, packet)
    assert host.stats.drops[DropReason.IP_NO_ROUTE] == 1
    assert sink.frames == []
    host.add_route(0, 0, parse_addr("198.18.0.1"))
    receive(host, packet)
    assert len(sink.frames) == (TCP not in packet or packet[TCP].flags != "R")  # the control: now it is answered


def test_fragmentation_needed_on_a_connection_whose_route_is_gone():
    sink = ListSink()
    host = Host(HostConfig(), random.Random(1))
    host.add_interface("tap0", sink, parse_mac(OUR_MAC), 1500, 0)
    host.add_address(1, parse_addr(OUR_IP), 24, 0)
    host.add_route(0, 0, parse_addr("198.18.0.1"))
    conn = host.connect(parse_addr(FAR), 80, now=0)
    host.poll_transmit(0)
    host.ip.remove_route(0, 0)
    quoted = IP(src=OUR_IP, dst=FAR, len=1500) / TCP(sport=conn.local_port, dport=80, seq=conn.snd.iss)
    receive(host, IP(src="198.18.0.1", dst=OUR_IP) / ICMP(type=3, code=4, nexthopmtu=600) / bytes(quoted))
    assert conn.error is None
