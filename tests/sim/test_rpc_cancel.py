"""Connecting and calling are cancelled at every moment: nothing is left behind, and no error says what is not so."""

import asyncio
import contextlib

import pytest

from stack import rpc
from stack.sim import run
from tests.support.rpc_counter import V1, Counter

PORT = 4000
STEP_US = 100  # links take longer


async def cancelled_after(coroutine, steps):
    """Whether it was still running then."""
    task = asyncio.create_task(coroutine)
    await asyncio.sleep(steps * STEP_US / 1e6)
    return await ended(task)


async def ended(task):
    was_running = task.cancel()
    with contextlib.suppress(asyncio.CancelledError, rpc.RpcError):
        await task
    return was_running


async def quiet(before, server):
    """Everything that was begun has ended."""
    await asyncio.sleep(5)
    left = {task for task in asyncio.all_tasks() if task not in before and task is not asyncio.current_task()}
    assert not left, left
    assert server.stats["connections"] == 0
    assert server.stats["running"] == 0


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_connecting_is_cancelled_at_every_moment(proto):
    async def connect(here):
        async with rpc.connect(V1, "there", proto=proto, port=PORT, host=here) as client:
            await client.ADD(1)

    async def main(net):
        here, there = net.add_hosts("here", "there")
        program = Counter()
        async with await rpc.serve([program], host=there, tcp=PORT, udp=PORT, register=False) as server:
            before = asyncio.all_tasks()
            steps = 0
            while await cancelled_after(connect(here), steps):
                await quiet(before, server)
                steps += 1
            await quiet(before, server)
            assert steps > 10
            assert 1 <= len(program.seen) <= steps

    run(main, seed=1)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_calls_are_cancelled_at_every_moment(proto):
    """The client goes on, with all its room, and each call was executed once at most."""

    async def main(net):
        here, there = net.add_hosts("here", "there")
        program = Counter()
        async with (
            await rpc.serve([program], host=there, tcp=PORT, udp=PORT, register=False) as server,
            rpc.connect(V1, "there", proto=proto, port=PORT, host=here, max_in_flight=1) as client,
        ):
            before = asyncio.all_tasks()
            for steps in range(40):
                await cancelled_after(client.ADD(steps), steps)
                # one that waits for room, and is cancelled there
                first, second = (asyncio.create_task(client.LINGER(1)) for _ in range(2))
                await asyncio.sleep(steps * STEP_US / 1e6)
                await ended(second)
                await ended(first)
                assert await client.COUNT(timeout=10) == len(program.seen)
            assert len(program.seen) == len(set(program.seen)) <= 40
            assert set(program.seen) >= set(range(20, 40))
            await asyncio.sleep(5)
            assert {task for task in asyncio.all_tasks() if task not in before} <= {asyncio.current_task()}
            assert server.stats["running"] == 0

    run(main, seed=2)


def test_a_server_is_closed_at_every_moment_of_a_call():
    """A call that says it has not run has not, and one that has a result has run once."""

    async def main(net):
        here, there = net.add_hosts("here", "there")
        for steps in range(40):
            program = Counter()
            server = await rpc.serve([program], host=there, tcp=PORT, udp=None, register=False)
            async with rpc.connect(V1, "there", port=PORT, host=here, timeout=3, reconnect_s=0.5) as client:
                task = asyncio.create_task(client.ADD(steps))
                await asyncio.sleep(steps * STEP_US / 1e6)
                await server.aclose()
                (outcome,) = await asyncio.gather(task, return_exceptions=True)
                if isinstance(outcome, rpc.RpcError):
                    assert outcome.maybe_executed or not program.seen
                else:
                    assert outcome == 1
                    assert program.seen == [steps]
            await asyncio.sleep(120)  # the port is free again

    run(main, seed=3)
