"""What stands between one sans-I/O Host and the applications on an asyncio loop.

Theory of operation.  A driver lets the Host work in *passes*: input, then events to their handlers, then output.  How
input comes and when a pass is run is the business of a subclass: `DeviceDriver` has devices and the kernel's clock,
`stack.sim.driver.SimDriver` a simulated network.  All else of `aio` (transports, servers, datagrams, sockets) knows
this class only.

Handlers are the `user` objects of connections, listeners and datagram endpoints.  All calls into
application protocols come from `_dispatch`, so one `except` there keeps a broken protocol from hurting
anyone but its own connection.  `post` gives a handler event bits of our own making; they are
dispatched after the Host's, at most once per pass, so a handler that posts to itself cannot starve
the loop.

SystemExit and KeyboardInterrupt end the loop, as from any callback, from a handle of their own: the pass is finished
before, so that nobody has missed anything when the loop goes on afterwards.

Tables of handlers keep their order: when many are told of an end at once, it is the order in which they were made, and
not that of their places in memory.
"""

import asyncio
from abc import ABC, abstractmethod
from typing import NoReturn, Protocol, cast

from stack.errors import DeviceGone, HostClosed
from stack.host.host import Endpoint, Host

Ended = DeviceGone | HostClosed  # why a host has


class Handler(Protocol):
    """What the driver calls for an endpoint's events, and the end of everything."""

    def on_events(self, events: int) -> None:
        """Act on event bits (`stack.tcp.events`)."""

    def on_callback_error(self, exc: BaseException) -> None:
        """`on_events` raised: give up on this endpoint only."""

    def on_device_gone(self, exc: Ended) -> None:
        """The link is lost for good, or the host was closed; the endpoint is gone."""

    def close(self) -> None:
        """Finish what was begun, then end."""

    def abort(self) -> None:
        """End now."""


class Startable(Handler, Protocol):
    """A transport that tells its protocol of itself."""

    def start(self) -> None:
        """Call connection_made; what happens from then on is kept until `begin`."""

    def begin(self) -> int:
        """The round of the loop after `start`: the events that were kept."""


class Driver(ABC):
    """Drives `host` on `loop`.  All methods are called from the loop's thread."""

    __slots__ = (
        "_beginning",
        "_begins",
        "_closed",
        "_idle",
        "_posted",
        "handlers",
        "host",
        "in_pass",
        "is_open",
        "loop",
        "now",
    )

    def __init__(self, host: Host, loop: asyncio.AbstractEventLoop, now: int) -> None:
        self.host = host
        self.loop = loop
        self.now = now  # us; the time of the pass while there is one
        self.in_pass = False
        self.handlers: dict[Handler, None] = {}  # every open transport, listener and datagram endpoint
        self.is_open = True
        self._closed: asyncio.Future[DeviceGone | None] = loop.create_future()
        self._posted: list[tuple[Handler, int]] = []
        self._beginning: list[Startable] = []  # started in this pass
        self._begins = False  # who started before begins in the loop's next round
        self._idle: asyncio.Future[None] | None = None

    @abstractmethod
    def time(self) -> int:
        """Now, in microseconds; inside a pass the time of the pass."""

    @abstractmethod
    def schedule(self) -> None:
        """Have a pass run soon, unless one is running."""

    def run_pass(self) -> None:
        """Have a pass run now if that can be, else soon; never inside a pass."""
        self.schedule()

    @abstractmethod
    def close(self) -> None:
        """Stop: nothing is received or sent any more, and handlers are told."""

    # -- application side

    def check_process(self) -> None:  # noqa: B027  (most work in every process)
        """Raises RuntimeError in a child of the process that the driver belongs to, when it cannot work there."""

    def check_open(self) -> None:
        """Raises HostClosed, and what `check_process` does."""
        self.check_process()
        if not self.is_open:
            raise HostClosed("this AsyncHost was closed; make a new one")

    def wake(self, endpoint: object) -> None:
        """Application code did something with `endpoint`: see what it has to send."""
        self.host.wake(endpoint)
        self.schedule()

    def post(self, handler: Handler, events: int) -> None:
        """Have `handler.on_events(events)` called from a pass."""
        self._posted.append((handler, events))
        self.schedule()

    def start(self, handler: Startable) -> None:
        """Begin the life of a transport, under the same guard as its later callbacks; only inside a pass."""
        try:
            handler.start()
        except BaseException as exc:  # noqa: BLE001  (application code may raise anything)
            self._callback_failed(handler, exc)
        self._beginning.append(handler)

    def admit(self, handler: Handler) -> None:
        """`handler` begins: it is told of the end of everything, and `drained` waits for it."""
        self.handlers[handler] = None

    def release(self, handler: Handler) -> None:
        """`handler` has ended."""
        self.handlers.pop(handler, None)
        if not self.handlers and self._idle is not None:
            self._idle.set_result(None)
            self._idle = None

    def report(self, transport: Handler, protocol: asyncio.BaseProtocol, callback: str, exc: Exception) -> None:
        """Tell of an error in a callback of `protocol` after which its transport goes on."""
        self.loop.call_exception_handler(
            {
                "message": f"protocol.{callback}() failed",
                "exception": exc,
                "transport": transport,
                "protocol": protocol,
            }
        )

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

    # -- for subclasses

    def _dispatch(self, endpoints: list[Endpoint]) -> None:
        """Events to their handlers, then what was posted; who started meanwhile begins with the loop's next round."""
        self._dispatch_events(endpoints)
        if self._posted:
            self._dispatch_posted()
        if self._beginning:
            # now, behind all that the application has asked the loop for when it was told of the connections
            self.loop.call_soon(self._begin, self._beginning)
            self._beginning = []
            self._begins = True

    def _begin(self, started: list[Startable]) -> None:
        self._begins = False
        for handler in started:
            if events := handler.begin():
                self._posted.append((handler, events))
        if self.is_open:
            self.run_pass()

    def _dispatch_events(self, endpoints: list[Endpoint]) -> None:
        for endpoint in endpoints:
            handler = cast("Handler | None", endpoint.user)
            if handler is None:
                continue
            events = endpoint.take_events()
            try:
                handler.on_events(events)
            except BaseException as exc:  # noqa: BLE001  (application code may raise anything)
                self._callback_failed(handler, exc, events)

    def _dispatch_posted(self) -> None:
        posted, self._posted = self._posted, []
        for handler, events in posted:
            try:
                handler.on_events(events)
            except BaseException as exc:  # noqa: BLE001  (application code may raise anything)
                self._callback_failed(handler, exc, events)

    def _callback_failed(self, handler: Handler, exc: BaseException, events: int = 0) -> None:
        if isinstance(exc, (SystemExit, KeyboardInterrupt)):
            if events:
                self._posted.append((handler, events))  # it may not have come to all of them
            self.loop.call_soon(_leave, exc)
            return
        self.loop.call_exception_handler(
            {
                "message": f"Fatal error: a callback of {handler!r} failed.",
                "exception": exc,
                "transport": handler,
            }
        )
        handler.on_callback_error(exc)

    def _end(self, reason: DeviceGone | None) -> None:
        """Everything is over: tell who waits and who is open.  The subclass has set `is_open` to False."""
        self._closed.set_result(reason)
        gone = reason or HostClosed("this AsyncHost was closed; make a new one")
        for handler in list(self.handlers):
            try:
                handler.on_device_gone(gone)
            except BaseException as exc:  # noqa: BLE001  (application code may raise anything)
                self._callback_failed(handler, exc)
        for handler in list(self.handlers):
            self.release(handler)
        self._posted.clear()


def _leave(exc: BaseException) -> NoReturn:
    raise exc
