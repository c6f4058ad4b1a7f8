"""IPv4 headers and options (RFC 791)."""

from struct import Struct
from typing import Final, NamedTuple

HLEN: Final = 20
MAX_HLEN: Final = 60
MAX_TOTAL: Final = 65_535
MIN_MTU: Final = 68  # RFC 791 §3.2: every module must forward 68 octets unfragmented

PROTO_ICMP: Final = 1
PROTO_TCP: Final = 6
PROTO_UDP: Final = 17

# flags and fragment offset
DF: Final = 0x4000
MF: Final = 0x2000
OFFSET_MASK: Final = 0x1FFF

# options: copied flag << 7 | class << 5 | number
OPT_END: Final = 0
OPT_NOP: Final = 1
OPT_RECORD_ROUTE: Final = 7
OPT_TIMESTAMP: Final = 68
OPT_LSRR: Final = 131
OPT_SSRR: Final = 137
OPT_COPIED: Final = 0x80

_HEADER: Final = Struct("!BBHHHBBHII")


class Header(NamedTuple):
    """An IPv4 header.  `flags_offset` as on the wire; `hlen` and `total` in bytes."""

    hlen: int
    tos: int
    total: int
    ident: int
    flags_offset: int
    ttl: int
    proto: int
    csum: int
    src: int
    dst: int


def parse(packet: bytes, offset: int = 0) -> Header | None:
    """The header at `offset`; None when it is cut off or its version, header length or total length is impossible.

    Whether `total` bytes are there is the caller's business: an ICMP error quotes only a beginning.
    The checksum is not verified here.
    """
    if len(packet) - offset < HLEN:
        return None
    ver_ihl, tos, total, ident, flags_offset, ttl, proto, csum, src, dst = _HEADER.unpack_from(packet, offset)
    hlen = (ver_ihl & 15) * 4
    if ver_ihl >> 4 != 4 or hlen < HLEN or total < hlen or len(packet) - offset < hlen:
        return None
    return Header(hlen, tos, total, ident, flags_offset, ttl, proto, csum, src, dst)


def pack(
    *,
    total: int,
    proto: int,
    src: int,
    dst: int,
    tos: int = 0,
    ident: int = 0,
    flags_offset: int = 0,
    ttl: int = 64,
    csum: int = 0,
    hlen: int = HLEN,
) -> bytes:
    """The first 20 bytes of a header; the checksum field holds `csum`."""
    return _HEADER.pack(0x40 | hlen >> 2, tos, total, ident, flags_offset, ttl, proto, csum, src, dst)


# result of check_options besides an offset >= 0
OPTIONS_OK: Final = -1
OPTIONS_SOURCE_ROUTE: Final = -2

_MIN_POINTER: Final = {OPT_RECORD_ROUTE: 4, OPT_TIMESTAMP: 5}


def check_options(options: bytes) -> int:
    """OPTIONS_OK, OPTIONS_SOURCE_ROUTE, or the offset of the octet at fault (for an ICMP parameter problem).

    RFC 1122 §3.2.1.8: unknown options are passed over by their length; those known must have a legal one.
    """
    i = 0
    result = OPTIONS_OK
    while i < len(options):
        kind = options[i]
        if kind == OPT_END:
            break
        if kind == OPT_NOP:
            i += 1
            continue
        if i + 1 >= len(options):
            return i
        length = options[i + 1]
        if length < 2 or i + length > len(options):
            return i + 1
        if kind in (OPT_LSRR, OPT_SSRR):
            result = OPTIONS_SOURCE_ROUTE
        elif kind in _MIN_POINTER and (length < 4 or options[i + 2] < _MIN_POINTER[kind]):
            return i + 1 if length < 4 else i + 2
        i += length
    return result


def copied_options(options: bytes) -> bytes:
    """The options that every fragment carries, padded.  RFC 791 §3.1 (copied flag).  `options` passed check_options."""
    kept = b""
    i = 0
    while i < len(options) and options[i] != OPT_END:
        length = 1 if options[i] == OPT_NOP else options[i + 1]
        if options[i] & OPT_COPIED:
            kept += options[i : i + length]
        i += length
    return kept + bytes(-len(kept) % 4)
