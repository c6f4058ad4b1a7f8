"""Connections, datagrams and listeners whose operations are awaited: what the adapters have in common.

Theory of operation.  A ByteStream is the protocol of one connection.  What has arrived waits in it, bounded: above
HIGH_WATER bytes the transport is paused, and what the peer sends waits in TCP, whose window closes.  `send`
waits while the transport holds more than its own high-water mark, so a slow peer stops the sender.  A Datagrams holds
at most MAX_DATAGRAMS; what finds it full is dropped and counted, as by a socket buffer.  An Acceptor takes a connection
from the host's listener only when somebody waits for it, so the backlog bounds what nobody has accepted.

An operation that is cancelled takes nothing with it: bytes that arrived stay in the stream, a piece is sent whole or
not at all, and a connection that nobody will be handed is reset.  On what was closed by this side, every operation
raises OSError(EBADF), as a closed socket does.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections import deque
from typing import Final

from stack.aio.driver import Ended
from stack.aio.network import BACKLOG, AsyncHost
from stack.aio.sockets import LINGER, Address, ListenSocket, StackSocket
from stack.aio.transports import StackTransport
from stack.errors import InvalidAddress
from stack.tcp.listener import Listener
from stack.wire.addr import ANY, parse_addr

HIGH_WATER: Final = 256 << 10  # bytes that have arrived and were not taken
LOW_WATER: Final = HIGH_WATER // 4
PIECE: Final = 64 << 10  # bytes given to a transport at once
MAX_DATAGRAMS: Final = 1024


def closed_here() -> OSError:
    """What a closed socket of the kernel's would raise."""
    return OSError(errno.EBADF, os.strerror(errno.EBADF))


class _Gate:
    """A place where one task waits for something to change."""

    __slots__ = ("_waiter",)

    def __init__(self) -> None:
        self._waiter: asyncio.Future[None] | None = None

    async def wait(self) -> None:
        if self._waiter is not None:
            raise RuntimeError("another task is waiting for this already")
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def open(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class ByteStream(asyncio.Protocol):
    """See the head of this file.  Made by `create_connection`, `Acceptor.accept`; one task reads, one writes."""

    # fmt: off
    __slots__ = ("_arrived", "_closed", "_eof", "_error", "_lost", "_paused", "_readable", "_writable",
                 "_writing_paused", "transport")
    # fmt: on

    def __init__(self) -> None:
        self.transport: asyncio.Transport
        self._arrived = bytearray()
        self._paused = False
        self._eof = False
        self._lost = False
        self._error: Exception | None = None
        self._closed = False  # by us
        self._writing_paused = False
        self._readable = _Gate()
        self._writable = _Gate()

    # -- asyncio's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self._arrived += data
        if len(self._arrived) > HIGH_WATER and not self._paused:
            self._paused = True
            self.transport.pause_reading()
        self._readable.open()

    def eof_received(self) -> bool:
        """The peer sends no more; without TLS we still may."""
        self._eof = True
        self._readable.open()
        return self.transport.get_extra_info("sslcontext") is None

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._lost = True
        self._error = exc
        self._readable.open()
        self._writable.open()

    def pause_writing(self) -> None:
        """The transport holds enough."""
        self._writing_paused = True

    def resume_writing(self) -> None:
        """It has room."""
        self._writing_paused = False
        self._writable.open()

    # -- the application's calls

    async def receive(self, max_bytes: int) -> bytes:
        """What has arrived, at least one byte and at most `max_bytes`; b"" when the peer has sent all.

        Raises OSError for what broke the connection.
        """
        while not self._arrived:
            if self._closed:
                raise closed_here()
            if self._error is not None:
                raise self._error
            if self._eof or self._lost or max_bytes == 0:
                return b""
            await self._readable.wait()
        data = bytes(self._arrived[:max_bytes])
        del self._arrived[:max_bytes]
        if self._paused and len(self._arrived) <= LOW_WATER:
            self._paused = False
            if not self._closed:
                self.transport.resume_reading()
        return data

    async def send(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of `data`, in pieces, each as soon as the transport wants more.

        Raises OSError for what broke the connection.
        """
        for start in range(0, len(data) or 1, PIECE):
            while self._writing_paused and not (self._closed or self._lost):
                await self._writable.wait()
            self._check_sending()
            self.transport.write(data if len(data) <= PIECE else data[start : start + PIECE])

    def _check_sending(self) -> None:
        if self._closed:
            raise closed_here()
        if self._lost:
            raise self._error or BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))

    def send_eof(self) -> None:
        """Send FIN after what is queued."""
        self._check_sending()
        self.transport.write_eof()

    async def start_tls(
        self, host: AsyncHost, context: ssl.SSLContext, *, server_side: bool = False, server_hostname: str | None = None
    ) -> None:
        """TLS from here on.  Raises OSError (ssl.SSLError is one); the connection is then gone."""
        self._check_sending()
        self.transport = await host.start_tls(
            self.transport, self, context, server_side=server_side, server_hostname=server_hostname
        )

    def is_readable(self) -> bool:
        """`receive` would not wait."""
        return bool(self._arrived) or self._eof or self._lost

    def close(self) -> None:
        """Send what is queued, then FIN.  Waiting operations raise."""
        self._closed = True
        self.transport.close()
        self._arrived.clear()
        self._readable.open()
        self._writable.open()

    def abort(self) -> None:
        """Send RST."""
        self._closed = True
        # SO_LINGER with a time of 0: without it the end would be a FIN, as over the kernel
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER.pack(1, 0))
        self.transport.abort()
        self._readable.open()
        self._writable.open()


class Datagrams(asyncio.DatagramProtocol):
    """The datagrams of one endpoint, and the errors that ICMP reported for it.  See the head of this file."""

    __slots__ = ("_arrived", "_closed", "_readable", "dropped", "transport")

    def __init__(self) -> None:
        self.transport: asyncio.DatagramTransport
        self._arrived: deque[tuple[bytes, Address] | Exception] = deque()
        self._readable = _Gate()
        self._closed = False
        self.dropped = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The endpoint is open."""
        assert isinstance(transport, asyncio.DatagramTransport)
        self.transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        """Keep it, if there is room."""
        self._put((data, addr))

    def error_received(self, exc: Exception) -> None:
        """Tell the next who receives."""
        self._put(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end."""
        self._arrived.append(exc or closed_here())
        self._readable.open()

    def _put(self, item: tuple[bytes, Address] | Exception) -> None:
        if len(self._arrived) >= MAX_DATAGRAMS:
            self.dropped += 1
            return
        self._arrived.append(item)
        self._readable.open()

    async def receive(self) -> tuple[bytes, Address]:
        """(data, sender).  Raises OSError for what ICMP reported, or when the endpoint is closed."""
        while not self._arrived:
            if self._closed:
                raise closed_here()
            await self._readable.wait()
        item = self._arrived.popleft()
        if isinstance(item, Exception):
            raise item
        return item

    def is_readable(self) -> bool:
        """`receive` would not wait."""
        return bool(self._arrived)

    def close(self) -> None:
        """Free the port.  Who waits gets OSError(EBADF)."""
        self._closed = True
        self._arrived.clear()
        self.transport.close()
        self._readable.open()


class Acceptor:
    """A listening port of `host` whose connections are accepted one by one.  See the head of this file."""

    __slots__ = ("_driver", "_gone", "_host", "_listener", "_waiters")

    def __init__(self, host: AsyncHost, address: str | None = None, port: int = 0, backlog: int = BACKLOG) -> None:
        """`address` None is every address of the host.  Raises InvalidAddress, AddressInUse, AddressNotAvailable."""
        self._host = host.host
        self._driver = host.open_driver()
        addr = parse_addr(address) if address else ANY
        if not 0 <= port <= 0xFFFF:
            raise InvalidAddress(f"{port} is not a port: use 0 to 65535")
        self._listener: Listener = self._host.listen(addr, port, backlog, None, self._driver.time())
        self._listener.user = self
        self._driver.admit(self)
        self._waiters: deque[asyncio.Future[ByteStream]] = deque()
        self._gone: Exception | None = None

    # -- the driver's calls

    def on_events(self, events: int) -> None:  # noqa: ARG002  (whatever it was: look)
        """Hand out connections to those who wait."""
        while self._gone is None and self._waiters:
            if self._waiters[0].done():  # cancelled
                self._waiters.popleft()
                continue
            conn = self._listener.accept()
            if conn is None:
                return
            stream = ByteStream()
            self._driver.start(StackTransport(self._driver, conn, stream))
            self._waiters.popleft().set_result(stream)

    def on_callback_error(self, exc: BaseException) -> None:
        """Nothing of a listener's own can be given up."""

    def on_device_gone(self, exc: Ended) -> None:
        """The link is lost for good, or the host was closed."""
        self._end(exc)

    # -- the application's calls

    @property
    def socket(self) -> StackSocket:
        """A socket-like object with the address."""
        return ListenSocket(self._listener, self._driver)

    async def accept(self) -> ByteStream:
        """The next connection.

        Raises OSError(EBADF) when this was closed, HostClosed or DeviceGone when the host has ended.
        """
        if self._gone is not None:
            raise self._gone
        waiter: asyncio.Future[ByteStream] = self._driver.loop.create_future()
        self._waiters.append(waiter)
        self._driver.post(self, 0)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                waiter.result().abort()  # nobody will take it
            raise

    def close(self) -> None:
        """Stop listening.  Connections that were not accepted are reset; who waits gets OSError(EBADF)."""
        self._end(closed_here())

    def abort(self) -> None:
        """The same as close."""
        self.close()

    def _end(self, exc: Exception) -> None:
        if self._gone is not None:
            return
        self._gone = exc
        self._listener.user = None
        if self._driver.is_open:
            self._host.unlisten(self._listener, self._driver.time())
            self._driver.schedule()
        self._driver.release(self)
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(exc)
        self._waiters.clear()


async def connect(host: AsyncHost, name: str, port: int, local: Address | None = None) -> ByteStream:
    """A connection of `host`'s.  Raises OSError."""
    _, stream = await host.create_connection(ByteStream, name, port, local_addr=local)
    return stream


async def open_datagrams(host: AsyncHost, local: Address | None = None, remote: Address | None = None) -> Datagrams:
    """A datagram endpoint of `host`'s.  Raises OSError."""
    _, datagrams = await host.create_datagram_endpoint(Datagrams, local, remote)
    return datagrams
