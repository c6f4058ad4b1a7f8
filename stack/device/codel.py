"""CoDel, controlled delay (RFC 8289): a queue that drops by how long frames have waited, not by how many there are.

Theory of operation.  Frames are stamped on entry.  On the way out `pop` looks at how long the head has waited; when
that has been over the target for a whole interval, it drops the head and enters the dropping state, in which drops come
at intervals that shrink with the square root of their number, until the wait falls below the target.  With `ecn` a
frame of an ECN-capable transport is marked (CE) in place of each drop (RFC 8289 §3.1, RFC 3168 §5).  All times are
integer nanoseconds.  `on_drop` is told each frame that is dropped.
"""

from collections import deque
from collections.abc import Callable
from math import isqrt

from stack.wire import accel
from stack.wire.frame import ETH_HLEN

TARGET_US = 5_000  # RFC 8289 §4.2
INTERVAL_US = 100_000  # RFC 8289 §4.3
RECENT_INTERVALS = 16  # RFC 8289 §5.6: a drop rate that worked this lately is a good one to begin with

ETHERTYPE_IPV4 = b"\x08\x00"
_TOS_AT = ETH_HLEN + 1
_CSUM_AT = ETH_HLEN + 10
ECN_BITS = 3
CE = 3  # RFC 3168 §5
_NS_PER_US = 1_000
_ROOT_SCALE = 1 << 20  # isqrt(count * 2^40) / 2^20 is the square root to six digits


def mark_ce(frame: bytes) -> bytes | None:
    """The IPv4 frame with CE set and the header checksum right, or None if its transport does not do ECN."""
    if frame[12:14] != ETHERTYPE_IPV4 or len(frame) < ETH_HLEN + 20:
        return None
    ecn = frame[_TOS_AT] & ECN_BITS
    if not ecn:
        return None
    if ecn == CE:
        return frame
    marked = bytearray(frame)
    old = frame[ETH_HLEN] << 8 | frame[_TOS_AT]
    marked[_TOS_AT] |= CE
    csum = accel.update_checksum(frame[_CSUM_AT] << 8 | frame[_CSUM_AT + 1], old, old | CE)
    marked[_CSUM_AT : _CSUM_AT + 2] = csum.to_bytes(2, "big")
    return bytes(marked)


class CoDelQueue:
    """See the head of this file.  `nbytes` counts the frames that wait."""

    # fmt: off
    __slots__ = ("_above_at", "_count", "_drop_at", "_dropping", "_ecn", "_frames", "_interval", "_last_count",
                 "_max_frame", "_target", "dropped", "marked", "nbytes", "on_drop", "popped_wait_ns")
    # fmt: on

    def __init__(self, target_us: int, interval_us: int, *, ecn: bool) -> None:
        self.configure(target_us, interval_us, ecn=ecn)
        self._frames: deque[tuple[int, bytes]] = deque()  # (entered at ns, frame)
        self.nbytes = 0
        self._max_frame = 0  # RFC 8289 §5.1: MAXPACKET, the largest frame seen
        self._above_at = 0  # when the wait will have been over the target for an interval; 0: it is not over it
        self._drop_at = 0
        self._count = 0  # drops since the dropping state was entered
        self._last_count = 0
        self._dropping = False
        self.dropped = 0
        self.marked = 0
        self.on_drop: Callable[[bytes], None] | None = None
        self.popped_wait_ns = 0  # how long the frame that `pop` gave last had waited

    def configure(self, target_us: int, interval_us: int, *, ecn: bool) -> None:
        """Other settings, for frames that leave from now on."""
        self._target = target_us * _NS_PER_US
        self._interval = interval_us * _NS_PER_US
        self._ecn = ecn

    def __len__(self) -> int:
        """Return the number of frames that wait."""
        return len(self._frames)

    def push(self, frame: bytes, now_ns: int) -> None:
        """A frame enters."""
        length = len(frame)
        self._frames.append((now_ns, frame))
        self.nbytes += length
        self._max_frame = max(self._max_frame, length)

    def head_ns(self) -> int:
        """When the head entered; 0 for an empty queue."""
        return self._frames[0][0] if self._frames else 0

    def clear(self) -> list[bytes]:
        """Forget all frames; which there were."""
        left = [frame for _, frame in self._frames]
        self._frames.clear()
        self.nbytes = self._above_at = 0
        self._dropping = False
        return left

    def pop(self, now_ns: int) -> bytes | None:
        """The next frame to send at `now_ns`, maybe marked; None when none is left.  RFC 8289 §5.6."""
        frame, late = self._take(now_ns)
        if self._dropping:
            self._dropping = late
            while self._dropping and frame is not None and now_ns >= self._drop_at:
                self._count += 1
                marked = self._mark(frame)
                if marked is not None:
                    self._drop_at = self._control_law(self._drop_at)
                    return marked
                self._drop(frame)
                frame, self._dropping = self._take(now_ns)
                if self._dropping:
                    self._drop_at = self._control_law(self._drop_at)
        elif late and frame is not None:
            marked = self._mark(frame)
            if marked is None:
                self._drop(frame)
                marked, _ = self._take(now_ns)
            self._dropping = True
            delta = self._count - self._last_count
            recent = now_ns - self._drop_at < RECENT_INTERVALS * self._interval
            self._count = delta if delta > 1 and recent else 1
            self._last_count = self._count
            self._drop_at = self._control_law(now_ns)
            return marked
        return frame

    def _take(self, now_ns: int) -> tuple[bytes | None, bool]:
        """The head, and whether it may be dropped.  RFC 8289 §5.5."""
        if not self._frames:
            self._above_at = 0
            return None, False
        entered_at, frame = self._frames.popleft()
        self.nbytes -= len(frame)
        self.popped_wait_ns = wait = now_ns - entered_at
        if wait < self._target or self.nbytes <= self._max_frame:
            self._above_at = 0
        elif self._above_at == 0:
            self._above_at = now_ns + self._interval
        elif now_ns >= self._above_at:
            return frame, True
        return frame, False

    def _drop(self, frame: bytes) -> None:
        self.dropped += 1
        if self.on_drop is not None:
            self.on_drop(frame)

    def _mark(self, frame: bytes) -> bytes | None:
        if not self._ecn:
            return None
        marked = mark_ce(frame)
        self.marked += marked is not None
        return marked

    def _control_law(self, at_ns: int) -> int:
        """RFC 8289 §5.3: the next drop comes interval / sqrt(count) after the last."""
        return at_ns + self._interval * _ROOT_SCALE // isqrt(self._count * _ROOT_SCALE * _ROOT_SCALE)
