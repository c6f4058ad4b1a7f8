"""CUBIC (RFC 9438).

Theory of operation.  After a reduction the window follows W(t) = C (t - K)^3 + W_max, a curve that is
flat around the window where loss struck last, and never less than what Reno would reach.  Everything is
integer: windows in bytes, times in microseconds, K from an integer cube root, so that a run repeats
exactly on every machine.
"""

from typing import ClassVar, Final

from stack.tcp.congestion.base import AckSample
from stack.tcp.congestion.lossbased import LossBased

# RFC 9438 §4.1, §4.6: C = 0.4 segments/s^3, beta = 0.7
C_NUM: Final = 4
C_DEN: Final = 10
BETA_NUM: Final = 7
BETA_DEN: Final = 10
US3: Final = 10**18  # microseconds cubed in a second cubed
MS3: Final = 10**9  # milliseconds cubed in a second cubed
# RFC 9438 §4.3: alpha = 3 (1 - beta) / (1 + beta) = 9 / 17
ALPHA_NUM: Final = 9
ALPHA_DEN: Final = 17


def cube_root(n: int) -> int:
    """The largest integer whose cube is at most `n` (n >= 0), by Newton's method."""
    if n <= 0:
        return 0
    x = 1 << ((n.bit_length() + 2) // 3)
    while True:
        y = (2 * x + n // (x * x)) // 3
        if y >= x:
            return x
        x = y


class Cubic(LossBased):
    """The default algorithm."""

    # fmt: off
    __slots__ = (
        "_credit", "_epoch_at", "_est_credit", "_grown_at", "_k_us", "_origin", "_prior", "_undo", "_w_est", "_w_max",
    )
    # fmt: on

    name: ClassVar[str] = "cubic"

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._w_max = 0  # 0: not known, the curve begins at its plateau
        self._prior = 0  # cwnd_prior: cwnd when ssthresh was set last
        self._origin = 0  # the window of the plateau in this epoch
        self._k_us = 0
        self._epoch_at = -1  # when congestion avoidance began, less the time in which cwnd was held; -1: not in it
        self._grown_at = 0  # the last ACK that counted in this epoch
        self._w_est = 0  # what Reno would have
        self._credit = 0  # growth smaller than a byte, in units of 1 / cwnd
        self._est_credit = 0
        self._undo = (0, 0, 0, 0, -1, 0)

    def reduced(self, in_flight: int) -> int:
        # RFC 9438 §4.6 (9438-1, 9438-2): multiplicative decrease on loss and on RTO
        return max(in_flight * BETA_NUM // BETA_DEN, 2 * self.mss)

    def _save(self) -> None:
        """RFC 9438 §4.9.2: what a spurious reduction takes back."""
        self._undo = (self._w_max, self._prior, self._origin, self._k_us, self._epoch_at, self._w_est)
        self._prior = self.cwnd

    def on_loss(self, now: int, in_flight: int) -> None:
        self._save()
        # RFC 9438 §4.7: fast convergence gives room to new flows
        if self.cwnd < self._w_max:
            self._w_max = self.cwnd * (BETA_DEN + BETA_NUM) // (2 * BETA_DEN)
        else:
            self._w_max = self.cwnd
        self._epoch_at = -1
        # RFC 9438 §4.6: cwnd in place of the flight size, which is too little when the peer's window cut the flight
        # short; that cwnd is no more than the path has carried is what RFC 7661 sees to
        if self._validation is not None and self._validation.is_validated(self.cwnd):
            in_flight = self.cwnd
        super().on_loss(now, in_flight)

    def on_rto(self, now: int, in_flight: int, first: bool) -> None:
        if first:
            self._save()
        # RFC 9438 §4.8: after a timeout the curve begins at its plateau, wherever slow start ends (K = 0)
        self._w_max = 0
        self._epoch_at = -1
        super().on_rto(now, in_flight, first)

    def on_spurious(self, now: int) -> None:
        # RFC 9438 §4.9.2: late, when cwnd has grown past what it was, the newer values are the better ones
        if self.cwnd < self._undo_cwnd:
            self._w_max, self._prior, self._origin, self._k_us, self._epoch_at, self._w_est = self._undo
        super().on_spurious(now)

    def after_idle(self, now: int, idle_us: int, initial_window: int) -> None:
        before = self.cwnd
        super().after_idle(now, idle_us, initial_window)
        if self.cwnd < before:
            self._epoch_at = -1

    def on_sent(self, now: int, nbytes: int, in_flight: int, app_limited: bool) -> None:
        if in_flight == nbytes and self._epoch_at >= 0:
            self._hold(now)  # nothing was outstanding: no ACK could move cwnd meanwhile

    def held(self, sample: AckSample) -> None:
        super().held(sample)
        if self._epoch_at >= 0:
            self._hold(sample.now)

    def _hold(self, now: int) -> None:
        """RFC 9438 §4.2, §5.8: the time in which the application limits does not count for the curve."""
        self._epoch_at += now - self._grown_at
        self._grown_at = now

    def _begin_epoch(self, now: int) -> None:
        self._epoch_at = now
        self._credit = self._est_credit = 0
        self._w_est = self.cwnd
        if self.cwnd < self._w_max:
            # RFC 9438 §4.2 figure 2: K = cbrt((W_max - cwnd_epoch) / C)
            self._k_us = cube_root((self._w_max - self.cwnd) * C_DEN * US3 // (self.mss * C_NUM))
            self._origin = self._w_max
        else:
            # RFC 9438 §4.8, §4.10: no W_max, or slow start went past it
            self._k_us = 0
            self._origin = self._w_max = self.cwnd

    def _target(self, now: int, srtt_us: int) -> int:
        """W_cubic one round trip ahead, held between cwnd and 1.5 cwnd (RFC 9438 §4.2)."""
        # in whole milliseconds: their cube fits a machine word, that of microseconds would not
        t = (now - self._epoch_at + srtt_us - self._k_us) // 1000
        w = self._origin + self.mss * C_NUM * t * t * t // (C_DEN * MS3)
        cwnd = self.cwnd
        if w <= cwnd:
            return cwnd
        most = cwnd + cwnd // 2
        return w if w < most else most

    def on_ack(self, sample: AckSample) -> None:
        if sample.round_start:
            self.on_round(sample)
        # RFC 5681 §3.1 (5681-3.1e), RFC 9438 §5.8: no growth while the application limits
        if sample.in_recovery or sample.app_limited:
            self.held(sample)
            return
        acked = self.counted(sample)
        if self.cwnd < self.ssthresh:
            acked = self.slow_start(sample, acked)
            if not acked:
                return
        now, cwnd = sample.now, self.cwnd
        if self._epoch_at < 0:
            self._begin_epoch(now)
        self._grown_at = now
        # RFC 9438 §4.3 figure 4: the Reno-friendly estimate grows alpha segments per window, and one per window from
        # cwnd_prior on, since it has then made up for the smaller decrease
        alpha = ALPHA_DEN if self._w_est >= self._prior else ALPHA_NUM
        self._est_credit += acked * self.mss * alpha
        step = self._est_credit // (cwnd * ALPHA_DEN)
        if step:
            self._est_credit -= step * cwnd * ALPHA_DEN
            self._w_est += step
        # RFC 9438 §4.4, §4.5: (target - cwnd) / cwnd per segment acknowledged
        self._credit += acked * (self._target(now, sample.srtt_us) - cwnd)
        grow = self._credit // cwnd
        if grow > 0:
            self._credit -= grow * cwnd
            cwnd += grow if grow < acked else acked
        # RFC 9438 §4.3: in the Reno-friendly region cwnd is what Reno would have
        self.cwnd = cwnd if cwnd > self._w_est else self._w_est

    def describe(self) -> dict[str, int | str]:
        """W_max and W_est in bytes, K in microseconds."""
        return {"w_max": self._w_max, "w_est": self._w_est, "k_us": self._k_us}
