"""Two senders share one bottleneck; the table is in docs/numbers.md."""

import pytest

from stack.sim.result import jain
from tests.support.rfc import rfc
from tools.fairness import share


@pytest.mark.slow
@pytest.mark.timeout(900)  # two minutes of two full flows, interpreted
@rfc("9438", "5.1")
@pytest.mark.parametrize(("algorithms", "least"), [(["cubic", "cubic"], 0.95), (["cubic", "reno"], 0.9)])
def test_shares_are_fair(algorithms, least):
    shares = share(algorithms)
    assert jain(shares.rates) >= least, shares
    assert sum(shares.rates) > 18e6, "and the link is used"


def test_the_index():
    assert jain([5, 5, 5]) == 1
    assert jain([7, 0, 0, 0]) == 0.25
    assert jain([1, 3]) == 0.8
    assert jain([]) == jain([0, 0]) == 0


def test_the_index_tells_fair_from_unfair():
    """Control: a fixed window of 16 segments keeps a quarter of the link, and NewReno takes the rest."""
    assert jain(share(["fixed", "newreno"], seconds=20).rates) < 0.9
