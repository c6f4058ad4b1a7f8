"""CUBIC (RFC 9438).

Theory of operation.  After a reduction the window follows W(t) = C (t - K)^3 + W_max, a curve that is
flat around the window where loss struck last, and never less than what Reno would reach.  Everything is
integer: windows in bytes, times in microseconds, K from an integer cube root, so that a run repeats
exactly on every machine.
"""

from typing import ClassVar, Final

from stack.tcp.congestion.base import AckSample, LossBased

# RFC 9438 §4.1, §4.6: C = 0.4 segments/s^3, beta = 0.7
C_NUM: Final = 4
C_DEN: Final = 10
BETA_NUM: Final = 7
BETA_DEN: Final = 10
US3: Final = 10**18  # microseconds cubed in a second cubed
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

    __slots__ = ("_credit", "_epoch_at", "_est_credit", "_k_us", "_origin", "_prior", "_undo_w_max", "_w_est", "_w_max")

    name: ClassVar[str] = "cubic"

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._w_max = 0
        self._undo_w_max = 0
        self._prior = 0  # cwnd before the last reduction
        self._origin = 0  # the window of the plateau in this epoch
        self._k_us = 0
        self._epoch_at = -1  # when congestion avoidance began; -1: not in it
        self._w_est = 0  # what Reno would have
        self._credit = 0
        self._est_credit = 0

    def reduced(self, in_flight: int) -> int:
        # RFC 9438 §4.6 (9438-1, 9438-2): multiplicative decrease on loss and on RTO
        return max(in_flight * BETA_NUM // BETA_DEN, 2 * self.mss)

    def _remember(self) -> None:
        self._undo_w_max, self._prior = self._w_max, self.cwnd
        # RFC 9438 §4.7: fast convergence gives room to new flows
        if self.cwnd < self._w_max:
            self._w_max = self.cwnd * (BETA_DEN + BETA_NUM) // (2 * BETA_DEN)
        else:
            self._w_max = self.cwnd
        self._epoch_at = -1

    def on_loss(self, now: int, in_flight: int) -> None:
        self._remember()
        super().on_loss(now, in_flight)

    def on_rto(self, now: int, in_flight: int, first: bool) -> None:
        if first:
            # RFC 9438 §4.8: after a timeout the curve begins at its plateau, wherever slow start ends (K = 0)
            self._undo_w_max, self._prior = self._w_max, self.cwnd
            self._w_max = 0
        self._epoch_at = -1
        super().on_rto(now, in_flight, first)

    def on_spurious(self, now: int) -> None:
        super().on_spurious(now)
        # RFC 9438 §4.9: W_max too is what it was
        self._w_max = self._undo_w_max
        self._epoch_at = -1

    def after_idle(self, now: int, idle_us: int, initial_window: int) -> None:
        super().after_idle(now, idle_us, initial_window)
        self._epoch_at = -1

    def _begin_epoch(self, now: int) -> None:
        self._epoch_at = now
        self._credit = 0
        self._est_credit = 0
        self._w_est = self.cwnd
        if self.cwnd < self._w_max:
            # RFC 9438 §4.2 figure 2: K = cbrt((W_max - cwnd) / C)
            self._k_us = cube_root((self._w_max - self.cwnd) * C_DEN * US3 // (self.mss * C_NUM))
            self._origin = self._w_max
        else:
            self._k_us = 0
            self._origin = self._w_max = self.cwnd

    def _target(self, now: int, srtt_us: int) -> int:
        """W_cubic one round trip ahead, held between cwnd and 1.5 cwnd (RFC 9438 §4.2)."""
        t = now - self._epoch_at + srtt_us - self._k_us
        w = self._origin + self.mss * C_NUM * (t * t * t) // (C_DEN * US3)
        return min(max(w, self.cwnd), self.cwnd + self.cwnd // 2)

    def on_ack(self, sample: AckSample) -> None:
        # RFC 5681 §3.1 (5681-3.1e), RFC 9438 §5.8: no growth while the application limits
        if sample.in_recovery or sample.app_limited:
            if sample.app_limited:
                self._epoch_at = -1
            return
        acked = sample.acked
        if self.cwnd < self.ssthresh:
            acked = self.slow_start(acked)
            if not acked:
                return
        if self._epoch_at < 0:
            self._begin_epoch(sample.now)
        # RFC 9438 §4.3: the Reno-friendly estimate grows alpha segments per window (alpha 1 once past cwnd_prior)
        if self._w_est >= self._prior:
            self._est_credit += acked
        else:
            self._est_credit += acked * ALPHA_NUM // ALPHA_DEN
        if self._est_credit >= self.cwnd:
            self._w_est += self.mss * (self._est_credit // self.cwnd)
            self._est_credit %= self.cwnd
        target = self._target(sample.now, sample.srtt_us)
        # RFC 9438 §4.4, §4.5: (target - cwnd) / cwnd per segment acknowledged
        self._credit += acked * (target - self.cwnd)
        grow = self._credit // self.cwnd
        if grow > 0:
            self._credit -= grow * self.cwnd
            self.cwnd += min(grow, acked)
        if self.cwnd < self._w_est:
            self.cwnd = self._w_est
