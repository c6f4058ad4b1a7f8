"""A duplicate request cache that survives a crash of the server: an SQLite file beneath the one in memory.

    cache = rpc.DurableDuplicates("calls.db")                           at most once, whatever the procedures do
    cache = rpc.DurableDuplicates("calls.db", transactional=True)       exactly once, for what they do to `cache.db`

Theory of operation.  What is known is in memory, as in `Duplicates`, and in the file; the file is read when the first
call comes.  There are two ways to keep the promise across a crash.

Without `transactional`, a call is written down before it is executed, and its reply before that is sent.  A call that
is found begun but not done after a crash has been executed in part, or wholly, or not at all: it is not executed again,
and whoever sends it again hears SYSTEM_ERR, of which a client says `maybe_executed`.

With it, nothing is written before.  What the procedure did to `db` and its reply are committed together: after a crash
either both are there, or neither, and the call is executed when it comes again.  For this, procedures change nothing
but `db`, and do not await between their first change and their end: another call's end would commit their half.  What
a procedure changed that raises is rolled back.

A server does not wait for the disk without `transactional`: it `attach`es its loop, and a thread writes.  What is to be
written while the thread is busy is the next group, committed at once, however many calls have a part in it; so the disk
decides how long a call takes, and not how many there are.  Until a group is written, its calls are RUNNING to their
copies, and the server waits for `settled` before it executes what has begun, and before it sends a reply.  In a
transaction the loop waits, once a call.

`failures` counts what could not be written: such a
call is not executed, or, in a transaction, has not happened.  One process has the file at a time.  `instance` stays the
same with the file: a client that looks for reboots sees none.
"""

import asyncio
import secrets
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from os import PathLike
from typing import Final

from stack.errors import ConfigError
from stack.rpc.constants import Status
from stack.rpc.duplicates import Bounds, Duplicates, Key, Seen, _Client
from stack.rpc.message import build_refusal

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS rpc_calls (
    host TEXT, port INTEGER, head BLOB, checksum INTEGER,
    done_at INTEGER,  -- microseconds since 1970; NULL: begun
    reply BLOB,  -- NULL of what is done: none is sent again
    PRIMARY KEY (host, port, head, checksum)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rpc_instance (number INTEGER);
"""
_BEGIN: Final = "INSERT OR REPLACE INTO rpc_calls VALUES (?, ?, ?, ?, NULL, NULL)"
_FINISH: Final = "INSERT OR REPLACE INTO rpc_calls VALUES (?, ?, ?, ?, ?, ?)"
_FORGET: Final = "DELETE FROM rpc_calls WHERE host = ? AND port = ? AND head = ? AND checksum = ?"
_ALL: Final = "SELECT host, port, head, checksum, done_at, reply FROM rpc_calls ORDER BY done_at"
_XID: Final = 4
_MAX_GONE: Final = 10_000  # rows to be deleted, while nothing can be written; others are found too old one day

_Row = tuple[str, int, bytes, int]
_Write = tuple[str, tuple[object, ...]]


def _wall_us() -> int:
    return time.time_ns() // 1000


class _Group:
    """What is committed together; `settled` says whether it was."""

    __slots__ = ("finished", "settled", "writes")

    def __init__(self, settled: "asyncio.Future[bool]") -> None:
        self.settled = settled
        self.writes: list[_Write] = []
        self.finished: list[tuple[Key, bytes | None, int]] = []


class DurableDuplicates(Duplicates):
    """See the head of this file.  Raises ConfigError if the file cannot be opened, or another process has it.

    `clock` gives microseconds since 1970: ages go on while no server runs.
    """

    # fmt: off
    __slots__ = (
        "_clock", "_found", "_gone", "_group", "_loop", "_transactional", "_writer", "_writing", "db", "failures",
        "instance",
    )
    # fmt: on

    def __init__(
        self,
        path: str | PathLike[str],
        bounds: Bounds = Bounds(),  # noqa: B008  # a tuple of ints
        *,
        transactional: bool = False,
        clock: Callable[[], int] = _wall_us,
    ) -> None:
        super().__init__(bounds)
        self._clock = clock
        self._transactional = transactional
        self._gone: list[_Row] = []  # to be deleted with the next write
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._group: _Group | None = None  # what waits for the writer
        self._writing: _Group | None = None  # what it writes
        self.failures = 0
        try:
            self.db = sqlite3.connect(path, timeout=0.1, check_same_thread=transactional)  # it is the writer's, then
            self.db.execute("PRAGMA locking_mode = EXCLUSIVE")
            self.db.execute("PRAGMA journal_mode = WAL")
            self.db.execute("PRAGMA synchronous = FULL")
            self.db.executescript(_SCHEMA)
            self.instance = self._number()
            self._found = self.db.execute(_ALL).fetchall()  # what the last process knew, until there is a `now` for it
        except sqlite3.Error as error:
            locked = (
                error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY if hasattr(error, "sqlite_errorcode") else False
            )
            what_to_do = "is another one running?" if locked else "give a file in a directory that exists and is yours"
            raise ConfigError(f"{path} cannot be used for the calls of a server: {error}; {what_to_do}") from None

    def _number(self) -> int:
        for (number,) in self.db.execute("SELECT number FROM rpc_instance"):
            return int(number)
        number = secrets.randbits(31)
        self.db.execute("INSERT INTO rpc_instance VALUES (?)", (number,))
        self.db.commit()
        return number

    def attach(self, loop: asyncio.AbstractEventLoop) -> bool:
        """From now on a thread writes, and `settled` says when; False in a transaction, for which the loop waits."""
        if self._transactional:
            return False
        self._loop = loop
        if self._writer is None:
            self._writer = ThreadPoolExecutor(1, "rpc-calls")
        return True

    def settled(self) -> "asyncio.Future[bool] | None":
        """Done when all that is to be written now was, or could not be (False); None if there is nothing."""
        group = self._group or self._writing
        return None if group is None else group.settled

    def close(self) -> None:
        """Write what waits, and let the file go."""
        if self._writer is not None:
            self._writer.shutdown()
            group, self._group = self._group, None
            if group is not None:
                self._on_written(group, written=self._commit(group.writes))
            self._loop = self._writer = None
        self.db.close()

    def look(self, key: Key, now: int) -> bytes | Seen | None:
        """What is known of a call."""
        if self._found:
            self._take_over(now)
        return super().look(key, now)

    def _take_over(self, now: int) -> None:
        """What the last process knew.  Calls that it had begun end now: as failed, as nobody knows better."""
        found, self._found = self._found, []
        wall = self._clock()
        begun: list[Key] = []
        for host, port, head, checksum, done_at, reply in found:
            key = ((host, port), head, checksum)
            super().begin(key, None)
            if done_at is None:
                begun.append(key)
            else:
                super().finish(key, reply, now - max(wall - done_at, 0))
        for key in begun:
            reply = build_refusal(key[1][:_XID], Status.SYSTEM_ERR)
            self._write(_FINISH, (*_row(key), self._clock(), reply))
            super().finish(key, reply, now)

    def begin(self, key: Key, call: object) -> bool:
        """A call will be executed."""
        if self._loop is not None:
            self._to_write(self._loop, _BEGIN, _row(key))
        elif not self._transactional and not self._write(_BEGIN, _row(key)):
            return False
        return super().begin(key, call)

    def finish(self, key: Key, reply: bytes | None, now: int, *, failed: bool = False) -> bytes | None:
        """A call was executed."""
        if self._transactional and failed:
            self.db.rollback()
        kept = reply if reply is None or len(reply) <= self._max_reply else None
        if self._loop is not None:
            group = self._to_write(self._loop, _FINISH, (*_row(key), self._clock(), kept))
            group.finished.append((key, reply, now))  # until then it is running, to others
            return reply
        written = self._write(_FINISH, (*_row(key), self._clock(), kept))
        if self._transactional and not written:
            reply = build_refusal(key[1][:_XID], Status.SYSTEM_ERR)  # it has not happened
        return super().finish(key, reply, now)

    def abandon(self, key: Key) -> None:
        """A call was not executed."""
        super().abandon(key)
        if self._transactional:
            self.db.rollback()
        else:
            self._gone.append(_row(key))

    def _forget(self, client: _Client) -> None:
        self._gone.append(_row(client.done[0].key))
        super()._forget(client)

    def _write(self, statement: str, row: tuple[object, ...]) -> bool:
        """Write a row, delete those that are gone, and commit."""
        if not self._commit([*((_FORGET, gone) for gone in self._gone), (statement, row)]):
            self.failures += 1
            del self._gone[_MAX_GONE:]
            return False
        self._gone.clear()
        return True

    def _commit(self, writes: list[_Write]) -> bool:
        """All of them or none; in the thread, if there is one."""
        try:
            for statement, row in writes:
                self.db.execute(statement, row)
            self.db.commit()
        except sqlite3.Error:
            with suppress(sqlite3.Error):  # it is closed
                self.db.rollback()
            return False
        return True

    # -- by the thread

    def _to_write(self, loop: asyncio.AbstractEventLoop, statement: str, row: tuple[object, ...]) -> _Group:
        """Add a row to the group that is written next, and what is to be deleted before it."""
        group = self._group
        if group is None:
            group = self._group = _Group(loop.create_future())
            if self._writing is None:
                loop.call_soon(self._write_next)  # with what else this turn of the loop brings
        group.writes += [(_FORGET, gone) for gone in self._gone]
        self._gone.clear()
        group.writes.append((statement, row))
        return group

    def _write_next(self) -> None:
        group, loop = self._group, self._loop
        if group is None or loop is None:
            return
        self._group, self._writing = None, group
        loop.run_in_executor(self._writer, self._commit, group.writes).add_done_callback(partial(self._written, group))

    def _written(self, group: _Group, result: "asyncio.Future[bool]") -> None:
        self._writing = None
        self._on_written(group, written=result.exception() is None and result.result())
        self._write_next()

    def _on_written(self, group: _Group, *, written: bool) -> None:
        if not written:
            self.failures += 1
            known = {_row(key) for key in self._entries}
            self._gone += [row for statement, row in group.writes if statement is _FORGET and row not in known]  # type: ignore[misc]
            del self._gone[_MAX_GONE:]
        for key, reply, now in group.finished:
            super().finish(key, reply, now)
        if not group.settled.done():
            group.settled.set_result(written)


def _row(key: Key) -> _Row:
    (host, port), head, checksum = key
    return host, port, head, checksum
