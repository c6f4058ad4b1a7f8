"""NULL calls per second of one client, so many at a time; prints JSON.

rpc_rate.py CLIENT udp|tcp SERVER PORT SECONDS AT_A_TIME [--tap DEVICE ADDRESS/PREFIX]

    tapstack   our client, with everything that it does by default
    bare       what one would write by hand: a table of futures by xid, and no timer
    grpcio     grpcio's asyncio client, unary calls (tcp only)
"""

import argparse
import asyncio
import itertools
import json
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

import uvloop

from stack import rpc
from stack.aio.network import AsyncHost
from tools.bench.rpc_serving import CALC, METHOD, maybe_host

WARM_UP_S: Final = 0.2
V1: Final[Any] = CALC.CALC_V1
HEAD: Final = b"".join(word.to_bytes(4, "big") for word in (0, 2, V1.program, V1.version, 0)) + bytes(
    16
)  # of a call of NULL, after its xid
Call = Callable[[], Awaitable[object]]


class BareDatagrams(asyncio.DatagramProtocol):
    """Calls by hand over UDP."""

    def __init__(self) -> None:
        self.waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self.xids = itertools.count()
        self.loop = asyncio.get_running_loop()

    def connection_made(self, transport: Any) -> None:
        """Remember what to send with."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:  # noqa: ARG002  (the interface of asyncio)
        """A reply."""
        waiter = self.waiting.pop(data[:4], None)
        if waiter is not None and not waiter.done():
            waiter.set_result(data)

    async def call(self) -> None:
        """NULL."""
        xid = next(self.xids).to_bytes(4, "big")
        waiter = self.waiting[xid] = self.loop.create_future()
        self.transport.sendto(xid + HEAD)
        reply = await waiter
        if reply[4:24] != b"\0\0\0\1" + bytes(16):
            raise OSError(reply.hex())


class BareStream(asyncio.Protocol):
    """Calls by hand over TCP."""

    def __init__(self) -> None:
        self.waiting: dict[bytes, asyncio.Future[bytes]] = {}
        self.xids = itertools.count()
        self.loop = asyncio.get_running_loop()
        self.buffer = b""
        self.mark = (0x8000_0000 | 4 + len(HEAD)).to_bytes(4, "big")

    def connection_made(self, transport: Any) -> None:
        """Remember what to send with."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Replies, which may be cut anywhere."""
        data = self.buffer + data if self.buffer else data
        at = 0
        while len(data) >= at + 4:
            end = at + 4 + (int.from_bytes(data[at : at + 4], "big") & 0x7FFF_FFFF)
            if len(data) < end:
                break
            waiter = self.waiting.pop(data[at + 4 : at + 8], None)
            if waiter is not None and not waiter.done():
                waiter.set_result(data[at + 4 : end])
            at = end
        self.buffer = data[at:]

    async def call(self) -> None:
        """NULL."""
        xid = next(self.xids).to_bytes(4, "big")
        waiter = self.waiting[xid] = self.loop.create_future()
        self.transport.write(self.mark + xid + HEAD)
        reply = await waiter
        if reply[4:24] != b"\0\0\0\1" + bytes(16):
            raise OSError(reply.hex())


async def ours(stack: AsyncExitStack, host: AsyncHost | None, proto: str, server: str, port: int) -> Call:
    """Our client."""
    client = await stack.enter_async_context(rpc.connect(V1, server, proto=proto, port=port, host=host, timeout=5))
    null: Call = client.NULL
    return null


async def bare(stack: AsyncExitStack, host: AsyncHost | None, proto: str, server: str, port: int) -> Call:
    """By hand."""
    maker: Any = host or asyncio.get_running_loop()
    made: Any
    if proto == "udp":
        transport, made = await maker.create_datagram_endpoint(BareDatagrams, remote_addr=(server, port))
    else:
        transport, made = await maker.create_connection(BareStream, server, port)
    stack.callback(transport.close)
    call: Call = made.call
    return call


async def grpcio(stack: AsyncExitStack, _: AsyncHost | None, __: str, server: str, port: int) -> Call:
    """The kernel's sockets only: it is C++."""
    import grpc.aio  # noqa: PLC0415  (the others do without)

    channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"{server}:{port}"))
    null = channel.unary_unary(METHOD)

    async def call() -> None:
        await null(b"", timeout=5)

    return call


CLIENTS: Final = {"tapstack": ours, "bare": bare, "grpcio": grpcio}


async def measure(call: Call, seconds: float, at_a_time: int) -> dict[str, float]:
    """Rate, and time of each in microseconds."""
    took: list[float] = []

    async def one_after_the_other(end: float) -> None:
        while (began := time.perf_counter()) < end:
            await call()
            took.append(time.perf_counter() - began)

    async def all_of_them(length: float) -> float:
        took.clear()
        began = time.perf_counter()
        await asyncio.gather(*(one_after_the_other(began + length) for _ in range(at_a_time)))
        return time.perf_counter() - began

    await all_of_them(WARM_UP_S)
    before = time.process_time()
    spent = await all_of_them(seconds)
    return {
        "per_second": len(took) / spent,
        "p50_us": statistics.median(took) * 1e6,
        "worst_us": max(took) * 1e6,
        "cpu_us": (time.process_time() - before) / len(took) * 1e6,  # of each, whatever else the machine did
    }


async def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("proto", choices=("udp", "tcp"))
    parser.add_argument("server")
    parser.add_argument("port", type=int)
    parser.add_argument("seconds", type=float, nargs="?", default=2.0)
    parser.add_argument("at_a_time", type=int, nargs="?", default=1)
    parser.add_argument("--tap", nargs=2, metavar=("DEVICE", "ADDRESS"))
    options = parser.parse_args()
    async with maybe_host(options.tap) as host, AsyncExitStack() as stack:
        call = await CLIENTS[options.client](stack, host, options.proto, options.server, options.port)
        result = await measure(call, options.seconds, options.at_a_time)
    print(json.dumps(result))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
