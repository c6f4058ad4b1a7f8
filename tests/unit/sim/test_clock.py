"""The virtual clock only moves when told, and never back."""

import pytest

from stack.sim.clock import VirtualClock


def test_it_moves_by_what_it_is_told() -> None:
    clock = VirtualClock()
    assert clock() == 0
    assert clock.advance(us=7, ms=3, s=2) == 2_003_007
    assert clock.jump_to(2_003_007) == 2_003_007
    assert clock() == clock.now == 2_003_007


def test_it_never_goes_back() -> None:
    with pytest.raises(ValueError, match="before"):
        VirtualClock(5).jump_to(4)
