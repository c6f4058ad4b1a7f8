"""Cancels a coroutine at each of its await points in turn: the first time at the first one, then at the second ...

An await point is where the coroutine gives control back to the loop.  A task of its own runs each attempt; once it
suspends for the n-th time it is cancelled there, and what it waits for with it.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any


class Interrupted(Coroutine[Any, Any, Any]):
    """`coroutine` that cancels the task it runs in when it suspends for the `at`-th time."""

    __slots__ = ("_at", "_coroutine", "points", "task")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], at: int) -> None:
        self._coroutine = coroutine
        self._at = at
        self.points = 0  # how often it has suspended
        self.task: asyncio.Task[Any] | None = None

    def send(self, value: Any) -> Any:
        """One step."""
        waits_for = self._coroutine.send(value)
        return self._suspended(waits_for)

    def throw(self, *error: Any) -> Any:
        """One step, with an exception."""
        waits_for = self._coroutine.throw(*error)
        return self._suspended(waits_for)

    def close(self) -> None:
        """As of any coroutine."""
        self._coroutine.close()

    def __await__(self) -> Any:
        return self._coroutine.__await__()

    def _suspended(self, waits_for: Any) -> Any:
        self.points += 1
        if self.points == self._at:
            assert self.task is not None
            self.task.cancel()  # takes effect as soon as the task has seen what it waits for
        return waits_for


async def at_every_await_point(
    scenario: Callable[[], Coroutine[Any, Any, Any]], check: Callable[[int], Awaitable[None]], most: int = 2000
) -> int:
    """Run `scenario()` again and again, cancelled at point 1, 2, 3 ..., until it comes to its end; how many that were.

    After each attempt `check(point)` is awaited, and is to raise if anything was left behind.
    """
    async for point in _points(scenario, most):
        await check(point)
        last = point
    return last


async def _points(scenario: Callable[[], Coroutine[Any, Any, Any]], most: int) -> AsyncIterator[int]:
    for point in range(1, most + 1):
        attempt = Interrupted(scenario(), point)
        attempt.task = asyncio.get_running_loop().create_task(attempt)
        await asyncio.wait([attempt.task])
        if not attempt.task.cancelled():
            attempt.task.result()  # what it raised of its own, too, ends the run
        yield point
        if attempt.points < point:
            return
    raise AssertionError(f"still not at its end after {most} await points")
