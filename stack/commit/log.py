"""A log on a disk: what `flush` has written is there after a crash, and what is damaged is found out.

    log = Log.open(disk, "teller.log", owner="teller", fresh=os.urandom)
    for record in log.records: ...
    log.compact(live)
    log.add(record)
    log.flush()

Theory of operation.  Records that were added stay in memory until `flush` writes them, all in one frame: a mark, the
length, a sequence number, a checksum over all of it, and the records.  It returns when the disk has the frame for
good (fsync).  There is never more than one frame that the disk may still lose.  So after a crash at most the last frame
is damaged, and nobody was told that it was written: it is cut off.  A damaged frame before a good one was written for
good once; the log is refused then, for what it says may not be true any more.  So it is when the first frame is
damaged: the file had it before it had its name.  (Another last frame that was damaged long after it was written cannot
be told from one that was torn.)

The checksum starts from the log's identity, random octets in its head: what looks like a frame within somebody's data
is none.

`compact` writes a new file with only what still matters, and puts it in place of the old one: file, name and folder are
flushed one after the other.  A log is made in the same way, so its head is never torn; and whoever opens a log compacts
it before anything is built on it.  What was read could otherwise be what the system remembers of a write that had
failed, and the disk does not have.

A disk that is full: what of a frame was written is cut off again, LogError is raised, and the log goes on.  Where the
disk fails in `flush`, nobody can know what it has: LogFailed, from then on, until the log is opened again.
"""

from collections.abc import Callable, Iterable
from struct import Struct
from typing import Any, Final, Protocol, Self
from zlib import crc32

from stack.commit.errors import CorruptLog, LogError, LogFailed
from stack.rpc.xdr import XdrError

MAGIC: Final = b"tapstack commit log 1\n"
IDENTITY: Final = 8  # octets
MARK: Final = b"\xf5CRD"
_HEAD: Final = Struct(">4sIQI")  # mark, octets of the records, sequence number, checksum
_LENGTH: Final = Struct(">I")
MAX_FRAME: Final = (1 << 32) - 1  # octets: all that still matters is one frame
NEW: Final = ".new"


class Disk(Protocol):
    """A folder on a disk.  Everything raises OSError; nothing is safe before it was flushed."""

    def read(self, name: str) -> bytes | None:
        """The whole file; None if there is none."""

    def create(self, name: str) -> None:
        """An empty file, whatever was there."""

    def write(self, name: str, offset: int, data: bytes) -> None:
        """Write all of it there; when it raises, any part of it may have been written."""

    def truncate(self, name: str, size: int) -> None:
        """Cut what is behind."""

    def flush(self, name: str) -> None:
        """Return when what the file contains is on the disk (fsync)."""

    def rename(self, old: str, new: str) -> None:
        """Give it a name in place of whatever has that."""

    def remove(self, name: str) -> None:
        """Nothing if it is not there."""

    def flush_names(self) -> None:
        """Return when the names are on the disk (fsync of the folder)."""

    def close(self) -> None:
        """Let it go."""


class Log:
    """See the head of this file; `open` makes one.  `records` is what was found in it."""

    __slots__ = ("_added", "_disk", "_name", "_owner", "_sequence", "cut", "failed", "identity", "records", "size")

    def __init__(self, disk: Disk, name: str, owner: str, identity: bytes) -> None:
        self._disk = disk
        self._name = name
        self._owner = owner
        self._added: list[bytes] = []
        self._sequence = 0  # of the last frame
        self.identity = identity
        self.records: list[bytes] = []
        self.size = 0  # octets of the file
        self.cut = 0  # octets that were cut off when it was opened
        self.failed = ""  # why nothing can be written any more

    @classmethod
    def open(cls, disk: Disk, name: str, *, owner: str, fresh: Callable[[int], bytes]) -> Self:
        """The log of that name, a new one if there is none; `fresh` gives random octets for its identity.

        To be compacted before anything is done because of what is in it.  Raises CorruptLog, LogError.
        """
        try:
            data = disk.read(name)
            if data is None:
                log = cls(disk, name, owner, fresh(IDENTITY))
                log.compact(())
                return log
        except LogFailed:
            raise
        except OSError as error:
            raise LogError(f"the log {name} cannot be read or made: {_why(error)}", error.errno) from None
        log = cls(disk, name, owner, b"")
        log._read(data)
        return log

    # -- reading

    def _read(self, data: bytes) -> None:
        at = self._read_head(data)
        self._sequence = 0
        if self._frame(data, at) is None:  # no crash: it was flushed before the file got its name
            raise CorruptLog(self._damaged(at, "the first frame"))
        while (found := self._frame(data, at)) is not None:
            sequence, payload, following = found
            if self._sequence and sequence != self._sequence + 1:
                raise CorruptLog(self._damaged(at, f"frame {sequence} stands behind frame {self._sequence}"))
            self._sequence = sequence
            self.records += _split(payload)
            at = following
        self.size, self.cut = at, len(data) - at
        later = data.find(MARK, at + 1)
        while later >= 0:
            if self._frame(data, later) is not None:
                raise CorruptLog(self._damaged(at, f"what was written later, at octet {later}, is whole"))
            later = data.find(MARK, later + 1)

    def _read_head(self, data: bytes) -> int:
        start = len(MAGIC) + IDENTITY + _LENGTH.size
        if not data.startswith(MAGIC) or len(data) < start:
            raise CorruptLog(f"{self._name} is not a log of two-phase commit: give another path, or the right file")
        self.identity = data[len(MAGIC) : len(MAGIC) + IDENTITY]
        end: int = start + _LENGTH.unpack_from(data, start - _LENGTH.size)[0]
        if len(data) < end + _LENGTH.size or crc32(data[:end]) != _LENGTH.unpack_from(data, end)[0]:
            raise CorruptLog(self._damaged(0, "its head"))
        owner = data[start:end].decode(errors="replace")
        if owner != self._owner:
            raise CorruptLog(
                f"{self._name} is the log of {owner!r}, not of {self._owner!r}: give the right path or name"
            )
        return end + _LENGTH.size

    def _damaged(self, at: int, how: str) -> str:
        return (
            f"the log {self._name} is damaged at octet {at} ({how}): it is not used, because promises in it may be "
            f"lost; restore the file, or find out from the other members what became of their transactions"
        )

    def _frame(self, data: bytes, at: int) -> tuple[int, bytes, int] | None:
        """Sequence number, records and end of the frame that begins there; None if there is none, or a damaged one."""
        if len(data) - at < _HEAD.size:
            return None
        mark, length, sequence, checksum = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        if mark != MARK or end > len(data):
            return None
        payload = data[at + _HEAD.size : end]
        if _checksum(self.identity, sequence, payload) != checksum:
            return None
        return sequence, payload, end

    # -- writing

    def add(self, record: bytes) -> None:
        """A record that may be lost until `flush` was called."""
        self._added.append(record)

    def flush(self) -> None:
        """Write what was added; it is there for good when this returns.

        Raises LogError when it was not written, and will not be; LogFailed when nobody knows.
        """
        self.check()
        if not self._added:
            return
        added, self._added = self._added, []
        frame = self._make_frame(added)
        try:
            self._disk.write(self._name, self.size, frame)
        except OSError as error:
            self._cut_back(error)
            raise LogError(f"the log {self._name} cannot be written: {_why(error)}", error.errno) from None
        try:
            self._disk.flush(self._name)
        except OSError as error:
            raise self._fail(error) from None
        self._sequence += 1
        self.size += len(frame)

    def compact(self, records: Iterable[bytes]) -> None:
        """Keep these records only.  Raises LogError when the log stays as it was, LogFailed when nobody knows."""
        self.check()
        new = self._name + NEW
        owner = self._owner.encode()
        head = MAGIC + self.identity + _LENGTH.pack(len(owner)) + owner
        data = head + _LENGTH.pack(crc32(head)) + self._make_frame(records)
        try:
            self._disk.create(new)
            self._disk.write(new, 0, data)
            self._disk.flush(new)
        except OSError as error:
            self._remove(new)
            raise LogError(f"the log {self._name} cannot be written anew: {_why(error)}", error.errno) from None
        try:
            self._disk.rename(new, self._name)
            self._disk.flush_names()
        except OSError as error:
            raise self._fail(error) from None
        self._added = []
        self._sequence += 1
        self.size = len(data)

    def close(self) -> None:
        """Write what was added, as far as that is possible, and let the disk go."""
        try:
            self.flush()
        except LogError:
            pass  # whatever may be lost
        finally:
            self._disk.close()

    def check(self) -> None:
        """Raise LogFailed if nothing can be written any more."""
        if self.failed:
            raise LogFailed(self.failed)

    def _make_frame(self, records: Iterable[bytes]) -> bytes:
        payload = b"".join(_LENGTH.pack(len(record)) + record for record in records)
        if len(payload) > MAX_FRAME:
            raise LogError(f"{len(payload)} octets at once are too many for the log {self._name}: {MAX_FRAME} at most")
        sequence = self._sequence + 1
        return _HEAD.pack(MARK, len(payload), sequence, _checksum(self.identity, sequence, payload)) + payload

    def _cut_back(self, cause: OSError) -> None:
        """What of a frame was written must not stand before the next one."""
        try:
            self._disk.truncate(self._name, self.size)
        except OSError:
            raise self._fail(cause) from None

    def _remove(self, name: str) -> None:
        try:
            self._disk.remove(name)
        except OSError:
            return  # it is in nobody's way: the next one takes its place

    def _fail(self, error: OSError) -> LogFailed:
        self.failed = f"the log {self._name} has failed ({_why(error)}): start anew, then it is known what it holds"
        return LogFailed(self.failed)


def decoded(decode: Callable[[bytes], Any], record: bytes, where: str) -> Any:
    """What a record says.  Raises CorruptLog for one of another program, or of a later version of this one."""
    try:
        return decode(record)
    except XdrError as error:
        raise CorruptLog(f"{where} has a record that makes no sense here ({error}): it is not used") from None


def _checksum(identity: bytes, sequence: int, payload: bytes) -> int:
    return crc32(payload, crc32(identity + sequence.to_bytes(8) + len(payload).to_bytes(4)))


def _split(payload: bytes) -> list[bytes]:
    records, at = [], 0
    while at < len(payload):
        (length,) = _LENGTH.unpack_from(payload, at)
        at += _LENGTH.size
        records.append(payload[at : at + length])
        at += length
    return records


def _why(error: OSError) -> str:
    return error.strerror or str(error)
