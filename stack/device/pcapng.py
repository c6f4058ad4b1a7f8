"""Reading and writing capture files: pcapng (draft-ietf-opsawg-pcapng), the format of Wireshark.

The writer makes one little-endian section with any number of Ethernet interfaces and Enhanced Packet
Blocks whose comment and direction options Wireshark shows.  The reader takes such files, skips blocks of
other types, and refuses with ValueError what the format does not allow.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import BinaryIO, Final

SECTION_HEADER: Final = 0x0A0D0D0A
INTERFACE_DESCRIPTION: Final = 1
INTERFACE_STATISTICS: Final = 5
ENHANCED_PACKET: Final = 6
BYTE_ORDER_MAGIC: Final = 0x1A2B3C4D
LINKTYPE_ETHERNET: Final = 1

OPT_END: Final = 0
OPT_COMMENT: Final = 1
OPT_IF_NAME: Final = 2
OPT_IF_TSRESOL: Final = 9
OPT_EPB_FLAGS: Final = 2
OPT_ISB_IFRECV: Final = 4
OPT_ISB_IFDROP: Final = 5
TSRESOL_US: Final = 6  # units of 10^-6 s

UNKNOWN: Final = 0  # direction, as in the low bits of epb_flags
INBOUND: Final = 1
OUTBOUND: Final = 2

MAX_BLOCK: Final = 1 << 20  # of a stream; a frame has at most 64 KiB
MAX_COMMENT: Final = 1000  # bytes of UTF-8; the format allows 65535

_BLOCK: Final = Struct("<II")
_U32: Final = Struct("<I")
_SECTION: Final = Struct("<IHHq")
_INTERFACE: Final = Struct("<HHI")
_PACKET: Final = Struct("<IIIII")
_OPTION: Final = Struct("<HH")
_STATISTICS: Final = Struct("<III")
_U64: Final = Struct("<Q")


@dataclass(frozen=True, slots=True)
class Packet:
    """One captured frame.  `time` is in microseconds; `data` may be cut to the snap length."""

    interface: int
    time: int
    direction: int
    data: bytes
    original_len: int
    comments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Capture:
    """A whole capture file: interface names by number, and the packets."""

    interfaces: tuple[str, ...]
    packets: tuple[Packet, ...]


class PcapngWriter:
    """Writes to an open binary file, which stays the caller's.

    Packets longer than `snaplen` bytes are cut to it (0: kept whole).  Once a packet would make the file larger than
    `max_bytes` (0: no bound), it and all later ones are left out and counted in `skipped`.  So are those after the
    first error of the file (a full disk), which `on_error` is told; without `on_error` each error is raised.
    """

    __slots__ = ("_file", "_max_bytes", "_on_error", "_snaplen", "interfaces", "size", "skipped", "stopped")

    def __init__(
        self,
        file: BinaryIO,
        *,
        snaplen: int = 0,
        max_bytes: int = 0,
        on_error: Callable[[OSError], None] | None = None,
    ) -> None:
        self._file = file
        self._on_error = on_error
        self.stopped = False
        self._snaplen = snaplen
        self._max_bytes = max_bytes
        self.interfaces = 0
        self.size = 0
        self.skipped = 0
        self._block(SECTION_HEADER, _SECTION.pack(BYTE_ORDER_MAGIC, 1, 0, -1))

    def add_interface(self, name: str) -> int:
        """Describe one more interface; its number for `write`."""
        options = _option(OPT_IF_NAME, name.encode()) + _option(OPT_IF_TSRESOL, bytes([TSRESOL_US]))
        fixed = _INTERFACE.pack(LINKTYPE_ETHERNET, 0, self._snaplen)
        self._block(INTERFACE_DESCRIPTION, fixed + options + _option(OPT_END))
        self.interfaces += 1
        return self.interfaces - 1

    def write(self, interface: int, time: int, direction: int, data: bytes, comment: str = "") -> None:
        """One frame, seen at `time` (microseconds) on `interface`, INBOUND or OUTBOUND."""
        kept = data[: self._snaplen] if self._snaplen else data
        options = _option(OPT_EPB_FLAGS, _U32.pack(direction))
        if comment:
            # Cut between characters, not inside one.
            options += _option(OPT_COMMENT, comment.encode()[:MAX_COMMENT].decode(errors="ignore").encode())
        body = _PACKET.pack(interface, time >> 32, time & 0xFFFFFFFF, len(kept), len(data)) + _padded(kept)
        body += options + _option(OPT_END)
        if self.stopped or self.skipped or (self._max_bytes and self.size + len(body) + 12 > self._max_bytes):
            self.skipped += 1
            return
        self._block(ENHANCED_PACKET, body)

    def statistics(self, interface: int, received: int, dropped: int, time: int = 0) -> None:
        """How many packets of `interface` were captured, and how many more were left out."""
        options = _option(OPT_ISB_IFRECV, _U64.pack(received)) + _option(OPT_ISB_IFDROP, _U64.pack(dropped))
        fixed = _STATISTICS.pack(interface, time >> 32, time & 0xFFFFFFFF)
        self._block(INTERFACE_STATISTICS, fixed + options + _option(OPT_END))

    def flush(self) -> None:
        """Push what is buffered to the file."""
        if self.stopped:
            return
        try:
            self._file.flush()
        except OSError as error:
            self._stop(error)

    def _block(self, kind: int, body: bytes) -> None:
        length = len(body) + 12
        if self.stopped:
            return
        try:
            self._file.write(_BLOCK.pack(kind, length) + body + _U32.pack(length))
        except OSError as error:
            self._stop(error)
        self.size += length

    def _stop(self, error: OSError) -> None:
        if self._on_error is None:
            raise error
        self.stopped = True
        self._on_error(error)


class PcapngStream:
    """Reads what a PcapngWriter writes, as it comes: bytes in, packets out.

    `captured` and `dropped` are those of the statistics at the end, None before.
    """

    __slots__ = ("_buffer", "captured", "dropped", "interfaces")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self.interfaces: list[str] = []
        self.captured: int | None = None
        self.dropped: int | None = None

    @property
    def unfinished(self) -> int:
        """Bytes of a block whose end has not come."""
        return len(self._buffer)

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that are complete now.  Raises ValueError for what is no pcapng."""
        buffer = self._buffer
        buffer += data
        found: list[Packet] = []
        at = 0
        try:
            while len(buffer) - at >= 12:
                kind, length = _BLOCK.unpack_from(buffer, at)
                if length < 12 or length % 4 or length > MAX_BLOCK:
                    raise ValueError(f"block length {length} is wrong")
                if len(buffer) - at < length:
                    break
                body = bytes(buffer[at + 8 : at + length - 4])
                if kind == SECTION_HEADER:
                    _check_section(body)
                elif kind == INTERFACE_DESCRIPTION:
                    self.interfaces.append(_read_interface(body))
                elif kind == ENHANCED_PACKET:
                    found.append(_read_packet(body, len(self.interfaces)))
                elif kind == INTERFACE_STATISTICS:
                    self._read_statistics(body)
                at += length
        except struct.error as exc:
            raise ValueError("block is cut short") from exc
        del buffer[:at]
        return found

    def _read_statistics(self, body: bytes) -> None:
        options = dict(_options(body[_STATISTICS.size :]))
        if OPT_ISB_IFRECV in options and OPT_ISB_IFDROP in options:
            (self.captured,) = _U64.unpack(options[OPT_ISB_IFRECV])
            (self.dropped,) = _U64.unpack(options[OPT_ISB_IFDROP])


def read_pcapng(file: BinaryIO) -> Capture:
    """Read a little-endian pcapng file with microsecond times.  Raises ValueError for anything malformed."""
    data = file.read()
    interfaces: list[str] = []
    packets: list[Packet] = []
    at = 0
    try:
        while at < len(data):
            kind, length = _BLOCK.unpack_from(data, at)
            if (at == 0) != (kind == SECTION_HEADER):
                raise ValueError(f"offset {at}: a file has one section header, at its start")
            end = at + length
            if length < 12 or length % 4 or end > len(data) or _U32.unpack_from(data, end - 4)[0] != length:
                raise ValueError(f"offset {at}: block length {length} is wrong")
            body = data[at + 8 : end - 4]
            if kind == SECTION_HEADER:
                _check_section(body)
            elif kind == INTERFACE_DESCRIPTION:
                interfaces.append(_read_interface(body))
            elif kind == ENHANCED_PACKET:
                packets.append(_read_packet(body, len(interfaces)))
            at = end
    except struct.error as exc:
        raise ValueError(f"offset {at}: block is cut short") from exc
    if not data:
        raise ValueError("the file is empty")
    return Capture(tuple(interfaces), tuple(packets))


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _option(code: int, value: bytes = b"") -> bytes:
    return _OPTION.pack(code, len(value)) + _padded(value)


def _options(data: bytes) -> list[tuple[int, bytes]]:
    """Code and value of each option up to the end mark, which may be missing."""
    found = []
    at = 0
    while at < len(data):
        code, length = _OPTION.unpack_from(data, at)
        if code == OPT_END:
            break
        if at + 4 + length > len(data):
            raise ValueError(f"option {code} is longer than its block")
        found.append((code, data[at + 4 : at + 4 + length]))
        at += 4 + length + (-length % 4)
    return found


def _check_section(body: bytes) -> None:
    magic, major, _minor, _length = _SECTION.unpack_from(body)
    if magic != BYTE_ORDER_MAGIC or major != 1:
        raise ValueError("not a little-endian pcapng file of version 1")


def _read_interface(body: bytes) -> str:
    options = dict(_options(body[_INTERFACE.size :]))
    if options.get(OPT_IF_TSRESOL, bytes([TSRESOL_US])) != bytes([TSRESOL_US]):
        raise ValueError("times are not in microseconds")
    return options.get(OPT_IF_NAME, b"").decode()


def _read_packet(body: bytes, interfaces: int) -> Packet:
    interface, high, low, kept, original = _PACKET.unpack_from(body)
    start = _PACKET.size
    if interface >= interfaces:
        raise ValueError(f"packet of interface {interface}, which is not described")
    if kept > original or start + kept > len(body):
        raise ValueError(f"packet of {kept} bytes does not fit")
    options = _options(body[start + kept + (-kept % 4) :])
    direction = UNKNOWN
    for code, value in options:
        if code == OPT_EPB_FLAGS:
            direction = _U32.unpack(value)[0] & 3
    comments = tuple(value.decode() for code, value in options if code == OPT_COMMENT)
    return Packet(interface, high << 32 | low, direction, body[start : start + kept], original, comments)
