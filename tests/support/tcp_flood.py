"""A listener under a flood of SYNs, driven as a Host drives it: a table of connections, cookies kept by nobody."""

import gc
import sys

from stack.config import SECOND, TcpConfig
from stack.tcp.connection import Connection
from stack.tcp.listener import Cookie, Listener
from stack.tcp.segment import ACK, RST, SYN, Segment
from stack.tcp.state import ESTABLISHED, SYN_RECEIVED
from stack.wire.frame import L4_OFF, TxFrame
from tests.support import tcp_codec as codec
from tests.support.tcp_codec import Sent

LOCAL, PORT = 0x0A000001, 80


class Flood:
    """Any number of clients against one listener."""

    def __init__(self, backlog: int, config: TcpConfig | None = None) -> None:
        self.now = 1000 * SECOND
        self.listener = Listener(0, PORT, config or TcpConfig(), backlog, b"\x11" * 16)
        self.table: dict[tuple[int, int], Connection] = {}
        self._frame = TxFrame()
        self._segment = Segment()

    def _fill(self, flags: int, seq: int, ack: int, options: bytes = b"", data: bytes = b"") -> Segment:
        seg = self._segment
        seg.seq, seg.ack, seg.flags, seg.wnd = seq & 0xFFFFFFFF, ack & 0xFFFFFFFF, flags, 60_000
        seg.options, seg.has_ts, seg.pool, seg.off, seg.length = options, False, data, 0, len(data)
        return seg

    def syn(self, *, raddr: int, rport: int, seq: int = 1, mss: int = 1460) -> list[Sent]:
        """A client's SYN; what is answered (a cookie as a SYN-ACK without connection)."""
        self.now += 10
        seg = self._fill(SYN, seq, 0, codec.encode_options(mss=mss))
        conn = self.table.get((raddr, rport))
        if conn is not None:
            conn.on_segment(seg, self.now)
            return self.poll(conn)
        made = self.listener.on_syn(seg, LOCAL, PORT, raddr, rport, 1460, 0, self.now)
        if made is None:
            return []
        if isinstance(made, Cookie):
            return [Sent(self.now, PORT, rport, made.iss, (seq + 1) & 0xFFFFFFFF, SYN | ACK, 0, 0, b"")]
        self.table[raddr, rport] = made
        return self.poll(made)

    def ack(self, *, raddr: int, rport: int, seq: int, ack: int, data: bytes = b"") -> None:
        """The client's third segment."""
        seg = self._fill(ACK, seq, ack, data=data)
        conn = self.table.get((raddr, rport))
        if conn is None:
            conn = self.listener.on_ack(seg, LOCAL, PORT, raddr, rport, 1460, 0, self.now)
            if conn is None:
                return
            self.table[raddr, rport] = conn
        before = conn.state
        conn.on_segment(seg, self.now)
        if before == SYN_RECEIVED and conn.state == ESTABLISHED:
            self.listener.on_established(conn)
        self.poll(conn)

    def rst(self, *, raddr: int, rport: int, seq: int) -> None:
        """The client resets."""
        conn = self.table.pop((raddr, rport))
        conn.on_segment(self._fill(RST, seq, 0), self.now)
        self.listener.on_lost(conn)

    def poll(self, conn: Connection) -> list[Sent]:
        """What `conn` sends now."""
        f, out = self._frame, []
        while conn.poll_transmit(f, self.now):
            payload = bytes(memoryview(f.payload)[f.payload_off : f.payload_off + f.payload_len])
            out.append(codec.decode(self.now, bytes(f.header[L4_OFF : f.header_end]), payload, f.gso_size))
        return out

    def accept(self) -> Connection | None:
        """The application takes a connection."""
        return self.listener.accept()

    def half_open(self) -> int:
        """Connections held that are not established."""
        return sum(c.state == SYN_RECEIVED for c in self.table.values())

    @staticmethod
    def memory() -> int:
        """Blocks of memory that Python holds now."""
        gc.collect()
        return sys.getallocatedblocks()
