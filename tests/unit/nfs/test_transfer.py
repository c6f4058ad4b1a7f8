"""Windows of READs and WRITEs, and what is sent again: with a server of a few lines."""

import asyncio
import os
import random

import pytest

from stack.errors import StackError
from stack.nfs import nfs3 as p
from stack.nfs.attributes import NO_ATTRIBUTES, NO_WCC
from stack.nfs.transfer import UNCOMMITTED, Writer, read_blocks


class Server:
    """A file, in memory that a crash takes and on a disk that it does not."""

    def __init__(self, data=b"", seed=1):
        self.disk = bytearray(data)
        self.memory = {}
        self.verifier = b"00000001"
        self.rng = random.Random(seed)
        self.running = self.most = self.commits = 0
        self.short = False
        self.crash_at = set()  # WRITEs, by number
        self.writes = 0

    async def _turn(self):
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for _ in range(self.rng.randrange(1, 6)):
                await asyncio.sleep(0)
        finally:
            self.running -= 1

    async def read(self, offset, count):
        await self._turn()
        if self.short:
            count = max(1, count // 3)
        data = bytes(self.disk[offset : offset + count])
        return p.READ3resok(NO_ATTRIBUTES, len(data), offset + len(data) >= len(self.disk), data)

    async def write(self, offset, data):
        await self._turn()
        self.writes += 1
        if self.writes in self.crash_at:
            self.crash()
        if self.short:
            data = data[: max(1, len(data) // 2)]
        self.memory[offset] = data
        return p.WRITE3resok(NO_WCC, len(data), p.UNSTABLE, self.verifier)

    async def commit(self):
        await self._turn()
        self.commits += 1
        for offset, data in self.memory.items():
            if len(self.disk) < offset + len(data):
                self.disk.extend(bytes(offset + len(data) - len(self.disk)))
            self.disk[offset : offset + len(data)] = data
        self.memory.clear()
        return self.verifier

    def crash(self):
        self.memory.clear()
        self.verifier = b"%08d" % (int(self.verifier) + 1)


async def written(server, data, *, block=1000, window=4, step=3333, keep=True):
    writer = Writer(server.write, server.commit, block, window)
    if not keep:  # the control: whatever verifier comes with the COMMIT, it is taken for the right one
        real = writer._commit

        async def trusting():
            verifier = await real()
            writer._kept[:] = [(offset, data, verifier) for offset, data, _ in writer._kept]
            return verifier

        writer._commit = trusting
    for at in range(0, len(data), step):
        await writer.add(data[at : at + step])
    await writer.flush()
    return writer


@pytest.mark.parametrize("short", [False, True])
def test_reading_in_order_and_bounded(short):
    data = os.urandom(100_123)

    async def main():
        server = Server(data)
        server.short = short
        got = b"".join([block async for block in read_blocks(server.read, 0, len(data), 1000, 8)])
        assert got == data
        assert server.most == 8
        part = [block async for block in read_blocks(server.read, 500, 2200, 1000, 8)]
        assert b"".join(part) == data[500:2200]
        beyond = [block async for block in read_blocks(server.read, 100_000, 200_000, 1000, 8)]
        assert b"".join(beyond) == data[100_000:]
        assert server.running == 0

    asyncio.run(main())


def test_who_stops_reading_leaves_no_calls():
    async def main():
        server = Server(bytes(100_000))
        blocks = read_blocks(server.read, 0, 100_000, 1000, 8)
        async for _ in blocks:
            break
        await blocks.aclose()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())


@pytest.mark.parametrize("short", [False, True])
def test_writing_is_bounded_and_committed(short):
    data = os.urandom(123_456)

    async def main():
        server = Server()
        server.short = short
        writer = await written(server, data)
        assert bytes(server.disk) == data
        assert server.most <= 5
        assert server.commits == 1
        assert (writer.written, writer.resent) == (len(data), 0)

    asyncio.run(main())


@pytest.mark.parametrize("seed", range(5))
def test_what_a_crash_took_is_sent_again(seed):
    data = os.urandom(200_000)
    rng = random.Random(seed)

    async def main(*, keep):
        server = Server(seed=seed)
        server.crash_at = {rng.randrange(10, 200), rng.randrange(10, 200)}
        writer = await written(server, data, keep=keep)
        return bytes(server.disk) == data, writer.resent

    whole, resent = asyncio.run(main(keep=True))
    assert whole
    assert 0 < resent < len(data) * 2
    assert not asyncio.run(main(keep=False))[0]  # the control: without the comparison they are lost


def test_what_is_kept_is_bounded():
    async def main():
        server = Server()
        writer = Writer(server.write, server.commit, 1 << 18, 8)
        for _ in range(20):
            await writer.add(bytes(1 << 20))
            assert writer._kept_octets <= UNCOMMITTED
        await writer.flush()
        assert server.commits == 3

    asyncio.run(main())


def test_a_server_that_always_loses_everything_is_given_up():
    async def main():
        server = Server()
        server.crash_at = set(range(1, 10_000))
        with pytest.raises(StackError, match="lost what was written 5 times"):
            await written(server, bytes(5000))

    asyncio.run(main())


def test_an_error_of_a_write_comes_out_and_nothing_goes_on():
    async def main():
        server = Server()

        async def fails(offset, data):
            if offset > 20_000:
                raise StackError("the disk is full")
            return await server.write(offset, data)

        writer = Writer(fails, server.commit, 1000, 4)
        with pytest.raises(StackError, match="full"):
            for _ in range(50):
                await writer.add(bytes(1000))
        await writer.aclose()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(main())
