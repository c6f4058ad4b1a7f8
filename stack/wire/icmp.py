"""ICMP messages (RFC 792) and the error records that transports are given.

`ErrorKind` and `TransportError` live here because tcp, udp and ip all speak of them and may not import
one another.
"""

from enum import IntEnum, unique
from struct import Struct
from typing import Final, NamedTuple

from stack.wire import ipv4

HLEN: Final = 8

ECHO_REPLY: Final = 0
UNREACHABLE: Final = 3
SOURCE_QUENCH: Final = 4
REDIRECT: Final = 5
ECHO: Final = 8
TIME_EXCEEDED: Final = 11
PARAMETER_PROBLEM: Final = 12
TIMESTAMP: Final = 13
TIMESTAMP_REPLY: Final = 14

# codes of UNREACHABLE (RFC 792, RFC 1122 §3.2.2.1, RFC 1812 §5.2.7.1)
NET: Final = 0
HOST: Final = 1
PROTOCOL: Final = 2
PORT: Final = 3
FRAGMENTATION_NEEDED: Final = 4
SOURCE_ROUTE_FAILED: Final = 5
ADMIN_PROHIBITED: Final = 13
# codes of REDIRECT
REDIRECT_NET: Final = 0
REDIRECT_HOST: Final = 1
# codes of TIME_EXCEEDED
TTL_EXCEEDED: Final = 0
REASSEMBLY_EXCEEDED: Final = 1

# RFC 1122 §3.2.2: messages about which no error may be sent, and how an error is told from a query
ERROR_TYPES: Final = frozenset({UNREACHABLE, SOURCE_QUENCH, REDIRECT, TIME_EXCEEDED, PARAMETER_PROBLEM})

MAX_ERROR: Final = 576  # RFC 1812 §4.3.2.3: an error with its IP header is at most this long

HEADER: Final = Struct("!BBHHH")  # type, code, checksum, identifier or unused, sequence or next-hop MTU


@unique
class ErrorKind(IntEnum):
    """What an error means to a transport."""

    NET_UNREACHABLE = 0
    HOST_UNREACHABLE = 1
    PROTOCOL_UNREACHABLE = 2
    PORT_UNREACHABLE = 3
    FRAG_NEEDED = 4
    SOURCE_ROUTE_FAILED = 5
    ADMIN_PROHIBITED = 6
    TIME_EXCEEDED = 7
    PARAMETER_PROBLEM = 8


# RFC 1122 §3.2.2.1 and RFC 1812 §5.2.7.1: codes 6 to 12 are finer words for the first two
_UNREACHABLE_KIND: Final = {
    NET: ErrorKind.NET_UNREACHABLE,
    HOST: ErrorKind.HOST_UNREACHABLE,
    PROTOCOL: ErrorKind.PROTOCOL_UNREACHABLE,
    PORT: ErrorKind.PORT_UNREACHABLE,
    FRAGMENTATION_NEEDED: ErrorKind.FRAG_NEEDED,
    SOURCE_ROUTE_FAILED: ErrorKind.SOURCE_ROUTE_FAILED,
    6: ErrorKind.NET_UNREACHABLE,
    7: ErrorKind.HOST_UNREACHABLE,
    8: ErrorKind.HOST_UNREACHABLE,
    9: ErrorKind.ADMIN_PROHIBITED,
    10: ErrorKind.ADMIN_PROHIBITED,
    11: ErrorKind.NET_UNREACHABLE,
    12: ErrorKind.HOST_UNREACHABLE,
    ADMIN_PROHIBITED: ErrorKind.ADMIN_PROHIBITED,
    14: ErrorKind.ADMIN_PROHIBITED,
    15: ErrorKind.ADMIN_PROHIBITED,
}


class TransportError:
    """Something went wrong with what one of our sockets sent.

    `laddr`, `lport` are ours.  `code` is the ICMP code (0 for a local failure), `mtu` the next-hop MTU of
    FRAG_NEEDED (0: the router did not say), `seq` the quoted TCP sequence number, `total` the total length of the
    quoted datagram, `reporter` who sent the ICMP message.  `local` marks an error that this host found itself (the
    next hop does not answer).
    """

    __slots__ = (
        "code",
        "kind",
        "laddr",
        "local",
        "lport",
        "mtu",
        "proto",
        "raddr",
        "reporter",
        "rport",
        "seq",
        "total",
    )

    def __init__(
        self,
        kind: ErrorKind,
        proto: int,
        laddr: int,
        lport: int,
        raddr: int,
        rport: int,
        *,
        code: int = 0,
        mtu: int = 0,
        seq: int = 0,
        total: int = 0,
        local: bool = False,
    ) -> None:
        self.kind = kind
        self.proto = proto
        self.laddr = laddr
        self.lport = lport
        self.raddr = raddr
        self.rport = rport
        self.code = code
        self.mtu = mtu
        self.seq = seq
        self.total = total
        self.local = local
        self.reporter = 0

    def __repr__(self) -> str:
        return (
            f"TransportError({self.kind.name}, proto={self.proto}, {self.laddr:#x}:{self.lport} > "
            f"{self.raddr:#x}:{self.rport}, code={self.code}, mtu={self.mtu}, seq={self.seq})"
        )


class Message(NamedTuple):
    """An ICMP header; `ident` and `seq` are the two halves of the second word, whatever they mean."""

    type: int
    code: int
    csum: int
    ident: int
    seq: int


def parse(message: bytes) -> Message | None:
    """The header, or None when cut off.  The checksum is not verified here."""
    return Message(*HEADER.unpack_from(message)) if len(message) >= HLEN else None


def error_kind(icmp_type: int, code: int) -> ErrorKind | None:
    """What an error message means to a transport; None for other types and unknown codes."""
    if icmp_type == UNREACHABLE:
        return _UNREACHABLE_KIND.get(code)
    if icmp_type == TIME_EXCEEDED:
        return ErrorKind.TIME_EXCEEDED
    if icmp_type == PARAMETER_PROBLEM:
        return ErrorKind.PARAMETER_PROBLEM
    return None


def parse_quoted(kind: ErrorKind, code: int, quoted: bytes, mtu: int = 0) -> TransportError | None:
    """The error about the datagram that `quoted` begins, or None when it cannot be told whose it was.

    RFC 1122 §3.2.2: at least the IP header and 8 octets are quoted; ports (and the TCP sequence number) are in those.
    """
    ip = ipv4.parse(quoted)
    if ip is None or len(quoted) < ip.hlen + 8:
        return None
    lport = rport = seq = 0
    # A later fragment carries no ports.
    if ip.flags_offset & ipv4.OFFSET_MASK:
        return None
    if ip.proto in (ipv4.PROTO_TCP, ipv4.PROTO_UDP):
        lport = int.from_bytes(quoted[ip.hlen : ip.hlen + 2], "big")
        rport = int.from_bytes(quoted[ip.hlen + 2 : ip.hlen + 4], "big")
        seq = int.from_bytes(quoted[ip.hlen + 4 : ip.hlen + 8], "big")
    elif ip.proto == ipv4.PROTO_ICMP:
        # Only an echo of ours can be meant: its identifier stands for the local port.
        if quoted[ip.hlen] != ECHO:
            return None
        lport = int.from_bytes(quoted[ip.hlen + 4 : ip.hlen + 6], "big")
        seq = int.from_bytes(quoted[ip.hlen + 6 : ip.hlen + 8], "big")
    return TransportError(kind, ip.proto, ip.src, lport, ip.dst, rport, code=code, mtu=mtu, seq=seq, total=ip.total)
