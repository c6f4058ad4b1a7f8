"""A pool of servers on simulated hosts: who gets the calls, and what becomes of them when servers fail."""

import asyncio
import contextlib
from types import SimpleNamespace

import pytest

from stack import rpc
from stack.sim import run
from tests.support.rpc_counter import V1, Base

PORT = 4000
NAMES = ("a", "b", "c")
MEMBERS = [f"{name}:{PORT}" for name in NAMES]


class Work(Base):
    """A server that takes its time.  `gate` unset: it is frozen."""

    def __init__(self, took_s=0.01):
        self.took_s = took_s
        self.count = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def _work(self):
        self.count += 1
        await asyncio.sleep(self.took_s)
        await self.gate.wait()
        return self.count

    @rpc.proc(idempotent=True)
    async def FLIP(self, ctx, number):
        await self._work()
        return number

    async def ADD(self, ctx, number):
        await self._work()
        return number


async def many(client, calls, *, at_a_time=32, procedure="FLIP", **options):
    """So many calls: the times they took, and the errors."""
    numbers = iter(range(calls))
    took, errors = [], []
    loop = asyncio.get_running_loop()

    async def worker():
        for number in numbers:
            began = loop.time()
            try:
                assert await getattr(client, procedure)(number, **options) == number
            except rpc.RpcError as error:
                errors.append(error)
            took.append(loop.time() - began)

    await asyncio.gather(*(worker() for _ in range(at_a_time)))
    return sorted(took), errors


async def three(net, stack, *, took_s=(0.01, 0.01, 0.01)):
    """Three servers, and the client's host."""
    here, *there = net.add_hosts("here", *NAMES)
    works = [Work(each) for each in took_s]
    for host, work in zip(there, works, strict=True):
        await stack.enter_async_context(await rpc.serve([work], host=host, tcp=PORT, udp=PORT, register=False))
    return here, there, works


@pytest.mark.parametrize(("policy", "share"), [("least_loaded", 0.15), ("two_choices", 0.15)])
@pytest.mark.parametrize("at_a_time", [1, 4, 32])
def test_a_server_five_times_slower_gets_under_15_percent(policy, share, at_a_time):
    async def main(net):
        async with contextlib.AsyncExitStack() as stack:
            here, _, works = await three(net, stack, took_s=(0.01, 0.05, 0.01))
            client = await stack.enter_async_context(rpc.pool(V1, MEMBERS, policy=policy, host=here))
            _, errors = await many(client, 3000, at_a_time=at_a_time)
            assert not errors
            counts = [work.count for work in works]
            assert sum(counts) == 3000
            assert counts[1] < share * 3000, counts

    run(main, seed=1)


def test_in_turn_every_server_gets_the_same_whatever_it_takes():
    """The control of those above: who does not look gives the slow server its third."""

    async def main(net):
        async with contextlib.AsyncExitStack() as stack:
            here, _, works = await three(net, stack, took_s=(0.01, 0.05, 0.01))
            client = await stack.enter_async_context(rpc.pool(V1, MEMBERS, policy="round_robin", host=here))
            await many(client, 3000)
            assert [work.count for work in works] == [1000, 1000, 1000]

    run(main, seed=1)


async def with_one_frozen(net, *, hedge=None, failover=True, policy="least_loaded", calls=3000):
    """The times that calls take before and while one of three servers is frozen, and errors, and the pool."""
    async with contextlib.AsyncExitStack() as stack:
        here, _, works = await three(net, stack)
        pool = rpc.pool(
            V1, MEMBERS, idempotent=["FLIP"], hedge=hedge, failover=failover, policy=policy, host=here, timeout=6
        )
        client = await stack.enter_async_context(pool)
        before, errors = await many(client, calls, at_a_time=8)
        assert not errors
        works[1].gate.clear()
        took, errors = await many(client, calls, at_a_time=8)
        return before, took, errors, pool.stats


def p99(times):
    return times[int(len(times) * 0.99)]


@pytest.mark.parametrize("policy", ["least_loaded", "two_choices", "round_robin"])
def test_one_of_three_is_frozen_and_no_call_is_lost(policy):
    async def main(net):
        before, took, errors, stats = await with_one_frozen(net, hedge=0.95, policy=policy)
        assert errors == []
        assert len(took) == 3000
        assert p99(took) < 3 * p99(before)
        assert stats["hedges_won"] >= 3
        assert stats["ejections"] >= 1

    run(main, seed=2)


def test_without_hedging_no_call_is_lost_either_but_some_are_late():
    """Nor does hedging prove nothing: without it, calls wait for their share of the time at the frozen server."""

    async def main(net):
        _, took, errors, stats = await with_one_frozen(net)
        assert errors == []
        assert took[-1] > 1
        assert stats["failed_over"] >= 3
        assert "hedged" not in stats

    run(main, seed=2)


def test_without_fail_over_calls_are_lost():
    """The control."""

    async def main(net):
        _, _, errors, _ = await with_one_frozen(net, failover=False)
        assert errors
        assert all(isinstance(error, rpc.RpcTimeout) for error in errors)

    run(main, seed=2)


def test_what_must_not_run_twice_goes_nowhere_else_when_it_may_have_run():
    async def main(net):
        async with contextlib.AsyncExitStack() as stack:
            here, there, works = await three(net, stack, took_s=(1, 1, 1))
            client = await stack.enter_async_context(rpc.pool(V1, MEMBERS, policy="round_robin", host=here))

            async def crash():
                await asyncio.sleep(0.5)
                there[1].crash()

            crashing = asyncio.create_task(crash())
            results = await asyncio.gather(*(client.ADD(n, timeout=10) for n in range(9)), return_exceptions=True)
            await crashing
            errors = [one for one in results if isinstance(one, Exception)]
            assert len(errors) == works[1].count == 3
            assert all(isinstance(one, rpc.RpcError) and one.maybe_executed for one in errors)
            assert sum(work.count for work in works) == 9
            # from now on nobody calls it, so nothing is lost
            results = await asyncio.gather(*(client.ADD(n, timeout=10) for n in range(9)))
            assert sorted(results) == list(range(9))

    run(main, seed=3)


def test_what_may_run_twice_goes_elsewhere_when_its_server_dies():
    async def main(net):
        async with contextlib.AsyncExitStack() as stack:
            here, there, works = await three(net, stack, took_s=(1, 1, 1))
            pool = rpc.pool(V1, MEMBERS, policy="round_robin", idempotent=["FLIP"], host=here)
            client = await stack.enter_async_context(pool)

            async def crash():
                await asyncio.sleep(0.5)
                there[1].crash()

            crashing = asyncio.create_task(crash())
            results = await asyncio.gather(*(client.FLIP(n, timeout=30) for n in range(9)))
            await crashing
            assert sorted(results) == list(range(9))
            assert pool.stats["failed_over"] == 3
            assert sum(work.count for work in works) == 12

    run(main, seed=3)


def test_what_was_certainly_not_sent_goes_elsewhere_whatever_it_is():
    """A server that is gone since the last look: the call finds out, and another server executes it, once."""

    async def main(net):
        async with contextlib.AsyncExitStack() as stack:
            here, *there = net.add_hosts("here", *NAMES)
            works = [Work() for _ in NAMES]
            servers = [
                await rpc.serve([work], host=host, tcp=PORT, register=False)
                for host, work in zip(there, works, strict=True)
            ]
            pool = rpc.pool(V1, MEMBERS, policy="round_robin", check_s=1000, host=here)
            client = await stack.enter_async_context(pool)
            await asyncio.sleep(0.1)
            await servers[1].aclose()
            results = [await client.ADD(number) for number in range(9)]
            assert results == list(range(9))
            assert sum(work.count for work in works) == 9
            assert [one.state for one in pool.members] == ["ready", "down", "ready"]
            for server in servers:
                await server.aclose()

    run(main, seed=4)


def test_a_member_that_comes_back_is_called_again():
    async def main(net):
        async with contextlib.AsyncExitStack() as stack:
            here, there, _ = await three(net, stack)
            pool = rpc.pool(V1, MEMBERS, policy="round_robin", idempotent=["FLIP"], host=here)
            client = await stack.enter_async_context(pool)
            there[1].crash()
            _, errors = await many(client, 300, timeout=30)
            assert not errors
            there[1].restart()
            again = Work()
            async with await rpc.serve([again], host=there[1], tcp=PORT, register=False):
                await asyncio.sleep(20)
                assert {one.state for one in pool.members} == {"ready"}
                await many(client, 300)
                assert again.count == 100

    run(main, seed=5)


def test_nobody_there_is_one_sentence_with_all_the_reasons():
    async def main(net):
        here, *_ = net.add_hosts("here", *NAMES)
        with pytest.raises(rpc.Unreachable) as caught:
            async with rpc.pool(V1, MEMBERS, host=here):
                pass
        assert not caught.value.maybe_executed
        for member in MEMBERS:
            assert member in caught.value.strerror
        assert "refused" in caught.value.strerror

    run(main, seed=6)


def test_all_die_and_calls_say_so_in_time():
    async def main(net):
        async with contextlib.AsyncExitStack() as stack:
            here, there, _ = await three(net, stack)
            client = await stack.enter_async_context(rpc.pool(V1, MEMBERS, idempotent=["FLIP"], host=here))
            for host in there:
                host.crash()
            began = asyncio.get_running_loop().time()
            with pytest.raises(rpc.RpcError):
                await client.FLIP(1, timeout=5)
            assert asyncio.get_running_loop().time() - began <= 5.01
            with pytest.raises(rpc.RpcError):
                await client.FLIP(1, timeout=5)

    run(main, seed=7)


# -- state


def test_sticky_calls_stay_with_their_member_and_fail_with_it():
    async def main(net):
        async with contextlib.AsyncExitStack() as stack:
            here, there, works = await three(net, stack)
            pool = rpc.pool(V1, MEMBERS, idempotent=["FLIP"], host=here)
            await stack.enter_async_context(pool)
            one = pool.sticky("alice")
            for number in range(30):
                await one.FLIP(number)
            (mine,) = [index for index, work in enumerate(works) if work.count]
            assert works[mine].count == 30
            await pool.sticky("alice").FLIP(1)
            assert works[mine].count == 31  # the same one for the same key
            for number in range(40):
                await pool.sticky(f"user {number}").FLIP(1)
            assert all(work.count > 5 for work in works)  # and others for other keys
            there[mine].crash()
            with pytest.raises(rpc.RpcError):
                await one.FLIP(1, timeout=3)  # although it may run twice: another server does not have the state
            await asyncio.sleep(5)
            with pytest.raises(rpc.RpcError):
                await one.FLIP(1, timeout=3)
            await pool.sticky("alice").FLIP(1)  # another one

    run(main, seed=8)


def test_a_batch_goes_several_ways():
    async def main(net):
        async with contextlib.AsyncExitStack() as stack:
            here, _, works = await three(net, stack)
            client = await stack.enter_async_context(rpc.pool(V1, MEMBERS, policy="round_robin", host=here))
            async with client.batch() as batch:
                calls = [batch.add(client.ADD(number)) for number in range(9)]
            assert [call.result() for call in calls] == list(range(9))
            assert [work.count for work in works] == [3, 3, 3]

    run(main, seed=9)


def test_a_cancelled_call_is_cancelled_everywhere():
    async def main(net):
        async with contextlib.AsyncExitStack() as stack:
            here, _, works = await three(net, stack)
            pool = rpc.pool(V1, MEMBERS, idempotent=["FLIP"], hedge=0.5, host=here)
            client = await stack.enter_async_context(pool)
            await many(client, 200)
            for work in works:
                work.gate.clear()
            task = asyncio.create_task(client.FLIP(1))
            await asyncio.sleep(1)
            assert pool.stats["hedged"] >= 1
            assert sum(one.in_flight for one in pool.members) == 2
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert all(one.in_flight == 0 for one in pool.members)

    run(main, seed=10)


# -- members from the DNS


class Resolver:
    """Knows one service, until it is told otherwise."""

    def __init__(self, *targets):
        self.targets = targets
        self.asked = 0

    async def services(self, name, *, timeout):  # noqa: ASYNC109  (of the interface)
        assert name == "_calc._tcp.example.test"
        self.asked += 1
        for target in self.targets:
            if isinstance(target, Exception):
                raise target
            yield target


def target(address, *, priority=0, weight=1):
    return SimpleNamespace(addresses=[address], port=PORT, priority=priority, weight=weight)


def test_members_from_the_dns_by_priority_and_weight_and_looked_up_again():
    async def main(net):
        async with contextlib.AsyncExitStack() as stack:
            here, there, works = await three(net, stack)
            a, b, c = (host.address for host in there)
            resolver = Resolver(target(a, weight=3), target(b, weight=1), target(c, priority=1))
            pool = rpc.pool(V1, srv="_calc._tcp.example.test", resolver=resolver, policy="round_robin", host=here)
            client = await stack.enter_async_context(pool)
            await asyncio.sleep(0.5)
            await many(client, 400, procedure="ADD")
            assert [work.count for work in works] == [300, 100, 0]
            resolver.targets = (OSError("nobody knows"),)
            await asyncio.sleep(40)
            assert len(pool.members) == 3  # those that were there stay
            resolver.targets = (target(c),)
            await asyncio.sleep(40)
            assert [one.place for one in pool.members] == [f"{c}:{PORT}"]
            await many(client, 100, procedure="ADD")
            assert works[2].count == 100

    run(main, seed=11)
