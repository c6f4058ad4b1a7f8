"""create_connection and start_tls on a StackLoop: to hosts of the stack, to the kernel, by name, in a race."""

import asyncio
import errno
import random
import socket
import ssl

import pytest
import uvloop

from stack.aio import connecting
from stack.aio.network import AsyncHost
from stack.aio.transports import StackTransport
from stack.device.virtual import Switch
from stack.errors import ConnectionRefused
from tests.support.aio_nets import CLIENT_IP, CONFIG, SERVER_IP, StackNet
from tests.support.aio_protocols import Recorder, echo

NOBODY = "10.0.0.77"


class Book:
    def __init__(self, **entries):
        self.entries = entries

    async def resolve(self, name):
        return self.entries[name.partition(".")[0]]


async def serve(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def eventually(condition):
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("never came true")


async def talk(host, port, **options):
    """One round on plain asyncio streams; the transport."""
    reader, writer = await asyncio.open_connection(host, port, **options)
    writer.write(b"hello")
    assert await reader.readexactly(5) == b"hello"
    writer.close()
    await writer.wait_closed()
    return writer.transport


def kernel_transport():
    """What the base loop's own transports are."""
    return "uvloop.loop" if isinstance(asyncio.get_running_loop(), uvloop.Loop) else "asyncio.selector_events"


class KernelServer:
    """An echo server on a kernel socket of 127.0.0.1."""

    async def __aenter__(self):
        # a socket of our own: whose business create_server(host, port) is, is tested elsewhere
        sock = socket.create_server(("127.0.0.1", 0))
        self.port = sock.getsockname()[1]
        self.server = await asyncio.start_server(serve, sock=sock)
        return self

    async def __aexit__(self, *exc_info):
        self.server.close()
        await self.server.wait_closed()


# -- whose it is


def test_addresses_of_hosts_are_ours_and_others_the_base_loops_own(on_loop):
    async def main():
        async with StackNet() as net, KernelServer() as kernel:
            await net.server.start_server(serve, port=7)
            assert type(await talk(SERVER_IP, 7)) is StackTransport
            assert type(await talk("127.0.0.1", kernel.port)).__module__ == kernel_transport()
            assert type(await talk("localhost", kernel.port, family=socket.AF_INET)).__module__ == kernel_transport()

    on_loop(main())


def test_figures_of_the_kernel_are_not_looked_up(on_loop):
    async def main():
        async with KernelServer() as kernel:
            loop = asyncio.get_running_loop()

            async def refuse(*args, **options):
                raise AssertionError("looked up")

            loop.getaddrinfo = refuse
            await talk("127.0.0.1", kernel.port)
            assert connecting.is_plain(loop, "127.0.0.1", {"ssl": None})
            assert not connecting.is_plain(loop, "127.0.0.1", {"all_errors": True})
            with pytest.raises(AssertionError, match="looked up"):
                await talk("localhost", kernel.port)

    on_loop(main())


def test_the_active_host_connects(on_loop):
    async def main():
        switch = Switch()
        hosts = []
        for number in (1, 2, 3):
            host = AsyncHost(CONFIG)
            host.add_device(switch.plug(bytes((2, 0, 0, 0, 0, number))), f"10.0.0.{number}/24")
            hosts.append(host)
        await hosts[2].start_server(serve, port=7)

        async def source():
            transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, "10.0.0.3", 7)
            transport.close()
            await protocol.closed
            return transport.get_extra_info("sockname")[0]

        assert await source() == "10.0.0.1"
        with hosts[1].active():
            assert await source() == "10.0.0.2"
            inherited = asyncio.ensure_future(source())
            with hosts[0].active():
                assert await source() == "10.0.0.1"
            assert await source() == "10.0.0.2"
        assert await inherited == "10.0.0.2"
        assert await source() == "10.0.0.1"
        for host in hosts:
            await host.aclose()

    on_loop(main())


def test_local_addr_decides_whose_a_connection_is(on_loop):
    async def main():
        async with StackNet() as net, KernelServer() as kernel:
            loop = asyncio.get_running_loop()
            await net.server.start_server(serve, port=7)
            with net.server.active():  # less than local_addr
                transport, protocol = await loop.create_connection(Recorder, SERVER_IP, 7, local_addr=(CLIENT_IP, 1234))
            assert transport.get_extra_info("sockname") == (CLIENT_IP, 1234)
            with pytest.raises(OSError, match=r"in use|has a connection") as info:
                await loop.create_connection(Recorder, SERVER_IP, 7, local_addr=(CLIENT_IP, 1234))
            assert info.value.errno == errno.EADDRINUSE
            transport.close()
            await protocol.closed
            transport, protocol = await loop.create_connection(Recorder, SERVER_IP, 7, local_addr=("0.0.0.0", 1235))
            assert transport.get_extra_info("sockname") == (CLIENT_IP, 1235)
            transport.close()
            await protocol.closed
            transport, protocol = await loop.create_connection(
                Recorder, "127.0.0.1", kernel.port, local_addr=("127.0.0.1", 0)
            )
            assert type(transport).__module__ == kernel_transport()
            transport.close()
            await protocol.closed

    on_loop(main())


@pytest.mark.parametrize("target", [SERVER_IP, "127.0.0.1"])
def test_a_local_address_that_nobody_has(on_loop, target):
    async def main():
        async with StackNet():
            with pytest.raises(OSError, match="no host of this loop") as info:
                await asyncio.get_running_loop().create_connection(Recorder, target, 7, local_addr=("192.0.2.9", 0))
            assert info.value.errno == errno.EADDRNOTAVAIL

    on_loop(main())


def test_ipv6_is_the_kernels(on_loop):
    async def main():
        async with StackNet(), KernelServer() as kernel:
            with pytest.raises(OSError) as info:  # nobody listens there, or this machine has no IPv6
                await asyncio.get_running_loop().create_connection(Recorder, "::1", kernel.port)
            assert not isinstance(info.value, ConnectionRefused)

    on_loop(main())


def test_a_protocol_may_be_false(on_loop):
    class Empty(Recorder):
        def __len__(self):
            return 0

    async def main():
        async with StackNet() as net:
            await net.server.start_server(serve, port=7)
            transport, protocol = await asyncio.get_running_loop().create_connection(Empty, SERVER_IP, 7)
            assert not protocol
            assert protocol.log == ["made"]
            transport.write(b"x")
            await protocol.received(1)
            transport.close()
            await protocol.closed

    on_loop(main())


@pytest.mark.parametrize("chunk", [b"220 ready\r\n", bytes(100_000)])
def test_no_data_is_delivered_before_create_connection_has_returned(on_loop, chunk):
    class Eager(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            transport.write(chunk)
            transport.write_eof()

    async def main():
        async with StackNet() as net:
            await net.server.create_server(Eager, port=25)
            for _ in range(50):
                transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, SERVER_IP, 25)
                assert protocol.log == ["made"]
                await protocol.received(len(chunk))
                await protocol.closed
                assert transport.is_closing()

    on_loop(main())


# -- arguments


@pytest.mark.parametrize("address", [SERVER_IP, "127.0.0.1"])
@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"server_hostname": "a"}, ValueError),
        ({"ssl_handshake_timeout": 1.0, "happy_eyeballs_delay": 1.0}, ValueError),
        ({"ssl_shutdown_timeout": 1.0, "local_addr": None}, ValueError),
        ({"sock": socket.socket}, ValueError),
        ({"local_addr": "10.0.0.1"}, ValueError),
        ({"no_such_argument": 1}, TypeError),
    ],
)
def test_arguments_that_do_not_go_together(on_loop, address, options, kind):
    async def main():
        async with StackNet():
            given = dict(options)
            if "sock" in given:
                given["sock"] = socket.socket()
            with pytest.raises(kind):
                await asyncio.get_running_loop().create_connection(Recorder, address, 7, **given)
            if "sock" in given:
                given["sock"].close()

    on_loop(main())


@pytest.mark.parametrize("port", [-1, 65_536])
def test_a_port_that_is_none(on_loop, port):
    async def main():
        async with StackNet():
            with pytest.raises(OverflowError, match="0-65535"):
                await asyncio.get_running_loop().create_connection(Recorder, SERVER_IP, port)

    on_loop(main())


def test_port_0_refuses(on_loop):
    """The kernel asks the peer, on which nothing listens there; nothing ever does."""

    async def main():
        loop = asyncio.get_running_loop()
        async with StackNet():
            for host in ("127.0.0.1", SERVER_IP):
                with pytest.raises(ConnectionRefusedError) as caught:
                    await loop.create_connection(Recorder, host, 0)
                assert caught.value.errno == errno.ECONNREFUSED
                with socket.socket() as sock:
                    sock.setblocking(False)
                    with pytest.raises(ConnectionRefusedError):
                        await loop.sock_connect(sock, (host, 0))

    on_loop(main())


def test_a_local_address_of_another_family(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        async with StackNet() as net:
            await net.server.create_server(Recorder, port=7)
            for host in (SERVER_IP, "127.0.0.1"):
                with pytest.raises(OSError, match="family") as caught:
                    await loop.create_connection(Recorder, host, 7, local_addr=("::1", 0))
                assert caught.value.errno == errno.EADDRNOTAVAIL

    on_loop(main())


def test_neither_host_nor_socket(on_loop):
    async def main():
        with pytest.raises(ValueError, match="host and port"):
            await asyncio.get_running_loop().create_connection(Recorder)

    on_loop(main())


def test_a_socket_of_the_kernel_is_the_base_loops(on_loop):
    async def main():
        async with StackNet(), KernelServer() as kernel:
            loop = asyncio.get_running_loop()
            sock = socket.socket()
            sock.setblocking(False)
            await loop.sock_connect(sock, ("127.0.0.1", kernel.port))
            assert type(sock) is socket.socket
            await loop.sock_sendall(sock, b"abcde")
            assert await loop.sock_recv(sock, 3) == b"abc"
            buffer = bytearray(8)
            assert await loop.sock_recv_into(sock, buffer) == 2
            assert buffer[:2] == b"de"
            transport = await talk(None, None, sock=sock)
            assert type(transport).__module__ == kernel_transport()

    on_loop(main())


def test_connect_accepted_socket_of_the_kernel(on_loop):
    async def main():
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            near = socket.create_connection(listener.getsockname())
            far, _ = listener.accept()
        transport, protocol = await loop.connect_accepted_socket(lambda: Recorder(on_data=echo), far)
        near.setblocking(False)
        await loop.sock_sendall(near, b"x")
        assert await loop.sock_recv(near, 1) == b"x"
        near.close()
        await protocol.closed
        assert type(transport).__module__ == kernel_transport()

    on_loop(main())


# -- names and races


def test_a_name_is_resolved_before_uvloop_sees_it(on_loop):
    async def main():
        async with StackNet() as net, KernelServer() as kernel:
            await net.server.start_server(serve, port=7)
            asyncio.get_running_loop().resolver = Book(ours=[SERVER_IP], kernels=["127.0.0.1"])
            assert type(await talk("ours.example", 7)) is StackTransport
            assert type(await talk("kernels.example", kernel.port)).__module__ == kernel_transport()

    on_loop(main())


@pytest.mark.parametrize("delay", [None, 0.01])
def test_the_second_address_is_tried_when_the_first_refuses(on_loop, delay):
    async def main():
        async with StackNet() as net, KernelServer() as kernel:
            loop = asyncio.get_running_loop()
            loop.resolver = Book(stack_first=[SERVER_IP, "127.0.0.1"], kernel_first=["127.0.0.1", SERVER_IP])
            transport = await talk("stack_first", kernel.port, happy_eyeballs_delay=delay)
            assert type(transport).__module__ == kernel_transport()
            with socket.create_server(("127.0.0.1", 0)) as closed:
                port = closed.getsockname()[1]
            await net.server.start_server(serve, port=port)
            assert type(await talk("kernel_first", port, happy_eyeballs_delay=delay)) is StackTransport
            await eventually(lambda: not net.client.driver.handlers)

    on_loop(main())


def test_the_winner_of_a_race_gets_the_protocol_and_losers_leave_nothing(on_loop):
    async def main():
        async with StackNet() as net:
            made = []

            def factory():
                made.append(Recorder())
                return made[-1]

            await net.server.start_server(serve, port=7)
            loop = asyncio.get_running_loop()
            loop.resolver = Book(slow=[NOBODY, "10.0.0.78", SERVER_IP])
            transport, protocol = await loop.create_connection(factory, "slow", 7, happy_eyeballs_delay=0.005)
            assert made == [protocol]
            assert transport.get_extra_info("peername") == (SERVER_IP, 7)
            await eventually(lambda: len(net.client.host.connections()) == 1)
            transport.close()
            await protocol.closed

    on_loop(main())


@pytest.mark.parametrize("after", [0, 1, 2, 3, 0.004, 0.012])
@pytest.mark.parametrize("delay", [None, 0.005])
def test_a_cancelled_connect_leaves_nothing(on_loop, after, delay):
    async def main():
        async with StackNet() as net:
            await net.server.create_server(Recorder, port=7)
            loop = asyncio.get_running_loop()
            loop.resolver = Book(slow=[NOBODY, SERVER_IP] if delay else [SERVER_IP, NOBODY])
            task = asyncio.ensure_future(loop.create_connection(Recorder, "slow", 7, happy_eyeballs_delay=delay))
            if isinstance(after, int):
                for _ in range(after):
                    await asyncio.sleep(0)
            else:
                await asyncio.sleep(after)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled():  # it was through before
                task.result()[0].abort()
            await eventually(lambda: not net.client.host.connections() and not net.client.driver.handlers)
            await eventually(lambda: not net.server.host.connections())

    on_loop(main())


def test_when_all_fail(on_loop):
    async def main():
        async with StackNet():
            loop = asyncio.get_running_loop()
            with socket.create_server(("127.0.0.1", 0)) as closed:
                port = closed.getsockname()[1]
            loop.resolver = Book(both=[SERVER_IP, "127.0.0.1"], one=[SERVER_IP], twice=[SERVER_IP, SERVER_IP])
            with pytest.raises(OSError, match=r"Multiple exceptions: .*,.*"):
                await loop.create_connection(Recorder, "both", port)
            for name in ("one", "twice"):
                with pytest.raises(ConnectionRefusedError) as info:
                    await loop.create_connection(Recorder, name, port)
                assert info.value.errno == errno.ECONNREFUSED
            for options in ({}, {"happy_eyeballs_delay": 0.01}):
                for host, count in (("both", 2), ("one", 1), ("127.0.0.1", 1)):
                    with pytest.raises(ExceptionGroup) as group:
                        await loop.create_connection(Recorder, host, port, all_errors=True, **options)
                    assert len(group.value.exceptions) == count
                    assert all(isinstance(error, ConnectionRefusedError) for error in group.value.exceptions)

    on_loop(main())


def test_what_is_no_oserror_ends_a_race(on_loop):
    async def main():
        loop = asyncio.get_running_loop()

        async def broken():
            raise ZeroDivisionError

        async def never():
            await loop.create_future()

        with pytest.raises(ZeroDivisionError):
            await connecting._race(loop, [never, broken], 0.001, [])

    on_loop(main())


def test_interleaving_takes_the_families_in_turn():
    infos = [(family, 0, 0, "", (name, 0)) for family, name in [(6, "a"), (6, "b"), (6, "c"), (2, "d"), (2, "e")]]

    def names(count):
        return "".join(info[4][0] for info in connecting.interleaved(infos, count))

    assert names(1) == "adbec"
    assert names(2) == "abdce"
    assert names(9) == "abcde"


# -- TLS


def test_tls_by_name_over_ours_and_over_the_kernel(on_loop, certificate):
    server_context, client_context = certificate

    async def main():
        async with StackNet() as net:
            loop = asyncio.get_running_loop()
            await net.server.start_server(serve, port=443, ssl=server_context)
            kernel = await asyncio.start_server(serve, sock=socket.create_server(("127.0.0.1", 0)), ssl=server_context)
            port = kernel.sockets[0].getsockname()[1]
            loop.resolver = Book(stack=[SERVER_IP])  # "stack.example"
            transport, protocol = await loop.create_connection(Recorder, "stack.example", 443, ssl=client_context)
            assert transport.get_extra_info("cipher")
            assert transport.get_extra_info("peername") == (SERVER_IP, 443)
            transport.write(b"hello")
            await protocol.received(5)
            transport.close()
            await protocol.closed
            loop.resolver = Book(stack=["127.0.0.1"], both=[NOBODY, "127.0.0.1"])
            await talk("stack.example", port, ssl=client_context)
            await talk("stack.example", port, ssl=client_context, happy_eyeballs_delay=0.1, all_errors=True)
            with pytest.raises(ssl.SSLCertVerificationError):
                await talk("both.example", port, ssl=client_context, happy_eyeballs_delay=0.01)
            with pytest.raises(ssl.SSLCertVerificationError):
                await talk(SERVER_IP, 443, ssl=client_context)
            kernel.close()
            await eventually(lambda: not net.client.host.connections())

    on_loop(main(), expect_errors=True)


def test_start_tls_over_ours_and_once_more_over_that(on_loop, certificate):
    server_context, client_context = certificate

    class Upgrade(Recorder):
        """Every line "tls" begins TLS over what there is; all else is echoed."""

        def __init__(self):
            super().__init__()
            self.tasks = []

        def connection_made(self, transport):
            self.transport = transport

        def data_received(self, data):
            if data == b"tls":
                self.transport.write(b"ok")
                self.tasks.append(asyncio.ensure_future(self.upgrade()))
            else:
                self.transport.write(data.upper())

        async def upgrade(self):
            loop = asyncio.get_running_loop()
            self.transport = await loop.start_tls(self.transport, self, server_context, server_side=True)

    async def main():
        async with StackNet() as net:
            loop = asyncio.get_running_loop()
            await net.server.create_server(Upgrade, port=25)
            transport, protocol = await loop.create_connection(Recorder, SERVER_IP, 25)
            expected = b""
            for layer in range(3):
                transport.write(b"hello")
                expected += b"HELLO"
                await protocol.received(len(expected))
                if layer < 2:
                    transport.write(b"tls")
                    expected += b"ok"
                    await protocol.received(len(expected))
                    transport = await loop.start_tls(
                        transport, protocol, client_context, server_hostname="stack.example"
                    )
                    assert transport.get_extra_info("cipher")
            assert protocol.data == expected
            transport.close()
            await protocol.closed

    on_loop(main())


@pytest.mark.parametrize("end", ["cancel", "abort"])
def test_a_handshake_that_is_cut_short(on_loop, certificate, end):
    _, client_context = certificate

    async def main():
        async with StackNet() as net:
            loop = asyncio.get_running_loop()
            await net.server.create_server(Recorder, port=443)  # says nothing
            task = asyncio.ensure_future(
                loop.create_connection(Recorder, SERVER_IP, 443, ssl=client_context, server_hostname="stack.example")
            )
            await eventually(lambda: any(isinstance(h, StackTransport) for h in net.client.driver.handlers))
            if end == "cancel":
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                (transport,) = net.client.driver.handlers
                transport.abort()
                with pytest.raises(ConnectionAbortedError):
                    await task
            await eventually(lambda: not net.client.driver.handlers)

    on_loop(main())


def test_start_tls_of_the_kernels_transports_is_the_base_loops(on_loop, certificate):
    server_context, client_context = certificate

    async def main():
        kernel = await asyncio.start_server(serve, sock=socket.create_server(("127.0.0.1", 0)), ssl=server_context)
        port = kernel.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_connection(Recorder, "127.0.0.1", port)
        secure = await loop.start_tls(transport, protocol, client_context, server_hostname="stack.example")
        secure.write(random.Random(1).randbytes(1000))
        await protocol.received(1000)
        secure.close()
        await protocol.closed
        with pytest.raises(TypeError):
            await loop.start_tls(object(), protocol, client_context)
        with pytest.raises(TypeError):
            await loop.start_tls(transport, protocol, None)
        kernel.close()

    on_loop(main())
