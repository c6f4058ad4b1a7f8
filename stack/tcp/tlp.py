"""Tail loss probes (RFC 8985 §7): when the last segments of a flight are lost, nobody reports it.

Theory of operation.  While data is in flight and no loss is suspected, the PROBE timer runs, at most as long as
RETRANSMIT (which stands behind it in the timer table, so that a probe goes first when both are due).  It sends one
segment, new or else the last one again, past the window if need be: its ACK shows RACK what is missing.  `end_seq` is
outstanding until it is known what became of the probe; there is one at a time.

Sending new data behind more than one segment does not touch the timer; when it fires it looks at when something was
sent last.  Behind a single one it starts the timer anew: it no longer has to allow for a delayed acknowledgment.
"""

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from stack.config import MS, NEVER, SECOND
from stack.tcp import recovery as rec
from stack.tcp.timers import PROBE, RETRANSMIT
from stack.wire.seq import HALF, MASK

if TYPE_CHECKING:
    from stack.tcp.sender import Sender

MAX_ACK_DELAY_US: Final = 200 * MS  # RFC 8985 §7.2: TLP.max_ack_delay
# Not in RFC 8985: a peer on a very short path, or this host, may be busy for longer than two round trips.
PTO_FLOOR_US: Final = 10 * MS


@mypyc_attr(acyclic=True)
class Tlp:
    """The variables of RFC 8985 §5.3."""

    __slots__ = ("due", "end_seq", "flight", "is_retrans", "probes", "reported", "sampled")

    def __init__(self) -> None:
        self.due = False  # PROBE fired: send one
        self.end_seq = -1  # TLP.end_seq, -1: no probe is out
        self.is_retrans = False
        self.flight = 0  # bytes in flight when what it repeats was sent
        self.reported = False  # a D-SACK says that it was a duplicate
        self.sampled = True  # a round-trip time was measured since the last probe
        self.probes = 0


def pto_us(snd: "Sender") -> int:
    """RFC 8985 §7.2 TLP_calc_PTO() (8985-3), without the bound of the RTO."""
    srtt_us = snd.rtt.srtt_us
    if not srtt_us:
        return SECOND
    pto = 2 * srtt_us
    if pto < PTO_FLOOR_US:
        pto = PTO_FLOOR_US
    if (snd.snd_nxt - snd.snd_una) & MASK <= snd.eff_snd_mss:
        pto += MAX_ACK_DELAY_US
    return pto


def may_probe(snd: "Sender") -> bool:
    """RFC 8985 §7.2: not in recovery, nor while SACK shows that something is missing; nor into a closed window."""
    return (
        snd.tail_probes
        and snd.recovery.phase == rec.OPEN
        and not snd.board.sacked_bytes  # in the phase OPEN nothing is marked lost
        and snd.snd_una != snd.snd_nxt
        and snd.snd_wnd > 0
        and not snd.probing
    )


def schedule(snd: "Sender", now: int) -> None:
    """Start the timer anew, or stop it."""
    timers = snd.timers
    at = timers.at
    if (snd.tlp is not None and snd.tlp.end_seq >= 0) or not may_probe(snd):
        at[PROBE] = NEVER
        return
    due_at = now + pto_us(snd)
    if due_at > at[RETRANSMIT]:
        due_at = at[RETRANSMIT]
    timers.arm(PROBE, due_at)


def on_timer(snd: "Sender", now: int) -> bool:
    """PROBE fired: decide whether to send a probe (8985-3)."""
    timers = snd.timers
    if not may_probe(snd):
        return False
    due_at = snd.last_sent_at + pto_us(snd)
    if due_at > now and timers.at[RETRANSMIT] > now:
        timers.arm(PROBE, min(due_at, timers.at[RETRANSMIT]))
        return False
    # RFC 8985 §7.3: one at a time, and the round-trip time is known to be what it was
    tlp = snd.tlp
    if tlp is None:
        tlp = snd.tlp = Tlp()
    tlp.due = tlp.end_seq < 0 and tlp.sampled
    timers.arm(RETRANSMIT, now + snd.rtt.timeout_us())
    return tlp.due


def take_probe(snd: "Sender", tlp: Tlp) -> bool:
    """Choose the segment that probes as the next range: RFC 8985 §7.3 TLP_send_probe()."""
    tlp.due = False
    if not may_probe(snd):
        return False
    outstanding = (snd.snd_nxt - snd.snd_una) & MASK
    mss, unsent = snd.eff_snd_mss, snd.unsent()
    room = snd.snd_wnd - outstanding
    snd.out_probe = False
    snd.out_record = None
    snd.out_seq = snd.snd_nxt
    snd.out_len = min(unsent, mss)
    snd.out_fin = snd.fin_waits() and snd.out_len == unsent
    tlp.is_retrans = False
    if not 0 < snd.out_len + snd.out_fin <= room:
        r = snd.board.last()
        if r is None:
            return False
        fin = 1 if r.fin else 0
        length = ((r.end - r.seq) & MASK) - fin
        if length > mss:
            tail = length % mss or mss
            r = snd.board.split(snd.board.index_of(r), (r.seq + length - tail) & MASK)
            length = tail
        snd.out_record = r
        snd.out_seq = r.seq
        snd.out_len = length
        snd.out_fin = r.fin
        tlp.is_retrans = True
        tlp.flight = snd.delivery.peak()
    tlp.probes += 1
    tlp.end_seq = (snd.out_seq + snd.out_len + snd.out_fin) & MASK
    tlp.sampled = tlp.reported = False
    return True


def on_ack(snd: "Sender", tlp: Tlp, bare: bool, now: int) -> None:
    """RFC 8985 §7.4.2 TLP_process_ack() (8985-4); `bare`: a duplicate ACK that carries no SACK option."""
    if (snd.snd_una - tlp.end_seq) & MASK >= HALF:
        return
    if not tlp.is_retrans or tlp.reported:
        tlp.end_seq = -1  # nothing was lost, or RACK sees what was
    elif snd.snd_una != tlp.end_seq:
        # the probe repaired the loss of the last segment, and that too is a sign of congestion
        controller, recovery = snd.controller, snd.recovery
        again = recovery.in_cwr(tlp.end_seq)  # in a window of data that was reduced for a mark
        tlp.end_seq = -1
        if controller is not None and recovery.phase == rec.OPEN and not again:
            recovery.end_undo()
            # what is in flight now, or was when the tail was all that was left, says nothing of the window that lost it
            controller.on_loss(now, min(tlp.flight, controller.cwnd))
            controller.on_recovery_exit(now)
            snd.cwr_due = snd.ecn
    elif bare:
        tlp.end_seq = -1  # the duplicate that the probe was
