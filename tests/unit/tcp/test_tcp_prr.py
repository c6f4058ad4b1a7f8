"""Proportional rate reduction (RFC 9937): the account itself, and the example that its predecessor prints."""

from itertools import pairwise

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


@rfc("9937", "6.2", "6937/9937-1")
def test_the_printed_example_of_one_loss_in_twenty(tcp):
    """RFC 6937 §4, first figure: 20 segments, the first lost, then a SACK per segment.  Two new segments by limited
    transmit, the repair with the third SACK, then one for every other: the pipe falls to ssthresh and not below.
    """
    t = flight(tcp, 20, more=60 * MSS, loss_detection="rfc6675")
    pattern, pipes = "", []
    for edge in range(2, 21):
        t.peer.sends(ACK, ack=1, sack=[(1001, edge * MSS + 1)])
        got = sent(t)
        assert len(got) <= 1
        pattern += "".join("R" if seq == 1 else "N" for seq in got) or "."
        pipes.append(t.info.in_flight // MSS)
    assert pattern.startswith("NNR")
    # half of what was in flight, spread over the recovery
    ssthresh = t.info.ssthresh // MSS
    assert ssthresh == 10
    assert "NN" not in pattern[3:]
    assert pattern[3:].count("N") in {7, 8}
    assert pipes[-1] in {ssthresh, ssthresh + 1}
    assert all(a - b in {-1, 0, 1} for a, b in pairwise(pipes))


@rfc("9937", "6.2", "6937/9937-1")
def test_a_burst_of_loss_is_followed_by_slow_start_bound_and_not_by_a_burst(tcp):
    """RFC 6937 §4, second figure: of 20 segments 15 are lost at once.  Each ACK lets out what it delivered, and one
    segment more only when it advances (SafeACK).
    """
    t = flight(tcp, 20, more=60 * MSS, loss_detection="rfc6675")
    for edge in range(16, 20):
        t.peer.sends(ACK, ack=1, sack=[(15_001, edge * MSS + 1)])
    first = sent(t)
    assert len(first) <= 5
    t.peer.sends(ACK, ack=1, sack=[(15_001, 20_001)])
    assert len(sent(t)) <= 1
    at = 1
    for _ in range(8):
        t.clock.advance(ms=10)
        at += MSS
        t.peer.sends(ACK, ack=at, sack=[(15_001, 20_001)])
        assert len(sent(t)) <= 2
        assert t.info.in_flight <= t.info.ssthresh + MSS


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
    """Above ssthresh never more than delivered * ssthresh / RecoverFS, rounded up; below it never past it."""
    ssthresh = flight * k // 10 * POINT
    recovery = entered(flight * POINT, ssthresh)
    pipe = flight * POINT
    delivered = out = 0
    for segments, progress in steps:
        got = min(segments * POINT, pipe)
        delivered += got
        pipe -= got
        above = pipe > ssthresh
        recovery.update_quota(got, pipe, POINT, progress)
        quota = recovery.quota
        if above:
            assert out + quota <= max(-(-delivered * ssthresh // (flight * POINT)), out, POINT)
        elif out:
            assert pipe + quota <= max(ssthresh, pipe)
            assert quota <= max(delivered - out, got) + POINT * progress
        recovery.on_sent(quota)
        out += quota
        pipe += quota


@rfc("9937", "6.2", "6937/9937-1")
def test_the_first_repair_goes_out_whatever_the_account_says():
    recovery = entered(20 * POINT, 10 * POINT)
    recovery.update_quota(0, 20 * POINT, POINT, progress=False)
    assert recovery.quota == POINT
    recovery.on_sent(POINT)
    recovery.update_quota(0, 20 * POINT, POINT, progress=False)
    assert recovery.quota == 0


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
