"""The examples of distributed programs do what they say, and their controls fail."""

import contextlib
import importlib.util
import io
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name):
    module = f"{name}_example"
    if module not in sys.modules:
        spec = importlib.util.spec_from_file_location(module, EXAMPLES / f"{name}.py")
        sys.modules[module] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[module])
    return sys.modules[module]


# -- two_phase_commit.py


def test_money_between_two_banks(tmp_path):
    module = example("two_phase_commit")
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        module.stack.sim.run(lambda net: module.main(net, tmp_path), seed=1)
    text = said.getvalue()
    amounts = [line.strip() for line in text.splitlines() if line.startswith("   Anna")]
    assert amounts == [
        "Anna has 70, Otto has 130",
        "Anna has 70, Otto has 130",
        "Anna has 40, Otto has 130",  # the south is away
        "Anna has 40, Otto has 160",
        "Anna has 40, Otto has 160",  # in doubt, then presumed to be aborted
        "Anna has 40, Otto has 160",
        "Anna has 40, Otto has 160",  # in doubt, then committed
        "Anna has 10, Otto has 190",
    ]
    assert "aborted: north: take: CHECK constraint failed" in text
    assert text.count("is prepared, waits for teller since 1970-01-01 00:0") == 4
    assert text.count("teller does not answer") == 2
    assert text.endswith("   teller: nothing is open\n   north: nothing is open\n   south: nothing is open\n")


# -- replicated_counter.py


@pytest.mark.parametrize("seed", range(1, 16))
def test_each_increment_is_counted_once_though_primaries_die(seed):
    assert example("replicated_counter").simulate(seed) == ""


def test_control_replicas_that_forget_their_clients_count_twice():
    assert "increments were confirmed, the counter says" in example("replicated_counter").simulate(1, forgetful=True)


def test_control_a_primary_that_does_not_wait_loses_increments():
    simulate = example("replicated_counter").simulate
    assert any(simulate(seed, hasty=True) for seed in range(1, 5))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_many_histories_of_the_counter():
    simulate = example("replicated_counter").simulate
    assert [seed for seed in range(1000, 1300) if simulate(seed)] == []


# -- byzantine_generals.py


def test_three_generals_fail():
    generals = example("byzantine_generals")
    fought = [(war, generals.fight(war)) for war in generals.wars(3)]
    assert len(fought) == 21
    wrong = [(war.traitor, war.order) for war, told in fought if generals.objection(war, told)]
    assert sorted(wrong) == [("A", "attack")] * 2 + [("B", "attack")] * 2
    for war, told in fought:
        if war.traitor == "A" and war.order == "attack" and war.letters == {"B": "retreat"}:
            assert told == {"B": ("attack", {"A": "retreat"}, "retreat")}


def test_four_generals_hold_whatever_a_traitor_does():
    generals = example("byzantine_generals")
    wars = list(generals.wars(4))
    assert len({(war.traitor, war.order, tuple(war.letters.items())) for war in wars}) == 3**3 + 3 * 2 * 3**2
    assert [war for war in wars if generals.objection(war, generals.fight(war))] == []


def test_no_rule_helps_three_and_the_example_says_so(capsys):
    generals = example("byzantine_generals")
    assert generals.rules_for_three() == (256, 0)
    assert generals.main() == 0
    said = capsys.readouterr().out
    assert "3 generals: 21 things that a traitor can do; 4 make the loyal ones fail" in said
    assert "4 generals: 81 things that a traitor can do; 0 make the loyal ones fail" in said
