"""The older machines as settings of the one engine, for lessons and measurements.

    conn = host.connect(address, port, config=profiles.get("go-back-n"))

Both ends take the same profile.  None of them answers to congestion: they are for networks of one's own, a simulation
above all.

stop-and-wait      One segment at a time: a window of one segment.  What ACKs cannot tell at that size (duplicates,
                   SACK, timestamps) is off, so that a 1500-byte packet carries 1460 bytes and a loss costs one timeout.

alternating-bit    Stop-and-wait whose segments need one bit as their number (Bartlett, Scantlebury, Wilkinson 1969).
                   TCP numbers bytes, so the segments are made an odd 1459 bytes long: the lowest bit of SEG.SEQ then
                   alternates from each full segment to the next, and the lowest bit of SEG.ACK names the one expected.
                   The engine goes on to compare all 32 bits; on a channel that keeps the order nothing but the lowest
                   one is needed to tell a new segment from a repeated one, as tests/sim/test_machines.py shows with a
                   receiver that looks at that bit alone.  Only the last, shorter segment of a stream may end the
                   alternation.

go-back-n          A window of N segments (`fixed_window_segs`); the receiver keeps nothing that is out of order; the
                   sender has one timer, and when it fires sends again all that is not acknowledged.  Off: SACK, fast
                   retransmit, the out-of-order queue.

selective-repeat   The same window; the receiver keeps what is out of order and acknowledges every range (SACK), the
                   sender repeats the ranges that are missing, one by one.  In the textbook each packet has a timer of
                   its own; here later ranges that arrived show which are missing, and the timer is the last resort.
"""

from dataclasses import replace
from typing import Final

from stack.config import TcpConfig
from stack.errors import ConfigError

WINDOW_SEGS: Final = 16
ALTERNATING_SEGMENT: Final = 1459  # odd, and at most what fits a packet of 1500 bytes
EVERY_SEGMENT: Final = 1 << 24  # so many segments are acknowledged at once: delayed ACKs are off
BUFFER: Final = 1 << 20  # at both ends from the start: `fixed_window_segs` alone limits

_PLAIN: Final = TcpConfig(
    congestion="fixed",
    nodelay=True,
    timestamps=False,
    tlp=False,
    mtu_probing=False,  # segments keep their size, however many are lost
    pacing="off",  # a window leaves at once
    quick_acks=EVERY_SEGMENT,
    send_buffer_initial=BUFFER,
    recv_buffer_initial=BUFFER,
)
_TIMER_ONLY: Final = replace(
    _PLAIN, sack=False, fast_retransmit=False, limited_transmit=False, frto=False, out_of_order_bytes=0
)

PROFILES: Final[dict[str, TcpConfig]] = {
    "stop-and-wait": replace(_TIMER_ONLY, fixed_window_segs=1),
    "alternating-bit": replace(_TIMER_ONLY, fixed_window_segs=1, mss_limit=ALTERNATING_SEGMENT),
    "go-back-n": replace(_TIMER_ONLY, fixed_window_segs=WINDOW_SEGS),
    "selective-repeat": replace(_PLAIN, fixed_window_segs=WINDOW_SEGS),
}


def names() -> list[str]:
    """The names that `get` knows."""
    return list(PROFILES)


def get(name: str) -> TcpConfig:
    """The settings called `name`; change them with `dataclasses.replace`.  Raises ConfigError for an unknown name."""
    if name not in PROFILES:
        raise ConfigError(f"profile {name!r} is not known; use one of {', '.join(PROFILES)}")
    return PROFILES[name]
