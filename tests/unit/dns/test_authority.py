"""Octets of queries in, octets of replies out: flags, EDNS, cookies, sizes, refusals, and what must not be answered."""

import random
import struct

import dns.message
import pytest

from stack.dns import authority as module
from stack.dns.access import Access
from stack.dns.authority import Authority, Dropped, Pending
from stack.dns.constants import EdeCode, Opcode, Rcode, RRClass, RRType, parse_type
from stack.dns.edns import Edns, cookie_option, keepalive_option
from stack.dns.errors import FormReason
from stack.dns.lookup import Zones
from stack.dns.message import Message, Question
from stack.dns.names import Name
from stack.dns.rdata import A
from stack.dns.rrset import RRset
from stack.dns.zone import Zone
from tests.support import dns_zones
from tests.support.rfc import rfc

OWN, FOREIGN = ("198.18.0.1", 5353), ("203.0.113.9", 5353)
WWW = Name.parse("www.example.test")
CLIENT = b"clientck"
ASKED = dns_zones.ANSWERED + dns_zones.NODATA + dns_zones.MISSING + dns_zones.FAILING
CASES = (b"\0", b"\x20" * 256)


def server(*, recursive=False, rate=0, **zones):
    texts = zones or {"example.test": dns_zones.EXAMPLE_ZONE, "test": dns_zones.TEST_ZONE}
    made = [Zone.parse(text, Name.parse(name)) for name, text in texts.items()]
    return Authority(
        Zones(made), Access(["198.18.0.0/24"]), random.Random(1), 0, recursive=recursive, rate=rate, idle_us=7_000_000
    )


def ask(asked, name=WWW, rrtype=RRType.A, source=FOREIGN, *, tcp=False, now=0, **options):
    wire = query(name, rrtype, **options)
    reply = asked.respond(wire, source, now, tcp=tcp)
    return reply if reply is None or isinstance(reply, Pending) else Message.parse(reply)


def query(name=WWW, rrtype=RRType.A, **options):
    return Message.query(name, int(rrtype), **{"id": 4711, "edns": Edns(), **options}).build()


@pytest.mark.parametrize(("name", "rrtype"), ASKED)
def test_a_reply_from_a_template_says_what_the_long_way_says(name, rrtype):
    asked = server()
    question = Name.parse(name), parse_type(rrtype)
    for options in ({}, {"edns": None}, {"edns": Edns(512)}, {"rd": False}):
        wire = query(*question, **options)
        first, second = asked.respond(wire, FOREIGN, 0), asked.respond(wire, FOREIGN, 0)
        long = asked._unusual(wire, 0, asked._access.of(FOREIGN[0]), tcp=False)
        assert first == second
        theirs, ours = dns.message.from_wire(second), dns.message.from_wire(long)
        assert (theirs.id, theirs.flags, theirs.rcode(), theirs.question) == (
            ours.id,
            ours.flags,
            ours.rcode(),
            ours.question,
        )
        assert theirs.sections == ours.sections
        assert (theirs.edns, theirs.payload, theirs.ednsflags) == (ours.edns, ours.payload, ours.ednsflags)


@rfc("4343", "4.1")
def test_the_question_comes_back_as_it_was_written():
    asked = server()
    for written in ("www.example.test", "WwW.eXamPle.TEST", "WWW.EXAMPLE.TEST"):
        name = Name.parse(written)
        reply = ask(asked, name)
        assert reply.question.name == name
        assert [(rrset.name.key, str(rrset.rdatas[0])) for rrset in reply.answer] == [(WWW, "10.53.0.51")]
    assert asked.stats.unusual == 0


def test_a_type_is_not_taken_for_another_one_whose_octets_are_letters_of_the_other_case():
    asked = server(
        **{"example.test": dns_zones.EXAMPLE_ZONE + "a TYPE97 \\# 1 00\na HTTPS 1 ."}
    )  # 97 is 0x61, HTTPS 0x41
    name = Name.parse("a.example.test")
    for rrtype in (RRType.HTTPS, 97, RRType.HTTPS, 97):
        assert [rrset.rrtype for rrset in ask(asked, name, rrtype).answer] == [rrtype]


@rfc("1035", "4.1.1")
@rfc("4035", "3.1.6")
def test_the_flags_of_a_reply():
    asked = server()
    for rd, cd in ((0, 0), (1, 0), (0, 1), (1, 1)):
        wire = bytearray(query(rd=bool(rd)))
        wire[3] |= cd << 4 | 0x60  # and AD and Z, which mean nothing here
        reply = Message.parse(asked.respond(bytes(wire), FOREIGN, 0))
        assert (reply.qr, reply.aa, reply.rd, reply.cd, reply.ra, reply.ad) == (
            True,
            True,
            bool(rd),
            bool(cd),
            False,
            False,
        )


@rfc("6891", "6.1.1")
@rfc("6891", "7")
def test_edns_is_answered_with_edns_and_only_then():
    asked = server()
    assert ask(asked).edns == Edns(1232)
    assert ask(asked, edns=None).edns is None
    assert ask(asked, edns=Edns(options=[(65001, b"?")])).edns == Edns(1232)
    assert ask(asked, WWW, RRType.ANY).edns == Edns(1232)


@rfc("3225", "3")
def test_do_comes_back():
    assert ask(server(), edns=Edns(do=True)).edns.do
    assert ask(server(), edns=Edns(do=True, options=[(65001, b"?")])).edns.do


@rfc("6891", "6.1.3")
def test_another_version_of_edns():
    reply = ask(server(), edns=Edns(version=1))
    assert (reply.rcode, reply.edns.version, reply.answer) == (Rcode.BADVERS, 0, [])


@rfc("6891", "6.2.3")
@rfc("2181", "9")
def test_answers_are_cut_to_what_the_client_takes():
    asked, big = server(), Name.parse("big.example.test")
    for edns, limit in ((None, 512), (Edns(100), 512), (Edns(1232), 1232), (Edns(4096), 1232)):
        wire = asked.respond(query(big, RRType.TXT, edns=edns), FOREIGN, 0)
        assert Message.parse(wire).tc
        assert len(wire) <= limit
    whole = ask(asked, big, RRType.TXT, tcp=True, edns=None)
    assert (whole.tc, len(whole.answer[0])) == (False, dns_zones.BIG_RRS)
    assert asked.stats.truncated == 4
    # 13 addresses fit into 512 octets, 50 into 1232
    text = dns_zones.EXAMPLE_ZONE + "".join(f"many A 192.0.2.{number}\n" for number in range(50))
    asked, many = server(**{"example.test": text}), Name.parse("many.example.test")
    for _ in range(2):  # also from the template
        assert not ask(asked, many).tc
        assert ask(asked, many, edns=None).tc
        assert ask(asked, many, edns=Edns(600)).tc


@rfc("9471", "3.1")
def test_a_referral_whose_glue_does_not_fit_says_so():
    lines = "".join(
        f"sub NS n{i}.sub\n" + "".join(f"n{i}.sub AAAA 2001:db8::{i}:{j}\n" for j in range(9)) for i in range(6)
    )
    asked = server(**{"example.test": dns_zones.EXAMPLE_ZONE + lines})
    assert ask(asked, Name.parse("x.sub.example.test"), edns=None).tc
    assert not ask(asked, Name.parse("x.sub.example.test"), tcp=True).tc


@rfc("7873", "5.2.3")
@rfc("7873", "5.2.4")
@rfc("7873", "5.2.5")
def test_cookies():
    for option in ((), ((65001, b"?"),)):  # the short way and the long way
        asked = server()
        first = ask(asked, edns=Edns(options=[cookie_option(CLIENT), *option]))
        assert (first.rcode, first.edns.cookie[:8], len(first.edns.cookie)) == (0, CLIENT, 24)
        known = first.edns.cookie
        again = ask(asked, edns=Edns(options=[(10, known), *option]), now=60_000_000)
        assert again.edns.cookie == known
        late = ask(asked, edns=Edns(options=[(10, known), *option]), now=2000 * 1_000_000)
        assert (late.edns.cookie[:8], late.edns.cookie != known) == (CLIENT, True)
        wrong = ask(asked, edns=Edns(options=[(10, CLIENT + bytes(16)), *option]))
        assert (wrong.rcode, len(wrong.answer), wrong.edns.cookie) == (0, 1, known)


@rfc("7873", "5.2.2")
def test_a_cookie_of_a_wrong_length_is_malformed():
    for size in (0, 7, 9, 15, 41):
        asked = server()
        assert ask(asked, edns=Edns(options=[(10, bytes(size))])).rcode == Rcode.FORMERR
        assert asked.stats.malformed == {FormReason.OPTION: 1}


@rfc("7873", "5.4")
def test_a_query_for_a_cookie_alone():
    asked = server()
    message = Message(5, edns=Edns(options=[cookie_option(CLIENT)]))
    reply = Message.parse(asked.respond(message.build(), FOREIGN, 0))
    assert (reply.rcode, reply.question, len(reply.edns.cookie)) == (0, None, 24)
    without = Message.parse(asked.respond(Message(5, edns=Edns()).build(), FOREIGN, 0))
    assert without.rcode == Rcode.FORMERR


@rfc("7828", "3.3.2")
def test_clients_that_ask_are_told_how_long_a_connection_is_kept():
    asked = server()
    assert ask(asked, edns=Edns(options=[keepalive_option()]), tcp=True).edns.keepalive_us == 7_000_000
    assert ask(asked, edns=Edns(options=[keepalive_option()])).edns.options == ()
    assert ask(asked, tcp=True).edns.options == ()


@rfc("1035", "4.1.1")
@pytest.mark.parametrize("opcode", [Opcode.IQUERY, Opcode.STATUS, 3, Opcode.NOTIFY, Opcode.UPDATE, Opcode.DSO, 15])
def test_other_opcodes_are_not_implemented(opcode):
    message = Message(5, opcode=opcode, question=Question(WWW, RRType.A))
    reply = Message.parse(server().respond(message.build(), FOREIGN, 0))
    assert (reply.rcode, reply.opcode, reply.answer) == (Rcode.NOTIMP, opcode, [])


@pytest.mark.parametrize(
    ("rrtype", "rcode"),
    [
        (RRType.AXFR, Rcode.REFUSED),
        (RRType.IXFR, Rcode.REFUSED),
        (RRType.MAILB, Rcode.NOTIMP),
        (RRType.TSIG, Rcode.NOTIMP),
        (RRType.OPT, Rcode.FORMERR),
        (0, Rcode.FORMERR),
        (RRType.RRSIG, Rcode.NOERROR),
        (65534, Rcode.NOERROR),
    ],
)
def test_types_that_are_no_data(rrtype, rcode):
    assert ask(server(), WWW, rrtype).rcode == rcode


@rfc("8914", "4.21")
def test_what_is_not_ours_is_refused_and_said_why():
    asked = server()
    reply = ask(asked, Name.parse("www.elsewhere.net"))
    assert (reply.rcode, reply.aa, [ede.code for ede in reply.edns.ede]) == (5, False, [EdeCode.NOT_AUTHORITATIVE])
    assert ask(asked, Name.parse("www.elsewhere.net"), edns=None).rcode == Rcode.REFUSED
    assert ask(asked, rrclass=RRClass.CH).rcode == Rcode.REFUSED
    assert ask(asked, rrclass=RRClass.ANY).rcode == Rcode.REFUSED


def test_networks_that_may_not_ask_are_refused():
    closed = Authority(server().zones, Access(ask=["198.18.0.0/24"]), random.Random(1), 0)
    assert ask(closed, source=OWN).rcode == 0
    assert (ask(closed).rcode, ask(closed).answer) == (Rcode.REFUSED, [])


# -- what is malformed


def test_responses_are_never_answered():
    asked = server()
    for wire in (Message.parse(query()).reply().build(), b"\0\1\x80" + bytes(9), b"\0\1\xff" + bytes(40)):
        assert asked.respond(wire, FOREIGN, 0) is None
    assert asked.stats.dropped == {Dropped.RESPONSE: 3}


def test_what_has_no_header_is_dropped():
    asked = server()
    for size in range(12):
        assert asked.respond(bytes(size), FOREIGN, 0) is None
    assert asked.stats.dropped == {Dropped.TOO_SHORT: 12}


@pytest.mark.parametrize(
    ("wire", "reason"),
    [
        (query()[:-12] + b"\0", None),
        (query()[:20], FormReason.SHORT),
        (query(edns=None) + b"\0", FormReason.TRAILING),
        (query(edns=None)[:4] + b"\0\2" + query(edns=None)[6:], FormReason.QUESTIONS),
        (query(edns=None)[:4] + b"\xff\xff" * 4 + query(edns=None)[12:], FormReason.COUNTS),
        (query(edns=None)[:12] + b"\xc0\x0c\0\1\0\1", FormReason.POINTER),
        (query(edns=None)[:12] + b"\x80\0\0\1\0\1", FormReason.BAD_LABEL),
        (query(edns=None)[:12] + (b"\x3f" + b"x" * 63) * 4 + b"\0\0\1\0\1", FormReason.NAME_TOO_LONG),
        (query()[:10] + b"\0\2" + query()[12:] + query()[-11:], FormReason.OPT_TWICE),
    ],
)
def test_malformed_queries_are_counted_and_answered_with_a_header(wire, reason):
    asked = server()
    reply = asked.respond(wire, FOREIGN, 0)
    assert (reply[:2], reply[3] & 15, len(reply)) == (wire[:2], Rcode.FORMERR, 12)
    assert reason is None or asked.stats.malformed == {reason: 1}


@rfc("2181", "11")
def test_any_octet_can_be_in_a_label():
    asked = server(**{"example.test": dns_zones.EXAMPLE_ZONE + "a\\000b A 192.0.2.1\n\\000 A 192.0.2.2"})
    for text, address in (("a\\000b", "192.0.2.1"), ("\\000", "192.0.2.2")):
        reply = ask(asked, Name.parse(f"{text}.example.test"))
        assert [str(rrset.rdatas[0]) for rrset in reply.answer] == [address]
    assert ask(asked, Name.parse("a\\000c.example.test")).rcode == Rcode.NXDOMAIN


def test_nothing_that_comes_raises():
    asked, rng = server(recursive=True), random.Random(5)
    seeds = [query(Name.parse(name), parse_type(rrtype)) for name, rrtype in ASKED]
    seeds += [query(edns=Edns(options=[cookie_option(CLIENT), (65001, b"x")])), query(edns=None)]
    answered = 0
    for _ in range(6000):
        wire = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(1, 4)):
            wire[rng.randrange(len(wire))] = rng.choice((0, 0xFF, 0xC0, rng.randrange(256)))
        if rng.random() < 0.2:
            del wire[rng.randrange(len(wire)) :]
        for tcp in (False, True):
            reply = asked.respond(bytes(wire), rng.choice((OWN, FOREIGN)), 0, tcp=tcp)
            if isinstance(reply, bytes):
                answered += 1
                assert reply[:2] == wire[:2]
                assert reply[2] & 0x80
                assert tcp or len(reply) <= 1232
                Message.parse(reply)
    stats = asked.stats
    assert answered == stats.rcodes.total()
    assert stats.queries == 12_000 == answered + stats.dropped.total() + stats.recursive


# -- tables


def test_templates_are_bounded(monkeypatch):
    monkeypatch.setattr(module, "MAX_TEMPLATES", 10)
    asked = server()
    for number in range(30):
        assert ask(asked, Name.parse(f"n{number}.wild.example.test")).rcode == 0
    assert len(asked._templates) == 10


def test_other_zones_take_the_place_at_once():
    asked = server()
    assert len(ask(asked).answer) == 1
    asked.zones = Zones([Zone.parse(dns_zones.EXAMPLE_ZONE + "www A 192.0.2.1", Name.parse("example.test"))])
    assert len(ask(asked).answer[0]) == 2


# -- the rate of answers


def test_a_network_that_asks_too_much_gets_nothing_or_less_than_it_sent():
    asked = server(rate=10)
    wire = query()
    replies = [asked.respond(wire, FOREIGN, 0) for _ in range(30)]
    assert all(not Message.parse(reply).tc for reply in replies[:10])
    cut = [reply for reply in replies[10:] if reply is not None]
    assert len(cut) == 10
    for reply in cut:
        assert (Message.parse(reply).tc, Message.parse(reply).answer) == (True, [])
        assert len(reply) <= len(wire)
    assert asked.stats.dropped == {Dropped.RATE: 10}
    # as the control: without a limit whoever is named as the sender gets more than was sent, each time
    unlimited = server(rate=0)
    assert all(len(unlimited.respond(wire, FOREIGN, 0)) > len(wire) for _ in range(30))


def test_the_rate_is_for_the_network_not_the_address_and_heals():
    asked = server(rate=10)
    for number in range(10):
        assert not ask(asked, source=(f"203.0.113.{number}", 9)).tc
    assert ask(asked, source=("203.0.113.99", 9)).tc
    assert ask(asked, source=("203.0.113.99", 9)) is None
    assert not ask(asked, source=("203.0.114.1", 9)).tc
    assert not ask(asked, now=1_000_000).tc


def test_own_networks_tcp_and_good_cookies_are_not_limited():
    asked = server(rate=1)
    known = ask(asked, edns=Edns(options=[cookie_option(CLIENT)])).edns.cookie
    for _ in range(20):
        assert len(ask(asked, source=OWN).answer) == 1
        assert len(ask(asked, tcp=True).answer) == 1
        assert len(ask(asked, edns=Edns(options=[(10, known)])).answer) == 1
        assert len(ask(asked, edns=Edns(options=[(10, known), (65001, b"")])).answer) == 1
    # a cookie that was not given out is of no use
    forged = Edns(options=[(10, CLIENT + bytes(16))])
    assert [ask(asked, edns=forged) for _ in range(4)].count(None) >= 1


def test_the_long_way_and_formerr_are_limited_too():
    asked = server(rate=1)
    for wire in (query(WWW, RRType.ANY), query()[:20], query(Name.parse("not.ours"))):
        replies = [asked.respond(wire, FOREIGN, 0) for _ in range(9)]
        assert replies.count(None) >= 4
        assert all(reply is None or Message.parse(reply).tc for reply in replies[1:])


# -- asking others


def test_only_own_networks_that_want_it_have_others_asked():
    asked, name = server(recursive=True), Name.parse("www.elsewhere.net")
    pending = ask(asked, name, source=OWN)
    assert isinstance(pending, Pending)
    assert (pending.name, pending.rrtype) == (name, RRType.A)
    assert ask(asked, name, source=OWN, rd=False).rcode == Rcode.REFUSED
    reply = ask(asked, name)
    assert (reply.rcode, reply.ra, [ede.code for ede in reply.edns.ede]) == (5, False, [EdeCode.PROHIBITED])
    assert ask(asked, source=OWN).ra
    assert not ask(asked).ra


def test_what_others_said_is_put_together_with_what_the_zones_say():
    asked = server(recursive=True)
    outside = Name.parse("www.glueless.test")
    pending = ask(asked, Name.parse("out.example.test"), source=OWN)
    assert (pending.name, pending.rrtype) == (outside, RRType.A)
    found = RRset.of(outside, 60, [A("192.0.2.1")])
    reply = Message.parse(asked.complete(pending, [found], 0, ede=(EdeCode.STALE_ANSWER, "old")))
    assert [rrset.rrtype for rrset in reply.answer] == [RRType.CNAME, RRType.A]
    assert (reply.rcode, reply.ra, reply.rd, reply.id, reply.authority) == (0, True, True, 4711, [])
    assert [str(ede) for ede in reply.edns.ede] == ["stale answer (old)"]
    reply = Message.parse(asked.complete(pending, [], 0, rcode=Rcode.NXDOMAIN))
    assert (reply.rcode, len(reply.answer)) == (Rcode.NXDOMAIN, 1)
    reply = Message.parse(asked.fail(pending, (EdeCode.NETWORK_ERROR, "")))
    assert (reply.rcode, reply.answer, [ede.code for ede in reply.edns.ede]) == (2, [], [EdeCode.NETWORK_ERROR])


def test_a_name_below_a_delegation_is_resolved_for_who_may_and_referred_for_who_may_not():
    asked, name = server(recursive=True), Name.parse("www.brief.test")
    pending = ask(asked, name, source=OWN)
    assert pending.name == name
    for reply in (ask(asked, name), ask(asked, name, source=OWN, rd=False)):
        assert (reply.rcode, reply.answer, reply.authority[0].rrtype) == (0, [], RRType.NS)
    reply = Message.parse(asked.complete(pending, [RRset.of(name, 60, [A("192.0.2.1")])], 0))
    assert (reply.aa, len(reply.answer), reply.authority) == (False, 1, [])


def test_an_answer_of_others_is_cut_to_the_client_too():
    asked = server(recursive=True)
    name = Name.parse("big.elsewhere.net")
    addresses = [A(f"192.0.2.{number}") for number in range(200)]
    for options in ({}, {"edns": None}):
        wire = asked.complete(ask(asked, name, source=OWN, **options), [RRset.of(name, 60, addresses)], 0)
        assert struct.unpack("!H", wire[2:4])[0] & 0x200
        assert len(wire) <= 1232


def test_what_others_said_is_known_for_a_second():
    asked, name = server(recursive=True), Name.parse("WWW.elsewhere.net")
    found = [RRset.of(Name.parse("www.elsewhere.net"), 60, [A("192.0.2.1")])]
    soa = asked.zones.closest(Name.parse("example.test")).negative_soa
    first = asked.complete(ask(asked, name, source=OWN), found, 5_000_000)
    again = asked.respond(query(Name.parse("www.ELSEWHERE.net"), rd=True), OWN, 5_999_999)
    assert Message.parse(again).answer == Message.parse(first).answer == found
    assert Message.parse(again).flags == Message.parse(first).flags
    assert str(Message.parse(again).question.name) == "www.ELSEWHERE.net."
    # not for those who may not ask, or did not want it, nor for another type
    assert ask(asked, name, now=5_500_000).rcode == Rcode.REFUSED
    assert ask(asked, name, source=OWN, rd=False, now=5_500_000).rcode == Rcode.REFUSED
    assert isinstance(ask(asked, name, RRType.AAAA, source=OWN, now=5_500_000), Pending)
    assert isinstance(ask(asked, name, source=OWN, now=6_000_000), Pending)
    # names that do not exist, too; not what is too old, has an explanation, or a TTL of 0
    missing = ask(asked, name, source=OWN, now=7_000_000)
    asked.complete(missing, [], 7_000_000, rcode=Rcode.NXDOMAIN, authority=[soa])
    assert ask(asked, name, source=OWN, now=7_000_001).rcode == Rcode.NXDOMAIN
    for answer, ede in (([found[0].with_ttl(0)], None), (found, (EdeCode.STALE_ANSWER, ""))):
        asked.complete(ask(asked, name, source=OWN, now=9_000_000), answer, 9_000_000, ede=ede)
        assert isinstance(ask(asked, name, source=OWN, now=9_000_001), Pending)


def test_what_others_said_is_bounded_and_goes_with_the_zones(monkeypatch):
    monkeypatch.setattr(module, "MAX_RECENT", 10)
    asked = server(recursive=True)
    for number in range(30):
        name = Name.parse(f"n{number}.net")
        asked.complete(ask(asked, name, source=OWN), [RRset.of(name, 60, [A("192.0.2.1")])], 0)
    assert len(asked._recent) == 10
    assert len(ask(asked, Name.parse("n29.net"), source=OWN).answer) == 1
    asked.zones = Zones([])
    assert isinstance(ask(asked, Name.parse("n29.net"), source=OWN), Pending)


@rfc("8482", "4.2")
def test_others_are_not_asked_for_everything():
    asked = server(recursive=True)
    reply = ask(asked, Name.parse("www.elsewhere.net"), RRType.ANY, source=OWN)
    assert [str(rrset.rdatas[0]) for rrset in reply.answer] == ['"RFC8482" ""']
    assert (reply.rcode, reply.aa, reply.authority) == (Rcode.NOERROR, False, [])
