"""The rows of many connections: what one costs that does nothing, and what those that do nothing cost the others.

A process may have 20 000 descriptors, so that several hold them, and an address has 64 512 ports, so that each of the
holders has a port of the server's.  The kernel's side cannot do that with one process, so the rows are compared with
the one where there is nobody else.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from tools.bench.server import FIRST_ECHO
from tools.bench.sides import ADDRESS, CLIENT_CORE, OURS, PREFIX, Sample, Setting, Side, start, tap_of
from tools.netns import ROOT, CommandFailed

EACH = 15_000  # connections of a process
BUSY = 10
SOME = 10_000
REST_S = 1.0  # what is delayed, like an ACK, is done then


@dataclass
class Crowd(Side):
    """A server, and those who hold connections to it."""

    program: str
    empty: int  # bytes of the server before the first connection
    holders: list[subprocess.Popen[str]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)

    def tell(self, at: int, command: str) -> Sample:
        """What a holder answers.  Raises CommandFailed."""
        holder = self.holders[at]
        assert holder.stdin is not None
        assert holder.stdout is not None
        if command:
            holder.stdin.write(f"{command}\n")
            holder.stdin.flush()
        line = holder.stdout.readline()
        answer: Sample = json.loads(line or "{}")
        if "error" in answer or not answer:
            raise CommandFailed(f"a holder of connections: {line.strip() or 'it has ended'}")
        return answer

    def reach(self, count: int) -> None:
        """Open connections until there are so many."""
        before = sum(self.counts)
        while (left := count - sum(self.counts)) > 0:
            if not self.counts or self.counts[-1] >= EACH:
                port = str(FIRST_ECHO + len(self.holders))
                command = ("taskset", "-c", CLIENT_CORE, self.program, ADDRESS, port, str(min(left, EACH)))
                self.holders.append(self.client.start(*command, stdin=subprocess.PIPE))
                self.counts.append(0)
                told = ""
            else:
                told = f"more {min(left, EACH - self.counts[-1])}"
            self.counts[-1] = self.tell(len(self.holders) - 1, told)["opened"]
        if sum(self.counts) != before:
            time.sleep(REST_S)

    def use(self, number: int, seconds: float) -> Sample:
        """Requests on so many connections, each process after the other, 10 at a time."""
        requests, spent, cpu = 0, 0.0, self.cpu_seconds()
        shares = [(at, min(count, max(0, number - sum(self.counts[:at])))) for at, count in enumerate(self.counts)]
        for at, share in shares:
            if share:
                answer = self.tell(at, f"use {share} {seconds * share / number:.3f}")
                requests += answer["requests"]
                spent += answer["seconds"]
        rate = {"requests": requests, "seconds": spent, "per_second": requests / spent}
        return rate | {"open": sum(self.counts), "used": number, "server_cpu_s": self.cpu_seconds() - cpu}


def sides(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:
    """Ours, with as many ports as there will be processes."""
    program = str(Path(setting.netbench).with_name("holder"))
    subprocess.run(["cc", "-O2", "-Wall", "-o", program, str(ROOT / "tools/bench/holder.c")], check=True)
    namespace = tap_of(stack)
    ports = str(-(-max(setting.idle, SOME) // EACH))
    command = (sys.executable, "-m", "tools.bench.server", "tap0", f"{ADDRESS}/{PREFIX}", "--echoes", ports)
    side = start(OURS, namespace, namespace, folder, command)
    return [Crowd(**vars(side), program=program, empty=side.memory())]


def held(side: Side, setting: Setting) -> Sample:
    """Memory of the server for each connection, after a byte to and fro on each."""
    assert isinstance(side, Crowd)
    side.reach(setting.idle)
    return {"bytes_each": (side.memory() - side.empty) / setting.idle, "open": setting.idle}


def busy(among: int | None, *, all_of_them: bool = False) -> Callable[[Side, Setting], Sample]:
    """Requests per second on 10 connections, or on all in turn, while so many are open (None: as many as asked for)."""

    def measure(side: Side, setting: Setting) -> Sample:
        assert isinstance(side, Crowd)
        number = setting.idle if among is None else min(among, setting.idle)
        side.reach(number)
        return side.use(number if all_of_them else min(BUSY, number), setting.seconds)

    return measure
