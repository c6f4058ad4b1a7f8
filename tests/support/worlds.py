"""What tests of simulated asyncio programs run on their hosts."""

import asyncio

from stack import sim


def run(main, seed=1, **options):
    """One seed will do where it is not what the test is about."""
    return sim.run(main, seed=seed, **options)


async def echo(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


async def serve(host):
    """What hosts are booted with here."""
    server = await asyncio.start_server(echo, port=7)
    await server.serve_forever()


async def say(host, peer, text=b"hello"):
    """What `peer` answers to `host`."""
    with host.active():
        reader, writer = await asyncio.open_connection(peer, 7)
    try:
        writer.write(text)
        return await reader.readexactly(len(text))
    finally:
        writer.close()
