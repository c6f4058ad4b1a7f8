"""`make soak`: the daemon under mixed load for minutes or hours, and whether it is afterwards what it was before.

Theory of operation.  The daemon runs in a namespace of its own; a second namespace is routed to it over a link that
loses 1 % both ways.  A round runs all loads of both places at once, then half-open connections and damaged frames,
then a pause, in which a sample is taken.  After the last round nothing is sent until the timeouts have emptied
the tables (2 MSL and the like are shortened, the idle limit of HTTP is not).  `judge` compares the samples; the
exit status is 1 when it finds anything.
"""

import argparse
import contextlib
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from stack.cli import client
from stack.errors import StackError
from tools.netns import CommandFailed, Namespace, stop, wait_until
from tools.soak import judge, load, proxied
from tools.soak.attached import attached
from tools.soak.blocking import blocking
from tools.soak.judge import Sample

LOAD_S = 8.0  # of a round, before its half-open connections and its junk
PAUSE_S = 1.5
SAMPLE_S = 2.0
REST_S = 120.0  # the longest timeouts are the 60 s of idle HTTP connections and of reassembly
PLAIN_WIDTH = 120  # columns, where there is no terminal
LOSS_PER_MILLE = 10
CONFIG = """
[tcp]
msl_us = 2_000_000
syn_retries_us = 10_000_000
fin_wait_2_us = 5_000_000
user_timeout_us = 30_000_000
keepalive_idle_us = 20_000_000
keepalive_interval_us = 5_000_000
keepalive_probes = 3
"""


class Subject:
    """The daemon that is tried."""

    __slots__ = ("_control", "_log", "most", "process")

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        self._control, self._log = folder / "control", folder / "daemon.log"
        (folder / "daemon.toml").write_text(CONFIG + proxied.CONFIG)
        self.most: Counter[str] = Counter()  # the highest figures of all samples
        self.process = namespace.start(
            *(sys.executable, "-m", "stack.cli", "up", "--dev", load.DEVICE, "--control", str(self._control)),
            *("--config", str(folder / "daemon.toml")),
            log=self._log,
        )

        def held() -> bool:
            if not self.alive():
                raise CommandFailed(f"tapstack up ended:\n{self.log()}")
            with contextlib.suppress(StackError):
                return bool(self.status()["addresses"][load.STACK] == "held")
            return False

        wait_until(held, "the stack holds its address")

    def alive(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def log(self) -> str:
        """The end of what it said."""
        return self._log.read_text()[-3000:]

    def status(self) -> dict[str, Any]:
        """The snapshot.  Raises StackError."""
        return client.status(load.DEVICE, str(self._control))

    def sample(self) -> Sample:
        """Everything measured now.  Raises StackError, OSError when it is gone."""
        tables = judge.sizes(self.status())
        own = Path(f"/proc/{self.process.pid}")
        lines = (own / "status").read_text().splitlines()
        rss = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:"))
        sample = Sample(rss, len(list((own / "fd").iterdir())), tables)
        for name, value in figures(sample).items():
            self.most[name] = max(self.most[name], value)
        return sample

    def problems(self) -> list[str]:
        """What speaks against it besides the samples."""
        text = self._log.read_text()
        found = [f"left: {one}" for one in self.status()["connections"]] if self.alive() else []
        found += [] if self.alive() else [f"the daemon died:\n{self.log()}"]
        return found + ([f"the daemon logged an exception:\n{self.log()}"] if "Traceback" in text else [])


def figures(sample: Sample) -> dict[str, int]:
    """A sample as rows of the table."""
    return {"resident KiB": sample.rss >> 10, "descriptors": sample.descriptors, **sample.tables}


def route(near: Namespace, far: Namespace) -> None:
    """Join `far` to the daemon through `near` by a link that carries single frames and loses some both ways."""
    near.ip(f"link add near type veth peer name far netns {far.name}")
    near.ip("address add 198.18.1.1/24 dev near")
    near.ip("link set near up")
    far.ip("address add 198.18.1.2/24 dev far")
    far.ip("link set far up")
    far.ip("route add default via 198.18.1.1")
    near.sysctl("net.ipv4.ip_forward=1")
    far.sysctl("net.ipv4.ipfrag_high_thresh=268435456")  # incomplete datagrams crowd out no sound one
    for namespace, device in ((near, "near"), (far, "far")):
        namespace.run("ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off")
        namespace.drop(device, LOSS_PER_MILLE)


@contextlib.contextmanager
def sampled(subject: Subject, show: Callable[[Sample], None]) -> Iterator[None]:
    """Samples every few seconds meanwhile."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(SAMPLE_S):
            with contextlib.suppress(StackError, OSError):
                show(subject.sample())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


class Run:
    """One soak run."""

    __slots__ = ("after", "before", "counts", "failures", "far", "mac", "near", "resting", "rounds", "subject")

    def __init__(self, subject: Subject, near: load.Place, far: load.Place) -> None:
        self.subject, self.near, self.far = subject, near, far
        self.mac = bytes.fromhex(subject.status()["interfaces"][0]["mac"].replace(":", ""))
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self.resting: list[Sample] = []
        self.rounds = 0
        self.before = self.after = subject.sample()

    def _book(self, name: str, result: tuple[int, str]) -> None:
        self.counts[name] += result[0]
        if result[1]:
            self.failures.append(f"round {self.rounds}, {name}: {result[1]}")

    def round(self) -> None:
        """All loads once."""
        self.rounds += 1
        until = time.monotonic() + LOAD_S
        jobs = [(name, self.near, one) for name, one in load.DIRECT.items()]
        jobs += [("attached programs", self.near, attached), ("proxies", self.near, proxied.proxied)]
        jobs.append(("blocking sockets", self.near, blocking))
        jobs += [(f"{name}, lossy", self.far, one) for name, one in load.LOSSY.items()]
        with ThreadPoolExecutor(len(jobs)) as pool:
            started = [(name, pool.submit(load.attempt, partial(one, place, until))) for name, place, one in jobs]
            for name, future in started:
                self._book(name, future.result())
        self._book("half-open connections", load.attempt(partial(load.half_open, self.near, self.mac)))
        self._book("damaged frames", load.attempt(partial(load.junk, self.near, self.mac)))
        time.sleep(PAUSE_S)
        if self.subject.alive():
            self.resting.append(self.subject.sample())

    def rest(self) -> None:
        """Wait until the tables are empty, or for as long as that may take."""
        end = time.monotonic() + REST_S
        while self.subject.alive() and time.monotonic() < end:
            self.after = self.subject.sample()
            if not judge.left_behind(self.after) and self.after.descriptors <= self.before.descriptors:
                return
            time.sleep(1.0)

    def verdict(self) -> list[str]:
        """Everything that is wrong."""
        return judge.verdict(self.before, self.resting, self.after, self.failures) + self.subject.problems()


def line(run: Run, sample: Sample) -> str:
    """How it goes."""
    text = f"round {run.rounds}  {sample.rss / 2**20:.1f} MiB  {sample.descriptors} fds"
    text += "".join(f"  {sample.tables[name]} {name}" for name in ("connections", "TIME-WAIT", "neighbours"))
    return text + (f"  [red]{len(run.failures)} failed[/]" if run.failures else "")


def report(run: Run, console: Console) -> None:
    """The tables at the end."""
    done = Table("load", "times", title=f"{run.rounds} rounds")
    done.columns[1].justify = "right"
    for name, count in run.counts.items():
        done.add_row(name, f"{count:,}")
    console.print(done)
    table = Table("figure", "before", "2nd quarter", "last quarter", "most", "after", title="the daemon")
    for column in table.columns[1:]:
        column.justify = "right"
    before, after = figures(run.before), figures(run.after)
    series = {name: [figures(sample)[name] for sample in run.resting] for name in before}
    for name in before:
        enough = len(series[name]) >= judge.QUARTERS_FROM
        middle = [f"{value:,}" for value in judge.quarters(series[name])] if enough else ["", ""]
        table.add_row(name, f"{before[name]:,}", *middle, f"{run.subject.most[name]:,}", f"{after[name]:,}")
    console.print(table)
    if len(run.resting) < judge.QUARTERS_FROM:
        console.print(f"memory was not judged: {len(run.resting)} rounds, {judge.QUARTERS_FROM} are needed")


def soak(minutes: float, console: Console, folder: Path, names: contextlib.ExitStack) -> list[str]:
    """The whole run; what is wrong."""
    near, far = names.enter_context(Namespace()), names.enter_context(Namespace())
    subject = Subject(near, folder)
    names.callback(stop, subject.process)
    route(near, far)
    (folder / "far").mkdir()
    rng = random.Random(1)
    run = Run(
        subject,
        load.Place(near, folder, rng, load.SIZES[-1]),
        load.Place(far, folder / "far", rng, load.SIZES[-2]),
    )
    begun, end = time.monotonic(), time.monotonic() + minutes * 60
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        bar = progress.add_task("", total=minutes * 60)

        def show(sample: Sample) -> None:
            text = line(run, sample)
            progress.update(bar, description=text, completed=min(time.monotonic() - begun, minutes * 60))

        with sampled(subject, show):
            while subject.alive() and time.monotonic() < end:
                run.round()
                if run.resting and not console.is_terminal:
                    console.print(line(run, run.resting[-1]))
        progress.update(bar, description="waiting for the tables to empty")
        run.rest()
    report(run, console)
    found = run.verdict()
    if subject.alive() and (status := stop(subject.process)):
        found.append(f"the daemon ended with status {status}:\n{subject.log()}")
    return found


def main() -> int:
    """Run, report; 1 when anything is wrong."""
    parser = argparse.ArgumentParser(description="the daemon under mixed load, judged by what it leaves behind")
    parser.add_argument("minutes", type=float, nargs="?", default=10.0)
    minutes: float = parser.parse_args().minutes
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was made is removed
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
    with tempfile.TemporaryDirectory(prefix="tapstack-soak-") as name, contextlib.ExitStack() as names:
        folder = Path(name)
        folder.chmod(0o755)  # the daemon's user looks for its socket in it
        found = soak(minutes, console, folder, names)
    for line in found:
        console.print(f"[red]wrong[/] {line}")
    console.print("soak: " + ("FAILED" if found else "clean"))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
