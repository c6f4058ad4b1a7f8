"""What passed the ports of a network: a running digest, the latest frames, captures and reports made of them.

Theory of operation.  Every frame goes, with time, port and direction, into one SHA-256 (in batches: hashing many small
pieces costs more than the hash) and as a tuple into a bounded record.  What enters a link is hashed in full.  Of what
leaves it the headers suffice, with the checksums of the rest: it is what entered, and damage on the way shows in them
or in that the receiver drops it.  What is said about a frame later, by the
host that gets it, is kept by the number of its record.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from hashlib import sha256
from struct import Struct
from typing import BinaryIO, Final

from stack.device.pcapng import INBOUND, OUTBOUND, PcapngWriter
from stack.sim.describe import describe

RECORD_FRAMES: Final = 10_000  # a capture of them stays under 20 MB
BATCH: Final = 64  # frames
HEAD: Final = 66  # Ethernet, IPv4 and TCP with timestamps
EVENTS: Final = 200  # besides frames: timers, actions, links going down
# time, port, direction, data
Passed = tuple[int, int, int, bytes]

_STAMP = Struct("<qIBI")  # time, port, direction, length


class Recorder:
    """See the head of this file.  `max_frames` 0 keeps none; without `hashing` there is no digest."""

    __slots__ = ("_batch", "_digest", "_events", "_frames", "_hashing", "_max_frames", "_notes", "passed")

    def __init__(self, max_frames: int, *, hashing: bool) -> None:
        self._max_frames = max_frames
        self._hashing = hashing
        self._digest = sha256()
        self._batch: list[Passed] = []  # not hashed yet
        self._frames: deque[Passed] = deque(maxlen=max_frames)
        self._notes: dict[int, str] = {}  # by serial number of the frame
        self._events: deque[tuple[int, int, str]] = deque(
            maxlen=EVENTS
        )  # (serial number of the next frame, time, text)
        self.passed = 0  # frames so far; the serial number of the next one

    def frame(self, time: int, port: int, direction: int, data: bytes) -> None:
        """A frame that entered (OUTBOUND) or left (INBOUND) a link at `port`."""
        self.passed += 1
        passed = (time, port, direction, data)
        if self._hashing:
            self._batch.append(passed)
            if len(self._batch) == BATCH:
                self._hash()
        if self._max_frames:
            self._frames.append(passed)

    def _hash(self) -> None:
        """Hash the batch."""
        parts = []
        for time, port, direction, data in self._batch:
            parts.append(_STAMP.pack(time, port, direction, len(data)))
            parts.append(data if direction == OUTBOUND else data[:HEAD])
        self._digest.update(b"".join(parts))
        self._batch.clear()

    def note(self, serial: int, text: str) -> None:
        """A remark on a frame."""
        if not self._max_frames:
            return
        notes = self._notes
        before = notes.get(serial)
        notes[serial] = f"{before}; {text}" if before else text
        if len(notes) > 2 * self._max_frames:
            self._notes = {n: t for n, t in notes.items() if n >= self.passed - self._max_frames}

    def event(self, time: int, text: str) -> None:
        """Something else that happened."""
        self._events.append((self.passed, time, text))

    def digest(self) -> str:
        """SHA-256 over all frames so far, with their times and places."""
        self._hash()
        return self._digest.hexdigest()

    def capture(self, names: Sequence[str], port: int | None, file: BinaryIO) -> None:
        """Write the latest frames at `port`, or at all ports (None), as pcapng; `names` are those of the ports."""
        writer = PcapngWriter(file)
        wanted = range(len(names)) if port is None else (port,)
        interfaces = {index: writer.add_interface(names[index]) for index in wanted}
        for serial, (time, at, direction, data) in self._numbered():
            if at in interfaces:
                writer.write(interfaces[at], time, direction, data, self._notes.get(serial, ""))

    def latest(self, count: int, names: Sequence[str]) -> list[str]:
        """The last `count` frames and events, in words, in order."""
        lines = [(serial, 0, time, text) for serial, time, text in self._events]
        for serial, (time, port, direction, data) in self._numbered():
            if serial >= self.passed - count:
                arrow = "->" if direction == OUTBOUND else "<-"
                note = self._notes.get(serial)
                lines.append(
                    (serial, 1, time, f"{names[port]} {arrow} {describe(data)}" + (f" [{note}]" if note else ""))
                )
        lines.sort(key=lambda line: line[:2])
        return [f"{time:>12} us  {text}" for _, _, time, text in lines[-count:]]

    def _numbered(self) -> Iterator[tuple[int, Passed]]:
        return enumerate(self._frames, self.passed - len(self._frames))


__all__ = ["INBOUND", "OUTBOUND", "RECORD_FRAMES", "Recorder"]
