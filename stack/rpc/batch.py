"""Calls that leave together: `async with client.batch() as batch:`."""

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol, Self, TypeVar

from stack.rpc.channel import Channel

T = TypeVar("T")


class Sender(Protocol):
    """Who makes the calls of a batch."""

    @property
    def channel(self) -> Channel | None:
        """The one that all of them take."""


class Batch:
    """Calls that leave in one piece, and are all answered when the block ends.

        async with client.batch() as batch:
            one = batch.add(client.CALC_DO(a))
            other = batch.add(client.CALC_DO(b))
        print(one.result(), other.result())

    Each is a task, with its own result or error; `add` starts it, and the end of the block sends what was added.
    """

    __slots__ = ("_client", "_tasks")

    def __init__(self, client: Sender) -> None:
        self._client = client
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        return self

    def add(self, call: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A call of a stub, like `client.CALC_DO(a)`."""
        task = asyncio.get_running_loop().create_task(call)
        self._tasks.append(task)
        return task

    async def __aexit__(self, *of: object) -> None:
        channel = self._client.channel
        if of[1] is not None:
            for task in self._tasks:
                task.cancel()
        elif channel is not None:
            channel.cork()
            try:
                await asyncio.sleep(0)  # each of them posts its call
            finally:
                channel.uncork()
        await asyncio.gather(*self._tasks, return_exceptions=True)
