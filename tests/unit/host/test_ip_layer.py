import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption, fragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from stack.errors import (
    AddressInUse,
    AddressNotAvailable,
    ConfigError,
    InvalidAddress,
    NetworkUnreachable,
    NoBufferSpace,
)
from stack.ip import output as out
from stack.stats import Counter, DropReason
from stack.wire import accel
from stack.wire.addr import parse_addr, parse_mac
from stack.wire.burst import Burst
from stack.wire.frame import GSO_TCPV4, Caps
from tests.support.ip_subject import (
    BROADCAST,
    OUR_IP,
    OUR_MAC,
    PEER_IP,
    PEER_MAC,
    ListSink,
    Subject,
    check,
    peer_ip,
    ping,
    segment,
    tcp,
    udp,
)
from tests.support.rfc import rfc

A = parse_addr
PEER = A(PEER_IP)


@pytest.fixture
def s():
    made = Subject()
    made.link.learn()
    return made


# --- who it is for -------------------------------------------------------------------------------------------------


@rfc("1122", "3.2.1.3", "IP-2")
def test_what_is_not_ours_is_dropped_by_a_host(s):
    s.rx(ping(dst="198.18.0.3"), ping(dst="8.8.8.8"), ping(dst="224.0.0.9"))
    assert s.take() == []
    assert s.drops(DropReason.IP_NOT_OURS) == 3


@rfc("1122", "3.2.1.3", "IP-3")
@pytest.mark.parametrize(
    "src", ["255.255.255.255", "198.18.0.255", "224.0.0.1", "0.0.0.0", "0.1.2.3", "127.0.0.1", "240.0.0.1", OUR_IP]
)
def test_impossible_sources(s, src):
    s.rx(ping(src=src), udp(1, 7, src=src), tcp(src=src))
    assert s.take() == []
    assert s.delivered == []
    assert s.drops(DropReason.IP_MARTIAN_SOURCE) == 3


@rfc("1122", "3.2.1.3", "IP-3")
def test_a_frame_from_the_wire_that_pretends_to_be_our_own(s):
    s.rx(ping(src=OUR_IP), tcp(src=OUR_IP), src=OUR_MAC)
    assert s.take() == []
    assert s.delivered == []
    assert s.drops(DropReason.IP_MARTIAN_SOURCE) == 2


@rfc("1122", "3.2.1.3", "IP-2")
def test_a_group_is_heard_once_it_is_joined(s):
    e = s.ip.udp.open(0, 9)
    group = A("239.1.1.1")

    def heard():
        s.rx(udp(1, 9, dst="239.1.1.1"), dst="01:00:5e:01:01:01")
        return len(e.recv_all())

    assert heard() == 0
    s.ip.join_group(1, group)
    assert heard() == 1
    s.ip.leave_group(1, group)
    assert heard() == 0
    s.ip.leave_group(1, A("224.0.0.1"))
    s.rx(udp(1, 9, dst="224.0.0.1"), dst="01:00:5e:00:00:01")
    assert len(e.recv_all()) == 1
    with pytest.raises(InvalidAddress):
        s.ip.join_group(1, PEER)
    with pytest.raises(NoBufferSpace):
        for n in range(300):
            s.ip.join_group(1, group + n)


@rfc("1122", "3.3.6", "IP-11")
def test_a_unicast_datagram_in_a_link_broadcast(s):
    s.rx(ping(), udp(1, 9), tcp(), dst=BROADCAST)
    assert s.take() == []
    assert s.delivered == []
    assert s.drops(DropReason.IP_LINK_BROADCAST) == 3


def test_tcp_to_a_group_is_dropped(s):
    s.rx(tcp(dst="255.255.255.255"), tcp(dst="198.18.0.255"), tcp(dst="224.0.0.1"), dst=BROADCAST)
    assert s.delivered == []
    assert s.drops(DropReason.IP_MARTIAN_DESTINATION) == 3


@rfc("1122", "3.2.1.7", "IP-6")
@pytest.mark.parametrize("ttl", [0, 1])
def test_the_last_hop_may_arrive_with_no_ttl_left(s, ttl):
    s.rx(ping(ttl=ttl))
    assert s.take_ip()[0].ttl == 64


@rfc("1122", "3.2.1", "IP-1")
def test_padding_is_not_data(s):
    s.rx(bytes(Ether(dst=OUR_MAC, src=PEER_MAC) / ping(b"")) + bytes(18))
    [reply] = s.take_ip()
    assert reply.len == 28


@rfc("1122", "3.3.4.2", "RTR-10")
def test_strong_model_an_address_lives_on_its_own_interface(s):
    other = s.add_link("tap1", "10.0.0.2", 24, "02:00:00:00:01:02")
    s.rx(ping(dst="10.0.0.2"), tcp(dst="10.0.0.2"))
    assert s.take() == []
    assert other.take() == []
    assert s.drops(DropReason.IP_WRONG_INTERFACE) == 2
    router = Subject(forwarding=True)
    router.add_link("tap1", "10.0.0.2", 24, "02:00:00:00:01:02")
    router.link.learn()
    router.rx(ping(dst="10.0.0.2"), tcp(dst="10.0.0.2"))
    assert [p.src for p in router.take_ip()] == ["10.0.0.2"]
    assert len(router.delivered) == 1


# --- options -------------------------------------------------------------------------------------------------------


@rfc("1122", "3.2.1.8", "IP-8")
def test_unknown_options_are_ignored(s):
    s.ip.udp.open(0, 7)
    s.rx(
        ping(options=[IPOption(b"\x94\x04\x00\x00")]),
        tcp(options=[IPOption(b"\x5e\x04ab")], data=b"hi"),
        udp(1, 7, options=[IPOption(b"\x5e\x04ab")], ttl=33),
    )
    assert len(s.take_ip()) == 1
    assert s.delivered[0][1] == b"hi"
    assert s.ip.ready[0].recv()[4] == 33


@rfc("1122", "3.2.1.8", "IP-8")
@pytest.mark.parametrize("kind", [131, 137])
def test_source_routes_are_refused(s, kind):
    s.rx(ping(options=[IPOption(bytes([kind, 7, 4, 10, 0, 0, 1]))]))
    assert s.take() == []
    assert s.drops(DropReason.IP_SOURCE_ROUTE) == 1


@rfc("1122", "3.2.1.8", "IP-8")
def test_a_wrong_option_length_is_reported(s):
    s.rx(ping(options=[IPOption(b"\x07\x03\x04\x00")]))
    [report] = s.take_ip()
    assert (report[ICMP].type, report[ICMP].ptr) == (12, 21)
    assert s.drops(DropReason.IP_BAD_OPTIONS) == 1


# --- fragments -----------------------------------------------------------------------------------------------------


@rfc("1122", "3.3.2", "IP-4")
def test_a_tcp_segment_in_fragments_comes_back_whole(s):
    data = bytes(range(200)) * 20
    s.rx(*reversed(fragment(tcp(data=data, id=9), fragsize=800)))
    assert s.delivered == [(1, data, PEER)]
    assert s.count(Counter.IP_REASSEMBLED) == 1


def test_unfinished_datagrams_expire(s):
    s.rx(fragment(tcp(data=bytes(3000), id=9), fragsize=800)[1])
    assert s.ip.snapshot()["reassembly"]["datagrams"] == 1
    assert s.ip.deadline <= s.now + 60_000_000
    s.advance(60_000_000)
    assert s.ip.snapshot()["reassembly"] == {"datagrams": 0, "bytes": 0}
    assert s.take_ip() == []  # fragment 0 was not seen


# --- addresses and routes ------------------------------------------------------------------------------------------


@rfc("1122", "3.3.1", "IP-10")
def test_the_way_to_a_destination(s):
    s.ip.add_route(0, 0, gateway=PEER)
    near, far = s.ip.path(A("198.18.0.9")), s.ip.path(A("8.8.8.8"))
    assert (near.next_hop, near.src, near.mtu, near.kind) == (A("198.18.0.9"), A(OUR_IP), 1500, out.UNICAST)
    assert (far.next_hop, far.src) == (PEER, A(OUR_IP))
    assert s.ip.path(A("8.8.8.8"), A(OUR_IP)) is far
    s.ip.remove_route(0, 0)
    with pytest.raises(NetworkUnreachable):
        s.ip.path(A("8.8.8.8"))


@rfc("1122", "3.2.1.3", "IP-12")
@pytest.mark.parametrize("dst", ["127.0.0.1", "0.0.0.0", "240.0.0.1"])
def test_what_no_datagram_can_be_sent_to(s, dst):
    s.ip.add_route(0, 0, gateway=PEER)
    with pytest.raises(NetworkUnreachable):
        s.ip.path(A(dst))


def test_kinds_of_destinations(s):
    assert s.ip.path(0xFFFFFFFF).kind == out.BROADCAST
    assert s.ip.path(A("198.18.0.255")).kind == out.BROADCAST
    assert s.ip.path(A("224.0.0.5")).kind == out.MULTICAST
    assert s.ip.path(A(OUR_IP)).kind == out.LOCAL


@rfc("1122", "3.3.4.2", "RTR-10")
def test_strong_model_a_source_leaves_by_its_own_interface(s):
    s.add_link("tap1", "10.0.0.2", 24, "02:00:00:00:01:02")
    s.ip.add_route(0, 0, gateway=PEER, metric=1)
    s.ip.add_route(0, 0, gateway=A("10.0.0.1"), metric=2)
    assert s.ip.path(A("8.8.8.8")).src == A(OUR_IP)
    assert s.ip.path(A("8.8.8.8"), A("10.0.0.2")).ifindex == 2
    with pytest.raises(AddressNotAvailable):
        s.ip.path(A("8.8.8.8"), A("10.0.0.3"))
    with pytest.raises(NetworkUnreachable):
        s.ip.path(PEER, A("10.0.0.2")) if s.ip.remove_route(0, 0) else None


@pytest.mark.parametrize(
    ("addr", "prefix_len"),
    [
        ("198.18.9.0", 24),
        ("198.18.9.255", 24),
        ("224.0.0.1", 24),
        ("127.0.0.1", 8),
        ("0.0.0.0", 8),
        ("10.0.0.1", 0),
        ("10.0.0.1", 33),
    ],
)
def test_addresses_that_no_host_can_have(s, addr, prefix_len):
    with pytest.raises(InvalidAddress):
        s.ip.add_address(1, A(addr), prefix_len, 0)


def test_wrong_configuration_is_refused(s):
    ip = s.ip
    with pytest.raises(AddressInUse):
        ip.add_address(1, A(OUR_IP), 24, 0)
    with pytest.raises(ConfigError):
        ip.add_address(9, A("10.0.0.1"), 24, 0)
    with pytest.raises(InvalidAddress):
        ip.remove_address(1, A("10.0.0.1"), 0)
    with pytest.raises(InvalidAddress):
        ip.add_route(0, 0, gateway=A("10.0.0.1"))
    with pytest.raises(InvalidAddress):
        ip.add_route(0, 33, gateway=PEER)
    with pytest.raises(ConfigError):
        ip.add_route(0, 0, gateway=PEER, mtu=67)  # no room for eight bytes behind a header with options
    good = b"\2" * 6
    for name, mac, mtu in (("tap0", good, 1500), ("x", b"\1" * 6, 1500), ("x", bytes(6), 1500), ("x", good, 67)):
        with pytest.raises(ConfigError):
            ip.add_interface(name, ListSink(), mac, mtu, 0)


def test_an_address_taken_away_is_gone(s):
    path = s.ip.path(PEER)
    s.ip.add_address(1, A("198.18.0.3"), 24, s.now)
    s.ip.remove_address(1, A(OUR_IP), s.now)
    s.rx(ping())
    assert s.take_ip() == []
    s.ip.output(path, segment(), s.now)
    assert s.drops(DropReason.IP_NO_ROUTE) == 1
    assert s.ip.errors[0].kind.name == "NET_UNREACHABLE"
    assert s.ip.path(PEER).src == A("198.18.0.3")  # the route to the subnet is that of the other address now


def test_an_interface_taken_away_is_gone(s):
    s.ip.path(PEER)
    s.ip.remove_interface(1, s.now)
    with pytest.raises(NetworkUnreachable):
        s.ip.path(PEER)
    assert s.ip.snapshot()["routes"] == []
    assert s.ip.local_addrs == {}
    s.feed(1, burst_of(s))  # a frame that was still under way


def burst_of(s):
    burst = Burst()
    frames = [Ether(dst=OUR_MAC, src=PEER_MAC) / p for p in (ping(), tcp(), udp(1, 2))]
    frames.append(Ether(dst=BROADCAST, src=PEER_MAC) / ARP(pdst=OUR_IP))
    accel.load_burst(burst, [(bytes(f), 0, 0, 0, 0, 0) for f in frames], parse_mac(OUR_MAC))
    return burst


# --- output --------------------------------------------------------------------------------------------------------


@rfc("1122", "3.2.1.7", "IP-6")
def test_a_segment_goes_out_complete(s):
    path = s.ip.path(PEER)
    s.ip.output(path, segment(b"hello"), s.now)
    s.ip.output(path, segment(b"hello"), s.now, tos=0x12, ttl=3)
    plain, marked = s.take_ip()
    assert (plain.src, plain.dst, plain.ttl, plain.tos, plain.id) == (OUR_IP, PEER_IP, 64, 0, 0)
    assert plain.flags.DF
    assert plain[TCP].load == b"hello"
    assert (marked.tos, marked.ttl) == (0x12, 3)


def test_every_event_that_matters_makes_the_path_be_looked_at_again(s):
    path = s.ip.path(PEER)
    s.ip.output(path, segment(), s.now)
    assert path.generation == s.ip.generation
    for event in (
        lambda: s.ip.add_route(0, 0, gateway=PEER),
        lambda: s.ip.set_path_mtu(PEER, 1300, s.now),
        lambda: s.link.learn(mac="02:00:00:00:00:77"),
    ):
        event()
        assert path.generation != s.ip.generation
        s.take()
        s.ip.output(path, segment(), s.now)
        assert path.generation == s.ip.generation
    assert s.take()[0].dst == "02:00:00:00:00:77"
    assert path.mtu == 1300


def test_a_super_segment_waits_as_wire_frames_for_its_neighbour():
    s = Subject(caps=Caps(csum=True, tso4=True, max_gso=65_535))
    s.ip.output(s.ip.path(PEER), segment(bytes(5000), mss=1448), s.now)
    s.take()
    s.rx(Ether(dst=OUR_MAC, src=PEER_MAC) / ARP(op=2, hwsrc=PEER_MAC, psrc=PEER_IP, hwdst=OUR_MAC, pdst=OUR_IP))
    packets = s.take_ip()
    assert [len(p[TCP].payload) for p in packets] == [1448, 1448, 1448, 656]
    s.ip.output(s.ip.path(PEER), segment(bytes(5000), mss=1448), s.now)
    [raw] = s.link.sink.raw
    assert (raw[1], raw[2], raw[3]) == (1, GSO_TCPV4, 1448)


def test_broadcast_and_multicast_have_link_addresses_of_their_own(s):
    e = s.ip.udp.open(0, 9, broadcast=True)
    for dst in ("255.255.255.255", "198.18.0.255", "239.129.1.2"):
        s.ip.udp.send(e, b"x", A(dst), 9, s.now)
    frames = s.take()
    assert [f.dst for f in frames] == [BROADCAST, BROADCAST, "01:00:5e:01:01:02"]
    assert [f[IP].ttl for f in frames] == [64, 64, 1]


@rfc("1122", "3.2.1.3", "IP-12")
def test_what_we_send_to_ourselves_turns_round(s):
    e = s.ip.udp.open(0, 9)
    s.ip.udp.send(e, bytes(30_000), A(OUR_IP), 9, s.now)
    s.ip.output(s.ip.path(A(OUR_IP)), segment(b"to myself"), s.now)
    echo = s.ip.open_echo()
    s.ip.icmp.send_echo(echo, A(OUR_IP), 1, b"me", s.now)
    while s.ip.reinjected:
        s.feed(*s.ip.reinjected.pop(0))
    assert s.take() == []
    assert e.recv()[:4] == (bytes(30_000), A(OUR_IP), 9, A(OUR_IP))
    assert s.delivered == [(1, b"to myself", A(OUR_IP))]
    assert echo.replies.popleft().data == b"me"


def test_frames_to_ourselves_are_bounded(s):
    e = s.ip.udp.open(0, 9)
    for _ in range(1000):
        s.ip.udp.send(e, b"x", A(OUR_IP), 9, s.now)
    assert len(s.ip.reinjected) == 256
    assert s.drops(DropReason.TX_DEVICE_FULL) == 744


def test_paths_are_bounded(s):
    s.ip.add_route(0, 0, gateway=PEER)
    for n in range(5000):
        s.ip.path(A("8.0.0.0") + n)
    assert len(s.ip._paths) <= 4096


@rfc("1122", "3.3.1", "IP-10")
def test_a_gateway_that_does_not_answer_is_passed_over():
    s = Subject()
    s.ip.add_route(0, 0, gateway=A("198.18.0.1"), metric=1)
    s.ip.add_route(0, 0, gateway=A("198.18.0.7"), metric=2)
    e = s.ip.udp.open(0, 9)
    s.ip.udp.send(e, b"x", A("8.8.8.8"), 9, s.now)
    s.advance(4_000_000)
    assert s.ip.path(A("8.8.8.8")).next_hop == A("198.18.0.7")
    s.advance(60_000_000)
    assert s.ip.path(A("8.8.8.8")).next_hop == A("198.18.0.1")


@rfc("1122", "3.3.1", "IP-10")
def test_negative_advice_makes_the_first_hop_be_asked(s):
    path = s.ip.path(PEER)
    s.ip.output(path, segment(), s.now)
    s.take()
    s.ip.negative_advice(path, s.now)
    assert s.take()[0][ARP].pdst == PEER_IP
    s.ip.confirm(path, s.now)
    s.advance(10_000_000)
    assert s.take() == []


# --- unlikely input ------------------------------------------------------------------------------------------------


def test_unfit_frames_are_counted_by_reason(s):
    good = Ether(dst=OUR_MAC, src=PEER_MAC) / udp(1, 7)
    bad_sum = good.copy()
    bad_sum[UDP].chksum = 1
    s.rx(
        bytes(good)[:20],
        bad_sum,
        Ether(dst="02:00:00:00:00:55", src=PEER_MAC) / ping(),
        Ether(dst=OUR_MAC, src=PEER_MAC, type=0x86DD) / Raw(bytes(60)),
        Ether(dst=OUR_MAC, src="03:00:00:00:00:01") / ping(),
    )
    assert s.dropped() == {"IP_HEADER_LENGTH", "UDP_CHECKSUM", "ETH_NOT_OURS", "ETH_IPV6", "ETH_GROUP_SOURCE"}


def test_scapy_agrees_with_what_check_does():
    packet = IP(bytes(peer_ip() / UDP() / Raw(b"x")))
    check(packet)
    packet.chksum ^= 1
    with pytest.raises(AssertionError):
        check(packet)
