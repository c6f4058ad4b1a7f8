"""Whatever a participant is told, it answers, raises nothing, and nobody else's promise suffers."""

from random import Random

import pytest

from stack.commit import Database, entries, protocol, steps
from stack.commit.ledger import Ledger
from stack.commit.participant import Participant
from stack.commit.protocol import answer, receipt, vote_kind
from stack.commit.sqlite import Value
from stack.commit.transactions import Transaction
from tests.support.commit_disk import SimDisk
from tests.support.commit_money import STATEMENTS, amounts, make, take

NAMES = ("teller", "north", "south", "", "x" * 255, "\udcff", "' OR 1 --", "\0")
NUMBERS = (0, 1, 2, 4097, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
MANY: list[tuple[str, dict[str, Value]]] = [("take", {"name": "anna", "amount": 0})] * 1000
WORK = (
    b"",
    b"\0" * 3,
    b"\xff" * 40,
    entries({}),
    entries({"anna": (1 << 63) - 1}),
    entries({"anna": -(1 << 63)}),
    entries({"\udcff": 1}),
    steps(),
    steps(("take", {"name": "\udcff", "amount": 1})),
    steps(("take", {"name": "a\0b", "amount": b""})),
    steps(("take", {"amount": 1, "name": None, "x" * 255: 0.5})),
    steps(("DROP TABLE account", {})),
    steps(*MANY),
)


def intent(rng):
    participant = rng.choice(NAMES) if rng.random() < 0.2 else "north"
    return protocol.intent(identifier(rng).wire, participant, rng.choices(NAMES, k=3), rng.choice(WORK))


def identifier(rng):
    coordinator = rng.choice(NAMES) if rng.random() < 0.2 else "teller"
    return Transaction(coordinator, rng.randbytes(rng.choice((0, 8))), rng.choice(NUMBERS))


def own(number, work):
    wire = Transaction("honest", b"", number).wire
    return protocol.intent(wire, "north", ["north"], work)


@pytest.fixture(params=["ledger", "database"])
def north(request, tmp_path):
    if request.param == "ledger":
        store = Ledger(SimDisk(Random(1)), "log", "north", Random(1).randbytes)
        yield store, lambda: store.balance("mine"), entries({"mine": 7}), 7
    else:
        store = Database(make(tmp_path / "north.db"), "north", STATEMENTS)
        yield store, lambda: amounts(tmp_path / "north.db")["anna"], take(7), 93
    store.close()


def tell(machine, store, rng, now):
    """One message of each kind."""
    what = intent(rng)
    machine.blocked_by(what)
    assert isinstance(machine.on_prepare(what, now), protocol.vote)
    voter = rng.choice((store.identity, rng.randbytes(8), b""))
    decided = machine.on_decide(protocol.decision(identifier(rng).wire, rng.random() < 0.5, voter))
    assert isinstance(decided, receipt)
    asked = protocol.question(identifier(rng).wire, rng.choice(NAMES), rng.randbytes(8))
    assert isinstance(machine.outcome(asked), answer)
    machine.on_answer(identifier(rng), rng.choice(NAMES), rng.choice(list(answer)))
    machine.tick(now * 100_000)
    machine.outbox.clear()


@pytest.mark.parametrize("seed", range(3))
def test_hostile_messages(north, seed):
    store, amount, work, expected = north
    rng = Random(seed)
    machine = Participant("north", store, ("teller", "honest", "south"), 0, lambda: 1)
    for now in range(400):
        tell(machine, store, rng, now)
        for row in machine.status():
            wire = protocol.waiting_row(row.transaction.wire, row.state, list(row.waits_for), row.since, row.note)
            assert protocol.xdr_waiting_row.encode(wire)
            machine.resolve(row.transaction, commit=False)
            machine.on_answer(row.transaction, row.transaction.coordinator, answer.ANSWER_ABORTED)
    assert machine.stats["prepared"] > 5
    assert machine.on_prepare(own(77, work), 0).kind is vote_kind.VOTE_YES
    for now in range(400):
        tell(machine, store, rng, now)
    assert machine.on_decide(protocol.decision(own(77, work).transaction, True, store.identity)) is receipt.RECEIPT_DONE
    assert amount() == expected
