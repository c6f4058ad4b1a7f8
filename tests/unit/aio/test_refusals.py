"""Ports and addresses that cannot be had: the errors of the kernel's sockets, and what they say."""

import asyncio
import contextlib
import errno
import socket
import struct

import pytest

from stack.errors import AddressInUse, ConnectionRefused, ConnectionTimedOut, HostUnreachable, NetworkUnreachable
from tests.support.aio_nets import CLIENT_IP, SERVER_IP, StackNet
from tests.support.aio_protocols import Recorder, shut

NOBODY = "10.0.0.77"
NO_PORT = 70_000  # 4464 and 16 bits


async def fails(code, attempt):
    """Its message."""
    with pytest.raises(OSError) as caught:
        await attempt
    assert caught.value.errno == code
    return str(caught.value)


# -- ports


def test_no_port_of_an_endpoint(asyncio_place):
    async def main():
        async with asyncio_place.net() as net:
            make = asyncio.get_running_loop().create_datagram_endpoint
            for local in (net.ip, "0.0.0.0"):
                with pytest.raises(OverflowError, match=r"bind\(\): port must be 0-65535"):
                    await make(asyncio.DatagramProtocol, local_addr=(local, NO_PORT))
            with pytest.raises(OverflowError, match=r"connect\(\): port must be 0-65535"):
                await make(asyncio.DatagramProtocol, remote_addr=(net.ip, NO_PORT))
            transport, _ = await make(asyncio.DatagramProtocol, local_addr=(net.ip, 0))
            anywhere, _ = await make(asyncio.DatagramProtocol, family=socket.AF_INET)
            if asyncio_place.is_ours:  # asyncio's own has it for the exception handler of the loop
                for sender in (transport, anywhere):
                    with pytest.raises(OverflowError, match=r"sendto\(\): port must be 0-65535"):
                        sender.sendto(b"", (net.ip, NO_PORT))
            transport.close()
            anywhere.close()
            await asyncio.sleep(0)  # as closing takes a turn of the loop

    asyncio_place.run(main())


def test_no_port_of_a_connection_or_a_server(asyncio_place):
    async def main():
        async with asyncio_place.net() as net:
            with pytest.raises(OverflowError, match=r"connect\(\)"):
                await asyncio.open_connection(net.ip, NO_PORT)
            with pytest.raises(OverflowError, match=r"bind\(\)"):
                await asyncio.open_connection(net.ip, 80, local_addr=(net.ip, NO_PORT))
            with pytest.raises(OverflowError, match=r"bind\(\)"):
                await asyncio.start_server(print, net.ip, NO_PORT)

    asyncio_place.run(main())


def test_the_methods_of_a_host_take_no_such_port_either(run):
    async def main():
        async with StackNet() as net:
            host = net.client
            for attempt in (
                host.open_connection(SERVER_IP, NO_PORT),
                host.open_connection(SERVER_IP, 80, local_addr=(CLIENT_IP, NO_PORT)),
                host.start_server(print, port=NO_PORT),
                host.start_server(print, port=-1),
                host.create_datagram_endpoint(asyncio.DatagramProtocol, (CLIENT_IP, NO_PORT)),
                host.create_datagram_endpoint(asyncio.DatagramProtocol, None, (SERVER_IP, NO_PORT)),
            ):
                with pytest.raises(OverflowError, match="port must be 0-65535"):
                    await attempt

    run(main())


@contextlib.asynccontextmanager
async def listening(host, *where):
    server = await host.create_server(Recorder, *where)
    yield server.sockets[0].getsockname()
    server.close()
    await server.wait_closed()


def test_a_local_port_that_listens_cannot_be_connected_from(place):
    """The kernel's rule of bind(2) without SO_REUSEADDR, on the kernel's own sockets and on ours."""

    async def main():
        async with place.net() as net:
            loop = asyncio.get_running_loop()
            local = CLIENT_IP if place.is_ours else net.ip
            async with listening(net.server, net.ip, 0) as there, listening(net.client, local, 0) as here:
                await fails(errno.EADDRINUSE, loop.create_connection(Recorder, *there, local_addr=here))
                if not place.is_ours:
                    return
                message = await fails(errno.EADDRINUSE, net.client.open_connection(*there, local_addr=("", here[1])))
                assert f"TCP port {here[1]} is in use on this host; connect from another" in message
            async with listening(net.server, net.ip, 0) as there, listening(net.client, None, 0) as (_, port):
                message = await fails(
                    errno.EADDRINUSE, loop.create_connection(Recorder, *there, local_addr=(CLIENT_IP, port))
                )
                assert f"Connect call failed ({SERVER_IP!r}, {there[1]}): TCP port {port} is in use on" in message

    place.run(main())


def test_a_local_port_with_a_connection_to_somebody_else_cannot_be_connected_from(place):
    async def main():
        async with place.net() as net:
            loop = asyncio.get_running_loop()
            async with listening(net.server, net.ip, 0) as one, listening(net.server, net.ip, 0) as two:
                first = await loop.create_connection(Recorder, *one)
                local = first[0].get_extra_info("sockname")
                await fails(errno.EADDRINUSE, loop.create_connection(Recorder, *two, local_addr=local))
                # a reset leaves nothing behind, so the port is free again
                linger = struct.pack("ii", 1, 0)
                first[0].get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                first[0].abort()
                await first[1].closed
                try:
                    second = await loop.create_connection(Recorder, *two, local_addr=local)
                except OSError as error:
                    # at 127.0.0.1 the kernel lets a connection share its port with those of other programs
                    if net.client_is_ours or error.errno != errno.EADDRINUSE:
                        raise
                    return
                assert second[0].get_extra_info("sockname") == local
                await shut(second[1])

    place.run(main())


def test_sockets_that_share_their_port_connect_to_several(on_loop):
    async def main():
        async with StackNet() as net:
            loop = asyncio.get_running_loop()
            async with listening(net.server, None, 7), listening(net.server, None, 8):
                with contextlib.ExitStack() as stack:
                    socks = [stack.enter_context(socket.socket()) for _ in range(2)]
                    port = 0
                    for sock, remote in zip(socks, (7, 8), strict=True):
                        sock.setblocking(False)
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                        sock.bind(("0.0.0.0", port))
                        port = sock.getsockname()[1]
                        await loop.sock_connect(sock, (SERVER_IP, remote))
                        assert sock.getsockname() == (CLIENT_IP, port)

    on_loop(main())


# -- what it says


@pytest.mark.parametrize("group", ["10.0.0.255", "255.255.255.255", "224.0.0.1"])
def test_a_stream_needs_one_host(on_loop, group):
    """ENETUNREACH is what Linux has."""

    async def main():
        async with StackNet() as net:
            with net.client.active():
                await fails(errno.ENETUNREACH, asyncio.open_connection(group, 80))
            await fails(errno.ENETUNREACH, net.client.open_connection(group, 80))

    on_loop(main())


def test_a_connection_that_fails_says_where_to(on_loop):
    async def main():
        async with StackNet() as net:
            where = f"Connect call failed ({SERVER_IP!r}, 81)"
            with pytest.raises(ConnectionRefused) as caught:
                await asyncio.open_connection(SERVER_IP, 81)
            assert str(caught.value) == f"[Errno {errno.ECONNREFUSED}] {where}: the peer refused the connection"
            with pytest.raises(ConnectionRefusedError, match="Connect call failed"):
                await net.client.open_connection(SERVER_IP, 81)
            with pytest.raises(NetworkUnreachable, match=r"Connect call failed \('8.8.8.8', 80\): no route"):
                await net.client.open_connection("8.8.8.8", 80)
            for kind in (HostUnreachable, ConnectionTimedOut):
                attempt = asyncio.ensure_future(asyncio.open_connection(NOBODY, 80))
                while not net.client.host.connections():
                    await asyncio.sleep(0)
                [conn] = net.client.host.connections()
                conn.abort(net.client.driver.time(), kind("because"))
                net.client.driver.wake(conn)
                with pytest.raises(kind, match=r"Connect call failed \('10.0.0.77', 80\): because") as caught:
                    await attempt
                assert caught.value.errno == kind.code

    on_loop(main())


def test_an_address_in_use_is_named_with_what_to_do(on_loop):
    async def main():
        async with StackNet() as net, listening(net.server, SERVER_IP, 80):
            loop = asyncio.get_running_loop()
            advice = "choose another port, or 0 for a free one"
            message = await fails(errno.EADDRINUSE, loop.create_server(Recorder, SERVER_IP, 80))
            assert f"on address ({SERVER_IP!r}, 80): address already in use; {advice}" in message
            with pytest.raises(AddressInUse, match=r"TCP port 80 is in use on 10.0.0.2; choose another"):
                await net.server.create_server(Recorder, SERVER_IP, 80)
            transport, _ = await loop.create_datagram_endpoint(Recorder, local_addr=(SERVER_IP, 53))
            with pytest.raises(AddressInUse, match=r"UDP port 53 is in use on 10.0.0.2; choose another"):
                await loop.create_datagram_endpoint(Recorder, local_addr=(SERVER_IP, 53))
            transport.close()

    on_loop(main())
