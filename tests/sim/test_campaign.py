"""Random hostile networks: a few hundred in every test run, with a fresh seed that is printed when one fails.

`make sim runs=10000` is the whole campaign.
"""

from random import SystemRandom

import pytest

from stack.sim.campaign import FIXED, Report, is_twice, judge_seed
from stack.sim.generate import FAILING_SHARE, generate
from stack.sim.scenario_toml import loads, to_toml

BASE = SystemRandom().randrange(1 << 40)
GROUP = 10


def judge_all(first: int, count: int) -> Report:
    report = Report()
    for seed in range(first, first + count):
        verdict = judge_seed(seed)
        assert verdict.problem is None, (
            f"make sim runs=1 args='--fixed 0 --seed {seed}': {verdict.problem}\n{verdict.report}"
        )
        report.add(verdict)
    return report


@pytest.mark.parametrize("first", range(0, FIXED // 2, GROUP))
def test_fixed_networks(first: int) -> None:
    assert judge_all(first, GROUP).runs == GROUP


# the names are the same in every process of pytest-xdist; the seed is in the message of a failure
@pytest.mark.parametrize("part", range(10))
def test_fresh_networks(part: int) -> None:
    assert judge_all(BASE + part * GROUP, GROUP).runs == GROUP


@pytest.mark.slow
@pytest.mark.parametrize("first", range(FIXED // 2, FIXED + 1_000, 10 * GROUP))
def test_more_networks(first: int) -> None:
    assert judge_all(first, 10 * GROUP).runs == 10 * GROUP


def test_a_scenario_says_what_it_promises_and_few_must_fail() -> None:
    scenarios = [generate(seed) for seed in range(3_000)]
    for scenario in scenarios[:200]:
        scenario.check()
        assert loads(to_toml(scenario)) == scenario
    failing = [s for s in scenarios if any(flow.expect != "complete" for flow in s.flows)]
    assert 0.5 * FAILING_SHARE < len(failing) / len(scenarios) <= 0.1
    for scenario in scenarios:
        if scenario not in failing:  # nothing there may make TCP give up
            assert scenario.tcp["user_timeout_us"] > scenario.duration_us
            assert scenario.tcp["syn_retries_us"] > scenario.duration_us
            downs = sum(event.down for event in scenario.events)
            assert downs == sum(event.up for event in scenario.events)
    assert generate(1) == generate(1) != generate(2)
    assert sum(is_twice(seed) for seed in range(100)) == 5
