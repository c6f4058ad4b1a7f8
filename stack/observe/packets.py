"""The frames that pass a device, for those who watch.

Theory of operation.  `PacketSource` puts a `WatchedDevice` between a driver and each of its devices while somebody
listens to its topic, and takes it out again.  The host sees another sink with the same capabilities; its paths are
looked up anew, and its connections notice nothing.

What the stack has to say about a frame goes with it: for a sent one `TxFrame.note`, for a received one the remarks
and drop reasons that the host tells its `Trace`.  Those come after the frame, so the frames of a pass are held until
the pass ends (`flush`) and told then, in order.

A listener to whole frames (a capture) has them as they are on a wire: super-segments cut, checksums complete.  If all
listeners are content with the beginning (`SNAP` bytes), only that is copied.
"""

from collections.abc import Callable
from typing import Final

from stack.aio.device_driver import DeviceDriver
from stack.device.base import Device
from stack.device.pcap import SUPER, TakesRemarks
from stack.device.pcapng import INBOUND, OUTBOUND
from stack.device.wrapper import NO_OFFLOAD, WrapperDevice, raw_at
from stack.observe.bus import Subscription, Topic
from stack.observe.head import Head, parse
from stack.stats import DropReason
from stack.trace import Trace
from stack.wire import accel, ipv4
from stack.wire.accel import Raw
from stack.wire.burst import Burst
from stack.wire.frame import ETH_HLEN, FILL_IP, TxFrame

SNAP: Final = 192  # bytes: link, IP and TCP headers with all options, and the beginning of what follows
MAX_HELD: Final = 1024
_TOTAL_AT: Final = ETH_HLEN + 2  # the total length in a frame
OVERHEAD: Final = 400  # bytes of the objects of a queued frame, about


class Seen:
    """One frame that passed `device` at `time` (microseconds since 1970): `length` bytes, a beginning of it in `data`.

    `note` is what the stack says about it.  `segs` tells how many frames of a wire it stands for.
    """

    __slots__ = ("_head", "_raw", "data", "device", "direction", "length", "note", "segs", "time")

    def __init__(self, device: str, time: int, direction: int, data: bytes, length: int, segs: int, note: str) -> None:
        self.device = device
        self.time = time
        self.direction = direction
        self.data = data
        self.length = length
        self.segs = segs
        self.note = note
        self._raw: list[Raw] | None = None
        self._head: Head | None = None

    def keep(self, raw: list[Raw]) -> None:
        """The whole frame, with its offload metadata."""
        self._raw = raw

    @property
    def head(self) -> Head:
        """What filters and lists look at, parsed once."""
        if self._head is None:
            self._head = parse(self.data)
        return self._head

    def wire_frames(self) -> list[bytes]:
        """The whole frames, as on a wire; the beginning where the rest was not kept."""
        if self._raw is None:
            return [self.data]
        return [finished[0] for raw in self._raw for finished in accel.finish_raw(raw, NO_OFFLOAD)]


class PacketSource:
    """Switches `topic` on and off; `clock` gives microseconds since 1970."""

    __slots__ = ("_clock", "_devices", "_driver", "_whole", "topic")

    def __init__(self, driver: DeviceDriver, clock: Callable[[], int]) -> None:
        self._driver = driver
        self._clock = clock
        self._devices: dict[int, WatchedDevice] = {}
        self._whole: set[Subscription[Seen]] = set()
        self.topic: Topic[Seen] = Topic(self._begin, self._end)

    def subscribe(
        self,
        on_ready: Callable[[], None],
        accepts: Callable[[Seen], bool] | None = None,
        *,
        whole: bool,
        max_items: int = 1024,
        max_bytes: int = 4 << 20,
    ) -> Subscription[Seen]:
        """A listener; `whole` frames or beginnings.  Raises NoBufferSpace."""
        self._whole &= self.topic.subscriptions.keys()
        made = self.topic.subscribe(on_ready, accepts, max_items=max_items, max_bytes=max_bytes)
        if whole:
            self._whole.add(made)
        return made

    @property
    def whole(self) -> bool:
        """Whether somebody wants whole frames."""
        return not self._whole.isdisjoint(self.topic.subscriptions)

    def _begin(self) -> None:
        driver = self._driver
        if not driver.is_open:
            return
        trace = WatchTrace(driver.host.trace)
        for ifindex, device in driver.devices().items():
            watched = WatchedDevice(device, self, self._clock, trace)
            self._devices[ifindex] = watched
            driver.exchange(ifindex, watched)
        driver.host.set_trace(trace)

    def _end(self) -> None:
        driver = self._driver
        self._whole.clear()
        if driver.is_open:
            trace = driver.host.trace
            if isinstance(trace, WatchTrace):
                driver.host.set_trace(trace.before)
            for ifindex, watched in self._devices.items():
                if driver.devices().get(ifindex) is watched:
                    driver.exchange(ifindex, watched.inner)
        self._devices.clear()


class WatchTrace(Trace):
    """Gives the host's remarks on received frames to the device that they came by, and to the trace `before`."""

    __slots__ = ("before", "device")

    def __init__(self, before: Trace | None) -> None:
        self.before = before
        self.device: TakesRemarks | None = None

    def note_rx(self, index: int, text: str) -> None:
        """A remark on row `index` of the current burst."""
        if self.device is not None:
            self.device.note_rx(index, text)
        if self.before is not None:
            self.before.note_rx(index, text)

    def on_drop(self, reason: int, index: int) -> None:
        """Say why the frame was dropped."""
        if self.device is not None and index >= 0:
            self.device.note_rx(index, f"dropped: {DropReason(reason).name.lower()}")
        if self.before is not None:
            self.before.on_drop(reason, index)

    def on_state(self, conn: object, old: int, new: int) -> None:
        """Only for the trace before."""
        if self.before is not None:
            self.before.on_state(conn, old, new)


class WatchedDevice(WrapperDevice):
    """`inner`, whose frames are told to a PacketSource."""

    __slots__ = ("_clock", "_held", "_rows", "_source", "_trace")

    def __init__(self, inner: Device, source: PacketSource, clock: Callable[[], int], trace: WatchTrace) -> None:
        on_readable = inner.on_readable
        super().__init__(inner)
        self.on_readable = on_readable
        self._source = source
        self._clock = clock
        self._trace = trace
        self._held: list[Seen] = []  # the burst that the host works on, then what was sent since
        self._rows = 0

    def rx_burst(self, burst: Burst) -> int:
        """Frames from the inner device.  Raises DeviceGone."""
        if self._held:
            self._tell()
        rows = super().rx_burst(burst)
        if not rows:
            return 0
        now, whole, name = self._clock(), self._source.whole, self.name
        for index in range(rows):
            meta = burst.meta_at(index)
            off, length = meta[0], meta[1]
            seen = Seen(name, now, INBOUND, burst.pool[off : off + min(length, SNAP)], length, max(meta[9], 1), "")
            if whole:
                seen.keep([raw_at(burst, index)])
            self._held.append(seen)
        self._rows = rows
        self._trace.device = self
        return rows

    def note_rx(self, index: int, text: str) -> None:
        """A remark on frame `index` of the burst last read; ignored once that was told."""
        if index < self._rows:
            seen = self._held[index]
            seen.note = f"{seen.note}; {text}" if seen.note else text

    def send(self, frame: TxFrame) -> bool:
        """Send through the inner device; what it refuses is told with a remark."""
        # Before it is sent: the inner device may complete the headers in place.
        length = frame.wire_len()
        segs = max(1, -(-frame.payload_len // frame.gso_size)) if frame.gso_size else 1
        raw = None
        if self._source.whole:
            raw = accel.finish(frame, SUPER)
            data = bytes(raw[0][0][:SNAP])
        else:
            data = _beginning(frame)
        seen = Seen(self.name, self._clock(), OUTBOUND, data, length, segs, frame.note or "")
        if raw is not None:
            seen.keep(raw)
        sent = super().send(frame)
        if not sent:
            seen.note = f"{seen.note}; dropped by {self.name}".removeprefix("; ")
        self._held.append(seen)
        if len(self._held) >= MAX_HELD:
            self._tell()
        return sent

    def flush(self) -> int:
        """End of a pass: tell what was held, and flush the inner device."""
        if self._held:
            self._tell()
        return super().flush()

    def _tell(self) -> None:
        held, self._held, self._rows = self._held, [], 0
        publish, whole = self._source.topic.publish, self._source.whole
        for seen in held:
            publish(seen, (seen.length if whole else len(seen.data)) + OVERHEAD)


def _beginning(frame: TxFrame) -> bytes:
    header = bytes(frame.header[frame.start : frame.header_end])
    if frame.flags & FILL_IP:  # the total length is the device's business, of a super-segment what fits
        total = min(frame.wire_len() - ETH_HLEN, ipv4.MAX_TOTAL)
        header = header[:_TOTAL_AT] + total.to_bytes(2, "big") + header[_TOTAL_AT + 2 :]
    room = min(frame.payload_len, SNAP - len(header))
    if room > 0:
        header += bytes(frame.payload[frame.payload_off : frame.payload_off + room])
    return header
