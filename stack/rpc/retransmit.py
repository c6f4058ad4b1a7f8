"""When to send a call again: the retransmission timeout of one server, estimated from its replies.

RFC 6298 with other constants: a call is small and its server near, so the timeout begins at 300 ms and may fall to
100 ms.  What is measured is the time until the reply, execution included.  A reply to a call that was sent twice is no
sample (Karn's algorithm); unless there was one since that call was begun, new calls begin with the timeout to which it
had backed off, or a server that has become slow would get each call twice for ever.
"""

from typing import Final

from stack.config import Rng

INITIAL_RTO_US: Final = 300_000
MIN_RTO_US: Final = 100_000
MAX_RTO_US: Final = 10_000_000
_GRANULARITY_US: Final = 1_000


class RoundTrips:
    """The timeout of one server, in microseconds; `rng` spreads the clients that one loss has brought into step."""

    __slots__ = ("_backed_off_us", "_rng", "rto_us", "rttvar_us", "samples", "srtt_us")

    def __init__(self, rng: Rng, initial_us: int = INITIAL_RTO_US) -> None:
        self._rng = rng
        self._backed_off_us = 0
        self.rto_us = initial_us
        self.srtt_us = 0  # 0: no sample yet
        self.rttvar_us = 0
        self.samples = 0

    def on_sample(self, rtt_us: int) -> None:
        """The reply to a call that was sent once has come."""
        self.samples += 1
        srtt = self.srtt_us
        if srtt:
            error = rtt_us - srtt
            self.rttvar_us += ((error if error >= 0 else -error) - self.rttvar_us) // 4  # RFC 6298 §2.3
            self.srtt_us = srtt = srtt + error // 8 or 1
        else:
            self.srtt_us = srtt = rtt_us or 1  # RFC 6298 §2.2
            self.rttvar_us = rtt_us // 2
        variance = 4 * self.rttvar_us
        rto = srtt + (variance if variance > _GRANULARITY_US else _GRANULARITY_US)
        # DEVIATES RFC 6298 §2.4: the least is 100 ms, not 1 s, which is meant for TCP across the Internet
        self.rto_us = MIN_RTO_US if rto < MIN_RTO_US else min(rto, MAX_RTO_US)
        self._backed_off_us = 0

    def first_us(self) -> int:
        """How long to wait for the reply to a call sent for the first time, before it is sent again."""
        return self.spread_us(self._backed_off_us or self.rto_us)

    @staticmethod
    def next_us(last_us: int) -> int:
        """How long to wait this time, after `last_us` was waited in vain (RFC 6298 §5.5: twice as long)."""
        return min(2 * last_us, MAX_RTO_US)

    def on_unclear(self, elapsed_us: int, samples: int) -> None:
        """The reply to a call that was sent several times has come, so long after it was sent first.

        `samples`: how many there were when it was begun.  Where calls in flight at the same time had replies at once,
        the server is as quick as before, and this one was unlucky.
        """
        if samples == self.samples:
            bound = elapsed_us + max(4 * self.rttvar_us, _GRANULARITY_US)
            self._backed_off_us = min(max(bound, self.rto_us), MAX_RTO_US)

    def spread_us(self, wait_us: int) -> int:
        """A wait made up to a quarter longer."""
        return wait_us + (wait_us * self._rng.getrandbits(8) >> 10)
