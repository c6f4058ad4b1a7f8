"""Neighbours on the links and their link addresses (RFC 826, RFC 1122 §2.3.2, RFC 4861 §7.3).

Theory of operation.  One table for all interfaces; an interface on a link without a link layer has
one neighbour only (`add_direct`) and nothing to resolve.  An entry moves through the states of RFC 4861 §7.3.2:

    INCOMPLETE  asked by broadcast, frames wait          -> REACHABLE on a reply, FAILED after `tries`
    REACHABLE   confirmed lately                         -> STALE after `reachable_us`
    STALE       link address known, truth unknown        -> DELAY when it is used
    DELAY       used; a transport may still confirm      -> PROBE after DELAY_US
    PROBE       asked, first by unicast (RFC 1122        -> REACHABLE on a reply with the address we have,
                §2.3.2.1), then by broadcast                FAILED after `tries`
    FAILED      frames are refused for `failed_us`, then the next use asks again

The table does no output: what has to be asked is put in `requests`, frames that can go in `released`, failures in
`failures`, and whoever answers after a failure in `recovered`; the owner drains these after each call.  `generation`
is raised when a link address that a Path may have in its prefix is no longer to be used without asking the table: it
changed, aged or failed.

When the table is full, the oldest entry that never proved reachable makes room, so that a flood of invented senders or
destinations evicts only its like; after those the least recently used one that is not permanent.
"""

from collections import OrderedDict, deque
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final

from stack.config import NEVER, SECOND, IpConfig
from stack.stats import DropReason, Stats
from stack.wire.addr import MAC_ZERO, format_addr, format_mac

INCOMPLETE: Final = 0
REACHABLE: Final = 1
STALE: Final = 2
DELAY: Final = 3
PROBE: Final = 4
FAILED: Final = 5
STATE_NAMES: Final = ("INCOMPLETE", "REACHABLE", "STALE", "DELAY", "PROBE", "FAILED")

DELAY_US: Final = 5 * SECOND  # RFC 4861 §10, DELAY_FIRST_PROBE_TIME
PACKET_BYTES: Final = 512  # what a packet that waits counts besides its own bytes: many small ones take memory, too


def _cost(frames: list[bytes]) -> int:
    return PACKET_BYTES + sum(map(len, frames))


class Neighbor:
    """One entry.  `mac` is zero until known."""

    __slots__ = (
        "addr",
        "armed_at",
        "deadline",
        "ifindex",
        "mac",
        "permanent",
        "queue",
        "queue_bytes",
        "requested_at",
        "state",
        "tries",
    )

    def __init__(self, ifindex: int, addr: int) -> None:
        self.ifindex = ifindex
        self.addr = addr
        self.mac = MAC_ZERO
        self.state = INCOMPLETE
        self.permanent = False
        self.queue: deque[list[bytes]] = deque()  # one item a packet: its frames, more than one when fragmented
        self.queue_bytes = 0
        self.tries = 0
        self.requested_at = -SECOND  # when it was last asked
        self.deadline = NEVER
        self.armed_at = NEVER  # the earliest entry of this neighbour in the heap

    def is_usable(self) -> bool:
        """Frames may be sent to `mac`."""
        return REACHABLE <= self.state <= PROBE


class NeighborTable:
    """See the head of this file."""

    __slots__ = (
        "_config",
        "_direct",
        "_entries",
        "_heap",
        "_pushes",
        "_stats",
        "_unproven",
        "failures",
        "generation",
        "recovered",
        "released",
        "requests",
    )

    def __init__(self, config: IpConfig, stats: Stats) -> None:
        self._config = config
        self._stats = stats
        self._direct: dict[int, Neighbor] = {}  # by ifindex: whom everything on a link without a link layer goes to
        self._entries: OrderedDict[tuple[int, int], Neighbor] = OrderedDict()
        self._unproven: dict[tuple[int, int], None] = {}  # keys of entries that are not known to be reachable
        self._heap: list[tuple[int, int, Neighbor]] = []
        self._pushes = 0
        self.generation = 0
        self.requests: list[tuple[Neighbor, bool]] = []  # (whom to ask about, by unicast)
        self.released: list[tuple[Neighbor, list[bytes]]] = []  # frames whose destination is now known
        self.failures: list[tuple[Neighbor, list[bytes]]] = []  # gave up; with the first frames of what waited
        self.recovered: list[Neighbor] = []  # failed before, known again

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, ifindex: int, addr: int) -> Neighbor | None:
        """The entry, without using it."""
        return self._entries.get((ifindex, addr))

    # --- use -------------------------------------------------------------------------------------------------------

    def add_direct(self, ifindex: int) -> None:
        """Nothing is resolved on this interface: one neighbour, always reachable, stands for every next hop."""
        entry = self._direct[ifindex] = Neighbor(ifindex, 0)
        entry.permanent = True
        entry.state = REACHABLE

    def use(self, ifindex: int, addr: int, now: int) -> Neighbor:
        """The entry for a next hop about to be sent to; starts resolution or a check if one is due.

        The caller sends if `is_usable`, else hands the frame to `enqueue`.
        """
        direct = self._direct.get(ifindex)
        if direct is not None:
            return direct
        key = (ifindex, addr)
        entry = self._entries.get(key)
        if entry is None:
            entry = self._insert(key)
            self._ask(entry, now)
            return entry
        self._entries.move_to_end(key)
        if entry.state == STALE:
            entry.state = DELAY
            self._arm(entry, now + DELAY_US)
        elif entry.state == FAILED:
            entry.state = INCOMPLETE
            entry.tries = 0
            self._ask(entry, now)
        return entry

    def enqueue(self, entry: Neighbor, frames: list[bytes]) -> bool:
        """Keep the finished frames of one packet until the neighbour answers.  False: it has failed, nothing is kept.

        RFC 1122 §2.3.2.2 (ARP-5): the latest packets are kept, the oldest make room.
        """
        if entry.state == FAILED:
            self._stats.drops[DropReason.ARP_FAILED] += 1
            return False
        entry.queue.append(frames)
        entry.queue_bytes += _cost(frames)
        while len(entry.queue) > self._config.arp_queue_frames or entry.queue_bytes > self._config.arp_queue_bytes:
            entry.queue_bytes -= _cost(entry.queue.popleft())
            self._stats.drops[DropReason.ARP_QUEUE_FULL] += 1
        return True

    def waiting(self) -> Iterator[list[bytes]]:
        """The frames of each packet that waits for a neighbour."""
        for entry in self._entries.values():
            yield from entry.queue

    # --- news ------------------------------------------------------------------------------------------------------

    def learn(self, ifindex: int, addr: int, mac: bytes, now: int, *, create: bool, solicited: bool) -> None:
        """An ARP packet told a sender's addresses.

        RFC 826 (ARP-1): an existing entry is updated by any packet; a new one is made only with `create`, when we
        are the target.  `solicited`: it answers us, so the neighbour is reachable now; else it only exists.
        """
        entry = self._entries.get((ifindex, addr))
        if entry is None:
            if not create:
                return
            entry = self._insert((ifindex, addr))
        elif entry.permanent:
            return
        usable = entry.is_usable()
        changed = entry.mac != mac
        if changed and usable:
            self.generation += 1
        entry.mac = mac
        if entry.state == FAILED or entry.tries > 0:
            self.recovered.append(entry)
        if solicited and not (usable and changed):
            self._reachable(entry, now)
        elif not usable:
            # Frames that waited count as use.
            entry.state = DELAY if entry.queue else STALE
            self._arm(entry, now + DELAY_US if entry.queue else NEVER)
        elif changed:
            # It contradicts what was known: believed for now (RFC 826), but all are asked at once who is right, and who
            # answers that differently is asked again: one forged answer would else stand until the entry ages.
            entry.state = PROBE
            entry.tries = 1
            self._ask(entry, now)
        self._release(entry)

    def confirm(self, entry: Neighbor, now: int) -> None:
        """A transport saw forward progress through this neighbour.  RFC 4861 §7.3.1."""
        if entry.is_usable() and not entry.permanent:
            self._reachable(entry, now)

    def doubt(self, entry: Neighbor, now: int) -> None:
        """A transport gets no answer through this neighbour (RFC 1122 §3.3.1.4): ask it at once, by unicast."""
        if entry.state in (REACHABLE, STALE, DELAY) and not entry.permanent:
            entry.state = PROBE
            entry.tries = 0
            self._ask(entry, now)

    def add_permanent(self, ifindex: int, addr: int, mac: bytes) -> None:
        """A static entry; neither aged, evicted nor changed by ARP."""
        key = (ifindex, addr)
        entry = self._entries.get(key) or self._insert(key)
        self._unproven.pop(key, None)
        entry.permanent = True
        entry.mac = mac
        entry.state = REACHABLE
        self._arm(entry, NEVER)
        self.generation += 1
        self._release(entry)

    def forget_interface(self, ifindex: int) -> None:
        """The interface went away."""
        self._direct.pop(ifindex, None)
        for key in [k for k in self._entries if k[0] == ifindex]:
            self._remove(key)

    # --- time ------------------------------------------------------------------------------------------------------

    @property
    def deadline(self) -> int:
        """When `on_timer` wants to be called."""
        return self._heap[0][0] if self._heap else NEVER

    def on_timer(self, now: int) -> None:
        """Age, ask again or give up."""
        while self._heap and self._heap[0][0] <= now:
            entry = heappop(self._heap)[2]
            entry.armed_at = NEVER
            if entry.deadline > now:
                if entry.deadline < NEVER:
                    self._arm(entry, entry.deadline)
                continue
            self._expire(entry, now)

    def _expire(self, entry: Neighbor, now: int) -> None:
        if entry.state == REACHABLE:
            entry.state = STALE
            entry.deadline = NEVER
            self.generation += 1
        elif entry.state == DELAY:
            entry.state = PROBE
            entry.tries = 0
            self._ask(entry, now)
        elif entry.state in (INCOMPLETE, PROBE):
            if entry.tries < self._config.arp_tries:
                self._ask(entry, now)
            else:
                self._fail(entry)

    def _ask(self, entry: Neighbor, now: int) -> None:
        """Request now, or when a second has passed since the last one.  RFC 1122 §2.3.2.1 (ARP-4)."""
        allowed_at = entry.requested_at + self._config.arp_retry_us
        if now < allowed_at:
            self._arm(entry, allowed_at)
            return
        entry.tries += 1
        entry.requested_at = now
        # By unicast once; a neighbour that moved, or never was there, needs a broadcast.
        self.requests.append((entry, entry.state == PROBE and entry.tries == 1))
        self._arm(entry, now + self._config.arp_retry_us)

    def _fail(self, entry: Neighbor) -> None:
        if entry.is_usable():
            self.generation += 1
        self._unproven[entry.ifindex, entry.addr] = None
        entry.state = FAILED
        entry.mac = MAC_ZERO
        entry.deadline = NEVER
        frames = [packet[0] for packet in entry.queue]
        entry.queue.clear()
        entry.queue_bytes = 0
        self._stats.drops[DropReason.ARP_FAILED] += len(frames)
        self.failures.append((entry, frames))

    def _reachable(self, entry: Neighbor, now: int) -> None:
        self._unproven.pop((entry.ifindex, entry.addr), None)
        entry.state = REACHABLE
        entry.tries = 0
        self._arm(entry, now + self._config.arp_reachable_us)

    def _release(self, entry: Neighbor) -> None:
        if entry.queue:
            self.released += [(entry, frames) for frames in entry.queue]
            entry.queue.clear()
            entry.queue_bytes = 0

    # --- bounds ----------------------------------------------------------------------------------------------------

    def _insert(self, key: tuple[int, int]) -> Neighbor:
        while len(self._entries) >= self._config.arp_entries:
            victim = next(iter(self._unproven), None) or next(
                (k for k, e in self._entries.items() if not e.permanent), None
            )
            if victim is None:
                break  # only static entries are left: those are the administrator's bound
            self._remove(victim)
            self._stats.drops[DropReason.ARP_TABLE_FULL] += 1
        entry = Neighbor(*key)
        self._entries[key] = entry
        self._unproven[key] = None
        return entry

    def _remove(self, key: tuple[int, int]) -> None:
        entry = self._entries.pop(key)
        self._unproven.pop(key, None)
        if entry.is_usable():
            self.generation += 1
        self._stats.drops[DropReason.ARP_QUEUE_FULL] += len(entry.queue)
        entry.queue.clear()
        entry.state = FAILED
        entry.deadline = NEVER

    def _arm(self, entry: Neighbor, at: int) -> None:
        entry.deadline = at
        if at >= entry.armed_at:
            return
        entry.armed_at = at
        self._pushes += 1
        heappush(self._heap, (at, self._pushes, entry))
        if len(self._heap) > 4 * self._config.arp_entries + 64:
            self._rebuild_heap()

    def _rebuild_heap(self) -> None:
        """Get rid of what evicted or re-armed entries left behind."""
        self._heap.clear()
        for n, entry in enumerate(self._entries.values()):
            entry.armed_at = entry.deadline
            if entry.deadline < NEVER:
                self._heap.append((entry.deadline, n, entry))
        self._pushes = max(self._pushes, len(self._heap))
        heapify(self._heap)

    def snapshot(self) -> list[dict[str, object]]:
        """For `tapstack status`."""
        return [
            {
                "ifindex": e.ifindex,
                "addr": format_addr(e.addr),
                "mac": format_mac(e.mac) if any(e.mac) else None,
                "state": "PERMANENT" if e.permanent else STATE_NAMES[e.state],
                "queued": len(e.queue),
            }
            for e in self._entries.values()
        ]
