"""The daemon in a network namespace (see tools/netns.py), as the tests meet it."""

import json
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from tools.netns import ROOT, CommandFailed, Namespace, stop, wait_until

__all__ = ["ROOT", "CommandFailed", "Namespace", "wait_until"]
STACK = "198.18.0.2"  # where the daemon answers
HOST = "198.18.0.1"  # the kernel's end of its device
CLIENT = "198.18.0.3"  # a third host on the same link
PREFIX = 24
DEVICE = "tapstack0"


def need(*programs: str) -> None:
    """Skip the test unless these programs are installed (scripts/bootstrap.sh test installs them)."""
    for program in programs:
        if shutil.which(program) is None:
            pytest.skip(f"needs the program {program}")


def wait_for_link(*devices: str) -> None:
    """Until the kernel has noticed that these devices of our namespace are connected: it sends nothing before."""

    def is_up(device: str) -> bool:
        out = subprocess.run(
            ["ip", "-j", "link", "show", device], capture_output=True, text=True, check=True, timeout=10
        )
        return bool(json.loads(out.stdout)[0]["operstate"] == "UP")

    for device in devices:
        wait_until(partial(is_up, device), f"{device} has its link")


def join_by_bridge(daemon: Namespace, client: Namespace) -> None:
    """Put `client` at the daemon's link as a third host (CLIENT), on a veth pair without offloads.

    Frames of at most the MTU pass between the two, so that single segments can be lost, and lost on the way:
    what the sender's own kernel drops on output it simply sends again.
    """
    daemon.ip(f"link add near type veth peer name far netns {client.name}")
    daemon.ip("link add bridge type bridge")
    for device in ("near", DEVICE):
        daemon.ip(f"link set {device} master bridge up")
    daemon.ip("link set bridge up")
    client.ip(f"address add {CLIENT}/{PREFIX} dev far")
    client.ip("link set far up")
    for namespace, device in ((daemon, "near"), (client, "far")):
        namespace.run("ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off")


class Daemon:
    """`tapstack up` in a namespace, ready when it answers on port 80."""

    __slots__ = ("_control", "log", "namespace", "process")

    def __init__(self, namespace: Namespace, folder: Path, *options: str) -> None:
        self.namespace = namespace
        self.log = folder / f"{namespace.name}.log"
        self._control = folder / "control.sock"
        self.process = namespace.start(
            *tapstack("up", "--dev", DEVICE, "--control", str(self._control), *options), log=self.log
        )

    def __enter__(self) -> Self:
        def ready() -> bool:
            if self.process.poll() is not None:
                pytest.fail(f"tapstack up ended with status {self.process.returncode}:\n{self.log.read_text()[-3000:]}")
            return self.namespace.run("nc", "-z", "-w", "1", STACK, "80", check=False).returncode == 0

        try:
            wait_until(ready, f"tapstack up answers on port 80; {self.log}")
        except BaseException:
            stop(self.process, signal.SIGKILL)
            sys.stderr.write(self.log.read_text()[-3000:])
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        alive = self.process.poll() is None
        status = stop(self.process)
        text = self.log.read_text()
        if kind is not None:
            sys.stderr.write(text[-3000:])  # pytest shows it beside the failure
            return
        if not alive or status != 0:
            pytest.fail(f"tapstack up {'ended with' if alive else 'died with'} status {status}:\n{text[-3000:]}")
        if "Traceback" in text:
            pytest.fail(f"tapstack up logged an exception:\n{text[-5000:]}")

    def command(self, *arguments: str, timeout: float = 30) -> str:
        """What `tapstack ARGUMENTS` prints, sent to this daemon."""
        return self.namespace.run(*tapstack(*arguments, "--control", str(self._control)), timeout=timeout).stdout

    def settle(self) -> None:
        """Wait until the address is announced: before, another host's ARP can take it away (RFC 5227 §2.1.1)."""

        def announced() -> bool:
            return json.loads(self.command("status", "--json"))["addresses"][STACK] in {"announcing", "held"}

        wait_until(announced, "the stack has claimed its address")

    def memory(self) -> int:
        """Resident bytes of the daemon."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS:"))


def tapstack(*arguments: str) -> list[str]:
    """The command line of `tapstack ARGUMENTS` from this source tree."""
    return [sys.executable, "-m", "stack.cli", *arguments]
