"""Messages out and in: what is in flight, over datagrams and streams, and what of it came back.

Theory of operation.  An Exchange is one question to one server.  By UDP it has a number of its own, which the transport
binds to a socket of its own, and ends with the first reply that passes every check, with the timeout, or with an error
of the transport.  What does not pass is counted and the true reply waited for; but where the exchange has become
doubtful - too many wrong replies, the question back with other letters, a cookie missing - it ends at once with a Fate
that makes `ask` put the question again by TCP, where nobody can forge from aside.  An Ended says how, and in words what
the server did, for the error that a client may get.

Where there is no TCP, replies with other letters are compared: such an exchange (`compare`) holds one back for as long
as the right letters may still come.  So who can forge replies but cannot see the letters does not win against a server
that keeps them.

By TCP an Exchange is in the `pending` table of a Stream, under an id that no other question on that stream has, so that
replies may come in any order (RFC 7766 §7).  One number space names exchanges and streams.

There is one exchange for one question to one server: who wants the same joins it (RFC 5452 §5: with N of them in
flight a forger would have N chances with each packet).

Ends are put in `results`, as (those who wait, what came of it), and what has to be sent in `actions`: the core drains
both.
"""

from collections import deque
from enum import Enum, unique
from typing import Final, NamedTuple

from stack.config import MS, Rng
from stack.dns.core.actions import Action, Close, KeepOpen, Release, SendTcp, SendUdp
from stack.dns.core.answer import Failure
from stack.dns.core.config import ResolverConfig, Server
from stack.dns.core.deadlines import Deadlines
from stack.dns.core.query import (
    HEADER_LEN,
    ID_BITS,
    QDCOUNT,
    build_query,
    build_question,
    change_case,
    is_truncated,
    refuse,
    with_keepalive,
)
from stack.dns.core.servers import COOKIE_LEN, ServerFacts
from stack.dns.core.stats import Count, Refused, ResolverStats
from stack.dns.errors import FormError
from stack.dns.message import Message
from stack.dns.names import Name

_BYTE: Final = 8
_SENT_UDP: Final = int(Count.SENT_UDP)
_RECEIVED: Final = int(Count.RECEIVED)


_MAX_DETAIL: Final = 80  # characters of what is wrong with a reply
_WRONG: Final = {  # a reply ...
    Refused.TOO_SHORT: "too short",
    Refused.WRONG_SOURCE: "from elsewhere",
    Refused.WRONG_ID: "with a wrong id",
    Refused.NOT_A_REPLY: "that was none",
    Refused.WRONG_QUESTION: "to another question",
    Refused.WRONG_COOKIE: "with a wrong cookie",
    Refused.WRONG_CASE: "with other letters",
}


@unique
class Fate(Enum):
    """How an exchange can end, but for a Message and a Failure; the value is for people."""

    TIMEOUT = "no answer"
    TRUNCATED = "truncated"
    WRONG_CASE = "the question came back with other letters"
    NO_COOKIE = "its cookie was missing"
    MISMATCHES = "too many wrong replies"
    UNLIKE = "replies with other letters that say different things"
    MALFORMED = "malformed"
    GARBAGE = "only messages that nobody had asked for"  # by TCP
    NO_STREAM = "too many TCP connections"


_WAITED: Final = (Fate.TIMEOUT, Failure.CONNECT_TIMEOUT)
_UNHEARD: Final = {Fate.TIMEOUT, Fate.NO_STREAM, *Failure} - {Failure.CLOSED}


class Ended(NamedTuple):
    """The end of an exchange that brought no reply to read."""

    how: Fate | Failure
    why: str  # what the server did, in words
    heard: bool  # something came that may have been the server's
    held: Message | None = None  # of one that compares: what came with other letters

    @property
    def silent(self) -> bool:
        """The server had all the time that there is for a try, and nothing came of it."""
        return self.how in _WAITED and not self.heard


Result = Message | Ended


class Send:
    """What a resolution yields: this question to this server, please.  It is resumed with the Result."""

    __slots__ = ("compare", "facts", "name", "recursion", "rrtype", "tcp", "timeout_us")

    def __init__(
        self, facts: ServerFacts, name: Name, rrtype: int, timeout_us: int, *, recursion: bool, tcp: bool = False
    ) -> None:
        self.facts = facts
        self.name = name
        self.rrtype = rrtype
        self.timeout_us = timeout_us
        self.recursion = recursion
        self.tcp = tcp
        self.compare = False  # a reply with other letters is held back until the time is up, and then the result


class Stream:
    """A TCP connection to a server, as far as the core knows: the transport opens it when the first message comes."""

    __slots__ = ("facts", "faults", "is_ending", "number", "pending")

    def __init__(self, number: int, facts: ServerFacts) -> None:
        self.number = number
        self.facts = facts
        self.is_ending = False  # it gets no more questions
        self.pending: dict[int, Exchange] = {}  # by id
        self.faults = 0


class Exchange:
    """One question in flight."""

    # fmt: off
    __slots__ = (
        "asked", "compare", "cookie", "facts", "held", "key", "message_id", "mismatches", "number", "question",
        "sent_at", "stream", "timeout_us", "timer", "waiting", "wrong",
    )
    # fmt: on

    def __init__(self, number: int, send: Send, key: "ExchangeKey", now: int) -> None:
        self.number = number
        self.facts = send.facts
        self.key = key
        self.asked = b""  # name, type and class
        self.question = b""  # the same as sent, with random case
        self.message_id = 0
        self.mismatches = 0
        self.cookie = False  # ours went along
        self.compare = send.compare
        self.held: Message | None = None  # a reply with other letters
        self.sent_at = now
        self.timeout_us = send.timeout_us
        self.timer = 0
        self.stream: Stream | None = None
        self.waiting: list[object] = []
        self.wrong: dict[Refused, int] | None = None  # replies that were not what is waited for, none yet

    def ended(self, how: Fate | Failure, why: str = "") -> Ended:
        """Say what came of it."""
        wrong = [f"{n} repl{'y' if n == 1 else 'ies'} {_WRONG[what]}" for what, n in (self.wrong or {}).items()]
        if self.stream is not None and self.stream.faults and how is not Fate.GARBAGE:
            wrong.append("something that nobody had asked for")
        why = why or how.value
        if wrong and how is Fate.MISMATCHES:
            why = ", ".join(wrong)
        elif wrong and how in _UNHEARD:
            why += f", but {', '.join(wrong)}"
        return Ended(how, why, how not in _UNHEARD or bool(wrong), self.held)

    def waited(self, now: int) -> str:
        """What there is to say while nothing has come of it."""
        return self.ended(Fate.TIMEOUT, f"no answer yet after {(now - self.sent_at) // MS} ms").why


ExchangeKey = tuple[Server, bytes, int, int]  # the last: 0 over UDP, 1 over TCP, 2 to compare


class Exchanges:
    """See the head of this file."""

    # fmt: off
    __slots__ = (
        "_by_key", "_config", "_exchanges", "_next_id", "_number", "_rng", "_stats", "_streams", "_streams_to",
        "_timers", "actions", "results",
    )
    # fmt: on

    def __init__(self, config: ResolverConfig, rng: Rng, stats: ResolverStats, timers: Deadlines) -> None:
        self._config = config
        self._rng = rng
        self._stats = stats
        self._timers = timers
        self._number = 0
        self._next_id = 0  # of the guard `random_ids` turned off
        self._exchanges: dict[int, Exchange] = {}  # by UDP
        self._by_key: dict[ExchangeKey, Exchange] = {}  # all
        self._streams: dict[int, Stream] = {}
        self._streams_to: dict[Server, Stream] = {}  # the one that new questions go to
        self.actions: list[Action] = []
        self.results: deque[tuple[list[object], Result]] = deque()

    def __len__(self) -> int:
        return len(self._by_key)

    # --- out ---------------------------------------------------------------------------------------------------------

    def send(self, send: Send, who: object, now: int) -> Exchange | None:
        """Put a question in flight, or join the one that is; None when it ended at once (see `results`)."""
        key = (send.facts.address, send.name.lower(), send.rrtype, 1 if send.tcp else 2 * send.compare)
        exchange = self._by_key.get(key) if self._config.guards.coalesce else None
        if exchange is not None:
            self._stats.counts[Count.SHARED_EXCHANGES] += 1
            exchange.waiting.append(who)
            return exchange
        self._number += 1
        exchange = Exchange(self._number, send, key, now)
        exchange.waiting.append(who)
        if send.tcp:
            stream = self._stream_to(send.facts)
            if stream is None:
                self.results.append((exchange.waiting, exchange.ended(Fate.NO_STREAM)))
                return None
            exchange.stream = stream
            wire = self._build(exchange, send)
            stream.pending[exchange.message_id] = exchange
            self.actions.append(SendTcp(stream.number, send.facts.address, wire))
            self._stats.counts[Count.SENT_TCP] += 1
        else:
            wire = self._build(exchange, send)
            self._exchanges[exchange.number] = exchange
            self.actions.append(SendUdp(exchange.number, send.facts.address, wire))
            self._stats.counts[_SENT_UDP] += 1
        self._by_key[key] = exchange
        self._timers.set(exchange, now + send.timeout_us)
        return exchange

    def _build(self, exchange: Exchange, send: Send) -> bytes:
        """The query.  All its random bits are drawn at once."""
        facts, guards, name = send.facts, self._config.guards, send.name
        bits = self._rng.getrandbits(ID_BITS + _BYTE * len(name))
        if guards.random_ids:
            exchange.message_id = bits & 0xFFFF
        else:
            exchange.message_id = self._next_id = (self._next_id + 1) & 0xFFFF
        if exchange.stream is not None:
            # RFC 7766 §6.2.1: ids on one connection are unique among those in flight
            while exchange.message_id in exchange.stream.pending:
                exchange.message_id = (exchange.message_id + 1) & 0xFFFF
        exchange.asked = exchange.question = build_question(name, send.rrtype)
        if guards.random_case and facts.keeps_case:
            exchange.question = change_case(name, bits >> ID_BITS) + exchange.asked[len(name) :]
        exchange.cookie = facts.edns and guards.cookies
        # RFC 7828 §3.2.1: never over UDP
        opt = with_keepalive(facts.opt) if facts.opt and exchange.stream is not None else facts.opt
        return build_query(exchange.message_id, exchange.question, opt, recursion=send.recursion)

    def _stream_to(self, facts: ServerFacts) -> Stream | None:
        """A stream with room; None when there are too many already."""
        limits = self._config.limits
        stream = self._streams_to.get(facts.address)
        if stream is not None and len(stream.pending) < limits.pipeline:
            return stream
        if len(self._streams) >= limits.streams:
            idle = next((s for s in self._streams.values() if not s.pending), None)
            if idle is None:
                self._stats.refused[Refused.STREAM_LIMIT] += 1
                return None
            self._close(idle)
        self._number += 1
        stream = Stream(self._number, facts)
        self._streams[stream.number] = self._streams_to[facts.address] = stream
        return stream

    def leave(self, exchange: Exchange, who: object) -> None:
        """Somebody waits no longer; what nobody waits for is given up."""
        exchange.waiting.remove(who)
        if not exchange.waiting:
            self._remove(exchange)

    # --- in ----------------------------------------------------------------------------------------------------------

    def on_datagram(self, number: int, source: Server, wire: bytes, now: int) -> None:
        """A datagram came on the socket of an exchange."""
        exchange = self._exchanges.get(number)
        guards = self._config.guards
        if exchange is None:
            self._stats.refused[Refused.UNASKED] += 1
        elif source != exchange.facts.address and guards.check_source:
            self._mismatch(exchange, Refused.WRONG_SOURCE)
        else:
            why = refuse(wire, exchange.message_id, exchange.question, check_question=guards.check_question)
            if why is Refused.WRONG_CASE and not exchange.facts.keeps_case:
                why = None  # it is known for that
            if why is Refused.WRONG_CASE:
                self._on_wrong_case(exchange, wire)
            elif why is not None:
                self._mismatch(exchange, why)
            elif is_truncated(wire):
                self._stats.counts[Count.TRUNCATED] += 1
                exchange.facts.on_reply(now - exchange.sent_at, self._config)
                self._end(exchange, exchange.ended(Fate.TRUNCATED))
            else:
                self._take(exchange, wire, now)

    def _on_wrong_case(self, exchange: Exchange, wire: bytes) -> None:
        """All is right but the letters."""
        if not exchange.compare:
            self._stats.refused[Refused.WRONG_CASE] += 1
            self._end(exchange, exchange.ended(Fate.WRONG_CASE))
            return
        self._mismatch(exchange, Refused.WRONG_CASE)
        message = None if is_truncated(wire) or not exchange.waiting else self._parse(exchange, wire)
        if message is None or not self._cookie_fits(exchange, message):
            return
        if exchange.held is not None and not say_the_same(exchange.held, message):  # one of them at least is forged
            self._end(exchange, exchange.ended(Fate.UNLIKE))
            return
        exchange.held = message
        if not self._config.guards.alike:
            self._end(exchange, exchange.ended(Fate.WRONG_CASE))

    def on_stream_message(self, number: int, wire: bytes, now: int) -> None:
        """A message came on a stream."""
        stream = self._streams.get(number)
        if stream is None:
            self._stats.refused[Refused.UNASKED] += 1
            return
        exchange = stream.pending.get(int.from_bytes(wire[:2], "big")) if len(wire) > 1 else None
        if exchange is None:
            why: Refused | None = Refused.UNASKED if len(wire) > 1 else Refused.TOO_SHORT
        else:
            why = refuse(
                wire, exchange.message_id, exchange.question, check_question=self._config.guards.check_question
            )
        if exchange is not None and why is Refused.WRONG_CASE:
            # nobody but the server can have written this: it is one that does not keep the letters
            self._stats.counts[Count.CASE_FOLDING] += exchange.facts.keeps_case
            exchange.facts.keeps_case = False
            why = None
        if exchange is not None and why is None:
            if is_truncated(wire):  # here it is no use to ask in another way: the server has no more to give
                self._stats.counts[Count.TRUNCATED] += 1
                self._end(exchange, exchange.ended(Fate.TRUNCATED))
            else:
                self._take(exchange, wire, now)
        elif why is not None:
            self._stats.refused[why] += 1
            stream.faults += 1
            if stream.faults >= self._config.limits.stream_faults:
                self._close(stream, Fate.GARBAGE)

    def _take(self, exchange: Exchange, wire: bytes, now: int) -> None:
        """A reply to our question: parse it, and look at its cookie."""
        facts = exchange.facts
        message = self._parse(exchange, wire)
        if message is None:
            return
        if exchange.cookie and not self._cookie_fits(exchange, message):
            return
        self._stats.counts[_RECEIVED] += 1
        if exchange.stream is None:
            facts.on_reply(now - exchange.sent_at, self._config)
        else:
            facts.failures = 0
            if message.edns is not None and (idle_us := message.edns.keepalive_us) is not None:
                self._keep(exchange.stream, idle_us)
        self._end(exchange, message)

    def _keep(self, stream: Stream, idle_us: int) -> None:
        """RFC 7828 §3.2.2: the server's word on how long the connection may be idle; 0: not at all."""
        if idle_us:
            self.actions.append(KeepOpen(stream.number, idle_us))
            return
        stream.is_ending = True  # when the outstanding replies have come, it is closed
        if self._streams_to.get(stream.facts.address) is stream:
            del self._streams_to[stream.facts.address]

    def _parse(self, exchange: Exchange, wire: bytes) -> Message | None:
        """What it says; one that cannot be read ends the exchange."""
        try:
            if wire[QDCOUNT]:
                # with the letters that we were asked for, to which the server's compressed names point, too
                wire = wire[:HEADER_LEN] + exchange.asked + wire[HEADER_LEN + len(exchange.asked) :]
            return Message.parse(wire)
        except FormError as error:
            self._stats.refused[Refused.MALFORMED] += 1
            self._stats.malformed[error.reason.name.lower()] += 1
            self._end(exchange, exchange.ended(Fate.MALFORMED, f"malformed reply: {error}"[:_MAX_DETAIL]))
            return None

    def _cookie_fits(self, exchange: Exchange, message: Message) -> bool:
        """RFC 7873 §5.3.  False: the message was dealt with."""
        facts = exchange.facts
        cookie = message.edns.cookie if message.edns is not None else None
        if cookie is None:
            if not facts.cookies:
                return True
            if exchange.stream is not None:
                facts.on_cookie(b"", self._config)
                return True
            self._stats.refused[Refused.NO_COOKIE] += 1
            self._end(exchange, exchange.ended(Fate.NO_COOKIE))
            return False
        if not cookie.startswith(facts.client_cookie):
            self._mismatch(exchange, Refused.WRONG_COOKIE)
            return False
        if len(cookie) > COOKIE_LEN:
            facts.on_cookie(cookie[COOKIE_LEN:], self._config)
        return True

    def _mismatch(self, exchange: Exchange, why: Refused) -> None:
        """Not the reply that is waited for; somebody may be guessing."""
        self._stats.refused[why] += 1
        exchange.mismatches += 1
        if exchange.wrong is None:
            exchange.wrong = {}
        exchange.wrong[why] = exchange.wrong.get(why, 0) + 1
        if exchange.mismatches == self._config.guards.mismatches and exchange.stream is None:
            self._stats.refused[Refused.MISMATCHES] += 1
            self._end(exchange, exchange.ended(Fate.MISMATCHES))

    def on_failed(self, number: int, failure: Failure, now: int) -> None:
        """The transport says that an exchange or a stream is of no use any more."""
        stream = self._streams.get(number)
        exchange = self._exchanges.get(number)
        if stream is not None:
            if stream.pending and failure is not Failure.NO_SOCKET:
                stream.facts.on_failure(self._config, now)
                self._stats.counts[Count.FAILURES] += 1
            self._forget(stream, failure)
        elif exchange is not None:
            if failure is not Failure.NO_SOCKET:  # the server has no part in that
                exchange.facts.on_failure(self._config, now)
            self._stats.counts[Count.FAILURES] += 1
            self._end(exchange, exchange.ended(failure))

    def on_timeout(self, exchange: Exchange, now: int) -> None:
        """The server had its time."""
        if exchange.held is not None:
            self._end(exchange, exchange.ended(Fate.WRONG_CASE))
            return
        self._stats.counts[Count.TIMEOUTS] += 1
        exchange.facts.on_silence(exchange.timeout_us, self._config, now)
        self._end(exchange, exchange.ended(Fate.TIMEOUT, f"no answer within {exchange.timeout_us // MS} ms"))

    # --- ends --------------------------------------------------------------------------------------------------------

    def _end(self, exchange: Exchange, result: Result) -> None:
        waiting, exchange.waiting = exchange.waiting, []
        self.results.append((waiting, result))
        self._remove(exchange)

    def _remove(self, exchange: Exchange) -> None:
        self._timers.cancel(exchange)
        if self._by_key.get(exchange.key) is exchange:
            del self._by_key[exchange.key]
        stream = exchange.stream
        if stream is None:
            del self._exchanges[exchange.number]
            self.actions.append(Release(exchange.number))
            return
        del stream.pending[exchange.message_id]
        if not stream.pending and (exchange.facts.failures or stream.is_ending) and stream.number in self._streams:
            self._close(stream)  # if it has been silent, the next question is better put on a new one

    def _close(self, stream: Stream, how: Fate | Failure = Failure.CLOSED) -> None:
        """Close a stream of ours."""
        self.actions.append(Close(stream.number))
        self._forget(stream, how)

    def _forget(self, stream: Stream, how: Fate | Failure) -> None:
        if self._streams.pop(stream.number, None) is None:
            return
        if self._streams_to.get(stream.facts.address) is stream:
            del self._streams_to[stream.facts.address]
        for exchange in list(stream.pending.values()):
            self._end(exchange, exchange.ended(how))

    def close(self) -> None:
        """Give everything up: the actions close all that is open."""
        for exchange in list(self._exchanges.values()):
            self._remove(exchange)
        for stream in list(self._streams.values()):
            self._close(stream)
        self.results.clear()


def say_the_same(one: Message, other: Message) -> bool:
    """Whether two replies to one question have the same records, TTLs and order aside."""
    return one.rcode == other.rcode and all(
        {(r.name.key, r.rrtype, r.rrclass, frozenset(r.raws)) for r in some}
        == {(r.name.key, r.rrtype, r.rrclass, frozenset(r.raws)) for r in others}
        for some, others in ((one.answer, other.answer), (one.authority, other.authority))
    )
