"""HyStart++ (RFC 9406): slow start that ends before the queue overflows.

Theory of operation.  In the first slow start of a connection the smallest round-trip time of each round is compared
with that of the round before.  When it has risen by a threshold, a queue is building up: Conservative Slow Start
(CSS) grows at a quarter of the rate for up to five rounds.  If the round-trip time falls below what it was when CSS
began, the rise was jitter and slow start goes on; else ssthresh is set and congestion avoidance begins, without a
loss.  The controller asks `on_ack` what to do with the growth it would make, and drops the object when `done`.

RFC 9406 §4.3: only for the first slow start, when ssthresh has its initial value; later ones end at the ssthresh that
a loss has found.  One ACK is one sample: a receiver that answers super-segments with fewer than eight ACKs in a round
never makes it act, as the RFC has it.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from stack.tcp.congestion.base import AckSample

# RFC 9406 §4.3: the recommended values
MIN_RTT_THRESH_US: Final = 4_000
MAX_RTT_THRESH_US: Final = 16_000
MIN_RTT_DIVISOR: Final = 8
N_RTT_SAMPLE: Final = 8
CSS_GROWTH_DIVISOR: Final = 4
CSS_ROUNDS: Final = 5
INFINITE_RTT: Final = (1 << 62) - 1


@mypyc_attr(acyclic=True)
class HyStart:
    """The state of one first slow start; times in microseconds."""

    # fmt: off
    __slots__ = (
        "_baseline_us", "_css_rounds", "_last_min_us", "_min_us", "_round", "_samples", "done", "in_css",
    )
    # fmt: on

    def __init__(self) -> None:
        self._round = -1  # `AckSample.round_count` of the current round
        self._last_min_us = INFINITE_RTT  # smallest round-trip time of the last round
        self._min_us = INFINITE_RTT  # and of this one, so far
        self._samples = 0
        self.in_css = False
        self._baseline_us = INFINITE_RTT  # what the round-trip time was when CSS began
        self._css_rounds = 0
        self.done = False  # the rounds of CSS are over: set ssthresh and avoid congestion

    def on_ack(self, sample: AckSample) -> int:
        """Take an ACK of slow start (RFC 9406 §4.2, 9406-1); returns the divisor of the window's growth for it."""
        if sample.round_count != self._round:
            self._begin_round(sample.round_count)
        rtt_us = sample.rtt_us
        if rtt_us > 0:
            self._samples += 1
            self._min_us = min(self._min_us, rtt_us)
        if self._samples >= N_RTT_SAMPLE:
            if self.in_css:
                if self._min_us < self._baseline_us:
                    self.in_css = False  # the exit was spurious: slow start goes on
                    self._baseline_us = INFINITE_RTT
            elif self._last_min_us != INFINITE_RTT and self._min_us >= self._last_min_us + self._threshold_us():
                self.in_css = True
                self._baseline_us = self._min_us
                self._css_rounds = 0
        return CSS_GROWTH_DIVISOR if self.in_css else 1

    def _threshold_us(self) -> int:
        return max(MIN_RTT_THRESH_US, min(self._last_min_us // MIN_RTT_DIVISOR, MAX_RTT_THRESH_US))

    def _begin_round(self, count: int) -> None:
        self._round = count
        self._last_min_us, self._min_us = self._min_us, INFINITE_RTT
        self._samples = 0
        if self.in_css:
            self._css_rounds += 1  # the round in which CSS began counts, too
            self.done = self._css_rounds >= CSS_ROUNDS
