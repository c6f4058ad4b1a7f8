"""Two hosts on a virtual link, in a thread of their own: sockets of the tests are the first one's."""

import gc
import threading

import pytest

from stack import socket
from tests.support.blocking import all_ended, descriptors, eventually, two_hosts


@pytest.fixture(scope="session")
def warm():
    """What a first loop opens for the whole process is no leak."""
    with socket.use(two_hosts) as made:
        assert made.host.addresses()


@pytest.fixture
def station(warm):
    """Nothing may be left of what a test has closed: no descriptor, no end of a pair, no connection of ours."""
    gc.collect()
    before = descriptors()
    with socket.use(two_hosts) as made:
        assert made.host.addresses()
        yield made
        gc.collect()
        all_ended(made)
    assert [thread for thread in threading.enumerate() if thread.name == "tapstack"] == []
    eventually(lambda: descriptors() <= before, "the closing of descriptors")
