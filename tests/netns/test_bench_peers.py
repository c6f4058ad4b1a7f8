"""The ground of `make bench-peers`, with the peer that is built in a moment: lwIP."""

import subprocess

import pytest

from tools.bench import run as bench
from tools.bench.peers.build import build
from tools.bench.peers.ground import Contestant
from tools.bench.peers.run import measure
from tools.bench.run import Limits
from tools.bench.sides import OURS, Setting
from tools.netns import ROOT

pytestmark = pytest.mark.netns
ANY = Limits(foreign=1, stolen=1)  # other tests may run beside


@pytest.fixture(scope="module")
def setting(tmp_path_factory):
    program = tmp_path_factory.mktemp("netbench") / "netbench"
    subprocess.run(["cc", "-O2", "-o", str(program), str(ROOT / "tools/bench/netbench.c")], check=True)
    return Setting(str(program), bench.allowed_congestion(), 0.3, 200, 0)


@pytest.fixture(scope="module")
def peers(tmp_path_factory):
    made, missing = build([OURS, "lwip"], tmp_path_factory.mktemp("peers"))
    assert not missing
    return made


@pytest.mark.parametrize("lossy", [False, True])
def test_both_serve_the_same_client(peers, setting, tmp_path, lossy):
    rows = ["loss_rx", "loss_tx"] if lossy else ["bulk_rx", "bulk_tx", "tcp_rr", "udp_rr", "udp64", "crr32"]
    for peer in peers:
        contestant = Contestant(peer, tmp_path, lossy=lossy)
        try:
            contestant.begin()
            contestant.pause()
            for row in rows:
                (sample,) = measure(contestant, row, setting, ANY)
                assert "error" not in sample
                assert sample.get("bytes", 1) > 0
                assert not sample.get("failed")
                assert not lossy or sample["dropped"] > 0
        finally:
            contestant.end()


def test_a_server_that_has_died_is_started_anew(peers, setting, tmp_path):
    contestant = Contestant(peers[1], tmp_path, lossy=True)
    try:
        contestant.begin()
        contestant.side.server.kill()
        contestant.side.server.wait()
        (sample,) = measure(contestant, "udp_rr", setting, ANY)
        assert sample["lost"] == 0
    finally:
        contestant.end()
