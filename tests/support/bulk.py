"""Bulk flows over a simulated network, and what they do over time.

net = Network(1)
a, b = pair(net, Faults(delay_us=50_000), Faults(delay_us=50_000))
flow = Flow(net, a, b, TcpConfig(congestion="newreno"))
net.run_for(10 * SECOND)
flow.received, flow.conn.tcp_info().cwnd
"""

from collections.abc import Callable
from dataclasses import replace

from stack.config import HostConfig, IpConfig, TcpConfig
from stack.device.fault import Faults
from stack.host.host import Host
from stack.sim.network import HostNode, Network
from stack.sim.routing import address_of
from stack.tcp.connection import Connection

CHUNK = bytes(256 << 10)
IP_HLEN = 20
ETH_HLEN = 14
PROMPT = 1 << 24  # quick_acks: so many segments are acknowledged at once, delayed ACKs are off


def host(node: HostNode) -> Host:
    assert isinstance(node.host, Host)
    return node.host


def add_host(net: Network, name: str) -> HostNode:
    config = HostConfig(ip=IpConfig(arp_probe=False))
    return net.add_host(name, Host(config, net.rng(f"host/{name}"), net.clock.now))


def pair(net: Network, forward: Faults, backward: Faults, mtu: int = 1500) -> tuple[HostNode, HostNode]:
    """Two hosts on one link."""
    a, b = add_host(net, "a"), add_host(net, "b")
    net.link(a, b, forward, backward, mtu=mtu)
    net.autoroute()
    return a, b


def prompt(config: TcpConfig) -> TcpConfig:
    """The same with every segment acknowledged at once."""
    return replace(config, quick_acks=PROMPT, pacing="off")


class Flow:
    """Sends without end (or `size` bytes) from `client` to `server`; the server reads and counts."""

    def __init__(
        self,
        net: Network,
        client: HostNode,
        server: HostNode,
        config: TcpConfig | None = None,
        *,
        port: int = 80,
        size: int = -1,
        data: bytes = b"",
    ) -> None:
        self.net, self.client, self.server = net, client, server
        self.rest = len(data) if data else size
        self.data = data
        self.received = 0
        self.stream: list[bytes] = []  # what was received, if `data` was given
        self.accepted: Connection | None = None
        self.listener = host(server).listen(0, port, 16, config, net.clock.now)
        self.listener.user = _Server(self)
        self.conn = host(client).connect(address_of(server.ports[0])[0], port, config=config, now=net.clock.now)
        self.conn.user = self

    def on_events(self, events: int) -> None:
        assert self.conn.error is None, self.conn.error
        room = self.conn.send_room()
        while room > 0 and self.rest:
            piece = self._next(min(room, len(CHUNK)))
            room -= len(piece)
            self.conn.send(piece, self.net.clock.now)
        host(self.client).wake(self.conn)

    def _next(self, most: int) -> bytes:
        if self.rest < 0:
            return CHUNK[:most]
        n = min(most, self.rest)
        piece = self.data[len(self.data) - self.rest :][:n] if self.data else CHUNK[:n]
        self.rest -= n
        return piece

    def bytes_received(self) -> bytes:
        """The stream at the server's end."""
        return b"".join(self.stream)

    def cwnd(self) -> int:
        """In bytes; 0 before the connection is established."""
        controller = self.conn.snd.controller
        return controller.cwnd if controller is not None else 0

    def finish(self, limit_us: int) -> None:
        """Run until all was received."""
        size = self.received + self.rest
        assert self.rest >= 0
        self.net.run_until(lambda: self.rest == 0 and self.received >= max(size, 1) and self.idle(), limit_us)

    def idle(self) -> bool:
        """Everything written is acknowledged."""
        return self.conn.send_pending() == 0


class _Server:
    def __init__(self, flow: Flow) -> None:
        self.flow = flow

    def on_events(self, events: int) -> None:
        flow = self.flow
        if flow.accepted is None:
            flow.accepted = flow.listener.accept()
            if flow.accepted is None:
                return
            flow.accepted.user = self
        for chunk in flow.accepted.recv_chunks():
            flow.received += len(chunk)
            if flow.data:
                flow.stream.append(bytes(chunk))
        host(flow.server).wake(flow.accepted)


def every(net: Network, period_us: int, act: Callable[[], object]) -> None:
    """Call `act` now and then, for ever."""

    def again() -> None:
        act()
        net.at(net.clock.now + period_us, again)

    net.at(net.clock.now + period_us, again)


def payload(frame: bytes) -> bytes:
    """What an Ethernet frame carries in TCP, without headers; empty if it is something else."""
    if frame[12:14] != b"\x08\x00" or frame[23] != 6:
        return b""
    total = int.from_bytes(frame[16:18], "big")
    tcp = ETH_HLEN + (frame[14] & 15) * 4
    return frame[tcp + (frame[tcp + 12] >> 4) * 4 : ETH_HLEN + total]


def sequence(frame: bytes) -> int:
    """SEG.SEQ of a TCP frame without IP options."""
    tcp = ETH_HLEN + IP_HLEN
    return int.from_bytes(frame[tcp + 4 : tcp + 8], "big")


class Losing:
    """For `Faults.lose_if`: loses the first transmission of the data segments of these numbers (0 is the first)."""

    def __init__(self, *numbers: int) -> None:
        self.numbers = set(numbers)
        self.seen: dict[int, int] = {}
        self.sent = 0  # data segments, with those sent again
        self.again = 0  # those sent again

    def __call__(self, frame: bytes) -> bool:
        if not payload(frame):
            return False
        self.sent += 1
        seq = sequence(frame)
        if seq in self.seen:
            self.again += 1
            return False
        number = self.seen[seq] = len(self.seen)
        return number in self.numbers
