"""BBR, told what an engine would tell it (congestion/bbr.py)."""

import pytest

from stack.config import MS, SECOND
from stack.tcp.congestion.base import AckSample
from stack.tcp.congestion.bbr import Bbr
from stack.tcp.congestion.bbr_model import PROBE_RTT

MSS = 1000
RTT_US = 50 * MS


class Drive:
    """A connection that delivers 20 segments in each round trip; `rtt_us` is what the path takes."""

    def __init__(self) -> None:
        self.c = Bbr(MSS, 10 * MSS)
        self.c.on_start(0, RTT_US, 7)
        self.sample = AckSample()
        self.rtt_us = RTT_US
        self.seen: list[int] = []

    def rounds(self, count: int, in_flight: int = 20 * MSS) -> None:
        s = self.sample
        for _ in range(count):
            s.now += self.rtt_us
            s.prior_delivered = s.delivered
            s.delivered += 20 * MSS
            s.newly_delivered = s.acked = 20 * MSS
            s.rtt_us = s.interval_us = self.rtt_us
            s.delivery_rate = 20 * MSS * SECOND // self.rtt_us
            s.tx_in_flight = s.in_flight = min(in_flight, self.c.cwnd)
            self.c.on_ack(s)
            if not self.seen or self.seen[-1] != self.c.state:
                self.seen.append(self.c.state)

    def until(self, second: float) -> None:
        while self.sample.now < second * SECOND:
            self.rounds(1)


def test_the_estimate_outlives_the_interval_of_probe_rtt():
    """draft-ietf-ccwg-bbr §5.3.4.3: what was measured five seconds ago still counts, until ten have passed."""
    d = Drive()
    d.until(1)
    d.rtt_us = 80 * MS  # a queue, or another path: nobody knows yet
    d.until(4.9)
    assert PROBE_RTT not in d.seen
    d.until(6)
    assert PROBE_RTT in d.seen
    assert d.c.min_rtt_us == RTT_US
    d.until(9.9)
    assert d.c.min_rtt_us == RTT_US
    d.until(12)
    assert d.c.min_rtt_us == 80 * MS


def test_probe_rtt_comes_every_five_seconds():
    d = Drive()
    d.until(1)
    d.rtt_us = 80 * MS
    d.until(31)
    assert 4 <= d.seen.count(PROBE_RTT) <= 6


@pytest.mark.parametrize("again", [False, True])
def test_the_window_comes_back_when_a_timeout_is_repaired_and_not_before(again: bool):
    """draft-ietf-ccwg-bbr §5.6.4.4, whatever was SACKed when the timer fired."""
    d = Drive()
    d.until(1)
    before = d.c.cwnd
    d.c.on_rto(d.sample.now, before, first=True)
    if again:
        d.c.on_rto(d.sample.now, before, first=False)
    assert d.c.cwnd == MSS
    assert d.c.in_loss_recovery
    d.sample.now += MS
    d.sample.newly_delivered = d.sample.acked = MSS
    d.sample.delivered += MSS
    d.c.on_ack(d.sample)
    assert d.c.cwnd < before
    d.c.on_rto_exit(d.sample.now)
    assert d.c.cwnd == before
    assert not d.c.in_loss_recovery


def test_the_end_of_an_episode_that_was_none_restores_nothing():
    """The size of segments changed: what went out again is acknowledged."""
    d = Drive()
    d.until(1)
    d.c.prior_cwnd = 1000 * MSS
    before = d.c.cwnd
    d.c.on_rto_exit(d.sample.now)
    assert d.c.cwnd == before
