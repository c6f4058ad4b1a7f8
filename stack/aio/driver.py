"""Runs one sans-I/O Host on an asyncio event loop.

Theory of operation.  The driver owns the Host's contact with the outside: the device descriptors, the
clock and one timer.  Everything happens in *passes*:

    burst in -> host.receive -> events to their handlers -> host.poll_transmit -> device.flush -> timer

A pass begins because a device is readable, because the timer fired, or because application code
outside a pass did something (`wake`, `post`: one `call_soon` however many calls).  What protocols do
inside a pass is sent at its end, so that a request is answered without going back to the loop.

Handlers are the `user` objects of connections, listeners and datagram endpoints.  All calls into
application protocols come from `_dispatch`, so one `except` there keeps a broken protocol from hurting
anyone but its own connection.  `post` gives a handler event bits of our own making; they are
dispatched after the Host's, at most once per pass, so a handler that posts to itself cannot starve
the loop.

After a burst that brought something the driver reads a few more times before it returns to the loop
(`spin`): the answer to what was just sent is often closer than a trip through epoll.  When that stops
paying off it is left out for a while.
"""

import asyncio
import time
from typing import Any, Final, Protocol

from stack.config import NEVER
from stack.device.base import Device
from stack.device.timer import MonotonicTimer
from stack.errors import DeviceGone
from stack.host.host import Host
from stack.wire.burst import Burst

DEFAULT_SPIN: Final = 20  # empty reads
MAX_BURSTS: Final = 16  # bursts handled before the loop gets its turn
_SPIN_PATIENCE: Final = 16  # fruitless spins in a row before a rest
_SPIN_REST: Final = 64  # readable callbacks without a spin


class Handler(Protocol):
    """What the driver calls for an endpoint's events, and the end of everything."""

    def on_events(self, events: int) -> None:
        """Act on event bits (`stack.tcp.events`)."""

    def on_callback_error(self, exc: Exception) -> None:
        """`on_events` raised: give up on this endpoint only."""

    def on_device_gone(self, exc: DeviceGone) -> None:
        """The link is lost for good; the endpoint is gone."""

    def close(self) -> None:
        """Finish what was begun, then end."""

    def abort(self) -> None:
        """End now."""


class Startable(Handler, Protocol):
    """A transport that tells its protocol of itself."""

    def start(self) -> None:
        """Call connection_made, then deliver what waits."""


class _Port:
    """A device as the driver sees it."""

    __slots__ = ("device", "driver", "fd", "flush", "ifindex", "rest", "rx_burst", "scheduled", "spins_lost")

    def __init__(self, driver: "Driver", device: Device, ifindex: int) -> None:
        self.driver = driver
        self.device = device
        self.ifindex = ifindex
        self.fd = device.fileno()
        self.rx_burst = device.rx_burst
        self.flush = device.flush
        self.scheduled = False
        self.spins_lost = 0
        self.rest = 0

    def on_frames(self) -> None:
        """The device has frames: have them read in the loop's next round."""
        if not self.scheduled:
            self.scheduled = True
            self.driver.loop.call_soon(self.read)

    def read(self) -> None:
        self.scheduled = False
        self.driver.read(self)


class Driver:
    """Drives `host` on `loop`.  All methods are called from the loop's thread."""

    __slots__ = (
        "_burst",
        "_closed",
        "_flush_scheduled",
        "_idle",
        "_more",
        "_ports",
        "_posted",
        "_timer",
        "_timer_at",
        "handlers",
        "host",
        "in_pass",
        "is_open",
        "loop",
        "now",
        "spin",
    )

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop, *, spin: int = DEFAULT_SPIN) -> None:
        self.host = host
        self.loop = loop
        self.spin = spin
        self.now = self.clock()  # us; the time of the pass while there is one
        self.in_pass = False
        self.handlers: set[Handler] = set()  # every open transport, listener and datagram endpoint
        self.is_open = True
        self._closed: asyncio.Future[DeviceGone | None] = loop.create_future()
        self._burst = Burst()
        self._ports: list[_Port] = []
        self._posted: list[tuple[Handler, int]] = []
        self._flush_scheduled = False
        self._more = False  # the host wants another pass
        self._idle: asyncio.Future[None] | None = None
        self._timer = MonotonicTimer()
        self._timer_at = NEVER
        loop.add_reader(self._timer.fd, self._on_timer)

    @staticmethod
    def clock() -> int:
        """CLOCK_MONOTONIC in microseconds."""
        return time.monotonic_ns() // 1000

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

    # -- application side

    def time(self) -> int:
        """Now, in microseconds; inside a pass the time of the pass."""
        return self.now if self.in_pass else time.monotonic_ns() // 1000

    def wake(self, endpoint: object) -> None:
        """Application code did something with `endpoint`: see what it has to send."""
        self.host.wake(endpoint)
        if not self.in_pass and not self._flush_scheduled:
            self._flush_scheduled = True
            self.loop.call_soon(self._flush)

    def schedule(self) -> None:
        """Have a pass run soon, unless one is running."""
        if not self.in_pass and not self._flush_scheduled:
            self._flush_scheduled = True
            self.loop.call_soon(self._flush)

    def post(self, handler: Handler, events: int) -> None:
        """Have `handler.on_events(events)` called from a pass."""
        self._posted.append((handler, events))
        self.schedule()

    def start(self, handler: "Startable") -> None:
        """Begin the life of a transport, under the same guard as its later callbacks; only inside a pass."""
        try:
            handler.start()
        except Exception as exc:  # noqa: BLE001  (application code may raise anything)
            self._callback_failed(handler, exc)

    def release(self, handler: Handler) -> None:
        """`handler` has ended."""
        self.handlers.discard(handler)
        if not self.handlers and self._idle is not None:
            self._idle.set_result(None)
            self._idle = None

    @property
    def closed(self) -> "asyncio.Future[DeviceGone | None]":
        """Done when the driver has stopped; the result is the loss of the device, or None after `close`.

        Cancelling it hurts nobody else who waits.
        """
        return asyncio.shield(self._closed)

    async def drained(self) -> None:
        """Until no handler is left."""
        if self.handlers:
            if self._idle is None:
                self._idle = self.loop.create_future()
            await asyncio.shield(self._idle)

    def close(self) -> None:
        """Stop: nothing is read or sent any more.  Devices are closed."""
        self._shut_down(None)

    # -- passes

    def read(self, port: _Port) -> None:
        """Handle what `port` has received, until it has no more; spin a little for what comes next."""
        if not self.is_open:
            return
        host, burst, rx_burst, ifindex = self.host, self._burst, port.rx_burst, port.ifindex
        spin = self._spin_for(port)
        empty = bursts = 0
        self.in_pass = True
        try:
            while True:
                if not rx_burst(burst):
                    if empty >= spin or self._more:
                        break
                    empty += 1
                    continue
                now = self.now = time.monotonic_ns() // 1000
                host.receive(ifindex, burst, now)
                self._finish_pass(now)
                bursts += 1
                if empty:
                    empty = 0
                    port.spins_lost = -1
                if not self._ports:  # closed by a callback
                    return
                if bursts >= MAX_BURSTS:
                    port.on_frames()
                    break
        except DeviceGone as exc:
            self._shut_down(exc)
            return
        finally:
            self.in_pass = False
        port.spins_lost += 1
        self._arm()

    def _spin_for(self, port: _Port) -> int:
        """How many empty reads this callback may make."""
        if port.fd < 0:
            return 0
        if port.rest:
            port.rest -= 1
            return 0
        if port.spins_lost >= _SPIN_PATIENCE:
            port.spins_lost = _SPIN_PATIENCE - 1
            port.rest = _SPIN_REST
            return 0
        return self.spin

    def _on_timer(self) -> None:
        """The timer fired; it is set anew or disarmed, which also makes it unreadable."""
        self._timer_at = NEVER
        now = self.clock()
        for port in tuple(self._ports):
            if port.device.deadline <= now and self.is_open:
                port.device.on_timer(now)
                self.read(port)
        self._run_pass()
        if self._timer_at == NEVER:
            self._timer.disarm()

    def _flush(self) -> None:
        """Application code asked for a pass."""
        self._flush_scheduled = False
        self._run_pass()

    def _run_pass(self) -> None:
        """A pass without a burst."""
        if not self.is_open:
            return
        now = self.now = time.monotonic_ns() // 1000
        self.in_pass = True
        try:
            self._finish_pass(now)
        except DeviceGone as exc:
            self._shut_down(exc)
            return
        finally:
            self.in_pass = False
        self._arm()

    def _finish_pass(self, now: int) -> None:
        host = self.host
        if host.deadline <= now:
            host.on_timer(now)
        endpoints = host.poll_events()
        if endpoints or self._posted:
            self._dispatch(endpoints)
        self._more = host.poll_transmit(now)
        for port in self._ports:
            port.flush()

    def _dispatch(self, endpoints: list[Any]) -> None:
        for endpoint in endpoints:
            handler: Handler | None = endpoint.user
            if handler is None:
                continue
            try:
                handler.on_events(endpoint.take_events())
            except Exception as exc:  # noqa: BLE001  (application code may raise anything)
                self._callback_failed(handler, exc)
        if not self._posted:
            return
        posted, self._posted = self._posted, []
        for handler, events in posted:
            try:
                handler.on_events(events)
            except Exception as exc:  # noqa: BLE001  (application code may raise anything)
                self._callback_failed(handler, exc)

    def _callback_failed(self, handler: Handler, exc: Exception) -> None:
        self.loop.call_exception_handler(
            {
                "message": f"Fatal error: a callback of {handler!r} failed.",
                "exception": exc,
                "transport": handler,
            }
        )
        handler.on_callback_error(exc)

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
        self._closed.set_result(reason)
        self.loop.remove_reader(self._timer.fd)
        self._timer.close()
        self._timer_at = 0  # never armed again
        for port in self._ports:
            if port.fd >= 0:
                self.loop.remove_reader(port.fd)
            else:
                port.device.on_readable = None
            port.device.close()
        self._ports.clear()
        gone = reason or DeviceGone("the stack was shut down")
        for handler in list(self.handlers):
            try:
                handler.on_device_gone(gone)
            except Exception as exc:  # noqa: BLE001  (application code may raise anything)
                self._callback_failed(handler, exc)
        for handler in list(self.handlers):
            self.release(handler)
        self._posted.clear()
