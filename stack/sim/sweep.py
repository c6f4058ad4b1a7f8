"""Many runs of one scenario: a grid of settings times seeds, each run one row of results.

Theory of operation.  A Task is plain data, so it travels to any process or machine; `run_task` there makes it a row
and never raises: a run that fails is a row with its error.  The key of a task is a hash of everything that its outcome
follows from (scenario, changes, seed, the program's own source), so a row that is there need not be made again, and
one made by another version is never taken for it.  `local` spreads tasks over processes of this machine,
`cluster.remote` over those of a Dask cluster; both give rows as they come.
"""

import hashlib
import itertools
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import msgspec

from stack.errors import ConfigError
from stack.sim import overrides
from stack.sim.processes import interrupts_held
from stack.sim.result import Result, jain
from stack.sim.runner import Run
from stack.sim.scenario_toml import from_dict

Row = dict[str, Any]
MAX_RUNS: Final = 1_000_000
TRIES: Final = 2  # of a task whose process died


@dataclass(frozen=True, slots=True)
class Task:
    """One run to make.  `data` are the keys of the scenario file, `changes` this point of the grid."""

    key: str
    data: dict[str, Any]
    changes: tuple[overrides.Change, ...]
    seed: int
    invariants: bool | None


@cache
def code_version() -> str:
    """The version of the package and a hash of its source: results of other code are other results."""
    root = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    try:
        number = version("tapstack")
    except PackageNotFoundError:  # run from its source
        number = "0"
    return f"{number}+{digest.hexdigest()[:12]}"


def tasks(
    data: dict[str, Any], grid: Sequence[str], first_seed: int, seeds: int, *, invariants: bool | None = None
) -> list[Task]:
    """All runs of the grid, seed by seed.  Raises ConfigError for a point that could not be run."""
    axes = [overrides.split_many(text) for text in grid]
    keys = [key for key, _ in axes]
    if len(set(keys)) < len(keys):
        raise ConfigError("--grid: a key is given twice")
    points = [tuple(zip(keys, point, strict=True)) for point in itertools.product(*(values for _, values in axes))]
    if len(points) * seeds > MAX_RUNS:
        raise ConfigError(f"{len(points)} points with {seeds} seeds are more than {MAX_RUNS} runs")
    if first_seed + seeds > 1 << 63:
        raise ConfigError(f"--seeds {seeds}: the last seed would be over 2^63-1; begin with a smaller --seed")
    for point in points:
        overrides.scenario_with(data, point)
    scenario = {key: value for key, value in data.items() if key != "seed"}
    hashes = []
    for point in points:  # the long part once for a point: there may be a million seeds
        told = json.dumps([scenario, sorted(point), invariants, code_version()], sort_keys=True)
        hashes.append((point, hashlib.sha256(told.encode())))
    return [
        Task(_key(start, seed), data, point, seed, invariants)
        for seed in range(first_seed, first_seed + seeds)
        for point, start in hashes
    ]


def _key(start: "hashlib._Hash", seed: int) -> str:
    whole = start.copy()
    whole.update(f" {seed}".encode())
    return whole.hexdigest()[:32]


def run_task(task: Task) -> Row:
    """The row of a task."""
    began = time.perf_counter()
    row = _row(task)
    try:
        scenario = from_dict(_data_of(task))
        result = Run(scenario, invariants=task.invariants, record_frames=200).run()
        row |= _measured(result)
    except Exception as error:  # noqa: BLE001  # whatever it is, it belongs to this run and its seed
        row |= {"status": "error", "error": f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}"}
        row["report"] = "\n".join(getattr(error, "__notes__", []))
    row["wall_s"] = time.perf_counter() - began
    return row


def _data_of(task: Task) -> dict[str, Any]:
    data = task.data
    for key, value in task.changes:
        data = overrides.changed(data, key, value)
    return {**data, "seed": task.seed}


def _row(task: Task) -> Row:
    """What is known of a run beforehand; all rows have these and the keys of `_measured`."""
    return {
        "key": task.key,
        "scenario": str(task.data.get("name", "scenario")),
        "seed": task.seed,
        "version": code_version(),
        "params": json.dumps(dict(task.changes), sort_keys=True),
        **{f"param.{key}": value for key, value in task.changes},
        "status": "ok",
        "error": "",
        "report": "",
        "wall_s": 0.0,
        "time_us": 0,
        "finished_us": 0,
        "segments": 0,
        "goodput": 0.0,
        "fairness": 0.0,
        "retransmits": 0,
        "srtt_us": 0.0,
        "drops": 0,
        "digest": "",
        "flows": "[]",
    }


def _measured(result: Result) -> Row:
    flows = result.flows
    rates = [flow.goodput for flow in flows]
    return {
        "status": "ok" if result.ok else "failed",
        "error": "; ".join(result.problems),
        "time_us": result.time_us,
        "finished_us": max((flow.finished_at_us for flow in flows), default=0),
        "segments": result.segments,
        "goodput": float(sum(rates)),
        "fairness": jain(rates),
        "retransmits": sum(flow.retransmits for flow in flows),
        "srtt_us": statistics.fmean(flow.srtt_us for flow in flows) if flows else 0.0,
        "drops": sum(link.counts["overflowed"] + link.counts["dropped"] for link in result.links),
        "digest": result.digest,
        "flows": msgspec.json.encode(flows).decode(),
    }


def died(task: Task) -> Row:
    """The row of a task that took its process with it."""
    return _row(task) | {"status": "error", "error": "the process that ran it died (out of memory?)"}


# -- this machine


def local(todo: Sequence[Task], jobs: int | None = None) -> Iterator[Row]:
    """Rows in the order in which they come, from `jobs` processes (default: one for each core)."""
    jobs = min(jobs or os.cpu_count() or 1, max(len(todo), 1))
    tries: dict[str, int] = {}
    waiting = list(reversed(todo))
    while waiting:
        # Spawned, not forked: nothing of this process (locks, threads of a progress bar) is in them.
        context = multiprocessing.get_context("spawn")
        # A process that died is found with no other task beside it: after the first death one at a time.
        width, ahead = (jobs, 2 * jobs) if not tries else (1, 1)
        with ProcessPoolExecutor(width, mp_context=context) as pool:
            running: dict[Future[Row], Task] = {}
            try:
                yield from _spread(pool, waiting, running, ahead)
            except BrokenProcessPool:
                for task in running.values():
                    tries[task.key] = tries.get(task.key, 0) + 1
                    if tries[task.key] >= TRIES:
                        yield died(task)
                    else:
                        waiting.append(task)
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _spread(
    pool: ProcessPoolExecutor, waiting: list[Task], running: dict[Future[Row], Task], ahead: int
) -> Iterator[Row]:
    while waiting or running:
        while waiting and len(running) < ahead:
            with interrupts_held():  # a process may be started
                future = pool.submit(run_task, waiting[-1])
            running[future] = waiting[-1]
            waiting.pop()
        for done in wait(running, return_when=FIRST_COMPLETED).done:
            row = done.result()
            del running[done]
            yield row
