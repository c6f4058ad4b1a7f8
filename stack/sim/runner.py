"""A scenario, run: the network built from it, applications at its flows, a result at the end.

    result = Run(load(Path("scenario.toml"))).run()

Theory of operation.  A Run builds everything in its constructor, so that an impossible scenario is an error before
anything happens, and is used once.  `run` steps the network from event to event until every flow is over or the
scenario's time is up.  With `drain` it then lets the hosts come to rest and looks for what they have left behind:
connections, timers, reassembly, TIME-WAIT.  Observers look on: a Grid of samples in time, and every segment
at the client's port of a flow; without observers neither costs anything.

Hosts ask an unresolved neighbour for long (`ARP_TRIES`): whether a lossy link loses three ARP requests in a row is no
question for these simulations.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Final, Protocol

from stack.config import MINUTE, MS, HostConfig, IpConfig
from stack.device.codel import INTERVAL_US, TARGET_US
from stack.device.fault import Faults, GilbertElliott
from stack.device.pcap import CaptureTrace
from stack.device.virtual import FULL_OFFLOAD
from stack.host.host import Host
from stack.sim import routing
from stack.sim.flows import Acceptor, FlowRun, FourTuple
from stack.sim.invariants import CheckedHost, Watch
from stack.sim.link import Link, Port
from stack.sim.network import Network
from stack.sim.record import RECORD_FRAMES
from stack.sim.result import LinkResult, Result
from stack.sim.scenario import Event, Scenario, ScenarioError, Way, changed, tcp_config
from stack.sim.taps import Tap
from stack.tcp.info import TcpInfo

ARP_TRIES: Final = 600
PROGRESS_EVENTS: Final = 500
REST_US: Final = 30 * MINUTE  # by then every table of a host that has nothing to do is empty


class Observer(Protocol):
    """Who looks on.  Times are microseconds of the virtual clock, numbers relative to the initial ones."""

    sample_us: int  # between two samples of a flow; 0 for none

    def on_sample(self, t_us: int, flow: str, info: TcpInfo) -> None:
        """The client's connection of a flow."""

    def on_segment(
        self, t_us: int, flow: str, direction: str, seq: int, length: int, ack: int, flags: int, fate: str
    ) -> None:
        """A segment at the client's port.  `direction` is "there" or "back", `fate` "sent", "lost" or "arrived"."""


class Run:
    """See the head of this file.  Raises ScenarioError for what cannot be built.

    `invariants` overrides the scenario's; `record_frames` bounds what a capture can show.
    """

    __slots__ = (
        "_acceptors",
        "_hosts",
        "_links",
        "_observers",
        "_targets",
        "_waiting",
        "_ways",
        "events",
        "flows",
        "known",
        "network",
        "scenario",
        "watch",
    )

    def __init__(
        self,
        scenario: Scenario,
        *,
        invariants: bool | None = None,
        observers: Iterable[Observer] = (),
        record_frames: int = RECORD_FRAMES,
    ) -> None:
        scenario.check()
        checked = scenario.invariants if invariants is None else invariants
        self.scenario = scenario
        self.network = Network(scenario.seed, record_frames=record_frames, invariants=checked)
        self.watch = Watch(self.network.clock) if checked else None
        self.events = 0  # simulated so far
        self._observers = list(observers)
        self._hosts: dict[str, Host] = {}
        self._links: list[Link] = []
        self._acceptors: dict[tuple[str, int], Acceptor] = {}
        self._waiting = [i for i, flow in enumerate(scenario.flows) if flow.after is not None]
        self.known: dict[FourTuple, FlowRun] = {}  # flows that were opened; of an address reused, the last
        self._ways: list[list[Way]] = []  # what holds now for the two directions of each link
        self._build()
        self._targets = [self._target(index) for index in range(len(scenario.flows))]
        now, at = self.network.clock, self.network.at
        self.flows = [FlowRun(flow, index, now, at) for index, flow in enumerate(scenario.flows)]
        self._schedule()

    # -- running

    def run(self, progress: Callable[[int, int], None] | None = None, *, drain: bool = False) -> Result:
        """Run to the end.  `progress` is told the virtual time and the scenario's duration now and then.

        Whatever goes wrong inside a host is raised as it is, with seed, time and the last events as a note.
        """
        network, flows, end = self.network, self.flows, self.scenario.duration_us
        while not all(flow.done for flow in flows):
            if network.next_deadline() > end:
                break
            network.step()
            self.events += 1
            if self._waiting:
                self._open_next()
            if progress is not None and self.events % PROGRESS_EVENTS == 0:
                progress(network.clock.now, end)
        finished_at = network.clock.now
        problems = self._problems()
        if drain and not problems:
            problems = self._drain()
        if progress is not None:
            progress(end, end)
        return self._result(finished_at, problems)

    # -- building

    def _build(self) -> None:
        scenario, network = self.scenario, self.network
        for spec in scenario.hosts:
            trace = CaptureTrace()
            ip = IpConfig(arp_tries=ARP_TRIES, arp_probe=False)
            config = HostConfig(tcp=tcp_config(scenario.tcp, spec.tcp), ip=ip)
            if spec.memory is not None:
                config = replace(config, memory_bytes=spec.memory)
            rng = network.rng(f"host/{spec.name}")
            host = Host(config, rng, 0, trace) if self.watch is None else CheckedHost(config, rng, 0, trace, self.watch)
            self._hosts[spec.name] = host
            network.add_host(spec.name, host, trace)
        for router in scenario.routers:
            config = HostConfig(ip=IpConfig(forwarding=True, arp_tries=ARP_TRIES, arp_probe=False))
            network.add_router(router.name, config)
        for switch in scenario.switches:
            network.add_switch(switch.name)
        offload = {spec.name for spec in scenario.hosts if spec.offload}
        for link in scenario.links:
            a, b = (network.node(name) for name in link.between)
            forward, backward = (faults_of(link.way(name)) for name in ("forward", "backward"))
            made = network.link(a, b, forward, backward, mtu=link.mtu)
            for port, name in zip((made.a, made.b), link.between, strict=True):
                if name in offload:
                    sink = self._hosts[name].ip.interfaces[port.ifindex].sink  # the port, or what watches it
                    sink.caps = port.caps = FULL_OFFLOAD
            self._links.append(made)
            self._ways.append([link.way("forward"), link.way("backward")])
        network.autoroute()

    def _target(self, number: int) -> Port:
        """Where the client of a flow connects to: the server's nearest port."""
        flow, node = self.scenario.flows[number], self.network.node
        port = self.network.nearest_port(node(flow.from_), node(flow.to))
        if port is None:
            raise ScenarioError(("flow", number, "to"), f"no route from {flow.from_} to {flow.to}")
        return port

    def _schedule(self) -> None:
        """Flows, events and samples at their times."""
        network, scenario = self.network, self.scenario
        for run, target in zip(self.flows, self._targets, strict=True):
            run.listen(self._hosts[run.flow.to], scenario.server_config(run.flow), self._acceptors)
            if run.flow.after is None:
                network.at(run.flow.start_us, partial(self._open, run, target))
        for event in scenario.events:
            network.at(event.at_us, partial(self._happen, event))
        for observer in self._observers:
            if observer.sample_us:
                network.at(observer.sample_us, partial(self._sample, observer))
        if self._observers:
            taps: dict[Port, Tap] = {}
            for run in self.flows:
                near = self.network.nearest_port(self.network.node(run.flow.to), self.network.node(run.flow.from_))
                assert near is not None
                tap = taps.setdefault(near, Tap(self._on_segment, self.known))
                tap.flows.add(run)
                near.tap = tap

    def _open(self, run: FlowRun, target: Port) -> None:
        address, _ = routing.address_of(target)
        run.open(self._hosts[run.flow.from_], address, self.scenario.client_config(run.flow))
        if run.ends is not None:
            self.known[run.ends] = run
        if run.flow.simultaneous and run.client is not None:
            server = self._hosts[run.flow.to]
            run.open_server(server, run.client.conn.local_addr, self.scenario.server_config(run.flow))

    def _open_next(self) -> None:
        """Flows that wait for another's end, when it has come."""
        network, now = self.network, self.network.clock.now
        over = {run.flow.name for run in self.flows if run.done}
        for index in [i for i in self._waiting if self.flows[i].flow.after in over]:
            run = self.flows[index]
            self._waiting.remove(index)
            network.at(now + run.flow.start_us, partial(self._open, run, self._targets[index]))

    # -- what happens on the way

    def _happen(self, event: Event) -> None:
        if event.flow is not None:
            run = next(run for run in self.flows if run.flow.name == event.flow)
            if event.abort:
                run.abort()
            else:
                run.renege()
            return
        assert event.link is not None
        index = self.scenario.link_index(event.link)
        link = self._links[index]
        if event.down:
            link.down()
        elif event.up:
            link.up()
        elif event.mtu is not None:
            link.set_mtu(event.mtu, silent=event.silent)
        elif event.set is not None:
            ways = self._ways[index]
            for number, way in enumerate(("forward", "backward")):
                if event.way in {way, "both"}:
                    ways[number] = changed(ways[number], event.set)
            link.configure(*(faults_of(way) for way in ways))

    def _sample(self, observer: Observer) -> None:
        now = self.network.clock.now
        for run in self.flows:
            if run.client is not None and not run.client.closed:
                observer.on_sample(now, run.flow.name, run.client.conn.tcp_info())
        if now + observer.sample_us <= self.scenario.duration_us and not all(run.done for run in self.flows):
            self.network.at(now + observer.sample_us, partial(self._sample, observer))

    def _on_segment(
        self, t_us: int, flow: str, direction: str, seq: int, length: int, ack: int, flags: int, fate: str
    ) -> None:
        for observer in self._observers:
            observer.on_segment(t_us, flow, direction, seq, length, ack, flags, fate)

    # -- how it ended

    def _problems(self) -> list[str]:
        """What went otherwise than the scenario promises."""
        problems = []
        for run in self.flows:
            flow = run.flow
            if not run.intact:
                problems.append(f"flow {flow.name}: wrong bytes, or a connection that nobody opened")
            if flow.expect not in {"any", run.outcome}:
                problems.append(f"flow {flow.name}: {run.describe()}; the scenario promises {flow.expect!r}")
        return problems

    def _drain(self) -> list[str]:
        """Let everything come to rest; what is left behind then."""
        network = self.network
        for acceptor in self._acceptors.values():
            acceptor.close(network.clock.now)
        network.settle()
        end = network.clock.now + REST_US
        while self._left_behind() and network.next_deadline() <= end:
            network.step()
            self.events += 1
        return self._left_behind()

    def _left_behind(self) -> list[str]:
        left = []
        for name, host in self._hosts.items():
            tcp, fragments = host.tcp, host.ip.reassembly
            counts = {
                "connections": tcp.n_conns,
                "flow tables": len(tcp.flows),
                "listeners": len(tcp.listeners),
                "timers": len(tcp.timers),
                "TIME-WAIT records": len(tcp.time_waits.records),
                "fragments": len(fragments),
            }
            left += [f"host {name}: {count} {what} left behind" for what, count in counts.items() if count]
        return left

    def _result(self, time_us: int, problems: list[str]) -> Result:
        links = [
            LinkResult(name=f"{a.node.name} > {b.node.name}", counts=model.counts.by_name())
            for link in self._links
            for a, b, model in ((link.a, link.b, link.forward), (link.b, link.a, link.backward))
        ]
        return Result(
            name=self.scenario.name,
            seed=self.scenario.seed,
            time_us=time_us,
            events=self.events,
            segments=self.network.segments,
            flows=[run.result(time_us) for run in self.flows],
            links=links,
            digest=self.network.digest(),
            problems=problems,
        )


def faults_of(way: Way) -> Faults:
    """The settings of one direction, as links take them."""
    queue = way.queue or 0
    burst = way.burst_loss
    return Faults(
        loss=way.loss or 0.0,
        burst_loss=None if burst is None else GilbertElliott(burst.p, burst.r, burst.loss_bad, burst.loss_good),
        duplication=way.duplicate or 0.0,
        corruption=way.corrupt or 0.0,
        reordering=way.reorder or 0.0,
        reorder_us=2 * MS if way.reorder_by_us is None else way.reorder_by_us,
        delay_us=way.delay_us or 0,
        jitter_us=way.jitter_us or 0,
        rate=way.rate or 0,
        queue_bytes=queue if isinstance(queue, int) else 0,
        queue_frames=int(queue[:-1]) if isinstance(queue, str) else 0,
        queue=way.discipline or "droptail",
        codel_target_us=TARGET_US if way.target_us is None else way.target_us,
        codel_interval_us=INTERVAL_US if way.interval_us is None else way.interval_us,
        ecn=bool(way.ecn),
    )
