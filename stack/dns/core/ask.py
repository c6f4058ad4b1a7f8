"""One question to one server, until there is a reply that says something about the name, or none is to be had.

A server may want the question put in another way: by TCP, with its cookie, without EDNS.  All that happens here, and
is bounded, so what asks need not know of it.
"""

from collections.abc import Generator
from typing import Final

from stack.dns.constants import Rcode, rcode_text
from stack.dns.core.actions import Failure, Step
from stack.dns.core.context import Context
from stack.dns.core.exchanges import Fate, Result, Send
from stack.dns.core.servers import ServerFacts
from stack.dns.core.stats import Count
from stack.dns.core.work import Work
from stack.dns.message import Message
from stack.dns.names import Name

_BY_TCP: Final = (Fate.TRUNCATED, Fate.WRONG_CASE, Fate.NO_COOKIE, Fate.MISMATCHES)
_BADCOOKIE: Final = int(Rcode.BADCOOKIE)
_NO_EDNS: Final = (Rcode.FORMERR, Rcode.NOTIMP, Rcode.BADVERS)


def ask(
    context: Context,
    facts: ServerFacts,
    name: Name,
    rrtype: int,
    work: Work,
    zone: Name,
    *,
    timeout_us: int,
    recursion: bool,
) -> Generator[Send, Result, Message | Fate | Failure]:
    """The reply of a server, whatever it says, or why there is none.  Raises ResolutionFailed for lack of quota."""
    config = context.config
    tcp, why, was_folding, badcookies, closed = False, "", False, 0, False
    for _ in range(config.limits.redirections):
        work.spend()
        began_at, had_edns, by_tcp = context.now, facts.edns, tcp
        result = yield Send(facts, name, rrtype, recursion, tcp, config.tcp_timeout_us if tcp else timeout_us)
        redirection = ""
        if isinstance(result, Message):
            rcode = result.rcode
            if rcode == _BADCOOKIE:
                # RFC 7873 §5.3: again with the cookie that came along; if that is not good enough either, by TCP
                context.stats.counts[Count.BADCOOKIE] += 1
                badcookies += 1
                tcp = tcp or badcookies > 1
                redirection = "with its cookie" if badcookies == 1 else "by TCP"
            elif rcode in _NO_EDNS and had_edns and result.edns is None:
                # RFC 6891 §7: a server that does not know EDNS says so with FORMERR, or NOTIMP
                context.stats.counts[Count.WITHOUT_EDNS] += 1
                facts.edns = False
                redirection = "without EDNS"
            verdict = rcode_text(rcode)
        else:
            verdict = result.value
            if result in _BY_TCP and not tcp:
                was_folding = result is Fate.WRONG_CASE
                tcp, redirection = True, "by TCP"
            elif tcp and result is Failure.CLOSED and not closed:
                # RFC 7766 §6.2.4: a server may close an idle connection just when it is used again
                closed, redirection = True, "on a new connection"
            elif tcp and was_folding:
                # it has no TCP to prove it, but returns other letters: without random case, or it could not be asked
                was_folding, tcp, redirection = False, False, "without random case"
                facts.keeps_case = False
                context.stats.counts[Count.CASE_FOLDING] += 1
        if work.steps is not None:
            rtt_us = context.now - began_at
            detail = f"{why}{'; ' if why and redirection else ''}{f'asked again {redirection}' if redirection else ''}"
            work.steps.append(Step(work.depth, facts.address, zone, name, rrtype, verdict, rtt_us, detail, tcp=by_tcp))
        if not redirection:
            break
    return result
