"""Two TCP/IP hosts in one process, without root: an echo server and its client, each with an address of its own.

python examples/two_hosts.py
"""

import asyncio

import stack
from stack.device.virtual import link


async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send back what comes, until the peer closes."""
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def main() -> None:
    """Echo a line and show the connection from the inside."""
    left, right = link(b"\2\0\0\0\0\1", b"\2\0\0\0\0\2")
    async with stack.AsyncHost() as server, stack.AsyncHost() as client:
        server.add_device(left, "10.0.0.1/24")
        client.add_device(right, "10.0.0.2/24")
        await server.start_server(echo, port=7)
        reader, writer = await client.open_connection("10.0.0.1", 7)
        writer.write(b"hello, other host\n")
        print((await reader.readline()).decode().strip())
        info = writer.get_extra_info("tcp_info")
        print(
            f"{info.state}, cwnd {info.cwnd} bytes, srtt {info.srtt_us} us, options: "
            f"timestamps {info.timestamps}, SACK {info.sack}, window scale {info.snd_wscale}/{info.rcv_wscale}"
        )
        writer.close()
        await writer.wait_closed()


stack.run(main())
