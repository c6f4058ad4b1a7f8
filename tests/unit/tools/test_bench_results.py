"""What `make bench` makes of its samples: which count, medians, costs, the baseline, the chart."""

import io
import os
from dataclasses import replace

import pytest
from rich.console import Console

from tools.bench import load, page
from tools.bench.chart import draw, pairs
from tools.bench.load import Load, Process, Reading
from tools.bench.results import Results, baseline, changes
from tools.bench.rows import METRICS
from tools.bench.sides import KERNEL, OURS

ABOUT = {"started": "2026-01-02T03:04", "machine": "2 x CPU", "kernel": "6.1-x", "form": "compiled", "revision": "abc"}


def sample(**values):
    return {"server_cpu_s": 1.0, "wall_s": 2.0} | values


@pytest.fixture
def results():
    spoilt = {"spoilt": "other programs took 40% of the machine"}
    return Results(
        {
            "bulk_rx": {
                OURS: [sample(gbps=1.0) | spoilt, sample(gbps=10.0, bytes=10**9), sample(gbps=30.0), {"error": "died"}],
                KERNEL: [sample(gbps=40.0, bytes=4 * 10**9)],
            },
            "tcp_rr": {OURS: [sample(p50_us=30.0, rounds=100) | spoilt], KERNEL: [sample(p50_us=20.0, rounds=200)]},
            "forward": {OURS: [sample(per_second=5.0, received=10)], KERNEL: [{"error": "died"}]},
        }
    )


def test_spoilt_samples_count_only_where_there_are_no_others(results):
    assert results.values("bulk_rx", OURS) == [10, 30]
    assert results.values("tcp_rr", OURS) == [30]
    assert results.summary("bulk_rx").ours.is_quiet
    assert not results.summary("tcp_rr").ours.is_quiet
    assert str(results.summary("tcp_rr").ours) == "~30"
    assert results.summary("bulk_rx").ratio == 0.5
    assert results.summary("forward").ratio is None
    assert results.errors() == ["bulk_rx tapstack: died", "forward kernel: died"]


def test_costs_are_of_a_gigabyte_or_of_what_was_done(results):
    assert results.summary("bulk_rx").theirs.cost == "0.25 s/GB"
    assert results.summary("tcp_rr").ours.cost == "10,000 µs"
    assert results.summary("forward").ours.cost == "100,000 µs"
    rate = Results({"http": {OURS: [sample(per_second=1000.0)]}})
    assert rate.summary("http").ours.cost == "500 µs"


def test_a_row_may_be_compared_with_another_row_of_ours(monkeypatch):
    monkeypatch.setitem(METRICS, "http", replace(METRICS["http"], beside="crr"))
    results = Results({"crr": {OURS: [sample(per_second=100.0)]}, "http": {OURS: [sample(per_second=80.0)]}})
    assert results.summary("http").ratio == 0.8
    assert results.summary("http").peer == "crr"
    assert Results({"http": results.samples["http"]}).summary("http").ratio is None


def test_changes_are_of_ratios_and_more_is_better(results):
    then = {
        "rows": {
            "bulk_rx": {"tapstack": 100.0, "peer": KERNEL, "theirs": 100.0, **ABOUT},
            "tcp_rr": {"tapstack": 60.0, "peer": KERNEL, "theirs": 20.0, **ABOUT},
            "forward": {"tapstack": 4.0, "peer": KERNEL, "theirs": 400.0, **ABOUT},
        }
    }
    assert changes(results, then, ABOUT) == {"bulk_rx": "-50%", "tcp_rr": "~+100%", "forward": "+25%"}
    then["rows"]["bulk_rx"]["tapstack"] = 70.0  # 0.7, where this run has 0.25 to 0.75
    then["rows"]["tcp_rr"]["theirs"] = 40.0  # 1.5, which is this run's one value
    assert changes(results, then, ABOUT) == {"bulk_rx": "(-29%)", "tcp_rr": "(~+0%)", "forward": "+25%"}
    assert changes(results, {}, ABOUT) == {}
    same = {"bulk_rx": "(+0%)", "tcp_rr": "(~+0%)", "forward": "(+0%)"}
    assert changes(results, baseline(results, ABOUT), ABOUT) == same
    assert changes(results, baseline(results, ABOUT), ABOUT | {"started": "2027", "revision": "def"}) == same
    for what in ("form", "machine", "python"):
        told = dict.fromkeys(same, f"other {what}")
        assert changes(results, baseline(results, ABOUT), ABOUT | {what: "interpreted"}) == told


def test_the_baseline_keeps_medians_with_machine_and_time(results):
    kept = baseline(results, ABOUT | {"samples": "not these"})
    assert list(kept) == ["rows"]
    assert kept["rows"]["bulk_rx"] == {"unit": "Gbit/s", "tapstack": 20, "peer": KERNEL, "theirs": 40, **ABOUT}
    assert kept["rows"]["tcp_rr"]["spoilt"]
    assert kept["rows"]["forward"] == {"unit": "frames/s", "tapstack": 5, **ABOUT}


def test_the_table_says_what_was_taken_under_load(results):
    out = io.StringIO()
    Console(file=out, width=200).print(results.table({"bulk_rx": "+7%"}))
    assert "~30" in out.getvalue()
    assert "while others used the machine" in out.getvalue()
    assert "+7%" in out.getvalue()
    del results.samples["tcp_rr"]
    assert not results.is_loaded()


def test_the_chart_has_multiples_of_the_peer(results, tmp_path):
    bulk, trip = pairs(results)
    assert (bulk.ours.length, bulk.ours.least, bulk.ours.most) == (0.5, 0.25, 0.75)
    assert bulk.theirs.length == 1
    assert trip.name == "tcp_rr (less is better)"
    paths = [tmp_path / name for name in ("a.svg", "b.svg", "a.png")]
    draw(results, ABOUT, *paths)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert "20 Gbit/s" in paths[0].read_text()
    assert paths[2].read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ValueError, match="nothing to draw"):
        draw(Results({}), ABOUT, paths[0])


# -- what others do meanwhile


def test_the_load_of_others_is_what_is_not_ours():
    before = Reading(total=1000, programs=500, stolen=10, ours=300)
    after = Reading(total=1200, programs=640, stolen=20, ours=420)
    taken = before.until(after)
    assert taken == Load(foreign=0.1, stolen=0.05)
    assert taken.judge(foreign=0.2, stolen=0.06) == ""
    assert taken.judge(foreign=0.09, stolen=0.06) == "other programs took 10% of the machine"
    assert taken.judge(foreign=0.2, stolen=0.04) == "the hypervisor took 5% of the machine"
    assert before.until(before) == Load(0, 0)


def test_counters_of_the_machine_and_of_a_process_are_read_as_proc5_says():
    assert load.parse_machine("cpu  10 2 30 400 5 6 7 8 0 0\ncpu0 1 1 1 1\n") == (468, 42, 8)
    assert load.parse_process("7 (a) b) (c) S 3 7 7 0 -1 0 1 2 3 4 11 12 13 14 20 0") == Process(parent=3, ticks=50)


def test_ours_is_who_descends_from_us_and_the_kernels_threads():
    family = {
        1: (0, 1),
        2: (0, 10),
        5: (2, 100),
        10: (1, 1000),
        11: (10, 10_000),
        12: (11, 100_000),
        13: (1, 1_000_000),
    }
    processes = {pid: Process(*values) for pid, values in family.items()}
    assert load.of_family(processes, 10) == 111_110


def test_this_machine_has_such_counters():
    reading = load.read()
    assert reading.ours > 0
    assert 0 < reading.programs <= reading.total
    sum(range(3_000_000))
    assert load.read().ours >= reading.ours
    assert dict(load._processes())[os.getpid()].ticks > 0


def test_the_page_has_a_run_whole_and_the_ratios_of_others(results):
    again = Results({"bulk_rx": {OURS: [sample(gbps=30.0)], KERNEL: [sample(gbps=40.0)]}})
    about = ABOUT | {"python": "3.11.2", "congestion": "cubic"}
    text = page.table([about | {"samples": results.samples}, about | {"samples": again.samples}])
    lines = text.splitlines()
    assert lines[0].startswith(
        "2026-01-02 03:04 and 2026-01-02 03:04 UTC, 2 x CPU, Linux 6.1, Python 3.11.2, core compiled"
    )
    assert lines[4] == "| `bulk_rx` | Gbit/s | 20 (10 to 30) | kernel | 40 (40 to 40) | 0.50 | 0.75 |"
    assert lines[5] == "| `tcp_rr` | µs p50 | ~30 (30 to 30) | kernel | 20 (20 to 20) | 1.50 | - |"
    assert lines[6] == "| `forward` | frames/s | 5 (5 to 5) |  | - | - | - |"
    assert page.between(page.PAGE.read_text(encoding="utf-8"), text, page.BEGIN, page.END).count(text) == 1
