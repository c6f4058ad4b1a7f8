"""asyncio's datagram transport over one UDP endpoint of the stack.

Datagrams go to the device at once and never wait in the transport: its write buffer is always empty
and `pause_writing` is never called.  What cannot be sent is reported by `error_received`, like ICMP
errors, which reach endpoints with a fixed peer (RFC 1122 §4.1.3.3).
"""

import asyncio
from typing import Any

from stack.aio.driver import Driver
from stack.aio.sockets import Address, UdpSocket, from_sockaddr, sockaddr
from stack.errors import DeviceGone
from stack.udp.endpoint import UdpEndpoint

_LOST = 1 << 16  # our own event bit: call connection_lost


class StackDatagramTransport(asyncio.DatagramTransport):
    """A datagram transport.  Made by AsyncHost.create_datagram_endpoint."""

    __slots__ = ("_closing", "_driver", "_endpoint", "_error", "_lost", "_peer", "_protocol")

    def __init__(
        self, driver: Driver, endpoint: UdpEndpoint, protocol: asyncio.DatagramProtocol, peer: tuple[int, int] | None
    ) -> None:
        self._driver = driver
        self._endpoint = endpoint
        self._protocol = protocol
        self._peer = peer
        self._closing = False
        self._lost = False
        self._error: Exception | None = None
        driver.admit(self)
        endpoint.user = self

    def on_events(self, events: int) -> None:
        """The driver's call, inside a pass."""
        endpoint, protocol = self._endpoint, self._protocol
        while not self._closing and (datagram := endpoint.recv()) is not None:
            protocol.datagram_received(datagram[0], sockaddr(datagram[1], datagram[2]))
        while not self._closing and (error := endpoint.take_error()) is not None:
            protocol.error_received(error)
        if events & _LOST:
            self._connection_lost()

    def _connection_lost(self) -> None:
        if not self._lost:
            self._lost = True
            self._driver.release(self)
            self._protocol.connection_lost(self._error)

    def on_callback_error(self, exc: Exception) -> None:
        """A callback of the protocol raised."""
        self._shut(exc)

    def on_device_gone(self, exc: DeviceGone) -> None:
        """The link is lost for good."""
        self._closing = True
        self._error = exc
        self._connection_lost()

    def sendto(self, data: Any, addr: Address | None = None) -> None:  # type: ignore[override]
        """Send one datagram (any bytes-like object), to `addr` or to the fixed peer."""
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._peer is not None:
            if addr is not None and from_sockaddr(addr) != self._peer:
                raise ValueError(f"Invalid address: must be None or {sockaddr(*self._peer)}")
            target, port = self._peer
        elif addr is None:
            raise ValueError("an address is needed: the endpoint has no fixed peer")
        else:
            target, port = from_sockaddr(addr)
        if self._closing:
            return
        driver = self._driver
        try:
            driver.host.udp_send(self._endpoint, bytes(data), target, port, driver.time())
        except OSError as exc:
            self._protocol.error_received(exc)
            return
        driver.schedule()

    def get_write_buffer_size(self) -> int:
        """Always 0."""
        return 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high); nothing is ever buffered."""
        return (0, 0)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is ever buffered."""

    def is_closing(self) -> bool:
        """Whether close or abort was called."""
        return self._closing

    def close(self) -> None:
        """Free the port; `connection_lost` follows."""
        self._shut(None)

    def abort(self) -> None:
        """The same as close: nothing is ever buffered."""
        self._shut(None)

    def _shut(self, exc: Exception | None) -> None:
        if self._closing:
            return
        self._closing = True
        self._error = exc
        self._endpoint.user = None
        self._driver.host.udp_close(self._endpoint)
        self._driver.post(self, _LOST)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on `protocol` is called."""
        assert isinstance(protocol, asyncio.DatagramProtocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that is called."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """sockname, peername (with a fixed peer), socket; and our own: endpoint."""
        endpoint = self._endpoint
        if name == "sockname":
            return sockaddr(endpoint.local_addr, endpoint.local_port)
        if name == "peername" and self._peer is not None:
            return sockaddr(*self._peer)
        if name == "socket":
            return UdpSocket(sockaddr(endpoint.local_addr, endpoint.local_port), self._peer and sockaddr(*self._peer))
        if name == "endpoint":
            return endpoint
        return default
