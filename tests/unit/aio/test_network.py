"""AsyncHost: what kernel sockets have no like of, or what needs a look into the host's tables."""

import asyncio
import errno
import random
import socket
import ssl

import pytest
import uvloop

from stack.aio.attempt import Attempt
from stack.aio.device_driver import monotonic_us
from stack.aio.loop import SelectorLoop, UvLoop
from stack.aio.network import AsyncHost
from stack.config import HostConfig, IpConfig, TcpConfig
from stack.device.fault_device import FaultDevice
from stack.device.fault_settings import Faults
from stack.device.virtual import Switch, link
from stack.device.wrapper import NO_OFFLOAD
from stack.errors import DeviceGone, HostClosed
from tests.support.aio_nets import CONFIG, SERVER_IP, StackNet

MB = 1 << 20


class Silent(asyncio.Protocol):
    """Keeps the transport and what ended it."""

    def __init__(self):
        self.closed = asyncio.get_running_loop().create_future()
        self.data = bytearray()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.data += data

    def connection_lost(self, exc):
        self.closed.set_result(exc)


class Sleepy(Silent):
    """Reads nothing."""

    def connection_made(self, transport):
        super().connection_made(transport)
        transport.pause_reading()


async def echo(reader, writer):
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


def assert_empty(host):
    assert host.host.connections() == []
    assert host.host.tcp.n_conns == 0
    assert not host.driver.handlers
    host.host.check_invariants()


# -- failing and cancelled connects


def test_a_cancelled_connect_leaves_nothing_behind(run):
    async def main():
        async with StackNet() as net:
            for delay in (0, 0.005):
                task = asyncio.ensure_future(net.client.create_connection(Silent, "10.0.0.77", 80))
                await asyncio.sleep(delay)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                await eventually(lambda: not net.client.host.connections())
                assert_empty(net.client)

    run(main())


def test_a_connect_that_succeeds_while_it_is_cancelled_is_reset(run):
    async def main():
        async with StackNet() as net:
            server = await net.server.create_server(Silent, port=80)
            task = asyncio.ensure_future(net.client.create_connection(Silent, SERVER_IP, 80))
            await eventually(net.client.host.connections)
            (conn,) = net.client.host.connections()
            await eventually(lambda: not isinstance(conn.user, Attempt) or conn.user._connected.done())
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled():  # it was through before
                task.result()[0].abort()
            await eventually(lambda: not net.server.host.connections())
            await eventually(lambda: not net.client.host.connections())
            assert_empty(net.client)
            server.close()

    run(main())


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1"])
def test_no_route(run, address):
    async def main():
        async with StackNet() as net:
            for attempt in (
                net.client.create_connection(Silent, address, 80),
                net.client.create_datagram_endpoint(Datagrams, remote_addr=(address, 80)),
            ):
                with pytest.raises(OSError, match=r"route|IPv6") as info:
                    await attempt
                assert info.value.errno == errno.ENETUNREACH
            assert net.client.host.ip.udp.snapshot() == []
            assert_empty(net.client)

    run(main())


def test_names_need_a_resolver(run):
    class Resolver:
        async def resolve(self, name):
            return {"server.example": [SERVER_IP]}[name]

    async def main():
        async with StackNet() as net:
            server = await net.server.start_server(echo, port=7)
            with pytest.raises(socket.gaierror, match=r"AsyncHost\(resolver=\.\.\.\)") as info:
                await net.client.open_connection("server.example", 7)
            assert info.value.errno == socket.EAI_NONAME
            net.client.resolver = Resolver()
            _, writer = await net.client.open_connection("server.example", 7)
            writer.close()
            await writer.wait_closed()
            server.close()

    run(main())


@pytest.mark.parametrize("kind", [SelectorLoop, UvLoop])
def test_a_host_without_a_resolver_asks_its_loops(kind):
    class Resolver:
        async def resolve(self, name):
            if name != "server.example":
                raise OSError("no such name")
            return ["2001:db8::1", SERVER_IP]

    async def main():
        async with StackNet() as net:
            await net.server.start_server(echo, port=7)
            _, writer = await net.client.open_connection("server.example", 7)
            writer.close()
            await writer.wait_closed()
            with pytest.raises(socket.gaierror, match="no such name"):
                await net.client.open_connection("nobody.example", 7)

    with asyncio.Runner(loop_factory=lambda: kind(resolver=Resolver())) as runner:
        runner.run(main())


def test_no_host_is_active_on_a_loop_that_knows_none(run):
    async def main():
        async with StackNet() as net:
            with pytest.raises(RuntimeError, match=r"run the program with stack\.run"):
                net.client.active()

    run(main())


@pytest.mark.parametrize(
    "act",
    [lambda stream, _: stream.close(), lambda stream, _: stream.abort(), lambda _, datagrams: datagrams.close()],
    ids=["close", "abort", "datagrams"],
)
def test_another_thread_is_caught_in_debug_mode(run, act):
    async def main():
        loop = asyncio.get_running_loop()
        async with StackNet() as net:
            await net.server.create_server(Silent, port=7)
            stream, _ = await net.client.create_connection(Silent, SERVER_IP, 7)
            datagrams, _ = await net.client.create_datagram_endpoint(Datagrams, ("0.0.0.0", 9))
            await asyncio.sleep(0.02)
            loop.set_debug(True)
            for again in range(2):
                with pytest.raises(RuntimeError, match="thread"):
                    await asyncio.to_thread(act, stream, datagrams)
                assert not stream.is_closing(), again
                assert not datagrams.is_closing(), again
            loop.set_debug(False)
            stream.write(b"goes on")
            stream.close()
            await stream.get_protocol().closed

    run(main())


def test_the_local_address_can_be_chosen(run):
    async def main():
        async with StackNet() as net:
            server = await net.server.create_server(Silent, port=7)
            transport, _ = await net.client.create_connection(Silent, SERVER_IP, 7, local_addr=("10.0.0.1", 1234))
            assert transport.get_extra_info("sockname") == ("10.0.0.1", 1234)
            with pytest.raises(OSError, match=r"in use|has a connection") as info:
                await net.client.create_connection(Silent, SERVER_IP, 7, local_addr=("10.0.0.1", 1234))
            assert info.value.errno == errno.EADDRINUSE
            transport.abort()
            server.close()

    run(main())


# -- back-pressure


def test_a_paused_reader_closes_the_window_and_memory_is_bounded(run):
    async def main():
        config = HostConfig(tcp=TcpConfig(send_buffer=64 << 10, recv_buffer=128 << 10), ip=IpConfig(arp_probe=False))
        async with StackNet(config=config) as net:
            accepted = []

            def factory():
                accepted.append(Sleepy())
                return accepted[-1]

            await net.server.create_server(factory, port=7)
            _, writer = await net.client.open_connection(SERVER_IP, 7)
            written = 0
            with pytest.raises(TimeoutError):
                while written < 8 * MB:
                    writer.write(bytes(10_000))
                    written += 10_000
                    async with asyncio.timeout(0.1):
                        await writer.drain()
            (receiver,) = accepted
            sending = writer.get_extra_info("tcp_info")
            assert sending.snd_wnd < 1460
            assert receiver.transport.get_extra_info("tcp_info").recv_queue <= 128 << 10
            assert written <= (64 + 64 + 128 << 10) + 20_000  # send buffer, high water, receive buffer
            receiver.transport.resume_reading()
            await eventually(lambda: len(receiver.data) == written)
            writer.close()
            await writer.wait_closed()

    run(main())


def test_a_writer_waits_and_goes_on_with_the_buffers_that_a_connection_has_grown(run):
    async def main():
        async with StackNet() as net:
            accepted = []

            def factory():
                accepted.append(Sleepy())
                return accepted[-1]

            await net.server.create_server(factory, port=7)
            _, writer = await net.client.open_connection(SERVER_IP, 7)
            config = writer.get_extra_info("connection").config
            written = 0
            with pytest.raises(TimeoutError):
                while written < 32 * MB:
                    writer.write(bytes(10_000))
                    written += 10_000
                    async with asyncio.timeout(0.1):
                        await writer.drain()
            # nobody reads: neither end has grown towards its largest buffer
            assert written < (config.send_buffer + config.recv_buffer) // 4
            receiver = accepted[0].transport.get_extra_info("connection")
            assert receiver.rcv.limit < 2 * config.recv_buffer_initial
            accepted[0].transport.resume_reading()
            for _ in range(400):
                writer.write(bytes(50_000))
                await writer.drain()
            await eventually(lambda: len(accepted[0].data) == written + 20_000_000)
            assert receiver.rcv.limit > 2 * config.recv_buffer_initial
            writer.close()
            await writer.wait_closed()

    run(main())


# -- the end


def test_aclose_delivers_what_was_written(run):
    async def main():
        async with StackNet() as net:
            got = asyncio.get_running_loop().create_future()

            async def serve(reader, writer):
                got.set_result(await reader.read())
                writer.close()

            await net.server.start_server(serve, port=7)
            _, writer = await net.client.open_connection(SERVER_IP, 7)
            data = random.Random(1).randbytes(6 * MB)
            writer.write(data)
            await net.client.aclose(5)
            assert await got == data
            assert_empty(net.client)
            assert net.client.driver.closed.result() is None

    run(main())


class Collects(asyncio.DatagramProtocol):
    def __init__(self):
        self.got = []

    def datagram_received(self, data, _addr):
        self.got.append(data)


@pytest.mark.parametrize("answers", [True, False])
def test_aclose_waits_for_what_waits_for_a_neighbour(run, answers):
    """The last thing that a program did was to send a datagram to one whose link address it did not know."""

    async def main():
        def slow(device):  # to hear anything
            return FaultDevice(device, random.Random(7), monotonic_us, inbound=Faults(delay_us=30_000))

        async with StackNet(caps=NO_OFFLOAD, wrap=slow) as net:
            _, there = await net.server.create_datagram_endpoint(Collects, (SERVER_IP, 9))
            ours = net.client
            address = SERVER_IP if answers else SERVER_IP.rsplit(".", 1)[0] + ".77"
            transport, _ = await ours.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(address, 9))
            for n in range(100):
                transport.sendto(b"%d" % n)
            await asyncio.sleep(0)
            assert ours.host.datagrams_wait()
            await ours.aclose(20 if answers else 0.05)
            await eventually(lambda: len(there.got) == (100 if answers else 0))

    run(main())


def test_aclose_resets_what_does_not_drain(run):
    async def main():
        async with StackNet() as net:
            accepted = asyncio.get_running_loop().create_future()

            def factory():
                accepted.set_result(Sleepy())
                return accepted.result()

            await net.server.create_server(factory, port=7)
            transport, client = await net.client.create_connection(Silent, SERVER_IP, 7)
            transport.write(bytes(20 * MB))
            receiver = await accepted
            await net.client.aclose(0.05)
            assert client.closed.done()
            assert isinstance(await receiver.closed, ConnectionResetError)
            assert_empty(net.client)

    run(main())


def test_a_lost_device_ends_everything_with_device_gone(run):
    async def main():
        async with StackNet() as net:
            server = await net.server.create_server(Silent, port=7)
            serving = asyncio.ensure_future(server.serve_forever())
            datagrams, protocol = await net.server.create_datagram_endpoint(Datagrams, ("0.0.0.0", 9))
            transport, client = await net.client.create_connection(Silent, SERVER_IP, 7)
            connecting = asyncio.ensure_future(net.client.create_connection(Silent, "10.0.0.99", 7))
            await asyncio.sleep(0.01)
            for host in (net.client, net.server):
                (port,) = host.driver._ports
                port.device.close()
                port.on_frames()
                assert isinstance(await host.driver.closed, DeviceGone)
                assert not host.driver.handlers
            assert isinstance(await client.closed, DeviceGone)
            assert isinstance(protocol.lost, DeviceGone)
            with pytest.raises(DeviceGone):
                await connecting
            with pytest.raises(DeviceGone):
                await serving
            transport.write(b"ignored")
            datagrams.sendto(b"ignored", (SERVER_IP, 7))

    told = run(main(), expect_errors=True)  # once for each host
    assert [context["message"].split(":")[0] for context in told] == ["veth-a is closed", "veth-b is closed"]
    assert all(isinstance(context["exception"], DeviceGone) for context in told)


def test_serving_ends_with_the_host(run):
    async def main():
        async with StackNet() as net:
            server = await net.server.create_server(Silent, port=7)
            serving = asyncio.ensure_future(server.serve_forever())
            await asyncio.sleep(0)
            await net.server.aclose()
            with pytest.raises(HostClosed, match="of this server was closed") as info:
                await serving
            assert info.value.errno == errno.ENETDOWN

    run(main())


def test_a_connect_that_waits_ends_with_the_host(run):
    async def main():
        async with StackNet() as net:
            connecting = asyncio.ensure_future(net.client.create_connection(Silent, "10.0.0.99", 7))
            await asyncio.sleep(0.01)
            await net.client.aclose()
            with pytest.raises(HostClosed, match="while it was connecting") as info:
                await connecting
            assert info.value.errno == errno.ENETDOWN

    run(main())


class Datagrams(asyncio.DatagramProtocol):
    lost = None

    def connection_lost(self, exc):
        self.lost = exc


def test_a_server_can_end_its_clients(run):
    async def main():
        async with StackNet() as net:
            server = await net.server.create_server(Silent, port=7)
            for end in (server.close_clients, server.abort_clients):
                _, client = await net.client.create_connection(Silent, SERVER_IP, 7)
                await eventually(lambda: server._connections)
                end()
                assert await client.closed is None
            server.close()
            await server.wait_closed()

    run(main())


# -- several hosts, bad links, TLS, echo


def test_three_hosts_on_a_switch(run):
    async def main():
        switch = Switch()
        hosts = []
        for number in (1, 2, 3):
            host = AsyncHost(CONFIG)
            host.add_device(switch.plug(bytes((2, 0, 0, 0, 0, number))), f"10.0.0.{number}/24")
            await host.start_server(echo, port=7)
            hosts.append(host)

        async def talk(host, number):
            reader, writer = await host.open_connection(f"10.0.0.{number}", 7)
            data = random.Random(number).randbytes(50_000)
            writer.write(data)
            writer.write_eof()
            assert await reader.read() == data
            writer.close()
            await writer.wait_closed()

        # each with each, itself included
        await asyncio.gather(*(talk(host, number) for host in hosts for number in (1, 2, 3)))
        for host in hosts:
            await host.aclose()
            assert_empty(host)

    run(main())


def test_a_bad_link_delays_and_loses_nothing(run):
    def faulty(device):
        faults = Faults(loss=0.01, delay_us=1000, jitter_us=500, duplication=0.01)
        return FaultDevice(device, random.Random(7), monotonic_us, inbound=faults, outbound=faults)

    async def main():
        async with StackNet(caps=NO_OFFLOAD, wrap=faulty) as net:
            await net.server.start_server(echo, port=7)
            reader, writer = await net.client.open_connection(SERVER_IP, 7)
            data = random.Random(1).randbytes(300_000)
            writer.write(data)
            writer.write_eof()
            assert await reader.read() == data
            writer.close()
            await writer.wait_closed()

    run(main())


def test_tls(run, certificate):
    server_context, client_context = certificate

    async def main():
        async with StackNet() as net:
            await net.server.start_server(echo, port=443, ssl=server_context)
            reader, writer = await net.client.open_connection(
                SERVER_IP, 443, ssl=client_context, server_hostname="stack.example"
            )
            assert writer.get_extra_info("cipher")
            assert writer.get_extra_info("peername") == (SERVER_IP, 443)
            data = random.Random(1).randbytes(MB)
            writer.write(data)
            assert await reader.readexactly(MB) == data
            writer.close()
            await writer.wait_closed()
            with pytest.raises(ssl.SSLCertVerificationError):
                await net.client.open_connection(SERVER_IP, 443, ssl=client_context, server_hostname="wrong.example")
            await eventually(lambda: not net.client.driver.handlers)
            assert_empty(net.client)

    run(main(), expect_errors=True)


def test_start_tls(run, certificate):
    server_context, client_context = certificate

    class Upgrading(Silent):
        def data_received(self, data):
            if data == b"STARTTLS\n":
                self.transport.write(b"GO\n")
                self.upgrade = asyncio.ensure_future(self.start())
            else:
                self.secure.write(data.upper())

        async def start(self):
            self.secure = await self.host.start_tls(self.transport, self, server_context, server_side=True)

        def connection_lost(self, exc):
            pass

    async def main():
        async with StackNet() as net:
            Upgrading.host = net.server
            await net.server.create_server(Upgrading, port=25)
            transport, client = await net.client.create_connection(Silent, SERVER_IP, 25)
            transport.write(b"STARTTLS\n")
            await eventually(lambda: client.data == b"GO\n")
            secure = await net.client.start_tls(transport, client, client_context, server_hostname="stack.example")
            secure.write(b"hello")
            await eventually(lambda: client.data == b"GO\nHELLO")
            secure.close()
            await client.closed

    run(main())


def test_ping(run):
    async def main():
        async with StackNet() as net:
            for size in (0, 56, 10_000):
                reply = await net.client.ping(SERVER_IP, seq=3, size=size)
                assert (reply.seq, len(reply.data)) == (3, size)
                assert 0 <= reply.rtt_us < 1_000_000
            with pytest.raises(TimeoutError):
                await net.client.ping("10.0.0.77", timeout=0.02)
            with pytest.raises(OSError, match="oute"):
                await net.client.ping("192.0.2.1")
            assert_empty(net.client)

    run(main())


@pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_host_is_made_before_its_loop_runs(factory):
    async def talk(host):
        assert host.loop is asyncio.get_running_loop()
        await host.start_server(echo, port=7)
        reader, writer = await host.open_connection(SERVER_IP, 7)
        writer.write(b"hello")
        assert await reader.readexactly(5) == b"hello"
        await host.aclose()
        assert_empty(host)

    with asyncio.Runner(loop_factory=factory) as runner:
        host = AsyncHost(CONFIG, loop=runner.get_loop())
        host.add_device(link(b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2")[0], SERVER_IP + "/24")
        runner.run(talk(host))


def test_a_closed_host_takes_no_device(run):
    async def main():
        host = AsyncHost(CONFIG)
        await host.aclose()
        with pytest.raises(HostClosed, match="make a new one"):
            host.add_device(link(b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2")[0])

    run(main())
