"""A congestion control algorithm of one's own, against the built-in ones, on one simulated path.

python examples/congestion_control.py

The path: 10 Mbit/s, 40 ms, room for 50 packets in front of it, one packet in 2000 lost for no reason.  `Delay` below is
the whole algorithm: it watches the round-trip time, keeps about four packets in the queue, and so keeps the delay low
where the others fill the queue until it overflows.  docs/congestion-control.md has the table of hooks.
"""

import random
from typing import ClassVar

from stack import HostConfig, TcpConfig
from stack.config import MS, SECOND
from stack.device.fault import Faults
from stack.host.host import Host
from stack.sim.network import Network
from stack.tcp.congestion.base import AckSample, Controller

SECONDS = 20


class Delay(Controller):
    """As Vegas does: once per round trip, count the packets that wait in the queue, and steer towards four."""

    name: ClassVar[str] = "delay"
    FEW: ClassVar[int] = 2
    MANY: ClassVar[int] = 6

    def on_ack(self, sample: AckSample) -> None:
        """Once per round trip: the window up or down by a segment, or twice as large while nothing waits at all."""
        if not sample.round_start or sample.in_recovery or sample.app_limited or sample.rtt_us <= 0:
            return
        queued = self.cwnd * (sample.rtt_us - sample.min_rtt_us) // sample.rtt_us // self.mss
        if self.cwnd < self.ssthresh:
            if queued < self.FEW:
                self.cwnd *= 2
            else:
                self.ssthresh = self.cwnd
        elif queued < self.FEW:
            self.cwnd += self.mss
        elif queued > self.MANY:
            self.cwnd -= self.mss

    def on_loss(self, now: int, in_flight: int) -> None:
        """A loss costs a quarter of what is in flight."""
        self.ssthresh = self.cwnd = max(in_flight * 3 // 4, 4 * self.mss)

    def on_rto(self, now: int, in_flight: int, first: bool) -> None:
        """All was lost: begin again."""
        if first:
            self.ssthresh = max(in_flight // 2, 4 * self.mss)
        self.cwnd = self.mss


def measure(congestion: object) -> str:
    """One bulk transfer; a line of the table."""
    network = Network(1)
    nodes = [network.add_host(name, Host(HostConfig(), random.Random(name))) for name in ("sender", "receiver")]
    path = Faults(delay_us=20 * MS, rate=1_250_000, queue_bytes=50 * 1514, loss=0.0005)
    network.link(nodes[0], nodes[1], path, Faults(delay_us=20 * MS))
    network.autoroute()
    sender, receiver = (node.host for node in nodes)
    assert isinstance(sender, Host)
    assert isinstance(receiver, Host)

    listener = receiver.listen(0, 80)
    address = receiver.ip.interfaces[nodes[1].ports[0].ifindex].addrs[0][0]
    client = sender.connect(address, 80, config=TcpConfig(congestion=congestion), now=network.clock.now)
    network.run_until(lambda: bool(listener.accept_queue), SECOND)
    server = listener.accept()
    assert server is not None
    got, waited, start = 0, 0, network.clock.now
    for _ in range(SECONDS * 100):
        if client.send_room() > 0:
            client.send(bytes(client.send_room()), network.clock.now)
            sender.wake(client)
        network.run_for(10 * MS)
        got += sum(map(len, server.recv_chunks()))
        receiver.wake(server)
        waited += client.tcp_info().srtt_us
    info = client.tcp_info()
    rate = got * 8 * SECOND / (network.clock.now - start) / 1e6
    return f"{info.congestion:<10} {rate:6.2f} {waited / SECONDS / 100 / MS:8.1f} {info.retransmits:12}"


def main() -> None:
    """Print the comparison."""
    print(f"{'algorithm':<10} {'Mbit/s':>6} {'RTT ms':>8} {'retransmits':>12}")
    for congestion in ("cubic", "newreno", "reno", "tahoe", Delay):
        print(measure(congestion))


main()
