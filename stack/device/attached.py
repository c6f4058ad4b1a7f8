"""A place on the switch of a running daemon: a device for a process without any rights of its own.

    sock, lease = attach("/run/tapstack/tapstack0/attach")
    device = AttachedDevice(sock, lease)

Theory of operation.  `attach` speaks the protocol of `stack.device.attaching`, once; from then on the socket is a
TAP in all but name, whose other end is the daemon's switch.  A daemon that is behind is waited for a moment, which
is what keeps a sender from outrunning it; one that does not read at all costs a sender that moment once.  The end
of the daemon is that of the device: DeviceGone.
"""

import errno
import os
import socket
from contextlib import suppress
from typing import Final
from weakref import WeakSet

from stack.device.attaching import MAX_HELLO, MAX_NAME, Hello, Lease, pack_hello, parse_answer
from stack.device.vnet import NATIVE, VnetDevice
from stack.errors import DeviceError, DeviceGone

HELLO_S: Final = 10.0
PATIENCE_MS: Final = 5  # for a daemon that is at work elsewhere
SOCKET_BYTES: Final = 256 << 10  # of frames under way; more of them only leave the caches


def attach(
    path: str | os.PathLike[str], *, name: str = "", address: str = "", timeout_s: float = HELLO_S
) -> tuple[socket.socket, Lease]:
    """A place on the switch of the daemon that listens on `path`, with `address` or any of its pool.

    Waits for the daemon up to `timeout_s` seconds.  Raises DeviceError with one sentence: nobody there, not ours,
    refused.
    """
    path = os.fspath(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        sock.settimeout(timeout_s)
        _connect(sock, path)
        lease = _say_hello(sock, path, Hello(name[:MAX_NAME], address))
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SOCKET_BYTES)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock, lease


def _say_hello(sock: socket.socket, path: str, hello: Hello) -> Lease:
    """Raises DeviceError."""
    try:
        with suppress(ConnectionError):  # refused before it was asked: the answer says why
            sock.send(pack_hello(hello))
        try:
            answer = sock.recv(MAX_HELLO)
        except ConnectionError:  # unix(7): a peer that closed with our hello unread; its own words come after that
            answer = sock.recv(MAX_HELLO)
    except TimeoutError:
        patience = sock.gettimeout()
        raise DeviceError(f"the daemon on {path} did not answer within {patience:g} s: is it stopped?") from None
    except OSError:
        answer = b""
    if not answer:
        raise DeviceError(f"the daemon on {path} went away before it answered")
    try:
        return parse_answer(answer)
    except OSError as exc:
        raise DeviceError(str(exc.strerror)) from None


def _connect(sock: socket.socket, path: str) -> None:
    """Raises DeviceError."""
    try:
        sock.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        text = f"no daemon listens on {path}: 'tapstack up' starts one, unless attach.enabled is false"
        raise DeviceError(text, errno.ENOENT) from None
    except PermissionError:
        text = f"{path} belongs to another user: attach as root or as that user"
        raise DeviceError(text, errno.EACCES) from None
    except BlockingIOError:  # also what a timeout of connect(2) on a Unix socket is
        raise DeviceError(f"the daemon on {path} takes no more processes: is it stopped?") from None
    except OSError as exc:
        raise DeviceError(f"{path} is no socket for attached processes: {(exc.strerror or str(exc)).lower()}") from None


def probe(path: str | os.PathLike[str], *, timeout_s: float = HELLO_S) -> Lease:
    """What `attach` would get there, without an address.  Raises DeviceError, as it does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as sock:
        sock.settimeout(timeout_s)
        _connect(sock, os.fspath(path))
        return _say_hello(sock, os.fspath(path), Hello(probe=True))


_open_devices: "WeakSet[AttachedDevice]" = WeakSet()


class AttachedDevice(VnetDevice):
    """`sock` and `lease` are those of `attach`; the socket is the device's from now on.

    A forked child has no part in it: its copy of the descriptor is closed, so that the end of the parent is seen.
    """

    __slots__ = ("__weakref__", "lease")

    def __init__(self, sock: socket.socket, lease: Lease, *, name: str = "attached0", native: bool = NATIVE) -> None:
        mac = bytes.fromhex(lease.mac.replace(":", ""))
        super().__init__(
            name,
            mac,
            lease.mtu,
            lease.caps(),
            sock.fileno(),
            sock,
            vnet=True,
            native=native,
            patience_ms=PATIENCE_MS,
        )
        self.lease = lease
        _open_devices.add(self)

    def _gone(self, code: int | None) -> DeviceGone:  # noqa: ARG002
        return DeviceGone(f"the daemon that {self.name} was attached to has gone")


def _after_fork() -> None:
    for device in list(_open_devices):
        device.close()
    _open_devices.clear()


os.register_at_fork(after_in_child=_after_fork)
