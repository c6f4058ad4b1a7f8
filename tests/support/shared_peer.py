"""The kernel's side of `shared_server`: a server that is silent for as long as it is told, and an echo of datagrams."""

import asyncio


async def serve(reader, writer):
    seconds = float(await reader.readline())
    writer.write(b"now\n")
    await asyncio.sleep(seconds)
    writer.write(b"later\n")
    writer.close()


class Echo(asyncio.DatagramProtocol):
    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.transport.sendto(data, addr)


async def main():
    await asyncio.get_running_loop().create_datagram_endpoint(Echo, local_addr=("0.0.0.0", 9001))
    server = await asyncio.start_server(serve, "0.0.0.0", 9000)
    await server.serve_forever()


asyncio.run(main())
