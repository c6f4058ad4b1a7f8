"""Segments smaller than SMSS in loss recovery: what a duplicate stands for, and how they are sent again."""

from typing import ClassVar

import pytest

from stack.tcp.congestion.base import AckSample, Controller
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, FIN, SYN, signed_seq

MSS = 1000


class Watcher(Controller):
    """A window that never changes; the delivery rates it was told."""

    rates: ClassVar[list[int]] = []
    exits: ClassVar[list[str]] = []

    def on_ack(self, sample: AckSample) -> None:
        self.rates.append(sample.delivery_rate)

    def on_recovery_exit(self, now: int) -> None:
        self.exits.append("recovery")

    def on_rto_exit(self, now: int) -> None:
        self.exits.append("rto")


@pytest.fixture(autouse=True)
def _forget():
    Watcher.rates.clear()
    Watcher.exits.clear()


def messages(tcp, count: int, *, sack: bool = False, ts: bool = False, **settings):
    """`count` segments of 100 bytes are outstanding."""
    t = tcp(sack=sack, nodelay=True, **settings)
    t.open()
    t.clock.advance(ms=100)
    t.peer.drain()
    t.peer.sends(SYN | ACK, seq=0, mss=MSS, sack_ok=sack, ts=True if ts else None, wscale=4, wnd=60_000)
    t.peer.drain()
    t.peer.wnd = 60_000 >> 4
    t.peer.sends(ACK)
    for _ in range(count):
        t.send(100)
    assert [len(s.data) for s in t.peer.drain()] == [100] * count
    return t


@rfc("5681", "3.2", "5681-3.2")
def test_a_duplicate_stands_for_the_segment_that_it_was_sent_for(tcp):
    """Counted as SMSS, each would let ten of these segments out, and the next episode be ten times the first."""
    t = messages(tcp, 20)
    for count in range(1, 7):
        t.peer.sends(ACK, ack=1)
        assert t.conn.snd.recovery.dup_bytes == 100 * count


@rfc("6582", "3.2", "6582-1")
@pytest.mark.parametrize("count", [20, 5])
def test_a_hole_is_repaired_with_a_full_segment(tcp, count):
    """One segment for each round trip: as much as it holds, however the data was cut the first time."""
    t = messages(tcp, count)
    for _ in range(3):
        t.peer.sends(ACK, ack=1)
    first = t.peer.drain()[0]
    assert (signed_seq(t, first), len(first.data)) == (1, min(MSS, 100 * count))


def test_after_a_timeout_full_segments_go_out(tcp):
    t = messages(tcp, 25, frto=False)
    t.until_sent()
    again = t.peer.drain()
    assert [(signed_seq(t, s), len(s.data)) for s in again] == [(1, MSS)]
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=1001)
    assert [(signed_seq(t, s), len(s.data)) for s in t.peer.drain()] == [(1001, MSS), (2001, 500)]
    t.peer.sends(ACK, ack=2501)
    t.clock.advance(s=60)
    t.peer.expects_nothing()


def test_what_sack_reports_in_between_stays_out(tcp):
    """Segments 5 and 12 of 25 have arrived: the others are sent again in three pieces, the FIN with the last."""
    t = messages(tcp, 25, sack=True, loss_detection="rfc6675", frto=False)
    t.close()
    t.peer.drain()
    t.peer.sends(ACK, ack=1, sack=[(1101, 1201), (401, 501)])
    t.until_sent()
    first = t.peer.drain()
    assert [(signed_seq(t, s), len(s.data)) for s in first] == [(1, 400), (501, 600)]
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=1201)
    rest = t.peer.drain()
    assert [(signed_seq(t, s), len(s.data), bool(s.flags & FIN)) for s in rest] == [
        (1201, MSS, False),
        (2201, 300, True),
    ]


def test_a_rate_over_a_hole_that_a_timeout_filled_is_none(tcp):
    """Without SACK 19 segments that arrived long ago are told of at once, and look like 19 of one round trip."""
    t = messages(tcp, 20, congestion=Watcher, frto=False)
    t.until_sent()
    t.peer.drain()
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=2001)
    assert Watcher.rates == [0]
    assert Watcher.exits == ["rto"]
    t.send(100)
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=2101)
    assert Watcher.rates == [0, 100 * 10]


@pytest.mark.parametrize("timestamps", [False, True])
def test_a_rate_of_a_range_sent_twice_needs_a_timestamp(tcp, timestamps):
    """draft-ietf-ccwg-bbr §4.1.3.5: the ACK may be of the first copy, which was on its way for longer."""
    t = messages(tcp, 1, sack=True, ts=timestamps, congestion=Watcher, frto=False, tlp=False)
    t.until_sent()
    t.peer.drain()
    t.clock.advance(ms=200)
    t.peer.sends(ACK, ack=101)
    assert Watcher.rates == [500 if timestamps else 0]
