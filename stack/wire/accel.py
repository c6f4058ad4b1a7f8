"""The functions that touch every byte: checksums, parsing, finishing.  C where it is built, else Python.

`finish` and `finish_raw` bring a frame to what a device can carry (`Caps`): they complete header lengths and
checksums and cut super-segments.  A frame on its way between devices is a tuple `Raw`: the unit of the data
path is never bare bytes.
"""

import os  # only to choose the backend, once
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from stack.wire.burst import MAX_FRAME, META, META_PLAIN, Burst
from stack.wire.frame import (
    CAP_CSUM,
    GSO_ECN,
    GSO_NONE,
    PARTIAL_CSUM,
    VNET_NEEDS_CSUM,
    Caps,
    TxFrame,
)

if TYPE_CHECKING:
    from stack.wire import _native as _core

    backend: str
elif os.environ.get("TAPSTACK_PURE"):
    from stack.wire import _pure as _core

    backend = "pure"
else:
    try:
        from stack.wire import _native as _core

        backend = "c"
    except ModuleNotFoundError:  # not built here
        from stack.wire import _pure as _core

        backend = "pure"

Data = bytes | bytearray | memoryview
# frame, vnet_flags, gso_type, gso_size, csum_start, csum_offset
Raw = tuple[bytes, int, int, int, int, int]

checksum = _core.checksum
partial_sum = _core.partial_sum
update_checksum = _core.update_checksum
parse_burst = _core.parse_burst
merge_burst = _core.merge_burst
header_len = _core.header_len

NO_CAPS = Caps()
_ALIGN = 64  # a cache line: where each frame begins in the pool
_META_SIZE = META.size
_pack_plain = META_PLAIN.pack_into


def load_burst(burst: Burst, frames: Iterable[Raw], mac: bytes) -> int:
    """Copy frames into `burst` and parse them for a host with address `mac`; returns how many were taken.

    Stops when the burst is full.  What exceeds MAX_FRAME is cut off, and the parser drops the rest.
    """
    at = count = 0
    room, limit = burst.room, burst.limit
    burst.more = False
    for data, vnet_flags, gso_type, gso_size, csum_start, csum_offset in frames:
        length = min(len(data), MAX_FRAME)
        if count == limit or at + length > room:
            break
        burst.pool[at : at + length] = data[:length]
        META.pack_into(
            burst.meta, count * META.size, at, length, 0, 0, vnet_flags, gso_type, gso_size, csum_start, csum_offset, 1
        )
        at += -(-length // _ALIGN) * _ALIGN
        count += 1
    parse_burst(burst, mac, count)
    return count


def load_frames(burst: Burst, frames: Sequence[bytes], mac: bytes) -> int:
    """As `load_burst`, for finished wire frames."""
    at = count = meta_at = 0
    pool, meta, limit, room = burst.pool, burst.meta, burst.limit, burst.room
    for data in frames:
        length = len(data)
        if length > MAX_FRAME:
            data, length = data[:MAX_FRAME], MAX_FRAME  # noqa: PLW2901 - it is the frame as taken
        end = at + length
        if count == limit or end > room:
            break
        pool[at:end] = data
        _pack_plain(meta, meta_at, at, length, 1)
        at = end + _ALIGN - 1 & -_ALIGN
        meta_at += _META_SIZE
        count += 1
    parse_burst(burst, mac, count)
    return count


def wire_frames(frame: TxFrame) -> list[bytes]:
    """As `finish` for a device without offloads: the frames that are to be on the wire."""
    data = _core.tx_wire(frame)
    return [data] if data else [raw[0] for raw in finish(frame, NO_CAPS)]


def finish(frame: TxFrame, caps: Caps) -> list[Raw]:
    """The frames to give to a device with `caps`; completes `frame.header` in place.

    An empty list means that the frame contradicts itself and cannot be sent.
    """
    return _finish(
        frame.header,
        frame.start,
        frame.header_end,
        frame.payload,
        frame.payload_off,
        frame.payload_len,
        frame.flags,
        frame.gso_type,
        frame.gso_size,
        frame.csum_start,
        frame.csum_offset,
        caps,
    )


def finish_raw(raw: Raw, caps: Caps) -> list[Raw]:
    """As `finish`, for a frame that is bytes already (forwarding, fault and capture devices)."""
    data, vnet_flags, gso_type, gso_size, csum_start, csum_offset = raw
    if gso_type & ~GSO_ECN == GSO_NONE and not vnet_flags & VNET_NEEDS_CSUM:
        return [(data, 0, 0, 0, 0, 0)]  # DATA_VALID is nothing to pass on
    flags = PARTIAL_CSUM if vnet_flags & VNET_NEEDS_CSUM else 0
    end = len(data) if gso_type & ~GSO_ECN == GSO_NONE else _core.header_len(data)
    return _finish(
        bytearray(data[:end]),
        0,
        end,
        data,
        end,
        len(data) - end,
        flags,
        gso_type,
        gso_size,
        csum_start,
        csum_offset,
        caps,
    )


def _finish(
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
    caps: Caps,
) -> list[Raw]:
    bits = caps.bits
    how = _core.tx_complete(
        header,
        start,
        end,
        payload,
        pay_off,
        pay_len,
        flags,
        gso_type,
        gso_size,
        csum_start,
        csum_offset,
        bits,
        caps.max_gso,
    )
    count = how >> 16
    if count > 1:
        pieces = [
            _core.tx_emit(header, start, end, payload, pay_off, pay_len, gso_type, gso_size, bits, index)
            for index in range(count)
        ]
        if bits & CAP_CSUM:
            return [(piece, VNET_NEEDS_CSUM, 0, 0, csum_start, csum_offset) for piece in pieces]
        return [(piece, 0, 0, 0, 0, 0) for piece in pieces]
    if count == 0:
        return []
    whole = bytes(header[start:end])
    if pay_len:
        whole += payload[pay_off : pay_off + pay_len]
    vnet_flags = how & 0xFF
    out_type = how >> 8 & 0xFF
    if not vnet_flags:
        return [(whole, 0, 0, 0, 0, 0)]
    return [(whole, vnet_flags, out_type, gso_size if out_type else 0, csum_start, csum_offset)]
