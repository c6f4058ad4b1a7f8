"""What our loop adds to uvloop for an address of the kernel's: connects and closes, one connection at a time.

connect_close.py stack|uvloop ADDRESS PORT SECONDS; prints JSON.
"""

import asyncio
import json
import sys
import time

import uvloop

from stack.aio.loop import UvLoop
from stack.aio.network import AsyncHost
from stack.aio.queue_device import QueueDevice

BATCH = 50  # connections between two looks at the clock
WARM_UP = 200  # connections


class Once(asyncio.Protocol):
    """Knows when its connection has gone."""

    def __init__(self) -> None:
        self.gone = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  (the interface of asyncio)
        """It has."""
        self.gone.set_result(None)


async def batch(address: str, port: int, count: int) -> None:
    """So many, one after the other."""
    loop = asyncio.get_running_loop()
    for _ in range(count):
        transport, protocol = await loop.create_connection(Once, address, port)
        transport.close()
        await protocol.gone


async def measure(address: str, port: int, seconds: float) -> float:
    """Microseconds for each."""
    await batch(address, port, WARM_UP)
    began = time.perf_counter()
    done = 0
    while (spent := time.perf_counter() - began) < seconds:
        await batch(address, port, BATCH)
        done += BATCH
    return spent * 1e6 / done


async def main(address: str, port: int, seconds: float) -> None:
    """On our loop with a host, so that there are addresses to tell apart."""
    if isinstance(asyncio.get_running_loop(), UvLoop):
        async with AsyncHost() as host:
            host.add_device(QueueDevice("nowhere"), "10.77.0.2/24")
            each = await measure(address, port, seconds)
    else:
        each = await measure(address, port, seconds)
    print(json.dumps({"us_each": each}))


if __name__ == "__main__":
    kind, *where = sys.argv[1:]
    with asyncio.Runner(loop_factory={"stack": UvLoop, "uvloop": uvloop.Loop}[kind]) as runner:
        runner.run(main(where[0], int(where[1]), float(where[2])))
