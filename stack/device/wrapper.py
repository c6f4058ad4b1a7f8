"""What devices that wrap another device, and links between devices, have in common."""

from mypy_extensions import mypyc_attr

from stack.device.base import Device
from stack.wire.accel import Raw
from stack.wire.burst import Burst
from stack.wire.frame import Caps, TxFrame

NO_OFFLOAD = Caps()


@mypyc_attr(allow_interpreted_subclasses=True)
class WrapperDevice(Device):
    """Passes everything on to `inner` except what a subclass does itself."""

    __slots__ = ("inner",)

    def __init__(self, inner: Device) -> None:
        super().__init__(inner.name, inner.mac, inner.mtu, inner.caps)
        self.inner = inner
        self.deadline = inner.deadline
        inner.on_readable = self._inner_readable

    def fileno(self) -> int:
        """The inner device's descriptor."""
        return self.inner.fileno()

    def rx_burst(self, burst: Burst) -> int:
        """Frames from the inner device.  Raises DeviceGone."""
        rows = self.inner.rx_burst(burst)
        self._set_deadline()
        return rows

    def send(self, frame: TxFrame) -> bool:
        """Send through the inner device."""
        sent = self.inner.send(frame)
        self._set_deadline()
        return sent

    def flush(self) -> int:
        """Flush the inner device."""
        lost = self.inner.flush()
        self._set_deadline()
        return lost

    def on_timer(self, now: int) -> None:
        """Let the inner device do what fell due at `now` (microseconds)."""
        self.inner.on_timer(now)
        self._set_deadline()

    def close(self) -> None:
        """Close the inner device."""
        self.inner.close()

    def _set_deadline(self) -> None:
        self.deadline = self.inner.deadline

    def _inner_readable(self) -> None:
        if self.on_readable is not None:
            self.on_readable()


def raw_at(burst: Burst, index: int) -> Raw:
    """A copy of received frame `index` with its offload metadata."""
    off, length, _l3_off, _l4_off, vnet_flags, gso_type, gso_size, csum_start, csum_offset, _segs = burst.meta_at(index)
    return burst.pool[off : off + length], vnet_flags, gso_type, gso_size, csum_start, csum_offset


def refill(frame: TxFrame, data: bytes | bytearray | memoryview) -> TxFrame:
    """Make `frame` send the finished wire frame `data` as it is."""
    frame.start = frame.header_end  # no header of its own
    frame.payload, frame.payload_off, frame.payload_len = data, 0, len(data)
    frame.flags = frame.gso_type = frame.gso_size = frame.csum_start = frame.csum_offset = 0
    frame.note = None
    return frame
