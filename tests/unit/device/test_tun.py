"""TunDevice against the kernel, in a network namespace of the test's own."""

import asyncio
import contextlib
import ctypes
import os
import random
import socket
import subprocess
import threading

import pytest

from stack.aio.network import AsyncHost
from stack.device import tap as tap_module
from stack.device.fault_device import FaultDevice
from stack.device.fault_settings import Faults
from stack.device.tap import TapDevice
from stack.device.tun import TunDevice
from stack.errors import ConfigError, DeviceError, DeviceGone
from stack.stats import Counter
from stack.wire.burst import Burst

pytestmark = pytest.mark.netns

OURS, KERNEL = "198.18.0.2", "198.18.0.1"
CLONE_NEWNET = 0x40000000
MB = 1 << 20
libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture(autouse=True)
def namespace():
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    if libc.unshare(CLONE_NEWNET):
        pytest.fail(os.strerror(ctypes.get_errno()))
    yield
    libc.setns(home, CLONE_NEWNET)
    os.close(home)


@pytest.fixture(params=["c", "plain"])
def engine(request, monkeypatch):
    if request.param == "plain":
        monkeypatch.setattr(tap_module, "NATIVE", False)
    assert (request.param == "c") == tap_module.NATIVE


@pytest.fixture(params=[True, False], ids=["offload", "plain-packets"])
def tun(request, engine):
    with contextlib.closing(TunDevice("tun0", offload=request.param)) as device:
        subprocess.run(["ip", "address", "add", f"{KERNEL}/24", "dev", "tun0"], check=True)
        device.set_up()
        device.set_txqueuelen(10_000)
        yield device


def run_host(device, main, wrap=lambda device: device):
    """`main(host)` with a host of ours on `device`."""

    async def guarded():
        async with asyncio.timeout(30), AsyncHost() as host:
            host.add_device(wrap(device), f"{OURS}/24", routes=["0.0.0.0/0"])
            await main(host)

    asyncio.run(guarded())


async def there_and_back(host, size):
    """Bulk through the kernel's echo server, and through ours."""
    payload = random.Random(3).randbytes(size)
    with socket.create_server((KERNEL, 0)) as listening:
        echo = threading.Thread(target=kernel_echo, args=(listening,))
        echo.start()
        reader, writer = await host.open_connection(*listening.getsockname())
        assert await exchanged(reader, writer, payload) == payload
        echo.join()

    async def serve(reader, writer):
        writer.write(await reader.read(-1))
        writer.close()

    server = await host.start_server(serve, OURS, 80)
    reader, writer = await asyncio.open_connection(OURS, 80)
    assert await exchanged(reader, writer, payload) == payload
    server.close()


def kernel_echo(listening):
    connection, _ = listening.accept()
    with connection:
        received = b"".join(iter(lambda: connection.recv(MB), b""))
        connection.sendall(received)


async def exchanged(reader, writer, payload):
    writer.write(payload)
    writer.write_eof()
    received = await reader.read(-1)
    writer.close()
    await writer.wait_closed()
    return received


def test_tcp_both_ways(tun):
    async def main(host):
        await there_and_back(host, 2 * MB)
        counts = host.host.stats.counts
        assert counts[Counter.TCP_RETRANS_SEGS] == 0
        assert counts[Counter.ARP_OUT_REQUESTS] == counts[Counter.ARP_IN_REQUESTS] == 0
        # a router solicitation of the kernel's, its probes of a window that was closed for a while, and a FIN that it
        # sends again on a busy machine
        assert set(host.host.stats.drops_by_name()) <= {"eth_ipv6", "tcp_out_of_window", "tcp_time_wait"}

    run_host(tun, main)
    assert (tun.tx_errors, tun.tx_dropped) == (0, 0)


def test_udp_and_echo(tun):
    async def main(host):
        assert (await host.ping(KERNEL, size=1400)).rtt_us > 0
        answer = asyncio.get_running_loop().create_future()

        class Asker(asyncio.DatagramProtocol):
            def datagram_received(self, data, addr):
                answer.set_result((data, addr))

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            peer.bind((KERNEL, 0))
            transport, _ = await host.create_datagram_endpoint(Asker, (OURS, 7000))
            transport.sendto(b"q" * 4000, peer.getsockname())  # in fragments
            data, addr = await asyncio.to_thread(peer.recvfrom, 65_536)
            assert (data, addr) == (b"q" * 4000, (OURS, 7000))
            peer.sendto(b"a" * 5000, addr)
            assert await answer == (b"a" * 5000, peer.getsockname())

    run_host(tun, main)
    assert tun.tx_errors == 0


def test_through_a_faulty_link(engine):
    """Wrapping devices see frames, with their real checksums, and hand them on as such."""
    with contextlib.closing(TunDevice("tun0")) as device:
        subprocess.run(["ip", "address", "add", f"{KERNEL}/24", "dev", "tun0"], check=True)
        device.set_up()
        faulty = FaultDevice(
            device, random.Random(1), inbound=Faults(corruption=0.02), outbound=Faults(corruption=0.02)
        )
        run_host(device, lambda host: there_and_back(host, MB // 4), wrap=lambda _: faulty)
        assert faulty.inbound.counts.corrupted > 0
        assert faulty.outbound.counts.corrupted > 0


def test_the_interface(engine):
    with contextlib.closing(TunDevice("tun0", mtu=1420)) as device:
        assert (device.mtu, device.caps.bare_ip, device.caps.tso4) == (1420, True, True)
        shown = subprocess.run(["ip", "-d", "link", "show", "tun0"], check=True, capture_output=True, text=True).stdout
        assert "NOARP" in shown
        assert "tun type tun" in shown
        with pytest.raises(DeviceError, match="TUN tun0 is in use"):
            TunDevice("tun0")
    with pytest.raises(ConfigError):
        TunDevice("tun0", mtu=20)
    with contextlib.closing(TapDevice("tap0")) as tap:
        tap.set_persistent(True)
    with pytest.raises(DeviceError, match="tap0 exists and is no TUN device"):
        TunDevice("tap0")


def test_the_end_of_the_interface(tun):
    subprocess.run(["ip", "link", "delete", "tun0"], check=True)
    with pytest.raises(DeviceGone, match="tun0 disappeared"):
        tun.rx_burst(Burst())
