"""Addresses and static routes for any network of hosts, routers and switches.

Theory of operation.  A subnet is all ports that hear each other's broadcasts: the two ends of a link between hosts, or
what switches join.  A subnet in which no port has an address gets a prefix of its own out of 10.0.0.0/8, in the order
of the links; ports without an address get the lowest free ones.  A breadth-first search from every host over
the subnets, through hosts that forward only, gives it the first hop of a shortest path to each subnet; among equals
the one found first, in the order in which ports were made.  A host that is no router and has one way out for
everything gets a default route instead.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from stack.errors import ConfigError
from stack.host.host import Host
from stack.sim.link import Link, Port
from stack.sim.node import HostNode, Node, Switch
from stack.wire.addr import prefix_mask

POOL, POOL_LEN = 0x0A00_0000, 8  # RFC 1918 §3
DEFAULT_LEN = 24


@dataclass(slots=True, eq=False)
class Subnet:
    """Ports of hosts that reach each other directly; `prefix_len` 0: not numbered yet."""

    ports: list[Port] = field(default_factory=list)
    prefix: int = 0
    prefix_len: int = 0

    def overlaps(self, prefix: int, prefix_len: int) -> bool:
        """It has addresses in common with another prefix."""
        return bool(self.prefix_len) and (self.prefix ^ prefix) & prefix_mask(min(self.prefix_len, prefix_len)) == 0


class Joined:
    """Which switches are joined, directly or by others (a union-find)."""

    __slots__ = ("_parent",)

    def __init__(self) -> None:
        self._parent: dict[Node, Node] = {}

    def root(self, node: Node) -> Node:
        """The same for all that are joined."""
        while (parent := self._parent.get(node, node)) is not node:
            node = parent
        return node

    def join(self, a: Node, b: Node) -> bool:
        """Join two; False if they were."""
        a, b = self.root(a), self.root(b)
        self._parent[b] = a
        return a is not b


def host_of(node: Node) -> Host | None:
    """The Host at a node, if it is one, or that which a driver there drives."""
    if not isinstance(node, HostNode):
        return None
    host = getattr(node.host, "host", node.host)
    return host if isinstance(host, Host) else None


def address_of(port: Port) -> tuple[int, int]:
    """(address, prefix length) of a host's port; (0, 0) if it has none."""
    host = host_of(port.node)
    addrs = host.ip.interfaces[port.ifindex].addrs if host is not None else []
    return addrs[0] if addrs else (0, 0)


def subnets(links: Sequence[Link], joined: Joined) -> list[Subnet]:
    """All subnets, in the order of the links."""
    found: dict[Node | Link, Subnet] = {}
    for link in links:
        ends = (link.a, link.b)
        switch = next((port.node for port in ends if isinstance(port.node, Switch)), None)
        subnet = found.setdefault(link if switch is None else joined.root(switch), Subnet())
        subnet.ports += [port for port in ends if host_of(port.node) is not None]
    for subnet in found.values():
        for port in subnet.ports:
            addr, prefix_len = address_of(port)
            if addr and not subnet.prefix_len:
                subnet.prefix, subnet.prefix_len = addr & prefix_mask(prefix_len), prefix_len
    return list(found.values())


def number(nets: Sequence[Subnet], now: int) -> None:
    """Give every port an address.  Raises ConfigError when a prefix is full."""
    at = POOL
    for net in nets:
        if not net.prefix_len:
            hosts = len(net.ports)
            net_len = min(DEFAULT_LEN, 32 - (hosts + 1).bit_length())
            size = 1 << (32 - net_len)
            at = -(-at // size) * size
            while any(other.overlaps(at, net_len) for other in nets):
                at += size
            if (at ^ POOL) & prefix_mask(POOL_LEN):
                raise ConfigError("no addresses are left in 10.0.0.0/8")
            net.prefix, net.prefix_len = at, net_len
        _number_ports(net, now)


def _number_ports(net: Subnet, now: int) -> None:
    taken = {address_of(port)[0] for port in net.ports}
    free = (a for a in range(net.prefix + 1, net.prefix + (1 << (32 - net.prefix_len)) - 1) if a not in taken)
    for port in net.ports:
        host = host_of(port.node)
        if host is None or address_of(port)[0]:
            continue
        addr = next(free, 0)
        if not addr:
            raise ConfigError(f"no address is left for {port.name} in its subnet")
        host.add_address(port.ifindex, addr, net.prefix_len, now)


Hop = tuple[int, int]  # (ifindex, gateway)


class Topology:
    """Subnets by node, and shortest paths between them."""

    __slots__ = ("_of_node", "nets")

    def __init__(self, nets: Sequence[Subnet]) -> None:
        self.nets = nets
        self._of_node: dict[Node, list[tuple[Subnet, Port]]] = {}
        for net in nets:
            for port in net.ports:
                self._of_node.setdefault(port.node, []).append((net, port))

    def first_hops(self, node: Node) -> dict[Subnet, Hop]:
        """The first hop from `node` to each subnet that it can reach; gateway 0 where it is itself."""
        hops: dict[Subnet, Hop] = {}
        queue: deque[Subnet] = deque()
        for net, port in self._of_node.get(node, ()):
            if net not in hops:
                hops[net] = (port.ifindex, 0)
                queue.append(net)
        while queue:
            here = queue.popleft()
            ifindex, gateway = hops[here]
            for router, entry in self._routers(here):
                if router is node:
                    continue
                for beyond, _ in self._of_node[router]:
                    if beyond not in hops:
                        hops[beyond] = (ifindex, gateway or address_of(entry)[0])
                        queue.append(beyond)
        return hops

    def _routers(self, net: Subnet) -> Iterator[tuple[Node, Port]]:
        for port in net.ports:
            host = host_of(port.node)
            if host is not None and host.config.ip.forwarding:
                yield port.node, port

    def reachable(self, a: Node, b: Node) -> bool:
        """There is a way from host `a` to host `b`, if all links are up."""
        hops = self.first_hops(a)
        return a is b or any(net in hops for net, _ in self._of_node.get(b, ()))

    def nearest_port(self, a: Node, b: Node) -> Port | None:
        """The port of `b` that is the fewest hops away from host `a`, if all links are up."""
        return next((port for net in self.first_hops(a) for port in net.ports if port.node is b), None)

    def add_routes(self, node: Node) -> None:
        """Routes from `node` to every subnet that it is not in."""
        host = host_of(node)
        if host is None:
            return
        hops = {net: hop for net, hop in self.first_hops(node).items() if hop[1]}
        ways = set(hops.values())
        if len(ways) == 1 and not host.config.ip.forwarding:
            ((ifindex, gateway),) = ways
            host.add_route(0, 0, gateway, ifindex)
            return
        for net, (ifindex, gateway) in hops.items():
            host.add_route(net.prefix, net.prefix_len, gateway, ifindex)
