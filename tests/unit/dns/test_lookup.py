"""What zones say of names: RFC 1034 §4.3.2 with wildcards, DNAME, delegations, and names between others."""

import pytest

from stack.dns.constants import RRType, parse_type
from stack.dns.errors import ZoneError
from stack.dns.lookup import MAX_CHAIN, Zones, look_up
from stack.dns.names import Name
from stack.dns.zone import Zone
from stack.errors import ConfigError
from tests.support.rfc import rfc

HEAD = "$TTL 300\n@ SOA ns hostmaster 1 2 3 4 60\n@ NS ns\nns A 192.0.2.1\n"


def zone(text="", origin="example.test"):
    return Zone.parse(HEAD + text, Name.parse(origin))


def ask(text, name, rrtype="A", *, others=(), every=False):
    """The outcome, as (rcode, aa, answer, authority, additional), records as "owner type data"."""
    outcome = look_up(Zones([zone(text), *others]), Name.parse(name), parse_type(rrtype), every=every)
    sections = [
        [
            f"{str(rrset.name)[:-1]} {rrset.ttl} {rrset.rdatas[0].rrtype.name} {rdata}"
            for rrset in section
            for rdata in rrset.rdatas
        ]
        for section in (outcome.answer, outcome.authority, outcome.additional)
    ]
    return outcome, *sections


SOA = "example.test 60 SOA ns.example.test. hostmaster.example.test. 1 2 3 4 60"


@rfc("1034", "4.3.2")
def test_records_that_are_there():
    outcome, answer, authority, additional = ask("www A 192.0.2.7\nwww A 192.0.2.8\nwww TXT x", "www.example.test")
    assert (outcome.rcode, outcome.aa, authority, additional) == (0, True, [], [])
    assert answer == ["www.example.test 300 A 192.0.2.7", "www.example.test 300 A 192.0.2.8"]
    assert outcome.rest is None


@rfc("2308", "3")
def test_no_such_record_and_no_such_name_bring_the_soa_record_with_the_lesser_ttl():
    for name, rcode in (("www.example.test", 0), ("wwx.example.test", 3), ("x.www.example.test", 3)):
        outcome, answer, authority, _ = ask("www TXT x", name)
        assert (outcome.rcode, outcome.aa, answer, authority) == (rcode, True, [], [SOA])
    low = Zones([Zone.parse("@ 9 SOA a b 1 2 3 4 60\n@ 9 NS a", Name.parse("low"))])
    assert look_up(low, Name.parse("x.low"), RRType.A).authority[0].ttl == 9


@rfc("8020", "2")
@rfc("4592", "2.2.2")
def test_a_name_between_others_exists_without_records():
    outcome, answer, authority, _ = ask("a.b.ent A 192.0.2.7", "b.ent.example.test")
    assert (outcome.rcode, answer, authority) == (0, [], [SOA])
    assert ask("a.b.ent A 192.0.2.7", "c.ent.example.test")[0].rcode == 3


RFC4592 = """
* TXT "this is a wildcard"
* MX 10 host1
sub.* TXT "this is not a wildcard"
host1 A 192.0.2.1
_ssh._tcp.host1 SRV 0 0 22 host1
_ssh._tcp.host2 SRV 0 0 22 host2
subdel NS ns.example.com.
subdel NS ns.example.net.
"""


@rfc("4592", "2.2.1")
@pytest.mark.parametrize(
    ("name", "rrtype", "rcode", "answer"),
    [
        ("host3", "MX", 0, ["host3.example.test 300 MX 10 host1.example.test."]),
        ("host3", "A", 0, []),
        ("foo.bar", "TXT", 0, ['foo.bar.example.test 300 TXT "this is a wildcard"']),
        ("host1", "MX", 0, []),
        ("sub.*", "MX", 0, []),
        ("_telnet._tcp.host1", "SRV", 3, []),
        ("ghost.*", "MX", 3, []),
        ("*", "TXT", 0, ['*.example.test 300 TXT "this is a wildcard"']),
        ("sub.*", "TXT", 0, ['sub.*.example.test 300 TXT "this is not a wildcard"']),
    ],
)
def test_the_wildcards_of_the_rfc(name, rrtype, rcode, answer):
    outcome, found, _, _ = ask(RFC4592, f"{name}.example.test", rrtype)
    assert (outcome.rcode, found, outcome.aa) == (rcode, answer, True)


@rfc("4592", "2.2.1")
def test_a_wildcard_stands_for_nothing_below_a_delegation():
    outcome, answer, authority, _ = ask(RFC4592, "host.subdel.example.test", "A")
    assert (outcome.rcode, outcome.aa, answer, len(authority)) == (0, False, [], 2)


@rfc("4592", "3.3.3")
def test_a_wildcard_may_be_an_alias():
    outcome, answer, _, _ = ask("* CNAME ns", "x.y.example.test")
    assert answer == ["x.y.example.test 300 CNAME ns.example.test.", "ns.example.test 300 A 192.0.2.1"]
    assert outcome.rcode == 0


@rfc("4592", "4.2")
@rfc("4592", "4.4")
@pytest.mark.parametrize("data", ["NS ns", "DNAME ns"])
def test_wildcards_without_a_meaning_are_refused(data):
    with pytest.raises(ZoneError, match="at a wildcard has no meaning"):
        zone(f"* {data}")


CUT = """
sub NS ns.sub
sub NS ns.other.test.
sub NS ns.sibling
sub DS 1 8 2 0000000000000000000000000000000000000000000000000000000000000000
ns.sub A 192.0.2.2
ns.sub AAAA 2001:db8::2
sibling NS ns.sibling
ns.sibling A 192.0.2.3
deep.ns.sub A 192.0.2.4
"""


@rfc("1034", "4.3.2")
@rfc("9471", "3")
@pytest.mark.parametrize(
    "name", ["sub.example.test", "x.sub.example.test", "ns.sub.example.test", "deep.ns.sub.example.test"]
)
def test_delegations_with_their_glue(name):
    outcome, answer, authority, additional = ask(CUT, name)
    assert (outcome.rcode, outcome.aa, answer) == (0, False, [])
    assert authority == [
        f"sub.example.test 300 NS {target}"
        for target in ("ns.sub.example.test.", "ns.other.test.", "ns.sibling.example.test.")
    ]
    assert additional == [
        "ns.sub.example.test 300 A 192.0.2.2",
        "ns.sub.example.test 300 AAAA 2001:db8::2",
        "ns.sibling.example.test 300 A 192.0.2.3",
    ]
    assert outcome.rest == Name.parse(name)


@rfc("4035", "3.1.4.1")
def test_ds_records_are_the_parents():
    outcome, answer, authority, _ = ask(CUT, "sub.example.test", "DS")
    assert (outcome.aa, [line.split()[2] for line in answer], authority) == (True, ["DS"], [])
    outcome, answer, authority, _ = ask(CUT, "sibling.example.test", "DS")
    assert (outcome.aa, outcome.rcode, answer, authority) == (True, 0, [], [SOA])
    # a child beside its parent: the parent is asked; a child alone says that it has none
    child = zone(origin="sub.example.test")
    assert [line.split()[2] for line in ask(CUT, "sub.example.test", "DS", others=[child])[1]] == ["DS"]
    alone = look_up(Zones([child]), Name.parse("sub.example.test"), RRType.DS)
    assert (alone.rcode, alone.aa, alone.authority[0].name) == (0, True, Name.parse("sub.example.test"))


@rfc("1034", "4.3.2")
@rfc("6604", "3")
def test_aliases_are_followed_and_the_last_name_decides():
    text = "a CNAME b\nb CNAME c\nc A 192.0.2.7\nd CNAME missing\ne CNAME f\nf TXT x"
    assert [line.split()[0] for line in ask(text, "a.example.test")[1]] == [f"{x}.example.test" for x in "abc"]
    outcome, answer, authority, _ = ask(text, "d.example.test")
    assert (outcome.rcode, outcome.aa, len(answer), authority) == (3, True, 1, [SOA])
    outcome, answer, authority, _ = ask(text, "e.example.test")
    assert (outcome.rcode, len(answer), authority) == (0, 1, [SOA])
    assert len(ask(text, "a.example.test", "CNAME")[1]) == 1
    assert len(ask(text, "a.example.test", "ANY")[1]) == 1


def test_aliases_that_go_round_end():
    outcome, answer, _, _ = ask("a CNAME b\nb CNAME a\nself CNAME self", "a.example.test")
    assert (outcome.rcode, len(answer), outcome.rest) == (0, 2, None)
    assert len(ask("self CNAME self", "self.example.test")[1]) == 1
    long = "\n".join(f"c{number} CNAME c{number + 1}" for number in range(50))
    assert len(ask(long, "c0.example.test")[1]) == MAX_CHAIN


def test_an_alias_out_of_the_zones_leaves_the_rest():
    outcome, answer, authority, _ = ask("a CNAME www.elsewhere.net.", "a.example.test")
    assert (outcome.rcode, outcome.aa, len(answer), authority) == (0, True, 1, [])
    assert outcome.rest == Name.parse("www.elsewhere.net")


@rfc("1034", "4.3.2")
def test_the_nearest_of_several_zones_answers_and_aliases_go_from_one_to_the_other():
    child = zone("www A 192.0.2.9", "sub.example.test")
    outcome, answer, _, _ = ask(CUT + "to CNAME www.sub", "www.sub.example.test", others=[child])
    assert (outcome.aa, answer) == (True, ["www.sub.example.test 300 A 192.0.2.9"])
    answer = ask(CUT + "to CNAME www.sub", "to.example.test", others=[child])[1]
    assert answer[1:] == ["www.sub.example.test 300 A 192.0.2.9"]


def test_outside_the_zones():
    for name in ("test", "other.test", ".", "example.test.net", "xexample.test"):
        outcome, answer, authority, _ = ask("", name)
        assert (outcome.rcode, outcome.aa, answer, authority) == (5, False, [], [])


DNAME = "d DNAME target\nwww.target A 192.0.2.7\nd TXT own\ntarget MX 5 www.target\nlong DNAME " + ".".join(
    ["l" * 60] * 3
)


@rfc("6672", "3.2")
def test_below_a_dname_the_name_ends_with_its_target():
    outcome, answer, _, _ = ask(DNAME, "www.d.example.test")
    assert (outcome.rcode, outcome.aa) == (0, True)
    assert answer == [
        "d.example.test 300 DNAME target.example.test.",
        "www.d.example.test 300 CNAME www.target.example.test.",
        "www.target.example.test 300 A 192.0.2.7",
    ]
    assert ask(DNAME, "zzz.d.example.test")[0].rcode == 3
    assert len(ask(DNAME, "www.d.example.test", "CNAME")[1]) == 2


@rfc("6672", "2.3")
def test_a_dname_is_not_for_its_own_name_and_hides_what_is_below():
    assert ask(DNAME, "d.example.test", "TXT")[1] == ['d.example.test 300 TXT "own"']
    assert ask(DNAME, "d.example.test", "DNAME")[1] == ["d.example.test 300 DNAME target.example.test."]
    assert ask(DNAME, "d.example.test", "MX")[0].rcode == 0
    assert ask(DNAME, "x.d.example.test")[0].rcode == 3


@rfc("6672", "2.2")
def test_a_dname_that_makes_too_long_a_name():
    outcome, answer, _, _ = ask(DNAME, f"{'x' * 63}.long.example.test")
    assert (outcome.rcode, len(answer)) == (6, 1)


def test_a_dname_that_leads_to_itself_is_used_once():
    outcome, answer, _, _ = ask("d DNAME target.d", "x.d.example.test")
    assert answer == [
        "d.example.test 300 DNAME target.d.example.test.",
        "x.d.example.test 300 CNAME x.target.d.example.test.",
    ]
    assert (outcome.rcode, outcome.rest) == (0, None)


def test_addresses_of_hosts_that_records_name():
    text = "@ MX 1 a\n@ MX 2 a\n@ MX 3 far.test.\na A 192.0.2.7\na AAAA 2001:db8::7\n"
    text += "_s._tcp SRV 1 2 3 a\n@ HTTPS 1 .\n@ A 192.0.2.5"
    both = ["a.example.test 300 A 192.0.2.7", "a.example.test 300 AAAA 2001:db8::7"]
    assert ask(text, "example.test", "MX")[3] == both
    assert ask(text, "_s._tcp.example.test", "SRV")[3] == both
    assert ask(text, "example.test", "HTTPS")[3] == ["example.test 300 A 192.0.2.5"]
    assert ask(text, "example.test", "NS")[3] == ["ns.example.test 300 A 192.0.2.1"]


@rfc("8482", "4.1")
def test_any_is_one_set_or_all_where_it_cannot_be_abused():
    text = "www A 192.0.2.7\nwww TXT x\nwww MX 1 ns"
    assert len(ask(text, "www.example.test", "ANY")[1]) == 1
    assert len(ask(text, "www.example.test", "ANY", every=True)[1]) == 3
    assert ask(text, "ns.www.example.test", "ANY")[0].rcode == 3


def test_signatures_are_there_for_who_asks_for_them():
    signature = "RRSIG {} 13 2 300 20300101000000 20200101000000 1 example.test. AAAA"
    text = f"www A 192.0.2.7\nwww {signature.format('A')}\nwww {signature.format('TXT')}\nwww TXT x\n"
    assert len(ask(text, "www.example.test", "RRSIG")[1]) == 2
    assert len(ask(text, "www.example.test", "A")[1]) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a CNAME b\na A 192.0.2.1", "zone:6: a.example.test. has a CNAME record"),
        ("a A 192.0.2.1\na CNAME b", "zone:6: a.example.test. has a CNAME record"),
        ("a CNAME b\na CNAME c", "zone:6: a second CNAME record at a.example.test."),
        ("d DNAME b\nd DNAME c", "zone:6: a second DNAME record"),
        ("@ SOA a b 1 2 3 4 6", "zone:5: a second SOA record"),
        ("a SOA a b 1 2 3 4 6", "zone:5: a SOA record at a.example.test., which is not the zone's name"),
        ("a.other. A 192.0.2.1", "zone:5: a.other. is not within zone example.test."),
    ],
)
def test_what_cannot_be_in_a_zone_together(text, said):
    assert refusal(text).startswith(said)


def refusal(text):
    with pytest.raises(ZoneError) as caught:
        zone(text)
    return caught.value.strerror


@rfc("6672", "2.4")
def test_nothing_may_be_below_a_dname():
    for text in ("d DNAME b\nx.d A 192.0.2.1", "x.d A 192.0.2.1\nd DNAME b"):
        at = 6 if text.startswith("d") else 5
        assert refusal(text) == (f"zone:{at}: x.d.example.test. is below d.example.test., whose DNAME record hides it")
    assert refusal("d DNAME b\nx.y.d NS ns").startswith("zone:6: x.y.d.example.test. is below")
    assert len(zone("d DNAME b\nxd A 192.0.2.1\nc NS ns.c\nns.c A 192.0.2.1\nx.c DNAME b\ny.x.c A 192.0.2.1")) == 9
    signed = "@ 5 SOA a. b. 1 2 3 4 5\n@ 5 NS a.\n@ 5 DNAME b.\n"
    denial = (
        "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom 5 NSEC3 1 0 0 - 2t7b4g4vsa5smi47k61mv5bv1a22bojr DNAME\n"
        "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom 5 RRSIG NSEC3 13 2 5 20260101000000 20250101000000 1 x. AAAA\n"
    )
    assert len(Zone.parse(signed + denial, Name.parse("x"))) == 5


@rfc("2181", "10.3")
def test_servers_and_mail_hosts_that_are_aliases():
    assert refusal("a CNAME ns\n@ NS a") == (
        "zone:6: the server a.example.test. has a CNAME record: give the name that has its addresses (RFC 2181 §10.3)"
    )
    assert refusal("* CNAME ns\n@ NS a").startswith("zone:6: the server a.example.test. has a CNAME record")
    assert refusal("d DNAME b\n@ NS a.d").startswith("zone:6: the server a.d.example.test. is below the DNAME record")
    for line, who in (("@ MX 5 a\n@ MX 6 ns", "mail host"), ("sub NS a", "server")):  # which BIND takes, too
        (warning,) = zone(f"a CNAME ns\n{line}").warnings
        assert warning.startswith(f"zone:6: the {who} a.example.test. has a CNAME record: give the name that has")
    assert zone("a CNAME ns\n@ NS a.other.\n@ MX 5 a.other.\n@ MX 5 ns\nc NS d.c\nd.c A 192.0.2.1").warnings == ()


def test_a_set_must_fit_into_a_message():
    text = "x" * 250
    fits, more = ("".join(f'a TXT "{number:03}{text}"\n' for number in range(count)) for count in (246, 247))
    (rrset,) = look_up(Zones([zone(fits)]), Name.parse("a.example.test"), 16).answer
    assert len(rrset) == 246
    assert refusal("b A 192.0.2.1\n" + more) == (
        "zone:6: the 247 TXT records at a.example.test. from here on fit in no message, which has at most 65535 octets"
    )
    # names that are written once: five times as much, were they not compressed
    assert len(zone("".join(f"p PTR n{number}.{'y' * 60}\n" for number in range(3000)))) == 3003


def test_a_zone_without_soa_or_servers():
    for text, said in (
        ("", "f.zone:1: zone x. has no SOA record"),
        ("\n@ 5 NS a\na 5 A 192.0.2.1", "f.zone:2: zone x. has no SOA record"),
        ("; x\n\n@ 5 SOA a b 1 2 3 4 5\na 5 A 192.0.2.1", "f.zone:3: zone x. has no NS record"),
    ):
        with pytest.raises(ZoneError) as caught:
            Zone.parse(text, Name.parse("x"), source="f.zone")
        assert caught.value.strerror == f"{said} at its own name; is its origin right?"
    with pytest.raises(ConfigError, match="given twice"):
        Zones([zone(), zone()])


@rfc("2181", "5.2")
def test_a_set_has_one_ttl_and_each_record_once():
    (rrset,) = look_up(
        Zones([zone("a 5 A 192.0.2.1\na 9 A 192.0.2.2\na 5 A 192.0.2.1")]), Name.parse("a.example.test"), 1
    ).answer
    assert (rrset.ttl, len(rrset)) == (5, 2)
