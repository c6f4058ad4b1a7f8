"""sendfile, over the kernel's transports (asyncio's; uvloop's on our loop) and over ours; sock_sendfile over ours."""

import asyncio
import hashlib
import io
import random
import socket
from asyncio.exceptions import SendfileNotAvailableError

import pytest

from stack.aio.loop import UvLoop
from tests.support.aio_nets import StackNet
from tests.support.aio_protocols import Recorder, shut

MB = 1 << 20
CONTENT = random.Random(1).randbytes(3 * MB + 7)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "content"
    path.write_bytes(CONTENT)
    return path


async def connected(net, server=Recorder, **options):
    """(client, server, what listens)."""
    loop = asyncio.get_running_loop()
    made = loop.create_future()

    def factory():
        made.set_result(server())
        return made.result()

    listener = await loop.create_server(factory, net.ip, 0, **({"ssl": options["ssl"][0]} if options else {}))
    port = listener.sockets[0].getsockname()[1]
    more = {"ssl": options["ssl"][1], "server_hostname": "stack.example"} if options else {}
    _, client = await loop.create_connection(Recorder, net.ip, port, **more)
    peer = await made
    await peer.made
    return client, peer, listener


def shrink(client, peer):
    """So that a file does not fit into buffers."""
    client.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 100_000)
    peer.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)


@pytest.mark.parametrize(
    ("offset", "count"),
    [(0, None), (5, None), (0, 10), (MB, MB + 1), (0, 100 * MB), (3 * MB, None), (len(CONTENT), None)],
    ids=str,
)
def test_part_of_a_file(sendfile_place, path, offset, count):
    async def main():
        async with sendfile_place.net() as net:
            client, peer, listener = await connected(net)
            wanted = CONTENT[offset:] if count is None else CONTENT[offset : offset + count]
            with path.open("rb") as file:
                file.seek(3)
                client.transport.write(b"<")
                sent = await asyncio.get_running_loop().sendfile(client.transport, file, offset, count)
                client.transport.write(b">")
                assert sent == len(wanted)
                if wanted:
                    assert file.tell() == offset + sent
            await peer.received(len(wanted) + 2)
            assert peer.data == b"<" + wanted + b">"
            await shut(client, peer)
            listener.close()

    sendfile_place.run(main())


def test_a_file_without_a_descriptor_is_read_from_where_it_stands(sendfile_place):
    async def main():
        async with sendfile_place.net() as net:
            client, peer, listener = await connected(net)
            loop = asyncio.get_running_loop()
            file = io.BytesIO(b"0123456789")
            file.seek(4)
            assert await loop.sendfile(client.transport, file) == 6
            assert await loop.sendfile(client.transport, file, 8) == 2
            await peer.received(8)
            assert peer.data == b"45678989"
            await shut(client, peer)
            listener.close()

    sendfile_place.run(main())


def test_bad_arguments(sendfile_place, path):
    async def main():
        async with sendfile_place.net() as net:
            client, peer, listener = await connected(net)
            sendfile = asyncio.get_running_loop().sendfile
            with path.open("rb") as file, path.open() as text:
                for kind, arguments in (
                    (ValueError, (text,)),
                    (ValueError, (file, -1)),
                    (ValueError, (file, 0, 0)),
                    (ValueError, (file, 0, -1)),
                    (TypeError, (file, 1.5)),
                    (TypeError, (file, 0, 1.5)),
                ):
                    with pytest.raises(kind):
                        await sendfile(client.transport, *arguments)
                client.transport.close()
                with pytest.raises(RuntimeError):
                    await sendfile(client.transport, file)
            await shut(client, peer)
            listener.close()

    sendfile_place.run(main())


def test_the_protocol_hears_nothing_meanwhile_and_all_afterwards(sendfile_place, path):
    async def main():
        async with sendfile_place.net() as net:
            client, peer, listener = await connected(net)
            shrink(client, peer)
            peer.transport.pause_reading()
            with path.open("rb") as file:
                # more than all buffers hold
                sending = asyncio.ensure_future(asyncio.get_running_loop().sendfile(client.transport, file))
                await asyncio.sleep(0)  # it has begun
                peer.transport.write(b"meanwhile")
                await asyncio.sleep(0.05)
                assert client.log == ["made"]
                if sendfile_place.is_ours or sendfile_place.factory is not UvLoop:  # uvloop's own cannot be barred
                    with pytest.raises(RuntimeError):
                        client.transport.write(b"mixed in")
                peer.transport.resume_reading()
                assert await sending == len(CONTENT)
            await client.received(9)
            assert client.transport.get_protocol() is client
            client.transport.write(b"!")
            await peer.received(len(CONTENT) + 1)
            assert hashlib.sha256(peer.data[:-1]).digest() == hashlib.sha256(CONTENT).digest()
            await shut(client, peer)
            listener.close()

    sendfile_place.run(main())


def test_the_connection_is_lost_meanwhile(sendfile_place, path):
    async def main():
        async with sendfile_place.net() as net:
            client, peer, listener = await connected(net)
            shrink(client, peer)
            peer.transport.pause_reading()
            with path.open("rb") as file:
                sending = asyncio.ensure_future(asyncio.get_running_loop().sendfile(client.transport, file, 0, None))
                await asyncio.sleep(0.05)
                peer.transport.abort()
                with pytest.raises(ConnectionError):
                    await sending
            await client.closed
            assert client.log[-1] == "lost"
            await peer.closed
            listener.close()

    sendfile_place.run(main())


def test_without_a_fallback(on_loop, path, certificate):
    async def main():
        async with StackNet() as net:
            for options, kind in (({}, SendfileNotAvailableError), ({"ssl": certificate}, RuntimeError)):
                client, peer, listener = await connected(net, **options)
                with path.open("rb") as file, pytest.raises(kind):
                    await asyncio.get_running_loop().sendfile(client.transport, file, fallback=False)
                await shut(client, peer)
                listener.close()

    on_loop(main())


def test_over_tls(on_loop, path, certificate):
    async def main():
        async with StackNet() as net:
            client, peer, listener = await connected(net, ssl=certificate)
            with path.open("rb") as file:
                assert await asyncio.get_running_loop().sendfile(client.transport, file, 10) == len(CONTENT) - 10
                assert file.tell() == len(CONTENT)
            client.transport.write(b"end")
            await peer.received(len(CONTENT) - 7)
            assert peer.data == CONTENT[10:] + b"end"
            await shut(client, peer)
            listener.close()

    on_loop(main())


def test_one_file_at_a_time(on_loop, path):
    async def main():
        async with StackNet() as net:
            client, peer, listener = await connected(net)
            sendfile = asyncio.get_running_loop().sendfile
            with path.open("rb") as file, path.open("rb") as other:
                first = asyncio.ensure_future(sendfile(client.transport, file))
                await asyncio.sleep(0)
                await asyncio.sleep(0.001)
                if not first.done():
                    with pytest.raises(RuntimeError):
                        await sendfile(client.transport, other)
                await first
            await peer.received(len(CONTENT))
            await shut(client, peer)
            listener.close()

    on_loop(main())


def test_a_writer_that_waited_before_is_told_when_there_is_room(on_loop, path):
    async def main():
        async with StackNet() as net:
            client, peer, listener = await connected(net)
            peer.transport.pause_reading()
            while "pause" not in client.log:
                client.transport.write(bytes(MB))
            with path.open("rb") as file:
                sending = asyncio.ensure_future(asyncio.get_running_loop().sendfile(client.transport, file))
                await asyncio.sleep(0.01)
                peer.transport.resume_reading()
                await sending
            for _ in range(2000):
                if client.log.count("pause") == client.log.count("resume"):
                    break
                await asyncio.sleep(0.001)
            assert client.log.count("pause") == client.log.count("resume") >= 1
            await shut(client, peer)
            listener.close()

    on_loop(main())


def test_cancelling_gives_the_transport_back(on_loop, path):
    async def main():
        async with StackNet() as net:
            client, peer, listener = await connected(net)
            peer.transport.pause_reading()
            while "pause" not in client.log:
                client.transport.write(bytes(MB))
            with path.open("rb") as file:
                sending = asyncio.ensure_future(asyncio.get_running_loop().sendfile(client.transport, file))
                await asyncio.sleep(0.02)
                sending.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await sending
            assert client.transport.get_protocol() is client
            client.transport.write(b"still mine")
            peer.transport.resume_reading()
            peer.transport.write(b"hello")
            await client.received(5)
            await shut(client, peer)
            listener.close()

    on_loop(main())


@pytest.mark.parametrize("family", [{"local_addr": ("0.0.0.0", 0)}, {"family": socket.AF_INET}], ids=["host", "routed"])
def test_a_datagram_transport_cannot(on_loop, path, family):
    async def main():
        async with StackNet() as net:
            if "local_addr" in family:
                transport, _ = await net.client.create_datagram_endpoint(asyncio.DatagramProtocol, **family)
            else:
                loop = asyncio.get_running_loop()
                transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, **family)
            with path.open("rb") as file, pytest.raises(RuntimeError, match="not supported"):
                await asyncio.get_running_loop().sendfile(transport, file)
            transport.close()

    on_loop(main())


@pytest.mark.parametrize(
    ("offset", "count"), [(0, None), (5, None), (0, 10), (MB, MB + 1), (len(CONTENT), None)], ids=str
)
def test_from_a_socket_object(on_loop, path, offset, count):
    async def main():
        async with StackNet() as net:
            loop = asyncio.get_running_loop()
            made = loop.create_future()
            peer = Recorder()

            def factory():
                made.set_result(peer)
                return peer

            listener = await loop.create_server(factory, net.ip, 0)
            with socket.socket() as sock, path.open("rb") as file:
                sock.setblocking(False)
                await loop.sock_connect(sock, listener.sockets[0].getsockname())
                await made
                wanted = CONTENT[offset:] if count is None else CONTENT[offset : offset + count]
                assert await loop.sock_sendfile(sock, file, offset, count) == len(wanted)
                assert file.tell() == offset + len(wanted)
                await loop.sock_sendall(sock, b"end")
                await peer.received(len(wanted) + 3)
                assert peer.data == wanted + b"end"
                with pytest.raises(SendfileNotAvailableError):
                    await loop.sock_sendfile(sock, file, fallback=False)
                with pytest.raises(ValueError, match="count"):
                    await loop.sock_sendfile(sock, file, 0, 0)
            await peer.closed
            listener.close()

    on_loop(main())
