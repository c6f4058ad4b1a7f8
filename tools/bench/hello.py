"""Hello world under uvicorn: a plain ASGI application, so that what is measured is not a framework.

hello.py ADDRESS PORT LOOP [CONGESTION]; with CONGESTION the socket is the kernel's and has that congestion control.
"""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn

from tools.bench.services import BACKLOG

Message = dict[str, Any]

HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"13")]


async def app(
    scope: Message,  # noqa: ARG001  (it says the same to everybody)
    receive: Callable[[], Awaitable[Message]],  # noqa: ARG001  (the interface of ASGI)
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Hello to every request."""
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": b"Hello, world\n"})


def main(address: str, port: int, loop: str, congestion: str | None = None) -> None:
    """Serve until SIGTERM."""
    config = uvicorn.Config(
        app,
        address,
        port,
        loop=loop,
        http="httptools",
        lifespan="off",
        backlog=BACKLOG,
        access_log=False,
        log_level="warning",
    )
    sockets = None
    if congestion is not None:
        listener = socket.create_server((address, port), backlog=BACKLOG)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sockets = [listener]
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(uvicorn.Server(config).serve(sockets))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
