"""Planted bugs: every one can still be planted, and the campaign finds it (`python -m tools.mutants`)."""

import shutil
from pathlib import Path

import pytest

from tools.mutants import MUTANTS, PAGE, ROOT, Mutant, Rotten, hunt, put, table

QUICK = ("no retransmission timer", "SACK block one too long", "TIME-WAIT for ever")


def test_there_are_enough_and_each_can_be_planted(tmp_path: Path) -> None:
    assert len(MUTANTS) >= 20
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    for mutant in MUTANTS:
        copy = tmp_path / mutant.file
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / mutant.file, copy)
        mutant.apply(tmp_path)
        assert copy.read_text() != (ROOT / mutant.file).read_text()
        compile(copy.read_text(), mutant.file, "exec")


def test_a_mutant_of_text_that_is_gone_fails_loudly(tmp_path: Path) -> None:
    (tmp_path / "x.py").write_text("a = 1\na = 1\n")
    with pytest.raises(Rotten, match="2 times"):
        Mutant("m", "x.py", "a = 1", "a = 2").apply(tmp_path)
    with pytest.raises(Rotten, match="0 times"):
        Mutant("m", "x.py", "b = 1", "b = 2").apply(tmp_path)


def test_the_source_as_it_is_survives() -> None:
    """The control: the hunt finds nothing where nothing is planted."""
    same = Mutant("none", "stack/tcp/sender.py", "class Sender:", "class Sender:  # as it is")
    assert hunt(same, 20) == (0, "")


@pytest.mark.parametrize("name", QUICK)
def test_a_few_are_found_at_once(name: str) -> None:
    (mutant,) = [mutant for mutant in MUTANTS if mutant.name == name]
    count, problem = hunt(mutant, 50)
    assert 0 < count <= 50
    assert problem


def test_the_table_of_the_page_is_of_these_mutants() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for mutant in MUTANTS:
        assert f"| {mutant.name} | " in page
    told = table({"a": (7, "AssertionError: x | y; more"), "b": (0, "")}, 50)
    assert "1 of 2 are found within 50 networks" in told
    assert "| a | 7 | x \\| y |\n| b | not found |  |\n" in told
    assert put(put(page, told), told).count("| a | 7 |") == 1
    with pytest.raises(ValueError, match="markers"):
        put("no markers", told)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_each_is_found(mutant: Mutant) -> None:
    assert hunt(mutant, 10_000)[0] > 0
