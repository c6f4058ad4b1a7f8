"""Finding a server: by rpcbind at its host, or by SRV records of the DNS (RFC 1833, RFC 2782).

    port = await rpc.find_port("198.18.0.2", CALC, 1, "tcp")
    for one in await rpc.registered("198.18.0.2"): print(one.program, one.version, one.netid, one.address)
    async with rpc.connect_service(CALC_V1, "_calc._tcp.example.test") as client: ...

An IPv4 host is asked by version 2, which every port mapper and rpcbind has; one of IPv6 by version 4, and by 3 if it
has no 4.  It is asked over the transport that the call will take: what lets the one pass lets the other.

Names of services are looked up by a `ServiceResolver`, by default the running loop's: `stack.dns.Resolver` is one.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, runtime_checkable

from stack.errors import ConfigError
from stack.rpc.client import connect
from stack.rpc.errors import (
    BadReply,
    ConnectionLost,
    NotRegistered,
    ProcUnavail,
    ProgMismatch,
    RpcError,
    RpcTimeout,
    Unreachable,
)
from stack.rpc.rpcbind.address import MAX_PORT, NETIDS, OF_PROTOCOL, TCP, UDP, parse_universal, to_universal
from stack.rpc.rpcbind.protocol import PMAP_V2, RPCB_PORT, RPCB_V3, RPCB_V4, pmap_mapping, rpcb, rpcb_stat
from stack.rpc.rpcbind.registry import UNKNOWN, Mapping
from stack.rpc.rpcbind.statistics import VERSIONS

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.rpc.within import HasClient
    from stack.sim.world import VirtualHost

C = TypeVar("C")
TIMEOUT_S: Final = 5.0
_ANY: Final = "0.0.0.0"  # noqa: S104  (what version 2 lists are ports)


class ServiceTarget(Protocol):
    """Where a service is: addresses in figures, the best first."""

    @property
    def port(self) -> int:
        """Of the service."""

    @property
    def priority(self) -> int:
        """Those of the lowest are tried first."""

    @property
    def weight(self) -> int:
        """Its share of the calls, among those of its priority."""

    @property
    def addresses(self) -> Sequence[str]:
        """Of the server."""


@runtime_checkable
class ServiceResolver(Protocol):
    """Who knows where services are."""

    def services(self, name: str, *, timeout: float = TIMEOUT_S) -> AsyncIterator[ServiceTarget]:
        """The servers of a service like "_calc._tcp.example.test", in the order of RFC 2782.  Raises OSError."""


async def find_port(
    address: str,
    program: int,
    version: int,
    proto: str,
    *,
    timeout: float = TIMEOUT_S,  # noqa: ASYNC109  (of the calls)
    host: "AsyncHost | VirtualHost | None" = None,
    rpcbind_port: int = RPCB_PORT,
) -> int:
    """The port of a program at `address`, for "udp" or "tcp".  Raises NotRegistered, RpcError; BadReply for no port.

    It may be that of another version: then the server itself says which ones it has.
    """
    if proto not in {UDP, TCP}:
        raise ConfigError(f"rpcbind is asked for ports of udp and tcp, not of {proto!r}: give a path or a port")
    options: dict[str, Any] = {"proto": proto, "port": rpcbind_port, "timeout": timeout, "host": host}
    try:
        if ":" in address:
            found = await _address_by_version_4(address, rpcb(program, version, f"{proto}6", "", ""), options)
        else:
            async with connect(PMAP_V2, address, **options) as mapper:
                asked = pmap_mapping(program, version, NETIDS[proto].protocol, 0)
                found = await mapper.PMAPPROC_GETPORT(asked, timeout=timeout)
    except (Unreachable, RpcTimeout, ConnectionLost) as error:
        raise _silent(error, address, f"program {program} version {version}") from error
    if not found:
        raise NotRegistered(f"program {program} version {version} over {proto} at {address}")
    if found > MAX_PORT:
        raise BadReply(f"rpcbind at {address}", maybe_executed=False, because=f"{found} is no port")
    return found


def _silent(error: RpcError, address: str, what: str) -> Unreachable:
    """What is raised when an rpcbind does not answer."""
    reason = getattr(error.__cause__, "strerror", None) or ("no answer" if isinstance(error, RpcTimeout) else "lost")
    return Unreachable(
        f"{what} at {address}",
        because=f"rpcbind there does not answer, so the port is not known: give port= if you know it; {reason.lower()}",
    )


async def _address_by_version_4(address: str, asked: rpcb, options: dict[str, Any]) -> int:
    try:
        async with connect(RPCB_V4, address, **options) as binder:
            found = await binder.RPCBPROC_GETADDR(asked)
    except ProgMismatch:
        async with connect(RPCB_V3, address, **options) as older:
            found = await older.RPCBPROC_GETADDR(asked)
    try:
        return parse_universal(found).port if found else 0
    except ValueError as error:
        raise BadReply(f"rpcbind at {address}", maybe_executed=False, because=str(error)) from None


async def registered(
    address: str,
    *,
    proto: str = TCP,
    timeout: float = TIMEOUT_S,  # noqa: ASYNC109  (of the calls)
    host: "AsyncHost | VirtualHost | None" = None,
    rpcbind_port: int = RPCB_PORT,
) -> list[Mapping]:
    """All that is registered at a host, as rpcbind lists it; `address` is a path for "unix".  Raises RpcError.

    What others registered is theirs: nobody has looked at netids, addresses and owners.
    """
    options: dict[str, Any] = {"proto": proto, "port": rpcbind_port, "timeout": timeout, "host": host}
    newer: tuple[Any, ...] = (RPCB_V4, RPCB_V3)
    for interface in newer:
        try:
            async with connect(interface, address, **options) as binder:
                return [
                    Mapping(one.prog, one.vers, one.netid, one.addr, one.owner)
                    for one in unlinked(await binder.RPCBPROC_DUMP())
                ]
        except (ProgMismatch, ProcUnavail):
            continue
    async with connect(PMAP_V2, address, **options) as mapper:
        return [
            Mapping(one.prog, one.vers, OF_PROTOCOL.get(one.prot, str(one.prot)), _at_port(one.port), UNKNOWN)
            for one in unlinked(await mapper.PMAPPROC_DUMP())
        ]


def _at_port(port: int) -> str:
    return to_universal(_ANY, port) if port <= MAX_PORT else ""  # which is no address


async def statistics(
    address: str,
    *,
    timeout: float = TIMEOUT_S,  # noqa: ASYNC109  (of the calls)
    host: "AsyncHost | VirtualHost | None" = None,
    rpcbind_port: int = RPCB_PORT,
) -> dict[int, rpcb_stat]:
    """What a host's rpcbind counted, by version.  Raises RpcError."""
    async with connect(RPCB_V4, address, proto=TCP, port=rpcbind_port, timeout=timeout, host=host) as binder:
        return dict(zip(VERSIONS, await binder.RPCBPROC_GETSTAT(), strict=True))


def unlinked(node: Any) -> Iterator[Any]:
    """What a linked list of the protocol holds."""
    while node is not None:
        yield node.map
        node = node.next


async def services(
    name: str,
    *,
    resolver: ServiceResolver | None = None,
    timeout: float = TIMEOUT_S,  # noqa: ASYNC109  (of the resolver)
) -> AsyncIterator[tuple[str, int]]:
    """Addresses and ports of a service like "_calc._tcp.example.test", the one to try first first (RFC 2782).

    All addresses of a server come before those of the next.  Raises what the resolver raises, and ConfigError where
    nobody knows services.
    """
    async for target in resolver_of(resolver).services(name, timeout=timeout):
        for address in target.addresses:
            yield address, target.port


@asynccontextmanager
async def connect_service(
    version: "HasClient[C]",
    name: str,
    *,
    resolver: ServiceResolver | None = None,
    timeout: float = TIMEOUT_S,  # noqa: ASYNC109  (of each step)
    **options: Any,
) -> AsyncIterator[C]:
    """A client of the first server of a service that answers; `options` are those of `connect`.

    `proto` is that of the name, "_calc._udp.example.test".  Raises NotRegistered where the service has no server, what
    the last of them did where none answers, and what the resolver raises.
    """
    proto = UDP if "._udp." in name else TCP
    error: RpcError = NotRegistered(f"a server of {name}")
    async with AsyncExitStack() as stack:
        async for address, port in services(name, resolver=resolver, timeout=timeout):
            way = connect(version, address, **{"proto": proto, "port": port, "timeout": timeout, **options})
            try:
                client: Any = await stack.enter_async_context(way)
                await client.NULL(timeout=timeout)
            except RpcError as failed:
                await stack.aclose()
                error = failed
            else:
                yield client
                return
        raise error


def resolver_of(given: ServiceResolver | None) -> ServiceResolver:
    """The one given, or the running loop's.  Raises ConfigError."""
    found = given if given is not None else getattr(asyncio.get_running_loop(), "resolver", None)
    if not isinstance(found, ServiceResolver):
        who = "the running loop" if found is None else repr(found)
        raise ConfigError(
            f"{who} knows no services of the DNS: give resolver=stack.dns.Resolver..., or run on a loop that has one "
            "(new_event_loop(resolver=...))"
        )
    return found
