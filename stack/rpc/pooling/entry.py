"""How a pool is made and used; see `stack.rpc.pooling.pool` for what it does."""

from collections.abc import Collection, Generator, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar

from stack.errors import ConfigError
from stack.rpc.auth import NOBODY, Credential
from stack.rpc.pooling.members import Choice, Place
from stack.rpc.pooling.places import parse_places, paths_of
from stack.rpc.pooling.pool import MemberState, Pool, PoolSettings
from stack.rpc.record import MAX_RECORD
from stack.rpc.rpcbind.binding import ServiceResolver
from stack.rpc.settings import MAX_IN_FLIGHT, TIMEOUT_S, ClientSettings, check_max_record
from stack.rpc.within import HasClient
from stack.rpc.xdr import LIMITS, Limits

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.sim.world import VirtualHost

C_co = TypeVar("C_co", covariant=True)
CHECK_S: Final = 2.0
REFRESH_S: Final = 30.0
USE: Final = "a pool is used by `async with rpc.pool(...) as client:`"


class Pooling(Generic[C_co]):
    """A pool that is open while its block runs; see `pool`."""

    __slots__ = ("_entered", "_places", "_pool", "_stub")

    def __init__(self, stub: Any, pool: Pool, places: list[Place]) -> None:
        self._stub = stub
        self._pool = pool
        self._places = places
        self._entered = False

    def __await__(self) -> Generator[Any, None, NoReturn]:
        raise TypeError(USE)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"no attribute {name}: {USE}")

    async def __aenter__(self) -> C_co:
        if self._entered:
            raise ConfigError("this pool was entered already: make another one by rpc.pool(...) for each block")
        self._entered = True
        try:
            await self._pool.open(self._places)
        except BaseException:
            await self._pool.aclose()
            raise
        return self._stub(self._pool)  # type: ignore[no-any-return]

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.aclose()

    def sticky(self, key: str) -> C_co:
        """A client all of whose calls go to one member: the same one for each `key`, as long as it is there.

        For servers that keep state from call to call.  Its calls fail with the member, for another one would not have
        the state; then begin anew, with another `sticky`.  Raises Unreachable if no member is ready, ConfigError
        before the block is entered, ClientClosed after it.
        """
        if not self._entered:
            raise ConfigError(USE)
        return self._stub(self._pool.sticky(key))  # type: ignore[no-any-return]

    @property
    def members(self) -> list[MemberState]:
        """The members as they are now."""
        return self._pool.members

    @property
    def stats(self) -> dict[str, int]:
        """Counters by name."""
        return {**self._pool.stats.by_name(), "ejections": self._pool.ejections}


def pool(
    version: HasClient[C_co],
    members: Iterable[str | tuple[str, int] | Place] = (),
    *,
    srv: str | None = None,
    policy: str | Choice = Choice.LEAST_LOADED,
    failover: bool = True,
    hedge: float | None = None,
    idempotent: Collection[str] = (),
    timeout: float | None = TIMEOUT_S,
    auth: Credential = NOBODY,
    proto: str = "tcp",
    check_s: float = CHECK_S,
    refresh_s: float = REFRESH_S,
    resolver: ServiceResolver | None = None,
    max_in_flight: int = MAX_IN_FLIGHT,
    session: bool = True,
    max_record: int = MAX_RECORD,
    xdr: Limits = LIMITS,
    host: "AsyncHost | VirtualHost | None" = None,
) -> Pooling[C_co]:
    """A client of many servers of a program, to be used by `async with`, which gives its stub.

    `members`: "host:port", or "host", whose rpcbind knows the port; with proto "unix", paths.  `srv`: their name in the
    DNS instead, like "_calc._tcp.example.test"; it is looked up every `refresh_s` seconds.  `policy`: who gets a call:
    "least_loaded", "two_choices" or "round_robin".

    `failover`: calls go to another member where that is safe.  Procedures named in `idempotent` may run twice, so for
    them it always is.  `hedge`: such a call is made a second time when it takes longer than this share of all calls,
    like 0.95; None: never.  `check_s`: seconds between calls of NULL to each member.

    All else is as for `connect`; `max_in_flight` is for each member.  Raises ConfigError; entering the block raises
    Unreachable when no member can be reached.
    """
    check_max_record(max_record)
    client = ClientSettings(
        auth=auth,
        timeout=timeout,
        idempotent=idempotent,
        max_in_flight=max_in_flight,
        session=session,
        reconnect_s=0.0,  # the pool has other members, and tries again by itself
        xdr=xdr,
    )
    settings = PoolSettings(
        proto=proto,
        policy=_choice(policy),
        failover=failover,
        hedge=hedge,
        srv=srv,
        resolver=resolver,
        check_s=check_s,
        refresh_s=refresh_s,
        max_record=max_record,
        client=client,
    )
    chosen: Any = version
    return Pooling(chosen.Client, Pool(chosen, settings, host), _places(members, srv, proto))


def _choice(policy: str | Choice) -> Choice:
    try:
        return Choice(policy)
    except ValueError:
        names = ", ".join(repr(one.value) for one in Choice)
        raise ConfigError(f"policy {policy!r}: use one of {names}") from None


def _places(members: Iterable[str | tuple[str, int] | Place], srv: str | None, proto: str) -> list[Place]:
    if srv is not None:
        if members:
            raise ConfigError("members or srv, not both")
        return []
    return paths_of(members) if proto == "unix" else parse_places(members)
