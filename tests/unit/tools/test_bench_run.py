"""What `make bench` keeps, and what it says to who may not make namespaces."""

import io
import json
import os
import subprocess
import sys

import pytest
from rich.console import Console

from tools import netns
from tools.bench import run


def test_nothing_measured_leaves_the_baseline_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "BASELINE", tmp_path / "baseline.json")
    console = Console(file=io.StringIO())
    run.keep({}, {"crr": {"tapstack": 1.0}}, console)
    assert not run.BASELINE.exists()
    assert "as it was" in console.file.getvalue()
    run.keep({"http": {"tapstack": 2.0}}, {"crr": {"tapstack": 1.0}, "http": {"tapstack": 1.0}}, console)
    assert json.loads(run.BASELINE.read_text()) == {"rows": {"crr": {"tapstack": 1.0}, "http": {"tapstack": 2.0}}}


def test_who_is_not_root_is_told_so(monkeypatch):
    monkeypatch.setattr(netns.os, "geteuid", lambda: 1000)
    assert "as root" in netns.why_none()


@pytest.mark.skipif(os.geteuid() != 0, reason="this is about a root without rights")
def test_a_root_without_rights_is_told_which(tmp_path):
    program = "from tools.netns import why_none; print(repr(why_none()))"
    assert netns.why_none() == ""
    dropped = subprocess.run(
        ["setpriv", "--bounding-set=-sys_admin,-net_admin", sys.executable, "-c", program],
        env=netns.ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "CAP_NET_ADMIN" in dropped.stdout
    assert "netns add" in dropped.stdout
