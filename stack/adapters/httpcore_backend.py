"""httpcore's network backend: httpx and httpcore speak from a host of ours.

    pool = httpcore.AsyncConnectionPool(network_backend=StackBackend(host))

The program runs on asyncio, on the loop of the host.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Iterable, Iterator
from typing import Any

from stack.adapters import missing
from stack.adapters.streams import ByteStream, connect
from stack.aio.network import AsyncHost

try:
    import httpcore
except ImportError as error:
    raise missing("httpcore", error) from error


class StackBackend(httpcore.AsyncNetworkBackend):
    """Connections from `host`, whose resolver is asked about names."""

    __slots__ = ("_host",)

    def __init__(self, host: AsyncHost) -> None:
        self._host = host

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  (httpcore's interface)
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Connect.  Raises ConnectTimeout, ConnectError."""
        local = None if local_address is None else (local_address, 0)
        with _errors(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                stream = await connect(self._host, host, port, local)
            try:
                for option in socket_options or ():
                    stream.transport.get_extra_info("socket").setsockopt(*option)
            except BaseException:
                stream.abort()
                raise
        return StackStream(self._host, stream)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ARG002, ASYNC109  (httpcore's interface)
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore.AsyncNetworkStream:
        """Raises ConnectError: those are the kernel's."""
        raise httpcore.ConnectError(f"{path}: a host of the stack has no Unix sockets")

    async def sleep(self, seconds: float) -> None:
        """Wait, between the attempts to connect."""
        await asyncio.sleep(seconds)


class StackStream(httpcore.AsyncNetworkStream):
    """One connection."""

    __slots__ = ("_host", "_stream")

    def __init__(self, host: AsyncHost, stream: ByteStream) -> None:
        self._host = host
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """What has arrived; b"" at the end.  Raises ReadTimeout, ReadError."""
        with _errors(httpcore.ReadTimeout, httpcore.ReadError):
            async with asyncio.timeout(timeout):
                return await self._stream.receive(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Send.  Raises WriteTimeout, WriteError."""
        if not buffer:
            return
        with _errors(httpcore.WriteTimeout, httpcore.WriteError):
            async with asyncio.timeout(timeout):
                await self._stream.send(buffer)

    async def aclose(self) -> None:
        """Close; what was written is still sent."""
        self._stream.close()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        """TLS from here on.  Raises ConnectTimeout, ConnectError."""
        with _errors(httpcore.ConnectTimeout, httpcore.ConnectError):
            async with asyncio.timeout(timeout):
                await self._stream.start_tls(self._host, ssl_context, server_hostname=server_hostname)
        return self

    def get_extra_info(self, info: str) -> Any:
        """ssl_object, client_addr, server_addr, socket, is_readable; else None."""
        transport = self._stream.transport
        match info:
            case "is_readable":
                return self._stream.is_readable()
            case "client_addr":
                return transport.get_extra_info("sockname")
            case "server_addr":
                return transport.get_extra_info("peername")
            case "ssl_object" | "socket":
                return transport.get_extra_info(info)
            case _:
                return None


@contextlib.contextmanager
def _errors(timeout: type[Exception], other: type[Exception]) -> Iterator[None]:
    """What the stack raises, as httpcore names it.  ssl.SSLError is an OSError, too."""
    try:
        yield
    except TimeoutError as exc:
        raise timeout(str(exc)) from exc
    except OSError as exc:
        raise other(str(exc)) from exc
