"""Messages on byte streams."""

import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.rpc.record import LAST, MAX_EMPTY, MAX_FRAGMENT, MAX_RECORD, RecordFault, RecordReader, frame, mark_of
from tests.support.rfc import rfc


def fragment(data: bytes, *, last: bool = False) -> bytes:
    return (len(data) | (LAST if last else 0)).to_bytes(4, "big") + data


def test_a_message_is_one_fragment():
    assert b"".join(frame(b"head", b"", b"rest")) == b"\x80\0\0\x08headrest"
    assert mark_of(0x1234) == b"\x80\0\x12\x34"
    with pytest.raises(ValueError, match="2147483647"):
        mark_of(MAX_FRAGMENT + 1)


def test_the_usual_record_is_cut_out():
    reader = RecordReader()
    assert reader.feed(fragment(b"message", last=True)) == [b"message"]
    assert reader.is_between


@rfc("5531", "11", "R-MSG-MARK")
@given(
    st.lists(st.lists(st.binary(max_size=30), min_size=1, max_size=5), max_size=6),
    st.lists(st.integers(0, 40), max_size=60),
)
def test_fragments_come_together_however_the_stream_is_cut(records, cuts):
    stream = b"".join(
        b"".join(fragment(part) for part in parts[:-1]) + fragment(parts[-1], last=True) for parts in records
    )
    if sum(not part for parts in records for part in parts) > MAX_EMPTY:
        return
    reader, found, at = RecordReader(), [], 0
    for cut in [*cuts, len(stream)]:
        found += reader.feed(stream[at : at + cut])
        at += cut
    assert found == [b"".join(parts) for parts in records if any(parts)]
    assert reader.fault is None
    assert reader.is_between
    assert reader.waiting == 0


def test_fragments_of_one_octet_in_chunks_of_one_octet():
    reader, found = RecordReader(), []
    stream = b"".join(fragment(bytes([octet])) for octet in b"hell") + fragment(b"o", last=True)
    for octet in stream:
        assert reader.is_between is (not found and octet == stream[0] and reader.waiting == 0)
        found += reader.feed(bytes([octet]))
    assert found == [b"hello"]


def test_pipelined_calls_in_one_chunk():
    reader = RecordReader()
    stream = b"".join(fragment(bytes([number]) * number, last=True) for number in range(1, 9))
    assert reader.feed(stream + b"\x80\0") == [bytes([number]) * number for number in range(1, 9)]
    assert reader.waiting == 2


def test_what_is_announced_takes_no_memory():
    reader = RecordReader()
    tracemalloc.start()
    try:
        reader.feed(fragment(b"")[:0] + (LAST | MAX_RECORD).to_bytes(4, "big") + b"x" * 100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4096
    assert reader.waiting == 100


@pytest.mark.parametrize("mark", [MAX_FRAGMENT, LAST | MAX_FRAGMENT, MAX_RECORD + 1, LAST | MAX_RECORD + 1])
def test_a_record_over_the_limit_is_refused_by_its_mark(mark):
    reader = RecordReader()
    assert reader.feed(fragment(b"before", last=True) + mark.to_bytes(4, "big") + b"some of it") == [b"before"]
    assert reader.fault is RecordFault.TOO_LARGE
    assert reader.waiting == 0
    assert reader.feed(fragment(b"after", last=True)) == []


def test_the_limit_holds_for_all_fragments_together():
    reader = RecordReader(max_record=10)
    assert reader.feed(fragment(bytes(6)) + fragment(bytes(4), last=True)) == [bytes(10)]
    assert reader.feed(fragment(bytes(6)) + fragment(bytes(5), last=True)) == []
    assert reader.fault is RecordFault.TOO_LARGE
    whole = RecordReader(max_record=10)
    assert whole.feed(fragment(bytes(11), last=True)) == []
    assert whole.fault is RecordFault.TOO_LARGE


@pytest.mark.parametrize("last", [False, True])
def test_some_empty_fragments_are_passed_over_and_more_are_not(last):
    reader = RecordReader()
    for _ in range(3):
        assert reader.feed(fragment(b"", last=last) * MAX_EMPTY + fragment(b"message", last=True)) == [b"message"]
    assert reader.fault is None
    assert reader.feed(fragment(b"", last=last) * (MAX_EMPTY + 1) + fragment(b"message", last=True)) == []
    assert reader.fault is RecordFault.EMPTY_FRAGMENTS


def test_an_empty_fragment_can_be_the_last():
    reader = RecordReader()
    assert reader.feed(fragment(b"message") + fragment(b"", last=True)) == [b"message"]


def test_a_long_record_in_small_fragments_takes_time_by_its_length():
    """A megabyte in 340 000 fragments: were each a copy of what there is, this would take minutes."""
    reader = RecordReader()
    stream = fragment(b"abc") * 340_000 + fragment(b"", last=True)
    found = []
    for at in range(0, len(stream), 65_536):
        found += reader.feed(stream[at : at + 65_536])
    assert found == [b"abc" * 340_000]


def test_damaged_streams_give_bounded_records_and_stop_at_most_once():
    """Marks with bits flipped, octets lost and doubled, in chunks of any size."""
    rng, faults, found = random.Random(4), set(), 0
    good = b"".join(fragment(rng.randbytes(size % 50), last=bool(size % 3)) for size in range(40))
    for _ in range(2_000):
        stream = bytearray(good)
        for _ in range(rng.choice((1, 1, 3))):
            at = rng.randrange(len(stream))
            how = rng.randrange(3)
            if how == 0:
                stream[at] ^= 1 << rng.randrange(8)
            elif how == 1:
                del stream[at : at + rng.randrange(1, 6)]
            else:
                stream[at:at] = bytes(rng.randrange(1, 90))
        reader, at = RecordReader(max_record=200), 0
        while at < len(stream):
            step = rng.choice((1, 3, 4, 50, 1000))
            messages = reader.feed(bytes(stream[at : at + step]))
            at += step
            found += len(messages)
            assert all(0 < len(message) <= 200 for message in messages)
            assert reader.waiting <= 200 + 3
        faults.add(reader.fault)
    assert faults == {None, *RecordFault}
    assert found > 10_000
