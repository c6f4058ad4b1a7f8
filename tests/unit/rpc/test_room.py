"""Room for calls, with clients and servers: who waits, who is dropped, who is not read; and servers that are none."""

import asyncio
import contextlib

import pytest

from stack import rpc
from stack.rpc.message import build_call
from stack.rpc.record import mark_of
from stack.sim import run
from tests.support.rpc_counter import V1, Counter
from tests.support.rpc_joined import PORT, joined, simulated

# -- room


@pytest.mark.parametrize("proto", ["tcp", "local"])
def test_calls_beyond_the_cap_wait_with_the_client(proto):
    async def main(net, one, other):
        limits = rpc.ServerLimits(running=8)
        client = {"timeout": 60.0}
        async with joined(one, other, proto, limits=limits, client=client) as (stub, program, server):
            done = await asyncio.gather(*(stub.SLEEP(100) for _ in range(50)))
            assert done == [100] * 50
            assert program.most == 2  # a quarter is a client's
            assert server.stats["times_held"] >= 1
            assert "replies_system_err" not in server.stats
            assert server.stats["held"] == 0

    simulated(main)


def test_one_client_does_not_take_the_room_of_others():
    async def main(net, one, other):
        third = net.add_host("third")
        limits = rpc.ServerLimits(running=8)
        async with joined(one, other, limits=limits, client={"timeout": None}) as (stub, _, _):
            greedy = [asyncio.create_task(stub.SLEEP(10_000)) for _ in range(20)]
            await asyncio.sleep(1)
            async with rpc.connect(V1, "other", port=PORT, host=third) as polite:
                assert await polite.ADD(1, timeout=1) == 1
            for call in greedy:
                call.cancel()

    simulated(main)


def test_over_udp_what_is_too_much_is_dropped_counted_and_comes_again():
    async def main(net, one, other):
        limits = rpc.ServerLimits(running=4)
        async with joined(one, other, "udp", limits=limits, client={"timeout": 60.0}) as (stub, program, server):
            assert await asyncio.gather(*(stub.SLEEP(50) for _ in range(10))) == [50] * 10
            assert program.most == 1
            assert server.stats["dropped_client_busy"] > 0

    simulated(main)


def test_calls_beyond_max_in_flight_wait_their_turn():
    async def main(net, one, other):
        async with joined(one, other, client={"max_in_flight": 5}) as (stub, program, _):
            order = []

            async def call(number):
                order.append(await stub.SLEEP(number))

            await asyncio.gather(*(call(number) for number in range(1, 41)))
            assert program.most == 5
            assert order == sorted(order)

    simulated(main)


def test_a_client_that_does_not_read_its_replies_is_not_read_from():
    async def main(net, one, other):
        async with await rpc.serve([Counter()], host=other, tcp=PORT, register=False) as server:
            with one.active():
                reader, writer = await asyncio.open_connection("other", PORT, limit=1024)
            echo = build_call(7, V1.program, 1, 4, (400_000).to_bytes(4, "big") + bytes(400_000))
            sent = 0

            async def send():
                nonlocal sent
                for _ in range(100):
                    writer.write(mark_of(len(echo)) + echo)
                    await writer.drain()
                    sent += 1

            sending = asyncio.create_task(send())
            await asyncio.sleep(30)
            assert sent < 60
            assert server.stats["held"] == 1
            got = 0
            while got < 100 * (400_000 + 32):
                got += len(await reader.read(1 << 20))
            await sending
            assert server.stats["held"] == 0
            writer.close()

    simulated(main)


def test_connections_held_for_different_reasons_all_go_on():
    """Two that filled their own share, and one that does not read: each goes on as soon as it can."""

    async def main(net):
        hosts = net.add_hosts(*(f"h{number}" for number in range(70)))
        other = net.add_host("other")
        limits = rpc.ServerLimits(running=400, running_per_connection=2)
        program = Counter()
        async with (
            await rpc.serve([program], host=other, tcp=PORT, register=False, limits=limits) as server,
            contextlib.AsyncExitStack() as stack,
        ):
            calls = []
            for host in hosts:
                way = rpc.connect(V1, "other", port=PORT, host=host, timeout=60)
                stub = await stack.enter_async_context(way)
                calls += [stub.SLEEP(1000) for _ in range(6)]
            begun = net.time
            assert await asyncio.gather(*calls) == [1000] * len(calls)
            assert net.time - begun < 3.2  # three times two a second, for each of them
            assert server.stats["times_held"] >= 70
            assert server.stats["held"] == 0

    run(main, seed=1, invariants=False)


def test_a_call_that_the_server_does_not_take_is_given_up_after_some_connections():
    async def main(net, one, other):
        async with joined(one, other, max_record=10_000, client={"idempotent": ["ECHO"]}) as (stub, _, server):
            small = asyncio.create_task(stub.SLEEP(10_000, semantics=rpc.Semantics.AT_LEAST_ONCE))
            with pytest.raises(rpc.ConnectionLost, match="as were 4 before it") as raised:
                await stub.ECHO(bytes(20_000))
            assert raised.value.maybe_executed
            assert server.stats["fault_too_large"] == 5
            assert net.time < 3
            small.cancel()
            assert await stub.ECHO(bytes(5000)) == bytes(5000)

    simulated(main)


# -- servers that are none


@pytest.mark.parametrize("behaviour", ["closes", "answers too much", "is no RPC"])
def test_a_server_that_is_none_does_not_keep_its_client_busy(behaviour):
    async def main(net, one, other):
        connections = 0

        async def serve(reader, writer):
            nonlocal connections
            connections += 1
            await reader.read(100)
            if behaviour == "answers too much":
                writer.write(b"\xff\xff\xff\xff")
            elif behaviour == "is no RPC":
                writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            writer.close()

        with other.active():
            await asyncio.start_server(serve, port=PORT)
        way = rpc.connect(V1, "other", port=PORT, host=one, session=False, timeout=20, idempotent=["FLIP"])
        async with way as stub:
            with pytest.raises(rpc.ConnectionLost) as raised:
                await stub.ADD(1)
            assert raised.value.maybe_executed
            assert connections <= 2
            connections = 0
            with pytest.raises(rpc.RpcError) as raised:
                await stub.FLIP(1)  # may be sent again, and is
            assert raised.value.maybe_executed
            assert isinstance(raised.value, rpc.ConnectionLost)
            assert connections == (5 if behaviour == "closes" else 1)
            assert net.time < 3

    simulated(main)
