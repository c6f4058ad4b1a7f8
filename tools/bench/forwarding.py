"""The row of forwarding: datagrams from the kernel of one namespace to that of another, and a router between.

Ours is one Host on two TAP devices; the other is the kernel of a third namespace between two veth pairs, which does
its work on the core that ours has: its frames are handed there (RPS), since otherwise the sender's core would do it.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tools.bench.sides import CLIENT_CORE, KERNEL, OURS, SERVER_CORE, Sample, Setting, Side, prepared
from tools.netns import CommandFailed, Namespace, stop, wait_until

SOURCE, SINK = "10.77.0.1/24", "10.78.0.1/24"
NEAR, FAR = "10.77.0.2/24", "10.78.0.2/24"  # of the router
PORT = "9"
QUEUE = "txqueuelen 10000"


@dataclass
class Router(Side):
    """A router with a client on one side of it, and a sink on the other."""

    sink: Namespace


def bare(interface: str) -> str:
    """The address without its prefix."""
    return interface.partition("/")[0]


def configure(namespace: Namespace, device: str, address: str, far: str, gateway: str) -> None:
    """An end: its address, and the way to the other end."""
    namespace.ip(f"address add {address} dev {device}")
    namespace.ip(f"link set {device} {QUEUE} up")
    namespace.ip(f"route add {bare(far)} via {bare(gateway)}")


def ready(name: str, process: subprocess.Popen[str], log: Path, is_ready: Callable[[], bool]) -> None:
    """Wait for it; CommandFailed with what a program has said that has ended."""

    def answered() -> bool:
        if process.poll() is not None:
            raise CommandFailed(f"the {name} ended:\n{log.read_text()[-2000:]}")
        return is_ready()

    wait_until(answered, f"the {name} is ready; see {log}")


def ours(stack: ExitStack, folder: Path) -> Router:
    """One Host on two TAP devices."""
    source, sink = prepared(stack), prepared(stack)
    for namespace, device, address, far, gateway in (
        (source, "left", SOURCE, SINK, NEAR),
        (sink, "right", SINK, SOURCE, FAR),
    ):
        namespace.ip(f"tuntap add dev {device} mode tap")
        configure(namespace, device, address, far, gateway)
    log = folder / "bench-forwarder.log"
    log.write_text("")
    ends = (source.name, "left", NEAR, sink.name, "right", FAR)
    program = (sys.executable, "-m", "tools.bench.forwarder", *ends)
    process = source.start("taskset", "-c", SERVER_CORE, *program, log=log)
    ready("forwarder", process, log, lambda: "ready" in log.read_text())
    return Router(OURS, source, process, log, sink)


def kernel(stack: ExitStack, folder: Path) -> Router:
    """The kernel of a namespace between two veth pairs."""
    source, sink, router = prepared(stack), prepared(stack), prepared(stack)
    router.sysctl("net.ipv4.ip_forward=1")
    for namespace, device, near, address, far in (
        (source, "left", NEAR, SOURCE, SINK),
        (sink, "right", FAR, SINK, SOURCE),
    ):
        router.ip(f"link add {device} type veth peer name veth0 netns {namespace.name}")
        router.ip(f"address add {near} dev {device}")
        router.ip(f"link set {device} {QUEUE} up")
        configure(namespace, "veth0", address, far, near)
    mask = f"{1 << int(SERVER_CORE):x}"
    router.run("sh", "-c", f"echo {mask} > /sys/class/net/left/queues/rx-0/rps_cpus")
    log = folder / "bench-forwarding.log"
    log.write_text("")
    process = router.start("sleep", "infinity", log=log)  # its work is nobody's process
    return Router(KERNEL, source, process, log, sink)


def sides(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:  # noqa: ARG001  (as all of them)
    """Both."""
    return [ours(stack, folder), kernel(stack, folder)]


def forward(side: Side, setting: Setting) -> Sample:
    """Frames of 64 bytes that arrive at a program behind the router, per second."""
    assert isinstance(side, Router)
    where, seconds = bare(SINK), f"{setting.seconds:g}"
    log = side.log.with_name("bench-sink.log")
    log.write_text("")
    # the neighbours must know one another: what waits for an answer to ARP is dropped
    side.run("ping", "-q", "-c", "2", "-i", "0.01", "-W", "3", where)
    command = ("taskset", "-c", CLIENT_CORE, setting.netbench, "udp-sink", where, PORT, seconds)
    sink = side.sink.start(*command, log=log)
    try:
        ready("sink", sink, log, lambda: "ready" in log.read_text())
        # a little longer, so that the sink has them all the time
        flood = side.run(setting.netbench, "udp-source", where, PORT, f"{setting.seconds + 0.2:g}")
        end = time.monotonic() + 5
        while sink.poll() is None and time.monotonic() < end:
            time.sleep(0.01)
        counted: Sample = json.loads(log.read_text().splitlines()[-1])
    finally:
        stop(sink)
    if not counted.get("received"):
        return {"error": f"nothing arrived; {flood.strip()}"}
    return counted | {"sent": json.loads(flood)["sent"]}
