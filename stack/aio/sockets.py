"""Stand-ins for sockets: what `get_extra_info("socket")` and `server.sockets` give.

Theory of operation.  Those of TCP share one table of options (`TcpOptions`), most of which are fields of TcpConfig.  A
connection is ruled by its changed settings at once (`stack.tcp.options`); of a listener the connections to come begin
with them, as on Linux.  Options that are no settings (SO_LINGER, and flags without effect) are kept in the socket.
"""

import dataclasses
import errno
import os
import socket
import struct
from collections.abc import Callable
from typing import Any, ClassVar, Final

from stack.aio import tcp_info
from stack.aio.driver import Driver
from stack.aio.sockopt import Address, Option, StackSocket, fail, int_of, number_of, sockaddr
from stack.config import MS, SECOND, TcpConfig
from stack.errors import ConfigError
from stack.tcp.congestion.registry import algorithm
from stack.tcp.connection import Connection
from stack.tcp.events import EOF
from stack.tcp.listener import Listener
from stack.tcp.options import reconfigure
from stack.tcp.state import CLOSED
from stack.udp.endpoint import UdpEndpoint

UINT_MAX: Final = 0xFFFF_FFFF
# SO_RCVBUF, SO_SNDBUF: twice of what is asked for is set, since half is for bookkeeping; and what Linux makes of less
MAX_BUFFER: Final = 1 << 29
MIN_RCVBUF: Final = 2304
MIN_SNDBUF: Final = 4608
CA_NAME_MAX: Final = 16  # TCP_CONGESTION
MAX_TIMEOUT_MS: Final = 7 * 24 * 3600 * 1000  # the longest that TcpConfig takes
MIN_MAXSEG: Final = 88  # TCP_MAXSEG, as Linux takes it
MAX_MAXSEG: Final = 32767
MAX_KEEP: Final = 32767  # seconds
MAX_KEEPCNT: Final = 127
MAX_TTL: Final = 255
LINGER: Final = struct.Struct("ii")
ECN_BITS: Final = 3  # of the TOS, not the application's (RFC 3168 §5)
IP_RECVERR: Final = 11  # <linux/in.h>; the socket module has no name for it
LISTEN_STATE: Final = 10  # TCP_LISTEN of <net/tcp_states.h>
UNACKED: Final = 12  # places in struct tcp_info
SACKED: Final = 13
_SOL, _IP, _TCP = socket.SOL_SOCKET, socket.IPPROTO_IP, socket.IPPROTO_TCP

# names of algorithms where Linux has another one; its "reno" answers partial ACKs (RFC 6582) as NewReno does
_OF_LINUX: Final = {"reno": "newreno"}
_FOR_LINUX: Final = {"newreno": "reno"}


def _ranged(field: str, unit: int, most: int) -> Option:
    """A field of TcpConfig, in units of microseconds (or 1 for a count), from 1 to `most`."""

    def change(sock: "TcpOptions", value: bytes) -> None:
        number = int_of(value)
        if not 1 <= number <= most:
            fail(errno.EINVAL, f"{number} is not from 1 to {most}")
        sock.configure(**{field: number * unit})

    return Option(lambda sock: getattr(sock.config, field) // unit, change)


def _set_keepalive(sock: "TcpOptions", value: bytes) -> None:
    sock.configure(keepalive=int_of(value) != 0)


def _set_linger(sock: "TcpOptions", value: bytes) -> None:
    if len(value) < LINGER.size:
        fail(errno.EINVAL, "SO_LINGER takes a struct linger: two ints")
    on, seconds = LINGER.unpack_from(value)
    sock.linger = (int(on != 0), seconds) if on else (0, sock.linger[1])


def _set_rcvbuf(sock: "TcpOptions", value: bytes) -> None:
    size = max(min(int_of(value) & UINT_MAX, MAX_BUFFER), MIN_RCVBUF // 2)
    sock.configure(recv_buffer=size, recv_buffer_initial=size)


def _set_sndbuf(sock: "TcpOptions", value: bytes) -> None:
    size = max(min(int_of(value) & UINT_MAX, MAX_BUFFER), MIN_SNDBUF // 2)
    sock.configure(send_buffer=size, send_buffer_initial=size)


def _set_tos(sock: "TcpOptions", value: bytes) -> None:
    # RFC 9293 §3.9.1.9 (SHLD-21)
    sock.configure(dscp=(number_of(value) & 0xFF) >> 2)


def _set_ttl(sock: "TcpOptions", value: bytes) -> None:
    sock.configure(ttl=_ttl(value, sock.default.ttl))


def _ttl(value: bytes, default: int) -> int:
    number = number_of(value)
    if number != -1 and not 1 <= number <= MAX_TTL:
        fail(errno.EINVAL, f"a TTL of {number}: use 1 to 255, or -1 for the default")
    return default if number == -1 else number


def _set_user_timeout(sock: "TcpOptions", value: bytes) -> None:
    number = int_of(value)
    if number < 0:
        fail(errno.EINVAL, f"a timeout of {number} ms")
    sock.kept[socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT] = number
    timeout_us = min(number, MAX_TIMEOUT_MS) * MS if number else sock.default.user_timeout_us
    sock.configure(user_timeout_us=timeout_us)


def _set_lowat(sock: "TcpOptions", value: bytes) -> None:
    number = int_of(value) & UINT_MAX
    sock.configure(notsent_lowat=number if number <= MAX_BUFFER else 0)


def _get_congestion(sock: "TcpOptions") -> bytes:
    name = algorithm(sock.config.congestion).name
    return _FOR_LINUX.get(name, name).encode()[: CA_NAME_MAX - 1].ljust(CA_NAME_MAX, b"\0")


def _set_congestion(sock: "TcpOptions", value: bytes) -> None:
    if not value:
        fail(errno.EINVAL, "TCP_CONGESTION takes the name of an algorithm")
    name = value[: CA_NAME_MAX - 1].partition(b"\0")[0].decode("ascii", "replace")
    name = _OF_LINUX.get(name, name)
    try:
        algorithm(name)
    except ConfigError as exc:
        raise OSError(errno.ENOENT, f"{os.strerror(errno.ENOENT)}: {exc.strerror}") from None
    sock.configure(congestion=name)


def _set_maxseg(sock: "TcpOptions", value: bytes) -> None:
    size = int_of(value)
    if size and not MIN_MAXSEG <= size <= MAX_MAXSEG:
        fail(errno.EINVAL, f"a segment size of {size}: use {MIN_MAXSEG} to {MAX_MAXSEG}")
    sock.limit_mss(size or sock.default.mss_limit)


class TcpOptions(StackSocket):
    """What connections and listeners have in common: options that are settings."""

    __slots__ = ("_driver", "linger")

    options: ClassVar = {
        **StackSocket.options,
        (_SOL, socket.SO_KEEPALIVE): Option(lambda sock: int(sock.config.keepalive), _set_keepalive),
        (_SOL, socket.SO_LINGER): Option(lambda sock: LINGER.pack(*sock.linger), _set_linger),
        (_SOL, socket.SO_RCVBUF): Option(lambda sock: 2 * sock.recv_buffer(), _set_rcvbuf),
        (_SOL, socket.SO_SNDBUF): Option(lambda sock: 2 * sock.send_buffer(), _set_sndbuf),
        (_IP, socket.IP_TOS): Option(lambda sock: sock.config.dscp << 2, _set_tos),
        (_IP, socket.IP_TTL): Option(lambda sock: sock.config.ttl, _set_ttl),
        (_TCP, socket.TCP_NODELAY): Option(
            lambda sock: int(sock.nodelay()), lambda sock, value: sock.set_nodelay(int_of(value) != 0)
        ),
        (_TCP, socket.TCP_QUICKACK): Option(
            lambda sock: int(sock.quick_ack()), lambda sock, value: sock.set_quick_ack(int_of(value) != 0)
        ),
        (_TCP, socket.TCP_KEEPIDLE): _ranged("keepalive_idle_us", SECOND, MAX_KEEP),
        (_TCP, socket.TCP_KEEPINTVL): _ranged("keepalive_interval_us", SECOND, MAX_KEEP),
        (_TCP, socket.TCP_KEEPCNT): _ranged("keepalive_probes", 1, MAX_KEEPCNT),
        (_TCP, socket.TCP_USER_TIMEOUT): Option(
            lambda sock: sock.kept.get((_TCP, socket.TCP_USER_TIMEOUT), 0), _set_user_timeout
        ),
        (_TCP, socket.TCP_NOTSENT_LOWAT): Option(lambda sock: sock.config.notsent_lowat, _set_lowat),
        (_TCP, socket.TCP_CONGESTION): Option(_get_congestion, _set_congestion),
        (_TCP, socket.TCP_MAXSEG): Option(lambda sock: sock.max_segment(), _set_maxseg),
        (_TCP, socket.TCP_INFO): Option(lambda sock: sock.info()),
    }

    def __init__(self, driver: Driver) -> None:
        super().__init__()
        self._driver = driver
        self.linger = (0, 0)  # (on, seconds); on with 0 seconds: `close` resets the connection

    @property
    def config(self) -> TcpConfig:
        """The settings that options show and change."""
        raise NotImplementedError

    @property
    def default(self) -> TcpConfig:
        """The settings of the host."""
        return self._driver.host.config.tcp

    def configure(self, **changes: Any) -> None:
        """Change settings."""
        raise NotImplementedError

    def recv_buffer(self) -> int:
        """Bytes of the receive buffer."""
        return min(self.config.recv_buffer_initial, self.config.recv_buffer)

    def send_buffer(self) -> int:
        """Bytes of the send buffer."""
        return min(self.config.send_buffer_initial, self.config.send_buffer)

    def nodelay(self) -> bool:
        """Whether Nagle's algorithm is off."""
        return self.config.nodelay

    def set_nodelay(self, on: bool) -> None:
        """Nagle's algorithm off or on."""
        self.configure(nodelay=on)

    def quick_ack(self) -> bool:
        """Whether segments are acknowledged at once."""
        return self.config.quick_acks > 0

    def set_quick_ack(self, on: bool) -> None:
        """Acknowledge the next segments at once, or as they come."""
        self.configure(quick_acks=self.default.quick_acks if on else 0)

    def max_segment(self) -> int:
        """TCP_MAXSEG: the segment size."""
        return self.config.mss_limit

    def limit_mss(self, size: int) -> None:
        """Announce and use segments of at most `size` bytes, in connections to come."""
        self.configure(mss_limit=size)

    def info(self) -> bytes:
        """TCP_INFO."""
        raise NotImplementedError


class ListenSocket(TcpOptions):
    """Of a listener.  Connections begin with its options."""

    listens: ClassVar[bool] = True

    __slots__ = ("_listener",)

    def __init__(self, listener: Listener, driver: Driver) -> None:
        super().__init__(driver)
        self._listener = listener
        self.kept[_SOL, socket.SO_REUSEADDR] = 1
        if listener.group is not None:
            self.kept[_SOL, socket.SO_REUSEPORT] = 1

    def getsockname(self) -> Address:
        """The local address and port."""
        self.check_open()
        return sockaddr(self._listener.local_addr, self._listener.local_port)

    @property
    def config(self) -> TcpConfig:
        """Of the connections to come."""
        return self._listener.config

    def configure(self, **changes: Any) -> None:
        """For connections to come."""
        self._listener.config = dataclasses.replace(self._listener.config, **changes)

    def info(self) -> bytes:
        """Of a listener Linux tells its state, how many wait to be accepted, and how many may."""
        listener, layout = self._listener, tcp_info.LAYOUT
        words = [0] * len(layout.unpack(bytes(layout.size)))
        words[0] = LISTEN_STATE
        words[UNACKED], words[SACKED] = len(listener.accept_queue), listener.backlog
        return layout.pack(*words)


class TcpSocket(TcpOptions):
    """Of a connection; options act on it at once."""

    __slots__ = ("_conn", "_told")

    def __init__(self, conn: Connection, driver: Driver) -> None:
        super().__init__(driver)
        self._conn = conn
        self._told = False

    def inherit(self, listener: ListenSocket) -> None:
        """What an accepted connection has of its listener besides the settings."""
        self.linger = listener.linger
        self.kept.update(listener.kept)

    def getsockname(self) -> Address:
        """The local address and port."""
        self.check_open()
        return sockaddr(self._conn.local_addr, self._conn.local_port)

    def getpeername(self) -> Address:
        """The remote address and port."""
        self.check_open()
        return sockaddr(self._conn.remote_addr, self._conn.remote_port)

    def shutdown(self, how: int) -> None:
        """SHUT_WR sends FIN after what the connection holds; SHUT_RD ends reading as the peer's FIN would."""
        super().shutdown(how)
        conn, driver = self._conn, self._driver
        if conn.state == CLOSED:
            fail(errno.ENOTCONN)
        if how != socket.SHUT_RD:
            conn.close(driver.time())
            driver.wake(conn)
        if how != socket.SHUT_WR and conn.user is not None:
            driver.post(conn.user, EOF)  # type: ignore[arg-type]  # its transport

    def take_error(self) -> int:
        """Why the connection has ended."""
        error = self._conn.error
        if self._told or not isinstance(error, OSError):
            return 0
        self._told = True
        return error.errno or 0

    @property
    def config(self) -> TcpConfig:
        """Of the connection."""
        return self._conn.config

    def configure(self, **changes: Any) -> None:
        """At once."""
        reconfigure(self._conn, dataclasses.replace(self._conn.config, **changes), self._driver.time())
        self._driver.wake(self._conn)

    def recv_buffer(self) -> int:
        """As it is now: it follows what is read, unless it was set."""
        config = self._conn.config
        return config.recv_buffer if config.recv_buffer <= config.recv_buffer_initial else self._conn.rcv.limit

    def send_buffer(self) -> int:
        """As it is now: it follows cwnd, unless it was set."""
        config = self._conn.config
        return config.send_buffer if config.send_buffer <= config.send_buffer_initial else self._conn.snd.send_limit()

    def nodelay(self) -> bool:
        """Whether Nagle's algorithm is off."""
        return self._conn.snd.nodelay

    def set_nodelay(self, on: bool) -> None:
        """Nagle's algorithm off or on; what waits for it goes out now."""
        self._conn.set_nodelay(on)
        self._driver.wake(self._conn)

    def quick_ack(self) -> bool:
        """Whether the next segment is acknowledged at once."""
        return self._conn.rcv.quick > 0

    def set_quick_ack(self, on: bool) -> None:
        """Acknowledge the next segments at once, or as they come."""
        self._conn.rcv.quick = self.default.quick_acks if on else 0

    def max_segment(self) -> int:
        """What is sent in one segment."""
        return self._conn.snd.eff_snd_mss

    def limit_mss(self, size: int) -> None:
        """Nothing: what was announced with the SYN holds."""

    def info(self) -> bytes:
        """`struct tcp_info`."""
        return tcp_info.pack(self._conn, self._driver.time())


# -- UDP


def _set_udp_rcvbuf(sock: "UdpSocket", value: bytes) -> None:
    sock.endpoint.limit_bytes = max(2 * min(int_of(value) & UINT_MAX, MAX_BUFFER), MIN_RCVBUF)


def _set_udp_sndbuf(sock: "UdpSocket", value: bytes) -> None:
    size = max(2 * min(int_of(value) & UINT_MAX, MAX_BUFFER), MIN_SNDBUF)
    sock.kept[_SOL, socket.SO_SNDBUF] = size


def _setter(field: str, convert: Callable[[bytes], Any]) -> "Callable[[UdpSocket, bytes], None]":
    return lambda sock, value: setattr(sock.endpoint, field, convert(value))


class UdpSocket(StackSocket):
    """Of a datagram endpoint."""

    __slots__ = ("_driver", "_peer", "endpoint")

    type: ClassVar = socket.SOCK_DGRAM
    proto: ClassVar[int] = socket.IPPROTO_UDP
    options: ClassVar = {
        **StackSocket.options,
        (_SOL, socket.SO_BROADCAST): Option(
            lambda sock: int(sock.endpoint.broadcast), _setter("broadcast", lambda value: int_of(value) != 0)
        ),
        (_SOL, socket.SO_REUSEPORT): Option(
            lambda sock: int(sock.endpoint.reuse), _setter("reuse", lambda value: int_of(value) != 0)
        ),
        (_SOL, socket.SO_RCVBUF): Option(lambda sock: sock.endpoint.limit_bytes, _set_udp_rcvbuf),
        # nothing waits to be sent, so there is nothing to limit
        (_SOL, socket.SO_SNDBUF): Option(
            lambda sock: sock.kept.get((_SOL, socket.SO_SNDBUF), sock.endpoint.limit_bytes), _set_udp_sndbuf
        ),
        (_IP, socket.IP_TOS): Option(
            lambda sock: sock.endpoint.tos, _setter("tos", lambda value: number_of(value) & 0xFF & ~ECN_BITS)
        ),
        (_IP, socket.IP_TTL): Option(
            lambda sock: sock.endpoint.ttl or sock.default_ttl, _setter("ttl", lambda value: _ttl(value, 0))
        ),
        (_IP, IP_RECVERR): Option(
            lambda sock: int(sock.endpoint.recv_errors), _setter("recv_errors", lambda value: int_of(value) != 0)
        ),
    }

    def __init__(self, endpoint: UdpEndpoint, peer: tuple[int, int] | None, driver: Driver) -> None:
        super().__init__()
        self.endpoint = endpoint
        self._peer = peer
        self._driver = driver

    @property
    def default_ttl(self) -> int:
        """Of the host."""
        return self._driver.host.config.ip.ttl

    def getsockname(self) -> Address:
        """The local address and port."""
        self.check_open()
        return sockaddr(self.endpoint.local_addr, self.endpoint.local_port)

    def getpeername(self) -> Address:
        """Raises OSError(ENOTCONN) without a fixed peer."""
        self.check_open()
        return sockaddr(*self._peer) if self._peer is not None else super().getpeername()

    def take_error(self) -> int:
        """The oldest error that was not delivered yet."""
        error = self.endpoint.take_error()
        return 0 if error is None else error.errno or 0


__all__ = [
    "Address",
    "ListenSocket",
    "StackSocket",
    "TcpOptions",
    "TcpSocket",
    "UdpSocket",
    "sockaddr",
]
