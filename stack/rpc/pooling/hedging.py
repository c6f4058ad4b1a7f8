"""When a call is worth making a second time, at another server: late enough, and seldom enough.

The tail of the time that replies take is mostly that of single servers, in single moments.  An idempotent call that has
no reply when 95 of 100 others have had theirs is made a second time elsewhere, and what comes first counts (Dean and
Barroso, "The Tail at Scale", 2013).  That is one call more in twenty.  When all servers are slow it would be twice as
many calls for servers that have too many, so there is a budget: each call earns a tenth of a second one.
"""

from typing import Any, Final

from stack.errors import ConfigError

SAMPLES: Final = 128  # the last ones, of which the delay is a quantile
ENOUGH: Final = 20  # of them, before there is one
EVERY: Final = 16  # samples it is found anew
MIN_DELAY_US: Final = 1000
BUDGET: Final = 64.0  # calls that may be made twice in one go
EARNED: Final = 0.1  # by each call


def is_number(given: Any) -> bool:
    """Whether it can be compared with others."""
    return isinstance(given, int | float)


class Hedging:
    """See the head of this file.  `quantile`: of the time that replies took, within 0 and 1; None: no second calls."""

    __slots__ = ("_budget", "_count", "_quantile", "_took", "delay_us")

    def __init__(self, quantile: float | None) -> None:
        if quantile is not None and not (is_number(quantile) and 0 < quantile < 1):
            raise ConfigError(f"hedge is {quantile!r}: use a share of the calls, like 0.95, or None")
        self._quantile = quantile
        self._took: list[int] = []  # a ring
        self._count = 0
        self._budget = BUDGET
        self.delay_us: int | None = None  # None: not known, or not wanted

    def on_reply(self, took_us: int) -> None:
        """A call had its reply after so long."""
        self._budget = min(self._budget + EARNED, BUDGET)
        if self._quantile is None:
            return
        if self._count < SAMPLES:
            self._took.append(took_us)
        else:
            self._took[self._count % SAMPLES] = took_us
        self._count += 1
        if self._count >= ENOUGH and self._count % EVERY == 0:
            self.delay_us = max(sorted(self._took)[int(self._quantile * len(self._took))], MIN_DELAY_US)

    def may_repeat(self) -> bool:
        """Whether one more call may be made that perhaps is being executed already; it is paid for with this."""
        if self._budget < 1:
            return False
        self._budget -= 1
        return True
