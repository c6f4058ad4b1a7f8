"""What stands in a simulated network: hosts (routers are hosts that forward) and switches.

Theory of operation.  A node is given the frames that arrive at one of its ports.  A HostNode does what a real driver
would: bursts in, events to the application, frames out, timers when due; then it tells the event queue its next
deadline.  A Switch is a learning bridge without a processor: a frame leaves it in the microsecond it came.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, Protocol, cast

from stack.config import NEVER
from stack.device.pcap import CaptureTrace
from stack.sim.clock import VirtualClock
from stack.sim.events import EventQueue
from stack.sim.record import INBOUND, Recorder
from stack.wire import accel
from stack.wire.burst import Burst
from stack.wire.frame import ETH_HLEN
from stack.wire.sink import FrameSink

if TYPE_CHECKING:
    from stack.sim.link import Port

GROUP_BIT: Final = 1  # of the first octet of a MAC address: broadcast or multicast (IEEE 802-2014 §8.2.2)
MAX_MACS: Final = 1_024  # addresses that a switch remembers


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

    on_wake: Callable[[], None] | None  # called when the application used an endpoint

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

    def check_invariants(self) -> None:
        """Raise AssertionError when something is inconsistent."""


class World:
    """What the parts of one network share.  `burst` is filled and emptied within one delivery."""

    __slots__ = ("burst", "clock", "events", "invariants", "recorder", "segments")

    def __init__(self, clock: VirtualClock, recorder: Recorder, *, invariants: bool) -> None:
        self.clock = clock
        self.recorder = recorder
        self.events = EventQueue()
        self.burst = Burst()
        self.invariants = invariants  # of a host, after everything that it does
        self.segments = 0  # frames that hosts sent, each counted once


class Node(ABC):
    """Has a name and ports."""

    __slots__ = ("name", "ports")

    def __init__(self, name: str) -> None:
        self.name = name
        self.ports: list[Port] = []

    @abstractmethod
    def attach(self, port: "Port", mtu: int) -> int:
        """Take a new port; its interface index."""

    @abstractmethod
    def deliver(self, port: "Port", frames: list[bytes], now: int) -> None:
        """Frames arrive at a port; there is at least one."""

    @abstractmethod
    def set_mtu(self, port: "Port", mtu: int) -> None:
        """The interface at a port has another MTU now."""


class HostNode(Node):
    """A host in the network.  `trace`, if the host was given it too, puts its remarks into captures."""

    __slots__ = ("_busy", "_serial", "_woken", "_world", "host", "queued_at", "trace")

    def __init__(self, world: World, name: str, host: SimHost, trace: CaptureTrace | None) -> None:
        super().__init__(name)
        self._world = world
        self._serial = 0  # of the first frame of the burst that the host works on
        self.host = host
        self.trace = trace
        self.queued_at = NEVER
        self._busy = False  # in `work`, which looks again anyway
        self._woken = False  # the application acted outside of `work`
        if trace is not None:
            trace.device = self

    def attach(self, port: "Port", mtu: int) -> int:
        """Give the host one more interface."""
        return self.host.add_interface(port.name, port, port.mac, mtu, self._world.clock.now)

    def set_mtu(self, port: "Port", mtu: int) -> None:
        """Tell the host; one without `set_mtu` keeps what it has."""
        tell = cast("Callable[[int, int], None] | None", getattr(self.host, "set_mtu", None))
        if tell is not None:
            tell(port.ifindex, mtu)

    def deliver(self, port: "Port", frames: list[bytes], now: int) -> None:
        """Hand what arrived to the host, in as many bursts as it takes."""
        world, burst = self._world, self._world.burst
        recorder = world.recorder
        while True:
            taken = accel.load_frames(burst, frames, port.mac)
            self._serial = recorder.passed
            for index in range(taken):
                recorder.frame(now, port.index, INBOUND, frames[index])
                if port.tap is not None:
                    port.tap(now, INBOUND, frames[index], True)
            self.host.receive(port.ifindex, burst, now)
            self.work(now)
            if taken == len(frames):
                return
            del frames[:taken]

    def work(self, now: int) -> None:
        """Let the applications and the host act on what has happened."""
        self._busy = True
        more = True
        while more:
            host = self.host
            for endpoint in cast("Sequence[Endpoint]", host.poll_events()):
                user = endpoint.user
                if user is not None:
                    user.on_events(endpoint.take_events())
            more = host.poll_transmit(now) or self.host is not host  # an application has put another in its place
        self._busy = self._woken = False
        world = self._world
        world.events.schedule(self, host.deadline)
        if world.invariants:
            host.check_invariants()

    def due_at(self) -> int:
        """When the host's next timer is due; at once when the application has used it."""
        return 0 if self._woken else self.host.deadline

    def replace(self, host: SimHost) -> None:
        """Put another host at the ports of the one that was here."""
        self.host = host
        host.on_wake = self.wake
        now = self._world.clock.now
        for port in self.ports:
            assert port.link is not None
            port.ifindex = host.add_interface(port.name, port, port.mac, port.link.mtu, now)
        self.wake()

    def halt(self) -> None:
        """The host has stopped: what it sent and is still on its links is lost."""
        self._world.recorder.event(self._world.clock.now, f"{self.name} crashed")
        for port in self.ports:
            model = port.channel.model
            if not model.down:
                model.cut(down=True)
                model.cut(down=False)

    def wake(self) -> None:
        """The application used an endpoint of the host."""
        if not self._busy and not self._woken:
            self._woken = True
            self._world.events.schedule(self, self._world.clock.now)

    def fire(self, now: int) -> None:
        """A timer of the host is due, or the application acted."""
        deadline = self.host.deadline
        if deadline <= now:
            if deadline:  # else it wants to be called at once
                self._world.recorder.event(now, f"{self.name} timer")
            self.host.on_timer(now)
        self.work(now)

    def note_rx(self, index: int, text: str) -> None:
        """A remark of the host on frame `index` of the burst it works on."""
        self._world.recorder.note(self._serial + index, text)


class Switch(Node):
    """A learning switch.  Its table holds `max_macs` addresses; the one heard of longest ago makes room.

    An address is learnt from the source of each frame (IEEE 802.1D-2004 §7.8); a frame to an unknown or group address
    goes to all other ports, and one whose place is the port it came from goes nowhere (§7.7).  Between two ports that
    are `barred`, in that order, nothing passes: a partition of the network.
    """

    __slots__ = ("_clock", "barred", "filtered", "flooded", "forwarded", "max_macs", "table")

    def __init__(self, world: World, name: str, *, max_macs: int = MAX_MACS) -> None:
        super().__init__(name)
        self._clock = world.clock
        self.max_macs = max_macs
        self.table: dict[bytes, Port] = {}
        self.barred: set[tuple[Port, Port]] = set()
        self.forwarded = 0
        self.flooded = 0
        self.filtered = 0

    def attach(self, port: "Port", mtu: int) -> int:  # noqa: ARG002 - a switch does not fragment, the link has the MTU
        """Take one more port."""
        return len(self.ports) + 1

    def set_mtu(self, port: "Port", mtu: int) -> None:
        """Nothing: frames that are too long are lost on the link."""

    def deliver(self, port: "Port", frames: list[bytes], now: int) -> None:
        """Pass frames on."""
        barred = self.barred
        for frame in frames:
            port.record_arrival(frame, now)
            if len(frame) < ETH_HLEN:
                continue
            self._learn(frame[6:12], port)
            destination = frame[:6]
            known = None if destination[0] & GROUP_BIT else self.table.get(destination)
            if known is None:
                self.flooded += 1
                for other in self.ports:
                    if other is not port and not (barred and (port, other) in barred):
                        other.put(frame, now, "")
            elif known is port or (barred and (port, known) in barred):
                self.filtered += 1
            else:
                self.forwarded += 1
                known.put(frame, now, "")

    def _learn(self, source: bytes, port: "Port") -> None:
        if source[0] & GROUP_BIT:
            return
        table = self.table
        table.pop(source, None)  # the order of the table is that of the last frames
        if len(table) >= self.max_macs:
            del table[next(iter(table))]
        table[source] = port
