"""Received frames that are passed on where they lie: the same comes out as when each is loaded and sent."""

import contextlib
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from stack.device.base import Device
from stack.device.vnet import NATIVE, VnetDevice
from stack.wire import accel
from stack.wire.burst import Burst
from stack.wire.frame import GSO_TCPV4, VNET_NEEDS_CSUM, Caps
from tests.support.rfc import rfc

OURS = bytes.fromhex("020000000001")
LINK = bytes.fromhex("02000000000a02000000000b")
TRANSPORTS = {"udp": UDP(sport=1, dport=2), "tcp": TCP(sport=1, dport=2, flags="A"), "icmp": ICMP(), "none": None}


@st.composite
def raws(draw):
    """A frame as a device gives it, perhaps with a checksum that is left to us."""
    transport = TRANSPORTS[draw(st.sampled_from(sorted(TRANSPORTS)))]
    options = [IPOption(b"\x94\x04\x00\x00")] if draw(st.booleans()) else []
    packet = IP(src="10.0.0.1", dst="10.9.9.9", ttl=draw(st.integers(1, 255)), options=options)
    packet = packet / transport if transport is not None else packet
    data = bytearray(bytes(Ether(dst=OURS, src=OURS) / packet / Raw(draw(st.binary(max_size=90)))))
    flags = start = offset = 0
    if isinstance(transport, (UDP, TCP)) and draw(st.booleans()):
        flags, start = VNET_NEEDS_CSUM, 14 + (data[14] & 15) * 4
        offset = 6 if isinstance(transport, UDP) else 16
        data[start + offset : start + offset + 2] = accel.partial_sum(data[26:34]).to_bytes(2, "big")
    data += bytes(draw(st.integers(0, 20)))  # padding
    return bytes(data), flags, 0, 0, start, offset


@contextlib.contextmanager
def device(*, vnet, bare, native=True, csum=True):
    """A device whose other end is a socket."""
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    near.setblocking(False)
    far.setblocking(False)
    caps = Caps(csum=csum and vnet, bare_ip=bare)
    with contextlib.closing(near), contextlib.closing(far):
        yield VnetDevice("x", OURS, 1500, caps, near.fileno(), near, vnet=vnet, native=native), far


def loaded(frames):
    burst = Burst()
    accel.load_burst(burst, frames, OURS)
    return burst


def arrived(far):
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(far.recv(70_000))
    return found


def test_the_c_core_is_what_is_tested():
    assert NATIVE


@rfc("1812", "5.3.1", "RTR-1")
@given(st.lists(raws(), min_size=1, max_size=4), st.booleans(), st.booleans(), st.booleans(), st.data())
def test_what_comes_out_is_what_each_frame_sent_by_itself_would_be(frames, vnet, bare, csum, data):
    first = data.draw(st.integers(0, len(frames) - 1))
    count = len(frames) - first
    how = {"vnet": vnet, "bare": bare, "csum": csum}
    with device(**how) as (at_once, far), device(**how) as (each, there):
        assert at_once.pass_on(loaded(frames), first, count, LINK) == 0
        assert Device.pass_on(each, loaded(frames), first, count, LINK) == 0
        each.flush()
        got = arrived(far)
        assert got == arrived(there)
        assert len(got) == count
        if not bare:
            assert all(one[10 * vnet :].startswith(LINK) for one in got)


@given(st.lists(raws(), min_size=1, max_size=4))
def test_without_the_c_core(frames):
    with device(vnet=True, bare=False) as (native, far), device(vnet=True, bare=False, native=False) as (plain, there):
        assert native.pass_on(loaded(frames), 0, len(frames), LINK) == 0
        assert plain.pass_on(loaded(frames), 0, len(frames), LINK) == 0
        assert arrived(far) == arrived(there)


def test_frames_that_were_kept_leave_before():
    frame = bytes(Ether(dst=OURS) / IP(src="10.0.0.1", dst="10.9.9.9", ttl=9) / UDP() / Raw(b"x"))
    with device(vnet=False, bare=False) as (one, far):
        Device.pass_on(one, loaded([(frame, 0, 0, 0, 0, 0)]), 0, 1, bytes(12))
        assert one.pass_on(loaded([(frame, 0, 0, 0, 0, 0)]), 0, 1, LINK) == 0
        assert [got[:12] for got in arrived(far)] == [bytes(12), LINK]


def test_what_is_lost_is_counted():
    frame = bytes(Ether(dst=OURS) / IP(src="10.0.0.1", dst="10.9.9.9", ttl=9) / UDP() / Raw(b"x"))
    with device(vnet=False, bare=False) as (one, far):
        count = 0
        while not one.pass_on(loaded([(frame, 0, 0, 0, 0, 0)] * 3), 0, 3, LINK):
            count += 3
            assert count < 10_000
        assert 0 < one.tx_dropped <= 3  # the other end reads nothing
        assert one.tx_errors == 0
        kept = len(arrived(far))
        assert kept == count + 3 - one.tx_dropped


def test_a_super_segment_is_not_passed_on_like_this():
    frame = bytes(Ether(dst=OURS) / IP(src="10.0.0.1", dst="10.9.9.9", ttl=9) / TCP() / Raw(bytes(3000)))
    with device(vnet=True, bare=False) as (one, far):
        burst = loaded([(frame, VNET_NEEDS_CSUM, GSO_TCPV4, 1000, 34, 16)])
        assert one.pass_on(burst, 0, 1, LINK) == 1
        assert (one.tx_errors, arrived(far)) == (1, [])


@pytest.mark.parametrize("native", [True, False])
def test_a_device_that_is_closed(native):
    frame = bytes(Ether(dst=OURS) / IP(src="10.0.0.1", dst="10.9.9.9", ttl=9) / UDP() / Raw(b"x"))
    with device(vnet=False, bare=False, native=native) as (one, _):
        one.close()
        assert one.pass_on(loaded([(frame, 0, 0, 0, 0, 0)]), 0, 1, LINK) == 1
        assert (one.tx_errors, one.tx_dropped) == (1, 0)
