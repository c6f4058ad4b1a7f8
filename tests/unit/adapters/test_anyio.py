"""anyio's listener and streams over hosts of ours."""

import anyio
import pytest
from anyio.abc import SocketAttribute, SocketListener, SocketStream
from anyio.streams.tls import TLSListener, TLSStream

from stack.adapters.anyio_listener import connect_tcp, listen
from stack.errors import AddressInUse

MB = 1 << 20


async def echo(stream):
    async with stream:
        async for data in stream:
            await stream.send(data)


async def read_all(stream):
    return b"".join([data async for data in stream])


def test_a_server_that_is_handed_a_listener(run):
    async def main(hosts):
        async with listen(hosts.server, hosts.ip, 80) as listener, anyio.create_task_group() as group:
            assert isinstance(listener, SocketListener)
            assert listener.extra(SocketAttribute.local_address) == (hosts.ip, 80)
            group.start_soon(listener.serve, echo)
            streams = [await connect_tcp(hosts.client, hosts.ip, 80) for _ in range(5)]
            for number, stream in enumerate(streams):
                assert isinstance(stream, SocketStream)
                assert stream.extra(SocketAttribute.remote_address) == (hosts.ip, 80)
                assert stream.extra(SocketAttribute.remote_port) == 80
                payload = bytes([number]) * MB
                async with anyio.create_task_group() as sending:
                    sending.start_soon(stream.send, payload)
                    received = b""
                    while len(received) < MB:
                        received += await stream.receive()
                assert received == payload
                await stream.send_eof()
                assert await read_all(stream) == b""
                await stream.aclose()
            group.cancel_scope.cancel()

    run(main)


def test_tls_is_anyios_own(run, tls):
    async def main(hosts):
        listener = TLSListener(listen(hosts.server, hosts.ip, 443), tls[0], standard_compatible=False)
        async with listener, anyio.create_task_group() as group:
            group.start_soon(listener.serve, echo)
            plain = await connect_tcp(hosts.client, hosts.ip, 443)
            stream = await TLSStream.wrap(plain, hostname="server.test", ssl_context=tls[1], standard_compatible=False)
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
            await stream.aclose()
            group.cancel_scope.cancel()

    run(main)


def test_ends_have_anyios_names(run):
    async def main(hosts):
        listener = listen(hosts.server, hosts.ip, 80)
        with pytest.raises(AddressInUse):
            listen(hosts.server, hosts.ip, 80)
        client = await connect_tcp(hosts.client, hosts.ip, 80)
        server = await listener.accept()
        await client.send_eof()
        with pytest.raises(anyio.EndOfStream):
            await server.receive()
        await client.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await client.receive()
        with pytest.raises(anyio.ClosedResourceError):
            await client.send(b"x")
        server._stream.abort()
        client = await connect_tcp(hosts.client, hosts.ip, 80)
        (await listener.accept())._stream.abort()
        with pytest.raises(anyio.BrokenResourceError):
            await client.receive()
        await listener.aclose()
        with pytest.raises(anyio.ClosedResourceError):
            await listener.accept()

    run(main)


def test_two_readers_are_told_apart(run):
    async def main(hosts):
        listener = listen(hosts.server, hosts.ip, 80)
        client = await connect_tcp(hosts.client, hosts.ip, 80)
        async with anyio.create_task_group() as group:
            group.start_soon(client.receive)
            await anyio.lowlevel.checkpoint()
            with pytest.raises(anyio.BusyResourceError):
                await client.receive()
            group.cancel_scope.cancel()
        await listener.aclose()

    run(main)
