"""The parts of a simulated network by themselves: the queue of events, the record, frames in words."""

from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.config import NEVER
from stack.device.pcapng import read_pcapng
from stack.sim.describe import describe
from stack.sim.events import EventQueue
from stack.sim.record import EVENTS, INBOUND, OUTBOUND, Recorder
from tests.support.frames import A, B, arp_frame, tcp_frame, udp_frame


class Timer:
    def __init__(self, name: str, at: int) -> None:
        self.name, self.at, self.queued_at = name, at, NEVER

    def due_at(self) -> int:
        return self.at

    def fire(self, now: int) -> None:
        self.at = NEVER


def run(queue: EventQueue) -> list[tuple[int, str]]:
    fired = []
    while (at := queue.next_at()) < NEVER:
        source = queue.take()
        assert isinstance(source, Timer)
        fired.append((at, source.name))
        source.fire(at)
    return fired


def test_ties_go_by_order_of_insertion() -> None:
    queue = EventQueue()
    for name, at in (("a", 5), ("b", 3), ("c", 5), ("d", 3)):
        queue.schedule(Timer(name, at), at)
    assert run(queue) == [(3, "b"), (3, "d"), (5, "a"), (5, "c")]


def test_a_deadline_moves_forward_and_back() -> None:
    queue = EventQueue()
    timer, other = Timer("t", 100), Timer("o", 50)
    queue.schedule(timer, 100)
    queue.schedule(other, 50)
    timer.at = 10
    queue.schedule(timer, 10)  # earlier: a new entry
    assert queue.next_at() == 10
    timer.at = 70  # later: found out when the entry comes up
    assert run(queue) == [(50, "o"), (70, "t")]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50)), max_size=60))
def test_whatever_is_rescheduled_fires_at_its_last_deadline(moves: list[tuple[int, int]]) -> None:
    queue = EventQueue()
    timers = [Timer(str(n), NEVER) for n in range(5)]
    for which, at in moves:
        timers[which].at = at
        queue.schedule(timers[which], at)
    wanted = sorted((timer.at, timer.name) for timer in timers if timer.at < NEVER)
    assert sorted(run(queue)) == wanted
    assert queue.next_at() == NEVER


def test_the_cost_of_an_event_does_not_grow_with_the_idle_sources() -> None:
    """Sources that are not due are not asked when they are."""
    queue = EventQueue()
    asked: list[str] = []

    class Asked(Timer):
        def due_at(self) -> int:
            asked.append(self.name)
            return self.at

    for n in range(1_000):
        queue.schedule(Asked("idle", 1_000_000), 1_000_000)
        queue.schedule(Asked("busy", n), n)
    for _ in range(1_000):
        queue.next_at()
        queue.take()
    assert asked == ["busy"] * 1_000


def record(count: int, size: int) -> Recorder:
    recorder = Recorder(size, hashing=True)
    for n in range(count):
        recorder.note(recorder.passed, f"note {n}")
        recorder.frame(n, n % 2, OUTBOUND if n % 2 else INBOUND, udp_frame(A, B, b"%d" % n))
    return recorder


def test_the_record_and_its_remarks_are_bounded() -> None:
    recorder = record(1_000, 10)
    assert len(recorder._frames) == 10
    assert len(recorder._notes) <= 20
    for n in range(EVENTS + 5):
        recorder.event(n, "something")
    assert len(recorder._events) == EVENTS


def test_a_capture_of_all_ports_names_them() -> None:
    recorder = record(6, 4)
    file = BytesIO()
    recorder.capture(["left", "right"], None, file)
    file.seek(0)
    capture = read_pcapng(file)
    assert capture.interfaces == ("left", "right")
    assert [(p.time, p.interface, p.direction, p.comments) for p in capture.packets] == [
        (n, n % 2, OUTBOUND if n % 2 else INBOUND, (f"note {n}",)) for n in (2, 3, 4, 5)
    ]
    file = BytesIO()
    recorder.capture(["left", "right"], 1, file)
    file.seek(0)
    assert [p.time for p in read_pcapng(file).packets] == [3, 5]


def test_the_digest_shows_every_bit_of_time_place_and_data() -> None:
    def digest(*frames: tuple[int, int, int, bytes]) -> str:
        recorder = Recorder(0, hashing=True)
        for frame in frames:
            recorder.frame(*frame)
        return recorder.digest()

    base = (5, 1, OUTBOUND, b"data")
    others = [(6, 1, OUTBOUND, b"data"), (5, 2, OUTBOUND, b"data"), (5, 1, INBOUND, b"data"), (5, 1, OUTBOUND, b"dat`")]
    assert len({digest(base), *(digest(other) for other in others), digest(base, base), digest()}) == 7
    big = [(n, 0, OUTBOUND, bytes(9_000)) for n in range(30)]  # more than one batch
    assert digest(*big) == digest(*big) != digest(*big[1:])


def test_asking_for_the_digest_does_not_change_it() -> None:
    one, other = record(10, 0), record(10, 0)
    one.digest()
    for recorder in (one, other):
        recorder.frame(99, 1, INBOUND, b"last")
    assert one.digest() == other.digest()


def test_the_latest_events_are_told_in_order() -> None:
    recorder = Recorder(100, hashing=False)
    recorder.frame(1, 0, OUTBOUND, tcp_frame(A, B, "SA", 7, 9, data=b"abc"))
    recorder.event(2, "a timer")
    recorder.note(recorder.passed, "dropped: because")
    recorder.frame(3, 1, INBOUND, arp_frame(A, B))
    lines = [line.strip() for line in recorder.latest(10, ["a.0", "b.0"])]
    assert lines[0].startswith("1 us  a.0 -> TCP 10.")
    assert lines[0].endswith("len 3")
    assert " SA seq 7 ack 9 " in lines[0]
    assert lines[1] == "2 us  a timer"
    assert lines[2].startswith("3 us  b.0 <- ARP ")
    assert lines[2].endswith("[dropped: because]")
    assert recorder.latest(2, ["a.0", "b.0"])[0].endswith("a timer")


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (udp_frame(A, B, b"12345"), "len 5"),
        (b"", "0 bytes"),
        (bytes(12) + b"\x86\xdd" + bytes(50), "64 bytes of type 86dd"),
    ],
)
def test_frames_are_told_in_words(frame: bytes, words: str) -> None:
    assert words in describe(frame)


def test_sack_blocks_and_marks_are_told() -> None:
    frame = bytearray(tcp_frame(A, B, "A", 1, 2, options=b"\1\1\5\x0a" + bytes([0, 0, 0, 5, 0, 0, 0, 9])))
    frame[15] |= 3
    assert describe(bytes(frame)).endswith("len 0 sack 5-9 CE")


@given(st.binary(max_size=120), st.sampled_from([b"\x08\x00\x45", b"\x08\x06\x00", b"\x08\x00\x46", b""]))
def test_any_bytes_have_words(data: bytes, kind: bytes) -> None:
    assert describe(data[:12].ljust(12, b"\0") + kind + data[12:])
