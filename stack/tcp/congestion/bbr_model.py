"""BBR's model of the path, and what follows from it for window and pacing rate (draft-ietf-ccwg-bbr §5.5, §5.6).

Theory of operation.  See bbr.py, which owns the states; this file estimates.  Times are microseconds, rates bytes per
second, gains and shares per cent, all of them integers.  Section numbers are those of revision 06 of the draft.
"""

from typing import Final

from stack.tcp.congestion.base import INFINITE_SSTHRESH, AckSample, Controller
from stack.tcp.congestion.filters import WindowedMax

INFINITE: Final = INFINITE_SSTHRESH

STARTUP: Final = 0
DRAIN: Final = 1
DOWN: Final = 2
CRUISE: Final = 3
REFILL: Final = 4
UP: Final = 5
PROBE_RTT: Final = 6
STATES: Final = ("startup", "drain", "probe_bw_down", "probe_bw_cruise", "probe_bw_refill", "probe_bw_up", "probe_rtt")

# draft-ietf-ccwg-bbr §5.6.1: gains of the pacing rate and of the window, in per cent, by state
PACING_GAINS: Final = (277, 50, 90, 100, 100, 125, 100)
CWND_GAINS: Final = (200, 200, 200, 200, 200, 225, 50)

# what ACKs tell while bandwidth is probed (§2.13)
ACKS_INIT: Final = 0
ACKS_REFILLING: Final = 1
ACKS_PROBE_STARTING: Final = 2
ACKS_PROBE_FEEDBACK: Final = 3
ACKS_PROBE_STOPPING: Final = 4

NO_UNDO: Final = -1

LOSS_THRESH: Final = 2  # per cent of what was in flight
BETA: Final = 70  # per cent
HEADROOM: Final = 15  # per cent of inflight_longterm that is left to others
PACING_MARGIN: Final = 1  # per cent below the estimated bandwidth
MIN_PIPE_SEGS: Final = 4
EXTRA_ACKED_ROUNDS: Final = 10
SEND_QUANTUM_MAX: Final = 64 << 10
SECOND: Final = 1_000_000


class BbrModel(Controller):
    """What is known of the path."""

    # fmt: off
    __slots__ = (
        "_initial_window", "ack_phase", "bw", "bw_latest", "bw_probe_up_acked", "bw_probe_up_rounds",
        "bw_probe_wait_us", "bw_shortterm", "cycle_at", "delivered", "drain_start_round", "extra_acked",
        "extra_acked_at", "extra_acked_delivered", "extra_acked_filter", "full_bw", "full_bw_count", "full_bw_now",
        "full_bw_reached", "idle_restart", "in_flight", "in_loss_recovery", "inflight_latest", "inflight_longterm",
        "inflight_shortterm", "is_bw_probe_sample", "is_loss_in_round", "limited", "loss_round_delivered",
        "loss_round_start", "lost_ranges", "max_bw", "max_bw_now", "max_bw_previous", "min_rtt_at", "min_rtt_us",
        "next_round_delivered", "prev_probe_precautionary", "prev_probe_too_high", "prior_cwnd", "probe_rtt_done_at",
        "probe_rtt_expired", "probe_rtt_min_at", "probe_rtt_min_us", "probe_rtt_round_done", "probe_up_acked_per_inc",
        "quiet_until", "recovery_rounds", "round_count", "round_start", "rounds_since_probe_up", "seed", "state",
        "undo_bw_shortterm", "undo_inflight_longterm", "undo_inflight_shortterm", "undo_state",
    )
    # fmt: on

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self._initial_window = initial_window
        self.ssthresh = 2 * mss  # nothing here is the slow start of RFC 5681
        self.state = STARTUP
        self.seed = 1
        # what the last ACK said
        self.delivered = 0
        self.in_flight = 0
        self.limited = False  # the application held the sender back when the range was sent
        self.in_loss_recovery = False
        self.recovery_rounds = 0
        self.lost_ranges = 0  # in this round
        # bandwidth: the greatest of this probing cycle and of the one before
        self.max_bw = self.max_bw_now = self.max_bw_previous = 0
        self.bw = 0
        # the smallest round trip of ten seconds, and the one that says when PROBE_RTT is due
        self.min_rtt_us = self.probe_rtt_min_us = INFINITE
        self.min_rtt_at = self.probe_rtt_min_at = 0
        self.probe_rtt_expired = False
        # of one round
        self.bw_latest = 0
        self.inflight_latest = 0
        self.is_loss_in_round = False
        self.loss_round_delivered = 0
        self.loss_round_start = False
        # bounds
        self.bw_shortterm = self.inflight_shortterm = self.inflight_longterm = INFINITE
        # rounds
        self.next_round_delivered = 0
        self.round_start = False
        self.round_count = 0
        self.idle_restart = False
        self.quiet_until = 0  # samples of what was sent before so much was delivered say nothing of the bandwidth
        self.prior_cwnd = 0
        self._start_aggregation()
        self._start_states()

    def _start_aggregation(self) -> None:
        self.extra_acked = 0
        self.extra_acked_at = 0
        self.extra_acked_delivered = 0
        self.extra_acked_filter = WindowedMax()

    def _start_states(self) -> None:
        self.full_bw = self.full_bw_count = 0
        self.full_bw_now = self.full_bw_reached = False
        self.drain_start_round = 0
        self.ack_phase = ACKS_INIT
        self.is_bw_probe_sample = False
        self.bw_probe_up_acked = self.bw_probe_up_rounds = 0
        self.probe_up_acked_per_inc = INFINITE
        self.rounds_since_probe_up = 0
        self.bw_probe_wait_us = 0
        self.cycle_at = 0
        self.prev_probe_too_high = self.prev_probe_precautionary = False
        self.probe_rtt_done_at = -1
        self.probe_rtt_round_done = False
        self.undo_state = NO_UNDO
        self.undo_bw_shortterm = self.undo_inflight_shortterm = self.undo_inflight_longterm = 0

    # -- what fits

    def bdp(self, gain: int) -> int:
        """`gain` per cent of the bandwidth-delay product."""
        if self.min_rtt_us == INFINITE:
            return self._initial_window
        return self.bw * self.min_rtt_us * gain // (100 * SECOND)

    def send_quantum(self) -> int:
        """§5.6.3: what leaves at once."""
        return max(min(self.pacing_rate // 1_000, SEND_QUANTUM_MAX), 2 * self.mss)

    def quantised(self, cap: int) -> int:
        """§5.6.4.2: room for what hosts and offloads hold back."""
        cap = max(cap, 3 * self.send_quantum(), MIN_PIPE_SEGS * self.mss)
        return cap + 2 * self.mss if self.state == UP else cap

    def inflight(self, gain: int) -> int:
        """What to have in flight for `gain` per cent of the bandwidth-delay product."""
        return self.quantised(self.bdp(gain))

    def probe_rtt_cwnd(self) -> int:
        """§5.6.4.5: what PROBE_RTT leaves in flight."""
        return max(self.bdp(CWND_GAINS[PROBE_RTT]), MIN_PIPE_SEGS * self.mss)

    def target_inflight(self) -> int:
        """§5.3.3.8: the bandwidth-delay product, unless congestion cut the window."""
        return min(self.bdp(100), self.cwnd)

    def inflight_with_headroom(self) -> int:
        """What the path was seen to hold, less a share for others."""
        if self.inflight_longterm == INFINITE:
            return INFINITE
        headroom = max(self.mss, self.inflight_longterm * HEADROOM // 100)
        return max(self.inflight_longterm - headroom, MIN_PIPE_SEGS * self.mss)

    def too_much_lost(self, lost: int, tx_in_flight: int) -> bool:
        """Whether the share of losses says that too much was in flight."""
        return lost * 100 > tx_in_flight * LOSS_THRESH

    # -- bandwidth

    def update_max_bw(self, sample: AckSample) -> None:
        """§5.5.6: what the application limited counts only when it is more."""
        rate = sample.delivery_rate
        self.limited = sample.rate_app_limited or sample.prior_delivered < self.quiet_until
        if rate > 0 and (rate >= self.max_bw or not self.limited):
            self.max_bw_now = max(self.max_bw_now, rate)
            self.max_bw = max(self.max_bw_now, self.max_bw_previous)

    def advance_max_bw_filter(self) -> None:
        """A probing cycle is over; what was measured in the one before the last is forgotten."""
        if self.max_bw_now:
            self.max_bw_previous, self.max_bw_now = self.max_bw_now, 0
            self.max_bw = self.max_bw_previous

    # -- rounds

    def start_round(self) -> None:
        """A round ends when something is acknowledged that is sent from now on."""
        self.next_round_delivered = self.delivered

    def update_round(self, sample: AckSample) -> None:
        """§5.5.1."""
        self.round_start = sample.prior_delivered >= self.next_round_delivered
        if self.round_start:
            self.start_round()
            self.round_count += 1
            self.rounds_since_probe_up += 1

    # -- congestion signals

    def reset_congestion_signals(self) -> None:
        """Forget the round."""
        self.is_loss_in_round = False
        self.bw_latest = self.inflight_latest = 0

    def reset_short_term(self) -> None:
        """Lift the short-term bounds."""
        self.bw_shortterm = self.inflight_shortterm = INFINITE

    def update_latest(self, sample: AckSample) -> None:
        """§5.5.10.3: what this round delivered."""
        self.loss_round_start = False
        if sample.prior_delivered < 0:
            return
        volume = sample.delivered - sample.prior_delivered
        self.bw_latest = max(self.bw_latest, sample.delivery_rate)
        self.inflight_latest = max(self.inflight_latest, volume)
        if sample.prior_delivered >= self.loss_round_delivered:
            self.loss_round_delivered = sample.delivered
            self.loss_round_start = True

    def advance_latest(self, sample: AckSample) -> None:
        """The next round begins with this sample."""
        if self.loss_round_start:
            self.bw_latest = sample.delivery_rate
            self.inflight_latest = sample.delivered - sample.prior_delivered

    def adapt_lower_bounds(self) -> None:
        """§5.5.10.3: once per round with losses, except while probing."""
        if self.state in (STARTUP, REFILL, UP) or not self.is_loss_in_round:
            return
        if self.bw_shortterm == INFINITE:
            self.bw_shortterm = self.max_bw
        if self.inflight_shortterm == INFINITE:
            self.inflight_shortterm = self.cwnd
        self.bw_shortterm = max(self.bw_latest, self.bw_shortterm * BETA // 100)
        self.inflight_shortterm = max(self.inflight_latest, self.inflight_shortterm * BETA // 100)

    def update_aggregation(self, sample: AckSample) -> None:
        """§5.5.9: how much more is acknowledged at times than the bandwidth explains."""
        expected = self.bw * (sample.now - self.extra_acked_at) // SECOND
        if self.extra_acked_delivered <= expected:
            self.extra_acked_delivered = 0
            self.extra_acked_at = sample.now
            expected = 0
        self.extra_acked_delivered += sample.newly_delivered
        extra = min(self.extra_acked_delivered - expected, self.cwnd)
        rounds = EXTRA_ACKED_ROUNDS if self.full_bw_reached else 1
        self.extra_acked = self.extra_acked_filter.update(extra, self.round_count, rounds)

    # -- what follows from it

    def set_pacing_rate(self, gain: int) -> None:
        """§5.6.2."""
        rate = self.bw * gain * (100 - PACING_MARGIN) // 10_000
        if rate and (self.full_bw_reached or rate > self.pacing_rate):
            self.pacing_rate = rate

    def save_cwnd(self) -> None:
        """Remember the last good window."""
        if not self.in_loss_recovery and self.state != PROBE_RTT:
            self.prior_cwnd = self.cwnd
        else:
            self.prior_cwnd = max(self.prior_cwnd, self.cwnd)

    def restore_cwnd(self) -> None:
        """Back to it."""
        self.cwnd = max(self.cwnd, self.prior_cwnd)

    def set_cwnd(self, sample: AckSample) -> None:
        """§5.6.4.6, §5.6.4.7: towards what fits, by no more than what was delivered; within all bounds."""
        newly = sample.newly_delivered
        full = self.quantised(self.bdp(CWND_GAINS[self.state]) + self.extra_acked)
        floor = MIN_PIPE_SEGS * self.mss
        if self.full_bw_reached:
            self.cwnd = min(self.cwnd + newly, full)
        elif self.cwnd < full or sample.delivered < self._initial_window:
            self.cwnd += newly
        cap = INFINITE
        if self.state in (DOWN, REFILL, UP):
            cap = self.inflight_longterm
        elif self.state in (CRUISE, PROBE_RTT):
            cap = self.inflight_with_headroom()
        self.cwnd = max(self.cwnd, floor)
        if self.state == PROBE_RTT:
            self.cwnd = min(self.cwnd, self.probe_rtt_cwnd())
        self.cwnd = min(self.cwnd, max(min(cap, self.inflight_shortterm), floor))
