"""Runs of pytest with the plugin, and with no other that happens to be installed."""

from pathlib import Path

import pytest

import stack.testing.run  # noqa: F401  (before `pytester` remembers what is loaded: classes stay the same)
from tests.support.inner_tests import ECHO

ROOT = Path(__file__).parents[3]


@pytest.fixture
def run(pytester, monkeypatch):
    """A run of pytest over one file; `-p asyncio` and its like are for the caller."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makeini("[pytest]\naddopts = --strict-markers -p stack.testing")

    def inner(text, *options, head=ECHO):
        pytester.makepyfile(test_it=head + text)
        return pytester.runpytest_inprocess(*options)

    return inner


@pytest.fixture
def run_apart(pytester, monkeypatch):
    """The same in a process of its own."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makeini("[pytest]\naddopts = -p stack.testing")

    def inner(text, *options, head=ECHO):
        pytester.makepyfile(test_it=head + text)
        return pytester.runpytest_subprocess(*options)

    return inner
