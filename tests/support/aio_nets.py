"""Two ends that can talk: kernel sockets over loopback, two of our hosts on a virtual link, or one of each on a TAP.

The same test body runs on both (`net.client`, `net.server`, `net.ip`), so that what is asserted is what asyncio
does over the kernel.
"""

import asyncio
import ipaddress
import os

from stack.aio.network import AsyncHost
from stack.config import HostConfig, IpConfig
from stack.device.tap import TapDevice
from stack.device.virtual import FULL_OFFLOAD, link

CLIENT_IP, SERVER_IP = "10.0.0.1", "10.0.0.2"
CONFIG = HostConfig(ip=IpConfig(arp_probe=False))


class KernelEnd:
    """The running loop under the names of AsyncHost."""

    def __init__(self):
        loop = asyncio.get_running_loop()
        self.create_connection = loop.create_connection
        self.create_server = loop.create_server
        self.create_datagram_endpoint = loop.create_datagram_endpoint
        self.open_connection = asyncio.open_connection
        self.start_server = asyncio.start_server


class KernelNet:
    # an address of this process's own: what other programs still send to a port that is ours now is not heard
    ip = str(ipaddress.IPv4Address("127.64.0.0") + os.getpid() % (1 << 22))
    client_is_ours = False

    async def __aenter__(self):
        self.client = self.server = KernelEnd()
        return self

    async def __aexit__(self, *exc_info):
        pass


class StackNet:
    ip = SERVER_IP
    client_is_ours = True

    def __init__(self, caps=FULL_OFFLOAD, config=CONFIG, wrap=lambda device: device):
        self.caps = caps
        self.config = config
        self.wrap = wrap

    async def __aenter__(self):
        a, b = link(b"\x02\0\0\0\0\1", b"\x02\0\0\0\0\2", caps=self.caps)
        self.client = AsyncHost(self.config)
        self.client.add_device(self.wrap(a), CLIENT_IP + "/24")
        self.server = AsyncHost(self.config)
        self.server.add_device(b, SERVER_IP + "/24")
        return self

    async def __aexit__(self, kind, exc, trace):
        # half a second is ample between two hosts in one process
        for host in (self.client, self.server):
            await host.aclose(0.5)


class TapNet:
    """Our host and the kernel, each other's peers.  The calling thread is in `namespace`."""

    def __init__(self, namespace, *, client_is_ours, offload):
        self.namespace = namespace
        self.client_is_ours = client_is_ours
        self.offload = offload
        self.ip = CLIENT_IP if client_is_ours else SERVER_IP  # the kernel is 10.0.0.1

    async def __aenter__(self):
        device = TapDevice("tap0", offload=self.offload)
        device.set_up()
        self.namespace.ip(f"address add {CLIENT_IP}/24 dev tap0")
        self.host = AsyncHost(CONFIG)
        self.host.add_device(device, SERVER_IP + "/24")
        kernel = KernelEnd()
        self.client, self.server = (self.host, kernel) if self.client_is_ours else (kernel, self.host)
        return self

    async def __aexit__(self, *exc_info):
        await self.host.aclose(0.5)
