"""The fixture is right: the C programs with each other, through the kernel alone."""

import json
import re

import pytest

from tests.support.rpc_calc import PROGRAM
from tests.support.rpc_net import CLIENT, SERVER

pytestmark = [pytest.mark.netns, pytest.mark.interop]
both = pytest.mark.parametrize("protocol", ["udp", "tcp"])


@both
def test_c_with_c(net, protocol):
    with net.server.calc():
        printed = net.client.run(net.programs.client, SERVER, protocol, "all").stdout
    assert "1 + 2: status 0 value 3, fine 3\n" in printed
    assert "7 / 0: status 1 value 0, by zero\n" in printed
    assert "verdict -7: more than 10^12" in printed
    assert "list of 1000: sum 332828500, reversed 997996 995999 994004 992011 990020, 1000 nodes\n" in printed
    assert "echo of 8000: same\n" in printed
    assert ("echo of 900000: same\n" in printed) == (protocol == "tcp")
    assert "counter 3, still 3\n" in printed
    assert "NOT" not in printed


def test_rpcinfo_lists_the_server(net):
    with net.server.calc(port=2049):
        listed = net.client.run("rpcinfo", "-p", SERVER).stdout.splitlines()
    ours = sorted(tuple(line.split()[:4]) for line in listed if line.split()[0] == str(PROGRAM))
    assert ours == [(str(PROGRAM), version, kind, "2049") for version in "12" for kind in ("tcp", "udp")]


def test_each_place_has_an_rpcbind_of_its_own(net):
    with net.server.calc():
        assert str(PROGRAM) not in net.client.run("rpcinfo", "-p", CLIENT).stdout


@both
def test_the_load_generator_counts(net, protocol):
    with net.server.calc(port=2050):
        said = json.loads(net.client.run(net.programs.bench, SERVER, "2050", protocol, "2", "0.5", "100").stdout)
    assert said["failed"] == 0
    assert said["calls"] > 50
    assert 0 < said["p50_us"] <= said["p99_us"]


def test_loss_is_on_the_way_both_ways(net):
    """By ping: libtirpc asks rpcbind again after 15 s only."""
    with net.loss(300, "v-server", "v-client"):
        said = net.client.run("ping", "-q", "-c", "100", "-i", "0.01", "-W", "1", SERVER, check=False).stdout
    answered = int(re.search(r"(\d+) received", said)[1])
    assert 15 < answered < 85  # 49 are to be expected, and these are seven deviations away
