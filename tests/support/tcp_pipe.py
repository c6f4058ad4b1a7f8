"""Two TCP endpoints over an in-memory path that loses, delays, reorders and duplicates; a clock that jumps.

Theory of operation.  A heap of (time, order, what) holds segments in flight; each step takes the earliest of them and
of the two deadlines.  Every segment is decoded by `tcp_codec` (which refuses a malformed one) and, when it is a
super-segment, cut as a device would do, unless `merged` says that the peer's device passes it whole.  Applications
write and read pseudo-random amounts at pseudo-random times.  One seed decides everything; `digest` sums up all that
was sent, so that two runs can be compared.
"""

import heapq
import mmap
import random
import zlib
from dataclasses import dataclass, replace

from stack.config import NEVER, TcpConfig
from stack.tcp.segment import Segment
from stack.tcp.state import CLOSED, LISTEN, NAMES, SYN_SENT
from stack.wire.frame import L4_OFF, TxFrame
from tests.support import tcp_codec as codec
from tests.support.tcp_codec import FIN, PSH, RST, SYN, Sent
from tests.support.tcp_dsl import MS, SECOND, pattern
from tests.support.tcp_rules import MASK
from tests.support.tcp_subject import Subject


@dataclass(frozen=True)
class Path:
    """What the path does to each segment; probabilities of 1000, times in microseconds."""

    loss: int = 0
    duplicate: int = 0
    reorder: int = 0
    delay_us: int = 5 * MS
    jitter_us: int = 0
    merged: bool = False


class End:
    """One host of the pair with its application."""

    def __init__(self, subject: Subject, rng: random.Random, to_send: int, read_lazily: bool) -> None:
        self.subject = subject
        self.rng = rng
        self.data = pattern(to_send) if to_send < 4096 else (pattern(4096) * (to_send // 4096 + 1))[:to_send]
        self.written = 0
        self.closed = False
        self.received = bytearray()
        self.read_lazily = read_lazily

    def application(self, now: int) -> None:
        """Write some, read some, close when done."""
        conn = self.subject.conn
        if conn is None or conn.state == CLOSED or (NAMES[conn.state].startswith("SYN") and self.rng.random() < 0.5):
            return
        if not self.read_lazily or self.rng.random() < 0.3:
            while data := conn.recv(self.rng.choice((1, 100, 5000, 1 << 20))):
                self.received += data
                if self.read_lazily:
                    break
        if self.closed:
            return
        if self.written < len(self.data):
            room = min(conn.send_room(), self.rng.choice((1, 10, 1000, 20_000, 1 << 20)))
            if room > 0:
                conn.send(self.data[self.written : self.written + room], now)
                self.written += min(room, len(self.data) - self.written)
        elif conn.state != SYN_SENT:  # where CLOSE drops what was written (RFC 9293 §3.10.4)
            conn.close(now)
            self.closed = True


class Pair:
    """Drive `a` (active) and `b` (passive, or active as well when `simultaneous`) until both are CLOSED."""

    def __init__(
        self,
        seed: int,
        *,
        path: Path = Path(),
        config: TcpConfig = TcpConfig(),  # noqa: B008
        config_b: TcpConfig | None = None,
        mss: int = 1460,
        max_gso: int = 0,
        sizes: tuple[int, int] = (50_000, 50_000),
        simultaneous: bool = False,
        read_lazily: bool = False,
        iss: tuple[int, int] = (1, 1),
    ) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.path = path
        self.now = SECOND
        self.digest = 0
        self.steps = 0
        self.sent = 0
        self.log: list[str] = []
        self._heap: list[tuple[int, int, int, Sent]] = []
        self._order = 0
        self._frame = TxFrame()
        self._segment = Segment()
        self._pool = mmap.mmap(-1, 1 << 17)
        self.iss = iss
        # short TIME-WAIT; no giving up on paths that lose a quarter each way and back off to minutes
        config = replace(config, msl_us=5 * SECOND, user_timeout_us=3600 * SECOND)
        a = Subject(config, iss=iss[0], ts_offset=self.rng.getrandbits(32), mss=mss, max_gso=max_gso)
        config_b = replace(config_b or config, msl_us=5 * SECOND, user_timeout_us=3600 * SECOND)
        b = Subject(config_b, iss=iss[1], ts_offset=self.rng.getrandbits(32), mss=mss, max_gso=max_gso, mirrored=True)
        self.ends = (End(a, self.rng, sizes[0], read_lazily), End(b, self.rng, sizes[1], read_lazily))
        if simultaneous:
            b.open(self.now)
        else:
            b.listen(8, self.now)
        a.open(self.now)

    def run(self, max_steps: int = 200_000, max_us: int = 4 * 3600 * SECOND) -> "Pair":
        """Step until both are closed; AssertionError with the seed and the last events otherwise."""
        try:
            self._pump_all()
            end = self.now + max_us
            while not self.done():
                self._step()
                assert self.steps < max_steps, "too many steps"
                assert self.now < end, "too much time"
        except Exception as e:
            states = [NAMES[x.subject.state] for x in self.ends]
            text = "\n".join(self.log[-120:])
            raise AssertionError(f"seed {self.seed}, step {self.steps}, states {states}: {e!r}\n{text}") from e
        return self

    def done(self) -> bool:
        """Both ends have closed, nothing is in flight."""
        return all(e.subject.state in {CLOSED, LISTEN} and e.closed for e in self.ends)

    def _step(self) -> None:
        self.steps += 1
        due = min(e.subject.deadline for e in self.ends)
        wire = self._heap[0][0] if self._heap else NEVER
        assert min(due, wire) < NEVER or any(not e.closed for e in self.ends), "nothing will ever happen again"
        app = self.now + 10 * MS if any(self._app_busy(e) for e in self.ends) else NEVER
        self.now = max(self.now, min(due, wire, app))
        if wire <= self.now:
            _, _, to, sent = heapq.heappop(self._heap)
            self._deliver(to, sent)
        for e in self.ends:
            if e.subject.deadline <= self.now:
                e.subject.on_timer(self.now)
            e.application(self.now)
        self._pump_all()
        for e in self.ends:
            e.subject.check_invariants()

    def _app_busy(self, e: End) -> bool:
        """Whether the application can do something without waiting for the network."""
        conn = e.subject.conn
        if conn is None or conn.state == CLOSED:
            return False
        may_write = not e.closed and (e.written == len(e.data) or conn.send_room() > 0)
        return conn.recv_pending() > 0 or (may_write and conn.state != SYN_SENT)

    def _pump_all(self) -> None:
        for i in (0, 1):
            self._pump(i)

    def _pump(self, i: int) -> None:
        f, count = self._frame, 0
        while self.ends[i].subject.poll_transmit(f, self.now):
            count += 1
            assert count < 20_000, "poll_transmit without end"
            payload = bytes(memoryview(f.payload)[f.payload_off : f.payload_off + f.payload_len])
            header = bytes(f.header[L4_OFF : f.header_end])
            sent = codec.decode(self.now, header, payload, f.gso_size)
            self.digest = zlib.crc32(header + payload, self.digest)
            rel = (sent.seq - self.iss[i]) & MASK
            self.log.append(
                f"{self.now / SECOND:10.4f} {'ab'[i]} {codec.flag_text(sent.flags)} seq={rel} "
                f"ack={(sent.ack - self.iss[1 - i]) & MASK} wnd={sent.wnd} len={len(payload)}"
                f"{' gso ' + str(f.gso_size) if f.gso_size else ''}{sent.option_text()}"
            )
            for piece in self._cut(sent):
                self._put(1 - i, piece)

    def _cut(self, s: Sent) -> list[Sent]:
        if not s.gso_size or self.path.merged:
            return [s]
        pieces = []
        for at in range(0, len(s.data), s.gso_size):
            last = at + s.gso_size >= len(s.data)
            pieces.append(
                replace(
                    s,
                    seq=(s.seq + at) & MASK,
                    data=s.data[at : at + s.gso_size],
                    flags=s.flags if last else s.flags & ~(FIN | PSH),
                )
            )
        return pieces

    def _put(self, to: int, s: Sent) -> None:
        p, rng = self.path, self.rng
        self.sent += 1
        if rng.randrange(1000) < p.loss:
            self.log.append("           lost")
            return
        copies = 2 if rng.randrange(1000) < p.duplicate else 1
        for _ in range(copies):
            at = self.now + p.delay_us + (rng.randrange(p.jitter_us) if p.jitter_us else 0)
            if rng.randrange(1000) < p.reorder:
                at += rng.randrange(4 * p.delay_us + 1)
            self._order += 1
            heapq.heappush(self._heap, (at, self._order, to, s))

    def _deliver(self, to: int, s: Sent) -> None:
        if self.ends[to].subject.state == CLOSED:
            # the Host resets what belongs to no connection (RFC 9293 §3.5.2): it ends a LAST-ACK whose ACK was lost
            if not s.flags & RST:
                self._put(1 - to, Sent(self.now, s.dst_port, s.src_port, s.ack, 0, RST, 0, 0, b""))
            return
        seg, pool = self._segment, self._pool
        pool[: len(s.data)] = s.data
        seg.seq, seg.ack, seg.flags, seg.wnd, seg.up = s.seq, s.ack, s.flags, s.wnd, s.up
        seg.has_ts = s.ts is not None
        seg.tsval, seg.tsecr = s.ts or (0, 0)
        seg.options = s.option_bytes if s.sack or s.flags & SYN else b""
        seg.pool, seg.off, seg.length = pool, 0, len(s.data)
        if self.ends[to].subject.on_segment(seg, self.now):
            self._pump(to)
