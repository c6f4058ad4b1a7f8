"""The contract of asyncio's transports, run over kernel sockets and over our stack."""

import asyncio
import errno
import hashlib
import random
import socket

import pytest

from tests.support.aio_nets import KernelNet, StackNet

MB = 1 << 20


@pytest.fixture(params=[KernelNet, StackNet], ids=["kernel", "stack"])
def net(request):
    return request.param()


class Recorder(asyncio.Protocol):
    """Keeps what it is told; `closed` and `made` are futures."""

    def __init__(self, *, keep_open=False, on_data=None):
        loop = asyncio.get_running_loop()
        self.keep_open = keep_open
        self.on_data = on_data
        self.data = bytearray()
        self.log = []
        self.made, self.eof, self.closed = loop.create_future(), loop.create_future(), loop.create_future()
        self.transport = None

    def connection_made(self, transport):
        assert self.transport is None
        self.transport = transport
        self.log.append("made")
        self.made.set_result(None)

    def data_received(self, data):
        assert type(data) is bytes
        self.log.append("data")
        self.data += data
        if self.on_data:
            self.on_data(self, data)

    def eof_received(self):
        self.log.append("eof")
        self.eof.set_result(None)
        return self.keep_open

    def pause_writing(self):
        self.log.append("pause")

    def resume_writing(self):
        self.log.append("resume")

    def connection_lost(self, exc):
        self.log.append("lost")
        self.closed.set_result(exc)  # a second call would raise

    async def received(self, count):
        for _ in range(20_000):
            if len(self.data) >= count:
                return
            await asyncio.sleep(0.001)
        raise AssertionError(f"{len(self.data)} of {count} bytes came")


def echo(protocol, data):
    protocol.transport.write(data)


async def pair(net, client=None, server=None):
    """A connected (client, server, listener)."""
    accepted = asyncio.get_running_loop().create_future()

    def factory():
        protocol = (server or Recorder)()
        accepted.set_result(protocol)
        return protocol

    listener = await net.server.create_server(factory, net.ip, 0)
    port = listener.sockets[0].getsockname()[1]
    _, protocol = await net.client.create_connection(client or Recorder, net.ip, port)
    peer = await accepted
    await peer.made
    listener.close()
    return protocol, peer


async def shut(*protocols):
    for protocol in protocols:
        protocol.transport.close()
    for protocol in protocols:
        await protocol.closed


def test_both_ends_agree_on_the_addresses(run, net):
    async def main():
        async with net:
            a, b = await pair(net)
            assert a.transport.get_extra_info("peername") == b.transport.get_extra_info("sockname")
            assert a.transport.get_extra_info("sockname") == b.transport.get_extra_info("peername")
            assert a.transport.get_extra_info("peername")[0] == net.ip
            assert a.transport.get_extra_info("nonsense", "default") == "default"
            await shut(a, b)

    run(main())


def test_the_socket_takes_options_and_gives_addresses(run, net):
    async def main():
        async with net:
            a, b = await pair(net)
            sock = a.transport.get_extra_info("socket")
            for value in (1, 0):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, value)
                assert bool(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) == bool(value)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, value)
                assert bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)) == bool(value)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 77)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 77
            assert sock.getpeername() == a.transport.get_extra_info("peername")
            assert sock.getsockname() == a.transport.get_extra_info("sockname")
            assert (sock.family, sock.type, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) == (
                socket.AF_INET, socket.SOCK_STREAM, 0)
            with pytest.raises(OSError, match="not available"):
                sock.setsockopt(socket.IPPROTO_TCP, 9999, 1)
            await shut(a, b)

    run(main())


def test_echo(run, net):
    async def main():
        async with net:
            a, b = await pair(net, server=lambda: Recorder(on_data=echo))
            for size in (1, 100, 5000, 200_000):
                a.data.clear()
                data = random.Random(size).randbytes(size)
                a.transport.write(data)
                await a.received(size)
                assert a.data == data
            await shut(a, b)
            assert a.closed.result() is None
            assert b.closed.result() is None

    run(main())


def test_writelines_and_every_kind_of_buffer(run, net):
    async def main():
        async with net:
            a, b = await pair(net)
            reused = bytearray(b"def")
            a.transport.writelines([b"abc", memoryview(reused)])
            a.transport.write(reused)
            reused[:] = b"xxx"
            a.transport.write(b"")
            await b.received(9)
            assert b.data == b"abcdefdef"
            await shut(a, b)

    run(main())


def test_ten_megabytes_both_ways_at_once(run, net):
    class Pump(Recorder):
        left = 10 * MB
        paused = False

        def __init__(self, seed):
            super().__init__()
            self.rng = random.Random(seed)
            self.sent, self.got = hashlib.sha256(), hashlib.sha256()
            self.count = 0
            self.done = asyncio.get_running_loop().create_future()

        def pump(self):
            while self.left and not self.paused:
                data = self.rng.randbytes(min(self.left, 50_000))
                self.left -= len(data)
                self.sent.update(data)
                self.transport.write(data)

        def data_received(self, data):
            self.got.update(data)
            self.count += len(data)
            if self.count == 10 * MB:
                self.done.set_result(None)

        def pause_writing(self):
            self.paused = True

        def resume_writing(self):
            self.paused = False
            self.pump()

    async def main():
        async with net:
            a, b = await pair(net, lambda: Pump(1), lambda: Pump(2))
            a.pump()
            b.pump()
            await a.done
            await b.done
            assert a.got.digest() == b.sent.digest()
            assert b.got.digest() == a.sent.digest()
            await shut(a, b)

    run(main())


def test_a_slow_reader_stops_the_writer_and_nothing_is_lost(run, net):
    async def main():
        async with net:
            a, b = await pair(net)
            b.transport.pause_reading()
            written = 0
            block = bytes(range(256)) * 1024
            while "pause" not in a.log:
                a.transport.write(block)
                written += len(block)
                assert written < 64 * MB, "nothing stops the writer"
                await asyncio.sleep(0)
            assert a.transport.get_write_buffer_size() > 0
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert "data" not in b.log
            b.transport.resume_reading()
            await b.received(written)
            assert b.data == block * (written // len(block))
            assert a.log == ["made", "pause", "resume"]
            await shut(a, b)

    run(main())


def test_close_delivers_everything_first(run, net):
    async def main():
        async with net:
            a, b = await pair(net)
            data = random.Random(1).randbytes(15 * MB)
            a.transport.write(data)
            a.transport.close()
            assert a.transport.is_closing()
            await b.eof
            assert b.data == data
            assert await b.closed is None
            assert await a.closed is None

    run(main())


def test_half_close_keeps_the_other_direction_open(run, net):
    async def main():
        async with net:
            a, b = await pair(net, server=lambda: Recorder(keep_open=True))
            assert a.transport.can_write_eof()
            a.transport.write(b"request")
            a.transport.write_eof()
            await b.eof
            assert b.data == b"request"
            assert not b.transport.is_closing()
            b.transport.write(b"response")
            await a.received(8)
            assert a.data == b"response"
            with pytest.raises(RuntimeError):
                a.transport.write(b"more")
            b.transport.close()
            assert await b.closed is None
            assert await a.closed is None
            assert a.log == ["made", "data", "eof", "lost"]
            assert b.log == ["made", "data", "eof", "lost"]

    run(main())


def test_eof_closes_unless_the_protocol_says_otherwise(run, net):
    async def main():
        async with net:
            a, b = await pair(net)
            a.transport.write_eof()
            assert await b.closed is None
            assert await a.closed is None
            assert b.log == ["made", "eof", "lost"]

    run(main())


def test_connection_lost_comes_once_and_never_from_within_close(run, net):
    async def main():
        async with net:
            a, b = await pair(net)
            a.transport.close()
            assert not a.closed.done()
            a.transport.close()
            a.transport.abort()
            await a.closed
            a.transport.close()
            a.transport.abort()
            await b.closed
            await asyncio.sleep(0.01)
            assert a.log == ["made", "lost"]

    run(main())


def test_after_close_nothing_is_received_and_writes_are_ignored(run, net):
    async def main():
        async with net:
            a, b = await pair(net)
            b.transport.write(b"too late")
            a.transport.close()
            a.transport.write(b"ignored")
            await a.closed
            await b.closed
            assert a.log == ["made", "lost"]
            assert not b.data

    run(main())


def test_closing_from_data_received(run, net):
    async def main():
        async with net:
            def echo_once(protocol, data):
                echo(protocol, data)
                protocol.transport.close()

            a, b = await pair(net, server=lambda: Recorder(on_data=echo_once))
            a.transport.write(b"x")
            assert await a.closed is None
            assert a.data == b"x"
            assert await b.closed is None
            assert b.log == ["made", "data", "lost"]

    run(main())


def test_abort_loses_the_connection_on_both_sides(run, net):
    async def main():
        async with net:
            a, b = await pair(net)
            a.transport.abort()
            assert not a.closed.done()
            assert await a.closed is None
            # The kernel sends FIN when the receive queue is empty; we always send RST.
            error = await b.closed
            assert isinstance(error, ConnectionResetError) if net.client_is_ours else error is None

    run(main())


def test_unread_data_at_close_resets_the_connection(run, net):
    async def main():
        async with net:
            a, b = await pair(net)
            a.transport.pause_reading()
            b.transport.write(b"never read")
            await asyncio.sleep(0.01)
            a.transport.close()
            assert isinstance(await b.closed, ConnectionResetError)
            assert await a.closed is None

    run(main())


def test_an_exception_in_data_received_costs_only_that_connection(run, net):
    async def main():
        async with net:
            def fail(protocol, data):
                raise ZeroDivisionError

            a, b = await pair(net, server=lambda: Recorder(on_data=fail))
            c, d = await pair(net, server=lambda: Recorder(on_data=echo))
            a.transport.write(b"x")
            assert isinstance(await b.closed, ZeroDivisionError)
            await a.closed
            c.transport.write(b"still here")
            await c.received(10)
            await shut(c, d)

    errors = run(main(), expect_errors=True)
    assert [type(context["exception"]) for context in errors] == [ZeroDivisionError]


def test_pause_and_resume_reading(run, net):
    async def main():
        async with net:
            a, b = await pair(net)
            assert b.transport.is_reading()
            b.transport.pause_reading()
            b.transport.pause_reading()
            assert not b.transport.is_reading()
            a.transport.write(b"x")
            await asyncio.sleep(0.01)
            assert not b.data
            b.transport.resume_reading()
            b.transport.resume_reading()
            await b.received(1)
            await shut(a, b)
            assert not b.transport.is_reading()
            b.transport.resume_reading()
            assert not b.transport.is_reading()

    run(main())


def test_write_buffer_limits(run, net):
    async def main():
        async with net:
            a, b = await pair(net)
            for high, low in ((1000, 250), (400, 100), (0, 0)):
                a.transport.set_write_buffer_limits(high=high, low=low)
                assert a.transport.get_write_buffer_limits() == (low, high)
            with pytest.raises(ValueError, match="must be >="):
                a.transport.set_write_buffer_limits(high=1, low=2)
            assert a.transport.get_write_buffer_size() == 0
            await shut(a, b)

    run(main())


def test_buffered_protocol(run, net):
    class Buffered(asyncio.BufferedProtocol):
        def __init__(self):
            self.buffer = bytearray(1000)
            self.data = bytearray()
            self.closed = asyncio.get_running_loop().create_future()
            self.made = asyncio.get_running_loop().create_future()

        def connection_made(self, transport):
            self.transport = transport
            self.made.set_result(None)

        def get_buffer(self, sizehint):
            return self.buffer

        def buffer_updated(self, nbytes):
            self.data += self.buffer[:nbytes]
            self.transport.write(bytes(self.buffer[:nbytes]))

        def connection_lost(self, exc):
            self.closed.set_result(exc)

    async def main():
        async with net:
            a, b = await pair(net, server=Buffered)
            data = random.Random(3).randbytes(100_000)
            a.transport.write(data)
            await a.received(len(data))
            assert a.data == data
            assert b.data == data
            await shut(a, b)

    run(main())


def test_the_protocol_can_be_exchanged(run, net):
    async def main():
        async with net:
            second = Recorder()

            def swap(protocol, data):
                protocol.transport.set_protocol(second)

            a, b = await pair(net, server=lambda: Recorder(on_data=swap))
            a.transport.write(b"1")
            await b.received(1)
            assert b.transport.get_protocol() is second
            a.transport.write(b"2")
            await second.received(1)
            assert (b.data, second.data) == (b"1", b"2")
            b.transport.close()
            await second.closed
            await a.closed

    run(main())


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
                lambda: Datagrams(lambda p, data, addr: p.transport.sendto(data, addr)), local_addr=(net.ip, 0))
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
