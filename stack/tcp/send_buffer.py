"""What the application wrote and the peer has not acknowledged.

Theory of operation.  Chunks are kept as written (`bytes` by reference, never copied); small writes are
gathered in a growing tail.  Positions are stream offsets: byte 0 is the first byte after the SYN, and
`base` is the offset of the oldest byte held.  `view` finds the bytes of a range; one that lies in one
chunk costs no copy.  What is held is booked with the host's Budget in steps (`paid`); a chunk is held until its last
byte is acknowledged.  The lists of chunks are there while something is held.
"""

from bisect import bisect_right
from typing import Final

from mypy_extensions import mypyc_attr

from stack.tcp.memory import FREE_BYTES, OVERHEAD_SHIFT, QUANTUM, REPAY_FROM, UNBOOKED, Budget

SMALL_WRITE: Final = 4096  # below this, writes are gathered
TAIL_LIMIT: Final = 64 << 10
COMPACT_AFTER: Final = 64  # chunks released before the lists are shortened


@mypyc_attr(acyclic=True)
class SendBuffer:
    """A queue of bytes with random access; `size` bytes from offset `base` on."""

    __slots__ = ("_chunks", "_head", "_starts", "base", "budget", "end", "found", "found_off", "paid")

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self.paid = FREE_BYTES
        self._chunks: list[bytes | bytearray] | None = None
        self._starts: list[int] | None = None
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
        chunks, starts = self._chunks, self._starts
        if chunks is None or starts is None:
            self._chunks = [data if isinstance(data, bytes) else bytes(data)]
            self._starts = starts = [self.end]
        elif n >= SMALL_WRITE or not self._gather(chunks, data, n):
            chunks.append(data if isinstance(data, bytes) else bytes(data))
            starts.append(self.end)
        self.end += n
        held = self.end - starts[self._head]
        if held > self.paid:
            # an application may write more than there is room for: `send_room` tells it, nothing refuses it
            need = (held + (held >> 2) - self.paid + QUANTUM - 1) & -QUANTUM
            self.budget.make_room(need)
            self._book(self.paid + need)

    @staticmethod
    def _gather(chunks: list[bytes | bytearray], data: bytes | bytearray | memoryview, n: int) -> bool:
        """Add a small write to the tail, unless that is large enough already."""
        tail = chunks[-1]
        if isinstance(tail, bytearray):
            if len(tail) + n > TAIL_LIMIT:
                return False
            try:
                tail += data
            except BufferError:  # a view of it is still there, which on PyPy lasts until it is collected
                chunks[-1] = tail + data
        elif len(tail) + n > SMALL_WRITE:
            return False
        else:
            chunks[-1] = bytearray(tail) + data
        return True

    def _book(self, paid: int) -> None:
        if self.paid < UNBOOKED:
            self.budget.book_data(paid - self.paid)
            self.paid = paid

    def release(self, offset: int) -> None:
        """Forget everything before stream offset `offset`."""
        self.base = offset
        chunks, starts = self._chunks, self._starts
        if offset == self.end or chunks is None or starts is None:
            self._chunks = self._starts = None
            self._head = 0
            if self.paid != FREE_BYTES:
                self._book(FREE_BYTES)
            return
        head = self._head
        count = len(chunks)
        while head < count and starts[head] + len(chunks[head]) <= offset:
            chunks[head] = b""
            head += 1
        if head > COMPACT_AFTER:
            del chunks[:head]
            del starts[:head]
            head = 0
        self._head = head
        held = self.end - starts[head]
        if self.paid - held >= REPAY_FROM:
            self._book(FREE_BYTES + ((max(held - FREE_BYTES, 0) + QUANTUM - 1) & -QUANTUM))

    def cut(self, offset: int) -> None:
        """Forget everything from stream offset `offset` on."""
        starts, chunks = self._starts, self._chunks
        while self.end > offset and chunks is not None and starts is not None:
            start = starts[-1]
            if start < offset:
                chunks[-1] = chunks[-1][: offset - start]
            else:
                del starts[-1], chunks[-1]
            self.end = max(start, offset)
        self.release(self.base)  # which settles the account

    def view(self, offset: int, length: int) -> None:
        """Set `found`, `found_off` to `length` bytes at stream offset `offset` (all of them held)."""
        chunks, starts = self._chunks, self._starts
        assert chunks is not None
        assert starts is not None
        i = bisect_right(starts, offset, self._head) - 1
        chunk = chunks[i]
        at = offset - starts[i]
        if at + length <= len(chunk):
            self.found = chunk
            self.found_off = at
            return
        parts = [chunk[at:]]
        got = len(parts[0])
        while got < length:
            i += 1
            chunk = chunks[i]
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
        self._chunks = self._starts = None
        self._head = 0
        self.base = self.end
        self.found = b""
        self._book(FREE_BYTES)

    def unbook(self) -> None:
        """The connection leaves its host."""
        self._book(FREE_BYTES)
        self.paid = UNBOOKED

    def booked(self) -> int:
        """Bytes booked here, beyond what is booked with the connection."""
        data = self.paid - FREE_BYTES
        return data + (data >> OVERHEAD_SHIFT) if self.paid < UNBOOKED else 0

    def check_invariants(self) -> None:
        """Raise AssertionError when the chunks are not the bytes from `base` to `end`, or are not booked."""
        at = held = 0
        chunks, starts = self._chunks or [], self._starts or []
        for i in range(self._head, len(chunks)):
            assert not at or starts[i] == at
            at = starts[i] + len(chunks[i])
            held += len(chunks[i])
        assert not held or (at == self.end and starts[self._head] <= self.base)
        assert held or self.base == self.end
        assert held <= self.paid
        assert self.paid >= UNBOOKED or self.paid <= held + (held >> 2) + REPAY_FROM + 2 * QUANTUM
