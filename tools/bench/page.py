"""Puts what `make bench` has measured into docs/benchmarks.md: `python -m tools.bench.page out/bench-….json ...`.

Of several runs the first is shown whole, of the others the ratios: what stays the same from hour to hour.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from tools.bench.results import Results, Spread
from tools.bench.rows import METRICS
from tools.bench.sides import OURS
from tools.netns import ROOT

PAGE = ROOT / "docs/benchmarks.md"
BEGIN = "<!-- figures: written by `python -m tools.bench.page` -->\n"
END = "<!-- end of the figures -->\n"


def cell(spread: Spread | None) -> str:
    """Median and range of one side."""
    return "-" if spread is None else f"{spread} ({spread.range})"


def ratio(results: Results, metric: str) -> str:
    """Ours as a multiple of the peer's."""
    found = results.summary(metric).ratio if metric in results.samples else None
    return "-" if found is None else f"{found:.2f}"


def again(results: Results, metric: str) -> str:
    """What another run says of a row: the ratio, or the number where there is nothing beside it."""
    found = ratio(results, metric)
    ours = results.spread(metric, OURS) if metric in results.samples else None
    return str(ours) if found == "-" and ours is not None else found


def table(runs: list[dict[str, Any]]) -> str:
    """When, on what, and the rows."""
    first = runs[0]
    measured = [Results(run["samples"]) for run in runs]
    count = max(len(each) for sides in first["samples"].values() for each in sides.values())
    times = " and ".join(run["started"][:16].replace("T", " ") for run in runs)
    heading = (
        f"{times} UTC, {first['machine']}, Linux {first['kernel'].partition('-')[0]}, Python {first['python']}, core "
        f"{first['form']}, {first['congestion']} on both ends; medians of {count} (the least to the most):"
    )
    lines = [
        heading,
        "",
        "| row | | tapstack | beside | | ratio |" + " again |" * (len(runs) - 1),
        "|---|---|---:|---|---:|---:|" + "---:|" * (len(runs) - 1),
    ]
    for metric in first["samples"]:
        summary = measured[0].summary(metric)
        peer = "" if summary.theirs is None else summary.peer
        cells = [f"`{metric}`", METRICS[metric].unit, cell(summary.ours), peer, cell(summary.theirs)]
        cells.append(ratio(measured[0], metric))
        lines.append("| " + " | ".join([*cells, *(again(each, metric) for each in measured[1:])]) + " |")
    return "\n".join(lines) + "\n"


def between(page: str, text: str, begin: str, end: str) -> str:
    """The page with `text` between two markers.  Raises ValueError when they are not there."""
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"the markers are missing: {begin.strip()} and {end.strip()}")
    return before + begin + text + end + after


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", type=Path, nargs="+", metavar="JSON")
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in parser.parse_args().runs]
    PAGE.write_text(between(PAGE.read_text(encoding="utf-8"), table(runs), BEGIN, END), encoding="utf-8")


if __name__ == "__main__":
    main()
