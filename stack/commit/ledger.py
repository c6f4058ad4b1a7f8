"""The simplest participant: accounts, whose amounts are integers that do not fall below zero, in a log of their own.

    ledger = commit.open_ledger("north.log", "north")
    work = commit.entries({"anna": -5, "otto": +5})

Theory of operation.  The amounts are in memory.  A promise is a record of the log, and locks the accounts it concerns;
a commit is another record, and only when it is on the disk are the amounts other ones.  A start reads the log: balances
of the last checkpoint, promises, and what became of them.  `balance` shows what is committed: an account in doubt has
the amount that it had before.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from stack.commit import protocol
from stack.commit.errors import LogError, LogFailed, Refused
from stack.commit.log import Disk, Log, decoded
from stack.commit.participant import Promise
from stack.commit.protocol import ledger_kind
from stack.commit.transactions import Done, Transaction
from stack.rpc.xdr import XdrError

OWNER: Final = "ledger "
CHECKPOINT: Final = 1 << 20  # octets of the log
MOST: Final = (1 << 63) - 1


def entries(amounts: Mapping[str, int]) -> bytes:
    """The work for a ledger: what is added to accounts.  Raises XdrError for names and amounts that are too long."""
    return protocol.xdr_entries.encode([protocol.entry(account, amount) for account, amount in amounts.items()])


class Ledger:
    """See the head of this file; a Store.  `file` is its name on the disk, `name` the participant's.

    Raises CorruptLog, LogError.
    """

    # fmt: off
    __slots__ = (
        "_amounts", "_checkpoint", "_least", "_locks", "_log", "checkpoints", "done", "identity", "promises",
    )
    # fmt: on

    def __init__(
        self, disk: Disk, file: str, name: str, fresh: Callable[[int], bytes], *, checkpoint: int = CHECKPOINT
    ) -> None:
        self._log = log = Log.open(disk, file, owner=OWNER + name, fresh=fresh)
        self._amounts: dict[str, int] = {}
        self._locks: dict[str, Transaction] = {}
        self._least = self._checkpoint = checkpoint
        self.identity = log.identity
        self.checkpoints = 0
        self.done = Done()
        self.promises: list[Promise] = []
        for record in log.records:
            self._read(decoded(protocol.xdr_ledger_record.decode, record, file))
        log.records = []
        log.compact(self._live())

    def _read(self, record: protocol.ledger_record) -> None:
        if record.kind is ledger_kind.LEDGER_BALANCE:
            self._amounts[record.balance.account] = record.balance.amount
        elif record.kind is ledger_kind.LEDGER_PREPARED:
            what = record.prepared.what
            promise = Promise(Transaction.of(what.transaction), what, record.prepared.since)
            self._lock(promise)
        elif record.kind is ledger_kind.LEDGER_DONE:
            self.done.add(Transaction.of(record.done))
        else:
            is_committed = record.kind is ledger_kind.LEDGER_COMMITTED
            transaction = Transaction.of(record.committed if is_committed else record.aborted)
            for promise in [promise for promise in self.promises if promise.transaction == transaction]:
                self._end(promise, commit=is_committed)

    def _live(self) -> Iterable[bytes]:
        for account, amount in self._amounts.items():
            yield _record(ledger_kind.LEDGER_BALANCE, protocol.entry(account, amount))
        for transaction in self.done:
            yield _record(ledger_kind.LEDGER_DONE, transaction.wire)
        for promise in self.promises:
            yield _record(ledger_kind.LEDGER_PREPARED, protocol.prepared_record(promise.intent, promise.since))

    @property
    def failed(self) -> str:
        """Why nothing can be written any more."""
        return self._log.failed

    @property
    def balances(self) -> dict[str, int]:
        """What is committed."""
        return dict(self._amounts)

    def balance(self, account: str) -> int:
        """What is committed; 0 of an account that nothing was ever added to."""
        return self._amounts.get(account, 0)

    def close(self) -> None:
        """Let the log go.  What is promised stays promised."""
        self._log.close()

    # -- a Store

    def blocked_by(self, work: bytes) -> Transaction | None:
        """Who has locked one of the accounts."""
        return next((self._locks[entry.account] for entry in _decode(work) if entry.account in self._locks), None)

    def prepare(self, promise: Promise) -> None:
        """See `participant.Store`, here and below."""
        work = _decode(promise.intent.work)
        if len({entry.account for entry in work}) != len(work) or not work:
            raise Refused("no amount, or several for one account")
        for entry in work:
            if (other := self._locks.get(entry.account)) is not None:
                raise Refused(f"{entry.account} is locked by {other}")
            if not 0 <= self.balance(entry.account) + entry.amount <= MOST:
                raise Refused(f"{entry.account} has {self.balance(entry.account)}, and is to get {entry.amount:+}")
        self._log.add(_record(ledger_kind.LEDGER_PREPARED, protocol.prepared_record(promise.intent, promise.since)))
        self._log.flush()
        self._lock(promise)

    def commit(self, promise: Promise) -> None:
        """The amounts are changed."""
        self._log.add(_record(ledger_kind.LEDGER_COMMITTED, promise.transaction.wire))
        self._log.flush()
        self._end(promise, commit=True)
        self._bound_log()

    def abort(self, promise: Promise, *, for_good: bool = False) -> None:
        """Written with the next flush, if not for good: should that not come, the coordinator says so again."""
        self._log.check()
        self._log.add(_record(ledger_kind.LEDGER_ABORTED, promise.transaction.wire))
        if for_good:
            self._log.flush()
        self._end(promise, commit=False)

    def _lock(self, promise: Promise) -> None:
        self.promises.append(promise)
        for entry in _decode(promise.intent.work):
            self._locks[entry.account] = promise.transaction

    def _end(self, promise: Promise, *, commit: bool) -> None:
        self.promises.remove(promise)
        for entry in _decode(promise.intent.work):
            if self._locks.get(entry.account) == promise.transaction:
                del self._locks[entry.account]
            if commit:
                self._amounts[entry.account] = self.balance(entry.account) + entry.amount
        if commit:
            self.done.add(promise.transaction)

    def _bound_log(self) -> None:
        if self._log.size < self._checkpoint:
            return
        try:
            self._log.compact(self._live())
        except LogFailed:
            return  # whoever needs the log next is told
        except LogError:
            self._checkpoint = self._log.size + self._least  # no room now
            return
        self._checkpoint = max(self._least, 2 * self._log.size)
        self.checkpoints += 1


def _decode(work: bytes) -> protocol.entries:
    try:
        return protocol.xdr_entries.decode(work)
    except XdrError as error:
        raise Refused(f"the work is none for a ledger ({error})") from None


def _record(kind: ledger_kind, value: protocol.entry | protocol.prepared_record | protocol.transaction_id) -> bytes:
    return protocol.xdr_ledger_record.encode(protocol.ledger_record(kind, value))
