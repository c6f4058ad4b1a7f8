"""Episodes that were for nothing: F-RTO (RFC 5682), Eifel (RFC 3522, 4015), D-SACK; and those that were not."""

import pytest

from stack.config import TcpConfig
from stack.tcp.rtt import RttEstimator
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, MS, SECOND, SYN
from tests.unit.tcp.test_tcp_rack import MSS, flight, sent


def plain(tcp, n=10, *, more=0, ts=False, **settings):
    """As `flight`, without SACK."""
    t = tcp(**{"congestion": "newreno", "initial_window_segs": n, "sack": False, **settings}).open()
    t.clock.advance(ms=100)
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, mss=MSS + 12 * ts, ts=True if ts else None)
    t.peer.drain()
    t.send(n * MSS + more)
    t.peer.drain()
    t.clock.advance(ms=100)
    return t


def time_out(t):
    """The first segment goes again after a timeout; the window before."""
    cwnd, ssthresh = t.info.cwnd, t.info.ssthresh
    t.until_sent()
    assert sent(t) == [1]
    assert t.info.phase == "loss"
    assert t.info.cwnd == MSS
    return cwnd, ssthresh


# -- F-RTO --------------------------------------------------------------------------------------------------------


@rfc("5682", "3.1", "5682-1")
@pytest.mark.parametrize("sack", [False, True])
def test_a_spurious_timeout_is_noticed_by_what_was_sent_once(tcp, sack):
    """RFC 5682 §2.1 and §3.1: the ACKs were only late.  After the first, new data; after the second it is known."""
    t = (flight if sack else plain)(tcp, 5, more=20_000, tlp=False)
    cwnd, ssthresh = time_out(t)
    t.clock.advance(ms=10)
    t.peer.sends(ACK, ack=1001)
    assert sent(t) == [5001, 6001]  # step 2b: two new segments, no repair
    t.peer.sends(ACK, ack=2001)
    assert t.info.phase == "open"
    assert t.info.spurious == 1
    assert t.info.lost == 0
    assert t.info.cwnd >= cwnd
    assert t.info.ssthresh >= ssthresh
    t.peer.sends(ACK, ack=5001)
    assert t.info.retransmits == 1


@pytest.mark.parametrize("sack", [False, True])
def test_without_frto_everything_is_sent_again(tcp, sack):
    """Control of `frto`: the same ACKs, and what arrived long ago goes out again."""
    t = (flight if sack else plain)(tcp, 5, more=20_000, tlp=False, frto=False)
    time_out(t)
    t.clock.advance(ms=10)
    t.peer.sends(ACK, ack=1001)
    assert sent(t) == [1001, 2001]
    t.peer.sends(ACK, ack=2001)
    assert t.info.phase == "loss"
    assert t.info.spurious == 0


@rfc("5682", "2.1", "5682-1")
def test_a_real_timeout_is_not_taken_back(tcp):
    """Step 3a: the ACK after the new data is a duplicate, so the repairs begin."""
    t = plain(tcp, 5, more=20_000, tlp=False)
    time_out(t)
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=1001)
    assert sent(t) == [5001, 6001]
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=1001)
    t.peer.sends(ACK, ack=1001)
    assert 1001 in sent(t)
    assert t.info.phase == "loss"
    assert t.info.spurious == 0


@rfc("5682", "3.1", "5682-1")
def test_a_real_timeout_with_sack(tcp):
    t = flight(tcp, 5, more=20_000, tlp=False)
    time_out(t)
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=1001)
    assert sent(t) == [5001, 6001]
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=1001, sack=[(5001, 7001)])
    assert 1001 in sent(t)
    assert t.info.spurious == 0


@rfc("5682", "2.1", "5682-1")
def test_a_duplicate_first_ends_it(tcp):
    """Step 2a of the basic algorithm."""
    t = plain(tcp, 5, more=20_000, tlp=False)
    time_out(t)
    t.peer.sends(ACK, ack=1)
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=1001)
    assert 1001 in sent(t)


@rfc("5682", "2.1", "5682-1")
def test_without_new_data_the_repairs_go_on(tcp):
    """Step 2b: there is nothing new to send."""
    t = flight(tcp, 5, tlp=False)
    time_out(t)
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=1001)
    assert sent(t) == [1001, 2001]


@rfc("5682", "2.1", "5682-1")
@pytest.mark.parametrize("spurious", [True, False])
@pytest.mark.parametrize("new", [700, MSS])
def test_one_new_segment_is_enough_to_tell(tcp, new, spurious):
    """Step 2b sends up to two; repairs are for the case that there is none."""
    t = flight(tcp, 5, tlp=False, nodelay=True)
    t.send(new)
    assert sent(t) == []  # cwnd is full
    time_out(t)
    t.clock.advance(ms=10)
    t.peer.sends(ACK, ack=1001)
    assert sent(t) == [5001]
    t.clock.advance(ms=100)
    if spurious:
        t.peer.sends(ACK, ack=2001)
        assert t.info.phase == "open"
        t.peer.sends(ACK, ack=5001 + new)
        assert t.info.retransmits == 1
    else:
        t.peer.sends(ACK, ack=1001, sack=[(5001, 5001 + new)])
        assert 1001 in sent(t)
    assert t.info.spurious == spurious


@rfc("5682", "2.1", "5682-1")
def test_after_a_second_timeout_it_is_tried_again(tcp):
    """Still only the first segment was sent again."""
    t = flight(tcp, 5, more=20_000, tlp=False, mtu_probing=False)
    cwnd, _ = time_out(t)
    t.until_sent()
    assert sent(t) == [1]
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=1001)
    assert sent(t) == [5001, 6001]
    t.peer.sends(ACK, ack=2001)
    assert t.info.phase == "open"
    assert t.info.cwnd >= cwnd
    assert t.info.lost == 0


@rfc("5682", "2.1", "5682-1")
def test_not_within_a_recovery(tcp):
    t = flight(tcp, more=20_000)
    t.peer.sends(ACK, ack=1, sack=[(1001, 4001)])
    assert t.info.phase == "recovery"
    sent(t)
    t.until_sent()
    assert t.info.phase == "loss"
    sent(t)
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=1001 + 3 * MSS)
    assert 4001 in sent(t)


# -- Eifel --------------------------------------------------------------------------------------------------------


@rfc("3522", "3.2", "4015/3522-1")
@pytest.mark.parametrize("original", [True, False])
def test_the_timestamp_tells_whose_ack_it_is_after_a_timeout(tcp, original):
    """One ACK suffices: it echoes the original transmission, or else the retransmission."""
    t = flight(tcp, 5, more=20_000, ts=True, tlp=False, frto=False)
    old = t.peer.ts_recent
    cwnd, ssthresh = t.info.cwnd, t.info.ssthresh
    t.until_sent()
    assert sent(t) == [1]
    t.clock.advance(ms=10)
    t.peer.sends(ACK, ack=1001, ts=(t.peer.tsval, old if original else t.peer.ts_recent))
    assert (t.info.phase == "open") == original
    assert (t.info.cwnd >= cwnd and t.info.ssthresh >= ssthresh) == original
    assert t.info.spurious == original


@rfc("4015", "3.1", "4015/3522-1")
def test_after_a_spurious_timeout_the_rto_follows_the_longer_path(tcp):
    """RFC 4015 §3.1: SRTT is at least the round trip that was too long, so that it does not happen again."""
    t = flight(tcp, 5, more=20_000, ts=True, tlp=False)
    old = t.peer.ts_recent
    t.until_sent()
    took = t.clock.now + 50 * MS - (10 * SECOND + 100 * MS)
    t.clock.advance(ms=50)
    t.peer.sends(ACK, ack=1001, ts=(t.peer.tsval, old))
    t.clock.advance(ms=1)
    t.peer.sends(ACK, ack=2001, ts=(t.peer.tsval, old))
    assert t.info.srtt_us >= took - 2 * MS
    assert t.info.rto_us > took


@rfc("3522", "3.2", "4015/3522-1")
@pytest.mark.parametrize("sack", [True, False])
@pytest.mark.parametrize("lost_acks", [True, False])
def test_an_ack_of_everything_is_no_proof_unless_the_peer_reports_duplicates(tcp, lost_acks, sack):
    """Step 5: all arrived and every ACK was lost, so that the repair is a duplicate and its ACK echoes the last segment
    before it.  Control: an ACK of a part was sent before the repair arrived.
    """
    t = (flight if sack else plain)(tcp, 5, ts=True, tlp=False, frto=False)
    old, (cwnd, _) = t.peer.ts_recent, time_out(t)
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=5001 if lost_acks else 1001, ts=(t.peer.tsval, old))
    assert t.info.spurious == (not lost_acks)
    assert (t.info.cwnd < cwnd) == lost_acks


@rfc("4015", "3.1", "4015/3522-1")
@pytest.mark.parametrize("rtt_us", [10_000, 700_000])
def test_the_sample_after_it_is_not_smoothed_away(rtt_us):
    """Step 11: SRTT = max(SRTT_prev, sample), RTTVAR = max(RTTVAR_prev, sample / 2), SRTT_prev with two ticks more."""
    rtt = RttEstimator(TcpConfig(rto_min_us=MS))
    rtt.on_sample(40_000)
    rtt.on_timeout()
    rtt.after_spurious_timeout(rtt_us)
    assert rtt.srtt_us == max(42_000, rtt_us)
    assert rtt.rttvar_us == max(20_000, rtt_us // 2)
    assert rtt.timeout_us() == rtt.srtt_us + 4 * rtt.rttvar_us
    assert rtt.min_rtt_us == min(40_000, rtt_us)


@rfc("3522", "3.2", "4015/3522-1")
@pytest.mark.parametrize("original", [True, False])
def test_the_timestamp_tells_it_after_a_fast_retransmission(tcp, original):
    t = flight(tcp, more=20_000, ts=True)
    old, cwnd, ssthresh = t.peer.ts_recent, t.info.cwnd, t.info.ssthresh
    t.peer.sends(ACK, ack=1, sack=[(1001, 4001)])
    assert 1 in sent(t)
    assert t.info.ssthresh < ssthresh
    t.clock.advance(ms=5)
    t.peer.sends(ACK, ack=4001, ts=(t.peer.tsval, old if original else t.peer.ts_recent))
    assert (t.info.phase == "open") == original
    assert (t.info.cwnd >= cwnd and t.info.ssthresh == ssthresh) == original


# -- D-SACK -------------------------------------------------------------------------------------------------------


@rfc("2883", "5")
def test_when_every_retransmission_was_a_duplicate_the_window_comes_back(tcp):
    t = flight(tcp, more=40_000)
    cwnd, ssthresh = t.info.cwnd, t.info.ssthresh
    t.peer.sends(ACK, ack=1, sack=[(2001, 6001)])
    assert sent(t).count(1) == 1
    t.peer.sends(ACK, ack=1, sack=[(2001, 8001)])
    assert 1001 in sent(t)
    t.clock.advance(ms=5)
    t.peer.sends(ACK, ack=8001)
    t.peer.sends(ACK, ack=8001, sack=[(1, 1001)])
    assert t.info.spurious == 0  # one of two
    assert t.info.ssthresh < ssthresh
    t.peer.sends(ACK, ack=8001, sack=[(1001, 2001)])
    assert t.info.spurious == 1
    assert t.info.ssthresh == ssthresh
    assert t.info.cwnd >= cwnd


@rfc("2883", "5")
def test_a_report_that_comes_after_the_recovery_still_counts(tcp):
    t = flight(tcp, more=0)
    ssthresh = t.info.ssthresh
    t.peer.sends(ACK, ack=1, sack=[(1001, 4001)])
    t.peer.sends(ACK, ack=10_001)
    assert t.info.phase == "open"
    assert t.info.ssthresh < ssthresh
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=10_001, sack=[(1, 1001)])
    assert t.info.ssthresh == ssthresh


@rfc("2883", "5")
def test_part_of_a_retransmission_is_not_all_of_it(tcp):
    t = flight(tcp)
    t.peer.sends(ACK, ack=1, sack=[(1001, 4001)])
    t.peer.sends(ACK, ack=10_001, sack=[(1, 501)])
    assert t.info.spurious == 0
    t.peer.sends(ACK, ack=10_001, sack=[(501, 1001)])
    assert t.info.spurious == 1


# -- misbehaving receivers (Savage et al., "TCP congestion control with a misbehaving receiver") -------------------


@rfc("3465", "2.2", "3465-1")
def test_ack_division_gains_nothing(tcp):
    """A thousand ACKs of a byte each open the window by what one ACK of a thousand bytes does."""
    grown = []
    for step in (1, 1000):
        t = flight(tcp, more=100_000, ts=False)
        for edge in range(step, 1001, step):
            t.peer.sends(ACK, ack=1 + edge)
        grown.append(t.info.cwnd)
    assert grown[0] <= grown[1]


def test_made_up_duplicates_gain_no_more_than_the_window_of_a_round_trip(tcp):
    """Without SACK each duplicate stands for a segment; but not for one that was sent a moment ago."""
    t = plain(tcp, 10, more=400_000)
    for _ in range(300):
        t.peer.sends(ACK, ack=1)
    new = [seq for seq in sent(t) if seq > 10_000]
    assert len(new) <= 10
    assert t.info.cwnd <= 10 * MSS


def test_an_optimistic_ack_of_what_was_never_sent_is_refused(tcp):
    t = flight(tcp, more=0)
    cwnd = t.info.cwnd
    t.peer.sends(ACK, ack=50_001)
    assert t.info.snd_una == (t.iss + 1) & 0xFFFFFFFF
    assert t.info.cwnd == cwnd


# -- limited transmit ---------------------------------------------------------------------------------------------


@rfc("3042", "2", "3042-1")
@pytest.mark.parametrize("on", [True, False])
@pytest.mark.parametrize("sack", [False, True])
def test_limited_transmit_can_be_turned_off(tcp, sack, on):
    t = (flight if sack else plain)(tcp, more=20_000, limited_transmit=on)
    for i in (1, 2):
        t.peer.sends(ACK, ack=1, sack=[(1001, 1001 + i * MSS)] if sack else None)
    assert sent(t) == ([10_001, 11_001] if on else [])
