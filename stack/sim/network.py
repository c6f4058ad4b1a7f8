"""A network of Hosts and faulty links on a virtual clock.

Theory of operation.  The network drives its hosts as a real driver would: bursts in, events to the
application, frames out, timers when due.  Within one instant it works until nothing is due any more: first
what arrives on the links (in the order they were made), then timers (hosts in the order they were added).
Then the clock jumps to the next deadline of a link or host.  Every direction of a link has a generator of
its own, forked from the one seed by name: one seed, one history, on any machine.

Every frame that enters or leaves a link goes into a running SHA-256 (`digest`), and the latest ones into a
bounded record which can be written as a capture, as seen from one port.
"""

from collections import deque
from collections.abc import Callable, Sequence
from hashlib import sha256
from random import Random
from struct import Struct
from typing import BinaryIO, Protocol, cast

from stack.config import NEVER
from stack.device.fault import FaultModel, Faults
from stack.device.pcap import CaptureTrace
from stack.device.pcapng import INBOUND, OUTBOUND, PcapngWriter
from stack.device.wrapper import NO_OFFLOAD
from stack.sim.clock import VirtualClock
from stack.wire import accel
from stack.wire.burst import Burst
from stack.wire.frame import Caps, FrameSink, TxFrame

MAX_ROUNDS = 100_000  # within one instant; more means that two hosts answer each other for ever
RECORD_FRAMES = 10_000  # a capture of them stays under 20 MB

_STAMP = Struct("<qIBI")  # time, port, direction, length


class SimulationError(Exception):
    """The simulation cannot go on, or did not reach what it was to reach."""


class Handler(Protocol):
    """The application of an endpoint: its `user`, as with the asyncio driver."""

    def on_events(self, events: int) -> None:
        """Act on event bits (`stack.tcp.events`); tell `Host.wake` of endpoints that were used."""


class Endpoint(Protocol):
    """A connection, listener or datagram endpoint of a host."""

    @property
    def user(self) -> Handler | None:
        """Who hears of its events."""

    def take_events(self) -> int:
        """The events since the last call."""


class SimHost(Protocol):
    """What the network needs of a host; `stack.host.host.Host` is one."""

    @property
    def deadline(self) -> int:
        """When `on_timer` must be called, in microseconds."""

    def add_interface(self, name: str, sink: FrameSink, mac: bytes, mtu: int, now: int) -> int:
        """A new interface; its index."""

    def receive(self, ifindex: int, burst: Burst, now: int) -> None:
        """A burst came in."""

    def on_timer(self, now: int) -> None:
        """Do what fell due."""

    def poll_transmit(self, now: int) -> bool:
        """Send what may be sent; True when there is more to do, to send or to tell the application."""

    def poll_events(self) -> Sequence[object]:
        """Endpoints with events for the application."""


class Record:
    """A frame that entered (OUTBOUND) or left (INBOUND) a link at a port."""

    __slots__ = ("data", "direction", "note", "port", "time")

    def __init__(self, time: int, port: int, direction: int, data: bytes, note: str) -> None:
        self.time = time
        self.port = port
        self.direction = direction
        self.data = data
        self.note = note


class Node:
    """A host in the network.  `trace`, if the host was given it too, puts its remarks into captures."""

    __slots__ = ("burst", "host", "name", "ports", "trace")

    def __init__(self, name: str, host: SimHost, trace: CaptureTrace | None) -> None:
        self.name = name
        self.trace = trace or CaptureTrace()
        self.host = host
        self.burst = Burst()
        self.ports: list[Port] = []

    def work(self, now: int) -> None:
        """Let the applications and the host act on what has happened."""
        more = True
        while more:
            for endpoint in cast("Sequence[Endpoint]", self.host.poll_events()):
                if endpoint.user is not None:
                    endpoint.user.on_events(endpoint.take_events())
            more = self.host.poll_transmit(now)


class Port(FrameSink):
    """The interface of a node on a link.  `out` is the direction of the link that leads away from it."""

    __slots__ = ("_burst_records", "caps", "ifindex", "index", "mac", "name", "network", "node", "out")

    def __init__(self, network: "Network", node: Node, name: str, index: int, caps: Caps, out: FaultModel) -> None:
        self.network = network
        self.node = node
        self.name = name
        self.index = index
        self.caps = caps
        self.out = out
        self.mac = b"\x02\x00\x00" + (index + 1).to_bytes(3, "big")  # locally administered
        self.ifindex = 0
        self._burst_records: list[Record] = []

    def send(self, frame: TxFrame) -> bool:
        """Finished wire frames enter the link, whatever `caps` made the host hand over."""
        note = frame.note or ""
        now = self.network.clock.now
        for raw in accel.finish(frame, NO_OFFLOAD):
            on_its_way = self.out.offer(raw[0], now)
            self.network.record(self, OUTBOUND, raw[0], note if on_its_way else f"{note} (lost by the link)".lstrip())
            note = ""
        return True

    def flush(self) -> None:
        """Nothing: `send` does not batch."""

    def deliver(self, frames: list[bytes], now: int) -> None:
        """Hand what arrived to the host, in as many bursts as it takes."""
        self.node.trace.device = self
        burst, raws = self.node.burst, [(data, 0, 0, 0, 0, 0) for data in frames]
        while raws:
            taken = accel.load_burst(burst, raws, self.mac)
            self._burst_records = [self.network.record(self, INBOUND, raw[0]) for raw in raws[:taken]]
            del raws[:taken]
            self.node.host.receive(self.ifindex, burst, now)
            self.node.work(now)

    def note_rx(self, index: int, text: str) -> None:
        """A remark on frame `index` of the burst just delivered."""
        if index < len(self._burst_records):
            record = self._burst_records[index]
            record.note = f"{record.note}; {text}" if record.note else text


class Link:
    """Two ports and the two directions between them, whose faults may be changed at any time."""

    __slots__ = ("a", "b", "backward", "forward")

    def __init__(self, forward: FaultModel, backward: FaultModel, a: Port, b: Port) -> None:
        self.forward = forward  # from a to b
        self.backward = backward
        self.a = a
        self.b = b


class Network:
    """Hosts and links; see the module's theory of operation.

    `checks` are called after every event (invariants of connections, say).
    """

    __slots__ = ("_digest", "_records", "checks", "clock", "links", "nodes", "seed")

    def __init__(self, seed: int, *, record_frames: int = RECORD_FRAMES) -> None:
        self.seed = seed
        self.clock = VirtualClock()
        self.nodes: list[Node] = []
        self.links: list[Link] = []
        self.checks: list[Callable[[], None]] = []
        self._digest = sha256()
        self._records: deque[Record] = deque(maxlen=record_frames)

    def rng(self, name: str) -> Random:
        """The generator called `name`; the same for the same seed and name, and independent of all others."""
        return Random(f"{self.seed}/{name}")  # a str seed is hashed with SHA-512, not with hash()

    def add_host(self, name: str, host: SimHost, trace: CaptureTrace | None = None) -> Node:
        """Put `host` into the network."""
        node = Node(name, host, trace)
        self.nodes.append(node)
        return node

    def link(
        self,
        a: Node,
        b: Node,
        forward: Faults | None = None,
        backward: Faults | None = None,
        *,
        mtu: int = 1500,
        caps: Caps = NO_OFFLOAD,
    ) -> Link:
        """Join two nodes by a new interface on each.  `forward` is from `a` to `b`.

        `caps` is what the hosts are told they may hand over; on the link there are wire frames only.
        """
        number = len(self.links)
        directions = [
            FaultModel(self.rng(f"link{number}/{way}"), faults)
            for way, faults in (("forward", forward), ("backward", backward))
        ]
        ports = [
            Port(self, node, f"{node.name}.{len(node.ports)}", 2 * number + end, caps, directions[end])
            for end, node in enumerate((a, b))
        ]
        for port in ports:
            port.node.ports.append(port)
            port.ifindex = port.node.host.add_interface(port.name, port, port.mac, mtu, self.clock.now)
        link = Link(directions[0], directions[1], ports[0], ports[1])
        self.links.append(link)
        return link

    def run_until(self, done: Callable[[], bool], limit_us: int) -> None:
        """Run until `done()` holds.  Raises SimulationError after `limit_us` or when nothing is left to do."""
        end = self.clock.now + limit_us
        self.settle()
        while not done():
            at = self.next_deadline()
            if at > end:
                why = "nothing is left to do" if at >= NEVER else f"not reached in {limit_us} us"
                raise SimulationError(f"{why}, at {self.clock.now} us (seed {self.seed})")
            self.clock.jump_to(max(at, self.clock.now))
            self.settle()

    def run_for(self, duration_us: int) -> None:
        """Run for `duration_us` of virtual time."""
        end = self.clock.now + duration_us
        self.settle()
        while (at := self.next_deadline()) <= end:
            self.clock.jump_to(max(at, self.clock.now))
            self.settle()
        self.clock.jump_to(end)

    def settle(self) -> None:
        """Do everything that is due now, and all that follows from it at this instant."""
        now = self.clock.now
        for node in self.nodes:  # the application may have acted since
            node.work(now)
        for _ in range(MAX_ROUNDS):
            if not self._round(now):
                return
        raise SimulationError(f"no end of events at {now} us (seed {self.seed})")

    def next_deadline(self) -> int:
        """The next time at which something falls due; NEVER if nothing will."""
        times = [node.host.deadline for node in self.nodes]
        for link in self.links:
            times += (link.forward.deadline, link.backward.deadline)
        return min(times, default=NEVER)

    def record(self, port: Port, direction: int, data: bytes, note: str = "") -> Record:
        """Remember what passes `port` now."""
        record = Record(self.clock.now, port.index, direction, data, note)
        self._digest.update(_STAMP.pack(record.time, record.port, direction, len(data)) + data)
        self._records.append(record)
        return record

    def digest(self) -> str:
        """SHA-256 over all frames so far, with their times and places."""
        return self._digest.hexdigest()

    def write_capture(self, port: Port, file: BinaryIO) -> None:
        """Write the latest frames at `port` as pcapng."""
        writer = PcapngWriter(file)
        interface = writer.add_interface(port.name)
        for record in self._records:
            if record.port == port.index:
                writer.write(interface, record.time, record.direction, record.data, record.note)

    def _round(self, now: int) -> bool:
        """One pass over links and timers; False if nothing was due."""
        busy = False
        for link in self.links:
            for model, port in ((link.forward, link.b), (link.backward, link.a)):
                if model.deadline <= now:
                    busy = True
                    port.deliver(model.poll(now), now)
                    self._check()
        for node in self.nodes:
            if node.host.deadline <= now:
                busy = True
                node.host.on_timer(now)
                node.work(now)
                self._check()
        return busy

    def _check(self) -> None:
        for check in self.checks:
            check()
