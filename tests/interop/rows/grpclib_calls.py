"""grpclib: unary, streaming one way and both ways, several calls at once, errors; messages are plain bytes."""

import asyncio
import contextlib

from grpclib.client import Channel, StreamStreamMethod, StreamUnaryMethod, UnaryStreamMethod, UnaryUnaryMethod
from grpclib.const import Cardinality, Handler, Status
from grpclib.encoding.base import CodecBase
from grpclib.exceptions import GRPCError
from grpclib.server import Server

from tests.support.interop import MIB, PORT, TLS_PORT, Site, content, digest

SERVICE = "/tapstack.Echo/"
PIECES = 50


class Bytes(CodecBase):
    """What protobuf would do: nothing."""

    __content_subtype__ = "bytes"

    def encode(self, message, message_type):
        return bytes(message)

    def decode(self, data, message_type):
        return bytes(data)


class Echo:
    """The service."""

    async def reverse(self, stream) -> None:
        await stream.send_message((await stream.recv_message())[::-1])

    async def cut(self, stream) -> None:
        message = await stream.recv_message()
        size = -(-len(message) // PIECES)
        for start in range(0, len(message), size):
            await stream.send_message(message[start : start + size])

    async def join(self, stream) -> None:
        await stream.send_message(b"".join([message async for message in stream]))

    async def chat(self, stream) -> None:
        async for message in stream:
            await stream.send_message(message[::-1])

    async def fail(self, stream) -> None:
        await stream.recv_message()
        raise GRPCError(Status.FAILED_PRECONDITION, "as asked")

    def __mapping__(self) -> dict[str, Handler]:
        kinds = {
            "reverse": Cardinality.UNARY_UNARY,
            "cut": Cardinality.UNARY_STREAM,
            "join": Cardinality.STREAM_UNARY,
            "chat": Cardinality.STREAM_STREAM,
            "fail": Cardinality.UNARY_UNARY,
        }
        return {SERVICE + name: Handler(getattr(self, name), kind, bytes, bytes) for name, kind in kinds.items()}


@contextlib.asynccontextmanager
async def serve(site: Site):
    plain, secure = Server([Echo()], codec=Bytes()), Server([Echo()], codec=Bytes())
    await plain.start(site.address, PORT)
    await secure.start(site.address, TLS_PORT, ssl=site.server_tls("h2"))
    try:
        yield {"address": site.address}
    finally:
        for server in (plain, secure):
            server.close()
            await server.wait_closed()


async def _call(site: Site, channel: Channel) -> None:
    limit = site.limit(10)
    data = content(MIB)

    def method(kind, name):
        return kind(channel, SERVICE + name, bytes, bytes)

    assert digest(await method(UnaryUnaryMethod, "reverse")(data, timeout=limit)) == digest(data[::-1])
    cut = await method(UnaryStreamMethod, "cut")(data, timeout=limit)
    assert len(cut) == PIECES
    assert b"".join(cut) == data
    assert await method(StreamUnaryMethod, "join")(cut, timeout=limit) == data
    async with method(StreamStreamMethod, "chat").open(timeout=limit) as stream:
        for piece in cut:
            await stream.send_message(piece)
            assert await stream.recv_message() == piece[::-1]
        await stream.end()
        assert await stream.recv_message() is None
    small = [content(1000, str(number)) for number in range(30)]
    reverse = method(UnaryUnaryMethod, "reverse")
    answers = await asyncio.gather(*(reverse(each, timeout=limit) for each in small))
    assert answers == [each[::-1] for each in small]
    try:
        await method(UnaryUnaryMethod, "fail")(b"", timeout=limit)
    except GRPCError as error:
        assert (error.status, error.message) == (Status.FAILED_PRECONDITION, "as asked")  # noqa: PT017  (not pytest's)
    else:
        raise AssertionError("the error of the server did not arrive")


async def talk(site: Site, served: dict) -> None:
    address = served["address"]
    async with Channel(address, PORT, codec=Bytes()) as plain:
        await _call(site, plain)
    async with Channel(address, TLS_PORT, codec=Bytes(), ssl=site.client_tls("h2")) as secure:
        await _call(site, secure)
