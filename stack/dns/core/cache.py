"""The cache: what was answered, what is not there, who serves a zone, and what could not be found out.

Theory of operation.  One table, (key of a name, type) -> Entry, least recently used first out when the estimate of its
bytes passes the limit.  An entry is one of

    POSITIVE    an RRset                                   at its own type (a CNAME at CNAME)
    NODATA      the name has none of this type             at that type (RFC 2308 §5)
    NXDOMAIN    the name does not exist, nor any below it  at type NAME (RFC 8020)
    DELEGATION  who serves the zone that begins here       at type CUT
    FAILURE     nobody could tell                          at that type (RFC 9520)

Data of the three classes of trust that RFC 2181 §5.4.1 tells apart are kept apart.  What a parent says of the servers
of its child, and glue, are in the Delegation and nowhere else: they lead to servers and never become an answer, and
glue of one delegation is never used for another.  Answers are ranked: what is certain is not replaced, while it
lives, by what is not.

Entries that have expired stay until they are replaced or evicted: they are what is served when nothing better can be
had (RFC 8767).
"""

from collections import OrderedDict
from enum import IntEnum, unique
from typing import Final

from stack.config import SECOND
from stack.dns.core.config import ResolverConfig, Server
from stack.dns.core.stats import Count, Refused, ResolverStats
from stack.dns.errors import Ede
from stack.dns.names import Name
from stack.dns.rdata import SOA
from stack.dns.rrset import RRset

# kinds
POSITIVE: Final = 0
NODATA: Final = 1
NXDOMAIN: Final = 2
DELEGATION: Final = 3
FAILURE: Final = 4

# types of which no record can be
NAME: Final = 0
CUT: Final = -1

# measured: what an entry takes in objects, and one record with its data decoded; octets of names and data come on top
ENTRY_BYTES: Final = 700
RDATA_BYTES: Final = 150

_CNAME: Final = 5
_DNAME: Final = 39
_RULES_BELOW: Final = (POSITIVE, NXDOMAIN)  # of the kinds at NAME and DNAME


@unique
class Trust(IntEnum):
    """RFC 2181 §5.4.1, of what may be an answer; the higher, the better founded."""

    GLUE = 0  # additional records: never kept as answers, unless that guard is off
    ANSWER = 1  # of a server that is no authority, or behind the first alias of an authoritative answer
    AUTHORITY = 2  # asked for, and the server is an authority for it


class Delegation:
    """Who serves a zone: names, and addresses where glue gave them."""

    __slots__ = ("glue", "key", "names", "zone")

    def __init__(self, zone: Name, names: tuple[Name, ...], glue: dict[bytes, tuple[str, ...]]) -> None:
        self.zone = zone
        self.key = zone.key
        self.names = names
        self.glue = glue  # key of a server's name -> addresses in figures

    @property
    def size(self) -> int:
        """Bytes, about."""
        return RDATA_BYTES * (len(self.names) + 2 * len(self.glue))


class Entry:
    """See the head of this file."""

    # fmt: off
    __slots__ = (
        "delegation", "ede", "expires_at", "failure", "kind", "name", "refresh_at", "retry_at", "rrset", "rrtype",
        "secure", "server", "size", "trust",
    )
    # fmt: on

    def __init__(self, kind: int, name: Name, rrtype: int, expires_at: int, rrset: RRset | None = None) -> None:
        self.kind = kind
        self.name = name
        self.rrtype = rrtype
        self.expires_at = expires_at
        self.rrset = rrset  # of POSITIVE; the SOA of a negative answer
        self.refresh_at = expires_at  # a hit after this is a reason to ask anew
        self.retry_at = 0  # asking anew failed: until then it is served stale without trying
        self.trust = Trust.AUTHORITY
        self.server: Server | None = None
        self.secure: bool | None = None
        self.ede: Ede | None = None
        self.delegation: Delegation | None = None
        self.failure = "", False  # why a FAILURE is one, and whether nobody answered
        self.size = ENTRY_BYTES

    def at(self, ttl: int) -> RRset:
        """The RRset with a TTL of as much; its data are decoded once for all who ask again."""
        rrset = self.rrset
        assert rrset is not None
        if rrset.ttl == ttl:
            return rrset
        _ = rrset.rdatas
        return rrset.with_ttl(ttl)

    def first(self, ttl: int) -> RRset:
        """The same for who had it fetched: what is then decoded is not kept, since most names are asked for once."""
        assert self.rrset is not None
        return self.rrset.with_ttl(ttl)

    def ttl(self, now: int) -> int:
        """Seconds left."""
        return max(0, (self.expires_at - now) // SECOND)


class Cache:
    """The table."""

    __slots__ = ("_config", "_stats", "_table", "size")

    def __init__(self, config: ResolverConfig, stats: ResolverStats) -> None:
        self._config = config
        self._stats = stats
        self._table: OrderedDict[tuple[bytes, int], Entry] = OrderedDict()
        self.size = 0  # bytes, about

    def __len__(self) -> int:
        return len(self._table)

    # --- looking up --------------------------------------------------------------------------------------------------

    def get(self, key: bytes, rrtype: int, now: int) -> Entry | None:
        """The entry of just this name and type, unless it has expired."""
        entry = self._table.get((key, rrtype))
        if entry is None or now >= entry.expires_at:
            return None
        self._table.move_to_end((key, rrtype))
        return entry

    def get_stale(self, key: bytes, rrtype: int, now: int) -> Entry | None:
        """An RRset that has expired, but not so long ago that it would be no answer.  RFC 8767 §4."""
        entry = self._table.get((key, rrtype))
        if entry is None or entry.kind != POSITIVE or now >= entry.expires_at + self._config.stale_us:
            return None
        self._table.move_to_end((key, rrtype))
        return entry

    def has_expired(self, key: bytes, rrtype: int, now: int) -> bool:
        """Whether there is, or an alias is, what might be served stale."""
        entry = self._table.get((key, rrtype)) or self._table.get((key, _CNAME))
        return entry is not None and now >= entry.expires_at

    def above(self, key: bytes, now: int) -> Entry | None:
        """What an ancestor says of a name: NXDOMAIN (RFC 8020 §2: nothing is below it), or a DNAME.

        The highest NXDOMAIN and the highest DNAME decide; walking up meets them last.
        """
        table, found = self._table, None
        at = key[0] + 1 if key[0] else len(key)
        while at < len(key):
            ancestor = key[at:]
            entry = table.get((ancestor, NAME)) if self._config.nxdomain_cut else None
            if entry is None or now >= entry.expires_at:
                entry = table.get((ancestor, _DNAME))
            if entry is not None and now < entry.expires_at and entry.kind in _RULES_BELOW:
                found = entry
            at += key[at] + 1
        if found is not None:  # what stops a flood of random names is in use
            table.move_to_end((found.name.lower(), found.rrtype))
        return found

    def closest_cut(self, key: bytes, now: int) -> Delegation | None:
        """The delegation of the deepest zone known that a name is in; None when not even the root's is known."""
        table, at = self._table, 0
        while True:
            entry = table.get((key[at:], CUT))
            if entry is not None and now < entry.expires_at:
                table.move_to_end((key[at:], CUT))
                return entry.delegation
            if at >= len(key) - 1:
                return None
            at += key[at] + 1

    # --- storing -----------------------------------------------------------------------------------------------------

    def put_rrset(self, rrset: RRset, trust: Trust, server: Server | None, now: int) -> Entry:
        """Keep an answer, unless something better founded is there and lives; the entry that is in force then."""
        config = self._config
        key = (rrset.name.lower(), rrset.rrtype)
        old = self._table.get(key)
        if old is not None and trust < old.trust and now < old.expires_at and config.guards.ranking:
            # RFC 2181 §5.4.1: less trustworthy data never replace better ones
            self._stats.refused[Refused.RANK] += 1
            return old
        ttl_us = min(rrset.ttl * SECOND, config.ttl_max_us)
        entry = Entry(POSITIVE, rrset.name, rrset.rrtype, now + ttl_us, rrset)
        entry.trust = trust
        entry.server = server
        if config.prefetch_percent:
            entry.refresh_at = now + ttl_us - ttl_us * config.prefetch_percent // 100
        entry.size += sum(map(len, rrset.raws)) + RDATA_BYTES * len(rrset)
        if ttl_us:  # RFC 1035 §3.2.1: zero is for the transaction in progress only
            self._put(key, entry)
        return entry

    def put_negative(self, kind: int, name: Name, rrtype: int, soa: RRset | None, now: int) -> Entry:
        """Keep that a name has no such type (NODATA), or does not exist (NXDOMAIN); without a SOA it is not kept."""
        ttl_us = 0
        if soa is not None:
            # RFC 2308 §5: the lesser of the SOA's own TTL and of its MINIMUM field
            data = soa.rdatas[0]
            assert isinstance(data, SOA)
            ttl_us = min(min(soa.ttl, data.minimum) * SECOND, self._config.negative_ttl_max_us)
        rrtype = NAME if kind == NXDOMAIN else rrtype
        entry = Entry(kind, name, rrtype, now + ttl_us, soa)
        entry.size += 2 * RDATA_BYTES
        if ttl_us:
            self._put((name.key, rrtype), entry)
        return entry

    def put_delegation(self, delegation: Delegation, ttl: int, now: int) -> None:
        """Keep who serves a zone, as its parent says."""
        ttl_us = min(ttl * SECOND, self._config.ttl_max_us)
        entry = Entry(DELEGATION, delegation.zone, CUT, now + ttl_us)
        entry.delegation = delegation
        entry.size += delegation.size
        self._put((delegation.key, CUT), entry)

    def put_failure(self, name: Name, rrtype: int, why: str, now: int, *, silent: bool = False) -> None:
        """Keep for a moment that nothing could be found out.  RFC 9520 §3.2.  Data that can be served stale stay."""
        key = (name.key, rrtype)
        old = self._table.get(key)
        if old is not None and old.kind == POSITIVE and now < old.expires_at + self._config.stale_us:
            old.retry_at = now + self._config.stale_recheck_us
            return
        entry = Entry(FAILURE, name, rrtype, now + self._config.failure_ttl_us)
        entry.failure = why or "it was so a moment ago", silent
        entry.size += len(why)
        self._put(key, entry)

    def _put(self, key: tuple[bytes, int], entry: Entry) -> None:
        entry.size += 2 * len(key[0])
        table = self._table
        old = table.pop(key, None)
        if old is not None:
            self.size -= old.size
        table[key] = entry
        self.size += entry.size
        while self.size > self._config.cache_bytes and len(table) > 1:
            self.size -= table.popitem(last=False)[1].size
            self._stats.counts[Count.CACHE_EVICTIONS] += 1

    # --- for people --------------------------------------------------------------------------------------------------

    def flush(self, name: Name | None = None) -> int:
        """Forget a name and all below it, or everything; how many entries that were."""
        gone = [key for key, entry in self._table.items() if name is None or entry.name.is_within(name)]
        for key in gone:
            self.size -= self._table.pop(key).size
        return len(gone)

    def entries(self) -> list[Entry]:
        """All of them, the least recently used first."""
        return list(self._table.values())
