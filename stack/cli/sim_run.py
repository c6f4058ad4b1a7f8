"""`tapstack sim SCENARIO.toml`: one scenario, or one for each value of a comparison."""

import importlib.util
import json
import re
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from stack.cli import sim_tables
from stack.cli.start import INTERRUPTED
from stack.errors import ConfigError, StackError
from stack.sim import overrides
from stack.sim.result import Result
from stack.sim.runner import Run
from stack.sim.scenario import Scenario
from stack.sim.scenario_toml import load
from stack.sim.scope import Scope

CAPTURE_FRAMES: Final = 100_000
NO_PLOTS: Final = "no plots: matplotlib is not installed; 'pip install tapstack[sim]' brings it"
_PLAIN_WIDTH: Final = 120  # columns, where there is no terminal


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The options of the command, by name."""

    compare: str | None = None
    changes: tuple[str, ...] = ()
    seed: int | None = None
    out: Path | None = None
    plots: bool = True
    capture: str = "hosts"
    invariants: bool | None = None


def console() -> Console:
    """Standard output: a terminal, or plain text that is wide enough."""
    return Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH, highlight=False)


def read(path: Path, changes: tuple[str, ...], seed: int | None) -> tuple[dict[str, Any], Scenario]:
    """The keys of the file, changed, and the scenario that they say.  Raises ConfigError."""
    load(path)  # tells of errors with their line
    data = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    scenario = overrides.scenario_with(data, [])
    data.setdefault("name", re.sub(r"\W", "_", f"{path.stem[:60]}", flags=re.ASCII).strip("_") or "scenario")
    pairs = [overrides.split(change) for change in changes]
    if seed is not None:
        pairs.append(("seed", str(seed)))
    for key, value in pairs:
        scenario = overrides.scenario_with(data, [(key, value)])
        data = overrides.changed(data, key, value)
    return data, msgspec.structs.replace(scenario, name=str(data["name"]))


def make_folder(folder: Path) -> Path:
    """Make it.  Raises ConfigError when nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(f"--out {folder}: {reason}") from None
    return folder


def run(path: Path, options: RunOptions) -> int:
    """Do it all; the exit status."""
    data, scenario = read(path, options.changes, options.seed)
    variants = _variants(data, scenario, options.compare)
    plots = options.plots and importlib.util.find_spec("matplotlib") is not None
    folder = make_folder(options.out or Path("out/sim") / scenario.name)
    screen, results, scopes = console(), {}, {}
    try:
        for name, one in variants.items():
            place = folder if options.compare is None else make_folder(folder / name)
            results[name], scopes[name] = _one(name, one, options, place, screen)
            if plots:
                _plot(scopes[name], place, one.name if options.compare is None else f"{one.name}, {name}")
            _write_summary(place, results[name], scopes[name])
        if options.compare is not None:
            needless = {name: scope.needless() for name, scope in scopes.items()}
            sim_tables.comparison(screen, options.compare, results, needless)
            if plots:
                _plot_comparison(scopes, folder, f"{scenario.name}: {options.compare.partition('=')[0]}")
    except KeyboardInterrupt:
        done = f"{len(results)} of {len(variants)} runs were finished"
        click.echo(f"tapstack: interrupted; {done}; what there is of them is in {folder}", err=True)
        return INTERRUPTED
    if options.plots and not plots:
        click.echo(f"tapstack: {NO_PLOTS}", err=True)
    screen.print(f"files in {folder}", soft_wrap=True, markup=False)
    problems = [f"{name}: {problem}" for name, result in results.items() for problem in result.problems]
    for problem in problems:
        click.echo(f"tapstack: {problem}", err=True)
    return 1 if problems else 0


def _variants(data: dict[str, Any], scenario: Scenario, compare: str | None) -> dict[str, Scenario]:
    if compare is None:
        return {scenario.name: scenario}
    key, values = overrides.split_many(compare)
    made = {}
    for value in values:
        one = overrides.scenario_with(overrides.with_setting(data, key, value), [])
        made[value.replace("/", "_")] = msgspec.structs.replace(one, name=scenario.name)
    return made


def _one(name: str, scenario: Scenario, options: RunOptions, folder: Path, screen: Console) -> tuple[Result, Scope]:
    """Run it, write its captures, print its tables."""
    frames = 0 if options.capture == "none" else CAPTURE_FRAMES
    one = Run(scenario, invariants=options.invariants, record_frames=frames or 100)
    scope = Scope(one)
    try:
        with _bar(name, screen) as progress, _interrupts(progress) as each:
            result = one.run(each)
    except (KeyboardInterrupt, Exception) as error:
        if frames:
            _write_captures(one, folder, options.capture)
        if isinstance(error, KeyboardInterrupt):
            at = one.network.clock.now / 1e6
            click.echo(f"tapstack: {name}: stopped at {at:.3f} s of simulated time; captures up to there", err=True)
            raise
        told = "\n".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", [])])
        (folder / "failure.txt").write_text(told + "\n", encoding="utf-8")
        raise StackError(
            f"{name}: the run failed (seed {scenario.seed}): {type(error).__name__}: {error}; "
            f"the last events are in {folder / 'failure.txt'}"
        ) from error
    if frames:
        _write_captures(one, folder, options.capture)
    if options.compare is None:
        sim_tables.run_tables(screen, name, scenario, result, scope.needless())
    return result, scope


@contextmanager
def _bar(name: str, screen: Console) -> Iterator[Callable[[int, int], None]]:
    """A progress bar over simulated time, where there is a terminal."""
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[clock]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(name, total=1, clock="")

        def told(now: int, end: int) -> None:
            bar.update(task, completed=now, total=end, clock=f"{now / 1e6:.1f} s simulated")

        yield told


@contextmanager
def _interrupts(progress: Callable[[int, int], None]) -> Iterator[Callable[[int, int], None]]:
    """Ctrl-C ends the run between two events, where every host is whole; a second one at once.

    Raised amidst them, it would end the process: compiled arithmetic takes an exception from an operation on large
    numbers for a lack of memory, and aborts.
    """
    asked = False

    def on_interrupt(_number: int, _frame: object) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True

    def told(now: int, end: int) -> None:
        if asked:
            raise KeyboardInterrupt
        progress(now, end)

    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield told
    finally:
        signal.signal(signal.SIGINT, before)


def _write_captures(one: Run, folder: Path, what: str) -> None:
    network = one.network
    if what == "all":
        with (folder / "network.pcapng").open("wb") as file:
            network.write_capture(None, file)
        return
    hosts = {spec.name for spec in one.scenario.hosts}
    for node in network.nodes:
        for port in node.ports if node.name in hosts else ():
            name = node.name if len(node.ports) == 1 else port.name
            with (folder / f"{name}.pcapng").open("wb") as file:
                network.write_capture(port, file)


def _write_summary(folder: Path, result: Result, scope: Scope) -> None:
    summary = msgspec.to_builtins(result)
    needless = scope.needless()
    for flow in summary["flows"]:
        flow["needless_retransmits"] = needless[flow["name"]]
    told = json.dumps(summary, indent=2)
    (folder / "summary.json").write_text(told + "\n", encoding="utf-8")


def _plot(scope: Scope, folder: Path, title: str) -> None:
    from stack.sim import plot  # noqa: PLC0415  # an extra

    plot.write_all(scope.flows, scope.queues, folder, title)


def _plot_comparison(scopes: dict[str, Scope], folder: Path, title: str) -> None:
    from stack.sim import plot  # noqa: PLC0415  # an extra

    flows = list(next(iter(scopes.values())).flows)
    for flow in flows:
        name, what = ("compare", title) if len(flows) == 1 else (f"compare-{flow}", f"{title}, {flow}")
        plot.write_overlay({value: scope.flows[flow] for value, scope in scopes.items()}, folder, name, what)
