"""The C unit tests, under ASan and UBSan, and a short run of every fuzzer where clang is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest

NATIVE = Path(__file__).parents[3] / "native"


def make(*arguments):
    result = subprocess.run(["make", "-C", NATIVE, *arguments], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_c_unit_tests_under_sanitizers(tmp_path):
    assert "all tests passed" in make("test", f"BUILD={tmp_path}")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("clang") is None, reason="needs clang for libFuzzer")
def test_fuzzers_find_nothing_in_ten_seconds_each(tmp_path):
    make("fuzz", f"BUILD={tmp_path}", "SECONDS=10")
