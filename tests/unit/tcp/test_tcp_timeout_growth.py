"""What opens the window while a timeout is being repaired (RFC 3465 §2.3)."""

import pytest

from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK
from tests.unit.tcp.test_tcp_rack import MSS, flight
from tests.unit.tcp.test_tcp_spurious import plain


@rfc("3465", "2.3", "3465-1")
@pytest.mark.parametrize("congestion", ["newreno", "cubic"])
@pytest.mark.parametrize("sack", [False, True])
def test_what_had_arrived_before_a_timeout_does_not_open_the_window(tcp, congestion, sack):
    """The ACK of the repair is for everything behind it, too, but a single segment has left the network."""
    t = (flight if sack else plain)(tcp, congestion=congestion, tlp=False, frto=False)
    if sack:
        t.peer.sends(ACK, ack=1, sack=[(1001, 10_001)])
        t.peer.drain()
    t.until_sent()
    assert t.info.phase == "loss"
    t.clock.advance(ms=100)
    t.peer.sends(ACK, ack=10_001)
    assert t.info.cwnd == 2 * MSS


@rfc("3465", "2.3", "3465-1")
def test_with_sack_it_is_known_what_has_arrived_since(tcp):
    """Control: nothing of the flight was there, and one ACK for several repairs is as good as one for each."""
    t = flight(tcp, 20, tlp=False, frto=False)
    t.until_sent()
    for window in (1, 2, 4):
        assert t.info.cwnd == window * MSS
        t.clock.advance(ms=100)
        t.peer.drain()
        t.peer.sends(ACK, ack=(2 * window - 1) * MSS + 1)
    assert t.info.cwnd == 8 * MSS
