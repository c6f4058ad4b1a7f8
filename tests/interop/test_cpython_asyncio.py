"""CPython 3.11's own asyncio tests on our loop, over our stack (tests/support/cpython_asyncio.py).

tests/interop/cpython_failures.txt lists those that fail, each with its reason; a test that fails without being listed
fails here, and so does a line for a test that passes.  Tests that name Unix sockets, pipes, processes or signals are
left out.  A listed test that fails in uvloop's own code (`uvloop-itself`) has to fail on uvloop without us, too.
"""

import importlib.util
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from stack.device.tap import TapDevice
from tests.support.interop_hosts import DEVICE, KERNEL, PREFIX
from tests.support.netns import Namespace

LIST = Path(__file__).with_name("cpython_failures.txt")
PLACES = ("asyncio", "uvloop", "both", "uvloop-itself")
SHARE = 0.95
LIMIT = 240  # seconds for all; it takes one minute

pytestmark = [
    pytest.mark.netns,
    pytest.mark.interop,
    pytest.mark.timeout(400),
    pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="the list of failures is that of CPython 3.11"),
]


def listed(*where: str) -> dict[str, str]:
    """Listed failures of these places, with their reasons.  A line: test, place, reason."""
    lines = [line for line in LIST.read_text().splitlines() if line and not line.startswith("#")]
    entries = [line.split(maxsplit=2) for line in lines]
    assert all(place in PLACES for _, place, _ in entries)
    return {name: reason for name, place, reason in entries if place in where}


def test_the_interpreter_has_its_tests():
    assert importlib.util.find_spec("test.test_asyncio") is not None, (
        f"{sys.executable} came without CPython's own tests (the package test.test_asyncio), which are run on our loop "
        "here: on Debian run scripts/bootstrap.sh test (its package is libpython3.11-testsuite), else use an "
        "interpreter built from source"
    )


def test_each_listed_failure_has_a_reason():
    for name, reason in listed(*PLACES).items():
        assert len(reason.split()) >= 5, f"{name}: {reason!r} is no reason"


def run_tests(kind: str, folder: Path) -> dict[str, str]:
    """What came of each test, "" for a pass."""
    report = folder / f"{kind}.json"
    with Namespace() as made:
        with made.entered():
            device = TapDevice(DEVICE)
            device.set_persistent(True)
            device.set_up()
            device.close()
        made.ip(f"address add {KERNEL}/{PREFIX} dev {DEVICE}")
        made.sysctl("net.ipv6.conf.lo.disable_ipv6=0")  # for the tests over ::1, which is the kernel's
        command = (sys.executable, "-m", "tests.support.cpython_asyncio", kind, str(report))
        done = made.run(*command, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    outcomes: dict[str, str] = json.loads(report.read_text())
    return outcomes


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Of the tests on both our loops, and on uvloop without us; all at the same time."""
    folder = tmp_path_factory.mktemp("reports")
    with ThreadPoolExecutor() as pool:
        running = {kind: pool.submit(run_tests, kind, folder) for kind in ("asyncio", "uvloop", "plain")}
        return {kind: each.result() for kind, each in running.items()}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_cpythons_tests_pass_on_our_loop(loop, outcomes, capsys):
    uvloops = listed("uvloop-itself") if loop == "uvloop" else {}
    known = uvloops | listed("both", loop)
    failed = {name: why for name, why in outcomes[loop].items() if why}
    total = len(outcomes[loop])
    passed = total - len(failed)
    with capsys.disabled():
        print(
            f"\nCPython's own tests on our loop over {loop}: {passed} of {total} pass ({passed / total:.1%})", end=" "
        )
    new = [f"{name}: {why}" for name, why in failed.items() if name not in known]
    assert not new, "not in the list:\n" + "\n".join(new)
    gone = [name for name in known if name not in failed]
    assert not gone, "these pass now, remove their lines:\n" + "\n".join(gone)
    ours = [name for name in uvloops if not outcomes["plain"][name]]
    assert not ours, "these pass on uvloop without us, so the fault is not its own:\n" + "\n".join(ours)
    assert total > 150, "most of the tests were not even found"
    assert passed >= SHARE * total
