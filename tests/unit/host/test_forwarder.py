import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, IPOption, fragment
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from stack.stats import Counter, DropReason
from stack.wire import accel
from stack.wire.addr import parse_addr
from stack.wire.frame import GSO_TCPV4, VNET_NEEDS_CSUM, Caps
from tests.support.ip_subject import BROADCAST, OUR_MAC, PEER_MAC, Subject, peer_ip
from tests.support.rfc import rfc

FAR = "10.0.0.9"
FAR_MAC = "02:00:00:00:01:09"
OUR_FAR_MAC = "02:00:00:00:01:02"


def router(*, mtu=1500, caps=None, know=True, **config):
    s = Subject(**{"forwarding": True, **config})
    s.far = s.add_link("tap1", "10.0.0.2", 24, OUR_FAR_MAC, mtu=mtu, caps=caps)
    s.link.learn()
    if know:
        s.far.learn(FAR, FAR_MAC, to="10.0.0.2")
    return s


@pytest.fixture
def s():
    return router()


def onward(data=b"data", **fields):
    return peer_ip(**{"dst": FAR, "ttl": 9, **fields}) / UDP(sport=1, dport=2) / Raw(data)


@rfc("1812", "5.3.1", "RTR-1")
def test_a_datagram_goes_on_with_one_ttl_less_and_nothing_else_changed(s):
    sent = IP(bytes(onward(id=5, tos=8)))
    s.rx(sent)
    [frame] = s.far.take()
    assert (frame.src, frame.dst) == (OUR_FAR_MAC, FAR_MAC)
    got = frame[IP]
    assert got.ttl == 8
    sent.ttl = 8
    del sent.chksum
    assert bytes(got) == bytes(sent)
    assert s.take() == []
    assert s.count(Counter.IP_FORWARDED) == 1


def test_control_without_forwarding_nothing_goes_on():
    s = router(forwarding=False)
    s.rx(onward())
    assert s.far.take() == []
    assert s.drops(DropReason.IP_NOT_OURS) == 1


class Calls:
    """What the device was given at once."""

    def __init__(self, sink):
        self.runs = []
        self._pass_on = sink.pass_on
        sink.pass_on = self.pass_on

    def pass_on(self, burst, first, count, link):
        self.runs.append((first, count))
        return self._pass_on(burst, first, count, link)


def test_a_run_of_frames_for_one_next_hop_is_one_call(s):
    s.rx(onward())  # the next hop is looked up
    s.far.take()
    calls = Calls(s.far.sink)
    s.rx(*(onward(bytes([n])) for n in range(5)))
    assert calls.runs == [(0, 5)]
    assert [p.load for p in s.far.take_ip()] == [bytes([n]) for n in range(5)]
    assert s.count(Counter.IP_FORWARDED) == 6


@rfc("1812", "5.3.1", "RTR-1")
def test_odd_frames_end_a_run_and_nothing_is_overtaken(s):
    other = "10.0.0.8"
    s.far.learn(other, "02:00:00:00:01:08", to="10.0.0.2")
    s.rx(onward(), onward(dst=other))
    s.far.take()
    calls = Calls(s.far.sink)
    s.rx(
        onward(b"0"),
        onward(b"1"),
        onward(b"2", options=[IPOption(b"\x94\x04\x00\x00")]),  # options
        onward(b"3"),
        onward(b"4" * 1473, flags=0),  # fragmented
        onward(b"5"),
        onward(b"6", dst=other),
        onward(b"7", ttl=1),  # not passed on
        onward(b"8" * 1472, flags="DF"),  # as long as the link takes
    )
    assert calls.runs == [(0, 2), (3, 1), (5, 1), (6, 1), (8, 1)]
    assert [int(bytes(p.payload)[8:9]) for p in s.far.take_ip() if not p.frag] == [0, 1, 2, 3, 4, 5, 6, 8]
    [report] = s.take_ip()
    assert (report[ICMP].type, report[ICMP].code) == (11, 0)


def test_what_a_full_device_drops_of_a_run_is_counted(s):
    s.rx(onward())
    s.far.sink.send = lambda _frame: False
    s.rx(onward(), onward(), onward())
    assert s.drops(DropReason.TX_DEVICE_FULL) == 3


@rfc("1812", "5.3.1", "RTR-1")
@pytest.mark.parametrize("ttl", [0, 1])
def test_a_ttl_that_expires(s, ttl):
    s.rx(onward(ttl=ttl))
    assert s.far.take() == []
    [report] = s.take_ip()
    assert (report[ICMP].type, report[ICMP].code, report[IPerror].dst) == (11, 0, FAR)
    assert report.src == "198.18.0.2"


@rfc("1812", "5.2.7.1", "RTR-2")
def test_no_route(s):
    s.rx(onward(dst="8.8.8.8"))
    [report] = s.take_ip()
    assert (report[ICMP].type, report[ICMP].code) == (3, 0)
    assert s.drops(DropReason.IP_NO_ROUTE) == 1


@rfc("1812", "5.2.7.1", "RTR-2")
def test_a_next_hop_that_does_not_answer():
    s = router(know=False)
    s.rx(onward())
    assert s.far.take()[0][ARP].pdst == FAR
    s.advance(4_000_000)
    [report] = s.take_ip()
    assert (report[ICMP].type, report[ICMP].code) == (3, 1)
    s.rx(onward())  # it may be back: asked anew
    assert s.far.take()[-1][ARP].pdst == FAR
    assert s.take_ip() == []


def test_datagrams_wait_for_the_next_hop():
    s = router(know=False)
    s.rx(onward(b"1"), onward(b"2"))
    s.far.take()
    answer = ARP(op=2, hwsrc=FAR_MAC, psrc=FAR, hwdst=OUR_FAR_MAC, pdst="10.0.0.2")
    s.far.rx(Ether(dst=OUR_FAR_MAC, src=FAR_MAC) / answer)
    assert [(p.ttl, p.load) for p in s.far.take_ip()] == [(8, b"1"), (8, b"2")]


@rfc("1812", "5.3.4", "RTR-5")
@rfc("1812", "5.3.5", "RTR-6")
@rfc("1812", "5.3.7", "RTR-4")
@pytest.mark.parametrize(
    ("dst", "reason"),
    [
        ("10.0.0.255", DropReason.IP_FORWARD_FORBIDDEN),
        ("240.1.1.1", DropReason.IP_MARTIAN_DESTINATION),
        ("127.0.0.1", DropReason.IP_MARTIAN_DESTINATION),
        ("0.0.0.5", DropReason.IP_MARTIAN_DESTINATION),
        ("239.1.1.1", DropReason.IP_MARTIAN_DESTINATION),
    ],
)
def test_what_is_not_forwarded(s, dst, reason):
    s.rx(onward(dst=dst))
    assert s.far.take() == []
    assert s.take() == []
    assert s.drops(reason) == 1


@rfc("1812", "5.3.4", "RTR-5")
def test_link_broadcasts_are_not_forwarded(s):
    s.rx(onward(), dst=BROADCAST)
    assert s.far.take() == []
    assert s.take() == []
    assert s.drops(DropReason.IP_LINK_BROADCAST) == 1


@rfc("1812", "5.3.7", "RTR-4")
@pytest.mark.parametrize("src", ["127.0.0.1", "0.0.0.0", "224.1.1.1", "255.255.255.255", "10.0.0.255", "10.0.0.2"])
def test_impossible_sources_are_not_forwarded(s, src):
    s.rx(onward(src=src))
    assert s.far.take() == []
    assert s.drops(DropReason.IP_MARTIAN_SOURCE) == 1


@rfc("1812", "5.3.13", "RTR-9")
def test_options_go_along_but_source_routes_do_not(s):
    s.rx(onward(options=[IPOption(b"\x94\x04\x00\x00")]))
    [packet] = s.far.take_ip()
    assert bytes(packet)[20:24] == b"\x94\x04\x00\x00"
    s.rx(onward(options=[IPOption(bytes([131, 7, 4, 10, 0, 0, 1]))]))
    assert s.far.take() == []


@rfc("1812", "4.2.2.7", "RTR-7")
def test_too_large_with_df_is_reported_with_the_mtu():
    s = router(mtu=600)
    s.rx(onward(bytes(700), flags="DF"))
    assert s.far.take() == []
    [report] = s.take_ip()
    assert (report[ICMP].type, report[ICMP].code, report[ICMP].nexthopmtu) == (3, 4, 600)
    assert s.drops(DropReason.IP_NEEDS_FRAG) == 1


@rfc("1812", "4.2.2.7", "RTR-7")
@rfc("791", "2.3", "IP-9")
def test_too_large_without_df_is_cut():
    s = router(mtu=600)
    packet = onward(bytes(range(250)) * 6, id=77)
    s.rx(packet)
    parts = s.far.take_ip()
    assert [(p.frag * 8, bool(p.flags.MF), p.ttl, p.id) for p in parts] == [
        (0, True, 8, 77),
        (576, True, 8, 77),
        (1152, False, 8, 77),
    ]
    assert b"".join(bytes(p.payload) for p in parts) == bytes(packet[UDP])
    s.rx(*fragment(onward(bytes(3000), id=78), fragsize=1200))  # a fragment is cut again
    assert [len(p) for p in s.far.take_ip()] == [596, 596, 68, 596, 596, 68, 596, 52]


@rfc("1812", "5.2.7.2", "RTR-3")
def test_a_neighbour_that_could_go_direct_is_redirected(s):
    s.ip.add_route(parse_addr("20.0.0.0"), 8, gateway=parse_addr("198.18.0.7"))
    s.link.learn("198.18.0.7", "02:00:00:00:00:07")
    s.rx(onward(dst="20.1.1.1"))
    sent = s.take()
    [redirect] = [f[IP] for f in sent if f[IP].proto == 1]
    assert (redirect[ICMP].type, redirect[ICMP].code, redirect[ICMP].gw) == (5, 1, "198.18.0.7")
    assert [f.dst for f in sent if f[IP].dst == "20.1.1.1"] == ["02:00:00:00:00:07"]
    s.rx(onward(dst="20.1.1.1", src="30.0.0.1"))  # not a neighbour
    assert not [f for f in s.take() if ICMP in f]


def test_redirects_can_be_switched_off():
    s = router(send_redirects=False)
    s.ip.add_route(parse_addr("20.0.0.0"), 8, gateway=parse_addr("198.18.0.7"))
    s.link.learn("198.18.0.7", "02:00:00:00:00:07")
    s.rx(onward(dst="20.1.1.1"))
    assert [f[IP].dst for f in s.take()] == ["20.1.1.1"]


def test_a_router_does_not_follow_redirects(s):
    s.ip.add_route(0, 0, gateway=parse_addr("198.18.0.1"))
    quoted = IP(src="198.18.0.2", dst="8.8.8.8") / UDP()
    s.rx(peer_ip() / ICMP(type=5, code=1, gw="198.18.0.7") / bytes(quoted))
    assert s.drops(DropReason.ICMP_REDIRECT_REFUSED) == 1


def test_a_bad_transport_checksum_is_the_destinations_business(s):
    packet = onward()
    packet[UDP].chksum = 0x1234
    s.rx(packet)
    assert s.far.take()[0][UDP].chksum == 0x1234


def test_a_header_too_short_for_its_transport_is_the_destinations_business(s):
    s.rx(peer_ip(dst=FAR, proto=6) / Raw(b"short"))
    [packet] = s.far.take_ip()
    assert bytes(packet.payload) == b"short"
    s.rx(peer_ip(proto=6) / Raw(b"short"))
    assert s.drops(DropReason.TCP_SHORT) == 1


@rfc("1812", "4.3.2.8", "RTR-8")
def test_reports_are_limited(s):
    s.rx(*[onward(ttl=1)] * 200)
    sent = len(s.take_ip())
    assert 35 <= sent <= 65
    assert s.drops(DropReason.ICMP_RATE_LIMIT) == 200 - sent


def super_segment(length=5000, mss=1448, flags="DF"):
    """What a device with offloads hands over: one big frame, its checksum field a pseudo-header sum."""
    segment = TCP(sport=1, dport=2, flags="A", seq=100) / Raw(bytes(range(250)) * 20)
    packet = peer_ip(dst=FAR, ttl=9, flags=flags) / segment
    frame = bytearray(bytes(Ether(dst=OUR_MAC, src=PEER_MAC) / packet))
    pseudo = bytes(frame[26:34]) + b"\0\6" + (20 + length).to_bytes(2, "big")
    frame[50:52] = accel.partial_sum(pseudo).to_bytes(2, "big")
    return bytes(frame), VNET_NEEDS_CSUM, GSO_TCPV4, mss, 34, 16


@rfc("1812", "4.2.2.7", "RTR-7")
def test_a_super_segment_stays_one_for_a_device_that_can_and_is_cut_for_one_that_cannot():
    s = router(caps=Caps(csum=True, tso4=True, max_gso=65_535))
    s.rx(super_segment())
    [raw] = s.far.sink.raw
    assert raw[1:] == (VNET_NEEDS_CSUM, GSO_TCPV4, 1448, 34, 16)
    assert len(raw[0]) == 5054
    weak = router()
    weak.rx(super_segment())
    packets = weak.far.take_ip()
    assert [len(p[TCP].payload) for p in packets] == [1448, 1448, 1448, 656]
    assert [p[TCP].seq for p in packets] == [100, 1548, 2996, 4444]
    assert {p.ttl for p in packets} == {8}


@rfc("1812", "4.2.2.7", "RTR-7")
def test_super_segments_are_measured_by_what_will_be_on_the_wire():
    s = router(mtu=1400)
    s.rx(super_segment(mss=1360))
    assert len(s.far.take_ip()) == 4
    s.rx(super_segment(mss=1361))
    assert s.far.take() == []
    assert s.take_ip()[0][ICMP].nexthopmtu == 1400
    s.rx(super_segment(mss=1361, flags=0))
    parts = s.far.take_ip()
    assert len(parts) == 7  # three full segments in two fragments each, and the rest
    assert all(len(p) <= 1400 for p in parts)


def test_a_partial_checksum_is_completed_for_a_device_that_cannot():
    frame, *_ = super_segment()
    packet = peer_ip(dst=FAR, ttl=9) / UDP(sport=1, dport=2) / Raw(b"hello")
    frame = bytearray(bytes(Ether(dst=OUR_MAC, src=PEER_MAC) / packet))
    frame[40:42] = accel.partial_sum(bytes(frame[26:34]) + b"\0\x11\0\x0d").to_bytes(2, "big")
    s = router()
    s.rx((bytes(frame), VNET_NEEDS_CSUM, 0, 0, 34, 6))
    assert s.far.take_ip()[0].load == b"hello"
