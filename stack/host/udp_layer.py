"""UDP of a host: which endpoint a datagram belongs to, and sending (RFC 768, RFC 1122 §4.1).

Theory of operation.  `_ports` holds all endpoints by local port.  A unicast datagram goes to the most specific one
(UDP-7), found in two dicts: connected endpoints by all four numbers, the others by (local address, port) with address
0 for any.  Broadcasts and multicasts go to every endpoint on the port.  An endpoint whose event mask becomes non-zero
is put in `ready`.
"""

import errno
from typing import Final

from stack.config import IpConfig, Rng
from stack.errors import (
    AddressInUse,
    AddressNotAvailable,
    InvalidAddress,
    MessageTooLong,
    NoBufferSpace,
    NotConnected,
)
from stack.host.ip_output import IpOutput
from stack.ip import output as out
from stack.ip.output import PREFIX_LEN, START, Path
from stack.stats import Counter, DropReason
from stack.udp.endpoint import CLOSED, Datagram, UdpEndpoint
from stack.wire import accel, ipv4, udp
from stack.wire.addr import format_addr, is_multicast
from stack.wire.burst import ROW_BAD_CSUM, ROW_GSO, ROW_IPOPTS, Burst
from stack.wire.frame import FILL_IP, GSO_NONE, L4_OFF, NEEDS_CSUM, TxFrame
from stack.wire.icmp import ErrorKind, TransportError
from stack.wire.ipv4 import PROTO_UDP
from stack.wire.steering import Steering

_HEADER_END: Final = L4_OFF + udp.HLEN
_TEMPLATE_END: Final = L4_OFF + 4  # of a header: it goes up to both ports; all behind them differs
_SEND_FLAGS: Final = FILL_IP | NEEDS_CSUM
_UDP_IN: Final = int(Counter.UDP_IN)  # a plain int indexes a list faster than an IntEnum
_UDP_OUT: Final = int(Counter.UDP_OUT)
_pack_header: Final = udp.HEADER.pack_into


class UdpLayer:
    """See the head of this file."""

    __slots__ = (
        "_bound",
        "_config",
        "_connected",
        "_count",
        "_frame",
        "_ip",
        "_port_range",
        "_ports",
        "_rng",
        "_sent_from",
        "_sent_generation",
        "_sent_how",
        "_sent_path",
        "_sent_to",
        "_template",
        "ready",
        "steering",
    )

    def __init__(
        self, ip: IpOutput, rng: Rng, ready: list[object], port_range: tuple[int, int] = (32_768, 60_999)
    ) -> None:
        self._ip = ip
        self._config: IpConfig = ip.config
        self._rng = rng
        self._port_range = port_range
        self._ports: dict[int, list[UdpEndpoint]] = {}
        self._count = 0
        self._bound: dict[int, UdpEndpoint] = {}  # local address << 16 | port
        self._connected: dict[tuple[int, int], UdpEndpoint] = {}  # (row key, local address)
        self._frame = TxFrame()
        self._frame.csum_offset = udp.CSUM_OFFSET
        # the last datagram's header, for the next one of the same flow while the Path is as it was
        self._template = b""
        self._sent_from: UdpEndpoint | None = None
        self._sent_to = 0  # address << 16 | port
        self._sent_how = 0  # TOS << 8 | TTL
        self._sent_path: Path | None = None
        self._sent_generation = 0  # of it, when the template was made
        self.ready = ready
        self.steering: Steering | None = None  # of a host that shares its addresses with other processes

    # --- application -----------------------------------------------------------------------------------------------

    def open(self, laddr: int, lport: int, *, reuse: bool = False, broadcast: bool = False) -> UdpEndpoint:
        """Bind an endpoint; `lport` 0 takes a free ephemeral port.  RFC 6056 §3.3.1: chosen at random.

        Raises AddressInUse, AddressNotAvailable, NoBufferSpace.
        """
        if laddr and not (laddr in self._ip.local_addrs or is_multicast(laddr)):
            raise AddressNotAvailable(f"{format_addr(laddr)} is not an address of this host")
        if self._count >= self._config.max_udp_endpoints:
            raise NoBufferSpace("too many UDP endpoints")
        if not 0 <= lport <= 0xFFFF:
            raise InvalidAddress(f"{lport} is not a port number")
        if lport == 0:
            lport = self._free_port(laddr)
        elif not self._may_bind(laddr, lport, reuse=reuse):
            where = format_addr(laddr) if laddr else "this host"
            raise AddressInUse(f"UDP port {lport} is in use on {where}; choose another, or 0 for a free one")
        made = UdpEndpoint(
            laddr,
            lport,
            limit_bytes=self._config.udp_recv_buffer,
            limit_datagrams=self._config.udp_recv_datagrams,
            reuse=reuse,
            broadcast=broadcast,
        )
        self._ports.setdefault(lport, []).append(made)
        self._count += 1
        self._bound[laddr << 16 | lport] = made
        return made

    def _may_bind(self, laddr: int, lport: int, *, reuse: bool) -> bool:
        """A port taken for one address is taken for "any" and the reverse, unless all agree to share it."""
        return all(
            (reuse and rival.reuse) or (laddr and rival.local_addr and rival.local_addr != laddr)
            for rival in self._ports.get(lport, ())
        )

    def _free_port(self, laddr: int) -> int:
        low, high = self._port_range
        count = high - low + 1
        first = self._rng.randrange(count)
        for i in range(count):
            port = low + (first + i) % count
            if self.steering is not None and not self.steering.owns_udp_port(port):
                continue  # the answers would come to another process
            if self._may_bind(laddr, port, reuse=False):
                return port
        raise AddressNotAvailable("no ephemeral UDP port is free")

    def connect(self, endpoint: UdpEndpoint, raddr: int, rport: int) -> None:
        """Set the default destination; only datagrams and errors from there are then delivered.

        Fixes the local address.  Raises NetworkUnreachable, AddressInUse, InvalidAddress.
        """
        if not 0 < rport <= 0xFFFF:
            raise InvalidAddress(f"{rport} is not a port to connect to")
        path = self._ip.path(raddr, endpoint.local_addr)
        key = (raddr << 32 | rport << 16 | endpoint.local_port, path.src)
        if self._connected.get(key, endpoint) is not endpoint:
            raise AddressInUse("another endpoint is connected to the same peer")
        self._withdraw(endpoint)
        self._sent_from = None
        endpoint.local_addr = path.src
        endpoint.remote_addr = raddr
        endpoint.remote_port = rport
        self._connected[key] = endpoint

    def close(self, endpoint: UdpEndpoint) -> None:
        """Give the port back; what is queued can still be read."""
        if not endpoint.closed:
            endpoint.closed = True
            self._withdraw(endpoint)
            on_port = self._ports[endpoint.local_port]
            on_port.remove(endpoint)
            if not on_port:
                del self._ports[endpoint.local_port]
            self._count -= 1
            self._wake(endpoint, CLOSED)

    def _wake(self, endpoint: UdpEndpoint, event: int) -> None:
        if not endpoint.events:
            self.ready.append(endpoint)
        endpoint.events |= event

    def _withdraw(self, endpoint: UdpEndpoint) -> None:
        """Take an endpoint out of the tables that datagrams find it by."""
        laddr, port = endpoint.local_addr, endpoint.local_port
        if endpoint.remote_addr:
            del self._connected[endpoint.remote_addr << 32 | endpoint.remote_port << 16 | port, laddr]
        elif self._bound[laddr << 16 | port] is endpoint:
            del self._bound[laddr << 16 | port]
            for other in self._ports[port]:  # of several that share an address and port the latest is served
                if other is not endpoint and other.local_addr == laddr and not other.remote_addr:
                    self._bound[laddr << 16 | port] = other

    def send(self, endpoint: UdpEndpoint, data: bytes, raddr: int, rport: int, now: int) -> bool:
        """Send one datagram of up to 65507 bytes; `raddr` 0: to the connected peer.  False: dropped and counted.

        Raises MessageTooLong, NotConnected, NetworkUnreachable, AddressNotAvailable, InvalidAddress.
        """
        length = len(data)
        if length > udp.MAX_PAYLOAD:
            raise MessageTooLong(f"a datagram of {length} bytes: at most {udp.MAX_PAYLOAD} fit")
        if not raddr:
            raddr = endpoint.remote_addr
            rport = endpoint.remote_port
            if not raddr:
                raise NotConnected("no destination given")
        if not 0 < rport <= 0xFFFF or endpoint.closed:
            raise InvalidAddress("the endpoint is closed" if endpoint.closed else f"{rport} is not a port to send to")
        ip, frame = self._ip, self._frame
        frame.header_end = _HEADER_END
        frame.payload = data
        frame.payload_off = 0
        frame.payload_len = length
        to, how = raddr << 16 | rport, endpoint.tos << 8 | endpoint.ttl
        last = self._sent_path
        if (
            last is not None
            and self._sent_generation == ip.generation
            and endpoint is self._sent_from
            and to == self._sent_to
            and how == self._sent_how
            and length + ipv4.HLEN + udp.HLEN <= last.mtu
        ):
            ip.stats.counts[_UDP_OUT] += 1
            frame.header[START:_TEMPLATE_END] = self._template
            frame.start = START
            frame.csum_start = PREFIX_LEN
            frame.flags = _SEND_FLAGS
            return last.sink.send(frame) or ip.device_full()
        path = ip.path(raddr, endpoint.local_addr)
        if path.kind == out.BROADCAST and not endpoint.broadcast:
            raise InvalidAddress("broadcast was not asked for on this endpoint", errno.EACCES)
        _pack_header(frame.header, L4_OFF, endpoint.local_port, rport, length + 8, 0)
        frame.gso_type = GSO_NONE
        frame.gso_size = 0
        frame.flags = NEEDS_CSUM
        ip.stats.counts[_UDP_OUT] += 1
        sent = ip.output_datagram(path, PROTO_UDP, frame, now, endpoint.tos, endpoint.ttl)
        if path.kind == out.UNICAST and path.generation == ip.generation and length + ipv4.HLEN + udp.HLEN <= path.mtu:
            self._template = bytes(frame.header[START:_TEMPLATE_END])
            self._sent_from, self._sent_to, self._sent_how = endpoint, to, how
            self._sent_path, self._sent_generation = path, path.generation
        return sent

    # --- input -----------------------------------------------------------------------------------------------------

    def on_row(self, ifindex: int, burst: Burst, index: int, row: tuple[int, ...]) -> bool:
        """One datagram that IP accepted.  False: nobody wants it (the caller tells the sender)."""
        key, dst, off, length = row[:4]
        flags = row[9]
        if flags & ROW_BAD_CSUM:
            self._ip.stats.drops[DropReason.UDP_CHECKSUM] += 1
            return True
        pool = burst.pool
        if flags & ROW_IPOPTS:
            meta = burst.meta_at(index)
            l3_off = meta[0] + meta[2]
        else:
            l3_off = off - 28
        if flags & ROW_GSO:
            return self._on_super(ifindex, burst, index, row, l3_off)
        return self._deliver(
            key,
            dst,
            (pool[off : off + length], key >> 32, key >> 16 & 0xFFFF, dst, pool[l3_off + 8], pool[l3_off + 1], ifindex),
        )

    def _on_super(self, ifindex: int, burst: Burst, index: int, row: tuple[int, ...], l3_off: int) -> bool:
        """Several datagrams that the sender's kernel handed over as one (GSO_UDP_L4)."""
        key, dst, off, length = row[:4]
        size = burst.meta_at(index)[6] or length
        wanted = False
        for at in range(off, off + length, size):
            data = burst.pool[at : min(at + size, off + length)]
            wanted = self._deliver(
                key,
                dst,
                (data, key >> 32, key >> 16 & 0xFFFF, dst, burst.pool[l3_off + 8], burst.pool[l3_off + 1], ifindex),
            )
        return wanted

    def on_reassembled(self, ifindex: int, header: bytes, segment: bytes) -> bool:
        """One datagram that came in fragments: its IP header and everything behind.  False: nobody wants it."""
        parsed = udp.parse(segment)
        src = int.from_bytes(header[12:16], "big")
        dst = int.from_bytes(header[16:20], "big")
        if parsed is None:
            self._ip.stats.drops[DropReason.UDP_LENGTH] += 1
            return True
        sport, dport, length, csum = parsed
        segment = segment[:length]
        if csum and accel.checksum(segment, udp.pseudo_sum(src, dst, PROTO_UDP, length)) != 0:
            self._ip.stats.drops[DropReason.UDP_CHECKSUM] += 1
            return True
        return self._deliver(
            src << 32 | sport << 16 | dport, dst, (segment[udp.HLEN :], src, sport, dst, header[8], header[1], ifindex)
        )

    def _deliver(self, key: int, dst: int, datagram: Datagram) -> bool:
        if dst not in self._ip.local_addrs:
            return self._deliver_group(key & 0xFFFF, dst, datagram)
        endpoint = self._connected.get((key, dst)) if self._connected else None
        if endpoint is None:
            port = key & 0xFFFF
            endpoint = self._bound.get(dst << 16 | port) or self._bound.get(port)
            if endpoint is None:
                self._ip.stats.drops[DropReason.UDP_NO_PORT] += 1
                return False
        self._queue(endpoint, datagram)
        return True

    def _deliver_group(self, port: int, dst: int, datagram: Datagram) -> bool:
        """RFC 1122 §4.1.3.3, UDP-7: every endpoint on the port whose addresses do not exclude it."""
        interface = self._ip.interfaces[datagram[6]]
        on_link = {a for a, _ in interface.addrs}
        for endpoint in self._ports.get(port, ()):
            if (endpoint.local_addr in (0, dst) or endpoint.local_addr in on_link) and (
                not endpoint.remote_addr or (endpoint.remote_addr, endpoint.remote_port) == datagram[1:3]
            ):
                self._queue(endpoint, datagram)
        return True

    def _queue(self, endpoint: UdpEndpoint, datagram: Datagram) -> None:
        queued = endpoint.on_datagram(datagram)
        if queued > 0:
            self.ready.append(endpoint)
        elif queued < 0:
            self._ip.stats.drops[DropReason.UDP_QUEUE_FULL] += 1
            return
        self._ip.stats.counts[_UDP_IN] += 1

    def on_error(self, err: TransportError, now: int) -> bool:
        """An ICMP error or an unresolved next hop concerns one of our datagrams.  False: none that we know.

        RFC 1122 §4.1.3.3 (UDP-4): the application is told, if it wants to be (`recv_errors`) or has one peer only.
        """
        endpoint = self._connected.get((err.raddr << 32 | err.rport << 16 | err.lport, err.laddr))
        if endpoint is None:
            endpoint = self._bound.get(err.laddr << 16 | err.lport) or self._bound.get(err.lport)
        if endpoint is None:
            return False
        if err.kind == ErrorKind.FRAG_NEEDED:
            self._ip.set_path_mtu(err.raddr, err.mtu, now)
        if (endpoint.remote_addr or endpoint.recv_errors) and endpoint.on_error(err):
            self.ready.append(endpoint)
        return True

    def snapshot(self) -> list[dict[str, object]]:
        """For `tapstack status`."""
        return [e.snapshot() for port in sorted(self._ports) for e in self._ports[port]]
