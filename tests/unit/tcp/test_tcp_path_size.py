"""How large a segment may be: black holes found and left behind (RFC 4821, 8899), ICMP weighed (RFC 5927)."""

import pytest

from stack.tcp.congestion.base import Controller
from stack.tcp.state import ESTABLISHED
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, MINUTE, MS, SECOND, SYN, signed_seq

MTU_KINDS = 3, 4  # destination unreachable, fragmentation needed


class BlackHole:
    """A peer behind a path that swallows segments with more than `limit` bytes of payload, and says nothing."""

    def __init__(self, tcp, limit, **settings):
        self.t = tcp(**{"congestion": "newreno", "rto_min_us": 200 * MS, **settings})
        self.t.open()
        self.t.clock.advance(ms=20)
        self.t.peer.drain()
        self.t.peer.sends(SYN | ACK, seq=0, mss=1460, sack_ok=True)
        self.t.peer.drain()
        self.limit = limit
        self.have = []  # sorted, disjoint ranges that arrived
        self.sizes = []
        self.swallowed = 0
        self.after_ack = lambda: None

    def take(self):
        """What was sent since: arrivals are acknowledged, 20 ms later."""
        sent = [(signed_seq(self.t, s), len(s.data)) for s in self.t.peer.drain() if s.data]
        if not sent:
            return
        self.t.clock.advance(ms=20)
        for seq, size in sent:
            self.sizes.append(size)
            if size > self.limit:
                self.swallowed += 1
                continue
            self.have = merged([*self.have, (seq, seq + size)])
            left = self.have[0][1] if self.have[0][0] == 1 else 1
            self.t.peer.sends(ACK, ack=left, sack=[r for r in self.have if r[0] > left][-3:] or None)
            self.after_ack()

    def run(self, until, limit_us=10 * MINUTE):
        """Go on until `until()`."""
        start = self.t.clock.now
        while not until():
            self.t.must(self.t.clock.now - start < limit_us, "it did not happen")
            self.take()
            if not self.t.peer.inbox and not until():
                self.t.clock.jump()
        return self.t.clock.now - start

    @property
    def arrived(self):
        return self.have[0][1] - 1 if self.have and self.have[0][0] == 1 else 0


def merged(ranges):
    out = []
    for left, right in sorted(ranges):
        if out and left <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], right))
        else:
            out.append((left, right))
    return out


@rfc("4821", "7", "4821-1")
@pytest.mark.parametrize(("limit", "expected"), [(1400, 1024), (1024, 1024), (700, 536), (300, 256)])
def test_a_black_hole_is_left_by_smaller_segments(tcp, limit, expected):
    hole = BlackHole(tcp, limit)
    hole.t.send(30_000)
    took = hole.run(lambda: hole.arrived > 3 * expected)
    assert hole.t.info.mss == expected
    assert took < 90 * SECOND
    hole.run(lambda: hole.arrived == 30_000)


def test_control_without_probing_nothing_gets_through(tcp):
    hole = BlackHole(tcp, 1400, mtu_probing=False)
    hole.t.send(30_000)
    with pytest.raises(AssertionError, match="it did not happen"):
        hole.run(lambda: hole.arrived > 0, 5 * MINUTE)


@rfc("4821", "7.3", "4821-1")
@pytest.mark.parametrize("limit", [1400, 1200, 1300])
def test_the_largest_size_that_works_is_searched_for(tcp, limit):
    hole = BlackHole(tcp, limit)

    def more():
        if hole.t.conn.send_pending() < 100_000:
            hole.t.send(100_000)
        return limit - 32 < hole.t.info.mss <= limit

    hole.run(more)


@rfc("4821", "7.5", "4821-1")
def test_a_probe_that_is_lost_costs_no_window(tcp):
    """Neither afterwards, nor while it is repaired: PRR does not steer to the ssthresh of an older loss."""
    hole = BlackHole(tcp, 1300)
    t = hole.t
    in_recovery = []

    def searching():
        if t.conn.send_pending() < 100_000:
            t.send(100_000)
        return t.conn.snd.mtu_record is not None

    hole.run(lambda: searching() and t.info.mss == 1024)
    cwnd, ssthresh = t.info.cwnd, t.info.ssthresh
    assert ssthresh < cwnd // 4
    hole.after_ack = lambda: t.info.phase == "recovery" and in_recovery.append(t.info.in_flight)

    def repaired():
        searching()
        return in_recovery and t.info.phase == "open"

    hole.run(repaired)
    assert t.info.ssthresh >= ssthresh
    assert t.info.cwnd >= cwnd
    assert min(in_recovery) > cwnd // 3


@rfc("4821", "7.1", "4821-1")
def test_after_ten_minutes_a_larger_size_is_tried_again(tcp):
    hole = BlackHole(tcp, 1200)

    def more():
        if hole.t.conn.send_pending() < 100_000:
            hole.t.send(100_000)

    def settled():
        more()
        return "pmtu" in hole.t.info.timers and hole.t.info.timers["pmtu"] - hole.t.clock.now > 9 * MINUTE

    hole.run(settled)
    small = hole.t.info.mss
    assert 1200 - 32 < small <= 1200
    hole.limit = 1460
    hole.run(lambda: not hole.t.conn.send_pending())
    hole.t.clock.advance(s=9 * 60)
    assert hole.t.conn.snd.mtu_probe == 0
    hole.t.clock.advance(s=60)
    assert hole.t.conn.snd.mtu_probe == 1460
    hole.run(lambda: more() or hole.t.info.mss == 1460)
    assert hole.t.conn.path_size is None


def test_two_lost_transmissions_lower_an_unknown_size_and_it_comes_back(tcp):
    """Losses that were no black hole: the first probe is of the full size."""
    hole = BlackHole(tcp, 0)
    hole.t.send(60_000)
    hole.run(lambda: hole.t.info.mss == 1024)
    hole.limit = 1460

    def more():
        if hole.t.conn.send_pending() < 60_000:
            hole.t.send(60_000)
        return hole.t.info.mss == 1460

    assert hole.run(more) < 20 * SECOND


def test_a_size_that_was_acknowledged_is_suspected_later(tcp):
    hole = BlackHole(tcp, 1460)
    hole.t.send(30_000)
    hole.run(lambda: hole.arrived == 30_000)
    hole.limit = 0
    hole.t.send(10_000)
    hole.run(lambda: hole.t.conn.snd.timeouts == 3)
    assert hole.t.info.mss == 1460
    hole.run(lambda: hole.t.conn.snd.timeouts == 4)
    assert hole.t.info.mss == 1024


def test_small_segments_are_not_made_smaller(tcp):
    hole = BlackHole(tcp, 0)
    hole.t.send(100)
    hole.run(lambda: hole.t.conn.snd.timeouts == 6)
    assert hole.t.info.mss == 1460


# -- ICMP


def established(tcp, acknowledged):
    """20 000 bytes are outstanding; before them `acknowledged` bytes went through."""
    t = tcp(congestion="newreno").established(mss=1460)
    if acknowledged:
        t.send(acknowledged)
        t.peer.sends(ACK, ack=1 + acknowledged)
    t.send(20_000)
    t.peer.drain()
    return t, 1 + acknowledged


@rfc("5927", "7.2", "5927-2")
def test_a_report_on_a_new_size_is_believed_at_once(tcp):
    t, una = established(tcp, 0)
    t.icmp(*MTU_KINDS, mtu=1300, seq=una)
    assert t.info.mss == 1260
    assert t.peer.drain()


@rfc("5927", "7.2", "5927-2")
def test_a_report_against_what_went_through_waits_and_is_dropped_when_more_does(tcp):
    t, una = established(tcp, 7_300)
    t.icmp(*MTU_KINDS, mtu=300, seq=una)
    assert t.info.mss == 1460
    t.peer.expects_nothing()
    t.peer.sends(ACK, ack=una + 1460)  # what it quotes has arrived
    t.until_sent()
    t.clock.advance(s=1)
    assert t.info.mss == 1460
    assert t.state == ESTABLISHED


@rfc("5927", "7.2", "5927-2")
def test_such_a_report_is_believed_after_a_timeout(tcp):
    t, una = established(tcp, 7_300)
    t.icmp(*MTU_KINDS, mtu=1300, seq=una)
    assert t.info.mss == 1460
    t.run(lambda: t.conn.snd.timeouts == 1)
    assert t.info.mss == 1260


@rfc("5927", "7.2", "5927-2")
def test_control_without_the_wait_an_attacker_shrinks_the_segments(tcp):
    """One guessed number is enough as long as nothing was acknowledged."""
    t, una = established(tcp, 0)
    t.icmp(*MTU_KINDS, mtu=100, seq=una)
    assert t.info.mss == 60


class _Narrow(Controller):
    """A window smaller than any segment."""

    name = "narrow"

    def on_ack(self, sample):
        self.cwnd = 100

    def on_mss(self, mss):
        self.mss, self.cwnd = mss, 100

    def check_invariants(self):
        """It is what it is."""


@rfc("5681", "3.1")
def test_a_window_below_one_segment_lets_one_out(tcp):
    """As after an undo that restores a window of smaller segments; it would be silence for ever."""
    t = tcp(congestion=_Narrow).established()
    t.peer.drain()
    t.conn.snd.set_mss(1460)
    t.send(bytes(3000))
    assert [len(s.data) for s in t.peer.drain()] == [1460]
    t.peer.sends(ACK, ack=1461)
    assert [len(s.data) for s in t.peer.drain()] == [1460]
