"""BBRv3 over simulated links: its states, what it reaches and what it spares (congestion/bbr.py)."""

from dataclasses import replace

import pytest

from stack.config import MS, SECOND, TcpConfig
from stack.device.fault import Faults
from stack.tcp.congestion.bbr import Bbr
from stack.tcp.congestion.bbr_model import INFINITE, STARTUP
from tests.support.one_flow import BDP, FRAME, ONE_WAY_US, PAYLOAD, RATE, Flow, start

BBR = TcpConfig(congestion="bbr")
DEEP = Faults(delay_us=ONE_WAY_US, rate=RATE, queue_bytes=10 * BDP)
GOODPUT = RATE * PAYLOAD // FRAME  # the most payload that the link carries in a second


def bbr(flow: Flow) -> Bbr:
    controller = flow.client.snd.controller
    assert isinstance(controller, Bbr)
    return controller


@pytest.fixture(scope="module")
def deep() -> Flow:
    """A flow of seven seconds over a link with a deep buffer."""
    flow = start(BBR, DEEP)
    flow.run(7 * SECOND)
    return flow


def test_the_link_is_full_and_the_queue_is_not(deep: Flow) -> None:
    assert deep.sink.received > 0.9 * 7 * GOODPUT
    assert deep.mean_rtt() < 1.5 * deep.client.tcp_info().min_rtt_us
    assert deep.net.link.forward.counts.overflowed == 0


def test_a_loss_based_algorithm_fills_the_buffer() -> None:
    """The control: on the same link the queue is what NewReno builds."""
    flow = start(TcpConfig(congestion="newreno", hystart=False), DEEP)
    flow.run(3 * SECOND)
    assert flow.mean_rtt() > 2 * flow.client.tcp_info().min_rtt_us


def test_the_states_take_turns(deep: Flow) -> None:
    names = ["startup", "drain", "probe_bw_cruise", "probe_bw_refill", "probe_bw_up", "probe_bw_down"]
    seen = [s for s in deep.states if s in names]
    assert seen[:2] == ["startup", "drain"]
    assert seen.count("startup") == seen.count("drain") == 1
    cycle = ["probe_bw_refill", "probe_bw_up", "probe_bw_down", "probe_bw_cruise"]
    first = seen.index("probe_bw_refill")
    until = deep.states.index("probe_rtt") - deep.states.index("probe_bw_refill")  # after it a cycle begins anew
    assert until >= len(cycle)
    assert seen[first : first + until] == (cycle * 3)[:until]


def test_the_delivery_rate_is_that_of_the_link(deep: Flow) -> None:
    assert bbr(deep).max_bw == pytest.approx(GOODPUT, rel=0.02)
    assert bbr(deep).min_rtt_us == pytest.approx(2 * ONE_WAY_US + FRAME * SECOND // RATE, rel=0.02)
    state = deep.client.tcp_info().congestion_state
    assert state["max_bw"] == bbr(deep).max_bw
    assert deep.client.tcp_info().pacing_rate > 0


def test_every_five_seconds_it_looks_for_the_round_trip() -> None:
    """draft-ietf-ccwg-bbr §5.3.4.2: all flows at the standard interval, so that they come to do it together."""
    slow = Faults(delay_us=ONE_WAY_US, rate=RATE // 5, queue_bytes=2 * BDP)
    flow = start(BBR, slow)
    flow.run(14 * SECOND)
    at = flow.states.index("probe_rtt")
    assert flow.states[at + 1].startswith("probe_bw")
    low = [i for i in flow.infos if i.congestion_state["state"] == "probe_rtt"]
    assert flow.states.count("probe_rtt") == 2
    assert 2 * 190 * MS <= len(low) * 10 * MS <= 2 * 400 * MS
    entered = [k for k, i in enumerate(flow.infos) if i in low and flow.infos[k - 1] not in low]
    assert 5 * SECOND <= (entered[1] - entered[0]) * 10 * MS <= 6 * SECOND
    assert min(i.in_flight for i in low) <= 0.6 * RATE // 5 * 2 * ONE_WAY_US // SECOND + 4 * PAYLOAD
    assert flow.sink.received > 0.9 * 14 * GOODPUT // 5


def test_random_loss_hurts_it_less_than_newreno() -> None:
    lossy = replace(DEEP, loss=0.01)
    shares = {name: start(TcpConfig(congestion=name), lossy).run(5 * SECOND) for name in ("bbr", "newreno")}
    assert shares["bbr"] > 0.8
    assert shares["newreno"] < 0.5


def test_a_shallow_buffer_is_learnt() -> None:
    flow = start(BBR, Faults(delay_us=ONE_WAY_US, rate=RATE, queue_bytes=BDP // 5))
    flow.run(2 * SECOND)
    before = flow.client.tcp_info().retransmits
    assert flow.run(4 * SECOND) > 0.85
    assert flow.client.tcp_info().retransmits - before < 0.02 * 4 * GOODPUT / PAYLOAD
    assert bbr(flow).inflight_longterm < INFINITE


def test_a_slow_application_does_not_make_the_path_slow() -> None:
    flow = start(BBR, DEEP)
    flow.run(2 * SECOND)
    known = bbr(flow).max_bw
    flow.source.greedy = False
    flow.run(SECOND)  # what was written drains
    for _ in range(40):
        flow.source.write(10 * PAYLOAD)
        flow.run(100 * MS)
    sample = flow.client.snd.delivery.sample
    assert sample is not None
    assert sample.rate_app_limited
    assert bbr(flow).max_bw > 0.95 * known
    flow.source.greedy = True
    flow.source.on_events(0)
    flow.run(200 * MS)
    assert flow.run(SECOND) > 0.9


def test_an_application_that_is_always_slow_stays_in_startup() -> None:
    flow = start(BBR, DEEP, greedy=False)
    for _ in range(60):
        flow.source.write(PAYLOAD)
        flow.run(50 * MS)
    assert bbr(flow).state == STARTUP
    assert not bbr(flow).full_bw_reached


@pytest.mark.parametrize("name", ["loss", "reordering", "everything"])
def test_it_survives_a_bad_link(name: str) -> None:
    faults = {
        "loss": replace(DEEP, loss=0.1),
        "reordering": replace(DEEP, reordering=0.05, reorder_us=5 * MS),
        "everything": replace(DEEP, loss=0.03, reordering=0.03, duplication=0.03, corruption=0.01, jitter_us=3 * MS),
    }[name]
    flow = start(BBR, faults, seed=7, invariants=True)
    flow.run(2 * SECOND)
    assert flow.sink.received > 100_000
    state = bbr(flow)
    assert state.cwnd >= PAYLOAD
    assert state.bw <= state.max_bw


def test_one_seed_gives_one_history() -> None:
    runs = [start(BBR, replace(DEEP, loss=0.02), seed=seed) for seed in (3, 3, 4)]
    for flow in runs:
        flow.run(SECOND)
    a, b, c = (flow.net.network.digest() for flow in runs)
    assert a == b != c
