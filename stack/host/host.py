"""One TCP/IP host, sans I/O: frames and time in, frames, events and a deadline out.

Theory of operation.  Whoever drives a Host gives it bursts of received frames (`receive`) and the passing of
time (`on_timer`), takes the events for the application (`poll_events`) and lets it send (`poll_transmit`);
`deadline` says when it wants to be called at the latest.  All output goes straight to the sinks of the
interfaces.  Nothing in here or below reads a clock, a socket or a random source.

`receive` is the packet path: one loop over the rows that the C core parsed.  A TCP segment for one of our
addresses goes to its connection from here; all other rows go to the IP layer.  Order within a pass: every
received segment is processed before the application is told, and it is told before delayed ACKs go out
(RFC 9293 §3.8.6.3, MUST-58, MUST-59), so that its answer carries them.
"""

from collections.abc import Callable
from typing import Final, cast

from mypy_extensions import mypyc_attr

from stack.config import HostConfig, Rng, TcpConfig
from stack.errors import AddressNotAvailable, ConnectionReset
from stack.host.icmp_layer import IcmpEcho
from stack.host.ip_layer import IpLayer, Row
from stack.host.tcp_layer import TcpLayer
from stack.stats import Counter, DropReason, Stats
from stack.tcp import state
from stack.tcp.arrival import DROP_SHIFT, ENDED, STOP
from stack.tcp.connection import Connection
from stack.tcp.listener import Listener
from stack.tcp.memory import CONNECTION_BYTES
from stack.tcp.receiver import ACK_NOW, ADVICE
from stack.tcp.segment import CE, URG, Segment
from stack.trace import Trace
from stack.udp.endpoint import UdpEndpoint
from stack.wire.addr import format_addr
from stack.wire.burst import (
    KIND_TCP,
    ROW,
    ROW_BAD_CSUM,
    ROW_CE,
    ROW_IPOPTS,
    ROW_LINK_GROUP,
    ROW_OPTS,
    ROW_TS,
    Burst,
)
from stack.wire.ipv4 import PROTO_TCP, PROTO_UDP
from stack.wire.sink import FrameSink
from stack.wire.steering import Steering

Endpoint = Connection | Listener | UdpEndpoint | IcmpEcho  # what has events, and a `user` who is told of them

_ODD_IP: Final = ROW_IPOPTS | ROW_LINK_GROUP  # rows that IP must agree to first
_ODD_TCP: Final = ROW_OPTS | ROW_CE  # rows of which more than the row is needed
_PROTO_AT: Final = 23  # of a frame: the protocol, in the IPv4 header behind the link header
_SPECIAL: Final = ACK_NOW | ADVICE
_OPEN: Final = (state.SYN_SENT, state.ESTABLISHED, state.FIN_WAIT_1, state.FIN_WAIT_2)  # no FIN has come
# counted per burst: an IntEnum is slow to look up and to index with
_IN_SEGS: Final = int(Counter.TCP_IN_SEGS)
_ROW_SIZE: Final = ROW.size
# reasons that the layers only count: those of ARP, of fragments and of what is above IP
_ARP_FIRST: Final = int(DropReason.ARP_MALFORMED)
_ARP_LAST: Final = int(DropReason.ARP_FAILED)
_FRAG_FIRST: Final = int(DropReason.IP_FRAG_OVERLAP)


@mypyc_attr(allow_interpreted_subclasses=True)
class Host:
    """See the head of this file.  `rng` decides everything random; times are integer microseconds."""

    __slots__ = ("_seg", "config", "ip", "on_wake", "stats", "tcp", "trace")

    def __init__(self, config: HostConfig, rng: Rng, now: int = 0, trace: Trace | None = None) -> None:
        config.validate()
        self.config = config
        self.stats = Stats()
        self.trace = trace
        self.ip = IpLayer(config.ip, rng, self.stats, trace, port_range=config.port_range)
        self.tcp = TcpLayer(config, rng, self.stats, self.ip, now)
        self._seg = Segment()
        self.on_wake: Callable[[], None] | None = None  # for a driver that sleeps while nothing is due

    # -- configuration

    def add_interface(self, name: str, sink: FrameSink, mac: bytes, mtu: int, now: int) -> int:
        """Attach a device; returns its interface index.  Raises ConfigError."""
        return self.ip.add_interface(name, sink, mac, mtu, now)

    def remove_interface(self, ifindex: int, now: int) -> None:
        """Detach a device with its addresses and routes."""
        self.ip.remove_interface(ifindex, now)

    def set_mtu(self, ifindex: int, mtu: int) -> None:
        """The device has another MTU now; flows follow with their next segment.  Raises ConfigError."""
        self.ip.set_mtu(ifindex, mtu)

    def set_sink(self, ifindex: int, sink: FrameSink) -> None:
        """Send by `sink`, of the same capabilities, from now on.  Raises ConfigError."""
        self.ip.set_sink(ifindex, sink)

    def set_trace(self, trace: Trace | None) -> None:
        """Tell `trace` from now on, or nobody."""
        self.trace = self.ip.trace = trace

    def add_address(self, ifindex: int, addr: int, prefix_len: int, now: int) -> None:
        """Give an interface an address.  Raises InvalidAddress, AddressInUse."""
        self.ip.add_address(ifindex, addr, prefix_len, now)

    def add_route(self, prefix: int, prefix_len: int, gateway: int = 0, ifindex: int = 0, metric: int = 0) -> None:
        """Add a route.  Raises InvalidAddress, ConfigError."""
        self.ip.add_route(prefix, prefix_len, gateway=gateway, ifindex=ifindex, metric=metric)

    def share(self, steering: Steering, hand_on: Callable[[int, bytes], None] | None = None) -> None:
        """The addresses are shared with other processes, each of which is given the packets of its own flows.

        Local ports are then chosen so that what comes back comes to this process.  In process 0
        `hand_on(process, frame)` takes what came there and concerns another one: answers of ARP, ICMP about its flows,
        its datagrams that came in fragments.
        """
        self.ip.share(steering, hand_on)
        self.tcp.ports.steering = steering

    # -- the packet path

    def receive(self, ifindex: int, burst: Burst, now: int) -> None:
        """Process the frames of a burst that came in by interface `ifindex`."""
        tcp, ip, seg = self.tcp, self.ip, self._seg
        flows, local, drops = tcp.flows, ip.local_addrs, self.stats.drops
        seg.pool = burst.pool
        index, segments = -1, 0
        flags: int  # these two are looked at more than once: the compiled form then does it without objects
        kind: int
        for row in ROW.iter_unpack(memoryview(burst.rows)[: burst.count * _ROW_SIZE]):
            index += 1
            (key, dst, seg.off, seg.length, seg.seq, seg.ack, seg.tsval, seg.tsecr, seg.wnd, flags, kind, seg.flags,
             _) = row  # fmt: skip
            if kind != KIND_TCP:
                self._on_row(ifindex, burst, index, row, now)
                continue
            if (local.get(dst) != ifindex or flags & _ODD_IP) and not ip.accept(ifindex, burst, index, row, now):
                continue
            if flags & ROW_BAD_CSUM:
                drops[DropReason.TCP_CHECKSUM] += 1  # RFC 9293 §3.1 (MUST-3)
                if self.trace is not None:
                    self.trace.on_drop(DropReason.TCP_CHECKSUM, index)
                continue
            segments += 1
            seg.has_ts = bool(flags & ROW_TS)
            if flags & _ODD_TCP or seg.flags & URG:
                self._unusual_header(burst, index, flags)
            else:
                seg.options = b""
            table = flows.get(dst)
            conn = table.get(key) if table is not None else None
            if conn is None:
                # RFC 9293 §3.9.2.3 (MUST-57, MUST-63): IP looks at the source before anybody answers it
                if ip.accept(ifindex, burst, index, row, now):
                    self._on_stray(dst, key, index, now)
                continue
            actions = conn.on_segment(seg, now)
            if actions >= STOP:
                # ended by a segment before it in this burst, or because of it
                if actions & ENDED or (conn.parent is not None and tcp.gives_way(conn, seg, now)):
                    tcp.on_late(conn, seg, now)
                    continue
                if self.trace is not None and actions >> DROP_SHIFT:  # else finished with, like the last ACK
                    self.trace.on_drop(actions >> DROP_SHIFT, index)
            # the usual part of TcpLayer.after
            if actions & _SPECIAL or actions >= STOP or conn.parent is not None:
                tcp.after(conn, actions, now)
                continue
            if actions and not conn.host_queued:
                conn.host_queued = True
                tcp.ready.append(conn)
            if conn.events and not conn.host_evented:
                conn.host_evented = True
                tcp.evented.append(conn)
            if conn.timers.deadline < conn.host_at:
                tcp.timers.update(conn)
        ip.end_burst(burst.count)
        self.stats.counts[_IN_SEGS] += segments
        if ip.errors or ip.reinjected:
            self._settle(now)

    def _on_row(self, ifindex: int, burst: Burst, index: int, row: Row, now: int) -> None:
        """A row that is not TCP's.  The layers above IP only count what they drop: a trace is told from here."""
        trace = self.trace
        if trace is None:
            self.ip.on_row(ifindex, burst, index, row, now)
            return
        before = self.stats.drops[:]
        self.ip.on_row(ifindex, burst, index, row, now)
        self._tell_drops(before, index, trace)

    def _on_stray(self, dst: int, key: int, index: int, now: int) -> None:
        """The segment is of no connection."""
        trace = self.trace
        before = self.stats.drops[:] if trace is not None else self.stats.drops
        self.tcp.on_stray(self._seg, dst, key, now)
        if trace is not None:
            self._tell_drops(before, index, trace)

    def _tell_drops(self, before: list[int], index: int, trace: Trace) -> None:
        """Those reasons that have been counted since `before` and that no layer has told by itself."""
        for reason, count in enumerate(self.stats.drops):
            if count != before[reason] and (_ARP_FIRST <= reason <= _ARP_LAST or reason >= _FRAG_FIRST):
                trace.on_drop(reason, index)

    def _unusual_header(self, burst: Burst, index: int, flags: int) -> None:
        """Options besides timestamps and the urgent pointer are read from the frame; IP's mark joins the flags."""
        seg = self._seg
        if flags & ROW_CE:
            seg.flags |= CE
        off, _, _, l4_off = burst.meta_at(index)[:4]
        start = off + l4_off
        seg.options = burst.pool[start + 20 : start + (burst.pool[start + 12] >> 4) * 4] if flags & ROW_OPTS else b""
        seg.up = burst.pool[start + 18] << 8 | burst.pool[start + 19]

    def _settle(self, now: int) -> None:
        """Errors and looped frames that the IP layer left for us; bounded per call."""
        ip = self.ip
        if ip.errors:
            errors, ip.errors = ip.errors, []
            for err in errors:
                self.tcp.on_error(err, now)
        if ip.reinjected:
            bursts = ip.reinjected[:]
            ip.reinjected.clear()
            for ifindex, burst in bursts:
                self.receive(ifindex, burst, now)

    # -- time and output

    @property
    def deadline(self) -> int:
        """When `on_timer` wants to be called; NEVER when nothing is pending."""
        ip = self.ip
        if ip.reinjected or ip.errors:
            return 0
        tcp = self.tcp
        at = tcp.timers.deadline
        if ip.deadline < at:
            at = ip.deadline
        records = tcp.time_waits.records
        if records:
            at = min(at, next(iter(records.values())).expires_at)
        return at

    def on_timer(self, now: int) -> None:
        """Let time pass."""
        if self.ip.deadline <= now:
            self.ip.on_timer(now)
        self.tcp.on_timer(now)
        self._settle(now)

    def poll_events(self) -> list[Endpoint]:
        """Endpoints with events since the last call."""
        tcp, ready = self.tcp, self.ip.ready
        if not tcp.evented and not ready:
            return []
        found = cast("list[Endpoint]", tcp.evented)
        tcp.evented = []
        for endpoint in found:
            if isinstance(endpoint, Connection):
                endpoint.host_evented = False
        if ready:
            found += cast("list[Endpoint]", ready)
            ready.clear()
        return found

    def poll_transmit(self, now: int) -> bool:
        """Send what is to be sent; True when another pass is wanted: there is more than one pass's share, or new events
        came about.
        """
        tcp, ip = self.tcp, self.ip
        more = tcp.poll_transmit(now)
        if ip.errors or ip.reinjected:
            self._settle(now)
        return more or bool(tcp.ready or tcp.evented or ip.ready)

    def wake(self, endpoint: object) -> None:
        """The application did something with `endpoint`: it is polled by the next `poll_transmit`."""
        if isinstance(endpoint, Connection):
            self.tcp.wake(endpoint)
        if self.on_wake is not None:
            self.on_wake()

    # -- endpoints

    def connect(
        self, raddr: int, rport: int, laddr: int = 0, lport: int = 0, config: TcpConfig | None = None, now: int = 0
    ) -> Connection:
        """Active OPEN; CONNECTED or CLOSED follows in the connection's events.  Raises NetworkUnreachable,
        AddressNotAvailable, AddressInUse, InvalidAddress, ConnectionRefused for port 0.  RFC 9293 §3.10.1.
        """
        steering = self.tcp.ports.steering
        if steering is not None and lport and not self.ip.is_local(raddr):
            src = self.ip.path(raddr, laddr).src
            if not steering.is_mine(PROTO_TCP, raddr, rport, src, lport):
                owner = steering.owner(PROTO_TCP, raddr, rport, src, lport)
                raise AddressNotAvailable(
                    f"what {format_addr(raddr)}:{rport} sends to port {lport} is for process {owner}, and this is "
                    f"process {steering.index} of {steering.count}: connect from port 0"
                )
        return self.tcp.connect(raddr, rport, laddr, lport, config, now)

    def peer_gone(self, raddr: int) -> int:
        """It is known that the host at `raddr` is no more: connections to it end with ConnectionReset, which is what it
        would answer once it was there again (RFC 9293 §3.5.1).  Left to their timers are those whose end the peer has
        sent, and those with data that the application has not read yet.  Returns how many ended.
        """
        found = [
            conn
            for table in self.tcp.flows.values()
            for conn in table.values()
            if conn.remote_addr == raddr and conn.state in _OPEN and not conn.rcv.queued
        ]
        for conn in found:
            conn.fail(ConnectionReset("the peer has gone"))
            self.wake(conn)
        return len(found)

    def listen(
        self,
        laddr: int,
        port: int,
        backlog: int = 128,
        config: TcpConfig | None = None,
        now: int = 0,  # noqa: ARG002 - as every call of the application
        *,
        accepting: bool = True,
        share: bool = False,
    ) -> Listener:
        """Passive OPEN on `laddr` (0: every address) and `port` (0: a free one).  With `accepting` False the port is
        only taken, until the listener's `accepting` is set; those that all `share` it have its connections in turn.

        Raises AddressInUse, AddressNotAvailable, InvalidAddress.
        """
        return self.tcp.listen(laddr, port, backlog, config, accepting=accepting, share=share)

    def listen_anywhere(
        self,
        prefix: int = 0,
        prefix_len: int = 0,
        port: int = 0,
        backlog: int = 128,
        config: TcpConfig | None = None,
        *,
        accepting: bool = True,
    ) -> Listener:
        """A transparent listener: it has the connections to every address of a prefix but this host's own, on `port`,
        or on every port with 0; `local_addr` and `local_port` of a connection are what the peer wanted.  Routers
        between must lead the packets here.  What no transparent listener has is forwarded or dropped as ever.

        Raises AddressInUse, InvalidAddress.
        """
        return self.tcp.listen_anywhere(prefix, prefix_len, port, backlog, config, accepting=accepting)

    def unlisten(self, listener: Listener, now: int) -> None:
        """Close a listener; connections that it had not handed out are reset."""
        self.tcp.unlisten(listener, now)

    def udp_open(
        self,
        laddr: int = 0,
        lport: int = 0,
        now: int = 0,  # noqa: ARG002 - as every call of the application
        *,
        reuse: bool = False,
        broadcast: bool = False,
    ) -> UdpEndpoint:
        """Bind a UDP endpoint.  Raises AddressInUse, AddressNotAvailable, NoBufferSpace."""
        return self.ip.udp.open(laddr, lport, reuse=reuse, broadcast=broadcast)

    def udp_connect(self, endpoint: UdpEndpoint, raddr: int, rport: int) -> None:
        """Fix the peer of an endpoint."""
        self.ip.udp.connect(endpoint, raddr, rport)

    def udp_send(self, endpoint: UdpEndpoint, data: bytes, raddr: int, rport: int, now: int) -> None:
        """Send one datagram.  Raises MessageTooLong, NetworkUnreachable, ..."""
        self.ip.udp.send(endpoint, data, raddr, rport, now)

    def udp_close(self, endpoint: UdpEndpoint) -> None:
        """Give the port back."""
        self.ip.udp.close(endpoint)

    def datagrams_wait(self) -> bool:
        """Whether datagrams that were sent wait until it is known where their next hop is."""
        return any(frames[0][_PROTO_AT] == PROTO_UDP for frames in self.ip.neighbors.waiting())

    def icmp_open(self) -> IcmpEcho:
        """An endpoint that sends echo requests."""
        return self.ip.open_echo()

    def connections(self) -> list[Connection]:
        """All connections."""
        return [conn for table in self.tcp.flows.values() for conn in table.values()]

    def snapshot(self) -> dict[str, object]:
        """What `tapstack status` shows, but for the connections."""
        return {
            **self.ip.snapshot(),
            "tcp": self.tcp.snapshot(),
            "drops": self.stats.drops_by_name(),
            "counters": self.stats.counts_by_name(),
        }

    def check_invariants(self) -> None:
        """Raise AssertionError when a connection or a table is inconsistent (tests and simulation)."""
        count = booked = 0
        for laddr, table in self.tcp.flows.items():
            for key, conn in table.items():
                assert (conn.local_addr, conn.host_key) == (laddr, key)
                conn.check_invariants()
                count += 1
                booked += CONNECTION_BYTES + conn.booked()
        assert count == self.tcp.n_conns
        self.tcp.budget.spares.check_invariants()
        assert booked == self.tcp.budget.used, f"{booked} bytes are held, {self.tcp.budget.used} booked"
