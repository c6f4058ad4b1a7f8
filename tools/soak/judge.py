"""What a soak run proves or does not: samples of the daemon in, sentences about what is wrong out."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

QUARTERS_FROM = 8  # samples at rest, fewer are too few to tell growth from noise
# What the allocator may still gather between the second and the last quarter: 1.7 MiB were seen in a run of 7 minutes
# in which the number of live objects did not grow.
GROWTH_BYTES = 3 << 20
GROWTH_SHARE = 0.02  # or this share of all, whichever is more
UNSETTLED = frozenset({"INCOMPLETE", "DELAY", "PROBE"})  # states that a neighbour leaves by itself
MUST_EMPTY = (
    "connections",
    "half open",
    "not accepted",
    "TIME-WAIT",
    "timers",
    "reassembly",
    "unsettled neighbours",
    "queued for neighbours",
    "queued datagrams",
    "attached",
    "proxied",
)


@dataclass(frozen=True, slots=True)
class Sample:
    """The daemon at one moment: resident bytes, open descriptors, and how much each table holds."""

    rss: int
    descriptors: int
    tables: dict[str, int]


def sizes(status: dict[str, Any]) -> dict[str, int]:
    """How much is in each table, from the snapshot that `tapstack status --json` prints."""
    neighbours = status["neighbors"]
    return {
        "connections": status["connection_count"],
        "half open": sum(one["embryonic"] for one in status["listeners"]),
        "not accepted": sum(one["waiting"] for one in status["listeners"]),
        "TIME-WAIT": status["time_wait"],
        "timers": status["timers"],
        "reassembly": status["reassembly"]["datagrams"],
        "unsettled neighbours": sum(one["state"] in UNSETTLED for one in neighbours),
        "queued for neighbours": sum(one["queued"] for one in neighbours),
        "queued datagrams": sum(one["queued"] for one in status["udp"]),
        "attached": len(status.get("attach", {}).get("ports", ())),
        "proxied": status.get("socks", {}).get("open", 0)
        + sum(one["open"] for one in status.get("forwards", ()) if not one["listen"].endswith("/udp")),  # these idle
        "neighbours": len(neighbours),
        "path MTUs": len(status["pmtu"]),
    }


def left_behind(sample: Sample) -> list[str]:
    """Which tables are not empty that would be, once the load is over and the timeouts have passed."""
    return [f"{name}: {sample.tables[name]} left" for name in MUST_EMPTY if sample.tables[name]]


def quarters(values: Sequence[int]) -> tuple[int, int]:
    """Medians of the second and of the last quarter of a series; the first quarter is the warm-up."""
    part = len(values) // 4
    return int(statistics.median(values[part : 2 * part])), int(statistics.median(values[-part:]))


def growth(resident: Sequence[int]) -> str | None:
    """Why the series of resident bytes, taken at rest, looks like a leak; None when it does not."""
    if len(resident) < QUARTERS_FROM:
        return None
    second, last = quarters(resident)
    bound = max(GROWTH_BYTES, round(second * GROWTH_SHARE))
    if last - second <= bound:
        return None
    return f"memory grows: {second / 2**20:.1f} MiB in the second quarter, {last / 2**20:.1f} MiB in the last"


def verdict(before: Sample, resting: Sequence[Sample], after: Sample, failures: Sequence[str]) -> list[str]:
    """Everything that is wrong with a run: `resting` are the samples between its rounds, `failures` what a load saw."""
    found = list(failures)
    if leak := growth([sample.rss for sample in resting]):
        found.append(leak)
    if after.descriptors > before.descriptors:
        found.append(f"descriptors leak: {before.descriptors} before, {after.descriptors} after")
    return found + left_behind(after)
