"""What a scope tells of segments: which were lost, which were sent again for nothing; without changing the run."""

from typing import Any

import pytest

from stack.sim.result import Result
from stack.sim.runner import Run
from stack.sim.scenario_toml import from_dict
from stack.sim.scope import Scope
from stack.sim.traces import Fates, FlowTrace, header_of
from tests.support.frames import A, B, tcp_frame


def scoped(link: dict[str, Any], **more: Any) -> tuple[FlowTrace, Result]:
    data = {
        "name": "one link",
        "seed": 3,
        "host": [{"name": "a"}, {"name": "b"}],
        "link": [{"between": ["a", "b"], "rate": "10Mbit/s", "delay": "10ms", "queue": "60kB"} | link],
        "flow": [{"name": "bulk", "from": "a", "to": "b", "bytes": "1MB"}],
    } | more
    run = Run(from_dict(data), invariants=False)
    scope = Scope(run)
    result = run.run()
    assert result.flows[0].outcome == "complete"
    return scope.flows["bulk"], result


def crossed(trace: FlowTrace) -> Fates:
    """The fates, whose segments are transmissions each."""
    fates, sent, resent = trace.fates(), set(trace.sent), set(trace.resent)
    assert {one[:2] for one in fates.lost} <= {one[:2] for one in sent | resent}
    assert set(fates.needless) <= resent
    assert not set(fates.needless) & set(fates.lost)
    return fates


def test_frames_that_codel_drops_are_lost_segments() -> None:
    trace, result = scoped({"discipline": "codel", "target": "2ms", "interval": "20ms"})
    dropped = result.links[0].counts["dropped"]
    assert dropped > 5
    assert len(crossed(trace).lost) == dropped


def test_what_a_link_held_when_it_went_down_is_lost() -> None:
    down = {"link": ["a", "b"], "at": "300ms", "down": True}
    up = {"link": ["a", "b"], "at": "400ms", "up": True}
    trace, result = scoped({}, event=[down, up])
    counts = result.links[0].counts
    assert counts["cut"] > 5
    assert len(crossed(trace).lost) == counts["cut"] + counts["overflowed"]


def test_damaged_segments_are_lost_and_their_numbers_are_not_believed() -> None:
    trace, result = scoped({"corrupt": 0.1, "queue": "1MB"})
    assert result.links[0].counts["corrupted"] > 50
    assert len(crossed(trace).lost) >= result.links[0].counts["corrupted"] - 5  # SYN, ARP
    assert all(0 <= ack <= 1_000_001 for _, ack, _ in trace.acks)


def test_without_faults_nothing_is_lost_and_nothing_needless() -> None:
    trace, _ = scoped({"queue": "10MB"})
    assert crossed(trace) == Fates([], [])


def test_losses_alone_make_no_retransmission_needless() -> None:
    trace, result = scoped({"queue": "10MB", "forward": {"loss": 0.01}})
    assert len(crossed(trace).lost) == result.links[0].counts["lost"] > 3
    assert trace.fates().needless == []


def test_a_retransmission_of_what_was_only_late_is_needless() -> None:
    trace, result = scoped({"queue": "10MB", "reorder": 0.02, "reorder_by": "60ms"}, tcp={"loss_detection": "rfc6675"})
    fates = crossed(trace)
    assert fates.lost == []
    assert len(fates.needless) >= result.flows[0].retransmits - 1 > 3  # the last was still on its way at the end


def test_copies_that_a_link_makes_are_no_needless_retransmissions() -> None:
    trace, _ = scoped({"queue": "10MB", "duplicate": 0.3, "jitter": "5ms"})
    assert trace.resent == []
    assert sum(trace.duplicates.values()) > 50
    assert crossed(trace) == Fates([], [])
    trace, _ = scoped({"queue": "10MB", "forward": {"loss": 0.02, "duplicate": 0.5, "jitter": "5ms"}})
    assert len(trace.resent) > 10
    assert crossed(trace).needless == []


def test_what_the_receiver_threw_away_was_needed_again() -> None:
    """Go-back-n repeats segments that had arrived, but its receiver keeps nothing out of order."""
    trace, _ = scoped({"queue": "10MB", "forward": {"loss": 0.01}}, tcp={"profile": "go-back-n"})
    fates = crossed(trace)
    assert len(trace.resent) > 3 * len(fates.lost) > 9
    assert fates.needless == []


def test_flows_that_share_a_port_of_the_server_are_told_apart() -> None:
    """Two at once, and a third from the port of the first, when that one is over."""
    ends = {"from": "a", "to": "b", "port": 80}
    sizes = {"bulk": 1_000_000, "small": 30_000, "again": 50_000}
    flows: list[dict[str, Any]] = [ends | {"name": name, "bytes": size} for name, size in sizes.items()]
    flows[1]["local_port"] = flows[2]["local_port"] = 5000
    flows[2]["after"] = "small"
    hosts, link = [{"name": "a"}, {"name": "b"}], {"between": ["a", "b"], "rate": "10Mbit/s", "delay": "5ms"}
    data = {"host": hosts, "link": [link], "flow": flows}
    run = Run(from_dict(data), invariants=False)
    scope = Scope(run)
    assert run.run().ok
    for name, size in sizes.items():
        trace = scope.flows[name]
        assert sum(right - left for _, left, right in trace.sent) == size
        assert trace.acks[-1][1] >= size
        assert (trace.resent, trace.lost) == ([], [])
        assert trace.samples.at


@pytest.mark.parametrize("at", [20, 30, 40, 50, 55])
def test_a_damaged_frame_has_no_header(at: int) -> None:
    frame = bytearray(tcp_frame(A, B, "A", 1, data=b"text"))
    assert header_of(bytes(frame)) is not None
    frame[at] ^= 4
    assert header_of(bytes(frame)) is None
