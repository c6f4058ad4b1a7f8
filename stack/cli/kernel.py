"""What the daemon does for a command, done through kernel sockets: connections and echo requests."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from itertools import count as counting
from typing import Any, Final

from stack.errors import ConfigError, StackError
from stack.wire import icmp
from stack.wire.accel import checksum

KINDS: Final = (socket.SOCK_DGRAM, socket.SOCK_RAW)  # of an ICMP socket, the first that may be had
RECEIVE: Final = 65_535
# Linux: ICMP errors are the socket's, the TTL comes along; the socket module has no names for them
_IP_RECVERR: Final = 11
_IP_RECVTTL: Final = 12
_SEQ_MASK: Final = 0xFFFF
_IHL: Final = 0x0F


def connect(addresses: list[str], port: int, timeout: float) -> socket.socket:
    """A TCP connection to the first of the addresses that takes it, within seconds for each.  Raises StackError."""
    why = "no address"
    for address in addresses:
        try:
            sock = socket.create_connection((address, port), timeout)
        except OSError as error:
            why = f"{address}: {(error.strerror or str(error)).lower()}"
        else:
            sock.settimeout(None)
            return sock
    raise StackError(why)


def pings(address: str, *, count: int | None, size: int, interval: float, timeout: float) -> Iterator[dict[str, Any]]:
    """What comes of each echo request, one every `interval` seconds.  Raises StackError where none may be sent."""
    return _pings(_open(address), count, size, interval, timeout)


def _open(address: str) -> socket.socket:
    """An ICMP socket connected to an address: a datagram one where this user may have it, else a raw one."""
    for kind in KINDS:
        with suppress(PermissionError):
            sock = socket.socket(socket.AF_INET, kind, socket.IPPROTO_ICMP)
            break
    else:
        raise ConfigError(
            "this user may not send echo requests through kernel sockets: ask root to widen "
            "net.ipv4.ping_group_range, or use --via daemon"
        )
    try:
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        sock.connect((address, 0))
    except OSError as error:
        sock.close()
        raise StackError(f"{address}: {(error.strerror or str(error)).lower()}") from None
    return sock


def _pings(
    sock: socket.socket, count: int | None, size: int, interval: float, timeout: float
) -> Iterator[dict[str, Any]]:
    data = bytes(i & 0xFF for i in range(size))
    ident = os.getpid() & 0xFFFF  # of a datagram socket the kernel puts in its own
    with closing(sock):
        for number in range(1, count + 1) if count else counting(1):
            sent_at = time.monotonic()
            try:
                sock.send(_request(ident, number & _SEQ_MASK, data))
                yield {"seq": number, **_await(sock, ident, number & _SEQ_MASK, sent_at, timeout)}
            except OSError as error:
                yield {"seq": number, "error": (error.strerror or str(error)).lower()}
            if number != count:
                time.sleep(max(0.0, sent_at + interval - time.monotonic()))


def _request(ident: int, seq: int, data: bytes) -> bytes:
    """An echo request (RFC 792)."""
    message = icmp.HEADER.pack(icmp.ECHO, 0, 0, ident, seq) + data
    return icmp.HEADER.pack(icmp.ECHO, 0, checksum(message), ident, seq) + data


def _await(sock: socket.socket, ident: int, seq: int, sent_at: float, timeout: float) -> dict[str, Any]:
    """The reply with this number; what else comes is passed over.  Raises OSError for an ICMP error."""
    while (left := sent_at + timeout - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            message, control, _, _ = sock.recvmsg(RECEIVE, 64)
        except TimeoutError:
            break
        at = time.monotonic()
        if sock.type == socket.SOCK_RAW:
            message = message[(message[0] & _IHL) * 4 :]
        if len(message) < icmp.HLEN:
            continue
        kind, _, _, got_ident, got_seq = icmp.HEADER.unpack_from(message)
        if kind == icmp.ECHO_REPLY and got_seq == seq and (got_ident == ident or sock.type != socket.SOCK_RAW):
            ttl = next((int.from_bytes(raw, "little") for _, what, raw in control if what == socket.IP_TTL), 0)
            return {"rtt_us": int((at - sent_at) * 1e6), "ttl": ttl}
    return {"error": "no answer"}
