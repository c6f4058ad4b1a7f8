"""Messages against dnspython: what one builds, the other parses to the same."""

import dns.flags
import dns.message
import dns.name
import dns.rdatatype
from hypothesis import HealthCheck, given, settings

from stack.dns.message import Message, RRset
from tests.support import dns_strategies as values

SLOW = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
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
def test_what_ours_builds(message):
    wire = message.build(65535)
    parsed = Message.parse(wire)
    assert_same(parsed, theirs_of(wire))
    for mine, given_ in zip(parsed.sections, message.sections, strict=True):
        assert of_ours(mine) == of_ours(given_)
    assert parsed.edns == message.edns
    assert parsed.build(65535) == wire


@given(values.messages())
@SLOW
def test_what_theirs_builds(message):
    theirs = theirs_of(message.build(65535))
    wire = theirs.to_wire(max_size=65535)
    assert_same(Message.parse(wire), theirs_of(wire))
    assert len(message.build(65535)) <= len(wire) * 1.2  # ours compresses as well, but for names in another case


@given(values.messages())
@SLOW
def test_texts_of_sets_mean_the_same(message):
    for rrset in (found for section in message.sections for found in section):
        lines = str(rrset).splitlines()
        assert len(lines) == len(rrset)
        parsed = dns.rrset.from_text_list(
            dns.name.from_wire(bytes(rrset.name), 0)[0], rrset.ttl, "IN", dns.rdatatype.to_text(rrset.rrtype),
            [line.split("\t", 4)[4] for line in lines],
        )  # fmt: skip
        assert sorted(rdata.to_wire() for rdata in parsed) == sorted(map(bytes, rrset.raws))
