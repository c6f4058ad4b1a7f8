"""Rings: bounded, without gaps, of the newest connections."""

import asyncio

from stack.observe import history
from stack.observe.history import MAX_CONNECTIONS, OF_CONNECTION, SECONDS, History, key_of
from tests.support.aio_nets import SERVER_IP, StackNet


def totals(time):
    return (float(time), *(0,) * 9)


def run(scenario):
    async def whole():
        async with StackNet() as net, await net.server.start_server(hold, port=7, backlog=500):
            return await scenario(net, History())

    return asyncio.run(asyncio.wait_for(whole(), 60))


async def hold(reader, writer):
    await reader.read()
    writer.close()


async def connect(net, count):
    made = [await net.client.create_connection(asyncio.Protocol, SERVER_IP, 7) for _ in range(count)]
    await asyncio.sleep(0.02)
    return [transport for transport, _ in made]


def test_the_past_is_bounded():
    async def scenario(net, kept):
        for second in range(SECONDS + 50):
            kept.add(net.server.host, totals(second))
        return len(kept.totals), kept.totals[0][0]

    assert run(scenario) == (SECONDS, 50.0)


def test_only_the_newest_connections_are_kept():
    async def scenario(net, kept):
        await connect(net, MAX_CONNECTIONS + 20)
        keys = [key_of(one) for one in net.server.host.connections()]
        for second in range(3):
            kept.add(net.server.host, totals(second))
        return len(kept), [len(kept.of_connection(key)) for key in (keys[0], keys[-1])]

    assert run(scenario) == (MAX_CONNECTIONS, [0, 3])


def test_a_connection_is_forgotten_when_it_is_gone():
    async def scenario(net, kept):
        (transport,) = await connect(net, 1)
        (connection,) = net.server.host.connections()
        key = key_of(connection)
        kept.add(net.server.host, totals(1))
        before = kept.of_connection(key)
        transport.abort()
        while net.server.host.connections():
            await asyncio.sleep(0.01)
        kept.add(net.server.host, totals(2))
        return before, kept.of_connection(key), len(kept)

    (point,), after, count = run(scenario)
    assert len(point) == len(OF_CONNECTION)
    assert dict(zip(OF_CONNECTION, point, strict=True))["cwnd"] > 0
    assert (after, count) == ([], 0)


def test_newest_gives_the_newest_first():
    async def scenario(net, _kept):
        await connect(net, 5)
        every = net.server.host.connections()
        return every, list(history.newest(net.server.host, 3))

    every, newest = run(scenario)
    assert newest == every[:-4:-1]
