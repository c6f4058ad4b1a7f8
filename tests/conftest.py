"""What a run may leave out.

Without root or /dev/net/tun the tests in network namespaces are skipped and the summary says so.  Where
they can run, and always with CI=true, a skip is a failure unless tests/allowed_skips.txt lists it.

The interpreted form of the TCP core is what is tested, in child processes too, unless TAPSTACK_FORM says otherwise.
"""

import fnmatch
import os
import signal
from collections.abc import Generator
from pathlib import Path

import pytest

os.environ.setdefault("TAPSTACK_FORM", "interpreted")  # before `stack` is imported

# Who runs this in the background has SIGINT ignored, and what we start would inherit that: Ctrl-C is tested, too.
signal.signal(signal.SIGINT, signal.default_int_handler)
# Who is told to end cleans up first: namespaces and the processes in them would stay.
signal.signal(signal.SIGTERM, signal.default_int_handler)

HERE = Path(__file__).parent
CAPABLE = os.geteuid() == 0 and os.access("/dev/net/tun", os.R_OK | os.W_OK)
STRICT = CAPABLE or os.environ.get("CI") == "true"
ALLOWED = [
    line.partition("#")[0].strip()
    for line in (HERE / "allowed_skips.txt").read_text().splitlines()
    if line.partition("#")[0].strip()
]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if not CAPABLE:
        for item in items:
            if item.get_closest_marker("netns"):
                item.add_marker(pytest.mark.skip(reason="needs root and /dev/net/tun"))


def forbid_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turn a skip that is not listed into a failure."""
    skipped = report.outcome == "skipped" and not hasattr(report, "wasxfail")
    if STRICT and skipped and not any(fnmatch.fnmatch(report.nodeid, pattern) for pattern in ALLOWED):
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"skipped, and not in tests/allowed_skips.txt: {why}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    forbid_skip(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    left_out = len(terminalreporter.stats.get("skipped", []))
    if left_out:
        terminalreporter.write_line(f"left out: {left_out} tests, for the reasons given above")
