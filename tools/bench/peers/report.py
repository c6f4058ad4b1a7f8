"""What `make bench-peers` has measured: a table in Markdown, the aims, and a chart."""

import statistics
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.peers.build import PLAIN
from tools.bench.results import figure
from tools.bench.sides import KERNEL, OURS, Sample

LABELS = {
    OURS: "tapstack",
    PLAIN: "tapstack, plain frames",
    "gvisor": "gVisor",
    "lwip": "lwIP",
    "pytcp": "PyTCP",
    "pytcp3": "PyTCP 3",
}
LABELS[KERNEL] = "kernel + uvloop"
COLOURS = {
    OURS: "#d1495b",
    PLAIN: "#e6a0a9",
    "gvisor": "#2e86ab",
    "lwip": "#edae49",
    "pytcp": "#66a182",
    "pytcp3": "#8d96a3",
}
COLOURS[KERNEL] = "#5c5c5c"
WITHOUT_LOSS = ("bulk_rx", "bulk_tx")
BULK = (*WITHOUT_LOSS, "loss_rx", "loss_tx")
OF_LWIP = 0.4  # it runs C where we run Python


@dataclass(frozen=True)
class Row:
    """One row of the comparison: which number of a sample counts, and what it is."""

    name: str
    key: str
    unit: str
    about: str

    def lower_is_better(self) -> bool:
        """Whether it is a time."""
        return self.unit.startswith("µs")


class Findings:
    """Samples by row and peer."""

    def __init__(self, rows: Mapping[str, Row], samples: Mapping[str, Mapping[str, list[Sample]]]) -> None:
        self.rows = rows
        self.samples = samples
        self.peers = [name for name in LABELS if any(name in each for each in samples.values())]

    def counting(self, row: str, peer: str) -> list[Sample]:
        """The samples that nobody spoilt; where there is none, all that did not fail."""
        good = [each for each in self.samples[row].get(peer, []) if "error" not in each and self.rows[row].key in each]
        return [each for each in good if "spoilt" not in each] or good

    def values(self, row: str, peer: str) -> list[float]:
        """The numbers that count."""
        return [float(each[self.rows[row].key]) for each in self.counting(row, peer)]

    def ratio(self, row: str, peer: str, one: str = OURS) -> float | None:
        """How much better ours is than a peer, of the medians; None where one has no number."""
        ours, theirs = self.values(row, one), self.values(row, peer)
        if not ours or not theirs:
            return None
        a, b = statistics.median(ours), statistics.median(theirs)
        if self.rows[row].lower_is_better():
            a, b = b, a
        return a / b if b else None

    def errors(self) -> Iterator[str]:
        """A line for each sample that failed."""
        for row, peers in self.samples.items():
            for peer, samples in peers.items():
                for sample in samples:
                    if "error" in sample:
                        yield f"{row} {peer}: {sample['error']}"

    def table(self, cell: Callable[[str, str], str], *, units: bool = True) -> str:
        """In Markdown: a line for each row, a column for each stack."""
        lines = ["| | " + " | ".join(LABELS[peer] for peer in self.peers) + " |"]
        lines.append("|---|" + "---:|" * len(self.peers))
        for name, row in self.rows.items():
            if name in self.samples:
                head = f"{row.about}, {row.unit}" if units else row.about
                lines.append(f"| {head} | {' | '.join(cell(name, peer) for peer in self.peers)} |")
        return "\n".join(lines) + "\n"

    def median(self, row: str, peer: str) -> str:
        """The median alone."""
        values = self.values(row, peer)
        return figure(statistics.median(values)) if values else "failed"

    def spread(self, row: str, peer: str) -> str:
        """The median, the smallest and the largest."""
        values = self.values(row, peer)
        return f"{self.median(row, peer)} ({figure(min(values))} to {figure(max(values))})" if values else "failed"

    def cost(self, row: str, peer: str) -> str:
        """CPU of the server: s of a GB, or µs of a connection or a request; of ping-pong the share of a core."""
        costs = [_cost(each) for each in self.counting(row, peer)]
        return f"{figure(statistics.median(cost for cost, _ in costs))} {costs[0][1]}" if costs else "failed"

    def aims(self) -> Iterator["Aim"]:
        """Ahead of each in bulk; in the rest ahead of gVisor and PyTCP, and not far behind lwIP."""
        for name in self.samples:
            for peer in self.peers:
                if peer in {OURS, PLAIN, KERNEL}:
                    continue
                wanted = OF_LWIP if peer == "lwip" and name not in BULK else 1.0
                ratio = self.ratio(name, peer)
                if ratio is not None:
                    yield Aim(name, LABELS[peer], wanted, ratio)
            ratio = self.ratio(name, "lwip", PLAIN) if name in WITHOUT_LOSS else None
            if ratio is not None:
                yield Aim(f"{name} with plain frames", LABELS["lwip"], 1.0, ratio)


def _cost(sample: Sample) -> tuple[float, str]:
    """Of one sample, with its unit."""
    cpu, wall = sample["server_cpu_s"], sample["wall_s"]
    if "bytes" in sample:
        return cpu * 1e9 / max(1, sample["bytes"]), "s/GB"
    if "per_second" in sample:
        return cpu * 1e6 / max(1.0, sample["per_second"] * wall), "µs"
    return 100 * cpu / wall, "%"


@dataclass(frozen=True)
class Aim:
    """How many times a peer's figure ours should be, and is."""

    row: str
    peer: str
    wanted: float
    found: float

    def is_met(self) -> bool:
        """Whether it is."""
        return self.found >= self.wanted

    def __str__(self) -> str:
        verdict = "met" if self.is_met() else "MISSED"
        return f"{self.row} against {self.peer}: {self.found:.2f} times, wanted {self.wanted:g}: {verdict}"


def draw(findings: Findings, about: str, *paths: Path) -> None:
    """The chart, as SVG or PNG; bars are medians, whiskers the spread."""
    import matplotlib as mpl  # noqa: PLC0415 - slow, and only for this

    mpl.use("Agg")
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    mpl.rcParams["svg.hashsalt"] = "tapstack"  # the same file for the same numbers
    from matplotlib import pyplot as plt  # noqa: PLC0415

    names = [name for name in findings.rows if name in findings.samples]
    columns = 3
    lines = -(-len(names) // columns)
    drawing, axes = plt.subplots(lines, columns, figsize=(12, 2.4 * lines + 0.8), squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        _bars(axis, findings, name)
    drawing.suptitle(about, fontsize=9)
    drawing.tight_layout(rect=(0, 0, 1, 0.98))
    for path in paths:
        metadata = {"Date": None} if path.suffix == ".svg" else None
        drawing.savefig(path, dpi=120, metadata=metadata)
    plt.close(drawing)


def _bars(axis: Any, findings: Findings, name: str) -> None:
    row = findings.rows[name]
    peers = list(reversed(findings.peers))
    for at, peer in enumerate(peers):
        values = findings.values(name, peer)
        if not values:
            axis.text(0, at, " failed", va="center", fontsize=8, color="#888888")
            continue
        middle = statistics.median(values)
        whiskers = [[middle - min(values)], [max(values) - middle]]
        axis.barh(at, middle, xerr=whiskers, color=COLOURS[peer], height=0.7, error_kw={"lw": 1, "capsize": 2})
        axis.annotate(figure(middle), (max(values), at), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axis.set_yticks(range(len(peers)), [LABELS[peer] for peer in peers], fontsize=8)
    axis.set_title(f"{row.about} ({row.unit}{', less is better' if row.lower_is_better() else ''})", fontsize=9)
    axis.margins(x=0.2)
    axis.set_xlim(left=0)
    axis.locator_params(axis="x", nbins=5)
    axis.tick_params(axis="x", labelsize=7)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
