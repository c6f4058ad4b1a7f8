"""How much was delivered, how fast, and whether cwnd was what held the sender back.

Theory of operation (draft-ietf-ccwg-bbr §4.1).  The connection's totals are written into each record whenever it is
sent, for the first time or again.  When it is delivered, what was delivered since then, over the longer of the time
that it took to send it and the time that it took to acknowledge it, is a delivery rate; of all the records that one ACK
delivers, the one sent last counts.  A sample over less than the smallest round trip is of an ACK for an earlier copy of
a retransmitted range, and is no sample; nor is one of which that cannot be excluded (§4.1.3.5).  Without SACK, what
arrived behind a hole is counted when a timeout has filled it: all at once, so that every rate across that moment
(`unclear_until`) would be too high (§4.1.3.5.1).

Where the application had nothing to send although cwnd had room, a bubble travels through the path: until all that was
in flight then is delivered (`app_limited_until`), what is sent is marked, and its rate says nothing of the path.

Only controllers that ask for it (`wants_rates`) have a rate sample with every ACK, and bubbles looked for; for the
others just what `tcp_info` shows is kept.

A round is the time until everything outstanding at its start is acknowledged; the most that was in flight in this round
and the last says whether the window was used (RFC 7661 §4.1).
"""

from mypy_extensions import mypyc_attr

from stack.tcp.congestion.base import AckSample, Controller
from stack.tcp.rtt import RttEstimator
from stack.tcp.scoreboard import Record
from stack.wire.seq import HALF, MASK


@mypyc_attr(acyclic=True)
class Delivery:
    """Totals of one connection; bytes and microseconds."""

    # fmt: off
    __slots__ = (
        "_round_max", "_round_prev", "_round_seq", "answered", "app_limited_until", "at", "first_sent_at", "rate_bytes",
        "rate_us", "rates", "rounds", "sample", "total", "unclear_until",
    )
    # fmt: on

    def __init__(self, sample: AckSample) -> None:
        self.total = 0  # the Sender counts, ACK by ACK
        self.at = 0  # when it last did
        self.first_sent_at = 0  # when the newest range delivered was sent
        self.sample = sample  # all connections of a host share it: of the last ACK that one of them took
        # the last rate: bytes delivered between the transmission and the delivery of a range, and how long that took
        self.rate_bytes = 0
        self.rate_us = 0  # 0: not known
        self.rates = False  # the controller wants rate samples
        self.app_limited_until = 0  # `total` past which the bubble is gone, 0: no bubble
        self.answered = 0  # `total` when data was last sent, or could not be
        self.unclear_until = 0  # `total` when something was counted long after it arrived
        self.rounds = 0
        self._round_seq = 0
        self._round_max = 0
        self._round_prev = 0

    def start(self, now: int, snd_una: int) -> None:
        """The SYN is acknowledged."""
        self.at = self.first_sent_at = now
        self._round_seq = snd_una

    def on_sent(self, record: Record, now: int, nbytes: int, in_flight: int, lost_total: int) -> None:
        """`record`, of which `nbytes` went out, was sent for the first time or again; `in_flight` includes it."""
        if in_flight == nbytes:  # nothing else is on its way: the clock starts now
            self.first_sent_at = self.at = now
        record.delivered = self.total
        record.delivered_at = self.at
        record.first_sent_at = self.first_sent_at
        if self.rates:
            record.tx_in_flight = in_flight
            record.lost_before = lost_total
            record.app_limited = self.app_limited_until != 0
        if in_flight > self._round_max:
            self._round_max = in_flight

    def peak(self) -> int:
        """The most bytes in flight in this round and the last."""
        return max(self._round_max, self._round_prev)

    def on_app_limited(self, in_flight: int) -> None:
        """Nothing waits to be sent, and the window has room."""
        self.app_limited_until = max(self.total + in_flight, 1)

    def sample_for(
        self,
        now: int,
        newest: Record | None,
        rtt: RttEstimator,
        controller: Controller,
        in_flight: int,
        lost_total: int,
        snd_una: int,
        snd_nxt: int,
        ambiguous: bool,
    ) -> AckSample:
        """The part of the sample for the Controller that comes from the totals.  `ambiguous`: nobody knows which
        transmission of `newest` has arrived.
        """
        s = self.sample
        s.now = now
        s.delivered = self.total
        s.lost_total = lost_total
        s.srtt_us = rtt.srtt_us
        s.min_rtt_us = rtt.min_rtt_us
        s.in_flight = in_flight
        if ((snd_una - self._round_seq) & MASK) < HALF:
            self._round_seq = snd_nxt
            self._round_prev, self._round_max = self._round_max, in_flight
            self.rounds += 1
            s.round_start = True
        else:
            s.round_start = False
        s.round_count = self.rounds
        s.rto_us = rtt.rto_us
        if newest is not None and newest.delivered_at >= 0:
            self.first_sent_at = newest.sent_at
            interval = self.at - newest.delivered_at
            sending = newest.sent_at - newest.first_sent_at
            if sending > interval:
                interval = sending
            unclear = ambiguous or newest.delivered < self.unclear_until or interval < rtt.min_rtt_us
            self.rate_us = 0 if unclear else interval
            self.rate_bytes = self.total - newest.delivered
        else:
            newest = None
            self.rate_us = 0
        if self.rates:
            self._add_rate(s, newest)
        elif s.prior_delivered >= 0:
            s.forget_rate()
        # The window was not what limited the sender.  RFC 7661 §4.1: in slow start half of cwnd in use counts as using
        # it, since cwnd may double.
        used = self._round_max if self._round_max > self._round_prev else self._round_prev
        cwnd = controller.cwnd
        if cwnd < controller.ssthresh:
            used *= 2
        s.app_limited = used + 2 * controller.mss < cwnd
        return s

    def _add_rate(self, s: AckSample, newest: Record | None) -> None:
        """The rate sample of the newest range delivered."""
        s.interval_us = self.rate_us
        s.delivery_rate = self.rate()
        if newest is not None:
            s.prior_delivered = newest.delivered
            s.tx_in_flight = newest.tx_in_flight
            s.lost_since = s.lost_total - newest.lost_before
            s.rate_app_limited = newest.app_limited
        else:
            s.forget_rate()
        if self.app_limited_until and self.total > self.app_limited_until:
            self.app_limited_until = 0

    def rate(self) -> int:
        """The delivery rate of the last range delivered, in bytes per second; 0 when it is not known."""
        return self.rate_bytes * 1_000_000 // self.rate_us if self.rate_us > 0 else 0
