"""Two real Hosts on a simulated link, for tests.

    with TestNet(seed=7, forward=Faults(loss=0.1)) as net:
        client, server = net.connect()
        assert net.transfer(client, server, data, limit_us=60 * SECOND) == data

Every connection is asked for its invariants after every event (which takes most of the time of a bulk transfer:
`invariants=False` leaves it out).  When the body fails, the latest frames at both ends are written to out/captures/
and the error says where, and with which seed it can be had again.
"""

from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from stack.config import SECOND, HostConfig, TcpConfig
from stack.device.fault import Faults
from stack.device.pcap import CaptureTrace
from stack.device.wrapper import NO_OFFLOAD
from stack.host.host import Host
from stack.sim.network import Network, Node
from stack.tcp.connection import Connection
from stack.tcp.events import CLOSED
from stack.wire.frame import Caps

OUT = Path(__file__).parents[2] / "out" / "captures"
ADDR_A = 0x0A000001  # 10.0.0.1
ADDR_B = 0x0A000002


class TestNet:
    """Hosts `a` and `b`; `forward` are the faults from a to b.  Everything follows from `seed`."""

    __test__ = False  # no test case in spite of its name

    def __init__(
        self,
        seed: int = 1,
        forward: Faults | None = None,
        backward: Faults | None = None,
        *,
        config: HostConfig | None = None,
        mtu: int = 1500,
        caps: Caps = NO_OFFLOAD,
        name: str = "",
        invariants: bool = True,
    ) -> None:
        self.network = Network(seed)
        self.name = name or f"seed-{seed}"
        self.a, node_a = self._host("a", config or HostConfig())
        self.b, node_b = self._host("b", config or HostConfig())
        self.link = self.network.link(node_a, node_b, forward, backward, mtu=mtu, caps=caps)
        for host, port, addr in ((self.a, self.link.a, ADDR_A), (self.b, self.link.b, ADDR_B)):
            host.add_address(port.ifindex, addr, 24, self.now)
        if invariants:
            self.network.checks += [self.a.check_invariants, self.b.check_invariants]

    @property
    def now(self) -> int:
        """The virtual time, in microseconds."""
        return self.network.clock.now

    def connect(
        self,
        port: int = 80,
        client_config: TcpConfig | None = None,
        server_config: TcpConfig | None = None,
        *,
        limit_us: int = 200 * SECOND,
    ) -> tuple[Connection, Connection]:
        """A connection from host a to `port` of host b, established: both ends of it."""
        listener = self.b.listen(0, port, 16, server_config, self.now)
        client = self.a.connect(ADDR_B, port, config=client_config, now=self.now)
        accepted: list[Connection] = []

        def established() -> bool:
            server = listener.accept()
            if server is not None:
                accepted.append(server)
            return bool(accepted)

        self.network.run_until(established, limit_us)
        return client, accepted[0]

    def transfer(self, source: Connection, sink: Connection, data: bytes, limit_us: int) -> bytes:
        """What arrives at `sink` when `data` is sent and the sending side closed; the receiving side stays open."""
        sender, reader = _Application(self, source, data), _Application(self, sink)
        sender.on_events(0)
        reader.on_events(0)
        self.network.run_until(lambda: reader.ended, limit_us)
        return bytes(reader.received)

    def exchange(
        self, one: Connection, other: Connection, there: bytes, back: bytes, limit_us: int
    ) -> tuple[bytes, bytes]:
        """What arrives at `other` and at `one` when both send at once and then close."""
        near, far = _Application(self, one, there), _Application(self, other, back)
        near.on_events(0)
        far.on_events(0)
        self.network.run_until(lambda: near.ended and far.ended, limit_us)
        return bytes(far.received), bytes(near.received)

    def run_until(self, done: Callable[[], bool], limit_us: int) -> None:
        """As Network.run_until."""
        self.network.run_until(done, limit_us)

    def run_for(self, duration_us: int) -> None:
        """As Network.run_for."""
        self.network.run_for(duration_us)

    def capture(self, directory: Path) -> tuple[Path, Path]:
        """Write what the two ends saw last to files in `directory`: of a, of b."""
        directory.mkdir(parents=True, exist_ok=True)
        paths = directory / f"{self.name}-a.pcapng", directory / f"{self.name}-b.pcapng"
        for path, port in zip(paths, (self.link.a, self.link.b), strict=True):
            with path.open("wb") as file:
                self.network.write_capture(port, file)
        return paths

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            paths = self.capture(OUT)
            error.add_note(f"seed {self.network.seed}, {self.now} us; the ends saw {paths[0]} and {paths[1]}")

    def _host(self, name: str, config: HostConfig) -> tuple[Host, Node]:
        trace = CaptureTrace()
        host = Host(config, self.network.rng(f"host/{name}"), self.now, trace)
        return host, self.network.add_host(name, host, trace)


class _Application:
    """Becomes the user of `conn`: reads all there is, writes `data` as there is room for it, then closes."""

    def __init__(self, net: TestNet, conn: Connection, data: bytes | None = None) -> None:
        self.net, self.conn = net, conn
        self.host = net.a if conn.local_addr == ADDR_A else net.b
        self.rest = None if data is None else memoryview(data)  # None: sends nothing and stays open
        self.received = bytearray()
        self.ended = False
        conn.user = self

    def on_events(self, events: int) -> None:
        conn = self.conn
        assert not (events & CLOSED and conn.error), conn.error
        for chunk in conn.recv_chunks():
            self.received += chunk
        self.ended = conn.eof_received()
        room = conn.send_room()
        if self.rest is not None and room > 0:
            if self.rest:
                conn.send(self.rest[:room], self.net.now)
                self.rest = self.rest[room:]
            if not self.rest:
                conn.close(self.net.now)
                self.rest = None
        self.host.wake(conn)
