"""An NFS server of ours within the process, and somebody who calls all its procedures with few words."""

import asyncio
import contextlib
from typing import Any

from stack import nfs, rpc
from stack.nfs import mount3 as m
from stack.nfs import nfs3 as p
from stack.nfs.nfs3 import nfsstat3, time_how
from stack.rpc.auth import NOBODY

OK = nfsstat3.NFS3_OK
KEEP = time_how.DONT_CHANGE


def wanted(mode=None, uid=None, gid=None, size=None, atime=KEEP, mtime=KEEP) -> p.sattr3:
    """Attributes to be set; a time is one of time_how, or seconds."""

    def a_time(kind, given):
        if isinstance(given, time_how):
            return kind(given)
        return kind(time_how.SET_TO_CLIENT_TIME, p.nfstime3(given, 0))

    return p.sattr3(
        p.set_mode3(mode is not None, mode),
        p.set_uid3(uid is not None, uid),
        p.set_gid3(gid is not None, gid),
        p.set_size3(size is not None, size),
        a_time(p.set_atime, atime),
        a_time(p.set_mtime, mtime),
    )


def listed(head) -> list[Any]:
    """Entries of a listing."""
    found = []
    while head is not None:
        found.append(head)
        head = head.nextentry
    return found


class Caller:
    """Makes calls; handles are octets, results those of the protocol."""

    def __init__(self, server: Any, auth: Any = NOBODY) -> None:
        self.nfs: Any = rpc.local(p.NFS_V3, server, auth=auth)
        self.mount: Any = rpc.local(m.MOUNT_V3, server, auth=auth)
        self.root = b""

    async def mnt(self, path: str) -> m.mountres3:
        """Mount."""
        found: m.mountres3 = await self.mount.MOUNTPROC3_MNT(path)
        if found.fhs_status == 0 and not self.root:
            self.root = found.mountinfo.fhandle
        return found

    def _at(self, dir_, name) -> p.diropargs3:
        return p.diropargs3(p.nfs_fh3(dir_), name)

    async def getattr(self, handle):
        return await self.nfs.NFSPROC3_GETATTR(p.GETATTR3args(p.nfs_fh3(handle)))

    async def setattr(self, handle, guard=None, **attributes):
        given = p.sattrguard3(guard is not None, guard)
        return await self.nfs.NFSPROC3_SETATTR(p.SETATTR3args(p.nfs_fh3(handle), wanted(**attributes), given))

    async def lookup(self, dir_, name):
        return await self.nfs.NFSPROC3_LOOKUP(p.LOOKUP3args(self._at(dir_, name)))

    async def find(self, path) -> bytes:
        """The handle at the end of a path."""
        handle = self.root
        for name in path.split("/"):
            found = await self.lookup(handle, name)
            assert found.status == OK, (path, found.status)
            handle = found.resok.object.data
        return handle

    async def access(self, handle, bits=0x3F):
        return await self.nfs.NFSPROC3_ACCESS(p.ACCESS3args(p.nfs_fh3(handle), bits))

    async def readlink(self, handle):
        return await self.nfs.NFSPROC3_READLINK(p.READLINK3args(p.nfs_fh3(handle)))

    async def read(self, handle, offset=0, count=1 << 20):
        return await self.nfs.NFSPROC3_READ(p.READ3args(p.nfs_fh3(handle), offset, count))

    async def write(self, handle, offset, data, stable=p.UNSTABLE, count=None):
        count = len(data) if count is None else count
        return await self.nfs.NFSPROC3_WRITE(p.WRITE3args(p.nfs_fh3(handle), offset, count, stable, data))

    async def commit(self, handle):
        return await self.nfs.NFSPROC3_COMMIT(p.COMMIT3args(p.nfs_fh3(handle), 0, 0))

    async def create(self, dir_, name, how=p.UNCHECKED, verf=None, **attributes):
        given = p.createhow3(how, verf if how == p.EXCLUSIVE else wanted(**attributes))
        return await self.nfs.NFSPROC3_CREATE(p.CREATE3args(self._at(dir_, name), given))

    async def mkdir(self, dir_, name, **attributes):
        return await self.nfs.NFSPROC3_MKDIR(p.MKDIR3args(self._at(dir_, name), wanted(**attributes)))

    async def symlink(self, dir_, name, target):
        given = p.symlinkdata3(wanted(), target)
        return await self.nfs.NFSPROC3_SYMLINK(p.SYMLINK3args(self._at(dir_, name), given))

    async def mknod(self, dir_, name, kind=p.NF3FIFO):
        given = {
            p.NF3CHR: p.devicedata3(wanted(mode=0o666), p.specdata3(1, 3)),
            p.NF3BLK: p.devicedata3(wanted(mode=0o666), p.specdata3(1, 3)),
            p.NF3FIFO: wanted(),
            p.NF3SOCK: wanted(),
        }.get(kind)
        return await self.nfs.NFSPROC3_MKNOD(p.MKNOD3args(self._at(dir_, name), p.mknoddata3(kind, given)))

    async def remove(self, dir_, name):
        return await self.nfs.NFSPROC3_REMOVE(p.REMOVE3args(self._at(dir_, name)))

    async def rmdir(self, dir_, name):
        return await self.nfs.NFSPROC3_RMDIR(p.RMDIR3args(self._at(dir_, name)))

    async def rename(self, dir_, name, to_dir, to_name):
        return await self.nfs.NFSPROC3_RENAME(p.RENAME3args(self._at(dir_, name), self._at(to_dir, to_name)))

    async def link(self, handle, dir_, name):
        return await self.nfs.NFSPROC3_LINK(p.LINK3args(p.nfs_fh3(handle), self._at(dir_, name)))

    async def readdir(self, handle, cookie=0, verf=bytes(8), count=4096):
        return await self.nfs.NFSPROC3_READDIR(p.READDIR3args(p.nfs_fh3(handle), cookie, verf, count))

    async def readdirplus(self, handle, cookie=0, verf=bytes(8), dircount=4096, maxcount=32768):
        args = p.READDIRPLUS3args(p.nfs_fh3(handle), cookie, verf, dircount, maxcount)
        return await self.nfs.NFSPROC3_READDIRPLUS(args)

    async def fsstat(self, handle):
        return await self.nfs.NFSPROC3_FSSTAT(p.FSSTAT3args(p.nfs_fh3(handle)))

    async def fsinfo(self, handle):
        return await self.nfs.NFSPROC3_FSINFO(p.FSINFO3args(p.nfs_fh3(handle)))

    async def pathconf(self, handle):
        return await self.nfs.NFSPROC3_PATHCONF(p.PATHCONF3args(p.nfs_fh3(handle)))


@contextlib.asynccontextmanager
async def exported(folder, **options):
    """A Caller, with the root of `folder`/export mounted; the server is `caller.server`."""
    options = {"writable": True, "sync": False, "threads": 0, **options}
    directory = folder / "export"
    directory.mkdir(exist_ok=True)
    async with await nfs.serve(directory, port=None, key=folder / "key", path="/x", **options) as server:
        caller: Any = Caller(server.rpc)
        caller.server = server
        assert (await caller.mnt("/x")).fhs_status == 0
        yield caller


def with_export(folder, test, **options):
    """Run a coroutine function with a Caller."""

    async def main():
        async with exported(folder, **options) as caller:
            return await test(caller)

    return asyncio.run(main())
