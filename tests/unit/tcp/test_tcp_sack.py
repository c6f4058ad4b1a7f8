"""SACK: RFC 2018 and D-SACK RFC 2883 as receiver, RFC 6675 as sender, and SACK options that lie."""

import pytest

from stack.tcp.state import ESTABLISHED
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, FIN, MS, SECOND, SYN, pattern, signed_seq

MSS = 1000


# -- receiving side ---------------------------------------------------------------------------------------------


@rfc("2018", "2", "2018-1")
@pytest.mark.parametrize("passive", [False, True])
def test_no_blocks_without_permission(tcp, passive):
    t = tcp().established(passive=passive, sack=False)
    t.peer.sends(ACK, seq=100, data=b"x")
    t.peer.expects(ACK, ack=1, sack=[])


@rfc("2018", "2", "2018-1")
def test_sack_off_is_not_offered_and_not_used(tcp):
    t = tcp(sack=False).open()
    assert not t.peer.expects(SYN).sack_ok
    t.peer.sends(SYN | ACK, seq=0, mss=1460, sack_ok=True)
    t.peer.drain()
    t.peer.sends(ACK, seq=100, data=b"x")
    t.peer.expects(ACK, ack=1, sack=[])


@rfc("2018", "4", "2018-2")
def test_first_block_holds_the_newest_segment(tcp):
    t = tcp().established(sack=True)
    t.peer.sends(ACK, seq=101, data=bytes(100))
    t.peer.expects(ACK, ack=1, sack=[(101, 201)])
    t.peer.sends(ACK, seq=301, data=bytes(100))
    t.peer.expects(ACK, ack=1, sack=[(301, 401), (101, 201)])
    t.peer.sends(ACK, seq=501, data=bytes(100))
    t.peer.expects(ACK, ack=1, sack=[(501, 601), (301, 401), (101, 201)])
    t.peer.sends(ACK, seq=201, data=bytes(50))
    t.peer.expects(ACK, ack=1, sack=[(101, 251), (501, 601), (301, 401)])
    t.peer.sends(ACK, seq=401, data=bytes(100))
    t.peer.expects(ACK, ack=1, sack=[(301, 601), (101, 251)])


@rfc("2018", "3", "2018-2")
@pytest.mark.parametrize(("ts", "fit"), [(False, 4), (True, 3)])
def test_as_many_blocks_as_fit(tcp, ts, fit):
    t = tcp().established(sack=True, ts=ts)
    for i in range(6):
        t.peer.sends(ACK, seq=101 + 200 * i, data=bytes(100))
    last = t.peer.drain()[-1]
    got = [(a - t.peer.irs) & 0xFFFFFFFF for a, _ in last.sack]
    assert got == [1101, 901, 701, 501][:fit]


@rfc("2018", "4", "2018-3")
def test_blocks_go_away_when_the_hole_is_filled(tcp):
    t = tcp().established(sack=True)
    t.peer.sends(ACK, seq=101, data=bytes(100))
    t.peer.sends(ACK, seq=301, data=bytes(100))
    t.peer.drain()
    t.peer.sends(ACK, seq=1, data=bytes(100))
    t.peer.expects(ACK, ack=201, sack=[(301, 401)])
    t.peer.sends(ACK, seq=201, data=bytes(100))
    t.peer.expects(ACK, ack=401, sack=[])


@rfc("2018", "4", "2018-3")
def test_blocks_on_every_segment_while_there_is_a_hole(tcp):
    """RFC 2018 §4: all ACKs which do not ack the highest number carry SACK, data segments too."""
    t = tcp().established(sack=True)
    t.peer.sends(ACK, seq=101, data=bytes(100))
    t.peer.drain()
    t.send(b"hello")
    t.peer.expects(ACK, data=b"hello", sack=[(101, 201)])


@rfc("2018", "4", "2018-3")
def test_segment_with_blocks_stays_within_the_mss(tcp):
    t = tcp(nodelay=True).established(sack=True, ts=True, mss=200)
    for i in range(3):
        t.peer.sends(ACK, seq=101 + 200 * i, data=bytes(100))
    t.peer.drain()
    t.send(1000)
    got = t.peer.drain()
    assert all(len(s.data) + len(s.option_bytes) <= 200 for s in got)


@rfc("2018", "4")
def test_fin_held_out_of_order(tcp):
    t = tcp().established(sack=True)
    t.peer.sends(FIN | ACK, seq=101, data=bytes(100))
    s = t.peer.expects(ACK, ack=1)
    left, right = s.sack[0]
    assert (left - t.peer.irs) & 0xFFFFFFFF == 101
    assert (right - t.peer.irs) & 0xFFFFFFFF in {201, 202}


# -- D-SACK -----------------------------------------------------------------------------------------------------


@rfc("2883", "4.1", "2883-1")
def test_dsack_of_a_full_duplicate(tcp):
    t = tcp().established(sack=True)
    t.peer.sends(ACK, seq=1, data=bytes(500))
    t.peer.drain()
    t.peer.sends(ACK, seq=1, data=bytes(500))
    t.peer.expects(ACK, ack=501, sack=[(1, 501)])
    t.peer.sends(ACK, seq=201, data=bytes(100))
    t.peer.expects(ACK, ack=501, sack=[(201, 301)])


@rfc("2883", "4.1", "2883-1")
@pytest.mark.parametrize("data", [b"", b"bye"])
def test_dsack_of_a_fin(tcp, data):
    """It has a sequence number like data: without it the peer would never know that all it sent again was there."""
    t = tcp().established(sack=True)
    t.peer.sends(ACK | FIN, seq=1, data=data)
    t.peer.drain()
    t.peer.sends(ACK | FIN, seq=1, data=data)
    end = 1 + len(data) + 1
    t.peer.expects(ACK, ack=end, sack=[(1, end)])


@rfc("2883", "4", "2883-1")
def test_dsack_is_reported_once(tcp):
    t = tcp().established(sack=True)
    t.peer.sends(ACK, seq=1, data=bytes(500))
    t.peer.sends(ACK, seq=1, data=bytes(500))
    t.peer.drain()
    t.peer.sends(ACK, seq=601, data=bytes(100))
    t.peer.expects(ACK, ack=501, sack=[(601, 701)])


@rfc("2883", "4.1.3", "2883-1")
def test_dsack_of_a_duplicate_above_a_hole_with_the_block_around_it(tcp):
    t = tcp().established(sack=True)
    t.peer.sends(ACK, seq=1001, data=bytes(1000))
    t.peer.sends(ACK, seq=2001, data=bytes(1000))
    t.peer.drain()
    t.peer.sends(ACK, seq=1001, data=bytes(1000))
    t.peer.expects(ACK, ack=1, sack=[(1001, 2001), (1001, 3001)])


@rfc("2883", "4.2.1", "2883-1")
def test_dsack_of_a_partial_duplicate(tcp):
    """RFC 2883 §4.2.1: only the duplicate part is reported, new data moves the ACK."""
    t = tcp().established(sack=True)
    t.peer.sends(ACK, seq=1, data=bytes(1000))
    t.peer.drain()
    t.peer.sends(ACK, seq=501, data=bytes(1000))
    t.peer.expects(ACK, ack=1501, sack=[(501, 1001)])


@rfc("2883", "4.2.2", "2883-1")
def test_dsack_of_a_partial_duplicate_above_a_hole(tcp):
    t = tcp().established(sack=True)
    t.peer.sends(ACK, seq=1001, data=bytes(500))
    t.peer.drain()
    t.peer.sends(ACK, seq=1001, data=bytes(1000))
    t.peer.expects(ACK, ack=1, sack=[(1001, 1501), (1001, 2001)])


@rfc("2883", "4", "2883-1")
def test_no_dsack_without_permission(tcp):
    t = tcp().established(sack=False)
    t.peer.sends(ACK, seq=1, data=bytes(500))
    t.peer.drain()
    t.peer.sends(ACK, seq=1, data=bytes(500))
    t.peer.expects(ACK, ack=501, sack=[])


# -- sending side -----------------------------------------------------------------------------------------------


def _ten(tcp, n=10, **settings):
    """`n` segments of 1000 bytes in flight, SACK on, round trip 100 ms; RFC 6675 unless told otherwise."""
    settings = {"congestion": "newreno", "initial_window_segs": n, "loss_detection": "rfc6675", **settings}
    t = tcp(**settings).open()
    t.clock.advance(ms=100)
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, mss=MSS, sack_ok=True, ts=None)
    t.peer.drain()
    t.send(n * MSS)
    t.peer.expects_data(1, n * MSS + 1)
    t.clock.advance(ms=100)
    return t


def _retransmitted(t, below):
    return [seq for seq, length in t.peer.seqs() if length and seq < below]


@rfc("6675", "5", "6675-2")
def test_recovery_on_the_third_sack(tcp):
    t = _ten(tcp)
    t.peer.sends(ACK, ack=1, sack=[(1001, 2001)])
    t.peer.sends(ACK, ack=1, sack=[(1001, 3001)])
    assert _retransmitted(t, 10_001) == []
    t.peer.sends(ACK, ack=1, sack=[(1001, 4001)])
    assert _retransmitted(t, 10_001) == [1]


@rfc("6675", "4", "6675-2")
def test_recovery_by_islost_on_one_ack(tcp):
    """One ACK whose block lies more than (DupThresh - 1) SMSS above is as good as three duplicates."""
    t = _ten(tcp)
    t.peer.sends(ACK, ack=1, sack=[(1001, 5001)])
    assert 1 in _retransmitted(t, 10_001)


@rfc("6675", "4", "6675-1")
def test_only_the_holes_are_retransmitted(tcp):
    t = _ten(tcp)
    t.peer.sends(ACK, ack=1, sack=[(1001, 2001)])
    t.peer.sends(ACK, ack=1, sack=[(3001, 4001), (1001, 2001)])
    t.peer.sends(ACK, ack=1, sack=[(5001, 6001), (3001, 4001), (1001, 2001)])
    t.peer.sends(ACK, ack=1, sack=[(5001, 7001), (3001, 4001), (1001, 2001)])
    t.peer.sends(ACK, ack=1, sack=[(5001, 8001), (3001, 4001), (1001, 2001)])
    t.peer.sends(ACK, ack=1, sack=[(5001, 9001), (3001, 4001), (1001, 2001)])
    t.peer.sends(ACK, ack=1, sack=[(5001, 10_001), (3001, 4001), (1001, 2001)])
    # and, as there is nothing new to send, the last segment once: the rescue of NextSeg() rule 4
    assert sorted(_retransmitted(t, 10_001)) == [1, 2001, 4001, 9001]
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=10_001)
    t.clock.advance(s=60)
    t.peer.expects_nothing()
    assert t.info.retransmits == 4


@rfc("6675", "5", "6675-2")
def test_no_second_retransmission_within_recovery(tcp):
    """Without newer evidence a retransmitted hole is not sent again by more duplicate ACKs at once."""
    t = _ten(tcp)
    for right in range(2001, 10_002, 1000):
        t.peer.sends(ACK, ack=1, sack=[(1001, right)])
    assert _retransmitted(t, 10_001).count(1) == 1


@rfc("6675", "5", "6675-1")
def test_new_data_is_sent_when_the_holes_are_done(tcp):
    """NextSeg rule 2: after the lost ranges, new data, as far as the pipe allows."""
    t = _ten(tcp)
    t.send(10_000)
    t.peer.drain()
    for right in range(2001, 10_002, 1000):
        t.peer.sends(ACK, ack=1, sack=[(1001, right)])
    seqs = t.peer.seqs()
    assert any(seq >= 10_001 for seq, _ in seqs)
    assert max(seq for seq, _ in seqs) <= 20_001


@rfc("6675", "5", "6675-2")
def test_recovery_reduces_once(tcp):
    t = _ten(tcp)
    for right in range(2001, 6002, 1000):
        t.peer.sends(ACK, ack=1, sack=[(1001, right)])
    once = t.info.ssthresh
    assert abs(once - 5 * MSS) <= MSS
    t.peer.sends(ACK, ack=1001, sack=[(2001, 9001)])
    t.peer.sends(ACK, ack=1001, sack=[(2001, 10_001)])
    assert t.info.ssthresh == once


@rfc("6675", "5", "2018-4")
def test_sacked_data_is_kept_until_acked(tcp):
    """Reneging: the peer threw SACKed data away; after the timeout all of it can still be sent."""
    t = _ten(tcp)
    for right in range(2001, 10_002, 1000):
        t.peer.sends(ACK, ack=1, sack=[(1001, right)])
    t.peer.drain()
    acked = 1
    for _ in range(60):
        if acked > 10_000:
            break
        if not t.peer.inbox:
            t.until_sent()
        for s in t.peer.drain():
            if signed_seq(t, s) == acked:
                acked += len(s.data)
        t.peer.sends(ACK, ack=acked)
    assert acked == 10_001
    t.clock.advance(s=60)
    assert t.info.in_flight == 0


@rfc("6675", "5.1", "2018-4")
def test_rto_with_a_scoreboard(tcp):
    """RFC 6675 §5.1: after a timeout SACKed ranges need not be sent again; the hole must."""
    t = _ten(tcp)
    t.peer.sends(ACK, ack=1, sack=[(9001, 10_001)])
    t.peer.drain()
    t.until_sent()
    got = t.peer.seqs()
    assert got[0][0] == 1
    assert t.info.cwnd <= 2 * MSS or t.info.cwnd == MSS


LIES = {
    "reversed": [(5001, 3001)],
    "empty": [(3001, 3001)],
    "below una": [(-5000, -4000)],
    "across una": [(-1000, 3001)],
    "beyond nxt": [(20_001, 21_001)],
    "across nxt": [(9001, 30_001)],
    "wrapped": [(2001, 2001 - (1 << 31))],
    "everything": [(-(1 << 30), 1 << 30)],
    "four times the same": [(3001, 4001)] * 4,
    "inside one another": [(3001, 9001), (4001, 5001), (3001, 4001)],
    "not aligned": [(1500, 1501), (2999, 3002), (7001, 7002)],
    "una itself": [(1, 1001)],
}


@rfc("6675", "2", "6675-3")
@pytest.mark.parametrize("detection", ["rack", "rfc6675"])
@pytest.mark.parametrize("lie", list(LIES))
def test_malformed_sack_is_survived(tcp, lie, detection):
    t = _ten(tcp, loss_detection=detection)
    for _ in range(5):
        t.peer.sends(ACK, ack=1, sack=LIES[lie])
    assert t.state == ESTABLISHED
    info = t.info
    assert 0 <= info.sacked <= 10_000
    # and the connection still completes honestly
    acked = 1
    have = set()
    for s in t.peer.drain():
        have.add((signed_seq(t, s), len(s.data)))
    for _ in range(200):
        if acked == 10_001:
            break
        if not t.peer.inbox:
            t.clock.jump()
        for s in t.peer.drain():
            seq = signed_seq(t, s)
            if seq <= acked < seq + len(s.data):
                acked = seq + len(s.data)
        t.peer.sends(ACK, ack=acked)
    assert acked == 10_001
    assert t.info.in_flight == 0


@rfc("6675", "4", "SACK-DOS")
@pytest.mark.parametrize("detection", ["rack", "rfc6675"])
def test_one_byte_holes_stay_bounded(tcp, detection):
    """A peer that SACKs every other byte must not make the scoreboard grow without limit."""
    t = _ten(tcp, n=40, loss_detection=detection)
    for i in range(0, 39_000, 64):
        base = 3 + i
        t.peer.sends(
            ACK, ack=1, sack=[(base, base + 1), (base + 2, base + 3), (base + 4, base + 5), (base + 6, base + 7)]
        )
        t.peer.drain()
    t.peer.sends(ACK, ack=40_001)
    assert t.info.in_flight == 0
    t.send(1000)
    assert t.peer.acked == 41_001


@rfc("2883", "5", "2883-1")
def test_incoming_dsack_is_not_taken_for_a_new_sack(tcp):
    t = _ten(tcp)
    t.peer.sends(ACK, ack=2001, sack=[(1, 1001)])
    t.peer.sends(ACK, ack=2001, sack=[(1001, 2001), (3001, 4001)])
    t.peer.drain()
    assert t.info.sacked <= 1000
    t.peer.sends(ACK, ack=10_001)
    assert t.info.in_flight == 0


@rfc("6675", "5")
def test_tail_loss_with_sack_is_repaired(tcp):
    t = _ten(tcp)
    t.peer.sends(ACK, ack=8001)
    t.peer.drain()
    waited = t.until_sent()
    assert waited <= 2 * SECOND
    assert t.peer.seqs()[0][0] in {8001, 9001}


@rfc("6675", "5", "6675-1")
@pytest.mark.parametrize(
    "lost",
    [
        [0],
        [9],
        [0, 1, 2],
        [2, 3, 4, 5],
        [0, 2, 4, 6, 8],
        [7, 8, 9],
        [0, 9],
        list(range(10)),
    ],
)
@pytest.mark.parametrize("detection", ["rack", "rfc6675"])
def test_any_loss_pattern_is_repaired(tcp, lost, detection):
    """An honest SACK receiver, losses in the first flight only; everything arrives, without waste."""
    t = _ten(tcp, loss_detection=detection)
    held = set(range(10)) - set(lost)

    def answer():
        edge = 0
        while edge in held:
            edge += 1
        blocks, i = [], edge
        while i < 10:
            if i in held:
                j = i
                while j in held:
                    j += 1
                blocks.append((1 + i * MSS, 1 + j * MSS))
                i = j
            i += 1
        t.peer.sends(ACK, ack=1 + edge * MSS, sack=blocks[-4:] or None)
        return edge

    for _ in held:
        answer()
    sent = 0
    for _ in range(200):
        if not t.peer.inbox:
            if answer() == 10:
                break
            if not t.peer.inbox:
                t.until_sent()
        t.clock.advance(ms=20)
        for seq, length in t.peer.seqs():
            sent += 1
            for k in range((seq - 1) // MSS, (seq - 1 + length) // MSS):
                held.add(k)
            answer()
    assert held == set(range(10))
    assert t.info.in_flight == 0
    assert sent <= 2 * len(lost) + 3


def test_pattern_is_what_arrives(tcp):
    """The helper itself: data through out-of-order delivery is in order."""
    t = tcp().established(sack=True)
    data = pattern(50_000)
    order = list(range(0, 50_000, 1000))
    for at in order[1::2] + order[::2]:
        t.peer.sends(ACK, seq=1 + at, data=data[at : at + 1000])
        t.clock.advance(us=MS)
    assert t.recv() == data


def _twenty(tcp):
    """Of 20 segments the first is lost; everything else that is older than the recovery point is reported."""
    t = tcp(congestion="newreno", initial_window_segs=20, loss_detection="rfc6675").established(mss=MSS, sack=True)
    t.send(60 * MSS)
    t.peer.expects_data(1, 20 * MSS + 1)
    for edge in (2, 3, 4):
        t.peer.sends(ACK, ack=1, sack=[(MSS + 1, edge * MSS + 1)])
    assert [seq for seq, _ in t.peer.seqs()] == [20 * MSS + 1, 21 * MSS + 1, 1]
    return t


@rfc("9937", "6.2", "6937/9937-1")
def test_reduction_is_in_proportion_to_what_was_in_flight(tcp):
    """RecoverFS leaves out what SACK reported before the ACK that starts the recovery."""
    assert _twenty(tcp).conn.snd.recovery.recover_fs == 22 * MSS - 2 * MSS


@rfc("6675", "5", "6675-2")
def test_a_loss_among_what_recovery_sent_is_another_one(tcp):
    t = _twenty(tcp)
    point = 22 * MSS + 1
    for edge in range(5, 23):
        t.peer.sends(ACK, ack=1, sack=[(MSS + 1, edge * MSS + 1)])
    reduced = t.info.ssthresh
    end = signed_seq(t, t.peer.inbox[-1]) + MSS
    assert end >= point + 5 * MSS
    t.peer.sends(ACK, ack=1, sack=[(point + MSS, end), (MSS + 1, point)])
    assert t.info.ssthresh == reduced
    t.peer.sends(ACK, ack=point, sack=[(point + MSS, end)])
    assert t.info.phase == "recovery"
    assert t.info.ssthresh < reduced
