"""The judge of soak runs: what it must catch, and what it must let pass."""

import random

import pytest

from stack.config import HostConfig
from stack.daemon import report
from stack.host.host import Host
from tools.soak import judge
from tools.soak.judge import Sample

MIB = 1 << 20
EMPTY = dict.fromkeys((*judge.MUST_EMPTY, "neighbours", "path MTUs"), 0)
BEFORE = Sample(35 * MIB, 18, EMPTY)


def series(rounds, grows=0, noise=0):
    rng = random.Random(7)
    warm = [35 + 10 * min(1.0, n / (rounds / 4)) for n in range(rounds)]
    return [Sample(int(mib * MIB) + n * grows + rng.randrange(noise + 1), 18, EMPTY) for n, mib in enumerate(warm)]


def wrong(resting, after=BEFORE, failures=()):
    return judge.verdict(BEFORE, resting, after, failures)


def test_the_tables_are_those_of_a_host_and_all_are_empty_in_a_new_one():
    sizes = judge.sizes(report.from_host(Host(HostConfig(), random.Random(1), 0)))
    assert sizes == EMPTY


@pytest.mark.parametrize("rounds", [8, 25, 400])
def test_a_run_that_warms_up_and_then_stays_is_clean(rounds):
    assert wrong(series(rounds, noise=MIB)) == []


@pytest.mark.parametrize("rounds", [8, 25, 400])
def test_a_planted_leak_is_caught_although_each_round_hides_it_in_noise(rounds):
    leak = 9 * MIB // rounds  # 4.5 MiB from the middle of the second quarter to the middle of the last
    [one] = wrong(series(rounds, grows=leak, noise=MIB // 2))
    assert one.startswith("memory grows: 4")


def test_the_warm_up_is_not_taken_for_a_leak():
    assert judge.growth([MIB, 2 * MIB, *[50 * MIB] * 6]) is None
    assert judge.growth([50 * MIB] * 6 + [60 * MIB] * 2) is not None


def test_too_few_samples_prove_nothing():
    assert wrong(series(judge.QUARTERS_FROM - 1, grows=10 * MIB)) == []


def test_descriptors_may_close_but_not_stay_open():
    assert wrong([], Sample(0, 17, EMPTY)) == []
    assert wrong([], Sample(0, 19, EMPTY)) == ["descriptors leak: 18 before, 19 after"]


@pytest.mark.parametrize("table", judge.MUST_EMPTY)
def test_a_table_that_does_not_empty_is_named(table):
    assert wrong([], Sample(0, 18, {**EMPTY, table: 3})) == [f"{table}: 3 left"]


def test_neighbours_may_be_remembered_but_not_be_in_between():
    status = report.from_host(Host(HostConfig(), random.Random(1), 0))
    status["neighbors"] = [{"state": "STALE", "queued": 0}, {"state": "PROBE", "queued": 2}]
    sizes = judge.sizes(status)
    assert (sizes["neighbours"], sizes["unsettled neighbours"], sizes["queued for neighbours"]) == (2, 1, 2)


def test_what_the_loads_saw_counts():
    assert wrong([], failures=["a checksum differs"]) == ["a checksum differs"]
