#!/usr/bin/env python3
"""Fairness of two senders at one bottleneck: 20 Mbit/s, 40 ms, a drop-tail queue of one bandwidth-delay product.

tools/fairness.py [--seconds 120] [--seed 1] [ALGORITHM+ALGORITHM ...]

Prints what each flow received in the second half of the run, and Jain's index.  The second flow starts five seconds
after the first.
"""

import argparse
from dataclasses import dataclass

from stack.config import MS, SECOND, HostConfig, TcpConfig
from stack.device.fault import Faults
from stack.host.host import Host
from stack.sim.network import HostNode, Network
from stack.sim.result import jain
from stack.sim.routing import address_of
from stack.tcp.connection import Connection

RATE = 2_500_000  # bytes of frames per second: 20 Mbit/s
DELAY_US = 20 * MS  # each way
QUEUE = RATE * 2 * DELAY_US // SECOND  # one bandwidth-delay product
ACCESS = Faults(delay_us=0, rate=125_000_000)
LATER_US = 5 * SECOND
PAIRS = ("cubic+cubic", "cubic+reno", "cubic+newreno", "newreno+newreno", "reno+reno")
CHUNK = bytes(128 << 10)


class Flow:
    """Sends without end from `client`; `received` counts what `server` read."""

    def __init__(self, net: Network, client: HostNode, server: HostNode, port: int, congestion: str) -> None:
        self.net, self.client, self.server = net, host(client), host(server)
        self.received = 0
        self.accepted: Connection | None = None
        self.listener = self.server.listen(0, port, now=net.clock.now)
        self.listener.user = self
        config = TcpConfig(congestion=congestion)
        self.conn = self.client.connect(address_of(server.ports[0])[0], port, config=config, now=net.clock.now)
        self.conn.user = self

    def on_events(self, _events: int) -> None:
        """Write what fits, read what came."""
        while self.conn.send_room() > len(CHUNK):
            self.conn.send(CHUNK, self.net.clock.now)
        self.client.wake(self.conn)
        if self.accepted is None:
            self.accepted = self.listener.accept()
            if self.accepted is None:
                return
            self.accepted.user = self
        self.received += sum(map(len, self.accepted.recv_chunks()))
        self.server.wake(self.accepted)


@dataclass(frozen=True, slots=True)
class Shares:
    """Bits per second of each flow over the second half of a run."""

    rates: tuple[float, ...]
    retransmits: tuple[int, ...]


def host(node: HostNode) -> Host:
    """The Host at a node of this network."""
    if not isinstance(node.host, Host):
        raise TypeError(node.name)
    return node.host


def share(algorithms: list[str], seconds: int = 120, seed: int = 1) -> Shares:
    """Run one flow per algorithm, each from a host of its own, through one router to one host."""
    net = Network(seed, record_frames=0, hashing=False)
    config = HostConfig()
    senders = [
        net.add_host(f"s{n}", Host(config, net.rng(f"host/s{n}"), net.clock.now)) for n in range(len(algorithms))
    ]
    router = net.add_router("router")
    sink = net.add_host("sink", Host(config, net.rng("host/sink"), net.clock.now))
    for sender in senders:
        net.link(sender, router, ACCESS, ACCESS)
    bottleneck = Faults(delay_us=DELAY_US, rate=RATE, queue_bytes=QUEUE)
    net.link(router, sink, bottleneck, Faults(delay_us=DELAY_US))
    net.autoroute()
    flows = []
    for n, (sender, algorithm) in enumerate(zip(senders, algorithms, strict=True)):
        flows.append(Flow(net, sender, sink, 5000 + n, algorithm))
        net.run_for(LATER_US if n == 0 else 0)
    net.run_for(seconds * SECOND // 2)
    before = [flow.received for flow in flows]
    counted = seconds * SECOND - net.clock.now
    net.run_for(counted)
    return Shares(
        tuple((flow.received - b) * 8 * SECOND / counted for flow, b in zip(flows, before, strict=True)),
        tuple(flow.conn.tcp_info().retransmits for flow in flows),
    )


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("pairs", nargs="*", default=PAIRS, metavar="ALGORITHM+ALGORITHM")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    print(f"{'flows':<20} {'Mbit/s':<18} {'retransmits':<16} Jain")
    for pair in args.pairs:
        shares = share(pair.split("+"), args.seconds, args.seed)
        rates = " ".join(f"{rate / 1e6:6.2f}" for rate in shares.rates)
        again = " ".join(f"{n:>6}" for n in shares.retransmits)
        print(f"{pair:<20} {rates:<18} {again:<16} {jain(shares.rates):.3f}", flush=True)


if __name__ == "__main__":
    main()
