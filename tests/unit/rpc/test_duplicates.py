"""The duplicate request cache: what it knows, for how long, and who pays when it is full."""

import tracemalloc

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stack.config import NEVER
from stack.errors import ConfigError
from stack.rpc.duplicates import ENTRY, MAX_AGE_US, Bounds, Duplicates, Key, Seen, key_of
from tests.support.rpc_calls import CALLER, call


def key(number: int, host: str = "a", port: int = 1) -> Key:
    return key_of((host, port), call(1, xid=number))


def executed(cache: Duplicates, name: Key, now: int = 0, reply: bytes | None = b"reply") -> None:
    assert cache.look(name, now) is None
    cache.begin(name, "call")
    cache.finish(name, reply, now)


def test_a_call_goes_from_new_to_running_to_its_reply():
    cache = Duplicates()
    assert cache.look(key(1), 0) is None
    cache.begin(key(1), "first")
    assert cache.look(key(1), 0) is Seen.RUNNING
    assert cache.running(key(1)) == "first"
    cache.finish(key(1), b"reply", 5)
    assert cache.look(key(1), 5) == b"reply"
    assert cache.running(key(1)) is None
    assert len(cache) == cache.clients == 1


def test_what_makes_a_call_another():
    data = call(1, 5)
    same = key_of(CALLER, data)
    assert key_of(CALLER, bytes(bytearray(data))) == same
    others = {
        key_of((CALLER[0], CALLER[1] + 1), data),
        key_of(("198.18.0.10", CALLER[1]), data),
        key_of(CALLER, call(1, 5, xid=8)),
        key_of(CALLER, call(1, 6)),
        key_of(CALLER, call(2, 5)),
        key_of(CALLER, call(1, 5, version=2)),
    }
    assert len(others) == 6
    assert same not in others


def test_replies_are_forgotten_by_age():
    cache = Duplicates()
    executed(cache, key(1))
    assert cache.look(key(1), MAX_AGE_US - 1) == b"reply"
    assert cache.look(key(1), MAX_AGE_US) is None
    assert cache.expired == 1
    assert cache.evicted == 0


def test_what_runs_is_never_forgotten():
    cache = Duplicates(Bounds(max_bytes=2 * ENTRY))
    cache.begin(key(1), None)
    for number in range(2, 50):
        executed(cache, key(number), number)
    assert cache.look(key(1), 10 * MAX_AGE_US) is Seen.RUNNING


def test_when_full_the_oldest_goes_and_it_is_known_how_long_it_was_kept():
    cache = Duplicates(Bounds(max_bytes=3 * (ENTRY + 5)))
    assert cache.shortest_us == NEVER
    for number in range(4):
        executed(cache, key(number), number * 100)
    assert cache.look(key(0), 400) is None
    assert [cache.look(key(number), 400) for number in (1, 2, 3)] == [b"reply"] * 3
    assert (cache.evicted, cache.shortest_us) == (1, 300)


def test_a_reply_too_large_to_be_kept_is_known_to_have_been_given():
    cache = Duplicates(Bounds(max_reply=4))
    executed(cache, key(1))
    assert cache.look(key(1), 0) is Seen.FORGOTTEN
    executed(cache, key(2), reply=None)
    assert cache.look(key(2), 0) is Seen.FORGOTTEN
    assert cache.bytes == 2 * ENTRY


def test_given_up_is_new_again():
    cache = Duplicates()
    cache.begin(key(1), None)
    cache.abandon(key(1))
    assert len(cache) == cache.clients == 0
    assert cache.look(key(1), 0) is None


def flood(others: int) -> Duplicates:
    """Each of some clients makes a call; then another one makes a thousand, from all of its ports."""
    cache = Duplicates(Bounds(max_bytes=100 * (ENTRY + 5)))
    for number in range(others):
        executed(cache, key(1, f"quiet {number}"))
    for number in range(1000):
        executed(cache, key(number, "loud", number), number)
    cache.check_invariants()
    return cache


@pytest.mark.parametrize("others", [1, 10, 50])
def test_a_client_that_makes_many_calls_pushes_out_its_own(others):
    cache = flood(others)
    assert cache.evicted >= 900
    assert [cache.look(key(1, f"quiet {number}"), 1000) for number in range(others)] == [b"reply"] * others


def test_without_shares_it_pushes_out_those_of_others():
    """The control: one address for all makes the cache one queue."""
    cache = Duplicates(Bounds(max_bytes=100 * (ENTRY + 5)))
    executed(cache, key(1, "all", 70_000))
    for number in range(1000):
        executed(cache, key(number, "all", number), number)
    assert cache.look(key(1, "all", 70_000), 1000) is None


def test_two_that_make_many_calls_share_evenly():
    cache = Duplicates(Bounds(max_bytes=100 * (ENTRY + 5)))
    for number in range(1000):
        executed(cache, key(number, "first"), number)
    for number in range(1000):
        executed(cache, key(number, "second"), 1000 + number)
    kept = sum(cache.look(key(number, "first"), 2000) == b"reply" for number in range(950, 1000))
    assert kept >= 49


def test_bounds_are_checked():
    for bounds in (Bounds(max_bytes=1), Bounds(max_age_us=0), Bounds(max_reply=-1)):
        with pytest.raises(ConfigError, match="give at least"):
            Duplicates(bounds)


def test_an_entry_takes_no_more_memory_than_is_booked():
    cache = Duplicates(Bounds(max_bytes=1 << 30))
    messages = [call(1, xid=number) for number in range(20_000)]
    tracemalloc.start()
    try:
        for number, data in enumerate(messages):
            # addresses come from the transport: a tuple, a text and a number of their own
            source = ("".join(("198.18.", str(number % 250))), 1000 + number)
            name = key_of(source, data)
            cache.look(name, 0)
            cache.begin(name, None)
            cache.finish(name, data[:4] + bytes(100), 0)
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0.5 * cache.bytes < taken <= cache.bytes


class Machine(RuleBasedStateMachine):
    """Against a model without memory limits: the cache forgets, but never errs."""

    def __init__(self):
        super().__init__()
        self.cache = Duplicates(Bounds(max_bytes=6 * (ENTRY + 10), max_age_us=100, max_reply=10))
        self.now = 0
        self.running = set()
        self.done = {}

    @rule(number=st.integers(0, 6), host=st.sampled_from("abc"), passed=st.integers(0, 30))
    def begin(self, number, host, passed):
        self.now += passed
        name = key(number, host)
        found = self.cache.look(name, self.now)
        if name in self.running:
            assert found is Seen.RUNNING
        elif isinstance(found, bytes) or found is Seen.FORGOTTEN:
            done_at, reply = self.done[name]
            assert self.now - done_at < 100
            assert found == (Seen.FORGOTTEN if reply is None else reply)
        else:
            self.cache.begin(name, name)
            self.running.add(name)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), reply=st.one_of(st.none(), st.binary(max_size=12)))
    def finish(self, data, reply):
        name = data.draw(st.sampled_from(sorted(self.running)))
        self.running.remove(name)
        self.cache.finish(name, reply, self.now)
        self.done[name] = self.now, reply if reply is not None and len(reply) <= 10 else None

    @precondition(lambda self: self.running)
    @rule(data=st.data())
    def abandon(self, data):
        name = data.draw(st.sampled_from(sorted(self.running)))
        self.running.remove(name)
        self.cache.abandon(name)

    @invariant()
    def holds(self):
        self.cache.check_invariants()
        assert all(self.cache.running(name) == name for name in self.running)


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=30, stateful_step_count=30, deadline=None)
