"""What the kernel tells of files and Python does not: statx (births, mounts) and getdents64 (stable cookies)."""

import ctypes
import errno
import os
from struct import Struct
from typing import Any, Final, NamedTuple

_LIBC: Final[Any] = ctypes.CDLL(None, use_errno=True)
_AT_EMPTY_PATH: Final = 0x1000
_BASIC: Final = 0x07FF
_BIRTH: Final = 0x0800
_MOUNT: Final = 0x1000
_WANTED: Final = _BASIC | _BIRTH | _MOUNT
# stx_mask blksize attributes | nlink uid gid mode | ino size blocks attributes_mask | four times | rdev dev | mnt_id
_STATX: Final = Struct("=IIQ IIIH2x QQQQ qI4x qI4x qI4x qI4x II II Q").unpack_from
_STATX_SIZE: Final = 256
_DIRENT: Final = Struct("=QqHB").unpack_from
_NAME_AT: Final = 19
_SECOND: Final = 1_000_000_000

_LIBC.statx.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p]
_LIBC.getdents64.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t]
_LIBC.getdents64.restype = ctypes.c_ssize_t

_PYTHON: Final[Any] = getattr(ctypes, "pythonapi", None)  # makes octets that are filled before they are seen
_CAN_READ_CACHED: Final = _PYTHON is not None and hasattr(_LIBC, "preadv2")
if _CAN_READ_CACHED:
    _PYTHON.PyBytes_FromStringAndSize.argtypes = [ctypes.c_void_p, ctypes.c_ssize_t]
    _PYTHON.PyBytes_FromStringAndSize.restype = ctypes.py_object
    _PYTHON.PyBytes_AsString.argtypes = [ctypes.py_object]
    _PYTHON.PyBytes_AsString.restype = ctypes.c_void_p
    _LIBC.preadv2.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int]
    _LIBC.preadv2.restype = ctypes.c_ssize_t


class Stat(NamedTuple):
    """A file.  Times are nanoseconds since 1970; `birth` is 0 where the file system knows none.

    `mount` numbers the mount that it was reached through, None where the kernel is too old to say so.
    """

    ino: int
    birth: int
    mount: int | None
    mode: int
    nlink: int
    uid: int
    gid: int
    size: int
    blocks: int  # of 512 octets
    atime: int
    mtime: int
    ctime: int


class Entry(NamedTuple):
    """A line of a directory; `cookie` is where the next one begins."""

    ino: int
    cookie: int
    kind: int  # as in d_type
    name: bytes


def stat_of(fd: int) -> Stat:
    """What an open file is, however it was opened.  Raises OSError."""
    found = ctypes.create_string_buffer(_STATX_SIZE)
    if _LIBC.statx(fd, b"", _AT_EMPTY_PATH, _WANTED, found):
        raise _error()
    # fmt: off
    (
        mask, _, _, nlink, uid, gid, mode, ino, size, blocks, _,
        a_s, a_ns, b_s, b_ns, c_s, c_ns, m_s, m_ns, _, _, _, _, mount,
    ) = _STATX(found)
    # fmt: on
    birth = b_s * _SECOND + b_ns if mask & _BIRTH else 0
    times = (a_s * _SECOND + a_ns, m_s * _SECOND + m_ns, c_s * _SECOND + c_ns)
    return Stat(ino, birth, mount if mask & _MOUNT else None, mode, nlink, uid, gid, size, blocks, *times)


def read_cached(fd: int, size: int, offset: int) -> bytes | None:
    """At most `size` octets at `offset`, if the kernel has them in its memory; None if it would wait for a disk.

    They are read to where they stay: `os.preadv` has the flag for it, but makes no bytes, and a copy of these costs as
    much as the read.  Raises OSError.
    """
    if not _CAN_READ_CACHED:
        return None
    data: bytes = _PYTHON.PyBytes_FromStringAndSize(None, size)
    place = (ctypes.c_size_t * 2)(_PYTHON.PyBytes_AsString(data), size)  # a struct iovec
    got = _LIBC.preadv2(fd, place, 1, offset, os.RWF_NOWAIT)
    if got < 0:
        error = _error()
        if error.errno in {errno.EAGAIN, errno.EOPNOTSUPP}:  # the latter of a file system that cannot tell
            return None
        raise error
    return data if got == size else data[:got]


def read_directory(fd: int, size: int) -> list[Entry]:
    """The next lines of a directory, as many as fit into `size` octets; none at its end.  Raises OSError."""
    data = ctypes.create_string_buffer(size)
    got = _LIBC.getdents64(fd, data, size)
    if got < 0:
        raise _error()
    raw = data.raw[:got]
    entries = []
    at = 0
    while at < got:
        ino, cookie, length, kind = _DIRENT(raw, at)
        end = raw.index(0, at + _NAME_AT)
        entries.append(Entry(ino, cookie, kind, raw[at + _NAME_AT : end]))
        at += length
    return entries


def _error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))
