"""What can go wrong between an NFS server and its clients.

Within the server a Fault carries the status that the client is told; it never leaves it.  Callers of the client see an
NfsError, which is the OSError that the same mistake gives on a local file.
"""

import errno
from typing import Final

from stack.errors import StackError
from stack.nfs.mount3 import mountstat3
from stack.nfs.nfs3 import nfsstat3


class Fault(Exception):
    """A call cannot be done; `status` is what the client is told."""

    def __init__(self, status: nfsstat3) -> None:
        super().__init__(status.name)
        self.status = status


class WouldWaitError(Exception):
    """What was to be done at once is not to be had without a disk."""


_OF_ERRNO: Final = {
    errno.EPERM: nfsstat3.NFS3ERR_PERM,
    errno.ENOENT: nfsstat3.NFS3ERR_NOENT,
    errno.EIO: nfsstat3.NFS3ERR_IO,
    errno.ENXIO: nfsstat3.NFS3ERR_NXIO,
    errno.EACCES: nfsstat3.NFS3ERR_ACCES,
    errno.EBUSY: nfsstat3.NFS3ERR_ACCES,  # what is mounted somewhere cannot be removed
    errno.ETXTBSY: nfsstat3.NFS3ERR_ACCES,
    errno.EEXIST: nfsstat3.NFS3ERR_EXIST,
    errno.EXDEV: nfsstat3.NFS3ERR_XDEV,
    errno.ENODEV: nfsstat3.NFS3ERR_NODEV,
    errno.ENOTDIR: nfsstat3.NFS3ERR_NOTDIR,
    errno.EISDIR: nfsstat3.NFS3ERR_ISDIR,
    errno.EINVAL: nfsstat3.NFS3ERR_INVAL,
    errno.EFBIG: nfsstat3.NFS3ERR_FBIG,
    errno.EOVERFLOW: nfsstat3.NFS3ERR_FBIG,
    errno.ENOSPC: nfsstat3.NFS3ERR_NOSPC,
    errno.EROFS: nfsstat3.NFS3ERR_ROFS,
    errno.EMLINK: nfsstat3.NFS3ERR_MLINK,
    errno.ENAMETOOLONG: nfsstat3.NFS3ERR_NAMETOOLONG,
    errno.ENOTEMPTY: nfsstat3.NFS3ERR_NOTEMPTY,
    errno.EDQUOT: nfsstat3.NFS3ERR_DQUOT,
    errno.ESTALE: nfsstat3.NFS3ERR_STALE,
    errno.EOPNOTSUPP: nfsstat3.NFS3ERR_NOTSUPP,
    errno.ENOSYS: nfsstat3.NFS3ERR_NOTSUPP,
    errno.ELOOP: nfsstat3.NFS3ERR_NOTDIR,  # a link where a directory was, which is not followed
    # what passes: no descriptors, no memory, somebody else's lock
    errno.EMFILE: nfsstat3.NFS3ERR_JUKEBOX,
    errno.ENFILE: nfsstat3.NFS3ERR_JUKEBOX,
    errno.ENOMEM: nfsstat3.NFS3ERR_JUKEBOX,
    errno.EAGAIN: nfsstat3.NFS3ERR_JUKEBOX,
}


def status_of(error: Fault | OSError) -> nfsstat3:
    """What a client is told of an error; NFS3ERR_SERVERFAULT for what has no status of its own."""
    if isinstance(error, Fault):
        return error.status
    return _OF_ERRNO.get(error.errno or 0, nfsstat3.NFS3ERR_SERVERFAULT)


_SENTENCES: Final = {
    nfsstat3.NFS3ERR_PERM: (errno.EPERM, "the server does not permit it"),
    nfsstat3.NFS3ERR_NOENT: (errno.ENOENT, "there is no such file or directory"),
    nfsstat3.NFS3ERR_IO: (errno.EIO, "the server's disk failed"),
    nfsstat3.NFS3ERR_NXIO: (errno.ENXIO, "there is no such device"),
    nfsstat3.NFS3ERR_ACCES: (errno.EACCES, "the server denies access"),
    nfsstat3.NFS3ERR_EXIST: (errno.EEXIST, "it exists already"),
    nfsstat3.NFS3ERR_XDEV: (errno.EXDEV, "it is on another file system"),
    nfsstat3.NFS3ERR_NODEV: (errno.ENODEV, "there is no such device"),
    nfsstat3.NFS3ERR_NOTDIR: (errno.ENOTDIR, "it is not a directory"),
    nfsstat3.NFS3ERR_ISDIR: (errno.EISDIR, "it is a directory"),
    nfsstat3.NFS3ERR_INVAL: (errno.EINVAL, "the server cannot do this with it"),
    nfsstat3.NFS3ERR_FBIG: (errno.EFBIG, "it would be larger than the server allows"),
    nfsstat3.NFS3ERR_NOSPC: (errno.ENOSPC, "the server's disk is full"),
    nfsstat3.NFS3ERR_ROFS: (errno.EROFS, "the export is read-only"),
    nfsstat3.NFS3ERR_MLINK: (errno.EMLINK, "it has too many links"),
    nfsstat3.NFS3ERR_NAMETOOLONG: (errno.ENAMETOOLONG, "its name is too long"),
    nfsstat3.NFS3ERR_NOTEMPTY: (errno.ENOTEMPTY, "the directory is not empty"),
    nfsstat3.NFS3ERR_DQUOT: (errno.EDQUOT, "the quota at the server is used up"),
    nfsstat3.NFS3ERR_STALE: (errno.ESTALE, "it does not exist any more"),
    nfsstat3.NFS3ERR_REMOTE: (errno.EREMOTE, "it is on another server"),
    nfsstat3.NFS3ERR_BADHANDLE: (errno.ESTALE, "the server does not know its handle"),
    nfsstat3.NFS3ERR_NOT_SYNC: (errno.EAGAIN, "it was changed in the meantime"),
    nfsstat3.NFS3ERR_BAD_COOKIE: (errno.EAGAIN, "the directory was changed while it was read"),
    nfsstat3.NFS3ERR_NOTSUPP: (errno.EOPNOTSUPP, "the server does not support it"),
    nfsstat3.NFS3ERR_TOOSMALL: (errno.EINVAL, "the server's answer does not fit"),
    nfsstat3.NFS3ERR_SERVERFAULT: (errno.EREMOTEIO, "the server failed"),
    nfsstat3.NFS3ERR_BADTYPE: (errno.EINVAL, "the server has no such kind of file"),
    nfsstat3.NFS3ERR_JUKEBOX: (errno.EAGAIN, "the server is busy with it: try again later"),
}


class NfsError(StackError):
    """The server cannot do it; `status` says why, `errno` is that of the same mistake on a local file."""

    def __init__(self, status: int, what: str) -> None:
        try:
            self.status = nfsstat3(status)
            code, why = _SENTENCES[self.status]
        except (ValueError, KeyError):
            self.status = nfsstat3.NFS3ERR_SERVERFAULT
            code, why = errno.EREMOTEIO, f"the server says {status}"
        super().__init__(f"{what}: {why}", code)


class MountError(StackError):
    """The server does not let the path be mounted; `status` says why."""

    def __init__(self, status: int, what: str) -> None:
        self.status = status
        code, why = _MOUNT_SENTENCES.get(status, (errno.EREMOTEIO, f"the server failed (status {status})"))
        super().__init__(f"{what} cannot be mounted: {why}", code)


_MOUNT_SENTENCES: Final[dict[int, tuple[int, str]]] = {
    mountstat3.MNT3ERR_PERM: (errno.EPERM, "the server does not permit it"),
    mountstat3.MNT3ERR_NOENT: (errno.ENOENT, "the server has no such export"),
    mountstat3.MNT3ERR_IO: (errno.EIO, "the server's disk failed"),
    mountstat3.MNT3ERR_ACCES: (errno.EACCES, "the server denies access"),
    mountstat3.MNT3ERR_NOTDIR: (errno.ENOTDIR, "it is not a directory"),
    mountstat3.MNT3ERR_INVAL: (errno.EINVAL, "the server does not take such a path"),
    mountstat3.MNT3ERR_NAMETOOLONG: (errno.ENAMETOOLONG, "the path is too long"),
    mountstat3.MNT3ERR_NOTSUPP: (errno.EOPNOTSUPP, "the server does not support it"),
    mountstat3.MNT3ERR_SERVERFAULT: (errno.EREMOTEIO, "the server failed"),
}
