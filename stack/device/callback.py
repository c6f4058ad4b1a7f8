"""A link made of Python calls: IP packets or frames in by `feed`, out by `on_output`.  For tunnels and VPNs.

Theory of operation.  The program that made the device is the other end of the link.  What it feeds waits in a queue,
bounded in frames and bytes, until the driver reads; what does not fit, or is longer than the MTU, is dropped and
counted.  What the host sends is completed first: `on_output` gets finished packets of at most the MTU, with real
checksums, one call each, from within the host's pass.  It may feed this device or another one, and must not block.  Its
exceptions end here: the packet is lost, counted, and the first one logged.

With layer "packets" there is no link layer (`Caps.bare_ip`): no ARP, no addresses of the link, nothing to resolve. With
"frames" the link is an Ethernet and `mac` is our address on it.  Content is not looked at here: a malformed packet is
dropped and counted by the host, as from any other device.

All methods are called from the thread of the event loop; another thread uses
`loop.call_soon_threadsafe(device.feed_many, packets)`, or `QueueDevice.feed_threadsafe`, which is bounded.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, Literal

from mypy_extensions import mypyc_attr

from stack.device.bare_ip import BARE_MAC, to_frame
from stack.device.base import Device
from stack.errors import ConfigError, DeviceGone
from stack.wire import accel, ipv4
from stack.wire.burst import Burst
from stack.wire.frame import ETH_HLEN, Caps, TxFrame

logger = logging.getLogger(__name__)

Layer = Literal["packets", "frames"]
Data = bytes | bytearray | memoryview

QUEUE_FRAMES: Final = 4096
QUEUE_BYTES: Final = 16 << 20
GROUP_BIT: Final = 1  # of the first octet: broadcast or multicast (IEEE 802-2014 §8.2.2)
_MAX_GSO: Final = 65_535 - 120  # super-segments are cut here, in C: the IPv4 limit less the longest headers


@mypyc_attr(allow_interpreted_subclasses=True)
class CallbackDevice(Device):
    """See the head of this file.

    `mtu` counts bytes of IP; `mac` is needed with layer "frames" only.  `on_output(data)` may return False to say
    that it dropped the packet, which the host counts.  Raises ConfigError.
    """

    # fmt: off
    __slots__ = ("_closed", "_link", "_longest", "_queue", "_queue_bytes", "_queue_frames", "_queued_bytes",
                 "on_output", "output_errors", "rx_dropped", "rx_too_long", "tx_errors")
    # fmt: on

    def __init__(
        self,
        name: str,
        on_output: Callable[[bytes], object],
        *,
        layer: Layer = "packets",
        mtu: int = 1500,
        mac: bytes | None = None,
        queue_frames: int = QUEUE_FRAMES,
        queue_bytes: int = QUEUE_BYTES,
    ) -> None:
        address = _check(name, layer, mtu, mac)
        bare = layer == "packets"
        super().__init__(name, address, mtu, Caps(max_gso=_MAX_GSO, bare_ip=bare))
        self.on_output = on_output
        self._link = ETH_HLEN if bare else 0  # bytes of a frame that do not leave the stack
        self._longest = mtu + ETH_HLEN
        self._queue: deque[bytes] = deque()
        self._queue_frames = queue_frames
        self._queue_bytes = queue_bytes
        self._queued_bytes = 0
        self._closed = False
        self.rx_dropped = 0  # the queue was full, or the device closed
        self.rx_too_long = 0
        self.tx_errors = 0  # frames that contradict themselves or exceed the MTU
        self.output_errors = 0  # `on_output` raised

    # -- the program's side

    def feed(self, data: Data) -> bool:
        """One packet (or frame) has arrived.  False: dropped and counted."""
        return self.feed_many((data,)) == 1

    def feed_many(self, batch: Iterable[Data]) -> int:
        """Packets (or frames) have arrived; returns how many the queue took, the others are dropped and counted."""
        queue, longest, bare = self._queue, self._longest - self._link, self._link
        was_empty = not queue
        taken = 0
        try:
            for data in batch:
                if len(data) > longest:
                    self.rx_too_long += 1
                    continue
                if self._closed or len(queue) >= self._queue_frames or self._queued_bytes >= self._queue_bytes:
                    self.rx_dropped += 1
                    continue
                frame = to_frame(bytes(data)) if bare else bytes(data)
                queue.append(frame)
                self._queued_bytes += len(frame)
                taken += 1
        finally:  # what came before something that is no bytes is there all the same
            if was_empty and queue and self.on_readable is not None:
                self.on_readable()
        return taken

    # -- the host's side

    def rx_burst(self, burst: Burst) -> int:
        """Fill `burst` from the queue; 0 when it is empty.  Raises DeviceGone after `close`."""
        if self._closed:
            raise DeviceGone(f"{self.name} is closed")
        queue = self._queue
        if not queue:
            return 0
        for _ in range(accel.load_frames(burst, queue, self.mac)):
            self._queued_bytes -= len(queue.popleft())
        return accel.merge_burst(burst)

    def send(self, frame: TxFrame) -> bool:
        """Hand the packets that `frame` stands for to `on_output`.  False: one of them was dropped."""
        frames = () if self._closed else accel.wire_frames(frame)
        dropped = not frames
        for data in frames:
            if not self._link <= len(data) <= self._longest:
                self.tx_errors += 1
                dropped = True
            elif not self._output(data[self._link :]):
                dropped = True
        return not dropped

    def _output(self, data: bytes) -> bool:
        try:
            return self.on_output(data) is not False
        except Exception:  # the program's own may be any; a host cannot go on in the middle of its pass
            self.output_errors += 1
            if self.output_errors == 1:
                logger.exception(
                    "the output callback of %s failed; its packets are lost (further ones untold)", self.name
                )
            return False

    def flush(self) -> int:
        """Nothing: `send` does not batch."""
        return 0

    def close(self) -> None:
        """End: queued packets are forgotten, later ones dropped."""
        self._closed = True
        self._queue.clear()
        self._queued_bytes = 0


def _check(name: str, layer: str, mtu: int, mac: bytes | None) -> bytes:
    """The address of our end.  Raises ConfigError."""
    if layer not in {"packets", "frames"}:
        raise ConfigError(f"{name}: layer {layer!r}: use 'packets' or 'frames'")
    if not ipv4.MIN_MTU <= mtu <= ipv4.MAX_TOTAL:
        raise ConfigError(f"{name}: an MTU of {mtu} cannot be used: use {ipv4.MIN_MTU} to {ipv4.MAX_TOTAL}")
    if layer == "packets":
        if mac is not None:
            raise ConfigError(f"{name}: packets have no link address; leave `mac` out, or use layer='frames'")
        return BARE_MAC
    if mac is None or len(mac) != 6 or mac[0] & GROUP_BIT:
        raise ConfigError(f"{name}: frames need the MAC address of this end: 6 bytes, not a group's")
    return mac
