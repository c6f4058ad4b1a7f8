"""ping, arping and traceroute from the Linux kernel next door."""

import re

import pytest

from tests.support.netns import DEVICE, HOST, STACK, need
from tests.support.rfc import rfc

pytestmark = [pytest.mark.netns, pytest.mark.interop]


def received(output):
    return int(re.search(r"(\d+) received", output)[1])


def test_ping_loses_nothing(stack):
    assert received(stack.namespace.run("ping", "-c", "100", "-i", "0.01", STACK).stdout) == 100


@rfc("1122", "3.2.2.6", "ICMP-1")
@rfc("1122", "3.3.2", "IP-4")
@rfc("791", "2.3", "IP-9")
@pytest.mark.parametrize("size", [0, 1, 1472, 1473, 65000, 65507])
def test_ping_of_any_size_comes_back_whole(stack, size):
    """65000 bytes travel in 44 fragments each way; ping itself compares what comes back."""
    output = stack.namespace.run("ping", "-c", "5", "-i", "0.02", "-s", str(size), STACK).stdout
    assert received(output) == 5
    assert "wrong data" not in output


def test_flood_ping_loses_nothing(stack):
    assert received(stack.namespace.run("ping", "-q", "-f", "-c", "10000", STACK).stdout) == 10_000


def test_arping_gets_one_answer_per_request(stack):
    need("arping")
    output = stack.namespace.run("arping", "-c", "3", "-I", DEVICE, "-s", HOST, STACK).stdout
    assert re.search(r"Received 3 (response|repl)", output)


def test_duplicate_address_detection_sees_the_stack(stack):
    need("arping")
    stack.settle()
    assert stack.namespace.run("arping", "-D", "-c", "2", "-I", DEVICE, STACK, check=False).returncode == 1


@rfc("1122", "3.2.2.1", "ICMP-5")
def test_traceroute_ends_at_the_stack(stack):
    need("traceroute")
    hops = stack.namespace.run("traceroute", "-n", "-q", "1", "-w", "2", "-m", "4", STACK).stdout.splitlines()[1:]
    assert len(hops) == 1
    assert hops[0].split()[1] == STACK
