"""Names and addresses: what `loop.getaddrinfo` and `loop.getnameinfo` do on a StackLoop.

An address in figures needs no looking up: it is answered at once, without a thread, by the C library itself, so that
families, flags, service names and errors are those of the kernel's programs.  A name is asked of the Resolver that the
loop was given; without one it is the base loop's business (the C library in a thread).  `localhost` is never asked of
anybody outside (RFC 6761 §6.3).
"""

import asyncio
import functools
import re
import socket
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, ip_address
from typing import Any, Final, Protocol, TypeVar, runtime_checkable

from stack.errors import InvalidAddress
from stack.wire.addr import parse_addr

AddrInfo = tuple[int, int, int, str, tuple[Any, ...]]  # family, type, proto, canonical name, sockaddr
T = TypeVar("T")
Base = Callable[..., Awaitable[Any]]

MAX_PORT: Final = 0xFFFF
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_NO_NAMES: Final = ("", b"", "<broadcast>", b"<broadcast>")
# what the C library takes for a host's name, when anybody's DNS server says that it is one
_HOST_NAME: Final = re.compile(r"[a-z0-9_][a-z0-9_-]*(\.[a-z0-9_-]+)*", re.ASCII | re.IGNORECASE)


class NotAName(socket.gaierror, UnicodeError):
    """What no name can be: asyncio's loops raise UnicodeError for it, who asks for addresses awaits gaierror."""


class Resolver(Protocol):
    """Turns names into addresses; the stack works without one.  `stack.dns.Resolver` is ours."""

    async def resolve(self, name: str) -> list[str]:
        """Addresses in figures, best first.

        Raises OSError when there are none; TimeoutError, or an OSError whose attribute `temporary` is true, when there
        may be some and nobody said so.
        """


@runtime_checkable
class FamilyResolver(Protocol):
    """A Resolver that need not ask for addresses of which none is wanted."""

    async def resolve_family(self, name: str, family: int) -> list[str]:
        """As `Resolver.resolve`, addresses of `family` (socket.AF_INET or AF_INET6) only, of both for 0."""


@runtime_checkable
class ReverseResolver(Protocol):
    """A Resolver that knows the way back from addresses to names."""

    async def reverse(self, address: str) -> str:
        """The name of an address in figures.  Raises as `Resolver.resolve`."""


def check_resolver(resolver: object) -> None:
    """Raises TypeError for what is neither a Resolver nor None."""
    if resolver is not None and not callable(getattr(resolver, "resolve", None)):
        raise TypeError(
            f"resolver is {resolver!r}: use an object with a coroutine method resolve(name), which returns a list of "
            "addresses in figures"
        )


@functools.lru_cache(maxsize=4096)
def _figures(text: str) -> int | None:
    try:
        return parse_addr(text)
    except InvalidAddress:
        return None


def address_of(host: object) -> int | None:
    """The int of an IPv4 address in figures, None for all else."""
    return _figures(host) if isinstance(host, str) else None


def check_port(port: object, call: str = "connect") -> None:
    """Raises OverflowError, as the socket's method `call` does, for a number that getaddrinfo would cut to 16 bits."""
    if isinstance(port, int) and not 0 <= port <= MAX_PORT:
        raise OverflowError(f"{call}(): port must be 0-{MAX_PORT}.")


def is_numeric(host: str | bytes) -> bool:
    """An IPv4 or IPv6 address in figures, without a scope."""
    text = host.decode("latin-1") if isinstance(host, bytes) else host
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):  # ValueError: a NUL within
            continue
        return True
    return False


def is_name(host: object) -> bool:
    """Text that is no address in figures, nor one of those that sockets give a meaning of their own."""
    if not isinstance(host, str | bytes) or host in _NO_NAMES:
        return False
    return not is_numeric(host.partition("%" if isinstance(host, str) else b"%")[0])  # type: ignore[arg-type]


def in_figures(info: AddrInfo) -> tuple[str, int]:
    """The address of `info`, with its scope where it has one, and the port."""
    address = info[4]
    return (f"{address[0]}%{address[3]}" if len(address) > 3 and address[3] else address[0]), address[1]


async def looked_up(loop: asyncio.AbstractEventLoop, sock: socket.socket, address: Any) -> Any:
    """`address` for `sock`, in figures: a socket would look up a name itself, and block.  Raises socket.gaierror."""
    if sock.family not in _FAMILIES or not isinstance(address, tuple) or len(address) < 2 or not is_name(address[0]):
        return address
    infos = await loop.getaddrinfo(*address[:2], family=sock.family, type=sock.type, proto=sock.proto)
    return infos[0][4]


async def getaddrinfo(
    resolver: Resolver | None,
    base: Base,
    host: Any,
    port: str | bytes | int | None,
    *,
    family: int = 0,
    type: int = 0,  # noqa: A002  (the name of socket.getaddrinfo)
    proto: int = 0,
    flags: int = 0,
) -> list[AddrInfo]:
    """As `socket.getaddrinfo`; `base` is what the loop would do without us.  Raises socket.gaierror, NotAName."""
    if host is None or (isinstance(host, str | bytes) and is_numeric(host)):
        return _by_figures(host, port, family, type, proto, flags)
    if resolver is None or not host or not isinstance(host, str | bytes) or _is_local(host):
        return await base(host, port, family=family, type=type, proto=proto, flags=flags)  # type: ignore[no-any-return]
    name = _ascii(host)
    if flags & socket.AI_NUMERICHOST:
        raise socket.gaierror(socket.EAI_NONAME, f"{name} is no address in figures, and AI_NUMERICHOST asks for one")
    infos: list[AddrInfo] = []
    for text in await _ask(resolver, name, family):
        if not family or (family == socket.AF_INET6) == (":" in text):
            infos += _by_figures(text, port, family, type, proto, flags & ~socket.AI_CANONNAME)
    if not infos:
        raise socket.gaierror(socket.EAI_NONAME, f"{name} has no address of the family asked for")
    if flags & socket.AI_CANONNAME:
        infos[0] = (*infos[0][:3], name, infos[0][4])
    return infos


def _by_figures(
    host: str | bytes | None, port: str | bytes | int | None, family: int, kind: int, proto: int, flags: int
) -> list[AddrInfo]:
    # AI_NUMERICHOST: no name service can be asked.  Names of services are in a file.
    infos: list[Any] = socket.getaddrinfo(host, port, family, kind, proto, flags | socket.AI_NUMERICHOST)
    return infos


def _is_local(host: str | bytes) -> bool:
    name = (host.decode("latin-1") if isinstance(host, bytes) else host).rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost")


def _ascii(host: str | bytes) -> str:
    """The name as it is looked up.  Raises NotAName."""
    try:
        return (host if isinstance(host, bytes) else host.encode("idna")).decode("ascii")
    except UnicodeError as exc:
        raise NotAName(
            socket.EAI_NONAME,
            f"{host[:80]!r} is not a name: each label has 1 to 63 octets, and a form in ASCII",
        ) from exc


async def _ask(resolver: Resolver, name: str, family: int) -> list[str]:
    if isinstance(resolver, FamilyResolver):
        return await _translated(name, resolver.resolve_family(name, family))
    return await _translated(name, resolver.resolve(name))


async def _translated(name: str, asking: Awaitable[T]) -> T:
    """What comes of asking about a name or address.  Raises socket.gaierror in place of OSError."""
    try:
        return await asking
    except socket.gaierror:
        raise
    except OSError as exc:
        if isinstance(exc, TimeoutError) or getattr(exc, "temporary", False):
            reason = exc.strerror or str(exc) or "the resolver had no answer in time"
            raise socket.gaierror(socket.EAI_AGAIN, f"{name}: {reason}") from exc
        raise socket.gaierror(socket.EAI_NONAME, f"{name}: {exc.strerror or exc}") from exc


async def first_of(resolver: Resolver, name: str) -> str:
    """The best IPv4 address of a name.  Raises socket.gaierror."""
    for text in await _ask(resolver, _ascii(name), socket.AF_INET):
        if ":" not in text:
            return text
    raise socket.gaierror(socket.EAI_NONAME, f"{name} has no IPv4 address")


async def getnameinfo(
    resolver: Resolver | None, base: Base, sockaddr: tuple[Any, ...], flags: int = 0
) -> tuple[str, str]:
    """As `socket.getnameinfo`: where there is no name, its figures, unless NI_NAMEREQD asks for one.

    A Resolver that is no ReverseResolver has no names.  Raises socket.gaierror.
    """
    if flags & socket.NI_NUMERICHOST:
        return socket.getnameinfo(sockaddr, flags)
    if resolver is None:
        return await base(sockaddr, flags)  # type: ignore[no-any-return]
    # nobody is asked: the names of services are in a file
    figures, service = socket.getnameinfo(sockaddr, flags & ~socket.NI_NAMEREQD | socket.NI_NUMERICHOST)
    address = ip_address(figures.partition("%")[0])  # a scope means something on this host only
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback:
        return await base(sockaddr, flags)  # type: ignore[no-any-return]
    try:
        return await _name_of(resolver, str(address)), service
    except socket.gaierror as error:
        if flags & socket.NI_NAMEREQD or error.errno != socket.EAI_NONAME:  # as the C library does
            raise
        return figures, service


async def _name_of(resolver: Resolver, figures: str) -> str:
    """Raises socket.gaierror."""
    if not isinstance(resolver, ReverseResolver):
        raise socket.gaierror(socket.EAI_NONAME, f"the loop's resolver has no name for {figures}")
    name = await _translated(figures, resolver.reverse(figures))
    if not _HOST_NAME.fullmatch(name):  # it may go to a log, or a shell
        raise socket.gaierror(socket.EAI_NONAME, f"{figures}: {name!r} is not a host's name")
    return name
