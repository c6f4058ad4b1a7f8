"""What a congestion control algorithm is: it owns cwnd, ssthresh and pacing_rate, fed by arguments.

Theory of operation.  The Sender asks only `cwnd` and `pacing_rate`; it calls `on_sent` for new data,
`on_ack` once per ACK that delivered something, `on_loss` when a loss episode begins, `on_rto` when the
retransmission timer fires, `on_recovery_exit` when everything sent before the loss is acknowledged, and
`after_idle` before it sends on a connection that was quiet.  During fast recovery the Sender is limited
by PRR (RFC 9937), whatever `cwnd` says.  All windows are bytes.
"""

from typing import Final

INFINITE_SSTHRESH: Final = 1 << 40  # RFC 5681 §3.1 (5681-3.1c): arbitrarily high at first


def initial_window(mss: int, segs: int) -> int:
    """RFC 6928 §2 (6928-1): min(10 MSS, max(2 MSS, 14600)) for the default of 10 segments."""
    return min(segs * mss, max(2 * mss, segs * 1460))


class AckSample:
    """What one ACK told; reused, valid during `on_ack`.  Bytes, microseconds, bytes per second."""

    __slots__ = (
        "acked",
        "app_limited",
        "delivered",
        "delivery_rate",
        "in_flight",
        "in_recovery",
        "lost",
        "min_rtt_us",
        "now",
        "prior_in_flight",
        "round_start",
        "rtt_us",
        "sacked",
        "srtt_us",
    )

    def __init__(self) -> None:
        self.now = 0
        self.acked = 0  # newly acknowledged cumulatively
        self.sacked = 0  # newly acknowledged selectively
        self.lost = 0  # newly marked lost
        self.delivered = 0  # total bytes delivered on the connection so far
        self.rtt_us = -1  # of the newest range delivered; -1: none to be had
        self.srtt_us = 0
        self.min_rtt_us = 0
        self.delivery_rate = 0  # bytes per second, 0 when unknown
        self.round_start = False  # a round trip has passed since the last ACK with this set
        self.app_limited = False  # cwnd was not what held the sender back
        self.in_flight = 0  # after this ACK
        self.prior_in_flight = 0  # before this ACK
        self.in_recovery = False


class Controller:
    """Base class; the defaults of the hooks do nothing."""

    __slots__ = ("cwnd", "mss", "pacing_rate", "ssthresh")

    name = "base"

    def __init__(self, mss: int, initial_window: int) -> None:
        self.mss = mss
        self.cwnd = initial_window
        self.ssthresh = INFINITE_SSTHRESH
        self.pacing_rate = 0  # bytes per second; 0: not paced by this algorithm

    def on_sent(self, now: int, nbytes: int, in_flight: int, app_limited: bool) -> None:
        """New data went out; `in_flight` includes it."""

    def on_ack(self, sample: AckSample) -> None:
        """Data was delivered."""

    def on_loss(self, now: int, in_flight: int) -> None:
        """A loss episode begins; set ssthresh (and cwnd to what shall hold after recovery)."""

    def on_rto(self, now: int, in_flight: int, first: bool) -> None:
        """The retransmission timer fired; `first` unless it is a repeat for the same data."""

    def on_ecn(self, now: int, in_flight: int) -> None:
        """The peer echoed congestion experienced."""

    def on_recovery_exit(self, now: int) -> None:
        """Fast recovery is over."""

    def on_spurious(self, now: int) -> None:
        """The last reduction was for nothing: undo it."""

    def after_idle(self, now: int, idle_us: int, initial_window: int) -> None:
        """Nothing was sent for more than an RTO."""

    def on_mss(self, mss: int) -> None:
        """The segment size changed (path MTU); a window below one segment would let nothing out."""
        self.mss = mss
        self.cwnd = max(self.cwnd, mss)


class LossBased(Controller):
    """What Reno and its successors share: slow start, halving, restart after idle (RFC 5681)."""

    __slots__ = ("_undo_cwnd", "_undo_ssthresh")

    # RFC 9406 §4.3: L = 8 for an unpaced sender
    # DEVIATES RFC 5681 §3.1: up to 8 SMSS per ACK in slow start, since one ACK covers a whole super-segment
    slow_start_limit_segs = 8

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._undo_cwnd = 0
        self._undo_ssthresh = 0

    def slow_start(self, acked: int) -> int:
        """Grow by RFC 5681 §3.1 (5681-3.1a), RFC 3465 §2.1 (3465-1); returns the acked bytes left past ssthresh."""
        grow = min(acked, self.slow_start_limit_segs * self.mss)
        room = self.ssthresh - self.cwnd
        if grow <= room:
            self.cwnd += grow
            return 0
        self.cwnd = self.ssthresh
        return grow - room

    def reduced(self, in_flight: int) -> int:
        """The new ssthresh after a loss: RFC 5681 §3.1 equation 4 (5681-3.1c)."""
        return max(in_flight // 2, 2 * self.mss)

    def on_loss(self, now: int, in_flight: int) -> None:
        self._undo_cwnd, self._undo_ssthresh = self.cwnd, self.ssthresh
        self.ssthresh = self.reduced(in_flight)
        self.cwnd = self.ssthresh

    def on_rto(self, now: int, in_flight: int, first: bool) -> None:
        # RFC 5681 §3.1 (5681-3.1d, MUST-19): the loss window is one segment; ssthresh falls once per episode
        if first:
            self._undo_cwnd, self._undo_ssthresh = self.cwnd, self.ssthresh
            self.ssthresh = self.reduced(in_flight)
        self.cwnd = self.mss

    def on_spurious(self, now: int) -> None:
        self.cwnd = max(self.cwnd, self._undo_cwnd)
        self.ssthresh = max(self.ssthresh, self._undo_ssthresh)

    def after_idle(self, now: int, idle_us: int, initial_window: int) -> None:
        # RFC 5681 §4.1 (5681-4.1)
        self.cwnd = min(self.cwnd, initial_window)
