"""Rows of `make bench`, tiny: what they count is what went to and fro, on both sides."""

import os
import subprocess
from contextlib import ExitStack

import pytest
from rich.console import Console

from tests.support.netns import need
from tools.bench import crowd, daemons, run
from tools.bench.peers.build import CannotBuild
from tools.bench.rows import METRICS
from tools.bench.run import allowed_congestion, measure
from tools.bench.sides import Setting
from tools.netns import ROOT

pytestmark = pytest.mark.netns


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    program = tmp_path_factory.mktemp("netbench") / "netbench"
    subprocess.run(["cc", "-O2", "-o", str(program), str(ROOT / "tools/bench/netbench.c")], check=True)
    return Setting(str(program), allowed_congestion(), 0.3, 200, 50)


def samples(names, setting, folder):
    """One of each row and side, by row; the rows have the same sides."""
    with ExitStack() as stack:
        sides = METRICS[names[0]].sides(stack, folder, setting)
        return {name: [measure(side, METRICS[name], setting) for side in sides] for name in names}


def test_64_connections_share_and_64_datagrams_come_back(setting, tmp_path):
    found = samples(["bulk_rx64", "bulk_tx64", "udp64"], setting, tmp_path)
    for name in ("bulk_rx64", "bulk_tx64"):
        for sample in found[name]:
            assert sample["bytes"] > 1 << 20
            assert 1 / 64 < sample["fairness"] <= 1
    for sample in found["udp64"]:
        assert sample["echoes"] > 64
        assert sample["per_second"] == pytest.approx(sample["echoes"] / sample["seconds"], rel=0.01)


def test_single_frames_get_lost_in_the_rows_with_loss_and_are_sent_again(setting, tmp_path):
    need("ethtool")
    for sides in samples(["loss_rx", "loss_tx"], setting, tmp_path).values():
        for sample in sides:
            assert sample["dropped"] > 0
            # a frame of 1448 bytes each
            assert sample["dropped"] / (sample["bytes"] / 1448) == pytest.approx(0.01, rel=0.9)


def test_datagrams_pass_both_routers_from_one_namespace_to_another(setting, tmp_path):
    for sample in samples(["forward"], setting, tmp_path)["forward"]:
        assert 100 < sample["received"] <= sample["sent"]


def test_several_processes_hold_connections_and_use_some_or_all_of_them(setting, tmp_path, monkeypatch):
    monkeypatch.setattr(crowd, "EACH", 20)
    monkeypatch.setattr(crowd, "SOME", 30)
    monkeypatch.setattr(crowd, "REST_S", 0.0)
    rows = ["busy_10", "busy_10_10k", "held", "busy_10_all", "busy_all"]
    found = {row: each[0] for row, each in samples(rows, setting, tmp_path).items()}
    assert {row: (each["open"], each.get("used")) for row, each in found.items()} == {
        "busy_10": (10, 10),
        "busy_10_10k": (50, 10),
        "held": (50, None),
        "busy_10_all": (50, 10),
        "busy_all": (50, 50),
    }
    assert all(each.get("requests", 100) >= 100 for each in found.values())
    assert found["held"]["bytes_each"] >= 0


def test_connections_that_the_server_does_not_take_are_an_error(setting, tmp_path, monkeypatch):
    monkeypatch.setattr(crowd, "FIRST_ECHO", 5)
    for sample in samples(["busy_10"], setting, tmp_path)["busy_10"]:
        assert "connect after 0 connections" in sample["error"]


def test_a_process_is_timed_from_its_start_to_the_first_ping(setting, tmp_path):
    for each in samples(["start_ping", "start_ping_daemon"], setting, tmp_path).values():
        # loading a Python takes longer than that; without the shorter interval of ARP it would be seconds
        assert 20 < each[0]["ms"] < 10_000


def test_a_daemon_at_rest_is_watched(setting, tmp_path, monkeypatch):
    monkeypatch.setattr(daemons, "WATCH_S", 0.3)
    monkeypatch.setattr(daemons, "CONNECTIONS", "20")
    for each in samples(["idle_cpu", "idle_cpu_1000"], setting, tmp_path).values():
        assert 0 <= each[0]["percent"] < 100


def test_the_time_on_a_processor_is_that_of_all_threads():
    before = daemons.cpu_ns(os.getpid())
    sum(range(1_000_000))
    assert daemons.cpu_ns(os.getpid()) - before > 1_000_000


def test_plain_frames_are_measured_beside_lwip(setting, tmp_path):
    for sides in samples(["plain_rx", "plain_tx"], setting, tmp_path).values():
        assert [sample["bytes"] > 1 << 20 for sample in sides] == [True, True]


def test_a_packet_socket_is_measured_beside_a_tap(setting, tmp_path):
    found = samples(["packet_rx", "packet_tx", "packet_rr"], setting, tmp_path)
    for row in ("packet_rx", "packet_tx"):
        assert [sample["bytes"] > 1 << 20 for sample in found[row]] == [True, True]
    assert [sample["lost"] for sample in found["packet_rr"]] == [0, 0]


def test_rows_without_their_peer_say_what_is_missing(setting, tmp_path, monkeypatch):
    def missing(_folder):
        raise CannotBuild("the Debian package liblwip-dev is missing")

    monkeypatch.setattr("tools.bench.peers.build.lwip", missing)
    monkeypatch.setattr(run, "OUT", tmp_path)
    results = run.run(["plain_rx"], 1, setting, run.Limits(), Console(quiet=True))
    assert results.errors() == ["plain_rx lwip: the Debian package liblwip-dev is missing"]
