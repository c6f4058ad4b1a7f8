import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPerror, UDPerror, fragment
from scapy.packet import Raw

from stack.errors import ConnectionRefused, HostUnreachable, InvalidAddress, MessageTooLong, NetworkUnreachable
from stack.stats import Counter, DropReason
from stack.udp.endpoint import ERROR, READABLE
from stack.wire.addr import parse_addr
from stack.wire.icmp import ErrorKind
from tests.support.ip_subject import BROADCAST, OUR_IP, PEER_IP, Subject, peer_ip, ping, tcp, udp
from tests.support.rfc import rfc

PEER = parse_addr(PEER_IP)


@pytest.fixture
def s():
    made = Subject()
    made.link.learn()
    return made


@rfc("1122", "3.2.2.6", "ICMP-1")
@pytest.mark.parametrize("data", [b"", b"x", b"abcdefgh" * 7, bytes(1472), b"\xff\xf7\xff", bytes(range(256))])
def test_echo_gives_the_same_back(s, data):
    s.rx(ping(data, ident=0xF00D, seq=77, tos=0x10))
    [reply] = s.take_ip()
    assert (reply.src, reply.dst, reply.ttl, reply.tos) == (OUR_IP, PEER_IP, 64, 0x10)
    assert (reply[ICMP].type, reply[ICMP].code, reply[ICMP].id, reply[ICMP].seq) == (0, 0, 0xF00D, 77)
    assert bytes(reply[ICMP].payload) == data


@rfc("1122", "3.2.2.6", "ICMP-1")
@rfc("1122", "3.3.2", "IP-4")
@rfc("6864", "4", "IP-7")
def test_echo_at_the_full_size(s):
    data = bytes(range(256)) * 255
    for part in fragment(ping(data, id=99), fragsize=1480):
        s.rx(part)
    sent = s.take_ip()
    assert len(sent) == 45
    assert all(len(p) <= 1500 for p in sent)
    assert {p.flags.DF for p in sent} == {False}
    assert len({p.id for p in sent}) == 1
    message = b"".join(bytes(p.payload) for p in sent)
    reply = ICMP(message)
    assert reply.load == data
    del reply.chksum
    assert bytes(reply) == message
    s.rx(*fragment(ping(data, id=100), fragsize=1480))
    assert s.take_ip()[0].id != sent[0].id


@rfc("1122", "3.2.2.6", "ICMP-2")
@pytest.mark.parametrize("dst", ["255.255.255.255", "198.18.0.255", "224.0.0.1"])
def test_echo_to_a_group_is_ignored(s, dst):
    s.rx(ping(dst=dst), dst=BROADCAST)
    assert s.take() == []
    assert s.drops(DropReason.ICMP_BROADCAST_ECHO) == 1


def test_echo_can_be_switched_off():
    s = Subject(echo_reply=False)
    s.rx(ping())
    assert s.take() == []


@rfc("1122", "3.2.2", "ICMP-6")
def test_a_bad_checksum_is_dropped(s):
    packet = ping()
    packet[ICMP].chksum = 1
    s.rx(packet)
    assert s.take() == []
    assert s.drops(DropReason.ICMP_CHECKSUM) == 1


@rfc("6918", "2", "ICMP-8")
@pytest.mark.parametrize("icmp_type", [4, 13, 15, 17])
def test_obsolete_messages_are_ignored(s, icmp_type):
    s.rx(peer_ip() / ICMP(type=icmp_type))
    assert s.take() == []


@rfc("1122", "3.2.2", "ICMP-6")
def test_unknown_types_are_dropped(s):
    s.rx(peer_ip() / ICMP(type=99))
    assert s.take() == []
    assert s.drops(DropReason.ICMP_UNKNOWN_TYPE) == 1


@rfc("1122", "4.1.3.1", "UDP-3")
@rfc("1122", "3.2.2.1", "ICMP-5")
@rfc("1122", "3.2.2", "ICMP-4")
def test_port_unreachable_quotes_the_datagram(s):
    s.rx(udp(1234, 9999, b"hello"))
    [reply] = s.take_ip()
    assert (reply[ICMP].type, reply[ICMP].code) == (3, 3)
    assert (reply[IPerror].src, reply[UDPerror].sport, reply[UDPerror].dport) == (PEER_IP, 1234, 9999)
    assert reply[UDPerror].load == b"hello"
    assert reply.tos == 0xC0


@rfc("1122", "3.2.2.1", "ICMP-5")
def test_protocol_unreachable(s):
    s.rx(peer_ip(proto=47) / Raw(b"x" * 40))
    [reply] = s.take_ip()
    assert (reply[ICMP].type, reply[ICMP].code) == (3, 2)
    s.rx(peer_ip(proto=2, dst="224.0.0.1") / Raw(b"x" * 8), dst="01:00:5e:00:00:01")
    assert s.take() == []


@rfc("1812", "4.3.2.8", "RTR-8")
def test_errors_are_limited_and_ping_is_not(s):
    for n in range(200):
        s.rx(udp(1234, 9999 + n))
    sent = len(s.take_ip())
    assert 35 <= sent <= 65  # about 50: how many exactly is nobody's business
    assert s.drops(DropReason.ICMP_RATE_LIMIT) == 200 - sent
    s.rx(*[ping(seq=n) for n in range(200)])
    assert len(s.take_ip()) == 200
    s.advance(10_000)
    s.rx(*[udp(1234, 99 + n) for n in range(20)])
    assert 4 <= len(s.take_ip()) <= 16


@rfc("1122", "4.1.3.1", "UDP-3")
@rfc("1122", "3.2.2", "ICMP-3")
@pytest.mark.parametrize("dst", ["255.255.255.255", "198.18.0.255", "224.0.0.1"])
def test_no_unreachable_about_a_broadcast(s, dst):
    s.rx(udp(1, 9999, dst=dst), dst=BROADCAST)
    s.rx(udp(1, 9999, dst=dst))  # also when the link address is ours
    assert s.take() == []


# --- errors received -----------------------------------------------------------------------------------------------


def error_about(quoted, icmp_type=3, code=3, src=PEER_IP, **fields):
    return IP(src=src, dst=OUR_IP) / ICMP(type=icmp_type, code=code, **fields) / bytes(quoted)[:28]


@rfc("1122", "4.1.3.3", "UDP-4")
@rfc("1122", "3.2.2", "ICMP-6")
def test_port_unreachable_refuses_a_connected_endpoint(s):
    e = s.ip.udp.open(0, 5000)
    s.ip.udp.connect(e, PEER, 9)
    s.ip.udp.send(e, b"hello", 0, 0, s.now)
    [sent] = s.take_ip()
    s.rx(error_about(sent))
    assert s.ip.ready == [e]
    assert e.take_events() == ERROR
    assert isinstance(e.take_error(), ConnectionRefused)
    assert e.take_error() is None


@rfc("1122", "4.1.3.3", "UDP-4")
def test_an_unconnected_endpoint_is_told_when_it_asked(s):
    e = s.ip.udp.open(0, 5000)
    s.ip.udp.send(e, b"hello", PEER, 9, s.now)
    [sent] = s.take_ip()
    s.rx(error_about(sent))
    assert e.take_error() is None
    e.recv_errors = True
    s.rx(error_about(sent, 3, 1))
    assert isinstance(e.take_error(), HostUnreachable)
    s.rx(error_about(sent, 11, 0))
    assert e.take_error_record().kind == ErrorKind.TIME_EXCEEDED


@rfc("1122", "3.2.2", "ICMP-6")
@pytest.mark.parametrize(
    "quoted",
    [
        IP(src=OUR_IP, dst=PEER_IP) / UDP(sport=4999, dport=9),  # no such endpoint
        IP(src="198.18.0.3", dst=PEER_IP) / UDP(sport=5000, dport=9),  # not from us
        IP(src=OUR_IP, dst=PEER_IP, proto=47) / Raw(bytes(20)),
    ],
)
def test_errors_that_match_nothing_are_dropped(s, quoted):
    e = s.ip.udp.open(0, 5000)
    e.recv_errors = True
    s.rx(error_about(quoted))
    assert e.events == 0
    assert s.drops(DropReason.ICMP_NO_MATCH) == 1
    assert s.take() == []


@rfc("1122", "3.2.2.1", "ICMP-7")
@rfc("1122", "3.2.2.4", "ICMP-9")
@pytest.mark.parametrize(
    ("icmp_type", "code", "kind", "mtu"),
    [
        (3, 4, ErrorKind.FRAG_NEEDED, 1200),
        (3, 1, ErrorKind.HOST_UNREACHABLE, 0),
        (11, 0, ErrorKind.TIME_EXCEEDED, 0),
        (12, 0, ErrorKind.PARAMETER_PROBLEM, 0),
        (3, 2, ErrorKind.PROTOCOL_UNREACHABLE, 0),
    ],
)
def test_tcp_errors_are_left_for_the_host(s, icmp_type, code, kind, mtu):
    quoted = IP(src=OUR_IP, dst=PEER_IP, len=1500) / TCP(sport=1000, dport=80, seq=12345)
    s.rx(error_about(quoted, icmp_type, code, nexthopmtu=mtu))
    [err] = s.ip.errors
    assert (err.kind, err.proto, err.laddr, err.lport, err.raddr, err.rport) == (
        kind,
        6,
        parse_addr(OUR_IP),
        1000,
        PEER,
        80,
    )
    assert (err.seq, err.mtu, err.reporter, err.local) == (12345, mtu, PEER, False)
    # Whether the path MTU falls is for TCP to say (RFC 5927 §7).
    assert s.ip.path(PEER).mtu == 1500
    assert s.ip.set_path_mtu(PEER, 1200, s.now)
    assert s.ip.path(PEER).mtu == 1200


def test_the_list_of_errors_is_bounded(s):
    quoted = IP(src=OUR_IP, dst=PEER_IP) / TCP(sport=1000, dport=80)
    for _ in range(10):
        s.rx(*[error_about(quoted, 3, 1)] * 100)
    assert len(s.ip.errors) == 256


@rfc("1191", "5", "1191-2")
@rfc("1122", "3.2.2.1", "ICMP-7")
def test_udp_fragments_after_fragmentation_needed(s):
    e = s.ip.udp.open(0, 5000)
    s.ip.udp.connect(e, PEER, 9)
    s.ip.udp.send(e, bytes(1400), 0, 0, s.now)
    [sent] = s.take_ip()
    assert sent.flags.DF
    s.rx(error_about(sent, 3, 4, nexthopmtu=0))  # an old router does not say how much
    assert e.take_error_record().mtu == 1006
    s.ip.udp.send(e, bytes(1400), 0, 0, s.now)
    parts = s.take_ip()
    assert [len(p) for p in parts] == [1004, 444]
    assert not parts[0].flags.DF
    s.advance(600_000_000)  # RFC 1191 §6.3: a larger one is tried again
    s.link.learn()
    s.ip.udp.send(e, bytes(1400), 0, 0, s.now)
    assert len(s.take_ip()) == 1


@rfc("5927", "7.2", "5927-2")
@pytest.mark.parametrize("mtu", [1428, 1500, 9000, 67, 1])
def test_an_mtu_that_would_have_carried_the_datagram_or_that_no_link_has_is_not_believed(s, mtu):
    e = s.ip.udp.open(0, 5000)
    s.ip.udp.send(e, bytes(1400), PEER, 9, s.now)
    [sent] = s.take_ip()
    s.rx(error_about(sent, 3, 4, nexthopmtu=mtu))
    assert s.ip.path(PEER).mtu == 1500
    assert s.dropped() <= {"ICMP_NO_MATCH", "ICMP_MALFORMED"}
    s.rx(error_about(sent, 3, 4, nexthopmtu=1427))  # the control
    assert s.ip.path(PEER).mtu == 1427


# --- redirects -----------------------------------------------------------------------------------------------------


def redirected(s, src=PEER_IP, gateway="198.18.0.7", quoted_src=OUR_IP):
    quoted = IP(src=quoted_src, dst="8.8.8.8") / UDP(sport=5000, dport=9)
    s.rx(IP(src=src, dst=OUR_IP) / ICMP(type=5, code=1, gw=gateway) / bytes(quoted))
    return s.ip.path(parse_addr("8.8.8.8")).next_hop


@rfc("1122", "3.3.1", "IP-10")
def test_a_redirect_from_the_first_hop_is_followed(s):
    s.ip.add_route(0, 0, gateway=PEER)
    assert s.ip.path(parse_addr("8.8.8.8")).next_hop == PEER
    assert redirected(s) == parse_addr("198.18.0.7")


@rfc("1122", "3.3.1", "IP-10")
@pytest.mark.parametrize(
    "fields", [{"src": "198.18.0.9"}, {"gateway": "10.0.0.1"}, {"gateway": OUR_IP}, {"quoted_src": "198.18.0.3"}]
)
def test_other_redirects_are_refused(s, fields):
    s.ip.add_route(0, 0, gateway=PEER)
    assert redirected(s, **fields) == PEER
    assert s.drops(DropReason.ICMP_REDIRECT_REFUSED) == 1


def test_redirects_can_be_refused_altogether():
    s = Subject(accept_redirects=False)
    s.ip.add_route(0, 0, gateway=PEER)
    assert redirected(s) == PEER


# --- our own pings -------------------------------------------------------------------------------------------------


def test_ping_out_and_back(s):
    echo = s.ip.open_echo()
    s.ip.icmp.send_echo(echo, PEER, 5, b"payload", s.now, ttl=9)
    [request] = s.take_ip()
    assert (request[ICMP].type, request[ICMP].id, request[ICMP].seq, request.ttl) == (8, echo.ident, 5, 9)
    assert request.load == b"payload"
    s.advance(1500)
    s.rx(peer_ip(ttl=61) / ICMP(type=0, id=echo.ident, seq=5) / Raw(b"payload"))
    assert s.ip.ready == [echo]
    assert echo.take_events() == READABLE
    assert echo.replies.popleft() == (PEER, 5, 1500, 61, b"payload")
    s.rx(peer_ip() / ICMP(type=0, id=echo.ident, seq=5))
    assert echo.replies.popleft().rtt_us == -1  # a duplicate
    s.rx(peer_ip() / ICMP(type=0, id=echo.ident ^ 1, seq=5))
    assert s.drops(DropReason.ICMP_NO_MATCH) == 1


def test_ping_of_65000_bytes_out_and_back(s):
    echo = s.ip.open_echo()
    data = bytes(range(250)) * 260
    s.ip.icmp.send_echo(echo, PEER, 1, data, s.now)
    assert len(s.take_ip()) == 44
    s.rx(*fragment(peer_ip(id=7) / ICMP(type=0, id=echo.ident, seq=1) / Raw(data), fragsize=1480))
    assert echo.replies.popleft().data == data


def test_traceroute_learns_who_dropped_it(s):
    echo = s.ip.open_echo()
    s.ip.add_route(0, 0, gateway=PEER)
    s.ip.icmp.send_echo(echo, parse_addr("8.8.8.8"), 1, b"", s.now, ttl=1)
    [request] = s.take_ip()
    s.rx(error_about(request, 11, 0))
    err, reporter = echo.errors.popleft()
    assert (err.kind, err.seq, reporter) == (ErrorKind.TIME_EXCEEDED, 1, PEER)


def test_what_an_echo_endpoint_keeps_is_bounded(s):
    echo = s.ip.open_echo()
    for seq in range(10_000):
        s.ip.icmp.send_echo(echo, PEER, seq, b"", s.now)
    assert len(echo.sent) <= 4096
    s.ip.icmp.close_echo(echo)
    s.rx(peer_ip() / ICMP(type=0, id=echo.ident, seq=5))
    assert not echo.replies
    with pytest.raises(MessageTooLong):
        s.ip.icmp.send_echo(echo, PEER, 1, bytes(65_508), s.now)
    with pytest.raises(InvalidAddress):
        s.ip.icmp.send_echo(echo, PEER, 1, b"", s.now, ttl=256)
    with pytest.raises(NetworkUnreachable):
        s.ip.icmp.send_echo(s.ip.open_echo(), parse_addr("8.8.8.8"), 1, b"", s.now)


def test_a_reassembly_that_times_out_is_reported(s):
    first = fragment(ping(bytes(3000), id=5), fragsize=1480)[0]
    s.rx(first)
    s.advance(60_000_000)
    packets = s.take_ip()
    [report] = [p for p in packets if ICMP in p]
    assert (report[ICMP].type, report[ICMP].code) == (11, 1)
    assert report[IPerror].id == 5


def test_counters(s):
    s.rx(ping())
    assert s.count(Counter.ICMP_ECHO_REPLIES) == 1
    assert s.count(Counter.ICMP_IN) == 1
    s.rx(tcp())
    assert len(s.delivered) == 1
