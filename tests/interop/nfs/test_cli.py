"""`tapstack nfs` with nfs-ganesha at the kernel's end of the daemon's device, by the daemon and through the kernel."""

import json

import pytest

from tests.support.netns import HOST, Daemon, Namespace, need, tapstack
from tests.support.nfs_net import PROGRAMS, SIZE, ganesha_at, sha256, some_file
from tests.support.rpc_calc import CalcPrograms
from tests.support.rpc_net import Place

pytestmark = [pytest.mark.netns, pytest.mark.interop]


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    need(*PROGRAMS)
    folder = tmp_path_factory.mktemp("cli")
    (folder / "calc").mkdir()
    with Namespace() as namespace, Daemon(namespace, folder) as made:
        made.settle()
        place = Place("host", namespace, HOST, folder, CalcPrograms(folder / "calc"))
        place.start_rpcbind()
        with ganesha_at(place, folder) as data:
            yield made, data


@pytest.mark.parametrize(("via", "proto"), [("daemon", "tcp"), ("kernel", "tcp"), ("kernel", "udp")])
def test_five_megabytes_both_ways(daemon, tmp_path, via, proto):
    made, data = daemon
    options = ("--via", via, "--proto", proto, "--control", str(made.log.parent / "control.sock"))
    there, back = tmp_path / "there", tmp_path / "back"
    digest = some_file(there)

    def command(*words):
        done = made.namespace.run(*tapstack("nfs", words[0], *options, *words[1:]), check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    target = f"{HOST}:{data}"
    command("put", str(there), f"{target}/{via}-{proto}")
    assert sha256(data / f"{via}-{proto}") == digest
    command("get", f"{target}/{via}-{proto}", str(back))
    assert sha256(back) == digest
    found = {one["name"]: one["size"] for one in json.loads(command("ls", "--json", target))}
    assert found[f"{via}-{proto}"] == SIZE
    assert command("ls", HOST).splitlines() == [str(data)]
