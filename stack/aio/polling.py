"""How long a driver keeps its loop awake for the next frame.

Theory of operation.  To sleep and be woken costs some microseconds, and in a virtual machine tens of them; where the
next frame is closer than that, it is cheaper to stay awake.  So after a burst the loop goes round and round, and asks
its descriptors in each round, for as long as lately frames have come within `limit_us`: the time doubles with each that
did, and is halved by each that did not, as in KVM's halt polling (Linux, virt/kvm/halt-polling.rst).  Callbacks and
descriptors of others have their turn in each round, and the device none but its own: to read it more often than once a
round makes bursts of one frame each.  A device on which little happens keeps nobody awake.
"""

from typing import Final

POLL_US: Final = 100  # at most, unless told otherwise
MAX_POLL_US: Final = 10_000  # of what may be told: for longer it is sleep that is cheaper, on any machine
FIRST_US: Final = 12


class Polling:
    """Of one device; times are microseconds of the driver's clock."""

    __slots__ = ("_dry_at", "_limit_us", "_until", "poll_us")

    def __init__(self, limit_us: int = POLL_US) -> None:
        self._limit_us = limit_us
        self.poll_us = 0  # how long the loop is kept awake after a burst
        self._dry_at = 0  # since then no frame has come
        self._until = 0

    def on_frames(self, now: int) -> None:
        """The first burst after `on_dry`."""
        if now - self._dry_at <= self._limit_us:
            self.poll_us = min(2 * self.poll_us or FIRST_US, self._limit_us)
        else:
            self.poll_us >>= 1

    def on_dry(self, now: int, *, had_frames: bool) -> bool:
        """There is no frame now, perhaps after some; whether the loop is to go round once more."""
        if had_frames:
            self._dry_at = now
            self._until = now + self.poll_us
        return now < self._until
