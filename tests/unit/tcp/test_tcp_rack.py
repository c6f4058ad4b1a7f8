"""RACK-TLP (RFC 8985): losses found by time, lost retransmissions, lost tails; each with its control."""

import pytest

from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, MS, SECOND, SYN

MSS = 1000
RACK = {"loss_detection": "rack"}
RFC6675 = {"loss_detection": "rfc6675"}


def flight(tcp, n=10, *, more=0, ts=False, **settings):
    """`n` segments in flight and `more` bytes waiting, SACK on, round trip 100 ms; the first ACK is due now."""
    t = tcp(**{"congestion": "newreno", "initial_window_segs": n, **settings}).open()
    t.clock.advance(ms=100)
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, mss=MSS + 12 * ts, sack_ok=True, ts=True if ts else None)
    t.peer.drain()
    t.send(n * MSS + more)
    assert [length for _, length in t.peer.seqs()] == [MSS] * n
    t.clock.advance(ms=100)
    return t


def sent(t):
    """Sequence numbers of the data sent and not yet looked at."""
    return [seq for seq, length in t.peer.seqs() if length]


# -- RACK ---------------------------------------------------------------------------------------------------------


@rfc("8985", "6.2", "8985-1")
def test_one_sacked_segment_is_enough_after_the_reordering_window(tcp):
    """RFC 8985 §3.4: three segments, the first lost; a quarter of the smallest RTT after the SACK it is sent again."""
    t = flight(tcp, 3)
    t.peer.sends(ACK, ack=1, sack=[(1001, 2001)])
    assert sent(t) == []
    assert t.info.reo_wnd_us == 25 * MS
    assert "reorder" in t.info.timers
    t.clock.advance(ms=24.999)
    assert sent(t) == []
    t.clock.advance(us=1)
    assert sent(t) == [1]
    assert t.info.phase == "recovery"


def test_rfc6675_waits_for_the_timeout_there(tcp):
    """Control: one SACKed segment proves nothing to it."""
    t = flight(tcp, 3, **RFC6675)
    t.peer.sends(ACK, ack=1, sack=[(1001, 2001)])
    t.clock.advance(ms=99)
    assert sent(t) == []
    t.until_sent()
    assert t.info.phase == "loss"


@rfc("8985", "6.2", "8985-1")
def test_three_sacked_segments_need_no_window_while_nothing_is_reordered(tcp):
    t = flight(tcp)
    t.peer.sends(ACK, ack=1, sack=[(1001, 4001)])
    assert sent(t)[:1] == [1]


@rfc("8985", "6.2", "8985-1")
def test_reordering_seen_makes_it_wait(tcp):
    """A segment sent once that arrives behind later ones: from now on even three SACKed segments wait."""
    t = flight(tcp, more=20_000)
    t.peer.sends(ACK, ack=1, sack=[(1001, 2001)])
    assert not t.info.reordering
    t.peer.sends(ACK, ack=2001)
    assert t.info.reordering
    t.peer.drain()
    t.peer.sends(ACK, ack=2001, sack=[(3001, 7001)])
    assert 2001 not in sent(t)
    t.peer.sends(ACK, ack=7001)  # it had only been late
    t.clock.advance(ms=1)
    assert t.info.retransmits == 0
    t.clock.advance(ms=60)
    assert t.info.phase == "open"


@rfc("8985", "6.2", "8985-1")
def test_what_was_sent_later_is_not_lost(tcp):
    """Only what was sent before the segment delivered last: new data sent meanwhile is not judged by it."""
    t = flight(tcp, more=5000)
    t.peer.sends(ACK, ack=1, sack=[(1001, 4001)])
    t.peer.drain()
    assert t.info.lost == MSS
    t.clock.advance(ms=40)
    t.peer.sends(ACK, ack=1, sack=[(1001, 6001)])
    assert t.info.lost == MSS


@rfc("8985", "6.2", "8985-1")
@pytest.mark.parametrize("settings", [RACK, RFC6675], ids=["rack", "rfc6675"])
def test_a_lost_retransmission_is_sent_again_without_a_timeout(tcp, settings):
    """The first segment and its retransmission are lost; what was sent after the retransmission tells.

    With RFC 6675 (the control) the timeout has to do it.
    """
    t = flight(tcp, more=20_000, **settings)
    for edge in range(2, 11):
        t.peer.sends(ACK, ack=1, sack=[(1001, edge * MSS + 1)])
    first = sent(t)
    assert first.count(1) == 1
    top = max(first) + MSS
    assert top > 10_001
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=1, sack=[(1001, top)])
    if settings is RACK:
        assert 1 in sent(t)
        assert t.info.lost_retransmits == 1
        assert t.info.phase == "recovery"
    else:
        assert 1 not in sent(t)
        t.until_sent()
        assert t.info.phase == "loss"


@rfc("5681", "4.3")
@rfc("8985", "9.3", "8985-1")
@pytest.mark.parametrize("lost", [True, False])
def test_a_retransmission_lost_after_a_timeout_reduces_again(tcp, lost):
    """A policer drops the repairs of a timeout, too: slow start would go on into it.  Control: they arrive."""
    t = flight(tcp, tlp=False, frto=False)
    t.until_sent()
    assert sent(t) == [1]
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=1001)
    assert sent(t) == [1001, 2001]
    assert t.info.ssthresh == 5 * MSS
    t.clock.advance(ms=100)
    if lost:
        t.peer.sends(ACK, ack=1001, sack=[(2001, 3001)])
        assert sent(t) == [1001]
    else:
        t.peer.sends(ACK, ack=3001)
    assert t.info.phase == ("recovery" if lost else "loss")
    assert t.info.ssthresh == (2 if lost else 5) * MSS
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=10_001)
    assert t.info.phase == "open"


@rfc("8985", "8", "8985-1")
def test_the_timeout_waits_for_the_reordering_timer(tcp):
    """A short RTO would strike first: it is put off until RACK has decided, which is a recovery and not a timeout."""
    t = flight(tcp, 3, rto_min_us=1 * MS)
    t.peer.sends(ACK, ack=1001)
    t.clock.advance(ms=1)
    t.peer.sends(ACK, ack=1001, sack=[(2001, 3001)])
    timers = t.info.timers
    assert timers["reorder"] <= timers["retransmit"]
    t.until_sent()
    assert sent(t) == [1001]
    assert t.info.phase == "recovery"


@rfc("8985", "6.3", "8985-1")
def test_a_timeout_marks_only_what_would_have_been_heard_of(tcp):
    """RFC 8985 §6.3: the first, and what was sent more than RTT and window ago; not what has just been sent."""
    t = flight(tcp, 4, tlp=False, nodelay=True)
    t.peer.sends(ACK, ack=1001)
    t.peer.drain()
    wait = t.info.timers["retransmit"] - t.clock.now
    t.clock.advance(us=wait - 30 * MS)
    t.send(2 * MSS)
    fresh = sent(t)
    assert fresh
    t.clock.advance(us=30 * MS)
    assert sent(t) == [1001]
    assert t.info.lost == 3 * MSS


@rfc("2883", "5", "8985-2")
def test_a_dsack_widens_the_window_once_per_round(tcp):
    t = flight(tcp, more=40_000)
    t.peer.sends(ACK, ack=1, sack=[(1001, 4001)])
    assert 1 in sent(t)
    t.peer.sends(ACK, ack=4001)  # the original: it was only late
    t.clock.advance(ms=50)
    t.peer.sends(ACK, ack=4001, sack=[(1, 1001)])
    assert t.info.dsacks == 1
    assert t.info.reo_wnd_mult == 2
    t.peer.sends(ACK, ack=4001, sack=[(1, 1001)])
    assert t.info.reo_wnd_mult == 2


@rfc("2883", "5", "8985-2")
@pytest.mark.parametrize("block", [(1, 1001), (5001, 6001), (-100_000, -99_000), (2001, 2001)])
def test_a_dsack_of_what_was_sent_once_changes_nothing(tcp, block):
    """The network duplicated it, or the peer makes it up."""
    t = flight(tcp)
    t.peer.sends(ACK, ack=8001, sack=[block])
    assert t.info.reo_wnd_mult == 1
    assert t.info.spurious == 0


def test_dsack_off_takes_no_report(tcp):
    """Control of `dsack`: neither taken nor given."""
    t = flight(tcp, dsack=False)
    t.peer.sends(ACK, ack=1, sack=[(1001, 4001)])
    t.peer.sends(ACK, ack=4001, sack=[(1, 1001)])
    assert t.info.dsacks == 0
    t.peer.sends(ACK, data=bytes(100), ack=4001)
    t.peer.drain()
    t.peer.sends(ACK, seq=1, data=bytes(100), ack=4001)
    assert all(s.sack == [] for s in t.peer.drain())


# -- tail loss probes ------------------------------------------------------------------------------------------------


@rfc("8985", "7.3", "8985-3")
def test_the_last_segment_is_the_probe_and_rack_does_the_rest(tcp):
    """RFC 8985 §3.5: of the flight the last two are lost; 2 SRTT after the last ACK the very last goes again, its SACK
    shows the hole, and no timeout happens.
    """
    t = flight(tcp, 5)
    t.peer.sends(ACK, ack=3001)
    assert t.info.timers["probe"] == t.clock.now + 2 * t.info.srtt_us
    assert t.until_sent() == 2 * t.info.srtt_us
    assert sent(t) == [4001]
    assert t.info.tlp_probes == 1
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=3001, sack=[(4001, 5001)])
    assert sent(t) == [3001]
    assert t.info.phase == "recovery"


def test_without_probes_the_tail_waits_for_the_timeout(tcp):
    """Control of `tlp`."""
    t = flight(tcp, 5, tlp=False)
    t.peer.sends(ACK, ack=3001)
    assert t.until_sent() > 2 * t.info.srtt_us
    assert sent(t) == [3001]
    assert t.info.phase == "loss"


@rfc("8985", "7.3", "8985-3")
def test_new_data_is_the_better_probe(tcp):
    t = flight(tcp, 5, more=300)
    t.peer.sends(ACK, ack=1001, wnd=0xFFFF)
    t.peer.drain()
    t = flight(tcp, 5)
    t.peer.sends(ACK, ack=1001)
    t.send(100)  # held back by Nagle
    assert sent(t) == []
    t.until_sent()
    assert t.peer.seqs() == [(5001, 100)]


@rfc("8985", "7.2", "8985-3")
def test_a_single_segment_leaves_time_for_a_delayed_ack(tcp):
    """The timer has 200 ms more then, and at most what the RTO has."""
    t = flight(tcp, 2, rto_min_us=5 * SECOND)
    t.peer.sends(ACK, ack=1001)
    assert t.info.timers["probe"] == t.clock.now + 2 * t.info.srtt_us + 200 * MS
    t = flight(tcp, 2)
    t.peer.sends(ACK, ack=1001)
    assert t.info.timers["probe"] == t.info.timers["retransmit"] < t.clock.now + 2 * t.info.srtt_us + 200 * MS


@rfc("8985", "7.2", "8985-3")
def test_a_second_segment_needs_no_time_for_a_delayed_ack(tcp):
    """Segments go out one by one when they are paced: the timer of the first is not that of both.

    With a window of two or three segments, a lost tail cost a timeout each time: half of the throughput at 5 % loss.
    """
    t = flight(tcp, 1, initial_window_segs=10, rto_min_us=5 * SECOND)
    assert t.info.timers["probe"] == t.clock.now + t.info.srtt_us + 200 * MS
    t.send(1000)
    assert t.info.timers["probe"] == t.clock.now + 2 * t.info.srtt_us < t.info.timers["retransmit"]
    t.peer.drain()
    assert t.until_sent() == 2 * t.info.srtt_us
    assert sent(t) == [1001]


@rfc("8985", "7.3", "8985-3")
def test_one_probe_a_tail_and_then_the_timeout(tcp):
    t = flight(tcp, 5)
    t.peer.sends(ACK, ack=3001)
    t.until_sent()
    assert sent(t) == [4001]
    rto = t.info.rto_us
    assert t.until_sent() == rto  # from the probe on
    assert sent(t) == [3001]
    assert t.info.phase == "loss"
    assert t.info.tlp_probes == 1


@rfc("8985", "7.2", "8985-3")
def test_no_probe_while_sack_shows_a_hole_or_the_window_is_shut(tcp):
    t = flight(tcp, 5)
    t.peer.sends(ACK, ack=1, sack=[(1001, 2001)])
    assert "probe" not in t.info.timers
    t = flight(tcp, 5)
    t.peer.sends(ACK, ack=1001, wnd=0)
    t.until_sent()
    assert t.info.tlp_probes == 0


@rfc("8985", "7.4", "8985-4")
@pytest.mark.parametrize("report", ["nothing", "dsack", "duplicate"])
def test_a_loss_that_the_probe_repaired_counts_as_congestion(tcp, report):
    """RFC 8985 §7.4: unless a D-SACK, or without SACK a duplicate ACK, says that the probe was a duplicate."""
    t = flight(tcp, 5)
    t.peer.sends(ACK, ack=3001)
    before = t.info.ssthresh
    t.until_sent()
    t.peer.drain()
    t.clock.advance(ms=50)
    t.peer.sends(ACK, ack=5001)
    if report == "dsack":
        t.peer.sends(ACK, ack=5001, sack=[(4001, 5001)])
    elif report == "duplicate":
        t.send(1000)
        t.peer.sends(ACK, ack=5001)
    else:
        t.send(1000)
    t.peer.drain()
    assert t.info.ssthresh == before
    if report == "dsack":
        t.send(1000)
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=6001)
    assert (t.info.ssthresh < before) == (report == "nothing")
    assert t.info.phase == "open"


@rfc("8985", "7.4.2", "8985-4")
@pytest.mark.parametrize("congestion", ["newreno", "cubic"])
def test_the_window_that_lost_it_is_reduced_and_not_what_was_left_of_it(tcp, congestion):
    """Of 20 segments the last is lost; by the time that this is clear a single one is in flight."""
    t = flight(tcp, 20, congestion=congestion, window_validation="rfc5681")
    t.peer.sends(ACK, ack=19_001)
    cwnd = t.info.cwnd
    t.until_sent()
    assert sent(t) == [19_001]
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=20_001)
    t.send(MSS)
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=21_001)
    left = {"newreno": 10, "cubic": 14}[congestion]
    assert (t.info.ssthresh, t.info.cwnd) == (left * MSS, left * MSS)
    assert cwnd > 20 * MSS  # the control: it is the flight that counts, not a window that was never used


# -- what a capture says ---------------------------------------------------------------------------------------------


def notes(tcp, **settings):
    """Runs a tail loss: the remark on each data segment that was sent for the second time."""
    t = flight(tcp, 5, **settings)
    t.peer.sends(ACK, ack=3001)
    t.until_sent()
    t.clock.advance(ms=100)
    return t


@pytest.mark.parametrize(
    ("settings", "note"),
    [
        ({}, "tail loss probe"),
        ({"tlp": False}, "retransmission: timeout"),
    ],
)
def test_a_retransmission_says_why(tcp, settings, note):
    t = notes(tcp, **settings)
    assert t.peer.drain()[0].note == note


@pytest.mark.parametrize(
    ("detection", "note"), [("rack", "retransmission: RACK"), ("rfc6675", "retransmission: fast retransmit")]
)
def test_a_fast_retransmission_says_which(tcp, detection, note):
    t = flight(tcp, loss_detection=detection)
    t.peer.sends(ACK, ack=1, sack=[(1001, 5001)])
    assert t.peer.drain()[0].note == note
