"""A port behind a blocking socket: taken by `bind`, and accepting from `listen` on.

Theory of operation.  The outside becomes readable by one byte for each connection that can be accepted: so waiting for
a connection is reading a byte, with the timeouts that the kernel gives that.  A few connections are made ready
beforehand, each with its pair; the others wait in the stack's listener, whose backlog bounds them.
"""

import select
import socket as stdlib
from collections import deque
from typing import TYPE_CHECKING, Final

from stack.aio.driver import Driver, Ended
from stack.aio.sockets import ListenSocket, sockaddr
from stack.errors import HostClosed
from stack.socket.ends import End, make_pair
from stack.socket.stream import Stream
from stack.tcp.listener import Listener

if TYPE_CHECKING:
    from stack.socket.station import Station

READY: Final = 8  # connections that have their pairs
RETRY_S: Final = 0.1  # when there were no descriptors
TOKEN: Final = b"\1"


class Listening(End):
    """See the head of this file.  Takes a Listener that does not accept yet."""

    __slots__ = ("_listener", "_over", "face", "listens", "ready")

    def __init__(
        self, station: "Station", driver: Driver, listener: Listener, outside: stdlib.socket, inside: stdlib.socket
    ) -> None:
        super().__init__(station, driver, outside, inside)
        self._listener = listener
        self.face = ListenSocket(listener, driver)
        self.sockname = sockaddr(listener.local_addr, listener.local_port)
        self.listens = False
        self.ready: deque[tuple[Stream, stdlib.socket]] = deque()
        self._over = False
        listener.user = self
        driver.admit(self)
        station.poller.add(inside, self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.sockname}>"

    def listen(self, backlog: int) -> None:
        """Begin to accept connections, or change how many may wait."""
        self._listener.backlog = max(1, backlog)
        self._listener.accepting = True
        self.listens = True

    def release(self) -> tuple[int, int]:
        """Give the port, on which nobody listens, to a connection that begins now: (address, port)."""
        local = self._listener.local_addr, self._listener.local_port
        self.abort()
        return local

    def refill(self) -> None:
        """Have connections ready to be taken."""
        while not self._over and len(self.ready) < READY and self._listener.accept_queue:
            try:
                outside, inside = make_pair()
            except OSError:  # no descriptors: those who wait go on waiting, as in the kernel
                self.driver.loop.call_later(RETRY_S, self.refill)
                return
            conn = self._listener.accept()
            assert conn is not None
            outside.send(TOKEN)  # the mark
            stream = Stream(self.station, self.driver, conn, outside, inside)
            stream.face.inherit(self.face)
            stream.open()
            stream.reported = True
            self.ready.append((stream, outside))
            stream.on_events(conn.take_events())
            try:
                self.inside.send(TOKEN)
            except OSError:  # closed, as we will hear
                return

    # -- the calls of driver and Poller

    def on_events(self, events: int) -> None:  # noqa: ARG002  (ACCEPTABLE is the only one)
        """Connections wait to be accepted."""
        self.refill()

    def on_descriptor(self, mask: int) -> None:
        """Only a hang-up counts: the program has closed the port."""
        if mask & select.EPOLLHUP:
            self.abort()

    def on_device_gone(self, exc: Ended) -> None:
        """The link is lost for good, or the host was closed."""
        self.set_error(exc)
        self.abort()

    def close(self) -> None:
        """The host is being closed."""
        self.set_error(HostClosed("the host of this port was closed"))
        self.abort()

    def abort(self) -> None:
        """Give the port back.  What was not accepted is reset."""
        if self._over:
            return
        self._over = True
        self._listener.user = None
        self.hang_up()
        if self.driver.is_open:
            self.driver.host.unlisten(self._listener, self.driver.time())
            self.driver.schedule()
        self.driver.release(self)
        while self.ready:
            stream, outside = self.ready.popleft()
            stream.abort()
            outside.close()
