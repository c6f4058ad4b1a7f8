"""A program for `tapstack run --queues`: says who it is, takes and gives bytes, opens connections, echoes datagrams."""

import asyncio
import json
import os

KERNEL = "198.18.0.1"
served = [0]


async def dial(count, seconds):
    """How many of `count` connections to the kernel live on when it says nothing for so long, then speaks first."""

    async def one():
        try:
            async with asyncio.timeout(seconds + 4):
                reader, writer = await asyncio.open_connection(KERNEL, 9000)
                try:
                    writer.write(f"{seconds}\n".encode())
                    return await reader.readline() == b"now\n" and await reader.readline() == b"later\n"
                finally:
                    writer.close()
        except (OSError, TimeoutError):
            return False

    return sum(await asyncio.gather(*(one() for _ in range(count))))


class Answer(asyncio.DatagramProtocol):
    def __init__(self):
        self.data = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, addr):
        if not self.data.done():
            self.data.set_result(data)


async def ask(count):
    """How many of `count` endpoints without a peer hear the kernel's answer."""

    async def one():
        transport, protocol = await asyncio.get_running_loop().create_datagram_endpoint(
            Answer, local_addr=("198.18.0.2", 0)
        )
        transport.sendto(b"?", (KERNEL, 9001))
        try:
            return await asyncio.wait_for(protocol.data, 4) == b"?"
        except TimeoutError:
            return False
        finally:
            transport.close()

    return sum(await asyncio.gather(*(one() for _ in range(count))))


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(f"{os.getpid()} {len(data)}".encode(), addr)


async def answer(path):
    host = asyncio.get_running_loop()._host
    match path.split("/")[1:]:
        case ["bytes", size]:
            return bytes(int(size))
        case ["dial", count, seconds]:
            return str(await dial(int(count), float(seconds))).encode()
        case ["ask", count]:
            return str(await ask(int(count))).encode()
        case ["ping"]:
            return str((await host.ping(KERNEL, timeout=4)).rtt_us > 0).encode()
        case ["state"]:
            place = host.host.tcp.ports.steering
            state = {
                "pid": os.getpid(),
                "index": place.index,
                "served": served[0],
                "pmtu": host.host.ip.snapshot()["pmtu"],
            }
            return json.dumps(state).encode()
        case _:
            return str(os.getpid()).encode()


async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if line)
            left = int(fields.get("content-length", 0))
            while left:
                left -= len(await reader.read(min(left, 1 << 16))) or left
            body = await answer(head.split()[1])
            served[0] += 1
            writer.write(
                f"HTTP/1.1 200 OK\r\nX-Pid: {os.getpid()}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    await asyncio.get_running_loop().create_datagram_endpoint(Echo, local_addr=("198.18.0.2", 7000))
    server = await asyncio.start_server(serve, "0.0.0.0", 8000)
    await server.serve_forever()


asyncio.run(main())
