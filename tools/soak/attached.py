"""A load of the soak run: programs that attach to the daemon, serve, talk to each other and end in every way.

One program is an unmodified echo server under `tapstack run`; another one, with `stack.attach`, sends to it, to the
daemon and to the kernel.  The server is ended cleanly, by SIGKILL, or by SIGKILL amid a transfer.  Between them
come hellos that are none.  Afterwards nobody is attached.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from stack.cli import client
from stack.errors import StackError
from tools.netns import stop, wait_until
from tools.soak import blocking
from tools.soak.load import DEVICE, ECHO, PATIENCE_S, STACK, Place, Wrong

PORT = 7007
CONTROL = "control"
GARBAGE = 3000  # bytes, at most: more than a hello may have

SERVER = f"""
import asyncio

async def echo(reader, writer):
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.close()

async def main():
    server = await asyncio.start_server(echo, "0.0.0.0", {PORT})
    await server.serve_forever()

asyncio.run(main())
"""

CLIENT = """
import asyncio, random, stack, sys

async def echo(host, place, size, seed):
    address, port = place.split(":")
    data = random.Random(seed).randbytes(size)
    reader, writer = await host.open_connection(address, int(port))

    async def send():
        writer.write(data)
        await writer.drain()
        writer.write_eof()

    sending = asyncio.create_task(send())
    back = bytearray()
    while piece := await reader.read(1 << 16):
        back += piece
    await sending
    writer.close()
    if back != data:
        raise SystemExit(f"{address}:{port} sent back {len(back)} bytes of {size}, or others")

async def main(path, size, *places):
    async with stack.attach(path) as host:
        await asyncio.gather(
            *(echo(host, place, int(size), n) for n, place in enumerate(places)),
            host.ping(places[0].split(":")[0], timeout=20),
        )

stack.run(main(*sys.argv[1:]))
"""


def attached(place: Place, until: float) -> int:
    """See the head of this file; how many programs were attached."""
    path = place.folder / f"{CONTROL}.attach"
    count = 0
    while time.monotonic() < until:
        _garbage(place, path)
        with _served(place) as (process, address):
            size = place.size() // 4
            targets = [f"{address}:{PORT}", f"{STACK}:{ECHO}"]
            place.namespace.run(sys.executable, "-c", CLIENT, str(path), str(size), *targets, timeout=2 * PATIENCE_S)
            _by_the_kernel(place, address, size)
            _end(place, process, address)
        count += 2
        wait_until(lambda: not _ports(place), "an ended program leaves no port", PATIENCE_S)
    return count


def _ports(place: Place) -> list[dict[str, object]]:
    try:
        ports: list[dict[str, object]] = client.status(DEVICE, str(place.folder / CONTROL))["attach"]["ports"]
    except StackError as error:
        raise Wrong(f"status: {error}") from error
    return [port for port in ports if port["name"] != blocking.NAME]  # those are another load's


@contextlib.contextmanager
def _served(place: Place) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The server, and its address."""
    command = (sys.executable, "-m", "stack.cli", "run", "-q", "--control", str(place.folder / CONTROL), "--")
    process = place.namespace.start(*command, sys.executable, "-c", SERVER)
    try:
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: bool(_ports(place)) or process.poll() is not None, "it is attached", PATIENCE_S)
        ports = _ports(place)
        if not ports:
            raise Wrong("tapstack run: the program was not attached")
        yield process, str(ports[0]["address"])
    finally:
        stop(process, signal.SIGKILL)


def _connected(place: Place, address: str) -> socket.socket:
    """The kernel's end of a connection; the program may have just begun."""
    end = time.monotonic() + PATIENCE_S
    while True:
        with place.namespace.entered():
            sock = socket.socket()
        sock.settimeout(PATIENCE_S)
        try:
            sock.connect((address, PORT))
        except ConnectionRefusedError:
            sock.close()
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
        else:
            return sock


def _by_the_kernel(place: Place, address: str, size: int) -> None:
    data = place.rng.randbytes(min(size, 1 << 16))
    with _connected(place, address) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        back = b"".join(iter(lambda: sock.recv(1 << 16), b""))
    if back != data:
        raise Wrong(f"{address} sent back {len(back)} bytes of {len(data)}, or others")


def _end(place: Place, process: subprocess.Popen[str], address: str) -> None:
    way = place.rng.randrange(3)
    if way == 0:
        stop(process)
        return
    with contextlib.ExitStack() as open_ones:
        if way == 1:  # amid a transfer, whose other end is left to itself
            sock = open_ones.enter_context(_connected(place, address))
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    sock.send(bytes(1 << 16))
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait()


def _garbage(place: Place, path: Path) -> None:
    """Hellos that are none, of which most are told so."""
    for _ in range(5):
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
            sock.settimeout(PATIENCE_S)
            sock.connect(os.fspath(path))
            sock.send(place.rng.randbytes(place.rng.randrange(1, GARBAGE)))
            if place.rng.randrange(2) and b'"ok": false' not in sock.recv(GARBAGE):
                raise Wrong("the attach socket answered garbage with something else than a refusal")
