"""The TAP device disappears under a running host."""

import asyncio
import socket

import pytest

from stack.errors import DeviceGone
from tests.support.aio_nets import CLIENT_IP, TapNet
from tests.support.aio_protocols import pair
from tests.unit.aio.conftest import run  # noqa: F401  (a fixture)

pytestmark = pytest.mark.netns


@pytest.mark.parametrize("offload", [True, False])
def test_connections_and_the_waiting_program_are_told(run, namespace, offload):  # noqa: F811
    async def main():
        async with TapNet(namespace, client_is_ours=False, offload=offload) as net:
            theirs, ours = await pair(net)
            waiting = asyncio.ensure_future(net.host.driver.closed)
            await asyncio.to_thread(namespace.ip, "link delete tap0")
            assert isinstance(await waiting, DeviceGone)
            assert isinstance(await ours.closed, DeviceGone)
            assert not net.host.driver.handlers
            theirs.transport.abort()
            await theirs.closed

    with namespace.entered():
        [told] = run(main(), expect_errors=True)
    assert told["message"].startswith("tap0 disappeared")


@pytest.mark.parametrize("offload", [True, False])
def test_many_datagrams_at_once_reach_the_kernel_as_they_were_sent(run, namespace, offload):  # noqa: F811
    """With offloads those of one size are joined on their way: fewer frames than datagrams pass."""
    sizes = [60] * 40 + [1472] * 20 + [0, 1, 1, 0, 500, 499, 500, 3000] * 3 + [60] * 40
    sent = [bytes((index & 255,)) * size for index, size in enumerate(sizes)]

    def frames():
        return int(namespace.run("cat", "/sys/class/net/tap0/statistics/rx_packets").stdout)

    async def main():
        async with TapNet(namespace, client_is_ours=False, offload=offload) as net:
            received = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            with received:
                received.bind((CLIENT_IP, 0))
                received.settimeout(10)
                transport, _ = await net.host.create_datagram_endpoint(
                    asyncio.DatagramProtocol, remote_addr=received.getsockname()
                )
                transport.sendto(b"hello")  # ARP first
                assert await asyncio.to_thread(received.recv, 100) == b"hello"
                before = frames()
                for data in sent:
                    transport.sendto(data)
                got = [await asyncio.to_thread(received.recv, 70_000) for _ in sent]
                assert got == sent
                assert (frames() - before < len(sent) / 2) == offload
                transport.close()

    with namespace.entered():
        run(main())
