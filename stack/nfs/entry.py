"""What a client is told of files."""

import stat
from dataclasses import dataclass
from enum import Enum, unique
from typing import Final

from stack.nfs.nfs3 import fattr3, ftype3


@unique
class FileKind(Enum):
    """What a file is; the value is the letter that `ls` has for it."""

    FILE = "-"
    DIRECTORY = "d"
    LINK = "l"
    BLOCK_DEVICE = "b"
    CHARACTER_DEVICE = "c"
    SOCKET = "s"
    FIFO = "p"
    UNKNOWN = "?"  # the server does not say, or not to us


_KINDS: Final = {
    ftype3.NF3REG: FileKind.FILE,
    ftype3.NF3DIR: FileKind.DIRECTORY,
    ftype3.NF3LNK: FileKind.LINK,
    ftype3.NF3BLK: FileKind.BLOCK_DEVICE,
    ftype3.NF3CHR: FileKind.CHARACTER_DEVICE,
    ftype3.NF3SOCK: FileKind.SOCKET,
    ftype3.NF3FIFO: FileKind.FIFO,
}


@dataclass(slots=True, frozen=True)
class Entry:
    """A file: `size` in octets, `modified` in seconds since 1970; all zero for one of an unknown kind."""

    name: str
    kind: FileKind
    mode: int = 0
    links: int = 0
    uid: int = 0
    gid: int = 0
    size: int = 0
    modified: float = 0.0
    number: int = 0

    @property
    def permissions(self) -> str:
        """As `ls -l` has them, like "-rw-r--r--"."""
        return self.kind.value + stat.filemode(self.mode & 0o7777)[1:] if self.links else self.kind.value + "?" * 9


@dataclass(slots=True, frozen=True)
class Space:
    """Octets and files of a file system: all, free, and free for us."""

    total: int
    free: int
    available: int
    files: int
    free_files: int


def entry_of(name: str, found: fattr3 | None) -> Entry:
    """An Entry, of attributes that are perhaps not known."""
    if found is None:
        return Entry(name, FileKind.UNKNOWN)
    modified = found.mtime.seconds + found.mtime.nseconds / 1e9
    kind = _KINDS[found.type]
    return Entry(name, kind, found.mode, found.nlink, found.uid, found.gid, found.size, modified, found.fileid)
