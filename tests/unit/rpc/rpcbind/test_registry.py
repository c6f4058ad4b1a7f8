"""The table behind an rpcbind: who may change it, what is found in it."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stack.rpc.rpcbind.registry import RPCBIND, SUPERUSER, Asker, Mapping, Refusal, Registry, Want
from stack.rpc.rpcbind.statistics import MAX_ASKED, Question, Statistics

OWN = {"udp": "198.18.0.2.0.111", "tcp": "198.18.0.2.0.111"}
P = 536873369


def mapping(version=1, netid="udp", address="198.18.0.2.8.1", owner="a", program=P):
    return Mapping(program, version, netid, address, owner)


@pytest.fixture
def registry():
    return Registry(OWN)


def test_rpcbind_itself_comes_first(registry):
    registry.set(mapping())
    assert [(m.version, m.netid) for m in registry][:-1] == [(v, n) for n in ("udp", "tcp") for v in (4, 3, 2)]
    assert list(registry)[-1] == mapping()
    assert len(registry) == 1


def test_nobody_changes_rpcbind_s_own(registry):
    assert not registry.set(mapping(program=RPCBIND, version=5))
    assert not registry.unset(RPCBIND, 4, "", SUPERUSER)
    assert registry.refused[Refusal.PROTECTED] == 2
    assert registry.find(RPCBIND, 4, "udp").address == OWN["udp"]


def test_an_address_is_taken_once(registry):
    assert registry.set(mapping())
    assert registry.set(mapping(owner="b"))  # the same again
    assert not registry.set(mapping(address="198.18.0.2.8.2"))
    assert registry.refused == {Refusal.TAKEN: 1}
    assert registry.find(P, 1, "udp") == mapping()


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (mapping(netid="sctp"), Refusal.NETID),
        (mapping(netid=""), Refusal.NETID),
        (mapping(address="198.18.0.2"), Refusal.ADDRESS),
        (mapping(address="/run/x"), Refusal.ADDRESS),
        (mapping(address="198.18.0.2.0.0"), Refusal.ADDRESS),  # "not registered", to who asks for it
        (mapping(netid="local"), Refusal.ADDRESS),
    ],
)
def test_what_is_no_address_is_not_taken(registry, wrong, why):
    assert not registry.set(wrong)
    assert registry.refused == {why: 1}
    assert not len(registry)


def test_only_the_owner_takes_it_away(registry):
    registry.set(mapping())
    registry.set(mapping(netid="tcp", owner="b"))
    assert not registry.unset(P, 1, "udp", "b")
    assert registry.unset(P, 1, "", "b")  # of its own one, and it is told of no more
    assert registry.find(P, 1, "udp") == mapping()
    assert registry.find(P, 1, "tcp") is None
    assert registry.refused == {Refusal.OWNER: 2}
    assert registry.unset(P, 1, "udp", SUPERUSER)
    assert not registry.unset(P, 1, "udp", SUPERUSER)
    assert registry.refused[Refusal.ABSENT] == 1


def test_all_of_an_owner_go_at_once(registry):
    for version in (1, 2):
        registry.set(mapping(version, owner="a"))
        registry.set(mapping(version, "tcp", owner="b"))
    assert registry.drop_owner("a") == 2
    assert {m.owner for m in registry.everywhere(P, 1)} == {"b"}
    assert registry.drop_owner(SUPERUSER) == 0


def test_another_version_is_better_than_none(registry):
    """So that the server can say which it has."""
    for version in (1, 3):
        registry.set(mapping(version, address=f"198.18.0.2.8.{version}"))
    assert registry.find(P, 3, "udp").version == 3
    assert registry.find(P, 9, "udp").version == 3
    assert registry.find(P, 9, "udp", exact=True) is None
    assert registry.find(P, 1, "tcp") is None
    assert registry.find(P + 1, 1, "udp") is None


def test_the_table_is_bounded():
    registry = Registry(OWN, max_mappings=3)
    assert [registry.set(mapping(version)) for version in range(5)] == [True, True, True, False, False]
    assert registry.refused == {Refusal.FULL: 2}
    assert registry.unset(P, 0, "udp", "a")
    assert registry.set(mapping(4))


HERE, NEAR, FAR, FORGED = (Asker(True, True), Asker(True, False), Asker(False, False), Asker(False, True))


@pytest.mark.parametrize(
    ("want", "allowed"),
    [
        (Want.LOOK_UP, {HERE, NEAR, FAR, FORGED}),
        (Want.CHANGE, {HERE, NEAR}),
        (Want.LIST, {HERE, NEAR, FAR}),
        (Want.FORWARD, set()),
    ],
)
def test_who_may_what(registry, want, allowed):
    assert {asker for asker in (HERE, NEAR, FAR, FORGED) if registry.may(want, asker)} == allowed
    assert registry.denied[want] == 4 - len(allowed)


class Model(RuleBasedStateMachine):
    """Against a dict."""

    def __init__(self):
        super().__init__()
        self.registry = Registry(OWN, max_mappings=6)
        self.model = {}

    owners = st.sampled_from("ab")
    versions = st.integers(1, 3)
    netids = st.sampled_from(["udp", "tcp"])

    @rule(program=st.integers(1, 2), version=versions, netid=netids, port=st.integers(1, 2), owner=owners)
    def register(self, program, version, netid, port, owner):
        key, new = (program, version, netid), Mapping(program, version, netid, f"1.2.3.4.0.{port}", owner)
        right = self.model[key].address == new.address if key in self.model else len(self.model) < 6
        assert self.registry.set(new) == right
        if right:
            self.model.setdefault(key, new)

    @precondition(lambda self: self.model)
    @rule(program=st.integers(1, 2), version=versions, netid=st.sampled_from(["udp", "tcp", ""]), owner=owners)
    def forget(self, program, version, netid, owner):
        mine = [
            key
            for key, found in self.model.items()
            if key[:2] == (program, version) and netid in {"", key[2]} and found.owner == owner
        ]
        assert self.registry.unset(program, version, netid, owner) == bool(mine)
        for key in mine:
            del self.model[key]

    @invariant()
    def same(self):
        self.registry.check_invariants()
        assert {m for m in self.registry if m.program != RPCBIND} == set(self.model.values())
        for key, found in self.model.items():
            assert self.registry.find(*key, exact=True) == found


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


def test_statistics():
    counted = Statistics()
    for procedure in (0, 3, 3, 12, 13, 99):
        counted.on_call(procedure)
    assert [counted.calls[n] for n in (0, 3, 12)] == [1, 2, 1]
    assert sum(counted.calls) == 4
    counted.on_changed(set_=True)
    counted.on_changed(set_=False)
    assert (counted.set_count, counted.unset_count) == (1, 1)
    for found in (True, False, False):
        counted.on_asked(Question(P, 1, "udp"), found=found)
    assert counted.asked == {Question(P, 1, "udp"): [1, 2]}


def test_statistics_are_bounded():
    counted = Statistics()
    for program in range(MAX_ASKED + 10):
        counted.on_asked(Question(program, 1, "udp"), found=False)
    assert len(counted.asked) == MAX_ASKED
    assert counted.left_out == 10
