"""The duplicate request cache: a call that comes again is not executed again, but answered again.

Theory of operation.  A call is known by its Key: who sent it (address and port), xid, program, version, procedure, and
a checksum of the whole message, so that an xid used anew for something else is another call.  `begin` says what to do:

    Seen.NEW        execute it; then `finish` with its reply, or `abandon` if it was certainly not executed
    Seen.RUNNING    drop it: the first copy is being executed, and its reply goes out
    Seen.FORGOTTEN  drop it: it was executed, but there is no reply to send again
    bytes           send this reply

So a call is executed at most once while its entry lives: `max_age_us` from its reply on, or until the memory is needed.
`shortest_us` is the least time for which an entry was kept; where it is less than clients' timeouts, `max_bytes` is too
small for the load.

What is bounded: calls running, of all clients and of one; octets of entries, what Python needs for them included.  When
those are used up, an entry of the richest of some clients looked at in turn gives way, the one that needs the room
among them: a client that makes many calls pushes out its own entries, not those of others.  Calls that are running are
never pushed out.  A reply of more than `max_reply` octets is not kept, but that the call was executed is.
"""

from collections import OrderedDict
from enum import Enum, unique
from typing import Final, NamedTuple, Protocol
from zlib import crc32

from stack.config import NEVER
from stack.errors import ConfigError

Source = tuple[str, int]  # address and port; ("", number of the connection) for what has none
Key = tuple[Source, bytes, int]

MAX_BYTES: Final = 32 << 20
MAX_AGE_US: Final = 120_000_000
MAX_RUNNING: Final = 1024
ENTRY: Final = 800  # octets that an entry takes besides its reply
SAMPLE: Final = 4  # clients compared when room is needed
_HEAD: Final = 24  # octets up to the procedure


@unique
class Seen(Enum):
    """What is known of a call."""

    NEW = "new"
    RUNNING = "running"
    FORGOTTEN = "executed, without a reply to send again"
    FULL = "too many running"
    CLIENT_FULL = "too many running for this client"


class Bounds(NamedTuple):
    """How much is kept.  One client may have a quarter of `max_running` running."""

    max_bytes: int = MAX_BYTES
    max_age_us: int = MAX_AGE_US
    max_running: int = MAX_RUNNING
    max_reply: int = MAX_BYTES // 32


class DuplicateCache(Protocol):
    """What a server needs of a cache; `stack.rpc.durable` has one that survives a crash."""

    def begin(self, key: Key, now: int, call: object) -> bytes | Seen:
        """A call has come; see above.  `call` is kept while it runs, for `running`."""

    def running(self, key: Key) -> object:
        """What was given to `begin` with this key, if that call is running; else None."""

    def finish(self, key: Key, reply: bytes | None, now: int) -> None:
        """A call was executed; None: no reply is sent."""

    def abandon(self, key: Key) -> None:
        """A call that was begun was not executed at all."""


def key_of(source: Source, data: bytes) -> Key:
    """The key of a call, which has at least 24 octets."""
    return source, data[:_HEAD], crc32(data)


class _Client:
    """What one address has in the cache."""

    __slots__ = ("bytes", "done", "host", "running")

    def __init__(self, host: str) -> None:
        self.host = host
        self.bytes = 0
        self.running = 0
        self.done: OrderedDict[Key, None] = OrderedDict()  # oldest first


class _Entry:
    """A call that was executed."""

    __slots__ = ("client", "done_at", "reply", "size")

    def __init__(self, client: _Client, reply: bytes | None, size: int, done_at: int) -> None:
        self.client = client
        self.reply = reply
        self.size = size
        self.done_at = done_at


class Duplicates:
    """See the head of this file.  `now` is in microseconds and does not go back.  Raises ConfigError."""

    # fmt: off
    __slots__ = (
        "_age", "_bounds", "_clients", "_done", "_running", "_share", "bytes", "evicted", "expired", "refused",
        "shortest_us",
    )
    # fmt: on

    def __init__(self, bounds: Bounds = Bounds()) -> None:  # noqa: B008  # a tuple of ints
        if bounds.max_bytes < ENTRY or bounds.max_age_us <= 0 or bounds.max_running < 1 or bounds.max_reply < 0:
            raise ConfigError(f"{bounds}: give at least {ENTRY} bytes, some age, and one call that may run")
        self._bounds = bounds
        self._age = bounds.max_age_us
        self._share = (bounds.max_running + 3) // 4
        self._running: dict[Key, object] = {}
        self._done: OrderedDict[Key, _Entry] = OrderedDict()  # oldest first
        self._clients: OrderedDict[str, _Client] = OrderedDict()  # those that have anything here
        self.bytes = 0
        self.evicted = 0  # before their time
        self.expired = 0
        self.refused = 0  # calls, because too many were running
        self.shortest_us = NEVER

    def __len__(self) -> int:
        """Calls known, those running included."""
        return len(self._done) + len(self._running)

    @property
    def clients(self) -> int:
        """Addresses known."""
        return len(self._clients)

    def begin(self, key: Key, now: int, call: object) -> bytes | Seen:
        """A call has come."""
        self.expire(now)
        entry = self._done.get(key)
        if entry is not None:
            return Seen.FORGOTTEN if entry.reply is None else entry.reply
        if key in self._running:
            return Seen.RUNNING
        host = key[0][0]
        client = self._clients.get(host)
        if client is None:
            client = _Client(host)
        full = len(self._running) >= self._bounds.max_running
        if full or client.running >= self._share:
            self.refused += 1
            return Seen.FULL if full else Seen.CLIENT_FULL
        self._clients[host] = client
        client.running += 1
        self._running[key] = call
        return Seen.NEW

    def running(self, key: Key) -> object:
        """What was given to `begin`."""
        return self._running.get(key)

    def finish(self, key: Key, reply: bytes | None, now: int) -> None:
        """A call was executed."""
        del self._running[key]
        client = self._clients[key[0][0]]
        client.running -= 1
        size = ENTRY
        if reply is not None:
            if len(reply) > self._bounds.max_reply:
                reply = None
            else:
                size += len(reply)
        client.done[key] = None
        self._done[key] = _Entry(client, reply, size, now)
        client.bytes += size
        self.bytes += size
        while self.bytes > self._bounds.max_bytes:
            self._evict(client, now)

    def abandon(self, key: Key) -> None:
        """A call was not executed."""
        del self._running[key]
        client = self._clients[key[0][0]]
        client.running -= 1
        self._leave(client)

    def expire(self, now: int) -> None:
        """Forget what is too old."""
        done = self._done
        while done:
            key = next(iter(done))
            if now - done[key].done_at < self._age:
                return
            self.expired += 1
            self._remove(key)

    def _evict(self, needy: _Client, now: int) -> None:
        """The oldest entry of the richest of some clients gives way."""
        richest, clients = needy, self._clients
        if len(clients) > 1:
            for _ in range(SAMPLE):
                host = next(iter(clients))
                clients.move_to_end(host)
                if clients[host].bytes > richest.bytes:
                    richest = clients[host]
        key = next(iter(richest.done))
        kept_us = now - self._done[key].done_at
        self.shortest_us = min(self.shortest_us, kept_us)
        self.evicted += 1
        self._remove(key)

    def _remove(self, key: Key) -> None:
        entry = self._done.pop(key)
        client = entry.client
        del client.done[key]
        client.bytes -= entry.size
        self.bytes -= entry.size
        self._leave(client)

    def _leave(self, client: _Client) -> None:
        if not client.done and not client.running:
            del self._clients[client.host]

    def check_invariants(self) -> None:
        """For tests: the sums are those of the entries, the bounds hold, nobody is listed without reason."""
        assert self.bytes == sum(entry.size for entry in self._done.values()) <= self._bounds.max_bytes
        assert self.bytes == sum(client.bytes for client in self._clients.values())
        assert len(self._running) == sum(client.running for client in self._clients.values())
        assert len(self._running) <= self._bounds.max_running
        assert all(0 <= client.running <= self._share for client in self._clients.values())
        assert all(client.done or client.running for client in self._clients.values())
        assert sum(len(client.done) for client in self._clients.values()) == len(self._done)
        ages = [entry.done_at for entry in self._done.values()]
        assert ages == sorted(ages)
