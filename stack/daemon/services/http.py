"""The HTTP service: h11 reads and writes HTTP/1.1, an asyncio transport carries it.

Theory of operation.  One `HttpConnection` per connection.  `_advance` takes events from h11 until it has
none; a request is answered as soon as its body has ended (or at once, when the answer does not depend on
it).  A long answer is a generator of chunks in `_body`: `_pump` writes until the transport says
`pause_writing` and goes on at `resume_writing`; while there is one, reading is paused, so that a client
that pipelines without reading the answers is held by its own TCP window.  `HttpService.sweep`, called
now and then, closes connections on which nothing has moved for too long.

What a `Site.view` answers comes first.  It may be a `Feed`: an answer without end, whose pieces are taken from it
whenever it says that there are some and the transport has room.
"""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Protocol

import h11

from stack.daemon.services import content

logger = logging.getLogger(__name__)

IDLE_S: Final = 60.0  # without a byte moving, in either direction; and for the head of a request, however it dribbles
SWEEP_S: Final = 5.0
MAX_BYTES: Final = 10 << 40  # the largest N of /bytes/N
_MAX_HEADER: Final = 16 << 10
_PER_TURN: Final = 16  # chunks written before other connections get their turn
_HTML: Final = "text/html; charset=utf-8"
_TEXT: Final = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Ask:
    """A GET or HEAD: the path, the query without its "?", the Host header (None: there is none), and who asks."""

    path: str
    query: str
    host: str | None
    peer: tuple[str, int]


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer; `headers` are those besides type and length."""

    status: int
    kind: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Feed(Protocol):
    """An answer without end."""

    kind: str
    headers: tuple[tuple[bytes, bytes], ...]

    def open(self, on_ready: Callable[[], None]) -> None:
        """It is being sent now; `on_ready` is to be called when `take` has something."""

    def take(self) -> bytes | None:
        """The next piece, None when there is none yet."""

    def close(self) -> None:
        """Nobody takes more; safe to call twice."""


View = Callable[[Ask], "Answer | Feed | None"]


@dataclass(frozen=True, slots=True)
class Site:
    """What is served: the index page, made for each peer that asks, the largest upload taken (bytes), and what else
    there is to see: `view` answers None for what it does not know.
    """

    index: Callable[[tuple[str, int]], str]
    max_upload: int = 10 << 30
    view: View | None = None


class HttpService:
    """What the connections have in common."""

    __slots__ = ("_idle", "connections", "draining", "requests", "site")

    def __init__(self, site: Site) -> None:
        self.site = site
        self.connections: set[HttpConnection] = set()
        self.draining = False
        self.requests = 0
        self._idle = asyncio.Event()  # set when the last connection has gone while draining

    async def drain(self) -> None:
        """No more requests: close what is idle now, the others after the answer they are at; wait for them."""
        self.draining = True
        for connection in list(self.connections):
            connection.close_if_idle()
        if self.connections:
            await self._idle.wait()

    def forget(self, connection: "HttpConnection") -> None:
        """`connection` has ended."""
        self.connections.discard(connection)
        if self.draining and not self.connections:
            self._idle.set()

    def sweep(self) -> None:
        """Close the connections that have been idle for too long."""
        limit = time.monotonic() - IDLE_S
        for connection in list(self.connections):
            if connection.moved_at < limit:
                connection.transport.abort()


class HttpConnection(asyncio.Protocol):
    """One client."""

    __slots__ = (
        "_body",
        "_digest",
        "_feed",
        "_http",
        "_lingering",
        "_paused",
        "_received",
        "_request",
        "_service",
        "moved_at",
        "transport",
    )

    def __init__(self, service: HttpService) -> None:
        self._service = service
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_MAX_HEADER)
        self._request: h11.Request | None = None
        self._digest: hashlib._Hash | None = None  # set while an upload is taken
        self._received = 0
        self._body: Iterator[bytes | memoryview] | None = None  # the rest of a long answer
        self._feed: Feed | None = None
        self._paused = False
        self._lingering = False  # answered and ended, while the client still sends what nobody wants
        self.moved_at = time.monotonic()
        self.transport: asyncio.Transport

    # -- asyncio

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self._service.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._body = None
        self._end_feed()
        self._service.forget(self)

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        if self._feed is not None:  # no browser sends a request before the answer has ended, and this one has no end
            self.transport.close()
            return
        if self._http.their_state is not h11.IDLE or not self._http.trailing_data[0]:
            self.moved_at = time.monotonic()
        try:
            self._http.receive_data(data)
        except h11.RemoteProtocolError:  # after its Connection: close it has nothing more to say
            self.transport.close()
            return
        self._advance()

    def eof_received(self) -> bool:
        if self._lingering or self._feed is not None:
            return False
        self._http.receive_data(b"")
        if self._body is not None:
            return True  # it half-closed and reads on: `_finish` closes
        self._advance()
        return self._body is not None

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self.moved_at = time.monotonic()
        if self._feed is not None:
            self._send_feed()
        else:
            self._pump()

    def close_if_idle(self) -> None:
        """Close unless a request or an answer that has an end is under way."""
        if self._feed is not None:
            self._end_feed()
            self._send(h11.EndOfMessage())
            self.transport.close()
        elif self._http.our_state is h11.IDLE and self._request is None:
            self.transport.close()

    # -- requests

    def _advance(self) -> None:
        """Act on what has been received."""
        while self._body is None and self._feed is None and not self._lingering and not self.transport.is_closing():
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as error:
                self._refuse(error.error_status_hint, "bad request")
                return
            if event is h11.NEED_DATA:
                if self._http.they_are_waiting_for_100_continue:
                    self._send(h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue"))
                return
            if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed):
                self._next_or_close()
                if self._http.our_state is not h11.IDLE:
                    return
            elif isinstance(event, h11.Request):
                self._on_request(event)
            elif isinstance(event, h11.Data):
                self._on_data(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self._on_end()

    def _on_request(self, request: h11.Request) -> None:
        self._service.requests += 1
        self._request = request
        if _path_of(request) != b"/upload" or request.method not in (b"PUT", b"POST"):
            return
        for name, value in request.headers:
            if name == b"content-length" and int(value) > self._service.site.max_upload:
                self._refuse(413, f"at most {self._service.site.max_upload} bytes")
                return
        self._digest = hashlib.sha256()
        self._received = 0

    def _on_data(self, data: bytes) -> None:
        if self._digest is None:
            return  # a body that nobody asked for
        self._received += len(data)
        if self._received > self._service.site.max_upload:
            self._refuse(413, f"at most {self._service.site.max_upload} bytes")
            return
        self._digest.update(data)

    def _on_end(self) -> None:
        request, digest = self._request, self._digest
        if request is None:
            return
        self._digest = None
        path = _path_of(request)
        if digest is not None:
            answer = json.dumps({"bytes": self._received, "sha256": digest.hexdigest()}) + "\n"
            self._respond(200, "application/json", answer.encode("ascii"))
        elif path == b"/upload":
            self._refuse(405, "PUT or POST here", allow=b"PUT, POST")
        elif self._service.site.view is not None and self._view(request, path, self._service.site.view):
            return
        elif path != b"/" and not path.startswith(b"/bytes/"):
            self._refuse(404, "not found; there are /, /bytes/N and /upload")
        elif request.method not in (b"GET", b"HEAD"):
            self._refuse(405, "GET or HEAD here", allow=b"GET, HEAD")
        elif path == b"/":
            page = self._service.site.index(self.transport.get_extra_info("peername") or ("", 0))
            self._respond(200, _HTML, page.encode())
        else:
            self._bytes(path.removeprefix(b"/bytes/"))

    def _view(self, request: h11.Request, path: bytes, view: View) -> bool:
        """Whether `view` has answered."""
        query = request.target.partition(b"?")[2].decode("latin-1")
        host = next((value.decode("latin-1") for name, value in request.headers if name == b"host"), None)
        peer = self.transport.get_extra_info("peername") or ("", 0)
        answer = view(Ask(path.decode("latin-1"), query, host, peer))
        if answer is None:
            return False
        if request.method not in (b"GET", b"HEAD"):
            self._refuse(405, "GET or HEAD here", allow=b"GET, HEAD")
        elif isinstance(answer, Answer):
            self._respond(answer.status, answer.kind, answer.body, extra=list(answer.headers))
        elif self._begin(200, answer.kind, None, list(answer.headers)):
            self._feed = answer
            answer.open(self._send_feed)
            self._send_feed()
        else:
            self._finish()
        return True

    def _send_feed(self) -> None:
        """Everything that the feed has, as long as the transport takes it."""
        while self._feed is not None and not self._paused and not self.transport.is_closing():
            piece = self._feed.take()
            if piece is None:
                return
            self.moved_at = time.monotonic()
            self._send(h11.Data(data=piece))

    def _end_feed(self) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()

    def _bytes(self, number: bytes) -> None:
        length = int(number) if number.isdigit() and len(number) < 20 else MAX_BYTES + 1
        if length > MAX_BYTES:
            self._refuse(404, f"/bytes/N takes a decimal number up to {MAX_BYTES}")
        else:
            self._stream(content.chunks(length), length)

    def _stream(self, body: Iterator[bytes | memoryview], length: int) -> None:
        """An answer written bit by bit."""
        if self._begin(200, "application/octet-stream", length):
            self._body = body
            self.transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._pump)  # not now: `_advance` may be our caller
        else:
            self._finish()

    # -- answers

    def _refuse(self, status: int, reason: str, allow: bytes = b"") -> None:
        """An error.  While the request is still coming in the connection ends with it."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.transport.close()  # an answer is out already: what came after it was no HTTP
            return
        extra = [(b"allow", allow)] if allow else []
        if self._http.their_state is not h11.DONE:
            extra.append((b"connection", b"close"))
        self._respond(status, _TEXT, f"{reason}\n".encode(), extra=extra)

    def _respond(self, status: int, kind: str, body: bytes, extra: list[tuple[bytes, bytes]] | None = None) -> None:
        """The whole answer."""
        if self._begin(status, kind, len(body), extra):
            self._send(h11.Data(data=body))
        self._finish()

    def _begin(
        self, status: int, kind: str, length: int | None, extra: list[tuple[bytes, bytes]] | None = None
    ) -> bool:
        """The head of an answer; whether a body follows.  `length` None: nobody knows."""
        headers = [
            (b"content-type", kind.encode("ascii")),
            *([] if length is None else [(b"content-length", str(length).encode("ascii"))]),
            (b"server", b"tapstack"),
            (b"cache-control", b"no-store"),
            *(extra or []),
        ]
        if self._service.draining and (b"connection", b"close") not in headers:
            headers.append((b"connection", b"close"))
        reason = HTTPStatus(status).phrase.encode("ascii")
        self._send(h11.Response(status_code=status, headers=headers, reason=reason))
        request = self._request
        if logger.isEnabledFor(logging.DEBUG):
            line = "" if request is None else (request.method + b" " + request.target).decode("latin-1")
            peer = self.transport.get_extra_info("peername")
            logger.debug("http", extra={"fields": {"peer": peer, "request": line, "status": status}})
        return request is None or request.method != b"HEAD"

    def _send(self, event: h11.Event) -> None:
        pieces = self._http.send_with_data_passthrough(event)
        if pieces and not self.transport.is_closing():
            for piece in pieces:
                self.transport.write(piece)

    def _pump(self) -> None:
        """Write the rest of a long answer for as long as the transport takes it."""
        for _ in range(_PER_TURN):
            if self._body is None or self._paused or self.transport.is_closing():
                return
            self.moved_at = time.monotonic()
            chunk = next(self._body, None)
            if chunk is None:
                self._body = None
                self._finish()
                self.transport.resume_reading()
                self._advance()
                return
            self._send(h11.Data(data=chunk))  # type: ignore[arg-type]  # passed through as it is
        asyncio.get_running_loop().call_soon(self._pump)

    def _finish(self) -> None:
        """The answer is complete."""
        self._send(h11.EndOfMessage())
        self._request = None
        self._next_or_close()

    def _next_or_close(self) -> None:
        """Ready for the next request where both sides are done, or the end."""
        http = self._http
        if http.our_state is h11.DONE and http.their_state is h11.DONE and not self._service.draining:
            http.start_next_cycle()
        elif http.our_state is not h11.SEND_BODY and http.our_state is not h11.SEND_RESPONSE:
            if http.their_state is h11.SEND_BODY and not self._lingering:
                # RFC 9112 §9.6: read on for a while, or the reset that their data meets would destroy our answer
                self._lingering = True
                self.transport.write_eof()
            else:
                self.transport.close()


def _path_of(request: h11.Request) -> bytes:
    """The path without the query; also of the absolute form that proxies get (RFC 9112 §3.2.2)."""
    target = request.target
    if target[:7].lower() == b"http://":
        target = b"/" + target[7:].partition(b"/")[2]
    return target.partition(b"?")[0]
