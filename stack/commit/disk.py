"""The disk of the machine, one folder of it, for one process at a time."""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from stack.errors import ConfigError

MODE: Final = 0o600


class FileDisk:
    """A folder; `name` is locked for this process until `close`.  Raises ConfigError, also if another one has it."""

    __slots__ = ("_files", "_folder", "_lock")

    def __init__(self, folder: str | Path, name: str) -> None:
        self._files: dict[str, int] = {}
        self._lock = self._folder = -1
        try:
            self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            lock = name + ".lock"
            self._lock = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE, dir_fd=self._folder)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise ConfigError(
                f"{Path(folder) / name} is in use by another process, or elsewhere in this one: end that first"
            ) from None
        except OSError as error:
            self.close()
            raise ConfigError(f"{Path(folder) / name} cannot be used: {error.strerror}") from None

    def close(self) -> None:
        """Let everything go."""
        for descriptor in (*self._files.values(), self._lock, self._folder):
            if descriptor >= 0:
                os.close(descriptor)
        self._files = {}
        self._lock = self._folder = -1

    def _file(self, name: str) -> int:
        if name not in self._files:
            self._files[name] = os.open(name, os.O_RDWR | os.O_CLOEXEC, dir_fd=self._folder)
        return self._files[name]

    def read(self, name: str) -> bytes | None:
        """See `log.Disk`, here and below."""
        try:
            file = self._file(name)
        except FileNotFoundError:
            return None
        with open(os.dup(file), "rb") as reader:  # noqa: PTH123  (a descriptor, not a path)
            reader.seek(0)
            return reader.read()

    def create(self, name: str) -> None:
        """An empty file."""
        self._forget(name)
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        self._files[name] = os.open(name, flags, MODE, dir_fd=self._folder)

    def write(self, name: str, offset: int, data: bytes) -> None:
        """All of it."""
        file, rest = self._file(name), memoryview(data)
        while rest:
            written = os.pwrite(file, rest, offset)
            offset += written
            rest = rest[written:]

    def truncate(self, name: str, size: int) -> None:
        """Cut."""
        os.ftruncate(self._file(name), size)

    def flush(self, name: str) -> None:
        """Fsync of the file."""
        os.fsync(self._file(name))

    def rename(self, old: str, new: str) -> None:
        """In place of what is there."""
        os.rename(old, new, src_dir_fd=self._folder, dst_dir_fd=self._folder)
        self._forget(new)
        if old in self._files:
            self._files[new] = self._files.pop(old)

    def remove(self, name: str) -> None:
        """Nothing if it is not there."""
        self._forget(name)
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._folder)

    def flush_names(self) -> None:
        """Fsync of the folder."""
        os.fsync(self._folder)

    def _forget(self, name: str) -> None:
        if name in self._files:
            os.close(self._files.pop(name))
