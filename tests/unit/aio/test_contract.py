"""The contract of asyncio's stream transports, run over kernel sockets and over our stack."""

import asyncio
import hashlib
import random
import socket

import pytest

from stack.aio.transports import StackTransport
from tests.support.aio_protocols import Recorder, echo, pair, shut

MB = 1 << 20


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
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 16_384)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 16_384
            assert sock.getpeername() == a.transport.get_extra_info("peername")
            assert sock.getsockname() == a.transport.get_extra_info("sockname")
            assert (sock.family, sock.type, sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)) == (
                socket.AF_INET,
                socket.SOCK_STREAM,
                0,
            )
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
            assert await b.closed is None  # FIN: the receive queue is empty

    run(main())


def test_abort_loses_nothing_that_the_socket_has_taken(run, net):
    """anyio ends every connection with abort, also right after a write."""

    async def main():
        async with net:
            a, b = await pair(net)
            a.transport.write(b"the last words")
            assert not a.transport.get_write_buffer_size()
            a.transport.abort()
            assert await a.closed is None
            assert await b.closed is None
            assert b.data == b"the last words"

    run(main())


def test_abort_loses_what_the_socket_has_not_taken(run, net):
    """What the peer gets is the beginning, and then a FIN."""

    async def main():
        async with net:
            a, b = await pair(net)
            b.transport.pause_reading()
            data = random.Random(1).randbytes(32 << 20)
            a.transport.write(data)
            await asyncio.sleep(0)  # uvloop writes later
            waiting = a.transport.get_write_buffer_size()
            assert 0 < waiting < len(data)
            a.transport.abort()
            assert await a.closed is None
            b.transport.resume_reading()
            assert await b.closed is None
            # uvloop's transport ends a pass later, and the kernel may take more until then
            taken = len(data) - waiting if isinstance(a.transport, StackTransport) else len(data) - 1
            assert 0 < len(b.data) <= taken
            assert data.startswith(b.data)

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
