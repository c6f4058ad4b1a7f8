"""Numbers that cannot be meant are told before anything is measured."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("run --runs 0", "0: use a number from 1"),
        ("run --runs -1", "-1: use a number from 1"),
        ("run --retries -1", "-1: use a number from 0"),
        ("run --seconds 0", "0: use 0.01 to 3600 seconds"),
        ("run --seconds nan", "nan: use 0.01"),
        ("run --idle 0", "0: use a number from 10"),
        ("run --max-foreign 7", "7: use a fraction"),
        ("run --only nonsense", "invalid choice"),
        ("run --chart /nowhere/chart", "there is no folder /nowhere"),
        ("run --report /nowhere.json", "there is no such file"),
        ("run --report /dev/null", "there is no such file"),
        ("run --report {folder}/empty.json", "is not what a run of this has written"),
        ("run --report {folder}/other.json", "is not what a run of this has written"),
        ("profile --rate 0", "0: use a number from 1 to 5000"),
        ("profile --seconds -1", "-1: use a number from 1"),
        ("profile --only start_ping", "invalid choice"),
        ("profile --only crr --only http", "one row at a time"),
        ("stages --bursts 0", "0: use a number from 2"),
        ("stages --segments 100000", "100000: use a number from 1 to 256"),
        ("stages --send --rounds 0", "0: use a number from 1"),
        ("peers.run --runs 0", "0: use a number from 1"),
    ],
)
def test_what_cannot_be_measured(tmp_path, command, told):
    (tmp_path / "empty.json").touch()
    (tmp_path / "other.json").write_text('{"samples": 3}')
    words = command.format(folder=tmp_path).split()
    run = [sys.executable, "-m", f"tools.bench.{words[0]}", *words[1:]]
    done = subprocess.run(run, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2, done
    assert told in " ".join((done.stderr + done.stdout).split())
    assert "Traceback" not in done.stderr
