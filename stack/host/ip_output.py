"""IPv4 of a host, the way out: interfaces, addresses, routes, Paths, fragments.

Theory of operation.  `generation` is one number that stands for everything a Path was computed from; it is the sum of
the counters of its parts (`_sync`).  `output` compares it, writes the Path's prefix in front of the transport header
and hands the frame to the device: nothing else happens per segment.  When the number differs, `_renew` looks up what
changed; when the neighbour's link address is not known, `_hold` completes the frame and leaves it in the neighbour
table until it is.

A datagram that fits its path is sent with DF set and identification 0 (atomic, RFC 6864 §4.1); one that does not is
fragmented by us, with DF clear and an identification of its own.  TCP is never fragmented.

Errors that belong to a transport are left in `errors`; frames to ourselves in `reinjected`.  The Host drains both.
"""

from collections.abc import Callable
from typing import Final

from stack.config import NEVER, IpConfig, Rng
from stack.errors import (
    AddressInUse,
    AddressNotAvailable,
    ConfigError,
    InvalidAddress,
    NetworkUnreachable,
    NoBufferSpace,
    StackError,
)
from stack.host.arp_layer import ArpLayer
from stack.host.interface import Interface
from stack.host.loopback import LOOPBACK_MTU, LoopSink
from stack.ip import output as out
from stack.ip.neighbors import Neighbor, NeighborTable
from stack.ip.output import FLAGS_AT, IDENT_AT, IP_OFF, PREFIX_LEN, PROTO_AT, START, TOS_AT, TTL_AT, Path
from stack.ip.pmtu import PmtuTable, plateau_below
from stack.ip.routes import Route, RouteTable, choose_source
from stack.stats import Counter, DropReason, Stats
from stack.trace import Trace
from stack.wire import accel, ipv4
from stack.wire.addr import (
    ALL_HOSTS,
    LIMITED_BROADCAST,
    MAC_BROADCAST,
    MAC_ZERO,
    format_addr,
    is_multicast,
    is_unicast,
    multicast_mac,
    prefix_mask,
)
from stack.wire.burst import Burst
from stack.wire.ethernet import HLEN as ETH_HLEN
from stack.wire.frame import ECT, FILL_IP, L4_OFF, NEEDS_CSUM, Caps, TxFrame
from stack.wire.icmp import ErrorKind, TransportError, parse_quoted
from stack.wire.sink import FrameSink
from stack.wire.udp import pseudo_sum

ANY_FLOW: Final = -1  # in place of a flow's key
MAX_PATHS: Final = 4096
MAX_ERRORS: Final = 256
MAX_GROUPS: Final = 256  # per interface
ECT_0: Final = 2  # RFC 3168 §5: ECN-capable transport
_SEND_FLAGS: Final = FILL_IP | NEEDS_CSUM
_NO_OFFLOAD: Final = Caps()


class IpOutput:
    """See the head of this file.  `IpLayer` adds the way in."""

    __slots__ = (
        "_changes",
        "_frame",
        "_ident",
        "_loops",
        "_paths",
        "arp",
        "config",
        "deadline",
        "errors",
        "generation",
        "interfaces",
        "local_addrs",
        "neighbors",
        "pmtu",
        "reinjected",
        "rng",
        "routes",
        "stats",
        "takes",
        "trace",
    )

    def __init__(self, config: IpConfig, rng: Rng, stats: Stats, trace: Trace | None = None) -> None:
        self.config = config
        self.rng = rng
        self.stats = stats
        self.trace = trace
        self.interfaces: dict[int, Interface] = {}
        self.local_addrs: dict[int, int] = {}  # address -> ifindex
        self.takes: Callable[[int, int], bool] | None = None  # see `let_through`
        self.routes = RouteTable()
        self.arp = ArpLayer(config, rng, stats, self.interfaces, self.local_addrs)
        self.neighbors: NeighborTable = self.arp.neighbors
        self.pmtu = PmtuTable(config.pmtu_timeout_us)
        self.errors: list[TransportError] = []
        self.reinjected: list[tuple[int, Burst]] = []  # (ifindex, one-frame burst)
        self.generation = 1
        self.deadline = NEVER
        self._changes = 1  # of addresses, interfaces and path MTUs
        self._paths: dict[tuple[int, int], Path] = {}  # (destination, source or 0 for any)
        self._loops: dict[int, LoopSink] = {}
        self._frame = TxFrame()
        self._ident = rng.getrandbits(16)

    # --- configuration ---------------------------------------------------------------------------------------------

    def add_interface(self, name: str, sink: FrameSink, mac: bytes, mtu: int, now: int) -> int:  # noqa: ARG002
        """Attach a device; `mtu` in IP bytes.  Returns the interface index, from 1.  Raises ConfigError."""
        if len(mac) != 6 or mac[0] & 1 or mac == MAC_ZERO:
            raise ConfigError(f"interface {name}: {mac.hex(':')} is not a unicast link address")
        if not ipv4.MIN_MTU <= mtu <= ipv4.MAX_TOTAL:
            raise ConfigError(f"interface {name}: an MTU of {mtu} cannot be used: use 68 to 65535")
        if any(i.name == name for i in self.interfaces.values()):
            raise ConfigError(f"there is an interface {name} already")
        ifindex = max(self.interfaces, default=0) + 1
        self.interfaces[ifindex] = Interface(ifindex, name, sink, mac, mtu)
        if sink.caps.bare_ip:
            self.neighbors.add_direct(ifindex)
        self._loops[ifindex] = LoopSink(ifindex, mac, self.reinjected)
        self._changed()
        return ifindex

    def remove_interface(self, ifindex: int, now: int) -> None:
        """Detach a device with its addresses, routes and neighbours."""
        interface = self._interface(ifindex)
        for addr, _ in interface.addrs:
            self.remove_address(ifindex, addr, now)
        del self.interfaces[ifindex]
        del self._loops[ifindex]
        self.routes.remove_interface(ifindex)
        self.neighbors.forget_interface(ifindex)
        self._changed()

    def set_mtu(self, ifindex: int, mtu: int) -> None:
        """The device has another MTU now.  Raises ConfigError."""
        interface = self._interface(ifindex)
        if not ipv4.MIN_MTU <= mtu <= ipv4.MAX_TOTAL:
            raise ConfigError(f"interface {interface.name}: an MTU of {mtu} cannot be used: use 68 to 65535")
        interface.mtu = mtu
        self._changed()

    def set_sink(self, ifindex: int, sink: FrameSink) -> None:
        """Another way to the same device, of the same capabilities.  Raises ConfigError."""
        interface = self._interface(ifindex)
        if sink.caps is not interface.sink.caps:
            raise ConfigError(f"interface {interface.name}: its device has other capabilities")
        interface.sink = sink
        self._changed()

    def add_address(self, ifindex: int, addr: int, prefix_len: int, now: int) -> None:
        """Give an interface an address and the route to its subnet; starts RFC 5227 probing, if the link
        has a link layer.

        Raises InvalidAddress, AddressInUse.
        """
        interface = self._interface(ifindex)
        host_bits = 0 if prefix_len >= 31 else ~prefix_mask(prefix_len) & 0xFFFF_FFFF
        if not is_unicast(addr) or not 1 <= prefix_len <= 32 or (host_bits and addr & host_bits in (0, host_bits)):
            raise InvalidAddress(f"{format_addr(addr)}/{prefix_len} cannot be the address of a host")
        if any(addr == a for i in self.interfaces.values() for a, _ in i.addrs):
            raise AddressInUse(f"{format_addr(addr)} is an address of this host already")
        interface.set_addrs([*interface.addrs, (addr, prefix_len)])
        self.routes.add(Route(addr, prefix_len, ifindex, src=addr))
        if not interface.bare_ip:
            self.arp.claim(interface, addr, prefix_len, now)
        # DEVIATES RFC 5227 §2.1: by default the address is used while it is being probed, as RFC 4429 does for
        # IPv6: a host on a TAP is up at once; a conflict found by the probes still takes the address away.
        if interface.bare_ip or self.config.arp_optimistic or not self.config.arp_probe:
            self.local_addrs[addr] = ifindex
        self._changed()

    def remove_address(self, ifindex: int, addr: int, now: int) -> None:  # noqa: ARG002
        """Take an address away, with the route to its subnet when no other address is in it.  Raises InvalidAddress."""
        interface = self._interface(ifindex)
        kept = [(a, n) for a, n in interface.addrs if a != addr]
        if len(kept) == len(interface.addrs):
            raise InvalidAddress(f"{format_addr(addr)} is not an address of {interface.name}")
        prefix_len = next(n for a, n in interface.addrs if a == addr)
        interface.set_addrs(kept)
        self.local_addrs.pop(addr, None)
        self.arp.release(addr)
        self.routes.remove(addr, prefix_len, ifindex, 0)
        for other, n in kept:
            if n == prefix_len and (other ^ addr) & prefix_mask(n) == 0:
                self.routes.add(Route(other, n, ifindex, src=other))
                break
        self._changed()

    def add_route(
        self,
        prefix: int,
        prefix_len: int,
        *,
        gateway: int = 0,
        ifindex: int = 0,
        metric: int = 0,
        src: int = 0,
        mtu: int = 0,
    ) -> None:
        """Add a route; without `ifindex` it leads where `gateway` is on the link.

        Raises InvalidAddress, ConfigError.
        """
        if not 0 <= prefix_len <= 32:
            raise InvalidAddress(f"a prefix length of {prefix_len} cannot be used: use 0 to 32")
        if mtu and not ipv4.MIN_MTU <= mtu <= ipv4.MAX_TOTAL:
            raise ConfigError(f"a route MTU of {mtu} cannot be used: use 68 to 65535")
        if gateway:
            via = self.routes.lookup(gateway, ifindex)
            if via is None or via.gateway or gateway in self.local_addrs:
                raise InvalidAddress(f"the gateway {format_addr(gateway)} is not on a link of this host")
            ifindex = via.ifindex
        self._interface(ifindex)
        if not self.routes.add(Route(prefix, prefix_len, ifindex, gateway=gateway, metric=metric, src=src, mtu=mtu)):
            raise ConfigError("the route table is full")
        self._sync()

    def remove_route(self, prefix: int, prefix_len: int, *, gateway: int | None = None, ifindex: int = 0) -> int:
        """Remove matching routes; returns how many."""
        removed = self.routes.remove(prefix, prefix_len, ifindex, gateway)
        self._sync()
        return removed

    def join_group(self, ifindex: int, group: int) -> None:
        """Accept datagrams to a multicast group on an interface.  Raises InvalidAddress, NoBufferSpace."""
        groups = self._interface(ifindex).groups
        if not is_multicast(group):
            raise InvalidAddress(f"{format_addr(group)} is not a multicast group")
        if len(groups) >= MAX_GROUPS:
            raise NoBufferSpace("too many multicast groups")
        groups.add(group)

    def leave_group(self, ifindex: int, group: int) -> None:
        """No longer accept a group; all of one host stay in 224.0.0.1 (RFC 1112 §7.2)."""
        self._interface(ifindex).groups -= {group} - {ALL_HOSTS}

    def let_through(self, takes: Callable[[int, int], bool]) -> None:
        """TCP segments to (address, key of the flow) for which `takes` says so are for this host, although the address
        is not: what it has transparent listeners for.  From now on TCP may answer from such addresses.
        """
        self.takes = takes

    def takes_flow(self, laddr: int, key: int) -> bool:
        """Whether segments of a flow are for this host although the address is not; ANY_FLOW: of any flow there."""
        return self.takes is not None and self.takes(laddr, key)

    def takes_error(self, err: TransportError) -> bool:
        """Whether an error is about a segment that this host has sent from an address of others."""
        key = err.raddr << 32 | err.rport << 16 | err.lport
        return err.proto == ipv4.PROTO_TCP and self.takes_flow(err.laddr, key)

    def is_local(self, addr: int) -> bool:
        """One of our own addresses, on any interface."""
        return addr in self.local_addrs

    def _interface(self, ifindex: int) -> Interface:
        interface = self.interfaces.get(ifindex)
        if interface is None:
            raise ConfigError(f"there is no interface with index {ifindex}")
        return interface

    # --- paths -----------------------------------------------------------------------------------------------------

    def path(self, dst: int, src: int = 0) -> Path:
        """How to reach `dst`; `src` 0 lets IP choose the source (`Path.src` tells).  RFC 1122 §3.3.1, §3.3.4.3.

        Raises NetworkUnreachable, AddressNotAvailable.
        """
        path = self._paths.get((dst, src))
        if path is not None and path.routed == self.generation:
            return path
        if src and src not in self.local_addrs and self.takes is None:
            raise AddressNotAvailable(f"{format_addr(src)} is not an address of this host")
        interface, chosen, kind, route = self._choose(dst, src)
        path = self._paths.get((dst, chosen))
        if path is None:
            path = Path(dst, chosen, interface.sink)
            self._remember((dst, chosen), path)
        self._route(path, interface, kind, route)
        if src == 0:
            self._remember((dst, 0), path)
        return path

    def reply_path(self, dst: int, src: int) -> Path | None:
        """As `path`, to answer a peer: no way back to it is its fault, so it is counted and None returned."""
        try:
            return self.path(dst, src)
        except StackError:
            self.stats.drops[DropReason.IP_NO_ROUTE] += 1
            return None

    def _remember(self, key: tuple[int, int], path: Path) -> None:
        while len(self._paths) >= MAX_PATHS and key not in self._paths:
            del self._paths[next(iter(self._paths))]
        self._paths[key] = path

    def _choose(self, dst: int, src: int) -> tuple[Interface, int, int, Route | None]:
        """(interface, source, kind, route) for a destination.  Raises NetworkUnreachable, AddressNotAvailable."""
        own = self.local_addrs.get(dst)
        if own is not None:
            return self.interfaces[own], src or dst, out.LOCAL, None
        from_if = self.local_addrs.get(src, 0) if src else 0
        group = dst == LIMITED_BROADCAST or is_multicast(dst)
        if not group and not is_unicast(dst):
            raise NetworkUnreachable(f"{format_addr(dst)} is not the address of a host")
        # RFC 1122 §3.3.4.2, strong model: a datagram leaves by the interface that owns its source.
        route = self.routes.lookup(dst, from_if)
        if route is None and from_if and self.config.forwarding:
            route = self.routes.lookup(dst)
        if route is None and group:
            interface = self.interfaces.get(from_if) or next((i for i in self.interfaces.values() if i.addrs), None)
        else:
            interface = self.interfaces.get(route.ifindex) if route is not None else None
        if interface is None:
            raise NetworkUnreachable(f"no route to {format_addr(dst)}")
        if interface.bare_ip and (dst == LIMITED_BROADCAST or dst in interface.broadcasts):
            raise NetworkUnreachable(f"{format_addr(dst)}: {interface.name} carries IP packets only, no broadcasts")
        if not src:
            usable = [(a, n) for a, n in interface.addrs if a in self.local_addrs]
            preferred = route.src if route is not None and route.src in self.local_addrs else 0
            src = preferred or choose_source(usable, route.next_hop(dst) if route is not None else dst)
            if not src:
                raise AddressNotAvailable(f"interface {interface.name} has no usable address")
        if group:
            return interface, src, out.MULTICAST if is_multicast(dst) else out.BROADCAST, route
        return interface, src, out.BROADCAST if dst in interface.broadcasts else out.UNICAST, route

    def _route(self, path: Path, interface: Interface, kind: int, route: Route | None) -> None:
        """Fill in what follows from the choice; the prefix comes when it is used."""
        path.ifindex = interface.index
        path.kind = kind
        path.sink = interface.sink if kind != out.LOCAL else self._loops[interface.index]
        path.caps = path.sink.caps
        path.next_hop = route.next_hop(path.dst) if route is not None and kind == out.UNICAST else path.dst
        path.link_mtu = interface.mtu if kind != out.LOCAL else LOOPBACK_MTU
        if route is not None and route.mtu:
            path.link_mtu = min(path.link_mtu, route.mtu)
        path.mtu = self.pmtu.get(path.dst, path.link_mtu)
        path.generation = 0
        path.routed = self.generation

    def _renew(self, path: Path, now: int) -> Neighbor | None:
        """Bring a Path up to date.  None when its prefix can be used; else the neighbour that must answer first.

        Raises StackError when there is no way any more.
        """
        if path.routed != self.generation:
            if path.src not in self.local_addrs and self.takes is None:
                raise AddressNotAvailable(f"{format_addr(path.src)} is no longer an address of this host")
            interface, _, kind, route = self._choose(path.dst, path.src)
            self._route(path, interface, kind, route)
        interface = self.interfaces[path.ifindex]
        if path.kind == out.UNICAST:
            entry = self.neighbors.use(path.ifindex, path.next_hop, now)
            mac = entry.mac
            self.arp.pump(now)
            self._sync()
            path.routed = self.generation
            if not entry.is_usable():
                path.build_prefix(MAC_ZERO, interface.mac, self.config.ttl)
                return entry
        elif path.kind == out.LOCAL:
            mac = interface.mac
        else:
            mac = multicast_mac(path.dst) if path.kind == out.MULTICAST else MAC_BROADCAST
        # RFC 1112 §6.1: a multicast goes no further than the link unless the application says so
        path.build_prefix(mac, interface.mac, 1 if path.kind == out.MULTICAST else self.config.ttl)
        path.generation = self.generation
        return None

    def set_path_mtu(self, dst: int, mtu: int, now: int) -> bool:
        """A transport believes that the path to `dst` carries only `mtu` bytes.  RFC 1191 §3.  False: no news."""
        if not self.pmtu.lower(dst, mtu, now):
            return False
        self._changed()
        return True

    def pmtu_of_error(self, err: TransportError) -> int:
        """The MTU that a FRAG_NEEDED error means: told by the router, or a plateau below what was sent (1191-2).

        RFC 1191 §5.
        """
        return err.mtu or plateau_below(err.total)

    def confirm(self, path: Path, now: int) -> None:
        """A transport sees progress on this path: its first hop is alive.  RFC 1122 §2.3.2.1, RFC 4861 §7.3.1."""
        entry = self.neighbors.get(path.ifindex, path.next_hop)
        if entry is not None:
            self.neighbors.confirm(entry, now)
            self._sync()

    def negative_advice(self, path: Path, now: int) -> None:
        """A transport retransmits in vain (RFC 9293 §3.8.3, R1): check the first hop.  RFC 1122 §3.3.1.4."""
        entry = self.neighbors.get(path.ifindex, path.next_hop)
        if entry is not None:
            self.neighbors.doubt(entry, now)
            self.arp.pump(now)
            self._sync()

    # --- output ----------------------------------------------------------------------------------------------------

    def output(self, path: Path, frame: TxFrame, now: int, tos: int = 0, ttl: int = 0) -> None:
        """Send one TCP segment (or super-segment).  The frame has its TCP header at L4_OFF; `ttl` 0: the default."""
        held = None
        if path.generation != self.generation:
            try:
                held = self._renew(path, now)
            except StackError:
                self._unroutable(path, ipv4.PROTO_TCP, frame)
                return
        header = frame.header
        header[START:L4_OFF] = path.prefix
        if frame.flags & ECT:
            tos |= ECT_0
        if tos:
            header[TOS_AT] = tos
        if ttl:
            header[TTL_AT] = ttl
        frame.start = START
        frame.csum_start = PREFIX_LEN
        frame.flags = _SEND_FLAGS
        if held is None:
            if not path.sink.send(frame):
                self.stats.drops[DropReason.TX_DEVICE_FULL] += 1
        else:
            self._hold(held, frame)

    def output_datagram(self, path: Path, proto: int, frame: TxFrame, now: int, tos: int = 0, ttl: int = 0) -> bool:
        """Send one UDP or ICMP datagram, in fragments if need be.  False: it could not be sent (counted).

        The frame has its transport header at L4_OFF, `flags` NEEDS_CSUM with `csum_offset`, or 0 when its checksum is
        final.
        """
        held = None
        if path.generation != self.generation:
            try:
                held = self._renew(path, now)
            except StackError:
                self._unroutable(path, proto, frame)
                return False
        header = frame.header
        header[START:L4_OFF] = path.prefix
        header[PROTO_AT] = proto
        if tos:
            header[TOS_AT] = tos
        if ttl:
            header[TTL_AT] = ttl
        frame.start = START
        length = frame.header_end - L4_OFF + frame.payload_len
        if length + ipv4.HLEN > path.mtu:
            return self._fragment(path, frame, length, held)
        frame.csum_start = PREFIX_LEN
        frame.flags |= FILL_IP
        if held is None:
            return path.sink.send(frame) or self.device_full()
        return self._hold(held, frame)

    def device_full(self) -> bool:
        """Count a frame that its device did not take; False."""
        self.stats.drops[DropReason.TX_DEVICE_FULL] += 1
        return False

    def _fragment(self, path: Path, frame: TxFrame, length: int, held: Neighbor | None) -> bool:
        """RFC 791 §3.2, RFC 1122 §3.3.5 (IP-9).  The frame's IP header and payload are as for a whole datagram."""
        if length + ipv4.HLEN > ipv4.MAX_TOTAL:
            self.stats.drops[DropReason.IP_FRAG_TOO_LONG] += 1
            return False
        header = frame.header
        if frame.flags & NEEDS_CSUM:
            _finish_checksum(path, frame, length)
        # RFC 6864 §4.2, §4.3 (IP-7): an identification that is not used again for 65535 datagrams
        self._ident = (self._ident + 1) & 0xFFFF
        header[IDENT_AT:FLAGS_AT] = self._ident.to_bytes(2, "big")
        header[FLAGS_AT:TTL_AT] = b"\0\0"
        whole = bytes(header[IP_OFF:L4_OFF])
        l4_header = bytes(header[L4_OFF : frame.header_end])
        payload_off = frame.payload_off
        waiting: list[bytes] = []
        frame.flags = FILL_IP
        for ip_header, offset, size in out.fragment(whole, length, path.mtu):
            header[IP_OFF:L4_OFF] = ip_header
            frame.header_end = L4_OFF if offset else L4_OFF + len(l4_header)
            frame.payload_off = payload_off + offset - len(l4_header) if offset else payload_off
            frame.payload_len = size if offset else size - len(l4_header)
            self.stats.counts[Counter.IP_FRAGS_CREATED] += 1
            if held is None:
                if not path.sink.send(frame):
                    self.stats.drops[DropReason.TX_DEVICE_FULL] += 1
            else:
                waiting += [item[0] for item in accel.finish(frame, _NO_OFFLOAD)]
        return held is None or self.enqueue(held, waiting)

    def _hold(self, entry: Neighbor, frame: TxFrame) -> bool:
        """Keep a frame until its neighbour answers; bounded.  RFC 1122 §2.3.2.2 (ARP-5)."""
        return self.enqueue(entry, [item[0] for item in accel.finish(frame, _NO_OFFLOAD)])

    def enqueue(self, entry: Neighbor, frames: list[bytes]) -> bool:
        """Keep the complete frames of one packet until its next hop answers."""
        if not frames:
            return False
        if self.neighbors.enqueue(entry, frames):
            return True
        self._unresolved(frames[0])
        return False

    # --- errors ----------------------------------------------------------------------------------------------------

    def report(self, err: TransportError) -> None:
        """Leave an error for the Host; bounded, the surplus is lost as ICMP messages may be."""
        if len(self.errors) < MAX_ERRORS:
            self.errors.append(err)

    def _unroutable(self, path: Path, proto: int, frame: TxFrame) -> None:
        self.stats.drops[DropReason.IP_NO_ROUTE] += 1
        header = frame.header
        self.report(
            TransportError(
                ErrorKind.NET_UNREACHABLE,
                proto,
                path.src,
                int.from_bytes(header[L4_OFF : L4_OFF + 2], "big"),
                path.dst,
                int.from_bytes(header[L4_OFF + 2 : L4_OFF + 4], "big"),
                seq=int.from_bytes(header[L4_OFF + 4 : L4_OFF + 8], "big"),
                local=True,
            )
        )

    def _unresolved(self, frame: bytes) -> None:
        """A frame could not be sent as its next hop does not answer.  RFC 1122 §2.3.2.2 (ARP-7)."""
        err = parse_quoted(ErrorKind.HOST_UNREACHABLE, 1, frame[ETH_HLEN:])
        if err is not None:
            err.local = True
            self.report(err)

    # --- time ------------------------------------------------------------------------------------------------------

    def touch(self) -> None:
        """A part was changed from outside; Paths are checked before their next use."""
        self._sync()

    def _changed(self) -> None:
        self._changes += 1
        self._sync()

    def _sync(self) -> None:
        """Recompute `generation` and `deadline`; to be called after anything that may change either."""
        self.generation = self._changes + self.routes.generation + self.neighbors.generation
        self.deadline = min(self.arp.deadline, self.routes.deadline, self.pmtu.deadline)

    def on_timer(self, now: int) -> None:
        """Run what is due."""
        for held in self.arp.on_timer(now):
            if held.addr not in self.local_addrs:
                self.local_addrs[held.addr] = held.ifindex
                self._changed()
        self._settle_arp(now)
        self.routes.on_timer(now)
        if self.pmtu.on_timer(now):
            self._changes += 1
        self._sync()

    def _settle_arp(self, now: int) -> None:
        """Act on what ARP found: neighbours that do not answer, gateways dead or alive again, addresses lost."""
        neighbors = self.neighbors
        while neighbors.failures:
            entry, frames = neighbors.failures.pop()
            self.routes.mark_gateway(entry.ifindex, entry.addr, now, dead=True)
            for frame in frames:
                self._unresolved(frame)
        while neighbors.recovered:
            entry = neighbors.recovered.pop()
            self.routes.mark_gateway(entry.ifindex, entry.addr, now, dead=False)
        while self.arp.lost:
            held = self.arp.lost.pop()
            self.remove_address(held.ifindex, held.addr, now)
        self._sync()


def _finish_checksum(path: Path, frame: TxFrame, length: int) -> None:
    """Complete the UDP checksum in software: no device can do it over fragments."""
    header = frame.header
    at = L4_OFF + frame.csum_offset
    header[at : at + 2] = b"\0\0"
    total = accel.partial_sum(
        header[L4_OFF : frame.header_end], pseudo_sum(path.src, path.dst, header[PROTO_AT], length)
    )
    payload = memoryview(frame.payload)[frame.payload_off : frame.payload_off + frame.payload_len]
    # RFC 768 (UDP-2): a sum of zero is sent as all ones
    header[at : at + 2] = (accel.checksum(payload, total) or 0xFFFF).to_bytes(2, "big")
