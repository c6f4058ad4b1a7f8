"""A question from its first name to the end of its chain of aliases.

Theory of operation.  A resolution is a generator: it yields Sends and is resumed with what came of each.  It walks a
Trail: what the cache has is followed first; where the cache ends, servers are asked about the name that the trail has
come to (`forward` or `iterate`), the finding extends the trail, and so on until there is an answer, or it is known that
there is none.  The work that all this may cost is one account (Work), and a chain of aliases has a bounded length.
"""

from collections.abc import Generator
from typing import Final

from stack.config import NEVER
from stack.dns.constants import RRType, type_text
from stack.dns.core.cache import FAILURE, NAME, NODATA, NXDOMAIN, POSITIVE, Entry
from stack.dns.core.config import Server
from stack.dns.core.context import Context
from stack.dns.core.exchanges import Result, Send
from stack.dns.core.forward import Forwarding
from stack.dns.core.iterate import Iteration
from stack.dns.core.reply import ALIAS, Finding, synthesise
from stack.dns.core.stats import Refused
from stack.dns.core.work import ResolutionFailed, Work
from stack.dns.errors import told
from stack.dns.names import MAX_NAME, ROOT, Name
from stack.dns.rrset import RRset

_CNAME: Final = int(RRType.CNAME)

# which entries of the cache a trail may follow
LIVE: Final = 0
FRESH: Final = 1  # not those that are to be fetched anew
STALE: Final = 2  # also those that have expired


class Trail:
    """From the name asked for to the one that the answer is of."""

    __slots__ = ("asked", "chain", "entry", "expires_at", "key", "links", "name", "refresh_at")

    def __init__(self, name: Name) -> None:
        self.asked = name
        self.name = name
        self.key = name.lower()  # of `name`
        self.chain: list[RRset] = []
        self.links = 0  # aliases followed
        self.expires_at = NEVER
        self.refresh_at = NEVER
        self.entry: Entry | None = None  # at the end: what is known of `name`

    def follow(self, context: Context, rrtype: int, which: int = LIVE) -> bool:
        """Go on as far as the cache leads; whether that is to the end."""
        while self.links <= context.config.limits.restarts:
            entry = self._next(context, self.key, rrtype, which)
            if entry is None:
                return False
            self.expires_at = min(self.expires_at, entry.expires_at)
            self.refresh_at = min(self.refresh_at, max(entry.refresh_at, entry.retry_at))
            if entry.rrtype == rrtype or entry.kind != POSITIVE or entry.rrset is None:
                self.entry = entry
                return True
            if entry.rrtype == _CNAME:
                self.chain.append(entry.at(entry.ttl(context.now)))
                self._to(entry.rrset.names[0])
            else:
                alias, ttl = synthesise(entry.rrset, self.name), entry.ttl(context.now)
                if alias is None:
                    return False
                self.chain += (entry.at(ttl), alias.with_ttl(ttl))
                self._to(alias.names[0])
            self.links += 1
        return False

    def _to(self, name: Name) -> None:
        self.name = name
        self.key = name.lower()

    def _next(self, context: Context, key: bytes, rrtype: int, which: int) -> Entry | None:
        """What the cache has for the name that we are at."""
        entry = _find(context, key, rrtype, which)
        if entry is not None:
            return entry
        if rrtype != _CNAME:
            entry = _find(context, key, _CNAME, which)
            if entry is not None and entry.kind == POSITIVE:
                return entry
        return context.cache.get(key, NAME, context.now) or context.cache.above(key, context.now)

    def extend(self, finding: Finding) -> None:
        """Go on by what a server said."""
        if finding.chain:
            self.chain += finding.chain
            self.links += sum(rrset.rrtype == _CNAME for rrset in finding.chain)
            self._to(finding.name)
        self.entry = finding.entry
        if finding.expires_at < self.expires_at:
            self.expires_at = finding.expires_at


def _find(context: Context, key: bytes, rrtype: int, which: int) -> Entry | None:
    entry = context.cache.get(key, rrtype, context.now)
    if which == FRESH:
        return entry if entry is not None and context.now < entry.refresh_at else None
    if which == STALE and (entry is None or entry.kind == FAILURE):
        return context.cache.get_stale(key, rrtype, context.now)
    return entry


class Resolution:
    """Resolves by asking forwarders, or from the root, as configured."""

    __slots__ = ("_context", "_forward", "_iterate", "_zones")

    def __init__(self, context: Context) -> None:
        self._context = context
        self._forward = Forwarding(context)
        self._iterate = Iteration(context, self._entry)
        config = context.config
        zones = dict(config.forward)
        if config.servers:
            zones.setdefault(ROOT, config.servers)
        # the longest match is the first
        self._zones = sorted(zones.items(), key=lambda zone: -len(zone[0]))

    def forwarders(self, name: Name) -> tuple[Name, tuple[Server, ...]] | None:
        """The zone and servers that are asked about a name; None: it is resolved from the root."""
        for zone, servers in self._zones:
            if len(zone) == 1 or name.is_within(zone):
                return zone, servers
        return None

    def resolve(self, name: Name, rrtype: int, work: Work, which: int = LIVE) -> Generator[Send, Result, Trail]:
        """The trail to what is known of a name.  Raises ResolutionFailed."""
        context = self._context
        trail = Trail(name)
        while True:
            if trail.follow(context, rrtype, which):
                assert trail.entry is not None
                work.step(trail.name, rrtype, "cache", _in_cache(trail.entry, context.now))
                if trail.entry.kind == FAILURE:
                    why, silent = trail.entry.failure
                    raise ResolutionFailed(why, silent=silent)
                return trail
            if trail.links > context.config.limits.restarts:
                self._too_long(trail, rrtype, name)
            self._check_lately(trail, rrtype)
            try:
                zone = self.forwarders(trail.name)
                if zone is None:
                    finding = yield from self._iterate.iterate(trail.name, rrtype, work)
                else:
                    finding = yield from self._forward.forward(trail.name, rrtype, work, *zone)
            except ResolutionFailed as failure:
                why = "; ".join([text for text in (failure.why, *told(work.tries)) if text])
                context.cache.put_failure(trail.name, rrtype, why, context.now, silent=failure.silent)
                raise
            trail.extend(finding)
            if finding.kind != ALIAS:
                return trail

    def _entry(self, name: Name, rrtype: int, work: Work) -> Generator[Send, Result, Entry | None]:
        """What is at the end of the trail."""
        return (yield from self.resolve(name, rrtype, work)).entry

    def _check_lately(self, trail: Trail, rrtype: int) -> None:
        """Raises ResolutionFailed for what could not be refreshed a moment ago: it is served stale.  RFC 8767 §5."""
        stale = self._context.cache.get_stale(trail.key, rrtype, self._context.now)
        if stale is not None and stale.expires_at <= self._context.now < stale.retry_at:
            raise ResolutionFailed("it could not be refreshed a moment ago")

    def _too_long(self, trail: Trail, rrtype: int, name: Name) -> None:
        seen = [rrset.name.key for rrset in trail.chain if rrset.rrtype == _CNAME]
        looping = len(set(seen)) < len(seen) or trail.key in seen
        self._context.stats.refused[Refused.ALIAS_LOOP if looping else Refused.ALIAS_LIMIT] += 1
        why = "its aliases go round in a circle" if looping else f"it is {trail.links} aliases away and more"
        self._context.cache.put_failure(name, rrtype, why, self._context.now)
        raise ResolutionFailed(why)

    def search(self, name: Name, rrtype: int, work: Work) -> Generator[Send, Result, Trail]:
        """The trail from the first name of the search list that has such records.  Raises ResolutionFailed."""
        best: Trail | None = None
        failure: ResolutionFailed | None = None
        for candidate in self._candidates(name):
            try:
                trail = yield from self.resolve(candidate, rrtype, work)
            except ResolutionFailed as failed:
                if failed.final:
                    raise
                failure = failed
                continue
            assert trail.entry is not None
            if trail.entry.kind == POSITIVE:
                return trail
            if best is None or trail.entry.kind == NODATA:  # a name that exists says more than one that does not
                best = trail
        if failure is not None and (best is None or best.entry is None or best.entry.kind == NXDOMAIN):
            raise failure
        assert best is not None
        return best

    def _candidates(self, name: Name) -> list[Name]:
        """In the order of resolv.conf(5)."""
        config = self._context.config
        longer = [Name(name[:-1] + suffix) for suffix in config.search if len(name) - 1 + len(suffix) <= MAX_NAME]
        return [name, *longer] if name.depth > config.ndots else [*longer, name]


def _in_cache(entry: Entry, now: int) -> str:
    if entry.kind == POSITIVE:
        return f"{type_text(entry.rrtype)} of {entry.name}, {entry.ttl(now)} s left"
    what = {NODATA: "no such record", NXDOMAIN: f"{entry.name} does not exist", FAILURE: entry.failure[0]}
    return f"{what[entry.kind]}, {entry.ttl(now)} s left"
