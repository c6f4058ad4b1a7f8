"""What a connection sends next: the one place that decides (`next_range`).

Theory of operation.  Lost ranges first, then new data, then the rescue of RFC 6675.  The budget is the Controller's
window less what is in flight, in RECOVERY the quota of proportional rate reduction; the peer's window, Nagle and
silly-window avoidance bound new data further; what may be sent then waits for its time (pacing.py).  Tail loss probes
are chosen by tlp.py.  The answer is left in the Sender's `out_*`; `Sender.on_sent` books it.
"""

from typing import TYPE_CHECKING, Final

from stack.config import NEVER
from stack.tcp import persist
from stack.tcp import recovery as rec
from stack.tcp.path_size import FOLLOWERS
from stack.tcp.scoreboard import WHY_RESCUE
from stack.tcp.timers import PERSIST
from stack.wire.seq import MASK

if TYPE_CHECKING:
    from stack.tcp.sender import Sender

SUPER_SEGMENT_US: Final = 1_000  # without pacing: a super-segment is at most what the path takes in 1 ms


def max_segment(snd: "Sender") -> int:
    """Payload of the largest (super-)segment to hand to the device now."""
    mss = snd.eff_snd_mss
    if snd.max_gso < 2 * mss or snd.snd_up >= 0:
        return mss
    controller = snd.controller
    assert controller is not None
    cwnd = controller.cwnd
    limit = min(snd.max_gso, max(4 * mss, cwnd // 2))
    srtt_us = snd.rtt.srtt_us
    if snd.pacer is not None and snd.pacer.rate:
        limit = min(limit, snd.pacer.quantum(mss))
    elif srtt_us > SUPER_SEGMENT_US:
        limit = min(limit, max(2 * mss, cwnd * SUPER_SEGMENT_US // srtt_us))
    return limit - limit % mss


def next_range(snd: "Sender", now: int) -> bool:
    """Decide what to send next; the answer is in out_seq, out_len, out_fin, out_record, out_probe."""
    board, controller = snd.board, snd.controller
    if controller is None:
        return False
    snd.delivery.answered = snd.delivery.total
    snd.out_probe = False
    snd.out_record = None
    snd.out_fin = False
    if snd.pacer is not None:
        snd.pacer.waiting = False
    in_flight = snd.in_flight()
    recovery = snd.recovery
    if recovery.phase == rec.OPEN and not recovery.dupacks:
        return _next_new(snd, controller.cwnd - in_flight, now)  # nothing is lost, nor looks like it
    by_prr = recovery.phase == rec.RECOVERY and controller.uses_prr
    budget = recovery.quota if by_prr else controller.cwnd - in_flight
    if recovery.phase == rec.OPEN and recovery.dupacks and not snd.config.limited_transmit:
        budget -= board.sacked_bytes + recovery.dup_bytes
    if recovery.frto == rec.FRTO_NEW:
        if recovery.frto_quota <= 0 or snd.held(now):
            return False
        if _next_new(snd, recovery.frto_quota, now):
            return True
        if recovery.frto_quota < rec.FRTO_SEGS * snd.eff_snd_mss:
            return False  # RFC 5682 §2.1 step 2b: "up to two", and what went out will tell
        recovery.frto = rec.FRTO_OFF  # nothing new can be sent
    if board.lost_bytes > board.retrans_bytes:
        if _next_lost(snd, budget, in_flight, now):
            return True
        if board.lost_bytes > board.retrans_bytes:
            return False  # a repair waits for the window: nothing new before it
    if _next_new(snd, budget, now):
        return True
    # with RACK there is no rescue: what is missing at the end is what probes are for
    in_rfc6675 = recovery.phase == rec.RECOVERY and recovery.sack and not recovery.by_rack
    return in_rfc6675 and budget >= snd.eff_snd_mss and _next_rescue(snd, now)


def _next_rescue(snd: "Sender", now: int) -> bool:
    """RFC 6675 §4 NextSeg() rules 3 and 4 (6675-2): a hole not lost yet, once per episode the last segment."""
    board, recovery = snd.board, snd.recovery
    if snd.held(now):
        return False
    mss = snd.eff_snd_mss
    r = recovery.first_hole(board)
    if r is None:
        r = board.last()
        if recovery.rescued or r is None or r.mark:
            return False
        recovery.rescued = True
        if (r.end - r.seq) & MASK > mss:
            r = board.split(board.index_of(r), (r.end - mss) & MASK)
    board.mark_lost(r, WHY_RESCUE)
    return _next_lost(snd, mss, snd.in_flight(), now)


def _next_lost(snd: "Sender", budget: int, in_flight: int, now: int) -> bool:
    """RFC 6675 §4 NextSeg() rule 1: the oldest lost range."""
    board = snd.board
    r = board.next_lost()
    if r is None:
        return False
    # RFC 9293 §3.8.6 (MUST-34, SHLD-16): into a shrunken window only the first segment, as a probe
    if ((r.seq - snd.snd_una) & MASK) >= max(snd.snd_wnd, 1):
        return False
    mss = snd.eff_snd_mss
    if (r.end - r.seq) & MASK < mss:
        board.join_lost(r, mss)
    length = (r.end - r.seq) & MASK
    limit = max_segment(snd)
    room = max(budget, mss) if in_flight == 0 or snd.recovery.forced else budget
    if room < min(length, mss) or snd.held(now):
        return False
    limit = min(limit, max(mss, room - room % mss))
    fin = 1 if r.fin else 0
    if length - fin > limit:
        board.split(board.index_of(r), (r.seq + limit) & MASK)
        length, fin = limit, 0
    snd.out_record = r
    snd.out_seq = r.seq
    snd.out_len = length - fin
    snd.out_fin = bool(fin)
    return True


def _next_new(snd: "Sender", budget: int, now: int) -> bool:
    """New data within window and cwnd: Nagle, silly-window avoidance, the FIN."""
    unsent = snd.unsent()
    fin_waits = snd.fin_queued and snd.fin_seq < 0
    if snd.probing or not (unsent or fin_waits):
        return False
    mss = snd.eff_snd_mss
    outstanding = (snd.snd_nxt - snd.snd_una) & MASK
    usable = snd.snd_wnd - outstanding
    if usable <= 0:
        if not outstanding and snd.timers.at[PERSIST] == NEVER:
            persist.arm(snd, now)
        return False
    if budget < mss and budget < max(unsent, 1):
        if outstanding:
            return False
        # RFC 5681 §3.1: a window has at least one segment; one restored from before the segments grew may have less
        budget = mss
    if snd.mtu_probe and _take_mtu_probe(snd, min(unsent, usable), budget, now):
        return True
    n = unsent
    limit = mss if n <= mss else max_segment(snd)
    if n > limit:
        n = limit
    if n > usable:
        n = usable
    if n > budget:
        n = budget
    if n < unsent:
        # not the end of the data: whole segments only
        if n >= mss:
            n -= n % mss
            if n < limit and outstanding and _defer(snd, n, limit):
                return False
        elif not _worth_sending(snd, n, outstanding, now):
            return False
    elif not _may_send_tail(snd, n, outstanding, fin_waits):
        n -= n % mss
        if not n:
            return False
    # the FIN needs a sequence number in the window, too
    fin = fin_waits and n == unsent and n < usable
    if not (n or fin) or snd.held(now):
        return False
    snd.out_seq = snd.snd_nxt
    snd.out_len = n
    snd.out_fin = fin
    return True


def _take_mtu_probe(snd: "Sender", available: int, budget: int, now: int) -> bool:
    """One segment of the size that path_size.py wants to try, when enough follows it to notice its loss."""
    size = snd.mtu_probe
    if snd.recovery.phase != rec.OPEN or snd.snd_up >= 0 or available < size + FOLLOWERS * snd.eff_snd_mss:
        return False
    if budget < size or snd.held(now):
        return False
    snd.out_seq = snd.snd_nxt
    snd.out_len = size
    snd.out_mtu_probe = True
    return True


def _defer(snd: "Sender", n: int, limit: int) -> bool:
    """Whether to wait for more ACKs, so that super-segments stay large (they cost the same whatever
    their size).  ACKs are on their way, and not all of a small window is waited for: of a congestion window of three
    segments two would not leave before the first is acknowledged, which a receiver may put off (RFC 9293 §3.8.6.3).
    """
    if snd.recovery.phase != rec.OPEN:
        return False
    controller = snd.controller
    assert controller is not None
    return n < min(limit // 2, snd.max_snd_wnd // 4, controller.cwnd // 4)


def _worth_sending(snd: "Sender", n: int, outstanding: int, now: int) -> bool:
    """RFC 9293 §3.8.6.2.1 (MUST-38): less than a segment only for half of the largest window seen."""
    if n * 2 >= snd.max_snd_wnd > 0:
        return True
    if not outstanding and snd.timers.at[PERSIST] == NEVER:
        persist.arm(snd, now)
    return False


def _may_send_tail(snd: "Sender", n: int, outstanding: int, fin_waits: bool) -> bool:
    """RFC 9293 §3.7.4 (SHLD-7, MUST-17), Nagle: a short last segment waits while data is outstanding."""
    return n % snd.eff_snd_mss == 0 or snd.nodelay or not outstanding or fin_waits or snd.snd_up >= 0
