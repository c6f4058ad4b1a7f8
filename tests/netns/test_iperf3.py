"""examples/iperf3_server.py on our stack, and iperf3 itself as its client: TCP and UDP, both ways."""

import json
import os
import socket
import sys
from pathlib import Path

import pytest

from tests.support.netns import HOST, STACK, need, tapstack, wait_until
from tools.netns import ROOT, Namespace, stop

pytestmark = pytest.mark.netns

MIB = 1 << 20
SERVER = str(ROOT / "examples/iperf3_server.py")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A namespace in which the server has an address of its own, and what the server says."""
    need("iperf3")
    with Namespace() as namespace:
        log = tmp_path_factory.mktemp("iperf3") / "log"
        environment = f"PATH={Path(sys.executable).parent}:{os.environ['PATH']}"
        command = tapstack("run", "--tap", "--", sys.executable, SERVER)
        process = namespace.start("env", environment, *command, log=log)
        wait_until(
            lambda: process.poll() is not None or "iperf3 server" in log.read_text(), "the server says that it runs"
        )

        def reachable():
            return namespace.run("nc", "-z", "-w", "1", STACK, "5201", check=False).returncode == 0

        wait_until(reachable, f"the server answers: {log.read_text()}")
        yield namespace, log
        assert process.poll() is None
        stop(process)
        assert "Traceback" not in log.read_text()


def iperf3(namespace, *options, check=True):
    done = namespace.run("iperf3", "-c", STACK, "-J", *options, check=False, timeout=20)
    result = json.loads(done.stdout)
    assert not check or "error" not in result, result["error"]
    return result


def both_sums(result):
    sums = result["end"]["sum_sent"], result["end"]["sum_received"]
    return [each["bytes"] for each in sums]


def test_the_client_talks_to_our_address(server):
    start = iperf3(server[0], "-n", "1M")["start"]["connected"][0]
    assert start["remote_host"] == STACK
    assert start["local_host"] == HOST


@pytest.mark.parametrize("options", [(), ("-R",), ("-P", "3"), ("-R", "-P", "3")], ids=" ".join)
def test_tcp(server, options):
    """What one side has sent, the other has received, but for what was on its way at the end."""
    sent, received = both_sums(iperf3(server[0], "-n", "30M", *options))
    assert sent >= 30 * MIB
    assert 25 * MIB < received <= sent


def test_seconds_that_are_omitted_do_not_count(server):
    result = iperf3(server[0], "-t", "1", "-O", "1", "-R")
    sent, received = both_sums(result)
    seconds = result["end"]["sum_received"]["seconds"]
    assert received > MIB
    assert sent < 2 * received
    assert seconds < 2


def test_both_ways_at_once(server):
    end = iperf3(server[0], "-t", "1", "--bidir")["end"]
    for name in ("sum_sent", "sum_received", "sum_sent_bidir_reverse", "sum_received_bidir_reverse"):
        assert end[name]["bytes"] > MIB


@pytest.mark.parametrize("options", [(), ("-R",)], ids=" ".join)
def test_udp_at_a_rate(server, options):
    """2 Mbit/s in datagrams of 1000 bytes: 250 in a second, and all of them arrive."""
    result = iperf3(server[0], "-u", "-b", "2M", "-l", "1000", "-t", "1", *options)
    total = result["end"]["sum"]
    assert total["lost_packets"] == 0
    assert 100 <= total["packets"] <= 500
    assert result["end"]["streams"][0]["udp"]["out_of_order"] == 0


def test_a_second_client_is_told_to_wait(server):
    namespace, _ = server
    first = namespace.start("iperf3", "-c", STACK, "-t", "5")
    with namespace.entered():

        def denied():
            with socket.create_connection((STACK, 5201), 5) as other:
                other.sendall(b"x" * 36 + b"\0")
                return other.recv(1) == b"\xff"

        wait_until(denied, "another test is refused")
    stop(first)
    assert "error" not in iperf3(namespace, "-n", "1M")


def test_nonsense_is_refused_and_the_next_test_runs(server):
    namespace, log = server
    with namespace.entered():
        for said in (b"\xff\xff\xff\xff", b"\0\0\0\2[]", b'\0\0\0\x0e{"parallel":0}', b"\0\0\0\5{nope"):
            with socket.create_connection((STACK, 5201), 5) as client:
                client.sendall(b"y" * 36 + b"\0" + said)
                assert client.recv(1) == b"\t"
                assert client.recv(1) == b""
    iperf3(namespace, "-n", "1M")
    assert "parallel: 0 is not in 1 to 128" in log.read_text()
