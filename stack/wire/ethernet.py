"""Ethernet II (RFC 894)."""

from struct import Struct
from typing import Final

HLEN: Final = 14
TYPE_IPV4: Final = 0x0800
TYPE_ARP: Final = 0x0806
TYPE_IPV6: Final = 0x86DD
MIN_TYPE: Final = 0x0600  # below this the field is an IEEE 802.3 length
MIN_FRAME: Final = 60  # without the FCS; shorter payloads are padded with zeros (RFC 894)

_HEADER: Final = Struct("!6s6sH")


def pack_header(dst: bytes, src: bytes, ethertype: int) -> bytes:
    """The 14 bytes of a header."""
    return _HEADER.pack(dst, src, ethertype)


def parse_header(frame: bytes) -> tuple[bytes, bytes, int] | None:
    """(destination, source, ethertype), or None for a runt, an 802.3 length frame or a group address as source."""
    if len(frame) < HLEN:
        return None
    dst, src, ethertype = _HEADER.unpack_from(frame)
    if src[0] & 1 or ethertype < MIN_TYPE:
        return None
    return dst, src, ethertype
