"""What `make goodput` has measured so far, and what it says.

A file holds the runs of one setting: when all else is equal (`Results.setting`), an interrupted measurement goes on
where it was.  The two runs of a pair belong together, one after the other: half a pair is measured again as a whole.
A run that the relay or other programs disturbed is kept apart (`rejected`) and does not count.
"""

import json
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

SUBJECTS = ("tapstack", "kernel")
RELAY_LIMIT = 0.6  # of a core
OTHERS_LIMIT = 0.1  # of a core: what other programs, and other machines on this hardware, may use
Sample = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """One field of the table; `sender`: who is compared, the far end ("far") or the client ("near": we receive)."""

    congestion: str
    sender: str
    loss: float
    rtt_ms: int

    def target(self) -> float:
        """What the ratio should be."""
        return 0.8 if self.loss > 0.01 else 0.9


Pair = tuple[Cell, int]  # and a seed


def mbit_s(sample: Sample) -> float:
    """What arrived."""
    nbytes, seconds = sample["bytes"], sample["seconds"]
    return float(nbytes * 8 / seconds / 1e6)


def objection(sample: Sample) -> str:
    """Why a run does not count; empty if it does."""
    if "error" in sample:
        return f"failed: {sample['error']}"
    share = sample["relay"]["cpu_share"]
    if share > RELAY_LIMIT:
        return f"the relay used {share:.0%} of a core"
    if sample["others"] > OTHERS_LIMIT:
        return f"other programs used {sample['others']:.0%} of a core"
    return ""


class Results:
    """The runs of one setting, in a file that is written after each."""

    __slots__ = ("_path", "rejected", "runs", "sessions", "setting")

    def __init__(self, path: Path, setting: dict[str, Any], session: dict[str, Any], *, fresh: bool = False) -> None:
        """Go on with the file, or put it aside if it is of another setting (or all are to be `fresh`)."""
        self._path = path
        self.setting = setting
        self.sessions: list[dict[str, Any]] = []
        self.runs: list[Sample] = []
        self.rejected: list[Sample] = []
        if path.exists():
            found = json.loads(path.read_text())
            if found["setting"] == setting and not fresh:
                self.sessions, self.runs, self.rejected = found["sessions"], found["runs"], found["rejected"]
            else:
                path.rename(path.with_name(f"{path.stem}-{found['sessions'][0]['started']}{path.suffix}"))
        self.sessions.append(session)

    def add(self, sample: Sample) -> str:
        """Note a run, and write the file.  The objection, if there is one, comes back."""
        why = objection(sample)
        if why:
            self.rejected.append(sample | {"rejected": why})
        else:
            self.runs.append(sample)
        self.save()
        return why

    def save(self) -> None:
        """Write the file: the whole of it or, if that fails, nothing."""
        content = {name: getattr(self, name) for name in ("setting", "sessions", "runs", "rejected")}
        draft = self._path.with_suffix(".draft")
        draft.write_text(json.dumps(content, indent=1) + "\n")
        draft.replace(self._path)

    def begin(self, pair: Pair) -> None:
        """This pair is measured now: half of it from before does not count."""
        self.runs = [sample for sample in self.runs if _pair(sample) != pair]

    def missing(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Those that are not there as a whole."""
        there = {(_pair(sample), sample["subject"]) for sample in self.runs}
        return [pair for pair in pairs if not all((pair, name) in there for name in SUBJECTS)]

    def rows(self, cells: Iterable[Cell]) -> Iterator["Row"]:
        """A row of the table for each cell that has runs of both."""
        for cell in cells:
            mine = [sample for sample in self.runs if sample["cell"] == asdict(cell)]
            figures = {name: [mbit_s(sample) for sample in mine if sample["subject"] == name] for name in SUBJECTS}
            if all(figures.values()):
                relays = [sample["relay"] for sample in mine]
                share, error = (max(relay[key] for relay in relays) for key in ("cpu_share", "error_p99_us"))
                yield Row(cell, figures["tapstack"], figures["kernel"], share, error)


def _pair(sample: Sample) -> Pair:
    return Cell(**sample["cell"]), sample["seed"]


@dataclass(frozen=True)
class Row:
    """Mbit/s of both subjects, and the worst of the relay: its share of a core, the 99th percentile of its error."""

    cell: Cell
    ours: list[float]
    kernel: list[float]
    relay_share: float
    relay_error_us: int

    def ratio(self) -> float:
        """Of the medians."""
        return statistics.median(self.ours) / statistics.median(self.kernel)

    def is_short(self) -> bool:
        """Below its aim."""
        return self.ratio() < self.cell.target()

    def markdown(self) -> str:
        """As a line of the table."""
        cell = self.cell
        figures = [
            text
            for values in (self.ours, self.kernel)
            for text in (f"{statistics.median(values):.2f}", f"{min(values):.2f} to {max(values):.2f}")
        ]
        who = "ours, kernel" if cell.sender == "far" else "kernel to ours, kernel"
        ratio = f"{self.ratio():.2f}{' (short)' if self.is_short() else ''}"
        fields = (cell.congestion, who, f"{cell.loss:.1%}", f"{cell.rtt_ms} ms", *figures, ratio)
        return f"| {' | '.join(fields)} | {self.relay_share:.0%} | {self.relay_error_us} µs |"


def table(rows: Iterable[Row]) -> str:
    """In Markdown."""
    heads = "congestion", "sender", "loss", "RTT", "ours Mbit/s", "spread", "kernel Mbit/s", "spread", "ratio"
    lines = [f"| {' | '.join(heads)} | relay CPU | relay timing |", "|---" * (len(heads) + 2) + "|"]
    return "\n".join([*lines, *(row.markdown() for row in rows)])
