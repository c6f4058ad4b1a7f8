"""A DNS server: zones of its own, and answers from others for those who may ask for them.

    server = await dns.serve([dns.load_zone("example.zone", "example.test")], host=host)
    server = await dns.serve(resolver=dns.Resolver.iterative(host=host), host=host, allow=["198.18.0.0/24"])

Theory of operation.  What is said is decided in `Authority`, without sockets; here are the ports, the connections and
the tasks that wait for the resolver.  Over UDP a question is a call and its reply.  Over TCP a connection carries many,
and those that others have to answer may be overtaken (RFC 7766 §6.2.1.1).

What a client can take from the others is bounded: connections, in all and for each address.  When all are taken, the
one that has been without a question for the longest gives way; for an address that has all it may, one of its own.  A
connection is closed `idle_s` after its last whole message, so that it cannot be kept open by an octet now and then.  A
client that does not read its answers is not read from.  So many questions wait for others, in all and for each
connection; beyond that UDP gets SERVFAIL at once, and TCP is not read on.
"""

import asyncio
import ipaddress
import logging
import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from stack.config import SECOND, Rng
from stack.dns.access import EVERYBODY, THIS_MACHINE, Access
from stack.dns.authority import Authority, Pending
from stack.dns.constants import PORT, EdeCode, Rcode, rcode_text
from stack.dns.core.answer import Answer
from stack.dns.core.config import MAX_PORT
from stack.dns.errors import NXDOMAIN, DnsError, Ede, NoData, Timeout, ZoneError
from stack.dns.lookup import Zones
from stack.dns.names import HEADER, Name
from stack.dns.zone import Zone
from stack.errors import ConfigError, StackError

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.sim.world import VirtualHost

logger = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"
ANY: Final = "0.0.0.0"  # noqa: S104  (of a host that has no address yet)
MAX_SECONDS: Final = 3600
MAX_COUNT: Final = 1_000_000  # of anything; more than a rate or a table of ours can mean
_PORT_TRIES: Final = 8  # to have the same free port for UDP and TCP, when any will do
_LENGTH: Final = 2  # octets before each message on TCP


class Resolves(Protocol):
    """What is needed of a Resolver."""

    async def query(self, name: str, rrtype: str | int = "A", *, timeout: float = 0) -> Answer:  # noqa: ASYNC109
        """The records of a name; `name` ends with a dot.  Raises DnsError."""


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one server takes on."""

    connections: int = 256
    connections_per_client: int = 64
    idle_s: float = 10.0  # RFC 7766 §6.2.3: "of the order of a few seconds"
    resolving: int = 1024  # questions that wait for others
    resolving_per_connection: int = 64
    resolve_s: float = 5.0  # for each of them; most clients ask again after as long
    answers_per_second: int = 1000  # over UDP, for each network other than those of `allow`; 0: any number

    def validate(self) -> None:
        """Raise ConfigError for the first that cannot be."""
        for field in fields(self):
            value, least = getattr(self, field.name), 0 if field.name == "answers_per_second" else 1
            if field.name.endswith("_s"):
                if not 0 < value <= MAX_SECONDS:
                    raise ConfigError(f"{field.name} is {value}: use seconds, more than 0 and up to {MAX_SECONDS}")
            elif not least <= value <= MAX_COUNT:
                raise ConfigError(f"{field.name} is {value}: use a number from {least} to {MAX_COUNT}")


class DnsServer:
    """A running server.  `stats` counts; `zones` may be exchanged; `aclose`, or leaving its context, ends it."""

    __slots__ = (
        "_connections",
        "_counts",
        "_is_closing",
        "_limits",
        "_loop",
        "_resolver",
        "_tasks",
        "_transports",
        "authority",
        "port",
    )

    def __init__(self, authority: Authority, resolver: Resolves | None, limits: ServerLimits) -> None:
        self.authority = authority
        self.port = 0
        self._resolver = resolver
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: dict[_Connection, None] = {}  # that with the oldest last question first
        self._transports: list[asyncio.BaseTransport | asyncio.AbstractServer] = []
        self._counts: Counter[str] = Counter()
        self._is_closing = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def listen(self, maker: Any, addresses: Sequence[str], port: int) -> None:
        """Take the ports at these addresses.  `maker` is a loop or an AsyncHost.  Raises OSError."""
        for tries_left in reversed(range(_PORT_TRIES)):
            try:
                self.port = await self._take_ports(maker, addresses, port)
            except OSError:
                self._give_ports_back()
                if port or not tries_left:
                    raise
            else:
                return

    async def _take_ports(self, maker: Any, addresses: Sequence[str], port: int) -> int:
        """The port that they all have.  A UDP endpoint for each address, so that replies come from where was asked."""
        for address in addresses:
            transport, _ = await maker.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=(address, port))
            self._transports.append(transport)
            port = transport.get_extra_info("sockname")[1]
            self._transports.append(await maker.create_server(lambda: _Connection(self), address, port))
        return port

    def _give_ports_back(self) -> None:
        for transport in self._transports:
            transport.close()
        self._transports.clear()

    @property
    def zones(self) -> Zones:
        """What it serves; questions that come from now on are answered from what is put here."""
        return self.authority.zones

    @zones.setter
    def zones(self, zones: Iterable[Zone]) -> None:
        self.authority.zones = zones if isinstance(zones, Zones) else Zones(zones)

    @property
    def stats(self) -> dict[str, Any]:
        """Counters by name; of replies by response code, of what was dropped and malformed by reason."""
        stats = self.authority.stats
        return {
            "queries": stats.queries,
            "tcp": stats.tcp,
            "recursive": stats.recursive,
            "truncated": stats.truncated,
            "connections": len(self._connections),
            "resolving": len(self._tasks),
            "busy": self._counts["busy"],
            "connections_given_up": self._counts["given_up"],
            "connections_idle": self._counts["idle"],
            "not_dns": self._counts["not_dns"],
            "rcodes": {rcode_text(rcode).lower(): count for rcode, count in sorted(stats.rcodes.items())},
            "dropped": {reason.name.lower(): count for reason, count in sorted(stats.dropped.items())},
            "malformed": {reason.name.lower(): count for reason, count in sorted(stats.malformed.items())},
        }

    async def aclose(self) -> None:
        """Give the ports back, close the connections, and answer what others are still asked with SERVFAIL.

        Safe to call twice.
        """
        self._is_closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # only now, since who waited for others is told SERVFAIL
        self._give_ports_back()
        for connection in list(self._connections):
            connection.transport.close()

    def now(self) -> int:
        """The loop's time, in microseconds."""
        return int(self._loop.time() * SECOND)

    # -- questions for others

    def resolve(self, pending: Pending, send: Callable[[bytes], None]) -> bytes | None:
        """Ask the resolver; the reply goes to `send` later on, which must not raise.  When too many wait: the reply."""
        if self._is_closing:
            return self.authority.fail(pending)
        if len(self._tasks) >= self._limits.resolving:
            self._counts["busy"] += 1
            return self.authority.fail(pending, (EdeCode.OTHER, "too many questions are waiting"))
        task = self._loop.create_task(self._resolve(pending, send))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return None

    async def _resolve(self, pending: Pending, send: Callable[[bytes], None]) -> None:
        assert self._resolver is not None
        authority = self.authority
        try:
            answer = await self._resolver.query(str(pending.name), pending.rrtype, timeout=self._limits.resolve_s)
        except (NXDOMAIN, NoData) as error:
            rcode = Rcode.NXDOMAIN if isinstance(error, NXDOMAIN) else Rcode.NOERROR
            negative = [] if error.soa is None else [error.soa]
            wire = authority.complete(
                pending, [*error.chain], self.now(), rcode=rcode, authority=negative, ede=error.ede
            )
        except StackError as error:  # also of a resolver that was closed
            wire = authority.fail(pending, _explanation(error))
        except asyncio.CancelledError:
            send(authority.fail(pending))
            raise
        else:
            ede = answer.ede or (Ede(EdeCode.STALE_ANSWER) if answer.stale else None)  # RFC 8914 §4.4
            wire = authority.complete(pending, [*answer.chain, answer.rrset], self.now(), ede=ede)
        send(wire)

    # -- connections

    def admit(self, connection: "_Connection") -> None:
        """Count a new connection in, if need be in the place of another one."""
        limits, connections = self._limits, self._connections
        of_client = [other for other in connections if other.client[0] == connection.client[0]]
        if len(of_client) >= limits.connections_per_client:
            self._give_up(of_client[0])
        elif len(connections) >= limits.connections:
            self._give_up(next(iter(connections)))
        connections[connection] = None

    def _give_up(self, connection: "_Connection") -> None:
        """Its place is needed."""
        self._counts["given_up"] += 1
        del self._connections[connection]
        connection.transport.abort()

    def touch(self, connection: "_Connection") -> None:
        """It has sent a whole message."""
        if connection in self._connections:
            del self._connections[connection]
            self._connections[connection] = None

    def forget(self, connection: "_Connection") -> None:
        """It has ended."""
        self._connections.pop(connection, None)

    def count(self, what: str) -> None:
        """One more of these."""
        self._counts[what] += 1

    @property
    def limits(self) -> ServerLimits:
        """As given."""
        return self._limits


def _explanation(error: StackError) -> Ede | None:
    """What a server said, or what there is to say when none did.  RFC 8914 §4.23: all were unresponsive or refused."""
    if not isinstance(error, DnsError):
        return None
    return error.ede or (Ede(EdeCode.NO_REACHABLE_AUTHORITY) if error.tries or isinstance(error, Timeout) else None)


class _Datagrams(asyncio.DatagramProtocol):
    """The UDP port."""

    __slots__ = ("_now", "_respond", "_server", "_transport")

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._respond = server.authority.respond
        self._now = server.now
        self._transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        transport = self._transport
        reply = self._respond(data, addr, self._now())
        if isinstance(reply, Pending):
            reply = self._server.resolve(reply, lambda wire: transport.sendto(wire, addr))
        if reply is not None:
            transport.sendto(reply, addr)


class _Connection(asyncio.Protocol):
    """One TCP connection (RFC 7766)."""

    __slots__ = (
        "_buffer",
        "_ended",
        "_is_paused",
        "_moved_at",
        "_server",
        "_timer",
        "_waiting",
        "client",
        "transport",
    )

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._buffer = bytearray()  # at most what came at once and a message that is not whole
        self._waiting = 0  # questions of it that others are asked
        self._is_paused = False  # it does not read what it was sent
        self._ended = False  # it will send no more
        self._moved_at = 0
        self._timer: asyncio.TimerHandle | None = None
        self.client: tuple[str, int] = ("", 0)
        self.transport: asyncio.Transport

    # -- asyncio

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.client = transport.get_extra_info("peername") or ("", 0)
        self._server.admit(self)
        self._moved_at = self._server.now()
        self._watch(self._server.limits.idle_s)

    def connection_lost(self, _: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._buffer.clear()
        self._server.forget(self)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._advance()

    def eof_received(self) -> bool:
        self._ended = True
        self._advance()
        return True  # `_advance` closes when everything is answered

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        self._is_paused = False
        self._moved_at = self._server.now()
        self._advance()

    # -- messages

    def _advance(self) -> None:
        """Answer the whole messages that are there, as far as the client keeps up."""
        buffer, at = self._buffer, 0
        most = self._server.limits.resolving_per_connection
        while not self._is_paused and self._waiting < most and not self.transport.is_closing():
            length = buffer[at] << 8 | buffer[at + 1] if len(buffer) >= at + _LENGTH else HEADER
            if length < HEADER:  # also 0: this is not DNS
                self._give_up()
                return
            end = at + _LENGTH + length
            if len(buffer) < end:
                break
            wire = bytes(buffer[at + _LENGTH : end])
            at = end
            self._take(wire)
        del buffer[:at]
        held = self._is_paused or self._waiting >= most
        if held:
            self.transport.pause_reading()
        elif self._ended:
            if not self._waiting:
                self.transport.close()
        else:
            self.transport.resume_reading()

    def _take(self, wire: bytes) -> None:
        server = self._server
        self._moved_at = now = server.now()
        server.touch(self)
        reply = server.authority.respond(wire, self.client, now, tcp=True)
        if reply is None:
            self._give_up()
            return
        if isinstance(reply, Pending):
            reply = server.resolve(reply, self._resolved)
            self._waiting += reply is None
        if reply is not None:
            self._send(reply)

    def _send(self, wire: bytes) -> None:
        self.transport.write(len(wire).to_bytes(_LENGTH, "big") + wire)

    def _resolved(self, wire: bytes) -> None:
        """Others have answered one of its questions, in whatever order."""
        self._waiting -= 1
        if not self.transport.is_closing():
            self._send(wire)
            self._advance()

    def _give_up(self) -> None:
        """What it sends are no queries."""
        self._server.count("not_dns")
        self.transport.abort()

    # -- time

    def _watch(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        idle_s = self._server.limits.idle_s
        left_s = idle_s - (self._server.now() - self._moved_at) / SECOND
        if self._waiting:
            left_s = max(left_s, idle_s)  # it is our turn
        if left_s > 0:
            self._watch(left_s)
            return
        self._server.count("idle")
        if self._is_paused:
            self.transport.abort()  # what it does not read would keep it open for ever
        else:
            self.transport.close()


async def serve(
    zones: Iterable[Zone] = (),
    *,
    resolver: Resolves | None = None,
    host: "AsyncHost | VirtualHost | None" = None,
    address: str | None = None,
    port: int = PORT,
    allow: Iterable[str] | None = None,
    ask: Iterable[str] = EVERYBODY,
    limits: ServerLimits | None = None,
    rng: Rng | None = None,
) -> DnsServer:
    """Serve `zones`, and with a `resolver` everything else, for the networks of `allow`, on UDP and TCP.

    `allow` are by default the networks that `host` is in, and without `host` this machine alone.  `ask`: the networks
    whose questions are not refused at once.  It listens on `address`, by default on those that `host` has now, without
    `host` on 127.0.0.1; port 0 is one that is free (see `.port`).  The resolver stays the caller's, who closes it.
    Raises ConfigError, OSError, TypeError.
    """
    limits = ServerLimits() if limits is None else limits
    _check(resolver, port, limits)
    stack: AsyncHost | None = getattr(host, "stack", host)  # type: ignore[arg-type]
    if allow is None:
        allow = THIS_MACHINE if stack is None else networks_of(stack)
    loop = asyncio.get_running_loop()
    authority = Authority(
        Zones(zones),
        Access(allow, ask),
        rng or getattr(loop, "new_rng", random.SystemRandom)(),  # a simulation's loop has its own
        int(loop.time() * SECOND),
        recursive=resolver is not None,
        rate=limits.answers_per_second,
        idle_us=int(limits.idle_s * SECOND),
    )
    server = DnsServer(authority, resolver, limits)
    own = [str(ipaddress.IPv4Address(own)) for own, _ in stack.addresses()] if stack else [LOOPBACK]
    await server.listen(stack or loop, [address] if address else own or [ANY], port)
    return server


def _check(resolver: object, port: object, limits: object) -> None:
    """Raises ConfigError, TypeError."""
    if resolver is not None and not callable(getattr(resolver, "query", None)):
        raise TypeError(f"resolver is {resolver!r}: use a Resolver of stack.dns, or None")
    if not isinstance(port, int) or isinstance(port, bool):
        raise TypeError(f"port is {port!r}: use a number")
    if not 0 <= port <= MAX_PORT:
        raise ConfigError(f"port is {port}: use 1 to {MAX_PORT}, or 0 for a free one")
    if not isinstance(limits, ServerLimits):
        raise TypeError(f"limits is {limits!r}: use ServerLimits(...) of stack.dns")
    limits.validate()


def networks_of(host: "AsyncHost") -> list[str]:
    """The networks that a host has an address in."""
    return [str(ipaddress.ip_network((address, length), strict=False)) for address, length in host.addresses()]


def load_zone(path: str | Path, origin: str) -> Zone:
    """The zone in a master file; what that includes is looked for beside it.  Its warnings are logged.

    Raises ZoneError, BadName.
    """
    if not isinstance(origin, str):
        raise TypeError(f'use the name of the zone as its origin, like "example.test", not {type(origin).__name__}')
    file, name = Path(path), Name.parse(origin)
    try:
        text = _text(file)
    except ZoneError:
        raise
    except OSError as error:
        raise ZoneError(f"{file}: {(error.strerror or str(error)).lower()}") from error
    zone = Zone.parse(text, name, source=str(file), read=lambda other: _text(file.parent / other))
    for warning in zone.warnings:
        logger.warning("%s", warning)
    return zone


def _text(file: Path) -> str:
    """Raises OSError, ZoneError."""
    octets = file.read_bytes()
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError as error:
        line = len((octets[: error.start] + b"?").splitlines())
        raise ZoneError(f"{file}:{line}: not UTF-8 text; write other octets as \\DDD") from error
