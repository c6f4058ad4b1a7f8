"""`loop.create_connection` on a StackLoop: which addresses are tried, over what, and who gets the protocol.

Theory of operation.  A destination in figures that is the kernel's, with nothing special asked, goes to the base
loop as it is (`is_plain`), and so does a socket of the kernel.  All else is resolved here first, because uvloop
looks names up in C, past an overridden `getaddrinfo`.  Each address then is a *way*: over a host of the stack, where a
success is an Attempt, or over the kernel, where it is a connected socket.  The ways race, each with a start of
ATTEMPT_DELAY_S before the next (RFC 8305), so that an address from which nothing comes costs that much and not minutes;
with `happy_eyeballs_delay=None` one is tried after the other.  The first to succeed is given the protocol, the others
are aborted or closed, whatever happens.  The stack has no IPv6: where one way is over the stack, IPv6 is not tried.

The source of a way: `local_addr` decides (a stack address: its host; a kernel address: the kernel), then the loop
(`StackLoop.source_for`).
"""

import asyncio
import errno
import functools
import socket
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest
from ssl import SSLContext
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stack.aio import carrier, tls
from stack.aio.attempt import Attempt
from stack.aio.names import AddrInfo, Base, address_of, check_port, in_figures
from stack.wire.addr import ANY

if TYPE_CHECKING:
    from stack.aio.loop import StackLoop
    from stack.aio.network import AsyncHost

P = TypeVar("P", bound=asyncio.BaseProtocol)
Made = Attempt | socket.socket  # what a way leads to
Way = Callable[[], Awaitable[Made]]
Local = tuple[int, str, int]  # family, address in figures, port

ATTEMPT_DELAY_S: Final = 0.25  # RFC 8305 §8: Connection Attempt Delay
FIRST_FAMILY_COUNT: Final = 1  # RFC 8305 §8: First Address Family Count
_NOT_PLAIN: Final = frozenset({"sock", "local_addr", "happy_eyeballs_delay", "interleave", "all_errors"})


def is_plain(loop: "StackLoop", host: object, options: dict[str, Any]) -> bool:
    """Whether `create_connection(host, ..., **options)` is the base loop's business alone."""
    addr = address_of(host)
    return addr is not None and _NOT_PLAIN.isdisjoint(options) and loop.source_for(addr) is None


async def create_connection(
    loop: "StackLoop",
    base: Base,
    factory: Callable[[], P],
    host: str | None = None,
    port: int | str | None = None,
    *,
    ssl: SSLContext | bool | None = None,
    family: int = 0,
    proto: int = 0,
    flags: int = 0,
    sock: socket.socket | None = None,
    local_addr: tuple[str, int] | None = None,
    server_hostname: str | None = None,
    ssl_handshake_timeout: float | None = None,
    ssl_shutdown_timeout: float | None = None,
    happy_eyeballs_delay: float | None = ATTEMPT_DELAY_S,
    interleave: int | None = None,
    all_errors: bool = False,
) -> tuple[asyncio.Transport, P]:
    """As asyncio's and uvloop's, with the arguments of both, but addresses race unless `happy_eyeballs_delay` is None.

    `base` is what the loop would do without us.

    Raises what a kernel socket would, ValueError for arguments that do not go together, with `all_errors` an
    ExceptionGroup.
    """
    secure = tls.client(ssl, host, server_hostname, ssl_handshake_timeout, ssl_shutdown_timeout)
    to_base = _options_of_base(ssl, secure)
    if sock is not None:
        if host is not None or port is not None:
            raise ValueError("host/port and sock can not be specified at the same time")
        if isinstance(sock, carrier.CarrierSocket):
            return await carrier.claim(sock).attach(factory, secure)
        return await base(factory, sock=sock, **to_base)  # type: ignore[no-any-return]
    if host is None and port is None:
        raise ValueError("host and port was not specified and no sock specified")
    infos = await _resolve(loop, "connect", (host, port), family, proto, flags)
    locals_ = await _resolve(loop, "bind", local_addr, family, proto, flags) if local_addr is not None else []
    if happy_eyeballs_delay is not None and interleave is None:
        interleave = FIRST_FAMILY_COUNT
    if interleave:
        infos = interleaved(infos, interleave)
    ways = _ways(loop, infos, locals_)
    if len(ways) == 1 and ways[0][1] is None and not locals_ and not all_errors:
        info = ways[0][0]
        return await base(factory, *in_figures(info), family=info[0], proto=proto, **to_base)  # type: ignore[no-any-return]
    starts = [way or functools.partial(_kernel_socket, loop, info, locals_) for info, way in ways]
    errors: list[Exception] = []
    if happy_eyeballs_delay is None:
        made = await _in_turn(starts, errors)
    else:
        made = await _race(loop, starts, happy_eyeballs_delay, errors)
    if made is None:
        raise _combined(errors, all_errors=all_errors)
    if isinstance(made, Attempt):
        return await made.attach(factory, secure)
    return await _give_kernel_socket(base, factory, made, to_base)


def _options_of_base(ssl: SSLContext | bool | None, secure: tls.Tls | None) -> dict[str, Any]:
    """The arguments about TLS, with the name of the host in place."""
    if secure is None:
        return {}
    return {
        "ssl": ssl,
        "server_hostname": secure.server_hostname,
        "ssl_handshake_timeout": secure.handshake_timeout,
        "ssl_shutdown_timeout": secure.shutdown_timeout,
    }


async def _give_kernel_socket(
    base: Base, factory: Callable[[], P], sock: socket.socket, to_base: dict[str, Any]
) -> tuple[asyncio.Transport, P]:
    try:
        protocol = factory()
    except BaseException:
        sock.close()
        raise
    return await base(lambda: protocol, sock=sock, **to_base)  # type: ignore[no-any-return]


# -- addresses


async def _resolve(loop: "StackLoop", call: str, address: Any, family: int, proto: int, flags: int) -> list[AddrInfo]:
    """What `address` may be, for the socket's method `call`."""
    if not isinstance(address, tuple | list) or len(address) != 2:
        raise ValueError("local_addr must be a tuple of host and port")
    host, port = address
    check_port(port, call)
    infos: list[AddrInfo] = await loop.getaddrinfo(
        host, port, family=family, type=socket.SOCK_STREAM, proto=proto, flags=flags
    )
    if not infos:
        raise OSError("getaddrinfo() returned empty list")
    return infos


def interleaved(infos: Sequence[AddrInfo], first: int) -> list[AddrInfo]:
    """Families in turn, after the `first` - 1 foremost of the first family.  RFC 8305 §4."""
    families: dict[int, list[AddrInfo]] = {}
    for info in infos:
        families.setdefault(info[0], []).append(info)
    lists = list(families.values())
    head, lists[0] = lists[0][: first - 1], lists[0][first - 1 :]
    return head + [info for turn in zip_longest(*lists) for info in turn if info is not None]


def _ways(
    loop: "StackLoop", infos: Sequence[AddrInfo], locals_: Sequence[AddrInfo]
) -> list[tuple[AddrInfo, Way | None]]:
    """What is to be tried, in order; no IPv6 where a host of the stack is to speak, which has none."""
    ways = [(info, _way(loop, info, locals_)) for info in infos]
    if any(way is not None for _, way in ways):
        ways = [(info, way) for info, way in ways if info[0] != socket.AF_INET6]
    return ways


def _way(loop: "StackLoop", info: AddrInfo, locals_: Sequence[AddrInfo]) -> Way | None:
    """How a host of the stack gets to `info`, None when that is the kernel's business."""
    family, _, _, _, address = info
    remote = address_of(address[0])
    if family != socket.AF_INET or remote is None:
        return None
    mine = [local for kind, _, _, _, local in locals_ if kind == socket.AF_INET]
    if locals_ and not mine:
        return None  # whose socket cannot be bound, either
    addr, port = (address_of(mine[0][0]) or ANY, mine[0][1]) if mine else (ANY, 0)
    source = loop.ownership.owner(addr) if addr else loop.source_for(remote)
    return None if source is None else functools.partial(_over_stack, source, (remote, address[1]), (addr, port))


# -- trying


async def _over_stack(host: "AsyncHost", remote: tuple[int, int], local: tuple[int, int]) -> Attempt:
    attempt = Attempt(*host.dial(*remote, *local))
    await attempt.connected()
    return attempt


async def _kernel_socket(loop: "StackLoop", info: AddrInfo, locals_: Sequence[AddrInfo]) -> socket.socket:
    family, kind, proto, _, address = info
    sock = socket.socket(family, kind, proto)
    try:
        sock.setblocking(False)
        if locals_:
            _bind(sock, [local[4] for local in locals_ if local[0] == family])
        await loop.connect_kernel_socket(sock, (in_figures(info)[0], *address[1:]))
    except BaseException:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, addresses: Sequence[tuple[Any, ...]]) -> None:
    """Bind to the first of `addresses` that will do.  Raises the OSError of the last; EADDRNOTAVAIL for none."""
    error = OSError(errno.EADDRNOTAVAIL, "local_addr has no address of the destination's family")
    for address in addresses:
        try:
            sock.bind(address)
        except OSError as exc:
            reason = (exc.strerror or str(exc)).lower()
            if exc.errno == errno.EADDRNOTAVAIL:
                reason += ": no host of this loop has it, nor an interface of the kernel"
            error = OSError(exc.errno, f"error while attempting to bind on address {address!r}: {reason}")
        else:
            return
    raise error


async def _in_turn(starts: Sequence[Way], errors: list[Exception]) -> Made | None:
    for start in starts:
        try:
            return await start()
        except OSError as exc:
            errors.append(exc)
    return None


async def _race(
    loop: asyncio.AbstractEventLoop, starts: Sequence[Way], delay: float, errors: list[Exception]
) -> Made | None:
    """The first to succeed; each begins `delay` seconds after the one before, or when one has failed.  RFC 8305 §5."""
    tasks: list[asyncio.Task[Made]] = []
    try:
        winner = await _first(loop, list(starts), delay, tasks)
        losers = [task for task in tasks if task is not winner]
        for task in losers:
            _dispose(task)
        if losers:
            await asyncio.wait(losers)
    except BaseException:
        for task in tasks:
            _dispose(task)
        raise
    if winner is not None:
        return winner.result()
    errors += [error for task in tasks if isinstance(error := task.exception(), Exception)]
    return None


async def _first(
    loop: asyncio.AbstractEventLoop, starts: list[Way], delay: float, tasks: "list[asyncio.Task[Made]]"
) -> "asyncio.Task[Made] | None":
    """The first task to succeed; all that were begun are put into `tasks`, in order.  Raises what is no OSError."""
    waiting: set[asyncio.Task[Made]] = set()
    while starts or waiting:
        if starts:
            task = loop.create_task(_begin(starts.pop(0)))
            tasks.append(task)
            waiting.add(task)
        _, waiting = await asyncio.wait(waiting, timeout=delay if starts else None, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if not task.done():
                continue
            error = task.exception()
            if error is None:
                return task
            if not isinstance(error, OSError):
                raise error
    return None


async def _begin(start: Way) -> Made:
    return await start()


def _dispose(task: "asyncio.Task[Made]") -> None:
    task.cancel()
    task.add_done_callback(_discard)


def _discard(task: "asyncio.Task[Made]") -> None:
    """Let go of what was not chosen, also when it succeeds while it is being cancelled."""
    if task.cancelled() or task.exception() is not None:
        return
    made = task.result()
    if isinstance(made, Attempt):
        made.abort()
    else:
        made.close()


def _combined(errors: list[Exception], *, all_errors: bool) -> Exception:
    """One exception for all that failed, as asyncio makes it."""
    if all_errors:
        return ExceptionGroup("create_connection failed", errors)
    if all(str(error) == str(errors[0]) for error in errors):
        return errors[0]
    return OSError(f"Multiple exceptions: {', '.join(map(str, errors))}")
