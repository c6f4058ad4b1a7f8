"""A host with one rule, for tests of networks: it answers every UDP datagram, and sends some on its own."""

from collections.abc import Callable

from stack.config import NEVER
from stack.sim.network import Handler
from stack.tcp.events import READABLE
from stack.wire.burst import KIND_UDP, Burst
from stack.wire.sink import FrameSink
from tests.support.frames import End, udp_frame
from tests.support.tx import finished


class FakeEndpoint:
    """Readable whenever something came."""

    def __init__(self) -> None:
        self.events = 0
        self.user: Handler | None = None

    def take_events(self) -> int:
        events, self.events = self.events, 0
        return events


class PingHost:
    """Sends `count` datagrams, one every `interval_us`; answers each datagram that begins with "ping"."""

    def __init__(self, me: End, peer: End, *, count: int = 0, interval_us: int = 1_000) -> None:
        self.me = me
        self.peer = peer
        self.left = count
        self.interval_us = interval_us
        self.deadline = 0 if count else NEVER
        self.sinks: list[FrameSink] = []
        self.outbox: list[bytes] = []
        self.got: list[tuple[int, bytes]] = []  # time, payload
        self.bursts: list[int] = []  # rows of each
        self.endpoint = FakeEndpoint()
        self.on_wake: Callable[[], None] | None = None

    def add_interface(self, name: str, sink: FrameSink, mac: bytes, mtu: int, now: int) -> int:
        self.sinks.append(sink)
        self.me.mac = mac
        return len(self.sinks)

    def receive(self, ifindex: int, burst: Burst, now: int) -> None:
        assert ifindex == 1
        self.bursts.append(burst.count)
        for index in range(burst.count):
            row = burst.row_at(index)
            if row[10] != KIND_UDP or row[9]:
                continue  # damaged, or not ours
            data = burst.pool[row[2] : row[2] + row[3]]
            self.got.append((now, data))
            self.endpoint.events |= READABLE
            if data.startswith(b"ping"):
                self.outbox.append(b"pong" + data[4:])

    def on_timer(self, now: int) -> None:
        self.outbox.append(b"ping %d" % self.left)
        self.left -= 1
        self.deadline = now + self.interval_us if self.left else NEVER

    def poll_transmit(self, now: int) -> bool:
        for data in self.outbox:
            frame = finished(udp_frame(self.me, self.peer, data))
            frame.note = data.decode()
            self.sinks[0].send(frame)
        self.outbox.clear()
        return False

    def check_invariants(self) -> None:
        assert self.left >= 0

    def poll_events(self) -> list[FakeEndpoint]:
        return [self.endpoint] if self.endpoint.events else []
