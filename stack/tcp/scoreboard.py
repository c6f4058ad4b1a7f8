"""What was sent and not yet acknowledged: one record per transmitted range (RFC 6675 §3-5).

Theory of operation.  `records[head:]` are ordered, adjacent and cover exactly snd_una .. snd_nxt.  A
super-segment is one record; a SACK edge, a loss edge or a shorter retransmission splits it.  Neighbours
that are SACKed merge, so a run of SACKed data costs one record and the list stays short however long a
recovery takes.  A SACK edge splits no record once there are MAX_RECORDS (CVE-2019-11477).

A record is in exactly one of these conditions, and the byte counters follow it:

    in flight                 counted by nothing
    SACKED                    `sacked_bytes`
    LOST                      `lost_bytes`, and it lies in a range of `_lost`: it waits to be sent again
    LOST | RETRANSMITTED      `lost_bytes` and `retrans_bytes`

so the pipe of RFC 6675 §4 is (snd_nxt - snd_una) - sacked_bytes - lost_bytes + retrans_bytes.  Which
ranges are lost is decided by the detection policy in recovery.py; this file only keeps the books.
All sequence numbers are modulo 2^32.

Work per ACK is bounded whatever the peer says: `_lost` and `resent` hold ranges of sequence numbers, not records, so
that a split costs them nothing; each range is walked once, from its front, past what is no longer true of it.
Records sent once are in the order of their times; `resent` has the others in the order of theirs (RFC 8985 §6.2).
"""

from collections import deque
from typing import Final

from mypy_extensions import mypyc_attr

from stack.config import NEVER
from stack.wire.seq import HALF, MASK

SACKED: Final = 1
LOST: Final = 2
RETRANSMITTED: Final = 4  # after it was marked lost, and that copy is in flight
GONE: Final = 8  # acknowledged or merged away
WAITS: Final = LOST | RETRANSMITTED  # a mark & WAITS == LOST waits to be sent again

# why a range is sent again; an index of WHY_NAMES
WHY_RACK: Final = 0
WHY_FAST: Final = 1
WHY_RTO: Final = 2
WHY_RESCUE: Final = 3
WHY_MTU: Final = 4
WHY_PROBE: Final = 5
WHY_NAMES: Final = (
    "retransmission: RACK",
    "retransmission: fast retransmit",
    "retransmission: timeout",
    "retransmission: rescue",
    "retransmission: path MTU",
    "tail loss probe",
)

MAX_RECORDS: Final = 8192
COMPACT_AFTER: Final = 256


@mypyc_attr(acyclic=True)
class Record:
    """One transmitted range: sequence numbers [seq, end), times in microseconds."""

    __slots__ = (
        "app_limited",
        "delivered",
        "delivered_at",
        "end",
        "fin",
        "first_sent_at",
        "lost_before",
        "mark",
        "sent_at",
        "seq",
        "transmissions",
        "tx_in_flight",
        "why",
    )

    def __init__(self, seq: int, end: int, sent_at: int) -> None:
        self.seq = seq
        self.end = end
        self.sent_at = sent_at  # of the last transmission
        self.transmissions = 1
        self.mark = 0
        self.fin = False  # the last sequence number is the FIN
        self.why = WHY_RACK  # it was marked lost
        # the connection's totals when this was sent last, for the delivery rate (see delivery.py)
        self.delivered = 0
        self.delivered_at = -1  # no rate sample can be made of it
        self.first_sent_at = 0
        self.tx_in_flight = 0
        self.lost_before = 0
        self.app_limited = False


@mypyc_attr(acyclic=True)
class Scoreboard:
    """The transmitted ranges of one connection."""

    # fmt: off
    __slots__ = (
        "_lost", "head", "high_sacked", "lost_bytes", "lost_log", "lost_retransmits", "lost_total", "newest",
        "newest_once", "original", "original_edge", "records", "reordered", "resent", "retrans_bytes", "sacked_bytes",
        "steps", "tracks_resent",
    )
    # fmt: on

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.head = 0
        self._lost: deque[tuple[int, int]] | None = None  # [seq, end) that waits; made when the first loss happens
        # (sent_at, seq, end) of what was sent again, in that order; only RACK wants it, and it is made when needed
        self.tracks_resent = False
        self.resent: deque[tuple[int, int, int]] | None = None
        self.sacked_bytes = 0
        self.lost_bytes = 0
        self.retrans_bytes = 0
        self.lost_total = 0  # all bytes ever marked lost, each time they were
        # (bytes, tx_in_flight, lost since it was sent, app_limited) of ranges newly lost, where the controller asks
        self.lost_log: list[tuple[int, int, int, bool]] | None = None
        self.high_sacked = 0  # end of the highest SACKed record; meaningful while sacked_bytes
        self.newest: Record | None = None  # of what the last on_ack/on_sack delivered, the one sent last
        self.newest_once: Record | None = None  # the same of what was sent only once
        self.reordered = False  # RFC 8985 §6.2 step 3: something sent once arrived after something sent later
        self.original_edge = -1  # `original` looks at what was sent before it; -1: at nothing
        self.original = False  # such a range, sent only once, was delivered (for F-RTO)
        self.lost_retransmits = 0  # ranges whose retransmission was lost, too
        self.steps = 0  # records looked at in search of something, for tests of the bounds

    def __len__(self) -> int:
        return len(self.records) - self.head

    def is_blank(self) -> bool:
        """Whether this is as if made anew: nothing is outstanding, and nothing was ever lost, nor looked like it."""
        return not (
            self.records
            or self.high_sacked
            or self.lost_total
            or self.steps
            or self.reordered
            or self.original
            or self.newest is not None
            or self.newest_once is not None
            or self.lost_log is not None
            or self.resent is not None
            or self.original_edge >= 0
        )

    def append(self, seq: int, end: int, now: int) -> Record:
        """A new range was sent, right after the last one."""
        record = Record(seq, end, now)
        self.records.append(record)
        return record

    def first(self) -> Record | None:
        """The oldest record."""
        return self.records[self.head] if self.head < len(self.records) else None

    def last(self) -> Record | None:
        """The newest record."""
        return self.records[-1] if self.head < len(self.records) else None

    # -- books

    def _unmark(self, r: Record, length: int) -> None:
        """Take `length` bytes of `r` out of the counters."""
        mark = r.mark
        if mark & SACKED:
            self.sacked_bytes -= length
        elif mark & LOST:
            self.lost_bytes -= length
            if mark & RETRANSMITTED:
                self.retrans_bytes -= length

    def _delivered(self, r: Record, high: int) -> None:
        """`r` arrived; `high` is the end of what was SACKed before, -1 for nothing."""
        if r.transmissions == 1:
            if high >= 0 and 0 < (high - r.end) & MASK < HALF:
                self.reordered = True
            once = self.newest_once
            if self.newest is None or once is None or ((r.end - once.end) & MASK) < HALF:
                self.newest_once = r
            if self.original_edge >= 0 and (self.original_edge - r.end) & MASK < HALF:
                self.original = True
        elif self.newest is None:
            self.newest_once = None
        newest = self.newest
        if (
            newest is None
            or r.sent_at > newest.sent_at
            or (r.sent_at == newest.sent_at and ((r.end - newest.end) & MASK) < HALF)
        ):
            self.newest = r

    def on_ack(self, ack: int) -> int:
        """Everything before `ack` is delivered; returns the bytes of it that SACK had not reported."""
        fresh = 0
        records = self.records
        head, count = self.head, len(records)
        if count - head == 1:
            # the usual case of a conversation: one range, all of it acknowledged
            r = records[head]
            if r.end == ack and not r.mark:
                r.mark = GONE
                self.newest = r
                self.newest_once = None if r.transmissions > 1 else r
                self.head = 0
                records.clear()
                return (ack - r.seq) & MASK
        high = self.high_sacked if self.sacked_bytes else -1
        # all sent once, nothing SACKed: each was sent after the one before it, and that is all there is to know
        in_order = high < 0 and self.original_edge < 0
        while head < count:
            r = records[head]
            length = (r.end - r.seq) & MASK
            covered = (ack - r.seq) & MASK
            if covered >= HALF or covered == 0:
                break
            whole = covered >= length
            if not whole:
                length = covered
            if r.mark:
                self._unmark(r, length)
            if not r.mark & SACKED:
                fresh += length
                if in_order and r.transmissions == 1:
                    self.newest = self.newest_once = r
                else:
                    in_order = False
                    self._delivered(r, high)
            if not whole:
                r.seq = ack
                break
            r.mark |= GONE
            head += 1
        if head == count:
            records.clear()
            head = 0
            if self._lost:
                self._lost.clear()
            if self.resent:
                self.resent.clear()
        elif head > COMPACT_AFTER:
            del records[:head]
            head = 0
        self.head = head
        return fresh

    def find(self, seq: int) -> int:
        """Index of the record that contains `seq`, or len(records)."""
        records = self.records
        lo, hi = self.head, len(records)
        if lo == hi:
            return hi
        base = records[lo].seq
        want = (seq - base) & MASK
        while lo < hi:
            mid = (lo + hi) >> 1
            if (records[mid].end - base) & MASK <= want:
                lo = mid + 1
            else:
                hi = mid
        return lo

    def split(self, index: int, at: int) -> Record:
        """Cut the record at `index` so that a new one begins at sequence number `at`; returns the new one."""
        r = self.records[index]
        tail = Record(at, r.end, r.sent_at)
        tail.transmissions = r.transmissions
        tail.mark = r.mark
        tail.fin = r.fin
        tail.delivered = r.delivered
        tail.delivered_at = r.delivered_at
        tail.first_sent_at = r.first_sent_at
        tail.tx_in_flight = r.tx_in_flight
        tail.lost_before = r.lost_before
        tail.app_limited = r.app_limited
        tail.why = r.why
        r.end = at
        r.fin = False
        self.records.insert(index + 1, tail)
        return tail

    def join_lost(self, r: Record, limit: int) -> None:
        """Take the ranges behind `r` that also wait to be sent again into it, as far as `limit` bytes hold them whole.

        Whoever writes little at a time has small segments outstanding; sent again one by one, they would be many times
        the segments that a window of so many bytes stands for.
        """
        records = self.records
        first = self.index_of(r) + 1
        i = first
        while i < len(records):
            self.steps += 1
            following = records[i]
            if following.mark & (WAITS | SACKED) != LOST or (following.end - r.seq) & MASK > limit:
                break
            following.mark |= GONE
            i += 1
        if i > first:
            last = records[i - 1]
            r.end, r.fin = last.end, last.fin
            del records[first:i]

    def on_sack(self, left: int, right: int) -> int:
        """[left, right) arrived out of order (checked to lie in snd_una .. snd_nxt); returns the bytes
        that are news.
        """
        fresh = 0
        high = self.high_sacked if self.sacked_bytes else -1
        i = self.find(left)
        records = self.records
        while i < len(records):
            self.steps += 1
            r = records[i]
            begin = (r.seq - left) & MASK
            room = (right - r.seq) & MASK
            if room == 0 or room >= HALF:
                break  # the record begins at or past `right`
            if r.mark & SACKED:
                i += 1
                continue
            if begin >= HALF:  # `left` falls inside
                if len(records) - self.head >= MAX_RECORDS:
                    break
                r = self.split(i, left)
                i += 1
            if ((right - r.end) & MASK) >= HALF:  # `right` falls inside
                if len(records) - self.head >= MAX_RECORDS:
                    break
                self.split(i, right)
            length = (r.end - r.seq) & MASK
            fresh += length
            self._unmark(r, length)
            r.mark = SACKED
            self.sacked_bytes += length
            self._delivered(r, high)
            i = self._merge(i)
        if fresh and (self.sacked_bytes == fresh or ((right - self.high_sacked) & MASK) < HALF):
            self.high_sacked = right
        return fresh

    def _merge(self, i: int) -> int:
        """Join the SACKed record at `i` with SACKed neighbours; returns the index after it."""
        records = self.records
        r = records[i]
        if i + 1 < len(records) and records[i + 1].mark & SACKED:
            after = records.pop(i + 1)
            after.mark |= GONE
            r.end = after.end
            r.fin = after.fin
        if i > self.head and records[i - 1].mark & SACKED:
            before = records[i - 1]
            before.end = r.end
            before.fin = r.fin
            r.mark |= GONE
            del records[i]
            # the last transmission is what the RTT and the delivery rate are taken from
            if r.sent_at >= before.sent_at:
                before.sent_at = r.sent_at
                before.transmissions = r.transmissions
            return i
        return i + 1

    # -- loss

    def mark_lost(self, r: Record, why: int) -> int:
        """`r` is lost (again, when it was retransmitted); returns its bytes, 0 when it waits already."""
        mark = r.mark
        if mark & (SACKED | GONE) or mark & WAITS == LOST:
            return 0
        length = (r.end - r.seq) & MASK
        if mark & RETRANSMITTED:
            self.retrans_bytes -= length
        else:
            self.lost_bytes += length
        if r.transmissions > 1:
            self.lost_retransmits += 1
        r.mark = LOST
        r.why = why
        self.lost_total += length
        if self.lost_log is not None:
            self.lost_log.append((length, r.tx_in_flight, self.lost_total - r.lost_before, r.app_limited))
        self._queue(r, self.lost_bytes - self.retrans_bytes == length)
        return length

    def _queue(self, r: Record, alone: bool) -> None:
        """`r` waits; `alone`: nothing else does, and what the queue holds is stale."""
        lost = self._lost
        if lost is None:
            lost = self._lost = deque()
        elif alone:
            lost.clear()
        if lost:
            begin, end = lost[-1]
            if end == r.seq:
                lost[-1] = begin, r.end
                return
            if (lost[0][0] - r.end) & MASK < HALF:
                lost.appendleft((r.seq, r.end))  # RFC 6675 §4: the lowest number first
                return
        lost.append((r.seq, r.end))

    def mark_all_lost(self, why: int) -> int:
        """Everything that is not SACKed is lost, oldest first; returns the bytes newly marked."""
        return self.mark_sent_before(NEVER, why)

    def mark_sent_before(self, at: int, why: int) -> int:
        """The first range, and all others sent before the time `at`, are lost, oldest first."""
        total = 0
        if self._lost is not None:
            self._lost.clear()
        first = self.first()
        for i in range(self.head, len(self.records)):
            r = self.records[i]
            if r.mark & WAITS == LOST:
                r.why = why
                self._queue(r, alone=False)
            elif r is first or r.sent_at < at:
                total += self.mark_lost(r, why)
        return total

    def unmark_lost(self) -> None:
        """Nothing is lost after all: what was not SACKed is in flight."""
        for i in range(self.head, len(self.records)):
            self.records[i].mark &= SACKED
        self.lost_bytes = self.retrans_bytes = 0
        if self._lost is not None:
            self._lost.clear()

    def forget_if_reneged(self) -> bool:
        """The retransmission timer fired: a first range that is SACKed means that the peer dropped what it had
        SACKed (RFC 2018 §8, 2018-4), and all of it counts as in flight again.
        """
        first = self.first()
        if first is None or not first.mark & SACKED:
            return False
        for i in range(self.head, len(self.records)):
            self.records[i].mark &= ~SACKED
        self.sacked_bytes = 0
        return True

    def next_lost(self) -> Record | None:
        """The record to send again first; it stays queued until `retransmitted`."""
        lost = self._lost
        while lost:
            begin, end = lost[0]
            i = self._find_in(begin, end)
            while i >= 0:
                self.steps += 1
                r = self.records[i]
                if r.mark & (WAITS | GONE | SACKED) == LOST:
                    if r.seq != begin:
                        lost[0] = r.seq, end
                    return r
                i = self._after(i, end)
            lost.popleft()
        return None

    def next_resent(self) -> Record | None:
        """Of what was sent again and is still in flight, the one sent first."""
        resent = self.resent
        while resent:
            at, begin, end = resent[0]
            i = self._find_in(begin, end)
            while i >= 0:
                self.steps += 1
                r = self.records[i]
                if r.sent_at == at and not r.mark & (SACKED | GONE) and r.mark & WAITS != LOST:
                    if r.seq != begin:
                        resent[0] = at, r.seq, end
                    return r
                i = self._after(i, end)
            resent.popleft()
        return None

    def _find_in(self, begin: int, end: int) -> int:
        """Index of the first record of [begin, end), -1 when nothing of it is outstanding."""
        first = self.first()
        if first is None:
            return -1
        if (begin - first.seq) & MASK >= HALF:
            return self.head if 0 < (end - first.seq) & MASK < HALF else -1
        i = self.find(begin)
        return i if i < len(self.records) else -1

    def _after(self, i: int, end: int) -> int:
        """The index after `i`, -1 when that record begins at or past `end`."""
        i += 1
        if i == len(self.records) or (self.records[i].seq - end) & MASK < HALF:
            return -1
        return i

    def retransmitted(self, r: Record, now: int) -> None:
        """The record `r` (the whole of it) went out again: it was lost, or it is a probe."""
        if r.mark & WAITS == LOST:
            r.mark |= RETRANSMITTED
            self.retrans_bytes += (r.end - r.seq) & MASK
        r.sent_at = now
        r.transmissions += 1
        if self.tracks_resent:
            resent = self.resent
            if resent is None:
                resent = self.resent = deque()
            if resent and resent[-1][0] == now and resent[-1][2] == r.seq:
                resent[-1] = now, resent[-1][1], r.end
            else:
                resent.append((now, r.seq, r.end))

    def index_of(self, r: Record) -> int:
        """Where `r` stands in `records`."""
        return self.find(r.seq)

    def truncate(self, seq: int) -> None:
        """Forget what was sent from `seq` on (a zero-window probe that the peer did not take)."""
        records = self.records
        while len(records) > self.head and ((records[-1].seq - seq) & MASK) < HALF:
            r = records.pop()
            self._unmark(r, (r.end - r.seq) & MASK)
            r.mark |= GONE

    def check_invariants(self, snd_una: int, snd_nxt: int) -> None:
        """Raise AssertionError when the books do not balance."""
        sacked = lost = retrans = covered = 0
        at = snd_una
        spans = (((a - snd_una) & MASK, (b - snd_una) & MASK) for a, b in self._lost or ())
        queue = deque(sorted((a if a < HALF else 0, b) for a, b in spans if b < HALF))
        for r in self.records[self.head :]:
            assert r.seq == at, f"record gap at {r.seq}, expected {at}"
            length = (r.end - r.seq) & MASK
            assert 0 < length < HALF, f"record [{r.seq}, {r.end}) is empty or inverted"
            at = r.end
            if r.mark & SACKED:
                sacked += length
            elif r.mark & LOST:
                lost += length
                if r.mark & RETRANSMITTED:
                    retrans += length
            if r.mark & (WAITS | SACKED) == LOST:
                where = (r.seq - snd_una) & MASK
                while queue and queue[0][0] <= where:
                    covered = max(covered, queue.popleft()[1])
                assert where < covered, f"[{r.seq}, {r.end}) waits and is not queued"
            assert not r.mark & GONE
        assert at == snd_nxt, f"records end at {at}, snd_nxt is {snd_nxt}"
        assert (sacked, lost, retrans) == (self.sacked_bytes, self.lost_bytes, self.retrans_bytes)
