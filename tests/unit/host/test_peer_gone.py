"""A peer that is known to have gone: its connections end at once, and nobody else's."""

import pytest

from stack.errors import ConnectionReset
from stack.tcp import state
from stack.wire.addr import parse_addr
from tests.support.host_net import PORT, RPORT, SEQ, Net
from tests.support.ip_subject import PEER_IP

PEER = parse_addr(PEER_IP)


@pytest.fixture
def net():
    return Net()


def test_its_connections_end_as_by_a_reset_and_say_nothing(net):
    listener = net.host.listen(0, PORT)
    conn, _ = net.accepted(listener)
    other, _ = net.accepted(listener, sport=RPORT + 1)
    assert net.host.peer_gone(PEER) == 2
    net.send()
    assert net.take() == []  # there is nobody to say it to
    for one in (conn, other):
        assert one.state == state.CLOSED
        assert isinstance(one.error, ConnectionReset)
    assert net.host.tcp.n_conns == 0
    assert net.host.peer_gone(PEER) == 0


def test_those_of_others_go_on(net):
    conn, _ = net.accepted(net.host.listen(0, PORT))
    assert net.host.peer_gone(PEER + 1) == 0
    assert conn.state == state.ESTABLISHED


def test_an_attempt_ends(net):
    conn = net.host.connect(PEER, 80, now=net.now)
    net.send()
    net.take()
    assert net.host.peer_gone(PEER) == 1
    net.send()
    assert conn.state == state.CLOSED
    assert net.host.tcp.n_conns == 0


def test_what_it_sent_can_still_be_read(net):
    conn, iss = net.accepted(net.host.listen(0, PORT))
    net.tcp("PA", seq=SEQ + 1, ack=iss + 1, data=b"last words")
    assert net.host.peer_gone(PEER) == 0
    assert bytes(conn.recv(100)) == b"last words"
    assert net.host.peer_gone(PEER) == 1


def test_where_it_has_sent_its_end_the_usual_happens(net):
    conn, iss = net.accepted(net.host.listen(0, PORT))
    net.tcp("FA", seq=SEQ + 1, ack=iss + 1)
    assert conn.state == state.CLOSE_WAIT
    assert net.host.peer_gone(PEER) == 0
