"""asyncio's stream transport over one TCP connection of the stack.

Theory of operation.  A StackTransport is the `user` of its Connection; the driver calls `on_events`
from its passes and nothing else calls into the protocol, except `pause_writing`, which is called from
within `write` as in asyncio.  What the protocol must be told later (`connection_lost`, data
that was held back) is posted to the driver.

    open -> closing -> lost -> forgotten

* The connection's send buffer takes the place of the kernel's: the transport's own "write buffer" is
  what exceeds `TcpConfig.send_buffer`.  So `connection_lost` follows `close` as soon as the rest fits
  there, while the connection lives on until the peer has everything, and the water marks mean what
  they mean over a kernel socket.  Until then a transport that is closing still takes what is written,
  as asyncio's does: TLS says goodbye when it is told to write again.
* While reading is paused, data stays in the connection, whose window closes.
* What happens to the connection is told from the loop's next round on, as by asyncio's loop: a task that
  `connection_made` has begun can pause reading or start TLS before the old protocol hears of data.
* After `connection_lost` (lost) the application is gone.  The transport stays with the connection
  until that has ended (forgotten): the driver can then tell when everything has drained.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any, Final, Protocol

from stack.aio.driver import Driver, Ended
from stack.aio.sockets import TcpSocket
from stack.aio.sockopt import sockaddr
from stack.errors import BrokenPipe, StackError
from stack.tcp.connection import Connection
from stack.tcp.events import CLOSED, EOF, READABLE, WRITABLE

logger = logging.getLogger(__name__)

HIGH_WATER: Final = 64 << 10
# As much as one super-segment: what is larger comes as it is, smaller segments are joined.  To join super-segments
# would be a third copy of all data
READ_BYTES: Final = 1 << 16
COPIED_BELOW: Final = 4096  # bytes: smaller pieces that are queued together are joined
IGNORED_WRITES: Final = 5  # writes to a lost connection before a warning
_LOST: Final = 1 << 16  # our own event bit: call connection_lost


def water_marks(high: int | None, low: int | None) -> tuple[int, int]:
    """(low, high) of what `set_write_buffer_limits` was given.  Raises ValueError as asyncio does."""
    if high is None:
        high = HIGH_WATER if low is None else 4 * low
    if low is None:
        low = high // 4
    if not high >= low >= 0:
        raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
    return low, high


class Owner(Protocol):
    """The server that made a transport."""

    def detach(self, transport: "StackTransport") -> None:
        """`transport` has called connection_lost."""


class StackTransport(asyncio.Transport):
    """A stream transport.  Made by AsyncHost; all methods as documented for asyncio.Transport."""

    __slots__ = (
        "_barred",
        "_begun",
        "_buffered",
        "_closing",
        "_conn",
        "_driver",
        "_dropped",
        "_eof_done",
        "_eof_seen",
        "_eof_written",
        "_error",
        "_flushing",
        "_high",
        "_lost",
        "_low",
        "_missed",
        "_paused",
        "_protocol",
        "_protocol_paused",
        "_server",
        "_socket",
        "_writes_ignored",
    )

    _protocol: Any  # None after connection_lost

    # asyncio.sslproto and loop.start_tls ask for this
    _start_tls_compatible = True

    def __init__(
        self,
        driver: Driver,
        conn: Connection,
        protocol: asyncio.BaseProtocol,
        *,
        server: Owner | None = None,
        face: TcpSocket | None = None,
    ) -> None:
        self._driver = driver
        self._conn = conn
        self._server = server
        self._socket = face
        self._barred = ""  # why `write` may not be called: the text of its RuntimeError
        self._paused = False
        self._begun = False  # the round after `start`: from then on events are acted on
        self._missed = 0  # events that came before
        self._closing = False
        self._flushing = False  # closing, with more to send than the connection's send buffer holds
        self._dropped = False  # connection_lost is on its way
        self._lost = False
        self._eof_seen = False
        self._eof_done = False
        self._eof_written = False
        self._protocol_paused = False
        self._writes_ignored = 0
        self._error: BaseException | None = None
        self._high = HIGH_WATER
        self._low = HIGH_WATER // 4
        self.set_protocol(protocol)
        driver.admit(self)
        conn.user = self
        conn.set_nodelay(True)  # as asyncio does: what is written together leaves together anyway

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        here, there = self.get_extra_info("sockname"), self.get_extra_info("peername")
        return f"<{type(self).__name__} {state} {here[0]}:{here[1]} -> {there[0]}:{there[1]}>"

    # -- events

    def start(self) -> None:
        """Make the connection known to the protocol; what came already is kept until `begin`."""
        self._make()
        self.on_events(self._conn.take_events())

    def on_events(self, events: int) -> None:
        """The driver's call, inside a pass."""
        if events == READABLE and self._begun and not self._lost:
            self._read()
            return
        if events & CLOSED:
            self._conn.user = None  # first of all: what follows may raise
        if not self._begun:
            self._missed |= events
            if events & READABLE:
                self._conn.delay_ack(self._driver.now)  # in the next round it leaves with the answer
            return
        if self._lost:
            if events & CLOSED:
                self._driver.release(self)
            return
        if events & EOF:
            self._eof_seen = True
        if events & (READABLE | EOF) and not self._lost:
            self._read()
        if events & WRITABLE:
            self._drained()
        if events & CLOSED:
            self._on_closed()
        if events & _LOST:
            self._connection_lost()

    def begin(self) -> int:
        """The loop's next round: from now on events are acted on; those that were kept."""
        self._begun = True
        if self._lost:
            return 0
        if self._missed & READABLE and self._conn.user is self:
            self._conn.ack_soon()
            self._driver.host.wake(self._conn)  # a pass follows, as there are events
        return self._missed

    def _make(self) -> None:
        """An error in `connection_made` is told of, and the connection goes on, as in asyncio."""
        try:
            self._protocol.connection_made(self)
        except Exception as exc:  # noqa: BLE001  (application code may raise anything)
            self._driver.report(self, self._protocol, "connection_made", exc)

    def _on_closed(self) -> None:
        """The connection has ended."""
        error = self._conn.error
        if error is not None or self._closing:
            self._force_close(error)
        # else both sides have sent their FIN; as over a kernel socket it is the application that closes, now or after
        # it has read the rest

    def on_callback_error(self, exc: BaseException) -> None:
        """A callback of the protocol raised: the end is that of `abort`, as in asyncio."""
        self._force_close(exc)

    def on_device_gone(self, exc: Ended) -> None:
        """The link is lost for good, or the host was closed."""
        self._conn.user = None
        if not self._lost:
            self._closing = self._dropped = True
            self._error = exc
            self._connection_lost()

    # -- reading

    def _read(self) -> None:
        """Deliver what waits, until the protocol pauses or closes; each piece to the protocol that is there then."""
        conn = self._conn
        while not (self._paused or self._closing):
            is_buffered = self._buffered
            data = b"" if is_buffered else conn.recv(READ_BYTES)
            count = self._read_into() if is_buffered else len(data)
            if not count:
                break
            if conn.ack_pending:  # reading has opened the window
                self._driver.wake(conn)
            if is_buffered:
                self._protocol.buffer_updated(count)
            else:
                self._protocol.data_received(data)
        if self._eof_seen and not self._eof_done and self.is_reading():
            self._eof_done = True
            if not self._protocol.eof_received():
                self.close()

    def _read_into(self) -> int:
        """How much is now in the buffer of a BufferedProtocol; 0 when nothing waits."""
        conn = self._conn
        if not conn.recv_pending():
            return 0
        buffer = memoryview(self._protocol.get_buffer(-1)).cast("B")
        if not buffer.nbytes:
            raise RuntimeError("get_buffer() returned an empty buffer")
        return conn.recv_into(buffer)

    def is_reading(self) -> bool:
        """Whether data is delivered as it comes."""
        return not (self._paused or self._closing)

    def pause_reading(self) -> None:
        """Leave data in the connection; when its buffer is full the peer has to stop."""
        if not self._closing:
            self._paused = True

    def resume_reading(self) -> None:
        """Deliver data again; what waits comes with the driver's next pass."""
        if self._closing or not self._paused:
            return
        self._paused = False
        self._driver.post(self, READABLE)

    # -- writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Queue `data`; it leaves at the end of the pass, or in the loop's next round."""
        if type(data) is not bytes:
            if not isinstance(data, (bytes, bytearray, memoryview)):
                raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
            data = bytes(data)
        if self._barred:
            raise RuntimeError(self._barred)
        if self._closing and not self._flushing:
            self._ignore_write()
            return
        if not data:
            return
        driver, conn = self._driver, self._conn
        try:
            conn.send(data, driver.time())
        except BrokenPipe as exc:  # the application shut the socket down for writing
            self._force_close(exc)
            return
        except StackError:  # it has ended in this very pass; connection_lost is about to come
            self._ignore_write()
            return
        driver.wake(conn)
        if conn.want_writable and not self._protocol_paused and -conn.send_room() > self._high:
            self._pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Queue several pieces as one: large ones as they are, what lies between them joined."""
        between: list[bytes | bytearray | memoryview] = []
        for data in list_of_data:
            if type(data) is bytes and len(data) >= COPIED_BELOW:
                if between:
                    self.write(b"".join(between))
                    between.clear()
                self.write(data)
            else:
                between.append(data)
        if between:
            self.write(b"".join(between))

    def _ignore_write(self) -> None:
        self._writes_ignored += 1
        if self._writes_ignored >= IGNORED_WRITES:
            logger.warning("write to a closed connection ignored")

    def write_eof(self) -> None:
        """Send FIN after what is queued; reading goes on."""
        if self._closing or self._eof_written:
            return
        self._eof_written = True
        self._barred = "Cannot call write() after write_eof()"
        self._conn.close(self._driver.time())
        self._driver.wake(self._conn)

    def can_write_eof(self) -> bool:
        """Always."""
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """When to call pause_writing and resume_writing, in bytes beyond the connection's send buffer."""
        self._low, self._high = water_marks(high, low)
        if not self._protocol_paused and self.get_write_buffer_size() > self._high:
            self._pause_writing()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high)."""
        return (self._low, self._high)

    def get_write_buffer_size(self) -> int:
        """Bytes queued beyond the connection's send buffer."""
        return 0 if self._lost else max(0, -self._conn.send_room())

    def _pause_writing(self) -> None:
        self._protocol_paused = True
        try:
            self._protocol.pause_writing()
        except Exception as exc:  # noqa: BLE001  (application code may raise anything)
            self._driver.report(self, self._protocol, "pause_writing", exc)

    def _drained(self) -> None:
        """The connection's send buffer has room again."""
        size = self.get_write_buffer_size()
        if self._protocol_paused and size <= self._low:
            self._protocol_paused = False
            try:
                self._protocol.resume_writing()
            except Exception as exc:  # noqa: BLE001  (application code may raise anything)
                self._driver.report(self, self._protocol, "resume_writing", exc)
        if self._closing and not self.get_write_buffer_size():
            if self._flushing and self._conn.user is self:
                self._end()
            self._connection_lost()

    def bar_writing(self, why: str) -> None:
        """Have `write` raise RuntimeError(`why`); "": no more."""
        self._barred = why or ("Cannot call write() after write_eof()" if self._eof_written else "")

    # -- closing

    def is_closing(self) -> bool:
        """Whether close or abort was called, or the connection is gone."""
        return self._closing

    def close(self) -> None:
        """Send what is queued, then FIN; no more data is received."""
        if self._closing:
            return
        self._driver.schedule()  # first, since it raises in another thread and in a forked child
        self._closing = True
        if self._conn.user is self:
            self._flushing = self.get_write_buffer_size() > 0
            if not self._flushing:
                self._end()
        if not self.get_write_buffer_size():
            self._driver.post(self, _LOST)

    def _resets_at_end(self) -> bool:
        """SO_LINGER with a time of 0: as of a kernel socket, the end is a reset."""
        return self._socket is not None and self._socket.linger == (1, 0)

    def abort(self) -> None:
        """Close at once.  What exceeds the connection's send buffer is lost; the rest is sent, then FIN.

        So ends a connection whose kernel socket is closed, which is what abort does there; libraries (anyio) end all of
        theirs in this way.  As there, data that was not read, or comes later, is answered with RST, and SO_LINGER with
        a time of 0 makes the end a RST.
        """
        if not self._lost:
            self._driver.schedule()  # first, as in `close`
            self._force_close(None)

    def _force_close(self, exc: BaseException | None) -> None:
        if self._dropped:
            return
        self._closing = self._dropped = True
        self._flushing = False
        self._error = exc
        if self._conn.user is self:
            self._conn.snd.drop_excess()
            self._end()
        self._driver.post(self, _LOST)

    def _end(self) -> None:
        if not (self._eof_written or self._resets_at_end()):
            self._conn.close(self._driver.time())
        self._driver.wake(self._conn)

    def _connection_lost(self) -> None:
        if self._lost:
            return
        self._lost = True
        self._flushing = False
        if self._conn.user is self:
            if self._resets_at_end():
                self._conn.abort(self._driver.time())
            else:
                # RFC 9293 §3.6.1 (SHLD-3): what is not read, or comes from now on, is answered with RST.
                self._conn.release(self._driver.time())
            self._driver.wake(self._conn)
        else:
            self._driver.release(self)
        try:
            self._protocol.connection_lost(self._error)
        finally:
            if self._socket is not None:
                self._socket.retire()
            self._protocol = None  # nothing is kept alive by what TCP still has to do
            server, self._server = self._server, None
            if server is not None:
                server.detach(self)

    # -- looking in

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on `protocol` is called."""
        self._protocol = protocol
        self._buffered = isinstance(protocol, asyncio.BufferedProtocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        """The protocol that is called."""
        return self._protocol  # type: ignore[no-any-return]

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """peername, sockname, socket; and our own: connection, tcp_info."""
        conn = self._conn
        if name == "peername":
            return sockaddr(conn.remote_addr, conn.remote_port)
        if name == "sockname":
            return sockaddr(conn.local_addr, conn.local_port)
        if name == "socket":
            if self._socket is None:
                self._socket = TcpSocket(conn, self._driver)
                if self._lost:
                    self._socket.retire()
            return self._socket
        if name == "connection":
            return conn
        if name == "tcp_info":
            return conn.tcp_info()
        return default
