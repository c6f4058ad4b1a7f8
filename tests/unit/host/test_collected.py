"""A host that nobody holds any more is collected, with all that its connections held.

What hangs below a Connection takes no part in the search for cycles (`acyclic`), so nothing there may lead back.
"""

import gc

from stack.tcp.connection import Connection
from stack.tcp.memory import Budget
from tests.support.host_net import PORT, SEQ, Net


def ours():
    """How many there are."""
    for _ in range(2):  # what is held from below a Connection is garbage once that has gone
        gc.collect()
    return [sum(isinstance(one, kind) for one in gc.get_objects()) for kind in (Connection, Budget)]


class User:
    """As a transport does, it holds the connection that holds it."""

    def __init__(self, conn):
        self.conn = conn
        conn.user = self


def busy_host():
    net = Net(congestion="cubic")
    conn, iss = net.accepted(net.host.listen(0, PORT), b"first")
    User(conn)
    for _ in range(3):  # data on its way, of which some is lost, and data out of order from the peer
        conn.send(bytes(50_000), net.now)
        net.host.wake(conn)
        net.send()
        net.tcp("A", seq=SEQ + 100, ack=iss + 1, data=b"second")
        net.advance(0.3)
    assert net.host.tcp.budget.prunable
    assert conn.snd.in_flight() > 0
    return net


def test_a_busy_host_is_collected():
    before = ours()
    net = busy_host()
    assert ours() == [count + 1 for count in before]
    del net
    assert ours() == before
