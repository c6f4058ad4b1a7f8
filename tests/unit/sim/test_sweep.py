"""Tasks of a sweep, their rows, and where they are kept."""

import multiprocessing
import os
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.sim import overrides, sweep
from stack.sim.results import Results

DATA = {
    "name": "two",
    "duration": "10s",
    "host": [{"name": "a"}, {"name": "b", "tcp": {"congestion": "reno"}}],
    "link": [{"between": ["a", "b"], "delay": "5ms"}],
    "flow": [{"name": "f", "from": "a", "to": "b", "bytes": 10_000}],
}


def test_the_key_depends_on_everything_and_on_nothing_else():
    keys = {task.key for task in sweep.tasks(DATA, ["link.loss=0,0.1"], 1, 2)}
    assert len(keys) == 4
    assert keys == {task.key for task in sweep.tasks(DATA, ["link.loss=0.1,0"], 1, 2)}
    assert not keys & {task.key for task in sweep.tasks({**DATA, "duration": "11s"}, ["link.loss=0,0.1"], 1, 2)}
    assert not keys & {task.key for task in sweep.tasks(DATA, ["link.loss=0,0.1"], 1, 2, invariants=False)}


def test_a_row_repeats_exactly_but_for_the_time_it_took():
    (task,) = sweep.tasks(DATA, ["link.loss=0.1"], 5, 1)
    one, two = sweep.run_task(task), sweep.run_task(task)
    assert one.pop("wall_s") > 0
    two.pop("wall_s")
    assert one == two
    assert (one["status"], one["seed"], one["param.link.loss"]) == ("ok", 5, "0.1")


def test_what_goes_wrong_in_a_run_is_a_row():
    task = sweep.Task("k", {**DATA, "flow": [{"name": "f"}]}, (), 3, None)
    row = sweep.run_task(task)
    assert (row["status"], row["seed"]) == ("error", 3)
    assert row["error"].startswith("ScenarioError")


def test_changes_reach_one_table_or_all_and_leave_the_data_alone():
    one = overrides.scenario_with(DATA, [("host.a.tcp.sack", "false"), ("link.b-a.rate", "1Mbit/s")])
    assert (one.hosts[0].tcp, one.links[0].rate) == ({"sack": False}, 125_000)
    every = overrides.scenario_with(DATA, [("host.tcp.sack", "false")])
    assert [host.tcp["sack"] for host in every.hosts] == [False, False]
    assert DATA["host"][0] == {"name": "a"}


def test_a_compared_setting_holds_everywhere():
    data = overrides.with_setting(DATA, "congestion", "tahoe")
    scenario = overrides.scenario_with(data, [])
    assert {scenario.client_config(scenario.flows[0]).congestion} == {"tahoe"}
    assert {scenario.server_config(scenario.flows[0]).congestion} == {"tahoe"}


def _dies(task: sweep.Task) -> sweep.Row:
    if task.seed == 2:
        os._exit(1)
    return sweep._row(task)


def test_a_task_that_kills_its_process_is_a_row_and_the_others_are_made(monkeypatch):
    monkeypatch.setattr(sweep, "run_task", _dies)
    monkeypatch.setattr(sweep.multiprocessing, "get_context", lambda _: _Fork)
    rows = list(sweep.local(sweep.tasks(DATA, [], 1, 4), 2))
    assert sorted((row["seed"], row["status"]) for row in rows) == [(1, "ok"), (2, "error"), (3, "ok"), (4, "ok")]


_Fork = multiprocessing.get_context("fork")


def test_results_are_one_row_a_key_whatever_was_written_when(tmp_path: Path):
    with Results(tmp_path) as results:
        results.add({"key": "1", "value": 1.5})
        results.fold()
        results.add({"key": "2", "value": 2.5, "param.x": "3"})
    with Results(tmp_path) as results:
        assert [row["key"] for row in results.rows.values()] == ["1", "2"]
        results.add({"key": "2", "value": "text"})
    with Results(tmp_path) as results:
        assert [row["value"] for row in results.rows.values()] == ["1.5", "text"]


def test_only_one_process_writes(tmp_path: Path):
    with Results(tmp_path), pytest.raises(StackError, match="another sweep"):
        Results(tmp_path)


def test_a_file_that_is_something_else_is_refused(tmp_path: Path):
    (tmp_path / "results.parquet").write_text("no")
    with pytest.raises(StackError, match=r"not a file of results .move it away"):
        Results(tmp_path)
