"""What was asked of an rpcbind, as its procedure GETSTAT tells (RFC 1833 §2.1, struct rpcb_stat)."""

from typing import Final, NamedTuple

PROCEDURES: Final = 13  # of version 4, with procedure 0
VERSIONS: Final = (2, 3, 4)
MAX_ASKED: Final = 256  # questions told apart; those after them are in none of the lists
MAX_COUNT: Final = 0x7FFF_FFFF  # an int on the wire


class Question(NamedTuple):
    """What was looked up."""

    program: int
    version: int
    netid: str


class Statistics:
    """Counters of one version."""

    __slots__ = ("asked", "calls", "left_out", "set_count", "unset_count")

    def __init__(self) -> None:
        self.calls = [0] * PROCEDURES
        self.set_count = 0
        self.unset_count = 0
        self.asked: dict[Question, list[int]] = {}  # found, not found
        self.left_out = 0  # questions for which there was no room

    def on_call(self, procedure: int) -> None:
        """A procedure was called."""
        if 0 <= procedure < PROCEDURES:
            self.calls[procedure] = min(self.calls[procedure] + 1, MAX_COUNT)

    def on_changed(self, *, set_: bool) -> None:
        """A mapping was registered, or taken away."""
        if set_:
            self.set_count = min(self.set_count + 1, MAX_COUNT)
        else:
            self.unset_count = min(self.unset_count + 1, MAX_COUNT)

    def on_asked(self, question: Question, *, found: bool) -> None:
        """An address was looked up."""
        counts = self.asked.get(question)
        if counts is None:
            if len(self.asked) >= MAX_ASKED:
                self.left_out += 1
                return
            counts = self.asked[question] = [0, 0]
        counts[not found] = min(counts[not found] + 1, MAX_COUNT)
