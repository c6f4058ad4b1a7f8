"""Echo, discard, daytime and character generator, each on TCP and UDP (RFC 862, 863, 867, 864)."""

import asyncio
import random
import socket
import time
from collections.abc import Callable
from typing import Final

ECHO: Final = 7
DISCARD: Final = 9
DAYTIME: Final = 13
CHARGEN: Final = 19

_LAST_SYSTEM_PORT: Final = 1023  # RFC 6335 §6
_UDP_CHARGEN_MAX: Final = 512  # RFC 864: a random number (between 0 and 512) of characters
_LINE: Final = 72  # RFC 864: one popular pattern is 72 character lines of the ASCII printing characters
_PRINTING: Final = bytes(range(32, 127))
_PATTERN: Final = b"".join((_PRINTING * 2)[i : i + _LINE] + b"\r\n" for i in range(len(_PRINTING)))


def daytime() -> bytes:
    """The date and time in UTC, as one line."""
    return time.strftime("%A, %B %d, %Y %H:%M:%S-UTC\r\n", time.gmtime()).encode("ascii")


class _Stream(asyncio.Protocol):
    """One connection, with keep-alive: these protocols have no idle limit, and the reset of a client may be lost.

    RFC 9293 §3.8.4 (MAY-5): for servers that "might otherwise hang indefinitely".
    """

    __slots__ = ("transport",)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


class Echo(_Stream):
    """RFC 862: what is received is sent back.  A peer that does not read is not read from."""

    __slots__ = ()

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)

    def pause_writing(self) -> None:
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        self.transport.resume_reading()


class Discard(_Stream):
    """RFC 863: what is received is thrown away; nothing is sent."""

    __slots__ = ()


class Daytime(_Stream):
    """RFC 867: the date and time as one line, then close; what is received is thrown away."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.transport.write(daytime())
        self.transport.close()


class Chargen(_Stream):
    """RFC 864: characters until the peer closes; what is received is thrown away."""

    __slots__ = ("_paused", "_stopped")

    def __init__(self) -> None:
        self._paused = False
        self._stopped = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._generate()

    def _generate(self) -> None:
        # One pattern per turn of the loop, so that a fast reader does not keep the others waiting.
        if not self._paused and not self._stopped and not self.transport.is_closing():
            self.transport.write(_PATTERN)
            asyncio.get_running_loop().call_soon(self._generate)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._generate()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stopped = True


STREAMS: Final[dict[int, Callable[[], asyncio.Protocol]]] = {
    ECHO: Echo,
    DISCARD: Discard,
    DAYTIME: Daytime,
    CHARGEN: Chargen,
}


def may_answer(port: int) -> bool:
    """Whether a datagram from `port` may be answered.

    Two such services pointed at each other by a forged source would talk for ever, and others could be
    made to.  None of them sends from a port of its own choosing below 1024, and no client does either.
    """
    return port > _LAST_SYSTEM_PORT


class Datagrams(asyncio.DatagramProtocol):
    """One UDP service; `answer` makes the reply to a datagram, None for none."""

    __slots__ = ("_answer", "transport")

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer
        self.transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if may_answer(addr[1]):
            reply = self._answer(data)
            if reply is not None:
                self.transport.sendto(reply, addr)


def _chargen_datagram(_: bytes) -> bytes:
    start = random.randrange(len(_PRINTING)) * (_LINE + 2)
    return (_PATTERN * 2)[start : start + random.randrange(_UDP_CHARGEN_MAX + 1)]


DATAGRAMS: Final[dict[int, Callable[[bytes], bytes | None]]] = {
    ECHO: lambda data: data,
    DISCARD: lambda _: None,
    DAYTIME: lambda _: daytime(),
    CHARGEN: _chargen_datagram,
}
