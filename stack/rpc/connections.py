"""The connections of a server: how many there are, which of them give way, and which are not read from.

Theory of operation.  Three things can be taken from a server by connections alone, and are bounded:

* their number, in all and for each client.  When all are taken, the one that has been without a whole message for the
  longest gives way to a new one; those with calls running only if all have some.
* octets of messages that are not whole.  A message may take `record_s` from its first octet to its last, and all
  that are not whole share `partial_bytes`: the oldest gives way.
* time: one that has had no whole message for `idle_s`, and has no calls running, is closed.

Two orders say who is next, both kept by moving an entry to the end: last whole message, and first octet of a message
that is not whole.  So a sweep looks at those that are due, and not at all.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final

from stack.config import SECOND
from stack.errors import ConfigError
from stack.rpc.channel import Channel

if TYPE_CHECKING:
    from stack.rpc.dispatch import Invocation

MAX_SECONDS: Final = 86_400
MAX_COUNT: Final = 1 << 31
LOOKED_AT: Final = 64  # connections, in search of one without calls


@dataclass(frozen=True, slots=True)
class ServerLimits:
    """What one server takes on."""

    connections: int = 10_000
    connections_per_client: int = 1_000
    idle_s: float = 360.0
    record_s: float = 30.0  # for a message, from its first octet to its last
    partial_bytes: int = 64 << 20  # of all messages that are not whole
    running: int = 1024  # calls that are executed at a time
    running_per_client: int | None = None  # by address, of a Unix socket by connection; None: a quarter of `running`
    running_per_connection: int = 128
    call_s: float = 3600.0  # for a procedure, before it is cancelled

    def validate(self) -> None:
        """Raise ConfigError for the first that cannot be."""
        for field in fields(self):
            value = getattr(self, field.name)
            if value is None and field.default is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ConfigError(f"{field.name} is {value!r}: use a number")
            if field.name.endswith("_s"):
                if not 0 < value <= MAX_SECONDS:
                    raise ConfigError(f"{field.name} is {value}: use seconds, more than 0 and up to {MAX_SECONDS}")
            elif not 1 <= value <= MAX_COUNT:
                raise ConfigError(f"{field.name} is {value}: use a number from 1 to {MAX_COUNT}")


class Connection:
    """What is known of a connection.  `waiting`: a message that came when there was no room for it."""

    __slots__ = ("begun_after", "begun_at", "channel", "held", "messages", "moved_at", "running", "waiting")

    def __init__(self, channel: Channel, now: int) -> None:
        self.channel = channel
        self.messages = 0
        self.moved_at = now  # when the last of them came, or its calls kept it from being idle
        self.begun_at = 0  # of one that is not whole
        self.begun_after = 0  # so many messages
        self.running: set[Invocation] = set()
        self.waiting: bytes | None = None
        self.held = False


class Connections:
    """See the head of this file.  `counts` says why connections were ended; `on_end` is told of each that has."""

    __slots__ = ("_limits", "_of_client", "_on_end", "_order", "_partial", "_partial_bytes", "_sizes", "counts")

    def __init__(self, limits: ServerLimits, counts: Counter[str], on_end: Callable[[Connection], None]) -> None:
        self._limits = limits
        self._on_end = on_end
        self._order: dict[Channel, Connection] = {}  # the idlest first
        self._partial: dict[Channel, Connection] = {}  # that which began first is first
        self._sizes: dict[Channel, int] = {}  # of those
        self._partial_bytes = 0
        self._of_client: Counter[str] = Counter()
        self.counts = counts

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[Connection]:
        return iter(list(self._order.values()))

    def get(self, channel: Channel) -> Connection | None:
        """The connection of a channel; None of one that carries datagrams, or has ended."""
        return self._order.get(channel)

    def admit(self, channel: Channel, now: int) -> bool:
        """Count a new one in, if need be in the place of another; False when its client has too many."""
        host = channel.source[0]
        if host and self._of_client[host] >= self._limits.connections_per_client:
            self.counts["connections_refused"] += 1
            return False
        if len(self._order) >= self._limits.connections:
            self.counts["connections_given_up"] += 1
            self._end(self._idlest())
        self._order[channel] = Connection(channel, now)
        self._of_client[host] += 1
        return True

    def _idlest(self) -> Channel:
        for looked_at, (channel, connection) in enumerate(self._order.items()):
            if not connection.running:
                return channel
            if looked_at >= LOOKED_AT:
                break
        return next(iter(self._order))

    def _end(self, channel: Channel) -> None:
        self.forget(channel)
        channel.abort()

    def forget(self, channel: Channel) -> None:
        """It has ended."""
        connection = self._order.pop(channel, None)
        if connection is not None:
            host = channel.source[0]
            self._of_client[host] -= 1
            if not self._of_client[host]:
                del self._of_client[host]
            self._forget_partial(channel)
            self._on_end(connection)

    def _forget_partial(self, channel: Channel) -> None:
        if self._partial.pop(channel, None) is not None:
            self._partial_bytes -= self._sizes.pop(channel)

    def touch(self, connection: Connection, now: int) -> None:
        """A whole message came."""
        connection.messages += 1
        self._refresh(connection, now)

    def _refresh(self, connection: Connection, now: int) -> None:
        channel, order = connection.channel, self._order
        connection.moved_at = now
        del order[channel]
        order[channel] = connection

    def on_partial(self, channel: Channel, now: int) -> None:
        """More of a message came, or its rest; it is what `Channel.partial` says."""
        connection = self._order.get(channel)
        if connection is None:
            return
        size = channel.partial
        if channel in self._partial and (size is None or connection.messages > connection.begun_after):
            self._forget_partial(channel)  # another message has begun since
        if size is None:
            return
        if channel not in self._partial:
            connection.begun_at = now
            connection.begun_after = connection.messages
            self._partial[channel] = connection
            self._sizes[channel] = 0
        self._partial_bytes += size - self._sizes[channel]
        self._sizes[channel] = size
        while self._partial_bytes > self._limits.partial_bytes:
            self.counts["partial_given_up"] += 1
            self._end(next(iter(self._partial)))

    def sweep(self, now: int) -> None:
        """End those whose time is over."""
        slow_us, idle_us = int(self._limits.record_s * SECOND), int(self._limits.idle_s * SECOND)
        while self._partial:
            channel, connection = next(iter(self._partial.items()))
            if now - connection.begun_at < slow_us:
                break
            self.counts["connections_slow"] += 1
            self._end(channel)
        busy = 0
        while self._order:
            channel, connection = next(iter(self._order.items()))
            if now - connection.moved_at < idle_us:
                break
            if connection.running:
                self._refresh(connection, now)  # it is our turn
                busy += 1
                if busy >= len(self._order):
                    break
            else:
                self.counts["connections_idle"] += 1
                self._end(channel)

    def check_invariants(self) -> None:
        """For tests: sums are those of the entries, orders are those of time."""
        assert len(self._order) <= self._limits.connections
        assert sum(self._of_client.values()) == len(self._order)
        assert self._partial.keys() == self._sizes.keys() <= self._order.keys()
        assert sum(self._sizes.values()) == self._partial_bytes <= self._limits.partial_bytes
        moved = [connection.moved_at for connection in self._order.values()]
        begun = [connection.begun_at for connection in self._partial.values()]
        assert moved == sorted(moved)
        assert begun == sorted(begun)
