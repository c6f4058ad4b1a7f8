"""How much was delivered, how fast, and whether cwnd was what held the sender back.

Theory of operation.  The connection's totals are written into each record when it is sent; when it is
delivered, the difference over the time is a delivery rate (draft-cheng-iccrg-delivery-rate-estimation).  A round is
the time until everything outstanding at its start is acknowledged; the most that was in flight in this round and the
last says whether the window was used (RFC 7661 §4.1).
"""

from stack.tcp.congestion.base import AckSample, Controller
from stack.tcp.rtt import RttEstimator
from stack.tcp.scoreboard import Record
from stack.wire.seq import HALF, MASK


class Delivery:
    """Totals of one connection; bytes and microseconds."""

    __slots__ = ("_round_max", "_round_prev", "_round_seq", "at", "first_sent_at", "sample", "total")

    def __init__(self) -> None:
        self.total = 0
        self.at = 0  # when `total` last grew
        self.first_sent_at = 0  # when the newest range delivered was sent
        self.sample: AckSample | None = None  # made with the first ACK
        self._round_seq = 0
        self._round_max = 0
        self._round_prev = 0

    def start(self, now: int, snd_una: int) -> None:
        """The SYN is acknowledged."""
        self.at = self.first_sent_at = now
        self._round_seq = snd_una

    def on_sent(self, record: Record, now: int, was_idle: bool) -> None:
        """`record` goes out for the first time; `was_idle`: nothing was outstanding."""
        if was_idle:
            self.first_sent_at = self.at = now
        record.delivered = self.total
        record.delivered_at = self.at
        record.first_sent_at = self.first_sent_at

    def on_in_flight(self, in_flight: int) -> None:
        """So much is in flight after a transmission."""
        if in_flight > self._round_max:
            self._round_max = in_flight

    def on_delivered(self, nbytes: int, now: int) -> None:
        """An ACK says that `nbytes` more arrived."""
        self.total += nbytes
        self.at = now

    def sample_for(
        self, now: int, newest: Record | None, rtt: RttEstimator, in_flight: int, snd_una: int, snd_nxt: int
    ) -> AckSample:
        """The part of the sample for the Controller that comes from the totals."""
        s = self.sample
        if s is None:
            s = self.sample = AckSample()
        s.now = now
        s.delivered = self.total
        s.srtt_us = rtt.srtt_us
        s.min_rtt_us = rtt.min_rtt_us
        s.in_flight = in_flight
        s.round_start = False
        if ((snd_una - self._round_seq) & MASK) < HALF:
            self._round_seq = snd_nxt
            self._round_prev, self._round_max = self._round_max, in_flight
            s.round_start = True
        s.delivery_rate = 0
        if newest is not None and newest.delivered_at:
            interval = now - newest.delivered_at
            sending = newest.sent_at - newest.first_sent_at
            if sending > interval:
                interval = sending
            if interval > 0:
                s.delivery_rate = (self.total - newest.delivered) * 1_000_000 // interval
            self.first_sent_at = newest.sent_at
        return s

    def app_limited(self, controller: Controller) -> bool:
        """The window was not what limited the sender.  RFC 7661 §4.1: in slow start half of cwnd in use counts as
        using it, since cwnd may double.
        """
        used = self._round_max if self._round_max > self._round_prev else self._round_prev
        if controller.cwnd < controller.ssthresh:
            used *= 2
        return used + 2 * controller.mss < controller.cwnd
