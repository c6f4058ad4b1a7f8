"""The receiving half of a connection: RCV.*, the read queue, reassembly and the ACK policy.

Theory of operation.  `on_data` is called with segments that passed the acceptability test; it trims
them to the window, puts in-order bytes on the read queue and the rest into reassembly, and answers
with ACK_NOW, ACK_LATER or 0 (the delayed-ACK timer runs).  The window offered is what the read queue
and the out-of-order queue leave free; its right edge `rcv_adv` never moves left (RFC 9293 §3.8.6,
MUST-34) and moves right only by a useful step (MUST-39).

The receive buffer (`limit`) begins small and follows what the application reads in a round trip (`tune`), up
to `ceiling`: an application that does not read, or a short path, never makes it large.  It shrinks only when the host
is short of memory, and then by what is read: edges stay.

What is held is booked with the host's Budget: `paid` bytes of the read queue are, in steps, so that a segment costs
one compare; the out-of-order queue books itself.  When memory is short, text is taken only in part or refused.
"""

from typing import Final

from mypy_extensions import mypyc_attr

from stack.config import TcpConfig
from stack.tcp.memory import ESSENTIAL, FREE_BYTES, OVERHEAD_SHIFT, QUANTUM, REPAY_FROM, UNBOOKED, Budget
from stack.tcp.reassembly import PIECE_BYTES, RUN_BYTES, Reassembly
from stack.tcp.segment import Segment
from stack.wire.seq import HALF, MASK

# What on_segment and on_data ask of the Host
ACK_NOW: Final = 1  # before this connection's next segment
ACK_LATER: Final = 2  # once, at the end of the burst
OUTPUT: Final = 4  # there may be something to send
PATH_MTU: Final = 64  # a router's report that waited is to be believed (path_size.take_report)
ADVICE: Final = 8  # R1 passed: the path deserves doubt (RFC 9293 §3.8.3, MUST-20)

REFUSED: Final = -1  # from on_next: the host has no memory for the text

JOIN_FROM: Final = 8  # unread pieces from which small ones are joined; so many are FREE_BYTES
JOIN_BYTES: Final = 2048
JOIN_UP_TO: Final = JOIN_BYTES // 2  # a larger piece pays for its object
MIN_RCV_MSS: Final = 536
PAWS_IDLE_US: Final = 24 * 24 * 3600 * 1_000_000  # RFC 7323 §5.5: 24 days
MAX_WINDOW_FIELD: Final = 0xFFFF
MIN_ROUND_US: Final = 1_000  # a tick of the timestamp clock: a round trip is not measured finer
SPARE_SEGS: Final = 16  # segments that may come besides what a round trip brought
SLACK_SHIFT: Final = 4  # rounding of the window may take it past the buffer by a sixteenth, or by its unit


@mypyc_attr(acyclic=True)
class Receiver:
    """RCV.* of RFC 9293 §3.3.1; `limit` is the receive buffer in bytes."""

    # fmt: off
    __slots__ = (
        "budget", "chunks", "config", "dsack", "ece", "echo", "ecn", "fin_received", "irs", "last_ack_sent", "limit",
        "max_mss", "ofo", "overflowed", "paid", "queued", "quick", "rcv_adv", "rcv_mss", "rcv_nxt", "rcv_up",
        "rcv_wscale", "rtt_us", "ts_recent", "ts_recent_at", "tune_at", "tune_best", "tune_from", "unacked",
    )
    # fmt: on

    def __init__(self, config: TcpConfig, budget: Budget) -> None:
        self.config = config
        self.budget = budget
        self.irs = 0
        self.rcv_nxt = 0
        self.rcv_adv = 0  # right edge of the window as last announced
        self.rcv_up = -1  # end of the urgent data, -1: none
        self.rcv_wscale = 0
        self.rcv_mss = MIN_RCV_MSS  # the largest segment seen: what "full-sized" means
        self.max_mss = config.mss_limit  # the largest segment that the peer may send
        self.limit = min(config.recv_buffer_initial, config.recv_buffer)
        if budget.used >= budget.pressure_at:
            self.limit = min(self.limit, ESSENTIAL)
        self.chunks: list[bytes] | None = None  # the read queue; None: nothing waits
        self.queued = 0
        self.paid = FREE_BYTES  # `queued` may reach this before more is booked
        self.ofo: Reassembly | None = None
        self.fin_received = False
        self.unacked = 0  # bytes received since the last ACK
        self.quick = config.quick_acks
        self.dsack: tuple[int, int] | None = None
        self.ecn = False  # RFC 3168: marks of the network are echoed
        self.ece = 0  # the flag ECE while congestion is being echoed
        self.ts_recent = 0
        self.ts_recent_at = 0
        self.last_ack_sent = 0
        self.overflowed = False  # the last segment was refused by a reassembly bound
        # autotuning: a round trip, when the present one ends, where reading stood at its begin, the most read in one
        self.echo = -1  # TSecr that came with ts_recent
        self.rtt_us = 0
        self.tune_at = 0
        self.tune_from = 0
        self.tune_best = 0

    def start(self, irs: int) -> None:
        """The peer's SYN carried sequence number `irs`."""
        self.limit = max(self.limit, 1 << self.rcv_wscale)  # a smaller window could not be told: the field would say 0
        self.irs = irs
        self.rcv_nxt = (irs + 1) & MASK
        self.rcv_adv = self.rcv_nxt
        self.last_ack_sent = self.rcv_nxt

    # -- window

    def rcv_wnd(self) -> int:
        """The window as last announced, in bytes from rcv_nxt."""
        wnd = (self.rcv_adv - self.rcv_nxt) & MASK
        return wnd if wnd < HALF else 0

    def window_field(self) -> int:
        """The value for the window field now, and `rcv_adv` moved to what it says."""
        wnd = (self.rcv_adv - self.rcv_nxt) & MASK
        if wnd >= HALF:
            wnd = 0
        # out-of-order bytes lie within the window: only the read queue reduces it
        room = self.limit - self.queued
        scale = self.rcv_wscale
        # RFC 9293 §3.8.6.2.2 (MUST-39): advance only by a segment or by half the buffer; by less than the unit of the
        # field rounding would take it back
        step = room - wnd
        if step > 0 and (step >= self.rcv_mss or step * 2 >= self.limit) and step >> scale:
            field = room >> scale
        else:
            # RFC 7323 §2.3 (7323-2.3): rounding must not move the right edge left
            field = (wnd + (1 << scale) - 1) >> scale
            if field << scale > room + max(self.limit >> SLACK_SHIFT, 1 << scale):
                # RFC 7323 §2.4: nor right, ever more with each small segment: the field may say less than was
                # offered, which stays good
                field = wnd >> scale
                return field if field < MAX_WINDOW_FIELD else MAX_WINDOW_FIELD
        if field > MAX_WINDOW_FIELD:
            field = MAX_WINDOW_FIELD
        self.rcv_adv = (self.rcv_nxt + (field << scale)) & MASK
        return field

    def syn_window_field(self) -> int:
        """The same for a SYN, which is never scaled (RFC 7323 §2.2, 7323-2.2)."""
        field = min(self.limit, MAX_WINDOW_FIELD)
        edge = (self.rcv_nxt + field) & MASK
        # RFC 9293 §3.8.6 (MUST-34): a scaled window, of an ACK in SYN-RECEIVED, may have said more
        if (edge - self.rcv_adv) & MASK < HALF:
            self.rcv_adv = edge
        return field

    def update_due(self) -> bool:
        """Whether reading opened the window enough to tell the peer."""
        wnd = self.rcv_wnd()
        room = self.limit - self.queued
        if room < 2 * wnd or self.fin_received:  # after the FIN nothing more will come
            return False
        # no more than the field can say: without scaling the buffer may be far larger
        room = min(room, MAX_WINDOW_FIELD << self.rcv_wscale)
        step = room - wnd
        return step >= max(min(self.limit // 2, 2 * self.rcv_mss), 1 << self.rcv_wscale) and room >= 2 * wnd

    # -- acceptance

    def acceptable(self, seq: int, length: int) -> bool:
        """The four cases of RFC 9293 §3.10.7.4, table 6 (T-WND-1); `length` counts SYN and FIN."""
        wnd = self.rcv_wnd()
        d = (seq - self.rcv_nxt) & MASK
        if length == 0:
            return d < wnd or d == 0
        if wnd == 0:
            return False
        if d < wnd:
            return True
        return (d + length - 1) & MASK < wnd

    def paws_reject(self, seg: Segment, now: int) -> bool:
        """RFC 7323 §5.3 (7323-5.3): the timestamp is older than the newest seen, which is not too old itself."""
        return 0 < (self.ts_recent - seg.tsval) & MASK < HALF and now - self.ts_recent_at < PAWS_IDLE_US

    def update_ts(self, seg: Segment, now: int) -> None:
        """RFC 7323 §4.3 (7323-4.3): remember TSval when the segment touches Last.ACK.sent."""
        newer = (seg.tsval - self.ts_recent) & MASK < HALF or now - self.ts_recent_at >= PAWS_IDLE_US
        if newer and (self.last_ack_sent - seg.seq) & MASK < HALF:
            self.ts_recent = seg.tsval
            self.ts_recent_at = now
            self.echo = seg.tsecr

    # -- size of the buffer

    def tune(self, now: int, rtt_us: int) -> None:
        """A round trip is over: let the buffer follow what the application read in it.  `rtt_us` is a new sample.

        Twice of that is room for the peer to send as much again while ACKs travel, and for one that doubles its
        rate (slow start) twice of that.
        """
        at = (self.rcv_nxt - self.queued) & MASK
        read = (at - self.tune_from) & MASK if self.tune_at else 0
        self.tune_from = at
        # a pause of the peer looks like a long round trip: upwards only in steps
        if self.rtt_us and rtt_us > self.rtt_us:
            rtt_us = min(rtt_us, self.rtt_us + (self.rtt_us >> 2))
        self.rtt_us = max(rtt_us, MIN_ROUND_US)
        self.tune_at = now + self.rtt_us
        config, budget = self.config, self.budget
        unit = 1 << self.rcv_wscale
        initial = max(min(config.recv_buffer_initial, config.recv_buffer), unit)
        if budget.used >= budget.pressure_at:
            self.limit = min(self.limit, max(ESSENTIAL, unit) if budget.used >= budget.reserve_at else initial)
            self.tune_best = 0
            return
        limit = max(self.limit, initial)
        best = self.tune_best
        if read > best:
            want = 2 * read + SPARE_SEGS * self.rcv_mss
            want += want * (read - best) // best if read < 2 * best else want
            limit = max(limit, min(want, config.recv_buffer))
            self.tune_best = read
        self.limit = limit

    # -- memory

    def _admit(self, length: int) -> int:
        """Book `length` bytes more on the read queue; returns how many of them the host has memory for."""
        budget = self.budget
        queued = self.queued + length
        need = (queued + (queued >> 2) - self.paid + QUANTUM - 1) & -QUANTUM
        if not budget.make_room(need + (need >> OVERHEAD_SHIFT)):
            need = QUANTUM
            if self.queued or budget.used + QUANTUM + (QUANTUM >> OVERHEAD_SHIFT) > budget.limit:
                budget.refused += 1
                return 0
            length = min(length, ESSENTIAL)
        self.paid += need
        budget.book_data(need)
        return length

    def _repay(self) -> None:
        """Book only what is held."""
        if self.paid < UNBOOKED:
            keep = (max(self.queued - FREE_BYTES, 0) + QUANTUM - 1) & -QUANTUM
            self.budget.book_data(FREE_BYTES + keep - self.paid)
            self.paid = FREE_BYTES + keep

    def unbook(self) -> None:
        """The connection leaves its host: what has not been read is the application's own now."""
        self.drop_out_of_order()
        if self.paid < UNBOOKED:
            self.budget.book_data(FREE_BYTES - self.paid)
            self.paid = UNBOOKED

    def booked(self) -> int:
        """Bytes that this half has booked, beyond what is booked with the connection."""
        if self.paid >= UNBOOKED:
            return 0
        data = self.paid - FREE_BYTES
        return data + (data >> OVERHEAD_SHIFT) + (self.ofo.cost if self.ofo is not None else 0)

    def drop_out_of_order(self) -> None:
        """Forget what came out of order."""
        if self.ofo is not None:
            self.ofo.clear()
            self.ofo = None

    # -- data

    def on_next(self, data: bytes) -> int:
        """Take text that begins at rcv_nxt and fits the window; returns what `on_data` does."""
        length = len(data)
        queued = self.queued + length
        if queued > self.paid:
            granted = self._admit(length)
            if granted < length:
                if not granted:
                    return REFUSED
                data, length, queued = data[:granted], granted, granted
        self.rcv_nxt = (self.rcv_nxt + length) & MASK
        chunks = self.chunks
        if chunks is None:
            self.chunks = [data]
        elif length <= JOIN_UP_TO and len(chunks) > JOIN_FROM and len(chunks[-1]) + length <= JOIN_BYTES:
            chunks[-1] += data  # nobody reads: a flood of tiny segments must not cost an object each
        else:
            chunks.append(data)
        self.queued = queued
        if length > self.rcv_mss:
            self.rcv_mss = min(length, self.max_mss)  # a super-segment is several
        ofo = self.ofo
        if ofo is not None and ofo.size:
            self._drain(ofo)
            return ACK_NOW  # RFC 5681 §4.2: a filled gap is acknowledged at once
        # RFC 9293 §3.8.6.3 (SHLD-18, SHLD-19): at least every second full-sized segment
        self.unacked = unacked = self.unacked + length
        if unacked >= 2 * self.rcv_mss:
            return ACK_LATER
        if self.quick > 0:
            self.quick -= 1
            return ACK_LATER
        return 0

    def on_data(self, seg: Segment) -> int:
        """Take the text of an acceptable segment; returns ACK_NOW or ACK_LATER, 0 to delay, or REFUSED."""
        seq, length, off = seg.seq, seg.length, seg.off
        nxt = self.rcv_nxt
        old = (nxt - seq) & MASK
        if 0 < old < HALF:
            # the front is known already
            self.prompt()
            if old >= length:
                self.dsack = (seq, (seq + length) & MASK)
                return ACK_NOW
            self.dsack = (seq, nxt)
            seq, length, off = nxt, length - old, off + old
        # RFC 9293 §3.10.7.4 (T-WND-1): nothing beyond the window
        length = min(length, (self.rcv_adv - seq) & MASK)
        if length <= 0:
            return ACK_NOW
        data = seg.pool[off : off + length]
        if seq != nxt:
            return self._on_out_of_order(seq, data)
        answer = self.on_next(data)
        return ACK_NOW if old and answer != REFUSED else answer

    def prompt(self) -> None:
        """The peer repairs losses: its window may soon be a single segment, whose ACK must not be delayed.

        RFC 5681 §4.2 asks for ACKs at once only until the gap is filled; deployed stacks go on for a few segments.
        """
        quick = self.config.quick_acks
        if self.quick < quick:
            self.quick = quick

    def _on_out_of_order(self, seq: int, data: bytes) -> int:
        self.prompt()
        budget = self.budget
        if budget.used + len(data) + PIECE_BYTES + RUN_BYTES > budget.reserve_at:
            budget.refused += 1
            return REFUSED
        ofo = self.ofo
        if ofo is None:
            config = self.config
            ofo = Reassembly(config.out_of_order_bytes, config.out_of_order_ranges, self.rcv_nxt, budget)
            self.ofo = ofo
        # RFC 2883 §4.1-4.2 (2883-1): report the part that was there before
        known = ofo.overlap(self.rcv_nxt, seq, len(data)) if ofo.size else None
        added = ofo.insert(self.rcv_nxt, seq, data)
        self.overflowed = added < 0
        if known is not None:
            self.dsack = known
        return ACK_NOW  # (SHLD-31, MAY-13)

    def _drain(self, ofo: Reassembly) -> None:
        """A gap was filled: what follows it is in order now.  It is held already, so nothing refuses it."""
        chunks = self.chunks
        assert chunks is not None  # what filled the gap
        for piece in ofo.pop_ready(self.rcv_nxt):
            length = len(piece)
            self.rcv_nxt = (self.rcv_nxt + length) & MASK
            if len(chunks) > JOIN_FROM and len(chunks[-1]) + length <= JOIN_BYTES:
                chunks[-1] += piece
            else:
                chunks.append(piece)
            self.queued += length
        if self.queued > self.paid:
            self._repay()

    def take(self, limit: int) -> bytes:
        """Up to `limit` bytes off the read queue."""
        chunks = self.chunks
        if not chunks or limit <= 0:
            return b""
        data = chunks[0]
        got = len(data)
        if got > limit:
            chunks[0] = data[limit:]
            data, got = data[:limit], limit
        else:
            count = 1
            while count < len(chunks) and got + len(chunks[count]) <= limit:
                got += len(chunks[count])
                count += 1
            if count > 1:
                data = b"".join(chunks[:count])
            del chunks[:count]
            if not chunks:
                self.chunks = None
        self.queued -= got
        if self.paid - self.queued >= (REPAY_FROM if self.queued else FREE_BYTES + 1):
            self._repay()
        return data

    def take_into(self, buffer: memoryview) -> int:
        """Off the read queue into `buffer`, a view of bytes, piece by piece; how many bytes."""
        chunks = self.chunks
        room = len(buffer)
        if not chunks or room <= 0:
            return 0
        got = len(chunks[0])
        if got > room:
            buffer[:] = memoryview(chunks[0])[:room]
            chunks[0] = chunks[0][room:]
            got = room
        else:
            buffer[:got] = chunks[0]
            count = 1
            while count < len(chunks) and got + len(chunks[count]) <= room:
                end = got + len(chunks[count])
                buffer[got:end] = chunks[count]
                got = end
                count += 1
            del chunks[:count]
            if not chunks:
                self.chunks = None
        self.queued -= got
        if self.paid - self.queued >= (REPAY_FROM if self.queued else FREE_BYTES + 1):
            self._repay()
        return got

    def take_all(self) -> list[bytes]:
        """Everything on the read queue."""
        chunks = self.chunks
        if chunks is None:
            return []
        self.chunks = None
        self.queued = 0
        if self.paid != FREE_BYTES:
            self._repay()
        return chunks

    def sack_blocks(self, limit: int) -> list[tuple[int, int]]:
        """What to report (RFC 2018 §4, RFC 2883 §4); clears a pending D-SACK."""
        blocks: list[tuple[int, int]] = []
        dsack = self.dsack
        if dsack is not None:
            self.dsack = None
        if dsack is not None and self.config.dsack:
            blocks.append(dsack)
            if self.ofo is not None:
                around = self.ofo.block_around(dsack[0])
                if around is not None:
                    blocks.append(around)
        if self.ofo is not None and self.ofo.size:
            blocks += [b for b in self.ofo.blocks(limit) if b not in blocks]
        return blocks[:limit]

    def check_invariants(self) -> None:
        """Raise AssertionError when the books do not balance."""
        assert self.queued == sum(map(len, self.chunks or ()))
        assert (self.rcv_adv - self.rcv_nxt) & MASK < HALF or self.fin_received
        # what is held is booked, and not much more (OVERHEAD_SHIFT is for the objects)
        assert self.queued <= self.paid
        assert self.paid >= UNBOOKED or self.paid <= self.queued + (self.queued >> 2) + REPAY_FROM + 2 * QUANTUM
        assert (self.paid - FREE_BYTES) % QUANTUM == 0 or self.paid >= UNBOOKED
        if self.ofo is not None:
            self.ofo.check_invariants(self.rcv_nxt)
            assert self.ofo.size <= self.config.out_of_order_bytes
