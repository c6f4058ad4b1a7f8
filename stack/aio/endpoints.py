"""`loop.create_datagram_endpoint` on a StackLoop: whose the addresses are, and endpoints that have none.

Theory of operation.  A local address decides who has the endpoint: its host, or the kernel; with a remote one alone it
is whoever speaks to that.  What is the kernel's is the base loop's own, untouched.  An endpoint with neither, or with
"0.0.0.0" as its own address, may speak to anybody, and where a datagram goes is known only when it is sent.  So it
is a RoutedTransport: one transport for the application, with *members* below that share its protocol, the kernel's and
one for each host that something was sent to, so no more than there are hosts.  Only with a host active in the
context it is that host's alone.

Where a bound "0.0.0.0" hears is what the loop's `wildcard` says: "kernel": on the kernel's addresses, and from hosts
only answers; "stack": on all hosts, and not on the kernel's; "both": everywhere, on one port.
"""

import asyncio
import dataclasses
import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from stack.aio.datagram import StackDatagramTransport, attach, open_udp
from stack.aio.names import AddrInfo, Base, address_of, check_port
from stack.aio.serving import EVERYWHERE, TRIES, active_on, is_told, nobody_has_it
from stack.aio.sockopt import datagram_target, no_figures, sockaddr
from stack.errors import HostUnreachable
from stack.udp.endpoint import UdpEndpoint
from stack.wire.addr import ANY

if TYPE_CHECKING:
    from stack.aio.loop import StackLoop
    from stack.aio.network import AsyncHost

Factory = Callable[[], Any]
PAIR: Final = 2  # (host, port)
MAX_WAYS: Final = 4096  # peers of which it is kept who heard them last


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The keyword arguments of `create_datagram_endpoint`."""

    family: int = 0
    proto: int = 0
    flags: int = 0
    reuse_address: bool | None = None  # without effect, as in asyncio
    reuse_port: bool | None = None
    allow_broadcast: bool | None = None
    sock: Any = None


async def create_datagram_endpoint(
    loop: "StackLoop", base: Base, factory: Factory, local_addr: Any = None, remote_addr: Any = None, **options: Any
) -> tuple[Any, Any]:
    """As asyncio's and uvloop's.  `base` is what the loop would do without us.

    Raises OSError (EADDRINUSE, EADDRNOTAVAIL ...), socket.gaierror, TypeError and ValueError as they do.
    """
    chosen = Options(**options)
    unusable = chosen.family not in {0, socket.AF_INET} or (not chosen.family and not local_addr and not remote_addr)
    if chosen.sock is not None or unusable or not loop.ownership.hosts:
        return await base(factory, local_addr, remote_addr, **options)  # type: ignore[no-any-return]
    anywhere = not local_addr or (_is_pair(local_addr) and local_addr[0] in EVERYWHERE)
    if anywhere and not remote_addr:
        port = await _port(loop, local_addr, chosen) if local_addr else -1
        active = active_on(loop)
        if active is not None:
            return _on_host(active, factory, (ANY, max(port, 0)), None, chosen)
        return await _route(loop, base, factory, port, chosen)
    way = await _way(loop, None if anywhere else local_addr, remote_addr, chosen)
    if way is None:
        return await _by_kernel(loop, base, factory, local_addr, remote_addr, options)
    host, local, peer = way
    if anywhere and local_addr:
        local = (ANY, await _port(loop, local_addr, chosen))
    return _on_host(host, factory, local, peer, chosen)


async def _by_kernel(
    loop: "StackLoop", base: Base, factory: Factory, local_addr: Any, remote_addr: Any, options: dict[str, Any]
) -> tuple[Any, Any]:
    try:
        return await base(factory, local_addr, remote_addr, **options)  # type: ignore[no-any-return]
    except OSError as exc:
        if local_addr is None or not is_told(exc, errno.EADDRNOTAVAIL):
            raise
        raise OSError(errno.EADDRNOTAVAIL, f"{exc.strerror or exc}: {nobody_has_it(loop)}") from exc


def _is_pair(address: Any) -> bool:
    if not (isinstance(address, tuple) and len(address) == PAIR):
        raise TypeError("2-tuple is expected")
    return True


async def _resolve(loop: "StackLoop", address: Any, options: Options) -> list[AddrInfo]:
    _is_pair(address)
    infos = await loop.getaddrinfo(
        *address, family=options.family, type=socket.SOCK_DGRAM, proto=options.proto, flags=options.flags
    )
    if not infos:
        raise OSError("getaddrinfo() returned empty list")
    return infos  # type: ignore[no-any-return]


async def _port(loop: "StackLoop", address: tuple[Any, Any], options: Options) -> int:
    """The port as a number.  Raises socket.gaierror for the name of no service, OverflowError for what is no port."""
    check_port(address[1], "bind")
    infos = await _resolve(loop, ("0.0.0.0", address[1]), options)  # noqa: S104  (any address: the port is wanted)
    return int(infos[0][4][1])


async def _way(
    loop: "StackLoop", local_addr: Any, remote_addr: Any, options: Options
) -> "tuple[AsyncHost, tuple[int, int], tuple[int, int] | None] | None":
    """The host that has the endpoint, its address there and the peer; None: the kernel has it."""
    locals_ = [] if local_addr is None else _ipv4(await _resolve(loop, local_addr, options), local_addr[1])
    remotes = [] if not remote_addr else _ipv4(await _resolve(loop, remote_addr, options), remote_addr[1])
    for local in locals_:
        owner = loop.ownership.owner(local[0])
        if owner is not None and (remotes or not remote_addr):
            return owner, local, remotes[0] if remotes else None
    if locals_ or local_addr is not None:
        return None
    for remote in remotes:
        host = loop.source_for(remote[0])
        if host is not None:
            return host, (ANY, 0), remote
    return None


def _ipv4(infos: list[AddrInfo], port: Any) -> list[tuple[int, int]]:
    """What of it the stack can use, as numbers; a `port` as it was given: getaddrinfo would cut it to 16 bits."""
    given = port if isinstance(port, int) else None
    return [
        (address_of(address[0]) or ANY, address[1] if given is None else given)
        for family, _, _, _, address in infos
        if family == socket.AF_INET
    ]


def _on_host(
    host: "AsyncHost", factory: Factory, local: tuple[int, int], peer: tuple[int, int] | None, options: Options
) -> tuple[StackDatagramTransport, asyncio.DatagramProtocol]:
    driver = host.open_driver()
    broadcast = bool(options.allow_broadcast)
    # as in asyncio an endpoint that may broadcast is not connected: its peer is only where it sends to
    connected = None if broadcast else peer
    endpoint = open_udp(driver, local, connected, reuse=bool(options.reuse_port), broadcast=broadcast)
    return attach(driver, endpoint, factory, peer)


# -- endpoints that may speak to anybody


async def _route(
    loop: "StackLoop", base: Base, factory: Factory, port: int, options: Options
) -> "tuple[RoutedTransport, asyncio.DatagramProtocol]":
    """`port` -1: no address was given at all, and it is heard only where it has spoken."""
    hosts = loop.ownership.hosts if port >= 0 and loop.wildcard != "kernel" else ()
    protocol = factory()  # first of all, since the loops lose their socket when it raises
    for left in reversed(range(TRIES)):
        routed = RoutedTransport(loop, options, max(port, 0))
        try:
            for host in hosts:
                routed.listen(host)
            if hosts and loop.wildcard == "stack":
                routed.begin(protocol, None)
            else:
                await _add_kernel(base, routed, protocol, None if port < 0 else routed.port)
                routed.hear()  # not before: the protocol hears of nothing until the caller has the transport
        except BaseException as exc:
            routed.drop()
            chosen_by_us = hosts and not port
            if not (chosen_by_us and left and is_told(exc, errno.EADDRINUSE)):
                raise
        else:
            return routed, protocol
    raise AssertionError  # the last try returns or raises


async def _add_kernel(
    base: Base, routed: "RoutedTransport", protocol: asyncio.DatagramProtocol, port: int | None
) -> None:
    """The member that is the kernel's; with it the transport begins.  `port` None: it is not bound."""
    options = routed.options
    arguments = {
        "family": socket.AF_INET,
        "proto": options.proto,
        "flags": options.flags,
        "reuse_port": options.reuse_port,
        "allow_broadcast": options.allow_broadcast,
    }
    await base(
        lambda: _Member(routed, protocol),
        None if port is None else sockaddr(ANY, port),
        None,
        **{key: value for key, value in arguments.items() if value},
    )


class _Member(asyncio.DatagramProtocol):
    """What a transport below a RoutedTransport speaks to; `upper`, of the kernel's: the protocol to begin with."""

    def __init__(self, routed: "RoutedTransport", upper: asyncio.DatagramProtocol | None = None) -> None:
        self._routed = routed
        self._upper = upper

    def connection_made(self, transport: Any) -> None:
        """Of the kernel's: now there is all that is needed."""
        if self._upper is not None:
            self._routed.begin(self._upper, (self, transport))

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """For the application, whichever way it came."""
        self._routed.heard(self, addr)
        self._routed.get_protocol().datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        """For the application."""
        self._routed.get_protocol().error_received(exc)

    def pause_writing(self) -> None:
        """The kernel's buffer is full; those of the stack never are."""
        self._routed.get_protocol().pause_writing()

    def resume_writing(self) -> None:
        """The kernel's buffer has room."""
        self._routed.get_protocol().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """A member has ended."""
        self._routed.leave(self, exc)


class RoutedTransport(asyncio.DatagramTransport):
    """A datagram transport whose members are chosen for each datagram."""

    __slots__ = (
        "_closing",
        "_error",
        "_kernel",
        "_loop",
        "_lost",
        "_members",
        "_protocol",
        "_shown",
        "_taken",
        "_ways",
        "options",
        "port",
    )

    def __init__(self, loop: "StackLoop", options: Options, port: int) -> None:
        self._loop = loop
        self.options = options
        self.port = port  # of the members that are opened from now on; 0: any
        self._protocol: Any = None
        self._kernel: Any = None
        self._shown: Any = None  # the member whose socket and limits are shown
        self._taken: dict[AsyncHost, UdpEndpoint] = {}  # before `hear`
        self._members: dict[_Member, tuple[AsyncHost | None, Any]] = {}  # their hosts (None: the kernel) and transports
        self._ways: dict[Any, _Member] = {}  # by peer, the oldest first
        self._closing = False
        self._lost = False
        self._error: Exception | None = None

    def __repr__(self) -> str:
        state = "closed" if self._lost else "closing" if self._closing else "open"
        return f"<{type(self).__name__} {state} {self.get_extra_info('sockname')} members={len(self._members)}>"

    # -- members

    def listen(self, host: "AsyncHost") -> None:
        """Take the port on `host`.  Raises AddressInUse."""
        endpoint = self._open(host)
        self._taken[host] = endpoint
        self.port = endpoint.local_port

    def _open(self, host: "AsyncHost") -> UdpEndpoint:
        options = self.options
        return open_udp(
            host.open_driver(),
            (ANY, self.port),
            reuse=bool(options.reuse_port),
            broadcast=bool(options.allow_broadcast),
        )

    def drop(self) -> None:
        """Nobody will have it, though it may have begun, or begin once the kernel's member is made: close all."""
        for host, endpoint in self._taken.items():
            host.host.udp_close(endpoint)
        self._taken.clear()
        self.abort()

    def begin(self, protocol: asyncio.DatagramProtocol, kernel: "tuple[_Member, Any] | None") -> None:
        """Tell `protocol` of its transport.  `kernel`: that member and its transport."""
        if self._closing and kernel is not None:  # dropped meanwhile; uvloop does not close what nobody waits for
            self._lost = True
            kernel[1].abort()
            return
        self._protocol = protocol
        if kernel is not None:
            member, self._kernel = kernel
            self._members[member] = (None, self._kernel)
            self._shown = self._kernel
        else:
            self.hear()
        try:
            protocol.connection_made(self)
        except Exception as exc:  # noqa: BLE001  (application code may raise anything)
            self._loop.call_exception_handler(
                {"message": "protocol.connection_made() failed", "exception": exc, "transport": self}
            )

    def hear(self) -> None:
        """Receive on the hosts whose ports were taken, unless it was closed meanwhile."""
        taken, self._taken = self._taken, {}
        for host, endpoint in taken.items():
            if self._closing or not host.driver.is_open:
                host.host.udp_close(endpoint)
            else:
                self._add(host, endpoint)

    def _add(self, host: "AsyncHost", endpoint: UdpEndpoint) -> StackDatagramTransport:
        member = _Member(self)
        transport, _ = attach(host.driver, endpoint, lambda: member, None)
        self._members[member] = (host, transport)
        self._shown = self._shown or transport
        return transport

    def leave(self, member: _Member, exc: Exception | None) -> None:
        """`member` has ended, by `close`, or since its host has; with the kernel's, or the last, the transport has."""
        _, transport = self._members.pop(member, (None, None))
        is_main = transport is not None and transport is self._kernel
        if is_main:
            self._closing = True
            for _, other in list(self._members.values()):
                other.close()
        if is_main or not self._members:
            self._error = self._error or exc
        if not self._members and not self._lost:
            self._closing = self._lost = True
            self._protocol.connection_lost(self._error)

    def heard(self, member: _Member, addr: Any) -> None:
        """An answer goes the way that the question came: the peer knows no other address of ours."""
        ways = self._ways
        if ways.pop(addr, None) is None and len(ways) >= MAX_WAYS:
            del ways[next(iter(ways))]
        ways[addr] = member

    def _member_for(self, host: "AsyncHost") -> StackDatagramTransport:
        for other, transport in self._members.values():
            if other is host:
                return transport  # type: ignore[no-any-return]
        return self._add(host, self._taken.pop(host) if host in self._taken else self._open(host))

    # -- asyncio.DatagramTransport

    def sendto(self, data: Any, addr: Any = None) -> None:
        """Send one datagram to `addr`, by the host that speaks to it, else by the kernel; after `close` nothing.

        Raises TypeError and OverflowError for what can be no address, as the socket module does; all else that keeps it
        from being sent is told to `error_received`.
        """
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data argument must be a bytes-like object, not {type(data).__name__!r}")
        if self._closing:
            return
        try:
            self._member_that_sends(addr).sendto(data, addr)
        except OSError as exc:
            self._protocol.error_received(exc)
        except ValueError:
            if address_of(addr[0]) is not None:
                raise
            # uvloop's, of a name
            self._protocol.error_received(no_figures(addr[0]))

    def _member_that_sends(self, addr: Any) -> Any:
        """Raises OSError, and what `datagram_target` does; a name is the kernel's member's business."""
        try:
            number = datagram_target(addr)[0]
        except socket.gaierror:
            if self._kernel is None:
                raise
            return self._kernel
        _, transport = self._members.get(self._ways.get(addr), (None, None))  # type: ignore[arg-type]  # None is no key
        if transport is not None:
            return transport
        host = self._loop.source_for(number)
        if host is not None:
            return self._member_for(host)
        if self._kernel is None:
            raise HostUnreachable(f"no host of the loop speaks to {addr[0]}, and the kernel is not asked")
        return self._kernel

    def is_closing(self) -> bool:
        """Whether close or abort was called."""
        return self._closing

    def close(self) -> None:
        """Close all members; `connection_lost` follows the last of them."""
        self._closing = True
        for _, transport in list(self._members.values()):
            transport.close()

    def abort(self) -> None:
        """The same without what the kernel's member may still have to send."""
        self._closing = True
        for _, transport in list(self._members.values()):
            transport.abort()

    def get_write_buffer_size(self) -> int:
        """Bytes that wait for the kernel; the stack's members never wait."""
        return self._kernel.get_write_buffer_size() if self._kernel is not None else 0

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """(low, high) of the kernel's member."""
        return self._shown.get_write_buffer_limits()  # type: ignore[no-any-return]

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Of the kernel's member: those of the stack never wait."""
        self._shown.set_write_buffer_limits(high=high, low=low)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """From now on `protocol` is called."""
        self._protocol = protocol

    def get_protocol(self) -> Any:
        """The protocol that is called."""
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Of the kernel's member where there is one: sockname, socket."""
        if name == "sockname" and self._kernel is None:
            return sockaddr(ANY, self.port)
        return self._shown.get_extra_info(name, default)
