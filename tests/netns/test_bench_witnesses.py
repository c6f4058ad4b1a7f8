"""The programs of others that measure us, as `make bench` runs them: both sides serve the same."""

from contextlib import ExitStack

import pytest

from tests.support.netns import need
from tools.bench import witnesses
from tools.bench.run import allowed_congestion
from tools.bench.sides import Setting

pytestmark = pytest.mark.netns


def test_curl_and_iperf3_are_served_by_both_sides(tmp_path, monkeypatch):
    need("curl", "iperf3")
    monkeypatch.setattr(witnesses, "FILE", 20_000_001)
    setting = Setting("", allowed_congestion(), 1, 0, 0)
    with ExitStack() as stack:
        for side in witnesses.sides(stack, tmp_path, setting):
            assert witnesses.curl(side, setting)["bytes"] == 20_000_001
            assert witnesses.iperf3_out(side, setting)["bytes"] > 1 << 20
            assert witnesses.iperf3_udp_in(side, setting)["per_second"] > 100
