"""Event loops on which some addresses are served by the stack: any asyncio program runs on it, unmodified.

    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(main())  # AsyncHosts made in there are known to the loop

Theory of operation.  A StackLoop is a mixin over a loop as it is.  Its overrides decide, by `ownership`, whether an
address is a host's or the kernel's, and do no more: what is ours is done by a module named after the call, what is not
gets the base loop's own result, untouched.  Hosts make themselves known when they are made on such a loop.

Which addresses are ours is explicit: those of the hosts and their prefixes, never 127/8, and everything else only with
`capture="all"`.  A call is made by the host of its `local_addr`, else by the one that is active in the context
(`with host.active():`), else by the one with the longest prefix.
"""

import asyncio
import socket
from asyncio import sslproto
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, TypeVarTuple

from stack.aio import carrier, connecting, endpoints, names, sending, serving, tls
from stack.aio.active import ACTIVE
from stack.aio.driver import Driver
from stack.aio.ownership import Ownership, parse_prefixes
from stack.aio.transports import StackTransport
from stack.aio.uv import WholeUvLoop
from stack.errors import ConfigError

if TYPE_CHECKING:
    from stack.aio.network import AsyncHost

P = TypeVar("P", bound=asyncio.BaseProtocol)
Ts = TypeVarTuple("Ts")
Wildcard = Literal["kernel", "stack", "both"]
Capture = Literal["own", "all"]

# what `tls.start_tls` takes; both run over a transport of the stack, or might as well
_OURS: Final = (StackTransport, sslproto._SSLProtocolTransport)  # noqa: SLF001  (there is no public name)


class StackLoop(asyncio.AbstractEventLoop):
    """The mixin; see the head of this file.

    `resolver` is asked about names, instead of the C library.  `wildcard` says where a server without an address
    listens.  Raises ConfigError, TypeError for what is no resolver.
    """

    # No __slots__: the loops that this is mixed into have a layout of their own.

    def __init__(
        self, *args: Any, resolver: names.Resolver | None = None, wildcard: Wildcard = "kernel", **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.ownership: Ownership[AsyncHost] = Ownership()
        self.resolver = resolver
        self.wildcard = wildcard
        try:
            names.check_resolver(resolver)
            _check_wildcard(wildcard)
        except BaseException:
            self.close()
            raise

    # -- hosts

    def add_host(self, host: "AsyncHost", *, prefixes: Sequence[str] | None = None, capture: Capture = "own") -> None:
        """Serve the addresses of `host` and its `prefixes` (None: its subnets; else like "10.0.0.0/8") by the stack.

        `capture="all"` gives it also what no other prefix holds.  Adding it again replaces what it was added with.
        Raises AddressInUse when another host has one of its addresses, InvalidAddress, ConfigError, TypeError.
        """
        if not isinstance(getattr(host, "driver", None), Driver):
            raise TypeError(f"add_host() takes an AsyncHost, not {host!r}")
        if host.loop is not self:
            raise ConfigError("this AsyncHost runs on another loop; make it on the loop that shall use it")
        if capture not in {"own", "all"}:
            raise ConfigError(f"capture {capture!r}: use 'own' or 'all'")
        parsed = None if prefixes is None else parse_prefixes(prefixes)
        self.ownership.add(host, parsed, everything=capture == "all")

    def remove_host(self, host: "AsyncHost") -> None:
        """Its addresses are no longer ours; what is open stays open."""
        self.ownership.remove(host)

    def source_for(self, addr: int) -> "AsyncHost | None":
        """The host that speaks to `addr` in this context, None for the kernel."""
        active = ACTIVE.get()
        return self.ownership.source_for(addr, active if active is not None and active.loop is self else None)

    def close(self) -> None:
        """Close the loop, and before it the devices of the hosts that are left: what they have not sent is lost."""
        if not self.is_running() and not self.is_closed():
            for host in self.ownership.hosts:
                host.driver.close()
        super().close()

    # -- names

    async def getaddrinfo(self, host: Any, port: Any, **options: Any) -> Any:
        """Addresses in figures at once; names from `resolver`, or as the base loop does."""
        return await names.getaddrinfo(self.resolver, super().getaddrinfo, host, port, **options)

    async def getnameinfo(self, sockaddr: Any, flags: int = 0) -> tuple[str, str]:
        """Figures at once; names as the base loop does, if there is no `resolver`."""
        return await names.getnameinfo(self.resolver, super().getnameinfo, sockaddr, flags)

    # -- connections

    async def create_connection(
        self, protocol_factory: Callable[[], P], host: Any = None, port: Any = None, **options: Any
    ) -> tuple[Any, P]:
        """See `stack.aio.connecting`."""
        base = super().create_connection
        if connecting.is_plain(self, host, options):
            return await base(protocol_factory, host, port, **options)
        return await connecting.create_connection(self, base, protocol_factory, host, port, **options)

    async def connect_accepted_socket(
        self,
        protocol_factory: Callable[[], P],
        sock: socket.socket,
        *,
        ssl: Any = None,
        ssl_handshake_timeout: float | None = None,
        ssl_shutdown_timeout: float | None = None,
    ) -> tuple[Any, P]:
        """A socket of the kernel is the base loop's; the connection of a CarrierSocket is served."""
        if not isinstance(sock, carrier.CarrierSocket):
            return await super().connect_accepted_socket(
                protocol_factory,
                sock,
                ssl=ssl,
                ssl_handshake_timeout=ssl_handshake_timeout,
                ssl_shutdown_timeout=ssl_shutdown_timeout,
            )
        secure = tls.server(ssl, ssl_handshake_timeout, ssl_shutdown_timeout)
        return await carrier.claim(sock).attach(protocol_factory, secure)

    async def start_tls(self, transport: Any, protocol: Any, sslcontext: Any, **options: Any) -> Any:
        """Over transports of the stack with the standard library's TLS; the base loop's over its own."""
        if isinstance(transport, _OURS):
            return await tls.start_tls(self, transport, protocol, sslcontext, **options)
        return await super().start_tls(transport, protocol, sslcontext, **options)

    # -- servers, datagrams, files

    async def create_server(
        self, protocol_factory: Callable[[], asyncio.BaseProtocol], host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        """See `stack.aio.serving`."""
        return await serving.create_server(self, super().create_server, protocol_factory, host, port, **options)

    async def create_datagram_endpoint(
        self, protocol_factory: Callable[[], P], local_addr: Any = None, remote_addr: Any = None, **options: Any
    ) -> tuple[Any, P]:
        """See `stack.aio.endpoints`."""
        base = super().create_datagram_endpoint
        return await endpoints.create_datagram_endpoint(
            self, base, protocol_factory, local_addr, remote_addr, **options
        )

    async def sendfile(
        self, transport: Any, file: Any, offset: int = 0, count: int | None = None, *, fallback: bool = True
    ) -> int:
        """See `stack.aio.sending`."""
        return await sending.sendfile(self, super().sendfile, transport, file, offset, count, fallback=fallback)

    # -- socket objects

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """A stack address makes `sock` a CarrierSocket; see `stack.aio.carrier`."""
        if sock.family == socket.AF_INET6:
            address = await names.looked_up(self, sock, address)
        await carrier.sock_connect(self, super().sock_connect, sock, address)

    async def connect_kernel_socket(self, sock: socket.socket, address: Any) -> None:
        """The base loop's `sock_connect`, whoever owns `address`."""
        await super().sock_connect(sock, address)

    def add_reader(self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> None:
        """The base loop's.  Raises OSError(EOPNOTSUPP) for a CarrierSocket, which the kernel has no news of."""
        carrier.check_descriptor(fd)
        super().add_reader(fd, callback, *args)

    def add_writer(self, fd: Any, callback: Callable[[*Ts], Any], *args: *Ts) -> None:
        """The same."""
        carrier.check_descriptor(fd)
        super().add_writer(fd, callback, *args)

    async def sock_recv(self, sock: socket.socket, nbytes: int) -> bytes:
        """Up to `nbytes` bytes."""
        if isinstance(sock, carrier.CarrierSocket):
            return await carrier.carried(sock).recv(nbytes)
        return await super().sock_recv(sock, nbytes)

    async def sock_recv_into(self, sock: socket.socket, buf: Any) -> int:
        """The number of bytes that were put into `buf`."""
        if not isinstance(sock, carrier.CarrierSocket):
            return await super().sock_recv_into(sock, buf)
        with memoryview(buf).cast("B") as view:
            data = await carrier.carried(sock).recv(view.nbytes)
            view[: len(data)] = data
            return len(data)

    async def sock_sendall(self, sock: socket.socket, data: Any) -> None:
        """All of `data`."""
        if isinstance(sock, carrier.CarrierSocket):
            await carrier.carried(sock).sendall(bytes(data))
        else:
            await super().sock_sendall(sock, data)

    async def sock_sendto(self, sock: socket.socket, data: Any, address: Any) -> int:
        """The kernel's.  Raises OSError(EOPNOTSUPP) for a stack address: use create_datagram_endpoint.

        A name is looked up as everywhere.
        """
        address = await names.looked_up(self, sock, address)
        carrier.check_datagram(self, sock, address)
        return await super().sock_sendto(sock, data, address)

    async def sock_sendfile(
        self, sock: socket.socket, file: Any, offset: int = 0, count: int | None = None, *, fallback: bool | None = True
    ) -> int:
        """See `stack.aio.sending`."""
        if isinstance(sock, carrier.CarrierSocket):
            return await sending.sock_sendfile(self, sock, file, offset, count, fallback=fallback)
        return await super().sock_sendfile(sock, file, offset, count, fallback=fallback)


def _check_wildcard(wildcard: str) -> None:
    if wildcard not in {"kernel", "stack", "both"}:
        raise ConfigError(f"wildcard {wildcard!r}: use 'kernel', 'stack' or 'both'")


class UvLoop(StackLoop, WholeUvLoop):  # type: ignore[misc]  # uvloop describes some methods more narrowly
    """Over uvloop; where that cannot be imported, over asyncio's own loop all the same."""

    async def sendfile(
        self, transport: Any, file: Any, offset: int = 0, count: int | None = None, *, fallback: bool = True
    ) -> int:
        """See `stack.aio.sending`; uvloop has none of its own."""
        return await sending.sendfile(self, None, transport, file, offset, count, fallback=fallback)


class SelectorLoop(StackLoop, asyncio.SelectorEventLoop):
    """Over asyncio's own loop."""


def new_event_loop(
    *, uvloop: bool | None = None, resolver: names.Resolver | None = None, wildcard: Wildcard = "kernel"
) -> StackLoop:
    """A loop for `asyncio.Runner(loop_factory=...)`, over uvloop unless that is False; see StackLoop."""
    kind: type[StackLoop] = SelectorLoop if uvloop is False else UvLoop
    return kind(resolver=resolver, wildcard=wildcard)
