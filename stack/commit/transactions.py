"""How transactions are named, which of them are done, what both machines send, and how long they wait."""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, unique
from typing import Final, NamedTuple, Protocol, Self

from stack.commit import protocol
from stack.config import SECOND
from stack.errors import ConfigError

WINDOW: Final = 4096  # numbers of a coordinator below its highest of which it is known whether they were committed
MAX_LOGS: Final = 64  # coordinators' logs that a participant remembers
MAX_SENTENCE: Final = protocol.COMMIT_TEXT // 4  # characters, in UTF-8


class Transaction(NamedTuple):
    """Its name."""

    coordinator: str
    log: bytes
    number: int

    def __str__(self) -> str:
        return f"{self.coordinator}/{self.log.hex()[:6]}/{self.number}"

    @property
    def wire(self) -> protocol.transaction_id:
        """As it is sent and written."""
        return protocol.transaction_id(self.coordinator, self.log, self.number)

    @classmethod
    def of(cls, wire: protocol.transaction_id) -> Self:
        """From what came, or was read."""
        return cls(wire.coordinator, wire.log, wire.number)


@unique
class Ask(Enum):
    """What members send each other; the names are those of the procedures."""

    PREPARE = "PREPARE"
    DECIDE = "DECIDE"
    OUTCOME = "OUTCOME"


class Send(NamedTuple):
    """To be sent to a member.  What it answers is to be given to the machine that wanted it sent."""

    to: str
    ask: Ask
    transaction: Transaction
    what: protocol.intent | protocol.decision | protocol.question


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long is waited, in microseconds."""

    vote_us: int = 5 * SECOND  # for all votes
    again_us: int = SECOND // 2  # before a decision is sent again, or asked for; then twice as long, up to
    longest_us: int = 30 * SECOND

    def validate(self) -> None:
        """Raise ConfigError for what cannot be."""
        if not 0 < self.again_us <= self.longest_us or self.vote_us <= 0:
            raise ConfigError("durations are more than 0, and again_us is at most longest_us")

    def pause_us(self, tries: int) -> int:
        """Until the next try."""
        return min(self.again_us << min(tries, 32), self.longest_us)


class Clock(Protocol):
    """Microseconds since 1970, for people."""

    def __call__(self) -> int:
        """Now."""


class Waiting(NamedTuple):
    """A transaction that has not ended, at one member: on whom it waits, and since when (microseconds since 1970)."""

    transaction: Transaction
    state: str
    waits_for: tuple[str, ...]
    since: int
    note: str = ""


@dataclass(slots=True)
class _Numbers:
    """Of one coordinator's log."""

    top: int
    done: set[int] = field(default_factory=set)


class Done:
    """Which transactions a participant has committed, for as long as their coordinators may speak of them.

    Numbers of a coordinator's log rise.  What is WINDOW below the highest that was committed is too old to be prepared:
    so no copy of a message, however late, has something done twice, and what is kept is bounded.
    """

    __slots__ = ("_logs",)

    def __init__(self) -> None:
        self._logs: OrderedDict[tuple[str, bytes], _Numbers] = OrderedDict()

    def __contains__(self, transaction: Transaction) -> bool:
        known = self._logs.get(transaction[:2])
        return known is not None and transaction.number in known.done

    def __iter__(self) -> Iterator[Transaction]:
        """Those that are not too old."""
        for log, known in self._logs.items():
            oldest = known.top - WINDOW
            yield from (Transaction(*log, number) for number in sorted(known.done) if number > oldest)

    def is_too_old(self, transaction: Transaction) -> bool:
        """Whether nothing can be known of it."""
        known = self._logs.get(transaction[:2])
        return known is not None and transaction.number <= known.top - WINDOW

    def add(self, transaction: Transaction) -> None:
        """It was committed."""
        key, number = transaction[:2], transaction.number
        known = self._logs.setdefault(key, _Numbers(number))
        known.top = max(known.top, number)
        known.done.add(number)
        if len(known.done) > 2 * WINDOW:
            known.done = {number for number in known.done if number > known.top - WINDOW}
        self._logs.move_to_end(key)
        if len(self._logs) > MAX_LOGS:
            self._logs.popitem(last=False)


def sentence(text: str) -> str:
    """As much of it as is sent."""
    return text if len(text) <= MAX_SENTENCE else text[: MAX_SENTENCE - 3] + "..."
