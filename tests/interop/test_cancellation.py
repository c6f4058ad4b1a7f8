"""Cancelled at any await point, a client leaves no connection, listener or endpoint behind on our hosts.

Each scenario is run again and again, cancelled at its first await point, its second ... until it comes to its end.
After every attempt the tables of both hosts have to become empty (but for what TCP itself keeps: TIME-WAIT).
"""

import asyncio
import contextlib
import socket

import aiohttp
import anyio
import dns.asyncquery
import dns.message
import httpx
import pytest
from grpclib.client import Channel, UnaryUnaryMethod
from websockets.asyncio.client import connect

from stack.aio.loop import new_event_loop
from tests.interop.rows import aiohttp_both, dnspython_queries, grpclib_calls, httpx_versions, websockets_echo
from tests.support.interop import PORT, TLS_PORT, Site
from tests.support.interop_hosts import hosts_at
from tests.support.interrupted import at_every_await_point

SECONDS = 5.0  # until what was cancelled must be gone; it takes milliseconds

pytestmark = [pytest.mark.interop, pytest.mark.timeout(240), pytest.mark.filterwarnings("default")]


# -- scenarios: a server that stays, and a client that is cancelled


@contextlib.asynccontextmanager
async def echo(site: Site):
    async def converse(reader, writer):
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            writer.write(await reader.readexactly(1000))
            await writer.drain()
        writer.close()

    plain = await asyncio.start_server(converse, site.address, PORT)
    secure = await asyncio.start_server(converse, site.address, TLS_PORT, ssl=site.server_tls())
    async with plain, secure:
        yield {"address": site.address}


async def exchange(reader, writer):
    try:
        writer.write(bytes(1000))
        await writer.drain()
        assert len(await reader.readexactly(1000)) == 1000
    finally:
        writer.close()


async def streams(site: Site, served):
    await exchange(*await asyncio.open_connection(served["address"], PORT))


async def streams_by_happy_eyeballs(site: Site, served):
    await exchange(*await asyncio.open_connection(served["address"], PORT, happy_eyeballs_delay=0.01))


async def streams_over_tls(site: Site, served):
    await exchange(*await asyncio.open_connection(served["address"], TLS_PORT, ssl=site.client_tls()))


async def streams_on_a_socket(site: Site, served):
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as closing:
        sock = closing.enter_context(socket.socket())
        sock.setblocking(False)
        await loop.sock_connect(sock, (served["address"], PORT))
        streams = await asyncio.open_connection(sock=sock)
        closing.pop_all()
        await exchange(*streams)


async def anyio_stream(site: Site, served):
    async with await anyio.connect_tcp(served["address"], PORT) as stream:
        await stream.send(bytes(1000))
        assert await stream.receive()


async def datagrams(site: Site, served):
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, remote_addr=(served["address"], 9))
    try:
        transport.sendto(b"to nobody")
        await asyncio.sleep(0)
    finally:
        transport.close()


async def a_server(site: Site, served):
    async with await asyncio.start_server(lambda reader, writer: None, site.address, 7000) as server:
        await server.start_serving()
        await asyncio.sleep(0)


async def http_by_httpx(site: Site, served):
    # Not over TLS: what is cancelled within its handshake httpcore leaves open, on any loop.
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"http://{served['address']}:{PORT}/", content=bytes(1000))
        assert len(answer.content) == 1000


async def http_by_aiohttp(site: Site, served):
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"http://{served['address']}:{PORT}/echo", data=bytes(1000)) as answer,
    ):
        assert len(await answer.read()) == 1000


async def websocket(site: Site, served):
    async with connect(f"ws://{served['address']}:{PORT}/", proxy=None) as connection:
        await connection.send("hello")
        assert await connection.recv() == "HELLO"


async def grpc(site: Site, served):
    async with Channel(served["address"], PORT, codec=grpclib_calls.Bytes()) as channel:
        method = UnaryUnaryMethod(channel, grpclib_calls.SERVICE + "reverse", bytes, bytes)
        assert await method(b"abc") == b"cba"


async def dns_query(site: Site, served):
    query = dns.message.make_query("host7.test.", "A")
    where = {"where": served["address"], "port": dnspython_queries.DNS_PORT, "timeout": 5.0}
    await dns.asyncquery.udp(query, **where)
    await dns.asyncquery.tcp(query, **where)


SCENARIOS = [
    (streams, echo),
    (streams_by_happy_eyeballs, echo),
    (streams_over_tls, echo),
    (streams_on_a_socket, echo),
    (anyio_stream, echo),
    (datagrams, echo),
    (a_server, echo),
    (http_by_httpx, httpx_versions.serve),
    (http_by_aiohttp, aiohttp_both.serve),
    (websocket, websockets_echo.serve),
    (grpc, grpclib_calls.serve),
    (dns_query, dnspython_queries.serve),
]


async def until_empty(hosts, kept, seconds):
    """Until both hosts hold nothing but `kept`, the server's listeners.  Raises AssertionError with what is left."""

    def left():
        handlers = [handler for host in hosts.ours() for handler in host.driver.handlers if handler not in kept]
        return handlers + [conn for host in hosts.ours() for conn in host.host.connections()]

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while left():
                await asyncio.sleep(0.001)
    assert not left(), f"left behind: {left()}"


async def cancel_everywhere(scenario, serve, certificates, seconds=SECONDS) -> int:
    async with hosts_at("ours", "ours") as hosts:
        here, there = (Site(end.address, certificates, ours=True, own=end.own) for end in (hosts.client, hosts.server))
        async with serve(there) as served:
            kept = {handler for host in hosts.ours() for handler in host.driver.handlers}

            async def check(point):
                try:
                    await until_empty(hosts, kept, seconds)
                except AssertionError as error:
                    raise AssertionError(f"cancelled at await point {point}: {error}") from None

            return await at_every_await_point(lambda: scenario(here, served), check)


def run(uvloop, main):
    with asyncio.Runner(loop_factory=lambda: new_event_loop(uvloop=uvloop)) as runner:
        return runner.run(main)


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
@pytest.mark.parametrize(("scenario", "serve"), SCENARIOS, ids=[scenario.__name__ for scenario, _ in SCENARIOS])
def test_nothing_is_left_behind(scenario, serve, loop, certificates):
    points = run(loop == "uvloop", cancel_everywhere(scenario, serve, str(certificates)))
    assert points >= 2, "it has no await point at which it could have been cancelled"


KEPT: list[asyncio.StreamWriter] = []


async def leaks(site: Site, served):
    """The planted leak: the connection is not closed when what follows is cancelled."""
    _, writer = await asyncio.open_connection(served["address"], PORT)
    KEPT.append(writer)
    writer.write(bytes(500))  # the server waits for more
    await writer.drain()
    await asyncio.sleep(0)
    writer.close()


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_planted_leak_is_caught(loop, certificates):
    with pytest.raises(AssertionError, match=r"cancelled at await point \d+: left behind: .*Transport"):
        run(loop == "uvloop", cancel_everywhere(leaks, echo, str(certificates), 0.2))
    KEPT.clear()
