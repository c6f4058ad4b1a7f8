"""A burst of received frames: one payload pool and two packed tables, filled by C or by `_pure`.

Theory of operation.  A device fills `pool` with whole frames and has them parsed in one call; Python
then walks the hot rows with `struct.iter_unpack` (0.1-0.2 us a row) and reads a cold row (`meta`) only
off the fast path.  `pool` is an mmap because slicing it gives `bytes` in one step.  Rows and pool are
valid until the next fill.  The layouts are those of native/wire.h; a test compares them.
"""

import mmap
from struct import Struct
from typing import Final

from mypy_extensions import mypyc_attr

MAX_FRAMES: Final = 256
POOL_BYTES: Final = 1 << 19  # it and the copies of its payload stay in a second-level cache of 1 MiB
# A frame may be a whole super-segment: 64 KiB of IP and the link header, rounded up.
MAX_FRAME: Final = 65_536 + 64

# kind
KIND_DROP: Final = 0  # `aux` holds the DropReason
KIND_ARP: Final = 1
KIND_TCP: Final = 2
KIND_UDP: Final = 3
KIND_ICMP: Final = 4
KIND_IP_OTHER: Final = 5  # valid IPv4, another protocol
KIND_IP_FRAG: Final = 6  # a fragment of any protocol; seq = IP id, ack = offset in bytes, wnd = more fragments

# flags
ROW_TS: Final = 1  # timestamps option present: tsval and tsecr are set
ROW_OPTS: Final = 2  # TCP options besides NOP, EOL and timestamps: read them from the frame
ROW_IPOPTS: Final = 4  # the IPv4 header has options
ROW_LINK_GROUP: Final = 8  # link-level broadcast or multicast destination
ROW_CE: Final = 16  # IP ECN field is CE
ROW_ECT: Final = 32  # IP ECN field is ECT(0) or ECT(1)
ROW_BAD_CSUM: Final = 64  # transport checksum wrong (a router forwards it all the same)
ROW_GSO: Final = 128  # a super-segment; see meta
ROW_PARTIAL: Final = 256  # checksum field incomplete (virtio NEEDS_CSUM)
ROW_BAD_OPTS: Final = 512  # a TCP option length was illegal; parsing stopped there

# key, dst, pay_off, pay_len, seq, ack, tsval, tsecr, wnd, flags, kind, tcp_flags, aux
#   key = source address << 32 | source port << 16 | destination port
#   pay_off: offset in `pool` of the transport payload (for ARP: of the ARP packet; for ICMP, other
#   protocols and fragments: of the IP payload); pay_len its bytes
#   aux: DropReason (KIND_DROP), urgent pointer (TCP), type << 8 | code (ICMP), protocol (IP_OTHER, IP_FRAG)
#   A UDP row with ROW_GSO is several datagrams of meta's gso_size bytes each, the last one maybe shorter.
ROW: Final = Struct("<QIIIIIIIHHBBH4x")
# off, len, l3_off, l4_off, vnet_flags, gso_type, gso_size, csum_start, csum_offset, segs
#   off: offset of the frame in `pool`; l3_off, l4_off, csum_start counted from `off`
#   segs: wire segments merged into this row (1 unless GRO or GSO)
META: Final = Struct("<IIHHBBHHHH2x")
META_PLAIN: Final = Struct("<II12xH2x")  # off, len and segs of a finished wire frame; all else is 0


@mypyc_attr(allow_interpreted_subclasses=True)
class Burst:
    """Received frames with their parsed rows: `count` are valid, at most `limit`.  `room` is the size of the pool.

    `more`: it is full, and the device has more; a device that cannot tell leaves it False.
    """

    __slots__ = ("core", "count", "limit", "meta", "more", "pool", "room", "rows")

    def __init__(self, pool_bytes: int = POOL_BYTES, max_frames: int = MAX_FRAMES) -> None:
        self.pool = mmap.mmap(-1, pool_bytes + MAX_FRAME)
        self.rows = bytearray(ROW.size * max_frames)
        self.meta = bytearray(META.size * max_frames)
        self.count = 0
        self.more = False
        self.limit = max_frames
        self.room = pool_bytes + MAX_FRAME
        self.core: object = None  # where the C core finds the three; it makes this once

    def meta_at(self, index: int) -> tuple[int, ...]:
        """The cold row of frame `index`, in the order given at META."""
        return META.unpack_from(self.meta, index * META.size)

    def row_at(self, index: int) -> tuple[int, ...]:
        """The hot row of frame `index`."""
        return ROW.unpack_from(self.rows, index * ROW.size)

    def frame(self, index: int) -> bytes:
        """A copy of frame `index`, from its Ethernet header on."""
        off, length = META.unpack_from(self.meta, index * META.size)[:2]
        return self.pool[off : off + length]
