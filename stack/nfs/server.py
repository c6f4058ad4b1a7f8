"""A directory for others: `await nfs.serve(...)`.

    async with await nfs.serve("/srv/data", host=host, writable=True, register=True): ...

Theory of operation.  One directory is one export, is one server.  NFS and MOUNT share its port, over UDP and TCP, so a
client that is told the port needs no rpcbind.  All that is decided before a client comes is decided here: what is
exported, with which key its handles are made, who may call.
"""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from stack.errors import ConfigError
from stack.nfs.changing import Changing
from stack.nfs.handles import default_key_file, load_key
from stack.nfs.reading import WRITE_MAX, Export, Reading
from stack.nfs.service import Mount, Nfs, Runner
from stack.nfs.tree import Tree
from stack.rpc import RpcServer, ServerLimits
from stack.rpc import serve as serve_programs
from stack.rpc.serving import Auth

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost
    from stack.sim.world import VirtualHost

PORT: Final = 2049
THREADS: Final = 4
MAX_THREADS: Final = 64
LIMITS: Final = ServerLimits(running=128, running_per_connection=32)  # a WRITE takes 1 MiB until it is done
_MAX_PATH: Final = 1024  # octets (RFC 1813 §5.1.4)
_KEPT: Final = 8 << 20
_BESIDES: Final = 8192  # octets of a call besides the data of a WRITE


class NfsServer:
    """A running server; `serve` makes one.  `aclose`, or leaving its context, ends it.

    `path` is what clients mount; `rpc` is the server beneath, with ports and counters of its own.
    """

    __slots__ = ("_changing", "_closing", "_runner", "_tree", "path", "rpc")

    def __init__(
        self, rpc: RpcServer, path: str, tree: Tree, changing: Changing, runner: Runner, closing: ExitStack
    ) -> None:
        self.rpc = rpc
        self.path = path
        self._tree = tree
        self._changing = changing
        self._runner = runner
        self._closing = closing

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def port(self) -> int | None:
        """The TCP port, None if it has none."""
        return self.rpc.tcp_port

    @property
    def stats(self) -> dict[str, int]:
        """Counters by name: results that say why not by their status, and those of the calls."""
        own = {
            "places": len(self._tree.places),
            "searches": self._tree.searches,
            "searches_given_up": self._tree.given_up,
            "failed_syncs": self._changing.failed_syncs,
        }
        return {**self.rpc.stats, **own, **self._runner.counts}

    async def aclose(self) -> None:
        """Give the ports back, wait for what is being done, let go of the directory.  Safe to call twice."""
        self._runner.closing = True
        await self.rpc.aclose()
        await asyncio.to_thread(self._closing.close)


async def serve(
    directory: str | os.PathLike[str],
    *,
    path: str | None = None,
    writable: bool = False,
    host: "AsyncHost | VirtualHost | None" = None,
    address: str | None = None,
    port: int | None = PORT,
    register: bool = False,
    auth: Auth = None,
    key: str | os.PathLike[str] | None = None,
    sync: bool = True,
    threads: int = THREADS,
    limits: ServerLimits | None = None,
) -> NfsServer:
    """Export a directory by NFS version 3; clients mount it as `path`, by default "/" and the directory's own name.

    `host`, `address`, `register`, `auth` and `limits` are those of `rpc.serve`.  `port`: UDP and TCP; 0 is a free one
    each, None is none, for callers within this process.  `key`: the file with the key of handles, by default
    nfs.key in the user's state directory; it is made if it is missing.  `sync`: no answer before the disk has what was
    changed.  `threads`: how many calls may wait for the disk at a time; 0: they are done at once, and the loop waits.

    Everything is done as the user that this process is; what callers claim to be does not matter.
    Raises ConfigError, OSError, RpcError when it cannot be registered.
    """
    if not 0 <= threads <= MAX_THREADS:
        raise ConfigError(f"threads={threads}: use 0 to {MAX_THREADS}")
    with ExitStack() as closing:
        tree, name = _open(Path(directory), path, default_key_file() if key is None else Path(key))
        closing.callback(tree.close)
        export = Export(tree, writable=writable)
        changing = Changing(export, sync=sync)
        closing.callback(changing.close)
        executor = None
        if threads:
            executor = ThreadPoolExecutor(threads, thread_name_prefix="nfs")
            closing.callback(executor.shutdown)
        runner = Runner(executor, threads)
        bytearray(_KEPT)  # given back at once, for which malloc keeps as much from now on
        server = await serve_programs(
            [Nfs(Reading(export), changing, runner), Mount(export, name, runner)],
            host=host,
            address=address,
            udp=port,
            tcp=port,
            register=register,
            auth=auth,
            max_record=WRITE_MAX + _BESIDES,
            limits=LIMITS if limits is None else limits,
        )
        return NfsServer(server, name, tree, changing, runner, closing.pop_all())
    raise AssertionError  # (for mypy: the block above returns or raises)


def _open(directory: Path, path: str | None, key_file: Path) -> tuple[Tree, str]:
    """The tree, and what clients mount.  Raises ConfigError."""
    root, key_file = directory.absolute(), key_file.absolute()
    name = _export_path(f"/{root.name}" if path is None else path)
    if key_file.parent.resolve().is_relative_to(root.resolve()):
        raise ConfigError(f"the key file {key_file} is within the export: whoever reads it can make handles")
    return Tree(root, load_key(key_file)), name


def _export_path(path: str) -> str:
    """What clients mount, with one slash where there were several.  Raises ConfigError."""
    names = [name for name in path.split("/") if name]
    found = "/" + "/".join(names)
    if not path.startswith("/") or {".", ".."} & set(names) or len(found.encode()) > _MAX_PATH:
        raise ConfigError(f"{path!r} is no path of an export: write it like /data, with at most {_MAX_PATH} octets")
    return found
