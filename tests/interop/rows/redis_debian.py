"""redis-py's asyncio client and Debian's redis-server."""

import asyncio
import contextlib
import tempfile

import redis.asyncio as redis

from tests.support.interop import MIB, PORT, Site, content, digest, running


@contextlib.asynccontextmanager
async def serve(site: Site):
    with tempfile.TemporaryDirectory() as folder:
        options = ("--bind", site.address, "--port", str(PORT), "--dir", folder, "--save", "", "--appendonly", "no")
        quiet = ("--protected-mode", "no", "--loglevel", "warning", "--daemonize", "no")
        async with running("redis-server", *options, *quiet, address=site.address, port=PORT):
            yield {"address": site.address, "port": PORT}


async def _publish(client: redis.Redis) -> None:
    """What one connection publishes, another that is subscribed hears in order."""
    messages = [content(1000, str(number)) for number in range(50)]
    async with client.pubsub() as channel:
        await channel.subscribe("news")
        heard = []
        async for message in channel.listen():
            if message["type"] == "subscribe":
                for each in messages:
                    assert await client.publish("news", each) == 1
            else:
                heard.append(message["data"])
            if len(heard) == len(messages):
                break
        assert heard == messages


async def talk(site: Site, served: dict) -> None:
    options = {"socket_timeout": site.limit(10), "socket_connect_timeout": site.limit(10), "socket_keepalive": True}
    async with redis.Redis(host=served["address"], port=served["port"], **options) as client:
        assert await client.ping()
        data = content(MIB)
        await client.set("blob", data)
        assert digest(await client.get("blob")) == digest(data)
        assert await asyncio.gather(*(client.incr("counter") for _ in range(100))) is not None
        assert int(await client.get("counter")) == 100
        async with client.pipeline(transaction=True) as pipe:
            for number in range(500):
                pipe.rpush("list", number)
            await pipe.execute()
        assert [int(each) for each in await client.lrange("list", 0, -1)] == list(range(500))
        waiting = asyncio.create_task(client.blpop(["queue"], timeout=site.limit(5)))
        await client.rpush("queue", "work")
        assert await waiting == (b"queue", b"work")
        await _publish(client)
        addresses = {each["addr"].rpartition(":")[0] for each in await client.client_list()}
        assert addresses == {site.address}, "the server sees the stack's address"
