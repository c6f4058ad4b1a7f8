"""Data of records against dnspython: the same octets, and texts that mean the same, in both directions."""

import dns.exception
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stack.dns import rdata
from stack.dns.constants import RRType
from stack.dns.errors import FormError
from tests.support import dns_strategies as values

IN = dns.rdataclass.IN
# dnspython also wants hashes as long as their number says, ECH to be right inside, aliases without parameters
MORE_IS_REFUSED = {rdata.DS, rdata.CDS, rdata.TLSA, rdata.SMIMEA, rdata.ZONEMD, rdata.SSHFP, rdata.SVCB, rdata.HTTPS}
TYPES = sorted(rdata.CLASSES.values(), key=lambda cls: cls.rrtype)


@pytest.mark.parametrize("cls", TYPES, ids=lambda cls: cls.__name__)
@given(st.data())
@settings(max_examples=60, deadline=None)
def test_wire_and_text_both_ways(cls, data):
    ours = data.draw(values.rdatas(cls))
    wire = ours.to_wire()
    assert cls.from_wire(wire) == ours
    text = str(ours)
    assert rdata.parse(cls.rrtype, text) == ours

    theirs = dns.rdata.from_wire(IN, int(cls.rrtype), wire, 0, len(wire))
    assert not isinstance(theirs, dns.rdata.GenericRdata)
    assert theirs.to_wire() == wire
    assert dns.rdata.from_text(IN, int(cls.rrtype), text).to_wire() == wire
    assert rdata.parse(cls.rrtype, theirs.to_text()) == ours


@given(values.unknowns)
@settings(deadline=None)
def test_unknown_types(ours):
    theirs = dns.rdata.from_text(IN, ours.rrtype, str(ours))
    assert theirs.to_wire() == ours.to_wire() == ours.data
    assert rdata.parse(ours.rrtype, theirs.to_text()) == ours


@pytest.mark.parametrize("cls", TYPES, ids=lambda cls: cls.__name__)
@given(st.data())
@settings(max_examples=20, deadline=None)
def test_known_types_in_the_form_of_unknown_ones(cls, data):
    ours = data.draw(values.rdatas(cls))
    assert rdata.parse(cls.rrtype, str(rdata.Unknown(int(cls.rrtype), ours.to_wire()))) == ours


@pytest.mark.parametrize("cls", TYPES, ids=lambda cls: cls.__name__)
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_octets_are_understood_alike_or_refused(cls, data):
    """What comes of octets at random, or of right ones with some changed: the same, where neither refuses them."""
    raw = bytearray(data.draw(values.rdatas(cls)).to_wire())
    for _ in range(data.draw(st.integers(0, 3))):
        if raw:
            raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    raw = bytes(raw[: data.draw(st.integers(0, len(raw)))] if data.draw(st.booleans()) else raw)
    try:
        ours = cls.from_wire(raw)
    except FormError:
        return
    # a name may point back within the data
    assert ours.to_wire() == raw or cls.rrtype in {RRType.SOA, RRType.RP, RRType.NAPTR}
    assert rdata.parse(cls.rrtype, str(ours)) == ours
    try:
        theirs = dns.rdata.from_wire(IN, int(cls.rrtype), raw, 0, len(raw))
    except dns.exception.DNSException:
        assert cls in MORE_IS_REFUSED
    else:
        assert theirs.to_wire() == ours.to_wire()


@given(st.binary(max_size=300), st.sampled_from(TYPES))
@settings(deadline=None)
def test_noise_raises_nothing_else(raw, cls):
    try:
        ours = cls.from_wire(raw)
    except FormError:
        return
    assert rdata.parse(cls.rrtype, str(ours)) == ours
