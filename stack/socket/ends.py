"""The engine's end of the pair that carries a blocking socket, and what all kinds of them share.

Theory of operation.  A socket object's descriptor is one end of a pair of Unix sockets, the outside; the inside belongs
to an End, which moves what it carries to and from the stack, in the thread of the host's loop.  So all that the kernel
does with descriptors is true of the socket: waiting, timeouts, duplicates, inheritance.  The kernel also tells
when the last copy of the outside was closed: the inside hangs up.

Of an End the socket object's thread reads fields that are set once, and takes the error; all else is the loop's.
"""

import os
import select
import socket as stdlib
import threading
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Final

from stack.aio.driver import Driver, Ended

if TYPE_CHECKING:
    from stack.socket.station import Station

PAIR_BUFFER: Final = 1 << 19  # bytes asked for each way; the kernel grants what net.core.wmem_max allows

_BY_INODE: "weakref.WeakValueDictionary[int, End]" = weakref.WeakValueDictionary()


def make_pair(kind: int = stdlib.SOCK_STREAM) -> tuple[stdlib.socket, stdlib.socket]:
    """(outside, inside).  Raises OSError: no descriptor is left."""
    outside, inside = _socketpair(kind)
    inside.setblocking(False)
    for end in (outside, inside):
        end.setsockopt(stdlib.SOL_SOCKET, stdlib.SO_SNDBUF, PAIR_BUFFER)
    return outside, inside


def _socketpair(kind: int) -> tuple[stdlib.socket, stdlib.socket]:
    """As `socket.socketpair`, also while the module is patched."""
    first, second = _pair(stdlib.AF_UNIX, kind, 0)
    return Plain(fileno=first.detach()), Plain(fileno=second.detach())


# what the module had before anybody patched it
Plain: Final = stdlib.socket
_pair: Final = stdlib._socket.socketpair  # type: ignore[attr-defined]  # noqa: SLF001  (socket.socketpair uses it)


class End:
    """See the head of this file."""

    # fmt: off
    __slots__ = ("__weakref__", "_error", "_lock", "driver", "inside", "peername", "sockname", "station")
    # fmt: on

    kind: ClassVar[int] = stdlib.SOCK_STREAM
    proto: ClassVar[int] = stdlib.IPPROTO_TCP
    face: Any  # a StackSocket

    def __init__(self, station: "Station", driver: Driver, outside: stdlib.socket, inside: stdlib.socket) -> None:
        self.station = station
        self.driver = driver
        self.inside = inside
        self.sockname: Any = None
        self.peername: Any = None
        self._error: OSError | None = None
        self._lock = threading.Lock()
        _BY_INODE[os.fstat(outside.fileno()).st_ino] = self

    # -- any thread

    def take_error(self) -> OSError | None:
        """What went wrong, once."""
        with self._lock:
            error, self._error = self._error, None
        return error

    # -- the loop's thread

    def set_error(self, error: OSError) -> None:
        """Have the next call of the socket raise `error`."""
        with self._lock:
            self._error = error

    def hang_up(self) -> None:
        """Close the inside.  If something of what the socket has sent is unread there, it finds itself reset."""
        if self.inside.fileno() >= 0:
            self.station.poller.remove(self.inside)
            self.inside.close()

    def look(self) -> None:
        """See whether the outside was closed, without waiting to be told."""
        if self.inside.fileno() >= 0:
            poll = select.poll()
            poll.register(self.inside, select.POLLRDHUP)
            for _, mask in poll.poll(0):
                self.on_descriptor(mask)

    def on_descriptor(self, mask: int) -> None:
        """The Poller's call."""
        raise NotImplementedError

    def on_callback_error(self, exc: BaseException) -> None:  # noqa: ARG002  (it was told of)
        """Something here is wrong: give this socket up."""
        self.abort()

    def on_device_gone(self, exc: Ended) -> None:
        """The link is lost for good, or the host was closed."""
        raise NotImplementedError

    def close(self) -> None:
        """Finish what was begun, then end: the host is being closed."""
        raise NotImplementedError

    def abort(self) -> None:
        """End now."""
        raise NotImplementedError


def end_of(fd: int) -> End | None:
    """The End whose outside, or a copy of it, is the descriptor `fd`."""
    try:
        return _BY_INODE.get(os.fstat(fd).st_ino)
    except OSError:
        return None
