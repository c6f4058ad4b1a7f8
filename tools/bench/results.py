"""What `make bench` has measured: medians, spreads, costs, and the table."""

import statistics
from dataclasses import dataclass, field
from typing import Any

from rich.table import Table

from tools.bench.plain import LWIP
from tools.bench.rows import METRICS, Metric
from tools.bench.sides import KERNEL, OURS, Sample, loopback

COUNTS = ("rounds", "echoes", "received", "finished", "requests")  # what a sample may have done
KEPT = ("started", "revision", "machine", "kernel", "python", "congestion", "form")  # with each row of the baseline
COMPARED = ("form", "python", "machine")  # what has to be the same
UNDER_LOAD = "~ every sample of this row was taken while others used the machine"


@dataclass(frozen=True)
class Spread:
    """The samples of one side that count."""

    median: float
    least: float
    most: float
    is_quiet: bool  # else all of them were spoilt, and are here for want of better ones
    cost: str  # CPU of the server

    def __str__(self) -> str:
        return ("" if self.is_quiet else "~") + figure(self.median)

    @property
    def range(self) -> str:
        """From the least to the most."""
        return f"{figure(self.least)} to {figure(self.most)}"


@dataclass(frozen=True)
class Summary:
    """A row as it is shown, drawn and compared."""

    ours: Spread | None
    theirs: Spread | None
    peer: str

    @property
    def is_quiet(self) -> bool:
        """Whether none of it was taken under the load of others."""
        return all(side is None or side.is_quiet for side in (self.ours, self.theirs))

    @property
    def ratio(self) -> float | None:
        """Ours as a multiple of the peer's."""
        if self.ours is None or self.theirs is None or not self.theirs.median:
            return None
        return self.ours.median / self.theirs.median


@dataclass
class Results:
    """Samples by metric and side."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)

    def add(self, metric: str, side: str, sample: Sample) -> None:
        """Note one."""
        self.samples.setdefault(metric, {}).setdefault(side, []).append(sample)

    def counting(self, metric: str, side: str) -> list[Sample]:
        """The samples that count: those that nobody else spoilt, or, when there is none, all that have a number."""
        key = METRICS[metric].key
        good = [each for each in self.samples.get(metric, {}).get(side, []) if key in each and "error" not in each]
        return [each for each in good if "spoilt" not in each] or good

    def values(self, metric: str, side: str) -> list[float]:
        """Their numbers."""
        return [float(sample[METRICS[metric].key]) for sample in self.counting(metric, side)]

    def spread(self, metric: str, side: str) -> Spread | None:
        """Of one side; None when it has no number."""
        samples, values = self.counting(metric, side), self.values(metric, side)
        if not values:
            return None
        middle = statistics.median(values)
        return Spread(middle, min(values), max(values), "spoilt" not in samples[0], cost(METRICS[metric], samples))

    def summary(self, metric: str) -> Summary:
        """Of one row; the peer is the other side, or another row of ours."""
        row = METRICS[metric]
        theirs = self.spread(row.beside, OURS) if row.beside else self.spread(metric, row.peer)
        return Summary(self.spread(metric, OURS), theirs, row.beside or row.peer)

    def errors(self) -> list[str]:
        """One line for each sample that failed."""
        return [
            f"{metric} {side}: {sample['error']}"
            for metric, sides in self.samples.items()
            for side, samples in sides.items()
            for sample in samples
            if "error" in sample
        ]

    def table(self, changes: dict[str, str]) -> Table:
        """Median, spread and cost of both, ours as a multiple of the peer's, what has changed since the baseline."""
        table = Table(caption=UNDER_LOAD if self.is_loaded() else None, caption_justify="left")
        for heading in ("metric", "unit", "tapstack", "spread", "CPU", "peer", "", "spread", "CPU", "ratio", "change"):
            table.add_column(heading, no_wrap=True)
        for metric in self.samples:
            row, summary = [metric, METRICS[metric].unit], self.summary(metric)
            for side in (summary.ours, summary.theirs):
                if side is summary.theirs:
                    row.append(summary.peer)
                row += [str(side), side.range, side.cost] if side else ["-", "-", "-"]
            ratio = summary.ratio
            table.add_row(*row, "-" if ratio is None else f"{ratio:.2f}", changes.get(metric, ""))
        return table

    def is_loaded(self) -> bool:
        """Whether a row has spoilt samples only."""
        return not all(self.summary(metric).is_quiet for metric in self.samples)


def cost(metric: Metric, samples: list[Sample]) -> str:
    """CPU of the server for a gigabyte, or for each exchange; empty where it is not what is measured."""
    if metric.peer not in {KERNEL, LWIP, ""} or metric.sides is loopback:
        return ""
    costs = [one_cost(sample) for sample in samples]
    values = [value for value, _ in costs if value]
    return f"{figure(statistics.median(values))} {costs[0][1]}" if values else ""


def one_cost(sample: Sample) -> tuple[float, str]:
    """Of one sample, with its unit; 0 when it cannot be told."""
    seconds: float = sample.get("server_cpu_s", 0.0)
    if sample.get("bytes"):
        return seconds * 1e9 / sample["bytes"], "s/GB"
    done = next((sample[name] for name in COUNTS if name in sample), sample.get("per_second", 0) * sample["wall_s"])
    return (seconds * 1e6 / done if done else 0.0), "µs"


def figure(value: float) -> str:
    """Three digits are what such a measurement can mean."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# -- the last committed run


def baseline(results: Results, about: dict[str, Any]) -> dict[str, Any]:
    """What of a run is kept beside the source: medians and ratios, each row with the machine, the form and the time."""
    rows = {}
    for metric in results.samples:
        summary = results.summary(metric)
        if summary.ours is None:
            continue
        rows[metric] = {"unit": METRICS[metric].unit, "tapstack": summary.ours.median}
        if summary.theirs is not None:
            rows[metric] |= {"peer": summary.peer, "theirs": summary.theirs.median}
        if not summary.is_quiet:
            rows[metric]["spoilt"] = True
        rows[metric] |= {name: about[name] for name in KEPT if name in about}
    return {"rows": rows}


def changes(results: Results, before: dict[str, Any], about: dict[str, Any]) -> dict[str, str]:
    """How much better or worse each row is than it was, by its ratio; where there is no peer, by the number itself.

    A slower machine slows the peer, too, so that ratios can be compared where numbers cannot.  What was kept of
    another form, another Python or another machine says so instead: `about` is of this run.  In parentheses: what was
    kept lies within the spread of this run.
    """
    found = {}
    for metric in results.samples:
        then = before.get("rows", {}).get(metric)
        summary = results.summary(metric)
        if then is None or summary.ours is None:
            continue
        if other := next((what for what in COMPARED if then.get(what) != about.get(what)), ""):
            found[metric] = f"other {other}"
            continue
        has_peer = bool(then.get("theirs")) and then.get("peer") == summary.peer
        old = then["tapstack"] / then["theirs"] if has_peer and summary.theirs else then["tapstack"]
        now, least, most = span(summary.ours, summary.theirs if has_peer else None)
        if now > 0 and old > 0:
            change = old / now - 1 if METRICS[metric].is_less_better else now / old - 1
            doubt = "" if summary.is_quiet and not then.get("spoilt") else "~"
            found[metric] = f"({doubt}{change:+.0%})" if least <= old <= most else f"{doubt}{change:+.0%}"
    return found


def span(ours: Spread, theirs: Spread | None) -> tuple[float, float, float]:
    """The median of ours, the least and the most; as multiples of the peer's when there is one with a number."""
    if theirs is None or not theirs.least:
        return ours.median, ours.least, ours.most
    return ours.median / theirs.median, ours.least / theirs.most, ours.most / theirs.least
