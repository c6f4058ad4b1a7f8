"""The out-of-order queue against a simple model, its bounds in bytes, runs and work, and what a hostile peer costs."""

import random
import sys
from types import FrameType
from typing import Any

import pytest

from stack.tcp import reassembly
from stack.tcp.memory import UNLIMITED, Budget
from stack.tcp.reassembly import JOIN_BYTES, MAX_PIECES, PIECE_BYTES, RUN_BYTES, Reassembly
from stack.wire.seq import MASK
from tests.support.rfc import rfc

STREAM = random.Random(0).randbytes(1 << 18)


def queue(base: int = 0, *, size: int = 1 << 30, runs: int = 1 << 20) -> Reassembly:
    return Reassembly(size, runs, base, Budget(UNLIMITED))


@pytest.mark.parametrize("base", [0, (1 << 31) - 500, MASK - 700, MASK])
@pytest.mark.parametrize("seed", range(6))
def test_it_holds_what_a_set_of_bytes_would(base: int, seed: int) -> None:
    rng = random.Random(seed)
    ofo = queue(base)
    budget = ofo.budget
    held: set[int] = set()
    nxt = 0  # rcv_nxt, counted from `base`
    for _ in range(600):
        rcv_nxt = (base + nxt) & MASK
        start = nxt + 1 + rng.randrange(rng.choice((20, 3000)))
        length = rng.choice((1, 2, 50, 1448))
        want = set(range(start, start + length))
        known = ofo.overlap(rcv_nxt, (base + start) & MASK, length)
        assert (known is not None) == bool(held & want)
        if known is not None:
            left = (known[0] - base) & MASK
            assert left == min(held & want)
            assert ofo.holds(known[0], known[1])
        added = ofo.insert(rcv_nxt, (base + start) & MASK, STREAM[start : start + length])
        assert added == len(want - held)
        held |= want
        ofo.check_invariants(rcv_nxt)
        first = ofo.blocks(1)[0]
        assert (first[0] - base) & MASK <= start < (first[1] - base) & MASK  # RFC 2018 §4: what came last
        if rng.random() < 0.05:
            # the gap is filled, with more than was missing at times
            nxt = min(held) + rng.choice((0, 0, 1, 1000))
            pieces = ofo.pop_ready((base + nxt) & MASK)
            got = b"".join(pieces)
            assert all(pieces)
            assert got == STREAM[nxt : nxt + len(got)]
            end = nxt
            while end in held:
                end += 1
            assert len(got) == end - nxt
            nxt = end
            held = {i for i in held if i > nxt}
        assert ofo.size == len(held)
        assert budget.used == ofo.cost
    ofo.clear()
    assert budget.used == 0
    assert not budget.prunable


@rfc("2018", "4", "2018-2")
def test_the_blocks_that_changed_last_come_first() -> None:
    ofo = queue()
    for at in (100, 300, 500, 700, 900):
        ofo.insert(0, at, b"x" * 10)
    ofo.insert(0, 310, b"y" * 10)
    assert ofo.blocks(3) == [(300, 320), (900, 910), (700, 710)]
    # 710 to 900 is filled: one run now, and an older one gets its place
    ofo.insert(0, 710, b"z" * 190)
    assert ofo.blocks(4) == [(700, 910), (300, 320), (500, 510), (100, 110)]


def test_small_neighbours_become_one_piece_and_large_ones_stay() -> None:
    ofo = queue()
    order = list(range(1, 5001))
    random.Random(1).shuffle(order)
    for at in order:
        ofo.insert(0, at, STREAM[at : at + 1])
    assert b"".join(ofo.pieces) == STREAM[1:5001]
    assert len(ofo.pieces) <= 2 * 5000 // JOIN_BYTES + 1
    ofo = queue()
    for i in range(10):
        ofo.insert(0, 1 + 1448 * i, bytes(1448))
    assert len(ofo.pieces) == 10


def test_pruning_takes_the_newest_first_and_stops_when_it_is_enough() -> None:
    ofo = queue()
    for at in (1000, 10_000, 20_000):
        for i in range(3):
            ofo.insert(0, at + 1448 * i, bytes(1448))
    used = ofo.budget.used
    freed = ofo.prune(1500)
    assert freed == 1448 + PIECE_BYTES
    assert ofo.budget.used == used - freed
    assert sorted(ofo.blocks(9)) == [(1000, 5344), (10_000, 14_344), (20_000, 22_896)]
    assert ofo.prune(3 * 1448) == 3 * (1448 + PIECE_BYTES) + RUN_BYTES
    assert sorted(ofo.blocks(9)) == [(1000, 5344), (10_000, 12_896)]
    ofo.check_invariants(0)
    assert ofo.insert(0, 11_448, bytes(1448)) == 0
    assert ofo.insert(0, 12_896, bytes(1448)) == 1448


def test_a_bound_refuses_and_changes_nothing() -> None:
    ofo = queue(size=1000, runs=2)
    assert ofo.insert(0, 10, bytes(10)) == 10
    assert ofo.insert(0, 30, bytes(10)) == 10
    assert ofo.insert(0, 50, bytes(10)) == -1
    assert ofo.insert(0, 20, bytes(10)) == 10  # joins the two
    assert ofo.insert(0, 50, bytes(971)) == -1
    assert ofo.insert(0, 50, bytes(970)) == 970
    assert ofo.blocks(4) == [(50, 1020), (10, 40)]
    ofo.check_invariants(0)


def steps(ofo: Reassembly, seq: int, data: bytes) -> int:
    """Lines of Python that an insertion runs (none where the core is compiled: the interpreted run proves it)."""
    count = 0

    def on_line(_frame: FrameType, event: str, _arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return on_line

    def on_call(frame: FrameType, _event: str, _arg: Any) -> Any:
        return on_line if frame.f_code.co_filename == reassembly.__file__ else None

    sys.settrace(on_call)
    try:
        ofo.insert(0, seq, data)
        ofo.overlap(0, seq, len(data))
        ofo.block_around(seq)
        ofo.blocks(4)
    finally:
        sys.settrace(None)
    return count


def with_runs(count: int) -> Reassembly:
    ofo = queue()
    for i in range(count):
        ofo.insert(0, 10 + 100 * i, b"run")
    return ofo


@rfc("4987", "1", "SACK-DOS")
@pytest.mark.parametrize("where", [0, 500, 999])
def test_a_segment_costs_the_same_however_many_runs_there_are(where: int) -> None:
    """The old list walk took a step for each run above the segment."""
    few = steps(with_runs(10), 60 + 100 * (where % 10), b"new")
    many = steps(with_runs(1000), 60 + 100 * where, b"new")
    assert few <= many <= few + 30
    assert many < 150
    # duplicates and overlaps are no dearer
    assert steps(with_runs(1000), 10 + 100 * where, b"run") < 150
    assert steps(with_runs(1000), 11 + 100 * where, b"run") < 150


def test_merging_is_paid_for_by_the_segments_that_made_the_runs() -> None:
    ofo = with_runs(1000)
    total = steps(ofo, 5, bytes(100 * 1000 + 10))
    assert total < 1000 * 40
    assert len(ofo.starts) == 1
    # the next one is cheap again
    assert steps(ofo, 200_000, b"new") < 150


def test_pieces_are_bounded() -> None:
    ofo = queue()
    for i in range(MAX_PIECES):
        assert ofo.insert(0, 10 + 3 * i, b"x") == 1
    assert ofo.insert(0, 10 + 3 * MAX_PIECES, b"x") == -1
