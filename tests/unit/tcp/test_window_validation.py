"""The window after quiet times: RFC 7661 (the default), RFC 2861, RFC 5681 §4.1."""

import pytest

from stack.config import MINUTE, SECOND, TcpConfig
from stack.tcp.congestion.base import AckSample
from stack.tcp.congestion.cubic import Cubic
from stack.tcp.congestion.newreno import NewReno
from tests.support.rfc import rfc

MSS = 1000
RTT_US = 50_000
INITIAL = 10 * MSS


class Driver:
    """A controller and the rounds of a connection that uses `volume` bytes in each."""

    def __init__(self, kind=NewReno, *, rule="rfc7661", cwnd=100):
        self.c = kind(MSS, INITIAL)
        self.c.configure(TcpConfig(window_validation=rule, hystart=False))
        self.c.cwnd = self.c.ssthresh = cwnd * MSS
        s = self.sample = AckSample()
        s.srtt_us, s.rto_us, s.acked = RTT_US, 200_000, MSS
        s.now = SECOND

    def rounds(self, count, volume):
        s = self.sample
        for _ in range(count):
            s.now += RTT_US
            s.round_count += 1
            s.round_start = True
            s.app_limited = volume + 2 * MSS < self.c.cwnd
            s.delivered += volume
            self.c.on_ack(s)

    def idle(self, us):
        self.sample.now += us
        self.c.after_idle(self.sample.now, us, INITIAL)


@rfc("7661", "4.4.3", "7661-1")
@pytest.mark.parametrize("kind", [NewReno, Cubic])
def test_an_idle_window_is_kept_for_five_minutes(kind):
    d = Driver(kind)
    d.rounds(40, 99 * MSS)
    before = d.c.cwnd
    d.idle(5 * MINUTE - SECOND)
    assert d.c.cwnd == before >= 100 * MSS
    d.idle(2 * SECOND)
    assert (d.c.cwnd, d.c.ssthresh) == (before // 2, max(100 * MSS, before * 3 // 4))
    d.idle(60 * MINUTE)
    assert d.c.cwnd == INITIAL


@rfc("7661", "4.4.3", "7661-1")
def test_a_window_half_of_which_is_never_used_is_halved_every_five_minutes():
    d = Driver()
    d.rounds(100, 99 * MSS)
    before = d.c.cwnd
    d.rounds(5 * 60 * 20 - 100, 20 * MSS)
    assert d.c.cwnd == before
    d.rounds(200, 20 * MSS)
    assert d.c.cwnd == before // 2
    d.rounds(5 * 60 * 20 * 2, 20 * MSS)
    after = d.c.cwnd
    assert after == before // 4, "of which half is used"


@rfc("7661", "4.3", "7661-1")
def test_a_window_half_of_which_is_used_is_kept():
    """Control of the test above."""
    d = Driver()
    d.rounds(5 * 60 * 20 * 3, 60 * MSS)
    assert d.c.cwnd == 100 * MSS


@rfc("7661", "4.4.1", "7661-2")
@pytest.mark.parametrize(("used", "flight", "lost", "after"), [(20, 10, 4, 8), (20, 30, 4, 13), (20, 10, 40, 2)])
def test_a_loss_in_the_non_validated_phase_is_measured_by_what_was_carried(used, flight, lost, after):
    d = Driver()
    d.rounds(100, used * MSS)
    d.c.on_loss(d.sample.now, flight * MSS)
    assert d.c.cwnd == d.c.ssthresh == max(used, flight) * MSS // 2
    d.sample.in_recovery = True
    d.sample.lost_total += lost * MSS
    d.rounds(1, 5 * MSS)
    d.c.on_recovery_exit(d.sample.now)
    assert d.c.cwnd == after * MSS


@rfc("7661", "4.4.1", "7661-2")
def test_a_loss_in_the_validated_phase_halves_the_flight():
    """Control of the test above: no more is taken away at the end of recovery."""
    d = Driver()
    d.rounds(100, 80 * MSS)
    d.c.on_loss(d.sample.now, 80 * MSS)
    d.sample.in_recovery = True
    d.sample.lost_total += 20 * MSS
    d.rounds(1, 5 * MSS)
    d.c.on_recovery_exit(d.sample.now)
    assert d.c.cwnd == 40 * MSS


@rfc("7661", "4.2")
@pytest.mark.parametrize(("rounds", "after"), [(15, 20), (45, 5)])
def test_what_was_carried_long_ago_does_not_count(rounds, after):
    """The sampling period is a second here: pipeACK knows the 40 segments for one, and not for more than two."""
    d = Driver()
    d.rounds(20, 40 * MSS)
    d.rounds(rounds, 10 * MSS)
    d.c.on_loss(d.sample.now, 10 * MSS)
    assert d.c.cwnd == after * MSS


@rfc("2861", "3.1", "2861-1")
@pytest.mark.parametrize(("rtos", "cwnd"), [(1, 50), (2, 25), (3, 12.5), (4, 10), (1000, 10)])
def test_rfc_2861_halves_once_per_timeout(rtos, cwnd):
    d = Driver(rule="rfc2861")
    d.rounds(1, 99 * MSS)
    d.c.cwnd, d.c.ssthresh = 100 * MSS, 50 * MSS
    d.idle(rtos * 200_000)
    assert (d.c.cwnd, d.c.ssthresh) == (cwnd * MSS, 75 * MSS)


@rfc("5681", "4.1", "5681-4.1")
def test_rfc_5681_begins_with_the_initial_window_again():
    d = Driver(rule="rfc5681")
    d.rounds(1, 99 * MSS)
    d.idle(200_001)
    assert (d.c.cwnd, d.c.ssthresh) == (INITIAL, 100 * MSS)


def test_no_bound_stays_below_one_segment_when_the_segments_grow():
    """A connection that began with small segments, and lost its SYN, has bounds smaller than one later segment."""
    c = NewReno(256, 256)
    c.configure(TcpConfig(window_validation="rfc7661"))
    c.on_loss(0, 256)
    assert c.ssthresh < 1448
    c.on_mss(1448)
    assert c.ssthresh == 2 * 1448
    c.cwnd = 2 * 1448
    c._expire(5)  # five periods of an application that hardly sends
    assert c.cwnd == 1448
