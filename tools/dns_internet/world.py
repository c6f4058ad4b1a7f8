"""An internet of name servers: 13 root addresses, 200 servers of top-level domains, 10 000 zones.

Everything follows from one seed.  Zones are texts (master files) until somebody asks one of their servers; then the
server's zones are loaded into an Authority of `stack.dns.authority`, which answers as our own server does.

What stands in the zones is meant to be as in the real one: most zones are kept by providers whose servers have names in
another zone, often below another top-level domain, so that no glue comes with a delegation; some keep their own; www is
an address, an alias within the zone, or an alias into a content network with short lives.  A few servers are broken:
silent, lame, without EDNS, or answering in lower case; most know nothing of cookies.
"""

import random
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cached_property
from typing import Final

from stack.dns.access import Access
from stack.dns.authority import Authority
from stack.dns.core.hints import Hint
from stack.dns.lookup import Zones
from stack.dns.names import Name
from stack.dns.zone import Zone
from tools.dns_internet.geography import Place, somewhere

ROOTS: Final = 13
TLDS: Final = 50
SERVERS_PER_TLD: Final = 4
ZONES: Final = 10_000
PROVIDERS: Final = 300  # of these zones are theirs
SELF_HOSTED: Final = 0.25  # of the zones
ALIAS, CONTENT_NETWORK = 0.25, 0.15  # of the www
DEAD, LAME, NO_EDNS, LOWER_CASE = 0.01, 0.01, 0.01, 0.01
COOKIES: Final = 0.3  # of the servers know them
TTLS: Final = (60, 300, 3600, 86_400)
CONTENT_TTL: Final = 30
PARENT_TTL: Final = 172_800


class Quirk(Enum):
    """What is wrong with a server."""

    NONE = auto()
    DEAD = auto()
    NO_EDNS = auto()
    LOWER_CASE = auto()


@dataclass(slots=True)
class SimServer:
    """One address: where it is served, of which zones."""

    address: str
    sites: tuple[Place, ...]
    quirk: Quirk = Quirk.NONE
    cookies: bool = False
    zones: list["SimZone"] = field(default_factory=list)
    authority: Authority | None = None


@dataclass(slots=True)
class SimZone:
    """A zone: its name, its servers by name (with the address as glue where the name is in the zone), its records."""

    name: str
    servers: list[tuple[str, str]]
    glue: bool
    records: list[str]
    ttl: int
    loaded: Zone | None = None

    def delegation(self) -> list[str]:
        """What its parent says of it."""
        lines = [f"{self.name}. {PARENT_TTL} NS {server}." for server, _ in self.servers]
        if self.glue:
            lines += [f"{server}. {PARENT_TTL} A {address}" for server, address in self.servers]
        return lines

    def text(self) -> str:
        """Its master file."""
        origin = f"{self.name}." if self.name else "."
        lines = [f"$ORIGIN {origin}", f"$TTL {self.ttl}", "@ SOA ns hostmaster 1 7200 3600 1209600 300"]
        lines += [f"@ {PARENT_TTL} NS {server}." for server, _ in self.servers]
        if self.glue:
            lines += [f"{server}. {PARENT_TTL} A {address}" for server, address in self.servers]
        return "\n".join(lines + self.records) + "\n"

    def load(self) -> Zone:
        """As our server serves it."""
        if self.loaded is None:
            self.loaded = Zone.parse(self.text(), Name.parse(self.name or "."))
        return self.loaded


class World:
    """All of it.  `servers` are by address; `names` is what clients ask for, the most popular first."""

    def __init__(self, seed: int = 1, zones: int = ZONES, *, roots: int = ROOTS, tlds: int = TLDS) -> None:
        self._seed = seed
        self.servers: dict[str, SimServer] = {}
        self.roots: list[tuple[str, str]] = []
        self.zones: list[SimZone] = []
        self._top(roots, tlds)
        self._below(zones)

    def rng(self, what: str) -> random.Random:
        """A generator for one thing, so that no other thing depends on it."""
        return random.Random(f"{self._seed} {what}")

    @cached_property
    def hints(self) -> tuple[Hint, ...]:
        """What a resolver is born with."""
        return tuple(Hint(Name.parse(name), (address,)) for name, address in self.roots)

    def authority(self, server: SimServer) -> Authority:
        """Who answers at an address."""
        if server.authority is None:
            zones = Zones(zone.load() for zone in server.zones)
            server.authority = Authority(zones, Access(), self.rng(f"cookies of {server.address}"), 0)
        return server.authority

    # -- root and top-level domains

    def _top(self, roots: int, tlds: int) -> None:
        self.roots = [(f"{chr(97 + number)}.root-servers.nic", f"11.0.{number}.53") for number in range(roots)]
        self.root = SimZone("", self.roots, glue=True, records=[], ttl=PARENT_TTL)
        for _, address in self.roots:
            self._server(address, self.rng(f"sites of {address}").randrange(1, 20)).zones.append(self.root)
        self.tlds = []
        for number in range(tlds):
            name = f"t{number}"
            servers = [(f"{chr(97 + k)}.nic.{name}", f"12.{number}.{k}.53") for k in range(SERVERS_PER_TLD)]
            tld = SimZone(name, servers, glue=True, records=[], ttl=PARENT_TTL)
            self.tlds.append(tld)
            self.root.records += tld.delegation()
            for k, (_, address) in enumerate(servers):
                self._server(address, 6 if k % 2 else 1).zones.append(tld)

    # -- the rest

    def _below(self, count: int) -> None:
        providers = [self._provider(number) for number in range(min(PROVIDERS, max(1, count // 4)))]
        for number in range(count - len(providers)):
            self._zone(number, providers)

    def _provider(self, number: int) -> SimZone:
        rng = self.rng(f"provider {number}")
        tld = rng.choice(self.tlds)
        name = f"dns{number}.{tld.name}"
        servers = [(f"ns{k}.{name}", f"13.{number >> 8}.{number & 255}.{k}") for k in (1, 2)]
        zone = SimZone(
            name, servers, glue=True, records=["@ A 100.64.0.1", f"*.cdn {CONTENT_TTL} A 100.64.0.2"], ttl=3600
        )
        self._place(zone, tld, rng, anycast=6)
        return zone

    def _zone(self, number: int, providers: list[SimZone]) -> None:
        rng = self.rng(f"zone {number}")
        # some top-level domains are much larger than others
        tld = self.tlds[min(int(rng.paretovariate(0.7)), len(self.tlds)) - 1]
        name = f"z{number}.{tld.name}"
        own = rng.random() < SELF_HOSTED
        # few providers have most of the zones
        provider = providers[min(int(rng.paretovariate(0.5)) - 1, len(providers) - 1)]
        if own:
            servers = [
                (f"ns{k}.{name}", f"{14 + (number >> 16)}.{number >> 8 & 255}.{number & 255}.{k}") for k in (1, 2)
            ]
        else:
            servers = provider.servers
        ttl = rng.choice(TTLS)
        zone = SimZone(name, servers, glue=own, records=self._records(number, rng, provider), ttl=ttl)
        self._place(zone, tld, rng, anycast=1)

    @staticmethod
    def _records(number: int, rng: random.Random, provider: SimZone) -> list[str]:
        hosts = [f"100.{64 + (number >> 14)}.{number >> 6 & 255}.{number << 2 & 255 | k}" for k in range(4)]
        records = [f"@ A {address}" for address in hosts[: rng.randrange(1, 4)]]
        records += ["@ MX 10 mail", f"mail A {hosts[3]}", '@ TXT "v=spf1 mx -all"']
        kind = rng.random()
        if kind < ALIAS:
            records.append("www CNAME @")
        elif kind < ALIAS + CONTENT_NETWORK:
            records.append(f"www CNAME z{number}.cdn.{provider.name}.")
        else:
            records += [f"www A {hosts[0]}", f"www AAAA 2001:db8::{number:x}"]
        return records

    def _place(self, zone: SimZone, tld: SimZone, rng: random.Random, anycast: int) -> None:
        """Into its parent, and onto its servers; the first of these may know nothing of it."""
        self.zones.append(zone)
        tld.records += zone.delegation()
        lame = rng.random() < LAME
        for number, (_, address) in enumerate(zone.servers):
            server = self.servers.get(address) or self._server(address, anycast, self._quirk(address))
            if not (lame and number == 0):
                server.zones.append(zone)

    def _quirk(self, address: str) -> Quirk:
        chance = self.rng(f"quirk of {address}").random()
        for quirk, share in ((Quirk.DEAD, DEAD), (Quirk.NO_EDNS, NO_EDNS), (Quirk.LOWER_CASE, LOWER_CASE)):
            if chance < share:
                return quirk
            chance -= share
        return Quirk.NONE

    def _server(self, address: str, sites: int, quirk: Quirk = Quirk.NONE) -> SimServer:
        rng = self.rng(f"place of {address}")
        made = SimServer(address, tuple(somewhere(rng) for _ in range(sites)), quirk, cookies=rng.random() < COOKIES)
        self.servers[address] = made
        return made
