"""A skip is a failure where everything can run: shown by running pytest on a small suite of its own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).parent.parent / "conftest.py"
SUITE = """
import pytest

def test_passes():
    pass

def test_skips():
    pytest.skip("no reason at all")

@pytest.mark.xfail
def test_expected_to_fail():
    assert False
"""


@pytest.fixture
def run(tmp_path):
    shutil.copy(CONFTEST, tmp_path)
    (tmp_path / "allowed_skips.txt").write_text("# nothing\n")
    (tmp_path / "test_small.py").write_text(SUITE)

    def go(*prefix, ci="true"):
        command = [
            *prefix,
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(tmp_path),
            ".",
        ]
        environment = os.environ | {"CI": ci}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return go


def test_with_ci_a_skip_fails_and_an_expected_failure_does_not(run):
    result = run()
    assert result.returncode == 1
    assert "1 failed, 1 passed, 1 xfailed" in result.stdout
    assert "not in tests/allowed_skips.txt: Skipped: no reason at all" in result.stdout


def test_a_listed_skip_is_allowed_and_counted(run, tmp_path):
    (tmp_path / "allowed_skips.txt").write_text("test_small.py::test_skips  # shown here\n")
    result = run()
    assert result.returncode == 0
    assert "left out: 1 tests" in result.stdout


def test_a_file_skipped_as_a_whole_fails_too(run, tmp_path):
    (tmp_path / "test_small.py").write_text("import pytest\npytest.importorskip('no_such_module')\n")
    assert run().returncode != 0


def test_without_root_what_needs_it_is_left_out_and_named(run, tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = netns\n")
    (tmp_path / "test_small.py").write_text("import pytest\n@pytest.mark.netns\ndef test_it():\n    assert False\n")
    nobody = () if os.geteuid() else ("unshare", "-U")
    result = run(*nobody, ci="")
    assert result.returncode == 0, result.stdout
    assert "left out: 1 tests" in result.stdout
    assert run(*nobody).returncode == 1  # with CI=true it is a failure there too
