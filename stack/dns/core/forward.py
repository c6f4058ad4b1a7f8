"""Asking resolvers: what a stub does, and a forwarder.

Theory of operation.  Servers are asked in the order given (or from another one each time, with `rotate`), those that
failed lately last; such a one is tried again every `probe_us` by a question of ours that no client waits for.  How long
a try lasts follows from the server's round-trip times, but is not less than `rto_unknown_us`, since a resolver may have
to ask around itself; it is doubled from round to round.  timeout, attempts and the number of servers of resolv.conf say
how long all the tries together may last.
"""

from collections.abc import Generator

from stack.dns.core.admit import admit
from stack.dns.core.ask import ask
from stack.dns.core.config import Server
from stack.dns.core.context import Context
from stack.dns.core.exchanges import Fate, Result, Send
from stack.dns.core.reply import USELESS, Finding, Reader
from stack.dns.core.servers import ServerFacts
from stack.dns.core.stats import Count
from stack.dns.core.work import ResolutionFailed, Work
from stack.dns.message import Message
from stack.dns.names import ROOT, Name


class Forwarding:
    """See the head of this file."""

    __slots__ = ("_context", "_reader", "_turn")

    def __init__(self, context: Context) -> None:
        self._context = context
        config = context.config
        self._reader = Reader(config.guards, config.limits, context.stats)
        self._turn = 0

    def forward(
        self, name: Name, rrtype: int, work: Work, zone: Name, servers: tuple[Server, ...]
    ) -> Generator[Send, Result, Finding]:
        """What the servers for a zone say of a name.  Raises ResolutionFailed."""
        context, config = self._context, self._context.config
        patient_until = context.now + min(config.timeout_us * config.attempts * len(servers), config.patience_us)
        tries = rounds = 0
        silent = True  # all were, all the time
        doubtful: Finding | None = None  # a denial without a SOA
        while True:
            waited = False
            for facts in self._order(servers, name, rrtype, zone):
                tries += 1
                timeout_us = min(max(facts.rto, config.rto_unknown_us << rounds), config.timeout_us)
                result = yield from ask(context, Send(facts, name, rrtype, timeout_us, recursion=True), work, zone)
                if isinstance(result, Message):
                    finding = self._reader.read(result, name, rrtype, ROOT, authority=False)
                    work.note(name, rrtype, finding)
                    if finding.kind != USELESS:
                        if context.validator is not None:
                            finding.secure = yield from context.validator(finding, result, zone, work)
                        admit(context, finding, result, rrtype, facts.address)
                        if finding.refused is None or doubtful is not None:
                            return finding
                        doubtful = finding
                    silent = False
                    work.failed(facts.address, finding.why)
                    if result.edns is not None:
                        work.ede = next(iter(result.edns.ede), work.ede)
                else:
                    waited = waited or result.how is Fate.TIMEOUT
                    silent = silent and result.silent
                    work.failed(facts.address, result.why)
                if context.now >= patient_until or tries >= max(config.limits.tries, len(servers)):
                    waited = False
                    break
            if doubtful is not None:
                return doubtful
            if not waited:
                raise ResolutionFailed("", silent=silent)
            rounds += 1

    def _order(self, servers: tuple[Server, ...], name: Name, rrtype: int, zone: Name) -> list[ServerFacts]:
        """The servers in the order in which they are asked, and a probe of one that failed a while ago."""
        context, config = self._context, self._context.config
        if len(servers) == 1:
            return [context.servers.get(servers[0], context.now)]
        order = [context.servers.get(server, context.now) for server in servers]
        if config.rotate:
            self._turn = (self._turn + 1) % len(order)
            order = order[self._turn :] + order[: self._turn]
        good = [facts for facts in order if not facts.failures]
        bad = [facts for facts in order if facts.failures]
        if good and bad:
            for facts in bad:
                if context.now >= facts.probe_at:
                    facts.probe_at = context.now + config.probe_us
                    context.stats.counts[Count.PROBES] += 1
                    context.background.append(self._probe(facts, name, rrtype, zone))
        return good + bad

    def _probe(self, facts: ServerFacts, name: Name, rrtype: int, zone: Name) -> Generator[Send, Result, None]:
        """Put a question to a server only to see whether it answers."""
        context = self._context
        work = Work(context.config.limits, context.stats, None)
        yield from ask(context, Send(facts, name, rrtype, context.config.rto_unknown_us, recursion=True), work, zone)
