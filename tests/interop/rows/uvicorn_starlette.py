"""uvicorn serves a Starlette application; httpx is the client."""

import asyncio
import contextlib

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.interop import MIB, PORT, Site, content, digest, until

CHUNKS = 64


async def hello(request: Request) -> Response:
    """Who asks."""
    return JSONResponse({"client": list(request.client), "server": list(request.scope["server"])})


async def echo(request: Request) -> Response:
    """The body again, with what arrived here in a header."""
    body = await request.body()
    return Response(body, headers={"x-arrived": digest(body)})


async def stream(request: Request) -> Response:
    """Pieces, one by one."""

    async def pieces():
        for number in range(CHUNKS):
            yield content(MIB // CHUNKS, f"piece {number}")
            await asyncio.sleep(0)

    return StreamingResponse(pieces())


async def fails(request: Request) -> Response:
    """An error of the application's."""
    return PlainTextResponse("no", status_code=418)


def application() -> Starlette:
    """With a lifespan, as frameworks have it."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette):
        app.state.started = True
        yield

    routes = [
        Route("/hello", hello),
        Route("/echo", echo, methods=["POST"]),
        Route("/stream", stream),
        Route("/fails", fails),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


@contextlib.asynccontextmanager
async def serve(site: Site):
    config = uvicorn.Config(
        application(),
        host=site.address,
        port=PORT,
        log_level="warning",
        timeout_keep_alive=int(site.limit(5)),
        timeout_graceful_shutdown=int(site.limit(5)),
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started, task)
    try:
        yield {"address": site.address, "port": PORT}
    finally:
        server.should_exit = True
        await task


async def talk(site: Site, served: dict) -> None:
    url = f"http://{served['address']}:{served['port']}"
    async with httpx.AsyncClient(base_url=url, timeout=site.limit(10), trust_env=False) as client:
        seen = [(await client.get("/hello")).json() for _ in range(3)]
        assert seen[0]["server"] == [served["address"], served["port"]]
        assert seen[0]["client"][0] == site.address
        if not site.ours:
            # httpcore takes an idle connection whose socket has no descriptor for one that the peer has closed
            assert len({each["client"][1] for each in seen}) == 1, "one connection is kept alive"

        body = content(MIB)
        answer = await client.post("/echo", content=body)
        assert answer.headers["x-arrived"] == digest(body)
        assert digest(answer.content) == digest(body)

        bodies = [content(10_000 + number, str(number)) for number in range(20)]
        answers = await asyncio.gather(*(client.post("/echo", content=each) for each in bodies))
        assert [each.content for each in answers] == bodies

        async with client.stream("GET", "/stream") as streamed:
            got = b"".join([piece async for piece in streamed.aiter_raw()])
        assert got == b"".join(content(MIB // CHUNKS, f"piece {number}") for number in range(CHUNKS))
        assert (await client.get("/fails")).status_code == 418
