"""Builds the peers of `make bench-peers` into out/peers/: other TCP/IP stacks of user space, as their users get them.

What it takes comes from Debian (`scripts/bootstrap.sh peers`) and from PyPI.  Where it is missing, a sentence says so.
"""

import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stack import _form
from tools.bench.sides import ADDRESS, CLIENT, KERNEL, OURS, PREFIX
from tools.netns import ROOT

HERE = Path(__file__).resolve().parent
TAP, NETMASK = "tap0", "255.255.255.0"
INTERFACE = f"{ADDRESS}/{PREFIX}"
PLAIN = "plain"  # ours without offloads, as lwIP and PyTCP have none
PYTCP, PYTCP3 = "pmd-pytcp==0.3.8", "PyTCP==3.0.9"


class CannotBuild(Exception):
    """A sentence that says what is missing."""


@dataclass(frozen=True)
class Peer:
    """A stack that can be measured: how its server starts, and what it is made of."""

    name: str
    version: str
    command: tuple[str, ...]
    tap: bool = True  # else the kernel's own sockets
    patience: float = 15.0  # seconds until it answers


def _run(*command: str, why: str, timeout: float = 300, environment: dict[str, str] | None = None) -> str:
    """What a program prints; CannotBuild with `why` and the end of its output when it fails."""
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, cwd=ROOT, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotBuild(f"{why}: {error}") from error
    if result.returncode:
        raise CannotBuild(f"{why}:\n{(result.stdout + result.stderr)[-2000:].rstrip()}")
    return result.stdout


def _package(name: str) -> str:
    """The version of a Debian package that is installed."""
    why = f"the Debian package {name} is missing (scripts/bootstrap.sh peers installs it)"
    if shutil.which("dpkg-query") is None:
        raise CannotBuild(why)
    status, _, version = _run("dpkg-query", "-W", "-f", "${Status}\t${Version}", name, why=why).partition("\t")
    if not status.endswith(" installed"):
        raise CannotBuild(why)
    return version


def _folder_of(package: str, ending: str) -> str:
    """The folder of a package whose path ends so."""
    why = f"the files of the Debian package {package} cannot be listed"
    found = [line for line in _run("dpkg", "-L", package, why=why).splitlines() if line.endswith(ending)]
    if not found:
        raise CannotBuild(f"the Debian package {package} has no folder {ending}")
    return found[0]


def _is_older(program: Path, source: Path) -> bool:
    return not program.exists() or program.stat().st_mtime < source.stat().st_mtime


def tapstack(_folder: Path) -> Peer:
    """Ours."""
    why = "the revision is unknown"
    try:
        revision = _run("git", "describe", "--always", "--dirty", why=why).strip()
    except CannotBuild:
        revision = "of this folder"
    command = (sys.executable, "-m", "tools.bench.server", TAP, INTERFACE)
    return Peer(OURS, f"{revision}, {_form.running()}, Python {platform.python_version()}", command)


def plain(folder: Path) -> Peer:
    """Ours with plain frames of at most the MTU, and checksums of our own."""
    ours = tapstack(folder)
    return Peer(PLAIN, ours.version, (*ours.command, "--no-offload"))


def gvisor(folder: Path) -> Peer:
    """Its netstack, with segmentation offload."""
    version = _package("golang-gvisor-gvisor-dev")
    if shutil.which("go") is None:
        raise CannotBuild("the Go compiler is missing (scripts/bootstrap.sh peers installs Debian's golang-go)")
    go = _run("go", "version", why="the Go compiler does not run").split()[2]
    program, source = folder / "gvisor", HERE / "gvisor.go"
    if _is_older(program, source):
        path = _folder_of("golang-gvisor-gvisor-dev", "share/gocode")
        settings = ("GO111MODULE=off", f"GOPATH={path}", f"GOCACHE={folder / 'go-cache'}", "GOFLAGS=")
        build = ("go", "build", "-o", str(program), str(source))
        _run("env", *settings, *build, why="gVisor's netstack could not be built", timeout=600)
    return Peer("gvisor", f"{version}, {go}", (str(program), TAP, ADDRESS))


def lwip(folder: Path) -> Peer:
    """The library as Debian has it."""
    version = _package("liblwip-dev")
    program, source = folder / "lwip", HERE / "lwip.c"
    if _is_older(program, source):
        flags = ("-O2", "-Wall", "-I", _folder_of("liblwip-dev", "include/lwip"))
        build = ("cc", *flags, "-o", str(program), str(source), "-llwip", "-lpthread")
        _run(*build, why="the lwIP peer could not be built")
    return Peer("lwip", version, (str(program), TAP, ADDRESS, NETMASK, CLIENT))


def _environment(folder: Path, base: str, requirement: str) -> tuple[str, str]:
    """Python of an environment with one package in it, and their versions."""
    package = re.split("[=~]", requirement)[0]
    python = folder / package / "bin/python"
    versions = f"import importlib.metadata as m, platform as p; print(m.version({package!r}), p.python_version())"
    # made again when the requirement is another one
    stamp = folder / package / "requirement"
    if not stamp.exists() or stamp.read_text() != requirement:
        _run(base, "-m", "venv", "--clear", str(folder / package), why=f"no environment for {package} could be made")
        install = (str(python), "-m", "pip", "install", "--disable-pip-version-check", "-q", requirement)
        _run(*install, why=f"{package} could not be installed from PyPI")
        stamp.write_text(requirement)
    of_package, of_python = _run(str(python), "-c", versions, why=f"the environment of {package} does not work").split()
    return str(python), f"{package} {of_package}, Python {of_python}"


def pytcp(folder: Path) -> Peer:
    """The form of PyTCP that is made for asyncio."""
    python, version = _environment(folder, sys.executable, PYTCP)
    command = (python, str(HERE / "pytcp.py"), TAP, INTERFACE)
    return Peer("pytcp", version, command, patience=30)


def pytcp3(folder: Path) -> Peer:
    """PyTCP itself."""
    base = shutil.which("python3.14")
    if base is None:
        raise CannotBuild("PyTCP 3 needs Python 3.14, and there is no python3.14 on this machine")
    python, version = _environment(folder, base, PYTCP3)
    command = (python, "-O", str(HERE / "pytcp3.py"), TAP, INTERFACE)
    return Peer("pytcp3", version, command, patience=40)


def kernel(_folder: Path) -> Peer:
    """Kernel sockets under uvloop, one veth pair away."""
    from importlib.metadata import version  # noqa: PLC0415

    release = re.match(r"[\d.]+", platform.release())
    command = (sys.executable, "-m", "tools.bench.kernel_server", ADDRESS, "cubic")
    return Peer(KERNEL, f"Linux {release[0] if release else ''}, uvloop {version('uvloop')}", command, tap=False)


BUILDERS: dict[str, Callable[[Path], Peer]] = {
    OURS: tapstack,
    PLAIN: plain,
    "gvisor": gvisor,
    "lwip": lwip,
    "pytcp": pytcp,
    "pytcp3": pytcp3,
    KERNEL: kernel,
}


def build(names: list[str], folder: Path) -> tuple[list[Peer], dict[str, str]]:
    """Those that can be had, and why the others cannot."""
    folder.mkdir(parents=True, exist_ok=True)
    peers, missing = [], {}
    for name in names:
        try:
            peers.append(BUILDERS[name](folder))
        except CannotBuild as error:
            missing[name] = str(error)
    return peers, missing
