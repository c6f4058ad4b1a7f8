"""Two databases and a coordinator as processes on the kernel's sockets, which are killed at each step."""

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stack import commit
from tests.support.commit_money import amounts, make

ROOT = Path(__file__).parents[3]
WAIT_S = 20
BOTH, NONE = [70, 130], [100, 100]


class Processes:
    """Those of one test."""

    def __init__(self, folder):
        self.folder = folder
        held = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        self.ports = [one.getsockname()[1] for one in held]
        for one in held:
            one.close()
        self.members = {
            name: ("127.0.0.1", port) for name, port in zip(("teller", "north", "south"), self.ports, strict=True)
        }
        self.running = {}
        self.started = []
        for name in ("north", "south"):
            make(folder / f"{name}.db")

    def start(self, name, moment=""):
        ports = ",".join(map(str, self.ports))
        command = [sys.executable, "-m", "tests.support.commit_member", name, str(self.folder), ports, moment]
        process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.running[name] = process
        self.started.append(process)
        assert process.stdout.readline() == "up\n"
        return process

    def end(self):
        for process in self.started:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def amounts(self):
        return [amounts(self.folder / f"{name}.db")[who] for name, who in (("north", "anna"), ("south", "otto"))]

    def settle(self):
        """Until nothing is open any more."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            told = asyncio.run(commit.status(self.members))
            if not any(member.rows or member.silent for member in told):
                return
            time.sleep(0.05)
        pytest.fail("; ".join(map(str, told)))


@pytest.fixture
def processes(tmp_path):
    made = Processes(tmp_path)
    yield made
    made.end()


@pytest.mark.parametrize(
    ("who", "moment", "is_late", "expected"),
    [
        ("south", "before prepare", True, NONE),
        ("south", "after prepare", True, NONE),  # the vote has not left
        ("south", "before prepare", False, BOTH),  # it is asked again, and is there in time
        ("south", "after prepare", False, BOTH),
        ("south", "before commit", False, BOTH),
        ("south", "after commit", False, BOTH),
        ("teller", "before write", False, NONE),
        ("teller", "after flush", False, BOTH),
    ],
)
def test_whoever_is_killed_and_when_both_have_it_or_none(processes, who, moment, is_late, expected):
    for name in ("north", "south", "teller"):
        processes.start(name, moment if name == who else "")
    teller = processes.running["teller"]
    teller.stdin.write("go\n")
    teller.stdin.flush()
    assert processes.running[who].wait(WAIT_S) == -9
    said = teller.stdout.readline() if is_late else ""
    processes.start(who)
    processes.settle()
    assert processes.amounts() == expected
    again = processes.running["teller"]
    if again is teller:
        said = said or teller.stdout.readline()
        assert said.startswith("committed" if expected == BOTH else "aborted")
    again.stdin.write("go\n")
    again.stdin.flush()
    assert again.stdout.readline() == "committed \n"
    assert sum(processes.amounts()) == 200
