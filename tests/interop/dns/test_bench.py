"""The DNS rows of `make bench` measure what they say: each client asks, is answered, and from so many ports."""

import json
import sys
from contextlib import ExitStack

import pytest

from tools.bench import dns
from tools.bench.dns_clients import CLIENTS
from tools.bench.sides import ADDRESS, CLIENT, OURS, PREFIX, Setting
from tools.netns import CommandFailed, Namespace

pytestmark = [pytest.mark.netns, pytest.mark.interop]
SETTING = Setting(netbench="", congestion="reno", seconds=0.2, rounds=1, idle=1)
QUESTIONS = 200
SHARED = {"aiodns", "echo"}  # who put several questions on one port


@pytest.fixture(scope="module")
def kernel(tmp_path_factory):
    with ExitStack() as stack:
        yield dns.beside("bare")(stack, tmp_path_factory.mktemp("bench"), SETTING)[0]


@pytest.mark.parametrize("client", CLIENTS)
def test_every_client_is_answered(kernel, client):
    kernel.name = client
    for sample in (dns.one(kernel, SETTING), dns.many(kernel, SETTING)):
        assert sample["per_second"] > 0
        assert 0 < sample["p50_us"] <= sample["worst_us"]
        assert sample["cpu_us"] > 0


@pytest.mark.parametrize("client", CLIENTS)
def test_from_how_many_ports_a_client_asks(client):
    with Namespace() as namespace:
        arguments = ("-m", "tools.bench.dns_rate", client, dns.NOTING, "1", "32", "--ports", str(QUESTIONS))
        ports = json.loads(namespace.run(sys.executable, *arguments).stdout)["ports"]
    if client in SHARED:
        assert ports < QUESTIONS / 4
    else:  # but for ports that were drawn twice
        assert ports > QUESTIONS * 0.95


@pytest.mark.parametrize("peer", ["echo", "bare"])
def test_the_same_on_our_stack(tmp_path, peer):
    with ExitStack() as stack:
        for side in dns.on_our_stack(peer)(stack, tmp_path, SETTING):
            assert dns.many_on_our_stack(side, SETTING)["per_second"] > 10


def test_what_a_client_misses_is_an_error(kernel):
    """The control: nobody listens there."""
    where = ("--tap", "tap0", f"{ADDRESS}/{PREFIX}")
    kernel.name = OURS
    with pytest.raises(CommandFailed, match=f"{CLIENT}: unreachable"):
        dns.rate(kernel, SETTING, 1, *where)
