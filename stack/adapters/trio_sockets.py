"""trio's sockets over a host of ours: `trio.open_tcp_stream`, `trio.serve_tcp` and all that is built on them.

    with StackSockets(lambda: stack.open_tap("tapstack0", "198.18.0.2/24")) as sockets:
        trio.socket.set_custom_socket_factory(sockets)  # in every trio.run
        stream = await trio.open_tcp_stream("198.18.0.1", 80)

Every IPv4 TCP or UDP socket that trio makes is then the host's, also one for 127.0.0.1; other families stay the
kernel's.

Theory of operation.  The host lives on an asyncio loop in a thread of its own (engine.py), started by the first
operation.  An operation that may wait is handed over with `run_sync_soon` and `call_soon_threadsafe`; when it is
cancelled in trio, its task is cancelled there, and trio goes on when that has ended: either it was cancelled, or it was
done before, and then its result counts.  Data crosses in pieces of at most PIECE bytes, and waits in the engine's
bounded streams.  What takes no time (`listen`, `setsockopt`) blocks for one turn of the engine's loop.
"""

import asyncio
import contextlib
import errno
import os
import socket as stdlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Final, Self, TypeVar

from stack.adapters import missing
from stack.adapters.engine import Engine, Operation
from stack.adapters.streams import PIECE, Acceptor, ByteStream, Datagrams, closed_here, connect, open_datagrams
from stack.aio.network import AsyncHost
from stack.aio.sockets import Address
from stack.errors import AddressNotAvailable, HostClosed, InvalidAddress
from stack.wire.addr import ANY, parse_addr

try:
    import outcome
    import trio
except ImportError as error:
    raise missing("trio", error) from error

T = TypeVar("T")

BACKLOG: Final = 128  # as trio
# setsockopt(2) before there is a connection: nothing to do
_WITHOUT_EFFECT: Final = frozenset({(stdlib.SOL_SOCKET, stdlib.SO_REUSEADDR), (stdlib.SOL_SOCKET, stdlib.SO_REUSEPORT)})


class StackSockets(trio.abc.SocketFactory):
    """The factory for `trio.socket.set_custom_socket_factory`; it may serve several runs of trio, also in threads.

    `make_host` gives an asynchronous context manager with the AsyncHost; it is entered in the engine's thread.
    """

    __slots__ = ("_engine",)

    def __init__(
        self,
        make_host: Callable[[], AbstractAsyncContextManager[AsyncHost]],
        *,
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        self._engine = Engine(make_host, loop_factory)

    def socket(self, family: int = stdlib.AF_INET, type: int = stdlib.SOCK_STREAM, proto: int = 0) -> Any:  # noqa: A002
        """A socket of the host's, or of the kernel's for families that it has not.  Raises HostClosed."""
        if family == stdlib.AF_INET and type == stdlib.SOCK_STREAM and proto in {0, stdlib.IPPROTO_TCP}:
            return _TcpSocket(self._engine)
        if family == stdlib.AF_INET and type == stdlib.SOCK_DGRAM and proto in {0, stdlib.IPPROTO_UDP}:
            return _UdpSocket(self._engine)
        return trio.socket.from_stdlib_socket(stdlib.socket(family, type, proto))

    def close(self) -> None:
        """End the host and its thread; sockets that are left raise HostClosed."""
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


async def _run(engine: Engine, operation: Operation[T], *args: Any) -> T:
    """`operation(host, *args)` on the engine, awaited from trio.  Raises what it raises, HostClosed, Cancelled."""
    await trio.lowlevel.checkpoint_if_cancelled()
    waiting = trio.lowlevel.current_task()
    token = trio.lowlevel.current_trio_token()
    cancelled: list[Callable[[], Any]] = []

    def done(task: "asyncio.Task[T]") -> None:  # the engine's thread
        with contextlib.suppress(trio.RunFinishedError):
            token.run_sync_soon(resume, task)

    def resume(task: "asyncio.Task[T]") -> None:  # trio's thread
        result: outcome.Outcome[Any]
        if not task.cancelled():
            exc = task.exception()
            result = outcome.Value(task.result()) if exc is None else outcome.Error(exc)
        elif cancelled:
            result = outcome.capture(cancelled[0])
        else:
            result = outcome.Error(HostClosed("the engine was closed while this was under way"))
        trio.lowlevel.reschedule(waiting, result)

    cancel = engine.begin(done, operation, *args)

    def abort(raise_cancel: Callable[[], Any]) -> trio.lowlevel.Abort:
        cancelled.append(raise_cancel)
        cancel()
        return trio.lowlevel.Abort.FAILED  # `resume` tells whether it was cancelled or had been done

    result: T = await trio.lowlevel.wait_task_rescheduled(abort)
    return result


class _StackSocket(trio.socket.SocketType):
    """What TCP and UDP sockets share.  Fields are changed by the engine's thread, or before it knows of the socket."""

    __slots__ = ("_bound", "_closed", "_engine", "_options", "_peer")

    KIND: ClassVar[stdlib.SocketKind]

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._bound: Address | None = None
        self._peer: Address | None = None
        self._closed = False
        self._options: list[tuple[int, int, Any]] = []  # for when there is a connection

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._bound} -> {self._peer}"
        return f"<{type(self).__name__} {state}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def family(self) -> stdlib.AddressFamily:
        """AF_INET."""
        return stdlib.AF_INET

    @property
    def type(self) -> stdlib.SocketKind:
        """SOCK_STREAM or SOCK_DGRAM."""
        return self.KIND

    @property
    def proto(self) -> int:
        """The protocol's number; 0, as the kernel says when none was asked for."""
        return 0

    @property
    def did_shutdown_SHUT_WR(self) -> bool:  # noqa: N802  (trio's name)
        """Whether this side has said that it sends no more."""
        return False

    def fileno(self) -> int:
        """-1: no descriptor stands behind it."""
        return -1

    def getsockname(self) -> Address:
        """The local address and port.  Raises OSError(EBADF)."""
        self._check_open()
        return self._bound or ("0.0.0.0", 0)  # noqa: S104  (what the kernel says)

    def getpeername(self) -> Address:
        """The peer's.  Raises OSError(ENOTCONN), OSError(EBADF)."""
        self._check_open()
        if self._peer is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._peer

    async def wait_writable(self) -> None:
        """At once: `send` waits itself."""
        await trio.lowlevel.checkpoint()

    def _check_open(self) -> None:
        if self._closed:
            raise closed_here()

    async def _bind(self, host: AsyncHost, address: Address) -> None:
        """In the engine: note the address.  Raises AddressNotAvailable, InvalidAddress."""
        addr = parse_addr(address[0]) if address[0] else ANY
        if addr != ANY and not host.host.ip.is_local(addr):
            raise AddressNotAvailable(f"{address[0]} is not an address of this host")
        self._bound = (address[0] or "0.0.0.0", address[1])  # noqa: S104  (what the kernel says)


class _TcpSocket(_StackSocket):
    """A TCP socket: connecting, connected or listening."""

    __slots__ = ("_acceptor", "_shut", "_stream")

    KIND = stdlib.SOCK_STREAM

    def __init__(self, engine: Engine, stream: ByteStream | None = None) -> None:
        super().__init__(engine)
        self._stream = stream
        self._acceptor: Acceptor | None = None
        self._shut = False
        if stream is not None:
            self._connected(stream)

    def _connected(self, stream: ByteStream) -> None:
        self._stream = stream
        self._bound = stream.transport.get_extra_info("sockname")
        self._peer = stream.transport.get_extra_info("peername")

    @property
    def did_shutdown_SHUT_WR(self) -> bool:  # noqa: N802  (trio's name)
        """Whether `shutdown` was called for sending."""
        return self._shut

    def _open_stream(self) -> ByteStream:
        self._check_open()
        if self._stream is None:
            raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))
        return self._stream

    # -- connecting

    async def bind(self, address: Address) -> None:
        """Note the address; a port of 0 is chosen later.  Raises AddressNotAvailable, InvalidAddress."""
        self._check_open()
        if self._bound is not None:
            raise InvalidAddress("the socket has an address already")
        await _run(self._engine, self._bind, address)

    async def connect(self, address: Address) -> None:
        """Connect.  Raises the OSError a kernel socket would; cancelling it aborts the attempt."""
        self._check_open()
        if self._stream is not None or self._acceptor is not None:
            raise OSError(errno.EISCONN, os.strerror(errno.EISCONN))
        await _run(self._engine, self._connect, address)

    async def _connect(self, host: AsyncHost, address: Address) -> None:
        stream = await connect(host, address[0], address[1], self._bound)
        try:
            for option in self._options:
                stream.transport.get_extra_info("socket").setsockopt(*option)
        except BaseException:
            stream.abort()
            raise
        if self._closed:  # meanwhile, by another task
            stream.abort()
            raise closed_here()
        self._connected(stream)

    # -- listening

    def listen(self, backlog: int = BACKLOG) -> None:
        """Listen.  Raises AddressInUse, AddressNotAvailable."""
        self._check_open()
        if self._stream is not None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if self._acceptor is None:
            self._engine.call(self._listen, backlog)

    async def _listen(self, host: AsyncHost, backlog: int) -> None:
        address, port = self._bound or ("", 0)
        self._acceptor = Acceptor(host, address, port, backlog)
        self._bound = self._acceptor.socket.getsockname()

    async def accept(self) -> tuple[Any, Address]:
        """(socket, peer) of the next connection.  Raises OSError(EINVAL) when not listening."""
        self._check_open()
        if self._acceptor is None:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        stream = await _run(self._engine, self._accept)
        made = _TcpSocket(self._engine, stream)
        return made, made.getpeername()

    async def _accept(self, host: AsyncHost) -> ByteStream:  # noqa: ARG002  (given to every operation)
        assert self._acceptor is not None
        return await self._acceptor.accept()

    # -- data

    async def recv(self, buflen: int, flags: int = 0, /) -> bytes:
        """At most `buflen` bytes; b"" when the peer has sent all.  Raises OSError."""
        _no_flags(flags)
        return await _run(self._engine, self._receive, self._open_stream(), min(buflen, PIECE))

    async def _receive(self, host: AsyncHost, stream: ByteStream, size: int) -> bytes:  # noqa: ARG002
        return await stream.receive(size)

    async def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As `recv`, into a buffer; returns the bytes written there."""
        view = memoryview(buffer).cast("B")
        data = await self.recv(nbytes or len(view), flags)
        view[: len(data)] = data
        return len(data)

    async def send(self, data: Any, flags: int = 0, /) -> int:
        """Send the beginning of `data`, at most PIECE bytes; returns how many.  Raises OSError."""
        _no_flags(flags)
        chunk = bytes(memoryview(data).cast("B")[:PIECE])
        await _run(self._engine, self._send, self._open_stream(), chunk)
        return len(chunk)

    async def _send(self, host: AsyncHost, stream: ByteStream, data: bytes) -> None:  # noqa: ARG002
        if self._shut:
            raise OSError(errno.EPIPE, os.strerror(errno.EPIPE))
        await stream.send(data)

    def shutdown(self, flag: int) -> None:
        """Send no more (SHUT_WR, SHUT_RDWR).  Raises OSError(ENOTCONN)."""
        stream = self._open_stream()
        if flag in {stdlib.SHUT_WR, stdlib.SHUT_RDWR} and not self._shut:
            self._engine.call(self._shutdown, stream)
            self._shut = True

    async def _shutdown(self, host: AsyncHost, stream: ByteStream) -> None:  # noqa: ARG002
        stream.send_eof()

    def is_readable(self) -> bool:
        """Whether `recv` would return at once."""
        return self._stream is not None and self._stream.is_readable()

    def close(self) -> None:
        """Close; what was sent still arrives.  Operations that wait raise OSError(EBADF)."""
        if not self._closed:
            self._closed = True
            self._engine.post(self._close)

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
        if self._acceptor is not None:
            self._acceptor.close()

    # -- options

    def setsockopt(self, level: int, optname: int, value: Any, optlen: int | None = None) -> None:
        """Set an option of the connection, or have it set when there is one.  Raises OSError(ENOPROTOOPT)."""
        self._check_open()
        if value is None or optlen is not None:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
        if self._stream is not None:
            self._engine.call(self._set_option, self._stream, (level, optname, value))
        elif (level, optname) not in _WITHOUT_EFFECT:
            self._options.append((level, optname, value))

    async def _set_option(self, host: AsyncHost, stream: ByteStream, option: tuple[int, int, Any]) -> None:  # noqa: ARG002
        stream.transport.get_extra_info("socket").setsockopt(*option)

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> Any:
        """Of the connection; SO_TYPE, SO_ERROR and SO_ACCEPTCONN of any socket.  Raises OSError(ENOPROTOOPT)."""
        self._check_open()
        if level == stdlib.SOL_SOCKET and optname == stdlib.SO_ACCEPTCONN:
            return int(self._acceptor is not None)
        if level == stdlib.SOL_SOCKET and optname in {stdlib.SO_TYPE, stdlib.SO_ERROR}:
            return int(stdlib.SOCK_STREAM) if optname == stdlib.SO_TYPE else 0
        if self._stream is None:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
        args = (level, optname, buflen) if buflen else (level, optname)
        return self._engine.call(self._get_option, self._stream, args)

    async def _get_option(self, host: AsyncHost, stream: ByteStream, args: tuple[int, ...]) -> Any:  # noqa: ARG002
        return stream.transport.get_extra_info("socket").getsockopt(*args)


class _UdpSocket(_StackSocket):
    """A UDP socket; its endpoint is opened by `bind`, `connect` or the first `sendto`."""

    __slots__ = ("_datagrams",)

    KIND = stdlib.SOCK_DGRAM

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._datagrams: Datagrams | None = None

    async def bind(self, address: Address) -> None:
        """Open the endpoint.  Raises AddressInUse, AddressNotAvailable, InvalidAddress."""
        self._check_open()
        if self._datagrams is not None:
            raise InvalidAddress("the socket has an address already")
        await _run(self._engine, self._open, address, None)

    async def connect(self, address: Address) -> None:
        """Fix the peer: only it is heard.  Raises NetworkUnreachable, InvalidAddress."""
        self._check_open()
        await _run(self._engine, self._open, self._bound, address)

    async def _open(self, host: AsyncHost, local: Address | None, remote: Address | None) -> None:
        if self._datagrams is not None:  # bound before: the same port, now with a peer
            self._datagrams.close()
        made = self._datagrams = await open_datagrams(host, local, remote)
        self._bound = made.transport.get_extra_info("sockname")
        self._peer = made.transport.get_extra_info("peername")
        if self._closed:  # meanwhile, by another task
            made.close()
            raise closed_here()

    async def send(self, data: Any, flags: int = 0, /) -> int:
        """Send a datagram to the fixed peer.  Raises OSError."""
        self.getpeername()
        return await self._transmit(data, None, flags)

    async def sendto(self, *args: Any) -> int:
        """`sendto(data, address)` or `sendto(data, flags, address)`.  Raises OSError."""
        data, flags, address = args if len(args) == 3 else (args[0], 0, args[1])
        return await self._transmit(data, address, flags)

    async def _transmit(self, data: Any, address: Address | None, flags: int) -> int:
        _no_flags(flags)
        self._check_open()
        chunk = bytes(data)
        await _run(self._engine, self._send, chunk, address)
        return len(chunk)

    async def _send(self, host: AsyncHost, data: bytes, address: Address | None) -> None:
        if self._datagrams is None:
            await self._open(host, None, None)
        assert self._datagrams is not None
        self._datagrams.transport.sendto(data, address)

    async def recv(self, buflen: int, flags: int = 0, /) -> bytes:
        """The beginning of the next datagram.  Raises OSError."""
        return (await self.recvfrom(buflen, flags))[0]

    async def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Address]:
        """(datagram, sender); what exceeds `bufsize` is lost.  Raises OSError."""
        _no_flags(flags)
        self._check_open()
        if self._datagrams is None:
            await _run(self._engine, self._open, None, None)
        data, sender = await _run(self._engine, self._receive)
        return data[:bufsize], sender

    async def _receive(self, host: AsyncHost) -> tuple[bytes, Address]:  # noqa: ARG002  (given to every operation)
        assert self._datagrams is not None
        return await self._datagrams.receive()

    def is_readable(self) -> bool:
        """Whether `recvfrom` would return at once."""
        return self._datagrams is not None and self._datagrams.is_readable()

    def close(self) -> None:
        """Free the port.  Operations that wait raise OSError(EBADF)."""
        if not self._closed:
            self._closed = True
            self._engine.post(self._close)

    def _close(self) -> None:
        if self._datagrams is not None:
            self._datagrams.close()

    def setsockopt(self, level: int, optname: int, value: Any, optlen: int | None = None) -> None:  # noqa: ARG002
        """Raises OSError(ENOPROTOOPT): but for address reuse, there is none."""
        self._check_open()
        if (level, optname) not in _WITHOUT_EFFECT:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> Any:  # noqa: ARG002
        """SO_TYPE, SO_ERROR.  Raises OSError(ENOPROTOOPT)."""
        self._check_open()
        if level == stdlib.SOL_SOCKET and optname in {stdlib.SO_TYPE, stdlib.SO_ERROR}:
            return int(stdlib.SOCK_DGRAM) if optname == stdlib.SO_TYPE else 0
        raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))


def _no_flags(flags: int) -> None:
    if flags:
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
