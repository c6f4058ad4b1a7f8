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
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from stack import _form
from tools.bench import dns
from tools.bench.results import Results, figure
from tools.bench.rows import METRICS, Metric
from tools.bench.sides import (
    SERVER_CORE,
    Sample,
    Setting,
    Side,
)
from tools.netns import ROOT, CommandFailed

SIM = "sim"  # the one metric without a kernel's number beside it
OUT = ROOT / "out"


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
    return sample | {"server_cpu_s": side.cpu_seconds() - before, "wall_s": time.monotonic() - began}


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
        "congestion": setting.congestion,
        "seconds": setting.seconds,
        "rounds": setting.rounds,
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def run(names: list[str], runs: int, setting: Setting, folder: Path, console: Console) -> Results:
    """All samples, ours and the kernel's in turn."""
    results = Results()
    columns = (TextColumn("{task.description:20}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=2 * sum(METRICS[name].runs or runs for name in names))
        for begin, group in itertools.groupby(names, lambda name: METRICS[name].sides):
            with ExitStack() as stack:
                sides = begin(stack, folder, setting)
                for name in group:
                    for _ in range(METRICS[name].runs or runs):
                        for side in sides:
                            progress.update(bar, description=f"{name} {side.name}")
                            results.add(name, side.name, measure(side, METRICS[name], setting))
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


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=(*METRICS, SIM), help="this metric (may be repeated)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of a stream")
    parser.add_argument("--rounds", type=int, default=10_000, help="of ping-pong")
    parser.add_argument("--idle", type=int, default=10_000, help="connections to hold")
    arguments = parser.parse_args()
    console = Console()
    console.width = max(console.width, 120)  # the table as it is, also into a file
    if arguments.only == [SIM]:
        with exclusive():
            console.print(simulator_table(simulator(arguments.runs)))
        return 0
    if os.geteuid() != 0:
        console.print("the benchmarks make network namespaces: run them as root")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was made is removed
    OUT.mkdir(exist_ok=True)
    program = OUT / "netbench"
    compile_it = ["cc", "-O2", "-Wall", "-o", str(program), str(ROOT / "tools/bench/netbench.c")]
    subprocess.run(compile_it, check=True)
    setting = Setting(str(program), allowed_congestion(), arguments.seconds, arguments.rounds, arguments.idle)
    names = arguments.only or [*METRICS, SIM]
    with exclusive():
        about = context(setting)
        results = run([name for name in names if name != SIM], arguments.runs, setting, OUT, console)
        about[SIM] = simulator(arguments.runs) if SIM in names else {"segments_per_second": {}}
    path = OUT / f"bench-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.write_text(json.dumps(about | {"samples": results.samples}, indent=1) + "\n")
    console.print(results.table())
    if SIM in names:
        console.print(simulator_table(about[SIM]))
    console.print(f"our TCP core: {_form.running()}; congestion control of the kernel: {setting.congestion}")
    console.print("raw samples:", path.relative_to(ROOT))
    if "dns_aiodns" in names:
        console.print(dns.ports("aiodns"))
    for line in results.errors():
        console.print(f"failed: {line}", markup=False)
    return 1 if results.errors() else 0


if __name__ == "__main__":
    sys.exit(main())
