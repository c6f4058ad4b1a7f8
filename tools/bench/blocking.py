"""Both halves of the pairs of blocking sockets: one program of threads, over `stack.socket` and over the kernel's.

blocking.py ADDRESS CONGESTION [TAP]; with TAP, an existing device, on a host of ours.
5001/tcp sink, 5002/tcp source of zeros, 5003/tcp echo.
"""

import contextlib
import signal
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from stack import socket as ours
from stack.aio.network import AsyncHost
from stack.device.tap import TapDevice
from tools.bench.server import CONFIG
from tools.bench.sides import ADDRESS, KERNEL, OURS, PREFIX, Setting, Side, start, tap_of, veth_of

CHUNK = 1 << 18


def sink(connection: Any) -> None:
    """Reads and forgets."""
    buffer = bytearray(CHUNK)
    while connection.recv_into(buffer):
        pass


def source(connection: Any) -> None:
    """Writes zeros until the peer has enough."""
    data = bytes(CHUNK)
    while True:
        connection.sendall(data)


def echo(connection: Any) -> None:
    """Sends back what comes."""
    while data := connection.recv(CHUNK):
        connection.sendall(data)


SERVICES: dict[int, Callable[[Any], None]] = {5001: sink, 5002: source, 5003: echo}


def accept(listener: Any, service: Callable[[Any], None]) -> None:
    """A thread for each connection."""

    def converse(connection: Any) -> None:
        with connection, contextlib.suppress(ConnectionError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            service(connection)

    while True:
        threading.Thread(target=converse, args=listener.accept()[:1], daemon=True).start()


def serve(module: Any, address: str, congestion: str) -> None:
    """Until SIGTERM, with the sockets of `module`."""
    for port, service in SERVICES.items():
        listener = module.create_server((address, port))
        if module is socket:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        threading.Thread(target=accept, args=(listener, service), daemon=True).start()
    signal.sigwait({signal.SIGTERM, signal.SIGINT})


@asynccontextmanager
async def on(tap: str, address: str, congestion: str) -> AsyncIterator[AsyncHost]:
    """A host of ours."""
    async with AsyncHost(replace(CONFIG, tcp=replace(CONFIG.tcp, congestion=congestion))) as host:
        host.add_device(TapDevice(tap), f"{address}/{PREFIX}")
        yield host
        await host.aclose(0.1)


def main(address: str, congestion: str, tap: str = "") -> None:
    """See the head of this file."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    if not tap:
        serve(socket, address, congestion)
        return
    with ours.use(lambda: on(tap, address, "cubic")):
        serve(ours, address, congestion)


def sides(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:
    """This program on either side."""
    command = (sys.executable, "-m", "tools.bench.blocking", ADDRESS, setting.congestion)
    namespace = tap_of(stack)
    made = start(OURS, namespace, namespace, folder, (*command, "tap0"))
    client, server = veth_of(stack)
    return [made, start(KERNEL, client, server, folder, command)]


if __name__ == "__main__":
    main(*sys.argv[1:])
