"""The eleven states of RFC 9293 §3.3.2, in an order that makes `>= ESTABLISHED` mean synchronised.

CLOSED, LISTEN and SYN_SENT are not synchronised.  `TRANSITIONS` is the whole machine: the one writer
of `Connection.state` checks it in tests, and the diagram in the documentation is drawn from it.
"""

from typing import Final

CLOSED: Final = 0
LISTEN: Final = 1
SYN_SENT: Final = 2
SYN_RECEIVED: Final = 3
ESTABLISHED: Final = 4
CLOSE_WAIT: Final = 5
FIN_WAIT_1: Final = 6
CLOSING: Final = 7
LAST_ACK: Final = 8
FIN_WAIT_2: Final = 9
TIME_WAIT: Final = 10

NAMES: Final = (
    "CLOSED",
    "LISTEN",
    "SYN-SENT",
    "SYN-RECEIVED",
    "ESTABLISHED",
    "CLOSE-WAIT",
    "FIN-WAIT-1",
    "CLOSING",
    "LAST-ACK",
    "FIN-WAIT-2",
    "TIME-WAIT",
)

# RFC 9293 §3.3.2, figure 5, and the resets and timeouts of §3.10
TRANSITIONS: Final[dict[int, tuple[int, ...]]] = {
    CLOSED: (LISTEN, SYN_SENT, SYN_RECEIVED, ESTABLISHED),  # ESTABLISHED: a SYN cookie came back
    LISTEN: (SYN_RECEIVED, SYN_SENT, CLOSED),
    SYN_SENT: (SYN_RECEIVED, ESTABLISHED, CLOSED),
    SYN_RECEIVED: (ESTABLISHED, FIN_WAIT_1, CLOSE_WAIT, CLOSED),
    ESTABLISHED: (FIN_WAIT_1, CLOSE_WAIT, CLOSED),
    CLOSE_WAIT: (LAST_ACK, CLOSED),
    FIN_WAIT_1: (FIN_WAIT_2, CLOSING, TIME_WAIT, CLOSED),
    CLOSING: (TIME_WAIT, CLOSED),
    LAST_ACK: (CLOSED,),
    FIN_WAIT_2: (TIME_WAIT, CLOSED),
    TIME_WAIT: (CLOSED,),
}
