"""Attributes on the wire, and attributes that clients want to set.

What is told of a file is what the kernel says.  What may be set:

mode      the nine permissions and the sticky bit; set-uid and set-gid are left out without a word, for everything here
          belongs to the server's own user, and a program of a client's must not run as it
uid, gid  only to what they are: everybody who may call does so as the server's user (see docs/nfs.md)
size      by truncation
times     to the client's or the server's
"""

import os
import stat
import time
from pathlib import Path
from typing import Final

from stack.nfs.errors import Fault
from stack.nfs.nfs3 import (
    fattr3,
    ftype3,
    nfs_fh3,
    nfsstat3,
    nfstime3,
    post_op_attr,
    post_op_fh3,
    pre_op_attr,
    sattr3,
    specdata3,
    time_how,
    wcc_attr,
    wcc_data,
)
from stack.nfs.system import Stat
from stack.nfs.tree import Node

MODES: Final = 0o1777
MAX_OFFSET: Final = (1 << 63) - 1
_SECOND: Final = 1_000_000_000
_MAX_SECONDS: Final = (1 << 32) - 1
_BLOCK: Final = 512
_NO_DEVICE: Final = specdata3(0, 0)
_TYPES: Final = {
    stat.S_IFREG: ftype3.NF3REG,
    stat.S_IFDIR: ftype3.NF3DIR,
    stat.S_IFLNK: ftype3.NF3LNK,
}
NO_ATTRIBUTES: Final = post_op_attr(False)
NO_WCC: Final = wcc_data(pre_op_attr(False), NO_ATTRIBUTES)


def time_of(nanoseconds: int) -> nfstime3:
    """A time on the wire, where there are none before 1970 and after 2106."""
    seconds, rest = divmod(nanoseconds, _SECOND)
    if not 0 <= seconds <= _MAX_SECONDS:
        return nfstime3(0, 0) if seconds < 0 else nfstime3(_MAX_SECONDS, 0)
    return nfstime3(seconds, rest)


def nanoseconds_of(when: nfstime3) -> int:
    """The same, back.  Raises Fault for what is no time."""
    if when.nseconds >= _SECOND:
        raise Fault(nfsstat3.NFS3ERR_INVAL)
    return when.seconds * _SECOND + when.nseconds


def attributes_of(found: Stat, fsid: int) -> fattr3:
    """All that a client is told of a file."""
    return fattr3(
        _TYPES[stat.S_IFMT(found.mode)],
        found.mode & 0o7777,
        found.nlink,
        found.uid,
        found.gid,
        found.size,
        found.blocks * _BLOCK,
        _NO_DEVICE,
        fsid,
        found.ino,
        time_of(found.atime),
        time_of(found.mtime),
        time_of(found.ctime),
    )


class Wcc:
    """Weak cache consistency (RFC 1813 §2.6): a file before and after what is done to it."""

    __slots__ = ("_fsid", "_node")

    def __init__(self, node: Node | None, fsid: int) -> None:
        self._node = node
        self._fsid = fsid

    def after(self) -> post_op_attr:
        """What it is now; nothing if it cannot be looked at."""
        node = self._node
        if node is None:
            return NO_ATTRIBUTES
        try:
            return post_op_attr(True, attributes_of(node.look(), self._fsid))
        except OSError:
            return NO_ATTRIBUTES

    def both(self) -> wcc_data:
        """What it was when it was reached, and what it is now."""
        node = self._node
        if node is None:
            return NO_WCC
        was = node.stat
        return wcc_data(
            pre_op_attr(True, wcc_attr(was.size, time_of(was.mtime), time_of(was.ctime))),
            self.after(),
        )


def handle_of(node: Node) -> post_op_fh3:
    """The handle of what was made."""
    return post_op_fh3(True, nfs_fh3(node.handle))


# -- what clients set


def mode_of(wanted: sattr3) -> int | None:
    """The mode that is asked for, as far as it is given."""
    return wanted.mode.mode & MODES if wanted.mode.set_it else None


def check_owner(wanted: sattr3, node: Node) -> None:
    """Raise Fault if it shall belong to somebody else, or does and only its owner may do this."""
    changes = (wanted.mode.set_it, wanted.atime.set_it, wanted.mtime.set_it)
    if any(changes) and os.geteuid() not in {0, node.stat.uid}:
        raise Fault(nfsstat3.NFS3ERR_PERM)
    if wanted.uid.set_it and wanted.uid.uid != node.stat.uid:
        raise Fault(nfsstat3.NFS3ERR_PERM)
    if wanted.gid.set_it and wanted.gid.gid != node.stat.gid:
        raise Fault(nfsstat3.NFS3ERR_PERM)


def size_of(wanted: sattr3) -> int | None:
    """The size that is asked for.  Raises Fault for one that no file has."""
    if not wanted.size.set_it:
        return None
    if wanted.size.size > MAX_OFFSET:
        raise Fault(nfsstat3.NFS3ERR_FBIG)
    return wanted.size.size


def times_of(wanted: sattr3, node: Node) -> tuple[int, int] | None:
    """Times of access and change in nanoseconds, None to leave both; 'now' is what the kernel says.  Raises Fault."""
    how = wanted.atime.set_it, wanted.mtime.set_it
    if how == (time_how.DONT_CHANGE, time_how.DONT_CHANGE):
        return None
    now = time.time_ns() if time_how.SET_TO_SERVER_TIME in how else 0
    chosen = []
    for which, given, old in (
        (how[0], wanted.atime.value, node.stat.atime),
        (how[1], wanted.mtime.value, node.stat.mtime),
    ):
        if which == time_how.SET_TO_CLIENT_TIME:
            assert given is not None
            chosen.append(nanoseconds_of(given))
        else:
            chosen.append(now if which == time_how.SET_TO_SERVER_TIME else old)
    return chosen[0], chosen[1]


def apply(wanted: sattr3, node: Node, *, size: bool = True) -> None:
    """Set what is asked for: all checks come before the first change.  Raises Fault, OSError."""
    check_owner(wanted, node)
    length = size_of(wanted) if size else None
    times = times_of(wanted, node)
    mode = mode_of(wanted)
    if length is not None:
        node.need(stat.S_IFREG, nfsstat3.NFS3ERR_ISDIR if node.is_directory else nfsstat3.NFS3ERR_INVAL)
        fd = node.open(os.O_WRONLY)
        try:
            os.ftruncate(fd, length)
        finally:
            os.close(fd)
    if mode is not None and node.kind != stat.S_IFLNK:  # links have no mode of their own
        Path(node.itself).chmod(mode)
    if times is not None:
        set_times(node, times)


def set_times(node: Node, times: tuple[int, int]) -> None:
    """Set times of access and of change.  Raises OSError."""
    if node.kind == stat.S_IFLNK:
        return  # they would be those of what it leads to
    os.utime(node.itself, ns=times)
