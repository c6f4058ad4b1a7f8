"""Programs of the pages about RPC with their output below them say just that."""

import contextlib
import io
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from stack.rpc import ServerLimits, XdrReason, session
from stack.rpc.xdr import LIMITS, MAX_DEPTH
from tests.support import rpc_fuzz

DOCS = Path(__file__).parents[3] / "docs"
PAGE = "\n".join((DOCS / name).read_text() for name in ("rpc.md", "xdr.md", "many-servers.md"))
SHOWN = re.findall(r"```python\n((?:(?!```).)*)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)


def test_there_are_some():
    assert SHOWN


@pytest.mark.parametrize(("program", "output"), SHOWN)
def test_a_program_of_the_page(program, output):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(program, "rpc.md", "exec"), {})
    assert said.getvalue() == output


def test_the_two_programs(tmp_path):
    (interface,) = re.findall(r"```c\n(.*?)```", PAGE, re.DOTALL)
    server, client = re.findall(r"```python\n((?:(?!```).)*add\.x(?:(?!```).)*)```", PAGE, re.DOTALL)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    (tmp_path / "add.x").write_text(interface)
    (tmp_path / "server.py").write_text(server.replace("4000", port))
    (tmp_path / "client.py").write_text(client.replace("4000", port))
    run = {
        "cwd": tmp_path,
        "env": os.environ | {"PYTHONPATH": str(DOCS.parent)},
        "stdout": subprocess.PIPE,
        "text": True,
    }
    with subprocess.Popen([sys.executable, "server.py"], **run) as serving:
        try:
            assert serving.stdout.readline() == "ready\n"
            done = subprocess.run([sys.executable, "client.py"], **run, timeout=30, check=True)
        finally:
            serving.kill()
    assert done.stdout == "42\n"


def test_the_program_of_the_readme():
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    (program,) = re.findall(r"```python\n((?:(?!```).)*rpc\.serve(?:(?!```).)*)```", readme, re.DOTALL)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(program, "README.md", "exec"), {})
    assert said.getvalue() == "42\n"
    assert "It prints 42" in readme


def test_the_limits_of_a_server_are_those_of_the_page():
    shown = dict(re.findall(r"^\| `(\w+)` \| ([\d ]+)(?: MiB)? \|", PAGE, re.MULTILINE))
    limits = ServerLimits()
    for name in ("connections", "connections_per_client", "idle_s", "record_s", "call_s"):
        assert int(shown[name].replace(" ", "")) == getattr(limits, name)
    assert int(shown["partial_bytes"]) << 20 == limits.partial_bytes
    in_all, each = limits.running, limits.running_per_connection
    assert limits.running_per_client is None
    assert f"`running_per_connection` | {in_all}, a quarter of it, {each} |" in PAGE
    assert f"{session.PROGRAM:#x}" in PAGE


def test_the_page_says_what_is_so():
    assert all(f"`{reason.name}`" in PAGE for reason in XdrReason)
    assert f"| `max_items` | {LIMITS.max_items:,} |".replace(",", " ") in PAGE
    assert f"| `max_depth` | {LIMITS.max_depth}, at most {MAX_DEPTH} |" in PAGE
    assert LIMITS.max_bytes == (1 << 20) + (1 << 16)
    plain = " ".join(PAGE.split()).replace("\N{MULTIPLICATION SIGN}", "*")
    steps, per_octet, per_step = rpc_fuzz.STEPS, rpc_fuzz.STEPS_AN_OCTET, rpc_fuzz.ITEMS_A_STEP
    assert f"{steps} + {per_octet} * octets + `max_items` / {per_step} lines" in plain
    assert f"{rpc_fuzz.MEMORY_AN_OCTET} * octets + {rpc_fuzz.MEMORY >> 10} KiB" in plain
