"""The index page: who is connected and how."""

from html import escape
from typing import Any, Final

MAX_ROWS: Final = 200  # connections shown

_STYLE: Final = """
:root { color-scheme: light dark; --line: #8883; --soft: #8881; --accent: #0a7d5a }
@media (prefers-color-scheme: dark) { :root { --accent: #3ecf9b } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 82rem; padding: 1.5rem 1rem 3rem; line-height: 1.45;
  font-family: system-ui, sans-serif; -webkit-text-size-adjust: 100% }
h1 { font-size: 1.6rem; margin: 0 0 .25rem } h2 { font-size: 1.05rem; margin: 2rem 0 .5rem }
p { margin: .25rem 0 } .soft { opacity: .7 }
code, td { font-family: ui-monospace, monospace; font-size: .88rem }
code { background: var(--soft); padding: .1rem .35rem; border-radius: .25rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .6rem; margin: 1.2rem 0 }
.tile { border: 1px solid var(--line); border-radius: .6rem; padding: .6rem .8rem }
.tile b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums }
.tile span { font-size: .8rem; opacity: .7 }
.wide { overflow-x: auto; border: 1px solid var(--line); border-radius: .6rem }
table { border-collapse: collapse; width: 100%; white-space: nowrap }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--line) }
tr:last-child td { border-bottom: 0 } th { font-size: .78rem; font-weight: 600; opacity: .7 }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums }
tr.you td { color: var(--accent); font-weight: 600 }
@media (max-width: 40rem) {
  thead { display: none } tr { display: grid; grid-template-columns: 1fr 1fr; padding: .5rem .7rem;
    border-bottom: 1px solid var(--line) } tr:last-child { border-bottom: 0 }
  td, td.n { border: 0; padding: .12rem 0; text-align: left; white-space: normal; overflow-wrap: anywhere }
  td:first-child { grid-column: 1 / -1 } td[data-h]::before { content: attr(data-h) " "; opacity: .6; font-weight: 400 }
}
"""

_COLUMNS: Final = (  # heading, class
    ("peer", ""),
    ("port", "n"),
    ("state", ""),
    ("RTT", "n"),
    ("cwnd", "n"),
    ("MSS", "n"),
    ("peer's window", "n"),
    ("delivered", "n"),
    ("in flight", "n"),
    ("resent", "n"),
    ("options", ""),
)


def size(count: float) -> str:
    """`count` bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def duration(micros: float) -> str:
    """Microseconds for people."""
    if micros <= 0:
        return "-"
    if micros < 1000:
        return f"{micros:.0f} µs"
    return f"{micros / 1000:.2f} ms" if micros < 1_000_000 else f"{micros / 1_000_000:.1f} s"


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['remote_addr']}:{row['remote_port']}",
        str(row["local_port"]),
        row["state"],
        duration(row["srtt_us"]),
        size(row["cwnd"]),
        str(row["mss"]),
        size(row["snd_wnd"]),
        size(row["delivered"]),
        size(row["in_flight"]),
        str(row["retransmits"]),
        " ".join([*row["options"], row["congestion"]]),
    ]


def _connections(rows: list[dict[str, Any]], peer: tuple[str, int]) -> str:
    head = "".join(f'<th class="{kind}">{escape(name)}</th>' for name, kind in _COLUMNS)
    body = []
    for row in rows:
        yours = ' class="you"' if (row["remote_addr"], row["remote_port"]) == peer else ""
        cells = "".join(
            f'<td class="{kind}"' + (f' data-h="{escape(name)}"' if index else "") + f">{escape(cell)}</td>"
            for index, ((name, kind), cell) in enumerate(zip(_COLUMNS, _cells(row), strict=True))
        )
        body.append(f"<tr{yours}>{cells}</tr>")
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'


def render(status: dict[str, Any], peer: tuple[str, int]) -> str:
    """The page for the client `peer`, from the daemon's status."""
    rows = sorted(
        status["connections"], key=lambda row: ((row["remote_addr"], row["remote_port"]) != peer, -row["delivered"])
    )
    traffic, daemon = status["traffic"], status["daemon"]
    tiles = (
        (str(status["connection_count"]), "connections"),
        (size(traffic["tx_bytes"]), "sent"),
        (size(traffic["rx_bytes"]), "received"),
        (str(status["counters"]["tcp_retrans_segs"]), "retransmitted"),
        (str(sum(status["drops"].values())), "dropped"),
        (f"{daemon['uptime_s'] // 3600}:{daemon['uptime_s'] // 60 % 60:02d}:{daemon['uptime_s'] % 60:02d}", "up"),
    )
    left_out = status["connection_count"] - len(rows)
    more = f'<p class="soft">and {left_out} older ones</p>' if left_out > 0 else ""
    boxes = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for value, name in tiles
    )
    address = escape(daemon["address"].partition("/")[0])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="5"><title>tapstack on {address}</title><style>{_STYLE}</style></head>
<body><h1>tapstack</h1>
<p>This page came from <b>{address}</b>, a TCP/IP host in user space on the device
<code>{escape(daemon["device"])}</code>.
You are <b>{escape(peer[0])}:{peer[1]}</b>.</p>
<div class="tiles">{boxes}</div>
<h2>Who is connected, and how</h2>
{_connections(rows, peer)}
{more}
<h2>Try</h2>
<p><code>curl -o /dev/null http://{address}/bytes/100000000</code></p>
<p><code>curl -T FILE http://{address}/upload</code></p>
<p><code>nc {address} 7</code> echo, <code>13</code> daytime, <code>19</code> character generator</p>
</body></html>
"""
