"""Where the findings of `make bench-peers` go: between markers in the README and in docs/benchmarks-peers.md."""

from typing import Any

from tools.bench.page import between
from tools.bench.peers.report import LABELS, Findings, draw
from tools.netns import ROOT

README, PAGE, PICTURE = ROOT / "README.md", ROOT / "docs/benchmarks-peers.md", ROOT / "docs/img/peers.svg"
BEGIN = "<!-- the comparison: written by `make bench-peers args=--write` -->\n"
END = "<!-- end of the comparison -->\n"


def heading(content: dict[str, Any]) -> str:
    """When, on what, and how often."""
    runs = max(sum("spoilt" not in one for one in each) for by in content["samples"].values() for each in by.values())
    release = content["kernel"].partition("-")[0]
    text = f"{content['started'][:10]}, {content['machine']}, Linux {release}, medians of {runs}"
    return f"{text}; {content['note']}" if content["note"] else text


def short(findings: Findings, content: dict[str, Any]) -> str:
    """For the README: medians."""
    return f"{heading(content)}:\n\n{findings.table(findings.median)}"


def full(findings: Findings, content: dict[str, Any]) -> str:
    """For the page: medians with the smallest and the largest, what they cost, and of what versions they are."""
    lines = [f"- {LABELS[name]}: {version}" for name, version in content["versions"].items()]
    lines += [f"- {LABELS[name]}, left out: {why.splitlines()[0]}" for name, why in content["missing"].items()]
    return (
        f"{heading(content)} (the smallest to the largest):\n\n{findings.table(findings.spread)}\n"
        "CPU of the server: seconds of a gigabyte, µs of a connection or a request, of ping-pong the share of "
        f"a core.\n\n{findings.table(findings.cost, units=False)}\n" + "\n".join(lines) + "\n"
    )


def publish(findings: Findings, content: dict[str, Any]) -> None:
    """Write both pages and the chart."""
    draw(findings, heading(content), PICTURE)
    whole = f"{full(findings, content)}\n![the same as bars, with the spread](img/{PICTURE.name})\n"
    for path, text in ((README, short(findings, content)), (PAGE, whole)):
        path.write_text(between(path.read_text(encoding="utf-8"), text, BEGIN, END), encoding="utf-8")
