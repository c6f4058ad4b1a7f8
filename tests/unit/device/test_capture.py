"""What a capture device writes: finished wire frames, both directions, what the stack had to say about them."""

from io import BytesIO
from pathlib import Path

import pytest

from stack.device.base import Device
from stack.device.pcap import CaptureDevice, CaptureTrace
from stack.device.pcapng import INBOUND, OUTBOUND, Packet, PcapngWriter, read_pcapng
from stack.device.virtual import VirtualDevice, link
from stack.device.wrapper import raw_at
from stack.sim.clock import VirtualClock
from stack.stats import DropReason
from stack.wire.burst import Burst
from stack.wire.frame import GSO_TCPV4
from tests.support import tshark
from tests.support.frames import MAC_A, MAC_B, A, B, arp_frame, checksums_hold, tcp_frame, udp_frame
from tests.support.tx import finished, super_segment

PAYLOAD = bytes(range(250)) * 16  # 4000 bytes
MSS = 1460


class Bench:
    """A captured device and the far end of its link."""

    def __init__(self, *, super_segments: bool = False, queue_frames: int = 100) -> None:
        self.file = BytesIO()
        self.clock = VirtualClock(1_000)
        self.trace = CaptureTrace()
        self.burst = Burst()
        inner, self.far = link(MAC_A, MAC_B, queue_frames=queue_frames)
        self.near = CaptureDevice(
            inner, PcapngWriter(self.file), self.clock, trace=self.trace, super_segments=super_segments
        )

    def packets(self) -> tuple[Packet, ...]:
        self.near.flush()
        self.file.seek(0)
        return read_pcapng(self.file).packets


def drain(device: Device) -> list[bytes]:
    burst, frames = Burst(), []
    while device.rx_burst(burst):
        frames += [burst.frame(index) for index in range(burst.count)]
    return frames


def test_both_directions_with_their_times() -> None:
    bench = Bench()
    bench.near.send(finished(udp_frame(A, B, b"out")))
    bench.far.send(finished(udp_frame(B, A, b"in")))
    bench.clock.advance(us=5)
    bench.near.rx_burst(bench.burst)
    bench.clock.advance(us=5)
    assert [(p.time, p.direction, p.data) for p in bench.packets()] == [
        (1_000, OUTBOUND, udp_frame(A, B, b"out")),
        (1_005, INBOUND, udp_frame(B, A, b"in")),
    ]


def test_nothing_of_what_passes_is_changed() -> None:
    bench = Bench()
    bench.near.send(super_segment(A, B, PAYLOAD, MSS))
    assert bench.far.rx_burst(bench.burst) == 1
    captured = raw_at(bench.burst, 0)
    plain, far = link(MAC_A, MAC_B)
    plain.send(super_segment(A, B, PAYLOAD, MSS))
    far.rx_burst(bench.burst)
    assert captured == raw_at(bench.burst, 0)
    assert captured[2:4] == (GSO_TCPV4, MSS)


@pytest.mark.parametrize("inbound", [False, True])
def test_super_segments_are_written_as_wire_frames(inbound: bool) -> None:
    bench = Bench()
    pass_super_segment(bench, inbound=inbound)
    packets = bench.packets()
    assert [len(p.data) for p in packets] == [1514, 1514, 1134]
    assert b"".join(p.data[54:] for p in packets) == PAYLOAD
    assert all(checksums_hold(p.data) for p in packets)


@pytest.mark.parametrize("inbound", [False, True])
def test_super_segments_are_kept_when_told_so(inbound: bool) -> None:
    bench = Bench(super_segments=True)
    pass_super_segment(bench, inbound=inbound)
    (packet,) = bench.packets()
    assert packet.data[54:] == PAYLOAD
    assert checksums_hold(packet.data)


def pass_super_segment(bench: Bench, *, inbound: bool) -> None:
    if inbound:
        bench.far.send(super_segment(B, A, PAYLOAD, MSS))
        assert bench.near.rx_burst(bench.burst) == 1
    else:
        bench.near.send(super_segment(A, B, PAYLOAD, MSS))


def test_remarks_become_comments() -> None:
    bench = Bench()
    for text in (b"1", b"2", b"3"):
        bench.far.send(finished(udp_frame(B, A, text)))
    assert bench.near.rx_burst(bench.burst) == 3
    bench.trace.note_rx(2, "first")
    answer = finished(udp_frame(A, B, b"answer"))
    answer.note = "in answer"
    bench.near.send(answer)  # while the burst is still being worked on
    bench.trace.on_drop(DropReason.UDP_NO_PORT, 0)
    bench.trace.note_rx(2, "second")
    bench.trace.on_drop(DropReason.UDP_NO_PORT, -1)  # not about a received frame
    comments = [(p.direction, p.comments) for p in bench.packets()]
    assert comments == [
        (INBOUND, ("dropped: udp_no_port",)),
        (INBOUND, ()),
        (INBOUND, ("first; second",)),
        (OUTBOUND, ("in answer",)),
    ]


def test_a_remark_comes_too_late_once_the_burst_is_written() -> None:
    bench = Bench()
    bench.far.send(finished(udp_frame(B, A, b"1")))
    bench.near.rx_burst(bench.burst)
    bench.near.flush()
    bench.near.send(finished(udp_frame(A, B, b"2")))
    bench.trace.note_rx(0, "late")
    assert [p.comments for p in bench.packets()] == [(), ()]


def test_a_remark_on_a_super_segment_stands_at_its_first_wire_frame() -> None:
    bench = Bench()
    frame = super_segment(A, B, PAYLOAD, MSS)
    frame.note = "fast retransmit"
    bench.near.send(frame)
    assert [p.comments for p in bench.packets()] == [("fast retransmit",), (), ()]


def test_a_frame_that_the_device_refused_is_marked() -> None:
    bench = Bench(queue_frames=1)
    assert bench.near.send(finished(udp_frame(A, B, b"1")))
    assert not bench.near.send(finished(udp_frame(A, B, b"2")))
    assert [p.comments for p in bench.packets()] == [(), ("(dropped by veth-a)",)]


def test_two_devices_share_a_file_and_a_trace() -> None:
    file, trace, clock = BytesIO(), CaptureTrace(), VirtualClock()
    writer = PcapngWriter(file)
    ends: list[tuple[CaptureDevice, VirtualDevice]] = []
    for _ in range(2):
        inner, far = link(MAC_A, MAC_B)
        ends.append((CaptureDevice(inner, writer, clock, trace=trace), far))
    burst = Burst()
    for near, far in ends:
        far.send(finished(arp_frame(B, A)))
        near.rx_burst(burst)
        trace.note_rx(0, f"of {ends.index((near, far))}")
    for near, _ in ends:
        near.flush()
    file.seek(0)
    assert [(p.interface, p.comments) for p in read_pcapng(file).packets] == [(0, ("of 0",)), (1, ("of 1",))]


def test_closing_writes_what_is_held_and_leaves_the_file_open() -> None:
    bench = Bench()
    bench.near.send(finished(udp_frame(A, B, b"last")))
    bench.near.close()
    bench.file.seek(0)
    assert len(read_pcapng(bench.file).packets) == 1


def test_tshark_finds_every_checksum_right(tmp_path: Path) -> None:
    path = tmp_path / "capture.pcapng"
    with path.open("wb") as file:
        inner, far = link(MAC_A, MAC_B)
        near = CaptureDevice(inner, PcapngWriter(file), VirtualClock())
        far.send(finished(tcp_frame(B, A, "S", 0)))
        near.send(finished(tcp_frame(A, B, "SA", 0, 1)))
        far.send(finished(tcp_frame(B, A, "A", 1, 1)))
        drain(near)
        near.send(super_segment(A, B, PAYLOAD, MSS))
        far.send(super_segment(B, A, PAYLOAD, MSS))
        drain(near)
        near.close()
    rows = tshark.read(path)
    assert len(rows) == 9
    assert [tshark.first(row, "tcp.checksum.status") for row in rows] == ["1"] * 9
    assert [tshark.first(row, "ip.checksum.status") for row in rows] == ["1"] * 9
