"""A received frame that goes on to another link: what a router changes in it (RFC 1812 §5.3.1)."""

from stack.wire import ipv4
from stack.wire.burst import Burst
from stack.wire.frame import HEADER_ROOM, L4_OFF, PARTIAL_CSUM, VNET_NEEDS_CSUM, TxFrame


def decrement_ttl(header: bytearray, at: int) -> None:
    """One less in the TTL of the IPv4 header that begins at `at`, and its checksum adjusted.  RFC 1624 eqn 3.

    The TTL is the high byte of its 16-bit word: the word falls by 0x0100, whatever the protocol in its low byte.
    """
    header[at + 8] -= 1
    total = 0xFFFF - (header[at + 10] << 8 | header[at + 11]) + (0xFFFF - 0x0100)
    csum = 0xFFFF - ((total & 0xFFFF) + (total >> 16))
    header[at + 10] = csum >> 8
    header[at + 11] = csum & 0xFF


def load(frame: TxFrame, burst: Burst, index: int, link: bytes) -> int:
    """Fill `frame` with frame `index` of a burst, less its padding: `link` in place of both addresses, the TTL lowered.

    Its offload metadata go with it: a super-segment stays one if the outgoing device can carry it, else the device cuts
    it.  Returns the length of link, IP and transport header.
    """
    off, length, l3_off, l4_off, vnet_flags, gso_type, gso_size, csum_start, csum_offset, _ = burst.meta_at(index)
    at = off + l3_off
    total = burst.pool[at + 2] << 8 | burst.pool[at + 3]
    data = burst.pool[off : min(off + length, at + total)]
    end = len(data)
    proto = data[l3_off + 9]
    if gso_size and proto == ipv4.PROTO_TCP and l4_off + 13 <= end:
        end = min(end, l4_off + (data[l4_off + 12] >> 4) * 4)
    else:
        end = min(end, max(l4_off + 8, csum_start + csum_offset + 2 if vnet_flags & VNET_NEEDS_CSUM else 0))
    start = L4_OFF - l4_off
    # a checksum deep in a tunnelled packet lies beyond our header; `finish` refuses such a frame
    end = min(end, HEADER_ROOM - start)
    frame.header[start : start + end] = data[:end]
    frame.header[start : start + 12] = link
    decrement_ttl(frame.header, start + l3_off)
    frame.start = start
    frame.header_end = start + end
    frame.payload = data
    frame.payload_off = end
    frame.payload_len = len(data) - end
    frame.gso_type = gso_type
    frame.gso_size = gso_size
    frame.csum_start = csum_start
    frame.csum_offset = csum_offset
    frame.flags = PARTIAL_CSUM if vnet_flags & VNET_NEEDS_CSUM else 0
    return end
