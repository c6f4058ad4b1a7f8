"""What Reno and its successors share: slow start, reduction, undo, and the window after a quiet time (RFC 5681)."""

from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from stack.config import TcpConfig
from stack.tcp.congestion.base import INFINITE_SSTHRESH, AckSample, Controller
from stack.tcp.congestion.hystart import HyStart
from stack.tcp.congestion.validation import NVP_US, Validation

MAX_HALVINGS: Final = 40  # more leave nothing of any window


@mypyc_attr(allow_interpreted_subclasses=True)
class LossBased(Controller):
    """Slow start, halving, restart after idle; congestion avoidance is the subclass's.

    A subclass calls `on_round` when `sample.round_start` is set, `counted` of an ACK that may let the window grow, and
    `slow_start` while cwnd is below ssthresh.
    """

    # fmt: off
    __slots__ = (
        "_hystart", "_hystarts", "_initial_window", "_left_recovery", "_rto_us", "_undo_cwnd",
        "_undo_ssthresh", "_validation", "_window_validation",
    )
    # fmt: on

    wants_rates: ClassVar[bool] = False
    # RFC 9406 §4.3: L = 8 for an unpaced sender
    # DEVIATES RFC 5681 §3.1: up to 8 SMSS per ACK in slow start, since one ACK covers a whole super-segment
    slow_start_limit_segs: ClassVar[int] = 8
    may_hystart: ClassVar[bool] = True  # use HyStart++ if the configuration has it

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._left_recovery = False  # by the ACK that `on_ack` will tell of: most of it was delivered long before
        self._undo_cwnd = 0
        self._undo_ssthresh = 0
        self._hystarts = False  # HyStart++ has not found the end of slow start yet
        self._hystart: HyStart | None = None  # made when the window grows
        self._validation: Validation | None = None  # made when the window is larger than anybody's first
        self._window_validation = "rfc5681"
        self._initial_window = initial_window
        self._rto_us = 0  # at the beginning of the round

    def configure(self, config: TcpConfig) -> None:
        """Take `hystart` and `window_validation`."""
        self._hystarts = config.hystart and self.may_hystart
        self._window_validation = config.window_validation

    # -- growth

    def slow_start(self, sample: AckSample, acked: int) -> int:
        """Grow by RFC 5681 §3.1 (5681-3.1a), RFC 3465 §2.2 (3465-1) for what `counted` says of the ACK.

        Returns the bytes of it that are left past ssthresh.
        """
        # DEVIATES RFC 3465 §2.3: after a timeout L is not 1 SMSS where SACK tells what has left the network lately
        grow = acked
        # RFC 9406 §4.3: L is infinite for a sender that paces
        limit = self.slow_start_limit_segs * self.mss
        if grow > limit and not (sample.paced and self.may_hystart):
            grow = limit
        if self._hystarts and self.ssthresh >= INFINITE_SSTHRESH:
            hystart = self._hystart
            if hystart is None:
                hystart = self._hystart = HyStart()
            grow //= hystart.on_ack(sample)
            if hystart.done:
                # RFC 9406 §4.2: congestion avoidance begins without a loss
                self._hystarts = False
                self._hystart = None
                self.ssthresh = max(self.cwnd, 2 * self.mss)
                return grow
        room = self.ssthresh - self.cwnd
        if grow <= room:
            self.cwnd += grow
            return 0
        self.cwnd = self.ssthresh
        return grow - room

    def on_round(self, sample: AckSample) -> None:
        """A round trip is over: RFC 7661 §4.2, §4.4.3."""
        self._rto_us = sample.rto_us
        validation = self._validation
        if validation is not None:
            validation.on_round(sample, self.cwnd)
            if sample.now - validation.validated_at >= NVP_US:
                self._expire(validation.periods(sample.now))
        elif self.cwnd > self._initial_window and self._window_validation == "rfc7661":
            # the window that every connection begins with needs no validation, nor falls below it by one
            self._validation = Validation()
            self._validation.on_round(sample, self.cwnd)

    def counted(self, sample: AckSample) -> int:
        """Bytes of an ACK that let the window grow.

        Of the one that ends a recovery only what arrived just now, as in deployed stacks: most was delivered before.
        """
        acked = sample.acked - sample.stale
        if self._left_recovery:
            self._left_recovery = False
            acked = min(acked, sample.newly_delivered)
        return acked

    def held(self, sample: AckSample) -> None:
        """An ACK in recovery, or of a sender that did not use its window: nothing grows."""
        self._left_recovery = False
        if self._validation is not None:
            self._validation.lost_total = sample.lost_total

    def on_mss(self, mss: int) -> None:
        super().on_mss(mss)
        # a bound that was counted in smaller segments: else less than one of these would be let out some day
        self._initial_window = max(self._initial_window, mss)

    def check_invariants(self) -> None:
        super().check_invariants()
        # RFC 5681 §3.1 equation 4 (5681-3.1c)
        assert self.ssthresh >= 2 * self.mss, f"ssthresh is {self.ssthresh}, less than two segments of {self.mss}"
        assert self._initial_window >= self.mss, f"falls back to {self._initial_window}, less than {self.mss}"

    # -- reduction

    def reduced(self, in_flight: int) -> int:
        """The new ssthresh after a loss: RFC 5681 §3.1 equation 4 (5681-3.1c).

        DEVIATES RFC 9438 §4.6: nor does a mark lower cwnd below two segments, let alone make each of them wait for a
        timeout (RFC 3168 §6.1.2), as in deployed stacks: a single one would wait for the peer's delayed ACK.
        """
        return max(in_flight // 2, 2 * self.mss)

    def on_loss(self, now: int, in_flight: int) -> None:
        self._undo_cwnd, self._undo_ssthresh = self.cwnd, self.ssthresh
        if self._validation is not None:
            in_flight = self._validation.on_loss(in_flight, self.cwnd)
        self.ssthresh = self.reduced(in_flight)
        self.cwnd = self.ssthresh

    def on_recovery_exit(self, now: int) -> None:
        self._left_recovery = True
        flight = self._validation.on_recovery_exit() if self._validation is not None else -1
        if flight >= 0:
            # RFC 7661 §4.4.1 (7661-2): what was lost did not fit
            self.cwnd = min(self.cwnd, self.reduced(flight))

    def on_rto(self, now: int, in_flight: int, first: bool) -> None:
        # RFC 5681 §3.1 (5681-3.1d, MUST-19): the loss window is one segment; ssthresh falls once per episode
        if first:
            self._undo_cwnd, self._undo_ssthresh = self.cwnd, self.ssthresh
            self.ssthresh = self.reduced(in_flight)
        self.cwnd = self.mss

    def on_spurious(self, now: int) -> None:
        # DEVIATES RFC 4015 §3.1: cwnd is what it was, not what is in flight and an initial window; pacing spreads what
        # that lets out at once
        self.cwnd = max(self.cwnd, self._undo_cwnd)
        self.ssthresh = max(self.ssthresh, self._undo_ssthresh)

    # -- idle (validation.py says which is the default, and why)

    def after_idle(self, now: int, idle_us: int, initial_window: int) -> None:
        if self._window_validation == "rfc7661":
            if self._validation is not None:
                self._expire(self._validation.periods(now))
        elif self._window_validation == "rfc2861":
            # RFC 2861 §3.1 (2861-1): ssthresh remembers, cwnd halves once per RTO
            # DEVIATES RFC 2861 §3.1: not below the initial window, which RFC 5681 §4.1 allows after any pause
            # OMITS RFC 2861 §3.2: no decay while the application limits; the window does not grow meanwhile
            halvings = idle_us // self._rto_us if self._rto_us else 1
            self.ssthresh = max(self.ssthresh, self.cwnd * 3 // 4)
            self.cwnd = max(self.cwnd >> min(halvings, MAX_HALVINGS), min(self.cwnd, initial_window))
        else:
            # RFC 5681 §4.1 (5681-4.1)
            self.cwnd = min(self.cwnd, initial_window)

    def _expire(self, periods: int) -> None:
        """RFC 7661 §4.4.3 (7661-1): the window was not validated for so many periods."""
        for _ in range(min(periods, MAX_HALVINGS)):
            if self.cwnd <= self._initial_window:
                return
            self.ssthresh = max(self.ssthresh, self.cwnd * 3 // 4)
            self.cwnd = max(self.cwnd // 2, self._initial_window)
