"""The rows of a process that has nothing to do yet: how soon it answers, and what it costs while it waits."""

import compileall
import contextlib
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from tools.bench.sides import ADDRESS, CLIENT, OURS, PREFIX, SERVER_CORE, Sample, Setting, Side, prepared, start
from tools.netns import ROOT, Namespace, stop

TAP, DAEMON_TAP = "tap0", "tapstack0"
DAEMON = "198.18.0.2"  # where `tapstack up` answers
WATCH_S = 10.0
PATIENCE_S = 15.0
AGAIN_S = 0.001  # between two pings
ARP_AGAIN_MS = "5"
CONNECTIONS = "1000"
ECHO = "7"
ECHO_REPLY, ECHO_REQUEST = 0, 8  # RFC 792
REQUEST = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence number; the kernel fills in the middle


def daemon(folder: Path) -> tuple[str, ...]:
    """The command line of a daemon in a namespace."""
    control = str(folder / "bench-control.sock")
    return (sys.executable, "-m", "stack.cli", "up", "--dev", DAEMON_TAP, "--control", control)


def smallest() -> tuple[str, ...]:
    """That of the smallest program."""
    return (sys.executable, "-m", "tools.bench.smallest", TAP, f"{ADDRESS}/{PREFIX}", CLIENT)


# -- until it answers


def empty(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:  # noqa: ARG001  (as all of them)
    """A namespace where nothing runs yet, and bytecode of all modules, as pip leaves a package.

    Where Python may not write any (PYTHONDONTWRITEBYTECODE) it would compile the source at every start.
    """
    for part in ("stack", "tools"):
        compileall.compile_dir(ROOT / part, quiet=1)
    namespace = prepared(stack)
    namespace.sysctl("net.ipv4.ping_group_range=0 0")
    log = folder / "bench-start.log"
    log.write_text("")
    return [Side(OURS, namespace, namespace.start("sleep", "infinity", log=log), log)]


def seconds_until_answered(pings: socket.socket, tap: str, address: str) -> float | None:
    """Ping until somebody answers; None when nobody does.  The calling thread is in the namespace."""
    began = time.monotonic()
    interval, is_set = Path(f"/proc/sys/net/ipv4/neigh/{tap}/retrans_time_ms"), False
    for number in range(round(PATIENCE_S / AGAIN_S)):
        with contextlib.suppress(OSError):  # there is no such network yet
            if not is_set:  # the kernel asks for its neighbour again at once, and not every second
                interval.write_text(ARP_AGAIN_MS, encoding="ascii")
                is_set = True
            pings.sendto(REQUEST.pack(ECHO_REQUEST, 0, 0, 0, number & 0xFFFF), (address, 0))
        readable, _, _ = select.select([pings], [], [], AGAIN_S)
        if readable and pings.recv(2048)[0] == ECHO_REPLY:
            return time.monotonic() - began
        if time.monotonic() - began > PATIENCE_S:
            break
    return None


@contextlib.contextmanager
def starting(namespace: Namespace, command: tuple[str, ...], log: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that ends with the block."""
    process = namespace.start("taskset", "-c", SERVER_CORE, *command, log=log)
    try:
        yield process
    finally:
        stop(process, signal.SIGTERM)


def start_to_ping(side: Side, command: tuple[str, ...], tap: str, address: str) -> Sample:
    """Milliseconds from exec to the first ping that is answered."""
    with side.client.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as pings:
        began = time.monotonic()
        with starting(side.client, command, side.log):
            exec_s = time.monotonic() - began
            answered = seconds_until_answered(pings, tap, address)
    if answered is None:
        return {"error": f"no answer in {PATIENCE_S:g} s:\n{side.log.read_text()[-1000:]}"}
    return {"ms": (exec_s + answered) * 1000}


def start_daemon(side: Side, setting: Setting) -> Sample:  # noqa: ARG001  (as all of them)
    """Of `tapstack up`."""
    return start_to_ping(side, daemon(side.log.parent), DAEMON_TAP, DAEMON)


def start_smallest(side: Side, setting: Setting) -> Sample:  # noqa: ARG001  (as all of them)
    """Of a program with a host."""
    return start_to_ping(side, smallest(), TAP, ADDRESS)


# -- while it waits


def waiting(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:  # noqa: ARG001  (as all of them)
    """A daemon that nobody asks for anything."""
    namespace = prepared(stack)
    return [start(OURS, namespace, namespace, folder, daemon(folder), ECHO, address=DAEMON)]


def cpu_ns(pid: int) -> int:
    """Time on a processor of all threads, to the nanosecond (Linux, Documentation/scheduler/sched-stats.rst)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0]) for task in tasks)


def idle_cpu(side: Side, setting: Setting) -> Sample:  # noqa: ARG001  (as all of them)
    """Share of a core, in percent."""
    time.sleep(min(2.0, WATCH_S))  # what the sample before has begun ends
    before, began = cpu_ns(side.server.pid), time.monotonic()
    time.sleep(WATCH_S)
    return {"percent": (cpu_ns(side.server.pid) - before) / (time.monotonic() - began) / 1e7}


def idle_cpu_connected(side: Side, setting: Setting) -> Sample:
    """The same with many connections that do nothing."""
    script = str(ROOT / "tools/bench/idle_client.py")
    client = side.client.start(sys.executable, script, DAEMON, ECHO, CONNECTIONS, stdin=subprocess.PIPE)
    try:
        assert client.stdout is not None
        opened = client.stdout.readline()
        if opened != f"opened {CONNECTIONS}\n":
            return {"error": opened.strip()}
        return idle_cpu(side, setting)
    finally:
        stop(client)
