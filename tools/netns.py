"""Network namespaces, and programs in them, for the tests and the benchmarks.

Everything made here is a context manager that removes what it made, also after a failure: processes are
killed before their namespace goes, and with it go its devices, rules and addresses.  Names are unique,
so that several runs on one machine do not meet.  Needs root.
"""

import contextlib
import ctypes
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "LC_ALL": "C"}
_CLONE_NEWNET = 0x40000000
_serial = itertools.count()
_libc = ctypes.CDLL(None, use_errno=True)


class CommandFailed(Exception):
    """A program ended with an error or did not end in time; the message has its output."""


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 15.0) -> None:
    """Ask `condition` until it holds; TimeoutError after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s in vain: {what}")
        time.sleep(0.02)


class Namespace:
    """One network namespace with its loopback up and no IPv6, removed with all its processes on exit."""

    __slots__ = ("_processes", "name")

    def __init__(self) -> None:
        self.name = f"tapstack-{os.getpid()}-{next(_serial)}"
        self._processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        try:
            _checked("ip", "netns", "add", self.name)
            self.sysctl("net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
            self.ip("link set lo up")
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Kill what still runs in the namespace and remove it."""
        for process in self._processes:
            stop(process, signal.SIGKILL)
        found = subprocess.run(
            ["ip", "netns", "pids", self.name], capture_output=True, text=True, timeout=10, check=False
        )
        for pid in found.stdout.split():  # what our processes left behind
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, timeout=10, check=False)

    def ip(self, arguments: str) -> None:
        """`ip ARGUMENTS` in here."""
        _checked("ip", "-n", self.name, *arguments.split())

    def sysctl(self, *settings: str) -> None:
        """Set `name=value` pairs."""
        self.run("sysctl", "-qw", *settings)

    def run(
        self, *command: str, timeout: float = 30, check: bool = True, text: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; CommandFailed on a failure (if `check`) or a timeout."""
        try:
            result = subprocess.run(
                ["ip", "netns", "exec", self.name, *command],
                input=text,
                stdin=subprocess.DEVNULL if text is None else None,
                capture_output=True,
                text=True,
                timeout=timeout,
                check=False,
                env=ENVIRONMENT,
            )
        except subprocess.TimeoutExpired as error:
            raise CommandFailed(f"{' '.join(command)}: not done after {timeout:g} s") from error
        if check and result.returncode:
            output = result.stdout[-4000:] + result.stderr[-4000:]
            raise CommandFailed(f"{' '.join(command)}: exit status {result.returncode}\n{output}")
        return result

    def python(self, script: Path, *arguments: str, timeout: float = 60) -> str:
        """Run a Python script and return what it printed."""
        return self.run(sys.executable, str(script), *arguments, timeout=timeout).stdout

    def start(self, *command: str, log: Path | None = None, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start a program that runs beside the test; it ends with the namespace.  Output goes to `log` or a pipe."""
        with contextlib.ExitStack() as files:
            out = files.enter_context(log.open("a")) if log else subprocess.PIPE
            process = subprocess.Popen(
                ["ip", "netns", "exec", self.name, *command],
                stdin=stdin,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        self._processes.append(process)
        return process

    def entered(self) -> contextlib.AbstractContextManager[None]:
        """The calling thread inside the namespace; sockets made meanwhile stay in it."""
        return inside(self.name)

    def packet_socket(self, device: str) -> socket.socket:
        """A raw link-layer socket on one device of the namespace; its reads end after 1 s."""
        with self.entered():
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))  # ETH_P_ALL
            raw.bind((device, 0))
        raw.settimeout(1.0)
        return raw

    def link_statistics(self, device: str) -> dict[str, int]:
        """The kernel's counters of a device, with `tx_` and `rx_` before each name."""
        out = subprocess.run(
            ["ip", "-n", self.name, "-j", "-s", "link", "show", "dev", device],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        ).stdout
        counters = json.loads(out)[0]["stats64"]
        return {f"{side}_{name}": value for side in ("rx", "tx") for name, value in counters[side].items()}

    def drop(self, device: str, per_mille: int) -> None:
        """Lose packets that arrive on `device`, each with the given chance."""
        self.run("nft", "add table netdev loss")
        self.run("nft", f"add chain netdev loss {device} {{ type filter hook ingress device {device} priority 0; }}")
        self.run("nft", f"add rule netdev loss {device} numgen random mod 1000 < {per_mille} counter drop")

    def dropped(self) -> int:
        """How many packets the rules of `drop` have lost."""
        rules = json.loads(self.run("nft", "-j", "list", "table", "netdev", "loss").stdout)["nftables"]
        steps = (step for item in rules if "rule" in item for step in item["rule"]["expr"])
        return sum(step["counter"]["packets"] for step in steps if "counter" in step)


def why_none() -> str:
    """Why no namespace can be made here, for who asked for it: without root, or as root of a container without rights.

    Empty when one can be made: one has been, and is gone again.
    """
    if os.geteuid():
        return "this makes network namespaces: run it as root"
    try:
        with Namespace():
            return ""
    except CommandFailed as error:
        return f"this makes network namespaces, which this root may not (CAP_SYS_ADMIN, CAP_NET_ADMIN): {error}"


@contextlib.contextmanager
def inside(name: str) -> Iterator[None]:
    """The calling thread inside a namespace that somebody has made; sockets and devices opened meanwhile stay in it."""
    with Path("/proc/thread-self/ns/net").open() as back, Path(f"/run/netns/{name}").open() as there:
        _setns(there.fileno())
        try:
            yield
        finally:
            _setns(back.fileno())


def _checked(*command: str) -> None:
    made = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    if made.returncode:
        raise CommandFailed(f"{' '.join(command)}: {made.stderr.strip()}")


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def stop(process: subprocess.Popen[str], how: signal.Signals = signal.SIGTERM, seconds: float = 15.0) -> int:
    """End a process and its group; SIGKILL follows when `how` did not do it in time.  The exit status comes back."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(how)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with contextlib.suppress(BrokenPipeError):  # it did not read all
                pipe.close()
    return process.returncode
