"""A host on links without a link layer: nothing is resolved, claimed or broadcast there."""

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP
from scapy.packet import Raw

from stack.errors import NetworkUnreachable
from stack.stats import Counter, DropReason
from stack.wire import ipv4
from stack.wire.addr import parse_addr
from stack.wire.frame import Caps
from tests.support.ip_subject import OUR_IP, OUR_MAC, PEER_IP, Subject, peer_ip

BARE = Caps(bare_ip=True)
TUN_IP, FAR_IP = "10.7.0.2", "10.7.0.9"


@pytest.fixture
def s():
    return Subject(caps=BARE, arp_probe=True)


def send(s, dst):
    endpoint = s.ip.udp.open(0, 0)
    s.ip.udp.send(endpoint, b"x", parse_addr(dst), 9, s.now)
    s.ip.udp.close(endpoint)


def test_the_first_packet_leaves_at_once_and_nothing_is_asked(s):
    send(s, PEER_IP)
    [packet] = s.take_ip()
    assert (packet.src, packet.dst) == (OUR_IP, PEER_IP)
    s.advance(60_000_000)
    assert s.take() == []
    assert len(s.ip.neighbors) == 0


def test_control_with_a_link_layer_it_is_asked_first():
    s = Subject(arp_probe=False)
    send(s, PEER_IP)
    assert [ARP in frame for frame in s.take()] == [True]


def test_an_address_is_used_without_a_claim():
    s = Subject(caps=BARE, arp_probe=True, arp_optimistic=False)
    assert s.ip.is_local(parse_addr(OUR_IP))
    s.advance(20_000_000)
    assert s.take() == []
    assert s.ip.snapshot()["addresses"] == {}


def test_control_with_a_link_layer_it_is_not():
    s = Subject(arp_probe=True, arp_optimistic=False)
    assert not s.ip.is_local(parse_addr(OUR_IP))


def test_many_destinations_take_no_room(s):
    s.ip.add_route(0, 0, ifindex=s.link.ifindex)
    for n in range(500):
        send(s, f"11.0.{n // 250}.{n % 250 + 1}")
    assert len(s.take_ip()) == 500
    assert len(s.ip.neighbors) == 0
    assert s.ip.deadline > s.now + 10**12  # nothing to age


def test_a_gateway_is_the_same_neighbour(s):
    s.ip.add_route(0, 0, gateway=parse_addr(PEER_IP))
    send(s, "11.0.0.1")
    assert [p.dst for p in s.take_ip()] == ["11.0.0.1"]


@pytest.mark.parametrize("dst", ["198.18.0.255", "255.255.255.255"])
def test_broadcasts_are_not_sent(s, dst):
    with pytest.raises(NetworkUnreachable, match="no broadcasts"):
        s.ip.path(parse_addr(dst), parse_addr(OUR_IP))
    assert s.take() == []


def test_control_with_a_link_layer_broadcasts_are():
    s = Subject()
    s.ip.path(parse_addr("198.18.0.255"))
    s.ip.path(parse_addr("255.255.255.255"), parse_addr(OUR_IP))


def test_a_received_broadcast_is_not_answered(s):
    s.rx(IP(src=PEER_IP, dst="198.18.0.255") / UDP(sport=1, dport=2))
    assert s.take() == []


def test_an_echo_request_is_answered(s):
    s.rx(peer_ip() / ICMP(id=1, seq=2) / Raw(b"hello"))
    [answer] = s.take_ip()
    assert (answer.dst, answer[ICMP].type, bytes(answer[ICMP].payload)) == (PEER_IP, 0, b"hello")


def test_transports_may_confirm_and_doubt_what_is_always_there(s):
    path = s.ip.path(parse_addr(PEER_IP))
    send(s, PEER_IP)
    s.ip.confirm(path, s.now)
    s.ip.negative_advice(path, s.now)
    send(s, PEER_IP)
    assert len(s.take_ip()) == 2
    assert s.ip.deadline > s.now + 10**12


def hub(**config):
    """A router between Ethernet and a tunnel."""
    s = Subject(forwarding=True, **config)
    s.tunnel = s.add_link("wg0", TUN_IP, 24, "02:00:00:00:00:aa", caps=BARE)
    s.link.learn()
    return s


def test_forwarding_into_the_tunnel_and_out_of_it():
    s = hub()
    s.rx(IP(src=PEER_IP, dst=FAR_IP, ttl=9) / UDP(sport=1, dport=2) / Raw(b"in"))
    [packet] = s.tunnel.take_ip()
    assert (packet.dst, packet.ttl) == (FAR_IP, 8)
    s.tunnel.rx(IP(src=FAR_IP, dst=PEER_IP, ttl=9) / UDP(sport=2, dport=1) / Raw(b"out"))
    [frame] = s.take()
    assert (frame.src, frame.dst, frame[IP].dst) == (OUR_MAC, "02:00:00:00:00:01", PEER_IP)


def test_between_two_peers_of_the_tunnel_there_are_no_redirects():
    s = hub()
    s.tunnel.rx(IP(src=FAR_IP, dst="10.7.0.8", ttl=9) / UDP(sport=1, dport=2))
    assert [(p.dst, p.ttl) for p in s.tunnel.take_ip()] == [("10.7.0.8", 8)]
    assert s.count(Counter.IP_FORWARDED) == 1


def test_control_between_two_hosts_of_a_link_there_are():
    s = hub()
    s.link.learn("198.18.0.7", "02:00:00:00:00:07")
    s.rx(IP(src=PEER_IP, dst="198.18.0.7", ttl=9) / UDP(sport=1, dport=2))
    assert sorted(p.proto for p in s.take_ip()) == [ipv4.PROTO_ICMP, ipv4.PROTO_UDP]


def test_the_interface_goes_and_comes_again(s):
    s.ip.remove_interface(s.link.ifindex, s.now)
    s.link = s.add_link("tap0", OUR_IP, 24, OUR_MAC)
    send(s, PEER_IP)
    assert [ARP in frame for frame in s.take()] == [True]  # the same index, now with a link layer
    assert s.drops(DropReason.ARP_FAILED) == 0


def test_status_says_so(s):
    [interface] = s.ip.snapshot()["interfaces"]
    assert interface["mac"] is None
    assert interface["addrs"] == [f"{OUR_IP}/24"]
