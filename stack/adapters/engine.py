"""A host on an event loop in a thread of its own, for programs that do not run on asyncio.

Theory of operation.  The thread starts with the first use.  It runs one asyncio loop, on which it makes one AsyncHost;
everything of the stack is touched by that thread only.  Other threads hand over coroutine functions: `begin` says when
each is done, `call` blocks until then.  They wait, on the loop, until the host is up.  Each hand-over is one operation
whose data is bounded by the caller (streams.py bounds what waits on the engine's side).  `close` cancels what is under
way, and nothing is begun after it.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, TypeVar

from stack.aio.network import AsyncHost
from stack.errors import HostClosed

logger = logging.getLogger(__name__)

T = TypeVar("T")
Operation = Callable[..., Coroutine[Any, Any, T]]  # called with the host, and with the arguments given

CALL_S: Final = 30.0  # `call` is for what takes no time; a host that is not up by then is an error


class Engine:
    """`make_host` gives an asynchronous context manager, `stack.open_tap(...)` or an AsyncHost with its devices, that
    is entered on the engine's loop.
    """

    __slots__ = ("_closing", "_host", "_lock", "_loop", "_loop_factory", "_make_host", "_pid", "_stop", "_thread")

    def __init__(
        self,
        make_host: Callable[[], AbstractAsyncContextManager[AsyncHost]],
        loop_factory: Callable[[], asyncio.AbstractEventLoop] | None = None,
    ) -> None:
        self._make_host = make_host
        self._loop_factory = loop_factory
        self._lock = threading.Lock()  # nothing is handed over after `_closing` was set
        self._closing = False
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._host: asyncio.Future[AsyncHost]

    # -- other threads

    def begin(
        self, done: "Callable[[asyncio.Task[T]], None]", function: Operation[T], *args: Any
    ) -> Callable[[], None]:
        """Have `function(host, *args)` awaited on the loop, then `done(task)` called there.  Starts the thread.

        Returns what cancels it, from any thread.  Raises HostClosed.
        """
        tasks: list[asyncio.Task[T]] = []

        def start() -> None:
            task = self._loop.create_task(self._run(function, *args))
            tasks.append(task)
            task.add_done_callback(done)

        def cancel() -> None:
            tasks[0].cancel()  # `start` has run by then: calls keep their order

        with self._lock:
            if self._closing:
                raise _ended()
            if self._thread is None:
                self._start()
            elif self._pid != os.getpid():
                raise HostClosed("the stack does not survive a fork: make it in the process that uses it")
            self._loop.call_soon_threadsafe(start)
        return lambda: self.post(cancel)

    def call(self, function: Operation[T], *args: Any) -> T:
        """Block until `function(host, *args)`, which must not wait for a peer, has been done on the loop.

        Raises what it raises, HostClosed, TimeoutError.
        """
        result: concurrent.futures.Future[T] = concurrent.futures.Future()

        def done(task: "asyncio.Task[T]") -> None:
            if task.cancelled():
                result.set_exception(_ended())
            elif (exc := task.exception()) is not None:
                result.set_exception(exc)
            else:
                result.set_result(task.result())

        cancel = self.begin(done, function, *args)
        try:
            return result.result(CALL_S)
        finally:
            cancel()

    def post(self, function: Callable[[], object]) -> None:
        """Have `function()` called by the loop, if there still is one; nobody waits for it."""
        if self._thread is not None and self._pid == os.getpid():
            with contextlib.suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(function)

    def close(self) -> None:
        """End the host and the thread, and wait for both; what is under way is cancelled.  Safe to call twice."""
        with self._lock:
            self._closing = True
            thread = self._thread
        if thread is not None and self._pid == os.getpid():
            self.post(self._stop.set)
            thread.join()

    def _start(self) -> None:
        running = threading.Event()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._thread_main, args=(running,), name="tapstack", daemon=True)
        self._thread.start()
        running.wait()

    # -- the engine's thread

    async def _run(self, function: Operation[T], *args: Any) -> T:
        """`await function(host, *args)`, as soon as the host is up.  Raises what kept it from coming up."""
        return await function(await asyncio.shield(self._host), *args)

    def _thread_main(self, running: threading.Event) -> None:
        with asyncio.Runner(loop_factory=self._loop_factory) as runner:
            runner.run(self._main(running))

    async def _main(self, running: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._host = self._loop.create_future()
        running.set()
        try:
            async with self._make_host() as host:
                self._host.set_result(host)
                await self._stop.wait()
                await _cancel_others()  # first of all: they use the host
        except Exception as exc:
            if self._host.done():
                logger.exception("the host did not end well")
                return
            self._host.set_exception(exc)
            self._host.exception()  # whoever uses the engine is told; maybe nobody does
            await self._stop.wait()


async def _cancel_others() -> None:
    """Operations that are under way end now; those who wait for them see HostClosed."""
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def _ended() -> HostClosed:
    return HostClosed("the engine was closed; make a new one")
