"""What servers have no say in, whatever they say; for each guard the control: with it off, the attack succeeds."""

import pytest

from stack.config import SECOND
from stack.dns.core import Answer, Guards, ResolverConfig
from stack.dns.errors import NXDOMAIN, DnsError
from stack.dns.message import Message
from stack.dns.names import Name
from tests.support.dns_world import (
    EXAMPLE_ADDRESS,
    HINTS,
    ROOT_ADDRESS,
    ROOT_ZONE,
    SOA,
    TEST_ADDRESS,
    TEST_ZONE,
    Scripted,
    Sent,
    World,
    Zones,
    internet,
    records,
    texts,
)
from tests.support.rfc import rfc

FORGED = "6.6.6.6"


# --- what a server has no say in -------------------------------------------------------------------------------------


def evil(respond, **guards) -> World:
    """The internet, where example.test is served by somebody evil; www.other.net is what he is after."""
    servers = internet()
    servers[EXAMPLE_ADDRESS] = Scripted(respond)
    return World(ResolverConfig(hints=HINTS, guards=Guards(**guards)), servers)


def alias_with_target(query, tcp):
    reply = query.reply()
    reply.aa = True
    reply.answer = records(f"{query.question.name} 300 CNAME www.other.net.\nwww.other.net. 300 A {FORGED}")
    return reply


def test_the_target_of_an_alias_elsewhere_is_asked_for_where_it_is():
    world = evil(alias_with_target)
    assert texts(world.ask("x.example.test")) == ["198.51.100.1"]
    assert texts(world.ask("www.other.net")) == ["198.51.100.1"]
    assert world.refused()["out_of_bailiwick"] == 1


def test_control_without_bailiwick_he_has_the_name():
    world = evil(alias_with_target, bailiwick=False)
    assert texts(world.ask("x.example.test")) == [FORGED]
    assert texts(world.ask("www.other.net")) == [FORGED]


def answer_with_additional(query, tcp):
    reply = query.reply()
    reply.aa = True
    reply.answer = records(f"{query.question.name} 300 MX 10 www.other.net.")
    reply.additional = records(f"www.other.net. 300 A {FORGED}")
    return reply


def test_additional_records_never_become_answers():
    world = evil(answer_with_additional)
    world.ask("x.example.test", "MX")
    assert texts(world.ask("www.other.net")) == ["198.51.100.1"]


@rfc("2181", "5.4.1")
def test_additional_records_never_replace_answers():
    world = evil(answer_with_additional)
    world.ask("www.other.net")
    world.ask("x.example.test", "MX")
    assert texts(world.ask("www.other.net")) == ["198.51.100.1"]


def test_control_without_ranking_they_do_both():
    for first in ("www.other.net", "ns.other.net"):
        world = evil(answer_with_additional, ranking=False)
        world.ask(first)
        world.ask("x.example.test", "MX")
        assert texts(world.ask("www.other.net")) == [FORGED]


def hearsay(**guards) -> list[str]:
    """A zone's server tells, behind an alias, of a name in the zone that was delegated to others."""
    servers = internet()
    honest = Zones({"test": TEST_ZONE + "\nhosted 600 CNAME www.example.test."})

    def respond(query, tcp):
        if query.question.name.key == Name.parse("hosted.test"):
            reply = query.reply()
            reply.aa = True
            reply.answer = records(f"hosted.test. 300 CNAME www.example.test.\nwww.example.test. 300 A {FORGED}")
            return reply
        return honest.respond(query, tcp)

    servers[TEST_ADDRESS] = Scripted(respond)
    world = World(ResolverConfig(hints=HINTS, guards=Guards(**guards)), servers)
    world.ask("www.example.test")
    world.ask("hosted.test")
    return texts(world.ask("www.example.test"))


@rfc("2181", "5.4.1")
def test_hearsay_does_not_replace_what_an_authority_said():
    assert hearsay() == ["192.0.2.1", "192.0.2.2"]


def test_control_without_ranking_what_came_last_wins():
    assert hearsay(ranking=False) == [FORGED]


def glue_elsewhere(**guards) -> list[str]:
    """The root's servers are honest; those of test refer to a zone with glue for a server in net."""
    servers = internet()
    honest = Zones({"test": TEST_ZONE})

    def respond(query, tcp):
        if b"\3bad" in query.question.name.key:
            reply = query.reply()
            reply.authority = records("bad.test. 600 NS www.other.net.")
            reply.additional = records(f"www.other.net. 600 A {EVIL}")
            return reply
        return honest.respond(query, tcp)

    servers[TEST_ADDRESS] = Scripted(respond)
    servers[EVIL] = Zones({"bad.test": f"@ {SOA}\nwww 60 A {FORGED}", "other.net": f"@ {SOA}\nwww 60 A {FORGED}"})
    servers["198.51.100.1"] = Zones({"bad.test": f"@ {SOA}\nwww 60 A 192.0.2.77"})
    world = World(ResolverConfig(hints=HINTS, guards=Guards(**guards)), servers)
    return texts(world.ask("www.bad.test"))


EVIL = "10.6.6.6"


def test_glue_outside_of_the_parent_zone_is_not_used():
    assert glue_elsewhere() == ["192.0.2.77"]


def test_control_without_bailiwick_it_is():
    assert glue_elsewhere(bailiwick=False) == [FORGED]


def test_glue_that_no_server_of_the_referral_needs_is_left_out():
    servers = internet()
    honest = Zones({"test": TEST_ZONE})

    def respond(query, tcp):
        reply = honest.respond(query, tcp)
        reply.additional += records(f"ns.glueless.test. 600 A {FORGED}\nwww.test. 600 A {FORGED}")
        return reply

    servers[TEST_ADDRESS] = Scripted(respond)
    world = World(ResolverConfig(hints=HINTS), servers)
    assert texts(world.ask("www.example.test")) == ["192.0.2.1", "192.0.2.2"]
    assert world.refused()["glue_unrelated"] == 2
    assert isinstance(world.ask("www.test"), NXDOMAIN)


def test_a_sibling_is_not_believed_about_its_sibling():
    """Servers of example.test answer for glueless.test when they are asked about their own names: nobody listens."""

    def respond(query, tcp):
        reply = query.reply()
        reply.aa = True
        reply.answer = records(f"{query.question.name} 300 A 192.0.2.1\nwww.glueless.test. 300 A {FORGED}")
        return reply

    world = evil(respond)
    assert texts(world.ask("x.example.test")) == ["192.0.2.1"]
    assert texts(world.ask("www.glueless.test")) == ["198.51.100.3"]
    assert world.refused()["out_of_bailiwick"] >= 1


# --- whole zones -----------------------------------------------------------------------------------------------------


def kaminsky(**guards) -> list[str]:
    """One forgery for a random name succeeds, and names the attacker's server as that of the whole zone."""
    servers = internet()
    servers[EVIL] = Zones({"example.test": f"@ {SOA}\nwww 300 A {FORGED}"})
    world = World(ResolverConfig(hints=HINTS, guards=Guards(**guards)), servers)
    world.ask("first.example.test")

    def on_sent(sent: Sent) -> None:
        if "random" in sent.name.lower():
            reply = Message.parse(sent.wire).reply()
            reply.aa = True
            reply.edns = Message.parse(sent.wire).edns
            reply.answer = records(f"{sent.name} 300 A {FORGED}")
            reply.authority = records("example.test. 86400 NS ns.example.test.")
            reply.additional = records(f"ns.example.test. 86400 A {EVIL}")
            world.inject(sent.number, reply.build())

    world.on_sent = on_sent
    assert texts(world.ask("random123.example.test")) == [FORGED]
    return texts(world.ask("www.example.test"))


def test_kaminskys_forgery_wins_one_name_and_not_the_zone():
    assert kaminsky() == ["192.0.2.1", "192.0.2.2"]


def test_control_if_answers_may_name_servers_it_wins_the_zone():
    assert kaminsky(parent_delegations=False) == [FORGED]


def ghost(**guards) -> Answer | DnsError:
    """A domain is deleted by its parent, and its servers go on naming themselves whenever somebody asks."""
    servers = internet()

    def respond(query, tcp):
        reply = query.reply()
        reply.aa = True
        reply.answer = records(f"{query.question.name} 10 A 192.0.2.1")
        reply.authority = records("example.test. 600 NS ns.example.test.")
        reply.additional = records(f"ns.example.test. 600 A {EXAMPLE_ADDRESS}")
        return reply

    servers[EXAMPLE_ADDRESS] = Scripted(respond)
    world = World(ResolverConfig(hints=HINTS, stale_us=0, guards=Guards(**guards)), servers)
    world.ask("www.example.test")
    world.servers[TEST_ADDRESS] = Zones({"test": "\n".join(TEST_ZONE.split("\n")[:4])})
    for n in range(20):
        world.advance(100 * SECOND)
        result = world.ask(f"h{n}.example.test")
    return result


def test_a_zones_word_on_its_servers_is_counted_where_it_is_left_out():
    servers = internet()

    def respond(query, tcp):
        reply = query.reply()
        reply.aa = True
        reply.answer = records(f"{query.question.name} 10 A 192.0.2.1")
        reply.authority = records("example.test. 600 NS ns.example.test.")
        return reply

    servers[EXAMPLE_ADDRESS] = Scripted(respond)
    world = World(ResolverConfig(hints=HINTS), servers)
    assert isinstance(world.ask("www.example.test"), Answer)
    assert world.refused() == {"ns_unasked": 1}


def test_a_zone_does_not_outlive_its_delegation():
    assert isinstance(ghost(), NXDOMAIN)


def test_control_if_it_may_name_its_own_servers_it_does():
    assert isinstance(ghost(parent_delegations=False), Answer)


def to_ourselves(address: str, **guards) -> World:
    servers = internet()
    servers[TEST_ADDRESS] = Zones({"test": f"{TEST_ZONE}\nself 600 NS ns.self\nns.self 600 A {address}"})
    world = World(ResolverConfig(hints=HINTS, guards=Guards(**guards)), servers)
    world.ask("www.self.test")
    return world


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255"])
def test_referrals_to_ourselves_are_not_followed(address):
    world = to_ourselves(address)
    assert address not in {sent.server for sent in world.sent}
    assert world.refused()["local_server"] >= 1


def test_control_without_the_guard_they_are():
    assert "127.0.0.1" in {sent.server for sent in to_ourselves("127.0.0.1", local_servers=False).sent}


def test_a_root_that_lies_is_the_root():
    """What no guard helps against: who controls the parent controls the child."""
    servers = internet()
    servers[ROOT_ADDRESS] = Zones({".": ROOT_ZONE.replace(TEST_ADDRESS, EVIL)})
    servers[EVIL] = Zones({"test": f"@ {SOA}\nwww.example 60 A {FORGED}"})
    assert texts(World(ResolverConfig(hints=HINTS), servers).ask("www.example.test")) == [FORGED]
