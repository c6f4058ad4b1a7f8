"""libnfs and showmount, from the kernel's side, against our server on our stack."""

import contextlib

import pytest

from tests.support.nfs_net import SIZE, serving, sha256, some_file
from tests.support.rpc_net import OURS
from tests.support.rpc_ours import in_thread, run

pytestmark = [pytest.mark.netns, pytest.mark.interop]
URL = f"nfs://{OURS}/data"
WAYS = ("v-client", "tap0")  # where frames of the client's, and of ours, enter the bridge
lossy = pytest.mark.parametrize("per_mille", [0, 20])  # of all frames, lost each way


def ask(net, folder, *commands, per_mille=0, **options):
    """What programs in the place `client` print, one after the other, while our server runs."""

    async def main():
        async with serving(net, folder, **options):
            with net.loss(per_mille, *WAYS) if per_mille else contextlib.nullcontext():
                return [await in_thread(net.client.run, *command, timeout=100, check=False) for command in commands]

    done = run(main())
    for one in done:
        assert one.returncode == 0, (one.args, one.stdout[-500:], one.stderr[-500:])
    return [one.stdout for one in done]


@lossy
def test_showmount(net, tmp_path, per_mille):
    many = [("showmount", "-e", OURS)] * (20 if per_mille else 1)  # so that something is lost
    exports, *_, listed = ask(net, tmp_path, *many, ("rpcinfo", "-p", OURS), per_mille=per_mille)
    assert exports == f"Export list for {OURS}:\n/data (everyone)\n"
    served = {tuple(line.split()[:4]) for line in listed.splitlines()}
    for program in ("100003", "100005"):
        for kind in ("tcp", "udp"):
            assert (program, "3", kind, "2049") in served


@lossy
def test_listing(net, tmp_path, per_mille):
    top = tmp_path / "data"
    top.mkdir()
    for i in range(300):
        (top / f"file-{i:03}").write_bytes(b"x" * i)
    (top / "dir").mkdir()
    (top / "link").symlink_to("file-001")
    many = [("nfs-ls", f"{URL}?version=3")] * (10 if per_mille else 1)  # so that something is lost
    printed, *again = ask(net, tmp_path, *many, per_mille=per_mille)
    assert all(sorted(each.splitlines()) == sorted(printed.splitlines()) for each in again)
    rows = {line.split()[-1]: line.split() for line in printed.splitlines()}
    assert {f"file-{i:03}" for i in range(300)} | {"dir", "link"} <= set(rows)
    assert rows["file-123"][0].startswith("-")
    assert rows["file-123"][-2] == "123"
    assert rows["dir"][0].startswith("d")


@lossy
def test_five_megabytes_both_ways(net, tmp_path, per_mille):
    there, back = tmp_path / "there", tmp_path / "back"
    digest = some_file(there)
    _, shown, _ = ask(
        net,
        tmp_path,
        ("nfs-cp", str(there), f"{URL}/file?version=3"),
        ("sh", "-c", f"nfs-cat '{URL}/file?version=3' | sha256sum"),
        ("nfs-cp", f"{URL}/file?version=3", str(back)),
        per_mille=per_mille,
    )
    assert (tmp_path / "data" / "file").stat().st_size == SIZE
    assert sha256(tmp_path / "data" / "file") == sha256(back) == digest
    assert shown.split()[0] == digest


def test_a_read_only_export(net, tmp_path):
    there = tmp_path / "there"
    some_file(there, 1000)

    async def main():
        async with serving(net, tmp_path, writable=False):
            return await in_thread(net.client.run, "nfs-cp", str(there), f"{URL}/file?version=3", check=False)

    done = run(main())
    assert "NFS3ERR_ROFS" in done.stderr
    assert list((tmp_path / "data").iterdir()) == []
