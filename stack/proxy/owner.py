"""Whose the other end of a connection on this machine is: the kernel says so (sock_diag(7), decision 22).

Theory of operation.  A socket that is bound to loopback is reached by every user of the machine.  The kernel tells the
user of the socket with given addresses and ports, and anybody may ask.  Three things would give a wrong answer:

* A socket whose process has closed it belongs to nobody, and most kernels call it root's.  It has no inode: refused.
* A process that resets its connection makes its port free for another one's.  So what is asked about must still be
  connected when the answer is there: as long as it is, its addresses and ports are no other connection's.
* The kernel finds a listening socket where there is no connection: the answer must be of what was asked about.
"""

import errno
import os
import socket
import struct
from typing import Final

_NETLINK_SOCK_DIAG: Final = 4  # linux/netlink.h
_SOCK_DIAG_BY_FAMILY: Final = 20  # linux/sock_diag.h
_NLM_F_REQUEST: Final = 1
_NLMSG_ERROR: Final = 2
_NO_COOKIE: Final = b"\xff" * 8  # linux/inet_diag.h: INET_DIAG_NOCOOKIE
_ALL_STATES: Final = 0xFFFF_FFFF
_HEADER: Final = struct.Struct("=IHHII")  # nlmsghdr
_REQUEST: Final = struct.Struct("=BBBBI")  # inet_diag_req_v2, before the socket id
_ID: Final = struct.Struct("!HH16s16s")  # inet_diag_sockid: ports and addresses in network order, ...
_ID_SIZE: Final = 48  # ... interface and cookie
_MESSAGE: Final = struct.Struct("=BBBB48sIIIII")  # inet_diag_msg
_LISTEN: Final = 10  # net/tcp_states.h
_CLOSE: Final = 7
_ESTABLISHED, _CLOSE_WAIT = 1, 8

Address = tuple[str, int]


def _ask(protocol: int, source: Address, destination: Address) -> tuple[int, bytes, int, int] | None:
    """State, id, user and inode of the socket that the kernel finds; None: it finds none."""
    ident = _ID.pack(
        source[1],
        destination[1],
        socket.inet_aton(source[0]).ljust(16, b"\0"),
        socket.inet_aton(destination[0]).ljust(16, b"\0"),
    )
    body = _REQUEST.pack(socket.AF_INET, protocol, 0, 0, _ALL_STATES) + ident + bytes(4) + _NO_COOKIE
    message = _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETLINK_SOCK_DIAG) as netlink:
        netlink.setblocking(False)  # the kernel has answered when `send` returns
        netlink.send(message)
        try:
            answer = netlink.recv(8192)
        except BlockingIOError:
            return None
    if len(answer) < _HEADER.size + _MESSAGE.size or _HEADER.unpack_from(answer)[1] == _NLMSG_ERROR:
        return None
    _family, state, _timer, _retrans, found, _expires, _rqueue, _wqueue, uid, inode = _MESSAGE.unpack_from(
        answer, _HEADER.size
    )
    return state, found, uid, inode


def of_connection(sock: socket.socket) -> int | None:
    """The user at the other end of a TCP connection within this machine; None: nobody that can be told."""
    try:
        here, there = sock.getsockname(), sock.getpeername()
        found = _ask(socket.IPPROTO_TCP, there, here)
        if found is None or sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] not in (
            _ESTABLISHED,
            _CLOSE_WAIT,
        ):
            return None
    except OSError:
        return None
    state, ident, uid, inode = found
    ports = struct.unpack_from("!HH", ident)
    if state == _LISTEN or ports != (there[1], here[1]) or inode == 0:
        return None
    return int(uid)


def of_datagrams(source: Address, destination: Address) -> int | None:
    """The user of the UDP socket `source` of this machine, which sends to `destination`; None: as above."""
    try:
        found = _ask(socket.IPPROTO_UDP, destination, source)  # as it was built: the other way round than TCP
    except OSError:
        return None
    if found is None:
        return None
    _state, ident, uid, inode = found
    if struct.unpack_from("!H", ident)[0] != source[1] or inode == 0:
        return None
    return int(uid)


def is_closed(sock: socket.socket) -> bool:
    """Whether a connection of the kernel's is gone, though nobody has read from it."""
    try:
        return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0] == _CLOSE
    except OSError as error:
        return error.errno in (errno.EBADF, errno.ENOTCONN)


def owners() -> frozenset[int]:
    """Who is served unless everybody is: root, and whom the daemon is."""
    return frozenset({0, os.geteuid()})
