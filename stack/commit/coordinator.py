"""The coordinator of transactions, without clock, network or disk of its own.

Theory of operation.  `begin` makes a Round and puts a PREPARE for each participant into `outbox`.  Their votes come
back by `on_vote`.  When all are yes, COMMITTED is written to the log, with who has voted: from then on the transaction
is committed, whatever happens, and not before.  All are told (DECIDE) until each has confirmed (`on_receipt`); then
ENDED is written down, without haste, and the transaction forgotten.  One no, a member that cannot be reached, or a vote
that takes too long, and the transaction is aborted: all are told once, nothing is written, and it is forgotten.

That is presumed abort (C. Mohan, B. Lindsay, R. Obermarck: Transaction Management in the R* Distributed Database
Management System, ACM TODS 11(4), 1986).  Who is in doubt asks (`outcome`); what is not known here was not committed.
So a crash before the decision was written needs no trace of the transaction, and an abort costs the log nothing.

What is not known must never have been committed, so:
- a number is used once: those that may be used are written down before, a few hundred at a time;
- questions about another log than ours (the disk was lost), or about numbers that it has not given out yet (an old copy
  was put back), are answered "unknown", not "aborted": who asks stays in doubt until a person decides;
- while nobody knows whether the log has the decision (LogFailed), the answer is "pending".
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from stack.commit import protocol
from stack.commit.errors import LogError, LogFailed
from stack.commit.log import Log, decoded
from stack.commit.protocol import answer, coordinator_kind, receipt, vote_kind
from stack.commit.states import COORDINATOR, Event, State, move
from stack.commit.transactions import Ask, Clock, Send, Timing, Transaction, Waiting
from stack.config import NEVER
from stack.errors import ConfigError, NoBufferSpace

NUMBERS_AHEAD: Final = 256
MAX_OPEN: Final = 1024
CHECKPOINT: Final = 1 << 20  # octets of the log


@dataclass(slots=True, eq=False)
class Round:
    """One transaction.  `waits_for`: who has not voted, or not confirmed, yet; `why` it was aborted."""

    transaction: Transaction
    members: tuple[str, ...]
    since: int
    next_at: int
    state: State = State.WORKING
    why: str = ""
    waits_for: set[str] = field(default_factory=set)
    promises: dict[str, bytes] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)  # members that know nothing of their promise
    tries: int = 0
    is_given_up: bool = False  # a person says that some member will never confirm
    is_stuck: bool = False  # nobody knows whether the log has the decision

    @property
    def is_open(self) -> bool:
        """Whether there is no decision."""
        return self.state is State.WORKING


class Coordinator:
    """See the head of this file.  `outbox` is to be sent, `changed` lists rounds that have moved on.

    `members` are the names of those who may take part.  Raises ConfigError when the log names others, CorruptLog,
    LogError.
    """

    # fmt: off
    __slots__ = (
        "_below", "_checkpoint", "_clock", "_given_up", "_least", "_log", "_members", "_next", "_rounds", "_timing",
        "changed", "lost", "name", "outbox", "stats",
    )
    # fmt: on

    def __init__(
        self,
        name: str,
        log: Log,
        members: Iterable[str],
        now: int,
        clock: Clock,
        timing: Timing | None = None,
        *,
        checkpoint: int = CHECKPOINT,
    ) -> None:
        self.name = name
        self.outbox: list[Send] = []
        self.changed: list[Round] = []
        self.lost: list[str] = []  # sentences about promises that were lost, for people
        self.stats = {"committed": 0, "aborted": 0, "late_votes": 0, "lost": 0, "foreign": 0, "checkpoints": 0}
        self._log = log
        self._members = frozenset(members)
        self._clock = clock
        self._timing = timing or Timing()
        self._timing.validate()
        self._rounds: dict[int, Round] = {}
        self._given_up: dict[int, Round] = {}  # committed and ended, and not all have confirmed: they may come back
        self._next = self._below = 1
        self._least = self._checkpoint = checkpoint
        self._recover(now)

    # -- recovery

    def _recover(self, now: int) -> None:
        for data in self._log.records:
            record = decoded(protocol.xdr_coordinator_record.decode, data, f"the log of {self.name}")
            if record.kind is coordinator_kind.NUMBERS:
                self._next = self._below = max(self._below, record.below)
            elif record.kind is coordinator_kind.COMMITTED:
                self._recover_round(record.committed, now)
            elif record.kind is coordinator_kind.GIVEN_UP:
                if (found := self._rounds.pop(record.given_up, None)) is not None:
                    self._given_up[record.given_up] = found
            else:
                self._rounds.pop(record.ended, None)
                self._given_up.pop(record.ended, None)
        self._log.records = []
        for unfinished in self._rounds.values():
            for member in unfinished.members:
                if member not in self._members:
                    raise ConfigError(
                        f"transaction {unfinished.transaction} is committed, and {member!r} has not been told; "
                        f"the members given are {_listed(self._members)}: add it"
                    )
        self._below += NUMBERS_AHEAD
        self._log.compact(self._live())

    def _recover_round(self, record: protocol.committed_record, now: int) -> None:
        """It is committed; who had confirmed already does so again."""
        promises = {promise.participant: promise.voter for promise in record.promises}
        found = Round(self._transaction(record.number), tuple(promises), record.since, now, State.COMMITTED)
        found.promises = promises
        found.waits_for = set(promises)
        self._rounds[record.number] = found

    def _live(self) -> Iterable[bytes]:
        yield _record(coordinator_kind.NUMBERS, self._below)
        for number, unfinished in self._rounds.items():
            if unfinished.state is State.COMMITTED:
                yield _record(coordinator_kind.COMMITTED, _committed(number, unfinished))
        for number, given_up in self._given_up.items():
            yield _record(coordinator_kind.COMMITTED, _committed(number, given_up))
            yield _record(coordinator_kind.GIVEN_UP, number)

    # -- the first phase

    def begin(self, work: Mapping[str, bytes], now: int) -> Round:
        """A new transaction: what each member shall do.

        Raises ConfigError for members that are not known, NoBufferSpace when too many transactions have not ended,
        LogError, LogFailed.
        """
        self._log.check()
        if not work or len(work) > protocol.COMMIT_MEMBERS:
            raise ConfigError(f"a transaction has 1 to {protocol.COMMIT_MEMBERS} participants, not {len(work)}")
        for member, what in work.items():
            if member not in self._members:
                raise ConfigError(f"no member is called {member!r}: there are {_listed(self._members)}")
            if not isinstance(what, bytes):
                raise ConfigError(
                    f"the work of {member} is {type(what).__name__}: use commit.steps() or commit.entries()"
                )
            if len(what) > protocol.COMMIT_WORK:
                raise ConfigError(f"the work of {member} has {len(what)} octets: at most {protocol.COMMIT_WORK}")
        if len(self._rounds) >= MAX_OPEN:
            raise NoBufferSpace(f"{len(self._rounds)} transactions have not ended: see status() for whom they wait")
        if self._next >= self._below:
            self._reserve()
        number, self._next = self._next, self._next + 1
        made = Round(self._transaction(number), tuple(work), self._clock(), now + self._timing.vote_us)
        made.waits_for = set(work)
        self._rounds[number] = made
        for member, what in work.items():
            wire = protocol.intent(made.transaction.wire, member, list(work), what)
            self.outbox.append(Send(member, Ask.PREPARE, made.transaction, wire))
        return made

    def _reserve(self) -> None:
        below = self._next + NUMBERS_AHEAD
        self._log.add(_record(coordinator_kind.NUMBERS, below))
        self._log.flush()
        self._below = below

    def _transaction(self, number: int) -> Transaction:
        return Transaction(self.name, self._log.identity, number)

    def on_vote(self, transaction: Transaction, member: str, vote: protocol.vote, now: int) -> None:
        """What a participant has answered.  Only its first vote counts."""
        found = self._rounds.get(transaction.number)
        if found is None or not found.is_open or found.is_stuck or member not in found.waits_for:
            self.stats["late_votes"] += 1
            return
        if vote.kind is vote_kind.VOTE_NO:
            self._abort(found, Event.ANY_NO, f"{member}: {vote.why}")
            return
        found.waits_for.discard(member)
        found.promises[member] = vote.voter
        if not found.waits_for:
            self._commit(found, now)

    def on_silence(self, transaction: Transaction, member: str, why: str) -> None:
        """A participant could not be asked, or has not answered: that is a no, if it has not voted."""
        found = self._rounds.get(transaction.number)
        if found is not None and found.is_open and not found.is_stuck and member in found.waits_for:
            self._abort(found, Event.NO_VOTE, f"{member} has not voted: {why}")

    # -- the decision

    def _commit(self, found: Round, now: int) -> None:
        self._log.add(_record(coordinator_kind.COMMITTED, _committed(found.transaction.number, found)))
        try:
            self._log.flush()
        except LogFailed as error:
            found.is_stuck, found.why = True, str(error.strerror)
            self.changed.append(found)
            return
        except LogError as error:
            self._abort(found, Event.ANY_NO, f"{self.name}: {error.strerror}")
            return
        self.stats["committed"] += 1
        found.waits_for = set(found.members)
        self._enter(found, Event.ALL_YES)
        self._tell(found, now)

    def _abort(self, found: Round, event: Event, why: str) -> None:
        self.stats["aborted"] += 1
        found.why = why
        self._enter(found, event)
        self._rounds.pop(found.transaction.number)
        for member in found.members:
            self._decide(found, member, commit=False)
        found.waits_for.clear()
        self._enter(found, Event.TOLD)

    def _enter(self, found: Round, event: Event) -> None:
        found.state = move(COORDINATOR, found.state, event)
        self.changed.append(found)

    # -- the second phase

    def _tell(self, found: Round, now: int) -> None:
        for member in found.members:
            if member in found.waits_for:
                self._decide(found, member, commit=True)
        found.next_at = now + self._timing.pause_us(found.tries)
        found.tries += 1

    def _decide(self, found: Round, member: str, *, commit: bool) -> None:
        what = protocol.decision(found.transaction.wire, commit, found.promises.get(member, b""))
        self.outbox.append(Send(member, Ask.DECIDE, found.transaction, what))

    def on_receipt(self, transaction: Transaction, member: str, answered: receipt) -> None:
        """What a participant says to a decision."""
        found = self._rounds.get(transaction.number)
        if found is None or found.state is not State.COMMITTED or member not in found.waits_for:
            return
        if answered is receipt.RECEIPT_LATER:
            return
        if answered is receipt.RECEIPT_LOST:
            self._lose(
                found, member, "knows nothing of having promised it: its disk was lost, or somebody decided there"
            )
        self._confirm(found, member)

    def _lose(self, found: Round, member: str, why: str) -> None:
        self.stats["lost"] += 1
        found.lost.append(member)
        others = _listed(set(found.members) - {member})
        self.lost.append(
            f"{found.transaction} is committed, and {member} {why}; compare its data with those of {others}"
        )
        del self.lost[:-MAX_OPEN]

    def _confirm(self, found: Round, member: str) -> None:
        found.waits_for.discard(member)
        if found.waits_for:
            self.changed.append(found)
            return
        number = found.transaction.number
        self._rounds.pop(number)
        if found.is_given_up:
            self._keep(number, found)
        else:
            self._log.add(_record(coordinator_kind.ENDED, number))
        self._enter(found, Event.ALL_DONE)
        self._bound_log()

    def _keep(self, number: int, found: Round) -> None:
        """Whoever was given up, and comes back all the same, is not told that it was aborted."""
        self._given_up[number] = found
        self._log.add(_record(coordinator_kind.GIVEN_UP, number))
        if len(self._given_up) > MAX_OPEN:
            oldest = next(iter(self._given_up))
            del self._given_up[oldest]
            self._log.add(_record(coordinator_kind.ENDED, oldest))

    def give_up(self, transaction: str | Transaction, member: str) -> None:
        """A person says that this participant will never confirm what is committed: it is gone.

        It is not told any more.  If it comes back and asks, it hears that it was committed.  Raises ConfigError when
        nobody waits for it, LogError when that cannot be written: it may have to be said again after the next start.
        """
        for found in self._rounds.values():
            if str(found.transaction) == str(transaction) and not found.is_open and member in found.waits_for:
                self._lose(found, member, "was given up by a person")
                found.is_given_up = True
                self._confirm(found, member)
                self._log.flush()
                return
        raise ConfigError(f"{transaction} does not wait for {member} to confirm it: see status()")

    def _bound_log(self) -> None:
        if self._log.size < self._checkpoint or self._log.failed:
            return
        try:
            self._log.compact(self._live())
        except LogFailed:
            return  # whoever needs the log next is told
        except LogError:
            self._checkpoint = self._log.size + self._least  # no room now
            return
        self._checkpoint = max(self._least, 2 * self._log.size)
        self.stats["checkpoints"] += 1

    # -- questions

    def outcome(self, what: protocol.question) -> answer:
        """Someone in doubt asks."""
        transaction = Transaction.of(what.transaction)
        known = transaction[:2] == (self.name, self._log.identity) and transaction.number < self._next
        if not known:
            self.stats["foreign"] += 1
            return answer.ANSWER_UNKNOWN
        found = self._rounds.get(transaction.number) or self._given_up.get(transaction.number)
        if found is None:
            return answer.ANSWER_ABORTED
        if found.is_open:
            return answer.ANSWER_PENDING
        if found.promises.get(what.asker) == what.voter:
            return answer.ANSWER_COMMITTED
        return answer.ANSWER_ABORTED  # that is a copy of the work, which nobody has counted on

    # -- time

    def deadline(self) -> int:
        """When `tick` has something to do."""
        return min((found.next_at for found in self._rounds.values() if not found.is_stuck), default=NEVER)

    def tick(self, now: int) -> None:
        """Time has passed."""
        for found in [found for found in self._rounds.values() if found.next_at <= now and not found.is_stuck]:
            if found.is_open:
                self._abort(found, Event.NO_VOTE, f"no vote of {_listed(found.waits_for)} in time")
            else:
                self._tell(found, now)

    def status(self) -> list[Waiting]:
        """Transactions that have not ended."""
        return [
            Waiting(
                found.transaction,
                found.state.value,
                tuple(member for member in found.members if member in found.waits_for),
                found.since,
                found.why,
            )
            for found in self._rounds.values()
        ]

    @property
    def failed(self) -> str:
        """Why nothing can be decided any more."""
        return self._log.failed

    def close(self) -> None:
        """Let the log go."""
        self._log.close()


def _committed(number: int, found: Round) -> protocol.committed_record:
    promises = [protocol.promise(member, voter) for member, voter in found.promises.items()]
    return protocol.committed_record(number, found.since, promises)


def _record(kind: coordinator_kind, value: int | protocol.committed_record) -> bytes:
    return protocol.xdr_coordinator_record.encode(protocol.coordinator_record(kind, value))


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(names)) or "none"
