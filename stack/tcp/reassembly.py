"""Data that arrived out of order (RFC 9293 §3.10.7.4, SHLD-31).

Theory of operation.  A run is a stretch of adjacent bytes above rcv_nxt; runs never touch or overlap.
Bytes that came first stay: an overlap adds only what is missing, so nobody can rewrite the stream.
`recent` holds the runs in the order of their last change, newest first, which is the order that SACK
reports (RFC 2018 §4).  Bounded by bytes, by runs and by pieces.
"""

from collections import deque
from typing import Final

from stack.wire.seq import HALF, MASK

MAX_PIECES: Final = 16_384  # against floods of tiny segments


class Run:
    """Bytes [start, end) in `pieces`."""

    __slots__ = ("end", "pieces", "start")

    def __init__(self, start: int, end: int, data: bytes) -> None:
        self.start = start
        self.end = end
        self.pieces: deque[bytes] = deque((data,))


class Reassembly:
    """The out-of-order queue of one connection."""

    __slots__ = ("max_bytes", "max_runs", "n_pieces", "recent", "runs", "size")

    def __init__(self, max_bytes: int, max_runs: int) -> None:
        self.runs: list[Run] = []
        self.recent: list[Run] = []
        self.size = 0
        self.n_pieces = 0
        self.max_bytes = max_bytes
        self.max_runs = max_runs

    def insert(self, base: int, seq: int, data: bytes) -> int:
        """Add `data` at `seq` (at or after `base`, which is rcv_nxt); returns the bytes that were new, -1
        when a bound refuses them.
        """
        s = (seq - base) & MASK
        e = s + len(data)
        runs = self.runs
        # the last run is where most segments go
        i = len(runs)
        while i and (runs[i - 1].end - base) & MASK >= s:
            i -= 1
        j = i
        while j < len(runs) and (runs[j].start - base) & MASK <= e:
            j += 1
        if self.n_pieces >= MAX_PIECES or self.size + len(data) > self.max_bytes:
            return -1
        if i == j:
            if len(runs) >= self.max_runs:
                return -1
            run = Run(seq, (seq + len(data)) & MASK, data)
            runs.insert(i, run)
            self.recent.insert(0, run)
            self.size += len(data)
            self.n_pieces += 1
            return len(data)
        return self._join(i, j, base, s, data)

    def _join(self, i: int, j: int, base: int, s: int, data: bytes) -> int:
        """Merge `data` (at offset `s` from `base`) with runs[i:j], all of which it touches."""
        runs = self.runs
        run = runs[i]
        added = 0
        e = s + len(data)
        start = (run.start - base) & MASK
        if s < start:
            piece = data[: start - s]
            run.pieces.appendleft(piece)
            run.start = (base + s) & MASK
            added += len(piece)
            self.n_pieces += 1
        at = (run.end - base) & MASK
        for k in range(i + 1, j):
            other = runs[k]
            begin = (other.start - base) & MASK
            if at < begin:
                run.pieces.append(data[at - s : begin - s])
                added += begin - at
                self.n_pieces += 1
            if len(other.pieces) > len(run.pieces):
                other.pieces.extendleft(reversed(run.pieces))
                run.pieces = other.pieces
            else:
                run.pieces.extend(other.pieces)
            run.end = other.end
            at = (run.end - base) & MASK
            self.recent.remove(other)
        if at < e:
            run.pieces.append(data[at - s :])
            added += e - at
            self.n_pieces += 1
            run.end = (base + e) & MASK
        del runs[i + 1 : j]
        if self.recent[0] is not run:
            self.recent.remove(run)
            self.recent.insert(0, run)
        self.size += added
        return added

    def pop_ready(self, rcv_nxt: int) -> Run | None:
        """The first run when it begins at or before `rcv_nxt`; it leaves the queue."""
        if not self.runs:
            return None
        run = self.runs[0]
        if (rcv_nxt - run.start) & MASK >= HALF:
            return None
        del self.runs[0]
        self.recent.remove(run)
        self.n_pieces -= len(run.pieces)
        self.size -= (run.end - run.start) & MASK
        return run

    def blocks(self, limit: int) -> list[tuple[int, int]]:
        """Up to `limit` SACK blocks, most recently changed first (RFC 2018 §4, 2018-2)."""
        return [(run.start, run.end) for run in self.recent[:limit]]

    def overlap(self, base: int, seq: int, length: int) -> tuple[int, int] | None:
        """The first stretch of [seq, seq + length) that is held already; `base` is rcv_nxt."""
        begin = (seq - base) & MASK
        end = begin + length
        for run in self.runs:
            left = max((run.start - base) & MASK, begin)
            right = min((run.end - base) & MASK, end)
            if left < right:
                return (base + left) & MASK, (base + right) & MASK
        return None

    def block_around(self, seq: int) -> tuple[int, int] | None:
        """The run that holds `seq` (RFC 2883 §4.2: the enclosing block after a D-SACK)."""
        for run in self.runs:
            if (seq - run.start) & MASK < (run.end - run.start) & MASK:
                return run.start, run.end
        return None

    def clear(self) -> None:
        """Drop everything."""
        self.runs.clear()
        self.recent.clear()
        self.size = self.n_pieces = 0

    def check_invariants(self, rcv_nxt: int) -> None:
        """Raise AssertionError when the runs are not ordered, apart, or miscounted."""
        at = 0
        size = pieces = 0
        for run in self.runs:
            start, end = (run.start - rcv_nxt) & MASK, (run.end - rcv_nxt) & MASK
            assert at < start < end < HALF, f"run {start}-{end} after {at}"
            assert sum(map(len, run.pieces)) == end - start
            at = end
            size += end - start
            pieces += len(run.pieces)
        assert (size, pieces) == (self.size, self.n_pieces)
        assert len(self.recent) == len(self.runs)
