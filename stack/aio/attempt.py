r"""A connection of the stack that nobody reads yet: being opened, or open and not given to a protocol.

Theory of operation.  An Attempt is the `user` of its Connection from `Host.connect` on.

    connecting -> connected -> adopted by a transport
         \___________\________ ended (refused, reset, aborted, link lost)

What the connection has to tell after CONNECTED waits here, and the data in the connection.  `adopt` makes
the transport, tells its protocol, and has all that waits dispatched by a pass, so later: whoever awaited the
connection goes on before the protocol hears of data, as with a kernel socket, of which asyncio's loop reads
after it has woken who waits.  Several Attempts may race for one protocol, which then knows only the winner.

An Attempt that is no longer wanted must be aborted; the peer sees a reset.
"""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from stack.aio.driver import Driver, Ended
from stack.aio.sockets import TcpSocket
from stack.aio.tls import Tls, app_transport
from stack.aio.transports import StackTransport
from stack.errors import ConnectionAborted, HostClosed, StackError
from stack.tcp.connection import Connection
from stack.tcp.events import CLOSED, CONNECTED
from stack.wire.addr import format_addr

P = TypeVar("P", bound=asyncio.BaseProtocol)


def connect_failed(error: Exception, addr: int, port: int) -> Exception:
    """`error` with where to, in asyncio's words."""
    if not isinstance(error, StackError):
        return error
    reason = error.strerror or str(error)
    return type(error)(f"Connect call failed ({format_addr(addr)!r}, {port}): {reason}", error.errno)


class Attempt:
    """See the head of this file.  Takes `conn` as `Host.connect` returned it."""

    __slots__ = ("_connected", "_gone", "conn", "driver", "events", "face")

    def __init__(self, driver: Driver, conn: Connection) -> None:
        self.driver = driver
        self.conn = conn
        self.events = 0  # what came and waits
        self.face: TcpSocket | None = None  # the options so far, for who sets some before there is a transport
        self._connected: asyncio.Future[None] = driver.loop.create_future()
        self._gone: Ended | None = None
        driver.admit(self)
        conn.user = self
        driver.wake(conn)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {format_addr(self.conn.remote_addr)}:{self.conn.remote_port}>"

    async def connected(self) -> None:
        """Until the peer has answered.  Raises what `Connection.error` tells; when cancelled the attempt is aborted."""
        try:
            await self._connected
        except BaseException:
            self.abort()
            raise

    # -- giving it away

    async def attach(self, factory: Callable[[], P], tls: Tls | None) -> tuple[asyncio.Transport, P]:
        """Give the connection to a new protocol, over TLS if asked for, whose handshake is awaited.

        Whatever this raises (DeviceGone, ssl.SSLError, what `factory` does, a cancellation), the connection is aborted.
        """
        try:
            protocol = factory()
            if tls is None:
                return self.adopt(protocol), protocol
            ready = self.driver.loop.create_future()
            secure = tls.wrap(self.driver.loop, protocol, ready)
            transport = self.adopt(secure)
        except BaseException:
            self.abort()
            raise
        try:
            await ready
            return app_transport(secure), protocol
        except BaseException:
            transport.abort()
            raise

    def adopt(self, protocol: asyncio.BaseProtocol) -> StackTransport:
        """Give the connection to `protocol`, which is told; what waits follows.  Raises DeviceGone, HostClosed."""
        if self._gone is not None:
            raise self._gone
        self.driver.check_open()  # a connection that had ended before is not told of the end of its host
        conn, driver = self.conn, self.driver
        events = self.events | conn.take_events()
        transport = StackTransport(driver, conn, protocol, face=self.face)
        driver.release(self)
        driver.start(transport)
        if events:
            driver.post(transport, events)
        return transport

    # -- the driver's calls

    def on_events(self, events: int) -> None:
        """The driver's call, inside a pass."""
        self.events |= events & ~CONNECTED
        if events & CONNECTED and not self._connected.done():
            self._connected.set_result(None)
        if events & CLOSED:
            self.conn.user = None
            self.driver.release(self)
            if not self._connected.done():
                error = self.conn.error or ConnectionAborted("closed while connecting")
                self._connected.set_exception(connect_failed(error, self.conn.remote_addr, self.conn.remote_port))

    def on_callback_error(self, exc: BaseException) -> None:
        """No callbacks of others are called."""

    def on_device_gone(self, exc: Ended) -> None:
        """The link is lost for good, or the host was closed."""
        self.conn.user = None
        self._gone = exc
        if not self._connected.done():
            self._connected.set_exception(exc)

    def close(self) -> None:
        """The host is closed; nothing was ever sent."""
        if not self._connected.done():
            self._connected.set_exception(HostClosed("this AsyncHost was closed while it was connecting"))
        self.abort()

    def abort(self) -> None:
        """Give up; nothing if the connection is a transport's, or has ended."""
        conn = self.conn
        if conn.user is self:
            conn.abort(self.driver.time())
            self.driver.wake(conn)
