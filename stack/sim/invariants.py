"""What must hold after every event of a simulation, and for every segment that a host sends.

Theory of operation.  A CheckedHost is a Host that is asked more: besides its own `check_invariants` each connection is
compared with what it was when last looked at (numbers only move forward, timers back off, a window is not overrun), and
each TCP segment it sends passes the Watch on its way to the link.

The Watch is common to all hosts of a network, so it knows what both ends of a connection have sent: the options of the
SYNs, the highest numbers, every right edge offered.  What a host sends must be well formed and agree with that: no
ACK or SACK block of what the peer never sent, no data beyond what the peer ever offered, timestamps on all segments or
on none.  And what a Sender takes for the peer's window must be an edge that the peer did offer.

All of this happens after every event; long scoreboards and queues are gone through at intervals that keep its price
bounded.  Violations are AssertionErrors.  These are the properties 2 to 4 of the cross-cutting list of requirements;
1 and 5 are checked by `flows` and by `runner` when it drains a network.
"""

from collections.abc import Callable
from struct import Struct
from typing import Final

from stack.config import NEVER, HostConfig, Rng
from stack.host.host import Host
from stack.tcp import recovery as rec
from stack.tcp.connection import Connection
from stack.tcp.scoreboard import LOST, Scoreboard
from stack.tcp.segment import ACK, FIN, RST, SYN
from stack.tcp.state import CLOSE_WAIT, ESTABLISHED, FIN_WAIT_1, LAST_ACK, NAMES, TIME_WAIT
from stack.tcp.timers import DELAYED_ACK, PACING, PERSIST, RETRANSMIT
from stack.trace import Trace
from stack.wire.frame import ETH_HLEN, TxFrame
from stack.wire.seq import HALF, MASK
from stack.wire.sink import FrameSink
from stack.wire.tcp import DEFAULT_MSS, HEADER, HEADER_LEN, MAX_WSCALE, MIN_MSS, TS_PREFIX

EDGES_KEPT: Final = 4096  # of those that a side has offered
SIDES_KEPT: Final = 8192  # two for each connection; of those that began first nothing more is known
TABLES_EVERY: Final = 64  # events of a host, between two looks at its tables as a whole
SHORT: Final = 48  # records: longer lists are gone through less often, so that an event has a bounded price
SLACK_SEGS: Final = 3  # in flight beyond cwnd: limited transmit (RFC 3042) and rounding to whole segments
LOSS_BASED: Final = ("cubic", "newreno", "reno", "tahoe")  # those that answer every loss with a smaller window

_IP: Final = Struct("!HHHBBHII")  # behind version and TOS: length, ident, fragment, TTL, protocol, checksum, addresses
_PROTO_TCP: Final = 6
_RESERVED: Final = 0x0F00
_OPTION_LENGTHS: Final = {2: 4, 3: 3, 4: 2, 8: 10}

_NOTHING: Final = (-1, False, False)  # neither scale nor SACK nor timestamps

Key = tuple[int, int, int, int]  # addresses and ports, from the side's point of view


def _before(a: int, b: int) -> bool:
    """A < b modulo 2^32."""
    return 0 < (b - a) & MASK < HALF


def _is_all_in(board: Scoreboard, probe: tuple[int, int] | None) -> bool:
    """Whether what is marked lost, and perhaps was cut and sent again by now, lies in the probe."""
    if probe is None:
        return False
    begin, end = probe
    size = (end - begin) & MASK
    lost = [r for r in board.records[board.head :] if r.mark & LOST]
    return bool(lost) and all((r.seq - begin) & MASK < size and (r.end - begin) & MASK <= size for r in lost)


def _keep(edges: dict[int, None], edge: int) -> None:
    """Remember an edge, and forget the one that was not seen for longest."""
    edges.pop(edge, None)
    edges[edge] = None
    if len(edges) > EDGES_KEPT:
        del edges[next(iter(edges))]


class Side:
    """What one end of a connection has said on the wire."""

    __slots__ = (
        "count",
        "doubtful",
        "edge",
        "edges",
        "fin_end",
        "iss",
        "last_ack",
        "mss",
        "rights",
        "sack",
        "snd_max",
        "ts",
        "wscale",
    )

    def __init__(self) -> None:
        self.count = 0  # of segments
        self.doubtful = False  # there were SYN-ACKs with different numbers
        self.iss = -1  # none sent yet
        self.snd_max = 0
        self.fin_end = -1  # one past the FIN
        self.last_ack = -1
        self.edge = -1  # farthest right edge offered
        self.edges: dict[int, None] = {}  # those offered of late, in order
        self.rights: dict[int, None] = {}  # right edges of SACK blocks, likewise
        self.mss = 0
        self.wscale = -1
        self.sack = False
        self.ts = False

    def offer(self, edge: int) -> None:
        """A window was offered."""
        _keep(self.edges, edge)


class Options:
    """The options of a segment, read strictly.  Raises AssertionError for what is malformed."""

    __slots__ = ("mss", "sack", "sack_ok", "ts", "wscale")

    def __init__(self, data: bytes) -> None:
        self.mss = 0
        self.wscale = -1
        self.sack_ok = self.ts = False
        self.sack: list[tuple[int, int]] = []
        at = 0
        seen = 0
        while at < len(data):
            kind = data[at]
            if kind == 0:
                assert not any(data[at:]), f"RFC 9293 §3.1 (MUST-69): padding is not zero: {data.hex()}"
                return
            if kind == 1:
                at += 1
                continue
            size = data[at + 1] if at + 1 < len(data) else 0
            assert 2 <= size <= len(data) - at, f"option {kind} of length {size}: {data.hex()}"
            assert size == _OPTION_LENGTHS.get(kind, size), f"option {kind} of length {size}: {data.hex()}"
            assert not seen >> kind & 1, f"option {kind} twice: {data.hex()}"
            seen |= 1 << kind
            self._take(kind, data[at + 2 : at + size])
            at += size

    def _take(self, kind: int, body: bytes) -> None:
        if kind == 2:
            self.mss = int.from_bytes(body, "big")
        elif kind == 3:
            self.wscale = body[0]
            assert self.wscale <= MAX_WSCALE, "RFC 7323 §2.3: a shift above 14"
        elif kind == 4:
            self.sack_ok = True
        elif kind == 8:
            self.ts = True
        elif kind == 5:
            assert len(body) in {8, 16, 24, 32}, f"SACK option of {len(body) + 2} bytes"
            words = [int.from_bytes(body[i : i + 4], "big") for i in range(0, len(body), 4)]
            self.sack = list(zip(words[::2], words[1::2], strict=True))


class Watch:
    """The segments of all checked hosts of a network; `now` reads its clock."""

    __slots__ = ("_sides", "now", "segments")

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.segments = 0
        self._sides: dict[Key, Side] = {}

    def peer_of(self, conn: Connection) -> Side | None:
        """What the peer of a connection has said."""
        return self._sides.get((conn.remote_addr, conn.remote_port, conn.local_addr, conn.local_port))

    def sent_by(self, conn: Connection) -> int:
        """How many segments a connection has sent."""
        side = self._sides.get((conn.local_addr, conn.local_port, conn.remote_addr, conn.remote_port))
        return 0 if side is None else side.count

    def _begin(self, key: Key) -> Side:
        """A side begins, perhaps on ports that were used before.  When there are too many, the connection that began
        first is forgotten: both sides, so that what is left is never compared with half of it.
        """
        self._sides.pop(key, None)  # it is the youngest now
        side = self._sides[key] = Side()
        if len(self._sides) > SIDES_KEPT:
            oldest = next(iter(self._sides))
            del self._sides[oldest]
            self._sides.pop((oldest[2], oldest[3], oldest[0], oldest[1]), None)
        return side

    def on_frame(self, host: "CheckedHost", frame: TxFrame) -> None:
        """A host hands a frame to an interface."""
        header, start = frame.header, frame.start
        finished = frame.flags == 0  # before: it waited for ARP, and is header and payload in any proportion
        if finished:
            rest = frame.payload[frame.payload_off : frame.payload_off + frame.payload_len]
            header, start = frame.header[start : frame.header_end] + rest, 0
        if header[start + 12 : start + 14] != b"\x08\x00" or header[start + 14] != 0x45:
            return
        ip = start + ETH_HLEN
        total, _, fragment, _, proto, _, src, dst = _IP.unpack_from(header, ip + 2)
        if proto != _PROTO_TCP or fragment & 0x3FFF or not host.ip.is_local(src):
            return
        at = ip + 20
        sport, dport, seq, ack, bits, wnd, _, up = HEADER.unpack_from(header, at)
        hlen = (bits >> 12) * 4
        nbytes = total - 20 - hlen if finished else frame.payload_len
        if not finished:
            assert frame.header_end - at == hlen, f"data offset {hlen} for {frame.header_end - at} bytes of header"
        assert not bits & _RESERVED, "RFC 9293 §3.1: reserved bits are set"
        flags = bits & 0xFF
        self.segments += 1
        key = (src, sport, dst, dport)
        if flags & RST:
            assert not nbytes, "a RST with data"
            return
        assert flags & (ACK | SYN), "RFC 9293 §3.10: neither ACK nor SYN nor RST"
        assert up == 0 or flags & 0x20, "RFC 9293 §3.1: an urgent pointer without URG"
        plain = hlen == HEADER_LEN
        if plain or (hlen == 32 and int.from_bytes(header[at + 20 : at + 24], "big") == TS_PREFIX):
            options = None
        else:
            options = Options(bytes(header[at + 20 : at + hlen]))
        self._check(host, key, (seq, ack, flags, wnd), nbytes, options, plain, frame.gso_size, hlen)

    def _check(
        self,
        host: "CheckedHost",
        key: Key,
        numbers: tuple[int, int, int, int],
        nbytes: int,
        options: Options | None,
        plain: bool,
        gso_size: int,
        hlen: int,
    ) -> None:
        seq, ack, flags, wnd = numbers
        us = self._sides.get(key)
        other = (key[2], key[3], key[0], key[1])
        if us is None or (flags & SYN and seq != us.iss):
            if not flags & SYN:
                return  # an answer to a stray, of no connection
            before = self._sides.get(other)
            if not flags & ACK:
                if before is None or before.last_ack >= 0:  # else it has sent a SYN, too: they cross
                    self._begin(other)
            elif us is not None and us.iss >= 0:
                # a second number: an old duplicate of a SYN is answered, or one that a cookie has answered before.
                # Nobody on the wire knows which of them counts
                us.doubtful = True
                if before is not None:
                    before.doubtful = True
            if us is None or not us.doubtful or not flags & ACK:
                us = self._begin(key)
                us.iss = us.snd_max = seq
        us.count += 1
        if us.iss < 0 or us.doubtful:
            return
        peer = self._sides.setdefault(other, Side())
        if flags & ACK:
            self._check_ack(us, peer, ack, flags, wnd)
        if flags & SYN:
            self._take_syn(us, peer, flags, options)
        else:
            self._check_options(host, us, peer, key, ack, options, plain)
            size = gso_size or nbytes
            room = max(peer.mss or DEFAULT_MSS, MIN_MSS) - (hlen - HEADER_LEN)
            assert size <= max(room, 1), f"RFC 9293 §3.7.1 (MUST-16): {size} bytes, the peer takes {room}"
        end = (seq + nbytes + bool(flags & SYN) + bool(flags & FIN)) & MASK
        assert not _before(us.snd_max, seq), f"seq {seq} leaves a hole behind {us.snd_max}"
        if end != seq and not flags & SYN:
            spare = 1 if nbytes <= 1 else 0  # a window probe
            over = (end - peer.edge) & MASK
            assert over >= HALF or over <= spare, f"sends up to {end}, {over} bytes past the window {peer.edge}"
        if _before(us.snd_max, end):
            us.snd_max = end
        if flags & FIN:
            us.fin_end = end

    @staticmethod
    def _check_ack(us: Side, peer: Side, ack: int, flags: int, wnd: int) -> None:
        if peer.iss < 0:
            return  # an old duplicate is answered: there is no such connection
        assert not _before(peer.snd_max, ack), f"ACK {ack} of what was never sent (only up to {peer.snd_max})"
        if us.last_ack >= 0:
            assert not _before(ack, us.last_ack), f"the ACK goes back from {us.last_ack} to {ack}"
        us.last_ack = ack
        scale = us.wscale if us.wscale >= 0 and peer.wscale >= 0 and not flags & SYN else 0
        edge = (ack + (wnd << scale)) & MASK
        us.offer(edge)
        if us.edge >= 0 and _before(edge, us.edge):
            # RFC 7323 §2.4: rounding takes back less than one unit of the field.  The FIN may take the number past a
            # closed window, and after it no window matters.
            # The field of a SYN that is sent again has no scale.
            fair = (us.edge - edge) & MASK < 1 << scale or ack == peer.fin_end or flags & SYN
            assert fair, f"RFC 9293 §3.8.6 (MUST-34): the right edge goes back from {us.edge} to {edge}"
        else:
            us.edge = edge

    @staticmethod
    def _take_syn(us: Side, peer: Side, flags: int, options: Options | None) -> None:
        assert options is not None, "a SYN without MSS"
        assert not options.sack, "SACK blocks on a SYN"
        assert not flags & FIN, "SYN and FIN together"
        if flags & ACK:
            assert options.wscale < 0 or peer.wscale >= 0, "RFC 7323 §2.2: window scale was not offered"
            assert not options.ts or peer.ts, "RFC 7323 §3.2: timestamps were not offered"
            assert not options.sack_ok or peer.sack, "RFC 2018 §2: SACK was not offered"
        told = (options.wscale, options.sack_ok, options.ts)
        was = (us.wscale, us.sack, us.ts)
        # where SYNs cross, the SYN-ACK repeats a SYN, but for what the peer has not offered
        fewer = flags & ACK and all(new in {old, off} for new, old, off in zip(told, was, _NOTHING, strict=True))
        assert us.mss == 0 or told == was or fewer, "a SYN is sent again with other options"
        us.mss = max(us.mss, options.mss)  # less is announced when the MTU of a link fell: who knows which one arrived
        us.wscale, us.sack, us.ts = told

    @staticmethod
    def _check_options(
        host: "CheckedHost", us: Side, peer: Side, key: Key, ack: int, options: Options | None, plain: bool
    ) -> None:
        both = us.ts and peer.ts
        has_ts = not plain if options is None else options.ts
        assert has_ts == both, "RFC 7323 §3.2: timestamps on all segments or on none"
        if options is None:
            return
        assert not options.mss, "RFC 9293 §3.7.1 (MUST-65): MSS without SYN"
        assert options.wscale < 0, "RFC 7323 §2.2: window scale without SYN"
        assert not options.sack_ok, "RFC 2018 §2: SACK-permitted without SYN"
        if not options.sack:
            return
        assert us.sack == peer.sack is True, "RFC 2018 §2: SACK blocks without SACK-permitted"
        for index, (left, right) in enumerate(options.sack):
            assert _before(left, right), f"SACK block {left}:{right} is empty"
            _keep(us.rights, right)
            assert not _before(peer.snd_max, right), f"SACK block {left}:{right} was never sent"
            if index or _before(ack, left):
                assert _before(ack, left), f"RFC 2018 §4: SACK block {left}:{right} is not above the ACK {ack}"
                assert host.holds(key, left, right), f"SACK block {left}:{right} has not arrived"


class _WatchedSink(FrameSink):
    """An interface that shows what passes to the Watch."""

    __slots__ = ("_host", "_sink")

    def __init__(self, host: "CheckedHost", sink: FrameSink) -> None:
        self._host = host
        self._sink = sink
        self.caps = sink.caps

    def send(self, frame: TxFrame) -> bool:
        """Look, and pass it on."""
        self._host.watch.on_frame(self._host, frame)
        return self._sink.send(frame)

    def flush(self) -> int:
        """As the interface."""
        return self._sink.flush()


class History:
    """What a connection was when last looked at."""

    # fmt: off
    __slots__ = ("cwnd", "held", "high_sacked", "in_flight", "mss", "phase", "probe", "rcv_adv", "rcv_nxt", "sent",
                 "snd_max", "snd_una", "snd_wnd", "spurious", "state", "timeouts")
    # fmt: on

    def __init__(self, conn: Connection) -> None:
        snd, rcv = conn.snd, conn.rcv
        self.state = conn.state
        self.snd_una = snd.snd_una
        self.snd_max = snd.snd_max
        self.snd_wnd = -1
        self.rcv_nxt = rcv.rcv_nxt
        self.rcv_adv = rcv.rcv_adv
        self.spurious = 0
        self.timeouts = 0
        self.cwnd = 1 << 62
        self.held = self.sent = 0
        self.high_sacked = -1
        self.in_flight = 0
        self.mss = 0
        self.phase = rec.OPEN
        self.probe: tuple[int, int] | None = None  # begin and end of a probe of the path's MTU


class CheckedHost(Host):
    """A Host whose connections are compared with what they were, and whose segments pass `watch`."""

    __slots__ = ("_events", "_histories", "watch")

    def __init__(self, config: HostConfig, rng: Rng, now: int, trace: Trace | None, watch: Watch) -> None:
        super().__init__(config, rng, now, trace)
        self.watch = watch
        self._events = 0
        self._histories: dict[Connection, History] = {}

    def add_interface(self, name: str, sink: FrameSink, mac: bytes, mtu: int, now: int) -> int:
        """Attach a device, behind the Watch."""
        return super().add_interface(name, _WatchedSink(self, sink), mac, mtu, now)

    def holds(self, key: Key, left: int, right: int) -> bool:
        """The receiver of a connection has the bytes of a SACK block (it may have passed them on since)."""
        src, sport, dst, dport = key
        conn = self.tcp.flows.get(src, {}).get(dst << 32 | dport << 16 | sport)
        if conn is None:
            return True
        nxt = conn.rcv.rcv_nxt
        if not _before(nxt, right):
            return True
        return conn.rcv.ofo is not None and conn.rcv.ofo.holds(left, right)

    def check_invariants(self) -> None:
        """Raise AssertionError when a connection or a table is inconsistent, or moved where it must not."""
        self._events += 1
        if self._events % TABLES_EVERY == 0:
            super().check_invariants()
        histories = self._histories
        now = self.watch.now()
        count = 0
        for table in self.tcp.flows.values():
            for conn in table.values():
                entries = len(conn.snd.board.records) + (len(conn.rcv.ofo.pieces) if conn.rcv.ofo is not None else 0)
                if entries < SHORT or self._events % (entries // SHORT + 1) == 0:
                    conn.check_invariants()
                history = histories.get(conn)
                if history is None:
                    history = histories[conn] = History(conn)
                self._compare(conn, history, now)
                count += 1
        if len(histories) > count:
            alive = {conn for table in self.tcp.flows.values() for conn in table.values()}
            self._histories = {conn: history for conn, history in histories.items() if conn in alive}

    def _compare(self, conn: Connection, was: History, now: int) -> None:
        state = conn.state
        if state < ESTABLISHED or state == TIME_WAIT:
            return
        snd, rcv = conn.snd, conn.rcv
        if was.state >= ESTABLISHED:
            assert not _before(snd.snd_una, was.snd_una), f"SND.UNA goes back from {was.snd_una} to {snd.snd_una}"
            assert not _before(rcv.rcv_nxt, was.rcv_nxt), f"RCV.NXT goes back from {was.rcv_nxt} to {rcv.rcv_nxt}"
            if not rcv.fin_received:
                assert not _before(rcv.rcv_adv, was.rcv_adv), f"the window's edge goes back to {rcv.rcv_adv}"
            self._compare_window(conn, was)
            self._compare_gaps(conn, was)
            self._compare_flight(conn, was, now)
        else:
            was.mss = snd.eff_snd_mss  # an MTU that shrank during the handshake is noticed by the first timeout
        self._check_rest(conn)
        was.state = state
        was.snd_una, was.snd_max, was.snd_wnd = snd.snd_una, snd.snd_max, snd.snd_wnd
        was.rcv_nxt, was.rcv_adv = rcv.rcv_nxt, rcv.rcv_adv

    def _compare_window(self, conn: Connection, was: History) -> None:
        """The window that the Sender works with is one that the peer has offered, as is what it takes for SACKed."""
        snd = conn.snd
        if snd.board.sacked_bytes and snd.board.high_sacked != was.high_sacked:
            was.high_sacked = snd.board.high_sacked
            said = self.watch.peer_of(conn)
            assert said is None or said.doubtful or was.high_sacked in said.rights, (
                f"SACKed up to {was.high_sacked}: nobody said so"
            )
        if snd.snd_una == was.snd_una and snd.snd_wnd == was.snd_wnd:
            return
        peer = self.watch.peer_of(conn)
        if peer is not None and peer.edges and not peer.doubtful:
            edge = (snd.snd_una + snd.snd_wnd) & MASK
            assert edge in peer.edges, f"works with a window up to {edge}, which the peer never offered"

    def _compare_gaps(self, conn: Connection, was: History) -> None:
        """RFC 5681 §4.2: what came out of order, or filled a gap, is acknowledged at once."""
        rcv = conn.rcv
        held = rcv.ofo.size if rcv.ofo is not None else 0
        sent = self.watch.sent_by(conn)
        known = sent >= was.sent  # else the Watch has forgotten this connection, or others have its ports now
        if known and held > was.held and not conn.host_queued and rcv.rcv_nxt == was.rcv_nxt:
            assert sent > was.sent, f"{held - was.held} bytes out of order brought no duplicate ACK"
        was.held, was.sent = held, sent

    @staticmethod
    def _compare_flight(conn: Connection, was: History, now: int) -> None:
        """Congestion window, recovery and the retransmission timer."""
        snd = conn.snd
        controller, board = snd.controller, snd.board
        if controller is None:
            return
        outstanding = (snd.snd_nxt - snd.snd_una) & MASK
        pipe = outstanding - board.sacked_bytes - board.lost_bytes + board.retrans_bytes
        assert pipe >= 0, f"{pipe} bytes in the pipe"
        mss, cwnd, phase = snd.eff_snd_mss, controller.cwnd, snd.recovery.phase
        in_flight = snd.in_flight()
        if snd.snd_max != was.snd_max and phase == rec.OPEN == was.phase and not snd.probing:
            limit = max(cwnd, was.cwnd) + SLACK_SEGS * mss
            probed = (
                snd.tlp is not None and snd.tlp.end_seq >= 0
            )  # RFC 8985 §7.3: a tail loss probe goes out whatever cwnd says
            assert in_flight <= limit or probed, f"{in_flight} bytes in flight, the congestion window is {cwnd}"
        begins = phase == rec.RECOVERY and was.phase == rec.OPEN
        # RFC 3168 §6.1.2: not twice in a window, whether for a mark or a loss; RFC 4821 §7.5: nor for a lost probe
        # an ACK that undoes the episode before it gives back a window that only the reduction saw (seed 380836431091)
        undone = snd.recovery.spurious > was.spurious
        excused = undone or snd.recovery.in_cwr(snd.snd_una) or _is_all_in(board, was.probe)
        if begins and controller.name in LOSS_BASED and not excused:
            # ACKs before it in the same burst may have opened the window
            before = max(was.cwnd, was.in_flight) + ((snd.snd_una - was.snd_una) & MASK)
            assert controller.ssthresh < max(before, 3 * mss), f"a loss left ssthresh at {controller.ssthresh}"
        if snd.timeouts > was.timeouts and snd.snd_una == was.snd_una:
            if controller.name in LOSS_BASED and phase == rec.LOSS and snd.snd_wnd:
                assert cwnd <= max(mss, was.mss), f"RFC 5681 §3.1: after a timeout the congestion window is {cwnd}"
            config = conn.config
            first = min(config.rto_min_us, config.rto_initial_us)
            least = min(first << max(1, min(snd.rtt.backoff, 30)), config.rto_max_us)
            delay = snd.timers.at[RETRANSMIT] - now
            if snd.snd_wnd:
                assert delay >= least, f"RFC 6298 §5.5: timeout {snd.timeouts} is followed by one in {delay} us"
        was.cwnd, was.in_flight, was.mss, was.phase, was.timeouts = cwnd, in_flight, mss, phase, snd.timeouts
        was.spurious = snd.recovery.spurious
        probe = snd.mtu_record
        was.probe = None if probe is None else (probe.seq, probe.end)

    @staticmethod
    def _check_rest(conn: Connection) -> None:
        """Nothing is forgotten: whatever still has to happen has a timer."""
        snd, rcv, at = conn.snd, conn.rcv, conn.timers.at
        if conn.host_queued or snd.controller is None:
            return
        if rcv.unacked and not rcv.fin_received:
            assert at[DELAYED_ACK] != NEVER, f"{rcv.unacked} bytes are not acknowledged and no timer runs"
        waits = snd.unsent() > 0 or (snd.fin_queued and snd.fin_seq < 0)
        if waits and snd.snd_una == snd.snd_nxt and conn.state in {ESTABLISHED, CLOSE_WAIT, FIN_WAIT_1, LAST_ACK}:
            running = min(at[PERSIST], at[PACING])
            assert running != NEVER, f"data waits in {NAMES[conn.state]}, nothing is outstanding and no timer runs"


__all__ = ["CheckedHost", "Watch"]
