"""Two connections made one, over sockets of this machine."""

import asyncio
import contextlib
import socket
import struct

import pytest

from stack.proxy import splice
from stack.proxy.splice import HELD, Half, join

RESET = struct.pack("ii", 1, 0)


@contextlib.asynccontextmanager
async def halves():
    """A Half, with the socket at its other end; twice.  They are not joined."""
    loop = asyncio.get_running_loop()
    made = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        for _ in range(2):
            outer = socket.create_connection(listener.getsockname())
            inner, _ = listener.accept()
            outer.setblocking(False)
            inner.setblocking(False)
            _, half = await loop.connect_accepted_socket(Half, inner)
            made.append((half, outer))
    try:
        yield made
    finally:
        for half, outer in made:
            outer.close()
            half.transport.abort()
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def read(sock):
    return await asyncio.wait_for(asyncio.get_running_loop().sock_recv(sock, 1 << 20), 10)


async def settled():
    for _ in range(20):
        await asyncio.sleep(0.001)


def test_what_came_before_the_other_one_was_there_goes_first_with_its_end():
    async def main():
        async with halves() as ((near, one), (far, two)):
            one.send(b"early ")
            await settled()
            one.send(b"words")
            one.shutdown(socket.SHUT_WR)
            await settled()
            join(near, far)
            assert await read(two) == b"early words"
            assert await read(two) == b""
            two.send(b"answer")
            assert await read(one) == b"answer"
            two.shutdown(socket.SHUT_WR)
            assert await read(one) == b""
            await settled()
            assert near.is_lost
            assert far.is_lost
            assert (near.octets, far.octets) == (11, 6)

    asyncio.run(main())


def test_little_is_kept_while_there_is_no_other_one():
    async def main():
        async with halves() as ((near, one), (far, two)):
            with contextlib.suppress(BlockingIOError):
                while one.send(bytes(1 << 16)):
                    await settled()
            assert HELD < near.octets < HELD + (1 << 18) + 1
            assert not near.transport.is_reading()
            join(near, far)
            await read(two)
            assert near.transport.is_reading()

    asyncio.run(main())


@pytest.mark.parametrize("passes", [True, False])
@pytest.mark.parametrize("joined_first", [True, False])
def test_a_reset_passes_as_one(monkeypatch, passes, joined_first):
    if not passes:  # the control: what only closes is an ordinary end
        monkeypatch.setattr(splice, "reset", lambda transport: transport.abort())

    async def main():
        async with halves() as ((near, one), (far, two)):
            if joined_first:
                join(near, far)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            one.close()
            await settled()
            if not joined_first:
                join(near, far)
            if passes:
                with pytest.raises(ConnectionResetError):
                    await read(two)
            else:
                assert await read(two) == b""

    asyncio.run(main())


def test_a_reset_while_nobody_reads_is_found_by_the_sweep():
    async def main():
        async with halves() as ((near, one), (far, two)):
            join(near, far)
            near.transport.pause_reading()
            near.sweep()
            assert not near.transport.is_closing()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            one.close()
            await settled()
            assert not near.is_lost  # nobody has told
            near.sweep()
            with pytest.raises(ConnectionResetError):
                await read(two)

    asyncio.run(main())


def test_both_have_ended_is_told_once():
    async def main():
        told = []
        async with halves() as ((near, one), (far, two)):
            near._gone = lambda: told.append("gone")
            join(near, far)
            one.shutdown(socket.SHUT_WR)
            await settled()
            assert told == []
            two.shutdown(socket.SHUT_WR)
            await settled()
            assert told == ["gone"]

    asyncio.run(main())
