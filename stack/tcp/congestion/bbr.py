"""BBRv3 (draft-ietf-ccwg-bbr, revision 06): a model of the path instead of a reaction to loss.

Theory of operation.  Two numbers describe a path: the most that it delivers (`max_bw`, the greatest delivery rate of
the last two probing cycles) and the round trip without a queue (`min_rtt_us`, the smallest of ten seconds).  The
product is what fits without queueing.  BBR sends at that rate and keeps at most about twice the product in flight;
since either number can only be measured by spoiling the other, a state machine takes turns:

    STARTUP       double the rate every round trip, until three rounds brought less than 25 % more, or until it loses
    DRAIN         send slowly until the queue that this made has gone
    PROBE_BW      DOWN (a little slower, until there is room), CRUISE (at the rate), after 2-3 seconds REFILL (one round
                  at the rate, with the short-term bounds lifted) and UP (25 % faster, until it is full or loses)
    PROBE_RTT     every five seconds without a smaller round trip: half of the window for 200 ms

Losses count by their share.  More than 2 % of what was in flight when probing sets `inflight_longterm`, which is what
the path was seen to hold; in other phases a round with losses lowers the short-term bounds `bw_shortterm` and
`inflight_shortterm` towards what was delivered, at most by 30 %, and they last until the next REFILL.  There is no
proportional rate reduction: the window and the pacing rate hold in recovery, too.

The waits that should be random come from the connection's `seed`, so a run repeats exactly.

ECN: the draft specifies no response of its own but that marks are congestion; a mark counts as a round with losses.
OMITS draft-ietf-ccwg-bbr §5.3.1.3, §5.5.10.2: without SACK a single loss ends probing; here the share decides, as with
SACK.
"""

from typing import ClassVar, Final

from stack.tcp.congestion.base import AckSample
from stack.tcp.congestion.bbr_model import (
    ACKS_INIT,
    ACKS_PROBE_FEEDBACK,
    ACKS_PROBE_STARTING,
    ACKS_PROBE_STOPPING,
    ACKS_REFILLING,
    BETA,
    CRUISE,
    DOWN,
    DRAIN,
    INFINITE,
    LOSS_THRESH,
    NO_UNDO,
    PACING_GAINS,
    PROBE_RTT,
    REFILL,
    SECOND,
    STARTUP,
    STATES,
    UP,
    BbrModel,
)

FULL_BW_GROWTH: Final = 125  # per cent: less than this in a round is no growth
FULL_BW_ROUNDS: Final = 3
STARTUP_FULL_LOSSES: Final = 6  # ranges lost in a round before STARTUP believes in a full pipe
DRAIN_ROUNDS: Final = 3
MIN_RTT_FILTER_US: Final = 10 * SECOND
PROBE_RTT_INTERVAL_US: Final = 5 * SECOND
PROBE_RTT_US: Final = 200_000
PROBE_WAIT_US: Final = 2 * SECOND  # and up to a second more
RENO_ROUNDS: Final = 63  # probe at least that often, as Reno of a small window would
INITIAL_RTT_US: Final = 1_000  # for the first rate, when the handshake gave no round trip
MAX_GROWTH_ROUNDS: Final = 30


class Bbr(BbrModel):
    """The states, and the hooks."""

    __slots__ = ()

    name: ClassVar[str] = "bbr"
    wants_lost_ranges: ClassVar[bool] = True
    uses_prr: ClassVar[bool] = False

    # -- hooks

    def on_start(self, now: int, srtt_us: int, seed: int) -> None:
        self.seed = seed or 1
        self.min_rtt_at = self.probe_rtt_min_at = self.extra_acked_at = self.cycle_at = now
        if srtt_us:
            self.min_rtt_us = self.probe_rtt_min_us = srtt_us
        self.pacing_rate = self.cwnd * SECOND * PACING_GAINS[STARTUP] // (100 * (srtt_us or INITIAL_RTT_US))

    def on_sent(self, now: int, nbytes: int, in_flight: int, app_limited: bool) -> None:
        # §5.4: restart from idle at the estimated rate, with the window that there was
        if in_flight != nbytes or not app_limited:
            return
        self.idle_restart = True
        self.extra_acked_at = now
        if self._in_probe_bw():
            self.set_pacing_rate(100)
        elif self.state == PROBE_RTT:
            self._check_probe_rtt_done(now)

    def on_ack(self, sample: AckSample) -> None:
        # §5.2.3, in the order of the draft
        self.delivered = sample.delivered
        self.in_flight = sample.in_flight
        self.update_latest(sample)
        self.update_round(sample)
        self.update_max_bw(sample)
        if self.loss_round_start:
            self.adapt_lower_bounds()
        high_loss = self._startup_loses(sample)
        if self.loss_round_start:
            self.is_loss_in_round = False
        self.update_aggregation(sample)
        self._check_full_bw(sample)
        if self.state == STARTUP and (high_loss or self.full_bw_reached):
            self._enter(DRAIN)
            self.drain_start_round = self.round_count
        if self.state == DRAIN and (
            self.in_flight <= self.inflight(100) or self.round_count > self.drain_start_round + DRAIN_ROUNDS
        ):
            self._start_down(sample.now)
        self._update_probe_bw(sample)
        self._update_min_rtt(sample)
        self._check_probe_rtt(sample)
        self.advance_latest(sample)
        self.bw = min(self.max_bw, self.bw_shortterm)
        self.set_pacing_rate(PACING_GAINS[self.state])
        self.set_cwnd(sample)

    def on_loss(self, now: int, in_flight: int) -> None:
        self._save_state()
        self.in_loss_recovery = True
        self.recovery_rounds = 0

    def on_recovery_exit(self, now: int) -> None:
        # §5.6.4.4: equally whichever kind of recovery is left
        if self.in_loss_recovery:
            self.in_loss_recovery = False
            self.restore_cwnd()

    def on_rto_exit(self, now: int) -> None:
        self.on_recovery_exit(now)

    def on_rto(self, now: int, in_flight: int, first: bool) -> None:
        if first:
            self._save_state()
        self.in_loss_recovery = True
        self.cwnd = self.mss

    def on_ecn(self, now: int, in_flight: int) -> None:
        self._note_loss()

    def on_range_lost(self, now: int, nbytes: int, tx_in_flight: int, lost_since_sent: int, app_limited: bool) -> None:
        # §5.5.10.2
        self._note_loss()
        self.lost_ranges += 1
        if not self.is_bw_probe_sample or not self.too_much_lost(lost_since_sent, tx_in_flight):
            return
        # how much of the range went out before the share of losses passed the threshold
        before = tx_in_flight - nbytes
        lost_before = lost_since_sent - nbytes
        prefix = (LOSS_THRESH * before - 100 * lost_before) // (100 - LOSS_THRESH)
        self._handle_too_high(now, before + max(prefix, 0), app_limited)

    def on_spurious(self, now: int) -> None:
        # §5.5.11.2
        self.in_loss_recovery = False
        self.restore_cwnd()
        self.is_loss_in_round = False
        self._reset_full_bw()
        self.bw_shortterm = max(self.bw_shortterm, self.undo_bw_shortterm)
        self.inflight_shortterm = max(self.inflight_shortterm, self.undo_inflight_shortterm)
        self.inflight_longterm = max(self.inflight_longterm, self.undo_inflight_longterm)
        if self.undo_state == STARTUP and self.state != STARTUP:
            self.full_bw_reached = False
            if self.state != PROBE_RTT:
                self._enter(STARTUP)
        elif self.undo_state == UP and self.state not in (UP, PROBE_RTT):
            self._start_refill()
        self.undo_state = NO_UNDO

    def describe(self) -> dict[str, int | str]:
        shown: dict[str, int | str] = {
            "state": STATES[self.state],
            "bw": self.bw,
            "max_bw": self.max_bw,
            "pacing_gain": PACING_GAINS[self.state],
            "extra_acked": self.extra_acked,
            "rounds": self.round_count,
        }
        bounds = {
            "min_rtt_us": self.min_rtt_us,
            "bw_shortterm": self.bw_shortterm,
            "inflight_shortterm": self.inflight_shortterm,
            "inflight_longterm": self.inflight_longterm,
        }
        shown |= {name: value for name, value in bounds.items() if value != INFINITE}
        return shown

    # -- losses

    def _save_state(self) -> None:
        """§5.5.11.1: for the case that the loss is none.  At the beginning of an episode, not as in the draft with each
        of its losses: by then the bounds have been lowered, and an episode is undone as a whole.
        """
        self.save_cwnd()
        self.undo_state = NO_UNDO
        self.undo_bw_shortterm = self.bw_shortterm
        self.undo_inflight_shortterm = self.inflight_shortterm
        self.undo_inflight_longterm = self.inflight_longterm

    def _note_loss(self) -> None:
        if not self.is_loss_in_round:
            self.loss_round_delivered = self.delivered
        self.is_loss_in_round = True

    def _handle_too_high(self, now: int, in_flight: int, app_limited: bool) -> None:
        """§5.5.10.2: probing went past what the path holds."""
        self.prev_probe_too_high = True
        self.is_bw_probe_sample = False  # once per probe
        if not app_limited:
            self.inflight_longterm = max(in_flight, self.target_inflight() * BETA // 100)
        if self.state == UP:
            self.undo_state = UP
            self._start_down(now)

    def _startup_loses(self, sample: AckSample) -> bool:
        """§5.3.1.3: a whole round in recovery with many losses; the pipe is full."""
        if not self.loss_round_start:
            return False
        ranges, self.lost_ranges = self.lost_ranges, 0
        if not sample.in_recovery:
            self.recovery_rounds = 0
            return False
        self.recovery_rounds += 1
        if (
            self.state != STARTUP
            or self.recovery_rounds < 2
            or ranges < STARTUP_FULL_LOSSES
            or not self.too_much_lost(sample.lost_since, sample.tx_in_flight)
        ):
            return False
        self.undo_state = STARTUP
        self.full_bw_reached = True
        self.inflight_longterm = max(self.bdp(100), self.inflight_latest)
        return True

    # -- the full pipe

    def _reset_full_bw(self) -> None:
        self.full_bw = self.full_bw_count = 0
        self.full_bw_now = False

    def _check_full_bw(self, sample: AckSample) -> None:
        """§5.3.1.2: three rounds without growth."""
        if self.full_bw_now or not self.round_start or self.limited:
            return
        if sample.delivery_rate * 100 >= self.full_bw * FULL_BW_GROWTH:
            self._reset_full_bw()
            self.full_bw = sample.delivery_rate
            return
        self.full_bw_count += 1
        if self.full_bw_count >= FULL_BW_ROUNDS:
            self.full_bw_now = self.full_bw_reached = True

    # -- PROBE_BW

    def _enter(self, state: int) -> None:
        self.state = state

    def _in_probe_bw(self) -> bool:
        return DOWN <= self.state <= UP

    def _random(self, below: int) -> int:
        """A number in [0, below), the next of the connection's own sequence (a linear congruence)."""
        self.seed = (self.seed * 6_364_136_223_846_793_005 + 1_442_695_040_888_963_407) & 0xFFFF_FFFF_FFFF_FFFF
        return (self.seed >> 33) % below

    def _start_down(self, now: int) -> None:
        self.reset_congestion_signals()
        self.probe_up_acked_per_inc = INFINITE
        # §5.3.3.8: when to probe again
        self.rounds_since_probe_up = self._random(2)
        self.bw_probe_wait_us = PROBE_WAIT_US + self._random(SECOND)
        self.cycle_at = now
        self.ack_phase = ACKS_PROBE_STOPPING
        self.start_round()
        self._enter(DOWN)

    def _start_refill(self) -> None:
        self.reset_short_term()
        self.bw_probe_up_rounds = self.bw_probe_up_acked = 0
        self.prev_probe_precautionary = False
        self.ack_phase = ACKS_REFILLING
        self.start_round()
        self._enter(REFILL)

    def _start_up(self, sample: AckSample) -> None:
        self.ack_phase = ACKS_PROBE_STARTING
        self.start_round()
        self._reset_full_bw()
        self.full_bw = sample.delivery_rate
        self._enter(UP)
        self._raise_slope()

    def _raise_slope(self) -> None:
        """The additive increase doubles every round."""
        growth = 1 << self.bw_probe_up_rounds
        self.bw_probe_up_rounds = min(self.bw_probe_up_rounds + 1, MAX_GROWTH_ROUNDS)
        self.probe_up_acked_per_inc = max(self.cwnd // growth, self.mss)

    def _update_probe_bw(self, sample: AckSample) -> None:
        """§5.3.3.9: the cycle."""
        if not self.full_bw_reached or self._adapt_long_term(sample):
            return
        state = self.state
        if state in (DOWN, CRUISE):
            if self._time_to_probe(sample.now):
                self._start_refill()
            elif state == DOWN and self._time_to_cruise():
                self._enter(CRUISE)
        elif state == REFILL:
            if self.round_start:
                self.is_bw_probe_sample = True
                self._start_up(sample)
        elif state == UP and self._time_to_go_down(sample):
            self.prev_probe_too_high = False
            self._start_down(sample.now)

    def _time_to_probe(self, now: int) -> bool:
        rounds = min(self.target_inflight() // self.mss, RENO_ROUNDS)
        return now > self.cycle_at + self.bw_probe_wait_us or self.rounds_since_probe_up >= rounds

    def _time_to_cruise(self) -> bool:
        if self.in_flight > self.inflight_with_headroom():
            return False
        return self.in_flight <= self.quantised(self.max_bw * self.min_rtt_us // SECOND)

    def _time_to_go_down(self, sample: AckSample) -> bool:
        if self.prev_probe_too_high and self.in_flight >= self.inflight_longterm:
            self.prev_probe_precautionary = True  # it lost there last time: rather look what this one brings
            return True
        if not sample.app_limited and self.cwnd >= self.inflight_longterm:
            self._reset_full_bw()  # the bound limits, not the path
            self.full_bw = sample.delivery_rate
            return False
        return self.full_bw_now

    def _adapt_long_term(self, sample: AckSample) -> bool:
        """What the ACKs of a probe say of `inflight_longterm`; returns whether the state was decided with it."""
        if self.ack_phase == ACKS_PROBE_STARTING and self.round_start:
            self.ack_phase = ACKS_PROBE_FEEDBACK
        if self.ack_phase == ACKS_PROBE_STOPPING and self.round_start:
            self.is_bw_probe_sample = False
            self.ack_phase = ACKS_INIT
            if self._in_probe_bw():
                if not self.limited:
                    self.advance_max_bw_filter()
                if self.prev_probe_precautionary and not self.prev_probe_too_high:
                    self._start_refill()
                    return True
        if self.inflight_longterm == INFINITE or self.too_much_lost(sample.lost_since, sample.tx_in_flight):
            return False
        if sample.tx_in_flight > self.inflight_longterm:
            self.inflight_longterm = sample.tx_in_flight
        if self.state == UP:
            self._probe_upward(sample)
        return False

    def _probe_upward(self, sample: AckSample) -> None:
        """Raise the bound while it is what limits."""
        if sample.app_limited or self.cwnd < self.inflight_longterm:
            return
        self.bw_probe_up_acked += sample.newly_delivered
        steps, self.bw_probe_up_acked = divmod(self.bw_probe_up_acked, self.probe_up_acked_per_inc)
        self.inflight_longterm += steps * self.mss
        if self.round_start:
            self._raise_slope()

    # -- PROBE_RTT

    def _update_min_rtt(self, sample: AckSample) -> None:
        """§5.3.4.3: two filters, so that the estimate outlives the measurement that the next PROBE_RTT replaces."""
        self.probe_rtt_expired = sample.now > self.probe_rtt_min_at + PROBE_RTT_INTERVAL_US
        if sample.rtt_us >= 0 and (sample.rtt_us < self.probe_rtt_min_us or self.probe_rtt_expired):
            self.probe_rtt_min_us = max(sample.rtt_us, 1)
            self.probe_rtt_min_at = sample.now
        min_rtt_expired = sample.now > self.min_rtt_at + MIN_RTT_FILTER_US
        if self.probe_rtt_min_us < self.min_rtt_us or min_rtt_expired:
            self.min_rtt_us = self.probe_rtt_min_us
            self.min_rtt_at = self.probe_rtt_min_at

    def _check_probe_rtt(self, sample: AckSample) -> None:
        if self.state != PROBE_RTT and self.probe_rtt_expired and not self.idle_restart:
            self.save_cwnd()
            self._enter(PROBE_RTT)
            self.probe_rtt_done_at = -1
            self.ack_phase = ACKS_PROBE_STOPPING
            self.start_round()
        if self.state == PROBE_RTT:
            self._handle_probe_rtt(sample.now)
        self.idle_restart = False

    def _handle_probe_rtt(self, now: int) -> None:
        self.quiet_until = self.delivered + self.in_flight  # low rates are of our own making
        if self.probe_rtt_done_at < 0:
            if self.in_flight <= self.probe_rtt_cwnd():
                self.probe_rtt_done_at = now + PROBE_RTT_US
                self.probe_rtt_round_done = False
                self.start_round()
            return
        self.probe_rtt_round_done |= self.round_start
        if self.probe_rtt_round_done:
            self._check_probe_rtt_done(now)

    def _check_probe_rtt_done(self, now: int) -> None:
        if self.probe_rtt_done_at < 0 or now <= self.probe_rtt_done_at:
            return
        self.probe_rtt_min_at = now  # the next one is due from here
        self.restore_cwnd()
        # §5.3.4.4
        self.reset_short_term()
        if self.full_bw_reached:
            self._start_down(now)
            self._enter(CRUISE)
        else:
            self._enter(STARTUP)
