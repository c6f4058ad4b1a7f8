"""Damaged and hostile values: refused for a reason or decoded, in bounded time and memory.  More by `make fuzz`."""

import contextlib
import inspect
import struct
import sys
from pathlib import Path

import pytest

from stack.rpc import Limits, XdrError, XdrReason
from tests.support.rpc_fuzz import (
    ITEMS_A_STEP,
    LIMITS,
    MEMORY,
    MEMORY_AN_OCTET,
    STEPS,
    STEPS_AN_OCTET,
    Fuzz,
    files,
    fuzz_text,
    memory_of,
    steps_of,
)
from tests.support.rpc_values import Corpus

HOSTILE = """
struct nothing { };
struct node { int value; node *next; };
struct tree { tree *left; int value; tree *right; };
union chain switch (int more) { case 1: link rest; default: void; };
struct link { chain next; };
struct point { int x; int y; };
typedef opaque data<>;
typedef string text<>;
typedef int numbers<>;
typedef bool flags<>;
typedef point points<>;
typedef text texts<>;
typedef nothing nothings<>;
typedef nothings many<>;
typedef numbers rows<>;
typedef tree trees<>;
struct single { int value; };
typedef single singles<>;
struct pair { single a; single b; };
typedef pair pairs<>;
"""
CLAIM = b"\xff\xff\xff\xff"


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    path = tmp_path_factory.mktemp("x") / "hostile.x"
    path.write_text(HOSTILE)
    return Corpus(path)


@pytest.mark.parametrize("path", files(), ids=lambda path: path.stem)
def test_damage_is_refused_with_a_reason_or_does_none(path):
    fuzz = Fuzz(path, every=5)
    fuzz.run(200)
    assert fuzz.tried == 200 * len(fuzz.corpus.types()) > 0
    assert fuzz.reasons[""] > fuzz.tried / 10
    assert fuzz.reasons["SHORT"] > fuzz.tried / 20
    assert not fuzz.reasons["VALUE"]


def test_damage_to_types_that_are_costly(hostile):
    fuzz = Fuzz(hostile.path)
    fuzz.run(300)
    assert {"", "SHORT", "ITEMS", "DEPTH", "BAD_BOOL"} <= set(fuzz.reasons)


@pytest.mark.parametrize("path", files()[:6], ids=lambda path: path.stem)
def test_damaged_interface_files_are_refused_or_compiled(path):
    refused, made = fuzz_text(path, 60)
    assert refused > 5
    assert made > 0


@pytest.mark.parametrize(
    "name", ["data", "text", "numbers", "flags", "points", "texts", "nothings", "many", "rows", "trees"]
)
@pytest.mark.parametrize("behind", [b"", bytes(40_000)], ids=["nothing behind", "40 kB behind"])
def test_a_claimed_length_costs_nothing(hostile, name, behind):
    codec = getattr(hostile.module, f"xdr_{name}")
    data, reasons = CLAIM + behind, []

    def decode():
        try:
            codec.decode(data)
        except XdrError as error:
            reasons.append(error.reason)

    assert memory_of(decode) < MEMORY
    assert steps_of(decode) < STEPS
    assert set(reasons) <= {XdrReason.SHORT, XdrReason.ITEMS}
    assert len(reasons) == 2


COSTLY = {
    "nodes": ("node", lambda: struct.pack(">iI", 1000, 1) * 5_000 + bytes(8)),
    "nodes without an end": ("node", lambda: struct.pack(">iI", 1000, 1) * 5_000),
    "a chain of unions": ("link", lambda: struct.pack(">i", 1) * 5_000 + bytes(4)),
    "a tree that leans left": ("tree", lambda: struct.pack(">I", 1) * 5_000),
    "empty rows": ("rows", lambda: struct.pack(">I", 4_000) + bytes(16_000)),
    "empty texts": ("texts", lambda: struct.pack(">I", 4_000) + bytes(16_000)),
    "lists of nothing": ("many", lambda: struct.pack(">I", 4_000) + struct.pack(">I", 30) * 4_000),
    "numbers": ("numbers", lambda: struct.pack(">I", 4_000) + b"\x7f" * 16_000),
    "points": ("points", lambda: struct.pack(">I", 4_000) + b"\x7f" * 32_000),
}


@pytest.mark.parametrize("title", COSTLY)
def test_no_value_costs_more_steps_than_its_length_and_the_limits_allow(hostile, title):
    name, make = COSTLY[title]
    codec, data = getattr(hostile.module, f"xdr_{name}"), make()

    def decode(limits):
        with contextlib.suppress(XdrError):
            codec.decode(data, limits)

    assert steps_of(lambda: decode(LIMITS)) < STEPS + STEPS_AN_OCTET * len(data) + LIMITS.max_items // ITEMS_A_STEP
    assert memory_of(lambda: decode(LIMITS)) < MEMORY + MEMORY_AN_OCTET * len(data) + 100 * LIMITS.max_items


LARGEST = {
    "numbers": (12, lambda: struct.pack(">I", 100_000) + b"\x7f" * 400_000),
    "singles": (21, lambda: struct.pack(">I", 100_000) + b"\x7f" * 400_000),
    "pairs": (26, lambda: struct.pack(">I", 100_000) + b"\x7f" * 800_000),
    "rows": (16, lambda: struct.pack(">I", 100_000) + bytes(400_000)),
    "node": (10, lambda: struct.pack(">iI", 1000, 1) * 99_999 + bytes(8)),
    "text": (6, lambda: struct.pack(">I", 1 << 20) + "\U0001f600".encode() + b"a" * ((1 << 20) - 4)),
    "data": (1, lambda: struct.pack(">I", 1 << 20) + bytes(1 << 20)),
}


@pytest.mark.parametrize("name", LARGEST)
def test_the_largest_messages_take_the_memory_that_the_manual_says(hostile, name):
    times, make = LARGEST[name]
    codec, data = getattr(hostile.module, f"xdr_{name}"), make()
    taken = memory_of(lambda: codec.decode(data))
    assert (times - 1) * len(data) < taken < times * len(data) + 2 * MEMORY
    assert taken < 30_000_000


def test_a_caller_deep_in_its_own_stack_gets_the_same_error(hostile):
    """A tree as deep as the limit allows takes some of Python's frames, which may no longer be there."""
    module = hostile.module
    tree = None
    for _ in range(50):
        tree = module.tree(tree, 0, None)
    data = module.xdr_tree.encode(tree)

    def deep(frames, call):
        return deep(frames - 1, call) if frames else call()

    free = sys.getrecursionlimit() - len(inspect.stack(0)) - 60
    for call in (lambda: module.xdr_tree.decode(data), lambda: module.xdr_tree.encode(tree)):
        call()
        with pytest.raises(XdrError, match="stack") as caught:
            deep(free, call)
        assert caught.value.reason is XdrReason.DEPTH


def test_it_is_the_limits_that_bound_the_work(hostile):
    """The control: without them the same octets cost more than is allowed."""
    codec, data = hostile.module.xdr_many, COSTLY["lists of nothing"][1]()
    unlimited = Limits(max_items=1 << 31)
    allowed = MEMORY + MEMORY_AN_OCTET * len(data) + 100 * LIMITS.max_items
    assert memory_of(lambda: codec.decode(data, unlimited)) > 4 * allowed
    data = struct.pack(">iI", 1000, 1) * 20_000 + bytes(8)
    assert memory_of(lambda: hostile.module.xdr_node.decode(data)) > MEMORY + MEMORY_AN_OCTET * len(data)


def test_a_decoder_that_wastes_steps_or_memory_would_be_seen(hostile, monkeypatch):
    """The control of the measurement."""
    fuzz = Fuzz(hostile.path)
    point = next(xtype for xtype in hostile.types() if xtype.name == "point")
    codec = hostile.module.xdr_point
    waste = []

    class Wasteful:
        name = "point"
        encode = codec.encode

        @staticmethod
        def decode(data, limits=LIMITS):
            if waste[-1] == "steps":
                for _ in range(1000):
                    pass
            else:
                bytearray(1 << 20)
            return codec.decode(data, limits)

    monkeypatch.setattr(fuzz.corpus, "codec", lambda _: Wasteful)
    for kind in ("steps", "memory"):
        waste.append(kind)
        with pytest.raises(AssertionError, match=kind):
            fuzz.one(point, bytes(8))
        fuzz.most_steps = 0.0


def test_nothing_else_than_a_value_error_comes_of_noise(hostile):
    fuzz = Fuzz(Path(hostile.path))
    for xtype in fuzz.corpus.types():
        for length in (0, 1, 3, 4, 7, 64, 500):
            fuzz.one(xtype, fuzz.rng.randbytes(length))
    assert fuzz.reasons["SHORT"] > 10
