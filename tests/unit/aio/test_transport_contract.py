"""The corners of asyncio's contract of transports: order of calls, errors in callbacks, exchange of protocols."""

import array
import asyncio

import pytest

from tests.support.aio_nets import SERVER_IP, StackNet
from tests.support.aio_protocols import Recorder, shut

MB = 1 << 20


async def connected(net, client=Recorder, server=Recorder):
    """(client, server)."""
    loop = asyncio.get_running_loop()
    made = loop.create_future()

    def factory():
        made.set_result(server())
        return made.result()

    listener = await loop.create_server(factory, net.ip, 0)
    _, protocol = await loop.create_connection(client, net.ip, listener.sockets[0].getsockname()[1])
    peer = await made
    await peer.made
    listener.close()
    return protocol, peer


def over(place, body, *, errors=0, **factories):
    async def main():
        async with place.net() as net:
            await body(*await connected(net, **factories))

    told = place.run(main(), expect_errors=True)
    assert len(told) == errors, told


def test_buffers_of_any_shape_are_written_as_their_bytes(place):
    async def body(a, b):
        a.transport.write(memoryview(array.array("I", [1, 2, 3])))
        a.transport.write(memoryview(bytes(range(12))).cast("B", (3, 4)))
        a.transport.writelines([b"x", bytearray(b"y"), memoryview(array.array("H", [7]))])
        a.transport.writelines(iter([b"z"]))
        a.transport.writelines([])
        large = bytes(range(256)) * 40
        a.transport.writelines([b"1", large, b"2", bytearray(b"3"), large, large, b"4"])
        await b.received(12 + 12 + 5 + 4 + 3 * len(large))
        small = array.array("I", [1, 2, 3]).tobytes() + bytes(range(12)) + b"xy\7\0z"
        assert b.data == small + b"1" + large + b"23" + large + large + b"4"
        await shut(a, b)

    over(place, body)


def test_an_error_in_connection_made_is_told_and_the_connection_goes_on(asyncio_place):
    class Bad(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            raise ZeroDivisionError

    async def body(a, b):
        a.transport.write(b"x")
        await b.received(1)
        b.transport.write(b"y")
        await a.received(1)
        await shut(a, b)

    over(asyncio_place, body, client=Bad, server=Bad, errors=2)


def test_abort_in_connection_made(place):
    class Shy(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.abort()

    async def body(a, b):
        assert await b.closed is None
        assert b.log == ["made", "lost"]
        await a.closed

    over(place, body, server=Shy)


def test_close_in_connection_made_of_a_client(place):
    class Shy(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(b"bye")
            transport.close()

    async def body(a, b):
        assert a.transport.is_closing()
        await b.eof
        assert b.data == b"bye"
        assert await a.closed is None
        await b.closed

    over(place, body, client=Shy)


def test_an_error_in_resume_writing_is_told_and_harmless(place):
    class Bad(Recorder):
        def resume_writing(self):
            super().resume_writing()
            raise ZeroDivisionError

    async def body(a, b):
        b.transport.pause_reading()
        while "pause" not in a.log:
            a.transport.write(bytes(MB))
            await asyncio.sleep(0)
        b.transport.resume_reading()
        for _ in range(5000):
            if "resume" in a.log:
                break
            await asyncio.sleep(0.001)
        assert "resume" in a.log
        assert not a.transport.is_closing()
        await shut(a, b)

    over(place, body, client=Bad, errors=1)


@pytest.mark.parametrize("method", ["data_received", "eof_received"])
def test_an_error_while_receiving_is_the_end(asyncio_place, method):
    async def body(a, b):
        def fail(*_):
            raise ZeroDivisionError

        setattr(b, method, fail)
        a.transport.write(b"x")
        a.transport.write_eof()
        assert isinstance(await b.closed, ZeroDivisionError)
        await a.closed

    over(asyncio_place, body, errors=1)


def test_an_error_in_connection_lost_is_told(place):
    class Bad(Recorder):
        def connection_lost(self, exc):
            super().connection_lost(exc)
            raise ZeroDivisionError

    async def body(a, b):
        a.transport.close()
        await a.closed
        await b.closed
        await asyncio.sleep(0.01)

    over(place, body, client=Bad, errors=1)


def test_the_end_of_the_peer_may_be_outlived_and_waited_for(place):
    async def body(a, b):
        b.keep_open = True
        a.transport.write_eof()
        a.transport.write_eof()
        await b.eof
        with pytest.raises(RuntimeError):
            a.transport.write(b"")
        with pytest.raises(RuntimeError):
            a.transport.writelines([b"x"])
        b.transport.write(b"still here")
        await a.received(10)
        b.transport.write_eof()
        await a.eof
        assert await a.closed is None
        b.transport.close()
        assert await b.closed is None

    over(place, body)


class Buffered(asyncio.BufferedProtocol):
    """Hands over to `successor` after `limit` bytes."""

    def __init__(self, limit, successor, size=4):
        self.limit, self.successor = limit, successor
        self.data = bytearray()
        self.space = bytearray(size)
        self.made = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        self.made.set_result(None)

    def get_buffer(self, sizehint):
        return memoryview(self.space)[: max(1, min(len(self.space), self.limit - len(self.data)))]

    def buffer_updated(self, count):
        self.data += self.space[:count]
        if len(self.data) == self.limit:
            self.successor.connection_made(self.transport)
            self.transport.set_protocol(self.successor)


def test_a_buffered_protocol_gives_way_to_another_in_the_middle(place):
    async def main():
        async with place.net() as net:
            plain, buffered = Recorder(), None
            second = Buffered(7, plain)
            buffered = Buffered(10, second, size=100)
            a, b = await connected(net, server=lambda: buffered)
            a.transport.write(bytes(range(50)))
            await plain.received(33)
            assert (b.data, second.data, plain.data) == (bytes(range(10)), bytes(range(10, 17)), bytes(range(17, 50)))
            await shut(a, plain)

    place.run(main())


def test_a_plain_protocol_gives_way_to_a_buffered_one(place):
    async def main():
        async with place.net() as net:
            last = Recorder()
            second = Buffered(5, last)

            def on_data(protocol, data):
                second.connection_made(protocol.transport)
                protocol.transport.set_protocol(second)

            a, b = await connected(net, server=lambda: Recorder(on_data=on_data))
            a.transport.write(b"first")
            await b.received(5)
            a.transport.write(b"secondlast")
            await last.received(5)
            assert (b.data, second.data, last.data) == (b"first", b"secon", b"dlast")
            await shut(a, last)

    place.run(main())


def test_an_empty_buffer_is_an_error(place):
    async def main():
        async with place.net() as net:
            lost = asyncio.get_running_loop().create_future()

            class Empty(Buffered):
                def get_buffer(self, sizehint):
                    return bytearray()

                def connection_lost(self, exc):
                    lost.set_result(exc)

            a, _ = await connected(net, server=lambda: Empty(1, None))
            a.transport.write(b"x")
            assert isinstance(await lost, RuntimeError)
            await a.closed

    assert len(place.run(main(), expect_errors=True)) == 1


def test_exchanging_the_protocol_while_reading_is_paused(place):
    async def body(a, b):
        second = Recorder()
        b.transport.pause_reading()
        a.transport.write(b"waits")
        await asyncio.sleep(0.01)
        b.transport.set_protocol(second)
        await asyncio.sleep(0.01)
        assert not b.data
        assert not second.data
        b.transport.resume_reading()
        await second.received(5)
        assert not b.data
        b.transport.close()
        await second.closed
        await a.closed

    over(place, body)


def test_pausing_within_data_received(place):
    async def body(a, b):
        def pause(protocol, data):
            protocol.transport.pause_reading()

        b.on_data = pause
        a.transport.write(b"1")
        await b.received(1)
        a.transport.write(b"2")
        a.transport.write_eof()
        await asyncio.sleep(0.02)
        assert b.data == b"1"
        assert not b.eof.done()
        b.on_data = None
        b.transport.resume_reading()
        await b.eof
        assert b.data == b"12"
        await a.closed
        await b.closed

    over(place, body)


def test_what_close_has_left_to_the_kernel_is_not_cut_off_by_abort(place):
    async def body(a, b):
        b.transport.pause_reading()
        a.transport.write(bytes(50_000))
        a.transport.close()
        a.transport.abort()
        assert await a.closed is None
        b.transport.resume_reading()
        await b.eof
        assert len(b.data) == 50_000
        await b.closed

    over(place, body)


def test_a_closing_transport_takes_more_while_it_holds_something(place):
    """TLS does so: its goodbye is written when it is told that there is room."""

    class Late(Recorder):
        def resume_writing(self):
            super().resume_writing()
            assert self.transport.is_closing()
            self.transport.write(b"goodbye")

    async def body(a, b):
        b.transport.pause_reading()
        size = 0
        while "pause" not in a.log:
            a.transport.write(bytes(MB))
            size += MB
        a.transport.close()
        a.transport.write(b"more")
        b.transport.resume_reading()
        await b.eof
        await a.closed
        assert len(b.data) == size + 11
        assert b.data.endswith(b"moregoodbye")
        await shut(b)

    over(place, body, client=Late)


def test_abort_while_closing_takes_nothing_more(place):
    async def body(a, b):
        b.transport.pause_reading()
        size = 0
        while "pause" not in a.log:
            a.transport.write(bytes(MB))
            size += MB
        a.transport.close()
        a.transport.abort()
        a.transport.write(b"too late")
        await a.closed
        b.transport.resume_reading()
        await b.closed
        assert len(b.data) < size
        assert not any(b.data)

    over(place, body)


def test_abort_drops_what_the_transport_holds(place):
    async def body(a, b):
        b.transport.pause_reading()
        while not a.transport.get_write_buffer_size():
            a.transport.write(bytes(MB))
            await asyncio.sleep(0)
        a.transport.close()
        assert "lost" not in a.log
        a.transport.abort()
        assert await a.closed is None
        b.transport.resume_reading()
        await b.closed

    over(place, body)


def test_what_there_is_to_know(asyncio_place):
    async def body(a, b):
        for protocol in (a, b):
            info = protocol.transport.get_extra_info
            assert info("peername") == info("socket").getpeername()
            assert info("sockname") == info("socket").getsockname()
            assert info("sslcontext") is None
            assert info("nothing", 5) == 5
            assert protocol.transport.get_protocol() is protocol
        limits = a.transport.get_write_buffer_limits()
        assert limits == (16 << 10, 64 << 10)
        a.transport.set_write_buffer_limits(low=10)
        assert a.transport.get_write_buffer_limits() == (10, 40)
        a.transport.set_write_buffer_limits()
        assert a.transport.get_write_buffer_limits() == limits
        await shut(a, b)
        assert a.transport.get_extra_info("peername") == b.transport.get_extra_info("sockname")

    over(asyncio_place, body)


def test_when_both_have_sent_their_end_it_is_the_application_that_closes(place):
    async def body(a, b):
        a.transport.write_eof()
        await b.eof
        b.transport.write(b"x")
        b.transport.write_eof()
        await a.eof
        for _ in range(50):  # by now the connection itself is at its end
            await asyncio.sleep(0.001)
        assert [a.log[-1], b.log[-1]] == ["eof", "eof"]
        assert not a.transport.is_closing()
        assert not b.transport.is_closing()
        await shut(a, b)
        assert a.log == ["made", "data", "eof", "lost"]

    def keep():
        return Recorder(keep_open=True)

    over(place, body, client=keep, server=keep)


def test_a_task_of_connection_made_is_there_before_the_first_data(on_loop):
    """It may exchange the protocol, pause reading or start TLS, though data came in one burst with the handshake."""

    class Greeted(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.task = asyncio.ensure_future(self.go_on())

        async def go_on(self):
            self.log.append("task")
            self.transport.set_protocol(self.next)

    async def main():
        async with StackNet() as net:
            server = Greeted()
            server.next = Recorder()
            await net.server.create_server(lambda: server, port=7)
            await net.client.ping(SERVER_IP)  # the neighbour is known from now on
            (port,) = net.server.driver._ports

            def only_the_syn():
                port.device.on_readable = lambda: None
                port.on_frames()

            port.device.on_readable = only_the_syn
            transport, client = await net.client.create_connection(Recorder, SERVER_IP, 7)
            transport.write(b"hello")
            for _ in range(10):
                await asyncio.sleep(0)
            assert not server.log
            port.device.on_readable = port.on_frames
            port.on_frames()
            await server.next.received(5)
            assert server.log == ["made", "task"]
            transport.close()
            await client.closed

    on_loop(main())
