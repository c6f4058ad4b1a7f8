"""NewReno: slow start and linear congestion avoidance (RFC 5681 §3.1, RFC 6582)."""

from typing import ClassVar

from stack.tcp.congestion.base import AckSample
from stack.tcp.congestion.lossbased import LossBased


class NewReno(LossBased):
    """One segment more per round trip; half on loss."""

    __slots__ = ("_credit",)

    name: ClassVar[str] = "newreno"

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._credit = 0

    def on_ack(self, sample: AckSample) -> None:
        if sample.round_start:
            self.on_round(sample)
        # RFC 5681 §3.1 (5681-3.1e), RFC 7661 §4: no growth when cwnd is not what limits
        if sample.in_recovery or sample.app_limited:
            self.held(sample)
            return
        acked = self.counted(sample)
        if self.cwnd < self.ssthresh:
            acked = self.slow_start(sample, acked)
            if not acked:
                return
        # RFC 5681 §3.1 (5681-3.1b): one SMSS per window of acknowledged data, by byte counting
        self._credit += acked
        if self._credit >= self.cwnd:
            self._credit -= self.cwnd
            self.cwnd += self.mss
            self._credit = min(self._credit, self.cwnd)

    def on_loss(self, now: int, in_flight: int) -> None:
        super().on_loss(now, in_flight)
        self._credit = 0
