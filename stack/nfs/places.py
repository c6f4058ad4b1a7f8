"""Where in the export an inode is: its directory and its name there, as far as it is known.

Theory of operation.  What a handle was given out for is learnt here, and what is renamed or removed through this server
is noted.  The table is a memory and no authority: whoever follows a way from here looks whether the inode at its end is
the right one, and searches the export if it is not (see `tree`).  So it may be wrong, or empty as after a restart.

The ways of all are bounded by `capacity`; those not used for the longest are forgotten.  A directory is used whenever
something below it is, so it is not forgotten before that.

`gone` remembers some files that do not exist any more, so that their handles cost no search.
"""

from collections import OrderedDict
from threading import Lock
from typing import Final, NamedTuple

CAPACITY: Final = 200_000
MAX_GONE: Final = 10_000
MAX_DEPTH: Final = 512  # directories in one another


class Place(NamedTuple):
    """Of an inode: the inode of its directory, and the name there."""

    parent: int
    name: bytes


class Places:
    """See the head of this file.  Used by several threads."""

    __slots__ = ("_capacity", "_gone", "_lock", "_places", "_root")

    def __init__(self, root: int, capacity: int = CAPACITY) -> None:
        self._root = root
        self._capacity = capacity
        self._places: OrderedDict[int, Place] = OrderedDict()  # the one used last at the end
        self._gone: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """Places known."""
        return len(self._places)

    @property
    def has_room(self) -> bool:
        """Whether one more can be learnt without forgetting another."""
        return len(self._places) < self._capacity

    def learn(self, ino: int, parent: int, name: bytes, birth: int | None = None) -> None:
        """An inode was seen there; with its birth, if it was looked at itself."""
        if ino == self._root:
            return
        with self._lock:
            if birth is not None and self._gone:
                self._gone.pop((ino, birth), None)
            self._places[ino] = Place(parent, name)
            self._places.move_to_end(ino)
            while len(self._places) > self._capacity:
                self._places.popitem(last=False)

    def forget(self, ino: int) -> None:
        """It is not where it was."""
        with self._lock:
            self._places.pop(ino, None)

    def parent_of(self, ino: int) -> int | None:
        """The inode of its directory."""
        place = self._places.get(ino)
        return None if place is None else place.parent

    def way_to(self, ino: int) -> list[bytes] | None:
        """The names from the root to it, none for the root itself; None if it is not known."""
        way: list[bytes] = []
        with self._lock:
            while ino != self._root:
                place = self._places.get(ino)
                if place is None or len(way) >= MAX_DEPTH:
                    return None
                self._places.move_to_end(ino)
                way.append(place.name)
                ino = place.parent
        way.reverse()
        return way

    def bury(self, ino: int, birth: int) -> None:
        """It does not exist any more."""
        with self._lock:
            self._places.pop(ino, None)
            self._gone[ino, birth] = None
            self._gone.move_to_end((ino, birth))
            if len(self._gone) > MAX_GONE:
                self._gone.popitem(last=False)

    def is_gone(self, ino: int, birth: int) -> bool:
        """Whether it is known not to exist any more."""
        return (ino, birth) in self._gone
