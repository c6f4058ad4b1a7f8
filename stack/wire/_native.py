"""The C core's functions in the shape that `accel` offers; `_pure` has the same ones.

The only importer of the cffi module `_wire`.  Every length given to C is checked here, once, so that C
may trust it: a buffer is never read or written beyond its end.
"""

from typing import TYPE_CHECKING

from stack.wire._wire import ffi, lib
from stack.wire.burst import Burst
from stack.wire.frame import HEADER_ROOM, TxFrame

if TYPE_CHECKING:
    from stack.wire._wire import CData

Data = bytes | bytearray | memoryview
_parse, _complete = lib.ts_parse, lib.ts_tx_complete  # looked up once: a module of cffi is slow at it


def _pointer(data: Data) -> "CData | bytes":
    # cffi takes `bytes` as they are; any other buffer needs a pointer made for it.
    return data if isinstance(data, bytes) else ffi.from_buffer("uint8_t[]", data)


def _pointers(burst: Burst) -> "tuple[CData, CData, CData]":
    # Three calls of `from_buffer` cost more than parsing a frame; a Burst keeps its buffers for life.
    core = burst.core
    if core is None:
        core = burst.core = (
            ffi.from_buffer("uint8_t[]", burst.pool),
            ffi.from_buffer("ts_meta[]", burst.meta),
            ffi.from_buffer("ts_row[]", burst.rows),
        )
    return core  # type: ignore[return-value]


def partial_sum(data: Data, start: int = 0) -> int:
    """RFC 1071 sum of `data` added to the folded sum `start`; folded, not inverted."""
    return lib.ts_sum(data if isinstance(data, bytes) else _pointer(data), len(data), start)


def checksum(data: Data, start: int = 0) -> int:
    """RFC 1071 checksum of `data`, inverted; `start` is the folded sum of what comes before."""
    return ~lib.ts_sum(data if isinstance(data, bytes) else _pointer(data), len(data), start) & 0xFFFF


def update_checksum(checksum: int, old16: int, new16: int) -> int:
    """RFC 1624 §3 (eqn. 3): `checksum` after a 16-bit field changed from `old16` to `new16`."""
    return lib.ts_update_checksum(checksum, old16, new16)


def parse_burst(burst: Burst, mac: bytes, count: int) -> None:
    """Parse the first `count` frames, placed in pool and meta by the caller, into rows; sets `burst.count`."""
    if not (len(mac) == 6 and 0 <= count <= burst.limit):
        raise ValueError("parse_burst: bad MAC address or count")
    pool, meta, rows = _pointers(burst)
    _parse(pool, mac, meta, rows, count)
    burst.count = count


def merge_burst(burst: Burst) -> int:
    """Merge TCP rows that continue each other (see native/gro.c); returns and sets `burst.count`."""
    burst.count = lib.ts_gro(*_pointers(burst), burst.count)
    return burst.count


def header_len(frame: bytes) -> int:
    """Bytes of link, IPv4 and transport header of a TCP or UDP frame that can be segmented, else 0."""
    return lib.ts_header_len(frame, len(frame))


def tx_complete(
    header: bytearray,
    start: int,
    end: int,
    payload: Data,
    pay_off: int,
    pay_len: int,
    flags: int,
    gso_type: int,
    gso_size: int,
    csum_start: int,
    csum_offset: int,
    caps: int,
    max_gso: int,
) -> int:
    """Complete `header[start:end]` in place, in front of `payload[pay_off : pay_off + pay_len]`.

    Returns wire frames << 16 | virtio gso_type << 8 | virtio flags; 0 for a frame that cannot be sent.
    """
    if not (0 <= start <= end <= len(header) and pay_off >= 0 and 0 <= pay_len <= len(payload) - pay_off):
        return 0
    return lib.ts_tx_complete(
        ffi.from_buffer("uint8_t[]", header),
        start,
        end,
        _pointer(payload),
        pay_off,
        pay_len,
        flags,
        gso_type,
        gso_size,
        csum_start,
        csum_offset,
        caps,
        max_gso,
    )


def tx_wire(frame: TxFrame) -> bytes:
    """The frame as it is on a wire; b"" if it is more than one, or cannot be sent."""
    header, start, end = frame.header, frame.start, frame.header_end
    payload, pay_off, pay_len = frame.payload, frame.payload_off, frame.payload_len
    if not (0 <= start <= end <= len(header) and pay_off >= 0 and 0 <= pay_len <= len(payload) - pay_off):
        return b""
    core = frame.core
    if core is None:
        core = frame.core = ffi.from_buffer("uint8_t[]", header)
    how = _complete(
        core,  # type: ignore[arg-type]
        start,
        end,
        payload if isinstance(payload, bytes) else _pointer(payload),
        pay_off,
        pay_len,
        frame.flags,
        frame.gso_type,
        frame.gso_size,
        frame.csum_start,
        frame.csum_offset,
        0,
        0,
    )
    if how != 1 << 16:
        return b""
    if not pay_len:
        return bytes(header[start:end])
    return bytes(header[start:end]) + payload[pay_off : pay_off + pay_len]


def tx_emit(
    header: bytearray,
    start: int,
    end: int,
    payload: Data,
    pay_off: int,
    pay_len: int,
    gso_type: int,
    gso_size: int,
    caps: int,
    index: int,
) -> bytes:
    """Wire frame `index` of a super-segment that `tx_complete` has seen; b"" if there is none."""
    if not (0 <= start <= end <= len(header) and pay_off >= 0 and 0 <= pay_len <= len(payload) - pay_off):
        return b""
    out = bytearray(HEADER_ROOM + gso_size)
    length = lib.ts_tx_emit(
        ffi.from_buffer("uint8_t[]", header),
        start,
        end,
        _pointer(payload),
        pay_off,
        pay_len,
        gso_type,
        gso_size,
        caps,
        index,
        ffi.from_buffer("uint8_t[]", out),
    )
    return bytes(memoryview(out)[:length])
