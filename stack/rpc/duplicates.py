"""The duplicate request cache: a call that comes again is not executed again, but answered again.

Theory of operation.  A call is known by its Key: who sent it (address and port), xid, program, version, procedure, and
a checksum of the whole message, so that an xid used anew for something else is another call.  `look` says what is known
of one that has come:

    None            nothing: it may be executed, after `begin`; then follow `finish` with its reply, or `abandon`, if it
                    was certainly not executed
    Seen.RUNNING    it is being executed, and its reply goes out: drop it
    Seen.FORGOTTEN  it was executed, but there is no reply to send again: drop it
    bytes           it was executed: send this reply

So a call is executed at most once while its entry lives: `max_age_us` from its reply on, or until the memory is needed.
`shortest_us` is the least time for which an entry was kept; where it is less than clients' timeouts, `max_bytes` is too
small for the load.

Octets of entries are bounded, with what Python needs for them.  When they are used up, an entry of the richest of some
clients looked at in turn gives way, the one that needs the room among them: a client that makes many calls pushes out
its own entries, not those of others.  Calls that are running are never pushed out; the Dispatcher bounds them, in all
and by client.  A reply of more than `max_reply` octets is not kept, but that the call was executed is.

Each entry that is done stands in `_order` and in the queue of its client, both in the order in which they were done.
One that gave way to others stays in `_order`, empty, until it is its turn or half of the queue is like it.
"""

from collections import OrderedDict, deque
from enum import Enum, unique
from typing import Any, Final, NamedTuple, Protocol
from zlib import crc32

from mypy_extensions import mypyc_attr

from stack.config import NEVER
from stack.errors import ConfigError

Source = tuple[str, int]  # address and port; ("", number of the connection) for what has none
# Source, head, checksum.  (Were their types said, the compiled form would take the tuple apart and put it together
# anew wherever it is handed on.)
Key = tuple[Any, ...]

MAX_BYTES: Final = 32 << 20
MAX_AGE_US: Final = 120_000_000
ENTRY: Final = 700  # octets that an entry takes besides its reply
SAMPLE: Final = 4  # clients compared when room is needed
_HEAD: Final = 24  # octets up to the procedure
_COMPACT_FROM: Final = 1024


@unique
class Seen(Enum):
    """What is known of a call, if not its reply."""

    RUNNING = "running"
    FORGOTTEN = "executed, without a reply to send again"


class Bounds(NamedTuple):
    """How much is kept."""

    max_bytes: int = MAX_BYTES
    max_age_us: int = MAX_AGE_US
    max_reply: int = MAX_BYTES // 32


class DuplicateCache(Protocol):
    """What a server needs of a cache; `stack.rpc.durable` has one that survives a crash.

    `instance`: a number that is the same as long as what was known is known; None: until the process ends.
    """

    @property
    def instance(self) -> int | None:
        """See above."""

    def look(self, key: Key, now: int) -> bytes | Seen | None:
        """A call has come; what is known of it."""

    def begin(self, key: Key, call: object) -> bool:
        """It will be executed.  `call` is kept while it runs, for `running`.  False: no, it could not be noted down."""

    def running(self, key: Key) -> object:
        """What was given to `begin` with this key, if that call is running; else None."""

    def finish(self, key: Key, reply: bytes | None, now: int, *, failed: bool = False) -> bytes | None:
        """It was executed; None: no reply is sent.  `failed`: its procedure raised.  Returns the reply to be sent."""

    def abandon(self, key: Key) -> None:
        """It was not executed at all."""


def key_of(source: Source, data: bytes) -> Key:
    """The key of a call, which has at least 24 octets."""
    return source, data[:_HEAD], crc32(data)


class _Client:
    """What one address has in the cache."""

    __slots__ = ("bytes", "done", "host")

    def __init__(self, host: str) -> None:
        self.host = host
        self.bytes = 0
        self.done: deque[_Entry] = deque()  # oldest first


class _Entry:
    """A call; `size` is 0 while it runs, and when it gave way to others."""

    __slots__ = ("call", "done_at", "key", "reply", "size")

    def __init__(self, key: Key, call: object) -> None:
        self.key = key
        self.call = call
        self.reply: bytes | None = None
        self.size = 0
        self.done_at = NEVER


@mypyc_attr(allow_interpreted_subclasses=True)
class Duplicates:
    """See the head of this file.  `now` is in microseconds and does not go back.  Raises ConfigError."""

    # fmt: off
    __slots__ = (
        "_age", "_clients", "_entries", "_max_bytes", "_max_reply", "_order", "bytes", "evicted", "expired",
        "shortest_us",
    )
    # fmt: on

    instance: int | None = None

    def __init__(self, bounds: Bounds = Bounds()) -> None:  # noqa: B008  # a tuple of ints
        if bounds.max_bytes < ENTRY or bounds.max_age_us <= 0 or bounds.max_reply < 0:
            raise ConfigError(f"{bounds}: give at least {ENTRY} bytes, and some age")
        self._max_bytes = bounds.max_bytes
        self._max_reply = bounds.max_reply
        self._age = bounds.max_age_us
        self._entries: dict[Key, _Entry] = {}
        self._order: deque[_Entry] = deque()
        self._clients: OrderedDict[str, _Client] = OrderedDict()  # those with entries that are done
        self.bytes = 0
        self.evicted = 0  # before their time
        self.expired = 0
        self.shortest_us = NEVER

    def __len__(self) -> int:
        """Calls known, those running included."""
        return len(self._entries)

    @property
    def clients(self) -> int:
        """Addresses that have entries."""
        return len(self._clients)

    def look(self, key: Key, now: int) -> bytes | Seen | None:
        """What is known of a call."""
        order = self._order
        while order and now - order[0].done_at >= self._age:
            self._expire(order.popleft())
        entry = self._entries.get(key)
        if entry is None:
            return None
        if not entry.size:
            return Seen.RUNNING
        return Seen.FORGOTTEN if entry.reply is None else entry.reply

    def begin(self, key: Key, call: object) -> bool:
        """A call will be executed."""
        self._entries[key] = _Entry(key, call)
        return True

    def running(self, key: Key) -> object:
        """What was given to `begin`."""
        entry = self._entries.get(key)
        return None if entry is None else entry.call

    def finish(self, key: Key, reply: bytes | None, now: int, *, failed: bool = False) -> bytes | None:  # noqa: ARG002
        """A call was executed."""
        entry = self._entries[key]
        size = ENTRY
        if reply is not None and len(reply) <= self._max_reply:
            entry.reply = reply
            size += len(reply)
        entry.size = size
        entry.done_at = now
        entry.call = None
        host = key[0][0]
        client = self._clients.get(host)
        if client is None:
            client = self._clients[host] = _Client(host)
        client.done.append(entry)
        client.bytes += size
        self._order.append(entry)
        self.bytes += size
        while self.bytes > self._max_bytes:
            self._evict(client, now)
        return reply

    def abandon(self, key: Key) -> None:
        """A call was not executed."""
        del self._entries[key]

    def _expire(self, entry: _Entry) -> None:
        """The oldest entry of all: it is the oldest of its client."""
        if entry.size:
            self.expired += 1
            self._forget(self._clients[entry.key[0][0]])

    def _evict(self, needy: _Client, now: int) -> None:
        """The oldest entry of the richest of some clients gives way."""
        richest, clients = needy, self._clients
        if len(clients) > 1:
            for _ in range(SAMPLE):
                host = next(iter(clients))
                clients.move_to_end(host)
                if clients[host].bytes > richest.bytes:
                    richest = clients[host]
        self.shortest_us = min(self.shortest_us, now - richest.done[0].done_at)
        self.evicted += 1
        self._forget(richest)
        order = self._order
        while order and not order[0].size:
            order.popleft()
        if len(order) > 2 * len(self._entries) + _COMPACT_FROM:
            self._order = deque(entry for entry in order if entry.size)

    def _forget(self, client: _Client) -> None:
        """The oldest entry of a client."""
        entry = client.done.popleft()
        del self._entries[entry.key]
        client.bytes -= entry.size
        self.bytes -= entry.size
        entry.size = 0
        entry.reply = None
        if not client.done:
            del self._clients[client.host]

    def check_invariants(self) -> None:
        """For tests: the sums are those of the entries, the bounds hold, nobody is listed without reason."""
        done = [entry for entry in self._entries.values() if entry.size]
        assert self.bytes == sum(entry.size for entry in done) <= self._max_bytes
        assert self.bytes == sum(client.bytes for client in self._clients.values())
        assert all(client.done for client in self._clients.values())
        assert sum(len(client.done) for client in self._clients.values()) == len(done)
        assert sum(entry.size > 0 for entry in self._order) == len(done)
        assert len(self._order) <= 2 * len(self._entries) + _COMPACT_FROM
        ages = [entry.done_at for entry in self._order]
        assert ages == sorted(ages)
