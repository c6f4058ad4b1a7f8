"""The Resolver and the server as asyncio programs, each on a host of its own, in a smaller internet: the whole stack is
between them.  And a forger who sends whole frames."""

import asyncio
import random
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from stack import dns
from stack.device.fault_settings import Faults
from stack.dns.constants import RRType
from stack.sim.record import OUTBOUND
from stack.sim.world import VirtualHost, VirtualNet, run
from tests.support.frames import End, udp_frame
from tools.dns_internet.attack import EVIL, EVIL_TEXT, record
from tools.dns_internet.geography import path
from tools.dns_internet.report import config_for, home, questions
from tools.dns_internet.simulation import Simulation
from tools.dns_internet.world import Quirk, SimServer, SimZone, World

ZONES, ROOTS, TLDS = 24, 3, 4
EVERYWHERE = 5  # one network for all: 8.0.0.0 to 15.255.255.255
RESOLVER = "11.99.0.1"
QUICK = Faults(delay_us=10)
RACES, FORGED = 20, 500  # of these in each race


def small_world() -> World:
    """With one dead server; other quirks are no settings of our server."""
    world = World(1, ZONES, roots=ROOTS, tlds=TLDS)
    for server in world.servers.values():
        server.quirk = Quirk.NONE
    own = next(zone for zone in world.zones if zone.name.startswith("z") and zone.glue)
    world.servers[own.servers[1][1]].quirk = Quirk.DEAD
    return world


def alive(server: SimServer, zone: SimZone) -> bool:
    return server.quirk is Quirk.NONE and zone in server.zones


async def build(net: VirtualNet, world: World, *, lossless: bool = False) -> VirtualHost:
    """A host for each server; the resolver's host comes back."""
    for server in world.servers.values():
        way = path(home(world), server.sites, lossless=lossless)
        faults = Faults(delay_us=way.latency_us, loss=way.loss)
        host = net.add_host(server.address, address=f"{server.address}/{EVERYWHERE}", faults=faults)
        if server.quirk is not Quirk.DEAD:
            await dns.serve([zone.load() for zone in server.zones], host=host, rng=random.Random(server.address))
    return net.add_host("resolver", address=f"{RESOLVER}/{EVERYWHERE}", faults=QUICK)


def resolver_on(host: VirtualHost, world: World) -> dns.Resolver:
    return dns.Resolver.iterative(hints=world.hints, host=host, rng=random.Random(1))


def texts(answer: dns.Answer) -> list[str]:
    return sorted(map(str, answer.rrset.rdatas))


def test_every_name_as_the_core_alone_finds_it():
    world = small_world()
    names = list(questions(world))

    async def main(net):
        host = await build(net, world)
        async with resolver_on(host, world) as resolver:
            answers = [await resolver.query(str(name), "A", timeout=30) for name in names]
            before = net.time, host.stack.host.stats.counts[:]
            again = [await resolver.query(str(name), "A") for name in names[-3:]]
            assert (net.time, host.stack.host.stats.counts[:]) == before
            assert [texts(answer) for answer in again] == [texts(answer) for answer in answers[-3:]]
            assert resolver.stats["sockets"] == 0
        return [texts(answer) for answer in answers], net.digest()

    found, digest = run(main, seed=1)
    core = Simulation(world, config_for(world), home(world))
    for name, addresses in zip(names, found, strict=True):
        answer = core.resolve(name, RRType.A).result
        assert isinstance(answer, dns.Answer)
        assert texts(answer) == addresses
    assert run(main, seed=1) == (found, digest)


def test_the_other_server_answers_within_a_second():
    """Two forwarders, one of which crashes without a word."""

    async def main(net):
        one, other, client = net.add_hosts("one", "other", "client")
        zone = dns.Zone.parse(
            "@ SOA ns hostmaster 1 2 3 4 5\n@ NS ns\nns A 10.0.0.1\n* 60 A 192.0.2.1", dns.Name.parse("test")
        )
        for host in (one, other):
            # with a resolver it offers recursion, as a forwarder must; its zone has all the names
            await dns.serve([zone], host=host, resolver=dns.Resolver([other.address], host=host))
        async with dns.Resolver([one.address, other.address], host=client, rng=random.Random(1)) as resolver:
            for number in range(10):
                await resolver.query(f"before{number}.test", "A")
            one.crash()
            for number in range(10):
                began = net.time
                await resolver.query(f"after{number}.test", "A")
                assert net.time - began < 1

    run(main, seed=1)


# -- a forger


@dataclass
class Forger:
    """Sends frames from a port on the switch that all hosts share; `on_path`: he reads what the resolver sends."""

    host: VirtualHost
    resolver: VirtualHost
    zone: SimZone
    on_path: bool
    rng: random.Random = field(default_factory=lambda: random.Random(1))
    sent: int = 0
    seen: int = 0

    def __post_init__(self) -> None:
        self.resolver.node.ports[0].tap = self.on_frame
        self.victims = {ip_address(address).packed for _, address in self.zone.servers}

    def on_frame(self, now: int, direction: int, frame: bytes, alive: bool) -> None:
        is_query = direction == OUTBOUND and frame[12:14] == b"\x08\x00" and frame[23] == 17
        if is_query and frame[30:34] in self.victims and b"\4race" in frame[54:].lower():
            self.seen += 1
            self.forge(frame, now)

    def forge(self, frame: bytes, now: int) -> None:
        server = End(self.port.mac, frame[30:34], 53)
        query = frame[42:]
        for _ in range(1 if self.on_path else FORGED):
            guess = int.from_bytes(frame[34:36], "big") if self.on_path else self.rng.randrange(1024, 65536)
            target = End(self.resolver.node.ports[0].mac, ip_address(RESOLVER).packed, guess)
            self.port.put(udp_frame(server, target, self.answer(query)), now, "forged")
            self.sent += 1

    def answer(self, query: bytes) -> bytes:
        """The true question with his address; on the path the id, the letters and the cookie are there to be read."""
        end = query.index(0, 12) + 5
        name, opt = query[12 : end - 4], query[end:]
        head = query[:2] if self.on_path else self.rng.randbytes(2)
        return head + b"\x84\0\0\1\0\1\0\0\0\1" + query[12:end] + record(name, RRType.A, EVIL) + opt

    @property
    def port(self):
        return self.host.node.ports[0]


@pytest.mark.parametrize("on_path", [False, True])
def test_a_forger_off_the_path_fails_and_one_on_it_does_not(on_path):
    """The second is the control: what he forges is right in all that he can know."""
    world = small_world()
    victim = next(
        zone for zone in world.zones if zone.glue and all(alive(world.servers[a], zone) for _, a in zone.servers)
    )

    async def main(net):
        host = await build(net, world, lossless=True)
        forger = Forger(net.add_host("forger", address=f"12.99.0.1/{EVERYWHERE}", faults=QUICK), host, victim, on_path)
        believed = 0
        async with resolver_on(host, world) as resolver:
            await resolver.query(victim.name, "A")
            for number in range(RACES):
                try:
                    answer = await resolver.query(f"race{number}.race.{victim.name}", "A")
                except dns.NXDOMAIN:
                    continue
                believed += texts(answer) == [EVIL_TEXT]
        return believed, forger.seen, forger.sent

    believed, seen, sent = run(main, seed=1)
    assert seen >= RACES
    if on_path:
        assert believed == RACES
    else:
        assert sent == seen * FORGED
        assert believed == 0


def test_hosts_are_left_as_they_were():
    world = small_world()

    async def main(net):
        host = await build(net, world, lossless=True)
        async with resolver_on(host, world) as resolver:
            await asyncio.gather(*(resolver.query(str(name), "A") for name in questions(world)))
        return list(host.stack.driver.handlers)

    assert run(main, seed=1) == []
