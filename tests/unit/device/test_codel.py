"""CoDel against drop-tail: a standing queue is held to the target, bursts pass, and ECN spares the frames."""

from itertools import pairwise
from random import Random
from typing import Any

import pytest

from stack.config import NEVER
from stack.device.codel import CoDelQueue, mark_ce
from stack.device.fault import NS_PER_US, FaultModel, Faults
from stack.errors import ConfigError
from stack.wire import accel
from tests.support.frames import A, B, arp_frame, checksums_hold, tcp_frame

MS_NS = 1_000_000
RATE = 1_250_000  # bytes/s: 1.2 ms for a frame of 1500 bytes


def queue(*, ecn: bool = False) -> CoDelQueue:
    return CoDelQueue(5_000, 100_000, ecn=ecn)


def overload(link: FaultModel, *, window: int, millis: int) -> list[tuple[int, int]]:
    """A sender that keeps `window` frames in flight and halves that when it misses one, as TCP would.

    Gives (time in us, frames in the queue) every 10 ms.
    """
    flying, samples, limit, was_vanished = 0, [], window, 0
    for now in range(0, millis * 1_000, 400):
        arrived = len(link.poll(now)) if link.deadline <= now else 0
        vanished = link.counts.vanished()
        flying -= arrived + vanished - was_vanished
        if vanished > was_vanished:
            limit = max(limit // 2, 4)
        elif arrived:
            limit += now % 16_000 == 0
        was_vanished = vanished
        while flying < limit:
            link.offer(bytes(1_500), now)
            flying += 1
        if now % 10_000 == 0:
            samples.append((now, link.queue_length(now)[0]))
    return samples


def mean_wait_ms(link: FaultModel, before: tuple[int, int]) -> float:
    counts = link.counts
    return (counts.wait_ns - before[1]) / (counts.queued - before[0]) / 1e6


def run_overload(**settings: Any) -> tuple[FaultModel, list[tuple[int, int]]]:
    link = FaultModel(Random(1), Faults(rate=RATE, **settings))
    return link, overload(link, window=60, millis=20_000)


def test_codel_holds_the_wait_where_drop_tail_has_a_standing_queue() -> None:
    codel, held = run_overload(queue="codel", queue_frames=200)
    tail, standing = run_overload(queue_frames=200)
    late = slice(len(held) // 4, None)
    mean_held = sum(n for _, n in held[late]) / len(held[late])
    mean_standing = sum(n for _, n in standing[late]) / len(standing[late])
    assert mean_held * 1.2 < 9  # ms, around the target of 5
    assert mean_standing * 1.2 > 60  # ms
    assert codel.counts.dropped > 0
    assert tail.counts.dropped == 0
    assert codel.counts.under_way() == codel.queue_length(20_000_000)[0]
    # and the link was never idle for it
    assert codel.counts.delivered_bytes > 0.97 * tail.counts.delivered_bytes


def test_a_burst_that_drains_within_the_interval_loses_nothing() -> None:
    link = FaultModel(Random(1), Faults(rate=RATE, queue="codel"))
    for _ in range(60):  # 72 ms of work
        link.offer(bytes(1_500), 0)
    while link.deadline < NEVER:
        link.poll(link.deadline)
    assert (link.counts.delivered, link.counts.dropped) == (60, 0)
    assert link.counts.max_wait_ns == 59 * 1_200_000


def test_frames_leave_one_after_the_other_and_an_idle_link_at_once() -> None:
    link = FaultModel(Random(1), Faults(rate=RATE, queue="codel", delay_us=100))
    link.offer(bytes(1_500), 0)
    link.offer(bytes(1_500), 10)
    times = []
    while link.deadline < NEVER:
        at = link.deadline
        times += [at] * len(link.poll(at))
    assert times == [1_300, 2_500]
    link.offer(bytes(1_500), 50_000)
    assert len(link.poll(51_300)) == 1


def test_the_queue_is_bounded_too() -> None:
    link = FaultModel(Random(1), Faults(rate=RATE, queue="codel", queue_frames=5))
    assert [link.offer(bytes(100), 0) for _ in range(7)] == [True] * 5 + [False] * 2
    assert link.counts.overflowed == 2
    assert link.queue_length(0) == (5, 500)
    assert (link.counts.max_queue_frames, link.counts.max_queue_bytes) == (5, 500)


def test_the_drop_interval_shrinks_with_the_square_root() -> None:
    """RFC 8289 §5.3: the n-th drop follows the one before it by interval / sqrt(n)."""
    q = queue()
    drops = []
    at = 0
    for at in range(0, 1_000 * MS_NS, MS_NS):
        q.push(bytes(1_000), at)
        q.push(bytes(1_000), at)  # twice what leaves: the wait only grows
        before = q.dropped
        q.pop(at)
        drops += [at // MS_NS] * (q.dropped - before)
    gaps = [b - a for a, b in pairwise(drops)]
    assert drops[0] == pytest.approx(110, abs=3)  # 5 ms over the target, for 100 ms
    assert gaps[:5] == pytest.approx([100, 71, 58, 50, 45], abs=1.5)


def test_below_the_target_nothing_is_dropped() -> None:
    q = queue()
    for at in range(0, 2_000 * MS_NS, MS_NS):
        q.push(bytes(1_000), at)
        if at >= 4 * MS_NS:
            assert q.pop(at) is not None
            assert q.popped_wait_ns == 4 * MS_NS
    assert q.dropped == 0


def test_one_frame_that_waits_is_no_standing_queue() -> None:
    """RFC 8289 §5.5: with no more than a frame behind it nothing is dropped, however slow the link."""
    q = queue()
    for at in range(0, 3_000 * MS_NS, 50 * MS_NS):
        q.push(bytes(1_000), at)
        if len(q) > 1:
            assert q.pop(at) is not None
    assert q.dropped == 0


def ecn_frame(ecn: int) -> bytes:
    frame = bytearray(tcp_frame(A, B, "A", 1, 2, data=bytes(1_000)))
    frame[15] = frame[15] & 0xFC | ecn
    frame[24:26] = b"\0\0"
    frame[24:26] = accel.checksum(bytes(frame[14:34])).to_bytes(2, "big")
    return bytes(frame)


@pytest.mark.parametrize("ecn", [1, 2])
def test_ecn_capable_frames_are_marked_in_place_of_dropped(ecn: int) -> None:
    frame = ecn_frame(ecn)
    counts = {}
    for on in (True, False):
        link = FaultModel(Random(1), Faults(rate=RATE, queue="codel", ecn=on))
        arrived = []
        for now in range(0, 1_000_000, 500):
            link.offer(frame, now)
            arrived += link.poll(now)
        counts[on] = link.counts
        marked = [data for data in arrived if data[15] & 3 == 3]
        assert len(marked) == (link.counts.marked if on else 0)
        assert all(checksums_hold(data) for data in arrived)
        assert {data for data in arrived if data[15] & 3 != 3} == {frame}
    assert counts[True].marked > 5
    assert counts[True].dropped == 0
    assert (counts[False].marked, counts[False].dropped > 5) == (0, True)


def test_what_does_not_do_ecn_is_dropped_all_the_same() -> None:
    q = queue(ecn=True)
    for at in range(0, 500 * MS_NS, MS_NS):
        q.push(ecn_frame(0), at)
        q.push(arp_frame(A, B), at)
        q.pop(at)
    assert q.marked == 0
    assert q.dropped > 3


@pytest.mark.parametrize("ecn", [1, 2, 3])
def test_marking_keeps_the_header_checksum_right(ecn: int) -> None:
    marked = mark_ce(ecn_frame(ecn))
    assert marked is not None
    assert marked[15] & 3 == 3
    assert checksums_hold(marked)
    assert mark_ce(ecn_frame(0)) is None
    assert mark_ce(b"short") is None


def test_switching_codel_off_lets_what_waits_leave_in_order() -> None:
    link = FaultModel(Random(1), Faults(rate=RATE, queue="codel"))
    frames = [bytes([n]) * 1_250 for n in range(5)]
    for frame in frames:
        link.offer(frame, 0)
    link.configure(Faults(rate=RATE))
    link.offer(b"last", 0)
    got = []
    while link.deadline < NEVER:
        at = link.deadline
        got += [(at, frame) for frame in link.poll(at)]
    assert got == [*((1_000 * (n + 1), frame) for n, frame in enumerate(frames)), (5_004, b"last")]


def test_new_settings_leave_what_waits_in_the_queue() -> None:
    link = FaultModel(Random(1), Faults(rate=RATE, queue="codel"))
    for _ in range(5):
        link.offer(bytes(1_250), 0)
    link.configure(Faults(rate=RATE * 2, queue="codel", codel_target_us=1))
    times = []
    while link.deadline < NEVER:
        at = link.deadline
        times += [at] * len(link.poll(at))
    assert times == [1_000, 1_500, 2_000, 2_500, 3_000]


def test_going_down_empties_the_queue() -> None:
    link = FaultModel(Random(1), Faults(rate=RATE, queue="codel"))
    for _ in range(5):
        link.offer(bytes(1_250), 0)
    link.cut(down=True)
    assert link.offer(bytes(10), 1) is False
    link.cut(down=False)
    assert link.offer(bytes(1_250), 500) is True
    assert link.deadline * NS_PER_US == 1_500_000
    assert (link.counts.cut, link.counts.under_way()) == (6, 1)


@pytest.mark.parametrize(
    "bad", [{"queue": "red"}, {"codel_target_us": 0}, {"codel_interval_us": 0}, {"queue_frames": -1}]
)
def test_settings_that_cannot_be_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(bad))):
        Faults(**bad)
