"""What `make bench-peers` makes of its samples, and what it says of a stack that it cannot build."""

import pytest

from tools.bench.peers import build
from tools.bench.peers.report import Findings, draw
from tools.bench.peers.run import ROWS
from tools.bench.sides import KERNEL, OURS

SAMPLES = {
    "bulk_rx": {
        OURS: [{"gbps": 10.0}, {"gbps": 30.0}, {"gbps": 20.0}],
        "gvisor": [{"gbps": 25.0}, {"error": "no answer"}, {"gbps": 25.0}],
        "lwip": [{"gbps": 4.0}],
        KERNEL: [{"gbps": 40.0}],
    },
    "tcp_rr": {OURS: [{"p50_us": 50.0}], "lwip": [{"p50_us": 21.0}], "gvisor": [{"p50_us": 100.0}]},
    "http": {OURS: [{"per_second": 39.0}], "lwip": [{"per_second": 100.0}], "gvisor": [{"error": "died"}]},
}


@pytest.fixture
def findings():
    return Findings(ROWS, SAMPLES)


def test_ours_is_compared_by_medians_and_a_shorter_time_is_better(findings):
    assert findings.ratio("bulk_rx", "gvisor") == 0.8
    assert findings.ratio("tcp_rr", "gvisor") == 2
    assert findings.ratio("tcp_rr", "lwip") == 0.42
    assert findings.ratio("http", "gvisor") is None


def test_aims_of_bulk_are_for_each_and_those_of_lwip_else_are_smaller(findings):
    aims = {(aim.row, aim.peer): (aim.wanted, aim.is_met()) for aim in findings.aims()}
    assert aims == {
        ("bulk_rx", "gvisor"): (1.0, False),
        ("bulk_rx", "lwip"): (1.0, True),
        ("tcp_rr", "gvisor"): (1.0, True),
        ("tcp_rr", "lwip"): (0.4, True),
        ("http", "lwip"): (0.4, False),
    }


def test_the_table_has_a_column_for_each_stack_and_says_what_failed(findings):
    heading, _, bulk, _, http = findings.table().splitlines()
    assert heading == "| | tapstack | gVisor | lwIP | kernel + uvloop |"
    assert "| 20 (10 to 30) | 25 (25 to 25) | 4 (4 to 4) | 40 (40 to 40) |" in bulk
    assert "| failed |" in http
    assert list(findings.errors()) == ["bulk_rx gvisor: no answer", "http gvisor: died"]


def test_the_chart_is_the_same_for_the_same_numbers(findings, tmp_path):
    first = [path.read_bytes() for path in draw(findings, "today", tmp_path / "a")]
    assert first == [path.read_bytes() for path in draw(findings, "today", tmp_path / "b")]
    assert b"<svg" in first[0]
    assert first[1].startswith(b"\x89PNG")


def test_a_stack_that_cannot_be_built_is_left_out_with_a_sentence(tmp_path, monkeypatch):
    def nothing(_name):
        return None

    monkeypatch.setattr(build.shutil, "which", nothing)
    peers, missing = build.build([OURS, "gvisor", "lwip", "pytcp3"], tmp_path)
    assert [peer.name for peer in peers] == [OURS]
    assert "scripts/bootstrap.sh peers" in missing["gvisor"]
    assert "scripts/bootstrap.sh peers" in missing["lwip"]
    assert missing["pytcp3"] == "PyTCP 3 needs Python 3.14, and there is no python3.14 on this machine"
