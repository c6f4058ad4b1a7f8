"""What a Host needs of a network device.

Theory of operation.  A driver calls `rx_burst` until it returns 0, gives each burst to the Host, lets the
Host `send` what it has to say, then calls `flush`.  A device tells that frames came either by `fileno()`
getting readable or by calling `on_readable`.  A device that works on its own time (a fault device holds
frames back) sets `deadline`; the driver calls `on_timer` when that time has come, then reads again: frames
that fell due wait in `rx_burst`.
"""

from collections.abc import Callable

from mypy_extensions import mypyc_attr

from stack.config import NEVER
from stack.wire.burst import Burst
from stack.wire.frame import Caps
from stack.wire.sink import FrameSink


@mypyc_attr(allow_interpreted_subclasses=True)
class Device(FrameSink):
    """A network interface.  `mtu` is the most bytes of an IP packet that it carries.

    `deadline` (microseconds; NEVER if there is none) may change with every call of the device.
    """

    __slots__ = ("deadline", "mac", "mtu", "name", "on_readable")

    def __init__(self, name: str, mac: bytes, mtu: int, caps: Caps) -> None:
        self.name = name
        self.mac = mac
        self.mtu = mtu
        self.caps = caps
        self.deadline = NEVER
        self.on_readable: Callable[[], None] | None = None

    def fileno(self) -> int:
        """The descriptor to watch for reading, or -1: then `on_readable` is called."""
        return -1

    def rx_burst(self, burst: Burst) -> int:
        """Fill `burst`; rows filled, 0 when nothing waits.  Raises DeviceGone."""
        raise NotImplementedError

    def on_timer(self, now: int) -> None:
        """Do what fell due at `now` (microseconds); call `rx_burst` afterwards."""

    def close(self) -> None:
        """Give the device back; safe to call twice."""
        raise NotImplementedError
