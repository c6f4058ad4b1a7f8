"""What a place on the daemon's switch costs: a program attached to it against the same program on a TAP of its own.

    python -m tools.bench.attached [MIB]

The kernel is the other end.  Bulk transfers both ways in Gbit/s and round trips in microseconds, the two ways in turn.
"""

import contextlib
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.support.netns import Daemon
from tools.netns import Namespace, stop, wait_until

ROUNDS: Final = 3
TRIPS: Final = 5000
BLOCK: Final = bytes(1 << 20)
ADDRESSES: Final = {"attached": "198.18.0.200", "own TAP": "198.19.0.2"}

SERVER: Final = """
import asyncio, sys
import stack

class Server(asyncio.Protocol):
    # b"w": counts what comes, and tells at its end; b"r<bytes>": sends so many; b"e": sends back
    def connection_made(self, transport):
        self.transport, self.got, self.mode, self.left, self.full = transport, 0, b"", 0, False

    def data_received(self, data):
        if not self.mode:
            self.mode = data[:1]
            if self.mode == b"r":
                self.left = int(data[1:])
                self.pump()
        elif self.mode == b"e":
            self.transport.write(data)
        else:
            self.got += len(data)

    def pump(self):
        while self.left > 0 and not self.full:
            self.transport.write(BLOCK)
            self.left -= len(BLOCK)
        if self.left <= 0:
            self.transport.close()

    def pause_writing(self):
        self.full = True

    def resume_writing(self):
        self.full = False
        self.pump()

    def eof_received(self):
        self.transport.write(str(self.got).encode())

BLOCK = bytes(1 << 20)

async def main(way, address, path):
    if way == "attached":
        place = stack.attach(path, address=address)
    else:
        place = stack.open_tap("tap7", address + "/24", host_address="198.19.0.1")
    async with place as host:
        server = await host.create_server(Server, None, 9000)
        print("ready", flush=True)
        await server.serve_forever()

stack.run(main(*sys.argv[1:]))
"""


@contextlib.contextmanager
def serving(namespace: Namespace, way: str, folder: Path) -> Iterator[str]:
    """The server, one way or the other; its address."""
    address, log = ADDRESSES[way], folder / f"{time.monotonic_ns()}.log"
    path = str(folder / "control.sock.attach")
    process = namespace.start(sys.executable, "-c", SERVER, way, address, path, log=log)
    try:
        wait_until(lambda: "ready" in log.read_text() or process.poll() is not None, f"it serves; {log.read_text()}")
        yield address
    finally:
        stop(process)


def connected(namespace: Namespace, address: str) -> socket.socket:
    """To the server."""
    with namespace.entered():
        sock = socket.create_connection((address, 9000), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def measure(namespace: Namespace, address: str, size: int) -> tuple[float, float, float]:
    """Gbit/s into the program and out of it, and microseconds of a round trip (median)."""
    with connected(namespace, address) as sock:
        begun = time.monotonic()
        sock.sendall(b"w")
        for _ in range(size // len(BLOCK)):
            sock.sendall(BLOCK)
        sock.shutdown(socket.SHUT_WR)
        sock.recv(100)
        into = size * 8 / (time.monotonic() - begun) / 1e9
    with connected(namespace, address) as sock:
        begun = time.monotonic()
        sock.sendall(b"r%d" % size)
        buffer = bytearray(len(BLOCK))
        while sock.recv_into(buffer):
            pass
        out = size * 8 / (time.monotonic() - begun) / 1e9
    with connected(namespace, address) as sock:
        sock.sendall(b"e")
        time.sleep(0.1)
        trips = []
        for _ in range(TRIPS):
            begun = time.monotonic()
            sock.sendall(b"x")
            sock.recv(1)
            trips.append(time.monotonic() - begun)
    return into, out, statistics.median(trips) * 1e6


def main() -> None:
    """Measure and print."""
    size = int(sys.argv[1]) << 20 if len(sys.argv) > 1 else 2 << 30
    pool = '[attach]\npool = "198.18.0.200"\n'
    with tempfile.TemporaryDirectory() as name, Namespace() as namespace:
        folder = Path(name)
        (folder / "settings.toml").write_text(pool)
        with Daemon(namespace, folder, "--config", str(folder / "settings.toml")):
            sys.stdout.write(f"{'':10} {'in':>8} {'out':>8} Gbit/s {'round trip':>12} us\n")
            for way in list(ADDRESSES) * ROUNDS:
                with serving(namespace, way, folder) as address:
                    into, out, trip = measure(namespace, address, size)
                sys.stdout.write(f"{way:10} {into:8.1f} {out:8.1f} {'':6} {trip:12.1f}\n")
                sys.stdout.flush()


if __name__ == "__main__":
    main()
