"""What a hostile neighbour can send, and that it moves nothing: forged sources, resets, floods of strays."""

import random

import pytest
from scapy.layers.inet import IP, TCP
from scapy.layers.l2 import Ether

from stack.config import SECOND
from stack.ip.icmp import IcmpLimiter
from stack.stats import Counter, DropReason
from stack.tcp.segment import ACK, SYN, Segment
from stack.tcp.state import ESTABLISHED
from stack.wire import accel
from stack.wire.addr import parse_addr, parse_mac
from stack.wire.burst import Burst
from tests.support.host_net import PORT, RPORT, SEQ, Net
from tests.support.ip_subject import OUR_IP, OUR_MAC, PEER_IP, PEER_MAC
from tests.support.rfc import rfc

FAR = (SEQ + 500_000_000) % 2**32  # far beyond any window


def established(net):
    """A connection of the peer's to PORT; our first number."""
    (syn_ack,) = net.burst(("S", SEQ, 0, b""))
    net.burst(("A", SEQ + 1, syn_ack[TCP].seq + 1, b""))
    (conn,) = net.host.connections()
    assert conn.state == ESTABLISHED
    return conn, syn_ack[TCP].seq


@rfc("9293", "3.9.2.3", "MUST-63")
@pytest.mark.parametrize("sport", [PORT, RPORT])
def test_land(sport):
    """A SYN that claims to come from the address it goes to, even from the very port."""
    net = Net()
    listener = net.host.listen(0, PORT, now=net.now)
    net.frame(Ether(dst=OUR_MAC, src=PEER_MAC) / IP(src=OUR_IP, dst=OUR_IP) / TCP(sport=sport, dport=PORT, flags="S"))
    assert net.take() == []
    assert net.host.connections() == []
    assert not listener.half_open
    # the control: from another address it is a connection
    net.burst(("S", SEQ, 0, b""))
    assert len(net.host.connections()) == 1


@rfc("9293", "3.9.2.3", "MUST-57")
@pytest.mark.parametrize("dst", ["198.18.0.255", "255.255.255.255", "224.0.0.1"])
def test_a_syn_to_everybody_is_for_nobody(dst):
    net = Net()
    net.host.listen(0, PORT, now=net.now)
    frame = Ether(dst="ff:ff:ff:ff:ff:ff", src=PEER_MAC) / IP(src=PEER_IP, dst=dst)
    net.frame(frame / TCP(sport=RPORT, dport=PORT, flags="S"))
    assert net.take() == []
    assert net.host.connections() == []


@rfc("9293", "3.10.7.1", "T-RST-1")
@pytest.mark.parametrize("flags", ["R", "RA", "RS", "RF", "RSA"])
@pytest.mark.parametrize("listening", [False, True])
def test_a_reset_is_never_answered(flags, listening):
    net = Net()
    if listening:
        net.host.listen(0, PORT, now=net.now)
    assert net.burst((flags, SEQ, 5, b"")) == []
    assert len(net.burst(("A", SEQ, 5, b""))) == 1  # the control


@rfc("5961", "7", "5961-7")
def test_two_ends_out_of_step_do_not_storm():
    """Each answers the other's ACK with an ACK; the limit ends it, for that connection alone."""
    net = Net(challenge_acks_per_s=10)
    net.host.listen(0, PORT, now=net.now)
    conn, iss = established(net)
    answers = 0
    for _ in range(100):
        answers += len(net.burst(("A", FAR, iss + 1, b"")))
    assert answers == 10
    assert conn.state == ESTABLISHED
    free = Net(challenge_acks_per_s=1 << 20)  # the control
    free.host.listen(0, PORT, now=free.now)
    _, iss = established(free)
    assert sum(len(free.burst(("A", FAR, iss + 1, b""))) for _ in range(100)) == 100


def told(shared, hit):
    """What one who shares a limit learns by counting: how many of 100 own probes were answered, when the host has
    answered `hit` others meanwhile."""
    for _ in range(hit):
        shared()
    return sum(shared() for _ in range(100))


@rfc("5961", "7", "5961-7")
def test_a_limit_that_strangers_share_tells_nothing():
    """CVE-2016-5696: count what is left of a limit, and know what else was answered.  The control is exact."""
    exact, chance = {0: set(), 1: set()}, {0: set(), 1: set()}
    for seed in range(200):
        for hit in (0, 1):
            plain = IcmpLimiter(0, 50)
            exact[hit].add(told(lambda limiter=plain: limiter.allow(0), hit))
            random_one = IcmpLimiter(0, 50, rng=random.Random(2 * seed + hit))
            chance[hit].add(told(lambda limiter=random_one: limiter.allow(0), hit))
    assert exact == {0: {50}, 1: {49}}
    assert len(chance[0] & chance[1]) > 10, "both cases give the same numbers"


@rfc("5961", "7", "5961-7")
def test_the_hosts_resets_are_limited_that_way():
    net = Net()
    stray = bytes(Ether(dst=OUR_MAC, src=PEER_MAC) / IP(src=PEER_IP, dst=OUR_IP) / TCP(dport=9, flags="A"))
    burst = Burst()
    accel.load_burst(burst, [(stray, 0, 0, 0, 0, 0)] * 200, parse_mac(OUR_MAC))
    sent = []
    for _ in range(5):
        before = net.host.stats.counts[Counter.TCP_OUT_RSTS]
        net.now += SECOND
        for _ in range(40):
            net.host.receive(1, burst, net.now)
            net.sink.raw.clear()
        sent.append(net.host.stats.counts[Counter.TCP_OUT_RSTS] - before)
    assert len(set(sent)) > 1
    assert all(4_500 < n < 5_500 for n in sent)
    assert net.host.stats.drops[DropReason.TCP_REPLY_QUEUE_FULL] > 0


@rfc("6429", "4", "6429-2")
@pytest.mark.parametrize(("limit", "left"), [(5, 5), (100, 20)])
def test_the_oldest_orphans_go_first(limit, left):
    net = Net(max_orphans=limit)
    conns = []
    for lport in range(20):
        conn = net.host.connect(parse_addr(PEER_IP), 1 + lport, lport=2000 + lport, now=net.now)
        seg = Segment()
        seg.flags, seg.seq, seg.ack, seg.wnd = SYN | ACK, 9, (conn.iss + 1) & 0xFFFFFFFF, 1000
        conn.on_segment(seg, net.now)
        conns.append(conn)
    net.send()
    for conn in conns:
        conn.send(b"last words", net.now)
        conn.close(net.now)
        conn.release(net.now)
        net.host.wake(conn)
    net.take()
    net.send()
    assert net.host.connections() == conns[20 - left :]
    assert net.host.tcp.snapshot()["orphans"] == left
    assert net.host.stats.counts[Counter.TCP_ORPHANS_RESET] == 20 - left
    assert sum(1 for p in net.take() if TCP in p and "R" in str(p[TCP].flags)) == 20 - left
