"""Listeners that only hold their port, and listeners that share one."""

import pytest

from stack.errors import AddressInUse
from stack.stats import DropReason
from stack.wire.addr import parse_addr
from tests.support.host_net import PORT, SEQ, Net, drops
from tests.support.ip_subject import OUR_IP


def test_a_port_that_is_only_taken_refuses_until_it_is_opened():
    net = Net()
    listener = net.host.listen(0, PORT, now=net.now, accepting=False)
    assert [str(s.flags) for s in net.tcp("S")] == ["RA"]
    assert drops(net, DropReason.TCP_NO_PORT) == 1
    with pytest.raises(AddressInUse):
        net.host.listen(0, PORT, now=net.now)
    listener.accepting = True
    net.accepted(listener)


def test_listeners_that_share_a_port_have_their_connections_in_turn():
    net = Net()
    group = [net.host.listen(0, PORT, now=net.now, share=True) for _ in range(3)]
    for rport in range(1000, 1060):
        [syn_ack] = net.tcp("S", sport=rport)
        net.tcp("A", sport=rport, seq=SEQ + 1, ack=syn_ack.seq + 1)
    counts = [len(listener.accept_queue) for listener in group]
    assert sum(counts) == 60
    assert min(counts) >= 8
    net.host.unlisten(group[0], net.now)
    net.send()
    net.take()  # resets of those that were not accepted
    for rport in range(2000, 2020):
        assert [str(s.flags) for s in net.tcp("S", sport=rport)] == ["SA"]
    for listener in group[1:]:
        net.host.unlisten(listener, net.now)
    net.send()
    net.take()
    assert [str(s.flags) for s in net.tcp("S", sport=3000)] == ["RA"]


def test_a_port_is_shared_only_when_all_agree():
    host = Net().host
    host.listen(0, PORT)
    with pytest.raises(AddressInUse):
        host.listen(0, PORT, share=True)
    host.listen(0, PORT + 1, share=True)
    with pytest.raises(AddressInUse):
        host.listen(0, PORT + 1)
    with pytest.raises(AddressInUse):
        host.listen(parse_addr(OUR_IP), PORT + 1)
    host.listen(parse_addr(OUR_IP), PORT + 1, share=True)


def test_a_shared_port_with_nobody_accepting_refuses():
    net = Net()
    first = net.host.listen(0, PORT, share=True, accepting=False)
    second = net.host.listen(0, PORT, share=True, accepting=False)
    assert [str(s.flags) for s in net.tcp("S")] == ["RA"]
    second.accepting = True
    assert [str(s.flags) for s in net.tcp("S")] == ["SA"]
    assert len(second.half_open) == 1
    assert not first.half_open
