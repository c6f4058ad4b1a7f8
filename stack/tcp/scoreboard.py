"""What was sent and not yet acknowledged: one record per transmitted range (RFC 6675 §3-5).

Theory of operation.  `records[head:]` are ordered, adjacent and cover exactly snd_una .. snd_nxt.  A
super-segment is one record; a SACK edge, a loss edge or a shorter retransmission splits it.  Neighbours
that are SACKed merge, so a run of SACKed data costs one record and the list stays short however long a
recovery takes; MAX_RECORDS bounds it against a peer that SACKs every second byte (CVE-2019-11477).

A record is in exactly one of these conditions, and the byte counters follow it:

    in flight                 counted by nothing
    SACKED                    `sacked_bytes`
    LOST                      `lost_bytes`, and it waits in `_lost` to be sent again
    LOST | RETRANSMITTED      `lost_bytes` and `retrans_bytes`

so the pipe of RFC 6675 §4 is (snd_nxt - snd_una) - sacked_bytes - lost_bytes + retrans_bytes.  Which
ranges are lost is decided by the detection policy in recovery.py; this file only keeps the books.
All sequence numbers are modulo 2^32.
"""

from collections import deque
from typing import Final

from stack.wire.seq import HALF, MASK

SACKED: Final = 1
LOST: Final = 2
RETRANSMITTED: Final = 4  # after it was marked lost, and that copy is in flight
GONE: Final = 8  # acknowledged or merged away; may still stand in `_lost`

MAX_RECORDS: Final = 8192
COMPACT_AFTER: Final = 256


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
    )

    def __init__(self, seq: int, end: int, sent_at: int) -> None:
        self.seq = seq
        self.end = end
        self.sent_at = sent_at  # of the last transmission
        self.transmissions = 1
        self.mark = 0
        self.fin = False  # the last sequence number is the FIN
        # the connection's totals when this was sent last, for the delivery rate (see delivery.py)
        self.delivered = 0
        self.delivered_at = -1  # no rate sample can be made of it
        self.first_sent_at = 0
        self.tx_in_flight = 0
        self.lost_before = 0
        self.app_limited = False


class Scoreboard:
    """The transmitted ranges of one connection."""

    __slots__ = (
        "_lost",
        "head",
        "high_sacked",
        "lost_bytes",
        "lost_log",
        "lost_total",
        "newest",
        "records",
        "retrans_bytes",
        "sacked_bytes",
    )

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.head = 0
        self._lost: deque[Record] | None = None  # made when the first loss happens
        self.sacked_bytes = 0
        self.lost_bytes = 0
        self.retrans_bytes = 0
        self.lost_total = 0  # all bytes ever marked lost, each time they were
        # (bytes, tx_in_flight, lost since it was sent, app_limited) of ranges newly lost, where the controller asks
        self.lost_log: list[tuple[int, int, int, bool]] | None = None
        self.high_sacked = 0  # end of the highest SACKed record; meaningful while sacked_bytes
        self.newest: Record | None = None  # of what the last on_ack/on_sack delivered, the one sent last

    def __len__(self) -> int:
        return len(self.records) - self.head

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

    def _delivered(self, r: Record) -> None:
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
                self.head = 0
                records.clear()
                return (ack - r.seq) & MASK
        while head < count:
            r = records[head]
            length = (r.end - r.seq) & MASK
            covered = (ack - r.seq) & MASK
            if covered >= HALF or covered == 0:
                break
            if covered < length:
                if r.mark:
                    self._unmark(r, covered)
                if not r.mark & SACKED:
                    fresh += covered
                    self._delivered(r)
                r.seq = ack
                break
            if r.mark:
                self._unmark(r, length)
            if not r.mark & SACKED:
                fresh += length
                self._delivered(r)
            r.mark |= GONE
            head += 1
        if head == count:
            records.clear()
            head = 0
            if self._lost:
                self._lost.clear()
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
        r.end = at
        r.fin = False
        self.records.insert(index + 1, tail)
        if r.mark & (LOST | RETRANSMITTED) == LOST and self._lost is not None:
            self._requeue(r, tail)
        return tail

    def _requeue(self, r: Record, tail: Record) -> None:
        """`tail` was cut from the waiting record `r`: it waits right behind it."""
        lost = self._lost
        assert lost is not None
        try:
            lost.insert(lost.index(r) + 1, tail)
        except ValueError:
            lost.appendleft(tail)

    def on_sack(self, left: int, right: int) -> int:
        """[left, right) arrived out of order (checked to lie in snd_una .. snd_nxt); returns the bytes
        that are news.
        """
        fresh = 0
        i = self.find(left)
        records = self.records
        while i < len(records):
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
            self._delivered(r)
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

    def mark_lost(self, r: Record) -> int:
        """`r` is lost (again, when it was retransmitted); returns its bytes, 0 when it waits already."""
        mark = r.mark
        if mark & (SACKED | GONE) or mark & (LOST | RETRANSMITTED) == LOST:
            return 0
        length = (r.end - r.seq) & MASK
        if mark & RETRANSMITTED:
            self.retrans_bytes -= length
        else:
            self.lost_bytes += length
        r.mark = LOST
        self.lost_total += length
        if self.lost_log is not None:
            self.lost_log.append((length, r.tx_in_flight, self.lost_total - r.lost_before, r.app_limited))
        if self._lost is None:
            self._lost = deque()
        self._lost.append(r)
        return length

    def mark_all_lost(self) -> int:
        """Everything that is not SACKed is lost, oldest first; returns the bytes newly marked."""
        total = 0
        if self._lost is not None:
            self._lost.clear()
        for i in range(self.head, len(self.records)):
            r = self.records[i]
            if r.mark & (LOST | RETRANSMITTED) == LOST:
                self._lost_queue().append(r)
            else:
                total += self.mark_lost(r)
        return total

    def _lost_queue(self) -> deque[Record]:
        if self._lost is None:
            self._lost = deque()
        return self._lost

    def forget_if_reneged(self) -> None:
        """The retransmission timer fired: a first range that is SACKed means that the peer dropped what it had
        SACKed (RFC 2018 §8, 2018-4), and all of it counts as in flight again.
        """
        first = self.first()
        if first is None or not first.mark & SACKED:
            return
        for i in range(self.head, len(self.records)):
            self.records[i].mark &= ~SACKED
        self.sacked_bytes = 0

    def next_lost(self) -> Record | None:
        """The record to send again first; it stays queued until `retransmitted`."""
        lost = self._lost
        while lost:
            r = lost[0]
            if r.mark & (LOST | RETRANSMITTED | GONE | SACKED) == LOST:
                return r
            lost.popleft()
        return None

    def retransmitted(self, r: Record, now: int) -> None:
        """The lost record `r` (the whole of it) went out again."""
        length = (r.end - r.seq) & MASK
        if r.mark & (LOST | RETRANSMITTED) == LOST:
            r.mark |= RETRANSMITTED
            self.retrans_bytes += length
            if self._lost and self._lost[0] is r:
                self._lost.popleft()
        r.sent_at = now
        r.transmissions += 1

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
        sacked = lost = retrans = 0
        at = snd_una
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
            assert not r.mark & GONE
        assert at == snd_nxt, f"records end at {at}, snd_nxt is {snd_nxt}"
        assert (sacked, lost, retrans) == (self.sacked_bytes, self.lost_bytes, self.retrans_bytes)
        assert len(self) <= MAX_RECORDS + 2
