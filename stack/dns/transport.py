"""How a resolver speaks: datagrams from ports that are used once, and TCP connections that carry many questions.

Theory of operation.  The core numbers its exchanges and streams; here each has a socket.

*Datagrams.*  Every exchange has a socket of its own, on a port of its own drawn from all there are (RFC 5452 §9.2), and
connected, so that the kernel drops what others send and tells of ICMP errors.  Over the kernel these are plain sockets
in one epoll set, of which alone the loop knows: to have it watch a descriptor that lives for one reply would cost more
than the reply.  One is made ahead, while a server is at work; but no port is opened ahead, since a port that waits for
its question can be found by probing before that is asked.

*Streams.*  One connection for each stream of the core; what is to be sent waits until it is open.  Messages come out of
the byte stream by their lengths (RFC 1035 §4.2.2), in whatever order the server sends them.  A connection on which
nothing happened for `idle_s` is closed (RFC 7766 §6.2.3), and the core told, which then opens another one if need be.

*Whose network.*  A resolver speaks as the host that it was given; else as the loop does: a StackLoop knows for each
address whether a host of ours or the kernel speaks to it.  Loopback addresses are the kernel's.

What comes, or fails, is told to the `Sink`, which may be called from within `send_udp`.
"""

import asyncio
import errno
import select
import socket
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from stack.aio.active import ACTIVE
from stack.aio.datagram import StackDatagramTransport, attach, open_udp
from stack.aio.driver import Driver
from stack.aio.names import address_of
from stack.config import Rng
from stack.dns.constants import PORT
from stack.dns.core.actions import Failure
from stack.dns.core.config import Server
from stack.errors import AddressInUse
from stack.udp.endpoint import UdpEndpoint
from stack.wire.addr import ANY, format_addr, is_loopback

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost

LOW_PORT: Final = 1024  # RFC 6056 §3.2: the whole range of those that are nobody's privilege
PORT_TRIES: Final = 16  # of ports, until one is found that is free; then the kernel, or the host, chooses
MAX_DATAGRAM: Final = 4096  # what is read of one; we announce 1232
READY_AT_ONCE: Final = 256  # sockets that are served before the loop goes on
IDLE_S: Final = 10.0  # RFC 7766 §6.2.3: "of the order of a few seconds"
_PORT_BITS: Final = 16
_KIND: Final = int(socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
_LENGTH: Final = 2  # octets before each message
_IP_RECVERR, _IPV6_RECVERR = 11, 25  # linux/in.h, in6.h: also ICMP errors other than "port unreachable" are told

_NO_ROUTE: Final = frozenset(
    {errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EINVAL, errno.EACCES, errno.ENETDOWN}
)
_NO_SOCKET: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRINUSE})


class Sink(Protocol):
    """Who is told of what comes: exchanges and streams by the core's numbers."""

    def on_datagram(self, exchange: int, source: Server, wire: bytes) -> None:
        """A datagram came to the port of an exchange."""

    def on_stream_message(self, stream: int, wire: bytes) -> None:
        """A message came on a stream."""

    def on_failed(self, number: int, failure: Failure) -> None:
        """An exchange or a stream has come to nothing."""


def failure_of(error: BaseException | None) -> Failure:
    """What an error of sockets means for a try."""
    code = error.errno if isinstance(error, OSError) else None
    if code in _NO_ROUTE:
        return Failure.NO_ROUTE
    if code in _NO_SOCKET:
        return Failure.NO_SOCKET
    if isinstance(error, ConnectionRefusedError):
        return Failure.REFUSED
    if isinstance(error, TimeoutError):
        return Failure.CONNECT_TIMEOUT
    if error is None or isinstance(error, ConnectionError):
        return Failure.CLOSED
    return Failure.UNREACHABLE


def random_port(rng: Rng) -> int:
    """Any that is nobody's privilege.  Bits cost a fifth of what `randrange` does."""
    while True:
        port = rng.getrandbits(_PORT_BITS)
        if port >= LOW_PORT:
            return port


class KernelPorts:
    """UDP sockets of the kernel, each for one exchange.  `loop` must have `add_reader`."""

    __slots__ = ("_epoll", "_exchanges", "_loop", "_rng", "_sink", "_sockets", "_spare")

    def __init__(self, loop: asyncio.AbstractEventLoop, rng: Rng, sink: Sink) -> None:
        self._loop = loop
        self._rng = rng
        self._sink = sink
        self._epoll: select.epoll | None = None
        self._sockets: dict[int, socket.socket] = {}  # by exchange
        self._exchanges: dict[int, int] = {}  # by descriptor
        self._spare: socket.socket | None = None  # for the next IPv4 exchange; it has no port yet

    def __len__(self) -> int:
        return len(self._sockets)

    def send(self, exchange: int, server: Server, wire: bytes) -> None:
        """From a port of its own.  Raises OSError."""
        epoll = self._epoll
        if epoll is None:
            epoll = self._epoll = select.epoll()
            self._loop.add_reader(epoll.fileno(), self._on_ready)
        if ":" in server[0]:
            sock = _open(epoll, socket.AF_INET6)
        else:
            sock = self._spare or _open(epoll, socket.AF_INET)
            self._spare = None
        try:
            self._bind(sock)
            sock.connect(server)
            sock.send(wire)
        except BaseException:
            sock.close()
            raise
        self._sockets[exchange] = sock
        self._exchanges[sock.fileno()] = exchange
        if self._spare is None:
            with suppress(OSError):  # whoever needs one will be told
                self._spare = _open(epoll, socket.AF_INET)  # while the server is at work

    def _bind(self, sock: socket.socket) -> None:
        """To a port drawn by us: the kernel would draw from fewer.  Where so many are taken, one that it finds."""
        for _ in range(PORT_TRIES):
            try:
                sock.bind(("", random_port(self._rng)))
            except OSError as error:
                if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                    raise
            else:
                return

    def release(self, exchange: int) -> bool:
        """Close its socket; False when it has none."""
        sock = self._sockets.pop(exchange, None)
        if sock is None:
            return False
        del self._exchanges[sock.fileno()]
        sock.close()  # which takes it out of the set
        return True

    def _on_ready(self) -> None:
        """The loop says that some sockets have something."""
        sink = self._sink
        assert self._epoll is not None
        for descriptor, _ in self._epoll.poll(0, READY_AT_ONCE):
            exchange = self._exchanges.get(descriptor)
            if exchange is None:  # released since, by what another one brought
                continue
            try:
                wire, source = self._sockets[exchange].recvfrom(MAX_DATAGRAM)
            except BlockingIOError:  # it had a wrong checksum
                continue
            except OSError as error:
                sink.on_failed(exchange, failure_of(error))
            else:
                sink.on_datagram(exchange, source[:2], wire)

    def close(self) -> None:
        """Close everything."""
        for exchange in list(self._sockets):
            self.release(exchange)
        if self._spare is not None:
            self._spare.close()
            self._spare = None
        if self._epoll is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._epoll = None


def _open(epoll: select.epoll, family: socket.AddressFamily) -> socket.socket:
    """A socket that is watched, and has no port.  Raises OSError."""
    sock = socket.socket(family, _KIND)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        epoll.register(sock.fileno(), select.EPOLLIN)
    except BaseException:
        sock.close()
        raise
    return sock


class _HostPort(asyncio.DatagramProtocol):
    """One exchange over a host of ours."""

    __slots__ = ("_exchange", "_sink")

    def __init__(self, exchange: int, sink: Sink) -> None:
        self._exchange = exchange
        self._sink = sink

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        """It came from the server: the endpoint is connected."""
        self._sink.on_datagram(self._exchange, addr[:2], data)

    def error_received(self, exc: Exception) -> None:
        """ICMP, or the host could not send."""
        self._sink.on_failed(self._exchange, failure_of(exc))

    def connection_lost(self, exc: Exception | None) -> None:
        """Released, or the host has gone."""
        if exc is not None:
            self._sink.on_failed(self._exchange, failure_of(exc))


class Stream(asyncio.Protocol):
    """One TCP connection.  `on_message` and, once, `on_end` are called until `close`."""

    # fmt: off
    __slots__ = (
        "_buffer", "_heard_at", "_idle_s", "_idle_timer", "_loop", "_on_end", "_on_message", "_transport", "_waiting",
        "is_closed", "task",
    )
    # fmt: on

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        on_message: Callable[[bytes], None],
        on_end: Callable[[Failure], None],
        idle_s: float,
    ) -> None:
        self._loop = loop
        self._on_message = on_message
        self._on_end = on_end
        self.is_closed = False
        self._idle_s = idle_s
        self._idle_timer: asyncio.TimerHandle | None = None
        self._heard_at = 0.0  # when something was sent or received
        self._transport: Any = None
        self._waiting: list[bytes] = []  # until it is open
        self._buffer = bytearray()
        self.task: asyncio.Task[None] | None = None  # opens it

    def send(self, wire: bytes) -> None:
        """One message."""
        framed = len(wire).to_bytes(_LENGTH, "big") + wire
        self._heard_at = self._loop.time()
        if self._transport is None:
            self._waiting.append(framed)
        else:
            # RFC 7766 §8: length and message in one write
            self._transport.write(framed)

    def connection_made(self, transport: Any) -> None:  # (uvloop's are no subclass of asyncio.Transport)
        """It is open: send what waits."""
        self._transport = transport
        if self.is_closed:  # just when it opened
            transport.abort()
            return
        waiting, self._waiting = self._waiting, []
        transport.write(b"".join(waiting))
        self._heard_at = self._loop.time()
        self._idle_timer = self._loop.call_later(self._idle_s, self._on_idle)

    def data_received(self, data: bytes) -> None:
        """Bytes, of which every whole message is handed on."""
        self._heard_at = self._loop.time()
        buffer = self._buffer
        buffer += data
        at, end = 0, len(buffer)
        while at + _LENGTH <= end and not self.is_closed:
            length = buffer[at] << 8 | buffer[at + 1]
            if at + _LENGTH + length > end:
                break
            self._on_message(bytes(buffer[at + _LENGTH : at + _LENGTH + length]))
            at += _LENGTH + length
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by the server, or broken."""
        self._transport = None
        self._fail(Failure.CLOSED if exc is None else failure_of(exc))

    def _on_idle(self) -> None:
        """RFC 7766 §6.2.3: what is not used is not kept."""
        left = self._heard_at + self._idle_s - self._loop.time()
        if left > 0:
            self._idle_timer = self._loop.call_later(left, self._on_idle)
        else:
            self._idle_timer = None
            self._fail(Failure.CLOSED)

    def _fail(self, failure: Failure) -> None:
        if not self.is_closed:
            self.close()
            self._on_end(failure)

    def on_opened(self, task: "asyncio.Task[None]") -> None:
        """The attempt to open it has ended."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._fail(failure_of(error))

    def close(self) -> None:
        """Let go of it; nothing more is told."""
        self.is_closed = True
        self._waiting.clear()
        self._buffer.clear()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        if self.task is not None and not self.task.done():
            self.task.cancel()
        if self._transport is not None:
            self._transport.close()


class Transport:
    """See the head of this file.  `host` None: whoever the loop says speaks to an address."""

    # fmt: off
    __slots__ = (
        "_context", "_host", "_idle_s", "_kernel", "_loop", "_ports", "_rng", "_sink", "_source_for", "_streams",
    )
    # fmt: on

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        rng: Rng,
        sink: Sink,
        *,
        host: "AsyncHost | None" = None,
        idle_s: float = IDLE_S,
    ) -> None:
        self._loop = loop
        self._sink = sink
        self._host = host
        self._idle_s = idle_s
        self._context: Context = copy_context()  # whose active host is ours, whoever asks
        self._source_for = getattr(loop, "source_for", None)  # of a StackLoop
        self._rng = rng
        self._kernel = KernelPorts(loop, rng, sink)
        self._ports: dict[int, StackDatagramTransport] = {}
        self._streams: dict[int, Stream] = {}

    def __len__(self) -> int:
        """Return the number of open sockets."""
        return len(self._kernel) + len(self._ports) + len(self._streams)

    def host_for(self, address: str) -> "AsyncHost | None":
        """Who speaks to `address`, None for the kernel.  Raises OSError (ENETUNREACH) for IPv6 where no kernel is."""
        number = address_of(address)
        if number is None:
            if self._host is not None or self._context.get(ACTIVE) is not None:
                raise OSError(errno.ENETUNREACH, f"{address}: this host speaks no IPv6")
            return None
        if self._host is not None:
            # the nameserver of this machine (127.0.0.53) is nobody else's
            return None if is_loopback(number) else self._host
        return None if self._source_for is None else self._context.run(self._source_for, number)

    def source_of(self, destination: str) -> str | None:
        """The address from which `destination` would be spoken to, None when it cannot be."""
        try:
            host = self.host_for(destination)
            if host is not None:
                return format_addr(host.host.ip.path(address_of(destination) or ANY).src)
            kind = socket.AF_INET6 if ":" in destination else socket.AF_INET
            with socket.socket(kind, socket.SOCK_DGRAM) as probe:
                probe.connect((destination, PORT))  # which sends nothing
                return str(probe.getsockname()[0])
        except OSError:
            return None

    # -- datagrams

    def send_udp(self, exchange: int, server: Server, wire: bytes) -> None:
        """From a fresh port; failures are told."""
        try:
            host = self.host_for(server[0])
            if host is None:
                self._kernel.send(exchange, server, wire)
            else:
                self._send_by(host, exchange, server, wire)
        except OSError as error:
            self._sink.on_failed(exchange, failure_of(error))

    def _send_by(self, host: "AsyncHost", exchange: int, server: Server, wire: bytes) -> None:
        driver = host.open_driver()
        peer = (address_of(server[0]) or ANY, server[1])
        endpoint = self._bind(driver, peer)
        self._ports[exchange], _ = attach(driver, endpoint, lambda: _HostPort(exchange, self._sink), peer)
        self._ports[exchange].sendto(wire)

    def _bind(self, driver: Driver, peer: tuple[int, int]) -> UdpEndpoint:
        """On a port drawn from all there are, as with the kernel's: the host's ephemeral ones are half of them."""
        for _ in range(PORT_TRIES):
            with suppress(AddressInUse):
                return open_udp(driver, (ANY, random_port(self._rng)), peer)
        return open_udp(driver, (ANY, 0), peer)

    def release(self, exchange: int) -> None:
        """The exchange is over."""
        if not self._kernel.release(exchange):
            transport = self._ports.pop(exchange, None)
            if transport is not None:
                transport.close()

    # -- streams

    def send_tcp(self, number: int, server: Server, wire: bytes) -> None:
        """On the stream, which is opened when it is a new one; failures are told."""
        stream = self._streams.get(number)
        if stream is None:
            on_message = partial(self._sink.on_stream_message, number)
            stream = Stream(self._loop, on_message, partial(self._on_stream_end, number), self._idle_s)
            self._streams[number] = stream
            stream.task = self._loop.create_task(self._open(stream, server), context=self._context.copy())
            stream.task.add_done_callback(stream.on_opened)
        stream.send(wire)

    async def _open(self, stream: Stream, server: Server) -> None:
        host = self.host_for(server[0])
        if self._host is not None and host is not None:
            await host.create_connection(lambda: stream, *server)
        else:
            await self._loop.create_connection(lambda: stream, *server)

    def close_stream(self, number: int) -> None:
        """Nothing is expected from it any more."""
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.close()

    def _on_stream_end(self, number: int, failure: Failure) -> None:
        del self._streams[number]
        self._sink.on_failed(number, failure)

    def close(self) -> None:
        """Close everything."""
        self._kernel.close()
        for exchange in list(self._ports):
            self.release(exchange)
        for number in list(self._streams):
            self.close_stream(number)
