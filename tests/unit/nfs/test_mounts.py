"""A full disk, and file systems mounted below the export: in a mount namespace of its own."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.nfs_mounts import SIZE

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mounts")
    command = ["unshare", "-m", "--propagation", "private", sys.executable, "-m", "tests.support.nfs_mounts", folder]
    root = Path(__file__).parents[3]
    done = subprocess.run(command, cwd=root, env={"PYTHONPATH": "."}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_full_disk(said):
    """It is told as such, what was there stays, nothing half done is left, and with room it goes on."""
    full = said["full"]
    assert full["statuses"] == ["NFS3ERR_NOSPC", "NFS3_OK"]
    assert SIZE / 2 < full["written"] == full["size"] <= SIZE
    assert full["made"]["symlink"] == "NFS3ERR_NOSPC"
    assert full["made"]["commit"] == "NFS3_OK"
    assert "link" not in full["names"]
    assert ("sized" in full["names"]) == (full["made"]["create"] == "NFS3_OK")
    assert full["kept"] == "kept"
    assert full["again"] == "NFS3_OK"


@pytest.mark.parametrize("name", ["other", "again", "file"])
def test_what_is_mounted_below_is_not_exported(said, name):
    """Another file system, the same one once more, a single file: they have names, and nothing else."""
    found = said["mounts"][name]
    assert (found["lookup"], found["handle"], found["mount"]) == ("NFS3ERR_ACCES", False, "MNT3ERR_ACCES")
    assert found["remove"] in {"NFS3ERR_ACCES", "NFS3ERR_ISDIR"}
    assert found["rmdir"] in {"NFS3ERR_ACCES", "NFS3ERR_NOTDIR"}


def test_what_is_covered_is_out_of_reach(said):
    assert said["mounts"]["covered"]["getattr"] == "NFS3ERR_STALE"
