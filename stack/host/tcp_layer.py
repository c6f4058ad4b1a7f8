"""TCP of a host: which connection a segment belongs to, and what happens to segments of none.

Theory of operation.  `flows[local address][key]` is the demultiplexer; `key` is the integer that the C
parser makes of remote address, remote port and local port, so that a lookup is two dict reads.  Segments
that find no connection meet, in this order, TIME-WAIT records, listeners, and a reset.

Three lists carry work between the steps of a pass: `ready` (connections that may have something to send),
`evented` (endpoints with events for the application), `timers` (deadlines).  Every call into a connection is
followed by `after`, which puts it where it belongs; `poll_transmit` empties `ready`, and a connection that is
finished leaves the tables there, once its last segment is out.
"""

from collections import deque
from typing import Final

from stack.config import NEVER, HostConfig, Rng, TcpConfig
from stack.errors import (
    AddressInUse,
    AddressNotAvailable,
    ConnectionAborted,
    ConnectionRefused,
    ConnectionReset,
    ConnectionTimedOut,
    InvalidAddress,
    NetworkUnreachable,
    NoBufferSpace,
)
from stack.host.ip_layer import IpLayer
from stack.host.ip_output import ANY_FLOW
from stack.host.listeners import ADDRESS_BITS, ANY_PORT, ListenerTable
from stack.host.ports import EphemeralPorts
from stack.host.timer_queue import TimerQueue
from stack.ip import output as ip_out
from stack.ip.icmp import IcmpLimiter
from stack.ip.output import Path
from stack.stats import Counter, DropReason, Stats
from stack.tcp import output, path_size, state, time_wait
from stack.tcp.arrival import DROP_SHIFT, STOP
from stack.tcp.congestion import registry
from stack.tcp.connection import Connection
from stack.tcp.events import ACCEPTABLE, CLOSED
from stack.tcp.isn import initial_sequence
from stack.tcp.listener import Cookie, Listener
from stack.tcp.memory import CONNECTION_BYTES, Budget
from stack.tcp.receiver import ACK_NOW, ADVICE, PATH_MTU
from stack.tcp.segment import ACK, FIN, RST, SYN, Segment
from stack.tcp.time_wait import TimeWait, TimeWaitTable
from stack.wire.addr import format_addr
from stack.wire.frame import TxFrame
from stack.wire.icmp import ErrorKind, TransportError
from stack.wire.seq import HALF, MASK

PASS_FRAMES: Final = 128  # frames sent in one pass before received ones get their turn
CONN_FRAMES: Final = 16  # of them by one connection, before the next has its turn
_OUT_SEGS: Final = int(Counter.TCP_OUT_SEGS)  # an IntEnum is slow to look up and to index with
_PASSIVE_OPENS: Final = int(Counter.TCP_PASSIVE_OPENS)
CONFIRM_US: Final = 5_000_000  # between two confirmations of a first hop
HEADERS: Final = 40  # IPv4 and TCP header without options (RFC 9293 §3.7.1)
REPLIES_PER_S: Final = 50_000  # resets and other segments of no connection
REPLY_BURST: Final = 5_000
# drops that are answered with a challenge ACK (RFC 5961 §3-5, RFC 7323 §5.3)
CHALLENGED: Final = frozenset(
    (DropReason.TCP_BLIND_RST, DropReason.TCP_BLIND_SYN, DropReason.TCP_BAD_ACK, DropReason.TCP_PAWS)
)


class TcpLayer:
    """See the head of this file."""

    __slots__ = (
        "_config",
        "_frame",
        "_ip",
        "_replies",
        "_secret",
        "_stats",
        "budget",
        "evented",
        "flows",
        "listeners",
        "n_conns",
        "orphans",
        "ports",
        "ready",
        "time_waits",
        "timers",
    )

    def __init__(self, config: HostConfig, rng: Rng, stats: Stats, ip: IpLayer, now: int) -> None:
        registry.algorithm(config.tcp.congestion)
        self._config = config
        self._stats = stats
        self._ip = ip
        self._secret = rng.randbytes(32)
        self.ports = EphemeralPorts(config.port_range, self._secret)
        self._replies = IcmpLimiter(REPLIES_PER_S, REPLY_BURST, now, rng)
        self._frame = TxFrame()
        self.budget = Budget(config.memory_bytes)
        self.flows: dict[int, dict[int, Connection]] = {}
        self.listeners = ListenerTable()
        self.time_waits = TimeWaitTable(config.tcp.max_time_wait)
        self.timers = TimerQueue()
        self.ready: deque[Connection] = deque()
        self.evented: list[object] = []
        self.n_conns = 0
        self.orphans: dict[Connection, None] = {}  # nobody holds them any more; the oldest first

    # -- application

    def connect(self, raddr: int, rport: int, laddr: int, lport: int, config: TcpConfig | None, now: int) -> Connection:
        """Active OPEN.  Raises NetworkUnreachable, AddressNotAvailable, AddressInUse, InvalidAddress, and for port 0
        ConnectionRefused: nobody can listen there.
        """
        if not 0 <= rport <= 0xFFFF:
            raise InvalidAddress(f"{rport} is not a port that can be connected to")
        if laddr and not self._ip.is_local(laddr):
            raise AddressNotAvailable(f"{format_addr(laddr)} is not an address of this host")
        path = self._ip.path(raddr, laddr)
        if path.kind not in (ip_out.UNICAST, ip_out.LOCAL):
            # RFC 9293 §3.9.2.3 (MUST-46)
            raise NetworkUnreachable(f"{format_addr(raddr)} is a broadcast or multicast address; TCP needs one host")
        if not rport:
            # RFC 6335 §6: 0 is reserved.  The kernel asks, and hears what every peer answers.
            raise ConnectionRefused("port 0 is nobody's: connect to the port that the peer listens on")
        laddr = path.src
        if self.n_conns >= self._config.tcp.max_connections:
            raise NoBufferSpace("the host holds as many connections as it may (max_connections)")
        if not self.budget.make_room(CONNECTION_BYTES):
            raise NoBufferSpace("the host has no memory for another connection (memory_bytes)")
        table = self.flows.get(laddr, {})
        high = raddr << 32 | rport << 16
        if not lport:
            lport = self.ports.pick(
                laddr, raddr, rport, lambda p: high | p in table or self.listeners.has_port(laddr, p)
            )
        elif high | lport in table:
            raise AddressInUse(f"port {lport} has a connection to {format_addr(raddr)}:{rport} already")
        reuse = self.time_waits.get((laddr, high | lport))
        tcp = self._settings(config)
        iss, ts_offset = initial_sequence(self._secret, laddr, lport, raddr, rport, now)
        if reuse is not None:
            iss = self._iss_after(reuse, iss)
            self.time_waits.remove((laddr, high | lport))
        conn = Connection(
            laddr, lport, raddr, rport, tcp, iss, ts_offset, now, path.mtu - HEADERS, _gso_of(path), self.budget
        )
        self._register(conn, path)
        self._stats.counts[Counter.TCP_ACTIVE_OPENS] += 1
        conn.open(now)
        self.wake(conn)
        return conn

    def listen(
        self,
        laddr: int,
        port: int,
        backlog: int,
        config: TcpConfig | None,
        *,
        accepting: bool = True,
        share: bool = False,
    ) -> Listener:
        """Passive OPEN (RFC 9293 §3.10.1, MUST-41..45), or with `accepting` False only the port taken; those that all
        `share` it have its connections in turn.  Raises AddressInUse, AddressNotAvailable, InvalidAddress.
        """
        if laddr and not self._ip.is_local(laddr):
            raise AddressNotAvailable(f"{format_addr(laddr)} is not an address of this host")
        if not 0 <= port <= 0xFFFF:
            raise InvalidAddress(f"{port} is not a port number")
        if not port:
            port = self.ports.pick(laddr, 0, 0, lambda p: self.listeners.has_port(laddr, p))
        listener = Listener(laddr, port, self._settings(config), backlog, self._secret, self.budget)
        listener.accepting = accepting
        self.listeners.add(listener, share=share)
        return listener

    def listen_anywhere(
        self, prefix: int, prefix_len: int, port: int, backlog: int, config: TcpConfig | None, *, accepting: bool = True
    ) -> Listener:
        """A transparent listener: for every address of a prefix that is not this host's, on `port` (0: on every one).

        Raises AddressInUse, InvalidAddress.
        """
        if not 0 <= port <= 0xFFFF:
            raise InvalidAddress(f"{port} is not a port number")
        if not 0 <= prefix_len <= ADDRESS_BITS:
            raise InvalidAddress(f"a prefix length of {prefix_len} cannot be used: use 0 to 32")
        if prefix & (1 << ADDRESS_BITS - prefix_len) - 1:
            raise InvalidAddress(f"{format_addr(prefix)}/{prefix_len} is no prefix: bits beyond its length are set")
        listener = Listener(prefix, port, self._settings(config), backlog, self._secret, self.budget, prefix_len)
        listener.accepting = accepting
        self.listeners.add(listener, share=False)
        self._ip.let_through(self.takes)
        return listener

    def takes(self, laddr: int, key: int) -> bool:
        """Whether a segment to an address that is not this host's is for a transparent listener, or for a connection of
        one; ANY_FLOW: whether some segment would be.
        """
        table = self.flows.get(laddr)
        if table is not None and key in table:
            return True
        if self.listeners.find_transparent(laddr, key & 0xFFFF if key != ANY_FLOW else ANY_PORT) is not None:
            return True
        return self.time_waits.get((laddr, key)) is not None

    def _settings(self, config: TcpConfig | None) -> TcpConfig:
        """The host's settings, or those of one connection, checked.  Raises ConfigError."""
        if config is None:
            return self._config.tcp
        config.validate()
        registry.algorithm(config.congestion)
        return config

    def is_taken(self, laddr: int, port: int, *, listening_only: bool = False) -> bool:
        """Whether something has the port on `laddr` (0: on any address): a listener or, also, a connection."""
        if self.listeners.is_taken(laddr, port):
            return True
        if listening_only:
            return False
        tables = [self.flows.get(laddr, {})] if laddr else self.flows.values()
        return any(key & 0xFFFF == port for table in tables for key in table)

    def unlisten(self, listener: Listener, now: int) -> None:
        """Close a listener; what it had not handed out is reset."""
        listener.closed = True
        self.listeners.remove(listener)
        waiting = list(listener.accept_queue)
        listener.accept_queue.clear()
        for table in self.flows.values():
            waiting += [c for c in table.values() if c.parent is listener]
        for conn in waiting:
            conn.parent = None
            conn.abort(now, ConnectionAborted("the listener was closed"))
            self.wake(conn)

    def wake(self, conn: Connection) -> None:
        """The application called a method of `conn`."""
        if not conn.host_queued:
            conn.host_queued = True
            self.ready.append(conn)
        if conn.events and not conn.host_evented:
            conn.host_evented = True
            self.evented.append(conn)
        if conn.released and conn.state not in (state.CLOSED, state.TIME_WAIT):
            self.orphans[conn] = None

    # -- tables

    def _register(self, conn: Connection, path: Path) -> None:
        conn.path = path
        conn.host_key = conn.remote_addr << 32 | conn.remote_port << 16 | conn.local_port
        self.flows.setdefault(conn.local_addr, {})[conn.host_key] = conn
        self.n_conns += 1
        self.budget.book(CONNECTION_BYTES)

    def _retire(self, conn: Connection) -> None:
        """Take a finished connection out of the tables (its object may live on with the application)."""
        self.timers.remove(conn)
        self.orphans.pop(conn, None)
        table = self.flows.get(conn.local_addr)
        if table is None or table.get(conn.host_key) is not conn:
            return  # retired before; the place may be another's by now
        del table[conn.host_key]
        self.n_conns -= 1
        conn.unbook()
        self.budget.book(-CONNECTION_BYTES)
        if not table:
            del self.flows[conn.local_addr]
        self._count_end(conn)
        parent = conn.parent
        if isinstance(parent, Listener):
            parent.on_lost(conn)
            conn.parent = None
        if conn.state == state.TIME_WAIT:
            record = conn.time_wait
            assert record is not None
            self.time_waits.add((conn.local_addr, conn.host_key), record)
            self._stats.counts[Counter.TCP_TIME_WAITS] += 1
            conn.events |= CLOSED
            if not conn.host_evented:
                conn.host_evented = True
                self.evented.append(conn)

    def _count_end(self, conn: Connection) -> None:
        """How a connection ended, by the names of RFC 4022."""
        counts = self._stats.counts
        if conn.snd.controller is None:
            counts[Counter.TCP_ATTEMPT_FAILS] += 1
        elif isinstance(conn.error, ConnectionReset):
            counts[Counter.TCP_ESTAB_RESETS] += 1
        elif isinstance(conn.error, ConnectionTimedOut):
            counts[Counter.TCP_ABORTS_TIMEOUT] += 1

    # -- arrival

    def after(self, conn: Connection, actions: int, now: int) -> None:
        """File a connection that was given something: drops, the immediate ACK, output, events, timer."""
        if actions >= STOP:
            reason = actions >> DROP_SHIFT
            if reason:
                self._stats.drops[reason] += 1
                if actions & ACK_NOW and reason in CHALLENGED:
                    self._stats.counts[Counter.TCP_CHALLENGE_ACKS] += 1
        if actions & ACK_NOW and conn.ack_now and conn.poll_transmit(self._frame, now):
            self._ip.output(conn.path, self._frame, now, conn.config.dscp << 2, conn.config.ttl)  # type: ignore[arg-type]
            self._stats.counts[Counter.TCP_OUT_SEGS] += 1
        if actions and not conn.host_queued:
            conn.host_queued = True
            self.ready.append(conn)
        if conn.events and not conn.host_evented:
            conn.host_evented = True
            self.evented.append(conn)
        parent = conn.parent
        if parent is not None and conn.state >= state.ESTABLISHED:
            conn.parent = None
            self._accepted(conn, parent)
        if actions & PATH_MTU:
            self._lower_mtu(conn, path_size.take_report(conn), now)
        if actions & ADVICE:
            self._ip.negative_advice(conn.path, now)  # type: ignore[arg-type]
        if conn.timers.deadline < conn.host_at:
            self.timers.update(conn)

    def _accepted(self, conn: Connection, parent: object) -> None:
        assert isinstance(parent, Listener)
        self._stats.counts[_PASSIVE_OPENS] += 1
        parent.on_established(conn)
        if parent not in self.evented:
            self.evented.append(parent)

    def on_late(self, conn: Connection, seg: Segment, now: int) -> None:
        """A segment for a connection that has ended: its own last segments go out first, then this one is a stray."""
        while conn.poll_transmit(self._frame, now):
            self._ip.output(conn.path, self._frame, now, conn.config.dscp << 2, conn.config.ttl)  # type: ignore[arg-type]
            self._stats.counts[Counter.TCP_OUT_SEGS] += 1
        self._retire(conn)
        self.on_stray(seg, conn.local_addr, conn.host_key, now)

    @staticmethod
    def gives_way(conn: Connection, seg: Segment, now: int) -> bool:
        """Whether half-open `conn` ends because the peer has heard another SYN-ACK: its SYN, sent again, found room,
        where the first one was answered with a cookie.  That cookie has all that is needed.
        """
        listener = conn.parent
        if conn.rst_seq < 0 or not isinstance(listener, Listener):
            return False
        if not listener.brings_cookie(seg, conn.local_addr, conn.local_port, conn.remote_addr, conn.remote_port, now):
            return False
        conn.rst_seq = -1
        conn.fail(None)
        return True

    def on_stray(self, seg: Segment, laddr: int, key: int, now: int) -> None:
        """A segment for one of our addresses without a connection (RFC 9293 §3.10.7.1-2)."""
        raddr, rport, lport = key >> 32, key >> 16 & 0xFFFF, key & 0xFFFF
        path = self._ip.reply_path(raddr, laddr)
        if path is None:
            return  # whatever the answer, there is no way to send it
        drops = self._stats.drops
        flags = seg.flags
        record = self.time_waits.get((laddr, key))
        if record is not None:
            expires_at = record.expires_at
            verdict = record.on_segment(seg, now)
            if verdict != time_wait.REOPEN:
                drops[DropReason.TCP_TIME_WAIT] += 1
                if record.expires_at != expires_at:
                    self.time_waits.refreshed((laddr, key))
                if verdict == time_wait.ANSWER:
                    self._answer_time_wait(record, path, key, now)
                return
        own = self._ip.is_local(laddr)
        listener = self.listeners.find(laddr, lport) if own else self.listeners.find_transparent(laddr, lport)
        if listener is not None and (listener.group is not None or not listener.accepting):
            listener = listener.member(raddr, rport)
        if listener is not None and not flags & RST:
            if flags & (SYN | ACK | FIN) == SYN:
                self._on_syn(listener, seg, path, key, record, now)
                return
            if flags & (SYN | ACK) == ACK and self._on_cookie(listener, seg, path, key, now):
                return
        drops[DropReason.TCP_NO_PORT if listener is None else DropReason.TCP_BAD_FLAGS] += 1
        if not flags & RST:
            self._reset(seg, path, key, now)

    def _on_syn(
        self, listener: Listener, seg: Segment, path: Path, key: int, record: TimeWait | None, now: int
    ) -> None:
        laddr, raddr, rport, lport = path.src, path.dst, key >> 16 & 0xFFFF, key & 0xFFFF
        if self.n_conns >= self._config.tcp.max_connections:
            self._stats.drops[DropReason.TCP_TABLE_FULL] += 1
            return
        if not self.budget.make_room(CONNECTION_BYTES):
            self._stats.drops[DropReason.TCP_MEMORY] += 1
            return
        made = listener.on_syn(seg, laddr, lport, raddr, rport, path.mtu - HEADERS, _gso_of(path), now)
        if listener.recycled is not None:
            self._stats.counts[Counter.TCP_SYN_RECYCLED] += 1
            self._retire(listener.recycled)
            listener.recycled = None
        if made is None:
            self._stats.drops[DropReason.TCP_LISTEN_OVERFLOW] += 1
            return
        if record is not None:
            self.time_waits.remove((laddr, key))
            self._stats.counts[Counter.TCP_TIME_WAIT_REUSED] += 1
        if isinstance(made, Cookie):
            self._stats.counts[Counter.TCP_SYN_COOKIES_SENT] += 1
            output.fill_reply(
                self._frame,
                (lport, rport),
                made.iss,
                (seg.seq + 1) & MASK,
                made.flags,
                min(listener.config.recv_buffer_initial, listener.config.recv_buffer, 0xFFFF),
                made.options,
            )
            self._frame.note = "SYN cookie"
            # not limited as resets are: a flood of SYNs would then keep a client from its answer
            self._send(path, now)
        else:
            if record is not None:
                made.rebase(self._iss_after(record, made.iss))
            self._register(made, path)
            made.host_queued = True  # its timers are filed when the SYN-ACK goes out
            self.ready.append(made)

    def _on_cookie(self, listener: Listener, seg: Segment, path: Path, key: int, now: int) -> bool:
        """An ACK that may bring a SYN cookie back; whether it does."""
        no_room = self.n_conns >= self._config.tcp.max_connections or not self.budget.make_room(CONNECTION_BYTES)
        if no_room or listener.is_full:
            if now >= listener.cookies_until:
                return False
            # dropped, as a SYN would be: a reset would end a handshake that can go on when there is room.  Only the
            # first segments of a connection have the number of its cookie, so the cookie is not asked for.
            self._stats.drops[DropReason.TCP_LISTEN_OVERFLOW] += 1
            return True
        conn = listener.on_ack(
            seg, path.src, key & 0xFFFF, path.dst, key >> 16 & 0xFFFF, path.mtu - HEADERS, _gso_of(path), now
        )
        if conn is None:
            return False
        self._stats.counts[Counter.TCP_SYN_COOKIES_RECV] += 1
        self._register(conn, path)
        self.after(conn, conn.on_segment(seg, now), now)
        return True

    @staticmethod
    def _iss_after(record: TimeWait, iss: int) -> int:
        """RFC 9293 §3.10.7.4, RFC 6191: the new connection's numbers begin beyond the old one's."""
        floor = (record.snd_nxt + time_wait.ISS_STEP) & MASK
        return iss if 0 < (iss - floor) & MASK < HALF else floor

    # -- segments of no connection

    def _reset(self, seg: Segment, path: Path, key: int, now: int) -> None:
        """RFC 9293 §3.5.2 (T-RST-1)."""
        if seg.flags & ACK:
            seq, ack, flags = seg.ack, 0, RST
        else:
            length = seg.length + (1 if seg.flags & SYN else 0) + (1 if seg.flags & FIN else 0)
            seq, ack, flags = 0, (seg.seq + length) & MASK, RST | ACK
        output.fill_reply(self._frame, (key & 0xFFFF, key >> 16 & 0xFFFF), seq, ack, flags, 0, b"")
        self._frame.note = "reset: no such connection"
        if self._reply(path, now):
            self._stats.counts[Counter.TCP_OUT_RSTS] += 1

    def _answer_time_wait(self, record: TimeWait, path: Path, key: int, now: int) -> None:
        options = b""
        if record.ts_ok:
            options = output.pack_ts((now // output.TS_TICK_US + record.ts_offset) & MASK, record.ts_recent)
        output.fill_reply(
            self._frame, (key & 0xFFFF, key >> 16 & 0xFFFF), record.snd_nxt, record.rcv_nxt, ACK, record.window, options
        )
        self._frame.note = "answer in TIME-WAIT"
        self._reply(path, now)

    def _reply(self, path: Path, now: int) -> bool:
        """Send the frame that was filled, unless too many go out."""
        if not self._replies.allow(now):
            self._stats.drops[DropReason.TCP_REPLY_QUEUE_FULL] += 1
            return False
        self._send(path, now)
        return True

    def _send(self, path: Path, now: int) -> None:
        self._ip.output(path, self._frame, now)
        self._stats.counts[Counter.TCP_OUT_SEGS] += 1

    # -- errors, time, output

    def on_error(self, err: TransportError, now: int) -> None:
        """An ICMP error, or a next hop that does not answer."""
        table = self.flows.get(err.laddr)
        conn = table.get(err.raddr << 32 | err.rport << 16 | err.lport) if table else None
        if conn is None:
            self._stats.drops[DropReason.ICMP_NO_MATCH] += 1
            return
        mtu = self._ip.pmtu_of_error(err) if err.kind == ErrorKind.FRAG_NEEDED else 0
        if not conn.on_icmp_error(err.kind, err.seq, mtu, local=err.local):
            self._stats.drops[DropReason.ICMP_NO_MATCH] += 1
            return
        if mtu:
            self._lower_mtu(conn, mtu, now)
        self.after(conn, 1 << 2, now)

    def _lower_mtu(self, conn: Connection, mtu: int, now: int) -> None:
        """RFC 1191 §3 (1191-1, ICMP-7); RFC 5927 §7 (5927-2): never above what the path had."""
        if mtu and mtu - HEADERS < conn.path_mss and self._ip.set_path_mtu(conn.remote_addr, mtu, now):
            path = self._ip.reply_path(conn.remote_addr, conn.local_addr)
            if path is not None:
                self._follow_path(conn, path, now)

    def _follow_path(self, conn: Connection, path: Path, now: int) -> None:
        """The path's MTU is another now."""
        conn.path = path
        conn.set_path_mss(path.mtu - HEADERS, _gso_of(path), now)

    def on_timer(self, now: int) -> None:
        """Fire what is due."""
        for conn in self.timers.due(now):
            if conn.host_at <= now:
                conn.host_at = NEVER
                self.after(conn, conn.on_timer(now), now)
        self.time_waits.expire(now)

    def poll_transmit(self, now: int) -> bool:
        """Send what connections have to send; True when the pass's share was used up and more may wait."""
        ready, frame, ip = self.ready, self._frame, self._ip
        left = PASS_FRAMES
        if self.orphans:
            while len(self.orphans) > self._config.tcp.max_orphans:
                self._reset_orphan(now)
        while ready and left > 0:
            conn = ready.popleft()
            conn.host_queued = False
            path: Path = conn.path  # type: ignore[assignment]
            if path.mtu - HEADERS != conn.path_mss:
                self._follow_path(conn, path, now)
            if conn.last_rx_at - path.confirmed_at > CONFIRM_US:
                # RFC 1122 §2.3.2.1: the peer answers, so the first hop lives and need not be asked by ARP
                path.confirmed_at = conn.last_rx_at
                ip.confirm(path, now)
            config = conn.config
            tos, ttl = config.dscp << 2, config.ttl
            retrans = conn.snd.total_retrans
            count = 0
            while conn.poll_transmit(frame, now):
                ip.output(path, frame, now, tos, ttl)
                count += 1
                if count >= CONN_FRAMES:
                    conn.host_queued = True
                    ready.append(conn)
                    break
            left -= count
            if conn.events and not conn.host_evented:  # room to write, where `notsent_lowat` counts
                conn.host_evented = True
                self.evented.append(conn)
            if conn.snd.total_retrans != retrans:
                self._stats.counts[Counter.TCP_RETRANS_SEGS] += conn.snd.total_retrans - retrans
            if conn.state in (state.CLOSED, state.TIME_WAIT):
                if conn.host_queued:
                    continue  # its last segments first
                self._retire(conn)
            elif conn.timers.deadline < conn.host_at:
                self.timers.update(conn)
        if left < PASS_FRAMES:
            self._stats.counts[_OUT_SEGS] += PASS_FRAMES - left
        return bool(ready)

    def _reset_orphan(self, now: int) -> None:
        """RFC 6429 §4: what nobody waits for is the first to go when there is too much of it."""
        conn = next(iter(self.orphans))
        del self.orphans[conn]
        self._stats.counts[Counter.TCP_ORPHANS_RESET] += 1
        conn.abort(now, ConnectionAborted("the host holds as many orphans as it may (max_orphans)"))
        if not conn.host_queued:
            conn.host_queued = True
            self.ready.append(conn)

    def snapshot(self) -> dict[str, object]:
        """For `tapstack status`."""
        return {
            "listeners": self.listeners.snapshot(),
            "connections": self.n_conns,
            "orphans": len(self.orphans),
            "time_wait": len(self.time_waits.records),
            "timers": len(self.timers),
            "memory": self.budget.snapshot(),
        }


def _gso_of(path: Path) -> int:
    """The largest payload that the device takes at once; it cuts what it cannot carry."""
    return path.caps.max_gso


__all__ = ["ACCEPTABLE", "TcpLayer"]
