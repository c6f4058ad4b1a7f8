"""One megabyte through a bad network, on virtual time: 3 % loss, 20 ms delay, reordering; a seed repeats it exactly.

python examples/lossy_network.py [SEED]
"""

import random
import sys

from stack import HostConfig
from stack.config import MS, SECOND
from stack.device.fault import Faults
from stack.host.host import Host
from stack.sim.network import Network

SIZE = 1_000_000
SERVER, CLIENT = 0x0A00_0001, 0x0A00_0002  # 10.0.0.1, 10.0.0.2


def main() -> None:
    """Transfer, watching the congestion window."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    network = Network(seed)
    hosts = [Host(HostConfig(), random.Random(seed + i)) for i in range(2)]
    nodes = [network.add_host(name, host) for name, host in zip(("server", "client"), hosts, strict=True)]
    bad = Faults(loss=0.03, delay_us=20 * MS, jitter_us=2 * MS, reordering=0.01)
    link = network.link(*nodes, bad, bad)
    for host, port, addr in zip(hosts, (link.a, link.b), (SERVER, CLIENT), strict=True):
        host.add_address(port.ifindex, addr, 24, 0)

    listener = hosts[0].listen(SERVER, 80)
    client = hosts[1].connect(SERVER, 80)
    network.run_until(lambda: bool(listener.accept_queue), 60 * SECOND)
    server = listener.accept()
    assert server is not None
    client.send(random.Random(seed).randbytes(SIZE), network.clock.now)
    hosts[1].wake(client)

    got = 0
    while got < SIZE:
        network.run_for(SECOND // 4)
        got += sum(map(len, server.recv_chunks()))
        hosts[0].wake(server)
        info = client.tcp_info()
        print(
            f"{network.clock.now / SECOND:6.2f} s  {got:>8} bytes  cwnd {info.cwnd:>7}  ssthresh {info.ssthresh:>13}  "
            f"srtt {info.srtt_us / MS:5.1f} ms  retransmits {info.retransmits:>3}  {info.phase}"
        )


main()
