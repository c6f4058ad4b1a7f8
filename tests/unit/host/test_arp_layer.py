import pytest
from scapy.layers.inet import ICMP
from scapy.layers.l2 import ARP, Ether

from stack.errors import HostUnreachable
from stack.stats import Counter, DropReason
from stack.udp.endpoint import ERROR, to_exception
from stack.wire.addr import parse_addr, parse_mac
from tests.support.ip_subject import BROADCAST, OUR_IP, OUR_MAC, PEER_IP, PEER_MAC, Subject, ping, segment, udp
from tests.support.rfc import rfc

S = 1_000_000


def who_has(target=OUR_IP, src=PEER_IP, mac=PEER_MAC, dst=BROADCAST, **fields):
    return Ether(dst=dst, src=mac) / ARP(**{"op": 1, "hwsrc": mac, "psrc": src, "pdst": target, **fields})


def is_at(src=PEER_IP, mac=PEER_MAC, target=OUR_IP):
    return Ether(dst=OUR_MAC, src=mac) / ARP(op=2, hwsrc=mac, psrc=src, hwdst=OUR_MAC, pdst=target)


@pytest.fixture
def s():
    return Subject()


def neighbor(s, addr=PEER_IP):
    return s.ip.neighbors.get(1, parse_addr(addr))


@rfc("826", "0", "ARP-1")
@rfc("894", "0", "ETH-1")
def test_a_request_for_us_is_answered_and_teaches(s):
    s.rx(who_has())
    [frame] = s.take()
    assert (frame.dst, frame.src, len(frame)) == (PEER_MAC, OUR_MAC, 60)
    reply = frame[ARP]
    assert (reply.op, reply.hwsrc, reply.psrc, reply.hwdst, reply.pdst) == (2, OUR_MAC, OUR_IP, PEER_MAC, PEER_IP)
    assert neighbor(s).mac == parse_mac(PEER_MAC)
    assert s.count(Counter.ARP_OUT_REPLIES) == 1


@rfc("826", "0", "ARP-1")
def test_a_request_for_another_teaches_only_about_the_known(s):
    s.rx(who_has(target="198.18.0.77"))
    assert s.take() == []
    assert neighbor(s) is None
    s.link.learn()
    s.rx(who_has(target="198.18.0.77", mac="02:00:00:00:00:99"))
    assert neighbor(s).mac == parse_mac("02:00:00:00:00:99")


@rfc("5227", "2", "ARP-6")
def test_a_probe_for_our_address_is_answered_without_learning(s):
    s.rx(who_has(src="0.0.0.0"))
    [frame] = s.take()
    assert frame[ARP].op == 2
    assert s.ip.neighbors.get(1, 0) is None


@rfc("826", "0", "ARP-2")
@pytest.mark.parametrize(
    "fields",
    [
        {"hwsrc": "00:00:00:00:00:00"},
        {"hwsrc": BROADCAST},
        {"hwsrc": "01:00:5e:00:00:01"},
        {"hwsrc": OUR_MAC},
        {"psrc": "255.255.255.255"},
        {"psrc": "127.0.0.1"},
        {"psrc": "224.0.0.1"},
        {"hwtype": 6},
        {"plen": 16},
        {"op": 9},
    ],
)
def test_impossible_senders_teach_nothing(s, fields):
    s.rx(who_has(**fields))
    assert s.take() == []
    assert len(s.ip.neighbors) == 0
    assert s.dropped() <= {"ARP_BAD_SENDER", "ARP_MALFORMED"}
    assert s.dropped()


def test_a_sender_off_our_subnets_is_answered_but_not_remembered(s):
    s.rx(who_has(src="10.9.9.9"))
    assert len(s.take()) == 1
    assert len(s.ip.neighbors) == 0


@rfc("1122", "2.3.2.2", "ARP-5")
@rfc("1122", "2.3.2.1", "ARP-4")
def test_datagrams_wait_for_the_answer(s):
    e = s.ip.udp.open(0, 9)
    for n in range(3):
        s.ip.udp.send(e, b"%d" % n, parse_addr(PEER_IP), 9, s.now)
    [request] = s.take()
    assert (request.dst, request[ARP].op, request[ARP].psrc, request[ARP].pdst) == (BROADCAST, 1, OUR_IP, PEER_IP)
    s.rx(is_at())
    packets = s.take_ip()
    assert [p.load for p in packets] == [b"0", b"1", b"2"]
    assert neighbor(s).state == 1


@rfc("1122", "2.4", "ARP-7")
def test_an_unanswered_neighbour_is_reported_to_whoever_sent(s):
    e = s.ip.udp.open(0, 9)
    s.ip.udp.connect(e, parse_addr(PEER_IP), 7)
    s.ip.udp.send(e, b"hello", 0, 0, s.now)
    s.advance(4 * S)
    assert [f[ARP].pdst for f in s.take()] == [PEER_IP] * 3
    assert s.ip.ready == [e]
    assert e.take_events() == ERROR
    record = e.take_error_record()
    assert record.local
    assert (record.rport, record.lport) == (7, 9)
    assert isinstance(to_exception(record), HostUnreachable)
    s.ip.udp.send(e, b"again", 0, 0, s.now)  # it may be back: asked anew, and the datagram waits for the answer
    assert e.take_error() is None
    assert [f[ARP].pdst for f in s.take()] == [PEER_IP]


@rfc("1122", "2.4", "ARP-7")
def test_a_failed_tcp_segment_becomes_an_error_for_the_host(s):
    path = s.ip.path(parse_addr(PEER_IP))
    s.ip.output(path, segment(), s.now)
    s.advance(4 * S)
    [err] = s.ip.errors
    assert (err.proto, err.lport, err.rport, err.seq, err.kind.name) == (6, 1000, 80, 77, "HOST_UNREACHABLE")


def test_a_new_link_address_is_used_at_once(s):
    s.link.learn()
    s.rx(ping())
    assert s.take()[0].dst == PEER_MAC
    s.rx(who_has(mac="02:00:00:00:00:99"))
    s.take()
    s.rx(ping())
    assert s.take()[0].dst == "02:00:00:00:00:99"


@rfc("1122", "2.3.2.1", "ARP-3")
def test_an_old_entry_is_polled_by_unicast_while_it_is_used(s):
    s.link.learn()
    s.rx(ping())
    s.take()
    s.advance(5 * S)
    [poll] = s.take()
    assert (poll.dst, poll[ARP].op, poll[ARP].psrc, poll[ARP].pdst) == (PEER_MAC, 1, OUR_IP, PEER_IP)
    s.rx(is_at())
    s.advance(31 * S)
    s.rx(ping())
    assert len(s.take()) == 1


@rfc("5227", "2", "ARP-6")
def test_probes_then_announcements_and_the_address_is_usable_meanwhile():
    s = Subject(arp_probe=True)
    s.rx(who_has())
    assert s.take()[0][ARP].op == 2
    s.advance(10 * S)
    sent = s.take()
    assert [(f.dst, f[ARP].op, f[ARP].psrc, f[ARP].pdst) for f in sent] == (
        [(BROADCAST, 1, "0.0.0.0", OUR_IP)] * 3 + [(BROADCAST, 1, OUR_IP, OUR_IP)] * 2
    )


@rfc("5227", "2", "ARP-6")
def test_strict_probing_keeps_the_address_from_use_until_it_is_proven():
    s = Subject(arp_probe=True, arp_optimistic=False)
    s.rx(who_has(), ping())
    assert s.take() == []
    s.advance(10 * S)
    s.take()
    s.rx(who_has())
    assert s.take()[0][ARP].op == 2


@rfc("5227", "2", "ARP-6")
@pytest.mark.parametrize("optimistic", [True, False])
def test_an_address_in_use_elsewhere_is_given_up_while_probing(optimistic):
    s = Subject(arp_probe=True, arp_optimistic=optimistic)
    s.advance(1 * S)
    s.take()
    s.rx(is_at(src=OUR_IP, mac="02:00:00:00:00:99"))
    assert not s.ip.is_local(parse_addr(OUR_IP))
    assert s.count(Counter.ARP_CONFLICTS) == 1
    s.rx(who_has(), ping())
    s.advance(20 * S)
    assert s.take() == []
    assert s.drops(DropReason.IP_NOT_OURS) == 1


@rfc("5227", "2", "ARP-6")
def test_a_held_address_is_defended_and_kept(s):
    s.link.learn()
    for _ in range(5):
        s.rx(is_at(src=OUR_IP, mac="02:00:00:00:00:99"))
    defences = s.take()
    assert [(f[ARP].op, f[ARP].psrc, f[ARP].pdst, f[ARP].hwsrc) for f in defences] == [(1, OUR_IP, OUR_IP, OUR_MAC)]
    assert s.ip.is_local(parse_addr(OUR_IP))
    assert s.ip.neighbors.get(1, parse_addr(OUR_IP)) is None
    s.rx(udp(1, 7))
    assert ICMP in s.take()[0]


def test_requests_for_another_interfaces_address_are_not_answered():
    """Strong host model, also for ARP: an address lives on its own link."""
    s = Subject()
    s.add_link("tap1", "10.0.0.2", 24, "02:00:00:00:01:02")
    s.rx(who_has(target="10.0.0.2"))
    assert s.take() == []


def test_status_shows_neighbours(s):
    s.link.learn()
    [entry] = s.ip.snapshot()["neighbors"]
    assert (entry["addr"], entry["mac"], entry["state"]) == (PEER_IP, PEER_MAC, "STALE")
    assert s.ip.snapshot()["addresses"] == {OUR_IP: "held"}
