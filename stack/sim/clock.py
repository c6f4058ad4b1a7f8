"""A clock that stands still until it is moved."""

from stack.config import MS, SECOND


class VirtualClock:
    """`now` is in microseconds; calling the clock reads it, as with any clock given to a device."""

    __slots__ = ("now",)

    def __init__(self, now: int = 0) -> None:
        self.now = now

    def __call__(self) -> int:
        """The time, in microseconds."""
        return self.now

    def advance(self, *, us: int = 0, ms: int = 0, s: int = 0) -> int:
        """Move on by the sum of the arguments; the new time."""
        return self.jump_to(self.now + us + ms * MS + s * SECOND)

    def jump_to(self, at: int) -> int:
        """Move to `at`, which must not lie in the past; the new time."""
        if at < self.now:
            raise ValueError(f"time {at} is before {self.now}")
        self.now = at
        return at
