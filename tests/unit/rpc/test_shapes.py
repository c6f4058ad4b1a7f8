"""Where a value does not fit its type: the place and what is allowed, told for whatever the encoder refuses."""

from pathlib import Path

import pytest

from stack import rpc
from stack.rpc import shapes, xdr
from stack.rpc.xdr import XdrError, XdrReason
from tests.support.rpc_values import Corpus

CALC = Path(__file__).parents[2] / "support" / "rpc" / "calc.x"


@pytest.fixture(scope="module")
def calc():
    return rpc.compile_x(CALC)


def listed(calc, *values):
    head = None
    for value in reversed(values):
        head = calc.node(value, head)
    return head


@pytest.mark.parametrize(
    ("name", "make", "reason", "message"),
    [
        ("args", lambda _: None, "VALUE", "args: None where args is expected"),
        ("args", lambda c: c.args(9, 1, 2), "VALUE", "args.what: 9 is no op: use one of ADD, SUB, MUL, DIV"),
        ("args", lambda c: c.args([], 1, 2), "VALUE", "args.what: a list is no op: use one of ADD, SUB, MUL, DIV"),
        (
            "args",
            lambda c: c.args(c.ADD, 1, 1 << 63),
            "VALUE",
            "args.b: 9223372036854775808 is not within -9223372036854775808 to 9223372036854775807",
        ),
        ("args", lambda c: c.args(c.ADD, 1, 1 << 99999), "VALUE", "args.b: an int is not within"),
        (
            "caller",
            lambda c: c.caller(1, "x" * 300, 1, 1, []),
            "TOO_LONG",
            "machine: 300 octets, at most 255 are allowed",
        ),
        ("caller", lambda c: c.caller(1, b"x", 1, 1, []), "VALUE", "caller.machine: b'x' where str is expected"),
        ("caller", lambda c: c.caller(1, "\ud800", 1, 1, []), "VALUE", "machine: character 0 is a lone surrogate"),
        ("caller", lambda c: c.caller(1, "x", 1, 1, [1] * 17), "TOO_LONG", "gids: 17 elements, at most 16 are allowed"),
        (
            "caller",
            lambda c: c.caller(1, "x", 1, 1, [1, -2]),
            "VALUE",
            "caller.gids[1]: -2 is not within 0 to 4294967295",
        ),
        ("caller", lambda c: c.caller(1, "x", 1, 1, None), "VALUE", "caller.gids: None where a list is expected"),
        ("words", lambda _: [1] * 7, "VALUE", "words: 7 elements, there are always 8"),
        ("blob", lambda _: "text", "VALUE", "blob: 'text' where bytes are expected"),
        ("point", lambda c: c.point(1, "a"), "VALUE", "point.y: 'a' where float is expected"),
        ("outcome", lambda c: c.outcome(c.FINE, "3"), "VALUE", "outcome.value: '3' where int is expected"),
        ("outcome", lambda c: c.outcome(5, 3), "VALUE", "outcome.status: 5 is no verdict: use one of FINE, BY_ZERO"),
        (
            "outcome",
            lambda c: c.outcome(c.BY_ZERO, 3),
            "VALUE",
            "outcome: its status is BY_ZERO, so its value is None, not 3",
        ),
        ("maybe_text", lambda c: c.maybe_text("yes", 3), "VALUE", "maybe_text.value: 3 where str is expected"),
        ("list", lambda c: listed(c, 1, 2, 1 << 31), "VALUE", "list.next.next.value: 2147483648 is not within"),
        (
            "list",
            lambda c: listed(c, *range(50_000), "x"),
            "VALUE",
            "list" + ".next" * 6 + "...(49989 more)" + ".next" * 5 + ".value: 'x' where int is expected",
        ),
    ],
)
def test_the_place_and_what_is_allowed_are_told(calc, name, make, reason, message):
    with pytest.raises(XdrError) as caught:
        getattr(calc, f"xdr_{name}").encode(make(calc))
    assert message in str(caught.value)
    assert caught.value.reason is XdrReason[reason]
    assert str(caught.value).startswith(f"{caught.value.where}: ")


def test_arguments_and_plain_types_are_told_too(calc):
    with pytest.raises(XdrError, match="int: 'x' where int is expected"):
        calc.CALC_V2.procedures[1].encode_args((1, 2, "x"))
    with pytest.raises(XdrError, match="unsigned char: 300 is not within 0 to 255"):
        xdr.UNSIGNED_CHAR.encode(300)
    with pytest.raises(XdrError, match=r"float: 1e\+300 is too large for a float"):
        xdr.FLOAT.encode(1e300)
    with pytest.raises(XdrError, match="quadruple: 15 octets, there are always 16"):
        xdr.QUADRUPLE.encode(bytes(15))


def test_the_walk_ends_where_the_value_does_not(calc, monkeypatch):
    """A ring is refused for its octets, without a walk; the walk of one ends after its steps."""
    ring = listed(calc, 1, 2, 3)
    ring.next.next.next = ring
    with pytest.raises(XdrError, match="does a list lead back to itself") as caught:
        calc.xdr_list.encode(ring)
    assert caught.value.reason is XdrReason.BYTES
    monkeypatch.setattr(shapes, "MAX_STEPS", 1000)
    assert shapes.misfit(calc.xdr_list, ring) is None
    long = listed(calc, *range(5000), "x")
    assert shapes.misfit(calc.xdr_list, long) is None
    with pytest.raises(XdrError, match="list: required argument is not an integer"):
        calc.xdr_list.encode(long)
    monkeypatch.undo()
    assert shapes.misfit(calc.xdr_list, long) is not None


def test_what_the_encoder_takes_has_no_misfit():
    corpus = Corpus(CALC)
    for xtype in corpus.types():
        for _ in range(50):
            value = corpus.value(xtype)
            corpus.codec(xtype).encode(value)
            assert shapes.misfit(corpus.codec(xtype), value) is None
