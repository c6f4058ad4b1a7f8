"""File handles: what a client holds instead of a path, and cannot make up.

Theory of operation.  A handle is 40 octets: a version, the export, the number of the inode, its time of birth, and a
digest of these with a key that only the server has (BLAKE2b, 16 octets).  So it is the same after a restart, and after
a rename; a new file that was given the inode of a deleted one has another birth; and a handle that was made up,
damaged, or made with another key is told from a right one before any file is looked at.

Nothing in it says where the file is: see `places`.

The key is 32 random octets in a file that only its owner can read.  Whoever has it can make handles, but only of what
is in the export: a handle is no way out of it.
"""

import hmac
import os
import stat
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from struct import Struct
from typing import Final

from stack.errors import ConfigError
from stack.nfs.errors import Fault
from stack.nfs.nfs3 import nfsstat3

KEY_SIZE: Final = 32
HANDLE_SIZE: Final = 40
_DIGEST: Final = 16
_VERSION: Final = b"tsn1"
_BODY: Final = Struct(">4sIQQ")
_OTHERS: Final = 0o077  # what a key file lets nobody have


class Handles:
    """Seals and opens the handles of one export."""

    __slots__ = ("_key", "export")

    def __init__(self, key: bytes, export: int) -> None:
        self._key = key
        self.export = export

    def seal(self, ino: int, birth: int) -> bytes:
        """The handle of a file."""
        body = _BODY.pack(_VERSION, self.export, ino, birth)
        return body + self._digest(body)

    def open(self, handle: bytes) -> tuple[int, int]:
        """The inode and its birth.  Raises Fault for what this server has not sealed, or for another export."""
        if len(handle) != HANDLE_SIZE:
            raise Fault(nfsstat3.NFS3ERR_BADHANDLE)
        body = handle[: _BODY.size]
        if not hmac.compare_digest(self._digest(body), handle[_BODY.size :]):
            raise Fault(nfsstat3.NFS3ERR_BADHANDLE)
        _, export, ino, birth = _BODY.unpack(body)
        if export != self.export:
            raise Fault(nfsstat3.NFS3ERR_STALE)
        return ino, birth

    def _digest(self, body: bytes) -> bytes:
        return blake2b(body, digest_size=_DIGEST, key=self._key).digest()


def export_id(ino: int, birth: int) -> int:
    """A number for the export of this directory, the same after a restart."""
    return int.from_bytes(blake2b(b"%d %d" % (ino, birth), digest_size=4).digest(), "big")


def default_key_file() -> Path:
    """Where the key is, if nothing else is said."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "tapstack" / "nfs.key"


def load_key(path: Path) -> bytes:
    """The key in this file, which is made if it is not there.  Raises ConfigError for one that others can read."""
    try:
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            _make_key(path)
            fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            found = os.fstat(fd)
            key = os.read(fd, KEY_SIZE + 1) if stat.S_ISREG(found.st_mode) else b""
        finally:
            os.close(fd)
    except OSError as error:
        raise ConfigError(f"the key file {path} cannot be used: {(error.strerror or str(error)).lower()}") from None
    if len(key) != KEY_SIZE:
        raise ConfigError(f"{path} is no key file of {KEY_SIZE} octets: remove it, and a new one is made")
    if found.st_mode & _OTHERS or found.st_uid != os.geteuid():
        raise ConfigError(f"the key file {path} is not yours alone: others could make handles; chmod 600, or remove it")
    return key


def _make_key(path: Path) -> None:
    """All of it or nothing: another server may be doing the same."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = path.with_name(f"{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(fd, os.urandom(KEY_SIZE))
        os.fsync(fd)
        with suppress(FileExistsError):  # it was quicker, and its key is as good
            os.link(new, path)
    finally:
        os.close(fd)
        new.unlink()
