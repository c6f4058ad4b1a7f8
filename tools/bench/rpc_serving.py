"""The servers of the RPC benchmarks, on a UDP and a TCP port with the same number.

rpc_serving.py SERVER ADDRESS PORT [--tap DEVICE PREFIX]

    tapstack   ours, serving tests/support/rpc/calc.x; CALC_ECHO is in the duplicate request cache
    uncached   the same without the cache
    bare       an asyncio protocol that answers whatever comes like the NULL procedure: no server can do with less
    grpcio     grpcio's asyncio server, one unary method (TCP only)
"""

import argparse
import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import uvloop

from stack import rpc
from stack.aio.network import AsyncHost
from tools.netns import ROOT

CALC_X: Final = ROOT / "tests" / "support" / "rpc" / "calc.x"
CALC: Final[Any] = rpc.compile_x(Path(CALC_X))
METHOD: Final = "/bench.Null/Null"
SUCCESS: Final = b"\0\0\0\1" + bytes(16)  # after the xid
RECORD: Final = (0x8000_0018).to_bytes(4, "big")  # of 24 octets
Base: Final[Any] = CALC.CALC_V1.Server


class Calc(Base):  # type: ignore[misc]  # it was made at run time
    """What the load generators call, besides NULL."""

    async def CALC_ECHO(self, ctx: rpc.Context, data: bytes) -> bytes:  # noqa: ARG002, N802  (the interface)
        """The same octets; not said to be idempotent, so that it is in the cache."""
        return data


class Datagrams(asyncio.DatagramProtocol):
    """The bare UDP server."""

    def connection_made(self, transport: Any) -> None:
        """Remember what to send with."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """The reply to NULL."""
        self.transport.sendto(data[:4] + SUCCESS, addr)


class Stream(asyncio.Protocol):
    """The bare TCP server, for one call of a known size at a time."""

    def connection_made(self, transport: Any) -> None:
        """Remember what to send with."""
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Replies to all the calls that came; they are never cut here."""
        at, replies = 0, []
        while at < len(data):
            replies.append(RECORD + data[at + 4 : at + 8] + SUCCESS)
            at += 4 + (int.from_bytes(data[at : at + 4], "big") & 0x7FFF_FFFF)
        self.transport.write(b"".join(replies))


Serve = Callable[[AsyncHost | None, str, int], Awaitable[object]]


async def ours(host: AsyncHost | None, address: str, port: int, *, duplicates: bool = True) -> object:
    """With everything that it does by default."""
    return await rpc.serve(
        [Calc()], host=host, address=address, udp=port, tcp=port, register=False, duplicates=duplicates
    )


async def uncached(host: AsyncHost | None, address: str, port: int) -> object:
    """Without the cache."""
    return await ours(host, address, port, duplicates=False)


async def bare(host: AsyncHost | None, address: str, port: int) -> object:
    """Nothing but the ports."""
    maker: Any = host or asyncio.get_running_loop()
    await maker.create_datagram_endpoint(Datagrams, local_addr=(address, port))
    return await maker.create_server(Stream, address, port)


async def grpcio(_: AsyncHost | None, address: str, port: int) -> object:
    """Of the kernel's sockets only: it is C++."""
    import grpc.aio  # noqa: PLC0415  (the others do without)

    async def null(_: bytes, __: object) -> bytes:
        return b""

    server = grpc.aio.server()
    handlers = {"Null": grpc.unary_unary_rpc_method_handler(null)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("bench.Null", handlers),))
    server.add_insecure_port(f"{address}:{port}")
    await server.start()
    return server


SERVERS: Final[dict[str, Serve]] = {"tapstack": ours, "uncached": uncached, "bare": bare, "grpcio": grpcio}


@contextlib.asynccontextmanager
async def maybe_host(where: list[str] | None) -> AsyncIterator[AsyncHost | None]:
    """A host of ours on a TAP device, if one is named."""
    from stack.device.tap import TapDevice  # noqa: PLC0415  (as in grpcio: it needs the C core)
    from tools.bench.dns_rate import CONFIG  # noqa: PLC0415

    if where is None:
        yield None
        return
    async with AsyncHost(CONFIG) as host:
        host.add_device(TapDevice(where[0]), where[1])
        yield host


async def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("server", choices=SERVERS)
    parser.add_argument("address")
    parser.add_argument("port", type=int)
    parser.add_argument("--tap", nargs=2, metavar=("DEVICE", "ADDRESS"))
    options = parser.parse_args()
    async with maybe_host(options.tap) as host:
        _server = await SERVERS[options.server](host, options.address, options.port)  # alive while it is named
        await asyncio.Event().wait()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
