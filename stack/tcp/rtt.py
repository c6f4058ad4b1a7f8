"""Round-trip time and retransmission timeout (RFC 6298).

Theory of operation.  The Sender gives at most one sample per flight (RFC 7323 appendix G: samples are
not taken from every ACK at full weight) from ranges that were sent once (Karn), or from timestamps.
`rto_us` is the timeout without backoff; `timeout_us()` applies it.  Older estimators: estimators.py.
"""

from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from stack.config import SECOND, TcpConfig

# RFC 6298 §2: the clock granularity G; our clock ticks in microseconds, deadlines are kept to a millisecond
GRANULARITY_US: Final = 1_000
TS_TICK_US: Final = 1_000  # RFC 7323 §5.4 (7323-5.4): one tick of the timestamp clock is a millisecond
RTO_AFTER_SYN_LOSS_US: Final = 3 * SECOND  # RFC 6298 §5.7


def is_older_echo(ts_rtt_us: int, sent_at: int, now: int) -> bool:
    """Whether the timestamp echoed (it was sent `ts_rtt_us` ago, to a tick) is from before the tick of `sent_at`."""
    return now // TS_TICK_US - ts_rtt_us // TS_TICK_US < sent_at // TS_TICK_US


@mypyc_attr(acyclic=True)
class RttEstimator:
    """SRTT, RTTVAR and RTO in microseconds; `srtt_us` is 0 before the first sample."""

    takes_ambiguous: ClassVar[bool] = False  # True: samples of ranges sent more than once count, whatever they mean

    __slots__ = ("backoff", "latest_us", "min_rtt_us", "rto_max_us", "rto_min_us", "rto_us", "rttvar_us", "srtt_us")

    def __init__(self, config: TcpConfig) -> None:
        self.srtt_us = 0
        self.latest_us = 0  # the last sample
        self.rttvar_us = 0
        self.min_rtt_us = 0
        self.rto_min_us = config.rto_min_us
        self.rto_max_us = config.rto_max_us
        # RFC 6298 §2.1 (6298-2.1): 1 s before the first sample
        self.rto_us = config.rto_initial_us
        self.backoff = 0

    def on_sample(self, rtt_us: int) -> None:
        """One measurement; also ends the backoff."""
        if rtt_us < 1:
            rtt_us = 1
        self.latest_us = rtt_us
        srtt_us = self.srtt_us
        if not srtt_us:
            # RFC 6298 §2.2 (6298-2.2/2.3)
            srtt_us = self.min_rtt_us = rtt_us
            rttvar_us = rtt_us // 2
        else:
            # RFC 6298 §2.3 (6298-2.2/2.3): RTTVAR first, alpha 1/8, beta 1/4
            error_us = rtt_us - srtt_us
            rttvar_us = self.rttvar_us
            rttvar_us += ((error_us if error_us > 0 else -error_us) - rttvar_us) // 4
            srtt_us += error_us // 8
            if srtt_us < 1:
                srtt_us = 1
            if rtt_us < self.min_rtt_us:
                self.min_rtt_us = rtt_us
        self.srtt_us = srtt_us
        self.rttvar_us = rttvar_us
        self.set_rto()
        self.backoff = 0

    def set_rto(self) -> None:
        """RTO follows from SRTT and RTTVAR (RFC 6298 §2.3)."""
        # DEVIATES RFC 6298 §2.4: the lower bound is a setting, 200 ms by default as in all deployed stacks
        spread = 4 * self.rttvar_us
        rto = self.srtt_us + (spread if spread > GRANULARITY_US else GRANULARITY_US)
        if rto < self.rto_min_us:
            rto = self.rto_min_us
        self.rto_us = rto if rto < self.rto_max_us else self.rto_max_us

    def on_timeout(self) -> None:
        """RFC 6298 §5.5 (6298-5.4..5.6): the RTO doubles."""
        if self.rto_us << self.backoff < self.rto_max_us:
            self.backoff += 1

    def timeout_us(self) -> int:
        """RTO with backoff, at most `rto_max_us` (RFC 6298 §2.5, 6298-2.5)."""
        if not self.backoff:
            return self.rto_us
        return min(self.rto_us << self.backoff, self.rto_max_us)

    def after_spurious_timeout(self, rtt_us: int) -> None:
        """RFC 4015 §3.1 step 11 (4015/3522-1): the path takes longer than was thought, so the RTO shall, too."""
        srtt_us, rttvar_us = self.srtt_us + 2 * GRANULARITY_US, self.rttvar_us
        self.on_sample(rtt_us)
        # what the smoothing has made of it does not count
        self.srtt_us = max(srtt_us, rtt_us)
        self.rttvar_us = max(rttvar_us, rtt_us // 2)
        self.set_rto()

    def after_syn_loss(self) -> None:
        """RFC 6298 §5.7 (6298-5.7): the SYN timed out, so data starts with 3 s."""
        self.backoff = 0
        self.rto_us = max(self.rto_us, min(RTO_AFTER_SYN_LOSS_US, self.rto_max_us))
