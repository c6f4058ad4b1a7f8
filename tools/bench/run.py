"""`make bench`: our stack over TAP against uvloop on kernel sockets over veth, in pairs.

Every metric is measured several times, ours and the kernel's turn by turn, so that a change of the machine's
mood meets both.  The server is pinned to core 1, the client to core 0: without that the kernel would run both
ends of a veth pair hot in one cache, as no two machines can.  Raw samples go to out/bench-*.json.
"""

import argparse
import fcntl
import itertools
import json
import os
import platform
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from stack import _form
from tools.bench import dns, load
from tools.bench.arguments import Help, new_file, old_file, seconds, share, whole
from tools.bench.chart import draw
from tools.bench.peers.build import CannotBuild
from tools.bench.results import Results, baseline, changes, figure
from tools.bench.rows import METRICS, Metric
from tools.bench.sides import (
    SERVER_CORE,
    Sample,
    Setting,
    Side,
)
from tools.netns import ROOT, CommandFailed, why_none

SIM = "sim"  # the one metric without a kernel's number beside it
OUT = ROOT / "out"
BASELINE = ROOT / "docs" / "bench-baseline.json"


@dataclass(frozen=True)
class Limits:
    """When a sample is taken again: shares of the machine that others may have, and how often."""

    foreign: float = load.MAX_FOREIGN
    stolen: float = load.MAX_STOLEN
    retries: int = 3


def measure(side: Side, metric: Metric, setting: Setting) -> Sample:
    """One sample with what it cost; an `error` in place of numbers when it failed."""
    if side.server.poll() is not None:
        return {"error": f"the server has died; see {side.log}"}
    before, began = side.cpu_seconds(), time.monotonic()
    try:
        sample = metric.measure(side, setting)
    except (CommandFailed, ValueError) as error:
        return {"error": str(error)[-500:]}
    if side.server.poll() is not None:
        return {"error": f"the server has died; see {side.log}"}
    # a sample knows better what it cost when it had something to prepare
    return {"server_cpu_s": side.cpu_seconds() - before, "wall_s": time.monotonic() - began} | sample


def measure_quietly(side: Side, metric: Metric, setting: Setting, limits: Limits) -> Iterator[Sample]:
    """A sample; when others used the machine meanwhile, it says so, and another one follows, up to `retries` times."""
    for _ in range(1 + limits.retries):
        before = load.read()
        sample = measure(side, metric, setting)
        taken = before.until(load.read())
        sample |= {"foreign": round(taken.foreign, 4), "stolen": round(taken.stolen, 4)}
        why = taken.judge(limits.foreign, limits.stolen) if metric.is_timed else ""
        if not why or "error" in sample:
            yield sample
            return
        yield sample | {"spoilt": why}


def allowed_congestion() -> str:
    """CUBIC where this user may choose it, else Reno; never the system's default, which may be BBR."""
    names = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text(encoding="ascii").split()
    return "cubic" if "cubic" in names else "reno"


@contextmanager
def exclusive() -> Iterator[None]:
    """Alone on this machine among those who keep to the same lock."""
    with (Path(tempfile.gettempdir()) / "bench.lock").open("a", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def context(setting: Setting) -> dict[str, Any]:
    """What a reader needs to compare this run with another."""
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.strip()
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    return {
        "revision": revision,
        "machine": f"{os.cpu_count()} x {model[1] if model else platform.machine()}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "form": _form.running(),
        "congestion": setting.congestion,
        "seconds": setting.seconds,
        "rounds": setting.rounds,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def run(names: list[str], runs: int, setting: Setting, limits: Limits, console: Console) -> Results:
    """All samples, ours and the kernel's in turn."""
    results = Results()
    columns = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=2 * sum(METRICS[name].runs or runs for name in names))
        for begin, group in itertools.groupby(names, lambda name: METRICS[name].sides):
            with ExitStack() as stack:
                try:
                    sides = begin(stack, OUT, setting)
                except CannotBuild as error:
                    for name in group:
                        results.add(name, METRICS[name].peer, {"error": str(error)})
                    continue
                for name in group:
                    for _ in range(METRICS[name].runs or runs):
                        for side in sides:
                            progress.update(bar, description=f"{name} {side.name}")
                            for sample in measure_quietly(side, METRICS[name], setting, limits):
                                results.add(name, side.name, sample)
                            progress.advance(bar)
    return results


def simulator(runs: int) -> Sample:
    """Segments per second of the simulator, which needs no network; on the server's core, like our server."""
    command = ("taskset", "-c", SERVER_CORE, sys.executable, "-m", "tools.bench.sim", "--json", "--runs", str(runs))
    sample: Sample = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)
    return sample


def simulator_table(sample: Sample) -> Table:
    """Its cases; each segment is counted once."""
    table = Table()
    for heading in ("metric", "unit", "tapstack", "spread"):
        table.add_column(heading, no_wrap=True)
    for case, values in sample["segments_per_second"].items():
        table.add_row(
            case, "segments/s", figure(statistics.median(values)), f"{figure(values[0])} to {figure(values[-1])}"
        )
    return table


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Help)
    parser.add_argument("--only", action="append", choices=(*METRICS, SIM), help="this metric (may be repeated)")
    parser.add_argument("--runs", type=whole(1000), default=5, help="of each side")
    parser.add_argument("--seconds", type=seconds, default=3.0, help="length of a stream")
    parser.add_argument("--rounds", type=whole(10_000_000), default=10_000, help="of ping-pong")
    parser.add_argument("--idle", type=whole(1_000_000, 10), default=100_000, help="connections to hold")
    parser.add_argument("--retries", type=whole(100, 0), default=3, help="of a sample that others spoilt")
    parser.add_argument("--max-foreign", type=share, default=load.MAX_FOREIGN, help="of others, in a good sample")
    parser.add_argument("--max-stolen", type=share, default=load.MAX_STOLEN, help="of the hypervisor, in a good sample")
    parser.add_argument("--chart", type=new_file, metavar="FILE", help="bars with spread: FILE as SVG and PNG")
    parser.add_argument("--write-baseline", action="store_true", help=f"keep medians in {BASELINE.relative_to(ROOT)}")
    parser.add_argument("--report", type=old_file, metavar="JSON", help="table and chart of a run before")
    return parser.parse_args()


def report(content: dict[str, Any], options: argparse.Namespace, console: Console) -> int:
    """Show a run; 1 when something of it failed."""
    results = Results(content["samples"])
    before = json.loads(BASELINE.read_text(encoding="utf-8")) if BASELINE.exists() else {}
    console.print(results.table(changes(results, before, content)))
    if content[SIM]["segments_per_second"]:
        console.print(simulator_table(content[SIM]))
    console.print(f"our TCP core: {content['form']}; congestion control of the kernel: {content['congestion']}")
    if days := sorted({row["started"][:10] for row in before.get("rows", {}).values() if "started" in row}):
        console.print(f"changes since what {BASELINE.name} has, of {' to '.join(dict.fromkeys((days[0], days[-1])))}")
    if options.chart:
        files = [options.chart.with_suffix(ending) for ending in (".svg", ".png")]
        draw(results, content, *files)
        console.print("chart:", ", ".join(map(str, files)))
    if options.write_baseline:
        keep(baseline(results, content)["rows"], before.get("rows", {}), console)
    for line in results.errors():
        console.print(f"failed: {line}", markup=False)
    return 1 if results.errors() else 0


def keep(rows: dict[str, Any], before: dict[str, Any], console: Console) -> None:
    """Write the baseline; of the rows that were left out this time, the old ones stay."""
    if not rows:
        console.print(f"no row has a number: {BASELINE.name} is as it was")
        return
    BASELINE.write_text(json.dumps({"rows": before | rows}, indent=1) + "\n", encoding="utf-8")


def main() -> int:
    """Command line."""
    options, console = arguments(), Console()
    console.width = max(console.width, 160)  # the table as it is, also into a file
    if options.report:
        try:
            content = json.loads(options.report.read_text(encoding="utf-8"))
            return report(content, options, console)
        except (ValueError, TypeError, KeyError, UnicodeDecodeError):
            console.print(f"{options.report} is not what a run of this has written", markup=False)
            return 2
    if options.only == [SIM]:
        with exclusive():
            console.print(simulator_table(simulator(options.runs)))
        return 0
    if why := why_none():
        console.print(why, markup=False)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was made is removed
    OUT.mkdir(exist_ok=True)
    program = OUT / "netbench"
    compile_it = ["cc", "-O2", "-Wall", "-o", str(program), str(ROOT / "tools/bench/netbench.c")]
    subprocess.run(compile_it, check=True)
    setting = Setting(str(program), allowed_congestion(), options.seconds, options.rounds, options.idle)
    limits = Limits(options.max_foreign, options.max_stolen, options.retries)
    names = options.only or [*METRICS, SIM]
    with exclusive():
        about = context(setting)
        results = run([name for name in names if name != SIM], options.runs, setting, limits, console)
        about[SIM] = simulator(options.runs) if SIM in names else {"segments_per_second": {}}
    path = OUT / f"bench-{time.strftime('%Y%m%d-%H%M%S')}.json"
    content = about | {"samples": results.samples}
    path.write_text(json.dumps(content, indent=1) + "\n")
    failed = report(content, options, console)
    console.print("raw samples:", path.relative_to(ROOT))
    if "dns_aiodns" in names:
        console.print(dns.ports("aiodns"))
    return failed


if __name__ == "__main__":
    sys.exit(main())
