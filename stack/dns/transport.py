"""How a resolver speaks: datagrams from ports that are used once, and TCP connections that carry many questions.

Theory of operation.  The core numbers its exchanges and streams; here each has a socket.

*Datagrams.*  Every exchange has a port of its own, drawn from all there are (RFC 5452 §9.2), and connected, so that
only the server is heard: a socket of the kernel (stack.dns.ports), or an endpoint of a host of ours.

*Streams.*  One connection for each stream of the core; what is to be sent waits until it is open.  Messages come out of
the byte stream by their lengths (RFC 1035 §4.2.2), in whatever order the server sends them.  A connection on which
nothing happened for `idle_s`, or for the time that its server has named (RFC 7828), is closed (RFC 7766 §6.2.3), and
the core told, which then opens another one if need be.

*Whose network.*  A resolver speaks as the host that it was given; else as the loop does: a StackLoop knows for each
address whether a host of ours or the kernel speaks to it.  Loopback addresses are the kernel's.

What comes, or fails, is told to the `Sink`, which may be called from within `send_udp`.
"""

import asyncio
import errno
import socket
from collections.abc import Callable
from contextvars import Context, copy_context
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from stack.aio.active import ACTIVE
from stack.aio.datagram import open_udp
from stack.aio.driver import Driver, Ended
from stack.aio.names import address_of
from stack.config import SECOND, Rng
from stack.dns.constants import PORT
from stack.dns.core.answer import Failure
from stack.dns.core.config import Server
from stack.dns.ports import PORT_TRIES, KernelPorts, Sink, failure_of, random_port
from stack.errors import AddressInUse
from stack.udp.endpoint import UdpEndpoint
from stack.wire.addr import ANY, format_addr, is_loopback

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost

IDLE_S: Final = 10.0  # RFC 7766 §6.2.3: "of the order of a few seconds"
IDLE_MAX_S: Final = 120.0  # whatever a server allows
_EARLY_S: Final = 0.001  # by which timers may ring too soon
_BEFORE: Final = 0.9  # RFC 7828 §3.2.2: the client closes it, before the server's time is up
_LENGTH: Final = 2  # octets before each message


class _HostPort:
    """One exchange over a host of ours: the driver's handler of an endpoint, with nothing of asyncio in between."""

    __slots__ = ("_driver", "_endpoint", "_exchange", "_server", "_sink")

    def __init__(self, driver: Driver, endpoint: UdpEndpoint, exchange: int, server: Server, sink: Sink) -> None:
        self._driver = driver
        self._endpoint = endpoint
        self._exchange = exchange
        self._server = server
        self._sink = sink
        endpoint.user = self
        driver.admit(self)

    def send(self, wire: bytes) -> None:
        """One datagram.  Raises OSError when the host cannot send."""
        driver, endpoint = self._driver, self._endpoint
        driver.schedule()
        driver.host.udp_send(endpoint, wire, endpoint.remote_addr, endpoint.remote_port, driver.time())

    def on_events(self, events: int) -> None:  # noqa: ARG002  (the interface of a handler)
        """A datagram, which is the server's since the endpoint is connected, or an error."""
        endpoint = self._endpoint
        while not endpoint.closed and (datagram := endpoint.recv()) is not None:
            self._sink.on_datagram(self._exchange, self._server, datagram[0])
        while not endpoint.closed and (error := endpoint.take_error()) is not None:
            self._sink.on_failed(self._exchange, failure_of(error))

    def on_callback_error(self, exc: BaseException) -> None:
        """The exchange will time out."""

    def on_device_gone(self, exc: Ended) -> None:
        """The host has gone, and the port with it."""
        self._endpoint.user = None
        self._sink.on_failed(self._exchange, failure_of(exc))

    def close(self) -> None:
        """Free the port."""
        if self._endpoint.user is None:
            return
        self._driver.schedule()  # first, since it raises in another thread and in a forked child
        self._endpoint.user = None
        self._driver.host.udp_close(self._endpoint)
        self._driver.release(self)

    def abort(self) -> None:
        """The same."""
        self.close()


class Stream(asyncio.Protocol):
    """One TCP connection.  `on_message` and, once, `on_end` are called until `close`."""

    # fmt: off
    __slots__ = (
        "_buffer", "_heard_at", "_idle_s", "_idle_timer", "_loop", "_on_end", "_on_message", "_transport",
        "_unanswered", "_waiting", "is_closed", "task",
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
        self._unanswered = 0
        self._transport: Any = None
        self._waiting: list[bytes] = []  # until it is open
        self._buffer = bytearray()
        self.task: asyncio.Task[None] | None = None  # opens it

    def send(self, wire: bytes) -> None:
        """One message."""
        framed = len(wire).to_bytes(_LENGTH, "big") + wire
        self._heard_at = self._loop.time()
        self._unanswered += 1
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
            self._unanswered = max(0, self._unanswered - 1)
            self._on_message(bytes(buffer[at + _LENGTH : at + _LENGTH + length]))
            at += _LENGTH + length
        del buffer[:at]

    def connection_lost(self, exc: Exception | None) -> None:
        """Closed by the server, or broken."""
        self._transport = None
        self._fail(Failure.CLOSED if exc is None else failure_of(exc))

    def keep_open(self, idle_s: float) -> None:
        """Close it when nothing has happened for so long."""
        self._idle_s = idle_s
        timer = self._idle_timer
        if timer is not None and timer.when() > self._loop.time() + idle_s:
            timer.cancel()
            self._idle_timer = self._loop.call_later(idle_s, self._on_idle)

    def _on_idle(self) -> None:
        """RFC 7766 §6.2.3: what is not used is not kept."""
        # RFC 7766 §3: idle is what has no questions outstanding; those that nobody waits for any more may stay so
        idle_s = max(self._idle_s, IDLE_S) if self._unanswered else self._idle_s
        left = self._heard_at + idle_s - self._loop.time()
        if left > _EARLY_S:
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
        "_context", "_host", "_idle_s", "_kernel", "_kernel_only", "_loop", "_ports", "_rng", "_sink", "_source_for",
        "_streams",
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
        self._kernel_only = host is None and self._source_for is None and self._context.get(ACTIVE) is None
        self._rng = rng
        self._kernel = KernelPorts(loop, rng, sink)
        self._ports: dict[int, _HostPort] = {}
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
        if self._kernel_only:
            self._kernel.send(exchange, server, wire)
            return
        try:
            host = self.host_for(server[0])
            if host is not None:
                self._send_by(host, exchange, server, wire)
                return
        except OSError as error:
            self._sink.on_failed(exchange, failure_of(error))
            return
        self._kernel.send(exchange, server, wire)

    def _send_by(self, host: "AsyncHost", exchange: int, server: Server, wire: bytes) -> None:
        driver = host.open_driver()
        peer = (address_of(server[0]) or ANY, server[1])
        port = _HostPort(driver, self._bind(driver, peer), exchange, server, self._sink)
        self._ports[exchange] = port
        port.send(wire)

    def _bind(self, driver: Driver, peer: tuple[int, int]) -> UdpEndpoint:
        """On a port drawn from all there are, as with the kernel's: the host's ephemeral ones are half of them."""
        for _ in range(PORT_TRIES):
            try:
                return open_udp(driver, (ANY, random_port(self._rng)), peer)
            except AddressInUse:
                continue
        return open_udp(driver, (ANY, 0), peer)

    def release(self, exchange: int) -> None:
        """The exchange is over."""
        if not self._kernel.release(exchange):
            port = self._ports.pop(exchange, None)
            if port is not None:
                port.close()

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

    def keep_open(self, number: int, idle_us: int) -> None:
        """The server closes the stream when it has been idle for `idle_us`: be first."""
        stream = self._streams.get(number)
        if stream is not None:
            stream.keep_open(min(idle_us / SECOND * _BEFORE, IDLE_MAX_S))

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
