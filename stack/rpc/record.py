"""Record marking (RFC 5531 §11): messages on a byte stream, each in fragments that have their length before them.

Theory of operation.  `feed` takes what the stream brought and gives the messages that are whole with it.  What is
announced is never believed: memory is taken for what has come only, and a record that would exceed the limit is refused
when the head of the fragment that exceeds it has come.  After a `fault` the stream is of no use, for nobody knows where
the next record begins: its owner closes it, after the messages that came before.

Nearly always a chunk is one record of one fragment, or some of them: these are cut out of it and never copied twice.
"""

from enum import IntEnum, unique
from typing import Final

from stack.rpc.constants import MAX_CALL_HEADER

MARK: Final = 4  # octets before each fragment
LAST: Final = 0x8000_0000
MAX_FRAGMENT: Final = 0x7FFF_FFFF
MAX_RECORD: Final = (1 << 20) + MAX_CALL_HEADER  # octets: 1 MiB of arguments, and what stands before them
MAX_EMPTY: Final = 16  # fragments without an octet, since the last record that had some


@unique
class RecordFault(IntEnum):
    """Why a stream was given up."""

    TOO_LARGE = 0  # a record exceeds the limit
    EMPTY_FRAGMENTS = 1  # too many fragments, or records, without an octet


class RecordReader:
    """Finds the messages in a stream of at most `max_record` octets each."""

    __slots__ = ("_empty", "_head", "_last", "_left", "_max", "_record", "fault")

    def __init__(self, max_record: int = MAX_RECORD) -> None:
        self._max = max_record
        self._head = b""  # of a fragment, if less than four octets of it have come
        self._left = 0  # octets of the current fragment that are still to come
        self._last = False  # the current fragment is the last of its record
        self._record = bytearray()
        self._empty = 0
        self.fault: RecordFault | None = None

    @property
    def waiting(self) -> int:
        """Octets kept of a record that is not whole."""
        return len(self._record) + len(self._head)

    @property
    def is_between(self) -> bool:
        """Nothing of a record has come that is not whole: the stream may be idle as long as it likes."""
        return not (self._left or self._record or self._head)

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that `data` completes, in order.  Then `fault` may be set."""
        size = len(data)
        if size > MARK and not (self._left or self._head or self._record):
            # one record in one piece
            mark = int.from_bytes(data[:MARK], "big")
            if mark == LAST | size - MARK and size - MARK <= self._max and self.fault is None:
                self._empty = 0
                return [data[MARK:]]
        return self._feed(data)

    def _feed(self, data: bytes) -> list[bytes]:
        messages: list[bytes] = []
        if self.fault is not None:
            return messages
        if self._head:
            data = self._head + data
            self._head = b""
        at, size = 0, len(data)
        while True:
            if self._left:
                taken = min(self._left, size - at)
                if self._last and taken == self._left and not self._record:
                    messages.append(bytes(data[at : at + taken]))
                    self._empty = 0
                else:
                    self._record += data[at : at + taken]
                self._left -= taken
                at += taken
                if self._left:
                    return messages
                if self._last and self._record:
                    self._finish(messages)
            if size - at < MARK:
                self._head = bytes(data[at:])
                return messages
            mark = int.from_bytes(data[at : at + MARK], "big")
            at += MARK
            if not self._begin(mark, messages):
                return messages

    def _begin(self, mark: int, messages: list[bytes]) -> bool:
        """A fragment begins; whether the stream is still of use."""
        self._left = mark & MAX_FRAGMENT
        self._last = mark >= LAST
        if self._left == 0:
            self._empty += 1
            if self._empty > MAX_EMPTY:
                self._give_up(RecordFault.EMPTY_FRAGMENTS)
                return False
            if self._last and self._record:
                self._finish(messages)
        elif len(self._record) + self._left > self._max:
            self._give_up(RecordFault.TOO_LARGE)
            return False
        return True

    def _finish(self, messages: list[bytes]) -> None:
        messages.append(bytes(self._record))
        self._record = bytearray()
        self._empty = 0

    def _give_up(self, fault: RecordFault) -> None:
        self.fault = fault
        self._record = bytearray()
        self._left = 0


def mark_of(size: int) -> bytes:
    """The head of a record of one fragment.  Raises ValueError over 2^31 - 1 octets."""
    if size > MAX_FRAGMENT:
        raise ValueError(f"a record of {size} octets: at most {MAX_FRAGMENT} are allowed")
    return (LAST | size).to_bytes(MARK, "big")


def frame(*parts: bytes) -> list[bytes]:
    """A message given in parts, as buffers to be written one after the other: a record of one fragment."""
    return [mark_of(sum(map(len, parts))), *parts]
