"""httpx by HTTP/1.1, by HTTP/1.1 over TLS, and by HTTP/2 chosen with ALPN."""

import asyncio
import contextlib

import httpx

from tests.support.h2_server import H2Protocol
from tests.support.interop import H2_PORT, MIB, PORT, TLS_PORT, Site, content, digest
from tests.support.interop_http import H11Protocol

VERSIONS = (("http", PORT, "HTTP/1.1"), ("https", TLS_PORT, "HTTP/1.1"), ("https", H2_PORT, "HTTP/2"))


@contextlib.asynccontextmanager
async def serve(site: Site):
    loop = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as servers:
        for factory, port, tls in (
            (H11Protocol, PORT, None),
            (H11Protocol, TLS_PORT, site.server_tls("http/1.1")),
            (H2Protocol, H2_PORT, site.server_tls("h2")),
        ):
            server = await loop.create_server(factory, site.address, port, ssl=tls)
            servers.callback(server.close)
        yield {"address": site.address}


async def _use(client: httpx.AsyncClient, base: str, version: str) -> None:
    body = content(MIB)
    answer = await client.post(base + "/echo", content=body)
    assert answer.http_version == version
    assert answer.headers["x-arrived"] == digest(body)
    assert digest(answer.content) == digest(body)

    bodies = [content(3_000 * number, str(number)) for number in range(16)]
    answers = await asyncio.gather(*(client.post(base + "/echo", content=each) for each in bodies))
    assert [each.content for each in answers] == bodies

    async def pieces():
        for start in range(0, len(body), 30_000):
            yield body[start : start + 30_000]

    async with client.stream("POST", base + "/echo", content=pieces()) as streamed:
        got = b"".join([piece async for piece in streamed.aiter_bytes()])
    assert digest(got) == digest(body)


async def talk(site: Site, served: dict) -> None:
    async with httpx.AsyncClient(
        verify=site.client_tls(), http2=True, timeout=site.limit(10), trust_env=False
    ) as client:
        for scheme, port, version in VERSIONS:
            await _use(client, f"{scheme}://{served['address']}:{port}", version)
    stranger = httpx.AsyncClient(timeout=site.limit(10), trust_env=False)  # does not know our authority
    async with stranger:
        try:
            await stranger.get(f"https://{served['address']}:{TLS_PORT}/")
        except httpx.ConnectError as error:
            assert "CERTIFICATE_VERIFY_FAILED" in str(error)  # noqa: PT017  (this file is not collected by pytest)
        else:
            raise AssertionError("a certificate of an unknown authority was accepted")
