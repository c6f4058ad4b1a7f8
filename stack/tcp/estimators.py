"""The estimators of the round-trip time that a connection may use, `TcpConfig.rtt_estimator`.

    jacobson    RFC 6298: mean and mean deviation, no ambiguous samples (the default; rtt.py)
    karn        the mean alone, no ambiguous samples (Karn and Partridge 1987)
    original    the mean alone, ambiguous samples too (RFC 793 §3.7)

The two older ones are for lessons: they show what each later idea was for.  A timeout of twice the mean is too short
when delays vary; a sample of a range that was sent twice may be of the wrong transmission, which draws the mean down
to nothing after one timeout too early.  All three double the timeout when it fires and keep it doubled until the next
sample is taken (RFC 9293 MUST-19); for `karn` that sample is of something sent once.
"""

from typing import ClassVar, Final

from mypy_extensions import mypyc_attr

from stack.config import TcpConfig
from stack.tcp.rtt import RttEstimator

# RFC 793 §3.7: ALPHA between 0.8 and 0.9, BETA between 1.3 and 2.0; LBOUND and UBOUND are rto_min_us and rto_max_us
ALPHA_NUM: Final = 7
ALPHA_DEN: Final = 8
BETA: Final = 2


@mypyc_attr(acyclic=True)
class KarnEstimator(RttEstimator):
    """SRTT = alpha SRTT + (1 - alpha) RTT; RTO = beta SRTT within bounds."""

    __slots__ = ()

    # DEVIATES RFC 6298 §2.3: RTTVAR is not used, on purpose
    def on_sample(self, rtt_us: int) -> None:
        """One measurement; also ends the backoff."""
        rtt_us = max(rtt_us, 1)
        if not self.srtt_us:
            self.srtt_us = self.min_rtt_us = rtt_us
        else:
            self.srtt_us = max(1, (ALPHA_NUM * self.srtt_us + (ALPHA_DEN - ALPHA_NUM) * rtt_us) // ALPHA_DEN)
            self.min_rtt_us = min(self.min_rtt_us, rtt_us)
        self.set_rto()
        self.backoff = 0

    def set_rto(self) -> None:
        """RFC 793 §3.7: RTO = min[UBOUND, max[LBOUND, BETA SRTT]]."""
        self.rto_us = min(self.rto_max_us, max(self.rto_min_us, BETA * self.srtt_us))


@mypyc_attr(acyclic=True)
class OriginalEstimator(KarnEstimator):
    """As it was before Karn: a sample of a range sent twice counts, from its last transmission."""

    __slots__ = ()

    takes_ambiguous: ClassVar[bool] = True


ESTIMATORS: Final[dict[str, type[RttEstimator]]] = {
    "jacobson": RttEstimator,
    "karn": KarnEstimator,
    "original": OriginalEstimator,
}


def estimator(config: TcpConfig) -> RttEstimator:
    """A new estimator of the configured kind; `TcpConfig.validate` has seen the name."""
    return ESTIMATORS[config.rtt_estimator](config)
