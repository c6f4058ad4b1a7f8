"""The programs of docs/blocking-sockets.md run, need no root, and print what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "blocking-sockets.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


def test_every_program_has_its_output():
    assert len(PROGRAMS) == PAGE.count("```python") == 2


@pytest.mark.parametrize(("program", "output"), PROGRAMS)
def test_a_program_of_the_page(program, output):
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == output
