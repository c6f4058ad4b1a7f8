"""What the adapters have in common: bounds, ends, cancellation."""

import asyncio
import errno

import pytest

from stack.adapters.streams import (
    HIGH_WATER,
    MAX_DATAGRAMS,
    Acceptor,
    connect,
    open_datagrams,
)
from stack.errors import AddressInUse, HostClosed, InvalidAddress

MB = 1 << 20


async def streams(hosts):
    """(client's, server's) end of a connection, and the acceptor."""
    acceptor = Acceptor(hosts.server, hosts.ip, 80)
    client, server = await asyncio.gather(connect(hosts.client, hosts.ip, 80), acceptor.accept())
    return client, server, acceptor


async def read_all(stream, size=MB):
    received = b""
    while data := await stream.receive(size):
        received += data
    return received


def test_bytes_both_ways_and_half_close(run):
    async def main(hosts):
        client, server, acceptor = await streams(hosts)
        await client.send(b"question")
        client.send_eof()
        assert await read_all(server, 3) == b"question"
        await server.send(b"answer")
        server.close()
        assert await read_all(client) == b"answer"
        client.close()
        acceptor.close()

    run(main)


def test_a_reader_that_does_not_read_stops_the_sender(run):
    async def main(hosts):
        client, server, _ = await streams(hosts)
        sent = 0

        async def send():
            nonlocal sent
            while sent < 100 * MB:
                await client.send(bytes(MB // 4))
                sent += MB // 4

        sending = asyncio.create_task(send())
        before = -1
        while sent != before:  # until nothing moves any more
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 100 * MB
        assert len(server._arrived) <= HIGH_WATER + 16 * MB  # what was under way when it was paused
        assert server._paused
        received = 0
        while received < 100 * MB:
            received += len(await server.receive(MB))
        await sending
        assert not server._paused

    run(main)


def test_a_cancelled_receive_loses_nothing(run):
    async def main(hosts):
        client, server, _ = await streams(hosts)
        receiving = asyncio.create_task(server.receive(10))
        await asyncio.sleep(0)
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)
        await client.send(b"abc")
        assert await server.receive(10) == b"abc"

    run(main)


def test_one_reader_at_a_time(run):
    async def main(hosts):
        _, server, _ = await streams(hosts)
        first = asyncio.create_task(server.receive(10))
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError):
            await server.receive(10)
        server.close()
        with pytest.raises(OSError) as raised:
            await first
        assert raised.value.errno == errno.EBADF

    run(main)


def test_after_close_everything_is_a_closed_socket(run):
    async def main(hosts):
        client, server, _ = await streams(hosts)
        client.close()
        for operation in (client.receive(1), client.send(b"x")):
            with pytest.raises(OSError) as raised:
                await operation
            assert raised.value.errno == errno.EBADF
        with pytest.raises(OSError):
            client.send_eof()
        assert await server.receive(1) == b""

    run(main)


def test_a_reset_is_raised(run):
    async def main(hosts):
        client, server, _ = await streams(hosts)
        client.abort()
        with pytest.raises(ConnectionResetError):
            await server.receive(1)
        with pytest.raises(ConnectionResetError):
            await server.send(b"x")
        assert server.is_readable()

    run(main)


def test_tls_upgrade(run, tls):
    async def main(hosts):
        client, server, _ = await streams(hosts)
        await asyncio.gather(
            server.start_tls(hosts.server, tls[0], server_side=True),
            client.start_tls(hosts.client, tls[1], server_hostname="server.test"),
        )
        await client.send(b"secret" * 100_000)
        received = b""
        while len(received) < 600_000:
            received += await server.receive(MB)
        assert received == b"secret" * 100_000
        client.close()
        assert await server.receive(1) == b""
        server.close()

    run(main)


def test_what_nobody_accepts_waits_in_the_backlog(run):
    async def main(hosts):
        acceptor = Acceptor(hosts.server, hosts.ip, 80, backlog=3)
        made = [await connect(hosts.client, hosts.ip, 80) for _ in range(3)]
        assert len(hosts.server.host.connections()) == 3
        assert len(hosts.server.driver.handlers) == 1  # only the acceptor: no transport yet
        accepted = [await acceptor.accept() for _ in range(3)]
        assert [s.transport.get_extra_info("peername") for s in accepted] == [
            s.transport.get_extra_info("sockname") for s in made
        ]

    run(main)


def test_a_cancelled_accept_leaves_the_connection_to_the_next(run):
    async def main(hosts):
        acceptor = Acceptor(hosts.server, hosts.ip, 80)
        first = asyncio.create_task(acceptor.accept())
        second = asyncio.create_task(acceptor.accept())
        await asyncio.sleep(0)
        first.cancel()
        client = await connect(hosts.client, hosts.ip, 80)
        server = await second
        await client.send(b"hello")
        assert await server.receive(10) == b"hello"
        assert first.cancelled()

    run(main)


def test_an_accept_cancelled_when_it_had_one_resets_it(run):
    async def main(hosts):
        acceptor = Acceptor(hosts.server, hosts.ip, 80)
        client = await connect(hosts.client, hosts.ip, 80)
        accepting = asyncio.create_task(acceptor.accept())
        await asyncio.sleep(0)
        waiter = acceptor._waiters[0]
        assert not waiter.done()
        hosts.server.loop.call_soon(accepting.cancel)  # right after the pass that gave it the connection
        await asyncio.gather(accepting, return_exceptions=True)
        assert accepting.cancelled()
        assert waiter.result()
        with pytest.raises(ConnectionResetError):
            await client.receive(1)

    run(main)


def test_closing_the_acceptor(run):
    async def main(hosts):
        acceptor = Acceptor(hosts.server, hosts.ip, 80)
        with pytest.raises(AddressInUse):
            Acceptor(hosts.server, hosts.ip, 80)
        waiting = asyncio.create_task(acceptor.accept())
        await asyncio.sleep(0)
        acceptor.close()
        acceptor.close()
        for accepting in (waiting, acceptor.accept()):
            with pytest.raises(OSError) as raised:
                await accepting
            assert raised.value.errno == errno.EBADF
        Acceptor(hosts.server, hosts.ip, 80)
        for port in (-1, 65_536):
            with pytest.raises(InvalidAddress):
                Acceptor(hosts.server, None, port)

    run(main)


def test_the_end_of_the_host_ends_an_accept(run):
    async def main(hosts):
        waiting = asyncio.create_task(Acceptor(hosts.server, hosts.ip, 80).accept())
        await asyncio.sleep(0)
        hosts.server.driver.close()
        with pytest.raises(HostClosed):
            await waiting

    run(main)


def test_datagrams(run):
    async def main(hosts):
        here = await open_datagrams(hosts.client, (hosts.client_ip, 0))
        there = await open_datagrams(hosts.server, (hosts.ip, 53))
        here.transport.sendto(b"q", (hosts.ip, 53))
        data, sender = await there.receive()
        there.transport.sendto(data * 2, sender)
        assert await here.receive() == (b"qq", (hosts.ip, 53))
        for n in range(MAX_DATAGRAMS + 5):
            there.transport.sendto(b"%d" % n, sender)
        while not here.dropped:
            await asyncio.sleep(0.01)
        assert (await here.receive())[0] == b"0"
        waiting = asyncio.create_task(there.receive())
        await asyncio.sleep(0)
        there.close()
        with pytest.raises(OSError) as raised:
            await waiting
        assert raised.value.errno == errno.EBADF

    run(main)


def test_an_icmp_error_is_raised_once(run):
    async def main(hosts):
        here = await open_datagrams(hosts.client, None, (hosts.ip, 99))
        here.transport.sendto(b"q")
        with pytest.raises(ConnectionRefusedError):
            await here.receive()
        assert not here.is_readable()

    run(main)
