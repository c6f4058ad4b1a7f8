"""A listening endpoint, with the interface of asyncio.Server."""

import asyncio
from collections.abc import Callable
from typing import Self

from stack.aio.driver import Driver
from stack.aio.sockets import StackSocket, sockaddr
from stack.aio.transports import StackTransport
from stack.errors import DeviceGone
from stack.tcp.connection import Connection
from stack.tcp.listener import Listener

# Makes the transport of an accepted connection.
Accept = Callable[[Connection, "StackServer"], StackTransport]


class StackServer(asyncio.AbstractServer):
    """Accepts connections until it is closed.  Made by AsyncHost.create_server.

    As in Python 3.12 and later, `wait_closed` waits for the connections of the server too.
    """

    __slots__ = ("_accept", "_closed", "_connections", "_driver", "_listen", "_listener", "_serving", "_waiters")

    def __init__(self, driver: Driver, listen: Callable[[], Listener], accept: Accept) -> None:
        self._driver = driver
        self._listen = listen
        self._accept = accept
        self._listener: Listener | None = None
        self._connections: dict[StackTransport, None] = {}  # in the order in which they came
        self._closed = False
        self._waiters: list[asyncio.Future[None]] = []
        self._serving: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} sockets={self.sockets!r}>"

    # -- events

    def on_events(self, events: int) -> None:  # noqa: ARG002  (ACCEPTABLE is the only one)
        """The driver's call: connections wait to be accepted."""
        while self._listener is not None and (conn := self._listener.accept()) is not None:
            try:
                transport = self._accept(conn, self)
            except Exception as exc:  # noqa: BLE001  (application code may raise anything)
                self._driver.loop.call_exception_handler({"message": "accepting a connection failed", "exception": exc})
                conn.abort(self._driver.time())
                self._driver.wake(conn)
                continue
            self._connections[transport] = None
            self._driver.start(transport)

    def on_callback_error(self, exc: Exception) -> None:
        """Nothing of a server's own can be given up."""

    def on_device_gone(self, exc: DeviceGone) -> None:
        """The link is lost for good; a waiting `serve_forever` raises."""
        if self._serving is not None and not self._serving.done():
            self._serving.set_exception(exc)
        self.close()

    def detach(self, transport: StackTransport) -> None:
        """`transport` has called connection_lost."""
        self._connections.pop(transport, None)
        if self._closed and not self._connections:
            self._wake_waiters()

    def _wake_waiters(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    # -- asyncio.Server

    @property
    def sockets(self) -> tuple[StackSocket, ...]:
        """One socket-like object with `getsockname`, none when not listening."""
        listener = self._listener
        return () if listener is None else (StackSocket(sockaddr(listener.local_addr, listener.local_port)),)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The loop the server runs on."""
        return self._driver.loop

    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return self._listener is not None

    def listen(self) -> None:
        """Begin to accept connections; nothing if it did.  Raises AddressInUse, AddressNotAvailable."""
        if self._closed:
            raise RuntimeError(f"server {self!r} is closed")
        if self._listener is None:
            self._listener = self._listen()
            self._listener.user = self
            self._driver.admit(self)

    async def start_serving(self) -> None:
        """Begin to accept connections; nothing if it did.  Raises AddressInUse, AddressNotAvailable."""
        self.listen()

    async def serve_forever(self) -> None:
        """Accept until cancelled; then close.  Raises DeviceGone when the link is lost."""
        if self._serving is not None:
            raise RuntimeError(f"server {self!r} is already being awaited on serve_forever()")
        self.listen()
        self._serving = self._driver.loop.create_future()
        try:
            await self._serving
        except asyncio.CancelledError:
            self.close()
            await self.wait_closed()
            raise
        finally:
            self._serving = None

    def close(self) -> None:
        """Stop accepting.  Accepted connections live on."""
        if self._closed:
            return
        self._closed = True
        if self._listener is not None:
            self._listener.user = None
            self._driver.host.unlisten(self._listener, self._driver.time())
            self._listener = None
            self._driver.release(self)
            self._driver.schedule()
        if self._serving is not None and not self._serving.done():
            self._serving.cancel()
        if not self._connections:
            self._wake_waiters()

    def abort(self) -> None:
        """The same as close."""
        self.close()

    def close_clients(self) -> None:
        """Close every accepted connection."""
        for transport in list(self._connections):
            transport.close()

    def abort_clients(self) -> None:
        """Reset every accepted connection."""
        for transport in list(self._connections):
            transport.abort()

    async def wait_closed(self) -> None:
        """Until the server is closed and its last connection gone."""
        if self._closed and not self._connections:
            return
        waiter = self._driver.loop.create_future()
        self._waiters.append(waiter)
        await waiter

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self.close()
        await self.wait_closed()
