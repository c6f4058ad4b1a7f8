"""The short ways of the simulator give what the general ones give, in C and in Python."""

import pytest

from stack.device.virtual import FULL_OFFLOAD
from stack.device.wrapper import NO_OFFLOAD
from stack.wire import _pure, accel
from stack.wire.burst import META, ROW, Burst
from tests.support.core_frames import OURS
from tests.support.frames import A, B, arp_frame, checksums_hold, tcp_frame, udp_frame
from tests.support.tx import finished, super_segment

native = pytest.importorskip("stack.wire._native")
cores = pytest.mark.parametrize("core", [native, _pure], ids=["c", "pure"])
FRAMES = [
    tcp_frame(A, B, "PA", 1, 2, data=b"some data"),
    udp_frame(A, B, b"odd"),
    arp_frame(A, B),
    b"",
    b"short",
    bytes(1_514),
    bytes(70_000),  # cut off, and dropped by the parser
]


@pytest.mark.parametrize("size", [0, 1, 1_460])
@cores
def test_one_wire_frame_is_made_as_finish_makes_it(core, size):
    frame = super_segment(A, B, bytes(range(256)) * 6, 1_460)
    frame.gso_type = frame.gso_size = 0
    frame.payload_off, frame.payload_len = 3, size
    data = core.tx_wire(frame)
    assert data == accel.finish(frame, NO_OFFLOAD)[0][0]
    assert checksums_hold(data)
    frame.payload_len = 9
    assert len(core.tx_wire(frame)) == len(data) - size + 9  # the frame is used again


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
@cores
def test_a_finished_frame_passes_as_it_is(core, kind):
    assert core.tx_wire(finished(kind(FRAMES[0]))) == FRAMES[0]


@cores
def test_what_is_more_than_one_frame_or_none_is_left_to_finish(core):
    assert core.tx_wire(super_segment(A, B, bytes(4_000), 1_460)) == b""
    frame = super_segment(A, B, b"x", 1_460)
    frame.payload_len = 2
    assert core.tx_wire(frame) == b""


def test_wire_frames_are_those_of_finish():
    for size in (0, 1_460, 4_000):
        one, other = (super_segment(A, B, bytes(size), 1_460) for _ in range(2))
        assert accel.wire_frames(one) == [raw[0] for raw in accel.finish(other, NO_OFFLOAD)]
    assert len(accel.finish(super_segment(A, B, bytes(4_000), 1_460), FULL_OFFLOAD)) == 1


def test_frames_are_loaded_as_by_load_burst():
    one, other = Burst(), Burst()
    one.meta[:] = b"\xee" * len(one.meta)  # what an earlier burst left must not show
    taken = accel.load_frames(one, FRAMES, OURS)
    assert taken == accel.load_burst(other, [(data, 0, 0, 0, 0, 0) for data in FRAMES], OURS) == len(FRAMES)
    assert one.rows[: taken * ROW.size] == other.rows[: taken * ROW.size]
    assert one.meta[: taken * META.size] == other.meta[: taken * META.size]
    assert [one.frame(n) for n in range(taken)] == [other.frame(n) for n in range(taken)]


def test_a_full_burst_takes_no_more():
    assert accel.load_frames(Burst(max_frames=3), FRAMES, OURS) == 3
    assert accel.load_frames(Burst(pool_bytes=0), [bytes(60_000)] * 3, OURS) == 1
