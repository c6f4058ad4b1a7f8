"""dnspython's asynchronous backend: queries come from a host of ours.

    answer = await dns.asyncresolver.Resolver(configure=False).resolve("example.org", backend=StackBackend(host))

The program runs on asyncio, on the loop of the host.  UDP, TCP and TLS; DNS over HTTPS and QUIC have transports of
their own in dnspython.
"""

import asyncio
import socket
import ssl
from collections.abc import Awaitable
from typing import Any, TypeVar

from stack.adapters import missing
from stack.adapters.streams import ByteStream, Datagrams, open_datagrams
from stack.aio.network import AsyncHost
from stack.aio.sockets import Address

try:
    import dns.exception
    from dns import _asyncbackend  # `dns.asyncbackend` has these classes too, but exports them to no type checker
except ImportError as error:
    raise missing("dnspython", error) from error

T = TypeVar("T")


async def _within(awaitable: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109  (dnspython's interface)
    """Wait for it.  Raises dns.exception.Timeout."""
    try:
        async with asyncio.timeout(timeout):
            return await awaitable
    except TimeoutError as exc:
        raise dns.exception.Timeout(timeout=timeout) from exc  # type: ignore[no-untyped-call]


class StackBackend(_asyncbackend.Backend):
    """Sockets of `host`."""

    __slots__ = ("_host",)

    def __init__(self, host: AsyncHost) -> None:
        self._host = host

    def name(self) -> str:
        """The name of this backend."""
        return "tapstack"

    async def make_socket(
        self,
        af: int,
        socktype: int,
        proto: int = 0,  # noqa: ARG002  (it follows from the type)
        source: Address | None = None,
        destination: Address | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  (dnspython's interface)
        ssl_context: ssl.SSLContext | None = None,
        server_hostname: str | None = None,
    ) -> Any:
        """A datagram or stream socket.  Raises OSError, dns.exception.Timeout."""
        if socktype == socket.SOCK_DGRAM:
            return _DatagramSocket(af, await open_datagrams(self._host, source, destination))
        if socktype != socket.SOCK_STREAM or destination is None:
            raise NotImplementedError(f"no sockets of type {socktype} without a destination")
        connecting = self._host.create_connection(
            ByteStream,
            destination[0],
            destination[1],
            local_addr=source,
            ssl=ssl_context,
            server_hostname=server_hostname if ssl_context is not None else None,
        )
        _, stream = await _within(connecting, timeout)
        return _StreamSocket(af, stream)

    def datagram_connection_required(self) -> bool:
        """Replies come to endpoints without a fixed peer, too."""
        return False

    async def sleep(self, interval: float) -> None:
        """Wait, before a query is repeated."""
        await asyncio.sleep(interval)

    async def wait_for(self, awaitable: Awaitable[T], timeout: float | None) -> T:  # noqa: ASYNC109
        """Wait for it.  Raises dns.exception.Timeout."""
        return await _within(awaitable, timeout)


class _DatagramSocket(_asyncbackend.DatagramSocket):
    def __init__(self, family: int, datagrams: Datagrams) -> None:
        super().__init__(family, socket.SOCK_DGRAM)
        self._datagrams = datagrams

    async def sendto(self, what: bytes, destination: Address, timeout: float | None) -> int:  # noqa: ARG002, ASYNC109
        self._datagrams.transport.sendto(what, destination)
        return len(what)

    async def recvfrom(self, size: int, timeout: float | None) -> tuple[bytes, Address]:  # noqa: ARG002, ASYNC109
        return await _within(self._datagrams.receive(), timeout)

    async def close(self) -> None:
        self._datagrams.close()

    async def getpeername(self) -> Any:
        return self._datagrams.transport.get_extra_info("peername")

    async def getsockname(self) -> Any:
        return self._datagrams.transport.get_extra_info("sockname")

    async def getpeercert(self, timeout: float | None) -> Any:  # noqa: ASYNC109
        raise NotImplementedError("datagrams have no certificate")


class _StreamSocket(_asyncbackend.StreamSocket):
    def __init__(self, family: int, stream: ByteStream) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._stream = stream

    async def sendall(self, what: bytes, timeout: float | None) -> None:  # noqa: ASYNC109
        await _within(self._stream.send(what), timeout)

    async def recv(self, size: int, timeout: float | None) -> bytes:  # noqa: ASYNC109
        return await _within(self._stream.receive(size), timeout)

    async def close(self) -> None:
        self._stream.close()

    async def getpeername(self) -> Any:
        return self._stream.transport.get_extra_info("peername")

    async def getsockname(self) -> Any:
        return self._stream.transport.get_extra_info("sockname")

    async def getpeercert(self, timeout: float | None) -> Any:  # noqa: ARG002, ASYNC109
        return self._stream.transport.get_extra_info("peercert")
