"""A scenario, run: applications, events, observers, results, and what is left behind."""

from dataclasses import dataclass, field

import pytest

from stack.config import MS, SECOND
from stack.sim.flows import PERIOD, pattern
from stack.sim.result import Result
from stack.sim.runner import Run
from stack.sim.scenario import ScenarioError
from stack.sim.scenario_toml import loads
from stack.tcp.info import TcpInfo
from stack.tcp.segment import FIN, SYN

TEXT = """\
duration = "300s"
[[host]]
name = "a"
[[host]]
name = "b"
offload = true
[[router]]
name = "r"
[[switch]]
name = "s"
[[link]]
between = ["a", "r"]
rate = "10Mbit/s"
delay = "5ms"
queue = "40p"
loss = 0.02
[[link]]
between = ["r", "s"]
[[link]]
between = ["s", "b"]
"""
FLOW = """
[[flow]]
name = "x"
from = "a"
to = "b"
"""
KINDS = {
    "bulk": 'bytes = "200kB"\nback = "50kB"',
    "one way": 'bytes = "200kB"',
    "nothing": "bytes = 0",
    "echo": 'kind = "echo"\nbytes = "100kB"',
    "rr": 'kind = "rr"\nbytes = "2kB"\nrequest = 100\nresponse = "5kB"',
    "for": 'for = "2s"',
    "stall": 'bytes = "100kB"\nstall_at = "30kB"\nstall_for = "9s"\nserver_tcp = { recv_buffer = 20000 }',
}
BYTES = {
    "bulk": (200_000, 50_000),
    "one way": (200_000, 0),
    "nothing": (0, 0),
    "echo": (100_000, 100_000),
    "rr": (2_000, 100_000),
    "stall": (100_000, 0),
}


def run(text: str, *, drain: bool = True, **options) -> Result:
    return Run(loads(text), **options).run(drain=drain)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_flow_completes_and_leaves_nothing(kind: str) -> None:
    result = run(TEXT + FLOW + KINDS[kind])
    assert result.ok, result.problems
    (flow,) = result.flows
    assert (flow.outcome, flow.intact, flow.error) == ("complete", True, None)
    if kind in BYTES:
        assert (flow.bytes_there, flow.bytes_back) == BYTES[kind]
    if kind == "for":
        assert flow.bytes_there > 200_000
        assert 2 * SECOND < flow.finished_at_us < 10 * SECOND
    if kind == "stall":
        assert flow.finished_at_us > 9 * SECOND
    assert result.links[0].name == "a > r"
    assert result.links[0].counts["offered"] > 5


def test_one_scenario_has_one_history() -> None:
    text = TEXT + FLOW + KINDS["bulk"]
    assert run(text) == run(text)
    assert run(text).digest == run(text, invariants=False).digest
    assert run(text).digest != run("seed = 2\n" + text).digest


def test_a_stream_is_not_taken_for_another() -> None:
    assert pattern(PERIOD + 3, 100) == pattern(3, 100)
    assert pattern(0, 100) != pattern(1, 100)
    moved = Run(loads(TEXT + FLOW + KINDS["one way"]))

    def expect_others() -> None:
        server = moved.flows[0].server
        assert server is not None
        server.read_offset += 1

    moved.network.at(SECOND // 10, expect_others)
    result = moved.run()
    assert not result.flows[0].intact
    assert "wrong bytes" in result.problems[0]


def test_an_abort_reaches_both_ends() -> None:
    result = run(TEXT + FLOW + 'for = "100s"\nexpect = "aborted"\n[[event]]\nat = "1s"\nflow = "x"\nabort = true\n')
    assert result.ok, result.problems
    assert result.flows[0].outcome == "aborted"
    assert SECOND <= result.time_us < 2 * SECOND


def test_a_partition_stops_everything_until_it_heals() -> None:
    cut = '[[event]]\nat = "20ms"\nlink = ["s", "b"]\ndown = true\n'
    heal = '[[event]]\nat = "20s"\nlink = ["b", "s"]\nup = true\n'
    result = run(TEXT + FLOW + KINDS["bulk"] + "\n" + cut + heal)
    assert result.ok, result.problems
    assert result.flows[0].finished_at_us > 20 * SECOND
    never = run(TEXT + FLOW + KINDS["bulk"] + "\n" + cut)
    assert [flow.outcome for flow in never.flows] == ["unfinished"]
    assert "promises 'complete'" in never.problems[0]


def test_a_partition_for_ever_is_a_failure_that_can_be_promised() -> None:
    tcp = '\n[[event]]\nat = "20ms"\nlink = ["s", "b"]\ndown = true\n[tcp]\nuser_timeout_us = "20s"\nkeepalive = true\n'
    keep = 'keepalive_idle_us = "10s"\nkeepalive_interval_us = "2s"\nkeepalive_probes = 3\n'
    result = run(TEXT + FLOW + KINDS["bulk"] + '\nexpect = "failed"' + tcp + keep)
    assert result.ok, result.problems
    assert "TimedOut" in (result.flows[0].error or "")


def test_links_change_at_their_times() -> None:
    event = '\n[[event]]\nat = "50ms"\nlink = ["a", "r"]\nway = "forward"\nset = { loss = 0.0, rate = "100kbit/s" }\n'
    mtu = '[[event]]\nat = "60ms"\nlink = ["r", "s"]\nmtu = 700\n'
    slow = run(TEXT + FLOW + KINDS["one way"] + event + mtu)
    assert slow.ok, slow.problems
    assert slow.flows[0].finished_at_us > 5 * SECOND
    assert slow.links[0].counts["lost"] <= 3


@dataclass
class Look:
    sample_us: int = 10 * MS
    samples: list[tuple[int, str, TcpInfo]] = field(default_factory=list)
    segments: list[tuple[int, str, str, int, int, int, int, str]] = field(default_factory=list)

    def on_sample(self, t_us: int, flow: str, info: TcpInfo) -> None:
        self.samples.append((t_us, flow, info))

    def on_segment(
        self, t_us: int, flow: str, direction: str, seq: int, length: int, ack: int, flags: int, fate: str
    ) -> None:
        self.segments.append((t_us, flow, direction, seq, length, ack, flags, fate))


def test_observers_see_samples_and_segments_and_change_nothing() -> None:
    look = Look()
    text = TEXT + FLOW + KINDS["one way"]
    observed = run(text, observers=[look])
    assert observed.digest == run(text).digest
    assert {t % (10 * MS) for t, _, _ in look.samples} == {0}
    assert len({info.cwnd for _, _, info in look.samples}) > 3
    first = look.segments[0]
    assert first[1:7] == ("x", "there", 0, 1, 0, SYN)
    sent = [s for s in look.segments if s[2] == "there" and s[7] != "arrived"]
    assert max(s[3] + s[4] for s in sent) == 200_002  # SYN, data, FIN
    assert any(s[6] & FIN for s in sent)
    assert {s[7] for s in look.segments} == {"sent", "lost", "arrived"}
    back = [s for s in look.segments if s[2] == "back" and s[7] == "arrived"]
    assert max(s[5] for s in back) == 200_002


def test_observers_tell_flows_apart_that_share_a_port_of_the_server() -> None:
    one, other = Look(), Look()
    flows = "".join(
        f'[[flow]]\nname = "{name}"\nfrom = "{name}"\nto = "{to}"\nport = 80\nbytes = {size}\n'
        for name, to, size in (("a", "b", 5_000), ("b", "a", 7_000))
    )
    flows += '[[flow]]\nname = "c"\nfrom = "a"\nto = "b"\nport = 80\nbytes = 9_000\n'
    assert run(TEXT + flows, observers=[one, other]).ok
    assert one.segments == other.segments
    for name, size in (("a", 5_000), ("b", 7_000), ("c", 9_000)):
        seen = [s for s in one.segments if s[1] == name]
        assert [s[3] for s in seen if s[6] & SYN] == [0] * len([s for s in seen if s[6] & SYN])
        assert max(s[3] + s[4] for s in seen if s[2] == "there") == size + 2
        assert max(s[5] for s in seen if s[2] == "back" and s[7] == "arrived") == size + 2
        assert max(s[3] + s[4] for s in seen if s[2] == "back") == 2


def test_what_cannot_be_built_is_an_error_before_the_run() -> None:
    with pytest.raises(ScenarioError, match="no route"):
        loads((TEXT + FLOW + "bytes = 1").replace('between = ["r", "s"]', 'between = ["r", "a"]'))
    with pytest.raises(ScenarioError, match="loop"):
        loads(TEXT + '[[switch]]\nname = "t"\n' + '[[link]]\nbetween = ["s", "t"]\n' * 2)


def test_progress_is_told() -> None:
    told: list[tuple[int, int]] = []
    Run(loads(TEXT + FLOW + KINDS["bulk"])).run(lambda now, end: told.append((now, end)))
    assert told[-1] == (300 * SECOND, 300 * SECOND)
    assert told == sorted(told)
