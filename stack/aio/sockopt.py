"""What a socket of the stack is: addresses, and options as rows of a table.

Theory of operation.  Protocols ask sockets for addresses and set options on them; like asyncio's TransportSocket those
of the stack carry no data and cannot be closed: `retire` is the end of their transport, after which, as of a
descriptor that was closed, every question raises OSError(EBADF).  A row of the table says what getsockopt(2) reads and
what setsockopt(2) does.  What has no row raises OSError(ENOPROTOOPT), as the kernel does.  Values go through the same
bytes as in the kernel: an int is four of them, and an answer is cut to the length that was asked for.
"""

import contextlib
import errno
import functools
import os
import socket
import sys
from collections.abc import Callable
from typing import Any, ClassVar, Final, NamedTuple, NoReturn

from stack.aio.names import check_port
from stack.errors import InvalidAddress
from stack.wire.addr import format_addr, parse_addr

Address = tuple[str, int]

INT: Final = 4
MAX_BUFLEN: Final = 1024  # of getsockopt, as in CPython

_PREFIXES: Final = {
    socket.SOL_SOCKET: "SO_",
    socket.IPPROTO_IP: "IP_",
    socket.IPPROTO_TCP: "TCP_",
    socket.IPPROTO_UDP: "UDP_",
    socket.IPPROTO_IPV6: "IPV6_",
}

_text = functools.lru_cache(maxsize=4096)(format_addr)
_number = functools.lru_cache(maxsize=4096)(parse_addr)


def sockaddr(addr: int, port: int) -> Address:
    """(text, port) as the socket module writes it."""
    return (_text(addr), port)


def datagram_target(address: Any) -> tuple[int, int]:
    """(address, port) of where `sendto` shall send, as the Host takes them.

    Raises what `socket.sendto` does: TypeError for what is no pair of a host and a number, OverflowError for what is no
    port, socket.gaierror for what is no IPv4 address in figures: nothing is looked up here.
    """
    if address is None:
        raise TypeError("sendto() needs an address, (host, port): the endpoint has no fixed peer")
    if not isinstance(address, tuple) or len(address) != 2:
        raise TypeError(f"sendto() takes an IPv4 address as a tuple (host, port), not {address!r}")
    host, port = address
    if not isinstance(host, str):
        if not isinstance(host, (bytes, bytearray)):
            raise TypeError(f"sendto() takes the host as a str, not {type(host).__name__!r}")
        host = host.decode("latin-1")
    if not isinstance(port, int):
        raise TypeError(f"sendto() takes the port as an int, not {type(port).__name__!r}")
    check_port(port, "sendto")
    try:
        return _number(host), port
    except InvalidAddress:
        raise no_figures(host) from None


def no_figures(host: Any) -> socket.gaierror:
    """The error of a datagram to a name."""
    code = socket.EAI_ADDRFAMILY if ":" in str(host) else socket.EAI_NONAME
    return socket.gaierror(
        code, f"{host!r} is no IPv4 address in figures: sendto() looks nothing up, use loop.getaddrinfo() before"
    )


def fail(code: int, what: str = "") -> NoReturn:
    """Raise what a system call would."""
    raise OSError(code, f"{os.strerror(code)}: {what}" if what else os.strerror(code))


def _option_name(level: int, option: int) -> str:
    """As the socket module has it, where it does."""
    prefix = _PREFIXES.get(level)
    # of names with one value the last: IP_DEFAULT_..., IP_MAX_... are values of options
    names = [name for name in sorted(vars(socket)) if prefix and name.startswith(prefix)]
    found = [name for name in names if vars(socket)[name] == option]
    return found[-1] if found else f"option {option} of level {level}"


def _value_bytes(value: Any) -> bytes:
    """What a system call is given.  Raises TypeError."""
    if isinstance(value, int):
        if not -1 << 31 <= value < 1 << 31:
            raise TypeError(f"setsockopt() takes an int of {INT} bytes, not {value}, or a bytes-like object")
        return value.to_bytes(INT, sys.byteorder, signed=True)
    try:
        return bytes(memoryview(value))
    except TypeError:
        hint = f": use {value.encode()!r}" if isinstance(value, str) else ""
        raise TypeError(
            f"setsockopt() takes an int or a bytes-like object, not {type(value).__name__!r}{hint}"
        ) from None


def int_of(value: bytes) -> int:
    """The int that a system call reads of an option's value."""
    if len(value) < INT:
        fail(errno.EINVAL, f"the option takes an int of {INT} bytes")
    return int.from_bytes(value[:INT], sys.byteorder, signed=True)


def number_of(value: bytes) -> int:
    """The same of an option of IP, which takes a single byte, too."""
    return value[0] if 0 < len(value) < INT else int_of(value)


class Option(NamedTuple):
    """How a socket answers getsockopt(2), and what setsockopt(2) does; None: it cannot be set."""

    get: "Callable[[Any], int | bytes]"
    set: "Callable[[Any, bytes], None] | None" = None


def _flag(level: int, option: int) -> Option:
    """An option that is kept for whoever asks, and has nothing to act on."""
    return Option(
        lambda sock: sock.kept.get((level, option), 0),
        lambda sock, value: sock.kept.__setitem__((level, option), int(int_of(value) != 0)),
    )


class StackSocket:
    """The common part: addresses, and the options of all sockets."""

    __slots__ = ("_retired", "kept")

    family: ClassVar = socket.AF_INET
    type: ClassVar = socket.SOCK_STREAM
    proto: ClassVar[int] = socket.IPPROTO_TCP
    listens: ClassVar[bool] = False
    options: ClassVar[dict[tuple[int, int], Option]] = {
        (socket.SOL_SOCKET, socket.SO_TYPE): Option(lambda sock: int(sock.type)),
        (socket.SOL_SOCKET, socket.SO_DOMAIN): Option(lambda sock: int(sock.family)),
        (socket.SOL_SOCKET, socket.SO_PROTOCOL): Option(lambda sock: int(sock.proto)),
        (socket.SOL_SOCKET, socket.SO_ERROR): Option(lambda sock: sock.take_error()),
        (socket.SOL_SOCKET, socket.SO_ACCEPTCONN): Option(lambda sock: int(sock.listens)),
        (socket.SOL_SOCKET, socket.SO_REUSEADDR): _flag(socket.SOL_SOCKET, socket.SO_REUSEADDR),
        (socket.SOL_SOCKET, socket.SO_REUSEPORT): _flag(socket.SOL_SOCKET, socket.SO_REUSEPORT),
        (socket.SOL_SOCKET, socket.SO_BROADCAST): _flag(socket.SOL_SOCKET, socket.SO_BROADCAST),
    }

    def __init__(self) -> None:
        self.kept: dict[tuple[int, int], int] = {}  # options that were set, where nothing else remembers them
        self._retired = False

    def retire(self) -> None:
        """What it stood for has been closed."""
        self._retired = True

    def check_open(self) -> None:
        """Raises OSError(EBADF)."""
        if self._retired:
            fail(errno.EBADF, "its transport was closed")

    def __repr__(self) -> str:
        parts = [f"family={self.family!s}", f"type={self.type!s}", f"proto={self.proto}"]
        with contextlib.suppress(OSError):
            parts.append(f"laddr={self.getsockname()}")
            parts.append(f"raddr={self.getpeername()}")
        return f"<tapstack.{type(self).__name__} fd=-1, {', '.join(parts)}>"

    def __getstate__(self) -> object:
        raise TypeError(f"cannot serialize {type(self).__name__}: it belongs to a running stack")

    def fileno(self) -> int:
        """-1: no descriptor stands behind it."""
        return -1

    def dup(self) -> NoReturn:
        """Raises OSError(EBADF): no descriptor stands behind it."""
        fail(errno.EBADF, "a socket of the stack has no descriptor to duplicate")

    def get_inheritable(self) -> bool:
        """False: a child process cannot have it."""
        return False

    def settimeout(self, value: float | None) -> None:
        """Only 0: transports never block."""
        if value != 0:
            raise ValueError("settimeout(): only 0 timeout is allowed on transport sockets")

    def gettimeout(self) -> float:
        """0: transports never block."""
        return 0

    def setblocking(self, flag: bool) -> None:
        """Only False: transports never block."""
        if flag:
            raise ValueError("setblocking(): transport sockets cannot be blocking")

    def getsockname(self) -> Address:
        """The local address and port."""
        raise NotImplementedError

    def getpeername(self) -> Address:
        """Raises OSError(ENOTCONN)."""
        self.check_open()
        fail(errno.ENOTCONN)

    def shutdown(self, how: int) -> None:
        """Raises OSError(ENOTCONN), as of a socket that listens; OSError(EINVAL) for an unknown `how`."""
        if how not in {socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR}:
            fail(errno.EINVAL, "use SHUT_RD, SHUT_WR or SHUT_RDWR")
        self.getpeername()

    def take_error(self) -> int:
        """The errno that SO_ERROR tells, once; 0: none."""
        return 0

    # -- options

    def setsockopt(self, level: int, option: int, value: Any, optlen: int | None = None) -> None:
        """Raises OSError: ENOPROTOOPT for an option that the stack does not have, EINVAL for a bad value, EBADF once
        the transport was closed.
        """
        if value is None:
            if optlen is None:
                raise TypeError("setsockopt() needs an int or bytes, or None with a length")
            fail(errno.EFAULT if optlen else errno.EINVAL)
        if optlen is not None:
            raise TypeError("setsockopt() takes a length only with None")
        self.check_open()
        row = self.options.get((level, option))
        if row is None or row.set is None:
            fail(errno.ENOPROTOOPT, f"the stack has no {_option_name(level, option)} to set")
        row.set(self, _value_bytes(value))

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> Any:
        """An int, or with `buflen` at most so many bytes.  Raises OSError(ENOPROTOOPT) as setsockopt does."""
        if not 0 <= buflen <= MAX_BUFLEN:
            raise OSError("getsockopt buflen out of range")
        self.check_open()
        row = self.options.get((level, option))
        if row is None:
            fail(errno.ENOPROTOOPT, f"the stack has no {_option_name(level, option)}")
        value = row.get(self)
        if isinstance(value, int):
            if not buflen:
                return value
            value = value.to_bytes(INT, sys.byteorder, signed=True)
            if level == socket.IPPROTO_IP and buflen < INT:
                buflen = 1
        return value[:buflen] if buflen else int.from_bytes(value[:INT], sys.byteorder, signed=True)
