"""`with patched():` unmodified libraries use a host of ours.

Theory of operation.  Libraries take `socket.socket`, `socket.create_connection` and `socket.getaddrinfo` from the
module when they need them; the module's own functions do, too.  So exchanging a few of its names is enough, and they
are put back when the last block ends.  Which addresses are ours is as on the event loop: those of the host and its
prefixes (with `capture="all"`: all but 127/8), and nothing else.

The exchange is seen by all threads of the process, as the module is one.  What takes a name by `from socket import
socket` before the block begins, and what opens sockets in C, is not touched.  The thread of the host's own loop has the
kernel's sockets always.
"""

import contextlib
import socket as stdlib
import ssl
import threading
from collections.abc import Iterator
from typing import Any, Final

from stack.errors import ConfigError
from stack.socket import names
from stack.socket.face import PatchedSocket
from stack.socket.station import current
from stack.socket.tls import TlsSocket

_EXCHANGED: Final[tuple[tuple[Any, str, Any], ...]] = (
    (stdlib, "socket", PatchedSocket),
    (stdlib, "getaddrinfo", names.getaddrinfo),
    (stdlib, "gethostbyname", names.gethostbyname),
    (stdlib, "gethostbyname_ex", names.gethostbyname_ex),
    (ssl.SSLContext, "sslsocket_class", TlsSocket),
)
_LOCK: Final = threading.Lock()
_DEPTH = 0
_ORIGINALS: list[tuple[Any, str, Any]] = []


@contextlib.contextmanager
def patched() -> Iterator[None]:
    """Within the block the standard library's `socket` module, for all threads, has the sockets of `stack.socket`.

    What has an address of the kernel's stays the kernel's: loopback, IPv6, Unix sockets, and all that is in no prefix
    of the host; servers without an address listen in the kernel.  Blocks nest, and may overlap between threads: the
    module is itself again when the last one has ended.  Sockets made within stay what they are.

    Raises ConfigError outside of `use`.
    """
    if current() is None:
        raise ConfigError("patched() needs a host: call it within stack.socket.use(...)")
    _enter()
    try:
        yield
    finally:
        _leave()


def _enter() -> None:
    global _DEPTH  # noqa: PLW0603  (what is exchanged is the process's, too)
    with _LOCK:
        if not _DEPTH:
            for owner, name, value in _EXCHANGED:
                _ORIGINALS.append((owner, name, getattr(owner, name)))
                setattr(owner, name, value)
        _DEPTH += 1


def _leave() -> None:
    global _DEPTH  # noqa: PLW0603
    with _LOCK:
        _DEPTH -= 1
        while not _DEPTH and _ORIGINALS:
            owner, name, value = _ORIGINALS.pop()
            setattr(owner, name, value)
