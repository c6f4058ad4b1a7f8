"""Two hosts on a virtual link, for tests of blocking sockets, which are the first one's."""

import asyncio
import contextlib
import gc
import time
from pathlib import Path

from stack.aio.links import join
from stack.aio.network import AsyncHost
from stack.config import HostConfig, IpConfig

CONFIG = HostConfig(ip=IpConfig(arp_probe=False))
OURS, PEER = "10.0.0.1", "10.0.0.2"
MB = 1 << 20
PATIENCE_S = 20.0  # of what takes no time


@contextlib.asynccontextmanager
async def two_hosts():
    """Ours, and a peer: TCP echo on 7, one that never reads on 9, one that answers 10 bytes by a reset on 11, and UDP
    echo on 7.
    """
    async with AsyncHost(CONFIG) as ours, AsyncHost(CONFIG) as peer:
        join(ours, peer)

        async def echo(reader, writer):
            with contextlib.suppress(ConnectionError):
                while data := await reader.read(MB):
                    writer.write(data)
                    await writer.drain()
                writer.close()

        async def ignore(reader, writer):
            writer.transport.pause_reading()

        async def reset(reader, writer):
            data = await reader.readexactly(10)
            writer.write(data)
            writer.get_extra_info("connection").abort(peer.driver.time())
            peer.driver.wake(writer.get_extra_info("connection"))

        class UdpEcho(asyncio.DatagramProtocol):
            def connection_made(self, transport):
                self.transport = transport

            def datagram_received(self, data, addr):
                self.transport.sendto(data, addr)

        await peer.start_server(echo, PEER, 7)
        await peer.start_server(ignore, PEER, 9)
        await peer.start_server(reset, PEER, 11)
        await peer.create_datagram_endpoint(UdpEcho, (PEER, 7))
        yield ours
        for host in (ours, peer):
            await host.aclose(0.1)  # what a test left open is not waited for


def eventually(condition, what="the condition"):
    """Wait for what another thread is about to do."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"{what} never came"
        time.sleep(0.002)


def all_ended(station):
    """Wait until nothing is left of the sockets that were closed."""

    def none_left():
        gc.collect()  # libraries keep some in cycles
        return not station.run(lambda: len(station.poller))

    eventually(none_left, "the end of all pairs")
    eventually(
        lambda: not station.run(lambda: [h for h in station.host.driver.handlers if hasattr(h, "inside")]), "the end"
    )


def descriptors():
    """How many this process has."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
