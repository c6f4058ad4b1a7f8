"""One queue of deadlines for all connections of a host.

Theory of operation.  A connection is filed under one time, its `host_at`.  An earlier deadline files it anew; a later
one changes nothing: it is looked at in vain and filed anew then.  So a retransmission timer that every ACK pushes out
costs nothing here.  `_filed` has who is filed under a time, one connection or several in their order; `_heap` has those
times, each an int, which is cheap to compare, and perhaps some under which nobody is filed any more.
"""

from heapq import heapify, heappop, heappush
from typing import Final

from stack.config import NEVER
from stack.tcp.connection import Connection

COMPACT_FROM: Final = 1024  # times under which nobody is filed, before they are swept out


class TimerQueue:
    """Deadlines in microseconds."""

    __slots__ = ("_filed", "_heap")

    def __init__(self) -> None:
        self._filed: dict[int, Connection | dict[Connection, None]] = {}
        self._heap: list[int] = []

    def __len__(self) -> int:
        """Return the number of connections with a deadline."""
        return sum(len(who) if isinstance(who, dict) else 1 for who in self._filed.values())

    @property
    def deadline(self) -> int:
        """When the next connection may be due; NEVER when there is none."""
        heap = self._heap
        while heap and heap[0] not in self._filed:
            heappop(heap)
        return heap[0] if heap else NEVER

    def update(self, conn: Connection) -> None:
        """See whether the connection's deadline moved forward."""
        at = conn.timers.deadline
        if at >= conn.host_at:
            return
        self.remove(conn)
        conn.host_at = at
        who = self._filed.get(at)
        if isinstance(who, dict):
            who[conn] = None
        elif who is not None:
            self._filed[at] = {who: None, conn: None}
        else:
            self._filed[at] = conn
            heap = self._heap
            heappush(heap, at)
            if len(heap) > COMPACT_FROM + 2 * len(self._filed):
                self._heap = list(self._filed)
                heapify(self._heap)

    def remove(self, conn: Connection) -> None:
        """Forget a connection, which is gone or filed anew."""
        at = conn.host_at
        if at == NEVER:
            return
        conn.host_at = NEVER
        who = self._filed.get(at)
        if who is conn:
            del self._filed[at]
        elif isinstance(who, dict):
            who.pop(conn, None)
            if not who:
                del self._filed[at]

    def due(self, now: int) -> list[Connection]:
        """Those whose time has come, in its order.  Until each one's turn `host_at` says that it was not removed."""
        found: list[Connection] = []
        heap = self._heap
        while heap and heap[0] <= now:
            who = self._filed.pop(heappop(heap), None)
            if isinstance(who, dict):
                found += who
            elif who is not None:
                found.append(who)
        return found
