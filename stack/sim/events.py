"""What is due next: a heap of deadlines, for links, hosts and scheduled actions.

Theory of operation.  A source has one live entry at most, told by its `queued_at`.  An earlier deadline makes a
new entry and leaves the old one to be skipped; a later one changes nothing: the entry comes up, is seen to
be early, and is made anew.  So the cost of an event does not depend on how many links and hosts there are, and
a deadline that moves out with every packet costs nothing.  Ties go by order of insertion.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

from stack.config import NEVER


class Source(Protocol):
    """Something that wants to act at a time of its own."""

    queued_at: int  # the time of its live entry, kept by EventQueue; NEVER: it has none

    def due_at(self) -> int:
        """When it wants to act, in microseconds; NEVER if it does not."""

    def fire(self, now: int) -> None:
        """Act."""


class EventQueue:
    """Sources by deadline; see the head of this file."""

    __slots__ = ("_heap", "_serial")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Source]] = []
        self._serial = 0

    def schedule(self, source: Source, at: int) -> None:
        """See that `source` comes up at `at` (microseconds), or earlier if it was to."""
        if at < source.queued_at:
            source.queued_at = at
            self._serial += 1
            heappush(self._heap, (at, self._serial, source))

    def next_at(self) -> int:
        """When the first source is due; NEVER when none will be."""
        heap = self._heap
        while heap:
            at, _, source = heap[0]
            if source.queued_at == at:
                due_at = source.due_at()
                if due_at <= at:
                    return at
                source.queued_at = NEVER
                heappop(heap)
                self.schedule(source, due_at)
            else:
                heappop(heap)
        return NEVER

    def take(self) -> Source:
        """The source that `next_at` told of, which has no entry any more."""
        source = heappop(self._heap)[2]
        source.queued_at = NEVER
        return source


class Action:
    """Something to do once, at a time decided beforehand."""

    __slots__ = ("_act", "_at", "_done", "queued_at")

    def __init__(self, at: int, act: Callable[[], object], done: Callable[[], None]) -> None:
        self._at = at
        self._act = act
        self._done = done
        self.queued_at = NEVER

    def due_at(self) -> int:
        """As given."""
        return self._at

    def fire(self, now: int) -> None:
        """Do it, once."""
        assert now >= self._at
        self._at = NEVER
        self._act()
        self._done()
