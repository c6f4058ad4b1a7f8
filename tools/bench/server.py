"""Our half of each pair: the services of tools/bench/services.py on the stack, over an existing TAP device.

server.py TAP ADDRESS/PREFIX [--spin-us N] [--packet] [--buffered] [--no-offload] [--plain-asyncio] [--echoes N]
          [--profile FILE]
"""

import argparse
import asyncio
import cProfile
import signal
from dataclasses import replace

from stack import app
from stack.aio.network import AsyncHost
from stack.aio.polling import POLL_US
from stack.config import HostConfig, IpConfig, TcpConfig
from stack.device.packet import PacketDevice
from stack.device.tap import TapDevice
from tools.bench.services import BACKLOG, DATAGRAMS, SINK, STREAMS, BufferedSink, Echo

# As the other servers: no Nagle, and an address that works at once.
CONFIG = HostConfig(tcp=TcpConfig(nodelay=True), ip=IpConfig(arp_probe=False))
FIRST_ECHO = 6000  # of those that --echoes asks for


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("tap")
    parser.add_argument("address", help="of the stack, like 10.77.0.2/24")
    parser.add_argument("--spin-us", type=int, default=POLL_US, help="how long the loop stays awake after a burst")
    parser.add_argument("--congestion", default=CONFIG.tcp.congestion)
    parser.add_argument("--packet", action="store_true", help="TAP is an interface: a packet socket there")
    parser.add_argument("--buffered", action="store_true", help="the sink is a BufferedProtocol")
    parser.add_argument("--no-offload", action="store_true", help="plain frames, no virtio-net header")
    parser.add_argument("--plain-asyncio", action="store_true", help="asyncio's own loop in place of uvloop")
    parser.add_argument("--echoes", type=int, default=0, help=f"so many more ports with echo, from {FIRST_ECHO} on")
    parser.add_argument("--profile", metavar="FILE", help="cProfile statistics, written at SIGINT or SIGTERM")
    return parser.parse_args()


async def serve(options: argparse.Namespace) -> None:
    """Until SIGINT or SIGTERM."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    config = replace(CONFIG, tcp=replace(CONFIG.tcp, congestion=options.congestion))
    device = (PacketDevice if options.packet else TapDevice)(options.tap, offload=not options.no_offload)
    async with AsyncHost(config, spin_us=options.spin_us) as host:
        host.add_device(device, options.address)
        streams: dict[int, type[asyncio.BaseProtocol]] = {**STREAMS}
        streams |= dict.fromkeys(range(FIRST_ECHO, FIRST_ECHO + options.echoes), Echo)
        if options.buffered:
            streams[SINK] = BufferedSink
        for port, stream in streams.items():
            await host.create_server(stream, None, port, backlog=BACKLOG)
        for port, datagrams in DATAGRAMS.items():
            await host.create_datagram_endpoint(datagrams, ("0.0.0.0", port))  # noqa: S104  (of the stack)
        await stop.wait()
        await host.aclose(0.1)


def main() -> None:
    """Serve, under the profiler if asked for."""
    options = arguments()
    factory = asyncio.new_event_loop if options.plain_asyncio else app.loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        if options.profile:
            profiler = cProfile.Profile()
            try:
                profiler.runcall(runner.run, serve(options))
            finally:
                profiler.dump_stats(options.profile)
        else:
            runner.run(serve(options))


if __name__ == "__main__":
    main()
