"""One client of many servers.

    async with rpc.pool(calc.CALC_V1, ["a:4000", "b:4000"], policy="least_loaded", timeout=2) as client:
        result = await client.CALC_DO(calc.args(calc.op.ADD, 1, 2))

Theory of operation.  Each member has a client of its own and a task that keeps it (`link`): it connects, calls NULL
now and then, and says whether the member is ready.  A call goes to one of those that are (`members`), so it does not
wait for a connection, unless there is none at all.

*Fail-over* is safe where the call has certainly not run (`maybe_executed` is False), and where it may run twice: its
procedure is in `idempotent`, or its semantics are AT_LEAST_ONCE.  Then another member gets it; no member twice, three
members at most, and none of them has more than its share of the time that is left.  Everything else fails as it would
with one server.  What a server answers is final, unless it does not have the program, or failed in a procedure that may
run twice.

*Hedging* is for calls that may run twice: one that is late is made at another member, too (`hedging`).

*State* that a server keeps from call to call is not where another server could find it: redirecting works only if no
state carries over.  `sticky` gives a client all of whose calls go to one member, and fail with it.
"""

import asyncio
import random
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from stack.config import SECOND, Rng
from stack.errors import ConfigError
from stack.rpc.batch import Batch
from stack.rpc.caller import RpcClient, running_loop
from stack.rpc.calls import Semantics
from stack.rpc.channel import Channel
from stack.rpc.client import Way
from stack.rpc.constants import NULL_PROCEDURE
from stack.rpc.errors import (
    ClientClosed,
    ConnectionLost,
    NotRegistered,
    ProgMismatch,
    ProgUnavail,
    RpcError,
    RpcTimeout,
    ServerRebooted,
    SystemErr,
    TooManyCalls,
    Unreachable,
)
from stack.rpc.pooling.hedging import Hedging, is_number
from stack.rpc.pooling.link import Link
from stack.rpc.pooling.members import Choice, Member, Members, Place
from stack.rpc.pooling.places import places_of
from stack.rpc.program import CallOptions, Procedure, Version
from stack.rpc.rpcbind.binding import ServiceResolver
from stack.rpc.settings import TIMEOUT_S, ClientSettings, options_of, semantics_of
from stack.rpc.stats import PoolStats

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.sim.world import VirtualHost

ATTEMPTS: Final = 3  # members that get one call, one after the other
WAIT_S: Final = 2.0  # for a member to come back, when there is none
_ELSEWHERE: Final = (ConnectionLost, Unreachable, NotRegistered, ProgUnavail, ProgMismatch)  # it is not there
_FAILURES: Final = (*_ELSEWHERE, RpcTimeout, ServerRebooted, SystemErr)
_FULL: Final = (TooManyCalls, ClientClosed)  # the fault is ours


@dataclass(frozen=True, slots=True)
class MemberState:
    """A member as it is now.  `state`: "ready", "ejected" after failures in a row, "down" when it cannot be reached."""

    place: str
    state: str
    because: str
    in_flight: int
    calls: int
    failed: int
    srtt_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """How a pool calls; see `pool`."""

    proto: str
    policy: Choice
    failover: bool
    hedge: float | None
    srv: str | None
    resolver: ServiceResolver | None
    check_s: float
    refresh_s: float
    max_record: int
    client: ClientSettings

    def validate(self, version: type[Version]) -> None:
        """Raise ConfigError for what cannot be."""
        self.client.validate(version)
        if self.proto not in {"tcp", "udp", "unix"}:
            raise ConfigError(f"proto {self.proto!r}: use 'tcp', 'udp' or 'unix'")
        for name in ("check_s", "refresh_s"):
            seconds = getattr(self, name)
            if not is_number(seconds) or not 0 < seconds < float("inf"):
                raise ConfigError(f"{name} is {seconds!r}: use seconds, more than 0")


class Pool:
    """See the head of this file; `pool` makes one.  The stubs of `version` are made over it."""

    # fmt: off
    __slots__ = (
        "_closed", "_closing", "_hedging", "_host", "_leaving", "_links", "_loop", "_members", "_refreshing", "_rng",
        "_semantics", "_settings", "_up", "_version", "stats",
    )
    # fmt: on

    def __init__(
        self, version: type[Version], settings: PoolSettings, host: "AsyncHost | VirtualHost | None" = None
    ) -> None:
        settings.validate(version)
        self._version = version
        self._settings = settings
        self._host = host
        self._loop = running_loop()
        self._rng: Rng = getattr(self._loop, "new_rng", random.SystemRandom)()  # a simulation's loop has its own
        self._members = Members(settings.policy, self._rng)
        self._hedging = Hedging(settings.hedge)
        self._links: dict[Member, Link] = {}
        self._leaving: dict[Member, Link] = {}  # no members any more, with calls in flight
        self._closing: set[asyncio.Task[None]] = set()
        self._closed = False
        self._up = asyncio.Event()  # a member was found ready, or not
        self._refreshing: asyncio.Task[None] | None = None
        self._semantics = {
            number: Semantics.AT_LEAST_ONCE
            if procedure.name in settings.client.idempotent or number == NULL_PROCEDURE
            else semantics_of(settings.client.semantics)
            for number, procedure in version.procedures.items()
        }
        self.stats = PoolStats()

    # -- calls

    async def __call__(self, procedure: Procedure, args: tuple[Any, ...], options: CallOptions) -> Any:
        """What the stubs do.  Raises RpcError, XdrError for arguments that are none."""
        if self._closed:
            raise ClientClosed(f"{procedure.name} by a pool", maybe_executed=False)
        self.stats.calls += 1
        timeout, semantics = options_of(procedure.name, options, self._settings.client.timeout)
        call = _Call(
            procedure,
            args,
            semantics or self._semantics[procedure.number],
            None if timeout is None else self._loop.time() + timeout,
            f"{procedure.name} by a pool",
        )
        try:
            return await self._call(call)
        except BaseException:
            self.stats.failed += 1
            raise

    async def _call(self, call: "_Call") -> Any:
        """Try members until one answers, or it is not safe to try another."""
        unsure: RpcError | None = None  # the first failure after which it may have been executed
        while True:
            member = self._choose(call) if call.tried else await self._first(call)
            try:
                return await self._hedged(call, member)
            except RpcError as error:
                unsure = unsure or (error if error.maybe_executed else None)
                if not self._may_go_on(call, error):
                    raise (unsure or error) from None
                self.stats.failed_over += 1

    def _may_go_on(self, call: "_Call", error: RpcError) -> bool:
        """Whether another member may have the call."""
        if self._closed or not self._settings.failover or not isinstance(error, (*_FAILURES, TooManyCalls)):
            return False
        if error.maybe_executed and not call.may_repeat:
            return False
        now = self._loop.time()
        if len(call.tried) >= ATTEMPTS or (call.until is not None and call.until <= now):
            return False
        other = self._members.choose(_us(now), call.tried)
        if other is None:
            return False
        if error.maybe_executed and not self._is_its_own(call, error, other) and not self._hedging.may_repeat():
            self.stats.over_budget += 1
            return False
        return True

    def _is_its_own(self, call: "_Call", error: RpcError, other: Member) -> bool:
        """Whether the fault is the first member's alone: then the load is not twice what it was, but elsewhere.

        It has gone; or it is silent, while the other one has answered.
        """
        now = _us(self._loop.time())
        if len(call.tried) > 1 or call.tried[0].state(now) == "ready" or other.state(now) != "ready":
            return False
        return isinstance(error, ConnectionLost) or other.sampled_at > call.began_at

    def _choose(self, call: "_Call") -> Member:
        """One that has not had the call; `_may_go_on` has found that there is one."""
        member = self._members.choose(_us(self._loop.time()), call.tried)
        assert member is not None
        return member

    async def _first(self, call: "_Call") -> Member:
        """The first member to have the call.  Raises Unreachable if none comes back in time, ClientClosed."""
        until = self._loop.time() + WAIT_S
        if call.until is not None:
            until = min(until, call.until)
        while True:
            if self._closed:
                raise ClientClosed(call.what, maybe_executed=False)
            member = self._members.choose(_us(self._loop.time()))
            if member is not None:
                return member
            self._up.clear()
            try:
                async with asyncio.timeout_at(until):
                    await self._up.wait()
            except TimeoutError:
                raise Unreachable(call.what, because=self._why()) from None

    def _why(self) -> str:
        """Why nobody can be called."""
        if not len(self._members):
            return f"no servers of {srv} are known" if (srv := self._settings.srv) else "it has no members"
        return "; ".join(f"{member.place}: {member.because}" for member in self._members)

    def _share(self, call: "_Call") -> float | None:
        """Seconds that the next member has: what may go on elsewhere leaves time for that."""
        if call.until is None:
            return None
        left = max(call.until - self._loop.time(), 0.0)
        if call.only or not call.may_repeat or not self._settings.failover:
            return left
        others = sum(1 for member in self._members if member.is_ready and member not in call.tried)
        return left / max(min(ATTEMPTS - len(call.tried), 1 + others), 1)

    async def _attempt(self, call: "_Call", member: Member) -> Any:
        """One member has the call."""
        members, loop = self._members, self._loop
        link = self._links.get(member)
        timeout = self._share(call)
        call.tried.append(member)
        if link is None or link.client is None:  # it has left the pool since it was chosen
            raise Unreachable(call.what, because=f"{member.place}: {member.because}")
        members.begin(member)
        began = loop.time()
        call.began_at = call.began_at or _us(began)
        try:
            options: CallOptions = {"timeout": timeout, "semantics": call.semantics}
            result = await link.client(call.procedure, call.args, options)
        except _FAILURES as error:
            members.on_failure(member, _us(loop.time()))
            if isinstance(error, _ELSEWHERE):
                link.on_trouble(error)
            raise
        except RpcError as error:
            if isinstance(error, _FULL):
                members.on_cancelled(member)
            else:  # it has answered
                self._on_reply(member, began)
            raise
        except BaseException:  # cancelled, or not to be marshalled
            members.on_cancelled(member)
            raise
        else:
            self._on_reply(member, began)
        finally:
            if member in self._leaving:
                self._let_go(member)
        return result

    def _on_reply(self, member: Member, began: float) -> None:
        now = self._loop.time()
        took_us = _us(now - began)
        self._members.on_reply(member, took_us, _us(now))
        self._hedging.on_reply(took_us)

    async def _hedged(self, call: "_Call", member: Member) -> Any:
        """This member has the call; if it is late, and the call may run twice, so has another one."""
        delay_us = self._hedging.delay_us
        if delay_us is None or not call.may_repeat:
            return await self._attempt(call, member)
        began = self._loop.time()
        first = self._loop.create_task(self._attempt(call, member))
        tasks = {first}
        try:
            done, _ = await asyncio.wait(tasks, timeout=delay_us / SECOND)
            other = None if done else self._members.choose(_us(self._loop.time()), call.tried)
            if other is None:
                return await first
            if not self._hedging.may_repeat():
                self.stats.over_budget += 1
                return await first
            self.stats.hedged += 1
            second = self._loop.create_task(self._attempt(call, other))
            tasks.add(second)
            winner = await _first_answer(first, second)  # (of two failures the one that may have run)
            if winner is second and not first.done():
                self.stats.hedges_won += 1
                await _cancelled(first)
                now = self._loop.time()
                self._members.on_beaten(member, _us(now - began), _us(now))
            return winner.result()
        finally:
            for task in tasks:
                await _cancelled(task)

    # -- one member for all calls

    def sticky(self, key: str) -> "_Sticky":
        """All calls to the member that this key has now.  Raises Unreachable if there is none, ClientClosed."""
        if self._closed:
            raise ClientClosed(f"a member for {key!r}", maybe_executed=False)
        member = self._members.choose_for(key, _us(self._loop.time()))
        if member is None:
            raise Unreachable(f"a member for {key!r}", because=self._why())
        return _Sticky(self, member)

    async def call_at(self, member: Member, procedure: Procedure, args: tuple[Any, ...], options: CallOptions) -> Any:
        """A call to this member, and to no other."""
        if self._closed:
            raise ClientClosed(f"{procedure.name} at {member.place}", maybe_executed=False)
        self.stats.calls += 1
        timeout, semantics = options_of(procedure.name, options, self._settings.client.timeout)
        until = None if timeout is None else self._loop.time() + timeout
        semantics = semantics or self._semantics[procedure.number]
        call = _Call(procedure, args, semantics, until, f"{procedure.name} at {member.place}", only=True)
        try:
            return await self._attempt(call, member)
        except BaseException:
            self.stats.failed += 1
            raise

    # -- who is there

    async def open(self, places: Iterable[Place]) -> None:
        """Find the members, and wait until one is ready.  Raises Unreachable, and what the resolver raises."""
        self._update(await self._find() if self._settings.srv is not None else places)
        if self._settings.srv is not None:
            self._refreshing = self._loop.create_task(self._refresh())
        untried = {member.because for member in self._members}
        while not any(member.is_ready for member in self._members):
            if all(member.because not in untried for member in self._members):
                raise Unreachable(f"{self._version.name} by a pool", because=self._why())
            self._up.clear()
            await self._up.wait()

    async def _find(self) -> list[Place]:
        settings = self._settings
        assert settings.srv is not None
        return await places_of(settings.srv, settings.resolver, settings.client.timeout or TIMEOUT_S)

    async def _refresh(self) -> None:
        """The service may have other servers by now.  Where nobody knows, those that are there stay."""
        while True:
            await asyncio.sleep(self._settings.refresh_s)
            with suppress(OSError):
                places = await self._find()
                if places:
                    self._update(places)

    def _update(self, places: Iterable[Place]) -> None:
        """Have these members.  Those that are gone get no more calls; the ones that they have may end."""
        come, gone = self._members.update(places)
        null = self._version.procedures[NULL_PROCEDURE]
        for member in come:
            self._links[member] = Link(
                member, self._members, self._make, null, self._settings.check_s, self._rng, self._up.set
            )
        for member in gone:
            link = self._leaving[member] = self._links.pop(member)
            link.stop()
            self._let_go(member)

    def _let_go(self, member: Member) -> None:
        """Close the client of one that has left, if it has no more calls."""
        if not member.in_flight:
            task = self._loop.create_task(self._leaving.pop(member).aclose())
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _make(self, place: Place) -> RpcClient:
        """A client of a member that is not open yet."""
        settings = self._settings
        way = Way(self._version, place.address, settings.proto, place.port, self._host, settings.max_record)
        return RpcClient(self._version, settings.client, str(place), way.open, datagrams=settings.proto == "udp")

    @property
    def members(self) -> list[MemberState]:
        """The members as they are now."""
        now = _us(self._loop.time())
        return [
            MemberState(str(one.place), one.state(now), one.because, one.in_flight, one.calls, one.failed, one.srtt_us)
            for one in self._members
        ]

    @property
    def ejections(self) -> int:
        """How often a member was not chosen for a while, as it had failed too often."""
        return self._members.ejections

    def batch(self) -> Batch:
        """Calls that are answered together; each goes to a member of its own choice."""
        return Batch(self)

    @property
    def channel(self) -> Channel | None:
        """None: the calls of a batch go several ways, so they cannot leave in one piece."""
        return None

    async def aclose(self) -> None:
        """Calls in flight fail with ClientClosed."""
        self._closed = True
        self._up.set()
        if self._refreshing is not None:
            await _cancelled(self._refreshing)
        links = [*self._links.values(), *self._leaving.values()]
        self._links.clear()
        self._leaving.clear()
        for member in list(self._members):
            self._members.on_down(member, "the pool was closed")
        await asyncio.gather(*(link.aclose() for link in links), *self._closing)


class _Call:
    """One call of a pool.  `until`: on the loop's clock.  `tried`: who has or had it; `only`: nobody else will."""

    __slots__ = ("args", "began_at", "may_repeat", "only", "procedure", "semantics", "tried", "until", "what")

    def __init__(
        self,
        procedure: Procedure,
        args: tuple[Any, ...],
        semantics: Semantics,
        until: float | None,
        what: str,
        *,
        only: bool = False,
    ) -> None:
        self.only = only
        self.began_at = 0  # at the first member
        self.procedure = procedure
        self.args = args
        self.semantics = semantics
        self.may_repeat = semantics is Semantics.AT_LEAST_ONCE
        self.until = until
        self.what = what
        self.tried: list[Member] = []


class _Sticky:
    """What a stub for one member is built on."""

    __slots__ = ("_member", "_pool")

    def __init__(self, pool: Pool, member: Member) -> None:
        self._pool = pool
        self._member = member

    async def __call__(self, procedure: Procedure, args: tuple[Any, ...], options: CallOptions) -> Any:
        """Make a call; raises RpcError."""
        return await self._pool.call_at(self._member, procedure, args, options)

    def batch(self) -> Batch:
        """As of a pool."""
        return Batch(self)

    @property
    def channel(self) -> Channel | None:
        """As of a pool."""
        return None


async def _first_answer(first: "asyncio.Task[Any]", second: "asyncio.Task[Any]") -> "asyncio.Task[Any]":
    """The one that has a result first.  If none has, one that may have run: nobody is told that it has not."""
    await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
    done, other = (first, second) if first.done() else (second, first)
    if not isinstance(done.exception(), RpcError):
        return done
    await asyncio.wait({other})
    failure = other.exception()
    if not isinstance(failure, RpcError):
        return other
    return max(first, second, key=_may_have_run)


def _may_have_run(failed: "asyncio.Task[Any]") -> bool:
    error = failed.exception()
    return isinstance(error, RpcError) and error.maybe_executed


async def _cancelled(task: "asyncio.Task[Any]") -> None:
    """Stop it, and wait until it has."""
    if task.cancel():
        await asyncio.gather(task, return_exceptions=True)


def _us(seconds: float) -> int:
    return int(seconds * SECOND)
