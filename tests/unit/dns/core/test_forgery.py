"""Forged replies; for each guard the control: with it off, the same attack succeeds."""

import random

import pytest

from stack.config import MINUTE, MS
from stack.dns.constants import RRType
from stack.dns.core import Answer, Guards
from stack.dns.edns import Edns, cookie_option
from stack.dns.errors import NXDOMAIN, ServFail
from stack.dns.message import Message
from stack.dns.names import Name
from tests.support.dns_world import (
    DELAY_US,
    Recursive,
    Scripted,
    Sent,
    World,
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


def folding(*, say=lambda asked: "192.0.2.1") -> Scripted:
    """A server that gives the question back in lower case; `say`: its address after so many questions."""
    asked = []

    def respond(query, tcp):
        asked.append(query)
        query.question = query.question._replace(name=Name(query.question.name.lower()))
        return Recursive(f"www.example.test. 300 A {say(len(asked))}").respond(query, tcp)

    return Scripted(respond)


def without_tcp(server=None, **guards) -> World:
    world = stub({"10.0.0.1": server or Recursive(HOST)}, guards=Guards(**guards))
    world.no_tcp = {"10.0.0.1"}
    return world


def keeps_case(world: World) -> bool:
    return world.core.servers.get(("10.0.0.1", 53), world.now).keeps_case


def test_a_server_that_changes_letters_is_found_out_by_tcp_and_spared():
    world = stub({"10.0.0.1": folding()})
    assert texts(world.ask("www.example.test")) == ["192.0.2.1"]
    assert [sent.tcp for sent in world.sent] == [False, True]
    world.ask("other.example.test")
    assert world.sent[-1].name == "other.example.test."
    assert not world.sent[-1].tcp
    assert world.counts()["case_folding"] == 1


@pytest.mark.parametrize("alike", [3, 5])
def test_a_server_that_changes_letters_and_has_no_tcp_is_spared_when_it_says_the_same_so_often(alike):
    world = without_tcp(folding(), alike=alike)
    assert texts(world.ask("www.example.test")) == ["192.0.2.1"]
    assert [sent.tcp for sent in world.sent] == [False, True] + [False] * alike
    assert len({sent.number for sent in world.sent}) == len(world.sent)  # each from a port of its own
    assert len({sent.name for sent in world.sent}) > 1  # and with letters of its own
    assert world.counts()["case_folding"] == 1
    assert world.now < 4 * DELAY_US + alike * 377 * MS
    world.ask("other.example.test")
    assert world.sent[-1].name == "other.example.test."
    assert len(world.sent) == 3 + alike


@pytest.mark.parametrize("tcp", [True, False])
@pytest.mark.parametrize("change", [bytes.lower, bytes.upper])
def test_a_server_that_changes_letters_costs_one_message_from_then_on_whatever_the_letters(change, tcp):
    def respond(query, tcp):
        query.question = query.question._replace(name=Name(change(query.question.name)))
        return Recursive(HOST).respond(query, tcp)

    world = stub({"10.0.0.1": Scripted(respond)}) if tcp else without_tcp(Scripted(respond))
    world.ask("www.example.test")
    before = len(world.sent)
    for name in ("Other.Example.Test", "other2.example.test"):
        assert isinstance(world.ask(name), NXDOMAIN)
    assert len(world.sent) == before + 2
    assert world.counts()["case_folding"] == 1


@pytest.mark.parametrize("tcp", [True, False])
def test_that_it_changes_letters_is_forgotten_after_15_minutes(tcp):
    world = stub({"10.0.0.1": folding()}) if tcp else without_tcp(folding())
    world.ask("www.example.test")
    assert not keeps_case(world)
    world.advance(15 * MINUTE)
    assert keeps_case(world)
    before = len(world.sent)
    world.ask("a-long-name.example.test")
    assert world.sent[before].name != "a-long-name.example.test."


def test_who_cannot_see_the_letters_does_not_switch_them_off_where_there_is_no_tcp():
    """He forges a reply to each question, ahead of the server's own, which is the one with the right letters."""
    world = without_tcp()
    assert not case_forger(world)
    assert texts(world.ask("www.example.test")) == ["192.0.2.1"]
    assert [sent.tcp for sent in world.sent] == [False, True, False]
    assert keeps_case(world)


def test_control_if_the_first_reply_with_other_letters_is_believed_he_does():
    world = without_tcp(alike=0)
    assert case_forger(world)
    assert not keeps_case(world)


def test_a_forger_beside_a_server_that_changes_letters_and_has_no_tcp_makes_it_an_error_and_no_more():
    world = without_tcp(folding())
    world.on_sent = lambda sent: world.inject(sent.number, forgery(sent, name=sent.name.lower()), after_us=50 * MS)
    error = world.ask("www.example.test")
    assert type(error) is ServFail
    assert error.tries[-1].why == (
        "the question came back with other letters over UDP; TCP: connection refused; "
        "to compare: replies with other letters that say different things"
    )
    assert keeps_case(world)


def test_replies_with_other_letters_that_differ_are_not_believed():
    world = without_tcp(folding(say=lambda asked: f"192.0.2.{asked}"))
    error = world.ask("www.example.test")
    assert type(error) is ServFail
    assert "replies with other letters that say different things" in str(error)
    assert [sent.tcp for sent in world.sent] == [False, True, False, False]
    assert keeps_case(world)


def test_a_flood_of_replies_with_other_letters_ends_the_comparison():
    world = without_tcp(Scripted(lambda query, tcp: None))

    def on_sent(sent: Sent) -> None:
        if not sent.tcp:
            for _ in range(10):
                world.inject(sent.number, forgery(sent, name=sent.name.lower()))

    world.on_sent = on_sent
    error = world.ask("www.example.test")
    assert type(error) is ServFail
    assert error.tries[0].why.endswith("to compare: 3 replies with other letters")
    assert len(world.sent) == 3
    assert keeps_case(world)


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
