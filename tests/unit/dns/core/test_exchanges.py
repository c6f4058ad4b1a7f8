"""Messages out and in: truncation and TCP, streams, EDNS, timeouts and RTT, sharing, cancelling."""

import pytest

from stack.config import MS, SECOND
from stack.dns.constants import Rcode
from stack.dns.core import Close, Failure, Release, ResolverConfig, ResolverLimits, SendTcp
from stack.dns.core.servers import ServerFacts
from stack.dns.edns import Edns
from stack.dns.errors import ServFail, Timeout
from stack.dns.message import TC, Message
from stack.dns.names import Name
from tests.support.dns_world import DELAY_US, HINTS, Recursive, Scripted, World, internet, stub, texts
from tests.support.rfc import rfc

BIG = "\n".join(f"big.test. 300 TXT {'x' * 80}{i:03}" for i in range(80))
TEXT = f"{BIG}\nwww.test. 300 A 192.0.2.1\n" + "\n".join(f"h{i}.test. 300 A 192.0.2.{i}" for i in range(200))


def one(text: str = TEXT, **settings) -> World:
    return stub({"10.0.0.1": Recursive(text)}, **settings)


def only_tcp(text: str = TEXT) -> Scripted:
    """Truncates everything by UDP."""
    resolver = Recursive(text)

    def respond(query, tcp):
        reply = resolver.respond(query, tcp)
        if not tcp:
            reply.tc, reply.answer = True, []
        return reply

    return Scripted(respond)


# --- TCP -------------------------------------------------------------------------------------------------------------


@rfc("7766", "5")
def test_a_truncated_reply_is_asked_for_by_tcp():
    world = one()
    answer = world.ask("big.test", "TXT")
    assert len(answer.rrset) == 80
    assert [sent.tcp for sent in world.sent] == [False, True]
    assert world.counts()["truncated"] == 1


@rfc("2181", "9", "D-TC-IGNORED")
def test_what_follows_the_flag_is_of_no_interest():
    resolver = Recursive(TEXT)

    def respond(query, tcp):
        if tcp:
            return resolver.respond(query, tcp)
        reply = query.reply()
        reply.flags |= TC
        return reply.build()[:7] + b"\xff" * 5 + reply.build()[12:] + b"\xc0\xff garbage" * 20

    world = stub({"10.0.0.1": Scripted(respond)})
    assert texts(world.ask("www.test")) == ["192.0.2.1"]


def test_what_is_truncated_by_tcp_too_is_no_answer():
    """Else a part of the records would be kept as all of them, or none as a proof that there are none."""
    for text in (TEXT, ""):
        resolver = Recursive(text)

        def respond(query, tcp, resolver=resolver):
            reply = resolver.respond(query, tcp) if tcp else query.reply()
            reply.tc = True
            return reply

        world = stub({"10.0.0.1": Scripted(respond)})
        error = world.ask("www.test")
        assert type(error) is ServFail
        assert "truncated over UDP; TCP: truncated" in str(error)
        assert len(world.sent) == 2
        world.servers["10.0.0.1"] = only_tcp()
        world.advance(2 * SECOND)  # a failure is kept for one
        assert texts(world.ask("www.test")) == ["192.0.2.1"]


def test_a_truncated_reply_that_is_not_ours_does_nothing():
    world = one()

    def on_sent(sent):
        reply = Message.parse(sent.wire).reply()
        reply.id ^= 1
        reply.flags |= TC
        world.inject(sent.number, reply.build())

    world.on_sent = on_sent
    world.ask("www.test")
    assert [sent.tcp for sent in world.sent] == [False]


def test_one_connection_carries_many_questions_with_ids_of_their_own():
    world = stub({"10.0.0.1": only_tcp()})
    handles = [world.start(f"h{i}.test") for i in range(100)]
    for i, handle in enumerate(handles):
        assert texts(world.wait(handle)) == [f"192.0.2.{i}"]
    by_tcp = [sent for sent in world.sent if sent.tcp]
    assert len(by_tcp) == 100
    assert len({sent.number for sent in by_tcp}) == 1
    assert len({Message.parse(sent.wire).id for sent in by_tcp}) == 100


@rfc("7766", "7")
def test_replies_may_come_in_any_order():
    held: list = []
    resolver = only_tcp()
    world = stub({"10.0.0.1": resolver})

    def respond(query, tcp):
        reply = resolver.respond(query, tcp)
        if not tcp:
            return reply
        held.append(reply)
        if len(held) == 50:
            return held[::-1]
        return None

    world.servers["10.0.0.1"] = Scripted(respond)
    handles = [world.start(f"h{i}.test") for i in range(50)]
    for i, handle in enumerate(handles):
        assert texts(world.wait(handle)) == [f"192.0.2.{i}"]


@rfc("7766", "6.2.4")
def test_a_connection_that_was_closed_is_opened_again():
    world = stub({"10.0.0.1": only_tcp()})
    world.ask("h1.test")
    stream = world.sent[-1].number

    def on_sent(sent):
        if sent.tcp and sent.number == stream:
            world.down.add("10.0.0.1")
            world.at(1, lambda: (world.down.clear(), world._fail(stream, Failure.CLOSED)))

    world.on_sent = on_sent
    assert texts(world.ask("h2.test")) == ["192.0.2.2"]
    assert world.sent[-1].number != stream


def test_a_connection_that_is_closed_again_and_again_is_given_up():
    world = stub({"10.0.0.1": only_tcp(), "10.0.0.2": Recursive(TEXT)})

    def on_sent(sent):
        if sent.tcp:
            world.at(1, lambda: world._fail(sent.number, Failure.CLOSED))

    world.on_sent = on_sent
    assert texts(world.ask("www.test")) == ["192.0.2.1"]
    assert [(sent.server, sent.tcp) for sent in world.sent] == [
        ("10.0.0.1", False),
        ("10.0.0.1", True),
        ("10.0.0.1", True),
        ("10.0.0.2", False),
    ]


def test_an_idle_connection_that_the_transport_closed_is_forgotten():
    world = stub({"10.0.0.1": only_tcp()})
    world.ask("h1.test")
    world._fail(world.sent[-1].number, Failure.CLOSED)
    assert texts(world.ask("h2.test")) == ["192.0.2.2"]
    assert "failures" not in world.counts()


def test_a_server_without_tcp_is_another_ones_chance():
    world = stub({"10.0.0.1": only_tcp(), "10.0.0.2": Recursive(TEXT)})
    world.no_tcp = {"10.0.0.1"}
    assert texts(world.ask("www.test")) == ["192.0.2.1"]
    assert world.sent[-1].server == "10.0.0.2"


def test_a_silent_connection_is_closed():
    world = stub({"10.0.0.1": Scripted(lambda query, tcp: None if tcp else _truncated(query))}, attempts=1)
    error = world.ask("www.test")
    assert type(error) is ServFail
    assert error.tries[-1].why == "truncated over UDP; TCP: no answer within 4000 ms"
    assert world.open == {}
    assert world.sent[1].at + 4 * SECOND <= world.now


def _truncated(query):
    reply = query.reply()
    reply.tc = True
    return reply


@pytest.mark.parametrize("garbage", [b"", b"\0", b"\0" * 11, b"\xff" * 40])
def test_a_connection_that_carries_garbage_is_closed(garbage):
    server = only_tcp()

    def respond(query, tcp):
        return [garbage] * 20 if tcp else server.respond(query, tcp)

    world = stub({"10.0.0.1": Scripted(respond), "10.0.0.2": Recursive(TEXT)})
    assert texts(world.ask("www.test")) == ["192.0.2.1"]
    assert sum(world.refused().values()) >= 8
    assert world.open == {}


def test_more_on_one_connection_than_it_may_carry_opens_another():
    world = stub({"10.0.0.1": only_tcp()}, limits=ResolverLimits(pipeline=10))
    for i in range(25):
        world.start(f"h{i}.test")
    world.settle()
    assert len({sent.number for sent in world.sent if sent.tcp}) == 3
    assert len(world.results) == 25


def test_connections_are_bounded_and_idle_ones_make_room():
    servers = {f"10.0.0.{i}": only_tcp() for i in range(1, 6)}
    world = stub(servers, rotate=True, limits=ResolverLimits(streams=2))
    for i in range(5):
        assert texts(world.ask(f"h{i}.test")) == [f"192.0.2.{i}"]
    assert len(world.open) == 2
    busy = stub({"10.0.0.1": only_tcp()}, limits=ResolverLimits(streams=1, pipeline=1))
    busy.start("h1.test")
    assert isinstance(busy.ask("h2.test"), Timeout | ServFail)
    assert busy.refused()["stream_limit"] >= 1


# --- malformed, EDNS -------------------------------------------------------------------------------------------------


def test_a_malformed_reply_is_counted_and_another_server_asked():
    def respond(query, tcp):
        return query.reply().build()[:7] + b"\x09" + query.reply().build()[8:] + b"\xc0\x0c"

    world = stub({"10.0.0.1": Scripted(respond), "10.0.0.2": Recursive(TEXT)})
    assert texts(world.ask("www.test")) == ["192.0.2.1"]
    assert world.refused() == {"malformed_counts": 1}


OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
RECORD = b"\xc0\x0c\0\1\0\1\0\0\0\0\0\4\6\6\6\6"


@pytest.mark.parametrize(
    ("counts", "data", "reason"),
    [
        ((65535, 0, 0), RECORD, "counts"),
        ((2, 0, 0), RECORD + RECORD[:-1], "rdlength"),
        ((2, 0, 0), RECORD + RECORD[:11], "short"),
        ((1, 0, 0), RECORD + b"x", "trailing"),
        ((1, 0, 2), RECORD + OPT * 2, "opt_twice"),
        ((2, 0, 0), RECORD + OPT, "opt_misplaced"),
        ((1, 0, 1), RECORD + b"\1a" + OPT, "opt_owner"),
        ((1, 0, 1), RECORD + OPT[:-1] + b"\3abc", "option"),
        ((1, 0, 0), RECORD[:11] + b"\5\6\6\6\6\6", "rdata"),
        ((2, 0, 0), RECORD + b"\xc0\x40" + RECORD[2:], "pointer"),
        ((2, 0, 0), RECORD + b"\x41a\0" + RECORD[2:], "bad_label"),
        ((2, 0, 0), RECORD + (b"\x3f" + b"a" * 63) * 4 + b"\0" + RECORD[2:], "name_too_long"),
    ],
)
@pytest.mark.parametrize("tcp", [False, True])
def test_every_kind_of_malformed_reply_is_counted_as_such_and_nothing_of_it_is_used(counts, data, reason, tcp):
    def respond(query, is_tcp):
        reply = query.reply()
        if tcp and not is_tcp:
            reply.tc = True
            return reply
        wire = reply.build()
        end = 12 + len(query.question.name) + 4
        return wire[:6] + b"".join(count.to_bytes(2, "big") for count in counts) + wire[12:end] + data

    world = stub({"10.0.0.1": Scripted(respond), "10.0.0.2": Recursive(TEXT)})
    assert texts(world.ask("www.test")) == ["192.0.2.1"]
    assert world.refused() == {f"malformed_{reason}": 1}


@pytest.mark.parametrize("rcode", [Rcode.YXDOMAIN, Rcode.NOTAUTH, 11, 4095])
def test_a_response_code_that_says_nothing_of_the_name_is_counted(rcode):
    def respond(query, tcp):
        reply = query.reply(rcode)
        reply.edns = query.edns
        return reply

    world = stub({"10.0.0.1": Scripted(respond), "10.0.0.2": Recursive(TEXT)})
    assert texts(world.ask("www.test")) == ["192.0.2.1"]
    assert world.refused() == {"bad_rcode": 1}


@rfc("6891", "7")
@pytest.mark.parametrize("rcode", [Rcode.FORMERR, Rcode.NOTIMP])
def test_a_server_that_knows_no_edns_is_asked_without(rcode):
    resolver = Recursive(TEXT)

    def respond(query, tcp):
        if query.edns is not None:
            reply = query.reply(rcode)
            reply.question = None  # it did not read as far
            return reply
        return resolver.respond(query, tcp)

    world = stub({"10.0.0.1": Scripted(respond)})
    assert texts(world.ask("www.test")) == ["192.0.2.1"]
    assert texts(world.ask("h1.test")) == ["192.0.2.1"]
    assert [Message.parse(sent.wire).edns is None for sent in world.sent] == [False, True, True]
    assert world.counts()["without_edns"] == 1


def test_a_formerr_with_edns_is_what_it_says():
    def respond(query, tcp):
        reply = query.reply(Rcode.FORMERR)
        reply.edns = Edns()
        return reply

    world = stub({"10.0.0.1": Scripted(respond)})
    assert isinstance(world.ask("www.test"), ServFail)
    assert len(world.sent) == 1


def test_a_server_that_only_redirects_is_given_up():
    world = stub({"10.0.0.1": Scripted(lambda query, tcp: _badcookie(query))})
    assert isinstance(world.ask("www.test"), ServFail)
    assert len(world.sent) <= 6


def _badcookie(query):
    reply = query.reply(Rcode.BADCOOKIE)
    reply.edns = query.edns
    return reply


# --- RTT -------------------------------------------------------------------------------------------------------------


def test_the_timeout_follows_the_round_trip_times():
    config = ResolverConfig()
    facts = ServerFacts(("10.0.0.1", 53), config, b"12345678", 0)
    assert facts.rto == 376 * MS
    facts.on_reply(100 * MS, config)
    assert (facts.srtt, facts.rttvar, facts.rto) == (100 * MS, 50 * MS, 300 * MS)
    for _ in range(50):
        facts.on_reply(100 * MS, config)
    assert 100 * MS <= facts.rto < 110 * MS
    facts.on_silence(facts.rto, config, 0)
    assert 200 * MS <= facts.rto < 220 * MS
    facts.on_silence(50 * MS, config, 0)  # a try that began before: counted already
    assert 200 * MS <= facts.rto < 220 * MS
    assert facts.failures == 2
    facts.on_reply(1, config)
    assert facts.failures == 0
    for _ in range(20):
        facts.on_silence(20 * SECOND, config, 0)
    assert facts.rto == config.rto_max_us
    facts.on_reply(10, config)
    assert facts.rto >= config.rto_min_us


def test_what_is_known_of_a_server_is_forgotten_after_a_while():
    world = one()
    world.ask("h1.test")
    first = world.core.servers.get(("10.0.0.1", 53), world.now)
    assert first.srtt == 2 * DELAY_US
    assert world.core.servers.get(("10.0.0.1", 53), world.now + 15 * 60 * SECOND).srtt == 0


# --- sharing, cancelling, closing ------------------------------------------------------------------------------------


def test_clients_with_the_same_question_share_one_in_other_letters_too():
    world = one()
    handles = [world.start(name) for name in ("www.test", "WWW.test", "www.TEST")]
    answers = [world.wait(handle) for handle in handles]
    assert [str(answer.name) for answer in answers] == ["www.test.", "WWW.test.", "www.TEST."]
    assert len(world.sent) == 1


def test_sub_questions_in_flight_are_shared():
    world = World(ResolverConfig(hints=HINTS), internet())
    handles = [world.start(f"n{i}.example.test") for i in range(10)]
    for handle in handles:
        world.wait(handle)
    assert world.asked().count((".", "NS")) == 1
    assert world.asked().count(("test.", "A")) == 1
    assert world.asked().count(("example.test.", "A")) == 1
    assert len(world.sent) == 13


def test_a_traced_question_is_its_own():
    world = one()
    handle = world.start("www.test")
    steps: list = []
    traced = world.start("www.test", trace=steps)
    assert texts(world.wait(handle)) == texts(world.wait(traced))
    assert [step.verdict for step in steps] == ["NOERROR", "answer"]


def test_cancelling_the_last_client_gives_the_question_up():
    world = one()
    first, second = world.start("www.test"), world.start("www.test")
    world.core.cancel(first, world.now)
    assert world.core.poll() == []
    world.core.cancel(second, world.now)
    assert [(type(action), action.exchange) for action in world.core.poll()] == [(Release, 1)]
    world.core.cancel(second, world.now)
    assert world.core.deadline is None
    assert len(world.core.cache) == 0


def test_closing_finishes_everything():
    world = stub({"10.0.0.1": only_tcp()})
    world.ask("h1.test")
    handle = world.start("www.test")
    world.advance(2 * DELAY_US + 1)
    other, traced = world.start("h2.test"), world.start("h3.test", trace=[])
    world.core.close(world.now)
    world._pump()
    for number in (handle, other, traced):
        assert "was closed" in str(world.results[number])
    assert world.open == {}
    assert world.core.deadline is None


def test_a_lack_of_sockets_is_not_the_servers_fault():
    world = one()
    world.start("www.test")
    world.core.on_failed(world.sent[0].number, Failure.NO_SOCKET, world.now)
    assert world.core.servers.get(("10.0.0.1", 53), world.now).failures == 0
    world.start("h1.test")
    world.core.on_failed(world.sent[-1].number, Failure.UNREACHABLE, world.now)
    assert world.core.servers.get(("10.0.0.1", 53), world.now).failures == 1


def test_what_comes_late_for_what_is_gone_does_no_harm():
    world = one()
    world.ask("www.test")
    world.core.on_failed(1, Failure.UNREACHABLE, world.now)
    world.core.on_failed(4711, Failure.CLOSED, world.now)
    world.core.on_timer(world.now)
    assert world.core.poll() == []


def test_streams_are_closed_by_action_and_not_after_a_failure():
    world = stub({"10.0.0.1": only_tcp()})
    world.start("h1.test")
    world.advance(2 * DELAY_US)
    (stream,) = [sent.number for sent in world.sent if sent.tcp]
    world.core.on_failed(stream, Failure.REFUSED, world.now)
    actions = world.core.poll()
    assert not [action for action in actions if isinstance(action, Close)]
    assert not [action for action in actions if isinstance(action, SendTcp)]
    world.open.pop(stream)


def test_two_clients_with_other_deadlines():
    world = one()
    world.down = {"10.0.0.1"}
    patient = world.start("www.test", timeout_us=3 * SECOND)
    hasty = world.start("www.test", timeout_us=100 * MS)
    assert isinstance(world.wait(hasty), Timeout)
    assert world.now == 100 * MS
    world.down.clear()
    assert texts(world.wait(patient)) == ["192.0.2.1"]


def test_a_timeout_of_client_and_try_in_the_same_moment():
    world = one()
    world.down = {"10.0.0.1"}
    error = world.ask("www.test", timeout_us=376 * MS)
    assert isinstance(error, Timeout)
    assert world.now == 376 * MS
    assert world.open == {}
    world.settle()


# --- the hook for a validator ----------------------------------------------------------------------------------------


def test_an_error_within_is_told_and_nobody_waits_for_ever():
    """And the name can be asked for again."""

    def validator(finding, message, zone, work):
        yield from ()
        raise ZeroDivisionError

    world = World(ResolverConfig(hints=HINTS), internet(), validator=validator)
    for count in (1, 2):
        error = world.ask("www.example.test")
        assert type(error) is ServFail
        assert "ZeroDivisionError" in str(error)
        assert world.counts()["faults"] == len(world.core.faults) == count
        assert world.now < SECOND
    assert world.open == {}


def test_a_validator_stands_between_reply_and_cache():
    seen = []

    def validator(finding, message, zone, work):
        seen.append((str(zone), finding.kind))
        return True
        yield

    world = World(ResolverConfig(hints=HINTS), internet(), validator=validator)
    answer = world.ask("www.example.test")
    assert answer.secure is True
    assert world.ask("www.example.test").secure is True
    assert [zone for zone, _ in seen] == [".", ".", "test.", "example.test."]


def test_without_one_nothing_is_said():
    assert World(ResolverConfig(hints=HINTS), internet()).ask("www.example.test").secure is None


def test_names_are_taken_as_they_are():
    world = one()
    name = Name.parse(r"we\.ird\000.test")
    handle = world.core.start(name, 1, 0, timeout_us=SECOND)
    world._pump()
    world.wait(handle)
    assert Name.parse(world.sent[0].name).key == name.key
