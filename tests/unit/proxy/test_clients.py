"""Who is served: so many at a port, so many together, and how the others are turned away."""

import asyncio
import contextlib
import socket

import pytest

from stack.daemon.services.proxies import room_for
from stack.proxy import clients
from stack.proxy.clients import MAX_SOCKETS, Client, Clients, Room, Users
from stack.proxy.flows import UdpForward
from stack.proxy.forward import TcpForward
from stack.proxy.rules import Rule
from stack.proxy.socks import Limits, SocksServer
from stack.proxy.socks5 import wrap


@contextlib.asynccontextmanager
async def serving(made):
    """A server of the kernel's for `made`, and a way to connect to it."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    address = listener.getsockname()
    await made.start(listener)
    try:
        yield lambda: asyncio.open_connection(*address)
    finally:
        await made.aclose()
        await asyncio.sleep(0.01)


async def until(true):
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.001)


class Host:
    """The kernel in the place of the stack, and endpoints that it has none of."""

    def __init__(self):
        self.resolver = None

    async def create_connection(self, factory, host, port):
        return await asyncio.get_running_loop().create_connection(factory, host, port)

    async def create_datagram_endpoint(self, factory, local_addr=None, remote_addr=None):
        return await asyncio.get_running_loop().create_datagram_endpoint(
            factory, ("127.0.0.1", 0) if local_addr else None, remote_addr
        )


def test_ports_share_a_room():
    async def main():
        room = Room(3)
        one, two = Clients(10, room), Clients(2, room)
        inside = [Client(one), Client(one), Client(two)]
        assert all(client.clients.enter(client) for client in inside)
        late = Client(two)
        assert not two.enter(late)  # for want of room, though the port has some
        one.leave(inside[0])
        one.leave(inside[0])  # told twice, counted once
        assert two.enter(late)
        assert not two.enter(Client(two))
        assert (room.taken, one.counts["refused_full"], two.counts["refused_full"]) == (3, 0, 2)
        for client in (*inside[1:], late):
            client.clients.leave(client)
        assert room.taken == 0
        one.close()
        two.close()

    asyncio.run(main())


def test_room_is_half_of_what_a_process_may_open():
    assert [room_for(descriptors) for descriptors in (1024, 256, 1, 1 << 20, -1)] == [512, 128, 1, 2048, MAX_SOCKETS]


def test_an_association_takes_two_and_gives_back_two():
    async def main():
        room = Room(3)
        server = SocksServer(Host(), Users(None), room=room)
        async with serving(server) as connect:
            ask = b"\x05\x01\x00\x05\x03\x00" + wrap("0.0.0.0", 0, b"")[3:]
            reader, writer = await connect()
            writer.write(ask)
            assert (await reader.readexactly(12))[3] == 0
            assert room.taken == 2
            reader, second = await connect()
            second.write(b"\x05")
            await until(lambda: room.taken == 3)
            second.write(ask[1:])
            assert (await reader.readexactly(12))[3] == 1  # general failure: no room for its datagrams
            writer.close()
            await until(lambda: room.taken == 0)
            second.close()

    asyncio.run(main())


@pytest.mark.parametrize("where", ["greeting", "request", "joined"])
def test_whatever_ends_gives_its_room_back(where):
    async def main():
        room = Room(10)
        server = SocksServer(Host(), Users(None), room=room)
        target = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.9", 0)
        port = target.sockets[0].getsockname()[1]
        octets = b"\x05\x01\x00\x05\x01\x00" + wrap("127.0.0.9", port, b"")[3:]
        async with serving(server) as connect:
            for ends in (asyncio.StreamWriter.close, lambda writer: writer.transport.abort()):
                reader, writer = await connect()
                writer.write(octets[: {"greeting": 2, "request": 9, "joined": 100}[where]])
                await until(lambda: room.taken == 1)
                if where == "joined":
                    await reader.readexactly(2)
                ends(writer)
                await until(lambda: room.taken == 0)
                assert len(server.clients) == 0
        target.close()

    asyncio.run(main())


def test_a_handshake_that_takes_too_long_is_closed():
    async def main():
        server = SocksServer(Host(), Users(None), limits=Limits(handshake_s=0.05))
        async with serving(server) as connect:
            reader, writer = await connect()
            writer.write(b"\x05\x02\x00")
            assert await asyncio.wait_for(reader.read(), 10) == b""
            assert server.clients.counts == {"timeout": 1}
            writer.close()

    asyncio.run(main())


def test_a_password_is_asked_for():
    async def main():
        server = SocksServer(Host(), Users(None), ("user", "secret"))
        async with serving(server) as connect:
            for password, answer in ((b"secret", b"\x05\x02\x01\x00"), (b"wrong!", b"\x05\x02\x01\x01")):
                reader, writer = await connect()
                writer.write(b"\x05\x02\x00\x02\x01\x04user\x06" + password)
                assert await reader.readexactly(4) == answer
                if password != b"secret":
                    assert await asyncio.wait_for(reader.read(), 10) == b""  # RFC 1929 §2: it is closed
                writer.close()
            await until(lambda: server.clients.counts["bad_password"] == 1)

    asyncio.run(main())


def test_those_who_are_turned_away_linger_in_bounds(monkeypatch):
    monkeypatch.setattr(clients, "MAX_LINGERING", 2)

    async def main():
        server = SocksServer(Host(), Users(frozenset()))  # nobody is served
        async with serving(server) as connect:
            told, reset = 0, 0
            opened = [await connect() for _ in range(4)]
            for reader, _ in opened:
                try:
                    assert await asyncio.wait_for(reader.readexactly(2), 10) == b"\x05\xff"
                    told += 1
                except ConnectionResetError:
                    reset += 1
            assert (told, reset) == (2, 2)
            for _, writer in opened:
                writer.close()
            await until(lambda: not server.clients._lingering)
            assert server.clients.counts == {"refused_user": 4}

    asyncio.run(main())


def test_forwarded_ports_give_their_room_back():
    async def main():
        room = Room(10)
        target = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        port = target.sockets[0].getsockname()[1]
        async with serving(
            TcpForward(Host(), Rule("127.0.0.1", 8080, "127.0.0.1", port), Users(None), room)
        ) as connect:
            reader, writer = await connect()
            assert await asyncio.wait_for(reader.read(), 10) == b""
            writer.close()
            await until(lambda: room.taken == 0)
        target.close()
        forward = UdpForward(Host(), Rule("127.0.0.1", 8080, "127.0.0.1", port, udp=True), Users(None), room)
        listener = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        listener.bind(("127.0.0.1", 0))
        listener.setblocking(False)
        await forward.start(listener)
        for number in (1, 2):
            forward.on_datagram(b"x", ("127.0.0.1", number))
        assert room.taken == 2
        await forward.aclose()
        assert room.taken == 0
        await asyncio.sleep(0.01)

    asyncio.run(main())
