"""What a reply says about the question, once everything that its server has no say in is left out.

Theory of operation.  `Reader.read` turns a Message into a Finding.  The zone that the server was asked for bounds what
it is believed (its bailiwick): owners of records are within it, a chain of aliases is followed only while its names
are, a referral leads strictly downwards and towards the name asked for, and addresses count as glue only for the
servers that this very referral names.  All else is left out and counted.

A forwarder is asked about everything, so its zone is the root's, and it need not be an authority.
"""

from typing import Final

from stack.config import NEVER
from stack.dns.constants import Rcode, RRClass, RRType, rcode_text
from stack.dns.core.cache import Delegation, Entry, Trust
from stack.dns.core.config import Guards, ResolverLimits
from stack.dns.core.stats import Refused, ResolverStats
from stack.dns.message import Message
from stack.dns.names import MAX_NAME, Name
from stack.dns.rdata import AAAA, A
from stack.dns.rrset import RRset

# kinds of Finding
ANSWER: Final = 0  # `rrset`, of the name at the end of `chain`
ALIAS: Final = 1  # `chain` leads to `name`, of which nothing more is to be learnt here
NODATA: Final = 2
NXDOMAIN: Final = 3
REFERRAL: Final = 4  # to `delegation`
USELESS: Final = 5  # another server may do better: `why`

MAX_SHOWN, MAX_TEXT = 3, 40  # records, and characters of each, where a reply is described

_REFUSED_BY_RCODE: Final[dict[int, Refused]] = {
    Rcode.SERVFAIL: Refused.SERVER_FAILURE,
    Rcode.REFUSED: Refused.LAME_REFUSED,
}
_NOERROR: Final = int(Rcode.NOERROR)
_NXDOMAIN: Final = int(Rcode.NXDOMAIN)
_SAYS_SOMETHING: Final = frozenset((_NOERROR, _NXDOMAIN))
_IN: Final = int(RRClass.IN)
_NS: Final = int(RRType.NS)
_ADDRESSES: Final = (RRType.A, RRType.AAAA)


class Finding:
    """See the head of this file."""

    # fmt: off
    __slots__ = (
        "chain", "delegation", "entry", "expires_at", "keep", "kind", "name", "refused", "rrset", "secure", "soa",
        "ttl", "why",
    )
    # fmt: on

    def __init__(self, kind: int, name: Name, *, refused: Refused | None = None, why: str = "") -> None:
        self.kind = kind
        self.name = name  # at the end of the chain
        self.chain: tuple[RRset, ...] = ()
        self.rrset: RRset | None = None
        self.soa: RRset | None = None
        self.delegation: Delegation | None = None
        self.ttl = 0  # of the delegation
        self.keep: list[tuple[RRset, Trust]] = []  # for the cache
        self.refused = refused  # of NODATA: why to ask another server as well
        self.why = why
        self.secure: bool | None = None
        self.entry: Entry | None = None  # what the cache holds of `name` now
        self.expires_at = NEVER  # of the first of all this that expires

    def meaning(self) -> tuple[str, str]:
        """What it is, and of what, for people."""
        if self.kind == ANSWER and self.rrset is not None:
            shown = [str(rdata)[:MAX_TEXT] for rdata in self.rrset.rdatas[:MAX_SHOWN]]
            more = len(self.rrset) - len(shown)
            return "answer", ", ".join(shown) + (f" and {more} more" if more else "")
        if self.kind == REFERRAL and self.delegation is not None:
            return "referral", f"to {self.delegation.zone}"
        if self.kind == USELESS:
            return "useless", self.why
        return {NODATA: "no such record", NXDOMAIN: "no such name"}.get(self.kind, f"alias of {self.name}"), ""


def synthesise(dname: RRset, name: Name) -> RRset | None:
    """The CNAME that a DNAME above a name makes for it; None when its target would be too long.  RFC 6672 §2.2."""
    target = name[: len(name) - len(dname.name)] + dname.raws[0]
    if len(target) > MAX_NAME:
        return None
    return RRset(name, RRType.CNAME, RRClass.IN, dname.ttl, [Name(target)])


def addresses_of(rrset: RRset) -> list[str]:
    """In figures, of A and AAAA records."""
    return [rdata.address for rdata in rrset.rdatas if isinstance(rdata, A | AAAA)]


class Reader:
    """Reads replies by the rules of one configuration."""

    __slots__ = ("_guards", "_limits", "_refused")

    def __init__(self, guards: Guards, limits: ResolverLimits, stats: ResolverStats) -> None:
        self._guards = guards
        self._limits = limits
        self._refused = stats.refused

    def read(self, message: Message, name: Name, rrtype: int, zone: Name, *, authority: bool) -> Finding:
        """What it says of `name`.  `authority`: only an authority for `zone` will do."""
        rcode = message.rcode
        if rcode not in _SAYS_SOMETHING:
            return self._useless(name, _REFUSED_BY_RCODE.get(rcode, Refused.BAD_RCODE), rcode_text(rcode))
        finding = Finding(ALIAS, name)
        if message.answer:
            self._follow(finding, message, rrtype, zone)
        if finding.keep:
            if authority and not message.aa:
                return self._useless(name, Refused.LAME_NOT_AUTHORITATIVE, "not an authority for it")
            if finding.kind == ALIAS and self._believed(finding.name, zone):
                self._read_negative(finding, message, zone)
        elif not self._read_negative(finding, message, zone) or (authority and not message.aa):
            return self._read_referral(message, name, zone, authority=authority)
        if message.authority or message.additional:
            self._leave_out(finding, message, zone, authority=authority)
        if finding.kind == NODATA and finding.soa is None:
            self._doubt(finding, message)
        if finding.kind == ANSWER and rrtype == _NS and len(name) == 1 and authority:
            # RFC 9609 §4: the root's own word on its servers is what a resolver goes by
            assert finding.rrset is not None
            finding.delegation = self.read_delegation(finding.rrset, message, zone)
            finding.ttl = finding.rrset.ttl
        return finding

    def _useless(self, name: Name, refused: Refused, why: str) -> Finding:
        self._refused[refused] += 1
        return Finding(USELESS, name, refused=refused, why=why)

    def _doubt(self, finding: Finding, message: Message) -> None:
        """RFC 2308 §2.2: with no relevant answer and no SOA it is a denial, too; or whatever a broken server says."""
        finding.refused = Refused.UNRELATED_ANSWER if message.answer else Refused.NO_SOA
        finding.why = "an answer about something else" if message.answer else "neither an answer nor a SOA"
        self._refused[finding.refused] += 1

    def _believed(self, name: Name, zone: Name) -> bool:
        return name.is_within(zone) or not self._guards.bailiwick

    def _follow(self, finding: Finding, message: Message, rrtype: int, zone: Name) -> None:
        """Go from alias to alias through the answer section."""
        name = finding.name
        answer = message.answer
        # RFC 2181 §5.4.1: what an authority says of the first name is what it is asked for; the rest may be hearsay
        trust = Trust.AUTHORITY if message.aa else Trust.ANSWER
        first = answer[0]
        if (
            len(answer) == 1
            and first.rrtype == rrtype
            and first.rrclass == _IN
            and (first.name == name or first.name.key == name.key)  # mostly it is just as it was asked for
        ):
            finding.kind, finding.rrset = ANSWER, first
            finding.keep.append((first, trust))
            return
        key = name.key
        index = {(rrset.name.key, rrset.rrtype): rrset for rrset in answer if rrset.rrclass == RRClass.IN}
        dnames = [rrset for rrset in index.values() if rrset.rrtype == RRType.DNAME]
        chain: list[RRset] = []
        for _ in range(self._limits.restarts + 1):
            if not self._believed(name, zone):
                break
            found = index.get((key, rrtype))
            if found is not None:
                finding.kind, finding.rrset = ANSWER, found
                finding.keep.append((found, trust))
                break
            dname = next((d for d in dnames if len(d.name) < len(name) and name.is_within(d.name)), None)
            if dname is not None and self._believed(dname.name, zone):
                alias = synthesise(dname, name)
                if alias is None:
                    break
                chain.append(dname)
                finding.keep.append((dname, trust))
            else:
                alias = index.get((key, RRType.CNAME))
                if alias is None:
                    break
                finding.keep.append((alias, trust))
            chain.append(alias)
            name = alias.names[0]
            key = name.key
            trust = Trust.ANSWER
        finding.name = name
        finding.chain = tuple(chain)
        self._refused[Refused.OUT_OF_BAILIWICK] += sum(not self._believed(rrset.name, zone) for rrset in answer)

    def _read_negative(self, finding: Finding, message: Message, zone: Name) -> bool:
        """Whether the reply says that there is nothing (more); then the finding says so too.  RFC 2308 §2."""
        name = finding.name
        for rrset in message.authority:
            if rrset.rrtype == RRType.SOA and name.is_within(rrset.name) and rrset.name.is_within(zone):
                finding.soa = rrset
                break
        if message.rcode == _NXDOMAIN:
            finding.kind = NXDOMAIN
        elif finding.soa is not None or (not finding.chain and not _servers(message)):
            finding.kind = NODATA
        else:
            return False
        return True

    def _read_referral(self, message: Message, name: Name, zone: Name, *, authority: bool) -> Finding:
        """The servers of a zone below that the name is in; or the server is lame."""
        if not authority:
            if message.ra:
                finding = Finding(NODATA, name)
                self._doubt(finding, message)
                return finding
            return self._useless(name, Refused.NOT_RECURSIVE, "it does not resolve for us, but refers to others")
        servers = _servers(message)
        below = [
            ns for ns in servers if name.is_within(ns.name) and len(ns.name) > len(zone) and ns.name.is_within(zone)
        ]
        if not below or message.rcode != _NOERROR:
            if servers:
                return self._useless(name, Refused.LAME_UPWARD, "it refers to its own zone or above")
            return self._useless(name, Refused.LAME_NOT_AUTHORITATIVE, "not an authority for it")
        ns = max(below, key=lambda rrset: len(rrset.name))
        finding = Finding(REFERRAL, name)
        finding.delegation, finding.ttl = self.read_delegation(ns, message, zone), ns.ttl
        if not self._guards.ranking:
            finding.keep += [(rrset, Trust.GLUE) for rrset in message.additional if rrset.rrtype in _ADDRESSES]
        return finding

    def read_delegation(self, ns: RRset, message: Message, zone: Name) -> Delegation:
        """Names of servers and their glue, from a referral by a server of `zone`."""
        limits = self._limits
        if len(ns) > limits.ns_names:
            self._refused[Refused.NS_LIMIT] += len(ns) - limits.ns_names
        names = tuple(ns.names[: limits.ns_names])
        wanted = {name.key for name in names}
        glue: dict[bytes, tuple[str, ...]] = {}
        for rrset in message.additional:
            if rrset.rrtype not in _ADDRESSES or rrset.rrclass != RRClass.IN:
                continue
            key = rrset.name.key
            if key not in wanted:
                self._refused[Refused.GLUE_UNRELATED] += 1
            elif not self._believed(rrset.name, zone):
                self._refused[Refused.OUT_OF_BAILIWICK] += 1
            else:
                addresses = addresses_of(rrset)[: limits.ns_addresses]
                glue[key] = (*glue.get(key, ()), *addresses)
        return Delegation(ns.name, names, glue)

    def _leave_out(self, finding: Finding, message: Message, zone: Name, *, authority: bool) -> None:
        """What else came with an answer: nothing of it is used, unless a guard is off."""
        guards = self._guards
        servers = _servers(message) if authority else []
        if servers and guards.parent_delegations:
            # a zone's own word on its servers: it would let a zone outlive its delegation (ghost domains), and whoever
            # forges one answer take the whole zone (Kaminsky)
            self._refused[Refused.NS_UNASKED] += len(servers)
        elif servers and servers[0].name.is_within(zone):
            finding.delegation = self.read_delegation(servers[0], message, zone)
            finding.ttl = servers[0].ttl
        if not guards.ranking:
            finding.keep += [(rrset, Trust.GLUE) for rrset in message.additional if rrset.rrtype in _ADDRESSES]


def _servers(message: Message) -> list[RRset]:
    return [rrset for rrset in message.authority if rrset.rrtype == _NS and rrset.rrclass == _IN]
