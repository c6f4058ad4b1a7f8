"""The one timer of a driver: a timerfd on CLOCK_MONOTONIC, armed with absolute times.

uvloop's own timers have whole-millisecond resolution and fire early, so protocol time never goes
through `call_later`.  The clock that belongs to this timer is `time.monotonic_ns() // 1000`.
"""

import ctypes
import os
from typing import Final

from stack.errors import DeviceError

_CLOCK_MONOTONIC: Final = 1
_TFD_TIMER_ABSTIME: Final = 1
_TFD_FLAGS: Final = os.O_NONBLOCK | os.O_CLOEXEC
_US: Final = 1_000_000


class _Timespec(ctypes.Structure):
    _fields_ = (("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long))


class _Itimerspec(ctypes.Structure):
    _fields_ = (("it_interval", _Timespec), ("it_value", _Timespec))


_libc = ctypes.CDLL(None, use_errno=True)


class MonotonicTimer:
    """A timerfd.  Its descriptor is readable from the armed time on until it is armed or disarmed again."""

    __slots__ = ("_spec", "fd")

    def __init__(self) -> None:
        self._spec = _Itimerspec()
        self.fd: int = _libc.timerfd_create(_CLOCK_MONOTONIC, _TFD_FLAGS)
        if self.fd < 0:
            code = ctypes.get_errno()
            raise DeviceError(f"timerfd_create: {os.strerror(code)}", code)

    def arm(self, at_us: int) -> None:
        """Fire at `at_us` (CLOCK_MONOTONIC, us); a time in the past fires at once."""
        self._set(max(at_us, 1))

    def disarm(self) -> None:
        """Do not fire."""
        self._set(0)

    def _set(self, at_us: int) -> None:
        value = self._spec.it_value
        value.tv_sec, rest = divmod(at_us, _US)
        value.tv_nsec = rest * 1000
        _libc.timerfd_settime(self.fd, _TFD_TIMER_ABSTIME, ctypes.byref(self._spec), None)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)
