"""The RPC rows of `make bench`: NULL calls of our client and others, and of a C client at our server and others."""

import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tests.support.rpc_calc import CalcPrograms
from tools.bench.sides import (
    ADDRESS,
    CLIENT,
    CLIENT_CORE,
    OURS,
    PREFIX,
    SERVER_CORE,
    Sample,
    Setting,
    Side,
    prepared,
    start,
    tap_of,
)
from tools.netns import Namespace

LOOPBACK = "127.0.0.1"
AT_A_TIME = 32
PORTS = {OURS: "4001", "uncached": "4002", "bare": "4003", "grpcio": "4004"}
BARE, UNCACHED, GRPCIO = "bare", "uncached", "grpcio"
ECHOED = "64"  # octets
Sides = Callable[[ExitStack, Path, Setting], list[Side]]
Measure = Callable[[Side, Setting], Sample]


def _serving(kind: str, namespace: Namespace, folder: Path, address: str, *tap: str) -> Side:
    program = (sys.executable, "-m", "tools.bench.rpc_serving", kind, address, PORTS[kind], *tap)
    made = start(f"rpc-{kind}", namespace, namespace, folder, program, PORTS[kind], address=address)
    return Side(kind, namespace, made.server, made.log)


def _build(folder: Path) -> None:
    """The load generator in C."""
    built = folder / "rpc-calc"
    built.mkdir(exist_ok=True)
    if not (built / "calc_bench").exists():
        CalcPrograms(built)


def clients(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:  # noqa: ARG001  (as all of them)
    """Our client and one written by hand, at one server that does nothing but answer."""
    namespace = prepared(stack)
    server = _serving(BARE, namespace, folder, LOOPBACK)
    return [Side(name, namespace, server.server, server.log) for name in (OURS, BARE)]


def systems(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:  # noqa: ARG001  (as all of them)
    """Our client at our server, grpcio's at grpcio's."""
    namespace = prepared(stack)
    return [_serving(name, namespace, folder, LOOPBACK) for name in (OURS, GRPCIO)]


def clients_on_our_stack(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:  # noqa: ARG001
    """As `clients`, both on a host of ours; the server is the kernel's at the other end of the TAP device."""
    namespace = tap_of(stack)
    server = _serving(BARE, namespace, folder, CLIENT)
    return [Side(name, namespace, server.server, server.log) for name in (OURS, BARE)]


def servers(peer: str) -> Sides:
    """Our server and another, for the load generator in C."""

    def sides(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:  # noqa: ARG001  (as all of them)
        namespace = prepared(stack)
        _build(folder)
        return [_serving(name, namespace, folder, LOOPBACK) for name in (OURS, peer)]

    return sides


def servers_on_our_stack(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:  # noqa: ARG001
    """Our server and the bare one, both on a host of ours; the load generator is the kernel's."""
    _build(folder)
    where = ("--tap", "tap0", f"{ADDRESS}/{PREFIX}")
    return [_serving(name, tap_of(stack), folder, ADDRESS, *where) for name in (OURS, BARE)]


def null(proto: str, at_a_time: int, *, server: str = BARE, tap: bool = False) -> Measure:
    """NULL calls per second.  `server`: whose port, "" for the side's own.

    One at a time on the server's core: one of both sleeps while the other works, and to wake another core of a virtual
    machine costs several times what the call does.
    """

    def measure(side: Side, setting: Setting) -> Sample:
        address = CLIENT if tap else LOOPBACK
        where = ("--tap", "tap0", f"{ADDRESS}/{PREFIX}") if tap else ()
        port = PORTS[server or side.name]
        arguments = (side.name, proto, address, port, str(setting.seconds), str(at_a_time), *where)
        core = SERVER_CORE if at_a_time == 1 else CLIENT_CORE
        program = ("taskset", "-c", core, sys.executable, "-m", "tools.bench.rpc_rate")
        sample: Sample = json.loads(side.run(*program, *arguments))
        return sample

    return measure


def load(proto: str, octets: str = "0", *, processes: int = 8, address: str = LOOPBACK) -> Measure:
    """Calls per second of so many C clients, each with one call at a time: NULL, or CALC_ECHO of some octets."""

    def measure(side: Side, setting: Setting) -> Sample:
        program = str(side.log.parent / "rpc-calc" / "calc_bench")
        arguments = (address, PORTS[side.name], proto, str(processes), str(setting.seconds), octets)
        sample: Sample = json.loads(side.run(program, *arguments))
        return {"error": f"{sample['failed']} calls failed"} if sample["failed"] else sample

    return measure
