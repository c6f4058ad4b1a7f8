"""The C core in Python: the oracle that native/ is tested against, and the fallback where it is not built.

Same functions as `_native`, same results byte for byte, 20 to 100 times slower.  Read native/parse.c and
native/finish.c beside it: the steps stand in the same order.
"""

from struct import Struct

from stack.stats import DropReason
from stack.wire._pure_gro import merge_burst as merge_burst  # noqa: PLC0414
from stack.wire.burst import (
    KIND_ARP,
    KIND_DROP,
    KIND_ICMP,
    KIND_IP_FRAG,
    KIND_IP_OTHER,
    KIND_TCP,
    KIND_UDP,
    META,
    ROW,
    ROW_BAD_CSUM,
    ROW_BAD_OPTS,
    ROW_CE,
    ROW_ECT,
    ROW_GSO,
    ROW_IPOPTS,
    ROW_LINK_GROUP,
    ROW_OPTS,
    ROW_PARTIAL,
    ROW_TS,
    Burst,
)
from stack.wire.frame import (
    CAP_CSUM,
    CAP_TSO4,
    CAP_USO,
    ETH_HLEN,
    FILL_IP,
    GSO_ECN,
    GSO_NONE,
    GSO_TCPV4,
    GSO_UDP_L4,
    HEADER_ROOM,
    NEEDS_CSUM,
    PARTIAL_CSUM,
    VNET_DATA_VALID,
    VNET_NEEDS_CSUM,
    TxFrame,
)

Data = bytes | bytearray | memoryview

ETHERTYPE_FIRST = 0x0600  # below: an 802.3 length
ETHERTYPE_IPV4 = 0x0800
ETHERTYPE_ARP = 0x0806
ETHERTYPE_IPV6 = 0x86DD
ARP_LEN = 28  # Ethernet and IPv4
IP_HLEN = 20
UDP_HLEN = 8
TCP_HLEN = 20
PROTO_ICMP = 1
PROTO_TCP = 6
PROTO_UDP = 17
OPT_EOL = 0
OPT_NOP = 1
OPT_TIMESTAMPS = 8
OPT_TIMESTAMPS_LEN = 10
TCP_FIN_PSH = 0x09
TCP_CWR = 0x80
TX_LIMIT = 1 << 24  # longer parts are refused, as C refuses them
GSO_KNOWN = (1, 3, 4, 5)  # TCPv4, UDP (UFO), TCPv6, UDP_L4

_TWO = Struct("!H")
_FOUR = Struct("!I")
_EIGHT = Struct("!II")
# version/IHL, TOS, total length, id, fragment, TTL, protocol, checksum, source, destination
_IPV4 = Struct("!BBHHHBBHII")
# ports, seq, ack, data offset, flags, window, checksum, urgent pointer
_TCP = Struct("!IIIBBHHH")


def partial_sum(data: Data, start: int = 0) -> int:
    """RFC 1071 sum of `data` added to the folded sum `start`; folded, not inverted."""
    if len(data) & 1:
        data = bytes(data) + b"\0"
    # A number in base 2^16 is congruent to the sum of its digits modulo 2^16 - 1; only all zeros sum to 0.
    number = int.from_bytes(data, "big") + start
    return number % 0xFFFF or (0xFFFF if number else 0)


def checksum(data: Data, start: int = 0) -> int:
    """RFC 1071 checksum of `data`, inverted; `start` is the folded sum of what comes before."""
    return ~partial_sum(data, start) & 0xFFFF


def update_checksum(checksum: int, old16: int, new16: int) -> int:
    """RFC 1624 §3 (eqn. 3): `checksum` after a 16-bit field changed from `old16` to `new16`."""
    total = (~checksum & 0xFFFF) + (~old16 & 0xFFFF) + (new16 & 0xFFFF)
    total = (total & 0xFFFF) + (total >> 16)
    return ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF


class _Row:
    """One frame being parsed: a hot and a cold row by name."""

    __slots__ = (
        "ack",
        "aux",
        "dst",
        "flags",
        "gso_size",
        "key",
        "kind",
        "l3_off",
        "l4_off",
        "off",
        "pay_len",
        "pay_off",
        "segs",
        "seq",
        "tcp_flags",
        "tsecr",
        "tsval",
        "vnet_flags",
        "wnd",
    )

    def __init__(self, off: int, vnet_flags: int, gso_size: int) -> None:
        self.off = off
        self.vnet_flags = vnet_flags
        self.gso_size = gso_size
        self.segs = 1
        self.l3_off = self.l4_off = 0
        self.key = self.dst = self.pay_off = self.pay_len = self.seq = self.ack = self.tsval = self.tsecr = 0
        self.wnd = self.flags = self.kind = self.tcp_flags = self.aux = 0

    def drop(self, reason: DropReason) -> int:
        self.kind = KIND_DROP
        self.aux = reason
        self.pay_off = self.pay_len = 0
        return 0


def _parse_tcp_options(row: _Row, options: bytes) -> None:
    # RFC 9293 §3.1 (MUST-5, MUST-6, MUST-7): options of any kind, any length, any alignment
    i = 0
    length = len(options)
    while i < length and options[i] != OPT_EOL:
        if options[i] == OPT_NOP:
            i += 1
            continue
        if length - i < 2 or not 2 <= options[i + 1] <= length - i:
            row.flags |= ROW_BAD_OPTS
            return
        if options[i] == OPT_TIMESTAMPS and options[i + 1] == OPT_TIMESTAMPS_LEN:
            row.tsval, row.tsecr = _EIGHT.unpack_from(options, i + 2)
            row.flags |= ROW_TS
        else:
            row.flags |= ROW_OPTS
        i += options[i + 1]


# The parsers of one protocol return the length that the checksum covers, 0 for a drop.


def _parse_tcp(row: _Row, l4: bytes) -> int:
    if len(l4) < TCP_HLEN:
        return row.drop(DropReason.TCP_SHORT)
    ports, row.seq, row.ack, offset, row.tcp_flags, row.wnd, _, row.aux = _TCP.unpack_from(l4)
    header = (offset >> 4) * 4
    if header < TCP_HLEN or header > len(l4):
        row.seq = row.ack = row.tcp_flags = row.wnd = 0
        return row.drop(DropReason.TCP_OFFSET)
    row.kind = KIND_TCP
    row.key |= ports
    row.pay_off += header
    row.pay_len = len(l4) - header
    _parse_tcp_options(row, l4[TCP_HLEN:header])
    return len(l4)


def _parse_udp(row: _Row, l4: bytes) -> int:
    if len(l4) < UDP_HLEN:
        return row.drop(DropReason.UDP_SHORT)
    length: int = _TWO.unpack_from(l4, 4)[0]
    if length < UDP_HLEN or length > len(l4):
        return row.drop(DropReason.UDP_LENGTH)
    row.kind = KIND_UDP
    row.key |= _FOUR.unpack_from(l4)[0]
    row.pay_off += UDP_HLEN
    row.pay_len = length - UDP_HLEN
    return length


def _parse_icmp(row: _Row, l4: bytes) -> int:
    if len(l4) < 8:
        return row.drop(DropReason.ICMP_SHORT)
    row.kind = KIND_ICMP
    row.aux = _TWO.unpack_from(l4)[0]  # type and code
    return len(l4)


def _pseudo_sum(ip: Data, l4_len: int) -> int:
    # RFC 9293 §3.1: source, destination, zero, protocol, length
    return partial_sum(bytes(ip[12:20]), ip[9] + (l4_len >> 16) + (l4_len & 0xFFFF))


def _checksum_wrong(row: _Row, ip: bytes, l4: bytes, covered: int) -> bool:
    if row.kind == KIND_ICMP:
        return partial_sum(l4) != 0xFFFF
    if row.kind == KIND_UDP and l4[6:8] == b"\0\0":
        return False  # RFC 768: the sender made none
    return partial_sum(l4[:covered], _pseudo_sum(ip, covered)) != 0xFFFF


def _parse_ip_payload(row: _Row, ip: bytes, l4: bytes, ident: int, fragment: int, protocol: int) -> None:
    if fragment & 0x3FFF:  # offset, or more fragments
        row.kind = KIND_IP_FRAG
        row.seq = ident
        row.ack = (fragment & 0x1FFF) * 8
        row.wnd = fragment >> 13 & 1
        row.aux = protocol
        return
    if protocol == PROTO_TCP:
        covered = _parse_tcp(row, l4)
    elif protocol == PROTO_UDP:
        covered = _parse_udp(row, l4)
    elif protocol == PROTO_ICMP:
        covered = _parse_icmp(row, l4)
    else:
        row.kind = KIND_IP_OTHER
        row.aux = protocol
        return
    if covered and not row.vnet_flags & (VNET_NEEDS_CSUM | VNET_DATA_VALID) and _checksum_wrong(row, ip, l4, covered):
        row.flags |= ROW_BAD_CSUM
    if row.flags & ROW_GSO and row.pay_len > row.gso_size:
        row.segs = (row.pay_len + row.gso_size - 1) // row.gso_size


def _parse_ipv4(row: _Row, ip: bytes) -> None:
    if len(ip) < IP_HLEN:
        row.drop(DropReason.IP_HEADER_LENGTH)
        return
    version_ihl, tos, total, ident, fragment, _, protocol, _, src, dst = _IPV4.unpack_from(ip)
    header = (version_ihl & 15) * 4
    if version_ihl >> 4 != 4:
        row.drop(DropReason.IP_VERSION)
    elif header < IP_HLEN or header > len(ip):
        row.drop(DropReason.IP_HEADER_LENGTH)
    elif total < header or total > len(ip):
        row.drop(DropReason.IP_TOTAL_LENGTH)
    elif partial_sum(ip[:header]) != 0xFFFF:
        row.drop(DropReason.IP_CHECKSUM)
    else:
        row.l4_off = row.l3_off + header
        row.key = src << 32
        row.dst = dst
        row.pay_off = row.off + row.l4_off
        row.pay_len = total - header
        if header > IP_HLEN:
            row.flags |= ROW_IPOPTS
        if tos & 3:  # RFC 3168 §5
            row.flags |= ROW_CE if tos & 3 == 3 else ROW_ECT
        _parse_ip_payload(row, ip, ip[header:total], ident, fragment, protocol)


def _vnet_impossible(length: int, vnet_flags: int, gso_type: int, gso_size: int, csum_end: int) -> bool:
    if vnet_flags & VNET_NEEDS_CSUM and csum_end + 2 > length:
        return True
    gso = gso_type & ~GSO_ECN
    return gso != GSO_NONE and (gso_size == 0 or gso not in GSO_KNOWN)


def _parse_frame(row: _Row, frame: bytes, mac: bytes) -> None:
    if row.vnet_flags & VNET_NEEDS_CSUM:
        row.flags |= ROW_PARTIAL
    if frame[0] & 1:
        row.flags |= ROW_LINK_GROUP
    elif frame[:6] != mac:
        row.drop(DropReason.ETH_NOT_OURS)
        return
    if frame[6] & 1:
        row.drop(DropReason.ETH_GROUP_SOURCE)
        return
    ethertype = _TWO.unpack_from(frame, 12)[0]
    if ethertype == ETHERTYPE_IPV4:
        _parse_ipv4(row, frame[ETH_HLEN:])
    elif ethertype == ETHERTYPE_ARP:
        if len(frame) - ETH_HLEN < ARP_LEN:
            row.drop(DropReason.ARP_SHORT)
            return
        row.kind = KIND_ARP
        row.pay_off = row.off + ETH_HLEN
        row.pay_len = ARP_LEN
    elif ethertype == ETHERTYPE_IPV6:
        row.drop(DropReason.ETH_IPV6)
    else:
        row.drop(DropReason.ETH_LENGTH_FRAME if ethertype < ETHERTYPE_FIRST else DropReason.ETH_UNKNOWN_TYPE)


def parse_burst(burst: Burst, mac: bytes, count: int) -> None:
    """Parse the first `count` frames, placed in pool and meta by the caller, into rows; sets `burst.count`."""
    for index in range(count):
        at = index * META.size
        off, length, _, _, vnet_flags, gso_type, gso_size, csum_start, csum_offset, _ = META.unpack_from(burst.meta, at)
        row = _Row(off, vnet_flags, gso_size)
        if length < ETH_HLEN:
            row.drop(DropReason.ETH_SHORT)
        else:
            row.l3_off = ETH_HLEN
            if _vnet_impossible(length, vnet_flags, gso_type, gso_size, csum_start + csum_offset):
                row.drop(DropReason.VNET_BAD)
            else:
                row.flags |= ROW_GSO if gso_type & ~GSO_ECN else 0
                _parse_frame(row, burst.pool[off : off + length], mac)
        META.pack_into(
            burst.meta,
            at,
            off,
            length,
            row.l3_off,
            row.l4_off,
            vnet_flags,
            gso_type,
            gso_size,
            csum_start,
            csum_offset,
            row.segs,
        )
        ROW.pack_into(
            burst.rows,
            index * ROW.size,
            row.key,
            row.dst,
            row.pay_off,
            row.pay_len,
            row.seq,
            row.ack,
            row.tsval,
            row.tsecr,
            row.wnd,
            row.flags,
            row.kind,
            row.tcp_flags,
            row.aux,
        )
    burst.count = count


def _l4_offset(frame: Data) -> int:
    """Offset of the transport header; 0 if there is no IPv4 header within `frame`."""
    if len(frame) < ETH_HLEN + IP_HLEN or frame[ETH_HLEN] >> 4 != 4:
        return 0
    l4 = ETH_HLEN + (frame[ETH_HLEN] & 15) * 4
    return l4 if ETH_HLEN + IP_HLEN <= l4 <= len(frame) else 0


def header_len(frame: bytes) -> int:
    """Bytes of link, IPv4 and transport header of a TCP or UDP frame that can be segmented, else 0."""
    l4 = _l4_offset(frame)
    if l4 == 0 or len(frame) < l4 + UDP_HLEN or _TWO.unpack_from(frame, ETH_HLEN + 6)[0] & 0x3FFF:
        return 0
    if frame[ETH_HLEN + 9] == PROTO_UDP:
        return l4 + UDP_HLEN
    if frame[ETH_HLEN + 9] != PROTO_TCP or len(frame) < l4 + TCP_HLEN:
        return 0
    header = (frame[l4 + 12] >> 4) * 4
    return l4 + header if header >= TCP_HLEN and l4 + header <= len(frame) else 0


def _can_segment(head: Data, l4: int, gso: int, gso_size: int) -> bool:
    """The headers are those of one TCP segment or UDP datagram, and a piece of it is a possible datagram."""
    if l4 == 0 or len(head) > HEADER_ROOM or not 0 < gso_size <= 0xFFFF - len(head) + ETH_HLEN:
        return False
    if gso == GSO_UDP_L4:
        return head[ETH_HLEN + 9] == PROTO_UDP and len(head) == l4 + UDP_HLEN
    return (
        gso == GSO_TCPV4
        and head[ETH_HLEN + 9] == PROTO_TCP
        and len(head) >= l4 + TCP_HLEN
        and (head[l4 + 12] >> 4) * 4 == len(head) - l4
    )


def _fill_ip(head: memoryview, l4: int, total: int) -> None:
    _TWO.pack_into(head, ETH_HLEN + 2, total)
    _TWO.pack_into(head, ETH_HLEN + 10, 0)
    _TWO.pack_into(head, ETH_HLEN + 10, ~partial_sum(head[ETH_HLEN:l4]) & 0xFFFF)


def _put_checksum(head: memoryview, field: int, total: int, protocol: int) -> None:
    checksum = ~total & 0xFFFF
    # RFC 768: zero would mean "none", so it is sent as all ones.
    _TWO.pack_into(head, field, 0xFFFF if checksum == 0 and protocol == PROTO_UDP else checksum)


def _fill_l4(head: memoryview, payload: memoryview, start: int, offset: int, partial: int) -> None:
    # Linux virtio_net_hdr: a device that adds the rest wants the pseudo-header sum, not inverted.
    length = len(head) - start + len(payload)
    total = _pseudo_sum(head[ETH_HLEN:], length)
    if offset == 6 and head[ETH_HLEN + 9] == PROTO_UDP:
        _TWO.pack_into(head, start + 4, length & 0xFFFF)  # RFC 768
    _TWO.pack_into(head, start + offset, total if partial else 0)
    if not partial:
        total = partial_sum(bytes(head[start:]) + bytes(payload), total)
        _put_checksum(head, start + offset, total, head[ETH_HLEN + 9])


def _complete_super(
    head: memoryview, payload: memoryview, l4: int, gso: int, gso_size: int, caps: int, max_gso: int
) -> int:
    can = CAP_CSUM | (CAP_TSO4 if gso == GSO_TCPV4 else CAP_USO)
    total = len(head) - ETH_HLEN + len(payload)
    if caps & can != can or len(payload) > max_gso or total > 0xFFFF:
        return (len(payload) + gso_size - 1) // gso_size << 16
    _fill_ip(head, l4, total)
    _fill_l4(head, payload, l4, 16 if gso == GSO_TCPV4 else 6, 1)
    # Linux: CWR goes with the first segment only if GSO_ECN says so.
    if gso == GSO_TCPV4 and head[l4 + 13] & TCP_CWR:
        gso |= GSO_ECN
    return 1 << 16 | gso << 8 | VNET_NEEDS_CSUM


def _complete_single(
    head: memoryview, payload: memoryview, l4: int, flags: int, csum_start: int, csum_offset: int, caps: int
) -> int:
    total = len(head) - ETH_HLEN + len(payload)
    if flags & FILL_IP:
        if l4 == 0 or total > 0xFFFF:
            return 0
        _fill_ip(head, l4, total)
    if not flags & (NEEDS_CSUM | PARTIAL_CSUM):
        return 1 << 16
    field = csum_start + csum_offset
    if csum_start > 0xFFFF or csum_offset > 0xFFFF or field + 2 > len(head):
        return 0
    if flags & PARTIAL_CSUM:
        if caps & CAP_CSUM:
            return 1 << 16 | VNET_NEEDS_CSUM
        sum_all = partial_sum(bytes(head[csum_start:]) + bytes(payload))
        _put_checksum(head, field, sum_all, head[ETH_HLEN + 9] if l4 and l4 == csum_start else 0)
        return 1 << 16
    if l4 == 0 or csum_start < l4:
        return 0
    _fill_l4(head, payload, csum_start, csum_offset, caps & CAP_CSUM)
    return 1 << 16 | (VNET_NEEDS_CSUM if caps & CAP_CSUM else 0)


def tx_complete(
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
    caps: int,
    max_gso: int,
) -> int:
    """Complete `header[start:end]` in place, in front of `payload[pay_off : pay_off + pay_len]`.

    Returns wire frames << 16 | virtio gso_type << 8 | virtio flags; 0 for a frame that cannot be sent.
    """
    if not (0 <= start <= end <= len(header) and pay_off >= 0 and 0 <= pay_len <= len(payload) - pay_off):
        return 0
    if end - start > TX_LIMIT or pay_len > TX_LIMIT:
        return 0
    with memoryview(header) as whole, whole[start:end] as head:
        text = memoryview(payload)[pay_off : pay_off + pay_len]
        l4 = _l4_offset(head)
        gso = gso_type & ~GSO_ECN
        if gso == GSO_NONE:
            return _complete_single(head, text, l4, flags, csum_start, csum_offset, caps)
        if (
            not _can_segment(head, l4, gso, gso_size)
            or csum_start != l4
            or csum_offset != (16 if gso == GSO_TCPV4 else 6)
            or pay_len // gso_size >= 0xFFFF
        ):
            return 0
        if pay_len > gso_size:
            return _complete_super(head, text, l4, gso, gso_size, caps, max_gso)
        # One wire frame after all: its checksum is made anew, whatever stands in the field.
        return _complete_single(head, text, l4, FILL_IP | NEEDS_CSUM, csum_start, csum_offset, caps)


def tx_wire(frame: TxFrame) -> bytes:
    """The frame as it is on a wire; b"" if it is more than one, or cannot be sent."""
    how = tx_complete(
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
        0,
        0,
    )
    if how != 1 << 16:
        return b""
    end = frame.payload_off + frame.payload_len
    return bytes(frame.header[frame.start : frame.header_end]) + bytes(frame.payload[frame.payload_off : end])


def tx_emit(
    header: bytearray,
    start: int,
    end: int,
    payload: Data,
    pay_off: int,
    pay_len: int,
    gso_type: int,
    gso_size: int,
    caps: int,
    index: int,
) -> bytes:
    """Wire frame `index` of a super-segment that `tx_complete` has seen; b"" if there is none."""
    if not (0 <= start <= end <= len(header) and pay_off >= 0 and 0 <= pay_len <= len(payload) - pay_off):
        return b""
    head = memoryview(bytearray(header[start:end]))
    l4 = _l4_offset(head)
    gso = gso_type & ~GSO_ECN
    offset = index * gso_size
    if not _can_segment(head, l4, gso, gso_size) or offset >= pay_len:
        return b""
    text = memoryview(payload)[pay_off + offset : pay_off + min(offset + gso_size, pay_len)]
    # RFC 791 §3.2: an identification of its own
    _TWO.pack_into(head, ETH_HLEN + 4, (_TWO.unpack_from(head, ETH_HLEN + 4)[0] + index) & 0xFFFF)
    _fill_ip(head, l4, len(head) - ETH_HLEN + len(text))
    if gso == GSO_TCPV4:
        _FOUR.pack_into(head, l4 + 4, (_FOUR.unpack_from(head, l4 + 4)[0] + offset) & 0xFFFFFFFF)
        if offset + gso_size < pay_len:
            head[l4 + 13] &= ~TCP_FIN_PSH & 0xFF
        if index > 0:
            head[l4 + 13] &= ~TCP_CWR & 0xFF  # RFC 3168 §6.1.2: one CWR per reduction
        _fill_l4(head, text, l4, 16, caps & CAP_CSUM)
    else:
        _TWO.pack_into(head, l4 + 4, UDP_HLEN + len(text))
        _fill_l4(head, text, l4, 6, caps & CAP_CSUM)
    return bytes(head) + bytes(text)
