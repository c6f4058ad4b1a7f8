"""`loop.create_server` on a StackLoop: who listens on which address.

Theory of operation.  Each address that the arguments name belongs to a host of the loop, which listens on it, or to the
kernel.  A server without an address (None, "" or "0.0.0.0") is the active host's if there is one, else what the loop's
`wildcard` says: the kernel's, every host's ("stack"), or everybody's ("both").  When all is the kernel's, the base
loop's server is given back untouched; else a StackServer has the places of ours and, for the addresses that are the
kernel's, the base loop's server.

All ports are taken before anybody accepts, so that a server which cannot have all its addresses has none.  With port 0
the first place chooses, and all others follow: a server has one port.  When that is not free everywhere, it is another.
"""

import asyncio
import dataclasses
import errno
import os
import socket
from collections.abc import Callable, Iterable
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Final

from stack.aio import carrier, tls
from stack.aio.active import ACTIVE
from stack.aio.names import Base, address_of, check_port
from stack.aio.server import Listening, StackServer, acceptor
from stack.aio.sockopt import Address, StackSocket, sockaddr
from stack.wire.addr import ANY, format_addr

if TYPE_CHECKING:
    from stack.aio.loop import StackLoop
    from stack.aio.network import AsyncHost

Factory = Callable[[], asyncio.BaseProtocol]
Site = tuple["AsyncHost", int, int]  # who listens, address (ANY: all of its own), port

BACKLOG: Final = 100  # as asyncio
TRIES: Final = 16  # of a port that shall be free everywhere
EVERYWHERE: Final = (None, "", "0.0.0.0")  # noqa: S104  (the names of what `wildcard` is about)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The keyword arguments of `create_server`, with asyncio's defaults; of asyncio, uvloop and all versions."""

    family: int = socket.AF_UNSPEC
    flags: int = socket.AI_PASSIVE
    sock: Any = None
    backlog: int = BACKLOG
    ssl: SSLContext | None = None
    reuse_address: bool | None = None  # a port is free at once when its listener has gone
    reuse_port: bool | None = None
    keep_alive: bool | None = None
    ssl_handshake_timeout: float | None = None
    ssl_shutdown_timeout: float | None = None
    start_serving: bool = True


class ListenAddress(StackSocket):
    """An address to listen on, for programs that make their sockets themselves and hand them to `create_server(sock=)`.

    It stands where a socket that was bound would: nothing is taken before the server listens, so port 0 is none yet.
    """

    __slots__ = ("_address",)

    def __init__(self, address: str, port: int) -> None:
        super().__init__()
        self._address = address, port

    def getsockname(self) -> Address:
        """The address and port."""
        return self._address


async def create_server(
    loop: "StackLoop", base: Base, factory: Factory, host: Any = None, port: Any = None, **options: Any
) -> Any:
    """As asyncio's and uvloop's.  `base` is what the loop would do without us.

    Raises OSError (EADDRINUSE, EADDRNOTAVAIL ...) with the address in it, socket.gaierror for a name that does not
    resolve, ValueError and TypeError for arguments that do not go together.
    """
    sock = options.get("sock")
    if isinstance(sock, ListenAddress):
        if host is not None or port is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        host, port = sock.getsockname()
        del options["sock"]
    elif isinstance(sock, carrier.CarrierSocket):
        raise OSError(errno.EINVAL, "this socket is connected: a server listens on one that is not")
    chosen = Options(**options)
    if isinstance(host, Iterable) and not isinstance(host, str):
        host = list(host)
    nowhere = host is None and port is None
    if chosen.sock is not None or nowhere or not loop.ownership.hosts:
        return await base(factory, host, port, **options)
    hosts = host if isinstance(host, list) else [host]
    sites, kernel = await _share_out(loop, hosts, port, chosen)
    if not sites:
        try:
            return await base(factory, host, port, **options)
        except OSError as exc:
            if not is_told(exc, errno.EADDRNOTAVAIL):
                raise
            raise OSError(errno.EADDRNOTAVAIL, f"{exc.strerror or exc}: {nobody_has_it(loop)}") from exc
    secure = tls.server(chosen.ssl, chosen.ssl_handshake_timeout, chosen.ssl_shutdown_timeout)
    if kernel:

        async def kernels(port: int) -> Any:
            return await base(factory, kernel, port, **{**options, "start_serving": False})

        server = await _together(loop, sites, chosen, (factory, secure), kernels)
    else:
        server = StackServer(loop, _take_ports(sites, chosen, (factory, secure)))
    if chosen.start_serving:
        try:
            await server.start_serving()
        except BaseException:  # nobody else knows of it
            server.close()
            raise
    return server


async def _share_out(
    loop: "StackLoop", hosts: list[Any], port: Any, options: Options
) -> tuple[list[Site], list[str | None]]:
    """What the hosts of the loop listen on, and the addresses (None: all) that are the kernel's."""
    sites: dict[Site, None] = {}
    kernel: dict[str | None, None] = {}
    for host in hosts:
        if host in EVERYWHERE:
            everyone = _everyone(loop) if options.family in {socket.AF_UNSPEC, socket.AF_INET} else []
            if everyone:
                number = await _number(loop, port, options)
                sites.update(dict.fromkeys((one, ANY, number) for one in everyone))
            if not everyone or (loop.wildcard == "both" and active_on(loop) is None):
                kernel[host or None] = None
            continue
        infos = await loop.getaddrinfo(host, port, family=options.family, type=socket.SOCK_STREAM, flags=options.flags)
        if not infos:
            raise OSError(f"getaddrinfo({host!r}) returned empty list")
        for family, _, _, _, address in infos:
            owner = loop.ownership.owner(address_of(address[0]) or ANY) if family == socket.AF_INET else None
            if owner is not None:
                # as it was given: getaddrinfo would cut a number to 16 bits
                sites[owner, address_of(address[0]) or ANY, port if isinstance(port, int) else address[1]] = None
            else:
                kernel[address[0]] = None
    return list(sites), list(kernel)


def active_on(loop: "StackLoop") -> "AsyncHost | None":
    """The host of `loop` that the code that runs now speaks as, if it said so."""
    active = ACTIVE.get()
    return active if active is not None and active.loop is loop else None


def _everyone(loop: "StackLoop") -> "tuple[AsyncHost, ...]":
    """The hosts that a server without an address is on."""
    active = active_on(loop)
    if active is not None:
        return (active,)
    return () if loop.wildcard == "kernel" else loop.ownership.hosts


def nobody_has_it(loop: "StackLoop") -> str:
    """What to say of an address that cannot be bound."""
    ours = ", ".join(format_addr(addr) for host in loop.ownership.hosts for addr, _ in host.addresses())
    return f"the hosts of this loop have {ours or 'no address'}, and no interface of the kernel has it"


async def _number(loop: "StackLoop", port: Any, options: Options) -> int:
    """The port as a number.  Raises socket.gaierror for the name of no service."""
    if isinstance(port, int):
        return port
    infos = await loop.getaddrinfo(None, port or 0, family=socket.AF_INET, type=socket.SOCK_STREAM, flags=options.flags)
    return int(infos[0][4][1])


async def _together(
    loop: "StackLoop",
    sites: list[Site],
    options: Options,
    upper: tuple[Factory, tls.Tls | None],
    kernels: Callable[[int], Any],
) -> StackServer:
    """Places of ours and the kernel's server, on one port."""
    for left in reversed(range(TRIES)):
        places = _take_ports(sites, options, upper)
        port = places[0].socket.getsockname()[1]
        try:
            return StackServer(loop, places, await kernels(port))
        except BaseException as exc:
            for place in places:
                place.stop()
            chosen_by_us = not sites[0][2]
            if not (chosen_by_us and left and is_told(exc, errno.EADDRINUSE)):
                raise
    raise AssertionError  # the last try returns or raises


def _take_ports(sites: list[Site], options: Options, upper: tuple[Factory, tls.Tls | None]) -> list[Listening]:
    """The places, none of which accepts yet.  Raises OSError, and then no port is taken."""
    for left in reversed(range(TRIES)):
        places: list[Listening] = []
        port = 0
        try:
            for host, addr, wanted in sites:
                places.append(_take(host, addr, wanted or port, options, upper))
                port = places[0].socket.getsockname()[1]
        except OSError as exc:
            for place in places:
                place.stop()
            if sites[0][2] or not places or not left or exc.errno != errno.EADDRINUSE:
                raise
        else:
            return places
    raise AssertionError  # the last try returns or raises


def _take(
    host: "AsyncHost", addr: int, port: int, options: Options, upper: tuple[Factory, tls.Tls | None]
) -> Listening:
    check_port(port, "bind")
    driver = host.open_driver()
    config = dataclasses.replace(host.host.config.tcp, keepalive=True) if options.keep_alive else None
    try:
        listener = host.host.listen(
            addr, port, options.backlog, config, driver.time(), accepting=False, share=bool(options.reuse_port)
        )
    except OSError as exc:
        reason = os.strerror(exc.errno or 0).lower()
        if exc.errno == errno.EADDRINUSE:
            reason += "; choose another port, or 0 for a free one"
        where = sockaddr(addr, port)
        raise OSError(exc.errno, f"error while attempting to bind on address {where!r}: {reason}") from exc
    return Listening(driver, listener, acceptor(driver, *upper))


def is_told(exc: BaseException, code: int) -> bool:
    """Whether `exc` is of errno `code`.  uvloop tells it of some failures only in what they were caused by."""
    told: BaseException | None = exc
    while told is not None:
        if isinstance(told, OSError) and told.errno == code:
            return True
        told = told.__cause__ or told.__context__
    return False
