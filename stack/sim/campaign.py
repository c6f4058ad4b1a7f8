"""Many random hostile networks, on all cores: `python -m stack.sim.campaign --runs 10000`.

Theory of operation.  The fixed seeds are the same for everybody, the fresh ones follow a base seed that is printed.
Worker processes generate and judge scenarios; one in `TWICE` is run twice and must have one history.  A failure is
shrunk in the process that found it and written as TOML and pcapng.  The report gives throughput and the shares of what
the networks contained, as most of them must be such that every flow completes (`FAILING_MAX`); the exit status says
whether all was sound.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from random import SystemRandom
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from stack.config import SECOND
from stack.sim.generate import generate, generate_with_theme
from stack.sim.judge import Verdict, judge
from stack.sim.processes import interrupts_held
from stack.sim.scenario import Scenario
from stack.sim.shrink import replaced, shrink, write_failure

FIXED: Final = 200  # seeds 0 to 199, in every campaign
TWICE: Final = 20
SHRUNK_MAX: Final = 5  # failures of a campaign that are made smaller; of all others the seed tells everything
CHUNK: Final = 8
FAILING_MAX: Final = 0.1  # of the networks: those in which a flow is promised not to complete
ENOUGH: Final = 500  # networks for a share to mean something
INTERRUPTED: Final = 130  # the exit status after Ctrl-C


class Report:
    """What a campaign found."""

    # fmt: off
    __slots__ = (
        "events", "failing", "failures", "runs", "seconds", "segments", "shares", "slowest", "themes", "time_us",
        "twice",
    )
    # fmt: on

    def __init__(self) -> None:
        self.runs = 0
        self.segments = 0
        self.events = 0
        self.time_us = 0  # simulated, in sound runs
        self.seconds = 0.0
        self.twice = 0
        self.failing = 0  # runs in which a flow must not complete
        self.themes: Counter[str] = Counter()
        self.shares: Counter[str] = Counter()
        self.slowest = 0.0  # largest share of its bound that a sound run took
        self.failures: list[Verdict] = []

    def add(self, verdict: Verdict) -> None:
        """One more run."""
        self.runs += 1
        self.segments += verdict.segments
        self.events += verdict.events
        self.time_us += verdict.time_us
        self.twice += is_twice(verdict.seed)
        self.failing += verdict.failing
        scenario, theme = generate_with_theme(verdict.seed)
        self.themes[theme] += 1
        self.shares.update(traits(scenario))
        if verdict.problem is not None:
            self.failures.append(verdict)
        elif not verdict.failing:
            self.slowest = max(self.slowest, verdict.time_us / verdict.bound_us)

    @property
    def too_many_fail(self) -> bool:
        """The generator has broken its promise that most networks let every flow complete."""
        return self.runs >= ENOUGH and self.failing > FAILING_MAX * self.runs

    @property
    def sound(self) -> bool:
        """Nothing was wrong."""
        return not self.failures and not self.too_many_fail

    def lines(self) -> Iterator[str]:
        """The report, in words."""
        runs, seconds = max(self.runs, 1), max(self.seconds, 1e-9)
        yield (
            f"{self.runs} networks in {self.seconds:.1f} s: {self.runs * 60 / seconds:.0f} a minute, "
            f"{self.segments / seconds:.0f} segments a second; {self.twice} were run twice"
        )
        yield (
            f"simulated: {self.time_us / SECOND / 3600:.1f} hours, {self.events:,} events, {self.segments:,} segments"
        )
        verdict = ": too many" if self.too_many_fail else ""
        yield (
            f"failing kind (a flow is promised not to complete): {self.failing * 100 / runs:.1f} %, "
            f"at most {FAILING_MAX * 100:.0f} % may be{verdict}"
        )
        yield "themes: " + ", ".join(f"{theme} {n} ({n * 100 / runs:.1f} %)" for theme, n in self.themes.most_common())
        yield "shares: " + ", ".join(f"{trait} {n * 100 / runs:.1f} %" for trait, n in self.shares.most_common())
        yield f"of their bound of simulated time, those that must complete took at most {self.slowest * 100:.0f} %"
        yield f"failures: {len(self.failures)}"


def is_twice(seed: int) -> bool:
    """Whether the scenario of a seed is run twice."""
    return seed % TWICE == 0


def traits(scenario: Scenario) -> set[str]:
    """What a scenario contains, for the shares of a report."""
    ways = [link.way(name) for link in scenario.links for name in ("forward", "backward")]
    found = {f"{len(scenario.hosts)} hosts", "with routers" if scenario.routers else "without routers"}
    for name in ("jitter_us", "loss", "burst_loss", "reorder", "duplicate", "corrupt", "queue"):
        if any(getattr(way, name) for way in ways):
            found.add(name.removesuffix("_us").replace("_", " "))
    there = {
        "loss of 20 % or more": any((way.loss or 0) >= 0.2 for way in ways),
        "CoDel": any(way.discipline == "codel" for way in ways),
        "MTU below 1500": any(link.mtu < 1500 for link in scenario.links),
        "MTU above 1500": any(link.mtu > 1500 for link in scenario.links),
        "partition": any(event.down for event in scenario.events),
        "MTU change": any(event.mtu is not None for event in scenario.events),
        "black hole": any(event.silent for event in scenario.events),
        "other change": any(event.set is not None for event in scenario.events),
        "reneging": any(event.renege for event in scenario.events),
    }
    found |= {what for what, is_there in there.items() if is_there}
    return found | {f"must end {flow.expect}" for flow in scenario.flows if flow.expect != "complete"}


def judge_seed(seed: int) -> Verdict:
    """The verdict on the scenario of a seed."""
    return judge(generate(seed), twice=is_twice(seed))


def campaign(
    seeds: Sequence[int],
    jobs: int,
    progress: Progress | None = None,
    stop_at: int = 0,
    report: Report | None = None,
) -> Report:
    """Judge the scenarios of all seeds in `jobs` processes; `stop_at` failures end it early (0: never).

    A `report` of the caller's has what was judged also when Ctrl-C ends it, by KeyboardInterrupt.
    """
    report = Report() if report is None else report
    began = time.monotonic()
    task = progress.add_task("networks", total=len(seeds)) if progress is not None else None
    try:
        for verdict in _verdicts(seeds, jobs):
            report.add(verdict)
            if progress is not None and task is not None:
                if verdict.problem is not None:
                    progress.console.print(f"seed {verdict.seed}: {verdict.problem}", markup=False)
                progress.update(task, advance=1, description=f"networks ({len(report.failures)} failed)")
            if stop_at and len(report.failures) >= stop_at:
                break
    finally:
        report.seconds = time.monotonic() - began
    return report


def _verdicts(seeds: Sequence[int], jobs: int) -> Iterable[Verdict]:
    if jobs <= 1:
        yield from map(judge_seed, seeds)
        return
    with ExitStack() as ending:
        with interrupts_held():  # one that was held comes at the end of this block, and ends the workers, too
            pool = ending.enter_context(multiprocessing.get_context("forkserver").Pool(jobs))
        yield from pool.imap_unordered(judge_seed, seeds, chunksize=min(CHUNK, max(1, len(seeds) // (4 * jobs))))


def explain(seed: int, directory: Path) -> Iterator[str]:
    """Shrink the failing scenario of a seed; where the files are, and the last events."""
    scenario = generate(seed)
    yield f"seed {seed}: {judge(scenario).problem}"
    smaller, verdict = shrink(scenario)
    for path in write_failure(replaced(smaller, name=f"seed-{seed}"), directory):
        yield f"  {path}"
    left = f"{len(smaller.flows)} flows, {len(smaller.links)} links, {len(smaller.events)} events"
    yield f"  shrunk to {left}: {verdict.problem}"
    yield verdict.report


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError("the name of the folder is empty")
    return Path(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m stack.sim.campaign", description="Random hostile networks.")
    parser.add_argument("--runs", type=int, default=1000, help="fresh seeds (default 1000)")
    parser.add_argument("--fixed", type=int, default=FIXED, help=f"fixed seeds before them (default {FIXED})")
    parser.add_argument("--seed", type=int, help="the first fresh seed (default: drawn and printed)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes (default: all cores)")
    parser.add_argument("--stop", action="store_true", help="end with the first failure, and do not shrink it")
    parser.add_argument("--out", type=_folder, default=Path("out/sim"), help="where failures are written")
    options = parser.parse_args(arguments)
    base = options.seed if options.seed is not None else SystemRandom().randrange(1 << 40)
    console = Console(highlight=False, soft_wrap=True)
    fresh = range(base, base + options.runs)
    console.print(f"{options.fixed} fixed seeds, {options.runs} fresh ones from {base} (again: --seed {base})")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    seeds = [*range(options.fixed), *fresh]
    report = Report()
    try:
        with Progress(*columns, console=console, transient=True) as progress:
            campaign(seeds, options.jobs, progress, int(options.stop), report)
    except KeyboardInterrupt:
        told = f"{report.runs} of {len(seeds)} networks were judged, {len(report.failures)} failed"
        sys.stderr.write(f"tapstack: interrupted; {told}; again: --seed {base}\n")
        return INTERRUPTED
    for line in report.lines():
        console.print(line, markup=False)
    for verdict in sorted(report.failures, key=lambda v: v.segments)[: 0 if options.stop else SHRUNK_MAX]:
        for line in explain(verdict.seed, options.out):
            console.print(line, markup=False)
    return 0 if report.sound else 1


if __name__ == "__main__":
    sys.exit(main())
