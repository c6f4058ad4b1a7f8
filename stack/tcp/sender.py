"""The sending half of a connection: SND.*, the send buffer, the scoreboard, RTT, recovery, cwnd.

Theory of operation.  `on_ack` takes everything an acceptable ACK says; `next_range` (transmit.py) is the one place
that decides what is sent next and leaves its answer in `out_*`; `on_sent` books what went out.  Zero windows are the
business of persist.py.  The SYN
is the Connection's business: the Sender begins when it is acknowledged.  The FIN is the last sequence
number of the stream (`fin_seq`) and lives in the scoreboard like data.

Invariants: snd_una <= snd_nxt <= snd_max (modulo 2^32); the scoreboard covers snd_una .. snd_nxt;
`snd_una` and `snd_wnd` are stored before anything else acts on an ACK; whenever something is
outstanding, the retransmission or the persist timer runs.

A sender at rest (`rest`) gives up its scoreboard and its Recovery when they have no history to keep; whoever looks at
them next has new ones.
"""

from mypy_extensions import mypyc_attr

from stack.config import NEVER, TcpConfig
from stack.tcp import persist, sack, tlp
from stack.tcp import recovery as rec
from stack.tcp.congestion.base import Controller, initial_window
from stack.tcp.congestion.registry import algorithm
from stack.tcp.delivery import Delivery
from stack.tcp.estimators import estimator
from stack.tcp.memory import ESSENTIAL, Budget
from stack.tcp.pacing import Pacer, from_rtt_us
from stack.tcp.recovery import Recovery
from stack.tcp.rtt import TS_TICK_US
from stack.tcp.scoreboard import WHY_MTU, Record, Scoreboard
from stack.tcp.segment import FIN, SYN, Segment
from stack.tcp.send_buffer import SendBuffer
from stack.tcp.timers import PACING, PERSIST, PROBE, REORDER, RETRANSMIT, USER, TimerTable
from stack.tcp.tlp import Tlp
from stack.wire.seq import HALF, MASK


@mypyc_attr(acyclic=True)
class Sender:
    """SND.* of RFC 9293 §3.3.1, in bytes and microseconds."""

    # fmt: off
    __slots__ = (
        "_board", "_recovery", "buffer", "by_rack", "config", "controller", "cwr_due", "delivery", "ecn",
        "eff_snd_mss", "fin_queued", "fin_seq", "first_window", "high_rtt_seq", "iss", "last_sent_at", "max_gso",
        "max_snd_wnd", "mss_since", "mtu_probe", "mtu_record", "nodelay", "orphan", "out_fin", "out_len",
        "out_mtu_probe", "out_probe", "out_record", "out_seq", "paced_from_us", "pacer", "persist_backoff", "probing",
        "rtt", "sack_ok", "snd_max", "snd_nxt", "snd_una", "snd_up", "snd_wl1", "snd_wl2", "snd_wnd", "snd_wscale",
        "tail_probes", "timeouts", "timers", "tlp", "total_retrans", "user_timeout_us",
    )
    # fmt: on

    def __init__(self, config: TcpConfig, iss: int, timers: TimerTable, budget: Budget) -> None:
        self.config = config
        self.timers = timers
        self.iss = iss
        self.user_timeout_us = config.user_timeout_us
        self.orphan = False  # the application has gone
        self.snd_una = self.snd_nxt = self.snd_max = iss
        self.snd_wnd = self.max_snd_wnd = self.snd_wscale = 0
        self.snd_wl1 = self.snd_wl2 = 0
        self.snd_up = -1  # end of urgent data, -1: none
        self.eff_snd_mss = 536
        self.max_gso = 0  # most payload the device takes at once, 0: no super-segments
        self.buffer = SendBuffer(budget)
        self._board: Scoreboard | None = None
        self._recovery: Recovery | None = None
        self.rtt = estimator(config)
        self.delivery = Delivery(budget.sample)
        self.paced_from_us = from_rtt_us(config)  # a path with a longer round trip is paced in any case
        self.pacer: Pacer | None = None  # made when something is paced
        self.first_window = 0  # bytes, the initial cwnd
        self.sack_ok = self.by_rack = self.tail_probes = False  # what of RFC 2018, RFC 8985 §6 and §7 is used
        self.tlp: Tlp | None = None  # made when the first one is due
        self.controller: Controller | None = None  # made when the MSS is known
        self.nodelay = config.nodelay
        self.fin_queued, self.fin_seq = False, -1
        self.last_sent_at = 0
        self.high_rtt_seq = iss
        self.timeouts = 0  # of the retransmission timer since snd_una moved
        self.total_retrans = 0
        self.persist_backoff = 0
        self.probing = False  # a zero-window probe octet is outstanding
        self.ecn = False  # RFC 3168: new data is sent as ECT(0)
        self.mss_since = 0  # how much had been sent when eff_snd_mss was set
        self.mtu_probe = 0  # payload of a segment wanted to try a larger size, 0: none (path_size.py)
        self.mtu_record: Record | None = None  # that segment
        self.cwr_due = False  # the next new data says that the window was reduced
        # the answer of next_range
        self.out_seq = self.out_len = 0
        self.out_fin = self.out_probe = self.out_mtu_probe = False
        self.out_record: Record | None = None  # a retransmission of this record

    @property
    def board(self) -> Scoreboard:
        """What is outstanding."""
        board = self._board
        if board is None:
            boards = self.buffer.budget.spares.boards
            board = self._board = boards.pop() if boards else Scoreboard()
            board.tracks_resent = self.by_rack
        return board

    @property
    def recovery(self) -> Recovery:
        """What is lost, and what to do about it."""
        recovery = self._recovery
        if recovery is None:
            recovery = self._recovery = Recovery(self.sack_ok, self.config.fast_retransmit, self.by_rack, self.iss)
        return recovery

    # -- start

    def start(self, now: int, mss: int, sack_ok: bool, syn_lost: bool) -> None:
        """The SYN is acknowledged: snd_una = iss + 1."""
        self.snd_una = self.snd_nxt = self.snd_max = (self.iss + 1) & MASK
        self.high_rtt_seq = self.snd_una
        self.eff_snd_mss = mss
        self.sack_ok = sack_ok
        self._board = self._recovery = None  # made of what was known before, if somebody has looked
        if sack_ok and self.config.loss_detection == "rack" and self.config.fast_retransmit:
            # RFC 8985 §4: both parts need SACK
            self.by_rack = True
            self.tail_probes = self.config.tlp
        # RFC 6928 §2 (6928-1): a lost SYN or SYN-ACK means an initial window of one segment
        window = mss if syn_lost else initial_window(mss, self.config.initial_window_segs)
        self.controller = algorithm(self.config.congestion)(mss, window)
        self.controller.configure(self.config)
        if self.controller.wants_lost_ranges:
            self.board.lost_log = []
        self.delivery.rates = self.controller.wants_rates or self.controller.wants_lost_ranges
        self.delivery.start(now, self.snd_una)
        self.first_window = window
        self.last_sent_at = now
        if syn_lost:
            self.rtt.after_syn_loss()
        self.controller.on_start(now, self.rtt.srtt_us, self.iss)

    def set_mss(self, mss: int) -> None:
        """The segment size changed; what was cut larger is cut again when it is sent again."""
        self.eff_snd_mss = mss
        self.mss_since = self.buffer.base + ((self.snd_nxt - self.snd_una) & MASK)
        if self.controller is not None:
            self.controller.on_mss(mss)

    # -- getters

    def in_flight(self) -> int:
        """The pipe of RFC 6675 §4, in bytes."""
        board = self.board
        n = (
            ((self.snd_nxt - self.snd_una) & MASK)
            - board.sacked_bytes
            - board.lost_bytes
            + board.retrans_bytes
            - self.recovery.dup_bytes
        )
        return n if n > 0 else 0

    def flight_size(self) -> int:
        """FlightSize, what reductions are taken from: sent and not cumulatively acknowledged (RFC 5681 §2), but no more
        than cwnd, since what limited transmit added does not count (§3.2).  The pipe would be too little: it is empty
        when the peer's window, and not cwnd, has held the sender back for a round trip of recovery.
        """
        flight = (self.snd_nxt - self.snd_una) & MASK
        controller = self.controller
        return flight if controller is None or flight < controller.cwnd else controller.cwnd

    def unsent(self) -> int:
        """Bytes in the send buffer that were never sent."""
        buffer = self.buffer
        sent = (self.snd_nxt - self.snd_una) & MASK
        if self.fin_seq >= 0 and sent:
            sent -= 1
        return buffer.end - buffer.base - sent

    def send_limit(self) -> int:
        """Bytes that the send buffer takes now: what is in flight, as much again to follow it, and a start.  As
        cwnd grows it does, up to `send_buffer`, unless the host is short of memory.
        """
        config, budget = self.config, self.buffer.budget
        limit = config.send_buffer_initial
        if budget.used >= budget.pressure_at:
            if budget.used >= budget.reserve_at:
                limit = min(limit, ESSENTIAL)
        elif self.controller is not None:
            limit += 2 * self.controller.cwnd
        return min(limit, config.send_buffer)

    def may_close_idle(self) -> bool:
        """Nothing is outstanding and nothing waits."""
        return self.snd_una == self.snd_nxt and self.buffer.end == self.buffer.base

    # -- acknowledgements

    def on_ack(self, seg: Segment, ts_rtt_us: int, now: int) -> bool:
        """Take an acceptable ACK (snd_una - max_snd_wnd <= SEG.ACK <= snd_max); returns whether
        it acknowledges the FIN.  `ts_rtt_us` is a round-trip time from the timestamp echo, or -1.
        """
        ack = seg.ack
        una = self.snd_una
        acked = (ack - una) & MASK
        if acked >= HALF:
            return False  # older than snd_una: only its SACK could matter, and RFC 6675 ignores those
        board = self.board
        prior = self.in_flight()
        wnd = seg.wnd << self.snd_wscale
        same_window = wnd == self.snd_wnd
        # RFC 9293 §3.10.7.4 (T-WL-1): an older segment does not update the window
        ahead = (seg.seq - self.snd_wl1) & MASK
        if 0 < ahead < HALF or (ahead == 0 and (ack - self.snd_wl2) & MASK < HALF):
            self.snd_wnd = wnd
            self.snd_wl1 = seg.seq
            self.snd_wl2 = ack
            if wnd > self.max_snd_wnd:
                self.max_snd_wnd = wnd
        elif acked:
            # DEVIATES RFC 9293 §3.10.7.4: to keep SND.WND here would move the right edge by what is acknowledged, past
            # what the peer has offered.  An ACK that advances was sent after the one that set the window, although
            # retransmitted data gives it an old SEG.SEQ: its window holds.
            self.snd_wnd = wnd
        board.newest = None
        fin_acked = False
        fresh = 0
        if acked:
            if 0 < (ack - self.snd_nxt) & MASK < HALF:
                self._retake(ack, now)
            self.snd_una = ack
            fresh = board.on_ack(ack)
            if self.fin_seq >= 0 and ack == (self.fin_seq + 1) & MASK:
                fin_acked = True
                self.buffer.release(self.buffer.end)
            else:
                self.buffer.release(self.buffer.base + acked)
            self.timeouts = 0
            self.persist_backoff = 0
            self.probing = False
            if self.snd_up >= 0 and ((ack - self.snd_up) & MASK) < HALF:
                self.snd_up = -1
        sacked = 0
        if seg.options and self.recovery.sack:
            sacked = sack.on_option(self, seg, now)
        bare = una == ack and same_window and not seg.length and not seg.flags & (SYN | FIN)
        duplicate = bare and self._is_duplicate()
        if self.tlp is not None and self.tlp.end_seq >= 0:
            tlp.on_ack(self, self.tlp, bare and not seg.options, now)
        if acked or sacked or duplicate:
            self._after_delivery(acked, fresh, sacked, prior, ts_rtt_us, now)
        elif self.probing and self.snd_wnd:
            persist.untake_probe(self)
        self._update_timers(bool(acked), now)
        return fin_acked

    def _retake(self, ack: int, now: int) -> None:
        """The peer acknowledges an octet, or the FIN, that was sent and taken back (a window probe)."""
        if self.fin_queued and self.buffer.end == self.buffer.base:
            self.fin_seq = self.snd_nxt
        self.board.append(self.snd_nxt, ack, now).transmissions = 2  # it is not known when: no round-trip time (Karn)
        self.snd_nxt = ack

    def _is_duplicate(self) -> bool:
        """RFC 5681 §2 (5681-3.2): whether a bare ACK that says nothing new is a duplicate."""
        return self.snd_nxt != self.snd_una and not self.probing and self.snd_wnd != 0

    def _after_delivery(self, acked: int, fresh: int, sacked: int, prior: int, ts_rtt_us: int, now: int) -> None:
        """Round-trip time, loss detection and congestion control for one ACK."""
        recovery, board = self.recovery, self.board
        delivered = fresh + sacked
        rtt_us = self._take_rtt(ts_rtt_us, now)
        controller = self.controller
        assert controller is not None
        lost = stale = 0
        if recovery.phase == rec.OPEN and acked and not sacked and not recovery.dupacks and not board.sacked_bytes:
            # in order with nothing missing needs no look at losses: all that is outstanding is in flight
            in_flight = (self.snd_nxt - self.snd_una) & MASK
        else:
            if recovery.phase == rec.LOSS:
                # RFC 3465 §2.3: this ACK is for far more than what a repair has let through
                stale = acked - (fresh if recovery.sack else min(acked, self.eff_snd_mss))
            self._check_app_limited(controller)
            late = recovery.phase == rec.LOSS and not recovery.sack
            lost, delivered = recovery.on_ack(self, acked, sacked, delivered, prior, ts_rtt_us, now)
            if board.lost_log:
                self._tell_lost(controller, now)
            self._watch()
            in_flight = self.in_flight()
            if late:
                self.delivery.unclear_until = self.delivery.total + delivered
        delivery = self.delivery
        delivery.total += delivered
        delivery.at = now
        s = delivery.sample_for(
            now, board.newest, self.rtt, controller, in_flight, board.lost_total, self.snd_una, self.snd_nxt, rtt_us < 0
        )
        s.acked = acked
        s.stale = stale
        s.sacked = sacked
        s.newly_delivered = delivered
        s.lost = lost
        s.rtt_us = rtt_us
        s.prior_in_flight = prior
        # RFC 3168 §6.1.2: no growth in the window of data that was reduced for a mark either
        s.in_recovery = recovery.phase == rec.RECOVERY or (recovery.cwr_point >= 0 and recovery.in_cwr(self.snd_una))
        s.paced = self.pacer is not None and self.pacer.rate > 0
        if acked or sacked:
            controller.on_ack(s)
        if recovery.phase == rec.RECOVERY:
            recovery.update_quota(delivered, lost, self.in_flight(), self.eff_snd_mss, acked > 0 and not lost)

    def _watch(self) -> None:
        """Set the timer of what RACK waits for."""
        rack, timers = self.recovery.rack, self.timers
        if rack is None:
            return
        if self.recovery.phase != rec.OPEN and self.tlp is not None:
            self.tlp.end_seq = -1  # RFC 8985 §7.3: irrelevant now
        if self.recovery.phase != rec.OPEN or self.board.sacked_bytes:
            timers.at[PROBE] = NEVER
        due_at = rack.due_at
        if due_at == NEVER:
            timers.at[REORDER] = NEVER
            return
        timers.arm(REORDER, due_at)
        # RFC 8985 §8: the retransmission timer does not strike before RACK has had its say
        if timers.at[RETRANSMIT] < due_at:
            timers.at[RETRANSMIT] = due_at

    def on_reorder(self, now: int) -> None:
        """The reordering timer fired: what it waited for is lost (RFC 8985 §6.2 step 5, 8985-1)."""
        recovery, controller = self.recovery, self.controller
        if not recovery.by_rack or controller is None or self.snd_una == self.snd_nxt:
            return
        prior = self.in_flight()
        lost = recovery.rack_detect(self, prior, now)
        if lost and recovery.phase == rec.OPEN:
            recovery.begin(self, prior, now)
        self._tell_lost(controller, now)
        if recovery.phase == rec.RECOVERY:
            recovery.update_quota(0, lost, self.in_flight(), self.eff_snd_mss, progress=False)
        if lost:
            # RFC 8985 §8: both may be due at this instant, and the repair takes a round trip
            self.timers.arm(RETRANSMIT, now + self.rtt.timeout_us())
        self._watch()

    def _tell_lost(self, controller: Controller, now: int) -> None:
        """Give the controller what the scoreboard logged."""
        log = self.board.lost_log
        if log:
            for nbytes, tx_in_flight, lost_since, app_limited in log:
                controller.on_range_lost(now, nbytes, tx_in_flight, lost_since, app_limited)
            log.clear()

    def _check_app_limited(self, controller: Controller) -> None:
        """Before something is written or sent again: whether the path had to wait for the application."""
        board = self.board
        if self.pacer is not None and self.pacer.waiting:
            return  # what there is waits for its time
        if self.delivery.rates and self.unsent() < self.eff_snd_mss and board.lost_bytes <= board.retrans_bytes:
            in_flight = self.in_flight()
            if in_flight < controller.cwnd:
                self.delivery.on_app_limited(in_flight)

    def _take_rtt(self, ts_rtt_us: int, now: int) -> int:
        """The round-trip time of the newest range this ACK delivered, -1 for none (Karn, MUST-18)."""
        newest = self.board.newest
        if newest is None:
            return -1
        if newest.transmissions == 1 or self.rtt.takes_ambiguous:
            rtt_us = now - newest.sent_at
        elif 0 <= ts_rtt_us <= now - newest.sent_at + TS_TICK_US:
            # RFC 6298 §3 (6298-3): the echo is of the last transmission, not of an earlier one.  It tells no less than
            # a tick: a smallest round trip of nothing would leave RACK no window
            rtt_us = max(ts_rtt_us, now - newest.sent_at, TS_TICK_US)
        else:
            return -1
        # RFC 7323 appendix G (7323-G): one sample per flight moves SRTT
        rtt = self.rtt
        if self.tlp is not None:
            self.tlp.sampled = True
        if self.recovery.spurious_rto:
            self.recovery.spurious_rto = False
            rtt.after_spurious_timeout(rtt_us)
        elif ((self.snd_una - self.high_rtt_seq) & MASK) < HALF or not rtt.srtt_us:
            self.high_rtt_seq = self.snd_nxt
            rtt.on_sample(rtt_us)
        else:
            rtt.backoff = 0
            if rtt_us < rtt.min_rtt_us:
                rtt.min_rtt_us = max(rtt_us, 1)
        return rtt_us

    # -- timers

    def _update_timers(self, advanced: bool, now: int) -> None:
        timers = self.timers
        if self.snd_una == self.snd_nxt:
            # RFC 6298 §5.2 (6298-5.1..5.3): all acknowledged
            timers.at[RETRANSMIT] = timers.at[PROBE] = timers.at[REORDER] = NEVER
            timers.at[USER] = NEVER
            self.board.newest = self.board.newest_once = None  # an idle connection keeps no record
        elif advanced:
            timers.arm(RETRANSMIT, now + self.rtt.timeout_us())  # RFC 6298 §5.3
            timers.arm(USER, now + self.user_timeout_us)
            if self.tail_probes:
                tlp.schedule(self, now)
        if self.snd_wnd:
            timers.at[PERSIST] = NEVER
        elif timers.at[USER] != NEVER and not self.orphan:
            # RFC 9293 §3.8.6.1 (MUST-37): a peer that answers probes may keep its window shut for ever
            # RFC 6429 §3: unless nobody here waits for it any more
            timers.arm(USER, now + self.user_timeout_us)

    def on_rto(self, now: int) -> None:
        """The retransmission timer fired (RFC 6298 §5.4-5.6, RFC 5681 §3.1)."""
        board, recovery, controller = self.board, self.recovery, self.controller
        if self.snd_una == self.snd_nxt or controller is None:
            return
        self._check_app_limited(controller)
        if board.forget_if_reneged() and recovery.rack is not None:
            recovery.rack.cursor = -1
        in_flight = self.flight_size()
        again = self.timeouts > 0
        recovery.on_timeout(self, again, now)
        if self.tlp is not None:
            self.tlp.end_seq = -1
        self.timers.at[PROBE] = self.timers.at[REORDER] = NEVER
        if self.snd_wnd or not self.probing:
            # RFC 3168 §6.1.2: a timeout in a window that was reduced for a mark reduces ssthresh no further
            marked = recovery.in_cwr(self.snd_una)
            controller.on_rto(now, in_flight, not again and not marked)
            if marked:
                recovery.end_undo()  # the window that it found was the mark's
            self.cwr_due = self.ecn
        self._tell_lost(controller, now)
        self.timeouts += 1
        self.rtt.on_timeout()
        delay = self.rtt.timeout_us()
        if not self.snd_wnd:
            # RFC 9293 §3.8.6 (SHLD-17, MUST-35): a window shrunk to nothing is probed by retransmissions
            delay = min(delay, persist.patience_us(self))
        self.timers.arm(RETRANSMIT, now + delay)

    # -- sending

    def fin_waits(self) -> bool:
        """The FIN is wanted and was not sent yet."""
        return self.fin_queued and self.fin_seq < 0

    def on_sent(self, now: int) -> None:
        """The range in out_* went out."""
        length = self.out_len + self.out_fin
        timers, recovery = self.timers, self.recovery
        record = self.out_record
        again = record is not None
        lone = False  # PROBE, if it runs, allows for a delayed acknowledgment
        if record is not None:
            self._on_resent(record, now)
        else:
            nxt = self.snd_nxt
            lone = (nxt - self.snd_una) & MASK <= self.eff_snd_mss
            end = (nxt + length) & MASK
            if self.snd_una == self.snd_nxt:
                timers.arm(USER, now + self.user_timeout_us)
            record = self.board.append(nxt, end, now)
            if self.out_fin:
                record.fin = True
                self.fin_seq = (nxt + self.out_len) & MASK
            self.snd_nxt = end
            if ((self.snd_max - end) & MASK) >= HALF:
                self.snd_max = end
        in_flight = self.in_flight()
        self.delivery.on_sent(record, now, length, in_flight, self.board.lost_total)
        self.last_sent_at = now
        if self.out_probe:
            self.probing = True
            return
        if recovery.phase == rec.RECOVERY:
            recovery.on_sent(length)
        elif recovery.frto == rec.FRTO_NEW:
            recovery.frto_quota -= length
        controller = self.controller
        assert controller is not None
        if not again:
            controller.on_sent(now, length, in_flight, record.app_limited)
        pacer = self.pacer
        if controller.pacing_rate or self.rtt.min_rtt_us > self.paced_from_us:
            if pacer is None:
                pacer = self.pacer = Pacer(self.config, self.first_window)
            pacer.on_sent(now, length, controller, self.rtt)
        elif pacer is not None and pacer.rate:
            pacer.stop()
        at = timers.at
        if at[RETRANSMIT] == NEVER:
            timers.arm(RETRANSMIT, now + self.rtt.timeout_us())  # RFC 6298 §5.1
        if (lone or at[PROBE] == NEVER) and self.tail_probes:
            tlp.schedule(self, now)

    def _on_resent(self, record: Record, now: int) -> None:
        """`record` went out again."""
        recovery = self.recovery
        self.board.retransmitted(record, now)
        self.total_retrans += 1
        recovery.forced = False
        undo = recovery.undo
        if undo is not None and undo.active and recovery.phase != rec.OPEN:
            undo.on_retransmit(record.seq, record.end, now)
        if record.seq == self.snd_una and recovery.phase == rec.RECOVERY:
            # DEVIATES RFC 6298 §5: as in deployed stacks the timer starts anew with the first hole's repair, which
            # takes a round trip like any other; if it is lost, RACK finds out
            self.timers.arm(RETRANSMIT, now + self.rtt.timeout_us())

    def held(self, now: int) -> bool:
        """Whether what could be sent must wait for its time; if so the timer runs.  There is something to send."""
        return self.pacer is not None and self.pacer.held(self.timers, now)

    def resend_all(self) -> None:
        """Everything outstanding was too large for the path: send it again, cwnd untouched (RFC 1191 §6.5)."""
        board = self.board
        board.lost_total -= board.mark_all_lost(WHY_MTU)
        if board.lost_log:
            board.lost_log.clear()
        self.recovery.enter_loss(self.snd_nxt)
        self.recovery.end_undo()  # what proves the last episode needless does not prove that these arrived

    def before_send(self, now: int) -> None:
        """RFC 5681 §4.1 (5681-4.1): restart the window after an idle time of more than an RTO."""
        controller = self.controller
        if controller is None:
            return
        if self.delivery.rates:
            self._check_app_limited(controller)
        if self.snd_una != self.snd_nxt:
            return
        idle = now - self.last_sent_at
        if idle > self.rtt.rto_us:
            controller.after_idle(now, idle, initial_window(self.eff_snd_mss, self.config.initial_window_segs))
            self.last_sent_at = now

    def configure(self, config: TcpConfig) -> None:
        """Settings that changed on the way."""
        self.config = config
        self.user_timeout_us = config.user_timeout_us

    def abandon(self, now: int) -> None:
        """The application has gone: what waits must be taken soon, by a peer that makes progress (RFC 6429 §3)."""
        self.orphan = True
        self.user_timeout_us = min(self.user_timeout_us, self.config.orphan_timeout_us)
        timers = self.timers
        if timers.at[USER] != NEVER:
            timers.arm(USER, min(timers.at[USER], now + self.user_timeout_us))

    def drop_excess(self) -> None:
        """Forget what was written beyond the room there is (`send_limit`), as far as it was never sent."""
        buffer = self.buffer
        kept = buffer.base + max(self.send_limit(), (self.snd_max - self.snd_una) & MASK)
        if buffer.end > kept:  # so the FIN was not sent
            buffer.cut(kept)

    def clear(self) -> None:
        """Drop everything that waits."""
        self.buffer.clear()
        self.snd_nxt = self.snd_una
        self._board = None

    def rest(self) -> None:
        """No timer runs: keep of the past what matters for the next flight."""
        if self.snd_una != self.snd_nxt or self.buffer.end != self.buffer.base:
            return
        board = self._board
        if board is not None and board.is_blank():
            spares = self.buffer.budget.spares
            if len(spares.boards) < spares.limit:
                spares.boards.append(board)
            self._board = None
        if self._recovery is not None and self._recovery.is_blank(self.iss):
            self._recovery = None

    def lost_bytes(self) -> int:
        """Bytes that are marked lost."""
        return self._board.lost_bytes if self._board is not None else 0

    def check_invariants(self) -> None:
        """Raise AssertionError when SND.* or the scoreboard contradict each other."""
        assert (self.snd_nxt - self.snd_una) & MASK < HALF
        assert (self.snd_max - self.snd_nxt) & MASK < HALF
        if self._board is not None:
            self._board.check_invariants(self.snd_una, self.snd_nxt)
        assert self.unsent() >= 0
        if self.controller is not None:
            self.controller.check_invariants()
        recovery = self._recovery
        if recovery is None or recovery.phase == rec.OPEN:
            assert not self.lost_bytes(), "something is lost, and no episode began"
            assert recovery is None or recovery.dupacks or not recovery.dup_bytes
        self.buffer.check_invariants()
        if self.snd_una != self.snd_nxt:
            at = self.timers.at
            assert min(at[RETRANSMIT], at[PERSIST]) != NEVER, "data is outstanding and no timer runs"
        if self.pacer is not None and self.pacer.waiting and (self.unsent() or self.lost_bytes() or self.fin_waits()):
            assert self.timers.running(PACING), "data waits for its time and no timer runs"
