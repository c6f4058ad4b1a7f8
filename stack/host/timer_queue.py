"""One queue of deadlines for all connections of a host: a lazy heap.

Theory of operation.  A connection has at most one live entry, the HostTimer in its `host_timer` slot.  An
earlier deadline makes a new entry and empties the old one; a later one changes nothing: the entry fires in
vain and is made anew.  So a retransmission timer that every ACK pushes out costs nothing here.
"""

from heapq import heapify, heappop, heappush
from typing import Final

from stack.config import NEVER
from stack.tcp.connection import Connection, HostTimer

COMPACT_FROM: Final = 1024  # entries, before dead ones are swept out


class TimerQueue:
    """Deadlines in microseconds."""

    __slots__ = ("_dead", "_heap", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, HostTimer]] = []
        self._serial = 0
        self._dead = 0

    def __len__(self) -> int:
        """Return the number of connections with a deadline."""
        return len(self._heap) - self._dead

    @property
    def deadline(self) -> int:
        """When the next connection may be due; NEVER when there is none."""
        heap = self._heap
        while heap and heap[0][2].conn is None:
            heappop(heap)
            self._dead -= 1
        return heap[0][0] if heap else NEVER

    def update(self, conn: Connection) -> None:
        """See whether the connection's deadline moved forward."""
        at = conn.timers.deadline
        entry = conn.host_timer
        if entry is not None:
            if entry.at <= at:
                return
            entry.conn = None
            self._dead += 1
        if at == NEVER:
            conn.host_timer = None
            return
        self._serial += 1
        conn.host_timer = entry = HostTimer(at, conn)
        heappush(self._heap, (at, self._serial, entry))
        if self._dead > COMPACT_FROM and self._dead * 2 > len(self._heap):
            self._heap = [e for e in self._heap if e[2].conn is not None]
            heapify(self._heap)
            self._dead = 0

    def remove(self, conn: Connection) -> None:
        """Forget a connection that is gone."""
        entry = conn.host_timer
        if entry is not None:
            entry.conn = None
            self._dead += 1
            conn.host_timer = None

    def pop_due(self, now: int) -> Connection | None:
        """A connection whose entry is due, or None."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            conn = heappop(heap)[2].conn
            if conn is None:
                self._dead -= 1
                continue
            conn.host_timer = None
            return conn
        return None
