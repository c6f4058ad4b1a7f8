"""Coroutines that take their first step at once, in a task that waits for one that needs it.

Theory of operation.  Most procedures never wait: to make a task for each of them, and to let the loop turn once more
before it begins, costs more than what they do.  So `begin` runs a coroutine up to where it waits for something.  Mostly
it ends before that, and that is all.

For the coroutine nothing of this shows.  While it takes that step, the standby task is the current one
(asyncio.current_task), which is what asyncio.timeout, TaskGroup and whoever cancels hold on to.  If the coroutine
waits, that very task goes on with it, and the next call gets another one.  Each coroutine has a copy of the context of
its own, in which all of its steps are taken.  Where a task runs already (one that ends makes room for calls), there is
no other current task: then the coroutine gets an ordinary one.

A standby task that nobody has needed since the last `tire` ends with it.
"""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any

_Steps = Coroutine[Any, Any, None]
_current, _enter, _leave = asyncio.current_task, asyncio._enter_task, asyncio._leave_task  # noqa: SLF001


class _Heir(Coroutine[Any, Any, None]):
    """What a standby task runs: nothing, until it is given a coroutine that has taken its first step."""

    __slots__ = ("_context", "_coroutine", "_first", "task", "used", "wake")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._coroutine: _Steps | None = None
        self._context: Context | None = None
        self._first: Any = None  # what its first step waits for, until the task does
        self.wake: asyncio.Future[None] = loop.create_future()  # done: it is of no use any more
        self.used = True
        self.task: asyncio.Task[None] = loop.create_task(self)
        # a server within the process need not be closed: what it leaves behind has nothing to do
        self.task._log_destroy_pending = False  # type: ignore[attr-defined]  # noqa: SLF001

    def take(self, coroutine: _Steps, context: Context, first: Any) -> None:
        """Go on with this one."""
        self._coroutine, self._context, self._first = coroutine, context, first
        self.end()

    def end(self) -> None:
        """Wait no longer for a coroutine."""
        if not self.wake.done():
            self.wake.set_result(None)

    # -- for the task, which takes it for a coroutine

    def send(self, value: Any) -> Any:
        """One step."""
        coroutine, context = self._coroutine, self._context
        if coroutine is None or context is None:
            if self.wake.done():
                raise StopIteration
            return next(self.wake.__await__())
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return context.run(coroutine.send, value)

    def throw(self, kind: Any, value: Any = None, trace: Any = None) -> Any:
        """One step, with an error: in the name of tasks that is only CancelledError."""
        error: BaseException = kind if isinstance(kind, BaseException) else value if value is not None else kind()
        coroutine, context = self._coroutine, self._context
        if coroutine is None or context is None:
            self.wake.cancel()
            raise error if trace is None else error.with_traceback(trace)
        first, self._first = self._first, None
        if first is not None and first.cancel():
            return first  # as a task does that waits for something: which will wake it with the error
        return context.run(coroutine.throw, error)

    def close(self) -> None:
        """It goes no further."""
        if self._coroutine is not None:
            self._coroutine.close()

    def __await__(self) -> Any:
        raise TypeError("this is for a task only")


class Standby:
    """See the head of this file.  `context`: what each coroutine gets a copy of."""

    __slots__ = ("_context", "_heir", "_loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, context: Context) -> None:
        self._loop = loop
        self._context = context
        self._heir: _Heir | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is no standby task."""
        return self._heir is None

    def begin(self, coroutine: _Steps) -> "asyncio.Task[None] | None":
        """Take the first step of a coroutine; the task that goes on with it, None if it has ended."""
        loop, context = self._loop, self._context.copy()
        if _current(loop) is not None:
            return loop.create_task(coroutine, context=context)
        heir = self._heir
        if heir is None or heir.wake.done() or heir.task.cancelling():  # (somebody has cancelled it)
            heir = self._heir = _Heir(loop)
        heir.used = True
        task = heir.task
        _enter(loop, task)
        try:
            first = context.run(coroutine.send, None)
        except (StopIteration, GeneratorExit, asyncio.CancelledError):
            return None
        finally:
            _leave(loop, task)
        self._heir = None
        heir.take(coroutine, context, first)
        return task

    def tire(self) -> None:
        """End the standby task, if it was not used since the last time."""
        heir = self._heir
        if heir is not None:
            if not heir.used:
                self.end()
            heir.used = False

    def end(self) -> None:
        """End the standby task."""
        heir, self._heir = self._heir, None
        if heir is not None:
            heir.end()
