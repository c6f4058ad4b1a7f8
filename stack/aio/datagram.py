"""asyncio's datagram transport over one UDP endpoint of the stack.

Datagrams go to the device at once and never wait in the transport: its write buffer is always empty
and `pause_writing` is never called.  What cannot be sent is reported by `error_received`, like ICMP
errors, which reach endpoints with a fixed peer (RFC 1122 §4.1.3.3).  As in asyncio an error in a callback of the
protocol is told of, and the endpoint stays open.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from stack.aio.driver import Driver, Ended
from stack.aio.names import check_port
from stack.aio.sockets import UdpSocket
from stack.aio.sockopt import datagram_target, sockaddr
from stack.aio.transports import HIGH_WATER, water_marks
from stack.udp.endpoint import UdpEndpoint
from stack.wire.addr import ANY

D = TypeVar("D", bound=asyncio.DatagramProtocol)

_LOST: Final = 1 << 16  # our own event bit: call connection_lost


def open_udp(
    driver: Driver,
    local: tuple[int, int],
    peer: tuple[int, int] | None = None,
    *,
    reuse: bool = False,
    broadcast: bool = False,
) -> UdpEndpoint:
    """An endpoint on `local` (address, port), connected to `peer`.  Raises AddressInUse, AddressNotAvailable,
    InvalidAddress, OverflowError for what is no port.
    """
    check_port(local[1], "bind")
    if peer is not None:
        check_port(peer[1])
    host = driver.host
    endpoint = host.udp_open(*local, driver.time(), reuse=reuse, broadcast=broadcast)
    if peer is not None:
        try:
            host.udp_connect(endpoint, *peer)
        except BaseException:
            host.udp_close(endpoint)
            raise
    return endpoint


class Sender:
    """Where a datagram came from; `name` is what the protocol is told: most answers go where it says."""

    __slots__ = ("addr", "name", "port")

    def __init__(self, addr: int, port: int) -> None:
        self.addr = addr
        self.port = port
        self.name: Any = sockaddr(addr, port)  # of this type it stays one and the same object when it is compiled


class StackDatagramTransport(asyncio.DatagramTransport, asyncio.Transport):
    """A datagram transport; `peer` is where datagrams without an address go, and the only one that may be named.

    An asyncio.Transport as well, as those of asyncio's own loops are; what streams alone do is NotImplementedError.
    """

    __slots__ = (
        "_closing",
        "_driver",
        "_endpoint",
        "_error",
        "_high",
        "_lost",
        "_low",
        "_peer",
        "_protocol",
        "_sender",
        "_socket",
    )

    def __init__(
        self, driver: Driver, endpoint: UdpEndpoint, protocol: asyncio.DatagramProtocol, peer: tuple[int, int] | None
    ) -> None:
        self._driver = driver
        self._endpoint = endpoint
        self._protocol: Any = protocol
        self._peer = peer
        self._socket = UdpSocket(endpoint, peer, driver)
        self._closing = False
        self._lost = False
        self._error: Exception | None = None
        self._low, self._high = HIGH_WATER // 4, HIGH_WATER
        self._sender = Sender(ANY, 0)  # of the last datagram
        driver.admit(self)
        endpoint.user = self

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        return f"<{type(self).__name__} {state} {self._socket!r}>"

    def start(self) -> None:
        """Make the endpoint known to its protocol, and deliver what came already with the next pass."""
        try:
            self._protocol.connection_made(self)
        except Exception as exc:  # noqa: BLE001  (application code may raise anything)
            self._driver.report(self, self._protocol, "connection_made", exc)
        if self._endpoint.events:
            self._driver.post(self, self._endpoint.take_events())

    # -- the driver's calls

    def on_events(self, events: int) -> None:
        """Inside a pass."""
        endpoint, sender = self._endpoint, self._sender
        while not self._closing and (datagram := endpoint.recv()) is not None:
            if datagram[1] != sender.addr or datagram[2] != sender.port:
                sender = self._sender = Sender(datagram[1], datagram[2])
            try:
                self._protocol.datagram_received(datagram[0], sender.name)
            except Exception as exc:  # noqa: BLE001  (application code may raise anything)
                self._driver.report(self, self._protocol, "datagram_received", exc)
        while not self._closing and (error := endpoint.take_error()) is not None:
            try:
                self._protocol.error_received(error)
            except Exception as exc:  # noqa: BLE001  (application code may raise anything)
                self._driver.report(self, self._protocol, "error_received", exc)
        if events & _LOST:
            self._connection_lost()

    def _connection_lost(self) -> None:
        if not self._lost:
            self._lost = True
            self._driver.release(self)
            try:
                self._protocol.connection_lost(self._error)
            finally:
                self._socket.retire()

    def on_callback_error(self, exc: BaseException) -> None:
        """`connection_lost` raised: there is nothing left to end."""

    def on_device_gone(self, exc: Ended) -> None:
        """The link is lost for good, or the host was closed."""
        self._closing = True
        self._error = exc
        self._connection_lost()

    # -- sending

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send one datagram (any bytes-like object), to `addr` or to the fixed peer; after `close` nothing.

        It leaves at the end of the pass, or in the loop's next round, with whatever else was sent.

        Raises TypeError, ValueError and OverflowError for what can be no address, as asyncio or the socket module do;
        all else that keeps it from being sent is told to `error_received`.
        """
        if type(data) is not bytes and not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        peer = self._peer
        if peer is not None and addr is not None and addr != sockaddr(*peer):
            raise ValueError(f"Invalid address: must be None or {sockaddr(*peer)}")
        if self._closing:
            return
        driver = self._driver
        try:
            if peer is not None:
                target, port = peer
            elif addr is (sender := self._sender).name:  # an answer
                target, port = sender.addr, sender.port
            else:
                target, port = datagram_target(addr)
            driver.schedule()  # first, since it raises in another thread and in a forked child
            datagram = data if type(data) is bytes else bytes(data)
            driver.host.udp_send(self._endpoint, datagram, target, port, driver.time())
        except OSError as exc:
            self._protocol.error_received(exc)

    def get_write_buffer_size(self) -> int:
        """Always 0."""
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high), as set; nothing is ever buffered."""
        return (self._low, self._high)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever buffered: no limit is reached.  Raises ValueError as asyncio does."""
        self._low, self._high = water_marks(high, low)

    # -- closing

    def is_closing(self) -> bool:
        """Whether close or abort was called."""
        return self._closing

    def close(self) -> None:
        """Free the port; `connection_lost` follows."""
        if self._closing:
            return
        self._driver.schedule()  # first, as in `sendto`
        self._closing = True
        self._endpoint.user = None
        self._driver.host.udp_close(self._endpoint)
        self._driver.post(self, _LOST)

    def abort(self) -> None:
        """The same as close: nothing is ever buffered."""
        self.close()

    # -- looking in

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on `protocol` is called."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that is called."""
        return self._protocol  # type: ignore[no-any-return]

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """sockname, peername (with a fixed peer), socket; and our own: endpoint."""
        endpoint = self._endpoint
        if name == "sockname":
            return sockaddr(endpoint.local_addr, endpoint.local_port)
        if name == "peername" and self._peer is not None:
            return sockaddr(*self._peer)
        if name == "socket":
            return self._socket
        if name == "endpoint":
            return endpoint
        return default


def attach(
    driver: Driver, endpoint: UdpEndpoint, factory: Callable[[], D], peer: tuple[int, int] | None
) -> tuple[StackDatagramTransport, D]:
    """A transport over `endpoint` and a protocol that was told of it; when `factory` raises, the port is free again."""
    try:
        protocol = factory()
    except BaseException:
        driver.host.udp_close(endpoint)
        raise
    transport = StackDatagramTransport(driver, endpoint, protocol, peer)
    transport.start()
    return transport, protocol
