"""`make bench`: our stack over TAP against uvloop on kernel sockets over veth, in pairs.

Every metric is measured several times, ours and the kernel's turn by turn, so that a change of the machine's
mood meets both.  The server is pinned to core 1, the client to core 0: without that the kernel would run both
ends of a veth pair hot in one cache, as no two machines can.  Raw samples go to out/bench-*.json.
"""

import argparse
import fcntl
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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from stack import _form
from tools.netns import ROOT, CommandFailed, Namespace, stop, wait_until

ADDRESS, CLIENT, PREFIX = "10.77.0.2", "10.77.0.1", 24
SINK, SOURCE, ECHO, HTTP = "5001", "5002", "5003", "8080"
SERVER_CORE, CLIENT_CORE = "1", "0"
SIM = "sim"  # the one metric without a kernel's number beside it
OUT = ROOT / "out"
SYSCTLS = (
    "net.ipv4.ip_local_port_range=1024 65535",
    "net.ipv4.tcp_tw_reuse=1",
    "net.ipv4.tcp_max_tw_buckets=2000",
    "net.ipv4.tcp_max_syn_backlog=4096",
    "net.core.somaxconn=4096",
)
Sample = dict[str, Any]


@dataclass
class Side:
    """One half of a pair: a running server, and the namespace that its client runs in."""

    name: str
    client: Namespace
    server: subprocess.Popen[str]
    log: Path

    def run(self, *command: str, timeout: float = 60) -> str:
        """A client program on the client's core; what it printed."""
        return self.client.run("taskset", "-c", CLIENT_CORE, *command, timeout=timeout).stdout

    def memory(self) -> int:
        """Resident bytes of the server."""
        text = Path(f"/proc/{self.server.pid}/statm").read_text(encoding="ascii")
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """What the server has used so far."""
        fields = Path(f"/proc/{self.server.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Setting:
    """What a run is told."""

    netbench: str
    congestion: str
    seconds: float
    rounds: int
    idle: int


def netbench(side: Side, setting: Setting, *arguments: str) -> Sample:
    """One run of the client."""
    sample: Sample = json.loads(side.run(setting.netbench, "-C", setting.congestion, *arguments))
    return sample


def bulk_rx(side: Side, setting: Setting) -> Sample:
    """The client sends, the stack receives."""
    return netbench(side, setting, "send", ADDRESS, SINK, str(setting.seconds))


def bulk_tx(side: Side, setting: Setting) -> Sample:
    """The stack sends."""
    return netbench(side, setting, "receive", ADDRESS, SOURCE, str(setting.seconds))


def tcp_rr(side: Side, setting: Setting) -> Sample:
    """One byte to and fro."""
    return netbench(side, setting, "tcp-rr", ADDRESS, ECHO, str(setting.rounds), "1")


def udp_rr(side: Side, setting: Setting) -> Sample:
    """A datagram of 64 bytes to and fro."""
    return netbench(side, setting, "udp-rr", ADDRESS, ECHO, str(setting.rounds), "64")


def crr(side: Side, setting: Setting) -> Sample:
    """Connect, 16 bytes echoed, close; one at a time."""
    return netbench(side, setting, "connect", ADDRESS, ECHO, str(setting.seconds), "1")


def crr32(side: Side, setting: Setting) -> Sample:
    """The same, 32 at a time."""
    return netbench(side, setting, "connect", ADDRESS, ECHO, str(setting.seconds), "32")


def http(side: Side, setting: Setting) -> Sample:
    """Requests with wrk on 32 connections."""
    url = f"http://{ADDRESS}:{HTTP}/"
    out = side.run("wrk", "-t1", "-c32", f"-d{max(1, round(setting.seconds))}s", "--latency", url)
    errors = re.search(r"Socket errors: (.*)", out)
    if errors:
        return {"error": errors[1]}
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    return {"per_second": float(rate[1]) if rate else 0.0, "output": out}


def ping(side: Side, setting: Setting) -> Sample:
    """Flood ping."""
    out = side.run("ping", "-q", "-f", "-c", str(setting.rounds), "-w", "20", ADDRESS)
    average = re.search(r"= [\d.]+/([\d.]+)/", out)
    received = re.search(r"(\d+) received", out)
    if not average or not received or int(received[1]) < setting.rounds:
        return {"error": f"{received[1] if received else 0} of {setting.rounds} pings answered"}
    return {"average_us": float(average[1]) * 1000}


def idle(side: Side, setting: Setting) -> Sample:
    """Server memory per held connection."""
    before = side.memory()
    script = str(ROOT / "tools/bench/idle_client.py")
    client = side.client.start(sys.executable, script, ADDRESS, ECHO, str(setting.idle), stdin=subprocess.PIPE)
    assert client.stdin is not None
    assert client.stdout is not None
    opened = client.stdout.readline()
    each = (side.memory() - before) / setting.idle
    client.stdin.write("\n")
    client.stdin.flush()
    echoed = client.stdout.readline()
    stop(client)
    if opened != f"opened {setting.idle}\n" or echoed != f"echoed {setting.idle}\n":
        return {"error": f"{opened.strip()}, {echoed.strip()}"}
    return {"bytes_each": each}


@dataclass(frozen=True)
class Metric:
    """How to measure, and which number of the sample counts."""

    measure: Callable[[Side, Setting], Sample]
    key: str
    unit: str
    once: bool = False


METRICS = {
    "bulk_rx": Metric(bulk_rx, "gbps", "Gbit/s"),
    "bulk_tx": Metric(bulk_tx, "gbps", "Gbit/s"),
    "tcp_rr": Metric(tcp_rr, "p50_us", "µs p50"),
    "udp_rr": Metric(udp_rr, "p50_us", "µs p50"),
    "crr": Metric(crr, "per_second", "conn/s"),
    "crr32": Metric(crr32, "per_second", "conn/s"),
    "http": Metric(http, "per_second", "req/s"),
    "ping": Metric(ping, "average_us", "µs avg"),
    "idle": Metric(idle, "bytes_each", "bytes", once=True),
}


def prepared(stack: ExitStack) -> Namespace:
    """A namespace with room for many connections."""
    namespace = stack.enter_context(Namespace())
    namespace.sysctl(*SYSCTLS)
    return namespace


def start_ours(stack: ExitStack, folder: Path) -> Side:
    """Our server on a TAP device that the namespace has ready for it."""
    namespace = prepared(stack)
    namespace.ip("tuntap add dev tap0 mode tap")
    namespace.ip(f"address add {CLIENT}/{PREFIX} dev tap0")
    namespace.ip("link set tap0 txqueuelen 10000 up")
    return start("tapstack", namespace, namespace, folder, "tools.bench.server", "tap0", f"{ADDRESS}/{PREFIX}")


def start_kernel(stack: ExitStack, folder: Path, congestion: str) -> Side:
    """Serve by uvloop on kernel sockets, one veth pair away."""
    client, server = prepared(stack), prepared(stack)
    client.ip(f"link add veth0 type veth peer name veth1 netns {server.name}")
    for namespace, device, address in ((client, "veth0", CLIENT), (server, "veth1", ADDRESS)):
        namespace.ip(f"address add {address}/{PREFIX} dev {device}")
        namespace.ip(f"link set {device} up")
    return start("kernel", client, server, folder, "tools.bench.kernel_server", ADDRESS, congestion)


def start(name: str, client: Namespace, server: Namespace, folder: Path, module: str, *arguments: str) -> Side:
    """A server, ready when its echo service answers."""
    log = folder / f"bench-{name}.log"
    log.write_text("")
    process = server.start("taskset", "-c", SERVER_CORE, sys.executable, "-m", module, *arguments, log=log)
    side = Side(name, client, process, log)

    def ready() -> bool:
        if process.poll() is not None:
            raise CommandFailed(f"the {name} server ended:\n{log.read_text()[-2000:]}")
        return client.run("nc", "-z", "-w", "1", ADDRESS, ECHO, check=False).returncode == 0

    wait_until(ready, f"the {name} server answers; see {log}")
    return side


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


@dataclass
class Results:
    """Samples by metric and side."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)

    def add(self, metric: str, side: str, sample: Sample) -> None:
        """Note one."""
        self.samples.setdefault(metric, {}).setdefault(side, []).append(sample)

    def values(self, metric: str, side: str) -> list[float]:
        """The numbers that count."""
        key = METRICS[metric].key
        return [sample[key] for sample in self.samples[metric].get(side, []) if key in sample and "error" not in sample]

    def errors(self) -> list[str]:
        """One line for each sample that failed."""
        return [
            f"{metric} {side}: {sample['error']}"
            for metric, sides in self.samples.items()
            for side, samples in sides.items()
            for sample in samples
            if "error" in sample
        ]

    def table(self) -> Table:
        """Median and spread of both, and ours as a multiple of the kernel's."""
        table = Table()
        for heading in ("metric", "unit", "tapstack", "spread", "kernel", "spread", "ratio"):
            table.add_column(heading, no_wrap=True)
        for metric in self.samples:
            row, medians = [metric, METRICS[metric].unit], []
            for side in ("tapstack", "kernel"):
                values = self.values(metric, side)
                if values:
                    medians.append(statistics.median(values))
                    row += [figure(medians[-1]), f"{figure(min(values))} to {figure(max(values))}"]
                else:
                    row += ["-", "-"]
            table.add_row(*row, f"{medians[0] / medians[1]:.2f}" if len(medians) == 2 and medians[1] else "-")
        return table


def figure(value: float) -> str:
    """Three digits are what such a measurement can mean."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


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
    with ExitStack() as stack, Progress(*columns, console=console, transient=True) as progress:
        sides = [start_ours(stack, folder), start_kernel(stack, folder, setting.congestion)]
        total = 2 * sum(1 if METRICS[name].once else runs for name in names)
        bar = progress.add_task("", total=total)
        for name in names:
            for _ in range(1 if METRICS[name].once else runs):
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
    console.width = max(console.width, 100)  # the table as it is, also into a file
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
    for line in results.errors():
        console.print(f"failed: {line}", markup=False)
    return 1 if results.errors() else 0


if __name__ == "__main__":
    sys.exit(main())
