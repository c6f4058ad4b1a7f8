"""One UDP endpoint: a bounded queue of received datagrams, a default destination, pending errors (RFC 768, RFC 8085).

Theory of operation.  The UDP layer of the Host puts datagrams and errors in; the application takes them out.  `events`
holds bits as those of a TCP connection; whoever turns the mask from zero to non-zero (`on_datagram` and `on_error` say
so by returning True) tells the driver.  Addresses are opaque ints.
"""

from collections import deque
from typing import Final

from stack.errors import ConnectionRefused, HostUnreachable, MessageTooLong, NetworkUnreachable, StackError
from stack.wire.icmp import ErrorKind, TransportError

READABLE: Final = 2  # the same bits as a TCP connection's
CLOSED: Final = 16
ERROR: Final = 128  # an error waits; `take_error` gives it

MAX_ERRORS: Final = 16
DATAGRAM_COST: Final = 256  # what a queued datagram is charged besides its data, so that empty ones are bounded too

# (data, remote address, remote port, local address, TTL, TOS, ifindex)
Datagram = tuple[bytes, int, int, int, int, int, int]


class UdpEndpoint:
    """Made by `UdpLayer.open`.  `local_addr` 0: any of ours; `remote_addr` 0: not connected.

    `ttl` and `tos` go on what is sent (0: the host's default).  Errors reach a connected endpoint, and others when
    `recv_errors` is set (as IP_RECVERR on Linux).  `user` is the driver's.
    """

    __slots__ = (
        "_errors",
        "_limit_datagrams",
        "_queue",
        "_queued_bytes",
        "broadcast",
        "closed",
        "dropped",
        "events",
        "limit_bytes",
        "local_addr",
        "local_port",
        "recv_errors",
        "remote_addr",
        "remote_port",
        "reuse",
        "tos",
        "ttl",
        "user",
    )

    def __init__(
        self,
        local_addr: int,
        local_port: int,
        *,
        limit_bytes: int,
        limit_datagrams: int,
        reuse: bool = False,
        broadcast: bool = False,
    ) -> None:
        self.local_addr = local_addr
        self.local_port = local_port
        self.remote_addr = 0
        self.remote_port = 0
        self.reuse = reuse
        self.broadcast = broadcast
        self.recv_errors = False
        self.ttl = 0
        self.tos = 0
        self.events = 0
        self.closed = False
        self.dropped = 0  # datagrams that found the queue full
        self.user: object = None
        self._queue: deque[Datagram] = deque()
        self._queued_bytes = 0
        self.limit_bytes = limit_bytes
        self._limit_datagrams = limit_datagrams
        self._errors: deque[TransportError] = deque()

    # --- the UDP layer's side --------------------------------------------------------------------------------------

    def on_datagram(self, datagram: Datagram) -> int:
        """Queue it.  1: queued and `events` was zero before, 0: queued, -1: dropped, the queue is full."""
        queue = self._queue
        size = self._queued_bytes + len(datagram[0]) + DATAGRAM_COST
        if size > self.limit_bytes or len(queue) >= self._limit_datagrams:
            self.dropped += 1
            return -1
        self._queued_bytes = size
        queue.append(datagram)
        if self.events:
            self.events |= READABLE
            return 0
        self.events = READABLE
        return 1

    def on_error(self, err: TransportError) -> bool:
        """Keep an error for the application.  True when `events` was zero before.  RFC 1122 §4.1.3.3 (UDP-4)."""
        if len(self._errors) >= MAX_ERRORS:
            self._errors.popleft()
        self._errors.append(err)
        was = self.events
        self.events |= ERROR
        return was == 0

    # --- the application's side ------------------------------------------------------------------------------------

    def recv(self) -> Datagram | None:
        """The oldest datagram (data, raddr, rport, laddr, ttl, tos, ifindex), or None.  UDP-5."""
        if not self._queue:
            return None
        datagram = self._queue.popleft()
        self._queued_bytes -= len(datagram[0]) + DATAGRAM_COST
        return datagram

    def recv_all(self) -> list[Datagram]:
        """Everything queued."""
        datagrams = list(self._queue)
        self._queue.clear()
        self._queued_bytes = 0
        return datagrams

    def take_events(self) -> int:
        """The event mask, which is cleared."""
        events = self.events
        self.events = 0
        return events

    def take_error(self) -> StackError | None:
        """The oldest error as the exception that a socket would raise, or None."""
        err = self.take_error_record()
        return to_exception(err) if err is not None else None

    def take_error_record(self) -> TransportError | None:
        """The oldest error with all that is known about it, or None."""
        return self._errors.popleft() if self._errors else None

    def snapshot(self) -> dict[str, object]:
        """For `tapstack status`."""
        return {
            "local_addr": self.local_addr,
            "local_port": self.local_port,
            "remote_addr": self.remote_addr,
            "remote_port": self.remote_port,
            "queued": len(self._queue),
            "queued_bytes": self._queued_bytes,
            "dropped": self.dropped,
        }


def to_exception(err: TransportError) -> StackError:
    """The OSError that a socket would raise for this error.  RFC 1122 §4.1.3.3 (UDP-4)."""
    if err.kind == ErrorKind.PORT_UNREACHABLE:
        return ConnectionRefused(f"port {err.rport} is closed there")
    if err.kind == ErrorKind.FRAG_NEEDED:
        return MessageTooLong(f"the path carries {err.mtu} bytes")
    if err.kind == ErrorKind.NET_UNREACHABLE:
        return NetworkUnreachable("network unreachable")
    return HostUnreachable(err.kind.name.lower().replace("_", " "))
