"""`tapstack sim` and `sim sweep`, as they are called."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from stack.cli import sim_names, sim_run
from stack.cli.main import main
from stack.config import _TCP_CHOICES
from stack.sim import cluster
from stack.sim.campaign import judge_seed
from stack.sim.campaign import main as campaign_main
from stack.sim.runner import Run
from stack.sim.scenario_toml import load
from stack.tcp import profiles
from stack.tcp.congestion.registry import ALGORITHMS
from stack.tcp.estimators import ESTIMATORS

ROOT = Path(__file__).parents[3]
SCENARIO = """\
name = "short"
duration = "20s"

[[host]]
name = "a"

[[host]]
name = "b"

[[link]]
between = ["a", "b"]
rate = "10Mbit/s"
delay = "5ms"
queue = "30kB"

[[flow]]
name = "bulk"
from = "a"
to = "b"
bytes = "150kB"
"""


@pytest.fixture
def short(tmp_path):
    path = tmp_path / "short.toml"
    path.write_text(SCENARIO)
    return path


def sim(*arguments):
    return CliRunner().invoke(main, ["sim", *(str(one) for one in arguments)])


def test_a_run_writes_captures_plots_and_a_summary(short, tmp_path):
    out = tmp_path / "out"
    result = sim(short, "--out", out)
    assert result.exit_code == 0, result.output
    assert {path.name for path in out.iterdir()} == {
        *("a.pcapng", "b.pcapng", "summary.json"),
        *("bulk-sender.png", "bulk-sender.svg", "bulk-sequence.png", "bulk-sequence.svg", "queues.png", "queues.svg"),
    }
    summary = json.loads((out / "summary.json").read_text())
    assert summary["flows"][0]["bytes_there"] == 150_000
    assert "complete" in result.stdout
    assert "a > b" in result.stdout


def test_the_same_seed_gives_the_same_files_and_another_does_not(short, tmp_path):
    lossy = ("--set", "link.loss=0.05", "--no-invariants")
    for name, seed in (("one", 7), ("two", 7), ("three", 8)):
        assert sim(short, *lossy, "--seed", seed, "--out", tmp_path / name).exit_code == 0
    first = {path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()}
    assert first == {path.name: path.read_bytes() for path in (tmp_path / "two").iterdir()}
    assert first["summary.json"] != (tmp_path / "three" / "summary.json").read_bytes()


def test_looking_on_changes_nothing(short, tmp_path):
    for discipline in ("droptail", "codel"):
        text = SCENARIO.replace('queue = "30kB"', f'discipline = "{discipline}"').replace("150kB", "1MB")
        short.write_text(text)
        sim(short, "--out", tmp_path / "out", "--no-plots", "--no-invariants")
        summary = json.loads((tmp_path / "out" / "summary.json").read_text())
        assert Run(load(short), invariants=False).run().digest == summary["digest"]


def test_the_columns_of_a_comparison_by_a_long_key_stay_whole(short, tmp_path):
    options = ("--no-plots", "--capture", "none", "--out", tmp_path)
    result = sim(short, "--compare", "link.a-b.backward.discipline=droptail", *options)
    title, _, heads, *_ = result.stdout.splitlines()
    assert title.strip() == "by link.a-b.backward.discipline"
    assert heads.split() == ["discipline", "flow", "outcome", "goodput", "resent", "extra", "RTT", "finished"]


def test_a_comparison_has_a_folder_for_each_value_and_one_picture(short, tmp_path):
    out = tmp_path / "out"
    result = sim(short, "--compare", "congestion=cubic,reno", "--out", out, "--capture", "none")
    assert result.exit_code == 0, result.output
    assert {"cubic", "reno", "compare.png", "compare.svg"} == {path.name for path in out.iterdir()}
    assert "by congestion" in result.stdout


def test_without_matplotlib_the_run_itself_works(short, tmp_path, monkeypatch):
    monkeypatch.setattr(sim_run.importlib.util, "find_spec", lambda _name: None)
    result = sim(short, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert result.stderr == "tapstack: no plots: matplotlib is not installed; 'pip install tapstack[sim]' brings it\n"
    assert not list((tmp_path / "out").glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--set", "link.los=1"], "there is no key 'los' here; is 'loss' meant? (from link.los=1)"),
        (["--set", "link.loss=2"], "use a fraction from 0 to 1"),
        (["--set", "link.a-b.rate=0"], "a link of rate 0 carries nothing"),
        (["--set", "flow.bulk.to=c"], "'c' is not a host"),
        (["--set", "nonsense"], "write KEY=VALUE"),
        (["--set", "link..loss=1"], "a name is missing between the dots"),
        (["--set", "name=../x"], "use up to 64 letters"),
        (["--set", "link.rate=1, x=2"], "'1, x=2' is no such number"),
        (["--set", "link.rate=" + 5000 * "9"], " ... "),
        (["--set", "event.at=3s"], "the scenario has no [[event]]"),
        (["--set", "tcp.sack=7"], "use true or false"),
        (["--compare", "congestion=cubic,nope"], "congestion control 'nope' is not known"),
        (["--compare", "colour=red"], "TCP has no setting 'colour'"),
        (["--compare", "congestion=cubic,cubic"], "a value is given twice"),
        (["--out", "/proc/nowhere"], "--out /proc/nowhere: "),
    ],
)
def test_bad_options_are_one_sentence_and_code_2(short, arguments, says):
    result = sim(short, *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("tapstack: ")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_error_in_the_file_names_line_and_key(short):
    short.write_text(SCENARIO.replace('delay = "5ms"', 'delay = "5 parsecs"'))
    result = sim(short)
    assert result.exit_code == 2
    assert f"{short}:13: link[0].delay: " in result.stderr


def test_a_network_without_a_route_is_refused_before_the_run(short, tmp_path):
    island = '[[host]]\nname = "c"\n[[host]]\nname = "d"\n[[link]]\nbetween = ["c", "d"]\n'
    short.write_text(SCENARIO.replace('to = "b"', 'to = "c"') + island)
    result = sim(short, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert "no route from a to c" in result.stderr


def test_a_broken_promise_is_code_1(short, tmp_path):
    result = sim(short, "--set", "duration=20ms", "--out", tmp_path / "out", "--no-plots")
    assert result.exit_code == 1
    assert "the scenario promises 'complete'" in result.stderr


def test_everything_that_goes_by_name_is_listed():
    result = sim("--list-profiles")
    assert result.exit_code == 0
    known = {
        "congestion": list(ALGORITHMS),
        "loss_detection": _TCP_CHOICES["loss_detection"],
        "rtt_estimator": list(ESTIMATORS),
        "profile": profiles.names(),
    }
    assert {key: set(names) for key, names in sim_names.NAMES.items()} == {k: set(v) for k, v in known.items()}
    assert all(f"  {name} " in result.stdout for names in known.values() for name in names)
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_machines_are_compared_by_profile_whatever_the_file_says(short, tmp_path):
    short.write_text(SCENARIO.replace('name = "a"', 'name = "a"\ntcp = { congestion = "reno" }'))
    arguments = ("--compare", "profile=stop-and-wait,selective-repeat", "--no-plots", "--out", tmp_path / "out")
    result = sim(short, *arguments)
    assert result.exit_code == 0, result.output
    assert "by profile" in result.stdout
    slow, fast = (
        json.loads((tmp_path / "out" / name / "summary.json").read_text())["flows"][0]["goodput"]
        for name in ("stop-and-wait", "selective-repeat")
    )
    assert 5 * slow < fast
    bad = sim(short, "--compare", "profile=stop-and-go")
    assert (bad.exit_code, "use one of stop-and-wait" in bad.stderr) == (2, True)


def test_needless_retransmissions_are_told_apart(short, tmp_path):
    late = ("--set", "link.reorder=0.05", "--set", "link.reorder_by=60ms", "--set", "tcp.loss_detection=rfc6675")
    result = sim(short, *late, "--out", tmp_path / "out", "--no-plots")
    flow = json.loads((tmp_path / "out" / "summary.json").read_text())["flows"][0]
    assert 0 < flow["needless_retransmits"] <= flow["retransmits"]
    told = f"bulk: {flow['needless_retransmits']} of {flow['retransmits']} retransmissions were not needed"
    assert told in result.stdout


def test_the_search_for_the_size_of_a_path_has_a_picture(tmp_path):
    scenario = ROOT / "examples" / "sim" / "black-hole-mtu.toml"
    result = sim(scenario, "--no-invariants", "--capture", "none", "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "upload-sizes.svg").exists()


def test_interrupted_run_leaves_what_it_has_and_no_traceback(short, tmp_path):
    out = tmp_path / "out"
    text = SCENARIO.replace('bytes = "150kB"', 'for = "50min"').replace('"20s"', '"60min"')
    short.write_text(text)
    command = [sys.executable, "-m", "stack.cli", "sim", str(short), "--out", str(out), "--no-invariants"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while not out.exists() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert (out / "a.pcapng").stat().st_size > 0


@pytest.mark.parametrize("arguments", [["--list-profiles"], ["run", "SHORT"], ["sweep", "SHORT"]])
def test_output_that_cannot_be_written_is_one_sentence(short, tmp_path, arguments):
    arguments = [str(short) if one == "SHORT" else one for one in arguments]
    options = [] if len(arguments) == 1 else ["--out", str(tmp_path / "out")]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "stack.cli", "sim", *arguments, *options],
            cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False,
            env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "tapstack: no space left on device\n")


@pytest.mark.parametrize("arguments", [["sweep", "SHORT", "--seeds", "200"], ["campaign", "--runs", "500"]])
def test_workers_say_nothing_about_an_interrupt(short, tmp_path, arguments):
    """Ctrl-C reaches every process of the terminal, also those that are still loading."""
    arguments = [str(short) if one == "SHORT" else one for one in arguments]
    command = [sys.executable, "-m", "stack.cli", "sim", *arguments, "--out", str(tmp_path / "out"), "--jobs", "2"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the workers are being started
        time.sleep(0.3)
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert all(line.startswith("tapstack: interrupted") for line in errors.splitlines()), errors


def test_a_campaign_that_is_interrupted_says_how_far_it_came(monkeypatch, tmp_path, capsys):
    def judge(seed):
        if seed == 11:
            raise KeyboardInterrupt
        return judge_seed(seed)

    monkeypatch.setattr("stack.sim.campaign.judge_seed", judge)
    arguments = ["--runs", "9", "--fixed", "1", "--seed", "10", "--jobs", "1", "--out", str(tmp_path)]
    assert campaign_main(arguments) == 130
    assert "interrupted; 2 of 10 networks were judged, 0 failed; again: --seed 10\n" in capsys.readouterr().err


# -- sweeps


def rows_of(folder):
    return pq.read_table(folder / "results.parquet").to_pylist()


def test_a_sweep_is_a_row_for_each_run_and_is_not_run_again(short, tmp_path):
    out = tmp_path / "out"
    arguments = ("sweep", short, "--grid", "link.loss=0,0.02", "--seeds", 2, "--out", out, "--jobs", 2)
    result = sim(*arguments)
    assert result.exit_code == 0, result.output
    rows = rows_of(out)
    assert sorted((row["param.link.loss"], row["seed"]) for row in rows) == [
        ("0", 1),
        ("0", 2),
        ("0.02", 1),
        ("0.02", 2),
    ]
    assert {row["status"] for row in rows} == {"ok"}
    again = sim(*arguments)
    assert "4 runs, 4 of them are there already" in again.stdout
    assert rows_of(out) == rows
    more = sim(*arguments[:-5], 3, *arguments[-4:])
    assert "6 runs, 4 of them are there already" in more.stdout
    assert len(rows_of(out)) == 6


def test_failures_of_a_sweep_are_rows_with_their_seeds_and_code_1(short, tmp_path):
    result = sim("sweep", short, "--grid", "duration=20ms,20s", "--out", tmp_path / "out", "--jobs", 1)
    assert result.exit_code == 1
    assert "seed 1 (duration=20ms): flow bulk: unfinished" in result.stderr
    assert sorted(row["status"] for row in rows_of(tmp_path / "out")) == ["failed", "ok"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--grid", "link.los=1,2"], "there is no key 'los' here"),
        (["--grid", "link.loss=0", "--grid", "link.loss=1"], "a key is given twice"),
        (["--grid", "link.loss=0,,1"], "a value is empty"),
        (["--cluster", "tcp://127.0.0.1:1"], "no Dask scheduler answers there"),
        (["--cluster", "nonsense"], "write PROTOCOL://HOST:PORT"),
        (["--seed", str((1 << 63) - 1), "--seeds", "2"], "the last seed would be over 2^63-1"),
        (["--out", "/proc/nowhere"], "--out /proc/nowhere: "),
    ],
)
def test_a_sweep_that_cannot_begin_is_one_sentence_and_code_2(short, tmp_path, arguments, says, monkeypatch):
    monkeypatch.setattr(cluster, "CONNECT_S", "1s")
    result = sim("sweep", short, "--out", tmp_path / "out", *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_killed_sweep_loses_nothing_that_was_finished(short, tmp_path):
    out = tmp_path / "out"
    command = [
        *(sys.executable, "-m", "stack.cli", "sim", "sweep", str(short)),
        *("--seeds", "300", "--out", str(out), "--jobs", "2"),
    ]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    journal = out / "results.journal"
    until = time.monotonic() + 60
    while time.monotonic() < until and not (journal.exists() and journal.read_bytes().count(b"\n") >= 3):
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    finished = journal.read_bytes().count(b"\n")
    assert 3 <= finished < 300
    journal.write_bytes(journal.read_bytes() + b'{"key": "cut o')
    result = sim("sweep", short, "--seeds", 4, "--out", out, "--jobs", 1)
    assert result.exit_code == 0, result.output
    assert " of them are there already" in result.stdout
    assert len(rows_of(out)) >= max(finished, 4)
    assert journal.read_bytes() == b""


def test_a_campaign_of_random_networks(tmp_path):
    result = sim("campaign", "--runs", 2, "--fixed", 1, "--seed", 4, "--jobs", 1, "--out", tmp_path)
    assert result.exit_code == 0, result.output
    assert "3 networks" in result.stdout
    assert "failures: 0" in result.stdout


def test_a_campaign_that_could_not_write_its_failures_does_not_begin(tmp_path):
    (tmp_path / "file").write_text("")
    result = sim("campaign", "--runs", 1, "--fixed", 0, "--out", tmp_path / "file")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == f"tapstack: --out {tmp_path / 'file'}: file exists\n"


@pytest.mark.parametrize("command", [["SHORT"], ["sweep", "SHORT"], ["campaign", "--runs", "1", "--fixed", "0"]])
def test_an_output_folder_without_a_name_is_refused(short, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    result = sim(*(short if word == "SHORT" else word for word in command), "--out", "")
    assert result.exit_code == 2
    assert "'--out': the name of the folder is empty" in result.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_the_campaign_as_a_module_refuses_it_too(capsys):
    with pytest.raises(SystemExit):
        campaign_main(["--runs", "1", "--out", ""])
    assert "--out: the name of the folder is empty" in capsys.readouterr().err
