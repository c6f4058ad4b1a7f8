"""Settings of a ResolverCore.  Durations are integer microseconds, sizes bytes.  Values are checked by `validate`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from ipaddress import ip_address
from types import MappingProxyType
from typing import Final

from stack.config import MINUTE, MS, SECOND
from stack.dns.constants import PORT, UDP_SIZE
from stack.dns.core.hints import ROOT_HINTS, Hint
from stack.dns.names import Name
from stack.dns.rrset import RRset
from stack.errors import ConfigError

MAX_PORT: Final = 0xFFFF
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

Server = tuple[str, int]  # address in figures, port
HostsTable = Mapping[tuple[bytes, int], RRset]  # (key of a name, type) -> what the hosts file says


def server_text(server: Server) -> str:
    """The address, and the port if it is not 53: as servers are given to a Resolver, and shown everywhere."""
    address, port = server
    return address if port == PORT else f"{address}#{port}"


@dataclass(frozen=True, slots=True)
class ResolverLimits:
    """How much work one question may cause, whoever is to blame.  The numbers are those of unbound and Knot Resolver.

    NXNSAttack (2020), NRDelegationAttack (2023) and CAMP (2024) are ways to exceed a limit per step by multiplying
    steps; so `quota` and `targets` are counted over everything that is done for one question.
    """

    quota: int = 200  # messages sent for one question, sub-questions included
    sent: int = 32  # messages sent for one name and type
    tries: int = 10  # at the servers of one zone
    tries_per_server: int = 5
    restarts: int = 11  # aliases followed
    referrals: int = 130
    ns_names: int = 20  # of a delegation that are looked at
    ns_addresses: int = 4  # of each of these
    targets: int = 64  # names of servers looked up for one question
    targets_per_zone: int = 16  # for one delegation
    failed_targets: int = 5  # of those without an address, before no more are looked up
    failed_targets_fallback: int = 10  # the same, where addresses that a parent told were fallen back to
    depth: int = 8  # of looking up names of servers for the sake of looking up names of servers
    minimise: int = 10  # RFC 9156 §2.3: MAX_MINIMISE_COUNT
    minimise_one: int = 4  # RFC 9156 §2.3: MINIMISE_ONE_LAB
    redirections: int = 6  # answers of one server that say "not like this": TC, BADCOOKIE, FORMERR to EDNS ...
    clients: int = 10_000  # questions in hand
    background: int = 64  # refreshes and probes in hand, that nobody waits for
    streams: int = 256  # TCP connections
    pipeline: int = 128  # questions in flight on one of them
    stream_faults: int = 8  # messages that nobody asked for, before a stream is closed
    servers: int = 16_384  # that facts are kept of
    lame_zones: int = 32  # per server


@dataclass(frozen=True, slots=True)
class Guards:
    """What keeps the resolver from being fooled.  Each can be turned off, to show in a test what it is for."""

    random_ids: bool = True  # RFC 5452 §9.2; off: counted up
    random_case: bool = True  # draft-vixie-dnsext-dns0x20: the letters of the question carry random bits
    # replies with other letters, each to a question of its own, that have to say the same before they are believed of a
    # server without TCP, and only when none with the right letters comes; 0: the first is believed
    alike: int = 3
    check_source: bool = True  # RFC 5452 §9.1
    check_question: bool = True  # RFC 5452 §9.1: off: the id alone makes a reply
    cookies: bool = True  # RFC 7873
    mismatches: int = 3  # wrong replies to one question, before it is asked by TCP; 0: as many as come
    bailiwick: bool = True  # records are taken from servers of their own zone only
    ranking: bool = True  # RFC 2181 §5.4.1; off: glue becomes answers, and what came last wins
    parent_delegations: bool = True  # off: a zone's servers may name their successors (ghost domains, Kaminsky)
    local_servers: bool = True  # referrals to loopback, multicast and the like are not followed
    coalesce: bool = True  # off: each client's question is a question of ours (birthday attack)


@dataclass(frozen=True, slots=True)
class ResolverConfig:
    """With `servers` it is a stub or forwarder, which asks these; without it resolves from the root hints."""

    servers: tuple[Server, ...] = ()
    forward: tuple[tuple[Name, tuple[Server, ...]], ...] = ()  # zones that servers of their own are asked about
    search: tuple[Name, ...] = ()  # resolv.conf: search
    ndots: int = 1  # resolv.conf: names with fewer dots are tried with `search` first
    timeout_us: int = 5 * SECOND  # resolv.conf: of one try, at most
    attempts: int = 2  # resolv.conf: `timeout_us` x `attempts` x servers is how patient we are, at most `patience_us`
    patience_us: int = 30 * SECOND
    rotate: bool = False  # resolv.conf: begin with another server each time
    hosts: HostsTable = field(default_factory=lambda: MappingProxyType({}))  # of the hosts file
    hints: tuple[Hint, ...] = ROOT_HINTS
    port: int = 53  # of the servers that referrals name
    ipv6: bool = False  # servers with IPv6 addresses are asked too

    edns: bool = True
    udp_size: int = UDP_SIZE  # RFC 9715 §3.2: 1400 or less, so that it is never fragmented
    rto_unknown_us: int = 376 * MS  # of a server never met
    rto_min_us: int = 50 * MS
    rto_max_us: int = 12 * SECOND
    rtt_band_us: int = 400 * MS  # servers within this of the best are equally good, and chosen at random
    tcp_timeout_us: int = 4 * SECOND
    facts_ttl_us: int = 15 * MINUTE  # what we know of a server is forgotten then
    lame_ttl_us: int = 5 * MINUTE  # RFC 2308 §7.1: at most five minutes
    probe_us: int = 5 * SECOND  # a forwarder that failed is tried again after this, at nobody's cost
    minimise: bool = True  # RFC 9156, relaxed

    cache_bytes: int = 32 << 20
    ttl_max_us: int = 1 * DAY
    negative_ttl_max_us: int = 1 * HOUR  # RFC 2308 §5: one to three hours
    failure_ttl_us: int = 1 * SECOND  # RFC 9520 §3.2: at least 1 s
    nxdomain_cut: bool = True  # RFC 8020
    prefetch_percent: int = 10  # of its TTL is left: an answer that is asked for is fetched anew; 0: never
    stale_us: int = 1 * DAY  # RFC 8767 §5: 1 to 3 days; 0: never serve stale
    stale_ttl_us: int = 30 * SECOND  # RFC 8767 §4
    stale_answer_us: int = 1800 * MS  # RFC 8767 §5: the client response timer
    stale_recheck_us: int = 30 * SECOND  # RFC 8767 §5: the failure recheck timer

    limits: ResolverLimits = field(default_factory=ResolverLimits)
    guards: Guards = field(default_factory=Guards)

    def validate(self) -> None:
        """Raise ConfigError for a value that cannot work."""
        self._check_kinds()
        for name in ("timeout_us", "rto_unknown_us", "rto_min_us", "rto_max_us", "tcp_timeout_us", "patience_us"):
            if getattr(self, name) <= 0:
                raise ConfigError(f"{name} must be positive")
        if not 512 <= self.udp_size <= 65_535:
            raise ConfigError(f"udp_size {self.udp_size}: use 512 to 65535")
        if self.attempts < 1 or self.ndots < 0:
            raise ConfigError("attempts must be at least 1, and ndots at least 0")
        if not 0 <= self.prefetch_percent < 100:
            raise ConfigError(f"prefetch_percent {self.prefetch_percent}: use 0 to 99")
        if not self.servers and not self.hints:
            raise ConfigError("give servers to ask, or root hints to resolve from")
        if self.rto_min_us > self.rto_max_us:
            raise ConfigError(f"rto_min_us {self.rto_min_us} is more than rto_max_us {self.rto_max_us}")
        for limit in fields(self.limits):
            if getattr(self.limits, limit.name) < 1:
                raise ConfigError(f"limits.{limit.name} must be at least 1")

    def _check_kinds(self) -> None:
        """Raise ConfigError for a value that is not of its kind."""
        for each in fields(self):
            value = getattr(self, each.name)
            if each.type == "int" or each.type is int:
                if type(value) is not int or value < 0:
                    raise ConfigError(f"{each.name} {value!r}: use a whole number, 0 or more")
            elif (each.type == "bool" or each.type is bool) and type(value) is not bool:
                raise ConfigError(f"{each.name} {value!r}: use True or False")
        if not 0 < self.port <= MAX_PORT:
            raise ConfigError(f"port {self.port}: use 1 to {MAX_PORT}")
        given: tuple[object, object] = self.limits, self.guards
        if not isinstance(given[0], ResolverLimits) or not isinstance(given[1], Guards):
            raise ConfigError("limits are ResolverLimits, and guards are Guards")
        for server in (*self.servers, *(server for _, servers in self.forward for server in servers)):
            if not is_server(server):
                raise ConfigError(f'server {server!r}: use an address in figures and a port, like ("192.0.2.1", 53)')
        for name in (*self.search, *(zone for zone, _ in self.forward)):
            if not isinstance(name, Name):
                raise ConfigError(f"{name!r} is no Name: use Name.parse({name!r})")
        for hint in self.hints:
            if not isinstance(hint, Hint):
                raise ConfigError(f"hint {hint!r}: use a Hint, a name and its addresses")


def is_server(given: object) -> bool:
    """It is an address in figures, which may have a scope, and a port."""
    match given:
        case (str(address), int(port)):
            try:
                ip_address(address.partition("%")[0])
            except ValueError:
                return False
            return 0 < port <= MAX_PORT
    return False
