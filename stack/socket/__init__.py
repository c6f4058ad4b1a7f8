"""Blocking sockets over a host of ours: the `socket` module's interface, for programs that are not asyncio.

    from stack import socket

    with socket.use(lambda: stack.open_tap("tapstack0", "198.18.0.2/24")):
        with socket.create_connection(("198.18.0.1", 80)) as connection:
            connection.sendall(b"...")

Names that are not here are those of the standard library: constants, errors, `inet_aton` and so on.
"""

import socket as _stdlib
from collections.abc import Iterable
from typing import Any, Final

from stack.socket.face import socket
from stack.socket.names import getaddrinfo, gethostbyname, gethostbyname_ex
from stack.socket.patching import patched
from stack.socket.station import use
from stack.socket.tls import tls_context

__all__ = [
    "create_connection",
    "create_server",
    "getaddrinfo",
    "gethostbyname",
    "gethostbyname_ex",
    "patched",
    "socket",
    "tls_context",
    "use",
]

_BACKLOG: Final = 128
_GLOBAL_TIMEOUT: Final = object()  # that of `setdefaulttimeout`


def create_connection(
    address: tuple[str, int],
    timeout: Any = _GLOBAL_TIMEOUT,
    source_address: tuple[str, int] | None = None,
    *,
    all_errors: bool = False,
) -> socket:
    """As `socket.create_connection`; addresses are tried one after the other.

    Raises the OSError of the last attempt, with `all_errors` an ExceptionGroup of all; socket.gaierror.
    """
    failures: list[OSError] = []
    for _, _, _, _, target in getaddrinfo(*address, _stdlib.AF_INET, _stdlib.SOCK_STREAM):
        made = socket()
        try:
            if timeout is not _GLOBAL_TIMEOUT:
                made.settimeout(timeout)
            if source_address is not None:
                made.bind(source_address)
            made.connect(target)
        except OSError as exc:
            made.close()
            failures.append(exc)
        except BaseException:
            made.close()
            raise
        else:
            return made
    if not failures:
        raise OSError("getaddrinfo returns an empty list")
    try:
        if all_errors:
            raise ExceptionGroup("create_connection failed", failures)
        raise failures[-1]
    finally:
        failures.clear()  # the traceback of an error holds this list


def create_server(
    address: tuple[str, int], *, family: int = _stdlib.AF_INET, backlog: int = _BACKLOG, reuse_port: bool = False
) -> socket:
    """A socket that listens on `address`; "" is every address of the host.  Raises OSError."""
    made = socket(family, _stdlib.SOCK_STREAM)
    try:
        made.setsockopt(_stdlib.SOL_SOCKET, _stdlib.SO_REUSEADDR, 1)
        if reuse_port:
            made.setsockopt(_stdlib.SOL_SOCKET, _stdlib.SO_REUSEPORT, 1)
        made.bind(address)
        made.listen(backlog)
    except BaseException:
        made.close()
        raise
    return made


def __getattr__(name: str) -> Any:
    return getattr(_stdlib, name)


def __dir__() -> Iterable[str]:
    return sorted({*dir(_stdlib), *__all__})
