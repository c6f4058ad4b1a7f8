"""The listener: backlog, SYN flood and cookies (RFC 4987), ISN (RFC 6528), TIME-WAIT table."""

import random
from itertools import pairwise

import pytest

from stack.tcp.isn import initial_sequence
from stack.tcp.state import ESTABLISHED, LISTEN, SYN_RECEIVED
from stack.tcp.time_wait import TimeWait, TimeWaitTable
from tests.support.rfc import rfc
from tests.support.tcp_dsl import ACK, SECOND, SYN
from tests.support.tcp_flood import Flood

PORTS = range(1024, 65_536)


@rfc("4987", "3", "4987-1")
def test_flood_of_syns_takes_constant_memory():
    flood = Flood(backlog=64)
    for i in range(2_000):
        flood.syn(raddr=i, rport=1024 + i % 60_000)
    before = flood.memory()
    for i in range(2_000, 102_000):
        flood.syn(raddr=i, rport=1024 + i % 60_000)
    assert flood.memory() - before < 500
    assert flood.half_open() <= 4 * 64


@rfc("4987", "3.6", "4987-1")
def test_a_real_client_connects_during_a_flood():
    flood = Flood(backlog=64)
    for i in range(10_000):
        flood.syn(raddr=i, rport=1024 + i % 60_000)
    for rport in range(2000, 2020):
        replies = flood.syn(raddr=0xC0000201, rport=rport, seq=777)
        assert len(replies) == 1, "no answer to the client's SYN"
        assert replies[0].ack == 778
        flood.ack(raddr=0xC0000201, rport=rport, seq=778, ack=replies[0].seq + 1, data=b"GET")
        conn = flood.accept()
        assert conn is not None
        assert conn.state == ESTABLISHED
        assert conn.recv(100) == b"GET"


@rfc("4987", "3.6", "4987-1")
def test_a_guessed_cookie_is_reset():
    flood = Flood(backlog=16)
    for i in range(1_000):
        flood.syn(raddr=i, rport=2000)
    rng = random.Random(7)
    for _ in range(2_000):
        flood.ack(raddr=0xC0000201, rport=2001, seq=778, ack=rng.getrandbits(32))
    assert flood.accept() is None


@rfc("4987", "3.6", "4987-1")
def test_an_old_cookie_is_refused():
    flood = Flood(backlog=16)
    for i in range(1_000):
        flood.syn(raddr=i, rport=2000)
    reply = flood.syn(raddr=0xC0000201, rport=2001, seq=777)[0]
    flood.now += 20 * 60 * SECOND
    for i in range(1_000):
        flood.syn(raddr=i, rport=2002)
    flood.ack(raddr=0xC0000201, rport=2001, seq=778, ack=reply.seq + 1)
    assert flood.accept() is None


@rfc("4987", "3.6", "4987-1")
def test_a_cookie_of_another_address_is_refused():
    flood = Flood(backlog=16)
    for i in range(1_000):
        flood.syn(raddr=i, rport=2000)
    reply = flood.syn(raddr=0xC0000201, rport=2001, seq=777)[0]
    flood.ack(raddr=0xC0000202, rport=2001, seq=778, ack=reply.seq + 1)
    flood.ack(raddr=0xC0000201, rport=2002, seq=778, ack=reply.seq + 1)
    assert flood.accept() is None
    flood.ack(raddr=0xC0000201, rport=2001, seq=778, ack=reply.seq + 1)
    assert flood.accept() is not None


@rfc("4987", "3.6", "4987-1")
def test_a_listener_that_sent_no_cookie_takes_none():
    """Not even a valid one: it was guessed."""
    flooded, quiet = Flood(backlog=1), Flood(backlog=1)
    flooded.syn(raddr=1, rport=2000)
    reply = flooded.syn(raddr=0xC0000201, rport=2001, seq=777)[0]
    for flood in (quiet, flooded):
        flood.ack(raddr=0xC0000201, rport=2001, seq=778, ack=reply.seq + 1)
    assert quiet.accept() is None
    assert flooded.accept() is not None


@rfc("4987", "3.6", "4987-1")
def test_cookie_keeps_the_segment_size_roughly():
    flood = Flood(backlog=16)
    for i in range(1_000):
        flood.syn(raddr=i, rport=2000)
    reply = flood.syn(raddr=0xC0000201, rport=2001, seq=777, mss=1300)[0]
    flood.ack(raddr=0xC0000201, rport=2001, seq=778, ack=reply.seq + 1)
    conn = flood.accept()
    conn.send(bytes(10_000), flood.now)
    sizes = {len(s.data) for s in flood.poll(conn)}
    assert 200 <= max(sizes) <= 1300


@rfc("9293", "3.10.1", "MUST-41..45")
def test_accept_queue_is_bounded():
    """More completed handshakes than the backlog: the rest is not accepted before the application takes some."""
    flood = Flood(backlog=8)
    for rport in range(2000, 2200):
        for reply in flood.syn(raddr=0xC0000201, rport=rport, seq=777):
            flood.ack(raddr=0xC0000201, rport=rport, seq=778, ack=reply.seq + 1)
    taken = 0
    while flood.accept() is not None:
        taken += 1
    assert 8 <= taken <= 17


@rfc("6528", "3", "6528-1")
@rfc("9293", "3.4.1", "SHLD-1")
def test_isn_differs_per_tuple_and_secret_and_follows_the_clock():
    def isn(secret=b"s" * 16, lport=80, raddr=2, rport=1000, now=0):
        return initial_sequence(secret, 1, lport, raddr, rport, now)[0]

    base = isn()
    assert isn() == base, "deterministic for one tuple and time"
    others = [isn(rport=r) for r in range(2000, 2100)]
    assert len(set(others)) == 100
    gaps = {(b - a) & 0xFFFFFFFF for a, b in pairwise(others)}
    assert len(gaps) > 90, "RFC 6528: neighbours tell nothing about each other"
    assert isn(secret=b"t" * 16) != base
    assert isn(raddr=3) != base
    # RFC 9293 §3.4.1 (MUST-8): about one tick every 4 microseconds
    assert (isn(now=4_000_000) - base) & 0xFFFFFFFF == 1_000_000


@rfc("9293", "3.4.1", "MUST-8/9")
def test_two_incarnations_have_different_isns():
    flood = Flood(backlog=8)
    first = flood.syn(raddr=9, rport=2000, seq=1)[0].seq
    flood.rst(raddr=9, rport=2000, seq=2)
    flood.now += SECOND
    second = flood.syn(raddr=9, rport=2000, seq=1)[0].seq
    assert first != second


@rfc("9293", "3.10.7.2")
def test_listener_serves_many_at_once(tcp):
    t = tcp().listen()
    t.peer.sends(SYN, seq=0, mss=1460)
    t.peer.expects(SYN | ACK)
    assert t.state == SYN_RECEIVED
    t.peer.sends(ACK)
    assert t.state == ESTABLISHED


@rfc("9293", "3.9.2.3", "MUST-46/57/63")
def test_listen_state_is_what_remains(tcp):
    t = tcp().listen()
    assert t.state == LISTEN
    t.clock.advance(s=10_000)
    t.peer.expects_nothing()


# -- the TIME-WAIT table ----------------------------------------------------------------------------------------


def _record(now, two_msl=60 * SECOND):
    return TimeWait(100, 200, 1000, (False, 0, 0), two_msl, now)


@rfc("9293", "3.6.1", "MUST-13")
def test_time_wait_table_expires_in_order():
    table = TimeWaitTable(1000)
    for i in range(100):
        table.add(i, _record(i * SECOND))
    assert table.expire(59 * SECOND) == 60 * SECOND
    assert len(table.records) == 100
    assert table.expire(69 * SECOND) == 70 * SECOND
    assert len(table.records) == 90
    assert table.get(9) is None
    assert table.get(10) is not None


@rfc("9293", "3.6.1", "MUST-13")
def test_time_wait_table_is_bounded():
    table = TimeWaitTable(50)
    for i in range(10_000):
        table.add(i, _record(i))
    assert len(table.records) == 50
    assert table.get(9_999) is not None
    assert table.get(9_949) is None


@pytest.mark.parametrize("limit", [1, 2])
def test_time_wait_table_same_key_again(limit):
    table = TimeWaitTable(limit)
    table.add("a", _record(0))
    table.add("a", _record(5))
    assert len(table.records) == 1
    table.remove("a")
    table.remove("a")
    assert len(table.records) == 0
