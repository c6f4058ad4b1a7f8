"""A device that writes what passes through it to a capture file.

Theory of operation.  A CaptureDevice wraps any device and changes nothing of what passes.  It writes finished
wire frames: a super-segment appears as the segments it stands for, with real checksums; with
`super_segments=True` it stays one frame (with a real checksum too).

What the stack has to say about a frame becomes the packet's comment: for a sent one `TxFrame.note`; for a
received one `note_rx`, which comes after `rx_burst` returned.  So the frames of a burst, and what is sent
meanwhile, are held and written at the next `rx_burst` or `flush`, with the times at which they passed.
CaptureTrace is the Trace to give to a Host: it passes remarks and drop reasons on to the device
whose burst the Host is working on.
"""

from collections.abc import Callable
from typing import Protocol

from stack.device.base import Device
from stack.device.pcapng import INBOUND, OUTBOUND, PcapngWriter
from stack.device.wrapper import NO_OFFLOAD, WrapperDevice, raw_at
from stack.stats import DropReason
from stack.trace import Trace
from stack.wire import accel
from stack.wire.accel import Raw
from stack.wire.burst import Burst
from stack.wire.frame import GSO_NONE, Caps, TxFrame

MAX_HELD = 1024
SUPER = Caps(csum=True, tso4=True, uso=True, max_gso=1 << 16)


class CaptureDevice(WrapperDevice):
    """`inner`, captured by `writer` (several devices may share one); `clock` gives microseconds."""

    __slots__ = ("_burst_rows", "_clock", "_held", "_interface", "_super", "_trace", "_writer")

    def __init__(
        self,
        inner: Device,
        writer: PcapngWriter,
        clock: Callable[[], int],
        *,
        trace: "CaptureTrace | None" = None,
        super_segments: bool = False,
    ) -> None:
        super().__init__(inner)
        self._writer = writer
        self._clock = clock
        self._trace = trace
        self._super = super_segments
        self._interface = writer.add_interface(inner.name)
        self._held: list[_Passed] = []  # the burst that the Host works on, then what was sent since
        self._burst_rows = 0

    def rx_burst(self, burst: Burst) -> int:
        """Frames from the inner device.  Raises DeviceGone."""
        self._write_held()
        rows = super().rx_burst(burst)
        now = self._clock()
        for index in range(rows):
            self._held.append(_Passed(INBOUND, now, self._finish(raw_at(burst, index))))
        self._burst_rows = rows
        if self._trace is not None:
            self._trace.device = self
        return rows

    def note_rx(self, index: int, text: str) -> None:
        """A remark on frame `index` of the burst last read; ignored once that is written."""
        if index < self._burst_rows:
            passed = self._held[index]
            passed.note = f"{passed.note}; {text}" if passed.note else text

    def send(self, frame: TxFrame) -> bool:
        """Send through the inner device; what it refuses is captured with a remark."""
        note = frame.note or ""
        # Finished before it is sent: the inner device may complete the headers in place.
        frames = [data for raw in accel.finish(frame, SUPER) for data in self._finish(raw)]
        sent = super().send(frame)
        if not sent:
            note = f"{note} (dropped by {self.name})".lstrip()
        self._held.append(_Passed(OUTBOUND, self._clock(), frames, note))
        if len(self._held) >= MAX_HELD:
            self._write_held()
        return sent

    def flush(self) -> int:
        """Write what is held, and flush the inner device."""
        self._write_held()
        return super().flush()

    def close(self) -> None:
        """Write what is held, and close the inner device; the writer's file stays open."""
        self._write_held()
        self._writer.flush()
        super().close()

    def _finish(self, raw: Raw) -> list[bytes]:
        """The wire frames that `raw` stands for; or itself, with the checksum of one large segment."""
        if self._super:
            data, vnet_flags, _type, _size, csum_start, csum_offset = raw
            raw = (data, vnet_flags, GSO_NONE, 0, csum_start, csum_offset)
        return [finished[0] for finished in accel.finish_raw(raw, NO_OFFLOAD)]

    def _write_held(self) -> None:
        for passed in self._held:
            note = passed.note
            for data in passed.frames:
                self._writer.write(self._interface, passed.time, passed.direction, data, note)
                note = ""  # said once, of the first
        self._held.clear()
        self._burst_rows = 0


class _Passed:
    """A frame that passed the device at `time`, as the wire frames to write."""

    __slots__ = ("direction", "frames", "note", "time")

    def __init__(self, direction: int, time: int, frames: list[bytes], note: str = "") -> None:
        self.direction = direction
        self.time = time
        self.frames = frames
        self.note = note


class TakesRemarks(Protocol):
    """Who gave the Host its current burst, and keeps what is said about it."""

    def note_rx(self, index: int, text: str) -> None:
        """A remark on frame `index` of the burst."""


class CaptureTrace(Trace):
    """Turns what a Host says about received frames into comments of the capture."""

    __slots__ = ("device",)

    def __init__(self) -> None:
        self.device: TakesRemarks | None = None

    def note_rx(self, index: int, text: str) -> None:
        """A remark on row `index` of the current burst."""
        if self.device is not None:
            self.device.note_rx(index, text)

    def on_drop(self, reason: int, index: int) -> None:
        """Say why the frame was dropped."""
        if self.device is not None and index >= 0:
            self.device.note_rx(index, f"dropped: {DropReason(reason).name.lower()}")
