"""What the simulations show, as tables.

*Cold*: every question is the first of a resolver that knows nothing but the root hints.  *First*: one resolver, asked
once for each zone, which comes to know top-level domains and providers.  *Again*: the same questions once more.  *An
hour*: clients of one resolver ask at random times for names by their popularity.
"""

import itertools
import statistics
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from stack.config import SECOND
from stack.dns.constants import RRType
from stack.dns.core.answer import Answer
from stack.dns.core.config import Guards, ResolverConfig
from stack.dns.names import Name
from tools.dns_internet.attack import Attacker, Verdict
from tools.dns_internet.geography import Place, somewhere
from tools.dns_internet.simulation import Outcome, Simulation, Sockets
from tools.dns_internet.world import Quirk, SimZone, World

ATTACKED_ZONES: Final = 400  # are enough to be attacked among
FIXED_PORT: Final = 40_000
ZIPF: Final = 1.0  # exponent: of the popularity of names
HOUR_S: Final = 3600
RATE: Final = 5  # questions a second


@dataclass(slots=True)
class Row:
    """One line: how long questions took, and the packets they cost."""

    title: str
    latencies_us: list[int] = field(default_factory=list)
    packets: list[int] = field(default_factory=list)
    failed: int = 0
    hits: int = 0  # answered without a packet

    def add(self, outcome: Outcome, packets: int) -> None:
        """One question."""
        self.latencies_us.append(outcome.latency_us)
        self.packets.append(packets)
        self.failed += not isinstance(outcome.result, Answer)
        self.hits += not outcome.latency_us

    def cells(self) -> list[str]:
        """Median, 90th and 99th percentile, mean packets, the most, share answered at once, failures."""
        ordered = sorted(self.latencies_us)
        times = [
            f"{ordered[min(int(len(ordered) * share), len(ordered) - 1)] / 1000:,.0f}" for share in (0.5, 0.9, 0.99)
        ]
        most = f"{max(self.packets)}" if len(self.packets) == len(ordered) else ""
        packets = f"{sum(self.packets) / len(ordered):.2f}"
        return [
            self.title,
            f"{len(ordered):,}",
            *times,
            packets,
            most,
            f"{self.hits / len(ordered):.0%}",
            str(self.failed),
        ]


HEADINGS: Final = ("", "questions", "p50 ms", "p90 ms", "p99 ms", "packets", "most", "at once", "failed")


def config_for(world: World) -> ResolverConfig:
    """Our resolver as it comes, but for the root hints of this internet."""
    return ResolverConfig(hints=world.hints)


def home(world: World) -> Place:
    """Where the resolver is."""
    return somewhere(world.rng("home"))


def questions(world: World) -> Iterator[Name]:
    """The www of every zone that has one, the most popular first; of the providers' zones the apex."""
    for zone in world.zones:
        yield Name.parse(f"www.{zone.name}" if zone.name.startswith("z") else zone.name)


def cold(world: World, config: ResolverConfig, title: str, count: int, *, lossless: bool = False) -> Row:
    """Every question asked of a resolver of its own."""
    row, names = Row(title), list(questions(world))
    for number in range(count):
        net = Simulation(world, config, home(world), seed=number, lossless=lossless)
        outcome = net.resolve(names[number * len(names) // count], RRType.A)
        row.add(outcome, net.packets)
    return row


def first_and_again(world: World, config: ResolverConfig) -> list[Row]:
    """All zones once; and the latest of them, whose answers have not expired, once more."""
    net = Simulation(world, config, home(world))
    first, again = Row("first"), Row("again")
    for name in questions(world):
        for row in (first, again):
            before = net.packets
            row.add(net.resolve(name, RRType.A), net.packets - before)
    return [first, again]


def hour(world: World, config: ResolverConfig) -> Row:
    """Poisson arrivals; packets cannot be told apart by question, so only their mean is known."""
    net, rng, row = Simulation(world, config, home(world)), world.rng("clients"), Row("an hour")
    names = list(questions(world))
    rng.shuffle(names)
    weights = list(itertools.accumulate(1 / rank**ZIPF for rank in range(1, len(names) + 1)))
    asked = []
    while net.now < HOUR_S * SECOND:
        net.run_to(net.now + int(rng.expovariate(RATE) * SECOND))
        asked.append(net.ask(rng.choices(names, cum_weights=weights)[0], RRType.A))
    net.run(lambda: all(outcome.result is not None for outcome in asked))
    for outcome in asked:
        row.add(outcome, 0)
    row.packets = [net.packets]
    return row


def resolution(world: World, count: int) -> list[Row]:
    """The whole table; `count` questions in each of the cold rows."""
    config = config_for(world)
    return [
        cold(world, config, "cold", count),
        cold(world, config, "cold, no packet is lost", count, lossless=True),
        cold(world, replace(config, minimise=False), "cold, without QNAME minimisation", count),
        *first_and_again(world, config),
        hour(world, config),
    ]


# -- attacks

MODERN: Final = Guards()
# as resolvers were until 2008: fixed port and ids that are counted up, and all that the additional section says
OLD: Final = Guards(
    random_ids=False, random_case=False, cookies=False, mismatches=0, bailiwick=False, ranking=False,
    parent_delegations=False, coalesce=False,
)  # fmt: skip
RANKING: Final = {"bailiwick": True, "ranking": True, "parent_delegations": True}


@dataclass(frozen=True, slots=True)
class Attack:
    """A resolver under attack: its guards, whether its port is fixed, how often the attacker asks at once."""

    title: str
    guards: Guards
    fixed_port: bool = False
    at_once: int = 1


ATTACKS: Final = (
    Attack("ours: all guards", MODERN),
    Attack("the same, 100 questions at once", MODERN, at_once=100),
    Attack("as before 2008: fixed port, ids counted up", OLD, fixed_port=True),
    Attack("and random ids", replace(OLD, random_ids=True), fixed_port=True),
    Attack(
        "and random ids, 100 questions at once (birthday)", replace(OLD, random_ids=True), fixed_port=True, at_once=100
    ),
    Attack("and random ports, ids counted up", OLD),
    Attack("and random ids and ports (the answer of 2008)", replace(OLD, random_ids=True)),
    Attack("fixed port, ids counted up, but ranking and bailiwick", replace(OLD, **RANKING), fixed_port=True),
    Attack("all guards, but the port is known", MODERN, fixed_port=True),
    Attack("all guards, but port and ids are known", replace(MODERN, random_ids=False), fixed_port=True),
)


def targets(world: World) -> tuple[SimZone, SimZone]:
    """A zone that is worth it, with servers of its own that do all right but know no cookies; and the attacker's."""

    def suits(zone: SimZone) -> bool:
        servers = [world.servers[address] for _, address in zone.servers]
        return (
            zone.glue
            and zone.name.startswith("z")
            and any(record.startswith("www A ") for record in zone.records)
            and all(server.quirk is Quirk.NONE and zone in server.zones and not server.cookies for server in servers)
        )

    victim, own = itertools.islice(filter(suits, world.zones), 2)
    return victim, own


def attacked(attack: Attack, packets: int, seed: int = 1) -> Verdict:
    """One attack with that many forged answers at most."""
    world = World(seed, ATTACKED_ZONES)
    sockets = Sockets(FIXED_PORT if attack.fixed_port else 0)
    config = replace(config_for(world), guards=attack.guards)
    # no packet is lost: that would only spare the attacker's victims some races
    net = Simulation(world, config, home(world), seed=seed, lossless=True, sockets=sockets)
    return Attacker(net, *targets(world), seed=seed, at_once=attack.at_once).run(packets)


ATTACK_HEADINGS: Final = ("resolver", "forged", "races", "to an open port", "believed", "first after", "www captured")


def attack_cells(attack: Attack, verdict: Verdict) -> list[str]:
    """A line of the table."""
    numbers = (verdict.forged, verdict.races, verdict.delivered, verdict.believed)
    first = f"{verdict.first_after:,}" if verdict.believed else "never"
    return [attack.title, *(f"{number:,}" for number in numbers), first, "**yes**" if verdict.captured else "no"]


def markdown(headings: Iterable[str], rows: Iterable[list[str]]) -> str:
    """A table; the first column is text."""
    lines = [list(headings), *rows]
    rule = "|---|" + "---:|" * (len(lines[0]) - 1)
    text = ["| " + " | ".join(line) + " |" for line in lines]
    return "\n".join([text[0], rule, *text[1:]])


def median_ms(row: Row) -> float:
    """Of a row."""
    return statistics.median(row.latencies_us) / 1000
