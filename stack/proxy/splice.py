"""Two connections made one: bytes, ends and resets pass from each to the other.

Theory of operation.  Each connection has a Half as its protocol, and the two know each other.  One is the kernel's and
one the stack's, or both are of one kind: that makes no difference.

* What comes in here is written there.  When there is too much to write there, nothing more is read here, so that the
  window of the sender closes: at most a buffer full of what asyncio takes is held, for each direction.
* The end of a stream (FIN) passes as an end of the stream: the other direction goes on.
* A reset, or a connection that timed out, passes as a reset, and what was on its way is lost, as with any reset.
* Until the second connection is there, what comes in is kept, up to HELD octets; then nothing more is read.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Final, cast

from stack.proxy import owner

HELD: Final = 64 << 10
_RESET: Final = struct.pack("ii", 1, 0)  # linger, for no time: the end is a reset


def reset(transport: asyncio.BaseTransport) -> None:
    """End a connection by RST, whatever it has in its buffers."""
    sock = transport.get_extra_info("socket")
    with contextlib.suppress(OSError):  # it is closed already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    transport.abort()  # type: ignore[attr-defined]  # all of streams have it


class Half(asyncio.Protocol):
    """One of the two.  `gone` is called when both have ended, or this one when there is no other."""

    __slots__ = ("_eof", "_finished", "_gone", "_held", "_lost", "_stopped", "far", "octets", "transport")

    def __init__(self, gone: Callable[[], None] | None = None) -> None:
        self.transport: asyncio.Transport
        self.far: Half | None = None
        self.octets = 0  # that came in
        self._gone = gone
        self._held: list[bytes] = []
        self._eof = False  # the peer has sent its end
        self._finished = False  # we have sent ours
        self._stopped = False  # there is too much to be written
        self._lost = False

    @property
    def is_lost(self) -> bool:
        """Whether the connection has ended."""
        return self._lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep it, and have the peer asked now and then whether it is there."""
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class
        with contextlib.suppress(OSError):  # RFC 9293 §3.8.4 (MAY-5): a peer that vanished must not hold us for good
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        """To the other one, or kept until it is there."""
        self.octets += len(data)
        if self.far is not None:
            self.far.transport.write(data)
            return
        self._held.append(data)
        if sum(map(len, self._held)) > HELD:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        """The end passes; this one stays open."""
        self._eof = True
        if self.far is not None:
            self.far.finish()
        return True

    def pause_writing(self) -> None:
        """There is too much to write here: read nothing more there."""
        self._stopped = True
        if self.far is not None:
            self.far.transport.pause_reading()

    def resume_writing(self) -> None:
        """There is room again."""
        self._stopped = False
        if self.far is not None:
            self.far.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Unless both streams have ended, the other one is reset."""
        self._lost = True
        self._held.clear()
        far = self.far
        if far is None:
            self._tell()
        elif far.is_lost:
            self._tell()
            far._tell()  # noqa: SLF001  # its other half
        elif exc is not None or not (self._eof and self._finished):
            reset(far.transport)

    def _tell(self) -> None:
        gone, self._gone = self._gone, None
        if gone is not None:
            gone()

    def finish(self) -> None:
        """Send the end of the stream; when both ends have passed, both connections end."""
        self._finished = True
        if not self._lost:
            self.transport.write_eof()
        far = self.far
        if far is not None and self._eof and far._finished:  # noqa: SLF001  # its other half
            self.transport.close()
            far.transport.close()

    def sweep(self) -> None:
        """Look after a connection of the kernel's that is not read from, so that nobody hears of its reset."""
        if self._lost or self.transport.is_reading():
            return
        sock = self.transport.get_extra_info("socket")
        if isinstance(sock.fileno(), int) and sock.fileno() >= 0 and owner.is_closed(sock):
            reset(self.transport)


def join(near: Half, far: Half) -> None:
    """From now on what comes to one goes to the other; what came to `near` already goes first.

    When one of them has ended meanwhile, the other one is reset.
    """
    near.far, far.far = far, near
    for one, other in ((near, far), (far, near)):
        if one.is_lost:
            if not other.is_lost:
                reset(other.transport)
            return
    for one, other in ((near, far), (far, near)):
        held, one._held = one._held, []  # noqa: SLF001  # this is theirs
        for data in held:
            other.transport.write(data)
        if one._eof:  # noqa: SLF001
            other.finish()
        if not other._stopped:  # noqa: SLF001
            one.transport.resume_reading()
