"""How fast the simulator is: segments per second of one bulk flow between two hosts, on one core.

Every wire segment that a host sends is counted once: data and ACKs.  The link has a rate, so that every segment
arrives at a time of its own and is an event of its own, which is the dear case; without a rate they would arrive in
bursts.  The reader takes what has come at every event, as an application does.  With `--profile` the functions in
which the time goes.

    python -m tools.bench.sim [--mbytes 30] [--invariants] [--json] [--profile]
"""

import argparse
import cProfile
import gc
import json
import pstats
import sys
import time

from rich.console import Console
from rich.table import Table

from stack import _form
from stack.config import MS, SECOND, HostConfig, IpConfig, TcpConfig
from stack.device.fault import Faults
from stack.device.virtual import FULL_OFFLOAD
from stack.device.wrapper import NO_OFFLOAD
from stack.host.host import Host
from stack.sim.network import Network
from stack.tcp.connection import Connection
from stack.wire.frame import Caps

LINK = Faults(delay_us=1 * MS, rate=125_000_000)  # 1 Gbit/s, nothing is lost
WINDOW = 512 << 10  # bytes, twice what fills the link
ADDR_A, ADDR_B = 0x0A00_0001, 0x0A00_0002
CHUNK = bytes(1 << 16)


class Source:
    """Sends `size` bytes as there is room for them."""

    __slots__ = ("conn", "host", "left", "network")

    def __init__(self, network: Network, host: Host, conn: Connection, size: int) -> None:
        self.network, self.host, self.conn, self.left = network, host, conn, size

    def on_events(self, events: int) -> None:  # noqa: ARG002 - whatever happened, there may be room
        """Fill the send buffer."""
        conn, now = self.conn, self.network.clock.now
        while self.left and (room := conn.send_room()) > 0:
            piece = min(room, self.left, len(CHUNK))
            conn.send(CHUNK[:piece] if piece < len(CHUNK) else CHUNK, now)
            self.left -= piece
        self.host.wake(conn)


class Sink:
    """Reads all that comes."""

    __slots__ = ("conn", "host", "received")

    def __init__(self, host: Host, conn: Connection) -> None:
        self.host, self.conn, self.received = host, conn, 0

    def on_events(self, events: int) -> None:  # noqa: ARG002 - there is something to read, or not
        """Empty the receive buffer."""
        for chunk in self.conn.recv_chunks():
            self.received += len(chunk)
        self.host.wake(self.conn)


class Flow:
    """Two hosts, connected, with a transfer of `size` bytes ahead of them."""

    def __init__(self, size: int, caps: Caps, *, invariants: bool, hashing: bool) -> None:
        config = HostConfig(tcp=TcpConfig(recv_buffer=WINDOW), ip=IpConfig(arp_probe=False))
        self.network = net = Network(1, invariants=invariants, hashing=hashing, record_frames=1_000)
        self.size = size
        hosts = [Host(config, net.rng(name)) for name in "ab"]
        link = net.link(net.add_host("a", hosts[0]), net.add_host("b", hosts[1]), LINK, LINK, caps=caps)
        for host, port, addr in zip(hosts, (link.a, link.b), (ADDR_A, ADDR_B), strict=True):
            host.add_address(port.ifindex, addr, 24, 0)
        listener = hosts[1].listen(0, 80)
        client = hosts[0].connect(ADDR_B, 80)
        net.run_until(lambda: bool(listener.accept_queue), SECOND)
        server = listener.accept()
        assert server is not None
        self.sink = server.user = Sink(hosts[1], server)
        self.source = client.user = Source(net, hosts[0], client, size)

    def run(self) -> None:
        """The whole transfer."""
        self.source.on_events(0)
        self.network.run_until(lambda: self.sink.received >= self.size, 600 * SECOND)


def segments_per_second(size: int, caps: Caps = NO_OFFLOAD, *, invariants: bool = False, hashing: bool = True) -> float:
    """Of one run, by the processor time of this process."""
    flow = Flow(size, caps, invariants=invariants, hashing=hashing)
    before = flow.network.segments
    gc.collect()
    began = time.process_time()
    flow.run()
    return (flow.network.segments - before) / (time.process_time() - began)


CASES: dict[str, tuple[Caps, bool, bool]] = {  # caps, invariants, hashing
    "sim": (NO_OFFLOAD, False, True),
    "sim, hosts send super-segments": (FULL_OFFLOAD, False, True),
    "sim, no digest": (NO_OFFLOAD, False, False),
    "sim_invariants": (NO_OFFLOAD, True, True),
}


def profile(size: int, *, invariants: bool) -> None:
    """Print where the time goes."""
    flow = Flow(size, NO_OFFLOAD, invariants=invariants, hashing=True)
    profiler = cProfile.Profile()
    profiler.runcall(flow.run)
    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mbytes", type=int, default=30, help="length of the stream")
    parser.add_argument("--runs", type=int, default=3, help="of each case; the median counts")
    parser.add_argument("--json", action="store_true", help="the numbers only")
    parser.add_argument("--profile", action="store_true", help="functions by time")
    parser.add_argument("--invariants", action="store_true", help="for --profile")
    arguments = parser.parse_args()
    size = arguments.mbytes * 1_000_000
    if arguments.profile:
        profile(size, invariants=arguments.invariants)
        return 0
    results = {
        name: sorted(
            segments_per_second(size // 10 if invariants else size, caps, invariants=invariants, hashing=hashing)
            for _ in range(arguments.runs)
        )
        for name, (caps, invariants, hashing) in CASES.items()
    }
    if arguments.json:
        print(json.dumps({"form": _form.running(), "segments_per_second": results}))
        return 0
    table = Table("case", "segments/s", "spread", title=f"simulator, one bulk flow, {_form.running()} TCP core")
    for name, values in results.items():
        table.add_row(name, f"{values[len(values) // 2]:,.0f}", f"{values[0]:,.0f} to {values[-1]:,.0f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
