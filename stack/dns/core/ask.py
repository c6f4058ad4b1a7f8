"""One question to one server, until there is a reply that says something about the name, or none is to be had.

A server may want the question put in another way: by TCP, with its cookie, without EDNS.  `insist` does so, a bounded
number of times, so those who ask need not know of it; but an Ended in the end says what came of each way.
"""

from collections.abc import Generator
from typing import Final

from stack.dns.constants import Rcode, rcode_text
from stack.dns.core.answer import Failure, Step
from stack.dns.core.context import Context
from stack.dns.core.exchanges import Ended, Fate, Result, Send, say_the_same
from stack.dns.core.stats import Count
from stack.dns.core.work import Work
from stack.dns.message import Message
from stack.dns.names import Name

_BADCOOKIE: Final = int(Rcode.BADCOOKIE)
_FINAL: Final = frozenset((int(Rcode.NOERROR), int(Rcode.NXDOMAIN)))
_BY_TCP: Final = (Fate.TRUNCATED, Fate.WRONG_CASE, Fate.NO_COOKIE, Fate.MISMATCHES)
_NO_EDNS: Final = (Rcode.FORMERR, Rcode.NOTIMP)


def ask(context: Context, send: Send, work: Work, zone: Name) -> Generator[Send, Result, Result]:
    """The reply of a server, whatever it says, or why there is none.  Raises ResolutionFailed for lack of quota."""
    began_at, had_edns = context.now, send.facts.edns
    work.spend()
    result = yield send
    if work.steps is None and isinstance(result, Message) and result.rcode in _FINAL:
        return result
    return (yield from _Insisting(context, send, work, zone).go_on(result, began_at, had_edns=had_edns))


class _Insisting:
    """What has been tried with a server that did not simply answer."""

    # fmt: off
    __slots__ = (
        "_badcookies", "_closed", "_context", "_folding", "_heard", "_held", "_instead", "_send", "_work", "_zone",
    )
    # fmt: on

    def __init__(self, context: Context, send: Send, work: Work, zone: Name) -> None:
        self._context = context
        self._send = send
        self._work = work
        self._zone = zone
        self._badcookies = 0
        self._closed = False  # a stream, by the server
        self._folding = False  # we are on TCP since the letters were others
        self._held: list[Message] = []  # replies with other letters that say the same
        self._instead: Result | None = None  # what comparing them has led to
        self._heard = False  # something, in another way

    def go_on(self, result: Result, began_at: int, *, had_edns: bool) -> Generator[Send, Result, Result]:
        """Put the question again as long as the result is that it should be."""
        left = self._context.config.limits.redirections
        while True:
            left -= not self._held  # there are no more comparisons than `alike`
            tcp = self._send.tcp
            how = self._redirect(result, had_edns=had_edns) if left else ""
            if self._work.steps is not None:
                self._note(result, began_at, how, tcp=tcp)
            if self._instead is not None:
                result, self._instead = self._instead, None
            if not how:
                break
            self._work.spend()
            self._remember(result, how, tcp=tcp)
            began_at, had_edns = self._context.now, self._send.facts.edns
            result = yield self._send
        before, self._work.before = self._work.before, ""
        if isinstance(result, Ended) and before:
            return Ended(result.how, before + result.why, self._heard or result.heard)
        return result

    def _remember(self, result: Result, how: str, *, tcp: bool) -> None:
        """What the server did to be asked in another way."""
        why = rcode_text(result.rcode) if isinstance(result, Message) else result.why
        self._heard = self._heard or isinstance(result, Message) or result.heard
        if self._held:
            return
        over = " over UDP" if self._send.tcp and not tcp else ""
        self._work.before += f"{why}{over}; {'TCP' if self._send.tcp and not tcp else how}: "

    def _redirect(self, result: Result, *, had_edns: bool) -> str:
        """How to put the question again, which `_send` then does; nothing when the result is one."""
        context, facts, tcp = self._context, self._send.facts, self._send.tcp
        if isinstance(result, Message):
            if result.rcode == _BADCOOKIE:
                # RFC 7873 §5.3: again with the cookie that came along; if that is not good enough either, by TCP
                context.stats.counts[Count.BADCOOKIE] += 1
                self._badcookies += 1
                return "with its cookie" if self._badcookies == 1 else self._by(tcp=True)
            if result.rcode in _NO_EDNS and had_edns and result.edns is None:
                # RFC 6891 §7: a server that does not know EDNS says so with FORMERR, or NOTIMP
                context.stats.counts[Count.WITHOUT_EDNS] += 1
                facts.on_no_edns()
                return "without EDNS"
        elif self._send.compare:
            return self._compare(result, had_edns=had_edns)
        elif result.how in _BY_TCP and not tcp:
            self._folding = result.how is Fate.WRONG_CASE
            return self._by(tcp=True)
        elif tcp and result.how is Failure.CLOSED and not self._closed:
            # RFC 7766 §6.2.4: a server may close an idle connection just when it is used again
            self._closed = True
            return "on a new connection"
        elif tcp and self._folding:
            # it changes letters and has no TCP to prove that it was it
            self._by(tcp=False)
            self._send.compare = True
            return "to compare"
        return ""

    def _compare(self, result: Ended, *, had_edns: bool) -> str:
        """Go on until so many replies with other letters say the same that they are believed."""
        held, context = result.held, self._context
        if result.how is not Fate.WRONG_CASE or held is None:
            return ""
        if self._held and not say_the_same(self._held[0], held):
            self._instead = Ended(Fate.UNLIKE, Fate.UNLIKE.value, heard=True)
            return ""
        self._held.append(held)
        if len(self._held) < context.config.guards.alike:
            return "to compare"
        facts, counts = self._send.facts, context.stats.counts
        counts[Count.CASE_FOLDING] += facts.keeps_case
        counts[Count.RECEIVED] += 1
        facts.keeps_case = False
        facts.failures = 0
        self._held.clear()
        self._send.compare = False
        self._instead = held
        return self._redirect(held, had_edns=had_edns)

    def _by(self, *, tcp: bool) -> str:
        config, facts = self._context.config, self._send.facts
        self._send.tcp = tcp
        self._send.timeout_us = config.tcp_timeout_us if tcp else min(facts.rto, config.timeout_us)
        return "by TCP"

    def _note(self, result: Result, began_at: int, how: str, *, tcp: bool) -> None:
        """A step of the trace."""
        assert self._work.steps is not None
        send, rtt_us = self._send, self._context.now - began_at
        verdict = rcode_text(result.rcode) if isinstance(result, Message) else result.why
        why = f"asked again {how}" if how else ""
        step = Step(
            self._work.depth, send.facts.address, self._zone, send.name, send.rrtype, verdict, rtt_us, why, tcp=tcp
        )
        self._work.steps.append(step)
