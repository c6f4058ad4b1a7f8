"""A router between two TAP devices, each in a network namespace of its own.

forwarder.py NAMESPACE TAP ADDRESS/PREFIX NAMESPACE TAP ADDRESS/PREFIX; says `ready` when it forwards.
"""

import asyncio
import signal
import sys

import uvloop

from stack.aio.network import AsyncHost
from stack.config import HostConfig, IpConfig
from stack.device.tap import TapDevice
from tools.netns import inside

CONFIG = HostConfig(ip=IpConfig(forwarding=True, arp_probe=False))


async def forward(*ends: tuple[str, str, str]) -> None:
    """Until SIGINT or SIGTERM."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncHost(CONFIG) as host:
        for namespace, tap, address in ends:
            with inside(namespace):
                device = TapDevice(tap)
            host.add_device(device, address)
        print("ready", flush=True)
        await stop.wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(forward((sys.argv[1], sys.argv[2], sys.argv[3]), (sys.argv[4], sys.argv[5], sys.argv[6])))
