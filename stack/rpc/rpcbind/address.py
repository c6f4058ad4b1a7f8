"""Universal addresses: how rpcbind writes where something is, whatever the transport (RFC 5665 §5.2.3).

An address and a port, "198.18.0.2.0.111", or a path.  Which of these it is, says the netid beside it.
"""

import ipaddress
import struct
from typing import Final, NamedTuple

UDP, TCP, UDP6, TCP6, LOCAL = "udp", "tcp", "udp6", "tcp6", "local"
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
MAX_PORT: Final = 65535
# RFC 5665 §5.2.3.3, §5.2.3.4: h1.h2.h3.h4.p1.p2 for IPv4 and x1:x2:x3:x4:x5:x6:x7:x8.p1.p2 for IPv6
MAX_INET: Final = len("ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255.255.255")
MAX_PATH: Final = 107  # octets of a local socket's, before the one that ends it in a sockaddr
UNSPECIFIED: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  (what a server at every address registers)
_AF_INET, _AF_INET6, _AF_LOCAL = 2, 10, 1  # what Linux calls them, in the sockaddr of a netbuf


class NetId(NamedTuple):
    """What netconfig(5) says of a transport: the numbers of GETADDRLIST, and the protocol of version 2."""

    name: str
    protocol: int  # of IP; 0: none
    semantics: int  # 1: datagrams (NC_TPI_CLTS), 3: streams with an end (NC_TPI_COTS_ORD)
    family: str
    proto: str


NETIDS: Final = {
    one.name: one
    for one in (
        NetId(UDP, IPPROTO_UDP, 1, "inet", "udp"),
        NetId(TCP, IPPROTO_TCP, 3, "inet", "tcp"),
        NetId(UDP6, IPPROTO_UDP, 1, "inet6", "udp"),
        NetId(TCP6, IPPROTO_TCP, 3, "inet6", "tcp"),
        NetId(LOCAL, 0, 3, "loopback", "-"),
    )
}
OF_PROTOCOL: Final = {IPPROTO_UDP: UDP, IPPROTO_TCP: TCP}  # version 2 knows IPv4 alone


class Endpoint(NamedTuple):
    """An address in figures and a port; a path has port 0."""

    host: str
    port: int


def to_universal(host: str, port: int) -> str:
    """The universal address of an IP address in figures and a port.  Raises ValueError."""
    if not 0 <= port <= MAX_PORT:
        raise ValueError(f"{port} is not a port: use 0 to {MAX_PORT}")
    return f"{ipaddress.ip_address(host)}.{port >> 8}.{port & 255}"


def parse_universal(text: str) -> Endpoint:
    """The IP address and the port that a universal address names.  Raises ValueError."""
    host, high, low = [*text.rsplit(".", 2), "", ""][:3]
    if len(text) > MAX_INET or not (_is_octet(high) and _is_octet(low)):
        raise ValueError(f"{text[:MAX_INET]!r} is not a universal address: write it like 198.18.0.2.0.111")
    return Endpoint(str(ipaddress.ip_address(host)), int(high) << 8 | int(low))


def parse(netid: str, text: str) -> Endpoint:
    """Of a known netid: IPv4 for udp and tcp, IPv6 for udp6 and tcp6, a path for local.  Raises ValueError."""
    known = NETIDS.get(netid)
    if known is None:
        raise ValueError(f"{netid[:MAX_PATH]!r} is no netid: use one of {', '.join(NETIDS)}")
    if netid == LOCAL:
        if not text.startswith(("/", "\0")) or len(text.encode("utf-8", "surrogateescape")) > MAX_PATH:
            raise ValueError(
                f"{text[:MAX_PATH]!r} is not the path of a local socket: / and up to {MAX_PATH} octets in all"
            )
        return Endpoint(text, 0)
    endpoint = parse_universal(text)
    if (":" in endpoint.host) != (known.family == "inet6"):
        raise ValueError(f"{text} is not an address of {netid}")
    return endpoint


def merged(text: str, local: str) -> str:
    """A registered address as a client must see it: for "everywhere", the address at which it asked."""
    host, port = parse_universal(text)
    # (a scope means something on this host only)
    return to_universal(local.partition("%")[0], port) if host in UNSPECIFIED and local else text


def pack_sockaddr(text: str) -> bytes:
    """The sockaddr of Linux for a universal address; its family is in our byte order.  Raises ValueError."""
    if text.startswith("/"):
        parse(LOCAL, text)
        return struct.pack("=H", _AF_LOCAL) + text.encode("utf-8", "surrogateescape") + b"\0"
    host, port = parse_universal(text)
    address = ipaddress.ip_address(host)
    if address.version == 4:
        return struct.pack("=H", _AF_INET) + struct.pack("!H4s8x", port, address.packed)
    return struct.pack("=H", _AF_INET6) + struct.pack("!HI16sI", port, 0, address.packed, 0)


def unpack_sockaddr(data: bytes) -> str:
    """The universal address of a sockaddr of Linux.  Raises ValueError."""
    family = int.from_bytes(data[:2], "little" if struct.pack("=H", 1)[0] else "big")
    if family == _AF_LOCAL and len(data) > 2:
        return data[2:].split(b"\0", 1)[0].decode("utf-8", "surrogateescape")
    if family == _AF_INET and len(data) >= 8:
        port, packed = struct.unpack_from("!H4s", data, 2)
        return to_universal(str(ipaddress.IPv4Address(packed)), port)
    if family == _AF_INET6 and len(data) >= 24:
        port, _, packed = struct.unpack_from("!HI16s", data, 2)
        return to_universal(str(ipaddress.IPv6Address(packed)), port)
    raise ValueError(f"an address of {len(data)} octets and family {family} is not known")


def _is_octet(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) < 256
