"""What a router decides about a datagram (RFC 1812 §5).  Pure functions over the packet's bytes."""

from typing import Final

from stack.stats import DropReason
from stack.wire import ipv4
from stack.wire.addr import is_unicast
from stack.wire.ethernet import HLEN as ETH_HLEN


class Hop:
    """Where to send datagrams for one destination; valid while `generation` is that of the IP layer.

    `link` is the beginning of the Ethernet header, both addresses.  `longest` is the length of a frame, with its link
    header, that fits `mtu`.
    """

    __slots__ = ("generation", "ifindex", "link", "longest", "mtu", "next_hop")

    def __init__(self, ifindex: int, next_hop: int, mtu: int, link: bytes, generation: int) -> None:
        self.ifindex = ifindex
        self.next_hop = next_hop
        self.mtu = mtu
        self.longest = ETH_HLEN + mtu
        self.link = link
        self.generation = generation


MIN_TTL: Final = 2  # a datagram that arrives with less cannot go on


def refusal(dst: int, ttl: int, directed_broadcasts: frozenset[int]) -> int:
    """Why a datagram is not forwarded, else 0.

    RFC 1812 §5.3.7: no martian destinations (198.18.0.0/15 is not one).  RFC 2644: no directed broadcasts.
    OMITS RFC 1812 §5.2.1.2: multicast forwarding needs a multicast routing protocol.  §5.3.1: TTL.
    """
    if not is_unicast(dst):
        return DropReason.IP_MARTIAN_DESTINATION
    if dst in directed_broadcasts:
        return DropReason.IP_FORWARD_FORBIDDEN
    if ttl < MIN_TTL:
        return DropReason.IP_TTL_EXPIRED
    return 0


def needs_fragmenting(total: int, headers: int, gso_size: int, mtu: int) -> bool:
    """What will be on the wire is longer than `mtu`: the datagram, or the largest piece of a super-segment.

    `headers` are IP and transport header of a super-segment (gso_size not 0).
    """
    return (headers + gso_size if gso_size else total) > mtu


def is_df(packet: bytes) -> bool:
    """DF is set."""
    return bool(packet[6] & ipv4.DF >> 8)
