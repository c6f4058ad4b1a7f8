"""JSON values of XDR types: the same octets as generated code writes, and sentences for what is wrong."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.rpc.x.compile import check, compile_x, folders
from stack.rpc.x.plain import plain_codec
from stack.rpc.x.types import Alias, Array, Bool, Bytes, Enum, List, Number, Opaque, Optional, Struct, Text, Union, bare
from stack.rpc.xdr import Limits, XdrError, XdrReason
from tests.support.rpc_calc import CALC_X

INTERFACE = check(CALC_X.read_text(), str(CALC_X), folders(()), {})
MODULE = compile_x(CALC_X)
TYPES = {xtype.name: xtype for xtype in INTERFACE.types}
RANGES = {"i": (-(1 << 31), 1 << 31), "I": (0, 1 << 32), "q": (-(1 << 63), 1 << 63), "Q": (0, 1 << 64)}


def values(xtype):
    """JSON values of a type."""
    xtype = bare(xtype)
    if isinstance(xtype, Number):
        if xtype.letter in "fd":
            return st.floats(width=32 if xtype.letter == "f" else 64, allow_nan=False, allow_infinity=False)
        low, high = RANGES[xtype.letter]
        return st.integers(low, high - 1)
    if isinstance(xtype, Struct):
        return st.fixed_dictionaries({member.name: values(member.type) for member in xtype.members})
    if isinstance(xtype, Union):
        return st.one_of([union_values(xtype, case) for case in xtype.cases])
    if isinstance(xtype, Optional):
        node = bare(xtype.item)
        if node is TYPES["node"]:
            return st.lists(st.fixed_dictionaries({"value": values(node.members[0].type)}), max_size=5)
        return st.none() | values(node)
    if isinstance(xtype, Array | List):
        least, most = (xtype.size, xtype.size) if isinstance(xtype, Array) else (0, min(xtype.limit, 4))
        return st.lists(values(xtype.item), min_size=least, max_size=most)
    return {
        Bool: st.booleans,
        Enum: lambda: st.sampled_from([name for name, _ in xtype.members]),
        Text: lambda: st.text(st.characters(exclude_categories=["Cs"]), max_size=15),
        Opaque: lambda: st.binary(min_size=xtype.size, max_size=xtype.size).map(bytes.hex),
        Bytes: lambda: st.binary(max_size=20).map(bytes.hex),
    }[type(xtype)]()


def union_values(union, case):
    kind = bare(union.discriminant.type)
    if isinstance(kind, Enum):
        taken = {value for one in union.cases for value in one.values or ()}
        names = [name for name, value in kind.members if value in (case.values or {v for _, v in kind.members} - taken)]
        chosen = st.sampled_from(names)
    else:
        chosen = st.sampled_from([bool(value) for value in case.values])
    given_ = {union.discriminant.name: chosen}
    if case.member is not None:
        given_[case.member.name] = values(case.member.type)
    return st.fixed_dictionaries(given_)


@pytest.mark.parametrize("name", TYPES)
def test_the_same_octets_as_generated_code(name):
    ours, theirs = plain_codec(TYPES[name]), getattr(MODULE, f"xdr_{name}")

    @given(values(TYPES[name]))
    def run(value):
        value = json.loads(json.dumps(value))
        wire = ours.encode(value)
        assert theirs.encode(theirs.decode(wire, Limits(strict=True))) == wire
        assert ours.decode(wire, Limits(strict=True)) == value

    run()


def example(name="everything"):
    return {
        "args": {"what": "ADD", "a": 1, "b": 2},
        "outcome": {"status": "FINE", "value": 1},
        "maybe_text": {"present": False},
        "list": [{"value": 1}, {"value": 2}],
        "point": {"x": 1.0, "y": 2.0},
        "words": [1, 2, 3, 4, 5, 6, 7, 8],
    }[name]


def refusal(name, value):
    with pytest.raises(XdrError) as caught:
        plain_codec(TYPES[name]).encode(value)
    assert caught.value.reason is XdrReason.VALUE
    return str(caught.value).removeprefix("value: ")


@pytest.mark.parametrize(
    ("name", "change", "sentence"),
    [
        ("args", {"what": "POW"}, ".what: 'POW' is no op: use one of ADD, SUB, MUL, DIV"),
        ("args", {"what": 9}, ".what: 9 is no op: use one of ADD, SUB, MUL, DIV"),
        ("args", {"what": True}, ".what: True is no op: use one of ADD, SUB, MUL, DIV"),
        ("args", {"a": 1.5}, ".a: 1.5 is not a number without a fraction (hyper)"),
        ("args", {"a": True}, ".a: True is not a number without a fraction (hyper)"),
        ("args", {"a": "1"}, ".a: '1' is not a number without a fraction (hyper)"),
        ("args", {"a": 1 << 63}, ".a: 9223372036854775808 is not within the range of hyper"),
        ("args", {"c": 1}, "the object has an unknown 'c'; args has a, b, what"),
        ("outcome", {"status": "BY_ZERO"}, "the object has an unknown 'value'; outcome has status"),
        ("outcome", {"status": "TOO_BIG"}, "the object has no 'why'"),
        ("outcome", {"value": None}, ".value: None is not a number without a fraction (hyper)"),
        ("maybe_text", {"present": 0}, ".present: 0 is not true or false"),
        ("point", {"x": "1"}, """.x: '1' is not a number, "nan", "inf" or "-inf\""""),
        ("point", {"x": 10**400}, ".x: the number is too large"),
    ],
)
def test_what_is_wrong_in_an_object(name, change, sentence):
    assert refusal(name, example(name) | change) == sentence.removeprefix(".")


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("args", [], "[] is not an object (args)"),
        ("args", {"what": "ADD", "a": 1}, "the object has no 'b'"),
        ("outcome", {}, "{} is not an object with 'status'"),
        ("list", {"value": 1}, "{'value': 1} is not an array, of the nodes of a list"),
        ("list", [{"value": 1}, {"value": "x"}], "[1].value: 'x' is not a number without a fraction (int)"),
        ("list", [{"value": 1, "next": None}], "[0]: the object has an unknown 'next'; node has value"),
        ("words", [1], "[1] is not an array of 8"),
        ("words", [1, 2, 3, 4, 5, 6, 7, None], "[7]: None is not a number without a fraction (int)"),
        ("blob", "0g", "'0g' is no string of hexadecimal digits, two for each octet"),
        ("blob", "0", "'0' is no string of hexadecimal digits, two for each octet"),
        ("blob", 7, "7 is not a string of hexadecimal digits"),
        ("name", 7, "7 is not a string"),
        ("name", "x" * 65, "too long: 65 octets, the limit is 64"),
    ],
)
def test_what_is_wrong(name, value, sentence):
    assert refusal(name, value) == sentence


def test_numbers_of_enums_are_taken():
    assert plain_codec(TYPES["op"]).encode(3) == plain_codec(TYPES["op"]).encode("DIV")
    assert plain_codec(TYPES["verdict"]).encode(-7) == bytes.fromhex("fffffff9")


def test_blanks_between_octets():
    assert plain_codec(TYPES["blob"]).encode("de ad\n00") == bytes.fromhex("00000003dead0000")


@pytest.mark.parametrize("text", ["nan", "inf", "-inf"])
def test_what_json_has_no_number_for(text):
    codec = plain_codec(TYPES["point"])
    wire = codec.encode({"x": text, "y": 0})
    assert codec.decode(wire) == {"x": text, "y": 0.0}
    assert str(MODULE.xdr_point.decode(wire).x) == text
    assert not math.isfinite(MODULE.xdr_point.decode(wire).x)


def test_octets_that_are_no_text_survive():
    codec = plain_codec(TYPES["name"])
    wire = bytes.fromhex("00000002ff410000")
    assert codec.encode(json.loads(json.dumps(codec.decode(wire)))) == wire


def test_a_long_list_needs_no_nesting():
    codec = plain_codec(TYPES["list"])
    nodes = [{"value": number} for number in range(50_000)]
    assert codec.decode(codec.encode(nodes)) == nodes


@pytest.mark.parametrize(
    ("name", "wire", "reason"),
    [
        ("op", "00000009", XdrReason.BAD_ENUM),
        ("list", "00000001" * 3, XdrReason.SHORT),
        ("list", "00000002", XdrReason.BAD_BOOL),
        ("outcome", "00000005", XdrReason.BAD_ENUM),
        ("name", "00000041" + "00" * 65, XdrReason.TOO_LONG),
        ("blob", "ffffffff", XdrReason.TOO_LONG),
        ("words", "00000000", XdrReason.SHORT),
    ],
)
def test_what_a_peer_got_wrong(name, wire, reason):
    with pytest.raises(XdrError) as caught:
        plain_codec(TYPES[name]).decode(bytes.fromhex(wire))
    assert caught.value.reason is reason


def test_a_claimed_length_costs_nothing():
    everything = plain_codec(TYPES["everything"])
    with pytest.raises(XdrError):
        everything.decode(bytes(60) + b"\xff" * 4)


def test_limits():
    codec = plain_codec(TYPES["list"])
    wire = codec.encode([{"value": 1}] * 100)
    with pytest.raises(XdrError) as caught:
        codec.decode(wire, Limits(max_items=50))
    assert caught.value.reason is XdrReason.ITEMS


TREE = """
struct tree { int key; tree *left; tree *right; string also<>; };
union number switch (int kind) { case 1: int one; case 2: case 3: void; default: opaque rest[3]; };
typedef unsigned char small<>;
struct last { node2 *next; };
struct node2 { small data; quadruple wide; };
"""


def other(name):
    types = check(TREE, "tree.x", folders(()), {}).types
    return plain_codec(next(one for one in types if one.name == name))


def test_types_that_contain_themselves():
    tree = {"key": 1, "left": {"key": 2, "left": None, "right": None, "also": ""}, "right": None, "also": "x"}
    codec = other("tree")
    assert codec.decode(codec.encode(tree)) == tree
    deep = None
    for _ in range(100):
        deep = {"key": 0, "left": deep, "right": None, "also": ""}
    with pytest.raises(XdrError) as caught:
        codec.decode(codec.encode(deep))
    assert caught.value.reason is XdrReason.DEPTH


@pytest.mark.parametrize("value", [{"kind": 1, "one": 7}, {"kind": 3}, {"kind": 9, "rest": "010203"}])
def test_unions_of_numbers(value):
    codec = other("number")
    assert codec.decode(codec.encode(value)) == value


def test_small_numbers_and_wide_ones():
    value = {"next": {"data": [0, 255], "quad": "00" * 16}}
    value["next"]["wide"] = value["next"].pop("quad")
    codec = other("last")
    assert codec.decode(codec.encode(value)) == value
    with pytest.raises(XdrError, match="256"):
        codec.encode({"next": {"data": [256], "wide": "00" * 16}})


def test_every_alias_is_a_type_of_its_own():
    assert any(isinstance(xtype, Alias) for xtype in INTERFACE.types)
