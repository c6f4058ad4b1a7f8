"""The network of tests/support/rpc_net.py, built once for all tests in this folder."""

import pytest

from tests.support.netns import need
from tests.support.nfs_net import PROGRAMS, NfsNet


@pytest.fixture(scope="session")
def net(tmp_path_factory):
    need(*PROGRAMS)
    with NfsNet(tmp_path_factory.mktemp("nfs")) as made:
        yield made
