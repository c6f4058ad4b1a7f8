"""The programs of docs/nfs.md print what it says, and its numbers are those of the code."""

import contextlib
import inspect
import io
import re
from pathlib import Path

import pytest

from stack import nfs
from stack.nfs.client import WINDOW
from stack.nfs.places import CAPACITY
from stack.nfs.reading import READ_MAX
from stack.nfs.server import PORT, THREADS
from stack.nfs.tree import MAX_SEARCH

PAGE = (Path(__file__).parents[3] / "docs" / "nfs.md").read_text()
SHOWN = re.findall(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


def test_there_are_some():
    assert len(SHOWN) == PAGE.count("```python")


@pytest.mark.parametrize(("program", "output"), SHOWN)
def test_a_program_of_the_page(program, output):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(program, "nfs.md", "exec"), {})
    assert said.getvalue() == output


def test_options_and_numbers_are_those_of_the_code():
    rows = {name: default for names, default in re.findall(r"^\| (`[^|]+) \| ([^|]+) \|", PAGE, re.MULTILINE)
            for name in re.findall(r"`(\w+)`", names)}  # fmt: skip
    options = set(inspect.signature(nfs.serve).parameters) - {"directory", "limits"}
    assert options <= set(rows)
    assert (rows["port"], rows["threads"]) == (str(PORT), str(THREADS))
    for number in (MAX_SEARCH, CAPACITY):
        assert f"{number:_}".replace("_", " ") in PAGE
    assert f"READs of\n{READ_MAX >> 10} KiB" in PAGE
    assert WINDOW == 8
    for name in [
        *re.findall(r"there\.(\w+)\(", PAGE),
        "mkdir",
        "rmdir",
        "remove",
        "rename",
        "symlink",
        "readlink",
        "chmod",
    ]:
        assert hasattr(nfs.Mounted, name)
