"""`make goodput`: what arrives over a bad network, our sender against the kernel's.

    client kernel -- TAP -- relay (loss, delay, rate, queue) -- TAP -- kernel server
    client kernel -- TAP -- relay (the same, same seeds)     -- TAP -- bridge -- TAP -- our server

One relay process stands in both paths (tools/bench/relay.c), offloads are off on all TAP devices, both sides use the
same congestion control and a minimum RTO of 200 ms.  Runs of the two are interleaved; every pair meets the same
sequence of losses.  The server has a core, client and relay have the other; neither core is let sleep.  A run counts
only if the relay used at most 60 % of its core and other programs at most 10 % of one.
"""

import argparse
import functools
import hashlib
import itertools
import json
import os
import platform
import re
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console

from stack import _form
from stack.config import TcpConfig
from tools.bench.goodput_results import SUBJECTS, Cell, Pair, Results, Sample, mbit_s, table
from tools.bench.rows import SINK, SOURCE
from tools.bench.run import OUT, exclusive
from tools.bench.sides import ADDRESS, CLIENT, CLIENT_CORE, ECHO, PREFIX, SERVER_CORE, awake
from tools.netns import ROOT, CommandFailed, Namespace, stop, wait_until, why_none

RATE = 100_000_000 // 8  # bytes per second
PACKET = 1514
LOSSES = (0.0, 0.001, 0.01, 0.05)
RTTS_MS = (1, 20, 100)
SEEDS = range(1, 8)
CONTROLS = {"cubic": ("cubic", "cubic"), "reno": ("newreno", "reno")}  # (ours, the kernel's)
ATTEMPTS = 2  # at a run, before the next has its turn
PASSES = 3  # over what is missing
OVERHEAD_S = 0.7  # of a run: wires made and neighbours found
BETWEEN_S = 20.0  # the most that a run may last beyond its time


def grid() -> list[Cell]:
    """The full grid with CUBIC, the corners with Reno and with the kernel sending to us."""
    corners = list(itertools.product((LOSSES[0], LOSSES[-1]), (RTTS_MS[0], RTTS_MS[-1])))
    return [
        *(Cell("cubic", "far", loss, rtt) for loss, rtt in itertools.product(LOSSES, RTTS_MS)),
        *(Cell("reno", "far", loss, rtt) for loss, rtt in corners),
        *(Cell("cubic", "near", loss, rtt) for loss, rtt in corners),
    ]


def wire(cell: Cell, seed: int) -> list[str]:
    """What the relay is told of a link: a seed for each direction, loss, delay, rate, queue."""
    seeds = Random(seed)
    each = (seeds.getrandbits(64), seeds.getrandbits(64))
    queue = max(RATE * cell.rtt_ms // 1000, 32 * PACKET)
    return [str(value) for value in (*each, cell.loss, cell.rtt_ms * 500, RATE, queue)]


def foreign_cpu_s(me: int) -> float:
    """Processor time that programs used so far which process `me` did not start, and that other machines took away."""
    per_second = os.sysconf("SC_CLK_TCK")
    stolen = int(Path("/proc/stat").read_text(encoding="ascii").split(maxsplit=9)[8])
    used = 0
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        except OSError:
            continue  # it has ended; its time is its parent's now
        if me not in {int(path.parent.name), int(fields[1])} and fields[1] != "2":  # 2: threads of the kernel
            used += sum(int(field) for field in fields[11:15])
    return (used + stolen) / per_second


@functools.cache
def first() -> tuple[str, ...]:
    """Before the command of the client: it shares the relay's core and goes first, where that may be asked for.

    Its answer is there then when the relay looks, which else would be woken for it: a third of its processor time.
    """
    command = ("chrt", "--fifo", "2")  # the relay has 1
    return command if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0 else ()


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
        ends = [self.near.name, "relay", self.far.name, "relay"]
        command = ["taskset", "-c", CLIENT_CORE, str(OUT / "relay"), *ends, *wire(cell, seed), str(seconds)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise CommandFailed("the relay did not start")
        return process

    def reachable(self) -> bool:
        """Whether the server answers over the relay."""
        return self.near.run("nc", "-z", "-w", "1", ADDRESS, ECHO, check=False).returncode == 0

    def measure(self, cell: Cell, seed: int, seconds: float) -> Sample:
        """One run."""
        # a wire without loss first: neighbours are resolved, the server is up, what is left of the run before ends
        relay = self.relay(Cell(cell.congestion, cell.sender, 0.0, 1), seed, BETWEEN_S)
        try:
            wait_until(self.reachable, f"the {self.name} server answers")
        finally:
            stop(relay, signal.SIGKILL)
        relay = self.relay(cell, seed, seconds + BETWEEN_S)
        try:
            mode, port = ("receive", SOURCE) if cell.sender == "far" else ("send", SINK)
            program = str(OUT / "netbench")
            command = [*first(), "taskset", "-c", CLIENT_CORE, program, "-C", CONTROLS[cell.congestion][1], mode]
            out = self.near.run(*command, ADDRESS, port, str(seconds), timeout=seconds + BETWEEN_S).stdout
            sample: Sample = json.loads(out)
            relay.send_signal(signal.SIGTERM)
            assert relay.stdout is not None
            sample["relay"] = json.loads(relay.stdout.read())
        except (CommandFailed, ValueError) as error:
            return {"error": str(error)[-500:]}
        finally:
            stop(relay)
        return sample

    def sample(self, cell: Cell, seed: int, seconds: float) -> Sample:
        """One run, with what identifies it and what happened beside it."""
        began, load, foreign = time.monotonic(), os.getloadavg()[0], foreign_cpu_s(os.getpid())
        result = self.measure(cell, seed, seconds)
        others = (foreign_cpu_s(os.getpid()) - foreign) / (time.monotonic() - began)
        server = CONTROLS[cell.congestion][0 if self.name == "tapstack" else 1]
        about = {"cell": asdict(cell), "seed": seed, "subject": self.name, "server_congestion": server, "load": load}
        return about | {"others": round(max(others, 0.0), 4), "took_s": round(time.monotonic() - began, 2)} | result


class Progress:
    """A line for each run, with the time that is left."""

    __slots__ = ("_began", "_console", "_done", "_total")

    def __init__(self, total: int, console: Console) -> None:
        self._began = time.monotonic()
        self._console = console
        self._done = 0
        self._total = total

    def tell(self, sample: Sample, why: str, *, is_last_attempt: bool) -> None:
        """A run has ended."""
        self._done += not why or is_last_attempt
        each = (time.monotonic() - self._began) / max(self._done, 1)
        left = each * (self._total - self._done) / 60
        cell = Cell(**sample["cell"])
        what = f"{cell.congestion} {cell.sender} {cell.loss:.1%} {cell.rtt_ms} ms, seed {sample['seed']}"
        relay = sample.get("relay", {"cpu_share": 0, "error_p99_us": 0})
        figures = (
            f"{0 if 'error' in sample else mbit_s(sample):6.2f} Mbit/s, relay {relay['cpu_share']:.0%} and "
            f"{relay['error_p99_us']} µs, others {sample['others']:.0%}"
        )
        outcome = f" REJECTED: {why}" if why else ""
        line = f"[{self._done:3}/{self._total}, {left:.0f} min left] {what}, {sample['subject']:8} {figures}{outcome}"
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def measure(pairs: list[Pair], results: Results, seconds: float, console: Console) -> None:
    """All these pairs, one run after the other; who is first changes with the seed."""
    progress = Progress(len(pairs) * len(SUBJECTS), console)
    for congestion in dict.fromkeys(cell.congestion for cell, _ in pairs):
        with ExitStack() as stack:
            subjects = [Subject(stack, name, congestion, OUT / f"goodput-{name}.log") for name in SUBJECTS]
            for pair in pairs:
                if pair[0].congestion != congestion:
                    continue
                results.begin(pair)
                for subject in subjects if pair[1] % 2 else reversed(subjects):
                    for attempt in range(1, ATTEMPTS + 1):
                        sample = subject.sample(*pair, seconds)
                        why = results.add(sample)
                        progress.tell(sample, why, is_last_attempt=attempt == ATTEMPTS)
                        if not why:
                            break


def setting(seconds: float) -> dict[str, Any]:
    """What must be equal for runs to be of one measurement."""
    digest = hashlib.sha256()
    for folder, pattern in (("stack", "*.py"), ("native", "*.[ch]"), ("tools/bench", "*.[cp]*")):
        for path in sorted((ROOT / folder).rglob(pattern)):
            if path.suffix in {".py", ".c", ".h"}:
                digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return {
        "seconds": seconds,
        "source": digest.hexdigest()[:16],
        "form": _form.running(),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def session() -> dict[str, Any]:
    """The state of the machine as the measurement starts, or goes on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    kernel_rto = Path("/proc/sys/net/ipv4/tcp_rto_min_us")  # Linux 6.12; before: 200 ms, fixed
    return {
        "started": time.strftime("%Y%m%d-%H%M%S"),
        "machine": f"{os.cpu_count()} x {model[1] if model else platform.machine()}",
        "load": os.getloadavg(),
        "rto_min_us": {
            "tapstack": TcpConfig().rto_min_us,
            "kernel": int(kernel_rto.read_text(encoding="ascii")) if kernel_rto.exists() else 200_000,
        },
        "congestion": {name: dict(zip(SUBJECTS, pair, strict=True)) for name, pair in CONTROLS.items()},
    }


def complete(path: Path, pairs: list[Pair], options: argparse.Namespace, console: Console) -> Results:
    """Measure what is missing."""
    results = Results(path, setting(options.seconds), session(), fresh=options.fresh)
    for _ in range(PASSES):
        missing = results.missing(pairs)
        if not missing:
            break
        runs = len(missing) * len(SUBJECTS)
        minutes = runs * (options.seconds + OVERHEAD_S) / 60
        there = (len(pairs) - len(missing)) * len(SUBJECTS)
        console.print(f"{runs} runs of {options.seconds:g} s: {minutes:.0f} min ({there} are there already)")
        measure(missing, results, options.seconds, console)
    return results


def page(results: Results, cells: list[Cell]) -> str:
    """docs/goodput.md."""
    about = textwrap.dedent(str(__doc__).partition("\n\n")[2]).strip("\n")
    seeds = len({sample["seed"] for sample in results.runs})
    state, seconds = results.sessions[-1], results.setting["seconds"]
    return (
        "# Goodput over a bad network\n\n<!-- generated by `make goodput` -->\n\n"
        f"{seconds:g} s a run, {RATE * 8 // 1_000_000} Mbit/s, a queue of one bandwidth-delay product (at least 32 "
        f"packets), medians of {seeds} seeds; our TCP core {results.setting['form']}. Aim: at least 0.9 of the "
        "kernel's goodput up to 1 % loss, at least 0.8 at 5 %.\n\n"
        f"{state['machine']}, Linux {results.setting['kernel']}, load {state['load'][0]:.2f} at the start, "
        f"{len(results.rejected)} runs rejected and repeated. CPU and timing of the relay are the worst of a cell: its "
        "share of a core, and the 99th percentile of the time by which a frame arrived too late or too early.\n\n"
        f"```\n{about}\n```\n\n{table(results.rows(cells))}\n"
    )


def prepare() -> None:
    """Compile the client and the wire."""
    OUT.mkdir(exist_ok=True)
    for name in ("netbench", "relay"):
        command = ["cc", "-O2", "-Wall", "-o", str(OUT / name), str(ROOT / f"tools/bench/{name}.c")]
        subprocess.run(command, check=True)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--seeds", type=int, default=len(SEEDS))
    parser.add_argument("--loss", type=float, action="append", help="only this loss, 0 to 1 (may be repeated)")
    parser.add_argument("--rtt", type=int, action="append", help="only this RTT in ms (may be repeated)")
    parser.add_argument("--congestion", choices=CONTROLS, help="only this one")
    parser.add_argument("--sender", choices=["far", "near"], help="far: we send; near: we receive")
    parser.add_argument("--fresh", action="store_true", help="begin anew, do not go on with what was interrupted")
    parser.add_argument("--write", action="store_true", help="write docs/goodput.md")
    return parser.parse_args()


def main() -> int:
    """Command line."""
    options = arguments()
    console = Console()
    if why := why_none():
        console.print(why, markup=False)
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was made is removed
    prepare()
    cells = [
        cell
        for cell in grid()
        if (not options.loss or cell.loss in options.loss)
        and (not options.rtt or cell.rtt_ms in options.rtt)
        and options.congestion in {None, cell.congestion}
        and options.sender in {None, cell.sender}
    ]
    pairs = list(itertools.product(cells, list(SEEDS)[: options.seeds]))
    path = OUT / f"goodput-{options.seconds:g}s.json"
    try:
        with exclusive(), awake():
            results = complete(path, pairs, options, console)
    except KeyboardInterrupt:
        console.print("interrupted; the same command goes on where it was")
        return 130
    rows, missing = list(results.rows(cells)), results.missing(pairs)
    short = sum(row.is_short() for row in rows)
    print(table(rows))  # and what follows: not wrapped, whatever the terminal
    print(f"{short} cells below their aim, {len(missing)} of {len(pairs)} pairs missing")
    print(f"our TCP core {results.setting['form']}; runs: {path.relative_to(ROOT)}")
    if missing:
        print("the same command measures those that are missing")
    elif options.write:
        (ROOT / "docs/goodput.md").write_text(page(results, cells))
    return 1 if short or missing else 0


if __name__ == "__main__":
    sys.exit(main())
