"""What `make bench` measures of the loop: both sides do the same, over the kernel's own transports."""

import asyncio
import json
from asyncio import StreamReader, StreamWriter

import pytest
import uvloop

from stack.aio.loop import UvLoop
from tools.bench import connect_close, hello


@pytest.mark.parametrize("loop", [UvLoop, uvloop.Loop])
def test_connections_of_the_kernel_are_made_and_closed(loop, capsys, monkeypatch):
    monkeypatch.setattr(connect_close, "WARM_UP", 3)
    monkeypatch.setattr(connect_close, "BATCH", 2)
    accepted = []

    async def main():
        async def serve(reader: StreamReader, writer: StreamWriter):
            accepted.append(type(writer.transport))
            assert not await reader.read()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        await connect_close.main("127.0.0.1", server.sockets[0].getsockname()[1], 0.001)
        server.close()
        await server.wait_closed()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(main())
    assert json.loads(capsys.readouterr().out)["us_each"] > 0
    assert len(accepted) >= 5
    assert {kind.__module__ for kind in accepted} == {"uvloop.loop"}


def test_hello_is_an_asgi_application():
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(hello.app({"type": "http"}, send, send))
    assert dict(sent[0]["headers"])[b"content-length"] == str(len(sent[1]["body"])).encode()
