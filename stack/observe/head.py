"""What filters and lists ask about a frame, from the beginning of it."""

from struct import Struct
from typing import Final, NamedTuple

from stack.wire import ipv4
from stack.wire.ethernet import TYPE_ARP, TYPE_IPV4

_ETHERNET: Final = Struct("!12xH")
_PORTS: Final = Struct("!HH")
_ARP: Final = Struct("!6xH6xI6xI")
_FLAGS_AT: Final = 13  # of the TCP header


class Head(NamedTuple):
    """Addresses and ports are 0 where there are none.  `l4` is where the transport header begins, 0 without one."""

    ethertype: int
    proto: int
    src: int
    dst: int
    sport: int
    dport: int
    tcp_flags: int
    l4: int
    fragment: bool


_NOTHING: Final = Head(0, 0, 0, 0, 0, 0, 0, 0, False)


def parse(data: bytes) -> Head:
    """Total on every input: what cannot be read is 0."""
    if len(data) < 14:
        return _NOTHING
    (ethertype,) = _ETHERNET.unpack_from(data)
    if ethertype == TYPE_ARP and len(data) >= 42:
        _op, spa, tpa = _ARP.unpack_from(data, 14)
        return Head(ethertype, 0, spa, tpa, 0, 0, 0, 14, fragment=False)
    ip = ipv4.parse(data, 14) if ethertype == TYPE_IPV4 else None
    if ip is None:
        return _NOTHING._replace(ethertype=ethertype)
    l4 = 14 + ip.hlen
    later = bool(ip.flags_offset & 0x1FFF)
    sport = dport = flags = 0
    if not later and ip.proto in (ipv4.PROTO_TCP, ipv4.PROTO_UDP) and len(data) >= l4 + 4:
        sport, dport = _PORTS.unpack_from(data, l4)
        if ip.proto == ipv4.PROTO_TCP and len(data) > l4 + _FLAGS_AT:
            flags = data[l4 + _FLAGS_AT]
    fragment = bool(ip.flags_offset & 0x3FFF)
    return Head(ethertype, ip.proto, ip.src, ip.dst, sport, dport, flags, 0 if later else l4, fragment)
