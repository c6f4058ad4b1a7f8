"""Tahoe (Jacobson 1988): fast retransmit, but no fast recovery."""

from typing import ClassVar

from stack.tcp.congestion.newreno import NewReno


class Tahoe(NewReno):
    """Every loss, however found, means a window of one segment and slow start; what was outstanding is sent again."""

    __slots__ = ()

    name: ClassVar[str] = "tahoe"
    fast_recovery: ClassVar[bool] = False
    may_hystart: ClassVar[bool] = False
    slow_start_limit_segs: ClassVar[int] = 1

    def on_loss(self, now: int, in_flight: int) -> None:
        super().on_loss(now, in_flight)
        self.cwnd = self.mss
