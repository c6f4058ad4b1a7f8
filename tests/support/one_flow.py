"""One bulk flow over a simulated link, and what it did: goodput, round trips, states of the controller, departures."""

from dataclasses import dataclass, field, replace

from stack.config import MS, SECOND, TcpConfig
from stack.device.fault import Faults
from stack.tcp.connection import Connection
from stack.tcp.info import TcpInfo
from tests.support.net import TestNet

RATE = 2_500_000  # bytes of Ethernet frame per second: 20 Mbit/s
ONE_WAY_US = 20 * MS
BDP = RATE * 2 * ONE_WAY_US // SECOND
FRAME = 1514
PAYLOAD = 1448
BLOCK = bytes(1 << 16)
SAMPLE_US = 10 * MS


class Source:
    """Writes whenever there is room, or `chunk` bytes each time `write` is called."""

    def __init__(self, net: TestNet, conn: Connection, *, greedy: bool = True) -> None:
        self.net, self.conn, self.greedy = net, conn, greedy
        conn.user = self

    def write(self, nbytes: int) -> None:
        self.conn.send(BLOCK[:nbytes], self.net.now)
        self.net.a.wake(self.conn)

    def on_events(self, events: int) -> None:
        while self.greedy and self.conn.send_room() > 0:
            self.conn.send(BLOCK, self.net.now)
        self.net.a.wake(self.conn)


class Sink:
    """Reads all that arrives."""

    def __init__(self, net: TestNet, conn: Connection) -> None:
        self.net, self.conn, self.received = net, conn, 0
        conn.user = self

    def on_events(self, events: int) -> None:
        self.received += sum(len(chunk) for chunk in self.conn.recv_chunks())
        self.net.b.wake(self.conn)


@dataclass
class Flow:
    """A flow under way."""

    net: TestNet
    client: Connection
    source: Source
    sink: Sink
    infos: list[TcpInfo] = field(default_factory=list)
    rtts: list[int] = field(default_factory=list)
    states: list[str] = field(default_factory=list)
    departures: list[int] = field(default_factory=list)  # when each data segment left host a

    def run(self, duration_us: int) -> float:
        """Go on for so long; the share of the link's capacity that arrived in it."""
        before, begun = self.sink.received, self.net.now
        while self.net.now < begun + duration_us:
            self.net.run_for(min(SAMPLE_US, begun + duration_us - self.net.now))
            info = self.client.tcp_info()
            self.infos.append(info)
            sample = self.client.snd.delivery.sample
            if sample.rtt_us > 0:
                self.rtts.append(sample.rtt_us)
            state = str(info.congestion_state.get("state", ""))
            if not self.states or self.states[-1] != state:
                self.states.append(state)
        return (self.sink.received - before) * SECOND / duration_us / (RATE * PAYLOAD / FRAME)

    def mean_rtt(self) -> float:
        return sum(self.rtts) / len(self.rtts)


def start(config: TcpConfig, forward: Faults, *, seed: int = 1, greedy: bool = True, invariants: bool = False) -> Flow:
    """A flow from host a to host b; the way back has the delay of the way there, and nothing else."""
    times: list[int] = []

    def seen(frame: bytes) -> bool:
        if len(frame) > 1000:
            times.append(net.now)
        return False

    backward = Faults(delay_us=forward.delay_us)
    net = TestNet(seed, replace(forward, lose_if=seen), backward, invariants=invariants)
    client, server = net.connect(client_config=config)
    flow = Flow(net, client, Source(net, client, greedy=greedy), Sink(net, server), departures=times)
    flow.source.on_events(0)
    return flow
