"""Messages against dnspython: what one builds, the other parses to the same."""

import dns.flags
import dns.message
import dns.name
import dns.rdatatype
from hypothesis import HealthCheck, given, settings

from stack.dns.message import Message, RRset
from tests.support import dns_strategies as values

SLOW = settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def of_ours(section: list[RRset]):
    """(name, type, what is covered, class, TTL, data) of each set, for comparison."""
    return sorted(
        (rrset.name.key, rrset.rrtype, rrset.type_covered, rrset.rrclass, rrset.ttl, sorted(map(bytes, rrset.raws)))
        for rrset in section
    )


def of_theirs(section):
    return sorted(
        (
            rrset.name.to_wire().lower(),
            int(rrset.rdtype),
            int(rrset.covers) if rrset.rdtype == dns.rdatatype.RRSIG else 0,
            int(rrset.rdclass),
            rrset.ttl,
            sorted(rdata.to_wire() for rdata in rrset),
        )
        for rrset in section
    )


def theirs_of(wire):
    return dns.message.from_wire(wire, ignore_trailing=False)


def assert_same(ours: Message, theirs) -> None:
    assert ours.id == theirs.id
    assert ours.flags == int(theirs.flags) & 0x87B0
    assert ours.opcode == int(theirs.opcode())
    assert ours.rcode == int(theirs.rcode())
    assert (ours.question is None) == (not theirs.question)
    if ours.question is not None:
        (asked,) = theirs.question
        assert (ours.question.name, ours.question.rrtype, ours.question.rrclass) == (
            asked.name.to_wire(),
            int(asked.rdtype),
            int(asked.rdclass),
        )
    for mine, other in zip(ours.sections, (theirs.answer, theirs.authority, theirs.additional), strict=True):
        assert of_ours(mine) == of_theirs(other)
    assert (ours.edns is None) == (theirs.edns < 0)
    if ours.edns is not None:
        assert ours.edns.udp_size == theirs.payload
        assert ours.edns.do == bool(theirs.ednsflags & dns.flags.DO)
        assert ours.edns.options == tuple((int(option.otype), option.to_wire()) for option in theirs.options)


@given(values.messages())
@SLOW
def test_what_one_builds_the_other_parses(message):
    wire = message.build(65535)
    parsed = Message.parse(wire)
    theirs = theirs_of(wire)
    assert_same(parsed, theirs)
    for mine, given_ in zip(parsed.sections, message.sections, strict=True):
        assert of_ours(mine) == of_ours(given_)
    assert parsed.edns == message.edns
    assert parsed.build(65535) == wire

    by_theirs = theirs.to_wire(max_size=65535)
    assert_same(Message.parse(by_theirs), theirs)
    assert len(wire) <= len(by_theirs) * 1.2  # ours compresses as well, but for names in another case


@given(values.rrsets())
@settings(max_examples=100, deadline=None)
def test_texts_of_sets_mean_the_same(rrset):
    lines = str(rrset).splitlines()
    assert len(lines) == len(rrset)
    name, _ = dns.name.from_wire(bytes(rrset.name), 0)
    data = [line.split("\t", 4)[4] for line in lines]
    parsed = dns.rrset.from_text_list(name, rrset.ttl, "IN", dns.rdatatype.to_text(rrset.rrtype), data)
    assert sorted(rdata.to_wire() for rdata in parsed) == sorted(map(bytes, rrset.raws))
