"""The services that a server under test offers, as plain asyncio protocols: they know no stack.

5001/tcp sink, 5002/tcp source of zeros, 5003/tcp and 5003/udp echo, 8080/tcp HTTP/1.1 with one fixed answer.
"""

import asyncio
from typing import cast

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n"
REQUEST_END = b"\r\n\r\n"
CHUNK = bytes(1 << 18)


class Sink(asyncio.Protocol):
    """Reads and forgets."""


class BufferedSink(asyncio.BufferedProtocol):
    """The same through a buffer of its own: the fastest way that uvloop offers."""

    _buffer = bytearray(1 << 18)

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002  (the interface of asyncio)
        """Always the same one."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Forget."""


class Answering(asyncio.Protocol):
    """Keeps the transport for what answers."""

    __slots__ = ("transport",)

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's has no such base


class Source(Answering):
    """Writes zeros until the peer has enough."""

    __slots__ = ("_paused",)

    def __init__(self) -> None:
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start to write."""
        super().connection_made(transport)
        self._pump()

    def _pump(self) -> None:
        if not self._paused and not self.transport.is_closing():
            self.transport.write(CHUNK)
            asyncio.get_running_loop().call_soon(self._pump)

    def pause_writing(self) -> None:
        """Too much is waiting to be sent."""
        self._paused = True

    def resume_writing(self) -> None:
        """Go on."""
        self._paused = False
        self._pump()


class Echo(Answering):
    """Sends back what comes."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Send it back."""
        self.transport.write(data)


class Http(Answering):
    """One answer per request; requests of the benchmark come whole."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        """Answer each request in `data`."""
        self.transport.write(RESPONSE * data.count(REQUEST_END))


class DatagramEcho(asyncio.DatagramProtocol):
    """Sends back what comes."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where answers go."""
        self.transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Send it back."""
        self.transport.sendto(data, addr)


SINK = 5001
STREAMS: dict[int, type[asyncio.Protocol]] = {SINK: Sink, 5002: Source, 5003: Echo, 8080: Http}
DATAGRAMS: dict[int, type[asyncio.DatagramProtocol]] = {5003: DatagramEcho}
BACKLOG = 4096
