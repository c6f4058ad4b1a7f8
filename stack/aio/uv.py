"""What asyncio's own loops do and uvloop's does not, so that UvLoop has all that programs may ask of a loop.

This is about the kernel's sockets and about descriptors (for `sendfile` see UvLoop).  Nothing here is on the path of
connections.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

import uvloop

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class WholeUvLoop(uvloop.Loop):
    """uvloop's loop with `sock_recvfrom`, `sock_recvfrom_into`, `sock_sendto`, and what `remove_reader` returns."""

    # No __slots__: uvloop's loop has a layout of its own.

    def __init__(self) -> None:
        super().__init__()
        self._read_watched: set[int] = set()  # descriptors; no more than the process has
        self._write_watched: set[int] = set()

    def run_until_complete(self, future: Any) -> Any:
        """As asyncio's: what the loop refuses to run, because it runs already, has not become a task."""
        if self.is_running():
            raise RuntimeError("This event loop is already running")
        return super().run_until_complete(future)

    def close(self) -> None:
        """Also forgets what it watched."""
        super().close()
        if self.is_closed():
            self._read_watched.clear()
            self._write_watched.clear()

    # -- descriptors

    def add_reader(self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> None:
        """Call `callback(*args)` when `fd` can be read."""
        super().add_reader(fd, callback, *args)
        self._read_watched.add(_number(fd))

    def remove_reader(self, fd: Any) -> bool:  # type: ignore[override]  # as asyncio has it
        """Whether there was a reader."""
        super().remove_reader(fd)
        return _taken(self._read_watched, fd)

    def add_writer(self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> None:
        """Call `callback(*args)` when `fd` can be written."""
        super().add_writer(fd, callback, *args)
        self._write_watched.add(_number(fd))

    def remove_writer(self, fd: Any) -> bool:  # type: ignore[override]  # as asyncio has it
        """Whether there was a writer."""
        super().remove_writer(fd)
        return _taken(self._write_watched, fd)

    # -- datagrams on socket objects

    async def sock_recvfrom(self, sock: socket.socket, bufsize: int) -> Any:
        """A datagram, cut to `bufsize` bytes, and its sender.  Raises OSError, ValueError for a blocking socket."""
        return await self._when_ready(self.add_reader, self.remove_reader, sock, lambda: sock.recvfrom(bufsize))

    async def sock_recvfrom_into(self, sock: socket.socket, buf: Any, nbytes: int = 0) -> Any:
        """The length of one datagram that was put into `buf`, and its sender.  Raises as sock_recvfrom."""
        size = nbytes or memoryview(buf).nbytes
        return await self._when_ready(self.add_reader, self.remove_reader, sock, lambda: sock.recvfrom_into(buf, size))

    async def sock_sendto(  # type: ignore[override]  # as asyncio has it
        self, sock: socket.socket, data: Any, address: Any
    ) -> int:
        """The number of bytes sent.  Raises OSError, ValueError for a blocking socket."""
        return await self._when_ready(self.add_writer, self.remove_writer, sock, lambda: sock.sendto(data, address))

    async def _when_ready(
        self, add: Callable[..., None], remove: Callable[[int], bool], sock: socket.socket, attempt: Callable[[], T]
    ) -> T:
        if self.get_debug() and sock.gettimeout() != 0:
            raise ValueError("the socket must be non-blocking")
        while True:
            try:
                return attempt()
            except (BlockingIOError, InterruptedError):
                ready = self.create_future()
            fd = sock.fileno()
            add(fd, _set, ready)
            try:
                await ready
            finally:
                remove(fd)


def _set(ready: "asyncio.Future[None]") -> None:
    if not ready.done():
        ready.set_result(None)


def _number(fd: Any) -> int:
    return fd if isinstance(fd, int) else fd.fileno()


def _taken(watched: set[int], fd: Any) -> bool:
    number = _number(fd)
    found = number in watched
    watched.discard(number)
    return found
