"""`tapstack status --watch`: the snapshot as a live table, redrawn each second.

The table is made from two snapshots, the last and the one before it, so that it has rates.  It takes the whole
terminal and gives it back as it was; what does not fit is left out from the bottom of each part, and columns from the
right.  Without a terminal, or with --json, each snapshot is a line of its own.
"""

import json
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stack.cli import client
from stack.daemon.page import duration, size

SORTS: Final = {
    "r": ("rate", lambda row: -row["rate"]),
    "c": ("cwnd", lambda row: -row["cwnd"]),
    "t": ("RTT", lambda row: -row["srtt_us"]),
    "x": ("retransmits", lambda row: -row["retransmits"]),
    "s": ("queues", lambda row: -(row["send_queue"] + row["recv_queue"])),
    "a": ("address", lambda row: (row["remote_addr"], row["remote_port"])),
}
_GOOD, _SOFT, _BAD, _HEAD = "green", "dim", "red", "bold"
_TINY: Final = 55
_NARROW: Final = 70
_WIDE: Final = 100
_MIDDLE: Final = 112


def run(dev: str, control: str | None, *, as_json: bool) -> int:
    """Until Ctrl-C, q, or the end of the daemon; the exit code.  Raises StackError when there is no daemon."""
    console = Console()
    if as_json or not sys.stdout.isatty() or console.is_dumb_terminal:  # one that cannot be drawn on
        for line in client.watch(dev, control):
            click.echo(line if as_json else _plain(json.loads(line)))
            sys.stdout.flush()
        return 1
    screen = Screen()
    with _keys() as wait_for, Live(console=console, screen=True, auto_refresh=False) as live:
        for line in client.watch(dev, control, wait_for):
            if isinstance(line, str):  # a key
                if line in {"q", "Q", "\x03", "\x1b"}:
                    return 0
                screen.on_key(line)
            else:
                screen.update(json.loads(line))
            live.update(screen.render(*console.size), refresh=True)
    return 1


@contextmanager
def _keys() -> Iterator[int | None]:
    """Keys are read one by one, and not shown; the descriptor to read them from."""
    if not sys.stdin.isatty():
        yield None
        return
    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        yield number
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)


def _plain(status: dict[str, Any]) -> str:
    """One line for a log."""
    rates = rates_of(status)
    return (
        f"{status['connection_count']} connections, in {size(rates['rx_bytes'])}/s, out {size(rates['tx_bytes'])}/s, "
        f"{status['counters']['tcp_retrans_segs']} retransmitted, {sum(status['drops'].values())} dropped"
    )


def rates_of(status: dict[str, Any]) -> dict[str, float]:
    """Frames and bytes a second, in and out, over the last second."""
    last, before = status.get("totals"), status.get("before")
    names = ("rx_bytes", "tx_bytes", "rx_frames", "tx_frames")
    if not last or not before or last[0] <= before[0]:
        return dict.fromkeys(names, 0.0)
    return {name: max(0.0, last[i] - before[i]) / (last[0] - before[0]) for i, name in enumerate(names, 1)}


class Screen:
    """What is shown: the last snapshot, the rates of connections since the one before, and the order of rows."""

    def __init__(self) -> None:
        self.status: dict[str, Any] = {}
        self.sort = "r"
        self._before: dict[str, tuple[float, int, int]] = {}

    def on_key(self, key: str) -> None:
        """Sort otherwise."""
        if key in SORTS:
            self.sort = key

    def update(self, status: dict[str, Any]) -> None:
        """A new snapshot."""
        now = status["time"]
        seen = {}
        for row in status["connections"]:
            key, delivered, received = row["key"], row["delivered"], row["rcv_nxt"]
            at, old_delivered, old_received = self._before.get(key, (now, delivered, received))
            moved = (delivered - old_delivered) + ((received - old_received) & 0xFFFF_FFFF)
            row["rate"] = moved / (now - at) if now > at else 0.0
            seen[key] = (now, delivered, received)
        self._before = seen
        self.status = status

    def render(self, width: int, height: int) -> RenderableType:
        """The whole screen."""
        status = self.status
        if not status:
            return Text("waiting for the daemon ...")
        rest = height - 3
        small: list[RenderableType] = []
        neighbors = status["neighbors"][: max(0, rest // 5 - 1)]
        drops = sorted(status["drops"].items(), key=lambda item: -item[1])[: max(0, rest // 4 - 1)]
        devices = self._interfaces(width)
        used = len(status["interfaces"]) + 1
        if neighbors:
            small.append(_table(("neighbour", "mac", "state"), [_neighbor(one) for one in neighbors], width))
            used += len(neighbors) + 1
        if drops:
            rows = [(name, str(count)) for name, count in drops]
            small.append(_table(("dropped", "count"), rows, width, right={1}))
            used += len(drops) + 1
        sockets = self._sockets(width, max(1, rest - used - 1))
        return Group(self._head(width), devices, sockets, *small, self._foot(width))

    def _head(self, width: int) -> Text:
        status = self.status
        daemon = status["daemon"]
        memory = status["memory"]
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"tapstack {daemon['address']}", style=_HEAD)
        text.append(f" on {daemon['device']}, up {_uptime(daemon['uptime_s'])}")
        text.append(f"  {status['connection_count']} connections")
        if width >= _NARROW:
            text.append(f"  {status['counters']['tcp_retrans_segs']} retransmitted")
            text.append(f"  memory {size(memory['used'])} of {size(memory['limit'])}")
            lag = status["loop_lag_us"]
            text.append(f"  lag {duration(lag)}", style=_BAD if lag > 100_000 else _SOFT)
        return text

    def _interfaces(self, width: int) -> RenderableType:
        status, rates = self.status, rates_of(self.status)
        rows = []
        for one in status["interfaces"]:
            ours = one["name"] == status["daemon"]["device"]
            cells = [f"{size(rates[way])}/s" if ours else "-" for way in ("rx_bytes", "tx_bytes")]
            cells += [f"{rates[way]:.0f}/s" if ours else "-" for way in ("rx_frames", "tx_frames")]
            rows.append((one["name"], *cells, str(one["mtu"]), " ".join(one["addrs"])))
        heads = ("interface", "in", "out", "frames in", "frames out", "mtu", "addresses")
        return _table(
            heads,
            rows,
            width,
            right={1, 2, 3, 4, 5},
            drop=(6, 5, 4, 3) if width < _TINY else (6, 5) if width < _NARROW else (),
        )

    def _sockets(self, width: int, most: int) -> RenderableType:
        rows = sorted(self.status["connections"], key=SORTS[self.sort][1])
        cells = [
            (
                f"{one['local_port']}" if width < _MIDDLE else f"{one['local_addr']}:{one['local_port']}",
                f"{one['remote_addr']}:{one['remote_port']}",
                one["state"],
                f"{size(one['rate'])}/s",
                size(one["cwnd"]),
                duration(one["srtt_us"]),
                str(one["retransmits"]),
                size(one["send_queue"]),
                size(one["recv_queue"]),
                one["congestion"],
            )
            for one in rows[:most]
        ]
        for one in self.status["listeners"][: max(0, most - len(cells))]:
            queue, own = f"{one['waiting']}/{one['backlog']}", str(one["port"])
            remote = "*" if width >= _NARROW else f"*:{own}"
            cells.append((own, remote, "LISTEN", "", "", "", "", "", queue, ""))
        heads = ("local", "remote", "state", "rate", "cwnd", "RTT", "resent", "send-q", "recv-q", "control")
        return _table(heads, cells, width, right={3, 4, 5, 6, 7, 8}, drop=_dropped(width))

    def _foot(self, width: int) -> Text:
        text = Text(no_wrap=True, overflow="ellipsis", style=_SOFT)
        text.append(f"sorted by {SORTS[self.sort][0]}, q quits")
        names = ", ".join(f"{key} {name}" for key, (name, _) in SORTS.items() if key != self.sort)
        text.append(f"; {names}" if width >= _NARROW else "")
        return text


def _dropped(width: int) -> tuple[int, ...]:
    """The columns of sockets that a terminal has no room for."""
    if width < _TINY:
        return (9, 8, 7, 6, 4, 2, 0)
    if width < _NARROW:
        return (9, 8, 7, 0)
    return (9, 8, 7) if width < _WIDE else (9,) if width < _MIDDLE else ()


def _uptime(seconds: int) -> str:
    return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


def _neighbor(one: dict[str, Any]) -> tuple[str, ...]:
    return one["addr"], one["mac"] or "-", one["state"]


def _table(
    heads: tuple[str, ...],
    rows: Sequence[tuple[str, ...]],
    width: int,
    *,
    right: set[int] | frozenset[int] = frozenset(),
    drop: tuple[int, ...] = (),
) -> Table:
    """Columns as wide as they must be; those in `drop` are left out."""
    table = Table(box=None, pad_edge=False, padding=(0, 2 if width >= _WIDE else 1, 0, 0), header_style="bold cyan")
    kept = [index for index in range(len(heads)) if index not in drop]
    for index in kept:
        table.add_column(heads[index], justify="right" if index in right else "left", no_wrap=True, overflow="ellipsis")
    for row in rows:
        table.add_row(*(Text(row[index]) for index in kept))
    return table
