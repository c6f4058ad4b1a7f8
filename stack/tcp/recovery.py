"""Loss recovery: when ranges are lost, and how fast a connection sends until they are repaired.

Theory of operation.  One engine with three phases: OPEN, RECOVERY (a loss was detected by what the peer
acknowledged) and LOSS (the retransmission timer fired).  A detection policy only marks ranges of the
scoreboard lost: RACK (rack.py) or RFC 6675 with SACK, duplicate ACKs without.  What is sent in RECOVERY is bounded by
proportional rate reduction (RFC 9937) on the same books in all cases; without SACK each duplicate ACK
counts as one delivered segment (`dup_bytes`).  Both phases end when everything that was outstanding at
their start is acknowledged (`recovery_point`, RFC 6582 §3.2, RFC 6675 §5), or when it turns out that the episode was
for nothing (undo.py, and F-RTO here): then the marks are taken back and the Controller restores its window.

After a timeout F-RTO (RFC 5682) first sends the one range again (FRTO_PROBE), then, when that is acknowledged, new data
instead of the other repairs (FRTO_NEW): an ACK of something sent only once tells that the timeout was spurious.
"""

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from stack.tcp import path_size
from stack.tcp.congestion.base import Controller
from stack.tcp.rack import Rack
from stack.tcp.scoreboard import LOST, SACKED, WHY_FAST, WHY_RTO, Record, Scoreboard
from stack.tcp.undo import Undo
from stack.wire.seq import HALF, MASK

if TYPE_CHECKING:
    from stack.tcp.sender import Sender

OPEN: Final = 0
RECOVERY: Final = 1
LOSS: Final = 2
PHASES: Final = ("open", "recovery", "loss")

FRTO_OFF: Final = 0
FRTO_PROBE: Final = 1
FRTO_NEW: Final = 2
FRTO_SEGS: Final = 2  # new segments that step 2b sends at most

DUP_THRESH: Final = 3  # RFC 5681 §3.2, RFC 6675 §2
MAX_STEPS: Final = 256  # records that one ACK may have IsLost() look at


@mypyc_attr(acyclic=True)
class Recovery:
    """Phase, duplicate ACKs and the PRR account of one connection."""

    # fmt: off
    __slots__ = (
        "_dup_edge", "_dup_edge_at", "_edge", "_hole_edge", "by_acks", "by_rack", "cwr_point", "dsack_at", "dsacks",
        "dup_bytes", "dupacks", "forced", "frto", "frto_quota", "phase", "prr_delivered", "prr_out", "prr_target",
        "quota", "rack", "recover_fs", "recovery_point", "rescued", "sack", "spurious", "spurious_rto", "undo",
    )
    # fmt: on

    def __init__(self, sack: bool = False, by_acks: bool = True, by_rack: bool = False, iss: int = 0) -> None:
        self.phase = OPEN
        self.sack = sack
        self.by_acks = by_acks  # False: only the retransmission timer finds losses
        self.by_rack = by_rack  # RFC 8985 finds losses, not RFC 6675
        self.rack: Rack | None = None  # made when something looks like a loss
        self.undo: Undo | None = None  # of the last episode; None: there was none
        self.dupacks = 0
        self.dup_bytes = 0  # without SACK: bytes that duplicate ACKs say have left the network
        self._dup_edge = 0  # only what was sent before it can be so acknowledged
        self._dup_edge_at = -1
        self.recovery_point = iss
        self._edge = -1  # everything before it was considered for loss in this episode; -1: nothing yet
        self.cwr_point = -1  # SND.NXT when the window was reduced for an ECE; -1: that is over
        self._hole_edge = -1  # the same for the rescue of holes
        self.prr_delivered = 0
        self.prr_out = 0
        self.prr_target = 0  # bytes in flight that PRR steers to: ssthresh, or cwnd where nothing was reduced
        self.recover_fs = 0
        self.quota = 0  # bytes that PRR allows now
        self.rescued = False
        self.forced = False  # after a timeout: the first segment goes out whatever cwnd says
        self.frto = FRTO_OFF
        self.frto_quota = 0
        self.dsacks = 0
        self.dsack_at = -1  # when the last one came
        self.spurious = 0  # episodes undone
        self.spurious_rto = False  # the next RTT sample is the first after a spurious timeout

    def is_blank(self, iss: int) -> bool:
        """Whether this is as if made anew: nothing was ever lost, nor looked like it."""
        return (
            self.phase == OPEN
            and self.recovery_point == iss
            and self.rack is None
            and self.undo is None
            and not (self.dupacks or self.dup_bytes or self.dsacks or self.spurious or self.prr_target)
            and self.cwr_point == self._dup_edge_at == self._edge == self._hole_edge == -1
        )

    def on_ack(
        self, snd: "Sender", acked: int, sacked: int, delivered: int, prior: int, ts_rtt_us: int, now: int
    ) -> tuple[int, int]:
        """Update the phase for an ACK; returns (bytes newly lost, bytes delivered).  `prior`: in flight before it;
        the others as in Sender.on_ack.
        """
        board, mss, snd_una = snd.board, snd.eff_snd_mss, snd.snd_una
        controller = snd.controller
        assert controller is not None
        lost = 0
        if self.phase != OPEN:
            self._look_back(snd, acked, sacked, ts_rtt_us, now)
        if acked:
            delivered = self._on_advance(controller, mss, snd_una, acked, delivered, now)
            if self.phase == RECOVERY and not self.sack and snd_una != snd.snd_nxt:
                # RFC 6582 §3.2 step 3 (6582-1): a partial ACK tells of the next hole
                lost += self.mark_first(board, mss)
        elif self.by_acks and (sacked or not self.sack):
            self.dupacks += 1
            if not self.sack:
                delivered += self._on_duplicate(snd, now)
        if self.by_rack:
            self._rack().on_delivered(board, snd.rtt.min_rtt_us, ts_rtt_us if acked else -1, now)
            lost += self.rack_detect(snd, prior, now)
        elif self.sack and self.by_acks:
            lost += self.detect(board, mss)
        if self.phase == OPEN:
            # RFC 6582 §3.2 step 1 (6582-1): not for duplicates of what the last episode sent again
            new = self.sack or snd_una != self.recovery_point
            if not lost and self.dupacks >= DUP_THRESH and new and not self.by_rack:
                lost += self.mark_first(board, mss)
            # what was sent in the last episode and lost is another one (RFC 6675 §5)
            if lost or board.lost_bytes:
                self.begin(snd, prior, now)
        return lost, delivered

    def _on_advance(self, controller: Controller, mss: int, snd_una: int, acked: int, delivered: int, now: int) -> int:
        """snd_una moved: leave the phase when its point is reached; returns the bytes delivered."""
        if self.phase == OPEN:
            self.dupacks = self.dup_bytes = 0
        elif ((snd_una - self.recovery_point) & MASK) < HALF:
            self._tell_exit(controller, now)
            if self.rack is not None:
                self.rack.on_recovery_exit()
            self.leave()
        elif not self.sack and self.phase == RECOVERY and not controller.partial_ack:
            # RFC 5681 §3.2 step 6: whatever is still missing is another loss, to be found again
            controller.on_recovery_exit(now)
            self.leave()
        elif not self.sack:
            # duplicates were counted as delivered already: this ACK explains them
            explained = min(self.dup_bytes, max(0, acked - mss))
            self.dup_bytes -= explained
            delivered = max(0, delivered - explained)
        return delivered

    def _tell_exit(self, controller: Controller, now: int) -> None:
        """The Controller may restore what it kept for the time after the episode."""
        if self.phase == RECOVERY:
            controller.on_recovery_exit(now)
        else:
            controller.on_rto_exit(now)

    # -- explicit congestion notification

    def in_cwr(self, snd_una: int) -> bool:
        """Whether what is acknowledged lies in the window of data for which an ECE has reduced cwnd already."""
        if self.cwr_point < 0:
            return False
        if 0 < (snd_una - self.cwr_point) & MASK < HALF:
            self.cwr_point = -1
            return False
        return True

    def on_echo(self, ack: int, snd_nxt: int) -> bool:
        """An ACK with ECE: whether to reduce, once per window of data (RFC 3168 §6.1.2, 3168-1)."""
        self.end_undo()  # RFC 4015 §3.1 step 9: whatever the last episode was, the path is congested
        if self.phase != OPEN or self.in_cwr(ack):
            return False
        self.cwr_point = snd_nxt
        return True

    def _on_duplicate(self, snd: "Sender", now: int) -> int:
        """A duplicate ACK without SACK; returns the bytes that it says have arrived.

        A receiver that makes up duplicates (Savage et al., "TCP congestion control with a misbehaving receiver") gets
        no more for them than was outstanding one round trip ago: what was sent since cannot have been acknowledged.
        """
        if self._dup_edge_at < 0 or not self.dup_bytes or now - self._dup_edge_at >= snd.rtt.min_rtt_us:
            self._dup_edge, self._dup_edge_at = snd.snd_nxt, now
        span = (self._dup_edge - snd.snd_una) & MASK
        before = self.dup_bytes
        limit = (span if span < HALF else 0) - snd.eff_snd_mss
        if self.phase == LOSS:
            # all before the timeout is marked lost and not in the pipe any more: a duplicate can only be for newer data
            limit = min(limit, (snd.snd_nxt - self.recovery_point) & MASK)
        self.dup_bytes = max(before, min(before + self._next_duplicate(snd), limit))
        return self.dup_bytes - before

    def _next_duplicate(self, snd: "Sender") -> int:
        """Bytes of the segment that the next duplicate ACK stands for, as if they arrived in order behind the one that
        is missing: not SMSS, since segments may be much smaller, and a window would be opened that the path never had.
        """
        board, mss = snd.board, snd.eff_snd_mss
        records = board.records
        missing = records[board.head]
        start = snd.snd_una + min((missing.end - missing.seq) & MASK, mss)
        i = board.find((start + self.dup_bytes) & MASK)
        return min((records[i].end - start - self.dup_bytes) & MASK, mss) if i < len(records) else 0

    # -- detection

    def _rack(self) -> Rack:
        rack = self.rack
        if rack is None:
            rack = self.rack = Rack()
        return rack

    def rack_detect(self, snd: "Sender", prior: int, now: int) -> int:
        """Let RACK mark what is lost; returns the bytes newly marked.  `prior`: in flight before that."""
        rack, board, controller = self._rack(), snd.board, snd.controller
        assert controller is not None
        again = board.lost_retransmits
        # RFC 8985 §6.2 step 4: RACK.segs_sacked; our ranges are of many segments, so bytes and ACKs are counted
        many = board.sacked_bytes > (DUP_THRESH - 1) * snd.eff_snd_mss or self.dupacks >= DUP_THRESH
        lost = rack.detect(board, rack.reo_wnd_us(board, snd.rtt, many or self.phase != OPEN), now)
        if self.phase == LOSS and board.lost_retransmits > again and controller.uses_prr and controller.fast_recovery:
            # RFC 5681 §4.3, RFC 8985 §9.3: the loss of a retransmission is a second sign of congestion, which slow
            # start would not answer; within RECOVERY it is PRR that slows down
            self.begin(snd, prior, now)
        return lost

    def detect(self, board: Scoreboard, mss: int) -> int:
        """Mark what RFC 6675 §4 IsLost() says is lost (6675-1); returns the bytes newly marked.

        OMITS RFC 6675 §4: the runs of SACKed data that IsLost() counts are sought among the highest MAX_STEPS records
        only; more hides nothing but data that came in three tiny pieces far apart.
        """
        if not board.sacked_bytes:
            return 0
        records = board.records
        i = board.find((board.high_sacked - 1) & MASK)
        above = runs = 0
        last = max(board.head, i - MAX_STEPS)
        while i > last:
            board.steps += 1
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
            board.steps += 1
            r = records[k]
            if not r.mark & (SACKED | LOST):
                marked += board.mark_lost(r, WHY_FAST)
        return marked

    def mark_first(self, board: Scoreboard, mss: int) -> int:
        """The first segment outstanding is lost; returns its bytes.  Of small ones, as many as one segment holds: what
        is behind the first is then at hand, too, if it is missing.
        """
        r = board.first()
        if r is None or r.mark & (SACKED | LOST):
            return 0
        if (r.end - r.seq) & MASK > mss:
            board.split(board.head, (r.seq + mss) & MASK)
        marked = board.mark_lost(r, WHY_FAST)
        for i in range(board.head + 1, len(board.records)):
            following = board.records[i]
            if following.mark & (SACKED | LOST) or (following.end - r.seq) & MASK > mss:
                break
            marked += board.mark_lost(following, WHY_FAST)
        return marked

    def first_hole(self, board: Scoreboard) -> Record | None:
        """The first range below the highest SACKed one that is neither SACKed nor marked lost."""
        records = board.records
        k = board.head
        if not board.sacked_bytes:
            return None
        if self._hole_edge >= 0 and (self._hole_edge - records[k].seq) & MASK < HALF:
            k = board.find(self._hole_edge)
        while k < len(records):
            board.steps += 1
            r = records[k]
            self._hole_edge = r.seq
            if ((r.seq - board.high_sacked) & MASK) < HALF:
                return None
            if not r.mark:
                return r
            k += 1
        return None

    # -- phases

    def begin(self, snd: "Sender", in_flight: int, now: int) -> None:
        """A loss was found by what the peer acknowledged."""
        controller, delivery = snd.controller, snd.delivery
        assert controller is not None
        # DEVIATES RFC 9937 §6.1: what ACKs before this one delivered, and nothing was sent for since they came in one
        # burst, is delivered in this episode.  Else the pipe would run dry, which had been full with one ACK at a time.
        room = controller.cwnd - in_flight if snd.unsent() else 0
        waiting = max(0, min(delivery.total - delivery.answered, room))
        if controller.fast_recovery:
            # RFC 3168 §6.1.2: not again in a window of data that was reduced for a mark
            # RFC 4821 §7.5: nor when all that is missing is a segment larger than the others
            reduce = not (self.in_cwr(snd.snd_una) or path_size.is_lost_alone(snd))
            self._enter_recovery(snd.snd_nxt, in_flight, waiting)
        else:
            reduce = True
            snd.board.mark_all_lost(WHY_FAST)
            self.enter_loss(snd.snd_nxt)
        if reduce:
            self._begin_undo(by_timeout=False)
            controller.on_loss(now, min(snd.flight_size() + waiting, controller.cwnd))
            snd.cwr_due = snd.ecn  # RFC 3168 §6.1.2: whatever the window was reduced for
        else:
            self.end_undo()
        # what was not reduced is kept: ssthresh is of an older reduction then, or of none
        self.prr_target = controller.ssthresh if reduce else controller.cwnd

    def _enter_recovery(self, snd_nxt: int, in_flight: int, waiting: int) -> None:
        """RFC 6675 §5 step 4, RFC 5681 §3.2 (5681-3.2); `waiting` as in `begin`."""
        self.phase = RECOVERY
        self.recovery_point = snd_nxt
        self.forced = False
        self.frto = FRTO_OFF
        self.prr_delivered, self.prr_out = waiting, 0
        # RFC 9937 §6.1: what was in flight, less what SACK has reported before, with what this ACK delivers
        self.recover_fs = max(1, in_flight + waiting)
        self.rescued = False
        self._hole_edge = -1

    def on_timeout(self, snd: "Sender", again: bool, now: int) -> None:
        """The retransmission timer fired: mark what is lost; `again` unless snd_una moved since the last time."""
        # RFC 5682 §2.1 step 1 (5682-1): not when the timeout strikes within a recovery; but again when it strikes again
        may_frto = self.phase == OPEN or self.frto == FRTO_PROBE
        before = now + 1
        if self.by_rack:
            rack = self._rack()
            # RFC 8985 §6.3 (8985-1): the first, and of the others what would have been heard of by now
            window_us = rack.reo_wnd_us(snd.board, snd.rtt, eager=True)
            before = now - max(rack.rtt_us, snd.rtt.srtt_us) - window_us + 1
        if not again:
            self._begin_undo(by_timeout=True)
        snd.board.mark_sent_before(before, WHY_RTO)
        self.enter_loss(snd.snd_nxt)
        self.forced = True
        if snd.config.frto and may_frto and snd.snd_wnd:
            self.frto = FRTO_PROBE
            snd.board.original_edge = snd.snd_nxt

    def enter_loss(self, snd_nxt: int) -> None:
        """Everything outstanding is to be sent again as cwnd allows."""
        self.phase = LOSS
        self.recovery_point = snd_nxt
        self.dupacks = self.dup_bytes = 0
        self._edge = -1
        self.frto = FRTO_OFF

    def leave(self) -> None:
        """Everything of the episode is acknowledged, or it is undone."""
        self.phase = OPEN
        self.dupacks = self.dup_bytes = 0
        self._edge = -1
        self.quota = 0
        self.forced = False
        self.frto = FRTO_OFF

    # -- was it for nothing?

    def _begin_undo(self, *, by_timeout: bool) -> None:
        """An episode begins: the controller is about to reduce."""
        undo = self.undo
        if undo is None:
            undo = self.undo = Undo()
        undo.begin(by_timeout=by_timeout)

    def end_undo(self) -> None:
        """There is nothing to undo (any more)."""
        if self.undo is not None:
            self.undo.end()

    def _look_back(self, snd: "Sender", acked: int, sacked: int, ts_rtt_us: int, now: int) -> None:
        """An ACK in an episode: it may prove that there was no loss."""
        undo = self.undo
        # RFC 3522 §3.2 step 5: a duplicate is acknowledged with an old echo, too.  When every ACK of the flight was
        # lost, the timeout was right, and so is a smaller window
        of_duplicate = self.dsack_at == now or (not self.dsacks and snd.snd_una == snd.snd_nxt)
        if acked and undo is not None and undo.on_advance(snd.snd_una, -1 if of_duplicate else ts_rtt_us, now):
            if not undo.by_timeout:
                snd.board.reordered = True
            self.undo_episode(snd, now)
        elif self.frto:
            self._on_frto_ack(snd, acked, sacked, now)

    def _on_frto_ack(self, snd: "Sender", acked: int, sacked: int, now: int) -> None:
        """RFC 5682 §2.1, §3.1 (5682-1): the steps after the first range was sent again."""
        board = snd.board
        if self.frto == FRTO_PROBE:
            board.original = False
            if acked:
                # step 2b: send new data; without any, or when all is acknowledged, step 2a
                self.frto, self.frto_quota = FRTO_NEW, FRTO_SEGS * snd.eff_snd_mss
            elif not self.sack:
                self.frto = FRTO_OFF  # step 2a of §2.1: a duplicate; with SACK the wait goes on (§3.1)
        elif board.original:
            # step 3b.  DEVIATES RFC 5682 §3.1: as in deployed stacks also when the ACK reports new data besides; that
            # something sent once and not reported before has arrived is the proof in any case
            self.undo_episode(snd, now)
        elif sacked or not acked:
            self.frto = FRTO_OFF  # step 3a: something is missing

    def on_dsack(self, snd: "Sender", left: int, right: int, now: int) -> None:
        """The peer reports [left, right) as received twice (2883-1)."""
        self.dsacks += 1
        self.dsack_at = now
        tlp, undo = snd.tlp, self.undo
        if tlp is not None and tlp.end_seq >= 0 and tlp.is_retrans and right == tlp.end_seq:
            tlp.reported = True
            return  # DEVIATES RFC 8985 §6.2: a probe goes by the clock, it is no sign of reordering
        # what the network duplicated, or the peer made up, is no sign of haste
        if undo is None or not undo.on_dsack(left, right):
            return
        if not undo.by_timeout:
            snd.board.reordered = True
        if self.by_rack:
            self._rack().on_dsack(snd.snd_una, snd.snd_nxt)
        if undo.is_refuted():
            self.undo_episode(snd, now)

    def undo_episode(self, snd: "Sender", now: int) -> None:
        """The last episode was for nothing: marks are what they were, and the window, unless a mark (ECN) came."""
        undo, controller = self.undo, snd.controller
        assert controller is not None
        if undo is not None and undo.active:
            controller.on_spurious(now)
        elif self.phase != OPEN:
            self._tell_exit(controller, now)
        self.end_undo()
        self.spurious += 1
        if self.phase == OPEN:
            return
        # RFC 4015 §3.1 (4015/3522-1): after a timeout the estimator follows the longer round trip
        self.spurious_rto = self.phase == LOSS
        snd.board.unmark_lost()
        if self.rack is not None:
            self.rack.on_undo()
        self.leave()

    # -- proportional rate reduction

    def update_quota(self, delivered: int, lost: int, pipe: int, mss: int, progress: bool) -> None:
        """RFC 9937 §6.2 (6937/9937-1): what may be sent for this ACK.  `lost` was newly marked; `progress` is SafeACK:
        snd_una advanced and nothing more was found lost.
        """
        target = self.prr_target
        if not delivered and self.prr_out:
            # nothing is computed anew: cwnd stays, of which what is lost has left some
            self.quota = max(self.quota, min(self.quota + lost, target - pipe))
            return
        self.prr_delivered += delivered
        if pipe > target:
            quota = (self.prr_delivered * target + self.recover_fs - 1) // self.recover_fs - self.prr_out
            quota += -quota % mss  # figure 1 counts segments: part of one is one
        else:
            quota = max(self.prr_delivered - self.prr_out, delivered)
            if progress:
                quota += mss
            quota = min(target - pipe, quota)
        if self.prr_out == 0:
            quota = max(quota, mss)  # the fast retransmission goes out at once
        self.quota = max(0, quota)

    def on_sent(self, nbytes: int) -> None:
        """`nbytes` went out during recovery."""
        self.prr_out += nbytes
        self.quota = max(0, self.quota - nbytes)
