"""Who is served at a port: so many at a time, of some users, each counted; and how a client is turned away."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from stack.proxy import owner
from stack.proxy.splice import Half, join, reset

logger = logging.getLogger(__name__)

MAX_CLIENTS: Final = 256
MAX_SOCKETS: Final = 512  # half of the descriptors that a process usually has
LINGER_S: Final = 1.0  # for one that is turned away to hear why
MAX_LINGERING: Final = 64
SWEEP_S: Final = 5.0
CONNECT_S: Final = 60.0
RECHECK_S: Final = 1.0

Dial = Callable[[Half], Awaitable[object]]  # opens the second connection, with this protocol


class Users:
    """Whose sockets are served; `uids` None: anybody's, from anywhere."""

    __slots__ = ("_uids",)

    def __init__(self, uids: frozenset[int] | None) -> None:
        self._uids = uids

    def may_connect(self, transport: asyncio.BaseTransport) -> bool:
        """Whether the other end of a kernel's connection is one of theirs."""
        return self._uids is None or owner.of_connection(transport.get_extra_info("socket")) in self._uids

    def may_send(self, source: owner.Address, destination: owner.Address) -> bool:
        """Whether the UDP socket `source` of this machine is."""
        return self._uids is None or owner.of_datagrams(source, destination) in self._uids


class Sender:
    """A UDP socket of the kernel's side, asked about now and then: its port may be another user's meanwhile."""

    __slots__ = ("_asked_at", "_destination", "_source", "_users")

    def __init__(self, users: Users, source: owner.Address, destination: owner.Address) -> None:
        self._users = users
        self._source = source
        self._destination = destination
        self._asked_at: float | None = None

    def is_served(self) -> bool:
        """Whether it is, as of RECHECK_S seconds ago at most."""
        now = asyncio.get_running_loop().time()
        if self._asked_at is not None and now - self._asked_at < RECHECK_S:
            return True
        if not self._users.may_send(self._source, self._destination):
            self._asked_at = None
            return False
        self._asked_at = now
        return True


class Room:
    """How many sockets of the kernel's several ports may have together: descriptors are short in a process."""

    __slots__ = ("limit", "taken")

    def __init__(self, limit: int = MAX_SOCKETS) -> None:
        self.limit = limit
        self.taken = 0

    def take(self) -> bool:
        """Whether there was room for one more."""
        if self.taken >= self.limit:
            return False
        self.taken += 1
        return True

    def free(self) -> None:
        """One is closed."""
        self.taken -= 1


class Clients:
    """Those of one port: at most `limit`, and counters by reason.  What has ended is no longer held."""

    __slots__ = ("_lingering", "_open", "_sweeper", "counts", "limit", "octets_in", "octets_out", "room")

    def __init__(self, limit: int = MAX_CLIENTS, room: Room | None = None) -> None:
        self.limit = limit
        self.room = room or Room()
        self.counts: Counter[str] = Counter()
        self.octets_in = 0
        self.octets_out = 0
        self._open: set[Client] = set()
        self._lingering: set[asyncio.Transport] = set()
        self._sweeper: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._open)

    def enter(self, client: "Client") -> bool:
        """Whether there is room."""
        if len(self._open) >= self.limit or not self.room.take():
            self.counts["refused_full"] += 1
            return False
        self._open.add(client)
        if self._sweeper is None:
            self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        return True

    def leave(self, client: "Client") -> None:
        """It has ended."""
        if client not in self._open:
            return
        self._open.remove(client)
        self.room.free()
        self.octets_in += client.octets
        far, client.far = client.far, None
        if far is not None:
            self.octets_out += far.octets
            far.far = None

    def _sweep(self) -> None:
        for client in list(self._open):
            client.sweep()
            if client.far is not None:
                client.far.sweep()
        self._sweeper = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep) if self._open else None

    def turn_away(self, transport: asyncio.Transport, last_words: bytes, *, ended: bool = False) -> None:
        """Say something and close.  To close while something of the client's is unread would be a reset, which takes
        the words away: a few may linger until they close, or for LINGER_S seconds.  `ended`: it has sent its end.
        """
        if ended:
            transport.write(last_words)
            transport.close()
            return
        if len(self._lingering) >= MAX_LINGERING:
            reset(transport)
            return
        self._lingering.add(transport)
        transport.set_protocol(_Lingering(lambda: self._lingering.discard(transport)))
        transport.resume_reading()
        transport.write(last_words)
        transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_S, transport.abort)

    def close(self) -> None:
        """Reset who is still there."""
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for client in list(self._open):
            client.end()
        for transport in list(self._lingering):
            transport.abort()

    def passed(self) -> tuple[int, int]:
        """Octets that came from clients, and for them."""
        come = self.octets_in + sum(client.octets for client in self._open)
        far = self.octets_out + sum(client.far.octets for client in self._open if client.far is not None)
        return come, far

    def status(self) -> dict[str, Any]:
        """For `tapstack status`."""
        come, far = self.passed()
        return {
            "open": len(self._open),
            "limit": self.limit,
            "octets_in": come,
            "octets_out": far,
            **dict(sorted(self.counts.items())),
        }


class _Lingering(asyncio.Protocol):
    """What a client that was turned away still says is thrown away."""

    def __init__(self, gone: Callable[[], None]) -> None:
        self._gone = gone

    def eof_received(self) -> bool:
        return False  # it has heard all: close

    def connection_lost(self, _exc: Exception | None) -> None:
        self._gone()


class Client(Half):
    """A connection accepted, for which another one is opened."""

    __slots__ = ("_task", "clients")

    def __init__(self, clients: Clients) -> None:
        super().__init__(self._left)
        self.clients = clients
        self._task: asyncio.Task[None] | None = None

    def _left(self) -> None:
        self.clients.leave(self)

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Have `work` done for it; it is cancelled when the client goes away."""
        self._task = asyncio.get_running_loop().create_task(self._do(work))

    async def _do(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            logger.exception("a client of a proxy could not be served")
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody waits for the other connection any more."""
        self._cancel()
        super().connection_lost(exc)

    def _cancel(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    def end(self) -> None:
        """Reset both connections."""
        self._cancel()
        for one in (self, self.far):
            if one is not None and not one.is_lost:
                reset(one.transport)

    async def open_far(self, dial: Dial) -> Half:
        """The second connection.  Raises OSError."""
        far = Half()
        try:
            async with asyncio.timeout(CONNECT_S):
                await dial(far)
        except BaseException:
            if hasattr(far, "transport"):  # it was there when nobody wanted it any more
                reset(far.transport)
            raise
        return far

    def splice(self, far: Half) -> None:
        """Both are there; from now on they are one."""
        self.clients.counts["served"] += 1
        self._task = None
        join(self, far)
