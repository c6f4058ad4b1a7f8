"""The import contracts forbid what they say: shown by breaking them in a copy of the package."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def copy(tmp_path):
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "stack", tmp_path / "stack", ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return tmp_path


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_as_it_is_the_package_keeps_them(copy):
    result = lint(copy)
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("path", "statement"),
    [
        ("stack/tcp/state.py", "import time"),
        ("stack/host/__init__.py", "from random import Random"),
        ("stack/wire/seq.py", "import stack.tcp.state"),
        ("stack/tcp/state.py", "import stack.udp"),
        ("stack/config.py", "import stack.wire.seq"),
        ("stack/dns/names.py", "import socket"),
        ("stack/dns/rdata/text.py", "import datetime"),
        ("stack/aio/names.py", "import stack.dns.names"),
        ("stack/rpc/duplicates.py", "import time"),
        ("stack/rpc/dispatch.py", "import asyncio"),
        ("stack/rpc/errors.py", "import stack.dns.errors"),
    ],
)
def test_a_forbidden_import_is_noticed(copy, path, statement):
    file = copy / path
    file.write_text(file.read_text() + f"\n{statement}\n")
    assert lint(copy).returncode == 1
