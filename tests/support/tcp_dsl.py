"""The segment DSL: a scripted peer, a clock that jumps, and one TCP endpoint under test.

    def test_three_way_handshake(tcp):
        t = tcp()
        t.listen()
        t.peer.sends(SYN, seq=0, mss=1460)
        t.peer.expects(SYN | ACK, seq=0, ack=1, mss=1460)
        t.peer.sends(ACK)
        assert t.state == ESTABLISHED

Theory of operation.  All numbers of a script are relative: `seq` and `ack` count from the SYN (0) of the side they
belong to, window fields are as in the header.  Left out, `seq` and `ack` continue where the peer stands.  Every
segment that the product sends is decoded by `tcp_codec`, checked by `WireRules`, written into the trace and put
into `peer.inbox`; `expects` takes the oldest one.  The harness does what a Host does: it polls a connection that
asked for an immediate ACK before the connection gets its next segment, and every other one at the end of a burst.
After each step `check_invariants` of the connection runs.  A failure shows the whole trace.
"""

import mmap
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from stack.config import NEVER, TcpConfig
from stack.tcp.segment import CE, Segment
from stack.tcp.state import NAMES
from stack.wire.frame import ECT, GSO_NONE, GSO_TCPV4, L4_OFF, NEEDS_CSUM, TxFrame
from tests.support import tcp_codec as codec
from tests.support.tcp_codec import ACK, CWR, ECE, FIN, PSH, RST, SYN, URG, Sent, flag_text
from tests.support.tcp_rules import MASK, WireRules, signed
from tests.support.tcp_subject import LOCAL_PORT, REMOTE_PORT, Subject

MS, SECOND, MINUTE, HOUR = 1_000, 1_000_000, 60_000_000, 3_600_000_000

__all__ = [
    "ACK",
    "CE",
    "CWR",
    "ECE",
    "FIN",
    "HOUR",
    "MINUTE",
    "MS",
    "PSH",
    "RST",
    "SECOND",
    "SYN",
    "URG",
    "Peer",
    "Scenario",
    "pattern",
    "signed_seq",
]


_POOL = mmap.mmap(-1, 1 << 17)  # where received payloads lie, as in a burst; shared by all scenarios
_PATTERN = bytes((i * 7 + (i >> 8) * 13 + 1) & 0xFF for i in range(1 << 16))


def pattern(n: int, start: int = 0) -> bytes:
    """`n` bytes whose value depends on their position, so that misplaced data shows."""
    first = start % len(_PATTERN)
    repeats = (first + n) // len(_PATTERN) + 1
    return (_PATTERN * repeats)[first : first + n]


def signed_seq(t: "Scenario", s: Sent) -> int:
    """Sequence number of a segment of the product, relative to its SYN."""
    return signed(s.seq - t.iss)


class Clock:
    """Virtual time in microseconds; moving it fires the timers of the scenario on the way."""

    def __init__(self, scenario: "Scenario", now: int) -> None:
        self._scenario = scenario
        self.now = now

    def advance(self, *, us: int = 0, ms: float = 0, s: float = 0) -> None:
        """Move on, running every timer that is due on the way at its own time."""
        end = self.now + us + round(ms * MS) + round(s * SECOND)
        rounds = 0
        while (due := self._scenario.deadline) <= end:
            rounds += 1
            self._scenario.must(rounds < 100_000, "the timer fires without end")
            self.now = max(self.now, due)
            self._scenario.fire()
        self.now = end

    def jump(self) -> int:
        """Move to the next deadline and run it; the microseconds it took."""
        due = self._scenario.deadline
        self._scenario.must(due < NEVER, "no timer is running")
        before = self.now
        self.now = max(self.now, due)
        self._scenario.fire()
        return self.now - before


class Peer:
    """The scripted other end."""

    def __init__(self, scenario: "Scenario", irs: int, ts_base: int) -> None:
        self._t = scenario
        self.irs = irs
        self.nxt = 0  # the next number this peer sends
        self.acked = 0  # everything below arrived, in order, from the product
        self.wnd = 65_535
        self.inbox: deque[Sent] = deque()
        self.ts_on = False
        self.ts_base = ts_base
        self.ts_recent = 0  # the last TSval seen from the product
        self._islands: list[tuple[int, int]] = []

    @property
    def tsval(self) -> int:
        """This peer's timestamp clock: one tick a millisecond."""
        return (self.ts_base + self._t.clock.now // MS) & MASK

    def sends(
        self,
        flags: int,
        *,
        seq: int | None = None,
        ack: int | None = None,
        data: bytes = b"",
        wnd: int | None = None,
        up: int = 0,
        mss: int | None = None,
        wscale: int | None = None,
        sack_ok: bool = False,
        ts: tuple[int, int] | bool | None = None,
        sack: list[tuple[int, int]] | None = None,
        raw_options: bytes | None = None,
    ) -> None:
        """Deliver one segment.  `ts` True: this peer's clock, False: none though negotiated, or (tsval, tsecr)."""
        t = self._t
        seq = self.nxt if seq is None else seq
        ack = self.acked if ack is None else ack
        wnd = self.wnd if wnd is None else wnd
        if ts is True or (ts is None and self.ts_on and not flags & RST):
            ts = (self.tsval, self.ts_recent)
        if ts is False:
            ts = None
        plain = mss is None and wscale is None and not sack_ok and not sack
        sack_wire = [((a + t.iss) & MASK, (b + t.iss) & MASK) for a, b in sack or ()]
        raw = codec.encode_options(mss=mss, wscale=wscale, sack_ok=sack_ok, ts=ts, sack=sack_wire)
        options = b"" if plain else raw
        if raw_options is not None:
            options = raw_options
        length = len(data) + bool(flags & SYN) + bool(flags & FIN)
        t.note(
            "<",
            flags,
            seq,
            ack,
            wnd,
            len(data),
            codec.Sent(
                0, 0, 0, 0, 0, 0, 0, 0, b"", mss=mss, wscale=wscale, sack_ok=sack_ok, ts=ts, sack=list(sack or ())
            ).option_text()
            + (f" raw {raw_options.hex()}" if raw_options else ""),
        )
        t.rules.on_peer(seq, ack, flags, wnd, length, {"mss": mss, "wscale": wscale, "sack_ok": sack_ok, "ts": ts})
        if flags & SYN and ts is not None:
            self.ts_on = True
        if seq <= self.nxt < seq + length:
            self.nxt = seq + length
        t.deliver(
            seq=(seq + self.irs) & MASK,
            ack=(ack + t.iss) & MASK if flags & ACK else ack & MASK,
            flags=flags,
            wnd=wnd,
            up=up,
            ts=ts,
            options=options,
            data=data,
        )

    def took(self, s: Sent) -> None:
        """The product sent `s`: remember what arrived in order."""
        if s.flags & RST:
            return
        if s.ts is not None:
            self.ts_recent = s.ts[0]
        seq = signed(s.seq - self._t.iss)
        self._islands.append((seq, seq + s.length))
        self._islands.sort()
        while self._islands and self._islands[0][0] <= self.acked:
            self.acked = max(self.acked, self._islands.pop(0)[1])

    # -- expectations ---------------------------------------------------------------------------------------

    def expects(
        self,
        flags: int,
        *,
        seq: int | None = None,
        ack: int | None = None,
        length: int | None = None,
        data: bytes | None = None,
        wnd: int | None = None,
        mss: int | None = None,
        wscale: int | None = None,
        sack_ok: bool | None = None,
        sack: list[tuple[int, int]] | None = None,
        tsecr: int | None = None,
        up: int | None = None,
    ) -> Sent:
        """The oldest segment not yet looked at must be this one.  PSH counts only if asked for.

        Without `length` or `data` it must carry no payload; -1 takes any length.
        """
        t = self._t
        want = f"expected {flag_text(flags)} seq={seq} ack={ack} length={length if data is None else len(data)}"
        t.must(bool(self.inbox), f"{want}: nothing was sent")
        s = self.inbox.popleft()
        ignored = 0 if flags & PSH else PSH
        got_seq, got_ack = signed(s.seq - t.iss), signed(s.ack - self.irs)
        if data is not None:
            length = len(data)
        checks: list[tuple[str, object, object]] = [("flags", flag_text(s.flags & ~ignored), flag_text(flags))]
        if length != -1:
            checks.append(("length", len(s.data), length or 0))
        if s.flags & RST and not s.flags & ACK:
            got_ack = s.ack
        for name, got, wanted in (
            ("seq", got_seq, seq),
            ("ack", got_ack, ack),
            ("wnd", s.wnd, wnd),
            ("mss", s.mss, mss),
            ("wscale", s.wscale, wscale),
            ("sack_ok", s.sack_ok, sack_ok),
            ("data", s.data, data),
            ("up", s.up, up),
            ("tsecr", s.ts and s.ts[1], tsecr),
            ("sack", [(signed(a - self.irs), signed(b - self.irs)) for a, b in s.sack], sack),
        ):
            if wanted is not None:
                checks.append((name, got, wanted))
        wrong = [f"{name} is {got!r}, not {wanted!r}" for name, got, wanted in checks if got != wanted]
        t.must(not wrong, f"{want}: " + "; ".join(wrong))
        return s

    def expects_nothing(self) -> None:
        """Nothing more was sent."""
        self._t.must(not self.inbox, f"expected nothing, but {len(self.inbox)} segment(s) were sent")

    def expects_data(self, start: int, end: int) -> list[Sent]:
        """The whole inbox is data that covers exactly [start, end), in order and without overlap."""
        t, got, at = self._t, self.drain(), start
        for s in got:
            seq = signed(s.seq - t.iss)
            t.must(bool(s.data) and seq == at, f"expected data from {at}, got {len(s.data)} bytes at {seq}")
            at += len(s.data)
        t.must(at == end, f"expected data {start}..{end}, it ended at {at}")
        return got

    def drain(self) -> list[Sent]:
        """Everything sent and not yet looked at."""
        got = list(self.inbox)
        self.inbox.clear()
        return got

    def seqs(self) -> list[tuple[int, int]]:
        """`drain` as (relative seq, payload length)."""
        return [(signed(s.seq - self._t.iss), len(s.data)) for s in self.drain()]


class Scenario:
    """One endpoint under test, its application and its peer."""

    def __init__(
        self,
        *,
        iss: int = 1000,
        irs: int = 5000,
        ts_base: int = 7,
        now: int = 10 * SECOND,
        config: TcpConfig | None = None,
        mss: int = 1460,
        max_gso: int = 0,
        **settings: object,
    ) -> None:
        self.iss = iss
        # a script says what goes out at which instant; those that are about pacing switch it on
        self.config = replace(config or TcpConfig(pacing="off"), **settings)  # type: ignore[arg-type]
        self.mss = mss
        self.clock = Clock(self, now)
        self.rules = WireRules(iss, irs, mss, max_gso)
        self.peer = Peer(self, irs, ts_base)
        self.lines: list[str] = []
        self.subject = Subject(self.config, iss=iss, ts_offset=(ts_base * 3) & MASK, mss=mss, max_gso=max_gso)
        self.received = bytearray()
        self._frame = TxFrame()
        self._segment = Segment()
        self._burst: bool = False
        self._pending = False

    # -- opening --------------------------------------------------------------------------------------------

    def open(self) -> "Scenario":
        """Active OPEN."""
        self.lines.append("    # application: connect")
        self.subject.open(self.clock.now)
        self.pump()
        return self

    def listen(self, backlog: int = 16) -> "Scenario":
        """Passive OPEN."""
        self.lines.append("    # application: listen")
        self.subject.listen(backlog, self.clock.now)
        return self

    def established(
        self,
        *,
        passive: bool = False,
        mss: int | None = 1460,
        wscale: int | None = None,
        sack: bool = False,
        ts: bool = False,
        wnd: int = 65_535,
    ) -> "Scenario":
        """Handshake, by segments; `wnd` is the peer's window in bytes afterwards."""
        p = self.peer
        field = min(wnd, 65_535) if wscale is None else min(-(-wnd >> wscale), 65_535)
        p.wnd = field
        syn_wnd = min(wnd, 65_535)
        if passive:
            self.listen()
            p.sends(SYN, seq=0, mss=mss, wscale=wscale, sack_ok=sack, ts=True if ts else None, wnd=syn_wnd)
            p.expects(SYN | ACK, seq=0, ack=1)
            p.sends(ACK)
        else:
            self.open()
            p.expects(SYN, seq=0)
            p.sends(SYN | ACK, seq=0, mss=mss, wscale=wscale, sack_ok=sack, ts=True if ts else None, wnd=syn_wnd)
            p.expects(ACK, seq=1, ack=1)
            if field != syn_wnd:
                p.sends(ACK)
        p.expects_nothing()
        self.must(self.state == NAMES.index("ESTABLISHED"), "the handshake did not reach ESTABLISHED")
        return self

    # -- the application ------------------------------------------------------------------------------------

    def send(self, data: bytes | int) -> None:
        """Write bytes (or that many of `pattern`, continuing the stream)."""
        if isinstance(data, int):
            data = pattern(data, len(self.rules.written))
        self.lines.append(f"    # application: send {len(data)}")
        self.rules.written += data
        self.conn.send(data, self.clock.now)
        self.pump()

    def send_urgent(self, data: bytes) -> None:
        """Write bytes with the urgent mark after the last one."""
        self.lines.append(f"    # application: send urgent {len(data)}")
        self.rules.written += data
        self.conn.send_urgent(data, self.clock.now)
        self.pump()

    def recv(self, limit: int = 1 << 30) -> bytes:
        """Read what is there, then let the connection answer (window updates)."""
        data = bytes(self.conn.recv(limit))
        self.received += data
        self.lines.append(f"    # application: read {len(data)}")
        self.pump()
        return data

    def close(self) -> None:
        """CLOSE."""
        self.lines.append("    # application: close")
        self.conn.close(self.clock.now)
        self.pump()

    def abort(self) -> None:
        """ABORT."""
        self.lines.append("    # application: abort")
        self.conn.abort(self.clock.now)
        self.pump()

    def icmp(self, kind: int, code: int, *, mtu: int = 0, seq: int) -> None:
        """An ICMP error that quotes a segment of ours with sequence number `seq` (relative)."""
        self.lines.append(f"    # icmp error type {kind} code {code} mtu {mtu} quotes seq {seq}")
        self.subject.icmp(kind, code, mtu, (seq + self.iss) & MASK, self.clock.now)
        self.pump()

    def detach(self) -> None:
        """The application closes and goes away: nobody will read any more."""
        self.lines.append("    # application: close and leave")
        self.subject.detach(self.clock.now)
        self.pump()

    def reincarnate(self, iss_of_peer_offset: int) -> None:
        """From here on the peer speaks for a new connection of the same pair of addresses and ports, whose initial
        number lies this far from its last one; relative numbers count from the new ones."""
        self.iss = self.subject.iss = (self.iss + 1_000_003) & MASK
        self.peer = Peer(self, (self.peer.irs + self.peer.nxt + iss_of_peer_offset) & MASK, self.peer.ts_base)
        self.rules = WireRules(self.iss, self.peer.irs, self.mss, self.rules.max_gso)

    # -- looking --------------------------------------------------------------------------------------------

    @property
    def conn(self):
        """The connection under test."""
        self.must(self.subject.conn is not None, "there is no connection")
        return self.subject.conn

    @property
    def state(self) -> int:
        """State of the endpoint (TIME_WAIT also when only a compact record is left)."""
        return self.subject.state

    @property
    def deadline(self) -> int:
        """Earliest timer."""
        return self.subject.deadline

    @property
    def info(self):
        """tcp_info()."""
        return self.conn.tcp_info()

    def events(self) -> int:
        """Event bits since the last call."""
        return int(self.conn.take_events())

    def until_sent(self, limit_us: int = 10 * MINUTE) -> int:
        """Jump from timer to timer until something is sent; the microseconds it took."""
        start = self.clock.now
        while not self.peer.inbox:
            self.must(self.deadline <= start + limit_us, f"nothing was sent within {limit_us} us")
            self.clock.jump()
        return self.clock.now - start

    def run(self, step: Callable[[], object], limit_us: int = HOUR) -> None:
        """Jump from timer to timer until `step()` is true."""
        start = self.clock.now
        while not step():
            self.must(self.deadline <= start + limit_us, f"it did not happen within {limit_us} us")
            self.clock.jump()

    def must(self, condition: bool, why: str) -> None:
        """Fail with the trace."""
        if not condition:
            raise AssertionError(
                f"{why}\n\n" + "\n".join(self.lines[-200:]) + f"\n    state {NAMES[self.state]}"
                if hasattr(self, "subject")
                else why
            )

    # -- the Host's part ------------------------------------------------------------------------------------

    @contextmanager
    def burst(self) -> Iterator[None]:
        """Segments sent inside arrive in one burst: only urgent ACKs go out between them."""
        self._burst = True
        yield
        self._burst = False
        self.pump()

    def deliver(
        self,
        *,
        seq: int,
        ack: int,
        flags: int,
        wnd: int,
        up: int,
        ts: tuple[int, int] | None,
        options: bytes,
        data: bytes,
    ) -> None:
        """Hand one segment to the endpoint (numbers as on the wire), in a pool that changes right afterwards."""
        seg, off = self._segment, 61
        _POOL[off : off + len(data)] = data
        seg.seq, seg.ack, seg.flags, seg.wnd, seg.up = seq, ack, flags, wnd, up
        seg.has_ts = ts is not None
        seg.tsval, seg.tsecr = (ts[0] & MASK, ts[1] & MASK) if ts else (0, 0)
        seg.options = options
        seg.pool, seg.off, seg.length = _POOL, off, len(data)
        urgent = self.subject.on_segment(seg, self.clock.now)
        _POOL[off : off + len(data)] = b"\xee" * len(data)
        seg.seq = seg.ack = seg.tsval = seg.tsecr = 0xDEADBEEF
        seg.flags, seg.length, seg.off, seg.options = 0xFF, 1 << 20, 1 << 20, b"\xff\xff"
        if urgent or not self._burst:
            self.pump()
        self.check()

    def fire(self) -> None:
        """Run the timers that are due."""
        self.lines.append(f"{self.clock.now / SECOND:11.6f} * timer")
        self.subject.on_timer(self.clock.now)
        self.pump()

    def pump(self) -> None:
        """Take everything the endpoint wants to send now."""
        frame, count = self._frame, 0
        while self.subject.poll_transmit(frame, self.clock.now):
            count += 1
            self.must(count < 100_000, "poll_transmit gives segments without end")
            self._on_frame(frame)
        self.check()

    def _on_frame(self, f: TxFrame) -> None:
        payload = bytes(memoryview(f.payload)[f.payload_off : f.payload_off + f.payload_len])
        try:
            assert len(payload) == f.payload_len, "payload_len beyond the payload buffer"
            assert f.flags & NEEDS_CSUM, "the checksum must be asked for"
            assert f.csum_offset == 16, f"csum_offset {f.csum_offset}"
            assert f.gso_type in {GSO_NONE, GSO_TCPV4}, f"gso_type {f.gso_type}"
            assert (f.gso_type == GSO_NONE) == (f.gso_size == 0), f"gso_type {f.gso_type} with size {f.gso_size}"
            s = codec.decode(self.clock.now, bytes(f.header[L4_OFF : f.header_end]), payload, f.gso_size)
            s.note = f.note
            s.ect = bool(f.flags & ECT)
            self.note(
                ">",
                s.flags,
                signed(s.seq - self.iss),
                signed(s.ack - self.peer.irs),
                s.wnd,
                len(s.data),
                s.option_text() + (f" gso {s.gso_size}" if s.gso_size else "") + " ect" * s.ect,
            )
            assert (s.src_port, s.dst_port) == (LOCAL_PORT, REMOTE_PORT), "wrong ports"
            self.rules.check(s)
        except AssertionError as e:
            self.must(False, str(e))
        self.peer.took(s)
        self.peer.inbox.append(s)

    def check(self) -> None:
        """The connection's own invariants, and T-timers of the checklist's property 4."""
        try:
            self.subject.check_invariants()
        except AssertionError as e:
            self.must(False, f"check_invariants: {e!r}")

    def note(self, arrow: str, flags: int, seq: int, ack: int, wnd: int, length: int, extra: str) -> None:
        """One line of the trace."""
        self.lines.append(
            f"{self.clock.now / SECOND:11.6f} {arrow} {flag_text(flags):<12} seq={seq} ack={ack} "
            f"wnd={wnd} len={length}{extra}"
        )
