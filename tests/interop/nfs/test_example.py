"""examples/nfs_server.py, with the kernel's side of its device as the client."""

import os
import sys

import pytest

from tests.support.netns import Namespace, need
from tests.support.nfs_net import PROGRAMS, sha256, some_file
from tools.netns import ROOT, stop, wait_until

pytestmark = [pytest.mark.netns, pytest.mark.interop]


def test_the_example(tmp_path):
    need(*PROGRAMS)
    (tmp_path / "shared").mkdir()
    there, back = tmp_path / "there", tmp_path / "back"
    digest = some_file(there)
    log = tmp_path / "log"
    command = ["env", f"XDG_STATE_HOME={tmp_path}", f"PYTHONPATH={ROOT}", sys.executable]
    with Namespace() as namespace:
        server = namespace.start(
            *command, str(ROOT / "examples/nfs_server.py"), str(tmp_path / "shared"), "--writable", log=log
        )
        try:
            wait_until(lambda: "Ctrl-C" in log.read_text(), f"it serves: {log.read_text()}", 20)
            url = "nfs://198.18.0.2/data"
            assert "/data (everyone)" in namespace.run("showmount", "-e", "198.18.0.2").stdout
            namespace.run("nfs-cp", str(there), f"{url}/file?version=3")
            namespace.run("nfs-cp", f"{url}/file?version=3", str(back))
            assert "file" in namespace.run("nfs-ls", f"{url}?version=3").stdout
        finally:
            stop(server)
    assert sha256(back) == digest
    assert (tmp_path / "shared" / "file").stat().st_uid == os.geteuid()
