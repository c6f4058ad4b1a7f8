"""`struct tcp_info` as Linux lays it out, for programs that ask a socket for TCP_INFO.

What Linux counts in segments is counted in bytes here and divided by the segment size; what is not counted is 0.
`Connection.tcp_info` tells more, under the names of the RFCs.
"""

import struct
from typing import Final

from stack.config import MS
from stack.tcp import recovery, state
from stack.tcp.connection import Connection
from stack.wire.seq import MASK

# <linux/tcp.h>, up to tcpi_total_rto_time (Linux 6.7); native byte order without gaps, as the kernel writes it
LAYOUT: Final = struct.Struct("=8B24I4Q6IQ3Q2I2Q2I2I2I2HI")

# <net/tcp_states.h>
STATES: Final = {
    state.ESTABLISHED: 1,
    state.SYN_SENT: 2,
    state.SYN_RECEIVED: 3,
    state.FIN_WAIT_1: 4,
    state.FIN_WAIT_2: 5,
    state.TIME_WAIT: 6,
    state.CLOSED: 7,
    state.CLOSE_WAIT: 8,
    state.LAST_ACK: 9,
    state.LISTEN: 10,
    state.CLOSING: 11,
}
# enum tcp_ca_state
CA_OPEN: Final = 0
CA_DISORDER: Final = 1
CA_RECOVERY: Final = 3
CA_LOSS: Final = 4
OPT_TIMESTAMPS: Final = 1
OPT_SACK: Final = 2
OPT_WSCALE: Final = 4
OPT_ECN: Final = 8
NO_SSTHRESH: Final = 0x7FFF_FFFF
NO_RATE_LIMIT: Final = (1 << 64) - 1
TOO_MANY: Final = 0xFFFF_FFFF
IP_AND_TCP: Final = 40  # headers without options
REORDERING: Final = 3  # of Linux; with RACK it is a time here, not a number of segments


def pack(conn: Connection, now: int) -> bytes:
    """The whole structure; the caller cuts it to the length that was asked for."""
    return LAYOUT.pack(*_head(conn), *_state(conn, now), *_totals(conn))


def _ca_state(conn: Connection) -> int:
    phase = conn.snd.recovery.phase
    if phase == recovery.LOSS:
        return CA_LOSS
    if phase == recovery.RECOVERY:
        return CA_RECOVERY
    return CA_DISORDER if conn.snd.board.sacked_bytes or conn.snd.recovery.dupacks else CA_OPEN


def _head(conn: Connection) -> list[int]:
    """The bytes at the beginning."""
    snd, rcv = conn.snd, conn.rcv
    scaled = conn.peer_wscale >= 0
    options = (
        (OPT_TIMESTAMPS if conn.ts_ok else 0)
        | (OPT_SACK if conn.sack_ok else 0)
        | (OPT_WSCALE if scaled else 0)
        | (OPT_ECN if snd.ecn else 0)
    )
    limited = snd.delivery.app_limited_until != 0
    return [
        STATES[conn.state],
        _ca_state(conn),
        min(snd.timeouts, 255),
        min(conn.keepalive_sent + snd.persist_backoff, 255),
        min(snd.rtt.backoff, 255),
        options,
        (snd.snd_wscale & 15) | (rcv.rcv_wscale & 15) << 4,
        int(limited),
    ]


def _state(conn: Connection, now: int) -> list[int]:
    """tcpi_rto to tcpi_total_retrans."""
    snd, rcv, board, config = conn.snd, conn.rcv, conn.snd.board, conn.config
    controller, mss = snd.controller, snd.eff_snd_mss
    cwnd, ssthresh = (controller.cwnd, controller.ssthresh) if controller is not None else (mss, NO_SSTHRESH * mss)
    heard_ms = max(now - conn.last_rx_at, 0) // MS
    words = [
        snd.rtt.timeout_us(),
        config.delayed_ack_us,
        mss,
        rcv.rcv_mss,
        -(-((snd.snd_nxt - snd.snd_una) & MASK) // mss),
        -(-board.sacked_bytes // mss),
        -(-board.lost_bytes // mss),
        -(-board.retrans_bytes // mss),
        0,  # fackets
        max(now - snd.last_sent_at, 0) // MS,
        0,  # last_ack_sent, which Linux does not tell either
        heard_ms,
        heard_ms,
        conn.path_mss + IP_AND_TCP,
        rcv.limit,
        snd.rtt.srtt_us,
        snd.rtt.rttvar_us,
        min(ssthresh // mss, NO_SSTHRESH),
        max(cwnd // mss, 1),
        rcv.max_mss,
        REORDERING,
        rcv.rtt_us,
        rcv.limit,
        snd.total_retrans,
    ]
    return [min(word, TOO_MANY) for word in words]


def _totals(conn: Connection) -> list[int]:
    """tcpi_pacing_rate to the end."""
    snd, rcv = conn.snd, conn.rcv
    received = (rcv.rcv_nxt - rcv.irs - 1) & MASK if conn.state >= state.ESTABLISHED else 0
    sent = snd.buffer.base + ((snd.snd_nxt - snd.snd_una) & MASK)
    mss = snd.eff_snd_mss
    words = [min(word, TOO_MANY) for word in (snd.unsent() if snd.controller is not None else 0, snd.rtt.min_rtt_us)]
    return [
        (snd.pacer.rate if snd.pacer is not None else 0) or NO_RATE_LIMIT,
        conn.config.max_pacing_rate or NO_RATE_LIMIT,
        snd.buffer.base,
        max(received - int(rcv.fin_received), 0),
        *(0, 0),  # segments out, in
        *words,
        *(0, 0),  # data segments in, out
        snd.delivery.rate(),
        *(0, 0, 0),  # time busy, and limited by the window and by the buffer
        *(min(snd.delivery.total // mss, TOO_MANY), 0),
        sent,
        0,  # bytes sent again
        *(min(snd.recovery.dsacks, TOO_MANY), int(snd.board.reordered)),
        *(-(-rcv.ofo.size // rcv.rcv_mss) if rcv.ofo is not None else 0, min(snd.snd_wnd, TOO_MANY)),
        *(rcv.rcv_wnd(), 0),
        *(0, 0, 0),
    ]
