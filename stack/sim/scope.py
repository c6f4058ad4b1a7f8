"""A scope on a Run: what its senders, segments and queues did, for plots and tables.

    run = Run(scenario)
    scope = Scope(run)          # before `run.run()`
    result = run.run()
    plot.write_all(scope, ...)  # scope.flows, scope.queues

Theory of operation.  The scope puts a tap on every port: the port that a flow's client uses gives the segments, that of
its server what its receiver had already, and all of them tell, with their links, what was lost.  The flow of a frame
is found by the addresses and ports of both ends.  Samples are taken on a
grid of virtual time that begins fine (`SAMPLE_US`); once there are `MAX_SAMPLES`, every other one is dropped and the
grid becomes twice as coarse, so memory is bounded and a run of any length has enough points.  Looking changes nothing:
the run has the same digest without a scope.
"""

from functools import partial
from typing import Final

from stack.config import MS, NEVER
from stack.device.fault import FaultModel
from stack.device.pcapng import OUTBOUND
from stack.sim.flows import FlowRun
from stack.sim.link import Port
from stack.sim.runner import Run
from stack.sim.traces import FlowTrace, Header, QueueSamples, header_of
from stack.wire.seq import HALF, MASK

SAMPLE_US: Final = MS
MAX_SAMPLES: Final = 4_000


class Scope:
    """`flows` by name; `queues` by "a > b" for each direction of each link that has a rate."""

    __slots__ = ("_interval_us", "_models", "_run", "flows", "queues")

    def __init__(self, run: Run) -> None:
        self._run = run
        self._interval_us = SAMPLE_US
        self.flows = {one.flow.name: FlowTrace(one.flow.name) for one in run.flows}
        self.queues: dict[str, QueueSamples] = {}
        self._models: list[tuple[QueueSamples, FaultModel]] = []
        clients = {one: self._port(one.flow.to, one.flow.from_) for one in run.flows}
        servers = {one: self._port(one.flow.from_, one.flow.to) for one in run.flows}
        for link in run.network.links:
            for near, far in ((link.a, link.b), (link.b, link.a)):
                name = f"{near.node.name} > {far.node.name}"
                opened = {one for one, port in clients.items() if port is near}
                served = {one for one, port in servers.items() if port is near}
                near.tap = partial(self._on_frame, opened, served)
                model = near.channel.model
                model.on_drop = self._on_drop
                if model.faults.rate:
                    queue = QueueSamples(limit=model.faults.queue_bytes, rate=model.faults.rate)
                    self.queues[name if name not in self.queues else f"{name} ({near.name})"] = queue
                    self._models.append((queue, model))
        run.network.at(SAMPLE_US, self._sample)

    def needless(self) -> dict[str, int]:
        """How many retransmissions of each flow were of data that its receiver had already."""
        return {name: len(trace.fates().needless) for name, trace in self.flows.items()}

    def _port(self, from_: str, to: str) -> Port | None:
        """The port of `to` that `from_` sends to."""
        network = self._run.network
        return network.nearest_port(network.node(from_), network.node(to))

    def _on_drop(self, frame: bytes) -> None:
        """A link lost a frame that was on its way."""
        header = header_of(frame)
        one = None if header is None else self._run.known.get(header.ends)
        if header is not None and one is not None:
            self.flows[one.flow.name].on_lost(self._run.network.clock.now, header)

    def _on_frame(
        self, clients: set[FlowRun], servers: set[FlowRun], now: int, direction: int, data: bytes, on_its_way: bool
    ) -> None:
        """A frame at a port; `clients` and `servers`: the flows that begin and that end there."""
        header = header_of(data)
        if header is None:
            return
        known = self._run.known
        one = known.get(header.ends)
        if one is not None:
            trace = self.flows[one.flow.name]
            if direction == OUTBOUND:
                if one in clients:
                    trace.on_sent(now, header)
                if not on_its_way:
                    trace.on_lost(now, header)
            elif one in servers:
                trace.on_reached(header, had=_had(one, header))
        elif direction != OUTBOUND:
            one = known.get(header.ends[2:] + header.ends[:2])
            if one in clients and one is not None:
                self.flows[one.flow.name].on_arrived(now, header)

    def _sample(self) -> None:
        run = self._run
        now = run.network.clock.now
        for one in run.flows:
            if one.client is not None and not one.client.closed:
                info = one.client.conn.tcp_info()
                trace = self.flows[one.flow.name]
                trace.congestion = info.congestion
                samples = trace.samples
                samples.at.append(now)
                samples.cwnd.append(info.cwnd)
                samples.ssthresh.append(info.ssthresh)
                samples.in_flight.append(info.in_flight)
                samples.srtt_us.append(info.srtt_us)
                samples.min_rtt_us.append(0 if info.min_rtt_us >= NEVER else info.min_rtt_us)
                samples.mss.append(info.mss if info.delivered else 0)  # not agreed upon before
                samples.pacing_rate.append(info.pacing_rate)
                samples.delivered.append(info.delivered)
        for queue, model in self._models:
            queue.sample(now, model.queue_length(now)[1], model.counts.overflowed + model.counts.dropped)
        if max((len(trace.samples.at) for trace in self.flows.values()), default=0) >= MAX_SAMPLES:
            self._thin()
        if now + self._interval_us <= run.scenario.duration_us and not all(one.done for one in run.flows):
            run.network.at(now + self._interval_us, self._sample)

    def _thin(self) -> None:
        self._interval_us *= 2
        for trace in self.flows.values():
            trace.samples.thin()
        for queue in self.queues.values():
            queue.thin()


def _had(one: FlowRun, header: Header) -> bool:
    """The server's receiver has all the data of a segment."""
    if one.server is None or not header.length:
        return False
    rcv = one.server.conn.rcv
    end = (header.seq + header.length) & MASK
    if (rcv.rcv_nxt - end) & MASK < HALF:
        return True
    return rcv.ofo is not None and rcv.ofo.size > 0 and rcv.ofo.holds(header.seq, end)
