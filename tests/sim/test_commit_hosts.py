"""As test_commit_machines.py, on simulated hosts: commit.serve and commit.coordinate over our RPC, TCP and IP."""

import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial

import pytest

from tests.support.commit_hosts import Hosts
from tests.support.commit_world import Violation


def tell(seed, hasty=""):
    """Which promise the history of that seed has broken; empty: none."""
    try:
        Hosts(seed, hasty=hasty, tellers=1 + seed % 2).run()
    except Violation as violation:
        return str(violation)
    return ""


@pytest.mark.parametrize("seed", range(24))
def test_never_one_commit_and_one_abort_and_nothing_acknowledged_is_lost(seed):
    assert tell(seed) == ""


def test_the_histories_are_worth_something():
    histories = [Hosts(seed).run() for seed in range(100, 106)]
    assert sum(history.crashes for history in histories) > 20
    assert sum(len(history.watch.acknowledged) for history in histories) > 30
    assert False in {committed for history in histories for committed in history.watch.outcome.values()}


def test_control_promises_that_are_not_flushed_are_broken():
    assert any("has not committed it" in tell(seed, "vote") for seed in range(40))


def test_a_seed_repeats():
    first, again = (Hosts(3).run() for _ in range(2))
    assert first.watch.outcome == again.watch.outcome
    assert first.crashes == again.crashes


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_two_thousand_histories():
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        assert [told for told in pool.map(partial(tell), range(1000, 3000), chunksize=10) if told] == []
