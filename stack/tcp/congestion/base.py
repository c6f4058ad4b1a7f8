"""What a congestion control algorithm is: it owns cwnd, ssthresh and pacing_rate, fed by arguments.

Theory of operation.  The Sender asks only `cwnd` (and `pacing_rate`, when the algorithm paces), and calls, in this
order and each only when it applies:

    configure           once, before anything else: the settings of the connection
    on_start            once, when the connection is established
    on_sent             new data went out
    on_loss, on_rto     a loss episode begins; the retransmission timer fired
    on_range_lost       for each range marked lost (only with `wants_lost_ranges`)
    on_spurious         the last episode was for nothing
    on_recovery_exit    what was outstanding at the beginning of the episode is acknowledged
    on_rto_exit         the same after a timeout
    on_ecn              the peer echoes congestion, at most once per window of data
    on_ack              last, once per ACK that delivered something
    after_idle          before it sends on a connection that was quiet for more than an RTO

In fast recovery the Sender is limited by PRR (RFC 9937), whatever `cwnd` says, unless the class sets `uses_prr` to
False; two more flags, `fast_recovery` and `partial_ack`, take later inventions away from the engine.  All windows are
bytes, times are microseconds, rates are bytes per second, all of them int.

To write one: subclass Controller (or LossBased in lossbased.py, which has slow start and halving), override the hooks
that matter, and give the class as `TcpConfig.congestion`, or a name in `registry.py`; docs/congestion-control.md.
"""

from typing import TYPE_CHECKING, ClassVar, Final

from mypy_extensions import mypyc_attr

if TYPE_CHECKING:
    from stack.config import TcpConfig

INFINITE_SSTHRESH: Final = 1 << 40  # RFC 5681 §3.1 (5681-3.1c): arbitrarily high at first


def initial_window(mss: int, segs: int) -> int:
    """RFC 6928 §2 (6928-1): min(10 MSS, max(2 MSS, 14600)) for the default of 10 segments."""
    return min(segs * mss, max(2 * mss, segs * 1460))


class AckSample:
    """What one ACK told, valid during `on_ack`: another connection is the next to use it.  Bytes, microseconds, bytes
    per second.

    The second group is the delivery rate sample of draft-ietf-ccwg-bbr §4.1: it is of the range delivered by this ACK
    that was sent last, and `delivery_rate` is 0 when nothing reliable could be measured, or the
    algorithm does not want it (`Controller.wants_rates`).
    """

    # fmt: off
    __slots__ = (
        "acked", "app_limited", "delivered", "delivery_rate", "in_flight", "in_recovery", "interval_us", "lost",
        "lost_since", "lost_total", "min_rtt_us", "newly_delivered", "now", "paced", "prior_delivered",
        "prior_in_flight", "rate_app_limited", "round_count", "round_start", "rto_us", "rtt_us", "sacked", "srtt_us",
        "stale", "tx_in_flight",
    )
    # fmt: on

    def __init__(self) -> None:
        self.now = 0
        self.acked = 0  # newly acknowledged cumulatively, what SACK had reported before included
        self.stale = 0  # of `acked`, what may have arrived before a timeout that this is the recovery of
        self.sacked = 0  # newly acknowledged selectively
        self.newly_delivered = 0  # what this ACK says has arrived and no ACK before it said
        self.lost = 0  # newly marked lost
        self.delivered = 0  # total bytes delivered on the connection so far
        self.lost_total = 0  # total bytes marked lost on the connection so far
        self.rtt_us = -1  # of the newest range delivered; -1: none to be had
        self.srtt_us = 0
        self.min_rtt_us = 0
        self.rto_us = 0  # without backoff
        self.round_start = False  # a round trip has passed since the last ACK with this set
        self.round_count = 0  # how many so far
        self.app_limited = False  # cwnd was not what held the sender back
        self.paced = False  # the sender spreads what it sends over the round trip
        self.in_flight = 0  # after this ACK
        self.prior_in_flight = 0  # before this ACK
        self.in_recovery = False
        # the rate sample
        self.delivery_rate = 0  # bytes per second, 0 when unknown
        self.interval_us = 0  # over which it was measured; 0: no sample
        self.prior_delivered = -1  # `delivered` when the range was sent, -1: nothing to take a sample from
        self.tx_in_flight = 0  # in flight when the range was sent, it included
        self.lost_since = 0  # marked lost since the range was sent
        self.rate_app_limited = False  # the application had too little to send: the path may be faster

    def forget_rate(self) -> None:
        """There is no rate sample."""
        self.delivery_rate = self.interval_us = self.tx_in_flight = self.lost_since = 0
        self.prior_delivered = -1
        self.rate_app_limited = False


@mypyc_attr(allow_interpreted_subclasses=True)
class Controller:
    """Base class; the defaults of the hooks do nothing."""

    __slots__ = ("cwnd", "mss", "pacing_rate", "ssthresh")

    name: ClassVar[str] = "base"
    wants_lost_ranges: ClassVar[bool] = False  # call on_range_lost
    wants_rates: ClassVar[bool] = True  # False: the rate sample stays empty, `app_limited` of on_sent False
    uses_prr: ClassVar[bool] = True  # False: `cwnd` rules in fast recovery, too
    fast_recovery: ClassVar[bool] = True  # False: a loss found by ACKs is answered as a timeout is (Tahoe)
    partial_ack: ClassVar[bool] = True  # False: without SACK, any new ACK ends fast recovery (Reno)

    def __init__(self, mss: int, initial_window: int) -> None:
        self.mss = mss
        self.cwnd = initial_window
        self.ssthresh = INFINITE_SSTHRESH
        self.pacing_rate = 0  # bytes per second; 0: not paced by this algorithm

    def configure(self, config: "TcpConfig") -> None:
        """The settings of the connection, for those that matter to the algorithm."""

    def on_start(self, now: int, srtt_us: int, seed: int) -> None:
        """The connection is established.  `srtt_us` is of the handshake, 0 when it could not be measured; `seed` is a
        number for an algorithm that needs chance (a run must repeat exactly, so there is no other source).
        """

    def on_sent(self, now: int, nbytes: int, in_flight: int, app_limited: bool) -> None:
        """New data went out; `in_flight` includes it.  `app_limited`: the sender had run out of data before."""

    def on_ack(self, sample: AckSample) -> None:
        """Data was delivered."""

    def on_loss(self, now: int, in_flight: int) -> None:
        """A loss episode begins; set ssthresh (and cwnd to what shall hold after recovery).  `in_flight`, here and in
        the next hooks, is FlightSize (RFC 5681 §2) of the moment: outstanding bytes, SACKed ones too, at most `cwnd`.
        """

    def on_range_lost(self, now: int, nbytes: int, tx_in_flight: int, lost_since_sent: int, app_limited: bool) -> None:
        """A transmitted range of `nbytes` is taken for lost.  `tx_in_flight` was in flight when it was sent, it
        included; `lost_since_sent` were marked lost since then, it included; `app_limited` as in on_sent.
        """

    def on_rto(self, now: int, in_flight: int, first: bool) -> None:
        """The retransmission timer fired; `first` unless it is a repeat for the same data."""

    def on_ecn(self, now: int, in_flight: int) -> None:
        """The peer echoed congestion experienced (RFC 3168 §6.1.2); at most once per window of data, never in recovery.
        To be taken as a loss (§5), unless an algorithm knows better.
        """
        self.on_loss(now, in_flight)

    def on_recovery_exit(self, now: int) -> None:
        """Fast recovery is over."""

    def on_rto_exit(self, now: int) -> None:
        """What was outstanding when the timer fired, or a segment size changed, is acknowledged."""

    def on_spurious(self, now: int) -> None:
        """The last reduction was for nothing: undo it."""

    def after_idle(self, now: int, idle_us: int, initial_window: int) -> None:
        """Nothing was sent for more than an RTO."""

    def on_mss(self, mss: int) -> None:
        """The segment size changed (path MTU); a window below one segment would let nothing out, and a threshold below
        two is less than any loss leaves (RFC 5681 §3.1).
        """
        self.mss = mss
        self.cwnd = max(self.cwnd, mss)
        self.ssthresh = max(self.ssthresh, 2 * mss)

    def check_invariants(self) -> None:
        """Raise AssertionError when the windows are too small to go on with."""
        assert self.cwnd >= self.mss, f"a congestion window of {self.cwnd}, less than a segment of {self.mss}"

    def describe(self) -> dict[str, int | str]:
        """What is worth seeing of the algorithm's own state in `tcp_info`, by name."""
        return {}
