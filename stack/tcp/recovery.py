"""Loss recovery: when ranges are lost, and how fast a connection sends until they are repaired.

Theory of operation.  One engine with three phases: OPEN, RECOVERY (a loss was detected by what the peer
acknowledged) and LOSS (the retransmission timer fired).  A detection policy only marks ranges of the
scoreboard lost: RFC 6675 with SACK, duplicate ACKs without.  What is sent in RECOVERY is bounded by
proportional rate reduction (RFC 9937) on the same books in both cases; without SACK each duplicate ACK
counts as one delivered segment (`dup_bytes`).  Both phases end when everything that was outstanding at
their start is acknowledged (`recovery_point`, RFC 6582 §3.2, RFC 6675 §5).
"""

from typing import Final

from stack.tcp.congestion.base import Controller
from stack.tcp.scoreboard import LOST, SACKED, Record, Scoreboard
from stack.wire.seq import HALF, MASK

OPEN: Final = 0
RECOVERY: Final = 1
LOSS: Final = 2
PHASES: Final = ("open", "recovery", "loss")

DUP_THRESH: Final = 3  # RFC 5681 §3.2, RFC 6675 §2


class Recovery:
    """Phase, duplicate ACKs and the PRR account of one connection."""

    __slots__ = (
        "_cwr_point",
        "_edge",
        "by_acks",
        "dup_bytes",
        "dupacks",
        "phase",
        "prr_delivered",
        "prr_out",
        "quota",
        "recover_fs",
        "recovery_point",
        "rescued",
        "sack",
    )

    def __init__(self) -> None:
        self.phase = OPEN
        self.sack = False
        self.by_acks = True  # False: only the retransmission timer finds losses
        self.dupacks = 0
        self.dup_bytes = 0  # without SACK: bytes that duplicate ACKs say have left the network
        self.recovery_point = 0
        self._edge = -1  # everything before it was considered for loss in this episode; -1: nothing yet
        self._cwr_point = -1  # SND.NXT when the window was reduced for an ECE; -1: that is over
        self.prr_delivered = 0
        self.prr_out = 0
        self.recover_fs = 0
        self.quota = 0  # bytes that PRR allows now
        self.rescued = False

    def on_ack(
        self,
        board: Scoreboard,
        controller: Controller,
        mss: int,
        snd_una: int,
        snd_nxt: int,
        acked: int,
        sacked: int,
        delivered: int,
        prior: int,
        now: int,
    ) -> tuple[int, int]:
        """Update the phase for an ACK; returns (bytes newly lost, bytes delivered).  `prior`: in flight before it."""
        lost = 0
        if acked:
            delivered = self._on_advance(controller, mss, snd_una, acked, delivered, now)
            if self.phase == RECOVERY and not self.sack and snd_una != snd_nxt:
                # RFC 6582 §3.2 step 3 (6582-1): a partial ACK tells of the next hole
                lost += self.mark_first(board, mss)
        elif self.by_acks and (sacked or not self.sack):
            self.dupacks += 1
            if not self.sack:
                before = self.dup_bytes
                self.dup_bytes = max(0, min(before + mss, ((snd_nxt - snd_una) & MASK) - mss))
                delivered += self.dup_bytes - before
        if self.sack and self.by_acks:
            lost += self.detect(board, mss)
        if self.phase == OPEN:
            # RFC 6582 §3.2 step 1 (6582-1): duplicates of what was sent before a timeout do not count
            after_point = ((snd_una - self.recovery_point) & MASK) < HALF
            if not lost and self.dupacks >= DUP_THRESH and after_point:
                lost += self.mark_first(board, mss)
            # what was sent in the last episode and lost is another one (RFC 6675 §5)
            if lost or board.lost_bytes:
                if controller.fast_recovery:
                    self.enter_recovery(now, snd_una, snd_nxt, prior, controller)
                else:
                    board.mark_all_lost()
                    self.enter_loss(snd_nxt)
                    controller.on_loss(now, prior)
        return lost, delivered

    def _on_advance(self, controller: Controller, mss: int, snd_una: int, acked: int, delivered: int, now: int) -> int:
        """snd_una moved: leave the phase when its point is reached; returns the bytes delivered."""
        if self.phase == OPEN:
            self.dupacks = self.dup_bytes = 0
        elif ((snd_una - self.recovery_point) & MASK) < HALF:
            if self.phase == RECOVERY:
                controller.on_recovery_exit(now)
            self.leave()
        elif not self.sack and self.phase == RECOVERY and not controller.partial_ack:
            # RFC 5681 §3.2 step 6: whatever is still missing is another loss, to be found again
            controller.on_recovery_exit(now)
            self.leave()
            self.recovery_point = snd_una
        elif not self.sack:
            # duplicates were counted as delivered already: this ACK explains them
            explained = min(self.dup_bytes, max(0, acked - mss))
            self.dup_bytes -= explained
            delivered = max(0, delivered - explained)
        return delivered

    # -- explicit congestion notification

    def in_cwr(self, snd_una: int) -> bool:
        """Whether what is acknowledged lies in the window of data for which an ECE has reduced cwnd already."""
        if self._cwr_point < 0:
            return False
        if 0 < (snd_una - self._cwr_point) & MASK < HALF:
            self._cwr_point = -1
            return False
        return True

    def on_echo(self, ack: int, snd_nxt: int) -> bool:
        """An ACK with ECE: whether to reduce, once per window of data (RFC 3168 §6.1.2, 3168-1)."""
        if self.phase != OPEN or self.in_cwr(ack):
            return False
        self._cwr_point = snd_nxt
        return True

    # -- detection

    def detect(self, board: Scoreboard, mss: int) -> int:
        """Mark what RFC 6675 §4 IsLost() says is lost (6675-1); returns the bytes newly marked."""
        if not board.sacked_bytes:
            return 0
        records = board.records
        i = board.find((board.high_sacked - 1) & MASK)
        above = runs = 0
        while i > board.head:
            r = records[i]
            if r.mark & SACKED:
                above += (r.end - r.seq) & MASK
                runs += 1
                if above > (DUP_THRESH - 1) * mss or runs >= DUP_THRESH:
                    break
            i -= 1
        else:
            return 0
        edge = records[i].seq
        start = board.head
        if self._edge >= 0 and ((self._edge - records[start].seq) & MASK) < HALF:
            start = board.find(self._edge)
        self._edge = edge
        marked = 0
        for k in range(start, i):
            r = records[k]
            if not r.mark & (SACKED | LOST):
                marked += board.mark_lost(r)
        return marked

    def mark_first(self, board: Scoreboard, mss: int) -> int:
        """The first segment outstanding is lost; returns its bytes."""
        r = board.first()
        if r is None or r.mark & (SACKED | LOST):
            return 0
        if (r.end - r.seq) & MASK > mss:
            board.split(board.head, (r.seq + mss) & MASK)
        return board.mark_lost(r)

    def first_hole(self, board: Scoreboard) -> Record | None:
        """The first range below the highest SACKed one that is neither SACKed nor marked lost."""
        if not board.sacked_bytes:
            return None
        for k in range(board.head, len(board.records)):
            r = board.records[k]
            if ((r.seq - board.high_sacked) & MASK) < HALF:
                return None
            if not r.mark:
                return r
        return None

    # -- phases

    def enter_recovery(self, now: int, snd_una: int, snd_nxt: int, in_flight: int, controller: Controller) -> None:
        """RFC 6675 §5 step 4, RFC 5681 §3.2 (5681-3.2): reduce once per window of data."""
        self.phase = RECOVERY
        self.recovery_point = snd_nxt
        self.prr_delivered = self.prr_out = 0
        # RFC 9937 §6.2: what was in flight, less what SACK has reported before, with what this ACK delivers
        self.recover_fs = max(1, in_flight)
        self.rescued = False
        # RFC 3168 §6.1.2: not again in a window of data that was reduced for a mark
        if not self.in_cwr(snd_una):
            controller.on_loss(now, in_flight)

    def enter_loss(self, snd_nxt: int) -> None:
        """The retransmission timer fired."""
        self.phase = LOSS
        self.recovery_point = snd_nxt
        self.dupacks = self.dup_bytes = 0
        self._edge = -1

    def leave(self) -> None:
        """Everything of the episode is acknowledged."""
        self.phase = OPEN
        self.dupacks = self.dup_bytes = 0
        self._edge = -1
        self.quota = 0

    # -- proportional rate reduction

    def update_quota(self, delivered: int, pipe: int, ssthresh: int, mss: int, progress: bool) -> None:
        """RFC 9937 §6.2 (6937/9937-1): what may be sent for this ACK.  `progress`: snd_una advanced and
        nothing more was found lost.
        """
        self.prr_delivered += delivered
        if pipe > ssthresh:
            quota = -(-self.prr_delivered * ssthresh // self.recover_fs) - self.prr_out
        else:
            limit = max(self.prr_delivered - self.prr_out, delivered)
            if progress:
                limit += mss
            quota = min(ssthresh - pipe, limit)
        if self.prr_out == 0:
            quota = max(quota, mss)  # the fast retransmission goes out at once
        self.quota = max(0, quota)

    def on_sent(self, nbytes: int) -> None:
        """`nbytes` went out during recovery."""
        self.prr_out += nbytes
        self.quota = max(0, self.quota - nbytes)
