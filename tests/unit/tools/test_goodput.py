"""`make goodput`: the wire has the fate that a fault model gives, and an interrupted measurement goes on."""

import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from random import Random

import pytest

from stack.device.fault import FaultModel, Faults
from tools.bench import goodput
from tools.bench.goodput_results import Cell, Results, objection, table
from tools.netns import ROOT, wait_until

LOST, FULL = -1, -2
FRAMES = 20_000
FAR = Cell("cubic", "far", 0.01, 20)
SETTING = {"seconds": 10.0, "source": "abc"}
SESSION = {"started": "20260101-000000"}
SEEDS = [0, 1, (1 << 32) - 1, 1 << 32, (1 << 63) + 5]


@pytest.fixture(scope="session")
def relay(tmp_path_factory):
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    program = tmp_path_factory.mktemp("relay") / "relay"
    subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-o", program, ROOT / "tools/bench/relay.c"], check=True)
    return program


def offered(seed):
    """Bursts and pauses: (time in us, length)."""
    random, now, frames = Random(seed), 0, []
    for _ in range(FRAMES):
        now += random.choice((0, 0, 0, 5, 100, 130, 300))
        frames.append((now, random.choice((66, 1514, 1514, 900))))
    return frames


def by_relay(relay, seed, settings, frames):
    """What becomes of each frame, and the counts."""
    text = "".join(f"{now} {length}\n" for now, length in frames)
    command = [relay, "trace", str(seed), *(str(value) for value in settings)]
    out = subprocess.run(command, input=text, text=True, capture_output=True, check=True).stdout.split()
    return [int(word) for word in out[:FRAMES]], [int(word) for word in out[FRAMES:]]


def by_model(seed, settings, frames):
    """The same of a fault model: when a frame arrives is asked of its deadline, to the microsecond."""
    loss, delay_us, rate, queue_bytes = settings
    faults = Faults(loss=loss, delay_us=delay_us, rate=rate, queue_bytes=queue_bytes)
    model, fates, arrivals, lost = FaultModel(Random(seed), faults), [], [], 0
    for number, (now, length) in enumerate(frames):
        while model.deadline <= now:
            at = model.deadline
            arrivals += [at] * len(model.poll(at))
        survives = model.offer(number.to_bytes(4, "big") + bytes(length - 4), now)
        fates.append(0 if survives else LOST if model.counts.lost > lost else FULL)
        lost = model.counts.lost
    while model.counts.under_way():
        at = model.deadline
        arrivals += [at] * len(model.poll(at))
    counts = model.counts
    return (
        fates,
        arrivals,
        [counts.lost, counts.overflowed, counts.queued, counts.wait_ns, counts.max_wait_ns, counts.max_queue_bytes],
    )


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("settings", [(0.05, 500, 12_500_000, 48_448), (0.001, 50_000, 7_654_321, 20_000)])
def test_every_frame_meets_the_fate_that_a_fault_model_gives(relay, seed, settings):
    frames = offered(7)
    theirs, their_counts = by_relay(relay, seed, settings, frames)
    fates, arrivals, counts = by_model(seed, settings, frames)
    assert [min(fate, 0) for fate in theirs] == fates
    assert [-(-at // 1000) for at in theirs if at >= 0] == arrivals
    assert their_counts == counts
    assert counts[0] > 0
    assert counts[1] > 0


def test_another_seed_is_another_history(relay):
    frames, settings = offered(7), (0.05, 500, 12_500_000, 48_448)
    histories = {tuple(by_relay(relay, seed, settings, frames)[0]) for seed in SEEDS}
    assert len(histories) == len(SEEDS)


def test_the_nth_packet_of_a_seed_is_lost_whatever_the_times_and_lengths(relay):
    settings = (0.05, 500, 12_500_000, 0)
    seen = [
        [fate == LOST for fate in by_relay(relay, 3, settings, offered(random))[0]]
        for random in (1, 2)  # other arrivals
    ]
    assert seen[0] == seen[1]
    random = Random(3)
    assert seen[0] == [random.getrandbits(32) < 0.05 * (1 << 32) for _ in range(FRAMES)]


def test_the_wires_of_a_pair_are_equal_and_those_of_two_seeds_are_not():
    assert goodput.wire(FAR, 4) == goodput.wire(FAR, 4)
    assert goodput.wire(FAR, 4) != goodput.wire(FAR, 5)
    assert goodput.wire(FAR, 4)[2:] == ["0.01", "10000", "12500000", "250000"]


def run(subject, seed=1, mbit=50, cell=FAR, **more):
    relay = {"cpu_share": 0.3, "error_p99_us": 40}
    about = {"cell": asdict(cell), "seed": seed, "subject": subject, "others": 0.01, "relay": relay}
    return about | {"bytes": mbit * 1_250_000, "seconds": 10.0} | more


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({}, ""),
        ({"relay": {"cpu_share": 0.61, "error_p99_us": 40}}, "relay"),
        ({"others": 0.2}, "other programs"),
        ({"error": "closed by the server"}, "closed by the server"),
    ],
)
def test_a_disturbed_run_is_rejected_with_its_reason(tmp_path, more, why):
    sample = run("kernel", **more)
    results = Results(tmp_path / "runs.json", SETTING, SESSION)
    assert results.add(sample) == objection(sample)
    assert why in objection(sample)
    assert (len(results.runs), len(results.rejected)) == ((0, 1) if why else (1, 0))


def test_an_interrupted_measurement_goes_on_with_the_first_pair_that_is_not_whole(tmp_path):
    path, pairs = tmp_path / "runs.json", [(FAR, 1), (FAR, 2), (FAR, 3)]
    before = Results(path, SETTING, SESSION)
    for sample in (run("tapstack"), run("kernel"), run("tapstack", 2), run("kernel", 2, others=0.9)):
        before.add(sample)
    after = Results(path, SETTING, SESSION)
    assert after.missing(pairs) == [(FAR, 2), (FAR, 3)]
    assert len(after.rejected) == 1
    after.begin((FAR, 2))
    assert [sample["seed"] for sample in after.runs] == [1, 1]
    for pair in (2, 3):
        after.add(run("kernel", pair))
        after.add(run("tapstack", pair))
    assert Results(path, SETTING, SESSION).missing(pairs) == []


@pytest.mark.parametrize("fresh", [False, True])
def test_runs_of_another_setting_and_those_not_wanted_any_more_are_put_aside(tmp_path, fresh):
    path = tmp_path / "runs.json"
    Results(path, SETTING, SESSION).add(run("kernel"))
    setting = SETTING if fresh else SETTING | {"source": "def"}
    assert Results(path, setting, SESSION, fresh=fresh).runs == []
    assert [entry.name for entry in tmp_path.iterdir()] == ["runs-20260101-000000.json"]


def test_the_table_has_medians_ratios_and_the_worst_of_the_relay(tmp_path):
    results = Results(tmp_path / "runs.json", SETTING, SESSION)
    for seed, ours in enumerate((40, 44, 90), 1):
        results.add(run("tapstack", seed, ours))
        results.add(run("kernel", seed, 50, relay={"cpu_share": 0.2 + seed / 10, "error_p99_us": 41 + seed}))
    other = Cell("cubic", "far", 0.05, 20)
    (row,) = results.rows([FAR, other])
    assert row.ratio() == pytest.approx(0.88)
    assert row.is_short()
    assert table([row]).splitlines()[-1] == (
        "| cubic | ours, kernel | 1.0% | 20 ms | 44.00 | 40.00 to 90.00 | 50.00 | 50.00 to 50.00 "
        "| 0.88 (short) | 50% | 44 µs |"
    )
    assert other.target() < FAR.target()


def test_time_of_others_does_not_hold_our_own():
    nobody = -1

    def own():
        return goodput.foreign_cpu_s(nobody) - goodput.foreign_cpu_s(os.getpid())

    before = own()
    spin = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\ninput()"
    with subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        running = own()
        child.communicate(b"\n")
    for after in (running, own()):
        assert 0.25 < after - before < 1  # others go on, but here only between two looks


def test_both_cores_are_kept_awake_by_processes_that_give_way_and_end_with_the_measurement():
    def loops():
        return [
            path.parent.name
            for path in Path("/proc").glob("[0-9]*/cmdline")
            if f"getppid() == {os.getpid()}:" in read(path)
        ]

    def read(path):
        try:
            return path.read_text()
        except OSError:
            return ""

    def give_way():
        return [pid for pid in map(int, loops()) if os.sched_getscheduler(pid) == os.SCHED_IDLE]

    with goodput.awake():
        wait_until(lambda: len(give_way()) == 2, "both give way")
        cores = [os.sched_getaffinity(pid) for pid in give_way()]
        assert sorted(cores, key=min) == [{int(goodput.CLIENT_CORE)}, {int(goodput.SERVER_CORE)}]
    assert loops() == []
