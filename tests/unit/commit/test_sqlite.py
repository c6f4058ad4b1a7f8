"""An SQLite database as a participant: what is promised can be done, and is done once."""

import sqlite3

import pytest

from stack import commit
from stack.commit import protocol
from stack.commit.errors import CommitError, CorruptLog, LogError, Refused
from stack.commit.participant import Participant, Promise
from stack.commit.transactions import WINDOW, Transaction
from stack.config import NEVER
from stack.errors import ConfigError
from tests.support.commit_money import STATEMENTS, amounts, make, take

LOG = bytes(8)


@pytest.fixture
def path(tmp_path):
    return make(tmp_path / "north.db")


@pytest.fixture
def opened(path):
    """Opens the database as a participant; closes whatever is open."""
    kept = []

    def open_it(name="north", statements=STATEMENTS):
        while kept:
            kept.pop().close()
        kept.append(commit.Database(path, name, statements))
        return kept[0]

    yield open_it
    while kept:
        kept.pop().close()


def promise(work, number=1):
    transaction = Transaction("teller", LOG, number)
    return Promise(transaction, protocol.intent(transaction.wire, "north", ["north", "south"], work), 0)


def test_commit_and_abort(opened, path):
    north = opened()
    one = promise(take(30))
    north.prepare(one)
    assert amounts(path)["anna"] == 100  # nobody sees what is in doubt
    north.commit(one)
    assert amounts(path)["anna"] == 70
    assert one.transaction in north.done
    other = promise(take(30), 2)
    north.prepare(other)
    north.abort(other)
    assert amounts(path)["anna"] == 70
    assert other.transaction not in north.done


@pytest.mark.parametrize(
    ("work", "why"),
    [
        (take(101), "take: CHECK constraint failed"),
        (take(1, "nobody"), "take would change 0 rows, not 1"),
        (commit.steps(("drop", {})), "there is no statement 'drop'; there are take, give, open, note"),
        (commit.steps(("take", {"name": "anna"})), "take: You did not supply a value"),
        (commit.steps(("note", {"account": "nobody", "text": ""})), "a foreign key would have no row"),
        (commit.steps(("open", {"name": "anna", "amount": 1})), "open: UNIQUE constraint failed"),
        (b"rubbish", "the work is none for a database"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_nothing(opened, path, work, why):
    north = opened()
    with pytest.raises(Refused, match=why):
        north.prepare(promise(work))
    assert north.promises == []
    assert north.blocked_by(take(1)) is None
    later = promise(take(1), 2)
    north.prepare(later)
    north.commit(later)
    assert amounts(path) == {"anna": 99, "otto": 100}


def test_a_promise_survives_a_crash_and_can_be_kept(opened, path):
    opened().prepare(promise(take(30)))
    north = opened()
    (found,) = north.promises
    assert (found.transaction.number, amounts(path)["anna"]) == (1, 100)
    north.commit(found)
    assert amounts(path)["anna"] == 70
    north = opened()
    assert (north.promises, found.transaction in north.done) == ([], True)


def test_a_promise_survives_a_crash_and_can_be_taken_back(opened, path):
    opened().prepare(promise(take(30)))
    north = opened()
    north.abort(north.promises[0])
    assert amounts(path)["anna"] == 100
    assert opened().promises == []


def test_while_it_is_in_doubt_nobody_else_writes(opened, path):
    north = opened()
    north.prepare(promise(take(30)))
    other = sqlite3.connect(path, timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        other.execute("UPDATE account SET amount = 0")
    with pytest.raises(Refused, match="the database is locked by teller/000000/1"):
        north.prepare(promise(take(1), 2))
    assert str(north.blocked_by(take(1))) == "teller/000000/1"
    north.commit(north.promises[0])
    other.execute("UPDATE account SET amount = 0")
    other.close()


def test_also_not_while_no_participant_runs(opened, path):
    north = opened()
    north.prepare(promise(take(100)))
    north.close()
    other = sqlite3.connect(path, timeout=0)
    for change in ("UPDATE account SET amount = 0", "DELETE FROM account", "INSERT INTO account VALUES ('x', 1)"):
        with pytest.raises(sqlite3.IntegrityError, match="a transaction with other databases is in doubt here"):
            other.execute(change)
    other.rollback()
    other.close()
    north = opened()
    north.commit(north.promises[0])
    assert amounts(path)["anna"] == 0


def test_control_without_the_triggers_a_promise_can_become_impossible(opened, path):
    north = opened()
    north.prepare(promise(take(100)))
    north.close()
    with sqlite3.connect(path) as other:
        other.execute("DROP TRIGGER tapstack_commit_update_account")
        other.execute("UPDATE account SET amount = 50")
    other.close()
    with pytest.raises(CommitError, match="has promised teller/000000/1, and cannot do it any more: take: CHECK"):
        opened()


def test_tables_that_were_made_later_are_guarded_from_the_next_start_on(opened, path):
    opened().close()
    with sqlite3.connect(path) as other:
        other.execute('CREATE TABLE "odd ""name" (x)')
    other.close()
    north = opened()
    north.prepare(promise(take(1)))
    north.close()
    other = sqlite3.connect(path)
    with pytest.raises(sqlite3.IntegrityError, match="in doubt"):
        other.execute('INSERT INTO "odd ""name" VALUES (1)')
    other.close()


def test_another_writer_is_a_no(opened, path):
    north = opened()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Refused, match=r"north\.db: database is locked"):
        north.prepare(promise(take(1)))
    other.execute("COMMIT")
    other.close()
    north.prepare(promise(take(1)))


def test_a_disk_without_room_is_a_no_and_nothing_half_done(opened, path):
    north = opened()
    (pages,) = north._db.execute("PRAGMA page_count").fetchone()
    north._db.execute(f"PRAGMA max_page_count = {pages}")
    big = commit.steps(*(("open", {"name": f"{n:0900}", "amount": 1}) for n in range(20)))
    with pytest.raises((Refused, LogError), match="database or disk is full"):
        north.prepare(promise(big))
    assert amounts(path) == {"anna": 100, "otto": 100}
    assert opened().promises == []


def test_a_commit_that_cannot_be_written_leaves_the_promise(opened, path, monkeypatch):
    north = opened()
    one = promise(take(30))
    north.prepare(one)

    class Full:
        """The database, whose disk is full."""

        in_transaction = True

        def execute(self, *_):
            raise sqlite3.OperationalError("database or disk is full")

        def rollback(self):
            north._db = real
            real.rollback()

    real, north._db = north._db, Full()
    with pytest.raises(LogError, match="disk is full"):
        north.commit(one)
    assert amounts(path)["anna"] == 100
    assert north.promises == [one]
    north.commit(one)
    assert amounts(path)["anna"] == 70


def test_the_identity_stays_with_the_database(opened, path):
    first = opened().identity
    assert opened().identity == first
    with pytest.raises(ConfigError, match="is the database of the member 'north', not of 'south'"):
        opened("south")
    opened().close()
    path.unlink()
    make(path)
    assert opened().identity != first


def test_one_process_has_it(opened, path):
    opened()
    with pytest.raises(ConfigError, match="in use by another process"):
        commit.Database(path, "north", STATEMENTS)


def test_what_is_no_database_is_told(tmp_path):
    path = tmp_path / "text.db"
    path.write_text("not a database, but long enough to be looked at " * 40)
    with pytest.raises(ConfigError, match="cannot be used: file is not a database"):
        commit.Database(path, "north", {})
    with pytest.raises(ConfigError, match="cannot be used"):
        commit.Database(tmp_path / "none" / "x.db", "north", {})


def test_what_is_done_is_forgotten_when_nobody_can_speak_of_it_any_more(opened):
    north = opened()
    for number in (1, 2, WINDOW + 2):
        north.prepare(one := promise(take(1), number))
        north.commit(one)
    rows = north._db.execute("SELECT number FROM tapstack_commit_done").fetchall()
    assert rows == [(WINDOW + 2,)]
    assert north.done.is_too_old(Transaction("teller", LOG, 2))


def test_values_of_all_kinds(opened, path):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE v (n, i, r, t, b)")
    db.close()
    values = {"n": None, "i": -(1 << 63), "r": 0.5, "t": "ä\0", "b": b"\xff"}
    north = opened(statements={"v": commit.Statement("INSERT INTO v VALUES (:n, :i, :r, :t, :b)", rows=1)})
    one = promise(commit.steps(("v", values)))
    north.prepare(one)
    north.commit(one)
    assert north._db.execute("SELECT * FROM v").fetchone() == tuple(values.values())


def a_writer_comes_between(monkeypatch, path):
    """Another process takes the lock when the promise is written, and before its work is held."""
    other = sqlite3.connect(path, isolation_level=None, timeout=0)
    hold = commit.Database._hold

    def late(self, promise):
        monkeypatch.undo()
        other.execute("BEGIN IMMEDIATE")
        hold(self, promise)

    monkeypatch.setattr(commit.Database, "_hold", late)
    return other


def test_a_refusal_leaves_nothing_behind_also_when_that_is_written_late(opened, path, monkeypatch):
    north = opened()
    machine = Participant("north", north, ["teller", "north"], 0, lambda: 7, commit.Timing(again_us=10, longest_us=40))
    other = a_writer_comes_between(monkeypatch, path)
    one = promise(take(30))
    vote = machine.on_prepare(one.intent, 0)
    assert (vote.kind, vote.why) == (protocol.vote_kind.VOTE_NO, "north.db: database is locked")
    with pytest.raises(sqlite3.IntegrityError, match="in doubt here"):  # what was written of it is still there
        other.execute("UPDATE account SET amount = 0")
    machine.tick(10)
    (row,) = machine.status()
    assert (row.state, row.waits_for) == ("aborted", ("north",))
    assert row.note == "north: refused; what was written of it cannot be wiped out: north.db: database is locked"
    assert machine.on_prepare(one.intent, 11).why == "it was refused"  # a copy
    asked = protocol.question(one.transaction.wire, "south", b"")
    assert machine.outcome(asked) is protocol.answer.ANSWER_UNKNOWN  # a no is not the coordinator's word
    other.execute("ROLLBACK")
    machine.tick(machine.deadline())
    assert (machine.status(), machine.deadline(), north.promises) == ([], NEVER, [])
    assert machine.outcome(asked) is protocol.answer.ANSWER_UNKNOWN
    other.execute("UPDATE account SET amount = 50")
    other.close()
    later = promise(take(1), 2)
    assert machine.on_prepare(later.intent, 0).kind is protocol.vote_kind.VOTE_YES


def test_nobody_changes_anything_between_the_trial_and_the_promise(opened, path, monkeypatch):
    """Else a promise could be written that cannot be kept, and no start of the member would get past it."""
    north, seen = opened(), []
    real = commit.Database._try

    def tried(self, promise):
        real(self, promise)
        with sqlite3.connect(path, timeout=0) as other:
            try:
                other.execute("UPDATE account SET amount = 0")
            except sqlite3.OperationalError as error:
                seen.append(str(error))
        other.close()

    monkeypatch.setattr(commit.Database, "_try", tried)
    north.prepare(promise(take(30)))
    assert seen == ["database is locked"]
    (found,) = opened().promises
    assert found.transaction.number == 1


@pytest.mark.parametrize("sql", ["COMMIT", " rollback", "PRAGMA x", "ATTACH 'x' AS y", "", "DROP TABLE account"])
def test_statements_do_not_end_transactions(opened, sql):
    with pytest.raises(ConfigError, match=r"statement 'odd' begins with .*: use one of DELETE, INSERT"):
        opened(statements={"odd": commit.Statement(sql)})
    with pytest.raises(ConfigError, match=r"use commit\.Statement\(sql"):
        opened(statements={"odd": sql})


def test_a_database_that_was_closed_under_its_member_keeps_its_promise(opened, path):
    north = opened()
    north.prepare(one := promise(take(30)))
    north.close()
    with pytest.raises(LogError, match="closed database"):
        north.commit(one)
    assert [found.transaction for found in opened().promises] == [one.transaction]


def test_a_database_in_memory_promises_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda path, **how: real(":memory:", **how))
    with pytest.raises(ConfigError, match="has journal mode 'memory', not 'wal': use a file on a local disk"):
        commit.Database("x.db", "north", STATEMENTS)


def test_one_process_has_it_by_whatever_name(opened, path, tmp_path):
    opened()
    (tmp_path / "other.db").symlink_to(path)
    with pytest.raises(ConfigError, match=r"north\.db is in use"):
        commit.Database(tmp_path / "other.db", "north", STATEMENTS)


def test_a_promise_that_cannot_be_read_is_no_raw_error(opened, path):
    opened().prepare(promise(take(1)))
    for damaged in (b"xyz", None):
        opened().close()
        with sqlite3.connect(path) as db:
            db.execute("UPDATE tapstack_commit_promise SET intent = ?", (damaged,))
        db.close()
        with pytest.raises(CorruptLog, match=r"the database .*north\.db has a record that makes no sense here"):
            opened()
        with sqlite3.connect(path) as db:
            db.execute("DELETE FROM tapstack_commit_promise")
        db.close()
        opened().prepare(promise(take(1)))
