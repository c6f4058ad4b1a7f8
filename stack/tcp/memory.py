"""The memory that the connections of one host may hold together.

Theory of operation.  A `Budget` is an account shared by all connections of a host.  Whoever holds data of a peer or
an application books it here: the connection itself for its objects, the read queue and the send buffer in steps of
`QUANTUM` (so a segment costs an integer compare), the out-of-order queue exactly.  What is booked is what Python
really takes, overhead included, and never less.

`used` moves through three zones:
 * below `pressure_at`: everybody grows;
 * from there on windows and send buffers go back to their initial sizes (edges already offered stay,
   RFC 9293 §3.8.6, MUST-34);
 * from `reserve_at` on no new connections, no more data out of order, and what the application has not read yet gets
   no company: text is refused as if the path had lost it.  A connection whose queues are empty may still take or
   queue `ESSENTIAL` bytes at a time, up to `limit`, so one that is read goes on while others sit on their data.

Data out of order is not acknowledged and may be thrown away (RFC 2018 §8).  That is the last resort: when data in
order would not fit below `reserve_at`, the queues that have held it for longest give up their newest data first.

What connections need for a moment only, while an ACK is taken, they share: it is here, too (`sample`).  And what they
need while data is on its way, those that come to rest leave to the next ones (`Spares`).
"""

from typing import Final, Protocol

from stack.config import NEVER
from stack.tcp.congestion.base import AckSample
from stack.tcp.scoreboard import Scoreboard

QUANTUM: Final = 4096  # data in order is booked in steps of this
ESSENTIAL: Final = 4096  # what a connection without data may hold although memory is short
REPAY_FROM: Final = 64 << 10  # read or acknowledged before less is booked, unless nothing is left
UNBOOKED: Final = 1 << 60  # paid for, as far as a connection that has left its host is concerned
UNLIMITED: Final = 1 << 50
FREE_BYTES: Final = 512  # of each queue, booked with the connection itself
CONNECTION_BYTES: Final = 3840  # a connection, its free bytes and its transport (measured: 1.9 KiB at rest, 2.7 in use)
SPARES: Final = 64  # tables, and scoreboards; and
SPARES_SHIFT: Final = 15  # one more for so much of what is booked: both take 0.5 KiB, eight connections book 30 KiB
OVERHEAD_SHIFT: Final = 3  # objects that hold small pieces take up to an eighth more than the bytes in them


class Prunable(Protocol):
    """Holds data that can be thrown away."""

    def prune(self, cost: int) -> int:
        """Throw away enough to free `cost` bytes; returns what was freed."""


class Spares:
    """Blank parts of connections that came to rest, `limit` of each kind at most.

    Each is or holds a list, which the collector of cycles counts when it is made and looks through when there are many:
    with requests on 100 000 connections in turn it would pass over all of them every second.
    """

    __slots__ = ("boards", "limit", "tables")

    def __init__(self) -> None:
        self.limit = SPARES
        self.tables: list[list[int]] = []  # of timers, none of which runs
        self.boards: list[Scoreboard] = []

    def check_invariants(self) -> None:
        """Raise AssertionError when a part is not blank, or here twice."""
        assert all(min(table) == NEVER for table in self.tables)
        assert all(board.is_blank() for board in self.boards)
        parts: list[object] = [*self.tables, *self.boards]
        assert len({id(part) for part in parts}) == len(parts)


class Budget:
    """Bytes booked (`used`) and allowed (`limit`); see the head of this file."""

    # fmt: off
    __slots__ = (
        "limit", "peak", "pressure_at", "prunable", "pruned", "refused", "reserve_at", "sample", "spares", "used",
    )
    # fmt: on

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.pressure_at = limit // 8 * 6
        self.reserve_at = limit // 8 * 7
        self.used = 0
        self.peak = 0
        self.sample = AckSample()  # filled anew for each ACK
        self.spares = Spares()
        self.pruned = 0  # bytes, overhead included
        self.refused = 0  # times that data was refused
        self.prunable: dict[Prunable, None] = {}  # in the order in which they began to hold something

    @property
    def short(self) -> bool:
        """Whether only the reserve is left."""
        return self.used >= self.reserve_at

    def book(self, cost: int) -> None:
        """`cost` bytes more are held (fewer if negative)."""
        self.used += cost
        self.spares.limit = SPARES + (self.used >> SPARES_SHIFT)
        if self.used > self.peak:
            self.peak = self.used

    def book_data(self, nbytes: int) -> None:
        """The same for `nbytes` of data and the objects that hold them; a multiple of `QUANTUM`."""
        self.used += nbytes + (nbytes >> OVERHEAD_SHIFT)
        if self.used > self.peak:
            self.peak = self.used

    def make_room(self, cost: int) -> bool:
        """Whether `cost` bytes more fit below the reserve, if need be after throwing data away."""
        if self.used + cost <= self.reserve_at:
            return True
        prunable = self.prunable
        while prunable and self.used + cost > self.reserve_at:
            oldest = next(iter(prunable))
            freed = oldest.prune(self.used + cost - self.reserve_at)
            self.pruned += freed
            if not freed:
                del prunable[oldest]
        return self.used + cost <= self.reserve_at

    def snapshot(self) -> dict[str, object]:
        """For `tapstack status`."""
        used = self.used
        zone = "short" if used >= self.reserve_at else "pressure" if used >= self.pressure_at else "normal"
        return {
            "limit": self.limit,
            "used": used,
            "peak": self.peak,
            "state": zone,
            "pruned": self.pruned,
            "refused": self.refused,
        }
