"""Who asks in the DNS benchmarks: our Resolver, dnspython's, aiodns, and a bare UDP query with nothing around it.

Every `ask(name)` is one question that no cache can answer, over UDP, for the A records of a name of its own.  `bare` is
what an asyncio program can reach at best by the same rules: a fresh port for each question, drawn from all there are,
opened while the one before is waiting for its answer, and used once.
"""

import asyncio
import errno
import itertools
import random
import struct
from collections.abc import Callable
from typing import Any, Final, Protocol

import aiodns
import dns.asyncresolver
import dns.resolver

from stack.aio.network import AsyncHost
from stack.dns.ports import LOW_PORT
from stack.dns.resolver import Resolver

PORT: Final = 53
TIMEOUT_S: Final = 5.0
ZONE: Final = "bench.test"  # of which the server knows every name
ADDRESSES: Final = ("192.0.2.1", "192.0.2.2", "192.0.2.3")
NOERROR_AND_ANSWERS: Final = struct.pack("!3H", 0x8580, 1, len(ADDRESSES))  # what every reply has after its id


def encoded(name: str) -> bytes:
    """The question for its A records."""
    return b"".join([bytes([len(label)]) + label.encode() for label in name.split(".")]) + b"\0\0\1\0\1"


class Waiting(asyncio.DatagramProtocol):
    """One port: one question, one answer."""

    __slots__ = ("came", "transport")

    transport: asyncio.DatagramTransport

    def __init__(self) -> None:
        self.came: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        """Remember what to send with."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002  (the interface of asyncio)
        """The first is the answer."""
        if not self.came.done():
            self.came.set_result(data)


class Bare:
    """Questions with nothing around them; on kernel sockets, or on a host of ours."""

    def __init__(self, server: str, host: AsyncHost | None = None) -> None:
        self._server = server, PORT
        self._maker = host or asyncio.get_running_loop()
        self._ahead: list[Waiting] = []
        self._rng = random.SystemRandom()

    async def _open(self) -> Waiting:
        while True:
            local = "0.0.0.0", self._rng.randrange(LOW_PORT, 1 << 16)  # noqa: S104  (the source of a question)
            try:
                return (await self._maker.create_datagram_endpoint(Waiting, local, self._server))[1]
            except OSError as error:
                if errno.EADDRINUSE not in {error.errno, getattr(error.__cause__, "errno", 0)}:
                    raise

    async def ask(self, name: str) -> int:
        """One question, and the opening of the port for another one."""
        port = self._ahead.pop() if self._ahead else await self._open()
        query = self._rng.randbytes(2) + b"\1\0\0\1\0\0\0\0\0\0" + encoded(name)
        port.transport.sendto(query)
        self._ahead.append(await self._open())
        reply = await asyncio.wait_for(port.came, TIMEOUT_S) if not port.came.done() else port.came.result()
        port.transport.close()
        if reply[:2] != query[:2] or reply[2:8] != NOERROR_AND_ANSWERS:
            raise OSError(f"not the answer to {name}: {reply.hex()}")
        return len(ADDRESSES)

    async def aclose(self) -> None:
        """Close what was opened ahead."""
        for port in self._ahead:
            port.transport.close()


class Echo(asyncio.DatagramProtocol):
    """Datagrams to and fro on one port, nothing more: what our Resolver on a host of ours is compared with."""

    def __init__(self, server: str, host: AsyncHost | None = None) -> None:
        self._server = server, PORT
        self._maker = host or asyncio.get_running_loop()
        self._opened: asyncio.Task[Any] | None = None
        self._transport: asyncio.DatagramTransport | None = None
        self._waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self._ids = itertools.cycle(number.to_bytes(2, "big") for number in range(1 << 16))

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002  (the interface of asyncio)
        """To who waits for it."""
        self._waiting.pop(data[:2]).set_result(data)

    async def ask(self, name: str) -> int:
        """One datagram, and the one that comes back; the name is no more than its content."""
        if self._opened is None:
            self._opened = asyncio.ensure_future(
                self._maker.create_datagram_endpoint(lambda: self, remote_addr=self._server)
            )
        if self._transport is None:
            self._transport = (await self._opened)[0]
        number = next(self._ids)
        came = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._transport.sendto(number + b"\1\0\0\1\0\0\0\0\0\0" + encoded(name))
        return len(ADDRESSES) if len(await came) > len(NOERROR_AND_ANSWERS) else 0

    async def aclose(self) -> None:
        """Close the port."""
        if self._transport is not None:
            self._transport.close()


class Ours:
    """Our Resolver as a stub."""

    def __init__(self, server: str, host: AsyncHost | None = None) -> None:
        self._resolver = Resolver(servers=[server], host=host)

    async def ask(self, name: str) -> int:
        """One question."""
        return len((await self._resolver.query(name, "A")).rrset.rdatas)

    async def aclose(self) -> None:
        """Close the resolver."""
        await self._resolver.aclose()


class DnsPython:
    """The asynchronous resolver of dnspython, which has no cache unless it is given one."""

    def __init__(self, server: str, host: AsyncHost | None = None) -> None:
        assert host is None
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = [server]

    async def ask(self, name: str) -> int:
        """One question."""
        return len((await self._resolver.resolve(f"{name}.", "A")).rrset or ())

    async def aclose(self) -> None:
        """Nothing is open."""


class AioDns:
    """c-ares with its cache off."""

    def __init__(self, server: str, host: AsyncHost | None = None) -> None:
        assert host is None
        self._resolver = aiodns.DNSResolver(nameservers=[server], timeout=TIMEOUT_S)

    async def ask(self, name: str) -> int:
        """One question."""
        return len((await self._resolver.query_dns(name, "A")).answer)

    async def aclose(self) -> None:
        """Close its channel."""
        await self._resolver.close()


class Client(Protocol):
    """What the above have in common."""

    async def ask(self, name: str) -> int:
        """One question: the number of addresses that came."""

    async def aclose(self) -> None:
        """Close what is open."""


CLIENTS: Final[dict[str, Callable[[str, AsyncHost | None], Client]]] = {
    "tapstack": Ours,
    "bare": Bare,
    "echo": Echo,
    "dnspython": DnsPython,
    "aiodns": AioDns,
}
