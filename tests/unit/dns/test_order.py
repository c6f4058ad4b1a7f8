"""The order of addresses (RFC 6724) and of services (RFC 2782)."""

import random
from collections import Counter
from typing import NamedTuple

import pytest

from stack.dns.order import by_reachability, by_weight
from tests.support.rfc import rfc


def ordered(sources, *destinations):
    """`sources`: what each destination would be spoken to from; those not named cannot be reached."""
    return by_reachability(destinations, sources.get)


# RFC 6724 §10.2: the examples with the default policy table, as far as they are about the rules that are ours
EXAMPLES = [
    (
        {"2001:db8:1::1": "2001:db8:1::2", "198.51.100.121": "169.254.13.78"},
        ["2001:db8:1::1", "198.51.100.121"],  # rule 2: matching scope
    ),
    (
        {"2001:db8:1::1": "fe80::1", "198.51.100.121": "198.51.100.117"},
        ["198.51.100.121", "2001:db8:1::1"],  # rule 2
    ),
    (
        {"2001:db8:1::1": "2001:db8:1::2", "10.1.2.3": "10.1.2.4"},
        ["2001:db8:1::1", "10.1.2.3"],  # rule 6: higher precedence
    ),
    (
        {"2001:db8:1::1": "2001:db8:1::2", "fe80::1": "fe80::2"},
        ["fe80::1", "2001:db8:1::1"],  # rule 8: smaller scope
    ),
    (
        {"2002:c633:6401::1": "2002:c633:6401::2", "2001:db8:1::1": "2002:c633:6401::2"},
        ["2002:c633:6401::1", "2001:db8:1::1"],  # rule 5: matching label
    ),
    (
        {"2002:c633:6401::1": "2002:c633:6401::2", "2001:db8:1::1": "2001:db8:1::2"},
        ["2001:db8:1::1", "2002:c633:6401::1"],  # rule 6
    ),
    (
        {"2001:db8:3ffe::1": "2001:db8:3f44::2", "2001:db8:1::1": "2001:db8:1::2"},
        ["2001:db8:1::1", "2001:db8:3ffe::1"],  # rule 9: longest matching prefix
    ),
]


@rfc("6724", "6", "D-ORDER-RULES")
@pytest.mark.parametrize(("sources", "expected"), EXAMPLES)
def test_the_rules_of_rfc_6724(sources, expected):
    assert ordered(sources, *expected) == expected
    assert ordered(sources, *reversed(expected)) == expected


@rfc("6724", "6", "D-ORDER-UNUSABLE")
def test_what_cannot_be_reached_comes_last():
    assert ordered({"10.0.0.1": "10.0.0.9"}, "2001:db8::1", "10.0.0.1") == ["10.0.0.1", "2001:db8::1"]
    assert ordered({"2001:db8::1": "2001:db8::2"}, "10.0.0.1", "2001:db8::1") == ["2001:db8::1", "10.0.0.1"]
    assert ordered({}, "10.0.0.1", "2001:db8::1") == ["2001:db8::1", "10.0.0.1"]


def test_addresses_that_are_equally_good_keep_their_turns():
    """Servers give the addresses of a name in turns; the common prefix of IPv4 addresses does not undo that."""
    near, far = "192.0.2.1", "198.51.100.1"
    sources = {near: "192.0.2.9", far: "192.0.2.9"}
    assert ordered(sources, far, near) == [far, near]
    assert ordered(sources, near, far) == [near, far]


def test_a_scope_is_no_hindrance():
    assert ordered({"fe80::1%eth0": "fe80::2%eth0", "2001:db8::1": "2001:db8::2"}, "2001:db8::1", "fe80::1%eth0") == [
        "fe80::1%eth0",
        "2001:db8::1",
    ]


class Srv(NamedTuple):
    priority: int
    weight: int
    name: str


def chi_square(counts, shares, draws):
    return sum((counts[name] - draws * share) ** 2 / (draws * share) for name, share in shares.items())


@rfc("2782", "Priority", "D-SRV-PRIORITY")
def test_the_lowest_priority_comes_first_whatever_its_weight():
    records = [Srv(20, 60_000, "c"), Srv(10, 0, "a"), Srv(15, 1, "b")]
    rng = random.Random(1)
    assert all([record.name for record in by_weight(records, rng)] == ["a", "b", "c"] for _ in range(50))


@rfc("2782", "Weight", "D-SRV-WEIGHT")
def test_the_first_is_drawn_by_weight():
    records = [Srv(0, 10, "a"), Srv(0, 30, "b"), Srv(0, 60, "c")]
    rng, draws = random.Random(2), 2000
    counts = Counter(by_weight(records, rng)[0].name for _ in range(draws))
    # an algorithm of running sums from 0 gives the first record one more chance in 101
    shares = {"a": 10.33 / 101, "b": 30.33 / 101, "c": 60.33 / 101}
    assert chi_square(counts, shares, draws) < 13.8  # 2 degrees of freedom, p = 0.001


def test_equal_weights_and_none_share_the_work():
    rng, draws = random.Random(3), 2000
    for weight in (0, 7):
        records = [Srv(0, weight, name) for name in "abcd"]
        counts = Counter(by_weight(records, rng)[0].name for _ in range(draws))
        assert chi_square(counts, dict.fromkeys("abcd", 0.25), draws) < 16.3  # 3 degrees of freedom


def test_weight_0_beside_others_has_a_very_small_chance():
    records = [Srv(0, 0, "small"), Srv(0, 99, "large")]
    rng, draws = random.Random(4), 5000
    counts = Counter(by_weight(records, rng)[0].name for _ in range(draws))
    assert 10 < counts["small"] < 100


def test_everything_comes_once():
    records = [Srv(i % 3, i % 5, str(i)) for i in range(60)]
    assert sorted(by_weight(records, random.Random(5))) == sorted(records)
    assert by_weight([], random.Random(5)) == []
