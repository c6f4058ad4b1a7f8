"""aiohttp's server and client: bodies, chunks, files by sendfile, WebSocket, TLS."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.support.interop import MIB, PORT, TLS_PORT, Site, content, digest

FILE = content(MIB + 1, "file")


async def echo(request: web.Request) -> web.Response:
    body = await request.read()
    return web.Response(body=body, headers={"x-arrived": digest(body)})


async def socket(request: web.Request) -> web.WebSocketResponse:
    answer = web.WebSocketResponse(max_msg_size=0)
    await answer.prepare(request)
    async for message in answer:
        if message.type is aiohttp.WSMsgType.BINARY:
            await answer.send_bytes(message.data[::-1])
        else:
            await answer.send_str(message.data.upper())
    return answer


async def peer(request: web.Request) -> web.Response:
    assert request.transport is not None
    return web.json_response(request.transport.get_extra_info("peername"))


async def pieces(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    async for chunk in request.content.iter_chunked(20_000):
        await answer.write(chunk)
    await answer.write_eof()
    return answer


@contextlib.asynccontextmanager
async def serve(site: Site):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(FILE)

        async def file(request: web.Request) -> web.FileResponse:
            return web.FileResponse(path)

        app = web.Application(client_max_size=0)
        app.router.add_post("/echo", echo)
        app.router.add_post("/pieces", pieces)
        app.router.add_get("/file", file)
        app.router.add_get("/peer", peer)
        app.router.add_get("/socket", socket)
        runner = web.AppRunner(app, shutdown_timeout=site.limit(5))
        await runner.setup()
        try:
            await web.TCPSite(runner, site.address, PORT).start()
            await web.TCPSite(runner, site.address, TLS_PORT, ssl_context=site.server_tls()).start()
            yield {"address": site.address}
        finally:
            await runner.cleanup()


async def _bodies(session: aiohttp.ClientSession, base: str) -> None:
    body = content(MIB)

    async def chunks():
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    async with session.post(base + "/echo", data=body) as answer:
        assert answer.headers["x-arrived"] == digest(body)
        assert digest(await answer.read()) == digest(body)
    async with session.post(base + "/pieces", data=chunks()) as answer:
        assert digest(await answer.read()) == digest(body)
    async with session.get(base + "/file") as answer:
        assert digest(await answer.read()) == digest(FILE)
    async with session.get(base + "/file", headers={"range": "bytes=1000-1999"}) as answer:
        assert answer.status == 206
        assert await answer.read() == FILE[1000:2000]


async def _many(session: aiohttp.ClientSession, base: str) -> None:
    async def one(number: int) -> None:
        body = content(5_000 * number, str(number))
        async with session.post(base + "/echo", data=body) as answer:
            assert await answer.read() == body

    await asyncio.gather(*(one(number) for number in range(20)))


async def talk(site: Site, served: dict) -> None:
    plain, secure = f"http://{served['address']}:{PORT}", f"https://{served['address']}:{TLS_PORT}"
    limit = aiohttp.ClientTimeout(total=site.limit(15))
    connector = aiohttp.TCPConnector(ssl=site.client_tls())
    async with aiohttp.ClientSession(timeout=limit, connector=connector) as session:
        seen = []
        for _ in range(3):
            async with session.get(plain + "/peer") as answer:
                seen.append(tuple(await answer.json()))
        assert seen[0][0] == site.address
        assert len(set(seen)) == 1, "one connection is kept alive"
        for base in (plain, secure):
            await _bodies(session, base)
            await _many(session, base)
        async with session.ws_connect(plain + "/socket", max_msg_size=0) as channel:
            await channel.send_str("hello")
            assert (await channel.receive()).data == "HELLO"
            data = content(MIB, "socket")
            await channel.send_bytes(data)
            assert (await channel.receive()).data == data[::-1]
