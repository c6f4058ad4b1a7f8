"""Where a datagram goes: longest-prefix match, redirects, source address choice.

Theory of operation.  Routes are kept in one dict per prefix length, longest first, each network with its
routes in order of metric.  A lookup is a few dict probes and is made only when a Path is (re)computed; flows
use Paths.  Every change raises `generation`; the owner compares.  A gateway known to be dead is passed over
while another route of the same prefix is left (RFC 1122 §3.3.1.5).  Redirects are host routes with an age,
consulted first and bounded in number.
"""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from stack.config import MINUTE, NEVER
from stack.wire.addr import format_addr, format_cidr, prefix_mask

MAX_ROUTES: Final = 4096
MAX_REDIRECTS: Final = 256
REDIRECT_LIFETIME_US: Final = 10 * MINUTE
DEAD_GATEWAY_US: Final = 1 * MINUTE  # then it is tried again


class Route:
    """One route.  `gateway` 0: the destination is on the link.  `src` 0: any address of the interface; `mtu` 0: its."""

    __slots__ = ("gateway", "ifindex", "metric", "mtu", "prefix", "prefix_len", "src")

    def __init__(
        self,
        prefix: int,
        prefix_len: int,
        ifindex: int,
        *,
        gateway: int = 0,
        metric: int = 0,
        src: int = 0,
        mtu: int = 0,
    ) -> None:
        self.prefix = prefix & prefix_mask(prefix_len)
        self.prefix_len = prefix_len
        self.ifindex = ifindex
        self.gateway = gateway
        self.metric = metric
        self.src = src
        self.mtu = mtu

    def next_hop(self, dst: int) -> int:
        """The address to resolve on the link.  RFC 1122 §3.3.1.1."""
        return self.gateway or dst

    def snapshot(self) -> dict[str, object]:
        """For `tapstack status`."""
        return {
            "dst": format_cidr(self.prefix, self.prefix_len),
            "ifindex": self.ifindex,
            "metric": self.metric,
            "gateway": format_addr(self.gateway) if self.gateway else None,
            "src": format_addr(self.src) if self.src else None,
        }


class RouteTable:
    """The routes of one host."""

    __slots__ = ("_by_len", "_dead", "_lens", "_redirects", "generation", "size")

    def __init__(self) -> None:
        self._by_len: dict[int, dict[int, list[Route]]] = {}
        self._lens: list[int] = []  # prefix lengths in use, longest first
        self._redirects: OrderedDict[int, tuple[Route, int]] = OrderedDict()  # destination -> (route, expires at)
        self._dead: dict[tuple[int, int], int] = {}  # (ifindex, gateway) -> tried again at
        self.generation = 0
        self.size = 0

    def __iter__(self) -> Iterator[Route]:
        for length in self._lens:
            for routes in self._by_len[length].values():
                yield from routes

    def add(self, route: Route) -> bool:
        """Insert, replacing a route of the same prefix, interface and gateway.  False when the table is full."""
        if self.size >= MAX_ROUTES:
            return False
        self.remove(route.prefix, route.prefix_len, route.ifindex, route.gateway)
        routes = self._by_len.setdefault(route.prefix_len, {}).setdefault(route.prefix, [])
        routes.append(route)
        routes.sort(key=lambda r: r.metric)
        self._changed(1)
        return True

    def remove(self, prefix: int, prefix_len: int, ifindex: int = 0, gateway: int | None = None) -> int:
        """Remove matching routes (ifindex 0, gateway None: any) and return how many."""
        nets = self._by_len.get(prefix_len, {})
        prefix &= prefix_mask(prefix_len)
        before = nets.get(prefix, [])
        kept = [
            r for r in before if (ifindex and r.ifindex != ifindex) or (gateway is not None and r.gateway != gateway)
        ]
        if len(kept) == len(before):
            return 0
        if kept:
            nets[prefix] = kept
        else:
            del nets[prefix]
            if not nets:
                del self._by_len[prefix_len]
        self._changed(len(kept) - len(before))
        return len(before) - len(kept)

    def remove_interface(self, ifindex: int) -> None:
        """Forget everything that leads out of one interface."""
        for route in [r for r in self if r.ifindex == ifindex]:
            self.remove(route.prefix, route.prefix_len, ifindex)
        for dst in [d for d, (r, _) in self._redirects.items() if r.ifindex == ifindex]:
            del self._redirects[dst]
        self._dead = {k: at for k, at in self._dead.items() if k[0] != ifindex}
        self.generation += 1

    def lookup(self, dst: int, ifindex: int = 0) -> Route | None:
        """The route of the longest prefix; among equals the lowest metric whose gateway is not known to be dead.

        With `ifindex`, only routes out of that interface count (strong host model, RFC 1122 §3.3.4.2).
        """
        redirect = self._redirects.get(dst)
        if redirect is not None and ifindex in (0, redirect[0].ifindex):
            return redirect[0]
        fallback = None
        for length in self._lens:
            routes = self._by_len[length].get(dst & prefix_mask(length))
            for route in routes or ():
                if ifindex and route.ifindex != ifindex:
                    continue
                if (route.ifindex, route.gateway) not in self._dead:
                    return route
                fallback = fallback or route
            if fallback is not None:
                # A dead gateway is still better than a shorter prefix that may lead elsewhere.
                return fallback
        return None

    def redirect(self, dst: int, gateway: int, from_gateway: int, ifindex: int, now: int) -> bool:
        """Take an ICMP redirect, or refuse it.

        RFC 1122 §3.2.2.2 (IP-10): only from the current first hop for that destination, on the same interface, and
        to a gateway on that link.
        """
        route = self.lookup(dst)
        if route is None or route.ifindex != ifindex or route.gateway != from_gateway or not route.gateway:
            return False
        via = self.lookup(gateway, ifindex)
        if via is None or via.gateway or gateway == from_gateway:
            return False
        while len(self._redirects) >= MAX_REDIRECTS:
            self._redirects.popitem(last=False)
        self._redirects.pop(dst, None)
        new = Route(dst, 32, ifindex, gateway=0 if gateway == dst else gateway, src=route.src, mtu=route.mtu)
        self._redirects[dst] = (new, now + REDIRECT_LIFETIME_US)
        self.generation += 1
        return True

    def mark_gateway(self, ifindex: int, gateway: int, now: int, *, dead: bool) -> None:
        """Note that a gateway stopped or resumed answering; redirects through a dead one are forgotten."""
        key = (ifindex, gateway)
        if not dead:
            if self._dead.pop(key, None) is not None:
                self.generation += 1
            return
        if not any((r.ifindex, r.gateway) == key for r in self.via_gateways()):
            return
        self._dead[key] = now + DEAD_GATEWAY_US
        for dst in [d for d, (r, _) in self._redirects.items() if r.gateway == gateway]:
            del self._redirects[dst]
        self.generation += 1

    def via_gateways(self) -> list[Route]:
        """Routes and redirects that use a gateway."""
        routes = [r for r in self if r.gateway]
        return routes + [r for r, _ in self._redirects.values() if r.gateway]

    @property
    def deadline(self) -> int:
        """When the oldest redirect ends or a dead gateway is to be tried again."""
        redirect = next(iter(self._redirects.values()))[1] if self._redirects else NEVER
        return min([redirect, *self._dead.values()])

    def on_timer(self, now: int) -> None:
        """Forget redirects that are too old, and give dead gateways another chance."""
        while self._redirects and next(iter(self._redirects.values()))[1] <= now:
            self._redirects.popitem(last=False)
            self.generation += 1
        for key in [k for k, at in self._dead.items() if at <= now]:
            del self._dead[key]
            self.generation += 1

    def _changed(self, delta: int) -> None:
        self.size += delta
        self.generation += 1
        self._lens = sorted(self._by_len, reverse=True)
        if self._dead:
            gateways = {(r.ifindex, r.gateway) for r in self.via_gateways()}
            self._dead = {k: at for k, at in self._dead.items() if k in gateways}


def choose_source(addresses: list[tuple[int, int]], next_hop: int) -> int:
    """The address to send from, of an interface's (address, prefix length) list; 0 when it has none.

    RFC 1122 §3.3.4.3: one on the same subnet as the next hop, if any; else the first.
    """
    for addr, prefix_len in addresses:
        if (addr ^ next_hop) & prefix_mask(prefix_len) == 0:
            return addr
    return addresses[0][0] if addresses else 0
