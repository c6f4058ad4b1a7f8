"""anyio's socket listener and stream over a host of ours: for servers that are handed a listener.

    listener = listen(host, "198.18.0.2", 80)
    await listener.serve(handle)

The program runs on anyio's asyncio backend, on the loop of the host.  On a loop of `stack.aio.loop` `anyio.connect_tcp`
needs no adapter; `anyio.create_tcp_listener` binds a socket of the kernel's, and this is what takes its place.
"""

import contextlib
import errno
from collections.abc import Iterator
from typing import Any

from stack.adapters import missing
from stack.adapters.streams import Acceptor, ByteStream, connect
from stack.aio.network import BACKLOG, AsyncHost

try:
    import anyio
    import anyio.abc
    import anyio.lowlevel
except ImportError as error:
    raise missing("anyio", error) from error


def listen(host: AsyncHost, address: str | None = None, port: int = 0, backlog: int = BACKLOG) -> "StackListener":
    """Listen on an address of `host`, None: on every one.  Raises AddressInUse, AddressNotAvailable, InvalidAddress."""
    return StackListener(Acceptor(host, address, port, backlog))


async def connect_tcp(host: AsyncHost, address: str, port: int) -> "StackStream":
    """A connection from `host`.  Raises OSError, as `anyio.connect_tcp`."""
    return StackStream(await connect(host, address, port))


class StackListener(anyio.abc.SocketListener):
    """A listening port.  Made by `listen`."""

    __slots__ = ("_acceptor", "_socket")

    def __init__(self, acceptor: Acceptor) -> None:
        self._acceptor = acceptor
        self._socket = acceptor.socket

    async def accept(self) -> "StackStream":
        """The next connection.  Raises ClosedResourceError, HostClosed, DeviceGone."""
        with _errors():
            return StackStream(await self._acceptor.accept())

    async def aclose(self) -> None:
        """Stop listening."""
        self._acceptor.close()
        await anyio.lowlevel.checkpoint()

    @property
    def _raw_socket(self) -> Any:
        return self._socket


class StackStream(anyio.abc.SocketStream):
    """One connection.  Made by a StackListener, or by `connect_tcp`."""

    __slots__ = ("_receive_guard", "_send_guard", "_socket", "_stream")

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._socket = stream.transport.get_extra_info("socket")
        self._receive_guard = anyio.ResourceGuard("reading from")
        self._send_guard = anyio.ResourceGuard("writing to")

    async def receive(self, max_bytes: int = 65_536) -> bytes:
        """What has arrived.  Raises EndOfStream, ClosedResourceError, BrokenResourceError."""
        with self._receive_guard, _errors():
            await anyio.lowlevel.checkpoint()
            data = await self._stream.receive(max_bytes)
        if not data:
            raise anyio.EndOfStream
        return data

    async def send(self, item: bytes) -> None:
        """Send all of it.  Raises ClosedResourceError, BrokenResourceError."""
        with self._send_guard, _errors():
            await anyio.lowlevel.checkpoint()
            await self._stream.send(item)

    async def send_eof(self) -> None:
        """Send FIN after what is queued.  Raises ClosedResourceError, BrokenResourceError."""
        with self._send_guard, _errors():
            self._stream.send_eof()

    async def aclose(self) -> None:
        """Close; what was sent still arrives."""
        self._stream.close()
        await anyio.lowlevel.checkpoint()

    @property
    def _raw_socket(self) -> Any:
        return self._socket


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except OSError as exc:
        if exc.errno == errno.EBADF:
            raise anyio.ClosedResourceError from None
        raise anyio.BrokenResourceError from exc
