"""Writing segments: from a Connection to the transport header and payload of a `TxFrame`.

One function per kind of segment.  The checksum field stays zero: the C core completes it (NEEDS_CSUM).
Nearly every segment has the same layout, header and timestamps, and is packed in one go.
"""

from typing import TYPE_CHECKING, Final

from stack.config import NEVER, TcpConfig
from stack.tcp import ecn, path_size, persist, tlp
from stack.tcp.rtt import TS_TICK_US
from stack.tcp.scoreboard import WHY_NAMES, WHY_PROBE
from stack.tcp.segment import ACK, CWR, FIN, PSH, RST, SYN, URG
from stack.tcp.state import ESTABLISHED, SYN_SENT
from stack.tcp.timers import DELAYED_ACK, RETRANSMIT
from stack.wire.frame import ECT, GSO_NONE, GSO_TCPV4, L4_OFF, NEEDS_CSUM, TxFrame
from stack.wire.seq import HALF, MASK
from stack.wire.tcp import (
    CSUM_OFFSET,
    DEFAULT_MSS,
    HEADER,
    HEADER_LEN,
    HEADER_TS,
    LEN_TS,
    MAX_WSCALE,
    OFFSET_PLAIN,
    OFFSET_TS,
    TS_PREFIX,
    pack_sack,
    pack_syn_options,
    pack_ts,
)

if TYPE_CHECKING:
    from stack.tcp.connection import Connection
    from stack.tcp.sender import Sender

__all__ = ["TS_TICK_US", "fill_ack", "fill_data", "fill_probe", "fill_reply", "fill_rst", "fill_syn", "pack_ts"]

_END_PLAIN: Final = L4_OFF + HEADER_LEN
_END_TS: Final = L4_OFF + HEADER_LEN + LEN_TS
_MAX_UP: Final = 0xFFFF
SACK_HEAD: Final = 4  # NOP NOP kind length (RFC 2018 §3, aligned)
SACK_BLOCK: Final = 8


def ts_now(conn: "Connection", now: int) -> int:
    """TSval at `now`."""
    return (now // TS_TICK_US + conn.ts_offset) & MASK


def wscale_for(config: TcpConfig) -> int:
    """The shift that lets the window field express the receive buffer (RFC 7323 §2.3)."""
    if not config.window_scaling:
        return 0
    return min(max(config.recv_buffer.bit_length() - 16, 0), MAX_WSCALE)


def sequence_for_control(conn: "Connection") -> int:
    """SND.NXT, or the edge of the peer's window when that was moved left of it (RFC 9293 §3.8.6, SHLD-15): the
    number must be acceptable to the peer.
    """
    snd = conn.snd
    if conn.state < ESTABLISHED:
        return snd.snd_nxt
    outstanding = (snd.snd_nxt - snd.snd_una) & MASK
    if outstanding > snd.snd_wnd and not snd.probing:
        return (snd.snd_una + snd.snd_wnd) & MASK
    return snd.snd_una if snd.probing else snd.snd_nxt


def _tune(conn: "Connection", now: int) -> None:
    """A round trip is over for the receive buffer.  Measured is from an ACK of ours to data that echoes its timestamp;
    without timestamps what the sending half knows has to do.
    """
    rcv = conn.rcv
    rtt_us = rcv.rtt_us or conn.snd.rtt.srtt_us
    if not conn.ts_ok:
        # the path may have become longer since the handshake
        rtt_us = max(rtt_us, 2 * conn.snd.rtt.srtt_us)
    elif rcv.echo >= 0:
        ticks = (rcv.ts_recent_at // TS_TICK_US + conn.ts_offset - rcv.echo) & MASK
        if ticks < HALF:
            rtt_us = ticks * TS_TICK_US
        rcv.echo = -1
    rcv.tune(now, rtt_us)


def _header(conn: "Connection", frame: TxFrame, seq: int, flags: int, now: int) -> None:
    """The header with ACK and window; timestamps when negotiated."""
    rcv = conn.rcv
    flags |= rcv.ece  # RFC 3168 §6.1.3: on every ACK until CWR
    if now >= rcv.tune_at:
        _tune(conn, now)
    field = rcv.window_field()
    up = 0
    snd = conn.snd
    if snd.snd_up >= 0 and 0 < (snd.snd_up - seq) & MASK < HALF:
        flags |= URG
        up = min((snd.snd_up - seq) & MASK, _MAX_UP)
    if conn.ts_ok:
        HEADER_TS.pack_into(
            frame.header,
            L4_OFF,
            conn.local_port,
            conn.remote_port,
            seq,
            rcv.rcv_nxt,
            OFFSET_TS | flags,
            field,
            0,
            up,
            TS_PREFIX,
            (now // TS_TICK_US + conn.ts_offset) & MASK,
            rcv.ts_recent,
        )
        frame.header_end = _END_TS
    else:
        HEADER.pack_into(
            frame.header,
            L4_OFF,
            conn.local_port,
            conn.remote_port,
            seq,
            rcv.rcv_nxt,
            OFFSET_PLAIN | flags,
            field,
            0,
            up,
        )
        frame.header_end = _END_PLAIN
    frame.flags = NEEDS_CSUM
    frame.csum_offset = CSUM_OFFSET
    frame.gso_type = GSO_NONE
    frame.gso_size = 0
    frame.payload_len = 0
    # what this segment acknowledges need not be acknowledged again
    rcv.last_ack_sent = rcv.rcv_nxt
    rcv.unacked = 0
    conn.ack_now = conn.ack_pending = False
    conn.timers.at[DELAYED_ACK] = NEVER


def _add_options(frame: TxFrame, options: bytes) -> None:
    """Append `options` (a multiple of 4 bytes) to the header."""
    end = frame.header_end + len(options)
    frame.header[frame.header_end : end] = options
    frame.header_end = end
    frame.header[L4_OFF + 12] = ((end - L4_OFF) >> 2) << 4


def _close_plain(frame: TxFrame) -> None:
    """The 20 bytes of header are written, no payload follows."""
    frame.header_end = _END_PLAIN
    frame.flags = NEEDS_CSUM
    frame.csum_offset = CSUM_OFFSET
    frame.gso_type = GSO_NONE
    frame.gso_size = 0
    frame.payload_len = 0


def fill_ack(conn: "Connection", frame: TxFrame, now: int) -> None:
    """A pure ACK, with SACK blocks when data is out of order."""
    rcv = conn.rcv
    repeated, edge = rcv.last_ack_sent == rcv.rcv_nxt, rcv.rcv_adv
    note: str | None = None
    _header(conn, frame, sequence_for_control(conn), ACK, now)
    if repeated:
        if rcv.dsack is not None:
            note = "duplicate ACK: came twice"
        elif rcv.ofo is not None and rcv.ofo.size:
            note = "duplicate ACK: data is missing"
        elif rcv.rcv_adv != edge:
            note = "window update"
    if conn.sack_ok and (rcv.dsack is not None or (rcv.ofo is not None and rcv.ofo.size)):
        fit = (conn.snd.eff_snd_mss - SACK_HEAD) // SACK_BLOCK  # a path of 68 bytes carries one
        blocks = rcv.sack_blocks(min(fit, 3 if conn.ts_ok else 4))  # RFC 2018 §3
        if blocks:
            _add_options(frame, pack_sack(blocks))
    elif rcv.dsack is not None:
        rcv.dsack = None
    frame.note = note


def fill_data(conn: "Connection", frame: TxFrame, now: int) -> None:
    """The range that transmit.next_range chose."""
    snd = conn.snd
    length = snd.out_len
    flags = ACK
    if snd.out_fin:
        flags |= FIN
    seq = snd.out_seq
    buffer = snd.buffer
    offset = buffer.base + ((seq - snd.snd_una) & MASK)
    # RFC 9293 §3.9.1.2 (MUST-60, MUST-61, SHLD-27): the last segment of what is buffered carries PSH
    if length and offset + length == buffer.end:
        flags |= PSH
    _header(conn, frame, seq, flags, now)
    rcv = conn.rcv
    if conn.sack_ok and rcv.ofo is not None and rcv.ofo.size:
        # RFC 2018 §4: SHOULD be on every ACK; here where the segment has room left for it
        fit = (snd.eff_snd_mss - length - SACK_HEAD) // SACK_BLOCK
        if fit > 0:
            _add_options(frame, pack_sack(rcv.sack_blocks(min(fit, 3 if conn.ts_ok else 4))))
    if length:
        buffer.view(offset, length)
        frame.payload = buffer.found
        frame.payload_off = buffer.found_off
        frame.payload_len = length
        mss = snd.eff_snd_mss
        if length > mss and not snd.out_mtu_probe:
            frame.gso_type = GSO_TCPV4
            frame.gso_size = mss
        if snd.ecn and snd.out_record is None and not snd.out_probe:
            _mark_capable(snd, frame)
    record = snd.out_record
    frame.note = WHY_NAMES[record.why] if record is not None else None
    snd.on_sent(now)
    if snd.out_mtu_probe:
        path_size.on_probe_sent(conn, now)


def _mark_capable(snd: "Sender", frame: TxFrame) -> None:
    """RFC 3168 §6.1.2, §6.1.4-6: new data alone is sent as ECT(0); the first after a reduction says CWR, of a
    super-segment in its first segment.
    """
    frame.flags |= ECT
    if snd.cwr_due:
        snd.cwr_due = False
        frame.header[L4_OFF + 13] |= CWR


def fill_probe(conn: "Connection", frame: TxFrame, now: int) -> bool:
    """A tail loss or zero-window probe, or a keep-alive when nothing waits; False when none is wanted any more."""
    snd = conn.snd
    if snd.tlp is not None and snd.tlp.due:
        if not tlp.take_probe(snd, snd.tlp):
            return False
        fill_data(conn, frame, now)
        frame.note = WHY_NAMES[WHY_PROBE]
        return True
    if persist.take_probe(snd):
        fill_data(conn, frame, now)
        frame.note = "zero-window probe"
        return True
    if snd.snd_una != snd.snd_nxt:
        return False
    # RFC 9293 §3.8.4 (SHLD-12): no data, the number before the next
    _header(conn, frame, (snd.snd_nxt - 1) & MASK, ACK, now)
    frame.note = "keep-alive"
    return True


def fill_syn(conn: "Connection", frame: TxFrame, now: int) -> None:
    """SYN in SYN-SENT, SYN-ACK in SYN-RECEIVED (RFC 9293 §3.5)."""
    conn.syn_due = False
    config, rcv = conn.config, conn.rcv
    active = conn.state == SYN_SENT
    flags = (SYN if active else SYN | ACK) | ecn.syn_flags(conn)
    if active:
        ack, wscale, sack_ok, ts_ok = 0, rcv.rcv_wscale if config.window_scaling else -1, config.sack, config.timestamps
    else:
        # only what the peer's SYN offered
        wscale = rcv.rcv_wscale if conn.peer_wscale >= 0 else -1
        ack, sack_ok, ts_ok = rcv.rcv_nxt, conn.sack_ok, conn.ts_ok
        rcv.last_ack_sent = rcv.rcv_nxt
    HEADER.pack_into(
        frame.header,
        L4_OFF,
        conn.local_port,
        conn.remote_port,
        conn.iss,
        ack,
        OFFSET_PLAIN | flags,
        rcv.syn_window_field(),
        0,
        0,
    )
    _close_plain(frame)
    # RFC 9293 §3.7.1 (MUST-14, MUST-65, MUST-67): from the receive limit, options not subtracted
    mss = max(min(conn.path_mss, config.mss_limit), min(DEFAULT_MSS, conn.path_mss))
    ts = (ts_now(conn, now), rcv.ts_recent if not active else 0) if ts_ok else None
    _add_options(frame, pack_syn_options(mss, wscale, sack_ok, ts))
    frame.note = f"SYN again, try {conn.syn_tries + 1}" if conn.syn_tries else None
    conn.ack_now = conn.ack_pending = False
    conn.timers.arm(RETRANSMIT, now + conn.snd.rtt.timeout_us())


def fill_rst(conn: "Connection", frame: TxFrame, now: int) -> None:
    """The reset that is due (RFC 9293 §3.5.2); in SYN-SENT and for a bad handshake ACK without ACK of its own."""
    seq = conn.rst_seq
    conn.rst_seq = -1
    handshake = SYN_SENT <= conn.state < ESTABLISHED
    if handshake:
        HEADER.pack_into(frame.header, L4_OFF, conn.local_port, conn.remote_port, seq, 0, OFFSET_PLAIN | RST, 0, 0, 0)
        _close_plain(frame)
    else:
        _header(conn, frame, seq, RST | ACK, now)
    frame.note = "reset"


def fill_reply(
    frame: TxFrame, ports: tuple[int, int], seq: int, ack: int, flags: int, window: int, options: bytes
) -> None:
    """A segment of no connection: RST, SYN cookie, TIME-WAIT answer.  `ports` is (ours, theirs)."""
    HEADER.pack_into(frame.header, L4_OFF, *ports, seq, ack, OFFSET_PLAIN | flags, window, 0, 0)
    _close_plain(frame)
    if options:
        _add_options(frame, options)
    frame.note = None
