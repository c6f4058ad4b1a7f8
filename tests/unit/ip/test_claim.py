import random
from itertools import pairwise

import pytest

from stack.config import NEVER
from stack.ip import claim as m
from stack.ip.claim import AddressClaim
from stack.wire.arp import REPLY, REQUEST, Arp
from tests.support.rfc import rfc

OURS = bytes.fromhex("020000000002")
OTHER = bytes.fromhex("020000000009")
ADDR = 0xC6120002
S = 1_000_000


def claimed(seed=1, *, probe=True):
    return AddressClaim(1, ADDR, 24, OURS, random.Random(seed), 0, probe=probe)


def run(c, until=NEVER - 1):
    sent = []
    while c.deadline <= until:
        at = c.deadline
        sent.append((at, c.on_timer(at)))
    return sent


@rfc("5227", "2", "ARP-6")
@pytest.mark.parametrize("seed", range(20))
def test_three_probes_then_two_announcements_in_time(seed):
    c = claimed(seed)
    sent = run(c)
    assert [action for _, action in sent] == [m.PROBE] * 3 + [m.ANNOUNCE] * 2
    times = [at for at, _ in sent]
    assert 0 <= times[0] <= 1 * S
    assert all(1 * S <= b - a <= 2 * S for a, b in pairwise(times[:3]))
    assert times[3] - times[2] == 2 * S
    assert times[4] - times[3] == 2 * S
    assert c.state == m.HELD


def test_without_probing_it_is_announced_at_once():
    c = claimed(probe=False)
    assert c.is_proven()
    assert run(c) == [(0, m.ANNOUNCE), (2 * S, m.ANNOUNCE)]


def test_too_early_does_nothing():
    c = claimed()
    assert c.on_timer(c.deadline - 1) == m.NOTHING
    assert c.state == m.WAITING


@rfc("5227", "2", "ARP-6")
@pytest.mark.parametrize(
    "packet",
    [
        Arp(REPLY, OTHER, ADDR, OURS, ADDR),
        Arp(REQUEST, OTHER, ADDR, bytes(6), 1),
        Arp(REQUEST, OTHER, 0, bytes(6), ADDR),  # it probes for the same address
    ],
)
def test_a_conflict_while_probing_ends_the_claim(packet):
    c = claimed()
    c.on_timer(c.deadline)
    assert c.is_conflict(packet)
    assert c.on_conflict(c.deadline) == m.NOTHING
    assert c.state == m.LOST
    assert c.deadline == NEVER


@rfc("5227", "2", "ARP-6")
def test_our_own_probe_come_back_is_no_conflict():
    c = claimed()
    assert not c.is_conflict(Arp(REQUEST, OURS, 0, bytes(6), ADDR))
    assert not c.is_conflict(Arp(REQUEST, OTHER, 0, bytes(6), ADDR + 1))


@rfc("5227", "2", "ARP-6")
def test_a_held_address_is_defended_once_in_ten_seconds():
    c = claimed()
    now = run(c)[-1][0]
    attack = Arp(REPLY, OTHER, ADDR, OURS, 1)
    assert c.is_conflict(attack)
    assert not c.is_conflict(Arp(REQUEST, OTHER, 0, bytes(6), ADDR))  # a probe is answered, not fought
    assert c.on_conflict(now) == m.ANNOUNCE
    assert c.on_conflict(now + 10 * S - 1) == m.NOTHING
    assert c.on_conflict(now + 10 * S) == m.ANNOUNCE
    assert c.state == m.HELD
