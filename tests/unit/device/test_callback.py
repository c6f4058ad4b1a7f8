"""Links made of Python calls."""

import logging

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from stack.device.callback import CallbackDevice
from stack.errors import ConfigError, DeviceGone
from stack.stats import DropReason
from stack.wire.burst import KIND_DROP, KIND_TCP, KIND_UDP, Burst
from stack.wire.frame import FILL_IP, GSO_TCPV4, L4_OFF, NEEDS_CSUM, TxFrame

MAC = b"\x02\0\0\0\0\x07"
OURS, PEER = "10.7.0.2", "10.7.0.1"


def packet(size=10, port=53):
    return bytes(IP(src=PEER, dst=OURS) / UDP(sport=9, dport=port) / bytes(size))


def outgoing(payload, gso_size=0):
    """A TCP segment of ours whose checksums are left to the device."""
    layer = TCP(sport=1, dport=2, seq=7, flags="PA")
    head = bytes(Ether(dst=MAC, src=MAC) / IP(src=OURS, dst=PEER, flags="DF") / layer)
    frame = TxFrame()
    frame.start = L4_OFF - 34
    frame.header_end = frame.start + len(head)
    frame.header[frame.start : frame.header_end] = head
    frame.payload, frame.payload_off, frame.payload_len = payload, 0, len(payload)
    frame.flags = NEEDS_CSUM | FILL_IP
    frame.csum_start, frame.csum_offset = 34, 16
    frame.gso_type, frame.gso_size = (GSO_TCPV4, gso_size) if gso_size else (0, 0)
    return frame


def kinds(device):
    burst = Burst()
    device.rx_burst(burst)
    return [burst.row_at(i)[10] for i in range(burst.count)]


def make(**options):
    out = []
    return CallbackDevice("tunnel", out.append, **options), out


def test_packets_come_in():
    device, _ = make(mtu=1420)
    woken = []
    device.on_readable = lambda: woken.append(1)
    assert device.feed(packet())
    assert device.feed_many([bytearray(packet()), memoryview(packet())]) == 2
    assert woken == [1]  # once: the queue was not empty again
    burst = Burst()
    assert device.rx_burst(burst) == 3
    assert [burst.row_at(i)[10] for i in range(3)] == [KIND_UDP] * 3
    assert burst.frame(0)[14:] == packet()
    assert device.rx_burst(burst) == 0


def test_frames_come_in():
    device, _ = make(layer="frames", mac=MAC)
    device.feed(bytes(Ether(dst=MAC, src="02:00:00:00:00:09", type=0x800)) + packet())
    device.feed(
        bytes(Ether(dst="02:00:00:00:00:08", src="02:00:00:00:00:09", type=0x800)) + packet()
    )  # for another host
    assert kinds(device) == [KIND_UDP, KIND_DROP]


@pytest.mark.parametrize("gso_size", [0, 1380])
@pytest.mark.parametrize("layer", ["packets", "frames"])
def test_what_comes_out_is_finished(layer, gso_size):
    device, out = make(layer=layer, mac=MAC if layer == "frames" else None, mtu=1420)
    payload = bytes(range(256)) * (16 if gso_size else 4)
    assert device.send(outgoing(payload, gso_size))
    assert len(out) == (3 if gso_size else 1)
    link = 14 if layer == "frames" else 0
    got = b""
    for data in out:
        assert type(data) is bytes
        assert len(data) <= 1420 + link
        seen = (Ether if link else IP)(data)
        again = seen.copy()
        del again[IP].chksum, again[IP].len, again[TCP].chksum
        assert bytes(again) == data  # lengths and checksums are the right ones
        got += bytes(seen[TCP].payload)
    assert got == payload


@pytest.mark.parametrize("junk", [b"", b"\x45", b"\0" * 40, b"\xff" * 60, bytes(range(64))])
def test_malformed_packets_are_the_parsers_to_drop(junk):
    device, _ = make()
    assert device.feed(junk)
    burst = Burst()
    assert device.rx_burst(burst) == 1
    assert burst.row_at(0)[10] == KIND_DROP


def test_ipv6_is_told_apart():
    device, _ = make()
    device.feed(b"\x60" + bytes(50))
    burst = Burst()
    device.rx_burst(burst)
    assert burst.row_at(0)[12] == DropReason.ETH_IPV6


def test_the_mtu_holds_both_ways():
    device, out = make(mtu=100)
    assert device.feed(packet(100 - 28))
    assert not device.feed(packet(101 - 28))
    assert device.rx_too_long == 1
    assert device.send(outgoing(bytes(60)))
    assert not device.send(outgoing(bytes(61)))
    assert (len(out), device.tx_errors) == (1, 1)


def test_the_queue_is_bounded_in_packets_and_bytes():
    device, _ = make(queue_frames=3)
    assert device.feed_many([packet()] * 5) == 3
    assert device.rx_dropped == 2
    assert kinds(device) == [KIND_UDP] * 3
    assert device.feed(packet())  # there is room again
    device, _ = make(queue_bytes=2000)
    assert device.feed_many([packet(972)] * 5) == 2
    assert device.rx_dropped == 3


def test_more_than_a_burst_waits():
    device, _ = make()
    device.feed_many([packet(port=1 + i) for i in range(600)])
    burst = Burst()
    ports = []
    while device.rx_burst(burst):
        ports += [burst.row_at(i)[0] & 0xFFFF for i in range(burst.count)]
    assert ports == list(range(1, 601))


def test_segments_that_follow_each_other_become_one_row():
    device, _ = make()
    for i in range(3):
        device.feed(
            bytes(IP(src=PEER, dst=OURS, flags="DF") / TCP(sport=9, dport=80, seq=100 * i, flags="A") / bytes(100))
        )
    burst = Burst()
    assert device.rx_burst(burst) == 1
    assert (burst.row_at(0)[10], burst.row_at(0)[3]) == (KIND_TCP, 300)


def test_a_batch_with_what_is_no_bytes_raises_and_keeps_what_came_before():
    device, _ = make()
    woken = []
    device.on_readable = lambda: woken.append(1)
    with pytest.raises(TypeError):
        device.feed_many([packet(), "text"])
    assert woken == [1]
    assert kinds(device) == [KIND_UDP]


def test_a_callback_that_raises_loses_its_packet_only(caplog):
    def refuse(data):
        raise ZeroDivisionError

    device = CallbackDevice("tunnel", refuse)
    with caplog.at_level(logging.ERROR):
        assert not device.send(outgoing(b"x"))
        assert not device.send(outgoing(b"x"))
    assert device.output_errors == 2
    assert len(caplog.records) == 1
    device.on_output = lambda data: None
    assert device.send(outgoing(b"x"))


def test_a_callback_can_say_that_it_dropped():
    device = CallbackDevice("tunnel", lambda data: False)
    assert not device.send(outgoing(b"x"))


def test_after_close():
    device, out = make()
    device.feed(packet())
    device.close()
    device.close()
    assert not device.feed(packet())
    assert device.rx_dropped == 1
    assert not device.send(outgoing(b"x"))
    assert out == []
    with pytest.raises(DeviceGone):
        device.rx_burst(Burst())


@pytest.mark.parametrize(
    "options",
    [
        {"layer": "cells"},
        {"mtu": 67},
        {"mtu": 65_536},
        {"mac": MAC},
        {"layer": "frames"},
        {"layer": "frames", "mac": b"\x03\0\0\0\0\1"},
        {"layer": "frames", "mac": b"\x02"},
    ],
    ids=str,
)
def test_what_cannot_work(options):
    with pytest.raises(ConfigError):
        make(**options)
