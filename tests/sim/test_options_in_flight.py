"""Settings that change while a connection is busy: congestion control, buffers, timeouts."""

from dataclasses import replace
from itertools import cycle

import pytest

from stack.config import MS, NEVER, SECOND, TcpConfig
from stack.device.fault import Faults
from stack.errors import ConfigError, ConnectionTimedOut
from stack.tcp.congestion.registry import ALGORITHMS
from stack.tcp.connection import Connection
from stack.tcp.options import reconfigure
from stack.tcp.timers import KEEPALIVE
from tests.support.net import TestNet
from tests.support.one_flow import Sink, Source

LOSSY = Faults(delay_us=10 * MS, loss=0.03, reordering=0.02, rate=2_000_000)
CLEAN = Faults(delay_us=10 * MS, rate=2_000_000, queue_bytes=100_000)
FAST = Faults(delay_us=10 * MS, rate=10_000_000)


def change(net: TestNet, conn: Connection, **settings: object) -> None:
    reconfigure(conn, replace(conn.config, **settings), net.now)  # type: ignore[arg-type]
    (net.a if conn in net.a.connections() else net.b).wake(conn)


def flow(net: TestNet, **settings: object) -> tuple[Connection, Connection, Sink]:
    client, server = net.connect(client_config=TcpConfig(**settings))  # type: ignore[arg-type]
    sink = Sink(net, server)
    Source(net, client).on_events(0)
    return client, server, sink


@pytest.mark.parametrize("seed", range(6))
def test_algorithms_take_turns_on_a_lossy_path(seed: int) -> None:
    with TestNet(seed, LOSSY, LOSSY, name=f"turns-{seed}") as net:
        client, _, sink = flow(net)
        for name, _ in zip(cycle(sorted(ALGORITHMS)), range(60), strict=False):
            change(net, client, congestion=name)
            assert client.tcp_info().congestion == name
            net.run_for(100 * MS)
            client.check_invariants()
        assert sink.received > 500_000


def test_the_window_goes_on_and_the_threshold_with_it() -> None:
    with TestNet(1, CLEAN, CLEAN) as net:
        client, _, _ = flow(net)
        net.run_for(3 * SECOND)
        old = client.snd.controller
        assert old is not None
        assert old.ssthresh < 1 << 30, "no loss yet: the test proves nothing"
        change(net, client, congestion="newreno")
        new = client.snd.controller
        assert new is not None
        assert (new.name, new.cwnd, new.ssthresh) == ("newreno", old.cwnd, old.ssthresh)


def test_an_unknown_algorithm_changes_nothing() -> None:
    with TestNet(1, CLEAN, CLEAN) as net:
        client, _, _ = flow(net)
        before = client.config
        with pytest.raises(ConfigError):
            change(net, client, congestion="vegas", keepalive=True)
        assert client.config is before


def largest_window(net: TestNet, client: Connection) -> int:
    """The most that the peer offers in a second."""
    largest = 0
    for _ in range(100):
        net.run_for(10 * MS)
        largest = max(largest, client.snd.snd_wnd)
    return largest


def test_a_receive_buffer_that_is_set_grows_no_more() -> None:
    with TestNet(1, FAST, CLEAN, invariants=False) as net:
        client, server, _ = flow(net)
        change(net, server, recv_buffer=90_000, recv_buffer_initial=90_000)
        assert 64_000 < largest_window(net, client) <= 90_000 + 90_000 // 16
    with TestNet(1, FAST, CLEAN, invariants=False) as net:  # the control
        client, server, _ = flow(net)
        assert largest_window(net, client) > 200_000


def test_a_smaller_receive_buffer_takes_back_nothing_that_was_offered() -> None:
    """The sender's invariants, and the receiver's, look at every segment."""
    with TestNet(1, FAST, CLEAN, invariants=False) as net:
        client, server, sink = flow(net)
        net.run_for(SECOND)
        edge = server.rcv.rcv_adv
        change(net, server, recv_buffer=5_000, recv_buffer_initial=5_000)
        for _ in range(100):
            net.run_for(1 * MS)
            assert (server.rcv.rcv_adv - edge) & 0xFFFF_FFFF < 1 << 31, "the right edge moved left"
            edge = server.rcv.rcv_adv
        before = sink.received
        net.run_for(SECOND)
        assert sink.received > before
        assert client.snd.snd_wnd <= 5_000 + max(5_000 >> 4, 1 << server.rcv.rcv_wscale)


def test_a_send_buffer_that_is_set_holds_no_more() -> None:
    with TestNet(1, CLEAN, CLEAN) as net:
        client, _, _ = flow(net)
        net.run_for(SECOND)
        assert client.snd.send_limit() > 128 << 10
        change(net, client, send_buffer=20_000, send_buffer_initial=20_000)
        assert client.snd.send_limit() == 20_000


def test_a_user_timeout_counts_from_now_for_what_is_outstanding() -> None:
    with TestNet(1, CLEAN, CLEAN) as net:
        client, _, _ = flow(net)
        net.run_for(SECOND)
        client.user = None  # nobody writes any more
        net.link.down()
        net.run_for(2 * SECOND)
        change(net, client, user_timeout_us=5 * SECOND)
        begun = net.now
        net.run_until(lambda: client.error is not None, 30 * SECOND)
        assert isinstance(client.error, ConnectionTimedOut)
        assert 5 * SECOND <= net.now - begun <= 6 * SECOND


def test_keepalive_begins_when_it_is_switched_on() -> None:
    with TestNet(1, CLEAN, CLEAN) as net:
        client, _ = net.connect()
        change(net, client, keepalive=True, keepalive_idle_us=10 * SECOND)
        due = client.timers.at[KEEPALIVE]
        assert due == net.now + 10 * SECOND
        net.run_for(SECOND)
        change(net, client, dscp=8)
        assert client.timers.at[KEEPALIVE] == due, "another option has put the probe off"
        change(net, client, keepalive=False)
        assert client.timers.at[KEEPALIVE] == NEVER
