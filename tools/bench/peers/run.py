"""`make bench-peers`: our stack beside other stacks of user space, on the same TAP device with the same client.

Every row is measured several times, all of them turn by turn, so that a change of the machine's mood meets all.  The
server is pinned to core 1, the client to core 0, and whoever is not measured stands still.  out/peers/ has the
samples (JSON), the table (Markdown) and the chart (SVG and PNG) of each run.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console

from tools.bench import run as bench
from tools.bench.arguments import old_file, seconds, whole
from tools.bench.peers import pages
from tools.bench.peers.build import BUILDERS, Peer, build
from tools.bench.peers.ground import Contestant
from tools.bench.peers.report import Findings, Row, draw
from tools.bench.results import figure
from tools.bench.rows import METRICS
from tools.bench.run import Limits
from tools.bench.sides import Sample, Setting
from tools.netns import ROOT, CommandFailed, why_none

FOLDER = ROOT / "out" / "peers"
PER_MILLE = 10
ROWS = {
    row.name: row
    for row in (
        Row("bulk_rx", "gbps", "Gbit/s", "receives from one connection"),
        Row("bulk_tx", "gbps", "Gbit/s", "sends to one connection"),
        Row("loss_rx", "gbps", "Gbit/s", "receives, 1 % of frames lost"),
        Row("loss_tx", "gbps", "Gbit/s", "sends, 1 % of frames lost"),
        Row("tcp_rr", "p50_us", "µs p50", "1 byte to and fro, TCP"),
        Row("udp_rr", "p50_us", "µs p50", "64 bytes to and fro, UDP"),
        Row("udp64", "per_second", "echoes/s", "the same, 64 on their way"),
        Row("crr", "per_second", "conn/s", "connect, request, close, one at a time"),
        Row("crr32", "per_second", "conn/s", "the same, 32 at a time"),
        Row("http", "per_second", "req/s", "HTTP requests on 32 connections"),
    )
}
LOSSY = {"loss_rx": "bulk_rx", "loss_tx": "bulk_tx"}  # measured as these


def measure(contestant: Contestant, row: str, setting: Setting, limits: Limits | None = None) -> list[Sample]:
    """One sample of one row, behind those that others spoilt; a server that has died is started anew."""
    metric = METRICS[LOSSY.get(row, row)]
    limits = limits or Limits()
    try:
        if not contestant.is_alive():
            contestant.begin()
        contestant.go_on()
        if row not in LOSSY:
            return list(bench.measure_quietly(contestant.side, metric, setting, limits))
        with contestant.losing(PER_MILLE, towards_server=row == "loss_rx") as dropped:
            samples = list(bench.measure_quietly(contestant.side, metric, setting, limits))
            return [*samples[:-1], samples[-1] | {"dropped": dropped()}]
    except (CommandFailed, TimeoutError) as error:
        return [{"error": str(error)[-500:]}]
    finally:
        if contestant.is_alive():
            contestant.pause()


def compare(
    peers: Iterable[Peer], rows: list[str], runs: int, setting: Setting, limits: Limits, console: Console
) -> dict[str, dict[str, list[Sample]]]:
    """All samples by row and peer."""
    samples: dict[str, dict[str, list[Sample]]] = {row: {peer.name: [] for peer in peers} for row in rows}
    for lossy in (False, True):
        group = [row for row in rows if (row in LOSSY) == lossy]
        if not group:
            continue
        with ExitStack() as stack:
            contestants = [Contestant(peer, FOLDER, lossy=lossy) for peer in peers]
            for contestant in contestants:
                stack.callback(contestant.end)
                console.print(f"starting {contestant.peer.name}", markup=False)
                contestant.begin()
                contestant.pause()
            for row in group:
                for number in range(runs):
                    with bench.exclusive():  # not for longer, so that others get their turn
                        for contestant in contestants:
                            name = contestant.peer.name
                            for sample in measure(contestant, row, setting, limits):
                                samples[row][name].append(sample)
                                text = sample.get("error") or figure(sample[ROWS[row].key])
                                text += f" (spoilt: {sample['spoilt']})" if "spoilt" in sample else ""
                                console.print(f"{row} {number + 1}/{runs} {name}: {text}", markup=False)
    return samples


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", choices=ROWS, help="this row (may be repeated)")
    parser.add_argument("--peer", action="append", choices=BUILDERS, help="this stack (may be repeated)")
    parser.add_argument("--runs", type=whole(1000), default=5, help="of each stack")
    parser.add_argument("--seconds", type=seconds, default=3.0, help="length of a stream")
    parser.add_argument("--rounds", type=whole(10_000_000), default=10_000, help="of ping-pong")
    parser.add_argument("--retries", type=whole(100, 0), default=3, help="of a sample that others spoilt")
    parser.add_argument("--build", action="store_true", help="build the peers, and no more")
    parser.add_argument("--report", type=old_file, metavar="JSON", help="table and chart of a run before")
    parser.add_argument("--write", action="store_true", help="put them into the README and docs/benchmarks-peers.md")
    parser.add_argument("--note", default="", help="what readers of the table should know, like what else ran")
    return parser.parse_args()


def write(content: dict[str, Any], stem: Path, console: Console) -> Findings:
    """Table and chart of a run."""
    findings = Findings(ROWS, content["samples"])
    text = pages.full(findings, content)
    written = [stem.with_suffix(ending) for ending in (".md", ".svg", ".png")]
    written[0].write_text(text, encoding="utf-8")
    draw(findings, pages.heading(content), *written[1:])
    console.print(text, markup=False, soft_wrap=True)
    for aim in findings.aims():
        console.print(str(aim), markup=False)
    for line in findings.errors():
        console.print(f"failed: {line}", markup=False)
    console.print("written:", ", ".join(str(path.relative_to(ROOT)) for path in written))
    return findings


def main() -> int:
    """Command line."""
    options, console = arguments(), Console(width=200)
    if options.report:
        content = json.loads(options.report.read_text(encoding="utf-8"))
        content["note"] = options.note or content.get("note", "")
        findings = write(content, options.report.resolve().with_suffix(""), console)
        if options.write:
            pages.publish(findings, content)
        return 0
    peers, missing = build(options.peer or list(BUILDERS), FOLDER)
    for peer in peers:
        console.print(f"{peer.name}: {peer.version}", markup=False)
    for name, why in missing.items():
        console.print(f"{name} is left out: {why}", markup=False)
    if options.build:
        return 0
    if why := why_none():
        console.print(why, markup=False)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was made is removed
    program = FOLDER / "netbench"
    subprocess.run(["cc", "-O2", "-Wall", "-o", str(program), str(ROOT / "tools/bench/netbench.c")], check=True)
    setting = Setting(str(program), bench.allowed_congestion(), options.seconds, options.rounds, idle=0)
    content = bench.context(setting)
    content |= {"versions": {peer.name: peer.version for peer in peers}, "missing": missing, "note": options.note}
    content["samples"] = compare(
        peers, options.only or list(ROWS), options.runs, setting, Limits(retries=options.retries), console
    )
    stem = FOLDER / f"peers-{time.strftime('%Y%m%d-%H%M%S')}"
    stem.with_suffix(".json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    findings = write(content, stem, console)
    if options.write:
        pages.publish(findings, content)
    return 1 if any(findings.errors()) else 0


if __name__ == "__main__":
    sys.exit(main())
