"""Names for asyncio programs: `Resolver`, over our stack, kernel sockets and in the simulator alike.

    async with Resolver.system() as resolver:
        answer = await resolver.query("www.example.test", "AAAA")
        addresses = await resolver.addresses("www.example.test")

Theory of operation.  The work is an Engine's, which is made for the loop that runs when the first question is asked;
the resolver stays with that loop.  What the cache knows is answered without the loop going round.  When the files of a
resolver of the system have changed, the next question is another engine's, whose cache is empty: the answers of other
servers may differ.
"""

import asyncio
import errno
import logging
import random
import socket
from collections.abc import AsyncIterator, Coroutine, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_address
from operator import index
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from stack.aio.names import is_numeric
from stack.config import SECOND, Rng
from stack.dns import files
from stack.dns.constants import PORT, RRType, parse_type, type_text
from stack.dns.core.answer import Answer, Step
from stack.dns.core.cache import POSITIVE
from stack.dns.core.config import ResolverConfig, Server, server_text
from stack.dns.core.hints import ROOT_HINTS, Hint
from stack.dns.core.iterate import is_local
from stack.dns.engine import Engine, Result
from stack.dns.errors import NXDOMAIN, BadName, DnsError, NoData, ResolverClosed
from stack.dns.explain import Explanation, explain
from stack.dns.hostsfile import reverse_name
from stack.dns.names import Name
from stack.dns.order import by_reachability, by_weight
from stack.dns.rdata import AAAA, SRV, A
from stack.dns.rrset import Question
from stack.errors import ConfigError

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.sim.world import VirtualHost

logger = logging.getLogger(__name__)

TIMEOUT_S: Final = 10.0  # for an answer, whatever it takes
RESOLUTION_DELAY_S: Final = 0.05  # RFC 8305 §8: for the addresses of one family when those of the other are there
MAX_SERVICES: Final = 128  # of one name, that are put in order
MAX_ADDRESSES: Final = 64  # of one name and family
_TYPES: Final = {socket.AF_INET: (RRType.A,), socket.AF_INET6: (RRType.AAAA,), 0: (RRType.A, RRType.AAAA)}


class Service(NamedTuple):
    """Where a service is to be had: a line of `Resolver.services`."""

    host: str
    port: int
    priority: int
    weight: int
    addresses: list[str]


_Asked = tuple[Name, int, bool]  # name, type, whether the search list is for it
_running_loop = asyncio.get_running_loop
_type = lru_cache(maxsize=256)(parse_type)


@lru_cache(maxsize=4096, typed=True)  # 1.0 equals 1, and is no type
def _parsed(given: str | Name, rrtype: str | int) -> _Asked:
    if isinstance(given, Name):
        name, search = given, False
    elif isinstance(given, str):
        name, search = Name.parse(given), not given.endswith(".")
    else:
        raise TypeError
    return name, _type(rrtype) if isinstance(rrtype, str) else index(rrtype), search


def _asked(name: str | Name, rrtype: str | int) -> _Asked:
    """Raises BadName, BadType, TypeError."""
    try:
        return _parsed(name, rrtype)
    except TypeError:
        kinds = f"{type(name).__name__} and {type(rrtype).__name__}"
        raise TypeError(f'use a name and a type like "www.example.com" and "AAAA", not {kinds}') from None


def _timeout_us(timeout_s: float) -> int:
    """Raises ConfigError."""
    try:
        timeout_us = int(timeout_s * SECOND)
    except (TypeError, ValueError, OverflowError):  # no number, "not a number", infinite
        timeout_us = -1
    if timeout_us < 0:
        raise ConfigError(f"timeout {timeout_s!r}: use a number of seconds, like {TIMEOUT_S}")
    return timeout_us


def _check_list(what: str, given: object) -> None:
    """Raises TypeError for what is no list, and one text, whose letters would be taken for the things listed."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise TypeError(f"{what} is {given!r}: use a list, like [{given!r}]")


def _checked(config: ResolverConfig | None) -> ResolverConfig:
    """The default for None.  Raises TypeError."""
    if config is None:
        return ResolverConfig()
    if not isinstance(config, ResolverConfig):
        raise TypeError(f"config is {config!r}: use a ResolverConfig of stack.dns")
    return config


def _server(given: str | tuple[str, int]) -> Server:
    """An address, alone, in a tuple with a port or as "ADDRESS#PORT".  Raises ConfigError, TypeError."""
    match given:
        case str(text):
            port = PORT
        case (str(text), int(port)):
            pass
        case _:
            raise TypeError(f'server {given!r}: use text like "192.0.2.1" or "192.0.2.1#5353", or ("192.0.2.1", 5353)')
    if isinstance(given, str) and "#" in text:
        text, _, number = text.partition("#")
        port = int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 0
    address, percent, scope = text.partition("%")
    try:
        figures = f"{ip_address(address)}{percent}{scope}"
    except ValueError:
        raise ConfigError(f"server {given!r}: give an address in figures, like 192.0.2.1 or 192.0.2.1#5353") from None
    if not 0 < port <= 0xFFFF:
        raise ConfigError(f"server {given!r}: a port is a number from 1 to 65535")
    return figures, port


def _root_server(text: str, config: ResolverConfig) -> str:
    """The address of a root server that would be asked.  Raises ConfigError."""
    address, port = _server(text)
    if "#" in text and port != config.port:
        raise ConfigError(f"root server {text}: from the root down all servers are asked on port {config.port}")
    if ":" in address and not config.ipv6:
        raise ConfigError(f"root server {text}: IPv6 is off (ResolverConfig.ipv6)")
    if config.guards.local_servers and is_local(address):
        raise ConfigError(f"root server {text}: an address of this host or a group is nobody's server; name a resolver")
    return address


class Resolver:
    """See the head of this file.  `servers` are asked, in figures, with "#PORT" or as (address, port) if not port 53.

    `host` is an AsyncHost (or a host of a simulation) to speak as; without one it is the loop's business, and where a
    host is active when the first question is asked, that one's.  `config` has all settings.  Raises ConfigError,
    TypeError.
    """

    __slots__ = ("_config", "_engine", "_files", "_host", "_is_closed", "_rng")

    def __init__(
        self,
        servers: Sequence[str | tuple[str, int]] = (),
        *,
        host: "AsyncHost | VirtualHost | None" = None,
        config: ResolverConfig | None = None,
        rng: Rng | None = None,
    ) -> None:
        _check_list("servers", servers)
        config = _checked(config)
        if servers:
            config = replace(config, servers=tuple(_server(server) for server in servers))
        elif not config.servers:
            raise ConfigError("give the servers to ask, or use Resolver.system() or Resolver.iterative()")
        self._begin(config, host, rng, None)

    def _begin(
        self,
        config: ResolverConfig,
        host: "AsyncHost | VirtualHost | None",
        rng: Rng | None,
        system: files.SystemFiles | None,
    ) -> None:
        config.validate()
        self._config = config
        found: AsyncHost | None = getattr(host, "stack", host)  # type: ignore[arg-type]  # of a VirtualHost: its host now
        self._host = found
        self._rng = rng
        self._files = system
        self._is_closed = False
        self._engine: Engine | None = None

    @classmethod
    def system(
        cls,
        *,
        host: "AsyncHost | VirtualHost | None" = None,
        resolv_conf: str = files.RESOLV_CONF,
        hosts: str = files.HOSTS,
        config: ResolverConfig | None = None,
        rng: Rng | None = None,
    ) -> Self:
        """A stub: asks the servers of resolv.conf, as the programs of this machine do; the hosts file goes first."""
        made = cls.__new__(cls)
        system = files.SystemFiles(_checked(config), resolv_conf, hosts)
        made._begin(system.config, host, rng, system)  # noqa: SLF001  (it is our own)
        return made

    @classmethod
    def iterative(
        cls,
        *,
        hints: Sequence[Hint | str] = ROOT_HINTS,
        host: "AsyncHost | VirtualHost | None" = None,
        config: ResolverConfig | None = None,
        rng: Rng | None = None,
    ) -> Self:
        """Resolves by itself, from the root servers down.  `hints` are Hints, or addresses of root servers.

        Raises ConfigError, TypeError.
        """
        made = cls.__new__(cls)
        _check_list("hints", hints)
        config = _checked(config)
        roots = tuple(
            Hint(Name.parse(f"hint-{number}.invalid"), (_root_server(hint, config),)) if isinstance(hint, str) else hint
            for number, hint in enumerate(hints)
        )
        made._begin(replace(config, servers=(), hints=roots), host, rng, None)  # noqa: SLF001
        return made

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        how = ", ".join(map(server_text, self._config.servers)) or "from the root"
        return f"<{type(self).__name__} {how}{' closed' if self._is_closed else ''}>"

    async def aclose(self) -> None:
        """Close all sockets.  Who waits for an answer gets ResolverClosed.  Safe to call twice."""
        self._is_closed = True
        if self._engine is not None:
            self._engine.close()
        await asyncio.sleep(0)  # in which what was closed ends

    # -- questions

    async def query(self, name: str | Name, rrtype: str | int = "A", *, timeout: float = TIMEOUT_S) -> Answer:  # noqa: ASYNC109  (the core's)
        """What `name` has of a type; a final dot, or a Name, keeps it from being tried with the search list.

        Raises NXDOMAIN, NoData, ServFail, Timeout or ResolverClosed, all of them DnsErrors; for what cannot be asked
        BadName, BadType or ConfigError, all of them ValueErrors, too; TypeError for what is neither text nor a number;
        RuntimeError on another loop than the first question's.
        """
        result = self._ask(name, rrtype, timeout)
        if isinstance(result, Answer):
            return result
        if isinstance(result, DnsError):
            raise result
        return await result

    def _ask(self, name: str | Name, rrtype: str | int, timeout_s: float) -> Result | Coroutine[Any, Any, Answer]:
        """What is at hand, or what to await."""
        timeout_us = _timeout_us(timeout_s)
        asked, number, search = _asked(name, rrtype)
        engine = self._engine
        if engine is None or self._files is not None or self._is_closed or engine.loop is not _running_loop():
            engine = self._current(asked, number)
        search = search and bool(self._config.search)
        if not search or asked.depth > self._config.ndots:  # resolv.conf(5): then it is tried as it is first
            answer = engine.cached(asked, number)
            if answer is not None:
                return answer
        return engine.ask(asked, number, timeout_us, search=search)

    def _current(self, asked: Name, rrtype: int) -> Engine:
        """The engine for a question, a new one where there is none or files have changed.  Raises ResolverClosed."""
        if self._is_closed:
            raise ResolverClosed(Question(asked, rrtype), because="make a new one", code=errno.EBADF)
        engine = self._engine
        if engine is None:
            loop = asyncio.get_running_loop()
            if self._rng is None:
                # the seed's, in a simulation
                self._rng = getattr(loop, "new_rng", random.SystemRandom)()
            engine = self._engine = Engine(loop, self._config, self._rng, self._host)
            self._log_warnings()
        elif engine.loop is not asyncio.get_running_loop():
            raise RuntimeError("this resolver belongs to the loop that it was first asked on: make one for each loop")
        if self._files is not None and self._files.look(engine.clock()):
            assert self._rng is not None
            self._config = self._files.config
            engine.retire()
            engine = self._engine = Engine(engine.loop, self._config, self._rng, self._host)
            self._log_warnings()
        return engine

    def _log_warnings(self) -> None:
        for warning in self.warnings:
            logger.warning("%s", warning)

    async def addresses(self, name: str | Name, *, family: int = 0, timeout: float = TIMEOUT_S) -> list[str]:  # noqa: ASYNC109  (the core's)
        """The addresses of `name`, of IPv4 and IPv6 (or of one `family`), the best to connect to first (RFC 6724).

        An address in figures is its own.  Raises as `query`: NXDOMAIN, NoData when it has no address.
        """
        return await self._addresses(name, family, timeout, None)

    async def _addresses(self, name: str | Name, family: int, timeout_s: float, patience_s: float | None) -> list[str]:
        """`patience_s`: when one family has addresses, the other one is waited for no longer than this."""
        if isinstance(name, str) and is_numeric(name):
            return [name]
        if family not in _TYPES:
            raise ConfigError(f"family {family}: use socket.AF_INET, socket.AF_INET6, or 0 for both")
        results: list[Result | None] = []
        tasks: dict[int, asyncio.Task[Answer]] = {}
        for place, rrtype in enumerate(_TYPES[family]):
            result = self._ask(name, rrtype, timeout_s)
            if isinstance(result, Answer | DnsError):
                results.append(result)
            else:
                tasks[place] = asyncio.ensure_future(result)
                results.append(None)
        if tasks:
            await _collect(tasks, results, patience_s)
        found = [
            rdata.address
            for result in results
            if isinstance(result, Answer)
            for rdata in result.rrset.rdatas[:MAX_ADDRESSES]
            if isinstance(rdata, A | AAAA)
        ]
        if not found:
            raise _worst([result for result in results if isinstance(result, DnsError)])
        engine = self._engine
        assert engine is not None  # it was asked
        return by_reachability(found, engine.transport.source_of)

    async def resolve(self, name: str) -> list[str]:
        """As `addresses`, but slow servers of one family hold up the other no longer than RFC 8305 §3 says.

        This and `resolve_family` make a Resolver one of `stack.aio.Resolver`, for loops and hosts.
        """
        return await self._addresses(name, 0, TIMEOUT_S, RESOLUTION_DELAY_S)

    async def resolve_family(self, name: str, family: int) -> list[str]:
        """As `resolve`, of one family."""
        return await self._addresses(name, family, TIMEOUT_S, RESOLUTION_DELAY_S)

    async def reverse(self, address: str, *, timeout: float = TIMEOUT_S) -> str:  # noqa: ASYNC109  (the core's)
        """The name of an address, without the final dot.  Raises as `query`, BadName for what is no address."""
        if not isinstance(address, str):
            raise TypeError(f'use an address like "192.0.2.1", not {type(address).__name__}')
        try:
            name = reverse_name(ip_address(address.partition("%")[0]))  # a scope means something on this host only
        except ValueError:
            raise BadName(f"{address!r} is not an address in figures") from None
        answer = await self.query(str(name), RRType.PTR, timeout=timeout)
        return str(answer.rrset.names[0]).removesuffix(".")

    async def services(self, name: str, *, timeout: float = TIMEOUT_S) -> AsyncIterator[Service]:  # noqa: ASYNC109  (the core's)
        """Where the service `name`, like "_nfs._tcp.example.test", is to be had: by priority, at random by weight.

        The order is another one each time (RFC 2782).  Servers without an address are left out; their addresses are
        looked up as one goes on.  Raises as `query`; when no server has an address, what the last one's lookup did.
        """
        answer = await self.query(name, RRType.SRV, timeout=timeout)
        error: DnsError | None = None
        found = False
        records = [rdata for rdata in answer.rrset.rdatas[:MAX_SERVICES] if isinstance(rdata, SRV)]
        for record in by_weight(records, self._rng or random.SystemRandom()):
            target = str(record.target)
            if target == ".":  # RFC 2782, "Target": decidedly not available
                continue
            try:
                addresses = await self.addresses(target, timeout=timeout)
            except DnsError as exc:
                error = exc
            else:
                found = True
                yield Service(target.removesuffix("."), record.port, record.priority, record.weight, addresses)
        if error is not None and not found:
            raise error

    async def explain(self, name: str | Name, rrtype: str | int = "A", *, timeout: float = TIMEOUT_S) -> Explanation:  # noqa: ASYNC109  (the core's)
        """Every step that it takes to answer a question; what `query` would raise is in the Explanation."""
        timeout_us, steps = _timeout_us(timeout), list[Step]()
        asked, number, search = _asked(name, rrtype)
        engine = self._current(asked, number)
        begun_at = engine.clock()
        given = engine.ask(asked, number, timeout_us, search=search, trace=steps)
        result: Result
        try:
            result = given if isinstance(given, Answer | DnsError) else await given
        except DnsError as error:
            result = error
        return explain(asked, number, steps, result, engine.clock() - begun_at)

    # -- looking in

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the files of the system say and was not taken, as in "/etc/resolv.conf:3: ..."; they are also logged."""
        return () if self._files is None else self._files.warnings

    def cache_rows(self, most: int) -> list[tuple[str, str, int, str]]:
        """Name, type, seconds to live and data of at most `most` entries of the cache, the last used first."""
        engine = self._engine
        if engine is None:
            return []
        now, rows = engine.clock(), []
        for entry in reversed(engine.core.cache.entries()[-most:]):
            data = "; ".join(str(one) for one in entry.rrset.rdatas) if entry.rrset is not None else ""
            if entry.kind != POSITIVE:
                data = "no such data" if not entry.failure[0] else entry.failure[0]
            rows.append((str(entry.name), type_text(entry.rrtype), max(0, (entry.expires_at - now) // SECOND), data))
        return rows

    @property
    def stats(self) -> dict[str, Any]:
        """Counters by name: of what was done, and below "refused" of what was not believed, by reason."""
        if self._engine is None:
            return {"refused": {}}
        stats = self._engine.core.stats
        sockets = len(self._engine.transport)
        return {**stats.counts_by_name(), "refused": stats.refused_by_name(), "sockets": sockets}


async def _collect(
    tasks: dict[int, asyncio.Task[Answer]], results: list[Result | None], patience_s: float | None
) -> None:
    """Put what comes of `tasks` into `results`, at their places."""
    waiting = set(tasks.values())
    try:
        while waiting:
            enough = any(isinstance(result, Answer) for result in results)
            done, waiting = await asyncio.wait(
                waiting, timeout=patience_s if enough else None, return_when=asyncio.FIRST_COMPLETED
            )
            for place, task in tasks.items():
                if task not in done:
                    continue
                try:
                    results[place] = task.result()
                except DnsError as error:
                    results[place] = error
            if not done:
                break
    finally:
        for task in waiting:
            task.cancel()


def _worst(errors: Sequence[DnsError]) -> DnsError:
    """What to say when no family has addresses: that there is no such name; else what may change; else that."""
    for error in errors:
        if isinstance(error, NXDOMAIN):
            return error
    for error in errors:
        if not isinstance(error, NoData):
            return error
    return errors[0]
