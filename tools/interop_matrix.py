#!/usr/bin/env python3
"""The interop matrix in the README.md, between its markers.

tools/interop_matrix.py           check that the table has every cell of tests/interop/table.py, all of them green
tools/interop_matrix.py --write   run every cell (as root: some need a TAP device) and write what came of it

`make test` runs the same cells: what the check demands of the README is what the tests demand of the code.
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from xml.etree import ElementTree as ET

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.interop.table import COLUMNS, ENDS, IMPOSSIBLE, LIMITS, LOOPS, ROWS, RUN  # noqa: E402  (a script: see above)

PAGE = ROOT / "README.md"
BEGIN = "<!-- the interop matrix: tools/interop_matrix.py --write -->\n"
END = "<!-- end of the interop matrix -->\n"
TESTS = "tests/interop/test_matrix.py"
GREEN, RED = "✓", "✗"


def footnotes() -> list[str]:
    """The reasons why cells are empty, each once."""
    return list(dict.fromkeys(reason for row in ROWS for reason in row.cells.values() if reason != RUN))


def table(results: dict[str, bool]) -> str:
    """The table; `results` has an entry for each cell that was run, by the id of its test."""
    notes = footnotes()
    heads = [f"{ends.replace('-', '–')}, {loop}" for ends in ENDS for loop in LOOPS]  # noqa: RUF001  (as it is printed)
    lines = [f"| client–server | {' | '.join(heads)} |"]  # noqa: RUF001  (as it is printed)
    lines.append("|---" + "|:-:" * len(COLUMNS) + "|")
    for row in ROWS:
        cells = []
        for column in COLUMNS:
            reason = row.cells[column.name]
            if reason == RUN:
                cells.append(GREEN if results.get(f"{row.module}-{column.name}") else RED)
            else:
                cells.append(f"– ({notes.index(reason) + 1})")  # noqa: RUF001  (as it is printed)
        lines.append(f"| {row.title} | " + " | ".join(cells) + " |")
    lines.append("")
    lines += [f"({number}) {reason}.  " for number, reason in enumerate(notes, 1)]
    lines += [f"{limit}  " for limit in LIMITS]
    never = "; ".join(f"{name} ({reason})" for name, reason in IMPOSSIBLE.items())
    lines.append(f"Not possible with any event loop: {never}.")
    return "\n".join(lines) + "\n"


def all_green() -> dict[str, bool]:
    """What the results must be."""
    return {f"{row.module}-{column.name}": True for row in ROWS for column in COLUMNS if row.cells[column.name] == RUN}


def run() -> dict[str, bool]:
    """Run the cells; whether each passed."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = (sys.executable, "-m", "pytest", TESTS, "-q", "-k", "test_cell and not again", f"--junitxml={report}")
        subprocess.run(command, cwd=ROOT, check=False)
        cases = ET.parse(report).iter("testcase")  # noqa: S314  (our own file)
        return {
            case.get("name", "").partition("[")[2].removesuffix("]"): not list(case.iter("failure"))
            and not list(case.iter("error"))
            and not list(case.iter("skipped"))
            for case in cases
        }


def parts() -> tuple[str, str, str]:
    """The page before, between and behind the markers."""
    before, begin, rest = PAGE.read_text().partition(BEGIN)
    between, end, behind = rest.partition(END)
    if not begin or not end:
        raise SystemExit(f"{PAGE.name} lacks the lines {BEGIN.strip()} and {END.strip()}")
    return before, between, behind


def main(arguments: list[str]) -> int:
    """Check or write the table."""
    before, between, behind = parts()
    if "--write" in arguments:
        results = run()
        PAGE.write_text(before + BEGIN + table(results) + END + behind)
        red = [name for name in all_green() if not results.get(name)]
        print("\n".join(f"not green: {name}" for name in red))
        return 1 if red else 0
    if between != table(all_green()):
        print(f"the interop matrix in {PAGE.name} is stale or not green everywhere: tools/interop_matrix.py --write")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
