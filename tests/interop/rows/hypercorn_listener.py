"""hypercorn with HTTP/1.1, and HTTP/2 over TLS.  It makes its sockets itself: ours are handed to it in their place."""

import asyncio
import contextlib
from pathlib import Path

import httpx
from hypercorn.asyncio import serve as run_hypercorn
from hypercorn.config import Config, Sockets

from stack.aio.serving import ListenAddress
from tests.interop.rows.uvicorn_starlette import CHUNKS, application
from tests.support.interop import MIB, PORT, TLS_PORT, Site, content, digest, until


class StackConfig(Config):
    """Listens on the stack."""

    def create_sockets(self) -> Sockets:
        """Of each address that was configured."""

        def ours(binds: list[str]) -> list[ListenAddress]:
            return [ListenAddress(address, int(port)) for address, _, port in (bind.partition(":") for bind in binds)]

        return Sockets(ours(self.bind), ours(self.insecure_bind), [])


@contextlib.asynccontextmanager
async def serve(site: Site):
    config = StackConfig() if site.ours else Config()
    config.bind, config.insecure_bind = [f"{site.address}:{TLS_PORT}"], [f"{site.address}:{PORT}"]
    config.certfile, config.keyfile = (str(Path(site.certs) / name) for name in ("cert.pem", "key.pem"))
    config.graceful_timeout, config.loglevel = site.limit(5), "WARNING"
    ended = asyncio.Event()
    task = asyncio.create_task(run_hypercorn(application(), config, shutdown_trigger=ended.wait))

    async def answers() -> bool:
        try:
            _, writer = await asyncio.open_connection(site.address, PORT)
        except ConnectionRefusedError:
            return False
        writer.close()
        await writer.wait_closed()
        return True

    async with asyncio.timeout(site.limit(10)):
        while not await answers():
            await until(lambda: True, task)
            await asyncio.sleep(0.01)
    try:
        yield {"address": site.address}
    finally:
        ended.set()
        await task


async def talk(site: Site, served: dict) -> None:
    plain, secure = f"http://{served['address']}:{PORT}", f"https://{served['address']}:{TLS_PORT}"
    body = content(MIB)
    async with httpx.AsyncClient(
        verify=site.client_tls(), http2=True, timeout=site.limit(10), trust_env=False
    ) as client:
        for base, version in ((plain, "HTTP/1.1"), (secure, "HTTP/2")):
            hello = await client.get(base + "/hello")
            assert hello.http_version == version
            assert hello.json()["client"][0] == site.address
            answer = await client.post(base + "/echo", content=body)
            assert answer.headers["x-arrived"] == digest(body)
            assert digest(answer.content) == digest(body)
            bodies = [content(2_000 * number, str(number)) for number in range(12)]
            answers = await asyncio.gather(*(client.post(base + "/echo", content=each) for each in bodies))
            assert [each.content for each in answers] == bodies
            async with client.stream("GET", base + "/stream") as streamed:
                got = b"".join([piece async for piece in streamed.aiter_raw()])
            assert got == b"".join(content(MIB // CHUNKS, f"piece {number}") for number in range(CHUNKS))
