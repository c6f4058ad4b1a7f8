"""A participant whose data are an SQLite database, one transaction in doubt at a time.

    north = commit.Database("north.db", "north", {
        "take": commit.Statement("UPDATE account SET amount = amount - :amount WHERE id = :id", rows=1),
    })
    work = commit.steps(("take", {"id": 1, "amount": 5}))

Theory of operation.  SQLite has no PREPARE: what is not committed is gone after a crash.  So a promise is made in two
transactions of SQLite.  In the first the work is tried, undone, and written down as it came, in a table of the same
database; when that is committed, the promise survives.  The second does the work, takes the promise out and notes that
the transaction is done, and is left open until the decision: COMMIT or ROLLBACK is then all that is to be done, and all
of it is one change of the database, whatever happens meanwhile.  After a crash the promise is found, and its second
transaction begun again.

*Isolation.*  SQLite has one writer at a time, and an open transaction keeps all others out, in this process and in
others ("database is locked").  Readers see what was before.  While no participant runs, that lock is gone, but not the
promise: triggers on each table refuse changes as long as there is one, whoever makes them.  So what was tried can be
done.  They do not guard against changes of the schema; tables made later are guarded from the next start on.

Who calls names statements that are known here, and gives parameters; SQL itself is never taken from the network.
Statements must do the same each time: no `random()`, no `datetime('now')`.  The database is kept in WAL mode, with
`synchronous = FULL`; the event loop waits for its disk, twice for a transaction.
"""

import os
import sqlite3
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from stack.commit import protocol
from stack.commit.disk import FileDisk
from stack.commit.errors import CommitError, LogError, Refused
from stack.commit.log import IDENTITY, decoded
from stack.commit.participant import Promise
from stack.commit.protocol import sql_kind
from stack.commit.transactions import WINDOW, Done, Transaction
from stack.errors import ConfigError
from stack.rpc.xdr import XdrError

Value = None | int | float | str | bytes
VERBS: Final = frozenset({"INSERT", "REPLACE", "UPDATE", "DELETE", "SELECT", "WITH"})
OPENING_S: Final = 5.0  # for others to finish what they are writing
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS tapstack_commit_member (name TEXT, identity BLOB);
CREATE TABLE IF NOT EXISTS tapstack_commit_promise (
    coordinator TEXT, log BLOB, number INTEGER,
    intent BLOB,  -- as it came
    since INTEGER,  -- microseconds since 1970
    PRIMARY KEY (coordinator, log, number)
);
CREATE TABLE IF NOT EXISTS tapstack_commit_done (
    coordinator TEXT, log BLOB, number INTEGER, PRIMARY KEY (coordinator, log, number)
) WITHOUT ROWID;
"""
_TABLES: Final = """
SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite!_%' ESCAPE '!'
    AND name NOT LIKE 'tapstack!_commit!_%' ESCAPE '!' AND sql NOT LIKE 'CREATE VIRTUAL%'
"""
_GUARD: Final = """
CREATE TRIGGER IF NOT EXISTS {trigger} BEFORE {change} ON {table} WHEN EXISTS (SELECT 1 FROM tapstack_commit_promise)
BEGIN SELECT RAISE(ABORT, 'a transaction with other databases is in doubt here: wait until it has ended'); END
"""
_PROMISE: Final = "INSERT INTO tapstack_commit_promise VALUES (?, ?, ?, ?, ?)"
_UNPROMISE: Final = "DELETE FROM tapstack_commit_promise WHERE coordinator = ? AND log = ? AND number = ?"
_DONE: Final = "INSERT OR IGNORE INTO tapstack_commit_done VALUES (?, ?, ?)"
_FORGET: Final = "DELETE FROM tapstack_commit_done WHERE coordinator = ? AND log = ? AND number <= ?"


@dataclass(frozen=True, slots=True)
class Statement:
    """What may be done to a database: SQL with named parameters, and how many rows it must change (None: any)."""

    sql: str
    rows: int | None = None


def steps(*work: tuple[str, Mapping[str, Value]]) -> bytes:
    """The work for a Database: names of statements with their parameters, in order.  Raises XdrError."""
    return protocol.xdr_sql_steps.encode(
        [
            protocol.sql_step(name, [protocol.sql_parameter(key, _wrap(value)) for key, value in parameters.items()])
            for name, parameters in work
        ]
    )


class Database:
    """See the head of this file; a Store.  `name` is the participant's.

    Raises ConfigError when the database cannot be used, CommitError when what it has promised cannot be done any more.
    """

    __slots__ = ("_db", "_held", "_lock", "_path", "_statements", "done", "failed", "identity", "promises")

    def __init__(self, path: str | Path, name: str, statements: Mapping[str, Statement]) -> None:
        self._path = path = Path(os.path.realpath(path))  # one database, one lock, by whatever name
        self._statements = dict(statements)
        _check_statements(self._statements)
        self._held: Promise | None = None  # whose work is done, in a transaction that is open
        self.promises: list[Promise] = []
        self.done = Done()
        self.failed = ""
        self._lock = FileDisk(path.parent, path.name)
        try:
            self._db = sqlite3.connect(path, timeout=OPENING_S, isolation_level=None)
            self._prepare_tables()
            self.identity = self._identity(name)
            self._read()
        except sqlite3.Error as error:
            self._lock.close()
            raise ConfigError(f"the database {path} cannot be used: {error}") from None
        except BaseException:
            self.close()
            raise
        self._db.execute("PRAGMA busy_timeout = 0")  # the event loop does not wait for other processes

    def _prepare_tables(self) -> None:
        db = self._db
        (mode,) = db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":  # one in memory, or a file system that cannot do it
            raise ConfigError(
                f"the database {self._path} has journal mode {mode!r}, not 'wal': use a file on a local disk"
            )
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.executescript(_SCHEMA)
        for (table,) in db.execute(_TABLES).fetchall():
            for change in ("INSERT", "UPDATE", "DELETE"):
                trigger = _quoted(f"tapstack_commit_{change.lower()}_{table}")
                db.execute(_GUARD.format(trigger=trigger, change=change, table=_quoted(table)))

    def _identity(self, name: str) -> bytes:
        for known, identity in self._db.execute("SELECT name, identity FROM tapstack_commit_member"):
            if known != name:
                raise ConfigError(f"{self._path} is the database of the member {known!r}, not of {name!r}")
            return bytes(identity)
        self._db.execute("INSERT INTO tapstack_commit_member VALUES (?, randomblob(?))", (name, IDENTITY))
        return self._identity(name)

    def _read(self) -> None:
        for coordinator, log, number in self._db.execute("SELECT * FROM tapstack_commit_done ORDER BY number"):
            self.done.add(Transaction(coordinator, bytes(log), number))
        for intent, since in self._db.execute("SELECT intent, since FROM tapstack_commit_promise").fetchall():
            what = decoded(protocol.xdr_intent.decode, bytes(intent or b""), f"the database {self._path}")
            promise = Promise(Transaction.of(what.transaction), what, since)
            self.promises.append(promise)
            try:
                self._hold(promise)
            except Refused as error:
                raise CommitError(
                    f"{self._path} has promised {promise.transaction}, and cannot do it any more: {error.strerror}; "
                    f"was its schema changed, or does another process write to it?"
                ) from None

    def close(self) -> None:
        """Let the database go.  What is promised stays promised."""
        self._db.close()
        self._lock.close()

    # -- a Store

    def blocked_by(self, _: bytes) -> Transaction | None:
        """Whatever is in doubt has the whole database."""
        return self.promises[0].transaction if self.promises else None

    def prepare(self, promise: Promise) -> None:
        """See `participant.Store`, here and below."""
        if self.promises:
            raise Refused(f"the database is locked by {self.promises[0].transaction}")
        self._begin()
        try:
            self._try(promise)
            self._db.execute(
                _PROMISE, (*promise.transaction, protocol.xdr_intent.encode(promise.intent), promise.since)
            )
        except sqlite3.Error as error:
            self._roll_back()
            raise LogError(f"{self._path.name}: {error}") from None
        except BaseException:
            self._roll_back()
            raise
        self._finish("COMMIT")
        try:
            self._hold(promise)
        except Refused:
            try:
                self._write(_UNPROMISE, promise.transaction)
            except OSError:
                self.promises.append(promise)  # to be aborted when that can be written
            raise
        self.promises.append(promise)

    def _try(self, promise: Promise) -> None:
        """Do the work and undo it, in a transaction that goes on: nobody changes anything before the promise."""
        self._db.execute("SAVEPOINT tapstack_commit")
        self._work(promise)
        if self._db.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise Refused("a foreign key would have no row to refer to")
        self._db.execute("ROLLBACK TO tapstack_commit")
        self._db.execute("RELEASE tapstack_commit")

    def commit(self, promise: Promise) -> None:
        """The work was done; it counts from now on."""
        if self._held is not promise:
            try:
                self._hold(promise)
            except Refused as error:
                raise LogError(error.strerror or "refused") from None
        self._finish("COMMIT")
        self.promises.remove(promise)
        self.done.add(promise.transaction)

    def abort(self, promise: Promise, *, for_good: bool = False) -> None:  # noqa: ARG002  (it always is)
        """The work is undone, and the promise is forgotten."""
        self._roll_back()
        self._write(_UNPROMISE, promise.transaction)
        self.promises.remove(promise)

    # -- SQLite

    def _begin(self) -> None:
        try:
            self._db.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise Refused(f"{self._path.name}: {error}") from None

    def _work(self, promise: Promise) -> None:
        try:
            todo = protocol.xdr_sql_steps.decode(promise.intent.work)
        except XdrError as error:
            raise Refused(f"the work is none for a database ({error})") from None
        for step in todo:
            statement = self._statements.get(step.statement)
            if statement is None:
                raise Refused(f"there is no statement {step.statement!r}; there are {', '.join(self._statements)}")
            try:
                values = {parameter.name: parameter.value.value for parameter in step.parameters}
                changed = self._db.execute(statement.sql, values).rowcount
            except (sqlite3.Error, OverflowError, ValueError) as error:  # ValueError: text that is no UTF-8
                raise Refused(f"{step.statement}: {error}") from None
            if statement.rows is not None and changed != statement.rows:
                raise Refused(f"{step.statement} would change {changed} rows, not {statement.rows}")

    def _hold(self, promise: Promise) -> None:
        """Do the work, and leave the transaction open.  Raises Refused."""
        self._begin()
        try:
            coordinator, log, number = promise.transaction
            self._db.execute(_UNPROMISE, promise.transaction)
            self._db.execute(_DONE, promise.transaction)
            self._db.execute(_FORGET, (coordinator, log, number - WINDOW))
            self._work(promise)
        except (Refused, sqlite3.Error) as error:
            self._roll_back()
            raise error if isinstance(error, Refused) else Refused(str(error)) from None
        self._held = promise

    def _write(self, statement: str, values: tuple[object, ...]) -> None:
        self._begin()
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            self._roll_back()
            raise LogError(f"{self._path.name}: {error}") from None
        except BaseException:
            self._roll_back()
            raise
        self._finish("COMMIT")

    def _finish(self, how: str) -> None:
        self._held = None
        try:
            self._db.execute(how)
        except sqlite3.Error as error:
            self._roll_back()
            raise LogError(f"{self._path.name}: {error}") from None

    def _roll_back(self) -> None:
        self._held = None
        with suppress(sqlite3.ProgrammingError):  # it was closed, and so undone
            if self._db.in_transaction:
                self._db.rollback()


def _check_statements(statements: Mapping[str, Statement]) -> None:
    """Transactions are begun and ended here, and by nobody else.  Raises ConfigError."""
    for name, statement in statements.items():
        if not isinstance(statement, Statement):
            raise ConfigError(f"statement {name!r} is {statement!r}: use commit.Statement(sql, rows=...)")
        verb = statement.sql.split(None, 1)[0].upper() if statement.sql.strip() else ""
        if verb not in VERBS:
            raise ConfigError(f"statement {name!r} begins with {verb!r}: use one of {', '.join(sorted(VERBS))}")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _wrap(value: Value) -> protocol.sql_value:
    if value is None:
        return protocol.sql_value(sql_kind.SQL_NULL, None)
    if isinstance(value, int):
        return protocol.sql_value(sql_kind.SQL_INTEGER, value)
    if isinstance(value, float):
        return protocol.sql_value(sql_kind.SQL_REAL, value)
    if isinstance(value, str):
        return protocol.sql_value(sql_kind.SQL_TEXT, value)
    return protocol.sql_value(sql_kind.SQL_BLOB, value)
