"""Where blocking sockets find their host: a loop in a thread, and the one descriptor by which it watches all pairs.

Theory of operation.  A Station is a host on an event loop that runs in another thread: one that an Engine started, or
one of the program's own.  Everything of the stack is touched by that thread only.  Other threads hand over plain
functions: `run` blocks until one was called there and gives its result, `post` does not wait.  The Station's Poller is
an epoll descriptor of its own within the loop: pairs are registered once, edge-triggered, and tell of hang-ups, which
`add_reader` does not.

Which addresses are whose is asked of the loop's ownership (`stack.aio.ownership`).  Stations are used by the whole
process: `use` puts one on a stack, and sockets take the newest one when they are made.
"""

import asyncio
import concurrent.futures
import contextlib
import os
import select
import socket as stdlib
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol, TypeVar

from stack.adapters.engine import CALL_S, Engine
from stack.aio.loop import StackLoop, new_event_loop
from stack.aio.network import AsyncHost
from stack.aio.ownership import Ownership
from stack.errors import ConfigError, HostClosed
from stack.wire.addr import is_loopback

T = TypeVar("T")

MAX_EVENTS: Final = 256  # taken from the poller at once
WATCHED: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET


class Watched(Protocol):
    """What has an end of a pair."""

    def on_descriptor(self, mask: int) -> None:
        """The end's state has changed: EPOLL bits."""

    def on_callback_error(self, exc: BaseException) -> None:
        """`on_descriptor` raised: give up on this socket only."""

    def close(self) -> None:
        """Finish what was begun, then end."""


class Poller:
    """See the head of this file.  All but `close_in_child` in the loop's thread."""

    __slots__ = ("_by_fd", "_epoll", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._epoll = select.epoll()
        self._by_fd: dict[int, tuple[stdlib.socket, Watched]] = {}
        loop.add_reader(self._epoll.fileno(), self._on_ready)

    def __len__(self) -> int:
        return len(self._by_fd)

    def add(self, inside: stdlib.socket, watched: Watched) -> None:
        """Tell `watched` of changes of its end `inside`; of its present state, too, in the loop's next round."""
        self._by_fd[inside.fileno()] = (inside, watched)
        self._epoll.register(inside.fileno(), WATCHED)

    def remove(self, inside: stdlib.socket) -> None:
        """Before `inside` is closed."""
        if self._by_fd.pop(inside.fileno(), None) is not None and not self._epoll.closed:
            self._epoll.unregister(inside.fileno())

    def _on_ready(self) -> bool:
        """Whether there was something."""
        ready = self._epoll.poll(0, MAX_EVENTS)
        for fd, mask in ready:
            entry = self._by_fd.get(fd)
            if entry is None:
                continue
            try:
                entry[1].on_descriptor(mask)
            except Exception as exc:  # noqa: BLE001  (the others must hear of theirs: it is told only once)
                self._loop.call_exception_handler({"message": f"{entry[1]!r} failed", "exception": exc})
                entry[1].on_callback_error(exc)
        return bool(ready)

    def close(self) -> None:
        """Nobody is told any more; sockets that are left end, as with their host."""
        if self._epoll.closed:
            return
        if not self._loop.is_closed():
            while self._on_ready():
                pass
            for _, watched in list(self._by_fd.values()):
                watched.close()
            self._loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def close_in_child(self) -> None:
        """After a fork: the ends are the parent's.  A copy here would keep it from hearing of their closing."""
        for inside, _ in list(self._by_fd.values()):
            inside.close()
        self._by_fd.clear()
        self._epoll.close()


class Station:
    """See the head of this file.  Made by `use`."""

    def __init__(
        self,
        source: AsyncHost | Callable[[], AbstractAsyncContextManager[AsyncHost]],
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._waiting: set[concurrent.futures.Future[Any]] = set()
        self._closed = False
        self._engine: Engine | None = None
        self._host: AsyncHost | None = None
        self._thread = 0
        self.poller: Poller
        self.ownership: Ownership[AsyncHost]
        if isinstance(source, AsyncHost):
            if not source.loop.is_running():
                raise ConfigError("this AsyncHost's loop does not run: run it in another thread, or give a function")
            self._adopt(source)
        elif callable(source):
            self._engine = Engine(source, loop_factory or new_event_loop)
        else:
            raise TypeError(f"use() takes an AsyncHost, or a function like lambda: stack.open_tap(), not {source!r}")
        _STATIONS.add(self)

    # -- the host

    @property
    def host(self) -> AsyncHost:
        """The host, started now if it was not.  Raises what kept it from starting, HostClosed."""
        host = self._host
        if host is None:
            with self._lock:
                if self._host is None:
                    assert self._engine is not None
                    self._adopt(self._engine.call(_given))
                host = self._host
        assert host is not None
        return host

    def _adopt(self, host: AsyncHost) -> None:
        loop = host.loop
        if isinstance(loop, StackLoop):
            self.ownership = loop.ownership
        else:
            self.ownership = Ownership()
            self.ownership.add(host)
        if _running_loop() is loop:
            raise RuntimeError("blocking sockets would stop the loop that they wait for: use them in another thread")

        async def prepare() -> int:
            self.poller = Poller(loop)
            return threading.get_ident()

        self._thread = asyncio.run_coroutine_threadsafe(prepare(), loop).result(CALL_S)
        self._host = host

    def source_for(self, addr: int, *, everything: bool) -> AsyncHost | None:
        """The host that speaks to `addr`; None for the kernel.  With `everything` that is so for 127/8 and 0/8 only."""
        if self.is_own_thread():
            return None
        first = self.host
        found = self.ownership.source_for(addr)
        if found is None and everything and not is_loopback(addr) and addr >> 24:
            return first
        return found

    def owner(self, addr: int) -> AsyncHost | None:
        """The host whose address `addr` is."""
        if self.is_own_thread():
            return None
        host = self.host
        return self.ownership.owner(addr) or (host if host.host.ip.is_local(addr) and not is_loopback(addr) else None)

    # -- from other threads

    def is_own_thread(self) -> bool:
        """Whether this is the thread of the host's loop, which must not wait for itself."""
        return threading.get_ident() == self._thread

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Block until `function(*args)` has been called by the loop.  Raises what it raises, HostClosed."""
        future: concurrent.futures.Future[T] = concurrent.futures.Future()

        def job() -> None:
            if future.cancelled():
                return
            try:
                future.set_result(function(*args))
            except BaseException as exc:  # noqa: BLE001  (the caller's)
                future.set_exception(exc)

        loop = self._check().loop
        self._waiting.add(future)
        try:
            if self._closed:
                raise _ended()
            try:
                loop.call_soon_threadsafe(job)
            except RuntimeError:  # it is closed
                raise _ended() from None
            return future.result(CALL_S)
        finally:
            self._waiting.discard(future)

    def wait_for(self, coroutine: Callable[[], Awaitable[T]]) -> T:
        """Block until what `coroutine()` gives has been awaited by the loop.  Raises what it raises, HostClosed."""
        loop = self._check().loop

        async def main() -> T:
            return await coroutine()

        future = asyncio.run_coroutine_threadsafe(main(), loop)
        self._waiting.add(future)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise _ended() from None
        finally:
            self._waiting.discard(future)

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Have `function(*args)` called by the loop, if there still is one."""
        host = self._host
        if host is not None and self._pid == os.getpid():
            with contextlib.suppress(RuntimeError):  # it is closed
                host.loop.call_soon_threadsafe(function, *args)

    def _check(self) -> AsyncHost:
        if self._pid != os.getpid():
            raise HostClosed("the stack does not survive a fork: call stack.socket.use() in the child")
        if self._closed:
            raise _ended()
        host = self.host
        if self.is_own_thread():
            raise RuntimeError("a blocking call in the thread of the stack's own loop would wait for itself")
        return host

    def close(self) -> None:
        """End the host, if it was started here, and its thread; sockets that are left raise HostClosed."""
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        if self._engine is not None:
            self._engine.close()
            if self._host is not None:
                self.poller.close()
        elif self._host is not None:
            self.post(self.poller.close)
        for future in list(self._waiting):
            if not future.done():
                with contextlib.suppress(concurrent.futures.InvalidStateError):
                    future.set_exception(_ended())

    def after_fork(self) -> None:
        """In the child."""
        if self._host is not None:
            self.poller.close_in_child()


async def _given(host: AsyncHost) -> AsyncHost:
    return host


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _ended() -> HostClosed:
    return HostClosed("the host of this socket was closed; call stack.socket.use() again")


_STATIONS: "weakref.WeakSet[Station]" = weakref.WeakSet()
_USED: list[Station] = []


def _after_fork() -> None:
    for station in list(_STATIONS):
        station.after_fork()


os.register_at_fork(after_in_child=_after_fork)


@contextlib.contextmanager
def use(
    source: AsyncHost | Callable[[], AbstractAsyncContextManager[AsyncHost]],
    *,
    loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> Iterator[Station]:
    """Within the block sockets of `stack.socket`, in all threads, are those of a host; blocks nest.

    `source` is a function that gives an asynchronous context manager with an AsyncHost, such as
    `lambda: stack.open_tap("tapstack0", "198.18.0.2/24")`: it is entered in a thread of its own with the first use, and
    left with the block.  Or an AsyncHost on a loop that runs in another thread, which stays the program's.

    Raises ConfigError, TypeError.
    """
    station = Station(source, loop_factory)
    _USED.append(station)
    try:
        yield station
    finally:
        _USED.remove(station)
        station.close()


def current() -> Station | None:
    """The Station that new sockets take."""
    return _USED[-1] if _USED else None
