"""Kernel socket objects whose connection is one of the stack: what `loop.sock_connect` to a stack address makes.

Theory of operation.  Programs connect a socket object of their own and hand it to `create_connection(sock=...)`, or
go on with `loop.sock_recv`, `loop.sock_sendall` and `loop.sock_sendfile`.  The object cannot be exchanged, so its class
is: from then on it is a CarrierSocket, whose names and options are those of the connection.  Its descriptor stays what
it was, a kernel socket that is connected to nothing, so reading or writing past the loop, and waiting for the
descriptor (`add_reader`), is refused with a clear error.

    connected -> claimed by create_connection, or dropped: closed, detached or collected

Claimed, its names and options are still the connection's, as of a kernel socket, until it is closed; reading, writing
and closing are the transport's business.  Dropped, it ends as the connection of any kernel socket: what was sent
arrives, then FIN; RST if something was not read, or comes later.

A socket cannot be bound to a stack address beforehand, which the kernel refuses; a port of any address can be chosen.
A CarrierSocket is not shared between loops; only its collection may happen in another thread.
"""

import asyncio
import errno
import socket
import weakref
from typing import TYPE_CHECKING, Any, Final, NoReturn

from stack.aio.attempt import Attempt
from stack.aio.driver import Driver, Ended
from stack.aio.names import Base, address_of, check_port
from stack.aio.sockets import TcpSocket
from stack.errors import AlreadyConnected, BrokenPipe, NotConnected
from stack.tcp.connection import Connection
from stack.tcp.events import CLOSED, EOF
from stack.wire.addr import ANY

if TYPE_CHECKING:
    from stack.aio.loop import StackLoop
    from stack.aio.network import AsyncHost

PAIR: Final = 2  # (host, port)
_INT_OPTIONS: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT),
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT),
    (socket.IPPROTO_IP, socket.IP_TOS),
)
_BUFFERS: Final = ((socket.SOL_SOCKET, socket.SO_SNDBUF), (socket.SOL_SOCKET, socket.SO_RCVBUF))
_STRUCTS: Final = ((socket.SOL_SOCKET, socket.SO_LINGER, 8), (socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16))


class Carried(Attempt):
    """The connection behind a CarrierSocket, with the reading and writing of `loop.sock_recv` and its like."""

    __slots__ = ("_waiters",)

    face: TcpSocket

    def __init__(self, driver: Driver, conn: Connection) -> None:
        super().__init__(driver, conn)
        self.face = TcpSocket(self.conn, self.driver)
        self._waiters: list[asyncio.Future[None]] = []

    def on_events(self, events: int) -> None:
        """The driver's call, inside a pass."""
        super().on_events(events)
        self._wake()

    def on_device_gone(self, exc: Ended) -> None:
        """The link is lost for good, or the host was closed."""
        super().on_device_gone(exc)
        self._wake()

    def _wake(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _event(self) -> None:
        """Until something has happened.  Raises what ended the connection."""
        if self._gone is not None:
            raise self._gone
        if self.events & CLOSED and self.conn.error is not None:
            raise self.conn.error
        if self.conn.user is not self:
            raise NotConnected("this socket's connection has ended, or was handed to create_connection")
        waiter = self.driver.loop.create_future()
        self._waiters.append(waiter)
        await waiter

    async def recv(self, limit: int) -> bytes:
        """Up to `limit` bytes, b"" at the end of the stream.  Raises ConnectionError and its like."""
        if not limit:
            return b""
        conn = self.conn
        while not (data := conn.recv(limit)):
            if self.events & EOF:
                return b""
            await self._event()
        if conn.ack_pending:  # reading has opened the window
            self.driver.wake(conn)
        return data

    async def sendall(self, data: bytes) -> None:
        """Until the rest of `data` fits into the connection's buffer.  Raises ConnectionError and the like."""
        conn = self.conn
        if self.events & CLOSED and conn.error is None:
            raise BrokenPipe("this socket was shut down for writing; nothing can be sent any more")
        if conn.user is not self:
            await self._event()  # which raises
        conn.send(data, self.driver.time())
        self.driver.wake(conn)
        while conn.send_room() < 0:
            await self._event()

    def close(self) -> None:
        """As of a kernel socket: FIN after what was sent, RST if not all was read or SO_LINGER says so."""
        conn, now = self.conn, self.driver.time()
        if not self._connected.done():
            super().close()
        if conn.user is not self:
            return
        if self.face.linger == (1, 0):
            conn.abort(now)
        else:
            conn.close(now)
            conn.release(now)
        self.driver.wake(conn)

    def shutdown(self, how: int) -> None:
        """No more is sent, after what is queued.  Reading cannot be shut alone, as in the kernel nothing is told."""
        if how != socket.SHUT_RD and self.conn.user is self:
            self.conn.close(self.driver.time())
            self.driver.wake(self.conn)


class CarrierSocket(socket.socket):
    """See the head of this file.  Never constructed: a connected socket object becomes one."""

    __slots__ = ()

    def getsockname(self) -> Any:
        """The address that the stack connected from."""
        return _face(self).getsockname()

    def getpeername(self) -> Any:
        """The address that the stack connected to."""
        return _face(self).getpeername()

    def setsockopt(self, *args: Any) -> None:
        """Acts on the connection."""
        _face(self).setsockopt(*args)

    def getsockopt(self, *args: Any) -> Any:
        """Asks the connection."""
        return _face(self).getsockopt(*args)

    def shutdown(self, how: int) -> None:
        """SHUT_WR and SHUT_RDWR send a FIN after what is queued."""
        carried(self).shutdown(how)

    def close(self) -> None:
        """Ends the connection, unless create_connection has it."""
        if (found := _release(self)) is not None:
            found.close()
        super().close()

    def detach(self) -> int:
        """As close; returns the descriptor, which is connected to nothing."""
        if (found := _release(self)) is not None:
            found.close()
        return super().detach()


def _refuse(self: CarrierSocket, *_args: Any, **_kwargs: Any) -> NoReturn:
    raise OSError(
        errno.EOPNOTSUPP,
        f"{type(self).__name__}: this connection is one of the stack; use the loop's sock_recv, sock_recv_into and "
        "sock_sendall, or create_connection(sock=...)",
    )


for _name in (
    *("recv", "recv_into", "recvfrom", "recvfrom_into", "recvmsg", "recvmsg_into"),
    *("send", "sendall", "sendto", "sendmsg", "sendfile"),
    *("accept", "bind", "connect", "connect_ex", "dup", "listen", "makefile"),
):
    setattr(CarrierSocket, _name, _refuse)

_CLAIMED: weakref.WeakKeyDictionary[socket.socket, TcpSocket] = weakref.WeakKeyDictionary()
_RECORDS: weakref.WeakKeyDictionary[socket.socket, tuple[Carried, Any]] = weakref.WeakKeyDictionary()
_BY_DESCRIPTOR: weakref.WeakValueDictionary[int, socket.socket] = weakref.WeakValueDictionary()


def carried(sock: socket.socket) -> Carried:
    """The connection of a CarrierSocket.  Raises OSError(EBADF) when it was closed or claimed."""
    record = _RECORDS.get(sock)
    if record is None:
        raise OSError(errno.EBADF, "this socket was closed, or its connection handed to create_connection")
    return record[0]


def check_descriptor(fd: Any) -> None:
    """Before a loop waits for `fd`, a descriptor or what has one.  Raises OSError(EOPNOTSUPP) for a CarrierSocket's.

    The kernel would tell of events that have nothing to do with the connection.
    """
    sock = _BY_DESCRIPTOR.get(fd) if isinstance(fd, int) else fd
    if isinstance(sock, CarrierSocket) and sock in _RECORDS and (sock is fd or sock.fileno() == fd):
        _refuse(sock)


def claim(sock: socket.socket) -> Carried:
    """The connection of a CarrierSocket for the caller to adopt; the descriptor is closed.  Raises OSError(EBADF)."""
    carried(sock)
    found = _release(sock)
    assert found is not None
    sock.close()
    _CLAIMED[sock] = found.face
    return found


def _face(sock: socket.socket) -> TcpSocket:
    """Names and options.  Raises OSError(EBADF) when it was closed."""
    face = _CLAIMED.get(sock)
    return face if face is not None else carried(sock).face


def _release(sock: socket.socket) -> Carried | None:
    _CLAIMED.pop(sock, None)
    record = _RECORDS.pop(sock, None)
    if record is None:
        return None
    record[1].detach()
    return record[0]


def _carry(sock: socket.socket, connection: Carried) -> None:
    try:
        sock.__class__ = CarrierSocket
    except TypeError:
        connection.abort()
        raise OSError(
            errno.EOPNOTSUPP,
            f"a {type(sock).__name__} cannot carry a connection of the stack: use a plain socket.socket, or "
            "create_connection(host, port)",
        ) from None
    finalizer = weakref.finalize(sock, _abandon, connection)
    finalizer.atexit = False
    _RECORDS[sock] = (connection, finalizer)
    _BY_DESCRIPTOR[sock.fileno()] = sock


def _abandon(connection: Carried) -> None:
    """The socket object was collected, perhaps in another thread."""
    loop = connection.driver.loop
    if not loop.is_closed():
        loop.call_soon_threadsafe(connection.close)


def _chosen_options(sock: socket.socket) -> list[tuple[int, int, int | bytes]]:
    """What was set on `sock`: where it differs from a new socket."""
    chosen: list[tuple[int, int, int | bytes]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as fresh:
        for level, option in _INT_OPTIONS:
            if (value := sock.getsockopt(level, option)) != fresh.getsockopt(level, option):
                chosen.append((level, option, value))
        for level, option in _BUFFERS:
            if (value := sock.getsockopt(level, option)) != fresh.getsockopt(level, option):
                chosen.append((level, option, value // 2))  # socket(7): the kernel doubles what is set
        for level, option, size in _STRUCTS:
            if (data := sock.getsockopt(level, option, size)) != fresh.getsockopt(level, option, size):
                chosen.append((level, option, data))
    return chosen


def _source(loop: "StackLoop", sock: socket.socket, remote: int) -> "tuple[AsyncHost | None, tuple[int, int]]":
    """The host that speaks to `remote` for `sock`, None for the kernel; and what `sock` is bound to."""
    source = loop.source_for(remote)
    if source is None:
        return None, (ANY, 0)
    text, port = sock.getsockname()
    local = address_of(text) or ANY
    return source if local == ANY else loop.ownership.owner(local), (local, port)


def _refuse_datagrams(address: str) -> NoReturn:
    raise OSError(
        errno.EOPNOTSUPP,
        f"{address} is reached by the stack, and this is no stream socket; use create_datagram_endpoint",
    )


def check_datagram(loop: "StackLoop", sock: socket.socket, address: Any) -> None:
    """Before the kernel's `sock_sendto`.  Raises OSError(EOPNOTSUPP) for a UDP socket and a stack address."""
    if sock.family == socket.AF_INET and sock.type == socket.SOCK_DGRAM and isinstance(address, tuple) and address:
        remote = address_of(address[0])
        if remote is not None and _source(loop, sock, remote)[0] is not None:
            _refuse_datagrams(address[0])


async def sock_connect(loop: "StackLoop", base: Base, sock: socket.socket, address: Any) -> None:
    """`loop.sock_connect`: a stack address makes `sock` a CarrierSocket, all else is `base`'s.

    Raises what a kernel socket would; OSError(EOPNOTSUPP) for a datagram socket and a stack address.
    """
    if sock.family != socket.AF_INET or not isinstance(address, tuple) or len(address) < PAIR:
        await base(sock, address)
        return
    if loop.get_debug() and sock.gettimeout() != 0:
        raise ValueError("the socket must be non-blocking")
    if isinstance(sock, CarrierSocket):
        carried(sock)
        raise AlreadyConnected("this socket is connected already; connect a new one")
    if address_of(address[0]) is None or not isinstance(address[1], int):
        infos = await loop.getaddrinfo(*address[:2], family=sock.family, type=sock.type, proto=sock.proto)
        address = infos[0][4]
    check_port(address[1])
    remote = address_of(address[0])
    assert remote is not None  # AF_INET was asked for
    source, local = _source(loop, sock, remote)
    if source is None:
        await base(sock, address)
        return
    if sock.type != socket.SOCK_STREAM:
        _refuse_datagrams(address[0])
    reuse = bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR))
    connection = Carried(*source.dial(remote, address[1], *local, reuse=reuse))
    try:
        for level, option, value in _chosen_options(sock):
            connection.face.setsockopt(level, option, value)
    except BaseException:
        connection.abort()
        raise
    await connection.connected()
    if sock.fileno() == -1:
        connection.abort()
        raise OSError(errno.EBADF, "the socket was closed while it was being connected")
    _carry(sock, connection)
