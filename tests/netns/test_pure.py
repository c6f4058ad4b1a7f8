"""Without the C core everything runs all the same."""

import shutil
import subprocess
import sys

import pytest

from tests.support.netns import ROOT
from tools.netns import ENVIRONMENT

pytestmark = pytest.mark.netns


def test_the_demo_goes_well_where_nothing_was_compiled(tmp_path):
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copytree(ROOT / "stack", copy / "stack", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    environment = {**ENVIRONMENT, "PYTHONPATH": str(copy)}

    def run(*command):
        return subprocess.run(
            [sys.executable, *command],
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
            env=environment,
            cwd=copy,
        )

    probe = "import stack; from stack.wire import accel; print(stack.__file__, accel.backend)"
    assert run("-c", probe).stdout.split() == [str(copy / "stack/__init__.py"), "pure"]
    result = run("-m", "stack.cli", "demo", "--size", "3")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "all 9 went well" in result.stdout
