"""All procedures, by calls within the process, on a directory of the test's own."""

import asyncio
import ctypes
import errno
import os
import random
import threading
from pathlib import Path

import pytest

from stack import rpc
from stack.nfs import mount3, nfs3, system
from stack.nfs import nfs3 as p
from stack.nfs.nfs3 import nfsstat3, time_how
from stack.nfs.reading import READ_MAX, WRITE_MAX, Reading
from stack.nfs.service import Mount, Nfs
from stack.rpc.x.compile import generate
from tests.support.nfs_ours import OK, with_export
from tests.support.rfc import rfc

FILE, DIRECTORY, LINK = p.NF3REG, p.NF3DIR, p.NF3LNK


@pytest.mark.parametrize(("module", "name"), [(nfs3, "nfs3.x"), (mount3, "mount3.x")])
def test_the_modules_are_what_the_files_say(module, name):
    source = Path(module.__file__).with_name(name)
    assert Path(module.__file__).read_text() == generate(source.read_text(), str(source))


@rfc("1813", "3.3", "NFS-PROCEDURES")
@pytest.mark.parametrize(("version", "service", "count"), [(nfs3.NFS_V3, Nfs, 22), (mount3.MOUNT_V3, Mount, 6)])
def test_every_procedure_is_there(version, service, count):
    assert len(version.procedures) == count
    for number, procedure in version.procedures.items():
        given = getattr(service, procedure.attribute)
        assert number == 0 or given is not getattr(version.Server, procedure.attribute)


def test_attributes_are_those_of_the_file(tmp_path):
    async def test(c):
        path = tmp_path / "export" / "file"
        path.write_bytes(b"x" * 70_000)
        path.chmod(0o640)
        os.utime(path, ns=(5_000_000_007, 6_000_000_008))
        found = (await c.getattr(await c.find("file"))).resok.obj_attributes
        real = path.stat()
        assert (found.type, found.mode, found.nlink, found.size) == (FILE, 0o640, 1, 70_000)
        assert (found.uid, found.gid, found.fileid) == (real.st_uid, real.st_gid, real.st_ino)
        assert found.used == real.st_blocks * 512
        assert (found.atime, found.mtime) == (p.nfstime3(5, 7), p.nfstime3(6, 8))
        os.utime(path, ns=(-(10**9), 2**33 * 10**9))  # what the protocol cannot say is said as well as it can be
        found = (await c.getattr(await c.find("file"))).resok.obj_attributes
        assert (found.atime, found.mtime) == (p.nfstime3(0, 0), p.nfstime3(2**32 - 1, 0))

    with_export(tmp_path, test)


def test_names_and_dots(tmp_path):
    async def test(c):
        (tmp_path / "export" / "a" / "b").mkdir(parents=True)
        a, b = await c.find("a"), await c.find("a/b")
        for dir_, name, there in ((a, ".", a), (b, "..", a), (a, "..", c.root), (c.root, "..", c.root)):
            found = await c.lookup(dir_, name)
            assert (found.status, found.resok.object.data) == (OK, there)
        missing = await c.lookup(a, "no")
        assert missing.status == nfsstat3.NFS3ERR_NOENT
        assert missing.resfail.dir_attributes.attributes.fileid == (tmp_path / "export/a").stat().st_ino
        (tmp_path / "export" / "file").touch()
        assert (await c.lookup(await c.find("file"), "x")).status == nfsstat3.NFS3ERR_NOTDIR
        (tmp_path / "export").joinpath(os.fsdecode(b"\xff\xfe")).touch()
        assert await c.find(os.fsdecode(b"\xff\xfe"))

    with_export(tmp_path, test)


@rfc("1813", "3.2", "NFS-NAMES")
def test_names_that_are_none(tmp_path):
    async def test(c):
        handle = (await c.create(c.root, "file")).resok.obj.handle.data
        for name, status in (
            ("", "ACCES"),
            ("a/b", "ACCES"),
            ("a\0", "ACCES"),
            ("/", "ACCES"),
            ("n" * 256, "NAMETOOLONG"),
        ):
            for found in (
                await c.lookup(c.root, name),
                await c.create(c.root, name),
                await c.mkdir(c.root, name),
                await c.symlink(c.root, name, "x"),
                await c.remove(c.root, name),
                await c.rmdir(c.root, name),
                await c.rename(c.root, name, c.root, "x"),
                await c.rename(c.root, "file", c.root, name),
                await c.link(handle, c.root, name),
            ):
                assert found.status.name == f"NFS3ERR_{status}"
        assert (await c.create(c.root, "n" * 255)).status == OK
        for name in (".", ".."):
            assert (await c.create(c.root, name)).status == nfsstat3.NFS3ERR_EXIST
            assert (await c.mkdir(c.root, name)).status == nfsstat3.NFS3ERR_EXIST
            assert (await c.remove(c.root, name)).status == nfsstat3.NFS3ERR_INVAL
            assert (await c.rename(c.root, name, c.root, "x")).status == nfsstat3.NFS3ERR_INVAL
            assert (await c.rename(c.root, "file", c.root, name)).status == nfsstat3.NFS3ERR_INVAL
        assert (await c.rmdir(c.root, ".")).status == nfsstat3.NFS3ERR_INVAL
        assert (await c.rmdir(c.root, "..")).status == nfsstat3.NFS3ERR_EXIST

    with_export(tmp_path, test)


def test_reading(tmp_path):
    async def test(c):
        data = os.urandom(READ_MAX + 40_000)
        (tmp_path / "export" / "file").write_bytes(data)
        handle = await c.find("file")
        first = (await c.read(handle)).resok
        assert (first.count, first.eof, first.data) == (READ_MAX, False, data[:READ_MAX])
        rest = (await c.read(handle, READ_MAX)).resok
        assert (rest.eof, rest.data) == (True, data[READ_MAX:])
        exact = (await c.read(handle, len(data) - 10, 10)).resok
        assert (exact.eof, exact.data) == (True, data[-10:])
        for offset in (len(data), 2**63 - 1, 2**63, 2**64 - 1):
            beyond = (await c.read(handle, offset, 10)).resok
            assert (beyond.eof, beyond.data) == (True, b"")
        assert (await c.read(handle, 0, 0)).resok.data == b""
        assert (await c.read(c.root)).status == nfsstat3.NFS3ERR_INVAL

    with_export(tmp_path, test)


def test_reading_what_is_on_the_disk_only(tmp_path, monkeypatch):
    """A thread waits for it: the loop never does."""
    where = []
    real = Reading.read

    def read(self, a, most):
        where.append(threading.current_thread().name)
        return real(self, a, most)

    def preadv2(fd, places, count, offset, flags):
        assert flags == os.RWF_NOWAIT
        ctypes.set_errno(refusals.pop())
        return -1

    async def test(c):
        (tmp_path / "export" / "file").write_bytes(b"hello")
        handle = await c.find("file")
        assert (await c.read(handle)).resok.data == b"hello"
        assert where == []
        monkeypatch.setattr(system._LIBC, "preadv2", preadv2)
        assert (await c.read(handle)).resok.data == b"hello"
        assert (await c.read(handle)).resok.data == b"hello"
        assert len(where) == 2
        assert all(name.startswith("nfs") for name in where)
        assert (await c.read(handle)).status == nfsstat3.NFS3ERR_IO
        c.server._tree.places.forget((tmp_path / "export" / "file").stat().st_ino)
        assert (await c.read(handle)).resok.data == b"hello"
        assert len(where) == 3  # what must be searched for is, too
        assert c.server.stats["searches"] == 1

    monkeypatch.setattr(Reading, "read", read)
    refusals = [errno.EIO, errno.EOPNOTSUPP, errno.EAGAIN]  # from the last on
    with_export(tmp_path, test, threads=2)


@pytest.mark.parametrize("threads", [2, 0])
def test_the_loop_does_not_wait_for_the_disk(tmp_path, monkeypatch, threads):
    """While a COMMIT waits, others are answered.  Without threads, the control, they wait with it."""
    goes_on = threading.Event()
    waited = []

    async def test(c):
        monkeypatch.setattr(os, "fsync", lambda _: waited.append(goes_on.wait(0.2 if threads == 0 else 20)))
        (tmp_path / "export" / "file").touch()
        handle = await c.find("file")
        committing = asyncio.ensure_future(c.commit(handle))
        await asyncio.sleep(0)
        assert (await c.getattr(handle)).status == OK
        goes_on.set()
        assert (await committing).status == OK

    with_export(tmp_path, test, sync=True, threads=threads)
    assert waited == [threads > 0]


@rfc("1813", "3.3.7", "NFS-WRITE-COMMIT")
def test_writing_and_the_verifier(tmp_path):
    async def test(c):
        made = await c.create(c.root, "file", size=0)
        handle = made.resok.obj.handle.data
        one = (await c.write(handle, 0, b"hello")).resok
        two = (await c.write(handle, 8, b"world", p.FILE_SYNC)).resok
        three = (await c.write(handle, 5, b"___", p.DATA_SYNC)).resok
        assert [each.committed for each in (one, two, three)] == [p.UNSTABLE, p.FILE_SYNC, p.DATA_SYNC]
        assert one.verf == two.verf == three.verf == (await c.commit(handle)).resok.verf
        assert (two.file_wcc.before.attributes.size, two.file_wcc.after.attributes.size) == (5, 13)
        assert (tmp_path / "export" / "file").read_bytes() == b"hello___world"
        assert (await c.write(handle, 0, b"abc", count=2)).status == nfsstat3.NFS3ERR_INVAL
        for offset in (2**63 - 1, 2**64 - 1):
            assert (await c.write(handle, offset, b"abc")).status == nfsstat3.NFS3ERR_FBIG
        assert (await c.write(c.root, 0, b"abc")).status == nfsstat3.NFS3ERR_INVAL
        return one.verf

    verifiers = {with_export(tmp_path, test, sync=True) for _ in range(3)}
    assert len(verifiers) == 3  # it is another one after each start


def test_a_disk_that_fails_changes_the_verifier(tmp_path, monkeypatch):
    synced = []

    async def test(c):
        handle = (await c.create(c.root, "file")).resok.obj.handle.data
        before = (await c.write(handle, 0, b"hello")).resok.verf

        def fail(fd):
            synced.append(fd)
            raise OSError(5, "the disk is broken")

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            assert (await c.commit(handle)).status == nfsstat3.NFS3ERR_IO
            assert (await c.write(handle, 0, b"x", p.FILE_SYNC)).status == nfsstat3.NFS3ERR_IO
        after = (await c.commit(handle)).resok.verf
        assert after != before
        assert c.server.stats["failed_syncs"] == len(synced) == 2

    with_export(tmp_path, test, sync=True)


def test_what_is_answered_is_on_the_disk(tmp_path, monkeypatch):
    """All that changes something has waited for the disk, but for UNSTABLE data."""
    synced = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(str(Path(f"/proc/self/fd/{fd}").readlink())), real(fd)))
    top = f"{tmp_path}/export"

    async def test(c):
        async def expect(call, *names):
            synced.clear()
            found = await call
            assert found.status == OK
            assert set(synced) == {f"{top}/{name}".rstrip("/") for name in names}
            return found

        handle = (await expect(c.create(c.root, "f"), "f", "")).resok.obj.handle.data
        sub = (await expect(c.mkdir(c.root, "d"), "d", "")).resok.obj.handle.data
        await expect(c.symlink(c.root, "l", "x"), "")
        await expect(c.setattr(handle, size=5), "f")
        await expect(c.write(handle, 0, b"x"))
        await expect(c.commit(handle), "f")
        await expect(c.write(handle, 0, b"x", p.FILE_SYNC), "f")
        await expect(c.link(handle, sub, "g"), "d")
        await expect(c.rename(c.root, "f", sub, "f"), "", "d")
        await expect(c.remove(sub, "f"), "d")
        await expect(c.remove(sub, "g"), "d")
        await expect(c.rmdir(c.root, "d"), "")

    with_export(tmp_path, test, sync=True)


@rfc("1813", "3.3.8", "NFS-CREATE-EXCLUSIVE")
def test_ways_to_create(tmp_path):
    async def test(c):
        one = await c.create(c.root, "one", p.GUARDED, mode=0o4755, size=10)
        assert one.status == OK
        found = one.resok.obj_attributes.attributes
        assert (found.mode, found.size, found.type) == (0o755, 10, FILE)  # set-uid is left out
        assert one.resok.dir_wcc.before.attributes.mtime != one.resok.dir_wcc.after.attributes.mtime
        assert (await c.create(c.root, "one", p.GUARDED)).status == nfsstat3.NFS3ERR_EXIST
        again = await c.create(c.root, "one", p.UNCHECKED, mode=0o600, size=3)
        assert again.resok.obj.handle == one.resok.obj.handle
        assert (again.resok.obj_attributes.attributes.mode, again.resok.obj_attributes.attributes.size) == (0o755, 3)
        only = await c.create(c.root, "only", p.EXCLUSIVE, b"12345678")
        assert only.status == OK
        assert (await c.create(c.root, "only", p.EXCLUSIVE, b"12345678")).resok.obj == only.resok.obj
        assert (await c.create(c.root, "only", p.EXCLUSIVE, b"12345679")).status == nfsstat3.NFS3ERR_EXIST
        (tmp_path / "export" / "dir").mkdir()
        assert (await c.create(c.root, "dir", p.UNCHECKED)).status == nfsstat3.NFS3ERR_EXIST
        silent = await c.create(c.root, "readonly", p.GUARDED, mode=0o400, size=0)
        assert silent.resok.obj_attributes.attributes.mode == 0o400

    with_export(tmp_path, test)


def test_what_cannot_be_made_whole_is_not_there(tmp_path):
    async def test(c):
        assert (await c.create(c.root, "huge", p.GUARDED, size=2**63 - 1)).status == nfsstat3.NFS3ERR_FBIG
        assert (await c.create(c.root, "huge", p.GUARDED, size=2**64 - 1)).status == nfsstat3.NFS3ERR_FBIG
        assert list((tmp_path / "export").iterdir()) == []

    with_export(tmp_path, test)


def test_setting_attributes(tmp_path):
    async def test(c):
        path = tmp_path / "export" / "file"
        path.write_bytes(b"hello")
        handle = await c.find("file")
        found = await c.setattr(handle, mode=0o6711, size=2, atime=1000, mtime=2000)
        assert found.status == OK
        after = found.resok.obj_wcc.after.attributes
        assert (after.mode, after.size, after.atime.seconds, after.mtime.seconds) == (0o711, 2, 1000, 2000)
        assert found.resok.obj_wcc.before.attributes.size == 5
        kept = (await c.setattr(handle, mtime=time_how.SET_TO_SERVER_TIME)).resok.obj_wcc.after.attributes
        assert kept.atime.seconds == 1000
        assert kept.mtime.seconds > 10**9
        mine = path.stat()
        assert (await c.setattr(handle, uid=mine.st_uid, gid=mine.st_gid)).status == OK
        assert (await c.setattr(handle, uid=mine.st_uid + 1)).status == nfsstat3.NFS3ERR_PERM
        assert (await c.setattr(handle, gid=mine.st_gid + 1, size=0)).status == nfsstat3.NFS3ERR_PERM
        assert path.stat().st_size == 2
        now = (await c.getattr(handle)).resok.obj_attributes.ctime
        other = p.nfstime3(now.seconds, now.nseconds ^ 1)
        assert (await c.setattr(handle, other, size=0)).status == nfsstat3.NFS3ERR_NOT_SYNC
        assert (await c.setattr(handle, now, size=0)).status == OK
        assert (await c.setattr(handle, size=2**63)).status == nfsstat3.NFS3ERR_FBIG
        assert (await c.setattr(c.root, size=0)).status == nfsstat3.NFS3ERR_ISDIR

    with_export(tmp_path, test)


def test_links(tmp_path):
    async def test(c):
        made = await c.symlink(c.root, "link", "../../etc/passwd")
        handle = made.resok.obj.handle.data
        assert made.resok.obj_attributes.attributes.type == LINK
        assert (await c.readlink(handle)).resok.data == "../../etc/passwd"
        for found in (await c.read(handle), await c.write(handle, 0, b"x"), await c.setattr(handle, size=0)):
            assert found.status == nfsstat3.NFS3ERR_INVAL
        assert (await c.lookup(handle, "x")).status == nfsstat3.NFS3ERR_NOTDIR
        assert (await c.readlink(c.root)).status == nfsstat3.NFS3ERR_INVAL
        for target, status in (("", "INVAL"), ("a\0b", "INVAL"), ("x" * 5000, "NAMETOOLONG")):
            assert (await c.symlink(c.root, "bad", target)).status.name == f"NFS3ERR_{status}"
        file = (await c.create(c.root, "file")).resok.obj.handle.data
        hard = await c.link(file, c.root, "other")
        assert hard.resok.file_attributes.attributes.nlink == 2
        assert (await c.link(file, c.root, "other")).status == nfsstat3.NFS3ERR_EXIST
        assert (await c.link(c.root, c.root, "x")).status == nfsstat3.NFS3ERR_INVAL
        assert await c.find("other") == file
        assert (await c.remove(c.root, "other")).status == OK
        assert (await c.getattr(file)).resok.obj_attributes.nlink == 1

    with_export(tmp_path, test)


def test_removing_and_renaming(tmp_path):
    async def test(c):
        dir_ = (await c.mkdir(c.root, "dir", mode=0o700)).resok.obj.handle.data
        file = (await c.create(dir_, "file")).resok.obj.handle.data
        assert (await c.rmdir(c.root, "dir")).status == nfsstat3.NFS3ERR_NOTEMPTY
        assert (await c.rmdir(dir_, "file")).status == nfsstat3.NFS3ERR_NOTDIR
        assert (await c.remove(c.root, "dir")).status in {nfsstat3.NFS3ERR_ISDIR, nfsstat3.NFS3ERR_PERM}
        assert (await c.remove(c.root, "none")).status == nfsstat3.NFS3ERR_NOENT
        moved = await c.rename(dir_, "file", c.root, "moved")
        assert moved.status == OK
        assert moved.resok.fromdir_wcc.after.attributes.fileid == (tmp_path / "export/dir").stat().st_ino
        assert (await c.getattr(file)).status == OK
        assert (await c.rename(c.root, "moved", c.root, "dir")).status == nfsstat3.NFS3ERR_EXIST
        assert (await c.rename(c.root, "dir", c.root, "moved")).status == nfsstat3.NFS3ERR_EXIST
        assert (await c.rename(c.root, "dir", dir_, "inside")).status == nfsstat3.NFS3ERR_INVAL
        other = (await c.create(c.root, "other")).resok.obj.handle.data
        assert (await c.rename(c.root, "moved", c.root, "other")).status == OK
        assert (await c.getattr(other)).status == nfsstat3.NFS3ERR_STALE
        assert (await c.remove(c.root, "other")).status == OK
        for found in (await c.getattr(file), await c.read(file), await c.write(file, 0, b"x"), await c.commit(file)):
            assert found.status == nfsstat3.NFS3ERR_STALE
        assert (await c.rmdir(c.root, "dir")).status == OK
        assert (await c.create(dir_, "x")).status == nfsstat3.NFS3ERR_STALE
        assert c.server.stats["searches"] == 0  # what was removed here costs none

    with_export(tmp_path, test)


def test_what_the_server_says_of_itself(tmp_path):
    async def test(c):
        info = (await c.fsinfo(c.root)).resok
        assert info.rtmax == info.rtpref == READ_MAX
        assert info.wtmax == info.wtpref == WRITE_MAX
        assert info.properties == 0x1B
        whole = (await c.fsstat(c.root)).resok
        real = os.statvfs(tmp_path)
        assert whole.tbytes == real.f_blocks * real.f_frsize
        assert whole.tfiles == real.f_files
        conf = (await c.pathconf(c.root)).resok
        assert (conf.name_max, conf.no_trunc, conf.case_insensitive) == (255, True, False)

    with_export(tmp_path, test)


@pytest.mark.parametrize("threads", [0, 4])
def test_many_at_once(tmp_path, threads):
    """Whatever is renamed and removed under the hands of others: no call fails for the server, nothing stays open."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    statuses = set()

    async def test(c):
        dirs = [(await c.mkdir(c.root, f"d{i}")).resok.obj.handle.data for i in range(3)]

        def one(rng, handles, name, dir_):
            return rng.choice(
                (
                    lambda: c.create(dir_, name, rng.choice((p.UNCHECKED, p.GUARDED)), mode=0o600),
                    lambda: c.write(rng.choice(handles), rng.randrange(1000), b"x" * 100),
                    lambda: c.read(rng.choice(handles)),
                    lambda: c.remove(dir_, name),
                    lambda: c.rename(dir_, name, rng.choice(dirs), f"{rng.randrange(6)}"),
                    lambda: c.rename(c.root, f"d{rng.randrange(3)}", c.root, f"d{rng.randrange(3)}"),
                    lambda: c.readdirplus(dir_),
                    lambda: c.lookup(dir_, name),
                    lambda: c.link(rng.choice(handles), dir_, name),
                    lambda: c.setattr(rng.choice(handles), mode=0o700),
                    lambda: c.commit(rng.choice(handles)),
                )
            )()

        async def work(seed):
            rng = random.Random(seed)
            handles = [c.root, *dirs]
            for _ in range(60):
                found = await one(rng, handles, f"{rng.randrange(6)}", rng.choice(dirs))
                statuses.add(found.status)
                if found.status == OK and isinstance(found.value, p.CREATE3resok):
                    handles.append(found.value.obj.handle.data)

        await asyncio.gather(*(work(seed) for seed in range(32)))
        assert "procedures_failed" not in c.server.stats

    with_export(tmp_path, test, threads=threads)
    assert OK in statuses
    assert nfsstat3.NFS3ERR_STALE in statuses
    assert nfsstat3.NFS3ERR_SERVERFAULT not in statuses
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


def test_mounting(tmp_path):
    async def test(c):
        (tmp_path / "export" / "a" / "b").mkdir(parents=True)
        (tmp_path / "export" / "file").touch()
        (tmp_path / "export" / "out").symlink_to("/")
        shown = await c.mount.MOUNTPROC3_EXPORT()
        assert (shown.ex_dir, shown.ex_groups, shown.ex_next) == ("/x", None, None)
        for path in ("/x", "x", "/x/", "//x//"):
            assert (await c.mnt(path)).mountinfo.fhandle == c.root
        assert (await c.mnt("/x/a/b")).mountinfo.fhandle == await c.find("a/b")
        assert (await c.mnt("/x/a/../..")).mountinfo.fhandle == c.root
        assert list((await c.mnt("/x")).mountinfo.auth_flavors) == [1, 0]
        for path, status in (
            ("/", "NOENT"),
            ("", "NOENT"),
            ("/y", "NOENT"),
            ("/xy", "NOENT"),
            ("/x/none", "NOENT"),
            ("/x/file", "NOTDIR"),
            ("/x/out", "NOTDIR"),
            ("/x/out/etc", "NOTDIR"),
            ("/x/a\0", "ACCES"),
            ("/x/" + "n" * 256, "NAMETOOLONG"),
        ):
            assert (await c.mnt(path)).fhs_status.name == f"MNT3ERR_{status}"
        with pytest.raises(rpc.XdrError):
            await c.mnt("/" * 1025)

    with_export(tmp_path, test)


def test_who_has_mounted_what_is_bounded(tmp_path):
    async def test(c):
        def names(head):
            found = []
            while head is not None:
                found.append(head.ml_directory)
                head = head.ml_next
            return found

        assert names(await c.mount.MOUNTPROC3_DUMP()) == ["/x"]
        await c.mount.MOUNTPROC3_UMNT("/x")
        assert names(await c.mount.MOUNTPROC3_DUMP()) == []
        for i in range(1100):
            assert (await c.mnt("/x" + "/" * i if i < 1000 else "/" * (i - 999) + "x")).fhs_status == 0
        assert len(names(await c.mount.MOUNTPROC3_DUMP())) == 1024
        await c.mount.MOUNTPROC3_UMNTALL()
        assert names(await c.mount.MOUNTPROC3_DUMP()) == []

    with_export(tmp_path, test)


def test_a_copy_of_a_call_is_not_executed_again(tmp_path):
    """The duplicate request cache knows all that changes something, and nothing else."""

    async def test(c):
        for number, procedure in p.NFS_V3.procedures.items():
            changes = number in {2, 7, 8, 9, 10, 11, 12, 13, 14, 15}
            given = getattr(Nfs, procedure.attribute)
            assert number == 0 or getattr(given, "rpc_idempotent", False) != changes

    with_export(tmp_path, test)
