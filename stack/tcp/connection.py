"""One TCP connection: the state machine of RFC 9293, sans I/O.

Theory of operation.  A Host gives segments (`on_segment`), expiries (`on_timer`) and application calls
(`send`, `recv`, `close`, `abort`) and takes what is to be sent (`poll_transmit`, until it says False).
The Connection owns `state` (written only by `_enter`), the timers, and what both halves must agree on;
everything that is SND.* belongs to the Sender and everything that is RCV.* to the Receiver, which never
meet.  Arrival of a segment is first tried against the fast path (ESTABLISHED, in order, nothing
unusual); all else takes the steps of RFC 9293 §3.10.7 in arrival.py.

What comes up: an action mask (ACK_NOW, ACK_LATER, OUTPUT, ADVICE of receiver.py) from on_segment and
on_timer, `events` for the application, `deadline` for the clock.  Nothing here calls back.

Life: `open` (active) or a Listener (passive) starts it; `close` ends the sending side; `release` says
that the application has gone; CLOSED in `events` says that the connection has.
"""

from typing import Final

from stack import errors
from stack.config import NEVER, TcpConfig
from stack.tcp import arrival, output, path_size, persist, tlp, transmit
from stack.tcp.events import CLOSED as EV_CLOSED
from stack.tcp.events import READABLE, WRITABLE
from stack.tcp.info import TcpInfo, snapshot
from stack.tcp.memory import UNLIMITED, Budget
from stack.tcp.path_size import PathSize
from stack.tcp.receiver import ACK_LATER, ACK_NOW, ADVICE, OUTPUT, REFUSED, Receiver
from stack.tcp.segment import ACK, PSH, Segment
from stack.tcp.sender import Sender
from stack.tcp.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    NAMES,
    SYN_RECEIVED,
    SYN_SENT,
    TIME_WAIT,
    TRANSITIONS,
)
from stack.tcp.time_wait import TimeWait
from stack.tcp.timers import DELAYED_ACK, KEEPALIVE, PERSIST, PMTU, PROBE, REORDER, RETRANSMIT, TimerTable
from stack.tcp.timers import FIN_WAIT_2 as T_FIN_WAIT_2
from stack.tcp.timers import TIME_WAIT as T_TIME_WAIT
from stack.tcp.timers import USER as T_USER
from stack.wire.frame import TxFrame
from stack.wire.icmp import ErrorKind
from stack.wire.seq import HALF, MASK
from stack.wire.tcp import DEFAULT_MSS, LEN_TS, MIN_MSS

NOT_PSH: Final = ~PSH
HARD_ERRORS: Final = (ErrorKind.PROTOCOL_UNREACHABLE, ErrorKind.PORT_UNREACHABLE)


class Connection:
    """A TCP connection.  `budget` is the memory of its host (None: its own, large enough).

    `mss` is the largest payload of one packet on the path, TCP options included (path MTU - 40 for IPv4);
    `max_gso` the largest payload that the device takes at once (0: it does not segment).  `iss` and
    `ts_offset` come from `stack.tcp.isn`.  Times are integer microseconds.
    """

    # fmt: off
    __slots__ = (
        "ack_now", "ack_pending", "challenge_at", "challenges", "config", "error", "events", "host_at",
        "host_evented", "host_key", "host_queued", "iss", "keepalive_sent", "last_rx_at", "local_addr", "local_port",
        "max_gso", "opened_at", "parent", "passive", "path", "path_mss", "path_size", "peer_mss", "peer_wscale",
        "pending_fin", "probe_due", "rcv", "released", "remote_addr", "remote_port", "rst_seq", "sack_ok", "snd",
        "soft_error", "state", "syn_due", "syn_lost", "syn_tries", "time_wait", "timers", "ts_offset", "ts_ok",
        "user", "want_writable",
    )
    # fmt: on

    def __init__(
        self,
        local_addr: int,
        local_port: int,
        remote_addr: int,
        remote_port: int,
        config: TcpConfig,
        iss: int,
        ts_offset: int,
        now: int,
        mss: int = 1460,
        max_gso: int = 0,
        budget: Budget | None = None,
    ) -> None:
        self.local_addr = local_addr
        self.local_port = local_port
        self.remote_addr = remote_addr
        self.remote_port = remote_port
        self.config = config
        self.iss = iss
        self.ts_offset = ts_offset
        self.opened_at = now
        self.path_mss = mss
        self.path_size: PathSize | None = None
        self.max_gso = max_gso
        self.state = CLOSED
        budget = budget if budget is not None else Budget(UNLIMITED)
        self.timers = TimerTable(budget.spares)
        self.snd = Sender(config, iss, self.timers, budget)
        self.rcv = Receiver(config, budget)
        self.rcv.rcv_wscale = output.wscale_for(config)
        self.rcv.max_mss = min(mss, config.mss_limit)
        self.events = 0
        self.error: Exception | None = None
        self.soft_error: ErrorKind | None = None
        self.passive = False
        # negotiated (RFC 7323, RFC 2018)
        self.ts_ok = config.timestamps
        self.sack_ok = config.sack
        self.peer_mss = DEFAULT_MSS
        self.peer_wscale = -1
        # what poll_transmit owes
        self.ack_now = self.ack_pending = self.syn_due = False
        self.probe_due = False  # of a zero window or the tail (or keep-alive)
        self.rst_seq = -1  # a RST with this sequence number is due
        self.syn_tries = 0
        self.syn_lost = False
        self.pending_fin = -1  # sequence number of a FIN that came before its data
        self.keepalive_sent = 0
        self.last_rx_at = now
        self.challenge_at, self.challenges = now, 0
        self.released = self.want_writable = False
        self.time_wait: TimeWait | None = None
        # slots of the Host and the driver
        self.path: object = None
        self.parent: object = None
        self.user: object = None
        self.host_key = 0  # remote address << 32 | remote port << 16 | local port
        self.host_queued = False
        self.host_evented = False
        self.host_at = NEVER  # when the Host's timer queue looks at it

    # -- getters

    @property
    def deadline(self) -> int:
        """When on_timer wants to be called, at the earliest; NEVER when no timer runs."""
        return self.timers.deadline

    def tcp_info(self) -> TcpInfo:
        """A snapshot of everything worth seeing."""
        return snapshot(self)

    def take_events(self) -> int:
        """The pending event bits, which are cleared."""
        events, self.events = self.events, 0
        return events

    def send_room(self) -> int:
        """Bytes that may be queued; when there are none (negative: more was written), WRITABLE will tell of room."""
        snd = self.snd
        buffer = snd.buffer
        room = snd.send_limit() - (buffer.end - buffer.base)
        lowat = self.config.notsent_lowat
        if lowat:
            room = min(room, lowat - snd.unsent())
        if room <= 0:
            self.want_writable = True
        return room

    def send_pending(self) -> int:
        """Bytes written and not yet acknowledged."""
        return self.snd.buffer.end - self.snd.buffer.base

    def recv_pending(self) -> int:
        """Bytes that wait to be read."""
        return self.rcv.queued

    def eof_received(self) -> bool:
        """Whether the peer closed its side and all before it was taken in."""
        return self.rcv.fin_received

    def rebase(self, iss: int) -> None:
        """Begin at another ISS; only before the SYN went out."""
        self.iss = self.snd.iss = self.snd.snd_una = iss
        self.snd.snd_nxt = self.snd.snd_max = (iss + 1) & MASK

    # -- the application's calls

    def open(self, now: int) -> None:
        """Active OPEN (RFC 9293 §3.10.1): send a SYN."""
        self._enter(SYN_SENT)
        self.snd.snd_nxt = self.snd.snd_max = (self.iss + 1) & MASK
        self.syn_due = True
        # RFC 9293 §3.8.3 (MUST-22, MUST-23): R2 of a SYN is at least three minutes
        self.timers.arm(T_USER, now + self.config.syn_retries_us)

    def send(self, data: bytes | bytearray | memoryview, now: int) -> None:
        """Queue `data`; more than `send_room()` is taken, too: the caller minds the limit, and WRITABLE tells when the
        buffer is half empty again (with `notsent_lowat`: when half of that waits to be sent).  Raises BrokenPipe after
        close, NotConnected when the connection is closed.  RFC 9293 §3.10.2.
        """
        state = self.state
        if self.snd.fin_queued:
            raise errors.BrokenPipe("the sending side of this connection is closed")
        if state == CLOSED or state > CLOSE_WAIT:
            raise errors.NotConnected(f"the connection is {NAMES[state]}; open a new one")
        snd = self.snd
        snd.before_send(now)
        buffer = snd.buffer
        buffer.append(data)
        config, budget, queued = self.config, buffer.budget, buffer.end - buffer.base
        if (
            queued >= config.send_buffer_initial
            or queued >= config.send_buffer
            or config.notsent_lowat
            or budget.used >= budget.pressure_at
        ):
            self.send_room()  # which sees whether that was more than there is room for

    def send_urgent(self, data: bytes, now: int) -> None:
        """Queue `data` with the urgent mark after its last byte (RFC 9293 §3.8.5, MUST-30, MUST-31)."""
        self.send(data, now)
        snd = self.snd
        # RFC 6093 §3 (MUST-62): SND.UP is the number of the octet following the urgent data
        first = snd.snd_una if self.state >= ESTABLISHED else (self.iss + 1) & MASK
        snd.snd_up = (first + snd.buffer.end - snd.buffer.base) & MASK

    def recv(self, limit: int) -> bytes:
        """Up to `limit` bytes; b"" when nothing waits (see `eof_received`).  RFC 9293 §3.10.3."""
        data = self.rcv.take(limit)
        self.ack_pending |= data != b"" and self.state >= ESTABLISHED and self.rcv.update_due()
        return data

    def recv_into(self, buffer: memoryview) -> int:
        """As `recv`, into `buffer`, a view of bytes; how many there are."""
        got = self.rcv.take_into(buffer)
        self.ack_pending |= got > 0 and self.state >= ESTABLISHED and self.rcv.update_due()
        return got

    def recv_chunks(self) -> list[bytes]:
        """Everything that waits, in the pieces it came in."""
        chunks = self.rcv.take_all()
        self.ack_pending |= bool(chunks) and self.state >= ESTABLISHED and self.rcv.update_due()
        return chunks

    def urgent_remaining(self) -> int:
        """Bytes up to the urgent mark that were not read yet; 0 when none (RFC 9293 §3.8.5, MUST-32, MUST-33)."""
        rcv = self.rcv
        if rcv.rcv_up < 0:
            return 0
        ahead = (rcv.rcv_up - rcv.rcv_nxt) & MASK
        if ahead >= HALF:
            ahead -= 1 << 32
        return max(0, ahead + rcv.queued)

    def close(self, now: int) -> None:  # noqa: ARG002 - every call of the application takes the time
        """Close the sending side once everything queued is sent (RFC 9293 §3.10.4); receiving goes on."""
        state = self.state
        if state == SYN_SENT:
            self.fail(None)
            return
        if self.snd.fin_queued or state == CLOSED or state > CLOSE_WAIT:
            return
        self.snd.fin_queued = True
        if state == ESTABLISHED:
            self._enter(FIN_WAIT_1)
        elif state == CLOSE_WAIT:
            self._enter(LAST_ACK)

    def release(self, now: int) -> None:
        """The application has gone and reads no more: what it did not read, or what comes later, is answered with RST
        (RFC 9293 §3.6.1, MAY-1, SHLD-3), and FIN-WAIT-2 does not last for ever.
        """
        self.released = True
        self.snd.abandon(now)
        if self.rcv.queued and self.state >= SYN_RECEIVED and self.state != TIME_WAIT:
            self.abort(now)
            return
        if self.state == FIN_WAIT_2:
            self.timers.arm(T_FIN_WAIT_2, now + self.config.fin_wait_2_us)

    def abort(self, now: int, error: Exception | None = None) -> None:  # noqa: ARG002 - as close
        """Drop everything and reset the peer where it is synchronised (RFC 9293 §3.10.5, T-ABT-1)."""
        if self.state in (SYN_RECEIVED, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT):
            # a peer that took less than we sent must still find the number acceptable
            self.rst_seq = output.sequence_for_control(self)
        if self.state != CLOSED:
            self.fail(error if error is not None else errors.ConnectionAborted("the connection was aborted"))

    def set_nodelay(self, on: bool) -> None:
        """Nagle's algorithm off or on (RFC 9293 §3.7.4, MUST-17); what waits for it goes out now."""
        self.snd.nodelay = on

    def set_keepalive(self, on: bool, now: int) -> None:
        """Keep-alive on or off (RFC 9293 §3.8.4, MUST-24)."""
        if on and self.state >= ESTABLISHED:
            self.timers.arm(KEEPALIVE, now + self.config.keepalive_idle_us)
        elif not on:
            self.timers.cancel(KEEPALIVE)

    # -- the network's calls

    def on_segment(self, seg: Segment, now: int) -> int:
        """A segment for this connection; returns an action mask.  RFC 9293 §3.10.7."""
        state = self.state
        if state == ESTABLISHED:
            rcv, snd = self.rcv, self.snd
            # the fast path: in order, an acceptable ACK, nothing unusual
            if (
                seg.seq == rcv.rcv_nxt
                and seg.flags & NOT_PSH == ACK
                and not seg.options
                and seg.has_ts == self.ts_ok
                and (not seg.has_ts or (seg.tsval - rcv.ts_recent) & MASK < HALF)
                and (seg.ack - snd.snd_una) & MASK <= (snd.snd_max - snd.snd_una) & MASK
                and seg.length <= (rcv.rcv_adv - rcv.rcv_nxt) & MASK
                and not self.released
            ):
                self.last_rx_at = now
                if seg.has_ts and rcv.last_ack_sent == seg.seq:  # RFC 7323 §4.3 (7323-4.3)
                    rcv.ts_recent = seg.tsval
                    rcv.ts_recent_at = now
                    rcv.echo = seg.tsecr
                if seg.length and seg.ack == snd.snd_una and seg.wnd << snd.snd_wscale == snd.snd_wnd:
                    snd.snd_wl1 = seg.seq
                    snd.snd_wl2 = seg.ack
                    return self._take_text(rcv.on_next(seg.text()), now)
                snd.on_ack(seg, self.echo_rtt(seg, now) if snd.total_retrans else -1, now)
                if self.want_writable:
                    self.check_writable()
                if seg.length:
                    return OUTPUT | self._take_text(rcv.on_next(seg.text()), now)
                return OUTPUT
        if state >= SYN_RECEIVED:
            return arrival.on_synchronised(self, seg, now)
        if state == SYN_SENT:
            return arrival.on_syn_sent(self, seg, now)
        return arrival.STOP | arrival.ENDED

    def _take_text(self, answer: int, now: int) -> int:
        """In-order data was taken; `answer` is what the Receiver said."""
        self.events |= READABLE
        if answer == ACK_LATER:
            self.ack_pending = True
        elif answer:
            if answer == REFUSED:
                return arrival.refused(self)
            self.ack_now = True
        elif self.timers.at[DELAYED_ACK] == NEVER:
            self.timers.arm(DELAYED_ACK, now + self.config.delayed_ack_us)
        if self.pending_fin >= 0:
            answer |= arrival.take_fin(self, now)
        return answer

    def echo_rtt(self, seg: Segment, now: int) -> int:
        """Round-trip time by the timestamp echo in microseconds (to a millisecond), or -1."""
        if not seg.has_ts or not seg.tsecr:
            return -1
        ticks = (output.ts_now(self, now) - seg.tsecr) & MASK
        return ticks * output.TS_TICK_US if ticks < HALF else -1

    def check_writable(self) -> None:
        """Raise WRITABLE when the send buffer is at most half full, and half of `notsent_lowat` waits at most."""
        buffer = self.snd.buffer
        lowat = self.config.notsent_lowat
        if 2 * (buffer.end - buffer.base) <= self.snd.send_limit() and (not lowat or 2 * self.snd.unsent() <= lowat):
            self.want_writable = False
            self.events |= WRITABLE

    def on_timer(self, now: int) -> int:
        """Fire what is due; returns an action mask."""
        timers = self.timers
        actions = 0
        if timers.deadline <= now:
            for slot in range(len(timers.at)):
                if timers.at[slot] <= now:
                    timers.at[slot] = NEVER
                    actions |= self._expired(slot, now)
            if timers.settle() == NEVER:
                self.snd.rest()
        return actions

    def _expired(self, slot: int, now: int) -> int:
        """The timer `slot` ran out."""
        if slot == RETRANSMIT:
            return self._on_retransmit(now)
        if slot == DELAYED_ACK:
            self.ack_pending = True
            return OUTPUT
        if slot == PROBE:
            self.probe_due |= tlp.on_timer(self.snd, now)
            return OUTPUT
        if slot == REORDER:
            self.snd.on_reorder(now)
            return OUTPUT
        if slot == PERSIST:
            if persist.on_persist(self.snd, now):
                self.probe_due = True
            return OUTPUT
        if slot == KEEPALIVE:
            return self._on_keepalive(now)
        if slot == T_USER:
            if self.state in (SYN_SENT, SYN_RECEIVED):
                self.fail(self._timeout_error("the peer did not answer the SYN"))
                return OUTPUT
            # RFC 9293 §3.8.3 (MUST-20, MUST-21): R2 ends the connection
            self.abort(now, self._timeout_error("the peer acknowledged nothing for too long"))
            return OUTPUT
        if slot == PMTU:
            path_size.on_pmtu_timer(self, now)
        if slot in (T_FIN_WAIT_2, T_TIME_WAIT):
            self.fail(None)
        return OUTPUT

    def _timeout_error(self, text: str) -> Exception:
        """RFC 9293 §3.9.2.2 (MUST-56, SHLD-25): a soft error that was reported meanwhile is the better reason."""
        if self.soft_error is not None:
            return errors.HostUnreachable(f"{text} ({self.soft_error.name.lower().replace('_', ' ')})")
        return errors.ConnectionTimedOut(text)

    def _on_retransmit(self, now: int) -> int:
        snd = self.snd
        if self.state in (SYN_SENT, SYN_RECEIVED):
            # RFC 9293 §3.8.1 (T-HS-2): the same SYN again, with backoff
            self.syn_due = True
            self.syn_lost = True
            self.syn_tries += 1
            snd.rtt.on_timeout()
            snd.total_retrans += 1
            return OUTPUT | ADVICE if self.syn_tries == self.config.r1_retries else OUTPUT
        snd.on_rto(now)
        actions = OUTPUT | path_size.on_timeout(self, now)
        # RFC 9293 §3.8.3 (MUST-20, SHLD-10): past R1 the path deserves doubt
        # OMITS RFC 9293 §3.8.3 (SHLD-9): a transport has no callback for delays; `tcp_info` shows retransmissions
        return actions | ADVICE if snd.timeouts == self.config.r1_retries else actions

    def _on_keepalive(self, now: int) -> int:
        config = self.config
        idle = now - self.last_rx_at
        if self.state < ESTABLISHED or self.state == TIME_WAIT:
            return 0
        if idle < config.keepalive_idle_us or self.snd.snd_una != self.snd.snd_nxt:
            # RFC 9293 §3.8.4 (MUST-26): only on an idle connection
            self.keepalive_sent = 0
            due = self.last_rx_at + config.keepalive_idle_us
            self.timers.arm(KEEPALIVE, due if due > now else now + config.keepalive_idle_us)
            return 0
        if self.keepalive_sent >= config.keepalive_probes:
            self.abort(now, errors.ConnectionTimedOut("the peer answered no keep-alive probe"))
            return OUTPUT
        self.keepalive_sent += 1
        self.probe_due = True
        self.timers.arm(KEEPALIVE, now + config.keepalive_interval_us)
        return OUTPUT

    def on_icmp_error(self, kind: ErrorKind, quoted_seq: int, mtu: int = 0, *, local: bool = False) -> bool:
        """An ICMP error quotes one of our segments; returns whether it is believed (for FRAG_NEEDED, which says `mtu`,
        the Host then lowers the path MTU).  `local`: this host found it itself.  RFC 9293 §3.9.2.2, RFC 5927 §4.
        """
        snd = self.snd
        if self.state in (CLOSED, TIME_WAIT):
            return False
        # RFC 5927 §4.1 (5927-1): the quoted number must be of something outstanding
        if (quoted_seq - snd.snd_una) & MASK >= max((snd.snd_nxt - snd.snd_una) & MASK, 1):
            return False
        if kind == ErrorKind.FRAG_NEEDED:
            return local or path_size.weigh(self, mtu, quoted_seq)
        if self.state < ESTABLISHED and not self.passive and kind in HARD_ERRORS:
            # (MUST-55, SHLD-26) aborts; RFC 5927 §5: but only before the connection is synchronised
            self.fail(errors.ConnectionRefused(f"the peer's host reports {kind.name.lower().replace('_', ' ')}"))
            return True
        if local and self.state == SYN_SENT:
            # RFC 1122 §2.3.2.2 (ARP-7): there is no way to the peer; as in deployed stacks the open ends here
            self.fail(errors.HostUnreachable(f"no way to the peer: {kind.name.lower().replace('_', ' ')}"))
            return True
        # OMITS RFC 9293 §3.9.1.8 (SHLD-20): a report is a value to look at, which disturbs nobody who does not
        self.soft_error = kind  # (MUST-54, MUST-56): informs, never aborts
        return True

    def set_path_mss(self, mss: int, max_gso: int, now: int) -> None:  # noqa: ARG002 - as close
        """The path carries payloads of at most `mss` bytes now (MTU - 40): see path_size.py."""
        path_size.set_path_mss(self, mss, max_gso)

    def full_mss(self) -> int:
        """The largest segment that the peer takes and IP's path MTU allows, TCP options included."""
        # the floor is against what a peer says, never above what the path carries
        mss = min(max(self.peer_mss, MIN_MSS), self.path_mss)
        return min(mss, self.config.mss_limit)

    def effective_mss(self) -> int:
        """Eff.snd.MSS of RFC 9293 §3.7.1 (MUST-16): what fits, less the options on every segment."""
        known = self.path_size
        mss = self.full_mss() if known is None else min(self.full_mss(), known.limit)
        return max(mss - (LEN_TS if self.ts_ok else 0), 1)

    # -- output

    def poll_transmit(self, frame: TxFrame, now: int) -> bool:
        """Fill `frame` from its transport header on with the next segment; False: nothing to send."""
        if self.rst_seq >= 0:
            output.fill_rst(self, frame, now)
            return True
        state = self.state
        if state >= ESTABLISHED:
            if self.ack_now:
                output.fill_ack(self, frame, now)
                return True
            snd = self.snd
            if self.probe_due:
                self.probe_due = False
                if output.fill_probe(self, frame, now):
                    return True
            buffer = snd.buffer
            unsent = (snd.snd_nxt - snd.snd_una) & MASK != buffer.end - buffer.base
            if (unsent or snd.fin_queued or snd.lost_bytes()) and transmit.next_range(snd, now):
                output.fill_data(self, frame, now)
                if self.want_writable and self.config.notsent_lowat:
                    self.check_writable()  # what counts falls as data is sent, not as it is acknowledged
                return True
            if self.ack_pending:
                output.fill_ack(self, frame, now)
                return True
            return False
        if self.syn_due and state >= SYN_SENT:
            output.fill_syn(self, frame, now)
            return True
        if self.ack_now and state == SYN_RECEIVED:  # RFC 9293 §3.10.7.4, first check: not acceptable
            output.fill_ack(self, frame, now)
            return True
        return False

    def delay_ack(self, now: int) -> None:
        """The application hears of the data later: the ACK waits for its answer.  RFC 9293 §3.8.6.3 (MUST-40)."""
        if self.ack_pending and not self.rcv.fin_received:
            self.ack_pending = False
            self.timers.arm(DELAYED_ACK, min(self.timers.at[DELAYED_ACK], now + self.config.delayed_ack_us))

    def ack_soon(self) -> None:
        """An ACK that `delay_ack` has put off is sent with what comes next, or alone by the next `poll_transmit`."""
        if self.timers.at[DELAYED_ACK] != NEVER:
            self.ack_pending = True

    # -- shared with arrival.py and output.py

    def _enter(self, state: int) -> None:
        """The one writer of `state`."""
        assert state in TRANSITIONS[self.state], f"{NAMES[self.state]} -> {NAMES[state]}"
        self.state = state

    def enter(self, state: int) -> None:
        """Move to `state`; for arrival.py."""
        self._enter(state)

    def fail(self, error: Exception | None) -> None:
        """To CLOSED from anywhere; `error` is what the application learns (None: a normal close, MUST-12)."""
        if self.state == CLOSED:
            return
        self._enter(CLOSED)
        self.error = error
        self.events |= EV_CLOSED
        self.timers.cancel_all()
        self.snd.clear()
        self.ack_now = self.ack_pending = self.syn_due = self.probe_due = False
        self.rcv.drop_out_of_order()

    def booked(self) -> int:
        """Bytes of the host's budget that this connection has booked beyond CONNECTION_BYTES."""
        return self.rcv.booked() + self.snd.buffer.booked()

    def unbook(self) -> None:
        """The connection leaves the tables of its host, whose budget has no more to do with it."""
        self.rcv.unbook()
        self.snd.buffer.unbook()

    def check_invariants(self) -> None:
        """Raise AssertionError when something that must hold does not (for tests and simulation)."""
        state = self.state
        if state == CLOSED:
            assert min(self.timers.at) == NEVER, "a timer runs in CLOSED"
            return
        assert self.timers.deadline <= min(self.timers.at)
        if state == TIME_WAIT:
            running = [i for i, at in enumerate(self.timers.at) if at != NEVER]
            assert running == [T_TIME_WAIT], f"timers {running} run in TIME-WAIT"
        if state >= ESTABLISHED:
            self.snd.check_invariants()
            self.rcv.check_invariants()
        if state in (FIN_WAIT_2, CLOSING, TIME_WAIT, LAST_ACK, FIN_WAIT_1):
            assert self.snd.fin_queued


__all__ = ["ACK_LATER", "ACK_NOW", "ADVICE", "OUTPUT", "Connection"]
