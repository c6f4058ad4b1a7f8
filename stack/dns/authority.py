"""The server's side of a message: octets of a query in, octets of the reply out.

Theory of operation.  Nearly all queries look the same: one question, perhaps an OPT record with a cookie at most.
These are read by hand, and what stands in the reply after the question is kept under the question's key (`_templates`,
bounded), with the compression's pointers to the question that are right whatever the case of its letters.  A reply is
then put together of the query's id, the flags, the question as it came, the template, and the OPT record.

All else is parsed, answered and built the long way: other opcodes, other options, what is malformed, and answers that
do not fit.  What comes from a client never raises: it is counted, and answered with a response code that fits, or not.

A question that the zones cannot answer to its end, of a client for whom the server asks others, becomes a `Pending`:
the caller resolves it and comes back with `complete` or `fail`.  What was completed is a template, too, for a second
(`_recent`, bounded): less than the TTLs in it can tell.

Time is in microseconds of any clock that does not go back; `source` is the client's address and port.
"""

from collections import Counter
from enum import IntEnum, unique
from typing import Final, NamedTuple, TypeVar

from stack.config import Rng
from stack.dns.access import Access, Verdict
from stack.dns.constants import MIN_UDP_SIZE, UDP_SIZE, EdeCode, Opcode, OptionCode, Rcode, RRClass, RRType
from stack.dns.cookies import Cookies
from stack.dns.edns import CLIENT_COOKIE, MAX_COOKIE, OPT_FIXED, Edns, Option, ede_option, keepalive_option
from stack.dns.errors import FormError, FormReason
from stack.dns.lookup import Outcome, Zones, look_up
from stack.dns.message import CD, QR, RA, RD, TC, Message, Question
from stack.dns.names import HEADER, MAX_LABEL, MAX_NAME, Name
from stack.dns.ratelimit import RateLimit
from stack.dns.rdata import HINFO
from stack.dns.rrset import RRset

MAX_TEMPLATES: Final = 8192
MAX_TEMPLATE: Final = UDP_SIZE  # octets; larger answers are built each time
MAX_RECENT: Final = 4096
ANY_TTL: Final = 3600
RECENT_US: Final = 1_000_000
MAX_TCP: Final = 0xFFFF
MAX_OPTS: Final = 64  # OPT records of clients that are known by sight: they differ in size and DO

_TRANSFERS: Final = frozenset((int(RRType.AXFR), int(RRType.IXFR)))
# RFC 6895 §3.1: 128 to 254 are not types of data; OPT is a record of the message itself
_NO_DATA_TYPES: Final = frozenset(range(128, 255)) | {0, int(RRType.OPT)}
_COOKIE_HEAD: Final = b"\0\x0a"
_IN: Final = b"\0\1"
_ONE_QUESTION: Final = b"\0\1\0\0\0\0\0\0"
_ONE_QUESTION_OPT: Final = b"\0\1\0\0\0\0\0\1"
_RESPONSE_OR_OPCODE: Final = 0xF8  # in the third octet
NO_OPT: Final = (b"", MIN_UDP_SIZE, False)

Source = tuple[str, int]
T = TypeVar("T")


@unique
class Dropped(IntEnum):
    """Why a client got no answer."""

    TOO_SHORT = 0  # not even a header
    RESPONSE = 1  # QR set: to answer would be the beginning of a loop
    RATE = 2  # too many answers for one network


class Template(NamedTuple):
    """A reply without id, question and OPT: flags and counts, and what comes after the question."""

    flags: int
    counts: bytes
    counts_edns: bytes
    tail: bytes
    rest: bool  # others know more


class Asked(NamedTuple):
    """What of a query its reply depends on, besides the question."""

    limit: int  # octets of the reply
    recursion: bool  # wanted, and allowed
    verdict: Verdict
    tcp: bool


class Pending(NamedTuple):
    """A query that others have to answer, and as far as the zones go: `name` and `rrtype` are to be resolved."""

    query: Message
    name: Name
    rrtype: int
    so_far: Outcome
    asked: Asked
    options: tuple[Option, ...]


class ServerStats:
    """Counters of a server."""

    __slots__ = ("dropped", "malformed", "queries", "rcodes", "recursive", "tcp", "truncated", "unusual")

    def __init__(self) -> None:
        self.queries = 0  # what came, answered or not
        self.tcp = 0  # of them over TCP
        self.unusual = 0  # of them parsed and built the long way
        self.recursive = 0  # of them answered by asking others
        self.truncated = 0  # replies with TC
        self.rcodes: Counter[int] = Counter()  # of the replies
        self.dropped: Counter[Dropped] = Counter()
        self.malformed: Counter[FormReason] = Counter()  # what FORMERR was said to


class Authority:
    """Answers from zones; see above.  `recursive`: the caller can resolve what comes back as Pending.

    `idle_us`: how long an idle TCP connection is kept, which clients that ask are told (RFC 7828).
    """

    __slots__ = (
        "_access",
        "_cookies",
        "_idle_us",
        "_opts",
        "_rate",
        "_recent",
        "_recursive",
        "_templates",
        "_zones",
        "stats",
    )

    def __init__(
        self,
        zones: Zones,
        access: Access,
        rng: Rng,
        now: int,
        *,
        recursive: bool = False,
        rate: int = 0,
        idle_us: int = 0,
    ) -> None:
        self._zones = zones
        self._access = access
        self._recursive = recursive
        self._cookies = Cookies(rng, now // 1_000_000)
        self._rate = RateLimit(rate)
        self._idle_us = idle_us
        self._templates: dict[bytes, Template] = {}
        self._recent: dict[bytes, tuple[int, Template]] = {}  # until when each is good
        self._opts: dict[bytes, tuple[bytes, int, bool]] = {b"": NO_OPT}  # ours, for theirs
        self.stats = ServerStats()

    @property
    def zones(self) -> Zones:
        """What is served; another set may take its place at any time."""
        return self._zones

    @zones.setter
    def zones(self, zones: Zones) -> None:
        self._zones = zones
        self._templates.clear()
        self._recent.clear()

    def respond(self, wire: bytes, source: Source, now: int, *, tcp: bool = False) -> bytes | Pending | None:
        """The reply to a message; None for none; Pending where others have to be asked."""
        stats = self.stats
        stats.queries += 1
        if tcp:
            stats.tcp += 1
        verdict = self._access.of(source[0])
        # the end of the question, unless an octet of its name is 0: then no template has its key
        end = wire.find(0, HEADER) + 5
        ending = wire[end:]
        key = wire[HEADER : end - 4].lower() + wire[end - 4 : end]
        template = self._templates.get(key) or self._make_template(key)
        recursion = self._recursive and verdict.may_recurse
        if recursion and (template is None or template.rest) and len(wire) > HEADER and wire[2] & 1:
            template = self._others_said(key, now)
        opt = self._opts.get(ending) or self._opt(ending, verdict, now)
        if (
            template is None
            or opt is None
            or wire[2] & _RESPONSE_OR_OPCODE
            or wire[4:HEADER] != (_ONE_QUESTION_OPT if ending else _ONE_QUESTION)
            or not verdict.may_ask
        ):
            return self._unusual(wire, now, verdict, tcp=tcp)
        flags, counts, counts_edns, tail, _ = template
        record, limit, good = opt
        if end + len(tail) + len(record) > (MAX_TCP if tcp else limit):
            return self._unusual(wire, now, verdict, tcp=tcp)
        if not (tcp or good or verdict.may_recurse or self._rate.allows(verdict.prefix, now)):
            return self._limited(wire, end, record)
        flags |= (wire[2] & 1) << 8 | wire[3] & CD
        if recursion:
            flags |= RA
        stats.rcodes[flags & 15] += 1
        return b"%b%b%b%b%b%b" % (
            wire[:2],
            flags.to_bytes(2, "big"),
            counts_edns if record else counts,
            wire[HEADER:end],
            tail,
            record,
        )

    def complete(
        self,
        pending: Pending,
        answer: list[RRset],
        now: int,
        *,
        rcode: int = Rcode.NOERROR,
        authority: list[RRset] | None = None,
        ede: tuple[int, str] | None = None,
    ) -> bytes:
        """The reply to a query that others have answered."""
        reply = self._begin(pending.query, rcode, pending.asked)
        reply.answer = [*pending.so_far.answer, *answer]
        reply.authority = authority or []
        if pending.so_far.answer:
            reply.aa = pending.so_far.aa
        records = reply.answer or reply.authority
        if ede is None and records and min(rrset.ttl for rrset in records):
            self._keep_for_a_while(pending, reply, now)
        return self._build(reply, pending.asked, self._explained(pending, ede))

    def fail(self, pending: Pending, ede: tuple[int, str] | None = None) -> bytes:
        """The reply to a query that others have not answered: SERVFAIL, and why (RFC 8914)."""
        reply = self._begin(pending.query, Rcode.SERVFAIL, pending.asked)
        return self._build(reply, pending.asked, self._explained(pending, ede))

    # -- the short way

    def _opt(self, record: bytes, verdict: Verdict, now: int) -> tuple[bytes, int, bool] | None:
        """Our OPT record for this one, how much the client takes over UDP, and whether its cookie is good.

        None if it is not of version 0, or has other options than one cookie, or something comes after it.
        """
        size = len(record)
        if size < OPT_FIXED or record[:3] != b"\0\0\x29" or record[5:7] != b"\0\0":
            return None
        if record[9] << 8 | record[10] != size - OPT_FIXED:
            return None
        limit = min(max(record[3] << 8 | record[4], MIN_UDP_SIZE), UDP_SIZE)
        # RFC 3225 §3: "The DO bit of the query MUST be copied in the response"
        head = b"\0\0\x29\x04\xd0\0\0" + bytes((record[7] & 0x80, 0))
        if size == OPT_FIXED:
            if len(self._opts) >= MAX_OPTS:
                self._opts.clear()
                self._opts[b""] = NO_OPT
            return self._opts.setdefault(record, (head + b"\0\0", limit, False))
        length = size - OPT_FIXED - 4
        if record[OPT_FIXED : OPT_FIXED + 2] != _COOKIE_HEAD or record[13] << 8 | record[14] != length:
            return None
        if length != CLIENT_COOKIE and not 2 * CLIENT_COOKIE <= length <= MAX_COOKIE:
            return None
        cookie, good = self._cookies.answer(record[15:], verdict.address, now // 1_000_000)
        option = _COOKIE_HEAD + len(cookie).to_bytes(2, "big") + cookie
        return head + len(option).to_bytes(2, "big") + option, limit, good

    def _make_template(self, key: bytes) -> Template | None:
        """The template for a question of class IN; None where there can be none, or no good one."""
        name = _checked(key[:-4])
        if name is None or key[-2:] != _IN:
            return None
        rrtype = key[-4] << 8 | key[-3]
        if rrtype in _NO_DATA_TYPES or rrtype == RRType.ANY or self._zones.closest(name, rrtype) is None:
            return None
        outcome = look_up(self._zones, name, rrtype)
        reply = Message(flags=QR, rcode=outcome.rcode, question=Question(name, rrtype))
        _fill(reply, outcome)
        template = _template(reply, rest=outcome.rest is not None)
        if template is not None:
            _put(self._templates, key, template, MAX_TEMPLATES)
        return template

    def _others_said(self, key: bytes, now: int) -> Template | None:
        """The template of a question that was completed within the last second."""
        found = self._recent.get(key)
        if found is None:
            return None
        until, template = found
        if now < until:
            return template
        del self._recent[key]
        return None

    def _keep_for_a_while(self, pending: Pending, reply: Message, now: int) -> None:
        question = pending.query.question
        assert question is not None
        if question.name.count(0) > 1:  # the short way does not find the end of such names
            return
        name = Name(question.name.lower())
        kept = Message(flags=reply.flags & ~(RD | CD), rcode=reply.rcode, question=Question(name, question.rrtype))
        kept.answer, kept.authority = reply.answer, reply.authority
        template = _template(kept, rest=False)
        if template is not None:
            key = name + question.rrtype.to_bytes(2, "big") + _IN
            _put(self._recent, key, (now + RECENT_US, template), MAX_RECENT)

    def _limited(self, wire: bytes, question_end: int, opt: bytes) -> bytes | None:
        """The client's network has had its share: nothing, or an empty answer that makes it come by TCP."""
        if not self._rate.slips():
            self.stats.dropped[Dropped.RATE] += 1
            return None
        self.stats.truncated += 1
        self.stats.rcodes[Rcode.NOERROR] += 1
        flags = QR | TC | (wire[2] & 1) << 8
        counts = b"\0\1\0\0\0\0\0" + wire[11:12]
        return wire[:2] + flags.to_bytes(2, "big") + counts + wire[HEADER:question_end] + opt

    # -- the long way

    def _unusual(self, wire: bytes, now: int, verdict: Verdict, *, tcp: bool) -> bytes | Pending | None:
        """The reply to any message."""
        stats = self.stats
        stats.unusual += 1
        if len(wire) < HEADER:
            stats.dropped[Dropped.TOO_SHORT] += 1
            return None
        if wire[2] & QR >> 8:
            stats.dropped[Dropped.RESPONSE] += 1
            return None
        try:
            query = Message.parse(wire)
        except FormError as error:
            stats.malformed[error.reason] += 1
            return self._form_error(wire, verdict, now, tcp=tcp)
        edns = query.edns
        options, good = self._options(edns, verdict, now, tcp=tcp)
        asked = Asked(
            limit=MAX_TCP if tcp else min(UDP_SIZE, max(MIN_UDP_SIZE, edns.udp_size if edns else 0)),
            recursion=self._recursive and verdict.may_recurse,
            verdict=verdict,
            tcp=tcp,
        )
        if not (tcp or good or verdict.may_recurse or self._rate.allows(verdict.prefix, now)):
            return self._limited_reply(query, asked)
        outcome = self._judge(query, asked)
        if isinstance(outcome, Outcome) and outcome.rest is not None and query.rd and asked.recursion:
            assert query.question is not None
            if query.question.rrtype != RRType.ANY:
                stats.recursive += 1
                return Pending(query, outcome.rest, query.question.rrtype, outcome, asked, options)
            # RFC 8482 §4.2: others are not asked for everything that they have
            outcome.answer.append(RRset.of(outcome.rest, ANY_TTL, [HINFO(b"RFC8482", b"")]))
            outcome.rcode, outcome.authority, outcome.additional = Rcode.NOERROR, [], []
        if isinstance(outcome, Outcome):
            reply = self._begin(query, outcome.rcode, asked)
            _fill(reply, outcome)
            if outcome.rcode == Rcode.REFUSED and edns is not None:
                # RFC 8914 §4.19, §4.21
                code = EdeCode.PROHIBITED if self._recursive and query.rd else EdeCode.NOT_AUTHORITATIVE
                options = (*options, ede_option(code))
        else:
            reply = self._begin(query, outcome, asked)
        return self._build(reply, asked, options)

    def _judge(self, query: Message, asked: Asked) -> Outcome | Rcode:
        """What the zones say, or the response code for what they are not asked about."""
        question = query.question
        if query.edns is not None and query.edns.version:
            return Rcode.BADVERS  # RFC 6891 §6.1.3
        if query.opcode != Opcode.QUERY:
            return Rcode.NOTIMP
        if question is None:
            # RFC 7873 §5.4: a query for a cookie alone has no question
            return Rcode.NOERROR if query.edns is not None and query.edns.cookie else Rcode.FORMERR
        if not asked.verdict.may_ask or question.rrclass != RRClass.IN or question.rrtype in _TRANSFERS:
            return Rcode.REFUSED
        if question.rrtype in {0, RRType.OPT}:
            return Rcode.FORMERR
        if question.rrtype in _NO_DATA_TYPES:
            return Rcode.NOTIMP
        return look_up(self._zones, question.name, question.rrtype, every=asked.tcp)

    def _options(self, edns: Edns | None, verdict: Verdict, now: int, *, tcp: bool) -> tuple[tuple[Option, ...], bool]:
        """Our options for those of a query, and whether it had a good cookie."""
        if edns is None:
            return (), False
        options: list[Option] = []
        good = False
        if edns.cookie is not None and len(verdict.address):
            cookie, good = self._cookies.answer(edns.cookie, verdict.address, now // 1_000_000)
            options.append((OptionCode.COOKIE, cookie))
        if tcp and self._idle_us and edns.option(OptionCode.TCP_KEEPALIVE) is not None:
            options.append(keepalive_option(self._idle_us))  # RFC 7828 §3.3.2
        return tuple(options), good

    def _begin(self, query: Message, rcode: int, asked: Asked) -> Message:
        """An empty reply."""
        reply = query.reply(rcode)
        if asked.recursion:
            reply.ra = True
        if query.edns is not None:
            reply.edns = Edns(UDP_SIZE, do=query.edns.do)
        return reply

    def _build(self, reply: Message, asked: Asked, options: tuple[Option, ...]) -> bytes:
        """Its octets, cut to what the client takes."""
        if reply.edns is not None:
            reply.edns.options = options
        wire = reply.build(asked.limit)
        stats = self.stats
        stats.rcodes[reply.rcode] += 1
        if wire[2] & TC >> 8:
            stats.truncated += 1
        return wire

    def _form_error(self, wire: bytes, verdict: Verdict, now: int, *, tcp: bool) -> bytes | None:
        """FORMERR to what cannot be read: just a header."""
        if not (tcp or verdict.may_recurse or self._rate.allows(verdict.prefix, now)):
            self.stats.dropped[Dropped.RATE] += 1
            return None
        self.stats.rcodes[Rcode.FORMERR] += 1
        flags = QR | (wire[2] & 0x79) << 8 | Rcode.FORMERR  # its opcode and RD
        return wire[:2] + flags.to_bytes(2, "big") + bytes(8)

    def _limited_reply(self, query: Message, asked: Asked) -> bytes | None:
        """The same as `_limited`, for any query."""
        if not self._rate.slips():
            self.stats.dropped[Dropped.RATE] += 1
            return None
        reply = self._begin(query, Rcode.NOERROR, asked)
        reply.tc = True
        return self._build(reply, asked, ())

    def _explained(self, pending: Pending, ede: tuple[int, str] | None) -> tuple[Option, ...]:
        return pending.options if ede is None else (*pending.options, ede_option(*ede))


def _fill(reply: Message, outcome: Outcome) -> None:
    reply.aa = outcome.aa
    reply.answer, reply.authority, reply.additional = outcome.answer, outcome.authority, outcome.additional


def _template(reply: Message, *, rest: bool) -> Template | None:
    """What can be kept of a reply without EDNS; None if it is too large for that."""
    wire = reply.build(MAX_TCP)
    if len(wire) > MAX_TEMPLATE:
        return None
    assert reply.question is not None
    counts = wire[4:HEADER]
    return Template(
        flags=wire[2] << 8 | wire[3],
        counts=counts,
        counts_edns=counts[:6] + (int.from_bytes(counts[6:], "big") + 1).to_bytes(2, "big"),
        tail=wire[HEADER + len(reply.question.name) + 4 :],
        rest=rest,
    )


def _put(table: dict[bytes, T], key: bytes, value: T, most: int) -> None:
    """In the place of the oldest one, when the table is full."""
    if len(table) >= most and key not in table:
        del table[next(iter(table))]
    table[key] = value


def _checked(octets: bytes) -> Name | None:
    """The name that these are, whose last octet is the only 0; None if they are not one."""
    at, last = 0, len(octets) - 1
    while 0 <= at < last and octets[at] <= MAX_LABEL:
        at += octets[at] + 1
    return Name(octets) if at == last < MAX_NAME else None
