"""The applications at the two ends of a flow.

Theory of operation.  A FlowRun is a Flow in a running network: it opens the connection at its time and has two Ends.
An End writes its stream as the send buffer has room, reads what comes, and closes when it has written all.  What may
be written, and when it is all, is the kind of the flow.  Streams are not stored: each byte follows from its position
(`pattern`), so a chunk is compared as it comes, and one that is lost, doubled, moved or of another flow shows at once.
`stall` makes the server's End stop reading for a while.

A FlowRun is over when the connection's tables have let go of both ends (CLOSED) or when the client gave up before the
server had heard of it.
"""

from collections.abc import Callable
from random import Random
from typing import Final, Literal

from stack.config import NEVER, SECOND, TcpConfig
from stack.errors import StackError
from stack.host.host import Host
from stack.sim.result import FlowResult, Outcome
from stack.sim.scenario import Flow
from stack.tcp import state
from stack.tcp.connection import Connection
from stack.tcp.events import ACCEPTABLE, CLOSED
from stack.tcp.listener import Listener
from stack.tcp.output import TS_TICK_US
from stack.wire.seq import MASK

PERIOD: Final = 1_048_573  # prime: no stream is moved by just that much
_BLOCK: Final = Random("stack.sim.flows").randbytes(PERIOD)
_PATTERN: Final = _BLOCK + _BLOCK
CHUNK: Final = 65_536
FIRST_PORT: Final = 1000

FourTuple = tuple[int, int, int, int]  # address and port of one end, then of the other
Closes = Literal["sent", "eof", "got"]  # when an End closes its side: all sent; and all read; and all answered


def pattern(position: int, length: int) -> bytes:
    """`length` bytes (at most `PERIOD`) of the stream that every flow is cut from."""
    start = position % PERIOD
    return _PATTERN[start : start + length]


class End:
    """One end of a flow: the `user` of its connection.  `offsets`: where its streams begin in the pattern."""

    # fmt: off
    __slots__ = (
        "aborted", "closed", "closed_at_us", "closes", "conn", "ended", "ended_at_us", "error", "expected", "got",
        "host", "intact", "limit", "may_send", "now", "on_stall", "read_offset", "sent", "shut", "total",
        "urgent", "write_offset",
    )
    # fmt: on

    def __init__(self, host: Host, conn: Connection, now: Callable[[], int], offsets: tuple[int, int]) -> None:
        self.host = host
        self.conn = conn
        self.now = now
        self.write_offset, self.read_offset = offsets
        self.total: int | None = 0  # bytes to write; None: without end, for now
        self.expected: int | None = None  # bytes to come; None: not known yet
        self.may_send: Callable[[End], int] = End.everything
        self.closes: Closes = "sent"
        self.urgent = False
        self.sent = 0
        self.got = 0
        self.limit: int | None = None  # reads no further for now
        self.on_stall: Callable[[End], None] | None = None
        self.intact = True
        self.shut = False  # we closed our side
        self.ended = False  # the peer closed its side, and everything before was read
        self.ended_at_us = 0
        self.closed = False
        self.closed_at_us = 0
        self.aborted = False
        self.error: Exception | None = None
        conn.user = self

    def everything(self) -> int:
        """A rule of `may_send`: all of the stream at once."""
        return self.sent + CHUNK if self.total is None else self.total

    def as_much_as_came(self) -> int:
        """A rule of `may_send`: echo."""
        return self.got

    @property
    def whole(self) -> bool:
        """Everything that was to come has come, in order, and nothing else; and the peer said that this is all."""
        return self.intact and self.ended and (self.expected is None or self.got == self.expected)

    def on_events(self, events: int) -> None:
        """Read, write and close as far as it goes."""
        if self.closed:
            return
        conn = self.conn
        self._read()
        if not self.ended and conn.eof_received() and not conn.recv_pending():
            self.ended = True
            self.ended_at_us = self.now()
        if not events & CLOSED:
            self._write()
            self.host.wake(conn)
        elif self.limit is None or not conn.recv_pending():
            self.closed = True
            self.closed_at_us = self.now()
            self.error = conn.error

    def go_on(self) -> None:
        """Something outside changed: read and write again."""
        self.on_events(CLOSED if self.conn.state in {state.CLOSED, state.TIME_WAIT} else 0)

    def abort(self) -> None:
        """Reset the connection."""
        if not self.closed and not self.aborted:
            self.aborted = True
            self.conn.abort(self.now())
            self.host.wake(self.conn)

    def _read(self) -> None:
        conn = self.conn
        if self.limit is None:
            if conn.recv_pending():
                for chunk in conn.recv_chunks():
                    self._take(chunk)
            return
        while self.got < self.limit and (data := conn.recv(self.limit - self.got)):
            self._take(data)
        if self.got >= self.limit and self.on_stall is not None:
            self.on_stall(self)

    def _take(self, data: bytes) -> None:
        for at in range(0, len(data), PERIOD):
            piece = data[at : at + PERIOD]
            if piece != pattern(self.read_offset + self.got, len(piece)):
                self.intact = False
            self.got += len(piece)
        if self.expected is not None and self.got > self.expected:
            self.intact = False

    def _write(self) -> None:
        conn = self.conn
        if self.shut:
            return
        room = conn.send_room()
        while (n := min(self.may_send(self) - self.sent, room, CHUNK)) > 0:
            data = pattern(self.write_offset + self.sent, n)
            if self.urgent:
                conn.send_urgent(data, self.now())
            else:
                conn.send(data, self.now())
            self.sent += n
            room -= n
        if self.total is None or self.sent < self.total or conn.state == state.SYN_SENT:
            return  # to close before the handshake would delete the connection (RFC 9293 §3.10.4)
        if self.closes == "sent" or (self.ended if self.closes == "eof" else self.got == self.expected):
            conn.close(self.now())
            self.shut = True


class FlowRun:
    """A flow in a network.  `now` reads the clock, `at` calls something at a later time."""

    __slots__ = ("_at", "_dropped", "_now", "client", "flow", "ghosts", "opened_at_us", "port", "refused", "server")

    def __init__(
        self, flow: Flow, number: int, now: Callable[[], int], at: Callable[[int, Callable[[], None]], None]
    ) -> None:
        self.flow = flow
        self.port = FIRST_PORT + number if flow.port is None else flow.port
        self._now = now
        self._at = at
        self._dropped = flow.chunk  # bytes that the client may have written by now
        self.client: End | None = None
        self.server: End | None = None
        self.ghosts = 0  # connections that nobody opened
        self.opened_at_us = 0
        self.refused: StackError | None = None  # why the connection could not even be opened

    def listen(self, host: Host, config: TcpConfig, acceptors: "dict[tuple[str, int], Acceptor]") -> None:
        """The server's side, before the flow starts; `acceptors` are those of the network, by host and port."""
        if self.flow.simultaneous:
            return
        where = (self.flow.to, self.port)
        if where not in acceptors:
            acceptors[where] = Acceptor(host, host.listen(0, self.port, self.flow.backlog, config, self._now()))
        acceptors[where].flows.append(self)

    def open(self, host: Host, address: int, config: TcpConfig) -> None:
        """The client's side: connect to `address`."""
        flow, now = self.flow, self._now()
        self.opened_at_us = now
        try:
            conn = host.connect(address, self.port, lport=flow.local_port, config=config, now=now)
        except StackError as exc:
            self.refused = exc
            return
        if flow.iss is not None:
            conn.rebase(flow.iss)
        if flow.ts_offset is not None:
            conn.ts_offset = (flow.ts_offset - now // TS_TICK_US) & MASK
        end = self.client = End(host, conn, self._now, (self.port, self.port + PERIOD // 2))
        end.urgent = flow.urgent
        requests = self._requests()
        end.total, end.expected = flow.bytes, flow.back
        if flow.kind == "echo":
            end.expected = flow.bytes
        elif flow.kind == "rr":
            end.total, end.expected, end.closes = requests * flow.request, requests * flow.response, "got"
            end.may_send = lambda e: min(requests, e.got // flow.response + 1) * flow.request
        elif flow.chunk:
            end.may_send = self._trickle
            self._at(now + flow.pause_us, self._drop)
        if flow.for_us is not None:
            self._at(now + flow.for_us, self._time_is_up)
        end.go_on()

    def open_server(self, host: Host, address: int, config: TcpConfig) -> None:
        """The server's side of a simultaneous open: it connects, too."""
        conn = host.connect(address, self.flow.local_port, lport=self.port, config=config, now=self._now())
        self._serve(host, conn)

    def accept(self, host: Host, conn: Connection, *, replayed: bool) -> None:
        """The server's end of the connection; `replayed`: it may be made from an old ACK with a cookie."""
        if self.server is None:
            self._serve(host, conn)
            return
        # RFC 4987 §3.6: whoever brings a good cookie has a connection, an old duplicate of the last ACK as well
        self.ghosts += not replayed
        conn.abort(self._now())
        host.wake(conn)

    def _serve(self, host: Host, conn: Connection) -> None:
        flow, requests = self.flow, self._requests()
        end = self.server = End(host, conn, self._now, (self.port + PERIOD // 2, self.port))
        end.total, end.expected = flow.back, flow.bytes
        end.closes = "sent" if flow.back else "eof"
        if flow.kind == "echo":
            end.total = flow.bytes
            end.may_send = End.as_much_as_came
        elif flow.kind == "rr":
            end.total, end.expected = requests * flow.response, requests * flow.request
            end.may_send = lambda e: e.got // flow.request * flow.response
        elif flow.for_us is not None and self.client is not None:
            end.expected = self.client.total
        end.limit = flow.stall_at
        end.on_stall = self._stalled
        end.go_on()

    def abort(self) -> None:
        """The client resets the connection."""
        if self.client is not None:
            self.client.abort()

    def renege(self) -> None:
        """Both ends forget what came out of order."""
        for end in (self.client, self.server):
            if end is not None:
                end.conn.rcv.drop_out_of_order()

    @property
    def done(self) -> bool:
        """Both ends are over; what is left of them is in tables of the hosts only."""
        if self.refused is not None:
            return True
        return self.client is not None and self.client.closed and (self.server is None or self.server.closed)

    @property
    def outcome(self) -> Outcome:
        """How it went, so far."""
        client, server = self.client, self.server
        if client is not None and client.aborted:
            return "aborted" if self.done else "unfinished"
        if client is not None and server is not None and client.whole and server.whole:
            return "complete" if self.done else "unfinished"
        return "failed" if self.done else "unfinished"

    @property
    def intact(self) -> bool:
        """No End saw a byte that it should not have seen."""
        return not self.ghosts and all(end is None or end.intact for end in (self.client, self.server))

    def describe(self) -> str:
        """The outcome in words, with what is known of the reason."""
        parts: list[str] = [self.outcome]
        for name, end in (("client", self.client), ("server", self.server)):
            if end is not None:
                there = f"{end.got} of {end.expected} bytes read, {end.sent} written"
                parts.append(f"{name} {state.NAMES[end.conn.state]}, {there}, {end.error or 'no error'}")
        if self.refused is not None:
            parts.append(str(self.refused))
        return "; ".join(parts)

    def result(self, time_us: int) -> FlowResult:
        """The outcome in numbers, at the end of the run."""
        client, server = self.client, self.server
        there, back = server.got if server is not None else 0, client.got if client is not None else 0
        ended_at = max((end.ended_at_us for end in (client, server) if end is not None and end.ended), default=0)
        closed_at = max((end.closed_at_us for end in (client, server) if end is not None), default=0)
        duration = max((ended_at or time_us) - self.opened_at_us, 1)
        error = next((end.error for end in (client, server) if end is not None and end.error), self.refused)
        writer = server if server is not None and client is not None and server.sent > client.sent else client
        info = writer.conn.tcp_info() if writer is not None else None
        return FlowResult(
            name=self.flow.name,
            outcome=self.outcome,
            expected=self.flow.expect in {"any", self.outcome},
            intact=self.intact,
            error=None if error is None else f"{type(error).__name__}: {getattr(error, 'strerror', error)}",
            bytes_there=there,
            bytes_back=back,
            opened_at_us=self.opened_at_us,
            finished_at_us=closed_at if self.done else 0,
            goodput=(there + back) * SECOND // duration,
            retransmits=0 if info is None else info.retransmits,
            spurious=0 if info is None else info.spurious,
            srtt_us=0 if info is None else info.srtt_us,
            min_rtt_us=0 if info is None or info.min_rtt_us == NEVER else info.min_rtt_us,
        )

    @property
    def ends(self) -> FourTuple | None:
        """Addresses and ports, the client's first; None before it has been opened."""
        if self.client is None:
            return None
        conn = self.client.conn
        return conn.local_addr, conn.local_port, conn.remote_addr, conn.remote_port

    def is_of(self, conn: Connection) -> bool:
        """Whether the client of this flow is the peer of `conn`."""
        return self.ends == (conn.remote_addr, conn.remote_port, conn.local_addr, conn.local_port)

    def _trickle(self, end: End) -> int:
        """A rule of `may_send`: so much at a time."""
        return min(end.everything(), self._dropped)

    def _drop(self) -> None:
        """The next piece may be written."""
        client = self.client
        if client is None or client.closed or client.shut:
            return
        self._dropped += self.flow.chunk
        client.go_on()
        self._at(self._now() + self.flow.pause_us, self._drop)

    def _requests(self) -> int:
        return max(1, (self.flow.bytes or 0) // self.flow.request)

    def _time_is_up(self) -> None:
        client, server = self.client, self.server
        if client is None:
            return
        client.total = client.sent
        if server is not None:
            server.expected = client.sent
        client.go_on()

    def _stalled(self, end: End) -> None:
        """The server's application stops reading for a while."""
        end.on_stall = None

        def again() -> None:
            end.limit = None
            end.go_on()

        self._at(self._now() + self.flow.stall_for_us, again)


class Acceptor:
    """The `user` of a listener: gives each connection to the flow whose client opened it."""

    __slots__ = ("flows", "host", "listener")

    def __init__(self, host: Host, listener: Listener) -> None:
        self.flows: list[FlowRun] = []
        self.host = host
        self.listener = listener
        listener.user = self

    def on_events(self, events: int) -> None:
        """Take what can be accepted."""
        if events & ACCEPTABLE:
            while (conn := self.listener.accept()) is not None:
                self._give(conn)

    def _give(self, conn: Connection) -> None:
        opened = [flow for flow in self.flows if flow.is_of(conn)]
        # a pair of ports may be used again and again: the last that was opened has it
        owner = next((flow for flow in opened if flow.server is None), opened[-1] if opened else self.flows[-1])
        owner.accept(self.host, conn, replayed=self.listener.cookies_until > 0)

    def close(self, now: int) -> None:
        """Listen no more."""
        self.host.unlisten(self.listener, now)
