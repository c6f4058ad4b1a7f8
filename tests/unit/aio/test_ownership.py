"""Ownership: who speaks to which address."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stack.aio.ownership import Ownership
from stack.errors import AddressInUse
from stack.wire.addr import parse_addr, parse_cidr


class FakeHost:
    def __init__(self, *addresses):
        self.own = [parse_cidr(text) for text in addresses]

    def addresses(self):
        return self.own


def made(**hosts):
    """(ownership, one FakeHost after the other)."""
    ownership = Ownership()
    made_of = [FakeHost(*addresses) for addresses in hosts.values()]
    for host in made_of:
        ownership.add(host)
    return ownership, *made_of


def who(ownership, text, active=None):
    return ownership.source_for(parse_addr(text), active)


def test_own_addresses_and_their_subnets_are_a_hosts_all_else_is_the_kernels():
    ownership, a = made(a=["10.0.0.1/24"])
    assert who(ownership, "10.0.0.9") is a
    assert who(ownership, "10.0.1.9") is None
    assert ownership.owner(parse_addr("10.0.0.1")) is a
    assert ownership.owner(parse_addr("10.0.0.9")) is None


def test_a_host_reaches_itself_when_nobody_else_can():
    ownership, a = made(a=["10.0.0.1/32"])
    assert who(ownership, "10.0.0.1") is a


def test_another_hosts_address_is_reached_over_the_link():
    ownership, a, b = made(a=["10.0.0.1/24"], b=["10.0.0.2/24"])
    assert who(ownership, "10.0.0.2") is a
    assert who(ownership, "10.0.0.1") is b
    assert who(ownership, "10.0.0.3") is a  # of two, the one that was added first


def test_the_longest_prefix_decides_then_the_order():
    ownership = Ownership()
    wide, narrow = FakeHost("192.0.2.1/32"), FakeHost("192.0.2.2/32")
    ownership.add(wide, [parse_cidr("10.0.0.0/8")])
    ownership.add(narrow, [parse_cidr("10.1.0.0/16"), parse_cidr("10.1.0.0/16")])
    assert who(ownership, "10.1.2.3") is narrow
    assert who(ownership, "10.2.2.3") is wide
    assert ownership.hosts == (wide, narrow)


def test_given_prefixes_replace_the_subnets_but_not_the_addresses():
    ownership = Ownership()
    host = FakeHost("10.0.0.1/24")
    ownership.add(host, [parse_cidr("172.16.0.0/12")])
    assert who(ownership, "10.0.0.2") is None
    assert who(ownership, "10.0.0.1") is host
    assert who(ownership, "172.17.1.1") is host


def test_everything_else_only_when_asked_for():
    ownership = Ownership()
    host, other = FakeHost("10.0.0.1/24"), FakeHost("10.0.1.1/24")
    ownership.add(other)
    ownership.add(host, everything=True)
    assert who(ownership, "93.184.216.34") is host
    assert who(ownership, "10.0.1.7") is other
    ownership.add(host)  # again, as it is now meant
    assert who(ownership, "93.184.216.34") is None


@pytest.mark.parametrize("address", ["127.0.0.1", "127.255.0.1", "0.0.0.0"])
def test_this_machine_is_always_the_kernels(address):
    ownership = Ownership()
    host = FakeHost("10.0.0.1/24")
    ownership.add(host, [(0, 0)], everything=True)
    assert who(ownership, address) is None
    assert who(ownership, address, host) is None


def test_the_active_host_speaks_to_all():
    ownership, a, b = made(a=["10.0.0.1/24"], b=["10.0.1.1/24"])
    assert who(ownership, "10.0.0.9", b) is b
    assert who(ownership, "8.8.8.8", a) is a


def test_an_address_belongs_to_one_host():
    ownership, _, b = made(a=["10.0.0.1/24"], b=["10.0.0.2/24"])
    twin = FakeHost("10.0.0.1/24")
    with pytest.raises(AddressInUse, match=r"10\.0\.0\.1"):
        ownership.add(twin)
    assert twin not in ownership
    b.own = [parse_cidr("10.0.0.1/24")]
    with pytest.raises(AddressInUse):
        ownership.refresh(b)
    assert ownership.owner(parse_addr("10.0.0.2")) is b  # nothing has changed


def test_refresh_and_remove():
    ownership, a, b = made(a=["10.0.0.1/24"], b=[])
    b.own = [parse_cidr("10.0.0.2/24")]
    assert ownership.owner(parse_addr("10.0.0.2")) is None
    ownership.refresh(b)
    assert ownership.owner(parse_addr("10.0.0.2")) is b
    ownership.remove(a)
    ownership.remove(a)
    ownership.refresh(a)
    assert a not in ownership
    assert who(ownership, "10.0.0.2") is b
    assert ownership.owner(parse_addr("10.0.0.1")) is None


cidrs = st.tuples(st.integers(0x01000000, 0x7EFFFFFF), st.integers(0, 32))


@given(st.lists(st.lists(cidrs, max_size=4), max_size=4), st.integers(0x01000000, 0x7EFFFFFF), st.data())
def test_as_a_plain_search_says(prefixes, probe, data):
    """The tables against the definition."""
    if prefixes and any(prefixes):
        flat = [addr for some in prefixes for addr, _ in some]
        probe = data.draw(st.sampled_from([probe, *flat]))
    ownership = Ownership()
    hosts = []
    for some in prefixes:
        hosts.append(FakeHost())
        ownership.add(hosts[-1], some)
    best, winner = -1, None
    for host, some in zip(hosts, prefixes, strict=True):
        for addr, length in some:
            if (addr ^ probe) >> (32 - length) == 0 and length > best:
                best, winner = length, host
    assert ownership.source_for(probe) is winner
