"""Sequence acceptability and trimming (RFC 9293 §3.4, §3.10.7.4 first check), reassembly, delayed ACK (§3.8.6.3)."""

import pytest

from stack.tcp.events import READABLE
from stack.tcp.state import CLOSE_WAIT, ESTABLISHED
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, FIN, MS, PSH, URG, pattern


def _with_window(tcp, window, **settings):
    """An established scenario with a known, small receive window; returns it and the right edge."""
    t = tcp(recv_buffer=window, window_scaling=False, **settings).established()
    return t, t.rules.edge_out


@rfc("9293", "3.10.7.4", "T-WND-1")
def test_len_0_window_open(tcp):
    t, edge = _with_window(tcp, 8192)
    t.peer.sends(ACK, seq=1)
    t.peer.sends(ACK, seq=edge - 1)
    t.peer.expects_nothing()
    t.peer.sends(ACK, seq=0)
    t.peer.expects(ACK, ack=1)
    t.peer.sends(ACK, seq=edge + 1)
    t.peer.expects(ACK, ack=1)


def _closed_window(tcp):
    """Fill the receive window; the application reads nothing."""
    t, _ = _with_window(tcp, 4096)
    for _ in range(50):
        room = t.rules.edge_out - t.peer.nxt
        if room == 0:
            break
        t.peer.sends(ACK, data=pattern(min(room, 1000), t.peer.nxt - 1))
        t.clock.advance(ms=500)
        t.peer.drain()
    assert t.rules.edge_out == t.peer.nxt, "the window does not close"
    return t, t.peer.nxt


@rfc("9293", "3.10.7.4", "T-WND-1")
def test_len_0_window_closed(tcp):
    t, nxt = _closed_window(tcp)
    t.peer.sends(ACK, seq=nxt)
    t.peer.expects_nothing()
    t.peer.sends(ACK, seq=nxt + 1)
    t.peer.expects(ACK, ack=nxt, wnd=0)
    t.peer.sends(ACK, seq=nxt - 1)
    t.peer.expects(ACK, ack=nxt, wnd=0)


@rfc("9293", "3.10.7.4", "T-WND-1")
@rfc("9293", "3.8.6.1", "MUST-37")
def test_data_window_closed(tcp):
    """A window probe is answered with the current ACK and window, for ever; its octet is not taken."""
    t, nxt = _closed_window(tcp)
    t.events()
    for _ in range(30):
        t.peer.sends(ACK, seq=nxt, data=b"p")
        t.peer.expects(ACK, ack=nxt, wnd=0)
        t.clock.advance(s=60)
    assert t.state == ESTABLISHED
    assert len(t.recv()) == nxt - 1


@rfc("9293", "3.10.7.4", "T-WND-1")
def test_ack_field_is_processed_though_the_window_is_closed(tcp):
    """§3.10.7.4: with a zero window, valid ACKs, URGs and RSTs are still taken."""
    t, nxt = _closed_window(tcp)
    t.send(b"outgoing")
    t.peer.drain()
    t.peer.sends(ACK, seq=nxt)
    assert t.info.in_flight == 0
    t.clock.advance(s=10)
    t.peer.expects_nothing()


@rfc("9293", "3.10.7.4", "T-WND-1")
def test_segment_wholly_below_is_acked_and_dropped(tcp):
    t = tcp().established()
    t.peer.sends(ACK, seq=1, data=b"abc")
    t.peer.sends(ACK, seq=1, data=b"abc")
    assert t.peer.drain()[-1].ack == (t.peer.irs + 4) & 0xFFFFFFFF
    assert t.recv() == b"abc"


@rfc("9293", "3.10.7.4", "T-WND-1")
def test_overlap_on_the_left_is_trimmed(tcp):
    t = tcp().established()
    t.peer.sends(ACK, seq=1, data=b"abcd")
    t.peer.sends(ACK, seq=3, data=b"cdef")
    assert t.recv() == b"abcdef"


@rfc("9293", "3.10.7.4", "T-WND-1")
def test_overlap_on_the_right_is_trimmed(tcp):
    t, edge = _with_window(tcp, 4096)
    room = edge - 1
    done = 0
    while room - done > 1000:
        t.peer.sends(ACK, data=pattern(1000, done))
        done += 1000
    t.peer.sends(ACK | FIN, seq=done + 1, data=pattern(2000, done))
    t.clock.advance(ms=500)
    got = t.recv()
    assert got == pattern(len(got))
    assert done < len(got) <= room or len(got) == done
    assert t.state == ESTABLISHED, "the FIN lay outside of the window"


@rfc("9293", "3.10.7.4", "T-WND-1")
def test_data_wholly_beyond_the_window_is_dropped_and_acked(tcp):
    t, edge = _with_window(tcp, 4096)
    t.peer.sends(ACK, seq=edge, data=b"far away")
    t.peer.expects(ACK, ack=1)
    t.peer.sends(ACK, seq=edge + 5000, data=b"far away")
    t.peer.expects(ACK, ack=1)
    assert t.recv() == b""


@rfc("9293", "3.10.7.4", "SHLD-31")
@rfc("9293", "3.10.7.4", "MAY-13")
def test_out_of_order_is_queued_and_acked_at_once(tcp):
    t = tcp().established()
    t.peer.sends(ACK, seq=4, data=b"def")
    t.peer.expects(ACK, ack=1)
    assert not t.events() & READABLE
    t.peer.sends(ACK, seq=10, data=b"jkl")
    t.peer.expects(ACK, ack=1)
    t.peer.sends(ACK, seq=1, data=b"abc")
    t.peer.expects(ACK, ack=7)
    t.peer.sends(ACK, seq=7, data=b"ghi")
    t.peer.expects(ACK, ack=13)
    assert t.recv() == b"abcdefghijkl"


@rfc("9293", "3.10.7.4", "MUST-59")
def test_out_of_order_segments_of_one_burst_have_an_ack_each(tcp):
    """RFC 5681 §4.2: the sender counts duplicate ACKs; they may not be merged."""
    t = tcp().established()
    with t.burst():
        for seq in (11, 21, 31, 41):
            t.peer.sends(ACK, seq=seq, data=bytes(10))
    assert [(s.ack - t.peer.irs) & 0xFFFFFFFF for s in t.peer.drain()] == [1] * 4


@rfc("9293", "3.8.6.3", "MUST-58")
def test_in_order_segments_of_one_burst_share_an_ack(tcp):
    t = tcp().established()
    with t.burst():
        for i in range(8):
            t.peer.sends(ACK, data=pattern(1460, i * 1460))
    got = t.peer.drain()
    assert got[-1].ack == (t.peer.irs + 1 + 8 * 1460) & 0xFFFFFFFF
    assert len(got) <= 4, "RFC 9293 §3.8.6.3 (MUST-58): ACKs are aggregated"


@pytest.mark.parametrize(
    "order",
    [
        [(1, 5), (3, 9), (5, 20), (2, 4)],
        [(10, 20), (5, 15), (1, 30)],
        [(10, 12), (14, 16), (12, 14), (1, 10)],
        [(20, 25), (10, 15), (5, 30), (1, 5)],
        [(10, 20), (10, 20), (12, 18), (8, 22), (1, 8)],
        [(15, 20), (5, 10), (8, 16), (1, 6)],
    ],
)
@rfc("9293", "3.10.7.4")
def test_overlapping_pieces_give_the_stream(tcp, order):
    t = tcp().established()
    for first, last in order:
        t.peer.sends(ACK, seq=first, data=pattern(last - first, first - 1))
    end = max(last for _, last in order)
    assert t.recv() == pattern(end - 1)
    t.clock.advance(ms=500)
    assert t.peer.drain()[-1].ack == (t.peer.irs + end) & 0xFFFFFFFF


@rfc("9293", "3.10.7.4", "SACK-DOS")
def test_out_of_order_queue_is_bounded(tcp):
    """One-byte islands: the connection holds a bounded number of ranges, and recovers what it refused."""
    t = tcp(out_of_order_ranges=16).established(sack=True, wscale=7)
    for i in range(500):
        t.peer.sends(ACK, seq=3 + 2 * i, data=pattern(1, 2 + 2 * i))
        t.peer.drain()
    t.peer.sends(ACK, seq=1, data=pattern(1000, 0))
    assert t.recv() == pattern(1000)


@rfc("9293", "3.10.7.4", "SACK-DOS")
def test_out_of_order_bytes_are_bounded(tcp):
    t = tcp(out_of_order_bytes=10_000).established(sack=True, wscale=7)
    for i in range(100):
        t.peer.sends(ACK, seq=1001 + i * 1000, data=pattern(1000, 1000 + i * 1000))
    t.peer.drain()
    t.peer.sends(ACK, seq=1, data=pattern(1000, 0))
    got = bytes(t.recv())
    assert got == pattern(len(got))
    assert 1000 <= len(got) <= 12_000


# -- delayed ACK ------------------------------------------------------------------------------------------------


@rfc("9293", "3.8.6.3", "SHLD-18")
def test_ack_is_delayed(tcp):
    t = tcp(delayed_ack_us=100 * MS).established()
    # whatever a stack does in its first segments (quick ACK), a lone small segment later waits
    for _ in range(40):
        t.peer.sends(ACK, data=b"x")
        t.recv()
        t.clock.advance(ms=450)
    t.peer.drain()
    t.peer.sends(ACK, data=b"x")
    t.peer.expects_nothing()
    t.clock.advance(ms=99)
    t.peer.expects_nothing()
    t.clock.advance(ms=2)
    t.peer.expects(ACK, ack=t.peer.nxt)


@rfc("9293", "3.8.6.3", "MUST-40")
def test_ack_never_waits_half_a_second(tcp):
    t = tcp().established()
    for size in (1, 100, 1460, 7):
        t.peer.sends(ACK, data=bytes(size))
        t.clock.advance(ms=499)
        assert t.peer.drain()[-1].ack == (t.peer.irs + t.peer.nxt) & 0xFFFFFFFF


@rfc("9293", "3.8.6.3", "SHLD-19")
def test_every_second_full_segment_is_acked_at_once(tcp):
    t = tcp().established()
    for _ in range(20):
        t.peer.sends(ACK, data=bytes(1460))
        t.peer.sends(ACK, data=bytes(1460))
        assert t.peer.drain()[-1].ack == (t.peer.irs + t.peer.nxt) & 0xFFFFFFFF


@rfc("9293", "3.8.6.3", "SHLD-19")
def test_a_super_segment_is_acked_at_once(tcp):
    """A row of two or more full segments (GRO) is more than every second segment."""
    t = tcp().established()
    for _ in range(5):
        t.peer.sends(ACK, data=bytes(4 * 1460))
        t.peer.expects(ACK, ack=t.peer.nxt)


@rfc("5681", "4.2")
def test_ack_at_once_when_a_hole_is_filled(tcp):
    t = tcp().established()
    for _ in range(40):
        t.peer.sends(ACK, data=b"x")
        t.clock.advance(ms=450)
    t.peer.drain()
    n = t.peer.nxt
    t.peer.sends(ACK, seq=n + 20, data=bytes(10))
    t.peer.sends(ACK, seq=n + 40, data=bytes(10))
    t.peer.drain()
    t.peer.sends(ACK, seq=n, data=bytes(20))
    t.peer.expects(ACK, ack=n + 30)


@rfc("9293", "3.8.6.3")
def test_reply_carries_the_ack(tcp):
    t = tcp(delayed_ack_us=100 * MS).established()
    for _ in range(40):
        t.peer.sends(ACK, data=b"x")
        t.clock.advance(ms=450)
    t.peer.drain()
    t.peer.sends(ACK | PSH, data=b"ping")
    t.send(b"pong")
    t.peer.expects(ACK, ack=t.peer.nxt, data=b"pong")
    t.clock.advance(ms=400)
    for s in t.peer.drain():
        assert s.data, "the ACK was sent twice"


@rfc("9293", "3.8.6.2.2", "MUST-39")
@pytest.mark.parametrize("wscale", [None, 7])
def test_reading_sends_no_update_of_an_open_window(tcp, wscale):
    """The window moved by little or nothing: there is nothing to tell."""
    t = tcp().established(wscale=wscale)
    for _ in range(10):
        t.peer.sends(ACK, data=bytes(100))
        t.clock.advance(ms=450)
        t.peer.drain()
        t.recv()
        t.peer.expects_nothing()


# -- urgent data (RFC 9293 §3.8.5, RFC 6093) -------------------------------------------------------------------


@rfc("9293", "3.8.5", "MUST-31")
def test_urgent_data_is_announced_and_stays_in_the_stream(tcp):
    """RFC 6093 §4: the urgent pointer marks a point in the stream; data are delivered in line."""
    from stack.tcp.events import URGENT  # noqa: PLC0415

    t = tcp().established()
    t.events()
    t.peer.sends(ACK | URG, up=3, data=b"abcdef")
    assert t.events() & URGENT
    assert t.recv() == b"abcdef"


@rfc("9293", "3.8.5", "MUST-32")
def test_urgent_notice_before_the_data_arrives(tcp):
    from stack.tcp.events import URGENT  # noqa: PLC0415

    t = tcp().established()
    t.events()
    t.peer.sends(ACK | URG, up=1000, data=b"ab")
    assert t.events() & URGENT
    t.peer.sends(ACK | URG, up=998, data=b"cd")
    assert not t.events() & URGENT, "the mark did not advance"


@rfc("9293", "3.8.5")
@pytest.mark.parametrize("up", [0, 1, 65_535])
def test_any_urgent_pointer_is_survived(tcp, up):
    t = tcp().established()
    t.peer.sends(ACK | URG, up=up)
    t.peer.sends(ACK | URG, up=up, data=b"abc")
    t.peer.sends(ACK | URG | FIN, up=up)
    assert t.recv() == b"abc"
    assert t.state == CLOSE_WAIT
