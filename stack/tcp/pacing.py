"""Pacing: what may be sent is spread over the round trip instead of leaving in one burst.

Theory of operation.  The Sender asks `held` before it sends data, first time or again, and tells `on_sent` after.  A
transmission of n bytes at `rate` moves the time of the next one by n / rate, counted from when it was due and not from
when it happened, in nanoseconds: a clock that is late, or that ticks in microseconds, does not slow the flow down.
Where the clock was late the connection catches up, by at most CREDIT_US; where there was nothing to send, or no window
to send it in, nothing is saved up.  A gap shorter than COALESCE_US is not worth a timer: the timer runs that long and
a few segments leave together.

The rate is the controller's own where it has one (BBR), else of the kind of RFC 9002 §7.7: a little more than a window
per round trip, so that the window still governs.  Paths of up to PACED_RTT_US are too short to gain anything, and what
they would queue is our own; their smallest round trip tells, since a queue that we filled ourselves must not count.
Nor is a window of a few segments a burst: spread over the round trip, the ACK of its last would come that much later.

Pure acknowledgements are never paced, nor are the first `initial_window` bytes of a connection (RFC 6928 wants them out
at once; a limit set by the application covers them, too).

Invariant: while `waiting` (something was held back) and there is something to send, the PACING timer runs.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from stack.config import NEVER, TcpConfig
from stack.tcp.congestion.base import Controller
from stack.tcp.rtt import RttEstimator
from stack.tcp.timers import PACING, TimerTable

PACED_RTT_US: Final = 1_000
COALESCE_US: Final = 100
CREDIT_US: Final = 1_000
UNPACED_SEGS: Final = 4  # what two delayed ACKs let go
QUANTUM_US: Final = 1_000  # a super-segment is at most what is paced in this time
# RFC 9002 §7.7: N > 1, so that the window is used in spite of variations of the round-trip time; in slow start as much
# as the window may grow in it
SLOW_START_GAIN: Final = 200  # per cent
GAIN: Final = 120
NS_PER_US: Final = 1_000
NS_PER_S: Final = 1_000_000_000


def from_rtt_us(config: TcpConfig) -> int:
    """A path whose smallest round trip is above this is paced whatever the controller does."""
    if config.pacing == "off":
        return NEVER
    if config.max_pacing_rate:
        return -1
    return PACED_RTT_US if config.pacing == "auto" else 0


@mypyc_attr(acyclic=True)
class Pacer:
    """When the next data may leave; made when something is paced for the first time.

    Times in microseconds, `rate` in bytes of payload per second, 0: not paced.
    """

    __slots__ = (
        "_behind",
        "_free",
        "_limit",
        "_next_ns",
        "_off",
        "_timer_at",
        "from_rtt_us",
        "next_at",
        "rate",
        "waiting",
    )

    def __init__(self, config: TcpConfig, initial_window: int = 0) -> None:
        self._off = config.pacing == "off"
        self._limit = config.max_pacing_rate
        self.from_rtt_us = from_rtt_us(config)
        self.rate = 0
        self.next_at = 0
        self.waiting = False
        self._next_ns = 0
        self._timer_at = 0
        self._behind = False  # next_ns is in the past because the clock was late
        self._free = 0 if self._limit else initial_window  # bytes that may still leave unpaced

    def held(self, timers: TimerTable, now: int) -> bool:
        """Whether what could be sent must wait; if so the timer runs.  Call only when there is something to send."""
        if self.next_at <= now:
            return False
        self.waiting = self._behind = True
        timers.arm(PACING, self._timer_at)
        return True

    def on_sent(self, now: int, nbytes: int, controller: Controller, rtt: RttEstimator) -> None:
        """`nbytes` of data left."""
        if self._off:
            return
        rate = self.rate = self._rate(controller, rtt)
        if not rate:
            self.stop()
            return
        if self._free > 0:
            self._free -= nbytes
            return
        now_ns = now * NS_PER_US
        start = self._next_ns
        if start < now_ns:
            earliest = now_ns - CREDIT_US * NS_PER_US if self._behind else now_ns
            if start < earliest:
                start = earliest
        self._next_ns = start + nbytes * NS_PER_S // rate
        self.next_at = -(-self._next_ns // NS_PER_US)
        self._timer_at = max(self.next_at, now + COALESCE_US)
        self._behind = self.next_at < now
        self.waiting = False

    def stop(self) -> None:
        """The path, or the window, has become too short to be paced."""
        self.rate = self.next_at = 0
        self.waiting = self._behind = False

    def quantum(self, mss: int) -> int:
        """The most that may leave as one super-segment."""
        return max(2 * mss, self.rate * QUANTUM_US // 1_000_000)

    def _rate(self, controller: Controller, rtt: RttEstimator) -> int:
        rate = controller.pacing_rate
        few = UNPACED_SEGS * controller.mss
        if not rate and rtt.srtt_us and rtt.min_rtt_us > self.from_rtt_us and controller.cwnd > few:
            gain = SLOW_START_GAIN if controller.cwnd < controller.ssthresh else GAIN
            # a delayed ACK can be many round trips long, and SRTT keeps it for a while: the window should not
            rtt_us = rtt.latest_us if 0 < rtt.latest_us < rtt.srtt_us else rtt.srtt_us
            rate = max(controller.cwnd * gain * 10_000 // rtt_us, 1)
        limit = self._limit
        if limit and not 0 < rate < limit:
            return limit
        return rate
