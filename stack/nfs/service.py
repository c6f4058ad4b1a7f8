"""The two programs: NFS version 3 and MOUNT version 3, for one export.

Theory of operation.  A procedure is a function of `reading` or `changing`; here it is decided where it runs.  What may
wait for a disk runs in a few threads, so that the loop, and with it our own TCP, never waits; see
docs/decisions/0018-nfs-server.md for what that costs.  There are as many calls at a time as there are threads; those
that wait are served client by client in turn.

The MOUNT program gives the handle of the export's root, or of a directory below it, to who knows the path.  Who has
mounted what is a list of claims, kept for DUMP because the RFC has it, and bounded.
"""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Executor
from functools import partial
from typing import Any, Final, TypeVar

from stack.nfs import mount3 as m
from stack.nfs import nfs3 as p
from stack.nfs.changing import Changing
from stack.nfs.errors import Fault, status_of
from stack.nfs.mount3 import mountstat3
from stack.nfs.nfs3 import nfsstat3
from stack.nfs.reading import DIRECTORY_MAX, READ_MAX, UDP_MAX, WRITE_MAX, Export, Reading, in_pieces
from stack.nfs.tree import Node
from stack.rpc import NO_REPLY, Context, proc
from stack.rpc.constants import Flavor

T = TypeVar("T")
MAX_MOUNTS: Final = 1024  # lines of DUMP
_MOUNT_STATUS: Final = {
    nfsstat3.NFS3ERR_PERM: mountstat3.MNT3ERR_PERM,
    nfsstat3.NFS3ERR_NOENT: mountstat3.MNT3ERR_NOENT,
    nfsstat3.NFS3ERR_IO: mountstat3.MNT3ERR_IO,
    nfsstat3.NFS3ERR_ACCES: mountstat3.MNT3ERR_ACCES,
    nfsstat3.NFS3ERR_NOTDIR: mountstat3.MNT3ERR_NOTDIR,
    nfsstat3.NFS3ERR_INVAL: mountstat3.MNT3ERR_INVAL,
    nfsstat3.NFS3ERR_NAMETOOLONG: mountstat3.MNT3ERR_NAMETOOLONG,
}


class Runner:
    """Runs functions in threads, or at once where there are none.  `counts` are results that say why not.

    Of three or more threads one client has all but one, and what waits is begun client by client in turn: whoever waits
    for a slow disk does not make all others wait.  As many calls wait as the RPC server lets run (`ServerLimits`).

    `closing`: calls get no reply any more.  Their clients ask the next run of the server, as they would after a crash.
    """

    __slots__ = ("_busy", "_executor", "_loop", "_running", "_share", "_threads", "_waiting", "closing", "counts")

    def __init__(self, executor: Executor | None, threads: int = 0) -> None:
        self._executor = executor
        self._loop = asyncio.get_running_loop()
        self._threads = threads
        self._share = threads - 1 if threads > 2 else threads  # one client's own calls should not wait in a row
        self._running = 0
        self._busy: Counter[str] = Counter()  # of those, by client
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = (
            OrderedDict()
        )  # calls by client, as it is their turn
        self.closing = False
        self.counts: Counter[str] = Counter()

    async def run(self, ctx: Context, work: Callable[..., T], *args: Any) -> T:
        """What it returns."""
        result: Any = NO_REPLY
        try:
            if self._executor is None:
                result = work(*args)
            elif not self.closing:
                result = await self._run_in_thread(self._executor, _who(ctx), work, *args)
        except asyncio.CancelledError:
            if not self.closing:
                raise
        self.count(result)
        return result  # type: ignore[no-any-return]

    async def _run_in_thread(self, executor: Executor, client: str, work: Callable[..., T], *args: Any) -> T:
        if self._running < self._threads and self._busy[client] < self._share:
            self._begin(client)
        else:
            turn: asyncio.Future[None] = self._loop.create_future()
            self._waiting.setdefault(client, deque()).append(turn)
            try:
                await turn
            except asyncio.CancelledError:
                if not turn.cancelled():  # its turn had just come
                    self._on_done(client)
                raise
        running = self._loop.run_in_executor(executor, work, *args)
        running.add_done_callback(partial(self._on_done, client))
        return await asyncio.shield(running)  # a thread goes on though its call was cancelled, and is busy until then

    def _begin(self, client: str) -> None:
        self._running += 1
        self._busy[client] += 1

    def _on_done(self, client: str, _: object = None) -> None:
        """A thread is free: for the first client in turn that has a call waiting and may have one more."""
        self._running -= 1
        self._busy[client] -= 1
        if not self._busy[client]:
            del self._busy[client]
        for name, turns in list(self._waiting.items()):
            while turns and turns[0].cancelled():
                turns.popleft()
            if turns and self._busy[name] < self._share:
                self._begin(name)
                turns.popleft().set_result(None)
                self._waiting.move_to_end(name)
                break
        for name in [name for name, turns in self._waiting.items() if not turns]:
            del self._waiting[name]

    def count(self, result: object) -> None:
        """A result that is told to a client."""
        status = getattr(result, "status", getattr(result, "fhs_status", nfsstat3.NFS3_OK))
        if status:
            self.counts[status.name.lower()] += 1


class Nfs(p.NFS_V3.Server):
    """NFS version 3."""

    __slots__ = ("_changing", "_reading", "_run", "_runner")

    def __init__(self, reading: Reading, changing: Changing, runner: Runner) -> None:
        self._reading = reading
        self._changing = changing
        self._runner = runner
        self._run = runner.run

    @proc(idempotent=True)
    async def NFSPROC3_GETATTR(self, ctx: Context, a: p.GETATTR3args) -> p.GETATTR3res:
        """Attributes."""
        return await self._run(ctx, self._reading.getattr, a)

    async def NFSPROC3_SETATTR(self, ctx: Context, a: p.SETATTR3args) -> p.SETATTR3res:
        """Change attributes."""
        return await self._run(ctx, self._changing.setattr, a)

    @proc(idempotent=True)
    async def NFSPROC3_LOOKUP(self, ctx: Context, a: p.LOOKUP3args) -> p.LOOKUP3res:
        """From a name to a handle."""
        return await self._run(ctx, self._reading.lookup, a)

    @proc(idempotent=True)
    async def NFSPROC3_ACCESS(self, ctx: Context, a: p.ACCESS3args) -> p.ACCESS3res:
        """What may be done."""
        return await self._run(ctx, self._reading.access, a)

    @proc(idempotent=True)
    async def NFSPROC3_READLINK(self, ctx: Context, a: p.READLINK3args) -> p.READLINK3res:
        """Where a symbolic link leads."""
        return await self._run(ctx, self._reading.readlink, a)

    @proc(idempotent=True)
    async def NFSPROC3_READ(self, ctx: Context, a: p.READ3args) -> p.READ3res:
        """Data of a file; at once, if that does not wait for a disk: a thread would cost as much as the data."""
        most = _most(ctx, READ_MAX)
        found = self._reading.read_at_once(a, most)
        if found is None:
            found = await self._runner.run(ctx, self._reading.read, a, most)
        else:
            self._runner.count(found)
        return in_pieces(found)  # type: ignore[no-any-return]

    async def NFSPROC3_WRITE(self, ctx: Context, a: p.WRITE3args) -> p.WRITE3res:
        """Data for a file; in the duplicate request cache, for a late copy would undo what was written since."""
        return await self._run(ctx, self._changing.write, a)

    async def NFSPROC3_CREATE(self, ctx: Context, a: p.CREATE3args) -> p.CREATE3res:
        """A new file."""
        return await self._run(ctx, self._changing.create, a)

    async def NFSPROC3_MKDIR(self, ctx: Context, a: p.MKDIR3args) -> p.MKDIR3res:
        """A new directory."""
        return await self._run(ctx, self._changing.mkdir, a)

    async def NFSPROC3_SYMLINK(self, ctx: Context, a: p.SYMLINK3args) -> p.SYMLINK3res:
        """A new symbolic link."""
        return await self._run(ctx, self._changing.symlink, a)

    async def NFSPROC3_MKNOD(self, ctx: Context, a: p.MKNOD3args) -> p.MKNOD3res:
        """A device: refused."""
        return await self._run(ctx, self._changing.mknod, a)

    async def NFSPROC3_REMOVE(self, ctx: Context, a: p.REMOVE3args) -> p.REMOVE3res:
        """Take a file away."""
        return await self._run(ctx, self._changing.remove, a)

    async def NFSPROC3_RMDIR(self, ctx: Context, a: p.RMDIR3args) -> p.RMDIR3res:
        """Take a directory away."""
        return await self._run(ctx, self._changing.rmdir, a)

    async def NFSPROC3_RENAME(self, ctx: Context, a: p.RENAME3args) -> p.RENAME3res:
        """Another name, perhaps in another directory."""
        return await self._run(ctx, self._changing.rename, a)

    async def NFSPROC3_LINK(self, ctx: Context, a: p.LINK3args) -> p.LINK3res:
        """One more name."""
        return await self._run(ctx, self._changing.link, a)

    @proc(idempotent=True)
    async def NFSPROC3_READDIR(self, ctx: Context, a: p.READDIR3args) -> p.READDIR3res:
        """The names in a directory."""
        return await self._run(ctx, self._reading.readdir, a, _most(ctx, DIRECTORY_MAX))

    @proc(idempotent=True)
    async def NFSPROC3_READDIRPLUS(self, ctx: Context, a: p.READDIRPLUS3args) -> p.READDIRPLUS3res:
        """The same, with attributes and handles."""
        return await self._run(ctx, self._reading.readdirplus, a, _most(ctx, DIRECTORY_MAX))

    @proc(idempotent=True)
    async def NFSPROC3_FSSTAT(self, ctx: Context, a: p.FSSTAT3args) -> p.FSSTAT3res:
        """How full the disk is."""
        return await self._run(ctx, self._reading.fsstat, a)

    @proc(idempotent=True)
    async def NFSPROC3_FSINFO(self, ctx: Context, a: p.FSINFO3args) -> p.FSINFO3res:
        """What the server can do; over UDP, as much as fits."""
        return await self._run(ctx, self._reading.fsinfo, a, _most(ctx, READ_MAX), _most(ctx, WRITE_MAX))

    @proc(idempotent=True)
    async def NFSPROC3_PATHCONF(self, ctx: Context, a: p.PATHCONF3args) -> p.PATHCONF3res:
        """What names may be like."""
        return await self._run(ctx, self._reading.pathconf, a)

    @proc(idempotent=True)
    async def NFSPROC3_COMMIT(self, ctx: Context, a: p.COMMIT3args) -> p.COMMIT3res:
        """Wait until what was written is on the disk."""
        return await self._run(ctx, self._changing.commit, a)


def _most(ctx: Context, octets: int) -> int:
    return min(octets, UDP_MAX) if ctx.transport == "udp" else octets


class Mount(m.MOUNT_V3.Server):
    """MOUNT version 3.  `path` is what clients call the export."""

    __slots__ = ("_export", "_mounts", "_path", "_runner")

    def __init__(self, export: Export, path: str, runner: Runner) -> None:
        self._export = export
        self._path = path
        self._runner = runner
        self._mounts: OrderedDict[tuple[str, str], None] = OrderedDict()  # who, what

    async def MOUNTPROC3_MNT(self, ctx: Context, path: str) -> m.mountres3:
        """The handle of a directory."""
        result = await self._runner.run(ctx, self._open, path)
        if getattr(result, "fhs_status", None) == mountstat3.MNT3_OK:
            self._mounts[_who(ctx), path] = None
            if len(self._mounts) > MAX_MOUNTS:
                self._mounts.popitem(last=False)
        return result

    def _open(self, path: str) -> m.mountres3:
        names = [name for name in path.split("/") if name]
        own = [name for name in self._path.split("/") if name]
        if names[: len(own)] != own:
            return m.mountres3(mountstat3.MNT3ERR_NOENT)
        node: Node | None = None
        try:
            node = self._export.tree.top()
            for name in names[len(own) :]:
                above = node
                with above:
                    node = self._export.tree.child(above, name)
            node.need_directory()
        except (Fault, OSError) as error:
            return m.mountres3(_MOUNT_STATUS.get(status_of(error), mountstat3.MNT3ERR_SERVERFAULT))
        else:
            info = m.mountres3_ok(node.handle, [int(Flavor.SYS), int(Flavor.NONE)])
            return m.mountres3(mountstat3.MNT3_OK, info)
        finally:
            if node is not None:
                node.close()

    @proc(idempotent=True)
    async def MOUNTPROC3_DUMP(self, ctx: Context) -> m.mountlist:
        """Who has mounted what, as they say."""
        head: m.mountbody | None = None
        for who, path in reversed(self._mounts):
            head = m.mountbody(who, path, head)
        return head

    async def MOUNTPROC3_UMNT(self, ctx: Context, path: str) -> None:
        """Off the list."""
        self._mounts.pop((_who(ctx), path), None)

    async def MOUNTPROC3_UMNTALL(self, ctx: Context) -> None:
        """All of the caller's."""
        for key in [key for key in self._mounts if key[0] == _who(ctx)]:
            del self._mounts[key]

    @proc(idempotent=True)
    async def MOUNTPROC3_EXPORT(self, ctx: Context) -> m.exports:
        """What can be mounted."""
        return m.exportnode(self._path, None, None)


def _who(ctx: Context) -> str:
    return str(ctx.source[0] or ctx.source)
