"""Resolving from the root: down from zone to zone until one has the answer (RFC 1034 §5.3.3).

Theory of operation.  A Descent begins at the deepest zone cut in the cache, at least at the root's, which is learnt by
priming (RFC 9609).  Servers of each zone are asked for one label more than the zone has (RFC 9156) until one of them
refers to a zone below or the whole name has been asked for.

Which servers a zone has only its parent says (a Delegation).  Their addresses are, the best first: what was answered
when somebody asked for them; the glue of this delegation; what is found when we ask, which is done for one server at
a time, only when all of those known were silent or of no use, and within the limits that a question has as a whole.
When nothing is left, glue is fallen back to that other addresses were better founded than: zones do move, and forget to
tell their own servers.

A server that does not serve a zone is lame: for that zone it is asked last for a while, and not never, since it may
refuse one thing only.
"""

from collections.abc import Callable, Generator
from typing import Final

from stack.dns.constants import RRType
from stack.dns.core import cache
from stack.dns.core.admit import admit
from stack.dns.core.ask import ask
from stack.dns.core.cache import Delegation, Entry
from stack.dns.core.context import Context
from stack.dns.core.exchanges import Fate, Result, Send
from stack.dns.core.reply import ANSWER, NODATA, NXDOMAIN, REFERRAL, USELESS, Finding, Reader, addresses_of
from stack.dns.core.servers import ServerFacts
from stack.dns.core.stats import Count, Refused
from stack.dns.core.work import ResolutionFailed, Work
from stack.dns.message import Message
from stack.dns.names import ROOT, Name

HINTS_TTL: Final = 60  # s: of the hints, where the root could not be primed

LookUp = Callable[[Name, int, Work], Generator[Send, Result, Entry | None]]

_LAME: Final = (Refused.LAME_REFUSED, Refused.LAME_UPWARD, Refused.LAME_NOT_AUTHORITATIVE)


class Descent:
    """One name and type on their way down."""

    __slots__ = ("cut", "depth", "doubtful", "minimised", "name", "relaxed", "rrtype", "sent")

    def __init__(self, name: Name, rrtype: int, *, minimise: bool) -> None:
        self.name = name
        self.rrtype = rrtype
        self.cut: Delegation | None = None  # the zone that we are in
        self.depth = 0  # labels of the name that have been asked for
        self.minimised = 0  # questions with less than the whole name
        self.relaxed = not minimise  # the whole name from now on
        self.sent = 0
        self.doubtful: Finding | None = None  # a denial without a SOA, by one of the zone's servers

    def enter(self, cut: Delegation) -> None:
        """Go on with the servers of a zone."""
        self.cut = cut
        self.depth = cut.zone.depth
        self.doubtful = None


class Candidates:
    """The servers of a zone as one question meets them."""

    __slots__ = ("cut", "lame", "looked_up", "nameless", "passed_over", "tried")

    def __init__(self, cut: Delegation) -> None:
        self.cut = cut
        self.tried: dict[ServerFacts, int] = {}  # those that may still be asked, and how often they were
        self.nameless: list[Name] = []  # servers without an address yet
        self.passed_over: list[str] = []  # glue that differs from what was answered
        self.lame: list[ServerFacts] = []  # did not serve the zone a while ago: asked when nobody else is left
        self.looked_up = 0


class Iteration:
    """See the head of this file."""

    __slots__ = ("_context", "_look_up", "_reader")

    def __init__(self, context: Context, look_up: LookUp) -> None:
        self._context = context
        self._look_up = look_up
        self._reader = Reader(context.config.guards, context.config.limits, context.stats)

    # --- down --------------------------------------------------------------------------------------------------------

    def iterate(self, name: Name, rrtype: int, work: Work) -> Generator[Send, Result, Finding]:
        """What the zone that a name is in says of it.  Raises ResolutionFailed."""
        limits, store = self._context.config.limits, self._context.cache
        descent = Descent(name, rrtype, minimise=self._context.config.minimise)
        # RFC 4035 §4.2: DS records are the parent's
        start = name.parent() if rrtype == RRType.DS else name
        descent.enter(store.closest_cut(start.key, self._context.now) or (yield from self._prime(work)))
        for _ in range(limits.referrals):
            partial = self._next_name(descent)
            if partial is None:
                try:
                    finding = yield from self._ask_zone(descent, name, rrtype, work)
                except ResolutionFailed as failure:
                    if failure.final or descent.doubtful is None:
                        raise
                    finding = descent.doubtful
            else:
                known = store.get(partial.key, RRType.A, self._context.now)
                if known is not None and known.kind in {cache.POSITIVE, cache.NODATA}:
                    continue  # it exists, and no zone begins here
                descent.minimised += 1
                try:
                    finding = yield from self._ask_zone(descent, partial, RRType.A, work)
                except ResolutionFailed as failure:
                    if failure.final or failure.unheard:
                        raise
                    descent.relaxed = True
                    continue
            if finding.kind == REFERRAL:
                assert finding.delegation is not None
                descent.enter(finding.delegation)
            elif partial is None:
                return finding
            elif finding.kind not in {ANSWER, NODATA}:
                # RFC 9156 §2.3, relaxed: servers that say NXDOMAIN where only deeper names have records are too many
                descent.relaxed = True
        self._context.stats.refused[Refused.REFERRAL_LIMIT] += 1
        raise ResolutionFailed(f"more than {limits.referrals} referrals")

    def _next_name(self, descent: Descent) -> Name | None:
        """The name to ask for next, None for the whole one.  RFC 9156 §2.3."""
        limits = self._context.config.limits
        left = descent.name.depth - descent.depth
        if descent.relaxed or left <= 1 or descent.minimised >= limits.minimise:
            return None
        if descent.minimised < limits.minimise_one:
            descent.depth += 1
        else:
            rounds = limits.minimise - descent.minimised
            descent.depth += -(-left // rounds)
        return descent.name.suffix(descent.depth) if descent.depth < descent.name.depth else None

    def _prime(self, work: Work) -> Generator[Send, Result, Delegation]:
        """Ask a root server who the root servers are, another one if it does not say.  RFC 9609 §3."""
        context = self._context
        glue = {hint.name.key: hint.addresses for hint in context.config.hints}
        hints = Delegation(ROOT, tuple([hint.name for hint in context.config.hints]), glue)
        descent = Descent(ROOT, RRType.NS, minimise=False)
        descent.enter(hints)
        try:
            finding = yield from self._ask_zone(descent, ROOT, RRType.NS, work)
        except ResolutionFailed as failure:
            if failure.final:
                raise
            finding = None
        if finding is None or finding.delegation is None:
            # nobody told: the hints will do for a while
            context.cache.put_delegation(hints, HINTS_TTL, context.now)
            return hints
        context.stats.counts[Count.PRIMED] += 1
        for name in finding.delegation.names:  # addresses that had no room in the reply
            if name.key in glue:
                finding.delegation.glue.setdefault(name.key, glue[name.key])
        return finding.delegation

    # --- one zone ----------------------------------------------------------------------------------------------------

    def _ask_zone(self, descent: Descent, name: Name, rrtype: int, work: Work) -> Generator[Send, Result, Finding]:
        """What the servers of the zone that we are in say of a name.  Raises ResolutionFailed."""
        context, limits, cut = self._context, self._context.config.limits, descent.cut
        assert cut is not None
        candidates = self._candidates(cut)
        timeout_us = context.config.timeout_us
        asked = spoke = False  # `spoke`: somebody, if only with an error
        silent = True  # all were, all the time
        for _ in range(limits.tries):
            facts = context.servers.choose(candidates.tried)
            if descent.doubtful is not None and (facts is None or candidates.tried[facts]):
                break  # it is not worth more than one try of others
            # who was silent is not waited for again while there are others whose addresses can be found
            while facts is None or (candidates.tried[facts] and candidates.nameless):
                if (yield from self._find_address(candidates, work)) or (
                    facts is None and self._fall_back(candidates, work)
                ):
                    facts = context.servers.choose(candidates.tried)
                elif facts is None:
                    why = f"no server of {cut.zone} is left to ask"
                    raise ResolutionFailed(why, silent=asked and silent, unheard=asked and not spoke)
                else:
                    break
            if descent.sent >= limits.sent:
                context.stats.refused[Refused.QUOTA] += 1
                raise ResolutionFailed(f"more than {limits.sent} messages would be needed")
            descent.sent += 1
            asked = True
            candidates.tried[facts] += 1
            send = Send(facts, name, rrtype, min(facts.rto, timeout_us), recursion=False)
            result = yield from ask(context, send, work, cut.zone)
            if isinstance(result, Message):
                finding = self._reader.read(result, name, rrtype, cut.zone, authority=True)
                work.note(name, rrtype, finding)
                if finding.kind == NXDOMAIN and name is not descent.name:
                    return finding  # not for the cache, since it is not believed either
                if finding.kind != USELESS:
                    if context.validator is not None:
                        finding.secure = yield from context.validator(finding, result, cut.zone, work)
                    admit(context, finding, result, rrtype, facts.address)
                    if finding.refused is None or descent.doubtful is not None or name is not descent.name:
                        return finding
                    descent.doubtful = finding
                spoke, silent = True, False
                work.failed(facts.address, finding.why)
                if result.edns is not None:
                    work.ede = next(iter(result.edns.ede), work.ede)
                if finding.refused in _LAME and name is descent.name:  # less than the name confuses some that are not
                    context.servers.mark_lame(facts, cut.key, context.now)
                del candidates.tried[facts]
            else:
                spoke, silent = spoke or result.heard, silent and result.silent
                work.failed(facts.address, result.why)
                if result.how is not Fate.TIMEOUT or candidates.tried[facts] >= limits.tries_per_server:
                    del candidates.tried[facts]
        raise ResolutionFailed(f"no answer from the servers of {cut.zone}", silent=silent, unheard=not spoke)

    def _candidates(self, cut: Delegation) -> Candidates:
        """The servers of a zone, with the addresses that are known."""
        candidates = Candidates(cut)
        for name in cut.names:
            key = name.key
            known, glue = self._known_addresses(key), cut.glue.get(key, ())
            if not self._add(candidates, known or glue):
                candidates.nameless.append(name)
            if known:
                candidates.passed_over += [address for address in glue if address not in known]
        return candidates

    def _known_addresses(self, key: bytes) -> list[str]:
        """What was answered when somebody asked for the addresses of a server."""
        found: list[str] = []
        for rrtype in self._address_types():
            entry = self._context.cache.get(key, rrtype, self._context.now)
            if entry is not None and entry.rrset is not None and entry.kind == cache.POSITIVE:
                found += addresses_of(entry.rrset)
        return found

    def _address_types(self) -> tuple[int, ...]:
        return (RRType.A, RRType.AAAA) if self._context.config.ipv6 else (RRType.A,)

    def _add(self, candidates: Candidates, addresses: list[str] | tuple[str, ...]) -> int:
        """Let addresses be asked; how many of them may be."""
        context, config = self._context, self._context.config
        count = 0
        for address in addresses[: config.limits.ns_addresses]:
            if ":" in address and not config.ipv6:
                continue
            if config.guards.local_servers and is_local(address):
                context.stats.refused[Refused.LOCAL_SERVER] += 1
                continue
            facts = context.servers.get((address, config.port), context.now)
            count += 1
            if context.now >= facts.lame.get(candidates.cut.key, 0):
                candidates.tried.setdefault(facts, 0)
            else:
                candidates.lame.append(facts)
        return count

    def _fall_back(self, candidates: Candidates, work: Work) -> bool:
        """Let glue be asked that was passed over, then who did not serve the zone lately; False when that is nobody.

        Who refuses one name or type may serve others, so that nobody can take a zone away by asking for that one.
        """
        addresses, candidates.passed_over = candidates.passed_over, []
        known = len(candidates.tried)
        self._add(candidates, addresses)
        if len(candidates.tried) > known:
            work.failed_targets_allowed = self._context.config.limits.failed_targets_fallback
            return True
        lame, candidates.lame = candidates.lame, []
        candidates.tried.update(dict.fromkeys(lame, 0))
        return bool(lame)

    def _find_address(self, candidates: Candidates, work: Work) -> Generator[Send, Result, bool]:
        """Look up the address of one more server; False when there is none left that may be.

        NXNSAttack, NRDelegationAttack: how many, and how many in vain, is bounded for the question as a whole.
        """
        context, limits = self._context, self._context.config.limits
        refused = context.stats.refused
        while candidates.nameless:
            name = candidates.nameless.pop(context.rng.randrange(len(candidates.nameless)))
            key = name.key
            if key in work.resolving or name.is_within(candidates.cut.zone):
                refused[Refused.TARGET_LOOP] += 1  # to find it, it would have to be asked
                continue
            if (
                candidates.looked_up >= limits.targets_per_zone
                or work.targets >= limits.targets
                or work.failed_targets >= work.failed_targets_allowed
                or work.depth >= limits.depth
            ):
                refused[Refused.TARGET_LIMIT] += 1
                return False
            candidates.looked_up += 1
            known = len(candidates.tried)
            work.targets += 1
            work.depth += 1
            work.resolving.add(key)
            added = 0
            try:
                for rrtype in self._address_types():
                    entry = yield from self._look_up(name, rrtype, work)
                    if entry is not None and entry.kind == cache.POSITIVE and entry.rrset is not None:
                        added += self._add(candidates, addresses_of(entry.rrset))
            except ResolutionFailed as failure:
                if failure.final:
                    raise
            finally:
                work.depth -= 1
                work.resolving.discard(key)
            if len(candidates.tried) > known:
                return True
            if not added:
                work.failed_targets += 1
        return False


def is_local(address: str) -> bool:
    """It means this host, or a group, and so never a server of somebody else (RFC 6890 §2.2.2, §2.2.3)."""
    if ":" in address:
        return address in {"::", "::1"} or address.startswith(("ff", "fe80", "::ffff:"))
    first = int(address.partition(".")[0])
    return first in {0, 127} or first >= 224
