"""A pytest plugin: tests of asyncio programs on simulated hosts, in virtual time.

    async def test_echo(hosts):
        client, server = hosts(2, loss=0.02, delay=0.01)
        with server.active():
            listening = await asyncio.start_server(serve, port=7)
        with client.active():
            reader, writer = await asyncio.open_connection("b", 7)
        ...

Theory of operation.  pytest loads this module in every project where the package is installed, so it imports nothing
but pytest.  An `async def` test that asks for the fixture `hosts` gets another `runtest`: while pytest calls the test,
a plain function stands in its place, which runs it on the loop of the simulation.  So no other plugin for async tests
sees a coroutine function that it would run itself.  What is costly is in `stack.testing.run`, loaded with the first
test that uses `hosts`.

PYTEST_DONT_REWRITE: no assertion here is about a test.
"""

from collections.abc import Callable, Iterator
from functools import partial
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import TestCase

import pytest

if TYPE_CHECKING:
    from stack.testing.run import Hosts

HOUR = 3600.0
HOSTS = pytest.StashKey["Hosts"]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, all `--stack-...`."""
    group = parser.getgroup("stack", "simulated hosts (tapstack)")
    group.addoption("--stack-seed", type=int, metavar="N", help="seed of all simulations whose test gives none")
    group.addoption(
        "--stack-captures",
        metavar="DIR",
        help="where failed tests leave their last frames, as pcapng (default: among pytest's temporary directories)",
    )
    group.addoption(
        "--stack-timeout",
        type=float,
        default=HOUR,
        metavar="S",
        help="virtual seconds that a test on simulated hosts may take (default: %(default)s)",
    )


def pytest_configure(config: pytest.Config) -> None:
    """The markers."""
    config.addinivalue_line(
        "markers",
        "stack_leaks(*kinds): the test may leave these open on its simulated hosts: 'connections', 'listeners', "
        "'datagrams', 'tasks'; all of them when none is named",
    )
    config.addinivalue_line("markers", "stack_timeout(seconds): virtual seconds that this test may take")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Take over the tests that are to run on simulated hosts."""
    for item in items:
        if isinstance(item, pytest.Function) and "hosts" in item.fixturenames and iscoroutinefunction(item.obj):
            item.runtest = partial(_runtest, item, item.runtest)  # type: ignore[method-assign]


def _runtest(item: pytest.Function, otherwise: "Callable[[], None]") -> None:
    """In place of the item's own method."""
    __tracebackhide__ = True
    hosts = item.stash.get(HOSTS, None)
    if hosts is None:
        otherwise()  # a fixture of that name which is not ours
        return
    hosts.run(item)


@pytest.fixture
def hosts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Hosts]":
    """Simulated hosts for an `async def` test, which calls this for some; see docs/testing.md."""
    item = request.node
    if isinstance(item, pytest.Function) and item.cls is not None and issubclass(item.cls, TestCase):
        pytest.fail("`hosts` is not for classes of unittest, which run tests in their own way", pytrace=False)
    if not isinstance(item, pytest.Function) or not isinstance(item.runtest, partial):
        pytest.fail("`hosts` is for `async def` tests that name it, or a fixture that does", pytrace=False)
    from stack.testing.run import Hosts  # noqa: PLC0415  (costly, and most tests need none of it)

    given = request.config.getoption("--stack-captures")

    def captures() -> Path:
        return Path(request.config.invocation_params.dir, given) if given else tmp_path_factory.mktemp("captures")

    made = item.stash[HOSTS] = Hosts(item, captures)
    yield made
    del item.stash[HOSTS]
    made.close()
