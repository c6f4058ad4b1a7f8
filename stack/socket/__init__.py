"""Blocking sockets over a host of ours: the `socket` module's interface, for programs that are not asyncio.

    from stack import socket

    with socket.use(lambda: stack.open_tap("tapstack0", "198.18.0.2/24")):
        with socket.create_connection(("198.18.0.1", 80)) as connection:
            connection.sendall(b"...")

Names that are not here are those of the standard library: constants, errors, `inet_aton` and so on.
"""

import socket as _stdlib
from typing import Any

from stack.socket.face import socket
from stack.socket.names import getaddrinfo
from stack.socket.station import use

__all__ = ["getaddrinfo", "socket", "use"]


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)
