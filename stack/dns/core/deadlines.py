"""One queue of deadlines: a lazy heap.

Theory of operation.  An entry of the heap is one number, a deadline over a serial number, and a table says whose it is;
the owner has the number, too, in its `timer`.  Setting or cancelling a deadline takes the older entry out of the table,
which makes it worthless; worthless entries are skipped when they come up, and swept out when they are the majority.
Nearly every deadline of a resolver is cancelled, so this has to cost little, and must not keep an owner that is done.
"""

from heapq import heapify, heappop, heappush
from typing import Final, Protocol

COMPACT_FROM: Final = 1024  # entries, before worthless ones are swept out
_SERIAL_BITS: Final = 14  # so that an entry is a machine word for nine years
_SERIALS: Final = (1 << _SERIAL_BITS) - 1


class Timed(Protocol):
    """What may have a deadline; `timer` begins as 0 and belongs to the queue."""

    timer: int


class Deadlines:
    """Deadlines in microseconds."""

    __slots__ = ("_heap", "_owners", "_serial")

    def __init__(self) -> None:
        self._heap: list[int] = []
        self._owners: dict[int, Timed] = {}  # by entry
        self._serial = 0

    def __len__(self) -> int:
        """Return the number of owners with a deadline."""
        return len(self._owners)

    @property
    def deadline(self) -> int | None:
        """The earliest one, None when there is none."""
        heap, owners = self._heap, self._owners
        if not owners:
            heap.clear()
            return None
        while heap[0] not in owners:
            heappop(heap)
        return heap[0] >> _SERIAL_BITS

    def set(self, owner: Timed, at: int) -> None:
        """Give an owner its deadline, instead of the one it has."""
        self.cancel(owner)
        heap, owners = self._heap, self._owners
        serial = self._serial = (self._serial + 1) & _SERIALS
        entry = at << _SERIAL_BITS | serial
        while entry in owners:  # of as many that are due in one microsecond as there are serial numbers
            entry += 1
        owner.timer = entry
        owners[entry] = owner
        heappush(heap, entry)
        if len(heap) > COMPACT_FROM and len(heap) > 2 * len(owners):
            heap[:] = owners
            heapify(heap)

    def cancel(self, owner: Timed) -> None:
        """Take it away; nothing happens when there is none."""
        if owner.timer:
            del self._owners[owner.timer]
            owner.timer = 0

    def pop_due(self, now: int) -> Timed | None:
        """An owner whose deadline has come, and which has none now; or None."""
        heap = self._heap
        while heap and heap[0] >> _SERIAL_BITS <= now:
            owner = self._owners.pop(heappop(heap), None)
            if owner is not None:
                owner.timer = 0
                return owner
        return None
