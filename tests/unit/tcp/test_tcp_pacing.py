"""Pacing: when data may leave (pacing.py), on a virtual clock."""

from itertools import pairwise

import pytest

from stack.config import MS, SECOND, TcpConfig
from stack.errors import ConfigError
from stack.tcp.congestion.base import Controller
from stack.tcp.memory import Spares
from stack.tcp.pacing import CREDIT_US, Pacer
from stack.tcp.rtt import RttEstimator
from stack.tcp.timers import PACING, TimerTable

RATE = 2_500_000  # bytes per second
MSS = 1448


class Paced(Controller):
    """A controller that says itself how fast."""

    __slots__ = ()


class Bench:
    """A Pacer with a timer table and a clock that an application with endless data looks at."""

    def __init__(self, config: TcpConfig | None = None, rate: int = RATE, rtt_us: int = 40 * MS) -> None:
        self.config = config or TcpConfig()
        self.pacer = Pacer(self.config)
        self.timers = TimerTable(Spares())
        self.controller = Paced(MSS, 10 * MSS)
        self.controller.pacing_rate = rate
        self.rtt = RttEstimator(self.config)
        if rtt_us:
            self.rtt.on_sample(rtt_us)
        self.now = SECOND
        self.sent: list[int] = []

    def pump(self) -> int:
        """Send until the Pacer says wait; how many went out."""
        count = 0
        while not self.pacer.held(self.timers, self.now):
            self.pacer.on_sent(self.now, MSS, self.controller, self.rtt)
            self.sent.append(self.now)
            count += 1
            assert count < 10_000
        return count

    def wait(self, late_us: int = 0) -> None:
        """Let the clock run until the timer fires, `late_us` after it was due."""
        assert self.timers.running(PACING)
        self.now = self.timers.at[PACING] + late_us
        self.timers.cancel(PACING)


def test_the_gap_is_the_segment_over_the_rate_and_does_not_drift():
    bench = Bench()
    for _ in range(1000):
        assert bench.pump() == 1
        bench.wait()
    gaps = {b - a for a, b in pairwise(bench.sent)}
    assert gaps == {579, 580}  # 579.2 us on a clock of microseconds
    assert abs((bench.sent[-1] - bench.sent[0]) - 999 * MSS * SECOND / RATE) <= 1


def test_a_late_clock_is_caught_up_with_and_by_no_more_than_the_credit():
    bench = Bench()
    bench.pump()
    bench.wait(late_us=900)
    assert bench.pump() == 2  # the one that was due, and the one after it
    for late_us in (30, 500, 250, 0, 100):
        bench.wait(late_us)
        bench.pump()
    assert abs((len(bench.sent) - 1) * MSS * SECOND / RATE - (bench.sent[-1] - bench.sent[0])) <= 2 * 580
    bench.wait(late_us=SECOND)
    burst = bench.pump()
    assert burst <= 2 + CREDIT_US * RATE // (MSS * SECOND)


def test_silence_saves_nothing_up():
    bench = Bench()
    bench.pump()
    bench.wait()
    bench.pacer.on_sent(bench.now, MSS, bench.controller, bench.rtt)
    bench.now += 10 * SECOND  # nothing to send: nobody asked
    assert bench.pump() == 1


def test_gaps_too_short_for_a_timer_leave_together_and_the_rate_holds():
    bench = Bench(rate=125_000_000)  # a gap of 11.6 us
    while bench.now < SECOND + 50 * MS:
        assert 1 <= bench.pump() <= 10
        bench.wait()
    assert len(bench.sent) * MSS * SECOND / (bench.now - SECOND) == pytest.approx(125_000_000, rel=0.01)


def test_the_initial_window_leaves_at_once_and_what_follows_does_not():
    bench = Bench()
    bench.pacer = Pacer(bench.config, 10 * MSS)
    assert bench.pump() == 11
    capped = Bench(TcpConfig(max_pacing_rate=RATE))
    capped.pacer = Pacer(capped.config, 10 * MSS)
    assert capped.pump() == 1


@pytest.mark.parametrize(
    ("pacing", "rtt_us", "paced"),
    [("auto", 500, False), ("auto", 1000, False), ("auto", 1001, True), ("on", 500, True), ("off", 40_000, False)],
)
def test_which_paths_are_paced(pacing: str, rtt_us: int, paced: bool):
    bench = Bench(TcpConfig(pacing=pacing), rate=0, rtt_us=rtt_us)
    wanted = bench.rtt.min_rtt_us > bench.pacer.from_rtt_us
    if wanted:
        bench.pacer.on_sent(bench.now, MSS, bench.controller, bench.rtt)
    assert (bench.pacer.rate > 0) == wanted == paced


def test_the_default_rate_is_two_windows_in_slow_start_and_a_fifth_more_than_one_after_it():
    bench = Bench(rate=0)
    bench.pacer.on_sent(bench.now, MSS, bench.controller, bench.rtt)
    assert bench.pacer.rate == 2 * 10 * MSS * SECOND // (40 * MS)
    bench.controller.ssthresh = bench.controller.cwnd
    bench.pacer.on_sent(bench.now, MSS, bench.controller, bench.rtt)
    assert bench.pacer.rate == 12 * MSS * SECOND // (40 * MS)


def test_off_holds_nothing_back():
    bench = Bench(TcpConfig(pacing="off"))
    for _ in range(100):
        assert not bench.pacer.held(bench.timers, bench.now)
        bench.pacer.on_sent(bench.now, MSS, bench.controller, bench.rtt)
    assert not bench.timers.running(PACING)


def test_a_limit_holds_whatever_the_controller_wants():
    for wanted in (0, RATE // 2, 10 * RATE):
        bench = Bench(TcpConfig(max_pacing_rate=RATE), rate=wanted, rtt_us=100)
        bench.pacer.on_sent(bench.now, MSS, bench.controller, bench.rtt)
        assert bench.pacer.rate == min(wanted or RATE, RATE)


def test_a_limit_without_pacing_is_refused():
    with pytest.raises(ConfigError, match="max_pacing_rate"):
        TcpConfig(pacing="off", max_pacing_rate=1).validate()
    with pytest.raises(ConfigError, match="pacing 'fast'"):
        TcpConfig(pacing="fast").validate()


def test_a_window_of_a_few_segments_is_no_burst():
    """Its last segment would leave most of a round trip late, and so would all that its ACK lets go."""
    bench = Bench(rate=0)
    bench.controller.cwnd = 4 * MSS
    bench.pacer.on_sent(bench.now, MSS, bench.controller, bench.rtt)
    assert not bench.pacer.held(bench.timers, bench.now)
    bench.controller.cwnd = 5 * MSS
    bench.pacer.on_sent(bench.now, MSS, bench.controller, bench.rtt)
    assert bench.pacer.held(bench.timers, bench.now)
    bench.controller.cwnd = 4 * MSS
    bench.pacer.on_sent(bench.now, MSS, bench.controller, bench.rtt)
    assert not bench.pacer.held(bench.timers, bench.now)


def test_an_ack_that_was_delayed_once_does_not_slow_the_next_windows():
    bench = Bench(rate=0, rtt_us=2 * MS)
    bench.pacer.on_sent(bench.now, MSS, bench.controller, bench.rtt)
    rate = bench.pacer.rate
    bench.rtt.on_sample(42 * MS)
    bench.rtt.on_sample(2 * MS)
    assert bench.rtt.srtt_us > 6 * MS
    bench.pacer.on_sent(bench.now, MSS, bench.controller, bench.rtt)
    assert bench.pacer.rate == rate
