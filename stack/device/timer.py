"""The one timer of a driver: a timerfd on CLOCK_MONOTONIC, armed with absolute times.

uvloop's own timers have whole-millisecond resolution and fire early, so protocol time never goes
through `call_later`.  The clock that belongs to this timer is `time.monotonic_ns() // 1000`.  Where
the C core is not built, the system calls are made by ctypes.
"""

import ctypes
import errno
import os
from collections.abc import Callable
from typing import Final

from stack.errors import DeviceError

_CLOCK_MONOTONIC: Final = 1
_TFD_TIMER_ABSTIME: Final = 1
_US: Final = 1_000_000


class _Itimerspec(ctypes.Structure):
    """it_interval and it_value of timerfd_settime(2)."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("every_sec", "every_nsec", "sec", "nsec"))


def _open_plain() -> int:
    fd: int = ctypes.CDLL(None).timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    return fd


def _set_plain(fd: int, at_us: int) -> int:
    spec = _Itimerspec(0, 0, at_us // _US, at_us % _US * 1000)
    code: int = ctypes.CDLL(None).timerfd_settime(fd, _TFD_TIMER_ABSTIME, ctypes.byref(spec), None)
    return code


_open: Callable[[], int]
_set: Callable[[int, int], int]
try:
    from stack.device import _io
except ImportError:  # not built here
    _open, _set = _open_plain, _set_plain
else:
    _open, _set = _io.lib.ts_timer_open, _io.lib.ts_timer_set


class MonotonicTimer:
    """A timerfd.  Its descriptor `fd` is readable from the armed time on until it is armed or disarmed again."""

    __slots__ = ("fd",)

    def __init__(self) -> None:
        self.fd = _open()
        if self.fd < 0:
            raise DeviceError("the kernel gives no timerfd: too many open files?", errno.EMFILE)

    def arm(self, at_us: int) -> None:
        """Fire at `at_us` (CLOCK_MONOTONIC, microseconds); a time in the past fires at once."""
        _set(self.fd, max(at_us, 1))

    def disarm(self) -> None:
        """Do not fire."""
        _set(self.fd, 0)

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)
