"""Programs of docs/dns.md with their output below them say just that."""

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[3] / "docs" / "dns.md").read_text()
SHOWN = re.findall(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_there_are_some():
    assert SHOWN


@pytest.mark.parametrize(("program", "output"), SHOWN)
def test_a_program_of_the_page(program, output):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(program, "dns.md", "exec"), {})
    assert said.getvalue() == output


@pytest.mark.parametrize("block", BLOCKS)
def test_every_piece_of_code_is_python(block):
    compile(f"async def _():\n{''.join(f'    {line}' for line in block.splitlines(keepends=True))}", "dns.md", "exec")
