"""What keeps the resolver from being fooled; for each guard the control: with it off, the same attack succeeds."""

import random

import pytest

from stack.config import SECOND
from stack.dns.constants import RRType
from stack.dns.core import Answer, Guards, ResolverConfig
from stack.dns.edns import Edns, cookie_option
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
    Recursive,
    Scripted,
    Sent,
    World,
    Zones,
    internet,
    records,
    stub,
    texts,
)
from tests.support.rfc import rfc

FORGED = "6.6.6.6"
HOST = "www.example.test. 300 A 192.0.2.1"


def one(*, seed: int = 1, **guards) -> World:
    return stub({"10.0.0.1": Recursive(HOST)}, seed, guards=Guards(**guards))


def forgery(sent: Sent, *, name: str = "", message_id: int | None = None, cookie: bool = True) -> bytes:
    """A reply to a query by somebody who saw it, but for what is given."""
    query = Message.parse(sent.wire)
    reply = query.reply()
    reply.ra = reply.aa = True
    assert reply.question is not None
    if message_id is not None:
        reply.id = message_id
    if name:
        reply.question = reply.question._replace(name=Name.parse(name))
    if cookie:
        reply.edns = query.edns
    reply.answer = records(f"{reply.question.name} 300 A {FORGED}")
    return reply.build()


def attack(world: World, forge) -> list[str]:
    """What the resolver believes when `forge` makes datagrams (octets, source) for its first query."""

    def on_sent(sent: Sent) -> None:
        if len(world.sent) == 1:
            for wire, source in forge(sent):
                world.inject(sent.number, wire, source)

    world.on_sent = on_sent
    return texts(world.ask("www.example.test"))


# --- the right reply -------------------------------------------------------------------------------------------------


def test_the_forger_who_knows_all_succeeds():
    """The control of all that follow: nothing else is wrong with these forgeries."""
    assert attack(one(), lambda sent: [(forgery(sent), None)]) == [FORGED]


def wrong_id(sent):
    return [(forgery(sent, message_id=Message.parse(sent.wire).id ^ 1), None)]


def wrong_source(sent):
    return [(forgery(sent), "10.6.6.6")]


def wrong_port(sent):
    return [(forgery(sent), ("10.0.0.1", 5353))]


def wrong_name(sent):
    return [(forgery(sent, name="www.example.evil"), None)]


def wrong_type(sent):
    wire = bytearray(forgery(sent))
    wire[12 + len(Name.parse("www.example.test")) + 1] = RRType.AAAA
    return [(bytes(wire), None)]


def a_query(sent):
    wire = bytearray(forgery(sent))
    wire[2] &= 0x7F
    return [(bytes(wire), None)]


def other_opcode(sent):
    wire = bytearray(forgery(sent))
    wire[2] |= 0x28
    return [(bytes(wire), None)]


def short(sent):
    return [(forgery(sent)[:11], None), (b"", None)]


def two_questions(sent):
    wire = bytearray(forgery(sent))
    wire[5] = 2
    return [(bytes(wire), None)]


@rfc("5452", "9.1")
@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (wrong_id, "wrong_id"),
        (wrong_source, "wrong_source"),
        (wrong_port, "wrong_source"),
        (wrong_name, "wrong_question"),
        (wrong_type, "wrong_question"),
        (two_questions, "wrong_question"),
        (a_query, "not_a_reply"),
        (other_opcode, "not_a_reply"),
        (short, "too_short"),
    ],
)
def test_what_is_no_reply_to_the_question_is_ignored_and_counted(forge, reason):
    world = one()
    assert attack(world, forge) == ["192.0.2.1"]
    assert set(world.refused()) == {reason}
    assert len(world.sent) == 1


@pytest.mark.parametrize(
    ("forge", "off"),
    [(wrong_source, {"check_source": False}), (wrong_name, {"check_question": False, "mismatches": 0})],
)
def test_control_without_the_check_the_forger_succeeds(forge, off):
    world = one(**off)
    world.on_sent = lambda sent: [world.inject(sent.number, *pair) for pair in forge(sent)]
    answer = world.ask("www.example.test")
    assert world.counts()["received"] == 1
    assert not isinstance(answer, Answer) or texts(answer) == [FORGED]


def test_a_reply_to_no_query_is_counted():
    world = one()
    world.core.on_datagram(4711, ("10.0.0.1", 53), b"\0" * 12, 0)
    world.core.on_stream_message(4712, b"\0" * 12, 0)
    assert world.refused() == {"unasked": 2}


def test_a_second_reply_is_not_looked_at():
    world = one()
    world.ask("www.example.test")
    world.core.on_datagram(world.sent[0].number, ("10.0.0.1", 53), forgery(world.sent[0]), world.now)
    assert texts(world.ask("www.example.test")) == ["192.0.2.1"]
    assert world.refused() == {"unasked": 1}


# --- random bits -----------------------------------------------------------------------------------------------------


@rfc("5452", "9.2")
def test_ids_are_random_and_counted_up_only_without_the_guard():
    ids = []
    for settings in ({}, {"random_ids": False}):
        world = stub({"10.0.0.1": Recursive(HOST)}, guards=Guards(**settings))
        for n in range(200):
            world.ask(f"h{n}.example.test")
        ids.append([Message.parse(sent.wire).id for sent in world.sent])
    assert len(set(ids[0])) > 190
    assert sum(b - a == 1 for a, b in zip(ids[0], ids[0][1:], strict=False)) < 3
    assert ids[1] == list(range(1, 201))


def sequential_forger(world: World) -> bool:
    """Guesses the next id and sends one packet for each question; whether one of a hundred is believed."""
    last = 0

    def on_sent(sent: Sent) -> None:
        nonlocal last
        world.inject(sent.number, forgery(sent, name=sent.name.lower(), message_id=(last + 1) & 0xFFFF))
        last = Message.parse(sent.wire).id

    world.on_sent = on_sent
    found = [world.ask(f"h{n}.example.test") for n in range(100)]
    return any(isinstance(result, Answer) for result in found)


def test_who_guesses_ids_fails_and_succeeds_when_they_are_counted_up():
    assert not sequential_forger(one())
    assert sequential_forger(one(random_ids=False, random_case=False, cookies=False))


def case_forger(world: World) -> bool:
    """Knows the id and the port, but has not seen the letters; whether a forgery is believed."""
    world.on_sent = lambda sent: None if sent.tcp else world.inject(sent.number, forgery(sent, name=sent.name.lower()))
    return texts(world.ask("www.example.test")) == [FORGED]


def test_who_cannot_see_the_letters_of_the_question_fails():
    world = one()
    assert not case_forger(world)
    assert [sent.tcp for sent in world.sent] == [False, True]  # in doubt it is asked where nobody can forge
    assert world.refused() == {"wrong_case": 1}


def test_control_without_random_case_he_succeeds():
    assert case_forger(one(random_case=False))


def test_letters_vary():
    world = one()
    spellings = set()
    for _ in range(50):
        world.core.cache.flush()
        world.ask("www.example.test")
        spellings.add(world.sent[-1].name)
    assert len(spellings) > 40
    assert {spelling.lower() for spelling in spellings} == {"www.example.test."}


def test_a_server_that_changes_letters_is_found_out_by_tcp_and_spared():
    honest = Recursive(HOST)

    def respond(query, tcp):
        query.question = query.question._replace(name=Name(query.question.name.lower()))
        return honest.respond(query, tcp)

    world = stub({"10.0.0.1": Scripted(respond)})
    assert texts(world.ask("www.example.test")) == ["192.0.2.1"]
    assert [sent.tcp for sent in world.sent] == [False, True]
    world.ask("other.example.test")
    assert world.sent[-1].name == "other.example.test."
    assert not world.sent[-1].tcp
    assert world.counts()["case_folding"] == 1


def test_a_server_that_changes_letters_and_has_no_tcp_is_spared_too():
    honest = Recursive(HOST)

    def respond(query, tcp):
        query.question = query.question._replace(name=Name(query.question.name.lower()))
        return honest.respond(query, tcp)

    world = stub({"10.0.0.1": Scripted(respond)})
    world.no_tcp = {"10.0.0.1"}
    assert texts(world.ask("www.example.test")) == ["192.0.2.1"]
    assert [sent.tcp for sent in world.sent] == [False, True, False]


# --- many guesses ----------------------------------------------------------------------------------------------------


def flood(world: World, packets: int = 2000) -> bool:
    """Guesses ids at random, knows all else; whether one is believed."""
    rng = random.Random(7)

    def on_sent(sent: Sent) -> None:
        if not sent.tcp:
            packet = forgery(sent)
            for _ in range(packets):
                world.inject(sent.number, rng.randbytes(2) + packet[2:])

    world.on_sent = on_sent
    return any(isinstance(world.ask(f"h{n}.example.test"), Answer) for n in range(40))


def test_wrong_replies_make_the_question_go_by_tcp():
    world = one()
    assert not flood(world)
    assert [sent.tcp for sent in world.sent] == [False, True] * 40
    assert world.refused()["mismatches"] == 40
    assert world.refused()["wrong_id"] == 3 * 40  # so many guesses had a chance at each question


def test_control_who_may_guess_as_often_as_he_likes_succeeds():
    assert flood(one(mismatches=0))


def birthday(*, coalesce: bool) -> bool:
    """Has the resolver ask one question often, from ports he knows, and guesses ids; whether a forgery is believed.

    All ports get each packet, as if they were one.
    """
    rng = random.Random(3)
    world = one(coalesce=coalesce, mismatches=0, random_case=False, cookies=False)
    for _ in range(300):
        world.start("www.example.test")
    assert len(world.results) == 0
    packet = bytearray(forgery(world.sent[0]))
    for _ in range(400):
        packet[:2] = rng.randbytes(2)
        for sent in world.sent:
            world.core.on_datagram(sent.number, ("10.0.0.1", 53), bytes(packet), 1)
    world.settle()
    assert len(world.results) == 300
    return any(texts(answer) == [FORGED] for answer in world.results.values())


@rfc("5452", "5")
def test_one_question_is_in_flight_once_however_many_ask():
    assert not birthday(coalesce=True)


def test_control_as_many_copies_in_flight_are_as_many_chances():
    assert birthday(coalesce=False)


# --- cookies ---------------------------------------------------------------------------------------------------------


class WithCookies:
    """A server that knows cookies; `strict`: it answers only who has one of it."""

    def __init__(self, text: str = HOST, *, strict: bool = False) -> None:
        self._resolver = Recursive(text)
        self.strict = strict
        self.secret = b"\7" * 8
        self.seen: list[bytes | None] = []

    def respond(self, query: Message, tcp: bool) -> Message:
        assert query.edns is not None
        cookie = query.edns.cookie
        self.seen.append(cookie)
        reply = self._resolver.respond(query, tcp)
        assert isinstance(reply, Message)
        if cookie is not None:
            if self.strict and not tcp and cookie[8:] != self.secret:
                reply = query.reply(23)
            reply.edns = Edns(options=[cookie_option(cookie[:8], self.secret)])
        return reply


def test_a_server_that_wants_its_cookie_gets_it_and_the_next_question_has_it():
    server = WithCookies(strict=True)
    world = stub({"10.0.0.1": server})
    assert texts(world.ask("www.example.test")) == ["192.0.2.1"]
    assert len(world.sent) == 2
    world.ask("x.example.test")
    assert len(world.sent) == 3
    assert [len(cookie or b"") for cookie in server.seen] == [8, 16, 16]
    assert world.counts()["badcookie"] == 1


def test_a_server_that_wants_another_cookie_each_time_is_asked_by_tcp():
    server = WithCookies(strict=True)

    def respond(query, tcp):
        server.secret = bytes([len(server.seen)]) * 8
        reply = server.respond(query, tcp)
        server.secret = b"\xff" * 8
        return reply

    world = stub({"10.0.0.1": Scripted(respond)})
    assert texts(world.ask("www.example.test")) == ["192.0.2.1"]
    assert [sent.tcp for sent in world.sent] == [False, False, True]


def test_cookies_differ_from_server_to_server():
    servers = {"10.0.0.1": WithCookies(), "10.0.0.2": WithCookies()}
    world = stub(servers, rotate=True)
    for n in range(6):
        world.ask(f"h{n}.example.test")
    ours = [{cookie[:8] for cookie in server.seen} for server in servers.values()]
    assert [len(cookies) for cookies in ours] == [1, 1]
    assert ours[0] != ours[1]


def cookie_forger(world: World) -> bool:
    """Knows id, port and letters of the second question, but not the cookie; whether he is believed."""
    world.ask("first.example.test")
    world.on_sent = lambda sent: None if sent.tcp else world.inject(sent.number, forgery(sent, cookie=False))
    return texts(world.ask("www.example.test")) == [FORGED]


@rfc("7873", "5.3")
def test_who_has_not_seen_the_cookie_fails():
    world = stub({"10.0.0.1": WithCookies()})
    assert not cookie_forger(world)
    assert world.refused() == {"no_cookie": 1}
    assert world.sent[-1].tcp


def test_control_without_cookies_he_succeeds():
    assert cookie_forger(stub({"10.0.0.1": WithCookies()}, guards=Guards(cookies=False)))


@rfc("7873", "5.3")
def test_a_wrong_cookie_is_a_wrong_reply():
    def forge(sent):
        reply = Message.parse(forgery(sent))
        reply.edns = Edns(options=[cookie_option(b"12345678")])
        return [(reply.build(), None)]

    world = stub({"10.0.0.1": WithCookies()})
    assert attack(world, forge) == ["192.0.2.1"]
    assert world.refused() == {"wrong_cookie": 1}


def test_a_server_that_has_no_cookies_any_more_is_believed_when_it_says_so_by_tcp():
    server = WithCookies()
    world = stub({"10.0.0.1": server})
    world.ask("first.example.test")
    world.servers["10.0.0.1"] = Recursive(HOST)
    assert texts(world.ask("www.example.test")) == ["192.0.2.1"]
    assert [sent.tcp for sent in world.sent] == [False, False, True]
    world.ask("x.example.test")
    assert not world.sent[-1].tcp


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
            reply = Message.parse(forgery(sent))
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
