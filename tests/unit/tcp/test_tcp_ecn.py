"""Explicit congestion notification (RFC 3168): who may use it, what is echoed, what is answered."""

import pytest

from stack.tcp.congestion.base import Controller
from stack.tcp.state import ESTABLISHED, SYN_RECEIVED
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, CE, CWR, ECE, MS, SECOND, SYN, signed_seq

MSS = 1000
ASK = SYN | ECE | CWR


def asking(tcp, reply=ECE, **settings):
    """An active open that asks for ECN; the peer's SYN-ACK has the flags `reply` besides."""
    t = tcp(**{"ecn": "request", **settings}).open()
    t.peer.expects(ASK, seq=0)
    t.clock.advance(ms=50)
    t.peer.sends(SYN | ACK | reply, seq=0, mss=MSS, sack_ok=True)
    t.peer.expects(ACK, seq=1, ack=1)
    return t


def asked(tcp, flags=ASK, **settings):
    """A passive open by a SYN with `flags`."""
    t = tcp(**settings).listen()
    t.peer.sends(flags, seq=0, mss=MSS, sack_ok=True)
    return t


def window_of_data(t, segments=8):
    """Send that many segments and give them back."""
    t.send(segments * MSS)
    return t.peer.drain()


# -- the handshake


@rfc("3168", "6.1.1", "3168-1")
def test_active_open_agrees_on_ecn(tcp):
    t = asking(tcp)
    assert t.info.ecn
    assert all(s.ect for s in window_of_data(t, 3))


@rfc("3168", "6.1.1", "3168-1")
@pytest.mark.parametrize("reply", [0, ECE | CWR, CWR])
def test_a_reply_that_does_not_agree_leaves_ecn_off(tcp, reply):
    """Both flags in a SYN-ACK come from a host that only reflects them."""
    t = asking(tcp, reply)
    assert not t.info.ecn
    assert not any(s.ect for s in window_of_data(t, 3))
    t.peer.sends(ACK | CE, data=b"marked")
    t.clock.advance(ms=100)
    t.peer.expects(ACK, ack=7)


@rfc("3168", "6.1.1", "3168-1")
def test_passive_open_agrees_when_asked(tcp):
    t = asked(tcp)
    t.peer.expects(SYN | ACK | ECE, seq=0, ack=1)
    t.peer.sends(ACK)
    assert t.info.ecn
    assert all(s.ect for s in window_of_data(t, 3))


@pytest.mark.parametrize("flags", [SYN, SYN | ECE, SYN | CWR, ASK | CE])
def test_passive_open_without_a_proper_request_stays_without(tcp, flags):
    """A SYN that comes marked CE was tampered with on the way."""
    t = asked(tcp, flags)
    t.peer.expects(SYN | ACK, seq=0, ack=1)
    t.peer.sends(ACK)
    assert not any(s.ect for s in window_of_data(t, 3))


def test_off_neither_asks_nor_agrees(tcp):
    t = tcp(ecn="off").open()
    t.peer.expects(SYN, seq=0)
    t = asked(tcp, ecn="off")
    t.peer.expects(SYN | ACK, seq=0, ack=1)


def test_accept_does_not_ask(tcp):
    t = tcp(ecn="accept").open()
    t.peer.expects(SYN, seq=0)
    t.peer.sends(SYN | ACK | ECE, seq=0, mss=MSS)
    t.peer.expects(ACK)
    assert not t.info.ecn


@rfc("3168", "6.1.1.1", "3168-1")
def test_a_lost_syn_is_repeated_without_ecn(tcp):
    """RFC 3168 §6.1.1: and no ECT is sent then, though what arrives marked is echoed."""
    t = tcp(ecn="request").open()
    t.peer.expects(ASK, seq=0)
    t.until_sent()
    t.peer.expects(SYN, seq=0)
    t.peer.sends(SYN | ACK | ECE, seq=0, mss=MSS)  # the answer to the first, after all
    t.peer.expects(ACK, seq=1, ack=1)
    assert not any(s.ect for s in window_of_data(t, 1))
    t.peer.sends(ACK | CE, data=b"marked")
    t.peer.expects(ACK | ECE, ack=7)


@rfc("3168", "6.1.1", "3168-1")
def test_a_peer_that_repeats_its_syn_without_asking_gets_none(tcp):
    t = asked(tcp)
    t.peer.expects(SYN | ACK | ECE, seq=0, ack=1)
    t.peer.sends(SYN, seq=0, mss=MSS, sack_ok=True)
    t.peer.expects(SYN | ACK, seq=0, ack=1)
    t.peer.sends(ACK, seq=1)
    assert t.state == ESTABLISHED
    assert not any(s.ect for s in window_of_data(t, 2))


@rfc("9293", "3.5", "MUST-10")
@rfc("3168", "6.1.1", "3168-1")
@pytest.mark.parametrize(
    ("ecn", "peer", "agreed"), [("request", ASK, True), ("request", SYN, False), ("accept", ASK, False)]
)
def test_simultaneous_open_needs_both_to_ask(tcp, ecn, peer, agreed):
    t = tcp(ecn=ecn).open()
    t.peer.expects(ASK if ecn == "request" else SYN, seq=0)
    t.peer.sends(peer, seq=0, mss=MSS)
    t.peer.expects(SYN | ACK | (ECE if agreed else 0), seq=0, ack=1)
    assert t.state == SYN_RECEIVED
    t.peer.sends(SYN | ACK | (ECE if agreed else 0), seq=0, ack=1, mss=MSS)
    t.peer.drain()
    assert t.state == ESTABLISHED
    assert [s.ect for s in window_of_data(t, 2)] == [agreed, agreed]


# -- the receiver


@rfc("3168", "6.1.3", "3168-1")
def test_a_mark_is_echoed_until_cwr(tcp):
    t = asking(tcp)
    t.peer.sends(ACK | CE, data=b"a" * MSS)
    t.peer.expects(ACK | ECE, ack=1001)  # at once
    t.peer.sends(ACK, data=b"b" * MSS)
    t.clock.advance(ms=100)
    t.peer.expects(ACK | ECE, ack=2001)
    t.send(b"data carries it as well")
    t.peer.expects(ACK | ECE, length=-1)
    t.peer.sends(ACK | CWR, data=b"c" * MSS, ack=t.rules.snd_max)
    t.peer.expects(ACK, ack=3001)
    t.peer.sends(ACK, data=b"d" * MSS)
    t.clock.advance(ms=100)
    t.peer.expects(ACK, ack=4001)


def test_cwr_on_a_marked_segment_is_echoed_again(tcp):
    """RFC 3168 §6.1.3: the mark is newer than the reduction."""
    t = asking(tcp)
    t.peer.sends(ACK | CE, data=b"a" * MSS)
    t.peer.expects(ACK | ECE, ack=1001)
    t.peer.sends(ACK | CE | CWR, data=b"b" * MSS)
    t.peer.expects(ACK | ECE, ack=2001)


def test_a_mark_out_of_order_is_echoed_with_the_duplicate_ack(tcp):
    t = asking(tcp)
    t.peer.sends(ACK | CE, seq=1001, data=b"b" * MSS)
    t.peer.expects(ACK | ECE, ack=1, sack=[(1001, 2001)])


def test_a_mark_outside_the_window_does_not_count(tcp):
    """RFC 3168 §6.1.5: it may be an attacker's."""
    t = asking(tcp)
    t.peer.sends(ACK | CE, seq=1 << 24, data=b"far")
    t.peer.expects(ACK, ack=1)


# -- the sender


@rfc("9293", "3.8.2", "SHLD-8")
@rfc("3168", "6.1.2", "3168-1")
@pytest.mark.parametrize("congestion", ["newreno", "cubic"])
def test_an_echo_reduces_once_and_says_so_once(tcp, congestion):
    t = asking(tcp, congestion=congestion)
    sent = window_of_data(t, 20)
    assert len(sent) == 10
    before = t.info.cwnd
    t.clock.advance(ms=50)
    for i in range(1, 6):
        t.peer.sends(ACK | ECE, ack=1 + i * MSS)
    reduced = t.info.cwnd
    assert reduced == (before // 2 if congestion == "newreno" else before * 7 // 10)
    assert t.info.phase == "open"
    for i in range(6, 11):
        t.peer.sends(ACK | ECE, ack=1 + i * MSS)
    assert t.info.cwnd == reduced, "grew or shrank again in the same window"
    new = t.peer.drain()
    assert [bool(s.flags & CWR) for s in new] == [True] + [False] * (len(new) - 1)
    assert signed_seq(t, new[0]) == 10 * MSS + 1


def test_an_echo_of_the_next_window_reduces_again(tcp):
    t = asking(tcp, congestion="newreno")
    window_of_data(t, 40)
    t.clock.advance(ms=50)
    t.peer.sends(ACK | ECE, ack=10 * MSS + 1)
    first = t.info.cwnd
    assert t.peer.drain()
    t.clock.advance(ms=50)
    t.peer.sends(ACK | ECE, ack=11 * MSS + 1)
    assert t.info.cwnd < first


def test_without_echo_nothing_is_reduced(tcp):
    """The control of the tests above."""
    t = asking(tcp, congestion="newreno")
    window_of_data(t, 20)
    before = t.info.cwnd
    t.peer.sends(ACK, ack=10 * MSS + 1)
    assert t.info.cwnd > before
    assert not any(s.flags & CWR for s in t.peer.drain())


def test_an_echo_nobody_agreed_on_is_ignored(tcp):
    t = asking(tcp, reply=0, congestion="newreno")
    window_of_data(t, 20)
    before = t.info.cwnd
    t.peer.sends(ACK | ECE, ack=10 * MSS + 1)
    assert t.info.cwnd > before


@rfc("3168", "6.1.2", "3168-1")
def test_a_loss_in_a_window_reduced_for_a_mark_reduces_no_further(tcp):
    t = asking(tcp, congestion="newreno")
    window_of_data(t, 20)
    t.clock.advance(ms=50)
    t.peer.sends(ACK | ECE, ack=1 + MSS)
    ssthresh = t.info.ssthresh
    for i in range(3, 8):
        t.peer.sends(ACK | ECE, ack=1 + MSS, sack=[(2 * MSS + 1, i * MSS + 1)])
    assert t.info.phase == "recovery"
    assert t.info.ssthresh == ssthresh
    again = [s for s in t.peer.drain() if signed_seq(t, s) == 1 + MSS]
    assert [s.ect for s in again] == [False]  # RFC 3168 §6.1.5


def test_a_mark_in_recovery_reduces_no_further(tcp):
    t = asking(tcp, congestion="newreno")
    window_of_data(t, 20)
    t.clock.advance(ms=50)
    for i in range(3, 8):
        t.peer.sends(ACK, ack=1, sack=[(MSS + 1, i * MSS + 1)])
    assert t.info.phase == "recovery"
    ssthresh = t.info.ssthresh
    t.peer.sends(ACK | ECE, ack=1, sack=[(MSS + 1, 9 * MSS + 1)])
    assert t.info.ssthresh == ssthresh
    t.peer.sends(ACK | ECE, ack=10 * MSS + 1)
    assert t.info.ssthresh == ssthresh
    # RFC 3168 §6.1.2: whatever the window was reduced for
    assert [bool(s.flags & CWR) for s in t.peer.drain() if s.ect].count(True) == 1


@rfc("3168", "6.1.5", "3168-1")
def test_a_timeout_repeats_without_ect_and_says_cwr_on_new_data(tcp):
    t = asking(tcp, congestion="newreno", tlp=False)
    window_of_data(t, 2)
    t.until_sent(10 * SECOND)
    assert not any(s.ect for s in t.peer.drain())
    t.clock.advance(ms=50)
    t.peer.sends(ACK, ack=2 * MSS + 1)
    assert t.state == ESTABLISHED
    new = window_of_data(t, 1)
    assert new[0].ect
    assert new[0].flags & CWR


@rfc("3168", "6.1.6", "3168-1")
def test_a_window_probe_is_not_ect(tcp):
    t = asking(tcp)
    t.peer.sends(ACK, wnd=0)
    t.send(500)
    t.until_sent(10 * SECOND)
    probe = t.peer.expects(ACK, length=1)
    assert not probe.ect


def test_cwr_goes_with_a_super_segment_too(tcp):
    t = asking(tcp, max_gso=64_000, congestion="newreno")
    window_of_data(t, 60)
    t.clock.advance(us=500)
    t.peer.sends(ACK | ECE, ack=10 * MSS + 1)
    new = t.peer.drain()
    assert new[0].gso_size == MSS
    assert new[0].flags & CWR


class Stubborn(Controller):
    """An algorithm that knows of losses only."""

    __slots__ = ("losses",)

    def __init__(self, mss, initial_window):
        super().__init__(mss, initial_window)
        self.losses = 0

    def on_loss(self, now, in_flight):
        self.losses += 1


def test_an_algorithm_without_a_hook_for_marks_takes_them_as_losses():
    controller = Stubborn(MSS, 10 * MSS)
    controller.on_ecn(10 * MS, 10 * MSS)
    assert controller.losses == 1
