"""The endpoint under test, and the little of a Host that a single connection needs.

Theory of operation.  A `Subject` is a Connection or a Listener with at most one Connection; it does for them what
`stack/host` does for thousands: gives segments to the right one, tells the listener when a handshake ends, keeps
polling what asked to send.  Everything that depends on how these classes are called is in this file, so that the
scripts know only segments.
"""

from stack.config import NEVER, TcpConfig
from stack.tcp import path_size
from stack.tcp.connection import ACK_NOW, Connection
from stack.tcp.listener import Listener
from stack.tcp.receiver import PATH_MTU
from stack.tcp.segment import ACK, RST, SYN, Segment
from stack.tcp.state import CLOSED, ESTABLISHED, LISTEN, SYN_RECEIVED, TIME_WAIT
from stack.tcp.time_wait import REOPEN
from stack.wire.frame import TxFrame
from stack.wire.icmp import ErrorKind

LOCAL, REMOTE = 0x0A000001, 0x0A000002
LOCAL_PORT, REMOTE_PORT = 8080, 40_000

DEST_UNREACHABLE, TIME_EXCEEDED, PARAMETER_PROBLEM = 3, 11, 12
UNREACHABLE_KINDS = {
    0: ErrorKind.NET_UNREACHABLE,
    1: ErrorKind.HOST_UNREACHABLE,
    2: ErrorKind.PROTOCOL_UNREACHABLE,
    3: ErrorKind.PORT_UNREACHABLE,
    4: ErrorKind.FRAG_NEEDED,
    5: ErrorKind.SOURCE_ROUTE_FAILED,
}


class Subject:
    """One endpoint; `mirrored` gives it the peer's address, for two subjects facing each other."""

    def __init__(
        self, config: TcpConfig, *, iss: int, ts_offset: int, mss: int, max_gso: int, mirrored: bool = False
    ) -> None:
        self.config = config
        self.iss = iss
        self.ts_offset = ts_offset
        self.mss = mss
        self.max_gso = max_gso
        ours, theirs = (LOCAL, LOCAL_PORT), (REMOTE, REMOTE_PORT)
        self._addresses = (*theirs, *ours) if mirrored else (*ours, *theirs)
        self.conn: Connection | None = None
        self.listener: Listener | None = None
        self._before = CLOSED

    def _connection(self, now: int) -> Connection:
        return Connection(*self._addresses, self.config, self.iss, self.ts_offset, now, self.mss, self.max_gso)

    def open(self, now: int) -> None:
        """Active OPEN."""
        self.conn = self._connection(now)
        self.conn.open(now)

    def listen(self, backlog: int, now: int) -> None:
        """Passive OPEN."""
        self.listener = Listener(0, self._addresses[1], self.config, backlog, b"\x5a" * 16)

    @property
    def state(self) -> int:
        """CLOSED when nothing is left, LISTEN when only the listener is."""
        if self.conn is not None:
            return self.conn.state
        return LISTEN if self.listener is not None else CLOSED

    @property
    def deadline(self) -> int:
        """Earliest timer."""
        return self.conn.deadline if self.conn is not None else NEVER

    def on_segment(self, seg: Segment, now: int) -> bool:
        """One segment; True when the connection must be polled before its next one."""
        conn = self.conn
        opens = seg.flags & (SYN | ACK | RST) == SYN
        if conn is not None and opens and self.listener is not None and conn.state in {CLOSED, TIME_WAIT}:
            record = conn.time_wait
            if conn.state == CLOSED or (record is not None and record.on_segment(seg, now) == REOPEN):
                conn = self.conn = None
        if conn is None:
            if opens and self.listener is not None:
                self.conn = self._connection(now)
                self.listener.adopt(self.conn, seg, now)
                self._before = SYN_RECEIVED
            return False
        actions = conn.on_segment(seg, now)
        self._after()
        return bool(actions & ACK_NOW)

    def on_timer(self, now: int) -> None:
        """Timers that are due."""
        if self.conn is not None:
            if self.conn.on_timer(now) & PATH_MTU:
                mtu = path_size.take_report(self.conn)
                if mtu:
                    self.conn.set_path_mss(mtu - 40, self.max_gso, now)
            self._after()

    def poll_transmit(self, frame: TxFrame, now: int) -> bool:
        """The next segment to send."""
        if self.conn is not None and self.conn.poll_transmit(frame, now):
            return True
        if self._before == LISTEN:  # RFC 9293 §3.5.2 (MUST-11): its last words are said
            self.conn, self._before = None, CLOSED
        return False

    def _after(self) -> None:
        conn, listener = self.conn, self.listener
        if conn is None or listener is None or self._before != SYN_RECEIVED or conn.state == SYN_RECEIVED:
            return
        if conn.state >= ESTABLISHED:
            listener.on_established(conn)
            self._before = conn.state
        else:
            listener.on_lost(conn)
            self._before = LISTEN

    def detach(self, now: int) -> None:
        """The application closes and goes away altogether."""
        assert self.conn is not None
        self.conn.close(now)
        self.conn.release(now)

    def icmp(self, kind: int, code: int, mtu: int, quoted_seq: int, now: int) -> None:
        """An ICMP error; a believed "fragmentation needed" lowers the path MTU, which is the IP layer's part."""
        assert self.conn is not None
        known = {TIME_EXCEEDED: ErrorKind.TIME_EXCEEDED, PARAMETER_PROBLEM: ErrorKind.PARAMETER_PROBLEM}.get(kind)
        if kind == DEST_UNREACHABLE:
            known = UNREACHABLE_KINDS[code]
        if known is None:
            return  # source quench: not delivered at all (RFC 6633)
        believed = self.conn.on_icmp_error(known, quoted_seq, mtu)
        if believed and known == ErrorKind.FRAG_NEEDED and mtu >= 68 and mtu - 40 < self.mss:
            self.conn.set_path_mss(mtu - 40, self.max_gso, now)

    def check_invariants(self) -> None:
        """Those of the connection, and that its two closed ends have nothing left to do."""
        if self.conn is not None:
            self.conn.check_invariants()
