"""A fault device around a virtual one: both directions, wire frames only, time from a clock or a timer."""

from random import Random

from stack.config import NEVER
from stack.device.base import Device
from stack.device.fault_device import FaultDevice
from stack.device.fault_settings import Faults
from stack.device.virtual import FULL_OFFLOAD, VirtualDevice, link
from stack.sim.clock import VirtualClock
from stack.wire.burst import ROW_BAD_CSUM, ROW_PARTIAL, Burst
from tests.support.frames import MAC_A, MAC_B, A, B, checksums_hold, tcp_frame, udp_frame
from tests.support.tx import finished, super_segment

PAYLOAD = bytes(range(250)) * 16  # 4000 bytes


def drain(device: Device) -> list[bytes]:
    burst, frames = Burst(), []
    while device.rx_burst(burst):
        frames += [burst.frame(index) for index in range(burst.count)]
    return frames


def build(
    *, inbound: Faults | None = None, outbound: Faults | None = None
) -> tuple[FaultDevice, VirtualDevice, VirtualClock]:
    """A device with faults, the device at the far end, and the clock."""
    clock = VirtualClock(1_000)
    near, far = link(MAC_A, MAC_B)
    return FaultDevice(near, Random(5), clock, inbound=inbound, outbound=outbound), far, clock


def test_each_direction_has_its_own_settings() -> None:
    near, far, _ = build(inbound=Faults(loss=1.0))
    near.send(finished(udp_frame(A, B, b"out")))
    far.send(finished(udp_frame(B, A, b"in")))
    assert drain(far) == [udp_frame(A, B, b"out")]
    assert drain(near) == []
    near.inbound.configure(Faults())
    near.outbound.configure(Faults(loss=1.0))
    assert near.send(finished(udp_frame(A, B, b"out")))
    far.send(finished(udp_frame(B, A, b"in")))
    assert drain(far) == []
    assert drain(near) == [udp_frame(B, A, b"in")]


def test_delayed_frames_fall_due_at_the_deadline() -> None:
    near, far, clock = build(inbound=Faults(delay_us=30), outbound=Faults(delay_us=20))
    assert near.deadline == NEVER
    near.send(finished(udp_frame(A, B, b"out")))
    far.send(finished(udp_frame(B, A, b"in")))
    assert drain(near) == []
    assert near.deadline == 1_020
    near.on_timer(clock.advance(us=19))
    assert drain(far) == []
    near.on_timer(clock.advance(us=1))
    assert drain(far) == [udp_frame(A, B, b"out")]
    assert near.deadline == 1_030
    near.flush()
    assert near.deadline == 1_030
    near.on_timer(clock.jump_to(1_030))
    assert drain(near) == [udp_frame(B, A, b"in")]
    assert near.deadline == NEVER


def test_without_a_clock_the_timer_tells_the_time() -> None:
    a, b = link(MAC_A, MAC_B)
    near = FaultDevice(a, Random(5), outbound=Faults(delay_us=20))
    near.on_timer(500)
    near.send(finished(udp_frame(A, B, b"out")))
    assert near.deadline == 520
    near.on_timer(520)
    assert drain(b) == [udp_frame(A, B, b"out")]


def test_super_segments_become_wire_frames_before_anything_happens_to_them() -> None:
    near, far, _ = build()
    assert near.caps is FULL_OFFLOAD
    near.send(super_segment(A, B, PAYLOAD, 1460))
    far.send(super_segment(B, A, PAYLOAD, 1460))
    for device in (near, far):
        frames = drain(device)
        assert [len(data) for data in frames] == [1514, 1514, 1134]
        assert all(checksums_hold(data) for data in frames)


def test_damage_shows_although_the_sender_had_left_the_checksum_to_offload() -> None:
    near, far, _ = build(inbound=Faults(corruption=1.0))
    burst = Burst()
    bad = 0
    for _ in range(50):
        far.send(super_segment(B, A, b"small", 1460))
        assert near.rx_burst(burst) == 1
        assert not burst.row_at(0)[9] & ROW_PARTIAL
        bad += bool(burst.row_at(0)[9] & ROW_BAD_CSUM)
        assert not checksums_hold(burst.frame(0))
    assert bad > 10  # the others were hit in the IP header


def test_one_direction_does_not_change_the_fate_of_the_other() -> None:
    def arrivals(extra: int) -> list[bytes]:
        near, far, _ = build(inbound=Faults(loss=0.5), outbound=Faults(loss=0.5))
        for _ in range(extra):
            near.send(finished(udp_frame(A, B, b"")))
        for number in range(50):
            far.send(finished(udp_frame(B, A, b"%d" % number)))
        return drain(near)

    assert 10 < len(arrivals(0)) < 40
    assert arrivals(0) == arrivals(7)


def test_a_reader_gets_everything_when_many_frames_are_lost() -> None:
    # The inner device tells of frames once; a burst of which nothing arrives must not end the reading.
    near, far, _ = build(inbound=Faults(lose_if=lambda frame: frame[-1:] != b"!"))
    for number in range(600):
        far.send(finished(udp_frame(B, A, b"%d" % number)))
    far.send(finished(udp_frame(B, A, b"the last!")))
    assert drain(near) == [udp_frame(B, A, b"the last!")]


def test_readiness_and_descriptor_are_those_of_the_inner_device() -> None:
    near, far, _ = build()
    calls: list[int] = []
    near.on_readable = lambda: calls.append(1)
    far.send(finished(tcp_frame(B, A, "A", 1, 2)))
    assert calls == [1]
    assert near.fileno() == -1
    assert (near.name, near.mac, near.mtu) == ("veth-a", MAC_A, 1500)


def test_closing_closes_the_inner_device() -> None:
    near, far, _ = build(outbound=Faults(delay_us=5))
    near.close()
    assert not far.send(finished(udp_frame(B, A, b"")))
