"""A world for a ResolverCore: a virtual clock, a network with delays, servers that answer by zone data or by script.

    world = World(ResolverConfig(hints=...), {"10.0.0.1": Zones({".": ROOT_ZONE}), ...})
    answer = world.ask("www.example.test", "A")        # an Answer or a DnsError
    world.sent                                         # what was asked of whom

A server is anything with `respond(query, tcp)`, which gives a Message, octets, a list of these (several replies), or
None for silence.  `world.down` are servers that stay silent, `world.refusing` those that an ICMP error comes for, and
`world.no_tcp` those that do not take connections.  `world.on_sent` sees every query on its way out, and may `inject`.
"""

import random
from collections.abc import Callable
from functools import partial
from heapq import heappop, heappush
from typing import Any, NamedTuple

from stack.config import MS, SECOND
from stack.dns.constants import Rcode, RRType, parse_type, type_text
from stack.dns.core import (
    Answer,
    Close,
    Failure,
    Finished,
    Hint,
    Release,
    ResolverConfig,
    ResolverCore,
    SendTcp,
    SendUdp,
    Step,
)
from stack.dns.errors import DnsError
from stack.dns.message import Message
from stack.dns.names import MAX_NAME, ROOT, Name
from stack.dns.rdata import parse as parse_rdata
from stack.dns.rrset import Question, RRset

PORT = 53
DELAY_US = 10 * MS  # one way

Response = Message | bytes | list[Any] | None
Servers = dict[str, Any]  # by address: what has `respond(query, tcp)`


class Sent(NamedTuple):
    """A query as a server sees it."""

    at: int
    server: str
    name: str
    type: str
    tcp: bool
    wire: bytes
    number: int  # of the exchange or stream


def records(text: str, origin: str = ".") -> list[RRset]:
    """RRsets of lines "NAME TTL TYPE DATA"."""
    found: dict[tuple[bytes, int], tuple[Name, int, list[Any]]] = {}
    top = Name.parse(origin)
    for line in filter(None, (line.strip() for line in text.splitlines())):
        owner, ttl, kind, data = line.split(None, 3)
        name, rrtype = Name.parse(owner, top), parse_type(kind)
        found.setdefault((name.key, rrtype), (name, int(ttl), []))[2].append(parse_rdata(rrtype, data, top))
    return [RRset.of(name, ttl, rdatas) for name, ttl, rdatas in found.values()]


class Zone:
    """One zone: its records, those below its cuts included (glue)."""

    def __init__(self, origin: str, text: str) -> None:
        self.origin = Name.parse(origin)
        rrsets = records(text, origin)
        self.rrsets = {(rrset.name.key, rrset.rrtype): rrset for rrset in rrsets}
        self.names = {ancestor.key for rrset in rrsets for ancestor in rrset.name.ancestors()}

    def get(self, name: bytes, rrtype: int) -> RRset | None:
        return self.rrsets.get((name.lower(), rrtype))

    def cut(self, name: Name) -> RRset | None:
        """The highest delegation that a name is below or at."""
        for ancestor in reversed(name.ancestors()):
            ns = self.get(ancestor, RRType.NS)
            if ns is not None and len(ancestor) > len(self.origin):
                return ns
        return None


class Zones:
    """A server with authority for zones, as RFC 1034 §4.3.2 has it.  It keeps the letters of a question."""

    def __init__(self, zones: dict[str, str]) -> None:
        self.zones = [Zone(origin, text) for origin, text in zones.items()]

    def respond(self, query: Message, tcp: bool) -> Response:
        assert query.question is not None
        reply = query.reply()
        reply.edns = query.edns
        if query.edns is not None:
            reply.edns = type(query.edns)()
        name, rrtype = query.question.name, query.question.rrtype
        zones = [zone for zone in self.zones if name.is_within(zone.origin)]
        if not zones:
            reply.rcode = Rcode.REFUSED
            return reply
        self._answer(max(zones, key=lambda zone: len(zone.origin)), reply, name, rrtype)
        return reply

    def _answer(self, zone: Zone, reply: Message, name: Name, rrtype: int) -> None:
        for _ in range(20):
            cut = zone.cut(name)
            if cut is not None and not (rrtype == RRType.DS and cut.name.key == name.key):
                if reply.answer:
                    return
                reply.authority.append(cut)
                for target in cut.names:
                    reply.additional += [g for t in (RRType.A, RRType.AAAA) if (g := zone.get(target, t)) is not None]
                return
            reply.aa = True
            found = zone.get(name, rrtype)
            if found is not None:
                reply.answer.append(found.with_name(name))
                if rrtype == RRType.NS:
                    reply.additional += [g for target in found.names if (g := zone.get(target, RRType.A)) is not None]
                return
            alias = zone.get(name, RRType.CNAME)
            if alias is None:
                dname = next((d for a in name.ancestors()[1:] if (d := zone.get(a, RRType.DNAME)) is not None), None)
                if dname is not None:
                    reply.answer.append(dname)
                    target = Name(name[: len(name) - len(dname.name)] + dname.raws[0])
                    if len(target) > MAX_NAME:
                        reply.rcode = Rcode.YXDOMAIN
                        return
                    alias = RRset(name, RRType.CNAME, 1, dname.ttl, [target])
            if alias is None:
                if name.key not in zone.names:
                    reply.rcode = Rcode.NXDOMAIN
                soa = zone.get(zone.origin, RRType.SOA)
                if soa is not None:
                    reply.authority.append(soa)
                return
            reply.answer.append(alias.with_name(name))
            name = alias.names[0]
            if not name.is_within(zone.origin):
                return


class Scripted:
    """A server that does what a function says."""

    def __init__(self, respond: Callable[[Message, bool], Response]) -> None:
        self.respond = respond


class Recursive:
    """A resolver: answers from one table, with RA."""

    def __init__(self, text: str) -> None:
        self._zone = Zones({".": f". 3600 SOA a. b. 1 2 3 4 60\n{text}"})

    def respond(self, query: Message, tcp: bool) -> Response:
        reply = self._zone.respond(query, tcp)
        assert isinstance(reply, Message)
        reply.ra, reply.aa = True, False
        return reply


class World:
    """See the head of this file."""

    def __init__(self, config: ResolverConfig, servers: Servers, seed: int = 1, validator=None) -> None:
        self.now = 0
        self.rng = random.Random(seed)
        self.core = ResolverCore(config, self.rng, 0, validator)
        self.servers = dict(servers)
        self.down: set[str] = set()
        self.refusing: set[str] = set()
        self.no_tcp: set[str] = set()
        self.delays: dict[str, int] = {}
        self.sent: list[Sent] = []
        self.open: dict[int, str] = {}  # exchanges and streams -> server
        self.results: dict[int, Answer | DnsError] = {}
        self.on_sent: Callable[[Sent], None] = lambda sent: None
        self._events: list[tuple[int, int, Callable[[], object]]] = []
        self._serial = 0

    # --- what tests call ---------------------------------------------------------------------------------------------

    def start(self, name: str, rrtype: str = "A", *, timeout_us: int = 60 * SECOND, **more) -> int:
        handle = self.core.start(Name.parse(name), parse_type(rrtype), self.now, timeout_us=timeout_us, **more)
        self._pump()
        return handle

    def ask(self, name: str, rrtype: str = "A", *, timeout_us: int = 60 * SECOND, **more) -> Answer | DnsError:
        """Ask and run until there is an answer."""
        return self.wait(self.start(name, rrtype, timeout_us=timeout_us, **more))

    def wait(self, handle: int) -> Answer | DnsError:
        while handle not in self.results:
            assert self._step(), "nothing will ever happen any more, and there is no answer"
        return self.results.pop(handle)

    def explain(self, name: str, rrtype: str = "A") -> tuple[Answer | DnsError, list[Step]]:
        steps: list[Step] = []
        return self.ask(name, rrtype, trace=steps), steps

    def settle(self) -> None:
        """Run until nothing is in hand."""
        while self._step():
            pass

    def advance(self, us: int) -> None:
        """Let time pass, and what falls due happen."""
        until = self.now + us
        while (at := self._next_at()) is not None and at <= until:
            self._step()
        self.now = until

    def inject(self, number: int, wire: bytes, source: str | tuple[str, int] | None = None, after_us: int = 1) -> None:
        """A datagram from anybody for an exchange of the resolver."""
        if not isinstance(source, tuple):
            source = (source or self.open[number], PORT)
        self.at(after_us, lambda: self._forge(number, source, wire))

    def _forge(self, number: int, source: tuple[str, int], wire: bytes) -> None:
        if number in self.open:
            self.core.on_datagram(number, source, wire, self.now)

    def at(self, after_us: int, do: Callable[[], object]) -> None:
        self._serial += 1
        heappush(self._events, (self.now + after_us, self._serial, do))

    def asked(self, server: str | None = None) -> list[tuple[str, str]]:
        """(name, type) of what was asked, lower case, of one server or all."""
        return [(s.name.lower(), s.type) for s in self.sent if server in {None, s.server}]

    def refused(self) -> dict[str, int]:
        return self.core.stats.refused_by_name()

    def counts(self) -> dict[str, int]:
        return {name: n for name, n in self.core.stats.counts_by_name().items() if n}

    # --- how it runs -------------------------------------------------------------------------------------------------

    def _next_at(self) -> int | None:
        times = [t for t in (self.core.deadline, self._events[0][0] if self._events else None) if t is not None]
        return min(times) if times else None

    def _step(self) -> bool:
        at = self._next_at()
        if at is None:
            return False
        self.now = max(self.now, at)
        if self._events and self._events[0][0] <= self.now:
            heappop(self._events)[2]()
        else:
            self.core.on_timer(self.now)
        self._pump()
        return True

    def _pump(self) -> None:
        while actions := self.core.poll():
            for action in actions:
                self._do(action)

    def _do(self, action: object) -> None:
        if isinstance(action, Finished):
            self.results[action.handle] = action.result
        elif isinstance(action, Release | Close):
            del self.open[action.exchange if isinstance(action, Release) else action.stream]
        elif isinstance(action, SendUdp):
            self._carry(action.exchange, action.server[0], action.wire, tcp=False)
        elif isinstance(action, SendTcp):
            self._carry(action.stream, action.server[0], action.wire, tcp=True)

    def _carry(self, number: int, server: str, wire: bytes, *, tcp: bool) -> None:
        query = Message.parse(wire)
        assert isinstance(query.question, Question)
        name, rrtype = str(query.question.name), type_text(query.question.rrtype)
        assert tcp or number not in self.open, "a socket was used twice"
        self.open[number] = server
        sent = Sent(self.now, server, name, rrtype, tcp, wire, number)
        self.sent.append(sent)
        self.on_sent(sent)
        delay = self.delays.get(server, DELAY_US)
        if server in self.refusing or (tcp and server in self.no_tcp):
            failure = Failure.REFUSED if tcp else Failure.UNREACHABLE
            self.at(2 * delay, lambda: self._fail(number, failure))
        elif server not in self.down and server in self.servers:
            self.at(delay, lambda: self._serve(number, server, query, tcp=tcp))

    def _fail(self, number: int, failure: Failure) -> None:
        if number in self.open:
            if failure is not Failure.UNREACHABLE:  # a stream; a socket is kept until its Release
                del self.open[number]
            self.core.on_failed(number, failure, self.now)

    def _serve(self, number: int, server: str, query: Message, *, tcp: bool) -> None:
        response = self.servers[server].respond(query, tcp)
        replies = response if isinstance(response, list) else [response]
        limit = 65_535 if tcp else 512 if query.edns is None else query.edns.udp_size
        for reply in replies:
            if reply is not None:
                wire = reply if isinstance(reply, bytes) else reply.build(limit)
                self.at(self.delays.get(server, DELAY_US), partial(self._deliver, number, server, wire, tcp))

    def _deliver(self, number: int, server: str, wire: bytes, tcp: bool) -> None:
        if number not in self.open:
            return  # its socket is closed
        if tcp:
            self.core.on_stream_message(number, wire, self.now)
        else:
            self.core.on_datagram(number, (server, PORT), wire, self.now)


# --- a small internet ------------------------------------------------------------------------------------------------

SOA = "3600 SOA ns hostmaster 1 7200 900 1209600 300"
ROOT_ADDRESS, TEST_ADDRESS, NET_ADDRESS, EXAMPLE_ADDRESS, OTHER_ADDRESS = (f"10.0.0.{n}" for n in range(1, 6))

ROOT_ZONE = f"""
. 86400 SOA a.root. hostmaster.root. 1 7200 900 1209600 300
. 86400 NS a.root.
a.root. 86400 A {ROOT_ADDRESS}
test. 3600 NS ns.test.
ns.test. 3600 A {TEST_ADDRESS}
net. 3600 NS ns.net.
ns.net. 3600 A {NET_ADDRESS}
"""
TEST_ZONE = f"""
@ {SOA}
@ 3600 NS ns
ns 3600 A {TEST_ADDRESS}
example 600 NS ns.example
ns.example 600 A {EXAMPLE_ADDRESS}
glueless 600 NS ns.other.net.
"""
NET_ZONE = f"""
@ {SOA}
@ 3600 NS ns
ns 3600 A {NET_ADDRESS}
other 3600 NS ns.other
ns.other 3600 A {OTHER_ADDRESS}
"""
EXAMPLE_ZONE = f"""
@ {SOA}
@ 3600 NS ns
ns 3600 A {EXAMPLE_ADDRESS}
www 300 A 192.0.2.1
www 300 A 192.0.2.2
alias 300 CNAME alias2
alias2 300 CNAME www
away 300 CNAME www.other.net.
loop1 300 CNAME loop2
loop2 300 CNAME loop1
tree 300 DNAME other.net.
a.b.c.d.e 300 A 192.0.2.3
zero 0 A 192.0.2.4
mail 300 MX 10 www
"""
OTHER_ZONE = f"""
@ {SOA}
@ 3600 NS ns
ns 3600 A {OTHER_ADDRESS}
www 300 A 198.51.100.1
deep.www 300 A 198.51.100.2
"""
GLUELESS_ZONE = f"""
@ {SOA}
@ 3600 NS ns.other.net.
www 300 A 198.51.100.3
"""

HINTS = (Hint(Name.parse("a.root."), (ROOT_ADDRESS,)),)


def internet() -> Servers:
    """Root, two top levels, three zones."""
    return {
        ROOT_ADDRESS: Zones({".": ROOT_ZONE}),
        TEST_ADDRESS: Zones({"test": TEST_ZONE}),
        NET_ADDRESS: Zones({"net": NET_ZONE}),
        EXAMPLE_ADDRESS: Zones({"example.test": EXAMPLE_ZONE}),
        OTHER_ADDRESS: Zones({"other.net": OTHER_ZONE, "glueless.test": GLUELESS_ZONE}),
    }


def iterative(seed: int = 1, **settings) -> World:
    """A resolver that starts from the hints of this internet."""
    return World(ResolverConfig(hints=HINTS, **settings), internet(), seed)


def stub(servers: Servers, seed: int = 1, **settings) -> World:
    """A resolver that asks these, in this order."""
    return World(ResolverConfig(servers=tuple((address, PORT) for address in servers), **settings), servers, seed)


def texts(result: Answer | DnsError) -> list[str]:
    """The data of an answer, sorted."""
    assert isinstance(result, Answer), result
    return sorted(map(str, result.rrset.rdatas))


__all__ = [
    "HINTS",
    "PORT",
    "ROOT",
    "Recursive",
    "Scripted",
    "Sent",
    "World",
    "Zone",
    "Zones",
    "internet",
    "iterative",
    "records",
    "stub",
    "texts",
]
