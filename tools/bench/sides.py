"""The two halves of each pair: ours on a TAP device, and the same on kernel sockets one veth pair away."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.netns import CommandFailed, Namespace, stop, wait_until

ADDRESS, CLIENT, PREFIX = "10.77.0.2", "10.77.0.1", 24
ECHO, HTTP = "5003", "8080"
OURS, KERNEL = "tapstack", "kernel"
SERVER_CORE, CLIENT_CORE = "1", "0"
SYSCTLS = (
    "net.ipv4.ip_local_port_range=1024 65535",
    "net.ipv4.tcp_tw_reuse=1",
    "net.ipv4.tcp_max_tw_buckets=2000",
    "net.ipv4.tcp_max_syn_backlog=4096",
    "net.core.somaxconn=4096",
)
LOOPS = {OURS: "stack", KERNEL: "uvloop"}  # what tools.bench.connect_close calls them
Sample = dict[str, Any]


@dataclass
class Setting:
    """What a run is told."""

    netbench: str
    congestion: str
    seconds: float
    rounds: int
    idle: int


@dataclass
class Side:
    """One half of a pair: a running server, and the namespace that its client runs in."""

    name: str
    client: Namespace
    server: subprocess.Popen[str]
    log: Path

    def run(self, *command: str, timeout: float = 60) -> str:
        """A client program on the client's core; what it printed."""
        return self.client.run("taskset", "-c", CLIENT_CORE, *command, timeout=timeout).stdout

    def memory(self) -> int:
        """Resident bytes of the server."""
        text = Path(f"/proc/{self.server.pid}/statm").read_text(encoding="ascii")
        return int(text.split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        """What the server has used so far."""
        fields = Path(f"/proc/{self.server.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def awake() -> Iterator[None]:
    """Neither core halts meanwhile: a loop runs there that gives way to everything.

    A virtual processor takes 15 us longer to wake up from a halt, 150 us where it is itself inside another.  The relay
    of goodput would pay for that in time and precision, and a server that sleeps for every ACK in goodput; the
    kernel's, which answers on the core where the frame came from, would not.  A client that asks one question after
    the other would pay unless it has threads at work meanwhile, as the bare query has (uvloop resolves in them).
    """
    loop = f"import os\nwhile os.getppid() == {os.getpid()}:\n for _ in range(100_000): pass"
    with ExitStack() as stack:
        for core in (CLIENT_CORE, SERVER_CORE):
            command = ["taskset", "-c", core, "chrt", "--idle", "0", sys.executable, "-c", loop]
            process = subprocess.Popen(command, text=True, start_new_session=True)  # Ctrl-C is not for it
            stack.callback(stop, process, signal.SIGKILL)
        yield


def wrk(side: Side, setting: Setting) -> Sample:
    """Requests with wrk on 32 connections."""
    url = f"http://{ADDRESS}:{HTTP}/"
    out = side.run("wrk", "-t1", "-c32", f"-d{max(1, round(setting.seconds))}s", "--latency", url)
    errors = re.search(r"Socket errors: (.*)|Non-2xx or 3xx responses: (\d+)", out)
    if errors:
        return {"error": errors[0]}
    rate = re.search(r"Requests/sec:\s+([\d.]+)", out)
    return {"per_second": float(rate[1]) if rate else 0.0, "output": out}


def connect_close(side: Side, setting: Setting) -> Sample:
    """Connections to an address of the kernel's, by the loop of this side; both ends are the kernel's."""
    arguments = ("-m", "tools.bench.connect_close", LOOPS[side.name], "127.0.0.1", ECHO, str(setting.seconds))
    # on the core that servers have elsewhere: what is measured is the program of ours
    out = side.client.run("taskset", "-c", SERVER_CORE, sys.executable, *arguments).stdout
    sample: Sample = json.loads(out)
    return sample


# -- starting


def prepared(stack: ExitStack) -> Namespace:
    """A namespace with room for many connections."""
    namespace = stack.enter_context(Namespace())
    namespace.sysctl(*SYSCTLS)
    return namespace


def tap_of(stack: ExitStack) -> Namespace:
    """A namespace with a TAP device that is ready for a server of ours."""
    namespace = prepared(stack)
    namespace.ip("tuntap add dev tap0 mode tap")
    namespace.ip(f"address add {CLIENT}/{PREFIX} dev tap0")
    namespace.ip("link set tap0 txqueuelen 10000 up")
    return namespace


def veth_of(stack: ExitStack) -> tuple[Namespace, Namespace]:
    """The namespaces of a client and a server, a veth pair between them."""
    client, server = prepared(stack), prepared(stack)
    client.ip(f"link add veth0 type veth peer name veth1 netns {server.name}")
    for namespace, device, address in ((client, "veth0", CLIENT), (server, "veth1", ADDRESS)):
        namespace.ip(f"address add {address}/{PREFIX} dev {device}")
        namespace.ip(f"link set {device} up")
    return client, server


def services(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:
    """The services of tools/bench/services.py."""
    namespace = tap_of(stack)
    command = (sys.executable, "-m", "tools.bench.server", "tap0", f"{ADDRESS}/{PREFIX}")
    ours = start(OURS, namespace, namespace, folder, command)
    client, server = veth_of(stack)
    command = (sys.executable, "-m", "tools.bench.kernel_server", ADDRESS, setting.congestion)
    return [ours, start(KERNEL, client, server, folder, command)]


def uvicorns(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:
    """One application under uvicorn, on our loop and on uvloop."""
    namespace = prepared(stack)
    variables = {"DEV": "tap0", "ADDRESS": f"{ADDRESS}/{PREFIX}", "HOST_ADDRESS": CLIENT}
    environment = [f"TAPSTACK_{name}={value}" for name, value in variables.items()]
    program = (sys.executable, "-m", "tools.bench.hello", ADDRESS, HTTP)
    command = ("env", *environment, *program, "stack.aio:factory")
    ours = start(OURS, namespace, namespace, folder, command, HTTP)
    client, server = veth_of(stack)
    for each in (client, namespace):
        each.sysctl("net.ipv4.tcp_congestion_control=reno")  # of wrk; not BBR, and allowed in every namespace
    return [ours, start(KERNEL, client, server, folder, (*program, "uvloop", setting.congestion), HTTP)]


def loopback(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:
    """One server of the kernel's at 127.0.0.1, on the client's core; both sides are its clients."""
    namespace = prepared(stack)
    command = (sys.executable, "-m", "tools.bench.kernel_server", "127.0.0.1", setting.congestion)
    server = start("loopback", namespace, namespace, folder, command, address="127.0.0.1", core=CLIENT_CORE)
    return [Side(name, namespace, server.server, server.log) for name in (OURS, KERNEL)]


def start(
    name: str,
    client: Namespace,
    server: Namespace,
    folder: Path,
    command: tuple[str, ...],
    port: str = ECHO,
    *,
    address: str = ADDRESS,
    core: str = SERVER_CORE,
    seconds: float = 15.0,
) -> Side:
    """A server, ready when it answers on `port`, within `seconds`."""
    log = folder / f"bench-{name}.log"
    log.write_text("")
    process = server.start("taskset", "-c", core, *command, log=log)
    side = Side(name, client, process, log)

    def ready() -> bool:
        if process.poll() is not None:
            raise CommandFailed(f"the {name} server ended:\n{log.read_text()[-2000:]}")
        return client.run("nc", "-z", "-w", "1", address, port, check=False).returncode == 0

    wait_until(ready, f"the {name} server answers; see {log}", seconds)
    return side
