"""One network interface of a host: a sink for frames, a link address, IPv4 addresses and groups."""

from stack.wire.addr import ALL_HOSTS, format_addr, format_cidr, format_mac, subnet_broadcast
from stack.wire.sink import FrameSink


class Interface:
    """`addrs` holds (address, prefix length) in the order they were added; `mtu` counts IP bytes.

    `bare_ip`: the link has no link layer (`Caps`), hence no ARP, no claims of addresses and no broadcast.
    """

    __slots__ = ("addrs", "bare_ip", "broadcasts", "groups", "index", "mac", "mtu", "name", "sink")

    def __init__(self, index: int, name: str, sink: FrameSink, mac: bytes, mtu: int) -> None:
        self.index = index
        self.name = name
        self.sink = sink
        self.mac = mac
        self.mtu = mtu
        self.bare_ip = sink.caps.bare_ip
        self.addrs: list[tuple[int, int]] = []
        self.broadcasts: frozenset[int] = frozenset()  # directed broadcast addresses of the subnets
        # OMITS RFC 3376: membership is not reported to routers, so groups work on the link only.
        self.groups: set[int] = {ALL_HOSTS}

    def set_addrs(self, addrs: list[tuple[int, int]]) -> None:
        """Replace the addresses and all that follows from them."""
        self.addrs = addrs
        self.broadcasts = frozenset(b for a, n in addrs if (b := subnet_broadcast(a, n)))

    def snapshot(self) -> dict[str, object]:
        """For `tapstack status`."""
        return {
            "ifindex": self.index,
            "name": self.name,
            "mac": None if self.bare_ip else format_mac(self.mac),
            "mtu": self.mtu,
            "addrs": [format_cidr(a, n) for a, n in self.addrs],
            "groups": [format_addr(g) for g in sorted(self.groups)],
        }
