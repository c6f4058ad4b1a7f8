"""A coordinator and a participant on disks of their own, and what they are sent by hand."""

from random import Random

from stack.commit import entries, protocol
from stack.commit.coordinator import Coordinator
from stack.commit.ledger import Ledger
from stack.commit.log import Log
from stack.commit.participant import Participant
from stack.commit.protocol import vote_kind
from stack.commit.transactions import Timing, Transaction
from tests.support.commit_disk import SimDisk

NO = protocol.vote(vote_kind.VOTE_NO, "not today")
TIMING = Timing(vote_us=1000, again_us=100, longest_us=400)
MEMBERS = ("teller", "north", "south")


def yes(who=b"n"):
    return protocol.vote(vote_kind.VOTE_YES, who * 8)


class Teller:
    """A coordinator on a disk."""

    def __init__(self, disk=None):
        self.disk = disk or SimDisk(Random(1))
        self.start()

    def start(self, members=MEMBERS):
        self.log = Log.open(self.disk, "log", owner="teller", fresh=lambda n: b"T" * n)
        self.machine = Coordinator("teller", self.log, members, 0, lambda: 7, TIMING)
        return self.machine

    def again(self):
        self.disk.crash()
        return self.start()

    def sent(self):
        out, self.machine.outbox = self.machine.outbox, []
        return [(send.to, send.ask, getattr(send.what, "commit", None)) for send in out]

    def begin(self, *members):
        return self.machine.begin(dict.fromkeys(members or ("north", "south"), b"work"), 0)

    def commit(self, *members):
        found = self.begin(*members)
        for member in found.members:
            self.machine.on_vote(found.transaction, member, yes(), 0)
        return found


class North:
    """A participant with a ledger on a disk."""

    def __init__(self):
        self.disk = SimDisk(Random(1))
        self.start()

    def start(self, members=MEMBERS):
        self.ledger = Ledger(self.disk, "log", "north", Random(2).randbytes)
        self.machine = Participant("north", self.ledger, members, 0, lambda: 7, TIMING)
        return self.machine

    def again(self):
        self.disk.crash()
        return self.start()

    def prepare(self, number=1, amounts=None, **other):
        return self.machine.on_prepare(self.intent(number, amounts, **other), 0)

    def intent(self, number=1, amounts=None, *, coordinator="teller", participant="north"):
        wire = self.named(number, coordinator).wire
        return protocol.intent(wire, participant, ["north", "south"], entries(amounts or {"anna": 5}))

    @staticmethod
    def named(number=1, coordinator="teller"):
        return Transaction(coordinator, b"T" * 8, number)

    def decide(self, number=1, *, commit=True, voter=None):
        voter = self.ledger.identity if voter is None else voter
        return self.machine.on_decide(protocol.decision(self.named(number).wire, commit, voter))

    def asks(self):
        out, self.machine.outbox = self.machine.outbox, []
        return [(send.to, send.ask) for send in out]

    def outcome(self, number):
        return self.machine.outcome(protocol.question(self.named(number).wire, "south", b""))
