"""One question to one server in other ways, and what an error says when none of them was of use."""

import re

import pytest

from stack.config import MS, SECOND
from stack.dns.constants import Rcode
from stack.dns.core import Failure, ResolverConfig
from stack.dns.errors import ServFail, Timeout
from tests.support.dns_world import (
    DELAY_US,
    EXAMPLE_ADDRESS,
    HINTS,
    Recursive,
    Scripted,
    World,
    internet,
    stub,
)

SERVER = "10.0.0.1"


def truncated(query, tcp):
    reply = query.reply()
    reply.tc = True
    return reply


def wrong_ids(count):
    """So many replies with a wrong id, then silence; nothing over TCP."""

    def respond(query, tcp):
        reply = query.reply()
        reply.id ^= 1
        return None if tcp else [reply] * count

    return respond


def malformed(query, tcp):
    return query.reply().build() + b"x"


def short(query, tcp):
    return [b"junk"]


def wrong_name_and_id(query, tcp):
    return [Recursive("").respond(query, tcp).build()[:2] + b"\x81\x80" + bytes(8), *wrong_ids(1)(query, tcp)]


def without_edns(query, tcp):
    return None if query.edns is None else query.reply(Rcode.FORMERR)


def garbage(query, tcp):
    return [b"x" * 12] * 20 if tcp else truncated(query, tcp)


# how a server behaves, with TCP or not, and what is said of it
USELESS = [
    (truncated, False, "truncated over UDP; TCP: connection refused"),
    (wrong_ids(3), False, "3 replies with a wrong id over UDP; TCP: connection refused"),
    (wrong_ids(2), False, "no answer within 376 ms, but 2 replies with a wrong id"),
    (wrong_ids(1), False, "no answer within 376 ms, but 1 reply with a wrong id"),
    (wrong_name_and_id, False, "no answer within 376 ms, but 1 reply to another question, 1 reply with a wrong id"),
    (short, False, "no answer within 376 ms, but 1 reply too short"),
    (malformed, False, "malformed reply: trailing: 1 octets"),
    (without_edns, False, "FORMERR; without EDNS: no answer within 376 ms"),
    (garbage, True, "truncated over UDP; TCP: only messages that nobody had asked for"),
    (
        lambda query, tcp: None if tcp else truncated(query, tcp),
        True,
        "truncated over UDP; TCP: no answer within 4000 ms",
    ),
]
useless = pytest.mark.parametrize(("respond", "tcp", "said"), USELESS, ids=[said for _, _, said in USELESS])


@useless
def test_who_answered_and_was_of_no_use_is_no_timeout_and_the_error_says_what_he_did(respond, tcp, said):
    world = stub({SERVER: Scripted(respond)}, attempts=1, timeout_us=376 * MS)
    world.no_tcp = set() if tcp else {SERVER}
    error = world.ask("www.test")
    assert type(error) is ServFail
    assert (SERVER, said) in error.tries
    assert f"{SERVER}: " in str(error)
    assert said in str(error)


def without_times(said):
    """By then the round-trip times are known."""
    return re.sub(r"\d+ ms", "its time", said)


@useless
def test_the_same_from_the_root_on(respond, tcp, said):
    servers = internet()
    servers[EXAMPLE_ADDRESS] = Scripted(respond)
    world = World(ResolverConfig(hints=HINTS), servers)
    world.no_tcp = set() if tcp else {EXAMPLE_ADDRESS}
    error = world.ask("www.example.test")
    assert type(error) is ServFail
    assert without_times(said) in [without_times(tried.why) for tried in error.tries]


@pytest.mark.parametrize("failure", Failure)
def test_what_ends_a_try_at_once_is_no_timeout(failure):
    world = stub({SERVER: Recursive("")})
    world.down = {SERVER}
    handle = world.start("www.test")
    world.advance(DELAY_US)
    world.at(0, lambda: world.core.on_failed(world.sent[0].number, failure, world.now))
    error = world.wait(handle)
    assert error.tries == ((SERVER, failure.value),)
    assert type(error) is (Timeout if failure is Failure.CONNECT_TIMEOUT else ServFail)
    assert world.now == DELAY_US


def test_silence_is_a_timeout():
    world = stub({SERVER: Recursive("")}, attempts=1, timeout_us=376 * MS)
    world.down = {SERVER}
    error = world.ask("www.test")
    assert type(error) is Timeout
    assert str(error).endswith("no answer to www.test. A came in time (10.0.0.1: no answer within 376 ms)")


def test_silence_of_some_is_none_of_all():
    world = stub({SERVER: Recursive(""), "10.0.0.2": Recursive("")}, attempts=1, timeout_us=376 * MS)
    world.down, world.refusing = {SERVER}, {"10.0.0.2"}
    error = world.ask("www.test")
    assert type(error) is ServFail
    assert "(10.0.0.2: unreachable; 10.0.0.1: no answer within 376 ms (the last of 2 tries))" in str(error)


def test_who_is_still_waited_for_when_time_is_up_is_told_with_what_he_did_before():
    world = stub({SERVER: Scripted(lambda query, tcp: None if tcp else truncated(query, tcp))})
    error = world.ask("www.test", timeout_us=SECOND)
    assert type(error) is Timeout
    assert error.tries == ((SERVER, "truncated over UDP; TCP: no answer yet after 980 ms"),)
    world = stub({SERVER: Scripted(wrong_ids(1))})
    error = world.ask("www.test", timeout_us=100 * MS)
    assert error.tries == ((SERVER, "no answer yet after 100 ms, but 1 reply with a wrong id"),)


def test_what_one_server_did_is_not_told_of_the_next():
    world = stub({SERVER: Scripted(truncated), "10.0.0.2": Recursive("")}, attempts=1, timeout_us=376 * MS)
    world.no_tcp, world.down = {SERVER}, {"10.0.0.2"}
    error = world.ask("www.test")
    assert error.tries[:2] == (
        (SERVER, "truncated over UDP; TCP: connection refused"),
        ("10.0.0.2", "no answer within 376 ms"),
    )


def test_who_asks_again_a_moment_later_is_told_the_same():
    world = stub({SERVER: Scripted(truncated)})
    world.no_tcp = {SERVER}
    first = world.ask("www.test")
    sent = len(world.sent)
    second = world.ask("www.test")
    assert (type(second), str(second)) == (type(first), str(first))
    assert len(world.sent) == sent


def test_servers_that_cannot_be_reached_are_not_asked_for_another_name():
    world = World(ResolverConfig(hints=HINTS), internet())
    world.ask("other.example.test")
    world.refusing = {EXAMPLE_ADDRESS}
    before = len(world.sent)
    assert type(world.ask("a.b.c.example.test")) is ServFail
    assert len(world.sent) == before + 1
