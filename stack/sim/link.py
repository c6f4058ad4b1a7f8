"""Links: two ports and the two directions between them.

Theory of operation.  A Port is what a host sees as its device, or one plug of a switch.  What it sends goes, as
finished wire frames, into its Channel: a FaultModel and the event that brings the frames to the port at the other
end.  A Link owns both channels, and what happens to both at once: MTU, partition, new settings.
"""

from collections.abc import Callable

from stack.config import NEVER
from stack.device.fault import FaultModel, Faults
from stack.errors import ConfigError
from stack.sim.node import Node, World
from stack.sim.record import INBOUND, OUTBOUND
from stack.wire import accel, ipv4
from stack.wire.frame import ETH_HLEN, Caps, TxFrame
from stack.wire.sink import FrameSink


class Channel:
    """One direction of a link, as a source of events."""

    __slots__ = ("_world", "far", "model", "queued_at")

    def __init__(self, world: World, model: FaultModel) -> None:
        self._world = world
        self.model = model
        self.far: Port | None = None  # where it leads
        self.queued_at = NEVER

    def due_at(self) -> int:
        """When the next frame arrives."""
        return self.model.deadline

    def fire(self, now: int) -> None:
        """Deliver what has arrived."""
        frames = self.model.poll(now)
        if self.model.deadline < self.queued_at:
            self._world.events.schedule(self, self.model.deadline)
        far = self.far
        if frames and far is not None:
            far.node.deliver(far, frames, now)


class Port(FrameSink):
    """The interface of a node on a link; `channel` leads away from it.

    `tap` sees every frame that passes: the time, the direction, the frame, and whether it is not lost.
    """

    __slots__ = ("_world", "channel", "ifindex", "index", "link", "mac", "name", "node", "tap")

    def __init__(self, world: World, node: Node, index: int, caps: Caps, channel: Channel) -> None:
        self._world = world
        self.node = node
        self.name = f"{node.name}.{len(node.ports)}"
        self.index = index
        self.caps = caps
        self.channel = channel
        self.link: Link | None = None
        self.mac = b"\x02\x00\x00" + (index + 1).to_bytes(3, "big")  # locally administered
        self.ifindex = 0
        self.tap: Callable[[int, int, bytes, bool], None] | None = None

    def send(self, frame: TxFrame) -> bool:
        """Finished wire frames enter the link, whatever `caps` made the host hand over."""
        world = self._world
        now = world.clock.now
        note = frame.note or ""
        for data in accel.wire_frames(frame):
            world.segments += 1
            self.put(data, now, note)
            note = ""
        return True

    def flush(self) -> int:
        """Nothing: `send` does not batch."""
        return 0

    def put(self, data: bytes, now: int, note: str) -> None:
        """One wire frame enters the link."""
        world, channel = self._world, self.channel
        on_its_way = channel.model.offer(data, now)
        recorder = world.recorder
        if note or not on_its_way:
            recorder.note(recorder.passed, note if on_its_way else f"{note} (lost by the link)".lstrip())
        recorder.frame(now, self.index, OUTBOUND, data)
        if self.tap is not None:
            self.tap(now, OUTBOUND, data, on_its_way)
        deadline = channel.model.deadline
        if deadline < channel.queued_at:
            world.events.schedule(channel, deadline)

    def record_arrival(self, data: bytes, now: int) -> None:
        """A frame arrived here."""
        self._world.recorder.frame(now, self.index, INBOUND, data)
        if self.tap is not None:
            self.tap(now, INBOUND, data, True)


class Link:
    """`forward` and `backward` may be configured at any time; from `a` to `b` is forward."""

    __slots__ = ("_world", "a", "b", "backward", "forward", "mtu", "name")

    def __init__(self, world: World, a: Port, b: Port, mtu: int) -> None:
        self._world = world
        self.a = a
        self.b = b
        self.name = f"{a.node.name}-{b.node.name}"
        self.forward: FaultModel = a.channel.model
        self.backward: FaultModel = b.channel.model
        a.channel.far, b.channel.far = b, a
        a.link = b.link = self
        self.mtu = mtu
        self._limit_frames()

    def configure(self, forward: Faults, backward: Faults | None = None) -> None:
        """New settings for both directions; without `backward` the same ones."""
        self.forward.configure(forward)
        self.backward.configure(forward if backward is None else backward)
        self._replan()

    def down(self) -> None:
        """A partition: what is under way is lost, and all that is sent until `up`.  Nobody is told."""
        self._world.recorder.event(self._world.clock.now, f"{self.name} down")
        self.forward.cut(down=True)
        self.backward.cut(down=True)

    def up(self) -> None:
        """Healed."""
        self._world.recorder.event(self._world.clock.now, f"{self.name} up")
        self.forward.cut(down=False)
        self.backward.cut(down=False)

    @property
    def is_up(self) -> bool:
        """Not taken down."""
        return not self.forward.down

    def set_mtu(self, mtu: int, *, silent: bool = False) -> None:
        """Another MTU from now on (frames under way still arrive); longer frames are lost.

        The hosts at both ends are told, unless `silent`: then the link is a black hole for what they think it carries.
        Raises ConfigError.
        """
        if not ipv4.MIN_MTU <= mtu <= ipv4.MAX_TOTAL:
            raise ConfigError(f"link {self.name}: an MTU of {mtu} cannot be used: use 68 to 65535")
        self._world.recorder.event(self._world.clock.now, f"{self.name} MTU {mtu}")
        self.mtu = mtu
        self._limit_frames()
        if not silent:
            for port in (self.a, self.b):
                port.node.set_mtu(port, mtu)

    def _limit_frames(self) -> None:
        self.forward.max_frame = self.backward.max_frame = self.mtu + ETH_HLEN

    def _replan(self) -> None:
        for port in (self.a, self.b):
            self._world.events.schedule(port.channel, port.channel.model.deadline)
