"""Closing: RFC 9293 §3.6, §3.10.4-5, FIN processing of §3.10.7.4, TIME-WAIT (RFC 1337, RFC 6191)."""

import pytest

from stack.errors import BrokenPipe, ConnectionReset
from stack.tcp.events import CLOSED as EV_CLOSED
from stack.tcp.events import EOF
from stack.tcp.state import (
    CLOSE_WAIT,
    CLOSED,
    CLOSING,
    ESTABLISHED,
    FIN_WAIT_1,
    FIN_WAIT_2,
    LAST_ACK,
    SYN_RECEIVED,
    TIME_WAIT,
)
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, FIN, MINUTE, RST, SECOND, SYN, URG


@rfc("9293", "3.6", "MUST-13")
def test_active_close(tcp):
    t = tcp().established()
    t.close()
    t.peer.expects(FIN | ACK, seq=1, ack=1)
    assert t.state == FIN_WAIT_1
    t.peer.sends(ACK)
    assert t.state == FIN_WAIT_2
    t.peer.sends(FIN | ACK)
    t.peer.expects(ACK, seq=2, ack=2)
    assert t.state == TIME_WAIT
    t.clock.advance(us=2 * t.config.msl_us - SECOND)
    assert t.state == TIME_WAIT
    t.clock.advance(s=2)
    assert t.state == CLOSED
    t.peer.expects_nothing()


@rfc("9293", "3.6")
def test_passive_close(tcp):
    t = tcp().established()
    t.peer.sends(FIN | ACK)
    t.peer.expects(ACK, seq=1, ack=2)
    assert t.state == CLOSE_WAIT
    assert t.events() & EOF
    t.close()
    t.peer.expects(FIN | ACK, seq=1, ack=2)
    assert t.state == LAST_ACK
    t.peer.sends(ACK)
    assert t.state == CLOSED
    assert t.events() & EV_CLOSED
    assert t.conn.error is None
    t.clock.advance(s=600)
    t.peer.expects_nothing()


@rfc("9293", "3.6", "MUST-12")
def test_normal_close_is_told_from_an_abort(tcp):
    t = tcp().established()
    t.close()
    t.peer.sends(FIN | ACK, ack=2)
    t.run(lambda: t.state == CLOSED)
    assert t.conn.error is None
    u = tcp().established()
    u.peer.sends(RST, seq=1)
    assert isinstance(u.conn.error, ConnectionReset)


@rfc("9293", "3.6", "T-FIN-2")
def test_simultaneous_close(tcp):
    t = tcp().established()
    t.close()
    t.peer.expects(FIN | ACK, seq=1, ack=1)
    t.peer.sends(FIN | ACK, seq=1, ack=1)
    t.peer.expects(ACK, seq=2, ack=2)
    assert t.state == CLOSING
    t.peer.sends(ACK, seq=2, ack=2)
    assert t.state == TIME_WAIT
    t.peer.expects_nothing()
    t.clock.advance(us=2 * t.config.msl_us + SECOND)
    assert t.state == CLOSED


@rfc("9293", "3.6", "T-FIN-2")
def test_simultaneous_close_with_crossing_data(tcp):
    t = tcp().established()
    t.send(b"ours")
    t.close()
    t.peer.drain()
    t.peer.sends(FIN | ACK, seq=1, ack=1, data=b"theirs")
    t.peer.expects(ACK, seq=6, ack=8)
    assert t.state == CLOSING
    assert t.recv() == b"theirs"
    t.peer.sends(ACK, seq=8, ack=6)
    assert t.state == TIME_WAIT


@rfc("9293", "3.6", "T-FIN-2")
def test_fin_and_ack_of_our_fin_combined(tcp):
    t = tcp().established()
    t.close()
    t.peer.expects(FIN | ACK, seq=1)
    t.peer.sends(FIN | ACK, seq=1, ack=2, data=b"last words")
    t.peer.expects(ACK, seq=2, ack=12)
    assert t.state == TIME_WAIT
    assert t.recv() == b"last words"


@rfc("9293", "3.10.7.4")
def test_closing_ignores_an_ack_that_does_not_cover_the_fin(tcp):
    t = tcp().established()
    t.send(b"abc")
    t.close()
    t.peer.drain()
    t.peer.sends(FIN | ACK, seq=1, ack=1)
    assert t.state == CLOSING
    t.peer.sends(ACK, seq=2, ack=4)
    assert t.state == CLOSING
    t.peer.sends(ACK, seq=2, ack=5)
    assert t.state == TIME_WAIT


@rfc("9293", "3.6", "MAY-1")
def test_half_close_receives_for_long(tcp):
    t = tcp().established()
    t.close()
    t.peer.sends(ACK, ack=2)
    assert t.state == FIN_WAIT_2
    for i in range(20):
        t.peer.sends(ACK, data=b"%04d" % i)
        t.recv()
        t.clock.advance(s=5)
    assert bytes(t.received) == b"".join(b"%04d" % i for i in range(20))
    t.peer.drain()
    t.peer.sends(FIN | ACK)
    assert t.state == TIME_WAIT


@rfc("9293", "3.6", "MAY-1")
def test_half_closed_by_the_peer_we_send_on(tcp):
    t = tcp().established()
    t.peer.sends(FIN | ACK)
    t.peer.drain()
    t.send(5000)
    while t.peer.inbox:
        t.peer.drain()
        t.peer.sends(ACK)
    assert t.peer.acked == 5001
    assert t.state == CLOSE_WAIT
    t.close()
    t.peer.expects(FIN | ACK, seq=5001, ack=2)


@rfc("9293", "3.10.4", "T-FIN-1")
def test_close_sends_queued_data_first(tcp):
    t = tcp().established(wnd=1000)
    t.send(2500)
    t.close()
    assert t.state in {FIN_WAIT_1, ESTABLISHED}
    t.peer.expects_data(1, 1001)
    t.peer.sends(ACK, ack=1001)
    t.peer.drain()
    t.peer.sends(ACK)
    s = t.peer.drain()[-1]
    assert s.flags & FIN
    assert t.peer.acked == 2502
    assert t.state == FIN_WAIT_1


@rfc("9293", "3.10.3")
def test_send_after_close_is_an_error(tcp):
    t = tcp().established()
    t.close()
    with pytest.raises(BrokenPipe):
        t.conn.send(b"x", t.clock.now)


@rfc("9293", "3.10.4", "T-FIN-1")
def test_fin_is_retransmitted(tcp):
    t = tcp().established()
    t.close()
    t.peer.expects(FIN | ACK, seq=1)
    t.until_sent()
    t.peer.expects(FIN | ACK, seq=1)
    t.until_sent()
    t.peer.expects(FIN | ACK, seq=1)
    t.peer.sends(ACK)
    assert t.state == FIN_WAIT_2
    t.clock.advance(s=20)
    t.peer.expects_nothing()


@rfc("9293", "3.10.4", "T-FIN-1")
def test_data_and_fin_are_retransmitted(tcp):
    t = tcp().established()
    t.send(b"abc")
    t.close()
    t.peer.drain()
    t.until_sent()
    s = (
        t.peer.expects(FIN | ACK, seq=1, length=-1)
        if t.peer.inbox[0].flags & FIN
        else t.peer.expects(ACK, seq=1, data=b"abc")
    )
    assert s.data == b"abc"
    t.peer.sends(ACK, ack=4)
    t.run(lambda: any(x.flags & FIN for x in t.peer.inbox))
    t.peer.drain()
    t.peer.sends(ACK, ack=5)
    assert t.state == FIN_WAIT_2


@rfc("9293", "3.10.7.4", "T-FIN-1")
def test_fin_out_of_order_waits_for_the_data(tcp):
    t = tcp().established()
    t.peer.sends(FIN | ACK, seq=4, data=b"def")
    t.peer.expects(ACK, ack=1)
    assert t.state == ESTABLISHED
    assert not t.events() & EOF
    t.peer.sends(ACK, seq=1, data=b"abc")
    t.peer.expects(ACK, ack=8)
    assert t.state == CLOSE_WAIT
    assert t.recv() == b"abcdef"


@rfc("9293", "3.10.7.4", "T-FIN-1")
def test_bare_fin_out_of_order_is_not_forgotten_or_taken_early(tcp):
    t = tcp().established()
    t.peer.sends(FIN | ACK, seq=4)
    assert t.state == ESTABLISHED
    t.peer.drain()
    t.peer.sends(ACK, seq=1, data=b"abc")
    if t.state == ESTABLISHED:  # not queued: the peer sends it again
        t.peer.sends(FIN | ACK, seq=4)
    t.clock.advance(ms=500)
    assert t.state == CLOSE_WAIT
    assert t.peer.drain()[-1].ack == (t.peer.irs + 5) & 0xFFFFFFFF


@rfc("9293", "3.10.7.4", "T-FIN-1")
def test_fin_with_data_in_the_middle_of_the_queue(tcp):
    """A peer whose FIN contradicts data it sent before is wrong; what it gets is defined and ends."""
    t = tcp().established()
    t.peer.sends(ACK, seq=4, data=b"XYZ")
    t.peer.sends(FIN | ACK, seq=1, data=b"abc")
    assert t.state in {CLOSE_WAIT, ESTABLISHED}
    assert t.recv() in {b"abc", b"abcXYZ"}
    t.peer.sends(RST, seq=t.rules.last_ack)
    assert t.state == CLOSED


@rfc("9293", "3.10.7.4", "T-FIN-1")
@pytest.mark.parametrize("known", [1, 2, 3])
def test_fin_behind_text_that_is_partly_known(tcp, known):
    t = tcp().established()
    t.peer.sends(ACK, data=b"abc"[:known])
    t.peer.sends(FIN | ACK, seq=1, data=b"abc")
    assert t.state == CLOSE_WAIT
    assert t.recv() == b"abc"
    t.clock.advance(ms=500)
    assert t.peer.drain()[-1].ack == (t.peer.irs + 5) & 0xFFFFFFFF


@rfc("9293", "3.10.7.4", "T-FIN-1")
def test_duplicate_fin_in_close_wait(tcp):
    t = tcp().established()
    t.peer.sends(FIN | ACK)
    t.peer.drain()
    t.peer.sends(FIN | ACK, seq=1)
    t.peer.expects(ACK, seq=1, ack=2)
    assert t.state == CLOSE_WAIT


@rfc("9293", "3.10.7.4", "T-FIN-1")
def test_urg_text_and_data_after_fin_are_ignored(tcp):
    t = tcp().established()
    t.peer.sends(FIN | ACK)
    t.peer.drain()
    t.peer.sends(ACK, seq=2, data=b"zombie")
    t.peer.sends(ACK | URG, seq=2, up=3, data=b"zombie")
    assert t.recv() == b""
    assert t.state == CLOSE_WAIT
    assert all(s.ack == (t.peer.irs + 2) & 0xFFFFFFFF for s in t.peer.drain())


@rfc("9293", "3.10.7.4", "T-FIN-3")
def test_time_wait_acks_a_retransmitted_fin_and_restarts(tcp):
    t = tcp().established()
    t.close()
    t.peer.sends(FIN | ACK, ack=2)
    assert t.state == TIME_WAIT
    t.peer.drain()
    t.clock.advance(us=2 * t.config.msl_us - SECOND)
    t.peer.sends(FIN | ACK, seq=1, ack=2)
    t.peer.expects(ACK, seq=2, ack=2)
    t.clock.advance(us=2 * t.config.msl_us - SECOND)
    assert t.state == TIME_WAIT
    t.clock.advance(s=2)
    assert t.state == CLOSED


@rfc("1337", "3", "1337-1")
@pytest.mark.parametrize("seq", [2, 3, 1])
def test_time_wait_ignores_rst(tcp, seq):
    t = tcp().established()
    t.close()
    t.peer.sends(FIN | ACK, ack=2)
    t.peer.drain()
    for flags in (RST, RST | ACK):
        t.peer.sends(flags, seq=seq, ack=2)
        assert t.state == TIME_WAIT
        t.peer.expects_nothing()


@rfc("9293", "3.10.7.4", "T-ST-TIME-WAIT")
def test_time_wait_answers_old_data_with_an_ack(tcp):
    t = tcp().established()
    t.peer.sends(ACK, data=b"abc")
    t.recv()
    t.close()
    t.peer.sends(FIN | ACK, ack=2)
    t.peer.drain()
    t.peer.sends(ACK, seq=1, data=b"abc")
    t.peer.expects(ACK, seq=2, ack=5)
    assert t.state == TIME_WAIT


def _time_wait(tcp, *, ts=False, **settings):
    t = tcp(**settings).listen()
    t.peer.sends(SYN, seq=0, mss=1460, ts=True if ts else None)
    t.peer.drain()
    t.peer.sends(ACK, seq=1, ack=1)
    t.close()
    t.peer.drain()
    t.peer.sends(FIN | ACK, seq=1, ack=2)
    t.peer.drain()
    assert t.state == TIME_WAIT
    return t


@rfc("6191", "2", "6191-1")
@rfc("9293", "3.6.1", "MAY-2")
def test_time_wait_reopened_by_a_newer_sequence_number(tcp):
    t = _time_wait(tcp)
    t.clock.advance(s=1)
    t.reincarnate(iss_of_peer_offset=50_000)
    t.peer.sends(SYN, seq=0, mss=1460)
    t.peer.expects(SYN | ACK, ack=1)
    assert t.state == SYN_RECEIVED


@rfc("6191", "2", "6191-1")
def test_time_wait_not_reopened_by_an_old_sequence_number(tcp):
    t = _time_wait(tcp)
    t.clock.advance(s=1)
    t.peer.sends(SYN, seq=-10_000, mss=1460)
    assert t.state == TIME_WAIT
    t.peer.expects(ACK, seq=2, ack=2)


@rfc("6191", "2", "6191-1")
@rfc("9293", "3.6.1", "SHLD-4")
def test_time_wait_reopened_by_a_newer_timestamp(tcp):
    """RFC 6191 §2: with timestamps, a greater TSval is enough whatever the sequence number."""
    t = _time_wait(tcp, ts=True)
    t.clock.advance(s=2)
    t.reincarnate(iss_of_peer_offset=-50_000)
    t.peer.sends(SYN, seq=0, mss=1460, ts=True)
    t.peer.expects(SYN | ACK, ack=1)
    assert t.state == SYN_RECEIVED


@rfc("6191", "2", "6191-1")
def test_time_wait_not_reopened_by_an_older_timestamp(tcp):
    t = _time_wait(tcp, ts=True)
    t.clock.advance(s=2)
    t.peer.sends(SYN, seq=50_000, mss=1460, ts=(t.peer.tsval - 5_000, 0))
    assert t.state == TIME_WAIT


@rfc("9293", "3.6.1", "T-FIN-4")
def test_fin_wait_2_times_out_once_the_application_is_gone(tcp):
    """The application that closed and can no longer read does not hold FIN-WAIT-2 for ever."""
    t = tcp(fin_wait_2_us=MINUTE).established()
    t.close()
    t.peer.sends(ACK, ack=2)
    assert t.state == FIN_WAIT_2
    t.detach()
    t.clock.advance(us=5 * MINUTE)
    assert t.state == CLOSED


@rfc("9293", "3.6.1", "SHLD-3")
def test_close_with_unread_data_resets(tcp):
    t = tcp().established()
    t.peer.sends(ACK, data=b"unread")
    t.peer.drain()
    t.detach()
    s = t.peer.drain()
    assert [x.flags & RST for x in s] == [RST]
    assert t.state == CLOSED


@rfc("9293", "3.6.1", "SHLD-3")
def test_data_arriving_after_full_close_resets(tcp):
    t = tcp().established()
    t.detach()
    t.peer.expects(FIN | ACK, seq=1)
    t.peer.sends(ACK, ack=2)
    t.peer.sends(ACK, data=b"too late")
    assert any(x.flags & RST for x in t.peer.drain())
    assert t.state == CLOSED


@rfc("9293", "3.10.5", "T-ABT-1")
@pytest.mark.parametrize("where", ["established", "fin_wait_1", "fin_wait_2", "close_wait"])
def test_abort_sends_rst(tcp, where):
    t = tcp().established()
    if where == "established":
        t.send(b"pending")
    if where.startswith("fin"):
        t.close()
    if where == "fin_wait_2":
        t.peer.sends(ACK)
    if where == "close_wait":
        t.peer.sends(FIN | ACK)
    t.peer.drain()
    nxt = t.peer.acked
    t.abort()
    s = t.peer.drain()
    assert len(s) == 1
    assert s[0].flags & RST
    assert (s[0].seq - t.iss) & 0xFFFFFFFF == nxt
    assert t.state == CLOSED
    t.clock.advance(s=600)
    t.peer.expects_nothing()


@rfc("9293", "3.10.5", "T-ABT-1")
@pytest.mark.parametrize("where", ["closing", "last_ack"])
def test_abort_when_both_have_closed_sends_nothing_more(tcp, where):
    """RFC 9293 §3.10.5: CLOSING, LAST-ACK, TIME-WAIT: delete the TCB, no reset needed (one does no harm)."""
    t = tcp().established()
    if where == "closing":
        t.close()
        t.peer.sends(FIN | ACK, ack=1)
    else:
        t.peer.sends(FIN | ACK)
        t.close()
    t.peer.drain()
    t.abort()
    assert t.state == CLOSED
    t.peer.drain()
    t.clock.advance(s=600)
    t.peer.expects_nothing()


@rfc("9293", "3.10.7.4", "T-ST-LAST-ACK")
def test_last_ack_retransmits_its_fin(tcp):
    t = tcp().established()
    t.peer.sends(FIN | ACK)
    t.close()
    t.peer.drain()
    t.until_sent()
    t.peer.expects(FIN | ACK, seq=1, ack=2)
    t.peer.sends(FIN | ACK, seq=1, ack=1)
    t.peer.expects(ACK, ack=2)
    assert t.state == LAST_ACK
    t.peer.sends(ACK, seq=2, ack=2)
    assert t.state == CLOSED


@rfc("9293", "3.10.7.4", "T-ST-CLOSING")
def test_closing_retransmits_its_fin(tcp):
    t = tcp().established()
    t.close()
    t.peer.sends(FIN | ACK, ack=1)
    t.peer.drain()
    t.until_sent()
    t.peer.expects(FIN | ACK, seq=1, ack=2)
