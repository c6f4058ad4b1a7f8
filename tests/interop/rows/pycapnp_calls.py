"""pycapnp: Cap'n Proto calls, callbacks and concurrent calls over asyncio's transports."""

import asyncio
import contextlib
import tempfile
from pathlib import Path

import capnp

from tests.support.interop import MIB, PORT, Site, content, digest

SCHEMA = """
@0xd2a7c0f3b5e94618;

interface Sink {
    piece @0 (data :Data);
}

interface Echo {
    reverse @0 (data :Data) -> (data :Data);
    cut @1 (data :Data, pieces :UInt32, sink :Sink);
    fail @2 ();
}
"""


def schema():
    """The interfaces, compiled from the text above."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "echo.capnp"
        path.write_text(SCHEMA)
        capnp.remove_import_hook()
        return capnp.load(str(path))


ECHO = schema()
_WITH_KJ: set[asyncio.AbstractEventLoop] = set()


@contextlib.asynccontextmanager
async def kj_loop():
    """The KJ loop of this asyncio loop, of which there can be one: two ends in one process share it."""
    loop = asyncio.get_running_loop()
    if loop in _WITH_KJ:
        yield
        return
    _WITH_KJ.add(loop)
    try:
        async with capnp.kj_loop():
            yield
    finally:
        _WITH_KJ.discard(loop)


class Service(ECHO.Echo.Server):  # type: ignore[name-defined]  # made when the schema is loaded
    """The server's object."""

    async def reverse(self, data, **kwargs):
        return bytes(data)[::-1]

    async def cut(self, data, pieces, sink, **kwargs):
        data = bytes(data)
        size = -(-len(data) // pieces)
        for start in range(0, len(data), size):
            await sink.piece(data[start : start + size])

    async def fail(self, **kwargs):
        raise RuntimeError("as asked")


class Gatherer(ECHO.Sink.Server):  # type: ignore[name-defined]
    """The client's object, which the server calls."""

    def __init__(self):
        self.pieces = []

    async def piece(self, data, **kwargs):
        self.pieces.append(bytes(data))


@contextlib.asynccontextmanager
async def serve(site: Site):
    connected = set()

    async def converse(stream) -> None:
        task = asyncio.current_task()
        assert task is not None
        connected.add(task)
        try:
            await capnp.TwoPartyServer(stream, bootstrap=Service()).on_disconnect()
        finally:
            connected.discard(task)

    async with kj_loop():
        server = await capnp.AsyncIoStream.create_server(converse, site.address, PORT)
        try:
            yield {"address": site.address}
        finally:
            server.close()
            if connected:
                await asyncio.wait(connected, timeout=site.limit(5))


async def talk(site: Site, served: dict) -> None:
    async with kj_loop():
        stream = await capnp.AsyncIoStream.create_connection(host=served["address"], port=PORT)
        client = capnp.TwoPartyClient(stream)
        echo = client.bootstrap().cast_as(ECHO.Echo)
        data = content(MIB)
        assert digest((await echo.reverse(data)).data) == digest(data[::-1])
        small = [content(1000, str(number)) for number in range(50)]
        answers = await asyncio.gather(*(echo.reverse(each) for each in small))
        assert [bytes(each.data) for each in answers] == [each[::-1] for each in small]
        sink = Gatherer()
        await echo.cut(data, 40, sink)
        assert len(sink.pieces) == 40
        assert b"".join(sink.pieces) == data
        try:
            await echo.fail()
        except capnp.KjException as error:
            assert "as asked" in str(error)  # noqa: PT017  (this file is not collected by pytest)
        else:
            raise AssertionError("the error of the server did not arrive")
        client.close()
        stream.close()
