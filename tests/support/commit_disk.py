"""A disk that keeps its promises and no more: at a crash, what was not flushed is lost, kept, or torn."""

from copy import deepcopy
from errno import EIO, ENOSPC

SECTOR = 32  # octets that are written whole or not at all: small, so that small records are torn


class Crash(Exception):
    """The power is gone, now."""


class File:
    """What is read, what is on the disk, and what was done in between."""

    def __init__(self):
        self.seen = b""
        self.kept = b""
        self.undone = []  # (offset, data), or (size, None): cut

    def do(self, offset, data):
        self.seen = apply(self.seen, offset, data)
        self.undone.append((offset, data))

    def crash(self, rng):
        for offset, data in self.undone:
            fate = rng.choice(["lost", "kept", "torn", "torn"])
            if fate == "kept":
                self.kept = apply(self.kept, offset, data)
            elif fate == "torn" and data is not None:
                self.tear(offset, data, rng)
        self.undone = []
        self.seen = self.kept

    def tear(self, offset, data, rng):
        """Some sectors are written; holes are zeros."""
        in_order = rng.random() < 0.5
        for at in range(0, len(data), SECTOR):
            if rng.random() < 0.5:
                self.kept = apply(self.kept, offset + at, data[at : at + SECTOR])
            elif in_order:
                return


def apply(content, offset, data):
    if data is None:
        return content[:offset]
    return content[:offset].ljust(offset, b"\0") + data + content[offset + len(data) :]


class SimDisk:
    """See the head of this file.  `step(what)` is called before and after everything that changes the disk: it may
    raise Crash, or an OSError before.  With `lies`, flushing does nothing."""

    def __init__(self, rng, step=lambda what, is_before: None):
        self.rng = rng
        self.step = step
        self.lies = False
        self.breaks = False  # the next flush fails
        self.free = None  # octets that can be written; None: enough
        self.names = {}
        self.kept_names = {}
        self.renamed = []

    def crash(self):
        for change in self.renamed:
            if self.rng.random() < 0.5:
                change(self.kept_names)
        self.renamed = []
        self.names = dict(self.kept_names)
        for file in self.names.values():
            file.crash(self.rng)

    def copy(self):
        return deepcopy(self)

    def rename_all(self, change):
        change(self.names)
        self.renamed.append(change)

    # -- log.Disk

    def read(self, name):
        return self.names[name].seen if name in self.names else None

    def create(self, name):
        self.step("create", True)
        file = File()

        def change(names):
            names[name] = file

        self.rename_all(change)
        self.step("create", False)

    def write(self, name, offset, data):
        self.step("write", True)
        if self.free is not None and len(data) > self.free:
            self.names[name].do(offset, data[: self.free])
            raise OSError(ENOSPC, "No space left on device")
        if self.free is not None:
            self.free -= len(data)
        self.names[name].do(offset, data)
        self.step("write", False)

    def truncate(self, name, size):
        self.step("truncate", True)
        self.names[name].do(size, None)
        self.step("truncate", False)

    def flush(self, name):
        self.step("flush", True)
        file = self.names[name]
        if self.breaks:  # what Linux does then: the pages count as written, and the disk may not have them
            self.breaks = False
            file.undone = []
            raise OSError(EIO, "Input/output error")
        if not self.lies:
            file.kept, file.undone = file.seen, []
        self.step("flush", False)

    def rename(self, old, new):
        self.step("rename", True)
        file = self.names[old]

        def change(names):
            names.pop(old, None)
            names[new] = file

        self.rename_all(change)
        self.step("rename", False)

    def remove(self, name):
        self.step("remove", True)
        self.rename_all(lambda names: names.pop(name, None))
        self.step("remove", False)

    def flush_names(self):
        self.step("flush names", True)
        if not self.lies:
            for change in self.renamed:
                change(self.kept_names)
            self.renamed = []
        self.step("flush names", False)

    def close(self):
        pass
