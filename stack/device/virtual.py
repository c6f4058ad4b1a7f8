"""Virtual links and a learning switch between devices of one process.

Theory of operation.  A VirtualDevice is one end: what it is told to send goes to its segment (a cable or a
switch), which puts it into the receive queues of the other ends.  Frames change hands as bytes with offload
metadata, brought by `accel` to what the receiving end can carry: an end without offloads sees wire frames
of at most the MTU.  Queues are bounded in frames and bytes; what does not fit is dropped and counted at the
receiving end (`rx_dropped`), as on a real interface.

`on_readable` is called when a queue turns from empty to not empty, from within the sender's `send`: it
must only schedule, and the reader then reads until `rx_burst` returns 0.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable

from mypy_extensions import mypyc_attr

from stack.device.base import Device
from stack.errors import ConfigError, DeviceGone
from stack.wire import accel
from stack.wire.accel import Raw
from stack.wire.burst import Burst
from stack.wire.frame import ETH_HLEN, GSO_NONE, Caps, TxFrame

QUEUE_FRAMES = 4096
QUEUE_BYTES = 16 << 20
MAC_TABLE = 1024  # addresses a switch remembers
GROUP_BIT = 1  # of the first octet: broadcast or multicast (IEEE 802-2014 §8.2.2)

# The IPv4 length limit less the longest IP and TCP headers.
FULL_OFFLOAD = Caps(csum=True, tso4=True, uso=True, max_gso=65_535 - 120)


@mypyc_attr(allow_interpreted_subclasses=True)
class Segment(ABC):
    """What VirtualDevices are plugged into."""

    __slots__ = ()

    @abstractmethod
    def carry(self, sender: "VirtualDevice", frame: TxFrame) -> bool:
        """Bring `frame` to the other ends; False if it was lost on the way to one."""


@mypyc_attr(allow_interpreted_subclasses=True)
class VirtualDevice(Device):
    """One end.  `caps` is both what it takes from its Host and what it can receive.

    Wire frames longer than the MTU and frames that find the queue full are dropped and counted.
    """

    __slots__ = ("_closed", "_queue", "_queue_bytes", "_queue_frames", "_queued_bytes", "_segment", "rx_dropped")

    def __init__(
        self,
        name: str,
        mac: bytes,
        mtu: int,
        caps: Caps,
        segment: Segment,
        *,
        queue_frames: int = QUEUE_FRAMES,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        if len(mac) != 6 or mac[0] & GROUP_BIT:
            raise ConfigError(f"{name}: {mac.hex(':')} is not a unicast MAC address")
        super().__init__(name, mac, mtu, caps)
        self._segment = segment
        self._queue: deque[Raw] = deque()
        self._queue_frames = queue_frames
        self._queue_bytes = queue_bytes
        self._queued_bytes = 0
        self._closed = False
        self.rx_dropped = 0

    def send(self, frame: TxFrame) -> bool:
        """Put the frame on the link at once.  False if this end is closed or the far queue was full."""
        return not self._closed and self._segment.carry(self, frame)

    def flush(self) -> int:
        """Nothing: `send` does not batch."""
        return 0

    def deliver(self, frames: Iterable[Raw]) -> bool:
        """Frames from the segment, already fit for `caps`.  False if one of them was dropped."""
        queue = self._queue
        was_empty = not queue
        dropped = 0
        for raw in frames:
            length = len(raw[0])
            if (
                self._closed
                or len(queue) >= self._queue_frames
                or self._queued_bytes + length > self._queue_bytes
                or (raw[2] == GSO_NONE and length > self.mtu + ETH_HLEN)
            ):
                dropped += 1
                continue
            queue.append(raw)
            self._queued_bytes += length
        self.rx_dropped += dropped
        if was_empty and queue and self.on_readable is not None:
            self.on_readable()
        return not dropped

    def rx_burst(self, burst: Burst) -> int:
        """Fill `burst` from the queue; 0 when it is empty.  Raises DeviceGone after `close`."""
        if self._closed:
            raise DeviceGone(f"{self.name} is closed")
        queue = self._queue
        if not queue:
            return 0
        taken = accel.load_burst(burst, queue, self.mac)
        for _ in range(taken):
            self._queued_bytes -= len(queue.popleft()[0])
        return burst.count

    def close(self) -> None:
        """Unplug: queued frames are forgotten, later ones dropped."""
        self._closed = True
        self._queue.clear()
        self._queued_bytes = 0


class _Cable(Segment):
    __slots__ = ("ends",)

    def __init__(self) -> None:
        self.ends: tuple[VirtualDevice, ...] = ()

    def carry(self, sender: VirtualDevice, frame: TxFrame) -> bool:
        peer = self.ends[0] if sender is self.ends[1] else self.ends[1]
        frames = accel.finish(frame, peer.caps)
        return bool(frames) and peer.deliver(frames)


def link(
    mac_a: bytes,
    mac_b: bytes,
    mtu: int = 1500,
    caps: Caps = FULL_OFFLOAD,
    caps_b: Caps | None = None,
    *,
    queue_frames: int = QUEUE_FRAMES,
) -> tuple[VirtualDevice, VirtualDevice]:
    """Two devices joined by a cable.  `caps_b`, if given, holds for the second one.  Raises ConfigError."""
    cable = _Cable()
    a = VirtualDevice("veth-a", mac_a, mtu, caps, cable, queue_frames=queue_frames)
    b = VirtualDevice("veth-b", mac_b, mtu, caps_b or caps, cable, queue_frames=queue_frames)
    cable.ends = (a, b)
    return a, b


class Switch(Segment):
    """A learning switch for any number of hosts.

    An address is learnt from the source of each frame; a frame to an unknown or group address goes to all
    other ports.  The table holds `max_macs` addresses; the one learnt longest ago makes room.
    """

    __slots__ = ("_max_macs", "_ports", "_table")

    def __init__(self, *, max_macs: int = MAC_TABLE) -> None:
        self._max_macs = max_macs
        self._ports: list[VirtualDevice] = []
        self._table: dict[bytes, VirtualDevice] = {}

    def plug(
        self, mac: bytes, mtu: int = 1500, caps: Caps = FULL_OFFLOAD, *, queue_frames: int = QUEUE_FRAMES
    ) -> VirtualDevice:
        """A new device on this switch.  Raises ConfigError for a bad address."""
        device = VirtualDevice(f"port{len(self._ports)}", mac, mtu, caps, self, queue_frames=queue_frames)
        self._ports.append(device)
        return device

    def carry(self, sender: VirtualDevice, frame: TxFrame) -> bool:
        """Learn, then forward or flood.  False if a port dropped the frame."""
        frames = accel.finish(frame, FULL_OFFLOAD)
        if not frames:
            return False  # it contradicts itself
        target, source = frames[0][0][:6], frames[0][0][6:12]
        self._learn(source, sender)
        known = self._table.get(target)
        if known is sender:
            return True  # the destination is on the side it came from
        ports = [known] if known else [port for port in self._ports if port is not sender]
        dropped = 0
        for port in ports:
            dropped += not port.deliver([cut for raw in frames for cut in accel.finish_raw(raw, port.caps)])
        return not dropped

    def _learn(self, mac: bytes, port: VirtualDevice) -> None:
        if mac[0] & GROUP_BIT:
            return
        self._table.pop(mac, None)  # re-inserted last: dict order is age
        self._table[mac] = port
        if len(self._table) > self._max_macs:
            del self._table[next(iter(self._table))]
