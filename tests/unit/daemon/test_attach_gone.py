"""What the daemon does about its own connections to a process that has ended."""

from types import SimpleNamespace

import pytest

from stack.daemon.server import _end_peer


@pytest.mark.parametrize(("ended", "passes"), [(2, 1), (0, 0)])
def test_who_waits_hears_of_it_without_a_packet(ended, passes):
    asked, scheduled = [], []
    engine = SimpleNamespace(peer_gone=lambda addr: asked.append(addr) or ended)
    host = SimpleNamespace(host=engine, driver=SimpleNamespace(schedule=lambda: scheduled.append(1)))
    _end_peer(host, 7)
    assert asked == [7]
    assert len(scheduled) == passes  # the engine does nothing until somebody has it make a pass
