"""Who of a pool gets the next call, and who does not."""

from collections import Counter
from random import Random

import pytest

from stack.errors import ConfigError
from stack.rpc.pooling.hedging import BUDGET, ENOUGH, Hedging
from stack.rpc.pooling.members import (
    EJECTION_US,
    FAILURES,
    HALF_LIFE_US,
    MAX_EJECTION_US,
    MAX_MEMBERS,
    Choice,
    Members,
    Place,
)
from stack.rpc.pooling.places import parse_place, parse_places

ABC = [Place(name, 1) for name in "abc"]
A, B, C = ABC


def made(choice=Choice.LEAST_LOADED, places=ABC, *, ready=True):
    members = Members(choice, Random(1))
    members.update(places)
    if ready:
        for member in members:
            members.on_up(member)
    return members


def by_place(members):
    return {member.place: member for member in members}


def fail(members, member, now, times=FAILURES):
    for _ in range(times):
        members.begin(member)
        members.on_failure(member, now)


def chosen(members, now, calls=30):
    return Counter(members.choose(now).place for _ in range(calls))


# -- choice


def test_nobody_is_chosen_who_cannot_be_reached():
    members = made(ready=False)
    assert members.choose(0) is None
    assert members.choose_for("key", 0) is None
    members.on_up(by_place(members)[B])
    assert members.choose(0).place == B
    members.on_down(by_place(members)[B], "it is gone")
    assert members.choose(0) is None


def test_those_that_were_tried_are_left_out():
    members = made()
    tried = []
    while (member := members.choose(0, tried)) is not None:
        tried.append(member)
    assert {member.place for member in tried} == set(ABC)


def test_the_fewest_calls_in_flight_by_weight():
    members = made(places=[Place("a", weight=1), Place("b", weight=3)])
    for _ in range(40):
        members.begin(members.choose(0))
    assert sorted(member.in_flight for member in members) == [10, 30]


def test_of_equal_ones_the_quickest_until_its_speed_is_forgotten():
    members = made()
    for place, took in ((A, 9000), (B, 1000), (C, 5000)):
        member = by_place(members)[place]
        members.begin(member)
        members.on_reply(member, took, 0)
    assert members.choose(0).place == B
    for second in range(60):
        now = second * HALF_LIFE_US // 10
        member = by_place(members)[B]
        members.begin(member)
        members.on_reply(member, 1000, now)
    assert members.choose(now).place != B  # the others may be quicker by now


def test_in_turn_by_weight_and_evenly():
    members = made(Choice.ROUND_ROBIN, [Place("a", weight=1), Place("b", weight=2), Place("c", weight=0)])
    order = [members.choose(0).place.address for _ in range(8)]
    assert Counter(order) == {"a": 2, "b": 4, "c": 2}
    assert not any(order[at : at + 3] == ["b"] * 3 for at in range(6))


def test_of_two_at_random_the_less_loaded():
    members = made(Choice.TWO_CHOICES)
    for _ in range(50):
        members.begin(by_place(members)[A])
    counts = chosen(members, 0, 300)
    assert A not in counts
    assert all(counts[place] > 50 for place in (B, C))


def test_the_lowest_priority_that_is_fit():
    members = made(places=[Place("a", priority=1), Place("b", priority=2)])
    assert {place.address for place in chosen(members, 0)} == {"a"}
    fail(members, members.choose(0), 0)
    assert {place.address for place in chosen(members, 0)} == {"b"}
    assert {place.address for place in chosen(members, EJECTION_US)} == {"a"}


def test_a_key_has_its_member_and_loses_it_only_with_that():
    members = made(places=[Place(f"s{number}") for number in range(10)])
    keys = [f"user {number}" for number in range(500)]
    before = {key: members.choose_for(key, 0).place for key in keys}
    assert min(Counter(before.values()).values()) > 20
    gone = Place("s3")
    members.update([Place(f"s{number}") for number in range(10) if number != 3])
    after = {key: members.choose_for(key, 0).place for key in keys}
    assert all(after[key] == before[key] for key in keys if before[key] != gone)
    assert gone not in after.values()


# -- ejection


def test_failures_in_a_row_eject_for_longer_each_time():
    members = made()
    member = by_place(members)[A]
    now, expected = 0, EJECTION_US
    for _ in range(10):
        fail(members, member, now, FAILURES if not now else 1)
        assert A not in chosen(members, now + expected - 1)
        assert member.state(now + expected - 1) == "ejected"
        assert member.state(now + expected) == "ready"
        now += expected
        expected = min(2 * expected, MAX_EJECTION_US)
    assert members.ejections == 10


def test_a_reply_between_them_forgives():
    members = made()
    member = by_place(members)[A]
    for _ in range(10):
        fail(members, member, 0, FAILURES - 1)
        members.begin(member)
        members.on_reply(member, 1000, 0)
    assert members.ejections == 0
    assert member.state(0) == "ready"
    assert member.failed == 10 * (FAILURES - 1)


def test_failures_of_calls_made_before_the_ejection_do_not_prolong_it():
    members = made()
    member = by_place(members)[A]
    fail(members, member, 0, 50)
    assert members.ejections == 1
    assert member.state(EJECTION_US) == "ready"


def test_when_all_are_ejected_all_are_called():
    members = made()
    for member in members:
        fail(members, member, 0)
    assert len(chosen(members, 1)) == 3


def test_one_that_was_beaten_counts_as_failed_and_as_slow():
    members = made()
    for member in members:
        members.begin(member)
        members.on_reply(member, 1000, 0)
    slow = by_place(members)[A]
    members.begin(slow)
    members.on_cancelled(slow)
    members.on_beaten(slow, 50_000, 0)
    assert slow.in_flight == 0
    assert slow.srtt_us == 50_000
    assert A not in chosen(members, 0)


# -- who is there


def test_members_that_stay_keep_what_is_known_of_them():
    members = made()
    fail(members, by_place(members)[B], 0)
    come, gone = members.update([B, Place("d", 1)])
    assert [member.place.address for member in come] == ["d"]
    assert {member.place for member in gone} == {A, C}
    assert not any(member.is_ready for member in gone)
    assert by_place(members)[B].state(0) == "ejected"


def test_the_table_is_bounded():
    with pytest.raises(ConfigError, match=str(MAX_MEMBERS)):
        made(places=[Place(str(number)) for number in range(MAX_MEMBERS + 1)])


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a", Place("a")),
        ("a:1", Place("a", 1)),
        ("10.0.0.1:65535", Place("10.0.0.1", 65535)),
        ("[::1]:80", Place("::1", 80)),
        ("[::1]", Place("::1")),
        ("fe80::1", Place("fe80::1")),
        (("a", 7), Place("a", 7)),
        (Place("x", 2, 3, 4), Place("x", 2, 3, 4)),
    ],
)
def test_places(text, place):
    assert parse_place(text) == place
    if not isinstance(text, Place):
        assert parse_place(str(place)) == place


@pytest.mark.parametrize("text", ["", ":1", "a:0", "a:65536", "a:x", "a:", "[::1", "[]:1", "[::1]x", ("a", None)])
def test_what_is_no_place(text):
    with pytest.raises(ConfigError, match="member"):
        parse_place(text)


@pytest.mark.parametrize(("given", "words"), [("a:1", "list"), ([], "without members"), (["a:1", ("a", 1)], "twice")])
def test_what_are_no_places(given, words):
    with pytest.raises(ConfigError, match=words):
        parse_places(given)


# -- second calls


def test_the_delay_is_a_quantile_of_the_last_replies():
    hedging = Hedging(0.95)
    for _ in range(ENOUGH - 1):
        hedging.on_reply(10_000)
    assert hedging.delay_us is None
    for number in range(1000):
        hedging.on_reply(10_000 + number % 100 * 100)
    assert hedging.delay_us == pytest.approx(19_500, rel=0.03)
    for _ in range(1000):
        hedging.on_reply(5000)
    assert hedging.delay_us == 5000


def test_second_calls_are_a_tenth_at_most_in_the_long_run():
    hedging = Hedging(0.5)
    assert sum(hedging.may_repeat() for _ in range(1000)) == BUDGET
    made = 0
    for _ in range(1000):
        hedging.on_reply(1)
        made += hedging.may_repeat()
    assert made == pytest.approx(100, abs=1)


@pytest.mark.parametrize("quantile", [0, 1, 95, -0.5, float("nan")])
def test_what_is_no_quantile(quantile):
    with pytest.raises(ConfigError, match="hedge"):
        Hedging(quantile)
