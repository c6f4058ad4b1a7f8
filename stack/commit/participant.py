"""A participant of transactions, without clock or network of its own; its data are in a Store.

Theory of operation.  PREPARE brings the work of a transaction.  The store tries whether it can be done, locks what it
needs, and writes it down; when that is on the disk, the vote is yes, and the participant is in doubt: it may neither
forget the work nor do it, until it knows the decision.  DECIDE brings it, or the answer to a question: who is in doubt
asks the coordinator after a while, again and again, and from the second time the other participants as well
(cooperative termination).  If one of them knows the decision, it is as good as the coordinator's.  If nobody does, the
participant stays in doubt, and what it has locked stays locked.  That is the blocking case, and no commit protocol with
two phases is without it (D. Skeen: Nonblocking Commit Protocols, SIGMOD 1981).
`status` says who waits for whom, and `resolve` lets a person decide; the coordinator is still asked, and if it had
decided otherwise, `lost` says so.

Copies do no harm.  A PREPARE for what is in doubt, or was committed, is answered with yes, and nothing is done; one for
what was aborted, with no.  One that comes when its transaction has been aborted and forgotten makes the participant
promise what nobody will ever ask for; it hears so when it asks, for the coordinator presumes abort.  A decision for
what was committed is confirmed again.

A promise belongs to the store that has it: each has an identity, random when it is made, which goes with the vote and
comes back with the decision.  If the disk was lost since, the identity is another one, and the coordinator is told that
nobody here knows of any promise.  It says so to people; a machine cannot mend that.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final, Protocol

from stack.commit import protocol
from stack.commit.errors import Refused
from stack.commit.protocol import answer, receipt, vote_kind
from stack.commit.states import PARTICIPANT, Event, State, move
from stack.commit.transactions import Ask, Clock, Done, Send, Timing, Transaction, Waiting, sentence
from stack.config import NEVER
from stack.errors import ConfigError

MAX_IN_DOUBT: Final = 1024
MAX_ABORTED: Final = 1024  # of which it is remembered that they were aborted: not needed, but quicker
MAX_NUMBER: Final = (1 << 63) - 1  # that databases can keep
ASK_OTHERS: Final = 1  # times that the coordinator alone is asked
DECIDED: Final = {answer.ANSWER_COMMITTED: State.COMMITTED, answer.ANSWER_ABORTED: State.ABORTED}


@dataclass(slots=True, eq=False)
class Promise:
    """What is written down of a transaction in doubt."""

    transaction: Transaction
    intent: protocol.intent
    since: int  # microseconds since 1970


class Store(Protocol):
    """The data of a participant.  What it has done is on the disk when the method returns.

    `identity` is another one if the data were lost; `promises` and `done` are what was found when it was opened.
    """

    identity: bytes
    promises: list[Promise]
    done: Done
    failed: str  # why nothing can be written any more

    def blocked_by(self, work: bytes) -> Transaction | None:
        """A transaction that has locked what this work needs.  Raises Refused for work that makes no sense."""

    def prepare(self, promise: Promise) -> None:
        """Try it, lock what it needs, write it down.  Raises Refused, or another OSError: nothing is promised.

        If it stands in `promises` all the same, a trace of it could not be wiped out: `abort` will be called.
        """

    def commit(self, promise: Promise) -> None:
        """Do it, together with `done.add`.  Raises OSError: the promise stands."""

    def abort(self, promise: Promise, *, for_good: bool = False) -> None:
        """Forget it.  It may come back after a crash, unless `for_good`.  Raises OSError: the promise stands."""


@dataclass(slots=True, eq=False)
class Doubt:
    """A promise, and what has been asked about it."""

    promise: Promise
    next_at: int
    state: State = State.PREPARED
    asked: int = 0
    said: dict[str, str] = field(default_factory=dict)  # what others have answered


class Participant:
    """See the head of this file.  `outbox` is to be sent.

    `members` are the names of coordinators and other participants.  Raises ConfigError when the store has promises to
    others.
    """

    # fmt: off
    __slots__ = (
        "_aborted", "_clock", "_doubts", "_members", "_resolved", "_stale", "_store", "_timing", "lost", "name",
        "outbox", "stats",
    )
    # fmt: on

    def __init__(
        self, name: str, store: Store, members: Iterable[str], now: int, clock: Clock, timing: Timing | None = None
    ) -> None:
        self.name = name
        self.outbox: list[Send] = []
        self.stats = {"prepared": 0, "refused": 0, "committed": 0, "aborted": 0, "copies": 0, "lost": 0, "faults": 0}
        self._store = store
        self._members = frozenset(members)
        self._clock = clock
        self._timing = timing or Timing()
        self._timing.validate()
        self._doubts: dict[Transaction, Doubt] = {}
        self._resolved: dict[Transaction, Doubt] = {}  # by a person; the coordinator has not been heard
        self._stale: dict[Transaction, Doubt] = {}  # refused, and what was written down of them is still there
        self.lost: list[str] = []  # sentences about decisions that contradict each other, for people
        self._aborted: OrderedDict[Transaction, None] = OrderedDict()
        for promise in store.promises:
            if promise.transaction.coordinator not in self._members:
                raise ConfigError(
                    f"transaction {promise.transaction} is in doubt, and {promise.transaction.coordinator!r}, who "
                    f"coordinates it, is not among the members given: add it"
                )
            self._doubts[promise.transaction] = Doubt(promise, now)  # asked for at once

    # -- the first phase

    def blocked_by(self, what: protocol.intent) -> Transaction | None:
        """A transaction in doubt that has locked what this one needs: to wait for it may spare a no."""
        if Transaction.of(what.transaction) in self._doubts:
            return None
        try:
            return self._store.blocked_by(what.work)
        except Refused:
            return None

    def on_prepare(self, what: protocol.intent, now: int) -> protocol.vote:
        """The vote."""
        transaction = Transaction.of(what.transaction)
        if transaction in self._doubts or transaction in self._store.done:
            self.stats["copies"] += 1
            return protocol.vote(vote_kind.VOTE_YES, self._store.identity)
        why = self._objection(transaction, what)
        if not why:
            promise = Promise(transaction, what, self._clock())
            try:
                self._store.prepare(promise)
            except Refused as error:
                why = error.strerror or "refused"
            except OSError as error:
                why = f"it cannot be written down: {error.strerror or error}"
            else:
                state = move(PARTICIPANT, State.WORKING, Event.PROMISED)
                self._doubts[transaction] = Doubt(promise, now + self._timing.pause_us(0), state)
                self.stats["prepared"] += 1
                return protocol.vote(vote_kind.VOTE_YES, self._store.identity)
            if promise in self._store.promises:
                state = move(PARTICIPANT, State.WORKING, Event.REFUSED)
                self._stale[transaction] = Doubt(promise, now + self._timing.pause_us(0), state)
        self.stats["refused"] += 1
        return protocol.vote(vote_kind.VOTE_NO, sentence(why))

    def _objection(self, transaction: Transaction, what: protocol.intent) -> str:
        """Why nothing is promised, whatever the work is; empty: nothing is against it."""
        if what.participant != self.name:
            return f"this is {self.name}, not {what.participant}: the addresses of the members are wrong"
        if transaction.coordinator not in self._members:
            return f"no member is called {transaction.coordinator!r} here"
        if transaction.number > MAX_NUMBER:
            return "its number is too large"
        if transaction in self._aborted:
            return "it was aborted"
        if transaction in self._stale:
            return "it was refused"
        if self._store.done.is_too_old(transaction):
            return "its number is too old"
        if len(self._doubts) >= MAX_IN_DOUBT:
            return f"{len(self._doubts)} transactions are in doubt here"
        return self._store.failed

    # -- the second phase

    def on_decide(self, what: protocol.decision) -> receipt:
        """The coordinator has decided."""
        transaction = Transaction.of(what.transaction)
        self._compare(transaction, State.COMMITTED if what.commit else State.ABORTED)
        if not what.commit:
            return self._on_abort(transaction)
        if what.voter != self._store.identity:
            self.stats["lost"] += 1
            return receipt.RECEIPT_LOST
        doubt = self._doubts.get(transaction)
        if doubt is not None:
            return receipt.RECEIPT_DONE if self._finish(doubt, Event.COMMIT) else receipt.RECEIPT_LATER
        if transaction in self._store.done or self._store.done.is_too_old(transaction):
            self.stats["copies"] += 1
            return receipt.RECEIPT_DONE
        self.stats["lost"] += 1  # somebody has resolved it otherwise
        return receipt.RECEIPT_LOST

    def _on_abort(self, transaction: Transaction) -> receipt:
        doubt = self._doubts.get(transaction)
        if doubt is not None:
            return receipt.RECEIPT_DONE if self._finish(doubt, Event.ABORT) else receipt.RECEIPT_LATER
        if transaction in self._store.done:
            self.stats["lost"] += 1  # somebody has resolved it otherwise
            self._contradict(transaction, "was committed here: a person has decided so, here or elsewhere")
            return receipt.RECEIPT_LOST
        self._remember(transaction)
        return receipt.RECEIPT_DONE

    def _finish(self, doubt: Doubt, event: Event, *, for_good: bool = False) -> bool:
        """Whether it could be written.  `for_good`: an abort is not forgotten in a crash."""
        transaction = doubt.promise.transaction
        try:
            if event is Event.COMMIT:
                self._store.commit(doubt.promise)
            else:
                self._store.abort(doubt.promise, for_good=for_good)
        except OSError as error:
            self.stats["faults"] += 1
            doubt.said[self.name] = f"{event.value}, which cannot be written: {error.strerror or error}"
            return False
        doubt.state = move(PARTICIPANT, doubt.state, event)
        del self._doubts[transaction]
        if event is Event.COMMIT:
            self.stats["committed"] += 1
        else:
            self.stats["aborted"] += 1
            self._remember(transaction)
        return True

    def _remember(self, transaction: Transaction) -> None:
        self._aborted[transaction] = None
        if len(self._aborted) > MAX_ABORTED:
            self._aborted.popitem(last=False)

    def resolve(self, transaction: str | Transaction, *, commit: bool) -> None:
        """Decide what is in doubt, as a person who has found out, or must not wait any longer.

        It is on the disk when this returns, an abort as well: nobody else could say so again after a crash.  If it was
        decided otherwise, the data of the members contradict each other; who notices says so.  Raises ConfigError when
        it is not in doubt, OSError when it cannot be written.
        """
        doubt = next(
            (doubt for doubt in self._doubts.values() if str(doubt.promise.transaction) == str(transaction)), None
        )
        if doubt is None:
            raise ConfigError(f"{transaction} is not in doubt here; in doubt are {len(self._doubts)}: see status()")
        if not self._finish(doubt, Event.COMMIT if commit else Event.ABORT, for_good=True):
            raise OSError(doubt.said[self.name])
        doubt.said = {self.name: "a person has decided"}
        if len(self._resolved) < MAX_IN_DOUBT:
            self._resolved[doubt.promise.transaction] = doubt

    def _compare(self, transaction: Transaction, decided: State) -> None:
        """Whether a person has decided as the coordinator has."""
        doubt = self._resolved.pop(transaction, None)
        if doubt is not None and doubt.state is not decided:
            others = [name for name in doubt.promise.intent.members if name != self.name]
            self.lost.append(
                f"{transaction} is {decided.value}, and a person has had it {doubt.state.value} at {self.name}: "
                f"compare its data with those of {', '.join(others)}"
            )
            del self.lost[:-MAX_IN_DOUBT]

    def _contradict(self, transaction: Transaction, what: str) -> None:
        """As above, where nothing else is known here; once for each."""
        text = f"{transaction} is {State.ABORTED.value}"
        if not any(said.startswith(text) for said in self.lost):
            self.lost.append(f"{text}, and {what}: compare the data of {self.name} with those of the others")
            del self.lost[:-MAX_IN_DOUBT]

    # -- questions

    def outcome(self, what: protocol.question) -> answer:
        """Another participant is in doubt.  Only decisions are told: a no of ours may not have been the last word."""
        transaction = Transaction.of(what.transaction)
        if transaction in self._store.done:
            return answer.ANSWER_COMMITTED
        if transaction in self._aborted:
            return answer.ANSWER_ABORTED
        return answer.ANSWER_PENDING if transaction in self._doubts else answer.ANSWER_UNKNOWN

    def on_answer(self, transaction: Transaction, member: str, said: answer) -> None:
        """What a member knows of the transaction in doubt."""
        if member == transaction.coordinator and said in DECIDED:
            self._compare(transaction, DECIDED[said])
        doubt = self._doubts.get(transaction)
        if doubt is None:
            return
        if said is answer.ANSWER_COMMITTED:
            self._finish(doubt, Event.COMMIT)
        elif said is answer.ANSWER_ABORTED:
            self._finish(doubt, Event.ABORT)
        elif said is answer.ANSWER_PENDING:
            doubt.said[member] = "has not decided" if member == transaction.coordinator else "is in doubt, too"
        else:
            doubt.said[member] = "does not know it"

    def on_silence(self, transaction: Transaction, member: str, why: str) -> None:
        """A member that was asked has not answered."""
        doubt = self._doubts.get(transaction)
        if doubt is not None:
            doubt.said[member] = why

    # -- time

    def deadline(self) -> int:
        """When `tick` has something to do."""
        return min((doubt.next_at for doubt in (*self._open(), *self._stale.values())), default=NEVER)

    def _open(self) -> Iterable[Doubt]:
        return [*self._doubts.values(), *self._resolved.values()]

    def tick(self, now: int) -> None:
        """Time has passed."""
        for doubt in [doubt for doubt in self._open() if doubt.next_at <= now]:
            self._ask(doubt, now)
        for doubt in [doubt for doubt in self._stale.values() if doubt.next_at <= now]:
            self._wipe(doubt, now)

    def _wipe(self, doubt: Doubt, now: int) -> None:
        """What was refused is to leave nothing behind."""
        try:
            self._store.abort(doubt.promise)
        except OSError as error:
            self.stats["faults"] += 1
            doubt.said[self.name] = f"refused; what was written of it cannot be wiped out: {error.strerror or error}"
            doubt.asked += 1
            doubt.next_at = now + self._timing.pause_us(doubt.asked)
        else:
            del self._stale[doubt.promise.transaction]  # (nor is it remembered: others are told decisions only)

    def _ask(self, doubt: Doubt, now: int) -> None:
        transaction, wire = doubt.promise.transaction, doubt.promise.intent
        what = protocol.question(wire.transaction, self.name, self._store.identity)
        self.outbox.append(Send(transaction.coordinator, Ask.OUTCOME, transaction, what))
        if doubt.asked >= ASK_OTHERS and doubt.state is State.PREPARED:
            for member in wire.members:
                if member != self.name and member in self._members:
                    self.outbox.append(Send(member, Ask.OUTCOME, transaction, what))
        doubt.asked += 1
        doubt.next_at = now + self._timing.pause_us(doubt.asked)

    def status(self) -> list[Waiting]:
        """Transactions in doubt, and those that a person has decided, of which the coordinator was not heard yet.

        Those that wait for this member itself were refused, and the disk still has something of them.
        """
        return [
            Waiting(
                doubt.promise.transaction,
                doubt.state.value,
                (self.name if doubt.promise.transaction in self._stale else doubt.promise.transaction.coordinator,),
                doubt.promise.since,
                sentence("; ".join(f"{member}: {said}" for member, said in doubt.said.items())),
            )
            for doubt in (*self._open(), *self._stale.values())
        ]

    @property
    def failed(self) -> str:
        """Why nothing can be written any more."""
        return self._store.failed
