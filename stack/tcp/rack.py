"""RACK: a range is lost when something sent sufficiently later was delivered (RFC 8985 §6).

Theory of operation.  `on_delivered` remembers the transmission that was delivered and sent last (`xmit_at`, `end_seq`)
and the round-trip time it took; `detect` marks what was sent before it and more than that round trip and the
reordering window ago.  The first range to which the window still gives time sets `due_at`, which is when to look again.

Nothing is scanned: ranges sent once stand in the scoreboard in the order of their times, and `cursor` is how far they
were dealt with; those sent again stand in `Scoreboard.resent`, in the order of theirs.  A transmission is looked at
when it is marked, and otherwise one of each kind per ACK.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from stack.config import NEVER
from stack.tcp.rtt import RttEstimator, is_older_echo
from stack.tcp.scoreboard import WHY_RACK, Record, Scoreboard
from stack.wire.seq import HALF, MASK

PERSIST_RECOVERIES: Final = 16  # RFC 8985 §6.2 step 4 (8985-2): what widened the window holds for so many recoveries
MAX_MULT: Final = 255  # far past the bound of one SRTT


@mypyc_attr(acyclic=True)
class Rack:
    """The variables of RFC 8985 §5.3; microseconds."""

    __slots__ = ("cursor", "due_at", "end_seq", "mult", "persist", "round_end", "rtt_us", "window_us", "xmit_at")

    def __init__(self) -> None:
        self.xmit_at = -1  # RACK.xmit_ts
        self.end_seq = 0
        self.rtt_us = 0
        self.mult = 1  # RACK.reo_wnd_mult
        self.persist = 0  # RACK.reo_wnd_persist
        self.round_end = -1  # RACK.dsack_round, -1: none
        self.window_us = 0  # RACK.reo_wnd as last used
        self.cursor = -1  # every range sent once before it was dealt with; -1: nothing was
        self.due_at = NEVER

    def on_delivered(self, board: Scoreboard, min_rtt_us: int, echo_us: int, now: int) -> None:
        """RFC 8985 §6.2 step 2 (8985-1): update from what this ACK delivered.  `echo_us` is the age of the timestamp
        that it echoes, -1 when it has none or does not advance.

        DEVIATES RFC 8985 §6.2: only an ACK that advances is asked which copy of a range sent again it is for: the echo
        in any other is of an earlier segment (RFC 7323 §4.3), and what SACK reports would never count.
        """
        r = board.newest
        if r is not None and r.transmissions > 1:
            rtt_us = now - r.sent_at
            if rtt_us < min_rtt_us or (echo_us >= 0 and is_older_echo(echo_us, r.sent_at, now)):
                r = board.newest_once
        if r is None:
            return
        self.rtt_us = max(now - r.sent_at, 1)  # the clock may stand still within a burst
        if r.sent_at > self.xmit_at or (r.sent_at == self.xmit_at and 0 < (r.end - self.end_seq) & MASK < HALF):
            self.xmit_at = r.sent_at
            self.end_seq = r.end

    def on_dsack(self, snd_una: int, snd_nxt: int) -> None:
        """RFC 8985 §6.2 step 4 (8985-2): a retransmission was for nothing, so wait longer, once per round trip."""
        if self.round_end >= 0 and (snd_una - self.round_end) & MASK < HALF:
            self.round_end = -1
        if self.round_end < 0:
            self.round_end = snd_nxt
            self.mult = min(self.mult + 1, MAX_MULT)
            self.persist = PERSIST_RECOVERIES

    def on_undo(self) -> None:
        """What was taken for the arrival of a retransmission was the first copy."""
        self.xmit_at = self.cursor = -1

    def on_recovery_exit(self) -> None:
        """A recovery without D-SACK ended."""
        self.persist -= 1
        if self.persist <= 0:
            self.mult = 1

    def reo_wnd_us(self, board: Scoreboard, rtt: RttEstimator, eager: bool) -> int:
        """RFC 8985 §6.2 step 4 (8985-1): `eager` in recovery, or with DupThresh segments SACKed.

        DEVIATES RFC 8985 §6.2: RACK.min_RTT is the smallest of the connection, not of the last minutes.  On a path that
        has become longer the window begins too small, and D-SACKs widen it.
        """
        if eager and not board.reordered:
            self.window_us = 0
        else:
            self.window_us = min(self.mult * rtt.min_rtt_us // 4, rtt.srtt_us)
        return self.window_us

    def detect(self, board: Scoreboard, window_us: int, now: int) -> int:
        """RFC 8985 §6.2 step 5 (8985-1): mark what is lost, set `due_at`; returns the bytes newly marked.

        DEVIATES RFC 8985 §6.2: the timer is for the first range whose time runs out, not for the last one: each is
        marked at its own time, and the others need not be looked at.
        """
        self.due_at = NEVER
        if self.xmit_at < 0:
            return 0
        wait_us = self.rtt_us + window_us
        marked = 0
        while True:
            r = board.next_resent()
            if r is None or not self._is_before(r):
                break
            if r.sent_at + wait_us > now:
                self.due_at = r.sent_at + wait_us
                break
            marked += board.mark_lost(r, WHY_RACK)
        return marked + self._detect_once(board, wait_us, now)

    def _detect_once(self, board: Scoreboard, wait_us: int, now: int) -> int:
        """The same for what was sent once."""
        records = board.records
        i, count = board.head, len(records)
        if i == count:
            return 0
        if self.cursor >= 0 and (self.cursor - records[i].seq) & MASK < HALF:
            i = board.find(self.cursor)
        marked = 0
        while i < count:
            r = records[i]
            board.steps += 1
            if not r.mark and r.transmissions == 1:
                if not self._is_before(r):
                    break
                due_at = r.sent_at + wait_us
                if due_at > now:
                    if due_at < self.due_at:
                        self.due_at = due_at
                    break
                marked += board.mark_lost(r, WHY_RACK)
            i += 1
        self.cursor = records[i].seq if i < count else records[-1].end
        return marked

    def _is_before(self, r: Record) -> bool:
        """RACK_sent_after of RFC 8985 §6.2: `r` was sent before what was delivered last."""
        if r.sent_at == self.xmit_at:
            return 0 < (self.end_seq - r.end) & MASK < HALF
        return r.sent_at < self.xmit_at
