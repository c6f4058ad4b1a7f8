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
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from stack import _form
from tools.bench import blocking, dns, nfs, rpc, rpc_xdr, witnesses
from tools.bench.sides import (
    ADDRESS,
    ECHO,
    KERNEL,
    OURS,
    SERVER_CORE,
    Sample,
    Setting,
    Side,
    connect_close,
    loopback,
    services,
    uvicorns,
    wrk,
)
from tools.netns import ROOT, CommandFailed, stop

SINK, SOURCE = "5001", "5002"
SIM = "sim"  # the one metric without a kernel's number beside it
OUT = ROOT / "out"


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
    runs: int | None = None  # however many are asked for
    sides: Callable[[ExitStack, Path, Setting], list[Side]] = services
    peer: str = KERNEL


METRICS = {
    "bulk_rx": Metric(bulk_rx, "gbps", "Gbit/s"),
    "bulk_tx": Metric(bulk_tx, "gbps", "Gbit/s"),
    "tcp_rr": Metric(tcp_rr, "p50_us", "µs p50"),
    "udp_rr": Metric(udp_rr, "p50_us", "µs p50"),
    "crr": Metric(crr, "per_second", "conn/s"),
    "crr32": Metric(crr32, "per_second", "conn/s"),
    "http": Metric(wrk, "per_second", "req/s"),
    "ping": Metric(ping, "average_us", "µs avg"),
    "idle": Metric(idle, "bytes_each", "bytes", runs=1),
    "uvicorn": Metric(wrk, "per_second", "req/s", sides=uvicorns),
    "connect_close": Metric(connect_close, "us_each", "µs", runs=10, sides=loopback),
}
METRICS["blocking_bulk_in"] = Metric(bulk_rx, "gbps", "Gbit/s", sides=blocking.sides)
METRICS["blocking_bulk_out"] = Metric(bulk_tx, "gbps", "Gbit/s", sides=blocking.sides)
METRICS["blocking_rtt"] = Metric(tcp_rr, "p50_us", "µs p50", sides=blocking.sides)
for name, bulk in (("iperf3_in", witnesses.iperf3_in), ("iperf3_out", witnesses.iperf3_out), ("curl", witnesses.curl)):
    METRICS[name] = Metric(bulk, "gbps", "Gbit/s", sides=witnesses.sides)
for name, datagrams in (("iperf3_udp_in", witnesses.iperf3_udp_in), ("iperf3_udp_out", witnesses.iperf3_udp_out)):
    METRICS[name] = Metric(datagrams, "per_second", "datagrams/s", sides=witnesses.sides)
METRICS["dns_server"] = Metric(dns.dnsperf, "per_second", "q/s", sides=dns.serving, peer="echo")
for peer in ("dnspython", "aiodns", "bare"):  # on kernel sockets all of them; 32 at a time, then one
    sides = dns.beside(peer)
    METRICS[f"dns_{peer}"] = Metric(dns.many, "per_second", "q/s", sides=sides, peer=peer)
    METRICS[f"dns_{peer}_1"] = Metric(dns.one, "per_second", "q/s", sides=sides, peer=peer)
for peer in ("echo", "bare"):  # all of them on our stack: to and fro on one port; a fresh port for each question
    sides = dns.on_our_stack(peer)
    METRICS[f"dns_stack_{peer}"] = Metric(dns.many_on_our_stack, "per_second", "q/s", sides=sides, peer=peer)
    METRICS[f"dns_stack_{peer}_1"] = Metric(dns.one_on_our_stack, "per_second", "q/s", sides=sides, peer=peer)
for case in ("cache", "answer", "referral"):
    METRICS[f"dns_{case}"] = Metric(dns.micro(case), "us_each", "µs", sides=dns.beside("dnspython"), peer="dnspython")

for proto in ("udp", "tcp"):
    many, one = rpc.null(proto, rpc.AT_A_TIME), rpc.null(proto, 1)
    METRICS[f"rpc_null_{proto}"] = Metric(many, "per_second", "calls/s", sides=rpc.clients, peer=rpc.BARE)
    METRICS[f"rpc_null_{proto}_1"] = Metric(one, "per_second", "calls/s", sides=rpc.clients, peer=rpc.BARE)
for proto in ("udp", "tcp"):
    many, one = rpc.null(proto, rpc.AT_A_TIME, tap=True), rpc.null(proto, 1, tap=True)
    METRICS[f"rpc_stack_{proto}"] = Metric(many, "per_second", "calls/s", sides=rpc.clients_on_our_stack, peer=rpc.BARE)
    METRICS[f"rpc_stack_{proto}_1"] = Metric(
        one, "per_second", "calls/s", sides=rpc.clients_on_our_stack, peer=rpc.BARE
    )
for name, at_a_time in (("rpc_grpcio", rpc.AT_A_TIME), ("rpc_grpcio_1", 1)):
    calls = rpc.null("tcp", at_a_time, server="")
    METRICS[name] = Metric(calls, "per_second", "calls/s", sides=rpc.systems, peer=rpc.GRPCIO)
sides = rpc.servers(rpc.BARE)  # a C client's calls from here on
for proto in ("udp", "tcp"):
    METRICS[f"rpc_server_{proto}"] = Metric(rpc.load(proto), "per_second", "calls/s", sides=sides, peer=rpc.BARE)
sides = rpc.servers(rpc.UNCACHED)
METRICS["rpc_cache"] = Metric(rpc.load("udp", rpc.ECHOED), "per_second", "calls/s", sides=sides, peer=rpc.UNCACHED)
for proto in ("udp", "tcp"):
    calls = rpc.load(proto, address=ADDRESS)
    sides = rpc.servers_on_our_stack
    METRICS[f"rpc_stack_server_{proto}"] = Metric(calls, "per_second", "calls/s", sides=sides, peer=rpc.BARE)

for case in rpc_xdr.CASES:
    sides = rpc_xdr.sides
    METRICS[f"rpc_xdr_{case}"] = Metric(rpc_xdr.micro(case), "us_each", "µs", sides=sides, peer=rpc_xdr.THEIRS)

for what in (nfs.FILE, nfs.MEMORY):
    METRICS[f"nfs_{what}"] = Metric(nfs.measure, "mb_per_second", "MB/s", sides=nfs.sides(what), peer=what)


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
        """Median and spread of both, and ours as a multiple of the peer's."""
        table = Table()
        for heading in ("metric", "unit", "tapstack", "spread", "peer", "", "spread", "ratio"):
            table.add_column(heading, no_wrap=True)
        for metric in self.samples:
            row, medians = [metric, METRICS[metric].unit], []
            for side in (OURS, METRICS[metric].peer):
                values = self.values(metric, side)
                if side != OURS:
                    row.append(side)
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
