"""Denials that may be none: NOERROR with an answer about something else, or with nothing at all."""

import pytest

from stack.dns.core import Answer, ResolverConfig
from stack.dns.errors import NoData, Timeout
from tests.support.dns_world import (
    DELAY_US,
    HINTS,
    SOA,
    TEST_ADDRESS,
    TEST_ZONE,
    Recursive,
    Scripted,
    World,
    Zones,
    internet,
    records,
    stub,
    texts,
)
from tests.support.rfc import rfc

GOOD = "www.sub.test. 300 A 192.0.2.1"
UNRELATED = "other.sub.test. 300 A 6.6.6.6"
OTHER_TYPE = "www.sub.test. 300 AAAA 2001:db8::6"
PROVED = "sub.test. 300 SOA a. b. 1 2 3 4 60"


def saying(answer: str, authority: str = "") -> Scripted:
    def respond(query, tcp):
        reply = query.reply()
        reply.aa = reply.ra = True
        reply.answer, reply.authority = records(answer), records(authority)
        return reply

    return Scripted(respond)


doubtful = pytest.mark.parametrize(
    ("answer", "reason", "said"),
    [
        (UNRELATED, "unrelated_answer", "an answer about something else"),
        (OTHER_TYPE, "unrelated_answer", "an answer about something else"),
        ("", "no_soa", "neither an answer nor a SOA"),
    ],
)


def below_test(*servers, nameless: int = 0) -> World:
    """sub.test with these servers, at 10.0.1.0 and so on; all are asked before one is asked again."""
    known = {f"10.0.1.{n}": server for n, server in enumerate(servers)}
    lines = [f"sub 600 NS ns{n}.sub\nns{n}.sub 600 A {address}" for n, address in enumerate(known)]
    lines += [f"sub 600 NS n{n}.example.test." for n in range(nameless)]
    made = internet() | known
    made[TEST_ADDRESS] = Zones({"test": "\n".join((TEST_ZONE, *lines))})
    return World(ResolverConfig(hints=HINTS), made)


def asked(world: World) -> int:
    return sum(sent.server.startswith("10.0.1.") for sent in world.sent)


# --- of resolvers ----------------------------------------------------------------------------------------------------


@doubtful
def test_another_resolver_is_asked_and_may_know_better(answer, reason, said):
    world = stub({"10.0.0.1": saying(answer), "10.0.0.2": Recursive(GOOD)})
    assert texts(world.ask("www.sub.test")) == ["192.0.2.1"]
    assert len(world.sent) == 2
    assert world.refused() == {reason: 1}


@rfc("2308", "2.2")
@doubtful
def test_of_the_only_resolver_it_is_a_denial_and_counted(answer, reason, said):
    world = stub({"10.0.0.1": saying(answer)})
    error = world.ask("www.sub.test")
    assert type(error) is NoData
    assert error.tries == (("10.0.0.1", said),)
    assert len(world.sent) == 1
    assert world.refused() == {reason: 1}


@doubtful
def test_of_two_resolvers_it_is_a_denial_at_once(answer, reason, said):
    world = stub({f"10.0.0.{n}": saying(answer) for n in range(1, 5)})
    assert type(world.ask("www.sub.test")) is NoData
    assert len(world.sent) == 2
    assert world.refused() == {reason: 2}


def test_a_silent_resolver_beside_it_is_waited_for_once():
    world = stub({"10.0.0.1": saying(UNRELATED), "10.0.0.2": Recursive(GOOD)})
    world.down = {"10.0.0.2"}
    assert type(world.ask("www.sub.test")) is NoData
    assert world.now == 2 * DELAY_US + 376_000


def test_when_patience_is_over_it_is_a_denial():
    world = stub({"10.0.0.1": saying(UNRELATED), "10.0.0.2": Recursive("")}, timeout_us=2 * DELAY_US, attempts=1)
    world.down = {"10.0.0.2"}
    assert type(world.ask("www.sub.test")) is NoData
    assert type(world.ask("www.sub.test", timeout_us=3 * DELAY_US)) is Timeout


def test_control_a_denial_with_a_soa_is_one():
    world = stub({"10.0.0.1": saying("", PROVED), "10.0.0.2": Recursive(GOOD)})
    assert type(world.ask("www.sub.test")) is NoData
    assert len(world.sent) == 1
    assert world.refused() == {}


# --- of a zone's servers ---------------------------------------------------------------------------------------------


@doubtful
def test_another_server_of_the_zone_is_asked(answer, reason, said):
    good = Zones({"sub.test": f"@ {SOA}\nwww 300 A 192.0.2.1"})
    world = below_test(saying(answer), good)
    for _ in range(8):  # the first is chosen at random
        world.core.cache.flush()
        assert texts(world.ask("www.sub.test")) == ["192.0.2.1"]
    assert set(world.refused()) == {reason}
    assert world.refused()[reason] > 1  # and so it was not taken for lame
    assert asked(world) == 8 + world.refused()[reason]


@doubtful
def test_of_the_only_server_of_a_zone_it_is_a_denial(answer, reason, said):
    world = below_test(saying(answer))
    error = world.ask("www.sub.test")
    assert type(error) is NoData
    assert error.tries == (("10.0.1.0", said),)
    assert asked(world) == 1
    assert world.refused() == {reason: 1}


@doubtful
def test_it_costs_one_more_message_however_many_servers_there_are(answer, reason, said):
    world = below_test(*[saying(answer) for _ in range(6)], nameless=8)
    assert type(world.ask("www.sub.test")) is NoData
    assert asked(world) == 2
    assert not [name for name, _ in world.asked() if name.startswith("n") and name.endswith(".example.test.")]


def test_for_less_than_the_name_it_is_as_good_as_a_denial():
    def respond(query, tcp):
        full = query.question.name.depth == 4
        return saying("a.www.sub.test. 300 A 192.0.2.1" if full else UNRELATED).respond(query, tcp)

    world = below_test(Scripted(respond), Scripted(respond))
    answer = world.ask("a.www.sub.test")
    assert isinstance(answer, Answer)
    assert asked(world) == 2


def test_control_with_a_soa_no_other_server_is_asked():
    world = below_test(saying("", PROVED), saying("", PROVED))
    assert type(world.ask("www.sub.test")) is NoData
    assert asked(world) == 1
    assert world.refused() == {}
