"""The other half of each pair: the same services by uvloop on the kernel's sockets.

kernel_server.py ADDRESS CONGESTION
"""

import asyncio
import resource
import socket
import sys

import uvloop

from tools.bench.services import BACKLOG, DATAGRAMS, SINK, STREAMS, BufferedSink


async def main(address: str, congestion: str) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    for port, stream in (STREAMS | {SINK: BufferedSink}).items():
        listener = socket.create_server((address, port), backlog=BACKLOG)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.create_server(stream, sock=listener, backlog=BACKLOG)
    for port, datagrams in DATAGRAMS.items():
        await loop.create_datagram_endpoint(datagrams, local_addr=(address, port))
    await asyncio.Event().wait()


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(main(*sys.argv[1:3]))
