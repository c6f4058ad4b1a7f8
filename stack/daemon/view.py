"""What the daemon's web page is made of: its files, the events that it lives on, and metrics for Prometheus.

    /                    the page                       /view/NAME   its files
    /view/status         one snapshot                   /view/history[?connection=KEY]   what the plots begin with
    /view/events         a snapshot a second            /view/packets[?filter=...]       packets, a few times a second
    /view/names          the resolver's cache
    /metrics             Prometheus                     /plain       who is connected, for browsers without JavaScript

Everything is read-only.  Who asks must be in the networks that the settings allow, by default the stack's own.  The
Host header must be an address or one of our names: a page of somebody else's whose name suddenly leads to our address
(DNS rebinding) is not shown what is here.  The page may load from here alone (Content-Security-Policy).  Watchers and
what waits for each of them are bounded; one that reads slowly misses something, and is told.
"""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from stack.daemon.services.http import Answer, Ask, Feed
from stack.daemon.settings import Settings
from stack.device.pcapng import INBOUND
from stack.errors import StackError
from stack.observe import metrics
from stack.observe.bus import Subscription
from stack.observe.decode import describe, ends_of, layers, protocol_of
from stack.observe.filter import compile_filter
from stack.observe.history import OF_CONNECTION, TOTALS
from stack.observe.observer import Observer
from stack.observe.packets import Seen
from stack.tcp.state import NAMES

MAX_WATCHERS: Final = 32
MAX_NAMES: Final = 300
PACKETS_EVERY_S: Final = 0.25
QUIET_S: Final = 20.0  # after so long without a packet a comment is sent: an idle connection would be closed (IDLE_S)
PACKETS_AT_ONCE: Final = 60
_KINDS: Final = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_JSON: Final = "application/json"
_TEXT: Final = "text/plain; charset=utf-8"
_EVENTS: Final = "text/event-stream; charset=utf-8"
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
SAFE: Final = (
    (b"content-security-policy", _POLICY.encode("ascii")),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class View:
    """Answers what is asked on port 80 from `web`, the page's files; `plain` makes the page without JavaScript, `names`
    tells what the resolver's cache has.
    """

    __slots__ = ("_allowed", "_cache_rows", "_files", "_names", "_observer", "_page", "_plain")

    def __init__(
        self,
        settings: Settings,
        observer: Observer,
        web: Mapping[str, bytes],
        plain: Callable[[tuple[str, int]], str],
        names: Callable[[int], list[tuple[str, str, int, str]]],
    ) -> None:
        page = settings.page
        self._page = page
        networks = page.allow or [str(settings.interface.network)]
        self._allowed = [ipaddress.IPv4Network(network) for network in networks]
        self._names = frozenset(["localhost", *(name.lower() for name in page.names)])
        self._observer = observer
        self._plain = plain
        self._cache_rows = names
        self._files = web

    def __call__(self, ask: Ask) -> Answer | Feed | None:
        """The answer; None for paths that are not ours."""
        path = ask.path
        if path not in {"/", "/plain", "/metrics"} and not path.startswith("/view/"):
            return None
        if not (self._page.metrics if path == "/metrics" else self._page.enabled):
            return _refusal(404, "this page is turned off in the daemon's settings, [page]")
        if not self._is_allowed(ask.peer[0]):
            return _refusal(403, "not from this network: the daemon's setting page.allow names those that may look")
        if not self._is_our_name(ask.host):
            return _refusal(421, "not by this name: use the address, or put the name into the setting page.names")
        if path == "/":
            return self._file("index.html")
        if path == "/plain":
            return self._plain_page(ask)
        if path == "/metrics":
            return self._metrics()
        return self._under_view(path.removeprefix("/view/"), parse_qs(ask.query))

    def _is_allowed(self, address: str) -> bool:
        try:
            peer = ipaddress.IPv4Address(address)
        except ValueError:
            return False
        return any(peer in network for network in self._allowed)

    def _is_our_name(self, host: str | None) -> bool:
        """An address in figures cannot have been rebound; HTTP/1.0 without Host is no browser."""
        if host is None:
            return True
        name = host.strip().lower()
        name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _file(self, name: str) -> Answer:
        body = self._files.get(name)
        if body is None:
            return _refusal(404, "there is no such file of the page")
        return Answer(200, _KINDS[name.rpartition(".")[2]], body, SAFE)

    def _under_view(self, name: str, query: Mapping[str, list[str]]) -> Answer | Feed:
        observer = self._observer
        if name == "status":
            return Answer(200, _JSON, observer.encoded(), SAFE)
        if name == "history":
            return Answer(200, _JSON, _history(observer, query.get("connection", [""])[0]), SAFE)
        if name == "names":
            return Answer(200, _JSON, _names(self._cache_rows(MAX_NAMES)), SAFE)
        if name not in {"events", "packets"}:
            return self._file(name)
        if sum(observer.watchers.get(kind, 0) for kind in (Ticks.NAME, Packets.NAME)) >= MAX_WATCHERS:
            return _refusal(503, f"there are {MAX_WATCHERS} watchers already: close one of them")
        if name == "events":
            return Ticks(observer)
        try:
            accepts = compile_filter(query.get("filter", [""])[0])
        except StackError as error:
            return _refusal(400, str(error.strerror))
        return Packets(observer, accepts)

    def _plain_page(self, ask: Ask) -> Answer:
        return Answer(200, _KINDS["html"], self._plain(ask.peer).encode(), SAFE_WITH_STYLE)

    def _metrics(self) -> Answer:
        observer = self._observer
        states = Counter(NAMES[one.state] for one in observer.driver.host.connections())
        return Answer(200, metrics.CONTENT_TYPE, metrics.render(observer.snapshot(connections=0), states), SAFE)


SAFE_WITH_STYLE: Final = (
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    *SAFE[1:],
)


@cache
def load_files() -> Mapping[str, bytes]:
    """The page's files by name, read once: while the daemon still has the rights to."""
    folder = files("stack.daemon") / "web"
    return {entry.name: entry.read_bytes() for entry in folder.iterdir() if entry.name.rpartition(".")[2] in _KINDS}


def _refusal(status: int, reason: str) -> Answer:
    return Answer(status, _TEXT, f"{reason}\n".encode(), SAFE)


def _history(observer: Observer, key: str) -> bytes:
    if key:
        return msgspec.json.encode({"columns": OF_CONNECTION, "rows": observer.history.of_connection(key)})
    return msgspec.json.encode({"columns": TOTALS, "rows": list(observer.history.totals)})


def _names(rows: list[tuple[str, str, int, str]]) -> bytes:
    about = f"The resolver's cache: {len(rows)} entries" + (", the last used ones" if len(rows) == MAX_NAMES else "")
    entries = [dict(zip(("name", "type", "ttl", "data"), row, strict=True)) for row in rows]
    return msgspec.json.encode({"about": about, "entries": entries})


class Ticks:
    """Server-Sent Events: a snapshot at once, and one a second.  Who is slow gets the newest."""

    NAME: Final = "page"
    kind: str = _EVENTS
    headers: tuple[tuple[bytes, bytes], ...] = SAFE

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._subscription: Subscription[bytes] | None = None
        self._first: bytes | None = None

    def open(self, on_ready: Callable[[], None]) -> None:
        """Begin to listen.  A watcher that finds no room gets nothing more than its first snapshot."""
        self._observer.joined(self.NAME)
        self._first = self._observer.encoded()
        self._subscription = self._observer.ticks.subscribe(on_ready, max_items=1, max_bytes=16 << 20, newest=True)

    def take(self) -> bytes | None:
        """The next event."""
        line, self._first = self._first, None
        if line is None and self._subscription is not None:
            line = self._subscription.take()
        return None if line is None else b"data: " + line + b"\n\n"

    def close(self) -> None:
        """Listen no more."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
            self._observer.left(self.NAME)


class Packets:
    """Server-Sent Events: what has passed in a quarter of a second, as much of it as anybody can read."""

    NAME: Final = "packets"
    kind: str = _EVENTS
    headers: tuple[tuple[bytes, bytes], ...] = SAFE

    def __init__(self, observer: Observer, accepts: Callable[[Seen], bool] | None) -> None:
        self._observer = observer
        self._accepts = accepts
        self._subscription: Subscription[Seen] | None = None
        self._on_ready: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_soon = False  # the timer is for packets, not for silence
        self._is_due = True
        self._told_lost = -1

    def open(self, on_ready: Callable[[], None]) -> None:
        """Begin to listen."""
        self._on_ready = on_ready
        self._observer.joined(self.NAME)
        self._subscription = self._observer.packets.subscribe(
            self._arm, self._accepts, whole=False, max_items=PACKETS_AT_ONCE, max_bytes=1 << 20
        )

    def _arm(self) -> None:
        """Something has come: it is told with what else comes soon."""
        if not self._is_soon:
            self._is_soon = True
            self._tell_in(PACKETS_EVERY_S)

    def _tell_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._observer.driver.loop.call_later(seconds, self._tell)

    def _tell(self) -> None:
        self._timer = None
        self._is_soon = False
        self._is_due = True
        if self._on_ready is not None:
            self._on_ready()

    def take(self) -> bytes | None:
        """The next event; the first says only that we listen, and a comment that nothing has come."""
        subscription = self._subscription
        if subscription is None or not self._is_due:
            return None
        if not self._is_soon:
            self._tell_in(QUIET_S)
        if self._told_lost < 0:
            self._told_lost = 0
            return b'data: {"packets":[],"lost":0}\n\n'
        self._is_due = False
        found = []
        while (seen := subscription.take()) is not None:
            found.append(row(seen))
        lost, self._told_lost = subscription.lost - self._told_lost, subscription.lost
        if not found:
            return b":\n\n"
        return b"data: " + msgspec.json.encode({"packets": found, "lost": lost}) + b"\n\n"

    def close(self) -> None:
        """Listen no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
            self._observer.left(self.NAME)


def row(seen: Seen) -> dict[str, Any]:
    """A packet as the page lists it."""
    head = seen.head
    source, target = ends_of(head)
    return {
        "time": seen.time,
        "in": seen.direction == INBOUND,
        "device": seen.device,
        "protocol": protocol_of(head),
        "source": source,
        "target": target,
        "length": seen.length,
        "segments": seen.segs,
        "text": describe(seen.data, head, seen.length),
        "note": seen.note,
        "layers": layers(seen.data),
        "bytes": seen.data[:96].hex(),
    }
