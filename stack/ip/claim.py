r"""Claiming an IPv4 address on a link: probe, announce, defend (RFC 5227).

Theory of operation.  One `AddressClaim` per configured address, a small machine driven by `on_timer` and by the ARP
packets heard on the interface:

    WAITING -> PROBING (PROBE_NUM probes) -> ANNOUNCING (ANNOUNCE_NUM announcements) -> HELD
       \-----------\-> LOST: another host uses or claims the address

What to send is the return value: PROBE, ANNOUNCE or NOTHING.  Once announced, an address is never given up:
RFC 5227 §2.4 (c) leaves that to hosts whose address is configured by hand, which all of ours are, with at most one
defence in DEFEND_INTERVAL so that two such hosts do not flood the link.
"""

from typing import Final

from stack.config import NEVER, SECOND, Rng
from stack.wire.arp import REQUEST, Arp

# RFC 5227 §1.1
PROBE_WAIT_US: Final = 1 * SECOND
PROBE_NUM: Final = 3
PROBE_MIN_US: Final = 1 * SECOND
PROBE_MAX_US: Final = 2 * SECOND
ANNOUNCE_WAIT_US: Final = 2 * SECOND
ANNOUNCE_NUM: Final = 2
ANNOUNCE_INTERVAL_US: Final = 2 * SECOND
DEFEND_INTERVAL_US: Final = 10 * SECOND

WAITING: Final = 0
PROBING: Final = 1
ANNOUNCING: Final = 2
HELD: Final = 3
LOST: Final = 4
STATE_NAMES: Final = ("waiting", "probing", "announcing", "held", "conflict")

NOTHING: Final = 0
PROBE: Final = 1
ANNOUNCE: Final = 2


class AddressClaim:
    """The claim on one address of one interface.  `prefix_len` is kept for the owner."""

    __slots__ = ("_defended_at", "_rng", "_sent", "addr", "deadline", "ifindex", "mac", "prefix_len", "state")

    def __init__(
        self, ifindex: int, addr: int, prefix_len: int, mac: bytes, rng: Rng, now: int, *, probe: bool
    ) -> None:
        self.ifindex = ifindex
        self.addr = addr
        self.prefix_len = prefix_len
        self.mac = mac
        self._rng = rng
        self._sent = 0
        self._defended_at = now - DEFEND_INTERVAL_US
        # RFC 5227 §2.1.1: a random delay, so that hosts powered on together do not probe together
        self.state = WAITING if probe else ANNOUNCING
        self.deadline = now + (rng.randrange(PROBE_WAIT_US) if probe else 0)

    def is_proven(self) -> bool:
        """Probing is over and nobody objected."""
        return self.state in (ANNOUNCING, HELD)

    def on_timer(self, now: int) -> int:
        """What to send now: PROBE, ANNOUNCE or NOTHING."""
        if now < self.deadline:
            return NOTHING
        if self.state == WAITING:
            self.state = PROBING
        elif self.state == PROBING and self._sent == PROBE_NUM:
            self.state = ANNOUNCING
            self._sent = 0
        self._sent += 1
        if self.state == PROBING:
            last = self._sent == PROBE_NUM
            self.deadline = now + (
                ANNOUNCE_WAIT_US if last else PROBE_MIN_US + self._rng.randrange(PROBE_MAX_US - PROBE_MIN_US)
            )
            return PROBE
        self.deadline = now + ANNOUNCE_INTERVAL_US
        if self._sent == ANNOUNCE_NUM:
            self.state = HELD
            self.deadline = NEVER
        return ANNOUNCE

    def is_conflict(self, arp: Arp) -> bool:
        """Another host uses the address or, while we probe, probes for it too.  RFC 5227 §2.1.1, §2.4."""
        if arp.sha == self.mac:
            return False
        if arp.spa == self.addr:
            return True
        return not self.is_proven() and arp.op == REQUEST and arp.spa == 0 and arp.tpa == self.addr

    def on_conflict(self, now: int) -> int:
        """React to a packet that `is_conflict`: give the address up (state LOST) or defend it (ANNOUNCE)."""
        if not self.is_proven():
            self.state = LOST
            self.deadline = NEVER
            return NOTHING
        if now - self._defended_at < DEFEND_INTERVAL_US:
            return NOTHING
        self._defended_at = now
        return ANNOUNCE
