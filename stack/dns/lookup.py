"""What a server that has some zones says to a question: the algorithm of RFC 1034 §4.3.2.

`look_up` walks from the question's name along CNAME and DNAME records through the zones, which `Zones` finds by the
longest match, and gathers the sections of the answer.  Where the walk leaves the zones, or comes to a delegation, the
name at which it did is left in `rest`: a server that may ask others goes on from there.

Positive answers have no authority section and referrals only their servers' addresses: what nobody needs makes answers
larger than questions, for attackers, too.
"""

from collections.abc import Iterable
from typing import Final

from stack.dns.constants import Rcode, RRClass, RRType
from stack.dns.names import MAX_NAME, Name
from stack.dns.rdata import HTTPS, MX, NS, SRV, SVCB
from stack.dns.rrset import RRset
from stack.dns.zone import Match, Node, Zone
from stack.errors import ConfigError

MAX_CHAIN: Final = 12  # CNAME and DNAME records followed; resolvers follow no more (unbound 11, BIND 16)
MAX_ADDITIONAL: Final = 32  # names whose addresses are added to an answer

_CNAME: Final = int(RRType.CNAME)
_DNAME: Final = int(RRType.DNAME)
_DS: Final = int(RRType.DS)
_NS: Final = int(RRType.NS)
_ANY: Final = int(RRType.ANY)
_RRSIG: Final = int(RRType.RRSIG)
_WITH_TARGETS: Final = frozenset(map(int, (RRType.NS, RRType.MX, RRType.SRV, RRType.SVCB, RRType.HTTPS)))
_NOT_FOLLOWED: Final = frozenset((_CNAME, _ANY))


class Zones:
    """Some zones by name.  Raises ConfigError for two of the same name, TypeError for what are no zones."""

    __slots__ = ("_zones",)

    def __init__(self, zones: Iterable[Zone] = ()) -> None:
        self._zones: dict[bytes, Zone] = {}
        if not isinstance(zones, Iterable):
            raise TypeError(f"zones is {zones!r}: use a list of zones")
        for zone in zones:
            if not isinstance(zone, Zone):
                raise TypeError(f"zones: {zone!r} is no Zone: use load_zone(path, origin) or Zone.parse(text, origin)")
            if zone.origin.key in self._zones:
                raise ConfigError(f"zone {zone.origin} is given twice")
            self._zones[zone.origin.key] = zone

    def __len__(self) -> int:
        return len(self._zones)

    def closest(self, key: bytes, rrtype: int = 0) -> Zone | None:
        """The zone for the name with this key: the longest match; of DS, which the parent has, the one above."""
        zones = self._zones
        if not zones:
            return None
        found = zones.get(key)
        if found is not None and rrtype == _DS and len(key) > 1:
            # RFC 4035 §3.1.4.1: the parent's, if that is served here too; else the child says that it has none
            return self.closest(key[key[0] + 1 :]) or found
        while found is None:
            if len(key) == 1:
                return None
            key = key[key[0] + 1 :]
            found = zones.get(key)
        return found


class Outcome:
    """The sections of an answer.  `rest`: the name whose records are to be had from others; None if this is all."""

    __slots__ = ("aa", "additional", "answer", "authority", "rcode", "rest")

    def __init__(self) -> None:
        self.rcode: int = Rcode.NOERROR
        self.aa = False
        self.answer: list[RRset] = []
        self.authority: list[RRset] = []
        self.additional: list[RRset] = []
        self.rest: Name | None = None


def look_up(zones: Zones, name: Name, rrtype: int, *, every: bool = False) -> Outcome:
    """The answer to a question of class IN.  `every`: ANY gets all there is, not one set (RFC 8482 §4.1)."""
    outcome = Outcome()
    been = set()
    for _ in range(MAX_CHAIN):
        key = name.key
        zone = zones.closest(key, rrtype)
        if key in been or zone is None:
            if zone is None:
                outcome.rest = name
                outcome.rcode = outcome.rcode if outcome.answer else Rcode.REFUSED
            return outcome
        been.add(key)
        following = _step(zone, name, rrtype, outcome, every=every)
        if following is None:
            return outcome
        name = following
    return outcome


def _step(zone: Zone, name: Name, rrtype: int, outcome: Outcome, *, every: bool) -> Name | None:
    """What one zone says of one name; the name to go on with, None when this is the end."""
    match, node = zone.find(name.key)
    at_cut = match is Match.DELEGATION and rrtype == _DS and node.name.key == name.key
    if match is Match.DELEGATION and not at_cut:
        _refer(zone, node, outcome)
        outcome.rest = name
        return None
    if not outcome.answer:
        outcome.aa = True  # RFC 1034 §3.7: it "corresponds to the name which matches the query name"
    if match is Match.DNAME:
        return _substitute(name, node, rrtype, outcome)
    if match is Match.MISSING:
        # RFC 6604 §3: the response code is that of the last name of a chain
        outcome.rcode = Rcode.NXDOMAIN
        outcome.authority.append(zone.negative_soa)
        return None
    found = _sets(node, rrtype, every=every)
    if found:
        outcome.answer += [rrset.with_name(name) for rrset in found]
        if rrtype in _WITH_TARGETS:
            _add_targets(zone, found[0], name, outcome)
        return None
    alias = node.rrsets.get(_CNAME)
    if alias is not None:
        outcome.answer.append(alias.with_name(name))
        return alias.names[0]
    outcome.authority.append(zone.negative_soa)
    return None


def _sets(node: Node, rrtype: int, *, every: bool) -> list[RRset]:
    """The RRsets that are asked for."""
    if rrtype == _ANY:
        found = list(node.rrsets.values())
        # RFC 8482 §4.1: one of them is enough
        return found if every else found[:1]
    if rrtype == _RRSIG:
        return [rrset for slot, rrset in node.rrsets.items() if slot >> 16 == _RRSIG]
    rrset = node.rrsets.get(rrtype)
    return [] if rrset is None else [rrset]


def _substitute(name: Name, node: Node, rrtype: int, outcome: Outcome) -> Name | None:
    """RFC 6672 §2.2, §3.1: the DNAME record, and a CNAME record that is made of it."""
    rrset = node.rrsets[_DNAME]
    if any(given is rrset for given in outcome.answer):
        return None  # it leads to itself; whoever wants to go on can do so from the last alias
    outcome.answer.append(rrset)
    target = name[: len(name) - len(node.name)] + rrset.names[0]
    if len(target) > MAX_NAME:
        outcome.rcode = Rcode.YXDOMAIN
        return None
    # RFC 6672 §3.1: the TTL of the CNAME is that of the DNAME
    outcome.answer.append(RRset(name, _CNAME, RRClass.IN, rrset.ttl, [Name(target)]))
    return None if rrtype in _NOT_FOLLOWED else Name(target)


def _refer(zone: Zone, cut: Node, outcome: Outcome) -> None:
    """The servers of a delegation with the addresses that the zone has of them."""
    servers = cut.rrsets[_NS]
    outcome.authority.append(servers)
    for target in servers.names[:MAX_ADDITIONAL]:
        outcome.additional += zone.addresses(target, glue=True)


def _add_targets(zone: Zone, rrset: RRset, owner: Name, outcome: Outcome) -> None:
    """Addresses of the hosts that records name, as far as the same zone has them (RFC 1034 §4.3.2 step 6)."""
    done = set()
    for rdata in rrset.rdatas[:MAX_ADDITIONAL]:
        if isinstance(rdata, MX):
            target = rdata.exchange
        elif isinstance(rdata, NS | SRV | SVCB | HTTPS):
            target = rdata.target
        else:
            continue
        if isinstance(rdata, SVCB | HTTPS) and len(target) == 1:
            target = owner  # RFC 9460 §2.5: "." is the owner itself
        if target.key not in done:
            done.add(target.key)
            outcome.additional += zone.addresses(target, glue=isinstance(rdata, NS))
