"""The send window: RFC 9293 §3.8.6, SWS avoidance of both sides, zero-window probes; segment sizes (§3.7.1)."""

from itertools import pairwise

import pytest

from stack.errors import ConnectionTimedOut
from stack.tcp.state import CLOSED, ESTABLISHED, FIN_WAIT_2
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, FIN, HOUR, MS, PSH, SECOND, SYN, signed_seq
from tests.support.tcp_rules import signed


@rfc("9293", "3.8.6")
def test_never_beyond_the_window(tcp):
    t = tcp().established(wnd=3000)
    t.send(10_000)
    t.peer.expects_data(1, 3001) if t.peer.inbox[-1].length != 1460 else t.peer.expects_data(1, 2921)


@rfc("9293", "3.10.7.4", "T-WL-1")
def test_window_update_by_a_newer_segment(tcp):
    t = tcp(nodelay=True).established(wnd=1460)
    t.send(5000)
    t.peer.drain()
    t.peer.sends(ACK, ack=1, data=b"new", wnd=5000)
    assert sum(len(s.data) for s in t.peer.drain()) == 5000 - 1460


@rfc("9293", "3.10.7.4", "T-WL-1")
def test_window_update_by_a_newer_ack(tcp):
    t = tcp().established(wnd=1460)
    t.send(2000)
    t.peer.drain()
    t.peer.sends(ACK, ack=1461, wnd=0)
    t.peer.expects_nothing()
    t.peer.sends(ACK, ack=1461, wnd=5000)
    t.peer.expects(ACK | PSH, seq=1461, length=540)


@rfc("9293", "3.10.7.4", "T-WL-1")
def test_window_of_an_old_segment_is_not_taken(tcp):
    """WL1: a reordered older segment, with data that is still acceptable, does not change the window."""
    t = tcp().established(wnd=1460)
    t.peer.sends(ACK, seq=11, data=b"second....", wnd=1460)  # WL1 moves to 11, out of order
    t.peer.drain()
    t.send(5000)
    t.peer.drain()
    t.peer.sends(ACK, seq=1, ack=1, data=b"first.....", wnd=30_000)
    assert not any(s.data for s in t.peer.drain())
    t.peer.sends(ACK, seq=21, ack=1, wnd=30_000)
    assert any(s.data for s in t.peer.drain())


@rfc("9293", "3.10.7.4", "T-WL-1")
def test_an_ack_on_retransmitted_data_does_not_move_the_right_edge(tcp):
    t = tcp(nodelay=True).established(wnd=3000)
    t.peer.sends(ACK, seq=11, data=b"second....", wnd=3000)  # WL1 moves to 11
    t.peer.drain()
    t.send(10_000)
    t.peer.drain()
    t.peer.sends(ACK, seq=1, ack=1461, data=b"first.....", wnd=1540)  # the edge stays at 3001
    assert all(signed_seq(t, s) + len(s.data) <= 3001 for s in t.peer.drain())
    t.peer.sends(ACK, seq=21, ack=1461, wnd=4000)
    assert any(s.data for s in t.peer.drain())


@rfc("9293", "3.10.7.4", "T-WL-1")
def test_window_of_an_old_ack_is_not_taken(tcp):
    """WL2: with the same sequence number, an older ACK does not change the window."""
    t = tcp().established(wnd=2920)
    t.send(20_000)
    t.peer.drain()
    t.peer.sends(ACK, ack=2921, wnd=0)
    t.peer.expects_nothing()
    t.peer.sends(ACK, ack=1461, wnd=60_000)
    t.peer.expects_nothing()
    t.peer.sends(ACK, ack=2921, wnd=60_000)
    assert t.peer.inbox


@rfc("9293", "3.8.6", "MUST-34")
@rfc("9293", "3.8.6", "SHLD-15")
def test_window_shrunk_by_the_peer_sends_no_new_data_past_the_edge(tcp):
    t = tcp().established(wnd=8760)
    t.send(20_000)
    t.peer.expects_data(1, 8761)
    t.peer.sends(ACK, ack=1461, wnd=1000)  # the edge moves from 8761 to 2461
    t.peer.expects_nothing()
    t.peer.sends(ACK, ack=8761, wnd=1460)
    t.peer.expects_data(8761, 10_221)


@rfc("9293", "3.8.6", "SHLD-16")
@rfc("9293", "3.8.6", "SHLD-17")
@rfc("9293", "3.8.6", "MUST-35")
def test_window_shrunk_by_the_peer_old_data_is_retransmitted_and_the_connection_lives(tcp):
    t = tcp(user_timeout_us=100 * SECOND).established(wnd=8760)
    t.send(8760)
    t.peer.drain()
    t.peer.sends(ACK, ack=1461, wnd=0)
    for _ in range(12):
        t.until_sent()
        for s in t.peer.drain():
            assert signed_seq(t, s) <= 8761
        t.peer.sends(ACK, ack=1461, wnd=0)
    assert t.state == ESTABLISHED
    t.peer.wnd = 60_000
    for _ in range(20):
        t.peer.sends(ACK)
        if t.peer.acked == 8761 and t.info.in_flight == 0:
            break
        if not t.peer.drain():
            t.clock.jump()
    assert t.peer.acked == 8761


@rfc("9293", "3.8.6", "MAY-7")
@pytest.mark.parametrize("wnd", [0, 1000])
def test_what_was_sent_before_the_window_shrunk_is_retransmitted_whole(tcp, wnd):
    t = tcp(mtu_probing=False).established(wnd=8760)
    t.send(8760)
    t.peer.drain()
    t.peer.sends(ACK, ack=1461, wnd=wnd)
    for _ in range(3):
        t.until_sent()
        assert [(signed_seq(t, s), len(s.data)) for s in t.peer.drain()] == [(1461, 1460)]


# -- zero window ------------------------------------------------------------------------------------------------


def _probe(t):
    """The next thing sent must be a window probe; the microseconds it took."""
    waited = t.until_sent()
    s = t.peer.drain()
    assert len(s) == 1
    assert len(s[0].data) <= 1
    return waited


@rfc("9293", "3.8.6.1", "MUST-36")
@rfc("9293", "3.8.6.1", "SHLD-29")
@rfc("9293", "3.8.6.1", "SHLD-30")
def test_zero_window_is_probed_after_one_rto_then_exponentially(tcp):
    t = tcp(rto_min_us=200 * MS).established(wnd=1460)
    t.send(3000)
    t.peer.drain()
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=1461, wnd=0)
    t.peer.expects_nothing()
    waits = []
    for _ in range(8):
        waits.append(_probe(t))
        t.peer.sends(ACK, ack=1461, wnd=0)
        t.peer.expects_nothing()
    assert waits[0] >= 200 * MS, "not before one RTO"
    assert waits[0] <= 1500 * MS
    for before, after in pairwise(waits):
        assert after == min(2 * before, t.config.rto_max_us) or after >= t.config.rto_max_us, waits


@rfc("9293", "3.8.6.1", "MUST-37")
@rfc("9293", "3.8.6.1", "6429-1")
def test_connection_stays_while_probes_are_answered(tcp):
    t = tcp(user_timeout_us=100 * SECOND, nodelay=True).established(wnd=1460)
    t.send(3000)
    t.peer.sends(ACK, ack=1461, wnd=0)
    t.peer.drain()
    start = t.clock.now
    while t.clock.now - start < 3 * HOUR:
        _probe(t)
        t.peer.sends(ACK, ack=1461, wnd=0)
        assert t.state == ESTABLISHED
    t.peer.sends(ACK, ack=1461, wnd=5000)
    t.clock.advance(ms=1)
    got = t.peer.drain()
    assert signed_seq(t, got[-1]) + len(got[-1].data) == 3001


@rfc("9293", "3.8.3", "MUST-20")
def test_unanswered_probes_end_the_connection(tcp):
    t = tcp(user_timeout_us=100 * SECOND).established(wnd=1460)
    t.send(3000)
    t.peer.sends(ACK, ack=1461, wnd=0)
    t.run(lambda: t.state == CLOSED)
    assert isinstance(t.conn.error, ConnectionTimedOut)


@rfc("9293", "3.8.6.1", "MUST-36")
def test_window_opening_resumes_at_once_and_a_taken_probe_octet_counts(tcp):
    t = tcp(nodelay=True).established(wnd=1460)
    t.send(3000)
    t.peer.sends(ACK, ack=1461, wnd=0)
    t.peer.drain()
    _probe(t)
    t.peer.sends(ACK, wnd=10_000)  # acknowledges the octet if the probe had one
    got = t.peer.drain()
    assert got
    assert signed_seq(t, got[0]) in {1461, 1462}
    assert t.peer.acked == 3001


@rfc("9293", "3.8.6.1", "MUST-36")
def test_zero_window_from_the_start(tcp):
    t = tcp().open()
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, mss=1460, wnd=0)
    t.peer.expects(ACK, seq=1)
    t.peer.wnd = 0
    t.send(100)
    t.peer.expects_nothing()
    _probe(t)
    t.peer.sends(ACK, ack=1, wnd=0)
    t.peer.sends(ACK, ack=1, wnd=1000)
    assert t.peer.acked == 101


@rfc("9293", "3.8.6.1")
def test_fin_waits_behind_data_held_by_a_zero_window(tcp):
    t = tcp().established(wnd=1460)
    t.send(2000)
    t.close()
    t.peer.sends(ACK, ack=1461, wnd=0)
    t.peer.drain()
    waited = t.until_sent()
    assert waited
    assert not any(s.flags & FIN for s in t.peer.drain())
    t.peer.sends(ACK, wnd=10_000)
    assert t.peer.drain()[-1].flags & FIN
    assert t.peer.acked == 2002


@rfc("9293", "3.8.6.1", "MUST-36")
def test_a_fin_that_was_a_probe_is_acknowledged_right_after_the_window_opened(tcp):
    """The window update and the probe cross; both answers arrive in one burst."""
    t = tcp().established(wnd=1460)
    t.send(1460)
    t.close()
    t.peer.drain()
    t.peer.sends(ACK, ack=1461, wnd=0)
    t.until_sent()
    t.peer.expects(FIN | ACK, seq=1461)
    with t.burst():
        t.peer.sends(ACK, ack=1461, wnd=1000)
        t.peer.sends(ACK, ack=1462, wnd=1000)
    assert t.state == FIN_WAIT_2
    t.peer.expects_nothing()


# -- silly windows ----------------------------------------------------------------------------------------------


@rfc("9293", "3.8.6.2.1", "MUST-38")
def test_sender_does_not_send_dribbles(tcp):
    """A window that opens by a few octets is not used until a full segment or half the largest window fits."""
    t = tcp().established(wnd=14_600)
    t.send(14_600 + 5_000)
    t.peer.drain()
    t.peer.sends(ACK, ack=14_601, wnd=0)
    t.peer.sends(ACK, ack=14_601, wnd=100)
    t.peer.expects_nothing()
    t.peer.sends(ACK, ack=14_601, wnd=1459)
    t.peer.expects_nothing()
    t.peer.sends(ACK, ack=14_601, wnd=1460)
    t.peer.expects(ACK, seq=14_601, length=1460)


@rfc("9293", "3.8.6.2.1", "MUST-38")
def test_sender_overrides_silly_window_avoidance_in_the_end(tcp):
    """The override timeout: a peer whose window stays small still gets its data."""
    t = tcp().established(wnd=14_600)
    t.send(14_600 + 5_000)
    t.peer.drain()
    t.peer.sends(ACK, ack=14_601, wnd=100)
    t.peer.expects_nothing()
    t.until_sent()
    assert 1 <= len(t.peer.drain()[0].data) <= 100


@rfc("9293", "3.8.6.2.1", "MUST-38")
def test_sender_uses_half_of_a_small_window(tcp):
    """A peer whose largest window is under a segment must not be starved."""
    t = tcp(nodelay=True).established(wnd=600)
    t.send(2000)
    t.peer.expects_data(1, 601)
    t.peer.sends(ACK, ack=601, wnd=200)
    t.peer.expects_nothing()
    t.peer.sends(ACK, ack=601, wnd=300)
    t.peer.expects(ACK, seq=601, length=300)


@rfc("9293", "3.8.6.2.2", "MUST-39")
def test_receiver_does_not_advertise_dribbles(tcp):
    """Once closed, the window opens by at least min(half the buffer, one segment) at a time."""
    t = tcp(recv_buffer=8192, window_scaling=False).established()
    while (room := t.rules.edge_out - t.peer.nxt) > 0:
        t.peer.sends(ACK, data=bytes(min(room, 1460)))
        t.clock.advance(ms=500)
        t.peer.drain()
    edge = t.rules.edge_out
    opened = []
    for _ in range(800):
        t.recv(10)
        t.peer.sends(ACK, seq=t.rules.last_ack, data=b"p" if edge == t.rules.last_ack else b"")  # a window probe
        t.peer.drain()
        if t.rules.edge_out != edge:
            opened.append(t.rules.edge_out - edge)
            edge = t.rules.edge_out
    assert opened, "the window never opened again"
    assert min(opened) >= min(8192 // 2, 1460)


@rfc("9293", "3.8.6.2.2", "MUST-39")
def test_window_update_after_the_application_read_everything(tcp):
    """A peer stopped by a closed window hears of it without sending a probe."""
    t = tcp(recv_buffer=8192, window_scaling=False).established()
    while (room := t.rules.edge_out - t.peer.nxt) > 0:
        t.peer.sends(ACK, data=bytes(min(room, 1460)))
        t.clock.advance(ms=500)
    t.peer.drain()
    t.recv()
    t.clock.advance(ms=500)
    assert t.peer.drain()[-1].wnd >= 4096


@rfc("9293", "3.8.6", "SHLD-14")
@rfc("9293", "3.8.6.1", "MAY-8")
@pytest.mark.parametrize("wscale", [None, 7])
def test_the_right_edge_stays_while_the_application_does_not_read(tcp, wscale):
    """The window closes as the buffer fills, and stays closed for hours; it never takes back what it offered."""
    t = tcp(recv_buffer=20_000, window_scaling=wscale is not None).established(wscale=wscale)
    shift = t.rules.our_syn.wscale or 0 if wscale is not None else 0
    edges = []
    for _ in range(60):
        room = t.rules.edge_out - t.peer.nxt
        t.peer.sends(ACK, data=bytes(min(room, 999)) or b"p")
        t.clock.advance(s=60 if room == 0 else 1)
        edges += [signed(s.ack - t.peer.irs) + (s.wnd << shift) for s in t.peer.drain()]
        if room == 0:
            t.peer.nxt -= 1  # the probe was not taken
    assert edges == sorted(edges)
    assert t.rules.edge_out == t.peer.nxt
    assert t.state == ESTABLISHED
    assert len(t.recv()) == t.peer.nxt - 1


# -- segment size -----------------------------------------------------------------------------------------------


@rfc("9293", "3.7.1", "MUST-15")
@pytest.mark.parametrize("passive", [False, True])
def test_mss_of_536_without_the_option(tcp, passive):
    t = tcp().established(mss=None, passive=passive)
    t.send(2000)
    assert max(len(s.data) for s in t.peer.drain()) == 536


@rfc("9293", "3.7.1", "MUST-16")
@pytest.mark.parametrize(("ours", "theirs", "expected"), [(1460, 1000, 1000), (1000, 1460, 1000), (1460, 9000, 1460)])
def test_segment_size_is_the_smaller(tcp, ours, theirs, expected):
    t = tcp(mss=ours).established(mss=theirs)
    t.send(5000)
    assert max(len(s.data) for s in t.peer.drain()) == expected


@rfc("9293", "3.7.1", "SHLD-6")
def test_segment_size_is_less_the_options(tcp):
    t = tcp().established(ts=True)
    t.send(5000)
    assert max(len(s.data) for s in t.peer.drain()) == 1448


@rfc("9293", "3.7.1", "SHLD-5")
@rfc("9293", "3.7.1", "MAY-3")
@pytest.mark.parametrize("mss", [536, 1460])
def test_every_syn_announces_the_segment_size_even_the_default(tcp, mss):
    t = tcp(mss=mss).open()
    t.peer.expects(SYN, mss=mss)
    t.until_sent()
    t.peer.expects(SYN, mss=mss)
    t = tcp(mss=mss)
    t.listen()
    t.peer.sends(SYN, seq=0)
    t.peer.expects(SYN | ACK, mss=mss)


@rfc("9293", "3.7.1", "MUST-67")
def test_announced_mss_does_not_subtract_options(tcp):
    t = tcp(mss=1460, timestamps=True).open()
    t.peer.expects(SYN, mss=1460)


@rfc("9293", "3.7.1")
def test_announced_mss_is_limited_by_the_setting(tcp):
    t = tcp(mss=65_495, mss_limit=9000).open()
    t.peer.expects(SYN, mss=9000)


@rfc("9293", "3.7.1", "SACK-DOS")
@pytest.mark.parametrize("mss", [0, 1, 8, 40])
def test_absurd_mss_of_the_peer(tcp, mss):
    """CVE-2019-11479: tiny MSS must not make the stack divide by zero, loop or send packets of options only."""
    t = tcp().established(mss=mss, ts=True, sack=True)
    t.send(300)
    got = [len(s.data) for s in t.peer.drain()]
    assert got
    assert min(got) >= 1
    for _ in range(400):
        if t.peer.acked == 301:
            break
        t.peer.sends(ACK)
        if not t.peer.drain():
            t.clock.jump()
    assert t.peer.acked == 301


@rfc("7323", "2.2", "7323-2.2")
def test_window_of_a_syn_is_not_scaled(tcp):
    t = tcp().open()
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, mss=1000, wscale=7, wnd=2000)
    t.peer.expects(ACK)
    t.send(10_000)
    t.peer.expects_data(1, 2001)


@rfc("7323", "2.2", "7323-2.2")
def test_window_scaling_off_when_only_one_side_sent_it(tcp):
    t = tcp(window_scaling=False).open()
    t.peer.expects(SYN, wscale=None)
    assert t.rules.our_syn.wscale is None
    t.peer.sends(SYN | ACK, seq=0, mss=1000, wscale=7, wnd=2000)
    t.peer.expects(ACK)
    t.peer.sends(ACK, wnd=3000)
    t.send(10_000)
    t.peer.expects_data(1, 3001)


@rfc("7323", "2.2", "7323-2.2")
def test_syn_ack_has_window_scale_only_if_the_syn_had(tcp):
    t = tcp().listen()
    t.peer.sends(SYN, seq=0, mss=1460)
    assert t.peer.expects(SYN | ACK).wscale is None


@rfc("7323", "2.3", "7323-2.3")
@pytest.mark.parametrize("shift", [14, 15, 255])
def test_shift_above_14_is_used_as_14(tcp, shift):
    t = tcp(mss=1000).open()
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, mss=1000, wscale=shift, wnd=65_535)
    t.peer.drain()
    t.peer.sends(ACK, wnd=1)  # 16 KiB
    t.send(100_000)
    for _ in range(40):
        t.peer.drain()
        t.peer.sends(ACK, wnd=1)
    assert t.peer.acked > 16_384
    sent = t.rules.snd_max - t.rules.snd_una
    assert sent <= 16_384


@rfc("7323", "2.3", "7323-2.3")
@rfc("9293", "3.1", "REC-1")
def test_send_window_is_scaled(tcp):
    t = tcp().established(wscale=7, wnd=200_000)
    t.send(400_000)
    for _ in range(300):
        t.peer.sends(ACK)
        if not t.peer.drain():
            break
    assert t.peer.acked == 400_001


@rfc("9293", "3.8.6", "MUST-1")
@rfc("9293", "3.1", "REC-1")
def test_large_receive_window_is_advertised_scaled(tcp):
    """With a buffer over 64 KiB and scaling on, the peer can have more than 64 KiB outstanding once it is used."""
    t = tcp(recv_buffer=1 << 20).established(wscale=7)
    for _ in range(40):
        t.clock.advance(ms=1)
        t.peer.sends(ACK, data=bytes(14_600))
        t.recv()
        t.peer.drain()
    assert t.rules.edge_out - t.peer.nxt > 65_535


# -- Nagle ------------------------------------------------------------------------------------------------------


@rfc("9293", "3.7.4", "SHLD-7")
@rfc("9293", "3.9.1.2", "MAY-16")
def test_nagle_holds_a_small_segment_while_data_is_in_flight(tcp):
    t = tcp().established()
    t.send(b"a")
    t.peer.expects(ACK, data=b"a")
    t.send(b"b")
    t.send(b"c")
    t.peer.expects_nothing()
    t.peer.sends(ACK, ack=2)
    t.peer.expects(ACK | PSH, data=b"bc")


@rfc("9293", "3.7.4", "SHLD-7")
@rfc("9293", "3.9.1.2", "SHLD-28")
def test_nagle_sends_full_segments(tcp):
    t = tcp().established()
    t.send(b"a")
    t.peer.drain()
    t.send(1460)
    t.peer.expects(ACK, seq=2, length=1460)


@rfc("9293", "3.9.1.2", "MUST-60")
@rfc("9293", "3.9.1.2", "MUST-61")
def test_last_segment_carries_psh_and_nothing_waits_for_a_push(tcp):
    t = tcp().established()
    t.send(2 * 1460)
    t.peer.expects(ACK, seq=1, length=1460)
    t.peer.expects(ACK | PSH, seq=1461, length=1460)
    t.send(b"tail")
    t.peer.sends(ACK, ack=2921)
    t.peer.expects(ACK | PSH, seq=2921, data=b"tail")


@rfc("9293", "3.9.1.2", "MAY-16")
@rfc("9293", "3.9.1.2", "SHLD-27")
@rfc("9293", "3.9.1.2", "SHLD-28")
def test_writes_packed_together_are_cut_at_full_segments_and_carry_one_push(tcp):
    t = tcp().established()
    t.send(b"a")
    t.peer.drain()
    for _ in range(4):
        t.send(1000)
    t.peer.sends(ACK)
    flags = {signed_seq(t, s): (len(s.data), s.flags) for s in t.peer.drain()}
    assert flags == {2: (1460, ACK), 1462: (1460, ACK), 2922: (1080, ACK | PSH)}


@rfc("1122", "4.2.3.4", "896/1122")
def test_what_nagle_held_goes_out_when_it_is_switched_off(tcp):
    t = tcp().established()
    t.send(b"a")
    t.send(b"b")
    t.peer.expects(ACK, data=b"a")
    t.peer.expects_nothing()
    t.conn.set_nodelay(True)
    t.pump()
    t.peer.expects(ACK | PSH, data=b"b")


@rfc("9293", "3.7.4", "SHLD-7")
def test_nagle_fin_pushes_the_rest(tcp):
    t = tcp().established()
    t.send(b"a")
    t.send(b"b")
    t.peer.expects(ACK, data=b"a")
    t.close()
    t.peer.expects(FIN | ACK, seq=2, data=b"b")


@rfc("9293", "3.7.4", "MUST-17")
def test_nodelay_sends_at_once(tcp):
    t = tcp(nodelay=True).established()
    for i, c in enumerate((b"a", b"b", b"c")):
        t.send(c)
        t.peer.expects(ACK | PSH, seq=1 + i, data=c)


@rfc("9293", "3.7.4", "9293-PUSH")
@pytest.mark.parametrize("size", [1, 100, 1459, 1461, 2919, 4000])
def test_nagle_and_delayed_ack_do_not_deadlock(tcp, size):
    """Request and reply over two stacks: an odd-sized write never waits longer than one delayed ACK."""
    t = tcp().established()
    t.send(size)
    start = t.clock.now
    while t.peer.acked < size + 1:
        t.clock.advance(ms=200)  # the peer's delayed ACK
        t.peer.sends(ACK)
        assert t.clock.now - start < 2 * SECOND
    assert t.peer.drain()[-1].flags & PSH


@rfc("9293", "3.7.1", "SHLD-6")
def test_a_smaller_path_that_still_carries_the_segments_changes_nothing(tcp):
    t = tcp().established(mss=1000)
    t.send(5000)
    t.peer.drain()
    t.conn.set_path_mss(1200, 0, t.clock.now)
    t.pump()
    t.peer.expects_nothing()
