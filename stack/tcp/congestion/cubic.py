"""CUBIC (RFC 9438).

Theory of operation.  After a reduction the window follows W(t) = C (t - K)^3 + W_max, a curve that is
flat around the window where loss struck last, and never less than what Reno would reach.  Everything is
integer: windows in bytes, times in microseconds, K from an integer cube root, so that a run repeats
exactly on every machine.  What is computed for each ACK fits a machine word (`i64`), which the compiled
form needs to be fast.
"""

from typing import ClassVar, Final

from mypy_extensions import i64, mypyc_attr

from stack.tcp.congestion.base import AckSample
from stack.tcp.congestion.lossbased import LossBased

# RFC 9438 §4.1, §4.6: C = 0.4 segments/s^3, beta = 0.7
C_NUM: Final = 4
C_DEN: Final = 10
BETA_NUM: Final = 7
BETA_DEN: Final = 10
MS3: Final = 10**9  # milliseconds cubed in a second cubed
FURTHEST_MS: Final = 10**6  # the curve is 4 * 10^8 segments above its plateau then
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


@mypyc_attr(acyclic=True)
class Curve:
    """Where W(t) comes from and how far Reno would be; bytes and microseconds."""

    # fmt: off
    __slots__ = (
        "credit", "epoch_at", "est_credit", "grown_at", "k_us", "origin", "prior", "undo", "w_est", "w_max",
    )
    # fmt: on

    def __init__(self) -> None:
        self.w_max = 0  # 0: not known, the curve begins at its plateau
        self.prior = 0  # cwnd_prior: cwnd when ssthresh was set last
        self.origin = 0  # the window of the plateau in this epoch
        self.k_us = 0
        self.epoch_at = -1  # when congestion avoidance began, less the time in which cwnd was held; -1: not in it
        self.grown_at = 0  # the last ACK that counted in this epoch
        self.w_est = 0  # what Reno would have
        self.credit = 0  # growth smaller than a byte, in units of 1 / cwnd
        self.est_credit = 0
        self.undo = (0, 0, 0, 0, -1, 0)

    def save(self, cwnd: int) -> None:
        """RFC 9438 §4.9.2: what a spurious reduction takes back."""
        self.undo = (self.w_max, self.prior, self.origin, self.k_us, self.epoch_at, self.w_est)
        self.prior = cwnd

    def hold(self, now: int) -> None:
        """RFC 9438 §4.2, §5.8: the time in which the application limits does not count for the curve."""
        if self.epoch_at >= 0:
            self.epoch_at += now - self.grown_at
            self.grown_at = now

    def begin_epoch(self, now: int, cwnd: int, mss: int) -> None:
        """Congestion avoidance begins."""
        self.epoch_at = now
        self.credit = self.est_credit = 0
        self.w_est = cwnd
        if cwnd < self.w_max:
            # RFC 9438 §4.2 figure 2: K = cbrt((W_max - cwnd_epoch) / C)
            self.k_us = 1000 * cube_root((self.w_max - cwnd) * C_DEN * MS3 // (mss * C_NUM))
            self.origin = self.w_max
        else:
            # RFC 9438 §4.8, §4.10: no W_max, or slow start went past it
            self.k_us = 0
            self.origin = self.w_max = cwnd

    def target(self, now: int, srtt_us: int, cwnd: int, mss: int) -> int:
        """W_cubic one round trip ahead, held between cwnd and 1.5 cwnd (RFC 9438 §4.2)."""
        # in whole milliseconds: their cube fits a machine word, that of microseconds would not
        t: i64 = min((now - self.epoch_at + srtt_us - self.k_us) // 1000, FURTHEST_MS)
        segments: i64 = t * t * t // 10**6 * C_NUM  # in thousandths, times C_DEN
        w = self.origin + segments * mss // (C_DEN * MS3 // 10**6)
        if w <= cwnd:
            return cwnd
        most = cwnd + cwnd // 2
        return w if w < most else most


class Cubic(LossBased):
    """The default algorithm."""

    __slots__ = ("_curve",)

    name: ClassVar[str] = "cubic"

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._curve: Curve | None = None  # made when slow start ends

    def reduced(self, in_flight: int) -> int:
        # RFC 9438 §4.6 (9438-1, 9438-2): multiplicative decrease on loss and on RTO
        return max(in_flight * BETA_NUM // BETA_DEN, 2 * self.mss)

    def _made(self) -> Curve:
        curve = self._curve
        if curve is None:
            curve = self._curve = Curve()
        return curve

    def on_loss(self, now: int, in_flight: int) -> None:
        curve = self._made()
        curve.save(self.cwnd)
        # RFC 9438 §4.7: fast convergence gives room to new flows
        if self.cwnd < curve.w_max:
            curve.w_max = self.cwnd * (BETA_DEN + BETA_NUM) // (2 * BETA_DEN)
        else:
            curve.w_max = self.cwnd
        curve.epoch_at = -1
        # RFC 9438 §4.6: cwnd in place of the flight size, which is too little when the peer's window cut the flight
        # short; that cwnd is no more than the path has carried is what RFC 7661 sees to
        if self._validation is not None and self._validation.is_validated(self.cwnd):
            in_flight = self.cwnd
        super().on_loss(now, in_flight)

    def on_rto(self, now: int, in_flight: int, first: bool) -> None:
        curve = self._made()
        if first:
            curve.save(self.cwnd)
        # RFC 9438 §4.8: after a timeout the curve begins at its plateau, wherever slow start ends (K = 0)
        curve.w_max = 0
        curve.epoch_at = -1
        super().on_rto(now, in_flight, first)

    def on_spurious(self, now: int) -> None:
        # RFC 9438 §4.9.2: late, when cwnd has grown past what it was, the newer values are the better ones
        c = self._curve
        if c is not None and self.cwnd < self._undo_cwnd:
            c.w_max, c.prior, c.origin, c.k_us, c.epoch_at, c.w_est = c.undo
        super().on_spurious(now)

    def after_idle(self, now: int, idle_us: int, initial_window: int) -> None:
        before = self.cwnd
        super().after_idle(now, idle_us, initial_window)
        if self._curve is not None and self.cwnd < before:
            self._curve.epoch_at = -1

    def on_sent(self, now: int, nbytes: int, in_flight: int, app_limited: bool) -> None:
        if self._curve is not None and in_flight == nbytes:
            self._curve.hold(now)  # nothing was outstanding: no ACK could move cwnd meanwhile

    def held(self, sample: AckSample) -> None:
        super().held(sample)
        if self._curve is not None:
            self._curve.hold(sample.now)

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
        now, cwnd, curve = sample.now, self.cwnd, self._made()
        if curve.epoch_at < 0:
            curve.begin_epoch(now, cwnd, self.mss)
        curve.grown_at = now
        # RFC 9438 §4.3 figure 4: the Reno-friendly estimate grows alpha segments per window, and one per window from
        # cwnd_prior on, since it has then made up for the smaller decrease
        alpha = ALPHA_DEN if curve.w_est >= curve.prior else ALPHA_NUM
        curve.est_credit += acked * self.mss * alpha
        step = curve.est_credit // (cwnd * ALPHA_DEN)
        if step:
            curve.est_credit -= step * cwnd * ALPHA_DEN
            curve.w_est += step
        # RFC 9438 §4.4, §4.5: (target - cwnd) / cwnd per segment acknowledged
        curve.credit += acked * (curve.target(now, sample.srtt_us, cwnd, self.mss) - cwnd)
        grow = curve.credit // cwnd
        if grow > 0:
            curve.credit -= grow * cwnd
            cwnd += grow if grow < acked else acked
        # RFC 9438 §4.3: in the Reno-friendly region cwnd is what Reno would have
        self.cwnd = cwnd if cwnd > curve.w_est else curve.w_est

    def describe(self) -> dict[str, int | str]:
        """W_max and W_est in bytes, K in microseconds."""
        curve = self._curve or Curve()
        return {"w_max": curve.w_max, "w_est": curve.w_est, "k_us": curve.k_us}
