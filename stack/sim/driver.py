"""Stands between one Host and the simulated network: asyncio's applications on virtual time.

Theory of operation.  To the network a SimDriver is a host: frames go in, `deadline` says when it wants to be called.
To transports, servers and sockets it is a Driver like that of a real device.  The network's `HostNode` asks for events
where a device driver would dispatch them, so that is when handlers are called, under the same guard: a protocol that
raises hurts its own connection only.  What is posted is due at once.

Handlers run in a context of the driver's own, in which its host is the active one (`stack.aio.active`): what they
start belongs to that host.

A driver that has stopped, by `close` or because its host crashed, hears and says nothing any more.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context

from stack.aio.driver import Driver
from stack.config import NEVER
from stack.errors import DeviceGone
from stack.host.host import Host
from stack.sim.clock import VirtualClock
from stack.wire.burst import Burst
from stack.wire.sink import FrameSink


class SimDriver(Driver):
    """Drives `host`, and is a `SimHost` for `Network.add_host`.  See the head of this file."""

    __slots__ = ("_clock", "context", "crashed", "name")

    def __init__(self, name: str, host: Host, loop: asyncio.AbstractEventLoop, clock: VirtualClock) -> None:
        super().__init__(host, loop, clock.now)
        self.name = name
        self._clock = clock
        self.context: Context = copy_context()  # that of all handlers
        self.crashed = False

    # -- what applications use

    def time(self) -> int:
        """The virtual time, in microseconds."""
        return self._clock.now

    def wake(self, endpoint: object) -> None:
        """Application code did something with `endpoint`."""
        self.host.wake(endpoint)  # which calls `on_wake`

    def schedule(self) -> None:
        """Have the network let the host work, at this very time."""
        wake = self.host.on_wake
        if wake is not None:
            wake()

    def close(self) -> None:
        """Stop: nothing is received or sent any more."""
        self._stop(None)

    def crash(self) -> None:
        """The host is no more: nobody outside hears of it, and who waits on it gets DeviceGone."""
        self.crashed = True
        self._stop(DeviceGone(f"host {self.name} has crashed"))

    def _stop(self, reason: DeviceGone | None) -> None:
        if not self.is_open:
            return
        self.is_open = False
        self.on_wake = None
        if self.in_pass:
            self._end(reason)
        else:
            self.context.run(self._end, reason)

    # -- what the network uses

    @property
    def on_wake(self) -> Callable[[], None] | None:
        """What to call when the application used an endpoint."""
        return self.host.on_wake

    @on_wake.setter
    def on_wake(self, wake: Callable[[], None] | None) -> None:
        self.host.on_wake = wake

    @property
    def deadline(self) -> int:
        """When `on_timer` must be called, in microseconds."""
        if not self.is_open:
            return NEVER
        return 0 if self._posted else self.host.deadline

    def add_interface(self, name: str, sink: FrameSink, mac: bytes, mtu: int, now: int) -> int:
        """A new interface; its index."""
        return self.host.add_interface(name, sink, mac, mtu, now)

    def set_mtu(self, ifindex: int, mtu: int) -> None:
        """An interface has another MTU now."""
        self.host.set_mtu(ifindex, mtu)

    def receive(self, ifindex: int, burst: Burst, now: int) -> None:
        """A burst came in."""
        if self.is_open:
            self.host.receive(ifindex, burst, now)

    def on_timer(self, now: int) -> None:
        """Do what fell due."""
        if self.is_open and self.host.deadline <= now:
            self.host.on_timer(now)

    def poll_events(self) -> tuple[()]:
        """Nothing for the network: handlers hear of their events here."""
        if self.is_open:
            endpoints = self.host.poll_events()
            if endpoints or self._posted:
                self.in_pass = True
                try:
                    self.context.run(self._dispatch, endpoints)
                finally:
                    self.in_pass = False
        return ()

    def poll_transmit(self, now: int) -> bool:
        """Send what may be sent; True when there is more to do."""
        return self.is_open and self.host.poll_transmit(now)

    def check_invariants(self) -> None:
        """Raise AssertionError when something is inconsistent."""
        if self.is_open:
            self.host.check_invariants()


__all__ = ["SimDriver"]
