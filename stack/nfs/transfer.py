"""Data of files, many calls at a time.

Theory of operation.  Reading keeps `window` READs in flight, and gives their data in order.  Writing does the same with
UNSTABLE WRITEs, whose data the server may hold in its memory: they are kept here until a COMMIT says that they are on
the disk.  WRITE and COMMIT carry the server's verifier; where that of a WRITE is not that of the COMMIT, the server was
started anew in between, or its disk failed, and has perhaps lost them: they are sent again.  A COMMIT is made for each
`UNCOMMITTED` octets, so no more than these are kept.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from stack.errors import StackError
from stack.nfs import nfs3 as p

UNCOMMITTED: Final = 8 << 20  # octets
RESENDS: Final = 5  # of the same data, before the server is given up

Read = Callable[[int, int], Awaitable[p.READ3resok]]  # offset, count
Write = Callable[[int, bytes], Awaitable[p.WRITE3resok]]  # offset, data; UNSTABLE
Commit = Callable[[], Awaitable[bytes]]  # the verifier


async def read_blocks(read: Read, offset: int, end: int, block: int, window: int) -> AsyncIterator[bytes]:
    """The data from `offset` to `end`, or to the end of the file if that comes earlier, in blocks.  Raises NfsError."""
    tasks: deque[asyncio.Task[bytes]] = deque()
    try:
        while offset < end or tasks:
            while offset < end and len(tasks) < window:
                size = min(block, end - offset)
                tasks.append(asyncio.ensure_future(_whole(read, offset, size)))
                offset += size
            data = await tasks[0]
            tasks.popleft()
            if not data:
                return
            yield data
    finally:
        await _cancel(tasks)


async def _whole(read: Read, offset: int, size: int) -> bytes:
    """So many octets, or those up to the end of the file; a server may give fewer at a time."""
    parts: list[bytes] = []
    while size > 0:
        got = await read(offset, size)
        parts.append(got.data)
        offset += len(got.data)
        size -= len(got.data)
        if got.eof or not got.data:
            break
    return parts[0] if len(parts) == 1 else b"".join(parts)


class Writer:
    """Writes a file from its begin to its end; see the head of this file.  `written` octets are on the disk or kept."""

    __slots__ = ("_block", "_commit", "_kept", "_kept_octets", "_tasks", "_window", "_write", "resent", "written")

    def __init__(self, write: Write, commit: Commit, block: int, window: int) -> None:
        self._write = write
        self._commit = commit
        self._block = block
        self._window = window
        self._tasks: deque[asyncio.Task[None]] = deque()
        self._kept: list[tuple[int, bytes, bytes]] = []  # offset, data, and the verifier that came for them
        self._kept_octets = 0
        self.written = 0
        self.resent = 0  # octets

    async def add(self, data: bytes) -> None:
        """The next octets.  Waits while there is no room.  Raises NfsError."""
        for at in range(0, len(data), self._block):
            while len(self._tasks) >= self._window:
                await self._one()
            piece = data[at : at + self._block]
            self._tasks.append(asyncio.ensure_future(self._send(self.written, piece)))
            self.written += len(piece)
            self._kept_octets += len(piece)
            if self._kept_octets >= UNCOMMITTED:
                await self.flush()

    async def flush(self) -> None:
        """Wait until all is on the server's disk.  Raises NfsError; StackError for a server that loses all it gets."""
        for _ in range(RESENDS):
            while self._tasks:
                await self._one()
            if not self._kept:
                return
            verifier = await self._commit()
            lost = [(offset, data) for offset, data, theirs in self._kept if theirs != verifier]
            self._kept.clear()
            self._kept_octets = 0
            for offset, data in lost:
                while len(self._tasks) >= self._window:
                    await self._one()
                self.resent += len(data)
                self._tasks.append(asyncio.ensure_future(self._send(offset, data)))
            if not lost:
                return
        raise StackError(
            f"the server has lost what was written {RESENDS} times: its disk fails, or it does not stay up"
        )

    async def aclose(self) -> None:
        """Give up what is in flight.  Safe to call twice."""
        await _cancel(self._tasks)

    async def _one(self) -> None:
        task = self._tasks[0]
        await task
        self._tasks.popleft()

    async def _send(self, offset: int, data: bytes) -> None:
        while data:
            done = await self._write(offset, data)
            count = min(done.count, len(data))
            if not count:
                raise StackError("the server writes nothing of what it is sent, and gives no reason")
            if done.committed == p.UNSTABLE:
                self._kept.append((offset, data[:count], done.verf))
            offset += count
            data = data[count:]


async def _cancel(tasks: "deque[asyncio.Task[bytes]] | deque[asyncio.Task[None]]") -> None:
    left = list(tasks)
    tasks.clear()
    for task in left:
        task.cancel()
    await asyncio.gather(*left, return_exceptions=True)
