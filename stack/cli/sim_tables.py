"""The tables of `tapstack sim`."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from stack.daemon.page import size
from stack.sim.result import FlowResult, LinkResult, Result
from stack.sim.scenario import Scenario

DROPS: Final = {
    "lost": "lost",
    "lost_in_bursts": "lost in bursts",
    "overflowed": "queue full",
    "dropped": "CoDel",
    "too_long": "too long",
    "cut": "link down",
    "corrupted_lost": "corrupted",
}


def bits(bytes_per_s: float) -> str:
    """A rate in words."""
    value = bytes_per_s * 8
    for name, factor in (("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3)):
        if value >= factor:
            return f"{value / factor:.3g} {name}"
    return f"{value:.0f} bit/s"


def milliseconds(us: int) -> str:
    """A round-trip time."""
    return f"{us / 1000:.1f} ms" if us else "-"


def run_tables(screen: Console, name: str, scenario: Scenario, result: Result, needless: dict[str, int]) -> None:
    """Flows and links of one run; `needless`: retransmissions of what the receiver had already, by flow."""
    title = f"{name}: seed {result.seed}, {result.time_us / 1e6:.3f} s simulated, {result.segments} segments"
    flows = _table(title, ("flow", "outcome"), ("received", "goodput", "resent", "RTT", "min RTT", "finished"))
    for flow in result.flows:
        flows.add_row(*_flow_cells(flow))
    screen.print(flows)
    for flow in result.flows:
        if count := needless.get(flow.name, 0):
            told = f"{flow.name}: {count} of {flow.retransmits} retransmissions were not needed, their data had arrived"
            screen.print(told, markup=False, soft_wrap=True)
    ways = [way for link in scenario.links for way in (link.way("forward"), link.way("backward"))]
    links = _table("", ("link",), ("frames", "used", "max queue", "mean wait"), ("not delivered",))
    for link, way in zip(result.links, ways, strict=True):
        links.add_row(*_link_cells(link, way.rate or 0, result.time_us))
    screen.print(links)


def comparison(screen: Console, compare: str, results: dict[str, Result], needless: dict[str, dict[str, int]]) -> None:
    """The flows of several runs side by side."""
    key = compare.partition("=")[0]
    column = key.rpartition(".")[2]  # the title has all of it, which would be broken in 80 columns
    table = _table(f"by {key}", (column, "flow", "outcome"), ("goodput", "resent", "extra", "RTT", "finished"))
    for value, result in results.items():
        for flow in result.flows:
            name, outcome, _, goodput, resent, rtt, _, finished = _flow_cells(flow)
            table.add_row(value, name, outcome, goodput, resent, str(needless[value][flow.name]), rtt, finished)
    screen.print(table)


def rows(screen: Console, title: str, left: Sequence[str], right: Sequence[str], body: Iterable[Sequence[Any]]) -> None:
    """Any table; the columns called `right` are numbers."""
    table = _table(title, left, right)
    for row in body:
        table.add_row(*(cell if isinstance(cell, Text) else str(cell) for cell in row))
    screen.print(table)


def verdict(text: str, *, good: bool) -> Text:
    """Green or red."""
    return Text(text, "green" if good else "red")


def _table(title: str, left: Sequence[str], right: Sequence[str], after: Sequence[str] = ()) -> Table:
    table = Table(
        title=Text(title, "bold") if title else None,
        title_justify="left",
        box=box.SIMPLE_HEAD,  # fits 80 columns
        pad_edge=False,
        collapse_padding=True,
    )
    for name in left:
        table.add_column(name, overflow="fold")
    for name in right:
        table.add_column(name, justify="right")
    for name in after:
        table.add_column(name)
    return table


def _flow_cells(flow: FlowResult) -> list[str | Text]:
    return [
        Text(flow.name),
        verdict(flow.outcome, good=flow.expected and flow.intact),
        size(flow.bytes_there + flow.bytes_back),
        bits(flow.goodput),
        str(flow.retransmits),
        milliseconds(flow.srtt_us),
        milliseconds(flow.min_rtt_us),
        f"{flow.finished_at_us / 1e6:.3f} s" if flow.finished_at_us else "-",
    ]


def _link_cells(link: LinkResult, rate: int, time_us: int) -> list[str | Text]:
    counts = link.counts
    carried = counts["delivered_bytes"] * 1e6 / max(time_us, 1)
    why = [f"{counts[key]} {words}" for key, words in DROPS.items() if counts.get(key)]
    return [
        Text(link.name),
        str(counts["offered"]),
        f"{carried / rate:.0%}" if rate else "-",
        size(counts["max_queue_bytes"]) if rate else "-",
        f"{counts['wait_ns'] / 1e6 / max(counts['queued'], 1):.1f} ms" if rate else "-",
        ", ".join(why) or "-",
    ]
