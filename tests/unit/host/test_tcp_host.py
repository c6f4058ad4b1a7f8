"""What TCP needs a whole Host for: segments of no connection, TIME-WAIT records, cookies, path MTU, TTL, checksums."""

import pytest
from scapy.layers.inet import ICMP, IP, TCP, IPOption
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from stack.errors import NetworkUnreachable
from stack.stats import Counter, DropReason
from stack.tcp.state import CLOSE_WAIT, CLOSED, ESTABLISHED
from stack.wire.addr import parse_addr
from tests.support.host_net import PORT, RPORT, SEQ, Net, drops
from tests.support.ip_subject import OUR_IP, OUR_MAC, PEER_IP, PEER_MAC
from tests.support.rfc import rfc


@rfc("9293", "3.5.2", "T-RST-1")
@rfc("9293", "3.10.7.1", "T-ST-*")
@pytest.mark.parametrize(
    ("flags", "data", "answer"),
    [
        ("S", b"", ("RA", 0, SEQ + 1)),
        ("S", b"abc", ("RA", 0, SEQ + 4)),
        ("", b"abc", ("RA", 0, SEQ + 3)),
        ("F", b"", ("RA", 0, SEQ + 1)),
        ("SF", b"", ("RA", 0, SEQ + 2)),
        ("A", b"abc", ("R", 99, 0)),
        ("SA", b"", ("R", 99, 0)),
        ("FA", b"", ("R", 99, 0)),
        ("R", b"", None),
        ("RA", b"", None),
        ("SR", b"abc", None),
    ],
)
def test_segment_without_a_connection(flags, data, answer):
    net = Net()
    got = [(str(s.flags), s.seq, s.ack) for s in net.tcp(flags, ack=99 if "A" in flags else 0, data=data)]
    assert got == ([answer] if answer else [])
    assert drops(net, DropReason.TCP_NO_PORT) == 1


@rfc("9293", "3.10.7.2", "T-ST-*")
@pytest.mark.parametrize(
    ("flags", "answer"),
    [
        ("A", ("R", 99)),
        ("SA", ("R", 99)),
        ("FA", ("R", 99)),
        ("R", None),
        ("RA", None),
        ("SR", None),
    ],
)
def test_listen_answers_what_is_no_syn(flags, answer):
    net = Net()
    listener = net.host.listen(0, PORT, now=net.now)
    got = [(str(s.flags), s.seq) for s in net.tcp(flags, ack=99 if "A" in flags else 0)]
    assert got == ([answer] if answer else [])
    assert listener.accept() is None


@rfc("9293", "3.1", "MUST-3")
@pytest.mark.parametrize("at", ["closed", "open"])
def test_a_bad_checksum_is_dropped_silently(at):
    net = Net()
    listener = net.host.listen(0, PORT, now=net.now)
    ack = 0
    if at == "open":
        conn, iss = net.accepted(listener)
        ack = iss + 1
    assert net.tcp("A", seq=SEQ + 1, ack=ack, data=b"abc", chksum=1) == []
    assert drops(net, DropReason.TCP_CHECKSUM) == 1
    if at == "open":
        assert conn.recv(10) == b""
        net.tcp("A", seq=SEQ + 1, ack=ack, data=b"abc")
        assert conn.recv(10) == b"abc"


@rfc("9293", "3.1", "MUST-2")
@pytest.mark.parametrize("size", [0, 1, 2, 999, 1460, 5000])
def test_checksums_of_what_is_sent(size):
    """`take` compares every segment with what scapy computes."""
    net = Net()
    conn, _ = net.accepted(net.host.listen(0, PORT, now=net.now))
    if size:
        conn.send(bytes(range(256)) * 20 if size == 5000 else b"\xff" * size, net.now)
    conn.close(net.now)
    net.host.wake(conn)
    net.send()
    assert net.take()


@rfc("9293", "3.9.2.1", "MUST-50")
def test_ip_options_are_ignored():
    net = Net()
    listener = net.host.listen(0, PORT, now=net.now)
    option = IPOption(b"\x88\x04\x00\x01")  # stream identifier
    [syn_ack] = net.tcp("S", ip_options=[option])
    net.tcp("A", seq=SEQ + 1, ack=syn_ack.seq + 1, ip_options=[option], data=b"abc")
    assert listener.accept().recv(10) == b"abc"


@rfc("9293", "3.9.1.9", "MUST-48")
@rfc("9293", "3.9.1.9", "SHLD-22")
@rfc("9293", "3.9.2", "MUST-49")
def test_dscp_and_ttl_are_passed_on():
    net = Net(dscp=46, ttl=33)
    net.host.listen(0, PORT, now=net.now)
    net.frame(Ether(dst=OUR_MAC, src=PEER_MAC) / IP(src=PEER_IP, dst=OUR_IP) / TCP(sport=1, dport=PORT, flags="S"))
    packet = Ether(net.sink.frames[-1])[IP]
    assert (packet.ttl, packet.tos >> 2, str(packet.flags)) == (33, 46, "DF")


@rfc("9293", "3.9.2.3", "MUST-46")
@pytest.mark.parametrize("dst", ["255.255.255.255", "198.18.0.255", "224.0.0.5"])
def test_open_to_a_group_is_refused(dst):
    net = Net()
    with pytest.raises(NetworkUnreachable):
        net.host.connect(parse_addr(dst), 80, now=net.now)


@rfc("9293", "3.9.2.3", "MUST-57")
@rfc("9293", "3.9.2.3", "MUST-63")
@pytest.mark.parametrize(
    "fields",
    [
        {"dst": "255.255.255.255"},
        {"dst": "198.18.0.255"},
        {"dst": "224.0.0.1"},
        {"src": "198.18.0.255"},
        {"src": "255.255.255.255"},
        {"src": "224.0.0.9"},
        {"src": "0.0.0.0"},
        {"src": "127.0.0.1"},
        {"src": OUR_IP},
    ],
)
def test_syn_to_or_from_no_host_is_dropped(fields):
    net = Net()
    net.host.listen(0, PORT, now=net.now)
    assert net.tcp("S", **fields) == []
    assert net.host.tcp.n_conns == 0


@rfc("9293", "3.9.1.1", "MUST-41..45")
def test_listeners_and_connections_share_a_port():
    net = Net()
    listener = net.host.listen(0, PORT, now=net.now)
    other = net.host.listen(0, PORT + 1, now=net.now)
    first, iss = net.accepted(listener)
    second, _ = net.accepted(listener, sport=RPORT + 1)
    third, _ = net.accepted(other, dport=PORT + 1)
    net.tcp("A", seq=SEQ + 1, ack=iss + 1, data=b"for the first")
    assert (first.recv(99), second.recv(99), third.recv(99)) == (b"for the first", b"", b"")


# -- TIME-WAIT --------------------------------------------------------------------------------------------------


@rfc("9293", "3.10.7.4", "T-FIN-3")
def test_time_wait_record_answers_a_retransmitted_fin_and_waits_again():
    net = Net()
    iss = net.time_wait(net.host.listen(0, PORT, now=net.now))
    assert net.host.tcp.n_conns == 0
    net.advance(59)
    [ack] = net.tcp("FA", seq=SEQ + 1, ack=iss + 2)
    assert (ack.flags, ack.seq, ack.ack) == ("A", iss + 2, SEQ + 2)
    net.advance(59)
    assert len(net.tcp("FA", seq=SEQ + 1, ack=iss + 2)) == 1
    net.advance(61)
    assert [str(s.flags) for s in net.tcp("FA", seq=SEQ + 1, ack=iss + 2)] == ["R"]


@rfc("1337", "3", "1337-1")
def test_time_wait_record_survives_rst():
    net = Net()
    iss = net.time_wait(net.host.listen(0, PORT, now=net.now))
    assert net.tcp("R", seq=SEQ + 2) == []
    assert [str(s.flags) for s in net.tcp("FA", seq=SEQ + 1, ack=iss + 2)] == ["A"]


@rfc("6191", "2", "6191-1")
@pytest.mark.parametrize(("step", "opens"), [(1000, True), (3, True), (0, False), (-1000, False)])
def test_time_wait_record_gives_way_to_a_newer_syn(step, opens):
    net = Net()
    iss = net.time_wait(net.host.listen(0, PORT, now=net.now))
    net.advance(1)
    [reply] = net.tcp("S", seq=(SEQ + step) & 0xFFFFFFFF)
    if not opens:
        assert (reply.flags, reply.ack) == ("A", SEQ + 2)
        return
    assert (reply.flags, reply.ack) == ("SA", (SEQ + step + 1) & 0xFFFFFFFF)
    # RFC 9293 §3.10.7.4: the new numbers lie beyond those of the old connection
    assert 0 < (reply.seq - (iss + 2)) & 0xFFFFFFFF < 1 << 31
    assert net.host.stats.counts[Counter.TCP_TIME_WAIT_REUSED] == 1


@rfc("9293", "3.6.1", "MUST-13")
def test_segments_after_the_end_within_a_burst_are_of_no_connection():
    """What follows a reset in the same burst finds the connection closed: a segment is reset, a SYN opens anew."""
    net = Net()
    listener = net.host.listen(0, PORT)
    old, iss = net.accepted(listener)
    syn = (SEQ + 100_000) & 0xFFFFFFFF
    answers = net.burst(("R", SEQ + 1, 0, b""), ("PA", SEQ + 1, iss + 1, b"late"), ("S", syn, 0, b""))
    assert [str(s.flags) for s in answers] == ["R", "SA"]
    assert answers[1].ack == syn + 1
    net.tcp("A", seq=syn + 1, ack=answers[1].seq + 1)
    assert listener.accept().state == ESTABLISHED
    assert old.state == CLOSED
    net.host.check_invariants()


def test_the_last_segments_of_a_connection_go_out_before_the_answer_to_the_next():
    net = Net()
    listener = net.host.listen(0, PORT)
    conn, iss = net.accepted(listener)
    conn.close(net.now)
    conn.release(net.now)  # nobody reads: data is answered with a reset
    net.host.wake(conn)
    net.send()
    net.take()
    answers = net.burst(("PA", SEQ + 1, iss + 2, b"late"), ("S", 77, 0, b""))
    assert [str(s.flags) for s in answers] == ["RA", "SA"]
    assert answers[0].seq == iss + 2


@rfc("6191", "2", "6191-1")
def test_a_syn_in_the_burst_that_brings_time_wait_opens_a_connection():
    net = Net()
    listener = net.host.listen(0, PORT)
    conn, iss = net.accepted(listener)
    conn.close(net.now)
    net.host.wake(conn)
    net.send()
    net.take()
    syn = (SEQ + 100_000) & 0xFFFFFFFF
    answers = net.burst(("FA", SEQ + 1, iss + 2, b""), ("S", syn, 0, b""))
    assert [str(s.flags) for s in answers] == ["A", "SA"]
    assert answers[1].ack == syn + 1


def test_a_finished_connection_takes_no_other_out_of_the_tables():
    """The application may call an ended connection long after its addresses and ports belong to the next one."""
    net = Net()
    listener = net.host.listen(0, PORT)
    old, _ = net.accepted(listener)
    net.tcp("R", seq=SEQ + 1)
    assert old.state == CLOSED
    new, _ = net.accepted(listener)
    old.release(net.now)
    net.host.wake(old)
    net.send()
    assert net.host.connections() == [new]
    assert net.host.tcp.n_conns == 1
    net.host.check_invariants()


def test_time_wait_costs_no_connection_and_is_bounded():
    net = Net(max_time_wait=10)
    listener = net.host.listen(0, PORT, now=net.now)
    for rport in range(2000, 2030):
        conn, iss = net.accepted(listener, sport=rport)
        conn.close(net.now)
        net.host.wake(conn)
        net.send()
        net.tcp("FA", seq=SEQ + 1, ack=iss + 2, sport=rport)
    assert net.host.tcp.n_conns == 0
    assert len(net.host.tcp.time_waits.records) == 10


# -- SYN cookies ------------------------------------------------------------------------------------------------


@rfc("4987", "3.6", "4987-1")
@pytest.mark.parametrize("stamps", [False, True])
def test_connection_by_cookie(stamps):
    """With a full SYN queue the client gets a cookie, and with timestamps its options survive in it."""
    net = Net()
    listener = net.host.listen(0, PORT, backlog=2, now=net.now)
    for rport in range(3000, 3010):
        net.tcp("S", sport=rport)
    assert net.host.stats.counts[Counter.TCP_SYN_COOKIES_SENT] == 8
    options = [("MSS", 1220), ("WScale", 5), ("SAckOK", b"")]
    [syn_ack] = net.tcp("S", options=[*options, ("Timestamp", (777, 0))] if stamps else options)
    assert net.host.tcp.n_conns == 2
    given = dict(syn_ack.options)
    echo = [("Timestamp", (778, given["Timestamp"][0]))] if stamps else []
    net.tcp("PA", seq=SEQ + 1, ack=syn_ack.seq + 1, data=b"GET", options=echo)
    conn = listener.accept()
    assert conn.recv(10) == b"GET"
    info = conn.tcp_info()
    assert (info.timestamps, info.sack, info.snd_wscale) == ((True, True, 5) if stamps else (False, False, 0))
    assert info.mss == 1220 - 12 * stamps
    assert ("WScale" in given) == stamps
    assert ("SAckOK" in given) == stamps


@rfc("9293", "3.7.1", "MUST-16")
@pytest.mark.parametrize("mss", [64, 256, 300, 536, 1300, 1460])
def test_a_cookie_never_makes_segments_larger_than_the_peer_takes(mss):
    net = Net()
    listener = net.host.listen(0, PORT, backlog=1, now=net.now)
    net.tcp("S", sport=7)
    [syn_ack] = net.tcp("S", options=[("MSS", mss)])
    net.tcp("A", seq=SEQ + 1, ack=syn_ack.seq + 1)
    assert net.host.stats.counts[Counter.TCP_SYN_COOKIES_RECV] == 1
    assert listener.accept().tcp_info().mss <= mss


@rfc("4987", "3.6", "4987-1")
def test_a_cookie_that_meets_a_full_queue_may_come_again():
    """It is dropped, as the SYN would be: a reset would tell the client that nobody listens."""
    net = Net()
    listener = net.host.listen(0, PORT, backlog=1, now=net.now)
    [first] = net.tcp("S", sport=7)
    [cookie] = net.tcp("S")
    net.tcp("A", sport=7, seq=SEQ + 1, ack=first.seq + 1)
    assert net.tcp("A", seq=SEQ + 1, ack=cookie.seq + 1) == []
    assert net.tcp("A", seq=SEQ + 4, ack=cookie.seq + 1) == []  # a later segment does not have its number
    assert net.host.stats.drops[DropReason.TCP_LISTEN_OVERFLOW] == 2
    assert listener.accept().remote_port == 7
    net.tcp("PA", seq=SEQ + 1, ack=cookie.seq + 1, data=b"GET")
    assert listener.accept().recv(10) == b"GET"
    [reset] = net.tcp("A", sport=9, seq=1, ack=cookie.seq + 1)
    assert "R" in reset.flags


@rfc("4987", "3.6", "4987-1")
def test_a_half_open_connection_gives_way_to_the_cookie_that_the_peer_has_heard():
    """The SYN comes again when there is room: its SYN-ACK has another number than the cookie."""
    net = Net()
    listener = net.host.listen(0, PORT, backlog=1, now=net.now)
    [first] = net.tcp("S", sport=7)
    [cookie] = net.tcp("S")
    net.tcp("A", sport=7, seq=SEQ + 1, ack=first.seq + 1)
    listener.accept()
    [second] = net.tcp("S")
    assert second.seq != cookie.seq
    net.tcp("PA", seq=SEQ + 1, ack=cookie.seq + 1, data=b"GET")
    assert listener.accept().recv(10) == b"GET"
    assert not listener.half_open
    assert net.host.tcp.n_conns == 2
    net.host.check_invariants()


@rfc("9293", "3.10.7.4", "T-ACK-1")
def test_a_half_open_connection_does_not_give_way_to_a_wrong_cookie():
    """The control."""
    net = Net()
    listener = net.host.listen(0, PORT, backlog=1, now=net.now)
    [first] = net.tcp("S", sport=7)
    [cookie] = net.tcp("S")
    net.tcp("A", sport=7, seq=SEQ + 1, ack=first.seq + 1)
    listener.accept()
    net.tcp("S")
    [reset] = net.tcp("A", seq=SEQ + 1, ack=cookie.seq + 2)
    assert "R" in reset.flags
    assert len(listener.half_open) == 1


@rfc("9293", "3.5", "MUST-10")
def test_a_syn_and_a_syn_ack_in_one_burst_are_acknowledged():
    """Simultaneous open: our own SYN-ACK has not gone out yet and never will; the peer must not wait for it."""
    net = Net()
    conn = net.host.connect(parse_addr(PEER_IP), RPORT, lport=PORT, now=net.now)
    net.send()
    net.take()
    answers = net.burst(("S", SEQ, 0, b""), ("SA", SEQ, conn.iss + 1, b""))
    assert conn.state == ESTABLISHED
    assert [(str(s.flags), s.seq, s.ack) for s in answers] == [("A", conn.iss + 1, SEQ + 1)]


@rfc("4987", "3.6", "4987-1")
@rfc("7323", "5.4", "7323-5.4")
@rfc("4987", "3.6", "4987-1")
def test_the_timestamp_of_a_cookie_is_not_ahead_of_what_follows():
    for ms in range(40):
        net = Net(window_scaling=False)
        listener = net.host.listen(0, PORT, backlog=1)
        net.tcp("S", seq=1, sport=7)
        net.now += ms * 1000
        [syn_ack] = net.tcp("S", options=[("MSS", 1460), ("SAckOK", b""), ("Timestamp", (5, 0))])
        ahead = dict(syn_ack.options)["Timestamp"][0]
        stamp = [("Timestamp", (6, ahead))]
        net.tcp("A", seq=SEQ + 1, ack=syn_ack.seq + 1, options=stamp)
        conn = listener.accept()
        assert net.host.stats.counts[Counter.TCP_SYN_COOKIES_RECV] == 1
        conn.send(b"banner", net.now)
        net.host.wake(conn)
        net.send()
        [banner] = net.take()
        assert dict(banner.options)["Timestamp"][0] >= ahead


def test_cookies_open_no_more_connections_than_the_host_may_hold():
    net = Net(max_connections=2)
    listener = net.host.listen(0, PORT, backlog=1)
    net.tcp("S", seq=1, sport=7)
    cookies = [net.tcp("S", sport=sport, options=[("MSS", 1460)])[0] for sport in (2000, 2001)]
    assert net.host.stats.counts[Counter.TCP_SYN_COOKIES_SENT] == 2
    for sport, cookie in zip((2000, 2001), cookies, strict=True):
        net.tcp("A", seq=SEQ + 1, ack=cookie.seq + 1, sport=sport)
        listener.accept()
    assert net.host.tcp.n_conns == 2


@rfc("4987", "3.6", "4987-1")
def test_forged_cookie_is_reset():
    net = Net()
    listener = net.host.listen(0, PORT, backlog=1, now=net.now)
    for ack in (1, 0xFFFFFFFF, 0x12345678):
        assert [(str(s.flags), s.seq) for s in net.tcp("A", seq=SEQ + 1, ack=ack)] == [("R", ack)]
    assert listener.accept() is None


# -- path MTU ---------------------------------------------------------------------------------------------------


def _bulk(net):
    conn, iss = net.accepted(net.host.listen(0, PORT, now=net.now))
    conn.send(bytes(5 * 1460), net.now)
    net.host.wake(conn)
    net.send()
    assert {len(s.payload) for s in net.take()} == {1460}
    return conn, iss


def _frag_needed(net, mtu, seq, code=4):
    quoted = IP(src=OUR_IP, dst=PEER_IP, len=1500, flags="DF") / TCP(sport=PORT, dport=RPORT, seq=seq & 0xFFFFFFFF)
    packet = IP(src="198.18.0.9", dst=OUR_IP) / ICMP(type=3, code=code, nexthopmtu=mtu) / Raw(bytes(quoted)[:28])
    return [len(s.payload) for s in net.rx(packet)]


@rfc("1191", "6.3", "1191-1")
@rfc("5927", "7.2", "5927-2")
@pytest.mark.parametrize("mtu", [1400, 1000, 576, 300, 68])
def test_frag_needed_makes_segments_smaller(mtu):
    net = Net()
    conn, iss = _bulk(net)
    sizes = _frag_needed(net, mtu, iss + 1)
    net.advance(1)
    sizes += [len(s.payload) for s in net.take()]
    assert sizes
    assert max(sizes) <= mtu - 40
    assert conn.state == ESTABLISHED


@rfc("5927", "7.2", "5927-2")
@pytest.mark.parametrize("mtu", [1, 40, 67, 1500, 9000, 65_535])
def test_frag_needed_that_cannot_be_changes_nothing_bad(mtu):
    net = Net()
    conn, iss = _bulk(net)
    _frag_needed(net, mtu, iss + 1)
    net.advance(2)
    for s in net.take():
        assert 28 <= len(s.payload) <= 1460
    assert conn.state == ESTABLISHED


@rfc("1191", "7", "1191-2")
def test_frag_needed_without_an_mtu_uses_a_plateau():
    net = Net(mtu_probing=False)
    _, iss = _bulk(net)
    _frag_needed(net, 0, iss + 1)
    net.advance(1)
    assert {len(s.payload) for s in net.take()} <= {1452, 966, 468, 256, 28}


@rfc("5927", "4.1", "5927-1")
@pytest.mark.parametrize("seq", [-1, 5 * 1460 + 1, 1 << 30])
def test_frag_needed_that_quotes_nothing_in_flight_is_ignored(seq):
    net = Net()
    conn, iss = _bulk(net)
    assert _frag_needed(net, 576, iss + 1 + seq) == []
    assert conn.path_mss == 1460
    assert drops(net, DropReason.ICMP_NO_MATCH) == 1


@rfc("9293", "3.9.2.2", "MUST-54")
@rfc("5927", "5.2", "5927-1")
@pytest.mark.parametrize("code", [0, 1, 2, 3, 5, 9, 10, 13])
def test_unreachables_do_not_end_a_connection(code):
    net = Net()
    conn, iss = _bulk(net)
    _frag_needed(net, 0, iss + 1, code=code)
    assert conn.state == ESTABLISHED
    assert conn.soft_error is not None
    net.tcp("FA", seq=SEQ + 1, ack=iss + 1)
    assert conn.state == CLOSE_WAIT
