"""Failures are judged, shrunk and written; campaigns report them."""

import time
from pathlib import Path

import pytest

from stack.device.pcapng import read_pcapng
from stack.sim import campaign, shrink
from stack.sim.generate import THEME_NAMES, generate
from stack.sim.judge import Verdict, judge
from stack.sim.runner import Run
from stack.sim.scenario import Scenario
from stack.sim.scenario_toml import load, loads

BIG = """\
duration = "600s"
[[host]]
name = "a"
[[host]]
name = "b"
offload = true
[[host]]
name = "c"
[[router]]
name = "r"
[[link]]
between = ["a", "r"]
loss = 0.05
jitter = "1ms"
delay = "5ms"
[[link]]
between = ["r", "b"]
duplicate = 0.1
mtu = 1000
[[link]]
between = ["c", "r"]
[[event]]
at = "20ms"
link = ["a", "r"]
set = { loss = 0.01 }
[[event]]
at = "30ms"
link = ["r", "b"]
down = true
[[flow]]
name = "x"
from = "a"
to = "b"
bytes = 100000
back = 5000
tcp = { sack = false, nodelay = true }
[[flow]]
name = "y"
from = "c"
to = "a"
bytes = 100000
"""


def test_a_failure_is_shrunk_to_what_it_takes(tmp_path: Path) -> None:
    """A partition that never heals: nothing else matters."""
    scenario = loads(BIG)
    smaller, verdict = shrink.shrink(scenario)
    assert verdict.kind == judge(scenario).kind
    assert "promises 'complete'" in (verdict.problem or "")
    (event,) = smaller.events
    assert event.down
    assert [flow.name for flow in smaller.flows] == ["x"]
    assert {host.name for host in smaller.hosts} == {"a", "b"}
    assert smaller.routers == []
    (link,) = smaller.links
    assert (link.jitter_us, link.duplicate, link.mtu) == (None, None, 1500)  # of the loss some may be needed
    assert smaller.flows[0].tcp == {}
    toml, pcapng = shrink.write_failure(smaller, tmp_path / "deep" / "out")
    assert judge(load(toml)).problem == verdict.problem
    with pcapng.open("rb") as file:
        assert len(list(read_pcapng(file).packets)) > 2


def test_what_does_not_fail_cannot_be_shrunk() -> None:
    with pytest.raises(ValueError, match="does not fail"):
        shrink.shrink(generate(1))


def test_the_budget_bounds_the_runs() -> None:
    calls: list[Scenario] = []

    def always(scenario: Scenario) -> Verdict:
        calls.append(scenario)
        return judge_of(scenario, "always the same")

    shrink.shrink(loads(BIG), 10, always)
    assert len(calls) <= 12


def judge_of(scenario: Scenario, problem: str | None, *, failing: bool = False) -> Verdict:
    return Verdict(
        seed=scenario.seed,
        failing=failing,
        segments=1,
        events=2,
        time_us=1,
        bound_us=10,
        digest="",
        problem=problem,
        kind=problem or "",
        report="",
    )


def test_an_exception_is_a_verdict_with_the_last_events(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(run: Run, *_: object, **__: object) -> None:
        run.network.at(5, lambda: 1 // 0)
        run.network.run_for(10)

    monkeypatch.setattr(Run, "run", broken)
    verdict = judge(generate(1))
    assert (verdict.problem or "").startswith("ZeroDivisionError")
    assert "seed 1, at 5 us" in verdict.report


def test_a_run_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "run", lambda *_, **__: time.sleep(30))
    began = time.monotonic()
    verdict = judge(generate(1), wall_s=0.2)
    assert "no end" in (verdict.problem or "")
    assert time.monotonic() - began < 10


def test_alike_failures_have_one_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = set()
    for number in (17, 4711):

        def broken(*_: object, n: int = number, **__: object) -> None:
            raise AssertionError(f"seq {n} leaves a hole")

        monkeypatch.setattr(Run, "run", broken)
        kinds.add(judge(generate(1)).kind)
    assert len(kinds) == 1


def test_a_campaign_reports_and_its_status_tells(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ["--runs", "3", "--fixed", "2", "--seed", "1000", "--jobs", "1", "--out", str(tmp_path)]
    assert campaign.main(options) == 0
    out = capsys.readouterr().out
    assert "--seed 1000" in out
    assert "5 networks" in out
    assert "failures: 0" in out
    bad = loads("seed = 1001\n" + BIG)
    monkeypatch.setattr(campaign, "generate", lambda seed: bad if seed == 1001 else generate(seed))
    monkeypatch.setattr(campaign, "shrink", lambda scenario: shrink.shrink(scenario, 3))
    assert campaign.main(options) == 1
    out = capsys.readouterr().out
    assert "failures: 1" in out
    assert "seed 1001: flow x" in out
    assert (tmp_path / "seed-1001.toml").exists()
    assert (tmp_path / "seed-1001.pcapng").exists()


def test_a_report_tells_what_the_networks_contained() -> None:
    report = campaign.Report()
    for seed in range(300):
        report.add(judge_of(generate(seed), None))
    told = "\n".join(report.lines())
    assert "600 events, 300 segments" in told
    for theme in THEME_NAMES:
        assert f"{theme} " in told
    for trait in (
        "loss",
        "reorder",
        "duplicate",
        "corrupt",
        "MTU change",
        "MTU below 1500",
        "partition",
        "with routers",
    ):
        assert f"{trait} " in told.partition("shares: ")[2]


@pytest.mark.parametrize(("runs", "failing", "sound"), [(500, 50, True), (500, 51, False), (499, 51, True)])
def test_more_than_a_tenth_of_networks_that_must_fail_are_too_many(runs: int, failing: int, sound: bool) -> None:
    report, scenario = campaign.Report(), generate(1)
    for number in range(runs):
        report.add(judge_of(scenario, None, failing=number < failing))
    assert report.sound == sound
    assert any(line.endswith("too many") for line in report.lines()) != sound


def test_the_exit_status_tells_of_too_many_that_must_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(campaign, "ENOUGH", 5)
    monkeypatch.setattr(campaign, "judge_seed", lambda seed: judge_of(generate(seed), None, failing=seed == 0))
    assert campaign.main(["--runs", "5", "--fixed", "0", "--seed", "0", "--jobs", "1"]) == 1
    assert "failing kind (a flow is promised not to complete): 20.0 %, at most 10 % may be: too many" in (
        capsys.readouterr().out
    )
    assert campaign.main(["--runs", "5", "--fixed", "0", "--seed", "1", "--jobs", "1"]) == 0


def test_processes_share_the_seeds() -> None:
    report = campaign.campaign(range(4), 2)
    assert (report.runs, report.failures) == (4, [])
