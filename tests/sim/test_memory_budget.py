"""Hostile peers against the memory of a host: what Python really holds stays under the budget, and others go on.

Each attack runs twice: with the budget, and with one that is never reached, where the same frames exceed it.
"""

import gc
import tracemalloc
from collections.abc import Callable
from random import Random

import pytest

from stack.config import MS, SECOND, HostConfig, IpConfig
from stack.device.fault import Faults
from stack.errors import NoBufferSpace
from stack.stats import DropReason
from stack.tcp.memory import CONNECTION_BYTES, ESSENTIAL
from tests.support.net import ADDR_B, TestNet
from tests.support.rfc import rfc
from tests.support.tcp_crowd import Crowd

MIB = 1 << 20
BUDGET = MIB
NO_BUDGET = 1 << 40
PEERS = 20


def holes(crowd: Crowd, number: int, now: int) -> None:
    """Two bytes at a time, each with a gap before it (Python has every single byte only once)."""
    crowd.send(number, [(3 * i + 1, b"xy") for i in range(450)], now)


def unread(crowd: Crowd, number: int, now: int) -> None:
    """As much as the window takes, in order; nobody reads."""
    crowd.send(number, [(1000 * i, bytes(1000)) for i in range(65)], now)


def drip(crowd: Crowd, number: int, now: int) -> None:
    """The same amount in small pieces, turn by turn out of order and in order."""
    crowd.send(number, [(200 * (i ^ 1), bytes(200)) for i in range(325)], now)


def network(limit: int, *, invariants: bool = True) -> tuple[TestNet, Crowd]:
    """Two hosts, and peers without manners of host b."""
    config = HostConfig(memory_bytes=limit, ip=IpConfig(arp_probe=False))
    net = TestNet(1, Faults(delay_us=MS), Faults(delay_us=MS), config=config, invariants=invariants)
    net.b.trace = None  # it would keep a remark for each drop
    return net, Crowd(net.b, net.b.listen(0, 99, 1000))


def attacked(net: TestNet, crowd: Crowd, attack: Callable[[Crowd, int, int], None]) -> int:
    """By how much what Python holds grew in the attack."""
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(PEERS):
            if crowd.join(net.now) is not None:
                attack(crowd, number, net.now)
        net.b.check_invariants()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


@rfc("4987", "1", "SACK-DOS")
@rfc("1122", "1.2.2", "X-5")
@pytest.mark.parametrize("attack", [holes, unread, drip])
def test_hostile_peers_stay_under_the_budget_and_others_go_on(attack: Callable[[Crowd, int, int], None]) -> None:
    net, crowd = network(BUDGET, invariants=False)
    client, server = net.connect()
    grown = attacked(net, crowd, attack)
    budget = net.b.tcp.budget
    assert grown <= budget.used <= budget.peak <= BUDGET
    # text was refused, or windows were kept so small that it need not be
    assert net.b.stats.drops[DropReason.TCP_MEMORY] or crowd.conns[-1].rcv.limit == ESSENTIAL
    # one whose data is read makes progress meanwhile
    data = Random(1).randbytes(100_000)
    assert net.transfer(client, server, data, 120 * SECOND) == data
    assert budget.peak <= BUDGET
    net.b.check_invariants()
    # everything comes back
    server.close(net.now)
    net.b.wake(server)
    for conn in crowd.conns:
        conn.abort(net.now)
        net.b.wake(conn)
    net.run_for(SECOND)
    assert net.b.connections() == []
    assert budget.used == 0
    assert not budget.prunable


@pytest.mark.parametrize("attack", [holes, unread, drip])
def test_without_the_budget_the_same_peers_take_more(attack: Callable[[Crowd, int, int], None]) -> None:
    net, crowd = network(NO_BUDGET, invariants=False)
    grown = attacked(net, crowd, attack)
    assert grown > BUDGET
    assert net.b.stats.drops[DropReason.TCP_MEMORY] == 0
    # what Python takes is booked; charging far too much would be as wrong, it would refuse peers that do no harm
    assert grown <= net.b.tcp.budget.used < 1.5 * grown


def test_no_new_connection_when_memory_is_short() -> None:
    net, crowd = network(MIB)
    while crowd.join(net.now) is not None:
        assert len(crowd.conns) < MIB // CONNECTION_BYTES
    assert len(crowd.conns) == MIB // 8 * 7 // CONNECTION_BYTES
    assert net.b.stats.drops[DropReason.TCP_MEMORY] == 1
    with pytest.raises(NoBufferSpace, match="memory"):
        net.b.connect(ADDR_B - 1, 80, now=net.now)
    # whoever leaves makes room
    crowd.conns[0].abort(net.now)
    net.b.wake(crowd.conns[0])
    net.run_for(SECOND)
    assert net.b.connect(ADDR_B - 1, 80, now=net.now) is not None


def test_the_oldest_data_out_of_order_makes_room_for_data_in_order() -> None:
    net, crowd = network(MIB)
    first, second = crowd.join(net.now), crowd.join(net.now)
    assert first is not None
    assert second is not None
    for number in (0, 1):
        crowd.send(number, [(1000 * i + 1, bytes(1000)) for i in range(60)], net.now)
    while net.b.tcp.budget.pruned == 0:
        assert crowd.join(net.now) is not None
        crowd.send(len(crowd.conns) - 1, [(1000 * i, bytes(1000)) for i in range(40)], net.now)
    assert first.rcv.ofo is not None
    assert second.rcv.ofo is not None
    # its newest data; what is left is still told by SACK (RFC 2018 §8)
    held = first.rcv.ofo.size
    assert 0 < held < 60_000
    begin = first.rcv.irs + 2
    assert first.rcv.ofo.blocks(3) == [(begin, begin + held)]
    assert second.rcv.ofo.size == 60_000
    net.b.check_invariants()


@rfc("9293", "3.8.6", "MUST-34")
def test_under_pressure_windows_do_not_grow_and_edges_stay() -> None:
    net, crowd = network(4 * MIB)
    client, server = net.connect()
    data = Random(1).randbytes(2 * MIB)
    assert net.transfer(client, server, data[:MIB], 60 * SECOND) == data[:MIB]
    assert server.rcv.limit > 2 * server.config.recv_buffer_initial
    edge = server.rcv.rcv_adv
    budget = net.b.tcp.budget
    while budget.used < budget.reserve_at - 80_000:
        crowd.join(net.now)
        crowd.send(len(crowd.conns) - 1, [(1000 * i, bytes(1000)) for i in range(60)], net.now)
    assert budget.snapshot()["state"] == "pressure"
    net.run_for(SECOND)
    assert server.rcv.rcv_adv == edge
    # the next connection begins with little, and works
    client, server = net.connect(81)
    assert server.rcv.limit == ESSENTIAL
    assert server.send_room() == server.config.send_buffer_initial
    assert net.transfer(client, server, data[:200_000], 60 * SECOND) == data[:200_000]
    assert server.rcv.limit <= server.config.recv_buffer_initial
