"""trio at both ends: streams, TLS and datagrams; on our stack by the socket factory that each run of trio is given."""

import asyncio
import contextlib
from functools import partial

import trio

from tests.support.interop import MIB, PORT, TLS_PORT, Site, content, digest


def of_ours(site: Site) -> None:
    """From now on this run of trio makes our sockets."""
    if site.ours:
        trio.socket.set_custom_socket_factory(site.own)


async def echo(stream: trio.abc.HalfCloseableStream) -> None:
    """Back, as it comes."""
    with contextlib.suppress(trio.BrokenResourceError):
        async for data in stream:
            await stream.send_all(data)
        await stream.send_eof()
    await stream.aclose()


async def echo_tls(context, stream: trio.SocketStream) -> None:
    """The same over TLS."""
    secure = trio.SSLStream(stream, context, server_side=True, https_compatible=True)
    with contextlib.suppress(trio.BrokenResourceError):
        async for data in secure:
            await secure.send_all(data)
    await trio.aclose_forcefully(secure)


async def echo_datagrams(site: Site, *, task_status) -> None:
    """A datagram socket that answers."""
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        await sock.bind((site.address, PORT))
        task_status.started()
        while True:
            data, sender = await sock.recvfrom(65_535)
            await sock.sendto(data[::-1], sender)


@contextlib.asynccontextmanager
async def serve(site: Site):
    loop = asyncio.get_running_loop()
    started = loop.create_future()

    async def main() -> None:
        of_ours(site)
        token = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(trio.serve_tcp, echo, PORT, host=site.address))
            secure = partial(echo_tls, site.server_tls())
            await nursery.start(partial(trio.serve_tcp, secure, TLS_PORT, host=site.address))
            await nursery.start(partial(echo_datagrams, site))
            stop = partial(token.run_sync_soon, nursery.cancel_scope.cancel)
            loop.call_soon_threadsafe(started.set_result, stop)

    running = asyncio.create_task(asyncio.to_thread(trio.run, main))
    await asyncio.wait([running, started], return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        running.result()
    try:
        yield {"address": site.address}
    finally:
        started.result()()
        await running


async def _exchange(stream: trio.abc.Stream, data: bytes) -> None:
    got = bytearray()

    async def read() -> None:
        while len(got) < len(data):
            piece = await stream.receive_some()
            assert piece, "the stream ended early"
            got.extend(piece)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await stream.send_all(data)
    assert digest(got) == digest(data)


async def _datagrams(address: str) -> None:
    with trio.socket.socket(trio.socket.AF_INET, trio.socket.SOCK_DGRAM) as sock:
        for number in range(10):
            data = content(1000, str(number))
            await sock.sendto(data, (address, PORT))
            answer, sender = await sock.recvfrom(65_535)
            assert answer == data[::-1]
            assert sender == (address, PORT)


async def _main(site: Site, address: str) -> None:
    of_ours(site)
    data = content(MIB)
    with trio.fail_after(site.limit(20)):
        async with await trio.open_tcp_stream(address, PORT) as stream:
            assert stream.socket.getsockname()[0] == site.address
            await _exchange(stream, data)
            await stream.send_eof()
            assert await stream.receive_some() == b""
        plain = await trio.open_tcp_stream(address, TLS_PORT)
        async with trio.SSLStream(plain, site.client_tls(), server_hostname=address, https_compatible=True) as secure:
            await _exchange(secure, data)

        async def one(number: int) -> None:
            async with await trio.open_tcp_stream(address, PORT) as stream:
                await _exchange(stream, content(20_000, str(number)))

        async with trio.open_nursery() as nursery:
            for number in range(16):
                nursery.start_soon(one, number)
        await _datagrams(address)
        try:
            await trio.open_tcp_stream(address, 9)
        except OSError:
            pass
        else:
            raise AssertionError("nobody listens there")


async def talk(site: Site, served: dict) -> None:
    await asyncio.to_thread(trio.run, _main, site, served["address"])
