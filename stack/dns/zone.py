"""A zone in memory, and what it says of a name (RFC 1034 §4.3.2, RFC 4592, RFC 6672).

Theory of operation.  A table leads from the key of each name that exists to its Node; names that only have others below
them ("empty non-terminals") have a Node too, so that whether a name exists is whether it is in the table.  When the
zone is made, every Node is told what hides it: the delegation at or above it, or the DNAME above it, the one nearest to
the apex (`barrier`).  So a name that exists costs one look-up, and one that does not costs one more for each label up
to its closest encloser, whose wildcard or barrier then decides.

What can never be given out as it stands in the file is refused, with the line that it stands in; what others take, too,
but that is wrong, is in `warnings`.

A zone does not change; a new version is a new object.
"""

from collections.abc import Iterable
from enum import IntEnum, unique
from typing import Final

from stack.dns import zonefile
from stack.dns.building import TC
from stack.dns.constants import RRClass, RRType, type_text
from stack.dns.errors import ZoneError
from stack.dns.message import Message
from stack.dns.names import HEADER, Name
from stack.dns.rdata import MX, NS, SOA, Rdata
from stack.dns.rrset import Question, RRset
from stack.dns.zonefile import Read, Record

_SOA: Final = int(RRType.SOA)
_NS: Final = int(RRType.NS)
_CNAME: Final = int(RRType.CNAME)
_DNAME: Final = int(RRType.DNAME)
_RRSIG: Final = int(RRType.RRSIG)
_NSEC3: Final = int(RRType.NSEC3)
_MAX_MESSAGE: Final = 0xFFFF
# RFC 4035 §2.5, RFC 3007 §2: what may stand beside a CNAME
_BESIDE_CNAME: Final = frozenset((_CNAME, int(RRType.KEY), int(RRType.NSEC)))
_SINGLE: Final = frozenset((_SOA, _CNAME, _DNAME))  # RFC 2181 §10.1, RFC 6672 §2.4: at most one record
_ADDRESSES: Final = (int(RRType.A), int(RRType.AAAA))


@unique
class Match(IntEnum):
    """What a name is in a zone."""

    EXACT = 0  # it exists; the node is its own, and may lack records
    WILDCARD = 1  # the node of an asterisk stands for it
    DELEGATION = 2  # it is at or below a cut, whose node comes with it
    DNAME = 3  # it is below a node with a DNAME
    MISSING = 4


class Node:
    """One name.  `rrsets` is by type; signatures are by RRSIG << 16 | the type covered."""

    __slots__ = ("barrier", "name", "rrsets", "wildcard")

    def __init__(self, name: Name) -> None:
        self.name = name
        self.rrsets: dict[int, RRset] = {}
        self.barrier: Node | None = None
        self.wildcard: Node | None = None  # its child "*"


class Zone:
    """See above.  `Zone.parse` makes one of a file's text."""

    __slots__ = ("_nodes", "negative_soa", "origin", "rrclass", "soa", "warnings")

    def __init__(
        self, origin: Name, records: Iterable[Record], rrclass: int = RRClass.IN, *, source: str = "zone"
    ) -> None:
        """`source` is the file, for when there are no records.  Raises ZoneError for what is no zone together."""
        self.origin = origin
        self.rrclass = int(rrclass)
        apex = Node(origin)
        self._nodes: dict[bytes, Node] = {origin.key: apex}
        self.warnings: tuple[str, ...] = ()
        expected_at = ""  # where the file has what it begins with
        records = list(records)
        for record in records:
            self._add(record)
            if not expected_at or record.rdata.rrtype == _SOA:
                expected_at = record.where
        soa = apex.rrsets.get(_SOA)
        if soa is None or _NS not in apex.rrsets:
            where, lacks = expected_at or f"{source}:1", "SOA" if soa is None else "NS"
            raise ZoneError(f"{where}: zone {origin} has no {lacks} record at its own name; is its origin right?")
        self.soa = soa
        minimum = soa.rdatas[0]
        assert isinstance(minimum, SOA)
        # RFC 2308 §3: what does not exist is cached for the lesser of the SOA's own TTL and its last field
        self.negative_soa = soa.with_ttl(min(soa.ttl, minimum.minimum))
        self._finish()
        self._check_all(records)

    @classmethod
    def parse(cls, text: str, origin: Name, *, source: str = "zone", read: Read | None = None) -> "Zone":
        """The zone that a master file describes; see `zonefile.parse`.  Raises ZoneError."""
        return cls(origin, zonefile.parse(text, origin, source=source, read=read), source=source)

    def __len__(self) -> int:
        """How many records it has."""
        return sum(map(len, self.rrsets))

    def __repr__(self) -> str:
        return f"<Zone {self.origin}: {len(self)} records>"

    @property
    def names(self) -> list[Name]:
        """All names that exist, also those without records."""
        return [node.name for node in self._nodes.values()]

    @property
    def rrsets(self) -> list[RRset]:
        """All its records."""
        return [rrset for node in self._nodes.values() for rrset in node.rrsets.values()]

    def find(self, key: bytes) -> tuple[Match, Node]:
        """What the name with this key is; it must be within the zone.  With MISSING comes the closest encloser."""
        nodes = self._nodes
        node = nodes.get(key)
        if node is not None and node.barrier is None:
            return Match.EXACT, node
        while node is None:
            # RFC 4592 §3.3.1: the closest encloser is the longest ancestor that exists
            key = key[key[0] + 1 :]
            node = nodes.get(key)
            if node is None:
                continue
            if node.barrier is None:
                if _DNAME in node.rrsets:
                    return Match.DNAME, node
                return (Match.MISSING, node) if node.wildcard is None else (Match.WILDCARD, node.wildcard)
        barrier = node.barrier
        assert barrier is not None
        return (Match.DELEGATION if _is_cut(barrier, self.origin) else Match.DNAME), barrier

    def addresses(self, target: Name, *, glue: bool) -> list[RRset]:
        """The A and AAAA records of a name; with `glue` also those that are not the zone's own."""
        node = self._nodes.get(target.lower())
        if node is None or (node.barrier is not None and not glue):
            return []
        return [node.rrsets[rrtype] for rrtype in _ADDRESSES if rrtype in node.rrsets]

    def _add(self, record: Record) -> None:
        name, ttl, rdata, where = record
        if not name.is_within(self.origin):
            raise ZoneError(f"{where}: {name} is not within zone {self.origin}")
        rrtype = int(rdata.rrtype)
        if name.is_wildcard and rrtype in {_NS, _DNAME}:
            raise ZoneError(f"{where}: a {type_text(rrtype)} record at a wildcard has no meaning (RFC 4592 §4)")
        if rrtype == _SOA and name.key != self.origin.key:
            raise ZoneError(f"{where}: a SOA record at {name}, which is not the zone's name {self.origin}")
        node = self._node(name)
        raw = rdata.to_wire()
        slot = rrtype << 16 | int.from_bytes(raw[:2], "big") if rrtype == _RRSIG else rrtype
        rrset = node.rrsets.get(slot)
        if rrset is None:
            # RFC 2181 §5.2: one TTL for all of a set; it is the first one's
            node.rrsets[slot] = RRset(node.name, rrtype, self.rrclass, ttl, [raw])
        elif raw not in rrset.raws:
            if rrtype in _SINGLE:
                raise ZoneError(f"{where}: a second {type_text(rrtype)} record at {name}: there can be one")
            rrset.raws.append(raw)
        others = {kind for kind in node.rrsets if kind <= 0xFFFF}
        if _CNAME in others and not others <= _BESIDE_CNAME:
            # RFC 1034 §3.6.2: "If a CNAME RR is present at a node, no other data should be present"
            raise ZoneError(f"{where}: {name} has a CNAME record, and can have no other data beside it")

    def _node(self, name: Name) -> Node:
        """The node of a name, made with all those between it and the apex."""
        node = self._nodes.get(name.key)
        if node is None:
            node = self._nodes[name.key] = Node(name)
            above = self._node(name.parent())
            if name.is_wildcard:
                above.wildcard = node
        return node

    def _finish(self) -> None:
        """Tell every node what hides it; those nearer to the apex first."""
        for node in sorted(self._nodes.values(), key=lambda node: node.name.depth):
            if node.name.key == self.origin.key:
                continue
            above = self._nodes[node.name.parent().key]
            if above.barrier is not None:
                node.barrier = above.barrier
            elif _DNAME in above.rrsets:
                node.barrier = above
            elif _NS in node.rrsets:
                node.barrier = node

    def _check_all(self, records: list[Record]) -> None:
        """What can only be seen when all records are there.  Raises ZoneError."""
        too_large = {(rrset.name.key, rrset.rrtype): rrset for rrset in self.rrsets if _is_too_large(rrset)}
        warnings = []
        for name, _, rdata, where in records:
            rrtype, barrier = int(rdata.rrtype), self._nodes[name.key].barrier
            if barrier is not None and barrier.name.key != name.key:
                # RFC 6672 §2.4: "Resource records MUST NOT exist at any subdomain of the owner of a DNAME RR".  But the
                # records that deny what is not there are below the apex by their nature.
                covered = int.from_bytes(rdata.to_wire()[:2], "big") if rrtype == _RRSIG else rrtype
                if not _is_cut(barrier, self.origin) and covered != _NSEC3:
                    raise ZoneError(f"{where}: {name} is below {barrier.name}, whose DNAME record hides it")
                continue
            if (rrset := too_large.get((name.key, rrtype))) is not None:
                raise ZoneError(
                    f"{where}: the {len(rrset)} {type_text(rrtype)} records at {name} from here on fit in no message,"
                    f" which has at most {_MAX_MESSAGE} octets"
                )
            said = self._alias(rdata)
            if said and isinstance(rdata, NS) and name.key == self.origin.key:
                raise ZoneError(f"{where}: {said}")
            if said:  # BIND and others take these
                warnings.append(f"{where}: {said}")
        self.warnings = tuple(warnings)

    def _alias(self, rdata: Rdata) -> str:
        """What is wrong with the name of a server or a mail host, if that is a name of the zone (RFC 2181 §10.3)."""
        target = rdata.target if isinstance(rdata, NS) else rdata.exchange if isinstance(rdata, MX) else None
        if target is None or not target.is_within(self.origin):
            return ""
        match, node = self.find(target.key)
        if match == Match.DNAME:
            what = f"is below the DNAME record of {node.name}"
        elif match in {Match.EXACT, Match.WILDCARD} and _CNAME in node.rrsets:
            what = "has a CNAME record"
        else:
            return ""
        kind = "server" if isinstance(rdata, NS) else "mail host"
        return f"the {kind} {target} {what}: give the name that has its addresses (RFC 2181 §10.3)"


def _is_too_large(rrset: RRset) -> bool:
    """No message can have all of it."""
    if HEADER + sum([len(rrset.name) + 10 + len(raw) for raw in rrset.raws]) + len(rrset.name) + 4 <= _MAX_MESSAGE:
        return False  # even without compression
    message = Message(question=Question(rrset.name, rrset.rrtype, rrset.rrclass))
    message.answer = [rrset]
    return bool(message.build(_MAX_MESSAGE)[2] & TC >> 8)


def _is_cut(node: Node, origin: Name) -> bool:
    return _NS in node.rrsets and node.name.key != origin.key
