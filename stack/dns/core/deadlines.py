"""One queue of deadlines: a lazy heap.

Theory of operation.  An owner has at most one live entry: the one whose serial number is in its `timer`.  Setting or
cancelling it makes the older entry worthless; worthless entries are skipped when they come up, and swept out when they
are the majority.  Nearly every deadline of a resolver is cancelled, so this has to cost little.
"""

from heapq import heapify, heappop, heappush
from typing import Final, Protocol

COMPACT_FROM: Final = 1024  # entries, before worthless ones are swept out


class Timed(Protocol):
    """What may have a deadline; `timer` begins as 0 and belongs to the queue."""

    timer: int


class Deadlines:
    """Deadlines in microseconds."""

    __slots__ = ("_heap", "_live", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timed]] = []
        self._serial = 0
        self._live = 0

    def __len__(self) -> int:
        """Return the number of owners with a deadline."""
        return self._live

    @property
    def deadline(self) -> int | None:
        """The earliest one, None when there is none."""
        heap = self._heap
        if not self._live:
            heap.clear()
            return None
        while heap[0][2].timer != heap[0][1]:
            heappop(heap)
        return heap[0][0]

    def set(self, owner: Timed, at: int) -> None:
        """Give an owner its deadline, instead of the one it has."""
        if not owner.timer:
            self._live += 1
        self._serial = owner.timer = self._serial + 1
        heap = self._heap
        heappush(heap, (at, owner.timer, owner))
        if len(heap) > COMPACT_FROM and len(heap) > 2 * self._live:
            self._heap = [entry for entry in heap if entry[2].timer == entry[1]]
            heapify(self._heap)

    def cancel(self, owner: Timed) -> None:
        """Take it away; nothing happens when there is none."""
        if owner.timer:
            owner.timer = 0
            self._live -= 1

    def pop_due(self, now: int) -> Timed | None:
        """An owner whose deadline has come, and which has none now; or None."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            _, serial, owner = heappop(heap)
            if owner.timer == serial:
                owner.timer = 0
                self._live -= 1
                return owner
        return None
