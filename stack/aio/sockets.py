"""Stand-ins for sockets: what `get_extra_info("socket")` and `server.sockets` give.

Protocols ask them for addresses and set options on them; they carry no data.  An option that the stack
has under another name is translated; one that it does not have raises OSError(ENOPROTOOPT), as the kernel does.
"""

import errno
import functools
import os
import socket
import struct
from typing import Any

from stack.config import SECOND
from stack.wire.addr import format_addr

Address = tuple[str, int]

# setsockopt(2): accepted, and nothing to do here
_IGNORED = {
    (socket.SOL_SOCKET, socket.SO_REUSEADDR), (socket.SOL_SOCKET, socket.SO_REUSEPORT),
    (socket.SOL_SOCKET, socket.SO_SNDBUF), (socket.SOL_SOCKET, socket.SO_RCVBUF),
    (socket.IPPROTO_TCP, socket.TCP_QUICKACK),
}

_text = functools.lru_cache(maxsize=4096)(format_addr)


def sockaddr(addr: int, port: int) -> Address:
    """(text, port) as the socket module writes it."""
    return (_text(addr), port)


def option_value(value: int | bytes) -> int:
    """The int of a setsockopt value."""
    return value if isinstance(value, int) else struct.unpack("i", value)[0]


class StackSocket:
    """The common part: an address and a family."""

    __slots__ = ("_local",)

    family = socket.AF_INET
    type = socket.SOCK_STREAM
    proto = socket.IPPROTO_TCP

    def __init__(self, local: Address) -> None:
        self._local = local

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.getsockname()}>"

    def fileno(self) -> int:
        """-1: no descriptor stands behind it."""
        return -1

    def getsockname(self) -> Address:
        """The local address and port."""
        return self._local

    def getpeername(self) -> Address:
        """Raises OSError(ENOTCONN)."""
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Raises OSError(ENOPROTOOPT) for an option the stack does not have."""
        if (level, option) not in _IGNORED:
            raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))

    def getsockopt(self, level: int, option: int) -> int:
        """Raises OSError(ENOPROTOOPT) for an option the stack does not have."""
        if level == socket.SOL_SOCKET:
            if option == socket.SO_TYPE:
                return self.type
            if option == socket.SO_ERROR:
                return 0
        raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))


class UdpSocket(StackSocket):
    """Of a datagram endpoint."""

    __slots__ = ("_peer",)

    type = socket.SOCK_DGRAM
    proto = socket.IPPROTO_UDP

    def __init__(self, local: Address, peer: Address | None) -> None:
        super().__init__(local)
        self._peer = peer

    def getpeername(self) -> Address:
        """Raises OSError(ENOTCONN) without a fixed peer."""
        return self._peer if self._peer is not None else super().getpeername()


class TcpSocket(StackSocket):
    """Of a connection.  TCP_NODELAY, SO_KEEPALIVE and the times of tcp(7) act on it."""

    __slots__ = ("_conn",)

    def __init__(self, conn: Any) -> None:
        super().__init__(sockaddr(conn.local_addr, conn.local_port))
        self._conn = conn

    def getpeername(self) -> Address:
        """The remote address and port."""
        return sockaddr(self._conn.remote_addr, self._conn.remote_port)
