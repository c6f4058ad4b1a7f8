"""Transparent servers: connections to addresses that are nobody's here, and what they must leave alone."""

import asyncio

import pytest

from stack.aio.network import AsyncHost
from stack.config import HostConfig, IpConfig, TcpConfig
from stack.device.virtual import link
from stack.errors import AddressInUse, AddressNotAvailable, InvalidAddress
from stack.stats import Counter, DropReason
from stack.wire.addr import parse_addr
from tests.support.aio_nets import CLIENT_IP, CONFIG, SERVER_IP, StackNet

FAR = "203.0.113.7"


async def echo(reader, writer):
    """Says first which destination it took the connection for."""
    address, port = writer.get_extra_info("sockname")
    writer.write(f"{address}:{port}\n".encode())
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()


async def talk(net, address, port, size=100_000):
    """What the server took the connection for."""
    reader, writer = await net.client.open_connection(address, port)
    assert writer.get_extra_info("peername") == (address, port)
    taken_for = (await reader.readline()).decode().strip()
    writer.write(bytes(size))
    writer.write_eof()
    assert len(await reader.read()) == size
    writer.close()
    await writer.wait_closed()
    return taken_for


def transparent(body, config=CONFIG, **where):
    """Run `body(net, server)`; the client's default route leads to the host with the transparent server."""

    async def main():
        async with StackNet(config=config) as net:
            net.client.host.add_route(0, 0, parse_addr(SERVER_IP))
            async with await net.server.start_transparent_server(echo, **where) as server:
                await body(net, server)
            net.server.host.check_invariants()

    asyncio.run(main())


def test_every_destination_is_accepted_and_known():
    async def body(net, server):
        assert await talk(net, FAR, 80) == f"{FAR}:80"
        assert await talk(net, "8.8.4.4", 6543) == "8.8.4.4:6543"
        assert server.sockets[0].getsockname() == ("0.0.0.0", 0)

    transparent(body)


def test_the_hosts_own_addresses_are_not_among_them():
    async def body(net, server):
        with pytest.raises(ConnectionRefusedError):
            await net.client.open_connection(SERVER_IP, 80)
        async with await net.server.start_server(lambda _, writer: writer.close(), SERVER_IP, 80):
            reader, writer = await net.client.open_connection(SERVER_IP, 80)
            assert await reader.read() == b""
            writer.close()

    transparent(body)


def test_an_ordinary_server_on_every_address_has_none_of_others():
    async def main():
        async with StackNet() as net:
            net.client.host.add_route(0, 0, parse_addr(SERVER_IP))
            async with await net.server.start_server(echo, port=80):
                assert await talk(net, SERVER_IP, 80) == f"{SERVER_IP}:80"
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.05):
                        await net.client.open_connection(FAR, 80)
                assert net.server.host.stats.drops[DropReason.IP_NOT_OURS] > 0

    asyncio.run(main())


def test_prefix_and_port_decide():
    """The longest prefix first, and with it the port; what nobody has is dropped as ever."""

    def named(name):
        def answer(_, writer):
            writer.write(name)
            writer.close()

        return answer

    async def asked(net, address, port):
        try:
            async with asyncio.timeout(0.1):
                reader, writer = await net.client.open_connection(address, port)
        except TimeoutError:
            return None
        found = await reader.read()
        writer.close()
        return found

    async def main():
        async with StackNet() as net:
            net.client.host.add_route(0, 0, parse_addr(SERVER_IP))
            start = net.server.start_transparent_server
            servers = [
                await start(named(b"port 80"), "0.0.0.0/0", 80),
                await start(named(b"network"), "203.0.113.0/24"),
                await start(named(b"one, 80"), "203.0.113.9/32", 80),
            ]
            assert await asked(net, "203.0.113.9", 80) == b"one, 80"
            assert await asked(net, "203.0.113.9", 81) == b"network"
            assert await asked(net, "203.0.113.8", 80) == b"network"
            assert await asked(net, "8.8.8.8", 80) == b"port 80"
            assert await asked(net, "8.8.8.8", 81) is None
            servers[1].close()
            assert await asked(net, "203.0.113.8", 80) == b"port 80"
            for server in servers:
                server.close()
            assert await asked(net, "8.8.8.8", 80) is None
            assert len(net.server.host.tcp.listeners) == 0

    asyncio.run(main())


def test_a_connection_outlives_its_server():
    async def body(net, server):
        reader, writer = await net.client.open_connection(FAR, 80)
        assert await reader.readline() == f"{FAR}:80\n".encode()
        server.close()
        writer.write(b"still here")
        assert await reader.readexactly(10) == b"still here"
        net.server.host.ip.touch()  # every path is chosen anew
        writer.write(b"and still")
        assert await reader.readexactly(9) == b"and still"
        writer.close()

    transparent(body)


@pytest.mark.parametrize("cookies", [True, False])
def test_a_full_backlog_is_answered_with_cookies_for_each_destination(cookies):
    config = HostConfig(
        ip=IpConfig(arp_probe=False), tcp=TcpConfig(max_syn_backlog=1 if cookies else 100, syn_cookies=True)
    )

    async def body(net, server):
        taken = await asyncio.gather(*(talk(net, f"203.0.113.{n}", 1000 + n, 1000) for n in range(1, 40)))
        assert taken == [f"203.0.113.{n}:{1000 + n}" for n in range(1, 40)]
        assert (net.server.host.stats.counts[Counter.TCP_SYN_COOKIES_RECV] > 0) == cookies

    transparent(body, config, backlog=100)


def test_addresses_that_are_no_hosts_are_refused():
    async def body(net, server):
        host = net.server.host
        for address in ("224.0.0.5", "255.255.255.255", "240.0.0.1", "0.0.0.0"):
            assert host.tcp.listeners.find_transparent(parse_addr(address), 80) is None

    transparent(body)


def test_mistakes_in_one_sentence():
    async def body(net, server):
        for error, text, where in (
            (AddressInUse, r"every TCP port of 0\.0\.0\.0/0 has a transparent listener", ("0.0.0.0/0",)),
            (InvalidAddress, "bits beyond its length", ("10.0.0.1/8",)),
            (OverflowError, "port", ("10.0.0.0/8", 70_000)),
        ):
            with pytest.raises(error, match=text):
                await net.server.start_transparent_server(echo, *where)
        with pytest.raises(AddressNotAvailable):
            await net.server.open_connection(CLIENT_IP, 80, local_addr=(FAR, 0))

    transparent(body)


def test_what_is_for_others_is_still_forwarded():
    """A router with a transparent server for one port forwards everything else."""

    async def main():
        config = HostConfig(ip=IpConfig(arp_probe=False, forwarding=True))
        near, near_end = link(b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2")
        far, far_end = link(b"\x02\0\0\0\0\3", b"\x02\0\0\0\0\4")
        client, router, server = AsyncHost(CONFIG), AsyncHost(config), AsyncHost(CONFIG)
        client.add_device(near, "10.0.0.1/24", gateway="10.0.0.2")
        router.add_device(near_end, "10.0.0.2/24")
        router.add_device(far, "10.0.1.1/24")
        server.add_device(far_end, "10.0.1.2/24", gateway="10.0.1.1")
        async with client, router, server:
            await server.start_server(echo, port=80)
            await server.start_server(echo, port=81)
            taken = []

            async def take(reader, writer):
                taken.append(writer.get_extra_info("sockname"))
                writer.close()

            transparent_server = await router.start_transparent_server(take, "10.0.1.0/24", 80)
            reader, writer = await client.open_connection("10.0.1.2", 81)
            assert await reader.readline() == b"10.0.1.2:81\n"
            reader2, writer2 = await client.open_connection("10.0.1.2", 80)
            assert await reader2.read() == b""
            assert taken == [("10.0.1.2", 80)]
            transparent_server.close()
            reader3, writer3 = await client.open_connection("10.0.1.2", 80)
            assert await reader3.readline() == b"10.0.1.2:80\n"
            await client.ping("10.0.1.2")  # by the router, too
            for each in (writer, writer2, writer3):
                each.close()

    asyncio.run(main())
