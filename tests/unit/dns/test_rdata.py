"""Texts of data, what is wrong with some, and the few types with rules of their own."""

import ipaddress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.dns import rdata
from stack.dns.constants import RRClass, RRType, parse_class, parse_type, rcode_text, type_text
from stack.dns.errors import BadRdata, FormError, FormReason
from stack.dns.names import Name
from stack.dns.rdata.text import (
    Token,
    format_ipv6,
    format_time,
    parse_ipv4,
    parse_ipv6,
    parse_time,
    parse_ttl,
    reverse_name,
    tokenize,
)
from tests.support.rfc import rfc

ORIGIN = Name.parse("example.test")


@pytest.mark.parametrize(
    ("rrtype", "text", "printed"),
    [
        (RRType.A, "192.0.2.1", "192.0.2.1"),
        (RRType.AAAA, "2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        (RRType.NS, "ns1", "ns1.example.test."),
        (RRType.CNAME, "@", "example.test."),
        (RRType.MX, "10 mail.other.", "10 mail.other."),
        (RRType.SOA, "ns1 admin 7 1h 15m 1w 1h30m", "ns1.example.test. admin.example.test. 7 3600 900 604800 5400"),
        (RRType.TXT, r'plain "with \"blank\" and \\" "" \228', r'"plain" "with \"blank\" and \\" "" "\228"'),
        (RRType.HINFO, 'RFC8482 ""', '"RFC8482" ""'),
        (RRType.SRV, "0 5 5060 sip", "0 5 5060 sip.example.test."),
        (RRType.NAPTR, '100 10 "S" "SIP+D2U" "" _sip._udp', '100 10 "S" "SIP+D2U" "" _sip._udp.example.test.'),
        (RRType.CAA, '0 issue "ca.example; policy=1"', '0 issue "ca.example; policy=1"'),
        (RRType.DS, "60485 RSASHA1 1 2BB1 83AF", "60485 5 1 2bb183af"),
        (RRType.DNSKEY, "256 3 ECDSAP256SHA256 AQ ID", "256 3 13 AQID"),
        (
            RRType.RRSIG,
            "A 5 3 86400 20030322173103 20030220173103 2642 example.com. AQID",
            "A 5 3 86400 20030322173103 20030220173103 2642 example.com. AQID",
        ),
        (RRType.NSEC, "host MX A TYPE1234 A", "host.example.test. A MX TYPE1234"),
        (RRType.NSEC3, "1 1 12 - 2T7B4G4VSA5SMI47K61MV5BV1A22BOJR", "1 1 12 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr"),
        (RRType.NSEC3PARAM, "1 0 0 aabb", "1 0 0 aabb"),
        (RRType.TLSA, "3 1 1 d2ab de24", "3 1 1 d2abde24"),
        (RRType.SSHFP, "4 2 123456", "4 2 123456"),
        (RRType.URI, '10 1 "ftp://ftp1.example.com/"', '10 1 "ftp://ftp1.example.com/"'),
        (RRType.EUI48, "00-00-5E-00-53-2a", "00-00-5e-00-53-2a"),
        (RRType.NID, "10 14:4fff:ff20:ee64", "10 0014:4fff:ff20:ee64"),
        (RRType.L32, "10 10.1.2.0", "10 10.1.2.0"),
        (RRType.CERT, "PGP 0 0 AQID", "3 0 0 AQID"),
        (65280, r"\# 3 ab 01ff", r"\# 3 ab01ff"),
        (65280, r"\# 0", r"\# 0"),
        (RRType.A, r"\# 4 c0000201", "192.0.2.1"),
    ],
)
def test_texts(rrtype, text, printed):
    made = rdata.parse(rrtype, text, ORIGIN)
    assert str(made) == printed
    assert rdata.decode(rrtype, made.to_wire()) == made
    assert rdata.parse(rrtype, printed) == made


@pytest.mark.parametrize(
    ("rrtype", "text", "said"),
    [
        (RRType.A, "192.0.2", "A address: '192.0.2' is not an IPv4 address"),
        (RRType.A, "192.0.2.01", "not an IPv4 address"),
        (RRType.A, "192.0.2.256", "not an IPv4 address"),
        (RRType.A, "192.0.2.1 x", "'x' is too much"),
        (RRType.A, "", "A address: it ends too early"),
        (RRType.AAAA, "1::2::3", "not an IPv6 address"),
        (RRType.MX, "70000 x.", "MX preference: '70000' is not a number from 0 to 65535"),
        (RRType.MX, "1 a..b", "MX exchange: 'a..b' is not a domain name"),
        (RRType.SOA, "a. b. 1 2 3 4 1x", "SOA minimum: '1x' is not a time"),
        (RRType.TXT, '"open', "a quotation mark has no other"),
        (RRType.TXT, "a" * 256, "a string of 256 octets"),
        (RRType.TXT, "", "it ends too early"),
        (RRType.TXT, r"\300", "after a backslash"),
        (RRType.CAA, '0 "" "x"', "not letters and digits"),
        (RRType.DS, "1 2 3 abc", "not an even number of hex digits"),
        (RRType.DNSKEY, "1 2 3 *", "not base 64"),
        (RRType.RRSIG, "A 5 3 1 20030230173103 1 1 . AQID", "not a time like"),
        (RRType.NSEC, ". NOTYPE", "'NOTYPE' is not a type of record"),
        (RRType.NSEC3, "1 1 1 - w", "not base 32"),
        (RRType.EUI48, "00-00-5e-00-53", "6 groups of hex digits"),
        (RRType.SVCB, "1 . port=1 port=2", "port twice"),
        (RRType.SVCB, "1 . port", "port needs a value"),
        (RRType.SVCB, "1 . port=70000", "not a number from 0 to 65535"),
        (RRType.SVCB, "1 . no-default-alpn", "no-default-alpn without alpn"),
        (RRType.SVCB, "1 . no-default-alpn=x alpn=h2", "no-default-alpn has no value"),
        (RRType.SVCB, "1 . mandatory=alpn port=1", "mandatory is not"),
        (RRType.SVCB, "1 . mandatory=mandatory,port port=1", "mandatory is not"),
        (RRType.SVCB, "1 . key007=x", "'key007' is not a parameter"),
        (RRType.SVCB, "1 . alpn=h2,,h3", "not a list of protocol ids"),
        (RRType.SVCB, "1 . key5", "ech needs a value"),
        (65280, "1 2 3", "only known in the form"),
        (65280, r"\# 3 abcd", "2 octets, but 3 are announced"),
        (65280, r"\# x", "not a number"),
        (RRType.A, r"\# 3 abcdef", "rdata"),
    ],
)
def test_texts_that_are_wrong(rrtype, text, said):
    with pytest.raises(BadRdata) as caught:
        rdata.parse(rrtype, text, ORIGIN)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (rdata.MX(-1, ORIGIN), "MX preference: -1 is not a number"),
        (
            rdata.MX(1, "mail"),  # type: ignore[arg-type]
            "MX exchange: 'mail' is not a Name",
        ),
        (rdata.A("x"), "A address"),
        (
            rdata.TXT("text"),  # type: ignore[arg-type]
            "give a tuple",
        ),
        (rdata.TXT(()), "give a tuple"),
        (
            rdata.TXT(("text",)),  # type: ignore[arg-type]
            "TXT strings",
        ),
        (rdata.NSEC(ORIGIN, (1, 70000)), "70000 is not a type"),
        (rdata.DS(1, 1, 1, b""), "DS digest: it must not be empty"),
        (rdata.NSEC3(1, 1, 1, b"", b"", ()), "an empty hash"),
        (rdata.SVCB(1, ORIGIN, ((3, b"12"), (1, b"\2h2"))), "out of order"),
        (rdata.URI(1, 1, bytes(65_535)), "65539 octets of data"),
    ],
)
def test_values_that_no_record_holds(made, said):
    with pytest.raises(BadRdata, match=said):
        made.to_wire()


@pytest.mark.parametrize(
    ("rrtype", "raw"),
    [
        (RRType.A, b"123"),
        (RRType.A, b"12345"),
        (RRType.AAAA, bytes(15)),
        (RRType.NS, b"\1a"),
        (RRType.NS, b"\1a\0\0"),
        (RRType.MX, b"\0"),
        (RRType.SOA, b"\0\0" + bytes(19)),
        (RRType.SOA, b"\0\0" + bytes(21)),
        (RRType.TXT, b""),
        (RRType.TXT, b"\2a"),
        (RRType.HINFO, b"\1a"),
        (RRType.CAA, b"\0\0x"),
        (RRType.CAA, b"\0\1-x"),
        (RRType.DS, b"\0\1\1\1"),
        (RRType.NSEC, b"\0\0\1"),
        (RRType.NSEC, b"\0\0\0"),
        (RRType.NSEC, b"\0\0\x21" + b"\1" * 33),
        (RRType.NSEC, b"\0\0\2\1\0"),
        (RRType.NSEC, b"\0\1\1\1\0\1\1"),
        (RRType.NSEC, b"\0\0\1\1\0\1\1"),
        (RRType.NSEC, b"\0\0\5\1"),
        (RRType.NSEC3, b"\1\0\0\1\0\0"),
        (RRType.SVCB, b"\0\1\0\0\1\0"),
        (RRType.SVCB, b"\0\1\0\0\1\0\5h2"),
        (RRType.SVCB, b"\0\1\0\0\3\0\2\0\1\0\3\0\2\0\1"),
        (RRType.SVCB, b"\0\1\0\0\3\0\3\0\0\1"),
        (RRType.SVCB, b"\0\1\0\0\4\0\0"),
        (RRType.SVCB, b"\0\1\0\0\6\0\4abcd"),
        (RRType.SVCB, b"\0\1\0\0\1\0\1\0"),
        (RRType.SVCB, b"\0\1\0\0\0\0\2\0\3"),
    ],
)
def test_octets_that_are_refused(rrtype, raw):
    with pytest.raises(FormError) as caught:
        rdata.decode(rrtype, raw)
    assert caught.value.reason is FormReason.RDATA


_pieces = st.sampled_from(
    ["1", "65536", "a.b", ".", "@", '"', "\\", "\\#", "-", "=", "alpn=h2", "port=", "::1", "1.2.3.4", "é", "A"]
)


@given(st.sampled_from([*rdata.CLASSES, 65280]), st.text(max_size=40) | st.lists(_pieces, max_size=10).map(" ".join))
@settings(deadline=None)
def test_whatever_the_text_only_one_error_comes_of_it(rrtype, text):
    try:
        made = rdata.parse(rrtype, text, ORIGIN)
    except BadRdata:
        return
    assert rdata.decode(rrtype, made.to_wire()) == made


@rfc("3597", "5", "D-CODEC-UNKNOWN")
def test_unknown_types_are_octets_and_keep_them():
    made = rdata.decode(65280, b"\xc0\x0c\1")
    assert made == rdata.Unknown(65280, b"\xc0\x0c\1")
    assert str(made) == r"\# 3 c00c01"
    assert type_text(65280) == "TYPE65280"
    assert parse_type("type65280") == 65280
    assert parse_type("Type1") == parse_type("a") == RRType.A
    assert parse_class("class7") == 7
    assert parse_class("ch") == RRClass.CH
    assert rcode_text(3000) == "RCODE3000"
    for wrong in ("TYPE", "TYPE65536", "TYPE-1", "TYPE1x", "65280", "TYPE²"):
        with pytest.raises(ValueError, match="is not a type of record"):
            parse_type(wrong)


def test_types_of_class_in_are_octets_in_another_one():
    assert isinstance(rdata.decode(RRType.A, b"\1a\0\0\1", RRClass.CH), rdata.Unknown)
    assert isinstance(rdata.decode(RRType.TXT, b"\1a", RRClass.CH), rdata.TXT)
    assert rdata.decode(RRType.TXT, b"", RRClass.ANY) == rdata.Unknown(RRType.TXT, b"")


@rfc("9460", "2.4.2", "D-SVCB-ALIAS")
def test_parameters_of_an_alias_do_not_make_it_wrong():
    assert rdata.decode(RRType.HTTPS, b"\0\0\1a\0\0\3\0\2\1\xbb").priority == 0


def test_properties_of_services():
    made = rdata.parse(
        RRType.HTTPS,
        r'16 svc alpn="h2,f\\\\oo\\,bar" port=8443 ipv4hint=192.0.2.1,192.0.2.2 ipv6hint=2001:db8::1 key9=x',
        ORIGIN,
    )
    assert made.target == Name.parse("svc.example.test")
    assert made.alpn == (b"h2", rb"f\oo,bar")
    assert made.port == 8443
    assert made.ipv4hint == ("192.0.2.1", "192.0.2.2")
    assert made.ipv6hint == ("2001:db8::1",)
    assert made.param(9) == b"x"
    bare = rdata.HTTPS(1, ORIGIN)
    assert (bare.alpn, bare.port, bare.ipv4hint, bare.ipv6hint, bare.param(9)) == ((), None, (), (), None)


@rfc("4034", "B", "D-DNSKEY-TAG")
def test_key_tag():
    key = rdata.parse(
        RRType.DNSKEY,
        "256 3 5 AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMmmAphXdvxegXd"
        "/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw==",
    )
    assert key.key_tag == 60485  # the example of RFC 4034 §5.4


@given(st.binary(min_size=16, max_size=16) | st.lists(st.sampled_from([b"\0\0", b"\0\1"]), min_size=8, max_size=8))
@settings(deadline=None)
def test_ipv6_is_written_as_rfc_5952_says(raw):
    raw = raw if isinstance(raw, bytes) else b"".join(raw)
    text = format_ipv6(raw)
    assert parse_ipv6(text) == raw
    # the library of the language writes a single zero group so, too; but IPv4 within only since 3.13
    assert text == str(ipaddress.IPv6Address(raw)) or raw[:12] == bytes(10) + b"\xff\xff"


@given(st.text("0123456789abcdef:.", max_size=24) | st.from_regex(r"[0-9a-f:]{2,30}(\d{1,3}\.){0,3}", fullmatch=True))
@settings(deadline=None)
def test_ipv6_texts_are_taken_as_by_the_library_of_the_language(text):
    try:
        expected = ipaddress.IPv6Address(text).packed
    except ValueError:
        expected = None
    try:
        taken = parse_ipv6(text)
    except ValueError:
        taken = None
    assert taken == expected


@given(st.text("0123456789.", max_size=16))
@settings(deadline=None)
def test_ipv4_texts_are_taken_as_by_the_library_of_the_language(text):
    try:
        expected = ipaddress.IPv4Address(text).packed
    except ValueError:
        expected = None
    try:
        taken = parse_ipv4(text)
    except ValueError:
        taken = None
    assert taken == expected


@given(st.integers(0, 0xFFFF_FFFF))
@settings(deadline=None)
def test_times_both_ways(seconds):
    assert parse_time(format_time(seconds)) == seconds


def test_times():
    assert format_time(0) == "19700101000000"
    assert format_time(951_782_400) == "20000229000000"
    assert parse_time("12345") == 12345
    for wrong in ("20230229000000", "20230101240000", "19691231235959", "29991231235959", "x"):
        with pytest.raises(ValueError, match=r"is not a (time|number)"):
            parse_time(wrong)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("3600", 3600), ("1h", 3600), ("1W2d3H4m5s", 788_645)])
def test_ttls(text, seconds):
    assert parse_ttl(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "1h2", "1y", "-1", "2147483648", "9999999w", "1 h", "\u0661"])
def test_ttls_that_are_none(text):
    with pytest.raises(ValueError, match="is not a"):
        parse_ttl(text)


def test_words():
    assert tokenize(r'a  "b c"' + "\t" + r'd="e f" \" "g\"h" ""') == [
        Token("a"), Token("b c", quoted=True), Token("d=e f"), Token(r"\""), Token(r"g\"h", quoted=True),
        Token("", quoted=True),
    ]  # fmt: skip


@rfc("3596", "2.5", "D-REVERSE-6")
@rfc("1035", "3.5", "D-REVERSE-4")
def test_names_of_addresses():
    assert str(reverse_name("192.0.2.51")) == "51.2.0.192.in-addr.arpa."
    assert str(reverse_name("2001:db8::567:89ab")) == (
        "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa."
    )
