"""Segment arrives: the steps of RFC 9293 §3.10.7, in its order.

Each step is one function; it returns an action mask, or STOP when the segment is finished with.  A drop is counted
by the Host: its reason travels in the high bits of the mask (`dropped`).
"""

from typing import TYPE_CHECKING, Final

from stack import errors
from stack.config import SECOND
from stack.stats import DropReason
from stack.tcp import ecn, output
from stack.tcp.events import CONNECTED, EOF, READABLE, URGENT
from stack.tcp.receiver import ACK_LATER, ACK_NOW, OUTPUT, REFUSED
from stack.tcp.segment import ACK, CE, CWR, ECE, FIN, RST, SYN, URG, Segment
from stack.tcp.state import (
    CLOSE_WAIT,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    SYN_RECEIVED,
    TIME_WAIT,
)
from stack.tcp.time_wait import ANSWER, REOPEN, TimeWait
from stack.tcp.timers import DELAYED_ACK, KEEPALIVE, USER
from stack.tcp.timers import FIN_WAIT_2 as T_FIN_WAIT_2
from stack.tcp.timers import TIME_WAIT as T_TIME_WAIT
from stack.wire.seq import HALF, MASK
from stack.wire.tcp import SynOptions, parse_syn

if TYPE_CHECKING:
    from stack.tcp.connection import Connection

STOP: Final = 1 << 16  # the segment is finished with
ENDED: Final = 1 << 17  # the connection is over: the segment belongs to none
DROP_SHIFT: Final = 20  # the reason of a drop stands above this bit of the action mask


def dropped(reason: DropReason, actions: int = 0) -> int:
    """The action mask of a segment that is dropped."""
    return actions | STOP | int(reason) << DROP_SHIFT


# -- SYN-SENT (RFC 9293 §3.10.7.3)


def on_syn_sent(conn: "Connection", seg: Segment, now: int) -> int:
    """A segment in SYN-SENT."""
    snd, flags = conn.snd, seg.flags
    has_ack = bool(flags & ACK)
    acceptable = has_ack and seg.ack == snd.snd_nxt
    if has_ack and not acceptable:
        if flags & RST:
            return dropped(DropReason.TCP_BAD_ACK)
        conn.rst_seq = seg.ack  # (T-RST-2): reset what it is about, and stay
        return dropped(DropReason.TCP_BAD_ACK, OUTPUT)
    if flags & RST:
        # RFC 5961 §3.2: only with an acceptable ACK
        if not acceptable:
            return dropped(DropReason.TCP_BLIND_RST)
        conn.fail(errors.ConnectionRefused("the peer refused the connection"))
        return OUTPUT
    if not flags & SYN:
        return dropped(DropReason.TCP_BAD_FLAGS)
    negotiate(conn, seg, now)
    conn.timers.cancel_all()
    conn.last_rx_at = now
    if acceptable:
        conn.enter(ESTABLISHED)
        established(conn, seg, now)
        conn.ack_now = True
    else:
        # RFC 9293 §3.5 (MUST-10): simultaneous open
        conn.enter(SYN_RECEIVED)
        conn.syn_due = True
        conn.snd.snd_wnd = seg.wnd
        conn.timers.arm(USER, now + conn.config.syn_retries_us)
    return OUTPUT | text_of_syn(conn, seg, now)


def text_of_syn(conn: "Connection", seg: Segment, now: int) -> int:
    """Data and FIN on a SYN wait for ESTABLISHED (T-HS-1)."""
    if not seg.length and not seg.flags & FIN:
        return 0
    seg.seq = conn.rcv.rcv_nxt
    conn.rcv.rcv_adv = (conn.rcv.rcv_nxt + min(conn.rcv.limit, 0xFFFF)) & MASK
    end = (seg.seq + seg.length) & MASK  # taking the text may trim it
    actions = _text(conn, seg, now) if seg.length else 0
    if seg.flags & FIN:
        actions |= fin(conn, end, now)
    return actions & ~STOP


def negotiate(conn: "Connection", seg: Segment, now: int) -> None:
    """Take the peer's SYN: IRS and its options (RFC 9293 §3.7.1, RFC 7323 §2-3, RFC 2018 §2)."""
    rcv, config = conn.rcv, conn.config
    options = parse_syn(seg.options) if seg.options else SynOptions()
    rcv.start(seg.seq)
    conn.peer_mss = options.mss or conn.peer_mss  # (MUST-15): 536 when absent
    # RFC 7323 §2.2 (7323-2.2): scaling only when both sides offered it
    conn.peer_wscale = options.wscale if config.window_scaling else -1
    if conn.peer_wscale < 0:
        rcv.rcv_wscale = 0
    else:
        conn.snd.snd_wscale = conn.peer_wscale
    conn.ts_ok = config.timestamps and seg.has_ts
    if conn.ts_ok:
        rcv.ts_recent, rcv.ts_recent_at = seg.tsval, now
    conn.sack_ok = config.sack and options.sack_ok  # RFC 2018 §2 (2018-1)
    ecn.negotiate(conn, seg)


def established(conn: "Connection", seg: Segment, now: int) -> None:
    """Our SYN is acknowledged."""
    snd = conn.snd
    sampled = not conn.syn_tries and conn.opened_at
    if sampled and not conn.syn_lost:
        snd.rtt.on_sample(now - conn.opened_at)
    snd.start(now, conn.effective_mss(), conn.sack_ok, conn.syn_lost)
    snd.max_gso = conn.max_gso
    # the window of a SYN is not scaled (7323-2.2)
    snd.snd_wnd = seg.wnd if seg.flags & SYN else seg.wnd << snd.snd_wscale
    snd.max_snd_wnd = snd.snd_wnd
    snd.snd_wl1, snd.snd_wl2 = seg.seq, seg.ack
    conn.syn_due = False
    conn.timers.cancel_all()
    conn.events |= CONNECTED
    if conn.config.keepalive:
        conn.timers.arm(KEEPALIVE, now + conn.config.keepalive_idle_us)


# -- SYN-RECEIVED and the synchronised states (RFC 9293 §3.10.7.4)


def on_synchronised(conn: "Connection", seg: Segment, now: int) -> int:
    """A segment in SYN-RECEIVED or later: the eight checks in their order."""
    if conn.state == TIME_WAIT:
        return _time_wait(conn, seg, now)
    actions = _check_sequence(conn, seg, now)
    if actions & STOP:
        return actions
    if seg.flags & RST:
        return _check_reset(conn, seg, now)
    if seg.flags & SYN:
        if conn.state != SYN_RECEIVED or seg.seq != conn.rcv.irs:
            return _check_syn(conn, now)
        # RFC 9293 §3.5 figure 8 (MUST-10): in a simultaneous open the peer's SYN comes again with its ACK.  The flag
        # stays: the window of a SYN is not scaled (7323-2.2)
        seg.seq = conn.rcv.rcv_nxt
        conn.ack_now = True  # our own SYN-ACK may not have gone out yet, and now it never will
        actions |= ACK_NOW
    conn.last_rx_at = now
    conn.keepalive_sent = 0
    answer = _check_ack(conn, seg, now)
    actions |= answer
    if answer & STOP:
        return actions
    if seg.flags & (CE | CWR) and conn.rcv.ecn:
        actions |= ecn.on_marks(conn, seg)
    if seg.flags & URG:
        _urgent(conn, seg)
    end = (seg.seq + seg.length) & MASK  # taking the text may trim it
    if seg.length:
        actions |= _text(conn, seg, now)
    if seg.flags & FIN and not actions & STOP:
        actions |= fin(conn, end, now)
    return actions


def _time_wait(conn: "Connection", seg: Segment, now: int) -> int:
    record = conn.time_wait
    assert record is not None
    verdict = record.on_segment(seg, now)
    if conn.timers.at[T_TIME_WAIT] != record.expires_at:
        conn.timers.arm(T_TIME_WAIT, record.expires_at)
    if verdict == REOPEN:
        return STOP | ENDED
    if verdict == ANSWER:
        conn.ack_now = True
        return dropped(DropReason.TCP_TIME_WAIT, ACK_NOW)
    return dropped(DropReason.TCP_TIME_WAIT)


def _challenge(conn: "Connection", reason: DropReason, now: int) -> int:
    """Drop and acknowledge (RFC 5961 §3-5), at a limited rate per connection (§7, 5961-7): a limit shared by all
    connections would tell an attacker about others (CVE-2016-5696).
    """
    if now - conn.challenge_at >= SECOND:
        conn.challenge_at, conn.challenges = now, 0
    conn.challenges += 1
    if conn.challenges > conn.config.challenge_acks_per_s:
        return dropped(reason)
    conn.ack_now = True
    return dropped(reason, ACK_NOW)


def _check_sequence(conn: "Connection", seg: Segment, now: int) -> int:
    """First check: PAWS, then acceptability (RFC 9293 §3.10.7.4, RFC 7323 §5)."""
    rcv, flags = conn.rcv, seg.flags
    if conn.ts_ok and not flags & RST:
        if not seg.has_ts:
            if not flags & SYN:
                return dropped(DropReason.TCP_MISSING_TIMESTAMP)  # RFC 7323 §3.2 (7323-3.2b)
        elif rcv.paws_reject(seg, now):
            return _challenge(conn, DropReason.TCP_PAWS, now)
    length = seg.length + (1 if flags & SYN else 0) + (1 if flags & FIN else 0)
    if not rcv.acceptable(seg.seq, length):
        if flags & RST:
            return dropped(DropReason.TCP_OUT_OF_WINDOW)
        if conn.state == SYN_RECEIVED and flags & SYN and seg.seq == rcv.irs:
            if flags & ACK and seg.ack == conn.snd.snd_nxt:
                return 0  # of a simultaneous open; see on_synchronised
            ecn.withdraw(conn, flags)
            conn.syn_due = True  # (T-HS-2): the peer did not get our SYN-ACK
            return dropped(DropReason.TCP_DUPLICATE, OUTPUT)
        if flags & SYN and conn.state > SYN_RECEIVED:
            return _challenge(conn, DropReason.TCP_BLIND_SYN, now)  # RFC 5961 §4 (5961-4): any sequence number
        if seg.seq != rcv.rcv_nxt or rcv.rcv_wnd():
            _note_duplicate(conn, seg)
            if flags & ACK and not flags & SYN and conn.state != SYN_RECEIVED:
                # its ACK may still be news when everything it carries is old
                _old_segment_ack(conn, seg, now)
            if seg.length:
                # old data again: its sender missed our ACK
                conn.ack_now = True
                return dropped(DropReason.TCP_OUT_OF_WINDOW, ACK_NOW)
            return _challenge(conn, DropReason.TCP_OUT_OF_WINDOW, now)
        # RFC 9293 §3.10.7.4 (MUST-66): with a zero window ACK, RST and URG are taken, the text is not
        seg.length = 0
        seg.flags = flags & ~FIN
        conn.ack_now = True
        if conn.ts_ok and seg.has_ts:
            rcv.update_ts(seg, now)
        return ACK_NOW
    if conn.ts_ok and seg.has_ts and not flags & RST:
        rcv.update_ts(seg, now)
    return 0


def _note_duplicate(conn: "Connection", seg: Segment) -> None:
    """RFC 2883 §4.1 (2883-1): a segment that lies before rcv_nxt altogether is reported as D-SACK, a FIN with it."""
    rcv = conn.rcv
    length = seg.length + (1 if seg.flags & FIN else 0)
    if length and 0 < (rcv.rcv_nxt - seg.seq) & MASK < HALF:
        rcv.prompt()
        if conn.sack_ok:
            rcv.dsack = (seg.seq, (seg.seq + length) & MASK)


def _old_segment_ack(conn: "Connection", seg: Segment, now: int) -> None:
    """DEVIATES RFC 9293 §3.10.7.4: a retransmission whose text is old still carries a current ACK; as in deployed
    stacks that ACK counts, else two peers that lost each other's ACKs would wait for a timeout.
    """
    snd = conn.snd
    if (
        0 < (conn.rcv.rcv_nxt - seg.seq) & MASK < HALF
        and 0 < (seg.ack - snd.snd_una) & MASK <= (snd.snd_max - snd.snd_una) & MASK
        and conn.state in (ESTABLISHED, CLOSE_WAIT)
    ):
        snd.on_ack(seg, conn.echo_rtt(seg, now), now)
        if conn.want_writable:
            conn.check_writable()


def _check_reset(conn: "Connection", seg: Segment, now: int) -> int:
    """Second check: RST (RFC 5961 §3.2, 5961-3)."""
    if seg.seq != conn.rcv.rcv_nxt:
        return _challenge(conn, DropReason.TCP_BLIND_RST, now)
    state = conn.state
    if state == SYN_RECEIVED:
        # (MUST-11): a passive open goes back to LISTEN, which is the Listener's own state
        conn.fail(None if conn.passive else errors.ConnectionRefused("the peer refused the connection"))
    elif state in (CLOSING, LAST_ACK):
        conn.fail(None)
    else:
        # DEVIATES RFC 9293 §3.10.7.4: the queues are flushed there.  As in deployed stacks the application reads what
        # had arrived in order, and then learns of the reset: often the peer has closed with something unread of its own
        conn.fail(errors.ConnectionReset("the peer reset the connection"))
    return STOP | OUTPUT


def _check_syn(conn: "Connection", now: int) -> int:
    """Fourth check: SYN (RFC 5961 §4, 5961-4)."""
    if conn.state == SYN_RECEIVED and conn.passive:
        conn.fail(None)  # RFC 9293 §3.10.7.4: back to LISTEN
        return dropped(DropReason.TCP_BLIND_SYN, OUTPUT)
    return _challenge(conn, DropReason.TCP_BLIND_SYN, now)


def _check_ack(conn: "Connection", seg: Segment, now: int) -> int:
    """Fifth check: the ACK field."""
    if not seg.flags & ACK:
        return dropped(DropReason.TCP_NO_ACK)
    snd = conn.snd
    ahead = (seg.ack - snd.snd_una) & MASK
    sent = (snd.snd_max - snd.snd_una) & MASK
    if conn.state == SYN_RECEIVED:
        if not 0 < ahead <= sent:
            conn.rst_seq = seg.ack
            return dropped(DropReason.TCP_BAD_ACK, OUTPUT)
        conn.enter(ESTABLISHED)
        established(conn, seg, now)
        if conn.rcv.queued:
            conn.events |= READABLE
        if conn.rcv.fin_received:
            conn.enter(CLOSE_WAIT)
        if snd.fin_queued:
            conn.enter(LAST_ACK if conn.rcv.fin_received else FIN_WAIT_1)
        return OUTPUT
    if ahead > sent:
        if ahead < HALF:
            return _challenge(conn, DropReason.TCP_BAD_ACK, now)  # (T-ACK-1): an ACK of something not sent
        # RFC 5961 §5 (5961-5): too old an ACK
        if (snd.snd_una - seg.ack) & MASK > max(snd.max_snd_wnd, 1):
            return _challenge(conn, DropReason.TCP_BAD_ACK, now)
        return 0
    if seg.flags & ECE and snd.ecn:
        ecn.on_echo(snd, seg.ack, now)
    fin_acked = snd.on_ack(seg, conn.echo_rtt(seg, now) if snd.total_retrans else -1, now)
    if conn.want_writable:
        conn.check_writable()
    if fin_acked:
        return OUTPUT | _fin_acked(conn, now)
    return OUTPUT


def _fin_acked(conn: "Connection", now: int) -> int:
    state = conn.state
    if state == FIN_WAIT_1:
        conn.enter(FIN_WAIT_2)
        if conn.released:
            conn.timers.arm(T_FIN_WAIT_2, now + conn.config.fin_wait_2_us)  # (T-FIN-4)
    elif state == CLOSING:
        _enter_time_wait(conn, now)
    elif state == LAST_ACK:
        conn.fail(None)
        return STOP
    return 0


def _urgent(conn: "Connection", seg: Segment) -> None:
    """Sixth check (RFC 9293 §3.8.5, RFC 6093 §3): the pointer names the octet after the urgent data."""
    rcv = conn.rcv
    up = (seg.seq + seg.up) & MASK
    newer = rcv.rcv_up < 0 or 0 < (up - rcv.rcv_up) & MASK < HALF
    if newer and 0 < (up - rcv.rcv_nxt) & MASK < HALF:
        rcv.rcv_up = up
        conn.events |= URGENT


def refused(conn: "Connection") -> int:
    """The host has no memory for the text: for the peer the path has lost it."""
    conn.ack_now = True
    return dropped(DropReason.TCP_MEMORY, ACK_NOW)


def _text(conn: "Connection", seg: Segment, now: int) -> int:
    """Seventh: the segment text."""
    if conn.state not in (ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, SYN_RECEIVED):
        return 0
    if conn.released and conn.state != SYN_RECEIVED:
        # RFC 9293 §3.6.1 (SHLD-3): nobody will read this
        conn.rst_seq = output.sequence_for_control(conn)
        conn.fail(None if conn.snd.may_close_idle() else errors.ConnectionAborted("data arrived after close"))
        return dropped(DropReason.TCP_AFTER_CLOSE, OUTPUT)
    rcv = conn.rcv
    before = rcv.rcv_nxt
    answer = rcv.on_data(seg)
    if rcv.overflowed:
        rcv.overflowed = False
        conn.ack_now = True
        return dropped(DropReason.TCP_REASSEMBLY_FULL, ACK_NOW)
    if answer == REFUSED:
        return refused(conn)
    if rcv.rcv_nxt != before and conn.state >= ESTABLISHED:  # text of a SYN waits (T-HS-1)
        conn.events |= READABLE
    if answer & ACK_NOW:
        conn.ack_now = True
    elif answer:
        conn.ack_pending = True
    else:
        timers = conn.timers
        if not timers.running(DELAYED_ACK):
            timers.arm(DELAYED_ACK, now + conn.config.delayed_ack_us)
    if conn.pending_fin >= 0:
        answer |= take_fin(conn, now)
    return answer


def fin(conn: "Connection", at: int, now: int) -> int:
    """Eighth: the FIN bit, whose sequence number is `at` (T-FIN-1)."""
    rcv = conn.rcv
    if rcv.fin_received:
        conn.ack_now = True
        return ACK_NOW
    # beyond the window it does not count, as data would not (T-WND-1)
    if (at - rcv.rcv_nxt) & MASK >= max((rcv.rcv_adv - rcv.rcv_nxt) & MASK, 1):
        return 0
    conn.pending_fin = at
    if at != rcv.rcv_nxt:
        return 0  # its data is missing
    return take_fin(conn, now)


def take_fin(conn: "Connection", now: int) -> int:
    """Process the FIN when everything before it has arrived."""
    rcv = conn.rcv
    if conn.pending_fin != rcv.rcv_nxt:
        return 0
    conn.pending_fin = -1
    rcv.rcv_nxt = (rcv.rcv_nxt + 1) & MASK
    rcv.fin_received = True
    rcv.drop_out_of_order()
    conn.events |= EOF
    conn.ack_pending = True
    state = conn.state
    if state == ESTABLISHED:
        conn.enter(CLOSE_WAIT)
    elif state == FIN_WAIT_1:
        # our FIN is not acknowledged yet, else the fifth check had moved on (T-FIN-2)
        conn.enter(CLOSING)
    elif state == FIN_WAIT_2:
        _enter_time_wait(conn, now)
        conn.ack_now = True
        return ACK_NOW
    return ACK_LATER


def _enter_time_wait(conn: "Connection", now: int) -> None:
    """RFC 9293 §3.6.1 (MUST-13): linger 2 MSL; only that timer runs."""
    conn.enter(TIME_WAIT)
    conn.timers.cancel_all()
    two_msl_us = 2 * conn.config.msl_us
    rcv = conn.rcv
    conn.time_wait = TimeWait(
        conn.snd.snd_nxt,
        rcv.rcv_nxt,
        rcv.rcv_wnd() >> rcv.rcv_wscale,
        (conn.ts_ok, rcv.ts_recent, conn.ts_offset),
        two_msl_us,
        now,
    )
    conn.timers.arm(T_TIME_WAIT, now + two_msl_us)
