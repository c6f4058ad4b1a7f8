#!/usr/bin/env python3
"""Planted bugs, and how soon the campaign of random networks finds each of them.

    python -m tools.mutants [--runs 10000] [--jobs 2] [--write] [name ...]

A mutant is one small change of the source, made in a copy of the package; the copy's own campaign then runs over
the seeds 0, 1, 2 ... until it fails.  Every mutant must be found within `--runs`; the table says after how many
networks each was, and by what.  The text to be changed must stand in the source exactly once, so that a mutant cannot
rot unseen.  Prints a line as soon as a mutant is decided; `--write` puts the table into docs/simulator-findings.md, in
the order of the list here.  The exit status is 1 when one survived.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOUND = re.compile(r"^seed (\d+): (.*)$", re.MULTILINE)
PAGE = ROOT / "docs" / "simulator-findings.md"
BEGIN, END = "<!-- planted bugs: written by `make mutants args=--write` -->\n", "<!-- end of planted bugs -->\n"
WORDS = 90  # characters of a problem in the table
NETWORKS = re.compile(r"^(\d+) networks in", re.MULTILINE)

Found = tuple[int, str]  # after how many networks (0: never), and by what


class Rotten(Exception):
    """The source no longer has the text that a mutant changes."""


@dataclass(frozen=True)
class Mutant:
    """In `file`, `old` becomes `new`."""

    name: str
    file: str
    old: str
    new: str

    def apply(self, root: Path) -> None:
        """Change the copy at `root`.  Raises Rotten."""
        path = root / self.file
        text = path.read_text(encoding="utf-8")
        if text.count(self.old) != 1:
            raise Rotten(f"{self.name}: {self.file} has the text {text.count(self.old)} times, not once: {self.old!r}")
        path.write_text(text.replace(self.old, self.new), encoding="utf-8")


CONNECTION, SENDER, RECEIVER = "stack/tcp/connection.py", "stack/tcp/sender.py", "stack/tcp/receiver.py"
ARRIVAL, TRANSMIT, REASSEMBLY = "stack/tcp/arrival.py", "stack/tcp/transmit.py", "stack/tcp/reassembly.py"
SCOREBOARD, PERSIST, RTT = "stack/tcp/scoreboard.py", "stack/tcp/persist.py", "stack/tcp/rtt.py"
SACK = "stack/tcp/sack.py"

MUTANTS = (
    Mutant(
        "send one byte past the window",
        TRANSMIT,
        "usable = snd.snd_wnd - outstanding",
        "usable = snd.snd_wnd - outstanding + 1",
    ),
    Mutant("window scale ignored", SENDER, "wnd = seg.wnd << self.snd_wscale", "wnd = seg.wnd"),
    Mutant(
        "window offered goes back",
        RECEIVER,
        "field = (wnd + (1 << scale) - 1) >> scale\n",
        "field = room // 2 >> scale\n",
    ),
    Mutant(
        "no retransmission timer",
        SENDER,
        "            timers.arm(RETRANSMIT, now + self.rtt.timeout_us())  # RFC 6298 §5.1",
        "            pass",
    ),
    Mutant(
        "timer not restarted by an ACK",
        SENDER,
        "            timers.arm(RETRANSMIT, now + self.rtt.timeout_us())  # RFC 6298 §5.3",
        "            timers.at[RETRANSMIT] = NEVER",
    ),
    Mutant(
        "no user timeout",
        SENDER,
        "            if self.snd_una == self.snd_nxt:\n                timers.arm(USER, now + self.user_timeout_us)\n",
        "",
    ),
    Mutant("RTO not backed off", RTT, "            self.backoff += 1", "            pass"),
    Mutant(
        "delayed ACK timer not armed",
        CONNECTION,
        "            self.timers.arm(DELAYED_ACK, now + self.config.delayed_ack_us)",
        "            pass",
    ),
    Mutant(
        "SYN not sent again",
        CONNECTION,
        "            self.syn_due = True\n            self.syn_lost = True",
        "            self.syn_lost = True",
    ),
    Mutant(
        "RCV.NXT off by one at 2^32",
        RECEIVER,
        "        self.rcv_nxt = (self.rcv_nxt + length) & MASK\n        chunks = self.chunks\n        if chunks",
        "        self.rcv_nxt = (self.rcv_nxt + length) % MASK\n        chunks = self.chunks\n        if chunks",
    ),
    Mutant(
        "SND.NXT off by one at 2^32",
        SENDER,
        "            end = (nxt + length) & MASK\n",
        "            end = (nxt + length) % MASK\n",
    ),
    Mutant(
        "old text by plain comparison",
        RECEIVER,
        "        if 0 < old < HALF:\n            # the front",
        "        if seq < nxt:\n            # the front",
    ),
    Mutant("a duplicate ACK lost", RECEIVER, "        return ACK_NOW  # (SHLD-31, MAY-13)", "        return 0"),
    Mutant(
        "cwnd stale after a timeout",
        "stack/tcp/sender.py",
        "            controller.on_rto(now, in_flight, not again and not marked)\n",
        "",
    ),
    Mutant(
        "reneging not noticed",
        SCOREBOARD,
        "            self.records[i].mark &= ~SACKED\n        self.sacked_bytes = 0\n        return True",
        "            pass\n        return False",
    ),
    Mutant(
        "PAWS inverted",
        RECEIVER,
        "return 0 < (self.ts_recent - seg.tsval) & MASK < HALF and",
        "return 0 < (seg.tsval - self.ts_recent) & MASK < HALF and",
    ),
    Mutant("FIN lost when sent again", TRANSMIT, "    snd.out_fin = bool(fin)", "    snd.out_fin = False"),
    Mutant("FIN taken before its data", ARRIVAL, "    if conn.pending_fin != rcv.rcv_nxt:\n        return 0\n", ""),
    Mutant(
        "SACK block one too long",
        REASSEMBLY,
        "self._seq(ends[i])) for i in chosen[:limit]",
        "self._seq(ends[i] + 1)) for i in chosen[:limit]",
    ),
    Mutant(
        "SACK block taken for one more",
        SACK,
        "(una + end) & MASK)\n    return fresh",
        "(una + end + 1) & MASK)\n    return fresh",
    ),
    Mutant(
        "no probe of a zero window",
        PERSIST,
        "    snd.persist_backoff += 1\n    arm(snd, now)\n    return True",
        "    snd.persist_backoff += 1\n    arm(snd, now)\n    return False",
    ),
    Mutant(
        "persist timer missing",
        TRANSMIT,
        "        if not outstanding and snd.timers.at[PERSIST] == NEVER:\n"
        "            persist.arm(snd, now)\n        return False",
        "        return False",
    ),
    Mutant(
        "probe octet not taken back",
        SENDER,
        "            persist.untake_probe(self)",
        "            self.probing = False",
    ),
    Mutant(
        "overlap: the wrong bytes",
        REASSEMBLY,
        "self._put(at, data[at - s : begin - s])",
        "self._put(at, data[: begin - at])",
    ),
    Mutant(
        "overlap: the front not cut",
        RECEIVER,
        "seq, length, off = nxt, length - old, off + old",
        "seq, length, off = nxt, length - old, off",
    ),
    Mutant(
        "checksum not verified",
        "stack/host/host.py",
        "            if flags & ROW_BAD_CSUM:",
        "            if flags & ROW_BAD_CSUM and not seg.length:",
    ),
    Mutant("timestamps not counted in the MSS", CONNECTION, "(LEN_TS if self.ts_ok else 0)", "0"),
    Mutant(
        "send buffer released too far",
        SENDER,
        "self.buffer.release(self.buffer.base + acked)",
        "self.buffer.release(self.buffer.base + acked + (acked > 1))",
    ),
    Mutant(
        "Nagle waits for ever",
        TRANSMIT,
        "or snd.nodelay or not outstanding or fin_waits",
        "or snd.nodelay or fin_waits",
    ),
    Mutant(
        "TIME-WAIT for ever",
        "stack/tcp/time_wait.py",
        "            del records[key]\n        return 0",
        "            return 0\n        return 0",
    ),
)


def hunt(mutant: Mutant, runs: int) -> Found:
    """How many networks it took to find a mutant, and by what; (0, "") if it survived.  Raises Rotten."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        root = Path(name)
        shutil.copytree(ROOT / "stack", root / "stack", ignore=shutil.ignore_patterns("__pycache__"))
        mutant.apply(root)
        command = [sys.executable, "-m", "stack.sim.campaign", "--stop", "--jobs", "1", "--fixed", "0", "--seed", "0"]
        env = os.environ | {"PYTHONPATH": name, "TAPSTACK_FORM": "interpreted"}
        done = subprocess.run(
            [*command, "--runs", str(runs)], cwd=name, env=env, capture_output=True, text=True, check=False
        )
    networks, found = NETWORKS.search(done.stdout), FOUND.search(done.stdout)
    if networks is None:
        return 1, f"the campaign itself fails: {done.stderr.strip().splitlines()[-1:]}"
    return (int(networks[1]), found[2]) if found is not None else (0, "")


def table(found: dict[str, Found], runs: int) -> str:
    """The outcome in Markdown."""
    count = sum(networks > 0 for networks, _ in found.values())
    lines = [f"{count} of {len(found)} are found within {runs} networks.", ""]
    lines += ["| planted bug | networks | what shows it first |", "|---|---:|---|"]
    for name, (networks, problem) in found.items():
        told = problem.partition(";")[0].removeprefix("AssertionError: ")[:WORDS].replace("|", "\\|")
        lines.append(f"| {name} | {networks or 'not found'} | {told} |")
    return "\n".join(lines) + "\n"


def put(page: str, text: str) -> str:
    """The page with `text` between its markers.  Raises ValueError when they are not there."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the markers of the table are missing")
    return f"{before}{BEGIN}\n{text}\n{END}{after}"


def search(chosen: Sequence[Mutant], runs: int, jobs: int) -> dict[str, Found]:
    """Hunt for all of `chosen`, `jobs` at a time, telling of each as soon as it is decided."""
    found: dict[str, Found] = {}
    with ThreadPoolExecutor(jobs) as pool:
        hunts = {pool.submit(hunt, mutant, runs): mutant for mutant in chosen}
        for number, done in enumerate(as_completed(hunts), 1):
            name = hunts[done].name
            count, problem = found[name] = done.result()
            shown = f"{count:6}" if count else "     -"
            print(f"{number:2}/{len(chosen)}  {name:34} {shown}  {problem[:WORDS] or 'SURVIVED'}", flush=True)
    return {mutant.name: found[mutant.name] for mutant in chosen}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants", description="Planted bugs, and the campaign.")
    parser.add_argument("--runs", type=int, default=10_000, help="networks that a mutant may survive (default 10000)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time")
    parser.add_argument("--write", action="store_true", help=f"write the table into docs/{PAGE.name}")
    parser.add_argument("names", nargs="*", help="only mutants whose names contain one of these")
    options = parser.parse_args(arguments)
    if options.write and options.names:
        parser.error("--write is for all mutants, not for some")
    chosen = [m for m in MUTANTS if not options.names or any(name in m.name for name in options.names)]
    found = search(chosen, options.runs, options.jobs)
    survived = sum(not count for count, _ in found.values())
    print(f"{len(chosen) - survived} of {len(chosen)} planted bugs found within {options.runs} networks")
    if options.write:
        PAGE.write_text(put(PAGE.read_text(encoding="utf-8"), table(found, options.runs)), encoding="utf-8")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
