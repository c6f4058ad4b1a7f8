"""`tapstack demo`, which makes its own namespace."""

import subprocess
from pathlib import Path

import pytest

from tests.support.netns import tapstack
from tools.netns import ENVIRONMENT

pytestmark = pytest.mark.netns


def links():
    return sorted(link.name for link in Path("/sys/class/net").iterdir())


def demo(*prefix, environment=ENVIRONMENT):
    return subprocess.run(
        [*prefix, *tapstack("demo", "--size", "3")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=environment,
    )


@pytest.mark.parametrize("prefix", [(), ("unshare", "--map-user=1234", "--map-group=1234", "--")], ids=["root", "user"])
def test_it_all_goes_well(prefix):
    before = links()
    result = demo(*prefix)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "all 9 went well" in result.stdout
    assert result.stdout.count("equal") == 2
    assert links() == before


def test_what_fails_is_shown_and_makes_it_fail(tmp_path):
    broken = tmp_path / "arping"
    broken.write_text("#!/bin/sh\necho nobody there >&2\nexit 1\n")
    broken.chmod(0o755)
    tmp_path.chmod(0o755)
    result = demo(environment={**ENVIRONMENT, "PATH": f"{tmp_path}:{ENVIRONMENT['PATH']}"})
    assert result.returncode == 1
    assert "nobody there" in result.stdout
    assert "1 of 9 failed" in result.stdout
