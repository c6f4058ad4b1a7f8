"""Questions per second of one of tools/bench/dns_clients.py, so many at a time; prints JSON.

dns_rate.py CLIENT SERVER SECONDS AT_A_TIME [--tap DEVICE ADDRESS/PREFIX]
dns_rate.py CLIENT SERVER --ports QUESTIONS       how many ports these leave from: the server is one of our own then
"""

import argparse
import asyncio
import contextlib
import itertools
import json
import statistics
import struct
import time
from collections.abc import AsyncIterator
from socket import inet_aton
from typing import Any

import uvloop

from stack.aio.network import AsyncHost
from stack.config import HostConfig, IpConfig
from stack.device.tap import TapDevice
from tools.bench.dns_clients import ADDRESSES, CLIENTS, NOERROR_AND_ANSWERS, PORT, ZONE, Client

WARM_UP_S = 0.2
PATIENCE_S = 10.0
CONFIG = HostConfig(ip=IpConfig(arp_probe=False))  # an address that works at once


async def measure(client: Client, seconds: float, at_a_time: int) -> dict[str, float]:
    """Rate and time of each, in microseconds."""
    serial = itertools.count()
    took: list[float] = []

    async def one_after_the_other(end: float) -> None:
        while (began := time.perf_counter()) < end:
            if await client.ask(f"n{next(serial)}.{ZONE}") != len(ADDRESSES):
                raise OSError("not all addresses came")
            took.append(time.perf_counter() - began)

    async def all_of_them(length: float) -> float:
        took.clear()
        began = time.perf_counter()
        async with asyncio.timeout(length + PATIENCE_S):  # some of the clients wait for ever for what was lost
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


class Noting(asyncio.DatagramProtocol):
    """Answers, and notes which ports questions come from."""

    def __init__(self) -> None:
        self.ports: set[int] = set()

    def connection_made(self, transport: Any) -> None:
        """Remember what to send with."""
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Addresses for whatever the name is."""
        self.ports.add(addr[1])
        question = data[12 : data.index(0, 12) + 5]
        records = [struct.pack("!3HIH4s", 0xC00C, 1, 1, 60, 4, inet_aton(address)) for address in ADDRESSES]
        self.transport.sendto(data[:2] + NOERROR_AND_ANSWERS + bytes(4) + question + b"".join(records), addr)


async def count_ports(client: Client, server: str, questions: int, at_a_time: int) -> dict[str, float]:
    """The number of ports that as many questions leave from."""
    transport, noting = await asyncio.get_running_loop().create_datagram_endpoint(Noting, (server, PORT))
    serial = iter(range(questions))

    async def one_after_the_other() -> None:
        for number in serial:
            await client.ask(f"n{number}.{ZONE}")

    await asyncio.gather(*(one_after_the_other() for _ in range(at_a_time)))
    transport.close()
    return {"questions": questions, "ports": len(noting.ports)}


@contextlib.asynccontextmanager
async def maybe_host(where: list[str] | None) -> AsyncIterator[AsyncHost | None]:
    """A host of ours on a TAP device, if one is named."""
    if where is None:
        yield None
        return
    device, address = where
    async with AsyncHost(CONFIG) as host:
        host.add_device(TapDevice(device), address)
        yield host


async def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument("server")
    parser.add_argument("seconds", type=float, nargs="?", default=2.0)
    parser.add_argument("at_a_time", type=int, nargs="?", default=1)
    parser.add_argument("--ports", type=int)
    parser.add_argument("--tap", nargs=2, metavar=("DEVICE", "ADDRESS"))
    options = parser.parse_args()
    async with maybe_host(options.tap) as host:
        client = CLIENTS[options.client](options.server, host)
        if options.ports:
            result = await count_ports(client, options.server, options.ports, options.at_a_time)
        else:
            result = await measure(client, options.seconds, options.at_a_time)
        await client.aclose()
    print(json.dumps(result))


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
