"""Hosts that are not neighbours: our forwarding, path MTU discovery and fragments between our own ends."""

from random import Random

import pytest

from stack.config import SECOND, HostConfig, IpConfig
from stack.device.fault import Faults
from stack.device.virtual import FULL_OFFLOAD
from stack.device.wrapper import NO_OFFLOAD
from stack.host.host import Host
from stack.sim.network import Network
from stack.stats import Counter, DropReason
from stack.tcp.events import ACCEPTABLE, READABLE
from stack.wire.addr import parse_addr
from stack.wire.icmp import ErrorKind
from tests.support.rfc import rfc

A, B = parse_addr("10.0.1.1"), parse_addr("10.0.2.1")
R_A, R_B = parse_addr("10.0.1.254"), parse_addr("10.0.2.254")
WIRE = Faults(delay_us=100)


class Reader:
    """Keeps what a connection receives."""

    def __init__(self, net, conn):
        self.net = net
        self.conn = conn
        self.data = bytearray()
        conn.user = self

    def on_events(self, events):
        if events & READABLE:
            for chunk in self.conn.recv_chunks():
                self.data += chunk
            self.net.wake(self.conn)


class Acceptor:
    def __init__(self, listener):
        self.listener = listener
        self.conn = None
        listener.user = self

    def on_events(self, events):
        if events & ACCEPTABLE:
            self.conn = self.listener.accept()


class Routed:
    """a - r - b; the link of b carries `mtu` bytes."""

    def __init__(self, mtu=600, *, caps=NO_OFFLOAD, faults=WIRE, seed=1):
        self.network = Network(seed)
        self.hosts = {}
        for name in "arb":
            config = HostConfig(ip=IpConfig(forwarding=name == "r", arp_probe=False))
            host = Host(config, self.network.rng(name))
            self.hosts[name] = host
            self.network.add_host(name, host)
        self.a, self.r, self.b = self.hosts["a"], self.hosts["r"], self.hosts["b"]
        near, router, far = self.network.nodes
        links = [
            self.network.link(near, router, faults, faults, caps=caps),
            self.network.link(router, far, faults, faults, mtu=mtu, caps=caps),
        ]
        for host, port, addr in (
            (self.a, links[0].a, A),
            (self.r, links[0].b, R_A),
            (self.r, links[1].a, R_B),
            (self.b, links[1].b, B),
        ):
            host.add_address(port.ifindex, addr, 24, 0)
        self.a.add_route(0, 0, R_A)
        self.b.add_route(0, 0, R_B)
        self.network.run_for(3 * SECOND)

    @property
    def now(self):
        return self.network.clock.now

    def wake(self, conn):
        for host in (self.a, self.b):
            host.wake(conn)

    def send_all(self, host, conn, data, reader):
        sent = 0
        while len(reader.data) < len(data):
            room = conn.send_room()
            if sent < len(data) and room > 0:
                conn.send(data[sent : sent + room], self.now)
                sent += len(data[sent : sent + room])
                host.wake(conn)
            before = len(reader.data)
            self.network.run_until(lambda b=before: len(reader.data) > b, 60 * SECOND)


@pytest.mark.parametrize("caps", [NO_OFFLOAD, FULL_OFFLOAD], ids=["plain", "offload"])
def test_tcp_between_links_of_different_mtu_never_needs_a_fragment(caps):
    net = Routed(600, caps=caps)
    acceptor = Acceptor(net.b.listen(0, 80, now=net.now))
    conn = net.a.connect(B, 80, now=net.now)
    net.network.run_until(lambda: acceptor.conn is not None, SECOND)
    data = Random(1).randbytes(200_000)
    reader = Reader(net, acceptor.conn)
    net.send_all(net.a, conn, data, reader)
    assert bytes(reader.data) == data
    back = Reader(net, conn)
    net.send_all(net.b, acceptor.conn, data, back)
    assert bytes(back.data) == data
    assert net.r.stats.counts[Counter.IP_FORWARDED] > 600
    assert net.r.stats.counts[Counter.IP_FRAGS_CREATED] == 0


@rfc("1191", "6", "1191-1")
@rfc("1122", "3.2.2.1", "ICMP-7")
def test_a_narrow_link_in_the_middle_is_found_by_icmp():
    """Neither end can know: the router's report alone lowers the segment size."""
    net = Routed(1500)
    net.r.ip.add_route(B, 32, ifindex=2, mtu=700)
    acceptor = Acceptor(net.b.listen(0, 80, now=net.now))
    conn = net.a.connect(B, 80, now=net.now)
    net.network.run_until(lambda: acceptor.conn is not None, SECOND)
    data = Random(1).randbytes(100_000)
    reader = Reader(net, acceptor.conn)
    net.send_all(net.a, conn, data, reader)
    assert bytes(reader.data) == data
    assert net.r.stats.drops[DropReason.IP_NEEDS_FRAG] > 0
    assert net.a.ip.path(B).mtu == 700


@rfc("768", "0", "UDP-6")
@pytest.mark.parametrize("size", [0, 1472, 1473, 65_507])
def test_datagrams_of_any_size_cross_a_router_and_come_back(size):
    net = Routed(600)
    server = net.b.udp_open(0, 7, net.now)
    client = net.a.udp_open(0, 9, net.now)
    data = Random(size).randbytes(size)

    def send():
        net.a.udp_send(client, data, B, 7, net.now)

    send()
    if size == 1472:  # it fits our link, so it went with DF set and was lost: the next one is fragmented
        net.network.run_for(SECOND)
        assert server.recv() is None
        assert net.a.ip.path(B).mtu == 600
        send()
    net.network.run_for(SECOND)
    got, addr, port, *_ = server.recv()
    assert got == data
    net.b.udp_send(server, got, addr, port, net.now)
    net.network.run_for(SECOND)
    assert client.recv()[0] == data


def test_fragments_survive_disorder_and_duplication():
    net = Routed(600, faults=Faults(delay_us=500, jitter_us=2000, reordering=0.2, reorder_us=1000, duplication=0.2))
    server = net.b.udp_open(0, 7, net.now)
    client = net.a.udp_open(0, 9, net.now)
    for n in range(20):
        data = Random(n).randbytes(20_000)
        net.a.udp_send(client, data, B, 7, net.now)
        net.network.run_for(SECOND // 10)
        assert server.recv()[0] == data
    assert net.b.stats.drops[DropReason.IP_FRAG_OVERLAP] == 0


def test_corrupted_fragments_never_make_a_wrong_datagram():
    net = Routed(600, faults=Faults(delay_us=500, corruption=0.01))
    server = net.b.udp_open(0, 7, net.now)
    client = net.a.udp_open(0, 9, net.now)
    whole = 0
    for n in range(60):
        data = Random(n).randbytes(5000)
        net.a.udp_send(client, data, B, 7, net.now)
        net.network.run_for(SECOND)
        got = server.recv()
        assert got is None or got[0] == data
        whole += got is not None
    assert 0 < whole < 60
    net.network.run_for(61 * SECOND)
    assert net.b.ip.snapshot()["reassembly"] == {"datagrams": 0, "bytes": 0}


@rfc("1812", "5.3.1", "RTR-1")
def test_traceroute_over_our_own_router():
    net = Routed(600)
    echo = net.a.icmp_open()
    hops = []
    for ttl in (1, 2):
        net.a.ip.icmp.send_echo(echo, B, ttl, b"probe", net.now, ttl=ttl)
        net.network.run_for(SECOND)
        if echo.errors:
            err, reporter = echo.errors.popleft()
            assert err.kind == ErrorKind.TIME_EXCEEDED
            hops.append(reporter)
        else:
            hops.append(echo.replies.popleft().raddr)
    assert hops == [R_A, B]


@rfc("1122", "4.1.3.3", "UDP-4")
def test_a_host_that_is_gone_is_reported_from_afar():
    net = Routed(600)
    client = net.a.udp_open(0, 9, net.now)
    gone = parse_addr("10.0.2.77")
    net.a.udp_connect(client, gone, 7)
    net.a.udp_send(client, b"anyone?", 0, 0, net.now)
    net.network.run_for(5 * SECOND)
    err = client.take_error_record()
    assert (err.kind, err.reporter) == (ErrorKind.HOST_UNREACHABLE, R_A)
