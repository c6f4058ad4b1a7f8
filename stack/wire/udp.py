"""UDP headers (RFC 768)."""

from struct import Struct
from typing import Final

HLEN: Final = 8
MAX_PAYLOAD: Final = 65_507  # 65535 - 20 (IPv4) - 8
CSUM_OFFSET: Final = 6

HEADER: Final = Struct("!HHHH")  # source port, destination port, length, checksum


def parse(segment: bytes) -> tuple[int, int, int, int] | None:
    """(source port, destination port, length, checksum); None when cut off or the length is impossible (UDP-1)."""
    if len(segment) < HLEN:
        return None
    sport, dport, length, csum = HEADER.unpack_from(segment)
    if length < HLEN or length > len(segment):
        return None
    return sport, dport, length, csum


def pack_header(sport: int, dport: int, payload_len: int, csum: int = 0) -> bytes:
    """Eight bytes."""
    return HEADER.pack(sport, dport, HLEN + payload_len, csum)


def pseudo_sum(src: int, dst: int, proto: int, length: int) -> int:
    """The folded, not inverted sum of an IPv4 pseudo-header (RFC 768, RFC 9293 §3.1)."""
    total = (src >> 16) + (src & 0xFFFF) + (dst >> 16) + (dst & 0xFFFF) + proto + length
    total = (total & 0xFFFF) + (total >> 16)
    return (total & 0xFFFF) + (total >> 16)
