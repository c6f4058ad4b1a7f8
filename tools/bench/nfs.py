"""The NFS rows of `make bench`: a file read from our NFS server on our stack, beside bare TCP downloads of one process.

One download is of the same file, the other of 256 KiB of memory again and again.  The client is the kernel's: it keeps
READs in flight and counts the octets of replies, and looks into none.  Neither core halts meanwhile (`awake`).
"""

import argparse
import asyncio
import json
import os
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import uvloop

from stack import nfs, rpc
from stack.aio.network import AsyncHost
from stack.device.tap import TapDevice
from stack.nfs.mount3 import MOUNT_V3
from stack.nfs.nfs3 import NFS_V3, LOOKUP3args, READ3args, diropargs3, nfs_fh3
from stack.nfs.reading import READ_MAX
from stack.rpc.message import NO_AUTH
from tools.bench.dns_rate import CONFIG
from tools.bench.sides import ADDRESS, OURS, PREFIX, Sample, Setting, Side, awake, start, tap_of

SIZE: Final = 64 << 20  # octets of the file
TOTAL: Final = 256 << 20  # octets of one measurement
IN_FLIGHT: Final = 8
MEMORY, FILE = "memory", "file"  # what the bare downloads are of
PORT, BARE_PORT = 2049, 5010
CHUNK: Final = 1 << 18  # octets written at a time by the bare server
ME: Final = (sys.executable, "-m", "tools.bench.nfs")


async def serve(folder: str) -> None:
    """Both servers, on a host of ours."""
    data = bytes(CHUNK)
    path = Path(folder) / "data" / "file"

    async def send(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        of_file = await reader.readexactly(1) == FILE[:1].encode()
        fd = os.open(path, os.O_RDONLY)
        for at in range(0, TOTAL, CHUNK):
            writer.write(os.pread(fd, CHUNK, at % SIZE) if of_file else data)
            await writer.drain()
        os.close(fd)
        writer.close()

    async with AsyncHost(CONFIG) as host:
        host.add_device(TapDevice("tap0"), f"{ADDRESS}/{PREFIX}")
        path.parent.mkdir()
        path.write_bytes(bytes(SIZE))
        await host.start_server(send, ADDRESS, BARE_PORT)
        async with await nfs.serve(f"{folder}/data", host=host, address=ADDRESS, port=PORT, key=f"{folder}/key"):
            await asyncio.Event().wait()


def receive(sock: socket.socket, octets: int) -> None:
    """So many, wherever they begin and end."""
    room = bytearray(1 << 20)
    while octets > 0:
        octets -= sock.recv_into(room, min(octets, len(room))) or sys.exit("the server has closed")


def bare(what: str) -> float:
    """Octets a second, of MEMORY or FILE."""
    with socket.create_connection((ADDRESS, BARE_PORT)) as sock:
        began = time.perf_counter()
        sock.sendall(what[:1].encode())
        receive(sock, TOTAL)
        return TOTAL / (time.perf_counter() - began)


async def handle() -> bytes:
    """Of the file."""
    async with rpc.connect(MOUNT_V3, ADDRESS, port=PORT) as mounter:
        root = (await mounter.MOUNTPROC3_MNT("/data")).mountinfo.fhandle
    async with rpc.connect(NFS_V3, ADDRESS, port=PORT) as client:
        found = await client.NFSPROC3_LOOKUP(LOOKUP3args(diropargs3(nfs_fh3(root), "file")))
        return found.resok.object.data


def reads(file: bytes, block: int = READ_MAX) -> float:
    """Octets of the file a second."""
    procedure = NFS_V3.procedures[6]

    def call(xid: int) -> bytes:
        args = procedure.encode_args([READ3args(nfs_fh3(file), xid * block % SIZE, block)])
        message = struct.pack("!6I", xid, 0, 2, NFS_V3.program, NFS_V3.version, 6) + NO_AUTH * 2 + args
        return (0x8000_0000 | len(message)).to_bytes(4, "big") + message

    with socket.create_connection((ADDRESS, PORT)) as sock:
        calls = [call(xid) for xid in range(TOTAL // block)]
        sock.sendall(calls[0])
        size = 4 + (int.from_bytes(sock.recv(4, socket.MSG_WAITALL), "big") & 0x7FFF_FFFF)
        receive(sock, size - 4)
        assert block < size < block + 200
        began = time.perf_counter()
        sock.sendall(b"".join(calls[1:IN_FLIGHT]))
        for number in range(1, len(calls)):
            receive(sock, size)
            if number + IN_FLIGHT - 1 < len(calls):
                sock.sendall(calls[number + IN_FLIGHT - 1])
        return (TOTAL - block) / (time.perf_counter() - began)


# -- rows


def sides(what: str) -> Callable[[ExitStack, Path, Setting], list[Side]]:
    """Both are clients of one process."""

    def begin(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:  # noqa: ARG001  (as all of them)
        stack.enter_context(awake())
        served = stack.enter_context(TemporaryDirectory())
        namespace = tap_of(stack)
        server = start("nfs", namespace, namespace, folder, (*ME, "serve", served), str(PORT))
        return [Side(name, namespace, server.server, server.log) for name in (OURS, what)]

    return begin


def measure(side: Side, setting: Setting) -> Sample:  # noqa: ARG001  (as all of them)
    """MB/s."""
    sample: Sample = json.loads(side.run(*ME, "load", side.name))
    return sample


def main() -> None:
    """What the rows run: serve FOLDER, or load WHAT."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("role", choices=["serve", "load"])
    parser.add_argument("what")
    options = parser.parse_args()
    if options.role == "serve":
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(options.what))
    else:
        rate = reads(asyncio.run(handle())) if options.what == OURS else bare(options.what)
        print(json.dumps({"mb_per_second": rate / 1e6}))


if __name__ == "__main__":
    main()
