"""Loss recovery over simulated links: what reordering costs, and what no longer needs a timeout."""

import itertools
from typing import Any

import pytest

from stack.config import MS, SECOND, HostConfig, TcpConfig
from stack.device.fault import Faults
from stack.sim import scenario_toml
from stack.sim.runner import Run
from tests.support.net import TestNet
from tests.support.rfc import rfc

ETH, IP = 14, 20


class Drop:
    """Loses the `times` first copies of every data segment that `picks` by its place in the stream."""

    def __init__(self, picks, times: int = 1) -> None:
        self.picks, self.times = picks, times
        self.first: int | None = None
        self.seen: dict[int, int] = {}

    def __call__(self, frame: bytes) -> bool:
        tcp = ETH + IP
        header = (frame[tcp + 12] >> 4) * 4
        length = int.from_bytes(frame[ETH + 2 : ETH + 4], "big") - IP - header if frame[12:14] == b"\x08\x00" else 0
        if length <= 0 or frame[ETH + 9] != 6:
            return False
        seq = int.from_bytes(frame[tcp + 4 : tcp + 8], "big")
        if self.first is None:
            self.first = seq
        at = (seq - self.first) & 0xFFFFFFFF
        if not self.picks(at):
            return False
        self.seen[at] = self.seen.get(at, 0) + 1
        return self.seen[at] <= self.times


def run(data: bytes, forward: Faults, backward: Faults, seed: int = 7, **tcp: Any):
    """The sender's tcp_info after `data` arrived whole, whether it ever timed out, and how long it took."""
    config = HostConfig(tcp=TcpConfig(nodelay=True, **tcp))
    with TestNet(seed, forward, backward, config=config, invariants=False) as net:
        client, server = net.connect()
        start = net.now
        timeouts = []
        net.network.checks.append(lambda: timeouts.append(1) if client.snd.recovery.phase == 2 else None)
        assert net.transfer(client, server, data, 600 * SECOND) == data
        took = net.now - start
        info = client.tcp_info()
    return info, bool(timeouts), took


# -- reordering -------------------------------------------------------------------------------------------------------

SIZE = 4_000_000


def reordered(detection: str, **tcp: Any):
    """RTT 40 ms, 100 Mbit/s, 5 % of the packets delayed by 5 ms."""
    there = Faults(delay_us=20 * MS, rate=12_500_000, queue_bytes=4 << 20, reordering=0.05, reorder_us=5 * MS)
    back = Faults(delay_us=20 * MS, rate=12_500_000)
    return run(bytes(SIZE), there, back, loss_detection=detection, **tcp)


@rfc("8985", "6.2", "8985-2")
def test_reordering_costs_rack_almost_nothing_and_rfc6675_a_lot():
    """Nothing is lost, so each retransmission is for nothing: at most 1 % with RACK; the other is the control."""
    segments = SIZE // 1448
    rack, _, fast = reordered("rack")
    old, _, slow = reordered("rfc6675")
    print(f"spurious: RACK {rack.retransmits}, RFC 6675 {old.retransmits} of {segments}; {fast} us, {slow} us")
    assert rack.reordering
    assert rack.retransmits * 100 <= segments
    assert old.retransmits > 3 * rack.retransmits
    assert fast < slow


# -- what needs no timeout --------------------------------------------------------------------------------------------

LINK = Faults(delay_us=20 * MS, rate=12_500_000)


def with_loss(picks, times: int, size: int, **tcp: Any):
    there = Faults(delay_us=20 * MS, rate=12_500_000, lose_if=Drop(picks, times))
    return run(bytes(size), there, LINK, **tcp)


@rfc("8985", "6.2", "8985-1")
def test_a_retransmission_lost_twice_is_repaired_without_a_timeout():
    pick = lambda at: at == 40 * 1448  # noqa: E731
    info, timed_out, fast = with_loss(pick, 3, 400_000)
    assert not timed_out
    assert info.lost_retransmits >= 2
    assert info.retransmits == 3
    _, timed_out, slow = with_loss(pick, 3, 400_000, loss_detection="rfc6675")
    print(f"lost three times: RACK {fast} us, RFC 6675 {slow} us")
    assert timed_out


@rfc("8985", "7.3", "8985-3")
@pytest.mark.parametrize("lost", [1, 2, 4])
def test_a_lost_tail_is_repaired_without_a_timeout(lost):
    size = 20 * 1448
    pick = lambda at: at >= size - lost * 1448  # noqa: E731
    info, timed_out, fast = with_loss(pick, 1, size)
    assert not timed_out
    assert info.tlp_probes >= 1
    _, timed_out, slow = with_loss(pick, 1, size, tlp=False)
    print(f"a tail of {lost} lost: {fast} us, without probe {slow} us")
    assert timed_out
    assert fast < slow


@rfc("8985", "3.4")
def test_bursts_of_loss_are_repaired_without_a_timeout():
    """A third of a window in one go."""
    info, timed_out, _ = with_loss(lambda at: 60 * 1448 <= at < 90 * 1448, 1, 600_000)
    assert not timed_out
    assert info.retransmits == 30


# -- a spurious timeout -----------------------------------------------------------------------------------------------


def stalled(**tcp: Any):
    """A path that stands still for 0.8 s in the middle of a transfer, and loses nothing."""
    config = HostConfig(tcp=TcpConfig(nodelay=True, **tcp))
    data = bytes(3_000_000)
    slow = Faults(delay_us=820 * MS, rate=12_500_000)
    with TestNet(3, LINK, LINK, config=config, invariants=False) as net:
        client, server = net.connect()
        net.network.at(net.now + 150 * MS, lambda: net.link.forward.configure(slow))
        net.network.at(net.now + 200 * MS, lambda: net.link.forward.configure(LINK))
        assert net.transfer(client, server, data, 600 * SECOND) == data
        return client.tcp_info()


@rfc("5682", "3.1", "5682-1")
@rfc("4015", "3.1", "4015/3522-1")
@pytest.mark.parametrize("timestamps", [True, False])
def test_a_path_that_stalls_is_no_loss(timestamps):
    """With F-RTO or timestamps hardly anything is sent twice; without both (the control) whole windows are."""
    info = stalled(timestamps=timestamps)
    assert info.spurious >= 1
    assert info.retransmits <= 6
    control = stalled(timestamps=False, frto=False, dsack=False)
    assert control.spurious == 0
    assert control.retransmits > 4 * info.retransmits


# -- nothing is lost --------------------------------------------------------------------------------------------------


@rfc("9293", "3.8.6")
@pytest.mark.parametrize("detection", ["rack", "rfc6675"])
def test_a_window_that_closes_and_opens_has_nothing_sent_again(detection):
    """A reader that takes a little every 150 ms from a small buffer; no segment is lost, and none is repeated."""
    tcp = TcpConfig(recv_buffer=30_000, loss_detection=detection)
    with TestNet(5, LINK, LINK, config=HostConfig(tcp=tcp)) as net:
        client, server = net.connect()
        client.send(bytes(300_000), net.now)
        net.a.wake(client)
        got = shut = 0
        for _ in range(200):
            net.run_for(150 * MS)
            shut += client.tcp_info().snd_wnd < 1460
            got += len(server.recv(20_000))
            net.b.wake(server)
        assert got == 300_000
        assert shut > 5
        assert client.tcp_info().retransmits == 0
        assert client.tcp_info().spurious == 0


@rfc("9438", "4.6", "9438-1")
@pytest.mark.parametrize("validation", ["rfc7661", "rfc5681"])
def test_a_flight_cut_short_by_the_peers_window_is_not_what_cubic_reduces(validation):
    """Two losses, a round trip apart, and a window that is full before the first is repaired: when the second is found
    little is in flight.  The control: without RFC 7661 nothing says that cwnd is what the path
    carries, so the flight size counts, and the window collapses.
    """
    lost = itertools.count()
    config = HostConfig(tcp=TcpConfig(congestion="cubic", window_validation=validation))

    def lose(frame: bytes) -> bool:
        return len(frame) > 1000 and next(lost) in {1221, 2473}

    forward = Faults(delay_us=50_000, rate=12_500_000, lose_if=lose)
    with TestNet(1, forward, Faults(delay_us=50_000), config=config, invariants=False) as net:
        client, server = net.connect()
        assert net.transfer(client, server, bytes(4_500_000), 60 * SECOND) == bytes(4_500_000)
        segments = client.tcp_info().ssthresh // client.tcp_info().mss
    assert segments > 500 if validation == "rfc7661" else segments < 350


@rfc("3522", "3.2", "4015/3522-1")
def test_a_repair_of_the_episode_before_proves_nothing():
    """A queue that overflows, and losses, on a path that reorders nothing: an episode begins while repairs of the last
    one are under way, and the echo of their ACKs is older than its own first retransmission.
    """
    text = """
        name = "episodes"
        seed = 1
        duration = "30s"
        [[host]]
        name = "a"
        [[host]]
        name = "b"
        [[link]]
        between = ["a", "b"]
        rate = "100Mbit/s"
        delay = "50ms"
        queue = 1250000
        loss = 0.001
        [[flow]]
        name = "bulk"
        from = "a"
        to = "b"
        for = "3s"
        expect = "any"
    """
    [flow] = Run(scenario_toml.loads(text), invariants=False).run().flows
    assert flow.retransmits > 700
    assert flow.spurious == 0
