import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, UDP, fragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from stack.errors import (
    AddressInUse,
    AddressNotAvailable,
    InvalidAddress,
    MessageTooLong,
    NetworkUnreachable,
    NoBufferSpace,
    NotConnected,
)
from stack.host.udp_layer import UdpLayer
from stack.stats import Counter, DropReason
from stack.udp.endpoint import CLOSED, READABLE
from stack.wire.addr import parse_addr
from stack.wire.frame import GSO_UDP_L4, VNET_NEEDS_CSUM
from tests.support.ip_subject import BROADCAST, OUR_IP, OUR_MAC, PEER_IP, PEER_MAC, Subject, peer_ip, udp
from tests.support.rfc import rfc

PEER, OURS = parse_addr(PEER_IP), parse_addr(OUR_IP)


@pytest.fixture
def s():
    made = Subject()
    made.link.learn()
    return made


@rfc("1122", "4.1.4", "UDP-5")
@rfc("768", "0", "UDP-1")
def test_a_datagram_and_all_there_is_to_know_about_it(s):
    e = s.ip.udp.open(0, 7)
    s.rx(udp(1234, 7, b"hello", ttl=33, tos=0x48))
    assert s.ip.ready == [e]
    assert e.take_events() == READABLE
    assert e.recv() == (b"hello", PEER, 1234, OURS, 33, 0x48, 1)


@rfc("1122", "4.1.4", "UDP-5")
@rfc("1122", "4.1.3.4", "UDP-2")
def test_sending(s):
    e = s.ip.udp.open(OURS, 7)
    e.ttl, e.tos = 5, 0x10
    assert s.ip.udp.send(e, b"hello", PEER, 99, s.now)
    [packet] = s.take_ip()
    assert (packet.src, packet.dst, packet.ttl, packet.tos) == (OUR_IP, PEER_IP, 5, 0x10)
    assert (packet[UDP].sport, packet[UDP].dport, packet[UDP].len, packet.load) == (7, 99, 13, b"hello")
    assert s.count(Counter.UDP_OUT) == 1


@rfc("768", "0", "UDP-6")
def test_an_empty_datagram(s):
    e = s.ip.udp.open(0, 7)
    s.rx(peer_ip() / UDP(sport=1, dport=7))
    assert e.recv()[0] == b""
    s.ip.udp.send(e, b"", PEER, 9, s.now)
    assert s.take_ip()[0][UDP].len == 8


@rfc("768", "0", "UDP-6")
@given(st.sampled_from([1472, 1473, 2960, 65_506, 65_507]), st.integers(0, 2**32))
@settings(deadline=None, max_examples=25)
def test_large_datagrams_out_and_back_in(size, seed):
    """Fragments of one of our hosts, shuffled, are put together by another."""
    data = random.Random(seed).randbytes(size)
    a = Subject(addr=PEER_IP)
    a.link.learn(OUR_IP, to=PEER_IP)
    b = Subject()
    e = b.ip.udp.open(0, 7)
    assert a.ip.udp.send(a.ip.udp.open(0, 9), data, OURS, 7, a.now)
    parts = a.take()
    assert (len(parts) == 1) == (size <= 1472)
    random.Random(seed).shuffle(parts)
    for part in parts:
        part.dst, part.src = OUR_MAC, PEER_MAC
        b.rx(part)
    assert e.recv()[:3] == (data, PEER, 9)


@rfc("768", "0", "UDP-6")
def test_more_than_65507_bytes_cannot_be_sent(s):
    e = s.ip.udp.open(0, 7)
    with pytest.raises(MessageTooLong):
        s.ip.udp.send(e, bytes(65_508), PEER, 9, s.now)


def test_the_first_large_datagram_waits_whole_for_its_neighbour():
    s = Subject()
    e = s.ip.udp.open(0, 7)
    s.ip.udp.send(e, bytes(65_507), PEER, 9, s.now)
    assert len(s.take()) == 1  # the request
    s.rx(Ether(dst=OUR_MAC, src=PEER_MAC) / ARP(op=2, hwsrc=PEER_MAC, psrc=PEER_IP, hwdst=OUR_MAC, pdst=OUR_IP))
    assert len(s.take_ip()) == 45


@rfc("1122", "4.1.3.4", "UDP-2")
def test_checksums(s):
    e = s.ip.udp.open(0, 7)
    wrong, none = udp(1, 7), udp(1, 7, b"unsummed")
    wrong[UDP].chksum = 0x1111
    none[UDP].chksum = 0
    s.rx(wrong, none)
    assert [d[0] for d in e.recv_all()] == [b"unsummed"]
    assert s.drops(DropReason.UDP_CHECKSUM) == 1
    assert s.take() == []


@rfc("1122", "4.1.3.4", "UDP-2")
@pytest.mark.parametrize("large", [False, True])
def test_a_sum_of_zero_is_sent_as_all_ones(s, large):
    """The last two bytes are chosen so that the sum comes out as zero, in one piece and in fragments."""
    e = s.ip.udp.open(0, 7)
    size = 3000 if large else 10

    def checksum(data):
        s.ip.udp.send(e, data, PEER, 9, s.now)
        return bytes(s.take()[0])[40:42]

    rest = int.from_bytes(checksum(bytes(size)), "big")
    assert checksum(bytes(size - 2) + rest.to_bytes(2, "big")) == b"\xff\xff"


@rfc("1122", "4.1.3.4", "UDP-2")
def test_the_checksum_of_a_reassembled_datagram_is_verified(s):
    e = s.ip.udp.open(0, 7)
    good = udp(1, 7, bytes(3000), id=1)
    bad = udp(1, 7, bytes(3000), id=2)
    bad[UDP].chksum = 0x1111
    none = udp(1, 7, bytes(3000), id=3)
    none[UDP].chksum = 0
    for packet in (good, bad, none):
        s.rx(*fragment(packet, fragsize=1480))
    assert len(e.recv_all()) == 2
    assert s.drops(DropReason.UDP_CHECKSUM) == 1
    s.rx(*fragment(udp(1, 8, bytes(3000), id=4), fragsize=1480))
    assert s.take_ip()[0][ICMP].code == 3


@rfc("768", "0", "UDP-1")
def test_lengths(s):
    e = s.ip.udp.open(0, 7)
    padded = peer_ip() / UDP(sport=1, dport=7, len=10, chksum=0) / Raw(b"abcdef")
    short = peer_ip() / UDP(sport=1, dport=7, len=7, chksum=0) / Raw(b"abcdef")
    long = peer_ip() / UDP(sport=1, dport=7, len=15, chksum=0) / Raw(b"abcdef")
    s.rx(padded, short, long)
    assert [d[0] for d in e.recv_all()] == [b"ab"]
    assert s.drops(DropReason.UDP_LENGTH) == 2
    whole = peer_ip(id=9) / UDP(sport=1, dport=7, len=7, chksum=0) / Raw(bytes(3000))
    s.rx(*fragment(whole, fragsize=1480))
    assert s.drops(DropReason.UDP_LENGTH) == 3


@rfc("1122", "4.1.3.5", "UDP-7")
def test_the_most_specific_endpoint_gets_it(s):
    layer = s.ip.udp
    anyone = layer.open(0, 7, reuse=True)
    bound = layer.open(OURS, 7, reuse=True)
    connected = layer.open(OURS, 7, reuse=True)
    layer.connect(connected, PEER, 1000)
    s.ip.add_address(1, parse_addr("198.18.0.3"), 24, s.now)
    s.rx(udp(1000, 7, b"c"), udp(1001, 7, b"b"), udp(1000, 7, b"a", dst="198.18.0.3"))
    assert [[d[0] for d in e.recv_all()] for e in (connected, bound, anyone)] == [[b"c"], [b"b"], [b"a"]]
    layer.close(connected)
    s.rx(udp(1000, 7, b"c"))
    assert bound.recv()[0] == b"c"
    layer.close(bound)
    s.rx(udp(1000, 7, b"c"))
    assert anyone.recv()[0] == b"c"
    layer.close(anyone)
    s.rx(udp(1000, 7, b"c"))
    assert s.drops(DropReason.UDP_NO_PORT) == 1


def test_a_connected_endpoint_hears_only_its_peer(s):
    e = s.ip.udp.open(0, 7)
    s.ip.udp.connect(e, PEER, 1000)
    s.rx(udp(1001, 7, b"stranger"), udp(1000, 7, b"friend"), udp(1000, 7, b"other", src="198.18.0.9"))
    assert [d[0] for d in e.recv_all()] == [b"friend"]
    assert s.drops(DropReason.UDP_NO_PORT) == 2
    s.take()
    s.ip.udp.send(e, b"hi", 0, 0, s.now)
    assert s.take_ip()[0][UDP].dport == 1000
    s.ip.udp.connect(e, PEER, 2000)
    s.rx(udp(1000, 7), udp(2000, 7, b"new"))
    assert [d[0] for d in e.recv_all()] == [b"new"]


@rfc("1122", "4.1.3.5", "UDP-7")
def test_broadcasts_and_multicasts_go_to_all(s):
    layer = s.ip.udp
    members = [layer.open(0, 7, reuse=True), layer.open(OURS, 7, reuse=True), layer.open(0, 7, reuse=True)]
    elsewhere = layer.open(0, 8)
    layer.connect(members[2], PEER, 1000)
    for dst in ("255.255.255.255", "198.18.0.255", "224.0.0.1"):
        s.rx(udp(1000, 7, dst=dst), udp(1001, 7, dst=dst), dst=BROADCAST)
    assert [len(e.recv_all()) for e in [*members, elsewhere]] == [6, 6, 3, 0]
    assert s.take() == []


def test_ports_in_use(s):
    layer = s.ip.udp
    first = layer.open(0, 7)
    for laddr in (0, OURS):
        with pytest.raises(AddressInUse):
            layer.open(laddr, 7)
    with pytest.raises(AddressInUse):
        layer.open(0, 7, reuse=True)  # the first does not share
    layer.close(first)
    s.ip.add_address(1, parse_addr("198.18.0.3"), 24, s.now)
    layer.open(OURS, 7)
    layer.open(parse_addr("198.18.0.3"), 7)
    with pytest.raises(AddressInUse):
        layer.open(0, 7)
    with pytest.raises(AddressNotAvailable):
        layer.open(parse_addr("198.18.0.4"), 9)
    with pytest.raises(InvalidAddress):
        layer.open(0, 70_000)


def test_ephemeral_ports_are_different_until_none_is_left():
    s = Subject()
    layer = UdpLayer(s.ip, s.ip.rng, [], port_range=(40_000, 40_019))
    ports = [layer.open(0, 0).local_port for _ in range(20)]
    assert sorted(ports) == list(range(40_000, 40_020))
    assert ports != sorted(ports)
    with pytest.raises(AddressNotAvailable):
        layer.open(0, 0)


def test_endpoints_are_bounded():
    s = Subject(max_udp_endpoints=3)
    held = [s.ip.udp.open(0, 0) for _ in range(3)]
    with pytest.raises(NoBufferSpace):
        s.ip.udp.open(0, 0)
    s.ip.udp.close(held[0])
    s.ip.udp.close(held[0])  # twice is once
    assert held[0].take_events() == CLOSED
    s.ip.udp.open(0, 0)


def test_a_full_queue_drops_and_counts(s):
    e = s.ip.udp.open(0, 7)
    s.rx(*[udp(1, 7)] * 200)
    for _ in range(5):
        s.rx(*[udp(1, 7)] * 200)
    assert len(e.recv_all()) == 1024
    assert s.drops(DropReason.UDP_QUEUE_FULL) == 1200 - 1024
    assert e.dropped == 1200 - 1024
    assert s.take() == []  # an open port, whatever its queue


def test_sending_that_cannot_be(s):
    e = s.ip.udp.open(0, 7)
    with pytest.raises(NotConnected):
        s.ip.udp.send(e, b"x", 0, 0, s.now)
    with pytest.raises(NetworkUnreachable):
        s.ip.udp.send(e, b"x", parse_addr("8.8.8.8"), 9, s.now)
    for dst in (0xFFFFFFFF, parse_addr("198.18.0.255")):
        with pytest.raises(InvalidAddress):
            s.ip.udp.send(e, b"x", dst, 9, s.now)
    with pytest.raises(InvalidAddress):
        s.ip.udp.connect(e, PEER, 0)
    for port in (0, 65_536, -1):
        with pytest.raises(InvalidAddress):
            s.ip.udp.send(e, b"x", PEER, port, s.now)
    s.ip.udp.close(e)
    with pytest.raises(InvalidAddress):
        s.ip.udp.send(e, b"x", PEER, 9, s.now)
    assert s.take() == []


def test_a_large_receive_of_the_senders_kernel_is_many_datagrams(s):
    """GSO_UDP_L4: several datagrams in one frame."""
    e = s.ip.udp.open(0, 7)
    packet = peer_ip() / UDP(sport=1, dport=7, chksum=0) / Raw(bytes(range(250)) * 10)
    frame = bytes(Ether(dst=OUR_MAC, src=PEER_MAC) / packet)
    s.rx((frame, VNET_NEEDS_CSUM, GSO_UDP_L4, 1000, 34, 6))
    assert [len(d[0]) for d in e.recv_all()] == [1000, 1000, 500]


def test_status(s):
    s.ip.udp.open(0, 7)
    [line] = s.ip.snapshot()["udp"]
    assert (line["local_addr"], line["local_port"], line["queued"]) == (0, 7, 0)


OTHER_IP, OTHER_MAC = "198.18.0.9", "02:00:00:00:00:09"
CHANGES = st.one_of(
    st.tuples(st.just("send"), st.integers(0, 1), st.integers(0, 3), st.sampled_from([0, 5, 900, 1400, 3000])),
    st.tuples(st.just("send"), st.just(0), st.just(0), st.sampled_from([0, 5, 900, 1400])),
    st.tuples(st.sampled_from(["tos", "ttl"]), st.integers(0, 1), st.integers(0, 2), st.just(0)),
    st.tuples(st.just("mac"), st.integers(0, 1), st.integers(1, 3), st.just(0)),
    st.tuples(st.just("mtu"), st.sampled_from([800, 1000, 1500]), st.just(0), st.just(0)),
    st.tuples(st.just("pmtu"), st.integers(0, 1), st.sampled_from([700, 950]), st.just(0)),
    st.tuples(st.just("connect"), st.just(0), st.integers(0, 3), st.just(0)),
    st.tuples(st.just("move"), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("time"), st.integers(1, 700), st.just(0), st.just(0)),
)


def sent_by(changes, *, forget):
    """Frames of all sends; `forget`: no header of a datagram is kept for the next one."""
    s = Subject()
    peers = [(PEER_IP, PEER_MAC), (OTHER_IP, OTHER_MAC)]
    for addr, mac in peers:
        s.link.learn(addr, mac)
    endpoints = [s.ip.udp.open(0, 7), s.ip.udp.open(0, 8)]
    s.ip.udp.connect(endpoints[1], PEER, 70)
    targets = [(parse_addr(addr), port) for addr, _ in peers for port in (70, 71)]
    frames = []
    for kind, which, what, size in changes:
        match kind:
            case "send":
                if forget:
                    s.ip.udp._sent_from = None
                try:
                    s.ip.udp.send(endpoints[which], bytes(size), *targets[what], s.now)
                except AddressNotAvailable:
                    frames.append("refused")
            case "tos":
                endpoints[which].tos = what * 4
            case "ttl":
                endpoints[which].ttl = what * 9
            case "mac":
                s.link.learn(peers[which][0], f"02:00:00:00:01:0{what}")
            case "mtu":
                s.ip.set_mtu(1, which)
            case "pmtu":
                s.ip.set_path_mtu(parse_addr(peers[which][0]), what, s.now)
            case "connect":
                s.ip.udp.connect(endpoints[1], *targets[what])
            case "move":
                s.ip.remove_address(1, OURS, s.now)
                s.ip.add_address(1, OURS, 24, s.now)
            case "time":
                s.advance(which * 1_000_000)
        frames += s.link.sink.frames
        s.take()
    return frames


@given(st.lists(CHANGES, max_size=25))
@settings(deadline=None)
def test_the_header_kept_for_the_next_datagram_is_what_would_be_made_anew(changes):
    assert sent_by(changes, forget=False) == sent_by(changes, forget=True)


def test_a_header_is_kept(s):
    e = s.ip.udp.open(0, 7)
    for _ in range(2):
        s.ip.udp.send(e, b"x", PEER, 9, s.now)
    s.ip.udp._template = s.ip.udp._template[:-2] + b"\0\x0a"
    s.ip.udp.send(e, b"y", PEER, 9, s.now)
    assert [packet[UDP].dport for packet in s.take_ip()] == [9, 9, 10]
