"""What a server is given is looked at before it takes a port; how a server ends."""

import asyncio

import pytest

from stack import rpc
from stack.errors import AddressNotAvailable, ConfigError
from tests.support.rpc_counter import V1, V2, Counter
from tests.support.rpc_joined import PORT, joined, simulated


class Plain(V1.Server):
    def ADD(self, ctx, number):
        return number


class Short(V1.Server):
    async def ADD(self, ctx):
        return 1


class Long(V1.Server):
    async def ADD(self, ctx, number, more):
        return 1


class Loose(V1.Server):
    async def ADD(self, *of):
        return len(of)


@pytest.mark.parametrize(
    ("programs", "options", "says"),
    [
        ([], {}, "no program to be served"),
        (Counter(), {}, r"is no list of programs: give one, like \[Calc"),
        (5, {}, "5 is no list of programs"),
        ([5], {}, "5 serves no program"),
        ([Plain()], {}, r"Plain\.ADD is no coroutine: write it with async def"),
        ([Short()], {}, r"Short\.ADD must take self, ctx and 1 argument$"),
        ([Long()], {}, r"Long\.ADD must take self, ctx and 1 argument$"),
        ([Counter()], {"auth": "x"}, "auth is 'x': use rpc.allow"),
        ([Counter()], {"auth": {}}, "auth says nothing of COUNTER_V1: add COUNTER_V1: rpc.allow"),
        ([Counter()], {"auth": {V2: rpc.allow()}}, "auth says nothing of COUNTER_V1"),
        ([Counter()], {"auth": {V1: None}}, "auth says nothing of COUNTER_V1"),
        ([Counter()], {"max_record": 0}, "max_record is 0"),
        ([Counter()], {"tcp": 70_000}, "tcp is 70000: use a port from 1 to 65535"),
        ([Counter()], {"udp": -1}, "udp is -1: use a port"),
        ([Counter()], {"limits": 5}, r"limits is 5: use rpc\.ServerLimits"),
        ([Counter()], {"duplicates": "x"}, "duplicates is 'x': use True, False"),
        ([Counter()], {"xdr": 5}, r"xdr is 5: use rpc\.Limits"),
    ],
)
def test_what_serve_is_given_is_looked_at(programs, options, says):
    async def main():
        with pytest.raises(ConfigError, match=says):
            await rpc.serve(programs, **options)

    asyncio.run(main())


def test_methods_may_take_more_than_they_are_given():
    async def main(net, one, other):
        async with joined(one, other, program=Loose()) as (stub, _, __):
            assert await stub.ADD(1) == 2

    simulated(main)


@pytest.mark.parametrize("proto", ["udp", "tcp"])
def test_a_call_that_a_closing_server_cancels_goes_to_the_next_or_is_in_doubt(proto):
    """It has no reply that says that it failed: another run would answer, and the client knows that it is one."""

    async def main(net, one, other):
        first = await rpc.serve([Counter()], host=other, udp=PORT, tcp=PORT)
        async with rpc.connect(V1, "other", proto=proto, port=PORT, host=one) as stub:
            idempotent = asyncio.ensure_future(stub.SLEEP(400, semantics="at-least-once"))
            once = asyncio.ensure_future(stub.LINGER(400))
            await asyncio.sleep(0.1)
            assert first.stats["running"] == 2
            await first.aclose()
            async with await rpc.serve([Counter()], host=other, udp=PORT, tcp=PORT):
                assert await idempotent == 400
                with pytest.raises(rpc.ServerRebooted):
                    await once

    simulated(main)


def test_a_server_may_let_its_calls_end():
    async def main(net, one, other):
        async with joined(one, other) as (stub, program, server):
            short, long = asyncio.ensure_future(stub.LINGER(200)), asyncio.ensure_future(stub.LINGER(5000))
            await asyncio.sleep(0.05)
            loop = asyncio.get_running_loop()
            began_at = loop.time()
            closing = asyncio.ensure_future(server.aclose(drain_s=1))
            assert await short == 200
            late = asyncio.ensure_future(stub.ADD(1, timeout=0.3))
            await closing
            assert 0.99 <= loop.time() - began_at <= 1.1
            assert program.seen == []
            with pytest.raises(rpc.RpcError):
                await late
            with pytest.raises(rpc.ConnectionLost):
                await long

    simulated(main)


@pytest.mark.parametrize(
    ("address", "error", "says"),
    [
        (
            "no.such.name.invalid",
            AddressNotAvailable,
            r"cannot listen at no\.such\.name\.invalid: .*; give an address",
        ),
        ("192.0.2.1", AddressNotAvailable, r"cannot listen at 192\.0\.2\.1: it is not this host's; give an address"),
        (5, ConfigError, "address is 5: use text"),
    ],
)
def test_an_address_that_is_none_is_one_sentence(address, error, says):
    async def main():
        with pytest.raises(error, match=says):
            await rpc.serve([Counter()], address=address)

    asyncio.run(main())
