"""Path MTUs learned from routers (RFC 1191).

Theory of operation.  One bounded table of destinations whose path MTU is below that of the first link.  An estimate is
only ever lowered by news and forgotten after `timeout` (RFC 1191 §6.3), so that a larger one is tried again; entries
are kept in the order in which they expire.
"""

from collections import OrderedDict
from typing import Final

from stack.config import NEVER
from stack.wire.ipv4 import MIN_MTU

MAX_ENTRIES: Final = 4096
# RFC 1191 §7.1: likely MTUs, for routers that do not tell
PLATEAUS: Final = (65_535, 32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, MIN_MTU)


def plateau_below(length: int) -> int:
    """The next likely MTU under the length of a datagram that was too big.  RFC 1191 §5, §7."""
    return next((p for p in PLATEAUS if p < length), MIN_MTU)


class PmtuTable:
    """Destination -> path MTU."""

    __slots__ = ("_entries", "_timeout_us")

    def __init__(self, timeout_us: int) -> None:
        self._entries: OrderedDict[int, tuple[int, int]] = OrderedDict()  # dst -> (mtu, expires at)
        self._timeout_us = timeout_us

    def get(self, dst: int, link_mtu: int) -> int:
        """The path MTU to a destination over a link of `link_mtu`."""
        entry = self._entries.get(dst)
        return link_mtu if entry is None or entry[0] > link_mtu else entry[0]

    def lower(self, dst: int, mtu: int, now: int) -> bool:
        """Note a smaller MTU (bytes, at least 68 is kept: RFC 1191 §3).  False when it is no news."""
        mtu = max(mtu, MIN_MTU)
        entry = self._entries.get(dst)
        if entry is not None and entry[0] <= mtu:
            return False
        while len(self._entries) >= MAX_ENTRIES:
            self._entries.popitem(last=False)
        self._entries.pop(dst, None)
        self._entries[dst] = (mtu, now + self._timeout_us)
        return True

    @property
    def deadline(self) -> int:
        """When the oldest estimate ends."""
        return next(iter(self._entries.values()))[1] if self._entries else NEVER

    def on_timer(self, now: int) -> bool:
        """Forget old estimates; True when any was."""
        forgot = False
        while self._entries and self.deadline <= now:
            self._entries.popitem(last=False)
            forgot = True
        return forgot

    def snapshot(self) -> dict[int, int]:
        """Destination -> MTU."""
        return {dst: mtu for dst, (mtu, _) in self._entries.items()}
