"""The example scenarios run, and keep what they promise."""

from pathlib import Path

import pytest

from stack.sim.runner import Run
from stack.sim.scenario_toml import load

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "sim").glob("*.toml"))


def test_there_are_examples():
    assert len(EXAMPLES) >= 10


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_keeps_its_promise(path: Path):
    scenario = load(path)
    assert scenario.name == path.stem
    result = Run(scenario, invariants=False).run()
    assert result.ok, result.problems
