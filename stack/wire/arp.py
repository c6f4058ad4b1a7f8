"""ARP for IPv4 over Ethernet (RFC 826)."""

from struct import Struct
from typing import Final, NamedTuple

from stack.wire.ethernet import TYPE_ARP, pack_header

LENGTH: Final = 28
REQUEST: Final = 1
REPLY: Final = 2

_HEAD: Final = b"\x00\x01\x08\x00\x06\x04"  # hardware Ethernet, protocol IPv4, lengths 6 and 4
_PACKET: Final = Struct("!6sH6sI6sI")


class Arp(NamedTuple):
    """One ARP packet.  Field names as in RFC 826: sender and target, hardware and protocol address."""

    op: int
    sha: bytes
    spa: int
    tha: bytes
    tpa: int


def parse(packet: bytes) -> Arp | None:
    """None unless it is whole, for IPv4 over Ethernet, and a request or reply.  Padding after it is ignored."""
    if len(packet) < LENGTH:
        return None
    head, op, sha, spa, tha, tpa = _PACKET.unpack_from(packet)
    if head != _HEAD or op not in (REQUEST, REPLY):
        return None
    return Arp(op, sha, spa, tha, tpa)


def pack(op: int, sha: bytes, spa: int, tha: bytes, tpa: int) -> bytes:
    """The 28 bytes of a packet."""
    return _PACKET.pack(_HEAD, op, sha, spa, tha, tpa)


def frame(dst: bytes, op: int, sha: bytes, spa: int, tha: bytes, tpa: int) -> bytes:
    """A whole Ethernet frame from `sha` to the link address `dst`, unpadded."""
    return pack_header(dst, sha, TYPE_ARP) + pack(op, sha, spa, tha, tpa)
