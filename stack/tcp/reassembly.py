"""Data that arrived out of order (RFC 9293 §3.10.7.4, SHLD-31).

Theory of operation.  A run is a stretch of adjacent bytes above rcv_nxt; runs never touch or overlap.
Bytes that came first stay: an overlap adds only what is missing, so nobody can rewrite the stream.
Runs (`starts`, `ends`) and the pieces that fill them (`piece_starts`, `pieces`) are sorted lists, searched
by halves: whatever a peer sends, a segment costs a few searches and at most the removal of runs that earlier
segments had made.  Positions count on beyond 2^32 from where the queue began; `_base` is rcv_nxt at the last
call and `_at` its position.

Small neighbours are joined, so that pieces stay large; what that cannot help (single bytes far apart) is booked
with its overhead.  `recent` holds places in the runs that changed last, newest first, which is the order that
SACK reports (RFC 2018 §4).  Bounded by bytes, by runs, by pieces and by the host's Budget.
"""

from bisect import bisect_left, bisect_right
from typing import Final

from stack.tcp.memory import Budget
from stack.wire.seq import HALF, MASK

MAX_PIECES: Final = 16_384
JOIN_BYTES: Final = 2048  # neighbours up to this size become one; two full-sized segments do not
RECENT: Final = 8  # places remembered; an ACK reports up to four runs
# measured with tracemalloc on CPython 3.11, see tests/sim/test_memory_budget.py
PIECE_BYTES: Final = 104  # header of a bytes object, its rounding, its number, and its place in two lists
RUN_BYTES: Final = 56


class Reassembly:
    """The out-of-order queue of one connection; `base` in calls is rcv_nxt."""

    # fmt: off
    __slots__ = (
        "_at", "_base", "budget", "cost", "ends", "max_bytes", "max_runs", "piece_starts", "pieces", "recent", "size",
        "starts",
    )
    # fmt: on

    def __init__(self, max_bytes: int, max_runs: int, base: int, budget: Budget) -> None:
        self.budget = budget
        self.max_bytes = max_bytes
        self.max_runs = max_runs
        self._base = base
        self._at = 0
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.piece_starts: list[int] = []
        self.pieces: list[bytes] = []
        self.recent: list[int] = []
        self.size = 0
        self.cost = 0  # as booked

    def _move(self, base: int) -> None:
        """rcv_nxt is `base` now."""
        self._at += (base - self._base) & MASK
        self._base = base

    def _seq(self, position: int) -> int:
        return (self._base + position - self._at) & MASK

    # -- filling

    def insert(self, base: int, seq: int, data: bytes) -> int:
        """Add `data` at `seq` (at or after `base`); returns the bytes that were new, -1 when a bound refuses them."""
        self._move(base)
        s = self._at + ((seq - base) & MASK)
        e = s + len(data)
        starts, ends = self.starts, self.ends
        # runs[i:j] touch [s, e)
        i = bisect_left(ends, s)
        j = bisect_right(starts, e)
        if len(self.pieces) >= MAX_PIECES or self.size + len(data) > self.max_bytes:
            return -1
        if i == j:
            if len(starts) >= self.max_runs:
                return -1
            self._put(s, data)
            starts.insert(i, s)
            ends.insert(i, e)
            added = len(data)
        else:
            added = self._join(i, j, s, data)
        self.size += added
        self.recent = [s, *(p for p in self.recent[:RECENT] if not starts[i] <= p < ends[i])]
        self._book()
        return added

    def _join(self, i: int, j: int, s: int, data: bytes) -> int:
        """Merge `data` at `s` with runs[i:j], all of which it touches; returns the bytes that were new."""
        starts, ends = self.starts, self.ends
        added = 0
        at = s
        for k in range(i, j):  # all but one of them end here
            begin = starts[k]
            if at < begin:
                self._put(at, data[at - s : begin - s])
                added += begin - at
            at = max(at, ends[k])
        e = s + len(data)
        if at < e:
            self._put(at, data[at - s :])
            added += e - at
        starts[i] = min(starts[i], s)
        ends[i] = max(at, e)
        del starts[i + 1 : j]
        del ends[i + 1 : j]
        return added

    def _put(self, start: int, piece: bytes) -> None:
        """File `piece`, which fills a gap, joined with neighbours that it touches when both are small."""
        piece_starts, pieces = self.piece_starts, self.pieces
        i = bisect_right(piece_starts, start)
        if i:
            left = pieces[i - 1]
            if piece_starts[i - 1] + len(left) == start and len(left) + len(piece) <= JOIN_BYTES:
                i -= 1
                start = piece_starts[i]
                piece = left + piece
                del pieces[i], piece_starts[i]
        if i < len(pieces):
            right = pieces[i]
            if start + len(piece) == piece_starts[i] and len(right) + len(piece) <= JOIN_BYTES:
                pieces[i] = piece + right
                piece_starts[i] = start
                return
        pieces.insert(i, piece)
        piece_starts.insert(i, start)

    def _book(self) -> None:
        """Tell the budget what is held now."""
        budget = self.budget
        cost = self.size + len(self.pieces) * PIECE_BYTES + len(self.starts) * RUN_BYTES
        if not self.cost:
            budget.prunable[self] = None
        elif not cost:
            budget.prunable.pop(self, None)
        budget.book(cost - self.cost)
        self.cost = cost

    # -- emptying

    def pop_ready(self, base: int) -> list[bytes]:
        """The bytes from `base` on, in pieces, when a run begins at or before it; what lies before is forgotten."""
        self._move(base)
        at = self._at
        starts, ends, piece_starts = self.starts, self.ends, self.piece_starts
        gone = bisect_right(starts, at)  # they begin at or before `base`; only the last of them can reach beyond it
        if not gone:
            return []
        end = ends[gone - 1]
        count = bisect_left(piece_starts, end)
        ready: list[bytes] = []
        if end > at:
            first = bisect_right(piece_starts, at, 0, count) - 1
            ready = self.pieces[first:count]
            ready[0] = ready[0][at - piece_starts[first] :]
        for i in range(gone):
            self.size -= ends[i] - starts[i]
        del starts[:gone], ends[:gone]
        del piece_starts[:count], self.pieces[:count]
        self.recent = [p for p in self.recent if p >= end]
        self._book()
        return ready

    def prune(self, cost: int) -> int:
        """Forget the newest data, piece by piece, until `cost` bytes are free; returns what was freed."""
        before = self.cost
        starts, ends = self.starts, self.ends
        freed = 0
        while starts and freed < cost:
            start = self.piece_starts.pop()
            self.pieces.pop()
            freed += ends[-1] - start + PIECE_BYTES
            self.size -= ends[-1] - start
            if start == starts[-1]:
                starts.pop()
                ends.pop()
                freed += RUN_BYTES
            else:
                ends[-1] = start
        top = self.ends[-1] if self.ends else 0
        self.recent = [p for p in self.recent if p < top]
        self._book()
        return before - self.cost

    def clear(self) -> None:
        """Drop everything."""
        if self.cost:
            self.prune(self.cost)

    # -- reporting

    def blocks(self, limit: int) -> list[tuple[int, int]]:
        """Up to `limit` SACK blocks, most recently changed first (RFC 2018 §4, 2018-2)."""
        starts, ends = self.starts, self.ends
        chosen: list[int] = []
        for place in self.recent:
            i = bisect_right(starts, place) - 1
            if i not in chosen:
                chosen.append(i)
        i = 0
        while i < len(starts) and len(chosen) < limit:  # what has been merged leaves room for older ones
            if i not in chosen:
                chosen.append(i)
            i += 1
        return [(self._seq(starts[i]), self._seq(ends[i])) for i in chosen[:limit]]

    def overlap(self, base: int, seq: int, length: int) -> tuple[int, int] | None:
        """The first stretch of [seq, seq + length) that is held already."""
        self._move(base)
        s = self._at + ((seq - base) & MASK)
        e = s + length
        i = bisect_right(self.ends, s)
        if i == len(self.ends) or self.starts[i] >= e:
            return None
        return self._seq(max(self.starts[i], s)), self._seq(min(self.ends[i], e))

    def holds(self, left: int, right: int) -> bool:
        """Whether one run has all of [left, right)."""
        block = self.block_around(left)
        return block is not None and (right - left) & MASK <= (block[1] - left) & MASK

    def block_around(self, seq: int) -> tuple[int, int] | None:
        """The run that holds `seq` (RFC 2883 §4.2: the enclosing block after a D-SACK)."""
        ahead = (seq - self._base) & MASK
        if ahead >= HALF:
            return None
        place = self._at + ahead
        i = bisect_right(self.starts, place) - 1
        if i < 0 or place >= self.ends[i]:
            return None
        return self._seq(self.starts[i]), self._seq(self.ends[i])

    def check_invariants(self, rcv_nxt: int) -> None:
        """Raise AssertionError when the runs are not ordered, apart, filled by their pieces, or miscounted."""
        at = self._at + ((rcv_nxt - self._base) & MASK)
        size = piece = 0
        for start, end in zip(self.starts, self.ends, strict=True):
            assert at < start < end, f"run {start}-{end} after {at}"
            at = start
            while at < end:
                assert self.piece_starts[piece] == at, f"piece at {self.piece_starts[piece]}, not {at}"
                at += len(self.pieces[piece])
                piece += 1
            assert at == end, f"the pieces of run {start}-{end} end at {at}"
            size += end - start
        assert (piece, piece) == (len(self.pieces), len(self.piece_starts))
        assert size == self.size
        assert self.cost == size + piece * PIECE_BYTES + len(self.starts) * RUN_BYTES
        for place in self.recent:
            i = bisect_right(self.starts, place) - 1
            assert i >= 0, f"{place} is in no run"
            assert place < self.ends[i], f"{place} is in no run"
