"""Resets and blind attacks: RFC 9293 §3.5.2-3, §3.10.7.4 first to fifth check; RFC 5961; RFC 5927; ICMP (§3.9.2.2)."""

import pytest

from stack.errors import ConnectionReset
from stack.tcp.events import CLOSED as EV_CLOSED
from stack.tcp.events import READABLE
from stack.tcp.state import CLOSE_WAIT, CLOSED, ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, SYN_SENT
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, FIN, RST, SECOND, SYN


def _to(t, state):
    """Bring an established scenario to a synchronised state, by segments."""
    if state in {FIN_WAIT_1, FIN_WAIT_2}:
        t.close()
    if state == FIN_WAIT_2:
        t.peer.sends(ACK)
    if state == CLOSE_WAIT:
        t.peer.sends(FIN | ACK)
    t.peer.drain()
    assert t.state == state
    return t


@rfc("5961", "3.2", "5961-3")
@pytest.mark.parametrize("state", [ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT])
def test_rst_at_rcv_nxt_resets(tcp, state):
    t = _to(tcp().established(), state)
    t.peer.sends(RST)
    assert t.state == CLOSED
    assert isinstance(t.conn.error, ConnectionReset)
    assert t.events() & EV_CLOSED
    t.clock.advance(s=600)
    t.peer.expects_nothing()


@rfc("5961", "3.2", "5961-3")
@pytest.mark.parametrize("state", [ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT])
def test_rst_inside_the_window_is_challenged(tcp, state):
    t = _to(tcp().established(), state)
    for offset in (1, 500, 30_000):
        t.clock.advance(s=2)
        t.peer.drain()
        t.peer.sends(RST, seq=t.peer.nxt + offset)
        t.peer.expects(ACK, ack=t.peer.nxt)
        assert t.state == state


@rfc("5961", "3.2", "5961-3")
def test_control_without_a_challenge_the_window_is_the_target(tcp):
    """Control of the challenge: the very same RST with the exact number does kill."""
    t = tcp().established()
    t.peer.sends(RST, seq=2)
    assert t.state == ESTABLISHED
    t.peer.sends(RST, seq=1)
    assert t.state == CLOSED


@rfc("5961", "3.2", "5961-3")
def test_rst_outside_the_window_is_dropped_silently(tcp):
    t = tcp().established()
    for seq in (0, -10, 1 << 30, -(1 << 30)):
        t.peer.sends(RST, seq=seq)
    t.peer.expects_nothing()
    assert t.state == ESTABLISHED


@rfc("5961", "3.2")
def test_peer_that_lost_its_state_answers_the_challenge_with_an_exact_rst(tcp):
    t = tcp().established()
    t.peer.sends(ACK, data=b"abc")
    t.peer.drain()
    t.peer.sends(RST, seq=100)
    challenge = t.peer.expects(ACK, ack=4)
    t.peer.sends(RST, seq=(challenge.ack - t.peer.irs) & 0xFFFFFFFF)
    assert t.state == CLOSED


@rfc("9293", "3.8.6", "MUST-66")
def test_rst_taken_with_a_zero_receive_window(tcp):
    t = tcp(recv_buffer=4096).established()
    t.peer.sends(ACK, data=bytes(1460))
    t.peer.sends(ACK, data=bytes(1460))
    while (t.peer.drain() or [None])[-1] is not None:
        t.clock.advance(ms=500)
    t.peer.sends(RST)
    assert t.state == CLOSED


@rfc("9293", "3.5.2", "SHLD-2")
def test_rst_with_data_resets_and_its_data_is_ignored(tcp):
    t = tcp().established()
    t.peer.sends(RST | ACK, data=b"no thanks")
    assert t.state == CLOSED
    assert t.recv() == b""


@rfc("9293", "3.10.7.4")
@pytest.mark.parametrize("state", [ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT])
def test_data_received_in_order_before_the_reset_can_be_read(tcp, state):
    t = tcp().established()
    t.send(b"pending")
    t.peer.drain()
    t.peer.sends(ACK, data=b"in order, ")
    t.peer.sends(ACK, data=b"all of it")
    t.peer.sends(ACK, data=b"out of order", seq=t.peer.nxt + 100)
    t.peer.drain()
    _to(t, state)
    t.peer.sends(RST)
    assert t.state == CLOSED
    assert isinstance(t.conn.error, ConnectionReset)
    events = t.events()
    assert events & EV_CLOSED
    assert events & READABLE
    assert t.recv(8) == b"in order"
    assert t.recv() == b", all of it"
    assert t.recv() == b""


@rfc("9293", "3.10.7.4")
def test_what_was_not_sent_before_the_reset_is_lost_and_the_error_is_told(tcp):
    t = tcp().established()
    t.send(b"pending")
    t.peer.drain()
    t.peer.sends(RST)
    assert isinstance(t.conn.error, ConnectionReset)
    assert t.conn.send_pending() == 0


@rfc("5961", "4.2", "5961-4")
@pytest.mark.parametrize("state", [ESTABLISHED, FIN_WAIT_1, FIN_WAIT_2, CLOSE_WAIT])
@pytest.mark.parametrize("seq", [-100_000, -1, 0, 1, 100, 200_000])
@pytest.mark.parametrize("flags", [SYN, SYN | ACK, SYN | FIN])
def test_syn_in_a_synchronised_state_is_challenged(tcp, state, seq, flags):
    t = _to(tcp().established(), state)
    expected = t.peer.nxt
    t.peer.sends(flags, seq=seq, mss=1460)
    t.peer.expects(ACK, ack=expected)
    t.peer.expects_nothing()
    assert t.state == state


@rfc("5961", "7", "5961-7")
def test_challenge_acks_are_limited(tcp):
    t = tcp(challenge_acks_per_s=10).established()
    for _ in range(200):
        t.peer.sends(SYN, seq=50)
    assert 1 <= len(t.peer.drain()) <= 20
    assert t.state == ESTABLISHED
    t.clock.advance(s=2)
    t.peer.sends(SYN, seq=50)
    t.peer.expects(ACK, ack=1)


@rfc("5961", "7", "5961-7")
def test_challenge_ack_limit_is_a_setting(tcp):
    """Control: with a high limit every one is answered."""
    t = tcp(challenge_acks_per_s=100_000).established()
    for _ in range(200):
        t.peer.sends(SYN, seq=50)
    assert len(t.peer.drain()) == 200


@rfc("5961", "7", "5961-7")
def test_challenge_ack_limit_does_not_leak_to_another_connection(tcp):
    """CVE-2016-5696: an attacker who exhausts one connection's limit learns nothing about another's."""
    t, other = tcp().established(), tcp().established()
    for _ in range(200):
        t.peer.sends(SYN, seq=50)
    other.peer.sends(SYN, seq=50)
    other.peer.expects(ACK, ack=1)


@rfc("5961", "5.2", "5961-5")
@rfc("9293", "3.10.7.4", "MAY-12")
@pytest.mark.parametrize("offset", [1, 1_000, 1 << 30, -70_000, -(1 << 30)])
def test_data_with_an_ack_out_of_range_is_dropped_and_acked(tcp, offset):
    t = tcp().established()
    t.send(b"x" * 100)
    t.peer.drain()
    t.peer.sends(ACK)
    t.peer.sends(ACK, ack=101 + offset, data=b"injected")
    t.peer.expects(ACK, ack=1)
    assert t.recv() == b""


@rfc("5961", "5.2", "5961-5")
def test_data_with_an_old_but_plausible_ack_is_taken(tcp):
    t = tcp().established()
    t.send(b"x" * 100)
    t.peer.drain()
    t.peer.sends(ACK)
    t.peer.sends(ACK, ack=1, data=b"reordered")
    assert t.recv() == b"reordered"


@rfc("9293", "3.10.7.4", "T-ACK-1")
def test_ack_of_unsent_data_is_answered_and_dropped(tcp):
    t = tcp().established()
    t.peer.sends(ACK, ack=2)
    t.peer.expects(ACK, seq=1, ack=1)
    t.send(b"abc")
    t.peer.expects(ACK, seq=1, data=b"abc")
    t.peer.sends(ACK, ack=5)
    t.peer.expects(ACK, seq=4, ack=1)
    t.until_sent()
    t.peer.expects(ACK, seq=1, data=b"abc")


@rfc("9293", "3.10.7.4")
@pytest.mark.parametrize("flags", [0, FIN])
def test_segment_without_ack_is_dropped(tcp, flags):
    t = tcp().established()
    t.peer.sends(flags, data=b"naked")
    t.peer.expects_nothing()
    assert t.recv() == b""
    assert t.state == ESTABLISHED


# -- ICMP (RFC 9293 §3.9.2.2, RFC 5927) -------------------------------------------------------------------------

UNREACHABLE, TIME_EXCEEDED, PARAMETER_PROBLEM, QUENCH = 3, 11, 12, 4


@rfc("9293", "3.9.2.2", "MUST-56")
@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (UNREACHABLE, 0),
        (UNREACHABLE, 1),
        (UNREACHABLE, 5),
        (TIME_EXCEEDED, 0),
        (TIME_EXCEEDED, 1),
        (PARAMETER_PROBLEM, 0),
    ],
)
@pytest.mark.parametrize("opened", [False, True])
def test_soft_icmp_errors_never_abort(tcp, kind, code, opened):
    t = tcp()
    if opened:
        t.established().send(b"x")
    else:
        t.open()
    t.icmp(kind, code, seq=1 if opened else 0)
    assert t.state == (ESTABLISHED if opened else SYN_SENT)


@rfc("9293", "3.9.2.2", "SHLD-26")
@pytest.mark.parametrize("code", [2, 3])
def test_hard_icmp_error_ends_an_opening_connection(tcp, code):
    t = tcp().open()
    t.icmp(UNREACHABLE, code, seq=0)
    assert t.state == CLOSED
    assert isinstance(t.conn.error, OSError)


@rfc("5927", "5.2", "5927-1")
@pytest.mark.parametrize("code", [2, 3])
def test_hard_icmp_error_is_soft_in_a_synchronised_state(tcp, code):
    t = tcp().established()
    t.send(b"x")
    t.icmp(UNREACHABLE, code, seq=1)
    assert t.state == ESTABLISHED
    t.peer.drain()
    t.peer.sends(ACK)
    t.send(b"y")
    assert t.peer.acked == 3


@rfc("5927", "4.1", "5927-1")
@pytest.mark.parametrize("seq", [-1, 1, 1 << 30, -(1 << 30)])
def test_icmp_error_that_quotes_nothing_in_flight_is_ignored(tcp, seq):
    t = tcp().open()
    t.icmp(UNREACHABLE, 3, seq=seq)
    assert t.state == SYN_SENT


@rfc("9293", "3.9.2.2", "MUST-55")
def test_source_quench_is_discarded(tcp):
    t = tcp().established()
    t.send(20_000)
    t.peer.drain()
    before = t.info.cwnd
    t.icmp(QUENCH, 0, seq=1)
    assert t.info.cwnd == before
    assert t.state == ESTABLISHED
    t.peer.expects_nothing()


# -- path MTU (RFC 1191, RFC 5927 §7) ---------------------------------------------------------------------------

FRAG_NEEDED = 4


@rfc("1191", "6.3", "1191-1")
def test_frag_needed_resends_smaller_without_touching_cwnd(tcp):
    t = tcp(congestion="newreno").established()
    t.send(5 * 1460)
    t.peer.drain()
    before = t.info.cwnd
    t.icmp(UNREACHABLE, FRAG_NEEDED, mtu=1000, seq=1)
    if not t.peer.inbox:
        t.until_sent()
    got = t.peer.drain()
    assert all(len(s.data) <= 960 for s in got), [len(s.data) for s in got]
    assert (got[0].seq - t.iss) & 0xFFFFFFFF == 1
    assert t.info.cwnd >= min(before, 10 * 960)
    for _ in range(20):
        t.peer.sends(ACK)
        assert all(len(s.data) <= 960 for s in t.peer.drain())
        if t.peer.acked == 5 * 1460 + 1:
            break
        if t.deadline - t.clock.now < SECOND * 5:
            t.clock.jump()
    assert t.peer.acked == 5 * 1460 + 1


@rfc("1191", "6.3", "1191-1")
def test_frag_needed_lowers_the_segment_size_from_then_on(tcp):
    t = tcp().established()
    t.send(1460)
    t.peer.drain()
    t.icmp(UNREACHABLE, FRAG_NEEDED, mtu=576, seq=1)
    t.peer.sends(ACK)
    t.run(lambda: t.peer.acked == 1461)
    t.peer.sends(ACK)
    t.peer.drain()
    t.send(3000)
    assert max(len(s.data) for s in t.peer.drain()) == 536


@rfc("5927", "7.2", "5927-1")
@pytest.mark.parametrize("seq", [0, 1461, 1 << 30])
def test_frag_needed_that_quotes_nothing_in_flight_is_ignored(tcp, seq):
    t = tcp().established()
    t.send(1460)
    t.peer.drain()
    t.icmp(UNREACHABLE, FRAG_NEEDED, mtu=576, seq=seq)
    t.peer.expects_nothing()
    t.peer.sends(ACK)
    t.send(1460)
    t.peer.expects(ACK, seq=1461, length=1460)
