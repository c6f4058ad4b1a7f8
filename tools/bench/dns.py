"""The DNS rows of `make bench`: our Resolver and another client, in turn, against one unbound on the other core."""

import importlib.metadata
import json
import re
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from tools.bench import dns_serving
from tools.bench.dns_server import command
from tools.bench.sides import ADDRESS, CLIENT, OURS, PREFIX, Sample, Setting, Side, awake, prepared, start, tap_of
from tools.netns import Namespace

LOOPBACK = "127.0.0.1"
NOTING = "127.0.0.2"  # where nothing answers yet
AT_A_TIME = 32
QUESTIONS = 200  # from how many ports
PERF = {
    "lost": r"Queries lost: +(\d+)",
    "rate": r"Queries per second: +([\d.]+)",
    "codes": r"Response codes: +(.*)",
}
Sides = Callable[[ExitStack, Path, Setting], list[Side]]


def beside(peer: str) -> Sides:
    """Us and this client, both on kernel sockets."""

    def sides(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:  # noqa: ARG001  (as all of them)
        namespace = prepared(stack)
        server = start("unbound", namespace, namespace, folder, command(folder, LOOPBACK), "53", address=LOOPBACK)
        return [Side(name, namespace, server.server, server.log) for name in (OURS, peer)]

    return sides


def on_our_stack(peer: str) -> Sides:
    """Us and this client, both on a host of ours; unbound is the kernel's at the other end of the TAP device."""

    def sides(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:  # noqa: ARG001  (as all of them)
        namespace = tap_of(stack)
        server = start("unbound", namespace, namespace, folder, command(folder, CLIENT), "53", address=CLIENT)
        return [Side(name, namespace, server.server, server.log) for name in (OURS, peer)]

    return sides


def rate(side: Side, setting: Setting, at_a_time: int, *where: str) -> Sample:
    """Questions per second."""
    server = CLIENT if where else LOOPBACK
    arguments = (side.name, server, str(setting.seconds), str(at_a_time), *where)
    sample: Sample = json.loads(side.run(sys.executable, "-m", "tools.bench.dns_rate", *arguments))
    return sample


def one(side: Side, setting: Setting) -> Sample:
    """One after the other."""
    with awake():
        return rate(side, setting, 1)


def many(side: Side, setting: Setting) -> Sample:
    """So many at a time."""
    return rate(side, setting, AT_A_TIME)


def one_on_our_stack(side: Side, setting: Setting) -> Sample:
    """One after the other."""
    with awake():
        return rate(side, setting, 1, "--tap", "tap0", f"{ADDRESS}/{PREFIX}")


def many_on_our_stack(side: Side, setting: Setting) -> Sample:
    """So many at a time."""
    return rate(side, setting, AT_A_TIME, "--tap", "tap0", f"{ADDRESS}/{PREFIX}")


def serving(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:  # noqa: ARG001  (as all of them)
    """Our server and a bare UDP echo, both in one process on a host of ours; dnsperf is the kernel's."""
    namespace = tap_of(stack)
    program = (sys.executable, "-m", "tools.bench.dns_serving", "tap0", f"{ADDRESS}/{PREFIX}")
    server = start("dns-serving", namespace, namespace, folder, program, "53")
    (folder / "bench-names").write_text(dns_serving.questions())
    return [Side(name, namespace, server.server, server.log) for name in (OURS, "echo")]


def dnsperf(side: Side, setting: Setting) -> Sample:
    """Answers per second; none may be lost, and the server's must be what its zone has."""
    port = "53" if side.name == OURS else str(dns_serving.ECHO_PORT)
    length = str(max(1, round(setting.seconds)))
    names = str(side.log.with_name("bench-names"))
    out = side.run("dnsperf", "-s", ADDRESS, "-p", port, "-d", names, "-l", length, "-c", "4", "-q", "100", "-e")
    found = {name: re.search(pattern, out) for name, pattern in PERF.items()}
    if not all(found.values()):
        return {"error": out[-500:]}
    lost, rate, codes = (match[1] if match else "" for match in found.values())
    if int(lost) or (side.name == OURS and not re.fullmatch(r"NOERROR \d+ \(9\d.*%\), NXDOMAIN \d+ .*", codes)):
        return {"error": f"{lost} answers lost; {codes}"}
    return {"per_second": float(rate)}


def micro(case: str) -> Callable[[Side, Setting], Sample]:
    """Microseconds of one step."""

    def measure(side: Side, setting: Setting) -> Sample:  # noqa: ARG001  (as all of them)
        sample: Sample = json.loads(side.run(sys.executable, "-m", "tools.bench.dns_micro", case, side.name, LOOPBACK))
        return sample

    return measure


def ports(client: str) -> str:
    """One line: which version of a client this is, and from how many ports its questions leave."""
    with Namespace() as namespace:
        counts = [
            json.loads(
                namespace.run(
                    *(sys.executable, "-m", "tools.bench.dns_rate", client, NOTING, "1", str(at_a_time)),
                    *("--ports", str(QUESTIONS)),
                ).stdout
            )["ports"]
            for at_a_time in (1, AT_A_TIME)
        ]
    version = importlib.metadata.version(client)
    in_turn, together = counts
    return f"{client} {version}: {QUESTIONS} questions left from {in_turn} ports, {AT_A_TIME} at a time from {together}"
