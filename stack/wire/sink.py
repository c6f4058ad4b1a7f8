"""Where frames go: what a Host asks of a device."""

from mypy_extensions import mypyc_attr

from stack.wire.burst import Burst
from stack.wire.frame import Caps, TxFrame
from stack.wire.passing import load


@mypyc_attr(allow_interpreted_subclasses=True)
class FrameSink:
    """Where a Host puts its frames; a device, or in tests a list.  `caps` belongs to the object, not to its class."""

    __slots__ = ("caps",)

    caps: Caps

    def send(self, frame: TxFrame) -> bool:
        """Take one frame (copied or written before return).  False: dropped; the caller counts it."""
        raise NotImplementedError

    def flush(self) -> int:
        """Push out what `send` may have batched; how many wire frames of it were dropped, which the caller counts."""
        raise NotImplementedError

    def pass_on(self, burst: Burst, first: int, count: int, link: bytes) -> int:
        """Send `count` received frames on, from row `first` of `burst`: `link` for both addresses, the TTL one less.

        Returns how many were dropped, which the caller counts.  The frames in the burst may be changed.
        """
        frame, lost = TxFrame(), 0
        for index in range(first, first + count):
            load(frame, burst, index, link)
            if not self.send(frame):
                lost += 1
        return lost
