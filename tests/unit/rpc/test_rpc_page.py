"""Programs of docs/rpc.md with their output below them say just that."""

import contextlib
import io
import re
from pathlib import Path

import pytest

from stack.rpc import XdrReason
from stack.rpc.xdr import LIMITS, MAX_DEPTH
from tests.support import rpc_fuzz

PAGE = (Path(__file__).parents[3] / "docs" / "rpc.md").read_text()
SHOWN = re.findall(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


def test_there_are_some():
    assert SHOWN


@pytest.mark.parametrize(("program", "output"), SHOWN)
def test_a_program_of_the_page(program, output):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(program, "rpc.md", "exec"), {})
    assert said.getvalue() == output


def test_the_page_says_what_is_so():
    assert all(f"`{reason.name}`" in PAGE for reason in XdrReason)
    assert f"| `max_items` | {LIMITS.max_items:,} |".replace(",", " ") in PAGE
    assert f"| `max_depth` | {LIMITS.max_depth}, at most {MAX_DEPTH} |" in PAGE
    assert LIMITS.max_bytes == (1 << 20) + (1 << 16)
    plain = " ".join(PAGE.split()).replace("\N{MULTIPLICATION SIGN}", "*")
    steps, per_octet, per_step = rpc_fuzz.STEPS, rpc_fuzz.STEPS_AN_OCTET, rpc_fuzz.ITEMS_A_STEP
    assert f"{steps} + {per_octet} * octets + `max_items` / {per_step} lines" in plain
    assert f"{rpc_fuzz.MEMORY_AN_OCTET} * octets + {rpc_fuzz.MEMORY >> 10} KiB" in plain
