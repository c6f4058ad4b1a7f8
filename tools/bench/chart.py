"""The rows of `make bench` as bars: what each side makes of the peer's median, with the spread.

Needs matplotlib (the extra `tapstack[sim]`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.bench.results import Results, Spread, figure
from tools.bench.rows import METRICS

OURS_COLOUR, THEIRS_COLOUR = "#d1495b", "#8d96a3"
HEIGHT = 0.36
WIDEST = 3.0  # what is longer is cut off there, so that one row does not make the others small


@dataclass(frozen=True)
class Bar:
    """One bar: lengths in units of the peer's median."""

    length: float
    least: float
    most: float
    label: str


@dataclass(frozen=True)
class Pair:
    """Both bars of one row."""

    name: str
    ours: Bar
    theirs: Bar


def pairs(results: Results) -> Iterator[Pair]:
    """The rows that have both."""
    for metric in results.samples:
        summary = results.summary(metric)
        if summary.ours is None or summary.theirs is None or not summary.theirs.median:
            continue
        row, unit = METRICS[metric], summary.theirs.median

        def bar(side: Spread, unit: float = unit, row: str = row.unit) -> Bar:
            return Bar(side.median / unit, side.least / unit, side.most / unit, f"{figure(side.median)} {row}")

        name = f"{metric} (less is better)" if row.is_less_better else metric
        yield Pair(name, bar(summary.ours), bar(summary.theirs))


def draw(results: Results, about: dict[str, Any], *paths: Path) -> None:
    """Write the chart, as SVG or PNG by the path.  Raises ValueError when no row has both sides."""
    import matplotlib as mpl  # noqa: PLC0415 - slow, and only for this

    mpl.use("Agg")
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text
    mpl.rcParams["svg.hashsalt"] = "tapstack"  # the same file for the same numbers
    from matplotlib import pyplot as plt  # noqa: PLC0415
    from matplotlib.patches import Patch  # noqa: PLC0415

    rows = list(pairs(results))
    if not rows:
        raise ValueError("there is nothing to draw: no row has numbers of both sides")
    drawing, axis = plt.subplots(figsize=(10, 0.55 * len(rows) + 1.4))
    for at, row in enumerate(rows):
        for bar, offset, colour in (
            (row.ours, -HEIGHT / 2, OURS_COLOUR),
            (row.theirs, HEIGHT / 2, THEIRS_COLOUR),
        ):
            whiskers = [[bar.length - bar.least], [bar.most - bar.length]]
            style = {"lw": 1, "capsize": 2, "ecolor": "#333333"}
            axis.barh(at + offset, bar.length, HEIGHT, xerr=whiskers, color=colour, error_kw=style)
            label = bar.label if bar.most <= WIDEST else f"{bar.label}, {bar.length:.1f} times"
            where, white = (min(bar.most, WIDEST), at + offset), {"fc": "white", "ec": "none", "pad": 0.8}
            axis.annotate(label, where, (6, 0), textcoords="offset points", va="center", fontsize=7, bbox=white)
    axis.axvline(1, color="#333333", lw=0.8, ls=":", zorder=0)
    axis.set_yticks(range(len(rows)), [row.name for row in rows], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 1.25 * min(WIDEST, max(max(row.ours.most, row.theirs.most) for row in rows)))
    axis.set_xlabel("multiple of the peer's median; whiskers from the least to the most", fontsize=8)
    axis.tick_params(axis="x", labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    handles = [Patch(color=colour) for colour in (OURS_COLOUR, THEIRS_COLOUR)]
    axis.legend(
        handles, ["tapstack", "the peer"], fontsize=8, frameon=False, loc="upper right", bbox_to_anchor=(1, 1.03)
    )
    release = str(about["kernel"]).partition("-")[0]
    axis.set_title(f"{about['started'][:10]}, {about['machine']}, Linux {release}, {about['form']} core", fontsize=9)
    drawing.tight_layout()
    for path in paths:
        drawing.savefig(path, dpi=120, metadata={"Date": None} if path.suffix == ".svg" else None)
    plt.close(drawing)
