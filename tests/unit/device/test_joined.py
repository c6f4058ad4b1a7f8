"""Datagrams of one flow that wait in the queue leave as one super-datagram: cut again, they are what was sent."""

import contextlib
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from stack.device.vnet import NATIVE, VnetDevice
from stack.ip.output import PREFIX_LEN, START
from stack.wire import accel, ipv4, udp
from stack.wire.ethernet import TYPE_IPV4, pack_header
from stack.wire.frame import FILL_IP, GSO_UDP_L4, L4_OFF, NEEDS_CSUM, VNET_NEEDS_CSUM, Caps, TxFrame

OURS, THEIRS = bytes.fromhex("020000000001"), bytes.fromhex("020000000002")
VNET = struct.Struct("<BBHHHH")
JOINED = 16  # MAX_JOINED of native/io.c
FULL = {"csum": True, "tso4": True, "uso": True, "max_gso": 65_535 - 120}


@contextlib.contextmanager
def device(*, bare=False, native=True, kind=socket.SOCK_SEQPACKET, **caps):
    """A device whose other end is a socket."""
    near, far = socket.socketpair(socket.AF_UNIX, kind)
    near.setblocking(False)
    far.setblocking(False)
    with contextlib.closing(near), contextlib.closing(far):
        caps = Caps(**{**FULL, **caps}, bare_ip=bare)
        yield VnetDevice("x", OURS, 1500, caps, near.fileno(), near, vnet=True, native=native), far


def send(one, data, port=9, *, flags=ipv4.DF, tos=0, ident=0):
    frame = TxFrame()
    head = pack_header(THEIRS, OURS, TYPE_IPV4) + ipv4.pack(
        total=0, proto=ipv4.PROTO_UDP, src=0x0A000001, dst=0x0A000002, flags_offset=flags, ttl=64, tos=tos, ident=ident
    )
    frame.header[START:L4_OFF] = head
    udp.HEADER.pack_into(frame.header, L4_OFF, 7, port, len(data) + 8, 0)
    frame.start, frame.header_end = START, L4_OFF + 8
    frame.payload, frame.payload_len = data, len(data)
    frame.flags, frame.csum_start, frame.csum_offset = FILL_IP | NEEDS_CSUM, PREFIX_LEN, 6
    return one.send(frame)


def arrived(far):
    found = []
    with contextlib.suppress(BlockingIOError):
        while True:
            found.append(far.recv(70_000))
    return found


def datagrams(message, *, bare=False):
    """What a kernel makes of one message: a list of (destination port, TOS, data), after its own checks."""
    flags, gso, head, size, start, offset = VNET.unpack_from(message)
    link = 0 if bare else 14
    assert (flags, start, offset) == (VNET_NEEDS_CSUM, link + 20, 6)
    packet = IP(message[10:]) if bare else Ether(message[10:])[IP]
    octets = message[10 + link :]
    assert accel.checksum(octets[:20]) == 0
    assert packet.len == len(octets)
    assert packet[UDP].len == len(octets) - 20
    pseudo = octets[12:20] + struct.pack(">HH", 17, packet[UDP].len)
    assert packet[UDP].chksum == accel.partial_sum(pseudo)
    data = octets[28:]
    if not gso:
        return [(packet.dport, packet.tos, data)]
    assert gso == GSO_UDP_L4
    assert head == link + 28
    assert size < len(data) <= size * JOINED
    return [(packet.dport, packet.tos, data[at : at + size]) for at in range(0, len(data), size)]


SENT = st.lists(
    st.tuples(st.sampled_from([9, 10]), st.sampled_from([0, 8]), st.sampled_from([0, 1, 2, 3, 100, 1472])), max_size=60
)


def test_the_c_core_is_what_is_tested():
    assert NATIVE


@given(SENT, st.booleans())
def test_cut_again_they_are_what_was_sent(sent, bare):
    sent = [(port, tos, bytes((index & 255,)) * size) for index, (port, tos, size) in enumerate(sent)]
    with device(bare=bare) as (one, far):
        got = []
        for port, tos, data in sent:
            assert send(one, data, port, tos=tos)
            if len(got) % 7 == 6:
                got += [each for message in arrived(far) for each in datagrams(message, bare=bare)]
        assert one.flush() == 0
        got += [each for message in arrived(far) for each in datagrams(message, bare=bare)]
    assert got == sent


def test_those_of_one_flow_and_size_are_joined_and_a_shorter_one_is_the_last():
    with device() as (one, far):
        for size in (100, 100, 60, 100, 101):
            send(one, bytes(size))
        one.flush()
        assert [[len(each[2]) for each in datagrams(message)] for message in arrived(far)] == [
            [100, 100, 60],
            [100],
            [101],
        ]


def test_a_full_one_leaves_at_once():
    with device() as (one, far):
        for count in range(1, 2 * JOINED + 2):
            send(one, b"x")
            assert len(arrived(far)) == (count % JOINED == 0)
        one.flush()
        assert len(arrived(far)) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"flags": 0},  # it may be fragmented on its way, and has an identification of its own
        {"ident": 5},
        {"tos": 4},
        {"port": 10},
    ],
)
def test_what_differs_is_sent_by_itself(other):
    with device() as (one, far):
        send(one, b"1")
        send(one, b"2", **other)
        send(one, b"3", **other)
        one.flush()
        count = 3 if other.get("flags") == 0 else 2
        assert len(arrived(far)) == count


@pytest.mark.parametrize("caps", [{"uso": False}, {"native": False}])
def test_a_device_without_super_datagrams_has_them_one_by_one(caps):
    with device(**caps) as (one, far):
        for _ in range(5):
            send(one, b"x")
        one.flush()
        assert [len(datagrams(message)) for message in arrived(far)] == [1] * 5


def test_what_was_queued_before_leaves_before():
    ping = bytes(Ether(dst=THEIRS, src=OURS) / IP(src="10.0.0.1", dst="10.0.0.2") / Raw(b"ping"))
    with device() as (one, far):
        send(one, b"1")
        frame = TxFrame()
        frame.header[: len(ping)] = ping
        frame.start, frame.header_end = 0, len(ping)
        assert one.send(frame)
        send(one, b"2")
        one.flush()
        first, between, last = arrived(far)
        assert (datagrams(first)[0][2], between[10:], datagrams(last)[0][2]) == (b"1", ping, b"2")


def test_each_datagram_that_is_lost_is_counted():
    with device(kind=socket.SOCK_DGRAM) as (one, far):
        sent = 0
        while not one.tx_dropped:
            for _ in range(20):
                send(one, b"x" * 50)
            sent += 20
            one.flush()
            assert sent < 100_000
        got = sum(len(datagrams(message)) for message in arrived(far))
        assert one.tx_errors == 0
        assert got + one.tx_dropped == sent
