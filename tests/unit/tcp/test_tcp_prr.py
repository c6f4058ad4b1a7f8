"""Proportional rate reduction (RFC 9937): the account itself, and the examples that it prints."""

from contextlib import nullcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.config import TcpConfig
from stack.tcp.rack import Rack
from stack.tcp.recovery import RECOVERY, Recovery
from stack.tcp.rtt import RttEstimator
from stack.tcp.scoreboard import Scoreboard
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK
from tests.unit.tcp.test_tcp_rack import MSS, flight, sent

POINT = 100


def answers(t, first: int, edges: range) -> str:
    """A SACK for each segment from number `first` on: what was sent for each, N(ew), R(epair) or nothing."""
    pattern = []
    for edge in edges:
        t.peer.sends(ACK, ack=1, sack=[(first * MSS + 1, edge * MSS + 1)])
        pattern.append("".join("R" if seq <= first * MSS else "N" for seq in sent(t)) or ".")
    return " ".join(pattern)


@rfc("9937", "8", "6937/9937-1")
@pytest.mark.parametrize("detection", ["rfc6675", "rack"])
def test_the_printed_example_of_one_loss_in_twenty(tcp, detection):
    """RFC 9937 §8 figure 1: 20 segments, the first lost, then a SACK per segment.  Two new segments by limited
    transmit, the repair with the third SACK, then one for every other: the pipe falls to ssthresh and not below.

    The figure has the last one with ACK 19, when the pipe is ssthresh already; by the steps of §6.2 it waits for the
    next.
    """
    t = flight(tcp, 20, more=60 * MSS, loss_detection=detection)
    assert answers(t, 1, range(2, 21)) == "N N R . N . N . N . N . N . N . N . ."
    assert t.info.in_flight == 10 * MSS
    assert t.info.ssthresh == 10 * MSS
    t.peer.sends(ACK, ack=22_001)
    assert t.info.phase == "open"
    assert t.info.cwnd == 10 * MSS


@rfc("9937", "6", "6937/9937-1")
@pytest.mark.parametrize("detection", ["rfc6675", "rack"])
@pytest.mark.parametrize("one_burst", [True, False])
def test_acks_that_come_with_the_loss_in_one_burst_keep_the_pipe_full(tcp, detection, one_burst):
    """Of ten segments six are acknowledged and the seventh is lost: an ACK at a time, six new segments go out before
    the loss is found; in one burst, what they delivered counts for the episode.
    """
    t = flight(tcp, 10, more=60 * MSS, loss_detection=detection, congestion="cubic")
    with t.burst() if one_burst else nullcontext():
        t.peer.sends(ACK, ack=6 * MSS + 1)
        for edge in (8, 9, 10):
            t.peer.sends(ACK, ack=6 * MSS + 1, sack=[(7 * MSS + 1, edge * MSS + 1)])
    assert t.info.phase == "recovery"
    assert sent(t).count(6 * MSS + 1) == 1
    assert t.info.in_flight >= 5 * MSS  # the control: the repair alone
    assert not one_burst or t.info.in_flight <= t.info.ssthresh


@rfc("9937", "6", "6937/9937-1")
@pytest.mark.parametrize("detection", ["rfc6675", "rack"])
def test_what_was_not_there_to_be_sent_is_not_made_up_for(tcp, detection):
    """The same burst, and nothing was waiting: the repair goes out, and what is written later has PRR's measure."""
    t = flight(tcp, 10, loss_detection=detection, congestion="cubic")
    with t.burst():
        t.peer.sends(ACK, ack=6 * MSS + 1)
        for edge in (8, 9, 10):
            t.peer.sends(ACK, ack=6 * MSS + 1, sack=[(7 * MSS + 1, edge * MSS + 1)])
    assert sent(t) == [6 * MSS + 1]
    t.send(60 * MSS)
    assert t.info.in_flight <= 2 * MSS


@rfc("9937", "8", "6937/9937-1")
@pytest.mark.parametrize("detection", ["rfc6675", "rack"])
def test_a_burst_of_loss_is_followed_by_slow_start_bound_and_not_by_a_burst(tcp, detection):
    """RFC 9937 §8 figure 2: of 20 segments 15 are lost at once.  Each SACK lets out what it delivered, and an ACK that
    advances one segment more (SafeACK).
    """
    t = flight(tcp, 20, more=60 * MSS, loss_detection=detection)
    assert answers(t, 15, range(16, 21)) == "N N R R R"
    assert t.info.in_flight == 5 * MSS
    t.clock.advance(ms=100)
    for at, out in ((1, 2), (2, 2), (3, 2)):
        t.peer.sends(ACK, ack=at * MSS + 1, sack=[(15_001, 20_001)])
        assert len(sent(t)) == out
    assert t.info.in_flight == 8 * MSS


@rfc("9937", "6.2", "6937/9937-1")
def test_what_the_reordering_timer_finds_in_recovery_is_sent_again(tcp):
    """No ACK, nothing delivered: cwnd stays, and a repair that is lost leaves room in it for the next."""
    t = flight(tcp, 6)
    t.peer.sends(ACK, ack=1, sack=[(1001, 2001)])
    t.peer.sends(ACK, ack=6001)  # it was only late: from now on RACK waits
    t.send(6 * MSS)
    assert len(sent(t)) == 6
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=6001, sack=[(11_001, 12_001)])
    t.until_sent()
    assert sent(t) == [6001]
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=7001, sack=[(11_001, 12_001)])
    assert sent(t) == [7001, 8001]
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=7001, sack=[(8001, 9001), (11_001, 12_001)])
    assert sent(t) == [9001]
    assert t.until_sent() == t.info.reo_wnd_us
    assert sent(t) == [7001]
    assert t.info.phase == "recovery"


def entered(recover_fs: int, target: int) -> Recovery:
    recovery = Recovery()
    recovery.phase = RECOVERY
    recovery.recover_fs = recover_fs
    recovery.prr_target = target
    return recovery


@rfc("9937", "6.2", "6937/9937-1")
@given(
    steps=st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=60),
    flight=st.integers(10, 80),
    k=st.integers(2, 9),
)
def test_what_is_sent_stays_in_proportion_to_what_is_delivered(steps, flight, k):
    """Above ssthresh never more than delivered * ssthresh / RecoverFS segments, rounded up; below it never past it."""
    ssthresh = flight * k // 10 * POINT
    recovery = entered(flight * POINT, ssthresh)
    pipe = flight * POINT
    delivered = out = 0
    for segments, progress in steps:
        got = min(segments * POINT, pipe)
        delivered += got
        pipe -= got
        above = pipe > ssthresh
        recovery.update_quota(got, 0, pipe, POINT, progress)
        quota = recovery.quota
        if above:
            assert out + quota <= max(-(-delivered * ssthresh // (flight * POINT * POINT)) * POINT, out, POINT)
        elif out:
            assert pipe + quota <= max(ssthresh, pipe)
            assert quota <= max(delivered - out, got) + POINT * progress
        recovery.on_sent(quota)
        out += quota
        pipe += quota


@rfc("9937", "6.2", "6937/9937-1")
def test_the_first_repair_goes_out_whatever_the_account_says():
    recovery = entered(20 * POINT, 10 * POINT)
    recovery.update_quota(0, 0, 20 * POINT, POINT, progress=False)
    assert recovery.quota == POINT
    recovery.on_sent(POINT)
    recovery.update_quota(0, 0, 20 * POINT, POINT, progress=False)
    assert recovery.quota == 0


@rfc("9937", "6.2", "6937/9937-1")
def test_an_ack_that_delivers_nothing_takes_nothing_away():
    """What may be sent can wait for its time, and a D-SACK comes meanwhile: DeliveredData is 0, nothing is computed."""
    recovery = entered(20 * POINT, 10 * POINT)
    recovery.update_quota(POINT, 0, 18 * POINT, POINT, progress=False)
    recovery.on_sent(POINT)
    recovery.update_quota(POINT, 0, 6 * POINT, POINT, progress=True)
    assert recovery.quota == 2 * POINT
    recovery.update_quota(0, 0, 6 * POINT, POINT, progress=False)
    assert recovery.quota == 2 * POINT


# -- the reordering window of RACK over many episodes ------------------------------------------------------------------


@rfc("8985", "6.2", "8985-2")
def test_the_window_shrinks_after_sixteen_recoveries():
    rack = Rack()
    for i in range(3):
        rack.on_dsack(i * 1000, i * 1000 + 900)
    assert rack.mult == 4
    rack.on_dsack(2100, 3000)  # the same round trip
    assert rack.mult == 4
    for _ in range(15):
        rack.on_recovery_exit()
        assert rack.mult == 4
    rack.on_recovery_exit()
    assert rack.mult == 1


@rfc("8985", "6.2", "8985-2")
@pytest.mark.parametrize(("rounds", "factor"), [(0, 1), (1, 2), (3, 4), (50, 51)])
def test_the_window_is_a_quarter_of_the_smallest_rtt_and_at_most_one_srtt(rounds, factor):
    rack, board, rtt = Rack(), Scoreboard(), RttEstimator(TcpConfig())
    rtt.on_sample(40_000)
    rtt.on_sample(44_000)
    for i in range(rounds):
        rack.on_dsack(i, i + 1)
    board.reordered = True
    assert rack.reo_wnd_us(board, rtt, eager=True) == min(factor * 10_000, rtt.srtt_us)


@rfc("8985", "6.2", "8985-1")
@pytest.mark.parametrize(("eager", "reordered"), [(True, False), (True, True), (False, False), (False, True)])
def test_without_reordering_there_is_no_window_in_recovery(eager, reordered):
    rack, board, rtt = Rack(), Scoreboard(), RttEstimator(TcpConfig())
    rtt.on_sample(40_000)
    board.reordered = reordered
    assert (rack.reo_wnd_us(board, rtt, eager) == 0) == (eager and not reordered)
