"""`loop.sendfile` on transports of the stack, with TLS over them or without, and on uvloop's, which has none;
`loop.sock_sendfile`.

Theory of operation.  No system call does it: the file is read in an executor, piece by piece, and written to the
transport, which keeps the pieces by reference.  Meanwhile a protocol of ours stands in for the application's: it waits
when the transport says so, and reading pauses, since what the peer sends is not for it.  Whatever happens, the
application's protocol is put back, in the state of flow control that it would be in, and the file stands after
the last byte sent.
"""

import asyncio
import io
import socket
from asyncio import sslproto
from asyncio.exceptions import SendfileNotAvailableError
from typing import IO, Any, Final

from stack.aio import carrier
from stack.aio.datagram import StackDatagramTransport
from stack.aio.endpoints import RoutedTransport
from stack.aio.names import Base
from stack.aio.transports import StackTransport

PIECE: Final = 256 << 10
_POLL_S: Final = 0.01
_NO_SYSTEM_CALL: Final = "the sendfile system call is not supported by the stack; allow the fallback"
IN_PROGRESS: Final = "unable to write; sendfile is in progress"


async def sendfile(
    loop: asyncio.AbstractEventLoop,
    base: Base | None,
    transport: Any,
    file: IO[bytes],
    offset: int = 0,
    count: int | None = None,
    *,
    fallback: bool = True,
) -> int:
    """As asyncio's; returns the number of bytes that were sent.  `base` is what the loop alone would do, if it can.

    Raises RuntimeError for a transport that is closing or sends a file already, ValueError, TypeError for arguments as
    asyncio does, SendfileNotAvailableError without `fallback`, ConnectionError when the connection ends.
    """
    if isinstance(transport, (StackDatagramTransport, RoutedTransport)):
        raise RuntimeError(f"sendfile is not supported for transport {transport!r}")  # noqa: TRY004  (as asyncio)
    if base is not None and not _is_ours(transport):
        return await base(transport, file, offset, count, fallback=fallback)  # type: ignore[no-any-return]
    if transport.is_closing():
        raise RuntimeError("Transport is closing")
    _check(file, offset, count)
    if not fallback:
        if isinstance(transport, StackTransport):
            raise SendfileNotAvailableError(_NO_SYSTEM_CALL)
        raise RuntimeError(f"fallback is disabled and native sendfile is not supported for transport {transport!r}")
    if not hasattr(transport, "write_eof"):
        raise RuntimeError(f"sendfile is not supported for transport {transport!r}")
    if isinstance(transport.get_protocol(), _Sending):
        raise RuntimeError("a file is being sent on this transport; wait for that first")  # noqa: TRY004  (no type is wrong)
    _rewind(file, offset)
    if not hasattr(transport, "_protocol_paused"):
        await _drained(transport)
    sending = _Sending(loop, transport)
    sent = 0
    try:
        while piece := await _piece(loop, file, sent, count):
            await sending.room()
            sending.write(piece)
            sent += len(piece)
    finally:
        sending.restore()
        if hasattr(file, "seek"):
            file.seek(offset + sent)
    return sent


async def sock_sendfile(
    loop: asyncio.AbstractEventLoop,
    sock: socket.socket,
    file: IO[bytes],
    offset: int = 0,
    count: int | None = None,
    *,
    fallback: bool | None = True,
) -> int:
    """The same for a CarrierSocket.  Raises what sendfile and `sock_sendall` do."""
    _check(file, offset, count)
    if not fallback:
        raise SendfileNotAvailableError(_NO_SYSTEM_CALL)
    connection = carrier.carried(sock)
    _rewind(file, offset)
    sent = 0
    try:
        while piece := await _piece(loop, file, sent, count):
            await connection.sendall(piece)
            sent += len(piece)
    finally:
        if hasattr(file, "seek"):
            file.seek(offset + sent)
    return sent


async def _drained(transport: Any) -> None:
    """Until the protocol is certainly not paused: uvloop's transports do not say.  Raises ConnectionError."""
    while transport.get_write_buffer_size() > transport.get_write_buffer_limits()[0]:
        await asyncio.sleep(_POLL_S)
        if transport.is_closing():
            raise ConnectionError("Connection closed by peer")


def _rewind(file: IO[bytes], offset: int) -> None:
    # a file without a descriptor is read from where it stands, as asyncio does
    if offset or _has_descriptor(file):
        file.seek(offset)


async def _piece(loop: asyncio.AbstractEventLoop, file: IO[bytes], sent: int, count: int | None) -> bytes:
    """What comes after the `sent` bytes, b"" when the file or `count` ends."""
    size = PIECE if count is None else min(PIECE, count - sent)
    return await loop.run_in_executor(None, file.read, size) if size else b""


def _is_ours(transport: Any) -> bool:
    while isinstance(transport, sslproto._SSLProtocolTransport):  # noqa: SLF001  (there is no public name)
        below = transport._ssl_protocol  # noqa: SLF001
        transport = below._transport if below is not None else None  # noqa: SLF001
    return isinstance(transport, StackTransport)


def _check(file: Any, offset: Any, count: Any) -> None:
    if "b" not in getattr(file, "mode", "b"):
        raise ValueError("file should be opened in binary mode")
    if count is not None:
        if not isinstance(count, int):
            raise TypeError(f"count must be a positive integer (got {count!r})")
        if count <= 0:
            raise ValueError(f"count must be a positive integer (got {count!r})")
    if not isinstance(offset, int):
        raise TypeError(f"offset must be a non-negative integer (got {offset!r})")
    if offset < 0:
        raise ValueError(f"offset must be a non-negative integer (got {offset!r})")


def _has_descriptor(file: Any) -> bool:
    try:
        file.fileno()
    except (AttributeError, io.UnsupportedOperation):
        return False
    return True


class _Sending(asyncio.Protocol):
    """In the place of the application's protocol while a file is being sent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: Any) -> None:
        self._loop = loop
        self._transport = transport
        self._behind: Any = transport.get_protocol()
        self._reading = transport.is_reading()
        # the name by which asyncio asks, too; without it, `_drained` came before
        self._was_paused: bool = getattr(transport, "_protocol_paused", False)
        self._paused = self._was_paused
        self._waiter: asyncio.Future[None] | None = None
        self._error: BaseException | None = None
        transport.pause_reading()
        transport.set_protocol(self)
        self._bar(IN_PROGRESS)

    def _bar(self, why: str) -> None:
        if isinstance(self._transport, StackTransport):
            self._transport.bar_writing(why)

    def write(self, data: bytes) -> None:
        """Past the bar."""
        self._bar("")
        self._transport.write(data)
        self._bar(IN_PROGRESS)

    async def room(self) -> None:
        """Until the transport takes more.  Raises ConnectionError when it is closed."""
        while self._paused and not self._transport.is_closing():
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        if self._transport.is_closing():
            raise self._error or ConnectionError("Connection closed by peer")

    def restore(self) -> None:
        """Give the application's protocol its place back."""
        transport, behind = self._transport, self._behind
        self._bar("")
        if self._error is not None or transport.get_protocol() is not self:
            return
        transport.set_protocol(behind)
        if self._reading:
            transport.resume_reading()
        if self._was_paused and not self._paused:
            behind.resume_writing()
        elif self._paused and not self._was_paused:
            behind.pause_writing()

    # -- what the transport tells

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def pause_writing(self) -> None:
        """Wait before the next piece."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self._wake()

    def connection_lost(self, exc: BaseException | None) -> None:
        """The sending ends with an error, and the application is told."""
        self._error = exc if exc is not None else ConnectionError("Connection is closed by peer")
        self._wake()
        self._behind.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """For the application; asyncio's TLS tells of it even while reading is paused."""
        return self._behind.eof_received()  # type: ignore[no-any-return]
