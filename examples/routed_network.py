"""A switch with two hosts, two routers and a server behind them, on virtual time; the line between the routers has a
CoDel queue and losses in bursts, and breaks for four seconds.

python examples/routed_network.py [SEED]
"""

import sys

from stack import HostConfig
from stack.config import MS, SECOND
from stack.device.fault import Faults, GilbertElliott
from stack.host.host import Host
from stack.sim.network import HostNode, Network
from stack.sim.routing import address_of

LAN = Faults(delay_us=100, rate=12_500_000)  # 100 Mbit/s
LINE = Faults(
    delay_us=10 * MS, rate=1_250_000, queue="codel", queue_frames=200, burst_loss=GilbertElliott(p=0.002, r=0.3)
)


def add_host(network: Network, name: str) -> tuple[Host, HostNode]:
    """A host with a generator of its own."""
    host = Host(HostConfig(), network.rng(f"host/{name}"))
    return host, network.add_host(name, host)


def main() -> None:
    """Send a megabyte from each host to the server and watch."""
    network = Network(int(sys.argv[1]) if len(sys.argv) > 1 else 1)
    switch, near, far = network.add_switch("switch"), network.add_router("near"), network.add_router("far")
    (one, one_node), (two, two_node), (server, server_node) = (
        add_host(network, name) for name in ("one", "two", "srv")
    )
    for node in (one_node, two_node, near):
        network.link(node, switch, LAN, LAN)
    line = network.link(near, far, LINE, LINE)
    network.link(far, server_node, LAN, LAN)
    network.autoroute()
    network.at(1 * SECOND, line.down)
    network.at(5 * SECOND, line.up)

    listener = server.listen(0, 80)
    address = address_of(server_node.ports[0])[0]
    clients = [(host, host.connect(address, 80, now=network.clock.now)) for host in (one, two)]
    network.run_until(lambda: len(listener.accept_queue) == 2, 60 * SECOND)
    accepted = [conn for conn in (listener.accept(), listener.accept()) if conn is not None]
    for host, conn in clients:
        conn.send(bytes(1_000_000), network.clock.now)
        host.wake(conn)
    got = [0, 0]
    while sum(got) < 2_000_000:
        network.run_for(SECOND // 2)
        for number, conn in enumerate(accepted):
            got[number] += sum(map(len, conn.recv_chunks()))
            server.wake(conn)
        frames, nbytes = line.forward.queue_length(network.clock.now)
        state = "up" if line.is_up else "down"
        queue = f"queue {frames:>3} frames {nbytes:>6} bytes"
        print(f"{network.clock.now / SECOND:5.1f} s  line {state:4}  {queue}  got {got}")
    counts = line.forward.counts
    print(f"lost in bursts {counts.lost_in_bursts}, dropped by CoDel {counts.dropped}, cut {counts.cut};", end=" ")
    print(f"mean wait {counts.wait_ns / max(counts.queued, 1) / 1e6:.1f} ms; digest {network.digest()[:16]}")


main()
