"""A failing scenario, made smaller: `shrink(scenario)` gives one that still fails the same way.

Theory of operation.  Delta debugging: everything that can be left out or made simpler is a candidate; one that still
fails with the same kind of problem is taken, and the search starts over from it, until nothing can be left out or
the budget of runs is used up.  A smaller scenario has another history, so that its own seed may not meet the bug: each
candidate is tried with a few seeds.  Order: the largest pieces first (events, flows, nodes), then faults, settings and
bytes.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from stack.sim.judge import Verdict, judge
from stack.sim.runner import Run
from stack.sim.scenario import WAY_FIELDS, Flow, Link, Scenario, ScenarioError
from stack.sim.scenario_toml import to_toml

BUDGET: Final = 200  # runs
SEEDS: Final = 3  # tried for each candidate
WALL_S: Final = 10

Judge = Callable[[Scenario], Verdict]


def shrink(scenario: Scenario, budget: int = BUDGET, judge_one: Judge | None = None) -> tuple[Scenario, Verdict]:
    """The smallest scenario found that fails as `scenario` does, and its verdict.

    Raises ValueError when `scenario` does not fail.
    """
    decide = judge_one or _judge
    verdict = decide(scenario)
    if verdict.problem is None:
        raise ValueError(f"scenario {scenario.name} does not fail")
    left = budget
    again = True
    while again and left > 0:
        again = False
        for candidate in _candidates(scenario):
            for shift in range(SEEDS):
                left -= 1
                seeded = replaced(candidate, seed=scenario.seed + shift)
                try:
                    found = decide(seeded)
                except ScenarioError:
                    break  # something that is needed was left out
                if found.problem is not None and found.kind == verdict.kind:
                    scenario, verdict, again = seeded, found, True
                    break
            if again or left <= 0:
                break
    return scenario, verdict


def write_failure(scenario: Scenario, directory: Path) -> tuple[Path, Path]:
    """Write a failing scenario, and what its links carried up to the failure, to `directory`: TOML, pcapng."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = directory / f"{scenario.name}.toml", directory / f"{scenario.name}.pcapng"
    paths[0].write_text(to_toml(scenario), encoding="utf-8")
    run = Run(scenario, invariants=True)
    try:
        run.run(drain=True)
    except Exception as exc:  # noqa: BLE001 - it is known to fail: what it did until then is wanted
        failure: Exception | None = exc
    else:
        failure = None
    with paths[1].open("wb") as file:
        run.network.write_capture(None, file)
    if failure is not None and not isinstance(failure, AssertionError):
        paths[0].write_text(f"# {type(failure).__name__}: {failure}\n{to_toml(scenario)}", encoding="utf-8")
    return paths


def replaced(value: Any, **changes: Any) -> Any:
    """A struct with some fields changed."""
    return msgspec.structs.replace(value, **changes)


def _judge(scenario: Scenario) -> Verdict:
    return judge(scenario, wall_s=WALL_S)


# -- candidates


def _candidates(scenario: Scenario) -> Iterator[Scenario]:
    """Everything that is one step smaller."""
    for name in ("events", "flows"):
        items: list[Any] = getattr(scenario, name)
        for part in _parts(len(items)):
            if name == "events" or len(part) < len(items):
                yield _without(scenario, name, part)
    yield from _fewer_nodes(scenario)
    for index, link in enumerate(scenario.links):
        for smaller in _simpler_links(link):
            yield _with(scenario, "links", index, smaller)
    for index, host in enumerate(scenario.hosts):
        if host.offload:
            yield _with(scenario, "hosts", index, replaced(host, offload=False))
    for index, flow in enumerate(scenario.flows):
        for simpler in _simpler_flows(flow):
            yield _with(scenario, "flows", index, simpler)
    for index, event in enumerate(scenario.events):
        if event.at_us > 1000:
            yield _with(scenario, "events", index, replaced(event, at_us=event.at_us // 2))


def _parts(count: int) -> Iterator[range]:
    """All, halves, single ones."""
    if count > 1:
        yield range(count)
    if count > 3:
        yield range(count // 2)
        yield range(count // 2, count)
    for index in range(count):
        yield range(index, index + 1)


def _without(scenario: Scenario, name: str, part: range) -> Scenario:
    kept = [item for index, item in enumerate(getattr(scenario, name)) if index not in part]
    smaller: Scenario = replaced(scenario, **{name: kept})
    if name == "flows":
        flows = {flow.name for flow in kept}
        events = [event for event in scenario.events if event.flow is None or event.flow in flows]
        smaller = replaced(smaller, events=events)
    return smaller


def _with(scenario: Scenario, name: str, index: int, item: object) -> Scenario:
    items = list(getattr(scenario, name))
    items[index] = item
    changed: Scenario = replaced(scenario, **{name: items})
    return changed


def _fewer_nodes(scenario: Scenario) -> Iterator[Scenario]:
    """Hosts that no flow uses; a router or switch between two nodes, whose two links become one."""
    used = {name for flow in scenario.flows for name in (flow.from_, flow.to)}
    for host in scenario.hosts:
        if host.name not in used:
            yield _drop(scenario, host.name, [link for link in scenario.links if host.name not in link.between])
    for node in [*(router.name for router in scenario.routers), *(switch.name for switch in scenario.switches)]:
        ends = [link for link in scenario.links if node in link.between]
        others = [name for link in ends for name in link.between if name != node]
        if len(ends) == 2 and others[0] != others[1]:
            rest = [link for link in scenario.links if link not in ends]
            for kept in ends:
                yield _drop(scenario, node, [*rest, replaced(kept, between=(others[0], others[1]))])


def _drop(scenario: Scenario, node: str, links: list[Link]) -> Scenario:
    pairs = [set(link.between) for link in links]
    left: dict[str, Any] = {
        key: [spec for spec in getattr(scenario, key) if spec.name != node] for key in ("hosts", "routers", "switches")
    }
    events = []
    for event in scenario.events:
        if event.link is None or set(event.link) in pairs:
            events.append(event)
        elif links and node in event.link:
            events.append(replaced(event, link=links[-1].between))
    smaller: Scenario = replaced(scenario, links=links, events=events, **left)
    return smaller


def _simpler_links(link: Link) -> Iterator[Link]:
    for name in ("forward", "backward"):
        own = getattr(link, name)
        if own is not None:
            yield replaced(link, **{name: None})
    if link.mtu != 1500:
        yield replaced(link, mtu=1500)
    for key in WAY_FIELDS:
        if getattr(link, key):
            yield replaced(link, **{key: None})
    for name in ("forward", "backward"):
        own = getattr(link, name)
        for key in WAY_FIELDS if own is not None else ():
            if getattr(own, key) is not None:
                yield replaced(link, **{name: replaced(own, **{key: None})})


def _simpler_flows(flow: Flow) -> Iterator[Flow]:
    for name in ("tcp", "server_tcp"):
        settings: dict[str, Any] = getattr(flow, name)
        for key in settings:
            yield replaced(flow, **{name: {k: v for k, v in settings.items() if k != key}})
    if flow.stall_at is not None:
        yield replaced(flow, stall_at=None, stall_for_us=0)
    if flow.iss is not None:
        yield replaced(flow, iss=None)
    if flow.start_us:
        yield replaced(flow, start_us=0)
    if flow.back:
        yield replaced(flow, back=0)
        yield replaced(flow, back=flow.back // 2)
    if flow.bytes:
        yield replaced(flow, bytes=flow.bytes // 2)
        yield replaced(flow, bytes=flow.bytes * 7 // 8)
