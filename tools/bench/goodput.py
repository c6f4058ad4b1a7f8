"""`make goodput`: what arrives over a bad network, our sender against the kernel's.

    client kernel -- TAP -- relay (loss, delay, rate, queue) -- TAP -- kernel server
    client kernel -- TAP -- relay (the same, same seeds)     -- TAP -- bridge -- TAP -- our server

One relay process stands in both paths (tools/bench/relay.py), offloads are off on all TAP devices, both sides use the
same congestion control and a minimum RTO of 200 ms.  Runs of the two are interleaved; every pair meets the same
sequence of losses.  Raw samples go to out/goodput-*.json, the table to docs/goodput.md with --write.
"""

import argparse
import itertools
import json
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stack import _form
from tools.bench.run import ADDRESS, CLIENT, CLIENT_CORE, ECHO, OUT, PREFIX, SERVER_CORE, SINK, SOURCE, exclusive
from tools.netns import ROOT, CommandFailed, Namespace, stop, wait_until

RATE = 100_000_000 // 8  # bytes per second
PACKET = 1514
LOSSES = (0.0, 0.001, 0.01, 0.05)
RTTS_MS = (1, 20, 100)
SEEDS = range(1, 8)
SUBJECTS = ("tapstack", "kernel")
CONTROLS = {"cubic": ("cubic", "cubic"), "reno": ("newreno", "reno")}  # (ours, the kernel's)
RELAY_LIMIT = 0.6  # of a core


@dataclass(frozen=True)
class Cell:
    """One field of the table; `sender`: who is compared, the far end ("far") or the client ("near": we receive)."""

    congestion: str
    sender: str
    loss: float
    rtt_ms: int


def grid() -> list[Cell]:
    """The full grid with CUBIC, the corners with Reno and with the kernel sending to us."""
    corners = list(itertools.product((LOSSES[0], LOSSES[-1]), (RTTS_MS[0], RTTS_MS[-1])))
    return [
        *(Cell("cubic", "far", loss, rtt) for loss, rtt in itertools.product(LOSSES, RTTS_MS)),
        *(Cell("reno", "far", loss, rtt) for loss, rtt in corners),
        *(Cell("cubic", "near", loss, rtt) for loss, rtt in corners),
    ]


class Subject:
    """A server behind the relay's right TAP device."""

    def __init__(self, stack: ExitStack, name: str, congestion: str, log: Path) -> None:
        self.name = name
        self.near = stack.enter_context(Namespace())
        self.far = stack.enter_context(Namespace())
        for namespace in (self.near, self.far):
            namespace.sysctl("net.ipv4.tcp_no_metrics_save=1")
            namespace.ip("tuntap add dev relay mode tap")
            namespace.ip("link set relay txqueuelen 10000 up")
        self.near.ip(f"address add {CLIENT}/{PREFIX} dev relay")
        if name == "kernel":
            self.far.ip(f"address add {ADDRESS}/{PREFIX} dev relay")
            command = ["tools.bench.kernel_server", ADDRESS, CONTROLS[congestion][1]]
        else:
            self.far.ip("tuntap add dev ours mode tap")
            self.far.ip("link add bridge type bridge")
            for device in ("relay", "ours"):
                self.far.ip(f"link set {device} txqueuelen 10000 master bridge up")
            self.far.ip("link set bridge up")
            ours = CONTROLS[congestion][0]
            command = ["tools.bench.server", "ours", f"{ADDRESS}/{PREFIX}", "--no-offload", "--congestion", ours]
        log.write_text("")
        self.server = self.far.start("taskset", "-c", SERVER_CORE, sys.executable, "-m", *command, log=log)

    def relay(self, cell: Cell, seed: int, seconds: float) -> subprocess.Popen[str]:
        """The wire of one run, ready."""
        bdp = RATE * cell.rtt_ms // 1000
        setting = {
            "left": (self.near.name, "relay"),
            "right": (self.far.name, "relay"),
            "seed": seed,
            "loss": cell.loss,
            "delay_us": cell.rtt_ms * 500,
            "rate": RATE,
            "queue_bytes": max(bdp, 32 * PACKET),
            "seconds": seconds,
        }
        command = ["taskset", "-c", CLIENT_CORE, sys.executable, "-m", "tools.bench.relay", json.dumps(setting)]
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise CommandFailed("the relay did not start")
        return process

    def reachable(self) -> bool:
        """Whether the server answers over the relay."""
        return self.near.run("nc", "-z", "-w", "1", ADDRESS, ECHO, check=False).returncode == 0

    def measure(self, cell: Cell, seed: int, seconds: float, program: str) -> dict[str, Any]:
        """One run."""
        # a wire without loss first: neighbours are resolved, the server is up
        clean = Cell(cell.congestion, cell.sender, 0.0, 1)
        relay = self.relay(clean, seed, 20)
        try:
            wait_until(self.reachable, f"the {self.name} server answers")
        finally:
            stop(relay)
        relay = self.relay(cell, seed, seconds + 20)
        try:
            mode, port = ("receive", SOURCE) if cell.sender == "far" else ("send", SINK)
            command = ["taskset", "-c", CLIENT_CORE, program, "-C", CONTROLS[cell.congestion][1], mode]
            out = self.near.run(*command, ADDRESS, port, str(seconds), timeout=seconds + 15).stdout
            sample: dict[str, Any] = json.loads(out)
            relay.send_signal(signal.SIGTERM)
            assert relay.stdout is not None
            sample["relay"] = json.loads(relay.stdout.read())
        except (CommandFailed, ValueError) as error:
            return {"error": str(error)[-500:]}
        finally:
            stop(relay)
        return sample


def measure(cells: list[Cell], seeds: list[int], seconds: float, console: Console) -> Iterator[dict[str, Any]]:
    """All samples, subjects in turn."""
    columns = (TextColumn("{task.description:44}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    program = OUT / "netbench"
    subprocess.run(["cc", "-O2", "-Wall", "-o", str(program), str(ROOT / "tools/bench/netbench.c")], check=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        bar = progress.add_task("", total=len(cells) * len(seeds) * len(SUBJECTS))
        for congestion in dict.fromkeys(cell.congestion for cell in cells):
            with ExitStack() as stack:
                subjects = [Subject(stack, name, congestion, OUT / f"goodput-{name}.log") for name in SUBJECTS]
                for cell, seed in itertools.product([c for c in cells if c.congestion == congestion], seeds):
                    for subject in subjects:
                        what = f"{congestion} {cell.sender} {cell.loss:.1%} {cell.rtt_ms} ms, {subject.name}"
                        progress.update(bar, description=what)
                        sample = subject.measure(cell, seed, seconds, str(program))
                        progress.advance(bar)
                        yield {"cell": asdict(cell), "seed": seed, "subject": subject.name} | sample


def rows(samples: list[dict[str, Any]]) -> Iterator[tuple[Cell, dict[str, list[float]], float]]:
    """By cell: Mbit/s of each subject, and the most that the relay used."""
    for cell in dict.fromkeys(Cell(**sample["cell"]) for sample in samples):
        mine = [sample for sample in samples if sample["cell"] == asdict(cell) and "error" not in sample]
        figures = {name: [s["gbps"] * 1000 for s in mine if s["subject"] == name] for name in SUBJECTS}
        if all(figures.values()):
            yield cell, figures, max(sample["relay"]["cpu_share"] for sample in mine)


def target(cell: Cell) -> float:
    """What the ratio should be."""
    return 0.8 if cell.loss > 0.01 else 0.9


def table(samples: list[dict[str, Any]]) -> str:
    """The table in Markdown."""
    lines = [
        "| congestion | sender | loss | RTT | ours Mbit/s | spread | kernel Mbit/s | spread | ratio | relay CPU |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for cell, figures, share in rows(samples):
        ours, kernel = statistics.median(figures["tapstack"]), statistics.median(figures["kernel"])
        ratio = ours / kernel
        mark = "" if ratio >= target(cell) else " (short)"
        spreads = [f"{min(figures[name]):.1f} to {max(figures[name]):.1f}" for name in SUBJECTS]
        who = "ours, kernel" if cell.sender == "far" else "kernel to ours, kernel"
        lines.append(
            f"| {cell.congestion} | {who} | {cell.loss:.1%} | {cell.rtt_ms} ms | {ours:.1f} | {spreads[0]} | "
            f"{kernel:.1f} | {spreads[1]} | {ratio:.2f}{mark} | {share:.0%} |"
        )
    return "\n".join(lines)


def page(samples: list[dict[str, Any]], seconds: float) -> str:
    """docs/goodput.md."""
    about = str(__doc__).partition("\n\n")[2].strip()
    seeds = len({sample["seed"] for sample in samples})
    return (
        "# Goodput over a bad network\n\n<!-- generated by `make goodput` -->\n\n"
        f"{seconds:g} s a run, {RATE * 8 // 1_000_000} Mbit/s, a queue of one bandwidth-delay product (at least 32 "
        f"packets), medians of {seeds} seeds; our TCP core {_form.running()}. Aim: at least 0.9 of the kernel's "
        "goodput up to 1 % loss, at least 0.8 at 5 %.\n\n"
        f"```\n{about}\n```\n\n{table(samples)}\n"
    )


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--loss", type=float, action="append", help="only this loss, 0 to 1 (may be repeated)")
    parser.add_argument("--rtt", type=int, action="append", help="only this RTT in ms (may be repeated)")
    parser.add_argument("--congestion", choices=CONTROLS, help="only this one")
    parser.add_argument("--sender", choices=["far", "near"], help="far: we send; near: we receive")
    parser.add_argument("--write", action="store_true", help="write docs/goodput.md")
    options = parser.parse_args()
    console = Console()
    console.width = max(console.width, 130)
    if os.geteuid() != 0:
        console.print("this makes network namespaces: run it as root")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was made is removed
    OUT.mkdir(exist_ok=True)
    cells = [
        cell
        for cell in grid()
        if (not options.loss or cell.loss in options.loss)
        and (not options.rtt or cell.rtt_ms in options.rtt)
        and options.congestion in {None, cell.congestion}
        and options.sender in {None, cell.sender}
    ]
    path, samples = OUT / f"goodput-{time.strftime('%Y%m%d-%H%M%S')}.json", []
    with exclusive():
        for sample in measure(cells, list(SEEDS)[: options.seeds], options.seconds, console):
            samples.append(sample)
            path.write_text(json.dumps(samples, indent=1) + "\n")
            if "error" in sample:
                console.print(f"failed: {sample}", markup=False)
    console.print(table(samples), markup=False)
    console.print("raw samples:", path.relative_to(ROOT))
    if options.write:
        (ROOT / "docs/goodput.md").write_text(page(samples, options.seconds))
    short = [cell for cell, figures, _ in rows(samples) if _ratio(figures) < target(cell)]
    busy = [cell for cell, _, share in rows(samples) if share > RELAY_LIMIT]
    console.print(f"{len(short)} cells below their aim, {len(busy)} with a relay that was too busy")
    return 1 if short or busy or any("error" in sample for sample in samples) else 0


def _ratio(figures: dict[str, list[float]]) -> float:
    return statistics.median(figures["tapstack"]) / statistics.median(figures["kernel"])


if __name__ == "__main__":
    sys.exit(main())
