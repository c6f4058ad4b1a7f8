"""First steps that are taken at once: nothing of it may show to who takes them."""

import asyncio
import contextvars
from collections.abc import Awaitable, Callable

import pytest

from stack.rpc.standby import Standby

LABEL: contextvars.ContextVar[str] = contextvars.ContextVar("LABEL", default="none")


def outside_tasks(act: Callable[[Standby, list[object]], Awaitable[None] | None]) -> list[object]:
    """What `act` has noted down, called by the loop itself, as what comes on a channel is, and half a second later."""
    seen: list[object] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        standby = Standby(loop, contextvars.copy_context())
        failed: list[BaseException] = []
        loop.set_exception_handler(lambda _, context: failed.append(context.get("exception") or RuntimeError()))
        loop.call_soon(act, standby, seen)
        for _ in range(20):
            await asyncio.sleep(0)
        standby.end()
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        assert failed == []
        assert others == set()

    asyncio.run(main())
    return seen


def test_what_does_not_wait_ends_at_once_and_leaves_no_task_to_be_awaited():
    async def quick(seen: list[object]) -> None:
        seen.append("ended")

    def act(standby: Standby, seen: list[object]) -> None:
        assert standby.begin(quick(seen)) is None
        seen.append("after it")

    assert outside_tasks(act) == ["ended", "after it"]


@pytest.mark.parametrize("wait", [lambda: asyncio.sleep(0), lambda: asyncio.wait_for(asyncio.sleep(0), 5)])
def test_the_task_is_the_same_before_and_after_it_waits(wait: Callable[[], Awaitable[None]]):
    async def slow(seen: list[object]) -> None:
        before = asyncio.current_task()
        await wait()
        seen.extend([before is not None, asyncio.current_task() is before])

    def act(standby: Standby, seen: list[object]) -> None:
        assert standby.begin(slow(seen)) is not None
        assert asyncio.current_task() is None

    assert outside_tasks(act) == [True, True]


def test_two_that_wait_have_tasks_of_their_own_and_each_its_context():
    async def slow(label: str, seen: list[object]) -> None:
        seen.append(LABEL.get())
        LABEL.set(label)
        task = asyncio.current_task()
        await asyncio.sleep(0)
        seen.append((label, LABEL.get(), asyncio.current_task() is task))

    async def quick(seen: list[object]) -> None:
        seen.append(LABEL.get())
        LABEL.set("quick")

    def act(standby: Standby, seen: list[object]) -> None:
        first, nothing, second = (
            standby.begin(slow("a", seen)),
            standby.begin(quick(seen)),
            standby.begin(slow("b", seen)),
        )
        assert nothing is None
        assert first is not second

    assert outside_tasks(act) == ["none", "none", "none", ("a", "a", True), ("b", "b", True)]


def test_a_timeout_entered_in_the_first_step_ends_what_it_waits_for():
    async def slow(seen: list[object]) -> None:
        try:
            async with asyncio.timeout(0):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            seen.append("over")
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            group.create_task(asyncio.sleep(0))
        seen.append("and on")

    def act(standby: Standby, seen: list[object]) -> None:
        standby.begin(slow(seen))

    assert outside_tasks(act) == ["over", "and on"]


def test_a_cancellation_before_the_loop_turns_reaches_what_it_waits_for():
    async def slow(future: "asyncio.Future[None]", seen: list[object]) -> None:
        try:
            await future
        except asyncio.CancelledError:
            seen.append("cancelled")
            await asyncio.sleep(0)  # and may still wait
            seen.append("cleaned up")
            raise

    def act(standby: Standby, seen: list[object]) -> None:
        future = asyncio.get_running_loop().create_future()
        task = standby.begin(slow(future, seen))
        assert task is not None
        task.cancel()
        task.add_done_callback(lambda task: seen.append((task.cancelled(), future.cancelled())))

    assert outside_tasks(act) == ["cancelled", "cleaned up", (True, True)]


def test_a_cancellation_is_not_lost_on_what_is_done_already():
    async def slow(future: "asyncio.Future[None]", seen: list[object]) -> None:
        try:
            await future
        except asyncio.CancelledError:
            seen.append("cancelled")

    def act(standby: Standby, seen: list[object]) -> None:
        future = asyncio.get_running_loop().create_future()
        task = standby.begin(slow(future, seen))
        assert task is not None
        future.set_result(None)
        task.cancel()

    assert outside_tasks(act) == ["cancelled"]


def test_one_that_cancels_itself_and_does_not_wait_takes_nobody_with_it():
    async def rude(seen: list[object]) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        seen.append("rude")

    async def polite(seen: list[object]) -> None:
        await asyncio.sleep(0)
        seen.append("polite")

    async def quick() -> None:
        pass

    def act(standby: Standby, seen: list[object]) -> None:
        standby.begin(quick())
        asyncio.get_running_loop().call_soon(later, standby, seen)  # when the task waits

    def later(standby: Standby, seen: list[object]) -> None:
        standby.begin(rude(seen))
        standby.begin(polite(seen))

    assert outside_tasks(act) == ["rude", "polite"]


def test_what_raises_cancelled_error_itself_has_ended():
    async def odd() -> None:
        raise asyncio.CancelledError

    def act(standby: Standby, seen: list[object]) -> None:
        seen.append(standby.begin(odd()))

    assert outside_tasks(act) == [None]


def test_within_a_task_it_is_an_ordinary_one():
    async def quick(seen: list[object]) -> None:
        seen.append(asyncio.current_task())

    async def main() -> None:
        standby = Standby(asyncio.get_running_loop(), contextvars.copy_context())
        seen: list[object] = []
        task = standby.begin(quick(seen))
        assert task is not None
        await task
        assert seen == [task]
        assert standby.is_idle

    asyncio.run(main())


def test_a_standby_task_that_nobody_needs_ends():
    async def quick() -> None:
        pass

    def act(standby: Standby, seen: list[object]) -> None:
        standby.begin(quick())
        standby.tire()
        seen.append(standby.is_idle)
        standby.begin(quick())
        standby.tire()
        seen.append(standby.is_idle)
        standby.tire()
        seen.append(standby.is_idle)

    assert outside_tasks(act) == [False, False, True]
