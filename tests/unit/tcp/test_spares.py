"""Parts that connections at rest leave to the next ones: blank, each once, and never more than `limit`."""

import pytest

from stack.config import MS, SECOND
from stack.device.fault import Faults
from stack.tcp.memory import CONNECTION_BYTES, SPARES, Budget, Spares
from stack.tcp.scoreboard import Scoreboard
from stack.tcp.timers import KEEPALIVE, RETRANSMIT, TimerTable
from tests.support.net import TestNet


def fields(board):
    values = {name: getattr(board, name) for name in dir(board) if name[:2] != "__" and name != "tracks_resent"}
    return {name: value for name, value in values.items() if not callable(value)}


def ping(net, client, server, data=b"x" * 300):
    """`data` there and back, and then all timers of both have run out."""
    for sender, receiver in ((client, server), (server, client)):
        sender.send(data, net.now)
        (net.a if sender is client else net.b).wake(sender)
        net.run_for(SECOND)
        assert b"".join(receiver.recv_chunks()) == data
    net.run_for(3 * SECOND)


def test_the_next_flight_takes_what_the_last_one_left():
    with TestNet(1, Faults(delay_us=10 * MS)) as net:
        client, server = net.connect()
        ping(net, client, server)
        spares = net.a.tcp.budget.spares
        left = [spares.tables[-1], spares.boards[-1]]
        client.send(b"again", net.now)
        net.a.wake(client)
        net.run_for(1)
        assert client.timers.at is left[0]
        assert client.snd.board is left[1]
        assert not any(part is left[0] for part in spares.tables)
        assert not any(part is left[1] for part in spares.boards)


@pytest.mark.parametrize("seed", range(5))
def test_what_a_bad_path_leaves_is_as_new(seed):
    faults = Faults(delay_us=10 * MS, loss=0.05, reordering=0.05)
    with TestNet(seed, faults, faults) as net:
        for _ in range(5):
            client, server = net.connect(port=80 + net.a.tcp.n_conns)
            assert net.transfer(client, server, bytes(100_000), 300 * SECOND) == bytes(100_000)
            net.run_for(10 * SECOND)
        for host in (net.a, net.b):
            spares = host.tcp.budget.spares
            spares.check_invariants()
            assert spares.tables
            for board in spares.boards:
                assert fields(board) == fields(Scoreboard())


def test_the_invariants_see_a_part_that_is_not_blank_or_here_twice():
    for spoil in (
        lambda spares: spares.tables.append([5] * 20),
        lambda spares: spares.boards[0].append(1, 2, 3),
        lambda spares: spares.boards.append(spares.boards[0]),
    ):
        spares = Spares()
        spares.boards.append(Scoreboard())
        spares.check_invariants()
        spoil(spares)
        with pytest.raises(AssertionError):
            spares.check_invariants()


def test_there_are_never_more_than_so_many():
    budget = Budget(1 << 30)
    spares = budget.spares
    for connections in (0, 8000):
        budget.book(connections * CONNECTION_BYTES)
        most = SPARES + connections * CONNECTION_BYTES // 32_768
        assert connections // 9 < most - SPARES + (not connections) <= connections // 8 + 1
        tables = [TimerTable(spares) for _ in range(2000)]
        for table in tables:
            table.arm(RETRANSMIT, 5)
        for table in tables:
            table.cancel_all()
        assert len(spares.tables) == most
        spares.check_invariants()


def test_a_table_that_goes_back_has_no_timer():
    spares = Spares()
    one = TimerTable(spares)
    one.arm(RETRANSMIT, 5)
    one.arm(KEEPALIVE, 7)
    one.cancel_all()
    one.cancel_all()  # it has none any more
    assert len(spares.tables) == 1
    other = TimerTable(spares)
    other.arm(KEEPALIVE, 9)
    assert not spares.tables
    assert not other.running(RETRANSMIT)
    assert one.deadline > other.deadline == 9
