"""How much was delivered, how fast, and whether cwnd was what held the sender back.

Theory of operation (draft-ietf-ccwg-bbr §4.1).  The connection's totals are written into each record whenever it is
sent, for the first time or again.  When it is delivered, what was delivered since then, over the longer of the time
that it took to send it and the time that it took to acknowledge it, is a delivery rate; of all the records that one ACK
delivers, the one sent last counts.  A sample over less than the smallest round trip is of an ACK for an earlier copy of
a retransmitted range, and is no sample.

Where the application had nothing to send although cwnd had room, a bubble travels through the path: until all that was
in flight then is delivered (`app_limited_until`), what is sent is marked, and its rate says nothing of the path.

A round is the time until everything outstanding at its start is acknowledged; the most that was in flight in this round
and the last says whether the window was used (RFC 7661 §4.1).
"""

from stack.tcp.congestion.base import AckSample, Controller
from stack.tcp.rtt import RttEstimator
from stack.tcp.scoreboard import Record
from stack.wire.seq import HALF, MASK


class Delivery:
    """Totals of one connection; bytes and microseconds."""

    # fmt: off
    __slots__ = (
        "_round_max", "_round_prev", "_round_seq", "app_limited_until", "at", "first_sent_at", "rounds", "sample",
        "total",
    )
    # fmt: on

    def __init__(self) -> None:
        self.total = 0
        self.at = 0  # when `total` last grew
        self.first_sent_at = 0  # when the newest range delivered was sent
        self.sample: AckSample | None = None  # made with the first ACK
        self.app_limited_until = 0  # `total` past which the bubble is gone, 0: no bubble
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
        record.tx_in_flight = in_flight
        record.lost_before = lost_total
        record.app_limited = self.app_limited_until != 0
        if in_flight > self._round_max:
            self._round_max = in_flight

    def on_app_limited(self, in_flight: int) -> None:
        """Nothing waits to be sent, and the window has room."""
        self.app_limited_until = max(self.total + in_flight, 1)

    def on_delivered(self, nbytes: int, now: int) -> None:
        """An ACK says that `nbytes` more arrived."""
        self.total += nbytes
        self.at = now

    def sample_for(
        self,
        now: int,
        newest: Record | None,
        rtt: RttEstimator,
        in_flight: int,
        lost_total: int,
        snd_una: int,
        snd_nxt: int,
    ) -> AckSample:
        """The part of the sample for the Controller that comes from the totals."""
        s = self.sample
        if s is None:
            s = self.sample = AckSample()
        s.now = now
        s.delivered = self.total
        s.lost_total = lost_total
        s.srtt_us = rtt.srtt_us
        s.min_rtt_us = rtt.min_rtt_us
        s.in_flight = in_flight
        s.round_start = False
        if ((snd_una - self._round_seq) & MASK) < HALF:
            self._round_seq = snd_nxt
            self._round_prev, self._round_max = self._round_max, in_flight
            self.rounds += 1
            s.round_start = True
            s.rto_us = rtt.rto_us
        s.round_count = self.rounds
        s.delivery_rate = s.interval_us = 0
        if newest is not None and newest.delivered_at >= 0:
            self._rate(s, newest)
        else:
            s.prior_delivered, s.tx_in_flight, s.lost_since, s.rate_app_limited = -1, 0, 0, False
        if self.app_limited_until and self.total > self.app_limited_until:
            self.app_limited_until = 0
        return s

    def _rate(self, s: AckSample, newest: Record) -> None:
        """The rate sample of the newest range delivered."""
        self.first_sent_at = newest.sent_at
        s.prior_delivered = newest.delivered
        s.tx_in_flight = newest.tx_in_flight
        s.lost_since = s.lost_total - newest.lost_before
        s.rate_app_limited = newest.app_limited
        interval = self.at - newest.delivered_at
        sending = newest.sent_at - newest.first_sent_at
        if sending > interval:
            interval = sending
        if interval >= s.min_rtt_us and interval > 0:
            s.interval_us = interval
            s.delivery_rate = (self.total - newest.delivered) * 1_000_000 // interval

    def app_limited(self, controller: Controller) -> bool:
        """The window was not what limited the sender.  RFC 7661 §4.1: in slow start half of cwnd in use counts as
        using it, since cwnd may double.
        """
        used = self._round_max if self._round_max > self._round_prev else self._round_prev
        if controller.cwnd < controller.ssthresh:
            used *= 2
        return used + 2 * controller.mss < controller.cwnd
