"""An asyncio program with some of everything, for the repeatability of simulations."""

import asyncio
import random

from stack import sim
from stack.device.fault_settings import Faults

ROUGH = Faults(loss=0.03, delay_us=2_000, jitter_us=1_500, reordering=0.02, duplication=0.01, rate=2_000_000)
NAMES = ("ann", "bob", "cat", "dan", "eve")


class Chatter(asyncio.DatagramProtocol):
    """Answers every datagram but the answers."""

    def __init__(self, heard):
        self.heard = heard

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.heard.append((data, addr))
        if data.startswith(b"?"):
            self.transport.sendto(b"!" + data[1:], addr)


async def serve(reader, writer):
    try:
        while data := await reader.read(4096):
            writer.write(data.swapcase())
            await writer.drain()
    finally:
        writer.close()


async def ask(peer, size):
    reader, writer = await asyncio.open_connection(peer, 7)
    try:
        writer.write(b"a" * size)
        writer.write_eof()
        return len(await reader.read())
    finally:
        writer.close()


async def node(host, net, log):
    """Serves, talks to all others at random times, with time limits, and goes on when something fails."""
    await asyncio.start_server(serve, port=7)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: Chatter(log), local_addr=("0.0.0.0", 9)
    )
    try:
        while True:
            await asyncio.sleep(random.expovariate(1 / 5))
            peer = random.choice([name for name in NAMES if name != host.name])
            transport.sendto(b"?" + host.name.encode(), (net.hosts[peer].address, 9))
            asks = {asyncio.create_task(ask(peer, random.randrange(6_000))) for _ in range(3)}
            done, pending = await asyncio.wait(asks, timeout=3, return_when=asyncio.FIRST_EXCEPTION)
            for task in pending:
                task.cancel()
            for task in done:  # in the order of a set of tasks
                log.append((net.time, host.name, peer, repr(task.exception() or task.result())))
    finally:
        transport.close()


async def main(net):
    """Two minutes of it, with a partition, a crash and a restart."""
    log = []
    hosts = net.add_hosts(*NAMES, faults=ROUGH)
    for host in hosts:
        host.boot(lambda host: node(host, net, log))
    await asyncio.sleep(30)
    net.partition(hosts[:2], hosts[2:])
    await asyncio.sleep(20)
    net.heal()
    hosts[3].crash()
    await asyncio.sleep(20)
    hosts[3].restart()
    await asyncio.sleep(50)
    return log


def history(seed):
    """(digest, what the program saw) of one run."""
    digests = []

    async def watched(net):
        try:
            return await main(net)
        finally:
            digests.append(net.digest())

    log = sim.run(watched, seed=seed)
    return digests[0], log
