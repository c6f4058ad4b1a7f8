"""A snapshot of one connection, for people and tests (what `ss -ti` shows)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from stack.config import NEVER
from stack.tcp.congestion.registry import algorithm
from stack.tcp.recovery import PHASES
from stack.tcp.state import NAMES
from stack.tcp.timers import NAMES as TIMER_NAMES

if TYPE_CHECKING:
    from stack.tcp.connection import Connection


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """Bytes, microseconds and counts; `timers` maps the running ones to their times."""

    state: str
    mss: int
    snd_una: int
    snd_nxt: int
    snd_wnd: int
    rcv_nxt: int
    rcv_wnd: int
    snd_wscale: int
    rcv_wscale: int
    timestamps: bool
    sack: bool
    ecn: bool
    cwnd: int
    ssthresh: int
    pacing_rate: int
    congestion: str
    congestion_state: dict[str, int | str]  # what the algorithm tells of itself
    phase: str
    srtt_us: int
    rttvar_us: int
    min_rtt_us: int
    rto_us: int
    backoff: int
    in_flight: int
    sacked: int
    lost: int
    retransmits: int
    lost_retransmits: int
    loss_detection: str
    reordering: bool
    reo_wnd_us: int
    reo_wnd_mult: int
    dsacks: int
    spurious: int
    tlp_probes: int
    unsent: int
    send_queue: int
    recv_queue: int
    out_of_order: int
    delivered: int
    delivery_rate: int
    timers: dict[str, int]


def snapshot(conn: "Connection") -> TcpInfo:
    """What `Connection.tcp_info` returns."""
    snd, rcv = conn.snd, conn.rcv
    controller, recovery = snd.controller, snd.recovery
    rack = recovery.rack
    return TcpInfo(
        state=NAMES[conn.state],
        mss=snd.eff_snd_mss,
        snd_una=snd.snd_una,
        snd_nxt=snd.snd_nxt,
        snd_wnd=snd.snd_wnd,
        rcv_nxt=rcv.rcv_nxt,
        rcv_wnd=rcv.rcv_wnd(),
        snd_wscale=snd.snd_wscale,
        rcv_wscale=rcv.rcv_wscale,
        timestamps=conn.ts_ok,
        sack=conn.sack_ok,
        ecn=snd.ecn,
        cwnd=controller.cwnd if controller else 0,
        ssthresh=controller.ssthresh if controller else 0,
        pacing_rate=snd.pacer.rate if snd.pacer is not None else 0,
        congestion=controller.name if controller else algorithm(conn.config.congestion).name,
        congestion_state=controller.describe() if controller else {},
        phase=PHASES[snd.recovery.phase],
        srtt_us=snd.rtt.srtt_us,
        rttvar_us=snd.rtt.rttvar_us,
        min_rtt_us=snd.rtt.min_rtt_us,
        rto_us=snd.rtt.timeout_us(),
        backoff=snd.rtt.backoff,
        in_flight=snd.in_flight() if controller else 0,
        sacked=snd.board.sacked_bytes,
        lost=snd.board.lost_bytes,
        retransmits=snd.total_retrans,
        lost_retransmits=snd.board.lost_retransmits,
        loss_detection="rack" if recovery.by_rack else "rfc6675" if recovery.sack else "dupack",
        reordering=snd.board.reordered,
        reo_wnd_us=rack.window_us if rack else 0,
        reo_wnd_mult=rack.mult if rack else int(recovery.by_rack),
        dsacks=recovery.dsacks,
        spurious=recovery.spurious,
        tlp_probes=snd.tlp.probes if snd.tlp is not None else 0,
        unsent=snd.unsent() if controller else conn.send_pending(),
        send_queue=conn.send_pending(),
        recv_queue=rcv.queued,
        out_of_order=rcv.ofo.size if rcv.ofo else 0,
        delivered=snd.delivery.total,
        delivery_rate=snd.delivery.rate(),
        timers={TIMER_NAMES[i]: at for i, at in enumerate(conn.timers.at) if at != NEVER},
    )
