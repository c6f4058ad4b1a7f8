"""Hypothesis strategies of the DNS: names, data of every type, messages."""

import functools
import operator
from typing import Any

from hypothesis import strategies as st

from stack.dns import rdata
from stack.dns.edns import Edns, cookie_option, ede_option, keepalive_option, padding_option
from stack.dns.message import Message, Question, RRset
from stack.dns.names import MAX_NAME, ROOT, Name
from stack.dns.rdata import kinds, svcb
from stack.dns.rdata.base import Rdata
from stack.dns.rdata.text import format_ipv4, format_ipv6

POOL = ("example.test", "www.example.test", "a.b.www.example.test", "ns1.gtld-servers.test", "x")

plain_labels = st.text("abcxyz0123456789-_*", min_size=1, max_size=12).map(str.encode)
labels = plain_labels | st.binary(min_size=1, max_size=63)


def _fits(parts: list[bytes]) -> bool:
    return sum(map(len, parts)) + len(parts) < MAX_NAME


odd_names = st.lists(labels, max_size=8).filter(_fits).map(Name.of)
long_names = st.lists(st.binary(min_size=40, max_size=63), min_size=3, max_size=5).filter(_fits).map(Name.of)
names = st.sampled_from([Name.parse(text) for text in POOL]) | odd_names | long_names | st.just(ROOT)

ipv4 = st.binary(min_size=4, max_size=4).map(format_ipv4)
ipv6 = (
    st.binary(min_size=16, max_size=16)
    | st.lists(st.sampled_from([b"\0\0", b"\0\1", b"\xab\xcd"]), min_size=8, max_size=8).map(b"".join)
).map(format_ipv6)
strings = st.binary(max_size=255)


def _packed(addresses: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(addresses, min_size=1, max_size=4).map(b"".join)


_protocols = st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=4).map(
    lambda parts: b"".join(bytes((len(part),)) + part for part in parts)
)
_values: dict[int, st.SearchStrategy[bytes]] = {
    svcb.ALPN: _protocols,
    svcb.PORT: st.binary(min_size=2, max_size=2),
    svcb.IPV4HINT: _packed(st.binary(min_size=4, max_size=4)),
    svcb.IPV6HINT: _packed(st.binary(min_size=16, max_size=16)),
}


@st.composite
def svc_params(draw: st.DrawFn) -> svcb.Params:
    numbers = st.sampled_from([*_values, svcb.NO_DEFAULT_ALPN, 7, 9, 100, 65000])
    keys: set[int] = draw(st.sets(numbers, max_size=6))
    if svcb.NO_DEFAULT_ALPN in keys:
        keys.add(svcb.ALPN)
    found = {key: draw(_values.get(key, st.binary(max_size=20))) for key in keys}
    if svcb.NO_DEFAULT_ALPN in keys:
        found[svcb.NO_DEFAULT_ALPN] = b""
    some: bool = draw(st.booleans())
    if keys and some:
        wanted = draw(st.sets(st.sampled_from(sorted(keys)), min_size=1))
        found[svcb.MANDATORY] = b"".join(key.to_bytes(2, "big") for key in sorted(wanted))
    return tuple(sorted(found.items()))


def of_kind(kind: kinds.Kind[Any]) -> st.SearchStrategy[Any]:
    """Values of a field."""
    if isinstance(kind, kinds.Int):
        return st.integers(0, kind.limit)
    by_class: dict[type, st.SearchStrategy[Any]] = {
        kinds.DomainName: names,
        kinds.Address: ipv4,
        kinds.Address6: ipv6,
        kinds.Tag: st.text("abcXYZ019", min_size=1, max_size=15).map(str.encode),
        kinds.String: strings,
        kinds.SizedHex: strings,
        kinds.SizedBase32: st.binary(min_size=1, max_size=255),
        kinds.Strings: st.lists(strings, min_size=1, max_size=5).map(tuple),
        kinds.Quoted: st.binary(min_size=1, max_size=600),
        kinds.Hex: st.binary(min_size=1, max_size=100),
        kinds.Base64: st.binary(min_size=1, max_size=300),
        kinds.TypeBitmap: st.sets(st.integers(1, 300) | st.integers(1, 65535), max_size=30).map(sorted).map(tuple),
        svcb.SvcParams: svc_params(),
    }
    return by_class[type(kind)]


def _sized(lengths: dict[int, int], *, head: int) -> st.SearchStrategy[tuple[int, bytes]]:
    """A kind of hash and one of its length; dnspython checks that."""
    known = [st.tuples(st.just(kind), st.binary(min_size=size, max_size=size)) for kind, size in lengths.items()]
    return st.one_of(*known, st.tuples(st.integers(head, 255), st.binary(min_size=12, max_size=80)))


_DIGESTS = _sized({1: 20, 2: 32, 4: 48}, head=10)
_MATCHES = _sized({1: 32, 2: 64}, head=10)
_ZONE_HASHES = _sized({1: 48, 2: 64}, head=10)
_LAST_TWO: dict[type[Rdata], st.SearchStrategy[tuple[int, bytes]]] = {
    rdata.DS: _DIGESTS,
    rdata.CDS: _DIGESTS,
    rdata.TLSA: _MATCHES,
    rdata.SMIMEA: _MATCHES,
    rdata.ZONEMD: _ZONE_HASHES,
    rdata.SSHFP: _sized({1: 20, 2: 32}, head=10),
}


def rdatas(cls: type[Rdata]) -> st.SearchStrategy[Rdata]:
    """Data of a type, as dnspython takes them too."""
    if cls in _LAST_TWO:
        heads = [st.integers(1, kind.limit) for kind in cls.layout[:-2] if isinstance(kind, kinds.Int)]
        return st.tuples(*heads, _LAST_TWO[cls]).map(lambda values: cls(*values[:-1], *values[-1]))
    if cls in {rdata.SVCB, rdata.HTTPS}:
        return st.builds(cls, st.just(0), names) | st.builds(cls, st.integers(1, 65535), names, svc_params())
    return st.tuples(*map(of_kind, cls.layout)).map(lambda values: cls(*values))


unknowns = st.builds(rdata.Unknown, st.integers(65280, 65534), st.binary(max_size=300))
ONE_ONLY = (rdata.SOA, rdata.CNAME, rdata.DNAME, rdata.NSEC)  # dnspython keeps one of these in a set, the last
ttls = st.integers(0, 0x7FFF_FFFF)


@functools.cache
def any_rdata() -> st.SearchStrategy[Rdata]:
    return functools.reduce(operator.or_, map(rdatas, rdata.CLASSES.values()))


@st.composite
def rrsets(draw: st.DrawFn) -> RRset:
    if draw(st.integers(0, 9)) == 0:
        return RRset.of(draw(names), draw(ttls), [draw(unknowns)])
    # the usual types more often than the rest
    cls = draw(st.sampled_from([rdata.A, rdata.AAAA, rdata.NS, rdata.MX, rdata.SOA, *rdata.CLASSES.values()]))
    one = cls in ONE_ONLY or cls is rdata.RRSIG
    return RRset.of(draw(names), draw(ttls), draw(st.lists(rdatas(cls), min_size=1, max_size=1 if one else 5)))


def _distinct(found: list[RRset]) -> list[RRset]:
    return list({(*rrset.key, rrset.type_covered): rrset for rrset in found}.values())


sections = st.lists(rrsets(), max_size=6).map(_distinct)
options = st.one_of(
    st.builds(cookie_option, st.binary(min_size=8, max_size=8), st.binary(min_size=8, max_size=32) | st.just(b"")),
    st.builds(ede_option, st.integers(0, 65535), st.text(st.characters(codec="utf-8", exclude_characters="\0"))),
    st.builds(keepalive_option, st.none() | st.integers(0, 65535).map(lambda units: units * 100_000)),
    st.builds(padding_option, st.integers(0, 100)),
    st.tuples(st.integers(65001, 65534), st.binary(max_size=50)),
)
edns = st.builds(Edns, st.integers(512, 65535), do=st.booleans(), options=st.lists(options, max_size=4))
questions = st.builds(Question, names, st.integers(1, 65535), st.sampled_from([1, 3, 4, 255]))


@st.composite
def messages(draw: st.DrawFn) -> Message:
    extension = draw(st.none() | edns)
    made = Message(
        draw(st.integers(0, 65535)),
        flags=draw(st.integers(0, 65535)) & 0x87B0,
        opcode=draw(st.sampled_from([0, 2, 4])),
        rcode=draw(st.integers(0, 4095 if extension else 15)),
        question=draw(st.none() | questions),
        edns=extension,
    )
    made.answer, made.authority, made.additional = draw(sections), draw(sections), draw(sections)
    return made
