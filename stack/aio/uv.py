"""What asyncio's own loops do and uvloop's does not, so that UvLoop has all that programs may ask of a loop.

This is about the kernel's sockets, about descriptors (for `sendfile` see UvLoop), and about names: `getaddrinfo` is
asked about those of endpoints and servers too.  Nothing here is on the path of connections.
"""

import asyncio
import socket
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, TypeVarTuple

from stack.aio.names import in_figures, is_name

try:
    from uvloop import Loop
except ImportError:  # as on PyPy; then this is over asyncio's own loop
    from asyncio import SelectorEventLoop as Loop  # type: ignore[assignment]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class WholeUvLoop(Loop):
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

    # -- names, which uvloop would look up past its own `getaddrinfo`

    async def create_datagram_endpoint(
        self, protocol_factory: Callable[[], Any], local_addr: Any = None, remote_addr: Any = None, **options: Any
    ) -> tuple[Any, Any]:
        """As uvloop's; where names have several addresses, the first that can be had."""
        base = super().create_datagram_endpoint
        if not _has_name(local_addr) and not _has_name(remote_addr):
            return await base(protocol_factory, local_addr, remote_addr, **options)
        asked = {key: options.get(key, 0) for key in ("family", "proto", "flags")}
        locals_ = await self._meant(local_addr, asked)
        remotes = await self._meant(remote_addr, asked)
        pairs = _pairs(locals_, remotes)
        if not pairs:
            raise ValueError("can not get address information")  # as asyncio says it
        # it is tried here first: uvloop does not close what it cannot bind or connect
        family, local, remote = next(filter(_can_be_had, pairs), pairs[0])
        return await base(protocol_factory, local, remote, **{**options, "family": family})

    async def _meant(self, address: Any, asked: dict[str, Any]) -> list[tuple[int, Any]]:
        """Family and address in figures of all that `address` may be; none for None."""
        if not address:
            return []
        infos = await self.getaddrinfo(*address[:2], type=socket.SOCK_DGRAM, **asked)
        return [(info[0], in_figures(info)) for info in infos]

    async def create_server(
        self, protocol_factory: Callable[[], Any], host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        """As uvloop's."""
        hosts = list(host) if isinstance(host, Iterable) and not isinstance(host, str | bytes) else [host]
        if any(map(is_name, hosts)):
            asked = {"family": options.get("family", 0), "flags": options.get("flags", socket.AI_PASSIVE)}
            found: dict[Any, None] = {}
            for each in hosts:
                if is_name(each):
                    infos = await self.getaddrinfo(each, port, type=socket.SOCK_STREAM, **asked)
                    found.update((in_figures(info)[0], None) for info in infos)
                else:
                    found[each] = None
            host = list(found)
        return await super().create_server(protocol_factory, host, port, **options)

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


def counts_milliseconds(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether the time of `loop` has whole milliseconds, as uvloop's."""
    return Loop.__module__ == "uvloop" and isinstance(loop, Loop)


def _has_name(address: Any) -> bool:
    return isinstance(address, tuple | list) and len(address) > 1 and is_name(address[0])


def _pairs(locals_: list[tuple[int, Any]], remotes: list[tuple[int, Any]]) -> list[tuple[int, Any, Any]]:
    """Family, local and remote address of each endpoint that there may be; None for an address that is not given."""
    if not locals_ or not remotes:
        return [(family, local, None) for family, local in locals_] + [(family, None, far) for family, far in remotes]
    return [(family, local, far) for family, local in locals_ for other, far in remotes if other == family]


def _can_be_had(pair: tuple[int, Any, Any]) -> bool:
    family, local, remote = pair
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            if local is not None:
                sock.bind((local[0], 0))
            if remote is not None:
                sock.connect(remote)
    except OSError:
        return False
    return True


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
