"""One TCP connection behind a blocking socket.

Theory of operation.  Bytes go both ways between a Connection and the inside of a pair, as far as either side has room,
so nothing piles up here: what the program does not read stays in the pair, then in the connection, whose window closes;
what the peer does not take stays in the connection's send buffer, then in the pair, until `send` blocks.

    connecting -> connected -> finished: the pair is closed, or the connection has ended and all of it was delivered

*The gate.*  A descriptor must not become writable before its connection is there.  So the outside is made with its
send buffer filled; what fills it is taken away when the peer has answered.

*The mark.*  The kernel gives ECONNRESET to a Unix socket whose peer was closed with data unread.  So the last byte that
the program sent, or one of ours before it has sent any, always stays unread in the inside (SO_PEEK_OFF skips it).  To
reset the socket the inside is closed; to end it well the mark is read before.  So TLS, a duplicate or a child process,
which know nothing of this module, see a reset, too.

*How a program closes.*  SHUT_WR is an end of file at the inside: FIN.  The closing of the last copy is a hang-up: FIN
after what was sent, RST when something was not read, or comes later (RFC 9293 §3.6.1, SHLD-3).  The kernel does not
tell SHUT_RDWR from closing, so data that comes after it is answered with RST, too.
"""

import contextlib
import select
import socket as stdlib
from typing import TYPE_CHECKING, Final

from stack.aio.attempt import connect_failed
from stack.aio.driver import Driver, Ended
from stack.aio.sockets import TcpSocket, sockaddr
from stack.errors import ConnectionAborted, HostClosed, StackError
from stack.socket.ends import End
from stack.tcp.connection import Connection
from stack.tcp.events import CLOSED, CONNECTED, EOF
from stack.tcp.state import CLOSING, FIN_WAIT_1, LAST_ACK

if TYPE_CHECKING:
    from stack.socket.station import Station

PIECE: Final = 128 << 10  # bytes moved at once
TURN: Final = 8  # pieces each way before others get their turn
GATE: Final = bytes(PIECE)
SO_PEEK_OFF: Final = 42  # <asm-generic/socket.h>; the socket module has no name for it
FIN_PENDING: Final = (FIN_WAIT_1, CLOSING, LAST_ACK)
_AGAIN: Final = 1 << 16  # our own event bit: there is more to move
_SCRATCH: Final = bytearray(PIECE)  # what was looked at is read into it, and never looked at again


def shut_gate(outside: stdlib.socket) -> int:
    """Make `outside` unwritable; returns the number of bytes that it takes."""
    size = 0
    outside.setblocking(False)
    poll = select.poll()
    poll.register(outside, select.POLLOUT)
    while poll.poll(0):
        size += outside.send(GATE)
    outside.setblocking(True)
    return size


class Stream(End):
    """See the head of this file.  Takes a Connection as `Host.connect` returned it, or one that was accepted."""

    # fmt: off
    __slots__ = (
        "_app_done", "_eof", "_eof_told", "_gate", "_gone", "_held", "_input", "_output", "_over", "_refuses", "asked",
        "conn", "connected", "face", "finished", "reported",
    )
    # fmt: on

    def __init__(
        self,
        station: "Station",
        driver: Driver,
        conn: Connection,
        outside: stdlib.socket,
        inside: stdlib.socket,
        gate: int = 1,
    ) -> None:
        super().__init__(station, driver, outside, inside)
        self.conn = conn
        self.face = TcpSocket(conn, driver)
        self.sockname = sockaddr(conn.local_addr, conn.local_port)
        self.peername = sockaddr(conn.remote_addr, conn.remote_port)
        self.connected = False
        self.finished = False  # nothing will change any more
        self.asked = False  # a `connect` that does not wait was told that it goes on
        self.reported = False  # `connect` has said that it is connected
        self._gate = gate  # bytes in the inside that are none of the program's
        self._held: bytes | memoryview = b""  # of a piece, what the pair had no room for
        self._input = False  # the inside may have something
        self._output = True  # the inside may have room
        self._refuses = False  # the program reads no more
        self._eof = False  # the peer sends no more
        self._eof_told = False
        self._app_done = False  # the program sends no more: FIN was queued
        self._gone = False  # the program has closed
        self._over = False  # the connection has ended
        conn.user = self
        driver.admit(self)
        station.poller.add(inside, self)

    def __repr__(self) -> str:
        state = "finished" if self.finished else "connected" if self.connected else "connecting"
        return f"<{type(self).__name__} {state} {self.sockname} -> {self.peername}>"

    # -- events

    def on_descriptor(self, mask: int) -> None:
        """The Poller's call."""
        if mask & (select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR):
            self._input = True
        if mask & select.EPOLLOUT:
            self._output = True
        if mask & select.EPOLLHUP and not self._gone:
            self._gone = True
            if mask & select.EPOLLERR or not self.connected or self._unread() or self.face.linger == (1, 0):
                self._reset()  # the program has not read all, or does not want the connection any more
            else:
                self.conn.snd.abandon(self.driver.time())  # what waits must not wait for ever
        self._move()

    def on_events(self, events: int) -> None:
        """The driver's call, inside a pass."""
        if events & CONNECTED and not self.connected:
            self.open()
        if events & EOF:
            self._eof = True
        if events & CLOSED and not self._over:
            self._over = True
            self.conn.user = None
        self._move()

    def open(self) -> None:
        """The connection is there: open the gate, but for the mark."""
        self.connected = True
        rest = self._gate - 1
        while rest:  # the program may send already, so these are counted
            rest -= self.inside.recv_into(_SCRATCH, min(rest, PIECE))
        self.inside.setsockopt(stdlib.SOL_SOCKET, SO_PEEK_OFF, 1)
        self._input = True

    # -- moving

    def _move(self) -> None:
        """All that can be done now."""
        if self.finished:
            return
        more = False
        if self.connected:
            more = self._deliver()
            if not self._over:
                more |= self._collect()
        self._settle()
        if more and not self.finished:
            self.driver.post(self, _AGAIN)

    def _unread(self) -> bool:
        return bool(self._held) or self.conn.recv_pending() > 0

    def _deliver(self) -> bool:
        """From the peer to the program; whether there is more to be moved in another turn."""
        conn, inside = self.conn, self.inside
        if self._gone:
            if self._unread():
                self._reset()
            return False
        turns = TURN
        while self._output:
            data = self._held or conn.recv(PIECE)
            if not data:
                break
            self._held = b""
            try:
                sent = inside.send(data)
            except BlockingIOError:
                self._held = data
                self._output = False
                break
            except (
                OSError
            ):  # SHUT_RD: what comes is for nobody, and soon the window closes.  Or closed, as we will hear
                self._held = data
                self._output = False
                self._refuses = True
                break
            if sent < len(data):
                self._held = memoryview(data)[sent:]
            turns -= 1
            if not turns:
                break
        if conn.ack_pending and not self._over:  # reading has opened the window
            self.driver.wake(conn)
        if self._eof and not self._eof_told and not self._unread():
            self._eof_told = True
            _shut_write(inside)
        return not turns

    def _collect(self) -> bool:
        """From the program to the peer; whether there is more to be moved in another turn."""
        conn, inside, now = self.conn, self.inside, self.driver.time()
        turns = TURN
        while self._input and not self._app_done and turns:
            if conn.send_room() <= 0:
                break  # WRITABLE will tell
            try:
                data = inside.recv(PIECE, stdlib.MSG_PEEK)
            except BlockingIOError:
                self._input = False
                break
            except OSError:  # ECONNRESET: closed, and something was not read
                self._reset()
                return False
            if not data:
                self._app_done = True
                conn.close(now)
                break
            inside.recv_into(_SCRATCH, len(data))
            try:
                conn.send(data, now)
            except StackError:  # it has ended in this very pass, and will tell
                break
            turns -= 1
        self.driver.wake(conn)
        return not turns

    # -- the end

    def _reset(self) -> None:
        """RFC 9293 §3.6.1 (SHLD-3): RST to the peer."""
        self._held = b""
        if not self._over:
            self.conn.abort(self.driver.time())
            self.driver.wake(self.conn)

    def _settle(self) -> None:
        """End what is at its end."""
        if self._gone and self._app_done and self.inside.fileno() >= 0:
            if not self._over:
                self.conn.release(self.driver.time())
                self.driver.wake(self.conn)
            self.hang_up()
        if self._over and not (self.connected and self._unread() and not self._gone and not self._refuses):
            self._finish()  # after what came before the end was delivered

    def _finish(self) -> None:
        error = self.conn.error
        if not self.connected:
            error = connect_failed(
                error or ConnectionAborted("closed while connecting"), self.conn.remote_addr, self.conn.remote_port
            )
        self._end(error if isinstance(error, OSError) else None)

    def _end(self, error: OSError | None) -> None:
        if self.finished:
            return
        self.finished = True
        if error is not None:
            if not self._gone:
                self.set_error(error)
        elif self.inside.fileno() >= 0:
            self.inside.setsockopt(stdlib.SOL_SOCKET, SO_PEEK_OFF, -1)
            _drop_input(self.inside)
        self.hang_up()
        self.driver.release(self)

    def on_device_gone(self, exc: Ended) -> None:
        """The link is lost for good, or the host was closed."""
        self.conn.user = None
        self._over = True
        self._end(exc)

    def close(self) -> None:
        """The host is being closed: what was written may still arrive, and the program hears of it."""
        if not (self.finished or self._gone):
            self._move()
            self._leave()

    def _leave(self) -> None:
        if not (self.finished or self._over):
            self.set_error(HostClosed("the host of this connection was closed"))
            self._gone = self._app_done = True
            self.conn.close(self.driver.time())
            self._settle()

    def abort(self) -> None:
        """RST."""
        self._gone = True
        self._reset()
        self.hang_up()

    # -- by `Station.run`

    def is_flushed(self) -> bool:
        """Whether the peer has all that was sent, FIN included, or will not get it, or the program goes on."""
        return self._over or not self._gone or (self._app_done and self.conn.state not in FIN_PENDING)


def _drop_input(inside: stdlib.socket) -> None:
    """Read what the inside has."""
    with contextlib.suppress(OSError):  # it is empty, or has hung up
        while inside.recv_into(_SCRATCH):
            pass


def _shut_write(inside: stdlib.socket) -> None:
    with contextlib.suppress(OSError):  # the program has closed already
        inside.shutdown(stdlib.SHUT_WR)
