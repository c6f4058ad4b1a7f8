"""A network on virtual time: who is called when, and one seed gives one history everywhere."""

import os
import subprocess
import sys
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import pytest

from stack.device.fault import Faults
from stack.device.pcapng import INBOUND, OUTBOUND, Packet, read_pcapng
from stack.device.virtual import FULL_OFFLOAD
from stack.sim import network
from stack.sim.network import Link, Network, Node, SimulationError
from stack.tcp.events import READABLE
from tests.support.fake_host import PingHost
from tests.support.frames import End, checksums_hold
from tests.support.tx import super_segment

FAULTY = Faults(loss=0.1, duplication=0.1, corruption=0.1, reordering=0.2, delay_us=700, jitter_us=300, rate=200_000)


def pair(
    seed: int = 1,
    forward: Faults | None = None,
    backward: Faults | None = None,
    *,
    count: int = 3,
    interval_us: int = 1_000,
) -> tuple[Network, PingHost, PingHost]:
    """Host a pings host b `count` times."""
    net = Network(seed)
    a, b = End(bytes(6), bytes([10, 0, 0, 1]), 1), End(bytes(6), bytes([10, 0, 0, 2]), 2)
    hosts = PingHost(a, b, count=count, interval_us=interval_us), PingHost(b, a)
    net.link(net.add_host("a", hosts[0]), net.add_host("b", hosts[1]), forward, backward)
    return net, *hosts


def test_frames_take_the_time_of_their_link() -> None:
    net, a, b = pair(forward=Faults(delay_us=400), backward=Faults(delay_us=250))
    net.run_until(lambda: len(a.got) == 3, 1_000_000)
    assert b.got == [(400, b"ping 3"), (1_400, b"ping 2"), (2_400, b"ping 1")]
    assert a.got == [(650, b"pong 3"), (1_650, b"pong 2"), (2_650, b"pong 1")]
    assert net.clock.now == 2_650


def test_the_clock_jumps_over_idle_time() -> None:
    net, a, _ = pair(interval_us=3_600_000_000, count=20)
    net.run_until(lambda: len(a.got) == 20, 100 * 3_600_000_000)
    assert net.clock.now == 19 * 3_600_000_000


def test_what_arrives_together_is_one_burst() -> None:
    net, a, b = pair(count=1, forward=Faults(duplication=1.0))
    net.run_until(lambda: len(a.got) == 2, 1_000)
    assert b.bursts == [2]
    assert a.bursts == [2]


def test_run_until_says_what_went_wrong() -> None:
    net, _, b = pair(seed=77, forward=Faults(delay_us=500))
    with pytest.raises(SimulationError, match=r"not reached in 499 us.*seed 77"):
        net.run_until(lambda: bool(b.got), 499)
    net.run_until(lambda: len(b.got) == 3, 10_000)
    with pytest.raises(SimulationError, match="nothing is left to do"):
        net.run_until(lambda: False, 1 << 40)


def test_run_for_ends_exactly_then() -> None:
    net, _, b = pair(forward=Faults(delay_us=400))
    net.run_for(1_400)
    assert (net.clock.now, len(b.got)) == (1_400, 2)
    net.run_for(10_000)
    assert (net.clock.now, len(b.got)) == (11_400, 3)


def test_a_conversation_without_end_at_one_instant_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "MAX_ROUNDS", 1_000)

    class Echo(PingHost):
        def receive(self, ifindex: int, burst: object, now: int) -> None:
            self.outbox.append(b"again")

    net = Network(1)
    a, b = End(bytes(6), bytes(4), 1), End(bytes(6), bytes(4), 2)
    net.link(net.add_host("a", Echo(a, b, count=1)), net.add_host("b", Echo(b, a)))
    with pytest.raises(SimulationError, match="no end of events"):
        net.run_for(1)


class Listener:
    def __init__(self) -> None:
        self.heard: list[int] = []

    def on_events(self, events: int) -> None:
        self.heard.append(events)


def test_the_application_hears_of_events() -> None:
    net, a, b = pair(count=2)
    listener = b.endpoint.user = Listener()
    net.run_for(5_000)
    assert listener.heard == [READABLE, READABLE]
    assert a.endpoint.events == READABLE  # nobody took them


def test_checks_run_after_every_event() -> None:
    net, _, _ = pair(count=2)
    calls: list[int] = []
    net.checks.append(lambda: calls.append(net.clock.now))
    net.run_for(5_000)
    assert calls.count(0) >= 3  # the timer, then one arrival on each side
    assert set(calls) == {0, 1_000}


def test_a_host_that_makes_super_segments_still_puts_wire_frames_on_the_link() -> None:
    net = Network(1)
    a, b = End(bytes(6), bytes([10, 0, 0, 1]), 1), End(bytes(6), bytes([10, 0, 0, 2]), 2)
    link = net.link(net.add_host("a", PingHost(a, b)), net.add_host("b", PingHost(b, a)), caps=FULL_OFFLOAD)
    assert link.a.caps is FULL_OFFLOAD
    link.a.send(super_segment(a, b, bytes(4_000), 1460))
    net.settle()
    frames = [p.data for p in captured(net, link, 1)]
    assert [len(data) for data in frames] == [1514, 1514, 1134]
    assert all(checksums_hold(data) for data in frames)


def captured(net: Network, link: Link, end: int) -> list[Packet]:
    file = BytesIO()
    net.write_capture((link.a, link.b)[end], file)
    file.seek(0)
    return list(read_pcapng(file).packets)


def test_a_capture_shows_one_end_with_remarks() -> None:
    net, a, _ = pair(forward=Faults(delay_us=400, lose_if=lambda frame: b"ping 2" in frame))
    net.run_for(10_000)
    link: Link = net.links[0]
    assert [(p.time, p.direction, p.comments) for p in captured(net, link, 0)] == [
        (0, OUTBOUND, ("ping 3",)),
        (400, INBOUND, ()),
        (1_000, OUTBOUND, ("ping 2 (lost by the link)",)),
        (2_000, OUTBOUND, ("ping 1",)),
        (2_400, INBOUND, ()),
    ]
    assert [p.direction for p in captured(net, link, 1)] == [INBOUND, OUTBOUND, INBOUND, OUTBOUND]
    assert len(a.got) == 2


def digest(seed: int = 3, forward: Faults = FAULTY, backward: Faults = FAULTY) -> str:
    net, _, _ = pair(seed, forward, backward, count=200)
    net.run_for(1_000_000)
    return net.digest()


def test_one_seed_gives_one_history() -> None:
    assert digest() == digest()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 4},
        {"forward": Faults(loss=0.1)},
        {"backward": Faults(delay_us=701)},
    ],
)
def test_another_seed_or_setting_gives_another(change: dict[str, object]) -> None:
    assert digest(**change) != digest()  # type: ignore[arg-type]


def test_each_direction_draws_from_its_own_generator() -> None:
    net, other = Network(1), Network(1)
    assert net.rng("x").random() == other.rng("x").random() != net.rng("y").random()
    assert Network(2).rng("x").random() != net.rng("x").random()


@pytest.mark.parametrize("pure", ["", "1"])
@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_the_history_is_the_same_in_any_process(pure: str, hash_seed: str) -> None:
    """Neither the hash seed nor the backend (C or Python) may show in the digest."""
    root = Path(__file__).parents[3]
    code = f"from stack.wire import accel; from {__name__} import digest; print(accel.backend, digest())"
    env = os.environ | {"PYTHONHASHSEED": hash_seed, "TAPSTACK_PURE": pure, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=env, cwd=root)
    backend, there = done.stdout.split()
    assert there == digest()
    built = find_spec("stack.wire._wire") is not None
    assert backend == ("c" if built and not pure else "pure")


def test_nodes_know_their_ports() -> None:
    net, _, _ = pair()
    node: Node = net.nodes[1]
    assert [port.name for port in node.ports] == ["b.0"]
    assert node.ports[0].mac != net.nodes[0].ports[0].mac
