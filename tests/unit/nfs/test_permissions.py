"""Who may what: whoever calls, it is the user of the server who does it."""

import os
import socket
import stat
from pathlib import Path

import pytest

from stack import rpc
from stack.nfs import nfs3 as p
from stack.nfs.nfs3 import nfsstat3
from tests.support.nfs_ours import OK, Caller, listed, with_export


def test_special_files(tmp_path):
    """They are listed, renamed and removed, and nothing else."""

    async def test(c):
        for kind in (p.NF3CHR, p.NF3BLK, p.NF3FIFO, p.NF3SOCK):
            assert (await c.mknod(c.root, "x", kind)).status == nfsstat3.NFS3ERR_NOTSUPP
        for kind in (p.NF3REG, p.NF3DIR):
            assert (await c.mknod(c.root, "x", kind)).status == nfsstat3.NFS3ERR_BADTYPE
        top = tmp_path / "export"
        os.mkfifo(top / "fifo")
        names = {"fifo", "socket"}
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(str(top / "socket"))
        if os.geteuid() == 0:
            os.mknod(top / "null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
            names.add("null")
        found = listed((await c.readdirplus(c.root)).resok.reply.entries)
        assert {one.name for one in found} == names | {".", ".."}
        for one in found:
            assert one.name_handle.handle_follows == (one.name in {".", ".."}) == one.name_attributes.attributes_follow
        for name in names:
            assert (await c.lookup(c.root, name)).status == nfsstat3.NFS3ERR_ACCES
            assert (await c.create(c.root, name, p.UNCHECKED)).status == nfsstat3.NFS3ERR_ACCES
            assert (await c.rename(c.root, name, c.root, "moved")).status == OK
            assert (await c.remove(c.root, "moved")).status == OK

    with_export(tmp_path, test)


def test_read_only(tmp_path):
    async def test(c):
        top = tmp_path / "export"
        (top / "file").write_bytes(b"hello")
        (top / "dir").mkdir()
        handle = await c.find("file")
        for found in (
            await c.setattr(handle, size=0),
            await c.write(handle, 0, b"x"),
            await c.commit(handle),
            await c.create(c.root, "x"),
            await c.mkdir(c.root, "x"),
            await c.symlink(c.root, "x", "y"),
            await c.mknod(c.root, "x"),
            await c.remove(c.root, "file"),
            await c.rmdir(c.root, "dir"),
            await c.rename(c.root, "file", c.root, "x"),
            await c.link(handle, c.root, "x"),
        ):
            assert found.status == nfsstat3.NFS3ERR_ROFS
        assert sorted(one.name for one in top.iterdir()) == ["dir", "file"]
        assert (await c.read(handle)).resok.data == b"hello"
        allowed = (await c.access(c.root)).resok.access
        assert allowed == p.ACCESS3_READ | p.ACCESS3_LOOKUP
        assert c.server.stats["nfs3err_rofs"] == 11

    with_export(tmp_path, test, writable=False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_access_is_what_the_user_of_the_server_may(tmp_path):
    (tmp_path / "export").mkdir()
    for name, mode in (("rw", 0o666), ("r", 0o644), ("x", 0o755), ("none", 0o600)):
        (tmp_path / "export" / name).write_bytes(b"x")
        (tmp_path / "export" / name).chmod(mode)
    tmp_path.chmod(0o777)
    for above in tmp_path.parents[:-2]:
        above.chmod(above.stat().st_mode | 0o011)

    async def test(c):
        read, change, run = p.ACCESS3_READ, p.ACCESS3_MODIFY | p.ACCESS3_EXTEND, p.ACCESS3_EXECUTE
        for name, bits in (("rw", read | change), ("r", read), ("x", read | run), ("none", 0)):
            handle = await c.find(name)
            assert (await c.access(handle)).resok.access == bits
            assert (await c.access(handle, read)).resok.access == bits & read
            assert ((await c.read(handle)).status == OK) == bool(bits & read)
            assert ((await c.write(handle, 0, b"x")).status == OK) == bool(bits & change)
            assert (await c.setattr(handle, mode=0o777)).status == nfsstat3.NFS3ERR_PERM
        assert (await c.access(c.root)).resok.access == read | p.ACCESS3_LOOKUP
        assert (await c.create(c.root, "new")).status == nfsstat3.NFS3ERR_ACCES

    os.seteuid(65534)
    try:
        with_export(tmp_path, test)
    finally:
        os.seteuid(0)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_who_makes_a_file_read_only_can_fill_it(tmp_path):
    """As `cp` and `git` do; with room for the last 64, until they are removed."""
    (tmp_path / "export").mkdir()
    (tmp_path / "export").chmod(0o777)
    tmp_path.chmod(0o777)
    for above in tmp_path.parents[:-2]:
        above.chmod(above.stat().st_mode | 0o011)

    async def test(c):
        made = [(await c.create(c.root, f"{i}", p.GUARDED, mode=0o444)).resok.obj.handle.data for i in range(66)]
        for i, handle in enumerate(made):
            found = await c.write(handle, 0, b"x", p.FILE_SYNC)
            assert found.status == (OK if i >= 2 else nfsstat3.NFS3ERR_ACCES)
        none = (await c.create(c.root, "none", p.EXCLUSIVE, b"12345678")).resok.obj.handle.data
        assert (await c.setattr(none, mode=0)).status == OK
        assert (await c.write(none, 0, b"x")).status == nfsstat3.NFS3ERR_ACCES
        silent = (await c.create(c.root, "silent", p.GUARDED, mode=0)).resok.obj.handle.data
        assert (await c.write(silent, 0, b"x")).status == OK
        assert (await c.commit(silent)).status == OK
        kept = c.server._changing._kept
        assert len(kept) == 64
        assert (await c.remove(c.root, "silent")).status == OK
        assert len(kept) == 63
        assert (await c.write(silent, 0, b"x")).status == nfsstat3.NFS3ERR_STALE

    before = set(Path("/proc/self/fd").iterdir())
    os.seteuid(65534)
    try:
        with_export(tmp_path, test)
    finally:
        os.seteuid(0)
    assert set(Path("/proc/self/fd").iterdir()) <= before


def test_who_may_call(tmp_path):
    async def test(c):
        assert (await c.getattr(c.root)).status == OK
        other = Caller(c.server.rpc, rpc.AuthSys(0, 0))
        assert (await other.getattr(c.root)).status == OK

    with_export(tmp_path, test, auth=rpc.allow(networks=["local"]))

    async def refused(c):
        pytest.fail("it was mounted")

    with pytest.raises(rpc.AuthError):
        with_export(tmp_path, refused, auth=rpc.allow(networks=["198.18.0.0/24"]))
