"""Where two mechanisms of the sender meet: each is right alone, and these are what they do to one another."""

from typing import ClassVar

import pytest

from stack.tcp.congestion.base import AckSample, Controller
from stack.tcp.congestion.bbr import Bbr
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, CWR, ECE, MS, SYN, signed_seq

MSS = 1000


def flight(tcp, n=10, *, more=0, ts=False, sack=True, **settings):
    """`n` segments in flight and `more` bytes waiting, round trip 100 ms; the first ACK is due now."""
    ecn = settings.get("ecn") == "request"
    t = tcp(**{"congestion": "newreno", "initial_window_segs": n, **settings}).open()
    t.clock.advance(ms=100)
    t.peer.drain()
    flags = SYN | ACK | (ECE if ecn else 0)
    t.peer.sends(flags, seq=0, mss=MSS + 12 * ts, sack_ok=sack, ts=True if ts else None)
    t.peer.drain()
    t.send(n * MSS + more)
    assert [length for _, length in t.peer.seqs()] == [MSS] * n
    t.clock.advance(ms=100)
    return t


def sent(t):
    """Sequence numbers of the data sent and not yet looked at."""
    return [seq for seq, length in t.peer.seqs() if length]


# -- undo and ECN


@rfc("4015", "3.1", "4015/3522-1")
@pytest.mark.parametrize("congestion", ["newreno", "cubic", "bbr"])
@pytest.mark.parametrize("marked", [True, False], ids=["mark", "control"])
def test_a_mark_in_the_episode_is_not_undone_with_it(tcp, congestion, marked):
    """The repair turns out to be for nothing, but the path has said meanwhile that it is congested."""
    t = flight(tcp, more=20_000, ecn="request", congestion=congestion)
    t.peer.sends(ACK, ack=1, sack=[(1001, 5001)])
    assert 1 in sent(t)
    t.peer.sends(ACK | (ECE if marked else 0), ack=1, sack=[(1001, 6001)])
    t.peer.sends(ACK, ack=6001)
    t.peer.sends(ACK, ack=6001, sack=[(1, 1001)])
    assert t.info.spurious == (not marked)


@rfc("4015", "3.1", "4015/3522-1")
def test_a_mark_after_the_episode_is_not_undone(tcp):
    t = flight(tcp, more=20_000, ecn="request")
    t.peer.sends(ACK, ack=1, sack=[(1001, 5001)])
    t.peer.sends(ACK, ack=10_001)
    assert t.info.phase == "open"
    t.peer.sends(ACK | ECE, ack=11_001)
    reduced = t.info.cwnd
    t.peer.sends(ACK, ack=11_001, sack=[(1, 1001)])
    assert (t.info.cwnd, t.info.spurious) == (reduced, 0)


@rfc("3168", "6.1.2", "3168-1")
def test_an_episode_right_behind_another_says_cwr_too(tcp):
    """The ACK that ends one episode begins the next: a reduction like any other."""
    t = flight(tcp, more=60_000, ecn="request")
    t.peer.sends(ACK, ack=1, sack=[(1001, 5001)])
    t.peer.sends(ACK, ack=1, sack=[(1001, 10_001)])
    first = t.peer.drain()
    assert [bool(s.flags & CWR) for s in first if s.ect].count(True) == 1
    end = signed_seq(t, first[-1]) + MSS
    assert end >= 14_001
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=10_001, sack=[(11_001, end)])
    assert t.info.phase == "recovery"
    t.peer.sends(ACK, ack=end)
    assert [bool(s.flags & CWR) for s in t.peer.drain() if s.ect].count(True) == 1


# -- undo and path MTU


@rfc("1191", "6.5", "1191-1")
def test_what_was_too_large_for_the_path_is_not_taken_back(tcp):
    """A fast retransmission, then a router says that all of it was too large; the echo of an older timestamp proves
    the fast retransmission needless, but not that what was too large has arrived.
    """
    t = flight(tcp, ts=True)
    echo = t.peer.ts_recent
    t.clock.advance(ms=5)
    t.peer.sends(ACK, ack=1, sack=[(1001, 5001)])
    t.clock.advance(ms=5)
    t.conn.set_path_mss(512 + 12, 0, t.clock.now)
    t.pump()
    t.peer.drain()
    t.clock.advance(ms=50)
    t.peer.sends(ACK, ack=1001, ts=(t.peer.tsval, echo))
    assert t.info.phase == "loss"
    assert t.info.spurious == 0


# -- timers at one instant


@rfc("8985", "8")
def test_the_reordering_timer_goes_before_the_timeout_and_puts_it_off(tcp):
    """The SACK comes so late that RACK's look is due when the retransmission timer would fire, or after it."""
    t = flight(tcp, 3, tlp=False)
    due = t.info.timers["retransmit"]
    t.clock.advance(us=due - t.clock.now - 5 * MS)
    t.peer.sends(ACK, ack=1, sack=[(1001, 2001)])
    assert t.info.timers["retransmit"] == t.info.timers["reorder"] > due
    t.clock.advance(us=t.info.timers["reorder"] - t.clock.now)
    assert t.info.phase == "recovery"
    assert sent(t) == [1]
    assert t.info.timers["retransmit"] > t.clock.now


# -- tail loss probes


@rfc("8985", "7.4", "8985-4")
def test_the_duplicate_ack_of_a_probe_counts_when_all_is_acknowledged(tcp):
    """The last ACK was only late.  A peer that does not report duplicates answers the probe with a bare ACK."""
    t = flight(tcp, 4)
    t.until_sent()
    assert sent(t) == [3001]
    t.peer.sends(ACK, ack=4001)
    t.peer.sends(ACK, ack=4001)
    cwnd = t.info.cwnd
    t.send(MSS)
    t.peer.sends(ACK, ack=5001)
    assert t.info.cwnd >= cwnd


@rfc("8985", "7.4", "8985-4")
@rfc("8985", "6.2", "8985-2")
def test_the_report_of_a_probe_does_not_widen_the_reordering_window(tcp):
    """A probe goes by the clock: that it was for nothing says nothing of reordering."""
    t = flight(tcp, 4)
    t.until_sent()
    t.peer.sends(ACK, ack=4001, sack=[(3001, 4001)])
    assert t.info.dsacks == 1
    assert t.info.reo_wnd_mult == 1


@rfc("3168", "6.1.2", "3168-1")
@pytest.mark.parametrize("marked", [True, False], ids=["mark", "control"])
def test_a_loss_that_a_probe_repaired_is_a_reduction_like_any_other(tcp, marked):
    """Once per window of data, and the next new data says CWR."""
    t = flight(tcp, 10, ecn="request")
    t.peer.sends(ACK | (ECE if marked else 0), ack=7001)
    reduced = t.info.cwnd
    t.until_sent()
    t.peer.drain()
    t.send(MSS)  # acknowledged together with the probe
    t.peer.sends(ACK, ack=11_001)
    assert (t.info.cwnd == reduced) == marked
    t.send(MSS)
    assert [bool(s.flags & CWR) for s in t.peer.drain() if s.ect].count(True) == 1


# -- without SACK


@rfc("6582", "3.2", "6582-1")
def test_duplicates_of_what_a_timeout_sent_again_are_no_loss(tcp):
    """All but the first segment had arrived; what the timeout sent again comes back as duplicate ACKs."""
    t = flight(tcp, 10, sack=False, frto=False, limited_transmit=False, more=10_000)
    t.clock.advance(s=2)
    t.peer.drain()
    assert t.info.phase == "loss"
    t.peer.sends(ACK, ack=1001)
    t.peer.sends(ACK, ack=3001)
    t.peer.sends(ACK, ack=5001)
    t.peer.sends(ACK, ack=10_001)
    assert t.info.phase == "open"
    ssthresh = t.info.ssthresh
    for _ in range(4):
        t.peer.sends(ACK, ack=10_001)
    assert (t.info.phase, t.info.ssthresh) == ("open", ssthresh)
    t.peer.sends(ACK, ack=11_001)
    for _ in range(3):
        t.peer.sends(ACK, ack=11_001)
    assert t.info.phase == "recovery"


# -- window probes


@rfc("6298", "3", "6298-3")
def test_the_late_ack_of_a_window_probe_is_no_round_trip(tcp):
    """The window opens a little without the probe's octet, which is taken back; then its ACK comes after all."""
    t = flight(tcp, 2)
    t.peer.sends(ACK, ack=2001, wnd=0)
    min_rtt = t.info.min_rtt_us
    t.send(50)
    t.until_sent()
    t.peer.drain()
    t.clock.advance(ms=50)
    t.peer.sends(ACK, ack=2001, wnd=10)
    t.peer.sends(ACK, ack=2002, wnd=9)
    assert t.info.min_rtt_us == min_rtt


@rfc("3168", "6.1.2", "3168-1")
@pytest.mark.parametrize("congestion", ["newreno", "cubic", "bbr"])
def test_a_needless_timeout_in_a_marked_window_does_not_undo_the_mark(tcp, congestion):
    """F-RTO finds out that nothing was lost: no more is sent again, but the reduction for the mark holds."""
    t = flight(tcp, 10, more=20_000, ecn="request", congestion=congestion, tlp=False)
    before = t.info.cwnd
    t.peer.sends(ACK | ECE, ack=2001)
    t.peer.drain()
    t.clock.advance(us=t.info.timers["retransmit"] - t.clock.now)
    assert sent(t) == [2001]
    t.peer.sends(ACK, ack=3001)
    t.peer.sends(ACK, ack=5001)
    assert t.info.phase == "open"
    assert t.info.retransmits == 1
    assert congestion == "bbr" or t.info.cwnd < before


@rfc("4015", "3.1", "4015/3522-1")
def test_an_episode_of_bbr_of_many_rounds_is_undone_as_a_whole():
    """The bounds come back as they were before the first of its rounds with losses."""
    bbr = Bbr(MSS, 10 * MSS)
    bbr.on_start(0, 100 * MS, 1)
    sample = AckSample()
    sample.rtt_us = sample.min_rtt_us = sample.srtt_us = 100 * MS

    def round_trip(lost=0):
        sample.now += 100 * MS
        sample.prior_delivered = sample.delivered
        sample.delivered += 20 * MSS
        sample.newly_delivered = sample.tx_in_flight = 20 * MSS
        sample.in_flight, sample.lost_since, sample.in_recovery = 10 * MSS, lost, bool(lost)
        sample.interval_us, sample.delivery_rate = 100 * MS, 200 * MSS
        if lost:
            bbr.on_range_lost(sample.now, lost, 20 * MSS, lost, False)
        bbr.on_ack(sample)

    for _ in range(10):
        round_trip()
    assert bbr.describe()["state"] == "probe_bw_cruise"
    assert "bw_shortterm" not in bbr.describe()
    bbr.on_loss(sample.now, 20 * MSS)
    for _ in range(4):
        round_trip(MSS)
    assert "bw_shortterm" in bbr.describe()
    bbr.on_spurious(sample.now)
    assert "bw_shortterm" not in bbr.describe()


# -- the application's pace


class Recorder(Controller):
    """A window that never changes; what each rate sample said of the application."""

    limited: ClassVar[list[bool]] = []

    def on_ack(self, sample: AckSample) -> None:
        self.limited.append(sample.rate_app_limited)


def test_a_short_tail_that_nagle_holds_is_the_applications_doing(tcp):
    """draft-ietf-ccwg-bbr §4.1.2.4: less than a segment waits; the rate of what follows says nothing of the path."""
    t = flight(tcp, 10, congestion=Recorder)
    t.peer.sends(ACK, ack=10_001)
    t.send(1500)
    assert sent(t) == [10_001]
    t.clock.advance(ms=10)
    t.send(200)
    assert sent(t) == []
    t.clock.advance(ms=90)
    t.peer.sends(ACK, ack=11_001)
    assert sent(t) == [11_001]
    Recorder.limited.clear()
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=11_701)
    assert Recorder.limited == [True]
