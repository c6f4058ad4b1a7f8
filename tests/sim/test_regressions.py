"""What seeded runs once found, each as a case of its own."""

import pytest

from stack.config import MINUTE
from stack.sim.runner import Run
from stack.sim.scenario_toml import loads
from tests.support.frames import End, tcp_frame
from tests.support.net import TestNet


def test_a_stray_ack_in_the_first_minute_is_no_cookie_of_the_minute_before() -> None:
    with TestNet() as net:
        net.b.listen(0, 80)
        a = End(net.link.a.mac, bytes([10, 0, 0, 1]), 4_000)
        b = End(net.link.b.mac, bytes([10, 0, 0, 2]), 80)
        net.run_for(1_000)
        for tick in range(32):  # the high bits of a cookie
            net.link.forward.offer(tcp_frame(a, b, "A", 1, (tick << 27) + 1), net.now)
        net.run_for(1_000)
        assert net.b.connections() == []


PAIR = """\
duration = "20min"
[[host]]
name = "a"
[[host]]
name = "b"
[[link]]
between = ["a", "b"]
delay = "5ms"
"""


@pytest.mark.parametrize("nbytes", [600, 1000, 1447, 1448, 5000])
def test_a_black_hole_is_found_by_segments_that_are_not_of_full_size(nbytes: int) -> None:
    """Seed 843128127387: what was left of a full segment vanished for ever, as it was "small already"."""
    hole = '[[event]]\nat = 0\nlink = ["a", "b"]\nmtu = 576\nsilent = true\n'
    flow = f'[[flow]]\nname = "x"\nfrom = "a"\nto = "b"\nstart = "10ms"\nbytes = {nbytes}\n'
    result = Run(loads(PAIR + hole + flow)).run(drain=True)
    assert result.ok, result.problems
    assert result.flows[0].finished_at_us < MINUTE


def test_acks_with_sack_blocks_fit_the_smallest_path() -> None:
    """An MTU of 68 (RFC 791 §3.2): three blocks and timestamps make an ACK of 80 bytes, which no link carried."""
    text = PAIR.replace('delay = "5ms"', 'delay = "5ms"\nrate = "10Mbit/s"\nqueue = "30kB"\nmtu = 68')
    flow = '[[flow]]\nname = "x"\nfrom = "a"\nto = "b"\nbytes = 50000\n'
    result = Run(loads(text + flow)).run(drain=True)
    assert result.ok, result.problems
    assert result.flows[0].retransmits > 0
    assert not any(link.counts["too_long"] for link in result.links)
    assert result.flows[0].finished_at_us < MINUTE
