"""What the person in front of the daemon sees: what to type next, then one quiet line that lives."""

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from stack import _form
from stack.daemon.privileges import in_own_namespace
from stack.daemon.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live


def command() -> str:
    """How to call `tapstack` from where we are."""
    ours = Path(sys.executable).with_name("tapstack")
    if not ours.exists() or shutil.which("tapstack") == str(ours):
        return "tapstack"
    return str(ours.relative_to(Path.cwd())) if ours.is_relative_to(Path.cwd()) else str(ours)


def announce(settings: Settings) -> str:
    """What to type next."""
    address = settings.interface.ip
    lines = [f"tapstack is up: {address} on {settings.dev}, this machine is {settings.host_interface.ip}", ""]
    enter = ""
    options = "" if settings.dev == "tapstack0" else f" --dev {settings.dev}"
    options += f" --control {settings.control}" if settings.control else ""
    if in_own_namespace():
        lines += [
            "It lives in a network namespace of its own, because it was not started as root.  From another",
            "terminal of yours:",
            "",
        ]
        enter = f"nsenter --preserve-credentials -U -n -t {os.getpid()} "
    lines += [
        f"  {enter}ping {address}",
        f"  {enter}curl http://{address}/",
        f"  {command()} status{options}",
        *([f"  {command()} run{options} -- python app.py"] if settings.attach.enabled else []),
        "",
    ]
    if settings.socks is not None:
        lines += [f"SOCKS5 for other programs: {settings.socks.address}:{settings.socks.port}", ""]
    lines += [f"The TCP core runs {_form.running()}.", ""]
    if not enter:
        lines += [f"The page for a browser: http://{address}/", ""]
    return "\n".join([*lines, "Ctrl-C ends it.", ""])


class StatusLine:
    """One line at the bottom of a terminal, redrawn when told; nothing where there is no terminal."""

    __slots__ = ("_last", "_live")

    def __init__(self, console: "Console | None" = None) -> None:
        self._last: tuple[float, int, int] | None = None
        self._live = _live_on(console) if console is not None or _may_be_terminal() else None

    def start(self) -> None:
        """Begin; what is written to standard output and error goes above the line from now on."""
        if self._live is not None:
            self._live.start()

    def stop(self) -> None:
        """Take the line away."""
        if self._live is not None:
            self._live.stop()

    def update(self, now: float, rx_bytes: int, tx_bytes: int, connections: int, drops: int) -> None:
        """Show the rates since the last call, at `now` (seconds, any origin)."""
        if self._live is None:
            return
        from rich.text import Text  # noqa: PLC0415  # there by now: `_live` is

        text = Text(no_wrap=True, overflow="ellipsis")
        if self._last is not None and now > self._last[0]:
            then, rx_before, tx_before = self._last
            text.append(f" in {rate((rx_bytes - rx_before) / (now - then))}", "green")
            text.append(f"  out {rate((tx_bytes - tx_before) / (now - then))}", "cyan")
        self._last = (now, rx_bytes, tx_bytes)
        text.append(f"  {connections} connection{'' if connections == 1 else 's'}")
        text.append(f"  {drops} dropped", "dim" if not drops else "yellow")
        try:
            self._live.update(text, refresh=True)
        except OSError:  # the terminal has gone away
            self._live = None


def _may_be_terminal() -> bool:
    """Whether standard output is a terminal, or the environment says that it is as good as one (rich knows how)."""
    if "FORCE_COLOR" in os.environ or "TTY_COMPATIBLE" in os.environ:
        return True
    try:
        return sys.stdout is not None and sys.stdout.isatty()
    except ValueError:  # closed
        return False


def _live_on(console: "Console | None") -> "Live | None":
    """A line at the bottom of `console`, or of standard output; None where rich finds no terminal."""
    from rich.console import Console  # noqa: PLC0415  # 15 ms that only a terminal is worth
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    console = console or Console()
    return Live(Text(), console=console, auto_refresh=False, transient=True) if console.is_terminal else None


def rate(bytes_per_s: float) -> str:
    """`bytes_per_s` in bits for people."""
    bits = bytes_per_s * 8
    for unit in ("bit/s", "kbit/s", "Mbit/s"):
        if bits < 1000:
            return f"{bits:.0f} {unit}" if bits >= 100 or unit == "bit/s" else f"{bits:.1f} {unit}"
        bits /= 1000
    return f"{bits:.1f} Gbit/s"


def say(text: str) -> None:
    """Write to standard output, which may have gone away or never been there."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError:
        pass
