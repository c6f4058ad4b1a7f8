"""From a reply to the cache: the one way in, with the place for a validator."""

from collections.abc import Generator

from stack.config import NEVER
from stack.dns.core import cache
from stack.dns.core.config import Server
from stack.dns.core.context import Context
from stack.dns.core.exchanges import Result, Send
from stack.dns.core.reply import NODATA, NXDOMAIN, Finding
from stack.dns.core.work import Work
from stack.dns.message import Message
from stack.dns.names import Name


def admit(
    context: Context, finding: Finding, message: Message, rrtype: int, zone: Name, server: Server, work: Work
) -> Generator[Send, Result, None]:
    """Have a finding validated, and keep what it found.  Raises ResolutionFailed for what must not be used."""
    if context.validator is not None:
        finding.secure = yield from context.validator(finding, message, zone, work)
    store, now = context.cache, context.now
    finding.expires_at = NEVER
    for rrset, trust in finding.keep:
        entry = store.put_rrset(rrset, trust, server, now)
        entry.secure = finding.secure
        finding.expires_at = min(finding.expires_at, entry.expires_at)
        if rrset is finding.rrset:
            finding.entry = entry
    kind = finding.kind
    if finding.delegation is not None:
        store.put_delegation(finding.delegation, finding.ttl, now)
    if kind in {NODATA, NXDOMAIN}:
        cached = cache.NODATA if kind == NODATA else cache.NXDOMAIN
        finding.entry = entry = store.put_negative(cached, finding.name, rrtype, finding.soa, now)
        entry.secure = finding.secure
        entry.server = server
        finding.expires_at = min(finding.expires_at, entry.expires_at)
    if finding.entry is not None and message.edns is not None and message.edns.options:
        finding.entry.ede = next(iter(message.edns.ede), None)
