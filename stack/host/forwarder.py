"""Passing on what is for others (RFC 1812), when `IpConfig.forwarding` is set.

Theory of operation.  IP's `accept` has verified source, options and the link-level destination.  Here the destination
is looked up (one dict probe for a destination seen lately), the TTL is lowered and the frame goes out with its offload
metadata: a super-segment stays one if the outgoing device can carry it, else the device cuts it.  The MTU is compared
with what will be on the wire.

Most frames are like the one before: same next hop, no super-segment, short enough.  A run of these is given to the
device in one call (`FrameSink.pass_on`), at the latest when the burst ends.  Any other frame is sent by itself, after
the run before it, so that nothing is overtaken.

OMITS RFC 1812 §4.2.2.2, §5.2.4.1: record route and timestamp options pass unchanged, as RFC 7126 lets operators do.
"""

from struct import Struct
from typing import Final

from stack.host.icmp_layer import IcmpLayer
from stack.host.interface import Interface
from stack.host.ip_output import IpOutput
from stack.ip import forward as rules
from stack.ip.forward import Hop
from stack.ip.output import fragment
from stack.stats import Counter, DropReason
from stack.wire import accel, icmp
from stack.wire.addr import prefix_mask
from stack.wire.burst import META, ROW_GSO, ROW_IPOPTS, Burst
from stack.wire.ethernet import HLEN as ETH_HLEN
from stack.wire.frame import FILL_IP, L4_OFF, Caps, TxFrame
from stack.wire.passing import load

MAX_HOPS: Final = 4096
MAX_UNDELIVERABLE: Final = 256
_NO_OFFLOAD: Final = Caps()
_ODD: Final = ROW_GSO | ROW_IPOPTS  # rows with these flags are looked at more closely
_PLACE: Final = Struct("<II")  # the beginning of META: off, len
_TTL_OFF: Final = ETH_HLEN + 8


class Forwarder:
    """See the head of this file."""

    # fmt: off
    __slots__ = (
        "_broadcasts", "_broadcasts_at", "_burst", "_count", "_first", "_frame", "_hop", "_hops", "_icmp", "_ip",
        "undeliverable",
    )
    # fmt: on

    def __init__(self, ip: IpOutput, icmp_layer: IcmpLayer) -> None:
        self._ip = ip
        self._icmp = icmp_layer
        self._frame = TxFrame()
        self._hops: dict[int, Hop] = {}
        self._broadcasts: frozenset[int] = frozenset()
        self._broadcasts_at = 0  # the generation they were collected at
        self.undeliverable: list[bytes] = []  # packets whose next hop does not answer
        # the run: `_count` rows of `_burst` from `_first` on, for `_hop`
        self._burst: Burst | None = None
        self._hop: Hop | None = None
        self._first = self._count = 0

    def forward(self, came_by: Interface, burst: Burst, index: int, row: tuple[int, ...], now: int) -> None:
        """Pass one datagram on, or drop it, count it and tell its sender."""
        ip = self._ip
        dst = row[1]
        hop = self._hops.get(dst)
        if hop is not None and hop.generation == ip.generation and not row[9] & _ODD and hop.ifindex != came_by.index:
            off, length = _PLACE.unpack_from(burst.meta, index * META.size)
            if length <= hop.longest and burst.pool[off + _TTL_OFF] >= rules.MIN_TTL:
                self._join(burst, index, hop)
                return
        self.send_run()
        self._forward(came_by, burst, index, row, now)

    def _join(self, burst: Burst, index: int, hop: Hop) -> None:
        """The frame continues the run, or begins one."""
        if hop is self._hop and index == self._first + self._count and burst is self._burst:
            self._count += 1
            return
        self.send_run()
        self._burst, self._hop, self._first, self._count = burst, hop, index, 1

    def send_run(self) -> None:
        """Send what waits; at the end of each burst."""
        burst, hop = self._burst, self._hop
        if burst is None or hop is None:
            return
        self._burst = self._hop = None
        ip = self._ip
        ip.stats.counts[Counter.IP_FORWARDED] += self._count
        lost = ip.interfaces[hop.ifindex].sink.pass_on(burst, self._first, self._count, hop.link)
        ip.stats.drops[DropReason.TX_DEVICE_FULL] += lost

    def _forward(self, came_by: Interface, burst: Burst, index: int, row: tuple[int, ...], now: int) -> None:
        """One datagram, whatever it is."""
        ip = self._ip
        off, length, l3_off = burst.meta_at(index)[:3]
        dst = row[1]
        packet_at = off + l3_off
        reason = rules.refusal(dst, burst.pool[packet_at + 8], self._directed_broadcasts())
        if reason:
            self._refuse(reason, burst.pool[packet_at : off + length], now)
            return
        hop = self._hops.get(dst)
        if hop is None or hop.generation != ip.generation:
            hop = self._find_hop(dst, now)
            if hop is None:
                ip.stats.drops[DropReason.IP_NO_ROUTE] += 1
                self._icmp.send_error(icmp.UNREACHABLE, icmp.NET, burst.pool[packet_at : off + length], now)
                return
        total = burst.pool[packet_at + 2] << 8 | burst.pool[packet_at + 3]
        data = burst.pool[off : packet_at + total]
        if hop.ifindex == came_by.index and ip.config.send_redirects and not came_by.bare_ip:
            self._redirect(came_by, hop, row[0] >> 32, data[l3_off:], now)
        frame = self._frame
        headers = load(frame, burst, index, hop.link)
        if not rules.needs_fragmenting(total, headers - l3_off, frame.gso_size, hop.mtu):
            ip.stats.counts[Counter.IP_FORWARDED] += 1
            self._send(hop, now)
        elif rules.is_df(data[l3_off:]):
            # RFC 1812 §4.2.2.7, RFC 1191 §4: the sender is told the MTU of the next hop
            ip.stats.drops[DropReason.IP_NEEDS_FRAG] += 1
            self._icmp.send_error(icmp.UNREACHABLE, icmp.FRAGMENTATION_NEEDED, data[l3_off:], now, second=hop.mtu)
        else:
            ip.stats.counts[Counter.IP_FORWARDED] += 1
            self._send_fragments(hop, now)
        self.report_undeliverable(now)

    def report_undeliverable(self, now: int) -> None:
        """RFC 1812 §5.2.7.1, §3.3.2: a next hop that does not answer is host unreachable."""
        while self.undeliverable:
            self._icmp.send_error(icmp.UNREACHABLE, icmp.HOST, self.undeliverable.pop(), now)

    def _refuse(self, reason: int, packet: bytes, now: int) -> None:
        self._ip.stats.drops[reason] += 1
        if reason == DropReason.IP_TTL_EXPIRED:
            self._icmp.send_error(icmp.TIME_EXCEEDED, icmp.TTL_EXCEEDED, packet, now)

    def _directed_broadcasts(self) -> frozenset[int]:
        ip = self._ip
        if self._broadcasts_at != ip.generation:
            self._broadcasts = frozenset[int]().union(*(i.broadcasts for i in ip.interfaces.values()))
            self._broadcasts_at = ip.generation
        return self._broadcasts

    def _find_hop(self, dst: int, now: int) -> Hop | None:
        """Where to; a Hop of generation 0 is not to be used again: its neighbour has not answered yet."""
        ip = self._ip
        route = ip.routes.lookup(dst)
        interface = ip.interfaces.get(route.ifindex) if route is not None else None
        if route is None or interface is None:
            return None
        next_hop = route.next_hop(dst)
        entry = ip.neighbors.use(interface.index, next_hop, now)
        ip.arp.pump(now)
        ip.touch()
        hop = Hop(
            interface.index,
            next_hop,
            min(interface.mtu, route.mtu or interface.mtu),
            entry.mac + interface.mac,
            ip.generation if entry.is_usable() else 0,
        )
        if hop.generation:
            while len(self._hops) >= MAX_HOPS:
                del self._hops[next(iter(self._hops))]
            self._hops[dst] = hop
        return hop

    def _redirect(self, came_by: Interface, hop: Hop, src: int, packet: bytes, now: int) -> None:
        """The sender could reach the next hop itself.  RFC 1812 §5.2.7.2: it is told, and the datagram goes on."""
        if any((src ^ a) & prefix_mask(n) == 0 and (hop.next_hop ^ a) & prefix_mask(n) == 0 for a, n in came_by.addrs):
            self._icmp.send_error(
                icmp.REDIRECT, icmp.REDIRECT_HOST, packet, now, ident=hop.next_hop >> 16, second=hop.next_hop & 0xFFFF
            )

    def _send(self, hop: Hop, now: int) -> None:
        ip = self._ip
        if hop.generation:
            if not ip.interfaces[hop.ifindex].sink.send(self._frame):
                ip.stats.drops[DropReason.TX_DEVICE_FULL] += 1
            return
        entry = ip.neighbors.use(hop.ifindex, hop.next_hop, now)
        ip.enqueue(entry, [item[0] for item in accel.finish(self._frame, _NO_OFFLOAD)])

    def _send_fragments(self, hop: Hop, now: int) -> None:
        """RFC 1812 §4.2.2.7.  A super-segment is first cut into its segments."""
        ip = self._ip
        frame = self._frame
        waiting: list[bytes] = []
        for item in accel.finish(frame, _NO_OFFLOAD):
            data = item[0]
            l4_off = ETH_HLEN + (data[ETH_HLEN] & 15) * 4
            for header, offset, size in fragment(data[ETH_HLEN:l4_off], len(data) - l4_off, hop.mtu):
                frame.start = L4_OFF - ETH_HLEN - len(header)
                frame.header[frame.start : L4_OFF] = data[:ETH_HLEN] + header
                frame.header_end = L4_OFF
                frame.payload = data
                frame.payload_off = l4_off + offset
                frame.payload_len = size
                frame.flags = FILL_IP
                frame.gso_type = frame.gso_size = 0
                ip.stats.counts[Counter.IP_FRAGS_CREATED] += 1
                if hop.generation:
                    if not ip.interfaces[hop.ifindex].sink.send(frame):
                        ip.stats.drops[DropReason.TX_DEVICE_FULL] += 1
                else:
                    waiting += [done[0] for done in accel.finish(frame, _NO_OFFLOAD)]
        if waiting:
            ip.enqueue(ip.neighbors.use(hop.ifindex, hop.next_hop, now), waiting)
