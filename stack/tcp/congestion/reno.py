"""Reno as in RFC 5681: fast retransmit and fast recovery, which ends with the first ACK of new data."""

from typing import ClassVar

from stack.tcp.congestion.newreno import NewReno


class Reno(NewReno):
    """NewReno without its answer to partial ACKs: several losses in one window halve it several times, or wait for
    the timer.  It differs where the peer does not report SACK; with SACK the scoreboard knows the other holes.
    """

    __slots__ = ()

    name: ClassVar[str] = "reno"
    partial_ack: ClassVar[bool] = False
    may_hystart: ClassVar[bool] = False
    slow_start_limit_segs: ClassVar[int] = 1  # RFC 5681 §3.1 equation 2
