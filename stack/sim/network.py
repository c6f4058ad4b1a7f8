"""A network of hosts, routers, switches and faulty links on a virtual clock.

Theory of operation.  Everything that happens is an event of a source: frames arrive at the end of a link, a
timer of a host is due, an action that was scheduled.  `step` takes the next one (ties by order of insertion), moves the
clock to it and lets it act; the host that it concerns works as under a real driver, until it has nothing more
to do at that instant.  A run loop is `step` until something holds; an outer loop, that of asyncio say, may call
`step` and `next_deadline` itself.  The application acts from `on_events`, from `at`, or between two runs; what
it used it tells to `Host.wake`.

Every direction of a link has a generator of its own, forked from the one seed by name: one seed, one history, on any
machine.  Time is integer microseconds; links count nanoseconds, and what arrives within a microsecond is there at its
end.

Every frame that enters or leaves a link goes into a running SHA-256 (`digest`), and the latest ones into a
bounded record which can be written as a capture.  An exception that ends a run carries the seed, the time and
the last events in words.
"""

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import BinaryIO

from stack.config import NEVER, HostConfig
from stack.device.fault import FaultModel, Faults
from stack.device.pcap import CaptureTrace
from stack.device.wrapper import NO_OFFLOAD
from stack.errors import ConfigError
from stack.host.host import Host
from stack.sim import routing
from stack.sim.clock import VirtualClock
from stack.sim.events import Action
from stack.sim.link import Channel, Link, Port
from stack.sim.node import MAX_MACS, Endpoint, Handler, HostNode, Node, SimHost, Switch, World
from stack.sim.record import RECORD_FRAMES, Recorder
from stack.wire import ipv4
from stack.wire.frame import Caps

MAX_ROUNDS = 100_000  # events at one instant; more means that two hosts answer each other for ever
REPORT_EVENTS = 20


class SimulationError(Exception):
    """The simulation cannot go on, or did not reach what it was to reach."""


class Network:
    """See the module's theory of operation.

    `checks` are called after every event.  With `invariants` every host's own are checked whenever it has done
    something.  `record_frames` is how many frames captures and reports can show; without `hashing` there is no digest.
    """

    # fmt: off
    __slots__ = ("_at_once", "_explained", "_instant", "_joined", "_names", "_world", "checks", "clock", "hosts",
                 "links", "nodes", "seed")
    # fmt: on

    def __init__(
        self,
        seed: int,
        *,
        record_frames: int = RECORD_FRAMES,
        hashing: bool = True,
        invariants: bool = False,
        clock: VirtualClock | None = None,
    ) -> None:
        self.seed = seed
        self.clock = clock or VirtualClock()
        self.nodes: list[Node] = []
        self.hosts: list[HostNode] = []  # those of the nodes that are hosts or routers
        self.links: list[Link] = []
        self.checks: list[Callable[[], None]] = []
        self._world = World(self.clock, Recorder(record_frames, hashing=hashing), invariants=invariants)
        self._names: dict[str, Node] = {}
        self._joined = routing.Joined()
        self._instant = 0  # of the event before
        self._at_once = 0  # events at this instant
        self._explained: BaseException | None = None

    def reset(self, *, seed: int | None = None, invariants: bool | None = None) -> None:
        """Another seed, or whether invariants are checked.  Raises ConfigError once there is a node."""
        if self.nodes:
            raise ConfigError("the network has hosts already: choose the seed and invariants before the first of them")
        if seed is not None:
            self.seed = seed
        if invariants is not None:
            self._world.invariants = invariants

    def rng(self, name: str) -> Random:
        """The generator called `name`; the same for the same seed and name, and independent of all others."""
        return Random(f"{self.seed}/{name}")  # a str seed is hashed with SHA-512, not with hash()

    # -- what it is made of

    def add_host(self, name: str, host: SimHost, trace: CaptureTrace | None = None) -> HostNode:
        """Put `host` into the network.  Raises ConfigError for a name that is taken."""
        node = HostNode(self._world, name, host, trace)
        self._add(node)
        self.hosts.append(node)
        host.on_wake = node.wake
        return node

    def add_router(self, name: str, config: HostConfig | None = None, trace: CaptureTrace | None = None) -> HostNode:
        """A new host that forwards.  Raises ConfigError for a name that is taken."""
        config = config or HostConfig()
        config = replace(config, ip=replace(config.ip, forwarding=True))
        return self.add_host(name, Host(config, self.rng(f"router/{name}"), self.clock.now, trace), trace)

    def add_switch(self, name: str, *, max_macs: int = MAX_MACS) -> Switch:
        """A new learning switch.  Raises ConfigError for a name that is taken."""
        node = Switch(self._world, name, max_macs=max_macs)
        self._add(node)
        return node

    def _add(self, node: Node) -> None:
        if node.name in self._names:
            raise ConfigError(f"there is a node {node.name} already")
        self._names[node.name] = node
        self.nodes.append(node)

    def node(self, name: str) -> Node:
        """The node of that name.  Raises KeyError."""
        return self._names[name]

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
        """Join two nodes by a new port on each.  `forward` is from `a` to `b`.

        `caps` is what the hosts are told they may hand over; on the link there are wire frames only.
        Raises ConfigError for an MTU that cannot be, a link from a node to itself, and one that would make a loop of
        switches, in which a broadcast would circle for ever.
        """
        if a is b:
            raise ConfigError(f"a link from {a.name} to itself")
        if not ipv4.MIN_MTU <= mtu <= ipv4.MAX_TOTAL:
            raise ConfigError(f"link {a.name}-{b.name}: an MTU of {mtu} cannot be used: use 68 to 65535")
        if isinstance(a, Switch) and isinstance(b, Switch) and not self._joined.join(a, b):
            raise ConfigError(f"a link from {a.name} to {b.name} would close a loop of switches")
        number = len(self.links)
        ports = []
        for end, (node, way, faults) in enumerate(((a, "forward", forward), (b, "backward", backward))):
            model = FaultModel(self.rng(f"link{number}/{way}"), faults)
            port = Port(self._world, node, 2 * number + end, caps, Channel(self._world, model))
            port.ifindex = node.attach(port, mtu)
            node.ports.append(port)
            ports.append(port)
        link = Link(self._world, ports[0], ports[1], mtu)
        self.links.append(link)
        return link

    def autoroute(self) -> None:
        """Give all ports of hosts addresses and all hosts routes to every subnet; see `routing`.

        What has an address keeps it.  Raises ConfigError when addresses do not suffice.
        """
        nets = routing.subnets(self.links, self._joined)
        routing.number(nets, self.clock.now)
        topology = routing.Topology(nets)
        for node in self.hosts:
            topology.add_routes(node)

    def reachable(self, a: Node, b: Node) -> bool:
        """There is a way from host `a` to host `b` over links, switches and routers, be they up or not."""
        return routing.Topology(routing.subnets(self.links, self._joined)).reachable(a, b)

    def nearest_port(self, a: Node, b: Node) -> Port | None:
        """The port of `b` that is the fewest routers away from host `a`; None if it cannot be reached."""
        return routing.Topology(routing.subnets(self.links, self._joined)).nearest_port(a, b)

    # -- time

    def at(self, time_us: int, act: Callable[[], object]) -> None:
        """Do something at a time of the virtual clock.  Raises ValueError for a time in the past."""
        if time_us < self.clock.now:
            raise ValueError(f"time {time_us} is before {self.clock.now}")
        self._world.events.schedule(Action(time_us, act, self._work_all), time_us)

    def next_deadline(self) -> int:
        """The time of the next event; NEVER if there will be none."""
        return self._world.events.next_at()

    def step(self) -> bool:
        """Let the next event happen, and move the clock to it.  False: there is none."""
        at = self._world.events.next_at()
        if at >= NEVER:
            return False
        self._fire(at)
        return True

    def run_until(self, done: Callable[[], bool], limit_us: int) -> None:
        """Run until `done()` holds, which is asked after every event.

        Raises SimulationError after `limit_us` or when nothing is left to do.
        """
        end = self.clock.now + limit_us
        next_at, fire = self._world.events.next_at, self._fire
        self._work_all()
        while not done():
            at = next_at()
            if at > end:
                why = "nothing is left to do" if at >= NEVER else f"not reached in {limit_us} us"
                raise self.explain(SimulationError(f"{why}, at {self.clock.now} us (seed {self.seed})"))
            fire(at)

    def run_for(self, duration_us: int) -> None:
        """Run for `duration_us` of virtual time."""
        end = self.clock.now + duration_us
        self._work_all()
        while (at := self._world.events.next_at()) <= end:
            self._fire(at)
        self.clock.jump_to(end)

    def settle(self) -> None:
        """Do everything that is due now, and all that follows from it at this instant."""
        self.run_for(0)

    def _work_all(self) -> None:
        """The application may have acted on any host."""
        now = self.clock.now
        for node in self.hosts:
            node.work(now)

    def _fire(self, at: int) -> None:
        """Let the event that is due at `at` happen."""
        clock = self.clock
        if at > clock.now:
            clock.now = at
        if clock.now != self._instant:
            self._instant = clock.now
            self._at_once = 0
        else:
            self._at_once += 1
            if self._at_once > MAX_ROUNDS:
                raise self.explain(SimulationError(f"no end of events at {clock.now} us (seed {self.seed})"))
        try:
            self._world.events.take().fire(clock.now)
            for check in self.checks:
                check()
        except Exception as error:
            self.explain(error)
            raise

    # -- what happened

    @property
    def segments(self) -> int:
        """Wire frames that hosts have sent, each counted once."""
        return self._world.segments

    def digest(self) -> str:
        """SHA-256 over all frames so far, with their times and places."""
        return self._world.recorder.digest()

    def write_capture(self, port: Port | None, file: BinaryIO) -> None:
        """Write the latest frames at `port`, or at all ports (None), as pcapng."""
        self._world.recorder.capture(self._port_names(), None if port is None else port.index, file)

    def last_events(self, count: int = REPORT_EVENTS) -> list[str]:
        """The last frames, timers and actions in words, one line each."""
        return self._world.recorder.latest(count, self._port_names())

    def remark(self, text: str) -> None:
        """Something happened, to be told among the last events."""
        self._world.recorder.event(self.clock.now, text)

    def report(self) -> str:
        """Seed, time, and the last events."""
        return "\n".join((f"seed {self.seed}, at {self.clock.now} us; the last events:", *self.last_events()))

    def _port_names(self) -> list[str]:
        return [port.name for link in self.links for port in (link.a, link.b)]

    def explain(self, error: Exception) -> Exception:
        """Add the report to an exception, once."""
        if error is not self._explained:
            self._explained = error
            error.add_note(self.report())
        return error


__all__ = [
    "MAX_ROUNDS",
    "Endpoint",
    "Handler",
    "HostNode",
    "Link",
    "Network",
    "Node",
    "Port",
    "SimHost",
    "SimulationError",
    "Switch",
]
