"""Values of every kind through generated code: to the octets that RFC 4506 wants, and back."""

import copy
import math
import pickle
import struct

import pytest

from stack import rpc
from stack.rpc import xdr
from stack.rpc.xdr import Limits, XdrError, XdrReason
from tests.support.rfc import rfc

TEXT = """
const MAXTEXT = 8;
enum op { ADD = 1, SUB, MUL = -5, DIV };
struct args { op o; int a; int b; };
typedef string text<MAXTEXT>;
struct node { hyper value; node *next; };
struct tree { int value; tree *left; tree *right; };
struct nothing { };
union result switch (int status) { case 0: int number; case 1: case 2: text error; default: void; };
union answer switch (op o) { case ADD: int sum; case SUB: void; };
union either switch (bool b) { case TRUE: args yes; case FALSE: text no; };
union chain switch (int more) { case 1: link rest; default: void; };
struct link { int value; chain next; };
struct everything {
    bool yes; float f; double d; unsigned hyper u; int three[3]; op ops<4>; args many<>; string s<>; opaque o<9>;
    opaque five[5]; result r; node *list; args *maybe; quadruple q; char c; unsigned short us; nothing none<>;
    text texts[2]; bool flags[20]; hyper big[2];
};
"""


@pytest.fixture(scope="module")
def made():
    return rpc.compile_x(TEXT)


def everything(made):
    nodes = made.node(-1, made.node(1 << 62, None))
    many = [made.args(made.SUB, 1, 2), made.args(made.ADD, -1, -2)]
    return made.everything(
        True, 1.5, -2.25, (1 << 64) - 1, [1, 2, 3], [made.op.ADD, made.MUL], many, "häh", b"12345", b"abcde",
        made.result(2, "oh"), nodes, None, bytes(range(16)), -3, 65535, [made.nothing()] * 2, ["a", ""],
        [True, False] * 10, [-1, 1],
    )  # fmt: skip


@rfc("4506", "4.5", "R-XDR-INT")
@rfc("4506", "4.6", "R-XDR-FLOAT")
@pytest.mark.parametrize(
    ("codec", "value", "data", "wrong"),
    [
        (xdr.INT, -2, "fffffffe", [1 << 31, "1", None]),
        (xdr.UNSIGNED, 1 << 31, "80000000", [-1, 1 << 32]),
        (xdr.HYPER, -2, "fffffffffffffffe", [1 << 63]),
        (xdr.UNSIGNED_HYPER, 1 << 63, "8000000000000000", [-1]),
        (xdr.CHAR, -128, "ffffff80", [128, -129]),
        (xdr.UNSIGNED_CHAR, 255, "000000ff", [256, -1]),
        (xdr.SHORT, -32768, "ffff8000", [32768]),
        (xdr.UNSIGNED_SHORT, 65535, "0000ffff", [65536]),
        (xdr.FLOAT, 1.5, "3fc00000", [1e300, "x"]),
        (xdr.DOUBLE, -2.0, "c000000000000000", ["x"]),
        (xdr.QUADRUPLE, bytes(range(16)), bytes(range(16)).hex(), [b"", bytes(17)]),
        (xdr.BOOL, True, "00000001", []),
        (xdr.OPAQUE, b"12345", "000000053132333435000000", [5]),
        (xdr.STRING, "1\udcff", "0000000231ff0000", [b"1", "\ud800"]),
        (xdr.VOID, None, "", [0]),
    ],
)
def test_types_of_the_language(codec, value, data, wrong):
    data = bytes.fromhex(data)
    assert codec.encode(value) == data
    assert codec.decode(data) == value
    for other in wrong:
        with pytest.raises(XdrError):
            codec.encode(other)
    if data:
        assert refusal(lambda: codec.decode(data[:-1])) is XdrReason.SHORT


@pytest.mark.parametrize(
    ("codec", "data"), [(xdr.CHAR, "00000080"), (xdr.UNSIGNED_CHAR, "00000100"), (xdr.SHORT, "00008000")]
)
def test_what_c_keeps_in_less_than_a_word_has_its_range(codec, data):
    assert refusal(lambda: codec.decode(bytes.fromhex(data))) is XdrReason.RANGE


def refusal(call) -> XdrReason:
    with pytest.raises(XdrError) as caught:
        call()
    return caught.value.reason


def test_every_kind_of_value_survives(made):
    value = everything(made)
    data = made.xdr_everything.encode(value)
    assert made.xdr_everything.decode(data) == value
    assert made.xdr_everything.decode(memoryview(b"before" + data), at=6) == value
    assert made.xdr_everything.encode(made.xdr_everything.decode(data)) == data
    assert len(data) % 4 == 0


@rfc("4506", "3", "R-XDR-UNIT")
@rfc("4506", "4.19", "R-XDR-OPTIONAL")
def test_octets_of_a_struct(made):
    assert made.xdr_args.encode(made.args(made.op.DIV, 1, -1)) == struct.pack(">iii", -4, 1, -1)
    assert made.xdr_text.encode("abc") == b"\0\0\0\3abc\0"
    assert made.xdr_node.encode(made.node(1, made.node(2, None))) == struct.pack(">qIqI", 1, 1, 2, 0)
    assert made.xdr_result.encode(made.result(7)) == struct.pack(">i", 7)


def test_strings_that_are_not_utf8_survive(made):
    data = b"\0\0\0\2\xff\xfe\0\0"
    assert made.xdr_text.encode(made.xdr_text.decode(data)) == data


@rfc("4506", "4.15", "R-XDR-UNION")
def test_a_union_gives_the_member_that_it_has(made):
    assert made.xdr_result.decode(b"\0\0\0\0\0\0\0\5").number == 5
    with pytest.raises(AttributeError, match=r"this result has no 'error', as its status is 0: it has 'number'"):
        _ = made.result(0, 5).error
    assert made.answer(made.ADD, 3).sum == 3
    assert made.either(False, "no").no == "no"


@rfc("4506", "4.3", "R-XDR-ENUM")
@rfc("4506", "4.4", "R-XDR-BOOL")
@rfc("4506", "4.10", "R-XDR-BOUND")
@rfc("4506", "4.15", "R-XDR-UNION")
@pytest.mark.parametrize(
    ("codec", "data", "reason"),
    [
        ("xdr_args", "00000001 00000001 000000", XdrReason.SHORT),
        ("xdr_args", "00000003 00000001 00000001", XdrReason.BAD_ENUM),
        ("xdr_text", "00000009 414141414141414141000000", XdrReason.TOO_LONG),
        ("xdr_text", "ffffffff", XdrReason.TOO_LONG),
        ("xdr_text", "00000003 414141", XdrReason.SHORT),
        ("xdr_node", "0000000000000001 00000002", XdrReason.BAD_BOOL),
        ("xdr_answer", "00000002", None),
        ("xdr_answer", "fffffffb", XdrReason.BAD_UNION),
        ("xdr_either", "00000002", XdrReason.BAD_BOOL),
    ],
)
def test_what_breaks_a_type_is_refused(made, codec, data, reason):
    data = bytes.fromhex(data)
    if reason is None:
        getattr(made, codec).decode(data)
    else:
        assert refusal(lambda: getattr(made, codec).decode(data)) is reason


def test_padding_and_what_follows_matter_only_to_the_strict(made):
    strict = Limits(strict=True)
    odd = b"\0\0\0\3abc\1"
    assert made.xdr_text.decode(odd) == "abc"
    assert refusal(lambda: made.xdr_text.decode(odd, strict)) is XdrReason.PADDING
    more = b"\0\0\0\3abc\0\0"
    assert made.xdr_text.decode(more) == "abc"
    assert refusal(lambda: made.xdr_text.decode(more, strict)) is XdrReason.TRAILING
    fixed = bytearray(made.xdr_everything.encode(everything(made)))
    at = fixed.index(b"abcde") + 5
    fixed[at] = 1
    assert made.xdr_everything.decode(fixed).five == b"abcde"
    assert refusal(lambda: made.xdr_everything.decode(fixed, strict)) is XdrReason.PADDING


def test_lists_of_a_million_nodes_are_followed_and_limited(made):
    count = 1_000_000
    data = struct.pack(">qI", 7, 1) * (count - 1) + struct.pack(">qI", 7, 0)
    assert refusal(lambda: made.xdr_node.decode(data)) is XdrReason.BYTES
    assert refusal(lambda: made.xdr_node.decode(data, Limits(max_bytes=1 << 30))) is XdrReason.ITEMS
    head = made.xdr_node.decode(data, Limits(max_bytes=1 << 30, max_items=count))
    assert made.xdr_node.encode(head, Limits(max_bytes=1 << 30)) == data
    few = data[-12 * 50_000 :]
    assert made.xdr_node.decode(few) == made.xdr_node.decode(few)
    assert repr(head).count("node") == xdr.SHOWN_LEVELS


def test_lists_through_a_union_do_not_recurse(made):
    data = struct.pack(">ii", 7, 1) * 40_000 + struct.pack(">ii", 7, 0)
    head = made.xdr_link.decode(data, Limits(max_depth=1))
    assert made.xdr_link.encode(head, Limits(max_depth=1)) == data


def test_trees_are_limited_by_their_depth(made):
    def leaning(levels):
        return struct.pack(">iI", 1, 1) * levels + struct.pack(">iII", 1, 0, 0) + bytes(4 * levels)

    limits = Limits(max_depth=10)
    tree = made.xdr_tree.decode(leaning(9), limits)
    assert made.xdr_tree.encode(tree, limits) == leaning(9)
    assert refusal(lambda: made.xdr_tree.decode(leaning(10), limits)) is XdrReason.DEPTH
    assert made.xdr_tree.decode(leaning(xdr.MAX_DEPTH - 1), Limits(max_depth=xdr.MAX_DEPTH))
    with pytest.raises(ValueError, match="max_depth"):
        Limits(max_depth=xdr.MAX_DEPTH + 1)


def test_a_list_that_leads_back_to_itself_ends(made):
    node = made.node(1, None)
    node.next = node
    assert refusal(lambda: made.xdr_node.encode(node)) is XdrReason.BYTES
    tree = made.tree(1, None, None)
    tree.left = tree
    assert refusal(lambda: made.xdr_tree.encode(tree)) is XdrReason.DEPTH


@rfc("4506", "4.3", "R-XDR-ENUM")
@rfc("4506", "4.10", "R-XDR-BOUND")
@pytest.mark.parametrize(
    "change",
    [
        {"three": [1, 2]}, {"five": b"abcd"}, {"u": -1}, {"ops": [3]}, {"ops": [1] * 5}, {"s": 5}, {"o": b"x" * 10},
        {"c": 128}, {"texts": ["a", "b" * 9]}, {"r": None}, {"list": 5}, {"s": "\ud800"}, {"q": b""},
        {"r": (0, None)}, {"r": (5, "value where there is none")},
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_the_callers_mistake(made, change):
    value = everything(made)
    for name, other in change.items():
        setattr(value, name, made.result(*other) if isinstance(other, tuple) else other)
    with pytest.raises(XdrError):
        made.xdr_everything.encode(value)


def test_elements_without_octets_are_limited(made):
    empty = rpc.compile_x("struct nothing { }; typedef nothing nothings<>;")
    assert len(empty.xdr_nothings.decode(struct.pack(">I", 1000))) == 1000
    assert refusal(lambda: empty.xdr_nothings.decode(struct.pack(">I", 0xFFFFFFFF))) is XdrReason.ITEMS
    assert refusal(lambda: empty.xdr_nothings.decode(struct.pack(">I", 2000))) is XdrReason.ITEMS


def test_values_can_be_compared_copied_and_pickled_but_not_hashed(made):
    tree = made.tree(1, made.tree(2, None, None), None)
    for value in (made.args(made.ADD, 1, 2), made.result(0, 5), made.node(1, made.node(2, None)), tree):
        for again in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
            assert again == value
            assert again is not value
        assert value != 1
        with pytest.raises(TypeError, match="unhashable"):  # they can be changed
            hash(value)


def test_a_list_too_long_to_be_copied_goes_through_its_octets(made):
    head = None
    for value in range(5000):
        head = made.node(value, head)
    with pytest.raises(RecursionError):
        copy.deepcopy(head)
    assert made.xdr_node.decode(made.xdr_node.encode(head)) == head


def test_rings_can_be_compared_and_shown(made):
    """Two nodes that lead back are equal to one that does, wherever one follows them."""
    one, first = made.node(7, None), made.node(7, made.node(7, None))
    one.next, first.next.next = one, first
    assert one == one  # noqa: PLR0124
    assert one == first
    first.next.value = 8
    assert one != first
    assert repr(one).endswith("next=...))))")


def test_numbers_that_are_none_and_quadruples_keep_their_octets():
    for codec, octets in (
        (xdr.DOUBLE, "7ff8000000000001"),
        (xdr.DOUBLE, "fff800000000abcd"),
        (xdr.FLOAT, "7fc00001"),
        (xdr.DOUBLE, "8000000000000000"),
        (xdr.QUADRUPLE, "7fff8000000000000000000000000001"),
    ):
        data = bytes.fromhex(octets)
        assert codec.encode(codec.decode(data)) == data
    assert math.isnan(xdr.FLOAT.decode(bytes.fromhex("7fa00001")))


def test_an_error_survives_pickling_and_copying():
    error = XdrError(XdrReason.RANGE, "300 is too large")
    for again in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (str(again), again.reason) == (str(error), XdrReason.RANGE)
