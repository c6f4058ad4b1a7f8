"""The complete programs of docs/links.md run, and need no root."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "links.md").read_text(), re.DOTALL)
PROGRAMS = [block for block in BLOCKS if re.search(r"^(asyncio|anyio)\.run\(", block, re.MULTILINE)]
OUTPUTS = [r"b'hello'\n", r"\d+ us\n", r"\d+ us\n", r"b'HELLO'\n"]


@pytest.mark.parametrize(("program", "output"), list(zip(PROGRAMS, OUTPUTS, strict=True)))
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
    assert re.fullmatch(output, done.stdout)


@pytest.mark.parametrize("block", BLOCKS)
def test_every_piece_of_code_is_python(block):
    compile(f"async def _():\n{''.join(f'    {line}' for line in block.splitlines(keepends=True))}", "links.md", "exec")
