"""Whether a loss episode was for nothing: everything that it sent again had arrived before.

Theory of operation.  One object holds what is known of the last episode, from its beginning to the beginning of the
next, since the proof may come late.  There are three proofs:

Eifel (RFC 3522 §3.2): the first ACK that advances echoes a timestamp from before the first retransmission.
D-SACK (RFC 2883 §5, RFC 3708 §3): every byte sent again is reported as a duplicate.  `ranges` are the bytes sent again
that were not reported; more than MAX_RANGES, and the episode is taken for a real one.
F-RTO (RFC 5682) for a timeout: recovery.py.

Unless a timeout began it, the episode then shows that the path reorders, which RACK cannot see for itself: it looks at
ranges sent once (RFC 8985 §6.2 step 3), and those that were late were all sent again.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from stack.tcp.rtt import is_older_echo
from stack.wire.seq import HALF, MASK

MAX_RANGES: Final = 128


@mypyc_attr(acyclic=True)
class Undo:
    """The evidence about one episode."""

    __slots__ = ("active", "asks_echo", "by_timeout", "first_at", "first_seq", "ranges")

    def __init__(self) -> None:
        self.active = False  # the controller has reduced, and that could be undone
        self.by_timeout = False
        self.first_at = -1  # when the first retransmission went out
        self.first_seq = 0  # and where it begins
        self.asks_echo = False  # no ACK has advanced yet
        self.ranges: list[tuple[int, int]] = []

    def begin(self, *, by_timeout: bool) -> None:
        """An episode begins: the controller is about to reduce."""
        self.by_timeout = by_timeout
        self.active = self.asks_echo = True
        self.first_at = -1
        self.ranges.clear()

    def end(self) -> None:
        """There is nothing to undo (any more)."""
        self.active = self.asks_echo = False
        self.ranges.clear()

    def on_retransmit(self, seq: int, end: int, now: int) -> None:
        """[seq, end) was sent again."""
        if self.first_at < 0:
            self.first_at, self.first_seq = now, seq
        ranges = self.ranges
        if ranges and ranges[-1][1] == seq:
            ranges[-1] = ranges[-1][0], end
        elif len(ranges) < MAX_RANGES:
            ranges.append((seq, end))
        else:
            self.active = False

    def on_advance(self, snd_una: int, ts_rtt_us: int, now: int) -> bool:
        """RFC 3522 §3.2 (4015/3522-1): snd_una moved; whether that proves the episode spurious.

        Only an ACK of what was sent again tells: what lies before was repaired by the episode before this one, and its
        echo is older than anything of this one.
        """
        if not self.asks_echo or self.first_at < 0 or not 0 < (snd_una - self.first_seq) & MASK < HALF:
            return False
        self.asks_echo = False
        return self.active and ts_rtt_us >= 0 and is_older_echo(ts_rtt_us, self.first_at, now)

    def on_dsack(self, left: int, right: int) -> bool:
        """The peer reports [left, right) as a duplicate; returns whether some of it was sent again in this episode."""
        for i, (begin, end) in enumerate(self.ranges):
            a = 0 if (left - begin) & MASK >= HALF else (left - begin) & MASK
            length = (end - begin) & MASK
            b = min((right - begin) & MASK, length) if (right - begin) & MASK < HALF else 0
            if a < b:
                rest = []
                if a:
                    rest.append((begin, (begin + a) & MASK))
                if b < length:
                    rest.append(((begin + b) & MASK, end))
                self.ranges[i : i + 1] = rest
                return True
        return False

    def is_refuted(self) -> bool:
        """Everything that was sent again was a duplicate (nothing at all was sent again: not known)."""
        return self.active and self.first_at >= 0 and not self.ranges
