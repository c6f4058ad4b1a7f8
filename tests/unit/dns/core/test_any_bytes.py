"""Whatever servers send: nothing is raised, nothing grows without bounds, all of it is counted, and questions end."""

import random

import pytest

from stack.config import SECOND
from stack.dns.core import Answer, Failure
from stack.dns.errors import DnsError
from stack.dns.message import Message
from tests.support.dns_world import Scripted, World, internet, iterative, stub

SEEDS = range(12)


def mutated(rng: random.Random, wire: bytes) -> bytes:
    """A few octets changed, cut, doubled or put in; the id and the question mostly stay."""
    data = bytearray(wire)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(2, len(data)) if rng.random() < 0.1 else rng.randrange(min(40, len(data) - 1), len(data))
        kind = rng.randrange(4)
        if kind == 0:
            data[at] = rng.randrange(256)
        elif kind == 1:
            del data[at : at + rng.randrange(1, 8)]
        elif kind == 2:
            data[at:at] = data[at : at + rng.randrange(1, 30)]
        else:
            data[at:at] = rng.randbytes(rng.randrange(1, 5))
        if len(data) < 13:
            break
    return bytes(data)


def check(world: World, results: list[Answer | DnsError]) -> None:
    assert all(isinstance(result, Answer | DnsError) for result in results)
    world.settle()
    assert not [number for number in world.open if number in {s.number for s in world.sent if not s.tcp}]
    core = world.core
    assert len(core._tasks) == len(core._clients) == len(core._background) == 0
    assert len(core._exchanges) == 0
    assert core.cache.size == sum(entry.size for entry in core.cache.entries())


@pytest.mark.parametrize("seed", SEEDS)
def test_mutated_replies_on_the_way_down(seed):
    rng = random.Random(seed)
    servers = internet()

    def liar(honest):
        def respond(query, tcp):
            reply = honest.respond(query, tcp)
            wire = reply.build(65_535 if tcp else 1232)
            return mutated(rng, wire) if rng.random() < 0.5 else wire

        return Scripted(respond)

    world = iterative(seed)
    world.servers = {address: liar(server) for address, server in servers.items()}
    names = ("www.example.test", "away.example.test", "www.glueless.test", "x.tree.example.test", "none.other.net")
    check(world, [world.ask(rng.choice(names), rng.choice(("A", "MX", "NS", "TXT"))) for _ in range(60)])


@pytest.mark.parametrize("seed", SEEDS)
def test_messages_made_of_whatever_servers_might_say(seed):
    """Replies that are well formed, with records of names and types that have to do with the question, or not."""
    rng = random.Random(seed)
    world = iterative(seed)

    def respond(query, tcp):
        reply = query.reply(rng.choice((0, 0, 0, 0, 0, 3, 2, 5, 1)))
        reply.aa = rng.random() < 0.7
        reply.tc = not tcp and rng.random() < 0.1
        if query.edns is not None and rng.random() < 0.8:
            reply.edns = query.edns
            reply.rcode = rng.choice((reply.rcode, reply.rcode, reply.rcode, 23))
        pool = [rrset for zone in world.zones for rrset in zone.rrsets.values()]
        for section in reply.sections:
            for rrset in rng.sample(pool, rng.choice((0, 0, 1, 2, 5))):
                section.append(rrset.with_name(query.question.name) if rng.random() < 0.4 else rrset)
        return reply

    world.zones = [zone for server in internet().values() for zone in server.zones]
    world.servers = {address: Scripted(respond) for address in internet()}
    names = [str(rrset.name) for zone in world.zones for rrset in zone.rrsets.values()]
    check(world, [world.ask(rng.choice(names), rng.choice(("A", "NS", "CNAME", "DS"))) for _ in range(60)])


@pytest.mark.parametrize("seed", SEEDS)
def test_events_in_any_order(seed):
    """Datagrams, failures, timers, cancellations and closed streams for numbers that are in use, were, or never."""
    rng = random.Random(seed)
    world = stub({f"10.0.0.{i}": Scripted(lambda query, tcp: None) for i in range(3)}, seed, timeout_us=SECOND)
    core = world.core
    handles = []
    for _ in range(600):
        world.now += rng.randrange(200_000)
        number = rng.randrange(max(1, len(world.sent)) + 3)
        sent = rng.choice(world.sent) if world.sent else None
        what = rng.randrange(7)
        if what < 2 or sent is None:
            handles.append(world.start(f"h{rng.randrange(20)}.test", timeout_us=rng.randrange(1, 5 * SECOND)))
        elif what == 2:
            core.cancel(rng.choice(handles), world.now)
        elif what == 3:
            reply = Message.parse(sent.wire).reply(rng.choice((0, 2, 3)))
            reply.tc, reply.ra = rng.random() < 0.3, True
            if sent.tcp:
                core.on_stream_message(sent.number, reply.build(), world.now)
            else:
                core.on_datagram(sent.number, (sent.server, 53), reply.build(), world.now)
        elif what == 4:
            streams = [s.number for s in world.sent if s.tcp]
            number = rng.choice(streams) if streams and rng.random() < 0.5 else number
            if number in streams:
                world.open.pop(number, None)
            core.on_failed(number, rng.choice(list(Failure)), world.now)
        elif what == 5:
            core.on_stream_message(number, rng.randbytes(rng.randrange(40)), world.now)
        else:
            core.on_timer(world.now)
        world._pump()
    check(world, list(world.results.values()))
