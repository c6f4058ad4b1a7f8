"""Daemons and their namespaces for the acceptance tests."""

import pytest

from tests.support.netns import Daemon, Namespace, join_by_bridge


@pytest.fixture
def namespace():
    """A namespace of the test's own."""
    with Namespace() as made:
        yield made


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    """A daemon that the tests of one file share; it must still be well when they are done."""
    with Namespace() as made, Daemon(made, tmp_path_factory.mktemp("daemon")) as daemon:
        yield daemon


@pytest.fixture
def lossy(tmp_path):
    """A daemon of the test's own, and a client (a namespace) behind a link that loses 1 % both ways."""
    with Namespace() as near, Namespace() as client, Daemon(near, tmp_path) as daemon:
        join_by_bridge(near, client)
        near.drop("near", 10)
        client.drop("far", 10)
        yield daemon, client
