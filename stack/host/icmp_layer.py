"""ICMP of a host: echo both ways, errors out and errors in (RFC 792, RFC 1122 §3.2.2).

Theory of operation.  `on_message` takes a whole ICMP message with a verified checksum.  The echo reply is made from the
received bytes: new header, same payload by reference, checksum updated rather than computed (RFC 1624).  Errors
received are matched by what they quote, become TransportError records and go to `deliver`, which the IP layer provides.
Errors sent pass the rules of RFC 1122 §3.2.2 and a token bucket.

OMITS RFC 792: timestamp, information and address mask messages are obsolete (RFC 6918) or optional, and ignored.
"""

from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final, NamedTuple

from stack.errors import InvalidAddress, MessageTooLong, NoBufferSpace
from stack.host.ip_output import IpOutput
from stack.ip import output as out
from stack.ip.icmp import IcmpLimiter, build_error, may_report
from stack.stats import Counter, DropReason
from stack.udp.endpoint import CLOSED, ERROR, READABLE
from stack.wire import accel, icmp, ipv4, udp
from stack.wire.frame import GSO_NONE, L4_OFF, TxFrame
from stack.wire.icmp import ErrorKind, TransportError

MAX_ECHO_ENDPOINTS: Final = 1024
MAX_OUTSTANDING: Final = 4096  # echo requests an endpoint waits for
MAX_REPLIES: Final = 4096

_HEADER_END: Final = L4_OFF + icmp.HLEN
_ICMP_IN: Final = int(Counter.ICMP_IN)  # a plain int indexes a list faster than an IntEnum
_ICMP_OUT: Final = int(Counter.ICMP_OUT)
_ECHO_REPLIES: Final = int(Counter.ICMP_ECHO_REPLIES)


class EchoReply(NamedTuple):
    """An answer to one of our echo requests; `rtt_us` -1 when the request is not remembered."""

    raddr: int
    seq: int
    rtt_us: int
    ttl: int
    data: bytes


class IcmpEcho:
    """What `tapstack ping` holds.  Replies and errors wait in bounded queues; `events` bits as those of UDP."""

    __slots__ = ("closed", "errors", "events", "ident", "replies", "sent", "user")

    def __init__(self, ident: int) -> None:
        self.ident = ident
        self.events = 0
        self.closed = False
        self.user: object = None
        self.replies: deque[EchoReply] = deque(maxlen=MAX_REPLIES)
        self.errors: deque[tuple[TransportError, int]] = deque(maxlen=MAX_REPLIES)  # (error, address of who sent it)
        self.sent: OrderedDict[int, int] = OrderedDict()  # seq -> when

    def take_events(self) -> int:
        """The event mask, which is cleared."""
        events = self.events
        self.events = 0
        return events


class IcmpLayer:
    """See the head of this file."""

    __slots__ = ("_deliver", "_echoes", "_frame", "_ip", "_limiter", "ready")

    def __init__(self, ip: IpOutput, ready: list[object], deliver: Callable[[TransportError, int], bool]) -> None:
        self._ip = ip
        self._deliver = deliver
        self._limiter = IcmpLimiter(ip.config.icmp_rate_per_s, ip.config.icmp_burst, rng=ip.rng)
        self._echoes: dict[int, IcmpEcho] = {}
        self._frame = TxFrame()
        self.ready = ready

    # --- input -----------------------------------------------------------------------------------------------------

    def on_message(self, ifindex: int, src: int, dst: int, message: bytes, ttl: int, tos: int, now: int) -> None:
        """One message with a good checksum, accepted by IP; `dst` may be a group."""
        stats = self._ip.stats
        stats.counts[_ICMP_IN] += 1
        if len(message) < icmp.HLEN:
            stats.drops[DropReason.ICMP_MALFORMED] += 1
            return
        kind = message[0]
        if kind == icmp.ECHO:
            self._on_echo(src, dst, message, tos, now)
        elif kind == icmp.ECHO_REPLY:
            self._on_echo_reply(src, message, ttl, now)
        elif kind == icmp.REDIRECT:
            self._on_redirect(ifindex, src, message, now)
        elif kind in (icmp.UNREACHABLE, icmp.TIME_EXCEEDED, icmp.PARAMETER_PROBLEM):
            self._on_error(src, message, now)
        elif kind != icmp.SOURCE_QUENCH:
            # RFC 1122 §3.2.2 (ICMP-6): unknown types are discarded; RFC 6633 §3: so is source quench
            stats.drops[DropReason.ICMP_UNKNOWN_TYPE] += 1

    def _on_echo(self, src: int, dst: int, message: bytes, tos: int, now: int) -> None:
        """Same data back, from the address that was asked.  RFC 1122 §3.2.2.6 (ICMP-1).

        OMITS RFC 1122 §3.2.2.6: record route and timestamp options are not returned (RFC 7126 §4.5 would drop them).
        """
        ip = self._ip
        if dst not in ip.local_addrs or not ip.config.echo_reply:
            # RFC 1122 §3.2.2.6 (ICMP-2): an echo to a group may be ignored
            ip.stats.drops[DropReason.ICMP_BROADCAST_ECHO] += 1
            return
        path = ip.reply_path(src, dst)
        if path is None:
            return
        # RFC 1624 eqn 3: the type goes from 8 to 0
        total = 0xFFFF - (message[2] << 8 | message[3]) + 0xF7FF
        csum = 0xFFFF - ((total & 0xFFFF) + (total >> 16))
        frame = self._frame
        frame.header[L4_OFF:_HEADER_END] = b"\0\0" + csum.to_bytes(2, "big") + message[4:8]
        ip.stats.counts[_ECHO_REPLIES] += 1
        self._send(path, message, icmp.HLEN, now, tos & 0xFC)

    def _on_echo_reply(self, src: int, message: bytes, ttl: int, now: int) -> None:
        msg = icmp.parse(message)
        endpoint = self._echoes.get(msg.ident) if msg is not None else None
        if msg is None or endpoint is None:
            self._ip.stats.drops[DropReason.ICMP_NO_MATCH] += 1
            return
        sent_at = endpoint.sent.pop(msg.seq, None)
        endpoint.replies.append(
            EchoReply(src, msg.seq, -1 if sent_at is None else now - sent_at, ttl, message[icmp.HLEN :])
        )
        self._wake(endpoint, READABLE)

    def _on_redirect(self, ifindex: int, src: int, message: bytes, now: int) -> None:
        """RFC 1122 §3.2.2.2 (IP-10): all codes are treated as host redirects."""
        ip = self._ip
        quoted = ipv4.parse(message, icmp.HLEN)
        gateway = int.from_bytes(message[4:8], "big")
        if (
            quoted is None
            or message[1] > 3
            or not ip.config.accept_redirects
            or ip.config.forwarding
            or quoted.src not in ip.local_addrs
            or gateway in ip.local_addrs
            or not ip.routes.redirect(quoted.dst, gateway, src, ifindex, now)
        ):
            ip.stats.drops[DropReason.ICMP_REDIRECT_REFUSED] += 1
            return
        ip.touch()

    def _on_error(self, src: int, message: bytes, now: int) -> None:
        """RFC 1122 §3.2.2.1, §3.2.2.4, §3.2.2.5 (ICMP-6, 7, 9): tell the transport whose datagram is quoted."""
        ip = self._ip
        kind = icmp.error_kind(message[0], message[1])
        quoted = message[icmp.HLEN :]
        mtu = message[6] << 8 | message[7] if kind == ErrorKind.FRAG_NEEDED else 0
        err = icmp.parse_quoted(kind, message[1], quoted, mtu) if kind is not None else None
        if err is None or 0 < mtu < ipv4.MIN_MTU:
            # RFC 5927 §7.2 (5927-2): no router may need less than every link carries
            ip.stats.drops[DropReason.ICMP_MALFORMED] += 1
            return
        if err.kind == ErrorKind.FRAG_NEEDED:
            err.mtu = ip.pmtu_of_error(err)
        # A quoted source that is not ours, or an MTU that would have carried the datagram, cannot be genuine.
        ours = err.laddr in ip.local_addrs or ip.takes_error(err)
        if not ours or (err.kind == ErrorKind.FRAG_NEEDED and err.mtu >= err.total):
            ip.stats.drops[DropReason.ICMP_NO_MATCH] += 1
            return
        err.reporter = src
        if not self._deliver(err, now):
            ip.stats.drops[DropReason.ICMP_NO_MATCH] += 1

    def on_error(self, err: TransportError, now: int) -> bool:
        """An error about an echo request of ours.  False: none that we know."""
        endpoint = self._echoes.get(err.lport)
        if endpoint is None:
            return False
        if err.kind == ErrorKind.FRAG_NEEDED:
            self._ip.set_path_mtu(err.raddr, err.mtu, now)
        endpoint.errors.append((err, err.reporter))
        self._wake(endpoint, ERROR)
        return True

    # --- output ----------------------------------------------------------------------------------------------------

    def _send(self, path: out.Path, payload: bytes, offset: int, now: int, tos: int = 0, ttl: int = 0) -> bool:
        """The ICMP header is in the frame; the rest is `payload` from `offset` on."""
        frame = self._frame
        frame.header_end = _HEADER_END
        frame.payload = payload
        frame.payload_off = offset
        frame.payload_len = len(payload) - offset
        frame.flags = 0
        frame.gso_type = GSO_NONE
        self._ip.stats.counts[_ICMP_OUT] += 1
        return self._ip.output_datagram(path, ipv4.PROTO_ICMP, frame, now, tos, ttl)

    def send_error(
        self,
        icmp_type: int,
        code: int,
        packet: bytes,
        now: int,
        *,
        link_group: bool = False,
        ident: int = 0,
        second: int = 0,
        src: int = 0,
    ) -> bool:
        """Tell the sender of `packet` (from its IP header on) what is wrong with it, if that is allowed.

        RFC 1122 §3.2.2, RFC 1812 §4.3.2.  The source is the address it was sent to, if that is ours (`src` else).
        """
        ip = self._ip
        header = ipv4.parse(packet)
        if (
            header is None
            or not may_report(packet, link_group=link_group)
            or header.src in ip.local_addrs
            or any(header.dst in i.broadcasts or header.src in i.broadcasts for i in ip.interfaces.values())
        ):
            return False
        if not self._limiter.allow(now):
            ip.stats.drops[DropReason.ICMP_RATE_LIMIT] += 1
            return False
        path = ip.reply_path(header.src, header.dst if header.dst in ip.local_addrs else src)
        if path is None:
            return False
        message = build_error(icmp_type, code, packet, ident=ident, second=second)
        self._frame.header[L4_OFF:_HEADER_END] = message[: icmp.HLEN]
        # RFC 1812 §4.3.2.5: errors carry precedence 6 (internetwork control)
        return self._send(path, message, icmp.HLEN, now, tos=0xC0)

    # --- echo endpoints --------------------------------------------------------------------------------------------

    def open_echo(self) -> IcmpEcho:
        """An endpoint with an identifier of its own, for pinging.  Raises NoBufferSpace."""
        if len(self._echoes) >= MAX_ECHO_ENDPOINTS:
            raise NoBufferSpace("too many ping endpoints")
        ident = self._ip.rng.getrandbits(16)
        while ident in self._echoes:
            ident = (ident + 1) & 0xFFFF
        self._echoes[ident] = IcmpEcho(ident)
        return self._echoes[ident]

    def close_echo(self, endpoint: IcmpEcho) -> None:
        """The identifier can be used again."""
        if self._echoes.pop(endpoint.ident, None) is not None:
            endpoint.closed = True
            self._wake(endpoint, CLOSED)

    def send_echo(
        self,
        endpoint: IcmpEcho,
        raddr: int,
        seq: int,
        data: bytes,
        now: int,
        *,
        ttl: int = 0,
        tos: int = 0,
        laddr: int = 0,
    ) -> bool:
        """Ping: one echo request with `data`.  False: dropped and counted.

        Raises MessageTooLong, InvalidAddress (TTL or TOS), NetworkUnreachable, AddressNotAvailable.
        """
        if len(data) > udp.MAX_PAYLOAD:  # an ICMP header is as long as that of UDP
            raise MessageTooLong(f"an echo of {len(data)} bytes: at most {udp.MAX_PAYLOAD} fit")
        if not (0 <= ttl <= 255 and 0 <= tos <= 255):
            raise InvalidAddress("TTL and TOS are 0 to 255")
        path = self._ip.path(raddr, laddr)
        seq &= 0xFFFF
        head = icmp.HEADER.pack(icmp.ECHO, 0, 0, endpoint.ident, seq)
        csum = accel.checksum(head + data)
        self._frame.header[L4_OFF:_HEADER_END] = icmp.HEADER.pack(icmp.ECHO, 0, csum, endpoint.ident, seq)
        endpoint.sent.pop(seq, None)
        endpoint.sent[seq] = now
        if len(endpoint.sent) > MAX_OUTSTANDING:
            endpoint.sent.popitem(last=False)
        return self._send(path, data, 0, now, tos, ttl)

    def _wake(self, endpoint: IcmpEcho, event: int) -> None:
        if not endpoint.events:
            self.ready.append(endpoint)
        endpoint.events |= event
