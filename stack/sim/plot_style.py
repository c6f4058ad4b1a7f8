"""How plots look: colours, units, files.  Needs matplotlib (the extra `tapstack[sim]`)."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's colours: told apart by the colour-blind, and in grey.
BLUE: Final = "#0072B2"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
VERMILLION: Final = "#D55E00"
PURPLE: Final = "#CC79A7"
SKY: Final = "#56B4E9"
BLACK: Final = "#000000"
GREY: Final = "#8C8C8C"
CYCLE: Final = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, BLACK)
WIDTH: Final = 9.0  # inches
DASHES: Final = ("-", "--", "-.", ":")

_STYLE: Final[dict[Any, Any]] = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.labelsize": 9.5,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "figure.dpi": 100,
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 9.5,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.8,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "path.simplify": True,
    "savefig.dpi": 130,
    "svg.fonttype": "path",
    "svg.hashsalt": "tapstack",  # ids in an SVG depend on the picture alone
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
}


def colour(index: int) -> str:
    """The colour of line `index`."""
    return CYCLE[index % len(CYCLE)]


def dash(index: int) -> str:
    """The dash pattern of line `index`: another one when the colours begin again."""
    return DASHES[index // len(CYCLE) % len(DASHES)]


@dataclass(frozen=True, slots=True)
class Unit:
    """What the numbers of an axis are divided by, and what they are called then."""

    name: str
    divisor: float

    def of(self, values: Sequence[float]) -> list[float]:
        """The values in this unit."""
        return [value / self.divisor for value in values]


# (name, divisor, from which value on): microseconds, bytes, bytes per second.
_TIME: Final = (("µs", 1.0, 0.0), ("ms", 1e3, 2e3), ("s", 1e6, 2e6))
_SIZE: Final = (("bytes", 1.0, 0.0), ("kB", 1e3, 5e3), ("MB", 1e6, 5e6), ("GB", 1e9, 5e9))
_RATE: Final = (("bit/s", 0.125, 0.0), ("kbit/s", 125.0, 250.0), ("Mbit/s", 125e3, 250e3), ("Gbit/s", 125e6, 250e6))


def _unit(table: Sequence[tuple[str, float, float]], values: Iterable[float]) -> Unit:
    largest = max(values, default=0.0)
    return next(Unit(name, divisor) for name, divisor, start in reversed(table) if largest >= start)


def time_unit(values: Iterable[float]) -> Unit:
    """For durations in microseconds."""
    return _unit(_TIME, values)


def size_unit(values: Iterable[float]) -> Unit:
    """For bytes."""
    return _unit(_SIZE, values)


def rate_unit(values: Iterable[float]) -> Unit:
    """For bytes per second, shown as bits."""
    return _unit(_RATE, values)


@contextlib.contextmanager
def styled() -> Iterator[None]:
    """Within it figures are made and saved in our style, whatever the user's own settings are."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def figure(title: str, rows: int, height: float, *, one_time: bool = True) -> tuple[Figure, list[Axes]]:
    """A figure of `rows` panels, `height` inches high; `one_time`: they share the time axis."""
    fig = Figure(figsize=(WIDTH, height), layout="constrained")
    FigureCanvasAgg(fig)
    fig.suptitle(title, fontsize=12, fontweight="bold", x=0.01, ha="left")
    grid = fig.subplots(rows, 1, sharex=one_time, squeeze=False)
    return fig, [row[0] for row in grid]


def legend(axes: Axes, columns: int = 6) -> None:
    """A legend above the panel, out of the data's way, with each name once."""
    handles, labels = axes.get_legend_handles_labels()
    seen = dict(zip(labels, handles, strict=True))
    if seen:
        axes.legend(
            seen.values(), seen.keys(), loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=columns, borderaxespad=0.1
        )


def save(fig: Figure, folder: Path, name: str) -> list[Path]:
    """Write NAME.png and NAME.svg; the SVG is the same for the same picture."""
    paths = [folder / f"{name}.png", folder / f"{name}.svg"]
    fig.savefig(paths[0], metadata={"Software": None})
    fig.savefig(paths[1], metadata={"Date": None, "Creator": None})
    return paths
