"""Timestamps and PAWS (RFC 7323 §3-§5), and option bytes of every kind of abuse (RFC 9293 §3.1-2)."""

import random
from itertools import pairwise

import pytest

from stack.tcp.state import CLOSED, ESTABLISHED, SYN_SENT, TIME_WAIT
from tests.support.rfc import rfc
from tests.support.tcp_codec import MSS, NOP, SACK, SACK_OK, TS, UTO, WSCALE
from tests.support.tcp_dsl import ACK, FIN, MS, RST, SECOND, SYN, pattern

DAY = 24 * 3600


@rfc("7323", "3.2", "7323-3.2a")
@pytest.mark.parametrize("passive", [False, True])
def test_timestamps_on_all_segments(tcp, passive):
    t = tcp().established(ts=True, passive=passive)
    t.send(5000)
    t.peer.sends(ACK, data=b"abc")
    t.close()
    t.clock.advance(s=5)
    got = t.peer.drain()
    assert got
    assert all(s.ts is not None for s in got if not s.flags & RST)


@rfc("7323", "3.2", "7323-3.2a")
def test_not_used_when_the_peer_did_not_offer(tcp):
    t = tcp().open()
    assert t.peer.expects(SYN).ts is not None
    t.peer.sends(SYN | ACK, seq=0, mss=1460)
    assert t.peer.expects(ACK).ts is None


@rfc("7323", "3.2", "7323-3.2a")
def test_not_offered_when_off(tcp):
    t = tcp(timestamps=False).open()
    assert t.peer.expects(SYN).ts is None
    t.peer.sends(SYN | ACK, seq=0, mss=1460, ts=(5, 0))
    assert t.peer.expects(ACK).ts is None


@rfc("7323", "3.2", "7323-3.2a")
def test_syn_has_tsecr_zero_and_syn_ack_echoes(tcp):
    t = tcp().open()
    assert t.peer.expects(SYN).ts[1] == 0
    u = tcp().listen()
    u.peer.sends(SYN, seq=0, mss=1460, ts=(777, 0))
    u.peer.expects(SYN | ACK, tsecr=777)


@rfc("7323", "5.4", "7323-5.4")
def test_timestamp_clock_runs_between_1_ms_and_1_s_a_tick(tcp):
    t = tcp(nodelay=True).established(ts=True)
    seen = []
    for _ in range(11):
        t.send(b"x")
        seen.append(t.peer.drain()[-1].ts[0])
        t.peer.sends(ACK)
        t.clock.advance(s=1)
    steps = [(b - a) & 0xFFFFFFFF for a, b in pairwise(seen)]
    assert all(1 <= step <= 1001 for step in steps), steps


@rfc("7323", "4.3", "7323-4.3")
def test_tsecr_is_that_of_the_earliest_unacknowledged_segment(tcp):
    """RFC 7323 §4.2 (a): with delayed ACKs the echo is of the first segment, so that the delay is in the RTT."""
    t = tcp(delayed_ack_us=100 * MS).established(ts=True)
    for _ in range(40):
        t.peer.sends(ACK, data=b"x")
        t.clock.advance(ms=450)
    t.peer.drain()
    first = t.peer.tsval
    t.peer.sends(ACK, data=b"abc", ts=(first, t.peer.ts_recent))
    t.clock.advance(ms=5)
    t.peer.sends(ACK, data=b"def", ts=(first + 5, t.peer.ts_recent))
    t.clock.advance(ms=200)
    t.peer.expects(ACK, tsecr=first & 0xFFFFFFFF)


@rfc("7323", "4.3", "7323-4.3")
def test_tsecr_of_a_segment_beyond_a_hole_is_not_echoed(tcp):
    """RFC 7323 §4.2 (b)."""
    t = tcp().established(ts=True)
    base = t.peer.tsval + 100
    t.peer.sends(ACK, seq=1, data=b"abc", ts=(base, t.peer.ts_recent))
    t.clock.advance(ms=500)
    t.peer.drain()
    t.peer.sends(ACK, seq=7, data=b"ghi", ts=(base + 10, t.peer.ts_recent))
    t.peer.expects(ACK, ack=4, tsecr=base & 0xFFFFFFFF)


@rfc("7323", "4.3", "7323-4.3")
def test_tsecr_of_the_segment_that_fills_the_hole(tcp):
    """RFC 7323 §4.2 (c)."""
    t = tcp().established(ts=True)
    base = t.peer.tsval + 100
    t.peer.sends(ACK, seq=4, data=b"def", ts=(base + 10, t.peer.ts_recent))
    t.peer.drain()
    t.peer.sends(ACK, seq=1, data=b"abc", ts=(base + 20, t.peer.ts_recent))
    t.peer.expects(ACK, ack=7, tsecr=(base + 20) & 0xFFFFFFFF)


@rfc("7323", "5.3", "7323-5.3")
def test_paws_drops_and_acks_an_older_segment(tcp):
    t = tcp().established(ts=True)
    t.clock.advance(s=1)
    t.peer.sends(ACK, data=b"new")
    t.clock.advance(s=1)
    t.peer.drain()
    old = t.peer.tsval - 1500
    t.peer.sends(ACK, seq=4, data=b"OLD", ts=(old, t.peer.ts_recent))
    t.peer.expects(ACK, ack=4)
    assert t.recv() == b"new"
    t.peer.sends(ACK, seq=4, data=b"er.")
    assert t.recv() == b"er."


@rfc("7323", "5.3", "7323-5.3")
def test_equal_timestamp_passes(tcp):
    t = tcp().established(ts=True)
    for i in range(5):
        t.peer.sends(ACK, data=b"%d" % i)
    assert t.recv() == b"01234"


@rfc("7323", "5.2", "7323-5.3")
def test_paws_does_not_apply_to_rst(tcp):
    t = tcp().established(ts=True)
    t.clock.advance(s=5)
    t.peer.sends(ACK, data=b"x")
    t.peer.sends(RST, ts=(t.peer.tsval - 4000, 0))
    assert t.state == CLOSED


@rfc("7323", "5.5", "7323-5.3")
def test_ts_recent_is_not_used_after_24_days(tcp):
    t = tcp().established(ts=True)
    t.peer.sends(ACK, data=b"a")
    t.clock.advance(s=25 * DAY)
    t.peer.drain()
    t.peer.sends(ACK, data=b"b", ts=(t.peer.ts_base - 100_000, t.peer.ts_recent))
    assert t.recv() == b"ab"


@rfc("7323", "5.5", "7323-5.3")
def test_ts_recent_is_used_before_24_days(tcp):
    """Control of the test above."""
    t = tcp().established(ts=True)
    t.peer.sends(ACK, data=b"a")
    last = t.peer.tsval
    t.clock.advance(s=20 * DAY)
    t.peer.drain()
    t.peer.sends(ACK, data=b"b", ts=(last - 100_000, t.peer.ts_recent))
    assert t.recv() == b"a"


@rfc("7323", "3.2", "7323-3.2b")
def test_missing_timestamp_never_crashes_and_rst_without_is_taken(tcp):
    """Dropping or tolerating is a choice; the connection goes on either way."""
    t = tcp().established(ts=True)
    t.peer.sends(ACK, seq=1, data=b"abc", ts=False)
    t.peer.sends(ACK, seq=1, data=b"abc")
    assert t.recv() == b"abc"
    t.peer.sends(RST, ts=False)
    assert t.state == CLOSED


@rfc("7323", "3.2", "7323-3.2a")
def test_timestamp_on_a_connection_without_is_ignored(tcp):
    t = tcp().established(ts=False)
    t.peer.sends(ACK, data=b"a", ts=(5_000, 1))
    t.peer.sends(ACK, data=b"b", ts=(1, 1))
    assert t.recv() == b"ab"


@rfc("7323", "5.3", "7323-5.3")
def test_paws_in_time_wait_and_after(tcp):
    t = tcp().established(ts=True)
    t.close()
    t.peer.sends(FIN | ACK, ack=2)
    t.peer.drain()
    t.peer.sends(FIN | ACK, seq=1, ack=2, ts=(t.peer.tsval - 500, 0))
    assert t.state == TIME_WAIT


# -- option abuse -----------------------------------------------------------------------------------------------

ABUSES = {
    "length zero": bytes((MSS, 0, 0, 0)),
    "length one": bytes((MSS, 1, 5, 5)),
    "length past the end": bytes((99, 40, 0, 0)),
    "kind without length": bytes((NOP, NOP, NOP, 2)),
    "mss of length 3": bytes((MSS, 3, 5, NOP)),
    "mss of length 6": bytes((MSS, 6, 5, 180, 0, 0, NOP, NOP)),
    "mss zero": bytes((MSS, 4, 0, 0)),
    "wscale of length 2": bytes((WSCALE, 2, NOP, NOP)),
    "wscale of length 4": bytes((WSCALE, 4, 7, 7)),
    "sack-ok of length 3": bytes((SACK_OK, 3, 0, NOP)),
    "sack of length 2": bytes((SACK, 2, NOP, NOP)),
    "sack of length 9": bytes((SACK, 9)) + bytes(7) + bytes((NOP, NOP, NOP)),
    "sack of 40 bytes": bytes((SACK, 38)) + bytes(36) + bytes((NOP, NOP)),
    "timestamp of length 9": bytes((TS, 9)) + bytes(7) + bytes((NOP, NOP, NOP)),
    "timestamp of length 2": bytes((TS, 2, NOP, NOP)),
    "uto of length 3": bytes((UTO, 3, 0, NOP)),
    "unknown": bytes((253, 8, 1, 2, 3, 4, 5, 6)),
    "unknown of length 2": bytes((200, 2, NOP, NOP)),
    "end of list first": bytes((0, 99, 99, 99)),
    "all no-ops": bytes((NOP,)) * 40,
    "mss twice": bytes((MSS, 4, 5, 180, MSS, 4, 0, 100)),
    "forty zeros": bytes(40),
    "forty 0xff": b"\xff" * 40,
    "md5 of length 18": bytes((19, 18)) + bytes(16) + bytes((NOP, NOP)),
    "odd alignment": bytes((NOP, MSS, 4, 5, 180, NOP, NOP, NOP)),
}


@rfc("9293", "3.1", "MUST-7/64")
@pytest.mark.parametrize("abuse", list(ABUSES))
def test_option_abuse_in_syn_ack(tcp, abuse):
    t = tcp().open()
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, raw_options=ABUSES[abuse])
    assert t.state in {ESTABLISHED, SYN_SENT}
    if t.state == ESTABLISHED:
        t.peer.drain()
        t.send(100)
        assert sum(len(s.data) for s in t.peer.drain()) >= 1


@rfc("9293", "3.1", "MUST-7/64")
@pytest.mark.parametrize("abuse", list(ABUSES))
def test_option_abuse_in_syn(tcp, abuse):
    t = tcp().listen()
    t.peer.sends(SYN, seq=0, raw_options=ABUSES[abuse])
    t.peer.expects(SYN | ACK, ack=1)
    t.peer.sends(ACK)
    assert t.state == ESTABLISHED


@rfc("9293", "3.1", "MUST-4/5/6")
@pytest.mark.parametrize("abuse", list(ABUSES))
def test_option_abuse_in_data(tcp, abuse):
    t = tcp().established(sack=True)
    t.send(1000)
    t.peer.drain()
    t.peer.sends(ACK, ack=1, data=b"abc", raw_options=ABUSES[abuse])
    t.peer.sends(ACK, ack=1, raw_options=ABUSES[abuse])
    assert t.recv() == b"abc"
    t.peer.sends(ACK, ack=1001)
    assert t.info.in_flight == 0


@rfc("9293", "3.1", "MUST-4/5/6")
def test_mss_at_any_alignment_behind_unknown_options(tcp):
    t = tcp().open()
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, mss=1000, raw_options=bytes((253, 3, 9, MSS, 4, 0x03, 0xE8, 0)))
    t.peer.drain()
    t.send(5000)
    assert max(len(s.data) for s in t.peer.drain()) == 1000


@rfc("9293", "3.7.1", "MUST-65")
def test_mss_on_a_data_segment_changes_nothing(tcp):
    t = tcp().established(mss=1000)
    t.peer.sends(ACK, data=b"x", mss=100)
    t.peer.drain()
    t.send(5000)
    assert max(len(s.data) for s in t.peer.drain()) == 1000


@rfc("9293", "3.1", "MUST-7/64")
def test_random_options_never_raise(tcp):
    rng = random.Random(20_260)
    t = tcp().established(sack=True)
    for i in range(500):
        size = rng.randrange(0, 41, 4)
        t.send(b"y")
        t.peer.drain()
        t.peer.sends(ACK, data=b"x", raw_options=rng.randbytes(size), ack=t.peer.acked)
        if i % 50 == 0:
            t.clock.advance(ms=50)
    assert t.state == ESTABLISHED
    t.peer.sends(ACK, data=b"end")
    assert t.recv().endswith(b"end")


# -- super-segments ---------------------------------------------------------------------------------------------


def _gso(tcp, max_gso=65_536, **settings):
    return tcp(max_gso=max_gso, **settings)


@rfc("9293", "3.7.1", "MUST-16")
@pytest.mark.parametrize("ts", [False, True])
def test_super_segment_has_the_right_cut(tcp, ts):
    t = _gso(tcp).established(ts=ts, wnd=200_000, wscale=4, mss=1000)
    t.send(60_000)
    for _ in range(20):
        for s in t.peer.drain():
            if s.gso_size:
                assert s.gso_size == (988 if ts else 1000)
        t.peer.sends(ACK)
        if t.peer.acked == 60_001:
            break
    assert t.peer.acked == 60_001


@rfc("9293", "3.8.6")
@pytest.mark.parametrize("wnd", [1500, 3000, 7777, 10_000])
def test_super_segment_not_across_the_window(tcp, wnd):
    t = _gso(tcp, initial_window_segs=40).established(wnd=wnd, mss=1000)
    t.send(60_000)
    assert sum(len(s.data) for s in t.peer.drain()) <= wnd


def test_of_a_small_congestion_window_nothing_waits_for_the_last_ack(tcp):
    """A receiver may put off the ACK of what is left in flight by 40 ms and more."""
    t = _gso(tcp, congestion="fixed", fixed_window_segs=3).established(wnd=200_000, wscale=4, mss=1000)
    t.send(60_000)
    t.peer.drain()
    for segments in range(1, 5):
        t.peer.sends(ACK, ack=1 + 1000 * segments)
        t.peer.drain()
        assert t.rules.snd_max - t.rules.snd_una == 3000


def test_of_a_large_congestion_window_super_segments_stay_large(tcp):
    t = _gso(tcp, congestion="fixed", fixed_window_segs=60).established(wnd=200_000, wscale=4, mss=1000)
    t.send(120_000)
    t.peer.drain()
    t.peer.sends(ACK, ack=1 + 1000)
    t.peer.expects_nothing()
    t.peer.sends(ACK, ack=1 + 20_000)
    assert [len(s.data) for s in t.peer.drain()] == [20_000]


@rfc("5681", "3.1")
@pytest.mark.parametrize("congestion", ["newreno", "cubic"])
def test_super_segment_not_across_cwnd(tcp, congestion):
    t = _gso(tcp, congestion=congestion).established(wnd=500_000, wscale=4, mss=1000)
    t.send(400_000)
    for _ in range(6):
        assert t.rules.snd_max - t.rules.snd_una <= t.info.cwnd
        t.clock.advance(ms=10)
        t.peer.drain()
        t.peer.sends(ACK)


@rfc("9293", "3.7.1")
def test_super_segment_at_most_what_the_device_takes(tcp):
    t = _gso(tcp, max_gso=4000).established(wnd=500_000, wscale=4, mss=1000)
    t.send(100_000)
    for _ in range(20):
        assert all(len(s.data) <= 4000 for s in t.peer.drain())
        t.peer.sends(ACK)


def test_super_segments_are_used(tcp):
    """Control of the limits above."""
    t = _gso(tcp).established(wnd=500_000, wscale=4, mss=1000)
    t.send(300_000)
    biggest = 0
    for _ in range(8):
        biggest = max([biggest, *(len(s.data) for s in t.peer.drain())])
        t.clock.advance(ms=10)
        t.peer.sends(ACK)
    assert biggest > 4000


@rfc("9293", "3.7.4", "SHLD-7")
def test_super_segment_leaves_a_nagle_remainder(tcp):
    """Only the last packet of a super-segment may be short, and Nagle still holds the remainder back."""
    t = _gso(tcp).established(mss=1000)
    t.send(b"a")
    t.peer.drain()
    t.send(3500)
    assert sum(len(s.data) for s in t.peer.drain()) == 3000
    t.peer.sends(ACK)
    assert sum(len(s.data) for s in t.peer.drain()) == 500


@rfc("6675", "4", "6675-1")
def test_super_segment_is_split_by_sack(tcp):
    """One record, a hole in its middle: only the hole is sent again."""
    t = _gso(tcp, initial_window_segs=20, congestion="newreno").established(mss=1000, sack=True)
    t.send(20_000)
    t.peer.drain()
    t.clock.advance(ms=50)
    t.peer.sends(ACK, ack=5001)
    t.peer.drain()
    for right in (7001, 8001, 9001, 10_001):
        t.peer.sends(ACK, ack=5001, sack=[(6001, right)])
    again = [(s, n) for s, n in t.peer.seqs() if s < 20_001]
    assert again == [(5001, 1000)]


@rfc("6298", "5.4")
def test_super_segment_lost_is_sent_again(tcp):
    t = _gso(tcp).established(mss=1000)
    t.send(9000)
    t.peer.drain()
    t.until_sent()
    seq, length = t.peer.seqs()[0]
    assert seq == 1
    assert length == 1000, "the loss window is one segment"
    t.clock.advance(ms=SECOND // MS // 20)
    t.peer.sends(ACK, ack=9001)
    assert t.info.in_flight == 0


@rfc("1191", "6.3", "1191-1")
def test_super_segment_after_a_smaller_path_mtu(tcp):
    t = _gso(tcp).established(mss=1460)
    t.send(14_600)
    t.peer.drain()
    t.icmp(3, 4, mtu=1000, seq=1)
    t.clock.advance(s=2)
    for s in t.peer.drain():
        assert (s.gso_size or len(s.data)) <= 960
    assert pattern(3) == bytes(t.rules.written[:3])


@rfc("7323", "5.5")
def test_a_timestamp_that_wrapped_in_a_long_idle_time_is_the_new_recent_one(tcp):
    t = tcp().established(ts=True)
    t.clock.advance(s=25 * 24 * 3600)
    t.peer.sends(ACK, data=b"back")
    t.clock.advance(ms=500)
    assert t.peer.drain()[-1].ts[1] == t.peer.tsval - 500
