"""A client that wants out: hostile handles and names, and canaries beside the export that hear everything.

What counts as an escape: a canary was opened, read, written, renamed or removed (inotify tells), something new is
beside the export, or a reply tells the number or the content of something outside.
"""

import asyncio
import contextlib
import ctypes
import os
import random
import struct
from pathlib import Path

import pytest

from stack import rpc
from stack.nfs import nfs3 as p
from stack.nfs import tree as tree_module
from stack.nfs.handles import Handles
from stack.nfs.nfs3 import nfsstat3
from tests.support.nfs_ours import OK, exported, listed

CASES = 10_000
SECRET = b"canary: nobody may read this"
HEARD = 0x001 | 0x002 | 0x004 | 0x020 | 0x040 | 0x080 | 0x100 | 0x200 | 0x400 | 0x800  # all but closing
LIBC = ctypes.CDLL(None, use_errno=True)


def names_in(folder):
    return [path.name for path in folder.iterdir()]


class Canaries:
    """What is beside the export, and what happens to it."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "secret").write_bytes(SECRET)
        (folder / "beside").mkdir()
        (folder / "beside" / "secret").write_bytes(SECRET)
        (folder / "export").mkdir()
        self.numbers = {path.stat().st_ino for path in (folder, folder / "secret", *(folder / "beside").rglob("*"))}
        self.numbers |= {(folder / "beside").stat().st_ino, Path("/").stat().st_ino, Path("/etc/passwd").stat().st_ino}
        self.before = self.names()
        self._fd = LIBC.inotify_init1(os.O_NONBLOCK)
        for path in (folder / "secret", folder / "beside", folder / "beside" / "secret"):
            assert LIBC.inotify_add_watch(self._fd, os.fsencode(path), HEARD) > 0

    def names(self):
        """All there is beside the export."""
        found = {one for one in names_in(self.folder) if one not in {"export", "key"}}
        return found | {f"beside/{one}" for one in names_in(self.folder / "beside")}

    def escapes(self):
        """What has happened, by now."""
        found = self._heard()
        if (now := self.names()) != self.before:
            found.append(f"names {now ^ self.before}")
        self._heard()  # that we have looked
        return found

    def _heard(self):
        with contextlib.suppress(BlockingIOError):
            return [f"event {struct.unpack_from('iI', os.read(self._fd, 65536))[1]:#x}"]
        return []

    def told(self, result):
        """Whether a reply tells of something outside."""
        seen = [result]
        while seen:
            one = seen.pop()
            if isinstance(one, bytes) and SECRET in one:
                return True
            if isinstance(one, p.fattr3) and one.fileid in self.numbers:
                return True
            if isinstance(one, p.entry3 | p.entryplus3) and one.fileid in self.numbers:
                return True
            seen += [getattr(one, name) for name in getattr(type(one), "__slots__", ())]
        return False

    def close(self):
        os.close(self._fd)


def furnish(top):
    """Links that lead out, a loop, and something to work on."""
    (top / "dir" / "sub").mkdir(parents=True)
    (top / "file").write_bytes(b"inside")
    (top / "dir" / "file").write_bytes(b"inside")
    for name, target in (
        ("up", ".."),
        ("absolute", str(top.parent / "secret")),
        ("relative", "../secret"),
        ("beside", "../beside"),
        ("root", "/"),
        ("self", "self"),
        ("dir/up", "../.."),
        ("dir/secret", "../../secret"),
    ):
        (top / name).symlink_to(target)


NAMES = (
    "..", ".", "", "/", "../secret", "../beside/secret", "/etc/passwd", "up", "absolute", "relative", "beside", "root",
    "self", "secret", "up/secret", "dir/../../secret", "..\0", "secret\0x", "x" * 255, "x" * 256, "x" * 5000, "....",
    "..\udc80", "\udcff\udcfe", "..;", "%2e%2e", "\u2024\u2024", "\uff0e\uff0e", "..\\secret",
    "file", "dir", "sub", "new",
    "./file", "dir/sub",
    "~", "*", "proc/self/cwd", "-rf", "\n", " ", "con",
)  # fmt: skip


class Fuzzer:
    """Hostile calls, made from a seed."""

    def __init__(self, caller, canaries, seed):
        self.caller, self.canaries = caller, canaries
        self.rng = random.Random(seed)
        self.handles = [caller.root]
        self.statuses = set()
        self.told = []

    def name(self):
        rng = self.rng
        kind = rng.random()
        if kind < 0.7:
            return rng.choice(NAMES)
        if kind < 0.9:
            return "/".join(rng.choice(NAMES) for _ in range(rng.randint(2, 4)))
        return rng.randbytes(rng.randint(1, 40)).decode("utf-8", "surrogateescape")

    def handle(self):
        rng = self.rng
        handle = rng.choice(self.handles)
        kind = rng.random()
        if kind < 0.75:
            return handle
        if kind < 0.85:
            at = rng.randrange(len(handle))
            return handle[:at] + bytes([rng.randrange(256)]) + handle[at + 1 :]
        if kind < 0.95:  # a right one in all but the key, of a canary
            export = int.from_bytes(handle[4:8], "big")
            return Handles(rng.randbytes(32), export).seal(rng.choice(sorted(self.canaries.numbers)), 0)
        return rng.randbytes(rng.choice((0, 1, 39, 40, 41, 64)))

    async def step(self):
        c, rng, name, handle = self.caller, self.rng, self.name, self.handle
        calls = (
            lambda: c.lookup(handle(), name()),
            lambda: c.lookup(handle(), name()),
            lambda: c.lookup(handle(), name()),
            lambda: c.getattr(handle()),
            lambda: c.setattr(handle(), mode=rng.choice((0o777, 0o4755)), size=rng.choice((None, 0, 3))),
            lambda: c.access(handle()),
            lambda: c.readlink(handle()),
            lambda: c.read(handle(), rng.choice((0, 2**63, 2**64 - 1))),
            lambda: c.write(handle(), rng.choice((0, 2**63 - 1, 2**64 - 1)), b"overwritten"),
            lambda: c.create(handle(), name(), rng.choice((p.UNCHECKED, p.GUARDED)), mode=0o666, size=0),
            lambda: c.create(handle(), name(), p.EXCLUSIVE, rng.randbytes(8)),
            lambda: c.mkdir(handle(), name(), mode=0o777),
            lambda: c.symlink(handle(), name(), rng.choice(("../secret", "/", "../beside", "..", "/etc/passwd"))),
            lambda: c.mknod(handle(), name(), rng.choice((p.NF3CHR, p.NF3BLK, p.NF3FIFO, p.NF3REG))),
            lambda: c.remove(handle(), name()),
            lambda: c.rmdir(handle(), name()),
            lambda: c.rename(handle(), name(), handle(), name()),
            lambda: c.link(handle(), handle(), name()),
            lambda: c.readdir(handle(), rng.choice((0, 1, 2**40, 2**63, 2**64 - 1))),
            lambda: c.readdirplus(handle(), rng.choice((0, 0, 1, 2**63))),
            lambda: c.fsstat(handle()),
            lambda: c.pathconf(handle()),
            lambda: c.commit(handle()),
            lambda: c.mnt("/x/" + name()),
        )
        try:
            result = await rng.choice(calls)()
        except rpc.RpcError as error:  # none of them breaks the server
            pytest.fail(f"{error}")
        except rpc.XdrError:
            return  # a path that is too long for our own encoder
        self.statuses.add(getattr(result, "status", None))
        if self.canaries.told(result):
            self.told.append(result)
        self._keep(result)

    def _keep(self, result):
        found = []
        if getattr(result, "status", 1) == OK:
            value = result.value
            if isinstance(value, p.LOOKUP3resok):
                found = [value.object.data]
            elif isinstance(value, p.CREATE3resok | p.MKDIR3resok | p.SYMLINK3resok):
                found = [value.obj.handle.data]
            elif isinstance(value, p.READDIRPLUS3resok):
                found = [e.name_handle.handle.data for e in listed(value.reply.entries) if e.name_handle.value]
        elif getattr(result, "fhs_status", 1) == 0:
            found = [result.mountinfo.fhandle]
        for handle in found:
            if handle not in self.handles:
                if len(self.handles) > 60:
                    self.handles.pop(self.rng.randrange(1, 60))
                self.handles.append(handle)


async def fuzz(folder, cases, seed):
    """What escaped, and the statuses that were met."""
    canaries = Canaries(folder)
    furnish(folder / "export")
    try:
        async with exported(folder) as caller:
            fuzzer = Fuzzer(caller, canaries, seed)
            for case in range(cases):
                await fuzzer.step()
                if case % 2500 == 2499:
                    for name in ("dir/sub", "file", "dir"):  # what it has taken away comes again
                        with contextlib.suppress(AssertionError):
                            fuzzer.handles.append(await caller.find(name))
                found = fuzzer.told or (canaries.escapes() if case % 50 == 49 or case == cases - 1 else [])
                if found:
                    return found, fuzzer.statuses
            return [], fuzzer.statuses
    finally:
        canaries.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_ten_thousand_hostile_calls(tmp_path, seed):
    escaped, statuses = asyncio.run(fuzz(tmp_path, CASES // 2, seed))
    assert escaped == []
    assert {
        OK,
        nfsstat3.NFS3ERR_BADHANDLE,
        nfsstat3.NFS3ERR_STALE,
        nfsstat3.NFS3ERR_ACCES,
        nfsstat3.NFS3ERR_NAMETOOLONG,
        nfsstat3.NFS3ERR_NOTDIR,
        nfsstat3.NFS3ERR_NOTSUPP,
    } <= statuses
    assert nfsstat3.NFS3ERR_SERVERFAULT not in statuses


def octets_unchecked(name):
    found = name.encode("utf-8", "surrogateescape")
    return found if found and b"\0" not in found else b"x"


CHANGES = ("setattr", "write", "create", "mkdir", "symlink", "remove", "rmdir", "rename", "link", "commit")
CONTROLS = {
    "names are not looked at": [("octets_of", octets_unchecked)],
    "links are followed": [("HELD", os.O_PATH | os.O_CLOEXEC)],
}


@pytest.mark.parametrize("without", CONTROLS)
def test_without_protection_the_same_run_finds_a_way_out(tmp_path, monkeypatch, without):
    """The control.  Whoever gets out only looks: what would change something asks for attributes instead."""
    for name, instead in CONTROLS[without]:
        monkeypatch.setattr(tree_module, name, instead)
    harmless = Fuzzer.step

    async def step(self):
        for name in CHANGES:
            setattr(self.caller, name, self.caller.getattr_of_root)
        await harmless(self)

    async def of_root(self, *args, **options):
        return await self.getattr(self.root)

    monkeypatch.setattr("tests.support.nfs_ours.Caller.getattr_of_root", of_root, raising=False)
    monkeypatch.setattr(Fuzzer, "step", step)
    escaped, _ = asyncio.run(fuzz(tmp_path, CASES // 2, 1))
    assert any(isinstance(one, str) or one.status == OK for one in escaped)
