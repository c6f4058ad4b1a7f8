"""How much of the machine others took while a sample was measured: other programs, and the hypervisor.

Ours are this process and all that descend from it, those that have ended and were waited for among them.  Interrupts
and the kernel's own threads count as nobody's: most of it is the work that our packets make.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

MAX_FOREIGN, MAX_STOLEN = 0.1, 0.06  # shares of all processors
KTHREADD = 2


@dataclass(frozen=True)
class Load:
    """Shares of all processors' time that were not ours, and not idle."""

    foreign: float
    stolen: float

    def judge(self, foreign: float = MAX_FOREIGN, stolen: float = MAX_STOLEN) -> str:
        """Why what was measured meanwhile should not count; empty when it should."""
        if self.foreign > foreign:
            return f"other programs took {self.foreign:.0%} of the machine"
        if self.stolen > stolen:
            return f"the hypervisor took {self.stolen:.0%} of the machine"
        return ""


@dataclass(frozen=True)
class Process:
    """What counts of /proc/PID/stat: ticks of its own and of children that it has waited for."""

    parent: int
    ticks: int


@dataclass(frozen=True)
class Reading:
    """Ticks of the clock so far: of all processors, of programs, stolen, of programs of ours."""

    total: int
    programs: int
    stolen: int
    ours: int

    def until(self, later: "Reading") -> Load:
        """What happened between the two."""
        total = max(1, later.total - self.total)
        foreign = (later.programs - self.programs) - (later.ours - self.ours)
        return Load(max(0.0, foreign / total), (later.stolen - self.stolen) / total)


def parse_machine(text: str) -> tuple[int, int, int]:
    """All ticks, those of programs and the stolen ones, by the first line of /proc/stat (proc(5))."""
    user, nice, system, idle, iowait, irq, softirq, steal = map(int, text.split("\n", 1)[0].split()[1:9])
    return user + nice + system + idle + iowait + irq + softirq + steal, user + nice + system, steal


def parse_process(text: str) -> Process:
    """Of one process by its stat (proc(5)); its name may have spaces and parentheses."""
    fields = text.rpartition(")")[2].split()
    return Process(int(fields[1]), sum(map(int, fields[11:15])))


def of_family(processes: Mapping[int, Process], root: int) -> int:
    """Ticks of a process, of all that descend from it, and of the kernel's threads."""
    children: dict[int, list[int]] = {}
    for pid, process in processes.items():
        children.setdefault(process.parent, []).append(pid)
    ticks, left = 0, [root, KTHREADD]
    while left:
        pid = left.pop()
        ticks += processes[pid].ticks if pid in processes else 0
        left += children.get(pid, [])
    return ticks


def _processes() -> Iterator[tuple[int, Process]]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue  # it has ended meanwhile
            yield int(folder.name), parse_process(text)


def read() -> Reading:
    """The state of things."""
    total, programs, stolen = parse_machine(Path("/proc/stat").read_text(encoding="ascii"))
    return Reading(total, programs, stolen, of_family(dict(_processes()), os.getpid()))
