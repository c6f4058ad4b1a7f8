"""What came of a simulation: values only, the same for the same scenario and seed."""

from collections.abc import Sequence
from typing import Literal

import msgspec

Outcome = Literal["complete", "failed", "aborted", "unfinished"]


def jain(rates: Sequence[float]) -> float:
    """Jain's fairness index (sum x)^2 / (n sum x^2): 1 when all are equal, 1/n when one has everything."""
    squares = sum(rate * rate for rate in rates)
    return sum(rates) ** 2 / (len(rates) * squares) if squares else 0.0


class FlowResult(msgspec.Struct, frozen=True, kw_only=True):
    """One flow.  `bytes_there` and `bytes_back` are what the server's and the client's applications have read.

    complete: both streams were read to their ends, and both ends closed.  failed: an end got an error (`error`).
    aborted: by an event of the scenario.  unfinished: the time was up.  `intact`: no byte was wrong, whatever the
    outcome; of a complete flow the two streams are equal to those written, byte for byte.  `goodput` is
    bytes per second of both directions, from the opening to the last byte read.
    Retransmissions and times are of the side that wrote more.
    """

    name: str
    outcome: Outcome
    expected: bool  # the outcome is what the scenario promises
    intact: bool
    error: str | None
    bytes_there: int
    bytes_back: int
    opened_at_us: int
    finished_at_us: int
    goodput: int
    retransmits: int
    spurious: int  # episodes of recovery that proved needless
    srtt_us: int
    min_rtt_us: int


class LinkResult(msgspec.Struct, frozen=True, kw_only=True):
    """One direction of a link, in frames; `counts` are those of `FaultCounts` by name."""

    name: str
    counts: dict[str, int]


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A whole simulation.  `problems`: what must not be, in words; empty in a sound run."""

    name: str
    seed: int
    time_us: int
    events: int
    segments: int
    flows: list[FlowResult]
    links: list[LinkResult]
    digest: str
    problems: list[str]

    @property
    def ok(self) -> bool:
        """Every flow ended as the scenario promises, and nothing was wrong."""
        return not self.problems
