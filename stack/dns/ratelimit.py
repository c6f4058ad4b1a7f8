"""How many answers a network gets per second over UDP, so that forged questions make no flood at whoever is named in
them as the sender.

One bucket of tokens for each network of clients, in a bounded table; an answer takes one.  When there is none left,
every second question gets an empty answer with TC set, no larger than the question: a client that exists asks again
over TCP, where nobody can pretend to be it.  The others get none.  Clients with a good cookie have shown who they are
and are not counted, nor are those for whom the server asks others.
"""

from typing import Final

MAX_NETWORKS: Final = 4096


class RateLimit:
    """`rate`: answers per second and network, and as many at once; 0: no limit."""

    __slots__ = ("_buckets", "_full_us", "_per_token_us", "_slip")

    def __init__(self, rate: int) -> None:
        self._per_token_us = 1_000_000 // rate if rate else 0
        self._full_us = self._per_token_us * rate
        self._buckets: dict[bytes, int] = {}  # the time at which each would be full, if no one asked
        self._slip = False

    def allows(self, prefix: bytes, now: int) -> bool:
        """Take a token of this network; False when it has none."""
        if not self._per_token_us:
            return True
        buckets = self._buckets
        full_at = max(buckets.get(prefix, now), now)
        if full_at - now > self._full_us - self._per_token_us:
            return False
        if len(buckets) >= MAX_NETWORKS and prefix not in buckets:
            del buckets[next(iter(buckets))]
        buckets[prefix] = full_at + self._per_token_us
        return True

    def slips(self) -> bool:
        """Whether the answer that must not be sent is sent empty: every other time."""
        self._slip = not self._slip
        return self._slip

    def __len__(self) -> int:
        return len(self._buckets)
