"""Files that were made read-only, and are still being written.

RFC 1813 §4.4: who has opened a file may go on writing it, whatever its permissions are; `cp` and `git` make files with
mode 0444, and fill them then.  NFS knows no opens, and as an ordinary user the server cannot open such a file.  So the
descriptor by which it was made is kept, for the few made last, until the server ends or the file is removed.
"""

import os
from collections import OrderedDict
from threading import Lock
from typing import Final

MAX_KEPT: Final = 64


class KeptFiles:
    """Descriptors to write by, by inode and birth.  Used by several threads."""

    __slots__ = ("_files", "_lock")

    def __init__(self) -> None:
        self._files: OrderedDict[tuple[int, int], int] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        """Files kept."""
        return len(self._files)

    def keep(self, ino: int, birth: int, fd: int) -> None:
        """Keep a copy of the descriptor.  Raises OSError."""
        copy = os.dup(fd)
        with self._lock:
            closing = [old] if (old := self._files.pop((ino, birth), None)) is not None else []
            self._files[ino, birth] = copy
            if len(self._files) > MAX_KEPT:
                closing.append(self._files.popitem(last=False)[1])
        for one in closing:
            os.close(one)

    def copy(self, ino: int, birth: int) -> int | None:
        """A descriptor that is the caller's to close; None if there is none.  Raises OSError."""
        with self._lock:
            fd = self._files.get((ino, birth))
            if fd is None:
                return None
            self._files.move_to_end((ino, birth))
            return os.dup(fd)

    def drop(self, ino: int, birth: int) -> None:
        """It was removed."""
        with self._lock:
            fd = self._files.pop((ino, birth), None)
        if fd is not None:
            os.close(fd)

    def close(self) -> None:
        """Keep none."""
        with self._lock:
            files = list(self._files.values())
            self._files.clear()
        for fd in files:
            os.close(fd)
