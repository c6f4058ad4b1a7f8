"""Socket objects connected by loop.sock_connect to a stack address."""

import asyncio
import errno
import gc
import socket
import struct

import pytest

from stack.aio.carrier import CarrierSocket
from stack.aio.transports import StackTransport
from tests.support.aio_nets import CLIENT_IP, SERVER_IP, StackNet
from tests.support.aio_protocols import Recorder, echo


class Net(StackNet):
    """With a server that keeps its protocols in `accepted`."""

    async def __aenter__(self):
        await super().__aenter__()
        self.accepted = []

        def factory():
            self.accepted.append(Recorder(on_data=echo))
            return self.accepted[-1]

        await self.server.create_server(factory, port=7)
        return self


async def eventually(condition):
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never came true")


def reset(transport):
    """End it with RST."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def connected(sock=None):
    sock = sock or socket.socket()
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (SERVER_IP, 7))
    return sock


def test_a_connected_socket_is_handed_to_create_connection(on_loop):
    async def main():
        async with Net() as net:
            loop = asyncio.get_running_loop()
            sock = await connected()
            assert isinstance(sock, socket.socket)
            assert sock.getpeername() == (SERVER_IP, 7)
            assert sock.getsockname()[0] == CLIENT_IP
            name = sock.getsockname()
            transport, protocol = await loop.create_connection(Recorder, sock=sock)
            assert type(transport) is StackTransport
            assert transport.get_extra_info("sockname") == name
            assert sock.fileno() == -1
            assert (sock.getsockname(), sock.getpeername()) == (name, (SERVER_IP, 7))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 20_000)
            face = transport.get_extra_info("socket")
            assert face.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 40_000
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 40_000
            with pytest.raises(OSError) as info:
                await loop.sock_sendall(sock, b"past the transport")
            assert info.value.errno == errno.EBADF
            sock.close()  # as those do who make sure: no concern of the connection
            transport.write(b"hello")
            await protocol.received(5)
            with pytest.raises(OSError) as info:
                await loop.create_connection(Recorder, sock=sock)
            assert info.value.errno == errno.EBADF
            with pytest.raises(OSError) as info:
                sock.getpeername()
            assert info.value.errno == errno.EBADF
            transport.close()
            await protocol.closed
            await eventually(lambda: not net.client.driver.handlers)

    on_loop(main())


def test_options_and_port_that_were_set_before_are_kept(on_loop):
    async def main():
        async with Net():
            sock = socket.socket()
            sock.bind(("0.0.0.0", 0))
            port = sock.getsockname()[1]
            chosen = {
                (socket.IPPROTO_TCP, socket.TCP_NODELAY): 1,
                (socket.SOL_SOCKET, socket.SO_KEEPALIVE): 1,
                (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): 11,
                (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): 12,
                (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): 13,
                (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): 14_000,
            }
            for (level, option), value in chosen.items():
                sock.setsockopt(level, option, value)
            await connected(sock)
            transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, sock=sock)
            face = transport.get_extra_info("socket")
            assert face.getsockname() == (CLIENT_IP, port)
            assert {key: face.getsockopt(*key) for key in chosen} == chosen
            transport.close()
            await protocol.closed

    on_loop(main())


@pytest.mark.parametrize("how", ["close", "with", "detach", "collect"])
@pytest.mark.parametrize("lingering", [False, True])
def test_a_socket_that_is_dropped_ends_its_connection_as_a_kernel_socket(on_loop, how, lingering):
    """What was sent arrives, then FIN; SO_LINGER with a time of 0 makes it a RST."""

    async def main():
        async with Net() as net:
            sock = await connected()
            await eventually(lambda: net.accepted)
            net.accepted[0].on_data = None  # it answers nothing
            await asyncio.get_running_loop().sock_sendall(sock, b"the last words")
            if lingering:
                await net.accepted[0].received(14)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            if how == "close":
                sock.close()
            elif how == "with":
                with sock:
                    pass
            elif how == "detach":
                socket.close(sock.detach())
            else:
                with pytest.warns(ResourceWarning):
                    del sock
                gc.collect()
            assert isinstance(await net.accepted[0].closed, ConnectionResetError if lingering else type(None))
            assert net.accepted[0].data == b"the last words"
            await eventually(lambda: not net.client.driver.handlers)

    on_loop(main())


def test_a_socket_that_is_dropped_before_all_was_read_resets_its_connection(on_loop):
    async def main():
        async with Net() as net:
            sock = await connected()
            await eventually(lambda: net.accepted)
            net.accepted[0].transport.write(b"xy")
            assert await asyncio.get_running_loop().sock_recv(sock, 1) == b"x"
            sock.close()
            assert isinstance(await net.accepted[0].closed, ConnectionResetError)
            await eventually(lambda: not net.client.driver.handlers)

    on_loop(main())


def test_a_socket_that_is_kept_keeps_its_connection(on_loop):
    """The control of the test before."""

    async def main():
        async with Net() as net:
            sock = await connected()
            await eventually(lambda: net.accepted)
            gc.collect()
            for _ in range(20):
                await asyncio.sleep(0.001)
            assert not net.accepted[0].closed.done()
            assert net.client.driver.handlers
            sock.close()

    on_loop(main())


def test_reading_and_writing_with_the_loop_and_then_with_a_transport(on_loop):
    """As a client of a SOCKS proxy does."""

    async def main():
        async with Net() as net:
            loop = asyncio.get_running_loop()
            sock = await connected()
            await loop.sock_sendall(sock, memoryview(b"hello, world"))
            assert await loop.sock_recv(sock, 2) == b"he"
            buffer = bytearray(3)
            assert await loop.sock_recv_into(sock, buffer) == 3
            assert buffer == b"llo"
            assert await loop.sock_recv(sock, 0) == b""
            big = bytes(range(256)) * 40_000
            sending = asyncio.ensure_future(loop.sock_sendall(sock, big))
            got = b""
            while len(got) < len(big):
                got += await loop.sock_recv(sock, min(1 << 20, len(big) - len(got)))
            await sending
            assert got == b", world" + big[: len(big) - 7]
            transport, protocol = await loop.create_connection(Recorder, sock=sock)
            await protocol.received(7)
            assert protocol.data == big[-7:]
            transport.write(b"more")
            await protocol.received(11)
            transport.close()
            await protocol.closed
            assert len(net.accepted) == 1

    on_loop(main())


def test_the_end_of_the_stream_and_its_errors(on_loop):
    async def main():
        async with Net() as net:
            loop = asyncio.get_running_loop()
            sock = await connected()
            reading = asyncio.ensure_future(loop.sock_recv(sock, 10))
            await eventually(lambda: net.accepted)
            net.accepted[0].transport.close()
            assert await reading == b""
            assert await loop.sock_recv(sock, 10) == b""
            sock.shutdown(socket.SHUT_RD)
            sock.shutdown(socket.SHUT_WR)
            with pytest.raises(OSError):
                await loop.sock_sendall(sock, b"x")
            sock.close()

            sock = await connected()
            reading = asyncio.ensure_future(loop.sock_recv(sock, 10))
            await eventually(lambda: len(net.accepted) == 2)
            reset(net.accepted[1].transport)
            with pytest.raises(ConnectionResetError):
                await reading
            with pytest.raises(ConnectionResetError):
                await loop.sock_sendall(sock, b"x")
            sock.close()

            sock = await connected()
            sock.shutdown(socket.SHUT_WR)
            await eventually(lambda: len(net.accepted) == 3)
            await net.accepted[2].eof
            assert await loop.sock_recv(sock, 10) == b""
            sock.close()

    on_loop(main())


@pytest.mark.parametrize(
    ("name", "args"),
    [("send", (b"x",)), ("sendall", (b"x",)), ("recv", (1,)), ("recv_into", (bytearray(1),)), ("makefile", ()),
     ("accept", ()), ("connect", ((SERVER_IP, 7),)), ("sendto", (b"x", (SERVER_IP, 7)))],
)  # fmt: skip
def test_going_past_the_loop_is_refused(on_loop, name, args):
    async def main():
        async with Net():
            with await connected() as sock, pytest.raises(OSError, match="sock_recv") as info:
                getattr(sock, name)(*args)
            assert info.value.errno == errno.EOPNOTSUPP

    on_loop(main())


@pytest.mark.parametrize("call", ["add_reader", "add_writer"])
def test_waiting_for_the_descriptor_is_refused(on_loop, call):
    """The kernel has no news of the connection; it tells of its own socket, which is connected to nothing."""

    async def main():
        loop = asyncio.get_running_loop()
        async with Net():
            sock = await connected()
            for fd in (sock, sock.fileno()):
                with pytest.raises(OSError, match="sock_recv") as info:
                    getattr(loop, call)(fd, print)
                assert info.value.errno == errno.EOPNOTSUPP
            freed = sock.fileno()
            sock.close()
            near, far = socket.socketpair()
            near.setblocking(False)
            far.send(b"x")
            assert freed in {near.fileno(), far.fileno()}  # as soon as it is another's it may be waited for
            for side in (near, near.fileno(), far.fileno()):
                fired = loop.create_future()
                getattr(loop, call)(side, lambda fired=fired: fired.done() or fired.set_result(None))
                if call == "add_writer" or side is near:
                    await fired
                getattr(loop, call.replace("add", "remove"))(side)
            near.close()
            far.close()

    on_loop(main())


def test_a_server_is_not_made_of_it(on_loop):
    async def main():
        async with Net():
            with await connected() as sock, pytest.raises(OSError) as info:
                await asyncio.get_running_loop().create_server(Recorder, sock=sock)
            assert info.value.errno == errno.EINVAL

    on_loop(main())


def test_options_act_on_the_connection(on_loop):
    async def main():
        async with Net() as net:
            with await connected() as sock:
                (conn,) = net.client.host.connections()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 0)
                assert not conn.snd.nodelay
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                assert conn.snd.nodelay
                assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1

    on_loop(main())


def test_sock_connect_by_name_and_its_errors(on_loop):
    class Book:
        async def resolve(self, name):
            return {"server.example": [SERVER_IP]}[name]

    async def main():
        async with Net():
            loop = asyncio.get_running_loop()
            loop.resolver = Book()
            with socket.socket() as sock:
                sock.setblocking(False)
                with pytest.raises(ConnectionRefusedError):
                    await loop.sock_connect(sock, (SERVER_IP, 99))
                assert type(sock) is socket.socket
                await loop.sock_connect(sock, ("server.example", 7))
                with pytest.raises(OSError, match="connected already") as info:
                    await loop.sock_connect(sock, (SERVER_IP, 7))
                assert info.value.errno == errno.EISCONN
            with socket.socket(type=socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                with pytest.raises(OSError, match="create_datagram_endpoint") as info:
                    await loop.sock_connect(sock, (SERVER_IP, 7))
                assert info.value.errno == errno.EOPNOTSUPP
            with socket.socket() as sock:
                sock.setblocking(False)
                sock.bind(("127.0.0.1", 0))  # decides: the kernel, which has no way there from this address
                with pytest.raises(OSError):
                    await loop.sock_connect(sock, (SERVER_IP, 7))
                assert type(sock) is socket.socket
            loop.set_debug(True)
            with socket.socket() as sock, pytest.raises(ValueError, match="non-blocking"):
                await loop.sock_connect(sock, (SERVER_IP, 7))
            loop.set_debug(False)

    on_loop(main())


def test_a_cancelled_sock_connect_leaves_nothing(on_loop):
    async def main():
        async with Net() as net:
            loop = asyncio.get_running_loop()
            with socket.socket() as sock:
                sock.setblocking(False)
                task = asyncio.ensure_future(loop.sock_connect(sock, ("10.0.0.77", 7)))
                await eventually(net.client.host.connections)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert type(sock) is socket.socket
            await eventually(lambda: not net.client.host.connections() and not net.client.driver.handlers)

    on_loop(main())


def test_a_class_that_cannot_carry_is_told(on_loop):
    class Own(socket.socket):
        __slots__ = ("mine",)

    async def main():
        async with Net() as net:
            with Own() as sock:
                with pytest.raises(OSError, match="plain socket") as info:
                    await connected(sock)
                assert info.value.errno == errno.EOPNOTSUPP
            await eventually(lambda: not net.client.driver.handlers)

    on_loop(main())


def test_connect_accepted_socket_serves_a_connection_that_was_made_outwards(on_loop):
    async def main():
        async with Net():
            sock = await connected()
            assert isinstance(sock, CarrierSocket)
            transport, protocol = await asyncio.get_running_loop().connect_accepted_socket(Recorder, sock)
            transport.write(b"x")
            await protocol.received(1)
            transport.close()
            await protocol.closed

    on_loop(main())


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ((SERVER_IP, 70_000), OverflowError),
        ((SERVER_IP, -1), OverflowError),
        ((SERVER_IP, "no-such-service"), socket.gaierror),
        ((SERVER_IP,), (ValueError, TypeError)),
    ],
)
def test_addresses_that_are_none(on_loop, address, kind):
    async def main():
        async with Net():
            with socket.socket() as sock, pytest.raises(kind):
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, address)

    on_loop(main())


def test_a_port_may_be_in_text(on_loop):
    async def main():
        async with Net():
            with socket.socket() as sock:
                sock.setblocking(False)
                await asyncio.get_running_loop().sock_connect(sock, (SERVER_IP, "7"))
                assert sock.getpeername() == (SERVER_IP, 7)

    on_loop(main())


def test_sending_after_both_ends_is_a_broken_pipe(on_loop):
    async def main():
        async with Net():
            loop = asyncio.get_running_loop()
            with await connected() as sock:
                sock.shutdown(socket.SHUT_WR)
                assert await loop.sock_recv(sock, 1) == b""
                with pytest.raises(BrokenPipeError):
                    await loop.sock_sendall(sock, b"x")

    on_loop(main())


def test_a_connection_that_ended_before_its_host_is_refused(on_loop):
    async def main():
        async with Net() as net:
            with await connected() as sock:
                await eventually(lambda: net.accepted)
                accepted = net.accepted[0].transport
                linger = struct.pack("ii", 1, 0)  # 0: a reset
                accepted.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                accepted.close()
                await eventually(lambda: not net.client.host.connections())
                net.client.driver.close()
                with pytest.raises(OSError, match="closed") as info:
                    await asyncio.get_running_loop().create_connection(Recorder, sock=sock)
                assert info.value.errno == errno.ENETDOWN

    on_loop(main())


def test_the_kernels_datagrams_do_not_go_to_a_stack_address(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.socket(type=socket.SOCK_DGRAM) as free, socket.socket(type=socket.SOCK_DGRAM) as bound:
            for sock in (free, bound):
                sock.setblocking(False)
            bound.bind(("127.0.0.1", 0))
            async with StackNet():
                with pytest.raises(OSError, match="use create_datagram_endpoint") as info:
                    await loop.sock_sendto(free, b"x", (SERVER_IP, 9))
                assert info.value.errno == errno.EOPNOTSUPP
                assert await loop.sock_sendto(free, b"hello", bound.getsockname()) == 5
                # who binds a socket to an address of the kernel means the kernel
                with pytest.raises(OSError) as info:
                    await loop.sock_sendto(bound, b"x", (SERVER_IP, 9))
                assert info.value.errno != errno.EOPNOTSUPP
            assert await loop.sock_recv(bound, 10) == b"hello"

    on_loop(main())
