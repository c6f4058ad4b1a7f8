"""Congestion control on the wire: RFC 5681, 6582, 3042, 6928, 3465, 9438; loss recovery without SACK."""

from itertools import pairwise

import pytest

from stack.tcp.congestion.base import AckSample
from stack.tcp.congestion.cubic import Cubic
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, MS, SECOND, SYN, signed_seq

BOTH = pytest.mark.parametrize("congestion", ["newreno", "cubic"])
MSS = 1000


def _open(tcp, *, congestion="newreno", sack=False, wnd=60_000, **settings):
    t = tcp(congestion=congestion, sack=sack, **settings)
    t.open()
    t.clock.advance(ms=100)
    t.peer.drain()
    wscale = 4
    t.peer.sends(SYN | ACK, seq=0, mss=MSS, wscale=wscale, sack_ok=sack, wnd=min(wnd, 65_535))
    t.peer.drain()
    t.peer.wnd = wnd >> wscale
    t.peer.sends(ACK)
    return t


def _in_flight(t):
    return t.rules.snd_max - t.rules.snd_una


def _ack_each(t, ms=0):
    """The peer acknowledges each arrived segment, one by one."""
    arrived = [signed_seq(t, s) + len(s.data) for s in t.peer.drain() if s.data]
    for ack in arrived:
        if ms:
            t.clock.advance(ms=ms)
        t.peer.sends(ACK, ack=ack)
    return len(arrived)


def _grow(t, segments):
    """Write without end and let slow start reach at least `segments` in flight."""
    t.send(segments * MSS * 8)
    for _ in range(20):
        if _in_flight(t) >= segments * MSS:
            return
        t.clock.advance(ms=100)
        _ack_each(t)
    raise AssertionError("slow start does not grow")


@rfc("6928", "2", "6928-1")
@BOTH
@pytest.mark.parametrize(("mss", "initial"), [(1460, 14_600), (1000, 10_000), (536, 5_360), (8960, 17_920)])
def test_initial_window(tcp, congestion, mss, initial):
    """min(10 MSS, max(2 MSS, 14600))."""
    t = tcp(congestion=congestion, mss=8960).established(mss=mss)
    t.send(100_000)
    assert sum(len(s.data) for s in t.peer.drain()) == initial


@rfc("6928", "2", "6928-1")
def test_initial_window_is_a_setting(tcp):
    t = tcp(initial_window_segs=2).established(mss=1000)
    t.send(100_000)
    assert sum(len(s.data) for s in t.peer.drain()) == 2000


@rfc("5681", "3.1", "5681-3.1a")
@BOTH
def test_slow_start_adds_what_was_acked(tcp, congestion):
    t = _open(tcp, congestion=congestion)
    t.send(200_000)
    sizes = []
    for _ in range(3):
        sizes.append(_in_flight(t) // MSS)
        t.clock.advance(ms=100)
        _ack_each(t)
    assert sizes[0] == 10
    for before, after in pairwise(sizes):
        assert after == 2 * before, sizes


@rfc("5681", "3.1", "5681-3.1a")
@rfc("3465", "2.2", "3465-1")
def test_ack_division_does_not_grow_the_window_faster(tcp):
    """Savage's attack: many ACKs for parts of one segment count the bytes, not the ACKs."""
    t = _open(tcp)
    t.send(200_000)
    t.peer.drain()
    before = t.info.cwnd
    for ack in range(11, 1002, 10):
        t.peer.sends(ACK, ack=ack)
    assert t.info.cwnd <= before + MSS


@rfc("5681", "3.1", "5681-3.1a")
def test_one_ack_for_everything_is_limited(tcp):
    """RFC 3465 §2.3, RFC 9406 §4.3: a stretch ACK adds at most L segments, and never more than was acked."""
    t = _open(tcp)
    t.send(200_000)
    t.peer.drain()
    before = t.info.cwnd
    t.peer.sends(ACK, ack=10_001)
    assert before < t.info.cwnd <= before + 10 * MSS


@rfc("5681", "3.1", "5681-3.1e")
@BOTH
def test_no_growth_when_the_application_limits(tcp, congestion):
    t = _open(tcp, congestion=congestion)
    before = t.info.cwnd
    for _ in range(100):
        t.send(MSS)
        t.clock.advance(ms=100)
        _ack_each(t)
    assert t.info.cwnd <= before + 2 * MSS


@rfc("5681", "3.1", "5681-3.1b")
def test_congestion_avoidance_one_segment_per_round_trip(tcp):
    t = _open(tcp)
    _grow(t, 20)
    t.peer.drain()
    t.send(2_000_000)
    _recover_one_loss(t)
    t.send(1_000_000)
    sizes = []
    for _ in range(10):
        t.clock.advance(ms=100)
        _ack_each(t)
        sizes.append(t.info.cwnd)
    steps = [b - a for a, b in pairwise(sizes)]
    assert all(0 <= step <= 2 * MSS for step in steps), steps
    assert 0.7 * MSS <= sum(steps) / len(steps) <= 1.3 * MSS, steps


def _recover_one_loss(t):
    """The first segment in flight is lost; duplicate ACKs, retransmission, full ACK."""
    una = t.rules.snd_una
    t.peer.drain()
    for _ in range(3):
        t.peer.sends(ACK, ack=una)
    for _ in range(200):
        got = [signed_seq(t, s) for s in t.peer.drain()]
        if una in got:
            break
        t.peer.sends(ACK, ack=una)
    else:
        raise AssertionError("no fast retransmit")
    end = t.rules.snd_max
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=end)


@rfc("5681", "3.2", "5681-3.2")
@BOTH
def test_fast_retransmit_on_the_third_duplicate(tcp, congestion):
    t = _open(tcp, congestion=congestion)
    t.send(10_000)
    t.peer.drain()
    for _ in range(2):
        t.peer.sends(ACK, ack=1)
        assert not any(signed_seq(t, s) == 1 for s in t.peer.drain())
    t.peer.sends(ACK, ack=1)
    t.peer.expects(ACK, seq=1, length=MSS)


@rfc("5681", "2", "5681-3.2")
@pytest.mark.parametrize("kind", ["data", "window", "fin", "nothing outstanding"])
def test_what_is_not_a_duplicate_ack(tcp, kind):
    t = _open(tcp)
    if kind != "nothing outstanding":
        t.send(10_000)
    t.peer.drain()
    for i in range(6):
        if kind == "data":
            t.peer.sends(ACK, ack=1, data=b"x")
        elif kind == "window":
            t.peer.sends(ACK, ack=1, wnd=t.peer.wnd + i + 1)
        elif kind == "nothing outstanding":
            t.peer.sends(ACK, ack=1)
    assert not any(s.data for s in t.peer.drain())


@rfc("3042", "2", "3042-1")
@BOTH
@pytest.mark.parametrize("sack", [False, True])
def test_limited_transmit(tcp, congestion, sack):
    """The first two duplicate ACKs each send one new segment, although cwnd is full, and cwnd stays."""
    t = _open(tcp, congestion=congestion, sack=sack, loss_detection="rfc6675")
    t.send(100_000)
    t.peer.expects_data(1, 10_001)
    before = t.info.cwnd
    for i in range(2):
        t.peer.sends(ACK, ack=1, sack=[(1001, 2001 + i * 1000)] if sack else None)
        t.peer.expects(ACK, seq=10_001 + i * 1000, length=MSS)
        t.peer.expects_nothing()
    assert t.info.cwnd == before


@rfc("3042", "2", "3042-1")
def test_limited_transmit_not_beyond_the_window_of_the_peer(tcp):
    t = _open(tcp, wnd=10_000)
    t.send(100_000)
    t.peer.drain()
    t.peer.sends(ACK, ack=1)
    t.peer.sends(ACK, ack=1)
    t.peer.expects_nothing()


@rfc("5681", "3.1", "5681-3.1c")
@pytest.mark.parametrize(("congestion", "num", "den"), [("newreno", 1, 2), ("cubic", 7, 10)])
def test_ssthresh_after_a_loss(tcp, congestion, num, den):
    t = _open(tcp, congestion=congestion)
    t.send(100_000)
    t.peer.drain()
    for _ in range(3):
        t.peer.sends(ACK, ack=1)
    # flight was 10 segments; RFC 5681 §3.2 does not count those of limited transmit, RFC 9438 allows cwnd
    assert abs(t.info.ssthresh - 10_000 * num // den) <= 2 * MSS * num // den
    assert t.info.ssthresh >= 2 * MSS


@rfc("5681", "3.1", "5681-3.1c")
@BOTH
def test_ssthresh_is_at_least_two_segments(tcp, congestion):
    t = _open(tcp, congestion=congestion)
    t.send(500)
    t.until_sent()
    t.clock.jump()
    assert t.info.ssthresh >= 2 * MSS


@rfc("5681", "3.1", "5681-3.1d")
@BOTH
def test_rto_shrinks_to_one_segment(tcp, congestion):
    t = _open(tcp, congestion=congestion, mtu_probing=False)
    t.send(100_000)
    t.peer.drain()
    t.until_sent()
    t.peer.expects(ACK, seq=1, length=MSS)
    t.peer.expects_nothing()
    first = t.info.ssthresh
    assert t.info.cwnd == MSS
    t.until_sent()
    t.peer.expects(ACK, seq=1, length=MSS)
    assert t.info.ssthresh == first, "repeated timeouts of the same segment reduce once"
    assert t.info.cwnd == MSS


@rfc("5681", "3.1", "5681-3.1d")
@BOTH
def test_slow_start_after_rto(tcp, congestion):
    t = _open(tcp, congestion=congestion, frto=False)
    t.send(100_000)
    t.peer.drain()
    t.until_sent()
    t.peer.expects(ACK, seq=1, length=MSS)
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=1001)
    got = t.peer.drain()
    assert 1 <= len(got) <= 3, "cwnd is two segments (one more allowed for limited transmit)"
    assert signed_seq(t, got[0]) == 1001


@rfc("6582", "3.2", "6582-1")
@BOTH
def test_partial_ack_retransmits_the_next_hole(tcp, congestion):
    """Segments 1, 3 and 5 of ten are lost, no SACK: one retransmission per round trip."""
    t = _open(tcp, congestion=congestion)
    t.send(10_000)
    t.peer.expects_data(1, 10_001)
    for _ in range(7):
        t.peer.sends(ACK, ack=1)
    t.peer.expects(ACK, seq=1, length=MSS)
    for ack in (2001, 4001):
        t.clock.advance(ms=100)
        t.peer.sends(ACK, ack=ack)
        assert signed_seq(t, t.peer.drain()[0]) == ack
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=10_001)
    t.clock.advance(s=60)
    t.peer.expects_nothing()
    assert t.info.retransmits == 3


@rfc("6582", "3.2", "6582-1")
def test_recovery_ends_at_recover_and_not_before(tcp):
    """The window falls once for all losses of one flight."""
    t = _open(tcp)
    t.send(100_000)
    t.peer.drain()
    for _ in range(3):
        t.peer.sends(ACK, ack=1)
    after_first = t.info.ssthresh
    t.peer.drain()
    for _ in range(5):
        t.peer.sends(ACK, ack=2001)
    assert t.info.ssthresh == after_first


@rfc("6582", "3.2", "6582-1")
def test_duplicates_after_an_rto_do_not_start_a_fast_retransmit(tcp):
    """`recover` guards: duplicate ACKs caused by go-back-N retransmissions after a timeout reduce nothing."""
    t = _open(tcp)
    t.send(10_000)
    t.peer.drain()
    t.until_sent()
    t.peer.drain()
    ssthresh = t.info.ssthresh
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=2001)
    t.peer.drain()
    for _ in range(4):
        t.peer.sends(ACK, ack=2001)
    assert t.info.ssthresh == ssthresh


@rfc("6937", "3", "6937/9937-1")
@BOTH
def test_recovery_sends_no_burst(tcp, congestion):
    """During recovery a duplicate ACK releases at most about one segment (packet conservation)."""
    t = _open(tcp, congestion=congestion)
    _grow(t, 40)
    t.peer.drain()
    una = t.rules.snd_una
    flight = _in_flight(t) // MSS
    sent = 0
    for i in range(flight - 1):
        t.peer.sends(ACK, ack=una)
        n = len(t.peer.drain())
        assert n <= 3, f"{n} segments for duplicate ACK {i + 1}"
        sent += n
    assert sent <= flight


@rfc("5681", "4.1", "5681-4.1")
@BOTH
@pytest.mark.parametrize(("rule", "most"), [("rfc5681", 10_000), ("rfc2861", 10_000), ("rfc7661", 100_000)])
def test_restart_after_idle(tcp, congestion, rule, most):
    """The window after 30 s of silence: the initial one, or with RFC 7661 all of it."""
    t = _open(tcp, congestion=congestion, window_validation=rule)
    _grow(t, 40)
    for _ in range(60):
        t.clock.advance(ms=100)
        if not _ack_each(t):
            break
    big = t.info.cwnd
    assert big >= 40 * MSS
    t.clock.advance(s=30)
    t.send(100_000)
    sent = sum(len(s.data) for s in t.peer.drain())
    assert sent == min(most, big - big % MSS, t.peer.wnd << 4)


@rfc("5681", "4.1", "5681-4.1")
def test_no_restart_after_a_short_pause(tcp):
    """Control of the test above."""
    t = _open(tcp, rto_min_us=SECOND)
    _grow(t, 40)
    for _ in range(60):
        t.clock.advance(ms=100)
        if not _ack_each(t):
            break
    t.clock.advance(ms=10)
    t.send(100_000)
    assert sum(len(s.data) for s in t.peer.drain()) > 20_000


@rfc("9438", "4.2", "9438-1")
@rfc("9293", "3.8.2", "MAY-18")
def test_cubic_grows_back_to_the_old_window_and_stays_there(tcp):
    """Concave growth: fast first, flat around W_max, and never more than 1.5 times per round trip."""
    t = _open(tcp, congestion="cubic", wnd=1_000_000)
    t.send(4_000_000)
    while _in_flight(t) < 100 * MSS:
        t.clock.advance(ms=100)
        _ack_each(t)
    before = t.info.cwnd
    t.peer.drain()
    una, end = t.rules.snd_una, t.rules.snd_max
    for _ in range(80):
        t.peer.sends(ACK, ack=una)
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=end)
    low = t.info.cwnd
    assert low <= 0.75 * before
    sizes = [low]
    for _ in range(60):
        t.clock.advance(ms=100)
        if len(t.rules.written) - t.rules.snd_max < 1_000_000:
            t.send(2_000_000)
        _ack_each(t)
        sizes.append(t.info.cwnd)
    assert max(b / a for a, b in pairwise(sizes)) <= 1.5
    # K = cbrt(W_max * 0.3 / 0.4) seconds: 4.2 s for 100 segments
    assert sizes[10] - sizes[0] > sizes[45] - sizes[35], "concave"
    assert 0.85 * before <= sizes[42] <= 1.3 * before


@rfc("9438", "4.6", "9438-2")
def test_cubic_rto_decreases_multiplicatively(tcp):
    t = _open(tcp, congestion="cubic")
    _grow(t, 40)
    t.peer.drain()
    flight = _in_flight(t)
    t.until_sent()
    assert abs(t.info.ssthresh - flight * 7 // 10) <= 2 * MSS
    assert t.info.cwnd == MSS


@rfc("9438", "4.3", "9438-1")
def test_cubic_is_not_slower_than_reno(tcp):
    """The Reno-friendly region: with a small window and short round trips CUBIC adds at least Reno's share."""
    grown = {}
    for congestion in ("newreno", "cubic"):
        t = _open(tcp, congestion=congestion)
        _grow(t, 12)
        t.peer.drain()
        _recover_one_loss(t)
        t.send(4_000_000)
        start = t.info.cwnd
        for _ in range(60):
            t.clock.advance(ms=10)
            _ack_each(t)
        grown[congestion] = t.info.cwnd - start
    assert grown["cubic"] >= 0.4 * grown["newreno"], grown


@rfc("5681", "3.1")
@BOTH
def test_flight_never_exceeds_cwnd(tcp, congestion):
    t = _open(tcp, congestion=congestion, wnd=500_000)
    t.send(3_000_000)
    for _ in range(12):
        assert _in_flight(t) <= t.info.cwnd
        t.clock.advance(ms=100)
        _ack_each(t)


@rfc("5681", "3.2")
def test_loss_of_a_retransmission_is_repaired_by_the_timer(tcp):
    t = _open(tcp)
    t.send(10_000)
    t.peer.drain()
    for _ in range(9):
        t.peer.sends(ACK, ack=1)
    t.peer.drain()
    waited = t.until_sent()
    assert 100 * MS <= waited <= 3 * SECOND
    assert signed_seq(t, t.peer.drain()[0]) == 1
    t.peer.sends(ACK, ack=10_001)
    assert t.info.in_flight == 0


def _avoidance(cubic, rtt_us, start, seconds):
    """ACKs for two segments each over that time; cwnd at the end, in segments."""
    sample = AckSample()
    sample.acked, sample.srtt_us = 2 * MSS, rtt_us
    now = start
    while now < start + seconds * SECOND:
        now += rtt_us * 2 * MSS // cubic.cwnd
        sample.now = now
        cubic.on_ack(sample)
    return cubic.cwnd / MSS


@rfc("9438", "4", "9438-1")
@pytest.mark.parametrize("seconds", [1, 4, 8, 12])
def test_cubic_follows_its_curve(seconds):
    """Against RFC 9438 figure 1 in floating point: after one loss at 1000 segments K is 9.1 s."""
    cubic, rtt_us = Cubic(MSS, 1000 * MSS), 100 * MS
    cubic.on_loss(0, 1000 * MSS)
    k = (300 / 0.4) ** (1 / 3)
    wanted = 0.4 * (seconds + rtt_us / SECOND - k) ** 3 + 1000
    assert _avoidance(cubic, rtt_us, 0, seconds) == pytest.approx(wanted, rel=0.01)


@rfc("9438", "4", "9438-1")
def test_cubic_begins_at_its_plateau_after_a_timeout():
    """RFC 9438 §4.8: K is 0 in the first congestion avoidance after a timeout."""
    cubic, rtt_us = Cubic(MSS, 1000 * MSS), 100 * MS
    cubic.on_rto(0, 1000 * MSS, first=True)
    cubic.cwnd = cubic.ssthresh  # slow start is over
    assert _avoidance(cubic, rtt_us, SECOND, 4) == pytest.approx(700 + 0.4 * 4.1**3, rel=0.01)


@rfc("5681", "3.1", "5681-3.1d")
@BOTH
def test_the_loss_window_grows_with_the_segments(tcp, congestion):
    """The path MTU goes up while cwnd is the one segment that a timeout left."""
    t = tcp(congestion=congestion).established()
    t.conn.set_path_mss(500, 0, t.clock.now)
    t.send(1)
    t.peer.drain()
    t.until_sent()
    t.peer.drain()
    t.peer.sends(ACK)
    t.conn.set_path_mss(1460, 0, t.clock.now)
    t.send(5000)
    assert len(t.peer.drain()[0].data) == 1460


@rfc("5681", "3.2", "5681-3.2")
@pytest.mark.parametrize(("congestion", "sent_again"), [("reno", 1), ("newreno", 3)])
def test_reno_ends_recovery_with_the_first_new_ack(tcp, congestion, sent_again):
    """Segments 1, 3 and 5 of ten are lost, no SACK: Reno repeats the first, and the others wait for the timer."""
    t = _open(tcp, congestion=congestion)
    t.send(10_000)
    t.peer.expects_data(1, 10_001)
    for _ in range(7):
        t.peer.sends(ACK, ack=1)
    t.peer.expects(ACK, seq=1, length=MSS)
    assert t.info.phase == "recovery"
    for ack in (2001, 4001):
        t.clock.advance(ms=100)
        t.peer.sends(ACK, ack=ack)
        assert t.info.phase == ("open" if congestion == "reno" else "recovery")
    assert t.info.retransmits == sent_again
    t.peer.drain()
    t.until_sent()
    assert signed_seq(t, t.peer.drain()[0]) == 4001


@rfc("5681", "3.2")
def test_reno_halves_again_for_a_second_loss_in_the_flight(tcp):
    """What NewReno's `recover` prevents (test_recovery_ends_at_recover_and_not_before)."""
    t = _open(tcp, congestion="reno", initial_window_segs=40)
    t.send(200_000)
    t.peer.drain()
    for _ in range(30):
        t.peer.sends(ACK, ack=1)
    once = t.info.ssthresh
    t.peer.sends(ACK, ack=20_001)
    assert t.info.phase == "open"
    for _ in range(3):
        t.peer.sends(ACK, ack=20_001)
    assert t.info.phase == "recovery"
    assert t.info.ssthresh < 0.9 * once
    assert t.info.retransmits == 2


def test_tahoe_starts_over_after_three_duplicates(tcp):
    t = _open(tcp, congestion="tahoe")
    t.send(10_000)
    t.peer.expects_data(1, 10_001)
    for _ in range(3):
        t.peer.sends(ACK, ack=1)
    t.peer.expects(ACK, seq=1, length=MSS)
    t.peer.expects_nothing()
    assert (t.info.cwnd, t.info.phase) == (MSS, "loss")
    assert abs(t.info.ssthresh - 5_000) <= MSS
    for _ in range(6):
        t.peer.sends(ACK, ack=1)
    t.peer.expects_nothing()
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=2001)  # segment 3 is missing, too
    t.peer.expects(ACK, seq=2001, length=MSS)
    t.peer.expects(ACK, seq=3001, length=MSS)
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=10_001)
    assert (t.info.phase, t.info.in_flight) == ("open", 0)


@pytest.mark.parametrize("sack", [False, True])
def test_without_fast_retransmit_only_the_timer_finds_losses(tcp, sack):
    t = _open(tcp, sack=sack, fast_retransmit=False)
    t.send(10_000)
    t.peer.expects_data(1, 10_001)
    for n in range(8):
        t.peer.sends(ACK, ack=1, sack=[(1001, 2001 + n * 1000)] if sack else None)
    t.peer.expects_nothing()
    assert t.info.phase == "open"
    t.until_sent()
    t.peer.expects(ACK, seq=1, length=MSS)
    assert t.info.phase == "loss"


def test_a_fixed_window_stays(tcp):
    t = _open(tcp, congestion="fixed", fixed_window_segs=7)
    t.send(100_000)
    t.peer.expects_data(1, 7001)
    t.until_sent()
    assert t.info.cwnd == 7 * MSS
    t.peer.drain()
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=7001)
    t.peer.expects_data(7001, 14_001)
    for _ in range(3):
        t.peer.sends(ACK, ack=7001)
    assert t.info.cwnd == 7 * MSS
