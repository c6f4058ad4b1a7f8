"""What the tests of asyncio's transports have at both ends of a connection."""

import asyncio


class Recorder(asyncio.Protocol):
    """Keeps what it is told; `closed` and `made` are futures."""

    def __init__(self, *, keep_open=False, on_data=None):
        loop = asyncio.get_running_loop()
        self.keep_open = keep_open
        self.on_data = on_data
        self.data = bytearray()
        self.log = []
        self.made, self.eof, self.closed = loop.create_future(), loop.create_future(), loop.create_future()
        self.transport = None

    def connection_made(self, transport):
        assert self.transport is None
        self.transport = transport
        self.log.append("made")
        self.made.set_result(None)

    def data_received(self, data):
        assert type(data) is bytes
        self.log.append("data")
        self.data += data
        if self.on_data:
            self.on_data(self, data)

    def eof_received(self):
        self.log.append("eof")
        self.eof.set_result(None)
        return self.keep_open

    def pause_writing(self):
        self.log.append("pause")

    def resume_writing(self):
        self.log.append("resume")

    def connection_lost(self, exc):
        self.log.append("lost")
        self.closed.set_result(exc)  # a second call would raise

    async def received(self, count):
        for _ in range(20_000):
            if len(self.data) >= count:
                return
            await asyncio.sleep(0.001)
        raise AssertionError(f"{len(self.data)} of {count} bytes came")


def echo(protocol, data):
    protocol.transport.write(data)


async def pair(net, client=None, server=None):
    """A connected (client, server, listener)."""
    accepted = asyncio.get_running_loop().create_future()

    def factory():
        protocol = (server or Recorder)()
        accepted.set_result(protocol)
        return protocol

    listener = await net.server.create_server(factory, net.ip, 0)
    port = listener.sockets[0].getsockname()[1]
    _, protocol = await net.client.create_connection(client or Recorder, net.ip, port)
    peer = await accepted
    await peer.made
    listener.close()
    return protocol, peer


async def shut(*protocols):
    for protocol in protocols:
        protocol.transport.close()
    for protocol in protocols:
        await protocol.closed
