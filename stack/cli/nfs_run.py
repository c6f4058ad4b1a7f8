"""What the NFS commands do; `stack.cli.nfs` has their options.

A target is "host:/path", and nothing in it says where the export ends.  So the longest part of the path that the server
lets be mounted is, and the rest is gone by LOOKUP.
"""

import asyncio
import json
import os
import stat
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import click
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from stack.cli.nfs_way import Dialer
from stack.cli.via import Way
from stack.errors import ConfigError, StackError
from stack.nfs import Entry, FileKind, Mounted, MountError, NfsError
from stack.nfs.mount3 import MOUNT_V3
from stack.nfs.mounting import Mounting, parse_target
from stack.rpc import AuthSys

CHUNK: Final = 1 << 18
MAX_TRIES: Final = 32  # directories of one path that are tried to be mounted


class Remote:
    """A server, by the words and options of a command."""

    __slots__ = ("_dialer", "_options", "_ports", "_proto", "host", "path")

    def __init__(
        self,
        way: Way,
        via: str | None,
        target: str,
        *,
        proto: str,
        port: int | None,
        mount_port: int | None,
        timeout: float,
    ) -> None:
        self.host, self.path = (target, "") if ":" not in target else parse_target(target)
        if not self.host:
            raise ConfigError("the name of the host is empty")
        self._dialer = Dialer(way)
        self._dialer.check(proto, via)
        self._proto = proto
        self._ports = (port, port if mount_port is None else mount_port)
        self._options = {"timeout": timeout}

    def need_path(self) -> None:
        """Raise ConfigError if the target is a host alone."""
        if not self.path:
            raise ConfigError(f"{self.host!r} is a host: say which file of it, like {self.host}:/data/file")

    @asynccontextmanager
    async def mounted(self) -> AsyncIterator[tuple[Mounted, str]]:
        """What is mounted, and the path within it.  Raises StackError."""
        names = [name for name in self.path.split("/") if name]
        async with AsyncExitStack() as closing:
            there, rest = await self._longest(names, closing)
            yield there, rest

    async def _longest(self, names: list[str], closing: AsyncExitStack) -> tuple[Mounted, str]:
        refused: MountError | None = None
        for count in range(len(names), max(-1, len(names) - MAX_TRIES), -1):
            mounting = Mounting(
                f"{'[' + self.host + ']' if ':' in self.host else self.host}:/{'/'.join(names[:count])}",
                proto=self._proto,
                auth=AuthSys.current(),
                dial=self._dialer.dial,
                ports=self._ports,
                **self._options,
            )
            try:
                return await closing.enter_async_context(mounting), "/".join(names[count:])
            except MountError as error:
                refused = refused or error
        assert refused is not None
        exports = await self.exports()
        known = f"it has {', '.join(shown(one) for one in exports)}" if exports else "it has none"
        raise StackError(f"{refused.strerror}; {known}", refused.errno)

    async def exports(self) -> list[str]:
        """The directories that the server lists.  Raises StackError."""
        options = {"auth": AuthSys.current(), "proto": self._proto, "port": self._ports[1], **self._options}
        async with self._dialer.dial(MOUNT_V3, self.host, **options) as mounter:
            node = await mounter.MOUNTPROC3_EXPORT()
        found = []
        while node is not None:
            found.append(node.ex_dir)
            node = node.ex_next
        return found


def shown(name: str) -> str:
    """A name that a server gave, without what would do something to a terminal."""
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in name)


def _do(work: Callable[[], Awaitable[int]]) -> int:
    """The exit code; what fails on the way is one sentence, and 1."""

    async def main() -> int:
        return await work()

    try:
        return asyncio.run(main())
    except ConfigError:
        raise
    except StackError as error:
        click.echo(f"tapstack: {error.strerror or error}", err=True)
        return 1


# -- ls


def ls(way: Way, via: str | None, target: str, *, as_json: bool, **options: Any) -> int:
    """Print what a directory holds, or what a host exports.  Raises StackError."""
    remote = Remote(way, via, target, **options)

    async def exports() -> int:
        found = await remote.exports()
        click.echo(json.dumps(found, indent=2) if as_json else "\n".join(shown(one) for one in found))
        return 0

    async def work() -> int:
        async with remote.mounted() as (there, path):
            about = await there.stat(path)
            entries = await there.list(path) if about.kind is FileKind.DIRECTORY else [about]
            links = {one.name: await _target(there, path, one) for one in entries if one.kind is FileKind.LINK}
        click.echo(_as_json(entries, links) if as_json else "\n".join(_rows(entries, links)))
        return 0

    return _do(work if remote.path else exports)


async def _target(there: Mounted, path: str, one: Entry) -> str:
    try:
        return await there.readlink(f"{path}/{one.name}")
    except NfsError:  # it has gone in between
        return ""


def _as_json(entries: list[Entry], links: dict[str, str]) -> str:
    return json.dumps(
        [
            {
                "name": one.name,
                "kind": one.kind.name.lower(),
                "mode": one.mode,
                "links": one.links,
                "uid": one.uid,
                "gid": one.gid,
                "size": one.size,
                "modified": one.modified,
                **({"target": links[one.name]} if one.name in links else {}),
            }
            for one in entries
        ],
        indent=2,
    )


def _rows(entries: list[Entry], links: dict[str, str]) -> Iterator[str]:
    width = max((len(str(one.size)) for one in entries), default=1)
    for one in entries:
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.modified)) if one.links else "-" * 16
        arrow = f" -> {shown(links[one.name])}" if one.name in links else ""
        yield f"{one.permissions} {one.uid:>5} {one.gid:>5} {one.size:>{width}} {when} {shown(one.name)}{arrow}"


# -- files


def cat(way: Way, via: str | None, target: str, **options: Any) -> int:
    """Write a file to standard output.  Raises StackError."""
    remote = Remote(way, via, target, **options)
    remote.need_path()

    async def work() -> int:
        async with remote.mounted() as (there, path):
            async for block in there.blocks(path):
                sys.stdout.buffer.write(block)
        sys.stdout.buffer.flush()
        return 0

    return _do(work)


def get(way: Way, via: str | None, target: str, file: str, *, quiet: bool, **options: Any) -> int:
    """Copy a file from a server.  Raises StackError."""
    remote = Remote(way, via, target, **options)
    remote.need_path()
    name = remote.path.rstrip("/").rpartition("/")[2]
    local = Path(file or ".")
    if local.is_dir():
        if name in {"", ".", ".."}:
            raise ConfigError(f"{target} names no file: say what it shall be called here")
        local /= name

    async def work() -> int:
        async with remote.mounted() as (there, path):
            about = await there.stat(path)
            with _replaced(local) as out, _bar(name, about.size, quiet=quiet) as bar:
                async for block in there.blocks(path):
                    out.write(block)
                    bar(len(block))
        return 0

    return _do(work)


@contextmanager
def _replaced(path: Path) -> Iterator[BinaryIO]:
    """A file that becomes `path` when all has been written.  Raises ConfigError."""
    try:
        mode = 0o666 & ~_umask() if not path.exists() else stat.S_IMODE(path.stat().st_mode)
        fd, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", dir=path.parent)
    except OSError as error:
        raise ConfigError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    beside = Path(name)
    try:
        with os.fdopen(fd, "wb") as out:
            yield out
        beside.chmod(mode)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _umask() -> int:
    """What the umask is; there is no way to ask but to set it."""
    found = os.umask(0o077)
    os.umask(found)
    return found


def put(way: Way, via: str | None, file: str, target: str, *, quiet: bool, **options: Any) -> int:
    """Copy a file to a server.  Raises StackError."""
    remote = Remote(way, via, target, **options)
    remote.need_path()
    source, mode = _source(file)

    async def work() -> int:
        with source:
            async with remote.mounted() as (there, path):
                to = await _destination(there, path, remote.path, file)
                size = os.fstat(source.fileno()).st_size if source is not sys.stdin.buffer else None
                with _bar(to.rpartition("/")[2], size, quiet=quiet) as bar:
                    await _send(there, to, source, mode, bar)
        return 0

    return _do(work)


async def _send(there: Mounted, to: str, source: BinaryIO, mode: int, bar: Callable[[int], None]) -> None:
    done = 0

    async def blocks() -> AsyncIterator[bytes]:
        while block := await asyncio.to_thread(source.read, CHUNK):
            yield block

    def progress(now: int) -> None:
        nonlocal done
        bar(now - done)
        done = now

    await there.write(to, blocks(), mode=mode, progress=progress)


def _source(file: str) -> tuple[BinaryIO, int]:
    """What is to be copied, and its permissions.  Raises ConfigError."""
    if file == "-":
        return sys.stdin.buffer, 0o644
    try:
        source = Path(file).open("rb")  # noqa: SIM115  (its user closes it)
    except OSError as error:
        raise ConfigError(f"{file}: {(error.strerror or str(error)).lower()}") from None
    return source, stat.S_IMODE(os.fstat(source.fileno()).st_mode) & 0o777


async def _destination(there: Mounted, path: str, given: str, file: str) -> str:
    """Where it shall be: a directory gets a file of the same name.  Raises StackError."""
    try:
        about = await there.stat(path)
    except NfsError:
        if given.endswith("/"):
            raise
        return path
    if about.kind is not FileKind.DIRECTORY:
        return path
    if file == "-":
        raise ConfigError(f"{given} is a directory: say what the file shall be called there")
    return f"{path}/{Path(file).name}"


@contextmanager
def _bar(name: str, size: int | None, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """What is told of octets that are done; a bar on standard error, if that is a terminal."""
    console = Console(stderr=True)
    if quiet or not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(shown(name), total=size)
        yield lambda octets: progress.update(task, advance=octets)
        if size is None:
            progress.update(task, total=progress.tasks[0].completed)
