"""Resolving from the root: referrals, priming, minimisation, aliases, servers without addresses, lame servers."""

import pytest

from stack.config import MINUTE, SECOND
from stack.dns.constants import Rcode
from stack.dns.core import Hint, ResolverConfig
from stack.dns.errors import NXDOMAIN, DnsError, NoData, ServFail, Timeout
from stack.dns.message import Message
from stack.dns.names import Name
from tests.support.dns_world import (
    DELAY_US,
    EXAMPLE_ADDRESS,
    HINTS,
    NET_ADDRESS,
    OTHER_ADDRESS,
    OTHER_ZONE,
    ROOT_ADDRESS,
    ROOT_ZONE,
    SOA,
    TEST_ADDRESS,
    TEST_ZONE,
    Scripted,
    World,
    Zones,
    internet,
    iterative,
    records,
    texts,
)
from tests.support.rfc import rfc


def with_zone(text: str, address: str = "10.0.0.9", parent: str = "", **settings) -> World:
    """The internet with sub.test, whose servers `parent` names in test, and zone data at one address."""
    servers = internet()
    servers[TEST_ADDRESS] = Zones({"test": TEST_ZONE + (parent or f"sub 600 NS ns.sub\nns.sub 600 A {address}")})
    servers[address] = Zones({"sub.test": f"@ {SOA}\n{text}"})
    return World(ResolverConfig(hints=HINTS, **settings), servers)


# --- down from the root ----------------------------------------------------------------------------------------------


def test_the_way_down_is_one_question_to_each_zone():
    world = iterative()
    assert texts(world.ask("www.example.test")) == ["192.0.2.1", "192.0.2.2"]
    assert [(s.server, s.name.lower(), s.type) for s in world.sent] == [
        (ROOT_ADDRESS, ".", "NS"),
        (ROOT_ADDRESS, "test.", "A"),
        (TEST_ADDRESS, "example.test.", "A"),
        (EXAMPLE_ADDRESS, "www.example.test.", "A"),
    ]
    assert world.now == 8 * DELAY_US


def test_recursion_is_not_wanted():
    world = iterative()
    world.ask("www.example.test")
    assert not any(Message.parse(sent.wire).rd for sent in world.sent)


def test_what_is_known_of_cuts_is_used():
    world = iterative()
    world.ask("www.example.test")
    world.sent.clear()
    world.ask("mail.example.test", "MX")
    assert world.asked() == [("mail.example.test.", "MX")]


def test_a_delegation_that_expired_is_asked_for_again():
    world = iterative()
    world.ask("www.example.test")
    world.advance(601 * SECOND)
    world.sent.clear()
    world.ask("mail.example.test", "MX")
    assert world.asked(TEST_ADDRESS) == [("example.test.", "A")]


def test_ds_is_asked_of_the_parent():
    world = iterative()
    world.ask("www.example.test")
    world.sent.clear()
    assert isinstance(world.ask("example.test", "DS"), NoData)
    assert world.asked() == [("example.test.", "DS")]
    assert world.sent[0].server == TEST_ADDRESS


# --- priming ---------------------------------------------------------------------------------------------------------


@rfc("9609", "3")
def test_the_root_is_asked_who_its_servers_are():
    world = iterative()
    world.ask("www.example.test")
    assert world.asked()[0] == (".", "NS")
    assert world.counts()["primed"] == 1


@rfc("9609", "3.1")
def test_priming_is_done_anew_when_its_answer_expires():
    world = iterative()
    world.ask("www.example.test")
    world.advance(24 * 60 * MINUTE + SECOND)
    world.ask("www.example.test")
    assert world.asked().count((".", "NS")) == 2


def test_new_root_servers_are_learnt_by_priming():
    servers = internet()
    moved = ROOT_ZONE.replace(ROOT_ADDRESS, "10.0.0.11")
    servers[ROOT_ADDRESS] = servers["10.0.0.11"] = Zones({".": moved})
    world = World(ResolverConfig(hints=HINTS), servers)
    world.ask("www.example.test")
    assert [s.server for s in world.sent][:2] == [ROOT_ADDRESS, "10.0.0.11"]


def test_the_hints_are_used_when_priming_fails():
    servers = internet()
    root = servers[ROOT_ADDRESS]

    def respond(query, tcp):
        return query.reply(Rcode.SERVFAIL) if len(query.question.name) == 1 else root.respond(query, tcp)

    servers[ROOT_ADDRESS] = Scripted(respond)
    world = World(ResolverConfig(hints=HINTS), servers)
    assert texts(world.ask("www.example.test")) == ["192.0.2.1", "192.0.2.2"]
    assert "primed" not in world.counts()


def test_dead_hints_are_passed_over():
    hints = (*HINTS, Hint(Name.parse("b.root"), ("10.0.0.77",)), Hint(Name.parse("c.root"), ("10.0.0.78",)))
    for seed in range(5):
        world = World(ResolverConfig(hints=hints), internet(), seed)
        assert texts(world.ask("www.example.test")) == ["192.0.2.1", "192.0.2.2"]


# --- minimisation ----------------------------------------------------------------------------------------------------


@rfc("9156", "2.3")
def test_no_zone_is_told_more_than_one_label_below_it():
    world = iterative()
    world.ask("a.b.c.d.e.example.test")
    assert world.asked(ROOT_ADDRESS) == [(".", "NS"), ("test.", "A")]
    assert world.asked(TEST_ADDRESS) == [("example.test.", "A")]


@rfc("9156", "2.3")
def test_empty_non_terminals_are_passed():
    world = iterative()
    assert texts(world.ask("a.b.c.d.e.example.test")) == ["192.0.2.3"]
    assert world.asked(EXAMPLE_ADDRESS)[:2] == [("e.example.test.", "A"), ("d.e.example.test.", "A")]


def test_what_was_found_to_exist_is_not_asked_for_again():
    world = iterative()
    world.ask("a.b.c.d.e.example.test")
    world.sent.clear()
    assert isinstance(world.ask("x.d.e.example.test"), NXDOMAIN)
    assert world.asked() == [("x.d.e.example.test.", "A")]


@rfc("9156", "2.3")
def test_many_labels_take_ten_questions_at_most():
    deep = ".".join("abcdefghijklmnopqrstuvwxyz") + ".sub.test"
    world = with_zone(f"{'.'.join('abcdefghijklmnopqrstuvwxyz')} 60 A 192.0.2.9")
    assert texts(world.ask(deep)) == ["192.0.2.9"]
    assert len(world.sent) - 1 <= 11
    asked = [name for name, _ in world.asked("10.0.0.9")]
    assert asked[0] == "z.sub.test."
    assert asked[-1] == f"{deep}."


def test_a_server_that_denies_empty_non_terminals_is_asked_for_the_whole_name():
    servers = internet()
    honest = servers[EXAMPLE_ADDRESS]

    def respond(query, tcp):
        reply = honest.respond(query, tcp)
        if not reply.answer and query.question.name.depth < 7:
            reply.rcode = Rcode.NXDOMAIN
        return reply

    servers[EXAMPLE_ADDRESS] = Scripted(respond)
    world = World(ResolverConfig(hints=HINTS), servers)
    assert texts(world.ask("a.b.c.d.e.example.test")) == ["192.0.2.3"]
    assert world.asked(EXAMPLE_ADDRESS) == [("e.example.test.", "A"), ("a.b.c.d.e.example.test.", "A")]
    # what it denied on the way is not believed for good
    assert isinstance(world.ask("e.example.test"), NXDOMAIN)
    assert world.asked(EXAMPLE_ADDRESS)[-1] == ("e.example.test.", "A")


@pytest.mark.parametrize("rcode", [Rcode.REFUSED, Rcode.SERVFAIL, Rcode.FORMERR, Rcode.NOTIMP])
def test_a_server_that_fails_for_less_than_the_name_is_asked_for_all_of_it(rcode):
    servers = internet()
    honest = servers[EXAMPLE_ADDRESS]

    def respond(query, tcp):
        if query.question.name.depth < 7:
            reply = query.reply(rcode)
            reply.edns = query.edns
            return reply
        return honest.respond(query, tcp)

    servers[EXAMPLE_ADDRESS] = Scripted(respond)
    world = World(ResolverConfig(hints=HINTS), servers)
    assert texts(world.ask("a.b.c.d.e.example.test")) == ["192.0.2.3"]


def test_without_minimisation_everybody_sees_the_whole_name():
    world = iterative(minimise=False)
    assert texts(world.ask("a.b.c.d.e.example.test")) == ["192.0.2.3"]
    assert set(world.asked()[1:]) == {("a.b.c.d.e.example.test.", "A")}


# --- aliases ---------------------------------------------------------------------------------------------------------


def test_a_chain_within_a_zone_is_one_question():
    world = iterative()
    answer = world.ask("alias.example.test")
    assert texts(answer) == ["192.0.2.1", "192.0.2.2"]
    assert [str(rrset.name) for rrset in answer.chain] == ["alias.example.test.", "alias2.example.test."]
    assert len(world.asked(EXAMPLE_ADDRESS)) == 1


def test_a_chain_leads_into_other_zones():
    world = iterative()
    answer = world.ask("away.example.test")
    assert texts(answer) == ["198.51.100.1"]
    assert answer.server == (OTHER_ADDRESS, 53)


def test_the_alias_itself_may_be_asked_for():
    assert texts(iterative().ask("alias.example.test", "CNAME")) == ["alias2.example.test."]


def test_aliases_that_go_round_are_an_error_that_says_so():
    world = iterative()
    error = world.ask("loop1.example.test")
    assert type(error) is ServFail
    assert "go round in a circle" in str(error)
    assert world.refused()["alias_loop"] == 1
    assert len(world.sent) == 4


@rfc("6672", "2.2")
def test_a_dname_rewrites_what_is_below_it():
    world = iterative()
    answer = world.ask("www.tree.example.test")
    assert texts(answer) == ["198.51.100.1"]
    assert [(str(r.name), r.rrtype) for r in answer.chain] == [
        ("tree.example.test.", 39),
        ("www.tree.example.test.", 5),
    ]
    world.sent.clear()
    assert texts(world.ask("deep.www.tree.example.test")) == ["198.51.100.2"]  # the DNAME is known
    assert world.asked() == [("deep.www.other.net.", "A")]


def test_a_dname_says_nothing_of_its_own_name():
    assert isinstance(iterative().ask("tree.example.test"), NoData)


def test_a_dname_whose_target_would_be_too_long_is_an_error():
    long = ".".join(["x" * 60] * 3 + ["z" * 40])
    world = with_zone(f"d 60 DNAME {long}.sub.test.")
    assert type(world.ask(f"{'y' * 60}.d.sub.test")) is ServFail


# --- servers ---------------------------------------------------------------------------------------------------------


def test_a_server_without_glue_is_looked_up():
    world = iterative()
    assert texts(world.ask("www.glueless.test")) == ["198.51.100.3"]
    assert ("ns.other.net.", "A") in world.asked()


def test_servers_whose_names_need_each_other_are_an_error():
    servers = internet()
    servers[TEST_ADDRESS] = Zones({"test": f"{TEST_ZONE}\na 60 NS ns.b.test.\nb 60 NS ns.a.test."})
    world = World(ResolverConfig(hints=HINTS), servers)
    error = world.ask("www.a.test")
    assert type(error) is ServFail
    assert world.refused()["target_loop"] >= 1
    assert len(world.sent) < 10


def test_a_server_within_its_own_zone_without_glue_is_not_looked_up():
    world = with_zone("www 60 A 192.0.2.9", parent="sub 60 NS ns.sub")
    assert type(world.ask("www.sub.test")) is ServFail
    assert world.refused()["target_loop"] == 1


@pytest.mark.parametrize(
    ("respond", "reason"),
    [
        (lambda query: query.reply(Rcode.REFUSED), "lame_refused"),
        (lambda query: query.reply(), "lame_not_authoritative"),
        (lambda query: _with(query.reply(), authority=". 60 NS a.root."), "lame_upward"),
        (lambda query: _with(query.reply(), authority="sub.test. 60 NS ns.sub.test."), "lame_upward"),
        (lambda query: _with(query.reply(), authority="elsewhere.test. 60 NS ns.elsewhere.test."), "lame_upward"),
        (lambda query: _with(query.reply(), answer="www.sub.test. 60 A 6.6.6.6"), "lame_not_authoritative"),
        (lambda query: query.reply(Rcode.NXDOMAIN), "lame_not_authoritative"),
    ],
)
def test_lame_servers_are_passed_over_and_remembered(respond, reason):
    world = with_zone(
        "www 60 A 192.0.2.9\nxyz 60 A 192.0.2.8",
        parent="sub 600 NS ns1.sub\nsub 600 NS ns2.sub\nns1.sub 600 A 10.0.0.9\nns2.sub 600 A 10.0.0.10",
    )
    world.servers["10.0.0.10"] = Scripted(lambda query, tcp: respond(query))
    world.delays["10.0.0.9"] = 5 * DELAY_US
    for name, data in (("www", "192.0.2.9"), ("xyz", "192.0.2.8")):
        assert texts(world.ask(f"{name}.sub.test")) == [data]
    while not world.asked("10.0.0.10"):  # chosen at random
        world.core.cache.flush()
        world.ask("www.sub.test")
    before = len(world.asked("10.0.0.10"))
    assert before == 1
    assert world.refused()[reason] == 1
    for _ in range(8):
        world.core.cache.flush()
        world.ask("www.sub.test")
    assert len(world.asked("10.0.0.10")) == before
    world.advance(5 * MINUTE)
    for _ in range(12):
        world.core.cache.flush()
        world.ask("www.sub.test")
    assert len(world.asked("10.0.0.10")) > before


def _with(reply: Message, **sections: str) -> Message:
    for section, text in sections.items():
        setattr(reply, section, records(text))
    return reply


def moved(*, glue: str) -> World:
    """sub.test, whose server once said that it is at 10.0.0.10, where nobody is any more."""
    world = with_zone("www 60 A 192.0.2.9\nns 900 A 10.0.0.10", parent=f"sub 60 NS ns.sub\nns.sub 60 A {glue}")
    world.servers["10.0.0.10"] = world.servers["10.0.0.9"]
    assert texts(world.ask("ns.sub.test")) == ["10.0.0.10"]
    world.refusing = {"10.0.0.10"}
    world.advance(100 * SECOND)
    return world


def test_glue_is_fallen_back_to_when_what_was_answered_of_a_server_is_of_no_use():
    world = moved(glue="10.0.0.9")
    assert texts(world.ask("www.sub.test")) == ["192.0.2.9"]
    assert [len(world.asked(server)) for server in ("10.0.0.10", "10.0.0.9")] == [1, 2]


def test_control_without_such_glue_it_is_an_error():
    assert isinstance(moved(glue="10.0.0.10").ask("www.sub.test"), DnsError)


@rfc("2181", "5.4.1")
def test_a_zones_own_word_on_its_servers_is_not_fallen_back_to():
    """Not even where it is known and the parent's servers are all lame: see docs/decisions/0014-resolver.md."""
    world = with_zone("www 60 A 192.0.2.9\n@ 900 NS two\ntwo 900 A 10.0.0.10")
    world.servers["10.0.0.10"] = world.servers["10.0.0.9"]
    assert texts(world.ask("sub.test", "NS")) == ["two.sub.test."]
    assert texts(world.ask("two.sub.test")) == ["10.0.0.10"]
    world.servers["10.0.0.9"] = Scripted(lambda query, tcp: query.reply(Rcode.REFUSED))
    assert type(world.ask("www.sub.test")) is ServFail
    assert world.asked("10.0.0.10") == []


def test_only_lame_servers_are_servfail():
    world = with_zone("www 60 A 192.0.2.9")
    world.servers["10.0.0.9"] = Scripted(lambda query, tcp: query.reply(Rcode.REFUSED))
    error = world.ask("www.sub.test")
    assert type(error) is ServFail
    assert ("10.0.0.9", "REFUSED") in error.tries


def test_nobody_can_take_a_zone_away_by_asking_for_what_its_servers_refuse():
    """CVE-2021-25219: a server that refuses one type was then not asked for others, either."""
    world = with_zone("www 60 A 192.0.2.9\nxyz 60 A 192.0.2.8")
    zones = world.servers["10.0.0.9"]
    refusing = Scripted(
        lambda query, tcp: (
            query.reply(Rcode.REFUSED) if query.question.type_text == "TXT" else zones.respond(query, tcp)
        )
    )
    world.servers["10.0.0.9"] = refusing
    assert type(world.ask("www.sub.test", "TXT")) is ServFail
    assert texts(world.ask("xyz.sub.test")) == ["192.0.2.8"]
    world.servers["10.0.0.9"] = Scripted(
        lambda query, tcp: query.reply(Rcode.REFUSED)
    )  # of everything: once a question
    asked = len(world.asked("10.0.0.9"))
    assert type(world.ask("other.sub.test")) is ServFail
    assert len(world.asked("10.0.0.9")) == asked + 1


def test_only_silent_servers_are_a_timeout():
    world = with_zone("www 60 A 192.0.2.9")
    world.down = {"10.0.0.9"}
    error = world.ask("www.sub.test")
    assert type(error) is Timeout
    assert [t.server for t in error.tries] == ["10.0.0.9"] * 5
    assert world.now == 6 * DELAY_US + (376 + 752 + 1504 + 3008 + 5000) * 1000


def test_a_dead_server_among_others_costs_one_try():
    for seed in range(8):
        servers = internet()
        text = "sub 600 NS ns1.sub\nsub 600 NS ns2.sub\nns1.sub 600 A 10.0.0.9\nns2.sub 600 A 10.0.0.10"
        servers[TEST_ADDRESS] = Zones({"test": TEST_ZONE + text})
        servers["10.0.0.9"] = Zones({"sub.test": f"@ {SOA}\nwww 60 A 192.0.2.9"})
        world = World(ResolverConfig(hints=HINTS), servers, seed)
        assert texts(world.ask("www.sub.test")) == ["192.0.2.9"]
        assert len(world.asked("10.0.0.10")) <= 1


def test_another_server_is_looked_up_before_a_silent_one_is_asked_again():
    for seed in range(8):
        servers = internet()
        servers[TEST_ADDRESS] = Zones({"test": f"{TEST_ZONE}sub 600 NS a.other.net.\nsub 600 NS b.other.net."})
        servers[OTHER_ADDRESS] = Zones({"other.net": f"{OTHER_ZONE}a 600 A 10.0.0.9\nb 600 A 10.0.0.10"})
        servers["10.0.0.9"] = Zones({"sub.test": f"@ {SOA}\nwww 60 A 192.0.2.9"})
        world = World(ResolverConfig(hints=HINTS), servers, seed)
        assert texts(world.ask("www.sub.test")) == ["192.0.2.9"]
        assert len(world.asked("10.0.0.10")) <= 1


def test_fast_servers_are_preferred():
    text = "sub 600 NS ns1.sub\nsub 600 NS ns2.sub\nns1.sub 600 A 10.0.0.9\nns2.sub 600 A 10.0.0.10"
    world = with_zone("*x 60 A 192.0.2.9", parent=text)
    world.servers["10.0.0.10"] = world.servers["10.0.0.9"]
    world.delays["10.0.0.10"] = 600_000
    for n in range(60):
        world.ask(f"n{n}.sub.test")
    assert len(world.asked("10.0.0.10")) <= 3


def test_an_icmp_error_is_anothers_chance_at_once():
    text = "sub 600 NS ns1.sub\nsub 600 NS ns2.sub\nns1.sub 600 A 10.0.0.9\nns2.sub 600 A 10.0.0.10"
    for seed in range(4):
        world = with_zone("www 60 A 192.0.2.9", parent=text)
        world.rng.seed(seed)
        world.refusing = {"10.0.0.10"}
        assert texts(world.ask("www.sub.test")) == ["192.0.2.9"]
        assert world.now <= 10 * DELAY_US


def test_ipv6_servers_are_asked_only_when_told_to():
    text = "sub 600 NS ns.sub\nns.sub 600 AAAA 2001:db8::9"
    world = with_zone("www 60 A 192.0.2.9", parent=text)
    assert type(world.ask("www.sub.test")) is ServFail
    world = with_zone("www 60 A 192.0.2.9", "2001:db8::9", parent=text, ipv6=True)
    assert texts(world.ask("www.sub.test")) == ["192.0.2.9"]


def test_positive_answers_and_referrals_of_another_top_level():
    world = iterative()
    assert texts(world.ask("www.other.net")) == ["198.51.100.1"]
    assert NET_ADDRESS in {s.server for s in world.sent}


def test_explain_is_a_tree_of_servers_questions_and_verdicts():
    world = iterative()
    answer, steps = world.explain("www.glueless.test")
    assert texts(answer) == ["198.51.100.3"]
    asked = [(s.depth, s.server[0], str(s.zone), str(s.name), s.verdict, s.rtt_us) for s in steps if s.server]
    assert asked == [
        (0, ROOT_ADDRESS, ".", ".", "NOERROR", 20_000),
        (0, ROOT_ADDRESS, ".", "test.", "NOERROR", 20_000),
        (0, TEST_ADDRESS, "test.", "glueless.test.", "NOERROR", 20_000),
        (1, ROOT_ADDRESS, ".", "net.", "NOERROR", 20_000),
        (1, NET_ADDRESS, "net.", "other.net.", "NOERROR", 20_000),
        (1, OTHER_ADDRESS, "other.net.", "ns.other.net.", "NOERROR", 20_000),
        (0, OTHER_ADDRESS, "glueless.test.", "www.glueless.test.", "NOERROR", 20_000),
    ]
    _, steps = world.explain("www.glueless.test")
    assert [(s.server, s.verdict) for s in steps] == [(None, "cache")]
