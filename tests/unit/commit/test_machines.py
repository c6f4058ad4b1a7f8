"""Coordinator and participant, one message at a time."""

from random import Random

import pytest

from stack.commit import entries, protocol
from stack.commit.coordinator import MAX_OPEN, NUMBERS_AHEAD, Coordinator
from stack.commit.errors import LogError, LogFailed
from stack.commit.ledger import Ledger
from stack.commit.participant import MAX_IN_DOUBT, Participant
from stack.commit.protocol import answer, receipt, vote_kind
from stack.commit.states import State
from stack.commit.transactions import WINDOW, Ask, Done, Timing, Transaction
from stack.config import NEVER
from stack.errors import ConfigError, NoBufferSpace
from tests.support.commit_disk import SimDisk
from tests.support.commit_sides import MEMBERS, NO, TIMING, North, Teller, yes


@pytest.fixture
def teller():
    return Teller()


# -- the coordinator


def test_all_yes_is_a_commit_that_is_told_until_all_have_confirmed(teller):
    found, machine = teller.begin(), teller.machine
    assert teller.sent() == [("north", Ask.PREPARE, None), ("south", Ask.PREPARE, None)]
    machine.on_vote(found.transaction, "north", yes(), 0)
    assert (found.state, teller.sent()) == (State.WORKING, [])
    machine.on_vote(found.transaction, "south", yes(), 0)
    assert found.state is State.COMMITTED
    assert teller.sent() == [("north", Ask.DECIDE, True), ("south", Ask.DECIDE, True)]
    machine.on_receipt(found.transaction, "south", receipt.RECEIPT_DONE)
    times, now = [], 0
    for _ in range(5):
        times.append(machine.deadline() - now)
        now = machine.deadline()
        machine.tick(now)
        assert teller.sent() == [("north", Ask.DECIDE, True)]
    assert times == [100, 200, 400, 400, 400]
    machine.on_receipt(found.transaction, "north", receipt.RECEIPT_LATER)
    assert found.state is State.COMMITTED
    machine.on_receipt(found.transaction, "north", receipt.RECEIPT_DONE)
    assert (found.state, machine.status(), machine.deadline()) == (State.ENDED, [], NEVER)


def test_one_no_is_an_abort_that_all_are_told_once(teller):
    found, machine = teller.begin(), teller.machine
    size = teller.log.size
    machine.on_vote(found.transaction, "north", NO, 0)
    assert (found.state, found.why) == (State.ENDED, "north: not today")
    assert teller.sent()[2:] == [("north", Ask.DECIDE, False), ("south", Ask.DECIDE, False)]
    assert (machine.deadline(), teller.log.size) == (NEVER, size)  # an abort is not written down


def test_a_vote_that_does_not_come_is_a_no(teller):
    found = teller.begin()
    teller.machine.on_vote(found.transaction, "north", yes(), 0)
    assert teller.machine.deadline() == 1000
    teller.machine.tick(1000)
    assert (found.state, found.why) == (State.ENDED, "no vote of south in time")


def test_who_cannot_be_asked_is_a_no(teller):
    found = teller.begin()
    teller.machine.on_silence(found.transaction, "south", "connection refused")
    assert found.why == "south has not voted: connection refused"
    committed = teller.commit()
    teller.machine.on_silence(committed.transaction, "south", "connection refused")
    assert committed.state is State.COMMITTED


def test_the_first_vote_counts_and_late_ones_do_not(teller):
    found, machine = teller.begin(), teller.machine
    machine.on_vote(found.transaction, "north", yes(), 0)
    machine.on_vote(found.transaction, "north", NO, 0)
    assert found.is_open
    machine.on_vote(found.transaction, "nobody", yes(), 0)
    machine.on_vote(found.transaction, "south", yes(), 0)
    machine.on_vote(found.transaction, "south", NO, 0)
    assert (found.state, machine.stats["late_votes"]) == (State.COMMITTED, 3)
    aborted = teller.begin()
    machine.on_vote(aborted.transaction, "north", NO, 0)
    machine.on_vote(aborted.transaction, "south", yes(), 0)
    assert (aborted.state, machine.stats["committed"]) == (State.ENDED, 1)


def test_a_decision_is_there_after_a_crash_and_what_was_not_decided_is_aborted(teller):
    committed, open_ = teller.commit(), teller.begin()
    machine = teller.again()
    assert teller.sent() == []
    machine.tick(machine.deadline())
    assert teller.sent() == [("north", Ask.DECIDE, True), ("south", Ask.DECIDE, True)]

    def ask(found, who=b"n", asker="north"):
        return machine.outcome(protocol.question(found.transaction.wire, asker, who * 8))

    assert ask(committed) is answer.ANSWER_COMMITTED
    assert ask(open_) is answer.ANSWER_ABORTED
    assert ask(committed, b"x") is answer.ANSWER_ABORTED  # a copy of the work on another disk: nobody counts on it
    assert ask(teller.begin()) is answer.ANSWER_PENDING


def test_no_number_is_used_twice(teller):
    numbers = []
    for _ in range(5):
        numbers += [teller.begin().transaction.number for _ in range(3)]
        teller.again()
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) <= 5 * NUMBERS_AHEAD


def test_questions_about_another_log_are_not_answered(teller):
    machine = teller.machine
    found = teller.begin().transaction
    others = [
        found._replace(log=b"another!"),  # the disk was lost
        found._replace(number=found.number + 1),  # an old copy of the disk was put back
        found._replace(coordinator="north"),
    ]
    for other in others:
        assert machine.outcome(protocol.question(other.wire, "north", b"")) is answer.ANSWER_UNKNOWN
    assert machine.stats["foreign"] == 3


def test_a_full_disk_is_an_abort(teller):
    found = teller.begin()
    teller.disk.free = 5
    for member in found.members:
        teller.machine.on_vote(found.transaction, member, yes(), 0)
    assert (found.state, found.why) == (
        State.ENDED,
        "teller: the log log cannot be written: No space left on device",
    )
    assert [commit for _, _, commit in teller.sent()[2:]] == [False, False]
    teller.disk.free = None
    assert teller.commit().state is State.COMMITTED


def test_a_log_that_fails_leaves_the_decision_to_the_next_start(teller):
    found, machine = teller.begin(), teller.machine
    teller.sent()
    teller.disk.breaks = True
    for member in found.members:
        machine.on_vote(found.transaction, member, yes(), 0)
    assert (found.state, found.is_stuck, teller.sent(), machine.deadline()) == (State.WORKING, True, [], NEVER)
    question = protocol.question(found.transaction.wire, "north", b"n" * 8)
    assert machine.outcome(question) is answer.ANSWER_PENDING
    machine.on_silence(found.transaction, "north", "")
    machine.on_vote(found.transaction, "north", NO, 0)
    machine.tick(10_000)
    assert (found.is_open, teller.sent()) == (True, [])
    with pytest.raises(LogFailed, match="start anew"):
        teller.begin()
    assert teller.again().outcome(question) in {answer.ANSWER_ABORTED, answer.ANSWER_COMMITTED}


def test_members_that_nobody_knows(teller):
    with pytest.raises(ConfigError, match="no member is called 'west': there are north, south, teller"):
        teller.begin("north", "west")
    with pytest.raises(ConfigError, match="1 to 64 participants, not 0"):
        teller.machine.begin({}, 0)
    with pytest.raises(ConfigError, match="at most 1000000"):
        teller.machine.begin({"north": bytes(1_000_001)}, 0)
    teller.commit()
    with pytest.raises(ConfigError, match=r"teller/545454/1 is committed, and 'south' has not been told.*add it"):
        teller.start(("teller", "north"))


def test_there_is_a_bound_on_what_is_open(teller):
    for _ in range(MAX_OPEN):
        teller.begin("north")
    with pytest.raises(NoBufferSpace, match="1024 transactions have not ended"):
        teller.begin("north")


def test_the_log_stays_small(teller):
    teller.machine = Coordinator("teller", teller.log, MEMBERS, 0, lambda: 7, TIMING, checkpoint=2000)
    sizes = []
    stays = teller.commit()
    for _ in range(500):
        found = teller.commit("north")
        teller.machine.on_receipt(found.transaction, "north", receipt.RECEIPT_DONE)
        sizes.append(teller.log.size)
    assert max(sizes) < 2500
    assert teller.machine.stats["checkpoints"] > 20
    teller.again()
    # that the last one has ended was to be written with the next decision: it is told again, which does no harm
    assert [row.transaction for row in teller.machine.status()] == [stays.transaction, found.transaction]


def test_a_promise_that_was_lost_is_told(teller):
    found = teller.commit()
    teller.machine.on_receipt(found.transaction, "north", receipt.RECEIPT_LOST)
    teller.machine.on_receipt(found.transaction, "south", receipt.RECEIPT_DONE)
    assert (found.state, found.lost) == (State.ENDED, ["north"])
    (told,) = teller.machine.lost
    assert "teller/545454/1 is committed, and north knows nothing of having promised it" in told
    assert "compare its data with those of south" in told


def test_a_member_that_is_gone_can_be_given_up(teller):
    found = teller.commit()
    with pytest.raises(ConfigError, match="teller/545454/9 does not wait for north to confirm it"):
        teller.machine.give_up("teller/545454/9", "north")
    teller.machine.give_up("teller/545454/1", "north")
    with pytest.raises(ConfigError, match="does not wait for north"):
        teller.machine.give_up(found.transaction, "north")
    teller.machine.on_receipt(found.transaction, "south", receipt.RECEIPT_DONE)
    assert (found.state, teller.machine.status()) == (State.ENDED, [])
    (told,) = teller.machine.lost
    assert (
        told == "teller/545454/1 is committed, and north was given up by a person; compare its data with those of south"
    )
    open_ = teller.begin()
    with pytest.raises(ConfigError):
        teller.machine.give_up(open_.transaction, "north")


# -- participants


@pytest.fixture
def north():
    return North()


def test_a_promise_is_kept(north):
    vote = north.prepare()
    assert (vote.kind, vote.voter) == (vote_kind.VOTE_YES, north.ledger.identity)
    assert north.ledger.balance("anna") == 0
    assert north.decide() is receipt.RECEIPT_DONE
    assert north.ledger.balance("anna") == 5
    assert north.decide() is receipt.RECEIPT_DONE  # the receipt was lost
    assert north.ledger.balance("anna") == 5


def test_copies_of_a_prepare_do_nothing_twice(north):
    for _ in range(3):
        assert north.prepare().kind is vote_kind.VOTE_YES
    north.decide()
    assert north.prepare().kind is vote_kind.VOTE_YES
    north.decide()
    assert (north.ledger.balance("anna"), north.machine.status()) == (5, [])
    north.prepare(2)
    north.decide(2, commit=False)
    assert north.prepare(2).why == "it was aborted"
    north.decide(WINDOW + 9, commit=False)
    north.prepare(WINDOW + 9 + 1)
    north.decide(WINDOW + 9 + 1)
    assert north.prepare(3).why == "its number is too old"


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"amounts": {"anna": -1}}, "anna has 0, and is to get -1"),
        ({"amounts": {"otto": 1}}, "otto is locked by teller/545454/9"),
        ({"coordinator": "stranger"}, "no member is called 'stranger' here"),
        ({"participant": "south"}, "this is north, not south: the addresses of the members are wrong"),
    ],
)
def test_a_no_says_why_and_promises_nothing(north, how, why):
    north.prepare(9, {"otto": 1})
    vote = north.prepare(**how)
    assert (vote.kind, vote.why) == (vote_kind.VOTE_NO, why)
    assert len(north.machine.status()) == 1
    assert north.again().status()[0].transaction.number == 9


def test_work_that_makes_no_sense_is_a_no(north):
    what = protocol.intent(north.named().wire, "north", ["north"], b"xyz")
    assert north.machine.blocked_by(what) is None
    assert "the work is none for a ledger" in north.machine.on_prepare(what, 0).why


def test_a_promise_survives_a_crash_and_is_asked_about_at_once(north):
    north.prepare()
    machine = north.again()
    assert machine.deadline() == 0
    machine.tick(0)
    assert north.asks() == [("teller", Ask.OUTCOME)]
    machine.on_answer(north.named(), "teller", answer.ANSWER_COMMITTED)
    assert (north.ledger.balance("anna"), machine.status()) == (5, [])


def test_who_is_in_doubt_asks_everybody_and_says_so(north):
    machine = north.machine
    north.prepare()
    times, now, asked = [], 0, []
    for _ in range(5):
        times.append(machine.deadline() - now)
        now = machine.deadline()
        machine.tick(now)
        asked.append([to for to, _ in north.asks()])
    assert times == [100, 200, 400, 400, 400]
    assert asked == [["teller"]] + 4 * [["teller", "south"]]
    machine.on_silence(north.named(), "teller", "connection refused")
    machine.on_answer(north.named(), "south", answer.ANSWER_PENDING)
    (row,) = machine.status()
    assert (str(row.transaction), row.state, row.waits_for, row.since) == (
        "teller/545454/1",
        "prepared",
        ("teller",),
        7,
    )
    assert row.note == "teller: connection refused; south: is in doubt, too"
    machine.on_answer(north.named(), "teller", answer.ANSWER_UNKNOWN)
    assert north.ledger.balance("anna") == 0
    machine.on_answer(north.named(), "south", answer.ANSWER_COMMITTED)
    assert (north.ledger.balance("anna"), machine.status()) == (5, [])
    machine.on_answer(north.named(), "teller", answer.ANSWER_COMMITTED)
    assert north.ledger.balance("anna") == 5


def test_what_others_are_told(north):
    for number in (1, 2, 3):
        north.prepare(number, {f"a{number}": 1})
    north.decide(1)
    north.decide(2, commit=False)
    north.prepare(4, {"a3": 1})  # a no: the last word is the coordinator's
    told = [north.outcome(number) for number in (1, 2, 3, 4)]
    expected = [answer.ANSWER_COMMITTED, answer.ANSWER_ABORTED, answer.ANSWER_PENDING, answer.ANSWER_UNKNOWN]
    assert told == expected


def test_a_disk_that_was_lost(north):
    voter = north.prepare().voter
    north.disk = SimDisk(Random(3))
    north.ledger = Ledger(north.disk, "log", "north", Random(4).randbytes)
    north.machine = Participant("north", north.ledger, MEMBERS, 0, lambda: 7, TIMING)
    assert north.decide(voter=voter) is receipt.RECEIPT_LOST
    assert north.decide(commit=False, voter=b"") is receipt.RECEIPT_DONE


def test_a_full_disk_is_a_no_and_a_decision_waits_for_room(north):
    north.prepare(1)
    north.disk.free = 3
    assert north.prepare(2, {"otto": 1}).why.startswith(
        "it cannot be written down: the log log cannot be written: No sp"
    )
    assert north.decide(1) is receipt.RECEIPT_LATER
    assert north.ledger.balance("anna") == 0
    assert "commit, written, which cannot be written" in north.machine.status()[0].note
    north.disk.free = None
    assert north.decide(1) is receipt.RECEIPT_DONE
    assert north.ledger.balance("anna") == 5


def test_a_person_can_decide(north):
    north.prepare(1)
    north.prepare(2, {"otto": 1})
    with pytest.raises(ConfigError, match="teller/545454/7 is not in doubt here; in doubt are 2"):
        north.machine.resolve("teller/545454/7", commit=True)
    north.machine.resolve("teller/545454/1", commit=False)
    north.machine.resolve(north.named(2), commit=True)
    assert (north.ledger.balance("anna"), north.ledger.balance("otto")) == (0, 1)
    rows = north.machine.status()
    assert [(row.transaction.number, row.state, row.note) for row in rows] == [
        (1, "aborted", "north: a person has decided"),
        (2, "committed", "north: a person has decided"),
    ]
    assert north.decide(1) is receipt.RECEIPT_LOST  # it was decided otherwise, and the coordinator hears of it
    assert north.decide(2, commit=False) is receipt.RECEIPT_LOST
    assert (north.machine.stats["lost"], north.machine.status()) == (2, [])
    assert north.machine.lost == [
        "teller/545454/1 is committed, and a person has had it aborted at north: compare its data with those of south",
        "teller/545454/2 is aborted, and a person has had it committed at north: compare its data with those of south",
    ]


@pytest.mark.parametrize("said", [answer.ANSWER_COMMITTED, answer.ANSWER_ABORTED])
def test_what_a_person_has_decided_is_compared_when_the_coordinator_is_back(north, said):
    north.prepare()
    north.machine.resolve(north.named(), commit=True)
    north.asks()
    for _ in range(3):
        north.machine.tick(north.machine.deadline())
    assert north.asks() == [("teller", Ask.OUTCOME)] * 3
    north.machine.on_answer(north.named(), "south", answer.ANSWER_ABORTED)  # does not know better
    north.machine.on_answer(north.named(), "teller", answer.ANSWER_PENDING)
    assert len(north.machine.status()) == 1
    north.machine.on_answer(north.named(), "teller", said)
    assert north.machine.status() == []
    assert len(north.machine.lost) == (said is answer.ANSWER_ABORTED)


def test_a_decision_like_that_of_a_person_is_confirmed(north):
    north.prepare()
    north.machine.resolve(north.named(), commit=True)
    assert north.decide() is receipt.RECEIPT_DONE
    assert (north.ledger.balance("anna"), north.machine.lost, north.machine.status()) == (5, [], [])


def test_a_resolution_that_cannot_be_written_is_told(north):
    north.prepare(1)
    north.disk.free = 3
    with pytest.raises(OSError, match="cannot be written"):
        north.machine.resolve("teller/545454/1", commit=True)
    assert len(north.machine.status()) == 1


def test_promises_to_a_coordinator_that_is_not_named_any_more(north):
    north.prepare()
    with pytest.raises(ConfigError, match="teller/545454/1 is in doubt, and 'teller', who coordinates it"):
        north.start(("north", "south"))


def test_there_is_a_bound_on_what_is_in_doubt(north):
    for number in range(MAX_IN_DOUBT):
        north.prepare(number, {f"a{number}": 1})
    assert north.prepare(MAX_IN_DOUBT, {"one more": 1}).why == "1024 transactions are in doubt here"


def test_a_log_that_has_failed_is_a_no(north):
    north.disk.breaks = True
    assert "has failed" in north.prepare().why
    assert "has failed" in north.prepare().why
    assert "start anew" in north.machine.failed
    assert north.ledger.blocked_by(entries({"anna": 1})) is None


def test_the_ledgers_log_stays_small():
    disk = SimDisk(Random(1))
    ledger = Ledger(disk, "log", "north", Random(2).randbytes, checkpoint=3000)
    machine = Participant("north", ledger, MEMBERS, 0, lambda: 7, TIMING)
    for number in range(2 * WINDOW):
        wire = Transaction("teller", b"T" * 8, number).wire
        machine.on_prepare(protocol.intent(wire, "north", ["north"], entries({"anna": 1})), 0)
        machine.on_decide(protocol.decision(wire, True, ledger.identity))
    assert ledger.checkpoints > 10
    assert len(disk.names["log"].seen) < 1 << 19  # mostly the numbers of the window
    disk.crash()
    again = Ledger(disk, "log", "north", Random(2).randbytes)
    assert again.balance("anna") == 2 * WINDOW
    assert Transaction("teller", b"T" * 8, 2 * WINDOW - 1) in again.done


def test_numbers_that_are_done_are_bounded():
    done = Done()
    for number in range(3 * WINDOW):
        done.add(Transaction("teller", b"", number))
    assert len(list(done)) <= WINDOW
    assert done.is_too_old(Transaction("teller", b"", WINDOW))
    assert Transaction("teller", b"", 3 * WINDOW - 1) in done
    for log in range(100):
        done.add(Transaction("teller", log.to_bytes(8), 1))
    assert len({found.log for found in done}) <= 64


@pytest.mark.parametrize("wrong", [{"vote_us": 0}, {"again_us": 0}, {"again_us": 10, "longest_us": 9}])
def test_durations_that_make_no_sense(wrong):
    with pytest.raises(ConfigError):
        Timing(**wrong).validate()


def test_an_error_of_the_log_is_an_oserror():
    assert issubclass(LogError, OSError)


def test_work_that_is_no_octets_is_refused_before_anything_is_sent(teller):
    with pytest.raises(ConfigError, match=r"the work of north is str: use commit\.steps\(\) or commit\.entries\(\)"):
        teller.machine.begin({"north": "text"}, 0)
    assert (teller.sent(), teller.machine.status()) == ([], [])
