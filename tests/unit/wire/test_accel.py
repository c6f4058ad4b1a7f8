"""The C core against its Python form, and both against scapy and the RFCs."""

import struct

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.utils import checksum as scapy_checksum

from stack.stats import DropReason
from stack.wire import _pure, accel
from stack.wire.burst import (
    KIND_DROP,
    KIND_TCP,
    META,
    ROW_BAD_CSUM,
    ROW_BAD_OPTS,
    ROW_OPTS,
    ROW_PARTIAL,
    ROW_TS,
    Burst,
)
from stack.wire.frame import (
    ETH_HLEN,
    FILL_IP,
    GSO_ECN,
    GSO_NONE,
    GSO_TCPV4,
    GSO_UDP_L4,
    L4_OFF,
    NEEDS_CSUM,
    VNET_NEEDS_CSUM,
    Caps,
    TxFrame,
)
from tests.support.core_frames import OURS, SEEDS, ether, ip, spoiled, vnet
from tests.support.rfc import rfc

native = pytest.importorskip("stack.wire._native")
cores = pytest.mark.parametrize("core", [native, _pure], ids=["c", "pure"])


# --- checksum -------------------------------------------------------------------------------------


@cores
@settings(deadline=None)
@given(data=st.binary(max_size=400), start=st.integers(0, 0xFFFF))
def test_sum_agrees_with_scapy(core, data, start):
    ours = core.partial_sum(data, start)
    assert ~ours & 0xFFFF in {scapy_checksum(struct.pack("!H", start) + data), ~ours & 0xFFFF if not ours else -1}
    assert (ours == 0) == (start == 0 and not any(data))


@given(data=st.binary(max_size=70_000), cut=st.integers(0, 64), start=st.integers(0, 0xFFFF))
@settings(max_examples=50, deadline=None)
@example(b"\xff" * 65_535, 1, 0xFFFF)
@example(b"\0" * 200, 0, 0)
def test_sum_is_the_same_in_c_and_python(data, cut, start):
    view = memoryview(data)[cut:]  # any alignment
    assert native.partial_sum(view, start) == _pure.partial_sum(view, start)


@cores
@rfc("1624", "3", "")
@settings(deadline=None)
@given(data=st.binary(min_size=20, max_size=20), new=st.integers(0, 0xFFFF))
def test_incremental_update_equals_recomputing(core, data, new):
    old = struct.unpack_from("!H", data, 8)[0]
    changed = data[:8] + struct.pack("!H", new) + data[10:]
    updated = core.update_checksum(~core.partial_sum(data) & 0xFFFF, old, new)
    fresh = ~core.partial_sum(changed) & 0xFFFF
    # Both zeros of one's complement are right; eqn. 3 gives the one that recomputing gives, save for all zeros.
    assert updated == fresh or not any(changed) or not any(data)


# --- parse ----------------------------------------------------------------------------------------


def load(core, frames, pool_bytes=1 << 17):
    """What `core` makes of `frames`: rows, meta and pool."""
    burst = Burst(pool_bytes)
    at = 0
    for index, (data, *offload) in enumerate(frames):
        burst.pool[at : at + len(data)] = data
        META.pack_into(burst.meta, index * META.size, at, len(data), 0, 0, *offload, 1)
        at += -(-len(data) // 64) * 64
    core.parse_burst(burst, OURS, len(frames))
    return bytes(burst.rows), bytes(burst.meta), burst.pool[:at]


def parse(frame, offload=(0, 0, 0, 0, 0)):
    burst = Burst(1 << 17)
    assert accel.load_burst(burst, [(frame, *offload)], OURS) == 1
    return dict(
        zip(
            (
                "key",
                "dst",
                "pay_off",
                "pay_len",
                "seq",
                "ack",
                "tsval",
                "tsecr",
                "wnd",
                "flags",
                "kind",
                "tcp_flags",
                "aux",
            ),
            burst.row_at(0),
            strict=True,
        )
    )


@given(frames=st.lists(st.tuples(spoiled(), vnet), min_size=1, max_size=8))
@settings(max_examples=80, deadline=None)
def test_parse_is_the_same_in_c_and_python(frames):
    frames = [(frame, *offload) for frame, offload in frames]
    assert load(native, frames) == load(_pure, frames)


@given(options=st.binary(max_size=40))
@settings(max_examples=80, deadline=None)
@example(bytes.fromhex("0101080a0000000100000002"))
@example(bytes.fromhex("080a000000010000000208"))
@example(b"\x08\x09" + bytes(7))
@rfc("9293", "3.1", "MUST-7")
def test_any_option_bytes_are_survived_alike(options):
    options += bytes(-len(options) % 4)
    tcp = struct.pack("!HHIIBBHHH", 1, 2, 3, 4, (20 + len(options)) // 4 << 4, 16, 5, 0, 0) + options
    frame = ether(ip(proto=6)) + tcp
    frame = frame[:16] + struct.pack("!H", 20 + len(tcp)) + frame[18:24] + b"\0\0" + frame[26:]
    frame = frame[:24] + struct.pack("!H", scapy_checksum(frame[14:34])) + frame[26:]
    assert load(native, [(frame, 0, 0, 0, 0, 0)]) == load(_pure, [(frame, 0, 0, 0, 0, 0)])
    assert parse(frame)["kind"] == KIND_TCP


@pytest.mark.parametrize(
    ("options", "flags", "stamps"),
    [
        ("0101080a0000000b00000016", ROW_TS, (11, 22)),
        ("080a0000000b000000160000", ROW_TS, (11, 22)),
        ("01080a0000000b0000001600", ROW_TS, (11, 22)),
        ("020405b4", ROW_OPTS, (0, 0)),
        ("020405b40402080a0000000b0000001601030307", ROW_TS | ROW_OPTS, (11, 22)),
        ("01010101", 0, (0, 0)),
        ("00080a00", 0, (0, 0)),  # nothing counts after EOL
        ("08000000", ROW_BAD_OPTS, (0, 0)),
        ("08010000", ROW_BAD_OPTS, (0, 0)),
        ("080a0000", ROW_BAD_OPTS, (0, 0)),
        ("01010108", ROW_BAD_OPTS, (0, 0)),  # no length octet
        ("fd040000", ROW_OPTS, (0, 0)),  # unknown: skipped by its length (MUST-6)
        ("0808000000000000", ROW_OPTS, (0, 0)),  # timestamps of another length are no timestamps
    ],
)
@rfc("9293", "3.1", "MUST-6")
def test_tcp_options(options, flags, stamps):
    raw = bytes.fromhex(options)
    frame = bytearray(ether(ip() / TCP(dataofs=5 + len(raw) // 4) / raw))
    row = parse(bytes(frame))
    assert row["flags"] == flags
    assert (row["tsval"], row["tsecr"]) == stamps
    assert row["pay_len"] == 0


@rfc("1122", "3.2.1", "IP-1")
def test_header_lies_are_dropped_with_their_reason():
    good = bytearray(ether(ip() / TCP(flags="A") / b"data"))

    def spoil(at, value, fix=True):
        frame = bytearray(good)
        frame[at] = value
        if fix:
            frame[24:26] = b"\0\0"
            frame[24:26] = struct.pack("!H", scapy_checksum(bytes(frame[14:34])))
        row = parse(bytes(frame))
        return (row["kind"], row["aux"])

    assert parse(bytes(good))["kind"] == KIND_TCP
    assert spoil(14, 0x65) == (KIND_DROP, DropReason.IP_VERSION)
    assert spoil(14, 0x44) == (KIND_DROP, DropReason.IP_HEADER_LENGTH)
    assert spoil(14, 0x4F) == (KIND_DROP, DropReason.IP_HEADER_LENGTH)
    assert spoil(17, 19) == (KIND_DROP, DropReason.IP_TOTAL_LENGTH)
    assert spoil(17, 45) == (KIND_DROP, DropReason.IP_TOTAL_LENGTH)
    assert spoil(22, 63, fix=False) == (KIND_DROP, DropReason.IP_CHECKSUM)
    assert spoil(17, 39) == (KIND_DROP, DropReason.TCP_SHORT)
    assert spoil(46, 0x40) == (KIND_DROP, DropReason.TCP_OFFSET)
    assert spoil(46, 0x70) == (KIND_DROP, DropReason.TCP_OFFSET)


def test_padding_is_not_payload():
    assert parse(ether(ip() / TCP(flags="A")) + bytes(6))["pay_len"] == 0
    assert parse(ether(ip() / UDP() / b"x") + bytes(17))["pay_len"] == 1


@pytest.mark.parametrize("layer", [TCP(), UDP()])
def test_bad_checksum_is_flagged_unless_the_device_vouches(layer):
    frame = bytearray(ether(ip() / layer / b"data"))
    assert parse(bytes(frame))["flags"] & (ROW_BAD_CSUM | ROW_PARTIAL) == 0
    frame[-1] ^= 1
    assert parse(bytes(frame))["flags"] & ROW_BAD_CSUM
    assert parse(bytes(frame), (2, 0, 0, 0, 0))["flags"] & (ROW_BAD_CSUM | ROW_PARTIAL) == 0
    assert parse(bytes(frame), (1, 0, 0, 34, 6))["flags"] & (ROW_BAD_CSUM | ROW_PARTIAL) == ROW_PARTIAL


def test_load_burst_stops_when_full():
    burst = Burst(4096, max_frames=3)
    assert accel.load_burst(burst, [(SEEDS[0], 0, 0, 0, 0, 0)] * 5, OURS) == burst.count == 3
    small = Burst(0)
    assert accel.load_burst(small, [(bytes(40_000), 0, 0, 0, 0, 0)] * 5, OURS) == 1


# --- finish ---------------------------------------------------------------------------------------

CAPS = [
    Caps(),
    Caps(csum=True),
    Caps(csum=True, tso4=True, max_gso=65_000),
    Caps(csum=True, uso=True, max_gso=3000),
    Caps(csum=True, tso4=True, uso=True, max_gso=65_535),
]


def tx_frame(layer, payload, *, gso_type=GSO_NONE, gso_size=0, before=b"**"):
    """What the IP layer hands to a device: header parts of `layer`, payload in a larger buffer."""
    frame = TxFrame()
    head = ether(ip(id=0xFFFE, flags="DF", chksum=0, len=0) / layer)
    frame.start = L4_OFF - 34
    frame.header_end = frame.start + len(head)
    frame.header[frame.start : frame.header_end] = head
    frame.payload = before + payload + b"behind"
    frame.payload_off = len(before)
    frame.payload_len = len(payload)
    frame.flags = NEEDS_CSUM | FILL_IP
    frame.gso_type = gso_type
    frame.gso_size = gso_size
    frame.csum_start = 34
    frame.csum_offset = 16 if isinstance(layer, TCP) else 6
    return frame


def on_core(core, call):
    before = accel._core
    accel._core = core
    try:
        return call()
    finally:
        accel._core = before


def assert_wire_ok(raw):
    """`raw` is a finished frame: scapy, computing lengths and checksums itself, makes the same bytes."""
    data, *offload = raw
    assert offload == [0, 0, 0, 0, 0]
    packet = Ether(data)
    again = packet.copy()
    del again[IP].len, again[IP].chksum, again[IP].payload.chksum
    if UDP in again:
        del again[UDP].len
    assert bytes(again) == data
    return packet


tcp_layers = st.builds(
    lambda flags, seq, options: TCP(sport=80, dport=4000, seq=seq, ack=9, flags=flags, options=options),
    st.sampled_from(["A", "PA", "FPA", "PAC", "PAEC", "S"]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([[], [("NOP", 0), ("NOP", 0), ("Timestamp", (1, 2))]]),
)


@given(
    layer=tcp_layers,
    size=st.integers(0, 9000),
    mss=st.integers(20, 3000),
    gso=st.booleans(),
    caps=st.sampled_from(CAPS),
    kind=st.sampled_from([bytes, bytearray, memoryview]),
)
@settings(max_examples=80, deadline=None)
def test_finish_tcp_is_the_same_in_c_and_python(layer, size, mss, gso, caps, kind):
    payload = bytes(i * 7 & 0xFF for i in range(size))
    results = []
    for core in (native, _pure):
        frame = tx_frame(layer, payload, gso_type=GSO_TCPV4 if gso else GSO_NONE, gso_size=mss if gso else 0)
        frame.payload = kind(frame.payload)
        results.append((on_core(core, lambda frame=frame: accel.finish(frame, caps)), bytes(frame.header)))
    assert results[0] == results[1]
    assert results[0][0]


@given(layer=tcp_layers, size=st.integers(1, 9000), mss=st.integers(100, 3000), caps=st.sampled_from(CAPS))
@settings(max_examples=80, deadline=None)
def test_segments_are_those_of_the_super_segment(layer, size, mss, caps):
    payload = bytes(i * 11 & 0xFF for i in range(size))
    frame = tx_frame(layer, payload, gso_type=GSO_TCPV4, gso_size=mss)
    packets = [assert_wire_ok(raw) for middle in accel.finish(frame, caps) for raw in accel.finish_raw(middle, Caps())]
    texts = [bytes(p[TCP].payload) for p in packets]
    assert b"".join(texts) == payload
    assert all(len(text) == mss for text in texts[:-1])
    assert [p[TCP].seq for p in packets] == [(layer.seq + i * mss) % 2**32 for i in range(len(packets))]
    assert [p[IP].id for p in packets] == [(0xFFFE + i) & 0xFFFF for i in range(len(packets))]
    assert all(not p[TCP].flags.P and not p[TCP].flags.F for p in packets[:-1])
    assert (packets[-1][TCP].flags.P, packets[-1][TCP].flags.F) == (layer.flags.P, layer.flags.F)
    assert [bool(p[TCP].flags.C) for p in packets] == [bool(layer.flags.C)] + [False] * (len(packets) - 1)


@given(size=st.integers(0, 9000), cut=st.integers(60, 3000), caps=st.sampled_from(CAPS), gso=st.booleans())
@settings(max_examples=80, deadline=None)
def test_finish_udp(size, cut, caps, gso):
    payload = bytes(i * 13 & 0xFF for i in range(size))

    def frame():
        return tx_frame(
            UDP(sport=1, dport=2, len=8 + size),
            payload,
            gso_type=GSO_UDP_L4 if gso else GSO_NONE,
            gso_size=cut if gso else 0,
        )

    first, second = (on_core(core, lambda: accel.finish(frame(), caps)) for core in (native, _pure))
    assert first == second
    packets = [assert_wire_ok(raw) for middle in first for raw in accel.finish_raw(middle, Caps())]
    assert b"".join(bytes(p[UDP].payload) for p in packets) == payload
    assert len(packets) == (max(1, -(-size // cut)) if gso else 1)


def test_a_device_with_offloads_gets_the_super_segment_whole():
    caps = CAPS[-1]
    frame = tx_frame(TCP(flags="PAC"), bytes(5000), gso_type=GSO_TCPV4, gso_size=1460)
    ((data, flags, gso_type, gso_size, csum_start, csum_offset),) = accel.finish(frame, caps)
    assert (flags, gso_type, gso_size, csum_start, csum_offset) == (VNET_NEEDS_CSUM, GSO_TCPV4 | GSO_ECN, 1460, 34, 16)
    assert len(data) == 54 + 5000
    # The field holds the folded pseudo-header sum, not inverted (Linux virtio_net_hdr).
    pseudo = data[26:34] + struct.pack("!HH", 6, 5020)
    assert struct.unpack_from("!H", data, 50)[0] == ~scapy_checksum(pseudo) & 0xFFFF


@rfc("768", "", "UDP-2")
@cores
def test_udp_checksum_is_never_sent_as_zero(core):
    def checksum_of(text):
        frame = tx_frame(UDP(sport=1, dport=2, len=10), text)
        ((data, *_),) = on_core(core, lambda: accel.finish(frame, Caps()))
        return data[40:42]

    # Adding the checksum of (…, 0) as data makes the sum all ones, and its complement zero.
    assert checksum_of(checksum_of(b"\0\0")) == b"\xff\xff"


@given(frame=spoiled(), offload=vnet, caps=st.sampled_from(CAPS))
@settings(max_examples=80, deadline=None)
def test_finish_raw_survives_anything_alike(frame, offload, caps):
    raw = (frame, *offload)
    first, second = (on_core(core, lambda: accel.finish_raw(raw, caps)) for core in (native, _pure))
    assert first == second


def test_parts_beyond_their_buffers_are_refused():
    frame = tx_frame(TCP(), b"text")
    frame.payload_len = 5000
    for core in (native, _pure):
        assert on_core(core, lambda: accel.finish(frame, Caps())) == []
    frame = tx_frame(TCP(), b"text")
    frame.csum_offset = 4000
    for core in (native, _pure):
        assert on_core(core, lambda: accel.finish(frame, Caps())) == []
    assert len(ether(ip())) == ETH_HLEN + 20
