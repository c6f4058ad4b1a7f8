"""Opening: RFC 9293 §3.5 and §3.10.7.2-3, RFC 6298 §5.7 for the SYN, R2 of §3.8.3."""

import pytest

from stack.errors import ConnectionRefused, ConnectionTimedOut
from stack.tcp.events import CLOSED as EV_CLOSED
from stack.tcp.events import CONNECTED, READABLE
from stack.tcp.state import CLOSE_WAIT, CLOSED, ESTABLISHED, FIN_WAIT_1, LISTEN, SYN_RECEIVED, SYN_SENT
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, FIN, HOUR, MINUTE, MS, PSH, RST, SECOND, SYN, pattern


@rfc("9293", "3.5")
def test_active_open(tcp):
    t = tcp().open()
    assert t.state == SYN_SENT
    t.peer.expects(SYN, seq=0, ack=None, mss=1460)
    t.peer.sends(SYN | ACK, seq=0, mss=1460)
    t.peer.expects(ACK, seq=1, ack=1)
    t.peer.expects_nothing()
    assert t.state == ESTABLISHED
    assert t.events() & CONNECTED


@rfc("9293", "3.5")
def test_passive_open(tcp):
    t = tcp().listen()
    assert t.state == LISTEN
    t.peer.sends(SYN, seq=0, mss=1460)
    t.peer.expects(SYN | ACK, seq=0, ack=1, mss=1460)
    assert t.state == SYN_RECEIVED
    t.peer.sends(ACK)
    t.peer.expects_nothing()
    assert t.state == ESTABLISHED
    assert t.events() & CONNECTED


@rfc("9293", "3.5", "MUST-10")
def test_simultaneous_open(tcp):
    t = tcp().open()
    t.peer.expects(SYN, seq=0)
    t.peer.sends(SYN, seq=0, mss=1460)
    t.peer.expects(SYN | ACK, seq=0, ack=1)
    assert t.state == SYN_RECEIVED
    t.peer.sends(SYN | ACK, seq=0, ack=1, mss=1460)
    assert t.state == ESTABLISHED
    t.send(b"x")
    t.peer.drain()
    assert t.peer.acked == 2


@rfc("7323", "2.2", "7323-2.2")
def test_the_window_of_a_syn_ack_in_a_simultaneous_open_is_not_scaled(tcp):
    t = tcp().open()
    t.peer.drain()
    t.peer.sends(SYN, seq=0, mss=1460, wscale=7, wnd=100)
    t.peer.expects(SYN | ACK, seq=0, ack=1)
    t.peer.sends(SYN | ACK, seq=0, ack=1, mss=1460, wscale=7, wnd=100)
    assert t.state == ESTABLISHED
    t.send(bytes(1000))
    t.peer.drain()
    assert t.conn.snd.snd_wnd == 100
    assert t.peer.acked <= 101
    t.peer.sends(ACK, seq=1, ack=1, wnd=100)
    assert t.conn.snd.snd_wnd == 100 << 7


@rfc("9293", "3.5", "MUST-10")
def test_simultaneous_open_ended_by_a_plain_ack(tcp):
    t = tcp().open()
    t.peer.sends(SYN, seq=0, mss=1460)
    t.peer.drain()
    t.peer.sends(ACK, seq=1, ack=1, data=b"hello")
    assert t.state == ESTABLISHED
    assert t.recv() == b"hello"


@rfc("9293", "3.5", "MUST-10")
def test_simultaneous_open_keeps_negotiated_options(tcp):
    t = tcp().open()
    t.peer.drain()
    t.peer.sends(SYN, seq=0, mss=1000, wscale=3, sack_ok=True, ts=True)
    t.peer.expects(SYN | ACK, seq=0, ack=1, sack_ok=True)
    t.peer.sends(SYN | ACK, seq=0, ack=1, mss=1000, wscale=3, sack_ok=True, ts=True)
    assert t.state == ESTABLISHED
    t.peer.drain()
    t.peer.sends(ACK, seq=3, data=b"later")
    s = t.peer.expects(ACK, ack=1, sack=[(3, 8)])
    assert s.ts is not None


@rfc("9293", "3.10.7.3", "T-HS-2")
def test_syn_retransmitted_with_backoff_and_the_same_options(tcp):
    t = tcp().open()
    first = t.peer.expects(SYN, seq=0)
    waits = []
    for _ in range(4):
        waits.append(t.until_sent())
        again = t.peer.expects(SYN, seq=0)
        assert (again.mss, again.wscale, again.sack_ok, again.ts is None) == (
            first.mss,
            first.wscale,
            first.sack_ok,
            first.ts is None,
        )
    assert waits == [SECOND, 2 * SECOND, 4 * SECOND, 8 * SECOND]


@rfc("9293", "3.10.7.4", "T-HS-2")
def test_syn_ack_retransmitted_with_backoff(tcp):
    t = tcp().listen()
    t.peer.sends(SYN, seq=0, mss=1460, wscale=2, sack_ok=True)
    first = t.peer.expects(SYN | ACK, seq=0, ack=1)
    waits = []
    for _ in range(3):
        waits.append(t.until_sent())
        again = t.peer.expects(SYN | ACK, seq=0, ack=1)
        assert (again.mss, again.wscale, again.sack_ok) == (first.mss, first.wscale, first.sack_ok)
    assert waits == [SECOND, 2 * SECOND, 4 * SECOND]
    t.peer.sends(ACK)
    assert t.state == ESTABLISHED


@rfc("9293", "3.8.3", "MUST-23")
def test_syn_gives_up_only_after_three_minutes(tcp):
    t = tcp().open()
    start = t.clock.now
    t.run(lambda: t.state == CLOSED)
    assert 3 * MINUTE <= t.clock.now - start <= HOUR
    assert isinstance(t.conn.error, ConnectionTimedOut)
    assert t.events() & EV_CLOSED


@rfc("9293", "3.8.3", "MUST-22")
def test_r2_of_the_syn_is_settable(tcp):
    t = tcp(syn_retries_us=10 * MINUTE).open()
    t.clock.advance(s=599)
    assert t.state == SYN_SENT
    t.run(lambda: t.state == CLOSED)


@rfc("9293", "3.8.3", "MUST-20")
def test_syn_received_gives_up(tcp):
    t = tcp().listen()
    t.peer.sends(SYN, seq=0, mss=1460)
    t.run(lambda: t.state in {CLOSED, LISTEN})
    t.peer.drain()
    t.clock.advance(s=600)
    t.peer.expects_nothing()


@rfc("9293", "3.10.7.3", "MUST-18")
def test_syn_ack_after_retransmission_is_taken(tcp):
    t = tcp().open()
    t.clock.advance(s=3)
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, ack=1, mss=1460)
    t.peer.expects(ACK, seq=1, ack=1)
    assert t.state == ESTABLISHED


@rfc("9293", "3.10.7.3")
def test_third_ack_lost_syn_ack_comes_again(tcp):
    t = tcp().established()
    t.peer.sends(SYN | ACK, seq=0, ack=1, mss=1460)
    t.peer.expects(ACK, seq=1, ack=1)
    assert t.state == ESTABLISHED


@rfc("9293", "3.10.7.4", "T-HS-1")
def test_third_ack_lost_recovered_by_data(tcp):
    t = tcp().listen()
    t.peer.sends(SYN, seq=0, mss=1460)
    t.peer.drain()
    t.peer.sends(ACK | PSH, seq=1, ack=1, data=b"request")
    assert t.state == ESTABLISHED
    assert t.recv() == b"request"


@rfc("9293", "3.10.7.4", "T-HS-1")
def test_fin_on_the_third_ack(tcp):
    t = tcp().listen()
    t.peer.sends(SYN, seq=0, mss=1460)
    t.peer.drain()
    t.peer.sends(ACK | FIN, seq=1, ack=1, data=b"bye")
    t.peer.expects(ACK, seq=1, ack=5)
    assert t.state == CLOSE_WAIT
    assert t.recv() == b"bye"


@rfc("9293", "3.10.7.2", "T-HS-1")
def test_data_in_syn_is_not_lost(tcp):
    """The data is kept until ESTABLISHED, or not acknowledged so that the peer sends it again; never given early."""
    t = tcp().listen()
    t.peer.sends(SYN, seq=0, mss=1460, data=b"early")
    s = t.peer.expects(SYN | ACK, seq=0)
    got = (s.ack - t.peer.irs) & 0xFFFFFFFF
    assert got in {1, 6}
    assert not t.events() & READABLE
    t.peer.sends(ACK, seq=got, data=b"early"[got - 1 :] + b"+more")
    assert t.recv() == b"early+more"


@rfc("9293", "3.10.7.3", "T-HS-1")
def test_data_in_syn_ack_is_not_lost(tcp):
    t = tcp().open()
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, ack=1, mss=1460, data=b"banner")
    s = t.peer.expects(ACK, seq=1)
    got = (s.ack - t.peer.irs) & 0xFFFFFFFF
    assert got in {1, 7}
    if got == 1:
        t.peer.sends(ACK, seq=1, data=b"banner")
    assert t.recv() == b"banner"


@rfc("9293", "3.10.7.3", "T-HS-1")
def test_syn_ack_with_fin(tcp):
    t = tcp().open()
    t.peer.drain()
    t.peer.sends(SYN | ACK | FIN, seq=0, ack=1, mss=1460)
    t.peer.drain()
    if t.state == ESTABLISHED:  # the FIN may be ignored here; then it comes again
        t.peer.sends(FIN | ACK, seq=1, ack=1)
    assert t.state == CLOSE_WAIT


@rfc("9293", "3.10.7.4", "T-HS-2")
def test_duplicate_syn_in_syn_received(tcp):
    """RFC 9293 §3.10.7.4: a SYN below the window is answered with an ACK (the SYN-ACK does it too), state stays."""
    t = tcp().listen()
    t.peer.sends(SYN, seq=0, mss=1460)
    t.peer.drain()
    t.peer.sends(SYN, seq=0, mss=1460)
    for s in t.peer.drain():
        assert s.flags & ACK
        assert not s.flags & RST
    assert t.state == SYN_RECEIVED
    t.peer.sends(ACK, seq=1, ack=1)
    assert t.state == ESTABLISHED


@rfc("9293", "3.10.7.3", "T-RST-2")
@pytest.mark.parametrize("ack", [0, 2, 100, -5])
def test_syn_sent_unacceptable_ack_is_reset(tcp, ack):
    t = tcp().open()
    t.peer.drain()
    t.peer.sends(ACK, seq=0, ack=ack)
    t.peer.expects(RST, seq=ack)
    assert t.state == SYN_SENT


@rfc("9293", "3.10.7.3", "T-RST-2")
def test_syn_sent_syn_with_unacceptable_ack_is_reset(tcp):
    """The half-open peer of RFC 9293 §3.5.1: an old connection answers with its numbers and must be reset."""
    t = tcp().open()
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=77, ack=5_000)
    t.peer.expects(RST, seq=5_000)
    assert t.state == SYN_SENT
    t.peer.sends(SYN | ACK, seq=0, ack=1, mss=1460)
    assert t.state == ESTABLISHED


@rfc("9293", "3.10.7.3", "T-RST-2")
def test_syn_sent_rst_without_acceptable_ack_is_ignored(tcp):
    t = tcp().open()
    t.peer.drain()
    t.peer.sends(RST, seq=0)
    t.peer.sends(RST | ACK, seq=0, ack=0)
    t.peer.sends(RST | ACK, seq=0, ack=2)
    t.peer.expects_nothing()
    assert t.state == SYN_SENT


@rfc("9293", "3.10.7.3", "T-RST-2")
def test_connection_refused(tcp):
    t = tcp().open()
    t.peer.drain()
    t.peer.sends(RST | ACK, seq=0, ack=1, wnd=0)
    assert t.state == CLOSED
    assert isinstance(t.conn.error, ConnectionRefused)
    assert t.events() & EV_CLOSED
    t.clock.advance(s=300)
    t.peer.expects_nothing()


@rfc("9293", "3.10.7.3")
def test_syn_sent_ignores_segments_with_neither_syn_nor_rst(tcp):
    t = tcp().open()
    t.peer.drain()
    t.peer.sends(0, seq=0, data=b"x")
    t.peer.sends(FIN, seq=0)
    t.peer.expects_nothing()
    t.peer.sends(ACK, seq=0, ack=1)
    t.peer.expects_nothing()
    assert t.state == SYN_SENT


@rfc("9293", "3.10.7.2", "T-ST-LISTEN")
@pytest.mark.parametrize("flags", [RST, RST | ACK, RST | SYN, 0, FIN])
def test_listen_drops_silently(tcp, flags):
    t = tcp().listen()
    t.peer.sends(flags, seq=9, ack=55)
    t.peer.expects_nothing()
    assert t.state == LISTEN


@rfc("9293", "3.5.2", "MUST-11")
def test_reset_in_syn_received_from_listen_returns_to_listen(tcp):
    t = tcp().listen()
    t.peer.sends(SYN, seq=0, mss=1460)
    t.peer.drain()
    t.peer.sends(RST, seq=1)
    assert t.state == LISTEN
    t.clock.advance(s=300)
    t.peer.expects_nothing()
    t.peer.sends(SYN, seq=0, mss=1460)
    t.peer.expects(SYN | ACK, seq=0, ack=1)


@rfc("9293", "3.5.2", "MUST-11")
def test_reset_in_syn_received_from_active_open_is_refused(tcp):
    t = tcp().open()
    t.peer.sends(SYN, seq=0, mss=1460)
    t.peer.drain()
    assert t.state == SYN_RECEIVED
    t.peer.sends(RST, seq=1)
    assert t.state == CLOSED
    assert isinstance(t.conn.error, ConnectionRefused)


@rfc("9293", "3.10.7.4", "T-HS-2")
def test_syn_received_unacceptable_ack_is_reset(tcp):
    t = tcp().listen()
    t.peer.sends(SYN, seq=0, mss=1460)
    t.peer.drain()
    t.peer.sends(ACK, seq=1, ack=9)
    t.peer.expects(RST, seq=9)
    assert t.state == SYN_RECEIVED
    t.peer.sends(ACK, seq=1, ack=0)
    assert t.state == SYN_RECEIVED


@rfc("9293", "3.10.1")
def test_data_queued_before_established_goes_out_after(tcp):
    t = tcp().open()
    t.peer.expects(SYN, seq=0)
    t.send(b"early bird")
    t.peer.expects_nothing()
    t.peer.sends(SYN | ACK, seq=0, ack=1, mss=1460)
    got = b"".join(s.data for s in t.peer.drain())
    assert got == b"early bird"
    assert t.peer.acked == 11


@rfc("9293", "3.10.4")
def test_close_in_syn_sent(tcp):
    t = tcp().open()
    t.peer.drain()
    t.close()
    assert t.state == CLOSED
    t.clock.advance(s=600)
    t.peer.expects_nothing()


@rfc("9293", "3.10.4")
def test_close_in_syn_received(tcp):
    t = tcp().open()
    t.peer.sends(SYN, seq=0, mss=1460)
    t.peer.drain()
    t.close()
    t.peer.sends(ACK, seq=1, ack=1)
    t.peer.expects(FIN | ACK, seq=1, ack=1)
    assert t.state == FIN_WAIT_1


@rfc("9293", "3.10.5", "T-ABT-1")
def test_abort_in_syn_sent_sends_nothing(tcp):
    t = tcp().open()
    t.peer.drain()
    t.abort()
    t.peer.expects_nothing()
    assert t.state == CLOSED


@rfc("9293", "3.10.5", "T-ABT-1")
def test_abort_in_syn_received_sends_rst(tcp):
    t = tcp().open()
    t.peer.sends(SYN, seq=0, mss=1460)
    t.peer.drain()
    t.abort()
    s = t.peer.drain()
    assert len(s) == 1
    assert s[0].flags & RST
    assert t.state == CLOSED


@rfc("6298", "5.7", "6298-5.7")
def test_rto_after_a_lost_syn_is_three_seconds(tcp):
    """RFC 6298 §5.7: the SYN timer expired with an RTO under 3 s, so data starts with 3 s."""
    t = tcp(timestamps=False).open()
    t.clock.advance(ms=1500)
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, ack=1, mss=1460)
    t.peer.drain()
    t.send(b"x")
    t.peer.expects(ACK, seq=1, length=1)
    assert t.until_sent() == 3 * SECOND
    t.peer.expects(ACK, seq=1, length=1)


@rfc("6928", "2", "6928-1")
def test_initial_window_after_a_lost_syn_is_one_segment(tcp):
    t = tcp().open()
    t.clock.advance(ms=1500)
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, ack=1, mss=1000)
    t.peer.drain()
    t.send(20_000)
    t.peer.expects_data(1, 1001)


@rfc("9293", "3.8.3")
def test_syn_rtt_measured_when_not_retransmitted(tcp):
    t = tcp(rto_min_us=100 * MS).open()
    t.clock.advance(ms=200)
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, ack=1, mss=1460)
    t.peer.drain()
    t.send(pattern(10))
    t.peer.drain()
    # RFC 6298 §2.2: RTO = R + 4 * R/2 = 3 R
    assert abs(t.until_sent() - 600 * MS) <= 20 * MS
