"""How long a driver goes on asking a device before it lets the process sleep.

Theory of operation.  To sleep and be woken costs some microseconds, and in a virtual machine tens of them; where the
next frame is closer than that, it is cheaper to ask for it.  So after a burst the device is read again with each round
of the loop, for as long as lately frames have come within `POLL_US`: the time doubles with each that did, and is halved
by each that did not, as in KVM's halt polling (Linux, virt/kvm/halt-polling.rst).  Callbacks and descriptors of others
have their turn in each round; a device on which little happens is not polled at all.
"""

from typing import Final

POLL_US: Final = 100  # at most
FIRST_US: Final = 12


class Polling:
    """Of one device; times are microseconds of the driver's clock."""

    __slots__ = ("_dry_at", "_until", "poll_us")

    def __init__(self) -> None:
        self.poll_us = 0  # how long it is polled after a burst
        self._dry_at = 0  # since then no frame has come
        self._until = 0

    def on_frames(self, now: int) -> None:
        """The first burst after `on_dry`."""
        if now - self._dry_at <= POLL_US:
            self.poll_us = min(2 * self.poll_us or FIRST_US, POLL_US)
        else:
            self.poll_us >>= 1

    def on_dry(self, now: int, had_frames: bool) -> bool:
        """There is no frame now, perhaps after some; whether to ask again in the loop's next round."""
        if had_frames:
            self._dry_at = now
            self._until = now + self.poll_us
        return now < self._until
