"""The event bus: what a running host tells to whoever listens, and nothing while nobody does.

Theory of operation.  A `Bus` has topics, each a source of items that is switched on by its first subscriber and off
by its last (`on_first`, `on_last`).  So while nobody listens there is no hook in the packet path at all, and no call
that finds an empty list.  Publishing never waits: every `Subscription` has a queue with bounds of its own, in items
and in bytes; what does not fit is left out and counted (`lost`).  A slow listener costs itself, and nobody else.

All calls are made from one thread, that of the host's loop.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from stack.errors import NoBufferSpace

T = TypeVar("T")

MAX_SUBSCRIBERS: Final = 64  # of one topic


class Subscription(Generic[T]):
    """One listener's queue: at most `max_items` items that weigh `max_bytes` together.

    `on_ready` is called when the queue stops being empty.  With `newest` an item that does not fit takes the place of
    the oldest ones; without, it is left out itself.
    """

    __slots__ = ("_max_bytes", "_max_items", "_newest", "_queue", "_topic", "accepts", "lost", "on_ready", "size")

    def __init__(
        self,
        topic: "Topic[T]",
        on_ready: Callable[[], None],
        accepts: Callable[[T], bool] | None,
        *,
        max_items: int,
        max_bytes: int,
        newest: bool,
    ) -> None:
        self._topic: Topic[T] | None = topic
        self._queue: deque[tuple[T, int]] = deque()
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._newest = newest
        self.on_ready = on_ready
        self.accepts = accepts
        self.lost = 0
        self.size = 0  # bytes in the queue

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, item: T, weight: int) -> None:
        """Queue `item`, of `weight` bytes, if this listener wants it and has room."""
        if self._topic is None or (self.accepts is not None and not self.accepts(item)):
            return
        queue = self._queue
        if self._newest:
            while queue and (len(queue) >= self._max_items or self.size + weight > self._max_bytes):
                self.take()
                self.lost += 1
        if len(queue) >= self._max_items or self.size + weight > self._max_bytes:
            self.lost += 1
            return
        queue.append((item, weight))
        self.size += weight
        if len(queue) == 1:
            self.on_ready()

    def take(self) -> T | None:
        """The oldest item; None when there is none."""
        if not self._queue:
            return None
        item, weight = self._queue.popleft()
        self.size -= weight
        return item

    def close(self) -> None:
        """Listen no more; safe to call twice."""
        topic, self._topic = self._topic, None
        self._queue.clear()
        self.size = 0
        if topic is not None:
            topic.leave(self)


class Topic(Generic[T]):
    """One kind of items.  `on_first` and `on_last` switch its source on and off."""

    __slots__ = ("_on_first", "_on_last", "lost", "published", "subscriptions")

    def __init__(self, on_first: Callable[[], None], on_last: Callable[[], None]) -> None:
        self._on_first = on_first
        self._on_last = on_last
        self.subscriptions: dict[Subscription[T], None] = {}
        self.published = 0
        self.lost = 0  # of listeners that have left

    def subscribe(
        self,
        on_ready: Callable[[], None],
        accepts: Callable[[T], bool] | None = None,
        *,
        max_items: int = 1024,
        max_bytes: int = 4 << 20,
        newest: bool = False,
    ) -> Subscription[T]:
        """A new listener.  Raises NoBufferSpace when there are `MAX_SUBSCRIBERS`."""
        if len(self.subscriptions) >= MAX_SUBSCRIBERS:
            raise NoBufferSpace(f"there are {MAX_SUBSCRIBERS} watchers already: close one of them")
        made = Subscription(self, on_ready, accepts, max_items=max_items, max_bytes=max_bytes, newest=newest)
        self.subscriptions[made] = None
        if len(self.subscriptions) == 1:
            self._on_first()
        return made

    def leave(self, subscription: Subscription[T]) -> None:
        """`subscription` listens no more."""
        if self.subscriptions.pop(subscription, self) is self:
            return
        self.lost += subscription.lost
        if not self.subscriptions:
            self._on_last()

    def publish(self, item: T, weight: int) -> None:
        """Tell everybody who listens."""
        self.published += 1
        for subscription in tuple(self.subscriptions):
            subscription.put(item, weight)

    def total_lost(self) -> int:
        """Items that listeners had no room for, since the beginning."""
        return self.lost + sum(one.lost for one in self.subscriptions)
