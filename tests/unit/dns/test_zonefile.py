"""Master files: what they may look like, and what is said of those that are wrong."""

import random
import re

import dns.name
import dns.rdataclass
import dns.zone
import pytest

from stack.dns import zonefile
from stack.dns.constants import RRClass, type_text
from stack.dns.errors import ZoneError
from stack.dns.names import Name
from tests.support import dns_zones
from tests.support.rfc import rfc

ORIGIN = Name.parse("example.test")


def parsed(text, **options):
    """Each record as "owner ttl type data"."""
    return [
        f"{record.name} {record.ttl} {type_text(record.rdata.rrtype)} {record.rdata}"
        for record in zonefile.parse(text, ORIGIN, **options)
    ]


def refusal(text, **options):
    with pytest.raises(ZoneError) as caught:
        zonefile.parse(text, ORIGIN, source="f.zone", **options)
    return caught.value.strerror


@rfc("1035", "5.1", "D-SERVER-FILE")
def test_the_parts_of_a_record_in_all_orders():
    assert parsed(
        "$TTL 5\nwww 60 IN A 192.0.2.1\n IN 61 A 192.0.2.2\n\tA 192.0.2.3\n 1h A 192.0.2.4\n in A 192.0.2.5"
    ) == [
        "www.example.test. 60 A 192.0.2.1",
        "www.example.test. 61 A 192.0.2.2",
        "www.example.test. 5 A 192.0.2.3",
        "www.example.test. 3600 A 192.0.2.4",
        "www.example.test. 5 A 192.0.2.5",
    ]


@rfc("1035", "5.1", "D-SERVER-FILE")
def test_names_origin_and_at():
    text = "$TTL 5\n@ NS ns\nout.test. NS ns.test.\n$ORIGIN sub\n@ NS @\na.b NS a.b\n$ORIGIN other.\nx NS x\n"
    assert parsed(text) == [
        "example.test. 5 NS ns.example.test.",
        "out.test. 5 NS ns.test.",
        "sub.example.test. 5 NS sub.example.test.",
        "a.b.sub.example.test. 5 NS a.b.sub.example.test.",
        "x.other. 5 NS x.other.",
    ]


@rfc("1035", "5.1", "D-SERVER-FILE")
def test_parentheses_comments_and_quotations():
    text = """
; a comment
@ 60 SOA ns hostmaster ( 1 ; the serial (of course)
    1h 15m   ; both
    1w
    300 )    ; the end
www TXT "a; (b" plain\\;c "say \\"hi\\"" ""
   TXT ( "one"
\t"two" )
   TXT "a""b"
"""
    assert parsed(text) == [
        "example.test. 60 SOA ns.example.test. hostmaster.example.test. 1 3600 900 604800 300",
        'www.example.test. 60 TXT "a; (b" "plain;c" "say \\"hi\\"" ""',
        'www.example.test. 60 TXT "one" "two"',
        'www.example.test. 60 TXT "a" "b"',
    ]


def test_quotation_marks_within_a_word_belong_to_it():
    assert parsed('@ 5 HTTPS 1 . alpn="h2,h3" port=443') == ['example.test. 5 HTTPS 1 . alpn="h2,h3" port=443']


@rfc("1035", "5.1", "D-SERVER-FILE")
def test_escaped_characters_in_names_and_texts():
    assert parsed("a\\.b\\032c\\;d 5 TXT a\\ b \\065\n\\@ 5 TXT x\n\\$ORIGIN 5 TXT y") == [
        'a\\.b\\032c\\;d.example.test. 5 TXT "a b" "A"',
        '\\@.example.test. 5 TXT "x"',
        '\\$ORIGIN.example.test. 5 TXT "y"',
    ]


@rfc("2308", "4")
def test_where_ttls_come_from():
    assert [line.split()[1] for line in parsed("$TTL 7\na 9 A 192.0.2.1\nb A 192.0.2.1\n$TTL 1h1m\nc A 192.0.2.1")] == [
        "9",
        "7",
        "3660",
    ]
    # without $TTL the last one given counts, and before there is any the last field of the SOA record
    text = "@ SOA a b 1 2 3 4 77\na A 192.0.2.1\nb 5 A 192.0.2.1\nc A 192.0.2.1"
    assert [line.split()[1] for line in parsed(text)] == ["77", "77", "5", "5"]


@rfc("3597", "5")
def test_unknown_types_and_known_ones_as_octets():
    assert parsed("@ 5 TYPE65280 \\# 3 00ff 10\n@ 5 A \\# 4 c0000201\n@ 5 CLASS1 TYPE1 192.0.2.2") == [
        "example.test. 5 TYPE65280 \\# 3 00ff10",
        "example.test. 5 A 192.0.2.1",
        "example.test. 5 A 192.0.2.2",
    ]


@rfc("1035", "5.1", "D-SERVER-FILE")
def test_included_files_leave_origin_and_owner_as_they_were():
    files = {"a.inc": "x 6 A 192.0.2.1\n$INCLUDE b.inc sub\ny A 192.0.2.2", "b.inc": "$ORIGIN deep\n@ 7 A 192.0.2.3"}
    text = "www 5 A 192.0.2.9\n$INCLUDE a.inc other.test. ; with an origin\n 8 A 192.0.2.8\n$INCLUDE b.inc"
    assert parsed(text, read=files.__getitem__) == [
        "www.example.test. 5 A 192.0.2.9",
        "x.other.test. 6 A 192.0.2.1",
        "deep.sub.other.test. 7 A 192.0.2.3",
        "y.other.test. 7 A 192.0.2.2",
        "www.example.test. 8 A 192.0.2.8",
        "deep.example.test. 7 A 192.0.2.3",
    ]


def test_a_mistake_in_an_included_file_is_told_with_its_name_and_line():
    assert refusal("$INCLUDE a.inc", read=lambda _: "\nx 5 A nonsense").startswith("a.inc:2: A address: ")
    assert "does a file include itself?" in refusal("$INCLUDE a.inc", read=lambda _: "$INCLUDE a.inc")

    def missing(name):
        raise FileNotFoundError(2, "No such file", name)

    assert refusal("\n$INCLUDE a.inc", read=missing) == "f.zone:2: a.inc: No such file"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\n\nwww 5 A 192.0.2.256", "f.zone:3: A address: '192.0.2.256' is not an IPv4 address"),
        ("www 5 A", "f.zone:1: A address: it ends too early"),
        ("www 5 A 192.0.2.1 more", "f.zone:1: A: 'more' is too much"),
        ("www 5 MX mail", "f.zone:1: MX preference: 'mail' is not a number from 0 to 65535"),
        ("www 5 NOTYPE x", "f.zone:1: 'NOTYPE' is not a type of record"),
        ("www 5", "f.zone:1: the record ends before its type"),
        ("www 5 CH TXT x", "f.zone:1: a record of class CH in a zone of class IN"),
        ("www 5 ANY x", "f.zone:1: ANY is no type that a zone can have"),
        ("www 5 OPT x", "f.zone:1: OPT is no type that a zone can have"),
        (" 5 A 192.0.2.1", "f.zone:1: the first record has no name before it"),
        ("www A 192.0.2.1", "f.zone:1: the first record has no TTL"),
        ("www 5 TXT (\n\n", "f.zone:1: a parenthesis is not closed"),
        ("\nwww 5 TXT )", "f.zone:2: a closing parenthesis was not opened"),
        ('\nwww 5 TXT ( \n"x', "f.zone:3: a quotation mark has no other on its line"),
        ("www 5 TXT x\\", "f.zone:1: a backslash ends the line"),
        ("a..b 5 A 192.0.2.1", "f.zone:1: 'a..b' is not a domain name: it has an empty label"),
        (f"{'x' * 64} 5 A 192.0.2.1", "is not a domain name: it has a label of 64 octets"),
        ("$GENERATE 1-9 x A 192.0.2.1", "f.zone:1: $GENERATE is not known here"),
        ("$TTL", "f.zone:1: $TTL takes one word, not 0"),
        ("$TTL x", "f.zone:1: 'x' is not a time"),
        ("$ORIGIN a b", "f.zone:1: $ORIGIN takes one word, not 2"),
        ("$INCLUDE x", "f.zone:1: $INCLUDE cannot be followed"),
        ("www 4294967296 A 192.0.2.1", "f.zone:1: '4294967296' is not a number from 0 to 2147483647"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text, said):
    assert said in refusal(text)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_texts_of_other_systems(end, mark):
    text = mark + "$TTL 5\na A 192.0.2.1 ; x\nb TXT ( x\n y )\n".replace("\n", end)
    assert parsed(text) == ["a.example.test. 5 A 192.0.2.1", 'b.example.test. 5 TXT "x" "y"']
    assert refusal(text + "c A x").startswith("f.zone:5: A address")
    included = parsed("$TTL 5\n$INCLUDE a.inc", read=lambda _: text)
    assert included == parsed(text)


def test_another_class_can_be_asked_for():
    records = zonefile.parse('version.bind. 0 CH TXT "none"', ORIGIN, rrclass=RRClass.CH)
    assert str(records[0].rdata) == '"none"'


@pytest.mark.parametrize("name", ["example.test", "test", ".", "arpa", "0.53.10.in-addr.arpa"])
def test_dnspython_reads_the_same(name):
    texts = {
        "example.test": dns_zones.EXAMPLE_ZONE,
        "test": dns_zones.TEST_ZONE,
        ".": dns_zones.ROOT_ZONE,
        "arpa": dns_zones.ARPA_ZONE,
        "0.53.10.in-addr.arpa": dns_zones.REVERSE_ZONE,
    }
    theirs = dns.zone.from_text(texts[name], origin=name, relativize=False)
    ours = zonefile.parse(texts[name], Name.parse(name))
    assert {(str(r.name).lower(), r.ttl, int(r.rdata.rrtype), r.rdata.to_wire()) for r in ours} == {
        (owner.to_text().lower(), ttl, int(rdata.rdtype), rdata.to_wire(origin=dns.name.root))
        for owner, ttl, rdata in theirs.iterate_rdatas()
    }


def test_nothing_but_zone_errors_comes_of_damaged_files():
    rng, pieces = (
        random.Random(7),
        ["(", ")", '"', "\\", ";", "\n", "\t", "$", "@", "*", "..", "0", "9" * 12, "\xe9", "\0", "#", "IN"],
    )
    refused = 0
    for _ in range(400):
        text = dns_zones.EXAMPLE_ZONE.partition("big TXT")[0]
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(pieces) + text[at + rng.randrange(8) :]
        try:
            zonefile.parse(text, ORIGIN)
        except ZoneError as error:
            refused += 1
            assert re.match(r"zone:\d+: .", error.strerror)  # noqa: PT017  (what is said, if it is refused)
    assert refused > 100
