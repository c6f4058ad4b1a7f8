"""Programs on simulated hosts: topologies, names, crashes, restarts, partitions, and what is told of failures."""

import asyncio
import errno
import socket
import ssl

import pytest

from stack.aio.active import ACTIVE
from stack.aio.network import AsyncHost
from stack.config import HostConfig, IpConfig, TcpConfig
from stack.device.fault_settings import Faults
from stack.device.virtual import link
from stack.errors import AddressInUse, ConfigError, HostClosed, InvalidAddress
from stack.sim.world import VirtualNet
from tests.support.certificates import self_signed
from tests.support.worlds import echo, run, say, serve

# -- hosts, addresses, names


def test_a_star_of_hosts_that_know_each_other_by_name():
    async def main(net):
        hosts = net.add_hosts("a", "b", "c")
        assert [host.address for host in hosts] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
        for host in hosts:
            host.boot(serve)
        await asyncio.sleep(1)
        for host in hosts:
            for peer in ("a", "b", "c", "10.0.0.2", "localhost", "127.0.0.1"):
                assert await say(host, peer) == b"hello"
        loop = asyncio.get_running_loop()
        assert (await loop.getaddrinfo("b", 80, type=socket.SOCK_STREAM))[0][4] == ("10.0.0.2", 80)
        assert await loop.getnameinfo(("10.0.0.2", 40_000)) == ("10.0.0.2", "40000")
        with pytest.raises(socket.gaierror, match="no host of this simulation"):
            await say(hosts[0], "nobody")

    run(main)


def test_addresses_of_ones_own_choice():
    async def main(net):
        a = net.add_host("a", address="10.0.0.2")
        b = net.add_host("b")
        c = net.add_host("c")
        d = net.add_host("d", address="192.0.2.1/24")
        assert [host.address for host in (a, b, c, d)] == ["10.0.0.2", "10.0.0.1", "10.0.0.3", "192.0.2.1"]
        with pytest.raises(AddressInUse):
            net.add_host("e", address="10.0.0.3")
        with pytest.raises(ConfigError, match="there is a node a already"):
            net.add_host("a")
        with pytest.raises(InvalidAddress):
            net.add_host("f", address="here")

    run(main)


def test_a_host_listens_on_its_own_addresses_only():
    async def main(net):
        a, b = net.add_hosts("a", "b")
        loop = asyncio.get_running_loop()
        with a.active():
            for host in ("10.0.0.1", "a", "localhost", ["10.0.0.1"], None):
                server = await asyncio.start_server(echo, host, 7, reuse_address=True)
                server.close()
            for host in (b.address, "10.0.0.99", ["10.0.0.99"]):
                with pytest.raises(OSError) as failed:
                    await asyncio.start_server(echo, host, 7)
                assert failed.value.errno == errno.EADDRNOTAVAIL
            with pytest.raises(OSError) as failed:
                await loop.create_datagram_endpoint(asyncio.DatagramProtocol, (b.address, 7))
            assert failed.value.errno == errno.EADDRNOTAVAIL
            await asyncio.start_server(echo, port=7)
            with pytest.raises(OSError) as failed:
                await asyncio.start_server(echo, port=7)
            assert failed.value.errno == errno.EADDRINUSE

    run(main)


def test_a_routed_network():
    async def main(net):
        a, b = (net.add_host(name, attach=False) for name in "ab")
        assert a.address == ""
        with pytest.raises(ConfigError, match=r"net\.link"):
            _ = a.link
        router = net.add_router("r")
        net.link(a, router, Faults(delay_us=5_000))
        net.link(router, b, Faults(delay_us=10_000), Faults(delay_us=20_000))
        net.autoroute()
        b.boot(serve)
        await asyncio.sleep(1)
        await say(a, "b")
        begin = net.time
        await say(a, b.address)
        elapsed = net.time - begin
        b.restart()  # routes are kept
        await asyncio.sleep(1)
        assert await say(a, "b") == b"hello"
        assert await say(b, "b") == b"hello"
        return elapsed

    assert run(main) == pytest.approx(2 * 0.040, abs=0.001)


def test_datagrams_between_hosts():
    class Peer(asyncio.DatagramProtocol):
        def __init__(self):
            self.heard = asyncio.Queue()

        def datagram_received(self, data, addr):
            self.heard.put_nowait((data, addr))

    async def main(net):
        a, b = net.add_hosts("a", "b")
        loop = asyncio.get_running_loop()
        with b.active():
            bound, server = await loop.create_datagram_endpoint(Peer, local_addr=("0.0.0.0", 9))
        with a.active():
            transport, client = await loop.create_datagram_endpoint(Peer, remote_addr=("b", 9))
        transport.sendto(b"ping")
        data, addr = await server.heard.get()
        bound.sendto(data.upper(), addr)
        return await client.heard.get(), addr[0]

    assert run(main) == ((b"PING", ("10.0.0.2", 9)), "10.0.0.1")


def test_what_a_host_starts_is_on_it():
    async def main(net):
        a, b = net.add_hosts("a", "b")
        seen = {}

        def here(name):
            host = ACTIVE.get()
            seen[name] = None if host is None else host.driver.name

        async def task(name):
            here(name)

        class Server(asyncio.Protocol):
            def connection_made(self, transport):
                here("connection_made")

            def data_received(self, data):
                here("data_received")
                self.task = asyncio.create_task(task("task of a protocol"))

        with b.active():
            await asyncio.get_running_loop().create_server(Server, port=7)
        here("main")
        with a.active():
            with b.active():
                here("inner")
            here("outer")
            _, writer = await asyncio.open_connection("b", 7)
        writer.write(b"x")
        await a.spawn(task("spawned"))
        await asyncio.sleep(1)
        writer.close()
        return seen

    assert run(main) == {
        "main": None,
        "inner": "b",
        "outer": "a",
        "spawned": "a",
        "connection_made": "b",
        "data_received": "b",
        "task of a protocol": "b",
    }


def test_a_host_made_over_its_driver_takes_no_devices():
    async def main(net):
        (host,) = net.add_hosts("a")
        assert isinstance(host.stack, AsyncHost)
        with pytest.raises(TypeError, match="takes no devices"):
            host.stack.add_device(link(b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2")[0])
        assert (await host.stack.ping("10.0.0.1")).seq == 1
        await host.stack.aclose()
        assert not host.is_up
        assert await host.stack.driver.closed is None
        with pytest.raises(HostClosed):
            await say(host, "a")

    run(main)


# -- links


def test_a_bad_link_delays_and_loses_nothing():
    bad = Faults(loss=0.05, delay_us=10_000, jitter_us=5_000, reordering=0.05, duplication=0.02, rate=1_000_000)

    async def main(net):
        a, b = net.add_hosts("a", "b", faults=bad)
        b.boot(serve)
        await asyncio.sleep(1)
        data = net.rng.randbytes(300_000)
        with a.active():
            reader, writer = await asyncio.open_connection("b", 7)

        async def send():
            writer.write(data)
            await writer.drain()
            writer.write_eof()

        sending = asyncio.create_task(send())
        assert await reader.read() == data
        await sending
        writer.close()
        return a.link.forward.counts.lost

    assert run(main) > 0


def test_faults_change_while_the_program_runs():
    async def main(net):
        a, b = net.add_hosts("a", "b")
        b.boot(serve)
        await asyncio.sleep(1)
        times = []
        for act in (
            lambda: None,
            lambda: a.link.configure(Faults(delay_us=100_000)),
            lambda: net.configure(Faults(delay_us=1_000)),
        ):
            act()
            await say(a, "b")
            begin = net.time
            await say(a, "b")
            times.append(net.time - begin)
        return times

    assert run(main) == [pytest.approx(0.002), pytest.approx(0.401), pytest.approx(0.008)]


# -- partitions


def test_a_partition_is_between_those_named_and_heals():
    async def main(net):
        hosts = a, b, c, d = net.add_hosts("a", "b", "c", "d")
        for host in hosts:
            host.boot(serve)
        await asyncio.sleep(1)

        async def reaches(host, peer):
            try:
                async with asyncio.timeout(2):
                    return await say(host, peer.name) == b"hello"
            except TimeoutError:
                return False

        async def pairs():
            return {f"{x.name}{y.name}" for x in hosts for y in hosts if x is not y and not await reaches(x, y)}

        assert await pairs() == set()
        net.partition(a, [b, c])
        assert await pairs() == {"ab", "ba", "ac", "ca"}
        net.heal(c, a)
        assert await pairs() == {"ab", "ba"}
        net.partition([c, d], a)
        net.heal()
        assert await pairs() == set()
        net.partition(a, d, one_way=True)
        assert await pairs() == {"ad", "da"}  # no answer comes back

    run(main)


def test_a_stream_goes_on_when_a_partition_has_healed():
    async def main(net):
        a, b = net.add_hosts("a", "b")
        b.boot(serve)
        await asyncio.sleep(1)
        with a.active():
            reader, writer = await asyncio.open_connection("b", 7)
        net.partition(a, b)
        writer.write(b"late")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(10), 30)
        net.heal()
        assert await reader.readexactly(4) == b"late"
        writer.close()
        return net.time

    assert 31 < run(main) < 100


def test_one_way_only_loses_one_way():
    class Peer(asyncio.DatagramProtocol):
        def __init__(self):
            self.heard = []

        def datagram_received(self, data, addr):
            self.heard.append(data)

    async def main(net):
        a, b = net.add_hosts("a", "b")
        loop = asyncio.get_running_loop()
        ends = []
        for host in (a, b):
            with host.active():
                ends.append(await loop.create_datagram_endpoint(Peer, local_addr=("0.0.0.0", 9)))
        (from_a, at_a), (from_b, at_b) = ends

        async def both():
            from_a.sendto(b"x", (b.address, 9))
            from_b.sendto(b"y", (a.address, 9))
            await asyncio.sleep(1)

        await both()
        net.partition(a, b, one_way=True)
        await both()
        return len(at_a.heard), len(at_b.heard)

    assert run(main) == (2, 1)


def test_partitions_need_hosts_of_one_switch():
    async def main(net):
        a, b = net.add_hosts("a", "b")
        alone = net.add_host("alone", attach=False)
        with pytest.raises(ConfigError, match="take a link between them down"):
            net.partition(a, alone)
        with pytest.raises(ConfigError, match="both sides"):
            net.partition([a, b], b)

    run(main)


# -- TLS


def test_tls_on_virtual_time():
    """Its keys are the kernel's: contents differ from run to run, times and lengths do not."""

    server_context, client_context = self_signed("stack.example")

    async def main(net):
        a, b = net.add_hosts("a", "b", faults=Faults(delay_us=50_000))
        with b.active():
            await asyncio.start_server(echo, port=443, ssl=server_context)
        with a.active():
            reader, writer = await asyncio.open_connection(
                "b", 443, ssl=client_context, server_hostname="stack.example"
            )
        assert isinstance(writer.get_extra_info("ssl_object"), ssl.SSLObject)
        await asyncio.sleep(3600)
        writer.write(b"secret" * 1_000)
        assert await reader.readexactly(6_000) == b"secret" * 1_000
        writer.close()
        await writer.wait_closed()
        return net.time

    assert 3600 < run(main) < 3603


# -- settings


def test_settings_of_hosts():
    config = HostConfig(tcp=TcpConfig(congestion="newreno"), ip=IpConfig(arp_probe=False, arp_tries=1))

    async def main(net):
        a, _ = net.add_host("a", config=config), net.add_host("b")
        begin = net.time
        with pytest.raises(OSError) as failed:
            await say(a, "10.0.0.99")
        assert failed.value.errno == errno.EHOSTUNREACH
        assert a.stack.host.config is config
        return net.time - begin

    assert run(main) < 3


def test_a_net_without_run():
    """As a test plugin has it: a loop for whoever runs it."""

    async def main():
        with net.hosts["b"].active():
            await asyncio.start_server(echo, port=7)
        return await say(net.hosts["a"], "b")

    net = VirtualNet(5)
    net.add_hosts("a", "b")
    with asyncio.Runner(loop_factory=lambda: net.loop) as runner:
        assert runner.run(main()) == b"hello"
