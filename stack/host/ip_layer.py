"""IPv4 of a host, the way in: who a received packet is for (RFC 791, RFC 1122 §3.2.1, RFC 1812 §5.3).

Theory of operation.  `on_row` takes every received row but the TCP segments that the Host recognises itself.  The
usual case, a unicast datagram for an address of the interface it came in by, from a possible source, passes a dict
lookup and a few comparisons; all else goes through `accept`, which drops (and counts), forwards, or agrees.  What is
accepted goes to ICMP, UDP or reassembly; a reassembled TCP segment comes back as a one-frame burst in `reinjected`.

Endpoints whose event mask became non-zero are in `ready`; errors for TCP in `errors`.  The Host drains both.
"""

from collections.abc import Callable
from typing import Final

from stack.config import IpConfig, Rng
from stack.host.forwarder import MAX_UNDELIVERABLE, Forwarder
from stack.host.icmp_layer import IcmpEcho, IcmpLayer
from stack.host.ip_output import ANY_FLOW, IpOutput
from stack.host.loopback import LoopBurst
from stack.host.udp_layer import UdpLayer
from stack.ip.reassembly import Datagram, Reassembly
from stack.stats import Counter, DropReason, Stats
from stack.trace import Trace
from stack.wire import accel, arp, icmp, ipv4
from stack.wire.addr import LIMITED_BROADCAST, MAC_ZERO, format_addr, is_multicast, is_unicast
from stack.wire.burst import (
    KIND_ARP,
    KIND_DROP,
    KIND_ICMP,
    KIND_IP_FRAG,
    KIND_TCP,
    KIND_UDP,
    ROW_BAD_CSUM,
    ROW_IPOPTS,
    ROW_LINK_GROUP,
    Burst,
)
from stack.wire.ethernet import HLEN as ETH_HLEN
from stack.wire.ethernet import TYPE_IPV4, pack_header
from stack.wire.frame import VNET_NEEDS_CSUM
from stack.wire.icmp import TransportError
from stack.wire.steering import Steering

MAX_REINJECTED: Final = 256
UNUSUAL: Final = ROW_IPOPTS | ROW_LINK_GROUP  # rows with these flags need `accept`

_RX_FRAMES: Final = int(Counter.RX_FRAMES)
_IN_DELIVERS: Final = int(Counter.IP_IN_DELIVERS)  # a plain int indexes a list faster than an IntEnum

Row = tuple[int, ...]


class IpLayer(IpOutput):
    """All of IP of one host.  See the head of this file and of `ip_output.py`."""

    __slots__ = ("_forwarder", "_hand_on", "_impossible_sources", "_steering", "icmp", "ready", "reassembly", "udp")

    def __init__(
        self,
        config: IpConfig,
        rng: Rng,
        stats: Stats,
        trace: Trace | None = None,
        *,
        port_range: tuple[int, int] = (32_768, 60_999),
    ) -> None:
        super().__init__(config, rng, stats, trace)
        self.ready: list[object] = []  # UdpEndpoint and IcmpEcho objects with events
        self.reassembly = Reassembly(config, stats)
        self.icmp = IcmpLayer(self, self.ready, self._deliver_error)
        self.udp = UdpLayer(self, rng, self.ready, port_range)
        self._forwarder = Forwarder(self, self.icmp)
        self._steering: Steering | None = None  # of a host that shares its addresses with other processes
        self._hand_on: Callable[[int, bytes], None] | None = None  # in process 0 of these
        self._impossible_sources: frozenset[int] = frozenset()  # our own addresses and those of our subnets' broadcasts

    def share(self, steering: Steering, hand_on: Callable[[int, bytes], None] | None) -> None:
        """As `Host.share`."""
        self._steering = self.udp.steering = steering
        self._hand_on = hand_on if not steering.index else None

    def _is_others(self, owner: int, frame: bytes) -> bool:
        """Hand a frame on to process `owner`, -1 for all; whether it is not for us."""
        if self._steering is not None and self._hand_on is not None:
            for process in self._steering.others(owner):
                self._hand_on(process, frame)
        return owner > 0

    # --- input -----------------------------------------------------------------------------------------------------

    def on_row(self, ifindex: int, burst: Burst, index: int, row: Row, now: int) -> None:
        """Take one received frame that is not TCP (for those the Host asks `accept`)."""
        kind = row[10]
        src = row[0] >> 32
        if (
            self.local_addrs.get(row[1]) != ifindex
            or row[9] & UNUSUAL
            or not 0x0100_0000 <= src < 0xE000_0000
            or src >> 24 == 127
            or src in self._impossible_sources
        ):
            if kind == KIND_ARP:
                self._on_arp(ifindex, burst, index, row, now)
                return
            if kind == KIND_DROP:
                self._on_drop(ifindex, burst, index, row, now)
                return
            if not self.accept(ifindex, burst, index, row, now):
                return
        elif kind == KIND_DROP:
            self._drop(row[12], index)
            return
        self.stats.counts[_IN_DELIVERS] += 1
        if kind == KIND_UDP:
            if not self.udp.on_row(ifindex, burst, index, row):
                self.send_unreachable(burst, index, icmp.PORT, now)
        elif kind == KIND_ICMP:
            self._on_icmp(ifindex, burst, index, row, now)
        elif kind == KIND_IP_FRAG:
            self._on_fragment(ifindex, burst, index, row, now)
        elif kind != KIND_TCP and row[12] != 2:
            # RFC 1122 §3.2.2.1 (ICMP-5).  IGMP (protocol 2) is for routers and quietly ignored.
            self._drop(DropReason.IP_UNKNOWN_PROTOCOL, index)
            self.send_unreachable(burst, index, icmp.PROTOCOL, now)

    def accept(self, ifindex: int, burst: Burst, index: int, row: Row, now: int) -> bool:
        """True when a row is for this host; else it has been forwarded, or dropped and counted.

        The Host asks for TCP rows with flags in UNUSUAL, or a destination that is not an address of the interface, or
        SYN (RFC 9293 §3.9.2.3, MUST-63: the source is verified here).
        """
        dst, flags = row[1], row[9]
        interface = self.interfaces.get(ifindex)
        if interface is None:
            return self._drop(DropReason.IP_WRONG_INTERFACE, index)
        if not self._source_ok(row[0] >> 32, burst):
            return self._drop(DropReason.IP_MARTIAN_SOURCE, index)
        group = dst == LIMITED_BROADCAST or dst in interface.broadcasts or dst in interface.groups
        if flags & ROW_LINK_GROUP and not group:
            # RFC 1122 §3.3.6 (IP-11), RFC 1812 §5.3.4: never answered nor forwarded
            return self._drop(DropReason.IP_NOT_OURS if is_multicast(dst) else DropReason.IP_LINK_BROADCAST, index)
        owner = self.local_addrs.get(dst)
        ours = group or owner == ifindex or (owner is not None and self.config.forwarding)
        if flags & ROW_IPOPTS and not self._options_ok(burst, index, now):
            return False
        if ours:
            if group and row[10] == KIND_TCP:
                # RFC 9293 §3.9.2.3 (MUST-57)
                return self._drop(DropReason.IP_MARTIAN_DESTINATION, index)
            return True
        if owner is not None:
            # RFC 1122 §3.3.4.2: strong end-system model
            return self._drop(DropReason.IP_WRONG_INTERFACE, index)
        if self.takes is not None and self._is_taken(burst, index, row):
            return True
        if not self.config.forwarding:
            return self._drop(DropReason.IP_NOT_OURS, index)
        self._forwarder.forward(interface, burst, index, row, now)
        return False

    def end_burst(self, count: int) -> None:
        """All rows of a burst have been taken, `count` of them."""
        self.stats.counts[_RX_FRAMES] += count
        self._forwarder.send_run()

    def _is_taken(self, burst: Burst, index: int, row: Row) -> bool:
        """Whether a row to an address of others is for a transparent listener, or about one of its connections."""
        kind = row[10]
        if kind == KIND_TCP:
            return self.takes_flow(row[1], row[0])
        if kind == KIND_IP_FRAG:
            # it has no ports: whole again, the datagram comes here once more
            return row[12] == ipv4.PROTO_TCP and self.takes_flow(row[1], ANY_FLOW)
        if kind != KIND_ICMP:
            return False
        # as NATs do (RFC 5508 §4.2): an ICMP error belongs to the flow that it quotes
        error = icmp.error_kind(row[12] >> 8, row[12] & 0xFF)
        if error is None:
            return False
        err = icmp.parse_quoted(error, 0, self._packet(burst, index)[ipv4.HLEN + icmp.HLEN :])
        return err is not None and err.laddr == row[1] and self.takes_error(err)

    def _source_ok(self, src: int, burst: Burst) -> bool:
        """One host, and not this one, unless the frame is one that we sent to ourselves.  RFC 1122 §3.2.1.3 (IP-3)."""
        if src in self._impossible_sources:
            return src in self.local_addrs and isinstance(burst, LoopBurst)
        return is_unicast(src)

    def _options_ok(self, burst: Burst, index: int, now: int) -> bool:
        """RFC 1122 §3.2.1.8 (IP-8): unknown options are ignored, wrong lengths reported, source routes refused."""
        packet = self._packet(burst, index)
        result = ipv4.check_options(packet[ipv4.HLEN : (packet[0] & 15) * 4])
        if result == ipv4.OPTIONS_OK:
            return True
        if result == ipv4.OPTIONS_SOURCE_ROUTE:
            # RFC 7126 §4.3, §4.4: packets with a source route should be dropped
            return self._drop(DropReason.IP_SOURCE_ROUTE, index)
        self._drop(DropReason.IP_BAD_OPTIONS, index)
        self.icmp.send_error(
            icmp.PARAMETER_PROBLEM,
            0,
            packet,
            now,
            link_group=self._is_group(burst, index),
            ident=(ipv4.HLEN + result) << 8,
        )
        return False

    def _drop(self, reason: int, index: int) -> bool:
        self.stats.drops[reason] += 1
        if self.trace is not None:
            self.trace.on_drop(reason, index)
        return False

    def _on_drop(self, ifindex: int, burst: Burst, index: int, row: Row, now: int) -> None:
        """A frame that the parser refused.  A router does not look at transport headers (RFC 1812 §5.2.1)."""
        reason = row[12]
        if (
            self.config.forwarding
            and DropReason.TCP_SHORT <= reason <= DropReason.ICMP_CHECKSUM
            and row[1]
            and row[1] not in self.local_addrs
            and not self.accept(ifindex, burst, index, row, now)
        ):
            return
        self._drop(reason, index)

    def _on_arp(self, ifindex: int, burst: Burst, index: int, row: Row, now: int) -> None:
        interface = self.interfaces.get(ifindex)
        if interface is not None:
            if self._hand_on is not None and burst.pool[row[2] + 7] == arp.REPLY:
                # all ask for neighbours themselves; requests are answered by one
                self._is_others(-1, burst.frame(index))
            self.arp.on_arp(interface, burst.pool[row[2] : row[2] + row[3]], now)
            self._settle_arp(now)

    def _on_icmp(self, ifindex: int, burst: Burst, index: int, row: Row, now: int) -> None:
        if row[9] & ROW_BAD_CSUM:
            self._drop(DropReason.ICMP_CHECKSUM, index)
            return
        off = row[2]
        if self._hand_on is not None and self._steering is not None:
            owner = self._steering.owner_of_icmp(burst.pool[off : off + row[3]])
            if self._is_others(owner, burst.frame(index)):
                return
        if row[9] & ROW_IPOPTS:
            meta = burst.meta_at(index)
            ip_at = meta[0] + meta[2]
        else:
            ip_at = off - ipv4.HLEN
        self.icmp.on_message(
            ifindex,
            row[0] >> 32,
            row[1],
            burst.pool[off : off + row[3]],
            burst.pool[ip_at + 8],
            burst.pool[ip_at + 1],
            now,
        )

    # --- fragments -------------------------------------------------------------------------------------------------

    def _on_fragment(self, ifindex: int, burst: Burst, index: int, row: Row, now: int) -> None:
        off, _, l3_off, l4_off = burst.meta_at(index)[:4]
        header = burst.pool[off + l3_off : off + l4_off]
        datagram = self.reassembly.on_fragment(ifindex, header, burst.pool[row[2] : row[2] + row[3]], now)
        if datagram is not None:
            self._on_reassembled(ifindex, datagram, group=bool(row[9] & ROW_LINK_GROUP), now=now)
        self._sync()

    def _on_reassembled(self, ifindex: int, datagram: Datagram, *, group: bool, now: int) -> None:
        src, dst, proto, _ = datagram.key
        header = datagram.header()
        payload = datagram.payload()
        if self._hand_on is not None and self._steering is not None:
            owner = self._steering.owner_of_datagram(header, payload)
            if owner and self._is_others(owner, self._whole(ifindex, header, payload)):
                return
        if proto == ipv4.PROTO_ICMP:
            if accel.checksum(payload) != 0:
                self._drop(DropReason.ICMP_CHECKSUM, -1)
                return
            self.icmp.on_message(ifindex, src, dst, payload, header[8], header[1], now)
        elif proto == ipv4.PROTO_UDP:
            if not self.udp.on_reassembled(ifindex, header, payload):
                self.icmp.send_error(icmp.UNREACHABLE, icmp.PORT, header + payload, now, link_group=group)
        elif proto == ipv4.PROTO_TCP:
            self._reinject(ifindex, header, payload)
        else:
            self._drop(DropReason.IP_UNKNOWN_PROTOCOL, -1)
            self.icmp.send_error(icmp.UNREACHABLE, icmp.PROTOCOL, header + payload, now, link_group=group)

    def _reinject(self, ifindex: int, header: bytes, payload: bytes) -> None:
        """A whole datagram goes once more through the parser, which does the transport header and its checksum."""
        if len(self.reinjected) >= MAX_REINJECTED:
            self._drop(DropReason.RX_NO_BUFFER, -1)
            return
        burst = Burst(0, 1)
        frame = self._whole(ifindex, header, payload)
        accel.load_burst(burst, ((frame, 0, 0, 0, 0, 0),), self.interfaces[ifindex].mac)
        self.reinjected.append((ifindex, burst))

    def _whole(self, ifindex: int, header: bytes, payload: bytes) -> bytes:
        """The frame that would have brought a reassembled datagram."""
        link = pack_header(self.interfaces[ifindex].mac, MAC_ZERO, TYPE_IPV4)
        return link + header[:10] + accel.checksum(header).to_bytes(2, "big") + header[12:] + payload

    # --- errors ----------------------------------------------------------------------------------------------------

    @staticmethod
    def _packet(burst: Burst, index: int) -> bytes:
        """A copy of the beginning of an IP packet, as much as an error quotes, as it would have been on a wire."""
        off, length, l3_off, _, vnet_flags, _, _, csum_start, csum_offset, _ = burst.meta_at(index)
        packet = burst.pool[off + l3_off : off + length]
        packet = packet[: packet[2] << 8 | packet[3]]  # without Ethernet padding
        if vnet_flags & VNET_NEEDS_CSUM:  # the kernel left the transport checksum to us
            at = csum_start - l3_off
            csum = accel.checksum(packet[at:]) or 0xFFFF
            at += csum_offset
            packet = packet[:at] + csum.to_bytes(2, "big") + packet[at + 2 :]
        return packet[: icmp.MAX_ERROR]

    @staticmethod
    def _is_group(burst: Burst, index: int) -> bool:
        return bool(burst.row_at(index)[9] & ROW_LINK_GROUP)

    def send_unreachable(self, burst: Burst, index: int, code: int, now: int) -> bool:
        """Answer a received row with destination unreachable (`icmp.PORT`, `icmp.PROTOCOL`), if allowed.  ICMP-5."""
        return self.icmp.send_error(
            icmp.UNREACHABLE, code, self._packet(burst, index), now, link_group=self._is_group(burst, index)
        )

    def report(self, err: TransportError) -> None:
        """Give an error that this host found to the transport."""
        self._deliver_error(err, 0)

    def _deliver_error(self, err: TransportError, now: int) -> bool:
        if err.proto == ipv4.PROTO_UDP:
            return self.udp.on_error(err, now)
        if err.proto == ipv4.PROTO_ICMP:
            return self.icmp.on_error(err, now)
        if err.proto == ipv4.PROTO_TCP:
            super().report(err)
            return True
        return False

    def _unresolved(self, frame: bytes) -> None:
        """Somebody else's datagram that cannot be forwarded is reported to its sender (RFC 1812 §5.2.7.1)."""
        packet = frame[ETH_HLEN:]
        if int.from_bytes(packet[12:16], "big") in self.local_addrs:
            super()._unresolved(frame)
        elif len(self._forwarder.undeliverable) < MAX_UNDELIVERABLE:
            self._forwarder.undeliverable.append(packet)

    def _changed(self) -> None:
        self._impossible_sources = frozenset(self.local_addrs).union(*(i.broadcasts for i in self.interfaces.values()))
        super()._changed()

    # --- time ------------------------------------------------------------------------------------------------------

    def _sync(self) -> None:
        super()._sync()
        self.deadline = min(self.deadline, self.reassembly.deadline)

    def on_timer(self, now: int) -> None:
        """Run what is due."""
        for _, packet in self.reassembly.on_timer(now):
            self.icmp.send_error(icmp.TIME_EXCEEDED, icmp.REASSEMBLY_EXCEEDED, packet, now)
        super().on_timer(now)
        self._forwarder.report_undeliverable(now)

    def open_echo(self) -> IcmpEcho:
        """An endpoint for `tapstack ping`."""
        return self.icmp.open_echo()

    def snapshot(self) -> dict[str, object]:
        """For `tapstack status`."""
        states = self.arp.claim_states()
        return {
            "interfaces": [i.snapshot() for i in self.interfaces.values()],
            "addresses": {format_addr(a): state for a, state in states.items()},
            "neighbors": self.neighbors.snapshot(),
            "routes": [r.snapshot() for r in self.routes],
            "pmtu": {format_addr(a): mtu for a, mtu in self.pmtu.snapshot().items()},
            "reassembly": {"datagrams": len(self.reassembly), "bytes": self.reassembly.used},
            "udp": self.udp.snapshot(),
        }
