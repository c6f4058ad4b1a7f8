"""Two-phase commit over many histories: crashes in the middle of what is written, lost and late messages, partitions.

The machines and their logs are those that are used; network and disks are only thought of (tests/support).  The same
over our own hosts, TCP and RPC is test_commit_hosts.py.
"""

import itertools
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest

from tests.support.commit_world import Once, Violation, World

SPLIT = "is committed by one, and aborted by another"
LOST = "is acknowledged, and"


def tell(seed, hasty=""):
    """Which promise the history of that seed has broken; empty: none."""
    try:
        World(seed, hasty=hasty).run()
    except Violation as violation:
        return str(violation)
    return ""


@pytest.mark.parametrize("start", range(0, 200, 20))
def test_never_one_commit_and_one_abort_and_nothing_acknowledged_is_lost(start):
    for seed in range(start, start + 20):
        assert tell(seed) == ""


def test_the_histories_are_worth_something():
    worlds = [World(seed).run() for seed in range(60)]
    assert sum(world.crashes for world in worlds) > 300
    assert sum(len(world.watch.acknowledged) for world in worlds) > 150
    outcomes = [committed for world in worlds for committed in world.watch.outcome.values()]
    assert outcomes.count(True) > 150
    assert outcomes.count(False) > 250
    assert sum(bank.ledger.checkpoints for world in worlds for bank in world.banks.values()) > 20
    assert sum(world.members["t0"].machine.stats["checkpoints"] for world in worlds) > 3


def test_control_promises_that_are_not_flushed_are_broken():
    assert any(LOST in tell(seed, "vote") for seed in range(100))


def test_control_decisions_that_are_not_flushed_are_forgotten():
    assert any(SPLIT in tell(seed, "decision") for seed in range(500))


def test_control_a_folder_that_is_not_flushed_gives_an_old_log_back():
    told = [tell(seed, "names") for seed in range(60)]
    assert any(SPLIT in one for one in told)
    assert any(LOST in one for one in told)


def test_a_seed_repeats():
    first, again = (World(3).run() for _ in range(2))
    assert (first.watch.outcome, first.delivered, first.now) == (again.watch.outcome, again.delivered, again.now)
    assert World(4).run().watch.outcome != first.watch.outcome


def test_a_crash_at_every_step_of_every_disk():
    """One transaction; each member crashes at each of its steps, and what was not flushed has several fates."""
    steps = {name: member.steps for name, member in Once(0).run().members.items()}
    assert min(steps.values()) >= 6
    outcomes = set()
    for name, count in steps.items():
        for step in range(1, count + 1):
            for fate in range(8):
                world = Once(fate, (name, step)).run()
                assert world.crashes == 1
                outcomes |= {(name, committed) for committed in world.watch.outcome.values()}
    # before the decision is written it is an abort, behind that a commit, whoever crashes
    assert outcomes == {(name, committed) for name in steps for committed in (False, True)}


def test_two_crashes_at_all_pairs_of_steps():
    """Also while it recovers from the first."""
    places = [(name, step) for name, member in Once(0).run().members.items() for step in range(1, member.steps + 9)]
    crashes = [Once(len(places), *pair).run().crashes for pair in itertools.combinations(places, 2)]
    assert crashes.count(2) > 1000


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_ten_thousand_histories():
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        assert [told for told in pool.map(partial(tell), range(10_000, 20_000), chunksize=50) if told] == []
