"""The addresses that attached processes may have."""

import ipaddress

import pytest

from stack.daemon.attach.pool import AddressPool, parse_pool
from stack.errors import AddressInUse, AddressNotAvailable, ConfigError, NoBufferSpace

NETWORK = ipaddress.IPv4Network("198.18.0.0/24")
ENDS = frozenset({ipaddress.IPv4Address("198.18.0.1"), ipaddress.IPv4Address("198.18.0.2")})


def texts(addresses):
    return [str(addr) for addr in addresses]


def test_the_pool_is_of_the_upper_half_by_default():
    found = texts(parse_pool("", NETWORK, ENDS))
    assert (found[0], found[-1], len(found)) == ("198.18.0.128", "198.18.0.191", 64)
    assert texts(parse_pool("", ipaddress.IPv4Network("198.18.0.0/29"), ENDS)) == [
        f"198.18.0.{last}" for last in (4, 5, 6)
    ]
    assert parse_pool("", ipaddress.IPv4Network("198.18.0.0/30"), ENDS) == []


def test_what_is_taken_is_left_out_of_a_pool():
    assert texts(parse_pool("198.18.0.0-198.18.0.4", NETWORK, ENDS)) == ["198.18.0.3", "198.18.0.4"]
    assert texts(parse_pool("198.18.0.254/31", NETWORK, ENDS)) == ["198.18.0.254"]
    assert texts(parse_pool("198.18.0.9", NETWORK, ENDS)) == ["198.18.0.9"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("198.18.1.0/26", "not within"),
        ("198.18.0.9-198.18.0.8", "ends before it begins"),
        ("198.18.0.2", "no address that a process could have"),
        ("198.18.0.0/31", "no address that a process could have: name others"),
        ("198.18.0.9-198.18.1.8", "not within"),
        ("some", "use addresses like"),
        ("198.18.0.1/24", "use addresses like"),
        ("10.0.0.0-10.0.0.9-10", "use addresses like"),
    ],
)
def test_pools_that_cannot_be(text, why):
    with pytest.raises(ConfigError, match=why):
        parse_pool(text, NETWORK, ENDS)
    with pytest.raises(ConfigError, match="more than"):
        parse_pool("10.0.0.0-10.0.255.0", ipaddress.IPv4Network("10.0.0.0/8"), ENDS)


def test_the_address_that_was_free_longest_is_given():
    pool = AddressPool(parse_pool("198.18.0.9-198.18.0.11", NETWORK, ENDS))
    first, second = pool.take(), pool.take()
    assert texts([first, second]) == ["198.18.0.9", "198.18.0.10"]
    pool.give_back(first)
    pool.give_back(first)
    assert pool.free == 2
    assert str(pool.take()) == "198.18.0.11"
    assert pool.take("198.18.0.9") == first
    with pytest.raises(AddressInUse):
        pool.take("198.18.0.9")
    with pytest.raises(AddressNotAvailable):
        pool.take("198.18.0.8")
    with pytest.raises(NoBufferSpace):
        pool.take()


def test_a_network_may_have_no_address_for_processes():
    pool = AddressPool(parse_pool("", ipaddress.IPv4Network("198.18.0.0/30"), ENDS))
    with pytest.raises(NoBufferSpace, match="the daemon has no addresses for attached processes: give it a larger"):
        pool.take()
    with pytest.raises(AddressNotAvailable, match="not among the 0 addresses"):
        pool.take("198.18.0.9")
