"""One scenario, run and judged: the verdict of a campaign, and of each step of shrinking.

Theory of operation.  Whatever goes wrong becomes a Verdict, never an exception: an invariant, an outcome that was not
promised, something left behind, two histories of one seed, a run that does not come to an end (`WALL_S`, of real
time, where the process may set an alarm).  `kind` is the problem without its numbers: two runs that fail alike have
the same one.
"""

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import msgspec

from stack.sim.runner import Run
from stack.sim.scenario import Scenario

WALL_S: Final = 60
_NUMBER: Final = re.compile(r"[0-9]+")


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How one scenario went.  `problem` is None for a sound run."""

    seed: int
    failing: bool  # a flow of it must not complete
    segments: int
    events: int
    time_us: int
    bound_us: int
    digest: str
    problem: str | None
    kind: str
    report: str


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    """Raise TimeoutError in a body that takes longer, where signals can be had."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ring(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"no end after {seconds} s of real time")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def judge(scenario: Scenario, *, twice: bool = False, wall_s: float = WALL_S) -> Verdict:
    """Run a scenario with all invariants until the hosts are at rest.  `twice`: compare two histories of it."""
    run = Run(scenario, invariants=True, record_frames=200)
    problem, report, digest, time_us = None, "", "", 0
    try:
        with _alarm(wall_s):
            result = run.run(drain=True)
            time_us, digest = result.time_us, result.digest
            if result.problems:
                problem, report = "; ".join(result.problems), run.network.report()
            elif twice:
                again = Run(scenario, invariants=True, record_frames=200).run(drain=True)
                if again != result:
                    problem = f"two histories of one seed: {result.digest[:16]} and {again.digest[:16]}"
    except Exception as exc:  # noqa: BLE001 - a campaign reports and goes on
        problem = f"{type(exc).__name__}: {exc}"
        report = "\n".join(getattr(exc, "__notes__", ())) or run.network.report()
    return Verdict(
        seed=scenario.seed,
        failing=any(flow.expect != "complete" for flow in scenario.flows),
        segments=run.network.segments,
        events=run.events,
        time_us=time_us,
        bound_us=scenario.duration_us,
        digest=digest,
        problem=problem,
        kind="" if problem is None else _kind(problem),
        report=report,
    )


def _kind(problem: str) -> str:
    """The problem without numbers and names of flows, so that those that are alike compare equal."""
    text = _NUMBER.sub("#", problem.partition(";")[0])
    return re.sub(r"flow [^:]*: |client .*", "", text)[:80]
