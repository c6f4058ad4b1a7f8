"""Listening endpoints, one or several behind one object with the interface of asyncio.Server.

Theory of operation.  A StackServer has *places*: each is a Listening, a listener of a host, which takes its port when
it is made and accepts once `start` is called.  A server of addresses that are partly the kernel's has also the base
loop's own server for those (`base`), and does everything to both.  A place ends with the server, or alone when its
host is closed or loses its link; the server is closed with its last place.
"""

import asyncio
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, Self

from stack.aio import tls
from stack.aio.driver import Driver, Ended
from stack.aio.sockets import ListenSocket
from stack.aio.transports import StackTransport
from stack.errors import HostClosed
from stack.tcp.connection import Connection
from stack.tcp.listener import Listener

# Makes the transport of an accepted connection.
Accept = Callable[[Connection, "StackServer"], StackTransport]

# From Python 3.12 on asyncio's `wait_closed` waits for the connections of a closed server; before, it returned at once.
WAITS_FOR_CONNECTIONS: Final = sys.version_info >= (3, 12)


def acceptor(driver: Driver, protocol_factory: Callable[[], asyncio.BaseProtocol], secure: tls.Tls | None) -> Accept:
    """What makes the transports of a server: one of `protocol_factory` on top, with TLS between when `secure`."""

    def accept(conn: Connection, server: "StackServer") -> StackTransport:
        protocol = protocol_factory()
        if secure is not None:
            protocol = secure.wrap(driver.loop, protocol)
        return StackTransport(driver, conn, protocol, server=server)

    return accept


class Listening:
    """One listener of a server; what the driver calls."""

    __slots__ = ("_accept", "_driver", "_listener", "_server", "socket")

    def __init__(self, driver: Driver, listener: Listener, accept: Accept) -> None:
        self._driver = driver
        self._listener = listener
        self._accept = accept
        self._server: StackServer | None = None
        self.socket = ListenSocket(listener, driver)
        listener.user = self
        driver.admit(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.socket!r}>"

    def belong_to(self, server: "StackServer") -> None:
        """`server` takes what is accepted."""
        self._server = server

    def start(self) -> None:
        """Begin to accept connections."""
        self._listener.accepting = True

    def stop(self) -> None:
        """Give the port back; what was not accepted is reset."""
        listener, driver = self._listener, self._driver
        if not listener.closed:
            listener.user = None
            self.socket.retire()
            driver.host.unlisten(listener, driver.time())
            driver.release(self)
            driver.schedule()

    # -- the driver's calls

    def on_events(self, events: int) -> None:  # noqa: ARG002  (ACCEPTABLE is the only one)
        """Connections wait to be accepted."""
        while (server := self._server) is not None and (conn := self._listener.accept()) is not None:
            try:
                transport = self._accept(conn, server)
            except BaseException as exc:
                conn.abort(self._driver.time())
                self._driver.wake(conn)
                if isinstance(exc, (SystemExit, KeyboardInterrupt)):
                    raise
                self._driver.loop.call_exception_handler({"message": "accepting a connection failed", "exception": exc})
                continue
            if self.socket.linger[0]:
                transport.get_extra_info("socket").inherit(self.socket)
            server.attach(transport)
            self._driver.start(transport)

    def on_callback_error(self, exc: BaseException) -> None:
        """Nothing of a listener's own can be given up."""

    def on_device_gone(self, exc: Ended) -> None:
        """The link is lost for good, or the host was closed."""
        self._leave(exc)

    def close(self) -> None:
        """The host is closed."""
        self._leave(HostClosed("the AsyncHost of this server was closed; make a new one"))

    def abort(self) -> None:
        """The same as close."""
        self.close()

    def _leave(self, reason: Ended) -> None:
        self.stop()
        server, self._server = self._server, None
        if server is not None:
            server.drop(self, reason)


class StackServer(asyncio.AbstractServer):
    """Accepts connections until it is closed.  `base` is the base loop's server of the addresses that are the kernel's.

    `wait_closed` is that of the running Python: from 3.12 on it waits for the connections of the server, too.
    """

    __slots__ = ("_base", "_closed", "_connections", "_forever", "_loop", "_places", "_serving", "_waiters")

    def __init__(self, loop: asyncio.AbstractEventLoop, places: Sequence[Listening], base: Any = None) -> None:
        self._loop = loop
        self._places = list(places)
        self._base = base
        self._connections: dict[StackTransport, None] = {}  # in the order in which they came
        self._serving = False
        self._closed = False
        self._waiters: list[asyncio.Future[None]] = []
        self._forever: asyncio.Future[None] | None = None
        for place in places:
            place.belong_to(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets!r}>"

    # -- its places and connections

    def attach(self, transport: StackTransport) -> None:
        """`transport` was accepted."""
        self._connections[transport] = None

    def detach(self, transport: StackTransport) -> None:
        """`transport` has called connection_lost."""
        self._connections.pop(transport, None)
        if self._closed and not self._connections:
            self._wake_waiters()

    def drop(self, place: Listening, reason: Ended) -> None:
        """`place` has ended; with the last one the server has, and a waiting `serve_forever` raises the `reason`."""
        self._places.remove(place)
        if self._places or self._base is not None:
            return
        if self._forever is not None and not self._forever.done():
            self._forever.set_exception(reason)
        self.close()

    def _wake_waiters(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    # -- asyncio.Server

    @property
    def sockets(self) -> tuple[Any, ...]:
        """Socket-like objects with `getsockname`, the kernel's first; none once the server is closed."""
        if self._closed:
            return ()
        kernel = self._base.sockets if self._base is not None else ()
        return (*kernel, *(place.socket for place in self._places))

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop the server runs on."""
        return self._loop

    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return self._serving

    async def start_serving(self) -> None:
        """Begin to accept connections; nothing if it did.  Raises RuntimeError when closed."""
        if self._closed:
            raise RuntimeError(f"server {self!r} is closed")
        if self._base is not None:
            await self._base.start_serving()
        if not self._serving:
            self._serving = True
            for place in self._places:
                place.start()

    async def serve_forever(self) -> None:
        """Accept until cancelled or closed, and then raise CancelledError; when the last host that it was on has ended,
        DeviceGone (its device was lost) or HostClosed.
        """
        if self._forever is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self._forever = forever = self._loop.create_future()
        try:
            await self.start_serving()
            await forever
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise
        finally:
            self._forever = None

    def close(self) -> None:
        """Stop accepting, and give the ports back.  Accepted connections live on."""
        if self._closed:
            return
        self._closed = True
        self._serving = False
        if self._base is not None:
            self._base.close()
        for place in self._places:
            place.stop()
        if self._forever is not None and not self._forever.done():
            self._forever.cancel()
        if not self._connections:
            self._wake_waiters()

    def close_clients(self) -> None:
        """Close every accepted connection (of the kernel's only where the base loop's server can)."""
        for transport in list(self._connections):
            transport.close()
        if hasattr(self._base, "close_clients"):
            self._base.close_clients()

    def abort_clients(self) -> None:
        """Abort every accepted connection (of the kernel's only where the base loop's server can)."""
        for transport in list(self._connections):
            transport.abort()
        if hasattr(self._base, "abort_clients"):
            self._base.abort_clients()

    async def wait_closed(self) -> None:
        """Until the server is closed, and its last connection gone; before Python 3.12 nothing is waited for once the
        server is closed.
        """
        if not self._closed or (WAITS_FOR_CONNECTIONS and self._connections):
            waiter = self._loop.create_future()
            self._waiters.append(waiter)
            await waiter
        if self._base is not None:
            await self._base.wait_closed()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()
        await self.wait_closed()
