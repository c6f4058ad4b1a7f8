"""CPython 3.11's own asyncio tests on our loop, over our stack (tests/support/cpython_asyncio.py).

tests/interop/cpython_failures.txt lists those that fail, each with its reason; a test that fails without being listed
fails here, and so does a line for a test that passes.  Tests that name Unix sockets, pipes, processes or signals are
left out.
"""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

LIST = Path(__file__).with_name("cpython_failures.txt")
ELSEWHERE = re.compile(r"unix|pipe|pty|process|signal", re.IGNORECASE)
SHARE = 0.95

pytestmark = [
    pytest.mark.netns,
    pytest.mark.interop,
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the list of failures is that of CPython 3.11"),
]


def expected(loop: str) -> dict[str, str]:
    """Listed failures of this loop, with their reasons.  A line: test, `both` or the loop, reason."""
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    entries = [line.split(maxsplit=2) for line in lines]
    return {name: reason for name, where, reason in entries if where in {"both", loop}}


def test_the_interpreter_has_its_tests():
    assert importlib.util.find_spec("test.test_asyncio") is not None, (
        f"{sys.executable} came without CPython's own tests (the package test.test_asyncio), which are run on our loop "
        "here: use an interpreter built from source, or the package of your distribution that has them"
    )


def test_each_listed_failure_has_a_reason():
    for loop in ("asyncio", "uvloop"):
        for name, reason in expected(loop).items():
            assert len(reason.split()) >= 5, f"{name}: {reason!r} is no reason"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_cpythons_tests_pass_on_our_loop(loop, tap_namespace, tmp_path, capsys):
    report = tmp_path / "report.json"
    tap_namespace.sysctl("net.ipv6.conf.lo.disable_ipv6=0")  # for the tests over ::1, which is the kernel's
    command = (sys.executable, "-m", "tests.support.cpython_asyncio", loop, str(report))
    done = tap_namespace.run(*command, timeout=380, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    outcomes = {name: why for name, why in json.loads(report.read_text()).items() if not ELSEWHERE.search(name)}
    failed = {name: why for name, why in outcomes.items() if why}
    passed = len(outcomes) - len(failed)
    with capsys.disabled():
        print(f"\nCPython's own tests on our loop over {loop}: {passed} of {len(outcomes)} pass", end=" ")
    known = expected(loop)
    new = [f"{name}: {why}" for name, why in failed.items() if name not in known]
    assert not new, "not in the list:\n" + "\n".join(new)
    gone = [name for name in known if name not in failed]
    assert not gone, "these pass now, remove their lines:\n" + "\n".join(gone)
    assert len(outcomes) > 250, "most of the tests were not even found"
    assert passed >= SHARE * len(outcomes)
