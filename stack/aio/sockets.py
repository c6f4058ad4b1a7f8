"""Stand-ins for sockets: what `get_extra_info("socket")` and `server.sockets` give.

Protocols ask them for addresses and set options on them; they carry no data.  An option that the stack
has under another name is translated; one that it does not have raises OSError(ENOPROTOOPT), as the kernel does.
"""

import dataclasses
import errno
import functools
import os
import socket
import sys

from stack.aio.driver import Driver
from stack.config import MS, SECOND
from stack.tcp.connection import Connection
from stack.wire.addr import format_addr, parse_addr

Address = tuple[str, int]

# setsockopt(2): accepted, and nothing to do here
_IGNORED = {
    (socket.SOL_SOCKET, socket.SO_REUSEADDR),
    (socket.SOL_SOCKET, socket.SO_REUSEPORT),
    (socket.SOL_SOCKET, socket.SO_SNDBUF),
    (socket.SOL_SOCKET, socket.SO_RCVBUF),
    (socket.IPPROTO_TCP, socket.TCP_QUICKACK),
}

# option: field of TcpConfig and its unit in microseconds (or 1 for a count)
_SETTINGS = {
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE): ("keepalive_idle_us", SECOND),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL): ("keepalive_interval_us", SECOND),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT): ("keepalive_probes", 1),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT): ("user_timeout_us", MS),
    (socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT): ("notsent_lowat", 1),
}

_text = functools.lru_cache(maxsize=4096)(format_addr)
_number = functools.lru_cache(maxsize=4096)(parse_addr)


def sockaddr(addr: int, port: int) -> Address:
    """(text, port) as the socket module writes it."""
    return (_text(addr), port)


def from_sockaddr(address: Address) -> tuple[int, int]:
    """(address, port) as the Host takes them.  Raises InvalidAddress."""
    return _number(address[0]), address[1]


def option_value(value: int | bytes) -> int:
    """The int of a setsockopt value."""
    return value if isinstance(value, int) else int.from_bytes(value[:4], sys.byteorder, signed=True)


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

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:  # noqa: ARG002
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
    """Of a connection.  TCP_NODELAY, SO_KEEPALIVE, IP_TOS and the times of tcp(7) act on it."""

    __slots__ = ("_conn", "_driver")

    def __init__(self, conn: Connection, driver: Driver) -> None:
        super().__init__(sockaddr(conn.local_addr, conn.local_port))
        self._conn = conn
        self._driver = driver

    def getpeername(self) -> Address:
        """The remote address and port."""
        return sockaddr(self._conn.remote_addr, self._conn.remote_port)

    def setsockopt(self, level: int, option: int, value: int | bytes) -> None:
        """Raises OSError(ENOPROTOOPT) for an option the stack does not have, OSError(EINVAL) for a bad value."""
        conn, number = self._conn, option_value(value)
        if (level, option) == (socket.IPPROTO_TCP, socket.TCP_NODELAY):
            conn.set_nodelay(bool(number))
        elif (level, option) == (socket.SOL_SOCKET, socket.SO_KEEPALIVE):
            self._configure("keepalive", bool(number))
        elif (level, option) == (socket.IPPROTO_IP, socket.IP_TOS):
            # RFC 9293 §3.9.1.9 (SHLD-21); the two low bits are those of ECN and not the application's (RFC 3168 §5)
            self._configure("dscp", (number & 0xFF) >> 2)
        elif (setting := _SETTINGS.get((level, option))) is not None:
            if number < 1:
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            field, unit = setting
            self._configure(field, number * unit)
        else:
            super().setsockopt(level, option, value)
        self._driver.wake(conn)

    def _configure(self, field: str, value: int) -> None:
        conn = self._conn
        conn.config = dataclasses.replace(conn.config, **{field: value})  # type: ignore[arg-type]
        conn.snd.configure(conn.config)
        conn.set_keepalive(conn.config.keepalive, self._driver.time())

    def getsockopt(self, level: int, option: int) -> int:
        """Raises OSError(ENOPROTOOPT) for an option the stack does not have."""
        conn = self._conn
        if level == socket.IPPROTO_TCP:
            if option == socket.TCP_NODELAY:
                return int(conn.snd.nodelay)
            if option == socket.TCP_MAXSEG:
                return conn.snd.eff_snd_mss
        elif (level, option) == (socket.IPPROTO_IP, socket.IP_TOS):
            return conn.config.dscp << 2
        elif level == socket.SOL_SOCKET:
            if option == socket.SO_KEEPALIVE:
                return int(conn.config.keepalive)
            if option == socket.SO_SNDBUF:
                return conn.config.send_buffer
            if option == socket.SO_RCVBUF:
                return conn.config.recv_buffer
        if (setting := _SETTINGS.get((level, option))) is not None:
            field, unit = setting
            return getattr(conn.config, field) // unit  # type: ignore[no-any-return]
        return super().getsockopt(level, option)
