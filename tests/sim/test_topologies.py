"""Switches, routers and whole networks of them: everything reaches everything, also after a partition has healed."""

import os
import subprocess
import sys
from itertools import pairwise, permutations
from pathlib import Path

import pytest

from stack.config import MS, NEVER, SECOND, HostConfig, TcpConfig
from stack.device.fault import Faults
from stack.errors import ConfigError
from stack.host.host import Host
from stack.sim.network import HostNode, Network, SimulationError, Switch
from stack.sim.routing import address_of
from stack.stats import Counter, DropReason
from stack.tcp.connection import Connection
from stack.wire.addr import format_addr

LAN = Faults(delay_us=50, rate=12_500_000)


def add_host(net: Network, name: str, **tcp: object) -> HostNode:
    config = HostConfig(tcp=TcpConfig(**tcp))  # type: ignore[arg-type]
    return net.add_host(name, Host(config, net.rng(f"host/{name}"), net.clock.now))


def address(node: HostNode) -> int:
    return address_of(node.ports[0])[0]


def host(node: HostNode) -> Host:
    assert isinstance(node.host, Host)
    return node.host


class Exchange:
    """A connection on which the client sends `data`; the server reads all and closes."""

    def __init__(self, net: Network, client: HostNode, server: HostNode, data: bytes, port: int = 80) -> None:
        self.net, self.client, self.server, self.rest = net, client, server, data
        self.listener = host(server).listen(0, port, now=net.clock.now)
        self.listener.user = Accepts(self)
        self.conn = host(client).connect(address(server), port, now=net.clock.now)
        self.conn.user = self
        self.received = bytearray()
        self.ended = False
        self.accepted: Connection | None = None

    def on_events(self, events: int) -> None:
        assert self.conn.error is None, self.conn.error
        room = self.conn.send_room()
        if room > 0 and self.rest:
            self.conn.send(self.rest[:room], self.net.clock.now)
            self.rest = self.rest[room:]
            if not self.rest:
                self.conn.close(self.net.clock.now)
        host(self.client).wake(self.conn)


class Accepts:
    """The server's side of an Exchange."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def on_events(self, events: int) -> None:
        x = self.exchange
        if x.accepted is None:
            x.accepted = x.listener.accept()
            if x.accepted is not None:
                x.accepted.user = self
        if x.accepted is None:
            return
        for chunk in x.accepted.recv_chunks():
            x.received += chunk
        if x.accepted.eof_received() and not x.ended:
            x.ended = True
            x.accepted.close(x.net.clock.now)
        host(x.server).wake(x.accepted)


def transfer(net: Network, client: HostNode, server: HostNode, size: int, limit_us: int = 60 * SECOND) -> Exchange:
    data = net.rng("data").randbytes(size)
    exchange = Exchange(net, client, server, data)
    net.run_until(lambda: exchange.ended, limit_us)
    assert bytes(exchange.received) == data
    host(server).unlisten(exchange.listener, net.clock.now)
    return exchange


def line(net: Network, routers: int, faults: Faults = LAN) -> tuple[HostNode, HostNode]:
    """A host, so many routers, a host."""
    nodes = [add_host(net, "a"), *(net.add_router(f"r{n}") for n in range(routers)), add_host(net, "b")]
    for one, other in pairwise(nodes):
        net.link(one, other, faults, faults)
    net.autoroute()
    return nodes[0], nodes[-1]


def star(net: Network, hosts: int, faults: Faults = LAN) -> tuple[Switch, list[HostNode]]:
    """Hosts around one switch."""
    switch = net.add_switch("s")
    nodes = [add_host(net, f"h{n}") for n in range(hosts)]
    for node in nodes:
        net.link(node, switch, faults, faults)
    net.autoroute()
    return switch, nodes


def test_a_line_of_five_routers_carries_a_stream() -> None:
    net = Network(1, invariants=True)
    a, b = line(net, 5)
    transfer(net, a, b, 100_000)
    routers = [node for node in net.hosts if node.name.startswith("r")]
    assert all(host(node).stats.counts[Counter.IP_FORWARDED] > 70 for node in routers)
    assert all(host(node).stats.drops[DropReason.IP_NO_ROUTE] == 0 for node in net.hosts)


def test_every_host_of_a_star_of_twenty_reaches_every_other() -> None:
    net = Network(2)
    switch, nodes = star(net, 20)
    received: list[tuple[str, str]] = []
    ends = {node: host(node).udp_open(0, 7, net.clock.now) for node in nodes}
    for one, other in permutations(nodes, 2):
        host(one).udp_send(ends[one], one.name.encode(), address(other), 7, net.clock.now)
    net.run_for(2 * SECOND)
    for node, end in ends.items():
        while (got := end.recv()) is not None:
            received.append((got[0].decode(), node.name))
    assert sorted(received) == sorted((one.name, other.name) for one, other in permutations(nodes, 2))
    assert len(switch.table) == 20
    assert switch.forwarded >= 380


def test_hosts_around_one_router_have_a_subnet_each_and_one_route_out() -> None:
    net = Network(3)
    router = net.add_router("r")
    nodes = [add_host(net, f"h{n}") for n in range(20)]
    for node in nodes:
        net.link(node, router, LAN, LAN)
    net.autoroute()
    assert format_addr(address(nodes[0])) == "10.0.0.1"
    assert format_addr(address(nodes[19])) == "10.0.19.1"
    routes = [route.snapshot() for route in host(nodes[3]).ip.routes]
    assert [(r["dst"], r["gateway"]) for r in routes] == [("10.0.3.0/24", None), ("0.0.0.0/0", "10.0.3.2")]
    transfer(net, nodes[0], nodes[19], 20_000)


def test_any_mesh_of_routers_is_routed_by_shortest_paths() -> None:
    """A ring of six routers, a host at each: neighbours go the short way round, nothing is lost for want of a route."""
    net = Network(4)
    routers = [net.add_router(f"r{n}") for n in range(6)]
    nodes = [add_host(net, f"h{n}") for n in range(6)]
    for n in range(6):
        net.link(routers[n], routers[(n + 1) % 6], LAN, LAN)
        net.link(nodes[n], routers[n], LAN, LAN)
    net.autoroute()
    for one, other in permutations(nodes, 2):
        echo = host(one).icmp_open()
        host(one).ip.icmp.send_echo(echo, address(other), 1, b"hello", net.clock.now)
        net.run_for(SECOND)
        reply = echo.replies.popleft()
        assert reply.raddr == address(other)
        apart = abs(nodes.index(one) - nodes.index(other))
        assert reply.ttl == 64 - 1 - min(apart, 6 - apart)
    assert all(host(node).stats.drops[DropReason.IP_NO_ROUTE] == 0 for node in net.hosts)


def test_two_switched_subnets_with_two_routers_between_them() -> None:
    net = Network(5)
    left, right = net.add_switch("left"), net.add_switch("right")
    a, b = add_host(net, "a"), add_host(net, "b")
    net.link(a, left, LAN, LAN)
    net.link(b, right, LAN, LAN)
    for name in ("r1", "r2"):
        router = net.add_router(name)
        net.link(router, left, LAN, LAN)
        net.link(router, right, LAN, LAN)
    net.autoroute()
    transfer(net, a, b, 50_000)


def test_addresses_given_by_hand_stay_and_the_rest_of_the_subnet_follows() -> None:
    net = Network(6)
    switch = net.add_switch("s")
    nodes = [add_host(net, f"h{n}") for n in range(3)]
    links = [net.link(node, switch) for node in nodes]
    host(nodes[1]).add_address(links[1].a.ifindex, 0xC0A8_0101, 29, 0)  # 192.168.1.1/29
    net.autoroute()
    assert [format_addr(address(node)) for node in nodes] == ["192.168.1.2", "192.168.1.1", "192.168.1.3"]
    net.autoroute()
    assert [len(host(node).ip.interfaces[1].addrs) for node in nodes] == [1, 1, 1]


def test_a_subnet_of_three_hundred_hosts_gets_a_prefix_that_holds_them() -> None:
    net = Network(7)
    add_host(net, "x")
    net.link(net.hosts[0], add_host(net, "y"))
    _, nodes = star(net, 300)
    prefixes = {address_of(node.ports[0])[1] for node in nodes}
    assert prefixes == {23}
    assert len({address(node) for node in net.hosts}) == 302
    transfer(net, nodes[0], nodes[299], 10_000)


def test_a_hundred_hosts_behind_a_router_talk_to_one_server_at_once() -> None:
    net = Network(20)
    switch, router, server = net.add_switch("s"), net.add_router("r"), add_host(net, "server")
    clients = [add_host(net, f"c{n}") for n in range(100)]
    for node in (*clients, router):
        net.link(node, switch, LAN, LAN)
    net.link(router, server, LAN, LAN)
    net.autoroute()
    exchanges = [Exchange(net, node, server, node.name.encode() * 1_000, 1_000 + n) for n, node in enumerate(clients)]
    net.run_until(lambda: all(x.ended for x in exchanges), 60 * SECOND)
    assert [bytes(x.received) for x in exchanges] == [node.name.encode() * 1_000 for node in clients]
    assert len(switch.table) == 101


def test_what_has_no_way_is_known_before_the_run() -> None:
    net = Network(8)
    a, b, c = (add_host(net, name) for name in "abc")
    net.link(a, b)
    net.link(b, c)  # b does not forward
    net.autoroute()
    assert net.reachable(a, b)
    assert not net.reachable(a, c)


def test_a_loop_of_switches_is_refused() -> None:
    net = Network(9)
    s = [net.add_switch(f"s{n}") for n in range(3)]
    net.link(s[0], s[1])
    net.link(s[1], s[2])
    with pytest.raises(ConfigError, match="s2 to s0 would close a loop"):
        net.link(s[2], s[0])
    with pytest.raises(ConfigError, match="to itself"):
        net.link(s[0], s[0])


def test_a_name_is_used_once() -> None:
    net = Network(10)
    net.add_switch("x")
    with pytest.raises(ConfigError, match="node x already"):
        net.add_router("x")


@pytest.mark.parametrize("mtu", [0, 67, 65_536])
def test_an_impossible_mtu_is_refused(mtu: int) -> None:
    net = Network(11)
    a, b = add_host(net, "a"), add_host(net, "b")
    with pytest.raises(ConfigError, match="MTU"):
        net.link(a, b, mtu=mtu)
    link = net.link(a, b)
    with pytest.raises(ConfigError, match="MTU"):
        link.set_mtu(mtu)


def test_a_switch_floods_what_it_does_not_know_and_forgets_the_oldest() -> None:
    net = Network(12)
    switch = net.add_switch("s", max_macs=2)
    nodes = [add_host(net, f"h{n}") for n in range(4)]
    links = [net.link(node, switch) for node in nodes]

    def frame(to: int, source: int) -> bytes:
        return links[to].a.mac + links[source].a.mac + b"\x88\xb5" + bytes(46)

    def sends(to: int, source: int) -> list[int]:
        """Which hosts the frame reaches."""
        before = [link.backward.counts.delivered for link in links]
        links[source].a.put(frame(to, source), net.clock.now, "")
        net.run_for(0)
        return [n for n, link in enumerate(links) if link.backward.counts.delivered > before[n]]

    assert sends(1, 0) == [1, 2, 3]  # flooded: nothing is known of 1
    assert sends(0, 1) == [0]
    assert sends(1, 0) == [1]
    assert sends(0, 2) == [0]  # 2 takes the place of 1
    assert sends(1, 0) == [1, 2, 3]
    assert list(switch.table) == [links[2].a.mac, links[0].a.mac]
    links[0].a.put(b"\xff" * 6 + links[0].a.mac + bytes(48), net.clock.now, "")
    links[0].a.put(links[0].a.mac * 2 + bytes(48), net.clock.now, "")
    links[0].a.put(b"short", net.clock.now, "")
    net.run_for(0)
    assert (switch.flooded, switch.filtered) == (3, 1)


def test_a_stream_survives_a_partition_that_heals() -> None:
    net = Network(13, invariants=True)
    a, b = line(net, 1)
    link = net.links[1]
    net.at(100 * MS, link.down)
    net.at(8 * SECOND, link.up)
    exchange = Exchange(net, a, b, bytes(3_000_000))
    net.run_for(7 * SECOND)
    assert not exchange.ended
    assert not link.is_up
    assert link.forward.counts.cut + link.backward.counts.cut > 0
    got = len(exchange.received)
    net.run_for(1 * SECOND - 1)
    assert len(exchange.received) == got > 0
    net.run_until(lambda: exchange.ended, 60 * SECOND)
    assert len(exchange.received) == 3_000_000
    assert all(model.counts.under_way() >= 0 for link in net.links for model in (link.forward, link.backward))


def test_a_partition_without_end_is_an_error_that_tells_its_story() -> None:
    net = Network(14)
    a, b = line(net, 1)
    net.at(20 * MS, net.links[0].down)
    exchange = Exchange(net, a, b, bytes(1_000_000))
    with pytest.raises(SimulationError, match=r"not reached in 5000000 us") as failure:
        net.run_until(lambda: exchange.ended, 5 * SECOND)
    (story,) = failure.value.__notes__
    assert "seed 14, at " in story
    assert "a.0 -> TCP 10.0.0.1 > 10.0.1.2 ports " in story
    assert "(lost by the link)" in story
    assert "a timer" in story
    assert "a-r0 down" in "\n".join(net.last_events(5_000))


def test_a_lower_mtu_is_told_to_the_hosts_at_the_link_and_found_by_the_others() -> None:
    net = Network(15)
    a, b = line(net, 1)
    exchange = Exchange(net, a, b, bytes(600_000))
    net.at(20 * MS, lambda: net.links[1].set_mtu(576))
    net.run_until(lambda: exchange.ended, 60 * SECOND)
    assert len(exchange.received) == 600_000
    router = next(node for node in net.hosts if node.name == "r0")
    assert host(router).stats.drops[DropReason.IP_NEEDS_FRAG] > 0
    assert host(a).ip.path(address(b)).mtu == 576
    assert net.links[1].forward.counts.too_long == 0


def test_a_silent_lower_mtu_is_a_black_hole() -> None:
    net = Network(16)
    a, b = line(net, 0)
    net.links[0].set_mtu(1_000, silent=True)
    end = host(b).udp_open(0, 7, net.clock.now)
    client = host(a).udp_open(0, 0, net.clock.now)
    host(a).udp_send(client, b"small", address(b), 7, net.clock.now)
    host(a).udp_send(client, bytes(1_400), address(b), 7, net.clock.now)
    net.run_for(SECOND)
    assert [end.recv() is not None, end.recv()] == [True, None]
    assert net.links[0].forward.counts.too_long == 1


def test_actions_come_in_their_turn_and_may_use_any_host() -> None:
    net = Network(17)
    a, b = line(net, 0)
    end = host(b).udp_open(0, 7, net.clock.now)
    client = host(a).udp_open(0, 0, net.clock.now)
    order: list[str] = []

    def send(text: str) -> None:
        order.append(f"{text} {net.clock.now}")
        host(a).udp_send(client, text.encode(), address(b), 7, net.clock.now)

    net.at(20_000, lambda: send("second"))
    net.at(10_000, lambda: send("first"))
    net.at(20_000, lambda: send("third"))
    net.run_for(SECOND)
    assert order == ["first 10000", "second 20000", "third 20000"]
    got = [end.recv() for _ in order]
    assert [item and item[0] for item in got] == [b"first", b"second", b"third"]
    with pytest.raises(ValueError, match="before"):
        net.at(5, lambda: None)


def test_an_outer_loop_may_drive_the_network_step_by_step() -> None:
    net = Network(18)
    a, b = line(net, 1)
    exchange = Exchange(net, a, b, bytes(100_000))
    times: list[int] = []
    host(a).wake(exchange.conn)
    while not exchange.ended:
        at = net.next_deadline()
        assert net.step()
        assert net.clock.now == max(at, times[-1] if times else 0)
        times.append(net.clock.now)
    assert times == sorted(times)
    idle = Network(1)
    assert not idle.step()
    assert idle.next_deadline() == NEVER


def test_a_failing_check_carries_the_report() -> None:
    net = Network(19)
    a, b = line(net, 1)

    def check() -> None:
        assert net.clock.now < 30 * MS, "too late"

    net.checks.append(check)
    exchange = Exchange(net, a, b, bytes(1_000_000))
    with pytest.raises(AssertionError, match="too late") as failure:
        net.run_until(lambda: exchange.ended, SECOND)
    (story,) = failure.value.__notes__
    assert "seed 19, at 30" in story


def mixed(seed: int) -> str:
    """A network of everything, with an action of every kind; its digest."""
    net = Network(seed)
    bad = Faults(
        delay_us=2 * MS, jitter_us=MS, loss=0.02, reordering=0.05, duplication=0.02, corruption=0.02, rate=1_250_000,
        queue="codel", codel_target_us=3 * MS, queue_frames=100,
    )  # fmt: skip
    switch = net.add_switch("s")
    routers = [net.add_router(f"r{n}") for n in range(2)]
    nodes = [add_host(net, f"h{n}") for n in range(4)]
    for node in (*nodes[:3], routers[0]):
        net.link(node, switch, LAN, LAN)
    middle = net.link(routers[0], routers[1], bad, bad)
    net.link(routers[1], nodes[3], LAN, LAN)
    net.autoroute()
    net.at(150 * MS, middle.down)
    net.at(400 * MS, middle.up)
    net.at(600 * MS, lambda: middle.set_mtu(900))
    exchanges = [Exchange(net, node, nodes[3], bytes(60_000), port) for port, node in enumerate(nodes[:3], 80)]
    net.run_until(lambda: all(x.ended for x in exchanges), 120 * SECOND)
    return net.digest()


def test_one_seed_gives_one_history() -> None:
    assert mixed(1) == mixed(1) != mixed(2)


@pytest.mark.parametrize(("pure", "hash_seed"), [("", "1"), ("", "77"), ("1", "2")])
def test_the_history_is_the_same_in_any_process(pure: str, hash_seed: str) -> None:
    """Not the hash seed, nor C or Python, nor (where this process runs the compiled core) the form of the core."""
    root = Path(__file__).parents[2]
    code = f"from {__name__} import mixed; print(mixed(1))"
    env = os.environ | {"PYTHONHASHSEED": hash_seed, "TAPSTACK_PURE": pure, "PYTHONPATH": str(root)}
    env["TAPSTACK_FORM"] = "interpreted"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, cwd=root)
    assert done.stdout.strip() == mixed(1)
