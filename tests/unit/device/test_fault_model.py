"""One direction of a faulty link: each fault does what it says, by the seed and to the nanosecond."""

from itertools import pairwise
from random import Random
from typing import Any

import pytest

from stack.config import NEVER
from stack.device.fault import MAX_HELD, FaultModel, Faults
from stack.errors import ConfigError
from tests.support.frames import A, B, arp_frame, checksums_hold, tcp_frame, udp_frame

FAR = 1 << 50


def model(seed: int = 1, **settings: Any) -> FaultModel:
    return FaultModel(Random(seed), Faults(**settings))


def numbered(count: int) -> list[bytes]:
    return [number.to_bytes(4, "big") * 25 for number in range(count)]


def pass_through(link: FaultModel, frames: list[bytes], gap_us: int = 10) -> list[tuple[int, bytes]]:
    """Offer a frame every `gap_us`; (time, frame) of each arrival, polled at the link's own deadlines."""
    arrived = []
    for number, frame in enumerate(frames):
        now = number * gap_us
        while link.deadline <= now:
            arrived += poll_at_deadline(link)
        link.offer(frame, now)
    while link.deadline < NEVER:
        arrived += poll_at_deadline(link)
    return arrived


def poll_at_deadline(link: FaultModel) -> list[tuple[int, bytes]]:
    at = link.deadline
    assert link.poll(at - 1) == [], "a deadline is the first time at which a frame is there"
    data = link.poll(at)
    assert data, "a deadline means that a frame is there"
    return [(at, frame) for frame in data]


def order(arrived: list[tuple[int, bytes]]) -> list[int]:
    return [int.from_bytes(data[:4], "big") for _, data in arrived]


def test_without_faults_every_frame_arrives_at_once_in_order() -> None:
    link = model()
    assert link.deadline == NEVER
    for frame in numbered(5):
        assert link.offer(frame, 7)
    assert link.deadline == 7
    assert link.poll(6) == []
    assert link.poll(7) == numbered(5)
    assert link.deadline == NEVER


def test_delay_is_exact() -> None:
    link = model(delay_us=250)
    link.offer(b"frame", 1_000)
    assert link.deadline == 1_250
    assert link.poll(1_249) == []
    assert link.poll(1_250) == [b"frame"]


@pytest.mark.parametrize("name", ["loss", "duplication", "reordering"])
@pytest.mark.parametrize("rate", [0.01, 0.3])
def test_rates_are_what_they_say(name: str, rate: float) -> None:
    count = 20_000
    settings: dict[str, Any] = {name: rate}
    link = model(**settings)
    pass_through(link, numbered(count))
    happened = {"loss": link.counts.lost, "duplication": link.counts.duplicated, "reordering": link.counts.reordered}
    sigma = (rate * (1 - rate) * count) ** 0.5
    assert abs(happened.pop(name) - rate * count) < 4 * sigma
    assert set(happened.values()) == {0}
    assert link.counts.offered == count
    assert link.counts.delivered == count - link.counts.lost + link.counts.duplicated


@pytest.mark.parametrize(("name", "delivered"), [("loss", 0), ("duplication", 200), ("reordering", 100)])
def test_probability_one_means_always(name: str, delivered: int) -> None:
    settings: dict[str, Any] = {name: 1.0}
    assert len(pass_through(model(**settings), numbered(100))) == delivered


def test_offer_tells_of_a_lost_frame() -> None:
    assert model().offer(b"x", 0) is True
    assert model(loss=1.0).offer(b"x", 0) is False


def test_a_duplicate_follows_its_original() -> None:
    assert order(pass_through(model(duplication=1.0, delay_us=100), numbered(3))) == [0, 0, 1, 1, 2, 2]


def test_jitter_spreads_arrivals_and_keeps_order() -> None:
    arrived = pass_through(model(delay_us=1_000, jitter_us=500), numbered(2_000), gap_us=100)
    assert order(arrived) == list(range(2_000))
    delays = [at - 100 * number for number, (at, _) in enumerate(arrived)]
    assert min(delays) >= 1_000
    assert max(delays) <= 1_500
    assert max(delays) - min(delays) > 400


def test_reordered_frames_arrive_later_and_the_others_do_not_wait() -> None:
    arrived = pass_through(model(reordering=0.2, reorder_us=35, delay_us=1_000), numbered(500), gap_us=10)
    sequence = order(arrived)
    assert sorted(sequence) == list(range(500))
    held = {number for number, (at, _) in zip(sequence, arrived, strict=True) if at == 10 * number + 1_035}
    assert 50 < len(held) < 150
    assert all(
        at == 10 * number + (1_035 if number in held else 1_000)
        for number, (at, _) in zip(sequence, arrived, strict=True)
    )
    overtaken = sum(a > b for a, b in pairwise(sequence))
    assert overtaken > 40


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize(
    "frame",
    [
        tcp_frame(A, B, "PA", 1, 2, data=b"some data"),
        udp_frame(A, B, b"odd"),
        tcp_frame(A, B, "A", 1, 2) + bytes(6),  # padded to 60 bytes: damage to the padding would not show
    ],
)
def test_corruption_flips_one_bit_and_breaks_a_checksum(frame: bytes, seed: int) -> None:
    assert checksums_hold(frame)
    link = model(seed, corruption=1.0)
    link.offer(frame, 0)
    (damaged,) = link.poll(0)
    assert int.from_bytes(damaged, "big") ^ int.from_bytes(frame, "big") in {1 << bit for bit in range(len(frame) * 8)}
    assert damaged[:14] == frame[:14]
    assert not checksums_hold(damaged)


@pytest.mark.parametrize("frame", [arp_frame(A, B), b"", bytes(14), udp_frame(A, B, b"")[:20]])
def test_a_damaged_frame_without_checksum_of_its_own_is_lost(frame: bytes) -> None:
    link = model(corruption=1.0)
    assert link.offer(frame, 0) is False
    assert link.poll(FAR) == []
    assert link.counts.corrupted == 1


def test_rate_limit_is_exact_to_the_nanosecond() -> None:
    # 100 bytes at 3 000 000 bytes/s take 33333 1/3 ns: the thirds must not get lost.
    link = model(rate=3_000_000)
    arrived = pass_through(link, numbered(3_000), gap_us=0)
    assert [at for at, _ in arrived] == [-(-(number + 1) * 100_000 // 3_000) for number in range(3_000)]
    assert arrived[-1][0] == 100_000


def test_a_link_that_was_idle_starts_anew() -> None:
    link = model(rate=1_000_000)
    link.offer(bytes(100), 0)
    assert link.deadline == 100
    link.poll(100)
    link.offer(bytes(100), 1_000)
    assert link.deadline == 1_100


def test_the_queue_drops_what_does_not_fit() -> None:
    link = model(rate=1_000_000, queue_bytes=1_000)
    taken = [link.offer(bytes(100), 0) for _ in range(15)]
    assert taken == [True] * 10 + [False] * 5
    assert link.counts.overflowed == 5
    assert link.offer(bytes(100), 99) is False  # the first frame has one byte to go
    assert link.offer(bytes(100), 100) is True


def test_a_frame_larger_than_the_queue_passes_an_idle_link() -> None:
    assert model(rate=1_000, queue_bytes=10).offer(bytes(100), 0)


def test_a_lost_frame_uses_the_link() -> None:
    link = model(rate=1_000_000, loss=1.0)
    link.offer(bytes(1_000), 0)
    link.configure(Faults(rate=1_000_000))
    link.offer(bytes(1_000), 0)
    assert link.deadline == 2_000


def test_frames_under_way_are_bounded() -> None:
    link = model(delay_us=1)
    assert all(link.offer(b"", 0) for _ in range(MAX_HELD))
    assert link.offer(b"", 0) is False
    link.poll(1)
    assert link.offer(b"", 1) is True


def test_settings_change_at_run_time_and_leave_frames_under_way_alone() -> None:
    link = model(delay_us=500)
    link.offer(b"early", 0)
    link.configure(Faults(loss=1.0))
    assert link.offer(b"lost", 1) is False
    link.configure(Faults(delay_us=10))
    link.offer(b"late", 2)
    assert link.poll(499) == []  # never before the frame ahead of it
    assert link.poll(500) == [b"early", b"late"]


def test_a_change_of_rate_does_not_carry_the_old_remainder() -> None:
    link = model(rate=999_999_999)
    link.offer(b"x", 0)
    link.configure(Faults(rate=1_000))
    link.offer(b"x", 0)
    link.poll(1)
    assert link.deadline == 1_001  # 1 ns and 1 ms, not another second


def test_scripted_losses() -> None:
    link = FaultModel(Random(0), Faults(lose_if=lambda frame: frame == b"this"))
    assert [link.offer(frame, 0) for frame in (b"that", b"this", b"those")] == [True, False, True]


def history(seed: int, **settings: Any) -> list[tuple[int, bytes]]:
    return pass_through(model(seed, **settings), numbered(500))


def test_one_seed_gives_one_history() -> None:
    everything = {
        "loss": 0.1,
        "duplication": 0.1,
        "corruption": 0.1,
        "reordering": 0.1,
        "delay_us": 100,
        "jitter_us": 50,
        "rate": 5_000_000,
        "queue_bytes": 3_000,
    }
    assert history(7, **everything) == history(7, **everything)
    assert history(7, **everything) != history(8, **everything)


@pytest.mark.parametrize("bad", [{"loss": 1.1}, {"corruption": -0.1}, {"delay_us": -1}, {"rate": -5}])
def test_settings_that_cannot_be_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        model(**bad)
