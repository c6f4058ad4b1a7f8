"""Links of one process: joined hosts, and packets that a program carries itself."""

import asyncio
import io
import random
import threading

import pytest

from stack.aio.links import join
from stack.aio.network import AsyncHost
from stack.aio.queue_device import QueueDevice
from stack.config import HostConfig, IpConfig
from stack.device.callback import CallbackDevice
from stack.device.fault_device import FaultDevice
from stack.device.fault_settings import Faults
from stack.device.pcapng import read_pcapng
from stack.errors import AddressInUse, ConfigError, DeviceGone, InvalidAddress

QUIET = HostConfig(ip=IpConfig(arp_probe=False))
MB = 1 << 20


async def echo(reader, writer):
    while data := await reader.read(MB):
        writer.write(data)
        await writer.drain()
    writer.close()


async def exchange(client, server, address, size=MB):
    """Send `size` bytes there and back."""
    payload = random.Random(5).randbytes(size)
    listening = await server.start_server(echo, address, 80)
    reader, writer = await client.open_connection(address, 80)

    async def send():
        writer.write(payload)
        await writer.drain()
        writer.write_eof()

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        assert await reader.read(-1) == payload
    writer.close()
    listening.close()
    return writer


async def close(*hosts):
    for host in hosts:
        await host.aclose(0.5)


# -- joined hosts


@pytest.mark.parametrize("count", [2, 5])
def test_hosts_joined_in_one_call(run, count):
    async def main():
        hosts = [AsyncHost(QUIET) for _ in range(count)]
        link = join(*hosts, network="10.9.0.0/24")
        assert link.addresses == tuple(f"10.9.0.{n + 1}" for n in range(count))
        assert len({device.mac for device in link.devices}) == count
        await exchange(hosts[0], hosts[-1], link.addresses[-1])
        await close(*hosts)

    run(main())


def test_a_host_may_be_on_several_links(run):
    async def main():
        a, b, c = (AsyncHost(HostConfig(ip=IpConfig(arp_probe=False, forwarding=True))) for _ in range(3))
        join(a, b, network="10.1.0.0/30")
        second = join(b, c, network="10.2.0.0/30")
        names = [i.name for i in b.host.ip.interfaces.values()]
        assert len(set(names)) == 2
        a.host.add_route(0, 0, gateway=0x0A01_0002)
        c.host.add_route(0, 0, gateway=0x0A02_0001)
        await exchange(a, c, second.addresses[1], 10_000)
        await close(a, b, c)

    run(main())


def test_faults_are_once_in_each_direction(run):
    async def main():
        a, b = AsyncHost(QUIET), AsyncHost(QUIET)
        link = join(a, b, faults=Faults(delay_us=20_000), rng=random.Random(3))
        await a.ping(link.addresses[1])  # the neighbours know each other
        reply = await a.ping(link.addresses[1])
        assert reply.rtt_us >= 40_000
        one, two = link.devices
        assert isinstance(one, FaultDevice)
        for end in (one, two):
            assert (end.inbound.faults.delay_us, end.outbound.faults.delay_us) == (20_000, 0)
            assert end.inbound.counts.delivered >= 2
        await close(a, b)

    run(main())


def test_what_is_under_way_outlives_its_sender(run):
    async def main():
        a, b = AsyncHost(QUIET), AsyncHost(QUIET)
        link = join(a, b, faults=Faults(delay_us=20_000))
        await exchange(b, a, link.addresses[0], 1000)
        await b.aclose(5)  # it closed first, so its last ACK is still on the link
        async with asyncio.timeout(5):
            while a.host.connections():
                await asyncio.sleep(0.01)
        await a.aclose(0.5)

    run(main())


def test_the_seed_decides_the_addresses_of_the_link(run):
    async def main():
        macs = []
        for seed in (1, 1, 2):
            a, b = AsyncHost(QUIET), AsyncHost(QUIET)
            macs.append([device.mac for device in join(a, b, rng=random.Random(seed)).devices])
            await close(a, b)
        assert macs[0] == macs[1] != macs[2]

    run(main())


def test_a_capture_of_all_ends(run):
    async def main():
        file = io.BytesIO()
        a, b = AsyncHost(QUIET), AsyncHost(QUIET)
        link = join(a, b, capture=file, faults=Faults())
        await a.ping(link.addresses[1])
        assert isinstance(link.devices[0], FaultDevice)  # not the capture around it
        await close(a, b)
        file.seek(0)
        capture = read_pcapng(file)
        assert len(set(capture.interfaces)) == 2
        assert {packet.interface for packet in capture.packets} == {0, 1}

    run(main())


def test_what_cannot_be_joined(run):
    async def main():
        a, b, c = AsyncHost(QUIET), AsyncHost(QUIET), AsyncHost(QUIET)
        for hosts, network, error in [
            ((a,), "10.0.0.0/24", ConfigError),
            ((a, a), "10.0.0.0/24", ConfigError),
            ((a, b), "10.0.0.1/24", ConfigError),
            ((a, b, c), "10.0.0.0/30", ConfigError),
            ((a, b), "10.0.0/24", InvalidAddress),
        ]:
            with pytest.raises(error):
                join(*hosts, network=network)
        with pytest.raises(InvalidAddress, match="IPv4 only"):
            join(a, b, network="fe80::/64")
        join(a, b)
        with pytest.raises(AddressInUse):
            join(c, b, a)
        assert [len(h.host.ip.interfaces) for h in (a, b, c)] == [1, 1, 0]
        await close(a, b, c)

    run(main())


# -- packets carried by the program


def tunnel(**options):
    """Two hosts, each at its end of a tunnel of two callbacks."""
    a = CallbackDevice("a", lambda _: None, **options)
    b = CallbackDevice("b", a.feed, **options)
    a.on_output = b.feed
    return a, b


def test_tcp_through_callbacks(run):
    async def main():
        one, two = tunnel(mtu=1420)
        client, server = AsyncHost(), AsyncHost()  # a claim is not made, so nothing has to be switched off
        client.add_device(one, "10.7.0.1/32", routes=["0.0.0.0/0"])
        server.add_device(two, "10.8.0.1/32", routes=["10.7.0.0/16"])
        writer = await exchange(client, server, "10.8.0.1")
        assert writer.get_extra_info("connection").snd.eff_snd_mss <= 1420 - 40
        assert (one.rx_dropped, two.rx_dropped, one.rx_too_long, two.rx_too_long) == (0, 0, 0, 0)
        await close(client, server)

    run(main())


async def carry(source, sink, *, together):
    if together:
        try:
            while True:
                sink.feed_many(await source.get_many())
        except DeviceGone:
            return
    async for packet in source:
        sink.feed(packet)


@pytest.mark.parametrize("together", [False, True], ids=["one-by-one", "batches"])
def test_tcp_through_queues(run, together):
    async def main():
        one, two = QueueDevice("a", mtu=1420), QueueDevice("b", mtu=1420)
        client, server = AsyncHost(), AsyncHost()
        client.add_device(one, "10.7.0.1/24")
        server.add_device(two, "10.7.0.2/24")
        async with asyncio.TaskGroup() as group:
            group.create_task(carry(one, two, together=together))
            group.create_task(carry(two, one, together=together))
            await exchange(client, server, "10.7.0.2")
            await close(client, server)  # ends both iterations

    run(main())


def test_a_queue_gives_what_was_sent_before_it_closed(run):
    async def main():
        device = QueueDevice("a")
        host = AsyncHost()
        host.add_device(device, "10.7.0.1/24")
        connecting = asyncio.create_task(host.open_connection("10.7.0.2", 80))
        syn = await device.get()
        assert syn[16:20] == bytes([10, 7, 0, 2])
        connecting.cancel()
        await asyncio.gather(connecting, return_exceptions=True)
        transport, _ = await host.create_datagram_endpoint(asyncio.DatagramProtocol, ("10.7.0.1", 5))
        transport.sendto(b"last", ("10.7.0.2", 9))
        await host.aclose(0.1)
        assert [packet[28:] async for packet in device] == [b"last"]
        with pytest.raises(DeviceGone):
            await device.get()
        with pytest.raises(DeviceGone):
            await device.get_many()

    run(main())


def test_a_queue_nobody_reads_is_bounded(run):
    async def main():
        device = QueueDevice("a", queue_frames=10)
        host = AsyncHost()
        host.add_device(device, "10.7.0.1/24")
        transport, _ = await host.create_datagram_endpoint(asyncio.DatagramProtocol, ("10.7.0.1", 5))
        for _ in range(15):
            transport.sendto(b"x", ("10.7.0.2", 9))
        assert device.tx_dropped == 5
        assert host.host.stats.drops_by_name() == {"tx_device_full": 5}
        assert len(await device.get_many()) == 10
        transport.sendto(b"x", ("10.7.0.2", 9))
        assert len(await device.get_many()) == 1
        await host.aclose(0.1)

    run(main())


def test_packets_fed_by_another_thread(run):
    async def main():
        device = QueueDevice("a")
        host = AsyncHost()
        host.add_device(device, "10.7.0.1/24")
        sender = QueueDevice("b")
        peer = AsyncHost()
        peer.add_device(sender, "10.7.0.2/24")
        got = []

        class Sink(asyncio.DatagramProtocol):
            def datagram_received(self, data, addr):
                got.append(data)
                if len(got) == 500:
                    full.set()

        full = asyncio.Event()
        await host.create_datagram_endpoint(Sink, ("10.7.0.1", 5))
        transport, _ = await peer.create_datagram_endpoint(asyncio.DatagramProtocol, ("10.7.0.2", 5))
        for n in range(500):
            transport.sendto(b"%d" % n, ("10.7.0.1", 5))
        packets = await sender.get_many()
        thread = threading.Thread(target=lambda: [device.feed_threadsafe(packets[i : i + 7]) for i in range(0, 500, 7)])
        thread.start()
        await full.wait()
        thread.join()
        assert got == [b"%d" % n for n in range(500)]
        await close(host, peer)
        assert device.feed_threadsafe(packets) == 500  # on their way, to nowhere
        await asyncio.sleep(0)
        assert device.rx_dropped == 500

    run(main())


def test_what_threads_feed_is_bounded(run):
    async def main():
        device = QueueDevice("a", queue_frames=10)
        thread = threading.Thread(target=lambda: taken.append(device.feed_threadsafe([b"\x45"] * 25)))
        taken = []
        thread.start()
        thread.join()  # the loop had no turn meanwhile
        assert taken == [10]
        await asyncio.sleep(0)
        assert device.rx_dropped == 15

    run(main())


def test_a_thread_that_outlives_the_loop_is_not_hurt(run):
    async def main():
        return QueueDevice("a")

    assert run(main()).feed_threadsafe([b"\x45"]) == 0
