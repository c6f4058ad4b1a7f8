"""Links that carry IP packets and no frames (`Caps.bare_ip`): what stands in for their link header.

Inside the stack every frame begins with an Ethernet header: the parser, the headers of TxFrames, captures and fault
devices know nothing else.  A device on such a link puts one in front of what it receives and takes it off what it
sends.  Its addresses are always the same and mean nothing.
"""

from typing import Final

from stack.wire.addr import MAC_ZERO
from stack.wire.ethernet import TYPE_IPV4, TYPE_IPV6, pack_header

BARE_MAC: Final = b"\x02\0\0\0\0\1"  # of our end; locally administered
_HEADER: Final = pack_header(BARE_MAC, MAC_ZERO, TYPE_IPV4)
_HEADER_IPV6: Final = pack_header(BARE_MAC, MAC_ZERO, TYPE_IPV6)
_VERSION_6: Final = 6


def to_frame(packet: bytes) -> bytes:
    """The frame that brings `packet` to the host.  What is no IP packet is left to the parser to drop and count."""
    if packet and packet[0] >> 4 == _VERSION_6:
        return _HEADER_IPV6 + packet
    return _HEADER + packet
