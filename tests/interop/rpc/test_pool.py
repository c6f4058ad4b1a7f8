"""A pool of three real processes, one of which is frozen by SIGSTOP."""

import json
import signal
import sys

import pytest

from tests.support.rpc_pool_client import CALLS
from tools.netns import Namespace, stop, wait_until

PORTS = ("4001", "4002", "4003")


@pytest.fixture
def servers(tmp_path):
    with Namespace() as namespace:
        made = []
        for port in PORTS:
            log = tmp_path / f"{port}.log"
            made.append(namespace.start(sys.executable, "-m", "tests.support.rpc_pool_server", port, log=log))
        for port in PORTS:
            wait_until(lambda log=tmp_path / f"{port}.log": "ready" in log.read_text(), f"port {port}", 30)
        yield namespace, made
        for process in made:
            process.send_signal(signal.SIGCONT)
            stop(process)


def calls(servers, *, hedge, failover):
    namespace, made = servers
    program = (sys.executable, "-m", "tests.support.rpc_pool_client", str(hedge), failover, str(made[1].pid), *PORTS)
    return json.loads(namespace.run(*program, timeout=120).stdout)


@pytest.mark.parametrize("hedge", [0, 0.95])
def test_one_process_is_frozen_and_no_call_is_lost(servers, hedge):
    before, during, after, errors, stats, states = calls(servers, hedge=hedge, failover="yes")
    assert errors == {}
    assert (before, during, after) == (CALLS,) * 3
    assert stats["hedges_won" if hedge else "failed_over"] >= 1
    assert states == ["ready"] * 3  # once it goes on it is a member like the others


def test_without_fail_over_calls_are_lost(servers):
    """The control."""
    _, during, _, errors, _, _ = calls(servers, hedge=0, failover="no")
    assert during < CALLS
    assert set(errors) == {"RpcTimeout"}
