"""Random faults against what their settings promise, and the account of every frame."""

from itertools import groupby
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.config import NEVER
from stack.device.fault import FaultModel, Faults, GilbertElliott
from stack.errors import ConfigError
from tests.support.frames import A, B, arp_frame, udp_frame


def fates(count: int, **faults: Any) -> tuple[FaultModel, list[bool]]:
    """Whether each of `count` frames arrived."""
    link = FaultModel(Random(7), Faults(**faults))
    arrived = []
    for now in range(count):
        arrived.append(link.offer(b"frame", now))
        link.poll(now)
    return link, arrived


@pytest.mark.parametrize(
    ("model", "loss", "burst"),
    [
        (GilbertElliott(p=0.01, r=0.2), 0.01 / 0.21, 5.0),
        (GilbertElliott(p=0.01, r=0.05), 0.01 / 0.06, 20.0),
        (GilbertElliott(p=0.3, r=1.0), 0.3 / 1.3, 1.0),
    ],
)
def test_bursts_of_loss_have_their_share_and_length(model: GilbertElliott, loss: float, burst: float) -> None:
    count = 100_000
    link, arrived = fates(count, burst_loss=model)
    runs = [len(list(run)) for ok, run in groupby(arrived) if not ok]
    assert link.counts.lost_in_bursts == arrived.count(False) == sum(runs)
    assert arrived.count(False) / count == pytest.approx(loss, rel=0.12)
    assert sum(runs) / len(runs) == pytest.approx(burst, rel=0.12)


def test_random_loss_of_the_same_share_comes_singly() -> None:
    """The control: what Gilbert-Elliott adds is that losses come together."""
    _, arrived = fates(100_000, loss=0.01 / 0.21)
    runs = [len(list(run)) for ok, run in groupby(arrived) if not ok]
    assert sum(runs) / len(runs) == pytest.approx(1 / (1 - 0.01 / 0.21), rel=0.02)


def test_both_states_have_a_loss_of_their_own() -> None:
    model = GilbertElliott(p=0.1, r=0.1, loss_bad=0.5, loss_good=0.02)
    _, arrived = fates(100_000, burst_loss=model)
    assert arrived.count(False) / len(arrived) == pytest.approx(0.26, rel=0.05)


@pytest.mark.parametrize("name", ["p", "r", "loss_bad", "loss_good"])
def test_impossible_probabilities_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        GilbertElliott(**{"p": 0.1, "r": 0.1, name: 1.5})


def test_a_bound_in_frames_counts_the_one_that_leaves() -> None:
    link = FaultModel(Random(1), Faults(rate=1_000_000, queue_frames=3))
    assert [link.offer(bytes(1_000), 0) for _ in range(5)] == [True, True, True, False, False]
    assert link.queue_length(999) == (3, 2_001)
    assert link.queue_length(1_000) == (2, 2_000)
    assert link.offer(bytes(1_000), 1_000)
    assert link.queue_length(10_000) == (0, 0)


def test_waits_and_high_water_are_counted() -> None:
    link = FaultModel(Random(1), Faults(rate=1_000_000))
    for _ in range(4):
        link.offer(bytes(1_000), 0)
    counts = link.counts
    assert (counts.queued, counts.wait_ns, counts.max_wait_ns) == (4, 6_000_000, 3_000_000)
    assert (counts.max_queue_frames, counts.max_queue_bytes) == (4, 4_000)


def test_frames_longer_than_the_link_carries_are_lost() -> None:
    link = FaultModel(Random(1))
    link.max_frame = 100
    assert [link.offer(bytes(size), 0) for size in (100, 101)] == [True, False]
    assert link.counts.too_long == 1


def test_a_link_that_is_down_loses_what_is_under_way_and_what_is_offered() -> None:
    link = FaultModel(Random(1), Faults(delay_us=100, reordering=0.5))
    for n in range(10):
        link.offer(bytes(10), n)
    link.cut(down=True)
    assert link.deadline == NEVER
    assert link.poll(1_000_000) == []
    assert link.offer(b"x", 11) is False
    link.cut(down=False)
    assert link.offer(b"y", 12) is True
    assert link.counts.cut == 11
    assert link.counts.under_way() == 1


FRAMES = (udp_frame(A, B, bytes(500)), arp_frame(A, B), b"tiny", udp_frame(A, B, b""))
PROBABILITY = st.sampled_from([0.0, 0.2, 1.0])


@settings(max_examples=100, deadline=None)
@given(
    faults=st.lists(
        st.builds(
            Faults,
            loss=PROBABILITY,
            duplication=PROBABILITY,
            corruption=PROBABILITY,
            reordering=PROBABILITY,
            delay_us=st.sampled_from([0, 300]),
            jitter_us=st.sampled_from([0, 200]),
            rate=st.sampled_from([0, 100_000, 10_000_000]),
            queue=st.sampled_from(["droptail", "codel"]),
            queue_frames=st.sampled_from([0, 3]),
            queue_bytes=st.sampled_from([0, 1_500]),
            codel_target_us=st.sampled_from([1, 5_000]),
            codel_interval_us=st.sampled_from([10, 100_000]),
            ecn=st.booleans(),
            burst_loss=st.none() | st.builds(GilbertElliott, p=PROBABILITY, r=PROBABILITY),
        ),
        min_size=1,
        max_size=4,
    ),
    acts=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2_000)), max_size=80),
)
def test_every_frame_is_accounted_for(faults: list[Faults], acts: list[tuple[int, int]]) -> None:
    """Whatever is done to a link: offered and copied is delivered, lost for one reason, or under way; time goes on."""
    link = FaultModel(Random(3), faults[0])
    told: list[bytes] = []
    link.on_drop = told.append
    now = delivered = nbytes = refused = 0
    for act, gap in acts:
        now += gap
        while link.deadline <= now:
            got = link.poll(link.deadline)
            delivered, nbytes = delivered + len(got), nbytes + sum(map(len, got))
        if act < 7:
            refused += not link.offer(FRAMES[act % 4], now)
        elif act == 7:
            link.configure(faults[gap % len(faults)])
        else:
            link.cut(down=act == 8)
        assert link.counts.under_way() >= 0
        frames, size = link.queue_length(now)
        assert frames <= link.counts.under_way() + link.counts.vanished()
        assert size >= 0
    for _ in range(1_000):
        if link.deadline >= NEVER:
            break
        got = link.poll(link.deadline)
        delivered, nbytes = delivered + len(got), nbytes + sum(map(len, got))
    counts = link.counts
    assert link.deadline == NEVER
    assert counts.under_way() == 0
    assert (counts.delivered, counts.delivered_bytes) == (delivered, nbytes)
    if not any(one.duplication for one in faults):
        # told at once or later; what was damaged and then cut is told twice
        known = refused + len(told) - (counts.corrupted - counts.corrupted_lost)
        assert known == counts.vanished()
    assert set(told) <= set(FRAMES) | {frame for frame in told if link.counts.cut}
