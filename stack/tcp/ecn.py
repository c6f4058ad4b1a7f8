"""Explicit congestion notification: what two ends agree on, and what a receiver echoes (RFC 3168, RFC 8311).

Theory of operation.  The SYNs agree (`syn_flags`, `negotiate`, `withdraw`).  From then on there are two halves that
know nothing of each other.  `Receiver.ecn`: a segment that IP marked CE makes every ACK carry ECE (`Receiver.ece`)
until the peer says CWR (`on_marks`).  `Sender.ecn`: new data is sent as ECT(0); an ECE reduces the window once per
window of data (`on_echo`; Recovery knows which window), and the next new data carries CWR (`output.fill_data`).

The Host hands the mark over as the bit CE of `Segment.flags`, so that a marked segment leaves the fast path by itself.

OMITS RFC 8511: the response to CE is that to a loss, as RFC 3168 §5 has it; the milder one is an experiment.
OMITS RFC 3168 §6.1.1.1: a reset in answer to an ECN-setup SYN is a refusal, not a reason to try without.
"""

from typing import TYPE_CHECKING, Final

from stack.config import ECN_OFF, ECN_REQUEST, TcpConfig
from stack.tcp.receiver import ACK_LATER
from stack.tcp.segment import ACK, CE, CWR, ECE, Segment
from stack.tcp.state import SYN_SENT

if TYPE_CHECKING:
    from stack.tcp.connection import Connection
    from stack.tcp.sender import Sender

SETUP: Final = ECE | CWR  # of an ECN-setup SYN; an ECN-setup SYN-ACK has ECE alone (RFC 3168 §6.1.1)


def syn_flags(conn: "Connection") -> int:
    """What the SYN or SYN-ACK that goes out now says about ECN."""
    if conn.state != SYN_SENT:
        return ECE if conn.rcv.ecn else 0
    # RFC 3168 §6.1.1.1: a SYN that was not answered may have been dropped for its flags
    return SETUP if conn.config.ecn == ECN_REQUEST and not conn.syn_tries else 0


def requested(seg: Segment, config: TcpConfig) -> bool:
    """Whether the SYN `seg` asks for ECN and may have it.  A SYN that arrives marked tells that somebody on the way
    does not know what the bits mean.
    """
    return config.ecn != ECN_OFF and seg.flags & (SETUP | CE) == SETUP


def negotiate(conn: "Connection", seg: Segment) -> None:
    """The peer's SYN or SYN-ACK (RFC 3168 §6.1.1, 3168-1)."""
    flags, wanted = seg.flags, conn.config.ecn
    if conn.state != SYN_SENT:
        agreed = requested(seg, conn.config)
    else:
        # in a simultaneous open both SYNs must have asked
        agreed = wanted == ECN_REQUEST and flags & SETUP == (ECE if flags & ACK else SETUP)
    conn.rcv.ecn = agreed
    # RFC 3168 §6.1.1: who sent a SYN that did not ask must not send ECT, but echoes what it is sent
    conn.snd.ecn = agreed and not (conn.state == SYN_SENT and conn.syn_tries)


def withdraw(conn: "Connection", flags: int) -> None:
    """RFC 3168 §6.1.1: a repeated SYN that asks no longer takes the agreement back."""
    if flags & SETUP != SETUP:
        conn.rcv.ecn = conn.snd.ecn = False


def on_marks(conn: "Connection", seg: Segment) -> int:
    """An acceptable segment with CE or CWR; returns an action mask (RFC 3168 §6.1.3)."""
    rcv = conn.rcv
    before = rcv.ece
    if seg.flags & CWR:
        rcv.ece = 0
    if seg.flags & CE and seg.length:
        rcv.ece = ECE
    if rcv.ece == before and not seg.flags & CWR:
        return 0
    # the sender learns at once: half a delayed ACK late, its queue has grown that much
    conn.ack_pending = True
    return ACK_LATER


def on_echo(snd: "Sender", ack: int, now: int) -> None:
    """An acceptable ACK with ECE, before anything else of it is used."""
    if snd.controller is not None and snd.recovery.on_echo(ack, snd.snd_nxt):
        snd.controller.on_ecn(now, snd.flight_size())
        snd.cwr_due = True
