"""100 000 SYNs a second from forged addresses (RFC 4987): memory stays flat, and a client that means it connects.

Each protection has its control: without it the same flood shuts the client out, or memory grows.
"""

import pytest

from stack.config import MINUTE
from stack.stats import Counter, DropReason
from stack.tcp.state import ESTABLISHED, SYN_SENT
from tests.support.rfc import rfc
from tests.support.syn_flood import Attack

WARM_MS = 60  # so that the bounded tables (paths, half-open connections) are full
NOISE = 3_000  # blocks of memory that come and go


def served(attack):
    """A client connects, and its data reaches the server's application."""
    client = attack.connect()
    if client.state != ESTABLISHED:
        return False
    (server,) = attack.accepted()
    client.send(b"GET", attack.now)
    attack.client.wake(client)
    attack.wait(1)
    return server.recv(100) == b"GET"


@rfc("4987", "3.6", "4987-1")
def test_with_cookies_memory_is_flat_and_a_client_is_served():
    attack = Attack()
    attack.flood(WARM_MS)
    before = attack.memory()
    attack.flood(150)
    assert abs(attack.memory() - before) < NOISE
    assert attack.server.tcp.n_conns <= 128
    assert attack.server.stats.counts[Counter.TCP_SYN_COOKIES_SENT] > 0.9 * attack.syns
    assert served(attack)
    attack.flood(20)
    assert served(attack)


@rfc("4987", "3.6", "4987-1")
def test_without_cookies_and_limits_memory_grows_and_the_client_is_shut_out():
    """The control."""
    attack = Attack(backlog=1 << 20, syn_cookies=False, max_syn_backlog=1 << 20, max_connections=10_000)
    attack.flood(WARM_MS)
    before = attack.memory()
    attack.flood(60)
    assert attack.memory() - before > 10 * NOISE
    assert attack.server.tcp.n_conns == 10_000
    client = attack.connect()
    attack.wait(4_000)
    assert client.state == SYN_SENT
    assert attack.server.stats.drops[DropReason.TCP_TABLE_FULL] > 2_000


@rfc("4987", "3.4", "4987-1")
def test_without_cookies_the_oldest_half_open_connection_makes_room():
    """Flat, too; but a client must be faster than the flood turns the backlog over: here 1.28 ms."""
    attack = Attack(syn_cookies=False)
    attack.flood(WARM_MS)
    before = attack.memory()
    attack.flood(60)
    assert abs(attack.memory() - before) < NOISE
    assert attack.server.tcp.n_conns <= 128
    assert attack.server.stats.counts[Counter.TCP_SYN_RECYCLED] > 0.9 * attack.syns
    assert served(attack)


@rfc("4987", "3", "4987-1")
def test_the_backlog_setting_bounds_what_a_listener_holds():
    attack = Attack(backlog=5_000, max_syn_backlog=50)
    attack.flood(5)
    assert attack.server.tcp.n_conns == 50
    control = Attack(backlog=5_000)
    control.flood(5)
    assert control.server.tcp.n_conns == 600


def test_the_flood_is_forgotten_when_it_is_over():
    attack = Attack()
    attack.flood(5)
    attack.now += 4 * MINUTE
    attack.wait(1)
    assert attack.server.tcp.n_conns == 0
    assert not attack.listener.half_open


@pytest.mark.slow
@pytest.mark.timeout(1800)
@rfc("4987", "3.6", "4987-1")
def test_ten_seconds_of_100_000_syns_each():
    attack = Attack()
    attack.flood(WARM_MS)
    before = attack.memory()
    for _ in range(10):
        attack.flood(1_000)
        assert served(attack)
    grown = attack.memory() - before
    cookies = attack.server.stats.counts[Counter.TCP_SYN_COOKIES_SENT]
    print(f"{attack.syns} SYNs, {cookies} cookies, {attack.server.tcp.n_conns} connections, {grown} blocks more")
    assert attack.syns > 1_000_000
    assert abs(grown) < NOISE + 10 * 500  # ten connections of the client
