"""Putting fragments together (RFC 791 §3.2, RFC 1122 §3.3.2), and refusing those that only attack.

Theory of operation.  Datagrams in progress are keyed by (src, dst, protocol, identification) and live for a fixed time
from their first fragment, so they expire in the order of the table.  Fragments are kept sorted and never overlap:

* an exact duplicate is harmless and ignored;
* any other overlap, or a second end that differs from the first, condemns the whole datagram: its data is dropped and
  an empty entry swallows what still comes (RFC 5722 §3, applied to IPv4);
* a first fragment too small to hold the transport header is refused (RFC 1858 §3.1, RFC 3128).

Memory is accounted with a fixed cost per fragment and per datagram, so that tiny fragments cannot hide theirs; when the
host's budget is exceeded the oldest datagrams go.
"""

from bisect import bisect_left
from collections import OrderedDict
from typing import Final

from stack.config import NEVER, IpConfig
from stack.stats import Counter, DropReason, Stats
from stack.wire import ipv4

FRAGMENT_COST: Final = 128
DATAGRAM_COST: Final = 512
_MIN_FIRST: Final = {ipv4.PROTO_TCP: 20, ipv4.PROTO_UDP: 8, ipv4.PROTO_ICMP: 8}

Key = tuple[int, int, int, int]


class Datagram:
    """One datagram in progress, or complete."""

    __slots__ = (
        "condemned",
        "cost",
        "end",
        "expires_at",
        "first_header",
        "got",
        "ifindex",
        "key",
        "offsets",
        "pieces",
        "tos",
    )

    def __init__(self, key: Key, ifindex: int, expires_at: int) -> None:
        self.key = key
        self.ifindex = ifindex
        self.expires_at = expires_at
        self.offsets: list[int] = []
        self.pieces: list[bytes] = []
        self.got = 0  # bytes held
        self.end = -1  # length of the whole payload, -1 until the last fragment came
        self.first_header = b""  # IP header of fragment 0
        self.tos = 0
        self.condemned = False
        self.cost = DATAGRAM_COST

    def payload(self) -> bytes:
        """The IP payload of a complete datagram."""
        return b"".join(self.pieces)

    def header(self) -> bytes:
        """The IP header of a complete datagram as if it had never been cut; checksum zero."""
        first = self.first_header
        return (
            first[:1]
            + bytes((self.tos,))
            + (len(first) + self.end).to_bytes(2, "big")
            + first[4:6]
            + b"\0\0"
            + first[8:10]
            + b"\0\0"
            + first[12:]
        )


class Reassembly:
    """The datagrams in progress of one host."""

    __slots__ = ("_config", "_stats", "_table", "used")

    def __init__(self, config: IpConfig, stats: Stats) -> None:
        self._config = config
        self._stats = stats
        self._table: OrderedDict[Key, Datagram] = OrderedDict()
        self.used = 0  # bytes, costs included

    def __len__(self) -> int:
        return len(self._table)

    def on_fragment(self, ifindex: int, header: bytes, data: bytes, now: int) -> Datagram | None:
        """Take one fragment: its whole IP header (valid) and its payload.  The datagram when it is complete."""
        ip = ipv4.parse(header)
        if ip is None:
            return None
        self._stats.counts[Counter.IP_FRAGS_RECEIVED] += 1
        offset = (ip.flags_offset & ipv4.OFFSET_MASK) * 8
        more = bool(ip.flags_offset & ipv4.MF)
        reason = self._refusal(ip, offset, len(data), more=more)
        if reason:
            self._stats.drops[reason] += 1
            return None
        key = (ip.src, ip.dst, ip.proto, ip.ident)
        datagram = self._table.get(key)
        if datagram is None:
            datagram = Datagram(key, ifindex, now + self._config.reassembly_timeout_us)
            self._table[key] = datagram
            self.used += datagram.cost
        if datagram.condemned or not self._place(datagram, offset, data, more=more):
            self._condemn(datagram)
            return None
        self._note_header(datagram, header, ip, first=offset == 0)
        if datagram.got == datagram.end:
            del self._table[key]
            self.used -= datagram.cost
            self._stats.counts[Counter.IP_REASSEMBLED] += 1
            return datagram
        self._make_room()
        return None

    @staticmethod
    def _refusal(ip: ipv4.Header, offset: int, size: int, *, more: bool) -> int:
        """Why this fragment is refused by itself, else 0."""
        if size == 0 or (more and size & 7):
            return DropReason.IP_FRAG_BAD_LENGTH
        if offset + size > ipv4.MAX_TOTAL - ip.hlen:
            return DropReason.IP_FRAG_TOO_LONG
        if offset == 0 and size < _MIN_FIRST.get(ip.proto, 0):
            return DropReason.IP_FRAG_TINY
        if offset == 8 and ip.proto == ipv4.PROTO_TCP:
            # RFC 3128 §4: it could only overwrite the TCP flags
            return DropReason.IP_FRAG_TINY
        return 0

    @staticmethod
    def _place(datagram: Datagram, offset: int, data: bytes, *, more: bool) -> bool:
        """Store a fragment.  False for an overlap or a contradiction; True also for an exact duplicate."""
        end = offset + len(data)
        if not more:
            if datagram.end not in (-1, end):
                return False
            datagram.end = end
        if datagram.end != -1 and (end > datagram.end or (more and end == datagram.end)):
            return False
        offsets, pieces = datagram.offsets, datagram.pieces
        i = bisect_left(offsets, offset)
        if i < len(offsets):
            if offsets[i] == offset and pieces[i] == data:
                return True
            if offsets[i] < end:
                return False
            if not more:
                return False  # something is held beyond the end
        if i > 0 and offsets[i - 1] + len(pieces[i - 1]) > offset:
            return False
        offsets.insert(i, offset)
        pieces.insert(i, data)
        datagram.got += len(data)
        return True

    def _note_header(self, datagram: Datagram, header: bytes, ip: ipv4.Header, *, first: bool) -> None:
        if first and not datagram.first_header:
            datagram.first_header = header[: ip.hlen]
        # RFC 3168 §5.3: one CE mark marks the whole
        ce = ip.tos & 3 == 3 or datagram.tos & 3 == 3
        tos = ip.tos if first else datagram.tos
        datagram.tos = tos | 3 if ce else tos
        cost = DATAGRAM_COST + datagram.got + FRAGMENT_COST * len(datagram.pieces)
        self.used += cost - datagram.cost
        datagram.cost = cost

    def _condemn(self, datagram: Datagram) -> None:
        self._stats.drops[DropReason.IP_FRAG_OVERLAP] += 1
        datagram.condemned = True
        datagram.offsets.clear()
        datagram.pieces.clear()
        self.used -= datagram.cost - DATAGRAM_COST
        datagram.cost = DATAGRAM_COST

    def _make_room(self) -> None:
        while self.used > self._config.reassembly_bytes or len(self._table) > self._config.reassembly_datagrams:
            _, victim = self._table.popitem(last=False)
            self.used -= victim.cost
            self._stats.drops[DropReason.IP_FRAG_MEMORY] += 1

    @property
    def deadline(self) -> int:
        """When the oldest datagram times out."""
        return next(iter(self._table.values())).expires_at if self._table else NEVER

    def on_timer(self, now: int) -> list[tuple[int, bytes]]:
        """Drop what timed out.  Returns (ifindex, packet beginning) of those whose fragment 0 was seen.

        RFC 1122 §3.3.2 (IP-4): only about these a time exceeded may be sent.
        """
        reports = []
        while self._table and self.deadline <= now:
            _, datagram = self._table.popitem(last=False)
            self.used -= datagram.cost
            self._stats.drops[DropReason.IP_FRAG_TIMEOUT] += 1
            if datagram.first_header and not datagram.condemned:
                reports.append((datagram.ifindex, datagram.first_header + datagram.pieces[0]))
        return reports
