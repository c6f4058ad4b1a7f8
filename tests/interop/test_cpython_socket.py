"""CPython's own tests of TCP and UDP sockets pass on ours (tests/support/cpython_socket.py)."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = {"files": 80, "connections": 20, "data": 100}  # at least so many in each group; most of the time they sleep

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the groups are those of CPython 3.11"),
]


def run(group):
    return subprocess.run(
        [sys.executable, "-m", "tests.support.cpython_socket", group],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_the_socket_tests_of_cpython():
    with ThreadPoolExecutor() as pool:
        results = dict(zip(TESTS, pool.map(run, TESTS), strict=True))
    for group, done in results.items():
        assert done.returncode == 0, done.stderr[-4000:]
        count, skipped = map(int, done.stdout.split())
        assert count - skipped >= TESTS[group], (group, count, skipped)
