"""`tapstack demo`: the daemon and real programs against it, in a network namespace that goes away with us."""

import contextlib
import hashlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from stack import _form
from stack.cli import client
from stack.daemon.services import content
from stack.errors import StackError

DEVICE: Final = "tapstack0"
ADDRESS: Final = "198.18.0.2"
URL: Final = f"http://{ADDRESS}"
_MARK: Final = "TAPSTACK_DEMO_NETNS"
_PLAIN_WIDTH: Final = 120  # columns, where there is no terminal
_STEP_S: Final = 60.0
_START_S: Final = 20.0
_STOP_S: Final = 15.0


class Failed(Exception):
    """A step did not do what it should; the message says what it did."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to show.  `act` returns what was measured, or raises."""

    name: str
    act: Callable[[], str]


def run(size: int) -> int:
    """Everything, with `size` MiB each way; 0 when all of it went well."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # for a terminal or a pipe that is not UTF-8
    if os.environ.get(_MARK) != str(os.getpid()):
        _enter_namespace()
    with tempfile.TemporaryDirectory(prefix="tapstack-demo-") as folder:
        return _Demo(Path(folder), size << 20).run()


def _enter_namespace() -> None:
    """Become the same command in a network namespace of its own; the process id stays the same."""
    unshare = shutil.which("unshare")
    if unshare is None:
        raise StackError("the program 'unshare' is missing (Debian: util-linux)")
    options = ["--net"] if os.geteuid() == 0 else ["--user", "--map-root-user", "--net"]
    if subprocess.run([unshare, *options, "true"], capture_output=True, check=False).returncode:
        raise StackError("this machine lets only root make network namespaces: run it with sudo")
    environ = {**os.environ, _MARK: str(os.getpid())}
    os.execve(unshare, [unshare, *options, "--", sys.executable, "-m", "stack.cli", *sys.argv[1:]], environ)


class _Demo:
    def __init__(self, folder: Path, size: int) -> None:
        self.folder = folder
        folder.chmod(0o755)  # the daemon's user looks for its socket in it
        self.control = str(folder / "control")
        self.size = size
        self.sha256 = ""
        self.log = folder / "daemon.log"
        self.steps = [
            Step("ping", self._ping),
            Step("ping, 65000 bytes", self._big_ping),
            Step("arping", self._arping),
            Step("curl the page", self._page),
            Step(f"curl download, {size >> 20} MiB", self._download),
            Step(f"curl upload, {size >> 20} MiB", self._upload),
            Step("nc, echo with half close", self._nc),
            Step("UDP echo", self._udp_echo),
            Step("tapstack status", self._status),
        ]

    def run(self) -> int:
        console, rows, failed = Console(width=None if sys.stdout.isatty() else _PLAIN_WIDTH), [], 0
        begun = time.monotonic()
        progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        with progress, self._daemon():
            bar = progress.add_task("starting the daemon", total=len(self.steps))
            for step in self.steps:
                progress.update(bar, description=step.name)
                if not console.is_terminal:
                    console.print(f"  {step.name} ...")
                good, what, took = _try(step)
                failed += not good
                rows.append((step.name, "[green]ok" if good else "[red]FAILED", what, f"{took:.2f} s"))
                progress.advance(bar)
        table = Table("what", "", "measured", "took", title=f"tapstack at {ADDRESS}, the Linux kernel at the other end")
        table.columns[3].justify = "right"
        for row in rows:
            table.add_row(*row)
        console.print(table)
        took = time.monotonic() - begun
        if failed:
            console.print(f"[red]{failed} of {len(rows)} failed[/]; the daemon said:\n{self.log.read_text()[-4000:]}")
            return 1
        console.print(f"[green]all {len(rows)} went well[/] in {took:.1f} s, the TCP core {_form.running()}")
        return 0

    @contextlib.contextmanager
    def _daemon(self) -> Iterator[None]:
        _run("ip", "link", "set", "lo", "up")
        with self.log.open("wb") as log:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "stack.cli", "up", "--dev", DEVICE, "--control", self.control],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            try:
                self._wait_until_up(daemon)
                yield
            finally:
                daemon.terminate()
                try:
                    daemon.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    daemon.kill()
                    daemon.wait()

    def _wait_until_up(self, daemon: "subprocess.Popen[bytes]") -> None:
        until = time.monotonic() + _START_S
        while daemon.poll() is None and time.monotonic() < until:
            with contextlib.suppress(StackError):
                client.status(DEVICE, self.control)
                return
            time.sleep(0.05)
        last = self.log.read_text().strip().splitlines()
        raise StackError(last[-1].removeprefix("tapstack: ") if last else "the daemon did not start")

    # -- the steps

    def _ping(self) -> str:
        out = _run("ping", "-c", "100", "-i", "0.01", "-W", "2", ADDRESS)
        return _ping_result(out, 100)

    def _big_ping(self) -> str:
        return _ping_result(_run("ping", "-c", "10", "-i", "0.01", "-W", "2", "-s", "65000", ADDRESS), 10)

    def _arping(self) -> str:
        out = _run("arping", "-c", "3", "-w", "10", "-I", DEVICE, ADDRESS)
        addresses = re.findall(r"[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}", out)
        if not addresses:
            raise Failed(out.strip().splitlines()[-1])
        return f"it is at {addresses[-1].lower()}"

    def _page(self) -> str:
        page = _run("curl", "-sS", "--fail", f"{URL}/")
        if "<title>tapstack" not in page:
            raise Failed("not the page")
        return f"{len(page)} bytes of HTML"

    def _download(self) -> str:
        target = self.folder / "download"
        speed = _run("curl", "-sS", "--fail", "-o", str(target), "-w", "%{speed_download}", f"{URL}/bytes/{self.size}")
        self.sha256 = _sha256(target)
        if self.sha256 != content.sha256(self.size):
            raise Failed(f"checksum differs, {target.stat().st_size} bytes came")
        return f"{float(speed) * 8 / 1e9:.2f} Gbit/s, SHA-256 {self.sha256[:12]}… equal"

    def _upload(self) -> str:
        source = self.folder / "download"
        answer = _run("curl", "-sS", "--fail", "-T", str(source), "-w", "\n%{speed_upload}", f"{URL}/upload")
        report, _, speed = answer.rpartition("\n")
        came = json.loads(report)
        if came != {"bytes": self.size, "sha256": self.sha256}:
            raise Failed(f"the stack received {came['bytes']} bytes, SHA-256 {came['sha256'][:12]}…")
        return f"{float(speed) * 8 / 1e9:.2f} Gbit/s, SHA-256 {came['sha256'][:12]}… equal"

    def _nc(self) -> str:
        text = "".join(f"line {number}\n" for number in range(10_000))
        if _run("nc", "-N", "-w", "10", ADDRESS, "7", text=text) != text:
            raise Failed("what came back differs")
        return f"{len(text)} bytes back, then FIN"

    def _udp_echo(self) -> str:
        rtts = []
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.settimeout(2.0)
            sock.connect((ADDRESS, 7))
            for length in [*range(0, 1400, 100), 8000, 65_507]:
                data, begun = os.urandom(length), time.perf_counter()
                sock.send(data)
                if sock.recv(65_535) != data:
                    raise Failed(f"a datagram of {length} bytes came back different")
                rtts.append(time.perf_counter() - begun)
        return f"{len(rtts)} datagrams up to 65507 bytes, median {sorted(rtts)[len(rtts) // 2] * 1e6:.0f} µs"

    def _status(self) -> str:
        status = client.status(DEVICE, self.control)
        traffic = status["traffic"]
        return f"{traffic['rx_frames']} frames in, {traffic['tx_frames']} out, {sum(status['drops'].values())} dropped"


def _try(step: Step) -> tuple[bool, str, float]:
    begun = time.monotonic()
    try:
        good, what = True, step.act()
    except (Failed, OSError, StackError, ValueError, KeyError) as error:
        good, what = False, str(error)
    return good, what, time.monotonic() - begun


def _run(*argv: str, text: str | None = None) -> str:
    """The output of a program that must succeed."""
    try:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=_STEP_S, check=False)
    except FileNotFoundError:
        raise Failed(f"{argv[0]} is not installed (scripts/bootstrap.sh run)") from None
    except subprocess.TimeoutExpired:
        raise Failed(f"{argv[0]} did not end in {_STEP_S:.0f} s") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise Failed(f"{argv[0]} ended with {done.returncode}: {said[-1] if said else ''}")
    return done.stdout


def _ping_result(out: str, count: int) -> str:
    received = re.search(r"(\d+) received", out)
    rtt = re.search(r"= [\d.]+/([\d.]+)/", out)
    if received is None or int(received[1]) != count or rtt is None:
        raise Failed(f"{received[1] if received else 0} of {count} answered")
    return f"{count} of {count} answered, on average in {float(rtt[1]) * 1000:.0f} µs"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
