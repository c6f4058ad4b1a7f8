"""create_server on a StackLoop: whose addresses, which ports, and the object that stands for it all."""

import asyncio
import errno
import socket
from dataclasses import replace

import pytest

from stack.aio import server as server_module
from stack.aio.loop import StackLoop
from stack.aio.network import AsyncHost
from stack.aio.server import StackServer
from stack.aio.serving import ListenAddress
from stack.device.virtual import Switch
from stack.errors import HostClosed
from tests.support.aio_nets import CLIENT_IP, CONFIG, SERVER_IP, StackNet
from tests.support.aio_protocols import Recorder, echo, shut

NOBODY = "10.0.0.77"


def echoing():
    return Recorder(on_data=echo)


async def talk(ip, port):
    """One round with an echo server; where the answer came from."""
    reader, writer = await asyncio.open_connection(ip, port)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    peer = writer.get_extra_info("peername")
    writer.close()
    await writer.wait_closed()
    return peer


def ports(server):
    return {sock.getsockname()[1] for sock in server.sockets}


def addresses(server):
    return {sock.getsockname()[0] for sock in server.sockets}


async def closed(server):
    server.close()
    await server.wait_closed()


# -- what a server does, over the kernel and over ours


def test_a_server_answers_on_its_address(place):
    async def main():
        async with place.net() as net:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(echoing, net.ip, 0)
            [sock] = server.sockets
            ip, port = sock.getsockname()
            assert ip == net.ip
            assert await talk(ip, port) == (ip, port)
            assert server.is_serving()
            assert server.get_loop() is loop
            await closed(server)
            assert not server.is_serving()
            assert server.sockets in ((), [])
            with pytest.raises(ConnectionRefusedError):
                await talk(ip, port)
            server.close()

    place.run(main())


@pytest.mark.parametrize("form", ["list", "tuple", "generator", "twice"])
def test_a_server_takes_several_hosts(asyncio_place, form):
    async def main():
        async with asyncio_place.net() as net:
            hosts = {
                "list": [net.ip],
                "tuple": (net.ip,),
                "generator": (ip for ip in [net.ip]),
                "twice": [net.ip, net.ip],
            }[form]
            server = await asyncio.get_running_loop().create_server(echoing, hosts, 0)
            assert len(server.sockets) == 1
            await talk(net.ip, *ports(server))
            await closed(server)

    asyncio_place.run(main())


def test_a_port_may_be_a_service(place):
    async def main():
        async with place.net() as net:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(echoing, net.ip, "8475")
            assert ports(server) == {8475}
            await closed(server)
            with pytest.raises(socket.gaierror):
                await loop.create_server(echoing, net.ip, "no-such-service")

    place.run(main())


def test_a_taken_port_is_in_use(place):
    async def main():
        async with place.net() as net:
            loop = asyncio.get_running_loop()
            first = await loop.create_server(echoing, net.ip, 0)
            [port] = ports(first)
            with pytest.raises(OSError, match=f"error while attempting to bind on address .*{port}.*in use") as caught:
                await loop.create_server(echoing, net.ip, port)
            assert caught.value.errno == errno.EADDRINUSE
            await closed(first)
            await closed(await loop.create_server(echoing, net.ip, port))

    place.run(main())


def test_nobodys_address_is_not_available(place):
    async def main():
        async with place.net():
            loop = asyncio.get_running_loop()
            with pytest.raises(OSError) as caught:
                await loop.create_server(echoing, NOBODY, 0)
            assert NOBODY in str(caught.value)
            if caught.value.errno is None:  # from 3.13 on asyncio has none to tell
                return
            assert caught.value.errno == errno.EADDRNOTAVAIL
            if isinstance(loop, StackLoop) and loop.ownership.hosts:
                assert "the hosts of this loop have 10.0.0.1, 10.0.0.2, and no interface" in str(caught.value)

    place.run(main())


def test_a_port_beyond_the_last_one_is_refused(asyncio_place):
    async def main():
        async with asyncio_place.net() as net:
            with pytest.raises((OverflowError, socket.gaierror)):
                await asyncio.get_running_loop().create_server(echoing, net.ip, 65_536)

    asyncio_place.run(main())


def test_ports_can_be_shared(place):
    async def main():
        async with place.net() as net:
            loop = asyncio.get_running_loop()
            got = [0, 0]

            def counting(index):
                def factory():
                    got[index] += 1
                    return echoing()

                return factory

            first = await loop.create_server(counting(0), net.ip, 0, reuse_port=True)
            [port] = ports(first)
            second = await loop.create_server(counting(1), net.ip, port, reuse_port=True)
            with pytest.raises(OSError):
                await loop.create_server(echoing, net.ip, port)
            for _ in range(40):
                await talk(net.ip, port)
            assert sum(got) == 40
            assert min(got) > 0
            await closed(first)
            await talk(net.ip, port)
            await closed(second)

    place.run(main())


def test_arguments_that_do_not_go_together(place):
    async def main():
        async with place.net() as net:
            create = asyncio.get_running_loop().create_server
            with socket.socket() as sock, pytest.raises(ValueError):
                await create(echoing, net.ip, 0, sock=sock)
            with pytest.raises(ValueError):
                await create(echoing)
            with pytest.raises(TypeError):
                await create(echoing, net.ip, 0, ssl=True)
            with pytest.raises(ValueError):
                await create(echoing, net.ip, 0, ssl_handshake_timeout=1)
            with pytest.raises(TypeError):
                await create(echoing, net.ip, 0, nonsense=1)

    place.run(main())


def test_a_server_that_does_not_serve_yet_has_its_port(place):
    async def main():
        async with place.net() as net:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(echoing, net.ip, 0, start_serving=False)
            assert not server.is_serving()
            [port] = ports(server)
            with pytest.raises(ConnectionRefusedError):
                await talk(net.ip, port)
            await server.start_serving()
            await server.start_serving()
            await talk(net.ip, port)
            await closed(server)

    place.run(main())


def test_serving_for_ever_ends_with_a_cancellation_or_a_close(asyncio_place):
    async def main():
        async with asyncio_place.net() as net:
            loop = asyncio.get_running_loop()
            for end in ("cancel", "close"):
                server = await loop.create_server(echoing, net.ip, 0, start_serving=False)
                [port] = ports(server)
                serving = loop.create_task(server.serve_forever())
                await asyncio.sleep(0.01)
                await talk(net.ip, port)
                with pytest.raises(RuntimeError):
                    await server.serve_forever()
                serving.cancel() if end == "cancel" else server.close()
                with pytest.raises(asyncio.CancelledError):
                    await serving
                assert not server.is_serving()
                with pytest.raises(RuntimeError):
                    await server.serve_forever()

    asyncio_place.run(main())


def test_a_server_as_a_context(place):
    async def main():
        async with place.net() as net:
            async with await asyncio.get_running_loop().create_server(echoing, net.ip, 0) as server:
                [port] = ports(server)
                await talk(net.ip, port)
            with pytest.raises(ConnectionRefusedError):
                await talk(net.ip, port)

    place.run(main())


async def busy(net):
    """(server, its protocol, a client's), connected."""
    loop = asyncio.get_running_loop()
    made = loop.create_future()

    def factory():
        made.set_result(echoing())
        return made.result()

    server = await loop.create_server(factory, net.ip, 0)
    _, client = await loop.create_connection(Recorder, net.ip, *ports(server))
    return server, await made, client


def test_waiting_for_the_end_is_that_of_the_running_python(place):
    async def main():
        async with place.net() as net:
            server, peer, client = await busy(net)
            await peer.made
            waiting = asyncio.ensure_future(server.wait_closed())
            await asyncio.sleep(0.01)
            assert not waiting.done()
            server.close()
            late = asyncio.ensure_future(server.wait_closed())
            await asyncio.sleep(0.01)
            # uvloop's own returns at once in all versions
            waits = server_module.WAITS_FOR_CONNECTIONS and (
                place.is_ours or place.factory is asyncio.SelectorEventLoop
            )
            assert late.done() is not waits
            assert not peer.transport.is_closing()
            await shut(client, peer)
            await waiting
            await late

    place.run(main())


def test_a_kernel_socket_is_the_base_loops(place):
    async def main():
        async with place.net():
            sock = socket.create_server(("127.0.0.1", 0))
            server = await asyncio.get_running_loop().create_server(echoing, sock=sock)
            assert not isinstance(server, StackServer)
            await talk("127.0.0.1", sock.getsockname()[1])
            await closed(server)

    place.run(main())


def test_streams_servers(place):
    async def main():
        async with place.net() as net:

            async def serve(reader, writer):
                writer.write(await reader.readexactly(5))
                writer.close()

            server = await asyncio.start_server(serve, net.ip, 0)
            assert await talk(net.ip, *ports(server)) == (net.ip, *ports(server))
            await closed(server)

    place.run(main())


def test_tls(place, certificate):
    async def main():
        async with place.net() as net:
            server_context, client_context = certificate
            server = await asyncio.get_running_loop().create_server(echoing, net.ip, 0, ssl=server_context)
            reader, writer = await asyncio.open_connection(
                net.ip, *ports(server), ssl=client_context, server_hostname="stack.example"
            )
            writer.write(b"secret")
            assert await reader.readexactly(6) == b"secret"
            writer.close()
            await writer.wait_closed()
            await closed(server)

    place.run(main())


# -- ours alone


class TwoServers(StackNet):
    """A client, and two hosts that serve, on one switch."""

    OTHER_IP = "10.0.0.3"

    async def __aenter__(self):
        switch = Switch()
        self.hosts = []
        for number, ip in enumerate((CLIENT_IP, SERVER_IP, self.OTHER_IP), 1):
            host = AsyncHost(self.config)
            host.add_device(switch.plug(bytes((2, 0, 0, 0, 0, number))), ip + "/24")
            self.hosts.append(host)
        self.client, self.server, self.other = self.hosts
        return self

    async def __aexit__(self, *exc_info):
        for host in self.hosts:
            await host.aclose(0.5)


def with_wildcard(on_loop, wildcard, main):
    async def set_first():
        asyncio.get_running_loop().wildcard = wildcard
        await main()

    on_loop(set_first())


def test_what_is_only_the_kernels_is_the_base_loops_own(on_loop):
    async def main():
        async with StackNet():
            loop = asyncio.get_running_loop()
            for host in (None, "", "127.0.0.1", "localhost", ["127.0.0.1"]):
                server = await loop.create_server(echoing, host, 0)
                assert not isinstance(server, StackServer)
                await closed(server)

    on_loop(main())


def test_several_hosts_and_the_kernel_behind_one_server(on_loop):
    async def main():
        async with TwoServers() as net:
            loop = asyncio.get_running_loop()
            places = ["127.0.0.1", SERVER_IP, net.OTHER_IP]
            server = await loop.create_server(echoing, places, 0)
            assert isinstance(server, StackServer)
            assert addresses(server) == set(places)
            [port] = ports(server)
            for ip in places:
                assert await talk(ip, port) == (ip, port)
            await closed(server)
            for ip in places:
                with pytest.raises(ConnectionRefusedError):
                    await talk(ip, port)

    on_loop(main())


def test_everywhere_is_the_kernels_unless_the_loop_says_otherwise(on_loop):
    async def main():
        async with StackNet():
            server = await asyncio.get_running_loop().create_server(echoing, None, 0, family=socket.AF_INET)
            [port] = ports(server)
            await talk("127.0.0.1", port)
            with pytest.raises(ConnectionRefusedError):
                await talk(SERVER_IP, port)
            await closed(server)

    on_loop(main())


@pytest.mark.parametrize("host", [None, "", "0.0.0.0"])
def test_everywhere_on_the_stack(on_loop, host):
    async def main():
        async with TwoServers() as net:
            server = await asyncio.get_running_loop().create_server(echoing, host, 0)
            assert len(server.sockets) == 3
            [port] = ports(server)
            for ip in (SERVER_IP, net.OTHER_IP):
                assert await talk(ip, port) == (ip, port)
            with pytest.raises(ConnectionRefusedError):
                await talk("127.0.0.1", port)
            await closed(server)

    with_wildcard(on_loop, "stack", main)


@pytest.mark.parametrize("host", [None, "0.0.0.0"])
def test_everywhere_on_both(on_loop, host):
    async def main():
        async with TwoServers() as net:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(echoing, host, 0)
            [port] = ports(server)
            for ip in (SERVER_IP, net.OTHER_IP, "127.0.0.1"):
                assert await talk(ip, port) == (ip, port)
            with pytest.raises(OSError, match="in use"):
                await loop.create_server(echoing, net.OTHER_IP, port)
            await closed(server)

    with_wildcard(on_loop, "both", main)


def test_a_port_of_the_kernel_that_is_taken_leaves_nothing_behind(on_loop):
    async def main():
        async with TwoServers() as net:
            with socket.create_server(("127.0.0.1", 0)) as taken:
                port = taken.getsockname()[1]
                with pytest.raises(OSError, match="in use"):
                    await asyncio.get_running_loop().create_server(echoing, [SERVER_IP, "127.0.0.1"], port)
            for host in net.hosts:
                assert not host.host.tcp.listeners
                assert not host.driver.handlers

    on_loop(main())


def test_another_port_is_chosen_when_the_first_is_not_free_everywhere(on_loop):
    async def main():
        async with TwoServers(config=replace(CONFIG, port_range=(40_000, 40_007))) as net:
            for port in range(40_000, 40_007):
                net.other.host.listen(0, port)
            loop = asyncio.get_running_loop()
            server = await loop.create_server(echoing, None, 0)
            assert ports(server) == {40_007}
            with pytest.raises(OSError, match=r"in use|every ephemeral port"):
                await loop.create_server(echoing, None, 0)
            await closed(server)

    with_wildcard(on_loop, "stack", main)


def test_with_a_host_active_everywhere_is_that_host(on_loop):
    async def main():
        async with TwoServers() as net:
            with net.other.active():
                server = await asyncio.get_running_loop().create_server(echoing, None, 0)
            [port] = ports(server)
            await talk(net.OTHER_IP, port)
            for ip in (SERVER_IP, "127.0.0.1"):
                with pytest.raises(ConnectionRefusedError):
                    await talk(ip, port)
            await closed(server)

    on_loop(main())


def test_an_address_of_ours_stands_where_a_socket_would(on_loop):
    """For programs (hypercorn) that make their sockets themselves."""

    async def main():
        async with StackNet() as net:
            loop = asyncio.get_running_loop()
            address = ListenAddress(net.ip, 7)
            assert address.getsockname() == (net.ip, 7)
            assert address.fileno() == -1
            server = await loop.create_server(Recorder, sock=address)
            assert [sock.getsockname() for sock in server.sockets] == [(net.ip, 7)]
            with pytest.raises(OSError) as info:
                await loop.create_server(Recorder, sock=ListenAddress(net.ip, 7))
            assert info.value.errno == errno.EADDRINUSE
            with pytest.raises(ValueError, match="host/port and sock"):
                await loop.create_server(Recorder, net.ip, 8, sock=ListenAddress(net.ip, 8))
            await closed(server)

    on_loop(main())


def test_clients_of_a_server_can_be_closed_and_aborted(on_loop):
    async def main():
        async with StackNet() as net:
            for method in ("close_clients", "abort_clients"):
                server, peer, client = await busy(net)
                await peer.made
                server.close()
                getattr(server, method)()
                assert await client.closed is None
                assert await peer.closed is None
                await server.wait_closed()

    on_loop(main())


def test_keep_alive_is_of_all_connections(on_loop):
    async def main():
        async with StackNet() as net:
            loop = asyncio.get_running_loop()
            made = loop.create_future()

            def factory():
                made.set_result(Recorder())
                return made.result()

            server = await loop.create_server(factory, net.ip, 0, keep_alive=True)
            _, client = await loop.create_connection(Recorder, net.ip, *ports(server))
            sock = (await made).transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            await shut(client, await made)
            await closed(server)

    on_loop(main())


def test_a_server_lives_on_without_one_of_its_hosts_and_ends_with_the_last(on_loop):
    async def main():
        async with TwoServers() as net:
            server = await asyncio.get_running_loop().create_server(echoing, [SERVER_IP, net.OTHER_IP], 0)
            [port] = ports(server)
            forever = asyncio.ensure_future(server.serve_forever())
            await net.other.aclose(0.5)
            assert addresses(server) == {SERVER_IP}
            await talk(SERVER_IP, port)
            await net.server.aclose(0.5)
            assert not server.is_serving()
            with pytest.raises(HostClosed):
                await forever

    on_loop(main())


def test_a_factory_that_fails_costs_only_its_connection(on_loop):
    async def main():
        async with StackNet() as net:
            loop = asyncio.get_running_loop()
            outcomes = iter([ZeroDivisionError, None])

            def factory():
                if (error := next(outcomes)) is not None:
                    raise error
                return echoing()

            server = await loop.create_server(factory, net.ip, 0)
            with pytest.raises(ConnectionResetError):
                await talk(net.ip, *ports(server))
            await talk(net.ip, *ports(server))
            await closed(server)

    assert len(on_loop(main(), expect_errors=True)) == 1
