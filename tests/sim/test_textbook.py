"""The numbers of the textbooks come out of the engine: ACKs are the clock, pacing is off.  `pytest -s` prints them."""

from dataclasses import replace
from itertools import pairwise

import pytest

from stack.config import MS, SECOND, TcpConfig
from stack.device.fault import Faults
from stack.sim.network import Network
from stack.tcp import profiles
from tests.support.bulk import ETH_HLEN, Flow, every, pair, prompt
from tests.support.rfc import rfc

FRAME = 1514  # of a full packet
LINK = 1_250_000  # bytes per second: 10 Mbit/s


def test_stop_and_wait_carries_120_kbit_per_second():
    """RTT 100 ms, packets of 1500 bytes, an infinite link: 1500 x 8 / 0.1 s."""
    net = Network(1)
    a, b = pair(net, Faults(delay_us=50 * MS), Faults(delay_us=50 * MS))
    flow = Flow(net, a, b, profiles.get("stop-and-wait"))
    net.run_for(SECOND)
    before = flow.received
    net.run_for(20 * SECOND)
    packets = (flow.received - before) / 1460
    print(f"stop-and-wait: {packets * 1500 * 8 / 20:.0f} bit/s")
    assert packets * 1500 * 8 / 20 == pytest.approx(120_000, rel=0.01)
    assert flow.conn.tcp_info().retransmits == 0


def throughput(segments: int, seconds: int = 3) -> float:
    """Bytes of Ethernet frames per second of a fixed window over 10 Mbit/s and 40 ms."""
    net = Network(1)
    a, b = pair(net, Faults(delay_us=20 * MS, rate=LINK), Faults(delay_us=20 * MS))
    config = replace(prompt(TcpConfig(congestion="fixed", timestamps=False, pacing="off")), fixed_window_segs=segments)
    flow = Flow(net, a, b, config)
    net.run_for(SECOND)
    before = flow.received
    net.run_for(seconds * SECOND)
    measured = (flow.received - before) / 1460 * FRAME / seconds
    print(f"window of {segments}: {measured * 8e-6:.2f} Mbit/s")
    return measured


def test_the_window_that_fills_a_link_is_bandwidth_times_delay():
    rtt = 0.040 + FRAME / LINK  # with the time to put a packet on the line
    full = LINK * rtt / FRAME  # 34 segments
    assert 33 < full < 35
    for segments in (2, 8, 16, 32):
        assert throughput(segments) == pytest.approx(segments * FRAME / rtt, rel=0.02)
    for segments in (35, 50, 100):
        assert throughput(segments) == pytest.approx(LINK, rel=0.01)


@rfc("5681", "3.1", "5681-3.1a")
@pytest.mark.parametrize("congestion", ["newreno", "reno", "cubic"])
def test_slow_start_doubles_in_each_round_trip(congestion):
    net = Network(1)
    # fast, but packets arrive one by one: what arrives at one instant is acknowledged at once
    a, b = pair(net, Faults(delay_us=50 * MS, rate=100 * LINK), Faults(delay_us=50 * MS))
    config = prompt(TcpConfig(congestion=congestion, initial_window_segs=1, timestamps=False, pacing="off"))
    flow = Flow(net, a, b, config)
    net.run_until(lambda: flow.conn.tcp_info().in_flight > 0, SECOND)
    net.run_for(50 * MS)  # between two flights
    windows = []
    for _ in range(9):
        windows.append(flow.conn.tcp_info().cwnd // 1460)
        net.run_for(100 * MS)
    assert windows == [2**n for n in range(9)]


class SawTooth:
    """One flow over 10 Mbit/s, 40 ms and a queue of `queue` packets; cwnd every 10 ms, in segments."""

    def __init__(self, congestion: str, queue: int, seconds: int = 30) -> None:
        net = Network(1)
        forward = Faults(delay_us=20 * MS, rate=LINK, queue_bytes=queue * FRAME)
        a, b = pair(net, forward, Faults(delay_us=20 * MS))
        flow = Flow(net, a, b, TcpConfig(congestion=congestion, timestamps=False, pacing="off"))
        net.run_for(20 * SECOND)
        before = flow.received
        self.windows: list[float] = []
        every(net, 10 * MS, lambda: self.windows.append(flow.cwnd() / 1460))
        net.run_for(seconds * SECOND)
        self.load = (flow.received - before) / 1460 * FRAME / seconds / LINK
        self.info = flow.conn.tcp_info()
        mean = sum(self.windows) / len(self.windows)
        print(f"{congestion}: {min(self.windows):.1f} to {max(self.windows):.1f}, {mean:.1f}; load {self.load:.1%}")


@rfc("5681", "3.1", "5681-3.1b")
@rfc("6582", "3.2", "6582-1")
def test_the_saw_tooth_of_additive_increase_and_multiplicative_decrease():
    """cwnd moves between W/2 and W = bandwidth x delay + queue, and is 3/4 W on average; the line never falls idle."""
    path = LINK * (0.040 + FRAME / LINK) / FRAME
    queue = round(path)
    tooth = SawTooth("newreno", queue)
    w = path + queue
    assert max(tooth.windows) == pytest.approx(w, rel=0.05)
    assert min(tooth.windows) == pytest.approx(w / 2, rel=0.05)
    assert sum(tooth.windows) / len(tooth.windows) == pytest.approx(0.75 * w, rel=0.05)
    assert tooth.load > 0.98
    # up by one segment in each round trip, and never by more
    steps = [b - a for a, b in pairwise(tooth.windows) if b > a]
    assert max(steps) <= 1.01
    teeth = sum(1 for a, b in pairwise(tooth.windows) if b < 0.7 * a)
    # a tooth is W/2 round trips long, of (W/2 .. W) segments each: 3/8 W^2 segments
    assert teeth == pytest.approx(30 * LINK / FRAME / (3 / 8 * w * w), abs=2)


@rfc("5681", "3.1", "5681-3.1b")
def test_without_a_queue_the_saw_tooth_uses_three_quarters_of_the_line():
    """Control of the test above: with room for few packets the window's average shows in the load."""
    tooth = SawTooth("newreno", 5)
    assert 0.72 < tooth.load < 0.88


def test_the_path_is_what_it_is_said_to_be():
    """The numbers above depend on what a link counts: Ethernet frames."""
    assert FRAME == ETH_HLEN + 20 + 20 + 1460
