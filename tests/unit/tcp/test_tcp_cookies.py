"""What a SYN cookie keeps (RFC 4987 §3.6): with timestamps everything that the SYN negotiated, without them the MSS."""

from itertools import product

import pytest

from stack.config import TcpConfig
from stack.tcp.connection import Connection
from stack.tcp.listener import MSS_CLASSES, Cookie, Listener
from stack.tcp.segment import ACK, CWR, ECE, SYN, Segment
from stack.tcp.state import ESTABLISHED
from stack.wire.tcp import parse_syn
from tests.support.rfc import rfc
from tests.support.tcp_codec import encode_options

NOW, LOCAL, REMOTE, RPORT, IRS = 1_000_000_000_123, 1, 2, 4000, 77
# the peer's MSS and what is used of it: the class at or below, and never more than our path carries
SIZES = (
    *((None, 536), (256, 256), (300, 256), (536, 536), (1_219, 536)),
    *((1_300, 1_220), (1_448, 1_440), (1_460, 1_460), (9_000, 1_460)),
)


def syn(mss, wscale, sack, ts, ecn):
    seg = Segment()
    seg.seq, seg.wnd = IRS, 60_000
    seg.flags = SYN | (ECE | CWR if ecn else 0)
    seg.has_ts, seg.tsval = ts, 5_000
    seg.options = encode_options(mss=mss, wscale=wscale, sack_ok=sack)
    return seg


def by_cookie(seg, config):
    """The cookie that answers `seg`, and the connection that its acknowledgment makes."""
    listener = Listener(0, 80, config, 1, b"k" * 16)
    other = listener.on_syn(syn(1460, 7, True, True, True), LOCAL, 80, 9, 9, 1460, 0, NOW)
    assert isinstance(other, Connection)  # it fills the backlog
    cookie = listener.on_syn(seg, LOCAL, 80, REMOTE, RPORT, 1460, 0, NOW)
    assert isinstance(cookie, Cookie)
    ack = Segment()
    ack.seq, ack.ack, ack.flags, ack.wnd, ack.has_ts = IRS + 1, (cookie.iss + 1) & 0xFFFFFFFF, ACK, 60_000, seg.has_ts
    ack.tsval, ack.tsecr = 5_001, stamp_of(cookie)
    conn = listener.on_ack(ack, LOCAL, 80, REMOTE, RPORT, 1460, 0, NOW + 20_000)
    assert conn is not None
    conn.on_segment(ack, NOW + 20_000)
    assert conn.state == ESTABLISHED
    return cookie, conn


def stamp_of(cookie):
    """TSval of the SYN-ACK."""
    return parse_syn(cookie.options).tsval


CASES = list(product(SIZES, (None, 0, 1, 7, 14), (False, True), (False, True), (False, True)))


@rfc("4987", "3.6", "4987-1")
def test_everything_is_kept_with_timestamps_and_the_segment_size_without():
    for (mss, used), wscale, sack, ts, ecn in CASES:
        cookie, conn = by_cookie(syn(mss, wscale, sack, ts, ecn), TcpConfig())
        what = (mss, wscale, sack, ts, ecn)
        assert conn.peer_mss == used or conn.effective_mss() == used - 12 * ts, what
        assert conn.ts_ok == ts, what
        assert conn.snd.snd_wscale == (wscale or 0) * ts, what
        assert (conn.peer_wscale >= 0) == (ts and wscale is not None), what
        assert conn.sack_ok == (ts and sack), what
        assert (conn.snd.ecn, conn.rcv.ecn) == (ts and ecn,) * 2, what
        # the SYN-ACK promised just that
        promised = parse_syn(cookie.options)
        assert promised.has_ts == ts, what
        assert promised.sack_ok == (ts and sack), what
        assert (promised.wscale >= 0) == (ts and wscale is not None), what
        assert cookie.flags == SYN | ACK | (ECE if ts and ecn else 0), what


@rfc("4987", "3.6", "4987-1")
@pytest.mark.parametrize(
    ("settings", "lost"),
    [
        ({"timestamps": False}, {"ts", "sack", "wscale", "ecn"}),
        ({"sack": False}, {"sack"}),
        ({"window_scaling": False}, {"wscale"}),
        ({"ecn": "off"}, {"ecn"}),
    ],
)
def test_what_we_do_not_want_is_not_in_a_cookie_either(settings, lost):
    cookie, conn = by_cookie(syn(1460, 7, True, True, True), TcpConfig(**settings))
    promised = parse_syn(cookie.options)
    assert {
        "ts": not (promised.has_ts or conn.ts_ok),
        "sack": not (promised.sack_ok or conn.sack_ok),
        "wscale": promised.wscale < 0 and conn.peer_wscale < 0,
        "ecn": not (cookie.flags & ECE or conn.snd.ecn),
    } == {name: name in lost for name in ("ts", "sack", "wscale", "ecn")}


@rfc("4987", "3.6", "4987-1")
def test_a_changed_bit_of_a_cookie_makes_no_connection():
    """The hash covers addresses, ports and the peer's number; class and time are bound to it by what they say."""
    listener = Listener(0, 80, TcpConfig(), 1, b"k" * 16)
    listener.on_syn(syn(1460, 7, True, True, True), LOCAL, 80, 9, 9, 1460, 0, NOW)
    cookie = listener.on_syn(syn(1460, 7, True, False, False), LOCAL, 80, REMOTE, RPORT, 1460, 0, NOW)
    assert isinstance(cookie, Cookie)
    taken = []
    for bit in range(32):
        seg = Segment()
        seg.seq, seg.flags, seg.wnd = IRS + 1, ACK, 60_000
        seg.ack = ((cookie.iss ^ 1 << bit) + 1) & 0xFFFFFFFF
        if listener.on_ack(seg, LOCAL, 80, REMOTE, RPORT, 1460, 0, NOW) is not None:
            taken.append(bit)
    # 24 bits of hash; three of the MSS class, which harm only who changes them; five of time
    assert [bit for bit in taken if not 24 <= bit < 27] == []
    assert len(MSS_CLASSES) == 8
