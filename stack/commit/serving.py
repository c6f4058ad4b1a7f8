"""Members of transactions on a network: a participant that serves, a coordinator that runs transactions.

Theory of operation.  The machines decide; here are their messages, as remote procedure calls, and their timer.  What a
machine wants sent is a call in a task of its own; its result, or that there is none, goes back into the machine.  All
procedures may be executed more than once, so a lost connection is no matter: the machines send again what is still
wanted.  A PREPARE whose data are locked by another transaction waits for a while before the answer is no: two
transactions that wait for each other end that way.
"""

import asyncio
import os
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from stack import rpc
from stack.commit import protocol
from stack.commit.coordinator import Coordinator, Round
from stack.commit.disk import FileDisk
from stack.commit.errors import Aborted, Undecided
from stack.commit.ledger import Ledger
from stack.commit.log import Disk, Log
from stack.commit.participant import Participant, Store
from stack.commit.peers import Members, Peers, check_members
from stack.commit.protocol import COMMIT_V1, answer, receipt
from stack.commit.states import State
from stack.commit.transactions import Ask, Clock, Send, Timing, Transaction, Waiting, sentence
from stack.config import NEVER, SECOND
from stack.errors import ConfigError
from stack.rpc import Policy, RpcServer

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.sim.world import VirtualHost

LOCK_WAIT_S: Final = 1.0
SETTLE_S: Final = 5.0
MAX_RECORD: Final = protocol.COMMIT_WORK + (1 << 16)
STATUS_S: Final = 2.0


class Committed(NamedTuple):
    """A transaction that has happened.  `waits_for`: participants that have not confirmed yet; they will."""

    transaction: Transaction
    waits_for: tuple[str, ...]


class Running(ABC):
    """A machine on a network."""

    __slots__ = ("_closed", "_loop", "_peers", "_server", "_tasks", "_timer", "_timer_at", "_timing", "machine", "name")

    machine: Any

    def __init__(
        self, name: str, members: Members, host: "AsyncHost | VirtualHost | None", timing: Timing | None
    ) -> None:
        self.name = name
        self._loop = asyncio.get_running_loop()
        self._peers = Peers(members, host)
        self._timing = timing or Timing()
        self._server: RpcServer | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def stats(self) -> dict[str, int]:
        """Counters by name."""
        stats: dict[str, int] = self.machine.stats
        return stats

    def status(self) -> list[Waiting]:
        """Transactions that have not ended here, whom they wait for, and since when."""
        rows: list[Waiting] = self.machine.status()
        return rows

    def now(self) -> int:
        """Microseconds of the loop's clock."""
        return int(self._loop.time() * SECOND)

    async def _serve(
        self,
        program: COMMIT_V1.Server,
        where: tuple[str | None, int],
        host: "AsyncHost | VirtualHost | None",
        auth: Policy | None,
    ) -> None:
        address, port = where
        self._server = await rpc.serve(
            [program],
            host=host,
            address=address,
            tcp=port,
            udp=None,
            auth=auth,
            duplicates=False,
            max_record=MAX_RECORD,
        )

    @property
    def port(self) -> int:
        """Where it listens (TCP)."""
        assert self._server is not None
        port = self._server.tcp_port
        assert port is not None
        return port

    def pump(self) -> None:
        """Send what the machine wants sent, and wake up when it wants to."""
        if self._closed:
            return
        out, self.machine.outbox = self.machine.outbox, []
        for send in out:
            task = self._loop.create_task(self._carry(send))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        at = self.machine.deadline()
        if at != self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = at
            self._timer = self._loop.call_at(at / SECOND, self._on_timer) if at < NEVER else None

    def _on_timer(self) -> None:
        now = max(self.now(), self._timer_at)  # whatever is lost in a float
        self._timer, self._timer_at = None, NEVER
        self.machine.tick(now)
        self.pump()

    async def _carry(self, send: Send) -> None:
        try:
            answered = await self._peers.ask(send, self._timing.vote_us / SECOND)
        except TimeoutError:
            self.machine.on_silence(send.transaction, send.to, "no answer in time")
        except OSError as error:
            self.machine.on_silence(send.transaction, send.to, error.strerror or str(error))
        else:
            self._on_reply(send, answered)
        self.pump()

    @abstractmethod
    def _on_reply(self, send: Send, answered: Any) -> None:
        """Give it to the machine."""

    async def aclose(self) -> None:
        """Stop.  What is promised or decided stays so, and goes on with the next start."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            await self._server.aclose()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._peers.aclose()


# -- participants


class RunningParticipant(Running):
    """A participant that serves; `commit.serve` makes one."""

    __slots__ = ("_changed", "_lock_wait_s")

    machine: Participant

    def __init__(
        self,
        name: str,
        store: Store,
        members: Members,
        host: "AsyncHost | VirtualHost | None",
        timing: Timing | None,
        clock: Clock,
        lock_wait_s: float,
    ) -> None:
        super().__init__(name, members, host, timing)
        self.machine = Participant(name, store, members, self.now(), clock, self._timing)
        self._changed: asyncio.Event = asyncio.Event()  # a promise has ended
        self._lock_wait_s = lock_wait_s

    @property
    def lost(self) -> list[str]:
        """Sentences about decisions that contradict each other: a person has to see to it."""
        return list(self.machine.lost)

    def resolve(self, transaction: str | Transaction, *, commit: bool) -> None:
        """Decide what is in doubt: see `Participant.resolve`.  Raises ConfigError, OSError."""
        self.machine.resolve(transaction, commit=commit)
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        self.pump()

    def _on_timer(self) -> None:
        super()._on_timer()
        self._wake()

    def _on_reply(self, send: Send, answered: answer) -> None:
        self.machine.on_answer(send.transaction, send.to, answered)
        self._wake()

    async def prepare(self, what: protocol.intent) -> protocol.vote:
        """A PREPARE; waits for what is locked."""
        until = self._loop.time() + self._lock_wait_s
        while self.machine.blocked_by(what) is not None and self._loop.time() < until:
            changed = self._changed
            try:
                async with asyncio.timeout_at(until):
                    await changed.wait()
            except TimeoutError:
                break
        vote = self.machine.on_prepare(what, self.now())
        self.pump()
        return vote

    def decide(self, what: protocol.decision) -> receipt:
        """A DECIDE."""
        answered = self.machine.on_decide(what)
        self._wake()
        return answered


class _ParticipantProgram(COMMIT_V1.Server):
    """Its procedures."""

    __slots__ = ("_running",)

    def __init__(self, running: RunningParticipant) -> None:
        self._running = running

    @rpc.proc(idempotent=True)
    async def PREPARE(self, _: rpc.Context, what: protocol.intent) -> protocol.vote:
        return await self._running.prepare(what)

    @rpc.proc(idempotent=True)
    async def DECIDE(self, _: rpc.Context, what: protocol.decision) -> receipt:
        return self._running.decide(what)

    @rpc.proc(idempotent=True)
    async def OUTCOME(self, _: rpc.Context, what: protocol.question) -> answer:
        return self._running.machine.outcome(what)

    @rpc.proc(idempotent=True)
    async def STATUS(self, _: rpc.Context) -> protocol.member_status:
        return _own_status(self._running.machine)


async def serve(
    name: str,
    store: Store,
    members: Members,
    *,
    host: "AsyncHost | VirtualHost | None" = None,
    address: str | None = None,
    auth: Policy | None = None,
    timing: Timing | None = None,
    lock_wait_s: float = LOCK_WAIT_S,
) -> RunningParticipant:
    """Take part in transactions as the member `name`, with the data of `store` (a Database, a Ledger).

    `members` are the addresses and ports of all members, the same table for each of them.  It listens on its own port
    at `address`, by default on the addresses of `host`, or 127.0.0.1.  `auth`: who may call (see `rpc.allow`); whoever
    may can have the store do what it can.  `lock_wait_s`: how long a transaction waits for what another one has locked.
    What was in doubt when the last process ended is asked for at once.  Raises ConfigError, OSError.
    """
    check_members(members, name)
    running = RunningParticipant(name, store, members, host, timing, clock_of(), lock_wait_s)
    try:
        await running._serve(_ParticipantProgram(running), (address, members[name][1]), host, auth)  # noqa: SLF001
    except BaseException:
        await running.aclose()
        raise
    running.pump()
    return running


# -- coordinators


class RunningCoordinator(Running):
    """A coordinator; `commit.coordinate` makes one."""

    __slots__ = ("_waiting",)

    machine: Coordinator

    def __init__(
        self,
        name: str,
        log: str | Path | Disk,
        members: Members,
        host: "AsyncHost | VirtualHost | None",
        timing: Timing | None,
    ) -> None:
        super().__init__(name, members, host, timing)
        self._waiting: dict[Round, list[asyncio.Future[None]]] = {}
        if isinstance(log, str | Path):
            disk, file = _disk_of(log)
        else:
            disk, file = log, f"{name}.log"
        try:
            found = Log.open(disk, file, owner=name, fresh=_fresh())
            self.machine = Coordinator(name, found, members, self.now(), clock_of(), self._timing)
        except BaseException:
            disk.close()
            raise

    async def run(self, work: Mapping[str, bytes], *, settle_s: float = SETTLE_S) -> Committed:
        """Have members do this, all or none: `{"north": commit.steps(...), "south": commit.entries(...)}`.

        Returns when it is committed, and all have confirmed, or `settle_s` later: they will.  Raises Aborted when it
        has not happened, and will not; Undecided when the log has failed: a new start of the coordinator decides;
        ConfigError for members that there are not; LogError.  Who is cancelled does not know what becomes of it.
        """
        if self._closed:
            raise ConfigError(f"the coordinator {self.name} was closed: make another one by commit.coordinate()")
        found = self.machine.begin(work, self.now())
        self.pump()
        while found.is_open and not found.is_stuck:
            await self._change_of(found)
        if found.is_stuck:
            raise Undecided(f"whether {found.transaction} is committed is not known: {found.why}")
        if found.why:
            raise Aborted(str(found.transaction), found.why)
        try:
            async with asyncio.timeout(settle_s):
                while found.state is State.COMMITTED:
                    await self._change_of(found)
        except TimeoutError:
            pass  # the rest is told when it can be reached
        return Committed(found.transaction, tuple(sorted(found.waits_for)))

    @property
    def lost(self) -> list[str]:
        """Sentences about promises that were lost: a person has to see to it."""
        return list(self.machine.lost)

    def give_up(self, transaction: str | Transaction, member: str) -> None:
        """A participant will never confirm: see `Coordinator.give_up`.  Raises ConfigError, LogError."""
        try:
            self.machine.give_up(transaction, member)
        finally:
            self.pump()

    async def _change_of(self, found: Round) -> None:
        if self._closed:
            raise Undecided(f"whether {found.transaction} is committed is not known: the coordinator was closed")
        future: asyncio.Future[None] = self._loop.create_future()
        self._waiting.setdefault(found, []).append(future)
        await future

    def pump(self) -> None:
        """Those who wait look again."""
        changed, self.machine.changed = self.machine.changed, []
        for found in changed:
            self._wake(found)
        super().pump()

    def _wake(self, found: Round) -> None:
        for future in self._waiting.pop(found, ()):
            if not future.done():
                future.set_result(None)

    def _on_reply(self, send: Send, answered: Any) -> None:
        if send.ask is Ask.PREPARE:
            self.machine.on_vote(send.transaction, send.to, answered, self.now())
        else:
            self.machine.on_receipt(send.transaction, send.to, answered)

    async def aclose(self) -> None:
        """Stop; who waits for a transaction gets Undecided."""
        await super().aclose()
        self.machine.close()
        for found in list(self._waiting):
            self._wake(found)


class _CoordinatorProgram(COMMIT_V1.Server):
    """Its procedures."""

    __slots__ = ("_machine",)

    def __init__(self, machine: Coordinator) -> None:
        self._machine = machine

    @rpc.proc(idempotent=True)
    async def OUTCOME(self, _: rpc.Context, what: protocol.question) -> answer:
        return self._machine.outcome(what)

    @rpc.proc(idempotent=True)
    async def STATUS(self, _: rpc.Context) -> protocol.member_status:
        return _own_status(self._machine)


async def coordinate(
    name: str,
    log: str | Path | Disk,
    members: Members,
    *,
    host: "AsyncHost | VirtualHost | None" = None,
    address: str | None = None,
    auth: Policy | None = None,
    timing: Timing | None = None,
) -> RunningCoordinator:
    """Coordinate transactions as the member `name`, with the log at that path; `run` of what is returned makes one.

    A Disk in its place is closed with the coordinator.  The rest is as for `serve`.  Decisions that the last process
    could not tell everybody are told now.  Raises ConfigError, CorruptLog, LogError, OSError.
    """
    check_members(members, name)
    running = RunningCoordinator(name, log, members, host, timing)
    try:
        program = _CoordinatorProgram(running.machine)
        await running._serve(program, (address, members[name][1]), host, auth)  # noqa: SLF001
    except BaseException:
        await running.aclose()
        raise
    running.pump()
    return running


# -- who waits for whom


class MemberStatus(NamedTuple):
    """What a member tells.  `silent`: why it does not; `failed`: why it cannot write any more."""

    name: str
    rows: list[Waiting]
    failed: str = ""
    silent: str = ""

    def __str__(self) -> str:
        """A line for each transaction."""
        if self.silent:
            return f"{self.name}: {self.silent}"
        lines = [self.failed] if self.failed else []
        for row in self.rows:
            since = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(row.since / SECOND))
            waits = f"waits for {', '.join(row.waits_for)} since {since}"
            lines.append(f"{row.transaction} is {row.state}, {waits}" + (f" ({row.note})" if row.note else ""))
        return "\n".join(f"{self.name}: {line}" for line in lines or ["nothing is open"])


async def status(
    members: Members, *, host: "AsyncHost | VirtualHost | None" = None, timeout_s: float = STATUS_S
) -> list[MemberStatus]:
    """Ask all members which transactions have not ended, whom they wait for, and since when."""
    peers = Peers(members, host)

    async def ask(name: str) -> MemberStatus:
        try:
            async with asyncio.timeout(timeout_s):
                told = await (await peers.stub(name)).STATUS(timeout=timeout_s)
        except TimeoutError:
            return MemberStatus(name, [], silent="no answer in time")
        except OSError as error:
            return MemberStatus(name, [], silent=error.strerror or str(error))
        rows = [
            Waiting(Transaction.of(row.transaction), row.state, tuple(row.waits_for), row.since, row.note)
            for row in told.rows
        ]
        return MemberStatus(told.name, rows, told.failed)

    try:
        return list(await asyncio.gather(*(ask(name) for name in members)))
    finally:
        await peers.aclose()


def _own_status(machine: Coordinator | Participant) -> protocol.member_status:
    rows = [
        protocol.waiting_row(row.transaction.wire, row.state, list(row.waits_for), row.since, sentence(row.note))
        for row in machine.status()[: protocol.COMMIT_ROWS]
    ]
    return protocol.member_status(machine.name, sentence(machine.failed), rows)


def open_ledger(path: str | Path, name: str) -> Ledger:
    """The ledger of the member `name`, in the log at that path.  Raises ConfigError, CorruptLog, LogError."""
    disk, file = _disk_of(path)
    try:
        return Ledger(disk, file, name, _fresh())
    except BaseException:
        disk.close()
        raise


def _disk_of(path: str | Path) -> tuple[Disk, str]:
    found = Path(os.path.realpath(path))  # a log is written anew in its own folder, not in that of a link to it
    return FileDisk(found.parent, found.name), found.name


def clock_of() -> Clock:
    """Microseconds since 1970; in a simulation, since it began."""
    loop = asyncio.get_running_loop()
    if hasattr(loop, "new_rng"):
        return lambda: int(loop.time() * SECOND)
    return lambda: time.time_ns() // 1000


def _fresh() -> Any:
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:  # (a ledger may be opened before there is one)
        return os.urandom
    return loop.new_rng().randbytes if hasattr(loop, "new_rng") else os.urandom
