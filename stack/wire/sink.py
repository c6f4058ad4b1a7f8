"""Where frames go: what a Host asks of a device.  Apart from `frame`, which is compiled: sinks of any kind are not."""

from abc import abstractmethod
from typing import Protocol

from stack.wire.frame import Caps, TxFrame


class FrameSink(Protocol):
    """Where a Host puts its frames; a device, or in tests a list."""

    caps: Caps

    @abstractmethod
    def send(self, frame: TxFrame) -> bool:
        """Take one frame (copied or written before return).  False: dropped; the caller counts it."""

    @abstractmethod
    def flush(self) -> int:
        """Push out what `send` may have batched; how many wire frames of it were dropped, which the caller counts."""
