"""A window that never changes: for measurements, for the older machines of `tcp/profiles.py`, for lessons.

DEVIATES RFC 5681 §3: it does not answer to congestion at all.  Not for networks that others use.
"""

from typing import ClassVar

from stack.config import TcpConfig
from stack.tcp.congestion.base import Controller


class Fixed(Controller):
    """`TcpConfig.fixed_window_segs` segments, whatever happens."""

    __slots__ = ("_segs",)

    name: ClassVar[str] = "fixed"
    uses_prr: ClassVar[bool] = False
    wants_rates: ClassVar[bool] = False

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._segs = 1

    def configure(self, config: TcpConfig) -> None:
        self._segs = config.fixed_window_segs
        self.on_mss(self.mss)

    def on_mss(self, mss: int) -> None:
        self.mss = mss
        self.cwnd = self.ssthresh = self._segs * mss
