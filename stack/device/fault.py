"""Seeded faults of a link: queues, loss, delay, jitter, reordering, duplication, corruption, a rate limit.

Theory of operation.  A FaultModel is one direction of a link and does no I/O: `offer` takes a finished wire
frame, `poll` gives back those that have arrived, `deadline` says when it wants to be polled.  In the order in
which a link does it, a frame

1. is lost if the link is down (`cut`) or the frame longer than `max_frame`,
2. waits for the frames before it to leave at `rate`: in a drop-tail queue, where it is dropped if the queue is full,
   or in a CoDel queue (`codel.py`),
3. takes its own time to leave (a frame lost later has used the link all the same),
4. is lost, alone or in bursts (Gilbert-Elliott), or duplicated, and each copy may be damaged: one bit behind the
   Ethernet header of an IPv4 frame, which a checksum always shows; another frame is lost, as the Ethernet FCS
   would have it,
5. arrives after `delay_us` and a share of `jitter_us`, never before the frame ahead of it; a reordered
   frame is held back by `reorder_us` more and lets those behind it pass.

When a frame of a drop-tail queue leaves is known as it enters, so it is given its time of arrival at once; with CoDel
that is decided as the frame leaves.  Link time is integer nanoseconds with the remainder of the division by `rate`
carried on; frames that arrive in the same nanosecond keep their order.  All randomness comes from the `Rng` given and
is drawn only for settings that are switched on: one seed, one history.

Every frame is accounted for (`FaultCounts.under_way`), and a FaultModel never forgets: `counts` only grow.

The settings are in `fault_settings.py`; `fault_device.py` puts a FaultModel on each direction of a device.
"""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Final

from stack.config import NEVER, Rng
from stack.device.codel import ETHERTYPE_IPV4, CoDelQueue
from stack.device.fault_settings import Faults, GilbertElliott
from stack.wire.burst import MAX_FRAME
from stack.wire.frame import ETH_HLEN

NS_PER_US: Final = 1_000
NS_PER_S: Final = 1_000_000_000
IPV4_HLEN: Final = 20  # without options
COUNTS: Final = ("offered", "delivered", "delivered_bytes", "lost", "lost_in_bursts", "overflowed", "dropped",
                 "too_long", "cut", "duplicated", "corrupted", "corrupted_lost", "reordered", "marked", "queued",
                 "wait_ns", "max_wait_ns", "max_queue_frames", "max_queue_bytes")  # fmt: skip
MAX_HELD: Final = 65_536  # frames under way in one direction


class FaultCounts:
    """What one direction did with the frames it was offered."""

    __slots__ = COUNTS

    def __init__(self) -> None:
        self.offered = 0
        self.delivered = 0
        self.delivered_bytes = 0
        self.lost = 0  # by `loss` and `lose_if`
        self.lost_in_bursts = 0
        self.overflowed = 0  # the queue was full
        self.dropped = 0  # by CoDel
        self.too_long = 0
        self.cut = 0  # the link was down, or went down with the frame under way
        self.duplicated = 0  # one more copy each
        self.corrupted = 0
        self.corrupted_lost = 0  # of them, those that no checksum of their own would have shown
        self.reordered = 0
        self.marked = 0  # CE, by CoDel
        self.queued = 0  # passed the queue of a rate-limited link
        self.wait_ns = 0  # total time in that queue, until a frame began to leave
        self.max_wait_ns = 0
        self.max_queue_frames = 0  # with the one that is leaving
        self.max_queue_bytes = 0

    def by_name(self) -> dict[str, int]:
        """All of them."""
        return {name: getattr(self, name) for name in COUNTS}

    def vanished(self) -> int:
        """Frames, or copies, that did not and will not arrive."""
        gone = self.lost + self.lost_in_bursts + self.overflowed + self.dropped
        return gone + self.too_long + self.cut + self.corrupted_lost

    def under_way(self) -> int:
        """Frames, with copies, that are in the queue or on the link."""
        return self.offered + self.duplicated - self.delivered - self.vanished()


class FaultModel:
    """One direction of a link; see the module's theory of operation.

    `max_frame` is the longest frame that the link carries, in bytes, with the Ethernet header.  `on_drop`, if there is
    one, is told frames that come to grief after `offer` took them: dropped or lost behind a CoDel queue, cut, damaged.
    """

    # fmt: off
    __slots__ = ("_bounded", "_codel", "_delay_ns", "_free_at_ns", "_last_ns", "_leaving", "_line", "_order", "_plain",
                 "_remainder", "_rng", "_spell", "_strays", "counts", "deadline", "down", "faults", "max_frame",
                 "on_drop")
    # fmt: on

    def __init__(self, rng: Rng, faults: Faults | None = None) -> None:
        self._rng = rng
        self._line: deque[tuple[int, int, bytes]] = deque()  # (arrives at ns, order of insertion, frame), in order
        self._strays: list[tuple[int, int, bytes]] = []  # a heap of the same: reordered frames
        self._order = 0
        self._free_at_ns = 0  # the frame before has left by then, and `_remainder` / rate ns later
        self._remainder = 0
        self._leaving: deque[int] = deque()  # when frames will have left, of those that had not when last asked
        self._codel: CoDelQueue | None = None
        self._last_ns = 0  # latest arrival of a frame that was not reordered
        self._spell = False  # of bad luck, in the Gilbert-Elliott model
        self.max_frame = MAX_FRAME
        self.down = False
        self.counts = FaultCounts()
        self.on_drop: Callable[[bytes], None] | None = None
        self.deadline = NEVER  # microseconds: `poll` at that time gives a frame, or one leaves the CoDel queue
        self.configure(faults or Faults())

    def configure(self, faults: Faults) -> None:
        """New settings for the frames offered from now on; those under way keep their times (but for what waits
        in a CoDel queue and stays there).
        """
        codel = self._codel
        if faults.queue != "codel" or not faults.rate:
            self._drain()
        elif codel is not None:
            codel.configure(faults.codel_target_us, faults.codel_interval_us, ecn=faults.ecn)
        else:
            self._codel = CoDelQueue(faults.codel_target_us, faults.codel_interval_us, ecn=faults.ecn)
        self.faults = faults
        self._remainder = 0  # it counts in units of the old rate
        self._delay_ns = faults.delay_us * NS_PER_US
        self._bounded = faults.queue_bytes > 0 or faults.queue_frames > 0
        self._plain = not (
            faults.loss
            or faults.duplication
            or faults.corruption
            or faults.reordering
            or faults.jitter_us
            or faults.burst_loss
            or faults.lose_if
        )
        self._set_deadline()

    def cut(self, *, down: bool) -> None:
        """Take the link down: all that is under way is lost; or up again."""
        self.down = down
        if not down:
            return
        under_way = [frame for _, _, frame in (*self._line, *self._strays)]
        self._line.clear()
        self._strays.clear()
        self._leaving.clear()
        if self._codel is not None:
            under_way += self._codel.clear()
        self.counts.cut += len(under_way)
        self._free_at_ns = self._remainder = 0
        self.deadline = NEVER
        if self.on_drop is not None:
            for frame in under_way:
                self.on_drop(frame)

    def offer(self, frame: bytes, now: int) -> bool:
        """A frame enters the link at `now` (microseconds).  False if nothing of it will arrive."""
        faults, counts = self.faults, self.counts
        counts.offered += 1
        length = len(frame)
        if self.down:
            counts.cut += 1
            return False
        if length > self.max_frame:
            counts.too_long += 1
            return False
        if len(self._line) + len(self._strays) >= MAX_HELD:
            counts.overflowed += 1
            return False
        now_ns = now * NS_PER_US
        if not faults.rate:
            return self._launch(frame, now_ns)
        if self._codel is not None:
            return self._enqueue(self._codel, frame, now_ns)
        wait_ns = self._free_at_ns - now_ns
        if wait_ns <= 0:
            self._free_at_ns, self._remainder, wait_ns = now_ns, 0, 0
        leaving = self._leaving
        while leaving and leaving[0] <= now_ns:
            leaving.popleft()
        rate = faults.rate
        backlog = wait_ns * rate // NS_PER_S
        if wait_ns:
            if self._bounded and self._is_full(backlog, length, len(leaving)):
                counts.overflowed += 1
                return False
            counts.wait_ns += wait_ns
            if wait_ns > counts.max_wait_ns:
                counts.max_wait_ns = wait_ns
        counts.queued += 1
        spent_ns, self._remainder = divmod(length * NS_PER_S + self._remainder, rate)
        self._free_at_ns = left_ns = self._free_at_ns + spent_ns
        leaving.append(left_ns)
        if backlog + length > counts.max_queue_bytes:
            counts.max_queue_bytes = backlog + length
        if len(leaving) > counts.max_queue_frames:
            counts.max_queue_frames = len(leaving)
        return self._launch(frame, left_ns)

    def poll(self, now: int) -> list[bytes]:
        """The frames that have arrived by `now` (microseconds), in order of arrival."""
        now_ns = now * NS_PER_US
        codel = self._codel
        if codel is not None:
            self._advance(codel, now_ns)
        arrived = []
        line, strays, counts = self._line, self._strays, self.counts
        while line and line[0][0] <= now_ns:
            frame = heappop(strays)[2] if strays and strays[0] < line[0] else line.popleft()[2]
            arrived.append(frame)
            counts.delivered_bytes += len(frame)
        while strays and strays[0][0] <= now_ns:
            frame = heappop(strays)[2]
            arrived.append(frame)
            counts.delivered_bytes += len(frame)
        counts.delivered += len(arrived)
        if strays or codel is not None:
            self._set_deadline()
        else:
            self.deadline = (line[0][0] + NS_PER_US - 1) // NS_PER_US if line else NEVER
        return arrived

    def queue_length(self, now: int) -> tuple[int, int]:
        """Frames and bytes in the queue at `now` (microseconds), with the one that is leaving."""
        now_ns = now * NS_PER_US
        waiting = nbytes = 0
        if self._codel is not None:
            self._advance(self._codel, now_ns)
            waiting, nbytes = len(self._codel), self._codel.nbytes
            self._set_deadline()
        while self._leaving and self._leaving[0] <= now_ns:
            self._leaving.popleft()
        backlog = max(self._free_at_ns - now_ns, 0) * self.faults.rate // NS_PER_S
        return len(self._leaving) + waiting, backlog + nbytes

    def _is_full(self, backlog: int, length: int, frames: int) -> bool:
        """A queue of `backlog` bytes, `frames` frames, has no room for another of `length` bytes."""
        faults = self.faults
        if faults.queue_bytes and backlog and backlog + length > faults.queue_bytes:
            return True
        return bool(faults.queue_frames and frames >= faults.queue_frames)

    def _enqueue(self, codel: CoDelQueue, frame: bytes, now_ns: int) -> bool:
        """A frame enters the CoDel queue, which is bounded too.  False if it was full."""
        self._advance(codel, now_ns)
        counts = self.counts
        backlog = max(self._free_at_ns - now_ns, 0) * self.faults.rate // NS_PER_S + codel.nbytes
        frames = len(codel) + (self._free_at_ns > now_ns)
        if frames >= MAX_HELD or self._is_full(backlog, len(frame), frames):
            counts.overflowed += 1
            return False
        codel.push(frame, now_ns)
        counts.max_queue_bytes = max(counts.max_queue_bytes, backlog + len(frame))
        counts.max_queue_frames = max(counts.max_queue_frames, frames + 1)
        self._advance(codel, now_ns)
        self._set_deadline()
        return True

    def _advance(self, codel: CoDelQueue, now_ns: int) -> None:
        """Let frames leave the CoDel queue whose turn came by `now_ns`."""
        while len(codel) and self._free_at_ns <= now_ns:
            self._pop(codel)

    def _drain(self) -> None:
        """Do without CoDel from now on: what waits in its queue leaves in its turn."""
        codel = self._codel
        while codel is not None and len(codel):
            self._pop(codel)
        self._codel = None

    def _pop(self, codel: CoDelQueue) -> None:
        """The link is free: the next frame begins to leave."""
        dropped, marked = codel.dropped, codel.marked
        began_ns = max(self._free_at_ns, codel.head_ns())
        if began_ns > self._free_at_ns:
            self._free_at_ns, self._remainder = began_ns, 0
        codel.on_drop = self.on_drop
        frame = codel.pop(began_ns)
        self.counts.dropped += codel.dropped - dropped
        self.counts.marked += codel.marked - marked
        if frame is not None:
            counts, wait_ns = self.counts, codel.popped_wait_ns
            counts.queued += 1
            counts.wait_ns += wait_ns
            counts.max_wait_ns = max(counts.max_wait_ns, wait_ns)
            spent_ns, self._remainder = divmod(len(frame) * NS_PER_S + self._remainder, self.faults.rate)
            self._free_at_ns += spent_ns
            self._leaving.append(self._free_at_ns)
            if not self._launch(frame, self._free_at_ns) and self.on_drop is not None:
                self.on_drop(frame)

    def _launch(self, frame: bytes, left_ns: int) -> bool:
        """A frame has left at `left_ns`: what becomes of it.  False if nothing of it will arrive."""
        if self._plain:
            due_ns = left_ns + self._delay_ns
            if due_ns < self._last_ns:
                due_ns = self._last_ns
            else:
                self._last_ns = due_ns
            line = self._line
            if not line:
                self.deadline = min(self.deadline, (due_ns + NS_PER_US - 1) // NS_PER_US)
            line.append((due_ns, self._order, frame))
            self._order += 1
            return True
        faults, counts = self.faults, self.counts
        if self._chance(faults.loss) or (faults.lose_if is not None and faults.lose_if(frame)):
            counts.lost += 1
            return False
        if faults.burst_loss is not None and self._is_lost_in_burst(faults.burst_loss):
            counts.lost_in_bursts += 1
            return False
        copies = 1
        if self._chance(faults.duplication):
            counts.duplicated += 1
            copies = 2
        return sum(self._arrive(frame, left_ns) for _ in range(copies)) > 0

    def _arrive(self, frame: bytes, left_ns: int) -> bool:
        """Decide when one copy arrives, and how.  False if it does not."""
        faults = self.faults
        if self._chance(faults.corruption):
            self.counts.corrupted += 1
            if frame[12:14] != ETHERTYPE_IPV4 or len(frame) < ETH_HLEN + IPV4_HLEN:
                self.counts.corrupted_lost += 1
                return False
            if self.on_drop is not None:
                self.on_drop(frame)
            frame = self._damage(frame)
        due_ns = left_ns + self._delay_ns
        if faults.jitter_us:
            due_ns += self._rng.randrange(faults.jitter_us * NS_PER_US + 1)
        if self._chance(faults.reordering):
            self.counts.reordered += 1
            heappush(self._strays, (due_ns + faults.reorder_us * NS_PER_US, self._order, frame))
        else:
            due_ns = self._last_ns = max(due_ns, self._last_ns)
            self._line.append((due_ns, self._order, frame))
        self._order += 1
        self._set_deadline()
        return True

    def _is_lost_in_burst(self, model: GilbertElliott) -> bool:
        if self._chance(model.r if self._spell else model.p):
            self._spell = not self._spell
        return self._chance(model.loss_bad if self._spell else model.loss_good)

    def _damage(self, frame: bytes) -> bytes:
        """The frame with one bit flipped in what the IPv4 packet's checksums cover."""
        # Padding behind the packet is covered by none of them.
        covered = min(len(frame) - ETH_HLEN, max(IPV4_HLEN, int.from_bytes(frame[16:18], "big")))
        bit = self._rng.randrange(covered * 8)
        damaged = bytearray(frame)
        damaged[ETH_HLEN + bit // 8] ^= 1 << (bit % 8)
        return bytes(damaged)

    def _chance(self, probability: float) -> bool:
        return probability > 0 and self._rng.getrandbits(32) < probability * (1 << 32)

    def _set_deadline(self) -> None:
        at_ns = self._line[0][0] if self._line else -1
        if self._strays and (at_ns < 0 or self._strays[0][0] < at_ns):
            at_ns = self._strays[0][0]
        if self._codel is not None and len(self._codel) and (at_ns < 0 or self._free_at_ns < at_ns):
            at_ns = self._free_at_ns
        self.deadline = -(-at_ns // NS_PER_US) if at_ns >= 0 else NEVER


__all__ = ["MAX_HELD", "NS_PER_US", "FaultCounts", "FaultModel", "Faults", "GilbertElliott"]
