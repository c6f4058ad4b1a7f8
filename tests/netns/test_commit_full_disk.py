"""Two-phase commit on a file system without room, and on one that is read-only."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.netns
ROOT = Path(__file__).parents[2]


def in_namespace(tmp_path, options, command):
    """What the command says, with a small file system of its own at tmp_path/small."""
    small = tmp_path / "small"
    small.mkdir()
    mount = f"mount -t tmpfs -o {options} none {small}"
    run = ["unshare", "--mount", "--net", "sh", "-c", f'{mount} && ip link set lo up && exec "$@"', "sh"]
    command = [sys.executable, *command, str(small)]
    return run + command


@pytest.mark.parametrize(
    ("which", "why"),
    [
        ("north", "north: it cannot be written down: the log north.log cannot be written: No space left on device"),
        ("south", "south: it cannot be written down: south.db: database or disk is full"),
        ("teller", "teller: the log teller.log cannot be written: No space left on device"),
    ],
)
def test_a_full_disk_is_an_abort_and_nothing_is_half_done(tmp_path, which, why):
    command = in_namespace(tmp_path, "size=256k", ["-m", "tests.support.commit_full_disk"])
    result = subprocess.run([*command, which], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.stderr == ""
    first, *amounts = result.stdout.splitlines()
    assert first.startswith(why)
    assert amounts == ["100 100", "() 70 130", "() 40 160"]


def test_a_read_only_file_system_is_told_in_a_sentence(tmp_path):
    program = (
        "import sys; from stack import commit\n"
        "for make in (lambda: commit.serving.FileDisk(sys.argv[1], 'x.log'),"
        " lambda: commit.Database(sys.argv[1] + '/x.db', 'x', {})):\n"
        "    try: make()\n"
        "    except ValueError as error: print(error.strerror)\n"
    )
    command = in_namespace(tmp_path, "ro", ["-c", program])
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.stderr == ""
    small = tmp_path / "small"
    assert result.stdout.splitlines() == [
        f"{small}/x.log cannot be used: Read-only file system",
        f"{small}/x.db cannot be used: Read-only file system",
    ]
