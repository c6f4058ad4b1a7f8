"""What the application wrote and the peer has not acknowledged.

Theory of operation.  Chunks are kept as written (`bytes` by reference, never copied); small writes are
gathered in a growing tail.  Positions are stream offsets: byte 0 is the first byte after the SYN, and
`base` is the offset of the oldest byte held.  `view` finds the bytes of a range; one that lies in one
chunk costs no copy.
"""

from bisect import bisect_right
from typing import Final

SMALL_WRITE: Final = 4096  # below this, writes are gathered
TAIL_LIMIT: Final = 64 << 10
COMPACT_AFTER: Final = 64  # chunks released before the lists are shortened


class SendBuffer:
    """A queue of bytes with random access; `size` bytes from offset `base` on."""

    __slots__ = ("_chunks", "_head", "_starts", "base", "end", "found", "found_off")

    def __init__(self) -> None:
        self._chunks: list[bytes | bytearray] = []
        self._starts: list[int] = []
        self._head = 0
        self.base = 0
        self.end = 0
        # result of `view`: a buffer and the offset of the range in it
        self.found: bytes | bytearray = b""
        self.found_off = 0

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Add to the end.  `bytes` are held, not copied."""
        n = len(data)
        if not n:
            return
        if n < SMALL_WRITE and self._head < len(self._chunks):
            tail = self._chunks[-1]
            if isinstance(tail, bytearray):
                if len(tail) + n <= TAIL_LIMIT:
                    tail += data
                    self.end += n
                    return
            elif len(tail) + n <= SMALL_WRITE:
                self._chunks[-1] = bytearray(tail) + data
                self.end += n
                return
        self._chunks.append(data if isinstance(data, bytes) else bytes(data))
        self._starts.append(self.end)
        self.end += n

    def release(self, offset: int) -> None:
        """Forget everything before stream offset `offset`."""
        self.base = offset
        if offset == self.end:
            self._chunks.clear()
            self._starts.clear()
            self._head = 0
            return
        head = self._head
        count = len(self._chunks)
        while head < count and self._starts[head] + len(self._chunks[head]) <= offset:
            self._chunks[head] = b""
            head += 1
        if head > COMPACT_AFTER:
            del self._chunks[:head]
            del self._starts[:head]
            head = 0
        self._head = head

    def view(self, offset: int, length: int) -> None:
        """Set `found`, `found_off` to `length` bytes at stream offset `offset` (all of them held)."""
        i = bisect_right(self._starts, offset, self._head) - 1
        chunk = self._chunks[i]
        at = offset - self._starts[i]
        if at + length <= len(chunk):
            self.found = chunk
            self.found_off = at
            return
        parts = [chunk[at:]]
        got = len(parts[0])
        while got < length:
            i += 1
            chunk = self._chunks[i]
            if got + len(chunk) > length:
                parts.append(chunk[: length - got])
                got = length
            else:
                parts.append(chunk)
                got += len(chunk)
        self.found = b"".join(parts)
        self.found_off = 0

    def clear(self) -> None:
        """Drop everything."""
        self._chunks.clear()
        self._starts.clear()
        self._head = 0
        self.base = self.end
        self.found = b""
