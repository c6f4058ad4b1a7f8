"""The retransmission timer: RFC 6298, Karn's rule, R1/R2 of RFC 9293 §3.8.3, user timeout, keep-alive (§3.8.4)."""

import pytest

from stack.errors import ConnectionTimedOut
from stack.tcp.receiver import ADVICE
from stack.tcp.state import CLOSED, ESTABLISHED
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, FIN, HOUR, MINUTE, MS, RST, SECOND, SYN, signed_seq

SLACK = 5 * MS  # clock granularity G and rounding of deadlines


def _with_rtt(tcp, rtt_ms, *, ts=False, **settings):
    """Established, the SYN measured `rtt_ms`."""
    t = tcp(**{"rto_min_us": 10 * MS, "mtu_probing": False, **settings}).open()
    t.clock.advance(ms=rtt_ms)
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, mss=1000, ts=True if ts else None)
    t.peer.expects(ACK)
    return t


@rfc("6298", "2.1", "6298-2.1")
def test_first_rto_is_one_second(tcp):
    t = tcp().open()
    assert t.until_sent() == 0
    t.peer.drain()
    assert t.until_sent() == SECOND


@rfc("6298", "2.2", "6298-2.2/2.3")
@pytest.mark.parametrize("rtt", [20, 100, 400])
def test_rto_from_the_first_sample(tcp, rtt):
    t = _with_rtt(tcp, rtt)
    t.send(b"x")
    t.peer.drain()
    assert abs(t.until_sent() - 3 * rtt * MS) <= SLACK


@rfc("6298", "2.3", "6298-2.2/2.3")
def test_rto_follows_the_formula(tcp):
    """RTTVAR first, alpha 1/8, beta 1/4, for samples that are far apart."""
    t = _with_rtt(tcp, 100)
    srtt, rttvar = 100.0 * MS, 50.0 * MS
    for sample in (100, 200, 30, 300, 30, 30, 30):
        t.send(b"x")
        t.peer.drain()
        t.clock.advance(ms=sample)
        assert not t.peer.inbox, "the timer fired too early for this script"
        t.peer.sends(ACK)
        rttvar += (abs(srtt - sample * MS) - rttvar) / 4
        srtt += (sample * MS - srtt) / 8
    t.send(b"x")
    t.peer.drain()
    assert abs(t.until_sent() - (srtt + 4 * rttvar)) <= SLACK


@rfc("6298", "2.4", "6298-2.4")
@pytest.mark.parametrize("minimum", [200 * MS, SECOND])
def test_rto_minimum_is_a_setting(tcp, minimum):
    t = _with_rtt(tcp, 1, rto_min_us=minimum)
    t.send(b"x")
    t.peer.drain()
    assert abs(t.until_sent() - minimum) <= SLACK


@rfc("6298", "5.4", "6298-5.4")
@rfc("6298", "5.5", "6298-5.5")
@rfc("6298", "5.6", "6298-5.6")
@rfc("9293", "3.8.1", "MUST-19")
def test_rto_doubles_and_retransmits_the_first_unacked(tcp):
    t = _with_rtt(tcp, 100)
    t.send(3000)
    t.peer.expects_data(1, 3001)
    waits = []
    for _ in range(6):
        waits.append(t.until_sent())
        t.peer.expects(ACK, seq=1, length=1000)
        t.peer.expects_nothing()
    assert all(abs(w - 300 * MS * 2**i) <= SLACK * 2**i for i, w in enumerate(waits)), waits


@rfc("6298", "2.5", "6298-2.5")
def test_rto_maximum_is_at_least_a_minute(tcp):
    t = tcp(user_timeout_us=4 * HOUR).established()
    t.send(b"x")
    t.peer.drain()
    waits = []
    for _ in range(14):
        waits.append(t.until_sent())
        t.peer.drain()
    assert max(waits) >= MINUTE
    assert max(waits) <= t.config.rto_max_us + SLACK
    assert waits[-1] == waits[-2]


@rfc("6298", "5.2", "6298-5.2")
def test_timer_stops_when_all_is_acked(tcp):
    t = _with_rtt(tcp, 100)
    t.send(1000)
    t.peer.drain()
    t.peer.sends(ACK)
    t.clock.advance(s=100)
    t.peer.expects_nothing()


@rfc("6298", "5.3", "6298-5.3")
def test_timer_restarts_on_new_ack(tcp):
    t = _with_rtt(tcp, 100)
    t.send(2000)
    t.peer.drain()
    t.clock.advance(ms=250)
    t.peer.sends(ACK, ack=1001)
    t.peer.expects_nothing()
    assert t.until_sent() >= 200 * MS
    t.peer.expects(ACK, seq=1001, length=1000)


@rfc("6298", "5.1", "6298-5.1")
def test_timer_is_not_restarted_by_more_data(tcp):
    t = _with_rtt(tcp, 100)
    t.send(1000)
    start = t.clock.now
    for _ in range(2):
        t.clock.advance(ms=100)
        t.send(1000)
    t.peer.drain()
    t.until_sent()
    t.peer.expects(ACK, seq=1, length=1000)
    assert abs(t.clock.now - start - 300 * MS) <= SLACK


@rfc("6298", "3", "6298-3")
@rfc("9293", "3.8.1", "MUST-18")
def test_karn_no_sample_from_a_retransmission(tcp):
    """The ACK comes right after the retransmission; taken as a sample it would make the RTO tiny."""
    t = _with_rtt(tcp, 100, timestamps=False)
    t.send(1000)
    t.peer.drain()
    t.until_sent()
    t.peer.drain()
    t.clock.advance(ms=1)
    t.peer.sends(ACK)
    t.send(1000)
    t.peer.drain()
    assert t.until_sent() >= 300 * MS - SLACK


@rfc("6298", "3", "6298-3")
def test_karn_backoff_stays_until_a_fresh_sample(tcp):
    t = _with_rtt(tcp, 100, timestamps=False)
    t.send(1000)
    t.peer.drain()
    for _ in range(3):
        t.until_sent()
        t.peer.drain()
    t.peer.sends(ACK)
    t.send(1000)
    t.peer.drain()
    assert t.until_sent() >= 2000 * MS
    t.peer.drain()
    t.peer.sends(ACK)
    t.clock.advance(ms=50)
    t.send(1000)
    t.peer.drain()
    t.clock.advance(ms=100)
    t.peer.sends(ACK)
    t.send(1000)
    t.peer.drain()
    assert t.until_sent() <= 1000 * MS


@rfc("7323", "4.2", "6298-3")
def test_timestamps_give_a_sample_of_a_retransmission(tcp):
    """With timestamps the echo tells which transmission was acknowledged, so the backoff ends at once."""
    t = _with_rtt(tcp, 100, ts=True)
    t.send(900)
    t.peer.drain()
    for _ in range(3):
        t.until_sent()
        t.peer.drain()
    t.clock.advance(ms=100)
    t.peer.sends(ACK)
    t.send(900)
    t.peer.drain()
    assert t.until_sent() <= 500 * MS


@rfc("7323", "4.2", "6298-3")
@pytest.mark.parametrize("rtt_us", [300, 1100])
def test_a_sample_by_timestamps_is_no_shorter_than_the_round_trip(tcp, rtt_us):
    """They tick in milliseconds: on a short path the echo of a retransmission looks as if it had taken no time."""
    t = tcp(mtu_probing=False).open()
    t.clock.advance(us=rtt_us)
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, mss=1000, ts=True)
    for part in (0, 150, 850):  # of the tick that the retransmission falls into
        t.clock.advance(us=part)
        t.send(900)
        t.peer.drain()
        t.until_sent()
        assert t.peer.drain()[0].note is not None
        t.clock.advance(us=rtt_us)
        t.peer.sends(ACK)
        assert t.info.min_rtt_us == rtt_us


@rfc("7323", "4.1", "7323-G")
def test_timestamp_echo_that_makes_no_sense_gives_no_sample(tcp):
    t = _with_rtt(tcp, 100, ts=True)
    for tsecr in (0, t.peer.ts_recent + 500_000, t.peer.ts_recent - (1 << 31) + 5, t.peer.ts_recent - 3_600_000):
        t.send(900)
        t.peer.drain()
        t.clock.advance(ms=100)
        t.peer.sends(ACK, ts=(t.peer.tsval, tsecr))
    t.send(900)
    t.peer.drain()
    assert 100 * MS <= t.until_sent() <= 400 * MS


@rfc("9293", "3.8.3", "SHLD-10")
def test_the_path_is_doubted_after_three_retransmissions_and_not_before(tcp):
    t = tcp().established()
    t.send(b"x")
    advice = []
    for _ in range(6):
        t.clock.now = t.deadline
        advice.append(bool(t.conn.on_timer(t.clock.now) & ADVICE))
        t.pump()
        t.peer.expects(ACK, seq=1, data=b"x")
    assert advice == [False, False, True, False, False, False]


@rfc("9293", "3.8.3", "MUST-20")
@rfc("9293", "3.8.3", "SHLD-11")
def test_r2_closes_the_connection(tcp):
    t = tcp().established()
    t.send(b"x")
    start = t.clock.now
    t.run(lambda: t.state == CLOSED)
    waited = t.clock.now - start
    assert waited >= 100 * SECOND
    assert abs(waited - t.config.user_timeout_us) <= 3 * t.config.rto_max_us
    assert isinstance(t.conn.error, ConnectionTimedOut)
    t.peer.drain()
    t.clock.advance(s=1000)
    t.peer.expects_nothing()


@rfc("793", "3.8", "6298/793-UTO")
@rfc("9293", "3.8.3", "MUST-21")
@pytest.mark.parametrize("limit", [100 * SECOND, 10 * MINUTE])
def test_user_timeout_is_a_setting_and_sends_rst(tcp, limit):
    t = tcp(user_timeout_us=limit).established()
    t.send(b"x")
    start = t.clock.now
    t.run(lambda: t.state == CLOSED)
    assert limit - SECOND <= t.clock.now - start <= limit + t.config.rto_max_us
    assert isinstance(t.conn.error, ConnectionTimedOut)


@rfc("9293", "3.8.3", "MUST-20")
def test_r2_applies_to_the_fin(tcp):
    t = tcp(user_timeout_us=100 * SECOND).established()
    t.close()
    t.run(lambda: t.state == CLOSED)
    assert isinstance(t.conn.error, ConnectionTimedOut)


@rfc("9293", "3.8.3", "MUST-20")
def test_progress_restarts_r2(tcp):
    t = tcp(user_timeout_us=100 * SECOND).established()
    for _ in range(10):
        t.send(b"x")
        t.clock.advance(s=60)
        t.peer.sends(ACK)
        t.peer.drain()
    assert t.state == ESTABLISHED


@rfc("6298", "5.4")
def test_after_rto_everything_lost_is_sent_again_in_order(tcp):
    t = _with_rtt(tcp, 100)
    t.send(8000)
    t.peer.expects_data(1, 8001)
    t.until_sent()
    t.peer.expects(ACK, seq=1, length=1000)
    seen = {1}
    acked = 1
    for _ in range(40):
        acked += 1000
        t.clock.advance(ms=100)
        t.peer.sends(ACK, ack=min(acked, 8001))
        seen.update(signed_seq(t, s) for s in t.peer.drain())
        if acked >= 8001:
            break
    assert seen == set(range(1, 8001, 1000))
    assert t.info.in_flight == 0


@rfc("6298", "5.4")
def test_after_rto_a_cumulative_ack_ends_it(tcp):
    """Only the first segment was lost: the ACK of all stops the retransmissions."""
    t = _with_rtt(tcp, 100)
    t.send(8000)
    t.peer.drain()
    t.until_sent()
    t.peer.expects(ACK, seq=1, length=1000)
    t.peer.sends(ACK, ack=8001)
    t.clock.advance(s=100)
    t.peer.expects_nothing()


# -- keep-alive -------------------------------------------------------------------------------------------------


def _keep_alive(t, s):
    """A keep-alive probe: nothing new, and unacceptable enough to be answered (§3.8.4)."""
    assert s.flags & ACK
    assert not s.flags & (SYN | FIN | RST)
    assert not s.data
    assert signed_seq(t, s) == t.peer.acked - 1


@rfc("9293", "3.8.4", "MUST-25")
def test_keepalive_is_off_by_default(tcp):
    t = tcp().established()
    t.clock.advance(s=5 * 3600)
    t.peer.expects_nothing()
    assert t.state == ESTABLISHED


@rfc("9293", "3.8.4", "MUST-28")
def test_keepalive_default_interval_is_two_hours(tcp):
    t = tcp(keepalive=True).established()
    assert t.until_sent(5 * HOUR) >= 2 * HOUR
    _keep_alive(t, t.peer.drain()[0])


@rfc("9293", "3.8.4", "MUST-26")
@rfc("9293", "3.8.4", "MAY-5")
@rfc("9293", "3.8.4", "SHLD-12")
def test_keepalive_only_when_idle(tcp):
    t = tcp(keepalive=True, keepalive_idle_us=100 * SECOND).established()
    for _ in range(10):
        t.clock.advance(s=90)
        t.peer.sends(ACK, data=b"x")
    assert all(signed_seq(t, s) == 1 for s in t.peer.drain())
    t.clock.advance(s=101)
    _keep_alive(t, t.peer.drain()[-1])


@rfc("9293", "3.8.4", "MUST-27")
def test_keepalive_answered_goes_on(tcp):
    t = tcp(keepalive=True, keepalive_idle_us=100 * SECOND).established()
    for _ in range(20):
        assert t.until_sent() >= 99 * SECOND
        for s in t.peer.drain():
            _keep_alive(t, s)
        t.peer.sends(ACK)
    assert t.state == ESTABLISHED


@rfc("9293", "3.8.4", "MUST-29")
def test_one_unanswered_keepalive_kills_nothing_but_all_do(tcp):
    t = tcp(
        keepalive=True, keepalive_idle_us=100 * SECOND, keepalive_interval_us=10 * SECOND, keepalive_probes=5
    ).established()
    t.until_sent()
    for _ in range(4):
        t.peer.drain()
        assert t.state == ESTABLISHED
        assert 9 * SECOND <= t.until_sent() <= 11 * SECOND
    t.peer.drain()
    t.run(lambda: t.state == CLOSED)
    assert isinstance(t.conn.error, ConnectionTimedOut)


@rfc("9293", "3.8.4")
def test_keepalive_answered_with_rst(tcp):
    t = tcp(keepalive=True, keepalive_idle_us=100 * SECOND).established()
    t.until_sent()
    t.peer.sends(RST)
    assert t.state == CLOSED


@rfc("9293", "3.8.4")
def test_peers_keepalive_is_answered(tcp):
    t = tcp().established()
    t.peer.sends(ACK, seq=0)
    t.peer.expects(ACK, seq=1, ack=1)
    t.peer.sends(ACK, seq=0, data=b"\0")
    t.peer.expects(ACK, seq=1, ack=1)
    assert t.recv() == b""


@rfc("9293", "3.8.4", "MUST-26")
def test_no_keepalive_while_data_is_unacked(tcp):
    """Retransmissions do the probing; RTO and R2 rule."""
    t = tcp(
        keepalive=True, keepalive_idle_us=50 * SECOND, keepalive_probes=1, user_timeout_us=10 * MINUTE
    ).established()
    t.send(b"abc")
    start = t.clock.now
    t.run(lambda: t.state == CLOSED)
    assert t.clock.now - start >= 9 * MINUTE
    assert all(s.data == b"abc" or s.flags & RST for s in t.peer.drain())
