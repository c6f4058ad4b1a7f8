"""The duplicate request cache that survives a crash: processes that end at the worst moments."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from stack.errors import ConfigError
from stack.rpc.constants import Status
from stack.rpc.dispatch import UDP, Dispatcher, Invocation
from stack.rpc.duplicates import ENTRY, Bounds, Duplicates, Seen, key_of
from stack.rpc.durable import DurableDuplicates
from stack.rpc.message import parse_reply
from tests.support.rpc_calls import CALLER, PROGRAM, Counter, call, execute

ROOT = Path(__file__).parents[3]
SECOND = 1_000_000


class Wall:
    """The time of day, in microseconds."""

    def __init__(self) -> None:
        self.now = 1_700_000_000 * SECOND

    def __call__(self) -> int:
        return self.now


def server(cache: Duplicates, counter: Counter) -> Dispatcher:
    dispatcher = Dispatcher(None, cache)
    dispatcher.add(PROGRAM, 1, counter.served())
    return dispatcher


def status_of(reply: bytes | None) -> Status:
    assert reply is not None
    return parse_reply(reply).status


def test_what_was_answered_is_answered_after_a_restart(tmp_path):
    counter = Counter()
    cache = DurableDuplicates(tmp_path / "calls.db")
    reply = execute(server(cache, counter), call(1), now=500)
    instance = cache.instance
    cache.close()

    again = DurableDuplicates(tmp_path / "calls.db")
    dispatcher = server(again, counter)
    assert execute(dispatcher, call(1), now=3) == reply
    assert counter.count == 1
    assert execute(dispatcher, call(1, xid=8), now=3) != reply
    assert counter.count == 2
    assert again.instance == instance is not None
    again.check_invariants()
    again.close()


def test_a_cache_in_memory_has_forgotten_it():
    """The control."""
    counter = Counter()
    for _ in range(2):
        execute(server(Duplicates(), counter), call(1))
    assert counter.count == 2
    assert Duplicates().instance is None


def test_ages_go_on_while_no_server_runs(tmp_path):
    wall = Wall()
    for number in range(3):
        cache = DurableDuplicates(tmp_path / "calls.db", Bounds(max_age_us=100 * SECOND), clock=wall)
        execute(server(cache, Counter()), call(1, xid=number), now=7)
        cache.close()
        wall.now += 60 * SECOND
    last = DurableDuplicates(tmp_path / "calls.db", Bounds(max_age_us=100 * SECOND), clock=wall)
    known = [last.look(key_of(CALLER, call(1, xid=number)), 1000 * SECOND) for number in range(3)]
    assert [reply is not None for reply in known] == [False, False, True]
    assert last.look(key_of(CALLER, call(1, xid=2)), 1040 * SECOND) is None
    last.check_invariants()
    last.close()


def test_a_clock_that_was_set_back_makes_nothing_older(tmp_path):
    wall = Wall()
    cache = DurableDuplicates(tmp_path / "calls.db", clock=wall)
    reply = execute(server(cache, Counter()), call(1))
    cache.close()
    wall.now -= 3600 * SECOND
    cache = DurableDuplicates(tmp_path / "calls.db", clock=wall)
    assert cache.look(key_of(CALLER, call(1)), 5) == reply
    cache.check_invariants()
    cache.close()


def test_the_file_is_bounded_as_the_memory_is(tmp_path):
    cache = DurableDuplicates(tmp_path / "calls.db", Bounds(max_bytes=10 * (ENTRY + 28)))
    dispatcher = server(cache, Counter())
    for number in range(100):
        execute(dispatcher, call(1, xid=number), now=number)
    rows = cache.db.execute("SELECT count(*) FROM rpc_calls").fetchone()[0]
    assert len(cache) == 10
    assert rows <= 11  # the last one that gave way goes with the next write
    cache.close()
    cache = DurableDuplicates(tmp_path / "calls.db", Bounds(max_bytes=10 * (ENTRY + 28)))
    assert cache.look(key_of(CALLER, call(1, xid=99)), 0) is not None
    assert cache.look(key_of(CALLER, call(1, xid=88)), 0) is None
    cache.check_invariants()
    cache.close()


def test_replies_not_kept_and_calls_given_up(tmp_path):
    cache = DurableDuplicates(tmp_path / "calls.db", Bounds(max_reply=3))
    dispatcher = server(cache, Counter())
    execute(dispatcher, call(1))
    first = dispatcher.receive(call(1, xid=8), CALLER, UDP, 0)
    assert isinstance(first, Invocation)
    dispatcher.abandon(first)
    execute(dispatcher, call(1, xid=9))
    cache.close()
    cache = DurableDuplicates(tmp_path / "calls.db", Bounds(max_reply=3))
    known = [cache.look(key_of(CALLER, call(1, xid=xid)), 0) for xid in (7, 8, 9)]
    assert known == [Seen.FORGOTTEN, None, Seen.FORGOTTEN]
    cache.close()


def test_one_process_has_the_file(tmp_path):
    cache = DurableDuplicates(tmp_path / "calls.db")
    with pytest.raises(ConfigError, match="is another one running"):
        DurableDuplicates(tmp_path / "calls.db")
    cache.close()
    with pytest.raises(
        ConfigError, match=r"cannot be used .*: unable to open .*; give a file in a directory that exists"
    ):
        DurableDuplicates(tmp_path / "nowhere" / "calls.db")
    (tmp_path / "text").write_text("this is no database, but a text that is long enough to be looked at" * 50)
    with pytest.raises(ConfigError, match="cannot be used"):
        DurableDuplicates(tmp_path / "text")


def fill_the_disk(cache: DurableDuplicates) -> None:
    pages = cache.db.execute("PRAGMA page_count").fetchone()[0]
    cache.db.execute(f"PRAGMA max_page_count = {pages}")


def test_what_cannot_be_written_down_is_not_executed(tmp_path):
    counter = Counter()
    cache = DurableDuplicates(tmp_path / "calls.db")
    dispatcher = server(cache, counter)
    execute(dispatcher, call(1))
    fill_the_disk(cache)
    statuses = [status_of(execute(dispatcher, call(1, xid=number))) for number in range(100, 400)]
    refused = statuses.count(Status.SYSTEM_ERR)
    # the last one before was begun, but its reply could not be written: it was executed, and sent
    assert 0 < refused == dispatcher.stats.not_noted <= cache.failures <= refused + 1
    assert counter.count == 301 - refused
    assert dispatcher.running == 0
    cache.check_invariants()
    cache.close()


# -- in a transaction


class Ledger:
    """A program whose procedure 1 adds a line to a table."""

    def __init__(self, cache: DurableDuplicates) -> None:
        self.db = cache.db
        self.db.execute("CREATE TABLE IF NOT EXISTS ledger (line INTEGER)")
        self.db.commit()
        self.fails = False

    def increment(self, _ctx: Invocation) -> int:
        self.db.execute("INSERT INTO ledger VALUES (1)")
        if self.fails:
            raise ZeroDivisionError
        return self.lines()

    def lines(self) -> int:
        return int(self.db.execute("SELECT count(*) FROM ledger").fetchone()[0])


def ledger_server(path: Path) -> tuple[Dispatcher, Ledger, DurableDuplicates]:
    cache = DurableDuplicates(path, transactional=True)
    ledger, counter = Ledger(cache), Counter()
    counter.increment = ledger.increment  # type: ignore[method-assign]
    return server(cache, counter), ledger, cache


def test_effects_and_reply_are_committed_together(tmp_path):
    dispatcher, ledger, cache = ledger_server(tmp_path / "calls.db")
    reply = execute(dispatcher, call(1))
    cache.close()
    dispatcher, ledger, cache = ledger_server(tmp_path / "calls.db")
    assert execute(dispatcher, call(1)) == reply
    assert ledger.lines() == 1
    cache.close()


def test_what_raises_has_changed_nothing(tmp_path):
    dispatcher, ledger, cache = ledger_server(tmp_path / "calls.db")
    ledger.fails = True
    ctx = dispatcher.receive(call(1), CALLER, UDP, 0)
    assert isinstance(ctx, Invocation)
    with pytest.raises(ZeroDivisionError):
        ctx.handler(ctx)
    assert status_of(dispatcher.fail(ctx, ZeroDivisionError(), 0)) == Status.SYSTEM_ERR
    assert ledger.lines() == 0
    # it is known to have failed: the same is heard again
    assert status_of(execute(dispatcher, call(1))) == Status.SYSTEM_ERR
    cache.close()


def test_given_up_it_has_changed_nothing_and_runs_when_it_comes_again(tmp_path):
    dispatcher, ledger, cache = ledger_server(tmp_path / "calls.db")
    ctx = dispatcher.receive(call(1), CALLER, UDP, 0)
    assert isinstance(ctx, Invocation)
    ctx.handler(ctx)
    dispatcher.abandon(ctx)
    assert ledger.lines() == 0
    assert status_of(execute(dispatcher, call(1))) == Status.SUCCESS
    assert ledger.lines() == 1
    cache.close()


def test_what_could_not_be_committed_has_not_happened_and_says_so(tmp_path):
    dispatcher, ledger, cache = ledger_server(tmp_path / "calls.db")
    execute(dispatcher, call(1))
    fill_the_disk(cache)
    good = 1
    for number in range(100, 400):
        ctx = dispatcher.receive(call(1, xid=number), CALLER, UDP, 0)
        assert isinstance(ctx, Invocation)
        try:
            reply = dispatcher.complete(ctx, ctx.handler(ctx), 0)
        except sqlite3.Error as error:  # the ledger is full, too
            reply = dispatcher.fail(ctx, error, 0)
        good += status_of(reply) == Status.SUCCESS
    assert cache.failures > 0
    assert ledger.lines() == good < 301
    cache.close()


# -- crashes

CRASHING = """
import os, sys
from pathlib import Path
from stack.rpc.dispatch import UDP, Dispatcher, Served
from stack.rpc.durable import DurableDuplicates
from tests.support.rpc_calls import CALLER, PROGRAM, Numbers, call

folder, moment, transactional = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "True"
cache = DurableDuplicates(folder / "calls.db", transactional=transactional)
cache.db.execute("CREATE TABLE IF NOT EXISTS ledger (line INTEGER)")
cache.db.commit()

def increment(_ctx):
    if transactional:
        cache.db.execute("INSERT INTO ledger VALUES (1)")
    else:
        with (folder / "ledger").open("a") as file:
            file.write("1\\n")
    return 1

def crash(now):
    if moment == now:
        os._exit(9)

dispatcher = Dispatcher(None, cache)
dispatcher.add(PROGRAM, 1, [Served(Numbers("INCREMENT", 1), increment)])
ctx = dispatcher.receive(call(1), CALLER, UDP, 0)
if isinstance(ctx, (bytes, type(None))):
    print(ctx.hex() if ctx else "silence")
else:
    crash("begun")
    result = ctx.handler(ctx)
    crash("executed")
    reply = dispatcher.complete(ctx, result, 0)
    crash("answered")
    print(reply.hex())
if transactional:
    print(cache.db.execute("SELECT count(*) FROM ledger").fetchone()[0])
else:
    print(len((folder / "ledger").read_text()) // 2 if (folder / "ledger").exists() else 0)
"""


def run(folder: Path, moment: str, *, transactional: bool) -> tuple[int, list[str]]:
    command = [sys.executable, "-c", CRASHING, str(folder), moment, str(transactional)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.stderr == ""
    return result.returncode, result.stdout.split()


@pytest.mark.parametrize(
    ("moment", "transactional", "status", "executed"),
    [
        # at most once: what was begun is not executed again, and nobody knows how far it came
        ("begun", False, Status.SYSTEM_ERR, 0),
        ("executed", False, Status.SYSTEM_ERR, 1),
        ("answered", False, Status.SUCCESS, 1),
        # exactly once: what was not committed has not happened, and is executed when it comes again
        ("begun", True, Status.SUCCESS, 1),
        ("executed", True, Status.SUCCESS, 1),
        ("answered", True, Status.SUCCESS, 1),
    ],
)
def test_a_server_that_crashes_and_is_asked_again(tmp_path, moment, transactional, status, executed):
    code, printed = run(tmp_path, moment, transactional=transactional)
    assert (code, printed) == (9, [])
    code, (reply, count) = run(tmp_path, "never", transactional=transactional)
    assert code == 0
    assert parse_reply(bytes.fromhex(reply)).status == status
    assert int(count) == executed
