"""The timers of one connection: independent slots, one earliest deadline.

Theory of operation.  Arming a slot for an earlier time lowers `deadline` at once; moving it later or
cancelling leaves `deadline` where it is, and the next `settle` (when it fires for nothing) corrects it.
So an ACK that pushes the retransmission timer out costs one list store and no queue operation.
Invariant: `deadline` <= min(at).
"""

from typing import Final

from stack.config import NEVER

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


class TimerTable:
    """`at[slot]` is when the slot fires, in microseconds, or NEVER."""

    __slots__ = ("at", "deadline")

    def __init__(self) -> None:
        self.at = [NEVER] * N_SLOTS
        self.deadline = NEVER

    def arm(self, slot: int, at: int) -> None:
        """Set `slot` to fire at `at`, replacing what it was set to."""
        self.at[slot] = at
        if at < self.deadline:
            self.deadline = at

    def cancel(self, slot: int) -> None:
        """The slot does not fire."""
        self.at[slot] = NEVER

    def cancel_all(self) -> None:
        """No slot fires."""
        for slot in range(N_SLOTS):
            self.at[slot] = NEVER
        self.deadline = NEVER

    def settle(self) -> None:
        """Make `deadline` exact again."""
        self.deadline = min(self.at)

    def running(self, slot: int) -> bool:
        """Whether the slot is set."""
        return self.at[slot] != NEVER
