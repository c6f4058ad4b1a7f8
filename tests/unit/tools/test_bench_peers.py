"""What `make bench-peers` makes of its samples, and what it says of a stack that it cannot build."""

import pytest

from tools.bench.peers import build, pages
from tools.bench.peers.report import Findings, draw
from tools.bench.peers.run import ROWS
from tools.bench.sides import KERNEL, OURS


def sample(**values):
    return {"server_cpu_s": 1.0, "wall_s": 1.0} | values


SAMPLES = {
    "bulk_rx": {
        OURS: [sample(gbps=10.0), sample(gbps=30.0), sample(gbps=20.0)],
        "gvisor": [sample(gbps=25.0), {"error": "no answer"}, sample(gbps=25.0)],
        "lwip": [sample(gbps=4.0)],
        KERNEL: [sample(gbps=40.0)],
    },
    "tcp_rr": {OURS: [sample(p50_us=50.0)], "lwip": [sample(p50_us=21.0)], "gvisor": [sample(p50_us=100.0)]},
    "http": {OURS: [sample(per_second=39.0)], "lwip": [sample(per_second=100.0)], "gvisor": [{"error": "died"}]},
}


@pytest.fixture
def findings():
    return Findings(ROWS, SAMPLES)


def test_ours_is_compared_by_medians_and_a_shorter_time_is_better(findings):
    assert findings.ratio("bulk_rx", "gvisor") == 0.8
    assert findings.ratio("tcp_rr", "gvisor") == 2
    assert findings.ratio("tcp_rr", "lwip") == 0.42
    assert findings.ratio("http", "gvisor") is None


def test_samples_that_others_spoilt_count_only_where_there_are_no_others():
    spoilt = sample(gbps=1.0, spoilt="other programs took 50% of the machine")
    findings = Findings(ROWS, {"bulk_rx": {OURS: [spoilt, sample(gbps=9.0)], "lwip": [spoilt]}})
    assert findings.values("bulk_rx", OURS) == [9.0]
    assert findings.values("bulk_rx", "lwip") == [1.0]


def test_aims_of_bulk_are_for_each_and_those_of_lwip_else_are_smaller(findings):
    aims = {(aim.row, aim.peer): (aim.wanted, aim.is_met()) for aim in findings.aims()}
    assert aims == {
        ("bulk_rx", "gVisor"): (1.0, False),
        ("bulk_rx", "lwIP"): (1.0, True),
        ("tcp_rr", "gVisor"): (1.0, True),
        ("tcp_rr", "lwIP"): (0.4, True),
        ("http", "lwIP"): (0.4, False),
    }


def test_the_table_has_a_column_for_each_stack_and_says_what_failed(findings):
    heading, _, bulk, _, http = findings.table(findings.spread).splitlines()
    assert heading == "| | tapstack | gVisor | lwIP | kernel + uvloop |"
    assert "| 20 (10 to 30) | 25 (25 to 25) | 4 (4 to 4) | 40 (40 to 40) |" in bulk
    assert "| failed |" in http
    assert list(findings.errors()) == ["bulk_rx gvisor: no answer", "http gvisor: died"]


def test_plain_frames_are_compared_with_lwip_in_bulk_only():
    samples = {
        row: {"plain": [{key: 3.0}], "lwip": [{key: 4.0}]} for row, key in (("bulk_tx", "gbps"), ("http", "per_second"))
    }
    aims = list(Findings(ROWS, samples).aims())
    assert [(aim.row, aim.wanted, aim.found) for aim in aims] == [("bulk_tx with plain frames", 1.0, 0.75)]


def test_costs_are_of_a_gigabyte_a_connection_and_a_core():
    common = {"server_cpu_s": 1.5, "wall_s": 2.0}
    samples = {
        "bulk_rx": {OURS: [common | {"gbps": 4.0, "bytes": 10**9}]},
        "crr": {OURS: [common | {"per_second": 5000.0, "finished": 10_000}]},
        "tcp_rr": {OURS: [common | {"p50_us": 20.0}]},
    }
    findings = Findings(ROWS, samples)
    assert [findings.cost(row, OURS) for row in samples] == ["1.5 s/GB", "150 µs", "75 %"]


def test_the_table_goes_between_its_markers_and_nowhere_else(findings):
    content = {"started": "2026-01-02T03:04", "machine": "2 x CPU", "kernel": "6", "samples": SAMPLES, "note": "a hint"}
    content |= {"versions": {"lwip": "2.1"}, "missing": {"pytcp3": "no Python\nmore"}}
    text = pages.full(findings, content)
    assert text.startswith("2026-01-02, 2 x CPU, Linux 6, medians of 3; a hint")
    assert text.endswith("- lwIP: 2.1\n- PyTCP 3, left out: no Python\n")
    page = f"before\n{pages.BEGIN}old\n{pages.END}after\n"
    once = pages.between(page, pages.short(findings, content), pages.BEGIN, pages.END)
    assert once.startswith(f"before\n{pages.BEGIN}2026-01-02")
    assert once.endswith(f"|\n{pages.END}after\n")
    assert pages.between(once, "old\n", pages.BEGIN, pages.END) == page
    with pytest.raises(ValueError, match="markers"):
        pages.between("no markers", "text", pages.BEGIN, pages.END)


def test_both_pages_have_the_markers():
    for path in (pages.README, pages.PAGE):
        assert pages.between(path.read_text(encoding="utf-8"), "", pages.BEGIN, pages.END) != ""


def test_the_chart_is_the_same_for_the_same_numbers(findings, tmp_path):
    paths = [tmp_path / name for name in ("a.svg", "b.svg", "a.png")]
    draw(findings, "today", *paths)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert "kernel + uvloop" in paths[0].read_text()
    assert paths[2].read_bytes().startswith(b"\x89PNG")


def test_a_stack_that_cannot_be_built_is_left_out_with_a_sentence(tmp_path, monkeypatch):
    def nothing(_name):
        return None

    monkeypatch.setattr(build.shutil, "which", nothing)
    peers, missing = build.build([OURS, "gvisor", "lwip", "pytcp3"], tmp_path)
    assert [peer.name for peer in peers] == [OURS]
    assert "scripts/bootstrap.sh peers" in missing["gvisor"]
    assert "scripts/bootstrap.sh peers" in missing["lwip"]
    assert missing["pytcp3"] == "PyTCP 3 needs Python 3.14, and there is no python3.14 on this machine"
