"""From a reply to the cache: the one way in."""

from typing import Final

from stack.config import NEVER
from stack.dns.core import cache
from stack.dns.core.config import Server
from stack.dns.core.context import Context
from stack.dns.core.reply import NODATA, NXDOMAIN, Finding
from stack.dns.message import Message

_DENIALS: Final = {NODATA: cache.NODATA, NXDOMAIN: cache.NXDOMAIN}


def admit(context: Context, finding: Finding, message: Message, rrtype: int, server: Server) -> None:
    """Keep what a server's reply was found to say; the finding gets the entry that is in force then."""
    store, now = context.cache, context.now
    finding.expires_at = NEVER
    for rrset, trust in finding.keep:
        entry = store.put_rrset(rrset, trust, server, now)
        if entry.rrset is rrset:  # and not something better founded
            entry.secure = finding.secure
        if entry.expires_at < finding.expires_at:
            finding.expires_at = entry.expires_at
        if rrset is finding.rrset:
            finding.entry = entry
    if finding.delegation is not None:
        store.put_delegation(finding.delegation, finding.ttl, now)
    if (kind := _DENIALS.get(finding.kind)) is not None:
        finding.entry = entry = store.put_negative(kind, finding.name, rrtype, finding.soa, now)
        entry.secure = finding.secure
        entry.server = server
        finding.expires_at = min(finding.expires_at, entry.expires_at)
    if finding.entry is not None and message.edns is not None and message.edns.options:
        entry = finding.entry
        if entry.rrset is (finding.rrset or finding.soa):
            entry.ede = next(iter(message.edns.ede), None)
