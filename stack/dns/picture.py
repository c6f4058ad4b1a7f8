"""An Explanation as a picture in SVG: a tree of the servers asked, with questions, verdicts and times.

A row for each step, from top to bottom in the order in which they were taken.  Its place from the left says for what:
steps for the address of a server stand further in, below the one that needed it.  The bars at the right are the time
that each took, one after the other.
"""

from html import escape
from typing import Final

from stack.dns.explain import MAX_RECORDS, Explanation, Hop, cut, duration

MAX_ROWS: Final = 200
_WIDTH: Final = 1080
_ROW: Final = 46
_TOP: Final = 64
_LEFT: Final = 24
_INDENT: Final = 26
_DEEPEST: Final = 8  # steps further in are drawn at this depth
_BOX: Final = 400
_TEXT_AT: Final = 470
_TEXT: Final = 54  # characters
_BAR_AT: Final = 850
_BAR: Final = 190
_CHAR: Final = 7.3  # px of a letter of the font, about

_FONT: Final = "DejaVu Sans Mono, Menlo, Consolas, monospace"

_GOOD, _REFERRAL, _NEUTRAL, _AGAIN, _BAD = "#2e7d32", "#1565c0", "#616161", "#b26a00", "#b3261e"


def draw(made: Explanation) -> str:
    """The document."""
    hops = made.hops[:MAX_ROWS]
    rows = len(hops) + 1
    height = _TOP + rows * _ROW + min(len(made.records) + 1, MAX_RECORDS + 2) * 18 + 24
    size = f'width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="{_FONT}" font-size="12">',
        f"<title>{escape(made.question)}</title>",
        f'<rect width="{_WIDTH}" height="{height}" fill="#ffffff"/>',
        _label(_LEFT, 34, made.question, size=17, weight="bold"),
        _label(_BAR_AT, 34, f"{duration(made.took_us)} in all", color=_NEUTRAL),
    ]
    total = max(sum(hop.rtt_us for hop in hops), 1)
    elapsed = 0
    for row, hop in enumerate(hops):
        parts += _edge(hops, row)
        parts += _step(hop, _TOP + row * _ROW)
        start = _BAR_AT + _BAR * elapsed / total
        if hop.server:
            parts.append(
                f'<rect x="{start:.1f}" y="{_TOP + row * _ROW + 8}" width="{max(_BAR * hop.rtt_us / total, 2):.1f}" '
                f'height="14" rx="2" fill="{_color(hop)}" fill-opacity="0.75"/>'
            )
            parts.append(_label(_BAR_AT, _TOP + row * _ROW + 36, duration(hop.rtt_us), color=_NEUTRAL, size=11))
        elapsed += hop.rtt_us
    parts += _ending(made, len(hops), omitted=len(made.hops) - len(hops))
    return "\n".join([*parts, "</svg>", ""])


def _x(hop: Hop) -> int:
    return _LEFT + _INDENT * (1 + min(hop.depth, _DEEPEST))


def _edge(hops: tuple[Hop, ...], row: int) -> list[str]:
    """The line from what the step was taken for."""
    hop, y = hops[row], _TOP + row * _ROW + 18
    x = _x(hop) - _INDENT // 2
    above = next((i for i in range(row - 1, -1, -1) if hops[i].depth <= hop.depth), None)
    top = _TOP - 14 if above is None else _TOP + above * _ROW + (18 if hops[above].depth == hop.depth else 36)
    return [f'<path d="M{x} {top}V{y}H{_x(hop)}" fill="none" stroke="#9e9e9e"/>']


def _step(hop: Hop, y: int) -> list[str]:
    x, color = _x(hop), _color(hop)
    room = _BOX - x + _LEFT
    who = f"{hop.server} {hop.zone}" if hop.server else "nobody was asked"
    fitting = int(room / _CHAR)
    return [
        f'<rect x="{x}" y="{y}" width="{room}" height="36" rx="6" fill="#fafafa" stroke="{color}"/>',
        _label(x + 8, y + 15, cut(who, fitting - 2), weight="bold"),
        _label(x + 8, y + 30, cut(f"{hop.question}{' by TCP' if hop.tcp else ''}", fitting - 2), color=_NEUTRAL),
        f"<g><title>{escape(hop.outcome)}</title>",
        _label(_TEXT_AT, y + 15, cut(hop.verdict, _TEXT), color=color, weight="bold"),
        _label(_TEXT_AT, y + 30, cut(hop.why, _TEXT), color=color),
        "</g>",
    ]


def _ending(made: Explanation, row: int, *, omitted: int) -> list[str]:
    y = _TOP + row * _ROW
    color = _BAD if made.error else _GOOD
    lines = [made.error] if made.error else [record.replace("\t", " ") for record in made.records[:MAX_RECORDS]]
    if len(made.records) > MAX_RECORDS:
        lines.append(f"and {len(made.records) - MAX_RECORDS} more")
    parts = [_label(_LEFT, y + 15, f"{omitted} more steps", color=_NEUTRAL)] if omitted else []
    parts.append(_label(_LEFT, y + 34, made.status if made.error else made.remark, color=color, weight="bold"))
    fitting = int((_WIDTH - 2 * _LEFT) / _CHAR)
    return parts + [
        _label(_LEFT, y + 54 + 18 * number, cut(line, fitting), color=color) for number, line in enumerate(lines)
    ]


def _color(hop: Hop) -> str:
    """By what it was good for."""
    if hop.verdict == "NOERROR":
        return _REFERRAL if "referral" in hop.why else _GOOD
    if "asked again" in hop.why:
        return _AGAIN
    if hop.verdict in {"NXDOMAIN", "cache", "referral"} or not hop.server:
        return _NEUTRAL if hop.verdict != "referral" else _REFERRAL
    return _BAD


def _label(x: float, y: float, text: str, *, color: str = "#212121", size: int = 12, weight: str = "") -> str:
    bold = f' font-weight="{weight}"' if weight else ""
    return f'<text x="{x}" y="{y}" fill="{color}" font-size="{size}"{bold}>{escape(text)}</text>'
