import pytest

from stack.config import NEVER
from stack.ip.pmtu import MAX_ENTRIES, PLATEAUS, PmtuTable, plateau_below
from tests.support.rfc import rfc


@rfc("1191", "6", "1191-1")
def test_an_estimate_falls_ages_and_is_never_under_68():
    table = PmtuTable(600)
    assert table.get(1, 1500) == 1500
    assert table.lower(1, 1400, 0)
    assert not table.lower(1, 1450, 1)  # news never raise it
    assert table.lower(1, 20, 2)
    assert table.get(1, 1500) == 68
    assert table.get(2, 1500) == 1500
    assert table.deadline == 602
    assert not table.on_timer(601)
    assert table.on_timer(602)
    assert table.get(1, 1500) == 1500
    assert table.deadline == NEVER


def test_the_link_is_always_a_limit():
    table = PmtuTable(600)
    table.lower(1, 1400, 0)
    assert table.get(1, 1000) == 1000


@rfc("1191", "5", "1191-2")
@pytest.mark.parametrize(
    ("length", "mtu"),
    [(1500, 1492), (1492, 1006), (576, 508), (69, 68), (68, 68), (20, 68), (65_535, 32_000), (2003, 2002)],
)
def test_plateaus(length, mtu):
    assert plateau_below(length) == mtu
    assert mtu in PLATEAUS


def test_the_table_is_bounded():
    table = PmtuTable(600)
    for dst in range(MAX_ENTRIES + 10):
        table.lower(dst, 1000, dst)
    assert len(table.snapshot()) == MAX_ENTRIES
    assert table.get(9, 1500) == 1500
    assert table.get(10, 1500) == 1000
