"""`tapstack sim sweep`: the grid, its progress, its results in a table."""

import contextlib
import importlib.util
import json
import statistics
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stack.cli import sim_tables
from stack.cli.sim_run import console, make_folder, read
from stack.cli.start import INTERRUPTED
from stack.errors import ConfigError
from stack.sim import sweep
from stack.sim.sweep import Row, Task

SHOWN: Final = 10  # failures that are told one by one


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """The options of the command, by name."""

    grid: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    seeds: int = 1
    seed: int | None = None
    out: Path | None = None
    jobs: int | None = None
    cluster: str | None = None
    invariants: bool | None = None


def run(path: Path, options: SweepOptions) -> int:
    """Do it all; the exit status."""
    _need("pyarrow", "sim", "results are written as Parquet")
    if options.cluster is not None:
        _need("distributed", "cluster", "--cluster uses Dask")
    from stack.sim.results import Results  # noqa: PLC0415  # an extra

    data, scenario = read(path, options.changes, options.seed)
    todo = sweep.tasks(data, options.grid, scenario.seed, options.seeds, invariants=options.invariants)
    folder = make_folder(options.out or Path("out/sweep") / scenario.name)
    screen = console()
    with Results(folder) as results:
        missing = [task for task in todo if task.key not in results.rows]
        there = len(todo) - len(missing)
        begun = f"{len(todo)} runs" + (f", {there} of them are there already" if there else "")
        screen.print(f"{begun}; results in {results.path}", soft_wrap=True, markup=False)
        try:
            with contextlib.closing(_rows(missing, options)) as rows:
                for row in _shown(rows, len(missing), screen):
                    results.add(row)
        except KeyboardInterrupt:
            done = sum(task.key in results.rows for task in todo)
            click.echo(
                f"tapstack: interrupted; {done} of {len(todo)} runs are in {results.path}; the same command goes on",
                err=True,
            )
            return INTERRUPTED
        rows_ = [results.rows[task.key] for task in todo]
    _table(screen, options.grid, rows_)
    failures = [row for row in rows_ if row["status"] != "ok"]
    for row in failures[:SHOWN]:
        click.echo(f"tapstack: seed {row['seed']} {_point(row)}: {row['error']}", err=True)
    if failures:
        click.echo(f"tapstack: {len(failures)} of {len(rows_)} runs failed; status and error are in the file", err=True)
    return 1 if failures else 0


def _need(module: str, extra: str, why: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ConfigError(f"{why}, and {module} is not installed; 'pip install tapstack[{extra}]' brings it")


def _rows(missing: Sequence[Task], options: SweepOptions) -> Generator[Row, None, None]:
    if options.cluster is None:
        yield from sweep.local(missing, options.jobs)
        return
    from stack.sim import cluster  # noqa: PLC0415  # an extra

    yield from cluster.remote(missing, options.cluster)


def _shown(rows: Iterator[Row], total: int, screen: Console) -> Iterator[Row]:
    """The rows, with a bar where there is a terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    failed = 0
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task("runs", total=total)
        for row in rows:
            yield row
            failed += row["status"] != "ok"
            bar.update(task, advance=1, description=f"runs, {failed} failed" if failed else "runs")


def _table(screen: Console, grid: Sequence[str], rows: Sequence[Row]) -> None:
    """One line for each point of the grid: medians over the seeds."""
    keys = [text.partition("=")[0].strip() for text in grid]
    points: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        points[row["params"]].append(row)
    body = []
    for params, group in points.items():
        values = json.loads(params)
        good = [row for row in group if row["status"] == "ok"]
        failed = len(group) - len(good)
        body.append(
            [
                *(values[key] for key in keys),
                len(group),
                sim_tables.verdict(str(failed), good=not failed),
                *(_median(good, name) for name in ("goodput", "retransmits", "srtt_us", "finished_us", "fairness")),
            ]
        )
    heads = ("runs", "failed", "goodput", "resent", "RTT", "finished", "fairness")
    sim_tables.rows(screen, "medians over the seeds", keys, heads, body)


def _median(rows: Sequence[Row], name: str) -> str:
    if not rows:
        return "-"
    value = statistics.median(float(row[name]) for row in rows)
    if name == "goodput":
        return sim_tables.bits(value)
    if name == "srtt_us":
        return f"{value / 1000:.1f} ms"
    if name == "finished_us":
        return f"{value / 1e6:.2f} s"
    return f"{value:.3f}" if name == "fairness" else f"{value:g}"


def _point(row: Row) -> str:
    told = " ".join(f"{key}={value}" for key, value in json.loads(row["params"]).items())
    return f"({told})" if told else ""
