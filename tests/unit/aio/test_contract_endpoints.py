"""Servers, streams and datagrams, run over kernel sockets and over our stack."""

import asyncio
import errno
import random

import pytest

from tests.support.aio_protocols import Recorder, echo, shut

MB = 1 << 20


def test_a_closed_port_refuses(run, net):
    async def main():
        async with net:
            listener = await net.server.create_server(Recorder, net.ip, 0)
            port = listener.sockets[0].getsockname()[1]
            assert listener.is_serving()
            listener.close()
            await listener.wait_closed()
            assert not listener.is_serving()
            with pytest.raises(ConnectionRefusedError):
                await net.client.create_connection(Recorder, net.ip, port)

    run(main())


def test_a_taken_port_is_in_use(run, net):
    async def main():
        async with net:
            first = await net.server.create_server(Recorder, net.ip, 0)
            port = first.sockets[0].getsockname()[1]
            with pytest.raises(OSError, match="in use"):
                await net.server.create_server(Recorder, net.ip, port)
            first.close()
            await first.wait_closed()
            second = await net.server.create_server(Recorder, net.ip, port)
            second.close()
            await second.wait_closed()

    run(main())


def test_serve_forever_until_cancelled(run, net):
    async def main():
        async with net, await net.server.create_server(Recorder, net.ip, 0, start_serving=False) as server:
            serving = asyncio.ensure_future(server.serve_forever())
            await asyncio.sleep(0.01)
            assert server.is_serving()
            port = server.sockets[0].getsockname()[1]
            _, client = await net.client.create_connection(Recorder, net.ip, port)
            await shut(client)
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving
            assert not server.is_serving()

    run(main())


def test_many_connections_at_once(run, net):
    async def main():
        async with net:
            server = await net.server.create_server(lambda: Recorder(on_data=echo), net.ip, 0, backlog=500)
            port = server.sockets[0].getsockname()[1]

            async def one(number):
                _, client = await net.client.create_connection(Recorder, net.ip, port)
                data = random.Random(number).randbytes(3000)
                client.transport.write(data)
                await client.received(3000)
                assert client.data == data
                await shut(client)

            await asyncio.gather(*(one(number) for number in range(200)))
            server.close()

    run(main())


# -- streams


def test_streams(run, net):
    async def serve(reader, writer):
        while line := await reader.readline():
            writer.write(line.upper())
            await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def main():
        async with net:
            server = await net.server.start_server(serve, net.ip, 0)
            port = server.sockets[0].getsockname()[1]
            reader, writer = await net.client.open_connection(net.ip, port)
            for line in (b"hello\n", b"world\n"):
                writer.write(line)
                assert await reader.readline() == line.upper()
            writer.write(b"unfinished")
            writer.write_eof()
            assert await reader.read() == b"UNFINISHED"
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()

    run(main())


def test_drain_waits_for_a_slow_reader(run, net):
    async def main():
        async with net:
            got = asyncio.get_running_loop().create_future()
            go = asyncio.Event()

            async def serve(reader, writer):
                await go.wait()
                data = await reader.read(-1)
                writer.close()
                got.set_result(len(data))

            server = await net.server.start_server(serve, net.ip, 0)
            port = server.sockets[0].getsockname()[1]
            _, writer = await net.client.open_connection(net.ip, port)
            written = 0
            with pytest.raises(TimeoutError):
                while written < 64 * MB:
                    writer.write(bytes(MB))
                    written += MB
                    async with asyncio.timeout(0.2):
                        await writer.drain()
            go.set()
            await writer.drain()
            writer.write_eof()
            assert await got == written
            writer.close()
            await writer.wait_closed()
            server.close()

    run(main())


# -- datagrams


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, on_datagram=None):
        loop = asyncio.get_running_loop()
        self.on_datagram = on_datagram
        self.got = asyncio.Queue()
        self.errors = asyncio.Queue()
        self.closed = loop.create_future()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.got.put_nowait((data, addr))
        if self.on_datagram:
            self.on_datagram(self, data, addr)

    def error_received(self, exc):
        self.errors.put_nowait(exc)

    def connection_lost(self, exc):
        self.closed.set_result(exc)


def test_datagram_echo(run, net):
    async def main():
        async with net:
            st, server = await net.server.create_datagram_endpoint(
                lambda: Datagrams(lambda p, data, addr: p.transport.sendto(data, addr)), local_addr=(net.ip, 0)
            )
            address = st.get_extra_info("sockname")
            ct, client = await net.client.create_datagram_endpoint(Datagrams, remote_addr=address)
            assert ct.get_extra_info("peername") == address
            for size in (1, 1000, 9000, 65507):
                data = random.Random(size).randbytes(size)
                ct.sendto(data)
                assert await client.got.get() == (data, address)
                assert (await server.got.get())[1] == ct.get_extra_info("sockname")
            with pytest.raises(ValueError, match="Invalid address"):
                ct.sendto(b"x", (net.ip, 9))
            ct.sendto(bytes(65508))
            error = await client.errors.get()
            assert error.errno == errno.EMSGSIZE
            for transport in (ct, st):
                transport.close()
                transport.close()
                assert transport.is_closing()
            assert await client.closed is None
            assert await server.closed is None

    run(main())


def test_a_refused_datagram_is_reported_to_a_connected_endpoint(run, net):
    async def main():
        async with net:
            st, _ = await net.server.create_datagram_endpoint(Datagrams, local_addr=(net.ip, 0))
            address = st.get_extra_info("sockname")
            st.close()
            await asyncio.sleep(0.01)
            ct, client = await net.client.create_datagram_endpoint(Datagrams, remote_addr=address)
            ct.sendto(b"x")
            assert isinstance(await client.errors.get(), ConnectionRefusedError)
            ct.abort()
            assert await client.closed is None

    run(main())
