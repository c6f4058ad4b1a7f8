"""The DNS hierarchy of tests/support/dns_hierarchy.py, built once for all tests in this folder."""

import pytest

from tests.support.dns_hierarchy import PROGRAMS, Hierarchy
from tests.support.netns import need


@pytest.fixture(scope="session")
def hierarchy(tmp_path_factory):
    need(*PROGRAMS, "dig", "kdig", "drill", "delv", "dnsperf")
    with Hierarchy(tmp_path_factory.mktemp("hierarchy")) as made:
        yield made
