"""A resolver in the middle of such an internet, on virtual time.

Theory of operation.  The ResolverCore is driven directly: what it sends becomes an event at the server's end of the
path, the answer another one back, unless the path loses one of them.  Nothing else happens, so that the clock jumps
from one event, or deadline of the core, to the next.  Every exchange has a port of its own, as the sockets of the real
transport have; `deliver` takes a packet only where a port is open, whoever sent it, which is what an attacker meets.

A stream costs a handshake before its first message; a lost segment costs it a retransmission timeout, no more is
modelled.  Packets are counted in both directions, those of streams with their handshake and their end.
"""

import heapq
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from stack.config import MS
from stack.dns.authority import Pending
from stack.dns.core.actions import Action, Close, Finished, Release, SendTcp, SendUdp
from stack.dns.core.answer import Answer
from stack.dns.core.config import ResolverConfig, Server
from stack.dns.core.core import ResolverCore
from stack.dns.errors import DnsError
from stack.dns.names import Name
from tools.dns_internet.geography import Path, Place, path
from tools.dns_internet.world import Quirk, SimServer, World

SELF: Final = ("11.99.0.1", 53)  # the resolver, as servers see it
TIMEOUT_US: Final = 10_000 * MS  # how long clients wait
RETRANSMIT_US: Final = 1000 * MS  # RFC 6298 §2.1, of a SYN; later ones are quicker, which does not matter here
SEGMENT: Final = 1400
HANDSHAKE, FAREWELL = 3, 3  # packets
OPT_LEN: Final = 11
PORTS: Final = range(1024, 65_536)


@dataclass(slots=True)
class Stream:
    """A TCP connection to a server."""

    server: SimServer
    path: Path
    there_at: int  # when what was sent last is there
    back_at: int = 0  # and what came back last, here


@dataclass(slots=True)
class Counts:
    """Packets, both directions; `lost` are among them."""

    udp: int = 0
    tcp: int = 0
    lost: int = 0


@dataclass(slots=True)
class Outcome:
    """A client's question: what came of it, and how long that took."""

    asked_at: int
    latency_us: int = 0
    result: Answer | DnsError | None = None


@dataclass(frozen=True, slots=True)
class Sockets:
    """How ports are chosen; `fixed` is how it was before 2008."""

    fixed: int = 0

    def choose(self, rng: random.Random) -> int:
        """A port for one exchange."""
        return self.fixed or rng.choice(PORTS)


@dataclass(slots=True)
class Simulation:
    """One resolver and its clients, in a world."""

    world: World
    config: ResolverConfig
    place: Place
    seed: int = 1
    lossless: bool = False
    sockets: Sockets = Sockets()
    now: int = 0
    counts: Counts = field(default_factory=Counts)
    outcomes: dict[int, Outcome] = field(default_factory=dict)
    on_send: Callable[[SendUdp, int], None] | None = None  # an attacker who knows when; and the port
    ports: dict[int, dict[Server, list[int]]] = field(default_factory=dict)  # which exchanges are open at a port
    core: ResolverCore = field(init=False)
    _rng: random.Random = field(init=False)
    _events: list[tuple[int, int, Callable[[], object]]] = field(default_factory=list)
    _serial: Iterator[int] = field(default_factory=itertools.count)
    _open: dict[int, tuple[int, Server]] = field(default_factory=dict)
    _streams: dict[int, Stream] = field(default_factory=dict)
    _paths: dict[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rng = self.world.rng(f"network {self.seed}")
        self.core = ResolverCore(self.config, self.world.rng(f"resolver {self.seed}"), self.now)

    @property
    def packets(self) -> int:
        """Of both directions, streams included."""
        return self.counts.udp + self.counts.tcp

    # -- clients

    def ask(self, name: Name, rrtype: int, timeout_us: int = TIMEOUT_US) -> Outcome:
        """A question now; its outcome is filled in while `run` runs."""
        handle = self.core.start(name, rrtype, self.now, timeout_us=timeout_us)
        outcome = self.outcomes[handle] = Outcome(self.now)
        self._drain()
        return outcome

    def resolve(self, name: Name, rrtype: int) -> Outcome:
        """A question, and all until its end."""
        outcome = self.ask(name, rrtype)
        self.run(lambda: outcome.result is not None)
        return outcome

    # -- time

    def run(self, done: Callable[[], bool]) -> None:
        """Until `done`, or until nothing can happen any more."""
        while not done() and self.step():
            pass

    def run_to(self, end: int) -> None:
        """Until that time, and to that time."""
        while (at := self._next_at()) is not None and at <= end:
            self.step()
        self.now = end

    def step(self) -> bool:
        """The next event or deadline, if there is one."""
        at = self._next_at()
        if at is None:
            return False
        self.now = max(self.now, at)
        if self._events and self._events[0][0] <= at:
            heapq.heappop(self._events)[2]()
        else:
            self.core.on_timer(self.now)
        self._drain()
        return True

    def at(self, when: int, what: Callable[[], object]) -> None:
        """Have something happen at a time."""
        heapq.heappush(self._events, (when, next(self._serial), what))

    def _next_at(self) -> int | None:
        deadline = self.core.deadline
        if not self._events:
            return deadline
        first = self._events[0][0]
        return first if deadline is None or first <= deadline else deadline

    # -- what the core wants done

    def _drain(self) -> None:
        while actions := self.core.poll():
            for action in actions:
                self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case SendUdp():
                self._send_udp(action)
            case Release(exchange=exchange):
                port, server = self._open.pop(exchange)
                self.ports[port][server].remove(exchange)
            case SendTcp(stream=stream, server=server, wire=wire):
                self._send_tcp(stream, server, wire)
            case Close(stream=stream):
                if self._streams.pop(stream, None):
                    self.counts.tcp += FAREWELL
            case Finished(handle=handle, result=result):
                outcome = self.outcomes.pop(handle)
                outcome.latency_us, outcome.result = self.now - outcome.asked_at, result

    def _send_udp(self, action: SendUdp) -> None:
        exchange, server, wire = action.exchange, action.server, action.wire
        port = self.sockets.choose(self._rng)
        self._open[exchange] = port, server
        self.ports.setdefault(port, {}).setdefault(server, []).append(exchange)
        if self.on_send is not None:
            self.on_send(action, port)
        there = self.world.servers.get(server[0])
        self.counts.udp += 1
        if there is None:
            return
        way = self._path(there)
        if way.loses(self._rng):
            self.counts.lost += 1
            return
        self.at(self.now + way.delay_us(self._rng), lambda: self._serve_udp(there, way, port, server, wire))

    def _serve_udp(self, there: SimServer, way: Path, port: int, server: Server, wire: bytes) -> None:
        reply = self._answer(there, wire, tcp=False)
        if reply is None:
            return
        self.counts.udp += 1
        if way.loses(self._rng):
            self.counts.lost += 1
            return
        self.at(self.now + way.delay_us(self._rng), lambda: self.deliver(port, server, reply))

    def deliver(self, port: int, source: Server, wire: bytes) -> bool:
        """A datagram for one of our ports, really from `source` or not; False when no socket there takes it."""
        exchanges = self.ports.get(port, {}).get(source)
        if not exchanges:
            return False
        for exchange in tuple(exchanges):  # more than one only on a fixed port, where any of them may be meant
            self.core.on_datagram(exchange, source, wire, self.now)
        self._drain()
        return True

    # -- streams

    def _send_tcp(self, number: int, server: Server, wire: bytes) -> None:
        there = self.world.servers.get(server[0])
        if there is None:
            return
        way = self._path(there)
        stream = self._streams.get(number)
        if stream is None:
            if there.quirk is Quirk.DEAD:
                return
            self.counts.tcp += HANDSHAKE
            opened = self.now + self._crossing(way) + self._crossing(way)
            stream = self._streams[number] = Stream(there, way, opened)
        self.counts.tcp += 1
        stream.there_at = max(stream.there_at, self.now) + self._crossing(way)
        self.at(stream.there_at, lambda: self._serve_tcp(number, stream, wire))

    def _serve_tcp(self, number: int, stream: Stream, wire: bytes) -> None:
        reply = self._answer(stream.server, wire, tcp=True)
        if reply is None or self._streams.get(number) is not stream:
            return
        self.counts.tcp += -(-len(reply) // SEGMENT)
        stream.back_at = max(stream.back_at, self.now + self._crossing(stream.path))
        self.at(stream.back_at, lambda: self._stream_came(number, stream, reply))

    def _stream_came(self, number: int, stream: Stream, reply: bytes) -> None:
        if self._streams.get(number) is stream:
            self.core.on_stream_message(number, reply, self.now)

    def _crossing(self, way: Path) -> int:
        """How long a segment takes, with what its losses cost."""
        late = 0
        while way.loses(self._rng):
            self.counts.lost += 1
            late += RETRANSMIT_US
        return late + way.delay_us(self._rng)

    # -- servers

    def _path(self, there: SimServer) -> Path:
        way = self._paths.get(there.address)
        if way is None:
            way = self._paths[there.address] = path(self.place, there.sites, lossless=self.lossless)
        return way

    def _answer(self, there: SimServer, wire: bytes, *, tcp: bool) -> bytes | None:
        if there.quirk is Quirk.DEAD:
            return None
        if there.quirk is Quirk.NO_EDNS and wire[10:12] != b"\0\0":
            return wire[:2] + b"\x80\x01" + bytes(8)  # FORMERR, and it has not even read the question
        if not there.cookies:
            wire = without_cookie(wire)
        reply = self.world.authority(there).respond(wire, SELF, self.now, tcp=tcp)
        assert not isinstance(reply, Pending)
        if reply is not None and there.quirk is Quirk.LOWER_CASE:
            end = reply.index(0, 12)
            reply = reply[:12] + reply[12:end].lower() + reply[end:]
        return reply


def without_cookie(wire: bytes) -> bytes:
    """A query of our resolver as a server sees it that knows no cookies: its OPT record is empty."""
    at = wire.index(0, 12) + 5
    return wire[: at + OPT_LEN - 2] + bytes(2) if len(wire) > at + OPT_LEN else wire
