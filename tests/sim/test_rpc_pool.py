"""A pool of servers on simulated hosts: who gets the calls, and what becomes of them when servers fail."""

import asyncio
import contextlib
from functools import partial
from types import SimpleNamespace

import pytest

from stack import rpc
from stack.errors import ConfigError
from stack.rpc.pooling.pool import Pool, _first_answer
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


def test_a_member_that_leaves_may_end_its_calls(monkeypatch):
    async def main(net):
        async with contextlib.AsyncExitStack() as stack:
            here, there, works = await three(net, stack, took_s=(20, 0.01, 0.01))
            a, b, _ = (host.address for host in there)
            resolver = Resolver(target(a))
            pool = rpc.pool(V1, srv="_calc._tcp.example.test", resolver=resolver, host=here)
            client = await stack.enter_async_context(pool)
            await asyncio.sleep(25)
            call = asyncio.create_task(client.ADD(7))
            resolver.targets = (target(b),)
            await asyncio.sleep(15)
            assert [one.place for one in pool.members] == [f"{b}:{PORT}"]
            assert await client.ADD(8) == 8
            assert works[1].count == 1
            result = await asyncio.gather(call, return_exceptions=True)
            await asyncio.sleep(1)
            assert pool._pool._leaving == {}  # its client is closed
            return result[0]

    assert run(main, seed=11) == 7
    monkeypatch.setattr(
        Pool,
        "_let_go",
        lambda self, member: self._closing.add(asyncio.ensure_future(self._leaving.pop(member).aclose())),
    )
    assert isinstance(run(main, seed=11), rpc.ClientClosed)  # the control: it is closed at once


# -- many calls at a time


async def with_one_gone(net, how, at_a_time=300):
    """Errors and counters of a pool, one of whose servers dies or freezes with a hundred calls in flight."""
    async with contextlib.AsyncExitStack() as stack:
        here, there, works = await three(net, stack, took_s=(0.5, 0.5, 0.5))
        pool = rpc.pool(V1, MEMBERS, idempotent=["FLIP"], host=here, timeout=9)
        client = await stack.enter_async_context(pool)
        calls = asyncio.create_task(many(client, 1500, at_a_time=at_a_time))
        await asyncio.sleep(0.75)
        if how == "dies":
            there[1].crash()
        for work in works[1:2] if how == "freezes" else works if how == "all freeze" else ():
            work.gate.clear()
        _, errors = await calls
        return errors, pool.stats


@pytest.mark.parametrize("how", ["dies", "freezes"])
def test_a_member_that_fails_with_many_calls_in_flight_loses_none(how, monkeypatch):
    """More than the budget has: the load is not doubled, but elsewhere."""
    errors, stats = run(partial(with_one_gone, how=how), seed=12)
    assert errors == []
    assert stats["failed_over"] >= 90
    monkeypatch.setattr(Pool, "_is_its_own", lambda *_: False)
    errors, stats = run(partial(with_one_gone, how=how), seed=12)
    assert errors, "the control: all of them from the budget"
    assert stats["over_budget"] >= 1


def test_when_all_are_slow_calls_are_not_made_three_times():
    errors, stats = run(partial(with_one_gone, how="all freeze"), seed=12)
    assert len(errors) > 1000
    assert stats["over_budget"] > 3 * stats["failed_over"]


# -- what is wrong with how it is used


def test_a_pool_that_is_closed_takes_no_calls_and_keeps_nobody_waiting():
    async def main(net):
        async with contextlib.AsyncExitStack() as stack:
            here, there, _ = await three(net, stack, took_s=(9, 9, 9))
            loop = asyncio.get_running_loop()
            pool = rpc.pool(V1, MEMBERS, idempotent=["FLIP"], host=here)
            async with pool as client:
                alice = pool.sticky("alice")
                running = asyncio.create_task(client.FLIP(1))
                await asyncio.sleep(1)
                for host in there:
                    host.crash()
                await asyncio.sleep(30)
                waiting = asyncio.create_task(client.ADD(1))  # for somebody to come back
                await asyncio.sleep(0.1)
                closed_at = loop.time()
            results = await asyncio.gather(running, waiting, client.ADD(1), alice.ADD(1), return_exceptions=True)
            assert loop.time() - closed_at < 0.1
            assert [type(one) for one in results[1:]] == [rpc.ClientClosed] * 3
            assert not any(one.maybe_executed for one in results[1:])
            assert isinstance(results[0], rpc.RpcError)
            with pytest.raises(rpc.ClientClosed):
                pool.sticky("bob")

    run(main, seed=13)


def test_a_pool_is_entered_once_and_used_within_its_block():
    async def main(net):
        async with contextlib.AsyncExitStack() as stack:
            here, _, _ = await three(net, stack)
            pool = rpc.pool(V1, MEMBERS, host=here)
            with pytest.raises(ConfigError, match="a pool is used by"):
                pool.sticky("alice")
            with pytest.raises(AttributeError, match="no attribute ADD: a pool is used by"):
                await pool.ADD(1)
            with pytest.raises(TypeError, match="a pool is used by"):
                await pool
            async with pool as client:
                assert await client.ADD(1) == 1
            with pytest.raises(ConfigError, match="was entered already"):
                await pool.__aenter__()

    run(main, seed=14)


@pytest.mark.parametrize(
    ("members", "options", "says"),
    [
        ([5], {}, "member 5: use 'host:port'"),
        ([("a", 1, 2)], {}, r"member \('a', 1, 2\): use 'host:port'"),
        ("/run/a", {"proto": "unix"}, "members is one text: give a list"),
        (["/run/a", "/run/a"], {"proto": "unix"}, "/run/a is there twice"),
        ([], {"proto": "unix"}, "a pool without members"),
        (["a"], {"hedge": "often"}, "hedge is 'often': use a share"),
        (["a"], {"check_s": "1"}, "check_s is '1': use seconds"),
    ],
)
def test_members_and_settings_that_make_no_sense(members, options, says):
    async def main(net):
        with pytest.raises(ConfigError, match=says):
            rpc.pool(V1, members, **options)

    run(main, seed=1)


@pytest.mark.parametrize("reverse", [False, True])
def test_of_two_failures_the_one_that_may_have_run_is_told(reverse):
    """Else a hedged call would say that it has not run, and its second server may have executed it."""

    async def fails(error):
        raise error

    async def main():
        errors = [rpc.Unreachable("FLIP"), rpc.ConnectionLost("FLIP")]
        tasks = [asyncio.ensure_future(fails(error)) for error in (errors[::-1] if reverse else errors)]
        assert (await _first_answer(*tasks)).exception() is errors[1]

    asyncio.run(main())


def test_without_an_event_loop_it_says_so():
    with pytest.raises(ConfigError, match="no event loop is running: make clients in a coroutine"):
        rpc.pool(V1, MEMBERS)
