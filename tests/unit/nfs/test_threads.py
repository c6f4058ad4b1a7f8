"""Which call has a thread: no client takes all, and who waits is served in turn."""

import asyncio
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from stack.nfs.service import Runner

THREADS = 4


class Disk:
    """What calls wait for; `begun` are those that have a thread, in their order."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.begun: list[str] = []
        self._came = threading.Semaphore(0)
        self._goes_on = threading.Semaphore(0)

    def call(self, client: str) -> "asyncio.Task[str]":
        ctx: Any = SimpleNamespace(source=(client, 700))
        return asyncio.create_task(self.runner.run(ctx, self._work, client))

    def _work(self, client: str) -> str:
        self.begun.append(client)
        self._came.release()
        self._goes_on.acquire()
        return client

    async def come(self, calls: int) -> None:
        """So many more have begun."""
        for _ in range(calls):
            assert await asyncio.to_thread(self._came.acquire, timeout=20)

    def finish(self, calls: int = 1) -> None:
        self._goes_on.release(calls)


@contextlib.asynccontextmanager
async def disk(share: int | None = None):
    with ThreadPoolExecutor(THREADS) as executor:
        runner = Runner(executor, THREADS)
        if share is not None:
            runner._share = share
        made = Disk(runner)
        try:
            yield made
        finally:
            made.finish(1000)


@pytest.mark.parametrize("protected", [True, False])
def test_a_client_with_a_slow_disk_leaves_a_thread_to_others(protected):
    """Without the share, the control, the other one waits for the first one's disk."""

    async def main():
        async with disk(None if protected else THREADS) as slow:
            greedy = [slow.call("greedy") for _ in range(20)]
            await slow.come(THREADS - 1 if protected else THREADS)
            other = slow.call("other")
            if protected:
                await slow.come(1)
            await asyncio.sleep(0)
            assert ("other" in slow.begun) == protected
            slow.finish(1000)
            assert await asyncio.gather(other, *greedy) == ["other"] + ["greedy"] * 20
            assert not slow.runner._waiting
            assert not slow.runner._busy
            assert slow.runner._running == 0

    asyncio.run(main())


def test_who_waits_is_served_in_turn():
    async def main():
        async with disk() as slow:
            first = [slow.call("a") for _ in range(3)] + [slow.call("b")]
            await slow.come(THREADS)
            waiting = [slow.call(client) for client in "aaabbc"]
            await asyncio.sleep(0)
            for _ in waiting:
                slow.finish()
                await slow.come(1)
            slow.finish(THREADS)
            await asyncio.gather(*first, *waiting)
            assert "".join(slow.begun[THREADS:]).index("c") <= 2
            assert sorted(slow.begun[THREADS:]) == list("aaabbc")

    asyncio.run(main())


def test_a_call_that_is_cancelled_before_its_turn_takes_no_thread():
    async def main():
        async with disk() as slow:
            running = [slow.call("a") for _ in range(3)] + [slow.call("b")]
            await slow.come(THREADS)
            gone, stays = slow.call("c"), slow.call("d")
            await asyncio.sleep(0)
            gone.cancel()
            slow.finish(5)
            assert await stays == "d"
            await asyncio.gather(*running)
            assert "c" not in slow.begun
            with pytest.raises(asyncio.CancelledError):
                await gone

    asyncio.run(main())


def test_a_call_that_is_cancelled_while_it_runs_is_busy_until_its_thread_is_done():
    async def main():
        async with disk() as slow:
            running = [slow.call("a") for _ in range(3)] + [slow.call("b")]
            await slow.come(THREADS)
            running[0].cancel()
            with pytest.raises(asyncio.CancelledError):
                await running[0]
            assert slow.runner._running == THREADS
            slow.finish(4)
            await asyncio.gather(*running[1:])
            while slow.runner._running:
                await asyncio.sleep(0.001)

    asyncio.run(main())
