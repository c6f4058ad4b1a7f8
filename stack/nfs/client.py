"""A directory of a server's: `async with nfs.mount("198.18.0.2:/data") as there`.

    for entry in await there.list("reports"):
        print(entry.name, entry.size)
    text = await there.read("reports/may.txt")
    await there.write("reports/june.txt", b"...")

Theory of operation.  The MOUNT program gives the handle of the directory, and FSINFO says how much can be read and
written at a time.  A path is gone name by name (LOOKUP), with symbolic links within the mounted directory followed
here, for servers never follow them.  Nothing is cached.

What a server says with NFS3ERR_JUKEBOX is asked again for a while.  Procedures that do no harm twice are called at
least once, all others at most once (docs/rpc.md): after an error it is known whether they may have been executed.

A file is written beside its place, under a name of its own, and gets its name when all is on the server's disk: nobody
sees a part of it, and what was there before stays until then.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol, TypeVar

from stack.errors import ConfigError, StackError
from stack.nfs import nfs3 as p
from stack.nfs.entry import Entry, Space, entry_of
from stack.nfs.errors import NfsError
from stack.nfs.nfs3 import nfsstat3
from stack.nfs.transfer import Writer, read_blocks
from stack.rpc import RpcError

BLOCK_TCP: Final = 1 << 18  # octets of a READ or WRITE, if the server takes as much
BLOCK_UDP: Final = 1 << 13  # 6 fragments
LISTING: Final = 1 << 15  # octets of a READDIRPLUS over TCP
WINDOW: Final = 8  # READs or WRITEs in flight
JUKEBOX_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # pauses before a server is asked again that was busy
MAX_LINKS: Final = 40  # symbolic links on one path
MODE: Final = 0o644
HARMLESS: Final = tuple(
    f"NFSPROC3_{name}"
    for name in (
        "GETATTR", "LOOKUP", "ACCESS", "READLINK", "READ", "WRITE", "READDIR", "READDIRPLUS", "FSSTAT", "FSINFO",
        "PATHCONF", "COMMIT",
    )
)  # fmt: skip

Progress = Callable[[int], object]  # is told how many octets are done


class Result(Protocol):
    """What all results of the protocol have."""

    @property
    def status(self) -> nfsstat3:
        """NFS3_OK, or why not."""


R = TypeVar("R", bound=Result)


class Mounted:
    """A directory of a server's; `mount` makes one.  Paths are relative to it; a "/" before them changes nothing.

    Everything raises NfsError for what the server says no to, and RpcError where it does not answer.
    """

    __slots__ = ("_block_read", "_block_write", "_datagrams", "_listing", "_name", "_nfs", "_root", "_window", "resent")

    def __init__(self, client: p.NFS_V3.Client, root: bytes, name: str, *, datagrams: bool) -> None:
        self._nfs = client
        self._root = p.nfs_fh3(root)
        self._name = name
        self._datagrams = datagrams
        self._block_read = self._block_write = BLOCK_UDP
        self._listing = BLOCK_UDP
        self._window = WINDOW
        self.resent = 0  # octets that a server had lost before they were on its disk

    async def begin(self) -> None:
        """Ask what the server can do."""
        info = (await self._ask(lambda: self._nfs.NFSPROC3_FSINFO(p.FSINFO3args(self._root)), self._name)).resok
        most = BLOCK_UDP if self._datagrams else BLOCK_TCP
        self._block_read = max(min(info.rtmax, most), 1)
        self._block_write = max(min(info.wtmax, most), 1)
        self._listing = BLOCK_UDP if self._datagrams else LISTING

    # -- looking

    async def stat(self, path: str = "", *, follow: bool = True) -> Entry:
        """What a path leads to; `follow` False: a symbolic link itself."""
        handle, name = await self._find(path, follow=follow)
        return entry_of(name, await self._attributes(handle, path))

    async def list(self, path: str = "") -> list[Entry]:
        """What is in a directory, without "." and "..", by name."""
        handle, _ = await self._find(path)
        cookie, verifier = 0, bytes(8)
        found: list[Entry] = []
        while True:
            part = await self._part(p.READDIRPLUS3args(handle, cookie, verifier, self._listing, self._listing), path)
            node = part.reply.entries
            if node is None and not part.reply.eof:
                raise StackError(f"{path or '/'}: the server's listing does not go on")
            while node is not None:
                cookie = node.cookie
                if node.name not in {".", ".."}:
                    found.append(await self._listed(handle, node))
                node = node.nextentry
            verifier = part.cookieverf
            if part.reply.eof:
                return sorted(found, key=lambda one: one.name)

    async def _part(self, args: p.READDIRPLUS3args, path: str) -> p.READDIRPLUS3resok:
        return (await self._ask(lambda: self._nfs.NFSPROC3_READDIRPLUS(args), path or "/")).resok

    async def _listed(self, directory: p.nfs_fh3, node: p.entryplus3) -> Entry:
        """An entry; a server need not give its attributes, and may have none for us."""
        if node.name_attributes.attributes_follow:
            return entry_of(node.name, node.name_attributes.attributes)
        try:
            handle, _ = await self._look_up(directory, node.name, node.name)
            return entry_of(node.name, await self._attributes(handle, node.name))
        except NfsError:
            return entry_of(node.name, None)

    async def readlink(self, path: str) -> str:
        """Where a symbolic link leads."""
        handle, _ = await self._find(path, follow=False)
        return await self._target(handle, path)

    async def space(self) -> Space:
        """How much room there is on the server."""
        found = (await self._ask(lambda: self._nfs.NFSPROC3_FSSTAT(p.FSSTAT3args(self._root)), self._name)).resok
        return Space(found.tbytes, found.fbytes, found.abytes, found.tfiles, found.ffiles)

    # -- reading

    async def read(self, path: str, offset: int = 0, size: int | None = None) -> bytes:
        """The data of a file, all of it or `size` octets from `offset` on."""
        return b"".join([block async for block in self.blocks(path, offset, size)])

    async def blocks(self, path: str, offset: int = 0, size: int | None = None) -> AsyncIterator[bytes]:
        """The same, in blocks as they come.  Raises StackError for a file that became shorter meanwhile."""
        handle, _ = await self._find(path)
        attributes = await self._attributes(handle, path)
        if attributes.type != p.NF3REG:
            status = nfsstat3.NFS3ERR_ISDIR if attributes.type == p.NF3DIR else nfsstat3.NFS3ERR_INVAL
            raise NfsError(status, path)

        async def read(at: int, count: int) -> p.READ3resok:
            args = p.READ3args(handle, at, count)
            return (await self._ask(lambda: self._nfs.NFSPROC3_READ(args), path)).resok

        end = attributes.size if size is None else min(attributes.size, offset + size)
        left = max(end - offset, 0)
        async for block in read_blocks(read, offset, end, self._block_read, self._window):
            left -= len(block)
            yield block
        if left > 0:
            raise StackError(f"{path}: it became shorter while it was read")

    # -- writing

    async def write(
        self, path: str, data: bytes | AsyncIterator[bytes], *, mode: int = MODE, progress: Progress | None = None
    ) -> None:
        """Make or replace a file: all at once, when everything is on the server's disk."""
        directory, name = await self._place(path)
        beside = f".{name[:200]}.{secrets.token_hex(6)}"
        handle = await self._create(directory, beside, mode, path)
        try:
            await self._fill(handle, _stream(data), path, progress)
            args = p.RENAME3args(p.diropargs3(directory, beside), p.diropargs3(directory, name))
            await self._ask(lambda: self._nfs.NFSPROC3_RENAME(args), path)
        except BaseException:
            with suppress(NfsError, RpcError):
                await self._nfs.NFSPROC3_REMOVE(p.REMOVE3args(p.diropargs3(directory, beside)))
            raise

    async def _create(self, directory: p.nfs_fh3, name: str, mode: int, path: str) -> p.nfs_fh3:
        how = p.createhow3(p.createmode3.GUARDED, _attributes(mode=mode))
        args = p.CREATE3args(p.diropargs3(directory, name), how)
        made = (await self._ask(lambda: self._nfs.NFSPROC3_CREATE(args), path)).resok
        return made.obj.handle if made.obj.handle_follows else (await self._look_up(directory, name, path))[0]

    async def _fill(
        self, handle: p.nfs_fh3, blocks: AsyncIterator[bytes], path: str, progress: Progress | None
    ) -> None:
        done = 0

        async def write(offset: int, data: bytes) -> p.WRITE3resok:
            nonlocal done
            args = p.WRITE3args(handle, offset, len(data), p.UNSTABLE, data)
            found = (await self._ask(lambda: self._nfs.NFSPROC3_WRITE(args), path)).resok
            done += found.count
            if progress is not None:
                progress(done)
            return found

        async def commit() -> bytes:
            args = p.COMMIT3args(handle, 0, 0)
            return (await self._ask(lambda: self._nfs.NFSPROC3_COMMIT(args), path)).resok.verf

        writer = Writer(write, commit, self._block_write, self._window)
        try:
            async for block in blocks:
                await writer.add(block)
            await writer.flush()
        finally:
            self.resent += writer.resent
            await writer.aclose()

    # -- names

    async def mkdir(self, path: str, *, mode: int = 0o755) -> None:
        """Make a directory."""
        directory, name = await self._place(path)
        args = p.MKDIR3args(p.diropargs3(directory, name), _attributes(mode=mode))
        await self._ask(lambda: self._nfs.NFSPROC3_MKDIR(args), path)

    async def symlink(self, path: str, target: str) -> None:
        """Make a symbolic link at `path`."""
        directory, name = await self._place(path)
        args = p.SYMLINK3args(p.diropargs3(directory, name), p.symlinkdata3(_attributes(), target))
        await self._ask(lambda: self._nfs.NFSPROC3_SYMLINK(args), path)

    async def remove(self, path: str) -> None:
        """Take a file away."""
        directory, name = await self._place(path)
        args = p.REMOVE3args(p.diropargs3(directory, name))
        await self._ask(lambda: self._nfs.NFSPROC3_REMOVE(args), path)

    async def rmdir(self, path: str) -> None:
        """Take an empty directory away."""
        directory, name = await self._place(path)
        args = p.RMDIR3args(p.diropargs3(directory, name))
        await self._ask(lambda: self._nfs.NFSPROC3_RMDIR(args), path)

    async def rename(self, path: str, to: str) -> None:
        """Give a file or a directory another path; a file that is there already is replaced."""
        directory, name = await self._place(path)
        to_directory, to_name = await self._place(to)
        args = p.RENAME3args(p.diropargs3(directory, name), p.diropargs3(to_directory, to_name))
        await self._ask(lambda: self._nfs.NFSPROC3_RENAME(args), path)

    async def chmod(self, path: str, mode: int) -> None:
        """Set permissions."""
        handle, _ = await self._find(path)
        args = p.SETATTR3args(handle, _attributes(mode=mode), p.sattrguard3(False))
        await self._ask(lambda: self._nfs.NFSPROC3_SETATTR(args), path)

    # -- ways

    async def _find(self, path: str, *, follow: bool = True, said: str = "") -> tuple[p.nfs_fh3, str]:
        """The handle at the end of a path, and the last name of it; `said` is what errors call it."""
        handle, name = self._root, ""
        left = [one for one in reversed(path.split("/")) if one not in {"", "."}]
        path = said or path
        links = 0
        while left:
            name = left.pop()
            above, (handle, kind) = handle, await self._look_up(handle, name, path)
            if not left and not follow:
                break
            if kind == p.NF3LNK:
                links += 1
                target = await self._target(handle, path)
                if links > MAX_LINKS or target.startswith("/"):
                    raise StackError(f"{path}: it is a link to {target}, which does not lead to a place here")
                left += [one for one in reversed(target.split("/")) if one not in {"", "."}]
                handle = above
        return handle, name

    async def _place(self, path: str) -> tuple[p.nfs_fh3, str]:
        """The directory of something that may not be there, and its name."""
        above, _, name = path.rstrip("/").rpartition("/")
        if name in {"", ".", ".."}:
            raise ConfigError(f"{path!r} names no file: give it a name")
        return (await self._find(above, said=path))[0], name

    async def _look_up(self, directory: p.nfs_fh3, name: str, path: str) -> tuple[p.nfs_fh3, p.ftype3]:
        """The handle of what has this name, and what it is."""
        args = p.LOOKUP3args(p.diropargs3(directory, name))
        found = (await self._ask(lambda: self._nfs.NFSPROC3_LOOKUP(args), path)).resok
        known = found.obj_attributes  # a server need not give them
        attributes = known.attributes if known.attributes_follow else await self._attributes(found.object, path)
        return found.object, attributes.type

    async def _attributes(self, handle: p.nfs_fh3, path: str) -> p.fattr3:
        args = p.GETATTR3args(handle)
        return (await self._ask(lambda: self._nfs.NFSPROC3_GETATTR(args), path or "/")).resok.obj_attributes

    async def _target(self, handle: p.nfs_fh3, path: str) -> str:
        args = p.READLINK3args(handle)
        return (await self._ask(lambda: self._nfs.NFSPROC3_READLINK(args), path)).resok.data

    async def _ask(self, call: Callable[[], Awaitable[R]], path: str) -> R:
        """The result of a call, which says that it is one.  Raises NfsError, RpcError."""
        for pause in (*JUKEBOX_S, None):
            result = await call()
            if result.status == nfsstat3.NFS3_OK:
                return result
            if result.status != nfsstat3.NFS3ERR_JUKEBOX or pause is None:
                raise NfsError(result.status, path)
            await asyncio.sleep(pause)
        raise AssertionError  # the last pause is None


async def _stream(data: bytes | AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    if isinstance(data, bytes):
        yield data
        return
    async for block in data:
        yield block


def _attributes(mode: int | None = None) -> p.sattr3:
    """Attributes to be set."""
    keep = p.time_how.DONT_CHANGE
    return p.sattr3(
        p.set_mode3(mode is not None, mode),
        p.set_uid3(False),
        p.set_gid3(False),
        p.set_size3(False),
        p.set_atime(keep),
        p.set_mtime(keep),
    )
