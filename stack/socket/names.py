"""Names and addresses by the resolver of the host: what `socket.getaddrinfo` and its like give.

Addresses in figures, `localhost` and, without a resolver, everything is the standard library's.
"""

import socket as stdlib
from typing import Any, Final

from stack.aio import names
from stack.aio.loop import StackLoop
from stack.aio.names import AddrInfo, Resolver, is_name
from stack.socket.station import Station, current

_getaddrinfo: Final = stdlib.getaddrinfo  # as it was before anybody patched it
_gethostbyname: Final = stdlib.gethostbyname
_gethostbyname_ex: Final = stdlib.gethostbyname_ex


def _resolver() -> tuple[Station, Resolver] | None:
    station = current()
    if station is None or station.is_own_thread():
        return None
    host = station.host
    loop = host.loop
    resolver = host.resolver or (loop.resolver if isinstance(loop, StackLoop) else None)
    return None if resolver is None else (station, resolver)


def getaddrinfo(
    host: Any,
    port: Any,
    family: int = 0,
    type: int = 0,  # noqa: A002
    proto: int = 0,
    flags: int = 0,
) -> list[AddrInfo]:
    """As `socket.getaddrinfo`.  Raises socket.gaierror."""
    found = _resolver() if is_name(host) else None
    if found is None:
        return _getaddrinfo(host, port, family, type, proto, flags)  # type: ignore[return-value]
    station, resolver = found

    async def plain(host: Any, port: Any, **options: Any) -> Any:
        return await station.host.loop.run_in_executor(None, lambda: _getaddrinfo(host, port, **options))

    return station.wait_for(
        lambda: names.getaddrinfo(resolver, plain, host, port, family=family, type=type, proto=proto, flags=flags)
    )


def gethostbyname(hostname: str) -> str:
    """As `socket.gethostbyname`.  Raises socket.gaierror."""
    if _resolver() is None or not is_name(hostname):
        return _gethostbyname(hostname)
    return str(getaddrinfo(hostname, None, stdlib.AF_INET, stdlib.SOCK_STREAM)[0][4][0])


def gethostbyname_ex(hostname: str) -> tuple[str, list[str], list[str]]:
    """As `socket.gethostbyname_ex`; a resolver tells of no aliases.  Raises socket.gaierror."""
    if _resolver() is None or not is_name(hostname):
        return _gethostbyname_ex(hostname)
    infos = getaddrinfo(hostname, None, stdlib.AF_INET, stdlib.SOCK_STREAM)
    return hostname, [], [str(info[4][0]) for info in infos]
