"""Connections that nobody holds any more: they end though the peer answers, when it takes nothing (RFC 6429)."""

import pytest

from stack.tcp.state import CLOSED, ESTABLISHED, FIN_WAIT_1, LAST_ACK
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, FIN, HOUR, MINUTE, RST, SECOND, signed_seq


def answer_probes(t, limit_us, wnd=0):
    """The peer acknowledges each probe with a window of `wnd`; how long the connection lives, at most so long."""
    start = t.clock.now
    while t.clock.now - start < limit_us and t.state != CLOSED:
        t.clock.jump()
        for s in t.peer.drain():
            if s.flags & RST:
                return t.clock.now - start
            t.peer.sends(ACK, ack=1, wnd=wnd)
    return t.clock.now - start


def shut(tcp, **settings):
    """A connection with a write waiting behind a window of zero."""
    t = tcp(**settings).established()
    t.peer.sends(ACK, wnd=0)
    t.send(5_000)
    t.peer.expects_nothing()
    return t


@rfc("6429", "3", "6429-2")
def test_an_orphan_behind_a_shut_window_ends(tcp):
    t = shut(tcp, orphan_timeout_us=MINUTE)
    t.detach()
    assert t.state == FIN_WAIT_1
    assert answer_probes(t, HOUR) <= 2 * MINUTE
    assert t.state == CLOSED


@pytest.mark.parametrize("piece", [1_000, 50_000])
@pytest.mark.parametrize("beyond", [False, True])
def test_what_exceeds_the_room_goes_with_the_application(tcp, beyond, piece):
    """All that was ever sent, and what there is room for, is sent; then FIN.  The control: nothing exceeds the room."""
    t = tcp(send_buffer=64 << 10, send_buffer_initial=64 << 10).established()
    t.peer.sends(ACK, wnd=2_000)
    for _ in range((200_000 if beyond else 50_000) // piece):
        t.send(piece)
    t.conn.snd.drop_excess()
    t.conn.snd.buffer.check_invariants()
    t.detach()
    kept = 64 << 10 if beyond else 50_000
    assert t.conn.snd.buffer.end == kept
    got, flags = 0, 0
    for _ in range(200):
        for s in t.peer.drain():
            got, flags = max(got, signed_seq(t, s) - 1 + len(s.data)), flags | s.flags
        if flags & FIN:
            break
        t.peer.sends(ACK, ack=1 + got, wnd=20_000)
        t.clock.advance(ms=1)
    assert flags & FIN
    assert got == kept


@rfc("6429", "3", "6429-2")
@rfc("9293", "3.8.6.1", "MUST-37")
def test_control_a_connection_that_is_held_stays(tcp):
    t = shut(tcp, orphan_timeout_us=MINUTE)
    t.close()
    assert t.state == FIN_WAIT_1
    assert answer_probes(t, 3 * HOUR) >= 3 * HOUR
    assert t.state == FIN_WAIT_1


@rfc("6429", "3", "6429-2")
def test_an_orphan_whose_peer_makes_progress_goes_on(tcp):
    t = tcp(orphan_timeout_us=MINUTE).established()
    t.peer.sends(ACK, wnd=100)
    t.send(2_000)
    t.detach()
    for _ in range(20):
        t.clock.advance(s=20)
        if t.peer.drain():
            t.peer.sends(ACK, wnd=100)
    assert t.rules.snd_una > 1_000
    assert t.state == FIN_WAIT_1


@rfc("6429", "3", "6429-2")
@pytest.mark.parametrize("passive", [False, True])
def test_an_orphan_whose_peer_is_silent_ends_sooner_than_a_held_one(tcp, passive):
    t = tcp(orphan_timeout_us=2 * MINUTE).established()
    if passive:
        t.peer.sends(FIN | ACK)
        t.peer.drain()
    t.detach()
    assert t.state == (LAST_ACK if passive else FIN_WAIT_1)
    start = t.clock.now
    t.run(lambda: t.state == CLOSED)
    assert t.clock.now - start == 2 * MINUTE
    held = tcp().established()
    held.close()
    held.clock.advance(s=2 * 60 + 1)
    assert held.state == FIN_WAIT_1


def test_the_user_timeout_bounds_an_orphan_too(tcp):
    t = tcp(orphan_timeout_us=10 * MINUTE, user_timeout_us=30 * SECOND).established()
    t.send(100)
    t.detach()
    start = t.clock.now
    t.run(lambda: t.state == CLOSED)
    assert t.clock.now - start == 30 * SECOND


@rfc("9293", "3.8.6.2", "MUST-38")
def test_a_window_of_one_byte_is_not_served_byte_by_byte(tcp):
    """A slow reader, or one that pretends: one small segment per override timeout, not one per acknowledgment."""
    t = tcp().established(wnd=10_000)
    t.peer.sends(ACK, wnd=1)
    t.send(5_000)
    start, sent = t.clock.now, 0
    while t.clock.now - start < 10 * SECOND:
        t.clock.jump()
        for s in t.peer.drain():
            sent += 1
            t.peer.sends(ACK, ack=None if len(s.data) else 1, wnd=1)
    assert t.state == ESTABLISHED
    assert sent <= 60  # one a minimum RTO; the peer could have had thousands
