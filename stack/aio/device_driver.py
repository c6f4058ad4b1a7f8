"""Runs one sans-I/O Host on an asyncio event loop, with devices.

Theory of operation.  The driver owns the Host's contact with the outside: the device descriptors, the
clock and one timer.  Everything happens in *passes*:

    burst in -> host.receive -> events to their handlers -> host.poll_transmit -> device.flush -> timer

Bursts that fill the pool are answered together, ANSWER_AFTER of them at most: handlers hear of each, while its data is
in the cache, and what there is to be sent leaves when no more waits.  An ACK makes the peer's kernel send, on our core
where it is this machine's, and wakes who waits there.

A pass begins because a device is readable, because the timer fired, or because application code
outside a pass did something (`wake`, `post`: one `call_soon` however many calls).  What protocols do
inside a pass is sent at its end, so that a request is answered without going back to the loop.

The answer to what was just sent is often closer than a trip through sleep and back: after a burst the loop is kept
awake for a while (`spin_us`, see `polling`).

A forked child has the descriptors too, and the parent's loop: whatever it did with them would be done to the parent.
So in the child a driver has stopped, and what is asked of it raises RuntimeError.
"""

import asyncio
import os
import time
from typing import Final, NoReturn, cast
from weakref import WeakSet

from mypy_extensions import mypyc_attr

from stack.aio.driver import Driver
from stack.aio.polling import POLL_US, Polling
from stack.config import NEVER
from stack.device.base import Device
from stack.device.timer import MonotonicTimer
from stack.errors import DeviceGone
from stack.host.host import Host
from stack.stats import DropReason
from stack.wire.burst import Burst

MAX_BURSTS: Final = 16  # bursts handled before the loop gets its turn
ANSWER_AFTER: Final = 8  # full bursts: 4 MiB, about half a millisecond

_FORKED: Final = (
    "this host was made before os.fork() and belongs to the parent process: make a new AsyncHost in the child"
)

# glibc gives what is free at the top of the heap back to the kernel when it is more than 128 KiB, and has it anew, page
# fault by page fault, for the next burst of super-segments.  A block that had a mapping of its own and is freed raises
# that limit to twice its size (mallopt(3), M_MMAP_THRESHOLD).
_HEAP_BYTES: Final = 4 << 20

_open: "WeakSet[_Open]" = WeakSet()


def monotonic_us() -> int:
    """CLOCK_MONOTONIC in microseconds."""
    return time.monotonic_ns() // 1000


class _Port:
    """A device as the driver sees it."""

    __slots__ = (
        "awake",
        "device",
        "driver",
        "fd",
        "ifindex",
        "polling",
        "scheduled",
    )

    def __init__(self, driver: "DeviceDriver", device: Device, ifindex: int) -> None:
        self.driver = driver
        self.device = device
        self.ifindex = ifindex
        self.fd = device.fileno()
        self.scheduled = False
        self.awake = False
        self.polling = Polling(driver.spin_us)

    def on_frames(self) -> None:
        """The device has frames: have them read in the loop's next round."""
        if not self.scheduled:
            self.scheduled = True
            self.driver.loop.call_soon(self.read)

    def read(self) -> None:
        self.scheduled = False
        self.driver.read(self)

    def stay_awake(self) -> None:
        """Have the loop go round instead of sleeping: it asks the device with each round."""
        if not self.awake:
            self.awake = True
            self.driver.loop.call_soon(self._on_round)

    def _on_round(self) -> None:
        self.awake = False
        if self.driver.is_open and self.polling.on_dry(time.monotonic_ns() // 1000, had_frames=False):
            self.stay_awake()


class _ForkedLoop:
    """The loop of a driver in a forked child: whatever is asked of it raises."""

    __slots__ = ()

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(_FORKED)


@mypyc_attr(native_class=False)
class _Open:
    """A driver that is open, in a set that does not keep it.

    From Python 3.12 on nothing refers weakly to an object of a compiled class; this one is interpreted.
    """

    __slots__ = ("__weakref__", "driver")

    def __init__(self, driver: "DeviceDriver") -> None:
        self.driver = driver


class DeviceDriver(Driver):
    """Drives `host` on `loop`, which need not run yet.  All methods are called from the loop's thread.

    `spin_us`: for so long at most the loop is kept awake for the next burst; 0: never.
    """

    __slots__ = (
        "_burst",
        "_flush_scheduled",
        "_mark",
        "_more",
        "_ports",
        "_timer",
        "_timer_at",
        "spin_us",
    )

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop, *, spin_us: int = POLL_US) -> None:
        super().__init__(host, loop, monotonic_us())
        bytearray(_HEAP_BYTES)  # freed at once
        self.spin_us = spin_us
        self._burst = Burst()
        self._ports: list[_Port] = []
        self._flush_scheduled = False
        self._more = False  # the host wants another pass
        self._timer = MonotonicTimer()
        self._timer_at = NEVER
        loop.add_reader(self._timer.fd, self._on_timer)
        self._mark = _Open(self)
        _open.add(self._mark)

    # -- devices

    def attach(self, device: Device) -> int:
        """Give the host an interface on `device`; returns its ifindex."""
        ifindex = self.host.add_interface(device.name, device, device.mac, device.mtu, self.time())
        port = _Port(self, device, ifindex)
        self._ports.append(port)
        if port.fd >= 0:
            self.loop.add_reader(port.fd, port.read)
        else:
            device.on_readable = port.on_frames
            port.on_frames()
        self.schedule()
        return ifindex

    def devices(self) -> dict[int, Device]:
        """The devices by the index of their interface."""
        return {port.ifindex: port.device for port in self._ports}

    def exchange(self, ifindex: int, device: Device) -> None:
        """From now on interface `ifindex` is on `device`, which wraps what it was on, or was wrapped around it.

        Descriptor and capabilities are the same: who watches frames comes and goes like this, and nothing is in the
        way while nobody does.
        """
        port = next(port for port in self._ports if port.ifindex == ifindex)
        if device.fileno() != port.fd:
            raise ValueError(f"{device.name} is another device than that of interface {ifindex}")
        device.on_readable = port.on_frames if port.fd < 0 else None
        port.device = device
        self.host.set_sink(ifindex, device)

    # -- application side

    def time(self) -> int:
        """Now, in microseconds; inside a pass the time of the pass."""
        return self.now if self.in_pass else time.monotonic_ns() // 1000

    def wake(self, endpoint: object) -> None:
        """Application code did something with `endpoint`: see what it has to send."""
        self.host.wake(endpoint)
        if not self.in_pass and not self._flush_scheduled:
            self.loop.call_soon(self._flush)
            self._flush_scheduled = True  # not when that raises: from another thread, or in a forked child

    def schedule(self) -> None:
        """Have a pass run soon, unless one is running."""
        if not self.in_pass and not self._flush_scheduled:
            self.loop.call_soon(self._flush)
            self._flush_scheduled = True  # not when that raises: from another thread, or in a forked child

    def check_process(self) -> None:
        """Raises RuntimeError in a child of the process that the driver belongs to."""
        if isinstance(self.loop, _ForkedLoop):
            raise RuntimeError(_FORKED)  # noqa: TRY004  (the process is wrong, not the type)

    def close(self) -> None:
        """Stop: nothing is read or sent any more.  Devices are closed."""
        self._shut_down(None)

    # -- passes

    def read(self, port: _Port) -> None:
        """Handle what `port` has received, until it has no more."""
        if not self.is_open:
            self.check_process()
            return
        host, burst, ifindex = self.host, self._burst, port.ifindex
        bursts = 0
        is_answered = True
        self.in_pass = True
        burst.more = False  # not every device says so
        try:
            while port.device.rx_burst(burst):
                now = self.now = time.monotonic_ns() // 1000
                if not bursts:
                    port.polling.on_frames(now)
                host.receive(ifindex, burst, now)
                self._tell(now)
                bursts += 1
                is_answered = not (burst.more or self._begins) or bursts % ANSWER_AFTER == 0
                if is_answered:
                    self._answer(now)
                if not self._ports:  # closed by a callback
                    return
                if bursts >= MAX_BURSTS:
                    port.on_frames()
                    break
            if not is_answered and not self._begins:
                self._answer(self.now)
        except DeviceGone as exc:
            self._shut_down(exc)
            return
        finally:
            self.in_pass = False
        if bursts and port.fd >= 0 and port.polling.on_dry(time.monotonic_ns() // 1000, had_frames=True):
            port.stay_awake()
        self._arm()

    def _on_timer(self) -> None:
        """The timer fired; it is set anew or disarmed, which also makes it unreadable."""
        self._timer_at = NEVER
        now = monotonic_us()
        for port in tuple(self._ports):
            if port.device.deadline <= now and self.is_open:
                port.device.on_timer(now)
                self.read(port)
        self.run_pass()
        if self._timer_at == NEVER:
            self._timer.disarm()

    def _flush(self) -> None:
        """Application code asked for a pass."""
        self._flush_scheduled = False
        self.run_pass()

    def run_pass(self) -> None:
        """A pass without a burst."""
        if not self.is_open:
            self.check_process()
            return
        now = self.now = time.monotonic_ns() // 1000
        self.in_pass = True
        try:
            self._tell(now)
            self._answer(now)
        except DeviceGone as exc:
            self._shut_down(exc)
            return
        finally:
            self.in_pass = False
        self._arm()

    def _tell(self, now: int) -> None:
        """Handlers of what has happened."""
        host = self.host
        if host.deadline <= now:
            host.on_timer(now)
        endpoints = host.poll_events()
        if endpoints or self._posted:
            self._dispatch(endpoints)

    def _answer(self, now: int) -> None:
        """Send what there is to be sent."""
        host = self.host
        self._more = host.poll_transmit(now)
        for port in self._ports:
            if lost := port.device.flush():
                host.stats.drops[DropReason.TX_DEVICE_FULL] += lost

    def _arm(self) -> None:
        """Set the timer when something is due earlier than it would fire; schedule what is left over."""
        deadline = self.host.deadline
        for port in self._ports:
            deadline = min(deadline, port.device.deadline)
        if deadline < self._timer_at:
            self._timer_at = deadline
            self._timer.arm(deadline)
        if self._posted or self._more:
            self.schedule()

    # -- the end

    def _shut_down(self, reason: DeviceGone | None) -> None:
        if not self.is_open:
            return
        self.is_open = False
        _open.discard(self._mark)
        self.loop.remove_reader(self._timer.fd)
        self._timer.close()
        self._timer_at = 0  # never armed again
        for port in self._ports:
            if port.fd >= 0:
                self.loop.remove_reader(port.fd)
            else:
                port.device.on_readable = None
            if reason is None:
                port.device.flush()
            port.device.close()
        self._ports.clear()
        if reason is not None:
            self._tell_of(reason)
        self._end(reason)

    def _tell_of(self, reason: DeviceGone) -> None:
        """Servers may have nobody who waits for their end."""
        message = (
            f"{reason.strerror}: the host on it has ended, with its connections and servers, and its addresses are the "
            "kernel's; open the device anew and make a new AsyncHost, or start the program again"
        )
        self.loop.call_exception_handler({"message": message, "exception": reason.with_traceback(None)})

    def on_forked(self) -> None:
        """We are in a child of the process that this driver belongs to, and leave everything that it shares alone.

        Not even its epoll may be told to forget a descriptor: it is the parent's.
        """
        self.is_open = self.in_pass = self._flush_scheduled = False
        self._ports.clear()
        self.loop = cast("asyncio.AbstractEventLoop", _ForkedLoop())


def _after_fork() -> None:
    for mark in list(_open):
        mark.driver.on_forked()
    _open.clear()


os.register_at_fork(after_in_child=_after_fork)
