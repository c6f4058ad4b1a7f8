"""A transparent listener and whole packets: fragments, ICMP errors, checksums, and a host that forwards nothing."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.packet import Raw

from stack.stats import DropReason
from stack.wire.addr import parse_addr
from tests.support.host_net import PORT, RPORT, SEQ, Net
from tests.support.ip_subject import OUR_IP, PEER_IP

FAR, ELSEWHERE = "203.0.113.7", "192.0.2.1"


def listening(net, prefix="203.0.113.0", prefix_len=24, port=0):
    return net.host.listen_anywhere(parse_addr(prefix), prefix_len, port)


def test_the_destination_of_the_client_answers():
    net = Net()
    conn, _ = net.accepted(listening(net), dst=FAR, dport=8443)
    assert (conn.local_addr, conn.local_port) == (parse_addr(FAR), 8443)
    conn.send(b"hello", net.now)
    net.host.wake(conn)
    net.send()
    [segment] = net.take()
    assert (segment.sport, segment.dport, bytes(segment.payload)) == (8443, RPORT, b"hello")


def test_without_a_listener_it_is_dropped():
    net = Net()
    assert net.tcp("S", dst=FAR) == []
    listener = listening(net)
    net.tcp("S", dst=FAR)
    net.host.unlisten(listener, net.now)
    net.send()
    net.take()
    before = net.host.stats.drops[DropReason.IP_NOT_OURS]
    assert net.tcp("S", dst=FAR, sport=7) == []
    assert net.host.stats.drops[DropReason.IP_NOT_OURS] == before + 1


def test_only_tcp_is_taken():
    net = Net()
    listening(net, "0.0.0.0", 0)
    for packet in (ICMP(id=1, seq=1), UDP(dport=53) / Raw(b"x")):
        net.sink.raw.clear()
        net.rx(IP(src=PEER_IP, dst=FAR) / packet)
        assert net.sink.frames == []
    assert net.host.stats.drops[DropReason.IP_NOT_OURS] == 2


def test_a_stray_segment_is_reset_from_the_address_that_it_was_for():
    net = Net()
    listening(net, port=PORT)
    [reset] = net.tcp("A", seq=5, ack=77, dst=FAR)
    assert (str(reset.flags), reset.seq) == ("R", 77)
    assert net.tcp("A", seq=5, ack=77, dst=FAR, dport=PORT + 1) == []  # that port is nobody's here


@pytest.mark.parametrize("dst", [FAR, ELSEWHERE])
def test_fragments_are_put_together_for_what_is_taken(dst):
    net = Net()
    listener = listening(net)
    conn, iss = net.accepted(listener, dst=FAR)
    data = bytes(range(200)) * 5
    segment = TCP(sport=RPORT, dport=PORT, flags="PA", seq=SEQ + 1, ack=iss + 1, window=60_000) / Raw(data)
    for part in fragment(IP(src=PEER_IP, dst=dst, id=9) / segment, 400):
        net.rx(part)
    assert (bytes(conn.recv(2000)) == data) == (dst == FAR)
    if dst == ELSEWHERE:
        assert len(net.host.ip.reassembly) == 0


@pytest.mark.parametrize(
    ("src", "sport", "taken"), [(FAR, PORT, True), (ELSEWHERE, PORT, False), (FAR, PORT + 1, False)]
)
def test_an_icmp_error_finds_the_connection_that_it_quotes(src, sport, taken):
    net = Net(mtu_probing=False)
    conn, iss = net.accepted(listening(net, port=PORT), dst=FAR)
    conn.send(bytes(5 * 1460), net.now)
    net.host.wake(conn)
    net.send()
    net.take()
    quoted = IP(src=src, dst=PEER_IP, len=1500, flags="DF") / TCP(sport=sport, dport=RPORT, seq=(iss + 1) & 0xFFFFFFFF)
    net.rx(IP(src="198.18.0.9", dst=src) / ICMP(type=3, code=4, nexthopmtu=1000) / Raw(bytes(quoted)[:28]))
    assert conn.path_mss == (960 if taken else 1460)
    assert net.host.stats.drops[DropReason.IP_NOT_OURS] == (not taken)


def test_our_own_addresses_have_listeners_of_their_own():
    net = Net()
    listening(net, "0.0.0.0", 0)
    [reset] = net.tcp("S", dst=OUR_IP)
    assert "R" in str(reset.flags)
    listener = net.host.listen(parse_addr(OUR_IP), PORT, now=net.now)
    net.accepted(listener)


def test_connections_of_one_peer_port_to_two_destinations_are_two():
    net = Net()
    listener = listening(net)
    first, _ = net.accepted(listener, dst=FAR)
    second, _ = net.accepted(listener, dst="203.0.113.8")
    assert {first.local_addr, second.local_addr} == {parse_addr(FAR), parse_addr("203.0.113.8")}
    assert net.host.tcp.n_conns == 2
    net.host.check_invariants()
