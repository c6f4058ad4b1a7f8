"""Merging of TCP rows: C and Python alike, nothing lost, no duplicate ACK swallowed."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import TCP

from stack.wire import _pure, accel
from stack.wire.burst import META, ROW, ROW_GSO, ROW_PARTIAL, Burst
from stack.wire.frame import GSO_TCPV4, VNET_NEEDS_CSUM, Caps
from tests.support.core_frames import OURS, SEEDS, ether, ip, spoiled, vnet

native = pytest.importorskip("stack.wire._native")
cores = pytest.mark.parametrize("core", [native, _pure], ids=["c", "pure"])


UNSUMMED = VNET_NEEDS_CSUM, 0, 0, 34, 16  # as the kernel hands over what was sent on this machine


def merged(core, frames):
    burst = Burst(1 << 18)
    accel.load_burst(burst, [frame if isinstance(frame, tuple) else (frame, 0, 0, 0, 0, 0) for frame in frames], OURS)
    assert core.merge_burst(burst) == burst.count
    return burst


def state(burst):
    return (
        burst.count,
        bytes(burst.rows[: burst.count * ROW.size]),
        bytes(burst.meta[: burst.count * META.size]),
        burst.pool[:],
    )


def segment(seq=0, size=100, ack=1, flags="A", *, port=1000, tos=0, ident=1, **fields):
    text = bytes((seq + i) & 0xFF for i in range(size))
    options = fields.pop("options", [("NOP", 0), ("NOP", 0), ("Timestamp", (7, 8))])
    return ether(
        ip(tos=tos, id=ident, flags="DF")
        / TCP(sport=port, dport=80, seq=seq, ack=ack, flags=flags, options=options, **fields)
        / text
    )


steps = st.builds(
    segment,
    seq=st.sampled_from([0, 100, 200, 300, 2**32 - 100]),
    size=st.sampled_from([0, 0, 40, 100, 100, 100]),
    ack=st.sampled_from([1, 1, 50, 60, 2**32 - 5]),
    flags=st.sampled_from(["A", "A", "A", "PA", "FA", "EA"]),
    port=st.sampled_from([1000, 1000, 1000, 1001]),
    tos=st.sampled_from([0, 0, 0, 3]),
    options=st.sampled_from([[("NOP", 0), ("NOP", 0), ("Timestamp", (7, 8))]] * 3 + [[], [("SAck", (1, 2))]]),
)


@given(frames=st.lists(st.one_of(steps, st.sampled_from(SEEDS), spoiled()), max_size=12), offload=vnet)
@settings(max_examples=80, deadline=None)
def test_merging_is_the_same_in_c_and_python(frames, offload):
    raws = [(frame, 0, 0, 0, 0, 0) for frame in frames] + [(frame, *offload) for frame in frames]
    raws += [(frame, *UNSUMMED) for frame in frames]
    assert state(merged(native, raws)) == state(merged(_pure, raws))


@cores
def test_data_in_order_becomes_one_row_and_can_be_cut_again(core):
    frames = [segment(seq=i * 100, flags="PA" if i == 9 else "A", ident=1 + i) for i in range(10)] + [segment(1000, 60)]
    burst = merged(core, frames)
    assert burst.count == 2
    row, meta = burst.row_at(0), burst.meta_at(0)
    assert row[3] == 1000
    assert row[9] & (ROW_GSO | ROW_PARTIAL) == ROW_GSO | ROW_PARTIAL
    assert burst.pool[row[2] : row[2] + row[3]] == bytes(i & 0xFF for i in range(1000))
    assert meta[9] == 10
    raw = (burst.frame(0), *meta[4:9])
    assert [cut[0] for cut in accel.finish_raw(raw, Caps())] == frames[:10]


@cores
def test_segments_without_checksums_are_merged_with_their_like_only(core):
    """Frames of the MTU that came through a bridge, from a kernel that left the checksum to us."""
    frames = [segment(seq=i * 100, ident=1 + i) for i in range(3)]
    unsummed = [(frame, *UNSUMMED) for frame in frames]
    burst = merged(core, unsummed)
    assert burst.count == 1
    row, meta = burst.row_at(0), burst.meta_at(0)
    assert (row[3], meta[9]) == (300, 3)
    raw = (burst.frame(0), *meta[4:9])
    assert [cut[0] for cut in accel.finish_raw(raw, Caps())] == frames
    assert merged(core, [unsummed[0], frames[1]]).count == 2
    assert merged(core, [frames[0], unsummed[1]]).count == 2


@cores
def test_a_super_segment_of_the_kernel_is_whole_already(core):
    whole = segment(0, 300), VNET_NEEDS_CSUM, GSO_TCPV4, 100, 34, 16
    following = segment(300, 100), *UNSUMMED
    assert merged(core, [whole, following]).count == 2
    assert merged(core, [following, (segment(400, 300), *whole[1:])]).count == 2


@cores
@pytest.mark.parametrize(
    "second",
    [
        segment(100, ack=2),
        segment(100, window=9),
        segment(200),
        segment(50),
        segment(100, 101),
        segment(100, flags="FA"),
        segment(100, flags="UA"),
        segment(100, flags="CA"),
        segment(100, tos=3),
        segment(100, port=1001),
        segment(100, options=[]),
        segment(100, options=[("NOP", 0), ("NOP", 0), ("Timestamp", (8, 8))]),
        segment(100, options=[("SAck", (5, 9)), ("NOP", 0), ("NOP", 0)]),
        segment(100, 0),
        segment(100)[:-1] + b"?",
    ],
    ids=range(15),
)
def test_what_does_not_continue_stays_apart(core, second):
    assert merged(core, [segment(), segment(100)]).count == 1
    assert merged(core, [segment(), second]).count == 2


@cores
def test_psh_and_a_short_segment_end_a_merge(core):
    assert merged(core, [segment(flags="PA"), segment(100)]).count == 2
    assert merged(core, [segment(), segment(100, 50), segment(150, 50)]).count == 2
    assert merged(core, [segment(), segment(100, flags="PA"), segment(200)]).count == 2


@cores
def test_a_merged_datagram_stays_an_ip_datagram(core):
    count = 65_535 // 1400 + 3
    burst = merged(core, [segment(i * 1400, 1400) for i in range(count)])
    lengths = [burst.row_at(i)[3] for i in range(burst.count)]
    assert len(lengths) == 2
    assert sum(lengths) == count * 1400
    assert max(lengths) + 52 <= 65_535


def sender(snd_una, acks):
    """What a sender counts: every duplicate ACK, and where it stands in the end (RFC 5681 §2)."""
    seen, run = [], 0
    for ack in acks:
        if ack > snd_una:
            snd_una, run = ack, 0
        elif ack == snd_una:
            seen.append(ack)
            run += 1
    return seen, (snd_una, run)


def thinned(acks):
    burst = merged(native, [segment(0, 0, ack=ack) for ack in acks])
    assert sum(burst.meta_at(i)[9] for i in range(burst.count)) == len(acks)
    return [burst.row_at(i)[5] for i in range(burst.count)]


@given(acks=st.lists(st.integers(0, 8), min_size=1, max_size=20), una=st.integers(0, 8))
@settings(max_examples=40, deadline=None)
def test_no_duplicate_ack_is_swallowed(acks, una):
    assert sender(una, thinned(acks))[1] == sender(una, acks)[1]  # reordered ACKs: the same end
    acks = sorted(ack for ack in acks if ack >= una) or [una]
    assert sender(una, thinned(acks)) == sender(una, acks)


def test_rising_acks_without_checksums_are_thinned_out():
    frames = [(segment(0, 0, ack=ack), *UNSUMMED) for ack in range(20)]
    burst = merged(native, frames)
    assert [burst.row_at(i)[5] for i in range(burst.count)] == [0, 19]


def test_rising_acks_are_thinned_out():
    assert thinned(range(20)) == [0, 19]
    assert thinned([5, 5, 6, 7, 8, 8]) == [5, 5, 8, 8]
