"""Pacing of whole connections on a simulated link."""

from dataclasses import replace
from itertools import pairwise

import pytest

from stack.config import MS, SECOND, TcpConfig
from stack.device.fault import Faults
from stack.tcp.congestion.base import Controller
from tests.support.one_flow import ONE_WAY_US, PAYLOAD, RATE, start

PATH = Faults(delay_us=ONE_WAY_US)
WINDOW = 200 * PAYLOAD


class Steady(Controller):
    """Sends at one rate, whatever happens: what a user's own class looks like."""

    __slots__ = ()

    name = "steady"

    def __init__(self, mss: int, initial_window: int) -> None:
        super().__init__(mss, initial_window)
        self.cwnd = WINDOW
        self.pacing_rate = RATE


STEADY = TcpConfig(congestion=Steady)


def gaps(times: list[int]) -> list[int]:
    return [b - a for a, b in pairwise(times)]


def test_segments_leave_a_segment_over_the_rate_apart():
    flow = start(STEADY, PATH, invariants=True)
    flow.run(300 * MS)
    times = flow.departures[100:]  # the initial window went out at once, and the peer's grew meanwhile
    assert len(times) > 200
    assert set(gaps(times)) == {579, 580}  # 1448 bytes at 2.5 MB/s take 579.2 us
    assert times[-1] - times[0] == pytest.approx((len(times) - 1) * PAYLOAD * SECOND / RATE, abs=2)
    assert flow.client.tcp_info().pacing_rate == RATE
    assert flow.client.tcp_info().congestion == "steady"


def test_without_pacing_the_same_controller_sends_bursts():
    flow = start(replace(STEADY, pacing="off"), PATH)
    flow.run(200 * MS)
    assert gaps(flow.departures).count(0) > 500


def test_a_limit_set_by_the_application_holds():
    flow = start(TcpConfig(max_pacing_rate=250_000), PATH)
    flow.run(2 * SECOND)
    assert flow.sink.received / 2 == pytest.approx(250_000, rel=0.05)


def test_the_default_paces_cubic_over_the_round_trip_and_loses_nothing_in_speed():
    shares = []
    for pacing in ("auto", "off"):
        flow = start(TcpConfig(pacing=pacing, congestion="newreno"), Faults(delay_us=ONE_WAY_US, rate=RATE))
        shares.append(flow.run(SECOND))
        assert not flow.client.tcp_info().retransmits
    assert shares[0] > 0.9 * shares[1]


def test_retransmissions_are_paced():
    flow = start(STEADY, replace(PATH, loss=0.1), invariants=True)
    flow.run(400 * MS)
    assert flow.client.tcp_info().retransmits > 20
    assert min(gaps(flow.departures[12:])) >= 579


@pytest.mark.parametrize("rate", [64_000, 10_000_000])
def test_nothing_stalls_at_any_rate(rate: int):
    class Other(Steady):
        __slots__ = ()

        def on_ack(self, sample: object) -> None:
            self.pacing_rate = rate

    flow = start(TcpConfig(congestion=Other), replace(PATH, loss=0.02), invariants=True)
    flow.run(SECOND // 2)
    assert flow.sink.received > 0.2 * min(rate, WINDOW * SECOND // (2 * ONE_WAY_US))


def test_short_paths_are_not_paced():
    rates = []
    for delay_us in (50, 600):
        flow = start(TcpConfig(), Faults(delay_us=delay_us, rate=12_500_000))
        flow.run(20 * MS)
        assert flow.sink.received > 100_000
        rates.append(flow.client.tcp_info().pacing_rate)
    assert rates[0] == 0 < rates[1]
