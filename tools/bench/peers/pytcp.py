"""The peer PyTCP, in its form for asyncio (PyPI: pmd-pytcp), on a TAP device.

pytcp.py TAP ADDRESS/PREFIX

The services of tools/bench/services.py, a task for each connection.  Runs in an environment of its own.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from pmd_net_addr import Ip4IfAddr, MacAddress
from pmd_pytcp import stack
from pmd_pytcp.socket import AddressFamily, SocketType, socket

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\nHello, world\n"
REQUEST_END = b"\r\n\r\n"
CHUNK = bytes(1 << 16)
AHEAD = 4 * len(CHUNK)
MAC = "02:00:00:00:00:02"
DISCARD = 9


async def sink(connection: Any) -> None:
    """Reads and forgets."""
    while await connection.recv():
        pass


async def source(connection: Any) -> None:
    """Writes zeros until the peer has enough.

    `send` takes everything at once into a buffer without bounds, so that its length is the only measure there is.
    """
    session = connection.tcp_session
    while True:
        if len(session._tx.buffer) < AHEAD:  # noqa: SLF001
            await connection.send(CHUNK)
        else:
            await asyncio.sleep(0)


async def echo(connection: Any) -> None:
    """Sends back what comes."""
    while data := await connection.recv():
        await connection.send(data)


async def http(connection: Any) -> None:
    """One answer per request."""
    while data := await connection.recv():
        await connection.send(RESPONSE * data.count(REQUEST_END))


async def converse(connection: Any, serve: Callable[[Any], Awaitable[None]]) -> None:
    """Until either end has closed; a session that has ended has no buffer any more."""
    try:
        await serve(connection)
        connection.close()
    except (OSError, AttributeError) as error:
        print("connection:", repr(error), file=sys.stderr)


async def listen(address: str, port: int, serve: Callable[[Any], Awaitable[None]]) -> None:
    """One service."""
    listener = socket(AddressFamily.INET4, SocketType.STREAM)
    listener.bind((address, port))
    listener.listen(backlog=4096)
    tasks = set()
    while True:
        connection, _ = await listener.accept()
        task = asyncio.ensure_future(converse(connection, serve))
        tasks.add(task)
        task.add_done_callback(tasks.discard)


async def echo_datagrams(address: str) -> None:
    """The echo service of UDP."""
    endpoint = socket(AddressFamily.INET4, SocketType.DGRAM)
    endpoint.bind((address, 5003))
    while True:
        data, sender = await endpoint.recvfrom()
        await endpoint.sendto(data, sender)


async def claimed(address: str) -> None:
    """Wait until nobody has objected to the address: before that, it cannot be bound."""
    while True:
        try:
            probe = socket(AddressFamily.INET4, SocketType.DGRAM)
            probe.bind((address, DISCARD))
            probe.close()
        except OSError:
            await asyncio.sleep(0.2)
        else:
            return


async def main(tap: str, interface: str) -> None:
    """Serve until killed."""
    stack.LOG__CHANNEL.clear()
    stack.init()
    link = stack.initialize_interface__tap(interface_name=tap, mac_address=MacAddress(MAC))
    stack.add_interface(**link, ip4_support=True, ip4_host=Ip4IfAddr(interface), ip6_support=False)
    await stack.start()
    address = interface.partition("/")[0]
    await claimed(address)
    services = {5001: sink, 5002: source, 5003: echo, 8080: http}
    await asyncio.gather(*(listen(address, *item) for item in services.items()), echo_datagrams(address))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
