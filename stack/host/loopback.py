"""Datagrams to our own addresses: they turn round here and never reach a wire (RFC 1122 §3.2.1.3 (g), IP-12)."""

from typing import Final

from stack.wire import accel
from stack.wire.burst import Burst
from stack.wire.frame import Caps, TxFrame
from stack.wire.sink import FrameSink

MAX_PENDING: Final = 256
LOOPBACK_MTU: Final = 65_535


class LoopBurst(Burst):
    """One frame that this host sent to itself: only such may have a source of ours."""

    __slots__ = ()


class LoopSink(FrameSink):
    """Turns each frame into a LoopBurst in `out`, which the Host feeds to its own `receive`."""

    __slots__ = ("_ifindex", "_mac", "_out")

    def __init__(self, ifindex: int, mac: bytes, out: list[tuple[int, Burst]]) -> None:
        self.caps = Caps(csum=True)
        self._ifindex = ifindex
        self._mac = mac
        self._out = out

    def send(self, frame: TxFrame) -> bool:
        """Queue one frame; bounded."""
        for item in accel.finish(frame, self.caps):
            if len(self._out) >= MAX_PENDING:
                return False
            burst = LoopBurst(0, 1)
            accel.load_burst(burst, (item,), self._mac)
            self._out.append((self._ifindex, burst))
        return True

    def flush(self) -> int:
        """Nothing is batched."""
        return 0
