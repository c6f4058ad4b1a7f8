"""Every TCP test runs with initial sequence numbers whose wrap falls into the script, on both sides (T-SEQ-1)."""

from collections.abc import Callable, Iterator

import pytest

from tests.support.tcp_dsl import Scenario

# name: (product's ISS, peer's ISS, base of the timestamp clocks)
ISS = {
    "low": (1_000, 5_000, 7),
    "half": ((1 << 31) - 700, (1 << 31) - 300, (1 << 31) - 10_050),
    "wrap": ((1 << 32) - 700, (1 << 32) - 300, (1 << 32) - 10_050),
    "edge": ((1 << 32) - 1, (1 << 31) - 1, (1 << 32) - 1),
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--regenerate-matrix` rewrites the committed snapshot of state x flags x window position."""
    parser.addoption("--regenerate-matrix", action="store_true", help="rewrite tests/unit/tcp/matrix.snap.txt")


@pytest.fixture(params=list(ISS))
def iss(request: pytest.FixtureRequest) -> tuple[int, int, int]:
    """Initial numbers of both sides and the base of their timestamp clocks."""
    return ISS[request.param]


@pytest.fixture
def tcp(iss: tuple[int, int, int]) -> Iterator[Callable[..., Scenario]]:
    """Makes scenarios: `tcp(nodelay=True, mss=1000)`; keywords are Scenario's or TcpConfig's."""
    ours, theirs, ts_base = iss
    made = []

    def make(**settings: object) -> Scenario:
        made.append(Scenario(iss=ours, irs=theirs, ts_base=ts_base, **settings))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for scenario in made:  # pytest shows it when the test failed
        print("\n".join(scenario.lines[-100:]))
