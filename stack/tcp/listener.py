"""A passive OPEN: where SYNs for a port go (RFC 9293 §3.10.7.2, RFC 4987).

Theory of operation.  A SYN makes a Connection in SYN-RECEIVED while fewer than `backlog` (and `max_syn_backlog`) of
them wait; beyond that the SYN is answered with a cookie and nothing is kept, so a flood costs no memory.  An ACK
that brings a valid cookie back makes an ESTABLISHED connection.  With cookies switched off the oldest half-open
connection makes room for the newest (RFC 4987 §3.4): it is left in `recycled` for the Host to forget.  Connections
that are established wait in `accept_queue`, at most `backlog` of them; with a full queue new SYNs are dropped.

A cookie is: 24 bits of keyed hash over the 4-tuple, the peer's ISN and a tick of 64 s, with the MSS class
and the tick's low bits in the high byte; what else was negotiated travels in the timestamp's low bits and
is lost without timestamps (RFC 4987 §3.6).
"""

from collections import deque
from typing import Final

from stack.config import SECOND, TcpConfig
from stack.tcp import arrival, ecn
from stack.tcp.connection import Connection
from stack.tcp.events import ACCEPTABLE
from stack.tcp.isn import cookie_mac, initial_sequence
from stack.tcp.memory import Budget
from stack.tcp.output import TS_TICK_US, wscale_for
from stack.tcp.segment import ACK, CWR, ECE, SYN, Segment
from stack.tcp.state import SYN_RECEIVED
from stack.tcp.timers import USER
from stack.wire.seq import MASK
from stack.wire.tcp import DEFAULT_MSS, MIN_MSS, pack_syn_options, parse_syn

COOKIE_TICK_US: Final = 64 * SECOND
COOKIE_AGE: Final = 2  # ticks that a cookie stays good
MSS_CLASSES: Final = (MIN_MSS, 256, 536, 1220, 1360, 1440, 1460, 8960)
# low bits of the timestamp in a cookie: window scale (4, 15 = none), SACK (1), ECN (1)
TS_BITS: Final = 6
TS_SACK: Final = 16
TS_ECN: Final = 32
TS_NO_SCALE: Final = 15
# which listener of a group: multiplicative hashing, of which the upper bits are the good ones
SPREAD_ADDR: Final = 0x9E37_79B1
SPREAD_PORT: Final = 0x85EB_CA6B
SPREAD_SHIFT: Final = 15


class Cookie:
    """The SYN-ACK that carries a cookie: for the Host to send."""

    __slots__ = ("flags", "iss", "options")

    def __init__(self, iss: int, flags: int, options: bytes) -> None:
        self.iss = iss
        self.flags = flags
        self.options = options


class Listener:
    """LISTEN for one port; `local_addr` 0 is any local address.

    With a `prefix_len` of 0 to 32 it is transparent: for the addresses of a prefix, none of them this host's, on
    `local_port`, or on every port with 0.
    """

    __slots__ = (
        "accept_queue",
        "accepting",
        "backlog",
        "budget",
        "closed",
        "config",
        "cookies_until",
        "events",
        "group",
        "half_open",
        "local_addr",
        "local_port",
        "prefix_len",
        "recycled",
        "secret",
        "user",
    )

    def __init__(
        self,
        local_addr: int,
        local_port: int,
        config: TcpConfig,
        backlog: int,
        secret: bytes,
        budget: Budget | None = None,
        prefix_len: int = -1,
    ) -> None:
        self.prefix_len = prefix_len
        self.budget = budget  # of the host, for its connections
        self.local_addr = local_addr
        self.local_port = local_port
        self.config = config
        self.backlog = max(1, backlog)
        self.secret = secret
        self.accept_queue: deque[Connection] = deque()
        self.half_open: dict[Connection, None] = {}  # connections of ours in SYN-RECEIVED, oldest first
        self.recycled: Connection | None = None  # the one that the last SYN has put an end to
        self.cookies_until = 0  # the last cookie sent is good until then
        self.events = 0
        self.closed = False
        self.accepting = True  # False: the port is taken, and whoever asks for it finds it closed
        self.group: list[Listener] | None = None  # all that share address and port, in turn; None: not to be shared
        self.user: object = None

    def on_syn(
        self, seg: Segment, laddr: int, lport: int, raddr: int, rport: int, mss: int, max_gso: int, now: int
    ) -> Connection | Cookie | None:
        """A SYN without a connection: a new connection in SYN-RECEIVED, a cookie to send, or None (dropped)."""
        if self.is_full:
            return None
        if len(self.half_open) >= min(self.backlog, self.config.max_syn_backlog):
            if self.config.syn_cookies:
                return self._cookie(seg, laddr, lport, raddr, rport, mss, now)
            self.recycled = next(iter(self.half_open))
            self.recycled.fail(None)
        iss, ts_offset = initial_sequence(self.secret, laddr, lport, raddr, rport, now)
        conn = Connection(laddr, lport, raddr, rport, self.config, iss, ts_offset, now, mss, max_gso, self.budget)
        self.adopt(conn, seg, now)
        return conn

    def adopt(self, conn: Connection, seg: Segment, now: int) -> None:
        """Put a fresh `conn` into SYN-RECEIVED by the SYN `seg` (RFC 9293 §3.10.7.2 step 3)."""
        conn.passive = True
        conn.parent = self
        arrival.negotiate(conn, seg, now)
        conn.enter(SYN_RECEIVED)
        conn.snd.snd_nxt = conn.snd.snd_max = (conn.iss + 1) & MASK
        conn.syn_due = True
        conn.timers.arm(USER, now + self.config.syn_retries_us)
        arrival.text_of_syn(conn, seg, now)
        self.half_open[conn] = None

    def on_established(self, conn: Connection) -> None:
        """A connection of ours left SYN-RECEIVED for ESTABLISHED."""
        self.half_open.pop(conn, None)
        self.accept_queue.append(conn)
        self.events |= ACCEPTABLE

    def on_lost(self, conn: Connection) -> None:
        """A connection of ours left SYN-RECEIVED for CLOSED (MUST-11)."""
        self.half_open.pop(conn, None)

    def accept(self) -> Connection | None:
        """The next established connection, or None."""
        return self.accept_queue.popleft() if self.accept_queue else None

    def member(self, raddr: int, rport: int) -> "Listener | None":
        """Which of the listeners that share this port a peer speaks to: always the same while they are the same."""
        group = [one for one in self.group if one.accepting] if self.group is not None else [self]
        if len(group) > 1:
            return group[((raddr * SPREAD_ADDR ^ rport * SPREAD_PORT) >> SPREAD_SHIFT) % len(group)]
        return group[0] if group and group[0].accepting else None

    def take_events(self) -> int:
        """The pending event bits, which are cleared."""
        events = self.events
        self.events = 0
        return events

    # -- SYN cookies

    def _cookie(self, seg: Segment, laddr: int, lport: int, raddr: int, rport: int, mss: int, now: int) -> Cookie:
        options = parse_syn(seg.options)
        peer = options.mss or DEFAULT_MSS
        index = max((i for i, m in enumerate(MSS_CLASSES) if m <= peer), default=0)
        tick = now // COOKIE_TICK_US
        self.cookies_until = (tick + COOKIE_AGE) * COOKIE_TICK_US
        mac = cookie_mac(self.secret, laddr, lport, raddr, rport, seg.seq, tick)
        iss = ((tick & 0x1F) << 27 | index << 24 | mac) & MASK
        config = self.config
        sack = config.sack and options.sack_ok
        ts = None
        flags = SYN | ACK
        wscale = -1
        if config.timestamps and seg.has_ts:
            if config.window_scaling and options.wscale >= 0:
                wscale = wscale_for(config)
            bits = (options.wscale if wscale >= 0 else TS_NO_SCALE) | (TS_SACK if sack else 0)
            if ecn.requested(seg, config):
                bits |= TS_ECN
                flags |= ECE
            clock = self._cookie_ts(laddr, lport, raddr, rport, now)
            kept = clock >> TS_BITS << TS_BITS | bits
            if kept > clock:
                kept -= 1 << TS_BITS  # RFC 7323 §5.4: ahead of its clock it would have PAWS drop what comes next
            ts = (kept & MASK, seg.tsval)
        else:
            sack = False
        return Cookie(iss, flags, pack_syn_options(min(mss, config.mss_limit), wscale, sack, ts))

    def _cookie_ts(self, laddr: int, lport: int, raddr: int, rport: int, now: int) -> int:
        _, offset = initial_sequence(self.secret, laddr, lport, raddr, rport, 0)
        return (now // TS_TICK_US + offset) & MASK

    @property
    def is_full(self) -> bool:
        """Whether as many connections wait for `accept` as may."""
        return len(self.accept_queue) >= self.backlog

    def brings_cookie(self, seg: Segment, laddr: int, lport: int, raddr: int, rport: int, now: int) -> bool:
        """Whether an ACK without a connection acknowledges a valid cookie."""
        if now >= self.cookies_until:
            return False  # none is out: 24 bits are soon guessed by one who may try at leisure
        iss = (seg.ack - 1) & MASK
        irs = (seg.seq - 1) & MASK
        tick_now = now // COOKIE_TICK_US
        age = (tick_now - (iss >> 27)) & 0x1F
        if age >= COOKIE_AGE:
            return False
        tick = (tick_now - age) & MASK  # in the clock's first minute there is no tick before this one
        return cookie_mac(self.secret, laddr, lport, raddr, rport, irs, tick) == iss & 0xFFFFFF

    def on_ack(
        self, seg: Segment, laddr: int, lport: int, raddr: int, rport: int, mss: int, max_gso: int, now: int
    ) -> Connection | None:
        """An ACK without a connection: an ESTABLISHED connection when it brings a valid cookie back and there is room,
        else None.
        """
        if self.is_full or not self.brings_cookie(seg, laddr, lport, raddr, rport, now):
            return None
        iss = (seg.ack - 1) & MASK
        irs = (seg.seq - 1) & MASK
        _, ts_offset = initial_sequence(self.secret, laddr, lport, raddr, rport, 0)
        conn = Connection(laddr, lport, raddr, rport, self.config, iss, ts_offset, now, mss, max_gso, self.budget)
        conn.passive = True
        conn.parent = self
        # the SYN is made up again from what the cookie kept
        syn = Segment()
        syn.seq, syn.wnd, syn.has_ts, syn.tsval = irs, seg.wnd, seg.has_ts, seg.tsval
        wscale = -1
        sack = False
        if seg.has_ts and self.config.timestamps:
            bits = seg.tsecr & ((1 << TS_BITS) - 1)
            sack = bool(bits & TS_SACK)
            syn.flags = SYN | (ECE | CWR if bits & TS_ECN else 0)
            wscale = bits & TS_NO_SCALE
            wscale = -1 if wscale == TS_NO_SCALE else wscale
        syn.options = pack_syn_options(MSS_CLASSES[iss >> 24 & 7], wscale, sack, None)
        arrival.negotiate(conn, syn, now)
        conn.enter(SYN_RECEIVED)
        conn.snd.snd_nxt = conn.snd.snd_max = (iss + 1) & MASK
        conn.rcv.syn_window_field()
        conn.opened_at = 0  # the round trip was not measured
        self.half_open[conn] = None
        return conn if seg.flags & ACK else None
