"""Seeded faults of a link: loss, delay, jitter, reordering, duplication, corruption, a rate limit.

Theory of operation.  A FaultModel is one direction of a link and does no I/O: `offer` takes a finished wire
frame, `poll` gives back those that have arrived, `deadline` says when the next one will.  In the order in
which a link does it, a frame

1. waits for the frames before it to leave at `rate`, and is dropped if that backlog would exceed
   `queue_bytes`,
2. takes its own time to leave (a frame lost later has used the link all the same),
3. is lost or duplicated, and each copy may be damaged: one bit behind the Ethernet header of an IPv4
   frame, which a checksum always shows; another frame is lost, as the Ethernet FCS would have it,
4. arrives after `delay_us` and a share of `jitter_us`, never before the frame ahead of it; a reordered
   frame is held back by `reorder_us` more and lets those behind it pass.

Link time is integer nanoseconds with the remainder of the division by `rate` carried on; frames that arrive
in the same nanosecond keep their order.  All randomness comes from the `Rng` given and is drawn only for
settings that are switched on: one seed, one history.

A FaultDevice puts a FaultModel on each direction of any device.  It works on finished wire frames: they
carry real checksums and no offload metadata, so that damage shows.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from random import Random

from stack.config import NEVER, Rng
from stack.device.base import Device
from stack.device.wrapper import NO_OFFLOAD, WrapperDevice, raw_at, refill
from stack.errors import ConfigError
from stack.wire import accel
from stack.wire.burst import Burst
from stack.wire.frame import ETH_HLEN, TxFrame

NS_PER_US = 1_000
NS_PER_S = 1_000_000_000
ETHERTYPE_IPV4 = b"\x08\x00"
IPV4_HLEN = 20  # without options
MAX_HELD = 65_536  # frames under way in one direction


@dataclass(frozen=True, slots=True)
class Faults:
    """Settings of one direction.  Probabilities are 0 to 1 per frame; 0 switches a fault off.

    `rate` is bytes of Ethernet frame (without preamble and FCS) per second, 0 for no limit; `queue_bytes`
    bounds what waits for it (a frame that finds the link idle always goes), 0 for no bound but that of
    frames under way (`MAX_HELD`).
    `lose_if` is asked about every frame; True loses it (scripted losses).
    """

    loss: float = 0.0
    duplication: float = 0.0
    corruption: float = 0.0
    reordering: float = 0.0
    delay_us: int = 0
    jitter_us: int = 0
    reorder_us: int = 2_000
    rate: int = 0
    queue_bytes: int = 0
    lose_if: Callable[[bytes], bool] | None = None

    def __post_init__(self) -> None:
        for name in ("loss", "duplication", "corruption", "reordering"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} {getattr(self, name)}: use a probability from 0 to 1")
        for name in ("delay_us", "jitter_us", "reorder_us", "rate", "queue_bytes"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} {getattr(self, name)}: use 0 or more")


@dataclass(slots=True)
class FaultCounts:
    """What one direction did with the frames it was offered."""

    offered: int = 0
    delivered: int = 0
    lost: int = 0
    overflowed: int = 0
    duplicated: int = 0
    corrupted: int = 0
    reordered: int = 0


class FaultModel:
    """One direction of a link; see the module's theory of operation."""

    __slots__ = ("_free_at_ns", "_held", "_last_ns", "_order", "_remainder", "_rng", "counts", "deadline", "faults")

    def __init__(self, rng: Rng, faults: Faults | None = None) -> None:
        self._rng = rng
        self._held: list[tuple[int, int, bytes]] = []  # heap of (arrives at ns, order of insertion, frame)
        self._order = 0
        self._free_at_ns = 0  # the frame before has left by then, and `_remainder` / rate ns later
        self._remainder = 0
        self._last_ns = 0  # latest arrival of a frame that was not reordered
        self.counts = FaultCounts()
        self.deadline = NEVER  # microseconds: `poll` at that time gives a frame
        self.configure(faults or Faults())

    def configure(self, faults: Faults) -> None:
        """New settings for the frames offered from now on; those under way keep their times."""
        self.faults = faults
        self._remainder = 0  # it counts in units of the old rate

    def offer(self, frame: bytes, now: int) -> bool:
        """A frame enters the link at `now` (microseconds).  False if nothing of it will arrive."""
        faults, counts = self.faults, self.counts
        counts.offered += 1
        left_ns = self._leave(len(frame), now * NS_PER_US)
        if left_ns < 0:
            counts.overflowed += 1
            return False
        if self._chance(faults.loss) or (faults.lose_if is not None and faults.lose_if(frame)):
            counts.lost += 1
            return False
        copies = 1
        if self._chance(faults.duplication):
            counts.duplicated += 1
            copies = 2
        return sum(self._arrive(frame, left_ns) for _ in range(copies)) > 0

    def poll(self, now: int) -> list[bytes]:
        """The frames that have arrived by `now` (microseconds), in order of arrival."""
        arrived = []
        held, now_ns = self._held, now * NS_PER_US
        while held and held[0][0] <= now_ns:
            arrived.append(heappop(held)[2])
        self.counts.delivered += len(arrived)
        self._set_deadline()
        return arrived

    def _leave(self, length: int, now_ns: int) -> int:
        """When a frame of `length` bytes has left, in ns; -1 if the queue is full."""
        if len(self._held) >= MAX_HELD:
            return -1
        rate, queue_bytes = self.faults.rate, self.faults.queue_bytes
        if not rate:
            return now_ns
        if self._free_at_ns < now_ns:
            self._free_at_ns, self._remainder = now_ns, 0
        backlog = (self._free_at_ns - now_ns) * rate // NS_PER_S
        if queue_bytes and backlog and backlog + length > queue_bytes:
            return -1
        spent_ns, self._remainder = divmod(length * NS_PER_S + self._remainder, rate)
        self._free_at_ns += spent_ns
        return self._free_at_ns

    def _arrive(self, frame: bytes, left_ns: int) -> bool:
        """Decide when one copy arrives, and how.  False if it does not."""
        faults = self.faults
        if self._chance(faults.corruption):
            self.counts.corrupted += 1
            if frame[12:14] != ETHERTYPE_IPV4 or len(frame) < ETH_HLEN + IPV4_HLEN:
                return False
            frame = self._damage(frame)
        due_ns = left_ns + faults.delay_us * NS_PER_US
        if faults.jitter_us:
            due_ns += self._rng.randrange(faults.jitter_us * NS_PER_US + 1)
        if self._chance(faults.reordering):
            self.counts.reordered += 1
            due_ns += faults.reorder_us * NS_PER_US
        else:
            due_ns = self._last_ns = max(due_ns, self._last_ns)
        heappush(self._held, (due_ns, self._order, frame))
        self._order += 1
        self._set_deadline()
        return True

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
        self.deadline = -(-self._held[0][0] // NS_PER_US) if self._held else NEVER


class FaultDevice(WrapperDevice):
    """Faults around any device, settable per direction while it runs (`inbound.configure(...)`).

    `clock` gives microseconds; without one, time is what `on_timer` was last told.
    """

    __slots__ = ("_arrived", "_clock", "_frame", "_now_us", "inbound", "outbound")

    def __init__(
        self,
        inner: Device,
        rng: Rng,
        clock: Callable[[], int] | None = None,
        *,
        inbound: Faults | None = None,
        outbound: Faults | None = None,
    ) -> None:
        super().__init__(inner)
        # Each direction has a generator of its own, so that traffic one way does not change the fate of the other.
        self.inbound = FaultModel(Random(rng.getrandbits(64)), inbound)
        self.outbound = FaultModel(Random(rng.getrandbits(64)), outbound)
        self._clock = clock
        self._now_us = 0
        self._arrived: deque[bytes] = deque()
        self._frame = TxFrame()

    def send(self, frame: TxFrame) -> bool:
        """Put the frame on the faulty link; always True, what happens to it there is not known here."""
        now = self._now()
        for raw in accel.finish(frame, NO_OFFLOAD):
            self.outbound.offer(raw[0], now)
        self._transmit(now)
        return True

    def rx_burst(self, burst: Burst) -> int:
        """Frames that have arrived over the faulty link; 0 when none has yet.  Raises DeviceGone."""
        now = self._now()
        # The inner device is emptied even when nothing comes out here: it may tell of new frames only once.
        while not self._arrived and self.inner.rx_burst(burst):
            for index in range(burst.count):
                for raw in accel.finish_raw(raw_at(burst, index), NO_OFFLOAD):
                    self.inbound.offer(raw[0], now)
            self._arrived.extend(self.inbound.poll(now))
        self._arrived.extend(self.inbound.poll(now))
        self._set_deadline()
        if not self._arrived:
            return 0
        taken = accel.load_burst(burst, ((data, 0, 0, 0, 0, 0) for data in self._arrived), self.mac)
        for _ in range(taken):
            self._arrived.popleft()
        return burst.count

    def on_timer(self, now: int) -> None:
        """Send what fell due; what has arrived waits for `rx_burst`."""
        self._now_us = now
        self.inner.on_timer(now)
        self._transmit(now)
        self.inner.flush()

    def _transmit(self, now: int) -> None:
        for data in self.outbound.poll(now):
            self.inner.send(refill(self._frame, data))
        self._set_deadline()

    def _set_deadline(self) -> None:
        self.deadline = min(self.inbound.deadline, self.outbound.deadline, self.inner.deadline)

    def _now(self) -> int:
        return self._now_us if self._clock is None else self._clock()
