"""What may happen to calls when datagrams are lost, connections are cut and servers start anew: on simulated hosts."""

import asyncio
from collections import Counter as Tally

import pytest

from stack import rpc
from stack.device.fault_settings import Faults
from stack.sim import run
from tests.support.rpc_counter import V1, Counter

PORT = 4000
CALLS = 1000
IN_FLIGHT = 32
LOSSY = Faults(delay_us=1000, jitter_us=2000, loss=0.2)


async def count(stub, calls=CALLS, *, procedure="ADD", pause_s=0.0, **options):
    """So many calls, 32 at a time: the errors, by number."""
    numbers = iter(range(calls))
    errors = {}
    results = {}

    async def worker():
        for number in numbers:
            try:
                results[number] = await getattr(stub, procedure)(number, **options)
            except rpc.RpcError as error:
                errors[number] = error
            if pause_s:
                await asyncio.sleep(pause_s)

    await asyncio.gather(*(worker() for _ in range(IN_FLIGHT)))
    return results, errors


def judge(seen, results, errors):
    """What at-most-once promises; the numbers that were executed twice are returned, not judged."""
    times = Tally(seen)
    for number in results:
        assert times[number] >= 1, f"{number} was answered and not executed"
    for number, error in errors.items():
        assert error.maybe_executed or not times[number], f"{number} was executed, but: {error}"
    return {number for number, executed in times.items() if executed > 1}


# -- loss


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("seed", [1, 2])
def test_a_fifth_lost_each_way_and_every_call_is_executed_once(proto, seed):
    async def main(net):
        one = net.add_host("one", faults=LOSSY)
        other = net.add_host("other")
        program = Counter()
        async with (
            await rpc.serve([program], host=other, udp=PORT, tcp=PORT, register=False) as server,
            rpc.connect(V1, "other", proto=proto, port=PORT, host=one, timeout=120) as stub,
        ):
            results, errors = await count(stub)
            assert errors == {}
            assert sorted(results.values()) == list(range(1, CALLS + 1))
            assert sorted(program.seen) == list(range(CALLS))
            if proto == "udp":
                assert server.stats["replayed"] > 100

    run(main, seed=seed, invariants=False)


def test_without_the_cache_calls_are_executed_more_than_once():
    """The control: the same run, and the protection off."""

    async def main(net):
        one = net.add_host("one", faults=LOSSY)
        other = net.add_host("other")
        program = Counter()
        async with (
            await rpc.serve([program], host=other, udp=PORT, register=False, duplicates=False),
            rpc.connect(V1, "other", proto="udp", port=PORT, host=one, timeout=120) as stub,
        ):
            results, errors = await count(stub)
            assert errors == {}
            assert len(results) == CALLS
            assert len(program.seen) > CALLS + 100

    run(main, seed=1, invariants=False)


def test_a_call_that_is_sent_once_only_may_be_lost_and_is_never_executed_twice():
    async def main(net):
        one = net.add_host("one", faults=LOSSY)
        other = net.add_host("other")
        program = Counter()
        async with (
            await rpc.serve([program], host=other, udp=PORT, register=False, duplicates=False),
            rpc.connect(V1, "other", proto="udp", port=PORT, host=one, semantics=rpc.Semantics.MAYBE) as stub,
        ):
            results, errors = await count(stub, timeout=1)
            assert len(errors) > 200
            assert judge(program.seen, results, errors) == set()

    run(main, seed=1, invariants=False)


# -- restarts


def restarted(proto, seed, *, session=True, procedure="ADD", **how):
    """1000 calls, and the server's host is started anew in the middle, twice: what was executed, and what was said."""
    seen = []
    stats = {}

    async def main(net):
        one = net.add_host("one", faults=LOSSY)
        other = net.add_host("other")

        async def serving(_):
            async with await rpc.serve([Counter(seen)], udp=PORT, tcp=PORT, register=False):
                await asyncio.Event().wait()

        other.boot(serving)
        await asyncio.sleep(1)
        way = rpc.connect(V1, "other", proto=proto, port=PORT, host=one, session=session, **how)
        async with way as stub:
            calling = asyncio.create_task(count(stub, procedure=procedure, timeout=60.0, pause_s=0.01))
            for at in (200, 600):
                while len(seen) < at:
                    await asyncio.sleep(0.01)
                other.restart()
            found = await calling
            stats.update(way.stats)
            return found

    results, errors = run(main, seed=seed, invariants=False)
    assert len(results) + len(errors) == CALLS
    return seen, results, errors, stats


@pytest.mark.parametrize("proto", ["udp", "tcp"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_server_that_is_started_anew_in_the_middle(proto, seed):
    seen, results, errors, stats = restarted(proto, seed)
    assert judge(seen, results, errors) == set()
    assert 1 <= len(errors) <= 4 * IN_FLIGHT  # those in flight, and those begun before it was known
    assert any(isinstance(error, rpc.ServerRebooted) for error in errors.values())
    assert stats["reboots"] == 2


def test_a_client_that_does_not_ask_which_run_it_is_has_calls_executed_twice():
    """The control: datagrams are sent again to a server whose cache is empty."""
    twice = set()
    for seed in (1, 2, 3):
        seen, results, errors, _ = restarted("udp", seed, session=False)
        twice |= judge(seen, results, errors)
    assert twice


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_idempotent_calls_outlive_the_restart(proto):
    _, results, errors, _ = restarted(proto, 1, procedure="FLIP", idempotent=["FLIP"])
    assert errors == {}
    assert len(results) == CALLS


# -- the cut connection: after the execution, before the reply


def cut(*, duplicates=True, taken=False, procedure="ADD", end="abort", **how):
    """One call, whose connection is cut: what came of it, and how often it was executed."""

    async def main(net):
        one, other = net.add_hosts("one", "other")
        program = Counter()
        ports = []

        def cut_once(ctx):
            program.cut = None
            ports.append(ctx.source[1])
            if taken:
                one.stack.host.listen(0, ctx.source[1], 1, None, 0)
            getattr(ctx.reply_to, end)()

        program.cut = cut_once
        async with (
            await rpc.serve([program], host=other, tcp=PORT, register=False, duplicates=duplicates),
            rpc.connect(V1, "other", port=PORT, host=one, **how) as stub,
        ):
            try:
                found = await getattr(stub, procedure)(7)
            except rpc.RpcError as error:
                found = error
            assert await stub.COUNT() == len(program.seen)
            return found, program.seen

    return run(main, seed=1)


@pytest.mark.parametrize("end", ["abort", "close"])
def test_after_a_cut_connection_the_counter_has_moved_by_one(end):
    assert cut(end=end) == (1, [7])


@pytest.mark.parametrize("end", ["abort", "close"])
def test_without_the_cache_it_has_moved_by_two(end):
    """The control."""
    assert cut(duplicates=False, end=end) == (2, [7, 7])


def test_if_the_port_cannot_be_had_again_the_error_says_maybe():
    error, seen = cut(taken=True)
    assert isinstance(error, rpc.ConnectionLost)
    assert error.maybe_executed
    assert "same local port" in str(error)
    assert seen == [7]


def test_what_is_idempotent_is_sent_again_from_any_port():
    assert cut(taken=True, procedure="FLIP", idempotent=["FLIP"]) == (2, [7, 7])


def test_a_call_that_may_be_sent_once_only_is_lost_with_its_connection():
    error, seen = cut(semantics=rpc.Semantics.MAYBE)
    assert isinstance(error, rpc.ConnectionLost)
    assert error.maybe_executed
    assert seen == [7]


def test_the_same_over_kernel_sockets():
    async def main(duplicates):
        program = Counter()
        ports = set()

        def cut_once(ctx):
            ports.add(ctx.source[1])
            if len(ports) + len(program.seen) == 2:
                ctx.reply_to.abort()

        program.cut = cut_once
        async with (
            await rpc.serve([program], udp=None, register=False, duplicates=duplicates) as server,
            rpc.connect(V1, "127.0.0.1", port=server.tcp_port) as stub,
        ):
            found = await stub.ADD(7)
            assert len(ports) == 1
            return found, program.seen

    assert asyncio.run(main(duplicates=True)) == (1, [7])
    assert asyncio.run(main(duplicates=False)) == (2, [7, 7])


# -- silence


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_a_server_that_vanishes_is_a_timeout_that_says_maybe(proto):
    async def main(net):
        one, other = net.add_hosts("one", "other")
        async with (
            await rpc.serve([Counter()], host=other, udp=PORT, tcp=PORT, register=False),
            rpc.connect(V1, "other", proto=proto, port=PORT, host=one) as stub,
        ):
            await stub.NULL()
            one.link.down()
            begun = net.time
            with pytest.raises(rpc.RpcTimeout) as raised:
                await stub.ADD(1, timeout=3)
            assert raised.value.maybe_executed
            assert 3 <= net.time - begun < 3.1
            one.link.up()
            assert await stub.ADD(2, timeout=60) in {1, 2}

    run(main, seed=1)


def test_tcp_gives_a_dead_connection_up_by_the_deadline_of_its_calls():
    """Not after the many minutes of its own: so calls after that find a new one."""

    async def main(net):
        one, other = net.add_hosts("one", "other")
        async with (
            await rpc.serve([Counter()], host=other, tcp=PORT, register=False),
            rpc.connect(V1, "other", port=PORT, host=one) as stub,
        ):
            await stub.NULL()
            (conn,) = one.stack.host.connections()
            one.link.down()
            with pytest.raises(rpc.RpcTimeout):
                await stub.ADD(1, timeout=3)
            await asyncio.sleep(2)
            assert conn not in one.stack.host.connections()

    run(main, seed=1)
