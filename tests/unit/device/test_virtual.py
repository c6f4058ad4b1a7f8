"""Virtual links and the switch: what is sent arrives at the right ends, in a form that they can carry."""

import pytest

from stack.device.base import Device
from stack.device.virtual import FULL_OFFLOAD, Switch, VirtualDevice, link
from stack.device.wrapper import NO_OFFLOAD, raw_at
from stack.errors import ConfigError, DeviceGone
from stack.wire.burst import KIND_DROP, MAX_FRAMES, ROW_BAD_CSUM, ROW_PARTIAL, Burst
from stack.wire.frame import GSO_NONE, GSO_TCPV4, TxFrame
from tests.support.frames import MAC_A, MAC_B, A, B, End, arp_frame, checksums_hold, tcp_frame, udp_frame
from tests.support.tx import finished, super_segment

MAC_C = bytes.fromhex("020000000003")
C = End(MAC_C, bytes([10, 0, 0, 3]), 99)
PAYLOAD = bytes(range(250)) * 16  # 4000 bytes


def drain(device: Device) -> list[bytes]:
    burst, frames = Burst(), []
    while device.rx_burst(burst):
        frames += [burst.frame(index) for index in range(burst.count)]
    return frames


def test_a_frame_arrives_at_the_other_end_only() -> None:
    a, b = link(MAC_A, MAC_B)
    assert a.send(finished(udp_frame(A, B, b"hello")))
    assert drain(a) == []
    assert drain(b) == [udp_frame(A, B, b"hello")]
    assert b.send(finished(udp_frame(B, A, b"back")))
    assert drain(a) == [udp_frame(B, A, b"back")]


def test_rows_are_parsed_for_the_receiving_end() -> None:
    a, b = link(MAC_A, MAC_B)
    a.send(finished(udp_frame(A, B, b"hello")))
    a.send(finished(udp_frame(A, C, b"not for b")))
    burst = Burst()
    assert b.rx_burst(burst) == 2
    assert [burst.row_at(index)[10] == KIND_DROP for index in range(2)] == [False, True]


def test_an_end_without_offloads_sees_wire_frames_of_at_most_the_mtu() -> None:
    a, b = link(MAC_A, MAC_B, caps=FULL_OFFLOAD, caps_b=NO_OFFLOAD)
    a.send(super_segment(A, B, PAYLOAD, 1460))
    frames = drain(b)
    assert [len(frame) for frame in frames] == [14 + 1500, 14 + 1500, 14 + 40 + 1080]
    assert all(checksums_hold(frame) for frame in frames)
    assert b"".join(frame[54:] for frame in frames) == PAYLOAD
    assert b.rx_dropped == 0


def test_an_end_with_offloads_gets_the_super_segment_whole() -> None:
    a, b = link(MAC_A, MAC_B)
    a.send(super_segment(A, B, PAYLOAD, 1460))
    burst = Burst()
    assert b.rx_burst(burst) == 1
    flags = burst.row_at(0)[9]
    assert flags & ROW_PARTIAL
    assert not flags & ROW_BAD_CSUM
    assert raw_at(burst, 0)[2:4] == (GSO_TCPV4, 1460)


def test_a_wire_frame_over_the_mtu_is_dropped() -> None:
    a, b = link(MAC_A, MAC_B, mtu=1000)
    assert a.send(finished(bytes(1014)))
    assert not a.send(finished(bytes(1015)))
    assert (len(drain(b)), b.rx_dropped) == (1, 1)


def test_a_full_queue_drops_and_counts() -> None:
    a, b = link(MAC_A, MAC_B, queue_frames=3)
    assert [a.send(finished(udp_frame(A, B, b"%d" % n))) for n in range(5)] == [True] * 3 + [False] * 2
    assert b.rx_dropped == 2
    assert len(drain(b)) == 3
    assert a.send(finished(udp_frame(A, B, b"room again")))


def test_the_queue_is_bounded_in_bytes_too() -> None:
    ends = Switch()
    a = ends.plug(MAC_A)
    b = VirtualDevice("b", MAC_B, 1500, NO_OFFLOAD, ends, queue_bytes=250)
    for _ in range(3):
        b.deliver([(bytes(100), 0, GSO_NONE, 0, 0, 0)])
    assert b.rx_dropped == 1
    drain(b)
    assert b.deliver([(bytes(250), 0, GSO_NONE, 0, 0, 0)])
    assert a.rx_dropped == 0


def test_more_frames_than_a_burst_come_in_several() -> None:
    a, b = link(MAC_A, MAC_B)
    sent = [udp_frame(A, B, b"%d" % n) for n in range(MAX_FRAMES + 10)]
    for data in sent:
        a.send(finished(data))
    burst = Burst()
    assert b.rx_burst(burst) == MAX_FRAMES
    assert drain(b) == sent[MAX_FRAMES:]


def test_on_readable_is_called_once_until_the_queue_is_empty_again() -> None:
    a, b = link(MAC_A, MAC_B)
    calls: list[int] = []
    b.on_readable = lambda: calls.append(1)
    a.send(finished(udp_frame(A, B, b"1")))
    a.send(finished(udp_frame(A, B, b"2")))
    assert len(calls) == 1
    drain(b)
    a.send(finished(udp_frame(A, B, b"3")))
    assert len(calls) == 2


def test_a_closed_end_is_gone_and_takes_nothing() -> None:
    a, b = link(MAC_A, MAC_B)
    a.send(finished(udp_frame(A, B, b"before")))
    b.close()
    b.close()
    assert not a.send(finished(udp_frame(A, B, b"after")))
    assert not b.send(finished(udp_frame(B, A, b"from the grave")))
    assert drain(a) == []
    with pytest.raises(DeviceGone):
        b.rx_burst(Burst())


@pytest.mark.parametrize("mac", [b"", bytes(5), b"\xff" * 6, bytes.fromhex("010000000001")])
def test_only_unicast_addresses(mac: bytes) -> None:
    with pytest.raises(ConfigError):
        link(MAC_A, mac)


def three() -> tuple[VirtualDevice, VirtualDevice, VirtualDevice]:
    switch = Switch()
    return switch.plug(MAC_A), switch.plug(MAC_B), switch.plug(MAC_C)


def received(*devices: VirtualDevice) -> list[int]:
    return [len(drain(device)) for device in devices]


def send(device: Device, data: bytes) -> TxFrame:
    frame = finished(data)
    device.send(frame)
    return frame


def test_a_switch_floods_until_it_has_learnt() -> None:
    a, b, c = three()
    send(a, udp_frame(A, B, b"who are you"))
    assert received(a, b, c) == [0, 1, 1]
    send(b, udp_frame(B, A, b"I am b"))
    assert received(a, b, c) == [1, 0, 0]
    send(a, udp_frame(A, B, b"hello b"))
    assert received(a, b, c) == [0, 1, 0]


def test_a_switch_always_floods_broadcasts() -> None:
    a, b, c = three()
    for device, end in ((a, A), (b, B), (c, C)):
        send(device, arp_frame(end, A))
    assert received(a, b, c) == [2, 2, 2]


def test_a_switch_follows_an_address_that_moves() -> None:
    a, b, c = three()
    send(b, udp_frame(B, A, b"here"))
    send(c, udp_frame(B, A, b"there now"))
    received(a, b, c)
    send(a, udp_frame(A, B, b"?"))
    assert received(a, b, c) == [0, 0, 1]


def test_a_switch_forgets_the_oldest_address_when_full() -> None:
    switch = Switch(max_macs=2)
    a, b, c = switch.plug(MAC_A), switch.plug(MAC_B), switch.plug(MAC_C)
    for device, end in ((a, A), (b, B), (c, C)):  # a is forgotten
        send(device, arp_frame(end, end))
    received(a, b, c)
    send(b, udp_frame(B, C, b""))
    assert received(a, b, c) == [0, 0, 1]
    send(b, udp_frame(B, A, b""))
    assert received(a, b, c) == [1, 0, 1]


def test_a_group_address_is_never_learnt() -> None:
    a, b, c = three()
    send(b, b"\xff" * 6 + b"\xff" * 6 + arp_frame(B, A)[12:])
    received(a, b, c)
    send(a, arp_frame(A, B))
    assert received(a, b, c) == [0, 1, 1]


def test_a_frame_is_not_sent_back_where_it_came_from() -> None:
    a, b, c = three()
    send(a, udp_frame(A, B, b""))
    received(a, b, c)
    send(a, udp_frame(B, A, b"to myself"))
    assert received(a, b, c) == [0, 0, 0]


def test_a_switch_cuts_super_segments_only_for_ports_that_need_it() -> None:
    switch = Switch()
    a, b, c = switch.plug(MAC_A), switch.plug(MAC_B), switch.plug(MAC_C, caps=NO_OFFLOAD)
    frame = super_segment(A, B, PAYLOAD, 1460)
    a.send(frame)  # flooded
    assert [len(data) for data in drain(b)] == [54 + 4000]
    frames = drain(c)
    assert [len(data) for data in frames] == [1514, 1514, 1134]
    assert all(checksums_hold(data) for data in frames)


def test_a_sent_frame_is_copied() -> None:
    a, b = link(MAC_A, MAC_B)
    payload = bytearray(tcp_frame(A, B, "A", 1, 2))
    a.send(finished(payload))
    payload[:] = bytes(len(payload))
    assert drain(b) == [tcp_frame(A, B, "A", 1, 2)]
