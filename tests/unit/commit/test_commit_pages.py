"""What docs/two-phase-commit.md and docs/replication.md show is so."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from stack.commit import Timing
from stack.commit.transactions import WINDOW

ROOT = Path(__file__).parents[3]
COMMIT = (ROOT / "docs" / "two-phase-commit.md").read_text()
REPLICATION = (ROOT / "docs" / "replication.md").read_text()
SHOWN = re.findall(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", COMMIT, re.DOTALL)
SESSIONS = re.findall(r"    \$ python (.*)\n((?:    (?!\$).*\n)+)", REPLICATION)


@pytest.mark.parametrize(("program", "output"), SHOWN)
def test_a_program_of_the_page(program, output):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(program, "two-phase-commit.md", "exec"), {})
    assert said.getvalue() == output


@pytest.mark.parametrize(("command", "output"), SESSIONS)
def test_a_session_of_the_page(command, output):
    result = subprocess.run(
        [sys.executable, *command.split()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": "."},
        check=False,
    )
    expected = output.replace("\n    ", "\n").removeprefix("    ")
    assert result.stdout.startswith(expected.split("...")[0])
    assert result.stderr == ""


def test_there_are_some():
    assert (len(SHOWN), len(SESSIONS)) == (2, 3)


def test_the_numbers_of_the_page():
    assert f"the last {WINDOW} numbers" in COMMIT
    assert "`Timing.vote_us`" in COMMIT
    assert Timing().vote_us
