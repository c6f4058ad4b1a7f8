"""The prepared way to one destination, and cutting what does not fit.

Theory of operation.  A `Path` belongs to one (destination, source) pair and is shared by every flow between them.
`prefix` holds the finished Ethernet and IPv4 header of a TCP segment but for its length and checksum, which the C core
fills in.  It may be used as long as `generation` equals that of the IP layer; every event that could change it (route,
address, neighbour, path MTU) raises that number.  `routed` is the generation for which interface, next hop and MTU
were computed; `generation` follows only when the neighbour's link address is known.
"""

from collections.abc import Iterator
from typing import Final

from stack.wire import ipv4
from stack.wire.ethernet import HLEN as ETH_HLEN
from stack.wire.ethernet import TYPE_IPV4, pack_header
from stack.wire.frame import L4_OFF, Caps
from stack.wire.sink import FrameSink

# Where things are in a TxFrame's header whose IPv4 header has no options.
START: Final = L4_OFF - ipv4.HLEN - ETH_HLEN
IP_OFF: Final = L4_OFF - ipv4.HLEN
TOS_AT: Final = IP_OFF + 1
IDENT_AT: Final = IP_OFF + 4
FLAGS_AT: Final = IP_OFF + 6
TTL_AT: Final = IP_OFF + 8
PROTO_AT: Final = IP_OFF + 9
PREFIX_LEN: Final = ETH_HLEN + ipv4.HLEN

UNICAST: Final = 0
BROADCAST: Final = 1
MULTICAST: Final = 2
LOCAL: Final = 3  # one of our own addresses


class Path:
    """How to reach `dst` from `src`.  `mtu` counts IP bytes (header included); `kind` is UNICAST, BROADCAST, ...

    TCP reads mtu, caps, src, dst, ifindex and keeps `confirmed_at`; all else belongs to the IP layer.
    """

    __slots__ = (
        "caps",
        "confirmed_at",
        "dst",
        "generation",
        "ifindex",
        "kind",
        "link_mtu",
        "mtu",
        "next_hop",
        "prefix",
        "routed",
        "sink",
        "src",
    )

    def __init__(self, dst: int, src: int, sink: FrameSink) -> None:
        self.dst = dst
        self.src = src
        self.sink = sink
        self.caps: Caps = sink.caps
        self.ifindex = 0
        self.confirmed_at = 0  # when a transport last saw progress on it
        self.kind = UNICAST
        self.mtu = 0
        self.link_mtu = 0
        self.next_hop = 0
        self.prefix = bytes(PREFIX_LEN)
        self.generation = 0
        self.routed = 0

    def build_prefix(self, dst_mac: bytes, src_mac: bytes, ttl: int) -> None:
        """Prepare `prefix`: TCP, DF set, identification 0.

        RFC 6864 §4.1: an atomic datagram (DF set, not a fragment) may carry any identification.
        """
        self.prefix = pack_header(dst_mac, src_mac, TYPE_IPV4) + ipv4.pack(
            total=0, proto=ipv4.PROTO_TCP, src=self.src, dst=self.dst, flags_offset=ipv4.DF, ttl=ttl
        )


def fragment(header: bytes, length: int, mtu: int) -> Iterator[tuple[bytes, int, int]]:
    """Cut `length` bytes of IP payload so that each piece fits `mtu`.  RFC 791 §3.2.

    `header` is the IPv4 header with options; it may itself be that of a fragment.  Yields (header, offset, size):
    headers with the fragment fields set, total length and checksum left to be filled in.
    """
    options = header[ipv4.HLEN :]
    later = ipv4.copied_options(options) if options else b""
    fields = int.from_bytes(header[6:8], "big")
    base = fields & ipv4.OFFSET_MASK
    keep = fields & ~(ipv4.OFFSET_MASK | ipv4.MF) & 0xFFFF
    offset = 0
    opts = options
    while offset < length:
        room = mtu - ipv4.HLEN - len(opts)
        size = length - offset if length - offset <= room else room & ~7
        last = offset + size == length
        more = fields & ipv4.MF if last else ipv4.MF
        flags_offset = keep | more | (base + (offset >> 3))
        yield (
            bytes((0x45 + (len(opts) >> 2),))
            + header[1:6]
            + flags_offset.to_bytes(2, "big")
            + header[8 : ipv4.HLEN]
            + opts,
            offset,
            size,
        )
        offset += size
        opts = later
