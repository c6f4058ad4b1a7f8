"""UDP ports of the kernel that are used once, and whom a transport tells of what comes.

Theory of operation.  Every exchange has a socket of its own, on a port of its own drawn from all there are (RFC 5452
§9.2), and connected, so that the kernel drops what others send and tells of ICMP errors.  These are plain sockets in
one epoll set, of which alone the loop knows: to have it watch a descriptor that lives for one reply would cost more
than the reply.  One is made ahead, while a server is at work; but no port is opened ahead, since a port that waits for
its question can be found by probing before that is asked.

When several replies were there at once, their readers are about to run, and many will ask on.  What they send is
collected until they have run, and then goes out in one go: so servers are woken once, and not once for each question.
"""

import asyncio
import errno
import select
import socket
from typing import Final, Protocol

from stack.config import Rng
from stack.dns.core.answer import Failure
from stack.dns.core.config import Server

LOW_PORT: Final = 1024  # RFC 6056 §3.2: the whole range of those that are nobody's privilege
PORT_TRIES: Final = 16  # of ports, until one is found that is free; then the kernel, or the host, chooses
MAX_DATAGRAM: Final = 4096  # what is read of one; we announce 1232
READY_AT_ONCE: Final = 256  # sockets that are served before the loop goes on
_PORT_BITS: Final = 16
_KIND: Final = int(socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
# plain ints: an IntEnum costs more with every socket
_INET: Final = int(socket.AF_INET)
_INET6: Final = int(socket.AF_INET6)
_READABLE: Final = int(select.EPOLLIN)
# linux/in.h, in6.h: IP_RECVERR, IPV6_RECVERR: also ICMP errors other than "port unreachable" are told
_TELL: Final = int(socket.IPPROTO_IP), 11
_TELL6: Final = int(socket.IPPROTO_IPV6), 25

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

    __slots__ = ("_collected", "_epoll", "_exchanges", "_loop", "_rng", "_sink", "_sockets", "_spare")

    def __init__(self, loop: asyncio.AbstractEventLoop, rng: Rng, sink: Sink) -> None:
        self._loop = loop
        self._rng = rng
        self._sink = sink
        self._epoll: select.epoll | None = None
        self._sockets: dict[int, socket.SocketType] = {}  # by exchange
        self._exchanges: dict[int, int] = {}  # by descriptor
        self._spare: socket.SocketType | None = None  # for the next IPv4 exchange; it has no port yet
        self._collected: dict[int, tuple[Server, bytes]] | None = None  # by exchange; None: what is sent goes at once

    def __len__(self) -> int:
        return len(self._sockets)

    def send(self, exchange: int, server: Server, wire: bytes) -> None:
        """From a port of its own.  Failures are told, some of them later."""
        if self._collected is not None:
            self._collected[exchange] = server, wire
        else:
            self._send(exchange, server, wire)

    def _send(self, exchange: int, server: Server, wire: bytes) -> None:
        try:
            epoll = self._epoll or self._watch()
            if ":" in server[0]:
                sock = _open(epoll, _INET6)
            else:
                sock = self._spare or _open(epoll, _INET)
                self._spare = None
        except OSError as error:
            self._sink.on_failed(exchange, failure_of(error))
            return
        try:
            self._bind(sock)
            sock.connect(server)
            sock.send(wire)
        except OSError as error:
            sock.close()
            self._sink.on_failed(exchange, failure_of(error))
            return
        self._sockets[exchange] = sock
        self._exchanges[sock.fileno()] = exchange
        if self._spare is None and self._collected is None:
            try:
                self._spare = _open(epoll, _INET)  # while the server is at work
            except OSError:
                return  # whoever needs one will be told

    def _watch(self) -> select.epoll:
        epoll = self._epoll = select.epoll()
        self._loop.add_reader(epoll.fileno(), self._on_ready)
        return epoll

    def _bind(self, sock: socket.SocketType) -> None:
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
            return self._collected is not None and self._collected.pop(exchange, None) is not None
        del self._exchanges[sock.fileno()]
        sock.close()  # which takes it out of the set
        return True

    def _on_ready(self) -> None:
        """The loop says that some sockets have something."""
        sink = self._sink
        assert self._epoll is not None
        if len(self._exchanges) == 1:
            ready = list(self._exchanges)  # no need to ask which
        else:
            ready = [descriptor for descriptor, _ in self._epoll.poll(0, READY_AT_ONCE)]
            if len(ready) > 1 and self._collected is None:
                self._collected = {}
        try:
            for descriptor in ready:
                exchange = self._exchanges.get(descriptor)
                if exchange is None:  # released since, by what another one brought
                    continue
                try:
                    wire, source = self._sockets[exchange].recvfrom(MAX_DATAGRAM)
                except BlockingIOError:  # what came had a wrong checksum
                    continue
                except OSError as error:
                    sink.on_failed(exchange, failure_of(error))
                else:
                    sink.on_datagram(exchange, source[:2], wire)
        finally:
            if self._collected is not None:
                self._loop.call_soon(self._send_collected)  # after those who are woken by now

    def _send_collected(self) -> None:
        collected, self._collected = self._collected, None
        if collected is not None:
            while collected:
                exchange = next(iter(collected))
                self._send(exchange, *collected.pop(exchange))

    def close(self) -> None:
        """Close everything."""
        self._collected = None
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


def _open(epoll: select.epoll, family: int) -> socket.SocketType:
    """A socket that is watched, and has no port.  Raises OSError."""
    sock = socket.SocketType(family, _KIND)  # without what socket.socket adds: it lives for one reply
    try:
        sock.setsockopt(*(_TELL6 if family == _INET6 else _TELL), 1)
        epoll.register(sock.fileno(), _READABLE)
    except BaseException:
        sock.close()
        raise
    return sock
