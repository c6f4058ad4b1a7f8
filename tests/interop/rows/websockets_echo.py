"""websockets, plain and over TLS, with compression as it comes."""

import asyncio
import contextlib

from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen

from tests.support.interop import MIB, PORT, TLS_PORT, Site, content


async def answer(connection: ServerConnection) -> None:
    """Texts in capitals, bytes reversed."""
    async for message in connection:
        await connection.send(message.upper() if isinstance(message, str) else message[::-1])


@contextlib.asynccontextmanager
async def serve(site: Site):
    options = {"max_size": None, "open_timeout": site.limit(10), "close_timeout": site.limit(10)}
    async with (
        listen(answer, site.address, PORT, **options),
        listen(answer, site.address, TLS_PORT, ssl=site.server_tls(), **options),
    ):
        yield {"address": site.address}


async def _converse(site: Site, url: str, **options) -> None:
    limits = {"open_timeout": site.limit(10), "close_timeout": site.limit(10)}
    async with connect(url, proxy=None, max_size=None, **limits, **options) as connection:
        assert connection.local_address[0] == site.address
        await connection.send("grüße")
        assert await connection.recv() == "GRÜSSE"
        data = content(MIB, url)
        await connection.send(data)
        assert await connection.recv() == data[::-1]
        await connection.send([data[:1000], data[1000:5000], data[5000:5001]])  # one message in three frames
        assert await connection.recv() == data[5000::-1]
        waiter = await connection.ping()
        assert await asyncio.wait_for(waiter, site.limit(10)) >= 0
    assert connection.close_code == 1000


async def plain(site: Site, served: dict) -> None:
    """Without TLS."""
    await _converse(site, f"ws://{served['address']}:{PORT}/")


async def talk(site: Site, served: dict) -> None:
    address = served["address"]
    await plain(site, served)
    await _converse(site, f"wss://{address}:{TLS_PORT}/", ssl=site.client_tls())
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(_converse(site, f"ws://{address}:{PORT}/{number}", compression=None))
