"""An anyio server, which is handed its listener: anyio's own over the kernel, the adapter's over our stack."""

import contextlib

import anyio
from anyio.streams.tls import TLSListener, TLSStream

from stack.adapters.anyio_listener import listen
from tests.support.interop import MIB, PORT, TLS_PORT, Site, content, digest


async def echo(stream: anyio.abc.ByteStream) -> None:
    """Back, as it comes."""
    async with stream:
        with contextlib.suppress(anyio.BrokenResourceError):
            async for data in stream:
                await stream.send(data)
            if hasattr(stream, "send_eof"):
                with contextlib.suppress(NotImplementedError):
                    await stream.send_eof()


@contextlib.asynccontextmanager
async def serve(site: Site):
    async def listener(port: int):
        if site.ours:
            return listen(site.own, site.address, port)
        return await anyio.create_tcp_listener(local_host=site.address, local_port=port)

    plain = await listener(PORT)
    secure = TLSListener(await listener(TLS_PORT), site.server_tls(), handshake_timeout=site.limit(10))
    async with plain, secure, anyio.create_task_group() as group:
        group.start_soon(plain.serve, echo)
        group.start_soon(secure.serve, echo)
        yield {"address": site.address}
        group.cancel_scope.cancel()


async def _exchange(stream: anyio.abc.ByteStream, data: bytes) -> None:
    """All of it there and back, reading while it is written."""
    got = bytearray()

    async def read() -> None:
        while len(got) < len(data):
            got.extend(await stream.receive())

    async with stream, anyio.create_task_group() as group:
        group.start_soon(read)
        await stream.send(data)
    assert digest(got) == digest(data)


async def talk(site: Site, served: dict) -> None:
    address, data = served["address"], content(MIB)
    with anyio.fail_after(site.limit(20)):
        await _exchange(await anyio.connect_tcp(address, PORT), data)
        secure = await TLSStream.wrap(
            await anyio.connect_tcp(address, TLS_PORT), hostname=address, ssl_context=site.client_tls()
        )
        await _exchange(secure, data)
        stream = await anyio.connect_tcp(address, PORT)
        assert stream.extra(anyio.abc.SocketAttribute.local_address)[0] == site.address
        await stream.send(b"the last words")
        await stream.send_eof()
        assert b"".join([piece async for piece in stream]) == b"the last words"
        await stream.aclose()

        async def one(number: int) -> None:
            await _exchange(await anyio.connect_tcp(address, PORT), content(20_000, str(number)))

        async with anyio.create_task_group() as group:
            for number in range(16):
                group.start_soon(one, number)
