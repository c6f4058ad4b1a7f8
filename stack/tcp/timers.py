"""The timers of one connection: independent slots, one earliest deadline.

Theory of operation.  Arming a slot for an earlier time lowers `deadline` at once; moving it later or
cancelling leaves `deadline` where it is, and the next `settle` (when it fires for nothing) corrects it.
So an ACK that pushes the retransmission timer out costs one list store and no queue operation.
A table that `settle` finds empty gives its list back, and has the same one as all others at rest; `arm` makes it a new
one.  So who stores into `at` stores NEVER, or moves a slot that is armed.
Invariants: `deadline` <= min(at); nothing runs in _AT_REST.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from stack.config import NEVER
from stack.tcp.memory import Spares

# of slots due at the same time the first goes first: RETRANSMIT is the last resort (RFC 8985 §8)
PROBE: Final = 0
REORDER: Final = 1
RETRANSMIT: Final = 2
PERSIST: Final = 3
PACING: Final = 4
DELAYED_ACK: Final = 5
KEEPALIVE: Final = 6
FIN_WAIT_2: Final = 7
TIME_WAIT: Final = 8
PMTU: Final = 9
USER: Final = 10
N_SLOTS: Final = 11

NAMES: Final = (
    "probe",
    "reorder",
    "retransmit",
    "persist",
    "pacing",
    "delayed_ack",
    "keepalive",
    "fin_wait_2",
    "time_wait",
    "pmtu",
    "user",
)

_AT_REST: Final = [NEVER] * N_SLOTS


@mypyc_attr(acyclic=True)
class TimerTable:
    """`at[slot]` is when the slot fires, in microseconds, or NEVER."""

    __slots__ = ("at", "deadline", "spares")

    def __init__(self, spares: Spares) -> None:
        self.spares = spares
        self.at = _AT_REST
        self.deadline = NEVER

    def arm(self, slot: int, at: int) -> None:
        """Set `slot` to fire at `at`, replacing what it was set to."""
        if self.at is _AT_REST:
            tables = self.spares.tables
            self.at = tables.pop() if tables else [NEVER] * N_SLOTS
        self.at[slot] = at
        if at < self.deadline:
            self.deadline = at

    def cancel(self, slot: int) -> None:
        """The slot does not fire."""
        self.at[slot] = NEVER

    def cancel_all(self) -> None:
        """No slot fires."""
        if self.at is not _AT_REST:
            for slot in range(N_SLOTS):
                self.at[slot] = NEVER
            self._rest()
        self.deadline = NEVER

    def settle(self) -> int:
        """Make `deadline` exact again; returns it."""
        self.deadline = min(self.at)
        if self.deadline == NEVER:
            self._rest()
        return self.deadline

    def _rest(self) -> None:
        """No timer runs."""
        spares = self.spares
        if self.at is not _AT_REST and len(spares.tables) < spares.limit:
            spares.tables.append(self.at)
        self.at = _AT_REST

    def running(self, slot: int) -> bool:
        """Whether the slot is set."""
        return self.at[slot] != NEVER
