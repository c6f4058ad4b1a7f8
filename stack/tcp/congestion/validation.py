"""What a congestion window is worth that was not used for a while.

Theory of operation.  `TcpConfig.window_validation` chooses; the window does not grow while the application limits the
sender in any of them (RFC 5681 §3.1, `AckSample.app_limited`):

    rfc7661   (default) the window is kept for five minutes, then halved every five minutes; a loss meanwhile sets
              it by what the path has carried of late (`pipe_ack`), not by what it once allowed
    rfc2861   halved for each retransmission timeout of idle time; ssthresh remembers three quarters
    rfc5681   back to the initial window after one retransmission timeout of idle time (§4.1)

RFC 7661 is the default since the other two punish the usual traffic of today (requests with pauses, streams of media)
and made senders pad their pauses; what RFC 5681 fears, a burst of a whole window into a path that has changed, is
prevented by pacing where round trips are long enough to matter, and by answering a loss with the smaller of the two
windows.  RFC 2861 is Historic; RFC 7661 §1 tells why.

`pipe_ack` is the most that was acknowledged within one round trip in the last sampling period: the greater of two bins
of one period each.  It is -1 (undefined, which counts as validated) until the first round is complete and after a loss
episode.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from stack.config import MINUTE, SECOND
from stack.tcp.congestion.base import AckSample

NVP_US: Final = 5 * MINUTE  # RFC 7661 §4.4.3: the non-validated period
UNDEFINED: Final = -1


@mypyc_attr(acyclic=True)
class Validation:
    """RFC 7661 for one connection: whether its window is validated.  Bytes and microseconds."""

    __slots__ = ("_bin", "_bin_at", "_last_bin", "_lost_before", "_safe", "_started", "lost_total", "validated_at")

    def __init__(self) -> None:
        self._started = UNDEFINED  # `delivered` when the round began
        self._bin = UNDEFINED  # greatest sample of this period
        self._last_bin = UNDEFINED  # and of the one before
        self._bin_at = 0  # when this period began
        self._safe = UNDEFINED  # what the present loss episode took for the flight; UNDEFINED: the window was validated
        self._lost_before = 0  # `lost_total` when it began
        self.lost_total = 0  # of the connection, as far as is known
        self.validated_at = 0  # when the window was last known to be validated

    def pipe_ack(self) -> int:
        """RFC 7661 §4.2: the greatest volume acknowledged in a round trip of the sampling period; -1: undefined."""
        return max(self._bin, self._last_bin)

    def is_validated(self, cwnd: int) -> bool:
        """RFC 7661 §4.3 (7661-1): half of the window was used, or nothing is known."""
        pipe = self._bin if self._bin > self._last_bin else self._last_bin
        return pipe == UNDEFINED or 2 * pipe >= cwnd

    def on_round(self, sample: AckSample, cwnd: int) -> None:
        """A round trip is over: a new sample of pipe_ack."""
        if self._started != UNDEFINED:
            age_us = sample.now - self._bin_at
            if age_us >= SECOND and age_us >= 3 * sample.srtt_us:
                # RFC 7661 §4.2: the sampling period, max(3 RTT, 1 s), is over
                period_us = max(3 * sample.srtt_us, SECOND)
                self._last_bin = self._bin if age_us < 2 * period_us else UNDEFINED
                self._bin = UNDEFINED
                self._bin_at = sample.now
            volume = sample.delivered - self._started
            if volume > self._bin:
                self._bin = volume
        self._started = sample.delivered
        self.lost_total = sample.lost_total
        if not self.validated_at or self.is_validated(cwnd):
            self.validated_at = sample.now

    def periods(self, now: int) -> int:
        """How many non-validated periods have passed and were not asked for yet (RFC 7661 §4.4.3)."""
        if not self.validated_at:
            return 0
        passed = (now - self.validated_at) // NVP_US
        self.validated_at += passed * NVP_US
        return passed

    def on_loss(self, in_flight: int, cwnd: int) -> int:
        """A loss episode begins; what to take for the flight size (RFC 7661 §4.4.1, 7661-2)."""
        self._lost_before = self.lost_total
        if self.is_validated(cwnd):
            self._safe = UNDEFINED
            return in_flight
        self._safe = max(self.pipe_ack(), in_flight)
        return self._safe

    def on_recovery_exit(self) -> int:
        """What the flight size was without what it lost, if the window was not validated; else -1."""
        safe, self._safe = self._safe, UNDEFINED
        self._bin = self._last_bin = UNDEFINED
        return safe if safe == UNDEFINED else max(0, safe - (self.lost_total - self._lost_before))
