"""trio programs on a host of ours, which lives in a thread of its own."""

import asyncio
import contextlib
import errno
import functools
import os
import socket
import threading

import pytest
import trio
import trio.testing

from stack.adapters import engine as engine_module
from stack.adapters.engine import Engine
from stack.adapters.streams import PIECE
from stack.adapters.trio_sockets import StackSockets
from stack.aio.links import join
from stack.aio.network import AsyncHost
from stack.config import HostConfig, IpConfig
from stack.errors import AddressInUse, AddressNotAvailable, HostClosed

QUIET = HostConfig(ip=IpConfig(arp_probe=False))
OURS, PEER = "10.0.0.1", "10.0.0.2"
MB = 1 << 20


@contextlib.asynccontextmanager
async def two_hosts():
    """Ours, and a peer with an echo server on port 7, one that never reads on 9, and UDP echo on 7."""
    async with AsyncHost(QUIET) as ours, AsyncHost(QUIET) as peer:
        join(ours, peer)

        async def echo(reader, writer):
            while data := await reader.read(MB):
                writer.write(data)
                await writer.drain()
            writer.close()

        async def ignore(reader, writer):
            reader._transport.pause_reading()

        class UdpEcho(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.transport = transport

            def datagram_received(self, data, addr):
                self.transport.sendto(data, addr)

        await peer.start_server(echo, PEER, 7)
        await peer.start_server(ignore, PEER, 9)
        await peer.create_datagram_endpoint(UdpEcho, (PEER, 7))
        yield ours
        for host in (ours, peer):
            await host.aclose(0.1)  # what a test left open is not waited for


def engines():
    return [thread for thread in threading.enumerate() if thread.name == "tapstack"]


@pytest.fixture
def sockets():
    with StackSockets(two_hosts) as made:
        yield made
    assert engines() == []


@pytest.fixture
def run(sockets):
    """`run(main)` in trio with the factory set; no connection of ours may be open at the end."""

    def run_main(main):
        async def guarded():
            trio.socket.set_custom_socket_factory(sockets)
            with trio.fail_after(30):
                return await main()

        result = trio.run(guarded)

        async def left(host):
            return [h for h in host.driver.handlers if not getattr(h, "is_closing", bool)()]

        assert sockets._engine.call(left) == []
        return result

    return run_main


async def read_all(stream):
    return b"".join([data async for data in stream])


def test_a_stream_both_ways(run):
    payload = os.urandom(3 * MB)

    async def main():
        stream = await trio.open_tcp_stream(PEER, 7)
        assert isinstance(stream.socket, trio.socket.SocketType)
        assert stream.socket.getpeername() == (PEER, 7)
        assert stream.socket.getsockname()[0] == OURS

        async def send():
            await stream.send_all(payload)
            await stream.send_eof()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            assert await read_all(stream) == payload
        await stream.aclose()

    run(main)


def test_a_server_and_its_clients_in_one_run(run):
    async def handle(stream):
        async for data in stream:
            await stream.send_all(data[::-1])

    async def main():
        async with trio.open_nursery() as nursery:
            listeners = await nursery.start(functools.partial(trio.serve_tcp, handle, 0, host=OURS))
            address = listeners[0].socket.getsockname()
            assert address[0] == OURS
            assert address[1] > 0
            for text in (b"abc", b"xyz"):
                async with await trio.open_tcp_stream(*address) as stream:
                    await stream.send_all(text)
                    assert await stream.receive_some() == text[::-1]
            nursery.cancel_scope.cancel()

    run(main)


def test_cancelled_operations_leave_nothing_behind(run):
    async def main():
        stream = await trio.open_tcp_stream(PEER, 7)
        with trio.move_on_after(0.05) as scope:
            await stream.receive_some()
        assert scope.cancelled_caught
        await stream.send_all(b"later")
        assert await stream.receive_some() == b"later"  # nothing was lost
        await stream.aclose()
        with trio.move_on_after(0.05) as scope:
            await trio.open_tcp_stream("10.0.0.77", 80)
        assert scope.cancelled_caught
        listening = trio.socket.socket()
        await listening.bind((OURS, 80))
        listening.listen()
        with trio.move_on_after(0.05) as scope:
            await listening.accept()
        assert scope.cancelled_caught
        client = await trio.open_tcp_stream(OURS, 80)
        accepted, peer = await listening.accept()
        assert peer == client.socket.getsockname()
        for end in (accepted, client.socket, listening):
            end.close()

    run(main)


def test_control_the_fixture_sees_what_is_left_open(sockets):
    async def main():
        trio.socket.set_custom_socket_factory(sockets)
        await trio.open_tcp_stream(PEER, 7)

    async def left(host):
        return len(host.driver.handlers)

    trio.run(main)
    assert sockets._engine.call(left) == 1


def test_a_peer_that_does_not_read_stops_the_sender(run):
    async def main():
        stream = await trio.open_tcp_stream(PEER, 9)
        sent = 0
        with trio.move_on_after(0.5):
            while sent < 500 * MB:
                sent += await stream.socket.send(bytes(MB))
        assert PIECE <= sent < 500 * MB
        stream.socket.close()

    run(main)


def test_errors_are_those_of_sockets(run):
    async def main():
        with pytest.raises(OSError) as raised:  # of all attempts
            await trio.open_tcp_stream(PEER, 81)
        [refused] = raised.value.__cause__.exceptions
        assert isinstance(refused, ConnectionRefusedError)
        sock = trio.socket.socket()
        with pytest.raises(ConnectionRefusedError):
            await sock.connect((PEER, 81))
        with pytest.raises(OSError) as raised:
            await sock.recv(1)
        assert raised.value.errno == errno.ENOTCONN
        with pytest.raises(OSError) as raised:
            await sock.accept()
        assert raised.value.errno == errno.EINVAL
        with pytest.raises(AddressNotAvailable):
            await sock.bind(("10.0.0.9", 80))
        await sock.connect((PEER, 7))
        with pytest.raises(OSError) as raised:
            await sock.connect((PEER, 7))
        assert raised.value.errno == errno.EISCONN
        with pytest.raises(OSError) as raised:
            await sock.recv(1, socket.MSG_PEEK)
        assert raised.value.errno == errno.EOPNOTSUPP
        sock.close()
        sock.close()
        for operation in (sock.getsockname, sock.getpeername, sock.listen, lambda: sock.setsockopt(6, 1, 1)):
            with pytest.raises(OSError) as raised:
                operation()
            assert raised.value.errno == errno.EBADF
        one, two = trio.socket.socket(), trio.socket.socket()
        for each in (one, two):
            await each.bind((OURS, 80))
        one.listen()
        with pytest.raises(AddressInUse):
            two.listen()
        one.close()
        two.close()

    run(main)


def test_closing_wakes_a_reader(run):
    async def main():
        stream = await trio.open_tcp_stream(PEER, 7)

        async def read():
            with pytest.raises(trio.ClosedResourceError):
                await stream.receive_some()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            await stream.aclose()

    run(main)


def test_options(run):
    async def main():
        sock = trio.socket.socket()
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_STREAM
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 0
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # for when there is a connection
        await sock.connect((PEER, 7))
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 0
        with pytest.raises(OSError) as raised:
            sock.setsockopt(socket.SOL_SOCKET, 9999, 1)
        assert raised.value.errno == errno.ENOPROTOOPT
        assert not sock.is_readable()
        await sock.send(b"x")
        buffer = bytearray(10)
        assert await sock.recv_into(buffer) == 1
        assert not sock.did_shutdown_SHUT_WR
        sock.shutdown(socket.SHUT_WR)
        assert sock.did_shutdown_SHUT_WR
        assert await sock.recv(1) == b""
        assert sock.is_readable()
        sock.close()

    run(main)


def test_datagrams(run):
    async def main():
        with trio.socket.socket(type=socket.SOCK_DGRAM) as sock:
            assert await sock.sendto(b"hello", (PEER, 7)) == 5
            assert await sock.recvfrom(100) == (b"hello", (PEER, 7))
            await sock.sendto(b"hello", 0, (PEER, 7))
            assert await sock.recv(3) == b"hel"
        with trio.socket.socket(type=socket.SOCK_DGRAM) as sock:
            await sock.bind((OURS, 5000))
            assert sock.getsockname() == (OURS, 5000)
            await sock.connect((PEER, 7))
            assert (sock.getsockname(), sock.getpeername()) == ((OURS, 5000), (PEER, 7))
            await sock.send(b"again")
            assert await sock.recv(100) == b"again"
            with trio.move_on_after(0.05) as scope:
                await sock.recv(1)
            assert scope.cancelled_caught
        with trio.socket.socket(type=socket.SOCK_DGRAM) as sock:
            await sock.connect((PEER, 99))
            await sock.send(b"nobody")
            with pytest.raises(ConnectionRefusedError):
                await sock.recv(1)

    run(main)


def test_other_families_are_the_kernels(run):
    async def main():
        with trio.socket.socket(socket.AF_UNIX) as sock:
            assert sock.fileno() > 0
        with trio.socket.socket() as sock:
            assert sock.fileno() == -1

    run(main)


def test_one_factory_serves_several_runs_at_once(sockets):
    async def main():
        trio.socket.set_custom_socket_factory(sockets)
        async with await trio.open_tcp_stream(PEER, 7) as stream:
            for _ in range(20):
                await stream.send_all(b"x" * 1000)
                received = 0
                while received < 1000:
                    received += len(await stream.receive_some())
        done.append(1)

    done = []
    threads = [threading.Thread(target=trio.run, args=(main,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [1] * 4


def test_a_host_that_does_not_come_up_is_told_to_everyone():
    @contextlib.asynccontextmanager
    async def broken():
        raise PermissionError("no device for you")
        yield

    async def main():
        trio.socket.set_custom_socket_factory(sockets)
        for _ in range(2):
            sock = trio.socket.socket()
            with pytest.raises(PermissionError, match="no device"):
                await sock.connect((PEER, 7))

    with StackSockets(broken) as sockets:
        trio.run(main)


def test_closing_the_engine_ends_what_is_under_way(sockets):
    async def main():
        trio.socket.set_custom_socket_factory(sockets)
        sock = trio.socket.socket()
        await sock.connect((PEER, 7))

        async def read():
            with pytest.raises(HostClosed):
                await sock.recv(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            await trio.testing.wait_all_tasks_blocked()
            await trio.to_thread.run_sync(sockets.close)
        with pytest.raises(HostClosed):
            await sock.recv(1)
        sock.close()

    trio.run(main)


def test_the_engine_is_not_started_for_nothing():
    engine = Engine(two_hosts)
    assert engines() == []
    engine.close()
    with pytest.raises(HostClosed):
        engine.call(lambda host: None)


def test_a_fork_is_an_error():
    engine = Engine(two_hosts)

    async def nothing(host):
        return 1

    assert engine.call(nothing) == 1
    pid = os.fork()
    if pid == 0:
        try:
            engine.call(nothing)
        except HostClosed:
            os._exit(0)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    engine.close()


def test_a_host_that_ends_badly_is_logged(caplog):
    @contextlib.asynccontextmanager
    async def bad_end():
        async with AsyncHost(QUIET) as host:
            yield host
        raise ZeroDivisionError

    async def nothing(host):
        return 1

    engine = Engine(bad_end)
    assert engine.call(nothing) == 1
    engine.close()
    assert [record.name for record in caplog.records] == [engine_module.__name__]
