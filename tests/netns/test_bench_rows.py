"""Rows of `make bench`, tiny: what they count is what went to and fro, on both sides."""

import subprocess
from contextlib import ExitStack

import pytest

from tests.support.netns import need
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
