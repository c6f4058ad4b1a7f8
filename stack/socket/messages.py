"""Reading and writing of `stack.socket.socket`.

On a stream the kernel does it, on our end of a pair; when that fails the End knows why.  Of datagrams each packet in
the pair has a header (`stack.socket.datagrams`), which is put before what is sent and taken off what is received.
"""

import contextlib
import errno
import os
import socket as stdlib
from collections.abc import Iterable
from typing import Any, NoReturn

from stack.aio.sockets import sockaddr
from stack.aio.sockopt import datagram_target
from stack.socket.datagrams import HEADER, MAX_PAYLOAD, Datagrams
from stack.socket.ends import End
from stack.socket.listening import Listening
from stack.socket.stream import Stream


def fail(code: int, what: str = "") -> NoReturn:
    """Raise what a system call would."""
    raise OSError(code, f"{os.strerror(code)}: {what}" if what else os.strerror(code))


class Messages(stdlib.socket):
    """See the head of this file; the base of `stack.socket.socket`."""

    __slots__ = ("_end",)

    _end: End | None

    # -- errors

    def _failed(self, error: OSError) -> None:
        """What a call on the pair raised: raise what it means; return where it is the end of the stream."""
        end = self._end
        if end is None or error.errno not in {errno.ECONNRESET, errno.EPIPE}:
            raise error
        reason = end.take_error()
        if reason is not None:
            if error.errno == errno.EPIPE:
                with contextlib.suppress(OSError):
                    super().getsockopt(stdlib.SOL_SOCKET, stdlib.SO_ERROR)  # told herewith
            raise reason.with_traceback(None) from None
        if error.errno == errno.EPIPE:
            raise error
        # else the reason was told before

    def _ready(self) -> None:
        """Raises OSError(ENOTCONN) before there is a connection."""
        end = self._end
        if isinstance(end, Listening) or (isinstance(end, Stream) and not (end.connected or end.finished)):
            fail(errno.ENOTCONN)

    # -- receiving

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As the base class."""
        if self._end is not None:
            if isinstance(self._end, Datagrams):
                return self.recvfrom(bufsize, flags)[0]
            self._ready()
        try:
            return super().recv(bufsize, flags)
        except OSError as exc:
            self._failed(exc)
            return b""

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As the base class."""
        if self._end is not None:
            if isinstance(self._end, Datagrams):
                return self.recvfrom_into(buffer, nbytes, flags)[0]
            self._ready()
        try:
            return super().recv_into(buffer, nbytes, flags)
        except OSError as exc:
            self._failed(exc)
            return 0

    def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """As the base class."""
        if not isinstance(self._end, Datagrams):
            return (super().recvfrom(bufsize, flags)) if self._end is None else (self.recv(bufsize, flags), None)
        buffer = bytearray(bufsize)
        size, _, _, sender = self._datagram([buffer], 0, flags)
        return bytes(buffer[:size]), sender

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        """As the base class."""
        if self._end is None:
            return super().recvfrom_into(buffer, nbytes, flags)
        if not isinstance(self._end, Datagrams):
            return self.recv_into(buffer, nbytes, flags), None
        view = memoryview(buffer).cast("B")
        size, _, _, sender = self._datagram([view[:nbytes] if nbytes else view], 0, flags)
        return size, sender

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0, /) -> tuple[bytes, Any, int, Any]:
        """As the base class."""
        buffer = bytearray(bufsize)
        size, ancillary, answer, sender = self.recvmsg_into([buffer], ancbufsize, flags)
        return bytes(buffer[:size]), ancillary, answer, sender

    def recvmsg_into(self, buffers: Iterable[Any], ancbufsize: int = 0, flags: int = 0, /) -> tuple[int, Any, int, Any]:
        """As the base class."""
        if isinstance(self._end, Datagrams):
            return self._datagram(list(buffers), ancbufsize, flags)
        if self._end is not None:
            self._ready()
        try:
            return super().recvmsg_into(buffers, ancbufsize, flags)
        except OSError as exc:
            self._failed(exc)
            return 0, [], 0, None

    def _datagram(self, buffers: list[Any], ancbufsize: int, flags: int) -> tuple[int, Any, int, Any]:
        """(bytes, ancillary data, flags, sender).  Raises what was reported."""
        header = bytearray(HEADER.size)
        try:
            size, ancillary, answer, _ = super().recvmsg_into([header, *buffers], ancbufsize, flags)
        except OSError as exc:
            self._failed(exc)
            size, ancillary, answer = 0, [], 0
        if size < HEADER.size:  # shut down for reading, or the host has ended
            if self._end is not None and (error := self._end.take_error()) is not None:
                raise error
            return 0, ancillary, answer, None
        addr, port, code = HEADER.unpack(header)
        if code:
            if flags & stdlib.MSG_PEEK:
                super().recv(HEADER.size)
            fail(code)
        return size - HEADER.size, ancillary, answer, sockaddr(addr, port)

    # -- sending

    def send(self, data: Any, flags: int = 0, /) -> int:
        """As the base class."""
        if self._end is not None:
            if isinstance(self._end, Datagrams):
                return self._send_datagram([data], flags, None)
            self._ready()
        try:
            return super().send(data, flags)
        except OSError as exc:
            self._failed(exc)
            raise

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """As the base class."""
        if self._end is not None:
            if isinstance(self._end, Datagrams):
                self._send_datagram([data], flags, None)
                return
            self._ready()
        try:
            super().sendall(data, flags)
        except OSError as exc:
            self._failed(exc)
            raise

    def sendmsg(
        self,
        buffers: Iterable[Any],
        ancdata: Iterable[tuple[int, int, Any]] = (),
        flags: int = 0,
        address: Any = None,
        /,
    ) -> int:
        """As the base class; to the network there is no ancillary data."""
        if self._end is None:
            return super().sendmsg(buffers, ancdata, flags, address)
        if isinstance(self._end, Datagrams):
            return self._send_datagram(list(buffers), flags, address)
        self._ready()
        try:
            return super().sendmsg(buffers, (), flags)
        except OSError as exc:
            self._failed(exc)
            raise

    def _send_datagram(self, buffers: list[Any], flags: int, address: Any) -> int:
        end = self._end
        assert end is not None
        if address is None:
            if end.peername is None:
                fail(errno.EDESTADDRREQ)
            target = (0, 0)
        else:
            target = datagram_target(address)
        views = [memoryview(buffer).cast("B") for buffer in buffers]
        size = sum(view.nbytes for view in views)
        if size > MAX_PAYLOAD:
            fail(errno.EMSGSIZE, f"a datagram has at most {MAX_PAYLOAD} bytes")
        try:
            return super().sendmsg([HEADER.pack(*target, 0), *views], (), flags) - HEADER.size
        except OSError as exc:
            self._failed(exc)
            raise
