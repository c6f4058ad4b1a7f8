"""What a ResolverCore wants done.  Plain classes, since they are made for every message."""

from stack.dns.core.answer import Answer
from stack.dns.core.config import Server
from stack.dns.errors import DnsError


class SendUdp:
    """Send one datagram from a fresh socket with a random port (RFC 5452 §9.2), and keep it open until Release."""

    __slots__ = ("exchange", "server", "wire")

    def __init__(self, exchange: int, server: Server, wire: bytes) -> None:
        self.exchange = exchange
        self.server = server
        self.wire = wire


class Release:
    """The exchange is over, also after `on_failed`: close its socket."""

    __slots__ = ("exchange",)

    def __init__(self, exchange: int) -> None:
        self.exchange = exchange


class SendTcp:
    """Send one message on a stream; open it when this is its first."""

    __slots__ = ("server", "stream", "wire")

    def __init__(self, stream: int, server: Server, wire: bytes) -> None:
        self.stream = stream
        self.server = server
        self.wire = wire


class Close:
    """Close a stream; nothing is expected from it any more.  Not for one that `on_failed` was called for."""

    __slots__ = ("stream",)

    def __init__(self, stream: int) -> None:
        self.stream = stream


class KeepOpen:
    """From now on close a stream when nothing has happened on it for `idle_us` (RFC 7828 §3.2.2)."""

    __slots__ = ("idle_us", "stream")

    def __init__(self, stream: int, idle_us: int) -> None:
        self.stream = stream
        self.idle_us = idle_us


class Finished:
    """The end of a client's question."""

    __slots__ = ("handle", "result")

    def __init__(self, handle: int, result: Answer | DnsError) -> None:
        self.handle = handle
        self.result = result


Action = SendUdp | Release | SendTcp | Close | KeepOpen | Finished
