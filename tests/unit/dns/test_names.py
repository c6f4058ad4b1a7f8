"""Domain names: text both ways, relations, and what comes out of messages."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.dns.errors import BadName, FormError, FormReason
from stack.dns.names import MAX_NAME, ROOT, Name, read_name
from tests.support.rfc import rfc

WWW = Name.parse("www.Example.test")


def test_a_name_is_its_bytes_on_the_wire():
    assert WWW == b"\3www\7Example\4test\0"
    assert WWW.key == b"\3www\7example\4test\0"
    assert WWW.labels == (b"www", b"Example", b"test")
    assert WWW.depth == 3


def test_an_empty_text_is_told_how_to_write_the_root():
    with pytest.raises(BadName) as caught:
        Name.parse("")
    assert caught.value.strerror == 'an empty text is no domain name: the root is "."'


@pytest.mark.parametrize("text", ["www.Example.test", "www.Example.test."])
def test_with_the_final_dot_or_without(text):
    name = Name.parse(text)
    assert name == WWW
    assert str(name) == "www.Example.test."


def test_the_root():
    assert Name.parse(".") == ROOT
    assert str(ROOT) == "."
    assert ROOT.labels == ()
    assert ROOT.parent() == ROOT
    assert ROOT.ancestors() == [ROOT]


@rfc("1035", "5.1", "D-CODEC-TEXT")
@pytest.mark.parametrize(
    ("text", "label"),
    [(r"a\.b", b"a.b"), (r"\097\\", b"a\\"), (r"\255\000", b"\xff\0"), (r"\"\;", b'";'), ("a b", b"a b")],
)
def test_escapes(text, label):
    name = Name.parse(text + ".test")
    assert name.labels == (label, b"test")
    assert Name.parse(str(name)) == name


def test_letters_beyond_ascii_go_by_idna():
    assert Name.parse("bücher.example") == Name.parse("xn--bcher-kva.example")
    assert Name.parse("bücher。example") == Name.parse("xn--bcher-kva.example")


@rfc("5894", "7.2")
@pytest.mark.parametrize("char", ["\u00df", "\u03c2", "\u200c", "\u200d"])
def test_letters_that_two_versions_of_idna_write_differently_are_refused(char):
    with pytest.raises(BadName, match=rf"could be two names.*\(U\+{ord(char):04X}\).*give its ASCII form"):
        Name.parse(f"www.x{char}y.de")
    assert str(Name.parse("xn--strae-oqa.de")) == "xn--strae-oqa.de."


@pytest.mark.parametrize(
    "text",
    [
        "",
        "..",
        ".a",
        "a..b",
        "a" * 64,
        ".".join(["a" * 63] * 4),
        "a\\",
        r"\25",
        r"\256",
        r"\²²²",
        "ü\\.",
        "a" * 2000,
        "ü" * 70,
    ],
)
def test_what_is_no_name(text):
    with pytest.raises(BadName):
        Name.parse(text)


@given(st.text(max_size=300) | st.text("ab.\\0129üß。", max_size=300))
@settings(deadline=None)
def test_whatever_the_text_only_one_error_comes_of_it(text):
    try:
        name = Name.parse(text)
    except BadName:
        return
    assert len(name) <= MAX_NAME
    assert Name.parse(str(name)) == name


def test_the_longest_name():
    name = Name.parse(".".join(["a" * 63] * 3 + ["b" * 61]))
    assert len(name) == MAX_NAME
    with pytest.raises(BadName, match="257 octets"):
        name.child(b"c")


def test_relative_to_an_origin():
    origin = Name.parse("example.test")
    assert Name.parse("www", origin) == Name.parse("www.example.test")
    assert Name.parse("www.", origin) == Name.parse("www")
    assert Name.parse("@", origin) == origin
    assert Name.parse("@", ROOT) == ROOT
    assert Name.parse("@") == b"\1@\0"


def test_relations():
    example = Name.parse("EXAMPLE.test")
    assert WWW.is_within(example)
    assert WWW.is_within(ROOT)
    assert WWW.is_within(WWW)
    assert not example.is_within(WWW)
    assert not Name.parse("badexample.test").is_within(example)
    assert WWW.parent() == Name.parse("Example.test")
    assert example.child(b"*").is_wildcard
    assert not WWW.is_wildcard
    assert [str(name) for name in WWW.ancestors()] == ["www.Example.test.", "Example.test.", "test.", "."]
    assert WWW.suffix(2) == Name.parse("Example.test")
    assert WWW.suffix(0) == ROOT
    assert WWW.suffix(3) == WWW


def test_the_end_of_another_name_within_a_label_is_not_above():
    # the bytes end alike, the labels do not: 4test is within the label of 9 octets
    tricky = Name(b"\x0aabcde\4test\0")
    assert not tricky.is_within(Name.parse("test"))


def read(wire: bytes, at: int = 12) -> Name:
    return read_name(bytes(12) + wire, at, {})[0]


@rfc("1035", "4.1.4", "D-CODEC-POINTER")
@pytest.mark.parametrize(
    ("wire", "at", "reason"),
    [
        (b"\xc0\x0c", 12, FormReason.POINTER),  # to itself
        (b"\1a\xc0\x0c", 12, FormReason.POINTER),  # to the name that it ends
        (b"\xc0\x0e\1a\0", 12, FormReason.POINTER),  # forward
        (b"\xc0\x0e\xc0\x0c", 12, FormReason.POINTER),  # two that lead to each other
        (b"\xc0\x0e\xc0\x0c", 14, FormReason.POINTER),
        (b"\xc0\x04", 12, FormReason.POINTER),  # into the header
        (b"\x41a\0", 12, FormReason.BAD_LABEL),
        (b"\x81a\0", 12, FormReason.BAD_LABEL),
        (b"\x81a\0\xc0\x0c", 15, FormReason.BAD_LABEL),
        (b"\x3f" + b"a" * 63 + (b"\x3f" + b"a" * 63) * 3 + b"\0", 12, FormReason.NAME_TOO_LONG),
        ((b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0", 12, FormReason.NAME_TOO_LONG),
    ],
)
def test_names_that_are_refused(wire, at, reason):
    with pytest.raises(FormError) as caught:
        read(wire, at)
    assert caught.value.reason is reason


def test_a_name_made_too_long_by_a_pointer():
    label = b"\x3f" + b"a" * 63
    wire = label * 3 + b"\0" + label + b"\xc0\x0c"
    with pytest.raises(FormError) as caught:
        read(wire, 12 + 193)
    assert caught.value.reason is FormReason.NAME_TOO_LONG
    assert len(read(wire[:193] + b"\x3d" + b"a" * 61 + b"\xc0\x0c", 12 + 193)) == MAX_NAME


@pytest.mark.parametrize(("pointers", "fine"), [(126, True), (128, False)])
def test_a_chain_of_pointers_is_bounded(pointers, fine):
    wire = b"\1a\0\xc0\x0c"  # the name at 12, a pointer to it at 15, and each next one to the one before
    for number in range(1, pointers):
        wire += (0xC000 | 13 + 2 * number).to_bytes(2, "big")
    at = 12 + len(wire) - 2
    if fine:
        assert read(wire, at) == b"\1a\0"
    else:
        with pytest.raises(FormError):
            read(wire, at)


def test_pointers_to_the_middle_and_the_table_of_names():
    wire = bytes(12) + b"\3www\4test\0" + b"\3ftp\xc0\x10" + b"\xc0\x0c" + b"\xc0\x16"
    memo: dict[int, Name] = {}
    expected = ["www.test.", "ftp.test.", "www.test.", "ftp.test."]
    at, found = 12, []
    while at < len(wire):
        name, at = read_name(wire, at, memo)
        found.append(str(name))
    assert found == expected
    assert [str(read_name(wire, at, {})[0]) for at in (12, 22, 28, 30)] == expected
