"""TIME-WAIT as a compact record (RFC 9293 §3.10.7.4, RFC 6191, RFC 1337).

Theory of operation.  A connection that reaches TIME-WAIT leaves behind a `TimeWait`; the Connection
object can go.  The record answers retransmitted FINs, ignores resets, and says when a new SYN may take
the 4-tuple over.  `TimeWaitTable` bounds their number: when it is full the oldest goes first, because
it has waited longest.
"""

from collections import OrderedDict
from typing import Final

from mypy_extensions import mypyc_attr

from stack.tcp.segment import ACK, FIN, RST, SYN, Segment
from stack.wire.seq import HALF, MASK

# verdicts of on_segment
DROP: Final = 0
ANSWER: Final = 1  # send the last ACK again
REOPEN: Final = 2  # a SYN that may open a new connection

QUIET_US: Final = 500_000  # between two answers to pure ACKs
ISS_STEP: Final = 64_000 + 1  # RFC 9293 §3.10.7.4: the new ISS lies beyond the old SND.NXT


@mypyc_attr(acyclic=True)
class TimeWait:
    """What is left of a connection; times in microseconds, sequence numbers modulo 2^32."""

    __slots__ = (
        "expires_at",
        "quiet_until",
        "rcv_nxt",
        "snd_nxt",
        "ts_offset",
        "ts_ok",
        "ts_recent",
        "two_msl_us",
        "window",
    )

    def __init__(
        self, snd_nxt: int, rcv_nxt: int, window: int, ts: tuple[bool, int, int], two_msl_us: int, now: int
    ) -> None:
        self.snd_nxt = snd_nxt
        self.rcv_nxt = rcv_nxt
        self.window = window
        self.ts_ok, self.ts_recent, self.ts_offset = ts
        self.two_msl_us = two_msl_us
        self.expires_at = now + two_msl_us
        self.quiet_until = now  # pure ACKs are not answered before

    def on_segment(self, seg: Segment, now: int) -> int:
        """What to do with a segment for this 4-tuple."""
        flags = seg.flags
        if flags & RST:
            return DROP  # RFC 1337 §3 (1337-1): a reset does not end TIME-WAIT
        stale = self.ts_ok and seg.has_ts and 0 < (self.ts_recent - seg.tsval) & MASK < HALF
        if flags & SYN:
            if flags & ACK:
                return ANSWER
            # RFC 6191 §2 (6191-1, MUST-13): newer by timestamp, or by sequence number
            if self.ts_ok and seg.has_ts:
                newer = seg.tsval != self.ts_recent and not stale
            else:
                newer = 0 < (seg.seq - self.rcv_nxt) & MASK < HALF
            if newer or (not stale and 0 < (seg.seq - self.rcv_nxt) & MASK < HALF):
                return REOPEN
            return ANSWER  # RFC 5961 §4
        if not flags & ACK:
            return DROP  # RFC 9293 §3.10.7.4, fifth check
        if not seg.length and not flags & FIN:
            if seg.seq == self.rcv_nxt and not stale:
                return DROP
            # RFC 5961 §7 (5961-7): two records that contradict each other must not answer each other's ACKs for ever
            if now < self.quiet_until:
                return DROP
            self.quiet_until = now + QUIET_US
            return ANSWER
        if stale:
            return ANSWER
        if flags & FIN and not 0 < (seg.seq + seg.length - self.rcv_nxt) & MASK < HALF:
            # (T-FIN-3): a retransmitted FIN: acknowledge, wait 2 MSL again
            self.expires_at = now + self.two_msl_us
            return ANSWER
        return ANSWER


class TimeWaitTable:
    """TIME-WAIT records by key, oldest first."""

    __slots__ = ("evicted", "limit", "records")

    def __init__(self, limit: int) -> None:
        self.records: OrderedDict[object, TimeWait] = OrderedDict()
        self.limit = limit
        self.evicted = 0

    def add(self, key: object, record: TimeWait) -> None:
        """Remember `record`; evicts the oldest when full."""
        if len(self.records) >= self.limit:
            self.records.popitem(last=False)
            self.evicted += 1
        self.records[key] = record
        self.records.move_to_end(key)

    def get(self, key: object) -> TimeWait | None:
        """The record for a key."""
        return self.records.get(key)

    def remove(self, key: object) -> None:
        """Forget a key."""
        self.records.pop(key, None)

    def refreshed(self, key: object) -> None:
        """The record's time was restarted: it is the youngest now."""
        self.records.move_to_end(key)

    def expire(self, now: int) -> int:
        """Drop what is over; returns when the next one is, or 0 when none is left."""
        records = self.records
        while records:
            key, record = next(iter(records.items()))
            if record.expires_at > now:
                return record.expires_at
            del records[key]
        return 0
