"""Our half of the DNS server's row: a zone of many names, and a bare UDP echo beside it, over an existing TAP device.

dns_serving.py TAP ADDRESS/PREFIX [--profile FILE]

`questions` are what dnsperf asks: every name of the zone, and one in ten that is not in it.
"""

import argparse
import asyncio
import cProfile
import signal
from typing import Final

import uvloop

from stack.aio.network import AsyncHost
from stack.config import HostConfig, IpConfig
from stack.device.tap import TapDevice
from stack.dns.names import Name
from stack.dns.server import serve
from stack.dns.zone import Zone
from tools.bench.services import DatagramEcho

ZONE: Final = "bench.test"
NAMES: Final = 1000
ECHO_PORT: Final = 5003
CONFIG = HostConfig(ip=IpConfig(arp_probe=False))  # an address that works at once


def zone_text() -> str:
    """Names with three addresses each, as in dns_server.py."""
    lines = ["$TTL 60", "@ SOA ns hostmaster 1 1800 900 604800 60", "@ NS ns", "ns A 192.0.2.53"]
    lines += [f"n{number} A 192.0.2.{each}" for number in range(NAMES) for each in (1, 2, 3)]
    return "\n".join(lines)


def questions() -> str:
    """The input of dnsperf."""
    names = [f"n{number}.{ZONE} A" for number in range(NAMES)]
    names += [f"x{number}.{ZONE} A" for number in range(NAMES // 10)]
    return "\n".join(names) + "\n"


async def main(options: argparse.Namespace) -> None:
    """Until SIGINT or SIGTERM."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with AsyncHost(CONFIG) as host:
        host.add_device(TapDevice(options.tap), options.address)
        await host.create_datagram_endpoint(DatagramEcho, ("0.0.0.0", ECHO_PORT))  # noqa: S104  (of the stack)
        async with await serve([Zone.parse(zone_text(), Name.parse(ZONE))], host=host):
            await stop.wait()


def run() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tap")
    parser.add_argument("address", help="of the stack, like 10.77.0.2/24")
    parser.add_argument("--profile", metavar="FILE", help="cProfile statistics, written at SIGINT or SIGTERM")
    options = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if options.profile:
            profiler = cProfile.Profile()
            try:
                profiler.runcall(runner.run, main(options))
            finally:
                profiler.dump_stats(options.profile)
        else:
            runner.run(main(options))


if __name__ == "__main__":
    run()
