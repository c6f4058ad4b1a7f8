"""The window that we offer: rounding of the field (RFC 7323 §2), super-segments, the end of the stream."""

import pytest

from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, FIN


@rfc("7323", "2.4")
def test_tiny_segments_do_not_push_the_window_past_the_buffer(tcp):
    """Each ACK rounds the window up to the unit of its field: that must not add up."""
    t = tcp(recv_buffer=1 << 18, recv_buffer_initial=1 << 18, delayed_ack_us=1).established(wscale=7)
    t.rules.trusting = False  # the field may say less than was offered
    for _ in range(3000):
        t.peer.sends(ACK, data=b"tiniest")
        t.clock.advance(us=10)
        t.peer.drain()
    assert t.conn.rcv.queued + t.conn.rcv.rcv_wnd() <= (17 << 14) + 8


@rfc("7323", "2.3", "7323-2.3")
def test_a_coarse_window_field_does_not_move_the_edge_left(tcp):
    t = tcp(recv_buffer=1 << 30, recv_buffer_initial=1 << 30).established(wscale=7)
    for _ in range(30):
        t.peer.sends(ACK, data=bytes(700))
        t.peer.sends(ACK, data=bytes(700))
        t.recv(1_000)
        t.peer.drain()


@rfc("9293", "3.8.6.3", "SHLD-18")
def test_a_super_segment_does_not_make_acks_rare(tcp):
    """The device may hand over many segments as one: what is full-sized stays what the peer may send."""
    t = tcp(quick_acks=0).established()
    t.peer.sends(ACK, data=bytes(29_200))
    t.peer.expects(ACK, ack=29_201)
    for _ in range(2):
        t.peer.sends(ACK, data=bytes(1460))
    t.peer.expects(ACK, ack=29_201 + 2920)


@rfc("5681", "4.2")
@pytest.mark.parametrize("again", [False, True], ids=["gap", "duplicate"])
def test_after_a_loss_the_next_segments_are_acknowledged_at_once(tcp, again):
    """A sender that repairs has a small window: the delayed ACK of a lone segment would be all that it waits for."""
    t = tcp(quick_acks=4).established()
    at = 1
    for _ in range(5):
        t.peer.sends(ACK, seq=at, data=bytes(100))
        at += 100
    t.clock.advance(ms=100)  # the delayed ACK of the last
    t.peer.drain()
    t.peer.sends(ACK, seq=at, data=bytes(100))
    t.peer.expects_nothing()
    if again:
        t.peer.sends(ACK, seq=at, data=bytes(100))
        at += 100
    else:
        t.peer.sends(ACK, seq=at + 200, data=bytes(100))
        t.peer.sends(ACK, seq=at + 100, data=bytes(100))
        at += 300
    t.peer.drain()
    for _ in range(4):
        t.peer.sends(ACK, seq=at, data=bytes(100))
        at += 100
        t.peer.expects(ACK, ack=at)
    t.peer.sends(ACK, seq=at, data=bytes(100))
    t.peer.expects_nothing()


def test_no_window_update_after_the_fin(tcp):
    t = tcp(recv_buffer=8192, window_scaling=False).established()
    t.peer.sends(ACK, data=bytes(4096))
    t.peer.sends(ACK | FIN, data=bytes(4000))
    t.peer.drain()
    t.recv()
    t.peer.expects_nothing()


@rfc("7323", "2.3", "7323-2.3")
def test_a_receive_buffer_smaller_than_the_unit_of_the_window_field_can_be_told(tcp):
    """recv_buffer needs a shift of 7; a buffer that begins with less than 128 bytes would be a window of 0 for ever."""
    t = tcp(recv_buffer=6 << 20, recv_buffer_initial=1).established(wscale=0)
    t.peer.sends(ACK, seq=1, ack=1, data=b"x" * 100)
    assert t.recv() == b"x" * 100
    t.peer.drain()
    assert t.conn.rcv.limit >= 1 << t.conn.rcv.rcv_wscale > 100
    for i in range(5):
        t.peer.sends(ACK, seq=101 + i, ack=1, data=b"y")
        assert t.recv() == b"y"
