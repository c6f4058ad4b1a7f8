"""How large a segment the path carries: ICMP reports weighed, black holes found, larger sizes tried again.

Theory of operation.  Three things set the segment size: the path MTU that IP knows (`Connection.path_mss`), what a
router reports, and what this file finds out alone.  A `PathSize` is made when one of the latter two has something to
say; without one the size is `path_mss`.  Sizes count payload and TCP options, as an MSS does.

A report of "fragmentation needed" is believed at once while no segment of the present size was acknowledged.  Later it
waits (`report`) for the retransmission timer: segments that get through need no smaller size (RFC 5927 §7.2).

A black hole swallows large segments and says nothing (RFC 4821 §7, RFC 8899): after repeated timeouts of full-size
segments the size is lowered step by step (`limit`).  When data gets through again, larger sizes are searched for, the
path's own first: `Sender.mtu_probe` asks for one segment of real data of the size to try, which becomes `mtu_record`;
a timeout later the PMTU timer looks whether it arrived.  A probe that is lost costs no window.  When the search is
over, it begins anew after `mtu_raise_us`.
"""

from typing import TYPE_CHECKING, Final

from mypy_extensions import mypyc_attr

from stack.tcp.receiver import PATH_MTU
from stack.tcp.scoreboard import LOST
from stack.tcp.state import ESTABLISHED
from stack.tcp.timers import PMTU
from stack.wire.seq import HALF, MASK
from stack.wire.tcp import LEN_TS

if TYPE_CHECKING:
    from stack.tcp.connection import Connection
    from stack.tcp.sender import Sender

STEPS: Final = (1024, 536, 256)  # RFC 4821 §7.2, §7.7: sizes that nearly every path carries
TIMEOUTS: Final = 2  # of the same segment before its size is suspected
TIMEOUTS_CONFIRMED: Final = 4  # when segments of that size were acknowledged before
PROBE_TRIES: Final = 2  # RFC 8899 §5.1.2 allows 3: each is a timeout's wait here
NEAR_ENOUGH: Final = 32  # RFC 4821 §7.6.1: what a further search would gain at most
FOLLOWERS: Final = 4  # segments behind a probe, so that its loss is noticed without a timeout (RFC 4821 §7.4)


@mypyc_attr(acyclic=True)
class PathSize:
    """What is known besides the path MTU of IP."""

    __slots__ = ("high", "limit", "probe", "report", "report_seq", "tries")

    def __init__(self, size: int) -> None:
        self.limit = size  # segments are no larger
        self.high = size  # nor is it worth trying more
        self.probe = 0  # the size being tried, 0: none
        self.tries = 0
        self.report = 0  # MTU that a router reported and that is not believed yet
        self.report_seq = 0  # the number that the report quoted


def _of(conn: "Connection") -> PathSize:
    if conn.path_size is None:
        conn.path_size = PathSize(conn.path_mss)
    return conn.path_size


def set_path_mss(conn: "Connection", mss: int, max_gso: int) -> None:
    """The path carries payloads of at most `mss` bytes now (MTU - 40); what is outstanding and does not fit is sent
    again at once, without a congestion response (RFC 1191 §6.5, 1191-1).
    """
    snd = conn.snd
    forget(conn)
    conn.path_mss = mss
    conn.max_gso = snd.max_gso = max_gso
    if conn.state < ESTABLISHED:
        return
    before = snd.eff_snd_mss
    snd.set_mss(conn.effective_mss())
    if snd.eff_snd_mss < before and snd.snd_una != snd.snd_nxt and not snd.probing:
        snd.resend_all()


def is_confirmed(snd: "Sender") -> bool:
    """Whether segments of the present size were acknowledged since it was set."""
    return snd.buffer.base > snd.mss_since + snd.eff_snd_mss


def weigh(conn: "Connection", mtu: int, seq: int) -> bool:
    """A router reports `mtu`, quoting `seq`, which is outstanding: whether to believe it now (5927-2)."""
    if not is_confirmed(conn.snd):
        return True
    known = _of(conn)
    known.report, known.report_seq = mtu, seq
    return False


def take_report(conn: "Connection") -> int:
    """The MTU that a report still stands for, 0 for none; asked when the retransmission timer has fired."""
    known, snd = conn.path_size, conn.snd
    if known is None or not known.report:
        return 0
    mtu, known.report = known.report, 0
    # RFC 5927 §7.2: what was acknowledged meanwhile went through, whatever the report says
    return mtu if (known.report_seq - snd.snd_una) & MASK < (snd.snd_nxt - snd.snd_una) & MASK else 0


def forget(conn: "Connection") -> None:
    """IP knows another path MTU: the search ends."""
    conn.path_size = conn.snd.mtu_record = None
    conn.snd.mtu_probe = 0
    conn.timers.cancel(PMTU)


def on_timeout(conn: "Connection", now: int) -> int:
    """The retransmission timer fired, and the Sender knows; returns PATH_MTU when a report is to be believed now."""
    known = conn.path_size
    if known is not None and known.report:
        return PATH_MTU
    if conn.config.mtu_probing and conn.snd.snd_wnd:
        _suspect_size(conn, now)
    return 0


def _suspect_size(conn: "Connection", now: int) -> None:
    """RFC 4821 §7.7 (4821-1): the same segment vanishes again and again; send smaller ones than it."""
    snd = conn.snd
    needed = TIMEOUTS_CONFIRMED if is_confirmed(snd) else TIMEOUTS
    first = snd.board.first()
    if snd.timeouts < needed or snd.timeouts % TIMEOUTS or first is None:
        return
    # it need not be of full size: what is left of one may still be too large for the path
    lower = next((step for step in STEPS if step < min((first.end - first.seq) & MASK, snd.eff_snd_mss)), 0)
    if not lower:
        return  # it is small already
    known = _of(conn)
    known.limit, known.high, known.tries, known.probe = lower, conn.full_mss(), 0, 0
    snd.mtu_probe, snd.mtu_record = 0, None
    snd.set_mss(conn.effective_mss())
    conn.timers.arm(PMTU, now + snd.rtt.timeout_us())


def on_pmtu_timer(conn: "Connection", now: int) -> None:
    """What has become of the probe; or it is time for one."""
    known, snd = conn.path_size, conn.snd
    if known is None:
        return
    record = snd.mtu_record
    if record is not None:
        # retransmitted: it was lost, whatever arrived in the end
        lost = record.transmissions > 1 or bool(record.mark & LOST)
        if not lost and 0 < (record.end - snd.snd_una) & MASK < HALF:
            conn.timers.arm(PMTU, now + snd.rtt.timeout_us())  # not heard of yet
            return
        snd.mtu_record = None
        _settle(conn, known, arrived=not lost)
    elif snd.mtu_probe:
        return  # it waits for data to be made of, and will set the timer
    elif snd.timeouts:
        conn.timers.arm(PMTU, now + snd.rtt.timeout_us())  # nothing gets through at all
        return
    elif known.high < conn.full_mss():
        known.high, known.tries = conn.full_mss(), 0  # RFC 4821 §7.1: the path may have changed
    _search(conn, known, now)


def _settle(conn: "Connection", known: PathSize, *, arrived: bool) -> None:
    if arrived:
        known.limit, known.tries = known.probe, 0
        conn.snd.set_mss(conn.effective_mss())
        return
    known.tries += 1
    if known.tries >= PROBE_TRIES:
        known.high, known.tries = known.probe - 1, 0


def _search(conn: "Connection", known: PathSize, now: int) -> None:
    """Ask for the next probe, or rest."""
    full = conn.full_mss()
    if known.limit >= full:
        forget(conn)
        return
    high = min(known.high, full)
    if high - known.limit < NEAR_ENOUGH and high < full:
        conn.timers.arm(PMTU, now + conn.config.mtu_raise_us)
        return
    # RFC 4821 §7.3: the likely size first, then halves
    known.probe = high if high == full else (known.limit + high + 1) // 2
    conn.snd.mtu_probe = known.probe - (LEN_TS if conn.ts_ok else 0)


def on_probe_sent(conn: "Connection", now: int) -> None:
    """A segment of the size to try has gone out."""
    snd = conn.snd
    snd.mtu_probe = 0
    snd.out_mtu_probe = False
    snd.mtu_record = snd.board.last()
    conn.timers.arm(PMTU, now + snd.rtt.timeout_us())


def is_lost_alone(snd: "Sender") -> bool:
    """Whether the probe is all that is missing: no sign of congestion then (RFC 4821 §7.5)."""
    record = snd.mtu_record
    return record is not None and bool(record.mark & LOST) and snd.board.lost_bytes == (record.end - record.seq) & MASK
