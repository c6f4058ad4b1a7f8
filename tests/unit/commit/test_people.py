"""What a person decides is not forgotten, and does not make the data contradict each other where that can be helped."""

from functools import partialmethod

import pytest

from stack.commit import protocol
from stack.commit.coordinator import Coordinator
from stack.commit.ledger import Ledger
from stack.commit.protocol import answer, receipt
from tests.support.commit_sides import North, Teller


@pytest.fixture
def teller():
    return Teller()


@pytest.fixture
def north():
    return North()


def given_up_then_asked(teller):
    """What a member hears that was given up, and comes back: in this life of the coordinator, and in the next two."""
    found = teller.commit()
    teller.machine.on_receipt(found.transaction, "south", receipt.RECEIPT_DONE)
    teller.machine.give_up(found.transaction, "north")
    asked = protocol.question(found.transaction.wire, "north", b"n" * 8)
    answers = [teller.machine.outcome(asked)]
    for _ in range(2):
        teller.disk.crash()
        machine = teller.start(members=("teller", "south"))  # north is not named any more
        machine.tick(1 << 40)
        assert (machine.status(), teller.sent()) == ([], [])
        answers.append(machine.outcome(asked))
    return answers


def test_who_was_given_up_and_comes_back_is_not_told_that_it_was_aborted(teller, monkeypatch):
    assert given_up_then_asked(teller) == [answer.ANSWER_COMMITTED] * 3
    # the control: it is forgotten as what all have confirmed, and so presumed to be aborted
    monkeypatch.setattr(Coordinator, "_keep", lambda self, number, _: self._log.add(ended(number)))
    assert given_up_then_asked(Teller()) == [answer.ANSWER_ABORTED] * 3


def ended(number):
    kind = protocol.coordinator_kind.ENDED
    return protocol.xdr_coordinator_record.encode(protocol.coordinator_record(kind, number))


def test_what_was_given_up_is_bounded(teller, monkeypatch):
    monkeypatch.setattr("stack.commit.coordinator.MAX_OPEN", 3)
    for _ in range(5):
        found = teller.commit("north")
        teller.machine.give_up(found.transaction, "north")
    asked = [protocol.question(teller.machine._transaction(n).wire, "north", b"n" * 8) for n in range(1, 6)]
    for _ in range(2):
        told = [teller.machine.outcome(one) for one in asked]
        assert told == [answer.ANSWER_ABORTED] * 2 + [answer.ANSWER_COMMITTED] * 3
        teller.again()


def resolve_and_crash(north):
    """Whether the promise is back."""
    north.prepare()
    north.machine.resolve(str(north.named()), commit=False)
    return [row.transaction for row in north.again().status()] == [north.named()]


def test_what_a_person_has_aborted_is_not_forgotten_in_a_crash(north, monkeypatch):
    """Its coordinator may be gone for good, so nobody would say it again."""
    assert not resolve_and_crash(north)
    # the control: an abort as the coordinator tells it, which waits for the next flush
    monkeypatch.setattr(
        Ledger, "abort", partialmethod(lambda self, promise, real, for_good: real(self, promise), real=Ledger.abort)
    )
    assert resolve_and_crash(North())


def test_a_full_disk_does_not_answer_a_person(north):
    north.prepare()
    north.disk.free = 3
    with pytest.raises(OSError, match="abort, which cannot be written: the log log cannot be written: No space left"):
        north.machine.resolve(str(north.named()), commit=False)
    assert north.ledger.balance("anna") == 0
    assert [row.state for row in north.machine.status()] == ["prepared"]
    north.disk.free = None
    north.machine.resolve(str(north.named()), commit=False)
    assert north.again().status() == []


def test_an_abort_of_what_others_had_committed_is_told(north):
    """A person had decided elsewhere, and this one had heard it from there."""
    north.prepare()
    north.machine.on_answer(north.named(), "south", answer.ANSWER_COMMITTED)
    for _ in range(2):
        assert north.decide(commit=False) is receipt.RECEIPT_LOST
    (told,) = north.machine.lost
    assert told == (
        "teller/545454/1 is aborted, and was committed here: a person has decided so, here or elsewhere: compare the "
        "data of north with those of the others"
    )
