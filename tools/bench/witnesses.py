"""Programs of others measure us: iperf3 both ways and by UDP, and curl that takes a large file.

witnesses.py ADDRESS LOOP CONGESTION, with LOOP "stack" or "uvloop": examples/iperf3_server.py, and an HTTP server of
asyncio's streams that answers `GET /N` with N zeros.  Both are plain asyncio, and the same on either side.
"""

import asyncio
import json
import runpy
import socket
import sys
from asyncio import StreamReader, StreamWriter
from contextlib import ExitStack
from pathlib import Path

import uvloop

from tools.bench.sides import (
    ADDRESS,
    CLIENT,
    KERNEL,
    LOOPS,
    OURS,
    PREFIX,
    Sample,
    Setting,
    Side,
    prepared,
    start,
    veth_of,
)
from tools.netns import ROOT

CHUNK = bytes(1 << 18)
HTTP, IPERF3 = 8000, 5201
FILE = 2 << 30
DATAGRAM = "1400"


async def zeros(reader: StreamReader, writer: StreamWriter) -> None:
    """One request: as many zeros as its path says."""
    request = await reader.readuntil(b"\r\n\r\n")
    left = int(request.split()[1][1:])
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % left)
    while left > 0:
        writer.write(CHUNK if left >= len(CHUNK) else CHUNK[:left])
        left -= len(CHUNK)
        await writer.drain()
    writer.close()


async def serve(address: str, congestion: str) -> None:
    """Until killed."""
    example = runpy.run_path(str(ROOT / "examples/iperf3_server.py"))
    await example["Server"]().listen(address, IPERF3)
    server = await asyncio.start_server(zeros, address, HTTP)
    for each in server.sockets:
        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
    await asyncio.Event().wait()


def sides(stack: ExitStack, folder: Path, setting: Setting) -> list[Side]:
    """On our stack, and under uvloop on the kernel's."""
    namespace = prepared(stack)
    variables = {"DEV": "tap0", "ADDRESS": f"{ADDRESS}/{PREFIX}", "HOST_ADDRESS": CLIENT}
    environment = [f"TAPSTACK_{name}={value}" for name, value in variables.items()]
    program = (sys.executable, "-m", "tools.bench.witnesses", ADDRESS)
    client, server = veth_of(stack)
    command = ("env", *environment, *program, LOOPS[OURS], setting.congestion)
    ours = start(OURS, namespace, namespace, folder, command, str(HTTP))
    command = (*program, LOOPS[KERNEL], setting.congestion)
    return [ours, start(KERNEL, client, server, folder, command, str(HTTP))]


def iperf3(side: Side, setting: Setting, *options: str) -> Sample:
    """Its own sums, of what was received."""
    seconds = str(max(1, round(setting.seconds)))
    end = json.loads(side.run("iperf3", "-c", ADDRESS, "-J", "-t", seconds, *options))["end"]
    total = end["sum_received"]
    sample = {"bytes": total["bytes"], "seconds": total["seconds"], "gbps": total["bits_per_second"] / 1e9}
    if "sum" in end and "packets" in end["sum"]:
        sample |= {name: end["sum"][name] for name in ("packets", "lost_packets")}
        sample["per_second"] = (sample["packets"] - sample["lost_packets"]) / sample["seconds"]
    return sample


def iperf3_in(side: Side, setting: Setting) -> Sample:
    """TCP, to the stack."""
    return iperf3(side, setting, "-C", setting.congestion)


def iperf3_out(side: Side, setting: Setting) -> Sample:
    """TCP, from the stack."""
    return iperf3(side, setting, "-C", setting.congestion, "-R")


def iperf3_udp_in(side: Side, setting: Setting) -> Sample:
    """Datagrams to the stack, as fast as the client sends."""
    return iperf3(side, setting, "-u", "-b", "0", "-l", DATAGRAM)


def iperf3_udp_out(side: Side, setting: Setting) -> Sample:
    """Datagrams from the stack, as fast as its server sends."""
    return iperf3(side, setting, "-u", "-b", "0", "-l", DATAGRAM, "-R")


def curl(side: Side, setting: Setting) -> Sample:  # noqa: ARG001  (of a size, and not of a length)
    """A file of 2 GiB."""
    what = "%{size_download} %{speed_download}"
    out = side.run("curl", "-sS", "-o", "/dev/null", "-w", what, f"http://{ADDRESS}:{HTTP}/{FILE}")
    size, speed = map(float, out.split())
    if size != FILE:
        return {"error": f"{size:.0f} of {FILE} bytes"}
    return {"bytes": FILE, "gbps": speed * 8 / 1e9}


def main(address: str, loop: str, congestion: str) -> None:
    """Serve by a loop."""
    if loop == LOOPS[KERNEL]:
        factory = uvloop.new_event_loop
    else:
        from stack.aio import factory as ours  # noqa: PLC0415  (the other side does without)

        factory = ours
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(serve(address, congestion))


if __name__ == "__main__":
    main(*sys.argv[1:4])
