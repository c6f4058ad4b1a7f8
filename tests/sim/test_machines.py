"""The older machines and the older algorithms do what the textbooks say, on the one engine."""

from dataclasses import replace
from random import Random

import pytest

from stack.config import MS, SECOND, TcpConfig
from stack.device.fault import Faults
from stack.errors import ConfigError
from stack.sim.network import Network
from stack.tcp import profiles
from tests.support.bulk import Flow, Losing, every, pair, payload, prompt, sequence
from tests.support.rfc import rfc

LINK = 1_250_000  # bytes per second: 10 Mbit/s
SEGMENT = 1460


def test_every_profile_is_valid_and_moves_data_over_a_bad_link():
    for name in profiles.names():
        profiles.get(name).validate()
        net = Network(7)
        a, b = pair(net, Faults(delay_us=10 * MS, loss=0.1, rate=LINK), Faults(delay_us=10 * MS, loss=0.1))
        data = Random(7).randbytes(60_000)
        flow = Flow(net, a, b, profiles.get(name), data=data)
        flow.finish(600 * SECOND)
        assert flow.bytes_received() == data, name
    with pytest.raises(ConfigError, match="go-back-n"):
        profiles.get("go-back-3")


# -- one lost segment, a window of 16


def lose_one(config: TcpConfig) -> tuple[Losing, Flow]:
    """Segment 40 of 200 is lost."""
    net = Network(1)
    losing = Losing(40)
    a, b = pair(net, Faults(delay_us=20 * MS, rate=LINK, lose_if=losing), Faults(delay_us=20 * MS))
    flow = Flow(net, a, b, config, data=bytes(200 * SEGMENT))
    flow.finish(60 * SECOND)
    return losing, flow


@pytest.mark.parametrize("window", [4, 16, 30])
def test_go_back_n_sends_the_window_again_where_selective_repeat_sends_one(window):
    losing, flow = lose_one(replace(profiles.get("go-back-n"), fixed_window_segs=window))
    assert losing.again == flow.conn.tcp_info().retransmits == window
    losing, flow = lose_one(replace(profiles.get("selective-repeat"), fixed_window_segs=window))
    assert losing.again == flow.conn.tcp_info().retransmits == 1


def test_selective_repeat_repeats_each_of_several_losses_once():
    net = Network(1)
    losing = Losing(40, 42, 47, 90, 91)
    a, b = pair(net, Faults(delay_us=20 * MS, rate=LINK, lose_if=losing), Faults(delay_us=20 * MS))
    Flow(net, a, b, profiles.get("selective-repeat"), data=bytes(200 * SEGMENT)).finish(60 * SECOND)
    assert losing.again == 5


# -- the alternating bit


class OneBitReceiver:
    """The receiver of the alternating bit protocol: all that it sees of a number is whether it is even."""

    def __init__(self, expected: int) -> None:
        self.expected = expected & 1
        self.stream: list[bytes] = []

    def take(self, number: int, text: bytes) -> None:
        if number & 1 == self.expected:
            self.stream.append(text)
            self.expected ^= 1


def listen_in(config: TcpConfig, segment: int) -> tuple[bytes, bytes, int, int]:
    """A transfer with losses both ways on a channel that keeps the order: what was sent, what a one-bit receiver makes
    of the segments that arrive, how many arrived, and how many there are.
    """
    net = Network(5)
    rng = Random(5)
    arrived: list[bytes] = []

    def fate(frame: bytes) -> bool:
        if not payload(frame):
            return False
        if rng.random() < 0.2:
            return True
        arrived.append(frame)
        return False

    a, b = pair(net, Faults(delay_us=5 * MS, lose_if=fate), Faults(delay_us=5 * MS, loss=0.2))
    data = Random(1).randbytes(200 * segment)
    flow = Flow(net, a, b, replace(config, rto_max_us=SECOND), data=data)
    flow.finish(600 * SECOND)
    assert flow.bytes_received() == data
    receiver = OneBitReceiver(flow.conn.snd.iss + 1)
    for frame in arrived:
        receiver.take(sequence(frame), payload(frame))
    return data, b"".join(receiver.stream), len(arrived), 200


def test_one_bit_is_number_enough_for_the_alternating_bit_profile():
    sent, received, arrived, unique = listen_in(profiles.get("alternating-bit"), profiles.ALTERNATING_SEGMENT)
    assert received == sent
    assert arrived > unique + 20, "lost acknowledgements made repetitions for it to recognise"


def test_one_bit_says_nothing_where_segments_have_an_even_length():
    """Control of the test above: stop-and-wait with its 1460 bytes."""
    sent, received, _, _ = listen_in(profiles.get("stop-and-wait"), SEGMENT)
    assert received != sent


# -- Tahoe, Reno, NewReno


class Story:
    """Some losses in one flight of 40 segments, without SACK: what the algorithm does."""

    def __init__(self, congestion: str, *lost: int) -> None:
        net = Network(1)
        losing = Losing(*lost)
        forward = Faults(delay_us=50 * MS, rate=10 * LINK, lose_if=losing)
        a, b = pair(net, forward, Faults(delay_us=50 * MS))
        config = prompt(TcpConfig(congestion=congestion, sack=False, timestamps=False, hystart=False, pacing="off"))
        config = replace(config, initial_window_segs=40, rto_min_us=SECOND)
        flow = Flow(net, a, b, config, data=bytes(400 * SEGMENT))
        self.windows: list[float] = []
        self.timeouts = 0
        before = [0]

        def look() -> None:
            snd = flow.conn.snd
            if flow.cwnd():
                self.windows.append(flow.cwnd() / SEGMENT)
                self.timeouts += snd.timeouts > before[0]
                before[0] = snd.timeouts

        every(net, MS, look)
        flow.finish(60 * SECOND)
        self.again = losing.again
        self.lowest = min(self.windows)
        self.took_us = net.clock.now


@rfc("5681", "3.2", "5681-3.2")
def test_one_loss_tahoe_starts_over_reno_and_newreno_halve():
    tahoe, reno, newreno = (Story(name, 5) for name in ("tahoe", "reno", "newreno"))
    assert tahoe.timeouts == reno.timeouts == newreno.timeouts == 0, "fast retransmit works for all three"
    assert tahoe.lowest == 1
    assert reno.lowest >= 20
    assert newreno.windows == reno.windows
    assert tahoe.again >= 1
    assert reno.again == newreno.again == 1
    assert tahoe.took_us > reno.took_us


@rfc("6582", "3.2", "6582-1")
def test_several_losses_in_one_flight_reno_waits_for_the_timer_newreno_does_not():
    lost = (5, 10, 15, 20)
    tahoe, reno, newreno = (Story(name, *lost) for name in ("tahoe", "reno", "newreno"))
    assert (newreno.timeouts, newreno.again) == (0, 4)
    assert newreno.lowest >= 20, "one flight, one halving"
    assert reno.timeouts >= 1
    assert reno.lowest == 1
    assert tahoe.timeouts == 0, "it goes on from the first hole in slow start"
    assert tahoe.again > 4, "and repeats what had arrived"
    assert newreno.took_us < tahoe.took_us < reno.took_us


@pytest.mark.parametrize("congestion", ["fixed", "newreno"])
def test_a_fixed_window_answers_to_no_loss(congestion):
    story = Story(congestion, 5)
    assert (len(set(story.windows)) == 1) == (congestion == "fixed"), "newreno is the control"


# -- estimators


def spurious(estimator: str, *, before: Faults, after: Faults | None = None, seconds: int = 30) -> tuple[int, int]:
    """Stop-and-wait without any loss: (retransmissions, segments) in the second half.  All of them are spurious."""
    net = Network(3)
    back = Faults(delay_us=10 * MS)
    a, b = pair(net, before, back)
    config = replace(profiles.get("stop-and-wait"), rtt_estimator=estimator, rto_min_us=10 * MS)
    flow = Flow(net, a, b, config)
    net.run_for(seconds * SECOND)
    if after is not None:
        net.links[0].a.channel.model.configure(after)
    net.run_for(seconds * SECOND)
    mark, got = flow.conn.tcp_info().retransmits, flow.received
    net.run_for(seconds * SECOND)
    return flow.conn.tcp_info().retransmits - mark, (flow.received - got) // SEGMENT


@rfc("6298", "2", "6298-2.3")
def test_delays_that_vary_fool_the_mean_and_not_the_deviation():
    """Two packets in five take 220 ms instead of 20: the mean is 100 ms, and twice that too short for all of them."""
    delays = Faults(delay_us=10 * MS, reordering=0.4, reorder_us=200 * MS)
    for estimator in ("original", "karn"):
        again, sent = spurious(estimator, before=delays)
        assert again > 0.3 * sent > 50
    again, sent = spurious("jacobson", before=delays)
    assert again < 0.01 * sent


@rfc("6298", "3", "6298-3")
@rfc("9293", "3.8.1", "MUST-18")
def test_a_longer_path_is_learnt_by_karns_rule_and_never_without():
    """The delay grows from 20 to 500 ms, and each timer is too early.  The ACK of the first copy, taken for that of the
    last, keeps the original estimate small for ever; Karn's rule keeps the backed-off timer until a sample is sure.
    """
    near, far = Faults(delay_us=10 * MS), Faults(delay_us=490 * MS)
    original, sent = spurious("original", before=near, after=far)
    assert original >= sent > 50
    for estimator in ("karn", "jacobson"):
        again, sent = spurious(estimator, before=near, after=far)
        assert again == 0
        assert sent > 50
