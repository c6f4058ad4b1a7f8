"""The distributed example, examples/raft.py, over many histories of partitions and crashes."""

import importlib.util
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "raft.py"


def example():
    if "raft_example" not in sys.modules:
        spec = importlib.util.spec_from_file_location("raft_example", EXAMPLE)
        sys.modules["raft_example"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules["raft_example"])
    return sys.modules["raft_example"]


def tell(seed, *, hasty=False):
    return example().tell(seed, hasty=hasty)


@pytest.mark.parametrize("seed", range(1, 25))
def test_raft_keeps_its_promises(seed):
    is_broken, line = tell(seed)
    assert not is_broken, line
    assert line.endswith("46 commands")


def test_control_leaders_that_do_not_wait_for_a_majority_lose_what_they_acknowledged():
    assert any(tell(seed, hasty=True)[0] for seed in range(1, 7))


def test_a_seed_repeats():
    first, again = (example().simulate(3) for _ in range(2))
    assert (first.leaders, first.applied) == (again.leaders, again.applied)
    assert example().simulate(4).applied != first.applied


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_a_thousand_histories():
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        broken = [line for is_broken, line in pool.map(partial(tell), range(10_000, 11_000), chunksize=10) if is_broken]
    assert broken == []
