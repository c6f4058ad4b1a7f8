"""A directory and what is below it, and no way out.

Theory of operation.  Nothing is ever reached by a path.  A Node is a file held by a descriptor that was opened from the
descriptor of its directory, by one name that has neither a slash nor dots for a meaning (O_PATH: it opens nothing, so a
device is not started; O_NOFOLLOW: it is the link and not where that leads).  From the root's descriptor, which is taken
once, the way to a file is gone name by name, and the kernel is never asked for "..".  What is at the end must be the
inode that the handle names, born when the handle says, and reached through the mount of the root: other file systems
mounted below are not part of the export, nor is the same file system mounted once more.  The way is gone anew for each
call, so a directory that was moved out of the export is out of reach with all that is in it.

What is to be read or changed is reached through the descriptor alone (/proc/self/fd/N): that is this very inode,
whatever its name means by then.

Only files, directories and symbolic links become Nodes.  Devices, FIFOs and sockets are listed, can be renamed and
removed, and are NFS3ERR_ACCES for everything else.

Handles do not say where a file is.  `Places` remembers; what it does not know, or no longer knows right, is searched
for, in one walk through the export that also learns everything else it meets, as far as there is room.  Walks take at
most a tenth of the time: meanwhile the client is told to come again (NFS3ERR_JUKEBOX).
"""

import os
import stat
import time
from collections import deque
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Final, Self

from stack.errors import ConfigError
from stack.nfs.errors import Fault, WouldWaitError
from stack.nfs.handles import Handles, export_id
from stack.nfs.nfs3 import nfsstat3
from stack.nfs.places import MAX_DEPTH, Places
from stack.nfs.system import Stat, read_directory, stat_of

NAME_MAX: Final = 255
MAX_SEARCH: Final = 2_000_000  # lines of directories that one walk looks at
REST: Final = 9  # times as long as a walk took, none is begun
CHUNK: Final = 32_768  # octets of a directory read at a time
HELD: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
OPENED: Final = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
KINDS: Final = frozenset({stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK})
_DT_DIR: Final = 4
_DT_UNKNOWN: Final = 0


def octets_of(name: str) -> bytes:
    """A name of one file, as the kernel wants it.  Raises Fault for what is no name."""
    found = name.encode("utf-8", "surrogateescape")
    if len(found) > NAME_MAX:
        raise Fault(nfsstat3.NFS3ERR_NAMETOOLONG)
    if not found or b"/" in found or b"\0" in found:
        raise Fault(nfsstat3.NFS3ERR_ACCES)  # RFC 1813 §3.2: also for characters that the server cannot handle
    return found


class Node:
    """A file, held while the block lasts.  `stat` is what it was when it was reached."""

    __slots__ = ("fd", "stat", "tree")

    def __init__(self, tree: "Tree", fd: int, found: Stat) -> None:
        self.tree = tree
        self.fd = fd
        self.stat = found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        if self.fd >= 0:
            fd, self.fd = self.fd, -1
            os.close(fd)

    @property
    def kind(self) -> int:
        """As in S_IFMT."""
        return stat.S_IFMT(self.stat.mode)

    @property
    def is_directory(self) -> bool:
        """Whether it has names in it."""
        return self.kind == stat.S_IFDIR

    @property
    def handle(self) -> bytes:
        """Its handle."""
        return self.tree.handles.seal(self.stat.ino, self.stat.birth)

    @property
    def itself(self) -> str:
        """A path that leads to this very inode, for calls that want one."""
        return f"/proc/self/fd/{self.fd}"

    def look(self) -> Stat:
        """What it is now.  Raises OSError."""
        return stat_of(self.fd)

    def need(self, kind: int, status: nfsstat3) -> None:
        """Raise Fault for another kind of file."""
        if self.kind != kind:
            raise Fault(status)

    def need_directory(self) -> None:
        """Raise Fault for what has no names in it."""
        self.need(stat.S_IFDIR, nfsstat3.NFS3ERR_NOTDIR)

    def open(self, flags: int) -> int:
        """A descriptor to read or write it by.  Raises OSError."""
        return os.open(self.itself, flags | OPENED)


class Tree:
    """See the head of this file.  Raises ConfigError for what cannot be exported."""

    # fmt: off
    __slots__ = (
        "_fd", "_may_search_at", "_searching", "given_up", "handles", "places", "root", "searches",
    )
    # fmt: on

    def __init__(self, directory: Path, key: bytes, places: int | None = None) -> None:
        if not Path("/proc/self/fd").is_dir():
            raise ConfigError("/proc is not mounted, and files are reached through it: mount it")
        try:
            self._fd = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"{directory} cannot be exported: {(error.strerror or str(error)).lower()}") from None
        self.root = stat_of(self._fd)
        if self.root.mount is None:
            os.close(self._fd)
            raise ConfigError("this kernel does not say through which mount a file was reached: Linux 5.8 does")
        self.handles = Handles(key, export_id(self.root.ino, self.root.birth))
        self.places = Places(self.root.ino) if places is None else Places(self.root.ino, places)
        self._searching = Lock()
        self._may_search_at = 0.0
        self.searches = 0
        self.given_up = 0  # searches that ended at MAX_SEARCH

    def close(self) -> None:
        """Let go of the root."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            os.close(fd)

    # -- ways in

    def top(self) -> Node:
        """The root.  Raises OSError."""
        return self._node(os.open(b".", HELD, dir_fd=self._fd))

    def at(self, handle: bytes, *, search: bool = True) -> Node:
        """What has this handle.  Raises Fault, OSError; WouldWaitError for what is not to be searched for."""
        ino, birth = self.handles.open(handle)
        if self.places.is_gone(ino, birth):
            raise Fault(nfsstat3.NFS3ERR_STALE)
        way = self.places.way_to(ino)
        if way is not None:
            node = self._follow(way, ino, birth)
            if node is not None:
                return node
            self.places.forget(ino)
        if not search:
            raise WouldWaitError
        node = self._search(ino, birth)
        if node is None:
            raise Fault(nfsstat3.NFS3ERR_STALE)
        return node

    def child(self, directory: Node, name: str) -> Node:
        """What has this name in the directory; "." is itself, ".." its directory, and at the root the root.

        Raises Fault, OSError.
        """
        directory.need_directory()
        octets = octets_of(name)
        if octets == b".":
            return self._node(os.dup(directory.fd))
        if octets == b"..":
            return self._above(directory)
        node = self._node(os.open(octets, HELD, dir_fd=directory.fd))
        self.places.learn(node.stat.ino, directory.stat.ino, octets, node.stat.birth)
        return node

    def glance(self, directory: Node, name: bytes) -> Stat:
        """What has this name, of whatever kind.  Raises OSError."""
        fd = os.open(name, HELD, dir_fd=directory.fd)
        try:
            return stat_of(fd)
        finally:
            os.close(fd)

    def _above(self, directory: Node) -> Node:
        if directory.stat.ino == self.root.ino:
            return self.top()
        parent = self.places.parent_of(directory.stat.ino)
        way = None if parent is None else self.places.way_to(parent)
        if way is None:  # the way here was gone just now: somebody has moved it in between
            raise Fault(nfsstat3.NFS3ERR_STALE)
        return self._node(self._descend(way))

    # -- on the way

    def _node(self, fd: int) -> Node:
        """The Node of a descriptor, which is closed if there is none.  Raises Fault, OSError."""
        try:
            found = stat_of(fd)
        except BaseException:
            os.close(fd)
            raise
        if found.mount != self.root.mount or stat.S_IFMT(found.mode) not in KINDS:
            os.close(fd)
            raise Fault(nfsstat3.NFS3ERR_ACCES)
        return Node(self, fd, found)

    def _descend(self, way: list[bytes]) -> int:
        """A descriptor of what is at the end.  Raises OSError."""
        fd = os.open(b".", HELD, dir_fd=self._fd)
        for name in way:
            try:
                following = os.open(name, HELD, dir_fd=fd)  # ENOTDIR, if what came before is a link or a file
            finally:
                os.close(fd)
            fd = following
        return fd

    def _follow(self, way: list[bytes], ino: int, birth: int) -> Node | None:
        """What is at the end of the way, if it is what is meant.  Raises OSError where the way is barred."""
        try:
            node = self._node(self._descend(way))
        except (FileNotFoundError, NotADirectoryError, Fault):
            return None
        if (node.stat.ino, node.stat.birth) != (ino, birth):
            node.close()
            return None
        return node

    # -- what is not where it was

    def _search(self, ino: int, birth: int) -> Node | None:
        """Look for an inode in the whole export.  Raises Fault: not now."""
        if time.monotonic() < self._may_search_at or not self._searching.acquire(blocking=False):
            raise Fault(nfsstat3.NFS3ERR_JUKEBOX)
        try:
            began = time.monotonic()
            self.searches += 1
            way = self._walk(ino)
            now = time.monotonic()
            self._may_search_at = now + REST * (now - began)
            node = None if way is None else self._follow(way, ino, birth)
            if node is None:
                self.places.bury(ino, birth)
            return node
        finally:
            self._searching.release()

    def _walk(self, ino: int) -> list[bytes] | None:
        """The way to an inode.  All that is met is learnt, what is met first rather than what comes later."""
        found: list[bytes] | None = None
        looked_at = 0
        waiting: deque[tuple[int, list[bytes]]] = deque([(self.root.ino, [])])
        while waiting:
            directory, way = waiting.popleft()
            for number, kind, name in self._lines(way):
                looked_at += 1
                if number == ino:
                    found = [*way, name]
                    self.places.learn(number, directory, name)
                elif self.places.has_room:
                    self.places.learn(number, directory, name)
                if kind in {_DT_DIR, _DT_UNKNOWN} and len(way) < MAX_DEPTH:
                    waiting.append((number, [*way, name]))
            if looked_at > MAX_SEARCH:
                self.given_up += 1
                break
        return found

    def _lines(self, way: list[bytes]) -> list[tuple[int, int, bytes]]:
        """What is in the directory at the end of the way; nothing if there is no directory that may be read."""
        lines: list[tuple[int, int, bytes]] = []
        try:
            with self._node(self._descend(way)) as node:
                if not node.is_directory:
                    return lines
                fd = node.open(os.O_RDONLY | os.O_DIRECTORY)
            try:
                while len(lines) < MAX_SEARCH and (entries := read_directory(fd, CHUNK)):
                    lines += [(one.ino, one.kind, one.name) for one in entries if one.name not in {b".", b".."}]
            finally:
                os.close(fd)
        except (OSError, Fault):
            pass
        return lines
