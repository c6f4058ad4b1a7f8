"""Two-phase commit: several databases change together, or none does, whatever crashes.

    members = {"teller": ("127.0.0.1", 7000), "north": ("127.0.0.1", 7001), "south": ("127.0.0.1", 7002)}

    async with await commit.serve("north", commit.Database("north.db", "north", statements), members): ...

    async with await commit.coordinate("teller", "teller.log", members) as teller:
        take, give = commit.steps(("take", {"amount": 5})), commit.steps(("give", {"amount": 5}))
        await teller.run({"north": take, "south": give})

See docs/two-phase-commit.md.
"""

from stack.commit.errors import Aborted, CommitError, CorruptLog, LogError, LogFailed, Refused, Undecided
from stack.commit.ledger import Ledger, entries
from stack.commit.log import Disk
from stack.commit.participant import Promise, Store
from stack.commit.serving import (
    Committed,
    MemberStatus,
    RunningCoordinator,
    RunningParticipant,
    coordinate,
    open_ledger,
    serve,
    status,
)
from stack.commit.sqlite import Database, Statement, steps
from stack.commit.transactions import Timing, Transaction, Waiting

__all__ = [
    "Aborted",
    "CommitError",
    "Committed",
    "CorruptLog",
    "Database",
    "Disk",
    "Ledger",
    "LogError",
    "LogFailed",
    "MemberStatus",
    "Promise",
    "Refused",
    "RunningCoordinator",
    "RunningParticipant",
    "Statement",
    "Store",
    "Timing",
    "Transaction",
    "Undecided",
    "Waiting",
    "coordinate",
    "entries",
    "open_ledger",
    "serve",
    "status",
    "steps",
]
