"""The network of tests/support/rpc_net.py, built once for all tests in this folder."""

import pytest

from tests.support.netns import need
from tests.support.rpc_net import PROGRAMS, RpcNet


@pytest.fixture(scope="session")
def net(tmp_path_factory):
    need(*PROGRAMS)
    with RpcNet(tmp_path_factory.mktemp("rpc")) as made:
        yield made
