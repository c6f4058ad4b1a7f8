"""docs/simulator.md has every key of a scenario, and none that there is not."""

import re
from pathlib import Path

import msgspec
import pytest

from stack.sim.scenario import BurstLoss, Event, Flow, HostSpec, Link, RouterSpec, Scenario, SwitchSpec

PAGE = (Path(__file__).parents[3] / "docs" / "simulator.md").read_text(encoding="utf-8")
TABLES = ("host", "router", "switch", "link", "event", "flow")
KINDS: dict[str, type[msgspec.Struct]] = {
    "": Scenario,
    "host": HostSpec,
    "router": RouterSpec,
    "switch": SwitchSpec,
    "link": Link,
    "event": Event,
    "flow": Flow,
}


def keys_of(kind: type[msgspec.Struct]) -> set[str]:
    return {one.encode_name for one in msgspec.structs.fields(kind)}


def documented(page: str) -> dict[str, set[str]]:
    """The names in the first column, by the [[table]] named before them."""
    found: dict[str, set[str]] = {"": set()}
    sections = [""]
    for line in page.splitlines():
        if not re.match(r"\| \**`", line):
            continue
        first = line.split("|")[1]
        if tables := re.findall(r"\[\[(\w+)\]\]", first):
            sections = tables
        for section in sections:
            found.setdefault(section, set()).update(re.findall(r"(?<!\[)`\[?(\w+)\]?`", first))
    return found


@pytest.mark.parametrize("section", KINDS)
def test_every_key_is_documented(section: str) -> None:
    keys = keys_of(KINDS[section]) - (set(TABLES) if not section else set())
    assert documented(PAGE)[section] == keys


def test_every_table_and_the_keys_of_bursts() -> None:
    assert set(documented(PAGE)) == set(KINDS)
    assert keys_of(Scenario) >= set(TABLES)
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| `burst_loss`")]
    assert set(re.findall(r"\{ (.*?) \}", row)[0].split(", ")) == keys_of(BurstLoss)


def test_a_key_that_is_left_out_is_noticed() -> None:
    """The control."""
    without = PAGE.replace("| `urgent` |", "| urgent |")
    assert documented(without)["flow"] == keys_of(Flow) - {"urgent"}
